"""Credit notes: which invoice each belongs to, and those that wait until theirs is issued.

Revision ID: 0004
"""

from alembic import context, op
from sqlalchemy import Column, Text, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if "main" not in context.config.attributes["parts"]:
        return
    op.add_column("invoices", Column("credits", Text))
    waiting = text("waits_for IS NOT NULL AND kind = 'credit'")
    op.create_index("jobs_crediting", "jobs", ["waits_for"], sqlite_where=waiting, postgresql_where=waiting)
