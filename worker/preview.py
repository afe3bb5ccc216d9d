"""What an order would become on a platform, call by call, without sending anything."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from connectors.auth import StaticHeaders
from connectors.model import Event
from connectors.platforms.documents import Plan, PlannedInvoice
from connectors.sources.base import NotInvoiceable
from connectors.sources.delivery import Delivery
from connectors.sources.standard import Standard
from worker.config_sections import AccountRef
from worker.intending import intent_of
from worker.store.intents import SHADOW, draft_of
from worker.store.jobs import now


def previewed(ref: AccountRef, body: bytes) -> list[dict[str, Any]]:
    """The calls for an event as `POST /events` takes it: those for its customer, then those for its invoice, dated
    today. The customer's id, which the platform gives, reads `<customer>`, an earlier call's `{step}`.

    Raises `MalformedBody`, `NotInvoiceable`, and `Rejected` with the sentence for which the order would be held.
    """
    event: Event = Standard([]).normalise(Delivery("preview", "", now(), None), body)
    if event.order is None:
        raise NotInvoiceable("The event names its order and does not carry it: there is nothing to show")
    platform = ref.platform(ref.settings, StaticHeaders({}), None, ref.account.base_url, bulk=ref.account.bulk)
    intent = intent_of(ref, "api", event.order, "preview", now())
    calls: list[dict[str, Any]] = []
    if ref.account.customer is None:
        calls += _shown(platform, "customer", platform.customers.plan(intent.customer_draft()))
    draft = draft_of(intent, intent.reference)
    planned = PlannedInvoice(draft=draft, customer_id=ref.account.customer or SHADOW)
    return calls + _shown(platform, "invoice", platform.invoices.plan(planned))


def _shown(platform: Any, what: str, plan: Plan) -> list[dict[str, Any]]:
    """Each call as it would leave, without what proves that it is ours."""
    return [
        {
            "what": f"{what}, {request.step}",
            "method": request.method,
            "url": platform.base_url + request.path + (f"?{urlencode(request.query)}" if request.query else ""),
            "headers": {**platform.headers, **platform.tenant_headers(), **request.headers},
            "body": _readable(request.body),
            "remark": request.remark,
        }
        for request in plan
    ]


def _readable(body: str) -> str:
    """JSON over lines, its numbers as they are; anything else as it is. An id that an earlier call makes: `{step}`."""
    body = re.sub("\x1a([^\x1a]*)\x1a", r"{\1}", body)
    try:
        parsed = json.loads(body, parse_float=lambda digits: f"\x1a{digits}\x1a")
    except ValueError:
        return body
    text = json.dumps(parsed, indent=2, ensure_ascii=False)
    return re.sub(r'"\\u001a([^"\\]*)\\u001a"', r"\1", text)
