"""An invoice as an emulated QuickBooks computes it: lines, taxes by rate, total."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from connectors.sandbox.qbo_bodies import (
    Invalid,
    bad_reference,
    broken_rule,
    check_address,
    check_length,
    missing,
)
from connectors.sandbox.sums import half_up

if TYPE_CHECKING:
    from connectors.sandbox.qbo_books import Books

US_PERCENT = Decimal("8.25")
"""What automated sales tax would make of a taxable line of this company, if nobody states the tax."""
READ_ONLY = {"HomeBalance", "HomeTotalAmt", "InvoiceLink", "DeliveryInfo"}
"""Taken, and not heeded."""
INVOICE_FIELDS = {
    "DocNumber", "TxnDate", "DueDate", "CustomerRef", "CurrencyRef", "ExchangeRate", "GlobalTaxCalculation",
    "BillEmail", "BillEmailCc", "BillAddr", "ShipAddr", "ShipFromAddr", "ShipDate", "CustomerMemo",
    "PrivateNote", "Line", "TxnTaxDetail", "SalesTermRef", "ClassRef", "DepartmentRef", "TrackingNum",
    "ApplyTaxAfterDiscount", "CustomField", "EmailStatus", "PrintStatus", "LinkedTxn", "Deposit", "TotalAmt",
    "Balance", "ProjectRef", "AllowOnlineACHPayment", "AllowOnlineCreditCardPayment", "AllowIPNPayment",
    "AllowOnlinePayment", "FreeFormAddress",
    *READ_ONLY,
}  # fmt: skip
LINE_KINDS = {"SalesItemLineDetail", "DescriptionOnly", "SubTotalLineDetail", "DiscountLineDetail"}


def compose(books: Books, given: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    """The whole invoice from what was sent, with the amounts as QuickBooks computes them. Raises `Invalid`."""
    customer = customer_of(books, given)
    check_length("PrivateNote", given.get("PrivateNote"), 4000)
    check_length("BillEmail.Address", (given.get("BillEmail") or {}).get("Address"), 100)
    for field in ("BillAddr", "ShipAddr"):
        check_address(field, given.get(field))
    currency = currency_of(books, given, customer)
    method = given.get("GlobalTaxCalculation")
    if books.country != "US" and method not in {"TaxExcluded", "TaxInclusive", "NotApplicable"}:
        raise missing("GlobalTaxCalculation")
    lines = _lines(books, given.get("Line"), "NotApplicable" if books.country == "US" else str(method))
    taxes = _taxes(books, lines, given.get("TxnTaxDetail") or {}, str(method))
    amounts = sum((Decimal(str(line["Amount"])) for line in lines), Decimal(0))
    tax = Decimal(str(taxes["TotalTax"]))
    total = amounts if method == "TaxInclusive" else amounts + tax
    if total < 0:
        raise broken_rule("The transaction amount must not be negative")
    paid = Decimal(str(old["TotalAmt"])) - Decimal(str(old["Balance"])) if old else Decimal(0)
    doc = {
        "EmailStatus": "NotSet", "PrintStatus": "NeedToPrint", "LinkedTxn": [], "Deposit": 0, **given,
        "CustomerRef": {"value": customer["Id"], "name": customer["FullyQualifiedName"]},
        "TxnDate": day_in(books, given, "TxnDate"), "DueDate": day_in(books, given, "DueDate"),
        "Line": [*lines, {"Amount": amounts, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}],
        "TxnTaxDetail": taxes, "TotalAmt": total, "Balance": total - paid,
    }  # fmt: skip
    for field in ("BillAddr", "ShipAddr"):
        if field not in doc and customer.get(field):
            doc[field] = customer[field]
    for field in {"CurrencyRef", *READ_ONLY}:
        doc.pop(field, None)
    return doc | ({"CurrencyRef": {"value": currency}, "ExchangeRate": 1} if books.multicurrency else {})


def customer_of(books: Books, given: Mapping[str, Any]) -> dict[str, Any]:
    """The customer that it names. Raises `Invalid`."""
    ident = (given.get("CustomerRef") or {}).get("value")
    if not ident:
        raise missing("CustomerRef")
    customer = books.get("Customer", ident)
    if customer is None:
        raise bad_reference("Names", ident)
    if not customer["Active"]:
        books.need("Customer", "inactive")
    return customer


def currency_of(books: Books, given: Mapping[str, Any], customer: Mapping[str, Any]) -> str:
    """The currency that it names, which must be the customer's. Raises `Invalid`."""
    wanted = (given.get("CurrencyRef") or {}).get("value")
    if not books.multicurrency:
        if wanted not in {None, books.home}:
            raise broken_rule("Multicurrency is not enabled for this company")
        return books.home
    if wanted is None:
        raise missing("CurrencyRef")
    if wanted != (customer.get("CurrencyRef") or {}).get("value", books.home):
        raise broken_rule("The currency of the transaction must be the currency of its customer")
    return str(wanted)


def day_in(books: Books, given: Mapping[str, Any], field: str) -> str:
    """The date in this field, today's where it is left out. Raises `Invalid`."""
    value = given.get(field)
    if value is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
        raise Invalid("2030", "Invalid date format", f"{field}: {value} is not a date")
    return value or datetime.fromtimestamp(books.clock(), UTC).date().isoformat()


def _number(raw: Mapping[str, Any], field: str) -> Decimal | None:
    value = raw.get(field)
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Invalid("2030", "Invalid Number", f"{field}: {value} is not a number") from None


def _lines(books: Books, given: Any, method: str) -> list[dict[str, Any]]:
    raws = [raw for raw in given or () if raw.get("DetailType") != "SubTotalLineDetail"]
    if not raws:
        raise missing("Line")
    if len(raws) > 750:
        raise broken_rule("A taxable transaction has at most 750 lines")
    return [{**_line(books, raw, method), "Id": str(n), "LineNum": n} for n, raw in enumerate(raws, 1)]


def _line(books: Books, raw: Mapping[str, Any], method: str) -> dict[str, Any]:
    kind = raw.get("DetailType")
    if kind not in LINE_KINDS:
        raise missing("Line.DetailType")
    if len(raw.get("Description") or "") > 4000:
        raise Invalid("2050", "String length is either shorter or longer than supported by specification")
    detail = dict(raw.get("SalesItemLineDetail") or {})
    item = (detail.get("ItemRef") or {}).get("value")
    if kind != "SalesItemLineDetail" or item is None:  # taken as text; its amount is ignored
        return {"DetailType": "DescriptionOnly", "Amount": Decimal(0), "Description": raw.get("Description", "")}
    if books.get("Item", item) is None:
        raise bad_reference("Item", item)
    amount = _number(raw, "Amount")
    if amount is None:
        raise missing("Line.Amount")
    quantity, unit = _number(detail, "Qty"), _number(detail, "UnitPrice")
    if quantity is not None and unit is not None and half_up(quantity * unit) != amount:
        text = "Amount calculation incorrect in the request"
        raise Invalid("6070", text, f"{text} : Amount is not equal to UnitPrice * Qty. Supplied value:{amount}")
    detail["TaxCodeRef"] = {"value": _tax_code(books, detail, method)}
    return {**raw, "Amount": amount, "SalesItemLineDetail": detail}


def _tax_code(books: Books, detail: Mapping[str, Any], method: str) -> str:
    code = (detail.get("TaxCodeRef") or {}).get("value")
    if books.country == "US":
        if code not in {"TAX", "NON", None}:
            raise bad_reference("TaxCode", code)
        return code or "NON"
    if code is None and method != "NotApplicable":
        raise broken_rule("Make sure all your transactions have a VAT rate before you save.")
    if code is not None and books.get("TaxCode", code) is None:
        raise bad_reference("TaxCode", code)
    return code or ""


def _taxes(books: Books, lines: Sequence[Mapping[str, Any]], stated: Mapping[str, Any], method: str) -> dict[str, Any]:
    """TxnTaxDetail: each rate's tax is computed on the sum of its lines, and rounded once.

    In the US a stated TotalTax is honoured; elsewhere a stated TaxLine replaces the tax of its rate.
    """
    if books.country == "US":
        taxable = sum((line["Amount"] for line in lines if _code(line) == "TAX"), Decimal(0))
        by_engine = half_up(taxable * US_PERCENT / 100)
        total = _number(stated, "TotalTax")
        return {"TotalTax": by_engine if total is None else total}
    if method == "NotApplicable":
        return {"TotalTax": Decimal(0)}
    net: dict[str, Decimal] = {}
    percents: dict[str, Decimal] = {}
    for line in lines:
        if code := _code(line):
            rate = (books.get("TaxCode", code) or {})["SalesTaxRateList"]["TaxRateDetail"][0]["TaxRateRef"]["value"]
            net[rate] = net.get(rate, Decimal(0)) + line["Amount"]
            percents[rate] = Decimal(str((books.get("TaxRate", rate) or {})["RateValue"]))
    overridden = _overridden(stated, net)
    tax_lines: list[dict[str, Any]] = []
    for rate, amount in net.items():
        percent = percents[rate]
        share = percent / (100 + percent) if method == "TaxInclusive" else percent / 100
        tax = overridden.get(rate, half_up(amount * share))
        detail = {
            "TaxRateRef": {"value": rate}, "PercentBased": True, "TaxPercent": percent, "NetAmountTaxable": amount,
        }  # fmt: skip
        tax_lines.append({"Amount": tax, "DetailType": "TaxLineDetail", "TaxLineDetail": detail})
    return {"TotalTax": sum((line["Amount"] for line in tax_lines), Decimal(0)), "TaxLine": tax_lines}


def _code(line: Mapping[str, Any]) -> str:
    return str((line.get("SalesItemLineDetail") or {}).get("TaxCodeRef", {}).get("value") or "")


def _overridden(stated: Mapping[str, Any], used: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The taxes of stated lines, by rate: each rate at most once, and only rates of the lines' codes."""
    found: dict[str, Decimal] = {}
    for line in stated.get("TaxLine") or ():
        rate = ((line.get("TaxLineDetail") or {}).get("TaxRateRef") or {}).get("value")
        amount = _number(line, "Amount")
        if rate is None or amount is None:
            raise missing("TaxLineDetail.TaxRateRef")
        if rate not in used or rate in found:
            raise bad_reference("TaxRate", rate)
        found[rate] = amount
    return found
