"""Wave: settings of the sandbox's business, and answers of Wave's documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import wave as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

ERRORS = "developer.waveapps.com, Errors"
CREATE = "developer.waveapps.com, Mutation: Create invoice"

SAVED = Recorded(
    source=f"{CREATE} (the fields of its answer), Query: Get invoice; the figures are ours",
    status=200,
    body={
        "data": {
            "business": {
                "id": "QnVzaW5lc3M6MQ==",
                "invoice": {
                    "id": "QnVzaW5lc3M6MQ==;SW52b2ljZToxMjM0",
                    "invoiceNumber": "SO-1001",
                    "status": "SAVED",
                    "memo": "Order SO-1001 · engraver/books/8a61f0",
                    "viewUrl": "https://next.waveapps.com/invoice/1234",
                    "pdfUrl": "https://www.waveapps.com/invoice/1234/pdf",
                    "customer": {"id": "QnVzaW5lc3M6MQ==;Q3VzdG9tZXI6Nw==", "email": "ada@example.com"},
                    "taxTotal": {"value": "196.90"},
                    "total": {"value": "1,181.40", "currency": {"code": "GBP"}},
                    "amountDue": {"value": "1,181.40"},
                },
            }
        }
    },
)


def error(code: str, message: str, status: int = 200, **more: Any) -> Recorded:
    """The shape of the page's examples."""
    found = {"extensions": {"id": "d9e441c5-8c54-421b-bcdb-f0c2012a9f9c", "code": code}, "message": message}
    return Recorded(
        f"{ERRORS} (codes and shape; the messages are ours)",
        status,
        {"errors": [{**found, "locations": [{"line": 2, "column": 3}], **more}]},
    )


def refused(path: str, code: str, message: str) -> Recorded:
    """`didSucceed: false`, as the page's section on mutations shows it."""
    errors = [{"path": ["input", path], "code": code, "message": message}]
    payload = {"didSucceed": False, "inputErrors": errors, "invoice": None}
    return Recorded(
        f"{ERRORS}, Mutations (shape; paths, codes and messages are ours)", 200, {"data": {"invoiceCreate": payload}}
    )


REFUSALS = (
    (error("GRAPHQL_VALIDATION_FAILED", 'Unknown argument "name" on field "business" of type "Query".'), Rejected),
    (error("BAD_USER_INPUT", 'Variable "$input" got invalid value.'), Rejected),
    (error("NOT_FOUND", "Business 'BAD_ID' could not be found.", path=["business"]), Rejected),
    (error("UNAUTHENTICATED", "Authorization header missing or token is expired."), Unauthorized),
    (error("INTERNAL_SERVER_ERROR", "Something went wrong."), Uncertain),
    (error("NOT_FOUND", "Account not found.", path=["invoiceCreate", "invoice", "items"]), Uncertain),
    (refused("items", "INVALID", "Product not found."), Rejected),
    (refused("invoiceNumber", "INVALID", "The number is in use."), Duplicate),
    (Recorded(f"{ERRORS} (the body is ours)", 403, {"errors": [{"message": "Forbidden"}]}), Unauthorized),
    (Recorded("oliverames/wave-mcp-server, index.js: 429 with Retry-After", 429, ""), Throttled),
    (Recorded("oliverames/wave-mcp-server, index.js: 5xx", 502, "<html>"), Uncertain),
)


def mutate(emulator: Any, name: str, kind: str, given: Any, wanted: str = "") -> Any:
    """One mutation on the emulator itself, as a person at Wave's own screens."""
    emulator.desk.grant(sandbox.APP.access_token, "access", 3600)
    document = (
        f"mutation ($input: {kind}!) {{ {name}(input: $input)"
        f" {{ didSucceed inputErrors {{ path code message }} {wanted} }} }}"
    )
    body = json.dumps({"query": document, "variables": {"input": given}}).encode()
    headers = {"authorization": f"Bearer {sandbox.APP.access_token}", "host": "sandbox"}
    answer = json.loads(emulator.handle(Request("POST", "/graphql/public", headers, body)).body)
    assert answer["data"][name]["didSucceed"], answer
    return answer["data"][name]


def _steal_number(emulator: Any, reference: str) -> None:
    given = {"businessId": sandbox.BUSINESS, "name": "Somebody Else Ltd", "email": "else@example.com"}
    who = mutate(emulator, "customerCreate", "CustomerCreateInput", given, "customer { id }")["customer"]["id"]
    item = {"productId": sandbox.GOODS, "description": "Consulting", "quantity": "1", "unitPrice": "500"}
    fields = {"businessId": sandbox.BUSINESS, "customerId": who, "invoiceNumber": reference, "status": "SAVED"}
    mutate(emulator, "invoiceCreate", "InvoiceCreateInput", {**fields, "currency": "GBP", "items": [item]})


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "QnVzaW5lc3M6MQ==;U2FsZXNUYXg6OTk="}}


SAMPLES = Samples(
    slug="wave",
    settings={
        "business_id": sandbox.BUSINESS,
        "product": sandbox.GOODS,
        "shipping_product": sandbox.SHIPPING,
        "tax": dict(sandbox.TAXES),
    },
    credentials={
        "client_id": sandbox.APP.client_id,
        "client_secret": sandbox.APP.client_secret,
        "refresh_token": sandbox.APP.refresh_token,
    },
    token=sandbox.APP.access_token,
    required_settings=("business_id", "product", "tax"),
    invoice=SAVED,
    invoice_expected={
        "id": "QnVzaW5lc3M6MQ==;SW52b2ljZToxMjM0",
        "number": "SO-1001",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "GBP",
        "total": "1181.40",
        "tax": "196.90",
        "due": "1181.40",
        "customer_id": "QnVzaW5lc3M6MQ==;Q3VzdG9tZXI6Nw==",
        "url": "https://next.waveapps.com/invoice/1234",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=None,
    steal_number=_steal_number,
    asks_before_mail=True,
)
