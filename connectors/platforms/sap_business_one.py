"""SAP Business One, Service Layer, OData V4 (`/b1s/v2`) on the merchant's own server.

Sources: the live metadata of `/b1s/v2` (gregorwolf/sap-business-one-odata-cap), SAP's archived Service Layer SDK
(login, error bodies), learning.sap.com "Performing Batch Operations in Service Layer API" (atomic change sets),
B1SLayer (both cookies, boundary without quotes, Content-ID, both shapes of errors). `CompanyService_GetAdminInfo` is a
function there. `POST /InternalReconciliations` with one row of a credit note and one of its invoice, by `TransNum`: the
names are those of the metadata (InternalReconciliationOpenTransRow), the values those of integrators' published code.

Traps: a session is two cookies, and without ROUTEID the next node does not know it; an idle session ends with code 301;
a page has 20 rows whatever `$top` says; an error stands inside the batch's 202; a cancellation is an invoice too, of
the same number; an invoice that an approval procedure keeps back is a draft, not an invoice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, SecretStr

from connectors.auth import Login
from connectors.errors import Duplicate, Unavailable
from connectors.http import Answer
from connectors.model import Model, RemoteInvoice
from connectors.platforms import sap_business_one_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import JSON, Request
from connectors.platforms.facts import Facts, Reference, Refusal
from connectors.platforms.sap_business_one_documents import API, CreditNotes, Customers, Invoices, listed, said
from connectors.platforms.texts import literal


class SapBusinessOneCredentials(Model):
    """A user of the company, best one of its own, with a licence and the rights to invoices and customers."""

    username: Annotated[str, Field(description="the user's code, as it signs in to the company")]
    password: Annotated[SecretStr, Field(description="the user's password")]


class Sessions(Login):
    """One is shared by all workers: each costs memory, and perhaps a licence."""

    def body(self, credentials: SapBusinessOneCredentials) -> Mapping[str, str]:
        password = credentials.password.get_secret_value()
        return {"CompanyDB": self.company, "UserName": credentials.username, "Password": password}

    def session(self, answer: Answer) -> tuple[str, timedelta]:
        """Both cookies, as one header."""
        body = answer.json()
        node = re.search(r"ROUTEID=([^;,\s]+)", answer.headers.get("Set-Cookie", ""))
        cookies = f"B1SESSION={body['SessionId']}" + (f"; ROUTEID={node[1]}" if node else "")
        return cookies, timedelta(minutes=int(body.get("SessionTimeout", 30)))


class SapBusinessOne(Platform):
    """An invoice is posted by the call that creates it, together with a row of its key in a table of your company: both
    or neither, so no invoice is made twice; up to 20 invoices leave in one call. Your administrator makes the table and
    a field once, while nobody else is signed in: `POST /UserTablesMD` with
    `{"TableName":"BILLHOOK_KEY","TableDescription":"Billhook invoice keys","TableType":"bott_NoObject"}`, and
    `POST /UserFieldsMD` with `{"TableName":"OINV","Name":"BillhookRef","Type":"db_Alpha","Size":254,"Description":
    "Billhook key"}`. The order's number is in the customer reference (*NumAtCard*). Lines are items: use items without
    stock, or the invoice moves stock.

    Business One computes the tax from the tax group of each line. Amounts are sent without tax, an order's discount is
    taken off its lines, and where rounding leaves a difference a line "Rounding" without tax (so a tax group for 0 % is
    needed) makes the total that of the order. Currencies of other than two decimals are refused. A customer is found by
    e-mail address among those billed in the order's currency or in all; else it is made under a code of its own
    (*BH* and 13 letters). Business One mails nothing and gives no PDF here; cancelling makes a cancellation document.

    What was refunded becomes a credit note that refers to its invoice (*referenced document*), made together with the
    row of its key too, and then reconciled with it as far as that is due; the rest stays the customer's credit. Its
    lines are not copied from the invoice's. In a foreign currency the reconciliation is a person's: it depends on the
    rates of both days, so the note is held until it is done.

    - **Proved with:** the emulator; the names of all fields against the published metadata of `/b1s/v2`.
    - **Open:** nothing has met a live company. Not documented, and so to be tried on a test company first: that a
      change set holds a user table's row and a document together; the status of the batch's answer; that a
      reconciliation shows in what is paid of both documents (*PaidToDate*); that the user field of invoices is one of
      credit notes too; what an invoice that needs approval is answered with (it is read anew, and held); how your
      company rounds (half up where `rounding` says; another total is a mismatch); the currency `##` of a new customer;
      the name of the cancelling action; that a user field holds 254 characters; how long a line's description may be
      (the first 100 characters stand there, the whole text in the item's details). Where no public authority signed
      your server's certificate, name the one that did as `ca_file` of the account.
    """

    facts = Facts(
        slug="sap_business_one",
        title=words.TITLE,
        docs="https://help.sap.com/docs/SAP_BUSINESS_ONE",
        base_url="https://your-server:50000",
        auth="session of a user",
        reference=Reference("NumAtCard", words.REFERENCE, unique=False),
        key_field="U_BillhookRef",
        once=True,
        concurrent=1,
        bulk=20,
        pause=timedelta(seconds=5),
        deadline=60.0,
        can=frozenset({"issue", "void", "credit", "list"}),
    )
    Settings = words.SapBusinessOneSettings
    Credentials = SapBusinessOneCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    refusals = (
        Refusal(Duplicate, None, "-2035"),
        Refusal(Unavailable, 400, "-2039"),  # somebody else changed the same data: undone as a whole
    )

    @classmethod
    def tenant(cls, settings: words.SapBusinessOneSettings, credentials: SapBusinessOneCredentials) -> str:
        return f"{settings.server}/{settings.company}".lower()

    @classmethod
    def address(cls, settings: words.SapBusinessOneSettings) -> str:
        return settings.server

    @classmethod
    def grant(cls, settings: words.SapBusinessOneSettings, credentials: SapBusinessOneCredentials) -> Sessions:
        return Sessions(settings.server.rstrip("/"), f"{API}/Login", words.TITLE, settings.company)

    @classmethod
    def proof(cls, token: str, credentials: SapBusinessOneCredentials) -> Mapping[str, str]:
        return {"Cookie": token}

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        for cookie in proof.get("Cookie", "").split("; "):
            if cookie.startswith("B1SESSION="):
                self.http.hide(cookie.partition("=")[2])
        return super().leaving(request, proof)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        return said(answer.json())

    def read(self, remote_id: str) -> RemoteInvoice:
        return Invoices(self).read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        return Invoices(self).listed([f"DocDate ge {literal(day.isoformat())}"])

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Only while it is open and nothing is paid; a cancellation document stands beside it then."""
        self.execute(Request(step="void", path=f"{API}/Invoices({quote(found.id, safe='')})/Cancel", headers=JSON))
        return self.read(found.id)

    def whoami(self) -> str:
        answer = self.ask(f"{API}/CompanyService_GetAdminInfo")
        return self.told(answer, lambda raw: f"{raw['CompanyName']} ({self.settings.company})")

    def options(self) -> list[Choice]:
        groups = {"$filter": "Category eq 'bovcOutputTax' and Inactive eq 'tNO'"}
        found = listed(self, "VatGroups", groups, _tax_group)
        found += listed(
            self, "Currencies", {},
            lambda raw: Choice(setting="currencies", value=raw["Code"], title=raw["Name"], key=raw["DocumentsCode"]),
        )  # fmt: skip
        items = {"$filter": "InventoryItem eq 'tNO' and SalesItem eq 'tYES'", "$select": "ItemCode,ItemName"}
        for setting, collection, query, ident, name in (
            ("item", "Items", items, "ItemCode", "ItemName"),
            ("freight", "AdditionalExpenses", {}, "ExpensCode", "Name"),
            ("payment_terms", "PaymentTermsTypes", {}, "GroupNumber", "PaymentTermsGroupName"),
        ):
            pairs = listed(self, collection, query, _named(ident, name))
            found += [Choice(setting=setting, value=value, title=title) for value, title in pairs]
        return found


def _tax_group(raw: Mapping[str, Any]) -> Choice:
    """The newest rate of a tax group is the last of its lines."""
    rates = raw.get("VatGroups_Lines") or []
    key = f"{Decimal(str(rates[-1]['Rate'])).normalize():f}" if rates else None
    return Choice(setting="tax", value=raw["Code"], title=raw["Name"], key=key)


def _named(ident: str, name: str) -> Callable[[Mapping[str, Any]], tuple[str, str]]:
    return lambda raw: (str(raw[ident]), str(raw[name] or raw[ident]))
