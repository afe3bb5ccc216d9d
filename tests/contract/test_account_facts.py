"""Facts that an account's plan or variant decides: what speaks for it and what counts its calls go by the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connectors.platforms.facts import Facts, Quota
from tests.contract.running import subjects
from worker.config import Account
from worker.config_sections import AccountRef

DAY = timedelta(days=1)


def facts(slug: str, **changed: Any) -> Facts:
    """Of an account configured like the samples, but for `changed`; the same wherever they are asked for."""
    subject = subjects()[slug]
    settings = {name: value for name, value in {**subject.samples.settings, **changed}.items() if name != "issue"}
    account = Account(platform=subject.facts.slug, settings=settings, **subject.samples.credentials)
    ref = AccountRef("shop", "books", account)
    assert ref.facts == ref.platform.facts_of(ref.settings)
    assert ref.facts == subject.at("http://127.0.0.1:1", settings=ref.settings).facts
    assert ref.bulk == ref.platform(ref.settings, None).invoices.bulk
    return ref.facts


@pytest.mark.parametrize(
    ("plan", "calls"),
    [("free", 1000), ("standard", 2000), ("professional", 5000), ("premium", 10_000), ("ultimate", 10_000)],
)
def test_zoho_books_allows_a_day_what_the_plan_does(plan: str, calls: int) -> None:
    assert facts("zoho_books", plan=plan).quotas == (Quota(100, timedelta(minutes=1)), Quota(calls, DAY))


def test_finance_and_operations_has_quotas_and_abilities_of_its_own() -> None:
    central, finance = facts("dynamics365"), facts("dynamics365_finops")
    assert central.quotas == (Quota(6000, timedelta(minutes=5)),)
    assert finance.quotas == ()
    assert {"mail", "pdf", "void"} <= central.can
    assert finance.can == {"draft", "issue", "list"}
    assert finance.reference.field == "CustomerReference"


def test_salesforce_keeps_the_calls_a_day_that_the_org_leaves() -> None:
    assert facts("salesforce").quotas == ()
    assert facts("salesforce", daily_calls=15_000).quotas == (Quota(15_000, DAY),)


def test_netsuite_takes_as_many_calls_at_once_as_the_account_leaves_to_us() -> None:
    assert facts("netsuite").concurrent == 3
    assert facts("netsuite", concurrency=15).concurrent == 15
