"""A platform that costs next to nothing: what both sides of `billhook bench compare` post their invoices to.

    python -m tests.bench.stub --port 8090 --latency-ms 200

It speaks what the connector `xero` needs on its straight way (Xero-OpenAPI 16.1.0: tokens, contacts, PUT of one or 50
invoices, look-ups by number), has no limits, computes totals as Xero does, and counts: `GET /_stub/report` says how
often each number was created. Unlike Xero it takes a number twice, so that a doubled invoice is seen, not hidden.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httptools
import orjson

API = "/api.xro/2.0/"
RATES = {"OUTPUT2": 20, "RROUTPUT": 5, "NONE": 0, "ZERORATEDOUTPUT": 0}
"""Tax types and their per cent, as in Xero's demo company (UK)."""
CONTACT_NUMBER = re.compile(r'ContactNumber=="([^"]*)"')
Answer = tuple[int, bytes]


class Books:
    """Contacts and invoices in memory, and how often they were asked for."""

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, Any]] = {}
        self.invoices: dict[str, dict[str, Any]] = {}
        self.created: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.answers: dict[bytes, bytes] = {}
        """By idempotency key: the same key is answered with the same bytes and creates nothing (Xero's guide)."""

    def answer(self, method: str, target: str, body: bytes, key: bytes) -> Answer:
        """Status and JSON for one request."""
        parts = urlsplit(target)
        route: dict[tuple[str, str], Callable[[], Any]] = {
            ("PUT", f"{API}Invoices"): lambda: self._create("Invoices", body, self._invoice),
            ("PUT", f"{API}Contacts"): lambda: self._create("Contacts", body, self._contact),
            ("GET", f"{API}Invoices"): lambda: {"Invoices": self._invoices(parse_qs(parts.query))},
            ("GET", f"{API}Contacts"): lambda: {"Contacts": self._contacts(parse_qs(parts.query))},
            ("POST", "/connect/token"): token,
            ("GET", "/_stub/report"): self.report,
        }
        found = route.get((method, parts.path))
        if found is None:
            return 404, orjson.dumps({"Title": "Not Found", "Detail": f"the stub has no {method} {parts.path}"})
        self.calls[f"{method} {parts.path.removeprefix(API)}"] += 1
        if key and (before := self.answers.get(key)):
            return 200, before
        answered = orjson.dumps(found())
        if key:
            self.answers[key] = answered
        return 200, answered

    def report(self) -> dict[str, Any]:
        """Calls by kind; how many invoices were created under how many numbers, and the numbers that have several."""
        return {
            "calls": dict(self.calls),
            "platform_calls": sum(count for call, count in self.calls.items() if call[0:3] in ("PUT", "GET")
                                  and "_stub" not in call),
            "invoices": self.created.total(),
            "numbers": len(self.created),
            "contacts": len(self.contacts),
            "doubled": sorted(number for number, times in self.created.items() if times > 1)[:20],
        }  # fmt: skip

    def _create(self, collection: str, body: bytes, save: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
        given = orjson.loads(body)
        return {"Status": "OK", collection: [save(raw) for raw in given.get(collection, [given])]}

    def _contact(self, raw: dict[str, Any]) -> dict[str, Any]:
        saved = {**raw, "ContactID": str(uuid4()), "ContactStatus": "ACTIVE", "StatusAttributeString": "OK"}
        self.contacts[raw.get("ContactNumber") or saved["ContactID"]] = saved
        return saved

    def _invoice(self, raw: dict[str, Any]) -> dict[str, Any]:
        net, tax = totals(raw)
        number = raw["InvoiceNumber"]
        self.created[number] += 1
        saved = {
            **raw, "InvoiceID": str(uuid4()), "SubTotal": net, "TotalTax": tax, "Total": round(net + tax, 2),
            "AmountDue": round(net + tax, 2), "HasErrors": False, "StatusAttributeString": "OK",
        }  # fmt: skip
        self.invoices[number] = saved
        return saved

    def _contacts(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = CONTACT_NUMBER.findall(query.get("where", [""])[0])
        return [self.contacts[number] for number in wanted if number in self.contacts]

    def _invoices(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = query.get("InvoiceNumbers", [""])[0].split(",")
        return [self.invoices[number] for number in wanted if number in self.invoices]


def token() -> dict[str, Any]:
    """An access token, without a check of who asks."""
    return {"access_token": "stub-access", "refresh_token": "stub-refresh", "expires_in": 1800, "token_type": "Bearer"}


def totals(raw: dict[str, Any]) -> tuple[float, float]:
    """Net and tax of an invoice, tax rounded per line (guide "Rounding in Xero"), in its currency.

    In whole hundredths where it matters; the amounts of the benchmark are far from where a float would err.
    """
    included = raw.get("LineAmountTypes") == "Inclusive"
    net = tax = 0
    for line in raw["LineItems"]:
        amount = round((line.get("Quantity", 1) * line["UnitAmount"] - line.get("DiscountAmount", 0)) * 100)
        rate = RATES[line["TaxType"]]
        share = amount * rate / (100 + rate if included else 100)
        own = round(line["TaxAmount"] * 100) if "TaxAmount" in line else int(share + 0.5 if share >= 0 else share - 0.5)
        net += amount - own if included else amount
        tax += own
    return net / 100, tax / 100


class Line(asyncio.Protocol):
    """One keep-alive connection, one request in flight on it."""

    def __init__(self, books: Books, latency: float) -> None:
        self.books, self.latency = books, latency
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpRequestParser(self)
        self.target, self.body, self.key = b"", b"", b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"idempotency-key":
            self.key = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method, target = self.parser.get_method().decode(), self.target.decode()
        status, answered = self.books.answer(method, target, self.body, self.key)
        self.target, self.body, self.key = b"", b"", b""
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        whole = head % (status, b"OK" if status == 200 else b"Not Found", len(answered)) + answered
        if self.latency and target.startswith(API):
            self.loop.call_later(self.latency, self._write, whole)
        else:
            self._write(whole)

    def _write(self, whole: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(whole)


async def serve(port: int, latency: float) -> None:
    """Listens on 127.0.0.1 until it is ended; each call of the API takes `latency` seconds."""
    books = Books()
    server = await asyncio.get_running_loop().create_server(
        lambda: Line(books, latency), "127.0.0.1", port, backlog=512
    )
    print(f"The stub listens on 127.0.0.1:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    import uvloop

    uvloop.run(serve(options.port, options.latency_ms / 1000))


if __name__ == "__main__":
    main()
