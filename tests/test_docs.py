"""The docs are true: what they show runs, what exists is described, and every link leads somewhere."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.testing import CliRunner

from connectors.model import Event, EventType
from connectors.platforms.base import platforms
from connectors.sandbox.faults import Fault
from connectors.sources.base import kinds, source
from worker import config
from worker.cli import capabilities
from worker.cli.main import app
from worker.config import load
from worker.ingest.answers import Problem
from worker.ingest.openapi import EXAMPLE, document
from worker.store.figures import FINAL

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "deploy" / "docs"
PAGES = sorted((*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"))
README_COMMANDS = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/billhook demo",
    "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest",
)
ON_THE_WAY = {"pending", "claimed", "sending", "retry", "uncertain"}
SECTIONS: dict[str, type[BaseModel]] = {
    "[billhook]": config.Runtime,
    "[billhook.flower]": config.Flower,
    "[billhook.logs]": config.Logs,
    "[billhook.metrics]": config.Metrics,
    "[billhook.timing]": config.Timing,
    "[shop.<name>]": config.Shop,
    "[shop.<name>.source.<name>]": config.Source,
    "[shop.<name>.account.<name>]": config.Account,
    "[[shop.<name>.route]]": config.Route,
    "[shop.<name>.notify.email]": config.Email,
    "[shop.<name>.brake]": config.Brake,
}
TABLES_OF_THEIR_OWN = {"flower", "logs", "metrics", "timing", "source", "account", "route", "notify", "brake"}
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|tmp|home|root|Users|opt|mnt)/|\bvm-\d|shared/")

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def doc(name: str) -> str:
    return text(DOCS / f"{name}.md")


def every_page() -> str:
    return "\n".join(map(text, PAGES))


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language, without the indentation of a list they stand in."""
    fenced = re.compile(rf"^( *)```{language}\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE) for found in fenced.finditer(page)]


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    start = page.index(f"\n{heading}\n") + len(heading) + 2
    following = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(page, start)
    return page[start : following.start() if following else len(page)]


def rows(part: str) -> Iterator[tuple[str, ...]]:
    """The rows of all tables of a part, without their backticks; the heads too."""
    for line in part.splitlines():
        if line.startswith("| "):
            yield tuple(cell.strip().strip("`") for cell in line.strip("|").split(" | "))


def shown(field: Any) -> str:
    """A setting's default as the tables write it."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    return json.dumps(value, default=str)


def settings(model: type[BaseModel], leaving_out: frozenset[str] = frozenset()) -> dict[str, str]:
    found = {(field.alias or name): shown(field) for name, field in model.model_fields.items()}
    return {name: default for name, default in found.items() if name not in leaving_out}


def described(part: str) -> dict[str, str]:
    return {row[0]: row[1] for row in rows(part) if len(row) == 3 and not row[0].startswith(("-", "Setting"))}


# -- README ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", README_COMMANDS)
def test_readme_has_its_commands_each_on_a_line_of_its_own(command: str) -> None:
    assert [command] in [block.splitlines() for block in blocks(text(ROOT / "README.md"), "sh")]


def test_readme_shows_a_demo_that_went_well() -> None:
    (output,) = blocks(text(ROOT / "README.md"), "text")
    numbers = dict(re.findall(r"^(\w+(?: \w+)*) {2,}(\d+)", output, re.MULTILINE))
    assert (numbers["doubles"], numbers["missing"]) == ("0", "0")
    assert numbers["orders"] == numbers["invoices"].split()[0] == numbers["mails"]
    assert output.splitlines()[-1] == "Every order has exactly one invoice."


def test_readme_s_picture_is_a_picture_with_words_for_who_cannot_see_it() -> None:
    picture = (DOCS / "flow.svg").read_text(encoding="utf-8")
    assert "deploy/docs/flow.svg" in text(ROOT / "README.md")
    assert "<title" in picture
    assert "<desc" in picture
    assert all(name in picture for name in ("ingest", "handle_events", "create_invoices", "notify_customers"))


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "platforms.md"], ids=["README", "platforms"])
def test_the_table_of_platforms_is_what_the_facts_say(page: Path) -> None:
    made = CliRunner().invoke(app, ["platforms", "--markdown"]).output
    there = re.search(r"<!-- billhook platforms --markdown -->\n(.*?)<!-- end -->", text(page), re.DOTALL)
    assert there, f"{page.name} has lost the marks around its table"
    assert there[1] == made, "paste the output of `billhook platforms --markdown` between the marks"


# -- what exists is described ------------------------------------------------------------------------------------------


def commands(group: Any, path: str = "billhook") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_and_option_is_described() -> None:
    told = every_page()
    missing = [
        name
        for name, command in commands(typer.main.get_command(app))
        for name in (
            name,
            *(
                option
                for parameter in command.params
                if isinstance(parameter, click.Option) or hasattr(parameter, "opts")
                for option in (parameter.opts[-1:] if parameter.param_type_name == "option" else ())
                if option != "--help"
            ),
        )
        if name not in told
    ]
    assert not missing, f"say in deploy/docs what these are for: {missing}"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_described_with_its_default(heading: str) -> None:
    there = described(section(doc("configuration"), f"## `{heading}`"))
    assert there == settings(SECTIONS[heading], frozenset(TABLES_OF_THEIR_OWN))


def _options() -> dict[tuple[str, str], str]:
    """The default of each option, by kind and name."""
    return {(kind, name): default for kind in kinds() for name, default in settings(source(kind).options_model).items()}


def test_every_option_of_a_source_is_described() -> None:
    """A row may speak of several kinds: "`ups`, `fedex`"."""
    part = section(doc("configuration"), "## `[shop.<name>.source.<name>]`")
    there = {
        (kind.strip("` "), row[0]): row[2]
        for row in rows(part)
        if len(row) == 4 and row[0] != "Option" and not row[0].startswith("-")
        for kind in row[1].split(",")
    }
    assert there == _options()
    assert all(f'`"{kind}"`' in part for kind in kinds())


def test_the_sections_of_the_platforms_are_what_the_code_says() -> None:
    made = CliRunner().invoke(app, ["platforms", "--pages"]).output
    there = re.search(r"<!-- billhook platforms --pages -->\n(.*?)<!-- end -->", doc("platforms"), re.DOTALL)
    assert there
    assert there[1].strip() == made.strip(), "paste the output of `billhook platforms --pages` between the marks"


@pytest.mark.parametrize("slug", platforms())
def test_a_platform_says_what_its_settings_mean_what_is_proved_and_what_is_open(slug: str) -> None:
    kind = platforms()[slug]
    part = capabilities.page(kind)
    for model in (kind.Credentials, kind.Settings):
        undescribed = [name for name, field in model.model_fields.items() if not field.description]
        assert not undescribed, f"{model.__name__}: say in Field(description=…) what these mean"
    assert "- **Open:**" in part, "say what remains unverified"
    proved = part.partition("- **Proved with:**")[2].partition("- **Open:**")[0]
    assert proved
    proofs = (ROOT / "tests" / "contract" / f"test_{slug}_proof.py").is_file()
    assert not (" drives " in proved and not proofs), "no claim without a test"


def test_every_environment_variable_is_described() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("worker", "connectors", "tasks", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if folder != "tests" or path.name == "conftest.py"
    )
    told = doc("configuration") + text(ROOT / "CONTRIBUTING.md")
    used = set(re.findall(r"\bBILLHOOK_[A-Z]+(?:_[A-Z]+)*\b", code)) - {"BILLHOOK_TEST_SESSION"}
    assert not {name for name in used if f"`{name}`" not in told}


def test_every_state_of_a_job_is_described() -> None:
    cells = [row[0] for row in rows(section(doc("architecture"), "## States"))]
    there = {name.strip("`") for cell in cells for name in cell.split(", ")} - {"State", "---"}
    assert {name for name in there if name.isalpha()} == FINAL | ON_THE_WAY


def test_every_type_of_event_and_every_answer_is_described() -> None:
    assert not {kind.value for kind in EventType if f"`{kind.value}`" not in doc("events")}
    answers = document()["paths"]["/events"]["post"]["responses"]
    assert {row[0] for row in rows(section(doc("events"), "### Answers")) if row[0].isdigit()} == set(answers)
    assert not {path for path in document()["paths"] if path not in doc("events")}


def test_every_fault_of_the_sandbox_is_described() -> None:
    assert not {fault.value for fault in Fault if f"`{fault.value}`" not in doc("operations")}


def test_every_reason_to_hold_that_operations_explains_is_given_somewhere() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("tasks", "worker", "connectors")
        for path in sorted((ROOT / folder).rglob("*.py"))
    )
    (table,) = re.findall(r"^\| The reason says .*?\n\n", doc("operations"), re.MULTILINE | re.DOTALL)
    quoted = [part for line in table.splitlines()[2:] for part in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    assert len(quoted) > 15
    assert not [part for part in quoted if part not in code], "no code gives these reasons any more"


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"## Always": project["dependencies"]}
    wanted |= {f"## `[{extra}]`": packages for extra, packages in project["optional-dependencies"].items()}
    for heading, requirements in wanted.items():
        there = dict(row for row in rows(section(doc("dependencies"), heading)) if row[0] not in ("Package", "---"))
        there.pop("---|---", None)
        names = {re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in requirements}
        assert {name for name in there if not set(name) <= set("-|")} == names, heading
        assert all(len(reason) > 5 for reason in there.values())


# -- what is shown is true ---------------------------------------------------------------------------------------------


class Anything(Mapping[str, str]):
    """An environment in which every variable is set, each to a value of its own that any setting takes."""

    def __getitem__(self, name: str) -> str:
        if name.startswith("BILLHOOK_"):
            raise KeyError(name)
        given = {"SMTP": "smtp://mail.example", "WHSEC": "whsec_YmlsbGhvb2s="}
        return next((value for part, value in given.items() if part in name), f"a-value-for-{name.lower()}")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


EXAMPLES = [(page.name, block) for page in PAGES for block in blocks(text(page), "toml")]


@pytest.mark.parametrize("example", [block for _, block in EXAMPLES], ids=[name for name, _ in EXAMPLES])
def test_examples_of_the_configuration_load(example: str, tmp_path: Path) -> None:
    file = tmp_path / "billhook.toml"
    file.write_text(example, encoding="utf-8")
    assert load(file, Anything()).shop


def json_shown() -> Iterator[Any]:
    for page in PAGES:
        yield from map(json.loads, blocks(text(page), "json"))
        yield from map(json.loads, re.findall(r"<<'JSON'\n(.*?)\nJSON\n", text(page), re.DOTALL))


def test_examples_of_events_and_answers_are_such() -> None:
    events = [value for value in json_shown() if "type" in value]
    assert [Event.model_validate(value).id for value in events] == ["evt-1", "evt-2", "evt-1", "evt-2", "evt-3"]
    assert EXAMPLE in events, "events.md shows the example that /docs shows"
    assert all(Problem.model_validate(value) for value in json_shown() if "error" in value)


def test_the_tests_that_prove_a_promise_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", every_page())
    assert len(named) > 20
    gone = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert not gone, f"these tests have other names now: {gone}"


@on_every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@on_every_page
def test_no_page_names_a_machine(page: Path) -> None:
    assert not MACHINE_PATHS.findall(text(page))


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_page_is_reached_from_readme_and_leads_on(page: Path) -> None:
    assert f"deploy/docs/{page.name}" in text(ROOT / "README.md") or page.name in every_page()
    assert "](" in text(page).rstrip().splitlines()[-1], "end the page with where to read next"
