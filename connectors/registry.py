"""Plug-ins that are registered by existing: a file in a package, with a class that sets what it is known by."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")


def plug_ins(package: str, kind: type[T], mark: str, name: Callable[[type[T]], str]) -> dict[str, type[T]]:
    """Every subclass of `kind` in the package's files by its name, in alphabetical order.

    `mark` is the attribute that makes it one: a class that only inherits it, or lacks it, is for others to build on.
    """
    found: dict[str, type[T]] = {}
    for file in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for value in vars(importlib.import_module(f"{package}.{file.name}")).values():
            if isinstance(value, type) and issubclass(value, kind) and mark in vars(value):
                found[name(value)] = value
    return dict(sorted(found.items()))


def plug_in(package: str, kind: type[T], mark: str, file: str) -> type[T] | None:
    """The one in the file of that name, without loading any other; None where there is none."""
    if not file.isidentifier() or find_spec(f"{package}.{file}") is None:
        return None
    for value in vars(importlib.import_module(f"{package}.{file}")).values():
        if isinstance(value, type) and issubclass(value, kind) and mark in vars(value):
            return value
    return None


def files(package: str) -> set[str]:
    """The names of a package's files; none is loaded."""
    return {file.name for file in pkgutil.iter_modules(importlib.import_module(package).__path__)}


def choose(known: Mapping[str, T], name: str, what: str) -> T:
    """The one of that name. Raises `LookupError` with what was probably meant and what there is."""
    if name not in known:
        near = get_close_matches(name, known, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise LookupError(f"there is no {what} {name!r}{meant} (known: {', '.join(known)})")
    return known[name]
