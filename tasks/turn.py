"""One claim of a tenant's rows, carried through to its commits."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable
from connectors.platforms.crediting import Voids
from connectors.platforms.documents import Documents, Hit, Outcome, PlannedInvoice
from tasks.attempt import Try
from tasks.bulking import halved, said_once
from tasks.calls import Done, Send, carry_out, look_up, packed
from tasks.canarying import Canaries
from tasks.giving_back import ways_of
from tasks.reinvoicing import reinvoice
from tasks.telling import tell
from tasks.verdict import Policy, Verdict, refused, shadowed, unchanged, verdict
from tasks.voiding import voided
from worker import bells, credentials, limits, logs, metrics, runtime, testpoints
from worker.accounts import accounts, platform_of
from worker.app import actor
from worker.config_sections import AccountRef
from worker.leases import lease
from worker.limits import Permits
from worker.store import credits, jobs
from worker.store import documents as store
from worker.store.documents import Work
from worker.store.engine import StoreError
from worker.store.intents import SHADOW
from worker.store.jobs import Change, Job

log = logging.getLogger(__name__)
GOOD = {"issued", "done", "shadow"}
BAD = {"held", "mismatch", "doubled"}
CLAIMED = {"customer": ("customer",), "invoice": ("invoice", "credit")}
"""Kinds of rows that one claim takes together."""


def failed_completely(counts: Counter[str]) -> bool:
    """Whether rows were refused and none came to a good end; what will be tried again does not count."""
    return any(counts[state] for state in BAD) and not any(counts[state] for state in GOOD)


class Turn:
    """Claims rows of one kind, settles what is uncertain, sends the rest. `counts` says what became of the rows."""

    def __init__(self, tenant: str, permits: Permits) -> None:
        self.tenant = tenant
        self.permits = permits
        self.counts: Counter[str] = Counter()
        self.owner = jobs.new_owner(runtime.process_name())
        self.actor = actor()
        self.deadline = runtime.config().billhook.timing.deadline or permits.facts.deadline
        self.lease = lease(self.deadline)
        self.leased_at = 0.0
        self.canaries = Canaries()

    def run(self, kind: str, limit: int) -> bool:
        """Carries one claim through. False when nothing was due."""
        self.leased_at = time.monotonic()
        with runtime.store().write() as connection:
            held = self.canaries.claimed(
                connection, self.tenant, CLAIMED[kind], limit, partial(self._claim, connection)
            )
            held = self._whole_bulks(connection, held)
            works = store.load_work(connection, held)
        if not works:
            return False
        testpoints.point("claimed")
        if len(held) >= limit:
            bells.ring_invoices(self.tenant, [f"{job.shop}/{job.account}" for job in held], [])  # another may join in
        for account in sorted({(work.job.shop, work.job.account) for work in works}):
            self._account(account, kind, [w for w in works if (w.job.shop, w.job.account) == account])
        return True

    def _claim(self, connection: Any, kinds: Sequence[str], only: Any, limit: int) -> list[Job]:
        return jobs.claim(
            connection, queue="invoices." + self.tenant.partition(":")[0], kinds=kinds, tenant=self.tenant, limit=limit,
            owner=self.owner, lease=self.lease, actor=self.actor, turn=time.monotonic_ns() // 1000, only=only,
        )  # fmt: skip

    def _whole_bulks(self, connection: Any, held: list[Job]) -> list[Job]:
        """A bulk is replayed only whole: members of one that the claim cut in two join it."""
        unsure = [work for work in store.load_work(connection, [job for job in held if job.unsure]) if work.bulk_id]
        if not unsure:
            return held
        bulks = store.load_bulks(connection, {str(work.bulk_id) for work in unsure})
        have = {job.id for job in held}
        missing = [member for bulk in bulks.values() for member in bulk.members if member not in have]
        return held + jobs.take(connection, missing, owner=self.owner, lease=self.lease, actor=self.actor)

    def _account(self, account: tuple[str, str], kind: str, works: list[Work]) -> None:
        if account not in accounts():
            reason = f"account {'/'.join(account)} is no longer in the configuration"
            self._settle([refused(work, reason) for work in works], works)
            return
        platform = platform_of(*account, drafts=account in self.canaries.singing)
        ref = accounts()[account]
        timing = runtime.config().billhook.timing
        quiet = ref.account.quiet_seconds
        policy = Policy(
            replace(platform.facts, deadline=self.deadline),
            platform.facts.quiet if quiet is None else timedelta(seconds=quiet),
            timing.attempts,
            timedelta(seconds=timing.give_up_after),
            void=ref.account.mismatch == "void",
        )
        shadow = [work for work in works if isinstance(work.draft, PlannedInvoice) and work.draft.customer_id == SHADOW]
        if shadow:
            self._settle([shadowed(work) for work in self._planned(platform.invoices, shadow)], shadow)
            apart = {work.id for work in shadow}
            works = [work for work in works if work.id not in apart]
        notes = [work for work in works if work.job.kind == "credit"]
        works = [work for work in works if work.job.kind != "credit"]
        self._carry(platform.customers if kind == "customer" else platform.invoices, works, policy, ref)
        if notes:
            ways = ways_of(platform, notes, policy, ref.account.refund, self.permits)
            self._settle(ways.settled, notes)
            for documents, some in ways.open:
                self._carry(documents, some, policy, ref)

    def _carry(self, documents: Documents[Any, Any], works: Sequence[Work], policy: Policy, ref: AccountRef) -> None:
        """Settles what is uncertain of documents of one kind, and sends the rest."""
        replays, rest = self._replays(documents, works, policy)
        fresh = self._looked_up(documents, rest, policy, ref.account.find_first)
        planned = self._planned(documents, fresh)
        self._send(documents, [*replays, *packed(documents, planned)], policy)

    # -- what is uncertain -----------------------------------------------------------------------------------------

    @staticmethod
    def _replays(
        documents: Documents[Any, Any], works: Sequence[Work], policy: Policy
    ) -> tuple[list[Send], list[Work]]:
        """Uncertain calls that may be sent again as they were; and the other works."""
        at = jobs.now()
        candidates = [work for work in works if work.job.unsure and work.plan and policy.may_replay(work, at)]
        by_id = {work.id: work for work in candidates}
        sends = [Send((work,)) for work in candidates if documents.bulk <= 1]
        with runtime.store().read() as connection:
            bulks = store.load_bulks(connection, {work.bulk_id for work in candidates if work.bulk_id})
        sends += [
            Send(tuple(by_id[member] for member in bulk.members), bulk)
            for bulk in bulks.values()
            if all(member in by_id and by_id[member].bulk_id == bulk.id for member in bulk.members)
        ]
        replayed = {work.id for send in sends for work in send.works}
        return sends, [work for work in works if work.id not in replayed]

    def _looked_up(
        self, documents: Documents[Any, Any], works: Sequence[Work], policy: Policy, find_first: bool
    ) -> list[Work]:
        """Looks at what is uncertain (or must be looked for first); returns what may be sent."""
        first = documents.look_first or find_first
        look = [
            w for w in works if (w.job.unsure or (first and w.first_sent_at is None)) and not testpoints.without("look")
        ]
        looking = {work.id for work in look}
        send = [work for work in works if work.id not in looking]
        verdicts: list[Verdict] = []
        looked_up = look_up(documents, look, self.permits)
        self._tell_breaker(documents, [hit if isinstance(hit, ConnectorError) else None for _, hit in looked_up])
        for work, hit in looked_up:
            said = self._after_look(documents, work, hit, policy)
            if isinstance(said, Verdict):
                verdicts.append(said)
            else:
                send.append(said)
        self._settle(verdicts, works)
        return send

    def _after_look(self, documents: Documents[Any, Any], work: Work, hit: Any, policy: Policy) -> Verdict | Work:
        at = jobs.now()
        looked = replace(work, found="found" if isinstance(hit, Hit) else "not there")
        if isinstance(hit, ConnectorError):
            same = Outcome[Any](error=hit, sample=hit.sample)
            return verdict(work, same, policy, at, made=work.made, resolved=not work.job.unsure)
        if isinstance(hit, Hit) and hit.resume_at is None:
            gone = isinstance(documents, Voids)
            outcome = Outcome(hit.document, difference=documents.differs(work.draft, hit.document), voided=gone)
            if policy.void:
                with limits.using(self.permits):
                    outcome = voided(documents, looked, outcome)
            return verdict(looked, outcome, policy, at, made=work.made, resolved=True)
        if work.job.unsure and (waits := self._too_early(work, policy, at)):
            return waits
        if isinstance(hit, Hit):
            return self._resumed(documents, looked, hit)
        if not work.job.unsure:
            return looked
        return replace(
            looked, plan=None, generation=work.generation + 1, made={}, replays=0, first_sent_at=None, bulk_id=None
        )

    @staticmethod
    def _too_early(work: Work, policy: Policy, at: datetime) -> Verdict | None:
        """Until the quiet period is over what is not there may yet come."""
        quiet_until = policy.quiet_until(work)
        if quiet_until is None or at >= quiet_until:
            return None
        change = Change(
            work.id, "uncertain", "look", due_at=quiet_until, unsure=True,
            reason="not found yet; looked for again after the quiet period",
        )  # fmt: skip
        return Verdict(change, unchanged(work))

    @staticmethod
    def _resumed(documents: Documents[Any, Any], work: Work, hit: Hit[Any]) -> Verdict | Work:
        """A half-built document is continued: the steps before `resume_at` are done, the others get new keys. What of a
        credit note is set off against its invoice is what is due of that now."""
        try:
            plan = (work.plan if work.job.kind != "credit" else None) or documents.plan(work.draft)
        except Rejected as error:
            return refused(work, error.message)
        steps = [request.step for request in plan]
        if hit.resume_at not in steps:
            return refused(work, f"{hit.document.id} is half-built on the platform and cannot be continued; delete it")
        made = {step: work.made.get(step) or hit.document.id for step in steps[: steps.index(hit.resume_at)]}
        return replace(
            work, plan=plan, made=made, generation=work.generation + 1, replays=0, first_sent_at=None,
            document=hit.document,
        )  # fmt: skip

    # -- sending ---------------------------------------------------------------------------------------------------

    def _planned(self, documents: Documents[Any, Any], works: Sequence[Work]) -> list[Work]:
        """Works with their plans; what cannot be rendered is held with the sentence that says why."""
        planned: list[Work] = []
        refusals: list[Verdict] = []
        for work in works:
            try:
                planned.append(work if work.plan else replace(work, plan=documents.plan(work.draft)))
            except Rejected as error:
                refusals.append(refused(work, error.message))
            except Exception as error:  # a defect in a connector must not stop the others
                refusals.append(refused(work, f"it cannot be rendered ({type(error).__name__}: {error})"))
        self._settle(refusals, works)
        return planned

    def _send(self, documents: Documents[Any, Any], sends: Sequence[Send], policy: Policy) -> None:
        if not sends:
            return
        units = self._commit_sending(sends)
        testpoints.point("sending")
        for group in carry_out(documents, units, self.permits, policy.void):
            testpoints.point("before_commit")
            self._record(group, documents, policy)
            testpoints.point("after_commit")

    def _commit_sending(self, sends: Sequence[Send]) -> list[tuple[Send, list[Try]]]:
        """Commits attempt, key and bytes; a unit of which a row is no longer ours is not sent."""
        at = jobs.now()
        started = time.monotonic()
        sends = [
            Send(
                tuple(
                    replace(w, first_sent_at=w.first_sent_at or at, bulk_id=send.bulk.id if send.bulk else None)
                    for w in send.works
                ),
                send.bulk,
            )
            for send in sends
        ]
        works = [work for send in sends for work in send.works]
        details = {work.id: _sending_detail(work) for work in works}
        with runtime.store().write() as connection:
            mine = jobs.sending(
                connection, [w.job for w in works], owner=self.owner, lease=self.lease, actor=self.actor,
                details=details,
            )  # fmt: skip
            store.store_sent(connection, [work for work in works if work.id in mine], at + self.lease)
            for send in sends:
                if send.bulk is not None:
                    store.store_bulk(connection, self.tenant, send.bulk)
        self.leased_at = started
        return [
            (send, [Try(work, self.owner, self.lease, started, self.deadline) for work in send.works])
            for send in sends
            if all(work.id in mine for work in send.works)
        ]

    # -- recording -------------------------------------------------------------------------------------------------

    def _record(self, group: Done, documents: Documents[Any, Any], policy: Policy) -> None:
        if not group:
            return
        at = jobs.now()
        verdicts: list[Verdict] = []
        shown: dict[int, str] = {}
        self._tell_breaker(documents, [outcome.error for _, outcome in group])
        for each, seen in group:
            with limits.using(self.permits):
                outcome = self.canaries.proved(documents, each.work, seen)
            resolved = each.finished_a_step or (not each.work.job.unsure) or each.work.found is not None
            said = verdict(each.work, outcome, policy, at, made=each.made, resolved=resolved)
            verdicts.append(said_once(halved(said, group, each.work, outcome, documents), outcome, shown))
        self._settle(verdicts, [each.work for each, _ in group])

    def _tell_breaker(self, documents: Documents[Any, Any], errors: Sequence[ConnectorError | None]) -> None:
        """What calls side by side came to (None: a success). Together they are one success or one failure."""
        if errors and all(isinstance(error, Unauthorized) for error in errors):
            credentials.refused(self.tenant, documents.platform)
        for error in errors:
            if isinstance(error, Throttled) and error.status == 429:
                limits.pause(self.tenant, documents.platform.facts, error.retry_after or 1.0)
        if None in errors:
            limits.worked(self.tenant)
        elif any(isinstance(error, Unavailable | Unauthorized) for error in errors):
            limits.failed(self.tenant)

    def _settle(self, verdicts: Sequence[Verdict], works: Sequence[Work]) -> None:
        """Outcome, trail and notices in one commit; tried again while the lease lasts if the database is away."""
        if not verdicts:
            return
        patience = Retrying(
            retry=retry_if_exception_type(StoreError),
            stop=stop_after_delay(self.lease.total_seconds()),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        patience(self._commit, verdicts, {work.id: work for work in works})
        self.counts += Counter(said.change.state for said in verdicts)

    def _commit(self, verdicts: Sequence[Verdict], works: dict[str, Work]) -> None:
        held = {work_id: work.job for work_id, work in works.items()}
        with runtime.store().write() as connection:
            mine = jobs.settle(connection, held, [said.change for said in verdicts], owner=self.owner, actor=self.actor)
            ours = sorted((said for said in verdicts if said.change.id in mine), key=lambda said: said.change.id)
            customers = [said.change.id for said in ours if held[said.change.id].kind == "customer"]
            store.lock_customers(connection, customers)
            store.store_progress(connection, [said.progress for said in ours])
            issued = [said for said in ours if said.change.state == "issued"]
            store.store_issued(connection, [said.progress for said in issued])
            done = [said.change.id for said in ours if said.change.state == "done"]
            store.mark_doubled(connection, [held[said.change.id] for said in issued], self.actor)
            released = store.release_waiting(connection, done)
            given_back = {c.id: c.state for c in (said.change for said in ours) if held[c.id].kind == "credit"}
            self.canaries.record(connection, ours, works)
            ended = credits.close(connection, {i: s for i, s in given_back.items() if s in GOOD}, self.actor)
            anew = reinvoice(connection, ended)
            mails, sources = tell(connection, [(works[said.change.id], said.tell) for said in ours if said.tell])
            for said in verdicts:
                if said.change.id not in mine and said.progress.remote_id:
                    store.store_sighting(connection, held[said.change.id], said.progress.remote_id, self.actor)
        metrics.settled(held, [said.change for said in ours])
        logs.outcomes(log, held, [said.change for said in ours], lambda work_id: _names(works[work_id]))
        for source in sorted(sources):
            bells.ring_sources(source)
        if mails:
            bells.ring_notify(
                [works[s.change.id].job.shop for s in issued], [works[s.change.id].job.label for s in issued]
            )
        if released or anew:
            bells.ring_invoices(self.tenant, [f"{job.shop}/{job.account}" for job in held.values()], [])


def _sending_detail(work: Work) -> dict[str, Any]:
    detail: dict[str, Any] = {"generation": work.generation, "key": work.draft.key, "replay": work.replays}
    if work.bulk_id:
        detail["bulk"] = work.bulk_id
    if work.found:
        detail["looked"] = work.found
    if remarks := [request.remark for request in work.plan or () if request.remark]:
        detail["remarks"] = remarks
    return detail


def _names(work: Work) -> list[str]:
    draft: Any = work.draft
    return logs.names(work.invoice.customer if work.invoice else draft.party)
