"""Orders in parts, changed and cancelled; known tracking numbers, what waits for its order, how far sources were asked.

Revision ID: 0003
"""

from typing import Any

from alembic import context, op
from sqlalchemy import Boolean, Column, DateTime, Integer, PrimaryKeyConstraint, Text, UniqueConstraint, text

revision = "0003"
down_revision = "0002"

MOMENT = DateTime(timezone=True).with_variant(Text(), "sqlite")


def upgrade() -> None:
    if "main" not in context.config.attributes["parts"]:
        return
    orders_and_parts()
    brakes()
    matching()


def orders_and_parts() -> None:
    op.create_index("orders_source_id", "orders", ["shop", "source_id"])
    for name in ("invoice_per", "invoiced_as", "noticed_as"):
        op.add_column("orders", Column(name, Text))
    op.add_column("orders", Column("cancelled_at", MOMENT))
    op.create_table(
        "parts",
        must("id", Text),
        must("order_id", Text),
        must("part", Text),
        must("lines", Text),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("order_id", "part"),
    )


def brakes() -> None:
    op.create_table(
        "brakes",
        must("shop", Text),
        must("hour", MOMENT),
        must("invoices", Integer),
        must("alerted", Boolean, server_default=text("false")),
        PrimaryKeyConstraint("shop", "hour"),
    )


def matching() -> None:
    op.create_table(
        "shipments",
        must("id", Text),
        must("shop", Text),
        must("order_id", Text),
        must("tracking", Text),
        must("carrier", Text),
        must("known_at", MOMENT),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("order_id", "tracking"),
    )
    op.create_index("shipments_tracking", "shipments", ["shop", "tracking"])
    op.create_table(
        "inquiries",
        must("shipment_id", Text),
        must("source", Text),
        must("asked_at", MOMENT),
        PrimaryKeyConstraint("shipment_id", "source"),
    )
    op.create_table(
        "cursors",
        must("shop", Text),
        must("source", Text),
        must("cursor", Text),
        must("asked_at", MOMENT),
        PrimaryKeyConstraint("shop", "source"),
    )
    op.create_table(
        "awaited",
        must("job_id", Text),
        must("shop", Text),
        must("name", Text),
        must("since", MOMENT),
        PrimaryKeyConstraint("job_id", "shop", "name"),
    )
    op.create_index("awaited_name", "awaited", ["shop", "name"])
    op.create_index("awaited_since", "awaited", ["since"])


def must(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)
