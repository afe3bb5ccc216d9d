"""Public keys that a sender signs with and that are not here yet: fetched when a delivery names one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from connectors.errors import ConnectorError
from connectors.http import Http
from connectors.sources.base import KeyUnknown, SignatureError, Source
from worker.ingest.admission import Sender, wrong_signature
from worker.ingest.answers import Refusal

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two questions for one source's keys: anybody can invent a name of a key."""
_DEADLINE = 10.0


class KeyLearner:
    """Verifies deliveries, and has a source learn the sender's keys where one is signed with an unknown one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[tuple[str, str], tuple[Source, float, asyncio.Task[bool]]] = {}
        """By shop and source: who was to learn them (a new configuration has a new source, which knows none), when they
        were last asked for, and whether they came."""

    async def verify(self, sender: Sender, headers: Mapping[str, str], body: bytes) -> None:
        """Returns if the sender's source takes the signature.

        Raises `Refusal`: 401 for a wrong signature, 503 where the sender's keys cannot be had at the moment.
        """
        try:
            try:
                sender.source.verify(headers, body, datetime.now(UTC))
            except KeyUnknown:
                if not await self._learned(sender):
                    raise _no_keys() from None
                sender.source.verify(headers, body, datetime.now(UTC))
        except SignatureError as error:
            raise wrong_signature(str(error)) from None

    async def _learned(self, sender: Sender) -> bool:
        """Whether the keys of the last minute came; all who need them meanwhile wait for the same question."""
        name = (sender.shop, sender.name)
        asked = self._asked.get(name)
        if asked is None or asked[0] is not sender.source or (asked[2].done() and self._clock() - asked[1] >= EVERY):
            task = asyncio.create_task(asyncio.to_thread(_learn, sender.name, sender.source))
            asked = self._asked[name] = (sender.source, self._clock(), task)
        return await asyncio.shield(asked[2])


def _learn(name: str, source: Source) -> bool:
    try:
        source.learn_keys(Http(_DEADLINE))
    except ConnectorError as error:
        log.warning("the keys that %s signs with cannot be fetched: %s", name, error)
        return False
    return True


def _no_keys() -> Refusal:
    message = "The signature's key is unknown here, and the sender's list of keys cannot be fetched. Send it again."
    return Refusal(503, "keys_unavailable", message, retry_after=int(EVERY))
