"""The group commit and the doorbell: batches, bounds, and who is not disturbed by whom."""

import asyncio
import threading

import pytest

from worker.ingest.doorbell import Doorbell
from worker.ingest.group_commit import GroupCommit, Overloaded
from worker.store.engine import Store
from worker.store.inbox import Arrival, Inbox, RowRefused, StoreUnavailable, Verdict
from worker.store.migrate import prepare


class Watched(Inbox):
    """The real inbox; remembers the batches, and waits for `gate` before each commit."""

    def __init__(self, store):
        super().__init__(store)
        self.batches = []
        self.begun = 0
        self.gate = threading.Event()
        self.gate.set()

    def accept(self, arrivals):
        self.begun += 1
        self.gate.wait(20)
        self.batches.append(len(arrivals))
        return super().accept(arrivals)


@pytest.fixture
def inbox(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'inbox.db'}", busy_seconds=0.1)
    prepare(Store(f"sqlite:///{tmp_path / 'main.db'}"), store)
    yield Watched(store)
    store.close()


def arrival(event_id, body=b"{}", shop="engraver"):
    return Arrival(shop, "api", event_id, kind="standard", topic="", label="", body=body)


def run(inbox, test, **bounds):
    """Runs `test(commit, rung)` on a loop; `rung` collects what was rung for."""

    async def main():
        rung = []
        commit = GroupCommit(inbox, rung.extend, **bounds)
        try:
            await asyncio.wait_for(test(commit, rung), 20)
        finally:
            await commit.close(5)

    asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.005)


def test_one_alone_goes_at_once_and_those_that_come_meanwhile_go_together(inbox):
    async def test(commit, rung):
        inbox.gate.clear()
        first = asyncio.ensure_future(commit.accept([arrival("first")]))
        await until(lambda: inbox.begun == 1)
        rest = [asyncio.ensure_future(commit.accept([arrival(f"evt-{number}")])) for number in range(60)]
        await until(lambda: commit.waiting == 60)
        inbox.gate.set()
        assert await first == [Verdict.ACCEPTED]
        assert await asyncio.gather(*rest) == [[Verdict.ACCEPTED]] * 60
        assert inbox.batches == [1, 50, 10]
        assert len(rung) == 61

    run(inbox, test, rows_at_once=50)


def test_one_bad_event_spoils_only_itself(inbox):
    async def test(commit, rung):
        good, bad, late = await asyncio.gather(
            commit.accept([arrival("good")]), commit.accept([arrival("\ud800")]), commit.accept([arrival("late")])
        )
        assert good == late == [Verdict.ACCEPTED]
        assert isinstance(bad[0], RowRefused)
        assert len(rung) == 2

    run(inbox, test)


def test_a_client_that_gave_up_disturbs_nobody_and_costs_no_commit(inbox):
    async def test(commit, _rung):
        inbox.gate.clear()
        first = asyncio.ensure_future(commit.accept([arrival("first")]))
        await until(lambda: inbox.begun == 1)
        gone = asyncio.ensure_future(commit.accept([arrival("gone")]))
        stays = asyncio.ensure_future(commit.accept([arrival("stays")]))
        await until(lambda: commit.waiting == 2)
        gone.cancel()
        first.cancel()
        inbox.gate.set()
        assert await stays == [Verdict.ACCEPTED]
        assert inbox.batches == [1, 1]
        assert await commit.accept([arrival("first")]) == [Verdict.DUPLICATE], "its commit was under way"

    run(inbox, test)


@pytest.mark.parametrize("bounds", [{"most_rows": 3}, {"most_bytes": 8}])
def test_more_than_the_bounds_is_refused_at_once(inbox, bounds):
    async def test(commit, _rung):
        inbox.gate.clear()
        first = asyncio.ensure_future(commit.accept([arrival("first")]))
        await until(lambda: inbox.begun == 1)
        waiting = asyncio.ensure_future(commit.accept([arrival("a", b"{  }"), arrival("b")]))
        await until(lambda: commit.waiting == 2)
        with pytest.raises(Overloaded):
            await commit.accept([arrival("c", b"[[1]]"), arrival("d")])
        inbox.gate.set()
        assert await first == [Verdict.ACCEPTED]
        assert await waiting == [Verdict.ACCEPTED] * 2
        assert await commit.accept([arrival("c")]) == [Verdict.ACCEPTED]

    run(inbox, test, **bounds)


def test_a_store_that_hangs_is_unavailable_after_the_patience(inbox):
    async def test(commit, rung):
        inbox.gate.clear()
        with pytest.raises(StoreUnavailable):
            await commit.accept([arrival("evt-1")])
        inbox.gate.set()
        await until(lambda: rung)
        assert await commit.accept([arrival("evt-1")]) == [Verdict.DUPLICATE], "the late commit counts"

    run(inbox, test, patience=0.2)


def test_a_locked_store_fails_those_who_wait_and_serves_those_who_come_after(inbox):
    async def test(commit, _rung):
        other = Store(inbox._store.url)
        with other.write():
            asked = [commit.accept([arrival(f"evt-{number}")]) for number in range(9)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in answers} == {StoreUnavailable}
        assert await commit.accept([arrival("evt-1")]) == [Verdict.ACCEPTED]

    run(inbox, test, rows_at_once=2)


def test_the_doorbell_rings_for_all_in_a_few_rings(eventually):
    rings, hold = [], threading.Event()

    def ring(ids):
        hold.wait(10)
        rings.append(list(ids))
        return True

    doorbell = Doorbell(ring, at_once=100, pause=0.001)
    for number in range(250):
        doorbell.add([str(number)])
    hold.set()
    eventually(lambda: doorbell.rung == 250)
    doorbell.close(5)
    assert [one for ids in rings for one in ids] == [str(number) for number in range(250)]
    assert len(rings) <= 5


def test_a_doorbell_that_hangs_blocks_nobody_and_drops_the_oldest():
    hold, began = threading.Event(), threading.Event()

    def ring(_ids):
        began.set()
        return hold.wait(10)

    doorbell = Doorbell(ring, at_once=1, most=10)
    doorbell.add(["first"])
    began.wait(10)
    doorbell.add([str(number) for number in range(25)])
    assert doorbell.dropped == 15
    doorbell.close(0.01)
    hold.set()


def test_a_shop_that_floods_delays_another_by_one_batch(inbox):
    """The other's request is in the next batch, whatever the flood's length, and the flood itself goes on in order."""

    async def test(commit, rung):
        inbox.gate.clear()
        first = asyncio.ensure_future(commit.accept([arrival("first")]))
        await until(lambda: inbox.begun == 1)
        flood = [asyncio.ensure_future(commit.accept([arrival(f"evt-{number}")])) for number in range(90)]
        other = asyncio.ensure_future(commit.accept([arrival("theirs", shop="other")]))
        await until(lambda: commit.waiting == 91)
        inbox.gate.set()
        assert await other == [Verdict.ACCEPTED]
        assert inbox.batches[:2] == [1, 30]
        await asyncio.gather(first, *flood)
        assert inbox.batches == [1, 30, 30, 30, 1]

    run(inbox, test, rows_at_once=30)


def test_a_shop_that_floods_shuts_no_other_out(inbox):
    async def test(commit, _rung):
        inbox.gate.clear()
        first = asyncio.ensure_future(commit.accept([arrival("first")]))
        await until(lambda: inbox.begun == 1)
        flood = [asyncio.ensure_future(commit.accept([arrival(f"evt-{number}")])) for number in range(10)]
        await until(lambda: commit.waiting == 10)
        with pytest.raises(Overloaded):
            await commit.accept([arrival("too-much")])
        theirs = [asyncio.ensure_future(commit.accept([arrival(f"t{n}", shop="other")])) for n in range(5)]
        await until(lambda: commit.waiting == 15)
        with pytest.raises(Overloaded):
            await commit.accept([arrival("t6", shop="other")])
        inbox.gate.set()
        assert await asyncio.gather(first, *flood, *theirs) == [[Verdict.ACCEPTED]] * 16

    run(inbox, test, most_rows=10)
