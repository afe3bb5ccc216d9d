"""Every fault has its name: what a broken connection or answer means at a create and at a look-up."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import ConnectorError, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.model import Status
from tests.contract import orders
from tests.contract.attempts import Try, look
from tests.contract.running import Subject
from tests.contract.test_platforms import ORDER, agreeing, offline, planned, replies
from tests.kit import dripping
from tests.kit.dripping import HostileServer
from tests.kit.processes import free_port

WAITS = {"read time-out", "slow drip", "slow drip of an answer without a length"}
"""Faults that last until the deadline."""
TRIES = 5
Server = Callable[[], Any]


@contextmanager
def hostile(behaviour: dripping.Behaviour) -> Iterator[tuple[str, Callable[[], list[bytes]]]]:
    server = HostileServer(behaviour)
    yield server.url, lambda: server.requests
    server.close()


@contextmanager
def address(url: str) -> Iterator[tuple[str, Callable[[], list[bytes]]]]:
    yield url, list


@contextmanager
def no_tls() -> Iterator[tuple[str, Callable[[], list[bytes]]]]:
    """Something listens, but it does not speak TLS."""

    class Plain(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 400 This is plain HTTP\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}", list
        server.shutdown()


def broken(status: int) -> Server:
    """Answers everything with this status and a page that is not the platform's."""
    return lambda: hostile(replies(b"<html>", f"{status} Status"))


NOT_SENT: dict[str, Server] = {
    "connection refused": lambda: address(f"http://127.0.0.1:{free_port()}"),
    "no such host": lambda: address("http://no-such-host.invalid"),
    "no TLS": no_tls,
}
MAYBE_DONE: dict[str, Server] = {
    "read time-out": lambda: hostile(dripping.never_answers()),
    "slow drip": lambda: hostile(dripping.drips(0.05)),
    "slow drip of an answer without a length": lambda: hostile(
        dripping.drips(0.02, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{" + b" " * 500)
    ),
    "cut without an answer": lambda: hostile(dripping.cuts_at_once()),
    "reset": lambda: hostile(dripping.cuts_at_once(reset=True)),
    "cut inside a header": lambda: hostile(dripping.cuts_in_headers()),
    "cut between headers": lambda: hostile(lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\nDate: now\r\n")),
    "cut in the body": lambda: hostile(dripping.cuts_in_body()),
    "longer than it is": lambda: hostile(dripping.claims_length(7)),
    "not HTTP": lambda: hostile(dripping.sends_no_http()),
    "garbage with 200": lambda: hostile(replies(b"\x00\xff<html>Bad gateway")),
    "an empty object with 200": lambda: hostile(replies(b"{}")),
    "nothing with 200": lambda: hostile(replies(b"")),
    **{f"status {code}": broken(code) for code in (300, 302, 307, 408, 500, 502, 503, 504)},
}
NAMED: dict[str, tuple[Server, type[ConnectorError]]] = {
    "status 401": (lambda: hostile(replies(b"<html>", "401 Unauthorized")), Unauthorized),
    "status 429": (lambda: hostile(replies(b"", "429 Slow", "Retry-After: 7\r\n")), Throttled),
}
CREATES = {
    **{name: (server, Unavailable) for name, server in NOT_SENT.items()},
    **{name: (server, Uncertain) for name, server in MAYBE_DONE.items()},
    **NAMED,
}
READS = {**{name: (server, Unavailable) for name, server in {**NOT_SENT, **MAYBE_DONE}.items()}, **NAMED}
BODY_MATTERS = {"garbage with 200", "an empty object with 200", "nothing with 200"}
"""Whether a mail was sent is not in the body; where a platform says so, it may look."""


def deadline(fault: str) -> float:
    """Seconds: short only where it is waited for, so that a busy machine is not taken for a fault."""
    return 0.25 if fault in WAITS else 10.0


def too_slow_to_begin(fault: str, error: BaseException | None) -> bool:
    """The deadline was over before the first byte left: the machine was busy, and nothing was tried."""
    return fault not in NOT_SENT and isinstance(error, Unavailable) and "nothing was sent" in str(error)


@pytest.mark.parametrize("fault", CREATES)
def test_a_fault_at_any_step_of_a_create_has_its_name(subject: Subject, fault: str) -> None:
    server, expected = CREATES[fault]
    plan = offline(subject).invoices.plan(planned())
    for position, request in enumerate(plan):
        with server() as (url, requests):
            made = subject.at(url, deadline=deadline(fault))
            steps = {earlier.step: "remote-1" for earlier in plan[:position]}
            for _ in range(TRIES):
                attempt = Try(planned(), plan, made=steps, document=agreeing(plan) if position else None)
                outcome = made.invoices.create(attempt)
                if not too_slow_to_begin(fault, outcome.error):
                    break
            assert type(outcome.error) is expected, (request.step, outcome.error)
            assert attempt.log == [("begin", request.step)], "begun, but not done"
            assert len(requests()) == (0 if fault in NOT_SENT else 1), "a create is sent once"
            assert isinstance(outcome.error, ConnectorError)
            assert outcome.error.sample is not None
    if expected is Throttled:
        assert outcome.error.retry_after == 7


@pytest.mark.parametrize("fault", CREATES)
def test_a_fault_at_the_create_of_a_customer_has_its_name(subject: Subject, fault: str) -> None:
    if not subject.keeps_customers:
        return
    server, expected = CREATES[fault]
    draft = orders.customer(ORDER())
    with server() as (url, requests):
        made = subject.at(url, deadline=deadline(fault))
        for _ in range(TRIES):
            outcome = made.customers.create(Try(draft, made.customers.plan(draft)))
            if not too_slow_to_begin(fault, outcome.error):
                break
        assert type(outcome.error) is expected, outcome.error
        assert len(requests()) == (0 if fault in NOT_SENT else 1)


@pytest.mark.parametrize("fault", READS)
def test_a_fault_at_a_look_up_is_never_uncertain_and_never_nothing(subject: Subject, fault: str) -> None:
    """An answer that does not say what is there must not pass for "not there": a second invoice would follow."""
    server, expected = READS[fault]
    with server() as (url, _):
        made = subject.at(url, deadline=deadline(fault))
        assert type(look(made.invoices, planned())) is expected
        if subject.keeps_customers:
            assert type(look(made.customers, orders.customer(ORDER()))) is expected
        with pytest.raises(expected):
            made.read("remote-1")


@pytest.mark.parametrize("fault", sorted(set(CREATES) - BODY_MATTERS))
def test_a_fault_at_a_mail_has_its_name(subject: Subject, fault: str) -> None:
    if "mail" not in subject.facts.can:
        return
    server, expected = (READS if subject.samples.asks_before_mail else CREATES)[fault]
    with server() as (url, requests):
        for _ in range(TRIES):
            with pytest.raises(ConnectorError) as caught:
                subject.at(url, deadline=deadline(fault)).send("remote-1", "key-1")
            if expected is Unavailable or not too_slow_to_begin(fault, caught.value):
                break
        assert type(caught.value) is expected
        unsafe = [request for request in requests() if request.startswith((b"POST", b"PUT", b"PATCH"))]
        assert len(unsafe) == (0 if fault in NOT_SENT else 1)


def test_a_lease_that_ran_out_stops_the_call_before_it_leaves(subject: Subject) -> None:
    def too_late(step: str) -> None:
        raise Unavailable("no lease time left")

    with hostile(replies(b"{}")) as (url, requests):
        made = subject.at(url)
        outcome = made.invoices.create(Try(planned(), made.invoices.plan(planned()), on_begin=too_late))
        assert type(outcome.error) is Unavailable
        assert requests() == []


def test_a_401_is_repeated_once_when_there_are_other_credentials(subject: Subject) -> None:
    """And only then: it is surely not done. Anything else is sent once."""

    class Renewing:
        renewals = 0

        def headers(self) -> dict[str, str]:
            return {**subject.headers(), "Authorization": f"Bearer token-number-{self.renewals}"}

        def renew(self, refused: Any) -> bool:
            assert refused["Authorization"] == "Bearer token-number-0"
            self.renewals += 1
            return True

    with hostile(replies(b"", "401 Unauthorized")) as (url, requests):
        made = subject.at(url)
        made.auth = Renewing()
        outcome = made.invoices.create(Try(planned(), made.invoices.plan(planned())))
        assert type(outcome.error) is Unauthorized
        assert [b"token-number-0" in requests()[0], b"token-number-1" in requests()[1]] == [True, True]
        assert len(requests()) == 2


@pytest.mark.parametrize("seen", ["another total", "another currency", "nothing", "issued"])
def test_nothing_is_issued_that_does_not_agree_with_the_order(subject: Subject, seen: str) -> None:
    """Where the platform has drafts, ours and theirs are compared before the call that makes it final."""
    plan = offline(subject).invoices.plan(planned())
    if (agreed := agreeing(plan)) is None:
        return
    assert [request.issues for request in plan] == [False] * (len(plan) - 1) + [True]
    changed: dict[str, dict[str, Any]] = {
        "another total": {"total": agreed.total + Decimal("0.01")},
        "another currency": {"currency": "EUR"},
        "issued": {"status": Status.ISSUED},
    }
    document = agreed.model_copy(update=changed[seen]) if seen in changed else None
    with hostile(replies(b"{}")) as (url, requests):
        attempt = Try(planned(), plan, made={request.step: "r" for request in plan[:-1]}, document=document)
        outcome = subject.at(url).invoices.create(attempt)
        assert len(requests()) == (document is None), "a look-up, where nothing is known"
    assert attempt.log == [], "and nothing that counts has left"
    assert outcome.document == document
    assert (type(outcome.error) is Unavailable) == (document is None), "it could not be looked up first"
    assert bool(outcome.difference) == (seen in {"another total", "another currency"})
