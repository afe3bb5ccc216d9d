"""What the tests of carriers share: bodies made to break them, and a carrier's API over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from connectors.http import Http
from connectors.model import Event
from connectors.sandbox.base import Emulator
from connectors.sources.asking import Api, Found
from connectors.sources.base import Look, MalformedBody, NotInvoiceable, Source
from tests.contract.running import RunningSandbox
from tests.unit.test_sources_base import HOSTILE, paths, replaced

FOREIGN: list[Any] = [None, True, 5, 1.5, "x", "ß" * 300, [], [None], [[]], {}, {"output": 5}, {"shipments": {}}]
"""JSON that no carrier sends."""


def told(source: Source, headers: Mapping[str, str], body: Any) -> list[Event | Look | None]:
    """What each part of a body means, read as ingest and worker read it."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return [source.normalise(delivery, kept) for delivery, kept in source.deliveries(headers, raw)]


def survives_anything(source: Source, headers: Mapping[str, str], example: Any) -> None:
    """Any value anywhere in the example is stored; reading it gives something, or a refusal in words."""
    for path in paths(example):
        for value in (*HOSTILE, *FOREIGN):
            survives(source, headers, replaced(example, path, value))


def survives(source: Source, headers: Mapping[str, str], document: Any) -> None:
    for delivery, kept in source.deliveries(headers, orjson.dumps(document)):
        assert 0 < len(delivery.id) <= 200
        assert len(delivery.type) <= 100
        reason = "."
        try:
            source.normalise(delivery, kept)
        except (NotInvoiceable, MalformedBody) as refused:
            reason = str(refused)
        assert reason.isprintable()
        assert reason


@contextmanager
def running(kind: type[Emulator]) -> Iterator[tuple[RunningSandbox, Any, str]]:
    """The sandbox with this carrier's API, the emulator, and its address."""
    sandbox = RunningSandbox([kind])
    try:
        yield sandbox, sandbox.sandbox.hosted[kind.slug].emulator, f"{sandbox.url}/{kind.slug}"
    finally:
        sandbox.close()


def api_of(source: Source) -> Api:
    api = source.api(Http(10))
    assert api is not None
    return api


def news(source: Source, found: list[Found] | Any) -> list[tuple[str, str, str]]:
    """What was found, as events: type, tracking number, time."""
    events = [source.normalise(one.delivery, one.body) for one in found or ()]
    return [
        (each.type.value, each.shipment.tracking_number or "", each.occurred_at.isoformat())
        for each in events
        if isinstance(each, Event) and each.shipment
    ]
