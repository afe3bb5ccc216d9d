"""What waits in the inbox is found by shop, so that shops take turns.

Revision ID: 0007
"""

from alembic import context, op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    if "inbox" not in context.config.attributes["parts"]:
        return
    op.drop_index("inbox_untaken", "inbox")
    waits = text("NOT taken")
    op.create_index("inbox_waits", "inbox", ["shop", "received_at"], sqlite_where=waits, postgresql_where=waits)
