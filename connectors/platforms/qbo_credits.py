"""Credit memos in QuickBooks: looked for as invoices are, set off against their invoice by a payment of nothing.

Sources: developer.intuit.com, API reference (CreditMemo, Payment): a payment of `TotalAmt` 0 links both, each on a line
of its own. Where "Automatically apply credits" is on (Account and settings, Advanced), QuickBooks makes such a payment
by itself, to the customer's oldest open invoice (Intuit's blog, "How to automatically apply credits").
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from connectors.errors import ConnectorError, Rejected
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import qbo_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import Hit, Plan, PlannedInvoice, Request, later, posted
from connectors.platforms.qbo_documents import VERSION, Invoices, company


class CreditMemos(SetOffLast, Invoices):
    """Credit memos: one call makes it, a second one sets it off as far as the invoice is due."""

    bulk = 1
    calls = 2
    last = "apply"
    entity = "CreditMemo"

    @property
    def payments(self) -> str:
        """Where payments are made."""
        return f"{company(self.platform.settings)}/payment"

    def customer(self, draft: PlannedInvoice) -> str:
        """Whose the credit memo and the payment are: who the invoice names."""
        return draft.customer_id

    def memo(self, draft: PlannedInvoice) -> dict[str, Any]:
        """The entity as it is sent. Raises `Rejected` as an invoice does."""
        invoice = invoice_of(draft)
        return words.credit_memo(draft.draft, self.customer(draft), invoice.id, self.platform.settings)

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        return self.entered(self.memo(draft))

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        linked = {"Invoice": invoice_of(draft).id, "CreditMemo": later("create")}
        payment = words.application(draft.draft, self.customer(draft), amount, self.platform.settings, **linked)
        return (posted("apply", self.payments, payment, query=VERSION),)

    def applied(self, answer: Answer) -> str:
        return str(answer.json()["Payment"]["Id"])

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{self.address}/{quote(remote_id, safe='')}", VERSION)
        return self.platform.told(answer, lambda body: self.document(body[self.entity]))

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        """A company that applies credits by itself has done it already, and refuses to do it again."""
        if request.step != "apply" or not isinstance(error, Rejected):
            return super().forgive(request, error)
        linked = [line["LinkedTxn"][0] for line in words.parsed(request.body)["Line"]]
        memo = self.read(next(one["TxnId"] for one in linked if one["TxnType"] == self.entity))
        return None if memo.due == memo.total else ""

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        pairs = zip(drafts, super().find(drafts), strict=True)
        return [hit if isinstance(hit, ConnectorError) else self.unapplied(draft, hit) for draft, hit in pairs]
