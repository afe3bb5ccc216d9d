"""What Celery on Redis needs to be set to, and what happens at the edges of those settings."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from connectors.platforms.base import platforms
from connectors.sandbox.faults import Fault, Faults
from tests.kit.history import check
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, Scene, order_event
from tests.kit.world import World
from worker import runtime
from worker.app import _settings

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

WANTED: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "task_retry_on_worker_lost": False,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_publish_retry": False,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_track_started": False,
    "task_default_rate_limit": None,
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_create_missing_queues": False,
    "task_default_queue": "billhook",
    "task_queue_max_priority": None,
    "task_remote_tracebacks": False,
    "task_always_eager": False,
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": False,
    "worker_eta_task_limit": 100,
    "worker_pool": "threads",
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_enable_prefetch_count_reduction": True,
    "worker_deduplicate_successful_tasks": False,
    "task_send_sent_event": False,
    "broker_connection_timeout": 4,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_pool_limit": 10,
    "result_backend": "worker.results:TrailBackend",
}
TRANSPORT = {
    "visibility_timeout": 900,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "global_keyprefix": "billhook:",
}


@pytest.fixture
def conf(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The settings as every process of ours computes them from a configuration."""
    from celery import Celery

    scene = Scene(tmp_path, f"sqlite:///{tmp_path}/billhook.db", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("BILLHOOK_CONFIG", str(scene.config_file))
    for cache in (runtime.keeper, runtime.redis_url):
        cache.cache_clear()
    app = Celery("settings", set_as_current=False)
    app.add_defaults(_settings)
    yield app.conf
    scene.close()
    for cache in (runtime.keeper, runtime.redis_url):
        cache.cache_clear()


@pytest.mark.parametrize("name", WANTED)
def test_setting(conf: Any, name: str) -> None:
    assert conf[name] == WANTED[name]


@pytest.mark.parametrize("name", TRANSPORT)
def test_option_of_the_transport(conf: Any, name: str) -> None:
    assert conf.broker_transport_options[name] == TRANSPORT[name]


def test_a_publish_is_not_repeated_by_the_driver(conf: Any) -> None:
    assert "retry_on_timeout" not in conf.broker_transport_options
    assert conf.broker_transport_options["max_connections"] >= conf.worker_concurrency + 10


def test_there_is_a_queue_for_each_platform(conf: Any) -> None:
    names = {queue.name for queue in conf.task_queues}
    own = {"billhook", "events", "notify", "sources", "recurring"}
    assert names == own | {f"invoices.{slug}" for slug in platforms()}
    assert "invoices.xero" in names


@on_sqlite
def test_a_task_longer_than_the_visibility_timeout_creates_once(make_world: MakeWorld) -> None:
    """Its message is handed out again to the other worker, which finds no row to claim."""
    world = make_world(platforms=("xero",), clocks=Clocks(deadline=10.0))
    short = {"visibility_timeout": 1, "unacked_restore_interval": 1}
    env = {"BILLHOOK_TEST_TRANSPORT": json.dumps(short)}
    for _ in range(2):
        world.start_worker(env, module="tests.kit.tampered")
    world.start_recurring(env)
    world.push(order_event(1))
    world.until_settled()
    world.sandbox.faults("xero", Faults(rates={Fault.SLOW: 1.0}, slow_seconds=6.0))
    world.push(order_event(2, customer=1))
    world.until(lambda: redelivered(world), 20, "a message was handed out twice")
    world.until_settled()
    check(world)
    puts = [call for call in world.sandbox.calls("xero") if call["method"] == "PUT" and "Invoices" in call["target"]]
    assert len(puts) == 2


def redelivered(world: World) -> bool:
    """Whether one task id was received more than once."""
    ids = [one for worker in world.workers for one in re.findall(r"create_invoices\[(.+?)\] received", worker.output)]
    return len(ids) > len(set(ids))


def test_two_schedulers_do_no_harm(make_world: MakeWorld, redis_server: RedisServer) -> None:
    """Twice the ticks: what dispatch rings is claimed once, what seal seals is sealed once; one of them is killed."""
    world = make_world(clocks=Clocks(seal_every=0.2, dispatch_every=0.2)).start()
    second = world.start_recurring()
    for number in range(20):
        world.push(order_event(number, customer=number % 5), ring=False)
    world.until(lambda: world.states()["issued"], 30)
    second.kill()
    world.until_settled()
    check(world)
    assert world.rows("SELECT count(*) FROM seals")[0][0] > 2
