"""ShipStation's V1 is asked over HTTP: what a webhook points to, and what was missed."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized, Unavailable
from connectors.http import Http
from connectors.model import EventType
from connectors.sandbox.base import Rolling
from connectors.sandbox.source_apis.shipstation import ShipStation as Emulated
from connectors.sources.delivery import Delivery
from connectors.sources.shipstation import ShipStation
from tests.contract.running import RunningSandbox
from tests.unit.shipstation_bodies import BATCH, NOTIFY, ORDER, SHIPMENT, TOKEN, configured

NOW = datetime(2026, 11, 22, 11, tzinfo=UTC)


@pytest.fixture(scope="module")
def sandbox():
    running = RunningSandbox([Emulated])
    yield running
    running.close()


@pytest.fixture
def emulated(sandbox) -> Emulated:
    sandbox.pass_time(61)
    emulator = sandbox.sandbox.hosted["shipstation"].emulator
    sandbox.run(emulator.setup)
    return emulator


@pytest.fixture
def base(sandbox) -> str:
    return f"{sandbox.url}/shipstation"


class TestAsking:
    def fetched(self, base: str, url: str = BATCH, **options: Any) -> list[Any]:
        source = configured(base, **options)
        body = orjson.dumps(NOTIFY | {"resource_url": url})
        delivery = source.receive({}, body)
        found = source.fetch(source.api(Http(10)), delivery, body)
        return [source.normalise(each.delivery, each.body) for each in found]

    def test_a_parcel_of_a_shipped_order_counts_as_shipped(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        [event] = self.fetched(base)
        assert event.type is EventType.SHIPMENT_SHIPPED
        assert (event.order, event.order_ref, event.order_id) == (None, "SO-1001", "8061c220")
        assert event.occurred_at == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
        parcel = event.shipment
        assert (parcel.ref, parcel.carrier, parcel.tracking_number) == ("33974374", "royal_mail", "RM123456789GB")

    @pytest.mark.parametrize("status", ["awaiting_shipment", "on_hold", "cancelled"])
    def test_a_parcel_of_an_order_not_wholly_shipped_only_tells_its_number(self, base, emulated, status):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER | {"orderStatus": status}]
        [event] = self.fetched(base)
        assert event.type is EventType.ORDER_UPDATED
        assert event.shipment.tracking_number == "RM123456789GB"

    @pytest.mark.parametrize("change", [{"voided": True}, {"isReturnLabel": True}, {"voidDate": "2026-11-22"}])
    def test_voided_labels_and_returns_are_no_parcels(self, base, emulated, change):
        emulated.shipments, emulated.orders = [SHIPMENT | change], [ORDER]
        assert self.fetched(base) == [None]

    def test_all_pages_of_a_batch_are_read(self, base, emulated):
        emulated.shipments = [
            SHIPMENT | {"shipmentId": number, "orderId": number, "orderNumber": f"SO-{number}"}
            for number in range(1201)
        ]
        emulated.orders = [ORDER | {"orderId": number} for number in range(1201)]
        events = self.fetched(base)
        assert {event.order_ref for event in events} == {f"SO-{number}" for number in range(1201)}
        assert {event.type for event in events} == {EventType.SHIPMENT_SHIPPED}
        assert len(emulated.asked) == 6

    def test_only_the_configured_store_counts(self, base, emulated):
        other = SHIPMENT | {"shipmentId": 2, "advancedOptions": {"storeId": 8}}
        emulated.shipments, emulated.orders = [SHIPMENT, other], [ORDER]
        for url in (BATCH, BATCH + "&storeID=8"):
            assert [event.shipment.ref for event in self.fetched(base, url, store_id=7)] == ["33974374"]

    def test_what_was_shipped_elsewhere_is_a_fulfillment(self, base, emulated):
        made = {"fulfillmentId": 5, "orderId": 43945660, "orderNumber": "SO-1001", "trackingNumber": "X1",
                "createDate": "2026-11-22T02:59:58.0000000", "carrierCode": "other", "voided": False}  # fmt: skip
        emulated.fulfillments, emulated.orders = [made], [ORDER]
        [event] = self.fetched(base, "https://ssapi.shipstation.com/fulfillments")
        assert (event.type, event.shipment.ref, event.order_id) == (EventType.SHIPMENT_SHIPPED, "5", "8061c220")

    def test_the_same_state_has_the_same_id_and_another_state_another(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        [first], [again] = self.fetched(base), self.fetched(base)
        emulated.orders = []
        [before] = self.fetched(base)
        emulated.shipments = [SHIPMENT | {"trackingNumber": "RM2"}]
        [corrected] = self.fetched(base)
        assert first.id == again.id
        assert len({first.id, before.id, corrected.id}) == 3

    def test_prices_and_addresses_are_not_kept(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        source = configured(base)
        [found] = source.fetch(source.api(Http(10)), Delivery("1", "SHIP_NOTIFY"), orjson.dumps(NOTIFY))
        assert b"Lovelace" not in found.body
        assert b"999" not in found.body

    def test_a_batch_that_is_gone_is_nothing(self, base, emulated):
        assert self.fetched(base) == []

    def test_a_wrong_key_is_told(self, base, emulated):
        with pytest.raises(Unauthorized, match="ShipStation"):
            self.fetched(base, api_secret="wrong")

    def test_too_many_calls_say_how_long_to_wait(self, base, emulated):
        emulated.shipments, emulated.limit = [SHIPMENT], Rolling(1, 60)
        with pytest.raises(Throttled) as refused:
            self.fetched(base)
        assert 0 < refused.value.retry_after <= 60

    def test_without_credentials_there_is_nobody_to_ask(self):
        assert ShipStation([TOKEN]).api(Http(10)) is None
        with pytest.raises(ValueError, match="belong together"):
            ShipStation([TOKEN], {"api_key": "x"})

    def test_the_key_goes_to_no_other_host_than_the_configured_one(self, base, emulated):
        emulated.shipments, emulated.orders = [SHIPMENT], [ORDER]
        assert len(self.fetched(base, BATCH.replace("ssapi", "ssapi6"))) == 1
        assert len(self.fetched(base, f"{base}/shipments?batchId=4d1f0b7e")) == 1

    @pytest.mark.parametrize("host", ["ssapi", "ssapi6"])
    def test_without_another_base_url_the_host_that_was_named_is_asked_in_https(self, host):
        asked = []

        class Unplugged(Http):
            def send(self, method, url, **options):
                asked.append(url)
                raise Unavailable("not plugged in")

        source = ShipStation([], {"api_key": "ss-key", "api_secret": "ss-secret"})
        body = orjson.dumps(NOTIFY | {"resource_url": BATCH.replace("ssapi", host)})
        with pytest.raises(Unavailable):
            source.fetch(source.api(Unplugged()), Delivery("1", "SHIP_NOTIFY"), body)
        assert asked == [f"https://{host}.shipstation.com/shipments"]

    def test_what_was_missed_is_pulled_page_by_page(self, base, emulated):
        source = configured(base)
        api = source.api(Http(10))
        begin = source.pull(api, None, NOW)
        assert (begin.found, begin.cursor, begin.more) == ((), "2026-11-22 03:00:00|1", False)
        emulated.shipments = [
            SHIPMENT | {"shipmentId": number, "createDate": f"2026-11-22T03:{number // 60:02}:{number % 60:02}.1000000"}
            for number in reversed(range(150))
        ]
        emulated.orders = [ORDER]
        first = source.pull(api, begin.cursor, NOW)
        assert (len(first.found), first.more, first.cursor) == (100, True, "2026-11-22 03:00:00|2")
        second = source.pull(api, first.cursor, NOW)
        assert (len(second.found), second.more, second.cursor) == (50, False, "2026-11-22 03:02:29|1")
        refs = [source.normalise(each.delivery, each.body).shipment.ref for each in (*first.found, *second.found)]
        assert refs == [str(number) for number in range(150)]
        third = source.pull(api, second.cursor, NOW)
        assert {each.delivery.id for each in third.found} == {second.found[-1].delivery.id}

    def test_with_nothing_new_the_cursor_stays(self, base, emulated):
        source = configured(base)
        assert source.pull(source.api(Http(10)), "2026-11-22 03:00:00|1", NOW).cursor == "2026-11-22 03:00:00|1"
