"""A pure-Python Redis where no real server can be had: fakeredis' TCP server, made fit for Celery.

Redis is only the doorbell here, so it may be slow and forget everything when it ends. What is added: TCP_NODELAY (its
replies leave in several small writes, which meet delayed ACKs: 11 tasks a second without), a password, and
connections that survive an error answer, as they do with the real server.
"""

from __future__ import annotations

import hmac
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import redis
from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from fakeredis._helpers import SimpleError


class _Handler(TCPFakeRequestHandler):
    """One client: nothing but AUTH and HELLO until it has given the password."""

    server: Server

    def setup(self) -> None:
        super().setup()
        self.known = False
        client: Any = self.current_client
        self.pipe = client.get_socket()
        self.carry_out = self.pipe._process_command
        self.pipe._process_command = self.gate
        read = client.read_response

        def answer(*args: Any, **kwargs: Any) -> Any:
            try:
                return read(*args, **kwargs)
            except redis.ResponseError as error:  # an answer like any other
                return error

        client.read_response = answer

    def gate(self, fields: list[bytes]) -> None:
        name = fields[0].upper() if fields else b""
        if name == b"AUTH":
            self.prove(fields[-1])
            self.pipe.put_response(b"OK" if self.known else _WRONG)
        elif name == b"HELLO" and b"AUTH" in (upper := [field.upper() for field in fields]):
            at = upper.index(b"AUTH")
            self.prove(fields[at + 2] if len(fields) > at + 2 else b"")
            self.process(fields[:at] + fields[at + 3 :], _WRONG)
        else:
            self.process(fields, _UNKNOWN)

    def prove(self, password: bytes) -> None:
        self.known = hmac.compare_digest(password, self.server.password)

    def process(self, fields: list[bytes], refusal: SimpleError) -> None:
        if self.known:
            self.carry_out(fields)
        else:
            self.pipe.put_response(refusal)


_WRONG = SimpleError("WRONGPASS invalid username-password pair or user is disabled.")
_UNKNOWN = SimpleError("NOAUTH Authentication required.")


class Server(TcpFakeServer):
    """Listens on `address`; serves those who know the password."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], password: str) -> None:
        super().__init__(address, server_type="valkey")
        self.daemon_threads = True
        self.RequestHandlerClass = _Handler
        self.password = password.encode()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


if __name__ == "__main__":
    url = urlsplit(os.environ["BILLHOOK_REDIS_URL"])
    Server((url.hostname or "127.0.0.1", url.port or 6379), url.password or "").serve_forever()
