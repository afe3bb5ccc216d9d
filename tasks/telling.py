"""Who is told of an invoice, and of what was given back: its customer by mail, and the shop of its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker import runtime
from worker.sources import writing_back
from worker.store import questions
from worker.store.documents import Work
from worker.store.notices import Wanted, intend
from worker.store.written_back import sources_of

SHOP = "shop"
"""The channel to the shop itself."""


def tell(connection: Any, works: Sequence[tuple[Work, str]]) -> tuple[bool, set[str]]:
    """Creates the notices of these invoices and credit notes, each with what it is to be told as (invoice, credit,
    void), once each. Returns whether mails are due, and for which sources (`shop/source`) something is."""
    mails = [one for work, purpose in works for one in _mail(work, purpose)]
    shops = _shops(connection, [work for work, _ in works])
    new = intend(connection, [*mails, *shops])
    return bool(new and mails), {one.tenant for one in shops} if new else set()


def _mail(work: Work, purpose: str) -> list[Wanted]:
    draft = work.invoice
    email = runtime.config().shop[work.job.shop].notify.email
    if draft is None or email is None or not draft.customer.email:
        return []
    job = work.job
    return [Wanted(job.id, job.shop, job.account, job.order_id or "", job.label, purpose=purpose)]


def _shops(connection: Any, works: Sequence[Work]) -> list[Wanted]:
    """For orders of sources that want it; where none does, nothing is asked of the store."""
    wanting = writing_back()
    jobs = [
        work.job for work in works if work.invoice is not None and any(work.job.shop == shop for shop, _ in wanting)
    ]
    if not jobs:
        return []
    sources = sources_of(connection, [job.order_id or "" for job in jobs])
    return [
        Wanted(
            job.id, job.shop, job.account, job.order_id or "", job.label, SHOP, "write_back", questions.QUEUE,
            f"{job.shop}/{sources[job.order_id or '']}",
        )
        for job in jobs
        if (job.shop, sources.get(job.order_id or "", "")) in wanting
    ]  # fmt: skip
