"""A real SMTP server that keeps what it is sent, refuses on demand, or hangs up at the worst moment."""

import email
import email.policy
import threading
from dataclasses import dataclass
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.kit.processes import free_port


@dataclass(frozen=True)
class Mail:
    """One mail as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])


class SmtpCatcher:
    """Listens at `url` from the start; `mails` holds what it took, `refused` counts what it did not."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.mails: list[Mail] = []
        self.refused = 0
        self._lock = threading.Lock()
        self._answer = ""
        self._at = "data"
        self._refusals_left = 0
        self._drops_left = 0
        self._controller = Controller(self, hostname=self.host, port=self.port)
        self._controller.start()

    @property
    def url(self) -> str:
        return f"smtp://{self.host}:{self.port}"

    def refuse(self, answer: str = "451 try again later", *, times: int = 1_000_000, at: str = "data") -> None:
        """Refuses so many mails with that answer: at the end (`data`) or at the recipient (`rcpt`)."""
        with self._lock:
            self._answer, self._refusals_left, self._at = answer, times, at

    def drop_after_data(self, times: int = 1_000_000) -> None:
        """Takes so many mails but hangs up instead of saying so: the sender cannot know."""
        with self._lock:
            self._drops_left = times

    def heal(self) -> None:
        """Ends all faults."""
        with self._lock:
            self._refusals_left = self._drops_left = 0

    def sent_to(self, address: str) -> list[Mail]:
        """The mails for one recipient."""
        return [mail for mail in list(self.mails) if address in mail.recipients]

    def close(self) -> None:
        self._controller.stop()

    def _refusal(self, at: str) -> str:
        with self._lock:
            if self._refusals_left > 0 and self._at == at:
                self._refusals_left -= 1
                self.refused += 1
                return self._answer
        return ""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Called by aiosmtpd for each recipient."""
        if answer := self._refusal("rcpt"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd for each mail."""
        if answer := self._refusal("data"):
            return answer
        with self._lock:
            self.mails.append(
                Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.original_content or b"")
            )
            drop = self._drops_left > 0
            self._drops_left -= drop
        if drop and server.transport is not None:
            server.transport.abort()  # type: ignore[attr-defined]
        return "250 OK"
