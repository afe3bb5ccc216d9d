"""Which order an event means that does not carry it: by the shop's id, by the order's name, by a tracking number.

An order that is not known yet is waited for: the event is parked under the names it gave, and wakes when an order of
such a name is told. Two transactions that do not see each other (an order told, an event parked) may miss each other
on PostgreSQL; `wake_missed`, which recurs, finds those.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, literal, select, update

from connectors.model import Event, Order, Shipment
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.rows import among, among_keys, insert_new, insert_rows
from worker.store.schema import awaited, jobs, orders, shipments
from worker.store.trail import Entry, append

REUSED_AFTER = timedelta(days=120)
"""Carriers give a tracking number to another parcel after some months."""
ACTOR = "match"


@dataclass(frozen=True, slots=True)
class Pointer:
    """An event that names its order. `source`: the one that sent it; `orders_of`: the only source whose orders it may
    mean, where that is configured."""

    shop: str
    source: str
    event: Event
    orders_of: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What it gives to find its order by, the surest first."""
        event = self.event
        given = [name_of("id", event.order_id)] if event.order_id else []
        given += [name_of("ref", event.order_ref)] if event.order_ref else []
        number = event.shipment.tracking_number if event.shipment else None
        return (*given, name_of("tracking", number)) if number else tuple(given)


class Ambiguous(Exception):
    """Several orders are meant; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    source: str
    source_id: str
    ref: str
    carrier: str = ""
    """Of the parcel by which it was found."""


def name_of(kind: str, text: str) -> str:
    """A name in the form that is compared: "#1001" is "1001", and numbers of parcels have no blanks or hyphens."""
    if kind == "tracking":
        return "tracking:" + re.sub(r"[\s.-]", "", text).upper()
    return f"{kind}:{text.strip().removeprefix('#')}" if kind == "ref" else f"{kind}:{text}"


def carrier_name(text: str | None) -> str:
    """ "RoyalMail", "royal-mail" and "Royal Mail" are one carrier."""
    return re.sub(r"[\W_]", "", text or "").casefold()


def names_of(order: Order) -> tuple[str, ...]:
    """All names under which an event may wait for this order."""
    parcels = (name_of("tracking", parcel.tracking_number) for parcel in order.shipments if parcel.tracking_number)
    return (name_of("id", order.id), name_of("ref", order.ref), *parcels)


def record_parcels(connection: Connection, told: Iterable[tuple[str, str, Sequence[Shipment]]]) -> None:
    """Keeps the tracking numbers of (shop, order id, parcels)."""
    at = now()
    rows = {
        (order_id, number): {
            "id": new_id(),
            "shop": shop,
            "order_id": order_id,
            "tracking": number,
            "carrier": parcel.carrier or "",
            "known_at": at,
        }
        for shop, order_id, parcels in told
        for parcel in parcels
        if parcel.tracking_number and (number := name_of("tracking", parcel.tracking_number))
    }
    insert_new(connection, shipments, list(rows.values()), ("order_id", "tracking"))


@dataclass(frozen=True, slots=True)
class Match:
    """The order (our id) that a pointer means, and the name by which it was found."""

    order_id: str
    by: str


def find_orders(connection: Connection, pointers: Sequence[Pointer]) -> list[Match | Ambiguous | None]:
    """For each pointer its order, None where it is not known yet, or `Ambiguous`."""
    if not pointers:
        return []
    wanted = {(pointer.shop, name) for pointer in pointers for name in pointer.names}
    found = _candidates(connection, wanted)
    return [_chosen(pointer, found) for pointer in pointers]


def _chosen(pointer: Pointer, found: Mapping[tuple[str, str], Sequence[Candidate]]) -> Match | Ambiguous | None:
    for name in pointer.names:
        fit = [one for one in found[pointer.shop, name] if pointer.orders_of is None or one.source == pointer.orders_of]
        own = [one for one in fit if one.source == pointer.source]
        carrier = carrier_name(pointer.event.shipment.carrier) if pointer.event.shipment else ""
        same = [one for one in fit if one.carrier and carrier_name(one.carrier) == carrier]
        for narrowed in (fit, own, same):
            if len({one.id for one in narrowed}) == 1:
                return Match(narrowed[0].id, name)
        if fit:
            told = ", ".join(sorted({f"{one.ref} of {one.source}" for one in fit}))
            said = name.partition(":")[2]
            return Ambiguous(
                f'{said} may mean several orders ({told}); say with `orders = "…"` at this source whose orders it'
                " speaks of, then `billhook retry`"
            )
    return None


def _candidates(
    connection: Connection, wanted: Iterable[tuple[str, str]]
) -> defaultdict[tuple[str, str], list[Candidate]]:
    kinds: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for shop, name in sorted(wanted):
        kind, _, text = name.partition(":")
        kinds[kind].append((shop, text))
    found: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
    columns = (orders.c.id, orders.c.source, orders.c.source_id, orders.c.ref)
    if kinds["id"]:
        by_id = select(orders.c.shop, *columns).where(
            among_keys(connection, (orders.c.shop, orders.c.source_id), kinds["id"])
        )
        for shop, *row in connection.execute(by_id):
            found[shop, name_of("id", row[2])].append(Candidate(*row))
    if kinds["ref"]:
        both = [(shop, mark + text) for shop, text in kinds["ref"] for mark in ("", "#")]
        by_ref = select(orders.c.shop, *columns).where(among_keys(connection, (orders.c.shop, orders.c.ref), both))
        for shop, *row in connection.execute(by_ref):
            found[shop, name_of("ref", row[3])].append(Candidate(*row))
    if kinds["tracking"]:
        numbers = [(shop, f"tracking:{text}") for shop, text in kinds["tracking"]]
        by_number = (
            select(shipments.c.shop, shipments.c.tracking, *columns, shipments.c.carrier)
            .join(orders, orders.c.id == shipments.c.order_id)
            .where(among_keys(connection, (shipments.c.shop, shipments.c.tracking), numbers))
            .where(shipments.c.known_at > now() - REUSED_AFTER)
        )
        for shop, number, *row in connection.execute(by_number):
            found[shop, number].append(Candidate(*row))
    return found


def invoiced(order_id: str) -> str:
    """The name under which an event waits for the first invoice of an order (our id)."""
    return f"invoiced:{order_id}"


def park(connection: Connection, waiting: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Notes under which names of which shop these events (by job id) wait. They wake when an order of such a name is
    told."""
    if not waiting:
        return
    connection.execute(delete(awaited).where(among(connection, awaited.c.job_id, list(waiting))))
    at = now()
    rows = [
        {"job_id": job_id, "shop": shop, "name": name, "since": at}
        for job_id, (shop, names) in waiting.items()
        for name in names
    ]
    insert_rows(connection, awaited, rows)


def wake(connection: Connection, told: Iterable[tuple[str, str]]) -> int:
    """Events that wait for an order of one of these (shop, name) become due; returns how many."""
    if connection.execute(select(awaited.c.job_id).limit(1)).first() is None:
        return 0
    named = among_keys(connection, (awaited.c.shop, awaited.c.name), told)
    ids = sorted({str(row.job_id) for row in connection.execute(select(awaited.c.job_id).where(named))})
    if not ids:
        return 0
    at = now()
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, ids), jobs.c.state == "waiting")
        .values(
            state="pending",
            due_at=literal(at, jobs.c.due_at.type),
            reason=None,
            seq=jobs.c.seq + 1,
            changed_at=at,
        )
        .returning(jobs.c.id, jobs.c.kind, jobs.c.shop, jobs.c.seq)
    )
    woken = connection.execute(query).all()
    connection.execute(delete(awaited).where(among(connection, awaited.c.job_id, ids)))
    append(connection, (Entry(r.shop, None, f"{r.kind}:{r.id}", r.seq, "order_told", "pending", ACTOR) for r in woken))
    return len(woken)


def parked(connection: Connection, since: datetime) -> bool:
    """Whether any event was parked after `since`."""
    return connection.execute(select(awaited.c.job_id).where(awaited.c.since > since).limit(1)).first() is not None


def wake_missed(connection: Connection, since: datetime) -> int:
    """Events parked after `since` whose order is known after all."""
    rows = connection.execute(select(awaited.c.shop, awaited.c.name).where(awaited.c.since > since)).all()
    if not rows:
        return 0
    found = _candidates(connection, {(row.shop, row.name) for row in rows})
    return wake(connection, [key for key, hits in found.items() if hits])
