"""EasyPost: which events are believed, what of a tracker becomes an event, and what asking for trackers finds."""

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
from connectors.sandbox.source_apis.easypost import API_KEY, EasyPostTrackers
from connectors.sources.asking import Parcel
from connectors.sources.base import MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.easypost import EasyPost
from tests.unit.carrier_bodies import api_of, news, running, survives, survives_anything, told

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRET = "billhook-test-secret"
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
VECTOR = "hmac-sha256-hex=885ace1700b3681c998ac672250833778de154500175f691ca6e3cdf2c844cb4"
TRACKER: dict[str, Any] = {
    "id": "trk_4c3f0e",
    "object": "Tracker",
    "mode": "production",
    "tracking_code": "RM123456789GB",
    "carrier": "RoyalMail",
    "status": "delivered",
    "status_detail": "arrived_at_destination",
    "shipment_id": "shp_a91d",
    "is_return": False,
    "weight": 614.0,
    "created_at": "2026-11-20T08:00:00Z",
    "updated_at": "2026-11-22T10:31:00Z",
    "tracking_details": [
        {"datetime": "2026-11-21T09:00:00Z", "status": "in_transit", "tracking_location": {"city": "Leeds"}},
        {"datetime": "2026-11-22T10:30:00Z", "status": "delivered", "message": "Delivered"},
    ],
}
EVENT: dict[str, Any] = {
    "id": "evt_0b9b2c6ec74a11f0a3d1",
    "object": "Event",
    "mode": "production",
    "description": "tracker.updated",
    "created_at": "2026-11-22T10:31:05Z",
    "previous_attributes": {"status": "out_for_delivery"},
    "result": TRACKER,
}


def tracker(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(TRACKER) | changes


def event(description: str = "tracker.updated", **changes: Any) -> dict[str, Any]:
    return EVENT | {"description": description, "result": tracker(**changes)}


def only(document: Any, **options: Any) -> Event | None:
    [said] = told(EasyPost([SECRET], options), {}, document)
    assert said is None or isinstance(said, Event)
    return said


def header(signature: str) -> dict[str, str]:
    return {"x-hmac-signature": signature}


# -- signature ---------------------------------------------------------------------------------------------------------


def test_the_published_vector_is_accepted() -> None:
    EasyPost([SECRET]).verify(header(VECTOR), BODY, NOW)


def test_the_key_is_the_secret_in_its_compatibility_form() -> None:
    signed = hmac.new("ﬁ".encode(), BODY, hashlib.sha256).hexdigest()
    decomposed = hmac.new(b"fi", BODY, hashlib.sha256).hexdigest()
    EasyPost(["ﬁ"]).verify(header(f"hmac-sha256-hex={decomposed}"), BODY, NOW)
    with pytest.raises(SignatureError):
        EasyPost(["ﬁ"]).verify(header(f"hmac-sha256-hex={signed}"), BODY, NOW)


def test_the_old_and_the_new_secret_are_both_accepted() -> None:
    EasyPost(["the-new-one", SECRET]).verify(header(VECTOR), BODY, NOW)
    EasyPost([SECRET, "the-old-one"]).verify(header(VECTOR), BODY, NOW)


@pytest.mark.parametrize(
    "signature",
    ["x", VECTOR.removeprefix("hmac-sha256-hex="), VECTOR.upper(), VECTOR[:-1], VECTOR + "0", "é", "\ud800"],
)
def test_another_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureError, match="not made with a secret"):
        EasyPost([SECRET]).verify(header(signature), BODY, NOW)


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(SignatureError):
        EasyPost([SECRET]).verify(header(VECTOR), BODY.replace(b"1001", b"1002"), NOW)


def test_an_event_without_signature_is_refused_with_what_to_do() -> None:
    with pytest.raises(SignatureError, match="made with a webhook_secret"):
        EasyPost([SECRET]).verify({}, BODY, NOW)


def test_the_wrong_secret_is_refused_and_none_accepts_nothing() -> None:
    with pytest.raises(SignatureError) as refused:
        EasyPost(["another-secret"]).verify(header(VECTOR), BODY, NOW)
    assert "another-secret" not in str(refused.value)
    empty = "hmac-sha256-hex=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    with pytest.raises(SignatureError, match="no secret"):
        EasyPost([]).verify(header(empty), BODY, NOW)


# -- what is stored, and what it means ---------------------------------------------------------------------------------


def test_an_event_that_is_sent_again_is_the_same_whatever_easypost_notes_of_its_sending() -> None:
    tried = EasyPost([SECRET])
    noted = {"status": "pending", "pending_urls": ["https://x.example"], "completed_urls": []}
    [first] = tried.deliveries({}, orjson.dumps(EVENT | noted))
    [again] = tried.deliveries(
        {}, orjson.dumps(EVENT | {"status": "completed", "completed_urls": ["https://x.example"]})
    )
    assert first == again
    assert (first[0].id, first[0].type, first[0].order_ref) == (
        "evt_0b9b2c6ec74a11f0a3d1",
        "tracker.updated",
        "RM123456789GB",
    )
    assert orjson.loads(first[1]) == EVENT
    assert tried.receive({}, orjson.dumps(EVENT | {"id": "evt_2"})).id == "evt_2"


def test_a_delivered_parcel_is_told_with_the_time_of_its_scan() -> None:
    said = only(EVENT)
    assert said is not None
    assert said.shipment is not None
    assert (said.type, said.occurred_at) == (EventType.SHIPMENT_DELIVERED, datetime(2026, 11, 22, 10, 30, tzinfo=UTC))
    assert (said.shipment.ref, said.shipment.carrier, said.shipment.tracking_number) == (
        "trk_4c3f0e",
        "RoyalMail",
        "RM123456789GB",
    )
    assert (said.order, said.order_id, said.order_ref) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("in_transit", EventType.SHIPMENT_SHIPPED),
        ("out_for_delivery", EventType.SHIPMENT_SHIPPED),
        ("available_for_pickup", EventType.SHIPMENT_SHIPPED),
        ("delivered", EventType.SHIPMENT_DELIVERED),
        *((other, None) for other in ("unknown", "pre_transit", "return_to_sender", "failure", "cancelled", "error")),
        ("new_status", None),
        (None, None),
        ([], None),
    ],
)
@pytest.mark.parametrize("description", ["tracker.created", "tracker.updated"])
def test_each_status(status: Any, expected: EventType | None, description: str) -> None:
    said = only(event(description, status=status))
    assert (said.type if said else None) is expected


@pytest.mark.parametrize(
    "document",
    [
        event(is_return=True),
        event(status_detail="return"),
        event(mode="test"),
        EVENT | {"mode": "test", "result": tracker(mode=None)},
        event("batch.updated"),
        event("refund.successful"),
    ],
)
def test_returns_test_mode_and_other_events_change_nothing(document: Any) -> None:
    assert only(document) is None


SAID = {"statuses": {"Pre_Transit": "shipped", "available_for_pickup": "delivered", "in_transit": "ignored"}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pre_transit", EventType.SHIPMENT_SHIPPED),
        ("available_for_pickup", EventType.SHIPMENT_DELIVERED),
        ("in_transit", None),
        ("out_for_delivery", EventType.SHIPMENT_SHIPPED),
    ],
)
def test_the_merchant_says_which_statuses_count(status: str, expected: EventType | None) -> None:
    scan = {"datetime": "2026-11-21T17:00:00Z", "status": status}
    said = only(event(status=status, tracking_details=[scan]), **SAID)
    assert (said.type if said else None) is expected
    assert said is None or said.occurred_at == datetime(2026, 11, 21, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "changes", [{"is_return": True}, {"status_detail": "return"}, {"mode": "test"}, {"status": "return_to_sender"}]
)
def test_returns_and_test_mode_count_for_nothing_whatever_is_said(changes: dict[str, Any]) -> None:
    statuses = {"statuses": {"delivered": "delivered", "return_to_sender": "delivered"}}
    assert only(event(**changes), **statuses) is None


def test_test_mode_counts_where_the_merchant_says_so() -> None:
    assert only(event(mode="test"), test_events=True) is not None


def test_without_a_scan_of_the_status_the_tracker_s_own_time_counts() -> None:
    said = only(event(status="available_for_pickup"))
    assert said is not None
    assert said.occurred_at == datetime(2026, 11, 22, 10, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "must be a JSON object"),
        ({"result": TRACKER}, "description is missing"),
        (EVENT | {"result": None}, "result must be a JSON object"),
        (event(tracking_code=None), "tracking_code must be text"),
        (event(tracking_code=""), "tracking_code must not be empty"),
        (EVENT | {"created_at": None, "result": tracker(tracking_details=[], updated_at=None)}, "tracking_details"),
    ],
)
def test_what_names_no_parcel_or_no_time_is_refused_with_a_sentence(document: Any, sentence: str) -> None:
    with pytest.raises(NotInvoiceable, match=sentence):
        only(document)


def test_any_body_is_stored_and_read_without_a_crash() -> None:
    survives_anything(EasyPost([SECRET]), {}, EVENT)
    for document in (None, 5, "x", [], [EVENT], {}):
        survives(EasyPost([SECRET]), {}, document)
    deep = b'{"id": ' + b"[" * 500 + b"]" * 500 + b"}"
    assert EasyPost([SECRET]).deliveries({}, deep)[0][1] == deep
    with pytest.raises(MalformedBody):
        EasyPost([SECRET]).deliveries({}, b"{")


# -- asking ------------------------------------------------------------------------------------------------------------


def asking(url: str, key: str = API_KEY, **more: Any) -> EasyPost:
    return EasyPost([], {"api_key": key, "base_url": f"{url}/v2", **more})


def test_without_a_key_it_is_not_asked() -> None:
    assert EasyPost([SECRET]).api(Http(1)) is None


def test_the_trackers_of_parcels_are_found_each_state_once() -> None:
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(tracker(status="in_transit")))
        tried = asking(url)
        api = api_of(tried)
        parcels = [Parcel("RM123456789GB", "Royal Mail"), Parcel("UNKNOWN1", "")]
        [first], [again] = tried.track(api, parcels), tried.track(api, parcels)
        assert news(tried, [first]) == [("shipment.shipped", "RM123456789GB", "2026-11-21T09:00:00+00:00")]
        assert (first.delivery.id, first.delivery.type) == (again.delivery.id, "tracker")
        sandbox.run(lambda: emulator.put(tracker()))
        [later] = tried.track(api, parcels)
        assert later.delivery.id != first.delivery.id
        assert news(tried, [later]) == [("shipment.delivered", "RM123456789GB", "2026-11-22T10:30:00+00:00")]


def test_what_the_merchant_says_of_a_status_holds_where_it_was_asked_for() -> None:
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        tried = asking(url, **SAID)
        for status, expected in (("available_for_pickup", ["shipment.delivered"]), ("in_transit", [])):
            sandbox.run(lambda status=status: emulator.put(tracker(status=status)))
            found = tried.track(api_of(tried), [Parcel("RM123456789GB", "Royal Mail")])
            assert [type_ for type_, _, _ in news(tried, found)] == expected


def test_of_several_trackers_the_carrier_s_own_and_newest_counts() -> None:
    others = [
        tracker(id="trk_old", created_at="2025-01-01T00:00:00Z"),
        tracker(id="trk_ups", carrier="UPS", created_at="2026-11-22T00:00:00Z"),
        tracker(id="trk_new", status="in_transit"),
    ]
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        for one in others:
            sandbox.run(lambda one=one: emulator.put(one))
        tried = asking(url)
        [found] = tried.track(api_of(tried), [Parcel("RM123456789GB", "royal-mail")])
        assert orjson.loads(found.body)["id"] == "trk_new"
        [found] = tried.track(api_of(tried), [Parcel("RM123456789GB", "")])
        assert orjson.loads(found.body)["id"] == "trk_ups"


def test_a_list_that_was_cut_short_is_asked_for_in_halves() -> None:
    numbers = [f"N{number}" for number in range(4)]
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        for number in numbers:
            sandbox.run(lambda number=number: emulator.put(tracker(id=f"trk_{number}", tracking_code=number)))
        emulator.page = 3
        tried = asking(url)
        found = tried.track(api_of(tried), [Parcel(number, "") for number in numbers])
        assert [one.delivery.order_ref for one in found] == numbers


def test_a_refused_key_and_too_many_questions_are_told_apart() -> None:
    with running(EasyPostTrackers) as (_, _, url):
        wrong = asking(url, "EZAKwrong")
        with pytest.raises(Unauthorized, match="no longer active"):
            wrong.track(api_of(wrong), [Parcel("N1", "")])
        tried = asking(url)
        api = api_of(tried)
        for _ in range(5):
            tried.track(api, [Parcel("N1", "")])
        with pytest.raises(Throttled, match="Too many requests"):
            tried.track(api, [Parcel("N1", "")])
