"""WooCommerce's webhooks: `order.updated` with status "completed" asks for the invoice.

Traps: only the body is signed; the topic fires on every save of an order; the body is built when it
is sent, so it shows the present state; two deliveries within a second share their delivery id; a
failed delivery is never repeated. All totals are without tax, whatever `prices_include_tax` says:
that only tells how prices were entered, so `tax_included` is always false here. Core knows no parcels: the plugins
*Shipment Tracking* and *Advanced Shipment Tracking* keep their numbers in the order's `meta_data`. An order lists its
refunds, and stays as it was placed: each refund is stored beside it.

Facts: woocommerce/woocommerce, includes/class-wc-webhook.php; WooCommerce REST API v3, "Orders"; zorem's
woo-advanced-shipment-tracking (the fields of `_wc_shipment_tracking_items`). In doubt: other plugins' keys.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, SecretStr, model_validator

from connectors.model import (
    Address,
    Adjustment,
    Amount,
    Charge,
    Currency,
    Event,
    EventType,
    Line,
    Order,
    Party,
    Shipment,
    Tax,
)
from connectors.sources import waking, woocommerce_asking, woocommerce_refunds, woocommerce_writing
from connectors.sources.base import (
    BodySigned,
    Look,
    NotInvoiceable,
    Options,
    digest,
    display,
    inbox_id,
    moment,
    parse_json,
)
from connectors.sources.delivery import Delivery
from connectors.sources.reading import (
    Body,
    Flag,
    Many,
    Said,
    TaxPart,
    attributes,
    check_tax,
    country_code,
    full_name,
    one_tax,
    party,
    plain,
    speaking_of,
    unit_price,
)

if TYPE_CHECKING:
    from connectors.http import Http
    from connectors.sources.asking import Api, Found, Page, Posted

_PING = re.compile(rb"webhook_id=[0-9]{1,20}")
_CANCELLED = ("cancelled", "trash")

GmtTime = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]
"""The `…_gmt` fields are UTC and do not say so."""


class AppliedTax(Body):
    id: Said = None
    """The `rate_id` of a tax line."""
    total: Said = None
    """Nothing where this rate does not apply."""


class Item(Body):
    """What line, shipping and fee have in common."""

    id: str
    total: Amount
    total_tax: Amount = Decimal(0)
    taxes: Many[AppliedTax] = ()


class LineItem(Item):
    name: Said = None
    sku: Said = None
    quantity: Amount
    subtotal: Amount
    """Before coupons; `total` is after them."""
    meta_data: Any = None


class ShippingLine(Item):
    method_title: Said = None


class FeeLine(Item):
    name: Said = None


class TaxLine(Body):
    rate_id: Said = None
    label: Said = None
    rate_percent: Amount | None = None
    compound: Flag = False


class PostalAddress(Body):
    first_name: Said = None
    last_name: Said = None
    company: Said = None
    address_1: Said = None
    address_2: Said = None
    city: Said = None
    state: Said = None
    postcode: Said = None
    country: Said = None
    email: Said = None
    phone: Said = None


class WooOrder(Body):
    """The fields of WooCommerce's order that an invoice needs."""

    id: str
    number: Said = None
    status: str
    currency: Currency
    total: Amount
    total_tax: Amount
    customer_id: Said = None
    date_created_gmt: GmtTime | None = None
    date_modified_gmt: GmtTime
    billing: PostalAddress = PostalAddress()
    shipping: PostalAddress = PostalAddress()
    line_items: Many[LineItem]
    shipping_lines: Many[ShippingLine] = ()
    fee_lines: Many[FeeLine] = ()
    tax_lines: Many[TaxLine] = ()
    refunds: Many[woocommerce_refunds.Listed] = ()
    created_via: Any = None
    meta_data: Any = None


class WooOptions(Options):
    completed_statuses: tuple[str, ...] = ("completed",)
    """The statuses that mean "done"; plugins add their own, such as "shipped"."""
    base_url: str | None = None
    """The shop's address, to ask it for missed orders."""
    consumer_key: str | None = None
    """Of a REST API key with permission to read."""
    consumer_secret: SecretStr | None = None
    write_back: bool = False
    """Note the invoice at the order, as a custom field; the key must be allowed to write, too."""
    webhook_address: str | None = None
    """Our own, to which the webhooks deliver: those that were switched off are switched on; needs a key that writes."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = (self.base_url, self.consumer_key, self.consumer_secret)
        if any(given) and not all(given):
            raise ValueError("base_url, consumer_key and consumer_secret belong together; one of them is missing")
        for name in ("write_back", "webhook_address"):
            if getattr(self, name) and not self.consumer_key:
                raise ValueError(f"{name} needs base_url, consumer_key and consumer_secret")
        return self


class WooCommerce(BodySigned):
    """The secret is the one shown on the webhook's screen."""

    kind = "woocommerce"
    signature_header = "X-WC-Webhook-Signature"
    options_model = WooOptions
    options: WooOptions

    def keys(self) -> Iterator[bytes]:
        """WooCommerce signs with the HTML entities of the secret decoded; a copied one may still have them."""
        for secret in self.secrets:
            yield from {secret.encode(), html.unescape(secret).encode()}

    def handshake(self, headers: Mapping[str, str], body: bytes) -> bool:
        """When a webhook is made, WooCommerce posts an unsigned form with nothing but its id and wants 200."""
        return "x-wc-webhook-signature" not in headers and _PING.fullmatch(body) is not None

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """The order, and each refund that it lists."""
        order = self.receive(headers, body)
        lists = order.type.startswith("order.") and b'"refunds"' in body
        refunds = woocommerce_refunds.listed(parse_json(body), order.order_ref) if lists else ()
        return [(order, body), *refunds]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is order, status, time of change and body; the delivery id is not unique and not used."""
        value = parse_json(body)
        order = value if isinstance(value, dict) else {}
        modified = order.get("date_modified_gmt")
        parts = [display(part) or "" for part in (order.get("id"), order.get("status"), modified)]
        return Delivery(
            id=inbox_id(*parts, digest(body)),
            type=headers.get("x-wc-webhook-topic", "").strip()[:100],
            occurred_at=moment(modified) or moment(f"{modified}+00:00"),
            order_ref=display(order.get("number")) or display(order.get("id")),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = parse_json(body)
        if delivery.type == woocommerce_refunds.TOLD and self.options.consumer_key:
            return Look()
        if delivery.type in (woocommerce_refunds.TOLD, woocommerce_refunds.READ):
            return woocommerce_refunds.refund_event(delivery, value)
        if not delivery.type:
            raise NotInvoiceable("WooCommerce did not say what happened: the header X-WC-Webhook-Topic was missing")
        if not delivery.type.startswith(("order.", "pulled/")) or delivery.type == "order.deleted":
            return None
        status, order_id = (value.get("status"), display(value.get("id"))) if isinstance(value, dict) else (None, None)
        done_before = delivery.type == woocommerce_asking.BEFORE
        type_ = EventType.ORDER_UPDATED if done_before else self._type(status)
        with speaking_of(f"WooCommerce order {delivery.order_ref or order_id or 'without id'}", type_, order_id):
            theirs = WooOrder.model_validate(value)
            hold = _not_owed(theirs)
            if type_ is EventType.ORDER_COMPLETED and hold:
                raise NotInvoiceable(hold)
            ours = _order(theirs).model_copy(update={"hold": hold})
            _check_tax(ours, theirs.total_tax)
            return Event(id=delivery.id, type=type_, occurred_at=theirs.date_modified_gmt, order=ours)

    def api(self, http: Http) -> Api | None:
        return woocommerce_asking.api_at(self.options, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        return woocommerce_refunds.fetch(api, parse_json(body))

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page:
        return woocommerce_asking.pull(api, cursor, now)

    def wake(self, api: Api) -> Sequence[str]:
        return waking.wake_woocommerce(api, self.options.webhook_address) if self.options.webhook_address else ()

    def write_back(self, api: Api, posted: Posted) -> bool:
        if self.options.write_back:
            woocommerce_writing.write(api, posted)
        return self.options.write_back

    def _type(self, status: Any) -> EventType:
        if status in self.options.completed_statuses:
            return EventType.ORDER_COMPLETED
        return EventType.ORDER_CANCELLED if status in _CANCELLED else EventType.ORDER_UPDATED


def _not_owed(theirs: WooOrder) -> str | None:
    """Why it is not owed as it was placed; None: it is."""
    if not theirs.refunds:
        return None
    back = -sum((each.total for each in theirs.refunds), Decimal(0))
    return f"{back} {theirs.currency} of it were refunded, so it is not owed in full"


def _check_tax(order: Order, stated: Decimal) -> None:
    try:
        check_tax(order, stated)
    except NotInvoiceable as error:
        hint = " (WooCommerce's setting “round tax at subtotal level” makes such differences)"
        raise NotInvoiceable(error.reason + hint) from None


def _order(theirs: WooOrder) -> Order:
    """Their order in our words. Raises `ValidationError` (does not add up) or `NotInvoiceable` (unknown tax rate)."""
    rates = {each.rate_id: each for each in theirs.tax_lines if each.rate_id}
    paid = [each for each in theirs.shipping_lines if each.total or each.total_tax]
    surcharges = [each for each in theirs.fee_lines if each.total > 0 or (not each.total and each.total_tax)]
    return Order(
        id=theirs.id,
        ref=theirs.number or theirs.id,
        currency=theirs.currency,
        placed_at=theirs.date_created_gmt,
        tax_included=False,
        customer=_customer(theirs),
        billing_address=_address(theirs.billing),
        shipping_address=_address(theirs.shipping),
        lines=(
            *(_line(each, theirs, rates) for each in theirs.line_items if each.quantity),
            *(_extra(f"fee-{each.id}", each.name or "Fee", each, theirs, rates) for each in surcharges),
            *(_extra(f"shipping-{each.id}", _method(each), each, theirs, rates) for each in paid[1:]),
        ),
        discount=_discount(theirs, rates),
        shipping=Charge(amount=paid[0].total, tax=_tax(paid[0], theirs, rates), description=_method(paid[0]))
        if paid
        else None,
        total=theirs.total,
        channel=display(theirs.created_via),
        shipments=tuple(_shipments(theirs.meta_data))[:1000],
    )


def _shipments(meta_data: Any) -> Iterator[Shipment]:
    """The parcels that a tracking plugin noted; what cannot be read of them must not keep the order back."""
    for note in meta_data if isinstance(meta_data, list) else ():
        if not isinstance(note, dict) or note.get("key") != "_wc_shipment_tracking_items":
            continue
        listed = note.get("value")
        if isinstance(listed, dict):  # PHP writes a list with gaps so
            listed = list(listed.values())
        for each in listed if isinstance(listed, list) else ():
            number = (display(each.get("tracking_number")) or "").strip() if isinstance(each, dict) else ""
            if number:
                carrier = display(each.get("tracking_provider")) or display(each.get("custom_tracking_provider"))
                yield Shipment(ref=display(each.get("tracking_id")) or number, carrier=carrier, tracking_number=number)


def _method(line: ShippingLine) -> str:
    return line.method_title or "Shipping"


def _line(item: LineItem, order: WooOrder, rates: Mapping[str, TaxLine]) -> Line:
    """A plugin may raise a line's total above its subtotal; then there is no discount to speak of."""
    before = max(item.subtotal, item.total)
    return Line(
        ref=item.id,
        sku=item.sku,
        description=item.name or item.sku or "Item",
        quantity=item.quantity,
        unit_price=unit_price(before, item.quantity, order.currency),
        discount=before - item.total,
        tax=_tax(item, order, rates),
        attributes=attributes(item.meta_data, "key", "value"),
    )


def _extra(ref: str, name: str, item: Item, order: WooOrder, rates: Mapping[str, TaxLine]) -> Line:
    return Line(ref=ref, description=name, quantity=Decimal(1), unit_price=item.total, tax=_tax(item, order, rates))


def _discount(order: WooOrder, rates: Mapping[str, TaxLine]) -> Adjustment | None:
    """Coupons are in the lines already; what is left is the negative fee that discount plugins add."""
    negative = [each for each in order.fee_lines if each.total < 0]
    if not negative:
        return None
    if len(negative) > 1:
        raise NotInvoiceable(f"it has {len(negative)} negative fees, and an invoice can show only one order discount")
    fee = negative[0]
    tax = _tax(fee, order, rates, sign=-1)
    return Adjustment(amount=-fee.total, tax=tax, description=fee.name or "Discount")


def _tax(item: Item, order: WooOrder, rates: Mapping[str, TaxLine], sign: int = 1) -> Tax | None:
    """The item's tax at the rates that `taxes` names or, where the body lacks that list, at the order's only rate."""
    applied = [rates[each.id] for each in item.taxes if each.id and each.id in rates and each.total]
    if not applied and item.total_tax and len(order.tax_lines) == 1:
        applied = list(order.tax_lines)
    if not applied and not item.total_tax:
        return None
    parts = [
        TaxPart(each.label or "Tax", plain(each.rate_percent), each.compound)
        for each in applied
        if each.rate_percent is not None
    ]
    if not parts or len(parts) < len(applied):
        raise NotInvoiceable(
            f"item {item.id} has {item.total_tax} {order.currency} of tax, but its rate is not in tax_lines"
        )
    return one_tax(parts, sign * item.total_tax)


def _customer(order: WooOrder) -> Party:
    """A guest has the customer id 0, and then no reference."""
    return party(
        ref=None if order.customer_id == "0" else order.customer_id,
        name=full_name(order.billing.first_name, order.billing.last_name)
        or full_name(order.shipping.first_name, order.shipping.last_name),
        company=order.billing.company,
        email=order.billing.email,
        phone=order.billing.phone,
    )


def _address(theirs: PostalAddress) -> Address | None:
    address = Address(
        line1=theirs.address_1,
        line2=theirs.address_2,
        city=theirs.city,
        region=theirs.state,
        postcode=theirs.postcode,
        country=country_code(theirs.country),
    )
    return None if address == Address() else address
