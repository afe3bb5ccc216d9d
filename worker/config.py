"""Settings from `billhook.toml` and the environment, validated, frozen.

A value `"env:NAME"` is read from the environment variable NAME. Every problem is reported at once, with the
place in the file and what to do.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from ssl import create_default_context
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError

from worker.config_sections import Account, AccountRef, Brake, Flower, Logs, Metrics, Section, Timing
from worker.config_tenants import tenant_problems

NAME = r"^[a-z0-9][a-z0-9_-]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]
Trigger = Literal["order.fulfilled", "order.completed", "job.completed", "shipment.shipped", "shipment.delivered"]


class ConfigError(Exception):
    """The configuration cannot be used; `problems` are (place, what is wrong and what to do)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{place}: {what}" for place, what in problems))
        self.problems = problems


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone of the IANA database, such as Europe/London") from None
    return name


class Source(Section):
    """A shop system that pushes deliveries to `POST /in/{shop}/{source}`."""

    kind: str
    secret: SecretStr | None = None
    secrets: tuple[SecretStr, ...] = ()
    """Several secrets are valid at once while one is being rotated."""
    orders: str | None = None
    """For a source that knows parcels only: the source of the shop whose orders they belong to; None: any."""
    ask_every: float = Field(default=900.0, ge=0)
    """Seconds between two questions for what was missed, where the options name credentials of its API; 0: never."""
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def all_secrets(self) -> list[str]:
        return [s.get_secret_value() for s in (*((self.secret,) if self.secret else ()), *self.secrets)]


class Route(Section):
    to: tuple[str, ...] = Field(min_length=1)
    when: dict[Literal["currency", "source", "country", "tag", "channel"], str | tuple[str, ...]] = Field(
        default_factory=dict
    )
    trigger: tuple[Trigger, ...] | None = Field(default=None, min_length=1)
    """The events on which an invoice of its orders is due; None: the shop's."""


class Email(Section):
    sender: str = Field(alias="from", min_length=3)
    smtp: SecretStr
    """smtp://user:password@host:port, smtps://… or smtp+starttls://…"""
    reply_to: str | None = None
    bcc: str | None = None


class Notify(Section):
    email: Email | None = None


class Shop(Section):
    """One tenant."""

    api_key: SecretStr
    old_api_keys: tuple[SecretStr, ...] = ()
    webhook_secret: SecretStr | None = None
    """Standard Webhooks secret (whsec_…) for `POST /events`."""
    trigger: tuple[Trigger, ...] = ("order.fulfilled", "order.completed", "job.completed")
    """The events on which an invoice is due."""
    invoice_per: Literal["order", "shipment"] = "order"
    """shipment: each shipment has an invoice of its own, as far as it is known what is in it; the rest has one when the
    order is fulfilled or completed."""
    changed: Literal["hold", "credit"] = "hold"
    """What becomes of an order that its shop changes after it was invoiced: a person is told; credit: its invoice is
    given back as a whole and it is invoiced anew."""
    reference_prefix: str = Field(default="", max_length=20)
    """Put before the order's name in the invoice's reference; distinguishes shops that share one account."""
    payment_days: int = Field(default=14, ge=0, le=365)
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    source: dict[Name, Source] = Field(default_factory=dict)
    account: dict[Name, Account] = Field(default_factory=dict)
    route: tuple[Route, ...] = ()
    notify: Notify = Notify()
    brake: Brake = Brake()

    @property
    def triggers(self) -> set[str]:
        """All events on which an invoice of some order may be due."""
        return {*self.trigger, *(each for route in self.route for each in route.trigger or ())}


class Runtime(Section):
    data_dir: Path = Path("billhook-data")
    database_url: str | None = None
    redis_url: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    """Worker processes of `billhook up`; one per one or two cores."""
    threads: int = Field(default=32, ge=1, le=200)
    key_file: Path | None = None
    """Where the key lies that encrypts tokens; default: in the data directory. BILLHOOK_KEY wins over it."""
    flower: Flower = Flower()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    timing: Timing = Timing()


class Config(Section):
    billhook: Runtime = Runtime()
    shop: dict[Name, Shop] = Field(default_factory=dict)

    @property
    def store_url(self) -> str:
        return self.billhook.database_url or f"sqlite:///{self.billhook.data_dir.absolute() / 'billhook.db'}"

    @property
    def inbox_url(self) -> str:
        """On SQLite ingest writes its own file; on PostgreSQL it is one database."""
        if self.store_url.startswith("sqlite"):
            return self.store_url.removesuffix(".db") + "-inbox.db"
        return self.store_url

    def accounts(self) -> Iterator[AccountRef]:
        for shop_name, shop in self.shop.items():
            for name, account in shop.account.items():
                yield AccountRef(shop_name, name, account)


def config_path() -> Path:
    """BILLHOOK_CONFIG, else billhook.toml in the current directory."""
    return Path(os.environ.get("BILLHOOK_CONFIG", "billhook.toml"))


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The validated configuration. Raises `ConfigError` with every problem found."""
    path = path or config_path()
    return parse(read(path), path, environ)


def read(path: Path) -> str:
    """What the file says. Raises `ConfigError`."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([(str(path), "there is no such file; `billhook init` writes one to start from")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([(str(path), f"is not valid TOML: {error}")]) from None
    except OSError as error:
        raise ConfigError([(str(path), f"cannot be read: {error.strerror}")]) from None


def parse(text: str, path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """The validated configuration that `path` holds. Raises `ConfigError` with every problem found."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([(str(path), f"is not valid TOML: {error}")]) from None
    problems: list[tuple[str, str]] = []
    resolved = _resolve(raw, "", environ, problems)
    if not problems:
        try:
            config = Config.model_validate(_from_environment(resolved, environ))
        except ValidationError as error:
            problems = _sentences(error)
        else:
            config = _absolute(config, path)
            problems = list(_inconsistencies(config)) or list(tenant_problems(config.accounts()))
            if not problems:
                return config
    raise ConfigError(problems)


def _absolute(config: Config, file: Path) -> Config:
    """With every path absolute: processes run in the data directory, and must all find the same key."""
    runtime = config.billhook
    paths = {"data_dir": runtime.data_dir.absolute()}
    if runtime.key_file is not None:
        paths["key_file"] = file.absolute().parent / runtime.key_file
    folder = file.absolute().parent
    shops = {
        name: shop.model_copy(update={"account": _absolute_accounts(shop, folder)})
        for name, shop in config.shop.items()
    }
    return config.model_copy(update={"billhook": runtime.model_copy(update=paths), "shop": shops})


def _absolute_accounts(shop: Shop, folder: Path) -> dict[str, Account]:
    return {
        name: account.model_copy(update={"ca_file": folder / account.ca_file}) if account.ca_file else account
        for name, account in shop.account.items()
    }


def _from_environment(raw: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(raw.get("billhook", {}), dict):
        return raw  # validation says what is wrong
    runtime = dict(raw.get("billhook", {}))
    for variable, field in (
        ("BILLHOOK_DATABASE_URL", "database_url"),
        ("BILLHOOK_REDIS_URL", "redis_url"),
        ("BILLHOOK_DATA_DIR", "data_dir"),
        ("BILLHOOK_THREADS", "threads"),
    ):
        if environ.get(variable):
            runtime[field] = environ[variable]
    for variable, field in (("BILLHOOK_LOG_FORMAT", "format"), ("BILLHOOK_LOG_LEVEL", "level")):
        if environ.get(variable) and isinstance(runtime.get("logs", {}), dict):
            runtime["logs"] = {**runtime.get("logs", {}), field: environ[variable]}
    return {**raw, "billhook": runtime}


def _resolve(value: Any, place: str, environ: Mapping[str, str], problems: list[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(inner, f"{place}.{key}".lstrip("."), environ, problems) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(inner, f"{place}[{index}]", environ, problems) for index, inner in enumerate(value)]
    if isinstance(value, str) and value.startswith("env:"):
        name = value.removeprefix("env:")
        if not environ.get(name):
            problems.append((place, f"the environment variable {name} is not set"))
        return environ.get(name, "")
    return value


def _sentences(error: ValidationError, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for item in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in item["loc"] if part != "[key]")
        found.append((f"{prefix}{place}" or "billhook.toml", _sentence(item["type"], item["msg"])))
    return found


def _sentence(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a setting that exists; check its spelling"
    if kind == "string_pattern_mismatch":
        return "takes lower-case letters, digits, - and _, at most 40, and begins with a letter or digit"
    if kind in {"dict_type", "model_type"}:
        return "must be a table ([…] in the file), not a single value"
    message = message.removeprefix("Value error, ")
    return message if message.startswith("'") else message[0].lower() + message[1:]


def _inconsistencies(config: Config) -> Iterator[tuple[str, str]]:
    from connectors.platforms.base import platform

    yield from _sharing_problems(config)
    keys: dict[str, str] = {}
    yield from _metrics_problems(config)
    for name, shop in config.shop.items():
        place = f"shop.{name}"
        for key in (shop.api_key, *shop.old_api_keys):
            if len(key.get_secret_value()) < 16:
                yield f"{place}.api_key", "is shorter than 16 characters; `billhook init` writes a good one"
            if keys.setdefault(key.get_secret_value(), name) != name:
                yield f"{place}.api_key", f"is the same as that of shop {keys[key.get_secret_value()]!r}"
        if shop.webhook_secret is not None:
            secret = shop.webhook_secret.get_secret_value()
            yield from _secret_problems(f"{place}.webhook_secret", "standard", [secret], {})
        for source_name, entry in shop.source.items():
            yield from _source_problems(f"{place}.source.{source_name}", source_name, entry)
        if shop.notify.email is not None:
            yield from _email_problems(f"{place}.notify.email", shop.notify.email)
        for route in shop.route:
            for target in route.to:
                if target not in shop.account:
                    yield f"{place}.route", f"sends to account {target!r}, which does not exist"
        for account_name, account in shop.account.items():
            here = f"{place}.account.{account_name}"
            unknown = list(_known(f"{here}.platform", platform, account.platform))
            yield from unknown or _account_problems(here, AccountRef(name, account_name, account))


def _sharing_problems(config: Config) -> Iterator[tuple[str, str]]:
    """SQLite is a file of one machine; a Redis elsewhere says that there are several."""
    redis = config.billhook.redis_url
    if redis is None or on_this_machine(redis.get_secret_value()) or not config.store_url.startswith("sqlite"):
        return
    host = urlsplit(redis.get_secret_value()).hostname
    yield (
        "billhook.database_url",
        f"must be PostgreSQL, because Redis ({host}) is not on this machine: workers on other machines would each have"
        " an SQLite file of their own. Set database_url, or take redis_url out to run everything on this machine",
    )


def _metrics_problems(config: Config) -> Iterator[tuple[str, str]]:
    metrics = config.billhook.metrics
    place, token = "billhook.metrics", metrics.token.get_secret_value() if metrics.token else ""
    if metrics.token and len(token) < 16:
        yield f"{place}.token", "is shorter than 16 characters; make one that nobody can guess"
    if token in {key.get_secret_value() for shop in config.shop.values() for key in (shop.api_key, *shop.old_api_keys)}:
        yield f"{place}.token", "is a shop's API key; a shop must not see what the others do"
    if metrics.worker_port and not metrics.token and not on_this_machine(f"http://{metrics.worker_host}"):
        yield f"{place}.token", f"is missing; without it everybody who reaches {metrics.worker_host} reads the metrics"


def _email_problems(place: str, email: Email) -> Iterator[tuple[str, str]]:
    from connectors.channels.email import Server

    try:
        Server.of(email.smtp.get_secret_value())
    except ValueError as error:
        yield f"{place}.smtp", str(error)


def _source_problems(place: str, name: str, entry: Source) -> Iterator[tuple[str, str]]:
    from connectors.sources.base import source

    if name == "api":
        yield place, "cannot be called api: that is the name under which POST /events is stored"
    if not entry.all_secrets:
        yield f"{place}.secret", "is missing; without it deliveries cannot be verified"
    unknown = list(_known(f"{place}.kind", source, entry.kind))
    yield from unknown
    if not unknown:
        try:
            source(entry.kind).options_model.model_validate(entry.options)
        except ValidationError as error:
            yield from _sentences(error, f"{place}.options.")
        else:
            yield from _secret_problems(place, entry.kind, entry.all_secrets, entry.options)


def _secret_problems(place: str, kind: str, secrets: list[str], options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from connectors.sources.base import source

    try:
        source(kind)(secrets, options)
    except (LookupError, ValueError) as error:
        yield place, str(error.args[0]) if error.args else "its secret or one of its options cannot be used"


def _known(place: str, lookup: Any, name: str) -> Iterator[tuple[str, str]]:
    try:
        lookup(name)
    except LookupError as error:
        yield place, str(error.args[0])


def _account_problems(place: str, ref: AccountRef) -> Iterator[tuple[str, str]]:
    for part, prefix in (("settings", f"{place}.settings."), ("credentials", f"{place}.")):
        try:
            getattr(ref, part)
        except ValidationError as error:
            yield from _sentences(error, prefix)
    yield from _ca_problems(f"{place}.ca_file", ref.account.ca_file)
    if ref.account.quiet_seconds is not None and not on_this_machine(ref.account.base_url):
        yield f"{place}.quiet_seconds", "may only be set where base_url is a sandbox on this machine"
    if not ref.account.limits and not on_this_machine(ref.account.base_url):
        yield f"{place}.limits", "may only be false where base_url is a sandbox on this machine"


def _ca_problems(place: str, file: Path | None) -> Iterator[tuple[str, str]]:
    if file is None:
        return
    try:
        create_default_context(cafile=file)
    except (OSError, ValueError) as error:
        yield place, f"holds no certificates that can be read, in PEM, of who signed the server's: {file} ({error})"


def on_this_machine(url: str | None) -> bool:
    """Whether the URL's host can only be the machine that asks."""
    parts = urlsplit(url or "")
    host = parts.hostname or ""
    try:
        return host == "localhost" or parts.scheme in ("unix", "redis+socket") or ip_address(host).is_loopback
    except ValueError:
        return False
