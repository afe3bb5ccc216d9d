"""Lines of a file in bounded memory, and files of which each line is one event or order in JSON (.jsonl)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from connectors.sources.base import MalformedBody
from worker.importing.items import LONGEST, Item, Position, Unreadable, event_around, made

BOM = b"\xef\xbb\xbf"


class TooLong(Exception):
    """A line, or a row of several, that no order has."""


class Lines:
    """Reads a file line by line and knows where it stands."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        """Raises `Unreadable` for what is surely not UTF-8 text."""
        file.seek(0)
        head = file.read(4096)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
            raise Unreadable("it is not UTF-8 text (UTF-16, perhaps, or no text at all): save it as UTF-8")
        self._file = file
        self.seek(max(offset, len(BOM) if head.startswith(BOM) else 0))

    def seek(self, offset: int) -> None:
        self.offset = offset
        self._file.seek(offset)

    def next(self) -> bytes:
        """The next line with its end; b"" at the end of the file. Raises `TooLong` after it has read past such one."""
        line = self._file.readline(LONGEST + 1)
        self.offset += len(line)
        if len(line) <= LONGEST or line.endswith(b"\n"):
            return line
        while line and not line.endswith(b"\n"):
            line = self._file.readline(LONGEST)
            self.offset += len(line)
        raise TooLong(f"is longer than {LONGEST:,} bytes")


class JsonLines:
    """An event a line, or an order alone."""

    def __init__(self, file: BinaryIO, type: str) -> None:
        self._file = file
        self._type = type

    def items(self, start: Position) -> Iterator[Item]:
        """Blank lines are passed over."""
        lines, row = Lines(self._file, start.offset), start.row
        while True:
            row += 1
            try:
                line = lines.next()
            except TooLong as error:
                yield Item(row, Position(lines.offset, row), reason=f"the line {error}")
                continue
            if not line:
                return
            if line.strip():
                yield self._item(line, row, Position(lines.offset, row))

    def _item(self, line: bytes, row: int, after: Position) -> Item:
        order = ""
        try:
            value = orjson.loads(line)
            order = _named(value)
            alone = isinstance(value, dict) and "lines" in value and "order" not in value
            did = made(event_around(value, self._type) if alone else line)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, MalformedBody) as error:
            return Item(row, after, order, reason=_wrong(line, error))
        if did.event is None:
            return Item(row, after, order, reason="; ".join(each.sentence for each in did.errors[:5]))
        return Item(row, after, did.event.about, did.event, did.body)


def _wrong(line: bytes, error: Exception) -> str:
    if not line.endswith(b"\n") and not line.rstrip().endswith(b"}"):
        return "the file ends in the middle of this line"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "it is not UTF-8 text: save the file as UTF-8"
    return str(error) if isinstance(error, MalformedBody) else f"it is not valid JSON: {error}"


def _named(value: Any) -> str:
    match value:
        case {"order": {"ref": str() as ref}} | {"order": {"id": str() as ref}} | {"order_ref": str() as ref}:
            return ref
        case {"lines": _, "ref": str() as ref} | {"lines": _, "id": str() as ref} | {"order_id": str() as ref}:
            return ref
    return ""
