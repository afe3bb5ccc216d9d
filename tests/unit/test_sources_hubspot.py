"""HubSpot: signed requests of several events that say where to look, and what is asked of the CRM API."""

import base64
import copy
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import Rejected, Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.base import Rolling
from connectors.sandbox.source_apis.hubspot import TOKEN, HubSpotDeals
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, SignatureError
from connectors.sources.hubspot import HubSpot
from tests.contract.running import RunningSandbox
from tests.unit.hubspot_bodies import COMPANY, CONTACT, DEAL, EVENT, LINES, STAGES, TAG, fill, linked

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "889cda9f-f522-4c4b-814b-50f6d79d9c1a"
URL = "https://hooks.example.com/in/engraver/deals"
BODY = orjson.dumps([EVENT])
STAMP = "1795348800000"
SIGNATURE, TIMESTAMP = "x-hubspot-signature-v3", "x-hubspot-request-timestamp"


def signed(secret: str = SECRET, body: bytes = BODY, stamp: str = STAMP, url: str = URL) -> dict[str, str]:
    made = hmac.digest(secret.encode(), f"POST{url}".encode() + body + stamp.encode(), hashlib.sha256)
    return {SIGNATURE: base64.b64encode(made).decode(), TIMESTAMP: stamp}


class TestSignature:
    def source(self, *secrets: str, url: str | None = URL) -> HubSpot:
        return HubSpot(secrets, {"webhook_url": url})

    def test_what_was_signed_with_the_secret_is_valid(self):
        self.source(SECRET).verify(signed(), BODY, NOW)

    def test_old_and_new_secret_are_valid_at_once(self):
        for secrets in (("the-new-one", SECRET), (SECRET, "the-old-one")):
            self.source(*secrets).verify(signed(), BODY, NOW)

    @pytest.mark.parametrize("seconds", [-301, 301])
    def test_a_stale_or_early_request_is_refused(self, seconds):
        with pytest.raises(SignatureError, match="5 minutes"):
            self.source(SECRET).verify(signed(), BODY, NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize("seconds", [-299, 299])
    def test_clocks_may_differ_a_little(self, seconds):
        self.source(SECRET).verify(signed(), BODY, NOW + timedelta(seconds=seconds))

    @pytest.mark.parametrize("header", [SIGNATURE, TIMESTAMP])
    def test_a_missing_header_is_named(self, header):
        with pytest.raises(SignatureError, match=f"{header} is missing"):
            self.source(SECRET).verify(signed() | {header: ""}, BODY, NOW)

    def test_a_tampered_body_address_or_time_is_refused(self):
        for headers, body, url in (
            (signed(), BODY + b" ", URL),
            (signed() | {TIMESTAMP: "1795348800001"}, BODY, URL),
            (signed(), BODY, URL + "?x"),
        ):
            with pytest.raises(SignatureError, match="not made with"):
                self.source(SECRET, url=url).verify(headers, body, NOW)

    @pytest.mark.parametrize("secrets", [("another",), ()])
    def test_the_wrong_secret_or_none_is_refused(self, secrets):
        with pytest.raises(SignatureError):
            self.source(*secrets).verify(signed(), BODY, NOW)

    def test_without_the_address_nothing_can_be_checked(self):
        with pytest.raises(SignatureError, match="webhook_url"):
            self.source(SECRET, url=None).verify(signed(), BODY, NOW)

    @pytest.mark.parametrize("stamp", ["x", "-1", "٣", "9" * 30, "1.5", "2026-11-22"])
    def test_a_time_that_is_none_is_refused(self, stamp):
        with pytest.raises(SignatureError, match="not a time"):
            self.source(SECRET).verify(signed(stamp=stamp), BODY, NOW)


class TestReceiving:
    def test_each_event_is_stored_by_itself(self):
        body = orjson.dumps([EVENT, EVENT | {"objectId": 5002}, 7])
        (one, kept), (two, _), (three, rest) = HubSpot([]).deliveries({}, body)
        assert (one.type, one.order_ref, two.order_ref) == ("deal.propertyChange", "5001", "5002")
        assert one.occurred_at == datetime(2020, 11, 22, 10, 59, 50, 123000, tzinfo=UTC)
        assert (orjson.loads(kept), three.type, rest) == (EVENT, "", b"7")
        assert one == HubSpot([]).receive({}, kept)

    def test_a_repetition_has_the_same_id_and_another_change_another(self):
        def ident(**changes: Any) -> str:
            ((delivery, _),) = HubSpot([]).deliveries({}, orjson.dumps([EVENT | changes]))
            return delivery.id

        assert ident() == ident(attemptNumber=3)
        assert len({ident(), ident(occurredAt=1), ident(objectId=1), ident(propertyValue="x"), ident(eventId=1)}) == 5

    @pytest.mark.parametrize("document", [None, 1, "text", [], [[]], {}, {"a": 1}, [{"subscriptionType": 5}]])
    def test_any_json_is_stored(self, document):
        for delivery, body in HubSpot([]).deliveries({}, orjson.dumps(document)):
            assert HubSpot([]).normalise(delivery, body) is None

    def test_what_could_not_be_written_again_is_malformed(self):
        with pytest.raises(MalformedBody, match="nested"):
            HubSpot([]).deliveries({}, b"[" * 500 + b"]" * 500)

    def read(self, event: Any, **options: Any) -> Event | Look | None:
        source, body = HubSpot([], options), orjson.dumps(event)
        return source.normalise(source.receive({}, body), body)

    @pytest.mark.parametrize(
        "event", [EVENT, EVENT | {"subscriptionType": "object.propertyChange", "objectTypeId": "0-3"}]
    )
    def test_a_deal_that_is_won_is_looked_up(self, event):
        assert isinstance(self.read(event), Look)

    def test_each_pipeline_has_its_own_won_stage(self):
        assert self.read(EVENT | {"propertyValue": "987654321"}) is None
        assert isinstance(
            self.read(EVENT | {"propertyValue": "987654321"}, won_stages=["closedwon", "987654321"]), Look
        )

    def test_a_deal_that_leaves_it_is_looked_up_only_where_that_counts(self):
        assert self.read(EVENT | {"propertyValue": "closedlost"}) is None
        assert isinstance(self.read(EVENT | {"propertyValue": "closedlost"}, cancel_when_lost=True), Look)

    @pytest.mark.parametrize(
        "changes",
        [
            {"subscriptionType": "deal.creation"},
            {"subscriptionType": "deal.deletion"},
            {"subscriptionType": "contact.propertyChange"},
            {"subscriptionType": "object.propertyChange", "objectTypeId": "0-1"},
            {"propertyName": "amount"},
            {"propertyValue": None},
            {"propertyValue": ["closedwon"]},
        ],
    )
    def test_the_rest_is_kept_for_the_record(self, changes):
        assert self.read(EVENT | changes) is None

    @pytest.mark.parametrize("portal", [1, None, "50687303"])
    def test_another_account_s_deal_is_kept_for_the_record(self, portal):
        assert self.read(EVENT | {"portalId": portal}, portal_id=50687303) is None
        assert isinstance(self.read(EVENT, portal_id=50687303), Look)

    @pytest.mark.parametrize("ident", [None, "", [], 5.5])
    def test_a_webhook_that_names_no_deal_is_told(self, ident):
        with pytest.raises(NotInvoiceable, match="which deal"):
            self.read(EVENT | {"objectId": ident})


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([HubSpotDeals])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> HubSpotDeals:
    emulator = sandbox.sandbox.hosted["hubspot"].emulator
    sandbox.run(emulator.setup)
    fill(emulator)
    return emulator


def asked(sandbox, **changes: Any) -> HubSpot:
    return HubSpot([SECRET], {"access_token": TOKEN, "base_url": f"{sandbox.url}/hubspot"} | changes)


class TestFetching:
    @pytest.fixture
    def source(self, sandbox) -> HubSpot:
        return asked(sandbox)

    def fetched(self, source: HubSpot, event: Any = EVENT) -> list[Any]:
        body = orjson.dumps(event)
        return list(source.fetch(source.api(Http(10)), source.receive({}, body), body))

    def event(self, source: HubSpot, event: Any = EVENT) -> Any:
        (found,) = self.fetched(source, event)
        return source.normalise(found.delivery, found.body)

    def test_the_whole_deal_is_read_and_adds_up(self, source, emulated):
        event = self.event(source)
        assert (event.type, event.order.id) == (EventType.ORDER_COMPLETED, "5001")
        assert event.order.total == Decimal("118.14")
        assert [each.ref for each in event.order.lines] == ["71", "72", "73"]
        assert (event.order.customer.ref, event.order.customer.email) == ("company-601", "ada@example.com")
        assert event.order.lines[0].tax.name == "VAT 20%"

    def test_the_same_state_has_the_same_id_and_another_state_another(self, source, emulated):
        first, again = self.fetched(source), self.fetched(source)
        emulated.deals = {"5001": DEAL | {"updatedAt": "2020-11-23T09:00:00Z"}}
        assert first == again
        assert first[0].delivery.id != self.fetched(source)[0].delivery.id

    def test_the_deal_counts_and_not_what_the_webhook_said_of_it(self, source, emulated):
        fill(emulated, dealstage="contractsent")
        assert self.event(source) is None

    def test_a_deal_that_has_left_the_won_stage_is_cancelled_only_where_that_counts(self, sandbox, source, emulated):
        fill(emulated, dealstage="closedlost")
        assert self.event(source) is None
        assert self.event(asked(sandbox, cancel_when_lost=True)).type is EventType.ORDER_CANCELLED
        emulated.stages = {"5001": STAGES[1:]}
        assert self.event(asked(sandbox, cancel_when_lost=True)) is None, "it was never won"

    def test_a_deal_of_more_lines_than_a_batch_is_read_whole(self, source, emulated):
        tags = {str(number): TAG | {"id": str(number)} for number in range(1000, 1601)}
        emulated.objects["line_items"] = tags
        emulated.linked["5001", "line_items"] = linked(*tags)
        (found,) = self.fetched(source)
        assert [each["id"] for each in orjson.loads(found.body)["lines"]] == list(tags)

    def test_a_line_that_is_not_shown_is_asked_for_again_later(self, source, emulated):
        emulated.objects["line_items"] = {each["id"]: each for each in LINES[1:]}
        with pytest.raises(Unavailable, match="line_items 71"):
            self.fetched(source)

    def test_without_a_primary_company_it_is_the_oldest(self, source, emulated):
        emulated.objects["companies"] = {"600": COMPANY | {"id": "600"}, "1601": COMPANY | {"id": "1601"}}
        emulated.linked["5001", "companies"] = linked("1601", "600")
        assert self.event(source).order.customer.ref == "company-600"

    def test_what_has_no_company_is_billed_to_the_contact(self, source, emulated):
        emulated.linked["5001", "companies"] = []
        event = self.event(source)
        assert (event.order.customer.ref, event.order.customer.company) == (CONTACT["id"], None)

    def test_a_tax_rate_that_is_gone_is_for_a_person(self, source, emulated):
        emulated.rates = {}
        with pytest.raises(NotInvoiceable, match="at which rate"):
            self.event(source)

    def test_a_property_may_hold_the_name(self, sandbox, emulated):
        assert self.event(asked(sandbox, name_property="order_number")).order.ref == "SO-1001"

    def test_a_deal_that_is_gone_is_nothing(self, source, emulated):
        emulated.deals = {}
        assert self.fetched(source) == []

    @pytest.mark.parametrize("ident", ["../contacts", "1?x", "٣", "-1"])
    def test_an_id_that_is_none_is_not_asked_for(self, source, emulated, ident):
        with pytest.raises(Rejected):
            self.fetched(source, EVENT | {"objectId": ident})
        assert emulated.asked == []

    def test_a_wrong_token_is_told(self, sandbox, emulated):
        with pytest.raises(Unauthorized, match="HubSpot"):
            self.fetched(asked(sandbox, access_token="wrong"))

    def test_too_many_calls_say_how_long_to_wait(self, source, emulated):
        emulated.limit = Rolling(1, 10)
        with pytest.raises(Throttled) as refused:
            self.fetched(source)
        assert refused.value.retry_after == 10

    def test_without_a_token_there_is_nobody_to_ask(self):
        assert HubSpot([SECRET]).api(Http(10)) is None


def changed(number: int, second: int, **properties: Any) -> dict[str, Any]:
    at = f"2026-11-22T11:00:{second:02}.250Z"
    theirs = DEAL["properties"] | {"hs_lastmodifieddate": at} | properties
    return DEAL | {"id": str(number), "updatedAt": at, "properties": theirs}


class TestPulling:
    BEGIN = datetime(2026, 11, 22, 11, tzinfo=UTC)

    @pytest.fixture
    def source(self, sandbox) -> HubSpot:
        return asked(sandbox)

    def pulled(self, source: HubSpot, cursor: str | None, now: datetime = NOW) -> tuple[list[Any], str]:
        api, found, more = source.api(Http(10)), [], True
        while more:
            page = source.pull(api, cursor, now)
            found, cursor, more = [*found, *page.found], page.cursor, page.more
        return found, cursor

    def test_won_deals_are_pulled_oldest_first_and_read_later(self, source, emulated):
        found, cursor = self.pulled(source, None, self.BEGIN)
        assert (found, emulated.asked) == ([], [])
        emulated.searches, emulated.page = Rolling(100, 1), 7
        rows = [changed(number, 59 - number // 2) for number in range(30)]
        emulated.deals = {each["id"]: each for each in rows} | {"9": DEAL, "8": changed(8, 30, dealstage="open")}
        found, _ = self.pulled(source, cursor)
        told = {each.delivery.order_ref for each in found}
        assert told == {str(number) for number in range(30)} - {"8", "9"}
        times = [each.delivery.occurred_at for each in found]
        assert times == sorted(times)
        assert isinstance(source.normalise(found[0].delivery, found[0].body), Look)

    def test_more_changes_in_one_moment_than_a_page_holds_are_all_found(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.searches, emulated.page = Rolling(100, 1), 5
        emulated.deals = {str(number): changed(number, 5) for number in range(23)}
        found, cursor = self.pulled(source, cursor)
        assert {each.delivery.order_ref for each in found} == set(emulated.deals)
        again, _ = self.pulled(source, cursor)
        assert {each.delivery.id for each in again} <= {each.delivery.id for each in found}

    def test_what_the_search_may_not_show_yet_is_left_for_the_next_question(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.deals = {"1": changed(1, 30)}
        found, cursor = self.pulled(source, cursor, datetime(2026, 11, 22, 11, 2, tzinfo=UTC))
        assert found == []
        assert [each.delivery.order_ref for each in self.pulled(source, cursor)[0]] == ["1"]

    def test_lost_deals_are_pulled_where_they_count(self, sandbox, emulated):
        source = asked(sandbox, cancel_when_lost=True)
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.deals = {"1": changed(1, 30, dealstage="closedlost")}
        assert len(self.pulled(source, cursor)[0]) == 1

    @pytest.mark.parametrize(
        ("since", "type"),
        [("2020-11-22T10:59:50Z", EventType.ORDER_UPDATED), ("2026-11-22T11:00:30Z", EventType.ORDER_COMPLETED)],
    )
    def test_what_was_won_before_anybody_asked_is_told_but_asks_for_no_invoice(self, source, emulated, since, type):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.deals = {"5001": changed(5001, 30)}
        emulated.stages = {"5001": [STAGES[0] | {"timestamp": since}, STAGES[1]]}
        ((found,), _) = self.pulled(source, cursor)
        (read,) = source.fetch(source.api(Http(10)), found.delivery, found.body)
        assert source.normalise(read.delivery, read.body).type is type

    def test_too_many_searches_say_how_long_to_wait(self, source, emulated):
        _, cursor = self.pulled(source, None, self.BEGIN)
        emulated.searches = Rolling(1, 60)
        source.pull(source.api(Http(10)), cursor, NOW)
        with pytest.raises(Throttled) as refused:
            source.pull(source.api(Http(10)), cursor, NOW)
        assert refused.value.retry_after == 1


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]], {}, {"a": [1]},
]  # fmt: skip


@given(st.sampled_from(sorted(EVENT)), st.sampled_from(HOSTILE))
def test_no_webhook_makes_it_crash(field, value):
    source = HubSpot([])
    try:
        for delivery, body in source.deliveries({}, orjson.dumps([copy.deepcopy(EVENT) | {field: value}])):
            assert len(delivery.id) <= 200
            source.normalise(delivery, body)
    except (NotInvoiceable, MalformedBody):
        pass
