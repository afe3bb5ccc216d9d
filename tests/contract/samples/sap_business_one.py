"""SAP Business One: settings of the emulated company, and answers of the Service Layer that others published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Unauthorized, Unavailable, Uncertain
from connectors.sandbox import sap_business_one as sandbox
from tests.contract.samples.base import Recorded, Samples

ISSUED = Recorded(
    source="metadata of /b1s/v2 (gregorwolf/sap-business-one-odata-cap), Document, with values of an example",
    status=200,
    body={
        "@odata.context": "https://b1.example.test:50000/b1s/v2/$metadata#Invoices/$entity",
        "DocEntry": 4711,
        "DocNum": 100238,
        "CardCode": "C20017",
        "NumAtCard": "SO-1001",
        "DocCurrency": "£",
        "DocTotal": 118.14,
        "DocTotalFc": 0.0,
        "VatSum": 19.69,
        "VatSumFc": 0.0,
        "TotalDiscount": 5.0,
        "PaidToDate": 0.0,
        "PaidToDateFC": 0.0,
        "DocumentStatus": "bost_Open",
        "CancelStatus": "csNo",
        "U_BillhookRef": "shop-1/books/SO-1001/order/invoice/1",
        "DocumentLines": [{"LineNum": 0, "ItemCode": "PLQ-BR", "Quantity": 2.0, "UnitPrice": 45.0, "LineTotal": 90.0}],
    },
)
SDK = "SAP-archive/SAP-Business-One-Service-Layer-SDK, Error.java and its tests"
INTEGRATORS = "answers published by integrators on GitHub"
EXISTS = "This entry already exists in the following tables: '@BILLHOOK_KEY' (ODBC -2035)"
BOTH = "Another user or another operation modified data; to continue, open the window again (ODBC -2039)"
TIMEOUT = "Invalid session or session already timeout."
BATCH = (
    "--batchresponse_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n"
    '{"error":{"code":"-2035","message":"This entry already exists in the following tables"}}\r\n'
    "--batchresponse_1--\r\n"
)


def v1(source: str, status: int, code: int, text: str) -> Recorded:
    """As OData V3 has it: the code a number, the message an object."""
    return Recorded(source, status, {"error": {"code": code, "message": {"lang": "en-us", "value": text}}})


def v2(source: str, status: int, code: str, text: str) -> Recorded:
    return Recorded(source, status, {"error": {"code": code, "message": text, "details": []}})


REFUSALS = (
    (v1(SDK, 400, -5002, "Invalid BP code 'C1'  [OINV.CardCode]"), Rejected),
    (v1(INTEGRATORS, 400, -2035, EXISTS), Duplicate),
    (v2(INTEGRATORS, 400, "-2035", EXISTS), Duplicate),
    (v2(INTEGRATORS, 400, "-2039", BOTH), Unavailable),
    (v2(INTEGRATORS, 401, "301", TIMEOUT), Unauthorized),
    (v2(INTEGRATORS, 500, "-1", "Internal error (-1) occurred"), Uncertain),
    (Recorded("learning.sap.com, batch operations: a change set that failed", 202, BATCH), Duplicate),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "XX"}}


def _steal_number(emulator: Any, reference: str) -> None:
    partner = {"CardCode": "C20000", "CardName": "Somebody Else Ltd", "CardType": "cCustomer", "Currency": "##"}
    if not emulator.shelf.get("BusinessPartners", partner["CardCode"]):
        emulator.books.create("BusinessPartners", partner)
    line = {"ItemCode": "WEB", "ItemDescription": "Consulting", "Quantity": 1, "UnitPrice": 500, "VatGroup": "O1"}
    raw = {"CardCode": "C20000", "NumAtCard": reference, "Comments": "typed in by hand", "DocumentLines": [line]}
    emulator.books.create("Invoices", raw)


SAMPLES = Samples(
    slug="sap_business_one",
    settings={
        "server": "https://b1.example.test:50000",
        "company": sandbox.COMPANY,
        "currencies": {"GBP": "£", "EUR": "EUR", "USD": "$"},
        "item": "WEB",
        "items": {"PLQ-BR": "PLQ-BR"},
        "tax": {"20": "O1", "5": "O2", "0": "O0"},
        "freight": 1,
        "payment_terms": 1,
    },
    credentials={"username": sandbox.USER, "password": sandbox.PASSWORD},
    token=f"B1SESSION={sandbox.SESSION}; ROUTEID={sandbox.NODE}",
    required_settings=("server", "company", "currencies", "item", "tax", "freight"),
    invoice=ISSUED,
    invoice_expected={
        "id": "4711",
        "number": "100238",
        "reference": "SO-1001",
        "key": "shop-1/books/SO-1001/order/invoice/1",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "C20017",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=lambda emulator, remote_id: emulator.books.cancel(remote_id),
    steal_number=_steal_number,
)
