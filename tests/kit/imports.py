"""Who imports whom, read from the source text: what the rules of the house and the pictures of it are held against."""

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("connectors", "worker", "tasks", "tests")


def sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Every Python file of ours with its dotted name."""
    for package in OURS:
        for path in sorted((root / package).rglob("*.py")):
            yield ".".join(path.relative_to(root).with_suffix("").parts), path


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imported(name: str, source: str) -> Iterator[str]:
    """What a module imports, inside functions too; relative imports and submodules by their full name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(name.split(".")[: -node.level]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports(root: Path) -> dict[str, set[str]]:
    """For every module of ours that runs (no tests): the others of ours that it imports, inside functions too."""
    running = {name: path for name, path in sources(root) if not within(name, "tests")}
    modules = {name.removesuffix(".__init__") for name in running}
    return {
        name.removesuffix(".__init__"): {
            found
            for each in imported(name, path.read_text(encoding="utf-8"))
            if (found := _module(each, modules)) and found != name.removesuffix(".__init__")
        }
        for name, path in running.items()
    }


def _module(imported_name: str, modules: Set[str]) -> str:
    """The module of ours that an imported name stands in; "" for somebody else's."""
    while imported_name and imported_name not in modules:
        imported_name = imported_name.rpartition(".")[0]
    return imported_name


def reached(start: str, arrows: Mapping[str, Set[str]]) -> set[str]:
    """Everything that arrows lead to from `start`, directly or further on; `start` itself only if it is in a circle."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = arrows.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


def bare(arrows: Mapping[str, Set[str]]) -> set[tuple[str, str]]:
    """The arrows without those that a longer way of arrows replaces: what a picture needs. There must be no circle."""
    return {
        (here, there)
        for here, ends in arrows.items()
        for there in ends
        if not any(there in reached(other, arrows) for other in ends - {there})
    }
