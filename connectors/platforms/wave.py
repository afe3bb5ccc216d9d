"""Wave, the public GraphQL API: a draft, then `invoiceApprove`.

Sources: developer.waveapps.com (API Reference; Errors; OAuth guide; Create and send invoice), whose copies the Rust
crate wave-api 0.1.0 carries; the documents of oliverames/wave-mcp-server, which its tests validate against Wave's own
schema (its list of invoices has the filter `invoiceDateStart`, and no document of it knows a credit note);
flipthetrain/WaveAccounting.Net (inputs with Wave's descriptions, the orders of a list).

The traps: there is no idempotency key; errors come in three layers, two of them with a 200 (`errors`, and
`didSucceed: false` with `inputErrors`); a number that is left out is given by Wave and lost to us; every line needs a
product, and takes the product's own taxes where none are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Rejected, Unauthorized
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import wave_words as words
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
    later,
    posted,
    reading,
)
from connectors.platforms.facts import Facts, Reference, Refusal
from connectors.platforms.rows import percent
from connectors.platforms.wave_words import TITLE

PATH = "/graphql/public"
READS = ("user", "business", "customer", "product", "sales_tax", "invoice")
SCOPES = (*(f"{what}:read" for what in READS), "customer:write", "invoice:write", "invoice:send")
CODES = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "GRAPHQL_VALIDATION_FAILED": 400,
    "BAD_USER_INPUT": 400,
}
"""`extensions.code` (Errors); any other may have come after the work was done."""


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Looked for by e-mail address, an exact filter; without one the whole list is read. The oldest is taken."""

    platform: Wave
    calls = 2
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        given = words.customer_input(draft, self.platform.settings.business_id)
        return (_request("create", words.CREATE_CUSTOMER, given),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        email = {"email": draft.party.email} if draft.party.email else {}
        nodes = self.platform.nodes(words.FIND_CUSTOMERS, "customers", email)
        return choosing.known(draft, [words.customer(raw) for raw in nodes if not raw.get("isArchived")], TITLE)

    def document(self, raw: Any) -> RemoteCustomer:
        return words.customer(raw["customerCreate"]["customer"])


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """A draft with all its lines, compared, then approved. Looked for by number before the first create too: whether
    Wave refuses a number twice is not documented."""

    platform: Wave
    calls = 3
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.platform.settings
        given, remark = words.invoice_input(draft.draft, draft.customer_id, settings)
        create = _request("create", words.CREATE_INVOICE, given).model_copy(update={"remark": remark})
        approve = _request("approve", words.APPROVE_INVOICE, {"invoiceId": later("create")}, issues=True)
        return (create, approve) if settings.issue else (create,)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        nodes = self.platform.nodes(words.FIND_INVOICES, "invoices", {"n": draft.draft.reference})
        step = "approve" if self.platform.settings.issue else None
        return choosing.unfinished(draft, map(words.document, nodes), TITLE, step)

    def document(self, raw: Any) -> RemoteInvoice:
        (done,) = raw.values()
        return words.document(done["invoice"])


class Wave(Platform):
    """Each order becomes a draft invoice whose total Wave computes; Billhook compares it with the order to the cent and
    then approves it. The invoice number is the order's reference, and the memo ends in Billhook's key: leave that line
    as it is, an invoice without it is taken for somebody else's. Choose a prefix for your references that your own
    numbers do not have, for Wave continues from the largest number. Business and app must be connected under a Wave Pro
    (or Advisor) subscription; businesses on "classic" invoicing cannot be used.

    A customer is one of yours with the same e-mail address, or a new one. Wave knows no lines of free text: they are
    booked under one product of yours (and one for shipping), the text is the order's. An order's discount is taken off
    its lines, since Wave does not say how its own discounts change the tax; where Wave's rounding of tax would differ
    from the order by a cent, a line "Rounding" makes up for it.

    Wave's API has neither credit notes nor a way to void (its mutations on invoices are create, clone, patch, approve,
    send, mark as sent, delete, and those of payments). What was refunded is for a person to book on Wave: delete the
    invoice there while nothing is paid on it, which Wave refuses afterwards; else refund the payment.

    - **Proved with:** the emulator, which checks every document field by field and every input; documents and inputs
      were compared with those that oliverames/wave-mcp-server validates against Wave's schema.
    - **Open:** what Wave answers to a number that is taken (an error about `invoiceNumber` is taken for that) and how
      long it may be (40 characters are used); how soon a search shows a new invoice (15 minutes are waited after a lost
      answer); whether tax is rounded by line (a setting says otherwise, and a draft that differs is never approved);
      whether a price may be negative, which a rounding line of −0.01 needs; whether refresh tokens rotate (it is
      assumed that they do: if the answer to a refresh is lost, the account is held), and whether Wave gives one without
      the scope `offline_access`, as one third party denies (`billhook connect` says so); how long a memo may be (4,000
      characters are used); rate limits (two calls at once are kept, which is the practice of others).
    """

    facts = Facts(
        slug="wave",
        title=TITLE,
        docs="https://developer.waveapps.com/hc/en-us/articles/360019968212-API-Reference",
        base_url="https://gql.waveapps.com",
        auth="OAuth 2, rotating refresh tokens",
        oauth=OAuth2(
            "https://api.waveapps.com/oauth2/token/",
            rotates=True,
            client="body",
            alone=False,
            authorize_url="https://api.waveapps.com/oauth2/authorize/",
            scopes=SCOPES,
        ),
        reference=Reference("invoiceNumber", words.NUMBER_LENGTH, unique=False),
        key_field="memo",
        concurrent=2,
        quiet=timedelta(minutes=15),
        pause=timedelta(seconds=30),
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "list"}),
    )
    Settings = words.WaveSettings
    Credentials = words.WaveCredentials
    Customers = Customers
    Invoices = Invoices
    refusals = (Refusal(Duplicate, 422, "invoiceNumber:"), Refusal(Unauthorized, 403))

    @classmethod
    def tenant(cls, settings: words.WaveSettings, credentials: words.WaveCredentials) -> str:
        return settings.business_id

    def status(self, answer: Answer) -> int:
        """`errors` and `didSucceed: false` come with a 200. An error below a mutation's own field came after its work,
        and so may one without a code of the client's doing: these are a 500."""
        try:
            body = answer.json() if answer.status == 200 else {}
            data = (body.get("data") or {}).values()
            errors = [_code(error) for error in body.get("errors") or ()]
        except (ValueError, AttributeError):
            return answer.status  # it cannot be read: whoever reads it says so
        if errors:
            return 401 if 401 in errors else max(errors)
        return 422 if any(isinstance(one, dict) and one.get("didSucceed") is False for one in data) else answer.status

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        body = answer.json()
        if errors := body.get("errors"):
            code = (errors[0].get("extensions") or {}).get("code")
            return "; ".join(str(error["message"]) for error in errors), code
        (refused,) = body["data"].values()
        every = refused.get("inputErrors") or [{"message": "refused without a reason"}]
        said = [": ".join(filter(None, (".".join(map(str, one.get("path") or ())), one["message"]))) for one in every]
        return "; ".join(said), every[0].get("code")

    def value(self, answer: Answer) -> Any:
        return answer.json()["data"]

    def question(self, document: str, **variables: Any) -> Answer:
        """Asks by a query about the business. Raises the errors of a read."""
        variables = {"b": self.settings.business_id, **variables} if "$b" in document else variables
        return self.ask(PATH, headers=JSON, body=dump_json({"query": document, "variables": variables}))

    def nodes(
        self, document: str, name: str, variables: Mapping[str, Any], read_as: Callable[[Any], Any] = dict
    ) -> list[Any]:
        """Every node of a list, page by page, as `read_as` reads one. Raises the errors of a read."""

        def read(data: Any) -> tuple[list[Any], int]:
            listed = data.get("business", data)[name]
            return [read_as(edge["node"]) for edge in listed["edges"]], int(listed["pageInfo"]["totalPages"])

        def page(number: int, _: Any) -> tuple[list[Any], bool]:
            some, pages = self.told(self.question(document, page=number, **variables), read)
            return some, number < pages

        return self.every(page)

    def whoami(self) -> str:
        answer = self.question(words.GET_BUSINESS)
        name, classic = self.told(
            answer, lambda data: (data["business"]["name"], data["business"]["isClassicInvoicing"])
        )
        if classic:
            raise Rejected(
                f"{name} still uses {TITLE}'s classic invoicing, which the API cannot reach; move it on first"
            )
        return str(name)

    def options(self) -> list[Choice]:
        """Businesses, products that are sold, and sales taxes."""
        businesses = self.nodes(words.BUSINESSES, "businesses", {})
        found = choices("business_id", (one for one in businesses if not one["isClassicInvoicing"]))
        products = self.nodes(words.PRODUCTS, "products", {})
        found += choices("product", products) + choices("shipping_product", products)
        for one in self.nodes(words.TAXES, "salesTaxes", {}):
            rate = percent(Decimal(one["rate"]) * 100)
            found.append(Choice(setting="tax", key=rate, value=one["id"], title=f"{one['name']} {rate} %"))
        return found

    def read(self, remote_id: str) -> RemoteInvoice:
        return words.document(self._raw(remote_id))

    def _raw(self, remote_id: str) -> Any:
        answer = self.question(words.GET_INVOICE, id=remote_id)
        raw = self.told(answer, lambda data: data["business"]["invoice"])
        if raw is None:
            raise Rejected(f"{TITLE} has no invoice {remote_id}: was it deleted?")
        self.told(answer, lambda _: words.document(raw))
        return raw

    def since(self, day: date) -> list[RemoteInvoice]:
        """By Wave's own filter of the invoice's date; a deleted invoice is gone."""
        return self.nodes(words.LIST_INVOICES, "invoices", {"from": day.isoformat()}, words.document)

    def send(self, remote_id: str, key: str) -> None:
        """To the customer's address on Wave, which is asked for first."""
        email = (self._raw(remote_id).get("customer") or {}).get("email")
        if not email:
            raise Rejected(f"the customer of invoice {remote_id} has no e-mail address on {TITLE}")
        given = {"invoiceId": remote_id, "to": [email], "attachPDF": True}
        answer = self.execute(_request("send", words.SEND_INVOICE, given), key=key)
        reading(lambda: self.value(answer)["invoiceSend"]["invoice"]["id"], answer)

    def pdf(self, remote_id: str) -> bytes:
        return self.linked_pdf(self._raw(remote_id)["pdfUrl"])


def _request(step: str, document: str, given: Any, *, issues: bool = False) -> Request:
    return posted(step, PATH, {"query": document, "variables": {"input": given}}, issues=issues)


def _code(error: Any) -> int:
    """The status that one of the `errors` means."""
    path = error.get("path") or []
    nested = len(path) > 1 and path[0] not in {"business", "businesses"}
    return 500 if nested else CODES.get((error.get("extensions") or {}).get("code", ""), 500)
