"""`billhook.toml` is read strictly, and what is wrong is said in words, all of it at once, with its place."""

from pathlib import Path

import pytest

from worker.config import ConfigError, load

SHOP = '[shop.a]\napi_key = "0123456789abcdef"\n'
STRIPE = '[shop.a.account.b]\nplatform = "stripe"\napi_key = "k"\nsettings = { tax_rates = { "20" = "txr_1" } }\n'

BROKEN = [  # the file, the place that is named, and a part of what is said of it
    ("[shop", "{file}", "is not valid TOML"),
    ('[shop.a]\napi_key = "env:NOT_THERE"\n', "shop.a.api_key", "the environment variable NOT_THERE is not set"),
    ('[billhook]\ncolour = "red"\n', "billhook.colour", "is not a setting that exists; check its spelling"),
    ('[shops.a]\napi_key = "x"\n', "shops", "is not a setting that exists"),
    ("[shop.a]\n", "shop.a.api_key", "is missing"),
    ('[shop.a]\napi_key = "short"\n', "shop.a.api_key", "is shorter than 16 characters; `billhook init` writes"),
    (SHOP + '[shop.b]\napi_key = "0123456789abcdef"\n', "shop.b.api_key", "is the same as that of shop 'a'"),
    (SHOP + '[shop.a.source.web]\nkind = "shopfy"\nsecret = "s"\n', "shop.a.source.web.kind", "shopify"),
    (SHOP + '[shop.a.source.web]\nkind = "shopify"\n', "shop.a.source.web.secret", "deliveries cannot be verified"),
    (SHOP + '[shop.a.account.b]\nplatform = "xerro"\n', "shop.a.account.b.platform", "did you mean 'xero'?"),
    (SHOP + '[shop.a.account.b]\nplatform = "xero"\n', "shop.a.account.b.settings.sales_account", "is missing"),
    (SHOP + '[shop.a.account.b]\nplatform = "xero"\n', "shop.a.account.b.client_secret", "is missing"),
    (SHOP + STRIPE + "quiet_seconds = 1\n", "shop.a.account.b.quiet_seconds", "a sandbox on this machine"),
    (SHOP + '[[shop.a.route]]\nto = ["c"]\n', "shop.a.route", "sends to account 'c', which does not exist"),
    (SHOP + 'timezone = "Mars"\n', "shop.a.timezone", "is not a time zone of the IANA database"),
    (SHOP + 'trigger = ["order.paid"]\n', "shop.a.trigger.0", "'order.fulfilled', 'order.completed', 'job.completed'"),
    ('[shop."My Shop"]\napi_key = "0123456789abcdef"\n', "shop.My Shop", ""),
    ("[billhook]\nport = 99999\n", "billhook.port", "less than or equal to 65535"),
    ('[billhook.metrics]\ntoken = "short"\n', "billhook.metrics.token", "is shorter than 16 characters"),
    (SHOP + '[billhook.metrics]\ntoken = "0123456789abcdef"\n', "billhook.metrics.token", "is a shop's API key"),
    ('[billhook.metrics]\nworker_host = "0.0.0.0"\nworker_port = 9464\n', "billhook.metrics.token", "is missing"),
    ('[billhook.logs]\nformat = "xml"\n', "billhook.logs.format", "'auto', 'json' or 'text'"),
    ('[billhook]\nworkers = "many"\n', "billhook.workers", "valid integer"),
    (SHOP + '[shop.a.notify.email]\nfrom = "x@example.com"\n', "shop.a.notify.email.smtp", "is missing"),
]


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "billhook.toml"


def read(file: Path, text: str, **environ: str):
    file.write_text(text)
    return load(file, environ)


@pytest.mark.parametrize(("text", "place", "said"), BROKEN)
def test_what_is_wrong_is_said_with_its_place(file, text, place, said):
    with pytest.raises(ConfigError) as caught:
        read(file, text)

    problems = dict(caught.value.problems)
    assert said in problems[place.format(file=file)]


def test_a_file_that_is_not_there_leads_to_init(file):
    with pytest.raises(ConfigError, match="`billhook init` writes one"):
        load(file, {})


def test_all_problems_come_at_once(file):
    with pytest.raises(ConfigError) as caught:
        read(file, '[billhook]\ncolour = 1\nport = -1\n[shop.a]\n[shop.b]\ntimezone = "Mars"\n')

    assert {place for place, _ in caught.value.problems} == {
        "billhook.colour", "billhook.port", "shop.a.api_key", "shop.b.api_key", "shop.b.timezone",
    }  # fmt: skip


def test_no_secret_is_shown_by_a_problem_or_by_the_configuration(file):
    with pytest.raises(ConfigError) as caught:
        read(file, '[shop.a]\napi_key = "env:KEY"\nwebhook_secret = 5\n', KEY="sesame-sesame-sesame")
    config = read(file, '[shop.a]\napi_key = "env:KEY"\n' + STRIPE, KEY="sesame-sesame-sesame")

    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(config)


def test_the_environment_wins_over_the_file(file):
    text = '[billhook]\ndatabase_url = "sqlite:///old.db"\ndata_dir = "old"\nredis_url = "redis://old"\n'
    new = {"DATABASE_URL": "sqlite:///new.db", "REDIS_URL": "redis://[::1]:1", "DATA_DIR": "/new", "THREADS": "7"}
    config = read(file, text, **{f"BILLHOOK_{name}": value for name, value in new.items()})

    assert config.billhook.database_url == "sqlite:///new.db"
    assert config.billhook.redis_url.get_secret_value() == "redis://[::1]:1"
    assert config.billhook.data_dir == Path("/new")
    assert config.billhook.threads == 7


def test_the_environment_wins_over_how_logs_are_written(file):
    text = '[billhook.logs]\nformat = "text"\nlevel = "error"\n'
    logs = read(file, text, BILLHOOK_LOG_FORMAT="json", BILLHOOK_LOG_LEVEL="debug").billhook.logs
    assert (logs.format, logs.level) == ("json", "debug")
    assert read(file, text).billhook.logs.format == "text"


def test_every_process_finds_the_same_key_file_wherever_it_runs(file, tmp_path, monkeypatch):
    elsewhere = tmp_path / "data"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    assert read(file, '[billhook]\nkey_file = "secrets/key"\n').billhook.key_file == file.parent / "secrets/key"
    assert read(file, '[billhook]\nkey_file = "/run/key"\n').billhook.key_file == Path("/run/key")


@pytest.mark.parametrize("redis", ["redis://:secret@10.0.0.5/0", "rediss://redis.example", "redis://redis:6379/0"])
def test_sqlite_is_refused_where_redis_says_that_there_are_several_machines(file, redis):
    with pytest.raises(ConfigError) as refused:
        read(file, f'[billhook]\nredis_url = "{redis}"\n')

    [(place, what)] = refused.value.problems
    assert place == "billhook.database_url"
    assert "must be PostgreSQL" in what
    assert "secret" not in what
    assert read(file, f'[billhook]\nredis_url = "{redis}"\ndatabase_url = "postgresql+psycopg://db/b"\n')


@pytest.mark.parametrize(
    "redis", ["redis://:x@127.0.0.1:6379/0", "redis://localhost", "redis://[::1]", "unix:///r.sock"]
)
def test_sqlite_goes_with_a_redis_on_this_machine(file, redis):
    assert read(file, f'[billhook]\nredis_url = "{redis}"\n').store_url.startswith("sqlite")


def test_on_sqlite_the_inbox_has_a_file_of_its_own(file):
    config = read(file, '[billhook]\ndata_dir = "/data"\n')

    assert config.store_url == "sqlite:////data/billhook.db"
    assert config.inbox_url == "sqlite:////data/billhook-inbox.db"


def test_on_postgresql_the_inbox_is_in_the_same_database(file):
    config = read(file, '[billhook]\ndatabase_url = "postgresql+psycopg://h/b"\n')

    assert config.inbox_url == config.store_url == "postgresql+psycopg://h/b"


def test_two_accounts_that_reach_one_organisation_are_one_tenant(file):
    second = STRIPE.replace("account.b", "account.c").replace('"20"', '"5"')
    config = read(file, SHOP + STRIPE + second)

    first, other = config.accounts()
    assert (str(first), str(other)) == ("a/b", "a/c")
    assert first.tenant == other.tenant
    assert first.tenant.startswith("stripe:")


def test_a_sandbox_on_this_machine_may_have_a_short_quiet_period(file):
    config = read(file, SHOP + STRIPE + 'quiet_seconds = 1\nbase_url = "http://127.0.0.1:8300/stripe"\n')

    assert next(config.accounts()).account.quiet_seconds == 1
