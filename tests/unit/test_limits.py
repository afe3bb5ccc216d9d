"""Permits of an account: taken by the batch, waited for in order, given back before the process may end."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis

from connectors.errors import Throttled
from connectors.platforms.base import platform
from connectors.platforms.facts import Facts, Quota
from tests.kit.redis_server import RedisServer
from worker import limits, runtime
from worker.config import Config

Eventually = Callable[..., Any]


@pytest.fixture
def tenant(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    client = redis.Redis.from_url(redis_server.url)
    monkeypatch.setattr(runtime, "redis_client", lambda: client)
    monkeypatch.setattr(runtime, "config", Config)
    yield f"toy:{uuid4()}"
    client.close()


def facts(concurrent: int = 10, *quotas: Quota) -> Facts:
    known = platform("stripe").facts
    return Facts(
        slug="toy", title="Toy", docs="", base_url="", auth="", reference=known.reference, key_field="",
        concurrent=concurrent, quotas=quotas,
    )  # fmt: skip


def free(tenant: str, of: Facts) -> int:
    """How many calls could begin now."""
    permits = limits.take(tenant, of, 1000)
    granted = permits.granted
    permits.give_back()
    return granted


def test_what_was_used_and_what_was_not_is_returned_at_the_end_of_a_claim(tenant: str) -> None:
    of = facts(10)
    permits = limits.take(tenant, of, 4)
    for _ in range(3):
        with permits.call():
            pass
    permits.give_back()
    assert free(tenant, of) == 10


def test_two_platforms_of_one_company_draw_on_the_same_quotas(tenant: str) -> None:
    company = tenant.partition(":")[2]
    ways = [(f"{slug}:{company}", platform(slug).facts) for slug in ("quickbooks", "intuit")]
    taken = [limits.take(one, of, 4).granted for one, of in ways for _ in range(2)]
    assert taken == [4, 4, 2, 0], "ten calls a second, whichever of the two makes them"
    assert limits.take(f"intuit:{uuid4()}", ways[1][1], 4).granted == 4, "another company has its own"


def test_two_platforms_of_one_company_stay_away_together_but_each_has_a_breaker_of_its_own(tenant: str) -> None:
    """A 429 counts the company's calls; a breaker may have opened because one account's tokens were refused."""
    company = tenant.partition(":")[2]
    ways = {f"{slug}:{company}": platform(slug).facts for slug in ("quickbooks", "intuit")}
    for _ in range(limits.BREAKS_AFTER):
        limits.failed(f"quickbooks:{company}")
    assert [limits.take(one, of, 1).granted for one, of in ways.items()] == [0, 1]
    assert [state.broken for state in limits.state(ways).values()] == [True, False]
    limits.pause(f"quickbooks:{company}", platform("quickbooks").facts, 60)
    assert limits.take(f"intuit:{company}", platform("intuit").facts, 1).wait > 50
    standing = limits.state(ways)
    assert [state.paused > 50 for state in standing.values()] == [True, True]
    assert not standing[f"intuit:{company}"].broken
    assert limits.take(f"intuit:{uuid4()}", platform("intuit").facts, 1).granted == 1, "another company goes on"


def test_a_quota_says_how_many_calls_it_leaves(tenant: str) -> None:
    of = facts(5, Quota(20, timedelta(minutes=1)))
    assert [(p.granted, p.room) for p in (limits.take(tenant, of, 3), limits.take(tenant, of, 9))] == [(3, 17), (2, 15)]


def test_calls_wait_for_the_permits_of_others_and_get_them(tenant: str) -> None:
    of, most, inside, lock = facts(3), [0], [0], threading.Lock()
    permits = limits.take(tenant, of, 3)

    def call(_: int) -> None:
        with permits.call():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with lock:
                inside[0] -= 1

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(call, range(200)))
    permits.give_back()
    assert most[0] <= 3
    assert free(tenant, of) == 3


def test_whoever_waits_longer_than_the_patience_is_turned_away_and_leaves_no_trace(
    tenant: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    of = facts(1)
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    held = limits.take(tenant, of, 1)
    with pytest.raises(Throttled), limits.take(tenant, of, 1).call():
        pytest.fail("there was no permit")
    held.give_back()
    eventually(lambda: not limits.line(tenant, of).waiting)
    eventually(lambda: free(tenant, of) == 1)


def test_nothing_new_begins_while_calls_that_have_begun_wait(tenant: str, eventually: Eventually) -> None:
    of = facts(1)
    held = limits.take(tenant, of, 1)
    waiting = threading.Thread(target=lambda: limits.line(tenant, of).put_back(limits.line(tenant, of).next()))
    waiting.start()
    eventually(lambda: limits.line(tenant, of).waiting)
    held.give_back()
    waiting.join(5)
    assert not limits.line(tenant, of).waiting
