"""Webhooks that a shop switched off are switched on again: ours, once, and none that a person paused."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.errors import Unauthorized, Unavailable
from connectors.sandbox.source_apis.bigcommerce import READER as BC_READER
from connectors.sandbox.source_apis.bigcommerce import STORE, TOKEN
from connectors.sandbox.source_apis.bigcommerce import BigCommerce as BigApi
from connectors.sandbox.source_apis.woocommerce import KEY, READER, SECRET, WooApi
from connectors.sources.bigcommerce import BigCommerce
from connectors.sources.woocommerce import WooCommerce
from tests.unit.carrier_bodies import api_of, running

OURS, THEIRS = "https://your.host/in/myshop/shop", "https://their.host/in/myshop/shop"


def woo(url: str, key: str = KEY, **options: Any) -> WooCommerce:
    given = {"base_url": url, "consumer_key": key, "consumer_secret": SECRET, "webhook_address": OURS}
    return WooCommerce(["s"], {**given, **options})


def big(url: str, token: str = TOKEN, **options: Any) -> BigCommerce:
    given = {"base_url": url, "store_hash": STORE, "access_token": token, "webhook_address": OURS}
    return BigCommerce(["s"], {**given, **options})


WOO_HOOKS = {
    1: {"id": 1, "status": "disabled", "delivery_url": OURS, "topic": "order.updated"},
    2: {"id": 2, "status": "paused", "delivery_url": OURS, "topic": "order.created"},
    3: {"id": 3, "status": "disabled", "delivery_url": THEIRS, "topic": "order.updated"},
    4: {"id": 4, "status": "disabled", "delivery_url": OURS + "/", "topic": "order.deleted"},
    5: {"id": 5, "status": "active", "delivery_url": OURS, "topic": "order.restored"},
}
BIG_HOOKS = {
    1: {"id": 1, "is_active": False, "destination": OURS, "scope": "store/order/statusUpdated"},
    2: {"id": 2, "is_active": False, "destination": THEIRS, "scope": "store/order/statusUpdated"},
    3: {"id": 3, "is_active": True, "destination": OURS, "scope": "store/shipment/created"},
}


def test_of_woocommerce_those_that_failures_switched_off_and_no_others() -> None:
    with running(WooApi) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.webhooks.update({each: dict(hook) for each, hook in WOO_HOOKS.items()}))
        made = woo(url)
        api = api_of(made)
        assert made.wake(api) == [
            "WooCommerce had switched off webhook 1 (order.updated): it is active again",
            "WooCommerce had switched off webhook 4 (order.deleted): it is active again",
        ]
        states = sandbox.run(lambda: {each: hook["status"] for each, hook in emulator.webhooks.items()})
        assert states == {1: "active", 2: "paused", 3: "disabled", 4: "active", 5: "active"}
        assert (made.wake(api), emulator.written) == ([], 2)


def test_of_bigcommerce_those_that_failures_switched_off_and_no_others() -> None:
    with running(BigApi) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.hooks.update({each: dict(hook) for each, hook in BIG_HOOKS.items()}))
        made = big(url)
        api = api_of(made)
        said = "BigCommerce had switched off webhook 1 (store/order/statusUpdated): it is active again"
        assert made.wake(api) == [said]
        states = sandbox.run(lambda: {each: hook["is_active"] for each, hook in emulator.hooks.items()})
        assert states == {1: True, 2: False, 3: True}
        assert (list(made.wake(api)), emulator.written) == ([], 1)


def test_without_our_address_nobody_looks() -> None:
    with running(WooApi) as (_, _, url):
        made = woo(url, webhook_address=None)
        assert made.wake(api_of(made)) == ()
    with running(BigApi) as (_, emulator, url):
        other = big(url, webhook_address=None)
        assert (other.wake(api_of(other)), emulator.asked) == ((), [])


def test_a_key_that_may_only_read_is_told_as_such() -> None:
    with running(WooApi) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.webhooks.update({1: dict(WOO_HOOKS[1])}))
        made = woo(url, READER)
        with pytest.raises(Unauthorized, match="write permissions"):
            made.wake(api_of(made))
    with running(BigApi) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.hooks.update({1: dict(BIG_HOOKS[1])}))
        other = big(url, BC_READER)
        with pytest.raises(Unauthorized, match="required scope"):
            other.wake(api_of(other))


@pytest.mark.parametrize("body", [None, 5, "x", {}, {"data": None}, {"data": 5}])
def test_an_answer_that_is_no_list_is_none(monkeypatch: pytest.MonkeyPatch, body: Any) -> None:
    for made in (woo("http://127.0.0.1:1"), big("http://127.0.0.1:1")):
        api = api_of(made)
        monkeypatch.setattr(api, "document", lambda *_, **__: body)
        with pytest.raises(Unavailable, match="no list of webhooks"):
            made.wake(api)


@pytest.mark.parametrize("row", [None, 5, {}, {"id": "1"}, {"id": 1}, {"id": 1, "delivery_url": 5, "destination": 5}])
def test_a_webhook_that_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch, row: Any) -> None:
    for made, body in ((woo("http://127.0.0.1:1"), [row]), (big("http://127.0.0.1:1"), {"data": [row]})):
        api = api_of(made)
        monkeypatch.setattr(api, "document", lambda *_, body=body, **__: body)
        assert made.wake(api) == []


def test_our_address_without_credentials_is_refused() -> None:
    with pytest.raises(ValueError, match="webhook_address need"):
        WooCommerce(["s"], {"webhook_address": OURS})
    with pytest.raises(ValueError, match="webhook_address needs"):
        BigCommerce(["s"], {"webhook_address": OURS})
