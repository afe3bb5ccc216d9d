"""The shapes in which the emulated Oracle Fusion answers: pages, problems of REST framework 4, SOAP envelopes."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc

SPOILT = "The transaction is refused by a validation of the pod."
OPTIONS = {"onlyData", "limit", "offset", "orderBy", "q", "finder", "expand", "fields", "totalResults"}


class Refused(Refusal):
    """What Fusion says no to."""

    def __init__(self, detail: str, status: int = 400, code: str = "") -> None:
        title = {400: "Bad Request", 404: "Not Found"}[status]
        super().__init__(problem(status, title, detail, code=code), detail)


def page(found: list[Doc], query: Mapping[str, str]) -> Response:
    """A page of a collection: `limit` rows (at most 500) from `offset` on. Raises `Refused` for a parameter that no
    collection has."""
    if unknown := query.keys() - OPTIONS:
        raise Refused(f"URL request parameter {min(unknown)} is not valid")
    limit, offset = min(500, int(query.get("limit", 25))), int(query.get("offset", 0))
    shown = found[offset : offset + limit]
    whole = {
        "items": shown,
        "count": len(shown),
        "hasMore": len(found) > offset + limit,
        "limit": limit,
        "offset": offset,
        "links": [],
    }
    return Response.json(200, whole)


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, code: str = "") -> Response:
    details = [{"detail": detail, "o:errorCode": code or "AR", "o:errorPath": ""}] if detail else []
    return Response.json(status, {"title": title, "status": str(status), "o:errorDetails": details}, headers)


def fault(text: str) -> Response:
    return envelope(500, f"<env:Fault><faultcode>env:Server</faultcode><faultstring>{text}</faultstring></env:Fault>")


def envelope(status: int, inner: str) -> Response:
    body = f'<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>{inner}</env:Body></env:Envelope>'
    return Response(status, body.encode(), {"Content-Type": "text/xml;charset=UTF-8"})
