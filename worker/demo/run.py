"""`billhook demo`: the real thing on one machine, against sandbox platforms that fail on purpose.

Everything is as in production (real HTTP with real signatures, Redis, Celery workers, SMTP), except that the
accounts point at the sandbox and the quiet period is short. At the end the invoices are counted where they
count: in the platforms' own books.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from rich.console import Console
from rich.live import Live

from connectors.sandbox.shops import Request, ShopOrder, sample_orders
from worker.demo import report
from worker.demo.books import count_books
from worker.demo.world import shop_of, write_config
from worker.embedded.machine import Machine, free_port
from worker.embedded.supervisor import Child, StartError, on_signals

PATIENCE = 180.0
"""Seconds without any progress after which the demo gives up waiting."""
SHOPS_CONNECTIONS = 6
Keys = Mapping[str, Mapping[str, str]]


class Catcher:
    """A local SMTP server that keeps what customers are sent."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, ...]] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.mails.append(tuple(envelope.rcpt_tos))
        return "250 OK"

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._controller.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        self._controller.start()
        try:
            yield
        finally:
            self._controller.stop()


def run(*, orders: int, seed: int | None, as_json: bool, keep: bool) -> int:
    """Runs the demo and prints its summary. Returns the exit code: 0 only if every order has exactly one invoice."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    console = Console(stderr=as_json)
    folder = Path(tempfile.mkdtemp(prefix="billhook-demo-"))
    catcher = Catcher()
    try:
        with catcher.running():
            return _run(folder, catcher, console, orders, seed, as_json, keep)
    except StartError as error:
        console.print(str(error))
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(folder: Path, catcher: Catcher, console: Console, count: int, seed: int, as_json: bool, keep: bool) -> int:
    began = time.monotonic()
    sandbox_port = free_port()
    config, config_file, keys = write_config(folder, f"http://127.0.0.1:{sandbox_port}", catcher.url)
    machine = Machine(config, config_file, console.print, extra=[_sandbox(folder, sandbox_port)])
    with on_signals(machine.supervisor.interrupt):
        console.print(f"Starting Redis, ingest, workers and the sandbox (seed {seed}) …")
        machine.start()
        started = time.monotonic() - began
        try:
            report.set_faults(sandbox_port, seed)
            watch = report.Watch(machine, sandbox_port, catcher.mails)
            shop_orders = sample_orders(count, seed)
            pushed = report.Pushed()
            _push_and_wait(machine, watch, shop_orders, keys, pushed, console)
            tally = count_books(shop_orders, watch.ledgers())
            summary = watch.summary(shop_orders, tally, pushed, started, seed)
            if as_json:
                print(json.dumps(summary))
            else:
                console.print(report.table(summary, tally))
            if keep:
                _keep(machine, sandbox_port, keys, console)
        finally:
            machine.stop()
    return 0 if report.good(summary) else 1


def _sandbox(folder: Path, port: int) -> Child:
    command = ("-m", "worker.cli", "sandbox", "--port", str(port), "--data", str(folder / "sandbox.db"))
    return Child("sandbox", command, lambda printed: "The sandbox listens" in printed, 9.0)


def _push_and_wait(
    machine: Machine, watch: report.Watch, orders: Sequence[ShopOrder], keys: Keys, pushed: report.Pushed,
    console: Console,
) -> None:  # fmt: skip
    pusher = threading.Thread(target=_push_all, args=(machine.port, orders, keys, pushed), daemon=True)
    pusher.start()
    last, since = None, time.monotonic()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while True:
            machine.supervisor.look()
            seen = watch.look()
            live.update(watch.progress(seen, pushed, len(orders)))
            if seen != last:
                last, since = seen, time.monotonic()
            if not pusher.is_alive() and watch.finished(seen, len(orders)):
                return
            if time.monotonic() - since > PATIENCE or machine.supervisor.interrupted:
                return
            time.sleep(0.15)


def _push_all(port: int, orders: Sequence[ShopOrder], keys: Keys, pushed: report.Pushed) -> None:
    """Every shop pushes its deliveries over a few connections; those of one order keep their order."""
    lock = threading.Lock()

    def lane(mine: Sequence[tuple[int, ShopOrder]]) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        for number, order in mine:
            for delivery in order.deliveries:
                shop = shop_of(number)
                request = delivery.request(shop, keys[shop][delivery.source], datetime.now(UTC))
                status, again = _deliver(connection, request)
                with lock:
                    pushed.sent += 1
                    pushed.repeated += again
                    pushed.accepted += status == 202
                    pushed.duplicates += status == 200

    with ThreadPoolExecutor(SHOPS_CONNECTIONS) as lanes:
        numbered = list(enumerate(orders))
        list(lanes.map(lane, [numbered[n::SHOPS_CONNECTIONS] for n in range(SHOPS_CONNECTIONS)]))


def _deliver(connection: HTTPConnection, request: Request) -> tuple[int, int]:
    """Posts until there is an answer, as a shop does; gives up after a minute. Returns (status, repetitions)."""
    again = 0
    until = time.monotonic() + 60
    while True:
        try:
            connection.request("POST", request.path, request.body, request.headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in {429, 503} or time.monotonic() > until:
                return answer.status, again
        except (OSError, HTTPException):
            connection.close()
            if time.monotonic() > until:
                return 0, again
        again += 1
        time.sleep(0.3)


def _keep(machine: Machine, sandbox_port: int, keys: Keys, console: Console) -> None:
    flower = machine.config.billhook.flower.password
    password = flower.get_secret_value() if flower else ""
    own = ", ".join(f"{shop} {mine['api_key']}" for shop, mine in keys.items())
    console.print(
        f"\nStill running (Ctrl-C stops it and removes {machine.data_dir}):\n"
        f"  events    {machine.ingest_url}/events (described at {machine.ingest_url}/docs)\n"
        f"  API keys  {own}\n"
        f"  sandbox   http://127.0.0.1:{sandbox_port}/_sandbox/report\n"
        f"  Flower    {machine.flower_url} (user ops, password {password})\n"
        f"  settings  {machine.data_dir.parent / 'billhook.toml'}"
    )
    machine.supervisor.run()
