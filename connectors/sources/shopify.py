"""Shopify's webhooks: `orders/fulfilled` carries the whole order and asks for the invoice; `fulfillments/…` a parcel;
`refunds/create` what was given back.

Traps: only the body is signed, so the topic is not taken at its word; `price` is before discounts,
which are spread over the lines as `discount_allocations`. Amounts are read from the plain fields,
which are in the shop's own currency (`currency`) even when the customer paid in another one
(`presentment_currency`): the merchant's books, and total, tax and lines then agree in one currency.

Facts: shopify.dev, "Verify webhook deliveries", "Ignore duplicate webhooks", "Order" resource.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr, model_validator

from connectors.model import Address, Amount, Charge, Currency, Event, EventType, Line, Moment, Order, Party, Tax
from connectors.sources import shopify_asking, shopify_refunds, shopify_writing
from connectors.sources.base import (
    BodySigned,
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
)
from connectors.sources.shopify_parcels import shipment_event, shipments, shipments_of

if TYPE_CHECKING:
    from connectors.http import Http
    from connectors.sources.asking import Api, Page, Posted

TOPICS = {
    "orders/fulfilled": EventType.ORDER_FULFILLED,
    "orders/cancelled": EventType.ORDER_CANCELLED,
    "orders/create": EventType.ORDER_UPDATED,
    "orders/paid": EventType.ORDER_UPDATED,
    "orders/partially_fulfilled": EventType.ORDER_UPDATED,
    "orders/updated": EventType.ORDER_UPDATED,
}
"""The topics whose body is a whole order."""
PARCELS = {"fulfillments/create", "fulfillments/update"}
"""The topics whose body is a parcel. All others but that of refunds are kept and change nothing."""

PAYABLE = {None, "paid", "partially_paid", "pending", "authorized"}
"""The values of `financial_status` with which a fulfilled order is owed in full."""


class TaxLine(Body):
    title: Said = None
    rate: Amount
    """A fraction: 0.2 is 20 %."""
    price: Amount


class Allocation(Body):
    amount: Amount


class LineItem(Body):
    id: str
    sku: Said = None
    name: Said = None
    """Title and variant in one."""
    title: Said = None
    quantity: Amount
    price: Amount
    discount_allocations: Many[Allocation] = ()
    tax_lines: Many[TaxLine] = ()
    properties: Any = None


class ShippingLine(Body):
    title: Said = None
    price: Amount
    discounted_price: Amount | None = None
    discount_allocations: Many[Allocation] = ()
    tax_lines: Many[TaxLine] = ()
    is_removed: Flag = False


class Customer(Body):
    id: Said = None
    email: Said = None
    first_name: Said = None
    last_name: Said = None
    phone: Said = None


class PostalAddress(Body):
    first_name: Said = None
    last_name: Said = None
    company: Said = None
    address1: Said = None
    address2: Said = None
    city: Said = None
    province: Said = None
    zip: Said = None
    country_code: Said = None
    phone: Said = None


class ShopifyOrder(Body):
    """The fields of Shopify's order that an invoice needs."""

    id: str
    name: Said = None
    email: Said = None
    contact_email: Said = None
    phone: Said = None
    currency: Currency
    taxes_included: Flag = False
    test: Flag = False
    cancelled_at: Said = None
    financial_status: Said = None
    fulfillment_status: Said = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    total_tax: Amount
    total_price: Amount
    current_total_price: Amount | None = None
    """After edits and refunds."""
    customer: Customer | None = None
    billing_address: PostalAddress | None = None
    shipping_address: PostalAddress | None = None
    line_items: Many[LineItem]
    shipping_lines: Many[ShippingLine] = ()
    tags: Any = None
    source_name: Any = None


class ShopifyOptions(Options):
    test_orders: bool = False
    """Invoice the orders of Shopify's test payment gateway, too."""
    shop: str | None = None
    """Which shop is asked for missed orders: the part before .myshopify.com, or its whole name."""
    access_token: SecretStr | None = None
    """Of an app made in the admin; or `client_id` and `client_secret`, of one made in the Dev Dashboard."""
    client_id: str | None = None
    client_secret: SecretStr | None = None
    base_url: str | None = None
    """Another address of the API than the shop's own."""
    write_back: bool = False
    """Note the invoice at the order, as a metafield."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together; one of them is missing")
        if (self.access_token or self.client_id) and not (self.shop or self.base_url):
            raise ValueError("shop is missing: the part before .myshopify.com, so that the shop can be asked")
        if self.write_back and not (self.access_token or self.client_id):
            raise ValueError("write_back needs client_id and client_secret (or access_token) of an app of the shop")
        return self

    @property
    def address(self) -> str:
        """Where the API is."""
        name = self.shop or ""
        return self.base_url or f"https://{name if '.' in name else name + '.myshopify.com'}"


class Shopify(BodySigned):
    """The secret is the app's client secret or, for hooks made in the admin, the signing secret shown there."""

    kind = "shopify"
    signature_header = "X-Shopify-Hmac-Sha256"
    options_model = ShopifyOptions
    options: ShopifyOptions

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """A refund is stored as the list of orders tells it, so that it enters once."""
        delivery = self.receive(headers, body)
        refund = shopify_refunds.kept(parse_json(body), None) if delivery.type == shopify_refunds.TOPIC else None
        return [refund or (delivery, body)]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is topic and `X-Shopify-Webhook-Id`, which stays the same over the retries of a delivery."""
        value = parse_json(body)
        order = value if isinstance(value, dict) else {}
        topic = headers.get("x-shopify-topic", "").strip()[:100]
        own = (
            order.get("order_id")
            if topic.startswith(("fulfillments/", "refunds/"))
            else order.get("name") or order.get("id")
        )
        return Delivery(
            id=inbox_id(topic, headers.get("x-shopify-webhook-id") or digest(body)),
            type=topic,
            occurred_at=moment(order.get("updated_at")) or moment(headers.get("x-shopify-triggered-at")),
            order_ref=display(own),
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | None:
        value = parse_json(body)
        if not delivery.type:
            raise NotInvoiceable("Shopify did not say what happened: the header X-Shopify-Topic was missing")
        if delivery.type in PARCELS:
            return self._parcel(delivery, value)
        if delivery.type == shopify_refunds.TOPIC:
            again = bool(self.options.access_token or self.options.client_id)
            return shopify_refunds.refund_event(delivery, value, tests=self.options.test_orders, told_again=again)
        type_ = TOPICS.get(delivery.type)
        if type_ is None:
            return None
        order_id = display(value.get("id")) if isinstance(value, dict) else None
        with speaking_of(f"Shopify order {delivery.order_ref or order_id or 'without id'}", type_, order_id):
            theirs = ShopifyOrder.model_validate(value)
            if type_ is EventType.ORDER_FULFILLED:
                self._refuse_if_not_owed(theirs)
            elif theirs.test and not self.options.test_orders:
                return None  # unknown, so that no parcel of it asks for an invoice
            elif theirs.cancelled_at:
                type_ = EventType.ORDER_CANCELLED
            ours = _order(theirs, value)
            if type_ is EventType.ORDER_UPDATED and (hold := _not_owed(theirs)):
                ours = ours.model_copy(update={"hold": hold})
            check_tax(ours, theirs.total_tax)
            occurred_at = theirs.updated_at or delivery.occurred_at
            if occurred_at is None:
                raise NotInvoiceable("updated_at is missing, so it cannot be told from an older state of the order")
            return Event(id=delivery.id, type=type_, occurred_at=occurred_at, order=ours)

    def api(self, http: Http) -> Api | None:
        return shopify_asking.api_at(self.options.address, self.options, http)

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page:
        return shopify_asking.pull(api, cursor, now, tests=self.options.test_orders)

    def write_back(self, api: Api, posted: Posted) -> bool:
        if self.options.write_back:
            shopify_writing.write(api, posted)
        return self.options.write_back

    def _parcel(self, delivery: Delivery, value: Any) -> Event | None:
        """What a fulfillment tells; it names its order by Shopify's id of it."""
        told = value if isinstance(value, dict) else {}
        type_ = shipment_event(told)
        receipt = told.get("receipt")
        test = isinstance(receipt, dict) and receipt.get("testcase") is True
        if type_ is None or (test and not self.options.test_orders):
            return None
        order_id, parcels = display(told.get("order_id")), shipments(told)
        occurred_at = moment(told.get("updated_at")) or delivery.occurred_at
        with speaking_of(f"Shopify fulfillment {display(told.get('id')) or 'without id'}", type_, order_id):
            if order_id is None or not parcels or occurred_at is None:
                raise NotInvoiceable("id, order_id or updated_at is missing")
            return Event(id=delivery.id, type=type_, occurred_at=occurred_at, order_id=order_id, shipment=parcels[0])

    def _refuse_if_not_owed(self, order: ShopifyOrder) -> None:
        """Raises `NotInvoiceable` for what a person should decide; the states are Shopify's, the policy is ours."""
        if order.test and not self.options.test_orders:
            raise NotInvoiceable("it is a test order (set test_orders = true on the source to invoice those, too)")
        if order.cancelled_at:
            raise NotInvoiceable(f"it was cancelled in the shop at {order.cancelled_at}")
        if order.fulfillment_status != "fulfilled":
            raise NotInvoiceable(
                f"its fulfillment_status is “{order.fulfillment_status or 'unfulfilled'}”, not “fulfilled”"
            )
        if reason := _not_owed(order):
            raise NotInvoiceable(reason)


def _not_owed(order: ShopifyOrder) -> str | None:
    """Why it is not owed as it was placed; None: it is."""
    if order.financial_status not in PAYABLE:
        return f"its financial_status is “{order.financial_status}”, so it is not owed in full"
    now = order.current_total_price
    if now is None or now == order.total_price:
        return None
    return (
        f"it was edited or refunded after it was placed: its total was {order.total_price} {order.currency}"
        f" and is now {now}, a difference of {now - order.total_price}"
    )


def _order(theirs: ShopifyOrder, body: Any) -> Order:
    """Their order in our words, its parcels from `body`. Raises `ValidationError` if it does not add up."""
    charges = [charge for each in theirs.shipping_lines if not each.is_removed and (charge := _charge(each))]
    extra = [
        Line(
            ref=f"shipping-{number}",
            description=each.description,
            quantity=Decimal(1),
            unit_price=each.amount,
            tax=each.tax,
        )
        for number, each in enumerate(charges[1:], start=2)
    ]
    return Order(
        id=theirs.id,
        ref=theirs.name or theirs.id,
        currency=theirs.currency,
        placed_at=theirs.created_at,
        tax_included=theirs.taxes_included,
        customer=_customer(theirs),
        billing_address=_address(theirs.billing_address),
        shipping_address=_address(theirs.shipping_address),
        lines=(*(_line(each) for each in theirs.line_items if each.quantity), *extra),
        shipping=charges[0] if charges else None,
        total=theirs.total_price,
        channel=display(theirs.source_name),
        tags=tuple(tag for each in _tags(theirs.tags) if (tag := each.strip()[:200])),
        shipments=shipments_of(body),
    )


def _tags(text: Any) -> list[str]:
    """Shopify writes them as one text, with commas between."""
    return text.split(",") if isinstance(text, str) else []


def _line(item: LineItem) -> Line:
    return Line(
        ref=item.id,
        sku=item.sku,
        description=item.name or item.title or item.sku or "Item",
        quantity=item.quantity,
        unit_price=item.price,
        discount=_sum(item.discount_allocations),
        tax=_tax(item.tax_lines),
        attributes=attributes(item.properties, "name", "value"),
    )


def _charge(line: ShippingLine) -> Charge | None:
    """Shipping after discounts; None if it is free.

    `discounted_price` lacks the discounts of the whole order, which the allocations include.
    """
    if line.discount_allocations:
        amount = line.price - _sum(line.discount_allocations)
    else:
        amount = line.price if line.discounted_price is None else line.discounted_price
    tax = _tax(line.tax_lines)
    if not amount and not (tax and tax.amount):
        return None
    return Charge(amount=amount, tax=tax, description=line.title or "Shipping")


def _sum(allocations: Sequence[Allocation]) -> Decimal:
    return sum((each.amount for each in allocations), Decimal(0))


def _tax(lines: Sequence[TaxLine]) -> Tax | None:
    parts = [TaxPart(name=each.title or "Tax", rate=plain(each.rate * 100)) for each in lines]
    return one_tax(parts, sum((each.price for each in lines), Decimal(0)))


def _customer(order: ShopifyOrder) -> Party:
    person = order.customer or Customer()
    addresses = [each for each in (order.billing_address, order.shipping_address) if each]
    names = [full_name(person.first_name, person.last_name), *(full_name(a.first_name, a.last_name) for a in addresses)]
    phones = [order.phone, person.phone, *(a.phone for a in addresses)]
    return party(
        ref=person.id,
        name=next(filter(None, names), None),
        company=next((a.company for a in addresses if a.company), None),
        email=order.email or order.contact_email or person.email,
        phone=next(filter(None, phones), None),
    )


def _address(theirs: PostalAddress | None) -> Address | None:
    if theirs is None:
        return None
    return Address(
        line1=theirs.address1,
        line2=theirs.address2,
        city=theirs.city,
        region=theirs.province,
        postcode=theirs.zip,
        country=country_code(theirs.country_code),
    )
