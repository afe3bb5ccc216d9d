"""Oracle Fusion Cloud ERP, Receivables: REST resource `receivablesInvoices`, version 11.13.18.05.

Sources: docs.oracle.com, REST API for Oracle Financials (Receivables Invoices: create, get, find, complete and
incomplete, error messages; Receivables Customer Account Site Activities and its finder by AccountNumber; the lists
outputTaxClassificationsLOV and finBusinessUnitsLOV), My Oracle Support 2800010.1 (AR-857798: "You can only create a
complete invoice"), REST API for Oracle CX (hubOrganizations and their addresses), SOAP Web Services for Oracle CX
("Create a Basic Customer Account", crmService/CustomerAccountService), the manual of AutoInvoice (a number is unique
inside a transaction source), configure_oauth (tokens of the identity domain) and "Client/User JWT Assertion".

"Perform Batch Actions" (all or none, worked off in order, no greatest size), "Perform Bulk Update on Multiple Invoices"
(the batch of this resource).

Traps: `/invoices` of the same service is Payables. An Upsert-Mode with an undocumented match. A batch names only the
part that failed, and keeps none. Errors are JSON or plain text. A refusal may mean that the number is taken, in words
nobody has published: after one it is looked.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.assertions import Asserted
from connectors.errors import ConnectorError, Duplicate, Rejected, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import oracle_erp_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import (
    Attempt,
    CustomerDraft,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    element,
    posted,
)
from connectors.platforms.facts import Facts, Reference, Refusal
from connectors.platforms.texts import key_in

FINANCIALS, PARTIES = "/fscmRestApi/resources/11.13.18.05", "/crmRestApi/resources/11.13.18.05/hubOrganizations"
INVOICES, ACCOUNTS = f"{FINANCIALS}/receivablesInvoices", f"{FINANCIALS}/receivablesCustomerAccountSiteActivities"
SOAP = "/crmService/CustomerAccountService"
BATCH = {"Content-Type": "application/vnd.oracle.adf.batch+json"}


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """A party with its address, then an account that can be billed; both under one number made of our key."""

    platform: OracleErp
    calls = 4
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        settings = self.platform.settings
        if settings.reference_set is None:
            raise Rejected(
                f"the customer {draft.party.display_name} cannot be made in {words.TITLE}: set reference_set in the "
                "account's settings, or one customer for all orders"
            )
        soap = {"Accept": "text/xml", "Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"mergeCustomerAccount"'}
        return (
            posted("party", PARTIES, words.party(draft)),
            Request(step="account", path=SOAP, headers=soap, body=words.account(draft, settings.reference_set)),
        )

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        number = words.number(draft.key)
        finder = f"CustomerAccountSiteActivitiesFinder;AccountNumber={number}"
        accounts = self.platform.items(ACCOUNTS, {"finder": finder})
        for raw in accounts:
            if raw["AccountNumber"] == number:
                return Hit(RemoteCustomer(id=number, key=draft.key, name=raw["CustomerName"]))
        parties = self.platform.items(PARTIES, {"q": f"PartyNumber='{number}'", "expand": "Address"})
        if not parties:
            return None
        return Hit(RemoteCustomer(id=_ids(parties[0]), key=draft.key), "account")

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        if request.step == "party":
            return _ids(answer.json()), None
        found = re.search(rb"<(?:\w+:)?AccountNumber>([^<]+)<", answer.body)
        if found is None or b"mergeCustomerAccountResponse" not in answer.body:
            raise ValueError
        return found[1].decode(), RemoteCustomer(id=found[1].decode())


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Complete by the call that makes them. Their number is unique in the transaction source that is Billhook's own."""

    bulk = 10
    platform: OracleErp
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        body, remark = words.invoice(draft.draft, draft.customer_id, self.platform.settings)
        return (posted("create", INVOICES, body, issues=True, remark=remark),)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        raws = self.platform.items(INVOICES, {"q": f"TransactionNumber='{draft.draft.reference}'"})
        source = self.platform.settings.transaction_source
        ours = [self.document(raw) for raw in raws if raw["TransactionSource"] == source]
        return choosing.unfinished(draft, ours, words.TITLE)

    def create(self, attempt: Attempt[PlannedInvoice]) -> Outcome[RemoteInvoice]:
        """A refusal is believed only when the number is not there: how Fusion words "taken" is not published."""
        outcome = super().create(attempt)
        if type(outcome.error) is not Rejected:
            return outcome
        (hit,) = self.find([attempt.draft])
        refused_too = isinstance(hit, Rejected)  # a person must act in any case
        return outcome if hit is None or refused_too else _taken(outcome.error, hit)

    # -- many at once ----------------------------------------------------------------------------------------------

    def pack(self, plans: Sequence[Plan]) -> Request:
        """A batch: all of it or nothing. Its parts are named by their numbers."""
        bodies = [(json.loads(plan[0].body)["TransactionNumber"], plan[0].body) for plan in plans]
        parts = [
            f'{{"id":{dump_json(number)},"path":"/receivablesInvoices","operation":"create","payload":{body}}}'
            for number, body in bodies
        ]
        batch = {"path": f"{FINANCIALS}/", "headers": BATCH, "body": f'{{"parts":[{",".join(parts)}]}}', "remark": ""}
        return plans[0][0].model_copy(update=batch)

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        parts = {part["id"]: part.get("payload") for part in answer.json()["parts"]}
        return [element(partial(self._part, parts.get(one.draft.reference), one), answer) for one in drafts]

    def _part(self, raw: Any, draft: PlannedInvoice) -> RemoteInvoice:
        document = self.document(raw)
        if document.key != draft.key:
            raise Uncertain(f"{words.TITLE}'s answer shows another invoice under this number")
        return document

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """Refused, none is there: then the batch is halved by whoever sent it. Where one is there nevertheless, that
        one is looked at, and the others were not made on its account."""
        outcomes = super().create_packed(request, attempts, key)
        error = outcomes[0].error
        if not isinstance(error, Rejected | Duplicate) or any(one.error is not error for one in outcomes):
            return outcomes
        hits = self.find([attempt.draft for attempt in attempts])
        refused: ConnectorError = Rejected(error.message, status=error.status, code=error.code, sample=error.sample)
        if any(hits):
            said = f"nothing of a batch was made, for another part of it was refused: {error.message}"
            refused = Unavailable(said, status=error.status, sample=error.sample)
        return [Outcome(error=refused, sample=refused.sample) if hit is None else _taken(error, hit) for hit in hits]

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        """An invoice that was set back to Incomplete is on nobody's balance: since we make none, it was taken back."""
        due, total = words.total(raw["InvoiceBalanceAmount"]), words.total(raw["EnteredAmount"])
        status = {"Complete": Status.ISSUED, "Incomplete": Status.VOID}[raw["InvoiceStatus"]]
        return RemoteInvoice(
            id=str(raw["CustomerTransactionId"]),
            number=raw["TransactionNumber"],
            reference=raw["TransactionNumber"],
            key=key_in(raw["Comments"]),
            status=Status.PAID if status is Status.ISSUED and total > 0 == due else status,
            currency=raw["InvoiceCurrencyCode"],
            total=total,
            due=due,
            customer_id=raw["BillToCustomerNumber"],
        )


class OracleErp(Platform):
    """In Oracle Fusion an invoice is a transaction of Receivables. It is complete (on the customer's balance) as soon
    as it is made, since Fusion takes no drafts this way. Create a transaction source of its own for Billhook with
    manual numbering: inside a source a number is given once, so Fusion itself refuses a second invoice, and without it
    Billhook would not find what it made. Numbers have at most 20 characters. The order's discount is spread over the
    lines, as negative lines need a special transaction type; prices are sent without tax and Fusion computes the tax by
    the tax classification code of each line. Where its rounding (`tax_rounding`) would differ from the order, each
    line's tax is stated (`tax_regime`), and the trail says so; without `tax_regime` such an order is held.

    A customer is a party with an address and a customer account, both numbered by Billhook; `reference_set` is needed
    to make them. Customers of yours are not recognised by their e-mail address, which Fusion cannot be asked for: the
    usual way of a web shop is one customer account for all its orders (`customer` of the account, and `bill_to_site`).
    In a currency other than the ledger's the conversion rate is that of `conversion_rate_type` on the invoice's day.
    Up to ten invoices leave in one batch, of which Fusion keeps all or none: a refused one is halved until the invoice
    at fault stands alone, and nothing is sent again before its number was looked for.
    Voiding sets an invoice back to Incomplete, which takes it off the balance; a person deletes it. Fusion mails by a
    process of its own; Billhook tells the customer.

    - **Proved with:** the emulator, written from Oracle's reference pages. There is no SDK for Python and no schema to
      check against.
    - **Open:** the names of the two amounts that are compared (`EnteredAmount`, `InvoiceBalanceAmount`) come from other
      people's clients, so try one invoice on a test pod first; the length of a number; the text of a number that is
      taken (a refusal is followed by a look, so it does not matter); whether the SOAP service for customer accounts
      keeps our account number and takes the token of the identity domain, whether the id of a party's address is that
      of its site, whether an account's only site need not be named, and whether your Fusion demands a customer profile
      besides; the fields of the list of tax codes; the exact scope; whether a batch takes new invoices (`create` is an
      operation of every batch, Oracle's example for invoices updates them): a pod that refuses it gets them one by one,
      at the price of refused calls, so set `bulk = 1` there. No limits are published: two calls at a time, ten invoices
      a batch. How long a line's description may be is Fusion's to say: a longer one is refused there.
    """

    facts = Facts(
        slug="oracle_erp",
        title=words.TITLE,
        docs="https://docs.oracle.com/en/cloud/saas/financials/25d/farfa/api-receivables-invoices.html",
        base_url="https://servername.fa.us2.oraclecloud.com",
        auth="OAuth 2 of the identity domain: client credentials, JWT; or an integration user",
        reference=Reference("TransactionNumber", max_length=words.NUMBER, unique=True),
        key_field="Comments",
        concurrent=2,
        bulk=Invoices.bulk,
        quiet=timedelta(minutes=15),
        pause=timedelta(minutes=1),
        deadline=120.0,
        can=frozenset({"issue", "void"}),
    )
    Settings = words.OracleErpSettings
    Credentials = words.OracleErpCredentials
    Customers = Customers
    Invoices = Invoices
    settings: words.OracleErpSettings
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json", "REST-Framework-Version": "4"}
    refusals = (Refusal(Duplicate, 400, "already exists"),)

    @classmethod
    def tenant(cls, settings: words.OracleErpSettings, credentials: words.OracleErpCredentials) -> str:
        return settings.host.lower()

    @classmethod
    def address(cls, settings: words.OracleErpSettings) -> str:
        return f"https://{settings.host}"

    @classmethod
    def static_headers(cls, credentials: words.OracleErpCredentials) -> Mapping[str, str] | None:
        if credentials.password is None:
            return None
        user = f"{credentials.username}:{credentials.password.get_secret_value()}"
        return {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}

    @classmethod
    def grant(cls, settings: words.OracleErpSettings, credentials: words.OracleErpCredentials) -> Asserted | None:
        """Tokens of an application, or of a user whom it speaks for by a signed assertion."""
        if credentials.password is not None:
            return None
        if not settings.identity_domain or not settings.scope:
            raise Unauthorized("set identity_domain and scope in the account's settings: client_id needs both")
        return Asserted(
            f"https://{settings.identity_domain}/oauth2/v1/token",
            scopes=(settings.scope,),
            audience=("https://identity.oraclecloud.com/",),
            key_name="certificate_alias",
        )

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        call = super().leaving(request, proof)
        return call.model_copy(update={"body": parted(call.body)}) if call.path == SOAP else call

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """JSON, a SOAP fault, or plain text."""
        text = answer.body.decode().strip()
        if fault := re.search(r"<faultstring>(.*?)</faultstring>", text, re.DOTALL):
            return html.unescape(fault[1]), None
        if text.startswith("{"):
            body = answer.json()
            details = body.get("o:errorDetails") or [{"detail": body["title"]}]
            return "; ".join(str(one["detail"]) for one in details), details[0].get("o:errorCode")
        if not text or text.startswith("<"):
            raise ValueError
        return text, None

    def items(self, path: str, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """What a collection holds. Raises the errors of a read; an answer with more pages is not read."""
        answer = self.ask(path, {"onlyData": "true", "limit": "25", **query})

        def whole(body: Any) -> list[Mapping[str, Any]]:
            if body["hasMore"] is not False:
                raise ValueError
            return list(body["items"])

        return self.told(answer, whole)

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.told(
            self.ask(f"{INVOICES}/{quote(remote_id, safe='')}", {"onlyData": "true"}), self.invoices.document
        )

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Possible while nothing is applied to it and it is not accounted for; else Fusion refuses."""
        path = f"{INVOICES}/{quote(found.id, safe='')}"
        self.execute(posted("void", path, {"InvoiceStatus": "Incomplete"}, method="PATCH"))
        return self.read(found.id)

    def whoami(self) -> str:
        """The business unit, whose invoices can be read."""
        unit, source = self.settings.business_unit, self.settings.transaction_source
        finder = f'invoiceSearch;BusinessUnit="{unit}",TransactionSource="{source}"'
        answer = self.ask(INVOICES, {"onlyData": "true", "limit": "1", "finder": finder})
        self.told(answer, lambda body: body["items"])
        return f"{unit} ({self.settings.host})"

    def options(self) -> list[Choice]:
        most = {"onlyData": "true", "limit": "500"}
        units = self.ask(f"{FINANCIALS}/finBusinessUnitsLOV", most)
        names = self.told(units, lambda body: [str(raw["BusinessUnitName"]) for raw in body["items"]])
        taxes = self.ask(f"{FINANCIALS}/outputTaxClassificationsLOV", most)
        codes = self.told(taxes, lambda body: {_code(raw): raw.get("Meaning") for raw in body["items"]})
        return [
            *(Choice(setting="business_unit", value=name, title=name) for name in names),
            *(Choice(setting="tax", value=code, title=title or code) for code, title in codes.items()),
        ]


def _taken(error: ConnectorError, hit: Hit[RemoteInvoice] | ConnectorError) -> Outcome[RemoteInvoice]:
    """What a refusal means where a look-up came to this."""
    if isinstance(hit, ConnectorError):
        said = f"refused ({error.message}), but it could not be seen whether it is there already: {hit.message}"
        return Outcome(error=Uncertain(said, status=error.status, sample=error.sample), sample=error.sample)
    said = f"{words.TITLE} has an invoice {hit.document.number}, and says: {error.message}"
    return Outcome(error=Duplicate(said, status=error.status, sample=error.sample), sample=error.sample)


def _code(raw: Mapping[str, Any]) -> str:
    """The code of a tax classification, by its name there or by that of a lookup."""
    return str(raw.get("TaxClassificationCode") or raw["LookupCode"])


def _ids(raw: Mapping[str, Any]) -> str:
    """The ids of a party and of its site, as one."""
    return f"{int(raw['PartyId'])}/{int(raw['Address'][0]['AddressId'])}"


def parted(body: str) -> str:
    """The SOAP call with each of the two ids in its place."""
    body = re.sub(r"<cus:PartyId>(\d+)/\d+<", r"<cus:PartyId>\1<", body)
    return re.sub(r"<cus:PartySiteId>\d+/(\d+)<", r"<cus:PartySiteId>\1<", body)
