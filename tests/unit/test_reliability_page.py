"""The page on reliability names tests; they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLES = [line for line in (ROOT / "deploy/docs/reliability.md").read_text().splitlines() if line.startswith("| ")]
NAMED = [cell for line in TABLES for cell in [line.rsplit("|", 2)[1]] if ".py`" in cell]


def test_every_row_of_the_four_lists_is_there() -> None:
    rows = [line.split("|")[1].strip() for line in TABLES]
    wanted = [
        f"{letter}{n}" for letter, last in (("L", 10), ("D", 9), ("S", 10), ("C", 10)) for n in range(1, last + 1)
    ]
    assert [row for row in rows if re.fullmatch(r"[LDSC]\d+", row)] == wanted


@pytest.mark.parametrize("cell", NAMED)
def test_the_tests_it_names_exist(cell: str) -> None:
    files = [ROOT / "tests" / name for name in re.findall(r"`([\w/]+\.py)`", cell)]
    written = "".join(file.read_text() for file in files)
    for name in re.findall(r"`(\w+)`", cell):
        assert f"def test_{name}" in written or f'"{name}"' in written, name
