"""Structured logs: one JSON object a line for machines, one line of text for people.

Every record goes through here, Celery's and the libraries' too. A field is written only if it is in `FIELDS`; what
the code around knows (task, tenant) comes from `about`, what one line knows from `extra=`. Nothing leaves unredacted:
every secret of the configuration, every token that was fetched, whatever looks like a credential, and e-mail
addresses. Names of customers are not written in the first place; `outcomes` takes them out of platforms' own words.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson
from pydantic import BaseModel, SecretStr

from connectors.http import Http
from worker import runtime

if TYPE_CHECKING:
    from connectors.model import Party
    from worker.config import Config
    from worker.store.jobs import Change, Job

FIELDS = (
    "shop", "order", "account", "platform", "tenant", "subject", "state", "action", "reason", "task", "task_id",
    "count", "batches", "shops", "orders", "seconds", "version", "address",
)  # fmt: skip
"""What a line may say beside time, level, event, logger, process and exception."""
OURS = ("worker", "tasks", "connectors", "celery", "kombu", "py.warnings")
"""Loggers that follow the configured level; others are heard from `warning` on (SQLAlchemy writes rows)."""
SILENT = ("urllib3", "uvicorn.access", "mail.log")
"""They write addresses with their query, or whole mails; what went wrong is said by `connectors` anyway."""
SHORTEST = 4
"""A shorter secret is not looked for: it would be found in every second word."""
_LEVELS = {
    "held": logging.WARNING, "mismatch": logging.WARNING, "doubled": logging.ERROR, "uncertain": logging.WARNING,
}  # fmt: skip
_ADDRESS = re.compile(r"[^\s<>\"'(),;:=\[\]]+@[\w.-]+\.[A-Za-z]{2,}")
_FAILING_ROW = re.compile(r"Failing row contains \(.*", re.DOTALL)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=_NOTHING)
_redactor = Http()
_kept: set[str] = set()


# -- what a line is about ----------------------------------------------------------------------------------------------


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Lines written inside, in this thread or task, carry these fields (names as in `FIELDS`)."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def begin(**fields: Any) -> None:
    """From now on every line of this thread carries these fields and no others, until `begin` is called again."""
    _about.set(fields)


def outcomes(
    log: logging.Logger,
    held: Mapping[str, Job],
    changes: Iterable[Change],
    personal: Callable[[str], Iterable[str]] = lambda _: (),
) -> None:
    """A line for each of these recorded changes that somebody should know of: stopped, uncertain, settled by a look-up.

    `held`: the rows as they were claimed. `personal`: for an id the words (names) that must not be in its reason.
    """
    for change in changes:
        job, reason = held[change.id], change.reason or ""
        looked = change.detail.get("looked") if job.unsure else None
        level = _LEVELS.get(change.state, logging.INFO if looked else logging.DEBUG)
        if not log.isEnabledFor(level):
            continue
        for word in personal(change.id) if reason else ():
            reason = reason.replace(word, "«name»")
        event = f"{job.kind} {change.state}" + (f", looked up: {looked}" if looked else "")
        what = {"state": change.state, "action": change.action, "reason": reason or None}
        log.log(level, event, extra=row(job) | what)


def row(job: Job) -> dict[str, Any]:
    """The fields of a line about this row."""
    account = f"{job.shop}/{job.account}" if job.account else None
    tenant = job.tenant if ":" in job.tenant else None
    order = None if job.kind == "customer" else job.label  # a customer's label is their name
    return {"shop": job.shop, "order": order, "account": account, "tenant": tenant, "subject": job.subject}


def names(person: Party) -> list[str]:
    """The words of a customer that no line may have; addresses are taken out of every line anyway."""
    return [word for word in (person.company, person.name, person.phone) if word and len(word) > 2]


# -- how a line looks --------------------------------------------------------------------------------------------------


class Lines(logging.Formatter):
    """Makes JSON (`people` False) or text of a record."""

    def __init__(self, people: bool) -> None:
        super().__init__()
        self.people = people

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in _fields(record).items() if value is not None}
        exception = redacted(self.formatException(record.exc_info)) if record.exc_info else None
        at = datetime.fromtimestamp(record.created, UTC)
        event, level = redacted(record.getMessage()), record.levelname.lower()
        if self.people:
            line = f"{at:%Y-%m-%d %H:%M:%S}Z {level.upper():<7} {event}"
            line += "".join(f" {name}={_plain(value)}" for name, value in fields.items())
            return f"{line}\n{exception}" if exception else line
        entry = {"time": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z", "level": level, "event": event, **fields}
        entry |= {"logger": record.name, "process": runtime.process_name()}
        if exception:
            entry["exception"] = exception
        return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    given = {**_about.get(), **{name: getattr(record, name) for name in FIELDS if hasattr(record, name)}}
    if isinstance(record.args, dict) and record.name.startswith("celery."):  # Celery's own lines name their task so
        given = {"task": record.args.get("name"), "task_id": record.args.get("id")} | given
    tenant = given.get("tenant")
    if isinstance(tenant, str) and ":" in tenant:
        given.setdefault("platform", tenant.partition(":")[0])
    return {name: _clean(given[name]) for name in FIELDS if name in given}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    return [_clean(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return orjson.dumps(text).decode() if re.search(r"[\s\"]", text) else text


# -- what no line says -------------------------------------------------------------------------------------------------


def redacted(text: str) -> str:
    """The text without known secrets, credentials, e-mail addresses and rows that the database shows."""
    text = _FAILING_ROW.sub("Failing row contains «redacted»", _redactor.redact(text))
    return _ADDRESS.sub(_without_address, text) if "@" in text else text


def _without_address(found: re.Match[str]) -> str:
    return found[0] if found[0] in _kept else "«address»"


def keep(name: str) -> None:
    """A worker's name, which looks like an e-mail address, stays in the lines."""
    _kept.add(name)


def hide(*secrets: str) -> None:
    """From now on these values are redacted in every line of this process."""
    _redactor.hide(*(secret for secret in secrets if len(secret) >= SHORTEST))


def secrets_of(config: Config) -> list[str]:
    """Every secret of the configuration; of an address with a password, the password too."""
    found = [*_secrets(config), config.billhook.database_url or ""]
    for ref in config.accounts():
        found += _secrets(ref.credentials)
    found += [password for url in found if "://" in url and (password := urlsplit(url).password)]
    found += [unquote(password) for password in found if "%" in password]
    return [secret for secret in found if "://" not in secret]  # an address is no secret, the password in it is


def _hide_all(config: Config) -> None:
    hide(*secrets_of(config))


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


# -- setting up --------------------------------------------------------------------------------------------------------


def set_up(level: int | None = None, file: str | None = None) -> None:
    """Writes this process's log as `[billhook.logs]` says, to `file`, else to standard error.

    `level`: what the command line asked for; the more talkative of the two counts.
    """
    settings = runtime.config().billhook.logs
    _hide_all(runtime.config())
    runtime.keeper().taken = _hide_all
    handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(for_people()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    wanted = min(filter(None, (level, logging.getLevelNamesMapping()[settings.level.upper()])))
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    logging.getLogger("celery.pool").setLevel(max(wanted, logging.INFO))  # it writes whole messages
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _take_over("uvicorn", "uvicorn.error", "uvicorn.access")
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda said: _uncaught(said.exc_type, said.exc_value, said.exc_traceback)


def for_people() -> bool:
    """Whether this process writes text: it is told to, or it writes to a terminal and was told nothing."""
    wanted = runtime.config().billhook.logs.format
    return wanted == "text" or (wanted == "auto" and sys.stderr.isatty())


def _take_over(*names: str) -> None:
    """What these had set up for themselves goes; they are written like everything else."""
    for name in names:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("worker").critical("not caught: %s", kind.__name__, exc_info=(kind, error, trace))
