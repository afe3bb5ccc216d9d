"""PayPal Invoicing v2: a draft with everything in it, then send, which issues it and mails only if it is to.

Sources: paypal/paypal-rest-api-specifications `openapi/invoicing_v2.json` 2.3 (fields, lengths, issues of errors),
developer.paypal.com (/invoicing, /api/rate-limiting, supported currencies), docs.paypal.ai (invoicing errors), the
legacy Invoicing Service API Guide (one rate a tax name, ten taxes). For partners: API requests
(PayPal-Auth-Assertion), Partner Referrals v2 (the feature INVOICE_READ_WRITE, `action_url`) and Onboard sellers.

Traps: the number has 24 characters in practice, the schema says 127; `PayPal-Request-Id` is not documented for
invoices: it is sent with a draft and not relied on; a number that PayPal refuses twice and a look before each create
keep invoices single; a date ahead of the merchant's own makes the invoice SCHEDULED, answered with 202; links name
another host, so only the id is taken from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.auth import OAuth2
from connectors.errors import ConnectorError, Duplicate, Rejected, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import paypal_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import Documents, Hit, Plan, PlannedInvoice, Request
from connectors.platforms.facts import Facts, Key, Reference, Refusal
from connectors.platforms.inline import InlineCustomers

INVOICES = "/v2/invoicing/invoices"
JSON = {"Content-Type": "application/json"}
ID = Key("PayPal-Request-Id", max_length=36, lives=timedelta(0), uuid=True)
"""Not among the facts: PayPal does not say that it heeds it for invoices, so nothing is ever repeated for its sake."""

LAST_DAY = "2099-12-31"
"""Ends a range of dates, which must have an end."""


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Draft, send."""

    platform: PayPal
    calls = 4
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.platform.settings
        body, remark = words.invoice_body(draft, settings)
        whole = {**JSON, "Prefer": "return=representation"}
        told = {"subject": f"Invoice {draft.draft.reference}", **_told(settings.mail)}
        plan = (
            Request(step="draft", path=INVOICES, headers=whole, body=dump_json(body), remark=remark),
            Request(step="send", path=f"{INVOICES}/{{draft}}/send", headers=JSON, body=dump_json(told), issues=True),
        )
        return plan if settings.issue else plan[:-1]

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """A search may match parts of a number, and shows no memo: what has the number is read."""
        number = draft.draft.reference
        found = self.platform.searched({"invoice_number": number})
        ids = [raw["id"] for raw in found if raw["detail"]["invoice_number"] == number]
        step = "send" if self.platform.settings.issue else None
        return choosing.unfinished(draft, map(self.platform.read, ids), words.TITLE, step)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step == "send":
            if answer.status != 202:  # scheduled
                _ = answer.json()["href"]
            return "", None
        body = answer.json()
        if "id" not in body:  # as without Prefer: a link to it
            return str(body["href"]).rpartition("/")[2], None
        return str(body["id"]), words.invoice(body)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        return "" if request.step == "send" and "INVOICE_ALREADY_SENT" in error.message else None


def _told(mail: bool) -> dict[str, bool]:
    return {"send_to_invoicer": False, "send_to_recipient": mail}


class PayPal(Platform):
    """Two calls an invoice: a draft, which is compared with the order, then *send*, which makes it payable; PayPal
    mails it only with `mail = true`, else we send the link. The order's name becomes the invoice number (24
    characters), the memo, which only you see, ends in our business key. Before each create the number is searched for.
    PayPal keeps no customers: who is billed stands in each invoice, and nothing is looked up or created.

    PayPal computes the tax. Where every way of rounding gives the order's total, prices are sent without tax; else with
    it (`tax_inclusive`), and the trail says so. An order discount is taken off the lines; shipping is an item. An order
    of more than 100 lines has several lines in one item, their texts below each other. HUF, JPY and TWD are whole
    numbers; other currencies than PayPal's are held. The app at developer.paypal.com needs the feature Invoicing.

    PayPal has no credit notes (its API description knows none): after a refund of all of an order the invoice is
    cancelled while nothing is paid on it. PayPal refuses that afterwards, in part paid or in whole, and a person is
    told: refund the payment on PayPal, which shows on the invoice.

    As a partner whom PayPal has approved you bill for a merchant with your own app: name the merchant as `merchant`.
    The merchant consents on a page that you have PayPal make for each merchant (Partner Referrals, the `action_url`;
    third party, with the feature `INVOICE_READ_WRITE`), and comes back to you with the id (`merchantIdInPayPal`). There
    is no code to exchange: `billhook connect` tries the account. The older way, *Log in with PayPal* with the scope of
    invoicing, would keep tokens of every merchant; it is not used.

    - **Proved with:** the emulator; the SDK `paypal-server-sdk`, which has no invoices, gets its token from it; fields
      and lengths were compared with PayPal's own API description.
    - **Open:** nothing has met a partner's account: that the header works on every call about invoices, and how PayPal
      refuses it without consent; whether PayPal heeds `PayPal-Request-Id` for invoices (it is sent, nothing is
      repeated for its sake); how the refusal of a number that is taken looks (anything that names the invoice number
      counts); whether numbers are always unique; how soon a search shows what was made; how PayPal rounds, also where
      prices include tax (the draft is compared before it is sent); whether a discount comes off prices that include
      tax in the same way; whether a search by date takes a range that ends long after today, as is asked for to list
      what is dated since a day (each is read then); the rate limits, which are not published. An invoice dated ahead of
      your own day is sent by PayPal on that day. A customer's phone number is not sent.
    """

    facts = Facts(
        slug="paypal",
        title=words.TITLE,
        docs="https://developer.paypal.com/docs/api/invoicing/v2/",
        base_url="https://api-m.paypal.com",
        auth="client id and secret of your own app, or a partner's",
        oauth=OAuth2("https://api-m.paypal.com/v1/oauth2/token", lifetime=timedelta(hours=9)),
        reference=Reference("detail.invoice_number", words.NUMBER, unique=True),
        key_field="detail.memo",
        concurrent=4,
        quiet=timedelta(minutes=15),
        pause=timedelta(seconds=30),
        deadline=60.0,
        can=frozenset({"draft", "issue", "link", "void", "list"}),
    )
    Settings = words.PayPalSettings
    Credentials = words.PayPalCredentials
    Customers = InlineCustomers
    Invoices = Invoices
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Duplicate, 422, "DUPLICATE_INVOICE_NUMBER"),
        Refusal(Duplicate, 422, "invoice_number"),
        Refusal(Uncertain, 409),
        Refusal(Unauthorized, 403),
    )

    @classmethod
    def tenant(cls, settings: words.PayPalSettings, credentials: words.PayPalCredentials) -> str:
        return f"{credentials.client_id}:{settings.merchant}" if settings.merchant else credentials.client_id

    @classmethod
    def proof(cls, token: str, credentials: words.PayPalCredentials) -> Mapping[str, str]:
        """With whose app it is; `leaving` takes that out again, and says for whom it acts."""
        return {**super().proof(token, credentials), "client_id": credentials.client_id}

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        sent = {name: value for name, value in proof.items() if name != "client_id"}
        if self.settings.merchant:
            sent["PayPal-Auth-Assertion"] = words.assertion(proof["client_id"], self.settings.merchant)
        return super().leaving(request, sent)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """A token that is refused is told in OAuth's way."""
        body = answer.json()
        if "error" in body:
            return str(body.get("error_description") or body["error"]), str(body["error"])
        details = body.get("details") or []
        told = [
            " ".join(str(one[name]) for name in ("issue", "description", "field") if one.get(name)) for one in details
        ]
        debug = f" (debug id {body['debug_id']})" if body.get("debug_id") else ""
        return "; ".join(told or [str(body["message"])]) + debug, str(body["name"])

    def execute(self, request: Request, *, key: str | None = None, begin: Callable[[], None] | None = None) -> Answer:
        """A draft that was just made may not be found yet (clients of PayPal's repeat a 404): nothing is known then.
        A draft is asked for under an id of the request, which PayPal remembers on some of its APIs."""
        if key is not None and request.step == "draft":
            request = request.model_copy(update={"headers": {**request.headers, ID.field: ID.fitting(key)}})
        try:
            return super().execute(request, key=key, begin=begin)
        except Rejected as error:
            if error.status != 404 or request.step != "send":
                raise
            raise Uncertain(error.message, status=404, code=error.code, sample=error.sample) from None

    def searched(self, asked: Mapping[str, Any]) -> list[Any]:
        """Invoices of any state that match, archived ones too."""
        found: list[Any] = []
        pages, page = 1, 0
        while page < pages:
            page += 1
            answer = self.ask(
                "/v2/invoicing/search-invoices",
                {"page": str(page), "page_size": "100", "total_required": "true"},
                JSON,
                dump_json({**asked, "archived": None}),
            )
            rows, pages, total = self.told(answer, _page)
            found += rows
        if len(found) < total:
            raise Unavailable(f"{words.TITLE} shows {len(found)} of the {total} invoices that its search finds")
        return found

    def _invoice(self, remote_id: str) -> tuple[RemoteInvoice, str]:
        """The invoice, and PayPal's own word for its state."""
        answer = self.ask(f"{INVOICES}/{quote(remote_id, safe='')}")
        return self.told(answer, lambda body: (words.invoice(body), str(body["status"])))

    def read(self, remote_id: str) -> RemoteInvoice:
        return self._invoice(remote_id)[0]

    def since(self, day: date) -> list[RemoteInvoice]:
        """A search shows no memo, which our key is in: what it finds is read. The list may move while it is read."""
        asked = {"invoice_date_range": {"start": day.isoformat(), "end": LAST_DAY}}
        ids = dict.fromkeys(str(raw["id"]) for raw in self.searched(asked))
        return [self.read(ident) for ident in ids]

    def link(self, remote_id: str) -> str | None:
        return self.read(remote_id).url

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        """Nobody is mailed. What is paid, or paid in part, is refused by PayPal (`CANNOT_CANCEL_PAID_INVOICE`)."""
        now, state = self._invoice(remote_id)
        path = f"{INVOICES}/{quote(remote_id, safe='')}"
        if now.status is Status.VOID:
            return now
        if state in {"DRAFT", "SCHEDULED"}:
            self.execute(Request(step="void", method="DELETE", path=path))
        else:
            self.execute(Request(step="void", path=f"{path}/cancel", headers=JSON, body=dump_json(_told(False))))
        return now.model_copy(update={"status": Status.VOID})

    def _profile(self) -> list[str]:
        """Of the account's profile, which comes with the list of templates."""
        answer = self.ask("/v2/invoicing/templates", {"fields": "none", "page": "1", "page_size": "1"})
        return self.told(answer, lambda body: _emails(body["emails"]))

    def whoami(self) -> str:
        return self._profile()[0]

    def options(self) -> list[Choice]:
        return [Choice(setting="invoicer_email", value=email, title=email) for email in self._profile()]


def _page(body: Any) -> tuple[list[Any], int, int]:
    """The invoices, and how many pages and invoices there are in all."""
    return _items(body), int(body.get("total_pages") or 0), int(body.get("total_items") or 0)


def _items(body: Any) -> list[Any]:
    """Without any, PayPal may leave the list out; but then it says that there are none."""
    if "items" not in body and body["total_items"] != 0:
        raise ValueError("invoices that are not shown")
    return [{**raw, "detail": {**raw["detail"]}} for raw in body.get("items") or []]


def _emails(given: Any) -> list[str]:
    """The schema says one address, its description several; objects that hold one are understood too."""
    several = given if isinstance(given, list) else [given]
    return [str(one["email_address"] if isinstance(one, dict) else one) for one in several]
