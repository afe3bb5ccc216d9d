"""What the wheel carries: every package of ours, and nothing of the tests."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    modules = [path for package in ("connectors", "worker", "tasks") for path in (ROOT / package).rglob("*.py")]
    assert set(listed) == {".".join(path.parent.relative_to(ROOT).parts) for path in modules}
    assert len(listed) == len(set(listed))
