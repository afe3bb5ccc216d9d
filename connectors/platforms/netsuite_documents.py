"""Customers, invoices and credit memos in NetSuite: one by one at once, or many invoices as a job that is asked after.

A record's external id is made of our key and is unique for its kind, so nothing is made twice. Records are looked for
by SuiteQL (many in one question), and what it does not show is asked for by its external id before it counts as not
there: that is a read of the record itself, not of an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import quote

from connectors.errors import ConnectorError, Duplicate, Rejected, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import netsuite_words as words
from connectors.platforms.base import Platform
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
    posted,
)

T = TypeVar("T")
RECORD, ASYNC = "/services/rest/record/v1", "/services/rest/async/v1"
STRICT = {"Content-Type": "application/json", "X-NetSuite-PropertyNameValidation": "Error"}
PACKED = {
    **STRICT,
    "Content-Type": "application/vnd.oracle.resource+json; type=collection",
    "Prefer": "respond-async",
}
PAGE = 1000
"""Rows that SuiteQL gives at once, at most."""
TAX_STATED = "tax is stated line by line as the order has it"


class Records(Documents[D, R]):
    """What customers and invoices share: made by POST, which answers with an address; known by an external id."""

    kind: ClassVar[str]
    prefix: ClassVar[str]

    def external_id(self, draft: D) -> str:
        return words.external_id(self.prefix, draft.key)

    def post(self, record: Mapping[str, Any], **more: Any) -> Plan:
        return (posted(self.kind, f"{RECORD}/{self.kind}", record, STRICT, **more),)

    def own(self, draft: D) -> Mapping[str, Any] | None:
        """The record that has our external id, None where NetSuite says that there is none. Raises the errors of a
        read."""
        path = f"{RECORD}/{self.kind}/eid:{self.external_id(draft)}"
        try:
            answer = self.platform.ask(path)
        except Rejected as error:
            if error.status == 404 and error.code == "NONEXISTENT_ID":
                return None
            raise
        return self.platform.told(answer, lambda raw: cast("Mapping[str, Any]", {**raw, "id": str(raw["id"])}))


class Customers(Records[CustomerDraft, RemoteCustomer]):
    """Customers: ours by external id, else the merchant's own with that e-mail address and currency."""

    look_first = True
    kind, prefix = "customer", "cust"

    def plan(self, draft: CustomerDraft) -> Plan:
        return self.post(words.customer(draft, self.platform.settings))

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """Only what may be billed in the order's currency is adopted."""
        known = [f"externalid = '{self.external_id(draft)}'"]
        if draft.party.email:
            known.append(f"LOWER(email) IN {words.one_of([draft.party.email.lower()])}")
        shown = rows(self.platform, f"{words.CUSTOMERS} AND ({' OR '.join(known)})", dict)
        wanted = (
            words.currency(draft.currency, self.platform.settings, draft.party.display_name) if draft.currency else None
        )
        alike = [row for row in shown if wanted is None or str(row.get("currency")) == wanted]
        found = choosing.customer(draft, [words.found_customer(row, draft) for row in alike], words.TITLE)
        if (found is None or found.key != draft.key) and (raw := self.own(draft)):
            found = words.found_customer(raw, draft)
        return Hit(found) if found else None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        ident = located(answer)
        return ident, RemoteCustomer(id=ident)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        """Two customers of one name are refused where their numbers are not generated; the name alone is no proof."""
        if isinstance(error, Duplicate) and "entity already exists" in error.message:
            raise Rejected(
                f"{error.message}: another customer has this name. Give that customer the order's e-mail address, or "
                "switch on auto-generated numbers for customers in NetSuite, then retry",
                status=error.status, code=error.code, sample=error.sample,
            )  # fmt: skip
        return None


class Invoices(Records[PlannedInvoice, RemoteInvoice]):
    """Invoices, posted by the call that creates them; many as one asynchronous job under an idempotency key."""

    bulk = 100
    calls = 2
    kind, prefix = "invoice", "inv"
    type: ClassVar[str] = "CustInvc"
    """The kind of transaction, as SuiteQL knows it."""

    def record(self, draft: PlannedInvoice) -> dict[str, Any]:
        """What is posted. Raises `Rejected` for what NetSuite cannot do."""
        return words.invoice(draft, self.platform.settings)

    def plan(self, draft: PlannedInvoice) -> Plan:
        order = draft.draft
        remarks = [TAX_STATED]
        if order.tax_included:
            remarks.append("amounts are shown without tax")
        if order.discount:
            remarks.append("the order's discount is spread over its lines")
        return self.post(self.record(draft), issues=True, remark="; ".join(remarks))

    def pack(self, plans: Sequence[Plan]) -> Request:
        body = '{"items":[' + ",".join(plan[0].body for plan in plans) + "]}"
        return plans[0][0].model_copy(update={"headers": PACKED, "body": body})

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        ident = located(answer)
        return ident, self.read(ident)

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{RECORD}/{self.kind}/{quote(remote_id, safe='')}")
        return self.platform.told(answer, self._read)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        """The code of "this external id exists" is not documented: after any refusal it is looked whether it does.
        Where that cannot be seen it is uncertain."""
        if isinstance(error, Rejected) and error.status == 400:
            known = request.body.partition('"externalId":"')[2].partition('"')[0]
            if self._exists(known):
                raise Duplicate(error.message, status=error.status, code=error.code, sample=error.sample)
        return None

    def _exists(self, external_id: str) -> bool:
        with afterwards(f"the {self.kind} was refused, but it could not be seen whether it is there already"):
            try:
                answer = self.platform.ask(f"{RECORD}/{self.kind}/eid:{external_id}")
            except Rejected:
                return False  # it is not there, or a person must act in any case: the refusal stands as it is
            return self.platform.told(answer, lambda raw: bool(raw["id"]))

    # -- look-ups --------------------------------------------------------------------------------------------------

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return self.sought([drafts], self._known, self._found)

    def _known(self, drafts: Sequence[PlannedInvoice]) -> list[RemoteInvoice]:
        ours = words.one_of([self.external_id(draft) for draft in drafts])
        theirs = words.one_of([draft.draft.reference for draft in drafts])
        return self.shown_where(f"(t.externalid IN {ours} OR t.otherrefnum IN {theirs})")

    def shown_where(self, condition: str) -> list[RemoteInvoice]:
        """Documents of this kind that SuiteQL shows, each once. Raises the errors of a read."""
        question = f"{words.DOCUMENTS}'{self.type}' AND {condition} ORDER BY t.id"
        shown = rows(self.platform, question, words.found_invoice)
        return list({one.id: one for one in shown}.values())

    def _found(self, draft: PlannedInvoice, shown: Sequence[RemoteInvoice]) -> Hit[RemoteInvoice] | None:
        hit = choosing.invoice(draft, shown, words.TITLE)
        if (hit is None or hit.key != draft.key) and (raw := self.own(draft)):
            hit = self._read(raw)
        return Hit(hit) if hit else None

    def _read(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        return words.read_invoice(raw, self.platform.settings)

    # -- jobs ------------------------------------------------------------------------------------------------------

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        """Of a finished job what it made, by external id. While it runs nothing is known: the same call again, under
        the same key, answers with the address of this job."""
        job = f"{ASYNC}/job/{quote(located(answer), safe='')}"
        if self.platform.told(self.platform.ask(job), lambda body: body["completed"]) is not True:
            raise Uncertain(f"NetSuite has not finished {job.rpartition('/')[2]}, a job of {len(drafts)} invoices")
        ours = words.one_of([self.external_id(draft) for draft in drafts])
        shown = {one.key: one for one in self.shown_where(f"t.externalid IN {ours}")}
        tasks = self._tasks(job) if any(draft.key not in shown for draft in drafts) else []
        return [
            Outcome(shown[draft.key], sample=answer.sample)
            if draft.key in shown
            else self._lacking(draft, tasks[place] if len(tasks) == len(drafts) else None)
            for place, draft in enumerate(drafts)
        ]

    def _tasks(self, job: str) -> list[str]:
        """Where the result of each of a job's tasks is."""
        tasks = self.platform.told(
            self.platform.ask(f"{job}/task"), lambda body: [_ident(one) for one in body["items"]]
        )
        return [f"{job}/task/{quote(task, safe='')}/result" for task in tasks]

    def _lacking(self, draft: PlannedInvoice, result: str | None) -> Outcome[RemoteInvoice]:
        """A job is finished and has not made this one. That is looked up; only the reason is read at its place."""
        try:
            with afterwards("the job is finished, but its result could not be read"):
                if raw := self.own(draft):
                    return Outcome(self._read(raw))
            answer = self.platform.ask(result) if result else None
        except (Rejected, Duplicate) as error:
            known = error.status in {400, 403}
            reason = error if known else Uncertain(error.message, status=error.status, sample=error.sample)
            return Outcome(error=reason, sample=error.sample)
        except ConnectorError as error:
            return Outcome(
                error=Uncertain(error.message, status=error.status, sample=error.sample), sample=error.sample
            )
        sample = answer.sample if answer else None
        return Outcome(
            error=Uncertain("the job is finished, but the invoice is not there", sample=sample), sample=sample
        )


class CreditNotes(Invoices):
    """Credit memos, one a call, applied to their invoice by the call that creates them."""

    bulk = 1
    kind, prefix, type = "creditMemo", "note", "CustCred"

    def record(self, draft: PlannedInvoice) -> dict[str, Any]:
        return words.credit_note(draft, self.platform.settings)


def rows(platform: Platform, question: str, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """Every row that SuiteQL answers with, page by page, each as `read` takes it. Raises the errors of a read."""
    path, headers = "/services/rest/query/v1/suiteql", {"Content-Type": "application/json", "Prefer": "transient"}

    def page(number: int, _: Any) -> tuple[list[T], bool]:
        query = {"limit": str(PAGE), "offset": str((number - 1) * PAGE)}
        answer = platform.ask(path, query, headers, dump_json({"q": question}))
        return platform.told(answer, lambda body: ([read(row) for row in body["items"]], body["hasMore"]))

    return platform.every(page)


def located(answer: Answer) -> str:
    """The id at the end of the Location of an answer. Raises `KeyError` where there is none."""
    ident = str(answer.headers["Location"]).rstrip("/").rpartition("/")[2]
    if not ident:
        raise KeyError("Location")
    return ident


def _ident(task: Mapping[str, Any]) -> str:
    (address,) = [link["href"] for link in task["links"] if link["rel"] == "self"]
    return str(address).rstrip("/").rpartition("/")[2]


@contextmanager
def afterwards(what: str) -> Iterator[None]:
    """Around reads after a call that has done something: when they fail, it is uncertain what."""
    try:
        yield
    except Uncertain:
        raise
    except ConnectorError as error:
        raise Uncertain(f"{what}: {error.message}", status=error.status, sample=error.sample) from error
