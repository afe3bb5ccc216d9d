"""`billhook import` of files that are broken: never a crash, never half an order, and the reason in plain words."""

import json
from typing import Any

import pytest

from tests.kit.scene import order_event
from tests.pipeline.importing import HEAD, Desk, order, row


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (
            HEAD.replace("currency,", "") + "\n",
            "it has no column currency (its first row must name the columns); its columns are",
        ),
        (HEAD + ",colour\n", "nobody knows the column colour; take it out. There are: order_id,"),
        (HEAD + ",total\n", "it has the column total twice"),
        ("", "its columns are: none"),
        (HEAD.encode("utf-16"), "it is not UTF-8 text"),
        (b"order_id,caf\xe9\n", "its first row is not UTF-8 text: save it as UTF-8"),
        ('"order_id,currency\n', "a quote in it is never closed"),
        ("x" * 3_000_000, "longer than"),
        (HEAD + "\r" + row(1) + "\r", "CR that ends no line"),
    ],
)
def test_a_table_whose_head_cannot_be_used_is_refused_as_a_whole(sqlite_desk: Desk, content: Any, saying: str) -> None:
    done = sqlite_desk.imports(sqlite_desk.file(content))
    assert done.exit_code == 2
    assert saying in done.output
    assert sqlite_desk.events() == []


def test_a_table_with_bom_crlf_and_quotes_is_read(sqlite_desk: Desk) -> None:
    rows = [row(1, 1, description='"a ""quoted"",\r\nlong one"'), row(1, 2), *order(2)]
    content = b"\xef\xbb\xbf" + "\r\n".join((HEAD, *rows, "", ",,,,,,,,,,,,", "")).encode()
    done = sqlite_desk.imports(sqlite_desk.file(content))
    assert done.exit_code == 0
    first = next(event for event in sqlite_desk.events() if event.about == "SO-1")
    assert first.order is not None
    assert first.order.lines[0].description == 'a "quoted",\r\nlong one'


REJECTED = {
    "another currency": (
        [row(1), row(1, 2, currency="EUR")],
        "2",
        "one order has currency 'GBP' in row 2, but 'EUR' in row 3",
    ),
    "currency on the second row only": (
        [row(1, customer_name=""), row(1, 2)],
        "2",
        "row 3 says customer_name, but the first row",
    ),
    "a row is missing": ([row(1)], "2", "total 111.00 differs from the sum of lines, discount, shipping and tax by"),
    "a wrong amount": ([row(1), row(1, 2, unit_price='"45,00"')], "2", "row 3: unit_price is not an amount"),
    "no quantity": ([row(1), row(1, 2, quantity="")], "2", "row 3: quantity is missing"),
    "unknown currency": (
        [row(1, currency="XQX"), row(1, 2, currency="XQX")],
        "2",
        "row 2: currency is not an ISO 4217",
    ),
    "no time zone": (
        [row(1, placed_at="2026-11-20"), row(1, 2, placed_at="2026-11-20")],
        "2",
        "is not a time with a time zone",
    ),
    "half a tax": ([row(1), row(1, 2, tax_rate="")], "2", "row 3: tax_rate is missing"),
    "no id": ([row(1, order_id=""), row(1, 2, order_id="")], "2", "row 2: order_id is missing"),
    "other bytes": ([row(1), row(1, 2, description="caf\udce9")], "2", "row 3: it is not UTF-8 text"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_an_order_with_a_wrong_row_is_rejected_whole_and_the_others_are_taken(sqlite_desk: Desk, case: str) -> None:
    rows, first, reason = REJECTED[case]
    text = "\n".join((HEAD, *rows, *order(8), *order(9), ""))
    file = sqlite_desk.file(text.encode(errors="surrogateescape"))
    done = sqlite_desk.imports(file)
    assert done.exit_code == 1
    assert "2 accepted, 0 were there before, 1 rejected.\n" in done.output
    assert f"Why, row by row: {file}.rejected.csv" in done.output
    assert sqlite_desk.refs() == ["SO-8", "SO-9"]
    (entry,) = sqlite_desk.rejected(file)
    assert entry[0] == first
    assert reason in entry[2]


@pytest.mark.parametrize(
    "broken",
    ["one,cell,too,few", row(1, 3) + ",extra", 'id-1,"' + "never closed", 'id-1,"closed" badly' + "," * 11],
    ids=["few", "many", "open", "badly"],
)
def test_a_row_that_cannot_be_read_spoils_the_orders_it_may_belong_to_and_no_others(
    sqlite_desk: Desk, broken: str
) -> None:
    file = sqlite_desk.table(*order(1), *order(2), broken, *order(3), *order(4))
    assert sqlite_desk.imports(file).exit_code == 1
    assert sqlite_desk.refs() == ["SO-1", "SO-4"]
    entries = sqlite_desk.rejected(file)
    assert [entry[:2] for entry in entries] == [("4", "id-2"), ("6", ""), ("7", "id-3")]
    assert "row 6 cannot be read, and may belong to this order" in entries[0][2]
    assert "row 6 cannot be read, and may belong to this order" in entries[2][2]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_of_a_file_that_was_cut_off_there_is_no_half_order(sqlite_desk: Desk, cut: int) -> None:
    whole = sqlite_desk.table(*order(1), *order(2)).read_bytes()
    file = sqlite_desk.file(whole[: -cut - 1], "cut.csv")
    done = sqlite_desk.imports(file)
    taken = {event.about: event for event in sqlite_desk.events()}
    assert "SO-1" in taken
    assert all(
        str(event.order.total) == "111.00" and len(event.order.lines) == 2 for event in taken.values() if event.order
    )
    assert done.exit_code == (0 if "SO-2" in taken else 1)


def test_an_order_of_more_lines_than_any_has_is_rejected(sqlite_desk: Desk) -> None:
    file = sqlite_desk.table(*(row(1, number) for number in range(1, 1503)), *order(2))
    assert sqlite_desk.imports(file).exit_code == 1
    assert sqlite_desk.refs() == ["SO-2"]
    assert "lines must have at most 1000 elements" in sqlite_desk.rejected(file)[0][2]


LINES = {
    "half a line": (b'{"id": "e", "type": "order.upd', "the file ends in the middle of this line"),
    "no JSON": (b"order 1\n", "it is not valid JSON"),
    "an array": (b"[1]\n", "a row takes one event, not an array of them"),
    "a number": (b"7\n", "must be a JSON object"),
    "other bytes": (b'{"id": "caf\xe9"}\n', "it is not UTF-8 text"),
    "no id": (b'{"type": "order.updated", "occurred_at": "2026-11-20T09:00:00Z", "order_ref": "a"}\n', "id is missing"),
    "wrong order": (b'{"lines": [], "id": "x"}\n', "order.currency is missing"),
    "too long": (b'{"id": "' + b"x" * 3_000_000 + b'"}\n', "the line is longer than 1,048,576 bytes"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_wrong_line_is_rejected_and_the_others_are_taken(sqlite_desk: Desk, case: str) -> None:
    line, reason = LINES[case]
    good = [json.dumps(order_event(number)).encode() + b"\r\n" for number in (1, 2)]
    file = sqlite_desk.file(b"\xef\xbb\xbf" + b"".join((good[0], b"\n", good[1], line)), "orders.jsonl")
    assert sqlite_desk.imports(file).exit_code == 1
    assert sqlite_desk.refs() == ["SO-1", "SO-2"]
    (entry,) = sqlite_desk.rejected(file)
    assert entry[0] == "4"
    assert reason in entry[2]


def test_a_report_of_an_earlier_run_does_not_stay(sqlite_desk: Desk) -> None:
    file = sqlite_desk.table(row(1))
    assert sqlite_desk.imports(file).exit_code == 1
    sqlite_desk.table(*order(1))
    assert sqlite_desk.imports(file).exit_code == 0
    assert sqlite_desk.rejected(file) == []


@pytest.mark.parametrize(
    ("name", "options", "saying"),
    [
        ("orders.xlsx", (), "its name must end in .csv or .jsonl"),
        ("missing.csv", (), "No such file"),
        ("orders.csv", ("--shop", "nobody"), "The configuration has no shop 'nobody'; there are: engraver"),
    ],
)
def test_what_cannot_be_meant_is_said(sqlite_desk: Desk, name: str, options: tuple[str, ...], saying: str) -> None:
    if "missing" not in name:
        sqlite_desk.table(*order(1), name=name)
    done = sqlite_desk.imports(sqlite_desk.tale.folder / name, *options)
    assert done.exit_code == 2
    assert saying in done.output
