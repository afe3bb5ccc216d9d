"""Canaries: how many invoices of an account have proved its mapping, and whether the others may follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, not_, or_, select, true, update

from worker.store.jobs import now
from worker.store.rows import upsert
from worker.store.schema import audit, canaries, jobs
from worker.store.trail import Entry, append

Account = tuple[str, str]
"""Shop and name."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One account's. `passed`: invoices that agreed; `failed`: why the others wait until a person has looked."""

    shop: str
    account: str
    mapping: str
    since: datetime
    passed: int
    opened_by: str | None
    failed: str | None

    def open(self, wanted: int) -> bool:
        """Whether all invoices may go."""
        return self.failed is None and (self.opened_by is not None or self.passed >= wanted)


def _canary(row: Row[Any]) -> Canary:
    return Canary(*(getattr(row, name) for name in Canary.__slots__))


def only(account: Account) -> ColumnElement[bool]:
    """Of all rows those of this account."""
    return and_(jobs.c.shop == account[0], jobs.c.account == account[1])


def but(accounts: Iterable[Account]) -> ColumnElement[bool]:
    """Of all rows those of none of these accounts."""
    return and_(true(), *(not_(only(account)) for account in sorted(accounts)))


def begin(connection: Connection, mappings: Mapping[Account, str]) -> None:
    """Accounts (with the fingerprints of their mappings) that have none begin; one whose mapping is another begins
    anew."""
    for (shop, account), mapping in sorted(mappings.items()):
        row = {"shop": shop, "account": account, "mapping": mapping, "since": now()}
        insert = upsert(connection, canaries).values(**row, passed=0, opened_by=None, failed=None)
        fresh = {name: insert.excluded[name] for name in ("mapping", "since", "passed", "opened_by", "failed")}
        changed = canaries.c.mapping != insert.excluded.mapping
        connection.execute(insert.on_conflict_do_update(index_elements=["shop", "account"], set_=fresh, where=changed))


def load(connection: Connection, accounts: Mapping[Account, object], *, lock: bool = False) -> dict[Account, Canary]:
    """Those of these accounts that have begun; with `lock` nobody else changes them meanwhile."""
    if not accounts:
        return {}
    these = or_(*(and_(canaries.c.shop == shop, canaries.c.account == name) for shop, name in sorted(accounts)))
    query = select(canaries).where(these).order_by(canaries.c.shop, canaries.c.account)
    rows = connection.execute(query.with_for_update() if lock else query)
    return {(row.shop, row.account): _canary(row) for row in rows}


def on_their_way(connection: Connection, account: Account) -> bool:
    """Whether a worker has an invoice of the account right now."""
    shop, name = account
    query = select(jobs.c.id).where(
        jobs.c.lease_owner.is_not(None), jobs.c.shop == shop, jobs.c.account == name, jobs.c.kind == "invoice"
    )
    return connection.execute(query.limit(1)).first() is not None


def waiting(connection: Connection, account: Account) -> int:
    """How many invoices of the account wait to be sent."""
    shop, name = account
    ready = (jobs.c.shop == shop) & (jobs.c.account == name) & (jobs.c.kind == "invoice") & jobs.c.due_at.is_not(None)
    return int(connection.execute(select(func.count()).select_from(jobs).where(ready)).scalar_one())


def passed(connection: Connection, account: Account, mapping: str, number: int) -> None:
    """So many more have agreed under this mapping."""
    _change(connection, account, mapping, passed=canaries.c.passed + number)


def failed(connection: Connection, account: Account, mapping: str, reason: str) -> None:
    """One did not; the others wait."""
    _change(connection, account, mapping, failed=reason)


def reopen(connection: Connection, account: Account, actor: str, *, again: bool) -> bool:
    """The others may go, by somebody's word; or the first ones go ahead once more (`again`). With an entry in the
    trail. False: none had begun."""
    shop, name = account
    values: dict[str, Any] = {"failed": None, "opened_by": None if again else actor}
    if again:
        values |= {"passed": 0, "since": now()}
    mine = update(canaries).where(canaries.c.shop == shop, canaries.c.account == name)
    if not connection.execute(mine.values(values)).rowcount:
        return False
    subject = f"canary:{shop}/{name}"
    said = connection.execute(select(func.count()).select_from(audit).where(audit.c.subject == subject)).scalar_one()
    action = "again" if again else "open"
    append(connection, [Entry(shop, None, subject, said, action, "waiting" if again else "open", actor, {})])
    return True


def _change(connection: Connection, account: Account, mapping: str, **values: Any) -> None:
    shop, name = account
    mine = (canaries.c.shop == shop) & (canaries.c.account == name) & (canaries.c.mapping == mapping)
    connection.execute(update(canaries).where(mine).values(values))
