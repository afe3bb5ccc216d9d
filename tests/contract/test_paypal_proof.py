"""The vendor's SDK gets its token from the emulator. It has no invoices: only its OAuth client can be proved with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import paypal as sandbox
from connectors.sandbox.base import Request
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("paypalserversdk")


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """The sandbox, as the SDK's sandbox environment."""
    from paypalserversdk.configuration import Configuration, Environment, Server

    running = RunningSandbox([sandbox.PayPal])
    monkeypatch.setitem(Configuration.environments[Environment.SANDBOX], Server.DEFAULT, f"{running.url}/paypal")
    yield running
    running.close()


def client(secret: str = sandbox.CLIENT_SECRET) -> Any:
    from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
    from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

    credentials = ClientCredentialsAuthCredentials(o_auth_client_id=sandbox.CLIENT_ID, o_auth_client_secret=secret)
    return PaypalServersdkClient(client_credentials_auth_credentials=credentials)


def test_the_sdk_gets_a_token_that_opens_the_invoices(running: RunningSandbox) -> None:
    token = client().oauth_2.fetch_token()
    assert (token.token_type, token.expires_in) == ("Bearer", 32400)
    emulator = running.sandbox.hosted["paypal"].emulator
    headers = {"authorization": f"Bearer {token.access_token}"}
    asked = Request("GET", "/v2/invoicing/templates", headers, b"")
    assert running.run(lambda: emulator.handle(asked)).status == 200


def test_a_wrong_secret_is_the_sdks_own_error(running: RunningSandbox) -> None:
    from paypalserversdk.exceptions.o_auth_provider_exception import OAuthProviderException

    with pytest.raises(OAuthProviderException) as refused:
        client("wrong").oauth_2.fetch_token()
    assert (refused.value.response_code, refused.value.error) == (401, "invalid_client")


def test_a_resource_of_its_own_meets_paypals_error(running: RunningSandbox) -> None:
    """The SDK sends its token by itself; orders are not emulated, and what is not there is a 404 in PayPal's shape."""
    from paypalserversdk.exceptions.error_exception import ErrorException

    with pytest.raises(ErrorException) as missing:
        client().orders.get_order({"id": "5O190127TN364715T"})
    assert (missing.value.response_code, missing.value.name) == (404, "RESOURCE_NOT_FOUND")
    assert missing.value.debug_id
