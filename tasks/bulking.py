"""Bulks that are refused as a whole, and how a bulk stands in the trail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.errors import Rejected
from connectors.platforms.documents import Documents, Outcome
from tasks.calls import Done
from tasks.verdict import Verdict
from worker.store import jobs
from worker.store.documents import Work


def halved(said: Verdict, group: Done, work: Work, outcome: Outcome[Any], documents: Documents[Any, Any]) -> Verdict:
    """A bulk refused as a whole is halved until the culprit stands alone."""
    if documents.bulk <= 1 or not isinstance(outcome.error, Rejected) or work.bulk_id is None:
        return said
    together = [each for each, other in group if each.work.bulk_id == work.bulk_id and other.error is outcome.error]
    if len(together) <= 1:
        return said
    change = replace(said.change, state="retry", action="halve", due_at=jobs.now(), reason=None)
    return Verdict(change, replace(said.progress, bulk_id=None, bulk_limit=-(-len(together) // 2)))


def said_once(said: Verdict, outcome: Outcome[Any], shown: dict[int, str]) -> Verdict:
    """A bulk's request and answer are kept with its first member; the others' entries name it."""
    first = shown.setdefault(id(outcome.sample), said.change.id)
    if outcome.sample is None or first == said.change.id:
        return said
    change = replace(said.change, body=None, detail=said.change.detail | {"body_with": first})
    return replace(said, change=change)
