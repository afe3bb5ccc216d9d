"""The command line: what it says, to whom, and with which exit code."""

import json
import os
import stat
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.kit.processes import ROOT
from worker import runtime
from worker.cli.main import app

HEAVY = ("celery", "sqlalchemy", "pydantic", "requests", "redis", "fakeredis", "alembic", "tasks")
GOOD = '[billhook.flower]\npassword = "p"\n[shop.a]\napi_key = "0123456789abcdef"\n'


@pytest.fixture
def billhook(tmp_path, monkeypatch):
    """Runs a command in a folder of its own, without a configuration unless the test writes one."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BILLHOOK_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    cached = (runtime.keeper, runtime.store, runtime.inbox)

    def run(*arguments: str):
        for held in cached:
            held.cache_clear()
        return CliRunner().invoke(app, arguments)

    yield run
    for held in cached:
        held.cache_clear()
    os.environ.pop("BILLHOOK_CONFIG", None)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom worker.cli.main import main\n"
        "sys.argv = ['billhook', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('imported:', sorted(set({HEAVY}) & set(sys.modules)))"
    )

    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)

    assert "demo" in run.stdout
    assert "imported: []" in run.stdout


def test_without_arguments_it_shows_what_it_can_do(billhook):
    result = billhook()

    assert all(command in result.output for command in ("up", "check", "init", "status", "audit", "retry", "sandbox"))


def test_check_says_every_problem_and_fails(billhook, tmp_path):
    (tmp_path / "billhook.toml").write_text('[billhook]\nport = -1\n[shop.a]\ncolour = 1\napi_key = "x"\n')

    result = billhook("check")

    assert result.exit_code == 1
    assert "billhook.port: input should be greater than or equal to 0\n" in result.output
    assert "shop.a.colour: is not a setting that exists; check its spelling\n" in result.output


@pytest.mark.parametrize("command", ["check", "status", "ingest", "up", "doctor"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[billhook]\n[billhook]\n", "is not valid TOML: Cannot declare ('billhook',) twice (at line 2, column 10)"),
        ("billhook = 3\n", "must be a table ([…] in the file), not a single value"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_every_command(billhook, tmp_path, text, said, command):
    (tmp_path / "billhook.toml").write_text(text)

    result = billhook(command)

    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split())


def test_check_counts_what_is_set_up(billhook, tmp_path):
    account = 'platform = "stripe"\napi_key = "k"\nsettings = { tax_rates = { "20" = "txr_1" } }\n'
    (tmp_path / "other.toml").write_text(
        f'{GOOD}[shop.a.account.x]\n{account}[shop.a.source.web]\nkind = "shopify"\nsecret = "s"\n'
        '[shop.a.notify.email]\nfrom = "a@example.com"\nsmtp = "smtp://localhost"\n'
    )

    result = billhook("--config", "other.toml", "check")

    assert (result.output, result.exit_code) == ("ok: 1 shop, 1 account, 1 source\n", 0)


WARNINGS = [
    ("", "shop: there is none"),
    (GOOD, "shop.a.account: there is none, so every order will be held"),
    (GOOD, "shop.a.notify: is not set, so customers are not told"),
    (GOOD.replace('password = "p"', ""), "billhook.flower.password: is not set, so Flower does not start"),
    ('[billhook]\nhost = "0.0.0.0"\n', "billhook.host: is reachable from other machines without TLS"),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_check_warns_of_what_is_hardly_meant(billhook, tmp_path, text, warning):
    (tmp_path / "billhook.toml").write_text(text)

    result = billhook("check")

    assert f"warning: {warning}" in result.output
    assert result.exit_code == 0


def test_what_init_writes_passes_the_check_once_its_variables_are_set(billhook, tmp_path, monkeypatch):
    written = billhook("init", "--shop", "engraver")
    before = billhook("check")
    for name in ("SHOPIFY_SECRET", "XERO_CLIENT_ID", "XERO_CLIENT_SECRET", "XERO_TENANT", "SMTP_URL"):
        assert name in written.output
        monkeypatch.setenv(name, "smtp://localhost" if name == "SMTP_URL" else "something")
    after = billhook("check")

    assert before.exit_code == 1
    assert "shop.engraver.account.books.client_id: the environment variable XERO_CLIENT_ID is not set" in before.output
    assert (after.output, after.exit_code) == ("ok: 1 shop, 1 account, 1 source\n", 0)
    assert stat.S_IMODE((tmp_path / "billhook.toml").stat().st_mode) == 0o600


def test_init_gives_everybody_other_keys_and_overwrites_nothing(billhook, tmp_path):
    billhook("--config", "one.toml", "init")
    billhook("--config", "two.toml", "init")
    again = billhook("--config", "one.toml", "init")

    one, two = ((tmp_path / name).read_text() for name in ("one.toml", "two.toml"))
    keys = [
        {line for line in text.splitlines() if line.startswith(("api_key", "webhook", "pass"))} for text in (one, two)
    ]
    assert len(keys[0]) == 3
    assert not keys[0] & keys[1]
    assert again.exit_code == 1
    assert "stays as it is" in again.output


def test_init_refuses_a_name_that_no_shop_can_have(billhook, tmp_path):
    result = billhook("init", "--shop", "My Shop")

    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [("up",), ("status",), ("retry", "SO-1"), ("audit", "verify")])
def test_a_wrong_configuration_is_a_sentence_and_no_traceback(billhook, command):
    result = billhook(*command)

    assert result.exit_code == 2
    assert result.output == "billhook.toml: there is no such file; `billhook init` writes one to start from\n"


@pytest.mark.parametrize("command", [("status",), ("retry", "SO-1"), ("audit", "verify"), ("audit", "show", "SO-1")])
def test_asking_for_a_store_makes_none(billhook, tmp_path, command):
    (tmp_path / "billhook.toml").write_text(GOOD)

    result = billhook(*command)

    assert result.exit_code == 1
    assert "There is no store in" in result.output
    assert not (tmp_path / "billhook-data").exists()


def test_platforms_says_what_each_can_do(billhook):
    table, rows = billhook("platforms").output, json.loads(billhook("platforms", "--json").output)

    by_name = {row["platform"]: row for row in rows}
    assert {"xero", "stripe"} <= set(by_name)
    assert by_name["xero"]["key_lives"] == "6 minutes"
    assert "void" in by_name["stripe"]["can"]
    assert "metadata[billhook_order]" in table
    assert all(name in table for name in by_name)


@pytest.mark.parametrize("command", [("retry",), ("dismiss", "--why", "by hand")])
@pytest.mark.parametrize("arguments", [(), ("SO-1", "--held")])
def test_who_decides_about_held_work_names_orders_or_says_held(billhook, tmp_path, command, arguments):
    (tmp_path / "billhook.toml").write_text(GOOD)

    result = billhook(*command, *arguments)

    assert result.exit_code == 2
    assert "Name the orders, or give --held" in result.output


@pytest.mark.parametrize("arguments", [("--why", " "), ("--why", "x" * 4_001), ("--why", "x", "--who", "y" * 201)])
def test_dismiss_wants_a_reason_that_can_be_kept(billhook, tmp_path, arguments):
    (tmp_path / "billhook.toml").write_text(GOOD)
    (tmp_path / "billhook-data").mkdir()

    result = billhook("dismiss", "SO-1", *arguments)

    assert result.exit_code == 2
    assert "--why" in result.output


@pytest.mark.parametrize("faults", ["nonsense=0.1", "answer_lost", "answer_lost=2", "slow=0.6,late=0.6", "slow=-1"])
def test_the_sandbox_refuses_faults_it_does_not_know(billhook, faults):
    result = billhook("sandbox", "--faults", faults)

    assert result.exit_code == 2
    assert "--faults" in result.output
