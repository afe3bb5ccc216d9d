"""Ingest answers each request rightly, over real HTTP, on both stores."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests
from openapi_spec_validator import validate
from standardwebhooks import Webhook

from connectors.sandbox.shops import ShopDelivery
from tests.pipeline.ingesting import (
    KEY,
    OLD_KEY,
    OTHER_KEY,
    SECRETS,
    SIGNING,
    WEB_SECRET,
    WOO_SECRET,
    IngestServer,
    event,
    head,
    status_of,
)


@pytest.fixture
def ingest(processes, tmp_path, store_url):
    return IngestServer(processes, tmp_path, store_url)


@pytest.fixture
def on_sqlite(processes, tmp_path):
    """For what has nothing to do with the store."""
    return IngestServer(processes, tmp_path, f"sqlite:///{tmp_path / 'billhook.db'}")


def signed(body: bytes, message_id: str = "msg-1", secret: str = SIGNING, now: datetime | None = None):
    moment = now or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, moment, body.decode()),
    }


def test_an_event_is_accepted_once_and_a_repetition_is_a_duplicate(ingest):
    first, second = ingest.push(event()), ingest.push(event())
    assert (first.status_code, first.json()) == (202, {"id": "evt-1", "status": "accepted"})
    assert (second.status_code, second.json()) == (200, {"id": "evt-1", "status": "duplicate"})
    reordered = json.dumps(dict(reversed(event().items())), indent=3).encode()
    assert ingest.push(reordered).status_code == 200
    assert ingest.stored() == ["evt-1"]


def test_another_body_under_the_same_id_is_a_conflict(ingest):
    assert ingest.push(event()).status_code == 202
    answer = ingest.push(event(ref="another name"))
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert "evt-1" in answer.json()["message"]
    assert ingest.stored() == ["evt-1"]


def test_the_same_event_100_times_at_once_is_one_event(ingest):
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ingest.push(event()).status_code, range(100)))
    assert sorted(answers) == [200] * 99 + [202]
    assert ingest.stored() == ["evt-1"]


def test_each_element_of_an_array_has_its_result(ingest):
    ingest.push(event("old"))
    wrong = event("wrong", total="111.55")
    answer = ingest.push([event("new"), event("old"), event("old", ref="other"), wrong, event("new"), {"id": "x"}, 5])
    told = answer.json()
    assert answer.status_code == 202
    assert [(each["index"], each["id"], each["status"]) for each in told["results"]] == [
        (0, "new", "accepted"),
        (1, "old", "duplicate"),
        (2, "old", "conflict"),
        (3, "wrong", "invalid"),
        (4, "new", "duplicate"),
        (5, "x", "invalid"),
        (6, None, "invalid"),
    ]
    assert [told[word] for word in ("accepted", "duplicate", "conflict", "invalid")] == [1, 2, 1, 3]
    assert told["results"][3]["errors"][0]["path"] == "order.total"
    assert "0.01" in told["results"][3]["errors"][0]["message"]
    assert ingest.stored() == ["old", "new"]


def test_the_status_of_an_array_says_whether_anything_is_new(ingest):
    thousand = [event(f"evt-{number}") for number in range(1000)]
    assert ingest.push(thousand).json()["accepted"] == 1000
    assert ingest.push(thousand[:3]).status_code == 200
    assert ingest.push([{}, event("evt-1")]).status_code == 422
    assert ingest.push([*thousand, event()]).status_code == 400
    assert ingest.push([]).status_code == 400
    assert len(ingest.stored()) == 1000


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"{", 400, None),
        (b"", 400, None),
        (b"\xff\xfe", 400, None),
        (b'{"id": "\\ud800"}', 400, None),
        (b"[" * 100_000, 400, None),
        (b'{"order":' * 1_000 + b"1" + b"}" * 1_000, 422, "id"),
        (json.dumps(event("nul \x00")).encode(), 422, "id"),
        (json.dumps(event(total="1.00")).encode(), 422, "order.total"),
        (json.dumps(event(extra=1)).encode(), 422, "order.extra"),
        (json.dumps(event(attributes={"a": [[[]]]})).encode(), 422, "order.attributes"),
        (b"5", 422, ""),
        (json.dumps(event()).encode().ljust(1024 * 1024 + 1), 413, None),
        (json.dumps([event()]).encode().ljust(10 * 1024 * 1024 + 1), 413, None),
    ],
)
def test_a_body_that_is_no_event_is_refused_with_the_reason(on_sqlite, body, status, path):
    answer = on_sqlite.push(body)
    told = answer.json()
    assert answer.status_code == status, told
    assert told["message"]
    if path is not None:
        assert path in [each["path"] for each in told["errors"]]
    assert on_sqlite.push(event()).status_code == 202
    assert on_sqlite.stored() == ["evt-1"]


def test_bodies_up_to_the_limit_are_taken(on_sqlite):
    assert on_sqlite.push(json.dumps(event()).encode().ljust(1024 * 1024)).status_code == 202
    array = b" \n" + json.dumps([event("evt-2")]).encode()
    assert on_sqlite.push(array.ljust(10 * 1024 * 1024)).status_code == 202


def test_keys_are_checked(on_sqlite):
    assert on_sqlite.push(event(), key="wrong-key-0123456789").status_code == 401
    assert requests.post(on_sqlite.url + "/events", json=event(), timeout=10).status_code == 401
    assert requests.get(on_sqlite.url + "/events", timeout=10).status_code == 405
    basic = {"Authorization": f"Basic {KEY}"}
    assert requests.post(on_sqlite.url + "/events", json=event(), headers=basic, timeout=10).status_code == 401
    assert on_sqlite.stored() == []
    assert on_sqlite.counters() == {"unauthorized": 3, "method_not_allowed": 1}
    assert on_sqlite.push(event(), key=OLD_KEY).status_code == 202


def test_a_signature_is_as_good_as_a_key(on_sqlite):
    def push(body, headers, query=""):
        return requests.post(on_sqlite.url + "/events" + query, body, headers=headers, timeout=10)

    body = json.dumps(event()).encode()
    assert push(body, signed(body)).status_code == 202
    assert push(body, signed(body) | {"X-Billhook-Shop": "engraver"}).status_code == 200
    assert push(body, signed(body), "?shop=engraver").status_code == 200
    assert push(body, signed(body), "?shop=other").status_code == 401
    assert push(body + b" ", signed(body)).status_code == 401
    assert push(body, signed(body, now=datetime(2020, 1, 1, tzinfo=UTC))).status_code == 401
    assert on_sqlite.counters()["wrong_signature"] == 3
    assert on_sqlite.stored() == ["evt-1"]


def delivery(body: bytes = b'{"id": 5, "name": "#1001"}', delivery_id: str = "wh-1"):
    return ShopDelivery("web", "shopify", delivery_id, "orders/fulfilled", body)


def post(ingest, sent: ShopDelivery, shop="engraver", secret=WEB_SECRET):
    request = sent.request(shop, secret, datetime.now(UTC))
    return requests.post(ingest.url + request.path, request.body, headers=request.headers, timeout=10)


def test_a_webhook_is_kept_byte_for_byte_even_if_it_cannot_be_invoiced(ingest):
    body = b'{ "id": 5,\n "name": "#1001" }'
    assert post(ingest, delivery(body)).status_code == 202
    assert post(ingest, delivery(body)).status_code == 200
    inbox = ingest.inbox()
    [row] = inbox.waiting(10, datetime.max.replace(tzinfo=UTC))
    assert (row.body, row.kind, row.source, row.topic) == (body, "shopify", "web", "orders/fulfilled")
    assert row.label == "#1001"


def test_a_second_body_under_the_id_of_a_webhook_is_kept_beside_the_first(ingest):
    assert post(ingest, delivery()).status_code == 202
    assert post(ingest, delivery(b'{"id": 6}')).status_code == 202
    assert post(ingest, delivery(b'{"id": 6}')).status_code == 200
    assert len(ingest.stored()) == 2
    assert ingest.counters()["conflict"] == 2


def test_webhooks_that_are_not_signed_or_not_json_are_not_kept(on_sqlite):
    assert post(on_sqlite, delivery(), secret="wrong").status_code == 401
    assert post(on_sqlite, delivery(b"{not json")).status_code == 400
    assert post(on_sqlite, delivery(b'{"id": "\\u0000"}')).status_code == 400
    assert post(on_sqlite, delivery(), shop="nobody").status_code == 404
    assert requests.post(on_sqlite.url + "/in/other/web", b"{}", timeout=10).status_code == 404
    assert on_sqlite.stored() == []
    assert on_sqlite.counters() == {"wrong_signature": 1, "malformed": 2, "not_found": 2}


def test_a_refund_that_an_order_lists_is_kept_beside_it_once(on_sqlite):
    def saved(note: str) -> int:
        refund = {"id": 726, "reason": "", "total": "-12.60"}
        order = {"id": 5, "number": "W-5", "status": "completed", "customer_note": note, "refunds": [refund]}
        sent = ShopDelivery("shop", "woocommerce", note, "order.updated", json.dumps(order).encode())
        request = sent.request("engraver", WOO_SECRET, datetime.now(UTC))
        url = on_sqlite.url + "/in/engraver/woo"
        return requests.post(url, request.body, headers=request.headers, timeout=10).status_code

    assert [saved("a"), saved("b"), saved("b")] == [202, 202, 200]
    order, refund, later = on_sqlite.stored()
    assert refund == "refund:5:726"
    assert order != later


def test_the_unsigned_ping_of_woocommerce_is_welcome(on_sqlite):
    answer = requests.post(on_sqlite.url + "/in/engraver/woo", {"webhook_id": 3}, timeout=10)
    assert answer.status_code == 200
    assert requests.post(on_sqlite.url + "/in/engraver/woo", {"other": 3}, timeout=10).status_code == 401
    assert on_sqlite.stored() == []


def test_a_shop_sees_only_its_own(ingest):
    assert ingest.push(event()).status_code == 202
    mine = ingest.get("/events/evt-1", KEY)
    assert mine.status_code == 200
    assert mine.json()["event_id"] == "evt-1"
    assert mine.json()["state"] == "accepted"
    assert ingest.get("/events/evt-1", OTHER_KEY).status_code == 404
    assert ingest.get(f"/events/{mine.json()['id']}", OTHER_KEY).status_code == 404
    assert ingest.get("/events/evt-1").status_code == 401
    assert ingest.get("/orders/ref-of-evt-1").status_code == 401
    assert ingest.get("/orders/none", KEY).status_code == 404
    assert ingest.push(event(), key=OTHER_KEY).status_code == 202, "ids are unique per shop"


def test_a_slow_or_lost_client_disturbs_nobody(on_sqlite, eventually):
    slow, lost = on_sqlite.connect(), on_sqlite.connect()
    body = json.dumps(event("slow")).encode()
    slow.sendall(head(len(body)) + body[:100])
    lost.sendall(head(len(body)) + body[:100])
    lost.close()
    gone = [on_sqlite.connect() for _ in range(20)]
    for number, sock in enumerate(gone):
        one = json.dumps(event(f"gone-{number}")).encode()
        sock.sendall(head(len(one)) + one)
        sock.close()
    assert on_sqlite.push(event("other")).status_code == 202
    slow.sendall(body[100:])
    assert status_of(slow) == 202
    eventually(lambda: {"slow", "other"} <= set(on_sqlite.stored()))
    assert "client_gone" in on_sqlite.counters()


def test_a_length_that_lies_and_a_body_without_end_are_bounded(on_sqlite):
    with on_sqlite.connect() as endless:
        endless.sendall(head("chunked"))
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(20):
            endless.sendall(chunk)
        assert status_of(endless) == 413
    with on_sqlite.connect() as short:
        body = json.dumps(event("short")).encode()
        short.sendall(head(len(body) - 5) + body)
        assert status_of(short) == 400
    with on_sqlite.connect() as huge:
        huge.sendall(head(10**15) + b"{")
        assert on_sqlite.push(event("meanwhile")).status_code == 202
    assert on_sqlite.stored() == ["meanwhile"]


def test_no_secret_is_logged_or_answered(on_sqlite):
    answers = [
        on_sqlite.push(event(), key=KEY + "x"),
        on_sqlite.push(b"{"),
        on_sqlite.push(event()),
        post(on_sqlite, delivery(), secret="wrong"),
        on_sqlite.get("/healthz"),
        on_sqlite.get("/readyz"),
    ]
    told = on_sqlite.process.output + "".join(each.text for each in answers)
    assert [secret for secret in SECRETS if secret in told] == []


def test_the_documentation_is_valid_and_needs_no_other_server(on_sqlite):
    document = on_sqlite.get("/openapi.json").json()
    validate(document)
    example = document["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert on_sqlite.push(example).status_code == 202
    page = on_sqlite.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for status in ("202", "200", "409", "400", "401", "413", "422", "429", "503"):
        assert f"<code>{status}</code>" in page


def test_health_and_readiness(on_sqlite):
    assert on_sqlite.get("/healthz").json()["status"] == "alive"
    ready = on_sqlite.get("/readyz")
    said = {"status": "ready", "store": "writable", "redis": "does not answer", "configuration": "in force"}
    assert ready.json() == said
    assert on_sqlite.get("/nothing").status_code == 404
    assert requests.delete(on_sqlite.url + "/orders/1", timeout=10).status_code == 405
