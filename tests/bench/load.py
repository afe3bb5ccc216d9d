"""A client of the benchmarks: keep-alive connections over raw sockets, in a process of its own.

    python -m tests.bench.load < settings.json > result.json

It does as little as can be for a request (a send, a read, a look at the status), so that the endpoint has the machine
to itself as far as possible; what it costs is measured too.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from typing import Any

from tests.bench.world import event

PATIENCE = 30.0
"""Seconds without any answer after which the client gives up."""


class Line:
    """One connection with one request in flight."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""
        self.began = 0.0

    def send(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.sock.sendall(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body, None while it is not complete. Raises `ConnectionError` when the other side hung up."""
        more = self.sock.recv(1 << 20)
        if not more:
            raise ConnectionError("the endpoint closed the connection")
        self.heard += more
        head, found, body = self.heard.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return None
        self.heard = b""
        return int(head[9:12]), body


class Load:
    """Requests over `connections` for `seconds`, or until `total` events are sent.

    Each carries `each` events (1: a single one, not an array); they are numbered from `first`.
    """

    def __init__(
        self, *, port: int, api_key: str, connections: int, first: int, customers: int, each: int = 1,
        seconds: float = float("inf"), total: float = float("inf"),
    ) -> None:  # fmt: skip
        self.seconds, self.each, self.customers = seconds, each, customers
        self.number, self.end = first, first + total
        self.head = (
            f"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api_key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self.lines = [Line(port) for _ in range(connections)]
        self.statuses: Counter[int] = Counter()
        self.took: list[float] = []
        self.began_at = 0.0
        self.first = first

    def run(self) -> dict[str, Any]:
        selector = selectors.DefaultSelector()
        for line in self.lines:
            selector.register(line.sock, selectors.EVENT_READ, line)
        self.began_at, began = time.time(), time.perf_counter()
        until, busy = began + self.seconds, 0
        for line in self.lines:
            if self.number < self.end:
                line.send(self.request())
                busy += 1
        while busy:
            ready = selector.select(PATIENCE)
            if not ready:
                raise TimeoutError(f"no answer within {PATIENCE:g} s")
            for key, _ in ready:
                if (answer := key.data.answer()) is None:
                    continue
                now = time.perf_counter()
                self.statuses[answer[0]] += 1
                self.took.append(now - key.data.began)
                if now < until and self.number < self.end:
                    key.data.send(self.request())
                else:
                    busy -= 1
        return self.result(time.perf_counter() - began)

    def request(self) -> bytes:
        after = int(min(self.number + self.each, self.end))
        events = [event(number, self.customers) for number in range(self.number, after)]
        self.number = after
        body = events[0] if self.each == 1 else b"[" + b",".join(events) + b"]"
        return b"%s%d\r\n\r\n%s" % (self.head, len(body), body)

    def result(self, seconds: float) -> dict[str, Any]:
        self.took.sort()
        whole = set(self.statuses) == {202}
        accepted = self.number - self.first if whole else self.statuses[202] * self.each
        return {
            "accepted": accepted,
            "began_at": self.began_at,
            "seconds": seconds,
            "per_second": accepted / seconds,
            "p50_ms": self.took[len(self.took) // 2] * 1000,
            "p99_ms": self.took[min(len(self.took) - 1, int(len(self.took) * 0.99))] * 1000,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "next": self.number,
        }


if __name__ == "__main__":
    print(json.dumps(Load(**json.load(sys.stdin)).run()))
