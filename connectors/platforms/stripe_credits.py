"""Credit notes on Stripe: one call each, final at once, set off against their invoice by Stripe itself.

Sources: docs.stripe.com/api/credit_notes and stripe-python 16.1.0 (CreditNoteCreateParams, CreditNote.create): a credit
note first reduces what remains of its invoice (`pre_payment_amount`); the rest must be said to be refunded, credited to
the customer's balance or given back outside of Stripe. The first two would pay the customer a second time, for the shop
has refunded already. Tax amounts must name tax rates that Stripe made automatically; it makes them of an invoice's own
tax amounts and archives them at once (InvoiceAddLinesParams, `tax_rate_data`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from connectors.errors import Rejected, Sample
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import stripe_lines as lines
from connectors.platforms import stripe_words as words
from connectors.platforms.crediting import invoice_of, set_off
from connectors.platforms.documents import PLACE, Attempt, Documents, Hit, Plan, PlannedInvoice, Request, filled

if TYPE_CHECKING:
    from connectors.platforms.stripe import Stripe

NOTES = "/v1/credit_notes"


class CreditNotes(Documents[PlannedInvoice, RemoteInvoice]):
    """Credit notes. Taxes are the merchant's tax rates where rounding by line and by rate both give the amounts to the
    cent, else amounts of the tax rates that Stripe made for the invoice's own."""

    platform: Stripe

    def plan(self, draft: PlannedInvoice) -> Plan:
        order, settings, invoice = draft.draft, self.platform.settings, invoice_of(draft)
        if not settings.issue:
            raise Rejected(
                f"order {order.order_ref}: Stripe has no drafts of credit notes; make it by hand, or delete the draft "
                f"invoice {invoice.id}"
            )
        off = lines.minor(order.discount.amount, order.currency) if order.discount else 0
        parts = lines.spread(order, lines.rows(order), off)
        rates = words.rates_of(parts, settings, order.tax_included)
        surely = lines.coupon_gives_the_order(order, parts, 0)
        pairs = [
            ("invoice", invoice.id),
            ("memo", f"Order {order.order_ref}"),
            ("email_type", "none"),
            *words.marks(order),
            *lines.credited(order, parts, rates if surely else None),
        ]
        if paid := order.total - set_off(draft):
            pairs.append(("out_of_band_amount", str(lines.minor(paid, order.currency))))
        return (words.form("note", NOTES, pairs, issues=True),)

    def _run(
        self, request: Request, attempt: Attempt[PlannedInvoice], made: Mapping[str, str]
    ) -> tuple[str, RemoteInvoice | None, Sample | None]:
        if PLACE in request.body:
            request = filled(request, self._rates(attempt.draft))
        if PLACE in request.body:
            raise Rejected(
                f"order {attempt.draft.draft.order_ref}: how Stripe would round this credit note's tax is not known, "
                "and its invoice has no tax amounts to go by; make it by hand"
            )
        return super()._run(request, attempt, made)

    def _rates(self, draft: PlannedInvoice) -> dict[str, str]:
        """The tax rates that Stripe made for the invoice, by their names in the plan: the same for ever, for it is
        final."""
        path = f"/v1/invoices/{quote(invoice_of(draft).id, safe='')}"
        taxes = self.platform.look(path, lambda body: list(body["total_taxes"]))
        idents = sorted({str(tax["tax_rate_details"]["tax_rate"]) for tax in taxes})
        rates = [self.platform.look(f"/v1/tax_rates/{ident}", words.TaxRate.model_validate) for ident in idents]
        alike = [rate for rate in rates if not rate.active and rate.inclusive == draft.draft.tax_included]
        return {lines.rate_name(rate.percentage): rate.id for rate in alike}

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """The list by invoice, like every list, is consistent at once."""
        raws = self.platform.pages(NOTES, {"invoice": invoice_of(draft).id})
        chosen = choosing.invoice(draft, map(words.credit_note, raws), "Stripe")
        return Hit(chosen) if chosen else None

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.platform.look(f"{NOTES}/{quote(remote_id, safe='')}", words.credit_note)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        note = words.credit_note(answer.json())
        return note.id, note
