"""When a row that keeps failing is given to a person, and when it is not."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from connectors.errors import ConnectorError, Throttled, Unavailable
from connectors.platforms.base import platform
from connectors.platforms.documents import Outcome
from tasks.verdict import Policy, verdict

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POLICY = Policy(platform("zoho_books").facts, timedelta(minutes=15), attempts=12, give_up_after=timedelta(days=1))


def state(error: ConnectorError, *, created: timedelta, first_sent: timedelta | None) -> str:
    """What becomes of a row that is so old, and was first sent so long ago, after the error."""
    job = SimpleNamespace(created_at=NOW - created, attempts=3, unsure=False)
    work: Any = SimpleNamespace(
        id="1", job=job, replays=0, generation=0, bulk_id=None, bulk_limit=None, found=None,
        first_sent_at=None if first_sent is None else NOW - first_sent,
    )  # fmt: skip
    return verdict(work, Outcome(error=error), POLICY, NOW, made={}, resolved=True).change.state


LONG, SHORT = timedelta(days=2), timedelta(minutes=1)


@pytest.mark.parametrize("first_sent", [None, SHORT, LONG])
def test_a_quota_of_days_is_waited_for(first_sent: timedelta | None) -> None:
    assert state(Throttled("the quota is used up", retry_after=9), created=LONG, first_sent=first_sent) == "retry"


def test_patience_with_a_platform_begins_with_the_first_call() -> None:
    away = Unavailable("refused the connection")
    assert state(away, created=LONG, first_sent=SHORT) == "retry"
    assert state(away, created=LONG, first_sent=LONG) == "held"
    assert state(Throttled("too many", status=429), created=LONG, first_sent=LONG) == "held"
