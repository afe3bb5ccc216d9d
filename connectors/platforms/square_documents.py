"""Customers and invoices in Square: an order, a draft, publish; each found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connectors.errors import Rejected
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import square_words as words
from connectors.platforms.documents import (
    JSON,
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
)
from connectors.platforms.texts import key_in, short

if TYPE_CHECKING:
    from connectors.platforms.square import Square


def post(step: str, path: str, body: Mapping[str, Any] | str, **more: Any) -> Request:
    """A call with a JSON body; one that is text already stays as it is."""
    text = body if isinstance(body, str) else dump_json(body)
    return Request(step=step, path=path, headers=JSON, body=text, **more)


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Found by our key in `reference_id`, else by e-mail address."""

    platform: Square
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (post("customer", "/v2/customers", words.customer_body(draft)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        asked = {"reference_id": words.mark(draft), "email_address": draft.party.email}
        for field, value in asked.items():
            if not value:
                continue
            question = {"query": {"filter": {field: {"exact": value}}}, "limit": 100}
            raws = self.platform.listed("/v2/customers/search", "customers", question)
            chosen = choosing.customer(draft, [words.customer(raw, draft) for raw in raws], words.TITLE)
            if chosen:
                return Hit(chosen)
        return None

    def document(self, raw: Any) -> RemoteCustomer:
        return words.customer(raw["customer"])


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Order, draft, publish; each with its key, each found again."""

    platform: Square
    calls = 3

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.platform.settings
        order, remark = words.order_body(draft, settings)
        plan = (
            post("order", "/v2/orders", order, remark=remark),
            post("invoice", "/v2/invoices", words.invoice_body(draft, settings)),
            post("publish", "/v2/invoices/{invoice}/publish", {"version": 0}, issues=True),
        )
        return plan if settings.issue else plan[:-1]

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """Among all of the customer's: Square's search has no filter but location and customer."""
        order, settings = draft.draft, self.platform.settings
        where = {"location_ids": [words.location(order, settings)], "customer_ids": [draft.customer_id]}
        sort = {"field": "INVOICE_SORT_DATE", "order": "DESC"}
        question = {"query": {"filter": where, "sort": sort}, "limit": 200}
        raws = {
            raw["id"]: raw
            for raw in self.platform.listed("/v2/invoices/search", "invoices", question)
            if raw.get("invoice_number") == order.reference or key_in(raw.get("description")) == draft.key
        }
        chosen = choosing.invoice(draft, map(words.invoice, raws.values()), words.TITLE)
        if chosen is None:
            return self._unbilled(draft)
        if chosen.key != draft.key or chosen.status is not Status.DRAFT or not settings.issue:
            return Hit(chosen)
        if version := raws[chosen.id]["version"]:
            raise Rejected(
                f"order {order.order_ref}: its draft on Square was changed there (version {version}); "
                "publish or delete it on Square, then retry"
            )
        return Hit(chosen, resume_at="publish")

    def _unbilled(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """An order that was made before the invoice could be."""
        only = {"customer_filter": {"customer_ids": [draft.customer_id]}, "state_filter": {"states": ["OPEN"]}}
        location = words.location(draft.draft, self.platform.settings)
        question = {"location_ids": [location], "query": {"filter": only}, "limit": 100}
        for raw in self.platform.listed("/v2/orders/search", "orders", question):
            if (raw.get("metadata") or {}).get("billhook_key") == short(draft.key, 255):
                return Hit(words.unbilled(raw, draft), resume_at="invoice")
        return None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        body = answer.json()
        if request.step == "order":
            return str(body["order"]["id"]), None
        document = words.invoice(body["invoice"])
        return document.id, document
