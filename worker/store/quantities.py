"""How much of each line of an order was ordered, shipped, invoiced and given back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Connection, select

from worker.store.parts import REST, Quantities, load_parts
from worker.store.schema import documents, invoices, jobs

Answer = dict[str, Any]
EXISTS = {"invoice": ("issued", "credited", "mismatch", "doubled"), "credit": ("issued", "mismatch", "doubled")}
"""States of what stands on the platform; a voided invoice does not, nor what voided it. What differs from its order
(`mismatch`) may be a draft there: a person decides on it, and until then it counts."""


def of_lines(connection: Connection, orders: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Answer]]:
    """By order id, of `orders` (id to the order's document): each line with `ordered`, `shipped` (None: nobody said
    what was in the parcels) and, by account, `invoiced` and `credited`. Quantities are decimal numbers as text."""
    query = (
        select(invoices.c.order_id, invoices.c.account, invoices.c.kind, jobs.c.state, documents.c.draft)
        .join_from(invoices, jobs, jobs.c.id == invoices.c.id)
        .join(documents, documents.c.id == invoices.c.id)
        .where(invoices.c.order_id.in_(list(orders)))
        .order_by(invoices.c.id)
    )
    papers: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        papers[row.order_id].append(row)
    parcels = load_parts(connection, orders)
    return {
        ident: _of_order(document, papers[ident], _shipped(document, parcels.get(ident, {})))
        for ident, document in orders.items()
    }


def _shipped(document: Mapping[str, Any], parts: Mapping[str, Quantities]) -> dict[str, Decimal]:
    """As the order itself says of its parcels; else as their senders said."""
    told = [shipment.get("lines") or () for shipment in document.get("shipments") or ()]
    named = ([{"ref": ref, "quantity": n} for ref, n in holds.items()] for name, holds in parts.items() if name != REST)
    return _added(told) or _added(named)


def _of_order(document: Mapping[str, Any], papers: Iterable[Any], shipped: Mapping[str, Decimal]) -> list[Answer]:
    counted: dict[str, dict[str, dict[str, Decimal]]] = defaultdict(lambda: {"invoice": {}, "credit": {}})
    for paper in papers:
        sums = counted[paper.account][paper.kind]
        if paper.state in EXISTS[paper.kind]:
            for ref, quantity in _held(paper.kind, orjson.loads(paper.draft)):
                sums[ref] = sums.get(ref, Decimal(0)) + quantity
    return [
        {
            "ref": line["ref"],
            "description": line["description"],
            "ordered": _plain(line["quantity"]),
            "shipped": _plain(shipped.get(line["ref"], 0)) if shipped else None,
            "accounts": {
                account: {"invoiced": _of(sums["invoice"], line), "credited": _of(sums["credit"], line)}
                for account, sums in counted.items()
            },
        }
        for line in document.get("lines") or ()
    ]


def _held(kind: str, draft: Mapping[str, Any]) -> list[tuple[str, Decimal]]:
    """Quantities by the ref of the order's line."""
    if kind == "credit":
        return [(ref, Decimal(quantity)) for ref, quantity in (draft.get("came_back") or {}).items()]
    return [(line["ref"], Decimal(line["quantity"])) for line in draft.get("lines") or ()]


def _added(lists: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for lines in lists:
        for line in lines:
            sums[line["ref"]] = sums.get(line["ref"], Decimal(0)) + Decimal(line["quantity"])
    return sums


def _of(sums: Mapping[str, Decimal], line: Mapping[str, Any]) -> str:
    return _plain(sums.get(line["ref"], 0))


def _plain(quantity: Any) -> str:
    return f"{Decimal(quantity).normalize():f}"
