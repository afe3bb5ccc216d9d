"""How long to wait before the next try. The curve is tenacity's; the waiting happens in SQL, as `due_at`."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from tenacity import RetryCallState, Retrying, wait_exponential_jitter

CURVE = wait_exponential_jitter(multiplier=2, max=900, jitter=2)


@cache
def _retrying() -> Retrying:
    return Retrying()


def delay(attempts: int) -> timedelta:
    """After the `attempts`-th try: about 2 s, 4 s, 8 s … up to 15 minutes, with jitter."""
    state = RetryCallState(_retrying(), None, (), {})
    state.attempt_number = max(1, attempts)
    return timedelta(seconds=CURVE(state))
