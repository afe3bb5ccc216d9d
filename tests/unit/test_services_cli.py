"""The service commands: what they refuse, in words, and what `billhook healthy` says."""

import os
import time

import pytest
from typer.testing import CliRunner

from tests.kit.processes import free_port
from worker import alive, runtime
from worker.cli.main import app
from worker.config import load
from worker.embedded import commands

SHARED = '[billhook]\nredis_url = "redis://:x@10.1.2.3/0"\ndatabase_url = "postgresql+psycopg://db.example/billhook"\n'
LOCAL = '[billhook]\nredis_url = "redis://127.0.0.1:1/0"\n'

REFUSED = [
    (["worker"], "[billhook]\n", "billhook.redis_url: is missing"),
    (["worker"], '[billhook]\nredis_url = "redis://redis/0"\n', "billhook.database_url: must be PostgreSQL"),
    (["recurring"], '[billhook]\nredis_url = "redis://redis/0"\n', "billhook.database_url: must be PostgreSQL"),
    (["check"], '[billhook]\nredis_url = "redis://redis/0"\n', "billhook.database_url: must be PostgreSQL"),
    (["worker"], SHARED, "share the key that encrypts tokens: set BILLHOOK_KEY"),
    (["worker"], LOCAL, "share the key that encrypts tokens: set BILLHOOK_KEY"),
    (["worker", "--queues", "invoices.zero,events"], LOCAL, "There is no queue invoices.zero; there are events, invo"),
    (["worker", "--except", "notifies"], LOCAL, "There is no queue notifies"),
    (["worker", "--queues", "events", "--except", "notify"], LOCAL, '--except goes with --queues "all"'),
    (["worker", "--name", "../x"], LOCAL, "'../x' cannot be a service's name"),
    (["flower"], LOCAL, "Flower does not start without a password: set password under [billhook.flower]"),
    (["beat"], "", "billhook.redis_url: is missing"),
]


@pytest.fixture
def billhook(tmp_path, monkeypatch):
    """Runs a command in a folder of its own, with that configuration."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BILLHOOK_") and "TEST" not in name]:
        monkeypatch.delenv(name)

    def run(arguments: list[str], text: str = ""):
        (tmp_path / "billhook.toml").write_text(text)
        runtime.keeper.cache_clear()
        return CliRunner().invoke(app, arguments)

    yield run
    runtime.keeper.cache_clear()
    os.environ.pop("BILLHOOK_THREADS", None)


@pytest.mark.parametrize(("arguments", "text", "said"), REFUSED)
def test_what_cannot_be_a_service_is_refused_in_words(billhook, arguments, text, said):
    result = billhook(arguments, text)

    assert result.exit_code in (1, 2)
    assert said in result.output


def test_a_service_is_well_while_it_touches_its_file(billhook, tmp_path, monkeypatch):
    monkeypatch.setenv("BILLHOOK_DATA_DIR", str(tmp_path))
    file = alive.file_of(tmp_path, "worker-2")
    monkeypatch.setenv(alive.VARIABLE, str(file))

    assert f"{file} is not there" in billhook(["healthy", "worker-2"]).output
    alive.touch()
    assert billhook(["healthy", "worker-2"]).exit_code == 0
    then = time.time() - alive.FRESH - 5
    os.utime(file, (then, then))
    assert "worker-2 is not well: it last reached Redis 6" in billhook(["healthy", "worker-2"]).output


def test_a_process_keeps_the_variables_that_the_configuration_names_and_no_others_of_flower(tmp_path):
    file = tmp_path / "billhook.toml"
    file.write_text('[billhook.flower]\npassword = "env:FLOWER_PASSWORD"\n')
    environ = {"FLOWER_PASSWORD": "p", "FLOWER_UNAUTHENTICATED_API": "true", "CELERY_BROKER_URL": "x", "HOME": "/h"}

    kept = commands.environment(environ, load(file, environ), file, tmp_path, "redis://127.0.0.1")

    assert {name: kept[name] for name in environ if name in kept} == {"FLOWER_PASSWORD": "p", "HOME": "/h"}


def test_nothing_is_touched_where_no_service_command_asked_for_it(monkeypatch):
    monkeypatch.delenv(alive.VARIABLE, raising=False)
    alive.touch()


@pytest.mark.parametrize("name", ["ingest", "flower"])
def test_an_address_that_does_not_answer_is_not_well(billhook, name):
    result = billhook(["healthy", name, "--port", str(free_port())])

    assert result.exit_code == 1
    assert f"{name} is not well: http://127.0.0.1:" in result.output
