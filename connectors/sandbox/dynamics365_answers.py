"""What both systems of an emulated Dynamics 365 say no with."""

from __future__ import annotations

from functools import partial

from connectors.sandbox.base import Refusal, Response


class Invalid(Refusal):
    """A request that the platform refuses: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        super().__init__(Response.json(status, {"error": {"code": code, "message": message}}), message)


unfiltered = partial(Invalid, 400, "BadRequest_NotFound")
"""To a `$filter` that it does not take, with its message."""
