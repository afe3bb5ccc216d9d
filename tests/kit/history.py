"""The history checker: what was promised, what the store says, what the platforms' own books show.

Runs after every chaos test. It counts on the platforms as a stranger would: by our reference, and by customer,
lines and total; so a double without our reference is found too.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Entry
from tests.kit.scene import TRIGGERS, Accepted, Scene
from tests.kit.smtp import SmtpCatcher
from worker.store.seal import seal
from worker.store.verify import Verdict, verify


def check(
    scene: Scene,
    *,
    otherwise: Mapping[str, str] | None = None,
    not_ours: Collection[str] = (),
    mails: SmtpCatcher | None = None,
) -> None:
    """Asserts that every order promised has exactly one invoice on every platform it goes to.

    `otherwise`: orders (by ref) whose invoices are in another state than `issued`, and so are not counted in the books.
    `not_ours`: references of documents that others put there. `mails`: each customer is told once an invoice.
    """
    problems = list(findings(scene, otherwise=otherwise, not_ours=not_ours, mails=mails))
    assert not problems, "the history does not add up:\n" + "\n".join(problems)


def findings(
    scene: Scene,
    *,
    otherwise: Mapping[str, str] | None = None,
    not_ours: Collection[str] = (),
    mails: SmtpCatcher | None = None,
) -> Iterator[str]:
    """Everything that does not add up, a sentence each; for `check`, and for tests that expect to find something."""
    otherwise = otherwise or {}
    expected = _expected(scene)
    yield from _events(scene)
    for slug in scene.platforms:
        books = [entry for entry in scene.sandbox.ledger(slug) if entry.status != "void"]
        books = [entry for entry in books if entry.reference not in not_ours]
        store = _invoices(scene, slug)
        counted = {identity: one for identity, one in expected.items() if one.event["order"]["ref"] not in otherwise}
        yield from _states(slug, expected, store, otherwise)
        yield from _documents(slug, counted, store, books)
        yield from _strangers(slug, expected, store, books)
        yield from _customers(scene, slug)
    yield from _trail(scene)
    if mails is not None:
        yield from _mails(scene, mails)


Identity = tuple[str, str, str]


def _expected(scene: Scene) -> dict[Identity, Accepted]:
    """Per order the event that tells it last, for orders of which an event asked for an invoice."""
    due = {one.identity for one in scene.accepted if one.event["type"] in TRIGGERS}
    told = sorted(scene.accepted, key=lambda one: str(one.event["occurred_at"]))
    return {one.identity: one for one in told if one.identity in due}


def _events(scene: Scene) -> Iterator[str]:
    handled = scene.states("event")
    if sum(handled.values()) != len(scene.accepted):
        yield f"{len(scene.accepted)} events were accepted, the store has {dict(handled)}"


def _invoices(scene: Scene, slug: str) -> dict[Identity, list[Any]]:
    found: dict[Identity, list[Any]] = defaultdict(list)
    for row in scene.rows(
        "SELECT o.shop, o.source, o.source_id, i.reference, j.state, j.reason, d.remote_id, j.id FROM invoices i"
        " JOIN orders o ON o.id = i.order_id JOIN jobs j ON j.id = i.id JOIN documents d ON d.id = i.id"
        " WHERE i.account = ?",
        slug,
    ):
        found[row[0], row[1], row[2]].append(row[3:])
    return found


def _states(
    slug: str, expected: Mapping[Identity, Accepted], store: Mapping[Identity, list[Any]], otherwise: Mapping[str, str]
) -> Iterator[str]:
    for identity, one in expected.items():
        ref, rows = one.event["order"]["ref"], store.get(identity, [])
        wanted = otherwise.get(ref, "issued")
        if len(rows) != 1:
            yield f"{ref} has {len(rows)} invoices for {slug} in the store"
        elif rows[0][1] != wanted:
            yield f"{ref} on {slug} is {rows[0][1]} ({rows[0][2]}), not {wanted}"
    for identity in store.keys() - expected.keys():
        yield f"the store has an invoice for {identity}, of which nobody asked for one"


def _documents(
    slug: str, expected: Mapping[Identity, Accepted], store: Mapping[Identity, list[Any]], books: list[Entry]
) -> Iterator[str]:
    by_reference: dict[str, list[Entry]] = defaultdict(list)
    for entry in books:
        by_reference[entry.reference].append(entry)
    for identity, one in expected.items():
        order = one.event["order"]
        by_content = [entry for entry in books if _same_content(order, entry)]
        if len(by_content) != 1:
            yield f"{slug} has {len(by_content)} invoices with the customer, lines and total of {order['ref']}"
        for reference, _, _, remote_id, _ in store.get(identity, []):
            found = by_reference[reference]
            if len(found) != 1:
                yield f"{slug} has {len(found)} invoices with the reference {reference}"
            yield from (_unlike(slug, reference, remote_id, order, found[0]) if found else ())


def _unlike(slug: str, reference: str, remote_id: str, order: Mapping[str, Any], entry: Entry) -> Iterator[str]:
    if (Decimal(entry.total), entry.currency) != (Decimal(order["total"]), order["currency"]):
        yield f"{reference} is {entry.total} {entry.currency} on {slug}, its order {order['total']} {order['currency']}"
    if entry.status not in {"issued", "paid"}:
        yield f"{reference} is {entry.status} on {slug}"
    if entry.id != remote_id:
        yield f"{reference} is {entry.id} on {slug}, the store believes {remote_id}"


def _same_content(order: Mapping[str, Any], entry: Entry) -> bool:
    """The order's customer, and all its lines' descriptions among the entry's (the platform adds shipping)."""
    who = {order["customer"].get(name) for name in ("company", "name", "email")} - {None}
    lines = all(any(line["description"] in text for text in entry.lines) for line in order["lines"])
    same_customer = any(entry.customer == one or entry.customer.startswith(f"{one} (") for one in who)
    return lines and same_customer and Decimal(entry.total) == Decimal(order["total"])


def _strangers(
    slug: str, expected: Mapping[Identity, Accepted], store: Mapping[Identity, list[Any]], books: list[Entry]
) -> Iterator[str]:
    ours = {row[0] for identity in expected for row in store.get(identity, [])}
    for entry in books:
        if entry.reference not in ours:
            yield f"{slug} has {entry.id} ({entry.reference!r}, {entry.status}), which no order explains"


def _customers(scene: Scene, slug: str) -> Iterator[str]:
    for customer, count in Counter(scene.sandbox.customers(slug)).items():
        if count > 1:
            yield f"{slug} has customer {customer.name} <{customer.email}> {count} times"


def _trail(scene: Scene) -> Iterator[str]:
    for (label,) in scene.rows("SELECT label FROM jobs WHERE state = 'doubled'"):
        yield f"{label} is doubled"
    until = time.monotonic() + 20
    while (verdict := _sealed(scene)).unsealed and time.monotonic() < until:
        time.sleep(0.05)  # another process is sealing right now
    if not verdict.ok or verdict.unsealed:
        yield f"the trail does not verify: {verdict}"


def _sealed(scene: Scene) -> Verdict:
    seal(scene.store)
    return verify(scene.store)


def _mails(scene: Scene, mails: SmtpCatcher) -> Iterator[str]:
    """By recipient and subject (it names the order), over all platforms the order went to."""
    told = Counter((mail.recipients, mail.subject) for mail in mails.mails)
    most = len(scene.platforms)
    yield from (f"{to} got {subject!r} {count} times" for (to, subject), count in told.items() if count > most)
    sent = scene.states("notice")["done"]
    if len(mails.mails) != sent:
        yield f"{len(mails.mails)} mails arrived, the store says {sent} were sent"
