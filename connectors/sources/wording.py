"""Validation errors in the words of the person who must correct the data."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from connectors.model import NO_NUL

_MOST = 50
"""Errors told at once; who has more has another problem."""

_NUL = "must not contain the NUL character"
_NUMBER = 'is not an amount; write it as text, like "12.50"'
_TIME = "is not a time with a time zone, like 2026-11-22T10:00:00Z"
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field that Billhook knows",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "finite_number": _NUMBER,
    "decimal_max_digits": "has too many digits",
    "decimal_whole_digits": "is too large",
    "decimal_max_places": "has more than {decimal_places} decimals",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "enum": "must be one of {expected}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} elements",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
}
_ABOUT = {
    "does_not_add_up": "total",
    "no_lines": "lines",
    "too_large": "lines",
    "no_order": "order",
    "order_twice": "order",
    "refund": "refund",
}
"""Errors of a whole order or event, and the field where the reader should look."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A wrong field: where it is (`order.lines.0.quantity`, "" for the whole) and what is wrong with it."""

    path: str
    message: str

    @property
    def sentence(self) -> str:
        """Path and message in one; only the message where it names the field itself."""
        return (
            self.message if self.message.startswith(self.path.removeprefix("order.")) else f"{self.path} {self.message}"
        )


def field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """Each wrong field once, in the order of the data; values are never repeated, for they may be personal."""
    details = error.errors(include_url=False, include_input=False)
    wrong = {each["loc"] for each in details}
    told = (each for each in details if not _follows(each["loc"], wrong))
    return tuple(dict.fromkeys(_field_error(each) for each in told))[:_MOST]


def sentences(error: ValidationError) -> str:
    """The first few errors as one line of text."""
    errors = field_errors(error)
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return "; ".join(each.sentence for each in errors[:3]) + more


def _follows(loc: tuple[int | str, ...], wrong: set[tuple[int | str, ...]]) -> bool:
    """`ref` defaults to `id`, so a wrong id makes both wrong; only the id is the reader's mistake."""
    return loc[-1:] == ("ref",) and (*loc[:-1], "id") in wrong


def _field_error(detail: ErrorDetails) -> FieldError:
    kind, context = detail["type"], detail.get("ctx", {})
    loc = [str(part)[:100] for part in detail["loc"] if part != "[key]"]
    if kind == "too_many_decimals":
        loc.append(str(context["path"]))
    elif kind in _ABOUT:
        loc.append(_ABOUT[kind])
    template = _NUL if kind == "string_pattern_mismatch" and context["pattern"] == NO_NUL else _WORDS.get(kind)
    message = template.format_map(context) if template else detail["msg"].replace("Input should", "should")
    return FieldError(".".join(loc), message)
