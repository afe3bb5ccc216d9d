"""Serves every emulator on one port: `/xero/…`, `/stripe/…`; faults, latency and quota counting around them.

Control, for tests, the demo and the curious:

    GET  /_sandbox/health
    PUT  /_sandbox/faults/{slug}   a `Faults` document
    GET  /_sandbox/report          per platform: calls, faults injected, refused for quota, most in flight
    GET  /_sandbox/ledger/{slug}   every invoice in the books
    GET  /_sandbox/calls/{slug}    the last 10,000 calls: time, method, target, status, fault
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sqlite3
import struct
import time
from collections import Counter, deque
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httptools
from pydantic import ValidationError

from connectors.sandbox.base import Emulator, Request, Response, Rolling, emulators
from connectors.sandbox.faults import Fault, Faults, Injector

_BEFORE = {Fault.ERROR_BEFORE, Fault.CUT_BEFORE, Fault.THROTTLE, Fault.LATE}


class Hosted:
    """One emulator with what surrounds it."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.injector = Injector()
        self.calls: deque[dict[str, Any]] = deque(maxlen=10_000)
        self.count = 0
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight = 0
        self.limited = True

    def report(self) -> dict[str, Any]:
        return {
            "calls": self.count,
            "faults": dict(self.injector.injected),
            "refused_for_quota": self.emulator.refused_for_quota,
            "most_in_flight": self.most_in_flight,
        }


class Sandbox:
    """All emulators over one SQLite database (`path`; in memory when None)."""

    def __init__(self, path: Path | None = None, slugs: list[str] | None = None) -> None:
        self.database = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute("PRAGMA synchronous=OFF")
        self.hosted = {
            slug: Hosted(kind(self.database, time.time))
            for slug, kind in emulators().items()
            if slugs is None or slug in slugs
        }

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Starts to listen; port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), host, port, backlog=512)

    def lift_limits(self) -> None:
        """No emulator of this process heeds quotas from now on: what is measured then is the client."""
        Rolling.heeded = False
        for hosted in self.hosted.values():
            hosted.limited = False

    def control(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")[1:]
        if parts == ["health"]:
            return Response.json(200, {"platforms": list(self.hosted)})
        if parts == ["report"]:
            return Response.json(200, {slug: hosted.report() for slug, hosted in self.hosted.items()})
        if len(parts) == 2 and parts[1] in self.hosted:
            hosted = self.hosted[parts[1]]
            if parts[0] == "ledger":
                return Response.json(200, [dataclasses.asdict(entry) for entry in hosted.emulator.ledger()])
            if parts[0] == "calls":
                return Response.json(200, list(hosted.calls))
            if parts[0] == "faults" and request.method == "PUT":
                try:
                    hosted.injector.configure(Faults.model_validate_json(request.body))
                except ValidationError as error:
                    return Response.json(422, {"error": str(error)})
                return Response.json(200, {})
        return Response.json(404, {"error": "no such page in the sandbox"})


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time; raw enough to cut an answer anywhere."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.transport: asyncio.Transport
        self.tasks: set[asyncio.Task[None]] = set()
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def on_message_begin(self) -> None:
        self.target, self.body = b"", b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        request = Request(method, self.target.decode("latin-1"), self.headers, self.body)
        task = asyncio.get_running_loop().create_task(self.answer(request, self.parser.should_keep_alive()))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    async def answer(self, request: Request, keep_alive: bool) -> None:
        slug, _, rest = request.target.lstrip("/").partition("/")
        try:
            if slug == "_sandbox":
                self.write(self.sandbox.control(request))
            elif slug in self.sandbox.hosted:
                await self.emulate(self.sandbox.hosted[slug], dataclasses.replace(request, target="/" + rest))
            else:
                self.write(Response.json(404, {"error": f"the sandbox has no platform {slug!r}"}))
        except Exception as error:  # a bug of an emulator: said to the client too, which would wait in vain
            self.write(Response.json(500, {"error": f"the sandbox failed: {error!r}"}))
            raise
        finally:
            if not keep_alive:
                self.transport.close()

    async def emulate(self, hosted: Hosted, request: Request) -> None:
        fault = hosted.injector.draw(request, hosted.emulator.creates(request))
        call = {"at": time.time(), "method": request.method, "target": request.target, "fault": fault, "status": None}
        hosted.calls.append(call)
        hosted.count += 1
        tenant = hosted.emulator.tenant(request)
        hosted.in_flight[tenant] += 1
        hosted.most_in_flight = max(hosted.most_in_flight, hosted.in_flight[tenant])
        try:
            response = await self.carry_out(hosted, request, fault, hosted.in_flight[tenant])
        finally:
            hosted.in_flight[tenant] -= 1
        call["status"] = response.status if response else None
        if response is not None:
            await self.deliver(response, fault)

    async def carry_out(self, hosted: Hosted, request: Request, fault: Fault | None, in_flight: int) -> Response | None:
        """The emulator's answer with the fault's effect on the *call*; None when the connection is already cut."""
        emulator, faults = hosted.emulator, hosted.injector.faults
        if faults.latency:
            await asyncio.sleep(faults.latency)
        if hosted.limited and emulator.concurrent is not None and in_flight > emulator.concurrent:
            emulator.refused_for_quota += 1
            return emulator.too_many(1.0)
        if fault in _BEFORE:
            return await self.instead(hosted, request, fault)
        if fault is Fault.EXPIRE_TOKENS:
            emulator.expire_tokens()
        if fault is Fault.REFUSE_ELEMENT:
            request = emulator.refuse_element(request)
        if fault is Fault.ERROR_STORED:
            request = dataclasses.replace(request, headers={**request.headers, "x-sandbox-fault": "error_stored"})
        response = emulator.handle(request)
        if fault is Fault.SLOW:
            with suppress(TimeoutError):  # nobody is kept waiting who has gone
                await asyncio.wait_for(self.gone.wait(), faults.slow_seconds)
        return emulator.failure(500) if fault is Fault.ERROR_AFTER else response

    async def instead(self, hosted: Hosted, request: Request, fault: Fault | None) -> Response | None:
        """What happens when the call is not carried out (now)."""
        emulator, faults = hosted.emulator, hosted.injector.faults
        if fault is Fault.ERROR_BEFORE:
            return emulator.failure(500)
        if fault is Fault.THROTTLE:
            return emulator.too_many(faults.throttle_seconds)
        self.reset()
        if fault is Fault.LATE:
            await asyncio.sleep(faults.late_seconds)
            emulator.handle(request)
        return None

    async def deliver(self, response: Response, fault: Fault | None) -> None:
        """Writes the answer with the fault's effect on the *wire*."""
        if fault is Fault.ANSWER_LOST:
            self.reset()
        elif fault is Fault.CUT_HEADERS or (fault is Fault.TRUNCATED and not response.body):
            self.transport.write(_head(response)[:25])
            self.transport.close()
        elif fault is Fault.TRUNCATED:
            self.write(Response(response.status, response.body[: len(response.body) // 2], response.headers))
        elif fault is Fault.GARBAGE:
            self.write(
                Response(200, b"<html><body>Service temporarily busy</body></html>", {"Content-Type": "text/html"})
            )
        elif fault is Fault.DRIP:
            for byte in _head(response) + response.body:
                if self.transport.is_closing():
                    return
                self.transport.write(bytes([byte]))
                await asyncio.sleep(1)
        else:
            self.write(response)

    def write(self, response: Response) -> None:
        if not self.transport.is_closing():
            self.transport.write(_head(response) + response.body)

    def reset(self) -> None:
        """Cuts the connection with a reset, as a dying machine or a firewall would."""
        if self.transport.is_closing():
            return  # the client was faster
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
    if response.status != HTTPStatus.NO_CONTENT:  # which may not have one (RFC 9110, section 8.6)
        lines.append(f"Content-Length: {len(response.body)}")
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def run(host: str, port: int, path: Path | None = None) -> None:
    """Serves until interrupted."""

    async def forever() -> None:
        server = await Sandbox(path).serve(host, port)
        async with server:
            await server.serve_forever()

    asyncio.run(forever())
