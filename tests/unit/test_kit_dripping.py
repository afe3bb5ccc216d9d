"""The hostile servers are as hostile as they say."""

import http.client
import time
from contextlib import closing

import pytest

from tests.kit import dripping
from tests.kit.dripping import BODY, HostileServer


@pytest.fixture
def serve():
    servers = []

    def start(behaviour):
        servers.append(HostileServer(behaviour))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def post(server, timeout=5.0):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)) as connection:
        connection.request("POST", "/invoices", body=b'{"total": "1.00"}')
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_requests_are_counted_and_kept_with_their_bytes(serve):
    server = serve(dripping.replies())
    assert post(server) == (200, BODY)
    assert server.count("POST") == server.count() == 1
    assert server.count("GET") == 0
    assert server.requests[0].startswith(b"POST /invoices HTTP/1.1\r\n")
    assert server.requests[0].endswith(b'\r\n\r\n{"total": "1.00"}')


def test_it_drips_so_that_no_single_read_times_out(serve):
    server = serve(dripping.drips(every=0.12, whole=b"HTTP/1.1 204 No Content\r\n\r\n"))
    began = time.perf_counter()
    assert post(server, timeout=3) == (204, b"")
    assert time.perf_counter() - began > 3


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (dripping.cuts_in_body(), http.client.IncompleteRead),
        (dripping.claims_length(+5), http.client.IncompleteRead),
        (dripping.sends_no_http(), http.client.BadStatusLine),
        (dripping.cuts_at_once(), http.client.RemoteDisconnected),
        (dripping.cuts_at_once(reset=True), ConnectionResetError),
    ],
)
def test_broken_answers(serve, behaviour, error):
    with pytest.raises(error):
        post(serve(behaviour))


def test_headers_that_end_in_the_middle(serve):
    server = serve(dripping.cuts_in_headers())
    assert post(server) == (200, b"")  # the standard library does not even notice


def test_bodies_that_are_not_what_they_should_be(serve):
    assert post(serve(dripping.claims_length(-5))) == (200, BODY[:-5])
    assert post(serve(dripping.sends_garbage(status="502 Bad Gateway"))) == (502, b"\x00\xff<html>Bad gateway")


def test_silence_lasts_until_the_server_is_closed(serve):
    server = serve(dripping.never_answers())
    with pytest.raises(TimeoutError):
        post(server, timeout=0.2)
    assert server.count() == 1


def test_behaviours_in_turn(serve):
    server = serve(dripping.in_turn(dripping.replies(status="500 Oops"), dripping.replies()))
    assert [post(server)[0] for _ in range(3)] == [500, 200, 200]
