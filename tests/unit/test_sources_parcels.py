"""What holds for every carrier: whom to ask about which parcel, what is kept of a history, and tokens."""

from datetime import UTC, datetime

import pytest

from connectors.errors import Rejected, Throttled
from connectors.model import EventType
from connectors.sources.asking import Found, Parcel
from connectors.sources.base import NotInvoiceable, SignatureError, source
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import (
    InTurn,
    Scan,
    StatusOptions,
    milestone_event,
    milestones,
    own_parcels,
    parcel_number,
    shipment_event,
    time_said,
)
from connectors.sources.tokens import check_token

EARLY, LATE = datetime(2026, 11, 20, 8, tzinfo=UTC), datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
SHIPPED, DELIVERED = EventType.SHIPMENT_SHIPPED, EventType.SHIPMENT_DELIVERED


class TestTokens:
    def test_a_secret_is_accepted_with_and_without_the_word_bearer(self) -> None:
        for presented in ("token-1", "Bearer token-1", " bearer  token-1 "):
            check_token(["token-1"], [None, presented], "the header X")

    def test_either_secret_is_accepted_while_it_is_being_replaced(self) -> None:
        check_token(["new", "old"], ["old"], "the header X")
        check_token(["new", "old"], ["new"], "the header X")

    @pytest.mark.parametrize("presented", ["token-2", "token-1x", "oken-1", "é", "\ud800", "Basic token-1"])
    def test_another_is_refused_and_told_where_it_belongs_but_not_what_it_is(self, presented: str) -> None:
        with pytest.raises(SignatureError, match="the token in the header X is not") as refused:
            check_token(["token-1"], [presented], "the header X")
        assert "token-1" not in str(refused.value)

    @pytest.mark.parametrize("presented", [None, "", "  ", "Bearer "])
    def test_a_missing_one_is_refused_even_if_the_secret_is_empty(self, presented: str | None) -> None:
        with pytest.raises(SignatureError, match="a token is missing: it is expected in the header X"):
            check_token([""], [presented], "the header X")

    def test_without_a_secret_nothing_is_accepted(self) -> None:
        with pytest.raises(SignatureError, match="no secret"):
            check_token([], [""], "the header X")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        (" 1z 999-aa1.0", "1Z999AA10"),
        (794612345678, "794612345678"),
        ("", None),
        (" - ", None),
        (None, None),
        ([], None),
    ],
)
def test_numbers_are_compared_in_upper_case_without_blanks(said: object, number: str | None) -> None:
    assert parcel_number(said) == number


def test_a_time_without_a_zone_counts_as_utc() -> None:
    assert time_said("2026-11-22T10:30:00") == time_said("2026-11-22T11:30:00+01:00") == LATE
    assert time_said("2026-11-22") is time_said(None) is time_said(5) is None


def test_a_carrier_is_asked_about_its_own_parcels_and_those_that_look_like_its_own() -> None:
    parcels = [
        Parcel("1Z999AA10123456784", "UPS"), Parcel("1z999aa10123456784", "ups"), Parcel("92748999", "UPS Mail"),
        Parcel("1Z999AA10123456785", ""), Parcel("794612345678", ""), Parcel("1Z999AA10123456786", "DHL"),
        Parcel("1Z/../../etc", "UPS"), Parcel("1Z", "UPS"),
    ]  # fmt: skip
    assert own_parcels(parcels, "ups", "1Z[0-9A-Z]+") == ["1Z999AA10123456784", "92748999", "1Z999AA10123456785"]


class TestMilestones:
    def test_the_first_word_of_being_on_its_way_and_the_last_of_its_delivery_are_kept(self) -> None:
        scans = [Scan(DELIVERED, LATE, {}), Scan(SHIPPED, LATE, {}), Scan(SHIPPED, EARLY, {"city": "Köln"})]
        shipped, delivered = milestones("1Z9", scans)
        assert [shipped.delivery.type, delivered.delivery.type] == ["tracked/shipped", "tracked/delivered"]
        assert shipped.delivery.occurred_at == EARLY
        event = milestone_event(shipped.delivery, "ups", shipped.body)
        assert event is not None
        assert event.shipment is not None
        assert (event.type, event.occurred_at, event.shipment.carrier) == (SHIPPED, EARLY, "ups")
        assert event.id == shipped.delivery.id

    def test_the_same_history_is_kept_under_the_same_ids_and_a_longer_one_adds_to_them(self) -> None:
        first = [each.delivery.id for each in milestones("1Z9", [Scan(SHIPPED, EARLY, {})])]
        again = milestones("1Z9", [Scan(SHIPPED, LATE, {}), Scan(DELIVERED, LATE, {}), Scan(SHIPPED, EARLY, {})])
        assert [each.delivery.id for each in again][:1] == first
        assert len({each.delivery.id for each in again}) == 2
        assert {each.delivery.id for each in milestones("1Z8", [Scan(SHIPPED, EARLY, {})])}.isdisjoint(first)

    def test_no_history_is_nothing(self) -> None:
        assert milestones("1Z9", []) == []

    def test_a_document_that_was_spoilt_is_refused_in_words(self) -> None:
        with pytest.raises(NotInvoiceable, match="which parcel"):
            milestone_event(Delivery("x", "tracked/shipped"), "ups", b"[]")
        assert milestone_event(Delivery("x", "tracked/lost"), "ups", b"{}") is None


@pytest.mark.parametrize(
    ("number", "at", "reason"), [(None, LATE, "which parcel"), ("1Z9", None, "when it happened to")]
)
def test_an_event_that_lacks_parcel_or_time_says_so(number: str | None, at: datetime | None, reason: str) -> None:
    with pytest.raises(NotInvoiceable, match=reason) as refused:
        shipment_event(Delivery("x", "y"), "ups", number, DELIVERED, at)
    assert refused.value.type is DELIVERED


class TestStatuses:
    def test_the_sender_s_code_is_found_however_it_is_written_and_no_other_changes(self) -> None:
        said = StatusOptions.model_validate({"statuses": {" InfoReceived ": "shipped", "delivered": "ignored"}})
        assert said.meaning("INFORECEIVED ", None) is SHIPPED
        assert said.meaning("Delivered", DELIVERED) is None
        assert said.meaning("InTransit", SHIPPED) is SHIPPED
        assert said.meaning("Exception", None) is said.meaning("", None) is None
        assert StatusOptions().meaning("Delivered", DELIVERED) is DELIVERED

    @pytest.mark.parametrize("kind", ["ups", "fedex", "dhl", "easypost", "shippo", "aftership", "shipstation"])
    @pytest.mark.parametrize(
        ("statuses", "sentence"),
        [
            ({"Exception": "shipped", " EXCEPTION": "ignored"}, "has EXCEPTION twice"),
            ({"": "shipped"}, "has an empty status"),
            ({" ": "shipped"}, "has an empty status"),
            ({"Exception": "lost"}, "'shipped', 'delivered' or 'ignored'"),
            ({"Exception": None}, "'shipped', 'delivered' or 'ignored'"),
            (["Exception"], "valid dictionary"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_when_the_configuration_is_read(
        self, kind: str, statuses: object, sentence: str
    ) -> None:
        with pytest.raises(ValueError, match=sentence):
            source(kind).options_model.model_validate({"statuses": statuses})

    def test_what_goes_back_counts_for_nothing_whatever_is_said_of_it(self) -> None:
        for kind, status in (("ups", "RS"), ("fedex", "rs"), ("easypost", "return_to_sender"), ("shippo", "RETURNED")):
            said = source(kind).options_model.model_validate({"statuses": {status: "delivered"}})
            assert isinstance(said, StatusOptions)
            assert said.meaning(status, None) is None


class TestInTurn:
    found = Found(Delivery("x", "y"), b"{}")

    def ask(self, turns: InTurn, answers: dict[str, Exception | None]) -> tuple[list[str], int]:
        """Which numbers were asked about, and how many documents were found."""
        asked = []

        def about(number: str) -> list[Found]:
            asked.append(number)
            if error := answers[number]:
                raise error
            return [self.found]

        return asked, len(turns.ask(list(answers), about))

    def test_numbers_that_the_carrier_does_not_know_stop_nobody(self) -> None:
        answers = {"a": Rejected("no", status=404), "b": None, "c": Rejected("no", status=400), "d": None}
        assert self.ask(InTurn(), answers) == (["a", "b", "c", "d"], 2)

    def test_what_was_found_before_the_quota_ended_counts(self) -> None:
        assert self.ask(InTurn(), {"a": None, "b": Throttled("too many"), "c": None}) == (["a", "b"], 1)
        assert self.ask(InTurn(), {"a": Rejected("no", status=404), "b": Throttled("too many")}) == (["a", "b"], 0)

    def test_whose_turn_did_not_come_is_first_the_next_time(self) -> None:
        turns = InTurn()
        self.ask(turns, {"a": None, "b": None, "c": Throttled("too many"), "d": None})
        assert self.ask(turns, {"a": None, "b": None, "c": None, "d": None})[0] == ["c", "d", "a", "b"]
        assert self.ask(turns, {"e": None, "b": None, "c": None})[0] == ["e", "c", "b"]

    def test_a_question_ends_when_its_time_is_over(self) -> None:
        turns = InTurn(pause=1.0, within=0.5)
        assert self.ask(turns, {"a": None, "b": None}) == (["a"], 1)
        assert self.ask(turns, {"a": None, "b": None}) == (["b"], 1)

    def test_between_two_calls_is_the_carrier_s_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("connectors.sources.parcels.time.sleep", pauses.append)
        self.ask(InTurn(pause=1.5), {"a": None, "b": None, "c": None})
        assert pauses == [1.5, 1.5]

    def test_a_quota_that_is_used_up_already_is_an_error(self) -> None:
        with pytest.raises(Throttled):
            self.ask(InTurn(), {"a": Throttled("too many"), "b": None})

    def test_other_refusals_are_errors(self) -> None:
        with pytest.raises(Rejected):
            self.ask(InTurn(), {"a": None, "b": Rejected("no", status=409)})
