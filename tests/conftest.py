"""Fixtures and options every suite shares. All of it holds under xdist: each test has its own data and ports."""

import importlib.util
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit import processes as kit_processes
from tests.kit.postgres import PrivatePostgres, SharedPostgres, create_database, drop_database
from tests.kit.processes import Processes
from tests.kit.redis_server import RedisServer
from tests.kit.smtp import SmtpCatcher

SEED = "BILLHOOK_TEST_SEED"  # give it again to repeat a run
SESSION = "BILLHOOK_TEST_SESSION"  # the folder that the processes of one run share
SDKS = (
    "easypost", "freshbooks", "hubspot", "invoiced", "localstripe", "netsuite", "odoorpc", "paypalserversdk",
    "quickbooks", "simple_salesforce", "square", "stripe", "xero_python",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow (as -m slow does)")
    parser.addoption("--proof", action="store_true", help="a vendor's SDK that is missing fails the proof tests")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two a core: much of a test's time is waiting, for deadlines to pass and processes to start."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault(SEED, str(random.SystemRandom().randrange(10**9)))
    if SESSION not in os.environ:
        os.environ[SESSION] = config.stash[_OWN_FOLDER] = tempfile.mkdtemp(prefix="billhook-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Only in the process that made the folder: the xdist controller, or pytest itself without xdist."""
    folder = config.stash.get(_OWN_FOLDER, "")
    if folder:
        SharedPostgres(Path(folder)).close()
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ[SESSION]


_OWN_FOLDER = pytest.StashKey[str]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wants_slow = config.getoption("--slow") or "slow" in config.getoption("-m")
    wants_proof = config.getoption("--proof")
    left_out = [
        item
        for item in items
        if (item.get_closest_marker("slow") and not wants_slow) or (_missing_sdks(item) and not wants_proof)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _missing_sdks(item: pytest.Item) -> list[str]:
    """What a proof test needs and is not here: the modules its marker names, all of [proof] if it names none."""
    marker = item.get_closest_marker("proof")
    wanted = (marker.args or SDKS) if marker else ()
    return [name for name in wanted if importlib.util.find_spec(name) is None]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if missing := _missing_sdks(item):
        pytest.fail(f"not installed: {', '.join(missing)} (pip install '.[proof]')", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.append(("random seed", f"{SEED}={os.environ[SEED]}"))
    return report


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance that can be repeated: from the run's seed and the test's name, whatever ran before."""
    return random.Random(f"{os.environ[SEED]}:{request.node.nodeid}")


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(condition, within=10, every=0.05, saying="")`: the only way of waiting in a test."""
    return kit_processes.eventually


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes; whatever the test leaves is killed."""
    started = Processes(tmp_path)
    yield started
    started.close()


@pytest.fixture(scope="session")
def _redis_of_worker() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="redis-", dir=os.environ[SESSION]))
    server = RedisServer(folder).start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(_redis_of_worker: RedisServer) -> RedisServer:
    """A real Redis, empty, with no one connected. Not to be stopped or frozen: see `private_redis`."""
    _redis_of_worker.clean()
    return _redis_of_worker


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis of this test alone (append-only file on), to be killed, frozen and restarted."""
    server = RedisServer(tmp_path / "redis", aof=True).start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_server_url() -> str:
    """Of the PostgreSQL server that the whole run shares; started when first asked for."""
    return SharedPostgres(Path(os.environ[SESSION])).url()


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """An empty database of this test alone, as `postgresql+psycopg://…`."""
    url = create_database(postgres_server_url)
    yield url
    drop_database(url)


@pytest.fixture
def private_postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL server of this test alone, to be stopped, killed and frozen."""
    server = PrivatePostgres().start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of this test alone, on SQLite and then on PostgreSQL, as a SQLAlchemy URL."""
    return fresh_store(request, tmp_path)


def fresh_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `store_url` is, for suites that have it with other marks."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'billhook.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def smtp_catcher() -> Iterator[SmtpCatcher]:
    """A real SMTP server that keeps the mails, refuses and hangs up on demand."""
    catcher = SmtpCatcher()
    yield catcher
    catcher.close()
