"""The only door to the outside: one requests session a thread, a wall-clock deadline, exact decimals, redaction.

Whether a call may have happened is known here and nowhere else: the connection notes the moment before
its first byte leaves. A call that failed before that moment is surely not done, whatever failed; an
unsafe call that failed after it is `Uncertain`.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connectors.errors import ConnectorError, Sample, Unavailable, Uncertain

CONNECT_TIMEOUT = 5.0
SAMPLE_LIMIT = 64_000
"""Characters of a request or response kept for the trail."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `json()` reads numbers exactly, as `Decimal`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sample: Sample

    def json(self) -> Any:
        """The parsed body; raises `ValueError` when it is not JSON."""
        return json.loads(self.body, parse_float=Decimal)

    @property
    def retry_after(self) -> float | None:
        """Seconds from the Retry-After header (a number or an HTTP date), never negative."""
        value = self.headers.get("Retry-After")
        if value is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (TypeError, ValueError):
            return None


class _Call:
    """One call in flight in this thread: has its first byte left, and which socket carries it."""

    __slots__ = ("connection", "deadline", "expired", "finished", "sent")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self.expired = False
        self.finished = False
        self.connection: Any = None

    def abort(self) -> None:
        """Ends the call from outside by resetting its socket; the blocked thread then fails at once."""
        self.expired = True
        sock = getattr(self.connection, "sock", None)
        if sock is None:
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return  # the call has just ended by itself


_here = threading.local()


class _Noting:
    """Mixed into urllib3's connections: notes the call's socket and the moment before its first byte leaves."""

    sock: Any
    connect: Callable[[], None]

    def send(self, data: Any) -> None:
        call: _Call | None = getattr(_here, "call", None)
        if self.sock is None:
            self.connect()
        if call is not None:
            call.connection = self
            call.sent = True
            if call.expired:
                raise TimeoutError("deadline passed")
        super().send(data)  # type: ignore[misc]


class _Http(_Noting, HTTPConnection):
    pass


class _Https(_Noting, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Watchdog:
    """One thread that ends calls whose wall-clock deadline has passed; requests' time-outs bound single reads only."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Call]] = []
        self._count = itertools.count()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, call: _Call) -> None:
        with self._wake:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="http-watchdog", daemon=True)
                self._thread.start()
            heapq.heappush(self._heap, (call.deadline, next(self._count), call))
            if self._heap[0][2] is call:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._heap and (self._heap[0][2].finished or self._heap[0][0] <= time.monotonic()):
                    call = heapq.heappop(self._heap)[2]
                    if not call.finished:
                        call.abort()
                self._wake.wait(self._heap[0][0] - time.monotonic() if self._heap else None)


_watchdog = _Watchdog()


class Http:
    """Sends requests. Safe to share between threads: each has its own session.

    `deadline` is seconds of wall clock for a whole call. `secrets` are values that must never appear in a
    sample or a message.
    """

    def __init__(self, deadline: float = 30.0, secrets: Iterable[str] = ()) -> None:
        self.deadline = deadline
        self._secrets = {secret for secret in secrets if secret}
        self._local = threading.local()

    def hide(self, *secrets: str) -> None:
        """Adds values (a fresh token) to those that are redacted."""
        self._secrets.update(secret for secret in secrets if secret)

    def redact(self, text: str) -> str:
        """The text with every known secret and every bearer token replaced by «redacted»."""
        for secret in tuple(self._secrets):
            text = text.replace(secret, "«redacted»")
        return re.sub(r"(?i)(bearer|basic)\s+[\w.~+/=-]{8,}", r"\1 «redacted»", text)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        unsafe: bool,
        guard: Callable[[], None] | None = None,
        capture: bool = True,
    ) -> Answer:
        """Sends one request and returns whatever answer came, of any status.

        `unsafe`: doing it twice would matter. `guard` is called right before an unsafe request leaves and may
        refuse by raising. Raises `Unavailable` (surely not done) or `Uncertain` (it may have been done).
        `capture=False` keeps both bodies out of the sample (token requests).
        """
        session = self._session()
        request = session.prepare_request(
            requests.Request(method, url, headers=dict(headers or {}), params=dict(query or {}), data=body)
        )
        if guard is not None:
            guard()
        started = time.monotonic()
        call = _Call(started + self.deadline)
        _here.call = call
        _watchdog.watch(call)
        try:
            response = session.send(request, timeout=(CONNECT_TIMEOUT, self.deadline), allow_redirects=False)
        except (requests.RequestException, OSError, ValueError) as error:
            sample = self._sample(request, None, time.monotonic() - started, capture)
            raise self._failure(call, error, unsafe, sample) from None
        finally:
            call.finished = True
            _here.call = None
        return Answer(
            response.status_code,
            response.headers,
            response.content,
            self._sample(request, response, time.monotonic() - started, capture),
        )

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter(pool_connections=8, pool_maxsize=2, max_retries=0))
            self._local.session = session
        return session

    def _failure(self, call: _Call, error: Exception, unsafe: bool, sample: Sample) -> ConnectorError:
        reason = f"no answer within {self.deadline:g} s" if call.expired else self.redact(str(error))
        host = sample.url.split("/")[2] if "//" in sample.url else sample.url
        if call.sent and unsafe:
            return Uncertain(f"{host}: the request left, but its outcome is unknown: {reason}", sample=sample)
        if call.sent:
            return Unavailable(f"{host} did not answer: {reason}", sample=sample)
        return Unavailable(f"{host} cannot be reached, nothing was sent: {reason}", sample=sample)

    def _sample(
        self, request: requests.PreparedRequest, response: requests.Response | None, seconds: float, capture: bool
    ) -> Sample:
        return Sample(
            method=request.method or "",
            url=self.redact(request.url or ""),
            request=self._shown(request.body) if capture else "«not kept»",
            status=response.status_code if response is not None else None,
            response=self._shown(response.content if response is not None else b"") if capture else "«not kept»",
            seconds=round(seconds, 4),
        )

    def _shown(self, body: Any) -> str:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
        return self.redact(text[:SAMPLE_LIMIT])


def dump_json(value: Any) -> str:
    """JSON with `Decimal` written as an exact number (the standard encoder would go through binary floating point)."""

    def mark(item: Any) -> Any:
        if isinstance(item, Decimal):
            return f"\ue000{item:f}\ue001"
        if isinstance(item, Mapping):
            return {key: mark(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [mark(inner) for inner in item]
        return item

    text = json.dumps(mark(value), ensure_ascii=False, separators=(",", ":"))
    return re.sub('"\ue000([-0-9.]+)\ue001"', r"\1", text)
