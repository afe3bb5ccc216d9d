"""What CloudEvents ask of ingest: several events in one body, a token in the address, a greeting by OPTIONS."""

import json
from datetime import UTC, datetime

import pytest
import requests

from tests.pipeline.ingesting import BUS_TOKEN, SECRETS, IngestServer, event
from tests.pipeline.test_ingest import signed

BATCHED = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture
def ingest(processes, tmp_path, store_url):
    return IngestServer(processes, tmp_path, store_url)


@pytest.fixture
def on_sqlite(processes, tmp_path):
    """For what has nothing to do with the store."""
    return IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")


def cloud_event(number: int, **changes):
    return {"specversion": "1.0", "id": f"ce-{number}", "source": "/erp", "data": event(f"evt-{number}", **changes)}


def send(ingest, body, headers=None, query="", source="bus", method="POST"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = f"{ingest.url}/in/engraver/{source}{query}"
    return requests.request(method, address, data=content, headers=headers or {}, timeout=10)


def batch(ingest, events):
    return send(ingest, events, BATCHED | {"Authorization": f"Bearer {BUS_TOKEN}"})


def test_each_event_of_a_batch_is_kept_and_has_its_result(ingest):
    answer = batch(ingest, [cloud_event(1), cloud_event(2)])
    assert answer.status_code == 202
    assert [(each["id"], each["status"]) for each in answer.json()["results"]] == [
        ("cloudevent:/erp ce-1", "accepted"),
        ("cloudevent:/erp ce-2", "accepted"),
    ]
    again = batch(ingest, [cloud_event(2), cloud_event(1), cloud_event(3)])
    assert [each["status"] for each in again.json()["results"]] == ["duplicate", "duplicate", "accepted"]
    assert batch(ingest, [cloud_event(1), cloud_event(2)]).status_code == 200
    assert ingest.stored() == [f"cloudevent:/erp ce-{number}" for number in (1, 2, 3)]


def test_a_second_body_under_an_id_is_kept_beside_the_first_in_a_batch_too(ingest):
    batch(ingest, [cloud_event(1), cloud_event(2)])
    other = [cloud_event(1), cloud_event(2, ref="another"), cloud_event(2, ref="a third")]
    assert [each["status"] for each in batch(ingest, other).json()["results"]] == ["duplicate", "accepted", "accepted"]
    assert batch(ingest, other).status_code == 200
    assert len(ingest.stored()) == 4


def test_a_batch_of_none_or_one_and_a_batch_that_is_none(on_sqlite):
    assert (batch(on_sqlite, []).status_code, batch(on_sqlite, []).json()["results"]) == (200, [])
    assert batch(on_sqlite, [cloud_event(1)]).json() == {"id": "cloudevent:/erp ce-1", "status": "accepted"}
    assert batch(on_sqlite, cloud_event(2)).status_code == 400
    assert batch(on_sqlite, [cloud_event(2), {"a": "\x00"}]).status_code == 400
    assert on_sqlite.stored() == ["cloudevent:/erp ce-1"]


def test_a_long_batch_is_taken(on_sqlite):
    assert batch(on_sqlite, [cloud_event(number) for number in range(500)]).json()["accepted"] == 500


def test_a_token_in_the_address_is_as_good_as_in_the_header_and_is_not_logged(on_sqlite):
    assert send(on_sqlite, cloud_event(1), query=f"?access_token={BUS_TOKEN}").status_code == 202
    assert send(on_sqlite, cloud_event(1), query=f"?x=1&token={BUS_TOKEN}").status_code == 200
    assert send(on_sqlite, cloud_event(2), query="?token=wrong-token-0123456789").status_code == 401
    assert send(on_sqlite, cloud_event(2), {"access_token": BUS_TOKEN}).status_code == 401
    both = send(on_sqlite, cloud_event(2), {"Authorization": f"Bearer {BUS_TOKEN}"}, f"?token={BUS_TOKEN}")
    assert (both.status_code, "not both" in both.json()["message"]) == (401, True)
    logged = on_sqlite.process.output
    assert not [each for each in (*SECRETS, "wrong-token-0123456789") if each in logged + both.text]
    assert on_sqlite.stored() == ["cloudevent:/erp ce-1"]


def test_no_header_can_pass_for_the_token_of_the_address(on_sqlite):
    with on_sqlite.connect() as sock:
        head = f"POST /in/engraver/bus HTTP/1.1\r\nHost: x\r\n:token: {BUS_TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}"
        sock.sendall(head.encode())
        assert int(sock.recv(1000).split(b" ")[1]) in {400, 401}
    assert on_sqlite.stored() == []


def test_events_in_binary_mode_are_kept_with_what_their_headers_say(on_sqlite):
    headers = {
        "Authorization": f"Bearer {BUS_TOKEN}",
        "ce-specversion": "1.0",
        "ce-id": "ce-1",
        "ce-source": "/erp",
        "ce-type": "example.order.updated",
    }
    assert send(on_sqlite, {"order_ref": "SO-1"}, headers).json()["id"] == "cloudevent:/erp ce-1"
    inbox = on_sqlite.inbox()
    [row] = inbox.waiting(10, datetime.max.replace(tzinfo=UTC))
    assert json.loads(row.body)["data"] == {"order_ref": "SO-1"}
    assert (row.topic, row.label) == ("order.updated", "SO-1")


def test_a_signed_structured_event_is_taken_by_a_source_that_takes_signatures_only(on_sqlite):
    body = json.dumps(cloud_event(1)).encode()
    headers = {"Content-Type": "application/cloudevents+json"}
    assert send(on_sqlite, body, headers | signed(body), source="erp").status_code == 202
    assert send(on_sqlite, body, {"Authorization": f"Bearer {BUS_TOKEN}"}, source="erp").status_code == 401


def test_a_sender_that_asks_by_options_may_send_where_the_source_knows_the_question(on_sqlite):
    asked = {"WebHook-Request-Origin": "bus.example", "WebHook-Request-Rate": "120"}
    answer = send(on_sqlite, b"", asked, method="OPTIONS")
    assert answer.status_code == 200
    assert [answer.headers[name] for name in ("WebHook-Allowed-Origin", "WebHook-Allowed-Rate", "Allow")] == [
        "bus.example",
        "*",
        "POST",
    ]
    assert send(on_sqlite, b"", {}, method="OPTIONS").status_code == 405
    assert send(on_sqlite, b"", asked, source="web", method="OPTIONS").status_code == 405
    assert send(on_sqlite, b"", asked, source="nobody", method="OPTIONS").status_code == 404
    assert requests.options(on_sqlite.url + "/events", headers=asked, timeout=10).status_code == 405
