"""The contract suite runs for every platform that exists; a module's `concerns` may say for which of them it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.running import Books, RunningSandbox, Subject, subjects


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        concerns = getattr(metafunc.module, "concerns", lambda subject: True)
        chosen = {slug: subject for slug, subject in subjects().items() if concerns(subject)}
        metafunc.parametrize("subject", chosen.values(), ids=list(chosen))


@pytest.fixture
def books(subject: Subject) -> Iterator[Books]:
    """The platform against a fresh emulator of its own, over real HTTP."""
    sandbox = RunningSandbox([subject.emulator])
    yield Books(subject, sandbox)
    sandbox.close()
