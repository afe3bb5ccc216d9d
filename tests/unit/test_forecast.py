"""By when all is posted: as the limiter would hand the calls out, nothing else in the way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.platforms.base import platform
from connectors.platforms.facts import Quota
from worker.forecast import FINEST, Calls, all_posted_in, calls_for

MINUTE, DAY = Quota(60, timedelta(minutes=1)), Quota(5000, timedelta(days=1))
FACTS = replace(platform("zoho_books").facts, quotas=(MINUTE,), concurrent=4)


def seconds(calls: int, taken: dict[str, list[float]] | None = None, *quotas: Quota, took: float = 0.25) -> float:
    facts = replace(FACTS, quotas=quotas or (MINUTE,))
    return all_posted_in(facts, Calls(calls), taken or {}, took).total_seconds()


def test_nothing_to_do_takes_no_time() -> None:
    assert seconds(0) == 0


def test_what_fits_into_the_quota_takes_as_long_as_its_calls_side_by_side() -> None:
    assert seconds(4) == pytest.approx(0.25)
    assert seconds(60) == pytest.approx(15 * 0.25)


def test_one_call_more_than_the_quota_waits_for_the_first_slot_to_be_free_again() -> None:
    assert seconds(61) == pytest.approx(60.25 + 0.25)


def test_slots_that_are_taken_already_are_waited_for() -> None:
    assert seconds(1, {"60s": [12.0] * 60}) == pytest.approx(12.25)
    assert seconds(30, {"60s": [12.0] * 30}) == pytest.approx(8 * 0.25)


def test_the_days_quota_and_the_minutes_hold_together() -> None:
    lasts = seconds(5001, None, MINUTE, DAY, took=0.5)
    assert lasts == pytest.approx(86_400 + 1)
    assert seconds(10_000, None, MINUTE, DAY, took=0.5) == pytest.approx(86_400 + 1 + 83 * 60, rel=0.01)


def test_a_quota_for_one_kind_of_call_counts_only_these() -> None:
    facts = replace(FACTS, quotas=(Quota(500, timedelta(minutes=1)), Quota(40, timedelta(minutes=1), of="batch")))
    few = all_posted_in(facts, Calls(200, {"batch": 40}), {}, 0.25)
    assert few < timedelta(minutes=1)
    assert all_posted_in(facts, Calls(200, {"batch": 41}), {}, 0.25) > timedelta(minutes=1)


def test_very_many_calls_are_taken_together_at_the_same_rate() -> None:
    many = FINEST * 3 + 1
    assert seconds(many) == pytest.approx(many / 60 * 60.25, rel=0.01)


def test_bulks_and_look_ups_are_counted_as_they_are_made() -> None:
    xero, quickbooks = platform("xero"), platform("quickbooks")
    assert calls_for(xero, customers=100, invoices=5000) == Calls(10 + 2 + 100)
    assert calls_for(xero, customers=0, invoices=100, bulk=1) == Calls(100)
    assert calls_for(quickbooks, customers=20, invoices=95) == Calls(2 + 2 + 10, {"batch": 12})
    zoho = platform("zoho_books")
    assert calls_for(zoho, customers=2, invoices=3).all == 2 * zoho.Customers.calls + 3 * zoho.Invoices.calls
