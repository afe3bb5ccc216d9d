"""From an outcome to what becomes of the row: the retry policy, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from connectors.errors import (
    ConnectorError,
    Duplicate,
    Rejected,
    Sample,
    Throttled,
    Unauthorized,
    Unavailable,
    Uncertain,
)
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import Outcome, PlannedInvoice
from connectors.platforms.facts import Facts
from tasks.backoff import delay
from worker import testpoints
from worker.store.documents import DOUBTS, Progress, Work
from worker.store.jobs import Change


@dataclass(frozen=True, slots=True)
class Policy:
    """What decides: the platform's facts, this account's quiet period, the limits of patience."""

    facts: Facts
    quiet: timedelta
    attempts: int
    give_up_after: timedelta
    void: bool = False
    """Whether an invoice that does not agree with its order is voided."""

    def may_replay(self, work: Work, at: datetime) -> bool:
        """Whether the same bytes may be sent again under the same key: it surely still lives when they arrive."""
        key = self.facts.key
        if key is None or (key.packed and work.bulk_id is None):
            return False
        if work.first_sent_at is None or work.replays >= DOUBTS:
            return False
        return at + timedelta(seconds=self.facts.deadline + 30) < work.first_sent_at + key.lives

    def quiet_until(self, work: Work) -> datetime | None:
        """When "not there" can be believed; None when nothing was ever sent."""
        if testpoints.without("quiet"):
            return None
        return work.last_possible_send + self.quiet if work.last_possible_send else None


@dataclass(frozen=True, slots=True)
class Verdict:
    change: Change
    progress: Progress
    tell: str = ""
    """Who is concerned is told, of an invoice, a credit note, or an invoice that is void (invoice, credit, void). A
    draft is for a person to approve first."""


def verdict(
    work: Work, outcome: Outcome[Any], policy: Policy, at: datetime, *, made: dict[str, str], resolved: bool
) -> Verdict:
    """What becomes of a row after a call. `resolved`: nothing about it is in doubt any more, as far as it got."""
    detail: dict[str, Any] = {"generation": work.generation}
    error = outcome.error
    if error is None:
        return _success(work, outcome, made, detail)
    keep = Progress(work.id, made, work.replays, bulk_id=work.bulk_id, bulk_limit=work.bulk_limit)
    detail |= {"error": type(error).__name__, "status": error.status, "code": error.code}
    doubt = work.job.unsure and not resolved
    if isinstance(error, Rejected):
        return Verdict(_change(work, "held", "refused", outcome, error.message, detail, unsure=doubt), keep)
    if isinstance(error, Duplicate):
        looking = Progress(work.id, made, DOUBTS)
        return Verdict(_change(work, "uncertain", "number_taken", outcome, error.message, detail, due=at), looking)
    if isinstance(error, Uncertain):
        return _uncertain(work, outcome, error, policy, at, made, detail)
    return _not_done(work, outcome, error, policy, at, keep, detail, doubt)


def _success(work: Work, outcome: Outcome[Any], made: dict[str, str], detail: dict[str, Any]) -> Verdict:
    document: Any = outcome.document
    detail |= {"remote_id": document.id}
    progress = Progress(work.id, made, work.replays, remote_id=document.id)
    if isinstance(document, RemoteInvoice):
        detail |= {
            "number": document.number,
            "total": f"{document.total} {document.currency}",
            "document": document.status.value,
        }
        progress = Progress(
            work.id, made, work.replays, remote_id=document.id, number=document.number, url=document.url,
            total=document.total,
        )  # fmt: skip
        if work.job.kind == "credit" and outcome.voided:
            return Verdict(_change(work, "done", "void", outcome, None, detail), progress, tell="void")
        if not outcome.voided and (reason := _not_as_it_should_be(work, document)):
            return Verdict(_change(work, "held", "found", outcome, reason, detail), progress)
    if outcome.difference:
        reason = f"it exists, but does not agree with the order: {outcome.difference}"
        return Verdict(_change(work, "mismatch", "compare", outcome, reason, detail), progress)
    state = "issued" if isinstance(work.draft, PlannedInvoice) else "done"
    change = _change(work, state, "found" if work.found == "found" else "create", outcome, None, detail)
    final = isinstance(document, RemoteInvoice) and document.status is not Status.DRAFT
    return Verdict(change, progress, tell=work.job.kind if final else "")


def shadowed(work: Work) -> Verdict:
    """What would have been sent is kept for comparison; nothing is."""
    plan = work.plan or ()
    calls = [f"{request.method} {request.path}" for request in plan]
    remarks = [request.remark for request in plan if request.remark]
    body = {"url": calls[0], "request": "\n\n".join(request.body for request in plan), "response": ""}
    detail = {"calls": calls, **({"remarks": remarks} if remarks else {})}
    change = Change(work.id, "shadow", "render", detail=detail, body=body)
    return Verdict(change, Progress(work.id, work.made, work.replays))


def _not_as_it_should_be(work: Work, document: RemoteInvoice) -> str | None:
    """Why a document with our reference is neither adopted nor made again."""
    if document.status is Status.VOID:
        return (
            f"invoice {document.number or document.id} of this order was voided on the platform; nothing is created"
            " in its place until somebody decides"
        )
    if document.key is not None and document.key != work.draft.key:
        return _foreign(document)
    if work.found == "found" and document.key is None:
        return _foreign(document)
    return None


def _foreign(document: RemoteInvoice) -> str:
    return (
        f"the platform has a document {document.number or document.id} with this reference that is not ours;"
        " rename one of the two, then `billhook retry`"
    )


def _uncertain(
    work: Work, outcome: Outcome[Any], error: ConnectorError, policy: Policy, at: datetime, made: dict[str, str],
    detail: dict[str, Any],
) -> Verdict:  # fmt: skip
    """It may have been done: replayed while the key surely lives, else looked up after the quiet period."""
    replayed = Progress(
        work.id, made, work.replays + 1, last_possible_send=at, bulk_id=work.bulk_id, bulk_limit=work.bulk_limit
    )
    if not testpoints.without("uncertain"):
        due = at + delay(work.replays + 1) if policy.may_replay(work, at) else at + policy.quiet
        change = _change(work, "uncertain", "unknown", outcome, error.message, detail, due=due, unsure=True)
        return Verdict(change, replayed)
    return Verdict(_change(work, "retry", "unknown", outcome, error.message, detail, due=at), replayed)


def _not_done(
    work: Work, outcome: Outcome[Any], error: ConnectorError, policy: Policy, at: datetime, keep: Progress,
    detail: dict[str, Any], doubt: bool,
) -> Verdict:  # fmt: skip
    """Surely not done: tried again later, unless patience is at its end."""
    # a quota of days is waited for, and is not to blame for what the first call after it meets
    ours = isinstance(error, Throttled) and error.status is None
    too_old = not ours and at - (work.first_sent_at or work.job.created_at) > policy.give_up_after
    too_often = work.job.attempts >= policy.attempts and isinstance(error, Unavailable)
    if too_old or too_often:
        reason = f"given up after {work.job.attempts} attempts: {error.message}"
        return Verdict(_change(work, "held", "give_up", outcome, reason, detail, unsure=doubt), keep)
    pause = delay(work.job.attempts)
    if isinstance(error, Throttled):
        pause = timedelta(seconds=error.retry_after) if error.retry_after is not None else delay(1)
    elif isinstance(error, Unauthorized):
        pause = max(pause, timedelta(seconds=30))
    state = "uncertain" if doubt else "retry"
    change = _change(work, state, "not_done", outcome, error.message, detail, due=at + pause, unsure=doubt)
    return Verdict(replace(change, tried=not isinstance(error, Throttled)), keep)


def _change(
    work: Work, state: str, action: str, outcome: Outcome[Any], reason: str | None, detail: dict[str, Any], *,
    due: datetime | None = None, unsure: bool | None = None,
) -> Change:  # fmt: skip
    sample = outcome.sample
    return Change(
        work.id, state, action, due_at=due, unsure=state == "uncertain" if unsure is None else unsure, reason=reason,
        detail=detail | ({"looked": work.found} if work.found else {}) | _shown(sample),
        body=None if sample is None else {"url": sample.url, "request": sample.request, "response": sample.response},
        duration_us=None if sample is None else int(sample.seconds * 1_000_000),
    )  # fmt: skip


def _shown(sample: Sample | None) -> dict[str, Any]:
    """What an entry says of the exchange for good: without the query, which may name the customer."""
    if sample is None:
        return {}
    return {"call": f"{sample.method} {sample.url.partition('?')[0]}", "http_status": sample.status}


def unchanged(work: Work) -> Progress:
    """Nothing was done about the document."""
    return Progress(work.id, work.made, work.replays, bulk_id=work.bulk_id, bulk_limit=work.bulk_limit)


def refused(work: Work, reason: str) -> Verdict:
    """Held for a person, with the sentence that says why."""
    return Verdict(Change(work.id, "held", "refuse", reason=reason, unsure=work.job.unsure), unchanged(work))
