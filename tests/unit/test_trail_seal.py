"""Sealing: each committed entry exactly once, whatever its id, whoever writes, whoever dies."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text

from tests.unit.trail_story import add_job, move, open_store, tell
from worker.store import seal as sealing
from worker.store.merkle import EMPTY, append_leaves, edge_from
from worker.store.schema import audit, audit_leaves, jobs, seals, unsealed
from worker.store.seal import seal
from worker.store.verify import verify


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    yield store
    store.close()


def rows(store, query):
    with store.read() as connection:
        return connection.execute(query).all()


def test_nothing_to_seal(store):
    assert seal(store) == 0
    assert rows(store, select(seals)) == []


def test_entries_are_sealed_in_the_order_of_their_ids_under_one_root(store):
    tell(store, 3)
    before = datetime.now(UTC)
    assert seal(store) == 12
    assert seal(store) == 0
    leaves = [row.leaf for row in rows(store, select(audit.c.leaf).order_by(audit.c.id))]
    places = rows(store, select(audit_leaves).order_by(audit_leaves.c.leaf_index))
    assert [place.leaf_index for place in places] == list(range(12))
    assert [place.entry_id for place in places] == sorted(place.entry_id for place in places)
    (only,) = rows(store, select(seals))
    assert (only.size, only.previous, (edge_from(only.edge), only.root)) == (12, EMPTY, append_leaves([], 0, leaves))
    assert before <= only.at <= datetime.now(UTC)
    assert rows(store, select(unsealed)) == []


def test_a_backlog_is_sealed_in_batches(store, monkeypatch):
    monkeypatch.setattr(sealing, "SQLITE_BATCH", 10)
    monkeypatch.setattr(sealing, "POSTGRES_BATCH", 10)
    tell(store, 6)
    assert seal(store) == 24
    assert [row.size for row in rows(store, select(seals.c.size).order_by(seals.c.size))] == [10, 20, 24]
    assert verify(store).ok


def test_an_entry_that_is_committed_late_is_sealed_later(postgres_url):
    """Its id is lower than those of the entries that were sealed before it."""
    store = open_store(postgres_url)
    with store.write() as late:
        add_job(late)
        tell(store, 1)
        assert seal(store) == 4
    assert seal(store) == 1
    assert verify(store).ok
    oldest = select(func.min(audit.c.id)).scalar_subquery()
    place = rows(store, select(audit_leaves.c.leaf_index).where(audit_leaves.c.entry_id == oldest))
    assert place == [(4,)]
    store.close()


def test_who_does_not_get_the_lock_seals_nothing(postgres_url):
    store = open_store(postgres_url)
    tell(store, 1)
    with store.write() as other:
        other.execute(text(f"SELECT pg_advisory_xact_lock({sealing._POSTGRES_LOCK})"))
        assert seal(store) == 0
    assert seal(store) == 4
    store.close()


def test_another_sealer_between_reading_and_writing(tmp_path, monkeypatch):
    store = open_store(f"sqlite:///{tmp_path}/billhook.db")
    tell(store, 1)
    looked = sealing._next

    def and_another_seals(connection, limit):
        batch = looked(connection, limit)
        monkeypatch.setattr(sealing, "_next", looked)
        assert seal(store) == 4
        return batch

    monkeypatch.setattr(sealing, "_next", and_another_seals)
    assert seal(store) == 0
    assert verify(store).sealed == 4
    assert verify(store).ok
    store.close()


def test_writers_do_not_wait_for_the_sealer(postgres_url):
    """While a sealer's transaction is open: an entry is written, and its job changed, without waiting."""
    store = open_store(postgres_url)
    ids = tell(store, 1)
    with store.write() as sealer:
        batch = sealing._next(sealer, 10)
        sealer.execute(audit_leaves.insert(), sealing._places(batch))
        sealing._store(sealer, batch)
        with store.write() as writer:
            writer.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
            move(writer, "invoice", ids[0], 4, "void")
    assert seal(store) == 1
    assert verify(store).ok
    store.close()


WRITERS, CHANGES = 8, 500


def test_eight_writers_a_sealer_and_a_sudden_death(store, processes, eventually):
    def writer(name, changes):
        return processes.python("-m", "tests.unit.trail_writer", store.url, str(changes), name=name)

    victim = writer("victim", CHANGES * 1000)  # it never finishes by itself
    others = [writer(f"writer-{number}", CHANGES) for number in range(1, WRITERS)]
    sealed = 0

    def seal_until(done):
        def sealed_and_done():
            nonlocal sealed
            sealed += seal(store)
            return done()

        eventually(sealed_and_done, within=120)

    seal_until(lambda: len(rows(store, select(jobs.c.id))) == WRITERS)
    assert victim.running
    victim.kill()
    seal_until(lambda: not any(one.running for one in others))
    assert [(one.exit_code, one.output) for one in others] == [(0, "")] * (WRITERS - 1)
    sealed += seal(store)
    verdict = verify(store)
    assert verdict.first_problem is None
    assert (verdict.sealed, verdict.unsealed) == (verdict.entries, 0)
    assert sealed == verdict.entries == sum(row.seq + 1 for row in rows(store, select(jobs.c.seq)))
    assert sealed > (WRITERS - 1) * CHANGES
