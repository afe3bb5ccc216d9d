"""A parcel whose number no shop told finds its order by what its label is called: EasyPost and Shippo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from connectors.errors import Unauthorized
from connectors.model import Event
from connectors.sandbox.source_apis.easypost import API_KEY, EasyPostTrackers
from connectors.sandbox.source_apis.shippo import API_KEY as TOKEN
from connectors.sandbox.source_apis.shippo import ShippoTracks
from connectors.sources.asking import Found, Parcel
from connectors.sources.base import Look, Source
from connectors.sources.easypost import EasyPost
from connectors.sources.shippo import Shippo
from tests.unit import test_sources_easypost as easypost
from tests.unit import test_sources_shippo as shippo
from tests.unit.carrier_bodies import api_of, running, survives_anything


def looked_up(made: Source, body: Any, headers: Any = None) -> Sequence[Found]:
    """What a delivery leads to, which says no more than where to look."""
    raw = orjson.dumps(body)
    ((delivery, kept),) = made.deliveries(headers or {}, raw)
    assert isinstance(made.normalise(delivery, kept), Look)
    return made.fetch(api_of(made), delivery, kept)


def only(made: Source, found: Sequence[Found]) -> Event:
    (one,) = found
    said = made.normalise(one.delivery, one.body)
    assert isinstance(said, Event)
    return said


# -- EasyPost ----------------------------------------------------------------------------------------------------------


def easy(url: str, **options: Any) -> EasyPost:
    return EasyPost(["s"], {"api_key": API_KEY, "base_url": f"{url}/v2", "ask_label": True, **options})


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("SO-1001", "SO-1001"), ("Order: 1001", "1001"), (" ", None), (None, None), (5, "5"), (["x"], None)],
)
def test_easypost_s_parcel_is_of_the_order_that_its_shipment_is_called_after(
    reference: Any, expected: str | None
) -> None:
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put_shipment({"id": "shp_a91d", "reference": reference}))
        made = easy(url)
        first, again = looked_up(made, easypost.EVENT), looked_up(made, easypost.EVENT)
        event = only(made, first)
        assert (event.type, event.order_ref) == ("shipment.delivered", expected)
        assert event.shipment is not None
        assert (event.shipment.ref, event.shipment.tracking_number) == ("trk_4c3f0e", "RM123456789GB")
        assert [one.delivery for one in first] == [one.delivery for one in again]


def test_of_easypost_what_is_asked_with_a_name_is_another_document_than_without() -> None:
    with running(EasyPostTrackers) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(easypost.tracker()))
        made = easy(url)
        (bare,) = made.track(api_of(made), [Parcel("RM123456789GB", "")])
        assert looked_up(made, easypost.EVENT)[0].delivery.id == bare.delivery.id, "its shipment is gone"
        sandbox.run(lambda: emulator.put_shipment({"id": "shp_a91d", "reference": "SO-1001"}))
        (named,) = looked_up(made, easypost.EVENT)
        assert named.delivery.id != bare.delivery.id


@pytest.mark.parametrize("ident", [None, "", "../orders", "shp_1?x=1", 5])
def test_an_easypost_parcel_without_a_shipment_is_told_at_once(ident: Any) -> None:
    made = easy("http://127.0.0.1:1")
    ((delivery, kept),) = made.deliveries({}, orjson.dumps(easypost.event(shipment_id=ident)))
    assert isinstance(made.normalise(delivery, kept), Event)


def test_easypost_is_not_asked_about_what_does_not_count() -> None:
    made = easy("http://127.0.0.1:1")
    for body in (easypost.event(status="pre_transit"), easypost.event(is_return=True), easypost.event(mode="test")):
        ((delivery, kept),) = made.deliveries({}, orjson.dumps(body))
        assert made.normalise(delivery, kept) is None


def test_a_mode_that_only_the_event_tells_is_kept() -> None:
    with running(EasyPostTrackers) as (_, _, url):
        made = easy(url, test_events=True)
        body = easypost.EVENT | {"mode": "test", "result": {**easypost.TRACKER}}
        del body["result"]["mode"]
        (found,) = looked_up(made, body)
        assert easy(url).normalise(found.delivery, found.body) is None
        assert isinstance(made.normalise(found.delivery, found.body), Event)


# -- Shippo ------------------------------------------------------------------------------------------------------------

UNNAMED = shippo.event(metadata=None)


def ship(url: str, **options: Any) -> Shippo:
    return Shippo([shippo.SECRET], {"api_token": TOKEN, "base_url": url, "ask_label": True, **options})


LABEL = {"object_id": "7c1d0a4f9b", "metadata": "Order 1001", "order": "ord9"}
ORDER = {"object_id": "ord9", "order_number": "#1002"}


@pytest.mark.parametrize("options", [{}, {"signed": True}])
@pytest.mark.parametrize(
    ("label", "in_metadata", "expected"),
    [
        (LABEL, True, "1001"),
        (LABEL, False, "#1002"),
        (LABEL | {"metadata": ""}, True, "#1002"),
        (LABEL | {"metadata": None, "order": None}, True, None),
        (LABEL | {"metadata": None, "order": "../x"}, True, None),
        (LABEL | {"object_id": "another"}, True, None),
    ],
)
def test_shippo_s_parcel_is_of_the_order_that_its_label_names(
    label: dict[str, Any], in_metadata: bool, expected: str | None, options: dict[str, Any]
) -> None:
    with running(ShippoTracks) as (sandbox, emulator, url):
        sandbox.run(lambda: emulator.put(shippo.track(metadata=None)))
        sandbox.run(lambda: emulator.put_label(label, ORDER))
        made = ship(url, order_in_metadata=in_metadata, **options)
        headers = shippo.SIGNED if options else shippo.TOKEN
        first, again = looked_up(made, UNNAMED, headers), looked_up(made, UNNAMED, headers)
        event = only(made, first)
        assert (event.type, event.order_ref) == ("shipment.delivered", expected)
        assert [one.delivery for one in first] == [one.delivery for one in again]
        bare = made.track(api_of(made), [Parcel("1Z999AA10123456784", "ups")])
        assert (bare[0].delivery.id == first[0].delivery.id) is (expected is None)


def test_a_shippo_parcel_that_names_its_order_needs_no_question() -> None:
    made = ship("http://127.0.0.1:1", signed=True)
    ((delivery, kept),) = made.deliveries(shippo.SIGNED, orjson.dumps(shippo.EVENT))
    said = made.normalise(delivery, kept)
    assert isinstance(said, Event)
    assert said.order_ref == "SO-1001"
    ((delivery, kept),) = made.deliveries(shippo.SIGNED, orjson.dumps(shippo.event(metadata=None, transaction=None)))
    assert isinstance(made.normalise(delivery, kept), Event)


def test_a_refused_token_is_told_and_no_name_is_lost_by_it() -> None:
    with running(ShippoTracks) as (_, _, url), pytest.raises(Unauthorized):
        looked_up(ship(url, api_token="wrong"), UNNAMED, shippo.TOKEN)


# -- both --------------------------------------------------------------------------------------------------------------


def test_a_label_cannot_be_asked_for_without_a_key() -> None:
    with pytest.raises(ValueError, match="ask_label needs api_key"):
        EasyPost(["s"], {"ask_label": True})
    with pytest.raises(ValueError, match="ask_label needs api_token"):
        Shippo(["s"], {"ask_label": True})


def test_any_body_is_stored_and_read_without_a_crash() -> None:
    survives_anything(easy("http://127.0.0.1:1"), {}, easypost.EVENT)
    survives_anything(ship("http://127.0.0.1:1", signed=True), shippo.SIGNED, UNNAMED)
