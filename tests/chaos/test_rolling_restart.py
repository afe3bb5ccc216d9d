"""Every service is stopped and started again, one after the other, while events arrive."""

import threading
from collections.abc import Callable

import pytest
import requests

from tests.compose.fleet import Fleet
from tests.compose.running import Service
from tests.kit.history import check
from tests.kit.scene import api_key, order_event

SERVICES = ("ingest", "worker", "recurring", "beat", "flower")
EVERY = 0.2
"""Seconds between two orders."""


class Shop(threading.Thread):
    """Pushes orders without end: to the one address, else to the other, until one has answered with a 2xx."""

    def __init__(self, addresses: list[str]) -> None:
        super().__init__(daemon=True)
        self.addresses = addresses
        self.accepted: list[dict[str, object]] = []
        self.refused = 0
        """Attempts that were not answered with a 2xx."""
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(EVERY):
            number = len(self.accepted)
            self._push(order_event(number, customer=number % 20))

    def close(self) -> None:
        """Ends it; an order that it was pushing is pushed to its end."""
        self.over.set()
        self.join(60)

    def _push(self, event: dict[str, object]) -> None:
        attempt = 0
        while True:
            if self._answered(self.addresses[attempt % len(self.addresses)], event):
                self.accepted.append(event)
                return
            attempt += 1
            self.refused += 1
            threading.Event().wait(EVERY)

    def _answered(self, address: str, event: dict[str, object]) -> bool:
        headers = {"Authorization": f"Bearer {api_key('engraver')}"}
        try:
            return requests.post(f"{address}/events", json=event, headers=headers, timeout=5).status_code in (200, 202)
        except requests.RequestException:
            return False


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("ingests", [1, 2])
def test_a_rolling_restart_loses_and_doubles_nothing(make_fleet: Callable[..., Fleet], ingests: int) -> None:
    """With one ingest the shop repeats what was not answered; with two it finds the other."""
    fleet = make_fleet()
    world = fleet.world
    fleet.start("m0", *SERVICES)
    fleet.start("m1", "worker", *(("ingest",) if ingests == 2 else ()))
    fleet.until_healthy()
    running = fleet.running()
    shop = Shop([service.url for service in running if service.name == "ingest"])
    shop.start()

    for service in running:
        began = len(shop.accepted)
        restart(service)
        world.until(lambda began=began: len(shop.accepted) > began, 60, "events arrive")  # type: ignore[misc]
    shop.close()
    world.promised(*shop.accepted)
    world.until_settled(240)

    check(world)
    assert shop.refused or ingests == 2, "ingest was never away, so nothing was tried"
    assert [service.title for service in running if not service.healthy()] == []


def restart(service: Service) -> None:
    """As `docker compose up` replaces a container: SIGTERM, its grace, and the next one."""
    service.stop()
    service.start().until_healthy(120)
