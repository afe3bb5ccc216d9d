"""`load` of an emulated Odoo: rows of text become records, all of them or none.

From odoo/odoo: odoo/models.py (`load`, `_extract_records`, `_convert_records`) and addons/base/models/ir_fields.py
(the messages).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from connectors.sandbox.odoo_books import Books, Failure, label
from connectors.sandbox.savepoint import savepoint

Record = tuple[int, int, dict[str, str], list[dict[str, str]]]
"""First row, last row, its own cells, and those of its lines."""


class Wrong(Exception):
    """A cell cannot be what it says."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def load(books: Books, model: str, columns: list[str], rows: list[list[str]], spoil: bool = False) -> dict[str, Any]:
    """The answer of `load`. `spoil`: the last record is refused, as a fault asks for."""
    known = books.fields(model)
    for column in columns:
        name = column.split("/")[0]
        if name not in known and column not in ("id", ".id"):
            raise Failure("builtins.ValueError", f"Invalid field {name!r} on model {model!r}")
    if any(not isinstance(cell, str) for row in rows for cell in row) or any(len(row) != len(columns) for row in rows):
        raise Failure("builtins.TypeError", "cells must be text, and as many as there are fields")
    ids: list[int] = []
    messages: list[dict[str, Any]] = []
    books.db.execute("SAVEPOINT load")
    records = list(_records(columns, rows, known))
    for place, (first, last, cells, lines) in enumerate(records):
        try:
            if spoil and place == len(records) - 1:
                raise Wrong("partner_id", "No matching record found for database id '0' in field 'Partner'")
            with savepoint(books.db):
                ids.append(_saved(books, model, cells, lines))
        except (Wrong, Failure) as error:
            said = {"type": "error", "message": str(error), "record": place, "rows": {"from": first, "to": last}}
            messages.append({**said, "field": error.field} if isinstance(error, Wrong) else said)
    if messages:
        books.db.execute("ROLLBACK TO load")
    books.db.execute("RELEASE load")
    return {"ids": False if messages else ids, "messages": messages, "nextrow": 0}


def _records(columns: list[str], rows: list[list[str]], known: Mapping[str, str]) -> Iterator[Record]:
    """A row whose own cells are all empty is one more line of the record above it."""
    inner = [column for column in columns if known.get(column.split("/")[0], "").startswith("one2many")]
    start, cells, lines = 0, dict[str, str](), list[dict[str, str]]()
    for number, row in enumerate(rows):
        given = dict(zip(columns, row, strict=True))
        own = {column: cell for column, cell in given.items() if column not in inner}
        if any(own.values()) or number == 0:
            if number:
                yield start, number - 1, cells, lines
            start, cells, lines = number, own, []
        if any(given[column] for column in inner):
            lines.append({column.partition("/")[2]: given[column] for column in inner})
    if rows:
        yield start, len(rows) - 1, cells, lines


def _saved(books: Books, model: str, cells: Mapping[str, str], lines: list[dict[str, str]]) -> int:
    ident = _target(books, model, cells.get("id", ""))
    vals = _converted(books, model, cells)
    if lines:
        vals["invoice_line_ids"] = [_line(books, given) for given in lines]
    if ident is None:
        ident = books.create(model, vals)
        if cells.get("id"):
            books.name(_module(cells["id"]), model, ident)
    else:
        books.write(model, ident, vals)
    for given, line in zip(lines, books.children(books.lines, ident)[-len(lines) :] if lines else (), strict=True):
        if given.get("id") and books.named(_module(given["id"])) is None:
            books.name(_module(given["id"]), books.lines, line)
    return ident


def _line(books: Books, given: Mapping[str, str]) -> list[Any]:
    """A command: without an external id, or with a new one, a new line; else the line of that name."""
    vals = _converted(books, books.lines, given)
    found = _target(books, books.lines, given.get("id", ""))
    if found is not None:
        return [1, found, vals]
    if given.get("id") and books.version < 19:
        text = f"No matching record found for external id '{given['id']}' in field '{label('invoice_line_ids')}'"
        raise Wrong("invoice_line_ids", text)
    return [0, 0, vals]


def _module(name: str) -> str:
    return name if "." in name else f"__import__.{name}"


def _target(books: Books, model: str, name: str) -> int | None:
    if name.count(".") > 1:
        text = (
            f'The ID reference "{name}" must contain maximum one dot. They are used to refer to other modules ID, in '
            "the form: module.record_id"
        )
        raise Wrong("id", text)
    found = books.named(_module(name)) if name else None
    if found is None:
        return None
    if found[0] != model:
        raise Wrong("id", f"The external ID {name} must refer to {model}, it is a {found[0]}")
    return found[1]


def _converted(books: Books, model: str, cells: Mapping[str, str]) -> dict[str, Any]:
    """Text becomes values; an empty cell is `false`."""
    known, vals = books.fields(model), dict[str, Any]()
    for column, cell in cells.items():
        name, _, suffix = column.partition("/")
        if name in ("id", ".id"):
            continue
        kind, _, other = known.get(name, "").partition(":")
        if not kind:
            raise Failure("builtins.ValueError", f"Invalid field {name!r} on model {model!r}")
        if kind == "many2one":
            vals[name] = _reference(books, name, other, suffix, cell) if cell else False
        elif kind == "many2many":
            ids = [_reference(books, name, other, suffix, one) for one in cell.split(",")] if cell else []
            vals[name] = [[6, 0, ids]]
        else:
            vals[name] = _plain(name, kind, cell)
    return vals


def _plain(name: str, kind: str, cell: str) -> Any:
    try:
        if kind == "float":
            return float(cell or 0)
        if kind == "date" and cell:
            return date.fromisoformat(cell).isoformat()
    except ValueError:
        what = "number" if kind == "float" else "valid date"
        raise Wrong(name, f"'{cell}' does not seem to be a {what} for field '{label(name)}'") from None
    if kind == "boolean":
        return cell.lower() in ("1", "true", "yes")
    return cell or False


def _reference(books: Books, name: str, model: str, suffix: str, cell: str) -> int:
    """By database id (`/.id`), by external id (`/id`), or by name."""
    if suffix == ".id":
        kind, found = "database id", int(cell) if cell.isdecimal() and books.exists(model, int(cell)) else None
    elif suffix == "id":
        known = books.named(_module(cell))
        kind, found = "external id", known[1] if known and known[0] == model else None
    else:
        kind, found = "name", next(iter(books.search(model, [["name", "=", cell]])), None)
    if found is None:
        raise Wrong(name, f"No matching record found for {kind} '{cell}' in field '{label(name)}'")
    return found
