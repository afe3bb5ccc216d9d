"""What is asked for or made together: in groups that fit into one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def grouped(items: Iterable[T], most: int, size: Callable[[T], int] = lambda _: 1) -> Iterator[list[T]]:
    """The items in order, in groups whose sizes come to `most` at the most; a larger item is a group of its own."""
    group: list[T] = []
    whole = 0
    for item in items:
        if group and whole + size(item) > most:
            yield group
            group, whole = [], 0
        group.append(item)
        whole += size(item)
    if group:
        yield group
