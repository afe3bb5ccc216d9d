"""The stub platform answers as the connector needs it, and sees every invoice that was created twice."""

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.sandbox.xero_books import _line, _totals
from tests.bench.stub import Books, totals
from tests.bench.world import BenchError, Side, control, stub
from tests.kit.processes import free_port
from worker.embedded.supervisor import Supervisor

LINE = {"Description": "Plaque", "Quantity": 2, "UnitAmount": 45.0, "AccountCode": "200", "TaxType": "OUTPUT2"}
CENTS = {"Description": "Bolt", "Quantity": 3, "UnitAmount": 0.3333, "AccountCode": "200", "TaxType": "OUTPUT2"}


def invoice(number: str, *lines: dict[str, Any], kinds: str = "Exclusive") -> dict[str, Any]:
    return {"Type": "ACCREC", "InvoiceNumber": number, "LineAmountTypes": kinds, "LineItems": list(lines or (LINE,))}


def put(books: Books, *invoices: dict[str, Any], key: bytes = b"") -> list[dict[str, Any]]:
    body = orjson.dumps({"Invoices": invoices})
    status, answer = books.answer("PUT", "/api.xro/2.0/Invoices?summarizeErrors=false", body, key)
    assert status == 200
    found: list[dict[str, Any]] = orjson.loads(answer)["Invoices"]
    return found


@pytest.mark.parametrize("kinds", ["Exclusive", "Inclusive"])
@pytest.mark.parametrize("line", [LINE, CENTS, {**CENTS, "TaxAmount": 0.19}, {**LINE, "DiscountAmount": 7.95}])
def test_its_totals_are_the_emulator_s(kinds: str, line: dict[str, Any]) -> None:
    there = _totals([_line(one, kinds, 4, "AUTHORISED") for one in (line, LINE)], kinds)
    net, tax = totals(invoice("SO-1", line, LINE, kinds=kinds))
    assert (net, tax) == (there["SubTotal"], there["TotalTax"])


def test_each_element_of_a_bulk_has_an_id_of_its_own() -> None:
    created = put(Books(), invoice("SO-1"), invoice("SO-2"))
    assert [one["InvoiceNumber"] for one in created] == ["SO-1", "SO-2"]
    assert len({one["InvoiceID"] for one in created}) == 2
    assert [one["Total"] for one in created] == [108.0, 108.0]


def test_the_same_key_creates_nothing_again() -> None:
    books = Books()
    assert put(books, invoice("SO-1"), key=b"k") == put(books, invoice("SO-1"), key=b"k")
    assert books.report()["invoices"] == 1


def test_what_was_created_is_found() -> None:
    books = Books()
    (created,) = put(books, invoice("SO-1"))
    _, answer = books.answer("GET", "/api.xro/2.0/Invoices?InvoiceNumbers=SO-0,SO-1&page=1", b"", b"")
    assert orjson.loads(answer)["Invoices"] == [created]


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    supervisor, port = Supervisor(tmp_path, {}, print), free_port()
    try:
        supervisor.start([stub(port, 1)])
        yield Side(supervisor, port=0, api_key="", platform_port=port)
    finally:
        supervisor.stop()


def test_a_doubled_or_a_missing_invoice_fails_a_benchmark(side: Side) -> None:
    connection = HTTPConnection("127.0.0.1", side.platform_port, timeout=10)
    for number in ("SO-1", "SO-2"):
        connection.request("PUT", "/api.xro/2.0/Invoices", orjson.dumps({"Invoices": [invoice(number)]}))
        assert connection.getresponse().read()
    assert side.platform_calls(2) == 2
    with pytest.raises(BenchError, match="3 orders, but the platform has 2"):
        side.platform_calls(3)
    connection.request("PUT", "/api.xro/2.0/Invoices", orjson.dumps({"Invoices": [invoice("SO-2")]}))
    connection.getresponse().read()
    connection.close()
    with pytest.raises(BenchError, match=r"doubled are \['SO-2'\]"):
        side.platform_calls(3)
    assert control(side.platform_port, "GET", "/_stub/report")["calls"]["PUT Invoices"] == 3
