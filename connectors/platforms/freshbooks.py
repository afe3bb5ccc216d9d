"""FreshBooks, accounting API (JSON): a draft, then "mark as sent".

Sources: freshbooks.com/api (invoices, clients, taxes, errors, credits, payments, parameters); the official SDK for
Node, freshbooks/freshbooks-nodejs-sdk, and the one for Python that FreshBooks lists; FreshBooks' Postman collection (a
credit note is wrapped in `credit_note`; the SDK for Node has `credit_notes`); answers recorded in June 2026 by
NangoHQ/integration-templates; "Can I re-use an old invoice number?" and "How do I change the Invoice Number?" on
freshbooks.com/support (a number cannot be used twice, not even that of a deleted invoice); developers.getknit.dev,
"Allocate Credit Note to an Invoice" (credit is said to be taken from all that a client has).

The traps: there is no idempotency key; a draft that is not marked as sent is invisible to its client; the actions
travel alone in their body; errors have three shapes and may come with a 200; a refresh token works once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.auth import OAuth2, Token
from connectors.errors import Duplicate, Rejected, Unauthorized
from connectors.http import Answer, Http
from connectors.model import RemoteInvoice, Status
from connectors.platforms import freshbooks_words as words
from connectors.platforms.base import Choice, Platform, choices
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.freshbooks_documents import CreditNotes, Customers, Invoices, books_of, call, result
from connectors.platforms.freshbooks_words import TITLE
from connectors.platforms.rows import percent

ERRORS = {"1003": 403, "1011": 404, "1012": 404}
"""What an error number in a 200 means: forbidden, deleted, not found (freshbooks.com/api/errors); others are 422."""


@dataclass(frozen=True)
class FreshBooksOAuth(OAuth2):
    """FreshBooks wants the redirect address at a refresh too (both SDKs send it)."""

    def ask(self, http: Http, credentials: Any, form: Mapping[str, str]) -> Token:
        return super().ask(http, credentials, {"redirect_uri": credentials.redirect_uri, **form})


class FreshBooks(Platform):
    """Each order becomes a draft invoice whose total FreshBooks computes; Billhook compares it with the order to the
    cent and then marks it as sent, which makes it a claim and visible to your client. The invoice number is the order's
    reference; FreshBooks takes no number twice. The notes end in Billhook's key: leave that line as it is, an invoice
    without it is taken for somebody else's. Choose a prefix for your references that your own numbers do not have, for
    FreshBooks continues from the last number used.

    A customer is a client of yours with the same e-mail address, or a new one. Shipping and an order's discount are
    lines of their own. FreshBooks adds tax on top, so prices that include tax are shown without it; where its rounding
    would differ from the order by a cent, a line "Rounding" makes up for it. Amounts have two decimals there: orders in
    yen or dinar are held. A voided invoice is a deleted one in FreshBooks, which keeps its number.

    What is given back becomes a credit note, whose terms name the invoice, and a payment "from credit" then takes it
    off the invoice as far as that is due; what is left stays the client's credit. FreshBooks makes no drafts of credit
    notes: with `issue = false` they are left to you. A consent given before Billhook made credit notes does not allow
    them: connect again with `billhook connect`.

    - **Proved with:** the emulator; `freshbooks-sdk`, which FreshBooks lists, drives it (log-in, clients, invoices,
      searches, errors); requests and answers have the names of FreshBooks' own SDK for Node and of recorded answers.
    - **Open:** what the API answers to a number that is taken (a 409, or an error about `invoice_number`, is taken for
      that); how long a number may be (20 characters are used) and the notes (4,000); how soon a search shows a new
      invoice (15 minutes are waited after a lost answer); whether tax is rounded by line (a setting says otherwise, and
      a draft that differs is never marked as sent); whether lines may be negative; whether countries are wanted by
      their English names; rate limits (two writes a second are kept). A mail goes to the client's own address. Of
      credit notes: whether a payment uses up the very one it names or another credit of the client's (what is due of
      the invoice falls all the same), what is answered where it is more than is due or the client has no such credit,
      and whether two may have one number (ours are looked for before one is made again).
    """

    facts = Facts(
        slug="freshbooks",
        title=TITLE,
        docs="https://www.freshbooks.com/api/invoices",
        base_url="https://api.freshbooks.com",
        auth="OAuth 2, rotating refresh tokens",
        oauth=FreshBooksOAuth(
            "https://api.freshbooks.com/auth/oauth/token",
            rotates=True,
            client="body",
            alone=False,
            authorize_url="https://auth.freshbooks.com/oauth/authorize",
            scopes=(
                "user:profile:read",
                "user:clients:read",
                "user:clients:write",
                "user:invoices:read",
                "user:invoices:write",
                "user:credit_notes:read",
                "user:credit_notes:write",
                "user:payments:read",
                "user:payments:write",
            ),
            lifetime=timedelta(hours=12),
        ),
        reference=Reference("invoice_number", words.NUMBER_LENGTH, unique=True),
        key_field="notes",
        quotas=(Quota(2, timedelta(seconds=1), of="write"), Quota(600, timedelta(minutes=1))),
        concurrent=4,
        quiet=timedelta(minutes=15),
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Settings = words.FreshBooksSettings
    Credentials = words.FreshBooksCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    headers: ClassVar[Mapping[str, str]] = {"X-API-VERSION": "2023-02-20"}
    refusals = (
        Refusal(Rejected, None, "1017 invoice_number:"),
        Refusal(Rejected, None, "1017 credit_number:"),
        Refusal(Duplicate, 400, "invoice_number:"),
        Refusal(Duplicate, 422, "invoice_number:"),
        Refusal(Duplicate, 400, "credit_number:"),
        Refusal(Duplicate, 422, "credit_number:"),
        Refusal(Duplicate, 409),
        Refusal(Unauthorized, 403),
    )

    @classmethod
    def tenant(cls, settings: words.FreshBooksSettings, credentials: words.FreshBooksCredentials) -> str:
        return settings.account_id

    def status(self, answer: Answer) -> int:
        if answer.status != 200 or b'"errors"' not in answer.body:
            return answer.status
        try:
            _, code = self.error_message(answer)
        except Exception:
            return 200  # no error after all, or cut: whoever reads it says so
        return ERRORS.get(code or "", 422)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """Of the accounting API's old and new shape, and of the log-in's."""
        body = answer.json()
        if "response" in body:
            errors = body["response"]["errors"]
            every = errors if isinstance(errors, list) else [errors]
            said = [f"{one['field']}: {one['message']}" if one.get("field") else one["message"] for one in every]
            return "; ".join(said), str(every[0]["errno"])
        for detail in body.get("details") or ():
            said = detail["metadata"]
            return ": ".join(filter(None, (said.get("field"), said["message"]))), str(detail["reason"])
        return str(body.get("error_description") or body["message"]), str(body["error"]) if "error" in body else None

    def pages(self, path: str, name: str, query: Mapping[str, str]) -> list[Any]:
        """Everything a list holds, 100 a page. Raises the errors of a read."""

        def page(number: int, _: Any) -> tuple[list[Any], bool]:
            answer = self.ask(path, {**query, "page": str(number), "per_page": "100"})
            return self.told(answer, lambda body: (list(result(body)[name]), number < int(result(body)["pages"])))

        return self.every(page)

    def whoami(self) -> str:
        return self.among(self.settings.account_id, {one["account_id"]: one["name"] for one in self._businesses()})

    def _businesses(self) -> list[Any]:
        answer = self.ask("/auth/api/v1/users/me")
        return self.told(answer, lambda body: [one["business"] for one in body["response"]["business_memberships"]])

    def options(self) -> list[Choice]:
        """Businesses, and the taxes in use (any other name works too)."""
        found = choices("account_id", (one for one in self._businesses() if one["account_id"]), "account_id")
        for tax in self.pages(f"{books_of(self.invoices)}/taxes/taxes", "taxes", {}):
            rate = percent(tax["amount"])
            found.append(Choice(setting="tax", key=rate, value=tax["name"], title=f"{tax['name']} {rate} %"))
        return found

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.told(self.ask(self._path(remote_id)), self.invoices.document)

    def since(self, day: date) -> list[RemoteInvoice]:
        query = {"search[date_min]": day.isoformat()}
        listed = self.pages(f"{books_of(self.invoices)}/invoices/invoices", "invoices", query)
        return [words.document(raw) for raw in listed if raw["create_date"] >= day.isoformat()]

    def send(self, remote_id: str, key: str) -> None:
        """To the client's own address: FreshBooks takes it where no recipients are named."""
        self.execute(call("send", self._path(remote_id), {"invoice": {"action_email": True}}), key=key)

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(f"{self._path(remote_id)}/pdf")

    def link(self, remote_id: str) -> str | None:
        """A signed address that ends some time; refused for drafts."""
        answer = self.ask(f"{self._path(remote_id)}/share_link", {"share_method": "share_link"})
        return self.told(answer, lambda body: str(result(body)["share_link"]["share_link"]))

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Deleted softly (`vis_state` 1). Refused here once anything is paid: FreshBooks names no rule."""
        if found.status is Status.PAID or found.due != found.total:
            raise Rejected(f"invoice {found.number} on {TITLE} has payments and cannot be deleted")
        self.execute(call("void", self._path(found.id), {"invoice": {"vis_state": words.DELETED}}), key=key)
        return found.model_copy(update={"status": Status.VOID})

    def _path(self, remote_id: str) -> str:
        return f"{books_of(self.invoices)}/invoices/invoices/{quote(remote_id, safe='')}"
