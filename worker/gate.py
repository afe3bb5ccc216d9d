"""How many tasks of this process work on one thing at once; the others knock and go home.

A thread that waits on a slow platform is a thread that handles no events. So only a few tasks work for one tenant,
and one that is turned away leaves a knock: whoever is inside looks once more before leaving, so no ring is lost.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Gate:
    """Lets `each` in per name, and `together` over all names."""

    def __init__(self, each: int, together: int) -> None:
        self._each, self._together = each, together
        self._inside: Counter[str] = Counter()
        self._knocked: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, name: str) -> Iterator[Callable[[], bool] | None]:
        """None when there is no room. Else a function to be asked when nothing is left to do: True means that
        somebody knocked meanwhile, so look again; False means that the place is given up, so go."""
        with self._lock:
            room = self._inside[name] < self._each and self._inside.total() < self._together
            if not room:
                self._knocked.add(name)
            else:
                self._inside[name] += 1
        if not room:
            yield None
            return
        left = False

        def stay() -> bool:
            nonlocal left
            with self._lock:
                if name in self._knocked:
                    self._knocked.discard(name)
                    return True
                left = True
                self._inside[name] -= 1
                return False

        try:
            yield stay
        finally:
            if not left:
                with self._lock:
                    self._inside[name] -= 1
