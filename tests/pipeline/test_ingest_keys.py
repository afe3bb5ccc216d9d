"""A real ingest learns, over HTTP, the keys of a sender that signs with a key pair."""

import base64
import json
from datetime import UTC, datetime

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.sandbox.source_apis.shipstation import ShipStation
from tests.contract.running import RunningSandbox
from tests.pipeline import ingesting
from tests.unit.shipstation_bodies import TOKEN, TRACK, jwk


@pytest.fixture
def sandbox():
    running = RunningSandbox([ShipStation])
    yield running
    running.close()


@pytest.fixture
def ingest(processes, tmp_path, sandbox, monkeypatch):
    source = f'[shop.parcels]\napi_key = "{ingesting.KEY}-2"\nsource.ss = {{ kind = "shipstation", secret = "{TOKEN}", '
    source += f'options = {{ keys_url = "{sandbox.url}/shipstation/jwks" }} }}\n'
    monkeypatch.setattr(ingesting, "CONFIG", ingesting.CONFIG + source)
    return ingesting.IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")


def test_a_new_key_is_learned_while_the_delivery_waits_and_invented_ones_ask_once(ingest, sandbox):
    key, emulator = generate_private_key(65537, 2048), sandbox.sandbox.hosted["shipstation"].emulator
    emulator.keys = [jwk("k1", key)]

    def sent(name: str, number: str, token: str = TOKEN) -> int:
        body = json.dumps(TRACK | {"data": TRACK["data"] | {"tracking_number": number}}).encode()
        at = datetime.now(UTC).isoformat()
        made = base64.b64encode(key.sign(f"{at}.".encode() + body, PKCS1v15(), SHA256())).decode()
        headers = {
            "X-ShipEngine-RSA-SHA256-Signature": made,
            "X-ShipEngine-RSA-SHA256-Key-Id": name,
            "X-ShipEngine-Timestamp": at,
        }
        address = f"{ingest.url}/in/parcels/ss?token={token}"
        return requests.post(address, body, headers=headers, timeout=20).status_code

    assert sent("k1", "1Z1", token="wrong") == 401
    assert emulator.asked == []
    assert sent("k1", "1Z2") == 202
    assert [sent("invented", f"1Z{number}") for number in range(3, 6)] == [401] * 3
    assert sent("k1", "1Z6") == 202
    assert emulator.asked == ["/jwks"]
    assert len(ingest.stored()) == 2


def test_where_the_keys_cannot_be_had_the_sender_is_asked_to_come_again(ingest, sandbox):
    sandbox.run(lambda: setattr(sandbox.sandbox.hosted["shipstation"].emulator, "keys", None))
    headers = {
        "X-ShipEngine-RSA-SHA256-Signature": "AAAA",
        "X-ShipEngine-RSA-SHA256-Key-Id": "k1",
        "X-ShipEngine-Timestamp": datetime.now(UTC).isoformat(),
    }
    answer = requests.post(f"{ingest.url}/in/parcels/ss?token={TOKEN}", b"{}", headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (503, "keys_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert ingest.stored() == []
