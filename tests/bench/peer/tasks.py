"""The peer's one task: an event becomes an invoice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import requests
from celery import Celery
from celery.signals import worker_process_init, worker_ready
from requests.adapters import HTTPAdapter
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session as OrmSession

from tests.bench.peer import settings
from tests.bench.peer.database import Session, engine
from tests.bench.peer.models import Audit, Customer, Event, Invoice, Notice, now

API = f"{settings.PLATFORM_URL}/api.xro/2.0"
TAX_TYPES = {"20": "OUTPUT2", "5": "RROUTPUT", "0": "ZERORATEDOUTPUT"}

app = Celery(
    "peer",
    broker=settings.REDIS_URL,
    backend=f"db+{settings.DATABASE_URL}",
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    database_engine_options={"pool_size": settings.CONNECTIONS, "max_overflow": 10},
)

http = requests.Session()
http.mount("http://", HTTPAdapter(pool_maxsize=settings.CONNECTIONS))
http.headers.update({"Authorization": "Bearer stub-access", "xero-tenant-id": "peer", "Accept": "application/json"})


@worker_process_init.connect
def _connections_of_our_own(**_: Any) -> None:
    engine.dispose(close=False)


@worker_ready.connect
def _say_so(**_: Any) -> None:
    print("the peer's worker is ready", flush=True)


@app.task(
    autoretry_for=(requests.RequestException, OperationalError, IntegrityError), retry_backoff=True, max_retries=8
)
def create_invoice(event_id: str) -> str | None:
    """Creates the invoice of the event's order, unless there is one. Returns its id on the platform."""
    with Session() as session:
        event = session.get_one(Event, event_id)
        order = event.payload["order"]
        customer = customer_of(session, order)
        invoice = session.scalar(select(Invoice).where(Invoice.order_id == order["id"]))
        if invoice is None:
            invoice = Invoice(
                order_id=order["id"], number=order["ref"], customer=customer, currency=order["currency"],
                total=Decimal(order["total"]), status="sending",
            )  # fmt: skip
            session.add(invoice)
            session.add(Audit(order_id=order["id"], action="received", detail={"event": event_id}))
        elif invoice.status == "issued":
            return invoice.remote_id
        session.add(Audit(order_id=order["id"], action="sending", detail={"number": invoice.number}))
        session.commit()
        created = put("Invoices", invoice_body(order, str(customer.remote_id)))
        if Decimal(str(created["Total"])) != invoice.total:
            raise ValueError(f"{invoice.number}: the platform says {created['Total']}, the order {invoice.total}")
        invoice.remote_id, invoice.status, invoice.issued_at = created["InvoiceID"], "issued", now()
        session.add(Audit(order_id=order["id"], action="issued", detail={"remote_id": invoice.remote_id}))
        session.add(Notice(invoice_id=invoice.id, email=customer.email))
        session.commit()
        return invoice.remote_id


def customer_of(session: OrmSession, order: dict[str, Any]) -> Customer:
    """The order's customer, who is created here and on the platform at the first order."""
    given = order["customer"]
    customer = session.scalar(select(Customer).where(Customer.ref == given["ref"]))
    if customer is None:
        contact = {"Name": f"{given['name']} ({given['ref']})", "ContactNumber": given["ref"]}
        created = put("Contacts", contact | {"EmailAddress": given["email"]})
        customer = Customer(ref=given["ref"], name=given["name"], email=given["email"])
        customer.remote_id = created["ContactID"]
        session.add(customer)
        session.flush()
    return customer


def put(collection: str, element: dict[str, Any]) -> dict[str, Any]:
    """Creates one contact or invoice on the platform and returns it."""
    answer = http.put(f"{API}/{collection}", json={collection: [element]}, timeout=30)
    answer.raise_for_status()
    created: dict[str, Any] = answer.json()[collection][0]
    return created


def invoice_body(order: dict[str, Any], contact_id: str) -> dict[str, Any]:
    """The order in Xero's words."""
    today = now().date()
    lines = [
        {
            "Description": "\n".join(
                [f"{line['description']} ({line['sku']})", *(f"{k}: {v}" for k, v in line["attributes"].items())]
            ),
            "Quantity": float(line["quantity"]),
            "UnitAmount": float(line["unit_price"]),
            "AccountCode": "200",
            "TaxType": TAX_TYPES[line["tax"]["rate"]],
        }
        for line in order["lines"]
    ]
    if shipping := order["shipping"]:
        lines.append(
            {
                "Description": shipping["description"],
                "Quantity": 1,
                "UnitAmount": float(shipping["amount"]),
                "AccountCode": "200",
                "TaxType": TAX_TYPES[shipping["tax"]["rate"]],
            }
        )
    return {
        "Type": "ACCREC",
        "InvoiceNumber": order["ref"],
        "Reference": f"Order {order['ref']}",
        "Contact": {"ContactID": contact_id},
        "Date": today.isoformat(),
        "DueDate": (today + timedelta(days=14)).isoformat(),
        "CurrencyCode": order["currency"],
        "LineAmountTypes": "Inclusive" if order["tax_included"] else "Exclusive",
        "Status": "AUTHORISED",
        "LineItems": lines,
    }
