"""Permits: several windows and the concurrency in one step, on a real Redis and on the one in pure Python."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors.errors import Throttled
from connectors.platforms.base import platform
from connectors.platforms.facts import Facts, Quota
from worker import limits, runtime
from worker.store.ids import new_id

Eventually = Callable[..., Any]


@pytest.fixture
def timing() -> SimpleNamespace:
    """Seconds; a dead worker's permits are kept for deadline + 2 × margin: long, but where that is waited for."""
    return SimpleNamespace(deadline=20.0, lease_margin=10.0)


@pytest.fixture(params=["real", "fake"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, timing: SimpleNamespace) -> Any:
    found: Any = fakeredis.FakeRedis()
    if request.param == "real":
        found = redis.Redis.from_url(request.getfixturevalue("redis_server").url)
    monkeypatch.setattr(runtime, "redis_client", lambda: found)
    monkeypatch.setattr(runtime, "config", lambda: SimpleNamespace(billhook=SimpleNamespace(timing=timing)))
    yield found
    found.close()


def facts(*quotas: tuple[int, float], concurrent: int = 100) -> Facts:
    windows = tuple(Quota(calls, timedelta(seconds=per)) for calls, per in quotas)
    return replace(platform("stripe").facts, quotas=windows, concurrent=concurrent)


@pytest.fixture
def tenant() -> str:
    return f"stripe:{new_id()}"  # lines of a process are kept by tenant


def call(permits: limits.Permits) -> None:
    with permits.call():
        pass


def test_no_more_than_the_quota_at_once(client: Any, tenant: str) -> None:
    assert limits.take(tenant, facts((5, 60.0)), 3).granted == 3
    assert limits.take(tenant, facts((5, 60.0)), 3).granted == 2
    assert limits.take(tenant, facts((5, 60.0)), 1).granted == 0


def test_the_narrowest_window_decides(client: Any, tenant: str) -> None:
    quotas = facts((4, 0.3), (6, 60.0))
    assert limits.take(tenant, quotas, 10).granted == 4
    assert limits.take(tenant, quotas, 10).granted == 0


def test_the_wide_window_remembers_what_the_narrow_one_forgot(client: Any, tenant: str, eventually: Eventually) -> None:
    quotas = facts((4, 0.2), (6, 60.0))
    permits = limits.take(tenant, quotas, 4)
    for _ in range(4):
        call(permits)
    permits.give_back()
    more = eventually(lambda: taken if (taken := limits.take(tenant, quotas, 10)).granted else None, 5)
    assert more.granted == 2


def test_as_many_in_flight_as_the_platform_allows(client: Any, tenant: str, eventually: Eventually) -> None:
    quotas = facts(concurrent=2)
    permits = limits.take(tenant, quotas, 5)
    assert permits.granted == 2
    assert limits.take(tenant, quotas, 5).granted == 0
    call(permits)
    permits.give_back()
    assert eventually(lambda: limits.take(tenant, quotas, 5).granted, 3) == 2


def test_what_was_not_used_is_free_at_once(client: Any, tenant: str) -> None:
    quotas = facts((5, 60.0))
    limits.take(tenant, quotas, 5).give_back()
    assert limits.take(tenant, quotas, 5).granted == 5


def test_what_was_used_is_free_a_window_after_its_answer(client: Any, tenant: str, eventually: Eventually) -> None:
    quotas = facts((1, 0.5))
    permits = limits.take(tenant, quotas, 1)
    call(permits)
    answered = perf_counter()
    permits.give_back()
    eventually(lambda: limits.take(tenant, quotas, 1).granted, 3, every=0.01)
    assert perf_counter() - answered >= 0.45


def test_a_dead_workers_permits_come_back(
    client: Any, tenant: str, timing: SimpleNamespace, eventually: Eventually
) -> None:
    timing.deadline, timing.lease_margin = 0.4, 0.3
    quotas = facts((3, 0.2), concurrent=3)
    limits.take(tenant, quotas, 3)  # and nobody ever gives them back
    taken = perf_counter()
    assert limits.take(tenant, quotas, 1).granted == 0
    eventually(lambda: limits.take(tenant, quotas, 3).granted == 3, 5, every=0.02)
    assert perf_counter() - taken >= 1.0


def test_a_pause_holds_for_everybody_and_never_shrinks(client: Any, tenant: str, eventually: Eventually) -> None:
    limits.pause(tenant, facts(), 60)
    limits.pause(tenant, facts(), 0.1)
    nothing = limits.take(tenant, facts(), 1)
    assert nothing.granted == 0
    assert 30 < nothing.wait <= 60
    assert limits.take(f"{tenant}-other", facts(), 1).granted == 1
    limits.pause(f"{tenant}-soon", facts(), 0.3)
    assert eventually(lambda: limits.take(f"{tenant}-soon", facts(), 1).granted, 30) == 1


def test_five_failures_in_a_row_open_the_breaker(client: Any, tenant: str) -> None:
    for _ in range(4):
        limits.failed(tenant)
    limits.worked(tenant)
    for _ in range(4):
        limits.failed(tenant)
    assert limits.take(tenant, facts(), 1).granted == 1
    limits.failed(tenant)
    assert limits.take(tenant, facts(), 1).wait > 4


def test_a_call_beyond_its_permits_waits_its_turn_or_is_throttled(
    client: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    permits = limits.take(tenant, facts((1, 60.0)), 1)
    call(permits)
    with pytest.raises(Throttled) as caught:
        call(permits)
    assert caught.value.retry_after
    assert caught.value.status is None


def test_without_redis_there_is_no_permit(tenant: str, monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    nobody = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(runtime, "redis_client", lambda: nobody)
    assert limits.take(tenant, facts(), 1).granted == 0
    limits.pause(tenant, facts(), 1)
    limits.failed(tenant)
    limits.worked(tenant)


def test_no_window_ever_sees_a_call_too_many(
    client: Any, tenant: str, timing: SimpleNamespace, rng: random.Random, eventually: Eventually
) -> None:
    """Workers take, call, give back or die at random; a call arrives somewhere between its leaving and its answer."""
    timing.deadline, timing.lease_margin = 1.5, 0.75  # the dead come back, the living never take as long
    windows = [(6, 0.25), (10, 0.7)]
    quotas = facts(*windows, concurrent=4)
    over, arrivals, spans = Event(), list[float](), list[tuple[float, float]]()

    def work(chance: random.Random) -> None:
        while not over.is_set():
            permits = limits.take(tenant, quotas, chance.randint(1, 4))
            for _ in range(chance.randint(0, permits.granted)):
                began = perf_counter()
                with permits.call():
                    over.wait(chance.random() * 0.05)
                    arrivals.append(perf_counter())
                    over.wait(chance.random() * 0.05)
                spans.append((began, perf_counter()))
            if chance.random() < 0.9:
                permits.give_back()
            over.wait(chance.random() * 0.02)

    workers = [Thread(target=work, args=(random.Random(rng.random()),)) for _ in range(6)]
    for worker in workers:
        worker.start()
    Event().wait(4)
    eventually(lambda: len(arrivals) > 12, 30)
    over.set()
    for worker in workers:
        worker.join(20)
    for calls, per in windows:
        for begin in arrivals:
            assert sum(begin <= other < begin + per for other in arrivals) <= calls
    for begin, _ in spans:
        assert sum(first <= begin < last for first, last in spans) <= 4


def test_calls_of_one_kind_have_a_quota_beside_the_one_of_all(
    client: Any, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    of_all = facts((6, 60.0))
    both = replace(of_all, quotas=(*of_all.quotas, Quota(2, timedelta(seconds=60), of="batch")))
    permits = limits.take(tenant, both, 10)
    assert permits.granted == 6, "what counts batches only does not narrow the rest"
    for kind in ("batch", "", "batch"):
        with permits.call(kind):
            pass
    with pytest.raises(Throttled) as refused, permits.call("batch"):
        pass
    assert refused.value.retry_after is not None
    assert refused.value.retry_after > 50
    with permits.call():
        pass
