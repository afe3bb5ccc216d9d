"""BILL (Bill.com), API v3, receivables: sessions, no drafts, no idempotency key, no look-up by number.

Sources: developer.bill.com, API login, AR customers, AR invoices, Create a customer and Create an invoice (fields and
lengths), Search operations with lists (quoted values), Filterable fields, Common API error codes, API rate limits,
Get an invoice payment link, Get organization details. The traps: errors are an array, and which status comes with a
code is not documented; `customer` is an object in a request and `customerId` in an answer; an answer does not name the
invoice's currency, which is that of its customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from connectors.auth import Login
from connectors.errors import Rejected, Unavailable
from connectors.http import Answer, dump_json
from connectors.model import Model, RemoteInvoice, Status
from connectors.platforms import bill_com_words as words
from connectors.platforms import choosing
from connectors.platforms.base import Choice, Platform, choices
from connectors.platforms.documents import (
    JSON,
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    posted,
)
from connectors.platforms.facts import Facts, Quota, Reference

API = "/connect/v3"
STATUSES = {
    "OPEN": Status.ISSUED,
    "SCHEDULED": Status.ISSUED,
    "PARTIAL_PAYMENT": Status.ISSUED,
    "PAID_IN_FULL": Status.PAID,
}
SESSION = timedelta(minutes=35)
"""Without a call; how long one with calls may last is not documented, so a new one is got after that time anyway."""


class BillComCredentials(Model):
    """A user of the organisation, best one of its own with the role to create invoices, and a developer key."""

    username: Annotated[str, Field(description="e-mail address that signs in; or the name of an AP & AR sync token")]
    password: Annotated[SecretStr, Field(description="its password; or the sync token's value")]
    dev_key: Annotated[SecretStr, Field(description="developer key (Settings > Sync & Integrations > API)")]


class Sessions(Login):
    """BILL allows 200 logins an hour for a developer key over all its organisations."""

    def body(self, credentials: BillComCredentials) -> Mapping[str, str]:
        password, key = credentials.password.get_secret_value(), credentials.dev_key.get_secret_value()
        who = {"username": credentials.username, "password": password}
        return {**who, "organizationId": self.company, "devKey": key}

    def session(self, answer: Answer) -> tuple[str, timedelta]:
        return str(answer.json()["sessionId"]), SESSION

    def status(self, answer: Answer) -> int:
        return words.meaning(answer)


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Customers. `accountNumber` carries our key; BILL can be asked by name only, so the rest is compared here."""

    look_first = True
    calls = 2
    platform: BillCom

    def plan(self, draft: CustomerDraft) -> Plan:
        fields, remark = words.customer(draft)
        return (posted("create", f"{API}/customers", fields, remark=remark),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        raws = self.platform.listed("customers", f"archived:eq:false{words.named(draft.party.display_name.strip())}")
        ours, currency = words.account_number(draft), draft.currency or "USD"
        found = [self.document(raw) for raw in raws if _currency(raw) == currency]
        found = [one.model_copy(update={"key": draft.key}) if one.key == ours else one for one in found]
        return choosing.known(draft, found, words.TITLE)

    def document(self, raw: words.Raw) -> RemoteCustomer:
        number = str(raw.get("accountNumber") or "")
        key = number if number.startswith(words.OURS) else None
        return RemoteCustomer(id=raw["id"], key=key, name=raw["name"], email=raw.get("email"))


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Invoices: open by the call that creates them. Before it the customer's invoices are looked through."""

    look_first = True
    calls = 3
    platform: BillCom

    def plan(self, draft: PlannedInvoice) -> Plan:
        fields, remark = words.invoice(draft.draft, draft.customer_id, self.platform.settings)
        return (posted("create", f"{API}/invoices", fields, issues=True, remark=remark),)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """`invoiceNumber` cannot be asked for, nor does BILL say that it is unique: all invoices of the customer are
        read, archived ones too. Asking by `createdTime` would make them fewer, but how its value is quoted is not
        documented, and a filter that is misread would hide what is there."""
        raws = self.platform.listed("invoices", f'customerId:eq:"{draft.customer_id}"')
        near = [raw for raw in raws if draft.draft.reference == raw["invoiceNumber"] or words.key_in(raw) == draft.key]
        return choosing.unfinished(draft, map(self.platform.invoice, near), words.TITLE)

    def document(self, raw: words.Raw) -> RemoteInvoice:
        return self.platform.invoice(raw)


class BillCom(Platform):
    """An invoice is one call and is open at once: BILL knows no drafts and no void. It has no key that makes a repeated
    call harmless either, and cannot be asked for an invoice by its number. So the customer's invoices are read before
    each create and again, a quarter of an hour later, after an answer that was lost. A customer with very many
    invoices (one house customer for all orders) costs one call per hundred of them each time.

    Tax is a line of its own for each rate, with the order's own amount and the text that `tax` has for it; prices that
    include tax are shown without it. An order discount is taken off the lines. Where quantity × price would not give
    the amount to the cent, the line is one piece and its text says how it came about. A last line of 0.00 carries the
    order and our key. Nothing is computed by BILL, so nothing is rounded.

    BILL bills US dollars; other currencies need its international invoices and stand in `currencies`. A customer has
    one currency. Customers are found by name, then by our key in `accountNumber` or by their e-mail address; each
    needs one. An address that BILL would not take (in the US without a state) stands in the customer's description.
    Voiding archives the invoice, which is what becomes of an order that is given back as a whole before it is paid;
    another refund is held for a person. BILL has credit memos in its API (POST /v3/credit-memos), but what is applied
    to an invoice it takes "from the total of all the credit memos available for the customer" (Update an invoice,
    creditAmount): a memo cannot be set off against its own invoice, and after a lost answer nothing says whether that
    was done. The session is shared by all workers; BILL takes three calls at once and we make two,
    for logins and for the merchant's other tools with the same developer key.

    - **Proved with:** the emulator, written from developer.bill.com. BILL has no SDK for Python.
    - **Open:** whether an invoice number may be used twice (looked up before each create instead); how soon a list
      shows what was created; how the value of a filter is quoted (a name with a quote in it is asked for by what stands
      before, and compared); which HTTP status comes with BILL's codes for limits (the codes are read, whatever the
      status); whether an invoice in another currency wants an exchange rate; the fields of the payment link's request;
      whether tax through a SALES_TAX item would round as the shop does (not used); negative lines (not used); BILL's
      own mails (not used: their request is not documented); how long a session with calls lasts; whether an AP & AR
      sync token does all this in place of a user's password.
    """

    facts = Facts(
        slug="bill_com",
        title=words.TITLE,
        docs="https://developer.bill.com/docs/ar-invoices",
        base_url="https://gateway.prod.bill.com",
        auth="session by user, password and developer key",
        reference=Reference("invoiceNumber", max_length=words.LONGEST, unique=False),
        key_field="last line's description",
        quotas=(Quota(20_000, timedelta(hours=1)),),
        concurrent=2,
        one_currency=True,
        quiet=timedelta(minutes=15),
        pause=timedelta(minutes=1),
        can=frozenset({"issue", "link", "void", "list"}),
    )
    Settings = words.BillComSettings
    Credentials = BillComCredentials
    Customers = Customers
    Invoices = Invoices
    settings: words.BillComSettings
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}

    @classmethod
    def tenant(cls, settings: words.BillComSettings, credentials: BillComCredentials) -> str:
        return settings.organization

    @classmethod
    def grant(cls, settings: words.BillComSettings, credentials: BillComCredentials) -> Sessions:
        absent = frozenset({408})  # a 404 may be the organisation that the user cannot see
        return Sessions(cls.facts.base_url, f"{API}/login", words.TITLE, settings.organization, elsewhere=absent)

    @classmethod
    def proof(cls, token: str, credentials: BillComCredentials) -> Mapping[str, str]:
        return {"sessionId": token, "devKey": credentials.dev_key.get_secret_value()}

    def status(self, answer: Answer) -> int:
        return words.meaning(answer)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        first = words.problem(answer)
        return f"{first['message']} ({first['code']})", str(first["code"])

    def listed(self, kind: str, filters: str = "") -> list[words.Raw]:
        """Every element of a list, page by page. Raises the errors of a read."""
        asked = {"max": "100", "filters": filters} if filters else {"max": "100"}

        def page(_: int, following: Any) -> tuple[list[words.Raw], Any]:
            answer = self.ask(f"{API}/{kind}", {**asked, "page": str(following)} if following else asked)
            return self.told(answer, lambda body: (list(body["results"]), body.get("nextPage")))

        return self.every(page)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Lists cannot be asked by `invoiceDate` (Filterable fields): all invoices are read and their dates compared,
        a hundred a call, and all customers for the currencies that they are invoiced in."""
        raws = [raw for raw in self.listed("invoices") if date.fromisoformat(raw["invoiceDate"]) >= day]
        several = len(self.settings.currencies) > 1 and raws
        currencies = {raw["id"]: _currency(raw) for raw in self.listed("customers")} if several else {}
        return [self.invoice(raw, currencies) for raw in raws]

    def invoice(self, raw: words.Raw, currencies: Mapping[str, str] | None = None) -> RemoteInvoice:
        """An answer's invoice in our words. Raises the errors of a read: an answer does not name the currency, so its
        customer is asked for, unless `currencies` has that or the account has one currency only."""
        currency, *others = self.settings.currencies
        if others and raw["customerId"] in (currencies or {}):
            currency = (currencies or {})[raw["customerId"]]
        elif others:
            customer = quote(str(raw["customerId"]), safe="")
            currency = self.told(self.ask(f"{API}/customers/{customer}"), _currency)
        return RemoteInvoice(
            id=raw["id"],
            number=raw["invoiceNumber"],
            reference=raw["invoiceNumber"],
            key=words.key_in(raw),
            status=Status.VOID if raw.get("archived") else STATUSES[raw["status"]],
            currency=currency,
            total=raw["totalAmount"],
            due=raw.get("dueAmount"),
            customer_id=raw["customerId"],
        )

    def read(self, remote_id: str) -> RemoteInvoice:
        try:
            return self.invoice(self.told(self.ask(_path(remote_id)), lambda body: {**body}))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"BILL: the answer cannot be read ({type(error).__name__})") from None

    def whoami(self) -> str:
        answer = self.ask(f"{API}/organizations/{self.settings.organization}")
        return self.told(answer, lambda body: str(body.get("name") or body["id"]))

    def options(self) -> list[Choice]:
        return choices("account", self.listed("classifications/chart-of-accounts"))

    def link(self, remote_id: str) -> str | None:
        """None where the customer has no e-mail address, or is itself in BILL's network and pays there."""
        customer_id = self.told(self.ask(_path(remote_id)), lambda body: str(body["customerId"]))
        email = self.told(self.ask(f"{API}/customers/{customer_id}"), lambda body: body.get("email"))
        if not email:
            return None
        body = dump_json({"customerId": customer_id, "email": email})
        try:
            answer = self.ask(f"{_path(remote_id)}/payment-link", headers=JSON, body=body)
        except Rejected:
            return None
        return self.told(answer, lambda body: str(body["paymentLink"]))

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Archives it, which may be repeated. Raises `Rejected` once anything is paid."""
        if found.status is Status.PAID or found.due not in {None, found.total}:
            raise Rejected(f"BILL: invoice {found.number} is paid or partly paid; refund it first")
        self.execute(Request(step="void", path=f"{_path(found.id)}/archive", headers=JSON))
        return self.read(found.id)


def _currency(raw: Any) -> str:
    """Of a customer: US dollars unless it says otherwise."""
    return str(raw.get("invoiceCurrency") or "USD")


def _path(remote_id: str) -> str:
    return f"{API}/invoices/{quote(remote_id, safe='')}"
