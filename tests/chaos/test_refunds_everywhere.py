"""Refunds on every platform, in one process: ended at every point, and answered badly; still given back once."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.platforms.base import platforms
from connectors.sandbox.faults import Fault, Faults
from tests.chaos.test_every_platform import (
    SLOWNESS,
    MakeScene,
    end_at,
    forget_quota,
    make_scene,
    pass_quiet_period,
)
from tests.kit.inprocess import InProcess
from tests.kit.scene import order_event
from worker import accounts, testpoints
from worker.store.verify import verify

__all__ = ["make_scene"]
GIVING_BACK = [slug for slug, kind in sorted(platforms().items()) if kind.Credits or "void" in kind.facts.can]
QUICK = {"xero", "stripe", "square"}
"""Told with every run: bulk and one by one, and one that voids; the others with the slow tests."""
pytestmark = [
    pytest.mark.parametrize("store_url", ["sqlite"], indirect=True),
    pytest.mark.parametrize(
        "slug", [slug if slug in QUICK else pytest.param(slug, marks=pytest.mark.slow) for slug in GIVING_BACK]
    ),
]
FAULTS = [Fault.ANSWER_LOST, Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.TRUNCATED, Fault.LATE, Fault.THROTTLE]


def by_notes() -> bool:
    """Whether the account has credit notes; else its invoices are voided."""
    (ref,) = accounts.accounts().values()
    return "credit" in ref.facts.can


def refund(number: int) -> dict[str, Any]:
    """A part where there are credit notes; all of it where the invoice is voided instead."""
    total = "12.00" if by_notes() else "111.54"
    return {
        "id": f"evt-refund-{number}", "type": "refund.created", "occurred_at": "2026-11-24T10:00:00Z",
        "order_id": f"id-{number}", "refund": {"ref": f"R{number}", "total": total},
    }  # fmt: skip


def invoiced(scene: InProcess, number: int) -> None:
    scene.handle(order_event(number))
    scene.settle()


def not_given_back_once(scene: InProcess, slug: str, refunds: int) -> Iterator[str]:
    """What does not add up: of the store, of the books."""
    state = "issued" if by_notes() else "done"
    rows = scene.rows(
        "SELECT i.reference, j.state, j.reason, d.remote_id FROM invoices i JOIN jobs j ON j.id = i.id"
        " JOIN documents d ON d.id = i.id WHERE i.kind = 'credit'"
    )
    yield from (f"{row[0]} is {row[1]} ({row[2]})" for row in rows if row[1] != state)
    if len(rows) != refunds:
        yield f"{refunds} refunds, {len(rows)} credit notes in the store"
    notes = scene.sandbox.credits(slug)
    ledger = scene.sandbox.ledger(slug)
    if state == "done":
        void = [entry for entry in ledger if entry.status == "void"]
        if len(void) != refunds or notes:
            yield f"{refunds} refunds, {len(void)} void invoices and {len(notes)} credit notes on {slug}"
        return
    wanted = sorted((row[0], row[3]) for row in rows)
    if sorted((entry.reference, entry.id) for entry in notes) != wanted:
        yield f"the books have {notes}, the store {wanted}"
    yield from (f"{entry.reference} is {entry.total}" for entry in notes if Decimal(entry.total) != 12)
    if any(entry.status not in ("issued", "paid") for entry in (*ledger, *notes)):
        yield f"not everything is issued: {ledger} {notes}"


def check_given_back(scene: InProcess, slug: str, refunds: int) -> None:
    problems = list(not_given_back_once(scene, slug, refunds))
    assert not problems, "\n".join(problems)
    assert verify(scene.store).ok


def test_ended_anywhere_a_refund_is_given_back_once(
    make_scene: MakeScene, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(slug)
    invoiced(scene, 0)
    passed: list[str] = []
    monkeypatch.setattr(testpoints, "point", passed.append)
    scene.handle(refund(0))
    scene.settle()
    monkeypatch.setattr(testpoints, "point", lambda name: None)
    check_given_back(scene, slug, 1)
    points = [name for name in dict.fromkeys(passed) if "refresh" not in name]
    assert {"events_claimed", "claimed", "sending", "before_commit", "after_commit"} <= set(points)
    for number, place in enumerate(points, 1):
        invoiced(scene, number)
        end_at(scene, monkeypatch, place, refund(number))
    check_given_back(scene, slug, len(points) + 1)


def test_whatever_is_answered_a_refund_is_given_back_once(make_scene: MakeScene, slug: str) -> None:
    scene = make_scene(slug)
    for number, fault in enumerate(FAULTS):
        invoiced(scene, number)
        scene.sandbox.faults(slug, Faults(rates={fault: 1.0}, **SLOWNESS))
        scene.handle(refund(number))
        scene.turn()
        scene.until_struck(slug, fault)
        scene.sandbox.heal(slug)
        pass_quiet_period(scene)
        forget_quota()
        scene.settle()
    check_given_back(scene, slug, len(FAULTS))
