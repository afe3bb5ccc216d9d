"""Invoices that others made on the platform, until they are surely some order's or nobody's.

Revision ID: 0005
"""

from alembic import context, op
from sqlalchemy import Column, DateTime, PrimaryKeyConstraint, Text, UniqueConstraint, text

revision = "0005"
down_revision = "0004"

MOMENT = DateTime(timezone=True).with_variant(Text(), "sqlite")
ALWAYS = ("id", "shop", "account", "remote_id", "name", "also")


def upgrade() -> None:
    if "main" not in context.config.attributes["parts"]:
        return
    op.create_table(
        "strangers",
        *(Column(name, Text, nullable=False) for name in ALWAYS),
        *(Column(name, Text) for name in ("number", "reference", "url", "customer_id")),
        *(Column(name, Text, nullable=False) for name in ("total", "currency", "status")),
        Column("since", MOMENT, nullable=False),
        *(Column(name, Text) for name in ("order_id", "why")),
        Column("decided_at", MOMENT),
        Column("decided_as", Text),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("shop", "account", "remote_id", name="one_stranger"),
    )
    still_open = text("decided_at IS NULL")
    for name in ("name", "also"):
        op.create_index(
            f"strangers_{name}", "strangers", ["shop", name], sqlite_where=still_open, postgresql_where=still_open
        )
