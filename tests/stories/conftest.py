"""Stories: given these deliveries in this order, exactly these documents are on the platform."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.source_apis.aftership import AfterShipTrackings
from connectors.sandbox.source_apis.bigcommerce import BigCommerce
from connectors.sandbox.source_apis.dhl import DhlTracking
from connectors.sandbox.source_apis.easypost import EasyPostTrackers
from connectors.sandbox.source_apis.fedex import FedexTracking
from connectors.sandbox.source_apis.hubspot import HubSpotDeals
from connectors.sandbox.source_apis.shippo import ShippoTracks
from connectors.sandbox.source_apis.shipstation import ShipStation
from connectors.sandbox.source_apis.shopify import ShopifyApi
from connectors.sandbox.source_apis.square import SquareOrders
from connectors.sandbox.source_apis.ups import UpsTracking
from connectors.sandbox.source_apis.woocommerce import WooApi
from tests.conftest import fresh_store
from tests.contract.running import RunningSandbox
from tests.kit.redis_server import RedisServer
from tests.stories.tale import Tale

MakeTale = Callable[..., Tale]
APIS = (
    AfterShipTrackings, BigCommerce, DhlTracking, EasyPostTrackers, FedexTracking, ShippoTracks, ShipStation,
    ShopifyApi, UpsTracking, WooApi,
    HubSpotDeals, SquareOrders,
)  # fmt: skip


class Outside:
    """The APIs of shops and carriers, and what a test puts there."""

    def __init__(self) -> None:
        self._running = RunningSandbox(APIS)
        self.url = self._running.url

    def __getitem__(self, kind: str) -> Any:
        """The emulator; nobody asks it anything while a test sets what it answers."""
        return self._running.sandbox.hosted[kind].emulator

    def put(self, kind: str, document: Any) -> None:
        """Keeps a document in the emulator's own shelf."""
        self._running.run(lambda: self[kind].put(document))

    def close(self) -> None:
        self._running.close()


@pytest.fixture
def outside() -> Iterator[Outside]:
    running = Outside()
    yield running
    running.close()


@pytest.fixture
def tell(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeTale]:
    """Begins a tale; its keywords are `Tale`'s."""
    begun: list[Tale] = []

    def begin(**options: Any) -> Tale:
        begun.append(Tale(tmp_path, store_url, redis_server.url, monkeypatch, **options))
        return begun[-1]

    yield begin
    for tale in begun:
        tale.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As everywhere; on PostgreSQL the stories are told with the slow tests."""
    return fresh_store(request, tmp_path)
