"""What somebody does behind the trail's back, `verify` names; and what is allowed, it lets pass."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, text, update

from tests.unit.trail_story import add_job, behind_the_guards, move, open_store, tell
from worker.store import trail
from worker.store.schema import audit, audit_bodies, audit_leaves, jobs, seals, unsealed
from worker.store.seal import seal
from worker.store.verify import PAGE, Verdict, verify


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def told(store):
    """Twelve entries under two seals and four that wait; the second job's newest entry waits."""
    tell(store, 2)
    seal(store)
    tell(store, 1)
    seal(store)
    tell(store, 1)
    return store


@pytest.fixture
def sqlite_told(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/billhook.db")
    tell(store, 2)
    seal(store)
    tell(store, 1)
    yield store
    store.close()


def entries(store, table=audit_leaves):
    """(id, subject, seq) of the entries listed there, in the order of birth."""
    query = select(audit.c.id, audit.c.subject, audit.c.seq).join(table, table.c.entry_id == audit.c.id)
    with store.read() as connection:
        return connection.execute(query.order_by(audit.c.id)).all()


def problem(store):
    verdict = verify(store)
    assert not verdict.ok
    return verdict.first_problem


def test_an_empty_trail_is_in_order(store):
    assert verify(store) == Verdict(True, 0, 0, 0, 0, 0, None)


def test_a_trail_that_nobody_touched_is_in_order(told):
    assert verify(told) == Verdict(True, 16, 12, 4, 2, 0, None)


def test_entries_that_wait_are_verified_too(store):
    tell(store, 2)
    assert verify(store) == Verdict(True, 8, 0, 8, 0, 0, None)


def test_more_than_a_page(store):
    tell(store, PAGE // 2)
    assert seal(store) == PAGE * 2
    tell(store, PAGE // 4 + 1)
    verdict = verify(store)
    assert (verdict.ok, verdict.sealed, verdict.unsealed) == (True, PAGE * 2, PAGE + 4)


def test_erased_bodies_are_counted_and_are_no_problem(told):
    with told.write() as connection:
        connection.execute(delete(audit_bodies).where(audit_bodies.c.entry_id == entries(told)[3].id))
    assert verify(told).ok
    assert verify(told).erased == 1


OTHER = {
    "shop": "shoq",
    "order_id": "order-2",
    "seq": 77,
    "action": "steq",
    "actor": "worker-2",
    "outcome": "issuee",
    "duration_us": 1,
    "detail": "{}",
    "leaf": b"\x00" * 32,
}


@pytest.mark.parametrize("listed", [audit_leaves, unsealed], ids=["sealed", "waiting"])
@pytest.mark.parametrize("column", OTHER)
def test_a_changed_column_is_named(told, column, listed):
    entry = entries(told, listed)[2]
    with behind_the_guards(told) as connection:
        connection.execute(update(audit).where(audit.c.id == entry.id).values({column: OTHER[column]}))
    assert f"Entry {entry.id}" in problem(told)
    assert "was changed" in problem(told)


def test_a_changed_time_is_named_to_the_microsecond(told):
    entry = entries(told)[2]
    with behind_the_guards(told) as connection:
        at = connection.execute(select(audit.c.at).where(audit.c.id == entry.id)).scalar_one()
        later = at + timedelta(microseconds=1)
        connection.execute(update(audit).where(audit.c.id == entry.id).values(at=later))
    assert f"Entry {entry.id}" in problem(told)


@pytest.mark.parametrize("listed", [audit_leaves, unsealed], ids=["sealed", "waiting"])
def test_a_changed_id_is_named(told, listed):
    entry = entries(told, listed)[2]
    with behind_the_guards(told) as connection:
        connection.execute(update(audit).where(audit.c.id == entry.id).values(id="0" + entry.id[1:-1] + "x"))
    assert f"Entry {entry.id} is missing" in problem(told)


COLUMNS = [column.name for column in audit.c if column.name != "id"]


@pytest.mark.parametrize("listed", [audit_leaves, unsealed], ids=["sealed", "waiting"])
@pytest.mark.parametrize("bit", [0x01, 0x20, 0x80])
@pytest.mark.parametrize("column", COLUMNS)
def test_any_flipped_byte_in_the_file_is_named(sqlite_told, column, bit, listed, rng):
    """0x80 makes text that is no UTF-8, 0x20 exchanges capitals; a number is changed as a number."""
    entry = entries(sqlite_told, listed)[1]
    with behind_the_guards(sqlite_told) as connection:
        query = text(f"SELECT typeof({column}), CAST({column} AS BLOB) FROM audit WHERE id = :id")
        kind, stored = connection.execute(query, {"id": entry.id}).one()
        place = rng.randrange(len(stored))
        flipped = stored[:place] + bytes([stored[place] ^ bit]) + stored[place + 1 :]
        new = int(stored) ^ (bit << 8) if kind == "integer" else flipped
        value = "CAST(:new AS TEXT)" if kind == "text" else ":new"
        change = text(f"UPDATE audit SET {column} = {value} WHERE id = :id")
        connection.execute(change, {"new": new, "id": entry.id})
    assert f"Entry {entry.id}" in problem(sqlite_told)


@pytest.mark.parametrize(("written", "other"), [("T", " "), ("T", "_"), ("+00:00", "Z"), ("+00:00", "")])
def test_another_spelling_of_the_same_time_is_named(sqlite_told, written, other):
    entry = entries(sqlite_told)[1]
    with behind_the_guards(sqlite_told) as connection:
        change = text("UPDATE audit SET at = replace(at, :written, :other) WHERE id = :id")
        connection.execute(change, {"written": written, "other": other, "id": entry.id})
    assert f"Entry {entry.id}" in problem(sqlite_told)


@pytest.mark.parametrize("column", ["salt", "body"])
def test_a_changed_body_is_named(told, column):
    entry = entries(told)[5]
    new = b"x" * 16 if column == "salt" else "{}"
    with behind_the_guards(told) as connection:
        connection.execute(update(audit_bodies).where(audit_bodies.c.entry_id == entry.id).values({column: new}))
    assert f"kept with entry {entry.id}" in problem(told)


def test_a_body_of_no_entry_is_named(told):
    with told.write() as connection:
        connection.execute(insert(audit_bodies).values(entry_id="nobody", salt=b"", body="{}"))
    assert "kept for entry nobody" in problem(told)


@pytest.mark.parametrize("listed", [audit_leaves, unsealed], ids=["sealed", "waiting"])
def test_a_deleted_entry_is_named(told, listed):
    entry = entries(told, listed)[1]
    with behind_the_guards(told) as connection:
        connection.execute(delete(audit).where(audit.c.id == entry.id))
    assert f"Entry {entry.id} is missing" in problem(told)


def test_an_entry_deleted_with_all_its_traces_leaves_a_gap(told):
    entry = entries(told, unsealed)[1]
    with behind_the_guards(told) as connection:
        for table in (unsealed, audit_bodies):
            connection.execute(delete(table).where(table.c.entry_id == entry.id))
        connection.execute(delete(audit).where(audit.c.id == entry.id))
    assert problem(told) == f"{entry.subject} has entries up to number 3, but not number 1: it was deleted."


@pytest.mark.parametrize("deleted", [0, 3])
def test_the_first_and_the_newest_entry_of_a_subject_are_missed_too(told, deleted):
    entry = entries(told, unsealed)[deleted]
    with behind_the_guards(told) as connection:
        for table in (unsealed, audit_bodies):
            connection.execute(delete(table).where(table.c.entry_id == entry.id))
        connection.execute(delete(audit).where(audit.c.id == entry.id))
    assert entry.subject in problem(told)


def test_two_entries_that_changed_places_are_noticed(told):
    first, second = entries(told)[2:4]
    with behind_the_guards(told) as connection:
        for entry_id, place in ((first.id, 99), (second.id, 2), (first.id, 3)):
            change = update(audit_leaves).where(audit_leaves.c.entry_id == entry_id)
            connection.execute(change.values(leaf_index=place))
    assert "The seal of 8 entries has another root" in problem(told)
    assert "positions 0 to 7 was moved" in problem(told)


def test_an_entry_exchanged_together_with_its_hash_is_noticed(told):
    entry = entries(told)[9]
    with behind_the_guards(told) as connection:
        row = connection.execute(select(audit).where(audit.c.id == entry.id)).one()._asdict()
        row["actor"] = "nobody"
        leaf = trail.leaf_hash(trail.canonical(row))
        connection.execute(update(audit).where(audit.c.id == entry.id).values(actor="nobody", leaf=leaf))
    assert "The seal of 12 entries has another root" in problem(told)


def forged(store, **columns):
    with store.read() as connection:
        row = connection.execute(select(audit).limit(1)).one()._asdict()
    row |= {"id": "forged", "subject": "tenant:x", "seq": 0, "detail": "{}", **columns}
    return row | {"leaf": trail.leaf_hash(trail.canonical(row))}


def test_a_forged_entry_without_a_place_is_named(told):
    with told.write() as connection:
        connection.execute(insert(audit).values(forged(told)))
    assert problem(told) == "Entry forged (tenant:x, number 0) has no place in the trail: it was slipped in."


def test_a_forged_entry_in_the_place_of_another_is_noticed(told):
    entry = entries(told)[4]
    with behind_the_guards(told) as connection:
        connection.execute(insert(audit).values(forged(told)))
        connection.execute(update(audit_leaves).where(audit_leaves.c.entry_id == entry.id).values(entry_id="forged"))
    assert "The seal of 8 entries has another root" in problem(told)


def test_a_forged_entry_of_a_job_contradicts_its_state(told):
    entry = entries(told)[7]
    with told.write() as connection:
        connection.execute(insert(audit).values(forged(told, subject=entry.subject, seq=4, outcome="void")))
        connection.execute(insert(unsealed).values(entry_id="forged"))
    assert f"{entry.subject} of order order-1 is 'issued' at number 3" in problem(told)


def test_an_entry_whose_detail_is_no_object_is_named(told):
    with told.write() as connection:
        connection.execute(insert(audit).values(forged(told, detail="[]")))
        connection.execute(insert(unsealed).values(entry_id="forged"))
    assert "Entry forged (tenant:x, number 0) was not written by Billhook" in problem(told)


def test_an_entry_that_is_sealed_and_waits_is_named(told):
    entry = entries(told)[4]
    with behind_the_guards(told) as connection:
        connection.execute(insert(unsealed).values(entry_id=entry.id))
    assert f"Entry {entry.id} waits to be sealed, but is sealed" in problem(told)


def test_an_entry_that_lost_its_place_is_named(told):
    entry = entries(told)[4]
    with behind_the_guards(told) as connection:
        connection.execute(delete(audit_leaves).where(audit_leaves.c.entry_id == entry.id))
    assert f"entry {entry.id} ({entry.subject}, number {entry.seq}) lost its place" in problem(told)


def test_an_entry_that_no_longer_waits_is_named(told):
    entry = entries(told, unsealed)[2]
    with behind_the_guards(told) as connection:
        connection.execute(delete(unsealed).where(unsealed.c.entry_id == entry.id))
    assert f"Entry {entry.id}" in problem(told)


def test_places_removed_from_the_end_are_noticed(told):
    with behind_the_guards(told) as connection:
        connection.execute(delete(audit_leaves).where(audit_leaves.c.leaf_index == 11))
    assert problem(told) == "The seal of 12 entries has only 11: the positions from 11 on were removed."


def test_a_removed_seal_is_noticed(told):
    with behind_the_guards(told) as connection:
        connection.execute(delete(seals).where(seals.c.size == 8))
    assert "The seal of 12 entries does not follow the seal of 0" in problem(told)


def test_a_removed_newest_seal_is_noticed(told):
    with behind_the_guards(told) as connection:
        connection.execute(delete(seals).where(seals.c.size == 12))
    assert problem(told) == "The positions 8 to 11 of the tree have no seal: the newest seal was removed."


@pytest.mark.parametrize("values", [{"root": b"x" * 32}, {"previous": b"x" * 32}, {"edge": ""}, {"size": 7}])
def test_a_changed_seal_is_noticed(told, values):
    with behind_the_guards(told) as connection:
        connection.execute(update(seals).where(seals.c.size == 8).values(values))
    assert f"The seal of {values.get('size', 8)} entries" in problem(told)


def test_a_seal_that_cannot_be_read_is_noticed(sqlite_told):
    with behind_the_guards(sqlite_told) as connection:
        connection.execute(text("UPDATE seals SET edge = CAST(x'ff' AS TEXT)"))
    assert "seal" in problem(sqlite_told)


def test_a_state_changed_behind_the_trail_is_named(told):
    job_id = entries(told)[0].subject.removeprefix("invoice:")
    with told.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="void"))
    assert problem(told) == (
        f"invoice:{job_id} of order order-1 is 'void' at number 3, but the trail ends with number 3, 'issued': "
        "the state was changed without an entry, or entries were removed."
    )


@pytest.mark.parametrize("seq", [2, 4])
def test_a_number_that_does_not_fit_is_named(told, seq):
    job_id = entries(told)[0].subject.removeprefix("invoice:")
    with told.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(seq=seq))
    assert f"invoice:{job_id} of order order-1 is 'issued' at number {seq}" in problem(told)


def test_a_job_nobody_wrote_about_is_named(told):
    with told.write() as connection:
        old = connection.execute(select(jobs).limit(1)).one()._asdict()
        connection.execute(insert(jobs).values({**old, "id": "forged"}))
    assert "invoice:forged of order order-1 is 'issued', but the trail has no entry of it." in problem(told)


def test_a_deleted_job_is_named(told):
    job_id = entries(told)[0].subject.removeprefix("invoice:")
    with told.write() as connection:
        connection.execute(delete(jobs).where(jobs.c.id == job_id))
    assert problem(told) == f"invoice:{job_id} of order order-1 has entries, but is gone: its row was deleted."


def test_verifying_sees_one_moment_while_writers_go_on(store, monkeypatch):
    """What is written between two looks belongs to the next verification."""
    with store.write() as connection:
        job_id = add_job(connection)
    seal(store)
    from worker.store import verify as module

    check_numbers = module.check_numbers

    def with_a_writer_between(connection):
        with store.write() as other:
            move(other, "invoice", job_id, 1, "claimed")
        seal(store)
        check_numbers(connection)

    monkeypatch.setattr(module, "check_numbers", with_a_writer_between)
    assert verify(store) == Verdict(True, 1, 1, 0, 1, 0, None)
    monkeypatch.undo()
    assert verify(store) == Verdict(True, 2, 2, 0, 2, 0, None)
