"""The whole examination: what is looked at, in which order it is told, and what is left out when a part is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import redis

from worker import limits, pulse, runtime
from worker.config import Config
from worker.doctor import configuration, doorbell, machine, queues, work
from worker.doctor.findings import Check, Finding, bad, carry_out, first_line, ok, warning
from worker.leases import longest
from worker.store import checkup
from worker.store.engine import Store, StoreError

FIRST_WITHIN, REST_WITHIN = 8.0, 15.0
"""Seconds for finding out what answers at all, and for the rest."""


@dataclass
class Patient:
    """What answers, found out first: without Redis or a store much cannot be looked at."""

    config: Config
    late: float
    ingest: str | None
    redis: redis.Redis | None = None
    private_redis: bool = False
    vitals: checkup.Vitals | None = None

    @property
    def files(self) -> list[Path]:
        """The SQLite files; none on PostgreSQL."""
        urls = {self.config.store_url, self.config.inbox_url}
        return [Path(url.partition(":///")[2]) for url in sorted(urls) if url.startswith("sqlite")]


def examine(config: Config, late: float, ingest: str | None = None) -> list[Finding]:
    """Every finding, in the order in which a person reads them. Takes up to `FIRST_WITHIN` + `REST_WITHIN` seconds.

    `late`: seconds after which a row that is due is told. `ingest`: its address, where it is not the configuration's.
    Raises nothing; it changes nothing, and makes no file or table that is not there.
    """
    patient = Patient(config, late, ingest)
    found = carry_out([("Redis", lambda: _redis(patient)), ("database", lambda: _store(patient))], FIRST_WITHIN)
    checks: list[tuple[str, Check]] = [
        ("versions", machine.packages),
        ("disk", lambda: machine.disk(config.billhook.data_dir, patient.files)),
        ("clock", lambda: _clocks(patient)),
        ("ingest", lambda: [_ingest(patient)]),
    ]
    if patient.redis is not None:
        checks.append(("queues", lambda: _queues(patient)))
    if patient.vitals is not None and patient.vitals.revision is not None:
        checks.append(("work", lambda: _work(patient)))
    return found + carry_out(checks, REST_WITHIN)


def _redis(patient: Patient) -> Iterator[Finding]:
    url = patient.config.billhook.redis_url
    address = url.get_secret_value() if url else runtime.private_redis(patient.config.billhook.data_dir)
    if address is None:
        says = "no redis_url is set, and no private one of `billhook up` is in the data directory"
        yield bad("Redis", says, "start `billhook up`, or name the data directory of the one that runs")
        return
    patient.private_redis = url is None
    client = doorbell.connect(address)
    if trouble := doorbell.reached(client):
        if patient.private_redis and "refused" in trouble.says:
            trouble = bad("Redis", "the private one does not answer: `billhook up` is not running", "start it")
        yield trouble
        return
    patient.redis = client
    yield from doorbell.examine(client, address, private=patient.private_redis)


def _store(patient: Patient) -> Iterator[Finding]:
    missing = [file for file in patient.files if not file.exists()]
    if missing:
        says = f"there is no store yet: {missing[0]} does not exist"
        yield bad("database", says, "start `billhook up`, which makes it; else correct data_dir or database_url")
        return
    try:
        patient.vitals = checkup.vitals(runtime.store())
    except StoreError as error:
        yield _no_store(runtime.store(), error)
        return
    yield from machine.database(patient.vitals)


def _no_store(store: Store, error: Exception) -> Finding:
    where = store.engine.url.render_as_string(hide_password=True)
    do = "start the database, or correct database_url; meanwhile ingest answers 503 and nothing is recorded"
    return bad("database", f"{where} does not answer: {first_line(error)}", do)


def _clocks(patient: Patient) -> Iterator[Finding]:
    others: dict[str, machine.Clock] = {}
    client = patient.redis
    if client is not None:
        others["Redis"] = lambda: doorbell.clock(client)
    if patient.vitals is not None and patient.vitals.own_clock:
        others["the database"] = lambda: checkup.clock(runtime.store())
    yield from machine.clocks(others, patient.vitals.newest if patient.vitals else None)


def _ingest(patient: Patient) -> Finding:
    settings = patient.config.billhook
    if patient.ingest is None and settings.port == 0:
        return warning("ingest", "its port is chosen freely, so it was not asked", "give its address with --ingest")
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    url = (patient.ingest or f"http://{host}:{settings.port}").rstrip("/")
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/readyz", timeout=5) as answer:
            if b'"configuration":"refused"' in answer.read(10_000):
                return configuration.refused_by_ingest(url)
            return ok("ingest", f"{url} takes events")
    except HTTPError as error:
        do = "see what /readyz says there; mostly the database does not answer, or its disk is full"
        return bad("ingest", f"{url} answers {error.code}: it takes no events", do)
    except (OSError, HTTPException, ValueError) as error:
        says = f"nothing answers at {url} ({first_line(getattr(error, 'reason', error))})"
        if settings.redis_url and settings.database_url and patient.ingest is None:
            return warning("ingest", says, "if it runs on another machine, give its address with --ingest")
        return bad("ingest", says, "start it: `billhook up`, or the ingest service; shops are refused meanwhile")


def _queues(patient: Patient) -> Iterator[Finding]:
    assert patient.redis is not None
    config = patient.config
    found = queues.workers()
    due: Counter[str] = Counter()
    if patient.vitals is not None and patient.vitals.revision is not None:
        due = checkup.due_by_queue(runtime.store())
    yield from queues.taken(found, queues.lengths(patient.redis), due, queues.needed(config))
    yield from queues.silent(found, pulse.ages())
    yield from configuration.standing(pulse.configurations(), found.names, runtime.keeper().in_force().digest)
    yield from queues.ticking(found, config.billhook.timing.dispatch_every)


def _work(patient: Patient) -> Iterator[Finding]:
    found = checkup.still(runtime.store())
    refs = list(patient.config.accounts())
    standing: dict[str, limits.State] = {}
    if patient.redis is not None:
        standing = limits.state({ref.tenant: ref.facts for ref in refs})
    paused = {tenant: state.paused for tenant, state in standing.items()}
    yield work.handled(checkup.untaken(runtime.inbox()))
    yield from work.moving(found, patient.late, paused, longest())
    yield from work.for_people(found.stopped)
    yield from work.accounts(found, refs, standing)
