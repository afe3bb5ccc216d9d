"""How far the import of a file has come: a small file beside it, written after each commit.

Losing it costs time, nothing else: what was committed is recognised by the ids of its events.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from worker.importing.items import Position

_HEAD = 64 * 1024


class Counts(BaseModel):
    """Of orders (or events), but rejected: of entries in the report."""

    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0


class _Kept(BaseModel):
    file: str
    offset: int
    row: int
    doubt: int
    report: int
    counts: Counts


@dataclass
class State:
    """Where to go on."""

    at: Position
    counts: Counts
    report: int = 0
    """Bytes of the report of rejected rows that belong to what is done."""


class StateFile:
    """`FILE.import-state`. It is of one content, shop, source and type: under another of them it says nothing."""

    def __init__(self, file: Path, shop: str, source: str, type: str) -> None:
        """Raises `OSError` if `file` cannot be read."""
        with file.open("rb") as opened:
            head = hashlib.sha256(opened.read(_HEAD)).hexdigest()
        self._mark = f"{file.stat().st_size} {head} {shop} {source} {type}"
        self.path = file.with_name(file.name + ".import-state")

    def load(self) -> State | None:
        """None: nothing of this file was imported yet, or nobody knows how much."""
        try:
            kept = _Kept.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return None
        if kept.file != self._mark:
            return None
        return State(Position(kept.offset, kept.row, kept.doubt), kept.counts, kept.report)

    def save(self, state: State) -> None:
        """Whole or not at all. Raises `OSError`."""
        at = state.at
        kept = _Kept(
            file=self._mark, offset=at.offset, row=at.row, doubt=at.doubt, report=state.report, counts=state.counts
        )
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(kept.model_dump_json())
        os.replace(new, self.path)

    def remove(self) -> None:
        """The whole file is done."""
        self.path.unlink(missing_ok=True)
