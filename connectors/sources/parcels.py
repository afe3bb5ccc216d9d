"""What carriers have in common: they know parcels, not orders, and say of each where it is.

A carrier's event names its order by the tracking number. What was asked of its API is kept as one document a milestone
of the parcel, the same each time it is asked: that it is on its way, and that it was delivered. So a parcel that was
delivered between two questions still counts as shipped, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import uuid4

import orjson
from pydantic import Field, SecretStr, field_validator, model_validator

from connectors.auth import OAuth2
from connectors.errors import Rejected, Throttled
from connectors.http import Http
from connectors.model import Event, EventType, Shipment
from connectors.sources.asking import ClientToken, Found, Parcel
from connectors.sources.base import NotInvoiceable, Options, display, inbox_id, moment, parse_json
from connectors.sources.delivery import Delivery

T = TypeVar("T")
_TRACKED = "tracked/"
_UNKNOWN = frozenset({400, 404})
_REMEMBERED = 10_000
_MILESTONES = {"shipped": EventType.SHIPMENT_SHIPPED, "delivered": EventType.SHIPMENT_DELIVERED}


class StatusOptions(Options):
    """Of those who say where parcels are: which of the sender's statuses count, and as what."""

    going_back: ClassVar[frozenset[str]] = frozenset()
    """The sender's statuses of parcels that go back, as `_one_way` writes them: they count for nothing, ever."""
    statuses: dict[str, Literal["shipped", "delivered", "ignored"]] = Field(default_factory=dict)
    """By the sender's own code: what a status counts as, in place of what it counts as usually."""

    @field_validator("statuses")
    @classmethod
    def _each_once(cls, statuses: dict[str, str]) -> dict[str, str]:
        said: dict[str, str] = {}
        for name, counts_as in statuses.items():
            if not _one_way(name):
                raise ValueError("has an empty status; write the code that the sender uses")
            if _one_way(name) in said:
                raise ValueError(f"has {name.strip()} twice: capitals and blanks make no other status; keep one")
            said[_one_way(name)] = counts_as
        return said

    def meaning(self, status: str, usual: EventType | None) -> EventType | None:
        """What the sender's status says of a parcel, where it usually says `usual`; None: nothing that bills."""
        name = _one_way(status)
        if name in self.going_back:
            return None
        return _MILESTONES.get(self.statuses[name]) if name in self.statuses else usual


def _one_way(status: str) -> str:
    return status.strip().casefold()


class ClientOptions(StatusOptions):
    """Of a carrier whose API wants client credentials; without them it is not asked."""

    going_back = frozenset({"rs"})
    client_id: str | None = None
    client_secret: SecretStr | None = None
    base_url: str | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together: give both, or none")
        return self


class CarrierToken(ClientToken):
    """A client's token, with headers beside it that are made for each request."""

    def __init__(self, oauth: OAuth2, credentials: Any, http: Http, more: Callable[[], Mapping[str, str]]) -> None:
        super().__init__(oauth, credentials, http)
        self._more = more

    def headers(self) -> Mapping[str, str]:
        return {**super().headers(), **self._more()}


@dataclass(frozen=True, slots=True)
class Scan:
    """One entry of a parcel's history: what it means, when, and the carrier's own words."""

    type: EventType
    at: datetime
    said: Any


def parcel_number(value: Any) -> str | None:
    """A tracking number in upper case, without blanks, dots and hyphens; None where there is none."""
    text = display(value)
    return re.sub(r"[\s.-]", "", text).upper()[:200] or None if text else None


def order_name(value: Any) -> str | None:
    """The order's name in a text of the merchant's, which may write it as "Order 000123"; None in what is none."""
    text = value if isinstance(value, str) else display(value) or ""
    name = re.sub(r"(?i)^order[ :]+", "", text.strip())
    return name if 0 < len(name) <= 200 else None


def code(value: Any) -> str:
    """A code as the tables have it; "" where there is none."""
    return (display(value) or "").strip().upper()


def time_said(text: Any) -> datetime | None:
    """A time; one that names no zone counts as UTC, for want of anything better. None where there is none."""
    return moment(text) or moment(f"{text}+00:00")


def a_dict(value: Any) -> dict[str, Any]:
    """The object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def shipment_event(
    delivery: Delivery, carrier: str, number: str | None, type_: EventType, at: datetime | None
) -> Event:
    """The event of one parcel. Raises `NotInvoiceable` where nobody says which parcel, or when."""
    if number is None:
        raise NotInvoiceable("The carrier does not say which parcel it speaks of", type=type_)
    if at is None:
        raise NotInvoiceable(f"The carrier does not say when it happened to parcel {number}", type=type_)
    parcel = Shipment(ref=number, carrier=carrier, tracking_number=number)
    return Event(id=delivery.id, type=type_, occurred_at=at, shipment=parcel)


# -- asking ------------------------------------------------------------------------------------------------------------


def own_parcels(parcels: Iterable[Parcel], carrier: str, pattern: str) -> list[str]:
    """The numbers of the parcels to ask this carrier about: those that name it, and, where nobody said who carries
    it, those that look like its own."""
    looks_own = re.compile(pattern)
    own: dict[str, None] = {}
    for parcel in parcels:
        number, name = parcel_number(parcel.tracking_number), re.sub(r"[\W_]", "", parcel.carrier).casefold()
        if number and re.fullmatch("[0-9A-Z]{7,39}", number) and (
            name.startswith(carrier) or (not name and looks_own.fullmatch(number))
        ):  # fmt: skip
            own[number] = None
    return list(own)


def milestones(number: str, scans: Iterable[Scan]) -> list[Found]:
    """That the parcel is on its way, as first said, and that it was delivered, as last said; each if it was said."""
    timed = sorted(scans, key=lambda scan: scan.at)
    found = []
    for name, type_ in _MILESTONES.items():
        of_type = [scan for scan in timed if scan.type is type_]
        if of_type:
            found.append(_milestone(number, name, of_type[0] if name == "shipped" else of_type[-1]))
    return found


def _milestone(number: str, name: str, scan: Scan) -> Found:
    at = scan.at.isoformat()
    kept = {"trackingNumber": number, "milestone": name, "at": at}
    body = written({**kept, "said": scan.said}, orjson.dumps(kept))
    return Found(Delivery(inbox_id("tracked", number, name, at), _TRACKED + name, scan.at, number), body)


def is_milestone(delivery: Delivery) -> bool:
    """Whether it was asked for, by `milestones`."""
    return delivery.type.startswith(_TRACKED)


def milestone_event(delivery: Delivery, carrier: str, body: bytes) -> Event | None:
    """What `milestones` kept, as an event."""
    kept = a_dict(parse_json(body))
    type_ = _MILESTONES.get(delivery.type.removeprefix(_TRACKED))
    if type_ is None:
        return None
    return shipment_event(delivery, carrier, parcel_number(kept.get("trackingNumber")), type_, moment(kept.get("at")))


def one_by_one(asked: Iterable[T], ask: Callable[[T], Sequence[Found]]) -> list[Found]:
    """What `ask` finds for each. One that the carrier does not know (yet), or that is none, is left out; when it wants
    no more questions, what was found before counts, and the rest is asked another time. Raises the other errors of a
    read."""
    found: list[Found] = []
    for position, each in enumerate(asked):
        try:
            found += ask(each)
        except Rejected as error:
            if error.status not in _UNKNOWN:
                raise
        except Throttled:
            if not position:
                raise
            break
    return found


class InTurn:
    """Questions to a carrier that takes one number at a time, for as long as it and we have time.

    Those who were asked about longest ago come first the next time, so that everybody's turn comes however few a
    question reaches. It remembers that for this process only: after a start, it begins anew.
    """

    def __init__(self, *, pause: float = 0.0, within: float = 20.0) -> None:
        """`pause`: seconds between two calls that the carrier wants; `within`: seconds that one question may take."""
        self.pause = pause
        self.within = within
        self._asked: dict[str, int] = {}
        self._count = 0

    def ask(self, numbers: Sequence[str], about: Callable[[str], Sequence[Found]]) -> list[Found]:
        """As `one_by_one`, each number in its turn."""
        return one_by_one(self._paced(sorted(numbers, key=lambda each: self._asked.get(each, 0))), about)

    def _paced(self, numbers: Sequence[str]) -> Iterator[str]:
        ends = time.monotonic() + self.within
        for position, number in enumerate(numbers):
            if position and time.monotonic() + self.pause > ends:
                return
            if position and self.pause:
                time.sleep(self.pause)
            yield number
            self._was_asked(number)  # not reached where the carrier wanted no more

    def _was_asked(self, number: str) -> None:
        self._count += 1
        self._asked.pop(number, None)
        self._asked[number] = self._count
        if len(self._asked) > _REMEMBERED:
            del self._asked[next(iter(self._asked))]


def batches(numbers: Sequence[str], most: int) -> Iterator[list[str]]:
    rest = iter(numbers)
    while batch := list(islice(rest, most)):
        yield batch


def call_id() -> str:
    """An id for one request."""
    return uuid4().hex


def written(value: Any, instead: bytes) -> bytes:
    """JSON of a value that `parse_json` read; `instead` where it is nested deeper than can be written."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return instead
