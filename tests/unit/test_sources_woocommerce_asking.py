"""WooCommerce asked for what its webhooks lost, over HTTP; and the parcels that plugins note on an order."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Response
from connectors.sandbox.source_apis.woocommerce import KEY, SECRET, WooApi
from connectors.sources.asking import Found, Page
from connectors.sources.woocommerce import WooCommerce
from tests.contract.running import RunningSandbox
from tests.unit.test_sources_woocommerce import HEADERS, ORDER, normalised

BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


class Shop:
    """A shop that is asked, and its API."""

    def __init__(self, sandbox: RunningSandbox, secret: str = SECRET) -> None:
        self.sandbox = sandbox
        self.hosted = sandbox.sandbox.hosted["woocommerce"]
        self.emulator: Any = self.hosted.emulator
        options = {"base_url": f"{sandbox.url}/woocommerce", "consumer_key": KEY, "consumer_secret": secret}
        self.source = WooCommerce(["s"], options)
        api = self.source.api(Http(10))
        assert api is not None
        self.api = api

    def put(self, number: int, changed: datetime, **changes: Any) -> None:
        told = {"date_modified_gmt": written(changed), "date_completed_gmt": written(changed)}
        order = copy.deepcopy(ORDER) | {"id": number, "number": f"W-{number}"} | told | changes
        self.sandbox.run(lambda: self.emulator.orders.update({number: order}))

    def page(self, cursor: str | None, now: datetime) -> Page:
        return self.source.pull(self.api, cursor, now)

    def walk(self, cursor: str | None, now: datetime) -> tuple[list[Found], str]:
        """Asks until there is no more."""
        found: list[Found] = []
        while True:
            page = self.page(cursor, now)
            found += page.found
            cursor = page.cursor
            if not page.more:
                return found, cursor


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    running = RunningSandbox([WooApi])
    yield running
    running.close()


@pytest.fixture
def shop(sandbox: RunningSandbox) -> Shop:
    return Shop(sandbox)


def written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def minutes(number: float) -> datetime:
    return BEGAN + timedelta(minutes=number)


def names(found: list[Found]) -> list[str | None]:
    return [each.delivery.order_ref for each in found]


def test_orders_that_changed_are_found_once_oldest_first(shop: Shop) -> None:
    shop.put(1, minutes(-1))
    _, cursor = shop.walk(None, BEGAN)
    shop.put(3, minutes(1))
    shop.put(2, minutes(2))
    found, cursor = shop.walk(cursor, minutes(10))
    assert names(found) == ["W-3", "W-2"]
    shop.put(4, minutes(11))
    later, cursor = shop.walk(cursor, minutes(20))
    assert (names(later), shop.walk(cursor, minutes(30))[0]) == (["W-4"], [])


def test_three_hundred_orders_of_one_second_are_all_found_once(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    for number in range(1, 301):
        shop.put(number, minutes(1))
    shop.put(301, minutes(2))
    found, cursor = shop.walk(cursor, minutes(10))
    assert sorted(names(found), key=str) == sorted((f"W-{number}" for number in range(1, 302)), key=str)
    assert shop.walk(cursor, minutes(20))[0] == []


def test_what_changes_between_two_pages_is_not_lost_and_makes_no_other_lost(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    for number in range(1, 251):
        shop.put(number, minutes(1) + timedelta(seconds=number // 40))
    first = shop.page(cursor, minutes(10))
    for number in (1, 50, 200):
        shop.put(number, minutes(11))
    rest, cursor = shop.walk(first.cursor, minutes(12))
    later, _ = shop.walk(cursor, minutes(20))
    assert {*names(list(first.found)), *names(rest), *names(later)} == {f"W-{number}" for number in range(1, 251)}
    assert sorted(names(later), key=str) == ["W-1", "W-200", "W-50"]


def test_a_second_that_may_still_be_written_to_waits_for_the_next_question(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(1, minutes(9))
    found, cursor = shop.walk(cursor, minutes(10))
    shop.put(2, minutes(8.5))  # was written late
    later, _ = shop.walk(cursor, minutes(20))
    assert (names(found), names(later)) == ([], ["W-2", "W-1"])


def test_the_same_state_has_the_same_id_and_another_state_another(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    ids = []
    for status in ("processing", "processing", "completed"):
        shop.put(1, minutes(1), status=status)
        [found] = shop.walk(cursor, minutes(10))[0]
        ids.append(found.delivery.id)
    assert ids[0] == ids[1] != ids[2]


def types(shop: Shop, found: list[Found]) -> list[EventType]:
    told = [shop.source.normalise(each.delivery, each.body) for each in found]
    return [each.type for each in told if isinstance(each, Event)]


def test_a_missed_completion_asks_for_the_invoice_and_one_from_before_does_not(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(1, minutes(1))
    shop.put(2, minutes(2), date_completed_gmt="2025-03-01T10:00:00", customer_note="edited a year later")
    shop.put(3, minutes(3), status="processing", date_completed_gmt=None)
    shop.put(4, minutes(4), status="cancelled", date_completed_gmt=None)
    found, _ = shop.walk(cursor, minutes(10))
    assert types(shop, found) == [
        EventType.ORDER_COMPLETED,
        EventType.ORDER_UPDATED,
        EventType.ORDER_UPDATED,
        EventType.ORDER_CANCELLED,
    ]


def test_a_page_that_is_no_list_of_orders_is_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = shop.walk(None, BEGAN)[1]
    for listed in ({"orders": []}, None):
        monkeypatch.setattr(shop.emulator, "_listed", lambda query, listed=listed: Response.json(200, listed))
        with pytest.raises(Unavailable, match="no list of orders"):
            shop.page(cursor, minutes(10))


def test_a_version_that_ignores_the_times_it_is_asked_for_tells_nothing_old(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = shop.walk(None, BEGAN)[1]
    for number in range(1, 121):
        shop.put(number, minutes(-number))
    everything = list(shop.emulator.orders.values())[:100]
    monkeypatch.setattr(shop.emulator, "_listed", lambda query: Response.json(200, everything))
    assert shop.walk(cursor, minutes(10)) == ([], cursor)


def test_wrong_keys_and_too_many_calls_are_told_as_such(sandbox: RunningSandbox) -> None:
    shop, wrong = Shop(sandbox), Shop(sandbox, "cs_wrong")
    cursor = shop.walk(None, BEGAN)[1]
    with pytest.raises(Unauthorized, match="WooCommerce answered 401"):
        wrong.page(cursor, minutes(10))
    sandbox.run(lambda: [shop.emulator.host.take(shop.emulator.clock()) for _ in range(300)])
    with pytest.raises(Throttled) as throttled:
        shop.page(cursor, minutes(10))
    assert throttled.value.retry_after is not None


def test_what_is_missing_to_ask_is_said_when_the_source_is_configured() -> None:
    assert WooCommerce(["s"]).api(Http(1)) is None
    with pytest.raises(ValueError, match="belong together"):
        WooCommerce(["s"], {"consumer_key": KEY, "consumer_secret": SECRET})


# -- parcels ----------------------------------------------------------------------------------------------------------

TRACKED: dict[str, Any] = {
    "tracking_provider": "royal-mail",
    "custom_tracking_provider": "",
    "tracking_number": "RM123456789GB",
    "tracking_id": "a1b2",
    "date_shipped": "1795345198",
}


def noted(value: Any) -> dict[str, Any]:
    tracking = {"id": 2, "key": "_wc_shipment_tracking_items", "value": value}
    meta = [None, {"id": 1, "key": "_other", "value": "x"}, tracking]
    return copy.deepcopy(ORDER) | {"meta_data": meta, "created_via": "checkout"}


def test_an_order_tells_the_parcels_that_a_plugin_noted_and_its_channel() -> None:
    bob = {"tracking_provider": "", "custom_tracking_provider": "Bike Bob", "tracking_id": "", "tracking_number": 5}
    own = TRACKED | bob
    ours = normalised(noted([TRACKED, own])).order
    assert ours is not None
    assert [(each.ref, each.carrier, each.tracking_number) for each in ours.shipments] == [
        ("a1b2", "royal-mail", "RM123456789GB"),
        ("5", "Bike Bob", "5"),
    ]
    assert ours.channel == "checkout"


def test_a_list_with_gaps_which_php_writes_as_an_object_is_a_list() -> None:
    ours = normalised(noted({"1": TRACKED})).order
    assert ours is not None
    assert len(ours.shipments) == 1


@pytest.mark.parametrize("value", [None, 5, "x", [], [None], [{}], {}, [[]], [TRACKED | {"tracking_number": None}]])
def test_notes_that_cannot_be_read_do_not_keep_the_order_back(value: Any) -> None:
    ours = normalised(noted(value)).order
    assert ours is not None
    assert ours.shipments == ()


@pytest.mark.parametrize("field", sorted(TRACKED))
@pytest.mark.parametrize("value", [True, -1, 1.5, " ", "x" * 5000, [], {"a": [1]}])
def test_a_wrong_value_in_a_note_is_harmless(field: str, value: Any) -> None:
    assert normalised(noted([TRACKED | {field: value}])).order is not None


def test_a_body_with_notes_is_kept_like_any_other() -> None:
    assert WooCommerce(["s"]).receive(HEADERS, orjson.dumps(noted([TRACKED]))).order_ref == "W-1001"
