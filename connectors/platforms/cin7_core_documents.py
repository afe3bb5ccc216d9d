"""Customers in Cin7 Core, and invoices: a sale, its order, its invoice, each found again before it is repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connectors.errors import ConnectorError
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import cin7_core_words as words
from connectors.platforms.cin7_core_words import TITLE, Raw
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    posted,
)
from connectors.platforms.texts import distinct_name

if TYPE_CHECKING:
    from connectors.platforms.cin7_core import Cin7Core

API = "/ExternalApi/v2"


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Found by name and by the e-mail address of a contact. The comments end in our key."""

    platform: Cin7Core
    calls = 3
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("create", f"{API}/customer", words.new_customer(draft, self.platform.settings)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """One of another currency is left alone, for a customer has one."""
        settings = self.platform.settings
        name = distinct_name(draft, settings.base_currency)
        questions = [{"Name": name}, *([{"ContactFilter": draft.party.email}] if draft.party.email else [])]
        rows = {row["ID"]: row for each in questions for row in self.platform.listed("customer", "CustomerList", each)}
        currency = draft.currency or settings.base_currency
        alike = [row for row in rows.values() if row["Status"] == "Active" and row["Currency"] == currency]
        found = [words.customer(row, draft) for row in alike]
        return choosing.known(draft, found, TITLE, name)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        (raw,) = answer.json()["CustomerList"]
        return raw["ID"], RemoteCustomer(id=raw["ID"], name=raw["Name"])


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Sale, order, a look at the sale (what it comes to, and the id of its invoice task), invoice."""

    platform: Cin7Core
    calls = 7
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings, order = self.platform.settings, draft.draft
        posts = {
            "sale": (f"{API}/sale", words.sale(draft, settings)),
            "order": (f"{API}/sale/order", words.order(order, settings)),
            "invoice": (f"{API}/sale/invoice", words.invoice(order, settings)),
        }
        sale, ordered, invoice = (
            posted(step, path, fields, issues=step == "invoice" and settings.issue)
            for step, (path, fields) in posts.items()
        )
        task = Request(step="task", method="GET", path=f"{API}/sale?ID={{sale}}&HideInventoryMovements=true")
        return sale, ordered, task, invoice

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """By our key, which is exact; then by our reference, which finds a sale that the shop's own connection made."""
        reference = draft.draft.reference
        mine = self.listed({"ExternalID": draft.key}, ExternalID=draft.key)
        mine = mine or self.listed({"Search": reference}, CustomerReference=reference)
        sales = {ident: self.platform.sale(ident) for ident in mine}
        found = map(words.document, sales.values())
        return choosing.unfinished(draft, found, TITLE, lambda hit: self.missing(sales[hit.id]))

    def listed(self, query: Mapping[str, str], **same: str) -> list[str]:
        """The ids of sales that a question finds and whose fields are exactly these; no credit notes."""
        rows = self.platform.listed("saleList", "SaleList", query)
        alike = [row for row in rows if all(row.get(field) == value for field, value in same.items())]
        return [row["SaleID"] for row in alike if words.is_sale(row)]

    def missing(self, raw: Raw) -> str | None:
        """The step that a half-built sale still lacks; None where a draft is all that is wanted."""
        if (raw.get("Order") or {}).get("Status") in (None, *words.OPEN):
            return "order"
        drafted = any(one["Status"] == "DRAFT" for one in raw.get("Invoices") or ())
        return None if drafted and not self.platform.settings.issue else "task"

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        body = answer.json()
        if request.step == "sale":
            return body["ID"], None
        if request.step == "task":
            invoices = body.get("Invoices") or self.tasks(body["ID"])
            task = next(one for one in invoices if one["Status"] in words.OPEN)
            return task["TaskID"], words.document(body)
        sale = body["SaleID"]
        if request.step == "order":
            if body["Status"] in words.OPEN:
                raise ValueError("the order was not authorised")
            return sale, None
        if not any(one["Status"] in {*words.FINAL, "DRAFT"} for one in body["Invoices"]):
            raise ValueError("the invoice is not there")
        try:
            return sale, self.platform.read(sale)
        except ConnectorError:  # it is made; what it came to is read later
            return sale, None

    def tasks(self, sale: str) -> list[Raw]:
        """The invoices of a sale, begun or not."""
        answer = self.platform.ask(f"{API}/sale/invoice", {"SaleID": sale})
        return self.platform.told(answer, lambda body: [{**one} for one in body["Invoices"]])

    def shown(self, plan: Plan, request: Request, made: Mapping[str, str]) -> RemoteInvoice:
        """Before the invoice: what the order comes to. The step before it gave the id of a task, not of the sale."""
        return self.platform.read(made["sale"])
