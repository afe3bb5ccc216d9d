"""What the bodies of web shops have in common: amounts as text or number, nulls for lists, taxes by the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from connectors.model import EventType, Order, Party, Tax, rounded
from connectors.sources.base import NotInvoiceable
from connectors.sources.wording import sentences

T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(lambda value: () if value in (None, {}) else value)]
"""A list that the shop may leave out as null (or, being PHP, as an empty object)."""
Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]
Said = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
"""Text or nothing; shops write nothing as an empty text."""


class Body(BaseModel):
    """A part of a shop's body: the fields we read; the shop may add others at any time."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class TaxPart:
    """One of the taxes on a line; `rate` in percent; a compound tax is charged on the taxes before it, too."""

    name: str
    rate: Decimal
    compound: bool = False


def one_tax(parts: Sequence[TaxPart], amount: Decimal) -> Tax | None:
    """The taxes of a line as one: rates summed, names joined; None if there is no tax on it at all."""
    if not parts:
        return None
    rate = Decimal(0)
    for part in sorted(parts, key=lambda each: each.compound):
        rate += part.rate * (100 + rate) / 100 if part.compound else part.rate
    names = dict.fromkeys(part.name for part in parts)
    return Tax(name=" + ".join(names), rate=plain(rate), amount=amount)


def plain(number: Decimal) -> Decimal:
    """The number without superfluous zeros or exponent, to ten decimals."""
    return Decimal(format(round(number, 10).normalize(), "f"))


def unit_price(subtotal: Decimal, quantity: Decimal, currency: str) -> Decimal:
    """The price with the fewest decimals (two to ten) that, times `quantity`, rounds to `subtotal` exactly.

    For shops that state a line's amount, not its price; 10.00 for three is 3.333 each.
    """
    for places in range(2, 11):
        price = round(subtotal / quantity, places)
        if rounded(price * quantity, currency) == subtotal:
            return price
    return round(subtotal / quantity, 10)


def spread(amounts: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Each rounded to the currency, so that together they are the rounded sum."""
    exact = done = Decimal(0)
    shares = []
    for amount in amounts:
        exact += amount
        shares.append(rounded(exact, currency) - done)
        done = rounded(exact, currency)
    return shares


def check_tax(order: Order, stated: Decimal) -> None:
    """Raises `NotInvoiceable` if the taxes of the lines are not the tax that the shop states for the order."""
    if difference := stated - order.tax_total():
        raise NotInvoiceable(
            f"the tax of the order is {stated} {order.currency}, but the taxes of its lines and shipping"
            f" sum up to {order.tax_total()}, a difference of {difference}"
        )


def attributes(pairs: Any, name: str, value: str) -> dict[str, str]:
    """What the customer had made of it (engraving, colour), from the shop's list of name and value; hidden ones not."""
    found: dict[str, str] = {}
    for pair in pairs if isinstance(pairs, list) else []:
        if not isinstance(pair, dict) or isinstance(pair.get(value), dict | list | None):
            continue
        label = str(pair.get(name) or "")
        if label and not label.startswith("_"):
            found[label[:200]] = str(pair[value])[:4000]
    return found


def full_name(*names: str | None) -> str | None:
    return " ".join(name.strip() for name in names if name and name.strip()) or None


def country_code(code: str | None) -> str | None:
    return code.upper() if code else None


def party(**said: str | None) -> Party:
    """A customer from whatever the shop knows; what is only white space counts as nothing."""
    return Party(**{key: value.strip() or None for key, value in said.items() if value})


@contextmanager
def speaking_of(label: str, type: EventType | None, order_id: str | None) -> Iterator[None]:
    """Makes every failure inside a `NotInvoiceable` that says which order it is about.

    For a refund both are None: what cannot be read of it is held, whether or not its order has an invoice.
    """
    try:
        yield
    except ValidationError as error:
        raise NotInvoiceable(f"{label}: {sentences(error)}", type=type, order_id=order_id) from None
    except NotInvoiceable as error:
        raise NotInvoiceable(f"{label}: {error.reason}", type=type, order_id=order_id) from None
    except ArithmeticError:
        raise NotInvoiceable(f"{label}: one of its amounts is absurdly large", type=type, order_id=order_id) from None
