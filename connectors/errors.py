"""The only ways in which a call to the outside world may fail.

    ConnectorError
    ├── Rejected       the platform (or our own rendering) says no; it will say so again
    ├── Duplicate      the number or id is taken: look which document has it
    ├── Throttled      too many calls; surely not done; try after `retry_after`
    ├── Unavailable    surely not done: nothing was sent, or the call only reads
    ├── Unauthorized   credentials refused; surely not done
    └── Uncertain      it may have been done: look before you post again

Whether a call may have happened is a property of the call (was it unsafe, was it sent), so the
class is chosen in one place, `connectors.http`, after the platform's own table of refusals.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One exchange with the outside, secrets already redacted; goes with each outcome into the trail."""

    method: str
    url: str
    request: str
    status: int | None
    response: str
    seconds: float


class ConnectorError(Exception):
    """A call failed. `message` is for the person who must act; `code` is the platform's own code, if it has one."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        sample: Sample | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.retry_after = retry_after
        """Seconds after which the platform wants to be asked again."""
        self.sample = sample


class Rejected(ConnectorError):
    """The platform refuses this document; a person must change something."""


class Duplicate(ConnectorError):
    """The number or id is taken. Not a kind of `Rejected`: the document that has it may be ours."""


class Throttled(ConnectorError):
    """Too many calls. Surely not done."""


class Unavailable(ConnectorError):
    """Surely not done: nothing was sent, or the call only reads."""


class Unauthorized(ConnectorError):
    """The credentials were refused. Surely not done."""


class Uncertain(ConnectorError):
    """The call may have been done: time-out after sending, cut connection, 5xx or unreadable answer."""
