"""Intuit Developer Platform: every order is a job, its invoice is the job's; jobs and invoices are made in batches.

Sources: developer.intuit.com, API reference (Batch, Customer, Invoice), "API call limits and throttles", "Basic field
definitions" (requestid with batch); the schemas IntuitNamesTypes.xsd and IntuitRestServiceDef.xsd of Intuit's Java SDK
(Job, BillWithParent, ParentRef, batch item). The API is that of QuickBooks Online: its traps are in `qbo_company`.

Traps of its own: a job made in a batch cannot be named in that batch, so jobs go in one call and their invoices in the
next; items are answered in any order and each by itself; a job's name is unique over customers, vendors and employees.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field

from connectors.errors import ConnectorError, Duplicate, Rejected, Sample
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import qbo_words as words
from connectors.platforms.base import Platform
from connectors.platforms.crediting import invoice_of
from connectors.platforms.documents import (
    Attempt,
    Outcome,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    filled,
    later,
    posted,
)
from connectors.platforms.qbo_company import Company, facts
from connectors.platforms.qbo_credits import CreditMemos
from connectors.platforms.qbo_documents import VERSION, Elements, Invoices, Raw, company
from connectors.platforms.texts import BEFORE_KEY, fits, key_in, without_empty

TITLE = "QuickBooks"
PAYER = re.compile(r"(?:Voided - )?Customer (\d+): ")
"""How the note of an invoice names the customer whose job is billed."""


class IntuitSettings(words.QuickBooksSettings):
    """As for QuickBooks Online, and who owes what a job costs."""

    bill_with_parent: Annotated[
        bool, Field(description="true: the customer owes what its jobs cost; false: each job has a balance of its own")
    ] = True


class Jobs(Elements[PlannedInvoice, RemoteCustomer]):
    """Jobs: sub-customers, one an invoice, named by its reference. A name that is taken by the same job is the job."""

    entity = "Customer"
    note = "Notes"

    def document(self, raw: Raw) -> RemoteCustomer:
        return RemoteCustomer(id=raw["Id"], key=key_in(raw.get("Notes")), name=raw["DisplayName"])

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings, order = self.platform.settings, draft.draft
        email = fits(f"order {order.order_ref}: the e-mail address", order.customer.email, 100, TITLE)
        job = {
            "DisplayName": fits(f"order {order.order_ref}: the job's name", self.name(draft), 500, TITLE),
            "Job": True,
            "ParentRef": {"value": draft.customer_id},
            "BillWithParent": settings.bill_with_parent,
            "PrimaryEmailAddr": {"Address": email} if email else None,
            "CurrencyRef": {"value": order.currency} if settings.multicurrency else None,
            "Notes": f"Billhook{BEFORE_KEY}{draft.key}",
        }
        return (posted("job", self.address, without_empty(job), query=VERSION, apart=True),)

    @staticmethod
    def name(draft: PlannedInvoice) -> str:
        """Of the job: the reference, which is unique, and for people whose it is."""
        party = draft.draft.customer
        return words.plain_name(party.model_copy(update={"company": f"{draft.draft.reference} {party.display_name}"}))

    def taken(self, raw: Raw, refused: Duplicate) -> RemoteCustomer:
        """6240, the name exists: the customer's job of this invoice, or one that the merchant made for it."""
        name = str(raw["DisplayName"])
        for row in self.listed("DisplayName", [name]):
            parent, key = (row.get("ParentRef") or {}).get("value"), key_in(row.get("Notes"))
            if parent == raw["ParentRef"]["value"] and key in {None, key_in(raw["Notes"])}:
                return self.document(row)
        raise Rejected(
            f"QuickBooks has a customer, vendor or employee named {name!r} that is no job of this invoice's customer: "
            "rename that one, then `billhook retry`",
            status=refused.status, code=refused.code, sample=refused.sample,
        )  # fmt: skip


class OfJobs(Invoices):
    """What belongs to jobs. The note names the customer, for the document itself names the job."""

    def document(self, raw: Raw) -> RemoteInvoice:
        found, customer = super().document(raw), PAYER.match(raw.get("PrivateNote") or "")
        return found.model_copy(update={"customer_id": customer[1]}) if customer else found


class JobInvoices(OfJobs):
    """Invoices of jobs."""

    calls = 2

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self.jobs = Jobs(platform)

    def plan(self, draft: PlannedInvoice) -> Plan:
        raw = words.invoice(draft.draft, "", self.platform.settings)
        raw["PrivateNote"] = _of_customer(draft, raw)
        del raw["CustomerRef"]
        raw = {**raw, "CustomerRef": {"value": later("job")}}
        billed = posted("invoice", self.address, raw, query=VERSION, issues=True)
        return (*self.jobs.plan(draft), billed)

    def pack(self, plans: Sequence[Plan]) -> Request:
        return self.jobs.pack(plans)

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """The jobs in one call, then in a second one the invoices of those that are there. Sent again whole, both
        calls are the same ones, for what the first answers decides what is in the second."""
        jobs = self.jobs.create_packed(request, attempts, key)
        outcomes = [Outcome[RemoteInvoice](error=job.error, sample=job.sample) for job in jobs]
        there = self.jobs.recorded("job", attempts, jobs)
        if not there:
            return outcomes
        some = [attempts[place] for place in there]
        bills = self.together([filled(attempts[place].plan[1], {"job": job}) for place, job in there.items()])
        for place, outcome in zip(there, super().create_packed(bills, some, f"{key}-invoices"), strict=True):
            outcomes[place] = outcome
            if outcome.document and not outcome.error:
                attempts[place].done("invoice", outcome.document.id)
        return outcomes

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        return (self.jobs.made(request, answer)[0], None) if request.apart else super().made(request, answer)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        return self.jobs.forgive(request, error) if request.apart else super().forgive(request, error)

    def payers(self, drafts: Sequence[PlannedInvoice]) -> set[str]:
        rows = self.jobs.listed("DisplayName", [self.jobs.name(draft) for draft in drafts])
        return {row.id for row in self.jobs.read_rows(rows)}


class JobCredits(OfJobs, CreditMemos):
    """Credit memos of jobs. Which job it is says the invoice, which is read before each call: a job may have been
    renamed, but what has an invoice stays."""

    def memo(self, draft: PlannedInvoice) -> dict[str, Any]:
        raw = super().memo(draft)
        return {**raw, "PrivateNote": _of_customer(draft, raw)}

    def customer(self, draft: PlannedInvoice) -> str:
        return later("customer")

    def _run(
        self, request: Request, attempt: Attempt[PlannedInvoice], made: Mapping[str, str]
    ) -> tuple[str, RemoteInvoice | None, Sample | None]:
        return super()._run(request, attempt, {**made, "customer": self._job(attempt.draft)})

    def payers(self, drafts: Sequence[PlannedInvoice]) -> set[str]:
        return {self._job(draft) for draft in drafts}

    def _job(self, draft: PlannedInvoice) -> str:
        path = f"{company(self.platform.settings)}/invoice/{quote(invoice_of(draft).id, safe='')}"
        answer = self.platform.ask(path, VERSION)
        return self.platform.told(answer, lambda body: str(body["Invoice"]["CustomerRef"]["value"]))


def _of_customer(draft: PlannedInvoice, raw: Raw) -> str:
    return f"Customer {draft.customer_id}: {raw['PrivateNote']}"


class Intuit(Company):
    """Every order becomes a **job** in QuickBooks Online: a sub-customer of its customer, named by the invoice's number
    ("SO-1001 Analytical Engines Ltd"), and the invoice is the job's. Up to ten jobs are made in one call and their
    invoices in the next; each is accepted or refused by itself. What a job costs is owed by its customer, or by the job
    (`bill_with_parent = false`). Choose `quickbooks` if you do not work with jobs: it is one call less.

    Customers are found as in `quickbooks`. A job that you have made yourself, of that very name and under that
    customer, is used. Custom transaction numbers must be on (Account and settings, Sales). There are no drafts: an
    invoice is posted by the call that makes it, so its tax is computed before; where the order rounded otherwise it is
    stated, which needs `tax_rates`. What was refunded becomes a credit memo of the invoice's job, set off as in
    `quickbooks`.

    - **Proved with:** the emulator, also where the company numbers by itself, half of a batch is refused, or the answer
      of either batch is lost; python-quickbooks drives it: customer, job, invoices in a batch, find, read, void.
    - **Open:** projects (`ProjectRef`) are not built: they cannot be looked up by name, so that a lost answer could not
      be settled. Whether a batch takes 30 (10 are sent), how long a requestid is remembered, and what else is open for
      `quickbooks`. An account of `quickbooks` for the same company shares its quotas, as Intuit counts by company."""

    facts = dataclasses.replace(facts("intuit", "Intuit Developer Platform", "batch"), quotas_of="quickbooks")
    Settings = IntuitSettings
    Invoices = JobInvoices
    Credits = JobCredits
    invoices: JobInvoices
    credits: JobCredits
