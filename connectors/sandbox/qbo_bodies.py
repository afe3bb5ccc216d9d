"""Bodies of an emulated QuickBooks Online's answers, and its invoices as entries of a ledger.

Faults as published: entities in `Fault` (API reference), the layers before them in `fault` or XML (issue threads of
python-quickbooks, oauth-jsclient and quickbooks-ruby).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from connectors.sandbox.base import Entry, Response

PACIFIC = timezone(timedelta(hours=-8))


class Invalid(Exception):
    """QuickBooks refuses an entity: its code, message and detail, as it words them."""

    def __init__(self, code: str, message: str, detail: str = "", element: str = "") -> None:
        super().__init__(message)
        self.error = {"Message": message, "Detail": detail or message, "code": code, "element": element}

    @property
    def fault(self) -> dict[str, Any]:
        return {"Error": [self.error], "type": "ValidationFault"}


def missing(what: str) -> Invalid:
    return Invalid(
        "2020",
        "Required param missing, need to supply the required value for the API",
        f"Required parameter {what} is missing in the request",
        what,
    )


def bad_reference(what: str, ident: str) -> Invalid:
    return Invalid("2500", "Invalid Reference Id", f"Invalid Reference Id : {what} element id {ident} not found", what)


def broken_rule(detail: str) -> Invalid:
    message = "A business validation error has occurred while processing your request"
    return Invalid("6000", message, f"Business Validation Error: {detail}")


def check_length(field: str, value: Any, most: int) -> None:
    if value and len(str(value)) > most:
        raise Invalid(
            "2050",
            "String length is either shorter or longer than supported by specification",
            f"String length specified does not match the supported length. Min:0 Max:{most} supported. "
            f"Supplied length:{len(str(value))}",
            field,
        )


def check_address(field: str, place: Any) -> None:
    """A PhysicalAddress; the country as a name or in three letters."""
    place = place or {}
    for name, value in place.items():
        check_length(f"{field}.{name}", value, {"PostalCode": 30}.get(name, 500 if name.startswith("Line") else 255))
    if len(place.get("Country") or "GBR") == 2:
        raise Invalid("2010", "Request has invalid or unsupported property", f"{field}.Country is not a country")


def moment(seconds: float) -> str:
    """A time as QuickBooks writes it."""
    return datetime.fromtimestamp(seconds, PACIFIC).isoformat(timespec="milliseconds")


def answer(entity: str, doc: Mapping[str, Any], now: float) -> Response:
    return Response.json(200, {entity: doc, "time": moment(now)})


def refusal(error: Invalid, now: float, status: int = 400) -> Response:
    return Response.json(status, {"Fault": error.fault, "time": moment(now)})


def unauthorized(detail: str, now: float) -> Response:
    """What the layer before the entities says of a token."""
    error = {
        "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
        "detail": detail,
        "code": "3200",
        "element": None,
    }
    body = {"warnings": None, "intuitObject": None, "fault": {"error": [error], "type": "AUTHENTICATION"}}
    return Response.json(401, {**body, "queryResponse": None, "batchItemResponse": [], "time": int(now * 1000)})


def xml_fault(status: int, kind: str, code: str, message: str, detail: str, now: float) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        f'<IntuitResponse time="{moment(now)}" xmlns="http://schema.intuit.com/finance/v3">'
        f"<Fault type={quoteattr(kind)}>"
        f"<Error code={quoteattr(code)}><Message>{escape(message)}</Message><Detail>{escape(detail)}</Detail></Error>"
        "</Fault></IntuitResponse>"
    )
    return Response(status, body.encode(), {"Content-Type": "application/xml"})


def too_many(now: float) -> Response:
    """Without Retry-After; as XML even if JSON was asked for."""
    said = "message=ThrottleExceeded; errorCode=003001; statusCode=429"
    return xml_fault(429, "SERVICE", "3001", said, "The request limit was reached.  Try again later", now)


def wrong_company(now: float) -> Response:
    detail = "AuthenticationErrorGeneral: SRV-110-Authentication Failure , statusCode: 401"
    return xml_fault(401, "AuthenticationFault", "100", "General Authentication Error", detail, now)


def failure(status: int, now: float) -> Response:
    error = Invalid("10000", "An application error has occurred while processing your request", "System Failure Error")
    body = {"Fault": {**error.fault, "type": "SystemFault"}, "time": moment(now)}
    return Response.json(status, body)


def spoilt(entity: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entity with something in it that QuickBooks refuses."""
    if entity != "Invoice":
        return {**raw, "PrimaryEmailAddr": {"Address": "not an address"}}
    lines = [
        {**line, "SalesItemLineDetail": {**line.get("SalesItemLineDetail", {}), "TaxCodeRef": {"value": "987654"}}}
        for line in raw.get("Line") or ()
    ]
    return {**raw, "Line": lines}


def entry(doc: Mapping[str, Any], customer: str, home: str) -> Entry:
    """An invoice as a stranger who counts sees it."""
    lines = []
    for line in doc["Line"]:
        detail = line.get("SalesItemLineDetail")
        if detail is not None:
            quantity = Decimal(str(detail.get("Qty", 1))).normalize()
            price = detail.get("UnitPrice", line["Amount"])
            lines.append(f"{line.get('Description', '')} × {quantity:f} @ {price:.4f}")
    voided = not doc["TotalAmt"] and str(doc.get("PrivateNote", "")).startswith("Voided")
    paid = bool(doc["TotalAmt"]) and not doc["Balance"]
    return Entry(
        id=doc["Id"],
        reference=doc.get("DocNumber") or "",
        key=doc.get("PrivateNote", ""),
        customer=customer,
        lines=tuple(lines),
        currency=doc.get("CurrencyRef", {}).get("value", home),
        total=f"{doc['TotalAmt']:.2f}",
        status="void" if voided else "paid" if paid else "issued",
    )
