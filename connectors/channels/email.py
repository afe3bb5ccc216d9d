"""E-mail over SMTP (RFC 5321). There is no look-up: once the final dot has left without an answer, nobody knows.

URLs: `smtp://user:password@host:25` (plain), `smtp+starttls://…:587`, `smtps://…:465`; user and password
percent-encoded. The server's certificate is verified.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from smtplib import SMTPAuthenticationError, SMTPException, SMTPNotSupportedError, SMTPResponseException
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from connectors.channels.base import CONNECTION, Begin, Channel, Message, Receipt
from connectors.channels.letter import Letter, message_id
from connectors.channels.smtp_session import Deadline, Session
from connectors.errors import ConnectorError, Rejected, Unauthorized, Unavailable, Uncertain

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_NO_LOGIN = frozenset((530, 534, 535, 538))
"""RFC 4954: the login is missing, too weak, wrong, or needs encryption."""
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def of(cls, url: str) -> Server:
        """From an SMTP URL. Raises `ValueError`, which never repeats the password."""
        wanted = "smtp://user:password@host:port, smtps://… or smtp+starttls://…"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            port, parts = None, urlsplit("")
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"is not of the form {wanted}; special characters in the password are percent-encoded")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user, password)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Email(Channel):
    """One mail at a time over one SMTP connection."""

    name = "email"

    def __init__(self, url: str, *, deadline: float = 30.0) -> None:
        super().__init__(url, deadline=deadline)
        self.server = Server.of(url)
        self._session: Session | None = None

    def message_id(self, message: Message) -> str:
        return message_id(message.key, message.sender)

    def send(self, message: Message, begin: Begin) -> Receipt:
        letter = Letter(message)
        with Deadline(self.deadline) as deadline:
            warning = self._envelope(letter, deadline)
            try:
                begin()
            except BaseException:
                self.close()
                raise
            answer = self._data(letter)
        return Receipt(letter.message_id, answer, warning)

    def close(self) -> None:
        if self._session is not None:
            self._session.leave()
            self._session = None

    def _envelope(self, letter: Letter, deadline: Deadline) -> str | None:
        """Connects where needed and names sender and recipients; nothing can have been sent yet.

        A connection that the server has ended since the last mail is opened again, once.
        """
        try:
            if self._session is not None:
                deadline.watch(self._session)
                try:
                    return self._name(self._session, letter)
                except (_Ended, OSError):
                    self.close()
            self._session = self._open(deadline)
            return self._name(self._session, letter)
        except (_Ended, OSError) as error:  # smtplib's errors are OSErrors, and so are TLS's and the resolver's
            self._unreachable(error)

    def _open(self, deadline: Deadline) -> Session:
        server = self.server
        session = Session(server.host, server.port, self.deadline, implicit_tls=server.scheme == "smtps")
        try:
            deadline.watch(session)
            session.begin(starttls=server.scheme == "smtp+starttls")
            if server.user:
                self._login(session)
        except BaseException:
            session.leave()
            raise
        return session

    def _login(self, session: Session) -> None:
        refused = f"the mail server {self.server} refused the login of {self.server.user!r}"
        what = "check user and password in the smtp URL"
        try:
            session.login(self.server.user, self.server.password)
        except SMTPAuthenticationError as error:
            code, said = error.smtp_code, self._said(error.smtp_error)
            if 400 <= code < 500:
                message = f"the mail server {self.server} cannot log anybody in now: {code} {said}"
                raise Unavailable(message, status=code, code=CONNECTION) from None
            raise Unauthorized(f"{refused}: {code} {said}; {what}", status=code, code=CONNECTION) from None
        except SMTPNotSupportedError:
            why = f"the mail server {self.server} offers no login"
            raise Unauthorized(f"{why}; try smtp+starttls:// or leave out the user", code=CONNECTION) from None
        except UnicodeError:  # its text would show the password
            raise Unauthorized(f"{refused}: it is not plain ASCII; {what}", code=CONNECTION) from None
        except SMTPResponseException:
            raise
        except SMTPException as error:
            if session.sock is None:
                raise
            raise Unauthorized(f"{refused}: {self._said(str(error))}; {what}", code=CONNECTION) from None

    def _name(self, session: Session, letter: Letter) -> str | None:
        options = letter.options()
        if letter.utf8 and not session.has_extn("smtputf8"):
            raise Rejected(f"the mail server {self.server} cannot write to the address {letter.to}: it has no SMTPUTF8")
        code, said = session.mail(letter.sender, options)
        self._accepted(code, said, f"the sender {letter.sender}")
        code, said = session.rcpt(letter.to)
        self._accepted(code, said, f"the address {letter.to}")
        if not letter.bcc:
            return None
        code, said = session.rcpt(letter.bcc)
        if code == _CLOSING:
            raise _Ended(f"{code} {self._said(said)}")
        return None if 200 <= code < 300 else f"the copy to bcc was refused: {code} {self._said(said)}"

    def _data(self, letter: Letter) -> str:
        session = self._session
        assert session is not None
        try:
            code, said = session.docmd("DATA")
            if code != 354:
                self._accepted(max(code, 451), said, f"the mail to {letter.to}")
            session.send(letter.dotted())
        except (_Ended, OSError) as error:
            self._unreachable(error)
        try:
            session.send(b".\r\n")
            code, said = session.getreply()
        except OSError as error:
            self._unknown(f"the connection failed ({self._said(_why(error))})")
        if not (200 <= code < 300 or 400 <= code < 600):
            self._unknown(f"the answer cannot be understood: {code} {self._said(said)}")
        try:
            self._accepted(code, said, f"the mail to {letter.to}")
        except _Ended as error:
            self._unreachable(error)
        return f"{code} {self._said(said)}"

    def _accepted(self, code: int, said: bytes, what: str) -> None:
        """Raises what an answer means that is not a yes: 4yz try again, 5yz no (RFC 5321 section 4.2.1)."""
        if 200 <= code < 300:
            return
        text = f"{code} {self._said(said)}"
        session = self._session
        if code == _CLOSING or session is None or code < 400:
            raise _Ended(text)
        if not session.start_over():
            self.close()
        if code in _NO_LOGIN:
            what = f"the mail server {self.server} wants another login: {text}; check the smtp URL"
            raise Unauthorized(what, status=code, code=CONNECTION)
        kind: type[ConnectorError] = Rejected if code >= 500 else Unavailable
        verb = "refused" if kind is Rejected else "does not take now"
        raise kind(f"the mail server {self.server} {verb} {what}: {text}", status=code)

    def _unknown(self, what: str) -> NoReturn:
        self.close()
        raise Uncertain(f"the mail was handed to {self.server} whole, but {what}")

    def _unreachable(self, error: Exception) -> NoReturn:
        self.close()
        message = f"the mail server {self.server} cannot be reached, nothing was sent: {self._said(_why(error))}"
        raise Unavailable(message, code=CONNECTION) from None

    def _said(self, text: bytes | str) -> str:
        """The server's words in one line, without the password should it repeat it."""
        line = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if self.server.password:
            line = line.replace(self.server.password, "«redacted»")
        return re.sub(r"\s+", " ", "".join(each if each.isprintable() else " " for each in line)).strip()[:500]


class _Ended(Exception):
    """The server ended the conversation before anything was sent."""


def _why(error: Exception) -> str:
    if isinstance(error, SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return str(error) or type(error).__name__
