"""Tables of orders (.csv): a row an item, the rows of one order together.

An order is taken whole or not at all. A row that cannot be read has no order that anybody knows, so the orders before
and after it are left out with it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from connectors.sources.base import MalformedBody
from worker.importing.columns import Disagreement, OrderRows, checked
from worker.importing.items import Item, Position, Unreadable, event_around, made
from worker.importing.lines import Lines, TooLong

LONGEST_ROW = 128 * 1024
"""Bytes; beyond it a quote was opened that nobody has closed."""


class Broken(Exception):
    """The quotes of a row do not go together."""


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    end: int
    """Bytes of the file up to its end."""
    cells: dict[str, str]
    problem: str = ""
    """Why it cannot be read. `cells` are empty where nobody can say whose row it is."""


class Rows:
    """The rows of the file after its head, from a place between two of them."""

    def __init__(self, file: BinaryIO, start: Position) -> None:
        """Raises `Unreadable` if the head cannot be used."""
        self._lines = Lines(file, 0)
        self._separator = ","
        self._columns = checked(self._head())
        self._number = 1
        if start.offset:
            self._lines.seek(start.offset)
            self._number = start.row

    def _head(self) -> list[str]:
        begin = self._lines.offset
        try:
            text = self._lines.next().decode()
            self._separator = max(",;\t", key=text.count)
            self._lines.seek(begin)
            return self._parsed()[1]
        except UnicodeDecodeError:
            raise Unreadable("its first row is not UTF-8 text: save it as UTF-8") from None
        except (TooLong, Broken) as error:
            raise Unreadable(f"its first row, which names the columns, cannot be read: {error}") from None

    def __iter__(self) -> Iterator[Row]:
        while True:
            before = self._lines.offset
            self._number += 1
            try:
                raw, cells = self._parsed()
            except (TooLong, Broken) as error:
                self._lines.seek(before)
                yield Row(self._number, self._skip_line(), {}, f"it cannot be read as a row of a table: {error}")
                continue
            if not raw:
                return
            if any(cells):
                yield self._row(raw, cells)

    def _row(self, raw: bytes, cells: list[str]) -> Row:
        number, end = self._number, self._lines.offset
        if len(cells) != len(self._columns):
            how = f"it has {len(cells)} columns instead of {len(self._columns)}"
            return Row(number, end, {}, how if raw.endswith(b"\n") else f"the file ends in the middle of it ({how})")
        named = dict(zip(self._columns, (cell.strip() for cell in cells), strict=True))
        try:
            raw.decode()
        except UnicodeDecodeError:
            return Row(number, end, named, "it is not UTF-8 text: save the file as UTF-8")
        return Row(number, end, named)

    def _parsed(self) -> tuple[bytes, list[str]]:
        """The next row: its bytes (none at the end of the file) and its cells."""
        read: list[bytes] = []
        begin = self._lines.offset

        def lines() -> Iterator[str]:
            while line := self._lines.next():
                read.append(line)
                if self._lines.offset - begin > LONGEST_ROW:
                    raise TooLong(f"it is longer than {LONGEST_ROW:,} bytes, or a quote in it is never closed")
                yield line.decode(errors="surrogateescape")
            if read:
                raise TooLong("a quote in it is never closed")

        try:
            cells = next(csv.reader(lines(), delimiter=self._separator, strict=True), [])
        except csv.Error as error:
            alone = b"\r" in b"".join(read).replace(b"\r\n", b"")
            raise Broken("it has a CR that ends no line; end rows with LF or CRLF" if alone else str(error)) from None
        return b"".join(read), cells

    def _skip_line(self) -> int:
        with suppress(TooLong):
            self._lines.next()
        return self._lines.offset


class Table:
    """Makes orders of the rows."""

    def __init__(self, file: BinaryIO, type: str) -> None:
        self._file = file
        self._type = type

    def items(self, start: Position) -> Iterator[Item]:
        """An item an order, and one for each row that cannot be read."""
        group: _Group | None = None
        doubt, at = start.doubt, start
        for row in Rows(self._file, start):
            identity = row.cells.get("order_id", "")
            if group is not None and (not row.cells or identity != group.identity):
                if not row.cells:
                    group.problem = group.problem or f"row {row.number} cannot be read, and may belong to this order"
                yield group.item(at, self._type)
                group, doubt = None, 0
            at = Position(row.end, row.number)
            if not row.cells:
                doubt, at = row.number, Position(row.end, row.number, row.number)
                yield Item(row.number, at, reason=row.problem)
                continue
            group = group or _Group(identity, row.number, doubt)
            group.add(row)
        if group is not None:
            yield group.item(at, self._type)


class _Group:
    """The rows of one order."""

    def __init__(self, identity: str, first: int, doubt: int) -> None:
        self.identity = identity
        self.problem = f"row {doubt} cannot be read, and may belong to this order" if doubt else ""
        self._first = first
        self._rows = OrderRows()

    def add(self, row: Row) -> None:
        if row.problem:
            self.problem = self.problem or f"row {row.number}: {row.problem}"
            return
        try:
            self._rows.add(row.number, row.cells)
        except Disagreement as error:
            self.problem = self.problem or str(error)

    def item(self, after: Position, type: str) -> Item:
        if self.problem:
            return Item(self._first, after, self.identity, reason=self.problem)
        try:
            did = made(event_around(self._rows.order(), type, self._rows.occurred_at))
        except MalformedBody as error:
            return Item(self._first, after, self.identity, reason=str(error))
        if did.event is None:
            reason = "; ".join(self._rows.told(each) for each in did.errors[:5])
            return Item(self._first, after, self.identity, reason=reason)
        return Item(self._first, after, did.event.about, did.event, did.body)
