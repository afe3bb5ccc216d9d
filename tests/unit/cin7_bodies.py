"""What the tests of Cin7 Core share: its webhook, a sale, and the company over HTTP."""

import base64
import copy
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.model import Event
from connectors.sandbox.source_apis.cin7 import ACCOUNT, KEY
from connectors.sources.asking import Api
from connectors.sources.base import Look
from connectors.sources.cin7 import Cin7
from tests.unit.carrier_bodies import api_of

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRET = "token-of-cin7-0123456789"
SALE_ID, TASK_ID = "0f4c8f0e-6a0b-4a49-9d5e-5b7d3f1a1001", "7aa1c2de-6a0b-4a49-9d5e-5b7d3f1a2002"
VAT = "20% (VAT on Income)"
WEBHOOK = {"SaleID": SALE_ID, "SaleOrderNumber": "SO-00042", "EventType": "Sale/ShipmentAuthorised"}
SHIPPED = {
    "TaskID": TASK_ID,
    "FulfillmentNumber": 1,
    "FulFilmentStatus": "FULFILLED",
    "Pack": {"Status": "AUTHORISED", "Lines": [{"SKU": "PLQ-BR", "Quantity": 2}, {"SKU": "TAG-ST", "Quantity": 1}]},
    "Ship": {
        "Status": "AUTHORISED",
        "Lines": [
            {
                "ID": "line-1",
                "Carrier": "RoyalMail",
                "TrackingNumber": "RM123456789GB",
                "ShipmentDate": "2026-11-22T00:00:00Z",
                "IsShipped": True,
            }
        ],
    },
}
SALE: dict[str, Any] = {
    "ID": SALE_ID,
    "Status": "COMPLETED",
    "Type": "Simple Sale",
    "Customer": "Analytical Engines Ltd",
    "CustomerID": "6c18f8e9-90e1-418f-aebc-1219e67e4b9c",
    "Contact": "Ada Lovelace",
    "Email": "ada@example.com",
    "Phone": "",
    "CustomerCurrency": "GBP",
    "TaxCalculation": "Exclusive",
    "SaleOrderDate": "2026-11-20T00:00:00Z",
    "LastModifiedOn": "2026-11-22T10:31:00.75Z",
    "CustomerReference": "#1001",
    "ExternalID": "5712",
    "SourceChannel": "Shopify",
    "CombinedShippingStatus": "SHIPPED",
    "FulFilmentStatus": "FULFILLED",
    "CombinedInvoiceStatus": "NOT INVOICED",
    "BillingAddress": {"Line1": "12 St James's Square", "City": "London", "Country": "United Kingdom"},
    "ShippingAddress": {"Line1": "", "Country": ""},
    "Order": {
        "SaleOrderNumber": "SO-00042",
        "Status": "AUTHORISED",
        "Lines": [
            {
                "SKU": "PLQ-BR",
                "Name": "Brass plaque, engraved",
                "Quantity": 2,
                "Price": 45,
                "Discount": 5.25,
                "Tax": 17.06,
                "TaxRule": VAT,
                "AverageCost": 7.5,
                "Total": 85.28,
            },
            {"SKU": "TAG-ST", "Name": "Steel tag", "Quantity": 1, "Price": 5.2125, "Tax": 1.04, "TaxRule": VAT},
        ],
        "AdditionalCharges": [
            {"Description": "Shipping", "Quantity": 1, "Price": 7.95, "Tax": 1.59, "TaxRule": VAT},
        ],
        "TotalBeforeTax": 98.44,
        "Tax": 19.69,
        "Total": 118.13,
    },
    "Fulfilments": [SHIPPED],
    "Invoices": [],
    "CreditNotes": [],
}
NOTE = {
    "TaskID": "aaaaaaaa-6a0b-4a49-9d5e-5b7d3f1a3003",
    "CreditNoteNumber": "CR-00007",
    "CreditNoteDate": "2026-11-25T00:00:00Z",
    "Status": "AUTHORISED",
    "Memo": "one had a scratch",
    "Lines": [{"SKU": "PLQ-BR", "Name": "Brass plaque", "Quantity": 1, "Price": 42.64, "Tax": 8.53, "TaxRule": VAT}],
    "Total": 51.17,
}


def sale(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(SALE) | changes


def ordered(**changes: Any) -> dict[str, Any]:
    return sale(Order=copy.deepcopy(SALE["Order"]) | changes)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Company:
    """Cin7 Core over HTTP, and a source that asks it."""

    def __init__(self, sandbox: Any, emulator: Any, url: str) -> None:
        self.sandbox, self.emulator, self.url = sandbox, emulator, url

    def source(self, key: str = KEY, **options: Any) -> tuple[Cin7, Api]:
        given = {"account_id": ACCOUNT, "application_key": key, "base_url": f"{self.url}/ExternalApi/v2"}
        made = Cin7([SECRET], {**given, **options})
        return made, api_of(made)

    def put(self, document: dict[str, Any]) -> None:
        self.sandbox.run(lambda: self.emulator.sales.update({document["ID"]: document}))

    def told(self, document: dict[str, Any], webhook: Any = None, **options: Any) -> list[Event]:
        """The events that come of a webhook about this sale."""
        self.put(document)
        made, api = self.source(**options)
        body = orjson.dumps(webhook or WEBHOOK)
        delivery = made.receive({}, body)
        assert isinstance(made.normalise(delivery, body), Look)
        return events(made, made.fetch(api, delivery, body))


def events(made: Cin7, found: Any) -> list[Event]:
    said = [made.normalise(one.delivery, one.body) for one in found]
    return [each for each in said if isinstance(each, Event)]
