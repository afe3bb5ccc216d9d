"""An account whose mapping has changed: its first invoices go ahead and are read back, then the others follow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.errors import ConnectorError
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import Documents, Outcome
from tasks.verdict import Verdict
from worker.canary import wanting
from worker.store import canaries
from worker.store.canaries import Account
from worker.store.documents import Work
from worker.store.jobs import ANY, Job

log = logging.getLogger(__name__)
Claim = Callable[[Sequence[str], Any, int], list[Job]]
"""Claims rows of these kinds, of those for which a condition (of the store's) holds, at most so many."""


@dataclass
class Canaries:
    """The accounts of a tenant of which only the first invoices may go, in this claim."""

    singing: dict[Account, str] = field(default_factory=dict)
    """With the fingerprints of their mappings."""

    def claimed(self, connection: Any, tenant: str, kinds: Sequence[str], limit: int, claim: Claim) -> list[Job]:
        """Rows of all other accounts; and of these the few that go ahead, while no other worker has any."""
        wanted = wanting().get(tenant, {})
        if "invoice" not in kinds or not wanted:
            return claim(kinds, ANY, limit)
        canaries.begin(connection, {account: mapping for account, (mapping, _) in wanted.items()})
        known = canaries.load(connection, wanted, lock=True)
        closed = {account: one for account, one in known.items() if not one.open(wanted[account][1])}
        held = claim(kinds, canaries.but(closed), limit)
        for account, one in closed.items():
            if one.failed is None and not canaries.on_their_way(connection, account):
                some = claim(("invoice",), canaries.only(account), min(limit, wanted[account][1] - one.passed))
                if some:
                    self.singing[account] = one.mapping
                    held += some
        return held

    def proved(self, documents: Documents[Any, Any], work: Work, outcome: Outcome[Any]) -> Outcome[Any]:
        """What came of an invoice that went ahead, after it was read back and compared once more."""
        account = (work.job.shop, work.job.account)
        document = outcome.document
        if account not in self.singing or not isinstance(document, RemoteInvoice) or outcome.error is not None:
            return outcome
        if outcome.difference or document.status is Status.VOID:
            return outcome
        try:
            shown = documents.read(document.id)
        except ConnectorError as error:
            return replace(outcome, difference=f"it could not be read back ({error.message})")
        return replace(outcome, document=shown, difference=_otherwise(documents, work, shown))

    def record(self, connection: Any, verdicts: Sequence[Verdict], works: Mapping[str, Work]) -> None:
        """Counts those that agree; one that does not ends it: nothing of the account goes on until a person says so."""
        for account, mapping in self.singing.items():
            mine = [said for said in verdicts if _account(works[said.change.id]) == account]
            if agreed := sum(said.change.state == "issued" for said in mine):
                canaries.passed(connection, account, mapping, agreed)
            bad = next((said.change for said in mine if said.change.state in ("held", "mismatch", "doubled")), None)
            if bad is not None:
                reason = f"order {works[bad.id].job.label}: {bad.reason}"
                canaries.failed(connection, account, mapping, reason)
                log.error(
                    "the first invoices under a new mapping do not agree: the account's others wait",
                    extra={"shop": account[0], "account": "/".join(account), "reason": reason},
                )


def _account(work: Work) -> Account:
    return work.job.shop, work.job.account


def _otherwise(documents: Documents[Any, Any], work: Work, shown: RemoteInvoice) -> str | None:
    """What the invoice says otherwise than its order, read back: sums as always, and tax and customer where shown."""
    draft = work.invoice
    assert draft is not None
    if difference := documents.differs(work.draft, shown):
        return str(difference)
    if shown.tax not in (None, draft.tax_total):
        return f"the platform's tax is {shown.tax}, the order's {draft.tax_total}"
    customer = getattr(work.draft, "customer_id", None)
    if shown.customer_id not in (None, customer):
        return f"the platform has it for customer {shown.customer_id}, it was made for {customer}"
    return None
