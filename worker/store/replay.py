"""Replaying the audit trail against the state it tells of: no number missing, no state without its entry."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from worker.store.schema import audit, jobs

JOB_KINDS = ("event", "customer", "invoice", "credit", "notice", "question")


class Differs(Exception):
    """A sentence that names what differs, for the verdict."""


def check_numbers(connection: Connection) -> None:
    """Each subject's entries are numbered from 0 without a gap: a deleted entry leaves one.

    Raises:
        Differs: naming the subject and the first number that is missing.
    """
    count, low, high = func.count(), func.min(audit.c.seq), func.max(audit.c.seq)
    query = select(audit.c.subject, low.label("low"), high.label("high")).group_by(audit.c.subject)
    row = connection.execute(query.having(or_(low != 0, high != count - 1)).limit(1)).first()
    if row is None:
        return
    if row.low < 0:
        raise Differs(f"{row.subject} has an entry with the number {row.low}; numbers begin with 0.")
    missing = 0 if row.low > 0 else _first_missing(connection, row.subject)
    raise Differs(f"{row.subject} has entries up to number {row.high}, but not number {missing}: it was deleted.")


def _first_missing(connection: Connection, subject: str) -> int:
    following = audit.alias("following")
    successor = select(following).where(following.c.subject == subject, following.c.seq == audit.c.seq + 1)
    query = select(func.min(audit.c.seq) + 1).where(audit.c.subject == subject, ~successor.exists())
    return int(connection.execute(query).scalar_one())


def check_state(connection: Connection) -> None:
    """Each job is in the state, and at the number, of its newest entry; and each job that has entries is there.

    Raises:
        Differs: naming the job and what the trail says of it.
    """
    newest, later = audit.alias("newest"), audit.alias("later")
    subject = jobs.c.kind + ":" + jobs.c.id
    same = and_(newest.c.subject == subject, newest.c.seq == jobs.c.seq)
    overtaken = select(later).where(later.c.subject == subject, later.c.seq > jobs.c.seq).exists()
    query = (
        select(subject.label("subject"), jobs.c.order_id, jobs.c.state, jobs.c.seq)
        .outerjoin(newest, same)
        .where(or_(newest.c.id.is_(None), newest.c.outcome != jobs.c.state, overtaken))
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is not None:
        raise Differs(_told(connection, row))
    _check_no_job_gone(connection)


def _told(connection: Connection, row: Any) -> str:
    order = f" of order {row.order_id}" if row.order_id else ""
    query = select(audit.c.seq, audit.c.outcome).where(audit.c.subject == row.subject).order_by(audit.c.seq.desc())
    newest = connection.execute(query.limit(1)).first()
    if newest is None:
        return f"{row.subject}{order} is {row.state!r}, but the trail has no entry of it."
    return (
        f"{row.subject}{order} is {row.state!r} at number {row.seq}, but the trail ends with number {newest.seq}, "
        f"{newest.outcome!r}: the state was changed without an entry, or entries were removed."
    )


def _check_no_job_gone(connection: Connection) -> None:
    """By counting; only when the numbers differ is the one looked for."""
    begun = and_(audit.c.seq == 0, or_(*(audit.c.subject.startswith(f"{kind}:") for kind in JOB_KINDS)))
    told = connection.execute(select(func.count()).select_from(audit).where(begun)).scalar_one()
    known = select(func.count()).select_from(jobs).where(jobs.c.kind.in_(JOB_KINDS))
    if told == connection.execute(known).scalar_one():
        return
    for kind in JOB_KINDS:
        same = and_(jobs.c.kind == kind, jobs.c.id == func.substr(audit.c.subject, len(kind) + 2))
        of_kind = and_(audit.c.seq == 0, audit.c.subject.startswith(f"{kind}:"), ~select(jobs).where(same).exists())
        gone = connection.execute(select(audit.c.subject, audit.c.order_id).where(of_kind).limit(1)).first()
        if gone is not None:
            order = f" of order {gone.order_id}" if gone.order_id else ""
            raise Differs(f"{gone.subject}{order} has entries, but is gone: its row was deleted.")
