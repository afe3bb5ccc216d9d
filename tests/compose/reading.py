"""compose.yaml as Docker Compose reads it: anchors merged, variables put in."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.kit.processes import ROOT

FILE = ROOT / "compose.yaml"
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<rest>[^}]*))?\})")


class Missing(Exception):
    """Compose refuses to start: a variable without which nothing may run is not set."""


def written() -> dict[str, Any]:
    """The file with its anchors, variables as they are written."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file as it runs under these variables. Raises `Missing`."""
    found: dict[str, Any] = _with(written(), variables)
    return found


def variables() -> dict[str, str | None]:
    """Every variable of the file with its default; None where there is none and nothing starts without it."""
    text = FILE.read_text(encoding="utf-8")
    return {
        found["name"]: found["rest"] if found["how"] == ":-" else None
        for found in VARIABLE.finditer(text)
        if found["name"]
    }


def _with(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with(inner, variables) for inner in value]
    return VARIABLE.sub(lambda found: _put_in(found, variables), value) if isinstance(value, str) else value


def _put_in(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = variables.get(found["name"], "")
    if not value and found["how"] == ":?":
        raise Missing(f"{found['name']} {found['rest']}")
    return value or (found["rest"] or "" if found["how"] == ":-" else "")
