"""BigCommerce's webhooks: they carry ids only, so each says where to look; the order is read from the v2 API, and
with it the refunds that it has.

The order's own `status_id` decides (2 Shipped, 10 Completed), whatever the webhook said: it may have moved on. Signed
the way of Standard Webhooks, but with the app's client secret as it stands, not as base64. Webhooks of all stores of
an app are signed with one secret: the store that a body names must be the configured one.

Facts: bigcommerce/docs, docs/integrations/webhooks (signature, retries, `data` of each scope), reference/
orders.v2.oas2.yml (taxes say which line they are of only with `details`), docs/api-docs/getting-started/
api-rate-limits.mdx (`X-Rate-Limit-Time-Reset-Ms`). In doubt: that `webhook-id` is the same in every retry, that a
list of nothing is a 204 everywhere (200 with [] is read, too), and that `min_date_modified` includes its own second.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import orjson
from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected, Unavailable
from connectors.http import Answer, Http
from connectors.model import Event, EventType
from connectors.sources import bigcommerce_refunds, bigcommerce_writing, waking
from connectors.sources.asking import Api, Found, Page, Posted
from connectors.sources.base import (
    Look,
    MalformedBody,
    NotInvoiceable,
    Options,
    Source,
    digest,
    display,
    inbox_id,
    parse_json,
)
from connectors.sources.bigcommerce_order import order_of
from connectors.sources.bigcommerce_words import Told, has_amount, rfc_2822
from connectors.sources.delivery import Delivery
from connectors.sources.reading import speaking_of
from connectors.sources.standard import Standard

NAME = "BigCommerce"
_API = "https://api.bigcommerce.com"
_ORDER = "order"
"""The type of an order that was read."""
_CHANGED = "changed/order"
"""The type of an order that a list of changes names."""
_INCOMPLETE, _SHIPPED, _CANCELLED, _DECLINED = 0, 2, 5, 6
_SCOPES = ("store/order/", "store/shipment/")
_REFUNDED = "store/order/refund/created"
_UNIMPORTANT = ("store/order/message/", "store/order/metafield/")
_LISTED = 50
_PRODUCTS = 250


class BigCommerceOptions(Options):
    """The store and a token of its API; without the token orders cannot be read."""

    store_hash: str | None = Field(default=None, pattern="^[A-Za-z0-9]+$")
    """What stands in the API's address after `stores/`."""
    access_token: SecretStr | None = None
    fulfilled_statuses: tuple[int, ...] = (2, 10)
    """`status_id`s that ask for the invoice."""
    base_url: str | None = None
    write_back: bool = False
    """Note the invoice at the order, as a metafield; the account must be allowed to modify orders."""
    webhook_address: str | None = None
    """Our own, to which the webhooks deliver: those that were switched off are switched on again."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if self.access_token is not None and self.store_hash is None:
            raise ValueError("access_token needs store_hash: the store whose token it is")
        if self.write_back and self.access_token is None:
            raise ValueError("write_back needs access_token, of an API account that may modify orders")
        if self.webhook_address and self.access_token is None:
            raise ValueError("webhook_address needs access_token, of an API account that may make webhooks")
        return self


class BigCommerceApi(Api):
    """Its quota opens again after as many milliseconds as a header says."""

    def wait(self, answer: Answer) -> float | None:
        reset = answer.headers.get("X-Rate-Limit-Time-Reset-Ms", "")
        return int(reset) / 1000 if reset.isascii() and reset.isdigit() and len(reset) < 9 else answer.retry_after


class BigCommerce(Source):
    """The secret is the client secret of the app (or API account) that made the webhook."""

    kind = "bigcommerce"
    options_model = BigCommerceOptions
    options: BigCommerceOptions

    def __init__(self, secrets: Sequence[str], options: Mapping[str, Any] | None = None) -> None:
        super().__init__(secrets, options)
        # The key is the secret as it stands; Standard Webhooks decodes what it is given, so it is given it encoded.
        keys = [base64.b64encode(secret.strip().encode()).decode() for secret in self.secrets]
        self._signed = Standard([f"whsec_{key}" for key in keys])

    # -- receiving -------------------------------------------------------------------------------------------------

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        self._signed.verify(headers, body, now)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """`webhook-id` is the key; the body's `hash` may come twice for two changes."""
        value = _object(parse_json(body))
        store, sent = display(value.get("producer")) or "", headers.get("webhook-id") or headers.get("svix-id")
        return Delivery(
            id=inbox_id(store, sent) if sent else inbox_id(store, digest(body)),
            type=(display(value.get("scope")) or "")[:100],
            occurred_at=_unix(value.get("created_at")),
            order_ref=_order_id(value),
        )

    # -- reading ---------------------------------------------------------------------------------------------------

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        if delivery.type == _ORDER:
            return self._event(delivery, value)
        if delivery.type == bigcommerce_refunds.READ:
            return bigcommerce_refunds.refund_event(delivery, value)
        if delivery.type == _CHANGED:
            return Look()
        if not delivery.type.startswith(_SCOPES) or delivery.type.startswith(_UNIMPORTANT):
            return None
        theirs = display(_object(value).get("producer"))
        if self.options.store_hash and theirs != f"stores/{self.options.store_hash}":
            raise NotInvoiceable(f"the webhook is of {theirs or 'no store'}, not of stores/{self.options.store_hash}")
        if _order_id(_object(value)) is None:
            raise NotInvoiceable("BigCommerce's webhook does not say which order it is about")
        return Look()

    def _event(self, delivery: Delivery, value: Any) -> Event | None:
        order = _object(_object(value).get("order"))
        order_id, status = display(order.get("id")), order.get("status_id")
        if status == _INCOMPLETE:
            return None
        type_ = self._type(status, order.get("is_deleted"))
        with speaking_of(f"BigCommerce order {order_id or 'without id'}", type_, order_id):
            told = Told.model_validate(value)
            hold = None
            if told.order.refunded_amount:
                back = f"{told.order.refunded_amount.normalize():f} {told.currency}"
                hold = f"{back} of it were refunded, so it is not owed in full"
            if hold and type_ in (EventType.ORDER_FULFILLED, EventType.ORDER_COMPLETED):
                raise NotInvoiceable(hold)
            at = told.order.date_modified or delivery.occurred_at
            if at is None:
                raise NotInvoiceable("BigCommerce does not say when it was changed")
            order_told = order_of(told).model_copy(update={"hold": hold})
            return Event(id=delivery.id, type=type_, occurred_at=at, order=order_told)

    def _type(self, status: Any, deleted: Any) -> EventType:
        if status in (_CANCELLED, _DECLINED) or deleted is True:
            return EventType.ORDER_CANCELLED
        if isinstance(status, int) and status in self.options.fulfilled_statuses:
            return EventType.ORDER_FULFILLED if status == _SHIPPED else EventType.ORDER_COMPLETED
        return EventType.ORDER_UPDATED

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.access_token is None:
            return None
        token = self.options.access_token.get_secret_value()
        http.hide(token)
        where = f"{(self.options.base_url or _API).rstrip('/')}/stores/{self.options.store_hash}/v2"
        return BigCommerceApi(NAME, where, {"X-Auth-Token": token}, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The order with its lines, taxes, addresses and parcels, as one document; and each refund of it."""
        order_id = _order_id(_object(parse_json(body)))
        if order_id is None or not (order_id.isascii() and order_id.isdigit()):
            raise Rejected(f"{NAME} named no order that could be asked for")
        path = f"/orders/{order_id}"
        try:
            order = _document(api, path, {"include": "fees"})
        except Rejected as error:
            if error.status == 404:
                return []
            raise
        if not isinstance(order, dict):
            return []
        document = {
            "order": order,
            "products": _all(api, f"{path}/products"),
            "taxes": _all(api, f"{path}/taxes", {"details": "true"}),
            "shipping_addresses": _all(api, f"{path}/shipping_addresses"),
            "shipments": _all(api, f"{path}/shipments"),
        }
        content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
        status = display(order.get("status_id")) or ""
        at = rfc_2822(order.get("date_modified"))
        found = Found(Delivery(inbox_id(_ORDER, order_id, status, digest(content)), _ORDER, at, order_id), content)
        refunds = delivery.type == _REFUNDED or has_amount(order.get("refunded_amount"))
        return [found, *(bigcommerce_refunds.read(api, order_id, order) if refunds else ())]

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """Orders changed since the cursor, a time and a page: "2026-11-22T10:59:50+00:00|1". Each is read later."""
        if cursor is None:
            return Page((), f"{now.astimezone(UTC).replace(microsecond=0).isoformat()}|1", more=False)
        since, _, number = cursor.partition("|")
        page = int(number) if number.isdigit() else 1
        query = {"min_date_modified": since, "sort": "date_modified:asc"}
        rows = _page(api, "/orders", {**query, "limit": str(_LISTED), "page": str(page)})
        found = tuple(_changed(each) for each in rows if each.get("status_id") != _INCOMPLETE)
        last = rfc_2822(rows[-1].get("date_modified")) if rows else None
        more = len(rows) == _LISTED
        if last is None or last.isoformat() == since:  # so many in one second: the page goes on
            return Page(found, f"{since}|{page + 1 if more else 1}", more)
        # From the last time again, not from the next page: what changes meanwhile moves to the end of the list.
        return Page(found, f"{last.isoformat()}|1", more)

    def wake(self, api: Api) -> Sequence[str]:
        return waking.wake_bigcommerce(api, self.options.webhook_address) if self.options.webhook_address else ()

    def write_back(self, api: Api, posted: Posted) -> bool:
        if self.options.write_back:
            bigcommerce_writing.write(api, posted)
        return self.options.write_back


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _unix(seconds: Any) -> datetime | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds < 10**10:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _order_id(value: Mapping[str, Any]) -> str | None:
    """The order that a webhook is about; a shipment's names it beside its own id."""
    data = _object(value.get("data"))
    return display(data.get("id") if data.get("type") == "order" else data.get("orderId"))


def _changed(order: Mapping[str, Any]) -> Found:
    """What a list says of an order, in the form of a webhook: where to look."""
    number, status, at = (display(order.get(name)) or "" for name in ("id", "status_id", "date_modified"))
    body = orjson.dumps({"data": {"type": "order", "id": number}, "status_id": status, "date_modified": at})
    return Found(Delivery(inbox_id(_CHANGED, number, status, at), _CHANGED, rfc_2822(at), number), body)


def _document(api: Api, where: str, query: Mapping[str, str]) -> Any:
    """The answer's JSON; None for an answer without a body (204), which is how the v2 API says that there is none."""
    answer = api.get(where, query)
    if not answer.body.strip():
        return None
    try:
        return parse_json(answer.body)
    except MalformedBody:
        raise Unavailable(f"{NAME} answered with something that is not JSON", sample=answer.sample) from None


def _page(api: Api, where: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    listed = _document(api, where, query)
    if listed is not None and not isinstance(listed, list):
        raise Unavailable(f"{NAME} answered {where} without a list")
    return [each for each in listed or () if isinstance(each, dict)]


def _all(api: Api, where: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Every page of a list that belongs to an order."""
    rows: list[dict[str, Any]] = []
    page = 1
    while True:
        part = _page(api, where, {**(query or {}), "limit": str(_PRODUCTS), "page": str(page)})
        rows += part
        if len(part) < _PRODUCTS:
            return rows
        page += 1
