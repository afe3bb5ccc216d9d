"""One kind of document on a platform, customers or invoices: how it is rendered, looked for and created.

The way of one document:

    plan(draft)      our draft in the platform's words: the unsafe calls in order, rendered once, stored by
                     the caller before the first attempt; no I/O
    find(drafts)     what of it exists there already, as a point to resume from
    create(attempt)  the plan's remaining calls in order, or
    pack / create_packed   many plans' first calls as one call, where the platform can
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast
from urllib.parse import quote

from pydantic import field_validator

from connectors.errors import ConnectorError, Duplicate, Rejected, Sample, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import Address, InvoiceDraft, Model, Party, RemoteInvoice, Status
from connectors.platforms.facts import difference

if TYPE_CHECKING:
    from connectors.platforms.base import Platform

LOOKED_FOR = 10
"""Documents that one look-up asks for, where many are created by one call; more would not fit into an address."""
LATER, PLACE = "\ud802", "\x1a"
"""Stand on both sides of a step's name: in what is being written a lone surrogate, which no text from outside holds;
in the body of a `Request`, which is stored, a control character that neither JSON nor form-encoded text holds bare."""


class Request(Model):
    """One unsafe call, rendered. It is sent again only as these bytes.

    `path` may hold `{name}` of an earlier step: the remote id which that step made; `body` may, as `later(name)`.
    """

    step: str
    method: str = "POST"
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: str = ""
    quota: str = ""
    """The kind of call, where the platform has a quota for it alone (`Quota.of`)."""
    issues: bool = False
    """This call makes the document final: our draft and the platform's are compared before it."""
    apart: bool = False
    """What it makes is needed by the document and no part of it (a sub-customer): after it there is nothing to compare
    yet, and nothing for a look-up of the document to find."""
    remark: str = ""
    """What the trail should say of how it was rendered: a rounding line, a tax that was stated; for people."""

    @field_validator("body", mode="before")
    @classmethod
    def _with_places(cls, body: str) -> str:
        return body.replace(LATER, PLACE)


Plan = tuple[Request, ...]
JSON = {"Content-Type": "application/json"}


def posted(step: str, path: str, fields: Any, headers: Mapping[str, str] = JSON, **more: Any) -> Request:
    """An unsafe call that brings these fields as JSON. `more`: further fields of the `Request`."""
    return Request(step=step, path=path, headers=headers, body=dump_json(fields), **more)


class CustomerDraft(Model):
    """A customer to be found or created on a platform. `key` is stable for ever and unique per tenant."""

    key: str
    party: Party
    billing_address: Address | None = None
    shipping_address: Address | None = None
    currency: str | None = None


class RemoteCustomer(Model):
    """A customer as the platform holds it."""

    id: str
    key: str | None = None
    name: str | None = None
    email: str | None = None


class PlannedInvoice(Model):
    """A draft together with the remote id of its customer: what the plan of an invoice or credit note is rendered
    from."""

    draft: InvoiceDraft
    customer_id: str
    credited: RemoteInvoice | None = None
    """Of a credit note: the invoice it belongs to, as it was read a moment ago."""

    @property
    def key(self) -> str:
        return self.draft.key


D = TypeVar("D", CustomerDraft, PlannedInvoice)
R = TypeVar("R", RemoteCustomer, RemoteInvoice)
T = TypeVar("T")


@dataclass(frozen=True)
class Hit(Generic[R]):
    """What a look-up found: the document, and the first step of the plan it still lacks (None: it is complete)."""

    document: R
    resume_at: str | None = None


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """How one document ended: the document, or the error. `difference`: it exists but does not agree with our draft;
    `voided`: and for that it has just been voided."""

    document: R | None = None
    error: ConnectorError | None = None
    difference: str | None = None
    sample: Sample | None = None
    voided: bool = False


class Attempt(Protocol[D]):
    """One try at one document, given by the caller.

    `begin` and `done` commit; killed between them, the step is uncertain.
    """

    draft: D
    plan: Plan
    document: Any
    """What a look-up found of it (`Hit.document`), None on a first try."""

    @property
    def made(self) -> Mapping[str, str]:
        """Steps known to be done, with the remote id each made ("" where it made none)."""

    def key(self, step: str) -> str:
        """The idempotency key of the step in this generation."""

    def begin(self, step: str) -> None:
        """Called right before the step's call leaves, again if it is repeated under new credentials after a 401.

        Raises `Unavailable` when no lease time is left.
        """

    def done(self, step: str, remote_id: str) -> None:
        """Called when the step is known to be done."""


class Documents(Generic[D, R]):
    """One kind of document on one platform. Subclasses fill in the hooks; nothing in it sleeps, retries or stores."""

    bulk: int = 1
    """Documents in one create call; above 1 a subclass fills in `pack` and `unpack`. Where plans have further steps
    it also carries on with them in `create_packed`, telling each attempt of each step."""
    calls: ClassVar[int] = 1
    """Calls that one document usually takes: how many rows a number of permits may carry."""
    look_first: ClassVar[bool] = False
    """Look before the very first create (customers: the merchant may have them already)."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    # -- hooks ---------------------------------------------------------------------------------------------------

    def plan(self, draft: D) -> Plan:
        """The unsafe calls that make the document, in order. No I/O.

        Raises `Rejected` with a sentence for the merchant: a setting is missing, the platform cannot do what the
        draft needs, or its rounding would not give the order's total.
        """
        raise NotImplementedError

    def find(self, drafts: Sequence[D]) -> list[Hit[R] | None | ConnectorError]:
        """For each draft, in order: what exists of it, None, or why that is not known. Never called for a document
        that is surely not there, except with `look_first`. Two documents that carry one key are a `Rejected`.

        A document that has our reference but not our business key is returned as it is (the caller holds it);
        so is a voided one. Deleted drafts are not there.

        As it stands here: one `look` a draft. Where one call can ask for many, that is overridden."""
        return [self.looked(partial(self.look, draft)) for draft in drafts]

    def look(self, draft: D) -> Hit[R] | None:
        """What exists of one draft. Raises the errors of a read; any other exception means an unreadable answer."""
        raise NotImplementedError

    def made(self, request: Request, answer: Answer) -> tuple[str, R | None]:
        """From a step's answer: the remote id it made, and the document as it now is (None if the answer does not
        show it). `request` is as it was sent, ids filled in. Any exception but a `ConnectorError` means an unreadable
        answer: the step is uncertain.

        As it stands here: the answer is the document. Where it is not, that is overridden."""
        document = self.document(self.platform.value(answer))
        return document.id, document

    def document(self, raw: Any) -> R:
        """The document as what an answer shows, in our words. May raise anything on an unexpected body."""
        raise NotImplementedError

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        """The remote id when the refusal only means that the step is done already ("exists"); else None."""
        return None

    def pack(self, plans: Sequence[Plan]) -> Request:
        """The plans' first calls as one call."""
        raise NotImplementedError

    def unpack(self, answer: Answer, drafts: Sequence[D]) -> list[Outcome[R]]:
        """From a packed call's answer, one outcome per draft, in order, matched by reference or key, never by position.
        A draft without an element in the answer is `Uncertain`. Unreadable: raise anything."""
        raise NotImplementedError

    def shown(self, plan: Plan, request: Request, made: Mapping[str, str]) -> R:
        """The document as the platform holds it before `request`, read by the id that the step before it made."""
        before = [each.step for each in plan[: plan.index(request)]]
        remote_id = next((made[step] for step in reversed(before) if made.get(step)), None)
        if remote_id is None:
            raise Uncertain(f"no step before {request.step!r} has left an id to read the document by")
        return self.read(remote_id)

    def read(self, remote_id: str) -> R:
        """The document as it is now. Raises `Rejected` when it does not exist."""
        return cast("R", self.platform.read(remote_id))

    @staticmethod
    def issued(document: R) -> bool:
        """Whether it is final already: a step that seemed to fail was carried out after all."""
        return isinstance(document, RemoteInvoice) and document.status is not Status.DRAFT

    @staticmethod
    def final(document: R | None) -> R | None:
        """The draft as it is once the call that issues it has succeeded, where the answer does not show it."""
        if isinstance(document, RemoteInvoice) and document.status is Status.DRAFT:
            return document.model_copy(update={"status": Status.ISSUED})
        return document

    def differs(self, draft: D, document: R) -> str | None:
        """What the document says otherwise than the draft."""
        if isinstance(draft, PlannedInvoice) and isinstance(document, RemoteInvoice):
            return difference(draft.draft, document.currency, document.total)
        return None

    # -- behaviour -------------------------------------------------------------------------------------------------

    def sought(
        self,
        groups: Iterable[Sequence[D]],
        ask: Callable[[Sequence[D]], T],
        choose: Callable[[D, T], Hit[R] | None | ConnectorError],
    ) -> list[Hit[R] | None | ConnectorError]:
        """`find` for groups of drafts that are asked for together: `ask` gives what the platform has of a group,
        `choose` what of it is a draft's. A question that fails speaks only for the drafts that it was about."""
        results: list[Hit[R] | None | ConnectorError] = []
        for group in groups:
            try:
                found = ask(group)
            except ConnectorError as error:
                results += [error for _ in group]
                continue
            results += [self.looked(partial(choose, draft, found)) for draft in group]
        return results

    def looked(self, read: Callable[[], Hit[R] | None | ConnectorError]) -> Hit[R] | None | ConnectorError:
        """What `read` finds, or why that is not known: a look-up that fails speaks only for its own draft."""
        try:
            return read()
        except ConnectorError as error:
            return error
        except Exception as error:  # an element without an id, a status nobody knows
            title = self.platform.facts.title
            return Unavailable(f"{title}: what the look-up found cannot be read ({type(error).__name__})")

    def create(self, attempt: Attempt[D]) -> Outcome[R]:
        """Runs the plan's steps that are not in `attempt.made`, in order; compares before the one that issues.

        Never raises a `ConnectorError`: it is in the outcome.
        """
        document: R | None = attempt.document
        sample: Sample | None = None
        made = dict(attempt.made)
        try:
            for request in attempt.plan:
                if request.step in made:
                    continue
                if request.issues and any(each.step in made for each in attempt.plan if not each.apart):
                    document = document or self.shown(attempt.plan, request, made)
                    if unlike := self.differs(attempt.draft, document):
                        return Outcome(document, difference=unlike, sample=sample)
                    if self.issued(document):
                        made[request.step] = ""
                        continue
                remote_id, shown, sample = self._run(request, attempt, made)
                made[request.step] = remote_id
                document = shown or (self.final(document) if request.issues else document)
                attempt.done(request.step, remote_id)
        except ConnectorError as error:
            return Outcome(document, error=error, sample=error.sample)
        if document is None:
            return Outcome(error=Uncertain("every step is done, but no answer showed the document"), sample=sample)
        return Outcome(document, difference=self.differs(attempt.draft, document), sample=sample)

    def _run(
        self, request: Request, attempt: Attempt[D], made: Mapping[str, str]
    ) -> tuple[str, R | None, Sample | None]:
        request = filled(request, made)
        native = self.platform.facts.key
        key = None if native and native.packed else attempt.key(request.step)
        try:
            answer: Answer = self.platform.execute(request, key=key, begin=lambda: attempt.begin(request.step))
        except (Rejected, Duplicate) as error:
            if (known := self.forgive(request, error)) is None:
                raise
            return known, None, error.sample
        remote_id, document = reading(lambda: self.made(request, answer), answer)
        return remote_id, document, answer.sample

    def create_packed(self, request: Request, attempts: Sequence[Attempt[D]], key: str) -> list[Outcome[R]]:
        """Sends a packed call under its own key; one outcome per attempt, in order. Never raises a `ConnectorError`."""

        def begin() -> None:
            for attempt in attempts:
                attempt.begin(request.step)

        drafts = [attempt.draft for attempt in attempts]
        try:
            answer = self.platform.execute(request, key=key, begin=begin)
            pairs = reading(lambda: list(zip(drafts, self.unpack(answer, drafts), strict=True)), answer)
        except ConnectorError as error:
            return [Outcome(error=error, sample=error.sample) for _ in attempts]
        return [self._compared(draft, outcome) for draft, outcome in pairs]

    def _compared(self, draft: D, outcome: Outcome[R]) -> Outcome[R]:
        if outcome.document is None or outcome.error is not None:
            return outcome
        return Outcome(outcome.document, difference=self.differs(draft, outcome.document), sample=outcome.sample)

    @staticmethod
    def recorded(step: str, attempts: Sequence[Attempt[D]], outcomes: Sequence[Outcome[R]]) -> dict[int, str]:
        """Of a packed call, by place: the ids of what it made, told to their attempts as made by this step."""
        there = {place: one.document.id for place, one in enumerate(outcomes) if one.document and not one.error}
        for place, remote_id in there.items():
            attempts[place].done(step, remote_id)
        return there


def element(read: Callable[[], R], answer: Answer) -> Outcome[R]:
    """What one element of a packed call's answer comes to: what `read` makes of it, or what that raises."""
    try:
        return Outcome(reading(read, answer), sample=answer.sample)
    except ConnectorError as error:
        return Outcome(error=error, sample=error.sample or answer.sample)


def reading(read: Callable[[], T], answer: Answer) -> T:
    """What `read` makes of a successful unsafe call's answer. Only the answer itself can say that nothing was done: if
    it cannot be read, or something asked after it fails, the call is `Uncertain`."""
    try:
        return read()
    except ConnectorError as error:
        judged = isinstance(error, Rejected | Duplicate | Uncertain) and error.sample is None
        if judged or error.sample == answer.sample:
            error.sample = answer.sample
            raise
        message = f"the call succeeded, but what it made could not be read: {error.message}"
        raise Uncertain(message, status=error.status, code=error.code, sample=error.sample or answer.sample) from error
    except Exception as error:
        raise Uncertain(
            f"the answer cannot be read ({type(error).__name__})", status=answer.status, sample=answer.sample
        ) from error


def later(step: str) -> str:
    """Stands for the remote id that an earlier step will have made: in a body, and in what `dump_json` makes one of.
    Nobody's text is mistaken for it."""
    return f"{LATER}{step}{LATER}"


def filled(request: Request, made: Mapping[str, str]) -> Request:
    """The request with the remote ids of earlier steps in place of their names: quoted in the path, bare in a body."""
    path, body = request.path, request.body
    for step, remote_id in made.items():
        path = path.replace("{" + step + "}", quote(remote_id, safe=""))
        body = body.replace(f"{PLACE}{step}{PLACE}", remote_id)
    return (
        request
        if (path, body) == (request.path, request.body)
        else request.model_copy(update={"path": path, "body": body})
    )
