"""The vendor's library judges what we take for EasyPost's signature, and reads the emulated trackers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sandbox.source_apis import easypost as sandbox
from connectors.sources.easypost import EasyPost, signature
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("easypost")
BODY = b'{"id": "evt_1", "result": {"weight": 614.0}}'
TRACKER = {"id": "trk_1", "tracking_code": "RM1", "carrier": "RoyalMail", "status": "delivered", "tracking_details": []}


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    running = RunningSandbox([sandbox.EasyPostTrackers])
    yield running
    running.close()


def library(running: RunningSandbox, key: str = sandbox.API_KEY) -> Any:
    import easypost

    return easypost.EasyPostClient(key, api_base=f"{running.url}/easypost/v2")


@pytest.mark.parametrize("secret", ["billhook-test-secret", "pass phrase", "Ångström ﬁ ß"])
def test_what_the_library_accepts_and_refuses_we_do_too(secret: str) -> None:
    from easypost.errors import SignatureVerificationError
    from easypost.util import validate_webhook

    given = signature(secret, BODY)
    assert validate_webhook(BODY, {"X-Hmac-Signature": given}, secret)["id"] == "evt_1"
    EasyPost([secret]).verify({"x-hmac-signature": given}, BODY, datetime.now(UTC))
    with pytest.raises(SignatureVerificationError):
        validate_webhook(BODY, {"X-Hmac-Signature": signature("another", BODY)}, secret)


def test_the_library_reads_trackers_by_batch(running: RunningSandbox) -> None:
    emulator: Any = running.sandbox.hosted["easypost"].emulator
    running.run(lambda: emulator.put(TRACKER))
    answer = library(running).tracker.retrieve_batch(tracking_codes=["RM1", "RM2"])
    assert [(one.id, one.status) for one in answer.trackers] == [("trk_1", "delivered")]
    assert answer.has_more is False


def test_the_library_raises_its_own_exceptions(running: RunningSandbox) -> None:
    import easypost.errors

    with pytest.raises(easypost.errors.UnauthorizedError):
        library(running, "EZAKwrong").tracker.retrieve_batch(tracking_codes=["RM1"])
    with pytest.raises(easypost.errors.InvalidRequestError):
        library(running).tracker.retrieve_batch(codes=["RM1"])
    for _ in range(4):
        library(running).tracker.retrieve_batch(tracking_codes=["RM1"])
    with pytest.raises(easypost.errors.RateLimitError):
        library(running).tracker.retrieve_batch(tracking_codes=["RM1"])
