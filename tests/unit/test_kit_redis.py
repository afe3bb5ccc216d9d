"""The Redis of the kit is real, and its faults are."""

import pytest
import redis

from tests.kit.processes import answers
from tests.kit.redis_server import RedisServer


def test_it_answers_at_its_url(redis_server):
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_it_empty(redis_server, turn):
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", turn)


def test_a_kill_keeps_what_the_append_only_file_has(private_redis):
    with private_redis.client() as client:
        client.config_set("appendfsync", "always")
        client.set("key", "value")
    private_redis.kill()
    assert not answers(private_redis.port)
    private_redis.start()
    with private_redis.client() as client:
        assert client.get("key") == "value"
    private_redis.restart_empty()
    with private_redis.client() as client:
        assert client.get("key") is None


def test_flushall_and_stop(private_redis):
    with private_redis.client() as client:
        client.set("key", "value")
        private_redis.flushall()
        assert client.dbsize() == 0
    private_redis.stop()
    private_redis.stop()
    assert not answers(private_redis.port)


def test_frozen_it_is_silent_and_thawed_it_answers(private_redis):
    private_redis.freeze()
    with redis.Redis.from_url(private_redis.url, socket_timeout=0.2, retry=None) as client:
        with pytest.raises(redis.exceptions.TimeoutError):
            client.ping()
        private_redis.thaw()
    with private_redis.client() as client:
        assert client.ping()


def test_password_and_full_memory(tmp_path):
    server = RedisServer(tmp_path / "redis", password="secret", maxmemory="2mb").start()
    try:
        with redis.Redis(port=server.port, retry=None) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()
        with server.client() as client:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("much", "x" * 4_000_000)
            server.config_set("maxmemory", "0")
            assert client.set("much", "x" * 4_000_000)
    finally:
        server.kill()
