"""The vendors' SDKs judge what we take for the signatures of Square and HubSpot, and read Square's emulated orders."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sandbox.source_apis import square as sandbox
from connectors.sources.hubspot import HubSpot
from connectors.sources.square import Square
from tests.contract.running import RunningSandbox
from tests.unit.square_bodies import CUSTOMER, LOCATION, ORDER, PAID

SECRETS = ("billhook-test-secret", "pass phrase", "Ångström ﬁ ß")
URL = "https://your.host/in/engraver/told"
BODY = '{"id": "evt_1", "name": "Ångström"}'
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = "1795348800000"


@pytest.mark.proof("square")
@pytest.mark.parametrize("secret", SECRETS)
def test_what_square_s_sdk_accepts_we_do_too(secret: str) -> None:

    from square.utils.webhooks_helper import verify_signature

    given = base64.b64encode(hmac.digest(secret.encode(), (URL + BODY).encode(), hashlib.sha256)).decode()
    asked: dict[str, Any] = {"signature_header": given, "signature_key": secret, "notification_url": URL}
    assert verify_signature(request_body=BODY, **asked)
    assert not verify_signature(request_body=BODY + " ", **asked)
    Square([secret], {"webhook_url": URL}).verify({"x-square-hmacsha256-signature": given}, BODY.encode(), NOW)


@pytest.mark.proof("hubspot")
@pytest.mark.parametrize("secret", SECRETS)
def test_what_hubspot_s_sdk_signs_is_valid(secret: str) -> None:
    from hubspot.utils.signature import Signature

    given = Signature.get_signature(secret, BODY, "v3", URL, "POST", STAMP)
    headers = {"x-hubspot-signature-v3": given, "x-hubspot-request-timestamp": STAMP}
    HubSpot([secret], {"webhook_url": URL}).verify(headers, BODY.encode(), NOW)


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    running = RunningSandbox([sandbox.SquareOrders])
    yield running
    running.close()


def client(running: RunningSandbox, token: str = sandbox.TOKEN) -> Any:
    from square import Square as Sdk

    return Sdk(base_url=f"{running.url}/square", token=token)


def emulated(running: RunningSandbox) -> Any:
    emulator: Any = running.sandbox.hosted["square"].emulator
    emulator.customers_by_id = {"CUSTADA": CUSTOMER}
    emulator.orders = {
        f"ord-{at}": ORDER | PAID | {"id": f"ord-{at}", "updated_at": f"2026-11-22T11:00:0{at}Z"} for at in range(5)
    }
    return emulator


@pytest.mark.proof("square")
def test_square_s_sdk_reads_an_order_its_customer_and_what_changed(running: RunningSandbox) -> None:
    emulated(running).page = 2
    api = client(running)
    assert api.orders.get("ord-1").order.line_items[0].total_tax_money.amount == 1706
    assert api.customers.get("CUSTADA").customer.tax_ids.eu_vat == "GB123456789"
    window = {"start_at": "2026-11-22T11:00:01Z", "end_at": "2026-11-22T11:00:03Z"}
    query: Any = {
        "filter": {"date_time_filter": {"updated_at": window}, "state_filter": {"states": ["COMPLETED"]}},
        "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
    }
    first = api.orders.search(location_ids=[LOCATION], limit=50, query=query)
    second = api.orders.search(location_ids=[LOCATION], limit=50, query=query, cursor=first.cursor)
    assert [each.id for each in [*first.orders, *second.orders]] == ["ord-1", "ord-2", "ord-3"]
    assert second.cursor is None


@pytest.mark.proof("square")
def test_square_s_sdk_understands_what_the_emulator_refuses(running: RunningSandbox) -> None:
    from square.core.api_error import ApiError

    emulated(running)
    never: Any = {"max_retries": 0}
    with pytest.raises(ApiError) as refused:
        client(running).orders.get("gone", request_options=never)
    assert (refused.value.status_code, refused.value.errors[0].code) == (404, "NOT_FOUND")
    with pytest.raises(ApiError) as refused:
        client(running, "wrong").orders.get("ord-1", request_options=never)
    assert refused.value.errors[0].category == "AUTHENTICATION_ERROR"
