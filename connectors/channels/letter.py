"""A message as the bytes of a mail (RFC 5322, MIME): every name and subject on one line, every body plain ASCII.

Nothing that a customer or a shop wrote can add a header: control characters become spaces before the standard
library, which refuses line breaks too, sees them.
"""

from __future__ import annotations

import hashlib
import re
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from connectors.channels.base import Message
from connectors.errors import Rejected

_PLAIN = re.compile(r'[^\s@<>()\[\],;:\\"\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\\"\x00-\x1f\x7f]+\.?')
_NAMED = re.compile(r'\s*"?(?P<name>.*?)"?\s*<(?P<address>[^<>]*)>\s*', re.DOTALL)
_KEY = re.compile(r"[A-Za-z0-9-]{1,64}")
_OURS = ("from", "to", "reply-to", "bcc", "subject", "date", "message-id", "auto-submitted", "mime-version")

NAME_MOST, SUBJECT_MOST = 100, 250
"""Characters; a header line of more than 998 bytes is not a mail any more."""


def one_line(text: str) -> str:
    """The text with every run of control characters and blanks as one space; joiners inside emoji stay."""
    kept = "".join(each if each.isprintable() or each in "\u200c\u200d\u200e\u200f" else " " for each in text)
    return " ".join(kept.split())


def split_mailbox(text: str) -> tuple[str, str]:
    """(name, address) of `Name <address>`, `"Name" <address>` or a bare address; the name may be empty."""
    if named := _NAMED.fullmatch(text):
        return one_line(named["name"]), named["address"].strip()
    return "", text.strip()


def sender_name(sender: str) -> str:
    """What a reader knows the sender by: its name, else the address."""
    name, address = split_mailbox(sender)
    return name or address


def address_of(text: str, whose: str) -> Address:
    """A bare address, its domain in ASCII (IDNA). Raises `Rejected` for what nobody could deliver to."""
    try:
        if not _PLAIN.fullmatch(text) or len(text) > 254:
            raise ValueError
        local, _, domain = text.rpartition("@")
        return Address(username=local, domain=domain.encode("idna").decode("ascii"))
    except (ValueError, MessageError):
        shown = one_line(text)[:80]
        raise Rejected(f"{whose} {shown!r} cannot be written to: it is not of the form name@example.com") from None


def message_id(key: str, sender: str) -> str:
    """The same for the same key and sender; not to be told from others for a key of other characters."""
    name = key if _KEY.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:40]
    return f"<{name}@{address_of(split_mailbox(sender)[1], 'the sender').domain}>"


class Letter:
    """A message ready to be sent. Raises `Rejected` when it cannot be written."""

    def __init__(self, message: Message) -> None:
        name, address = split_mailbox(message.sender)
        sender = address_of(address, "the sender")
        to = address_of(message.to, "the address")
        bcc = address_of(message.bcc, "the bcc address") if message.bcc else None
        self.sender, self.to = sender.addr_spec, to.addr_spec
        self.bcc = bcc.addr_spec if bcc else None
        self.message_id = message_id(message.key, message.sender)
        self.utf8 = not "".join((self.sender, self.to, self.bcc or "")).isascii()
        try:
            self._bytes = self._composed(message, _named(name, sender), _named(message.to_name, to))
        except (ValueError, MessageError) as error:
            raise Rejected(f"the mail to {self.to} cannot be written: {one_line(str(error))}") from None

    def _composed(self, message: Message, sender: Address, to: Address) -> bytes:
        mail = EmailMessage(policy.SMTPUTF8 if self.utf8 else policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = sender, to, one_line(message.subject)[:SUBJECT_MOST]
        if message.reply_to:
            name, address = split_mailbox(message.reply_to)
            mail["Reply-To"] = _named(name, address_of(address, "the reply_to address"))
        mail["Date"], mail["Message-ID"] = format_datetime(message.at), self.message_id
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
        for header, value in message.headers.items():
            if header.lower() in _OURS or header.lower().startswith("content-"):
                raise ValueError(f"the header {header} is not for the caller to set")
            mail[header] = one_line(value)
        mail.set_content(message.text, cte="quoted-printable")
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
        return mail.as_bytes()

    def options(self) -> list[str]:
        """Parameters of MAIL FROM."""
        return ["SMTPUTF8", "BODY=8BITMIME"] if self.utf8 else []

    def dotted(self) -> bytes:
        """The bytes as they go over the wire up to the final dot, lines that begin with a dot doubled (RFC 5321)."""
        data = re.sub(rb"(?m)^\.", b"..", self._bytes)
        return data if data.endswith(b"\r\n") else data + b"\r\n"


def _named(name: str, address: Address) -> Address:
    return Address(display_name=one_line(name)[:NAME_MOST], username=address.username, domain=address.domain)
