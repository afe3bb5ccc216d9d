"""A store with issued invoices whose customers are to be told, and a configuration that says how."""

from sqlalchemy import select, update

from connectors.model import Order, Party
from tests.unit.mails import draft
from worker import runtime
from worker.store import jobs, notices
from worker.store.ids import new_id
from worker.store.jobs import now
from worker.store.migrate import prepare
from worker.store.schema import audit, audit_bodies, documents, invoices, orders
from worker.store.schema import jobs as rows

CONFIG = """
[billhook]
data_dir = "{folder}"
database_url = "{store}"
redis_url = "redis://127.0.0.1:1/0"
[billhook.timing]
attempts = {attempts}
"""
SHOP = """
[shop.{name}]
api_key = "key-of-shop-{name}-0123456789"
notify.email = {{ from = "Engines <billing@example.com>", smtp = "{smtp}" }}
"""


class World:
    """A configured process with an empty store; `invoice` puts an issued invoice there with its notice."""

    def __init__(self, folder, store_url, smtp_url):
        self.folder, self.store_url = folder, store_url
        self.config = folder / "billhook.toml"
        self.write({"acme": smtp_url})
        prepare(runtime.store())

    def write(self, shops, attempts=12):
        text = CONFIG.format(folder=self.folder, store=self.store_url, attempts=attempts)
        self.config.write_text(text + "".join(SHOP.format(name=name, smtp=url) for name, url in shops.items()))
        runtime.keeper.cache_clear()

    def wanted(self, label, shop="acme", email="ada@example.com", state="issued"):
        """An issued invoice of a stored order; what its customer is to be told."""
        invoice_id, order_id, at = new_id(), new_id(), now()
        planned = draft(key=invoice_id, reference=label, order_ref=label, customer=Party(name="Ada", email=email))
        order = Order(
            id=order_id, ref=label, currency="GBP", customer=planned.customer, lines=planned.lines,
            discount=planned.discount, shipping=planned.shipping, total=planned.total,
        )  # fmt: skip
        with runtime.store().write() as connection:
            connection.execute(
                orders.insert().values(
                    id=order_id, shop=shop, source="events", source_id=order_id, ref=label, as_of=at, created_at=at,
                    document=order.model_dump_json(),
                )
            )  # fmt: skip
            connection.execute(
                invoices.insert().values(
                    id=invoice_id, shop=shop, account="books", order_id=order_id, part="order", kind="invoice",
                    revision=0, tenant="xero:t", reference=invoice_id, customer_id="c", currency="GBP",
                    total=planned.total, event_at=at,
                )
            )  # fmt: skip
            connection.execute(
                documents.insert().values(
                    id=invoice_id,
                    key=invoice_id,
                    draft=planned.model_dump_json(),
                    remote_number=f"INV-{label}",
                    remote_url="https://pay.example.com/1",
                )
            )
            connection.execute(
                rows.insert().values(
                    id=invoice_id, kind="invoice", queue="invoices.xero", tenant="xero:t", shop=shop, account="books",
                    order_id=order_id, label=label, state=state, created_at=at, changed_at=at,
                )
            )  # fmt: skip
        return notices.Wanted(invoice_id, shop, "books", order_id, label)

    def notice(self, label="SO-1", **options):
        """The id of a notice that is due."""
        return self.intend([self.wanted(label, **options)])[0]

    def intend(self, wanted):
        with runtime.store().write() as connection:
            return notices.intend(connection, wanted)

    def row(self, notice_id):
        with runtime.store().read() as connection:
            return connection.execute(select(rows).where(rows.c.id == notice_id)).one()

    def trail(self, notice_id):
        """(action, outcome) in order; the sequence has no gap."""
        with runtime.store().read() as connection:
            found = connection.execute(
                select(audit).where(audit.c.subject == f"notice:{notice_id}").order_by(audit.c.seq)
            ).all()
        assert [entry.seq for entry in found] == list(range(len(found)))
        return [(entry.action, entry.outcome) for entry in found]

    def due_again(self, notice_id):
        with runtime.store().write() as connection:
            connection.execute(update(rows).where(rows.c.id == notice_id).values(due_at=now()))

    def free_lost_leases(self):
        """As `dispatch` does, after it has watched for a whole lease."""
        with runtime.store().write() as connection:
            return jobs.free(connection, jobs.leased(connection), attempts=12)

    def messages(self, notice_id):
        """What the trail's details say, joined."""
        with runtime.store().read() as connection:
            found = connection.execute(select(audit.c.detail).where(audit.c.subject == f"notice:{notice_id}"))
            return "\n".join(found.scalars())

    def bodies(self):
        with runtime.store().read() as connection:
            return "\n".join(connection.execute(select(audit_bodies.c.body)).scalars())
