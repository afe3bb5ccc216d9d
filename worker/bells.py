"""Ringing for work: one message names a tenant or a few ids. Losing one is harmless, `dispatch` rings again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from worker.app import ASK_SOURCES, CREATE_INVOICES, HANDLE_EVENTS, NOTIFY_CUSTOMERS, celery
from worker.store.ids import new_id

log = logging.getLogger(__name__)
SHOWN = 5
"""How many orders a message names, for the reader in Flower."""


def ring_events(ids: Sequence[str]) -> bool:
    """These inbox rows have just been committed."""
    return _ring(HANDLE_EVENTS, "events", {"ids": list(ids)})


def ring_invoices(tenant: str, accounts: Sequence[str], orders: Sequence[str]) -> bool:
    """The tenant has customers or invoices due."""
    slug = tenant.partition(":")[0]
    kwargs = {"tenant": tenant, "accounts": sorted(set(accounts)), "orders": list(orders)[:SHOWN]}
    return _ring(CREATE_INVOICES, f"invoices.{slug}", kwargs)


def ring_notify(shops: Sequence[str], orders: Sequence[str]) -> bool:
    """There are notices due."""
    return _ring(NOTIFY_CUSTOMERS, "notify", {"shops": sorted(set(shops)), "orders": list(orders)[:SHOWN]})


def ring_sources(source: str) -> bool:
    """There is something to ask of this source (`shop/source`)."""
    return _ring(ASK_SOURCES, "sources", {"source": source})


def _ring(task: str, queue: str, kwargs: dict[str, Any]) -> bool:
    try:
        # the task's id is of the time of its ring: from there on the trail is searched for it (worker.results)
        celery.send_task(task, kwargs=kwargs, task_id=new_id(), queue=queue, retry=False, ignore_result=True)
    except Exception as error:  # any transport failure: the rows are committed, dispatch will find them
        log.warning("could not ring %s: %s", queue, error)
        return False
    return True
