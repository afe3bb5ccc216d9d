"""The report of what was not imported, and why: beside the file, in the file's own format."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from types import TracebackType

import orjson

from connectors.sources.base import one_line
from worker.importing.items import Item

COLUMNS = ("row", "last_row", "order", "reason")


class Report:
    """`FILE.rejected.csv` or `.jsonl`; there is none where nothing was rejected."""

    def __init__(self, file: Path, size: int) -> None:
        """Keeps the first `size` bytes of an earlier report. Raises `OSError`."""
        self.path = file.with_name(file.name + ".rejected" + file.suffix.lower())
        self._table = file.suffix.lower() == ".csv"
        if size and self.path.exists():
            with self.path.open("r+b") as there:
                there.truncate(min(size, self.path.stat().st_size))
        else:
            self.path.unlink(missing_ok=True)
        self._out: io.BufferedWriter | None = None

    def add(self, item: Item) -> None:
        if self._out is None:
            self._out = self.path.open("ab")
            if self._table and not self._out.tell():
                self._out.write(_row(COLUMNS))
        cells = (item.row, item.after.row, one_line(item.order), one_line(item.reason))
        if self._table:
            self._out.write(_row(cells))
        else:
            self._out.write(orjson.dumps(dict(zip(COLUMNS, cells, strict=True))) + b"\n")

    def flush(self) -> int:
        """Returns its size, when all of it is on the disk."""
        if self._out is not None:
            self._out.flush()
            os.fsync(self._out.fileno())
        return self.path.stat().st_size if self.path.exists() else 0

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._out is not None:
            self._out.close()


def _row(cells: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode(errors="replace")
