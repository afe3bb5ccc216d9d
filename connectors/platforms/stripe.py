"""Stripe Invoices (v1): form-encoded, three or four calls an invoice, each under a key of its own.

The traps: without `collection_method=send_invoice` a stored card would be charged; lines added twice are on
the invoice twice; a key keeps a 500 as it keeps a success. Sources: docs.stripe.com/api as of version
2026-06-24.dahlia, and stripe/stripe-python 15.3.1, which is generated from Stripe's OpenAPI document.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote

from connectors.auth import Grant
from connectors.errors import ConnectorError, Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import stripe_lines as lines
from connectors.platforms import stripe_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    reading,
)
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from connectors.platforms.stripe_connect import Connect
from connectors.platforms.stripe_credits import CreditNotes
from connectors.platforms.stripe_words import Pairs, StripeCredentials, StripeSettings, TaxRate, address, form, mark

T = TypeVar("T")

MOST_LINES = 250
"""Items an invoice may have (Stripe's changelog, 2016-02-22)."""


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Found by e-mail. One that carries our key is ours; else the oldest with that e-mail that nobody claimed.

    The list by e-mail is case-sensitive and strongly consistent, e-mails are not unique (api/customers/list).
    """

    calls = 2
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        """Raises `Rejected` without an e-mail address: Stripe then refuses the invoice ("Missing email. In order to
        create invoices that are sent to the customer, the customer must have a valid email.")."""
        party = draft.party
        if not party.email:
            raise Rejected(
                f"{party.display_name} has no e-mail address, and Stripe makes no invoice to be paid by hand without "
                "one; add it to the order in the shop"
            )
        pairs = [("name", party.display_name), ("email", party.email)]
        if party.phone and len(party.phone) <= 20:  # Stripe takes no longer one, and the invoice does not need it
            pairs.append(("phone", party.phone))
        pairs += address("address", draft.billing_address)
        pairs.append(("metadata[billhook_customer]", draft.key))
        return (form("customer", "/v1/customers", pairs),)

    def find(self, drafts: Sequence[CustomerDraft]) -> list[Hit[RemoteCustomer] | None | ConnectorError]:
        lists: dict[str, list[Any] | ConnectorError] = {}
        for email in {draft.party.email for draft in drafts if draft.party.email}:
            try:
                lists[email] = stripe(self).pages("/v1/customers", {"email": email})
            except ConnectorError as error:
                lists[email] = error
        return [self._choose(draft, lists.get(draft.party.email or "", [])) for draft in drafts]

    def _choose(
        self, draft: CustomerDraft, listed: list[Any] | ConnectorError
    ) -> Hit[RemoteCustomer] | None | ConnectorError:
        if isinstance(listed, ConnectorError):
            return listed
        ours = [raw for raw in listed if mark(raw, "billhook_customer") == draft.key]
        if len(ours) > 1:
            ids = ", ".join(raw["id"] for raw in ours)
            return Rejected(
                f"Stripe has {len(ours)} customers for {draft.party.display_name}: {ids}; delete all but one"
            )
        unclaimed = [raw for raw in listed if mark(raw, "billhook_customer") is None]
        chosen = ours or unclaimed[-1:]  # newest come first
        return Hit(words.customer(chosen[0])) if chosen else None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer]:
        customer = words.customer(answer.json())
        return customer.id, customer


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Coupon (with an order discount), draft, all lines in one call, finalize.

    Taxes are the merchant's own tax rates, the order discount a coupon. How Stripe rounds is not documented, so
    this is used only where rounding by line and by rate both give the order to the cent; else every line
    carries its tax as an amount of ours (`tax_amounts`) and the discount is taken off the lines, which leaves
    nothing to round.
    """

    calls = 4

    def plan(self, draft: PlannedInvoice) -> Plan:
        order, settings = draft.draft, stripe(self).settings
        if not order.customer.email:
            raise Rejected(
                f"order {order.order_ref}: the customer has no e-mail address, and Stripe makes no invoice to be paid "
                "by hand without one"
            )
        parts = lines.rows(order)
        if len(parts) > MOST_LINES:
            raise Rejected(f"order {order.order_ref} has {len(parts)} lines, a Stripe invoice at most {MOST_LINES}")
        rates = words.rates_of(parts, settings, order.tax_included)
        off = lines.minor(order.discount.amount, order.currency) if order.discount else 0
        coupon = f"bh-{hashlib.sha256(order.key.encode()).hexdigest()[:32]}" if off else None
        if lines.coupon_gives_the_order(order, parts, off):
            rendered = lines.with_rates(parts, rates, order.currency)
        else:
            rendered, coupon = lines.with_amounts(order, lines.spread(order, parts, off)), None
        plan: Plan = (
            form("draft", "/v1/invoices", self._draft(draft, coupon)),
            form("lines", "/v1/invoices/{draft}/add_lines", rendered),
            form("finalize", "/v1/invoices/{draft}/finalize", [("auto_advance", "false")], issues=True),
        )
        plan = plan if settings.issue else plan[:-1]
        return (self._coupon(draft, coupon, off), *plan) if coupon else plan

    def _coupon(self, draft: PlannedInvoice, coupon: str, off: int) -> Request:
        """Its id is made of our key, so that a second try is refused as existing instead of making another."""
        discount = draft.draft.discount
        name = discount.description if discount else ""
        return form(
            "coupon",
            "/v1/coupons",
            [
                ("id", coupon),
                ("amount_off", str(off)),
                ("currency", draft.draft.currency.lower()),
                ("duration", "once"),
                ("name", name[:40]),  # longer names are refused, and the name is for people only
            ],
        )

    def _draft(self, planned: PlannedInvoice, coupon: str | None) -> Pairs:
        """An empty `discounts` keeps a standing discount of the customer away (stripe-python, InvoiceCreateParams)."""
        draft = planned.draft
        days = (draft.due_on - draft.issued_on).days
        pairs = [
            ("customer", planned.customer_id),
            ("currency", draft.currency.lower()),
            ("collection_method", "send_invoice"),
            ("days_until_due", str(days if days > 0 else stripe(self).settings.days_until_due)),
            ("auto_advance", "false"),
            ("pending_invoice_items_behavior", "exclude"),
            ("discounts[0][coupon]", coupon) if coupon else ("discounts", ""),
            ("description", f"Order {draft.order_ref}"),
        ]
        shown = [("Order", draft.order_ref), ("Tax ID", draft.customer.tax_id)]
        shown = [(name, value) for name, value in shown if value and len(value) <= 140]
        for index, (name, value) in enumerate(shown):
            pairs += [(f"custom_fields[{index}][name]", name), (f"custom_fields[{index}][value]", value or "")]
        pairs += words.marks(draft)
        if draft.shipping_address and (where := address("shipping_details[address]", draft.shipping_address)):
            pairs += [("shipping_details[name]", draft.customer.name or draft.customer.display_name), *where]
        return pairs

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        """The list by customer is strongly consistent, the search by metadata is not; each customer is listed once."""
        lists: dict[str, list[Any] | ConnectorError] = {}
        for customer in {draft.customer_id for draft in drafts}:
            try:
                lists[customer] = stripe(self).pages("/v1/invoices", {"customer": customer})
            except ConnectorError as error:
                lists[customer] = error
        return [self._hit(draft, lists[draft.customer_id]) for draft in drafts]

    def _hit(
        self, draft: PlannedInvoice, listed: list[Any] | ConnectorError
    ) -> Hit[RemoteInvoice] | None | ConnectorError:
        if isinstance(listed, ConnectorError):
            return listed
        near = [
            raw
            for raw in listed
            if mark(raw, "billhook_key") == draft.key or mark(raw, "billhook_order") == draft.draft.reference
        ]
        return self.looked(
            lambda: choosing.unfinished(draft, map(words.invoice, near), "Stripe", lambda hit: self._resume(draft, hit))
        )

    def _resume(self, draft: PlannedInvoice, document: RemoteInvoice) -> str | None:
        """The step a half-built draft still lacks; the embedded `lines` are a first page only."""
        there = len(stripe(self).pages(f"/v1/invoices/{quote(document.id)}/lines", {}))
        whole = len(lines.rows(draft.draft))
        if there not in {0, whole}:
            raise Rejected(
                f"order {draft.draft.order_ref}: the draft {document.id} on Stripe has {there} of {whole} lines; "
                "delete it there, then retry"
            )
        if not there:
            return "lines"
        return "finalize" if stripe(self).settings.issue else None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        body = answer.json()
        return str(body["id"]), None if request.step == "coupon" else words.invoice(body)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        if request.step == "coupon" and isinstance(error, Duplicate):
            return dict(parse_qsl(request.body))["id"]
        return None


class Stripe(Platform):
    """Three or four calls an invoice: a coupon (with an order discount), a draft, all lines in one call, finalise.
    Each has its own key; a half-built draft is found and continued. The draft is compared with the order before
    it is finalised. Taxes are your own tax rates where the rounding surely agrees; else every line carries its
    tax as an amount. `collection_method=send_invoice`: no stored card is charged.

    Customers are found by e-mail: the one that carries our key, else the oldest that nobody claimed. A customer
    without an e-mail address is refused. Invoices are looked for in the customer's list, which is consistent at
    once; Stripe's search lags and is not used.

    As a platform (Connect) you act for a merchant's account with your own key: name it as `account`, set `client_id`,
    and have the merchant agree through `billhook connect`. Without `client_id` it is taken that the account is
    connected to you already, or is the key's own. Stripe connects no account that another platform controls.

    What was refunded becomes a credit note: it lowers what is due of its invoice, and what was paid already is noted
    as given back outside of Stripe (`out_of_band_amount`). Stripe pays nothing back for it, puts nothing on the
    customer's balance and mails nothing.

    - **Proved with:** the emulator; the SDK `stripe` drives it (draft to void, lists, taxes, keys, rate limit, credit
      notes, the consent of a connected account); the connector's customer, tax rate, listing and void calls run against
      `localstripe`, a server by others (it has no finalise and no adding of lines).
    - **Open:** how Stripe rounds taxes (hence two ways of writing them, and the comparison before finalising);
      how an invoice coupon acts on given tax amounts (never used together); most lines in one call (250 are taken
      as the limit); `Retry-After` with a 429; currencies with three decimals, ISK and UGX; an invoice over zero;
      credit notes with your tax rates of an invoice with tax amounts, and the void of an invoice that has one (the
      emulator refuses it); an invoice whose date of effect is another one than that of its creation is listed by the
      latter.
      With a test key Stripe mails nothing, though it answers as if it had.
    """

    facts = Facts(
        slug="stripe",
        title="Stripe",
        docs="https://docs.stripe.com/api/invoices",
        base_url="https://api.stripe.com",
        auth="secret or restricted key, or consent to your platform",
        oauth=Connect(
            "https://connect.stripe.com/oauth/token",
            alone=False,
            authorize_url="https://connect.stripe.com/oauth/authorize",
            scopes=("read_write",),
        ),
        reference=Reference("metadata[billhook_order]", words.METADATA_LIMIT, unique=False),
        key_field="metadata[billhook_key]",
        key=Key("Idempotency-Key", 255, timedelta(hours=24)),
        # 100 calls/s live and 25/s in a sandbox per account, 25/s per endpoint (docs.stripe.com/rate-limits)
        quotas=(Quota(25, timedelta(seconds=1)),),
        quiet=timedelta(minutes=2),  # lists are strongly consistent: it only has to outlast a call still worked on
        deadline=30.0,
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Settings = StripeSettings
    Credentials = StripeCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    headers = {"Stripe-Version": "2026-06-24.dahlia"}  # noqa: RUF012
    refusals = (
        # Other parameters under a key that was used: the first call may have been done.
        Refusal(Uncertain, 400, "idempotency_error"),
        # A call under the same key is still running (`idempotency_key_in_use`).
        Refusal(Uncertain, 409),
        Refusal(Duplicate, 400, "resource_already_exists"),
        # Two writers on one object; stripe-python treats a 400 with `rate_limit` like a 429.
        Refusal(Throttled, None, "lock_timeout"),
        Refusal(Throttled, 400, "rate_limit"),
        Refusal(Unauthorized, 403),
        # Something Stripe depends on failed; what was done by then is not said.
        Refusal(Uncertain, 424),
    )

    @classmethod
    def tenant(cls, settings: StripeSettings, credentials: StripeCredentials) -> str:
        """The account, live and test apart; without `account` a hash of the key (a rolled key is a new tenant)."""
        key = credentials.api_key.get_secret_value()
        if settings.account:
            return f"{settings.account}-{'test' if '_test_' in key else 'live'}"
        return f"key-{hashlib.sha256(b'billhook-stripe:' + key.encode()).hexdigest()[:24]}"

    @classmethod
    def static_headers(cls, credentials: StripeCredentials) -> Mapping[str, str] | None:
        return None if credentials.client_id else cls.proof("", credentials)

    @classmethod
    def grant(cls, settings: StripeSettings, credentials: StripeCredentials) -> Grant | None:
        assert isinstance(cls.facts.oauth, Connect)
        return dataclasses.replace(cls.facts.oauth, account=settings.account) if credentials.client_id else None

    @classmethod
    def proof(cls, token: str, credentials: StripeCredentials) -> Mapping[str, str]:
        """The key, ours or the platform's; a token is the id of the account, which `tenant_headers` names."""
        return {"Authorization": f"Bearer {credentials.api_key.get_secret_value()}"}

    def tenant_headers(self) -> Mapping[str, str]:
        return {"Stripe-Account": self.settings.account} if self.settings.account else {}

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        error = answer.json()["error"]
        return error.get("message") or error["type"], error.get("code") or error.get("type")

    def look(self, path: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None) -> T:
        """What `read` makes of a GET's JSON. Raises `Unavailable` when the answer cannot be read."""
        return self.told(self.ask(path, query), read)

    def pages(self, path: str, query: Mapping[str, str]) -> list[Any]:
        """Everything a list holds, newest first, 100 a page (docs.stripe.com/api/pagination)."""
        found: list[Any] = []
        query = {**query, "limit": "100"}
        while True:
            data, more = self.look(path, lambda body: ([{**raw} for raw in body["data"]], body["has_more"]), query)
            found += data
            if not more or not data:
                return found
            query["starting_after"] = data[-1]["id"]

    def tax_rates(self) -> list[TaxRate]:
        """The active tax rates on Stripe, for choosing `Settings.tax_rates`."""
        active = [raw for raw in self.pages("/v1/tax_rates", {}) if raw.get("active")]
        return [TaxRate.model_validate(raw) for raw in active]

    def whoami(self) -> str:
        """The account's name on its dashboard (docs.stripe.com/api/accounts), else its id."""
        return self.look("/v1/account", lambda body: str(words.account_name(body) or body["id"]))

    def options(self) -> list[Choice]:
        return [words.choice(rate) for rate in self.tax_rates()]

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.look(f"/v1/invoices/{quote(remote_id, safe='')}", words.invoice)

    def since(self, day: date) -> list[RemoteInvoice]:
        """By the time of creation, the only date that the list filters by besides the due date. The merchant's
        time zone is not asked for: the day begins as early as anywhere."""
        begins = datetime.combine(day, time(), timezone(timedelta(hours=14)))
        return [words.invoice(raw) for raw in self.pages("/v1/invoices", {"created[gte]": f"{begins.timestamp():.0f}"})]

    def send(self, remote_id: str, key: str) -> None:
        """With a test key Stripe mails nothing, though it answers as if (docs.stripe.com/api/invoices/send)."""
        self.execute(form("send", f"/v1/invoices/{quote(remote_id, safe='')}/send", []), key=key)

    def link(self, remote_id: str) -> str | None:
        return self.read(remote_id).url

    def pdf(self, remote_id: str) -> bytes:
        """From `invoice_pdf`, an address outside the API that is its own secret: our key is not sent there."""
        url = self.look(f"/v1/invoices/{quote(remote_id, safe='')}", lambda body: body["invoice_pdf"])
        if url is None:
            raise Rejected(f"Stripe has no PDF of {remote_id} before it is finalised")
        return self.linked_pdf(url)

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        now = self.read(remote_id)
        path = f"/v1/invoices/{quote(remote_id, safe='')}"
        if now.status is Status.VOID:
            return now
        if now.status is Status.DRAFT:
            self.execute(Request(step="void", method="DELETE", path=path))
            return now.model_copy(update={"status": Status.VOID})
        answer = self.execute(form("void", f"{path}/void", []), key=key)
        return reading(lambda: words.invoice(answer.json()), answer)


def stripe(documents: Documents[Any, Any]) -> Stripe:
    """The platform that these documents are on, by its own type."""
    assert isinstance(documents.platform, Stripe)
    return documents.platform
