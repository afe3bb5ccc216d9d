"""The contract of a channel: a way to tell the customer something.

A channel is one file in this package with one subclass of `Channel` that sets `name`; it is registered by existing.
It renders nothing, repeats nothing and remembers nothing: one call of `send` is one try at one message, and it fails
only as one of the six errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import ClassVar, Self

from connectors.registry import choose, plug_ins

CONNECTION = "connection"
"""`ConnectorError.code` of failures that are not this message's own: the next one would fare no better now."""

Begin = Callable[[], None]
"""Called once, right before what cannot be taken back; what it raises ends the try with nothing sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is said, to whom. `at` is the time it bears, with time zone."""

    to: str
    """The bare address."""
    subject: str
    text: str
    sender: str
    """`Name <address>` or a bare address."""
    key: str
    """Stable over all tries: the receiver's side can recognise a repetition by what is derived from it."""
    at: datetime
    to_name: str = ""
    html: str | None = None
    reply_to: str | None = None
    bcc: str | None = None
    """Gets a copy that the customer does not see."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The other side took the message. `answer` is what it said; `warning` what nevertheless needs a look."""

    message_id: str
    answer: str
    warning: str | None = None


class Channel:
    """One connection to the outside, used for several messages by one thread; a context manager that closes it.

    `url` says where and with which credentials; `deadline` is wall-clock seconds for one `send`. Raises `ValueError`
    for a URL that cannot be used, without repeating its password.
    """

    name: ClassVar[str]
    deadline: float

    def __init__(self, url: str, *, deadline: float = 30.0) -> None:
        self.deadline = deadline

    def message_id(self, message: Message) -> str:
        """What the other side will know the message by: the same for every try of it."""
        raise NotImplementedError

    def send(self, message: Message, begin: Begin) -> Receipt:
        """Sends one message within `deadline`.

        Raises:
            Rejected: the other side, or our own rendering, refuses this message; it would again.
            Unauthorized: the credentials were refused; surely not sent.
            Unavailable: surely not sent; with code `CONNECTION` the whole connection is at fault.
            Uncertain: it may have been sent. It must not be repeated before somebody has looked.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Ends the connection, if there is one; the next `send` opens another."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def channels() -> dict[str, type[Channel]]:
    """Every channel by name; a file in this package is one."""
    return plug_ins("connectors.channels", Channel, "name", lambda found: found.name)


def channel(name: str) -> type[Channel]:
    """The channel of that name. Raises `LookupError` with the nearest one."""
    return choose(channels(), name, "channel")
