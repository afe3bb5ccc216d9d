"""Events in an envelope: CloudEvents 1.0 over HTTP, and the `type`, `timestamp`, `data` of Standard Webhooks.

What is inside, in `data`, is an event of Billhook's own form; what it lacks is taken from the envelope. Traps: in
binary mode the attributes stand in headers, which a signature over the body does not cover, so they count only where
a token proves the whole request; their values are percent-encoded (HTTP binding, 3.1.3.2); `source` and `id` are
unique only together.

Facts: cloudevents/spec 1.0: spec.md, bindings/http-protocol-binding.md, formats/json-format.md, http-webhook.md.
standard-webhooks/standard-webhooks: spec/standard-webhooks.md ("Payload structure").
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import unquote

import orjson

from connectors.model import EventType
from connectors.sources.base import display

Mode = Literal["structured", "batched", "binary"]
TYPES = frozenset(each.value for each in EventType)
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time")


def mode(headers: Mapping[str, str]) -> Mode | None:
    """In which of its modes a request carries CloudEvents; None where it carries none (header names lower-case)."""
    kind = headers.get("content-type", "").strip().lower()
    if kind.startswith("application/cloudevents-batch"):
        return "batched"
    if kind.startswith("application/cloudevents"):
        return "structured"
    return "binary" if "ce-specversion" in headers else None


def from_headers(headers: Mapping[str, str], data: Any) -> dict[str, Any]:
    """The envelope of a request in binary mode, as it would be in structured mode."""
    given = {name: headers.get(f"ce-{name}") for name in _ATTRIBUTES}
    told = {name: unquote(value, errors="replace").replace("\x00", "") for name, value in given.items() if value}
    return {**told, "data": data}


def allowed(headers: Mapping[str, str]) -> dict[str, str] | None:
    """The answer to the question whether an origin may send: any may, at any rate, for each delivery must prove itself.

    None where no origin is named (http-webhook.md, 4).
    """
    origin = headers.get("webhook-request-origin", "").strip()
    if not origin or len(origin) > 253 or not (origin.isascii() and origin.isprintable()):
        return None
    return {"Allow": "POST", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}


def is_envelope(value: Any) -> bool:
    """Whether the event is in `data`; an event of Billhook's own form has no such field."""
    return isinstance(value, dict) and ("specversion" in value or ("data" in value and "occurred_at" not in value))


def identity(value: Mapping[str, Any]) -> str | None:
    """What makes a CloudEvent one and the same: its source and id together; a source has no blanks."""
    source, own = value.get("source"), value.get("id")
    return f"{source} {own}" if isinstance(source, str) and isinstance(own, str) and source and own else None


def opened(value: dict[str, Any], event_id: str) -> Any:
    """The event inside, with what it lacks from the envelope; `event_id` where it has no id of its own.

    What is no JSON object is returned as it is.
    """
    data = _data(value)
    if not isinstance(data, dict):
        return data
    around = {
        "id": event_id,
        "type": known_type(value.get("type")),
        "occurred_at": value.get("time") or value.get("timestamp"),
    }
    event = {name: told for name, told in around.items() if told is not None} | data
    subject = display(value.get("subject")) if "specversion" in value else None
    shipment = event.get("shipment")
    tracked = isinstance(shipment, dict) and shipment.get("tracking_number")
    if subject and not tracked and not any(event.get(name) for name in ("order", "order_id", "order_ref")):
        event["order_ref"] = subject
    return event


def known_type(text: Any) -> Any:
    """ "com.example.order.fulfilled" is "order.fulfilled"; what ends in no type of ours stays as it is."""
    if not isinstance(text, str):
        return text
    end = ".".join(text.rsplit(".", 2)[-2:])
    return end if end in TYPES else text


def _data(value: Mapping[str, Any]) -> Any:
    packed = value.get("data_base64")
    if "data" in value or not isinstance(packed, str):
        return value.get("data")
    try:
        return orjson.loads(base64.b64decode(packed, validate=True))
    except (binascii.Error, ValueError):
        return None
