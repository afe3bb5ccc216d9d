"""What a JSON body may look like, as an emulated platform checks it: known fields, kinds, lengths."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple


class Flaw(NamedTuple):
    """What is wrong, and where: the names and positions that lead there."""

    kind: Literal["unknown", "kind", "long"]
    path: tuple[str | int, ...]
    wanted: str
    """The kind that was expected, or the greatest length."""


KINDS: dict[type, str] = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}


def flaw(value: Any, shape: Any, path: tuple[str | int, ...] = ()) -> Flaw | None:
    """The first thing wrong with the value. A shape is an object of shapes, a list with the one of its elements, a
    text's greatest length, or a type."""
    kind = shape if isinstance(shape, type) else str if isinstance(shape, int) else type(shape)
    given: type = type(value)
    if given is not kind:
        return Flaw("kind", path, KINDS[kind])
    if isinstance(shape, int) and len(value) > shape:
        return Flaw("long", path, str(shape))
    if isinstance(shape, dict):
        for name, one in value.items():
            wrong = flaw(one, shape[name], (*path, name)) if name in shape else Flaw("unknown", (*path, name), "")
            if wrong:
                return wrong
    if isinstance(shape, list):
        return next(filter(None, (flaw(one, shape[0], (*path, at)) for at, one in enumerate(value))), None)
    return None
