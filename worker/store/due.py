"""What is due, found by skipping through the index: the cost does not grow with the backlog."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text

from worker.store.schema import jobs

_DUE_SHOPS = text(
    """
    WITH RECURSIVE due(shop) AS (
        SELECT (SELECT shop FROM jobs WHERE queue = :queue AND tenant = :tenant AND due_at <= :now
                ORDER BY shop LIMIT 1)
        UNION ALL
        SELECT (SELECT shop FROM jobs WHERE queue = :queue AND tenant = :tenant AND shop > due.shop
                AND due_at <= :now ORDER BY shop LIMIT 1)
        FROM due WHERE due.shop IS NOT NULL)
    SELECT shop FROM due WHERE shop IS NOT NULL LIMIT 200
    """
).bindparams(bindparam("now", type_=jobs.c.due_at.type))


def due_shops(connection: Connection, queue: str, tenant: str, at: datetime) -> list[str]:
    """Shops with work due, found by skipping through the index: the cost does not grow with the backlog."""
    return list(connection.execute(_DUE_SHOPS, {"queue": queue, "tenant": tenant, "now": at}).scalars())


_DUE_TENANTS = text(
    """
    WITH RECURSIVE due(queue, tenant) AS (
        SELECT * FROM (SELECT queue, tenant FROM jobs WHERE due_at IS NOT NULL ORDER BY queue, tenant LIMIT 1) AS f
        UNION ALL
        SELECT (SELECT queue FROM jobs WHERE due_at IS NOT NULL AND (queue, tenant) > (due.queue, due.tenant)
                ORDER BY queue, tenant LIMIT 1),
               (SELECT tenant FROM jobs WHERE due_at IS NOT NULL AND (queue, tenant) > (due.queue, due.tenant)
                ORDER BY queue, tenant LIMIT 1)
        FROM due WHERE due.queue IS NOT NULL)
    SELECT queue, tenant FROM due WHERE queue IS NOT NULL
    """
)


def due_tenants(connection: Connection) -> list[tuple[str, str]]:
    """Each (queue, tenant) that has rows waiting, due now or later; skips through the index."""
    return [(row.queue, row.tenant) for row in connection.execute(_DUE_TENANTS)]


_SOONEST = text(
    """
    WITH RECURSIVE waiting(shop, due_at) AS (
        SELECT * FROM (SELECT shop, due_at FROM jobs WHERE queue = :queue AND tenant = :tenant AND due_at IS NOT NULL
                       ORDER BY shop, due_at LIMIT 1) AS first
        UNION ALL
        SELECT (SELECT shop FROM jobs WHERE queue = :queue AND tenant = :tenant AND due_at IS NOT NULL
                AND shop > waiting.shop ORDER BY shop, due_at LIMIT 1),
               (SELECT due_at FROM jobs WHERE queue = :queue AND tenant = :tenant AND due_at IS NOT NULL
                AND shop > waiting.shop ORDER BY shop, due_at LIMIT 1)
        FROM waiting WHERE waiting.shop IS NOT NULL)
    SELECT min(due_at) AS soonest FROM waiting
    """
).columns(soonest=jobs.c.due_at.type)


def soonest(connection: Connection, queue: str, tenant: str) -> datetime | None:
    """When the first row of the tenant is due (it may be now); None when none waits."""
    return connection.execute(_SOONEST, {"queue": queue, "tenant": tenant}).scalar()


def peek(connection: Connection, queue: str, tenant: str, limit: int, at: datetime) -> list[tuple[str, str, str]]:
    """(shop, account, label) of a few rows that are due `at` this time: for the reader of a doorbell's message."""
    found: list[tuple[str, str, str]] = []
    for shop in due_shops(connection, queue, tenant, at):
        query = (
            select(jobs.c.shop, jobs.c.account, jobs.c.label)
            .where(jobs.c.queue == queue, jobs.c.tenant == tenant, jobs.c.shop == shop, jobs.c.due_at <= at)
            .order_by(jobs.c.due_at)
            .limit(limit)
        )
        found += [(row.shop, row.account, row.label) for row in connection.execute(query)]
        if len(found) >= limit:
            break
    return found
