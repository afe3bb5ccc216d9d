"""Shippo: a signature or else a token, a hint that is confirmed, each status, and what asking for tracks finds."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Rolling
from connectors.sandbox.source_apis.shippo import API_KEY, ShippoTracks
from connectors.sources.asking import Parcel
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.shippo import Shippo, signature
from tests.unit.carrier_bodies import api_of, news, running, survives, survives_anything, told

SECRET = "billhook-test-secret"
BODY = b'{"order":"SO-1001","status":"fulfilled"}'
TIME = 1795345198
VECTOR = f"t={TIME},v1=ec9989454492534750f9995014921cb62576abd8dd5e412d07de5cdd50b3327d"
NOW = datetime.fromtimestamp(TIME, UTC)
TRACK: dict[str, Any] = {
    "carrier": "ups",
    "tracking_number": "1Z999AA10123456784",
    "transaction": "7c1d0a4f9b",
    "metadata": "SO-1001",
    "eta": "2026-11-22T12:00:00Z",
    "tracking_status": {
        "object_id": "f2a7c0e1",
        "object_created": "2026-11-22T10:31:04Z",
        "object_updated": "2026-11-22T10:31:04Z",
        "status_details": "Your shipment has been delivered.",
        "status": "DELIVERED",
        "status_date": "2026-11-22T10:30:00Z",
        "substatus": {"code": "delivered", "text": "Package has been delivered.", "action_required": False},
    },
    "tracking_history": [],
    "messages": [],
}
EVENT: dict[str, Any] = {"event": "track_updated", "test": False, "data": TRACK}
SIGNED = {"shippo-auth-signature": VECTOR}
TOKEN = {":token": SECRET}


def track(status: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(TRACK) | changes
    made["tracking_status"] |= status or {}
    return made


def event(status: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return EVENT | {"data": track(status, **changes)}


def only(document: Any, headers: Any = TOKEN, **options: Any) -> Event | Look | None:
    [said] = told(Shippo([SECRET], options), headers, document)
    return said


def certain(document: Any, **options: Any) -> Event:
    said = only(document, **options)
    assert isinstance(said, Event)
    return said


# -- signature ---------------------------------------------------------------------------------------------------------


def test_the_published_vector_is_accepted_by_the_old_and_the_new_secret() -> None:
    for secrets in ([SECRET], ["the-new-one", SECRET], [SECRET, "the-old-one"]):
        Shippo(secrets).verify(SIGNED, BODY, NOW)
        Shippo(secrets, {"signed": True}).verify(SIGNED, BODY, NOW)


def test_unknown_parts_of_the_header_are_passed_over() -> None:
    Shippo([SECRET]).verify({"shippo-auth-signature": f"v0=x, {VECTOR.replace(',', ', ')},new,a=b=c"}, BODY, NOW)


@pytest.mark.parametrize(
    "given",
    ["x", f"t={TIME}", VECTOR[:-1], VECTOR + "0", VECTOR.replace("v1=", "v2="), VECTOR.partition(",")[2], "t=é,v1=é"]
    + [VECTOR.replace(str(TIME), each) for each in (f"{TIME + 1}", "", "x", f"-{TIME}", "9" * 40, f"{TIME}.0")],
)
def test_another_signature_is_refused_even_with_the_right_token(given: str) -> None:
    with pytest.raises(SignatureError, match="Shippo-Auth-Signature"):
        Shippo([SECRET]).verify({"shippo-auth-signature": given, **TOKEN}, BODY, NOW)


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(SignatureError, match="not made with a secret"):
        Shippo([SECRET]).verify(SIGNED, BODY + b" ", NOW)


@pytest.mark.parametrize(("seconds", "accepted"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_signature_is_good_for_five_minutes(seconds: int, accepted: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    if accepted:
        Shippo([SECRET]).verify(SIGNED, BODY, now)
    else:
        with pytest.raises(SignatureError, match="5 minutes"):
            Shippo([SECRET]).verify(SIGNED, BODY, now)


def test_the_wrong_secret_is_refused_and_none_accepts_nothing() -> None:
    with pytest.raises(SignatureError):
        Shippo(["another-secret"]).verify(SIGNED, BODY, NOW)
    empty = {"shippo-auth-signature": f"t={TIME},v1={signature('', str(TIME), BODY)}"}
    with pytest.raises(SignatureError, match="no secret"):
        Shippo([]).verify(empty, BODY, NOW)


# -- token -------------------------------------------------------------------------------------------------------------


def test_without_a_signature_the_address_s_token_counts() -> None:
    for secrets in ([SECRET], ["the-new-one", SECRET]):
        Shippo(secrets).verify(TOKEN, BODY, NOW)
    for headers in ({}, {":token": ""}, {":token": "another"}, {"token": SECRET}, {":token": "é"}):
        with pytest.raises(SignatureError, match=r"token"):
            Shippo([SECRET]).verify(headers, BODY, NOW)
    with pytest.raises(SignatureError, match="no secret"):
        Shippo([]).verify({":token": ""}, BODY, NOW)


def test_where_shippo_signs_no_token_counts() -> None:
    with pytest.raises(SignatureError, match="says that Shippo signs"):
        Shippo([SECRET], {"signed": True}).verify(TOKEN, BODY, NOW)


# -- hints and facts ---------------------------------------------------------------------------------------------------


def test_an_unsigned_delivery_is_a_hint_where_it_can_be_confirmed() -> None:
    assert isinstance(only(EVENT, api_token="t"), Look)
    assert isinstance(only(EVENT), Event)


def test_a_signature_makes_a_fact_only_where_the_merchant_says_that_shippo_signs() -> None:
    """Else who knows the token of the address, which is a secret, too, could sign with it."""
    assert isinstance(only(EVENT, SIGNED, api_token="t", signed=True), Event)
    assert isinstance(only(EVENT, SIGNED, api_token="t"), Look)


def test_no_body_can_pass_for_a_track_that_was_found() -> None:
    forged = TRACK | {"event": "track"}
    assert only(forged, api_token="t") is None
    assert only(forged | {"event": "hint/track_updated", "data": TRACK}, api_token="t") is None


def test_a_hint_of_nothing_that_counts_is_not_looked_up() -> None:
    assert only(event({"status": "PRE_TRANSIT"}), api_token="t") is None
    assert only(EVENT | {"test": True}, api_token="t") is None


# -- what is stored, and what it means ---------------------------------------------------------------------------------


def test_a_status_that_is_sent_again_has_the_same_id() -> None:
    tried = Shippo([SECRET])
    first, again = (tried.receive(TOKEN, orjson.dumps(EVENT)) for _ in range(2))
    assert first == again
    assert (first.id, first.order_ref) == ("hint/track_updated:f2a7c0e1:DELIVERED", "SO-1001")
    assert tried.receive(TOKEN, orjson.dumps(event({"object_id": "2"}))).id != first.id
    nameless = [event({"object_id": None, "status": status}) for status in ("TRANSIT", "DELIVERED", "DELIVERED")]
    ids = [tried.receive(TOKEN, orjson.dumps(document)).id for document in nameless]
    assert ids[0] != ids[1] == ids[2]


def test_a_delivered_parcel_names_its_order_and_its_number() -> None:
    said = certain(EVENT)
    assert said.shipment is not None
    assert (said.type, said.occurred_at) == (EventType.SHIPMENT_DELIVERED, datetime(2026, 11, 22, 10, 30, tzinfo=UTC))
    assert (said.order_id, said.order_ref) == (None, "SO-1001")
    assert (said.shipment.carrier, said.shipment.tracking_number) == ("ups", "1Z999AA10123456784")


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ("Order 000123", "000123"),
        ("order: #12", "#12"),
        (" SO-1 ", "SO-1"),
        ("", None),
        (None, None),
        ("x" * 300, None),
    ],
)
def test_the_metadata_is_the_order_s_name(metadata: Any, name: str | None) -> None:
    assert certain(event(metadata=metadata)).order_ref == name
    assert certain(event(metadata=metadata), order_in_metadata=False).order_ref is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRANSIT", EventType.SHIPMENT_SHIPPED),
        ("DELIVERED", EventType.SHIPMENT_DELIVERED),
        *((each, None) for each in ("UNKNOWN", "PRE_TRANSIT", "RETURNED", "FAILURE", "transit", "NEW", None, [])),
    ],
)
def test_each_status(status: Any, expected: EventType | None) -> None:
    said = only(event({"status": status}))
    assert (said.type if isinstance(said, Event) else said) is expected


SAID = {"pre_transit": "shipped", "FAILURE": "delivered", "TRANSIT": "ignored", "RETURNED": "delivered"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PRE_TRANSIT", EventType.SHIPMENT_SHIPPED),
        ("FAILURE", EventType.SHIPMENT_DELIVERED),
        ("TRANSIT", None),
        ("DELIVERED", EventType.SHIPMENT_DELIVERED),
        ("RETURNED", None),
    ],
)
def test_the_merchant_says_which_statuses_count_but_of_what_goes_back(status: str, expected: EventType | None) -> None:
    said = only(event({"status": status}), statuses=SAID)
    assert (said.type if isinstance(said, Event) else said) is expected
    assert expected is None or isinstance(only(event({"status": status}), statuses=SAID, api_token="t"), Look)
    assert only(EVENT | {"test": True, "data": track({"status": status})}, statuses=SAID) is None


def test_out_for_delivery_is_shipped() -> None:
    said = certain(event({"status": "TRANSIT", "substatus": {"code": "out_for_delivery"}}))
    assert said.type is EventType.SHIPMENT_SHIPPED


@pytest.mark.parametrize("document", [EVENT | {"test": True}, event(carrier="shippo")])
def test_test_mode_counts_only_where_the_merchant_says_so(document: Any) -> None:
    assert only(document) is None
    assert isinstance(only(document, test_events=True), Event)


@pytest.mark.parametrize("name", ["transaction_created", "transaction_updated", "batch_created", "batch_purchased"])
def test_other_events_change_nothing(name: str) -> None:
    assert only(EVENT | {"event": name}) is None


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "must be a JSON object"),
        ({"data": TRACK}, "event is missing"),
        (EVENT | {"data": None}, "data must be a JSON object"),
        (event(tracking_number=None), "tracking_number must be text"),
        (event({"status_date": None, "object_created": None}), "status_date is missing"),
    ],
)
def test_what_names_no_parcel_or_no_time_is_refused_with_a_sentence(document: Any, sentence: str) -> None:
    for options in ({}, {"api_token": "t"}):
        with pytest.raises(NotInvoiceable, match=sentence):
            only(document, **options)


def test_any_body_is_stored_and_read_without_a_crash() -> None:
    survives_anything(Shippo([SECRET]), TOKEN, EVENT)
    for document in (None, 5, "x", [], [EVENT], {}):
        survives(Shippo([SECRET]), TOKEN, document)
    with pytest.raises(MalformedBody):
        Shippo([SECRET]).receive(TOKEN, b"{")


# -- asking ------------------------------------------------------------------------------------------------------------


def asking(url: str, token: str = API_KEY, **more: Any) -> Shippo:
    return Shippo([], {"api_token": token, "base_url": url, **more})


def test_without_a_token_of_the_api_it_is_not_asked() -> None:
    assert Shippo([SECRET]).api(Http(1)) is None


def test_a_hint_counts_for_what_shippo_confirms() -> None:
    with running(ShippoTracks) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(track({"status": "TRANSIT", "status_date": "2026-11-21T09:00:00Z"})))
        tried = asking(url)
        api, body = api_of(tried), orjson.dumps(event(metadata="SO-6666"))
        hint = tried.receive(TOKEN, body)
        [found] = tried.fetch(api, hint, body)
        assert news(tried, [found]) == [("shipment.shipped", "1Z999AA10123456784", "2026-11-21T09:00:00+00:00")]
        said = tried.normalise(found.delivery, found.body)
        assert isinstance(said, Event)
        assert said.order_ref == "SO-1001"
        assert found.delivery.id != hint.id
        assert tried.fetch(api, hint, body)[0].delivery.id == found.delivery.id


@pytest.mark.parametrize(
    "changes",
    [
        {"tracking_number": "NOBODYS"},
        {"carrier": "pigeon"},
        {"carrier": None},
        {"carrier": "../../transactions"},
        {"tracking_number": "../x"},
        {"tracking_number": "1Z?x=1"},
    ],
)
def test_a_hint_of_no_parcel_finds_nothing(changes: Any) -> None:
    with running(ShippoTracks) as (_, _, url):
        tried = asking(url)
        body = orjson.dumps(event(**changes))
        assert tried.fetch(api_of(tried), tried.receive(TOKEN, body), body) == []


def test_what_the_merchant_says_of_a_status_holds_where_it_was_asked_for() -> None:
    with running(ShippoTracks) as (sandbox, emulator, url):
        tried = asking(url, statuses=SAID)
        for status, expected in (("PRE_TRANSIT", ["shipment.shipped"]), ("TRANSIT", []), ("RETURNED", [])):
            sandbox.run(lambda status=status: emulator.put(track({"status": status})))
            found = tried.track(api_of(tried), [Parcel("1Z999AA10123456784", "UPS")])
            assert [type_ for type_, _, _ in news(tried, found)] == expected


def test_parcels_are_found_by_the_carrier_s_name_as_a_shop_writes_it() -> None:
    with running(ShippoTracks) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(track(carrier="royal_mail", tracking_number="RM1")))
        sandbox.run(lambda: emulator.put(track({"status": "TRANSIT"})))
        tried = asking(url)
        api = api_of(tried)
        parcels = [
            Parcel("RM1", "Royal Mail"),
            Parcel("1Z 999AA1 0123456784", "UPS"),
            Parcel("X1", "Pigeon Post"),
            Parcel("X2", ""),
            Parcel("X3", "FedEx"),
        ]
        found = tried.track(api, parcels)
        assert [each[:2] for each in news(tried, found)] == [
            ("shipment.delivered", "RM1"),
            ("shipment.shipped", "1Z999AA10123456784"),
        ]
        assert [one.delivery for one in tried.track(api, parcels)] == [one.delivery for one in found]


def test_when_no_more_questions_are_wanted_what_was_found_before_counts() -> None:
    with running(ShippoTracks) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(track()))
        emulator.quota = Rolling(2, 60.0)
        tried = asking(url)
        parcels = [Parcel("X1", "ups"), Parcel("1Z999AA10123456784", "ups"), Parcel("X2", "ups")]
        assert len(tried.track(api_of(tried), parcels)) == 1
        with pytest.raises(Throttled):
            tried.track(api_of(tried), parcels)


def test_a_refused_token_is_told() -> None:
    with running(ShippoTracks) as (_, _, url):
        wrong = asking(url, "shippo_live_wrong")
        with pytest.raises(Unauthorized, match="Token does not exist"):
            wrong.track(api_of(wrong), [Parcel("1Z1", "ups")])
