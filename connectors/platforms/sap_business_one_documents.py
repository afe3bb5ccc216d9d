"""Customers, invoices and credit notes in SAP Business One: lists page by page, change sets of a document and its
key's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

from connectors.errors import ConnectorError, Rejected, Throttled, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import sap_business_one_batch as batch
from connectors.platforms import sap_business_one_words as words
from connectors.platforms.base import Platform
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import (
    JSON,
    CustomerDraft,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    later,
    posted,
)
from connectors.platforms.groups import grouped
from connectors.platforms.texts import literal

API = "/b1s/v2"
WITHIN: Mapping[int, type[ConnectorError]] = {401: Unavailable, 408: Uncertain, 429: Throttled}
"""What a status within a batch means that is no refusal; a session that ended there is got anew by the next call."""
T = TypeVar("T")
PAGE = {"Prefer": "odata.maxpagesize=200"}
ASKED_FOR = 5
"""Drafts in one look-up: keeps the address under the 8,190 characters that Apache takes."""


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Customers. The code is made of our key, and unique; else the merchant's own with that e-mail address."""

    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("customer", f"{API}/BusinessPartners", words.customer(draft)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """Only customers that may be billed in the order's currency are adopted. Whether texts are compared with their
        case depends on the database, so it is asked not to."""
        known = [f"CardCode eq {literal(words.card_code(draft.key))}"]
        if draft.party.email:
            known.append(f"EmailAddress eq {literal(draft.party.email)}")
        query = {
            "$filter": f"CardType eq 'cCustomer' and ({' or '.join(known)})",
            "$select": "CardCode,CardName,EmailAddress,Currency",
        }
        raws = listed(self.platform, "BusinessPartners", query, dict, {"B1S-CaseInsensitive": "true"})
        codes = {words.ALL_CURRENCIES, self.platform.settings.currencies.get(draft.currency or "")}
        fit = [raw for raw in raws if raw.get("Currency") in codes]
        return choosing.known(draft, [words.read_customer(raw, draft) for raw in fit], words.TITLE)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        code = str(answer.json()["CardCode"])
        return code, RemoteCustomer(id=code)


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Invoices, each in a change set with the row of its key: a key that is there already undoes the invoice."""

    bulk = 20
    calls = 2
    collection: ClassVar[str] = "Invoices"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        """What is posted, and what the trail should say of it. Raises `Rejected` for what Business One cannot do."""
        return words.invoice(draft, self.platform.settings)

    def row(self, draft: PlannedInvoice) -> str:
        """The code of the row of its key."""
        return words.row_code(draft.key)

    def plan(self, draft: PlannedInvoice) -> Plan:
        fields, remark = self.fields(draft)
        code = self.row(draft)
        key = dump_json({"Code": code, "Name": code})
        body = batch.change_set([(f"{API}/U_BILLHOOK_KEY", key), (f"{API}/{self.collection}", dump_json(fields))])
        return (
            Request(step="create", path=f"{API}/$batch", headers=batch.HEADERS, body=body, issues=True, remark=remark),
        )

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{API}/{self.collection}({quote(remote_id, safe='')})")
        return self.platform.told(answer, lambda raw: words.read_invoice(raw, self.platform.settings))

    def pack(self, plans: Sequence[Plan]) -> Request:
        return plans[0][0].model_copy(update={"body": batch.joined([plan[0].body for plan in plans])})

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        (answers,) = batch.parts(answer.body.decode())
        if error := self._refused(answers, answer):
            raise error
        document = self._made(answers)
        if not (shown := self._confirmed([document]).get(document.key or "")):
            raise self._not_there(answer)
        return shown.id, shown

    @staticmethod
    def _not_there(answer: Answer) -> Uncertain:
        text = f"{words.TITLE} answered with a document that is not there: it may wait for approval"
        return Uncertain(text, status=answer.status, sample=answer.sample)

    def _made(self, answers: Sequence[batch.Part]) -> RemoteInvoice:
        """The invoice that a change set made, as its last answer shows it."""
        return words.read_invoice(answers[-1].body, self.platform.settings)

    def _refused(self, answers: Sequence[batch.Part], answer: Answer) -> ConnectorError | None:
        """What a change set was refused for, as a whole."""
        failed = next((part for part in answers if not 200 <= part.status < 300), None)
        if failed is None:
            return None
        message, code = said(failed.body)
        known = WITHIN.get(failed.status, Rejected if 400 <= failed.status < 500 else Uncertain)
        kind = self.platform.refusal(failed.status, f"{code} {message}") or known
        text = f"{words.TITLE}: {self.platform.http.redact(message)}"
        return kind(text, status=failed.status, code=code, sample=answer.sample)

    def _confirmed(self, documents: Sequence[RemoteInvoice]) -> dict[str, RemoteInvoice]:
        """Those that are there, by key, read anew: what an approval procedure keeps back was answered, but is none."""
        found = self.listed([f"DocEntry eq {one.id}" for one in documents])
        return {one.key: one for one in found if one.key}

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        """What was made is known by its key; reasons belong, in their order, to those that were not."""
        sets = [(answers, self._refused(answers, answer)) for answers in batch.parts(answer.body.decode())]
        reasons = [error for _, error in sets if error]
        made = [self._made(answers) for answers, error in sets if not error]
        shown, known = self._confirmed(made) if made else {}, {one.key for one in made}
        refused = [draft.key for draft in drafts if draft.key not in known]
        if len(refused) != len(reasons):
            raise Uncertain(f"{words.TITLE}'s batch does not say what became of which invoice")
        why = dict(zip(refused, reasons, strict=True))
        return [
            Outcome(shown[key], sample=answer.sample)
            if key in shown
            else Outcome(error=why.get(key) or self._not_there(answer), sample=answer.sample)
            for key in (draft.key for draft in drafts)
        ]

    # -- look-ups --------------------------------------------------------------------------------------------------

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return self.sought(grouped(drafts, ASKED_FOR), self._shown, self._found)

    def _shown(self, drafts: Sequence[PlannedInvoice]) -> list[RemoteInvoice]:
        fields = [("U_BillhookRef", draft.key) for draft in drafts]
        fields += [("NumAtCard", draft.draft.reference) for draft in drafts]
        return self.listed([f"{name} eq {literal(value)}" for name, value in fields])

    def listed(self, conditions: Sequence[str]) -> list[RemoteInvoice]:
        """Documents that meet one of the conditions; not the cancellations of others. Raises the errors of a read."""
        query = {"$filter": f"CancelStatus ne 'csCancellation' and ({' or '.join(conditions)})"}
        settings = self.platform.settings
        return listed(self.platform, self.collection, query, lambda raw: words.read_invoice(raw, settings))

    def _found(self, draft: PlannedInvoice, shown: Sequence[RemoteInvoice]) -> Hit[RemoteInvoice] | None:
        """Nothing is there only where the key has no row either."""
        hit = choosing.invoice(draft, shown, words.TITLE)
        if (hit is None or hit.key != draft.key) and self._keyed(draft):
            hit = choosing.invoice(draft, self._shown([draft]), words.TITLE)  # made between the two questions
            if hit is None or hit.key != draft.key:
                raise Rejected(
                    f"order {draft.draft.order_ref}: its key is in the table BILLHOOK_KEY of {words.TITLE}, but "
                    "its document is not there. It may wait for approval as a draft: approve it and retry; or "
                    f"delete the row {self.row(draft)} where there is no such draft"
                )
        return Hit(hit) if hit else None

    def _keyed(self, draft: PlannedInvoice) -> bool:
        """Whether the key has its row. Raises the errors of a read, so also where there is no such table."""
        try:
            answer = self.platform.ask(f"{API}/U_BILLHOOK_KEY({literal(self.row(draft))})")
        except Rejected as error:
            if error.status == 404 and error.code == "-2028":
                return False
            raise
        return self.platform.told(answer, lambda raw: bool(raw["Code"]))


class CreditNotes(SetOffLast, Invoices):
    """Credit notes, one a call, each in a change set with the row of its key; then reconciled with their invoice.

    A reconciliation names journal entries, so two steps read their numbers. Made twice it would be refused: of one of
    the two nothing is open any more.
    """

    bulk = 1
    calls = 5
    last = "reconcile"
    collection = "CreditNotes"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        return words.credit_note(draft, self.platform.settings)

    def row(self, draft: PlannedInvoice) -> str:
        return words.row_code(f"{self.collection} {draft.key}")  # no invoice is asked about it

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        entries = {"entry": f"{API}/CreditNotes({{create}})", "against": f"{API}/Invoices({invoice_of(draft).id})"}
        query = {"$select": "TransNum,DocTotalFc"}
        reads = (Request(step=step, method="GET", path=path, query=query) for step, path in entries.items())
        body = dump_json(words.reconciliation(draft, amount))
        for step in ("create", *entries):
            body = body.replace(f'"{later(step)}"', later(step))  # they are numbers
        path = f"{API}/InternalReconciliations"
        return (*reads, Request(step="reconcile", path=path, headers=JSON, body=body))

    def applied(self, answer: Answer) -> str:
        return str(answer.json()["ReconNum"])

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step in {"create", self.last}:
            return super().made(request, answer)
        raw = answer.json()
        if raw.get("DocTotalFc"):
            raise Rejected(
                f"the credit note is posted, but {words.TITLE} sets off a foreign currency by the rates of both days: "
                "reconcile it with its invoice there, then retry"
            )
        return str(int(raw["TransNum"])), None

    def _found(self, draft: PlannedInvoice, shown: Sequence[RemoteInvoice]) -> Hit[RemoteInvoice] | None:
        return self.unapplied(draft, super()._found(draft, shown))


def listed(
    platform: Platform,
    collection: str,
    query: Mapping[str, str],
    read: Callable[[Mapping[str, Any]], T],
    headers: Mapping[str, str] = PAGE,
) -> list[T]:
    """Every element that a query gives, page by page, each as `read` takes it. Raises the errors of a read."""

    def page(number: int, skip: Any) -> tuple[list[T], Any]:
        skipped = {**query, "$skip": str(skip)} if skip else query
        answer = platform.ask(f"{API}/{collection}", skipped, {**PAGE, **headers})
        return platform.told(answer, lambda body: ([read(raw) for raw in body["value"]], following(body, skip or 0)))

    def following(body: Any, skip: int) -> int:
        return skip + len(body["value"]) if "@odata.nextLink" in body else 0

    return platform.every(page)


def said(body: Any) -> tuple[str, str]:
    """The words and the code of an error; v1 has the words in an object of its own, v2 may have the code as a text."""
    error = body["error"]
    message = error["message"]
    return str(message["value"] if isinstance(message, dict) else message), str(error["code"])
