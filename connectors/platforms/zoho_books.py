"""Zoho Books, API v3. Made as a draft under our own number, compared, then marked as sent, which is what issues it.

Sources: Zoho's OpenAPI documents of Books v3 (`invoices.yml`, `credit-notes.yml`, `contacts.yml`),
zoho.com/books/api/v3 (errors, limits, OAuth), zoho.com/books/help (a credit note that is used up is closed),
zoho.com/invoice/api/v3 (errors of credit notes) and recorded answers of June 2026 in NangoHQ/integration-templates. The
traps: without `ignore_auto_number_generation` our number is not taken; a wrong data centre is a 401; errors can stand
in a 200; the keyed upsert would overwrite an invoice that is paid, so it is not used: the number is unique; a credit
note is open at once unless it is made with `is_draft`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field

from connectors.auth import Grant, OAuth2
from connectors.errors import Duplicate
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import zoho_books_words as words
from connectors.platforms.base import AppCredentials, Choice, Platform, choices
from connectors.platforms.documents import Request, reading
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.zoho_books_documents import API, Contacts, CreditNotes, Invoices, done
from connectors.platforms.zoho_books_words import TITLE, Raw, ZohoBooksSettings

SCOPES = (
    "ZohoBooks.invoices.CREATE,ZohoBooks.invoices.READ,ZohoBooks.invoices.DELETE,"
    "ZohoBooks.creditnotes.CREATE,ZohoBooks.creditnotes.READ,"
    "ZohoBooks.contacts.CREATE,ZohoBooks.contacts.READ,ZohoBooks.settings.READ"
)
"""One text: Zoho separates scopes by commas."""

MEANS = {"57": 401, "44": 429, "45": 429, "1070": 429, "1002": 404, "1000": 500}
"""Codes of a body and the status they stand for; 1070 is too many at once, 44 too many in a minute, 45 in a day."""

PAGE = 200

AT_ONCE = 5.0
"""Seconds to stay away after too many calls at once; how long is not documented."""


class ZohoBooksCredentials(AppCredentials):
    """A server-based application made in the API console of the organisation's data centre."""

    client_id: Annotated[str, Field(description="Client ID of the server-based application, made in the API console")]


class ZohoBooks(Platform):
    """Billhook makes the invoice in Zoho Books as a draft under the order's own number, compares its total with the
    order to the cent, and only then marks it as sent, which is how Zoho Books issues an invoice. The number is unique
    in your organisation, so nothing is invoiced twice. The notes of the invoice say which order it is and end in
    Billhook's key for it; your customer sees them.

    Customers are found by name and by e-mail address; your own customer with the same address is taken, one of
    another currency is not, because a contact in Zoho Books has one currency for ever: who orders in two is two
    contacts, the second with the currency in its name. Names must be unique, so a private buyer's has the customer
    number behind it: "Ada Lovelace (C-9)".

    Discounts are taken off the prices of the lines and told in their descriptions, for whether your organisation
    allows discounts, and where, is a preference. Zoho Books rounds tax per invoice or per line, as your preferences
    say: tell Billhook which (`tax_rounding`). Where that is not the shop's way, a rounding adjustment of a cent or two
    makes the totals agree, and the trail says so. Every line needs an item: one for all is enough (`item`).

    What is given back becomes a credit note under a number of its own, which names the number of its invoice: a draft,
    compared, opened, then applied to the invoice as far as that is due; what is left stays the customer's credit. A
    consent given before Billhook made credit notes does not allow them: connect again with `billhook connect`.

    - **Proved with:** an emulator written from the documentation: numbers, tokens, both ways of rounding, quotas by
      minute and day, errors inside a 200. Fields and lengths of every call were compared with Zoho's OpenAPI
      documents, and recorded answers of Zoho Books are read as expected.
    - **Open:** which code a number that is taken gives (recognised by "already exists", in English; in another
      language the invoice is held, not doubled), whether a voided invoice keeps its number, how soon a new invoice is
      in the list (we wait 15 minutes), how many decimals of a quantity and how many lines Zoho takes, whether tax per
      invoice is rounded once for each rate, as we assume. Organisations that approve invoices: set `issue = false`. An
      invoice is mailed to the contact's primary person, as the documentation says it may. Other apps of
      the organisation use up the same daily quota: then Billhook waits until Zoho's own count starts again. When tokens
      are asked for too often, that is recognised in English only. Of credit notes: whether an adjustment is taken (the
      documents show none; a draft whose total differs is not opened), which code an amount gives that is more than is
      due, and whether an invoice can be voided to which one is applied (the emulator refuses both).
    """

    facts = Facts(
        slug="zoho_books",
        title=TITLE,
        docs="https://www.zoho.com/books/api/v3/",
        base_url="https://www.zohoapis.com",
        auth="OAuth 2, lasting refresh tokens, by data centre",
        oauth=OAuth2(
            "https://accounts.zoho.com/oauth/v2/token",
            client="body",
            alone=False,
            authorize_url="https://accounts.zoho.com/oauth/v2/auth",
            scopes=(SCOPES,),
            consent=(("access_type", "offline"), ("prompt", "consent")),
            throttled="too many requests",
        ),
        reference=Reference("invoice_number", max_length=100, unique=True),
        key_field="notes",
        quotas=(Quota(100, timedelta(minutes=1)), Quota(words.DAILY["professional"], timedelta(days=1))),
        concurrent=5,
        one_currency=True,
        pause=timedelta(minutes=1),
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Settings = ZohoBooksSettings
    Credentials = ZohoBooksCredentials
    Customers = Contacts
    Invoices = Invoices
    Credits = CreditNotes
    refusals = (Refusal(Duplicate, 400, "already exists"), Refusal(Duplicate, 400, "3062 "))

    @classmethod
    def facts_of(cls, settings: ZohoBooksSettings) -> Facts:
        """The calls of a day are those of the plan."""
        minute, day = cls.facts.quotas
        return dataclasses.replace(
            cls.facts, quotas=(minute, dataclasses.replace(day, calls=words.DAILY[settings.plan]))
        )

    @classmethod
    def tenant(cls, settings: ZohoBooksSettings, credentials: ZohoBooksCredentials) -> str:
        return f"{settings.data_centre}-{settings.organization_id}"

    @classmethod
    def address(cls, settings: ZohoBooksSettings) -> str:
        return f"https://www.zohoapis.{settings.data_centre}"

    @classmethod
    def grant(cls, settings: ZohoBooksSettings, credentials: ZohoBooksCredentials) -> Grant | None:
        """The accounts server of the data centre; Canada's has a name of its own."""
        assert cls.facts.oauth is not None
        centre = settings.data_centre
        server = "https://accounts.zohocloud.ca" if centre == "ca" else f"https://accounts.zoho.{centre}"
        return cls.facts.oauth.at(server)

    @classmethod
    def proof(cls, token: str, credentials: ZohoBooksCredentials) -> Mapping[str, str]:
        return {"Authorization": f"Zoho-oauthtoken {token}"}

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        """Every call names the organisation."""
        query = {"organization_id": self.settings.organization_id, **request.query}
        return super().leaving(request.model_copy(update={"query": query}), proof)

    def status(self, answer: Answer) -> int:
        """Success is `code` 0; another code says more than the status, which may be 200 all the same."""
        try:
            code = answer.json()["code"]
        except (ValueError, LookupError, TypeError):
            return answer.status
        if code == 0:
            return answer.status
        return MEANS.get(str(code), 400 if 200 <= answer.status < 300 else answer.status)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        body = answer.json()
        return str(body["message"]), str(body["code"])

    def retry_after(self, answer: Answer) -> float | None:
        """Of code 45 the header that counts down to the next day; of 44 the minute of the facts."""
        try:
            code = str(answer.json()["code"])
            if code == "45":
                return float(answer.headers["x-rate-limit-reset"])
        except (ValueError, LookupError, TypeError):
            return answer.retry_after
        return AT_ONCE if code == "1070" else answer.retry_after

    def one(self, kind: str, ident: str) -> Raw:
        """One document by its id. Raises the errors of a read."""
        answer = self.ask(f"{API}/{kind}s/{quote(ident, safe='')}")
        return self.told(answer, lambda body: {**body[kind]})

    def listed(self, collection: str, query: Mapping[str, str] | None = None, path: str | None = None) -> list[Raw]:
        """Everything a list holds, 200 a page. Raises the errors of a read."""

        def page(number: int, _: Any) -> tuple[list[Raw], bool]:
            asked = {**(query or {}), "page": str(number), "per_page": str(PAGE)}
            answer = self.ask(f"{API}/{path or collection}", asked)
            return self.told(answer, lambda body: _page(body, collection))

        return self.every(page)

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Each is read: a list shows no notes, in which our key stands. Other programs have a number of their own, and
        write the order's name into `reference_number`."""
        rows = self.listed("invoices", {"date_start": day.isoformat()})
        read = [(self.read(row["invoice_id"]), row.get("reference_number")) for row in rows]
        return [one if one.key or not said else one.model_copy(update={"reference": said}) for one, said in read]

    def send(self, remote_id: str, key: str) -> None:
        """Without a body Zoho mails its usual text to the invoice's contact persons (invoices.yml, email_invoice)."""
        self.execute(Request(step="send", path=_path(remote_id) + "/email"), key=key)

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(_path(remote_id), {"accept": "pdf"}, {})

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        request = Request(step="void", path=f"{_path(found.id)}/status/void")
        if found.status is Status.DRAFT:
            request = Request(step="void", method="DELETE", path=_path(found.id))
        answer = self.execute(request, key=key)
        reading(lambda: done(answer), answer)
        return found.model_copy(update={"status": Status.VOID})

    def whoami(self) -> str:
        reached = {str(row["organization_id"]): str(row["name"]) for row in self.listed("organizations")}
        return self.among(self.settings.organization_id, reached)

    def options(self) -> list[Choice]:
        found = choices("tax", self.listed("taxes", path="settings/taxes"), "tax_id", "tax_name", words.percent_of)
        money = self.listed("currencies", path="settings/currencies")
        base = [raw for raw in money if raw["is_base_currency"]]
        others = [raw for raw in money if not raw["is_base_currency"]]
        found += choices("base_currency", base, "currency_code", "currency_name")
        found += choices("currencies", others, "currency_id", "currency_name", lambda raw: str(raw["currency_code"]))
        items = words.active(self.listed("items"))
        found += choices("item", items, "item_id")
        found += choices("items", [raw for raw in items if raw.get("sku")], "item_id", key=lambda raw: str(raw["sku"]))
        templates = self.listed("templates", path="invoices/templates")
        return found + choices("template", templates, "template_id", "template_name")


def _page(body: Any, collection: str) -> tuple[list[Raw], bool]:
    """The rows, and whether there are more: where an answer does not say so, a full page may not be the last."""
    rows, context = list(body[collection]), body.get("page_context")
    return rows, bool(context["has_more_page"]) if context else len(rows) >= PAGE


def _path(remote_id: str) -> str:
    return f"{API}/invoices/{quote(remote_id, safe='')}"
