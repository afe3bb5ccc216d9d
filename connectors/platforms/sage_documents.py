"""Contacts, sales invoices and credit notes in Sage: drafts that are read back, compared, then released."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from connectors.errors import Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing, texts
from connectors.platforms import sage_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    later,
    posted,
)

if TYPE_CHECKING:
    from connectors.platforms.sage import Sage

API = "/v3.1"

STATUSES = {
    "DRAFT": Status.DRAFT,
    "PRO_FORMA": Status.DRAFT,
    "UNPAID": Status.ISSUED,
    "PART_PAID": Status.ISSUED,
    "PAID": Status.PAID,
    "VOID": Status.VOID,
}


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Contacts of the type CUSTOMER. `reference` is unique in a business and made of our key."""

    look_first = True
    platform: Sage

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("create", f"{API}/contacts", words.contact(draft)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """By our reference, else by e-mail. A contact has one currency: those of another are not taken."""
        ours = words.contact_reference(draft)
        found = self._listed(search=ours)
        if not (near := [raw for raw in found if raw.get("reference") == ours]) and draft.party.email:
            near = self._listed(email=draft.party.email)
        paths = (f"{API}/contacts/{quote(raw['id'], safe='')}" for raw in near)
        raws = [self.platform.told(self.platform.ask(path), lambda body: {**body}) for path in paths]
        fitting = [raw for raw in raws if (raw.get("currency") or {}).get("id", draft.currency) == draft.currency]
        return choosing.known(draft, [self.document(raw) for raw in fitting], words.TITLE)

    def _listed(self, **query: str) -> list[words.Raw]:
        return self.platform.listed("contacts", {"contact_type_id": "CUSTOMER", "attributes": "reference", **query})

    def document(self, raw: words.Raw) -> RemoteCustomer:
        email = (raw.get("main_contact_person") or {}).get("email") or raw.get("email")
        name = raw.get("name") or raw.get("displayed_as")
        return RemoteCustomer(id=raw["id"], key=texts.key_in(raw.get("notes")), name=name, email=email)


class Released(Documents[PlannedInvoice, RemoteInvoice]):
    """What sales invoices and credit notes share: a draft, read back and compared, then released, which gives it its
    number."""

    calls = 3
    platform: Sage
    kind: ClassVar[str]
    """The name of one; the path has an s behind it."""

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        """What makes the draft, and what the trail should say of it. Raises `Rejected` as `plan`."""
        raise NotImplementedError

    def plan(self, draft: PlannedInvoice) -> Plan:
        fields, remark = self.fields(draft)
        path = f"{API}/{self.kind}s"
        create = posted("create", path, {self.kind: fields}, remark=remark)
        release = Request(step="release", path=f"{path}/{{create}}/release", issues=True)
        return (create, release) if self.platform.settings.issue else (create,)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """By `search`, which looks at several fields, and among the contact's of the invoice's date, of which one
        contact for all orders has a day's: how soon a search shows what was made is not documented. What has our
        reference is read whole."""
        day = draft.draft.issued_on.isoformat()
        about = [
            {"search": draft.draft.reference},
            {"contact_id": draft.customer_id, "from_date": day, "to_date": day},
        ]
        raws = [
            raw for one in about for raw in self.platform.listed(f"{self.kind}s", {"attributes": "reference", **one})
        ]
        near = {raw["id"]: None for raw in raws if raw.get("reference") == draft.draft.reference}
        step = "release" if self.platform.settings.issue else None
        return choosing.unfinished(draft, map(self.read, near), words.TITLE, step)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        """The draft is shown to nobody from here, but read before it is released: under an id that was used before
        Sage answers as it did then."""
        found = document(answer.json())
        if request.step != "create":
            return found.id, found
        if found.reference != json.loads(request.body)[self.kind]["reference"]:
            raise Uncertain("Sage answered for another invoice: was the idempotency id used before?")
        return found.id, None if self.platform.settings.issue else found

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.platform.told(self.platform.ask(f"{API}/{self.kind}s/{quote(remote_id, safe='')}"), document)


class Invoices(Released):
    """Sales invoices."""

    kind = "sales_invoice"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        return words.invoice(draft.draft, draft.customer_id, self.platform.settings)


class CreditNotes(SetOffLast, Released):
    """Sales credit notes; once released they are allocated to their invoice as far as that is due. Of an allocation the
    sum is zero: what the invoice gets, the credit note loses."""

    calls = 4
    kind = "sales_credit_note"
    last = "allocate"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        number = invoice_of(draft).number
        return words.credit_note(draft.draft, draft.customer_id, number, self.platform.settings)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        if not self.platform.settings.allocations:
            return ()
        sides = [(invoice_of(draft).id, amount), (later("create"), -amount)]
        allocation = {
            "transaction_type_id": "CUSTOMER_ALLOCATION",
            "contact_id": draft.customer_id,
            "date": draft.draft.issued_on.isoformat(),
            "allocated_artefacts": [{"artefact_id": ident, "amount": part} for ident, part in sides],
        }
        return (posted("allocate", f"{API}/contact_allocations", {"contact_allocation": allocation}),)


def document(raw: words.Raw) -> RemoteInvoice:
    """A sales invoice or credit note of an answer in our words."""
    status = STATUSES[raw["status"]["id"]]
    return RemoteInvoice(
        id=raw["id"],
        number=None if status is Status.DRAFT else raw["displayed_as"],
        reference=raw.get("reference"),
        key=texts.key_in(raw.get("notes")),
        status=status,
        currency=raw["currency"]["id"],
        total=Decimal(raw["total_amount"]),
        tax=Decimal(raw["tax_amount"]),
        due=abs(Decimal(raw["outstanding_amount"])),
        customer_id=raw["contact"]["id"],
    )
