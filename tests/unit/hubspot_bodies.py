"""HubSpot's deals, what belongs to them, and webhooks, as its API writes them: all values of properties are text."""

from typing import Any

DEAL: dict[str, Any] = {
    "id": "5001", "createdAt": "2020-11-20T09:00:00.000Z", "updatedAt": "2020-11-22T10:59:50.123Z", "archived": False,
    "properties": {
        "dealname": "Analytical Engines, plaques", "dealstage": "closedwon", "pipeline": "default", "amount": "98.45",
        "deal_currency_code": "GBP", "closedate": "2020-11-22T10:59:49Z", "createdate": "2020-11-20T09:00:00Z",
        "hs_lastmodifieddate": "2020-11-22T10:59:50.123Z", "hs_object_id": "5001", "order_number": "SO-1001",
    },
}  # fmt: skip
STAGES: list[dict[str, Any]] = [
    {"value": "closedwon", "timestamp": "2020-11-22T10:59:50.123Z", "sourceType": "CRM_UI"},
    {"value": "appointmentscheduled", "timestamp": "2020-11-20T09:00:00.000Z", "sourceType": "CRM_UI"},
]


def line(ident: str, name: str, quantity: str, price: str, before: str, amount: str, tax: str, **more: Any) -> Any:
    theirs = {
        "name": name, "quantity": quantity, "price": price, "hs_pre_discount_amount": before, "amount": amount,
        "hs_tax_rate_group_id": "2148420997", "hs_tax_amount": tax, "hs_line_item_currency_code": "GBP",
        "recurringbillingfrequency": None, "hs_recurring_billing_period": None, "description": None, "hs_sku": None,
    } | more  # fmt: skip
    return {"id": ident, "properties": theirs}


PLAQUE = line("71", "Brass plaque", "2", "45", "90.00", "85.00", "17.00", hs_sku="PLQ-BR", description="To Ada, 1843")
TAG = line("72", "Steel tag", "1", "5.5", "5.50", "5.50", "1.10")
COURIER = line("73", "Courier", "1", "7.95", "7.95", "7.95", "1.59")
LINES = [PLAQUE, TAG, COURIER]
CONTACT: dict[str, Any] = {
    "id": "501",
    "properties": {"firstname": "Ada", "lastname": "Lovelace", "email": "ada@example.com", "city": "Bath",
                   "hs_country_region_code": "GB"},
}  # fmt: skip
COMPANY: dict[str, Any] = {
    "id": "601",
    "properties": {"name": "Analytical Engines Ltd", "address": "12 St James's Square", "city": "London",
                   "zip": "SW1Y 4JH", "hs_country_code": "GB"},
}  # fmt: skip
RATE: dict[str, Any] = {"id": "2148420997", "name": "VAT", "label": "VAT 20%", "percentageRate": 20, "active": True}
DOCUMENT: dict[str, Any] = {
    "deal": DEAL, "stages": ["appointmentscheduled", "closedwon"], "lines": LINES, "contact": CONTACT,
    "company": COMPANY, "rates": {"2148420997": RATE},
}  # fmt: skip
EVENT: dict[str, Any] = {
    "eventId": 714285774, "subscriptionId": 4849549, "portalId": 50687303, "appId": 25681700,
    "occurredAt": 1606042790123, "subscriptionType": "deal.propertyChange", "attemptNumber": 0, "objectId": 5001,
    "propertyName": "dealstage", "propertyValue": "closedwon", "changeSource": "CRM_UI", "sourceId": "userId:10202051",
}  # fmt: skip


def linked(*ids: str, primary: str = "") -> list[dict[str, Any]]:
    """Associations as they are listed."""
    plain = [{"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None}]
    first = [{"category": "HUBSPOT_DEFINED", "typeId": 5, "label": "Primary"}]
    return [{"toObjectId": each, "associationTypes": plain + (first if each == primary else [])} for each in ids]


def fill(emulated: Any, **properties: Any) -> None:
    """The emulated account has the deal, and all that belongs to it."""
    emulated.deals = {"5001": DEAL | {"properties": DEAL["properties"] | properties}}
    emulated.stages = {"5001": STAGES}
    emulated.objects = {
        "line_items": {each["id"]: each for each in LINES},
        "contacts": {"501": CONTACT},
        "companies": {"601": COMPANY, "600": COMPANY | {"id": "600"}},
    }
    emulated.linked = {
        ("5001", "line_items"): linked("73", "71", "72"),
        ("5001", "contacts"): linked("501"),
        ("5001", "companies"): linked("600", "601", primary="601"),
    }
    emulated.rates = {"2148420997": RATE}
