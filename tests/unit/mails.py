"""What the tests of the mail channel and of its rendering start from."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connectors.channels.base import Message
from connectors.model import Adjustment, Charge, InvoiceDraft, Line, Party, Tax

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def vat(amount: str, rate: str = "20") -> Tax:
    return Tax(name="VAT", rate=Decimal(rate), amount=Decimal(amount))


def draft(**changes: Any) -> InvoiceDraft:
    """The order that the issue shows: 111.54 GBP."""
    fields: dict[str, Any] = {
        "key": "bh-key",
        "reference": "SO-1001",
        "order_ref": "SO-1001",
        "currency": "GBP",
        "issued_on": date(2026, 11, 22),
        "due_on": date(2026, 12, 6),
        "customer": Party(ref="C-9", name="Ada Lovelace", email="ada@example.com"),
        "lines": (
            Line(
                ref="1", description="Brass plaque, engraved", quantity=Decimal(2), unit_price=Decimal("45.00"),
                tax=vat("18.00"), attributes={"engraving": "To Ada, 1843"},
            ),
        ),
        "discount": Adjustment(amount=Decimal("5.00"), tax=vat("1.00")),
        "shipping": Charge(description="Courier", amount=Decimal("7.95"), tax=vat("1.59")),
        "tax_total": Decimal("18.59"),
        "total": Decimal("111.54"),
    }  # fmt: skip
    return InvoiceDraft(**fields | changes)


def message(**changes: Any) -> Message:
    fields: dict[str, Any] = {
        "to": "ada@example.com",
        "to_name": "Ada Lovelace",
        "subject": "Invoice INV-7 from Engines",
        "text": "Two brass plaques\n",
        "html": "<p>Two brass plaques</p>\n",
        "sender": "Engines <billing@example.com>",
        "key": "0198c0de-0000-7000-8000-000000000001",
        "at": AT,
    }
    return Message(**fields | changes)
