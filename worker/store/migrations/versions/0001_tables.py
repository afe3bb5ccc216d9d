"""The first tables.

Revision ID: 0001
"""

from typing import Any

from alembic import context, op
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)

revision = "0001"
down_revision = None

MOMENT = DateTime(timezone=True).with_variant(Text(), "sqlite")


def upgrade() -> None:
    """`parts` (of the configuration): what this database holds: "main", "inbox" or both."""
    parts = context.config.attributes["parts"]
    if "inbox" in parts:
        inbox()
    if "main" in parts:
        for group in (orders, jobs, documents, customers, invoices, trail, seals, credentials):
            group()


def must(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


def only(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def inbox() -> None:
    op.create_table(
        "inbox",
        must("id", Text),
        must("shop", Text),
        must("source", Text),
        must("event_id", Text),
        must("kind", Text),
        must("topic", Text),
        must("label", Text, server_default=""),
        must("body", LargeBinary),
        must("digest", Text),
        must("received_at", MOMENT),
        must("taken", Boolean, server_default=text("false")),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("shop", "source", "event_id"),
    )
    op.create_index("inbox_untaken", "inbox", ["received_at"], **only("NOT taken"))


def orders() -> None:
    op.create_table(
        "orders",
        must("id", Text),
        must("shop", Text),
        must("source", Text),
        must("source_id", Text),
        must("ref", Text),
        must("document", Text),
        must("as_of", MOMENT),
        Column("accounts", Text),
        must("created_at", MOMENT),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("shop", "source", "source_id"),
    )
    op.create_index("orders_ref", "orders", ["shop", "ref"])


def jobs() -> None:
    op.create_table(
        "jobs",
        must("id", Text),
        must("kind", Text),
        must("queue", Text),
        must("tenant", Text, server_default=""),
        must("shop", Text),
        must("account", Text, server_default=""),
        Column("order_id", Text),
        must("label", Text, server_default=""),
        must("state", Text),
        must("unsure", Boolean, server_default=text("false")),
        Column("due_at", MOMENT),
        Column("waits_for", Text),
        Column("lease_owner", Text),
        Column("lease_until", MOMENT),
        must("fence", Integer, server_default="0"),
        must("attempts", Integer, server_default="0"),
        must("seq", Integer, server_default="0"),
        Column("reason", Text),
        must("created_at", MOMENT),
        must("changed_at", MOMENT),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("jobs_due", "jobs", ["queue", "tenant", "shop", "due_at"], **only("due_at IS NOT NULL"))
    op.create_index("jobs_leased", "jobs", ["lease_owner"], **only("lease_owner IS NOT NULL"))
    op.create_index("jobs_order", "jobs", ["order_id"])
    op.create_index("jobs_state", "jobs", ["state", "kind", "changed_at"])
    op.create_index("jobs_waiting", "jobs", ["waits_for"], **only("waits_for IS NOT NULL"))
    op.create_table(
        "sightings",
        must("id", Text),
        must("job_id", Text),
        must("remote_id", Text),
        must("seen_at", MOMENT),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_sightings_job_id", "sightings", ["job_id"])
    op.create_table(
        "ticks",
        must("schedule", Text),
        must("due_at", MOMENT),
        PrimaryKeyConstraint("schedule", "due_at"),
    )


def documents() -> None:
    op.create_table(
        "documents",
        must("id", Text),
        must("key", Text),
        must("draft", Text),
        Column("plan", Text),
        must("generation", Integer, server_default="1"),
        must("made", Text, server_default="{}"),
        must("replays", Integer, server_default="0"),
        Column("first_sent_at", MOMENT),
        Column("last_possible_send", MOMENT),
        Column("bulk_id", Text),
        Column("bulk_limit", Integer),
        Column("remote_id", Text),
        Column("remote_number", Text),
        Column("remote_url", Text),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("key"),
    )


def customers() -> None:
    op.create_table(
        "customers",
        must("id", Text),
        must("tenant", Text),
        must("identity", Text),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("tenant", "identity"),
    )
    op.create_table(
        "bulks",
        must("id", Text),
        must("tenant", Text),
        must("members", Text),
        must("request", Text),
        must("first_sent_at", MOMENT),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "notices",
        must("id", Text),
        must("invoice_id", Text),
        must("channel", Text),
        must("purpose", Text),
        Column("message_id", Text),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("invoice_id", "channel", "purpose", name="one_notice"),
    )


def invoices() -> None:
    op.create_table(
        "invoices",
        must("id", Text),
        must("shop", Text),
        must("account", Text),
        must("order_id", Text),
        must("part", Text),
        must("kind", Text),
        must("revision", Integer),
        must("tenant", Text),
        must("reference", Text),
        must("customer_id", Text),
        must("currency", Text),
        must("total", Text),
        must("event_at", MOMENT),
        Column("remote_total", Text),
        Column("issued_at", MOMENT),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("shop", "account", "order_id", "part", "kind", "revision", name="one_invoice"),
        UniqueConstraint("tenant", "reference", name="one_reference"),
    )
    op.create_index("invoices_order", "invoices", ["order_id"])


def trail() -> None:
    op.create_table(
        "audit",
        must("id", Text),
        must("at", MOMENT),
        must("shop", Text),
        Column("order_id", Text),
        must("subject", Text),
        must("seq", Integer),
        must("action", Text),
        must("actor", Text),
        must("outcome", Text),
        Column("duration_us", Integer),
        must("detail", Text),
        must("leaf", LargeBinary),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("subject", "seq"),
    )
    op.create_index("audit_order", "audit", ["order_id", "at"])
    op.create_table(
        "unsealed",
        must("entry_id", Text),
        PrimaryKeyConstraint("entry_id"),
    )
    op.create_table(
        "audit_bodies",
        must("entry_id", Text),
        must("salt", LargeBinary),
        must("body", Text),
        PrimaryKeyConstraint("entry_id"),
    )


def seals() -> None:
    op.create_table(
        "audit_leaves",
        must("leaf_index", Integer, autoincrement=False),
        must("entry_id", Text),
        PrimaryKeyConstraint("leaf_index"),
        UniqueConstraint("entry_id"),
    )
    op.create_table(
        "seals",
        must("size", Integer, autoincrement=False),
        must("root", LargeBinary),
        must("previous", LargeBinary),
        must("edge", Text),
        must("at", MOMENT),
        PrimaryKeyConstraint("size"),
    )


def credentials() -> None:
    op.create_table(
        "tokens",
        must("tenant", Text),
        must("version", Integer, autoincrement=False),
        must("sealed", LargeBinary),
        must("expires_at", MOMENT),
        must("stored_at", MOMENT),
        PrimaryKeyConstraint("tenant", "version"),
    )
    op.create_table(
        "refreshes",
        must("tenant", Text),
        must("version", Integer, autoincrement=False),
        must("tries", Integer),
        must("owner", Text),
        must("deadline", MOMENT),
        PrimaryKeyConstraint("tenant", "version"),
    )
    op.create_table(
        "holds",
        must("tenant", Text),
        must("reason", Text),
        must("since", MOMENT),
        PrimaryKeyConstraint("tenant"),
    )
