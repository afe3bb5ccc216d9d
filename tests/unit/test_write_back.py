"""The invoice noted at the shop's order, over HTTP: once however often it is written, and nothing else touched."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.errors import Rejected, Throttled, Unauthorized, Unavailable
from connectors.model import Event
from connectors.sandbox.base import Response
from connectors.sources.asking import Posted
from connectors.sources.base import source
from connectors.sources.noting import key, note
from tests.contract.running import RunningSandbox
from tests.unit.noting_shops import EMULATORS, KINDS, SAID, Shop
from worker.store.orders import fingerprint


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    running = RunningSandbox(EMULATORS)
    yield running
    running.close()


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> Shop:
    return Shop(request.param, sandbox)


@pytest.fixture
def shopify(sandbox: RunningSandbox) -> Shop:
    return Shop("shopify", sandbox)


@pytest.fixture
def woo(sandbox: RunningSandbox) -> Shop:
    return Shop("woocommerce", sandbox)


@pytest.fixture
def bigcommerce(sandbox: RunningSandbox) -> Shop:
    return Shop("bigcommerce", sandbox)


def test_number_link_account_and_total_stand_at_the_order_and_nothing_else_of_it_changed(shop: Shop) -> None:
    before = copy.deepcopy(shop.order)
    assert shop.write()
    assert shop.notes() == {"invoice_books": SAID}
    own = {"updated_at", "date_modified_gmt", "meta_data"}
    assert {name: value for name, value in shop.order.items() if name not in own} == {
        name: value for name, value in before.items() if name not in own
    }


def test_written_again_it_changes_nothing(shop: Shop) -> None:
    assert shop.write()
    assert shop.write()
    assert shop.written == 1
    assert shop.notes() == {"invoice_books": SAID}


def test_another_number_takes_the_place_of_the_first(shop: Shop) -> None:
    shop.write()
    shop.write(number="INV-0043", total=Decimal("99.50"))
    assert shop.notes() == {"invoice_books": {**SAID, "number": "INV-0043", "total": "99.50"}}


def test_two_accounts_stand_side_by_side(shop: Shop) -> None:
    shop.write()
    shop.write(account="new-books", number="7")
    assert shop.notes() == {
        "invoice_books": SAID,
        "invoice_new-books": {**SAID, "account": "new-books", "number": "7"},
    }


def test_two_parts_of_an_order_stand_side_by_side_whatever_they_are_called(shop: Shop) -> None:
    parts = ["gid://shopify/Fulfillment/31", "Paket ½ " + "x" * 300]
    for number, part in enumerate(parts):
        shop.write(part=part, number=str(number))
    assert sorted((each["part"], each["number"]) for each in shop.notes().values()) == sorted(
        (part, str(number)) for number, part in enumerate(parts)
    )


def test_with_what_was_given_back_the_invoice_shows_how_it_stands(shop: Shop) -> None:
    shop.write()
    ended = replace(shop.posted(), state="credited")
    for _ in range(2):
        shop.write(part="refund:web:9", number="CN-1", kind="credit", total=Decimal("118.14"), of=ended)
    back = key(shop.posted(part="refund:web:9", kind="credit"))
    note_of_it = {**SAID, "part": "refund:web:9", "number": "CN-1", "kind": "credit"}
    assert shop.notes() == {"invoice_books": {**SAID, "state": "credited"}, back: note_of_it}


@pytest.mark.parametrize("missing", ["number", "url"])
def test_what_is_not_known_is_left_out(shop: Shop, missing: str) -> None:
    shop.write(**{missing: None})
    [noted] = shop.notes().values()
    assert noted == {name: value for name, value in SAID.items() if name != missing}


def test_an_order_that_is_gone_is_refused(shop: Shop) -> None:
    shop.sandbox.run(shop.emulator.orders.clear)
    with pytest.raises(Rejected):
        shop.write()
    assert shop.written == 0


@pytest.mark.parametrize("number", ["../customers/1", "1001?x=1", "", "٣", "#1001"])
def test_an_id_that_is_none_becomes_no_part_of_an_address(shop: Shop, number: str) -> None:
    with pytest.raises(Rejected, match="no id of a"):
        shop.source.write_back(shop.api, replace(shop.posted(), order_id=number))


def test_credentials_that_may_only_read_are_told_as_such(shop: Shop) -> None:
    shop.source = source(shop.kind)(["s"], {**shop.credentials(may_write=False), "write_back": True})
    wanted = {"shopify": "scope write_orders", "woocommerce": "write permissions", "bigcommerce": "required scope"}
    with pytest.raises(Unauthorized, match=wanted[shop.kind]):
        shop.write()
    assert shop.notes() == {}


def test_too_many_calls_say_how_long_to_wait(shop: Shop) -> None:
    quota = getattr(shop.emulator, shop.quota)
    shop.sandbox.run(lambda: [quota.take(shop.emulator.clock()) for _ in range(quota.calls)])
    with pytest.raises(Throttled) as throttled:
        shop.write()
    assert throttled.value.retry_after
    assert shop.notes() == {}


def test_where_it_is_off_nothing_is_written(shop: Shop) -> None:
    shop.source = source(shop.kind)(["s"], shop.credentials())
    assert not shop.write()
    assert shop.notes() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_who_switches_it_on_without_credentials_is_told(kind: str) -> None:
    with pytest.raises(ValueError, match="write_back needs"):
        source(kind)(["s"], {"write_back": True})


# -- keys -------------------------------------------------------------------------------------------------------------


def named(account: str, part: str) -> str:
    return key(Posted("1", account, part, None, None, Decimal(1), "GBP"))


def test_no_two_accounts_and_parts_share_a_key_and_each_is_one_that_every_shop_takes() -> None:
    accounts = ["b", "books", "books_2", "part_books", "x" * 40, "x" * 41, "x" * 60, "x" * 61, "Bücher"]
    parts = ["order", "2", "Order", "", "31", "x" * 300, "ß"]
    accounts += [named(account, part) for account in ("b", "books") for part in parts]
    keys = [named(account, part) for account in accounts for part in parts]
    assert len(set(keys)) == len(accounts) * len(parts)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{2,64}", each) for each in keys)


def test_the_same_invoice_is_the_same_text_and_its_total_is_written_out() -> None:
    posted = Posted("1", "books", "order", "7", None, Decimal("1.2E+3"), "JPY")
    said = '"number":"7","total":"1200","currency":"JPY","account":"books","part":"order","state":"issued"'
    assert note(posted) == f"{{{said}}}"


# -- what the shop tells of our own write ----------------------------------------------------------------------------


def invoiced_as(shop: Shop, delivery: Any, body: bytes) -> str:
    event = shop.source.normalise(delivery, body)
    assert isinstance(event, Event)
    assert event.order is not None
    return fingerprint(event.order)


def test_woocommerce_s_webhook_of_our_own_write_tells_the_same_order(woo: Shop) -> None:
    def told() -> str:
        body = orjson.dumps(woo.order)
        delivery = woo.source.receive({"x-wc-webhook-topic": "order.updated"}, body)
        ids.append(delivery.id)
        return invoiced_as(woo, delivery, body)

    ids: list[str] = []
    before = told()
    woo.write()
    assert told() == before
    assert ids[0] != ids[1]  # so it was handled, and not taken for a repetition


def test_a_pull_that_finds_our_own_write_tells_the_same_order(shopify: Shop) -> None:
    began = shopify.source.pull(shopify.api, None, datetime(2026, 1, 1, tzinfo=UTC))
    assert began is not None

    def told() -> str:
        page = shopify.source.pull(shopify.api, began.cursor, datetime(2100, 1, 1, tzinfo=UTC))
        assert page is not None
        return invoiced_as(shopify, page.found[0].delivery, page.found[0].body)

    before = told()
    shopify.write()
    assert told() == before


def test_bigcommerce_s_order_is_the_same_document_after_our_write(bigcommerce: Shop) -> None:
    hook = orjson.dumps({"scope": "store/order/updated", "data": {"type": "order", "id": bigcommerce.number}})
    delivery = bigcommerce.source.receive({}, hook)
    before = bigcommerce.source.fetch(bigcommerce.api, delivery, hook)
    bigcommerce.write()
    assert bigcommerce.source.fetch(bigcommerce.api, delivery, hook) == before


# -- each shop's own -------------------------------------------------------------------------------------------------


def test_woocommerce_s_other_custom_fields_stay_and_copies_of_ours_go(woo: Shop) -> None:
    tracking = {"id": 2, "key": "_wc_shipment_tracking_items", "value": [{"tracking_number": "RM1"}]}
    old = [{"id": number, "key": "billhook_invoice_books", "value": "{}"} for number in (3, 4)]
    woo.order["meta_data"] = [tracking, *copy.deepcopy(old)]
    woo.write()
    assert woo.order["meta_data"] == [tracking, {**old[0], "value": note(woo.posted())}]


def test_bigcommerce_s_note_that_somebody_made_meanwhile_is_updated(
    bigcommerce: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    bigcommerce.write(number="INV-0041")
    real, answers = bigcommerce.emulator._metafields, [Response.json(200, {"data": []})]
    monkeypatch.setattr(bigcommerce.emulator, "_metafields", lambda *asked: answers.pop() if answers else real(*asked))
    bigcommerce.write()
    assert len(bigcommerce.emulator.metafields) == 1
    assert bigcommerce.notes() == {"invoice_books": SAID}


@pytest.mark.parametrize("listed", [[], {}, {"data": None}, {"data": {}}, "text"])
def test_what_is_no_list_of_metafields_is_none(bigcommerce: Shop, monkeypatch: pytest.MonkeyPatch, listed: Any) -> None:
    monkeypatch.setattr(bigcommerce.emulator, "_metafields", lambda *asked: Response.json(200, listed))
    with pytest.raises(Unavailable, match="no list of metafields"):
        bigcommerce.write()


@pytest.mark.parametrize("row", [None, {}, {"id": "7", "namespace": "billhook", "key": "invoice_books"}, {"id": 7}])
def test_a_metafield_that_cannot_be_read_is_never_written_to(
    bigcommerce: Shop, monkeypatch: pytest.MonkeyPatch, row: Any
) -> None:
    bigcommerce.write(number="INV-0041")
    monkeypatch.setattr(bigcommerce.emulator, "_metafields", lambda *asked: Response.json(200, {"data": [row]}))
    with pytest.raises(Unavailable, match="does not show it"):
        bigcommerce.write()
    assert bigcommerce.written == 1


def failing(code: str | None, message: str = "no") -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code}}]}


def refusing(code: str | None) -> dict[str, Any]:
    return {"data": {"metafieldsSet": {"metafields": None, "userErrors": [{"message": "no", "code": code}]}}}


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (failing("THROTTLED"), Throttled),
        (failing("ACCESS_DENIED"), Unauthorized),
        (failing("INTERNAL_SERVER_ERROR"), Unavailable),
        (failing(None, "invalid id"), Rejected),
        ({"errors": "no"}, Rejected),
        ({"errors": [None]}, Rejected),
        (refusing("APP_NOT_AUTHORIZED"), Unauthorized),
        (refusing("INTERNAL_ERROR"), Unavailable),
        (refusing("INVALID_TYPE"), Rejected),
        (refusing(None), Rejected),
        ({"data": {"metafieldsSet": {"metafields": [], "userErrors": []}}}, Unavailable),
        ({"data": None}, Unavailable),
        ([], Unavailable),
    ],
)
def test_shopify_s_refusals_which_come_with_200_are_told_as_what_they_are(
    shopify: Shop, monkeypatch: pytest.MonkeyPatch, told: Any, error: type[Exception]
) -> None:
    monkeypatch.setattr(shopify.emulator, "_graphql", lambda request: Response.json(200, told))
    with pytest.raises(error):
        shopify.write()


def test_what_is_not_json_is_no_answer(shopify: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shopify.emulator, "_graphql", lambda request: Response(200, b"<html>"))
    with pytest.raises(Unavailable, match="not JSON"):
        shopify.write()


# -- the emulators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "method", "where", "body"),
    [
        ("woocommerce", "PUT", "/wp-json/wc/v3/orders/{}", {"status": "completed", "meta_data": []}),
        ("woocommerce", "PUT", "/wp-json/wc/v3/orders/{}", {"meta_data": [{"key": "x", "value": "y", "display": 1}]}),
        ("bigcommerce", "PUT", "/orders/{}", {"staff_notes": "x"}),
        ("bigcommerce", "POST", "{base}/v3/orders/{}/metafields", {"namespace": "x", "key": "y", "value": "z"}),
        ("bigcommerce", "POST", "{base}/v3/orders/{}/metafields",
         {"permission_set": "all", "namespace": "x", "key": "y", "value": "z"}),
        ("bigcommerce", "POST", "{base}/v3/orders/{}/metafields",
         {"permission_set": "read", "namespace": "x", "key": "y", "value": "z", "type": "json"}),
        ("shopify", "PUT", "/admin/api/2026-10/orders/{}.json", {"order": {"note": "x"}}),
    ],
)  # fmt: skip
def test_an_emulator_takes_no_other_write(
    sandbox: RunningSandbox, kind: str, method: str, where: str, body: dict[str, Any]
) -> None:
    shop = Shop(kind, sandbox)
    address = where.replace("{}", str(shop.number)).replace("{base}", shop.api.base_url.removesuffix("/v2"))
    with pytest.raises(Rejected):
        shop.api.call(method, address, body=orjson.dumps(body).decode())
    assert shop.written == 0


@pytest.mark.parametrize(
    "wrong",
    [{"key": "x"}, {"key": "a b"}, {"namespace": "no"}, {"type": "text"}, {"value": "{"}, {"note": "x"},
     {"ownerId": "1001"}],
)  # fmt: skip
def test_shopify_s_emulator_takes_no_wrong_metafield(shopify: Shop, wrong: dict[str, str]) -> None:
    fitting = {"ownerId": f"gid://shopify/Order/{shopify.number}", "namespace": "billhook", "key": "invoice_books",
               "type": "json", "value": "{}"}  # fmt: skip
    mutation = """mutation($m: [MetafieldsSetInput!]!) {
        metafieldsSet(metafields: $m) { metafields { id } userErrors { code message } } }"""
    for given, wanted in ((fitting, 1), (fitting | wrong, 1)):
        body = {"query": mutation, "variables": {"m": [given]}}
        told = shopify.api.document("/admin/api/2026-10/graphql.json", method="POST", body=body)
        assert shopify.written == wanted
    assert told.get("errors") or told["data"]["metafieldsSet"]["userErrors"]
