"""Accounts that reach one organisation on a platform must agree on what is counted for all of them together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def tenant_problems(refs: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """(place, what is wrong) where two accounts (`AccountRef`) of one tenant say differently what its quotas and
    abilities are: its permits are counted once, as the first account says. Each by itself is valid."""
    first: dict[str, Any] = {}
    for ref in refs:
        other = first.setdefault(ref.tenant, ref)
        if ref.facts == other.facts:
            continue
        for name, mine, theirs in _differences(ref, other):
            yield (
                f"shop.{ref.shop}.account.{ref.name}.{name}",
                f"is {_said(mine)}, but {_said(theirs)} for {other}, which reaches the same organisation on"
                f" {ref.facts.title}: its quotas are counted for both together, so set it to the same for {ref} and"
                f" {other}",
            )


def _differences(ref: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """What decides that their facts differ: name, and its value for each."""
    if ref.account.limits != other.account.limits:
        yield "limits", ref.account.limits, other.account.limits
    mine, theirs, facts_of = ref.settings, other.settings, ref.platform.facts_of
    for name in type(mine).model_fields:
        value = getattr(theirs, name)
        if facts_of(mine.model_copy(update={name: value})) != facts_of(mine):
            yield f"settings.{name}", getattr(mine, name), value


def _said(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, default=str)
