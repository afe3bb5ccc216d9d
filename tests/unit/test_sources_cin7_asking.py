"""Cin7 Core asked: the sale that a webhook means, what was missed, and quotas however they are told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.errors import Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import EventType
from connectors.sandbox.source_apis.cin7 import ACCOUNT, Cin7Sales
from connectors.sources import cin7_asking
from connectors.sources.asking import Api, Found
from connectors.sources.base import Look
from connectors.sources.cin7 import Cin7
from tests.unit.carrier_bodies import running
from tests.unit.cin7_bodies import NOW, SALE, SECRET, TASK_ID, WEBHOOK, Company, events, sale


@pytest.fixture
def company() -> Iterator[Company]:
    with running(Cin7Sales) as (sandbox, emulator, url):
        yield Company(sandbox, emulator, url)


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_the_task_of_an_advanced_sale_leads_to_it_by_its_number(company: Company, inside: bool) -> None:
    company.emulator.inside = inside
    company.put(sale(ID=TASK_ID[:-1] + "9") | {"Order": SALE["Order"] | {"SaleOrderNumber": "SO-000421"}})
    webhook = {"SaleTaskID": TASK_ID, "OrderNumber": "SO-00042", "EventType": "Sale/ShipmentAuthorised"}
    assert company.told(SALE, webhook)[0].order is not None
    with pytest.raises(Rejected, match="knows no sale"):
        company.told(SALE, webhook | {"OrderNumber": "SO-77777"})


def test_the_same_sale_is_the_same_each_time_and_its_costs_are_not_kept(company: Company) -> None:
    company.put(SALE)
    made, api = company.source()
    body = orjson.dumps(WEBHOOK)
    first, again = (made.fetch(api, made.receive({}, body), body) for _ in range(2))
    assert first == again
    company.put(sale(LastModifiedOn="2026-11-22T12:00:00Z", CombinedInvoiceStatus="INVOICED"))
    later = made.fetch(api, made.receive({}, body), body)
    assert [one.delivery.id == two.delivery.id for one, two in zip(first, later, strict=True)] == [False, True]
    assert not any(b"AverageCost" in one.body or b"7.5," in one.body for one in first)


def started(made: Cin7, api: Api, now: datetime = NOW) -> str:
    page = made.pull(api, None, now)
    assert page is not None
    assert (page.found, page.more) == ((), False)
    return page.cursor


def pulled(made: Cin7, api: Api, cursor: str, now: datetime) -> tuple[list[Found], str]:
    found: list[Found] = []
    while True:
        page = made.pull(api, cursor, now)
        assert page is not None
        found += page.found
        cursor = page.cursor
        if not page.more:
            return found, cursor


def at(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def numbered(number: int, minutes: float, **changes: Any) -> dict[str, Any]:
    order = SALE["Order"] | {"SaleOrderNumber": f"SO-{number}"}
    return sale(ID=f"{number:08}-0000-4000-8000-000000000000", LastModifiedOn=at(minutes), Order=order, **changes)


def test_sales_that_changed_are_found_once_and_lead_to_the_sale(company: Company) -> None:
    made, api = company.source()
    cursor = started(made, api)
    company.put(numbered(1, -5))
    company.put(numbered(2, 5))
    company.put(numbered(3, 6) | {"Type": "Simple Credit Note"})
    company.put(numbered(4, 6) | {"Order": {"Status": "DRAFT"}})
    company.put(numbered(5, 6, ExternalID="bh-" + "a2" * 13))
    found, cursor = pulled(made, api, cursor, NOW + timedelta(minutes=10))
    assert [one.delivery.order_ref for one in found] == ["SO-2"]
    assert isinstance(made.normalise(found[0].delivery, found[0].body), Look)
    read = events(made, made.fetch(api, found[0].delivery, found[0].body))
    assert [each.type for each in read] == [EventType.ORDER_FULFILLED, EventType.SHIPMENT_SHIPPED]
    assert pulled(made, api, cursor, NOW + timedelta(minutes=20))[0] == []


def test_a_sale_is_not_lost_where_pages_move_while_they_are_read(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cin7_asking, "_SIZE", 2)
    made, api = company.source()
    cursor = started(made, api)
    for number in range(5):
        company.put(numbered(number, 1 + number))
    page = made.pull(api, cursor, NOW + timedelta(minutes=10))
    assert page is not None
    company.put(numbered(9, 11))
    company.sandbox.run(lambda: company.emulator.sales.pop(numbered(4, 0)["ID"]))
    company.sandbox.run(lambda: company.emulator.sales.pop(numbered(9, 0)["ID"]))
    rest, cursor = pulled(made, api, page.cursor, NOW + timedelta(minutes=10))
    names = {one.delivery.order_ref for one in (*page.found, *rest)}
    assert names == {f"SO-{number}" for number in range(5)}
    assert pulled(made, api, cursor, NOW + timedelta(minutes=20))[0] == []


def test_what_was_shipped_before_anybody_asked_is_told_and_asks_for_nothing(company: Company) -> None:
    made, api = company.source()
    cursor = started(made, api, NOW + timedelta(days=3))
    company.put(numbered(1, 3 * 1440 + 5))
    found, _ = pulled(made, api, cursor, NOW + timedelta(days=3, minutes=10))
    read = events(made, made.fetch(api, found[0].delivery, found[0].body))
    assert [each.type for each in read] == [EventType.ORDER_UPDATED, EventType.ORDER_UPDATED]
    company.put(numbered(1, 3 * 1440 + 5, Status="VOIDED"))
    read = events(made, made.fetch(api, found[0].delivery, found[0].body))
    assert read[0].type is EventType.ORDER_CANCELLED


@pytest.mark.parametrize("status", [400, 429, 503])
def test_the_quota_is_understood_however_it_is_told(company: Company, status: int) -> None:
    company.emulator.over = status
    company.sandbox.run(lambda: [company.emulator.limit.take(company.emulator.clock()) for _ in range(60)])
    made, api = company.source()
    with pytest.raises(Throttled) as refused:
        made.pull(api, started(made, api), NOW)
    assert refused.value.retry_after == 60


def test_wrong_keys_and_answers_that_are_none_are_told_apart(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    made, api = company.source(key="wrong")
    with pytest.raises(Unauthorized, match="Incorrect credentials"):
        made.pull(api, started(made, api), NOW)
    made, api = company.source()
    said = [{"ErrorCode": 500, "Exception": "Something broke"}]
    body: Any
    for body in (said, [], {}, 5, None, "You have reached 60 calls per 60 seconds API limit."):
        monkeypatch.setattr(api, "document", lambda *_, body=body, **__: body)
        with pytest.raises(Unavailable):
            made.pull(api, started(made, api), NOW)
    monkeypatch.setattr(api, "document", lambda *_, **__: {"Exception": "60 calls per 60 seconds API limit."})
    with pytest.raises(Throttled):
        made.pull(api, started(made, api), NOW)


def test_without_an_application_it_is_not_asked_and_half_of_one_is_refused() -> None:
    assert Cin7([SECRET]).api(Http(1)) is None
    with pytest.raises(ValueError, match="belong together"):
        Cin7([SECRET], {"account_id": ACCOUNT})
    with pytest.raises(ValueError, match="channels need order_field"):
        Cin7([SECRET], {"channels": ["Shopify"]})
