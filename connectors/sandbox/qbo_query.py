"""QuickBooks' query language as SQL over its objects.

Grammar from developer.intuit.com, "Query operations and syntax": one entity, conditions joined by AND only, the
operators IN, =, <, >, <=, >= and LIKE with `%`; a quote is escaped by a backslash; keywords, names and values
regardless of case; 100 rows unless MAXRESULTS says so, at most 1,000.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.qbo_bodies import Invalid

FIELDS: dict[str, dict[str, str]] = {
    "Customer": {
        "Id": "id", "DisplayName": "name", "Active": "active", "CompanyName": "", "GivenName": "", "FamilyName": "",
        "Balance": "",
    },
    "Vendor": {"Id": "id", "DisplayName": "name", "Active": "active"},
    "Invoice": {
        "Id": "id", "DocNumber": "name", "CustomerRef": "customer", "TxnDate": "day", "DueDate": "", "Balance": "",
        "TotalAmt": "",
    },
    "CreditMemo": {
        "Id": "id", "DocNumber": "name", "CustomerRef": "customer", "TxnDate": "day", "Balance": "",
    },
    "Payment": {"Id": "id", "CustomerRef": "customer", "TxnDate": "day", "TotalAmt": "", "PaymentRefNum": ""},
    "Item": {"Id": "id", "Name": "name", "Sku": "", "Type": "", "Active": "active"},
    "TaxCode": {"Id": "id", "Name": "name", "Active": "active"},
    "TaxRate": {"Id": "id", "Name": "name", "Active": "active"},
}  # fmt: skip
"""What can be filtered, with its column; "" where the document is looked into."""
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<op><=|>=|=|<|>)|(?P<punct>[(),*])|(?P<word>[\w.\-]+))", re.DOTALL
)


@dataclass
class Query:
    """A statement, ready to be run over the table of objects."""

    entity: str
    condition: str
    values: list[Any]
    order: str
    start: int
    most: int
    counts: bool


def broken(detail: str) -> Invalid:
    return Invalid("4000", "Error parsing query", f"QueryParserError: {detail}")


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                raise broken(f"Invalid content. Lexical error at line 1, column {position + 1}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()
        self.tokens.append(("end", ""))

    def next_is(self, *words: str) -> bool:
        return self.tokens[0][1].lower() in words

    def take(self, *words: str, kind: str = "") -> str:
        found, text = self.tokens[0]
        if (words and text.lower() not in words) or (kind and found != kind):
            raise broken(f'Encountered " <{found.upper()}> "{text}"" while expecting {" or ".join(words) or kind}')
        self.tokens.pop(0)
        return text

    def value(self) -> str:
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        if kind == "word":
            return text
        raise broken(f'Encountered " <{kind.upper()}> "{text}""')


def parse(text: str) -> Query:
    """Raises `Invalid`."""
    parser = _Parser(text)
    parser.take("select")
    counts = parser.next_is("count")
    for word in ("count", "(", "*", ")") if counts else ("*",):
        parser.take(word)
    parser.take("from")
    named = parser.take(kind="word")
    entity = next((known for known in FIELDS if known.lower() == named.lower()), None)
    if entity is None:
        raise Invalid("4001", "Invalid query", f"QueryValidationError: Invalid context declaration: {named}")
    conditions, values = ["kind = ?"], [entity]
    if parser.next_is("where"):
        parser.take("where")
        _condition(parser, entity, conditions, values)
        while parser.next_is("and"):
            parser.take("and")
            _condition(parser, entity, conditions, values)
    if "active" in FIELDS[entity].values() and not any(part.startswith("active") for part in conditions):
        conditions.append("active = 1")
    order = _order(parser, entity)
    start = int(parser.take("startposition") and parser.take(kind="word")) if parser.next_is("startposition") else 1
    most = int(parser.take("maxresults") and parser.take(kind="word")) if parser.next_is("maxresults") else 100
    if most > 1000:
        raise Invalid("4001", "Invalid query", "QueryValidationError: value 1000 is the max for maxresults")
    parser.take("")
    return Query(entity, " AND ".join(conditions), values, order, max(1, start), most, counts)


def _order(parser: _Parser, entity: str) -> str:
    if not parser.next_is("order", "orderby"):
        return "seq"
    if parser.take("order", "orderby").lower() == "order":
        parser.take("by")
    column = _column(entity, parser.take(kind="word"))
    return f"{column} {parser.take('asc', 'desc')}" if parser.next_is("asc", "desc") else column


def _column(entity: str, field: str) -> str:
    for known, column in FIELDS[entity].items():
        if known.lower() == field.lower():
            return column or f"lower(json_extract(doc, '$.{known}'))"
    raise Invalid(
        "4001", "Invalid query", f"QueryValidationError: Property {field} not found for Entity {entity}"
    )  # fmt: skip


def _condition(parser: _Parser, entity: str, conditions: list[str], values: list[Any]) -> None:
    column = _column(entity, parser.take(kind="word"))
    if parser.next_is("in"):
        parser.take("in")
        parser.take("(")
        wanted = [parser.value()]
        while parser.next_is(","):
            parser.take(",")
            wanted.append(parser.value())
        parser.take(")")
        conditions.append(f"{column} IN ({','.join('?' * len(wanted))})")
        values += [_bound(column, value) for value in wanted]
        return
    operator = parser.take("=", "<", ">", "<=", ">=", "like").lower()
    value = parser.value()
    conditions.append(f"{column} {operator} ?")
    values.append(_bound(column, value))


def _bound(column: str, value: str) -> Any:
    if column == "active":
        return int(value.lower() == "true")
    if "Balance" in column or "TotalAmt" in column:
        return str(float(value))
    return value.casefold()
