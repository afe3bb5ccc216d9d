"""Many rows as one parameter, however many there are: the statement stays the same, so it stays compiled and prepared.

The rows travel as one JSON text and are a table inside the statement (`json_each` on SQLite, `json_to_recordset` on
PostgreSQL). An executemany processes parameters a row here and, on PostgreSQL, runs a statement a row there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    LargeBinary,
    Table,
    Text,
    Update,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
    text,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.dml import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite.dml import Insert as SqliteInsert
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]


def upsert(connection: Connection, table: Table) -> SqliteInsert | PostgresInsert:
    """An INSERT of the database's own dialect, for ON CONFLICT."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts rows that all have the same columns."""
    if rows:
        connection.execute(_insert(table, tuple(rows[0]), connection.dialect.name), packed(connection, rows))


def insert_new(connection: Connection, table: Table, rows: Sequence[Row], unique: tuple[str, ...]) -> set[str]:
    """Inserts the rows whose `unique` columns are not there yet, in the order given; returns their ids."""
    if not rows:
        return set()
    statement = _insert_new(table, tuple(rows[0]), unique, connection.dialect.name)
    return set(connection.execute(statement, packed(connection, rows)).scalars())


def update_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Sets, in the row with each `id`, the other columns given."""
    if rows:
        connection.execute(_update(table, tuple(rows[0]), connection.dialect.name), packed(connection, rows))


def given(types: Mapping[str, TypeEngine[Any]], dialect: str, told: str | None = None) -> FromClause:
    """The rows of `packed` as a table named "given", to be used once in a statement; or these that are `told`."""
    rows = bindparam("rows", type_=Text()) if told is None else bindparam(None, told, type_=Text(), unique=True)
    if dialect == "sqlite":
        each = func.json_each(rows).table_valued("value", name="each")
        return select(*(_taken(each.c.value, name, kind).label(name) for name, kind in types.items())).subquery("given")
    columns = (column(name, kind) for name, kind in types.items())
    table = func.json_to_recordset(cast(rows, JSON)).table_valued(*columns)
    return table.render_derived(name="given", with_types=True)


def given_for(table: Table, names: Iterable[str], dialect: str) -> FromClause:
    """`given`, with the types that columns of these names have in the table."""
    return given({name: table.c[name].type for name in names}, dialect)


def packed(connection: Connection, rows: Sequence[Row]) -> dict[str, str]:
    """The parameters of a statement that has `given` in it."""
    mark = "" if connection.dialect.name == "sqlite" else "\\x"

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat()
        if isinstance(value, Decimal):
            return f"{value:f}"
        if isinstance(value, bytes):
            return mark + value.hex()
        raise TypeError(f"{type(value).__name__} cannot be stored")

    return {"rows": orjson.dumps(rows, plain, orjson.OPT_PASSTHROUGH_DATETIME).decode()}


def among(connection: Connection, what: ColumnElement[str], values: Sequence[str]) -> ColumnElement[bool]:
    """`what IN (values)`, with the values as one parameter."""
    if connection.dialect.name == "sqlite":
        listed = bindparam(None, orjson.dumps(list(values)).decode(), type_=Text(), unique=True)
        return what.in_(select(func.json_each(listed).table_valued("value", name="listed").c.value))
    return what == any_(bindparam(None, list(values), type_=ARRAY(Text), unique=True))


def among_keys(
    connection: Connection, columns: Sequence[Column[Any]], keys: Iterable[Sequence[Any]]
) -> ColumnElement[bool]:
    """`(columns) IN (keys)`, with the keys as one parameter."""
    types = {f"{column.name}": column.type for column in columns}  # plain strings, which orjson asks for
    told = packed(connection, [dict(zip(types, key, strict=True)) for key in keys])["rows"]
    rows = given(types, connection.dialect.name, told)
    return tuple_(*columns).in_(select(*(rows.c[name] for name in types)))


def _taken(value: ColumnElement[Any], name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    taken = func.json_extract(value, f"$.{name}")
    return type_coerce(func.unhex(taken) if isinstance(kind, LargeBinary) else taken, kind)


@cache
def _insert(table: Table, names: tuple[str, ...], dialect: str) -> Insert:
    rows = given_for(table, names, dialect)
    return table.insert().from_select(list(names), select(*(rows.c[name] for name in names)))


@cache
def _insert_new(table: Table, names: tuple[str, ...], unique: tuple[str, ...], dialect: str) -> Any:
    rows = given_for(table, names, dialect)
    # "WHERE true": without it SQLite reads the ON of ON CONFLICT as a join's
    chosen = select(*(rows.c[name] for name in names)).where(text("true"))
    insert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    fresh = insert.from_select(list(names), chosen).on_conflict_do_nothing(index_elements=list(unique))
    return fresh.returning(table.c.id)


@cache
def _update(table: Table, names: tuple[str, ...], dialect: str) -> Update:
    rows = given_for(table, names, dialect)
    return update(table).where(table.c.id == rows.c.id).values({n: rows.c[n] for n in names if n != "id"})
