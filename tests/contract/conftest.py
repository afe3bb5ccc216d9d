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


OFTEN = {"xero", "stripe", "quickbooks", "odoo", "toy_bulk", "toy_steps"}
"""Platforms on which faults that are waited for are tried with every run; on the others with the slow tests."""


def pytest_itemcollected(item: pytest.Item) -> None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    waited_for = getattr(getattr(item, "module", None), "WAITS", ())
    if params.get("fault") in waited_for and params["subject"].slug not in OFTEN:
        item.add_marker(pytest.mark.slow)


@pytest.fixture
def books(subject: Subject) -> Iterator[Books]:
    """The platform against a fresh emulator of its own, over real HTTP."""
    sandbox = RunningSandbox([subject.emulator])
    yield Books(subject, sandbox)
    sandbox.close()
