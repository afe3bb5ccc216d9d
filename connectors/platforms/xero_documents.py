"""Contacts and invoices in Xero: many in one PUT, each answered for itself, looked for by number, name and e-mail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.errors import ConnectorError, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import xero_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import (
    CustomerDraft,
    D,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    R,
    RemoteCustomer,
    Request,
    element,
    posted,
)
from connectors.platforms.groups import grouped
from connectors.platforms.texts import distinct_name, key_in, short

API = "/api.xro/2.0"
STATUSES = {
    "DRAFT": Status.DRAFT,
    "SUBMITTED": Status.DRAFT,
    "AUTHORISED": Status.ISSUED,
    "PAID": Status.PAID,
    "VOIDED": Status.VOID,
    "DELETED": Status.VOID,
}
QUERY_LENGTH = 1800
"""Characters of one look-up's list, encoded: keeps the whole address under the 2,048 that common servers take."""


class Elements(Documents[D, R]):
    """What contacts and invoices share: one PUT of a list, answered element by element.

    With `summarizeErrors=false` the good elements are saved and each bad one carries its own messages; the answer is
    a 200 even if all are bad (Xero-OpenAPI, parameter summarizeErrors).
    """

    bulk = 50
    collection: ClassVar[str]
    id_field: ClassVar[str]
    match_field: ClassVar[str]
    """The field of an element that says which draft it answers."""

    def reference(self, draft: D) -> str:
        """What `match_field` is for this draft."""
        raise NotImplementedError

    def document(self, raw: Mapping[str, Any]) -> R:
        """An element of an answer in our words."""
        raise NotImplementedError

    def terms(self, draft: D) -> list[str]:
        """What a look-up for this draft asks for, to be joined by `query` with that of others; nothing if it cannot
        be written in a list."""
        raise NotImplementedError

    def query(self, terms: Sequence[str]) -> Mapping[str, str]:
        """One look-up for many terms."""
        raise NotImplementedError

    def search_term(self, draft: D) -> str | None:
        """What only `searchTerm` can look for, because a list or a `where` cannot quote it: one call a draft."""
        raise NotImplementedError

    def match(self, draft: D, raws: Iterable[Mapping[str, Any]]) -> Hit[R] | None:
        """Which of the elements found is the draft's."""
        raise NotImplementedError

    def put(self, made: Mapping[str, Any], issues: bool = False) -> Plan:
        """The plan: one PUT of one element; `unitdp=4` keeps unit prices at four decimals."""
        query = {"summarizeErrors": "false", "unitdp": "4"}
        body = {self.collection: [made]}
        return (posted("create", f"{API}/{self.collection}", body, method="PUT", query=query, issues=issues),)

    def pack(self, plans: Sequence[Plan]) -> Request:
        head, tail = f'{{"{self.collection}":[', "]}"
        elements = [plan[0].body.removeprefix(head).removesuffix(tail) for plan in plans]
        return plans[0][0].model_copy(update={"body": head + ",".join(elements) + tail})

    def unpack(self, answer: Answer, drafts: Sequence[D]) -> list[Outcome[R]]:
        shown: dict[Any, list[Mapping[str, Any]]] = {}
        for raw in answer.json()[self.collection]:
            shown.setdefault(raw.get(self.match_field), []).append(raw)
        return [element(partial(self._only, shown.get(self.reference(one), []), answer), answer) for one in drafts]

    def _only(self, raws: Sequence[Mapping[str, Any]], answer: Answer) -> R:
        if len(raws) != 1:
            raise Uncertain(f"Xero's answer has {len(raws)} elements for this document", status=answer.status)
        return self._accepted(raws[0], answer)

    def made(self, request: Request, answer: Answer) -> tuple[str, R | None]:
        (raw,) = answer.json()[self.collection]
        document = self._accepted(raw, answer)
        return str(raw[self.id_field]), document

    def _accepted(self, raw: Mapping[str, Any], answer: Answer) -> R:
        """The element's document. Raises what its messages mean where Xero did not save it."""
        failed = raw.get("HasErrors") is True or raw.get("HasValidationErrors") is True
        if failed or raw.get("StatusAttributeString") == "ERROR":
            raise self.platform.refused(words.messages(raw) or "refused without a reason", answer)
        return self.document(raw)

    def find(self, drafts: Sequence[D]) -> list[Hit[R] | None | ConnectorError]:
        """Looks for many drafts in few calls; a call that fails speaks only for the drafts it was about."""
        return self.sought(grouped(drafts, QUERY_LENGTH, self._length), self._common, self._found)

    def _length(self, draft: D) -> int:
        return sum(len(quote(term)) + 4 for term in self.terms(draft))

    def _common(self, drafts: Sequence[D]) -> list[Mapping[str, Any]]:
        wanted = [term for draft in drafts for term in self.terms(draft)]
        return self.listed(self.query(wanted)) if wanted else []

    def _found(self, draft: D, common: Sequence[Mapping[str, Any]]) -> Hit[R] | None:
        term: str | None = self.search_term(draft)
        every = [*common, *(self.listed({"searchTerm": term}) if term else ())]
        return self.match(draft, {raw[self.id_field]: raw for raw in every}.values())

    def listed(self, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Every element a look-up gives, page by page (at most 1,000 each). Raises the errors of a read."""

        def page(number: int, _: Any) -> tuple[list[Mapping[str, Any]], bool]:
            asked = {**query, "page": str(number), "pageSize": "1000"}
            answer = self.platform.ask(f"{API}/{self.collection}", asked)
            elements = self.platform.told(answer, lambda body: list(body[self.collection]))
            return elements, len(elements) == 1000

        return self.platform.every(page)


class Contacts(Elements[CustomerDraft, RemoteCustomer]):
    """Customers. `ContactNumber`, which only the API can write, carries our key.

    A contact is ours by its number; else a merchant's contact with the same e-mail is adopted; else one of the same
    name, because Xero wants names to be unique among active contacts and would refuse ours. A company is one contact
    whoever orders for it; the name of a person is made unique by the customer's number or e-mail ("Ada Lovelace
    (C-9)"), for two people of one name must not get each other's invoices.
    """

    look_first = True
    collection = "Contacts"
    id_field = "ContactID"
    match_field = "ContactNumber"

    def reference(self, draft: CustomerDraft) -> str:
        return short(draft.key, words.NUMBER)

    def document(self, raw: Mapping[str, Any]) -> RemoteCustomer:
        return RemoteCustomer(
            id=raw["ContactID"], key=raw.get("ContactNumber"), name=raw.get("Name"), email=raw.get("EmailAddress")
        )

    def plan(self, draft: CustomerDraft) -> Plan:
        return self.put(words.contact(draft))

    def terms(self, draft: CustomerDraft) -> list[str]:
        """By number, name and e-mail at once: `where` takes `==` on any element (Xero-OpenAPI) and OR."""
        wanted = {"ContactNumber": self.reference(draft), "Name": distinct_name(draft)}
        if draft.party.email:
            wanted["EmailAddress"] = draft.party.email
        return [f'{field}=="{value}"' for field, value in wanted.items() if words.quotable(value)]

    def query(self, terms: Sequence[str]) -> Mapping[str, str]:
        return {"where": " OR ".join(terms)}

    def search_term(self, draft: CustomerDraft) -> str | None:
        name = distinct_name(draft)
        return None if words.quotable(name) else name

    def match(self, draft: CustomerDraft, raws: Iterable[Mapping[str, Any]]) -> Hit[RemoteCustomer] | None:
        active = [self.document(raw) for raw in raws if raw.get("ContactStatus", "ACTIVE") == "ACTIVE"]
        number = self.reference(draft)
        ours = [one.model_copy(update={"key": draft.key if one.key == number else None}) for one in active]
        return choosing.known(draft, sorted(ours, key=lambda one: one.id), "Xero", distinct_name(draft))


class Invoices(Elements[PlannedInvoice, RemoteInvoice]):
    """Sales invoices (ACCREC), issued by the call that creates them: their rounding is computed before."""

    collection = "Invoices"
    id_field = "InvoiceID"
    match_field = "InvoiceNumber"

    def reference(self, draft: PlannedInvoice) -> str:
        return draft.draft.reference

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        return _shown(raw, "InvoiceID", "InvoiceNumber", "AmountDue")

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings: words.XeroSettings = self.platform.settings
        return self.put(words.invoice(draft.draft, draft.customer_id, settings), issues=settings.issue)

    def terms(self, draft: PlannedInvoice) -> list[str]:
        """By number: `InvoiceNumbers` is a comma list (Xero-OpenAPI)."""
        number = self.reference(draft)
        return [number] if words.quotable(number) and "," not in number else []

    def query(self, terms: Sequence[str]) -> Mapping[str, str]:
        return {"InvoiceNumbers": ",".join(terms)}

    def search_term(self, draft: PlannedInvoice) -> str | None:
        return None if self.terms(draft) else self.reference(draft)

    def match(self, draft: PlannedInvoice, raws: Iterable[Mapping[str, Any]]) -> Hit[RemoteInvoice] | None:
        """Whether `InvoiceNumbers` shows deleted and voided ones is not documented: both are sorted out here, and so
        are bills, whose numbers need not be unique."""
        sales = [raw for raw in raws if raw.get("Type") == "ACCREC" and raw.get("Status") != "DELETED"]
        same = [self.document(raw) for raw in sales if raw.get("InvoiceNumber") == self.reference(draft)]
        return choosing.unfinished(draft, same, "Xero")


class CreditNotes(SetOffLast, Elements[PlannedInvoice, RemoteInvoice]):
    """Credit notes to customers (ACCRECCREDIT), one a call, then set off against their invoice as far as that is due.

    The list of credit notes takes a `where`, but neither numbers nor a `searchTerm` (Xero-OpenAPI, GET /CreditNotes):
    one whose number cannot be quoted is looked for among those of its contact.
    """

    bulk = 1
    calls = 2
    last = "allocate"
    collection = "CreditNotes"
    id_field = "CreditNoteID"
    match_field = "CreditNoteNumber"

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        return _shown(raw, "CreditNoteID", "CreditNoteNumber", "RemainingCredit")

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(_credit_path(remote_id))
        return self.platform.told(answer, lambda body: self.document(body["CreditNotes"][0]))

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        settings: words.XeroSettings = self.platform.settings
        return self.put(words.credit_note(draft.draft, draft.customer_id, settings), issues=settings.issue)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        against = {"Invoice": {"InvoiceID": invoice_of(draft).id}, "Amount": amount}
        path = f"{API}/CreditNotes/{{create}}/Allocations"
        return (posted("allocate", path, {"Allocations": [against]}, method="PUT"),)

    def applied(self, answer: Answer) -> str:
        (raw,) = answer.json()["Allocations"]
        if said := words.messages(raw):
            raise self.platform.refused(said, answer)
        return str(raw.get("AllocationID") or "")

    def found(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        number = draft.draft.reference
        if words.quotable(number):
            raws = self.listed({"where": f'CreditNoteNumber=="{number}"'})
        else:
            raws = self.listed({"where": f'Contact.ContactID==Guid("{draft.customer_id}")'})
        ours = [self.document(raw) for raw in raws if raw["Type"] == "ACCRECCREDIT" and raw["Status"] != "DELETED"]
        return choosing.unfinished(draft, ours, "Xero")

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return Documents.find(self, drafts)


def _credit_path(remote_id: str) -> str:
    return f"{API}/CreditNotes/{quote(remote_id, safe='')}"


def _shown(raw: Mapping[str, Any], id_field: str, number: str, due: str) -> RemoteInvoice:
    """An invoice or a credit note, which differ in these names of fields only."""
    return RemoteInvoice(
        id=raw[id_field],
        number=raw.get(number),
        reference=raw.get(number),
        key=key_in(raw.get("Reference")),
        status=STATUSES[raw["Status"]],
        currency=raw["CurrencyCode"],
        total=raw["Total"],
        tax=raw.get("TotalTax"),
        due=raw.get(due),
        customer_id=(raw.get("Contact") or {}).get("ContactID"),
    )
