"""What the doctor makes of what it is told; the parts themselves are in tests/pipeline/test_doctor.py."""

import json
import shutil
import threading
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from worker import runtime
from worker.cli.main import app
from worker.doctor import doorbell, machine
from worker.doctor.findings import Finding, carry_out, lasting, ok
from worker.embedded.machine import PrivateRedis
from worker.store.checkup import Vitals
from worker.store.migrate import NEWEST

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GIB = 2**30


def levels(found: Any) -> list[tuple[str, str]]:
    return [(one.check, one.level) for one in found]


# -- findings ----------------------------------------------------------------------------------------------------------


def test_a_check_that_hangs_is_a_finding_and_holds_up_no_other():
    never = threading.Event()

    def hang() -> list[Finding]:
        never.wait(60)
        return []

    found = carry_out([("one", hang), ("two", lambda: [ok("two", "it is there")])], within=1.0)
    never.set()

    assert [(one.check, one.level, one.says) for one in found] == [
        ("one", "bad", "gave no answer within 1 s"), ("two", "ok", "it is there")
    ]  # fmt: skip


def test_a_check_that_fails_is_a_finding_in_one_line():
    def fail() -> list[Finding]:
        raise ValueError("no such thing.\n[SQL: SELECT secret]")

    (found,) = carry_out([("one", fail)], within=5)

    assert (found.level, found.says) == ("bad", "could not be looked at (ValueError: no such thing)")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (10_800, "3 h"), (864_000, "10 days")]
)
def test_times_as_people_say_them(seconds, said):
    assert lasting(seconds) == said


# -- Redis -------------------------------------------------------------------------------------------------------------


class Answering:
    """A client that tells what the test wants, for versions and hosts that are not to be had."""

    def __init__(self, info: dict[str, Any] | Exception, user: str = "billhook") -> None:
        self._info, self._user = info, user

    def info(self) -> dict[str, Any]:
        if isinstance(self._info, Exception):
            raise self._info
        return self._info

    def acl_whoami(self) -> str:
        return self._user


GOOD_INFO = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "used_memory": 10, "aof_enabled": 1}


def redis_findings(url: str = "redis://127.0.0.1/0", user: str = "billhook", **info: Any) -> dict[str, Finding]:
    client: Any = Answering({**GOOD_INFO, **info}, user)
    return {one.check: one for one in doorbell.examine(client, url, private=False)}


def test_a_redis_that_is_too_old():
    assert redis_findings()["Redis version"].level == "ok"
    assert redis_findings(redis_version="6.0.16")["Redis version"].level == "bad"
    assert redis_findings(redis_version="6.2.14")["Redis version"].level == "ok"


@pytest.mark.parametrize("info", [{"aof_last_write_status": "err"}, {"rdb_last_bgsave_status": "err"}])
def test_a_redis_whose_disk_refuses(info):
    assert redis_findings(**info)["Redis on disk"].level == "bad"


@pytest.mark.parametrize(
    ("url", "user", "level"),
    [
        ("redis://127.0.0.1:6379/0", "default", "ok"),
        ("redis://localhost", "default", "ok"),
        ("unix:///run/redis.sock", "default", "ok"),
        ("redis://redis.example/0", "default", "bad"),
        ("redis://:secret@10.0.0.7/0", "default", "warning"),
        ("rediss://:secret@redis.example/0", "default", "warning"),
        ("rediss://billhook:secret@redis.example/0", "billhook", "ok"),
    ],
)
def test_who_can_reach_redis(url, user, level):
    found = redis_findings(url, user)["Redis access"]

    assert found.level == level
    assert "secret" not in found.says + found.do


def test_a_user_who_may_not_ask_for_info_is_told_so():
    client: Any = Answering(redis.exceptions.NoPermissionError("NOPERM"))

    assert levels(doorbell.examine(client, "redis://127.0.0.1", private=False))[0] == ("Redis", "warning")


def test_a_real_redis_is_understood(redis_server):
    client = doorbell.connect(redis_server.url)

    found = {one.check: one for one in doorbell.examine(client, redis_server.url, private=True)}
    there, unsure = doorbell.clock(client)

    assert doorbell.reached(client) is None
    assert {one.level for one in found.values()} == {"ok"}
    assert found["Redis version"].says.startswith("valkey ")
    assert abs(there - datetime.now(UTC)) < timedelta(seconds=60)
    assert 0 <= unsure < 60


def test_the_private_redis_is_found_by_its_configuration(tmp_path):
    server = PrivateRedis(tmp_path)
    server.child()

    assert runtime.private_redis(tmp_path) == server.url
    assert runtime.private_redis(tmp_path / "elsewhere") is None


# -- the machine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "level"), [(100 * 2**20, "bad"), (GIB // 2, "warning"), (10 * GIB, "ok"), (2 * GIB, "warning")]
)
def test_room_on_the_disk(tmp_path, monkeypatch, free, level):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(200 * GIB, 0, free))

    assert levels(machine.disk(tmp_path, [])) == [("disk", level)]


def test_a_write_ahead_log_that_has_grown(tmp_path):
    file = tmp_path / "billhook.db"
    with open(tmp_path / "billhook.db-wal", "wb") as log:
        log.truncate(machine.LARGE_WAL + 1)  # sparse: takes no room

    assert "billhook.db-wal has grown" in list(machine.disk(tmp_path, [file]))[-1].says


def test_a_package_that_billhook_does_not_run_with(monkeypatch):
    assert levels(machine.packages()) == [("versions", "ok")]
    monkeypatch.setattr(machine, "requires", lambda _: ["celery<5", "nosuch>=1", 'other; extra == "test"'])

    (found,) = machine.packages()

    assert found.level == "bad"
    assert "is not celery<5; nosuch is missing" in found.says


@pytest.mark.parametrize(
    ("server", "version", "revision", "expected"),
    [
        ("SQLite 3.45", (3, 45), NEWEST, ["ok", "ok"]),
        ("SQLite 3.31", (3, 31), NEWEST, ["bad", "ok"]),
        ("PostgreSQL 12.1", (12, 1), NEWEST, ["bad", "ok"]),
        ("PostgreSQL 18.4", (18, 4), None, ["ok", "bad"]),
        ("PostgreSQL 18.4", (18, 4), "0001", ["ok", "warning"]),
        ("PostgreSQL 18.4", (18, 4), "9999", ["ok", "bad"]),
    ],
)
def test_the_database_and_its_tables(server, version, revision, expected):
    found = machine.database(Vitals(server, version, own_clock=True, revision=revision, newest=None))

    assert [one.level for one in found] == expected


@pytest.mark.parametrize(("apart", "level"), [(0.5, "ok"), (-5, "warning"), (5, "warning"), (120, "bad")])
def test_clocks_that_differ(apart, level):
    def other() -> tuple[datetime, float]:
        return NOON + timedelta(seconds=apart), 0.1

    (found,) = machine.clocks({"Redis": other}, None, lambda: NOON)

    assert found.level == level
    assert "Redis" in found.says


def test_a_slow_answer_is_not_a_wrong_clock():
    (found,) = machine.clocks({"Redis": lambda: (NOON + timedelta(seconds=3), 1.5)}, None, lambda: NOON)

    assert found.level == "ok"


def test_a_worker_that_writes_into_the_future_is_named():
    (found,) = machine.clocks({}, (NOON + timedelta(minutes=5), "box-17-abc/task"), lambda: NOON)

    assert (found.level, found.says) == (
        "bad", "the clock of box-17-abc, which wrote to the trail, is 5 min ahead of this one"
    )  # fmt: skip


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def billhook(tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("BILLHOOK_CONFIG", "BILLHOOK_REDIS_URL", "BILLHOOK_DATABASE_URL", "BILLHOOK_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Any:
        for cached in (runtime.keeper, runtime.store, runtime.inbox):
            cached.cache_clear()
        return CliRunner().invoke(app, ["doctor", *arguments])

    yield run
    for cached in (runtime.keeper, runtime.store, runtime.inbox):
        cached.cache_clear()


def test_without_a_configuration_it_says_so(billhook):
    result = billhook()

    assert result.exit_code == 1
    assert "billhook init" in result.output


def test_before_the_first_start_it_says_what_is_missing_and_makes_nothing(billhook, tmp_path):
    (tmp_path / "billhook.toml").write_text('[billhook]\nport = 0\n[shop.a]\napi_key = "0123456789abcdef"\n')

    result = billhook("--json")
    found = {one["check"]: one for one in json.loads(result.output)}

    assert result.exit_code == 1
    assert {name for name, one in found.items() if one["level"] == "bad"} == {"Redis", "database"}
    assert found["ingest"]["level"] == "warning"
    assert [file.name for file in Path(tmp_path).iterdir()] == ["billhook.toml"]


def test_what_is_bad_stands_last_with_what_to_do(billhook, tmp_path):
    (tmp_path / "billhook.toml").write_text('[shop.a]\napi_key = "0123456789abcdef"\n')

    lines = billhook().output.splitlines()

    marks = [line.split()[0] for line in lines if line[:1].isalpha()]
    assert marks == sorted(marks, key=["ok", "warning", "bad"].index)
    assert lines[-1].startswith("3 bad, 0 warning(s), ")
    assert any("start `billhook up`, which makes it" in line for line in lines)
