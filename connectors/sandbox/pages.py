"""Lists in pages, as most platforms give them: the number and the size of a page stand in the query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from connectors.sandbox.shelf import Doc


class Page(NamedTuple):
    """One page of a list; `number` counts from 1."""

    number: int
    size: int
    total: int
    rows: list[Doc]

    @property
    def last(self) -> int:
        """The number of the last page; 1 where there is nothing."""
        return max(1, -(-self.total // self.size))

    @property
    def more(self) -> bool:
        return self.number < self.last


def paged(
    found: Iterable[Doc],
    query: Mapping[str, Any],
    fields: tuple[str, str],
    usual: int,
    most: int,
    wrong: Exception,
    *,
    caps: bool = False,
) -> Page:
    """The page that is asked for by the `fields` of its number and its size; `usual` documents where no size is.

    Raises `wrong` for a page or a size that is none, and for a size over `most`, which may be capped instead.
    """
    number, size = fields
    rows = list(found)
    try:
        at, length = int(query.get(number) or 1), int(query.get(size) or usual)
    except ValueError:
        raise wrong from None
    length = min(length, most) if caps else length
    if at < 1 or not 1 <= length <= most:
        raise wrong
    return Page(at, length, len(rows), rows[(at - 1) * length : at * length])
