"""The results store that is the audit trail: its tables.

Three groups. *Inbox*: what ingest accepted, byte for byte (on SQLite a file of its own). *Work*: orders and
the jobs that come of them; a job is one row of the machinery that claims, leases and settles. *Trail*: what
happened, only ever added to.

`due_at` is set exactly while a row waits for a worker; NULL means that nobody needs to look at it (it is
leased, settled, held, or waits for its customer).
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from worker.store.exact import Exact, Utc

inbox_metadata = MetaData()
metadata = MetaData()

inbox = Table(
    "inbox",
    inbox_metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("body", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("taken", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("shop", "source", "event_id"),
)
"""Accepted deliveries. `digest` is the SHA-256 of the body: same id, other body is a conflict."""
Index(
    "inbox_waits", inbox.c.shop, inbox.c.received_at, sqlite_where=text("NOT taken"), postgresql_where=text("NOT taken")
)

orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("as_of", Utc, nullable=False),
    Column("accounts", Text),
    Column("created_at", Utc, nullable=False),
    Column("invoice_per", Text),
    Column("invoiced_as", Text),
    Column("noticed_as", Text),
    Column("cancelled_at", Utc),
    UniqueConstraint("shop", "source", "source_id"),
    Index("orders_ref", "shop", "ref"),
    Index("orders_source_id", "shop", "source_id"),
)
"""`document`: the order as last told, JSON. `accounts`: JSON list, decided with the first intent, for good, and with it
`invoice_per` (order, shipment) and `invoiced_as`, the fingerprint of what was invoiced; `noticed_as`: that of the last
change that a person was told of."""

parts = Table(
    "parts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("lines", Text, nullable=False),
    UniqueConstraint("order_id", "part"),
)
"""What of an order each of its parts holds: quantities by the ref of the line, JSON."""

shipments = Table(
    "shipments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("tracking", Text, nullable=False),
    Column("carrier", Text, nullable=False),
    Column("known_at", Utc, nullable=False),
    UniqueConstraint("order_id", "tracking"),
    Index("shipments_tracking", "shop", "tracking"),
)
"""Tracking numbers, in the form that is compared, that somebody told together with an order; its carrier as told."""

inquiries = Table(
    "inquiries",
    metadata,
    Column("shipment_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("asked_at", Utc, nullable=False),
)
"""When a source was last asked about a parcel."""

brakes = Table(
    "brakes",
    metadata,
    Column("shop", Text, primary_key=True),
    Column("hour", Utc, primary_key=True),
    Column("invoices", Integer, nullable=False),
    Column("alerted", Boolean, nullable=False, server_default=text("false")),
)
"""How many invoices became due in an hour of the clock, for shops with a bound; `alerted`: a person was told."""

canaries = Table(
    "canaries",
    metadata,
    Column("shop", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("mapping", Text, nullable=False),
    Column("since", Utc, nullable=False),
    Column("passed", Integer, nullable=False, server_default="0"),
    Column("opened_by", Text),
    Column("failed", Text),
)
"""Accounts whose first invoices under a mapping (its fingerprint) go ahead of the others: how many have proved it.
`opened_by`: who let the others follow without that; `failed`: why none follow."""

cursors = Table(
    "cursors",
    metadata,
    Column("shop", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("asked_at", Utc, nullable=False),
)
"""How far each source was asked for what was missed; moved on only after what was found is in the inbox."""

awaited = Table(
    "awaited",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("shop", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("since", Utc, nullable=False),
    Index("awaited_name", "shop", "name"),
    Index("awaited_since", "since"),
)
"""By which names (`ref:…`, `id:…`, `tracking:…`) an event waits for an order that nobody has told yet."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("shop", Text, nullable=False),
    Column("account", Text, nullable=False, server_default=""),
    Column("order_id", Text),
    Column("label", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("unsure", Boolean, nullable=False, server_default=text("false")),
    Column("due_at", Utc),
    Column("waits_for", Text),
    Column("lease_owner", Text),
    Column("lease_until", Utc),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("created_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
    Index("jobs_order", "order_id"),
    Index("jobs_state", "state", "kind", "changed_at"),
)
"""`kind`: event, customer, invoice, credit, notice, question (to a source: what was missed?). `unsure`: something may
have been done; survives a claim. `seq`: the running number of the subject's trail. `waits_for`: the job without which
nothing is due: an invoice's customer, a credit note's invoice."""
for _name, _columns, _where in (
    ("jobs_due", (jobs.c.queue, jobs.c.tenant, jobs.c.shop, jobs.c.due_at), "due_at IS NOT NULL"),
    ("jobs_leased", (jobs.c.lease_owner,), "lease_owner IS NOT NULL"),
    ("jobs_waiting", (jobs.c.waits_for,), "waits_for IS NOT NULL"),
    ("jobs_crediting", (jobs.c.waits_for,), "waits_for IS NOT NULL AND kind = 'credit'"),
):
    Index(_name, *_columns, sqlite_where=text(_where), postgresql_where=text(_where))

documents = Table(
    "documents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("draft", Text, nullable=False),
    Column("plan", Text),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("made", Text, nullable=False, server_default="{}"),
    Column("replays", Integer, nullable=False, server_default="0"),
    Column("first_sent_at", Utc),
    Column("last_possible_send", Utc),
    Column("bulk_id", Text),
    Column("bulk_limit", Integer),
    Column("remote_id", Text),
    Column("remote_number", Text),
    Column("remote_url", Text),
)
"""What customers and invoices have in common: the bytes sent, under which generation, and what came of it.
`made`: steps done, with their remote ids (JSON). `first_sent_at`: of this generation; the key's life counts from it."""

customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("identity", Text, nullable=False),
    UniqueConstraint("tenant", "identity"),
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total", Exact, nullable=False),
    Column("event_at", Utc, nullable=False),
    Column("remote_total", Exact),
    Column("issued_at", Utc),
    Column("credits", Text),
    UniqueConstraint("shop", "account", "order_id", "part", "kind", "revision", name="one_invoice"),
    UniqueConstraint("tenant", "reference", name="one_reference"),
    Index("invoices_order", "order_id"),
)
"""At most one for ever: `one_invoice`. `kind`: invoice or credit; `part`: of an invoice "order" or a shipment, of a
credit note the refund; `credits`: of a credit note the invoice (its id here). `customer_id` is the customer's job.
`event_at`: when its event was accepted."""

bulks = Table(
    "bulks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("members", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("first_sent_at", Utc, nullable=False),
)
"""A bulk create: its key (`id`), ordered members and bytes; sent again only whole and unchanged."""

strangers = Table(
    "strangers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shop", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("remote_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("also", Text, nullable=False),
    *(Column(name, Text) for name in ("number", "reference", "url", "customer_id")),
    Column("total", Exact, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("since", Utc, nullable=False),
    Column("order_id", Text),
    Column("why", Text),
    Column("decided_at", Utc),
    Column("decided_as", Text),
    UniqueConstraint("shop", "account", "remote_id", name="one_stranger"),
)
"""Invoices on the platform that we did not make and that are surely nobody's yet. `name`, `also`: number and reference
in the form that is compared. `why` it is uncertain (of `order_id`, if of one); NULL: no order of its name is known.
`decided_as`: claimed, nobody, ours, void."""
for _name in ("name", "also"):
    Index(
        f"strangers_{_name}", "shop", strangers.c[_name],
        sqlite_where=text("decided_at IS NULL"), postgresql_where=text("decided_at IS NULL"),
    )  # fmt: skip

notices = Table(
    "notices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("invoice_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("message_id", Text),
    UniqueConstraint("invoice_id", "channel", "purpose", name="one_notice"),
)

sightings = Table(
    "sightings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job_id", Text, nullable=False, index=True),
    Column("remote_id", Text, nullable=False),
    Column("seen_at", Utc, nullable=False),
)
"""A remote id that a worker got for a row which was no longer its own."""

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("shop", Text, nullable=False),
    Column("order_id", Text),
    Column("subject", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("duration_us", Integer),
    Column("detail", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    UniqueConstraint("subject", "seq"),
    Index("audit_order", "order_id", "at"),
)
"""Append-only (triggers). `leaf` is SHA-256(0x00 ‖ canonical entry)."""

unsealed = Table("unsealed", metadata, Column("entry_id", Text, primary_key=True))
"""Written with each entry, removed by the seal."""

audit_bodies = Table(
    "audit_bodies",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("body", Text, nullable=False),
)
"""Erasable: requests and responses, with personal data. The entry's detail holds SHA-256(salt ‖ body)."""

audit_leaves = Table(
    "audit_leaves",
    metadata,
    Column("leaf_index", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", Text, nullable=False, unique=True),
)

seals = Table(
    "seals",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("edge", Text, nullable=False),
    Column("at", Utc, nullable=False),
)
"""Roots of the one Merkle tree (RFC 6962), oldest first; `edge`: the right edge's hashes in hex, largest first."""

ticks = Table(
    "ticks",
    metadata,
    Column("schedule", Text, primary_key=True),
    Column("due_at", Utc, primary_key=True),
)
"""One row a tick: of two beats the loser inserts nothing and does nothing."""

tokens = Table(
    "tokens",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("stored_at", Utc, nullable=False),
)
"""OAuth tokens, encrypted; append-only, the newest version wins."""

refreshes = Table(
    "refreshes",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("tries", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("deadline", Utc, nullable=False),
)
"""Who refreshes `version` and until when nobody else does; committed before the token endpoint is called."""

holds = Table(
    "holds",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Utc, nullable=False),
)
"""Tenants whose credentials were refused; nothing is claimed for them."""
