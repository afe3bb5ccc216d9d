"""Cin7 Core's webhooks (formerly DEAR): they only say which sale, so it is read from the API, with its parcels and its
credit notes.

Traps: nothing is signed, so what a webhook says counts for nothing but where to look; some name the sale by `SaleID`,
some by `SaleTaskID`, which is the sale's id for simple sales only (then its number finds it); the same step done twice
(undone between) sends the same body twice, so the second is found by asking only; after six failures Cin7 Core switches
a webhook off and tells nobody. The sales that Billhook makes there itself, as a platform, are left alone: they carry
its key as `ExternalID`.

Facts: dearinventory.docs.apiary.io, "Webhooks" (types, `bearerauth`, `basicauth`, `ExternalHeaders`, retries), "Sale",
"Sale list" (`UpdatedSince`, 1,000 rows a page), "Tax"; dearsystems.freshdesk.com, API status codes (403, limits told as
503, in practice as 429 and 400, too). In doubt: the names of the fields in each webhook's body (both are read), the
order of the list of sales (so a list of several pages is read twice), and whether `Fulfilments` of a service sale are
ever there (such a sale is done when it is invoiced).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import SecretStr, model_validator

from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sources import cin7_asking as asking
from connectors.sources import cin7_words as words
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import (
    Look,
    NotInvoiceable,
    Options,
    Source,
    digest,
    display,
    inbox_id,
    parse_json,
)
from connectors.sources.cin7_asking import API, BEFORE, CHANGED, CREDIT, NAME, PARCEL, SALE, Cin7Api, ids_of, number_of
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import a_dict, dicts, time_said
from connectors.sources.reading import speaking_of
from connectors.sources.tokens import IN_ADDRESS, check_token

POINTING = (
    "Sale/OrderAuthorised",
    "Sale/ShipmentAuthorised",
    "Sale/ShipmentTrackingNumberChanged",
    "Sale/InvoiceAuthorised",
    "Sale/CreditNoteAuthorised",
    "Sale/Voided",
    "Sale/Undo",
)


class Cin7Options(Options):
    """An API application of Cin7 Core; without it no sale can be read."""

    account_id: SecretStr | None = None
    application_key: SecretStr | None = None
    header: str = "X-Billhook-Key"
    """The name of the header in which the webhooks send the secret, where they send it in none of HTTP's own ways."""
    order_field: Literal["CustomerReference", "ExternalID"] | None = None
    """What of a sale names the order in the shop: its name stands in CustomerReference, or its id in ExternalID."""
    channels: tuple[str, ...] = ()
    """Only sales of these source channels are the shop's; empty: all whose field is filled in."""
    when_invoiced: bool = False
    """A sale that is invoiced in Cin7 Core is done, shipped or not."""
    base_url: str | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.account_id is None) != (self.application_key is None):
            raise ValueError("account_id and application_key belong together: give both, or none")
        if self.channels and self.order_field is None:
            raise ValueError("channels need order_field: what of such a sale names the shop's order")
        return self


class Cin7(Source):
    """The secret is the bearer token, the password or the header that was given when the webhook was made."""

    kind = "cin7"
    options_model = Cin7Options
    options: Cin7Options

    # -- receiving -------------------------------------------------------------------------------------------------

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        header = self.options.header
        given = [_password(headers.get("authorization")), headers.get(header.lower()), headers.get(IN_ADDRESS)]
        check_token(self.secrets, given, f"the header Authorization (Bearer or Basic) or {header}")

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """There is no id of an event: what it says and of which sale is one."""
        value = a_dict(parse_json(body))
        said = (display(value.get("EventType")) or "")[:80]
        type_ = said if said.startswith("Sale/") else f"other/{said}"
        return Delivery(inbox_id(type_, digest(body)), type_, None, number_of(value))

    # -- reading ---------------------------------------------------------------------------------------------------

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        value = a_dict(parse_json(body))
        kind = delivery.type.removesuffix(BEFORE)
        before = kind != delivery.type
        if kind == SALE:
            return self._sale(delivery, value, before)
        if kind == PARCEL:
            return self._parcel(delivery, value, before)
        if kind == CREDIT:
            return self._credit(delivery, value)
        if kind == CHANGED:
            return Look()
        if delivery.type not in POINTING:
            return None
        if not ids_of(value) and number_of(value) is None:
            raise NotInvoiceable("Cin7 Core's webhook does not say which sale it is about")
        return Look()

    def _shop_order(self, sale: Mapping[str, Any]) -> str | None:
        """What the shop calls the order that this sale is of; None for a sale that is an order of its own."""
        if self.options.order_field is None:
            return None
        if self.options.channels and sale.get("SourceChannel") not in self.options.channels:
            return None
        return (display(sale.get(self.options.order_field)) or "").strip() or None

    def _sale(self, delivery: Delivery, value: Mapping[str, Any], before: bool) -> Event | None:
        said = a_dict(value.get("sale"))
        order, order_id = a_dict(said.get("Order")), display(said.get("ID"))
        type_ = self._type(said)
        if before and type_ is not EventType.ORDER_CANCELLED:
            type_ = EventType.ORDER_UPDATED
        void = type_ is EventType.ORDER_CANCELLED
        if self._shop_order(said) is not None or (order.get("Status") in (None, *words.OPEN) and not void):
            return None
        label = f"Cin7 Core sale {display(order.get('SaleOrderNumber')) or order_id or 'without id'}"
        with speaking_of(label, type_, order_id):
            at = time_said(said.get("LastModifiedOn")) or delivery.occurred_at
            if void and at and not order.get("Lines") and not order.get("AdditionalCharges"):
                return Event(id=delivery.id, type=type_, occurred_at=at, order_id=order_id)
            sale = words.Sale.model_validate(said)
            hold = _credited(said, sale)
            if hold and type_ in (EventType.ORDER_FULFILLED, EventType.ORDER_COMPLETED):
                raise NotInvoiceable(hold)
            parcels = [words.Parcel.model_validate(each) for each in dicts(said.get("parcels"))]
            if at is None:
                raise NotInvoiceable("it does not say when it was changed")
            told = words.order_of(sale, a_dict(value.get("rates")), parcels).model_copy(update={"hold": hold})
            return Event(id=delivery.id, type=type_, occurred_at=at, order=told)

    def _type(self, sale: Mapping[str, Any]) -> EventType:
        if sale.get("Status") == "VOIDED":
            return EventType.ORDER_CANCELLED
        if _wholly_shipped(sale):
            return EventType.ORDER_FULFILLED
        service = sale.get("ServiceOnly") is True or sale.get("Type") == "Service Sale"
        if (self.options.when_invoiced or service) and _wholly_invoiced(sale):
            return EventType.ORDER_COMPLETED
        return EventType.ORDER_UPDATED

    def _parcel(self, delivery: Delivery, value: Mapping[str, Any], before: bool) -> Event | None:
        """Before the sale is wholly shipped, a parcel only tells its number."""
        sale = a_dict(value.get("sale"))
        whole = _wholly_shipped(sale) and not before
        type_ = EventType.SHIPMENT_SHIPPED if whole else EventType.ORDER_UPDATED
        with speaking_of(f"Cin7 Core sale {delivery.order_ref or 'without number'}", type_, None):
            theirs, own = self._shop_order(sale), display(sale.get("ID"))
            parcel = words.Parcel.model_validate(value.get("parcel"))
            at = parcel.ShipmentDate or delivery.occurred_at
            if at is None:
                raise NotInvoiceable("it does not say when its parcel left")
            lines = [] if theirs else [words.Priced.model_validate(each) for each in dicts(sale.get("Lines"))]
            shipment = words.shipment_of(parcel, lines)
            by_id = theirs if self.options.order_field == "ExternalID" else None
            named = {"order_id": by_id} if by_id else {"order_ref": theirs} if theirs else {"order_id": own}
            return Event(id=delivery.id, type=type_, occurred_at=at, shipment=shipment, **named)

    def _credit(self, delivery: Delivery, value: Mapping[str, Any]) -> Event | None:
        """Of a shop's order the shop itself tells what was given back."""
        said = a_dict(value.get("sale"))
        if self._shop_order(said) is not None:
            return None
        with speaking_of(f"Credit note of Cin7 Core sale {delivery.order_ref or 'without number'}", None, None):
            sale, note = words.Sale.model_validate(said), words.CreditNote.model_validate(value.get("note"))
            at = note.CreditNoteDate or delivery.occurred_at
            if at is None:
                raise NotInvoiceable("it has no date")
            refund = words.refund_of(note, sale)
            return Event(id=delivery.id, type=EventType.REFUND_CREATED, occurred_at=at, order_id=sale.ID, refund=refund)

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.account_id is None or self.options.application_key is None:
            return None
        account, key = self.options.account_id.get_secret_value(), self.options.application_key.get_secret_value()
        http.hide(account, key)
        headers = {"api-auth-accountid": account, "api-auth-applicationkey": key}
        return Cin7Api(NAME, self.options.base_url or API, headers, http)

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        """The sale with the percentages of its tax rules, each parcel of it that has left, each credit note."""
        return asking.fetch(api, a_dict(parse_json(body)))

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """Sales that changed since the cursor; each is read later."""
        return asking.pull(api, cursor, now)


def _password(authorization: str | None) -> str | None:
    """The secret in the header Authorization: a bearer's token, or the password of Basic, whatever the user's name."""
    scheme, _, proof = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        return base64.b64decode(proof.strip(), validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def _credited(said: Mapping[str, Any], sale: words.Sale) -> str | None:
    """Why it is not owed as it was placed; None: it is."""
    notes = [words.CreditNote.model_validate(each) for each in dicts(said.get("CreditNotes"))]
    back = sum((each.Total for each in notes), words.NOTHING)
    return (
        f"{back.normalize():f} {sale.CustomerCurrency} of it were credited, so it is not owed in full" if back else None
    )


def _wholly_shipped(sale: Mapping[str, Any]) -> bool:
    return sale.get("CombinedShippingStatus") == "SHIPPED" or sale.get("FulFilmentStatus") == "FULFILLED"


def _wholly_invoiced(sale: Mapping[str, Any]) -> bool:
    """`CombinedInvoiceStatus` has two vocabularies: what the invoices themselves say decides, unless it says partly."""
    states = {display(each.get("Status")) for each in dicts(sale.get("Invoices"))} - {"VOIDED"}
    partly = str(sale.get("CombinedInvoiceStatus")).startswith("PARTIALLY")
    return bool(states) and states <= {"AUTHORISED", "PAID"} and not partly
