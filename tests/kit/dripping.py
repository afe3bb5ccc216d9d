"""Raw HTTP servers that answer as badly as the world does: slowly, in parts, wrongly, or not at all."""

import json
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.kit.processes import free_port

Behaviour = Callable[["Exchange"], None]
BODY = json.dumps({"id": "remote-1", "total": "111.54"}).encode()


class Exchange:
    """One request that was read whole; the behaviour decides what becomes of it."""

    def __init__(self, sock: socket.socket, request: bytes, stopping: threading.Event) -> None:
        self.sock = sock
        self.request = request
        self.stopping = stopping

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Waits; False when the server is closing."""
        return not self.stopping.wait(seconds)


def response(body: bytes = BODY, status: str = "200 OK", length: int | None = None, extra: str = "") -> bytes:
    """A whole answer as bytes; `length` is what it claims."""
    claimed = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {claimed}\r\n{extra}\r\n"
    return head.encode() + body


def replies(body: bytes = BODY, status: str = "200 OK") -> Behaviour:
    """A decent answer."""
    return lambda exchange: exchange.send(response(body, status))


def drips(every: float = 1.0, whole: bytes | None = None) -> Behaviour:
    """One byte at a time: each read succeeds, the whole never ends in time."""

    def behave(exchange: Exchange) -> None:
        for byte in whole or response():
            exchange.send(bytes([byte]))
            if not exchange.pause(every):
                return

    return behave


def cuts_in_headers() -> Behaviour:
    """Ends the connection in the middle of a header line."""
    return lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: applic")


def cuts_in_body() -> Behaviour:
    """Ends the connection half-way through the body."""
    return lambda exchange: exchange.send(response()[: -len(BODY) // 2])


def cuts_at_once(*, reset: bool = False) -> Behaviour:
    """Ends the connection without a byte of an answer, with RST if asked."""

    def behave(exchange: Exchange) -> None:
        if reset:
            exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def sends_garbage(body: bytes = b"\x00\xff<html>Bad gateway", status: str = "200 OK") -> Behaviour:
    """A proper frame around a body that is not what was promised."""
    return replies(body, status)


def sends_no_http() -> Behaviour:
    """Bytes that are not HTTP at all."""
    return lambda exchange: exchange.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")


def claims_length(by: int) -> Behaviour:
    """Content-Length is wrong by so much: more than zero promises too much, less than zero too little."""
    return lambda exchange: exchange.send(response(length=len(BODY) + by))


def never_answers() -> Behaviour:
    """Reads the request and falls silent until the server is closed."""

    def behave(exchange: Exchange) -> None:
        exchange.stopping.wait()

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first request gets the first behaviour, and so on; the last one stays."""
    rest = list(behaviours)
    lock = threading.Lock()

    def behave(exchange: Exchange) -> None:
        with lock:
            now = rest.pop(0) if len(rest) > 1 else rest[0]
        now(exchange)

    return behave


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


class HostileServer:
    """Serves one behaviour at `url`, one request a connection; `requests` holds the bytes of each."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[bytes] = []
        self.port = free_port()
        self._stopping = threading.Event()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._handle(self.request)

        self._server = _Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str = "") -> int:
        """How many requests came, or how many of one method."""
        return sum(request.startswith(method.encode()) for request in list(self.requests))

    def close(self) -> None:
        """Ends the server and every answer that is under way."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _handle(self, sock: socket.socket) -> None:
        with suppress(OSError):
            request = _read_request(sock)
            if request:
                self.requests.append(request)
                self.behaviour(Exchange(sock, request, self._stopping))
        sock.close()


def _read_request(sock: socket.socket) -> bytes:
    """Headers and the body they announce; what arrived, if the client hangs up before."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := sock.recv(65536)):
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    while len(body) < _announced(head):
        if not (piece := sock.recv(65536)):
            break
        body += piece
    return head + b"\r\n\r\n" + body


def _announced(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def drip(connection: socket.socket, data: bytes, every: float) -> None:
    """Sends one byte after the other, a pause between them, until the other side has had enough."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(every)
    except OSError:
        return
