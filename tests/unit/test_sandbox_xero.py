"""The emulated Xero refuses what Xero refuses: numbers, quotas, keys, tokens, statuses. Time is the test's own."""

from __future__ import annotations

import base64
import json
import sqlite3
from typing import Any
from urllib.parse import quote

import pytest

from connectors.sandbox import xero as sandbox
from connectors.sandbox.base import Request, Response

BASIC = base64.b64encode(f"{sandbox.CLIENT_ID}:{sandbox.CLIENT_SECRET}".encode()).decode()


class Client:
    """Calls an emulator directly; `now` is its clock."""

    def __init__(self) -> None:
        self.now = 1_795_300_000.0
        database = sqlite3.connect(":memory:", isolation_level=None)
        self.emulator = sandbox.Xero(database, lambda: self.now)
        self.token = sandbox.ACCESS_TOKEN

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = {"authorization": f"Bearer {self.token}", "xero-tenant-id": sandbox.TENANT}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode()
        return self.emulator.handle(Request(method, "/api.xro/2.0" + path, sent, content))

    def refresh(self, token: str | None) -> Response:
        form = f"grant_type=refresh_token&refresh_token={token}" if token else "grant_type=client_credentials"
        headers = {"authorization": f"Basic {BASIC}"}
        return self.emulator.handle(Request("POST", "/connect/token", headers, form.encode()))

    def contact(self, name: str = "Ada Lovelace", **fields: Any) -> str:
        raw = {"Name": name, "EmailAddress": "ada@example.com", **fields}
        return str(shown(self.call("PUT", "/Contacts", {"Contacts": [raw]}))["Contacts"][0]["ContactID"])

    def create(self, *invoices: Any, apart: bool = True, method: str = "PUT", **headers: str) -> Response:
        path = "/Invoices?unitdp=4" + ("&summarizeErrors=false" if apart else "")
        return self.call(method, path, {"Invoices": list(invoices)}, **headers)

    def made(self, invoice: Any) -> dict[str, Any]:
        (element,) = shown(self.create(invoice))["Invoices"]
        assert element["HasErrors"] is False, element
        return dict(element)

    def read(self, ident: str) -> dict[str, Any]:
        return dict(shown(self.call("GET", f"/Invoices/{ident}"))["Invoices"][0])


@pytest.fixture
def client() -> Client:
    return Client()


def shown(response: Response) -> Any:
    return json.loads(response.body)


def reasons(element: Any) -> list[str]:
    return [error["Message"] for error in element["ValidationErrors"]]


def invoice(contact: str, number: str = "SO-1", **fields: Any) -> dict[str, Any]:
    line = {"Description": "Tag", "Quantity": 1, "UnitAmount": 5.5, "AccountCode": "200", "TaxType": "OUTPUT2"}
    return {
        "Type": "ACCREC",
        "InvoiceNumber": number,
        "Reference": f"Order {number} · key-{number}",
        "Contact": {"ContactID": contact},
        "Date": "2026-11-22",
        "DueDate": "2026-12-06",
        "CurrencyCode": "GBP",
        "Status": "AUTHORISED",
        "LineItems": [{**line, **fields.pop("line", {})}],
        **fields,
    }


# -- invoices ------------------------------------------------------------------------------------------------------


def test_put_never_overwrites_and_post_does(client: Client) -> None:
    contact = client.contact()
    client.made(invoice(contact))
    (second,) = shown(client.create(invoice(contact)))["Invoices"]
    assert (second["StatusAttributeString"], reasons(second)) == ("ERROR", ["Invoice # must be unique."])
    changed = invoice(contact, line={"UnitAmount": 9})
    assert client.create(changed, method="POST").status == 200
    assert [entry.total for entry in client.emulator.ledger()] == ["10.80"]


def test_a_number_is_free_again_when_deleted_but_not_when_voided(client: Client) -> None:
    contact = client.contact()
    draft = client.made(invoice(contact, Status="DRAFT"))
    client.call("POST", f"/Invoices/{draft['InvoiceID']}", {"Status": "DELETED"})
    issued = client.made(invoice(contact))
    client.call("POST", f"/Invoices/{issued['InvoiceID']}", {"Status": "VOIDED"})
    (third,) = shown(client.create(invoice(contact)))["Invoices"]
    assert reasons(third) == ["Invoice # must be unique."]
    assert [entry.status for entry in client.emulator.ledger()] == ["void"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"line": {"TaxType": "NOPE"}}, "The TaxType code NOPE does not exist"),
        ({"line": {"AccountCode": "999"}}, "Account code '999' is not a valid code"),
        ({"line": {"AccountCode": None}}, "Account code must be specified"),
        ({"line": {"Description": ""}}, "Description must be"),
        ({"line": {"LineAmount": 5}}, "The line total 5 does not match the expected line total 5.50"),
        ({"line": {"DiscountAmount": 6}}, "Discount must not be greater"),
        ({"line": {"UnitAmount": -5}}, "must not be negative"),
        ({"CurrencyCode": "CHF"}, "not subscribed to currency CHF"),
        ({"DueDate": None}, "DueDate must be specified"),
        ({"Type": "SALE"}, "Type must be specified"),
        ({"Status": "VOIDED"}, "not valid for a new invoice"),
        ({"LineItems": []}, "line items must be specified"),
        ({"InvoiceNumber": "x" * 256}, "more than 255"),
        ({"Contact": {"ContactID": "0f2d9f0e-0000-0000-0000-000000000000"}}, "could not be found"),
        ({"Contact": {}}, "at least 1 of the following"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(client: Client, fields: dict[str, Any], reason: str) -> None:
    (element,) = shown(client.create(invoice(client.contact(), **fields)))["Invoices"]
    assert element["HasErrors"] is True
    assert reason in " ".join(reasons(element))
    assert client.emulator.ledger() == []


def test_one_bad_element_spoils_the_call_unless_errors_come_apart(client: Client) -> None:
    contact = client.contact()
    pair = invoice(contact, "SO-1"), invoice(contact, "SO-2", CurrencyCode="CHF")
    refused = client.create(*pair, apart=False)
    assert (refused.status, shown(refused)["Type"]) == (400, "ValidationException")
    assert client.emulator.ledger() == []
    kept = client.create(*pair)
    assert kept.status == 200
    assert [element["StatusAttributeString"] for element in shown(kept)["Invoices"]] == ["OK", "ERROR"]
    assert [entry.reference for entry in client.emulator.ledger()] == ["SO-1"]


def test_tax_is_rounded_per_line_and_can_be_overridden(client: Client) -> None:
    contact = client.contact()
    line = {"Description": "Tag", "Quantity": 1, "UnitAmount": 0.03, "AccountCode": "200", "TaxType": "OUTPUT2"}
    made = client.made(invoice(contact, LineItems=[line] * 3))
    assert (made["SubTotal"], made["TotalTax"], made["Total"]) == (0.09, 0.03, 0.12)
    made = client.made(invoice(contact, "SO-2", LineItems=[line, line, {**line, "TaxAmount": 0}]))
    assert made["TotalTax"] == 0.02
    made = client.made(invoice(contact, "SO-3", LineItems=[{**line, "UnitAmount": 12}], LineAmountTypes="Inclusive"))
    assert (made["SubTotal"], made["TotalTax"], made["Total"]) == (10.0, 2.0, 12.0)


def test_unit_prices_have_two_decimals_unless_four_are_asked_for(client: Client) -> None:
    contact = client.contact()
    four = client.made(invoice(contact, line={"UnitAmount": 0.1234, "Quantity": 100}))
    body = {"Invoices": [invoice(contact, "SO-2", line={"UnitAmount": 0.1234, "Quantity": 100})]}
    (two,) = shown(client.call("PUT", "/Invoices", body))["Invoices"]
    assert (four["SubTotal"], two["SubTotal"]) == (12.34, 12.0)


def test_statuses_change_only_as_xero_allows(client: Client) -> None:
    made = client.made(invoice(client.contact(), Status="DRAFT"))
    path = f"/Invoices/{made['InvoiceID']}"
    assert client.call("POST", path, {"Status": "VOIDED"}).status == 400, "a draft is deleted, not voided"
    assert client.call("POST", path, {"Status": "AUTHORISED"}).status == 200
    assert client.call("POST", path, {"Status": "DELETED"}).status == 400, "an issued one is voided, not deleted"
    assert client.call("POST", path, {"Status": "VOIDED"}).status == 200
    refused = client.call("POST", path, {"Status": "AUTHORISED"})
    assert reasons(shown(refused)["Elements"][0]) == ["Invoice not of valid status for modification"]


def test_mail_needs_an_issued_invoice_and_an_address(client: Client) -> None:
    contact = client.contact()
    draft = client.made(invoice(contact, Status="DRAFT"))["InvoiceID"]
    assert client.call("POST", f"/Invoices/{draft}/Email", {}).status == 400
    assert client.call("GET", f"/Invoices/{draft}/OnlineInvoice").status == 400
    silent = client.made(invoice(client.contact("No Mail", EmailAddress=None), "SO-2"))["InvoiceID"]
    assert client.call("POST", f"/Invoices/{silent}/Email", {}).status == 400
    issued = client.made(invoice(contact, "SO-3"))["InvoiceID"]
    assert client.call("POST", f"/Invoices/{issued}/Email", {}).status == 204
    assert client.emulator.mails() == [(issued, "ada@example.com")]
    assert client.read(issued)["SentToContact"] is True
    assert client.call("GET", f"/Invoices/{issued}", accept="application/pdf").body.startswith(b"%PDF")


# -- contacts and look-ups -----------------------------------------------------------------------------------------


def test_names_are_unique_among_active_contacts(client: Client) -> None:
    first = client.contact()
    again = client.call("PUT", "/Contacts", {"Contacts": [{"Name": "ADA LOVELACE"}]})
    assert "already assigned to another contact" in again.body.decode()
    client.call("POST", "/Contacts", {"Contacts": [{"ContactID": first, "ContactStatus": "ARCHIVED"}]})
    assert client.contact() != first
    refused = client.create(invoice(first))
    assert "has been archived" in refused.body.decode()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('ContactNumber=="c-1" OR EmailAddress=="b@example.com"', ["A", "B"]),
        ('(Name=="A" OR Name=="C") AND EmailAddress=="c@example.com"', ["C"]),
        ('Name.StartsWith("B") || Name.Contains("zzz")', ["B"]),
        ('EmailAddress!=null AND Name!="A"', ["B", "C"]),
    ],
)
def test_a_filter_finds_what_it_says(client: Client, where: str, expected: list[str]) -> None:
    for name in "ABC":
        client.contact(name, ContactNumber=f"c-{ord(name) - 64}", EmailAddress=f"{name.lower()}@example.com")
    found = shown(client.call("GET", f"/Contacts?where={quote(where)}"))["Contacts"]
    assert [contact["Name"] for contact in found] == expected


def test_a_filter_that_cannot_be_read_is_refused(client: Client) -> None:
    for where in ("Name==", 'Name="A" AND', "; DROP TABLE xero_contacts", '"A"=="A"'):
        refused = client.call("GET", f"/Contacts?where={quote(where)}")
        assert (refused.status, shown(refused)["Type"]) == (400, "QueryParseException")


def test_lists_come_in_pages(client: Client) -> None:
    contact = client.contact()
    client.create(*(invoice(contact, f"SO-{n}") for n in range(5)))
    page = shown(client.call("GET", "/Invoices?page=2&pageSize=2&order=InvoiceNumber%20DESC"))
    assert [entry["InvoiceNumber"] for entry in page["Invoices"]] == ["SO-2", "SO-1"]
    assert page["pagination"] == {"page": 2, "pageSize": 2, "pageCount": 3, "itemCount": 5}


# -- quotas, keys, tokens ------------------------------------------------------------------------------------------


def test_sixty_calls_a_minute(client: Client) -> None:
    for n in range(60):
        response = client.call("GET", "/Organisation")
        assert (response.status, response.headers["X-MinLimit-Remaining"]) == (200, str(59 - n))
        client.now += 0.5
    refused = client.call("GET", "/Organisation")
    assert (refused.status, refused.headers["X-Rate-Limit-Problem"]) == (429, "minute")
    assert refused.headers["Retry-After"] == "30"
    assert client.emulator.refused_for_quota == 1
    client.now += 30
    assert client.call("GET", "/Organisation").status == 200


def test_five_thousand_calls_a_day(client: Client) -> None:
    for _ in range(5000):
        client.now += 1.1
        client.emulator.db.execute("UPDATE xero_tokens SET expires = ?", (client.now + 1,))
        assert client.call("GET", "/Organisation").status == 200
    client.now += 0.9
    refused = client.call("GET", "/Organisation")
    assert (refused.status, refused.headers["X-Rate-Limit-Problem"]) == (429, "day")


def test_a_key_lives_six_minutes(client: Client) -> None:
    contact = client.contact()
    first = client.create(invoice(contact), idempotency_key="k")
    client.now += 359
    assert client.create(invoice(contact), idempotency_key="k").body == first.body
    other = client.create(invoice(contact, "SO-2"), idempotency_key="k")
    assert (other.status, "used with a different request" in shown(other)["Detail"]) == (400, True)
    client.now += 2
    (late,) = shown(client.create(invoice(contact), idempotency_key="k"))["Invoices"]
    assert reasons(late) == ["Invoice # must be unique."], "after six minutes it is a new call"
    assert client.create(invoice(contact), idempotency_key="k" * 129).status == 400


def test_a_stored_failure_is_replayed_under_its_key_and_nothing_was_done(client: Client) -> None:
    contact = client.contact()
    stored = client.create(invoice(contact), idempotency_key="k", x_sandbox_fault="error_stored")
    again = client.create(invoice(contact), idempotency_key="k")
    assert (stored.status, again.status, client.emulator.ledger()) == (500, 500, [])
    assert client.create(invoice(contact), idempotency_key="k2").status == 200


def test_a_refused_element_is_remembered_under_the_bytes_that_were_sent(client: Client) -> None:
    contact = client.contact()
    body = json.dumps({"Invoices": [invoice(contact, "SO-1"), invoice(contact, "SO-2")]}).encode()
    headers = {"authorization": f"Bearer {client.token}", "xero-tenant-id": sandbox.TENANT, "idempotency-key": "k"}
    request = Request("PUT", "/api.xro/2.0/Invoices?summarizeErrors=false", headers, body)
    spoilt = client.emulator.handle(client.emulator.refuse_element(request))
    assert [element["HasErrors"] for element in shown(spoilt)["Invoices"]] == [False, True]
    assert client.emulator.handle(request).body == spoilt.body


def test_an_access_token_lives_thirty_minutes(client: Client) -> None:
    client.now += 1799
    assert client.call("GET", "/Organisation").status == 200
    client.now += 1
    expired = client.call("GET", "/Organisation")
    assert (expired.status, shown(expired)["Detail"]) == (401, "TokenExpired: token expired")
    client.token = shown(client.refresh(None))["access_token"]
    assert client.call("GET", "/Organisation").status == 200
    client.emulator.expire_tokens()
    assert client.call("GET", "/Organisation").status == 401


def test_a_used_refresh_token_works_for_thirty_more_minutes(client: Client) -> None:
    first = shown(client.refresh(sandbox.REFRESH_TOKEN))
    assert first["refresh_token"] != sandbox.REFRESH_TOKEN
    client.now += 1799
    assert client.refresh(sandbox.REFRESH_TOKEN).status == 200
    client.now += 1
    refused = client.refresh(sandbox.REFRESH_TOKEN)
    assert (refused.status, shown(refused)) == (400, {"error": "invalid_grant"})
    assert client.refresh(first["refresh_token"]).status == 200
    assert "refresh_token" not in shown(client.refresh(None)), "client credentials give none"


def test_strangers_are_turned_away(client: Client) -> None:
    assert client.call("GET", "/Organisation", authorization="Bearer nonsense").status == 401
    assert client.call("GET", "/Organisation", xero_tenant_id="another").status == 403
    assert client.call("GET", "/Invoices/SO-404").status == 404
    wrong = Request("POST", "/connect/token", {"authorization": "Basic eDp5"}, b"grant_type=client_credentials")
    assert shown(client.emulator.handle(wrong)) == {"error": "invalid_client"}


def test_what_it_holds_outlives_it() -> None:
    client = Client()
    client.made(invoice(client.contact()))
    again = sandbox.Xero(client.emulator.db, lambda: client.now)
    assert [(entry.reference, entry.key, entry.customer) for entry in again.ledger()] == [
        ("SO-1", "key-SO-1", "ada@example.com")
    ]
