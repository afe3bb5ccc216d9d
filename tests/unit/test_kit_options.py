"""What the plain test command leaves out, and what brings it back."""

import os
import subprocess
import sys

import pytest

from tests.kit.processes import ROOT

TESTS = """
import pytest

def test_plain(rng): assert rng.random() < 1

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.proof("json")
def test_proof_with_its_sdk(): pass

@pytest.mark.proof("no_such_sdk")
def test_proof_without_its_sdk(): pass
"""


@pytest.fixture
def outcome(tmp_path):
    """The tests that passed, failed and were deselected, for some options."""

    def run(*options, source=TESTS):
        (tmp_path / "test_marked.py").write_text(source)
        marks = ["-o", "markers=slow\nproof"]
        command = [
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-p",
            "no:valkey",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
        ]
        where = [str(tmp_path / "test_marked.py"), f"--rootdir={tmp_path}", "-rA", "-q"]
        done = subprocess.run(
            [sys.executable, *command, *marks, *where, *options],
            cwd=ROOT,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return run


def test_slow_and_proofs_without_their_sdk_are_deselected_not_skipped(outcome):
    assert "2 passed, 2 deselected" in outcome()


@pytest.mark.parametrize(("options", "summary"), [
    (["--slow"], "3 passed, 1 deselected"),
    (["-m", "slow"], "1 passed, 3 deselected"),
    (["--slow", "-m", "slow"], "1 passed, 3 deselected"),
    (["-m", "not slow"], "2 passed, 2 deselected"),
])  # fmt: skip
def test_options(outcome, options, summary):
    assert summary in outcome(*options)


def test_with_proof_a_missing_sdk_is_a_failure(outcome):
    output = outcome("--proof", "-m", "proof")
    assert "not installed: no_such_sdk (pip install '.[proof]')" in output
    assert "1 passed, 2 deselected, 1 error" in output


def test_a_failure_shows_the_seed_that_repeats_it(outcome, monkeypatch):
    monkeypatch.setenv("BILLHOOK_TEST_SEED", "42")
    failing = "def test_it(rng): assert not str(rng.random())"
    outputs = [outcome(source=failing), outcome(source=failing)]
    assert all("BILLHOOK_TEST_SEED=42" in output for output in outputs)
    first, second = ([line for line in output.splitlines() if "assert not '0." in line] for output in outputs)
    assert first
    assert first == second
