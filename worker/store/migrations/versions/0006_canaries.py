"""Accounts whose first invoices under a mapping go ahead of the others.

Revision ID: 0006
"""

from alembic import context, op
from sqlalchemy import Column, DateTime, Integer, PrimaryKeyConstraint, Text

revision = "0006"
down_revision = "0005"

MOMENT = DateTime(timezone=True).with_variant(Text(), "sqlite")


def upgrade() -> None:
    if "main" not in context.config.attributes["parts"]:
        return
    op.create_table(
        "canaries",
        Column("shop", Text, nullable=False),
        Column("account", Text, nullable=False),
        Column("mapping", Text, nullable=False),
        Column("since", MOMENT, nullable=False),
        Column("passed", Integer, nullable=False, server_default="0"),
        Column("opened_by", Text),
        Column("failed", Text),
        PrimaryKeyConstraint("shop", "account"),
    )
