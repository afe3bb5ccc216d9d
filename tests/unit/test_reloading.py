"""A changed configuration file: what is taken over, when, and what stays."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker import accounts, metrics, runtime, sources
from worker.config import Config, ConfigError
from worker.doctor.configuration import standing
from worker.leases import LeaseWatch
from worker.reloading import AHEAD, EVERY, Keeper

SHOP = '[shop.{name}]\napi_key = "0123456789abcdef-{name}"\n'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock:
    """Wall clock and our own at once; the file's times are real, so this one begins at them."""

    def __init__(self, file: Path) -> None:
        self.now = file.stat().st_ctime

    def __call__(self) -> float:
        return self.now


class Watched:
    """A keeper over a file of a test, and its clock."""

    def __init__(self, file: Path) -> None:
        self.file, self.told = file, list[Config]()
        self.write(SHOP.format(name="one"))
        self.clock = Clock(file)
        self.keeper = Keeper(file, self.clock, self.clock)
        self.keeper.taken = self.told.append

    def write(self, text: str) -> None:
        """As editors and tools that are careful do: another file takes its place."""
        other = self.file.with_suffix(".new")
        other.write_text(text)
        other.replace(self.file)

    def later(self, seconds: float = EVERY) -> list[str]:
        """Looks after so many seconds; the shops that are in force then."""
        self.clock.now += seconds
        self.keeper.look()
        return self.shops()

    def shops(self) -> list[str]:
        return list(self.keeper.in_force().config.shop)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "billhook.toml")


def test_a_new_version_is_in_force_some_seconds_after_the_change_and_not_before(watched: Watched) -> None:
    watched.write(SHOP.format(name="two"))
    watched.clock.now = watched.file.stat().st_ctime
    assert watched.later() == ["one"]
    assert [list(config.shop) for config in watched.told] == [["two"]], "it is loaded, and its secrets are known"
    assert watched.later(AHEAD - EVERY - 0.1) == ["one"]
    watched.clock.now += 0.2
    assert watched.shops() == ["two"], "it needs no look for that"
    assert not watched.keeper.refused


def test_processes_that_look_at_different_times_change_at_the_same(watched: Watched) -> None:
    other = Keeper(watched.file, watched.clock, watched.clock)
    watched.write(SHOP.format(name="two"))
    watched.clock.now = changed = watched.file.stat().st_ctime
    watched.later(EVERY)
    watched.clock.now += 1.7
    other.look()
    watched.clock.now = changed + AHEAD - 0.01
    assert (watched.shops(), list(other.in_force().config.shop)) == (["one"], ["one"])
    watched.clock.now = changed + AHEAD + 0.01
    assert (watched.shops(), list(other.in_force().config.shop)) == (["two"], ["two"])


def test_versions_that_follow_each_other_quickly_come_in_turn(watched: Watched) -> None:
    seen = []
    for name in ("two", "three", "four"):
        watched.write(SHOP.format(name=name))
        watched.clock.now = max(watched.clock.now, watched.file.stat().st_ctime)
        seen += watched.later()
    for _ in range(4):
        seen += watched.later()
    assert seen[0] == "one"
    assert seen[-1] == "four"


def test_a_file_that_is_being_written_is_read_when_it_has_rested(watched: Watched) -> None:
    watched.file.write_text("")
    watched.later()
    watched.file.write_text(SHOP.format(name="one") + SHOP.format(name="two"))
    watched.later()
    for _ in range(5):
        shops = watched.later()
        assert shops, "half a file never counts"
    assert shops == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("[shop.one\n", "billhook.toml", "is not valid TOML"),
        ('[shop.one]\napi_key = "env:BILLHOOK_TEST_NOT_SET"\n', "shop.one.api_key", "BILLHOOK_TEST_NOT_SET is not set"),
        ('[shop.one]\napi_key = "short"\ntypo = 1\n', "shop.one.typo", "is not a setting that exists"),
        (SHOP.format(name="one") + 'webhook_secret = "whsec_!"\n', "shop.one.webhook_secret", ""),
        (SHOP.format(name="one") + '[shop.one.source.w]\nkind = "standard"\nsecret = "whsec_!"\n', "source.w", ""),
        (None, "billhook.toml", "there is no such file"),
    ],
)
def test_a_broken_file_changes_nothing_and_is_told_once(
    watched: Watched, caplog: pytest.LogCaptureFixture, text: str | None, place: str, what: str
) -> None:
    if text is None:
        watched.file.unlink()
    else:
        watched.write(text)
    for _ in range(6):
        assert watched.later() == ["one"]
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "the one before it stays in force" in told[0].getMessage()
    for part in (place, what):
        assert part in told[0].getMessage()
        assert part in str(watched.keeper.standing()["refused"])
    watched.write(SHOP.format(name="two"))
    watched.later()
    assert watched.keeper.refused == []
    assert watched.later(AHEAD + 1) == ["two"]


def test_every_problem_of_a_broken_file_is_told(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    watched.write('[billhook]\nthread = 1\n[shop.one]\napi_key = "0123456789abcdef"\ntypo = 1\n')
    watched.later()
    assert "billhook.thread: " in caplog.text
    assert "shop.one.typo: " in caplog.text


def test_what_cannot_be_expected_is_no_reason_to_end(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Config:
        raise RuntimeError("a defect")

    monkeypatch.setattr("worker.reloading.parse", broken)
    watched.write(SHOP.format(name="two"))
    assert watched.later() == ["one"]
    assert watched.keeper.refused == [(str(watched.file), "cannot be loaded (RuntimeError)")]


def test_the_first_file_must_be_right(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Keeper(tmp_path / "billhook.toml")


def test_a_clock_that_is_set_back_delays_nothing_for_long(watched: Watched) -> None:
    ticks = Clock(watched.file)
    keeper = Keeper(watched.file, watched.clock, ticks)
    watched.write(SHOP.format(name="two"))
    ticks.now += EVERY
    keeper.look()
    watched.clock.now -= 3600
    ticks.now += AHEAD
    assert list(keeper.in_force().config.shop) == ["two"]


STARTED = '[billhook]\nport = 8080\nthreads = 4\n[billhook.metrics]\ntoken = "0123456789abcdef"\nworker_port = 9000\n'
CHANGED = """
[billhook]
port = 9090
threads = 8
database_url = "sqlite:////elsewhere/billhook.db"
redis_url = "redis://127.0.0.1:1/0"
data_dir = "/elsewhere"
host = "0.0.0.0"
workers = 3
key_file = "other.key"
[billhook.flower]
password = "secret"
[billhook.logs]
level = "debug"
[billhook.metrics]
token = "fedcba9876543210"
worker_port = 9100
[billhook.timing]
deadline = 7
lease_margin = 5
attempts = 3
"""


def test_what_a_process_is_bound_to_stays_and_the_log_says_what_needs_a_restart(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.write(STARTED + SHOP.format(name="one"))
    watched.clock.now += 10
    keeper = Keeper(watched.file, watched.clock, watched.clock)
    before = keeper.in_force().config.billhook
    watched.write(CHANGED + SHOP.format(name="two"))
    for _ in range(6):
        watched.clock.now += EVERY
        keeper.look()
    now = keeper.in_force().config
    assert list(now.shop) == ["two"]
    assert (now.billhook.timing.deadline, now.billhook.timing.attempts) == (7, 3)
    assert now.billhook.metrics.token is not None
    assert now.billhook.metrics.token.get_secret_value() == "fedcba9876543210"
    same = {"metrics": before.metrics, "timing": before.timing}
    assert now.billhook.model_copy(update=same) == before
    assert now.billhook.metrics.worker_port == 9000
    assert now.billhook.timing.lease_margin == 30
    bound = [
        "data_dir", "database_url", "flower.password", "host", "key_file", "logs.level", "metrics.worker_port", "port",
        "redis_url", "threads", "timing.lease_margin", "workers",
    ]  # fmt: skip
    assert keeper.restart == bound
    told = [record for record in caplog.records if "need a restart" in record.getMessage()]
    assert len(told) == 1
    assert told[0].getMessage().endswith(", ".join(bound))


def test_secrets_are_read_from_the_environment_of_the_process_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BILLHOOK_TEST_KEY", "of the process itself")
    watched.write('[shop.two]\napi_key = "env:BILLHOOK_TEST_KEY"\n')
    watched.later()
    watched.later(AHEAD)
    assert watched.keeper.in_force().config.shop["two"].api_key.get_secret_value() == "of the process itself"


# -- a process's own ---------------------------------------------------------------------------------------------------


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """This process under a file of the test; to be called with a new one, which is in force at once."""
    file = tmp_path / "billhook.toml"
    file.write_text(ACCOUNT.format(name="one"))
    monkeypatch.setenv("BILLHOOK_CONFIG", str(file))
    runtime.keeper.cache_clear()
    moved = [0.0]
    keeper = Keeper(file, ticks=lambda: moved[0])
    monkeypatch.setattr(runtime, "keeper", lambda: keeper)

    def write(text: str) -> None:
        other = tmp_path / "other.toml"
        other.write_text(text)
        os.replace(other, file)
        moved[0] += EVERY
        keeper.look()
        moved[0] += AHEAD

    return write


ACCOUNT = (
    SHOP + '[shop.{name}.source.web]\nkind = "standard"\nsecret = "' + SECRET + '"\n[shop.{name}.account.books]\n'
    'platform = "stripe"\napi_key = "sk_test_{name}"\nsettings.tax_rates = {{}}\n'
)


def test_a_turn_ends_under_the_configuration_with_which_it_began(change: Callable[[str], None]) -> None:
    with runtime.turn():
        before = runtime.config()
        platform = accounts.platform_of("one", "books")
        change(ACCOUNT.format(name="two"))
        assert runtime.config() is before
        assert accounts.platform_of("one", "books") is platform
        with runtime.turn():
            assert list(runtime.config().shop) == ["one"], "a turn within a turn is the same turn"
    assert list(runtime.config().shop) == ["two"]


def test_what_is_made_of_the_configuration_goes_with_it(change: Callable[[str], None]) -> None:
    platform, source = accounts.platform_of("one", "books"), sources.source_of("one", "web")
    assert accounts.platform_of("one", "books") is platform
    change(ACCOUNT.format(name="one").replace("sk_test_one", "sk_test_other"))
    assert accounts.platform_of("one", "books") is not platform
    assert sources.source_of("one", "web") is not source
    change(ACCOUNT.format(name="two"))
    assert list(accounts.accounts()) == [("two", "books")]
    with pytest.raises(LookupError, match="no source one/web any more"):
        sources.source_of("one", "web")


def test_the_page_for_prometheus_says_that_the_file_is_refused(change: Callable[[str], None]) -> None:
    assert b"billhook_configuration_refused 0.0" in metrics.Page().text()
    change("[shop")
    assert b"billhook_configuration_refused 1.0" in metrics.Page().text()


# -- who tells of it, and who outlasts it ------------------------------------------------------------------------------


def test_the_doctor_tells_who_works_under_what() -> None:
    def one(digest: str, **more: list[object]) -> dict[str, object]:
        return {"digest": digest, "refused": [], "restart": [], **more}

    said = {
        "a": one("now"),
        "b": one("old", refused=[["shop.one.api_key", "is missing"]]),
        "c": one("now", restart=["port", "threads"]),
        "d": one("old"),
        "gone": one("old"),
    }
    found = list(standing(said, ["a", "b", "c", "d", "silent"], "now"))
    assert [finding.level for finding in found] == ["bad", "warning", "warning", "ok"]
    assert "b cannot use the file as it is now, the one before it stays in force: shop.one.api_key: is missing" in {
        finding.says for finding in found
    }
    assert "port, threads" in found[1].says
    assert "d works under another version of the file (old; here it is now)" in found[2].says
    assert found[3].says.startswith("1 worker(s)")


def test_a_lease_of_an_earlier_configuration_lasts_as_long_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("worker.leases.time", SimpleNamespace(monotonic=lambda: now[0]))
    watch, leased = LeaseWatch(), {"job": ("w", 1, datetime(2026, 11, 23, tzinfo=UTC))}
    assert not watch.over(leased, timedelta(seconds=60))
    now[0] = 59.0
    assert not watch.over(leased, timedelta(seconds=10)), "a turn may still go on under the longer one"
    now[0] = 60.0
    assert watch.over(leased, timedelta(seconds=10)) == leased
