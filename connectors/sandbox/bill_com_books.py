"""What BILL refuses of customers and invoices, and the amounts it makes of them; as developer.bill.com documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, total

CURRENCIES = {"USD", "GBP", "EUR", "CAD", "AUD", "JPY"}
ACCOUNTS = [
    {"id": "0ca01SANDBOXBANK00001", "name": "Checking", "accountType": "BANK"},
    {"id": "0ca01SANDBOXINCOME002", "name": "Sales", "accountType": "INCOME"},
]
CUSTOMER: dict[str, int] = {
    "name": 100, "companyName": 250, "email": 4000, "phone": 4000, "fax": 4000, "description": 4000,
    "invoiceCurrency": 3, "accountType": 10, "paymentTermId": 30, "accountNumber": 100,
}  # fmt: skip
"""Its texts and their lengths (Create a customer); lengths that are not documented are generous here."""
PLACE = ("line1", "line2", "city", "stateOrProvince", "zipOrPostalCode", "country")
INVOICE = {
    "invoiceNumber", "invoiceDate", "dueDate", "customer", "invoiceLineItems", "processingOptions",
    "payToChartOfAccountId", "classifications", "creditAmount", "enableCardPayment",
}  # fmt: skip


def problem(status: int, code: str, message: str, category: str = "REQUEST") -> Response:
    error = {"timestamp": "2026-11-22T00:00:00.000+00:00", "code": code, "severity": "ERROR"}
    return Response.json(status, [{**error, "category": category, "message": message}])


class Refused(Refusal):
    """BILL's answer to a request it does not take. Of most refusals the code is not documented: BDC_0000 stands in."""

    def __init__(self, message: str, code: str = "BDC_0000", status: int = 400) -> None:
        super().__init__(problem(status, code, message), message)


class Books:
    """Customers and invoices; `clock` gives Unix seconds."""

    def __init__(self, shelf: Shelf, clock: Callable[[], float]) -> None:
        self.shelf, self.clock = shelf, clock

    def stamped(self) -> dict[str, str]:
        now = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
        return {"createdTime": now, "updatedTime": now}

    def need(self, kind: str, ident: str) -> Doc:
        return self.shelf.need(kind, ident, Refused(f"The {kind} {ident} is not found", status=404))

    def add_customer(self, raw: Mapping[str, Any]) -> Doc:
        only(raw, [*CUSTOMER, "contact", "billingAddress", "shippingAddress"])
        for name in ("name", "email"):
            if not str(raw.get(name) or "").strip():
                raise Refused(f"{name}: must not be blank")
        for name, most in CUSTOMER.items():
            if len(str(raw.get(name) or "")) > most:
                raise Refused(f"{name}: length must be at most {most}")
        if raw.get("invoiceCurrency", "USD") not in CURRENCIES:
            raise Refused("invoiceCurrency: is not a currency of this organization")
        if raw.get("accountType", "BUSINESS") not in {"BUSINESS", "PERSON", "NONE"}:
            raise Refused("accountType: is not valid")
        only(raw.get("contact") or {}, ["firstName", "lastName"])
        for name in ("billingAddress", "shippingAddress"):
            _place(name, raw.get(name))
        ident = f"0cu01SANDBOX{self.shelf.count('customer') + 1:08}"
        doc = {"id": ident, "archived": False, "invoiceCurrency": "USD", "balance": {"amount": 0}, **raw}
        return self.shelf.put("customer", ident, {**doc, **self.stamped()})

    def add_invoice(self, raw: Mapping[str, Any]) -> Doc:
        only(raw, INVOICE)
        only(raw.get("processingOptions") or {}, ["sendEmail"])
        given = raw.get("customer") or {}
        only(given, ["id"])  # by name and e-mail it would make a customer; nobody does that here
        customer = self.need("customer", str(given.get("id")))
        if customer["archived"]:
            raise Refused("customer: is archived")
        if len(str(raw.get("invoiceNumber") or "")) > 100:
            raise Refused("invoiceNumber: length must be at most 100")
        account = raw.get("payToChartOfAccountId")
        if account and account not in {each["id"] for each in ACCOUNTS}:
            raise Refused("payToChartOfAccountId: is not found")
        lines = [_line(number, line) for number, line in enumerate(raw.get("invoiceLineItems") or ())]
        if not lines:
            raise Refused("invoiceLineItems: must not be empty")
        amount = total(exact(line["amount"]) for line in lines)
        if amount < 0:
            raise Refused("The invoice total must not be negative")
        number = self.shelf.count("invoice") + 1
        today = datetime.fromtimestamp(self.clock(), UTC).date().isoformat()
        doc = {
            "id": f"00e01SANDBOX{number:08}", "archived": False, "customerId": customer["id"],
            "invoiceNumber": raw.get("invoiceNumber") or f"{number}",
            "invoiceDate": raw.get("invoiceDate") or today, "dueDate": raw.get("dueDate") or today,
            "invoiceLineItems": lines, "totalAmount": amount, "dueAmount": amount, "creditAmount": 0,
            "status": "OPEN", **self.stamped(),
        }  # fmt: skip
        return self.shelf.put("invoice", doc["id"], doc)

    def archive(self, ident: str, archived: bool) -> Doc:
        return self.shelf.put("invoice", ident, {**self.need("invoice", ident), "archived": archived})


def only(raw: Any, known: Iterable[str]) -> None:
    """Raises for a field that BILL does not know (BDC_1002, an unknown or misspelt parameter)."""
    if not isinstance(raw, Mapping) or (unknown := set(raw) - set(known)):
        raise Refused(f"Unknown parameter: {sorted(unknown) if isinstance(raw, Mapping) else raw}", "BDC_1002")


def _place(name: str, raw: Any) -> None:
    if raw is None:
        return
    only(raw, PLACE)
    needed = ["line1", "city", "zipOrPostalCode", "country"]
    if raw.get("country") == "US":
        needed.append("stateOrProvince")
    if missing := [field for field in needed if not raw.get(field)]:
        raise Refused(f"{name}: {', '.join(missing)} must not be blank")


def _line(number: int, raw: Any) -> Doc:
    only(raw, ["quantity", "description", "price", "classifications"])
    if not isinstance(raw.get("quantity"), int | Decimal) or not isinstance(raw.get("price", 0), int | Decimal):
        raise Refused(f"invoiceLineItems[{number}]: quantity and price are numbers")
    price = exact(raw.get("price", 0))
    if price != half_up(price):
        raise Refused(f"invoiceLineItems[{number}]: price has more than two decimals")
    amount = half_up(exact(raw["quantity"]) * price)
    return {"id": f"0il01SANDBOX{number:08}", "description": "", "price": 0, **raw, "amount": amount}
