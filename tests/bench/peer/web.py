"""The peer's endpoint: one event a request, stored before it is answered."""

from __future__ import annotations

import hmac
from datetime import datetime
from decimal import Decimal

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError

from tests.bench.peer.database import Session
from tests.bench.peer.models import Event
from tests.bench.peer.settings import API_KEY
from tests.bench.peer.tasks import create_invoice

app = FastAPI()


class Tax(BaseModel):
    name: str
    rate: Decimal
    amount: Decimal


class Line(BaseModel):
    ref: str
    sku: str | None = None
    description: str
    quantity: Decimal
    unit_price: Decimal
    discount: Decimal = Decimal(0)
    tax: Tax | None = None
    attributes: dict[str, str] = {}


class Shipping(BaseModel):
    description: str
    amount: Decimal
    tax: Tax | None = None


class CustomerIn(BaseModel):
    ref: str
    name: str
    email: str


class AddressIn(BaseModel):
    line1: str
    city: str
    postcode: str
    country: str = Field(min_length=2, max_length=2)


class Order(BaseModel):
    id: str
    ref: str
    currency: str = Field(min_length=3, max_length=3)
    placed_at: datetime
    tax_included: bool
    customer: CustomerIn
    billing_address: AddressIn
    lines: list[Line] = Field(min_length=1)
    shipping: Shipping | None = None
    total: Decimal


class EventIn(BaseModel):
    id: str
    type: str
    occurred_at: datetime
    order: Order


def authorised(authorization: str = Header()) -> None:
    if not hmac.compare_digest(authorization.encode(), f"Bearer {API_KEY}".encode()):
        raise HTTPException(401, "wrong API key")


@app.post("/events", status_code=202, dependencies=[Depends(authorised)])
def receive(event: EventIn) -> dict[str, str]:
    """Stores the event, then queues its task. An event that was received before is not queued again."""
    with Session() as session:
        session.add(Event(id=event.id, type=event.type, payload=event.model_dump(mode="json")))
        try:
            session.commit()
        except IntegrityError:
            return {"id": event.id, "status": "duplicate"}
    create_invoice.delay(event.id)
    return {"id": event.id, "status": "accepted"}
