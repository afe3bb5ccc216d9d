"""`billhook status` while `billhook up` runs with a Redis of its own: by when all is posted, with what is used up."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.trail_story import add_job, open_store
from worker import limits, runtime
from worker.cli.main import app
from worker.embedded.machine import PrivateRedis
from worker.embedded.supervisor import Supervisor
from worker.store.jobs import now

CONFIG = """
[billhook]
data_dir = "{folder}"
[shop.engraver]
api_key = "0123456789abcdef"
[shop.engraver.account.books]
platform = "xero"
client_id = "c"
client_secret = "s"
settings = {{ tenant = "t-1", sales_account = "200", tax = {{ "20" = "OUTPUT2" }} }}
"""
SOON, LATER = timedelta(seconds=20), timedelta(seconds=90)
CACHED = (runtime.keeper, runtime.store, runtime.inbox, runtime.redis_url, runtime.redis_client)


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """What the command says, of a folder in which three invoices wait."""
    for name in ("BILLHOOK_REDIS_URL", "BILLHOOK_DATABASE_URL", "BILLHOOK_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "billhook.toml"
    file.write_text(CONFIG.format(folder=tmp_path / "data"))
    monkeypatch.setenv("BILLHOOK_CONFIG", str(file))
    for held in CACHED:
        held.cache_clear()
    (tmp_path / "data").mkdir()
    store = open_store(runtime.config().store_url)
    (ref,) = runtime.config().accounts()
    with store.write() as connection:
        for _ in range(3):
            add_job(connection, tenant=ref.tenant, due_at=now())
    store.close()

    def said(*options: str) -> str:
        done = CliRunner().invoke(app, ["status", *options])
        assert done.exit_code == 0, done.output
        return done.output

    yield said
    for held in CACHED:
        held.cache_clear()


@pytest.fixture(params=["valkey", "fakeredis"])
def private(
    status: Callable[..., str], request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Supervisor]:
    """What `billhook up` starts first."""
    monkeypatch.setenv("BILLHOOK_REDIS_BACKEND", request.param)
    server = PrivateRedis(tmp_path / "data")
    supervisor = Supervisor(tmp_path / "data", {"BILLHOOK_REDIS_URL": server.url}, print)
    supervisor.start([server.child()])
    yield supervisor
    supervisor.stop()


def use_up_the_minute() -> None:
    (ref,) = runtime.config().accounts()
    while (permits := limits.take(ref.tenant, ref.facts, 5)).granted:
        for _ in range(permits.granted):
            with permits.call():
                pass
        permits.give_back()


def lasts(said: str) -> timedelta:
    """From now until all is posted, of what `--json` printed."""
    (found,) = json.loads(said)["forecasts"]
    assert (found["account"], found["invoices"], found["calls"]) == ("engraver/books", 3, 1)
    return datetime.fromisoformat(found["by"]) - datetime.now(UTC)


def test_what_is_used_of_the_quota_is_known_from_the_private_redis(
    status: Callable[..., str], private: Supervisor
) -> None:
    assert lasts(status("--json")) < SOON
    use_up_the_minute()
    assert SOON < lasts(status("--json")) < LATER
    assert re.search(
        r"^engraver/books: 3 invoices wait, all posted by \d\d \w{3} \d\d:\d\d UTC at the account's quota \(1 calls\)$",
        status(), re.MULTILINE,
    )  # fmt: skip
    private.stop()
    assert lasts(status("--json")) < SOON, "what cannot be asked is taken as unused"


def test_where_up_never_ran_nothing_is_used(status: Callable[..., str]) -> None:
    assert lasts(status("--json")) < SOON
