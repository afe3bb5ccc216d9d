"""Stripe Connect as a merchant meets it: consents to a platform, and may take it back."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.sandbox.stripe_accounts import CLIENT_ID, CONNECTED
from tests.kit.history import check
from tests.kit.scene import order_event
from tests.pipeline.test_accounts import MakeScene, agree, make_scene, said  # noqa: F401 - a fixture
from worker import runtime

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.mark.slow
def test_a_merchant_consents_to_a_platform_on_stripe_and_may_take_it_back(
    make_scene: MakeScene,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The platform's own key acts for the merchant's account; until somebody agrees the account is held."""

    def revoke(hosted: Any) -> None:
        hosted.emulator.connections.revoke()

    scene = make_scene("stripe", stripe=f'client_id = "{CLIENT_ID}"')
    text = scene.config_file.read_text().replace("sk_live_", "sk_test_")
    scene.config_file.write_text(text.replace("settings = { ", f'settings = {{ account = "{CONNECTED}", '))
    runtime.keeper.cache_clear()
    scene.sandbox.ask("stripe", revoke)
    scene.handle(order_event(1))
    scene.turn()
    assert "run `billhook connect`" in said("check", "--online", code=1)
    assert not scene.sandbox.calls("stripe")
    printed: list[str] = []
    monkeypatch.setattr("worker.cli.accounts.say", lambda line: printed.append(line.strip()))
    monkeypatch.setattr("worker.cli.accounts._typed", lambda: agree("\n".join(printed)))
    said("connect", "engraver/stripe", "--paste")
    assert printed[-1] == "engraver/stripe is connected: Demo Company"
    assert not [line for line in printed if "refresh token" in line], "the consent has no end"
    scene.settle()
    check(scene)
    assert len(scene.sandbox.ledger("stripe")) == 1
    scene.sandbox.ask("stripe", revoke)
    scene.handle(order_event(2))
    scene.turn()
    assert len(scene.sandbox.ledger("stripe")) == 1
    assert "Application access may have been revoked" in said("check", "--online", code=1)
