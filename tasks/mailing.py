"""One shop's share of a batch of notices: written, committed as "sending", sent over one connection, recorded.

Outcomes of one group and the "sending" of the next are one commit. A crash leaves at most one group in doubt.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from connectors.channels import invoice_mail
from connectors.channels.base import CONNECTION, Channel, Message, channel
from connectors.channels.letter import sender_name
from connectors.errors import ConnectorError, Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from tasks.backoff import delay
from worker import logs, metrics, runtime, testpoints
from worker.config import Email
from worker.shutdown import stopping
from worker.store import jobs, notices
from worker.store.engine import StoreError
from worker.store.jobs import Change
from worker.store.notices import NoticeWork, Told

log = logging.getLogger(__name__)
GROUP = 10
"""Mails between two commits, and the most that a crash leaves in doubt."""
MARGIN = 1.0
"""Seconds of lease that must remain beyond a mail's own deadline."""
WITHHELD = frozenset(("mismatch", "doubled"))
OVER = frozenset(("void", "credited", "dismissed"))
"""Of an invoice that was given back, or dismissed, before its mail went out, nobody is told."""
_ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")


@dataclass(frozen=True, slots=True)
class Clock:
    """How long one mail, one lease and the whole turn last; `until` and `leased_at` by the monotonic clock."""

    deadline: float
    lease: timedelta
    until: float
    leased_at: float


class Mailing:
    """The notices of one shop; made in the turn's own thread, used by one. `counts` and `reasons` say how it went, for
    Flower."""

    def __init__(self, shop: str, works: Sequence[NoticeWork], owner: str, clock: Clock) -> None:
        self.shop = shop
        self.counts: Counter[str] = Counter()
        self.reasons: list[str] = []
        self._works = works
        self._held = {work.id: work.job for work in works}
        self._owner = owner
        self._clock = clock
        self._ends = clock.leased_at + clock.lease.total_seconds()
        self._timing = runtime.config().billhook.timing
        section = runtime.config().shop.get(shop)
        self._settings = section.notify.email if section else None
        self._told: list[Told] = []
        self._mine: set[str] = set()
        self._down: ConnectorError | None = None

    def run(self) -> None:
        """Sends what the turn's time allows; the rest is put back. All of it is recorded before this returns."""
        if self._settings is None:
            gone = Rejected(f"there is no [shop.{self.shop}.notify.email] in the configuration any more")
            self._told += [self._failed(work, gone) for work in self._works]
        else:
            self._send_all(self._settings)
        self._commit([])

    def _send_all(self, settings: Email) -> None:
        ready = self._written(settings)
        try:
            post = channel("email")(settings.smtp.get_secret_value(), deadline=self._clock.deadline)
        except ValueError as error:
            self._down = Unavailable(f"[shop.{self.shop}.notify.email] smtp {error}", code=CONNECTION)
            self._told += [self._failed(work, self._down) for work, _ in ready]
            return
        with post:
            while ready and not self._over() and not self._down:
                group, ready = ready[:GROUP], ready[GROUP:]
                self._commit([(work, post.message_id(message)) for work, message in group])
                self._told += [self._send(post, *one) for one in group if one[0].id in self._mine]
        self._told += [self._not_tried(work) for work, _ in ready]

    def _over(self) -> bool:
        return stopping() or time.monotonic() > self._clock.until

    # -- writing ---------------------------------------------------------------------------------------------------

    def _written(self, settings: Email) -> list[tuple[NoticeWork, Message]]:
        """Each notice with its message; what cannot be written is refused at once."""
        ready = []
        for work in self._works:
            if work.purpose == "invoice" and work.invoice_state in OVER:
                said = {"effect": f"its invoice {work.number} is {work.invoice_state} by now"}
                self._told.append(Told(Change(work.id, "done", "withheld", detail=said)))
                continue
            try:
                ready.append((work, _message(work, settings)))
            except Rejected as error:
                self._told.append(self._failed(work, error))
            except Exception as error:  # one order that our templates cannot stand must not hold up the others
                log.exception("a mail cannot be written", extra=logs.row(work.job))
                self._told.append(self._failed(work, Rejected(f"it cannot be written: {type(error).__name__}")))
        return ready

    # -- sending ---------------------------------------------------------------------------------------------------

    def _send(self, post: Channel, work: NoticeWork, message: Message) -> Told:
        if self._down or self._over():
            return self._not_tried(work)
        began = time.monotonic()
        try:
            receipt = post.send(message, lambda: self._begin(work))
        except ConnectorError as error:
            if error.code == CONNECTION:
                self._down = error
            return self._failed(work, error, message, post.message_id(message))
        except (
            Exception
        ) as error:  # a fault of ours, and nobody knows before or after what: one mail's, not the batch's
            log.exception("a mail failed while it was sent", extra=logs.row(work.job))
            return self._failed(
                work, Uncertain(f"unexpected {type(error).__name__}"), message, post.message_id(message)
            )
        testpoints.point("notify_after_send")
        detail = {"message_id": receipt.message_id, "attempt": work.job.attempts}
        if receipt.warning:
            detail["warning"] = self._without_addresses(receipt.warning, work)
        body = {"to": message.to, "subject": message.subject, "text": message.text, "answer": receipt.answer}
        taken = int((time.monotonic() - began) * 1_000_000)
        return Told(
            Change(work.id, "done", "delivered", detail=detail, body=body, duration_us=taken), receipt.message_id
        )

    def _begin(self, work: NoticeWork) -> None:
        """Right before the mail leaves: the lease outlasts it. The whole group's is renewed: it is recorded later."""
        testpoints.point("notify_before_send")
        if not self._too_short() or testpoints.without("lease_check"):
            return
        before = time.monotonic()
        try:
            with runtime.store().write() as connection:
                pairs = [(job_id, self._owner) for job_id in self._mine]
                self._mine = jobs.renew(connection, pairs, self._clock.lease)
        except StoreError as error:
            raise Unavailable(f"the lease could not be renewed, nothing was sent: {type(error).__name__}") from None
        self._ends = before + self._clock.lease.total_seconds()
        if work.id not in self._mine or self._too_short():
            raise Unavailable("no lease time is left for the mail; nothing was sent")

    def _too_short(self) -> bool:
        return time.monotonic() + self._clock.deadline + MARGIN > self._ends

    # -- what becomes of it ----------------------------------------------------------------------------------------

    def _not_tried(self, work: NoticeWork) -> Told:
        """The connection is down for all of them; or the time is over, and another turn takes it."""
        if self._down:
            return self._failed(work, self._down)
        return Told(Change(work.id, "pending", "put_back", due_at=jobs.now()))

    def _failed(
        self, work: NoticeWork, error: ConnectorError, message: Message | None = None, message_id: str = ""
    ) -> Told:
        at, job = jobs.now(), work.job
        said = self._without_addresses(error.message, work)
        unsure = isinstance(error, Uncertain) and not testpoints.without("uncertain")
        due_at = None
        if unsure:
            check = f"check (its Message-ID is {message_id}), then `billhook retry {job.label}`"
            action, reason = (
                "unknown",
                f"the mail about order {job.label} may or may not have gone out; {check}: {said}",
            )
        elif isinstance(error, Rejected | Duplicate):
            remedy = f"put it right (an address is corrected in the shop), then `billhook retry {job.label}`"
            action, reason = "refused", f"the mail about order {job.label} was not sent: {said}; {remedy}"
        elif self._patience_ends(work):
            remedy = f"once it works, `billhook retry {job.label}`"
            action, reason = "give_up", f"given up after {job.attempts} attempts: {said}; {remedy}"
        else:
            action, reason, due_at = "not_done", said, at + _pause(error, job.attempts)
        self.reasons.append(reason)
        detail: dict[str, Any] = {"error": type(error).__name__, "status": error.status, "attempt": job.attempts}
        body = {"error": error.message} | ({"to": message.to} if message else {})
        return Told(Change(work.id, "retry" if due_at else "held", action, due_at, unsure, reason, detail, body))

    def _patience_ends(self, work: NoticeWork) -> bool:
        age = (jobs.now() - work.job.created_at).total_seconds()
        return work.job.attempts >= self._timing.attempts or age > self._timing.give_up_after

    def _without_addresses(self, text: str, work: NoticeWork) -> str:
        """What the other side said, without the customer's address and name: the trail cannot be erased."""
        for word in logs.names(work.draft.customer):
            text = text.replace(word, "«name»")
        if work.email:
            text = text.replace(work.email, "«address»")
        return _ADDRESS.sub("«address»", text)

    # -- recording -------------------------------------------------------------------------------------------------

    def _commit(self, group: Sequence[tuple[NoticeWork, str]]) -> None:
        """Records what is known and that `group` is about to leave; tried again while the lease lasts."""
        if not self._told and not group:
            return
        patience = Retrying(
            retry=retry_if_exception_type(StoreError),
            stop=stop_after_delay(self._clock.lease.total_seconds()),
            wait=wait_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        recorded = patience(self._write, group)
        changes = [one.change for one in self._told if one.change.id in recorded]
        self.counts += Counter(change.state for change in changes)
        metrics.settled(self._held, changes)
        logs.outcomes(log, self._held, changes)
        self._told = []

    def _write(self, group: Sequence[tuple[NoticeWork, str]]) -> set[str]:
        actor = runtime.process_name()
        began = time.monotonic()
        with runtime.store().write() as connection:
            recorded = notices.record(connection, self._held, self._told, owner=self._owner, actor=actor)
            mine = notices.about_to_send(
                connection, [work for work, _ in group], {work.id: message_id for work, message_id in group},
                owner=self._owner, actor=actor, lease=self._clock.lease,
            )  # fmt: skip
        self._mine, self._ends = mine, began + self._clock.lease.total_seconds()
        return recorded


def _pause(error: ConnectorError, attempts: int) -> timedelta:
    if isinstance(error, Throttled) and error.retry_after is not None:
        return timedelta(seconds=error.retry_after)
    return max(delay(attempts), timedelta(seconds=30)) if isinstance(error, Unauthorized) else delay(attempts)


def _message(work: NoticeWork, settings: Email) -> Message:
    """The mail of a notice. Raises `Rejected` when there is nothing to be sent, or nobody to send it to."""
    if work.invoice_state in WITHHELD:
        raise Rejected(f"its invoice {work.number} is {work.invoice_state}")
    if not work.email:
        raise Rejected("the customer has no e-mail address")
    mail = invoice_mail.render(
        work.draft, number=work.number, sender=sender_name(settings.sender), pay_url=work.url, purpose=work.purpose
    )
    return Message(
        to=work.email,
        to_name=work.draft.customer.name or work.draft.customer.company or "",
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        sender=settings.sender,
        reply_to=settings.reply_to,
        bcc=settings.bcc,
        key=work.id,
        at=jobs.now(),
    )
