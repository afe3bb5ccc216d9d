"""Asking Cin7 Core: the sale that a webhook means, and the sales that changed.

A sale is read with the percentages of its tax rules, and becomes several documents: itself, each parcel of it that has
left, each credit note. Of all of it only what is read later is kept, and not what the goods cost the merchant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel

from connectors.errors import Rejected, Throttled, Unavailable
from connectors.http import Answer
from connectors.sources import cin7_words as words
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import digest, display, inbox_id
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import a_dict, dicts, time_said

NAME = "Cin7 Core"
API = "https://inventory.dearsystems.com/ExternalApi/v2"
OURS = re.compile("bh-[a-z2-7]{26}")
"""`ExternalID` of a sale that Billhook made."""
SALE, PARCEL, CREDIT = "read/sale", "read/parcel", "read/creditnote"
BEFORE = "-before"
"""Behind the type of what was done before anybody asked: it is told, and asks for no invoice."""
CHANGED = "changed/sale"
"""The type of a sale that the list of sales names."""
_OVER_LIMIT = "calls per 60 seconds"
_GUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SIZE = 1000
_SLACK = timedelta(minutes=2)
_NAMES = ("ID", "CustomerReference", "ExternalID", "SourceChannel")
_SHIPPED = ("CombinedShippingStatus", "FulFilmentStatus")
_STATES = (*_SHIPPED, "CombinedInvoiceStatus")
_HEAD = (*_NAMES, "Status", "Type", "ServiceOnly", "CustomerCurrency", "TaxCalculation", "SaleOrderDate",
         "LastModifiedOn", "Customer", "CustomerID", "Contact", "Email", "Phone", "BillingAddress", "ShippingAddress",
         *_STATES)  # fmt: skip
_LINE = ("SKU", "Name", "Description", "Quantity", "Price", "Discount", "Tax", "TaxRule")
_ORDER = ("SaleOrderNumber", "Status", "Tax", "Total")
_NOTE = ("TaskID", "CreditNoteNumber", "CreditNoteDate", "Memo", "Status", "Total")


class Cin7Api(Api):
    """60 calls a minute, more of which are refused in several ways; and errors inside a 200."""

    def wait(self, answer: Answer) -> float | None:
        """The header says "60 Seconds"."""
        found = re.match(r"\s*(\d{1,4})\s*(?:$|[Ss]econd)", answer.headers.get("Retry-After", ""))
        return float(found[1]) if found else answer.retry_after or 60.0

    def _refusal(self, answer: Answer) -> Exception:
        if _OVER_LIMIT.encode() in answer.body:
            said = f"{NAME} answered {answer.status}: over 60 calls a minute"
            return Throttled(said, status=429, retry_after=self.wait(answer), sample=answer.sample)
        return super()._refusal(answer)

    def read(self, path: str, query: Mapping[str, str], wanted: str) -> dict[str, Any]:
        """The object that an answer is, with its field `wanted`. Raises the errors of a read."""
        body = self.document(path, query=query)
        if isinstance(body, dict) and body.get(wanted) is not None:
            return body
        told = next((one for one in (body if isinstance(body, list) else [body]) if isinstance(one, dict)), {})
        said = display(told.get("Exception")) or "an answer without what was asked for"
        if _OVER_LIMIT in said:
            raise Throttled(f"{NAME} answered: {said}", status=429, retry_after=60.0)
        if display(told.get("ErrorCode")) in ("400", "404"):
            raise Rejected(f"{NAME} answered: {said}", status=int(str(told["ErrorCode"])))
        raise Unavailable(f"{NAME} answered: {said}")

    def rows(self, **query: str) -> list[dict[str, Any]]:
        """A page of the list of sales."""
        return dicts(self.read("/saleList", query, "SaleList")["SaleList"])


class Cursor(BaseModel):
    """How far the list of sales was read."""

    began: datetime
    """When somebody asked first."""
    since: datetime
    asked: datetime
    """When the first page of this reading was asked for."""
    page: int = 1
    again: bool = False
    """Whether this is the second reading of the same pages."""


def number_of(value: Mapping[str, Any]) -> str | None:
    """The sale's number, as a webhook or the list of sales has it."""
    return display(value.get("SaleOrderNumber")) or display(value.get("OrderNumber"))


def ids_of(value: Mapping[str, Any]) -> list[str]:
    """What may be the sale's id, the surest first."""
    given = (display(value.get(name)) or "" for name in ("SaleID", "SaleTaskID"))
    return [each for each in given if _GUID.fullmatch(each)]


def fetch(api: Api, value: Mapping[str, Any]) -> list[Found]:
    """What a webhook, or the list of sales, points to: the sale, each parcel of it that has left, each credit note;
    nothing of a sale that Billhook made. Raises the errors of a read."""
    assert isinstance(api, Cin7Api)
    sale = _sale(api, value)
    if OURS.fullmatch(display(sale.get("ExternalID")) or ""):
        return []
    return _documents(sale, _rates(api), time_said(value.get("began")))


def pull(api: Api, cursor: str | None, now: datetime) -> Page:
    """A page of the sales that changed since the cursor; each is read later. Raises the errors of a read."""
    assert isinstance(api, Cin7Api)
    if cursor is None:
        return Page((), Cursor(began=now, since=now, asked=now).model_dump_json(), more=False)
    at = Cursor.model_validate_json(cursor)
    if at.page == 1:
        at = at.model_copy(update={"asked": now})
    rows = api.rows(UpdatedSince=_text(at.since), Page=str(at.page), Limit=str(_SIZE))
    found = tuple(_changed(row, at.began) for row in rows if _of_interest(row))
    if len(rows) == _SIZE:
        return Page(found, at.model_copy(update={"page": at.page + 1}).model_dump_json(), more=True)
    if at.page > 1 and not at.again:  # rows may have moved from page to page meanwhile
        return Page(found, at.model_copy(update={"page": 1, "again": True}).model_dump_json(), more=True)
    following = {"since": max(at.since, at.asked - _SLACK), "page": 1, "again": False}
    return Page(found, at.model_copy(update=following).model_dump_json(), more=False)


def _sale(api: Cin7Api, value: Mapping[str, Any]) -> dict[str, Any]:
    """The sale that a webhook means: by its id, else by its number. Raises the errors of a read."""
    for ident in ids_of(value):
        try:
            return api.read("/sale", {"ID": ident, "HideInventoryMovements": "true"}, "ID")
        except Rejected as error:
            if error.status not in (400, 404):
                raise
    number = number_of(value)
    rows = api.rows(Search=number, Page="1", Limit=str(_SIZE)) if number else []
    for row in rows:
        if row.get("OrderNumber") == number and (known := ids_of(row)):
            return api.read("/sale", {"ID": known[0], "HideInventoryMovements": "true"}, "ID")
    raise Rejected(f"{NAME} knows no sale {number or 'of the id in its webhook'}", status=404)


def _rates(api: Cin7Api) -> dict[str, Any]:
    """Percent by the name of the tax rule."""
    rates: dict[str, Any] = {}
    page = 1
    while True:
        listed = api.read("/ref/tax", {"Page": str(page), "Limit": str(_SIZE)}, "TaxRuleList")
        rules = dicts(listed["TaxRuleList"])
        rates |= {str(rule.get("Name")): rule.get("TaxPercent") for rule in rules if rule.get("TaxPercent") is not None}
        if len(rules) < _SIZE:
            return rates
        page += 1


def _documents(sale: Mapping[str, Any], rates: Mapping[str, Any], began: datetime | None) -> list[Found]:
    order, invoices = a_dict(sale.get("Order")), dicts(sale.get("Invoices"))
    lines, charges = (_kept(order.get(name)) for name in ("Lines", "AdditionalCharges"))
    used = {str(each.get("TaxRule")) for each in (*lines, *charges)}
    parcels = list(words.parcels_of(sale))
    head = {name: sale.get(name) for name in _HEAD}
    head["Order"] = {**{name: order.get(name) for name in _ORDER}, "Lines": lines, "AdditionalCharges": charges}
    head["Invoices"] = [{name: each.get(name) for name in ("Status", "InvoiceDate")} for each in invoices]
    notes = [each for each in dicts(sale.get("CreditNotes")) if each.get("Status") == "AUTHORISED"]
    told = [{**{name: each.get(name) for name in _NOTE}, "Lines": _kept(each.get("Lines"))} for each in notes]
    known = {name: rate for name, rate in rates.items() if name in used}
    whole = {**head, "parcels": parcels, "CreditNotes": [{"Total": each["Total"]} for each in told]}
    ends = [each["ShipmentDate"] for each in parcels] or [each.get("InvoiceDate") for each in invoices]
    found = [_found(SALE, sale, {"sale": whole, "rates": known}, _before(ends, began))]
    placed = {name: said for name, said in head.items() if name not in ("LastModifiedOn", "Invoices", *_STATES)}
    about = {**{name: sale.get(name) for name in (*_NAMES, *_SHIPPED)}, "Lines": lines}
    for each in parcels:
        found.append(_found(PARCEL, sale, {"sale": about, "parcel": each}, _before([each["ShipmentDate"]], began)))
    return [*found, *(_found(CREDIT, sale, {"sale": placed, "note": each}, False) for each in told)]


def _kept(lines: Any) -> list[dict[str, Any]]:
    """Without what the goods cost the merchant."""
    return [{name: each.get(name) for name in _LINE if each.get(name) is not None} for each in dicts(lines)]


def _before(times: Sequence[Any], began: datetime | None) -> bool:
    """Whether all of it was on days before the first question; what is told by a webhook never is."""
    days = [time_said(each) for each in times]
    return began is not None and bool(days) and all(day is not None and day.date() < began.date() for day in days)


def _found(kind: str, sale: Mapping[str, Any], document: Mapping[str, Any], before: bool) -> Found:
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    type_ = kind + BEFORE if before else kind
    number = display(a_dict(sale.get("Order")).get("SaleOrderNumber"))
    at = time_said(sale.get("LastModifiedOn"))
    return Found(Delivery(inbox_id(type_, display(sale.get("ID")) or "", digest(body)), type_, at, number), body)


def _of_interest(row: Mapping[str, Any]) -> bool:
    """Not what is no order yet, no credit note without a sale, and nothing that Billhook made."""
    ours = OURS.fullmatch(display(row.get("ExternalID")) or "")
    drafted = row.get("OrderStatus") in words.OPEN and row.get("Status") != "VOIDED"
    return bool(ids_of(row)) and not ours and not drafted and "Credit Note" not in str(row.get("Type"))


def _changed(row: Mapping[str, Any], began: datetime) -> Found:
    """What the list says of a sale, in the form of a webhook: where to look."""
    kept = {name: row.get(name) for name in ("SaleID", "OrderNumber", "Updated")}
    body = orjson.dumps({**kept, "began": began.isoformat()}, option=orjson.OPT_SORT_KEYS)
    number, at = display(row.get("OrderNumber")), time_said(row.get("Updated"))
    return Found(
        Delivery(inbox_id(CHANGED, str(row.get("SaleID")), str(row.get("Updated"))), CHANGED, at, number), body
    )


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
