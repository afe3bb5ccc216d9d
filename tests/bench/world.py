"""What `billhook bench ingest` and `billhook bench pipeline` share: a machine of their own, its load, its figures.

Everything that takes part (the client, Redis, the store, workers, the sandbox) runs on this machine, in a temporary
folder; nothing of it touches a configured store or a platform.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from connectors.sandbox import stripe, xero
from worker.config import load
from worker.embedded.machine import Machine, free_port
from worker.embedded.supervisor import Child

SHOP = "bench"
PLATFORMS = ("xero", "stripe")

_TOML = """\
[billhook]
data_dir = "{folder}/data"
port = {port}
workers = {workers}
{database}
[shop.{shop}]
api_key = "{api_key}"

[shop.{shop}.account.books]
platform = "{platform}"
base_url = "http://127.0.0.1:{sandbox}/{platform}"
limits = false
{account}
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
_TEMPLATE = json.dumps(_EVENT).encode()


class BenchError(Exception):
    """What was measured did not come out right; the numbers would say nothing."""


def event(number: int, customers: int) -> bytes:
    """Billhook's own event of order `number`, an order of one of so many customers: two amounts, 117.54 GBP."""
    return _TEMPLATE.replace(b"@N@", b"%08d" % number).replace(b"@C@", b"%04d" % (number % customers))


@dataclass(frozen=True)
class Bench:
    """A machine that runs, with the port of its sandbox and the key of its one shop."""

    machine: Machine
    sandbox_port: int
    api_key: str
    store_url: str
    inbox_url: str
    _cpu: dict[str, float] = field(default_factory=dict)

    def sandbox(self, method: str, path: str, body: str | None = None) -> Any:
        """Asks the sandbox's control pages."""
        connection = HTTPConnection("127.0.0.1", self.sandbox_port, timeout=30)
        try:
            connection.request(method, f"/_sandbox/{path}", body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def cpu_begins(self) -> None:
        """From now on CPU time is counted."""
        self._cpu.update(cpu_seconds(self.machine.supervisor.pids()))

    def cpu_used(self) -> dict[str, float]:
        """Seconds of CPU since `cpu_begins`, by process; empty where the system does not tell."""
        now = cpu_seconds(self.machine.supervisor.pids())
        return {name: seconds - self._cpu.get(name, 0.0) for name, seconds in now.items()}


@contextmanager
def running(
    *, platform: str, account: str = "", workers: int = 1, database_url: str | None = None, start_workers: bool = True
) -> Iterator[Bench]:
    """A fresh machine whose one account, on `platform` in a sandbox without quotas, has the TOML lines `account` too.

    `database_url` names a PostgreSQL server: a database is created beside the one it names, and dropped at the end.
    Raises `StartError` when something does not start.
    """
    from worker.store.scratch import scratch_database

    folder = Path(tempfile.mkdtemp(prefix="billhook-bench-"))
    try:
        with scratch_database(database_url) if database_url else nullcontext(None) as url:
            sandbox_port, api_key = free_port(), secrets.token_urlsafe(24)
            file = folder / "billhook.toml"
            file.write_text(
                _TOML.format(
                    folder=folder, port=free_port(), workers=workers, shop=SHOP, api_key=api_key, platform=platform,
                    sandbox=sandbox_port, account="\n".join((account, _ACCOUNTS[platform])),
                    database=f'database_url = "{url}"' if url else "",
                ),
                encoding="utf-8",
            )  # fmt: skip
            config = load(file, {})
            machine = Machine(config, file, lambda _: None, extra=[_sandbox(sandbox_port)], environ=_environment())
            machine.start(workers=start_workers)
            try:
                yield Bench(machine, sandbox_port, api_key, config.store_url, config.inbox_url)
            finally:
                machine.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sandbox(port: int) -> Child:
    command = ("-m", "worker.cli", "sandbox", "--no-limits", "--port", str(port))
    return Child("sandbox", command, lambda printed: "The sandbox listens" in printed, 9.0)


def _environment() -> dict[str, str]:
    """Ours, without what would point a benchmark at a store or a Redis that is in use."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BILLHOOK_")}


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU time of each process and of all in its group, from /proc (proc(5): fields 5, 14 and 15 of `stat`)."""
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        group = int(fields[2])
        ticks[group] = ticks.get(group, 0) + int(fields[11]) + int(fields[12])
    second = os.sysconf("SC_CLK_TCK")
    return {name: ticks[pid] / second for name, pid in pids.items() if pid in ticks}


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 2)


def circumstances(database_url: str | None) -> dict[str, Any]:
    """What a reader must know to judge the numbers."""
    return {
        "store": "PostgreSQL" if database_url else "SQLite",
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }
