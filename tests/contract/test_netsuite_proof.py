"""The Python package `netsuite` drives the emulator: calls signed by its own OAuth 1, its errors, its SuiteQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import netsuite as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("netsuite")


class Integrator:
    """The package's client, pointed at a sandbox of its own."""

    def __init__(self, running: RunningSandbox) -> None:
        from netsuite.config import Config
        from netsuite.rest_api import NetSuiteRestApi

        class Here(NetSuiteRestApi):
            def _make_url(self, subpath: str) -> str:
                return f"{running.url}/netsuite/services/rest{subpath}"

        auth = {
            "consumer_key": sandbox.CONSUMER_KEY,
            "consumer_secret": sandbox.CONSUMER_SECRET,
            "token_id": sandbox.TOKEN_ID,
            "token_secret": sandbox.TOKEN_SECRET,
        }
        self.running = running
        self.api = Here(Config.model_validate({"account": sandbox.ACCOUNT, "auth": auth}))

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        return asyncio.run(getattr(self.api, method)(path, **options))

    def whole(self, method: str, path: str, **options: Any) -> Any:
        """The answer with its headers."""
        return asyncio.run(self.api.request(method, path, **options))

    def rows(self, question: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = asyncio.run(self.api.suiteql(question))["items"]
        return rows

    def customer(self) -> str:
        body = {"companyName": "Analytical Engines Ltd", "email": "ada@example.com", "subsidiary": {"id": "3"}}
        answer = self.whole("POST", "/record/v1/customer", json={**body, "externalId": "shop-c-42"})
        assert answer.status_code == 204
        return str(answer.headers["Location"].rpartition("/")[2])

    def invoice(self, external_id: str = "order-1001", **more: Any) -> dict[str, Any]:
        line = {"item": {"id": "1501"}, "quantity": 2, "rate": 45.00, "description": "Plaque"}
        lines = [{**line, "taxDetailsReference": "1"}]
        detail = {"taxDetailsReference": {"id": "1"}, "taxType": "13", "taxCode": {"id": "31"}}
        details = [{**detail, "taxBasis": 90.00, "taxRate": 20, "taxAmount": 18.00}]
        return {
            "externalId": external_id, "entity": {"id": self.known}, "currency": {"id": "2"}, "otherRefNum": "SO-1001",
            "tranDate": "2026-11-22", "item": {"items": lines}, "taxDetailsOverride": True,
            "taxDetails": {"items": details}, **more,
        }  # fmt: skip

    @property
    def known(self) -> str:
        rows = self.rows("SELECT id FROM customer WHERE externalid = 'shop-c-42'")
        return str(rows[0]["id"]) if rows else self.customer()


@pytest.fixture
def integrator() -> Iterator[Integrator]:
    running = RunningSandbox([sandbox.NetSuite])
    yield Integrator(running)
    running.close()


def test_an_invoice_is_created_read_changed_and_deleted(integrator: Integrator) -> None:
    assert integrator("post", "/record/v1/invoice", json=integrator.invoice(email="ada@example.com")) is None
    read = integrator("get", "/record/v1/invoice/eid:order-1001", params={"expandSubResources": "true"})
    assert (read["otherRefNum"], read["total"], read["taxTotal"]) == ("SO-1001", 108.0, 18.0)
    assert read["status"] == {"id": "A", "refName": "Open"}
    assert [line["amount"] for line in read["item"]["items"]] == [90.0]
    integrator("patch", f"/record/v1/invoice/{read['id']}", json={"toBeEmailed": True})
    emulator: Any = integrator.running.sandbox.hosted["netsuite"].emulator
    assert integrator.running.run(emulator.mails) == [(read["id"], "ada@example.com")]
    integrator("delete", f"/record/v1/invoice/{read['id']}")
    assert integrator.running.run(emulator.ledger) == []


def test_suiteql_finds_it(integrator: Integrator) -> None:
    integrator("post", "/record/v1/invoice", json=integrator.invoice())
    (row,) = integrator.rows(
        "SELECT id, tranid, status FROM transaction WHERE type = 'CustInvc' AND externalid = 'order-1001'"
    )
    assert (row["tranid"], row["status"]) == ("INV3307", "A")
    assert integrator.rows("SELECT id FROM transaction WHERE externalid = 'order-1002'") == []


def test_refusals_are_the_packages_errors(integrator: Integrator) -> None:
    from netsuite.exceptions import NetsuiteAPIRequestError

    good = integrator.invoice()
    integrator("post", "/record/v1/invoice", json=good)
    wrong = [
        (400, "already exists", good),
        (400, "Unknown property 'otherRefNumber'", {**good, "otherRefNumber": "SO-1"}),
        (400, "Invalid Field Value 99", {**good, "externalId": "order-2", "entity": {"id": "99"}}),
    ]
    for status, text, body in wrong:
        with pytest.raises(NetsuiteAPIRequestError) as refused:
            integrator("post", "/record/v1/invoice", json=body)
        assert refused.value.status_code == status
        assert text in json.loads(refused.value.response_text)["o:errorDetails"][0]["detail"]
    with pytest.raises(NetsuiteAPIRequestError) as missing:
        integrator("get", "/record/v1/invoice/eid:nobody")
    assert missing.value.status_code == 404


def test_a_collection_is_carried_out_as_a_job(integrator: Integrator) -> None:
    headers = {"Prefer": "respond-async", "Content-Type": sandbox.COLLECTION}
    body = {"items": [integrator.invoice("a"), {**integrator.invoice("b"), "currency": {"id": "99"}}]}
    sent = integrator.whole("POST", "/record/v1/invoice", headers=headers, json=body)
    assert sent.status_code == 202
    job = "/async/v1/job/" + sent.headers["Location"].rpartition("/")[2]
    assert integrator("get", job)["completed"] is True
    assert len(integrator("get", f"{job}/task")["items"]) == 2
    results = [integrator.whole("GET", f"{job}/task/{number}/result").status_code for number in (1, 2)]
    assert results == [204, 400]


def test_a_wrong_secret_is_refused(integrator: Integrator) -> None:
    from netsuite.exceptions import NetsuiteAPIRequestError

    integrator.api._config.auth.token_secret = "wrong"
    with pytest.raises(NetsuiteAPIRequestError) as refused:
        integrator.rows("SELECT id FROM item")
    assert refused.value.status_code == 401
