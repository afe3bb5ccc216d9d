"""FedEx: signed pushes of Advanced Integrated Visibility, and what the Track API says of parcels on their way."""

import base64
import copy
import hashlib
import hmac
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.fedex import APP, FedexTracking
from connectors.sources.asking import Parcel
from connectors.sources.base import NotInvoiceable, SignatureError
from connectors.sources.fedex import Fedex
from tests.contract.running import RunningSandbox
from tests.unit.carrier_bodies import api_of, news, running, survives_anything, told

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
SECRET = "fedex-security-token-0123"
VECTOR = "AKpFym/GkP5WXrMq8SwCkYHV/UwSyLaSJBztOmDdbt4="
NUMBER = "794612345678"
RESULT: dict[str, Any] = {
    "latestStatusDetail": {"code": "DL", "derivedCode": "DL", "statusByLocale": "Delivered"},
    "scanEvents": [{"date": "2026-11-22T10:30:00+00:00", "eventType": "DL", "eventDescription": "Delivered"}],
}
SHIPPED, DELIVERED = "shipment.shipped", "shipment.delivered"


def push(*results: dict[str, Any], number: Any = NUMBER) -> dict[str, Any]:
    return {"output": {"completeTrackResults": [{"trackingNumber": number, "trackResults": list(results)}]}}


def result(code: str, *scans: tuple[str, str], **more: Any) -> dict[str, Any]:
    events = [{"eventType": each, "date": date, "eventDescription": "…"} for each, date in scans]
    return {"latestStatusDetail": {"code": code, "derivedCode": code}, "scanEvents": events, **more}


PUSH = push(RESULT)
BODY = orjson.dumps(PUSH)


def fedex(**options: Any) -> Fedex:
    return Fedex([SECRET], options)


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"fdx-signature": base64.b64encode(mac).decode()}


class TestSignature:
    def test_base64_of_the_digest_is_accepted(self) -> None:
        fedex().verify(signed(BODY), BODY, NOW)

    def test_a_vector_made_elsewhere_is_accepted(self) -> None:
        """`printf '{"a":1}' | openssl dgst -sha256 -hmac fedex-security-token-0123 -binary | base64`"""
        fedex().verify({"fdx-signature": VECTOR}, b'{"a":1}', NOW)

    def test_either_secret_is_accepted_while_it_is_being_replaced(self) -> None:
        Fedex(["the-new-one", SECRET]).verify(signed(BODY), BODY, NOW)
        Fedex([SECRET, "the-old-one"]).verify(signed(BODY), BODY, NOW)

    def test_a_changed_body_another_secret_or_no_signature_is_refused(self) -> None:
        for headers, body in ((signed(BODY), BODY + b" "), (signed(BODY, "x"), BODY), ({}, BODY)):
            with pytest.raises(SignatureError, match="fdx-signature"):
                fedex().verify(headers, body, NOW)

    def test_without_a_secret_nothing_is_accepted(self) -> None:
        with pytest.raises(SignatureError, match="no secret"):
            Fedex([]).verify(signed(BODY, ""), BODY, NOW)

    def test_the_other_reading_of_the_description_is_refused_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        text = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest().encode()
        with caplog.at_level(logging.WARNING), pytest.raises(SignatureError):
            fedex().verify({"fdx-signature": base64.b64encode(text).decode()}, BODY, NOW)
        assert "please report this" in caplog.text
        assert SECRET not in caplog.text

    def test_any_other_signature_is_not_worth_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), pytest.raises(SignatureError):
            fedex().verify({"fdx-signature": "x\ud800"}, BODY, NOW)
        assert caplog.text == ""

    def test_a_replay_is_the_same_delivery(self) -> None:
        first, again = (fedex().deliveries(signed(BODY), BODY)[0][0] for _ in range(2))
        assert first == again


def only(body: Any, **statuses: str) -> Any:
    """`statuses`: what the merchant says that they count as."""
    (event,) = told(fedex(statuses=statuses), {}, body)
    return event


class TestPush:
    def test_the_example_says_that_the_parcel_was_delivered(self) -> None:
        event = only(PUSH)
        assert isinstance(event, Event)
        assert event.shipment is not None
        assert event.type is EventType.SHIPMENT_DELIVERED
        assert event.occurred_at == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
        assert (event.shipment.carrier, event.shipment.tracking_number) == ("fedex", NUMBER)

    @pytest.mark.parametrize("code", ["PU", "IT", "AR", "DP", "AF", "OD", "pu"])
    def test_picked_up_and_all_that_follows_means_shipped(self, code: str) -> None:
        assert only(push(result(code, (code, "2026-11-20T10:00:00Z")))).type is EventType.SHIPMENT_SHIPPED

    @pytest.mark.parametrize("code", ["OC", "DE", "SE", "CA", "HL", "RS", "DY", "IN", "", "??"])
    def test_labels_exceptions_and_the_rest_are_kept_only(self, code: str) -> None:
        assert only(push(result(code, (code, "2026-11-20T10:00:00Z")))) is None

    def test_what_came_back_to_the_shipper_was_not_delivered(self) -> None:
        scans = (("DL", "2026-11-24T10:00:00Z"), ("RS", "2026-11-23T10:00:00Z"), ("PU", "2026-11-20T10:00:00Z"))
        assert only(push(result("DL", *scans))) is None

    @pytest.mark.parametrize("code", ["PU", "DL"])
    def test_a_return_is_nothing(self, code: str) -> None:
        detail = {"authorizationName": "x", "reasonDetail": [{"type": "REJECTED"}]}
        assert only(push(result(code, (code, "2026-11-24T10:00:00Z"), returnDetail=detail))) is None
        assert only(push(result(code, (code, "2026-11-24T10:00:00Z"), returnDetail={}))) is not None

    def test_the_merchant_says_which_codes_count(self) -> None:
        held = push(result("HL", ("OD", "2026-11-22T12:00:00Z"), ("HL", "2026-11-22T09:00:00Z")))
        event = only(held, hl="delivered")
        assert event.type is EventType.SHIPMENT_DELIVERED
        assert event.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert only(push(RESULT), DL="ignored") is None
        assert only(push(RESULT), DL="shipped").type is EventType.SHIPMENT_SHIPPED
        assert only(push(RESULT), HL="shipped").type is EventType.SHIPMENT_DELIVERED

    def test_a_code_that_counts_without_a_scan_of_its_own_has_the_time_of_the_newest(self) -> None:
        event = only(push(result("HL", ("AR", "2026-11-22T08:00:00Z"))), HL="delivered")
        assert event.occurred_at == datetime(2026, 11, 22, 8, tzinfo=UTC)

    def test_the_code_that_sums_a_status_up_and_its_own_may_both_be_named_and_its_own_wins(self) -> None:
        scans = (("AR", "2026-11-22T09:00:00Z"), ("IT", "2026-11-21T09:00:00Z"))
        body = push(result("IT", *scans) | {"latestStatusDetail": {"derivedCode": "IT", "code": "AR"}})
        event = only(body, AR="delivered", IT="ignored")
        assert event.type is EventType.SHIPMENT_DELIVERED
        assert event.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert only(body, IT="ignored") is None

    def test_what_goes_back_counts_for_nothing_whatever_is_said(self) -> None:
        sent_back = [("RS", "2026-11-23T10:00:00Z"), ("HL", "2026-11-22T10:00:00Z")]
        assert only(push(result("RS", *sent_back)), RS="delivered") is None
        assert only(push(result("HL", *sent_back)), HL="delivered") is None
        assert only(push(result("HL", *sent_back[1:], returnDetail={"reason": "x"})), HL="shipped") is None
        summed_up = {"eventType": "XX", "derivedStatusCode": "RS", "date": "2026-11-23T10:00:00Z"}
        assert only(push(RESULT | {"scanEvents": [summed_up, *RESULT["scanEvents"]]}), DL="delivered") is None

    def test_the_time_is_that_of_the_status_wherever_its_scan_stands(self) -> None:
        scans = (("IT", "2026-11-21T10:00:00-06:00"), ("DL", "2026-11-22T10:00:00-06:00"), ("XX", None))
        assert only(push(result("DL", *scans))).occurred_at == datetime(2026, 11, 22, 16, tzinfo=UTC)

    def test_without_its_scan_the_list_of_times_counts_then_the_newest_scan(self) -> None:
        times = [{"type": "ACTUAL_PICKUP", "dateTime": "2026-11-20T00:00:00-06:00"},
                 {"type": "ACTUAL_DELIVERY", "dateTime": "2026-11-22T09:00:00-06:00"}]  # fmt: skip
        assert only(push(result("DL", dateAndTimes=times))).occurred_at == datetime(2026, 11, 22, 15, tzinfo=UTC)
        last = result("DL", ("AR", "2026-11-21T10:00:00Z"), ("XX", "2026-11-22T10:00:00Z"))
        assert only(push(last)).occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)

    def test_what_nobody_could_match_is_refused_with_the_reason(self) -> None:
        with pytest.raises(NotInvoiceable, match="which parcel"):
            only(push(RESULT, number=None))
        with pytest.raises(NotInvoiceable, match=f"when it happened to parcel {NUMBER}"):
            only(push(result("DL")))

    def test_the_number_may_stand_in_the_result_only(self) -> None:
        event = only(push(RESULT | {"trackingNumberInfo": {"trackingNumber": "7946 1234 5679"}}, number=""))
        assert event.shipment.tracking_number == "794612345679"

    def test_an_error_in_place_of_a_result_is_nothing(self) -> None:
        assert only(push({"error": {"code": "TRACKING.TRACKINGNUMBER.NOTFOUND"}})) is None

    def test_several_parcels_are_several_deliveries(self) -> None:
        body = {"output": {"completeTrackResults": [
            *PUSH["output"]["completeTrackResults"],
            {"trackingNumber": "794612345679", "trackResults": [result("PU", ("PU", "2026-11-20T10:00:00Z")), RESULT]},
        ]}}  # fmt: skip
        assert [(each.type.value, each.shipment.tracking_number) for each in told(fedex(), {}, body)] == [  # type: ignore[union-attr]
            (DELIVERED, NUMBER), (SHIPPED, "794612345679"), (DELIVERED, "794612345679"),
        ]  # fmt: skip

    def test_a_body_with_one_is_kept_as_it_came(self) -> None:
        body = orjson.dumps(PUSH, option=orjson.OPT_INDENT_2)
        assert fedex().deliveries({}, body)[0][1] == body

    def test_no_value_anywhere_breaks_it(self) -> None:
        full = copy.deepcopy(RESULT) | {"trackingNumberInfo": {"trackingNumberUniqueId": "12029~1~FDEG"}}
        survives_anything(fedex(), {}, push(full, RESULT))


class TestStoring:
    def delivery(self, body: dict[str, Any]) -> Any:
        return fedex().receive({}, orjson.dumps(body))

    def test_the_same_status_of_a_parcel_has_the_same_id_whatever_else_changed(self) -> None:
        later = RESULT | {"dateAndTimes": [{"type": "ESTIMATED_DELIVERY", "dateTime": "2026-11-22T00:00:00Z"}]}
        assert self.delivery(PUSH).id == self.delivery(push(later)).id
        assert self.delivery(PUSH).type == "track/DL"
        assert self.delivery(PUSH).order_ref == NUMBER

    @pytest.mark.parametrize(
        "other",
        [
            push(RESULT, number="794612345679"),
            push(result("DL", ("DL", "2026-11-22T10:31:00Z"))),
            push(result("OD", ("OD", "2026-11-22T10:30:00Z"))),
            push(RESULT | {"trackingNumberInfo": {"trackingNumberUniqueId": "12030~794612345678~FDEG"}}),
            push(result("DL")),
            {},
        ],
    )
    def test_another_event_has_another(self, other: dict[str, Any]) -> None:
        assert self.delivery(PUSH).id != self.delivery(other).id


# -- the Track API -----------------------------------------------------------------------------------------------------

HISTORY = (
    ("DL", "2026-11-22T10:30:00-06:00"), ("OD", "2026-11-22T08:00:00-06:00"), ("IT", "2026-11-21T08:00:00-06:00"),
    ("PU", "2026-11-20T17:00:00-06:00"), ("OC", "2026-11-20T09:00:00-06:00"),
)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[RunningSandbox, Any, str]]:
    with running(FedexTracking) as ready:
        yield ready


@pytest.fixture
def asked(world: tuple[RunningSandbox, Any, str]) -> tuple[Any, Fedex]:
    sandbox, emulator, url = world
    emulator.results.clear()
    sandbox.pass_time(61)
    return emulator, asking(url)


def asking(url: str, **statuses: str) -> Fedex:
    return fedex(client_id=APP.client_id, client_secret=APP.client_secret, base_url=url, statuses=statuses)


def track(source: Fedex, *numbers: str) -> Any:
    return source.track(api_of(source), [Parcel(number, "FedEx") for number in numbers])


class TestTracking:
    def test_a_delivered_parcel_was_shipped_and_delivered(self, asked: tuple[Any, Fedex]) -> None:
        emulator, source = asked
        emulator.results[NUMBER] = [result("DL", *HISTORY)]
        assert news(source, track(source, NUMBER)) == [
            (SHIPPED, NUMBER, "2026-11-20T23:00:00+00:00"),
            (DELIVERED, NUMBER, "2026-11-22T16:30:00+00:00"),
        ]

    def test_the_same_state_has_the_same_ids_and_a_later_one_adds_to_them(self, asked: tuple[Any, Fedex]) -> None:
        emulator, source = asked
        emulator.results[NUMBER] = [result("OD", *HISTORY[1:])]
        before = [each.delivery.id for each in track(source, NUMBER)]
        assert [each.delivery.id for each in track(source, NUMBER)] == before
        emulator.results[NUMBER] = [result("DL", *HISTORY)]
        assert [each.delivery.id for each in track(source, NUMBER)][:1] == before
        assert len(before) == 1

    @pytest.mark.parametrize(
        ("answer", "types"),
        [
            (result("OC", *HISTORY[4:]), []),
            (result("PU", *HISTORY[3:]), [SHIPPED]),
            (result("DL", ("DL", "2026-11-24T10:00:00Z"), ("RS", "2026-11-23T10:00:00Z"), *HISTORY[1:]), [SHIPPED]),
            (result("DL", *HISTORY, returnDetail={"authorizationName": "x"}), []),
            (result("DL", dateAndTimes=[{"type": "ACTUAL_DELIVERY", "dateTime": "2026-11-22T10:00:00Z"}]), [DELIVERED]),
            (result("DL"), []),
        ],
    )
    def test_each_history_says_what_it_says(
        self, asked: tuple[Any, Fedex], answer: dict[str, Any], types: list[str]
    ) -> None:
        emulator, source = asked
        emulator.results[NUMBER] = [answer]
        assert [told[0] for told in news(source, track(source, NUMBER))] == types

    @pytest.mark.parametrize(
        ("statuses", "answer", "expected"),
        [
            ({"OC": "shipped"}, result("OC", *HISTORY[4:]), [(SHIPPED, "2026-11-20T15:00")]),
            ({"OD": "delivered"}, result("OD", *HISTORY[1:]),
             [(SHIPPED, "2026-11-20T23:00"), (DELIVERED, "2026-11-22T14:00")]),
            ({"DL": "ignored"}, result("DL", *HISTORY), [(SHIPPED, "2026-11-20T23:00")]),
            ({"PU": "ignored", "it": "ignored"}, result("IT", *HISTORY[2:]), []),
            ({"OD": "delivered", "RS": "shipped"}, result("RS", ("RS", "2026-11-23T10:00:00Z"), *HISTORY[1:2]), []),
            ({"OC": "shipped"}, result("OC", *HISTORY[4:], returnDetail={"authorizationName": "x"}), []),
        ],
    )  # fmt: skip
    def test_the_merchant_says_which_codes_of_a_history_count(
        self, asked: tuple[Any, Fedex], statuses: dict[str, str], answer: dict[str, Any], expected: list[Any]
    ) -> None:
        emulator, source = asked
        emulator.results[NUMBER] = [answer]
        source = asking(str(source.options.base_url), **statuses)
        assert [(type_, at[:16]) for type_, _, at in news(source, track(source, NUMBER))] == expected

    def test_a_scan_s_code_that_sums_it_up_may_be_named_as_that_of_a_push(self, asked: tuple[Any, Fedex]) -> None:
        emulator, source = asked
        scan = {"eventType": "AR", "derivedStatusCode": "IT", "date": "2026-11-21T08:00:00Z"}
        latest = {"derivedCode": "IT", "code": "AR"}
        emulator.results[NUMBER] = [{"latestStatusDetail": latest, "scanEvents": [scan]}]
        source = asking(str(source.options.base_url), IT="ignored")
        assert news(source, track(source, NUMBER)) == []

    def test_many_are_asked_about_thirty_at_a_time_and_unknown_ones_left_out(
        self, asked: tuple[Any, Fedex], world: tuple[RunningSandbox, Any, str]
    ) -> None:
        emulator, source = asked
        numbers = [f"7946{each:08}" for each in range(65)]
        emulator.results.update({number: [result("PU", *HISTORY[3:])] for number in numbers[:62]})
        hosted = world[0].sandbox.hosted["fedex"]
        before = hosted.count
        assert len(track(source, *numbers)) == 62
        assert hosted.count - before == 4  # a token and three questions

    def test_parcels_of_others_are_not_asked_about(self, asked: tuple[Any, Fedex]) -> None:
        _, source = asked
        assert source.track(api_of(source), [Parcel(NUMBER, "UPS"), Parcel("1Z999AA10123456784", "")]) == []

    def test_a_token_that_has_ended_is_got_anew(
        self, asked: tuple[Any, Fedex], world: tuple[RunningSandbox, Any, str]
    ) -> None:
        emulator, source = asked
        emulator.results[NUMBER] = [result("DL", *HISTORY)]
        api, parcels = api_of(source), [Parcel(NUMBER, "")]
        assert source.track(api, parcels)
        world[0].run(emulator.expire_tokens)
        assert source.track(api, parcels)

    def test_a_wrong_client_is_refused_in_words(self, world: tuple[RunningSandbox, Any, str]) -> None:
        source = fedex(client_id=APP.client_id, client_secret="wrong", base_url=world[2])
        with pytest.raises(Unauthorized, match="refuses the credentials"):
            track(source, NUMBER)

    def test_a_quota_that_is_used_up_says_when_to_ask_again(self, asked: tuple[Any, Fedex]) -> None:
        emulator, source = asked
        for _ in range(emulator.limit.calls):
            emulator.limit.take(emulator.clock())
        with pytest.raises(Throttled) as throttled:
            track(source, NUMBER)
        assert throttled.value.retry_after

    def test_without_credentials_it_is_not_asked(self) -> None:
        assert fedex().api(None) is None  # type: ignore[arg-type]
