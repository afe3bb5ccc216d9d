"""What a process counts of its own work, and the page on which Prometheus reads it.

Ingest serves the page beside its other addresses, a worker on a port of its own (`worker_port`). What concerns all
processes together (queues, the store, quotas) is in `worker.gauges` and is shown by ingest and by `recurring` only.
Labels name platforms, shops and accounts, never orders: their number does not grow with the work.
"""

from __future__ import annotations

import hmac
import logging
import platform
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from connectors.errors import Uncertain
from connectors.http import Answer, Http
from worker import logs, runtime

if TYPE_CHECKING:
    from worker.store.jobs import Change, Job

log = logging.getLogger(__name__)
disable_created_metrics()

PORTS = 100
"""How many ports a worker tries, from `worker_port` on: several workers of a machine take one after the other."""

BUILD = Gauge("billhook_build_info", "Always 1; what runs here.", ["version", "python"])
BUILD.labels(runtime.version(), platform.python_version()).set(1)
REFUSED = Gauge(
    "billhook_configuration_refused",
    "1 while the configuration file cannot be used as it is now, and the one before it stays in force.",
)
REFUSED.set_function(lambda: float(bool(runtime.keeper().refused)))
INGEST = CollectorRegistry()
"""What only ingest counts."""
ACCEPTED = Counter("billhook_events_accepted", "Events accepted, each after its commit.", ["shop"], registry=INGEST)
LATENCY = Histogram(
    "billhook_ingest_seconds",
    "From a request's headers to the moment its answer is ready.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=INGEST,
)
BATCH = Histogram(
    "billhook_ingest_batch_events",
    "Events that one commit took.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
    registry=INGEST,
)
SETTLED = Counter(
    "billhook_settled",
    "Outcomes recorded by this process: what became of events, customers, invoices and notices.",
    ["kind", "platform", "shop", "account", "state"],
)
CALLS = Histogram(
    "billhook_call_seconds",
    "Calls to a platform by how they ended.",
    ["platform", "outcome"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)


# -- counting ----------------------------------------------------------------------------------------------------------


def accepted(shops: Mapping[str, int], batch: int) -> None:
    """A commit of ingest took `batch` events; those of them that are new, by shop."""
    BATCH.observe(batch)
    for shop, count in shops.items():
        ACCEPTED.labels(shop).inc(count)


def settled(held: Mapping[str, Job], changes: Iterable[Change]) -> None:
    """These changes have been committed; `held`: the rows as they were claimed."""
    tally: Tally[tuple[str, ...]] = Tally()
    for change in changes:
        job = held[change.id]
        tally[job.kind, job.tenant.partition(":")[0], job.shop, job.account, change.state] += 1
    for labels, count in tally.items():
        SETTLED.labels(*labels).inc(count)


class MeasuredHttp(Http):
    """`Http` that counts its calls and keeps what it must hide out of the log as well."""

    def __init__(self, slug: str, deadline: float, secrets: Iterable[str], ca_file: Path | None = None) -> None:
        super().__init__(deadline, secrets, ca_file)
        self._slug = slug

    def hide(self, *secrets: str) -> None:
        before = self._secrets
        super().hide(*secrets)
        if self._secrets is not before:
            logs.hide(*secrets)

    def send(self, *args: Any, **kwargs: Any) -> Answer:
        began = time.perf_counter()
        outcome = "unavailable"
        try:
            answer = super().send(*args, **kwargs)
            outcome = _ended(answer.status)
            return answer
        except Uncertain:
            outcome = "uncertain"
            raise
        finally:
            CALLS.labels(self._slug, outcome).observe(time.perf_counter() - began)


def _ended(status: int) -> str:
    """ "ok", "redirect", "refused" (4xx), "throttled" (429), "failed" (5xx)."""
    if status == 429:
        return "throttled"
    return {2: "ok", 3: "redirect", 4: "refused", 5: "failed"}.get(status // 100, "other")


# -- the page ----------------------------------------------------------------------------------------------------------


class Page:
    """The page as text; `more` is shown beside what this process counts."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *more: Collector) -> None:
        self._more = CollectorRegistry()
        for collector in more:
            self._more.register(collector)

    def text(self) -> bytes:
        return generate_latest(REGISTRY) + generate_latest(self._more)


def may_read(authorization: str) -> bool:
    """Whether this `Authorization` header carries the operator's token; no token is configured: nobody may."""
    token = runtime.config().billhook.metrics.token
    scheme, _, given = authorization.partition(" ")
    return (
        token is not None
        and scheme.lower() == "bearer"
        and hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    )


class _Server(ThreadingHTTPServer, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""


def serve(page: Page) -> int | None:
    """Serves the page on the first free port from `worker_port` on. Returns it; None where that is off or all are
    taken, which is logged: a worker works without its metrics, too."""
    settings = runtime.config().billhook.metrics
    if not settings.worker_port:
        return None
    for port in range(settings.worker_port, min(settings.worker_port + PORTS, 65_536)):
        with suppress(OSError):
            server = _Server((settings.worker_host, port), _Silent)
            server.set_app(_application(page))
            threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
            log.info("metrics are served", extra={"address": f"http://{settings.worker_host}:{port}/metrics"})
            return port
    log.warning("no port from %d on is free for metrics; they are not served", settings.worker_port)
    return None


def _application(page: Page) -> Callable[..., list[bytes]]:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if runtime.config().billhook.metrics.token and not may_read(environ.get("HTTP_AUTHORIZATION", "")):
            start("401 Unauthorized", [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")])
            return [b"Send the token of [billhook.metrics] as Authorization: Bearer <token>.\n"]
        if environ.get("PATH_INFO") not in {"/", "/metrics"}:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"The metrics are at /metrics.\n"]
        start("200 OK", [("Content-Type", page.content_type)])
        return [page.text()]

    return answer
