"""Figures over everything, for forecasts, the demo and the benchmarks: counts, times, repetitions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import distinct, func, or_, select

from worker.store.engine import Store
from worker.store.schema import audit, inbox, invoices, jobs

FINAL = {"issued", "done", "held", "mismatch", "void", "credited", "doubled", "shadow", "waiting", "dismissed"}
LATELY = 200
"""How many calls count for what a call takes lately."""
LOOKED_AT = 20_000
"""Newest entries of the trail that are looked at for these calls: reading them takes as long however long it is."""


@dataclass(frozen=True)
class Figures:
    """Jobs by kind and state."""

    counts: Mapping[tuple[str, str], int]

    @property
    def events(self) -> int:
        return sum(count for (kind, _), count in self.counts.items() if kind == "event")

    @property
    def invoices(self) -> int:
        return sum(self.invoice_states.values())

    @property
    def invoice_states(self) -> dict[str, int]:
        return {state: count for (kind, state), count in self.counts.items() if kind == "invoice"}

    @property
    def issued(self) -> int:
        return self.counts.get(("invoice", "issued"), 0)

    @property
    def on_the_way(self) -> int:
        """Rows that are neither settled nor wait for a person; what is asked again and again is none of them."""
        return sum(n for (kind, state), n in self.counts.items() if state not in FINAL and kind != "question")


def figures(store: Store) -> Figures:
    """The counts as they are now."""
    query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
    with store.read() as connection:
        return Figures({(kind, state): count for kind, state, count in connection.execute(query)})


def waiting(store: Store) -> dict[str, Counter[str]]:
    """For each tenant, how many of its customers and invoices wait to be sent, now or later, by kind."""
    query = (
        select(jobs.c.tenant, jobs.c.kind, func.count())
        .where(jobs.c.kind.in_(("customer", "invoice")), or_(jobs.c.due_at.is_not(None), jobs.c.waits_for != ""))
        .group_by(jobs.c.tenant, jobs.c.kind)
    )
    found: dict[str, Counter[str]] = defaultdict(Counter)
    with store.read() as connection:
        for tenant, kind, count in connection.execute(query):
            found[tenant][kind] = count
    return found


def seconds_a_call(store: Store) -> dict[str, float]:
    """For each tenant that has called lately, what its calls took on average, in seconds.

    Lately: the newest `LATELY` calls among the newest `LOOKED_AT` entries of the trail, which its primary key gives
    (ids sort by time of birth). A tenant whose calls are older is not told.
    """
    newest = select(audit.c.id, audit.c.subject, audit.c.duration_us).order_by(audit.c.id.desc()).limit(LOOKED_AT)
    entries = newest.subquery()
    timed = select(entries.c.subject, entries.c.duration_us).where(entries.c.duration_us.is_not(None))
    took: dict[str, list[int]] = defaultdict(list)
    with store.read() as connection:
        for subject, duration in connection.execute(timed.order_by(entries.c.id.desc()).limit(LATELY)):
            kind, _, job_id = subject.partition(":")
            if kind in ("customer", "invoice"):
                took[job_id].append(duration)
        tenants: dict[str, list[int]] = defaultdict(list)
        for job_id, tenant in connection.execute(select(jobs.c.id, jobs.c.tenant).where(jobs.c.id.in_(list(took)))):
            tenants[tenant] += took[job_id]
    return {tenant: sum(each) / len(each) / 1_000_000 for tenant, each in tenants.items()}


def inbox_rows(inbox_store: Store) -> int:
    """How many deliveries the inbox holds."""
    with inbox_store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(inbox)).scalar_one())


def issuing(store: Store) -> tuple[datetime, datetime]:
    """When the first event was taken and the last invoice was issued (UTC). Raises `LookupError` if none was."""
    taken = select(func.min(audit.c.at)).where(audit.c.action == "receive")
    issued = select(func.max(invoices.c.issued_at))
    with store.read() as connection:
        began, ended = connection.execute(taken).scalar(), connection.execute(issued).scalar()
    if began is None or ended is None:
        raise LookupError("no invoice has been issued")
    return began, ended


def seconds_to_invoice(store: Store) -> dict[str, float]:
    """From an event's commit to its invoice's: `p50` and `p99`, in seconds; zeros when there is none."""
    query = select(invoices.c.event_at, invoices.c.issued_at).where(invoices.c.issued_at.is_not(None))
    with store.read() as connection:
        took = sorted((row.issued_at - row.event_at).total_seconds() for row in connection.execute(query))
    if not took:
        return {"p50": 0.0, "p99": 0.0}
    return {
        name: round(took[min(len(took) - 1, int(len(took) * share))], 3)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def sends_repeated(store: Store) -> int:
    """How often a customer's or an invoice's call was made again after its first try."""
    sent = (audit.c.action == "send") & or_(audit.c.subject.like("invoice:%"), audit.c.subject.like("customer:%"))
    with store.read() as connection:
        calls, subjects = connection.execute(
            select(func.count(), func.count(distinct(audit.c.subject))).where(sent)
        ).one()
    return int(calls) - int(subjects)
