"""An account with `issue = false` leaves drafts: one each, found again, and nobody is told of them."""

from pathlib import Path

import pytest

from tasks import create_invoices, handle_events
from tests.kit.inprocess import inside
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, Scene, order_event
from tests.kit.smtp import SmtpCatcher
from worker import accounts


@pytest.mark.parametrize("platform", ["xero", "stripe", "odoo"])
def test_drafts_are_left_for_a_person(
    platform: str, tmp_path: Path, redis_server: RedisServer, smtp_catcher: SmtpCatcher
) -> None:
    url = f"sqlite:///{tmp_path / 'billhook.db'}"
    scene = Scene(
        tmp_path, url, redis_server.url, clocks=Clocks(linger=0), platforms=(platform,), smtp_url=smtp_catcher.url
    )
    text = scene.config_file.read_text()
    scene.config_file.write_text(text.replace(f'platform = "{platform}"', f'platform = "{platform}"\nissue = false'))
    scene.accept(order_event(1), order_event(2))
    try:
        with inside(scene):
            handle_events.handle_events.run()
            for ref in accounts.accounts().values():
                create_invoices.create_invoices.run(ref.tenant)
        assert {entry.status for entry in scene.sandbox.ledger(platform)} == {"draft"}
        assert len(scene.sandbox.ledger(platform)) == 2
        assert scene.states() == {"issued": 2}
        assert scene.states("notice") == {}
    finally:
        scene.close()
