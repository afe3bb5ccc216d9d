"""The emulated QuickBooks refuses what QuickBooks refuses, in its words and with its codes."""

from __future__ import annotations

import json
import sqlite3
from typing import Any
from urllib.parse import quote

import pytest

from connectors.sandbox import quickbooks as sandbox
from connectors.sandbox.base import Request

HEADERS = {"authorization": f"Bearer {sandbox.ACCESS_TOKEN}", "accept": "application/json"}


class Counter:
    """The emulator with a clock of its own, asked without a network; each call a second after the last."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.emulator = sandbox.QuickBooks(sqlite3.connect(":memory:", isolation_level=None), lambda: self.now)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        self.now += 1
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else b""
        request = Request(method, f"/v3/company/{sandbox.REALM}/{path}", {**HEADERS, **headers}, raw)
        answer = self.emulator.handle(request)
        return answer.status, json.loads(answer.body) if answer.body.startswith(b"{") else answer.body.decode()

    def post(self, path: str, body: Any) -> Any:
        return self.call("POST", path, body)[1]

    def code(self, path: str, body: Any) -> str:
        """The code of a refusal."""
        status, answer = self.call("POST", path, body)
        assert status == 400, answer
        return str(answer["Fault"]["Error"][0]["code"])

    def found(self, statement: str) -> list[dict[str, Any]]:
        _, answer = self.call("GET", f"query?query={quote(statement)}")
        response = answer["QueryResponse"]
        return next((rows for rows in response.values() if isinstance(rows, list)), [])


@pytest.fixture
def counter() -> Counter:
    return Counter()


def line(**changed: Any) -> dict[str, Any]:
    detail = {"ItemRef": {"value": "1"}, "Qty": 2, "UnitPrice": 45, "TaxCodeRef": {"value": "6"}}
    detail |= changed.pop("detail", {})
    return {"DetailType": "SalesItemLineDetail", "Amount": 90, "SalesItemLineDetail": detail, **changed}


def invoice(**changed: Any) -> dict[str, Any]:
    return {
        "DocNumber": "SO-1", "CustomerRef": {"value": "58"}, "CurrencyRef": {"value": "GBP"}, "Line": [line()],
        "GlobalTaxCalculation": "TaxExcluded", "TxnDate": "2026-11-22", **changed,
    }  # fmt: skip


@pytest.fixture
def ada(counter: Counter) -> str:
    return str(counter.post("customer", {"DisplayName": "Ada Lovelace"})["Customer"]["Id"])


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"CustomerRef": {"value": "999"}}, "2500"),
        ({"CustomerRef": None}, "2020"),
        ({"CurrencyRef": None}, "2020"),
        ({"CurrencyRef": {"value": "EUR"}}, "6000"),
        ({"GlobalTaxCalculation": None}, "2020"),
        ({"DocNumber": "S" * 22}, "2050"),
        ({"PrivateNote": "n" * 4001}, "2050"),
        ({"Line": []}, "2020"),
        ({"Line": [line(Amount=89)]}, "6070"),
        ({"Line": [line(detail={"TaxCodeRef": {"value": "987654"}})]}, "2500"),
        ({"Line": [line(detail={"ItemRef": {"value": "987654"}})]}, "2500"),
        ({"Line": [line(Amount=-90, detail={"Qty": -2})]}, "6000"),
        ({"Line": [line()] * 751}, "6000"),
        ({"TxnDate": "22/11/2026"}, "2030"),
        ({"BillAddr": {"Country": "GB"}}, "2010"),
        ({"Colour": "brass"}, "2010"),
        ({"TxnTaxDetail": {"TaxLine": [{"Amount": 1, "TaxLineDetail": {"TaxRateRef": {"value": "13"}}}]}}, "2500"),
    ],
)
def test_an_invoice_that_is_not_valid_is_refused(counter: Counter, ada: str, changed: Any, code: str) -> None:
    assert counter.code("invoice", invoice(**changed)) == code
    assert counter.emulator.ledger() == []


def test_a_line_without_an_item_is_text_and_its_amount_is_ignored(counter: Counter, ada: str) -> None:
    made = counter.post("invoice", invoice(Line=[line(), line(detail={"ItemRef": None})]))["Invoice"]
    assert (made["TotalAmt"], made["Line"][1]["DetailType"]) == (108.0, "DescriptionOnly")


def test_a_number_is_taken_once_unless_it_is_allowed(counter: Counter, ada: str) -> None:
    counter.post("invoice", invoice())
    assert counter.code("invoice", invoice()) == "6140"
    assert counter.post("invoice?include=allowduplicatedocnum", invoice())["Invoice"]["DocNumber"] == "SO-1"


def test_names_are_unique_over_customers_and_vendors_whatever_their_case(counter: Counter, ada: str) -> None:
    assert counter.code("customer", {"DisplayName": "ada lovelace"}) == "6240"
    assert counter.code("vendor", {"DisplayName": "Ada Lovelace"}) == "6240"
    changed = {"Id": ada, "SyncToken": "0", "sparse": True, "Active": False}
    assert counter.post("customer", changed)["Customer"]["DisplayName"] == "Ada Lovelace (deleted)"
    assert counter.post("customer", {"DisplayName": "Ada Lovelace"})["Customer"]["Id"] != ada
    assert counter.code("invoice", invoice(CustomerRef={"value": ada})) == "610"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ({}, "2020"), ({"DisplayName": "a:b"}, "2040"), ({"DisplayName": "n" * 501}, "2050"),
        ({"DisplayName": "x", "PrimaryEmailAddr": {"Address": "nobody"}}, "2210"),
        ({"DisplayName": "x", "GivenName": "g" * 101}, "2050"),
    ],
)  # fmt: skip
def test_a_customer_that_is_not_valid_is_refused(counter: Counter, raw: Any, code: str) -> None:
    assert counter.code("customer", raw) == code


def test_queries_heed_neither_case_nor_more_than_they_may(counter: Counter, ada: str) -> None:
    for number in ("SO-1", "SO-10", "so-2"):
        counter.post("invoice", invoice(DocNumber=number))
    assert [row["DocNumber"] for row in counter.found("SELECT * FROM invoice WHERE docnumber IN ('so-1', 'SO-2')")] == [
        "SO-1",
        "so-2",
    ]
    assert len(counter.found("select * from Invoice where DocNumber like 'SO-1%'")) == 2
    assert len(counter.found(f"select * from Invoice where CustomerRef = '{ada}' and TxnDate = '2026-11-22'")) == 3
    paged = counter.found("select * from Invoice orderby DocNumber desc startposition 2 maxresults 1")
    assert [row["DocNumber"] for row in paged] == ["SO-10"]
    assert counter.found("select * from Customer where DisplayName = 'Ada\\'s'") == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("select * from Invoice where DocNumber = 'a' or DocNumber = 'b'", "4000"),
        ("select DocNumber from Invoice", "4000"),
        ("select * from Invoice where DocNumber = 'it's'", "4000"),
        ("select * from Invoice where PrivateNote = 'x'", "4001"),
        ("select * from Customer where PrimaryEmailAddr = 'a@b.c'", "4001"),
        ("select * from Dragons", "4001"),
        ("select * from Invoice maxresults 1001", "4001"),
    ],
)
def test_what_the_query_language_does_not_know_is_refused(counter: Counter, statement: str, code: str) -> None:
    assert counter.code("query", statement) == code


def test_in_a_batch_each_item_is_answered_by_itself_in_any_order(counter: Counter, ada: str) -> None:
    items = [
        {"bId": "a", "operation": "create", "Invoice": invoice()},
        {"bId": "b", "operation": "create", "Invoice": invoice()},
        {"bId": "c", "Query": "select * from Item where Name = 'Shipping'"},
    ]
    answers = counter.post("batch", {"BatchItemRequest": items})["BatchItemResponse"]
    assert [answer["bId"] for answer in answers] == ["c", "b", "a"]
    by_id = {answer["bId"]: answer for answer in answers}
    assert by_id["a"]["Invoice"]["DocNumber"] == "SO-1"
    assert by_id["b"]["Fault"]["Error"][0]["code"] == "6140"
    assert by_id["c"]["QueryResponse"]["Item"][0]["Id"] == "23"
    assert counter.code("batch", {"BatchItemRequest": items[2:] * 31}) == "1040"


def test_a_requestid_is_known_for_the_company_and_in_a_batch_with_its_bids(counter: Counter, ada: str) -> None:
    first = counter.post("invoice?requestid=r1", invoice())
    assert counter.post("invoice?requestid=r1", invoice(DocNumber="SO-2")) == first
    assert counter.code(f"invoice?requestid={'r' * 51}", invoice()) == "2050"
    one = {"BatchItemRequest": [{"bId": "a", "operation": "create", "Invoice": invoice(DocNumber="SO-3")}]}
    other = {"BatchItemRequest": [{"bId": "b", "operation": "create", "Invoice": invoice(DocNumber="SO-4")}]}
    assert counter.post("batch?requestid=r2", one) == counter.post("batch?requestid=r2", one)
    counter.post("batch?requestid=r2", other)
    assert [entry.reference for entry in counter.emulator.ledger()] == ["SO-1", "SO-3", "SO-4"]
    assert counter.code(f"batch?requestid={'r' * 37}", one) == "2050"
    long = {"BatchItemRequest": [{**one["BatchItemRequest"][0], "bId": "b" * 11}]}
    assert counter.code("batch?requestid=r3", long) == "2050"


def test_who_is_not_known_is_told_so_in_the_shape_of_its_layer(counter: Counter) -> None:
    status, answer = counter.call("GET", "invoice/1", authorization="Bearer nobody")
    assert (status, answer["fault"]["type"], answer["fault"]["error"][0]["code"]) == (401, "AUTHENTICATION", "3200")
    request = Request("GET", "/v3/company/123/invoice/1", HEADERS, b"")
    elsewhere = counter.emulator.handle(request)
    assert elsewhere.status == 401
    assert b'<Error code="100">' in elsewhere.body


def test_the_eleventh_call_in_a_second_and_the_501st_in_a_minute_are_refused(counter: Counter) -> None:
    def status() -> int:
        counter.now -= 1  # the call itself adds it
        return counter.call("GET", "preferences")[0]

    assert [status() for _ in range(11)] == [200] * 10 + [429]
    for _ in range(49):
        counter.now += 1.01
        assert [status() for _ in range(10)] == [200] * 10
    counter.now += 1.01
    assert status() == 429
    assert counter.emulator.refused_for_quota == 2


def test_a_payment_free_zero_invoice_is_not_paid(counter: Counter, ada: str) -> None:
    counter.post("invoice", invoice(Line=[line(Amount=0, detail={"UnitPrice": 0})]))
    assert [entry.status for entry in counter.emulator.ledger()] == ["issued"]


def linking(amount: float, other: str = "58", *, kind: str = "CreditMemo", invoice: str = "58") -> dict[str, Any]:
    ids = {"Invoice": invoice, kind: other}
    lines = [{"Amount": amount, "LinkedTxn": [{"TxnId": i, "TxnType": kind}]} for kind, i in ids.items()]
    return {"TotalAmt": 0, "CustomerRef": {"value": "58"}, "CurrencyRef": {"value": "GBP"}, "Line": lines}


@pytest.mark.parametrize(
    ("payment", "code"),
    [
        (linking(108.01), "6000"),
        (linking(-1), "2240"),
        (linking(1, "999"), "2500"),
        (linking(1, kind="Estimate"), "2020"),
        (linking(1, invoice="59"), "6000"),
        ({**linking(1), "CustomerRef": {"value": "59"}}, "6000"),
        ({**linking(1), "CurrencyRef": None}, "2020"),
        ({**linking(1), "TotalAmt": None}, "2020"),
        ({**linking(1), "Line": linking(1)["Line"][:1]}, "6000"),
        ({**linking(1), "DocNumber": "P-1"}, "2010"),
    ],
)
def test_a_payment_that_does_not_set_off_is_refused(counter: Counter, ada: str, payment: Any, code: str) -> None:
    other = counter.post("customer", {"DisplayName": "Somebody Else"})["Customer"]["Id"]
    for number, who in (("SO-1", ada), ("SO-2", other)):
        counter.post("invoice", invoice(DocNumber=number, CustomerRef={"value": who}))
    memo = {name: value for name, value in invoice(DocNumber="SO-1-C1").items() if name != "DueDate"}
    assert counter.post("creditmemo", memo)["CreditMemo"]["RemainingCredit"] == 108.0
    assert counter.code("payment", payment) == code
    assert [row["Balance"] for row in counter.found("select * from Invoice")] == [108.0, 108.0]
    assert counter.post("payment", linking(100))["Payment"]["UnappliedAmt"] == 0
    assert [row["Balance"] for row in counter.found("select * from Invoice")] == [8.0, 108.0]
    assert counter.code("creditmemo?operation=delete", {"Id": "58", "SyncToken": "1"}) == "6000"
    assert counter.code("creditmemo", {**memo, "InvoiceRef": {"value": "999"}}) in {"2500", "6140"}
