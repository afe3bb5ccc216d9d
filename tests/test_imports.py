"""The rules of the house that a reader cannot see in one file: who may import whom, and what is never written."""

import ast
import re
from collections import defaultdict
from collections.abc import Mapping, Set
from pathlib import Path

import pytest

from tests.kit.imports import ROOT, imported, imports, reached, sources, within

# Where a module may be imported, as (module, allowed importers); both stand for everything below them too.
ONLY_HERE = {
    "sqlalchemy": ("worker.store", "tests"),
    "alembic": ("worker.store", "tests"),
    "requests": ("connectors.http", "tests"),
    "celery": ("worker.app", "worker.results", "worker.__init__", "tasks", "tests"),
}
NEVER_THERE = {
    "connectors": ("worker", "tasks", "tests"),
    "worker": ("tasks", "tests"),
    "tasks": ("tests",),
    "connectors.sandbox": ("connectors.platforms", "connectors.model", "connectors.http", "connectors.errors"),
}
NEVER_WRITTEN = {
    "tasks": (r"\b(countdown|eta)\s*=", r"\.retry\("),
    "tests": (r"\btime\.sleep\(", r"\basyncio\.sleep\((?!0\))", r"from time import .*\bsleep\b"),
}
CIRCLES_OF_TYPES = {  # a part that names the class of what it is a part of, for its type only
    ("connectors.platforms.base", "connectors.platforms.documents"),
    ("connectors.platforms.cin7_core", "connectors.platforms.cin7_core_documents"),
    ("connectors.platforms.freshbooks", "connectors.platforms.freshbooks_documents"),
    ("connectors.platforms.oracle_erp", "connectors.platforms.oracle_erp_documents"),
    ("connectors.platforms.sage", "connectors.platforms.sage_documents"),
    ("connectors.platforms.square", "connectors.platforms.square_documents"),
    ("connectors.platforms.stripe", "connectors.platforms.stripe_credits"),
    ("connectors.platforms.zoho_books", "connectors.platforms.zoho_books_documents"),
    ("connectors.sandbox.odoo_books", "connectors.sandbox.odoo_matching"),
    ("connectors.sandbox.oracle_erp", "connectors.sandbox.oracle_erp_credits"),
    ("connectors.sandbox.qbo_books", "connectors.sandbox.qbo_invoices", "connectors.sandbox.qbo_memos"),
}
LINES_OF_A_FUNCTION = 40
LONGER = {  # these may shrink, not grow
    "worker.store.jobs.free": 43,
    "worker.store.migrations.versions.0001_tables.jobs": 45,  # one table, and a migration is not rewritten
}
WRITTEN_FREELY = ("tests.kit", "tests.bench", "tests.test_imports")


def plug_ins(root: Path) -> set[str]:
    """The platforms: what has both a connector and an emulator. The other files there are the base they share."""
    files = ({path.stem for path in (root / "connectors" / folder).glob("*.py")} for folder in ("platforms", "sandbox"))
    return set.intersection(*files) - {"__init__", "base"}


def wrong_import(name: str, module: str, platforms: set[str]) -> bool:
    """Whether the module `name` must not import `module`."""
    back = any(within(name, here) and within(module, *there) for here, there in NEVER_THERE.items())
    stray = any(within(module, owned) and not within(name, *allowed) for owned, allowed in ONLY_HERE.items())
    return back or stray or to_another_platform(name, module, platforms)


def to_another_platform(name: str, module: str, platforms: set[str]) -> bool:
    """A platform knows the base and itself, the base knows no platform; so it is for the emulators."""
    for package in ("connectors.platforms", "connectors.sandbox"):
        if within(name, package) and within(module, package) and not name.endswith(".__init__"):
            here, there = (
                owner(one.removeprefix(package).strip(".").split(".")[0], platforms) for one in (name, module)
            )
            return there not in (None, here)
    return False


def owner(stem: str, platforms: set[str]) -> str | None:
    """The platform a file belongs to, such as stripe.py and stripe_lines.py; None for the base."""
    matching = [slug for slug in platforms if stem == slug or stem.startswith(f"{slug}_")]
    return max(matching, key=len, default=None)


def violations(root: Path) -> list[str]:
    """Every breach as one line that names the file and the rule."""
    found, platforms = [], plug_ins(root)
    for name, path in sources(root):
        source = path.read_text()
        found += [
            f"{name} imports {module}" for module in imported(name, source) if wrong_import(name, module, platforms)
        ]
        if len(source.splitlines()) > 400:
            found.append(f"{name} is longer than 400 lines")
        if path.stem in ("utils", "helpers", "util", "helper"):
            found.append(f"{name} has a name that says nothing")
        for package, patterns in NEVER_WRITTEN.items():
            if within(name, package) and not within(name, *WRITTEN_FREELY):
                found += [f"{name} writes {match[0]}" for pattern in patterns for match in re.finditer(pattern, source)]
    return found


def circles(arrows: Mapping[str, Set[str]]) -> set[tuple[str, ...]]:
    """Groups of names, sorted, in which each leads to each."""
    ahead = {name: reached(name, arrows) for name in arrows}
    return {tuple(sorted(other for other in ahead[name] if name in ahead.get(other, ()))) for name in arrows} - {()}


def folder(module: str) -> str:
    """Where a module stands. What everybody may interrupt at is a ground of its own."""
    name = module.replace(".", "/")
    return name if module == "worker.testpoints" or (ROOT / name).is_dir() else name.rpartition("/")[0]


def too_long(name: str, source: str) -> list[str]:
    """The functions of a module that are longer than they may be, with their lines."""
    functions = [
        each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = ((f"{name}.{each.name}", (each.end_lineno or 0) - each.lineno + 1) for each in functions)
    return [f"{name}: {lines}" for name, lines in lengths if lines > LONGER.get(name, LINES_OF_A_FUNCTION)]


def test_no_function_is_longer_than_a_screen():
    running = ((name, path) for name, path in sources(ROOT) if not within(name, "tests"))
    assert [each for name, path in running for each in too_long(name, path.read_text(encoding="utf-8"))] == []


def test_a_long_function_is_seen():
    assert too_long("a", "class B:\n    def c(self):\n" + "        x = 1\n" * 39) == []
    assert too_long("a", "class B:\n    async def c(self):\n" + "        x = 1\n" * 40) == ["a.c: 41"]


def test_no_modules_import_each_other_in_a_circle():
    """Inside functions and for types too: who reads the one must not have to read the other first."""
    assert circles(imports(ROOT)) == CIRCLES_OF_TYPES


def test_no_folders_import_each_other():
    between: dict[str, set[str]] = defaultdict(set)
    for module, others in imports(ROOT).items():
        between[folder(module)] |= {folder(other) for other in others} - {folder(module)}
    assert circles(between) == set()


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {("b", "c")}


def test_the_rules_hold():
    assert violations(ROOT) == []


WRONG = [  # file, source, and what is found in it
    ("connectors/http.py", "import worker.app", "imports worker.app"),
    ("connectors/model.py", "from tasks import recurring", "imports tasks.recurring"),
    ("worker/cli.py", "def go():\n    from tasks.recurring import seal", "imports tasks.recurring.seal"),
    ("tasks/seal.py", "from tests.kit import proxy", "imports tests.kit.proxy"),
    ("connectors/platforms/xero.py", "from .stripe import Stripe", "imports connectors.platforms.stripe.Stripe"),
    ("connectors/platforms/xero.py", "from connectors.platforms import stripe", "imports connectors.platforms.stripe"),
    (
        "connectors/platforms/xero_words.py",
        "from .stripe_words import say",
        "imports connectors.platforms.stripe_words.say",
    ),
    ("connectors/platforms/base.py", "import connectors.platforms.xero", "imports connectors.platforms.xero"),
    ("connectors/sandbox/xero.py", "from connectors.sandbox import stripe", "imports connectors.sandbox.stripe"),
    ("connectors/sandbox/xero.py", "from ..platforms import base", "imports connectors.platforms.base"),
    ("worker/ingest.py", "import sqlalchemy as sa", "imports sqlalchemy"),
    ("tasks/seal.py", "from sqlalchemy.orm import Session", "imports sqlalchemy.orm.Session"),
    ("worker/cli.py", "from alembic import command", "imports alembic.command"),
    ("connectors/auth.py", "import requests", "imports requests"),
    ("worker/ingest.py", "from celery import Celery", "imports celery.Celery"),
    ("connectors/long.py", "x = 1\n" * 401, "is longer than 400 lines"),
    ("worker/utils.py", "", "has a name that says nothing"),
    ("tasks/seal.py", "seal.apply_async(countdown=5)", "writes countdown="),
    ("tasks/seal.py", "seal.apply_async(eta = later)", "writes eta ="),
    ("tasks/seal.py", "raise self.retry()", "writes .retry("),
    ("tests/unit/test_x.py", "await asyncio.sleep(0.5)", "writes asyncio.sleep("),
    ("tests/unit/test_x.py", "import time\ntime.sleep(1)", "writes time.sleep("),
]

RIGHT = [
    ("connectors/http.py", "import requests\nfrom connectors.errors import Throttled"),
    ("connectors/platforms/xero.py", "from connectors.platforms.base import Facts\nfrom .base import Key"),
    ("connectors/platforms/xero.py", "from .xero_words import say"),
    ("connectors/platforms/__init__.py", "from connectors.platforms import xero"),
    ("connectors/platforms/base.py", "from connectors.platforms.documents import difference"),
    ("connectors/sandbox/xero.py", "from connectors.sandbox.base import Emulator"),
    ("worker/__init__.py", "import celery\nfrom worker.app import app"),
    ("worker/cli.py", "from worker.app import app"),
    ("worker/store/engine.py", "import sqlalchemy\nfrom alembic import command"),
    ("tasks/seal.py", "from celery import shared_task\nfrom worker.store import audit\nmeta = beta = 1"),
    ("tests/unit/test_x.py", "await asyncio.sleep(0)"),
    ("tests/kit/processes.py", "import time\ntime.sleep(0.05)"),
]


@pytest.fixture
def found(tmp_path):
    """What is found wrong in a tree with two platforms and one file more."""

    def look(file: str, source: str) -> list[str]:
        for folder in ("platforms", "sandbox"):
            (tmp_path / "connectors" / folder).mkdir(parents=True)
            for slug in ("xero", "stripe"):
                (tmp_path / "connectors" / folder / f"{slug}.py").touch()
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(source)
        return violations(tmp_path)

    return look


@pytest.mark.parametrize(("file", "source", "breach"), WRONG)
def test_a_breach_is_caught(found, file, source, breach):
    assert found(file, source) == [f"{file.removesuffix('.py').replace('/', '.')} {breach}"]


@pytest.mark.parametrize(("file", "source"), RIGHT)
def test_what_is_allowed_passes(found, file, source):
    assert found(file, source) == []
