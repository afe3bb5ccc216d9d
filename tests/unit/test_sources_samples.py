"""The sample shops: what they send is signed, distinct, right to the cent, and has what makes life hard."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from connectors.model import Event, EventType
from connectors.sandbox.shops import ShopDelivery, ShopOrder, arrivals, sample_orders
from connectors.sources.base import Source, source

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRETS = {"web": "web-secret", "shop": "shop-secret", "erp": "whsec_YmlsbGhvb2stdGVzdC1zZWNyZXQtMzItYnl0ZXMtb2s="}


@pytest.fixture(scope="module")
def orders() -> list[ShopOrder]:
    return sample_orders(200, seed=1)


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    kinds = {"web": "shopify", "shop": "woocommerce", "erp": "standard"}
    return {name: source(kind)([SECRETS[name]]) for name, kind in kinds.items()}


def taken(delivery: ShopDelivery, sources: dict[str, Source]) -> tuple[str, Event]:
    request = delivery.request("engraver", SECRETS[delivery.source], NOW)
    headers = {name.lower(): value for name, value in request.headers.items()}
    receiver = sources[delivery.source]
    receiver.verify(headers, request.body, NOW)
    stored = receiver.receive(headers, request.body)
    event = receiver.normalise(stored, request.body)
    assert event is not None
    return stored.id, event


def test_the_same_seed_gives_the_same_bytes(orders: list[ShopOrder]) -> None:
    assert sample_orders(200, seed=1) == orders != sample_orders(200, seed=2)
    assert arrivals(orders, 1) == arrivals(orders, 1)


def test_every_delivery_is_accepted_and_every_order_is_due_to_the_cent(
    orders: list[ShopOrder], sources: dict[str, Source]
) -> None:
    for order in orders:
        events = [taken(delivery, sources)[1] for delivery in order.deliveries]
        due = [event.order for event in events if event.type is not EventType.ORDER_UPDATED]
        assert due
        for each in due:
            assert (each.id, each.ref, each.currency, each.total) == (
                order.order_id,
                order.ref,
                order.currency,
                order.total,
            )
            assert (each.customer.display_name, each.customer.email) == (order.customer, order.email)
            assert tuple(line.description for line in each.lines) == order.lines


def test_an_older_state_has_an_older_time(orders: list[ShopOrder], sources: dict[str, Source]) -> None:
    for order in orders:
        events = [taken(delivery, sources)[1] for delivery in order.deliveries]
        newest = max(events, key=lambda event: event.occurred_at)
        assert newest.order.total == order.total


def test_duplicates_latecomers_and_second_events_are_among_them(
    orders: list[ShopOrder], sources: dict[str, Source]
) -> None:
    duplicates = late = second = 0
    for order in orders:
        got = [taken(delivery, sources) for delivery in order.deliveries]
        duplicates += len(got) - len({stored for stored, _ in got})
        second += len({stored for stored, event in got if event.type is not EventType.ORDER_UPDATED}) > 1
        times = [event.occurred_at for _, event in got]
        late += times != sorted(times)
    assert min(duplicates, late, second) > 10


def test_an_order_is_recognised_by_its_lines_alone(orders: list[ShopOrder]) -> None:
    seen = Counter(line for order in orders for line in order.lines)
    assert set(seen.values()) == {1}


def test_customers_currencies_and_taxes_vary(orders: list[ShopOrder]) -> None:
    assert len({order.email for order in orders}) >= 20
    assert all(order.email.isascii() and order.email.endswith("@example.com") for order in orders)
    currencies = Counter(order.currency for order in orders)
    assert currencies.most_common(1)[0][0] == "GBP"
    assert set(currencies) == {"GBP", "EUR", "USD"}


def test_arrivals_mix_orders_and_keep_each_ones_order(orders: list[ShopOrder]) -> None:
    mixed = arrivals(orders, seed=3)
    assert Counter(mixed) == Counter(delivery for order in orders for delivery in order.deliveries)
    first = orders[0].deliveries
    assert [delivery for delivery in mixed if delivery in first] == list(first)


def test_a_plain_api_key_is_sent_as_such(orders: list[ShopOrder]) -> None:
    erp = next(order for order in orders if order.source == "erp").deliveries[0]
    assert erp.request("engraver", "key-1", NOW).headers["Authorization"] == "Bearer key-1"
    assert erp.request("engraver", "key-1", NOW).path == "/events"
