"""UPS: Track Alert's pushes, v1 and v2, and what its Track API says of parcels on their way."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.ups import APP, UpsTracking
from connectors.sources.asking import Parcel
from connectors.sources.base import MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.ups import Ups
from tests.contract.running import RunningSandbox
from tests.unit.carrier_bodies import api_of, news, running, survives_anything, told

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
TOKEN = "ups-push-token-0123456789"
HEADERS = {"authorization": f"Bearer {TOKEN}", "user-agent": "UPSPubSubTrackingService"}
NUMBER = "1Z999AA10123456784"
PUSH: dict[str, Any] = {
    "trackingNumber": NUMBER,
    "localActivityDate": "20261122",
    "localActivityTime": "103000",
    "activityLocation": {"city": "LONDON", "stateProvince": "", "postalCode": "SW1Y4JH", "country": "GB"},
    "activityStatus": {"type": "D", "code": "FS", "description": "Delivered", "descriptionCode": "011"},
    "scheduledDeliveryDate": "20261122",
    "actualDeliveryDate": "20261122",
    "actualDeliveryTime": "103000",
    "gmtActivityDate": "20261122",
    "gmtActivityTime": "103000",
    "gmtOffset": "+00.00",
    "receivedBy": "LOVELACE",
}
SHIPPED, DELIVERED = "shipment.shipped", "shipment.delivered"


def ups(**options: Any) -> Ups:
    return Ups([TOKEN], options)


def push(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(PUSH) | changes


def status(type_: str, code: str = "XX", **changes: Any) -> dict[str, Any]:
    return push(activityStatus={"type": type_, "code": code}, actualDeliveryDate="", **changes)


def only(body: Any, **statuses: str) -> Any:
    """`statuses`: what the merchant says that they count as."""
    (event,) = told(ups(statuses=statuses), HEADERS, body)
    return event


class TestToken:
    @pytest.mark.parametrize(
        "headers", [HEADERS, {"credential": TOKEN}, {"credential": f"Bearer {TOKEN}"}, {":token": TOKEN}]
    )
    def test_it_is_accepted_where_v2_v1_and_the_address_carry_it(self, headers: dict[str, str]) -> None:
        ups().verify(headers, b"{}", NOW)

    def test_either_is_accepted_while_it_is_being_replaced(self) -> None:
        Ups(["the-new-one", TOKEN]).verify(HEADERS, b"{}", NOW)
        Ups([TOKEN, "the-old-one"]).verify(HEADERS, b"{}", NOW)

    @pytest.mark.parametrize(
        "headers",
        [{}, {"authorization": "Bearer other"}, {"credential": TOKEN[:-1]}, {"x-api-key": TOKEN}, {":token": "x"}],
    )
    def test_another_or_none_is_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(SignatureError):
            ups().verify(headers, b"{}", NOW)

    def test_without_a_secret_nothing_is_accepted(self) -> None:
        with pytest.raises(SignatureError, match="no secret"):
            Ups([]).verify(HEADERS, b"{}", NOW)


class TestPush:
    def test_the_example_says_that_the_parcel_was_delivered(self) -> None:
        event = only(PUSH)
        assert isinstance(event, Event)
        assert event.shipment is not None
        assert event.type is EventType.SHIPMENT_DELIVERED
        assert event.occurred_at == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
        assert (event.shipment.carrier, event.shipment.tracking_number) == ("ups", NUMBER)
        assert event.order is event.order_id is event.order_ref is None

    @pytest.mark.parametrize("code", ["OR", "DP", "YP", "OT"])
    def test_on_the_way_means_shipped(self, code: str) -> None:
        assert only(status("I", code)).type is EventType.SHIPMENT_SHIPPED

    @pytest.mark.parametrize("type_", ["M", "MV", "U", "X", "RS", "P", "", "Q"])
    def test_labels_voided_labels_exceptions_and_the_rest_are_kept_only(self, type_: str) -> None:
        assert only(status(type_)) is None

    @pytest.mark.parametrize("date", ["", None, " "])
    def test_a_parcel_on_the_van_is_not_delivered(self, date: Any) -> None:
        assert only(push(actualDeliveryDate=date)) is None

    def test_the_merchant_says_which_types_count(self) -> None:
        exception = only(status("X", gmtActivityTime="114500"), x="delivered")
        assert exception.type is EventType.SHIPMENT_DELIVERED
        assert exception.occurred_at == datetime(2026, 11, 22, 11, 45, tzinfo=UTC)
        assert only(status("M"), M="shipped").type is EventType.SHIPMENT_SHIPPED
        assert only(status("I"), I="ignored") is None
        assert only(status("I"), X="delivered").type is EventType.SHIPMENT_SHIPPED

    def test_what_is_said_of_a_delivery_holds_with_and_without_its_date(self) -> None:
        for body in (PUSH, status("D")):
            assert only(body, D="delivered").type is EventType.SHIPMENT_DELIVERED
            assert only(body, D="shipped").type is EventType.SHIPMENT_SHIPPED
            assert only(body, D="ignored") is None

    def test_what_is_back_at_the_shipper_or_only_a_try_counts_for_nothing_whatever_is_said(self) -> None:
        assert only(status("RS"), RS="delivered") is None
        assert only(push(trackingNumber="1ZCIETST0111111114"), D="delivered") is None

    def test_the_parcels_by_which_ups_lets_one_try_it_count_for_nothing(self) -> None:
        assert only(push(trackingNumber="1ZCIETST0111111114")) is None

    def test_a_number_is_written_in_one_way(self) -> None:
        assert only(push(trackingNumber=" 1z999aa10123456784")).shipment.tracking_number == NUMBER

    def test_a_time_may_lack_its_leading_zero_and_have_colons(self) -> None:
        for said in ("74700", "07:47:00", 74700):
            assert only(push(gmtActivityTime=said)).occurred_at == datetime(2026, 11, 22, 7, 47, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("offset", "hour"), [("-05:00", 15), ("-05.00", 15), ("+0100", 9), ("", 10), (None, 10), ("x", 10)]
    )
    def test_without_gmt_the_local_time_counts(self, offset: Any, hour: int) -> None:
        event = only(push(gmtActivityDate=None, gmtActivityTime="", gmtOffset=offset))
        assert event.occurred_at == datetime(2026, 11, 22, hour, 30, tzinfo=UTC)

    def test_what_nobody_could_match_is_refused_with_the_reason(self) -> None:
        with pytest.raises(NotInvoiceable, match="which parcel"):
            only(push(trackingNumber=""))
        with pytest.raises(NotInvoiceable, match=f"when it happened to parcel {NUMBER}"):
            only(push(gmtActivityDate="", localActivityDate="20261399"))


class TestStoring:
    def delivery(self, body: dict[str, Any]) -> Any:
        return ups().receive(HEADERS, orjson.dumps(body))

    def test_a_repeated_event_has_the_same_id_whatever_else_changed(self) -> None:
        assert self.delivery(PUSH).id == self.delivery(push(receivedBy="", deliveryPhoto="QUJD")).id

    @pytest.mark.parametrize(
        "other",
        [
            push(trackingNumber="1Z999AA10123456785"),
            push(gmtActivityTime="103001"),
            push(gmtActivityDate="20261123"),
            push(activityStatus={"type": "D", "code": "KB"}),
            push(activityStatus={"type": "I", "code": "FS"}),
        ],
    )
    def test_another_event_has_another(self, other: dict[str, Any]) -> None:
        assert self.delivery(PUSH).id != self.delivery(other).id

    def test_events_without_a_time_are_told_apart_by_their_bodies(self) -> None:
        early, late = (push(gmtActivityTime="", localActivityTime=time) for time in ("100000", "110000"))
        assert self.delivery(early).id != self.delivery(late).id
        assert self.delivery(early).id == self.delivery(early).id

    def test_the_reader_sees_parcel_status_and_time(self) -> None:
        delivery = self.delivery(PUSH)
        assert (delivery.type, delivery.order_ref) == ("activity/D/FS", NUMBER)
        assert delivery.occurred_at == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)

    def test_the_photo_of_the_door_is_not_stored_and_all_else_is(self) -> None:
        ((_, kept),) = ups().deliveries(HEADERS, orjson.dumps(push(deliveryPhoto="QUJD" * 500_000)))
        assert orjson.loads(kept) == PUSH
        body = orjson.dumps(PUSH, option=orjson.OPT_INDENT_2)
        assert ups().deliveries(HEADERS, body)[0][1] == body

    @pytest.mark.parametrize("body", [b"", b"{", b'{"a": "\\u0000"}'])
    def test_what_no_database_could_hold_is_refused(self, body: bytes) -> None:
        with pytest.raises(MalformedBody):
            ups().deliveries(HEADERS, body)

    def test_a_body_nested_too_deeply_to_be_written_is_kept_as_it_came(self) -> None:
        body = b'{"deliveryPhoto": "x", "a": ' + b"[" * 900 + b"]" * 900 + b"}"
        assert ups().deliveries(HEADERS, body)[0][1] == body

    def test_no_value_anywhere_breaks_it(self) -> None:
        survives_anything(ups(), HEADERS, push(deliveryPhoto="QUJD"))


def test_half_a_client_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        ups(client_id="x")
    assert Ups([TOKEN]).api(None) is None  # type: ignore[arg-type]


# -- the Track API -----------------------------------------------------------------------------------------------------


def activity(type_: str, code: str, date: str, time: str) -> dict[str, Any]:
    return {
        "location": {"address": {"city": "LONDON", "countryCode": "GB"}},
        "status": {"type": type_, "code": code, "description": "…", "statusCode": "011"},
        "date": date, "time": time, "gmtDate": date, "gmtOffset": "+00:00", "gmtTime": f"{time[:2]}:{time[2:4]}:00",
    }  # fmt: skip


ON_THE_VAN = activity("D", "YP", "20261122", "080000")
HISTORY = [
    activity("D", "FS", "20261122", "103000"),
    ON_THE_VAN,
    activity("X", "A3", "20261121", "120000"),
    activity("I", "DP", "20261121", "050000"),
    activity("I", "OR", "20261120", "210000"),
    activity("M", "MP", "20261120", "090000"),
]


BACK = activity("RS", "RS", "20261123", "090000")


def package(history: list[dict[str, Any]], number: str = NUMBER, *, delivered: bool = False) -> dict[str, Any]:
    day = {"type": "DEL" if delivered else "SDD", "date": "20261122"}
    return {"trackingNumber": number, "activity": history, "deliveryDate": [day], "packageCount": 1}


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[RunningSandbox, Any, str]]:
    with running(UpsTracking) as ready:
        yield ready


@pytest.fixture
def asked(world: tuple[RunningSandbox, Any, str]) -> tuple[Any, Ups]:
    sandbox, emulator, url = world
    emulator.packages.clear()
    sandbox.pass_time(61)
    return emulator, asking(url)


def asking(url: str, **statuses: str) -> Ups:
    return ups(client_id=APP.client_id, client_secret=APP.client_secret, base_url=url, statuses=statuses)


def track(source: Ups, *numbers: str) -> Any:
    return source.track(api_of(source), [Parcel(number, "UPS") for number in numbers])


class TestTracking:
    def test_a_delivered_parcel_was_shipped_and_delivered(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(HISTORY, delivered=True)]
        assert news(source, track(source, NUMBER)) == [
            (SHIPPED, NUMBER, "2026-11-20T21:00:00+00:00"),
            (DELIVERED, NUMBER, "2026-11-22T10:30:00+00:00"),
        ]

    def test_the_same_state_has_the_same_ids_and_a_later_one_adds_to_them(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(HISTORY[1:])]
        before = [each.delivery.id for each in track(source, NUMBER)]
        assert [each.delivery.id for each in track(source, NUMBER)] == before
        emulator.packages[NUMBER] = [package(HISTORY, delivered=True)]
        assert [each.delivery.id for each in track(source, NUMBER)][:1] == before
        assert len(before) == 1

    @pytest.mark.parametrize(
        ("history", "delivered", "types"),
        [
            (HISTORY[-1:], False, []),
            ([], True, []),
            (HISTORY[2:], False, [SHIPPED]),
            ([ON_THE_VAN], False, [SHIPPED]),
            ([BACK, *HISTORY], True, [SHIPPED]),
            ([{"status": None}, {"status": {"type": "I"}}, 5], True, []),
        ],
    )
    def test_each_history_says_what_it_says(
        self, asked: tuple[Any, Ups], history: list[Any], delivered: bool, types: list[str]
    ) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(history, delivered=delivered)]
        assert [told[0] for told in news(source, track(source, NUMBER))] == types

    @pytest.mark.parametrize(
        ("statuses", "history", "expected"),
        [
            ({"M": "shipped"}, HISTORY[5:], [(SHIPPED, "2026-11-20T09:00")]),
            ({"M": "shipped"}, HISTORY, [(SHIPPED, "2026-11-20T09:00"), (DELIVERED, "2026-11-22T10:30")]),
            ({"X": "delivered"}, HISTORY[2:], [(SHIPPED, "2026-11-20T21:00"), (DELIVERED, "2026-11-21T12:00")]),
            ({"I": "ignored"}, HISTORY[2:], []),
            ({"D": "delivered"}, HISTORY[1:], [(SHIPPED, "2026-11-20T21:00"), (DELIVERED, "2026-11-22T08:00")]),
            ({"D": "shipped", "I": "ignored"}, HISTORY, [(SHIPPED, "2026-11-22T08:00")]),
            ({"D": "ignored"}, HISTORY, [(SHIPPED, "2026-11-20T21:00")]),
            (
                {"X": "delivered", "RS": "delivered", "D": "delivered"},
                [BACK, *HISTORY],
                [(SHIPPED, "2026-11-20T21:00")],
            ),
        ],
    )
    def test_the_merchant_says_which_types_of_a_history_count(
        self, asked: tuple[Any, Ups], statuses: dict[str, str], history: list[Any], expected: list[Any]
    ) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(history, delivered=history[0] in (BACK, HISTORY[0]))]
        source = asking(str(source.options.base_url), **statuses)
        assert [(type_, at[:16]) for type_, _, at in news(source, track(source, NUMBER))] == expected

    def test_a_parcel_for_trying_it_out_is_not_asked_about(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        emulator.packages["1ZCIETST0111111114"] = [package(HISTORY, "1ZCIETST0111111114", delivered=True)]
        assert track(source, "1ZCIETST0111111114") == []

    def test_other_packages_of_the_shipment_and_unknown_numbers_are_left_out(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(HISTORY, "1Z999AA10123456785"), package(HISTORY[3:])]
        found = track(source, "1Z000AA10123456784", NUMBER, "9" * 39)
        assert [told[:2] for told in news(source, found)] == [(SHIPPED, NUMBER)]

    def test_parcels_of_others_are_not_asked_about(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        emulator.packages["794612345678"] = [package(HISTORY, "794612345678")]
        assert source.track(api_of(source), [Parcel("794612345678", "FedEx"), Parcel("794612345678", "")]) == []

    def test_a_token_that_has_ended_is_got_anew(
        self, asked: tuple[Any, Ups], world: tuple[RunningSandbox, Any, str]
    ) -> None:
        emulator, source = asked
        emulator.packages[NUMBER] = [package(HISTORY)]
        api, parcels = api_of(source), [Parcel(NUMBER, "UPS")]
        assert source.track(api, parcels)
        world[0].run(emulator.expire_tokens)
        assert source.track(api, parcels)

    def test_a_wrong_client_is_refused_in_words(self, world: tuple[RunningSandbox, Any, str]) -> None:
        source = ups(client_id=APP.client_id, client_secret="wrong", base_url=world[2])
        with pytest.raises(Unauthorized, match="refuses the credentials"):
            track(source, NUMBER)

    def test_what_was_found_before_ups_had_enough_counts(self, asked: tuple[Any, Ups]) -> None:
        emulator, source = asked
        numbers = [f"1Z999AA1{each:010}" for each in range(103)]
        emulator.packages.update({number: [package(HISTORY, number)] for number in numbers})
        assert len(track(source, *numbers)) == 100
        with pytest.raises(Throttled) as throttled:
            track(source, NUMBER)
        assert throttled.value.retry_after
