"""The contract suite runs for every platform that exists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.running import Books, RunningSandbox, Subject, subjects


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", subjects().values(), ids=list(subjects()))


@pytest.fixture
def books(subject: Subject) -> Iterator[Books]:
    """The platform against a fresh emulator of its own, over real HTTP."""
    sandbox = RunningSandbox([subject.emulator])
    yield Books(subject, sandbox)
    sandbox.close()
