"""Customers, invoices and credit memos in Oracle Fusion: made under numbers of ours, by which they are looked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from connectors.errors import ConnectorError, Duplicate, Rejected, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import oracle_erp_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
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
from connectors.platforms.texts import key_in

if TYPE_CHECKING:
    from connectors.platforms.oracle_erp import OracleErp

FINANCIALS, PARTIES = "/fscmRestApi/resources/11.13.18.05", "/crmRestApi/resources/11.13.18.05/hubOrganizations"
INVOICES, ACCOUNTS = f"{FINANCIALS}/receivablesInvoices", f"{FINANCIALS}/receivablesCustomerAccountSiteActivities"
MEMOS = f"{FINANCIALS}/receivablesCreditMemos"
SOAP, APPLICATIONS = "/crmService/CustomerAccountService", "/fscmService/CreditMemoService"
BATCH = {"Content-Type": "application/vnd.oracle.adf.batch+json"}
PAGE = 100
"""Rows of a page that is asked for."""


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
        body = words.account(draft, settings.reference_set)
        return posted("party", PARTIES, words.party(draft)), _soap("account", SOAP, "mergeCustomerAccount", body)

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


class Transactions(Documents[PlannedInvoice, RemoteInvoice]):
    """Complete by the call that makes them. Their number is unique in the transaction source that is Billhook's own."""

    platform: OracleErp
    look_first = True
    path: ClassVar[str]

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """Among those of our source with the draft's number."""
        raws = self.platform.items(self.path, {"q": f"TransactionNumber='{draft.draft.reference}'"})
        source = self.platform.settings.transaction_source
        ours = [self.document(raw) for raw in raws if raw["TransactionSource"] == source]
        return choosing.unfinished(draft, ours, words.TITLE)

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{self.path}/{quote(remote_id, safe='')}", {"onlyData": "true"})
        return self.platform.told(answer, self.document)

    def create(self, attempt: Attempt[PlannedInvoice]) -> Outcome[RemoteInvoice]:
        """A refusal is believed only when the number is not there: how Fusion words "taken" is not published."""
        outcome = super().create(attempt)
        if type(outcome.error) is not Rejected or "create" in attempt.made:
            return outcome
        (hit,) = self.find([attempt.draft])
        refused_too = isinstance(hit, Rejected)  # a person must act in any case
        return outcome if hit is None or refused_too else _taken(outcome.error, hit)


class Invoices(Transactions):
    """Up to ten in one batch."""

    bulk = 10
    path = INVOICES

    def plan(self, draft: PlannedInvoice) -> Plan:
        body, remark = words.invoice(draft.draft, draft.customer_id, self.platform.settings)
        return (posted("create", INVOICES, body, issues=True, remark=remark),)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Those of the business unit that are dated this day or later. Raises the errors of a read."""
        asked = {"onlyData": "true", "limit": str(PAGE), "orderBy": "CustomerTransactionId"}

        def page(number: int, _: Any) -> tuple[list[Mapping[str, Any]], bool]:
            at = {"q": f"TransactionDate>='{day}'", "offset": str((number - 1) * PAGE)}
            answer = self.platform.ask(INVOICES, {**asked, **at})
            return self.platform.told(answer, lambda body: (list(body["items"]), bool(body["hasMore"])))

        unit = self.platform.settings.business_unit
        return [self.document(raw) for raw in self.platform.every(page) if raw["BusinessUnit"] == unit]

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
        due, total, key = words.total(raw["InvoiceBalanceAmount"]), words.total(raw["EnteredAmount"]), raw["Comments"]
        status = _status(raw["InvoiceStatus"], key_in(key))
        return RemoteInvoice(
            id=str(raw["CustomerTransactionId"]),
            number=raw["TransactionNumber"],
            reference=raw["TransactionNumber"],
            key=key_in(key),
            status=Status.PAID if status is Status.ISSUED and total > 0 == due else status,
            currency=raw["InvoiceCurrencyCode"],
            total=total,
            due=due,
            customer_id=raw["BillToCustomerNumber"],
        )


class CreditMemos(SetOffLast, Transactions):
    """Credit memos on the customer's account (the REST resource makes no others), then applied to their invoice as far
    as that is due: by SOAP, for there is no other way to do that."""

    path = MEMOS
    calls = 3
    last = "apply"

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        body, remark = words.credit_memo(draft.draft, draft.customer_id, self.platform.settings)
        return (posted("create", MEMOS, body, issues=True, remark=remark),)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        if not self.platform.settings.apply_credits:
            return ()
        against = words.application(draft.draft, invoice_of(draft).id, amount)
        return (_soap("apply", APPLICATIONS, words.APPLY, against),)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step != self.last:
            return super().made(request, answer)
        if f"{words.APPLY}Response".encode() not in answer.body:
            raise ValueError
        (memo,) = re.findall(r"<cus:CreditMemoTrxId>(\d+)<", request.body)
        document = self.read(memo)
        if document.due == document.total:
            raise Uncertain(f"{words.TITLE} has answered, but nothing of the credit memo {document.number} is applied")
        return "", document

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        """Its amounts are negative there. What is due of it is what can still be applied or refunded."""
        key = key_in(raw["CreditMemoComments"])
        return RemoteInvoice(
            id=str(raw["CustomerTransactionId"]),
            number=raw["TransactionNumber"],
            reference=raw["TransactionNumber"],
            key=key,
            status=_status(raw["CreditMemoStatus"], key),
            currency=raw["CreditMemoCurrency"],
            total=abs(words.total(raw["EnteredAmount"])),
            due=abs(words.total(raw["TransactionBalanceDue"])),
            customer_id=raw["BillToCustomerNumber"],
        )


def _status(said: str, key: str | None) -> Status:
    """What was set back to Incomplete is on nobody's balance: ours was taken back, since we make none; anybody else's
    is not finished yet. Raises `KeyError` for a status of ours that nobody knows."""
    if said == "Complete":
        return Status.ISSUED
    return {"Incomplete": Status.VOID}[said] if key else Status.DRAFT


def _soap(step: str, path: str, action: str, body: str) -> Request:
    headers = {"Accept": "text/xml", "Content-Type": "text/xml; charset=utf-8", "SOAPAction": f'"{action}"'}
    return Request(step=step, path=path, headers=headers, body=body)


def _taken(error: ConnectorError, hit: Hit[RemoteInvoice] | ConnectorError) -> Outcome[RemoteInvoice]:
    """What a refusal means where a look-up came to this."""
    if isinstance(hit, ConnectorError):
        said = f"refused ({error.message}), but it could not be seen whether it is there already: {hit.message}"
        return Outcome(error=Uncertain(said, status=error.status, sample=error.sample), sample=error.sample)
    said = f"{words.TITLE} has an invoice {hit.document.number}, and says: {error.message}"
    return Outcome(error=Duplicate(said, status=error.status, sample=error.sample), sample=error.sample)


def _ids(raw: Mapping[str, Any]) -> str:
    """The ids of a party and of its site, as one."""
    return f"{int(raw['PartyId'])}/{int(raw['Address'][0]['AddressId'])}"


def parted(body: str) -> str:
    """The SOAP call with each of the two ids in its place."""
    body = re.sub(r"<cus:PartyId>(\d+)/\d+<", r"<cus:PartyId>\1<", body)
    return re.sub(r"<cus:PartySiteId>\d+/(\d+)<", r"<cus:PartySiteId>\1<", body)
