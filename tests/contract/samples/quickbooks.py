"""QuickBooks Online: settings of the sandbox's company, and answers that Intuit or its customers published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import quickbooks as sandbox
from tests.contract.samples.base import Recorded, Samples

REFERENCE = "developer.intuit.com, API reference"

ISSUED = Recorded(
    source=f"{REFERENCE}, Invoice, sample object (some lines, addresses and custom fields left out)",
    status=200,
    body={
        "Invoice": {
            "TxnDate": "2014-09-19",
            "domain": "QBO",
            "PrintStatus": "NeedToPrint",
            "SalesTermRef": {"value": "3"},
            "TotalAmt": 362.07,
            "Line": [
                {
                    "Description": "Rock Fountain",
                    "DetailType": "SalesItemLineDetail",
                    "SalesItemLineDetail": {
                        "TaxCodeRef": {"value": "TAX"},
                        "Qty": 1,
                        "UnitPrice": 275,
                        "ItemRef": {"name": "Rock Fountain", "value": "5"},
                    },
                    "LineNum": 1,
                    "Amount": 275.0,
                    "Id": "1",
                },
                {"DetailType": "SubTotalLineDetail", "Amount": 335.25, "SubTotalLineDetail": {}},
            ],
            "DueDate": "2014-10-19",
            "ApplyTaxAfterDiscount": False,
            "DocNumber": "1037",
            "sparse": False,
            "CustomerMemo": {"value": "Thank you for your business and have a great day!"},
            "Deposit": 0,
            "Balance": 362.07,
            "CustomerRef": {"name": "Sonnenschein Family Store", "value": "24"},
            "TxnTaxDetail": {
                "TxnTaxCodeRef": {"value": "2"},
                "TotalTax": 26.82,
                "TaxLine": [
                    {
                        "DetailType": "TaxLineDetail",
                        "Amount": 26.82,
                        "TaxLineDetail": {
                            "NetAmountTaxable": 335.25,
                            "TaxPercent": 8,
                            "TaxRateRef": {"value": "3"},
                            "PercentBased": True,
                        },
                    }
                ],
            },
            "SyncToken": "0",
            "BillEmail": {"Address": "Familiystore@intuit.com"},
            "EmailStatus": "NotSet",
            "MetaData": {"CreateTime": "2014-09-19T13:16:17-07:00", "LastUpdatedTime": "2014-09-19T13:16:17-07:00"},
            "Id": "130",
        },
        "time": "2015-07-24T10:48:27.082-07:00",
    },
)


def fault(source: str, status: int, code: str, message: str, detail: str, kind: str = "ValidationFault") -> Recorded:
    """A Fault in the shape of the API reference."""
    error = {"Message": message, "Detail": detail, "code": code, "element": ""}
    return Recorded(
        source, status, {"Fault": {"Error": [error], "type": kind}, "time": "2016-04-15T09:01:18.141-07:00"}
    )


def layer(source: str, status: int, code: str, message: str, kind: str = "AUTHENTICATION") -> Recorded:
    """An answer of the layers before the entities, as JSON."""
    error = {"message": message, "detail": None, "code": code, "element": None}
    body = {"warnings": None, "intuitObject": None, "fault": {"error": [error], "type": kind}, "queryResponse": None}
    return Recorded(source, status, {**body, "batchItemResponse": [], "time": 1533811101733})


def xml(source: str, status: int, kind: str, code: str, message: str, detail: str) -> Recorded:
    """An answer that came as XML although JSON was asked for."""
    return Recorded(
        source,
        status,
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<IntuitResponse time="2017-07-30T22:45:22.933-07:00" xmlns="http://schema.intuit.com/finance/v3">\n'
        f'    <Fault type="{kind}">\n        <Error code="{code}">\n            <Message>{message}</Message>\n'
        f"            <Detail>{detail}</Detail>\n        </Error>\n    </Fault>\n</IntuitResponse>",
    )


NAME_TAKEN = (
    "The name supplied already exists. : Another customer, vendor or employee is already using this name. "
    "Please use a different name."
)
INACTIVE = (
    "Object Not Found : Something you're trying to use has been made inactive. Check the fields with accounts, "
    "customers, items, vendors or employees."
)
THROTTLED = "message=ThrottleExceeded; errorCode=003001; statusCode="
CODES = "developer.intuit.com, Troubleshooting, Error codes (the body's shape is that of the API reference)"

REFUSALS = (
    (fault(CODES, 400, "6140", "Duplicate Document Number Error", "You must specify a different number."), Duplicate),
    (fault(CODES, 200, "6140", "Duplicate Document Number Error", "You must specify a different number."), Duplicate),
    (fault(f"{REFERENCE}, Batch, sample", 400, "610", "Object Not Found", INACTIVE), Rejected),
    (fault(CODES, 400, "2500", "Invalid Reference Id", "Invalid Reference Id : Names element id 58"), Rejected),
    (fault(CODES, 400, "6000", "A business validation error has occurred", "Business Validation Error: …"), Rejected),
    (fault(CODES, 200, "6190", "Subscription period has ended", "Subscription period has ended"), Rejected),
    (fault(CODES, 500, "10000", "An application error has occurred", "System Failure Error", "SystemFault"), Uncertain),
    (fault(CODES, 200, "10000", "An application error has occurred", "System Failure Error", "SystemFault"), Uncertain),
    (
        layer("github.com/ej2/python-quickbooks issue 118", 401, "3200",
              "message=AuthenticationFailed; errorCode=003200; statusCode=401"),
        Unauthorized,
    ),
    (
        layer("github.com/mcohen01/node-quickbooks issue 154", 403, "3100",
              "message=AuthorizationFailed; errorCode=003100; statusCode=403", "SERVICE"),
        Unauthorized,
    ),
    (
        xml("github.com/intuit/oauth-jsclient issue 91", 401, "AuthenticationFault", "100",
            "General Authentication Error", "AuthenticationErrorGeneral: SRV-110-Authentication Failure"),
        Unauthorized,
    ),
    (
        xml("github.com/intuit/QuickBooks-V3-PHP-SDK issue 54", 429, "SERVICE", "3001", THROTTLED + "429",
            "The request limit was reached.  Try again later"),
        Throttled,
    ),
    (
        xml("github.com/ruckus/quickbooks-ruby issue 338", 403, "SERVICE", "3001", THROTTLED + "403",
            "The request limit was reached.  Try again later"),
        Throttled,
    ),
    (Recorded("a gateway before the platform", 503, "<html>Service Unavailable</html>"), Uncertain),
)  # fmt: skip


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "987654"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    token = emulator.books.need("Invoice", remote_id)["SyncToken"]
    emulator.books.void({"Id": remote_id, "SyncToken": token})


def _steal_number(emulator: Any, reference: str) -> None:
    who = emulator.books.save("Customer", {"DisplayName": f"Somebody Else Ltd ({reference})"})
    detail = {"ItemRef": {"value": "1"}, "Qty": 1, "UnitPrice": 500, "TaxCodeRef": {"value": "6"}}
    line = {"DetailType": "SalesItemLineDetail", "Amount": 500, "SalesItemLineDetail": detail}
    raw = {"DocNumber": reference, "CustomerRef": {"value": who["Id"]}, "CurrencyRef": {"value": "GBP"}, "Line": [line]}
    emulator.books.save("Invoice", {**raw, "GlobalTaxCalculation": "TaxExcluded", "PrivateNote": "typed in by hand"})


SAMPLES = Samples(
    slug="quickbooks",
    settings={
        "realm_id": sandbox.REALM,
        "home_currency": "GBP",
        "multicurrency": True,
        "item": "1",
        "items": {"PLQ-BR": "21"},
        "shipping_item": "23",
        "discount_item": "24",
        "tax": {"20": "6", "5": "5", "0": "3"},
        "tax_rates": {"20": "11", "5": "13"},
    },
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("realm_id", "home_currency", "item", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "130",
        "number": "1037",
        "reference": "1037",
        "status": "issued",
        "currency": "GBP",
        "total": "362.07",
        "tax": "26.82",
        "due": "362.07",
        "customer_id": "24",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
