"""What both systems of an emulated Dynamics 365 say no with, and their lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from connectors.sandbox.base import Refusal, Response


class Invalid(Refusal):
    """A request that the platform refuses: status, code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        super().__init__(Response.json(status, {"error": {"code": code, "message": message}}), message)


unfiltered = partial(Invalid, 400, "BadRequest_NotFound")
"""To a `$filter` that it does not take, with its message."""


def paged(rows: list[Any], query: Mapping[str, str], most: int, address: str) -> dict[str, Any]:
    """A page of a list: at most so many rows, and where there are more the link to them (server-driven paging). Raises
    `Invalid` for an option of OData that is not taken."""
    if unknown := {name for name in query if name.startswith("$")} - {"$filter", "$expand", "$skiptoken"}:
        raise Invalid(400, "BadRequest", f"The query parameter '{min(unknown)}' is not supported.")
    start = int(query.get("$skiptoken", 0))
    following = urlencode({**query, "$skiptoken": str(start + most)})
    link = {"@odata.nextLink": f"{address}?{following}"} if len(rows) > start + most else {}
    return {"value": rows[start : start + most], **link}
