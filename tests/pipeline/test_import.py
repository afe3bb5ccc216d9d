"""`billhook import`: files of orders go into the inbox, none twice, wherever the command is killed."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import Result

from tests.kit.processes import ROOT, Processes
from tests.kit.scene import order_event
from tests.kit.stores import in_both
from tests.pipeline.importing import Desk, order, row
from worker.importing.columns import OF_LINE, OF_ORDER
from worker.store.inbox import Inbox, RowRefused, StoreUnavailable

# -- what becomes of a good file


def test_a_table_becomes_orders_and_doing_it_twice_changes_nothing(desk: Desk) -> None:
    file = desk.table(*order(1), *order(2), *order(3))
    first, second = desk.imports(file), desk.imports(file)
    assert first.exit_code == second.exit_code == 0
    assert first.output == "3 accepted, 0 were there before, 0 rejected.\n"
    assert second.output == "0 accepted, 3 were there before, 0 rejected.\n"
    assert desk.refs() == ["SO-1", "SO-2", "SO-3"]
    assert desk.rung
    assert sorted(each.name for each in desk.tale.folder.glob("orders*")) == ["orders.csv"]
    event = desk.events()[0]
    assert (event.type, str(event.occurred_at)) == ("order.updated", "2026-11-20 09:00:00+00:00")
    assert event.order is not None
    assert (str(event.order.total), len(event.order.lines), event.order.customer.name) == ("111.00", 2, "Ada")


def test_what_is_imported_as_completed_is_invoiced_once(desk: Desk) -> None:
    from tasks import handle_events as handling

    file = desk.table(*order(1), *order(2))
    for _ in range(2):
        assert desk.imports(file, "--type", "order.completed").exit_code == 0
        handling.handle_events([])
        desk.tale.settle()
    assert desk.tale.books == {"SO-1": "111.00", "SO-2": "111.00"}


def test_lines_are_events_as_they_are_posted_or_orders_alone(desk: Desk) -> None:
    posted = order_event(1)
    alone = order_event(2)["order"]
    file = desk.file("\n".join(map(json.dumps, (posted, alone))), "orders.jsonl")
    desk.tale.accept({**posted})  # as it may have come over HTTP, in other spelling
    assert desk.imports(file, "--type", "order.fulfilled").exit_code == 0
    by_ref = {event.about: event for event in desk.events() if event.id != posted["id"]}
    assert by_ref["SO-2"].type == "order.fulfilled"
    assert by_ref["SO-2"].id.startswith("import:")
    assert {event.id for event in desk.events()} >= {posted["id"]}


def test_an_event_that_was_posted_before_is_a_duplicate(sqlite_desk: Desk) -> None:
    line = orjson.dumps(order_event(1), option=orjson.OPT_SORT_KEYS)
    sqlite_desk.imports(sqlite_desk.file(line, "a.jsonl"))
    other_order_of_fields = json.dumps(dict(reversed(order_event(1).items())), indent=None)
    done = sqlite_desk.imports(sqlite_desk.file(other_order_of_fields, "b.jsonl"))
    assert done.output == "0 accepted, 1 were there before, 0 rejected.\n"


def test_an_order_that_was_corrected_is_told_again(sqlite_desk: Desk) -> None:
    sqlite_desk.imports(sqlite_desk.table(*order(1)))
    done = sqlite_desk.imports(sqlite_desk.table(row(1, 1, customer_name="Grace"), row(1, 2, customer_name="Grace")))
    assert done.output.startswith("1 accepted, 0 were there before")


def test_amounts_are_exact_and_every_column_arrives(sqlite_desk: Desk) -> None:
    cells = {
        "order_id": "1", "order_ref": "#1", "currency": "eur", "total": "1.86",
        "placed_at": "2026-11-20T09:00:00+01:00",
        "occurred_at": "2026-11-21T09:00:00Z", "tax_included": "true", "channel": "web", "tags": "a | b",
        "customer_email": "a@x.example", "customer_tax_id": "DE1", "billing_country": "DE", "shipping_city": "Ulm",
        "order_discount": "0.10", "order_discount_description": "loyal", "order_discount_tax_rate": "19",
        "order_discount_tax_amount": "0.02", "shipping": "1.00", "shipping_description": "Post",
        "shipping_tax_rate": "19", "shipping_tax_amount": "0.16", "sku": "S", "description": 'Nail, 5" long',
        "quantity": "3", "unit_price": "0.3333333333", "discount": "0.04", "tax_name": "MwSt", "tax_rate": "19",
        "tax_amount": "0.15",
    }  # fmt: skip
    path = sqlite_desk.tale.folder / "all.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerows((cells.keys(), cells.values()))
    done = sqlite_desk.imports(path)
    assert done.exit_code == 0, sqlite_desk.rejected(path)
    (event,) = sqlite_desk.events()
    told = event.order
    assert told is not None
    assert str(event.occurred_at) == "2026-11-21 09:00:00+00:00"
    assert (told.currency, str(told.total), told.tax_included, told.tags) == ("EUR", "1.86", True, ("a", "b"))
    (line,) = told.lines
    assert (line.ref, line.description, str(line.unit_price)) == ("1", 'Nail, 5" long', "0.3333333333")
    assert line.tax is not None
    assert (line.tax.name, str(line.tax.amount)) == ("MwSt", "0.15")
    assert told.discount is not None
    assert told.shipping is not None
    assert (told.discount.description, told.shipping.description) == ("loyal", "Post")
    assert told.billing_address is not None
    assert told.shipping_address is not None
    assert (told.billing_address.country, told.shipping_address.city) == ("DE", "Ulm")


def test_what_belongs_to_the_order_may_stand_on_its_first_row_only(sqlite_desk: Desk) -> None:
    bare = dict.fromkeys(("order_ref", "currency", "placed_at", "customer_name", "shipping", "total"), "")
    assert sqlite_desk.imports(sqlite_desk.table(row(1), row(1, 2, **bare))).exit_code == 0
    assert sqlite_desk.refs() == ["SO-1"]


# -- ended on the way

MIXED = [each for number in range(1, 8) for each in (order(number) if number != 4 else [row(4), "broken,row"])]


@in_both
@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("place", ["import_before_commit", "import_before_state", "import_after_state"])
def test_killed_anywhere_it_goes_on_and_nothing_is_lost_or_doubled(
    desk: Desk, processes: Processes, place: str, nth: int
) -> None:
    file = desk.table(*MIXED)
    env = {"BILLHOOK_CONFIG": str(desk.tale.config_file), "BILLHOOK_CRASH": f"{place}@{nth}:kill"}
    command = "from worker.cli.main import main; from worker.importing import run; run.BATCH = 2; main()"
    killed = processes.python("-c", command, "import", str(file), "--shop", "engraver", env=env, name="import")
    assert killed.wait(60) == -9
    done = desk.imports(file)
    assert done.exit_code == 1
    assert desk.refs() == [f"SO-{number}" for number in (1, 2, 3, 6, 7)]
    assert [entry[:2] for entry in desk.rejected(file)] == [("8", "id-4"), ("9", ""), ("10", "id-5")]
    assert ("Going on after row" in done.output) == (place == "import_after_state" or nth > 1)


def _stopped(desk: Desk, monkeypatch: pytest.MonkeyPatch, file: Path) -> Result:
    """A run whose second batch the store does not take."""
    keep, calls = Inbox.keep, []

    def fails(self: Inbox, arrivals: Any) -> list[str]:
        calls.append(arrivals)
        if len(calls) == 2:
            raise StoreUnavailable("disk full")
        return keep(self, arrivals)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "keep", fails)
        return desk.imports(file)


def test_a_store_that_is_gone_ends_it_with_a_sentence(sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sqlite_desk.table(*order(1), *order(2), *order(3), *order(4))
    stopped = _stopped(sqlite_desk, monkeypatch, file)
    assert stopped.exit_code == 1
    assert "The store cannot be written: disk full." in stopped.output
    assert sqlite_desk.refs() == ["SO-1", "SO-2"]
    again = sqlite_desk.imports(file)
    assert "Going on after row 5, where an earlier run was ended" in again.output
    assert "4 accepted, 0 were there before, 0 rejected." in again.output


@pytest.mark.parametrize("change", [lambda desk: desk.table(*order(5), *order(6)), lambda desk: None])
def test_another_file_and_restart_begin_at_the_beginning(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Callable[[Desk], Path | None]
) -> None:
    file = sqlite_desk.table(*order(1), *order(2), *order(3), *order(4))
    _stopped(sqlite_desk, monkeypatch, file)
    changed = change(sqlite_desk)
    again = sqlite_desk.imports(file, *([] if changed else ["--restart"]))
    assert "Going on" not in again.output
    expected = "2 accepted, 0 were" if changed else "2 accepted, 2 were"
    assert again.output.startswith(expected)


def test_a_state_file_that_says_nonsense_is_not_believed(sqlite_desk: Desk) -> None:
    file = sqlite_desk.table(*order(1))
    file.with_name("orders.csv.import-state").write_text("{")
    assert sqlite_desk.imports(file).exit_code == 0
    assert sqlite_desk.refs() == ["SO-1"]


def test_an_order_that_the_database_cannot_hold_spoils_only_itself(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Inbox.keep

    def refuses(self: Inbox, arrivals: Any) -> list[str]:
        if any(each.label == "SO-2" for each in arrivals):
            raise RowRefused("no")
        return keep(self, arrivals)

    monkeypatch.setattr(Inbox, "keep", refuses)
    file = sqlite_desk.table(*order(1), *order(2), *order(3))
    assert sqlite_desk.imports(file).exit_code == 1
    assert sqlite_desk.refs() == ["SO-1", "SO-3"]
    assert sqlite_desk.rejected(file) == [("4", "SO-2", "it has something in it that the database cannot hold")]


# -- as the docs say


def test_every_column_is_described() -> None:
    page = (ROOT / "deploy" / "docs" / "import.md").read_text(encoding="utf-8")
    assert not [column for column in (*OF_ORDER, *OF_LINE) if f"`{column}`" not in page]


def test_the_table_that_the_docs_show_can_be_imported(sqlite_desk: Desk) -> None:
    page = (ROOT / "deploy" / "docs" / "import.md").read_text(encoding="utf-8")
    table, line = (page.split(f"```{language}\n")[1].split("```")[0] for language in ("csv", "json"))
    assert sqlite_desk.imports(sqlite_desk.file(table)).exit_code == 0
    assert sqlite_desk.imports(sqlite_desk.file(line, "orders.jsonl")).exit_code == 0
    assert [event.about for event in sqlite_desk.events()] == ["SO-1001", "SO-1001"]


SHOP = '[shop.engraver.source.web]\nkind = "woocommerce"\nsecret = "s"\noptions = { completed_statuses = ["done"] }\n\n'


def test_orders_of_a_source_are_the_same_orders(sqlite_desk: Desk) -> None:
    from tasks import handle_events as handling

    sqlite_desk.tale.configure("[billhook]\n", SHOP + "[billhook]\n")
    file = sqlite_desk.table(*order(1))
    assert sqlite_desk.imports(file, "--source", "web").exit_code == 0
    handling.handle_events([])
    assert sqlite_desk.tale.rows("SELECT source, source_id FROM orders") == [("web", "id-1")]
    assert sqlite_desk.tale.states_of_events == ["done"]


def test_a_source_that_the_shop_has_not_is_refused(sqlite_desk: Desk) -> None:
    said = sqlite_desk.imports(sqlite_desk.table(*order(1)), "--source", "web")
    assert said.exit_code == 2
    assert "has no source 'web'; there are: api." in said.output
