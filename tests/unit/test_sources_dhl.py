"""DHL: Unified Push with its handshake, and what Shipment Tracking Unified says of parcels on their way."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.errors import Rejected, Throttled, Unauthorized
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.dhl import API_KEY, DhlTracking
from connectors.sources.asking import Parcel
from connectors.sources.base import Look, NotInvoiceable, SignatureError
from connectors.sources.dhl import Dhl
from tests.contract.running import RunningSandbox
from tests.unit.carrier_bodies import api_of, news, running, survives_anything, told

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)
TOKEN = "dhl-push-token-0123456789"
NUMBER = "00340434292135100186"
STATUS: dict[str, Any] = {
    "timestamp": "2026-11-22T10:30:00Z",
    "statusCode": "delivered",
    "status": "DELIVERED",
    "description": "Delivered",
    "location": {"address": {"countryCode": "GB", "addressLocality": "London"}},
}
SELF = "https://api-eu.dhl.com/tracking/push/v1/subscription/7d1c1f0a-5b5e-4c0e-9d8e-000000000001"
PUSH: dict[str, Any] = {
    "scope": "subscription.push",
    "self": SELF,
    "shipments": [{"id": NUMBER, "service": "parcel-de", "status": STATUS, "events": []}],
}
HANDSHAKE = {"scope": "subscription.validate", "self": SELF, "secret": "hook-secret-42", "expires": "2026-11-23"}
SHIPPED, DELIVERED = "shipment.shipped", "shipment.delivered"


def dhl(**options: Any) -> Dhl:
    """Without the pause that DHL wants between two calls."""
    made = Dhl([TOKEN], options)
    made.turns.pause = 0
    return made


def shipment(code: Any, *, number: Any = NUMBER, at: Any = "2026-11-22T10:30:00Z", **more: Any) -> dict[str, Any]:
    return {"id": number, "service": "parcel-de", "status": STATUS | {"statusCode": code, "timestamp": at}, **more}


def push(*shipments: dict[str, Any], **more: Any) -> dict[str, Any]:
    return copy.deepcopy(PUSH) | {"shipments": list(shipments)} | more


def only(body: Any, **options: Any) -> Any:
    (event,) = told(dhl(**options), {}, body)
    return event


class TestToken:
    def test_it_is_accepted_in_the_header_that_was_chosen_or_in_the_address(self) -> None:
        dhl().verify({"x-billhook-key": TOKEN}, b"{}", NOW)
        dhl(header="X-Mine").verify({"x-mine": TOKEN}, b"{}", NOW)
        dhl().verify({":token": TOKEN}, b"{}", NOW)

    def test_either_is_accepted_while_it_is_being_replaced(self) -> None:
        Dhl(["the-new-one", TOKEN]).verify({"x-billhook-key": TOKEN}, b"{}", NOW)
        Dhl([TOKEN, "the-old-one"]).verify({"x-billhook-key": TOKEN}, b"{}", NOW)

    @pytest.mark.parametrize("headers", [{}, {"x-billhook-key": "x"}, {"x-mine": TOKEN}, {"dhl-api-key": TOKEN}])
    def test_another_or_none_is_refused(self, headers: dict[str, str]) -> None:
        with pytest.raises(SignatureError, match="X-Billhook-Key"):
            dhl().verify(headers, b"{}", NOW)

    def test_without_a_secret_nothing_is_accepted(self) -> None:
        with pytest.raises(SignatureError, match="no secret"):
            Dhl([]).verify({"x-billhook-key": ""}, b"{}", NOW)

    @pytest.mark.parametrize("header", ["", ":token", "X Key", "X-Ü"])
    def test_a_header_that_nobody_can_send_is_refused_at_once(self, header: str) -> None:
        with pytest.raises(ValueError, match="header"):
            dhl(header=header)


class TestPush:
    def test_the_example_says_that_the_parcel_was_delivered(self) -> None:
        event = only(PUSH)
        assert isinstance(event, Event)
        assert event.shipment is not None
        assert event.type is EventType.SHIPMENT_DELIVERED
        assert event.occurred_at == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
        assert (event.shipment.carrier, event.shipment.tracking_number) == ("dhl", NUMBER)

    @pytest.mark.parametrize("code", ["transit", "Transit"])
    def test_transit_means_shipped(self, code: str) -> None:
        assert only(push(shipment(code))).type is EventType.SHIPMENT_SHIPPED

    @pytest.mark.parametrize("code", ["pre-transit", "failure", "unknown", "", None, 5, "lost"])
    def test_labels_failures_and_the_rest_are_kept_only(self, code: Any) -> None:
        assert only(push(shipment(code))) is None

    def test_the_merchant_says_which_codes_count(self) -> None:
        statuses = {"Pre-Transit ": "shipped", "failure": "delivered", "transit": "ignored"}
        label, failed, moving, arrived = (
            only(push(shipment(code)), statuses=statuses) for code in ("pre-transit", "Failure", "transit", "delivered")
        )
        assert (label.type, label.occurred_at) == (
            EventType.SHIPMENT_SHIPPED,
            datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        )
        assert failed.type is arrived.type is EventType.SHIPMENT_DELIVERED
        assert moving is None
        assert only(push(shipment("failure", returnFlag=True)), statuses=statuses) is None

    @pytest.mark.parametrize("back", [{"returnFlag": True}, {"details": {"returnFlag": True}}])
    def test_what_goes_back_is_nothing(self, back: dict[str, Any]) -> None:
        assert only(push(shipment("delivered", **back))) is None
        assert only(push(shipment("delivered", returnFlag=False))) is not None

    @pytest.mark.parametrize("scope", ["subscription.ready", "subscription.failure", "subscription.deleted", None])
    def test_news_of_the_subscription_are_kept_only(self, scope: str | None) -> None:
        assert only(push(shipment("delivered"), scope=scope)) is None

    def test_a_time_without_a_zone_counts_as_utc(self) -> None:
        event = only(push(shipment("transit", at="2026-11-22T10:30:00")))
        assert event.occurred_at == datetime(2026, 11, 22, 10, 30, tzinfo=UTC)

    def test_what_nobody_could_match_is_refused_with_the_reason(self) -> None:
        with pytest.raises(NotInvoiceable, match="which parcel"):
            only(push(shipment("delivered", number="")))
        with pytest.raises(NotInvoiceable, match=f"when it happened to parcel {NUMBER}"):
            only(push(shipment("delivered", at="yesterday")))

    def test_several_shipments_are_several_deliveries(self) -> None:
        events = told(dhl(), {}, push(shipment("transit"), shipment("failure"), shipment("delivered", number="JD01")))
        assert [event and (event.type.value, event.shipment.tracking_number) for event in events] == [  # type: ignore[union-attr]
            (SHIPPED, NUMBER), None, (DELIVERED, "JD01"),
        ]  # fmt: skip

    def test_a_body_with_one_is_kept_as_it_came(self) -> None:
        body = orjson.dumps(PUSH, option=orjson.OPT_INDENT_2)
        assert dhl().deliveries({}, body)[0][1] == body

    def test_no_value_anywhere_breaks_it(self) -> None:
        survives_anything(dhl(), {}, push(shipment("transit"), shipment("delivered", details={"returnFlag": False})))
        survives_anything(dhl(), {}, HANDSHAKE)


class TestStoring:
    def delivery(self, body: dict[str, Any]) -> Any:
        return dhl().receive({}, orjson.dumps(body))

    def test_a_repeated_push_has_the_same_id_whatever_else_changed(self) -> None:
        assert self.delivery(PUSH).id == self.delivery(push(shipment("delivered", events=[{}]), self="x")).id
        assert self.delivery(PUSH).type == "subscription.push/delivered"
        assert self.delivery(PUSH).order_ref == NUMBER

    @pytest.mark.parametrize(
        "other",
        [
            push(shipment("delivered", number="JD01")),
            push(shipment("transit")),
            push(shipment("delivered", at="2026-11-22T10:31:00Z")),
            push(shipment("delivered", at=None)),
            push(shipment("delivered"), scope="subscription.ready"),
            HANDSHAKE,
        ],
    )
    def test_another_event_has_another(self, other: dict[str, Any]) -> None:
        assert self.delivery(PUSH).id != self.delivery(other).id

    def test_a_second_handshake_is_another_delivery_and_a_repeated_one_is_not(self) -> None:
        assert self.delivery(HANDSHAKE).id != self.delivery(HANDSHAKE | {"secret": "hook-secret-43"}).id
        assert self.delivery(HANDSHAKE).id == self.delivery(HANDSHAKE).id


# -- the API -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[RunningSandbox, Any, str]]:
    with running(DhlTracking) as ready:
        yield ready


@pytest.fixture
def asked(world: tuple[RunningSandbox, Any, str]) -> tuple[Any, Dhl]:
    sandbox, emulator, url = world
    for store in (emulator.shipments, emulator.services, emulator.pending, emulator.active):
        store.clear()
    sandbox.pass_time(86_401)
    return emulator, dhl(api_key=API_KEY, base_url=url)


class TestHandshake:
    ident = SELF.rpartition("/")[2]

    def activate(self, source: Dhl, body: Any = None) -> Any:
        raw = orjson.dumps(body or HANDSHAKE)
        delivery = source.receive({}, raw)
        assert isinstance(source.normalise(delivery, raw), Look)
        return source.fetch(api_of(source), delivery, raw)

    def test_the_subscription_is_activated_with_the_secret_of_the_push(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.pending[self.ident] = "hook-secret-42"
        (done,) = self.activate(source)
        assert emulator.active == {self.ident}
        assert done.delivery.type == "subscription.activated"
        assert source.normalise(done.delivery, done.body) is None

    def test_doing_it_twice_changes_nothing_and_is_found_once(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.pending[self.ident] = "hook-secret-42"
        assert self.activate(source) == self.activate(source)

    def test_a_subscription_that_dhl_does_not_know_is_told_of(self, asked: tuple[Any, Dhl]) -> None:
        _, source = asked
        with pytest.raises(Rejected, match="DHL answered 404"):
            self.activate(source)

    def test_another_secret_is_refused_and_not_repeated(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.pending[self.ident] = "another"
        with pytest.raises(Unauthorized) as refused:
            self.activate(source)
        assert "hook-secret-42" not in str(refused.value)
        assert refused.value.sample is not None
        assert "hook-secret-42" not in str(refused.value.sample)

    @pytest.mark.parametrize(
        "wrong",
        [{"self": None}, {"self": "https://api-eu.dhl.com/"}, {"self": "x/a b"}, {"self": "//[x"}, {"self": "x/.."},
         {"secret": None}, {"secret": ""}, {"secret": "a\r\nX: y"}, {"secret": 5}],
    )  # fmt: skip
    def test_a_handshake_that_lacks_something_is_told_of(self, asked: tuple[Any, Dhl], wrong: dict[str, Any]) -> None:
        with pytest.raises(Rejected, match="create the subscription anew"):
            self.activate(asked[1], HANDSHAKE | wrong)

    def test_only_our_own_address_of_dhl_is_called(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.pending[self.ident] = "hook-secret-42"
        self.activate(source, HANDSHAKE | {"self": f"https://elsewhere.example/x/{self.ident}"})
        assert emulator.active == {self.ident}


def track(source: Dhl, *numbers: str) -> Any:
    return source.track(api_of(source), [Parcel(number, "DHL Express") for number in numbers])


EVENTS = [
    {"statusCode": "delivered", "timestamp": "2026-11-22T10:30:00"},
    {"statusCode": "transit", "timestamp": "2026-11-21T05:00:00+01:00"},
    {"statusCode": "transit", "timestamp": "2026-11-20T20:00:00Z"},
    {"statusCode": "pre-transit", "timestamp": "2026-11-20T09:00:00Z"},
]


class TestTracking:
    def test_a_delivered_parcel_was_shipped_and_delivered(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.shipments[NUMBER] = [shipment("delivered", events=EVENTS)]
        assert news(source, track(source, NUMBER)) == [
            (SHIPPED, NUMBER, "2026-11-20T20:00:00+00:00"),
            (DELIVERED, NUMBER, "2026-11-22T10:30:00+00:00"),
        ]

    def test_the_same_state_has_the_same_ids_and_a_later_one_adds_to_them(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        emulator.shipments[NUMBER] = [shipment("transit", at="2026-11-21T05:00:00+01:00", events=EVENTS[1:])]
        before = [each.delivery.id for each in track(source, NUMBER)]
        assert [each.delivery.id for each in track(source, NUMBER)] == before
        emulator.shipments[NUMBER] = [shipment("delivered", events=EVENTS)]
        assert [each.delivery.id for each in track(source, NUMBER)][:1] == before
        assert len(before) == 1

    @pytest.mark.parametrize(
        ("answer", "types"),
        [
            (shipment("pre-transit", events=EVENTS[3:]), []),
            (shipment("failure", events=EVENTS[1:]), [SHIPPED]),
            (shipment("delivered"), [DELIVERED]),
            (shipment("delivered", events=EVENTS, returnFlag=True), []),
            (shipment("delivered", number="other", events=EVENTS), []),
            (shipment("delivered", number="JD014600006281230704", details={"pieceIds": [NUMBER]}), [DELIVERED]),
            (shipment("delivered", at=None), []),
        ],
    )
    def test_each_answer_says_what_it_says(
        self, asked: tuple[Any, Dhl], answer: dict[str, Any], types: list[str]
    ) -> None:
        emulator, source = asked
        emulator.shipments[NUMBER] = [answer]
        assert [told[0] for told in news(source, track(source, NUMBER))] == types

    @pytest.mark.parametrize(
        ("statuses", "answer", "expected"),
        [
            ({"pre-transit": "shipped"}, shipment("pre-transit", events=EVENTS[3:]), [(SHIPPED, "2026-11-20T09:00")]),
            (
                {"failure": "delivered"},
                shipment("failure", at="2026-11-21T12:00:00", events=EVENTS[1:]),
                [(SHIPPED, "2026-11-20T20:00"), (DELIVERED, "2026-11-21T12:00")],
            ),
            ({"transit": "ignored"}, shipment("delivered", events=EVENTS), [(DELIVERED, "2026-11-22T10:30")]),
            ({"pre-transit": "shipped"}, shipment("delivered", events=EVENTS, returnFlag=True), []),
        ],
    )
    def test_the_merchant_says_which_codes_of_a_history_count(
        self, asked: tuple[Any, Dhl], statuses: dict[str, str], answer: dict[str, Any], expected: list[Any]
    ) -> None:
        emulator, source = asked
        emulator.shipments[NUMBER] = [answer]
        source = dhl(api_key=API_KEY, base_url=source.options.base_url, statuses=statuses)
        assert [(type_, at[:16]) for type_, _, at in news(source, track(source, NUMBER))] == expected

    def test_unknown_numbers_stop_nobody_and_parcels_of_others_are_not_asked_about(
        self, asked: tuple[Any, Dhl]
    ) -> None:
        emulator, source = asked
        emulator.shipments[NUMBER] = [shipment("delivered")]
        assert len(track(source, "JD000000000000000000", NUMBER)) == 1
        parcels = [Parcel(NUMBER, ""), Parcel(NUMBER, "UPS"), Parcel("1Z999AA10123456784", "")]
        assert len(source.track(api_of(source), parcels[:1])) == 1
        assert source.track(api_of(source), parcels[1:]) == []

    def test_the_company_is_named_where_it_is_configured(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        track(source, NUMBER)
        track(dhl(api_key=API_KEY, base_url=source.options.base_url, service="parcel-de"), NUMBER)
        assert emulator.services == [None, "parcel-de"]

    def test_what_was_found_before_the_day_s_calls_were_used_up_counts(self, asked: tuple[Any, Dhl]) -> None:
        emulator, source = asked
        for _ in range(248):
            emulator.limit.take(emulator.clock())
        numbers = [f"JD0{each}" + "0" * 15 for each in range(4)]
        emulator.shipments.update({number: [shipment("delivered", number=number)] for number in numbers})
        assert len(track(source, *numbers)) == 2
        with pytest.raises(Throttled):
            track(source, *numbers)

    def test_a_call_a_second_is_what_dhl_takes(self) -> None:
        assert Dhl([TOKEN], {}).turns.pause == 1

    def test_a_wrong_key_is_refused_in_words_that_do_not_repeat_it(
        self, world: tuple[RunningSandbox, Any, str]
    ) -> None:
        with pytest.raises(Unauthorized, match="DHL answered 401") as refused:
            track(dhl(api_key="wrong-key-0123", base_url=world[2]), NUMBER)
        assert "wrong-key-0123" not in str(refused.value.sample)

    def test_without_a_key_it_is_not_asked(self) -> None:
        assert dhl().api(None) is None  # type: ignore[arg-type]
