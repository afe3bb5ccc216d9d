"""The only door to the outside: one requests adapter a thread, a wall-clock deadline, exact decimals, redaction.

Whether a call may have happened is known here and nowhere else: the connection notes the moment before
its first byte leaves. A call that failed before that moment is surely not done, whatever failed; an
unsafe call that failed after it is `Uncertain`.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.hooks import default_hooks
from requests.utils import default_headers
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from connectors.errors import ConnectorError, Sample, Unavailable, Uncertain

CONNECT_TIMEOUT = 5.0
SAMPLE_LIMIT = 64_000
"""Characters of a request or response kept for the trail."""
_REDACTED = "«redacted»"
_CREDENTIALS = re.compile(r"((?i:bearer|basic))\s+(?=[a-z.~/-]*[0-9A-Z_+=])[\w.~+/=-]{8,}")
_HEADERS = dict(default_headers())
_USER_INFO = re.compile(r"//[^/\s@\"']+@")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `json()` reads numbers exactly, as `Decimal`."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sample: Sample

    def json(self) -> Any:
        """The parsed body; raises `ValueError` when it is not JSON."""
        return json.loads(self.body, parse_float=Decimal, parse_constant=_no_constant)

    @property
    def retry_after(self) -> float | None:
        """Seconds from the Retry-After header (a number or an HTTP date), never negative."""
        value = self.headers.get("Retry-After")
        if value is None:
            return None
        if re.fullmatch(r"\d{1,9}(\.\d*)?", value.strip()):
            return float(value)
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (TypeError, ValueError):
            return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class _Call:
    """One call in flight in this thread: has its first byte left, and which socket carries it."""

    __slots__ = ("_lock", "_own", "_sock", "deadline", "expired", "finished", "sent")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self.expired = False
        self.finished = False
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._own: socket.socket | None = None

    def connected(self, sock: socket.socket) -> None:
        """The TCP connection stands, TLS may follow: a duplicate, as TLS takes the socket object over."""
        with self._lock:
            self._sock = self._own = sock.dup()

    def leaves(self, sock: socket.socket) -> None:
        """The first byte is about to leave on this socket. Raises when the deadline has passed already."""
        with self._lock:
            if self.expired:
                raise TimeoutError("deadline passed")
            self._sock = sock
            self.sent = True

    def abort(self) -> None:
        """Ends the call from outside by resetting its socket; the blocked thread then fails at once."""
        with self._lock:
            if self.finished:
                return  # its socket may carry the next call by now
            self.expired = True
            if self._sock is None:
                return
            try:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            except OSError:
                return  # the call has just ended by itself

    def finish(self) -> None:
        with self._lock:
            self.finished = True
            self._sock = None
            if self._own is not None:
                self._own.close()


_here = threading.local()


class _Lines:
    """The file of an answer while its headers are read; remembers the last line."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.file.readline(limit)
        return self.last

    def close(self) -> None:
        self.file.close()


class _WholeHeaders(HTTPResponse):
    """The standard class takes a connection cut inside the headers for their end, and what came for an answer."""

    def begin(self) -> None:
        self.fp: Any
        lines = self.fp = _Lines(self.fp)
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = lines.file
        if lines.last not in {b"\r\n", b"\n"}:
            raise RemoteDisconnected("the connection was cut inside the answer's headers")


class _Noting:
    """Mixed into urllib3's connections: notes the call's socket and the moment before its first byte leaves."""

    sock: Any
    connect: Callable[[], None]
    response_class: Any = _WholeHeaders

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        call: _Call | None = getattr(_here, "call", None)
        if call is not None:
            call.connected(sock)
        return sock

    def send(self, data: Any) -> None:
        call: _Call | None = getattr(_here, "call", None)
        if self.sock is None:
            self.connect()
        if call is not None:
            call.leaves(self.sock)
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
                    heapq.heappop(self._heap)[2].abort()
                self._wake.wait(self._heap[0][0] - time.monotonic() if self._heap else None)


_watchdog = _Watchdog()


class Http:
    """Sends requests. Safe to share between threads: each has its own connections.

    `deadline` is seconds of wall clock for a whole call. `secrets` are values that must never appear in a
    sample or a message. `ca_file`: PEM file of the authorities that are trusted in place of the public ones.
    """

    def __init__(self, deadline: float = 30.0, secrets: Iterable[str] = (), ca_file: Path | None = None) -> None:
        self.deadline = deadline
        self._verify = True if ca_file is None else str(ca_file)
        self._secrets: tuple[str, ...] = ()
        self._local = threading.local()
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Adds values (a fresh token) to those that are redacted, also as they look inside a URL or JSON text."""
        fresh = [secret for secret in secrets if secret and secret not in self._secrets]
        if not fresh:
            return
        known = set(self._secrets)
        for secret in fresh:
            known.update((secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]))
        self._secrets = tuple(sorted(known, key=len, reverse=True))  # a secret may begin with a shorter one

    def redact(self, text: str) -> str:
        """The text with every known secret, bearer token and password in a URL replaced by «redacted»."""
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        text = _CREDENTIALS.sub(rf"\1 {_REDACTED}", text)
        return _USER_INFO.sub(f"//{_REDACTED}@", text)

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
        request = self._prepared(method, url, headers or {}, query or {}, body)
        if guard is not None:
            guard()
        started = time.monotonic()
        call = _Call(started + self.deadline)
        _here.call = call
        _watchdog.watch(call)
        try:
            response = self._exchange(request, call)
        except Exception as error:
            sample = self._sample(request, None, time.monotonic() - started, capture)
            raise self._failure(call, error, unsafe, sample) from None
        finally:
            call.finish()
            _here.call = None
        sample = self._sample(request, response, time.monotonic() - started, capture)
        return Answer(response.status_code, response.headers, response.content, sample)

    def _exchange(self, request: requests.PreparedRequest, call: _Call) -> requests.Response:
        timeout = (min(CONNECT_TIMEOUT, self.deadline), self.deadline + 1)  # the watchdog comes first
        response = self._adapter().send(request, timeout=timeout, verify=self._verify)
        _ = response.content  # read here: the body is a part of the call
        if call.expired:  # a reset socket looks like the end of an answer that names no length
            raise TimeoutError
        return response

    def _prepared(
        self, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str], body: str | bytes | None
    ) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.hooks = default_hooks()
        try:
            request.prepare_method(method)
            request.url = _address(url, tuple(query.items()))
            request.prepare_headers({**_HEADERS, **headers})
            request.prepare_cookies({})
            request.prepare_body(body, None)
            return request
        except (requests.RequestException, ValueError) as error:
            where = self.redact(url)
            raise Unavailable(f"{where} cannot be called, nothing was sent: {self.redact(str(error))}") from None

    def _adapter(self) -> HTTPAdapter:
        """The connections of this thread. No session of requests around it: no redirects, cookies, netrc or proxies
        of the environment, which a tenth of the call went into switching off."""
        adapter: HTTPAdapter | None = getattr(self._local, "adapter", None)
        if adapter is None or self._local.process != os.getpid():  # a forked process must not share connections
            adapter = _Adapter(pool_connections=8, pool_maxsize=2, max_retries=0)
            self._local.adapter, self._local.process = adapter, os.getpid()
        return adapter

    def _failure(self, call: _Call, error: Exception, unsafe: bool, sample: Sample) -> ConnectorError:
        reason = f"no answer within {self.deadline:g} s" if call.expired else self.redact(_root(error))
        host = urlsplit(sample.url).netloc.rpartition("@")[2]
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
        return self.redact(text)[:SAMPLE_LIMIT]  # in this order: half a secret would not be recognised


@lru_cache(maxsize=256)
def _address(url: str, query: tuple[tuple[str, str], ...]) -> str:
    """The address with its query, encoded. Raises what requests finds wrong with it."""
    request = requests.PreparedRequest()
    request.prepare_url(url, dict(query))
    return str(request.url)


def _root(error: BaseException) -> str:
    """What went wrong at the bottom of a stack of wrapped errors, in the system's own words."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = [getattr(error, "reason", None), *error.args, error.__cause__]
        error = next((found for found in inner if isinstance(found, BaseException)), error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def dump_json(value: Any) -> str:
    """JSON with `Decimal` written as an exact number (the standard encoder would go through binary floating point).

    Raises `ValueError` for what JSON has no number for (NaN, Infinity).
    """

    def mark(item: Any) -> Any:
        if isinstance(item, Decimal):
            if not item.is_finite():
                raise ValueError(f"{item} is not a JSON number")
            return f"\ud800{item:f}\ud801"  # lone surrogates: no text that can be sent holds them
        if isinstance(item, Mapping):
            return {key: mark(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [mark(inner) for inner in item]
        return item

    text = json.dumps(mark(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub('"\ud800([-0-9.]+)\ud801"', r"\1", text)
