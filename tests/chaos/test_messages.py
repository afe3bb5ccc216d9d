"""A message of Redis may be lost, come twice, or be nonsense: rows decide, messages only hurry."""

import json
from collections.abc import Callable, Iterator
from time import perf_counter

import pytest

from connectors.sandbox.faults import Fault, Faults
from tests.kit.history import check
from tests.kit.proxy import Proxy
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
pytestmark = on_sqlite


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    """In front of Redis."""
    between = Proxy(redis_server.port)
    yield between
    between.close()


def behind(proxy: Proxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


@pytest.mark.parametrize("task", ["tasks.handle_events", "tasks.create_invoices"])
def test_a_message_that_is_taken_and_never_arrives(make_world: MakeWorld, proxy: Proxy, task: str) -> None:
    """BRPOP takes it out of its list, the connection dies before the answer is read: it is in no list, no worker."""
    world = make_world(redis_url=behind(proxy)).start()
    world.push(order_event(1))
    world.until_settled()
    proxy.drop_replies(1, holding=task.encode(), asked=b"BRPOP")
    world.push(order_event(2))
    world.until(lambda: proxy.dropped, 10)
    world.until_settled(15)
    check(world)


def test_a_message_whose_publishing_is_repeated_is_one_claim(
    make_world: MakeWorld, proxy: Proxy, redis_server: RedisServer
) -> None:
    """The answer to LPUSH is lost; the publisher does not know, publishes again, and there are two messages."""
    world = make_world(redis_url=behind(proxy))
    ids = world.accept(order_event(1))
    proxy.drop_replies(1, asked=b"LPUSH")
    world.ring("tasks.handle_events", "events", ids=ids)
    with redis_server.client() as client:
        assert client.llen("billhook:events") == 2
    world.start(workers=2)
    world.until_settled()
    assert [outcome for _, outcome in world.story(f"event:{ids[0]}")].count("claimed") == 1
    check(world)


def test_messages_that_nobody_understands(make_world: MakeWorld, redis_server: RedisServer) -> None:
    """A new task name meets an old worker, a body cannot be decoded: both are gone; the rows are done all the same."""
    world = make_world().start()
    tenant = "xero:5f1c7a52-9f0e-4b6a-8a55-0c3f5a1d2e01"
    world.ring("tasks.create_invoices_v2", "invoices.xero", tenant=tenant)
    world.ring("tasks.create_invoices", "invoices.xero", no_such_argument=1)
    with redis_server.client() as client:
        client.lpush("billhook:invoices.xero", undecodable())
    world.push(order_event(1))
    world.until_settled()
    check(world)
    world.until(lambda: "create_invoices_v2" in world.workers[0].output, 10, "it says what it does not know")
    assert world.workers[0].running


def undecodable() -> str:
    properties = {
        "correlation_id": "1", "delivery_mode": 2, "delivery_tag": "1", "body_encoding": "base64", "priority": 0,
        "delivery_info": {"exchange": "", "routing_key": "invoices.xero"},
    }  # fmt: skip
    message = {"body": "bm90IEpTT04=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {}}
    return json.dumps(message | {"properties": properties})


def test_redis_comes_up_after_the_workers(make_world: MakeWorld, private_redis: RedisServer) -> None:
    private_redis.stop()
    world = make_world(redis_url=private_redis.url)
    worker = world.start_worker(wait=False)
    world.start_recurring(wait=False)
    worker.until_prints("Trying again in 4.00 seconds")
    world.accept(order_event(1))
    private_redis.start()
    world.until_settled()
    check(world)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_connections_that_fall_silent(make_world: MakeWorld, proxy: Proxy) -> None:
    """Open, but nothing comes any more: the worker notices within a minute, a new row is claimed within 90 s."""
    world = make_world(redis_url=behind(proxy), platforms=("xero",)).start()
    world.push(order_event(1))
    world.until_settled()
    proxy.drop_replies(1, holding=b"tasks.handle_events", asked=b"BRPOP", silently=True)
    world.push(order_event(2))
    world.until(lambda: proxy.dropped, 10)
    world.until_settled(90)
    check(world)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_redis_falls_silent_for_everybody(make_world: MakeWorld, proxy: Proxy) -> None:
    world = make_world(redis_url=behind(proxy), platforms=("xero",)).start()
    world.push(order_event(1))
    world.until_settled()
    proxy.blackhole()
    began = perf_counter()
    world.accept(order_event(2))
    world.until(lambda: perf_counter() - began > 20, 25)
    proxy.heal()
    world.until_settled(90)
    check(world)


def test_a_platform_that_hardly_answers_holds_up_only_itself(make_world: MakeWorld) -> None:
    """60 s an answer on one platform: the orders' invoices on the other are made as fast as ever."""
    world = make_world(clocks=Clocks(deadline=90.0, lease_margin=10.0)).start()
    world.push(order_event(0))
    world.until_settled()
    began = perf_counter()
    world.push(*(order_event(n) for n in range(1, 21)))
    world.until_settled()
    usual = perf_counter() - began
    world.sandbox.faults("xero", Faults(latency=60.0))
    began = perf_counter()
    for number in range(21, 41):
        world.push(order_event(number))
    world.until(lambda: issued_on(world, "stripe") == ["issued"] * 41, 55)
    slow = perf_counter() - began
    assert world.sandbox.report("xero")["most_in_flight"] > 0
    assert len(world.sandbox.ledger("xero")) == 21
    assert slow < usual * 2 + 20, f"{slow:.1f} s, {usual:.1f} s without the slow one"  # an answer would take 60 s
    world.workers[0].kill()
    world.platforms = ("stripe",)  # what the other one still does is no part of this
    check(world)


def issued_on(world: World, account: str) -> list[str]:
    return [row[0] for row in world.rows("SELECT state FROM jobs WHERE kind = 'invoice' AND account = ?", account)]


def test_a_row_that_kills_its_workers_is_held(make_world: MakeWorld) -> None:
    """After as many attempts as are allowed a person looks at it; the next worker lives."""
    world = make_world(platforms=("xero",), clocks=Clocks(attempts=2, deadline=1.0, lease_margin=4.0)).start()
    world.push(order_event(0))
    world.until_settled()
    world.workers[0].kill()
    dying = [world.start_worker({"BILLHOOK_CRASH": "sending_create:kill"}, wait=False) for _ in range(3)]
    world.push(order_event(1, customer=0))
    world.until(lambda: world.states()["held"], 60)
    [(_, _, _, reason, attempts)] = world.invoice("SO-1")
    assert (reason, attempts) == ("2 workers died or vanished while working on it", 2)
    assert sum(one.running for one in dying) == 1
    check(world, otherwise={"SO-1": "held"})


def test_told_to_end_during_a_call_it_waits_for_the_answer(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",), clocks=Clocks(deadline=10.0)).start()
    world.push(order_event(1))
    world.until_settled()
    world.sandbox.faults("xero", Faults(rates={Fault.SLOW: 1.0}, slow_seconds=3.0))
    world.push(order_event(2, customer=1))
    world.until(lambda: world.states()["sending"], 10)
    world.workers[0].terminate()
    assert world.workers[0].wait(30) == 0
    assert world.states() == {"issued": 2}
    check(world)
