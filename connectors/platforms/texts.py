"""Texts on their way to a platform: what fits, what is left out, and the business key inside a longer text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.errors import Rejected
from connectors.model import Address, InvoiceDraft, Party
from connectors.platforms.documents import CustomerDraft

BEFORE_KEY = " · "


def fits(what: str, text: str | None, most: int, title: str) -> str | None:
    """The text as it is. Raises `Rejected` where the platform takes fewer characters: nothing is ever cut."""
    if text and len(text) > most:
        raise Rejected(f"{what} is {len(text)} characters long, {title} takes {most}")
    return text


def without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that have a value: neither None nor an empty text, list or object."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def sized(fields: Mapping[str, str | None], longest: Mapping[str, int], whose: str, title: str) -> dict[str, Any]:
    """The fields of a platform that have a value, texts all. `longest`: characters that each holds. Raises `Rejected`
    naming one that is longer, and `whose` it is: nothing is ever cut."""
    named = {name: re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in fields}
    return without_empty(
        {name: fits(f"{whose} {named[name]}", text, longest[name], title) for name, text in fields.items()}
    )


PARTS = ("first line", "second line", "city", "region", "postcode", "country")
"""Of an address, in the order of `parts`."""


def parts(place: Address) -> list[str | None]:
    """Of an address, in this order: two lines, town, region, postcode, country."""
    return [place.line1, place.line2, place.city, place.region, place.postcode, place.country]


def placed(
    place: Address | None,
    names: Sequence[str],
    longest: Sequence[int] = (),
    title: str = "",
    country: Callable[[str], Any] = str,
) -> dict[str, Any]:
    """`parts` under a platform's own names for them, in that order; those that have a value, and a name. `longest`: the
    characters that each holds (0: as many as there are). Raises `Rejected` for a longer one. `country` says how the
    platform writes one."""
    if place is None:
        return {}
    for part, text, most in zip(PARTS, parts(place), longest, strict=False):
        fits(f"the {part} of the address", text, most or len(text or ""), title)
    written = dict(zip(names, parts(place), strict=True))
    if place.country:
        written[names[-1]] = country(place.country)
    return {name: text for name, text in written.items() if name and text}


def street(place: Address | None) -> str:
    """Both lines of an address, for where a platform has one field for them."""
    return "\n".join(filter(None, (place.line1, place.line2))) if place else ""


def on_one_line(place: Address | None) -> str:
    """An address for where a platform has no fields for it."""
    return ", ".join(part for part in parts(place) if part) if place else ""


def noted(said: Mapping[str, str | None]) -> str:
    """What a platform has no field for, a line each: "Tax ID: GB 1"."""
    return "\n".join(f"{name}: {text}" for name, text in said.items() if text)


def marked(draft: InvoiceDraft, most: int, title: str) -> str:
    """For people the order, then the whole business key, which `key_in` reads back; at most so many characters."""
    if BEFORE_KEY in draft.key or len(draft.key) + len(BEFORE_KEY) > most:
        raise Rejected(f"order {draft.order_ref}: its key does not fit into {title}'s field: {draft.key!r}")
    return f"{f'Order {draft.order_ref}'[: most - len(BEFORE_KEY) - len(draft.key)]}{BEFORE_KEY}{draft.key}"


def key_in(text: str | None) -> str | None:
    """The business key at the end of a text, None where there is none of ours."""
    _, found, key = (text or "").rpartition(BEFORE_KEY)
    return key.strip() if found else None


def short(key: str, most: int) -> str:
    """The key if it fits, else a shorter text made of it, the same for ever and another one for every other key."""
    if len(key) <= most:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: most - 21]}-{digest[:20]}" if most > 32 else digest[:most]


def first_and_last(party: Party) -> tuple[str, str]:
    """The given name and the family name, as far as a name can be told apart; of a single word the first."""
    first, _, last = (party.name or "").strip().rpartition(" ")
    return (first, last) if first else (last, "")


def literal(text: str) -> str:
    """A text in a filter or a key of OData (OData 4.01, URL conventions)."""
    return "'" + text.replace("'", "''") + "'"


def distinct_name(draft: CustomerDraft, home: str | None = None) -> str:
    """For platforms whose customers' names are unique: a company as it is, a person with what tells two of one name
    apart ("Ada Lovelace (C-9)"), for two people of one name must not get each other's invoices. `home`: the currency of
    the books, where a customer has one for ever; whoever orders in another is another customer, "… (EUR)"."""
    foreign = home is not None and draft.currency not in (None, home)
    return f"{_distinct(draft)} ({draft.currency})" if foreign else _distinct(draft)


def _distinct(draft: CustomerDraft) -> str:
    party = draft.party
    if party.company:
        return party.company.strip()
    mark = party.ref or party.email or hashlib.sha256(draft.key.encode()).hexdigest()[:8]
    if not party.name or party.display_name == mark:
        return party.display_name.strip()
    return f"{party.name.strip()} ({mark})"
