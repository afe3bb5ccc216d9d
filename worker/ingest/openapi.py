"""The API's documentation: an OpenAPI document made from the models, and a page that shows it without any script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from connectors.model import Event
from connectors.sources.standard import MOST
from worker.ingest.answers import ArrayResult, Problem, Taken
from worker.ingest.staff import Completion, Dismissal, DismissedRows

EXAMPLE = {
    "id": "evt-1",
    "type": "order.fulfilled",
    "occurred_at": "2026-11-22T10:00:00Z",
    "order": {
        "id": "8a61f0",
        "ref": "SO-1001",
        "currency": "GBP",
        "placed_at": "2026-11-20T09:00:00Z",
        "tax_included": False,
        "customer": {
            "ref": "C-9",
            "name": "Ada Lovelace",
            "company": "Analytical Engines Ltd",
            "email": "ada@example.com",
            "phone": None,
            "tax_id": None,
        },
        "billing_address": {
            "line1": "12 Engine Row",
            "line2": None,
            "city": "London",
            "region": None,
            "postcode": "N1 7AA",
            "country": "GB",
        },
        "shipping_address": None,
        "lines": [
            {
                "ref": "1",
                "sku": "PLQ-BR",
                "description": "Brass plaque, engraved",
                "quantity": "2",
                "unit_price": "45.00",
                "discount": "0",
                "tax": {"name": "VAT", "rate": "20", "amount": "18.00"},
                "attributes": {"engraving": "To Ada, 1843"},
            }
        ],
        "discount": {"amount": "5.00", "tax": {"name": "VAT", "rate": "20", "amount": "1.00"}},
        "shipping": {
            "description": "Courier",
            "amount": "7.95",
            "tax": {"name": "VAT", "rate": "20", "amount": "1.59"},
        },
        "total": "111.54",
    },
    "shipment": {
        "ref": "SH-1",
        "carrier": "ups",
        "tracking_number": "1Z9999999999999999",
        "lines": [{"ref": "1", "quantity": "2"}],
    },
}
"""An event that is accepted as it stands."""

_MODELS: tuple[type[BaseModel], ...] = (Event, Completion, Dismissal, Taken, ArrayResult, DismissedRows, Problem)
_RETRY = {"Retry-After": {"description": "Seconds to wait before sending it again", "schema": {"type": "integer"}}}
_ABOUT = """Push events about orders; each order becomes exactly one invoice.

A 2xx means that the event is stored for good. After any other answer, or none at all, send the same request again:
an event with the same id and content is never counted twice.

Who is calling: the shop's API key as “Authorization: Bearer …”, or a signature by Standard Webhooks made with the
shop's webhook_secret. A signature does not say whose it is: if more than one shop has a secret, name the shop in
the header X-Billhook-Shop or as ?shop=."""


@cache
def document() -> dict[str, Any]:
    """The API as OpenAPI 3.1."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    del schemas["$defs"]["Order"]["properties"]["ref"]["default"]  # it defaults to the id, not to the empty text
    return {
        "openapi": "3.1.0",
        "info": {"title": "Billhook", "version": "1", "description": _ABOUT},
        "paths": {
            "/events": {"post": _push()},
            "/in/{shop}/{source}": {"post": _deliver()},
            "/orders/{ref}": {"get": _question("An order with its invoices, notices and timeline", "ref")},
            "/orders/{ref}/complete": {"post": _complete()},
            "/orders/{ref}/dismiss": {"post": _dismiss()},
            "/events/{id}": {"get": _question("An event and what came of it", "id")},
            "/healthz": {"get": _open("Whether the process is alive, with its counters", {"200": "It is."})},
            "/readyz": {
                "get": _open(
                    "Whether events can be accepted now; Redis and the configuration file are told but not needed",
                    {"200": "The store takes events.", "503": "The store cannot be written."},
                )
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "The shop's API key"},
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature",
                },
            },
        },
    }


def _push() -> dict[str, Any]:
    array = {"type": "array", "items": _ref("Event"), "minItems": 1, "maxItems": MOST}
    return {
        "operationId": "pushEvents",
        "summary": f"Push one event, or an array of up to {MOST:,}",
        "description": "order.fulfilled and order.completed ask for the invoice; others are stored and shown.",
        "security": [{"key": []}, {"signature": []}],
        "parameters": [
            _parameter("X-Billhook-Shop", "header", "The shop that signed; not needed with an API key"),
            _parameter("shop", "query", "The same, in the address"),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": [_ref("Event"), array]}, "example": EXAMPLE}},
        },
        "responses": _answers_to_a_push(),
    }


def _answers_to_a_push() -> dict[str, Any]:
    one_or_many = {"anyOf": [_ref("Taken"), _ref("ArrayResult")]}
    return {
        "202": _answer(
            "Accepted: stored for good. Of an array: at least one was; each element has its result.",
            one_or_many,
            {"id": "evt-1", "status": "accepted"},
        ),
        "200": _answer(
            "Duplicate: the same event was accepted before; nothing changes.",
            one_or_many,
            {"id": "evt-1", "status": "duplicate"},
        ),
        **_problems(400, 401, 408),
        "409": _problem("An event with this id was accepted before with another body."),
        "413": _problem("Larger than 1 MiB, or 10 MiB for an array."),
        "422": _answer(
            "Wrong fields, each with its path; amounts that do not add up, with the difference. An array of which"
            " nothing was accepted is answered with its results instead.",
            {"anyOf": [_ref("Problem"), _ref("ArrayResult")]},
            {
                "error": "invalid_event",
                "message": "The event was not accepted: a field is wrong.",
                "errors": [
                    {
                        "path": "order.total",
                        "message": "total 111.55 differs from the sum of lines, discount, shipping and tax by 0.01",
                    }
                ],
            },
        ),
        **_problems(429, 503),
    }


def _deliver() -> dict[str, Any]:
    return {
        "operationId": "deliver",
        "summary": "Where a shop system posts its webhooks, as it makes them",
        "description": "What is properly signed and JSON is kept and answered 2xx, even if it cannot be invoiced. "
        "OPTIONS is answered where the sender's protocol asks by it whether it may send (CloudEvents).",
        "parameters": [
            _parameter("shop", "path", "The shop's name in the configuration"),
            _parameter("source", "path", "The source's name there"),
            _parameter("token", "query", "For senders that sign nothing; access_token is the same"),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {
            "202": _answer(
                "Stored for good; a list where the sender packs several deliveries.",
                {"anyOf": [_ref("Taken"), _ref("ArrayResult")]},
                {"id": "orders/fulfilled:b54557e4", "status": "accepted"},
            ),
            "200": {"description": "Stored before, or the shop only asked if somebody is there."},
            **_problems(400, 401, 404, 408),
            "413": _problem("Larger than 10 MiB."),
            "422": _problem("The database cannot hold it."),
            **_problems(429, 503),
        },
    }


def _complete() -> dict[str, Any]:
    example = {"who": "Grace", "why": "picked up at the counter"}
    return {
        "operationId": "completeOrder",
        "summary": "Staff sets an order to completed",
        "description": "The invoice is due, if the shop's trigger names order.completed. Each request is an act of its "
        "own in the trail; the order has one invoice however often it is completed.",
        "security": [{"key": []}],
        "parameters": [_parameter("ref", "path", "Its name, source:name, the source's id, or Billhook's")],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Completion"), "example": example}},
        },
        "responses": {
            "202": _answer("Stored for good.", _ref("Taken"), {"id": "0193f5b2", "status": "accepted"}),
            **_problems(400, 401, 404, 408),
            "409": _problem("The name means several orders, which are listed; or the shop's trigger does not name it."),
            "413": _problem("Larger than 1 MiB."),
            "422": _problem("who or why is missing or wrong."),
            **_problems(429, 503),
        },
    }


def _dismiss() -> dict[str, Any]:
    row = {"what": "invoice", "label": "SO-1001", "account": "books", "was": "held", "reason": "unknown tax code"}
    return {
        "operationId": "dismissOrder",
        "summary": "Staff ends what is held of an order, or a held event: it was dealt with elsewhere",
        "description": "It is final and counts as held no more. Sent again, the list is empty: nothing is held.",
        "security": [{"key": []}],
        "parameters": [_parameter("ref", "path", "The order's name, source:name or id; or the event's id")],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _ref("Dismissal"),
                    "example": {"who": "Grace", "why": "invoiced by hand"},
                }
            },
        },
        "responses": {
            "200": _answer("What was dismissed.", _ref("DismissedRows"), {"dismissed": [row]}),
            **_problems(400, 401, 404, 408),
            "409": _problem(
                "The name means several orders; an invoice may exist on its platform (say even_if_sent); or invoices of"
                " other orders wait for its customer. Nothing was dismissed."
            ),
            "413": _problem("Larger than 1 MiB."),
            "422": _problem("who or why is missing or wrong."),
            "503": _problem(_WHY[503], retry=True),
        },
    }


def _question(summary: str, name: str) -> dict[str, Any]:
    return {
        "operationId": f"ask{name.capitalize()}",
        "summary": summary,
        "description": "Only the shop's own; what belongs to another shop is not found.",
        "security": [{"key": []}],
        "parameters": [_parameter(name, "path", "As the shop calls it")],
        "responses": {
            "200": {"description": "Found.", "content": _json({"type": "object"})},
            "300": {"description": "Two sources use this name; the answer lists their ids.", "content": _json({})},
            **_problems(401, 404, 503),
        },
    }


def _open(summary: str, answers: dict[str, str]) -> dict[str, Any]:
    content = _json({"type": "object"})
    return {
        "summary": summary,
        "responses": {status: {"description": text, "content": content} for status, text in answers.items()},
    }


_WHY = {
    400: "Not JSON, or JSON with something no database can hold; an array that is empty or too long.",
    401: "API key or signature are missing or wrong.",
    404: "There is nothing of that name that this caller may see.",
    408: "The body did not arrive within 30 seconds.",
    429: "More comes in than can be stored; nothing of this request was.",
    503: "The store is down; it is not known whether this request was stored.",
}


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): _problem(_WHY[status], retry=status in (429, 503)) for status in statuses}


def _problem(description: str, *, retry: bool = False) -> dict[str, Any]:
    return {"description": description, "content": _json(_ref("Problem")), **({"headers": _RETRY} if retry else {})}


def _answer(description: str, schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameter(name: str, place: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
    }


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h2{border-top:1px solid #ccc;padding-top:1rem;margin-top:2.5rem}code,pre{font:14px/1.4 ui-monospace,monospace}
pre{background:#f4f4f4;padding:.8rem;overflow:auto}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top}p{white-space:pre-line}
@media(prefers-color-scheme:dark){body{background:#1b1b1b;color:#ddd}pre{background:#2a2a2a}a{color:#8bf}}"""


def page(api: dict[str, Any]) -> str:
    """The OpenAPI document as one HTML page; nothing is loaded from anywhere."""
    info = api["info"]
    return "".join(
        (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])} API</title>",
            f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
            f"<h1>{escape(info['title'])} API</h1><p>{escape(info['description'])}</p>",
            "<p>For programs: <a href='openapi.json'>openapi.json</a></p>",
            *(_operation(path, verb, told) for path, verbs in api["paths"].items() for verb, told in verbs.items()),
            *(_schema(name, told) for name, told in api["components"]["schemas"].items()),
        )
    )


def _operation(path: str, verb: str, told: dict[str, Any]) -> str:
    parts = [f"<h2><code>{verb.upper()} {escape(path)}</code></h2>", f"<p><b>{escape(told['summary'])}</b></p>"]
    parts.append(f"<p>{escape(told.get('description', ''))}</p>")
    if rows := [(each["name"], f"{each['in']}: {each['description']}") for each in told.get("parameters", ())]:
        parts.append(_table("Parameter", "Where and what", rows))
    for media in told.get("requestBody", {}).get("content", {}).values():
        parts += ["<h3>Example</h3>", *_example(media)]
    parts.append("<h3>Answers</h3>")
    parts.append(_table("Status", "Meaning", [(code, each["description"]) for code, each in told["responses"].items()]))
    for code, each in told["responses"].items():
        for media in each.get("content", {}).values():
            if "example" in media:
                parts += [f"<h4>{code}</h4>", *_example(media)]
    return "".join(parts)


def _example(media: dict[str, Any]) -> Iterator[str]:
    if "example" in media:
        yield f"<pre>{escape(json.dumps(media['example'], indent=2, ensure_ascii=False))}</pre>"


def _schema(name: str, told: dict[str, Any]) -> str:
    head = f"<h2 id='{escape(name)}'>{escape(name)}</h2><p>{escape(told.get('description', ''))}</p>"
    if "enum" in told:
        return head + f"<p>One of {escape(', '.join(map(str, told['enum'])))}.</p>"
    required = told.get("required", ())
    rows = [
        (field, f"{_type(each)}{' (required)' if field in required else ''} {each.get('description', '')}")
        for field, each in told.get("properties", {}).items()
    ]
    return head + _table("Field", "Content", rows)


def _type(told: dict[str, Any]) -> str:
    if "$ref" in told:
        return str(told["$ref"]).rpartition("/")[2]
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(_type(each) for each in told["anyOf"]))
    if told.get("type") == "array":
        return f"list of {_type(told.get('items', {}))}"
    if "enum" in told:
        return ", ".join(map(str, told["enum"]))
    return str(told.get("format") or told.get("type") or "anything")


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td><code>{escape(a)}</code><td>{escape(b)}" for a, b in rows)
    return f"<table><tr><th>{left}<th>{right}{body}</table>"
