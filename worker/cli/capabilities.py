"""What each platform can do, from its own facts, settings and docstring: for the terminal and for the docs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticUndefined

if TYPE_CHECKING:
    from datetime import timedelta

    from pydantic import BaseModel

PROVED = "- **Proved with:**"
UNGUARDED = (
    "**It has neither an idempotency key nor a unique number.** Each invoice is looked for before it is made, and "
    "again after any answer that is not clear. One case stays open, see [guarantees](guarantees.md#what-stays-open): a "
    "machine that is paused as a whole in the middle of a send."
)


def capabilities(kind: Any) -> dict[str, Any]:
    """A platform's facts as a row."""
    facts = kind.facts
    return {
        "platform": facts.slug,
        "title": facts.title,
        "docs": facts.docs,
        "auth": facts.auth,
        "can": sorted(facts.can),
        "reference": facts.reference.field,
        "reference_unique": facts.reference.unique,
        "key_lives": _span(facts.key.lives) if facts.key else "for ever" if facts.once else None,
        "bulk": kind.Invoices.bulk,
        "quotas": [f"{quota.calls}{quota.of and f' {quota.of} calls'} in {_span(quota.per)}" for quota in facts.quotas],
        "concurrent": facts.concurrent,
        "quiet_seconds": facts.quiet.total_seconds(),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that stands in README.md and deploy/docs/platforms.md; tests/test_docs.py compares."""
    lines = [
        "| Platform | Login | Can | Our reference is in | Its key lives | Invoices a call | Quota | Quiet period |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (
            f"[{row['title']}]({row['docs']}) (`{row['platform']}`)",
            row["auth"],
            ", ".join(row["can"]),
            f"`{row['reference']}`" + (", unique" if row["reference_unique"] else ""),
            row["key_lives"] or "none",
            str(row["bulk"]),
            ", ".join((*row["quotas"], f"{row['concurrent']} at once")),
            f"{row['quiet_seconds']:g} s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(kind: Any) -> str:
    """A platform's section of deploy/docs/platforms.md: its docstring, with its credentials and settings in between."""
    about, proved, rest = (inspect.getdoc(kind) or "").partition(PROVED)
    facts = kind.facts
    guarded = facts.key or facts.once or facts.reference.unique
    tables = [_table("Credential", kind.Credentials), _table("Setting", kind.Settings)]
    parts = [f"## {facts.title}", about.strip(), "" if guarded else UNGUARDED, *tables, f"{proved}{rest}".strip()]
    return "\n\n".join(filter(None, parts))


def _table(heading: str, model: type[BaseModel]) -> str:
    return "\n".join([f"| {heading} | Default | Meaning |", "|---|---|---|", *_rows(model)])


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = (
            "required"
            if value is PydanticUndefined
            else "none"
            if value is None
            else f"`{json.dumps(value, default=str)}`"
        )
        yield f"| `{name}` | {default} | {' '.join((field.description or '').split())} |"


def _span(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}" + ("" if seconds == length else "s")
    return f"{seconds} s"
