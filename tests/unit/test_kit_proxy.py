"""The proxy loses, delays, cuts and swallows what it is told to, and nothing else."""

import socket
import threading
import time

import pytest
import redis

from tests.kit.processes import eventually, free_port
from tests.kit.proxy import Proxy


@pytest.fixture
def proxy(redis_server):
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


def client_of(proxy):
    return redis.Redis(port=proxy.port, socket_timeout=5, retry=None, protocol=2, driver_info=None)


def raw(proxy):
    sock = socket.create_connection((proxy.host, proxy.port), timeout=5)
    sock.sendall(b"PING\r\n")
    return sock


def test_it_passes_everything_on(proxy):
    with client_of(proxy) as client:
        client.set("big", b"x" * 3_000_000)
        assert client.strlen("big") == 3_000_000
        assert client.get("big") == b"x" * 3_000_000
    assert proxy.accepted == 1
    eventually(lambda: proxy.open == 0)


def test_the_reply_to_one_command_is_lost_though_it_was_done(proxy, redis_server):
    with client_of(proxy) as client:
        client.ping()
        proxy.drop_replies(asked=b"LPUSH")
        client.set("other", "1")
        with pytest.raises(redis.exceptions.ConnectionError):
            client.lpush("queue", "message")
        client.lpush("queue", "second")
    assert proxy.dropped == 1
    with redis_server.client() as direct:
        assert direct.llen("queue") == 2


def test_replies_are_chosen_by_what_they_hold(proxy):
    proxy.drop_replies(2, holding=b"secret")
    with client_of(proxy) as client:
        client.mset({"a": "secret", "b": "plain"})
        for _ in range(2):
            with pytest.raises(redis.exceptions.ConnectionError):
                client.get("a")
            assert client.get("b") == b"plain"
        assert client.get("a") == b"secret"


def test_a_reply_swallowed_in_silence_leaves_the_connection_open(proxy):
    proxy.drop_replies(silently=True)
    with raw(proxy) as sock:
        eventually(lambda: proxy.dropped == 1)
        assert_silent(sock)
        assert proxy.open == 1


def test_cut_after_so_many_bytes(proxy):
    proxy.cut_after(3)
    with raw(proxy) as sock:
        assert sock.recv(100) == b"+PO"
        assert sock.recv(100) == b""
    with raw(proxy) as sock:
        assert sock.recv(100) == b"+PONG\r\n"
    assert proxy.cut == 1


def test_delay(proxy):
    proxy.delay(0.3)
    began = time.perf_counter()
    with raw(proxy) as sock:
        assert sock.recv(100) == b"+PONG\r\n"
    assert time.perf_counter() - began >= 0.3


def assert_silent(sock):
    sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        sock.recv(100)
    sock.settimeout(5)


def test_the_black_hole_swallows_old_and_new_connections_until_healed(proxy):
    with raw(proxy) as old:
        assert old.recv(100) == b"+PONG\r\n"
        proxy.blackhole()
        old.sendall(b"PING\r\n")
        with raw(proxy) as new:
            assert_silent(old)
            assert_silent(new)
            proxy.heal()
            for lost in (old, new):
                with pytest.raises(ConnectionResetError):
                    lost.recv(100)
    with raw(proxy) as fresh:
        assert fresh.recv(100) == b"+PONG\r\n"


def test_reset_disconnect_and_refuse(proxy):
    with raw(proxy) as sock:
        sock.recv(100)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with raw(proxy) as sock:
        sock.recv(100)
        proxy.disconnect()
        assert sock.recv(100) == b""
    proxy.refuse()
    with pytest.raises(ConnectionError), raw(proxy) as sock:
        sock.recv(100) or pytest.fail("closed politely")
    proxy.heal()
    with raw(proxy) as sock:
        assert sock.recv(100) == b"+PONG\r\n"


def test_a_target_that_is_away_resets_the_client():
    proxy = Proxy(free_port())
    with pytest.raises(ConnectionError), raw(proxy) as sock:
        sock.recv(100) or pytest.fail("closed politely")
    before = threading.active_count()
    proxy.close()
    assert threading.active_count() == before - 1
