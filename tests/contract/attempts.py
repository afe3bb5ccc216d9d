"""What the worker is to a platform, without a store: attempts that remember, and the rule after a lost answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Generic

from connectors.errors import ConnectorError
from connectors.platforms.documents import D, Documents, Hit, Outcome, Plan, R


class Try(Generic[D]):
    """An `Attempt` that records in `log` what began and what was done; `on_begin` may raise, or break something."""

    def __init__(
        self,
        draft: D,
        plan: Plan,
        *,
        made: Mapping[str, str] | None = None,
        document: Any = None,
        generation: int = 1,
        on_begin: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.draft: D = draft
        self.plan = plan
        self.document = document
        self.generation = generation
        self.made: dict[str, str] = dict(made or {})
        self.log: list[tuple[str, str]] = []
        self._on_begin = on_begin

    def key(self, step: str) -> str:
        """Stable over attempts of a generation; another for each step and generation."""
        digest = hashlib.sha256(self.draft.key.encode()).hexdigest()[:24]
        return f"{digest}-{step}-{self.generation}"

    def begin(self, step: str) -> None:
        self.log.append(("begin", step))
        self._on_begin(step)

    def done(self, step: str, remote_id: str) -> None:
        self.log.append(("done", step))
        self.made[step] = remote_id

    def after(self, hit: Hit[Any] | None) -> Try[D]:
        """The next attempt, once a look-up has said what is there: the steps that are missing, under new keys."""
        made: dict[str, str] = {}
        for request in self.plan:
            if hit is None or request.step == hit.resume_at:
                break
            made[request.step] = self.made.get(request.step) or hit.document.id
        document = hit.document if hit else None
        return Try(self.draft, self.plan, made=made, document=document, generation=self.generation + 1)


def look(documents: Documents[D, R], draft: D) -> Hit[R] | None | ConnectorError:
    """What a look-up says about one draft; an error raised for all of them is one for it."""
    try:
        (found,) = documents.find([draft])
    except ConnectorError as error:
        return error
    return found


def found(documents: Documents[D, R], draft: D) -> Hit[R] | None:
    """As `look`, when the platform is well."""
    result = look(documents, draft)
    if isinstance(result, ConnectorError):
        raise result
    return result


def settle(documents: Documents[D, R], attempt: Try[D]) -> Outcome[R]:
    """Looks before it posts again: resumes what is there, creates what is not, leaves alone what is complete."""
    hit = found(documents, attempt.draft)
    if hit is not None and hit.resume_at is None:
        return Outcome(hit.document)
    return documents.create(attempt.after(hit))
