"""The GraphQL that is emulated: parses a document, checks it against a schema, and gives what it selects.

The part of the language that clients of Wave and Shopify need (GraphQL, June 2018): one operation, variables with
types, arguments, nested selections, aliases; no fragments, directives or unions. A schema is written as lines
`Type: field field(argument argument):Type`; a field without a type is a leaf, lists are not marked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(r'\s*(?:,\s*)*([A-Za-z_]\w*|\$\w+|-?\d+(?:\.\d+)?|"(?:[^"\\\n]|\\.)*"|[(){}\[\]:!=])')
FIELD = re.compile(r"(\w+)(?:\(([\w ]*)\))?(?::(\w+))?")


class Invalid(Exception):
    """The document is not of the language, or not of the schema."""


@dataclass
class Selected:
    """A field of a selection: under which name its value is given, with what arguments, and what of it is wanted."""

    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    inner: list[Selected] = field(default_factory=list)


@dataclass
class Operation:
    kind: str
    variables: dict[str, str]
    """Each variable's type, as it is written: "ID!"."""
    selection: list[Selected]


class Schema:
    """Which fields the types have, with which arguments, and of what type they are ("" for a leaf)."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, dict[str, tuple[set[str], str]]] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            name, _, fields = line.partition(": ")
            found = self.types.setdefault(name, {})
            for one in FIELD.finditer(fields):
                found[one[1]] = (set((one[2] or "").split()), one[3] or "")

    def check(self, operation: Operation) -> None:
        """Raises `Invalid` where the operation does not fit."""
        self._check(operation.selection, operation.kind.capitalize(), operation.variables)

    def _check(self, selection: list[Selected], kind: str, variables: Mapping[str, str]) -> None:
        for one in selection:
            if one.name not in self.types.get(kind, {}):
                raise Invalid(f'Cannot query field "{one.name}" on type "{kind}".')
            arguments, inner = self.types[kind][one.name]
            for name, value in one.arguments.items():
                if name not in arguments:
                    raise Invalid(f'Unknown argument "{name}" on field "{one.name}" of type "{kind}".')
                if isinstance(value, Variable) and value.name not in variables:
                    raise Invalid(f'Variable "${value.name}" is not defined.')
            if bool(inner) != bool(one.inner):
                wanted = "must have" if inner else "must not have"
                raise Invalid(f'Field "{one.name}" {wanted} a selection of subfields.')
            self._check(one.inner, inner, variables)

    def chosen(self, kind: str, value: Any, selection: list[Selected], resolve: Callable[..., Any]) -> Any:
        """What the selection takes of a value of that type. `resolve(kind, value, name, arguments)` gives a field."""
        if isinstance(value, list):
            return [self.chosen(kind, one, selection, resolve) for one in value]
        if value is None:
            return None
        found = {}
        for one in selection:
            inner = self.types[kind][one.name][1]
            given = resolve(kind, value, one.name, one.arguments)
            found[one.alias] = self.chosen(inner, given, one.inner, resolve) if inner else given
        return found


@dataclass(frozen=True)
class Variable:
    name: str


def parsed(document: str) -> Operation:
    """Raises `Invalid`."""
    tokens: list[str] = []
    at, text = 0, document.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise Invalid(f"Syntax Error: unexpected character at {at}.")
        tokens.append(match[1])
        at = match.end()
    parser = _Parser(tokens)
    operation = parser.operation()
    if parser.tokens:
        raise Invalid(f'Syntax Error: unexpected "{parser.tokens[0]}".')
    return operation


def filled(operation: Operation, given: Mapping[str, Any]) -> None:
    """Puts the variables' values in their places. Raises `KeyError` for one that is wanted and not given."""
    for name, kind in operation.variables.items():
        if kind.endswith("!") and given.get(name) is None:
            raise KeyError(name)

    def fill(selection: list[Selected]) -> None:
        for one in selection:
            for name, value in list(one.arguments.items()):
                if isinstance(value, Variable):
                    one.arguments[name] = given.get(value.name)
            fill(one.inner)

    fill(operation.selection)


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def take(self, *wanted: str) -> str:
        if not self.tokens or (wanted and self.tokens[0] not in wanted):
            found = self.tokens[0] if self.tokens else "the end"
            raise Invalid(f'Syntax Error: expected {" or ".join(wanted) or "more"}, found "{found}".')
        return self.tokens.pop(0)

    def next_is(self, token: str) -> bool:
        return bool(self.tokens) and self.tokens[0] == token

    def operation(self) -> Operation:
        kind = "query" if self.next_is("{") else self.take("query", "mutation")
        if self.tokens and re.fullmatch(r"\w+", self.tokens[0]):
            self.take()
        variables = {}
        if self.next_is("("):
            self.take("(")
            while not self.next_is(")"):
                name = self.take().removeprefix("$")
                self.take(":")
                variables[name] = self.type()
            self.take(")")
        return Operation(kind, variables, self.selection())

    def type(self) -> str:
        found = self.take()
        if found == "[":
            found += self.type() + self.take("]")
        return found + (self.take("!") if self.next_is("!") else "")

    def selection(self) -> list[Selected]:
        self.take("{")
        found = []
        while not self.next_is("}"):
            alias = name = self.take()
            if self.next_is(":"):
                self.take(":")
                name = self.take()
            one = Selected(name, alias)
            if self.next_is("("):
                self.take("(")
                while not self.next_is(")"):
                    argument = self.take()
                    self.take(":")
                    one.arguments[argument] = self.value()
                self.take(")")
            one.inner = self.selection() if self.next_is("{") else []
            found.append(one)
        self.take("}")
        return found

    def value(self) -> Any:
        word = self.take()
        if word == "[":
            found = []
            while not self.next_is("]"):
                found.append(self.value())
            self.take("]")
            return found
        if word.startswith("$"):
            return Variable(word[1:])
        if word.startswith('"'):
            return word[1:-1]
        if re.fullmatch(r"-?\d+", word):
            return int(word)
        return {"true": True, "false": False, "null": None}.get(word, word)
