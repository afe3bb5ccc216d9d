"""What holds for every event source: registration, signatures over the body, and bodies made to break us."""

import base64
import copy
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sources.base import (
    MalformedBody,
    NotInvoiceable,
    SignatureError,
    Source,
    inbox_id,
    kinds,
    moment,
    parse_json,
    source,
)
from connectors.sources.delivery import Delivery
from connectors.sources.standard import parse_events
from tests.unit.test_sources_shopify import ORDER as SHOPIFY_ORDER
from tests.unit.test_sources_standard import EVENT
from tests.unit.test_sources_woocommerce import ORDER as WOO_ORDER

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRET = "billhook-test-secret"
WHSEC = "whsec_YmlsbGhvb2stdGVzdC1zZWNyZXQtMzItYnl0ZXMtb2s="
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
VECTOR = "iFrOFwCzaByZisZyJQgzd43hVFABdfaRym483yyETLQ="
SIGNED = {"shopify": "X-Shopify-Hmac-Sha256", "woocommerce": "X-WC-Webhook-Signature"}
CASES = [
    (
        "shopify",
        "orders/fulfilled",
        SHOPIFY_ORDER,
        {"x-shopify-topic": "orders/fulfilled", "x-shopify-webhook-id": "w-1"},
    ),
    ("woocommerce", "order.updated", WOO_ORDER, {"x-wc-webhook-topic": "order.updated"}),
    ("standard", "order.fulfilled", EVENT, {"webhook-id": "msg-1"}),
]


def made(kind: str) -> Source:
    return source(kind)([WHSEC if kind == "standard" else SECRET])


def test_a_source_is_known_by_existing() -> None:
    assert {"shopify", "standard", "woocommerce"} <= set(kinds())


def test_a_mistyped_kind_is_answered_with_what_was_meant() -> None:
    with pytest.raises(LookupError, match=r"shopfy.*did you mean 'shopify'\?.*woocommerce"):
        source("shopfy")


@pytest.mark.parametrize("kind", ["shopify", "standard", "woocommerce"])
def test_an_unknown_option_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="test_order_s"):
        source(kind)([], {"test_order_s": True})


@pytest.mark.parametrize("kind", sorted(SIGNED))
class TestSignatureOverTheBody:
    def headers(self, kind: str, signature: str) -> dict[str, str]:
        return {SIGNED[kind].lower(): signature}

    def test_the_published_vector_is_accepted(self, kind: str) -> None:
        made(kind).verify(self.headers(kind, VECTOR), BODY, NOW)

    def test_bytes_that_are_not_utf8_are_signed_like_any_other(self, kind: str) -> None:
        body = b"\xff\x00\xfe"
        signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        made(kind).verify(self.headers(kind, signature), body, NOW)

    def test_either_secret_is_accepted_while_it_is_being_replaced(self, kind: str) -> None:
        source(kind)(["the-new-one", SECRET]).verify(self.headers(kind, VECTOR), BODY, NOW)
        source(kind)([SECRET, "the-old-one"]).verify(self.headers(kind, VECTOR), BODY, NOW)

    @pytest.mark.parametrize("signature", ["", "x", "é" * 44, VECTOR[:-2], VECTOR.lower(), VECTOR + "A", "\ud800"])
    def test_another_signature_is_refused(self, kind: str, signature: str) -> None:
        with pytest.raises(SignatureError, match=SIGNED[kind]):
            made(kind).verify(self.headers(kind, signature), BODY, NOW)

    def test_a_changed_body_is_refused(self, kind: str) -> None:
        with pytest.raises(SignatureError):
            made(kind).verify(self.headers(kind, VECTOR), BODY + b" ", NOW)

    def test_a_missing_header_is_named(self, kind: str) -> None:
        with pytest.raises(SignatureError, match=f"{SIGNED[kind]} is missing"):
            made(kind).verify({}, BODY, NOW)

    def test_the_wrong_secret_is_refused_and_not_told(self, kind: str) -> None:
        with pytest.raises(SignatureError) as refused:
            source(kind)(["another-secret"]).verify(self.headers(kind, VECTOR), BODY, NOW)
        assert "another-secret" not in str(refused.value)
        assert VECTOR not in str(refused.value)

    def test_without_a_secret_nothing_is_accepted(self, kind: str) -> None:
        empty = base64.b64encode(hmac.new(b"", BODY, hashlib.sha256).digest()).decode()
        with pytest.raises(SignatureError, match="no secret"):
            source(kind)([]).verify(self.headers(kind, empty), BODY, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b"-" + b"9" * 5000,
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\x00"}',
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": [[{"b": "x\\u0000"}]]}',
        b"[" * 100_000,
        b"[" * 5000 + b"]" * 5000,
    ],
    ids=lambda body: str(body[:20]),
)
@pytest.mark.parametrize(("kind", "headers"), [(case[0], case[3]) for case in CASES])
def test_what_no_database_could_hold_is_refused(kind: str, headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(MalformedBody, match="the body"):
        made(kind).receive(headers, body)


def test_a_written_backslash_before_u0000_is_no_nul() -> None:
    assert parse_json(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, member in members for path in paths(member, (*here, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return changed


HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, -1e-300, 10**18, "", " ", "x", "NaN", "Infinity", "1e5000", "-0", "9" * 24,
    "99999999999999", "0.0000000001", "x" * 5000, "\x1b[2J\n", [], [[]], [None], {}, {"": None}, {"a": [1]},
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30T00:00:00Z", ["x"] * 3,
]  # fmt: skip


def outcome(kind: str, headers: dict[str, str], document: Any) -> None:
    """Receives and normalises; anything but an event, None or the two refusals escapes and fails the test."""
    tried, body = made(kind), orjson.dumps(document)
    try:
        delivery = tried.receive(headers, body)
        assert len(delivery.id) <= 200
        tried.normalise(delivery, body)
    except NotInvoiceable as refused:
        sentence = refused.reason
    except MalformedBody as refused:
        sentence = str(refused)
    else:
        return
    assert sentence.isprintable()
    assert 0 < len(sentence) <= 1000


@pytest.mark.parametrize(("kind", "_topic", "example", "headers"), CASES)
def test_a_wrong_value_anywhere_is_refused_in_words_or_harmless(
    kind: str, _topic: str, example: Any, headers: dict[str, str]
) -> None:
    for path in paths(example):
        for value in HOSTILE:
            outcome(kind, headers, replaced(example, path, value))


@pytest.mark.parametrize(("kind", "_topic", "example", "headers"), CASES)
def test_two_absurd_amounts_at_once_are_refused_in_words(
    kind: str, _topic: str, example: Any, headers: dict[str, str]
) -> None:
    numbers = [
        path for path in paths(example) if path and path[-1] in {"quantity", "price", "unit_price", "subtotal", "rate"}
    ]
    for first in numbers:
        for second in numbers:
            for value in ("99999999999999", "0.0000000001"):
                outcome(kind, headers, replaced(replaced(example, first, "99999999999999"), second, value))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("kind", "_topic", "example", "headers"), CASES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_body_raises_anything_else(kind: str, _topic: str, example: Any, headers: dict[str, str], data: Any) -> None:
    path = data.draw(st.sampled_from(paths(example)))
    document = replaced(example, path, data.draw(anything.filter(_storable)))
    outcome(kind, headers, document)
    parse_events(orjson.dumps(document)) if document != [] else None


def _storable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


@pytest.mark.parametrize(("kind", "topic", "_example", "headers"), CASES)
@pytest.mark.parametrize("document", [None, 1, "text", [], [1], {}])
def test_json_that_is_no_order_is_kept_with_a_reason(
    kind: str, topic: str, _example: Any, headers: dict[str, str], document: Any
) -> None:
    tried, body = made(kind), orjson.dumps(document)
    if kind == "standard" and isinstance(document, list):
        with pytest.raises(MalformedBody, match="POST /events"):
            tried.receive(headers, body)
        return
    delivery = tried.receive(headers, body)
    with pytest.raises(NotInvoiceable, match=r"must be a JSON object|is missing"):
        tried.normalise(Delivery(id=delivery.id, type=topic), body)


def test_ids_are_readable_where_they_can_be_and_hashed_where_not() -> None:
    assert inbox_id("orders/fulfilled", "w-1") == "orders/fulfilled:w-1"
    for odd in ("x" * 300, "é", "a\x00b", "a\nb"):
        assert inbox_id(odd).startswith("sha256:")
    assert inbox_id("é") != inbox_id("è")


def test_a_moment_without_a_zone_is_no_moment() -> None:
    assert moment("2026-11-22T10:59:58Z") == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
    assert moment("2026-11-22T11:59:58+01:00") == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
    for wrong in ("2026-11-22T10:59:58", "yesterday", None, 5, "0001-01-01T00:00:00+14:00"):
        assert moment(wrong) is None
