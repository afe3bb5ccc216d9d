"""The shapes in which the emulated Oracle Fusion answers: pages, problems of REST framework 4, SOAP envelopes."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.sandbox.base import Response
from connectors.sandbox.shelf import Doc


def page(found: list[Doc], query: Mapping[str, str]) -> Response:
    limit = int(query.get("limit", 25))
    shown = found[:limit]
    whole = {
        "items": shown,
        "count": len(shown),
        "hasMore": len(found) > limit,
        "limit": limit,
        "offset": 0,
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
