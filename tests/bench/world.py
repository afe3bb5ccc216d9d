"""What the benchmarks share: a Billhook of their own, its load, its figures.

Everything that takes part (the client, Redis, the store, workers, the platform) runs on this machine, in a temporary
folder; nothing of it touches a configured store or a platform.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from connectors.sandbox import stripe, xero
from tests.bench.database import Server
from tests.bench.processes import busy_seconds, cpu_seconds, memory_mib, own_cpu_seconds
from tests.kit.processes import free_port
from worker.config import load
from worker.embedded.machine import Machine
from worker.embedded.supervisor import Child, Supervisor
from worker.store.engine import Store
from worker.store.figures import inbox_rows
from worker.store.schema import jobs
from worker.store.scratch import scratch_database

SHOP = "bench"

_TOML = """\
[billhook]
data_dir = "{folder}/data"
port = {port}
workers = {workers}
{database}
[shop.{shop}]
api_key = "{api_key}"
{notify}
[shop.{shop}.account.books]
platform = "{platform}"
base_url = "{base_url}"
limits = false
{account}
"""
_NOTIFY = f"""
[shop.{SHOP}.notify.email]
from = "bills@shop.example"
smtp = "smtp://127.0.0.1:9"
"""
_ACCOUNTS = {
    "xero": f"""\
client_id = "{xero.CLIENT_ID}"
client_secret = "{xero.CLIENT_SECRET}"
refresh_token = "{xero.REFRESH_TOKEN}"
settings = {{ tenant = "{xero.TENANT}", sales_account = "200", tax = {{ "20" = "OUTPUT2" }} }}""",
    "stripe": f"""\
api_key = "{next(iter(stripe.KEYS))}"
settings = {{ tax_rates = {{ "20" = "txr_VAT20" }} }}""",
}
_EVENT = {
    "id": "evt-@N@",
    "type": "order.fulfilled",
    "occurred_at": "2026-11-22T10:00:00Z",
    "order": {
        "id": "8a61f0-@N@",
        "ref": "SO-@N@",
        "currency": "GBP",
        "placed_at": "2026-11-20T09:00:00Z",
        "tax_included": False,
        "customer": {"ref": "C-@C@", "name": "Ada Lovelace @C@", "email": "ada-@C@@shop.example"},
        "billing_address": {"line1": "12 Engine Row", "city": "London", "postcode": "N1 7AA", "country": "GB"},
        "lines": [
            {
                "ref": "1",
                "sku": "PLQ-BR",
                "description": "Brass plaque, engraved",
                "quantity": "2",
                "unit_price": "45.00",
                "discount": "0",
                "tax": {"name": "VAT", "rate": "20", "amount": "18.00"},
                "attributes": {"engraving": "To Ada, 1843"},
            }
        ],
        "shipping": {
            "description": "Courier",
            "amount": "7.95",
            "tax": {"name": "VAT", "rate": "20", "amount": "1.59"},
        },
        "total": "117.54",
    },
}
TEMPLATE = json.dumps(_EVENT).encode()
"""An event with @N@ for its number (8 digits) and @C@ for that of its customer (4 digits)."""


class BenchError(Exception):
    """What was measured did not come out right; the numbers would say nothing."""


def event(number: int, customers: int) -> bytes:
    """Billhook's own event of order `number`, an order of one of so many customers: two amounts, 117.54 GBP."""
    return TEMPLATE.replace(b"@N@", b"%08d" % number).replace(b"@C@", b"%04d" % (number % customers))


class WithoutMailing(Machine):
    """`billhook up` whose workers leave the notices alone: they are recorded as due, and nobody is mailed."""

    def _worker(self, number: int) -> Child:
        child = super()._worker(number)
        place = child.command.index("--exclude-queues") + 1
        queues = f"{child.command[place]},notify"
        return replace(child, command=(*child.command[:place], queues, *child.command[place + 1 :]))


class Side:
    """One of the two that are measured: its processes, its endpoint, the platform it posts to."""

    def __init__(self, supervisor: Supervisor, *, port: int, api_key: str, platform_port: int) -> None:
        self.supervisor = supervisor
        self.port = port
        self.api_key = api_key
        self.platform_port = platform_port
        self.server: Server | None = None
        """The PostgreSQL server that it uses, where its CPU time is to be counted too."""
        self._before: dict[str, float] = {}
        self._since = (0.0, 0.0, 0.0)

    def look(self) -> None:
        """Restarts what has died."""
        self.supervisor.look()

    def cpu_begins(self) -> None:
        """From now on CPU time is counted."""
        self._before = self._spent()
        self._since = time.monotonic(), busy_seconds(), own_cpu_seconds()

    def cpu_used(self) -> dict[str, float]:
        """Seconds of CPU since `cpu_begins`, by process; empty where the system does not tell."""
        return {name: seconds - self._before.get(name, 0.0) for name, seconds in self._spent().items()}

    def others(self) -> float:
        """How many cores were kept busy since `cpu_begins` by what takes no part in the measurement."""
        began, busy, own = self._since
        rest = busy_seconds() - busy - (own_cpu_seconds() - own) - sum(self.cpu_used().values())
        return round(max(0.0, rest / (time.monotonic() - began)), 2)

    def _spent(self) -> dict[str, float]:
        spent = cpu_seconds(self.supervisor.pids())
        return {**spent, "postgresql": self.server.cpu_seconds()} if self.server and self.server.pid else spent

    def memory(self) -> dict[str, dict[str, float]]:
        """`rss` and `pss` of each process in MiB, and how many processes it is."""
        return memory_mib(self.supervisor.pids())

    def platform_calls(self, orders: int) -> int:
        """Calls the stub has had. Raises `BenchError` unless it created exactly one invoice for each order."""
        report = control(self.platform_port, "GET", "/_stub/report")
        if report["doubled"]:
            raise BenchError(f"{report['invoices']} invoices for {orders} orders: doubled are {report['doubled']}")
        if report["invoices"] != orders:
            raise BenchError(f"{orders} orders, but the platform has {report['invoices']} invoices")
        calls: int = report["platform_calls"]
        return calls

    def stored(self) -> int:
        """How many events are stored."""
        raise NotImplementedError

    def notices(self) -> tuple[int, datetime | None]:
        """How many notices are recorded, and when the last was (UTC)."""
        raise NotImplementedError


class Bench(Side):
    """Billhook: a machine that runs, with one shop."""

    def __init__(self, machine: Machine, platform: str, stubbed: bool, platform_port: int, api_key: str) -> None:
        super().__init__(machine.supervisor, port=machine.port, api_key=api_key, platform_port=platform_port)
        self.machine = machine
        self.platform = platform
        self.stubbed = stubbed
        self.store_url = machine.config.store_url
        self._store, self._inbox = Store(self.store_url), Store(machine.config.inbox_url)

    def close(self) -> None:
        """Gives up its connections to the store."""
        self._store.close()
        self._inbox.close()

    def platform_calls(self, orders: int) -> int:
        if self.stubbed:
            return super().platform_calls(orders)
        booked = len(control(self.platform_port, "GET", f"/_sandbox/ledger/{self.platform}"))
        if booked != orders:
            raise BenchError(f"{orders} orders, but {booked} invoices in the platform's books")
        calls: int = control(self.platform_port, "GET", "/_sandbox/report")[self.platform]["calls"]
        return calls

    def stored(self) -> int:
        return inbox_rows(self._inbox)

    def notices(self) -> tuple[int, datetime | None]:
        recorded = select(func.count(), func.max(jobs.c.created_at)).where(jobs.c.kind == "notice")
        with self._store.read() as connection:
            count, last = connection.execute(recorded).one()
        return int(count), last


def control(port: int, method: str, path: str, body: str | None = None) -> Any:
    """Asks the control pages of the stub or the sandbox."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@contextmanager
def running(
    *, platform: str, account: str = "", workers: int = 1, database_url: str | None = None, start_workers: bool = True,
    latency_ms: int = 0, stubbed: bool = True, notices: bool = False,
) -> Iterator[Bench]:  # fmt: skip
    """A fresh machine whose one account, on `platform` without quotas, has the TOML lines `account` too.

    The platform is the stub where `stubbed`, else the sandbox; it takes `latency_ms` a call. `notices`: customers are
    to be told, which is recorded but not done. `database_url` names a PostgreSQL server: a database is created beside
    the one it names, and dropped at the end. Raises `StartError` when something does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="billhook-bench-"))
    try:
        with scratch_database(database_url) if database_url else nullcontext(None) as url:
            platform_port, api_key = free_port(), secrets.token_urlsafe(24)
            base_url = f"http://127.0.0.1:{platform_port}" + ("" if stubbed else f"/{platform}")
            file = folder / "billhook.toml"
            file.write_text(
                _TOML.format(
                    folder=folder, port=free_port(), workers=workers, shop=SHOP, api_key=api_key, platform=platform,
                    base_url=base_url, account="\n".join((account, _ACCOUNTS[platform])),
                    database=f'database_url = "{url}"' if url else "", notify=_NOTIFY if notices else "",
                ),
                encoding="utf-8",
            )  # fmt: skip
            config = load(file, {})
            child = stub(platform_port, latency_ms) if stubbed else _sandbox(platform_port)
            machine = WithoutMailing(config, file, lambda _: None, extra=[child], environ=environment())
            machine.start(workers=start_workers)
            side = Bench(machine, platform, stubbed, platform_port, api_key)
            try:
                if latency_ms and not stubbed:
                    control(platform_port, "PUT", f"/_sandbox/faults/{platform}", f'{{"latency": {latency_ms / 1000}}}')
                yield side
            finally:
                side.close()
                machine.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def stub(port: int, latency_ms: int) -> Child:
    """The stub platform as a process to be supervised."""
    command = ("-m", "tests.bench.stub", "--port", str(port), "--latency-ms", str(latency_ms))
    return Child("stub", command, lambda printed: "The stub listens" in printed, 9.0)


def _sandbox(port: int) -> Child:
    command = ("-m", "worker.cli", "sandbox", "--no-limits", "--port", str(port))
    return Child("sandbox", command, lambda printed: "The sandbox listens" in printed, 9.0)


def environment() -> dict[str, str]:
    """Ours, without what would point a benchmark at a store or a Redis that is in use."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BILLHOOK_")}


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2)


def circumstances(database_url: str | None) -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    return {
        "store": "PostgreSQL" if database_url else "SQLite",
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
