"""The only door to the outside: deadlines, sent or not, redaction, exact numbers."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import ConnectorError, Rejected, Sample, Unavailable, Uncertain
from connectors.http import SAMPLE_LIMIT, Answer, Http, dump_json
from tests.kit import dripping
from tests.kit.dripping import Behaviour, Exchange, HostileServer, drip, response
from tests.kit.processes import eventually, free_port

DEADLINE = 0.4
AGES = 15.0
"""What none of these would end within without a deadline; a busy machine may need some of it."""
UNSENT = Sample("GET", "", "", None, "", 0.0)
Serve = Callable[[Behaviour], HostileServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[HostileServer] = []

    def start(behaviour: Behaviour) -> HostileServer:
        servers.append(HostileServer(behaviour))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answers(body: bytes = b"{}", extra: str = "", status: str = "200 OK") -> Behaviour:
    return lambda exchange: exchange.send(response(body, status, extra="Connection: close\r\n" + extra))


def answer(body: bytes = b"", **headers: str) -> Answer:
    return Answer(200, {name.replace("_", "-"): value for name, value in headers.items()}, body, UNSENT)


# -- the deadline ----------------------------------------------------------------------------------------------------

ENDLESS = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 10_000


@pytest.mark.parametrize(
    "behaviour",
    [
        dripping.never_answers(),
        dripping.drips(0.02),
        dripping.drips(0.02, b"HTTP/1.1 200 OK\r\n" + b"X-Long: header\r\n" * 1000),
        dripping.drips(0.02, ENDLESS),
        lambda exchange: exchange.send(ENDLESS[:40]) or exchange.stopping.wait(20),
    ],
    ids=["silence", "drip", "drip of headers", "drip without a length", "silence in a body without a length"],
)
def test_a_call_ends_at_its_deadline_and_is_uncertain(serve: Serve, behaviour: Behaviour) -> None:
    began = time.monotonic()
    with pytest.raises(Uncertain, match=r"no answer within 0\.4 s") as caught:
        Http(DEADLINE).send("POST", serve(behaviour).url, body="x", unsafe=True)
    assert DEADLINE * 0.9 < time.monotonic() - began < AGES
    assert caught.value.sample is not None
    assert caught.value.sample.status is None


def test_the_socket_of_a_call_that_ran_out_of_time_is_cut(serve: Serve) -> None:
    """The server cannot go on answering into the void."""
    felt: list[OSError] = []

    def answer_for_ever(exchange: Exchange) -> None:
        try:
            while exchange.pause(0.01):
                exchange.send(b"H")
        except OSError as error:
            felt.append(error)

    with pytest.raises(Uncertain):
        Http(DEADLINE).send("POST", serve(answer_for_ever).url, unsafe=True)
    eventually(lambda: felt, within=30)
    assert isinstance(felt[0], ConnectionResetError | BrokenPipeError)


def test_a_deadline_leaves_the_next_call_of_the_thread_alone(serve: Serve) -> None:
    server = serve(dripping.in_turn(dripping.never_answers(), answers(b'{"fine": true}')))
    door = Http(DEADLINE)
    with pytest.raises(Uncertain):
        door.send("POST", server.url, unsafe=True)
    door.deadline = 30.0
    assert door.send("POST", server.url, unsafe=True).json() == {"fine": True}


@contextmanager
def listening(handle: Callable[[socket.socket], Any]) -> Iterator[int]:
    """A raw TCP server for one connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                handle(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


def test_a_deadline_inside_the_tls_handshake_is_surely_not_sent() -> None:
    """TLS takes the socket object over; the watchdog must still reach the connection."""

    hello = b"\x16\x03\x03\x40\x00" + b"\x02" * 500

    with listening(lambda connection: drip(connection, hello, 0.03)) as port:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="nothing was sent"):
            Http(DEADLINE).send("POST", f"https://127.0.0.1:{port}/", unsafe=True)
        assert time.monotonic() - began < AGES


# -- sent or not -----------------------------------------------------------------------------------------------------


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    signed = built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    file = folder / "self-signed.pem"
    file.write_bytes(signed + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return file


def test_a_certificate_nobody_trusts_ends_the_call_before_anything_is_sent(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))

    def shake_hands(connection: socket.socket) -> None:
        try:
            context.wrap_socket(connection, server_side=True).recv(1)
        except OSError:
            return

    with listening(shake_hands) as port, pytest.raises(Unavailable, match="nothing was sent"):
        Http(5).send("POST", f"https://localhost:{port}/", unsafe=True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "no address", "ftp://x/"])
def test_what_cannot_be_reached_is_surely_not_sent(url: str) -> None:
    with pytest.raises(Unavailable, match="nothing was sent") as caught:
        Http(5).send("POST", url.format(port=free_port()), unsafe=True)
    assert "object at 0x" not in caught.value.message, "for people, not for programmers"


@pytest.mark.parametrize(
    ("unsafe", "expected"), [(True, Uncertain), (False, Unavailable)], ids=["an unsafe call", "a read"]
)
@pytest.mark.parametrize(
    "behaviour",
    [
        dripping.cuts_at_once(),
        dripping.cuts_at_once(reset=True),
        dripping.cuts_in_headers(),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\n"),
        lambda exchange: exchange.send(b"HTTP/1.1 204 No Content\r\nDate: now\r\n"),
        dripping.cuts_in_body(),
        dripping.claims_length(1),
        dripping.sends_no_http(),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        lambda exchange: exchange.send(response(b"not gzip", extra="Content-Encoding: gzip\r\n")),
    ],
    ids=["cut", "reset", "header", "first line", "between headers", "body", "length", "no HTTP", "chunk", "gzip"],
)
def test_what_failed_after_the_first_byte_left_may_be_done(
    serve: Serve, behaviour: Behaviour, unsafe: bool, expected: type[ConnectorError]
) -> None:
    server = serve(behaviour)
    with pytest.raises(ConnectorError) as caught:
        Http(5).send("POST", server.url, unsafe=unsafe)
    assert type(caught.value) is expected
    assert len(server.requests) == 1, "nothing is ever repeated here"


def test_the_guard_runs_right_before_the_call_and_may_refuse(serve: Serve) -> None:
    server = serve(answers())

    def refuse() -> None:
        assert server.requests == []
        raise Rejected("not now")

    with pytest.raises(Rejected):
        Http(5).send("POST", server.url, unsafe=True, guard=refuse)
    assert server.requests == []


# -- what a session must not do --------------------------------------------------------------------------------------


def test_redirects_are_not_followed_and_come_back_as_they_are(serve: Serve) -> None:
    target = serve(answers())
    door = Http(5)
    for status in ("301 Moved", "302 Found", "307 Again", "308 For Ever"):
        server = serve(answers(extra=f"Location: {target.url}/\r\n", status=status))
        assert door.send("POST", server.url, unsafe=True).status == int(status[:3])
    assert target.requests == []


def test_neither_proxies_nor_netrc_of_the_environment_are_used(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, server = serve(answers()), serve(answers())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hunter2hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    Http(5).send("GET", server.url, unsafe=False)
    assert proxy.requests == []
    assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_not_kept(serve: Serve) -> None:
    server = serve(answers(extra="Set-Cookie: session=abc; Path=/\r\n"))
    door = Http(5)
    door.send("GET", server.url, unsafe=False)
    door.send("GET", server.url, unsafe=False)
    assert b"cookie" not in server.requests[1].lower()


class _KeepAlive(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ports: set[int]

    def do_GET(self) -> None:
        self.ports.add(self.client_address[1])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


def test_a_thread_keeps_its_connection_and_shares_it_with_no_other() -> None:
    ports: set[int] = set()
    handler = type("Handler", (_KeepAlive,), {"ports": ports})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        door = Http(5)

        def calls() -> None:
            for _ in range(5):
                door.send("GET", f"http://127.0.0.1:{server.server_address[1]}/", unsafe=False)

        threads = [threading.Thread(target=calls) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(ports) == 4
        server.shutdown()


# -- secrets and samples ---------------------------------------------------------------------------------------------

SECRET = "s3cr3t/+key=="


@pytest.mark.parametrize(
    "text",
    [
        f"key is {SECRET}.",
        "https://x.example/?key=s3cr3t%2F%2Bkey%3D%3D&a=1",
        f"https://user:{SECRET.replace('/', '_')}@x.example/",
        "Authorization: Bearer abcdef0123456789",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "bearer ya29.a0AfH6SMBx-Zz_9",
        '{"token": "quo\\"ted-secret"}',
        "s3cr3t/+key==-and-more",
    ],
)
def test_secrets_are_redacted_however_they_are_written(text: str) -> None:
    door = Http(secrets=[SECRET, 'quo"ted-secret', SECRET + "-and-more"])
    shown = door.redact(text)
    for secret in ("s3cr3t", "abcdef0123456789", "dXNlcjpwYXNzd29yZA", "a0AfH6SMBx", "ted-secret", "and-more"):
        assert secret not in shown
    assert "«redacted»" in shown


def test_ordinary_words_are_not_redacted() -> None:
    text = "Basic engraving, bearer certificate, https://x.example/a?mail=ada@example.com"
    assert Http(secrets=["", "zzz-not-there"]).redact(text) == text


def test_a_sample_shows_both_bodies_without_secrets_and_not_without_end(serve: Serve) -> None:
    edge = "x" * (SAMPLE_LIMIT - 4) + SECRET
    server = serve(answers(edge.encode()))
    door = Http(5, [SECRET])
    sample = door.send("POST", f"{server.url}/a?k={SECRET}", body=f"mine: {SECRET}", unsafe=True).sample
    assert SECRET[:4] not in sample.response[-20:], "half a secret is a secret"
    assert len(sample.response) == SAMPLE_LIMIT
    assert sample.request == "mine: «redacted»"
    assert "s3cr3t" not in sample.url
    assert (sample.method, sample.status) == ("POST", 200)
    assert sample.seconds >= 0


def test_bodies_of_token_requests_are_not_kept(serve: Serve) -> None:
    got = Http(5).send(
        "POST", serve(answers(b'{"access_token": "t0ken-t0ken"}')).url, body="a", unsafe=True, capture=False
    )
    assert (got.sample.request, got.sample.response) == ("«not kept»", "«not kept»")
    assert "t0ken" not in repr(got)


def test_an_error_message_names_the_host_but_no_secret(serve: Serve) -> None:
    server = serve(dripping.cuts_at_once())
    with pytest.raises(Uncertain) as caught:
        Http(5, [SECRET]).send("POST", server.url, query={"key": SECRET}, headers={"X-Key": SECRET}, unsafe=True)
    assert f"127.0.0.1:{server.port}" in caught.value.message
    assert "s3cr3t" not in repr(vars(caught.value)) + repr(caught.value)


# -- numbers and headers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["0.1", "0.30000000000000004", "1e-7", "118.14", "123456789012345.67", "1E+2", "-0.005"]
)
def test_numbers_are_read_exactly(text: str) -> None:
    value = answer(f'{{"n": {text}}}'.encode()).json()["n"]
    assert isinstance(value, Decimal)
    assert value == Decimal(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**15), max_value=10**15))
def test_decimals_survive_the_way_there_and_back(value: Decimal) -> None:
    text = dump_json({"a": [value, {"b": value}]})
    back = answer(text.encode()).json()["a"]
    assert "e" not in text.lower().replace('"a"', "")
    assert Decimal(back[0]) == value == Decimal(back[1]["b"])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_turns_into_a_number(text: str) -> None:
    for value in (text, f"\ue000{text}\ue001", "\ue0001\ue001"):
        assert answer(dump_json([value]).encode()).json() == [value]


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), float("nan"), float("-inf")])
def test_what_is_not_a_number_in_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        dump_json({"n": value})


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b"{", b"", b"\xff\xfe{}", b"<html>"])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer(body).json()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("1.5", 1.5), ("-3", None), ("soon", None), ("nan", None), ("inf", None), ("", None)],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    assert answer(Retry_After=header).retry_after == seconds


def test_retry_after_as_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    seconds = answer(Retry_After=format_datetime(later, usegmt=True)).retry_after
    assert seconds is not None
    assert 85 < seconds <= 90
    assert answer(Retry_After="Sun, 06 Nov 1994 08:49:37 GMT").retry_after == 0
    assert answer().retry_after is None
