"""The queues of Redis: one for each kind of work, for invoices one for each platform: a slow one fills only its own."""

from __future__ import annotations

RECURRING = "recurring"
"""The queue of dispatch and seal; it has workers of its own, which never call a platform."""


def queue_names() -> list[str]:
    """Every queue but `recurring`."""
    from connectors.platforms.base import slugs  # needs much: not before somebody asks

    return ["events", *(f"invoices.{slug}" for slug in slugs()), "notify", "sources"]
