"""AfterShip: which events are believed, what of a tracking becomes an event in each version, and what asking finds."""

import base64
import copy
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.aftership import API_KEY, AfterShipTrackings
from connectors.sources.aftership import AfterShip
from connectors.sources.asking import Parcel
from connectors.sources.base import MalformedBody, NotInvoiceable, SignatureError
from tests.unit.carrier_bodies import api_of, news, running, survives, survives_anything, told

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRET = "billhook-test-secret"
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
VECTOR = "iFrOFwCzaByZisZyJQgzd43hVFABdfaRym483yyETLQ="
MSG: dict[str, Any] = {
    "id": "q1w2e3r4t5y6u7i8o9p0",
    "tracking_number": "RM123456789GB",
    "slug": "royal-mail",
    "title": "SO-1001",
    "order_id": "5123456789012",
    "order_number": "SO-1001",
    "tag": "Delivered",
    "subtag": "Delivered_001",
    "custom_fields": {"shop": "shop1", "order": "SO-2002"},
    "shipment_delivery_date": "2026-11-22T10:30:00+00:00",
    "created_at": "2026-11-20T08:00:00+00:00",
    "updated_at": "2026-11-22T10:44:00+00:00",
    "active": False,
    "checkpoints": [
        {"tag": "InTransit", "checkpoint_time": "2026-11-21T09:00:00+00:00"},
        {"tag": "Delivered", "subtag": "Delivered_001", "checkpoint_time": "2026-11-22T10:30:00+00:00"},
    ],
}
EVENT: dict[str, Any] = {
    "event": "tracking_update",
    "event_id": "6f1d2f3c-8a44-4c0e-9a63-0b1a5b8a7c10",
    "is_tracking_first_tag": True,
    "ts": 1795343465,
    "msg": MSG,
}


def tracking(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(MSG) | changes


def event(**changes: Any) -> dict[str, Any]:
    return EVENT | {"msg": tracking(**changes)}


def only(document: Any, **options: Any) -> Event | None:
    [said] = told(AfterShip([SECRET], options), {}, document)
    assert said is None or isinstance(said, Event)
    return said


def header(signature: str) -> dict[str, str]:
    return {"aftership-hmac-sha256": signature}


# -- signature ---------------------------------------------------------------------------------------------------------


def test_the_published_vector_is_accepted_by_the_old_and_the_new_secret() -> None:
    for secrets in ([SECRET], ["the-new-one", SECRET], [SECRET, "the-old-one"]):
        AfterShip(secrets).verify(header(VECTOR), BODY, NOW)


@pytest.mark.parametrize("signature", ["x", VECTOR[:-2], VECTOR.lower(), VECTOR + "A", "é" * 44, "\ud800"])
def test_another_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureError, match="not made with a secret"):
        AfterShip([SECRET]).verify(header(signature), BODY, NOW)


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(SignatureError):
        AfterShip([SECRET]).verify(header(VECTOR), BODY + b" ", NOW)


def test_only_the_tracking_product_s_header_counts() -> None:
    for name in ("as-signature-hmac-sha256", "am-webhook-signature"):
        with pytest.raises(SignatureError, match="aftership-hmac-sha256 is missing"):
            AfterShip([SECRET]).verify({name: VECTOR}, BODY, NOW)


def test_the_wrong_secret_is_refused_and_none_accepts_nothing() -> None:
    with pytest.raises(SignatureError):
        AfterShip(["another-secret"]).verify(header(VECTOR), BODY, NOW)
    empty = base64.b64encode(hmac.digest(b"", BODY, hashlib.sha256)).decode()
    with pytest.raises(SignatureError, match="no secret"):
        AfterShip([]).verify(header(empty), BODY, NOW)


# -- what is stored, and what it means ---------------------------------------------------------------------------------


def test_an_event_that_is_sent_again_has_the_same_id() -> None:
    tried = AfterShip([SECRET])
    first, again = (tried.receive({}, orjson.dumps(EVENT)) for _ in range(2))
    assert first == again
    assert (first.id, first.type, first.order_ref) == (EVENT["event_id"], "tracking_update", "SO-1001")
    assert tried.receive({}, orjson.dumps(EVENT | {"event_id": "other"})).id == "other"


def test_without_an_event_id_each_body_is_its_own() -> None:
    tried = AfterShip([SECRET])
    bare = EVENT | {"event_id": None}
    first, again, other = (
        tried.receive({}, orjson.dumps(document)).id for document in (bare, bare, bare | {"ts": 1795343466})
    )
    assert first == again != other
    assert first.startswith("q1w2e3r4t5y6u7i8o9p0:Delivered:Delivered_001:")


def test_a_delivered_parcel_names_its_order_in_every_way_it_can() -> None:
    said = only(EVENT)
    assert said is not None
    assert said.shipment is not None
    assert (said.type, said.occurred_at) == (EventType.SHIPMENT_DELIVERED, datetime(2026, 11, 22, 10, 30, tzinfo=UTC))
    assert (said.order_id, said.order_ref) == ("5123456789012", "SO-1001")
    assert (said.shipment.ref, said.shipment.carrier, said.shipment.tracking_number) == (
        "q1w2e3r4t5y6u7i8o9p0",
        "royal-mail",
        "RM123456789GB",
    )


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({"order_number": None}, {}, ("5123456789012", "5123456789012")),
        ({"order_number": None}, {"order_field": "order"}, ("5123456789012", "SO-2002")),
        ({"order_number": None, "order_id": ""}, {"order_field": "order"}, (None, "SO-2002")),
        ({"order_number": None, "order_id": None}, {"order_field": "none"}, (None, None)),
        ({"order_number": None, "order_id": None, "custom_fields": None}, {"order_field": "order"}, (None, None)),
        ({"order_number": 1001, "order_id": 5}, {}, ("5", "1001")),
    ],
)
def test_the_order_s_name_is_read_from_where_it_stands(changes: Any, options: Any, expected: Any) -> None:
    said = only(event(**changes), **options)
    assert said is not None
    assert (said.order_id, said.order_ref) == expected


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        *((each, EventType.SHIPMENT_SHIPPED) for each in ("InTransit", "OutForDelivery", "AvailableForPickup")),
        ("AttemptFail", EventType.SHIPMENT_SHIPPED),
        ("Delivered", EventType.SHIPMENT_DELIVERED),
        *((each, None) for each in ("Pending", "InfoReceived", "Exception", "Expired", "New", None, [])),
    ],
)
def test_each_tag(tag: Any, expected: EventType | None) -> None:
    said = only(event(tag=tag))
    assert (said.type if said else None) is expected


SAID = {"statuses": {"inforeceived": "shipped", "AvailableForPickup": "delivered", "AttemptFail": "ignored"}}


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("InfoReceived", EventType.SHIPMENT_SHIPPED),
        ("AvailableForPickup", EventType.SHIPMENT_DELIVERED),
        ("AttemptFail", None),
        ("InTransit", EventType.SHIPMENT_SHIPPED),
    ],
)
def test_the_merchant_says_which_tags_count(tag: str, expected: EventType | None) -> None:
    checkpoint = {"tag": tag, "checkpoint_time": "2026-11-21T17:00:00+00:00"}
    said = only(event(tag=tag, checkpoints=[checkpoint]), **SAID)
    assert (said.type if said else None) is expected
    assert said is None or said.occurred_at == datetime(2026, 11, 21, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes",
    [
        {"return_to_sender": True},
        {"shipment_direction": "return"},
        {"subtag": "Exception_010"},
        {"subtag": "Exception_011"},
    ],
)
def test_returns_count_for_nothing_whatever_is_said(changes: dict[str, Any]) -> None:
    statuses = {"statuses": {"Exception": "delivered"}}
    assert only(event(tag="Exception", subtag="Exception_007"), **statuses) is not None
    assert only(event(**{"tag": "Exception"} | changes), **statuses) is None


@pytest.mark.parametrize(
    "document",
    [
        event(return_to_sender=True),
        event(shipment_direction="return"),
        EVENT | {"event": "edd_revise"},
        EVENT | {"event": "tracking_pending_time"},
    ],
)
def test_returns_and_other_events_change_nothing(document: Any) -> None:
    assert only(document) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"checkpoints": [{"tag": "Delivered", "checkpoint_time": "2026-11-22T10:30:00"}]}, "10:30:00"),
        ({"checkpoints": None, "shipment_delivery_date": None}, "10:44:00"),
        ({"checkpoints": [], "shipment_delivery_date": "2026-11-22", "updated_at": None}, "10:31:05"),
        (
            {"checkpoints": [], "shipment_delivery_date": None, "updated_at": None}
            | {"last_updated_at": "2026-11-22T09:00:00Z"},
            "09:00:00",
        ),
    ],
)
def test_the_time_is_read_from_where_the_version_has_it(changes: Any, expected: str) -> None:
    said = only(event(**changes))
    assert said is not None
    assert said.occurred_at.isoformat() == f"2026-11-22T{expected}+00:00"


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "must be a JSON object"),
        ({"msg": MSG}, "event is missing"),
        (EVENT | {"msg": None}, "msg must be a JSON object"),
        (event(tracking_number=None), "tracking_number must be text"),
        (event(checkpoints=[], shipment_delivery_date=None, updated_at=None) | {"ts": None}, "does not say when"),
    ],
)
def test_what_names_no_parcel_or_no_time_is_refused_with_a_sentence(document: Any, sentence: str) -> None:
    with pytest.raises(NotInvoiceable, match=sentence):
        only(document)


def test_any_body_is_stored_and_read_without_a_crash() -> None:
    survives_anything(AfterShip([SECRET], {"order_field": "order"}), {}, EVENT)
    for document in (
        None,
        5,
        "x",
        [],
        [EVENT],
        {},
        {"event": "tracking_update", "msg": {"tag": "Delivered"}, "ts": 1e300},
    ):
        survives(AfterShip([SECRET]), {}, document)
    with pytest.raises(MalformedBody):
        AfterShip([SECRET]).receive({}, b"{")


# -- asking ------------------------------------------------------------------------------------------------------------


def asking(url: str, key: str = API_KEY, **more: Any) -> AfterShip:
    return AfterShip([], {"api_key": key, "base_url": f"{url}/tracking/2026-07", **more})


def test_without_a_key_it_is_not_asked() -> None:
    assert AfterShip([SECRET]).api(Http(1)) is None


def test_the_trackings_of_parcels_are_found_each_state_once() -> None:
    with running(AfterShipTrackings) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(tracking(tag="InTransit", subtag="InTransit_001")))
        tried = asking(url)
        api = api_of(tried)
        parcels = [Parcel("RM123456789GB", "Royal Mail"), Parcel("UNKNOWN1", ""), Parcel("A,B", "")]
        [first], [again] = tried.track(api, parcels), tried.track(api, parcels)
        assert news(tried, [first]) == [("shipment.shipped", "RM123456789GB", "2026-11-21T09:00:00+00:00")]
        assert (first.delivery.id, first.delivery.type) == (again.delivery.id, "tracking")
        sandbox.run(lambda: emulator.put(tracking()))
        [later] = tried.track(api, parcels)
        assert later.delivery.id != first.delivery.id
        assert news(tried, [later]) == [("shipment.delivered", "RM123456789GB", "2026-11-22T10:30:00+00:00")]
        said = tried.normalise(later.delivery, later.body)
        assert isinstance(said, Event)
        assert (said.order_id, said.order_ref) == ("5123456789012", "SO-1001")


def test_what_the_merchant_says_of_a_tag_holds_where_it_was_asked_for() -> None:
    with running(AfterShipTrackings) as (sandbox, emulator, url):
        tried = asking(url, **SAID)
        for tag, expected in (("AvailableForPickup", ["shipment.delivered"]), ("AttemptFail", [])):
            sandbox.run(lambda tag=tag: emulator.put(tracking(tag=tag)))
            found = tried.track(api_of(tried), [Parcel("RM123456789GB", "Royal Mail")])
            assert [type_ for type_, _, _ in news(tried, found)] == expected


def test_many_parcels_are_asked_for_in_questions_of_fifty_and_all_pages_are_read() -> None:
    numbers = [f"N{number:03}" for number in range(60)]
    with running(AfterShipTrackings) as (sandbox, emulator, url):
        for number in numbers:
            sandbox.run(lambda number=number: emulator.put(tracking(id=number, tracking_number=number)))
        emulator.page = 20
        tried = asking(url)
        found = tried.track(api_of(tried), [Parcel(number, "") for number in numbers])
        assert [orjson.loads(one.body)["tracking_number"] for one in found] == numbers


def test_of_several_trackings_the_courier_s_own_and_newest_counts() -> None:
    with running(AfterShipTrackings) as (sandbox, emulator, url):
        for one in (
            tracking(id="old", created_at="2025-01-01T00:00:00+00:00"),
            tracking(id="other", slug="ups", created_at="2026-11-22T00:00:00+00:00"),
            tracking(id="new"),
        ):
            sandbox.run(lambda one=one: emulator.put(one))
        tried = asking(url)
        for carrier, expected in (("Royal Mail", "new"), ("", "other"), ("FedEx", "other")):
            [found] = tried.track(api_of(tried), [Parcel("RM123456789GB", carrier)])
            assert orjson.loads(found.body)["id"] == expected


def test_a_refused_key_and_too_many_questions_are_told_apart() -> None:
    with running(AfterShipTrackings) as (_, _, url):
        wrong = asking(url, "wrong")
        with pytest.raises(Unauthorized, match="The API key is invalid"):
            wrong.track(api_of(wrong), [Parcel("N1", "")])
        tried = asking(url)
        api = api_of(tried)
        for _ in range(6):
            tried.track(api, [Parcel("N1", "")])
        with pytest.raises(Throttled, match="rate limit") as refused:
            tried.track(api, [Parcel("N1", "")])
        assert refused.value.retry_after == 1.0
