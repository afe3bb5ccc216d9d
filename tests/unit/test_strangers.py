"""Invoices that others made: how they are called, kept, found again, and whose they become in the store."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from connectors.model import Order, RemoteInvoice, Status
from tests.kit.scene import order_event
from worker.store import strangers
from worker.store.engine import Store
from worker.store.intents import Intent, record_intents
from worker.store.migrate import prepare
from worker.store.orders import Told, record_orders
from worker.store.schema import customers, documents, invoices, jobs
from worker.store.strangers import CLAIMED, NOBODY, VOID, Stranger, bare
from worker.store.verify import verify

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
HERE = ("engraver", "books")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url)
    prepare(opened)
    yield opened
    opened.close()


def stranger(name: str, **changed: Any) -> Stranger:
    listed = RemoteInvoice(
        id=f"r-{name}", number=name, reference=None, status=Status.ISSUED, currency="GBP", total=Decimal("111.54"),
        customer_id="c-1",
    )  # fmt: skip
    return replace(Stranger.of(listed), **changed)


def keep(store: Store, *seen: Stranger, why: str | None = None) -> None:
    with store.write() as connection:
        strangers.keep(connection, *HERE, [(one, None, why) for one in seen])


def found(store: Store, *names: str) -> list[str]:
    with store.write() as connection:
        return [each.invoice.remote_id for each in strangers.undecided(connection, [(HERE[0], name) for name in names])]


def decided(store: Store, *ids: str, what: str = CLAIMED) -> None:
    with store.write() as connection:
        strangers.decide(connection, *HERE, dict.fromkeys(ids, "order-1"), what)


@pytest.mark.parametrize("name", ["SO-1", "#SO-1", " so-1 ", "#so-1"])
def test_names_are_compared_without_their_mark_and_the_case_of_their_letters(name: str) -> None:
    assert bare(name) == "so-1"


def test_what_has_no_name_is_called_nothing() -> None:
    assert stranger("", number="#", reference=None).names == frozenset()
    assert stranger("7", reference="SO-1").names == {"7", "so-1"}


@pytest.mark.parametrize(
    ("total", "currency", "money"),
    [("100.0", "GBP", "100.00 GBP"), ("100", "JPY", "100 JPY"), ("1.005", "GBP", "1.005 GBP"), ("5", "???", "5 ???")],
)
def test_money_is_written_with_the_currency_s_decimals(total: str, currency: str, money: str) -> None:
    assert stranger("1", total=Decimal(total), currency=currency).money == money


def test_they_are_found_by_number_or_reference_in_their_shop(store: Store) -> None:
    keep(store, stranger("INV-7", reference="#SO-1"), stranger("SO-2"))
    assert found(store, "so-1", "so-3") == ["r-INV-7"]
    assert sorted(found(store, "inv-7", "so-2")) == ["r-INV-7", "r-SO-2"]
    with store.write() as connection:
        assert strangers.undecided(connection, [("another", "so-2")]) == []


def test_a_shop_without_any_is_not_asked_further(store: Store) -> None:
    keep(store, stranger("SO-1"), stranger("SO-2"))
    with store.read() as connection:
        assert strangers.shops_with_any(connection, ["another", "engraver"]) == {"engraver"}
    decided(store, "r-SO-1", "r-SO-2")
    with store.read() as connection:
        assert strangers.shops_with_any(connection, ["another", "engraver"]) == set()


def test_seen_again_it_is_kept_once_and_as_it_is_now(store: Store) -> None:
    keep(store, stranger("SO-1"))
    keep(store, stranger("SO-1", total=Decimal("5.00"), number="SO-9"), why="it differs")
    with store.read() as connection:
        [kept] = strangers.of_account(connection, *HERE)
    assert (kept.invoice.total, kept.why) == (Decimal("5.00"), "it differs")
    assert found(store, "so-1") == []
    assert found(store, "so-9") == ["r-SO-1"]


@pytest.mark.parametrize(("what", "again"), [(CLAIMED, []), (NOBODY, []), (VOID, ["r-SO-1"])])
def test_what_was_decided_stays_so_unless_it_came_to_life_again(store: Store, what: str, again: list[str]) -> None:
    keep(store, stranger("SO-1"))
    decided(store, "r-SO-1", what=what)
    assert found(store, "so-1") == []
    keep(store, stranger("SO-1"))
    assert found(store, "so-1") == again


def test_the_platform_s_id_means_one_only(store: Store) -> None:
    keep(store, stranger("SO-1"), stranger("X", number="SO-1"))
    with store.write() as connection:
        assert len(strangers.called(connection, *HERE, "so-1")) == 2
        assert [each.invoice.remote_id for each in strangers.called(connection, *HERE, "r-X")] == ["r-X"]


def test_who_dismissed_it_stands_in_the_trail(store: Store) -> None:
    keep(store, stranger("SO-1"))
    with store.write() as connection:
        strangers.dismiss(connection, strangers.called(connection, *HERE, "SO-1")[0], "staff:ada")
    assert verify(store).ok
    with store.read() as connection:
        [row] = connection.exec_driver_sql("SELECT action, outcome, actor FROM audit").all()
    assert tuple(row) == ("dismiss", "nobody", "staff:ada")


# -- what is adopted ---------------------------------------------------------------------------------------------------


def intents(store: Store, *adopted: tuple[int, Stranger | None]) -> list[Intent]:
    """For orders of one customer, by number, each with its invoice there."""
    orders = {number: Order.model_validate(order_event(number, customer=1)["order"]) for number, _ in adopted}
    with store.write() as connection:
        known = record_orders(connection, [Told("engraver", "api", order, AT) for order in orders.values()])
    return [
        Intent(
            shop="engraver", source="api", account="books", tenant="xero:t", order=orders[number], prefix="",
            order_id=known["engraver", "api", orders[number].id].id, longest=40, issued_on=AT, due_on=AT,
            accepted_at=AT, gather_until=AT, adopted=invoice, adopted_by="staff:ada",
        )
        for number, invoice in adopted
    ]  # fmt: skip


def adopt(store: Store, *adopted: tuple[int, Stranger | None]) -> list[Any]:
    """Records them in one commit; returns, by order, the invoice's state and its customer's id, state and place."""
    made = intents(store, *adopted)
    with store.write() as connection:
        record_intents(connection, made)
    whose, customer = documents.alias("whose"), jobs.alias("customer")
    query = (
        select(jobs.c.label, jobs.c.state, jobs.c.waits_for, whose.c.remote_id, customer.c.state, customers.c.identity)
        .join(invoices, invoices.c.id == jobs.c.id)
        .join(whose, whose.c.id == invoices.c.customer_id)
        .join(customer, customer.c.id == invoices.c.customer_id)
        .join(customers, customers.c.id == customer.c.id)
        .order_by(jobs.c.label)
    )
    assert verify(store).ok
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_its_customer_becomes_the_order_s(store: Store) -> None:
    assert adopt(store, (1, stranger("SO-1")), (2, None)) == [
        ("SO-1", "issued", None, "c-1", "done", "ref:engraver:C-1"),
        ("SO-2", "pending", None, "c-1", "done", "ref:engraver:C-1"),
    ]


def test_one_of_another_customer_stays_with_that_customer(store: Store) -> None:
    assert adopt(store, (1, stranger("SO-1")), (2, stranger("SO-2", customer_id="c-2"))) == [
        ("SO-1", "issued", None, "c-1", "done", "ref:engraver:C-1"),
        ("SO-2", "issued", None, "c-2", "done", "house:c-2"),
    ]


def test_where_nobody_says_whose_it_is_the_customer_is_made_as_ever(store: Store) -> None:
    [row] = adopt(store, (1, stranger("SO-1", customer_id=None)))
    assert row == ("SO-1", "issued", None, None, "pending", "ref:engraver:C-1")


def test_a_customer_on_its_way_is_left_alone(store: Store) -> None:
    adopt(store, (1, None))
    rows = adopt(store, (2, stranger("SO-2")))
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("SO-1", "pending", None, "pending"),
        ("SO-2", "issued", "c-1", "done"),
    ]


def test_a_key_that_was_taken_meanwhile_is_not_adopted(store: Store) -> None:
    adopt(store, (1, None))
    [row] = adopt(store, (1, stranger("SO-1")))
    assert row[:2] == ("SO-1", "pending")
