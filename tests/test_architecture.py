"""The pictures and tables of the architecture page are true: they are held against the imports."""

import re
from collections.abc import Iterator
from inspect import signature
from itertools import pairwise, product

import pytest

from tests.kit.imports import ROOT, bare, imports
from worker import app, bells

PAGE = (ROOT / "deploy" / "docs" / "architecture.md").read_text(encoding="utf-8")
NODE = r'\w+(?:\["[^"]+"\])?'
LINE = re.compile(rf"(?:{NODE}(?: & {NODE})*(?: --> | -\. \w+ \.-> |$))+")
IMPORTS = imports(ROOT)
NO_SUCH = set[str]()


def section(heading: str) -> str:
    return re.split(r"^## ", PAGE.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def arrows(part: str) -> Iterator[tuple[str, str, str]]:
    """(from, to, what is written on it) of every arrow of the part's picture; "" on a solid one."""
    picture = re.search(r"```mermaid\nflowchart \w+\n(.*?)```", part, re.DOTALL)
    assert picture, "the picture is gone"
    labels = dict(re.findall(r'(\w+)\["([^"]+)"\]', picture[1]))
    for line in map(str.strip, picture[1].splitlines()):
        assert LINE.fullmatch(line), f"this test cannot read the line {line!r}"
        stops = re.split(r" --> | -\. \w+ \.-> ", line)
        written = [found[1] or "" for found in re.finditer(r" --> | -\. (\w+) \.-> ", line)]
        for (left, right), word in zip(pairwise(stops), written, strict=True):
            for here, there in product(left.split(" & "), right.split(" & ")):
                yield labels[here.partition("[")[0]], labels[there.partition("[")[0]], word


def table(heading: str) -> dict[str, tuple[str, ...]]:
    """First cell → what stands in backticks in the last one."""
    lines = PAGE.split(f"\n{heading}\n|---", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return {row[0].strip("`"): tuple(re.findall(r"`([^`]+)`", row[-1])) for row in cells}


ROOMS = table("| Room | What happens there | Imports |")


def room(module: str) -> str:
    """The room that a module stands in: itself, its folder, or the loose files of its folder."""
    path = module.replace(".", "/")
    folder, _, rest = path.partition("/")
    below = f"{folder}/{rest.partition('/')[0]}"
    loose = f"{folder}/*.py"
    return next((one for one in (f"{path}.py", below, loose, folder) if one in ROOMS), f"no room for {path}")


def between_rooms() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for here, others in IMPORTS.items():
        found.setdefault(room(here), set()).update(map(room, others))
    return {name: others - {name} for name, others in found.items()}


def module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def test_the_picture_of_the_rooms_has_the_arrows_of_the_imports():
    drawn = [(here, there) for here, there, _ in arrows(section("The rooms"))]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == bare(between_rooms())


def test_the_table_of_the_rooms_has_every_import():
    assert {name: set(others) for name, others in ROOMS.items()} == between_rooms()


def test_every_module_of_worker_and_tasks_is_named_once():
    there: dict[str, list[str]] = {}
    for one in sorted(one for one in IMPORTS if one.startswith(("worker.", "tasks."))):
        path = one.replace(".", "/")
        if {path, f"{path}.py"}.isdisjoint(ROOMS) and "__main__" not in one and "migrations" not in one:
            there.setdefault(room(one), []).append(one.rpartition(".")[2])
    assert {name: sorted(files) for name, files in table("| Room | Files |").items()} == there


def test_the_files_on_the_way_of_an_event_import_each_other_or_ring():
    for here, there, ring in arrows(section("The way of one event")):
        if ring:
            assert f"bells.{ring}" in (ROOT / here).read_text(encoding="utf-8"), f"{here} does not {ring}"
            assert _woken_by(ring) in (ROOT / there).read_text(encoding="utf-8"), f"{ring} does not wake {there}"
        else:
            assert module(there) in IMPORTS.get(module(here), NO_SUCH), f"{here} does not import {there}"


def _woken_by(ring: str) -> str:
    """How the task is declared that a ring of that name starts."""
    rung: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bells, "_ring", lambda task, queue, kwargs: rung.append(task))
        function = getattr(bells, ring)
        function(*("" for _ in signature(function).parameters))
    names = {value: name for name, value in vars(app).items() if isinstance(value, str)}
    return f"@celery.task(name={names[rung[0]]}"


def test_a_way_of_arrows_replaces_an_arrow():
    assert bare({"a": {"b", "c"}, "b": {"c"}}) == {("a", "b"), ("b", "c")}
