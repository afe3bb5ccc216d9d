"""The sandbox on the wire: each fault does what `faults.py` says of it, and the control pages answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.faults import Fault, Faults, Injector, Scripted
from tests.contract.running import RunningSandbox
from tests.kit.processes import eventually


class Counting(Emulator):
    """Counts the calls it carries out; its answer is long enough to be cut."""

    slug = "counting"
    concurrent = 2

    def setup(self) -> None:
        self.done: list[str] = []
        self.seen: list[Request] = []
        self.expired = False

    def handle(self, request: Request) -> Response:
        if request.path == "/bug":
            raise RuntimeError("a bug of the emulator")
        self.seen.append(request)
        self.done.append(f"{request.method} {request.target}")
        if request.path == "/nothing":
            return Response(204)
        return Response.json(201, {"count": len(self.done), "filling": "x" * 40})

    def too_many(self, retry_after: float) -> Response:
        return Response.json(429, {"slow": True}, {"Retry-After": f"{retry_after:g}"})

    def failure(self, status: int) -> Response:
        return Response.json(status, {"oops": status})

    def expire_tokens(self) -> None:
        self.expired = True

    def refuse_element(self, request: Request) -> Request:
        return Request(request.method, request.target, request.headers, b"spoiled")

    def ledger(self) -> list[Entry]:
        return [Entry("1", "SO-1", "k", "Ada", ("x × 1 @ 2",), "GBP", "2.00", "issued")]


class Wire:
    """The sandbox with one emulator, spoken to byte by byte."""

    def __init__(self) -> None:
        self.sandbox = RunningSandbox([Counting])
        self.port = int(self.sandbox.url.rpartition(":")[2])
        self.emulator: Any = self.sandbox.sandbox.hosted["counting"].emulator

    def open(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def raw(self, method: str = "POST", path: str = "/counting/x", body: bytes = b"{}") -> bytes:
        """Everything that comes back on a connection that the client does not want to keep."""
        with self.open() as connection:
            connection.sendall(_request(method, path, body, "Connection: close\r\n"))
            return _rest(connection)

    def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        raw = self.raw(method, f"/_sandbox/{path}", json.dumps(body).encode() if body is not None else b"")
        head, _, text = raw.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(text)

    def break_next(self, fault: Fault, **options: Any) -> None:
        status, _ = self.control("PUT", "faults/counting", {"script": [{"fault": fault}], **options})
        assert status == 200


def _request(method: str, path: str, body: bytes, extra: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def _rest(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.sandbox.close()


def test_a_call_without_a_fault(wire: Wire) -> None:
    raw = wire.raw()
    assert raw.startswith(b"HTTP/1.1 201 Created\r\nContent-Length: ")
    assert wire.emulator.done == ["POST /x"]


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.CUT_BEFORE])
def test_faults_that_reset_the_connection(wire: Wire, fault: Fault) -> None:
    wire.break_next(fault)
    with pytest.raises(ConnectionResetError):
        wire.raw()
    assert len(wire.emulator.done) == (1 if fault is Fault.ANSWER_LOST else 0)


def test_an_answer_cut_inside_its_headers(wire: Wire) -> None:
    wire.break_next(Fault.CUT_HEADERS)
    raw = wire.raw()
    assert raw.startswith(b"HTTP/1.1 201")
    assert b"\r\n\r\n" not in raw
    assert len(wire.emulator.done) == 1


def test_an_answer_whose_json_is_cut_is_framed_properly(wire: Wire) -> None:
    wire.break_next(Fault.TRUNCATED)
    head, _, body = wire.raw().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)
    assert len(wire.emulator.done) == 1


@pytest.mark.parametrize(
    ("fault", "status", "part", "done"),
    [
        (Fault.GARBAGE, b"200", b"<html>", 1),
        (Fault.ERROR_AFTER, b"500", b'{"oops": 500}', 1),
        (Fault.ERROR_BEFORE, b"500", b'{"oops": 500}', 0),
        (Fault.THROTTLE, b"429", b"Retry-After: 3\r\n", 0),
    ],
)
def test_faults_that_answer_something_else(wire: Wire, fault: Fault, status: bytes, part: bytes, done: int) -> None:
    wire.break_next(fault, throttle_seconds=3)
    raw = wire.raw()
    assert raw.split()[1] == status
    assert part in raw
    assert len(wire.emulator.done) == done


def test_a_slow_answer_comes_late_but_whole(wire: Wire) -> None:
    wire.break_next(Fault.SLOW, slow_seconds=0.3)
    began = time.monotonic()
    assert b" 201 " in wire.raw()
    assert time.monotonic() - began >= 0.3


def test_a_late_call_is_carried_out_after_its_connection_is_gone(wire: Wire) -> None:
    wire.break_next(Fault.LATE, late_seconds=0.3)
    with pytest.raises(ConnectionResetError):
        wire.raw()
    assert wire.emulator.done == []
    eventually(lambda: wire.emulator.done == ["POST /x"], within=30)


def test_a_dripping_answer_comes_byte_by_byte(wire: Wire) -> None:
    wire.break_next(Fault.DRIP)
    with wire.open() as connection:
        connection.sendall(_request("POST", "/counting/x", b""))
        assert connection.recv(100) == b"H"
        assert connection.recv(100) == b"T"
    assert len(wire.emulator.done) == 1


def test_faults_that_change_the_call(wire: Wire) -> None:
    wire.break_next(Fault.EXPIRE_TOKENS)
    wire.raw()
    assert wire.emulator.expired
    wire.break_next(Fault.REFUSE_ELEMENT)
    wire.raw()
    assert wire.emulator.seen[-1].body == b"spoiled"
    wire.break_next(Fault.ERROR_STORED)
    wire.raw()
    assert wire.emulator.seen[-1].headers["x-sandbox-fault"] == "error_stored"


def test_a_connection_is_kept_and_its_requests_answered_in_turn(wire: Wire) -> None:
    with wire.open() as connection:
        for number in (1, 2, 3):
            connection.sendall(_request("POST", "/counting/x", b"{}"))
            raw = connection.recv(65536)
            assert json.loads(raw.partition(b"\r\n\r\n")[2])["count"] == number
        connection.sendall(_request("POST", "/counting/nothing", b""))
        raw = connection.recv(65536)
        assert raw == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_request_in_pieces_and_in_chunks(wire: Wire) -> None:
    with wire.open() as connection:
        connection.sendall(b"POST /counting/ch")
        connection.sendall(b"unks?a=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        connection.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert b" 201 " in connection.recv(65536)
    assert (wire.emulator.seen[0].body, wire.emulator.seen[0].query) == (b"abcde", {"a": "1"})


def test_what_is_not_http_ends_the_connection(wire: Wire) -> None:
    with wire.open() as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100) == b""


def test_a_bug_of_an_emulator_is_answered(wire: Wire) -> None:
    raw = wire.raw(path="/counting/bug")
    assert b" 500 " in raw
    assert b"a bug of the emulator" in raw


def test_more_calls_at_once_than_allowed_are_refused_and_counted(wire: Wire) -> None:
    assert wire.control("PUT", "faults/counting", {"latency": 0.4})[0] == 200
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(wire.raw())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(raw.split()[1] for raw in answers) == [b"201", b"201", b"429", b"429"]
    report = wire.control("GET", "report")[1]["counting"]
    assert report == {"calls": 4, "faults": {}, "refused_for_quota": 2, "most_in_flight": 4}
    assert wire.sandbox.run(wire.sandbox.sandbox.hosted["counting"].in_flight.total) == 0


def test_control_pages(wire: Wire) -> None:
    assert wire.control("GET", "health") == (200, {"platforms": ["counting"]})
    wire.break_next(Fault.ERROR_AFTER)
    wire.raw(path="/counting/made?x=1")
    (call,) = wire.control("GET", "calls/counting")[1]
    assert {**call, "at": 0} == {
        "at": 0,
        "method": "POST",
        "target": "/made?x=1",
        "fault": "error_after",
        "status": 500,
    }
    assert wire.control("GET", "report")[1]["counting"]["faults"] == {"error_after": 1}
    status, (entry,) = wire.control("GET", "ledger/counting")
    assert (status, entry["reference"], entry["total"]) == (200, "SO-1", "2.00")
    assert wire.control("GET", "nonsense")[0] == 404
    assert wire.control("GET", "ledger/nobody")[0] == 404
    assert b"no platform 'nobody'" in wire.raw(path="/nobody/x")


@pytest.mark.parametrize("body", [{"rates": {"no such fault": 1}}, {"ratse": {}}, [], {"latency": "x"}])
def test_faults_that_do_not_exist_are_refused_in_words(wire: Wire, body: Any) -> None:
    status, answer = wire.control("PUT", "faults/counting", body)
    assert status == 422
    assert answer["error"]


def _post(path: str = "/x") -> Request:
    return Request("POST", path, {}, b"")


def test_scripted_faults_fall_on_the_calls_they_name_and_then_are_over() -> None:
    injector = Injector()
    injector.configure(Faults(script=[Scripted(fault=Fault.DRIP, match="POST /a", times=2)]))
    drawn = [injector.draw(_post(path), False) for path in ("/b", "/a1", "/a2", "/a3")]
    assert drawn == [None, Fault.DRIP, Fault.DRIP, None]
    assert injector.injected == {Fault.DRIP: 2}


def test_rates_fall_on_unsafe_calls_only_and_repeat_with_their_seed() -> None:
    def drawn(seed: int, creates: bool = True) -> list[Fault | None]:
        injector = Injector()
        injector.configure(Faults(rates={Fault.DRIP: 0.2, Fault.GARBAGE: 0.1}, seed=seed))
        return [injector.draw(_post(), creates) for _ in range(2000)]

    first = drawn(1)
    assert first == drawn(1) != drawn(2)
    assert 300 < first.count(Fault.DRIP) < 500
    assert 120 < first.count(Fault.GARBAGE) < 280
    assert set(drawn(1, creates=False)) == {None}


def test_a_rolling_quota_refuses_the_call_too_many_until_the_window_has_moved() -> None:
    quota = Rolling(2, 10)
    for now in (100.0, 104.0):
        assert quota.wait(now) == 0
        quota.take(now)
    assert (quota.wait(105.0), quota.remaining) == (5.0, 0)
    assert (quota.wait(110.0), quota.remaining) == (0.0, 1)
