"""What a call takes lately: from the trail's newest entries, however long the trail is."""

from dataclasses import replace

import pytest

from tests.unit import trail_story
from tests.unit.trail_story import add_job, entry, open_store
from worker.store import figures
from worker.store.trail import append


@pytest.fixture
def store(store_url, monkeypatch):
    untimed = lambda *told, **more: replace(entry(*told, **more), duration_us=None)  # noqa: E731
    monkeypatch.setattr(trail_story, "entry", untimed)  # what a job begins with is no call
    store = open_store(store_url)
    yield store
    store.close()


def write(store, tenant, took, count=1):
    """A job of the tenant's and so many entries of it, which took so many seconds (None: no calls)."""
    with store.write() as connection:
        job = add_job(connection, tenant=tenant)
        entries = [entry("invoice", job, seq, "sending", "order-1") for seq in range(1, count + 1)]
        timed = None if took is None else int(took * 1_000_000)
        append(connection, [replace(one, duration_us=timed) for one in entries])


def test_what_calls_took_is_told_by_tenant(store):
    write(store, "xero:a", 0.2, count=3)
    write(store, "stripe:b", 0.5)
    assert figures.seconds_a_call(store) == pytest.approx({"xero:a": 0.2, "stripe:b": 0.5})


def test_only_the_newest_entries_are_looked_at(store, monkeypatch):
    monkeypatch.setattr(figures, "LOOKED_AT", 10)
    write(store, "xero:a", 0.2)
    write(store, "stripe:b", None, count=8)  # and the one that its job begins with
    assert figures.seconds_a_call(store) == pytest.approx({"xero:a": 0.2})
    write(store, "stripe:b", None)
    assert figures.seconds_a_call(store) == {}
