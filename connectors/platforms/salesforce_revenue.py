"""Invoices of Revenue Cloud Billing: handed in through its ingestion API, which makes them in its own time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.errors import ConnectorError, Rejected, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import InvoiceDraft, RemoteInvoice, Status
from connectors.platforms import salesforce_words as words
from connectors.platforms.documents import Attempt, Documents, Outcome, Plan, PlannedInvoice, Request, posted
from connectors.platforms.rows import Row, coded, spread
from connectors.platforms.salesforce_documents import Invoices, listed
from connectors.platforms.texts import fits, placed, street, without_empty

INVOICING = "/commerce/invoicing/invoices"
INGEST = f"{INVOICING}/collection/actions/ingest"
TAX_PARENT = "invoiceLineId"
"""The guide calls it `invoiceLine`, the live API wants this."""
STATUSES = {"Draft": Status.DRAFT, "Posted": Status.ISSUED, "Voided": Status.VOID}
FIELDS = "Id,InvoiceNumber,UniqueIdentifier,Status,TotalAmountWithTax,TotalTaxAmount,Balance,BillingAccountId,"


class Ingested(Invoices):
    """Standard invoices. `uniqueIdentifier` is our key: a second invoice with it is refused."""

    def plan(self, draft: PlannedInvoice) -> Plan:
        body = {"invoices": [ingestion(draft, self.settings)]}
        return (posted("create", words.API + INGEST, body, issues=self.settings.issue),)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        remote_id = self._accepted(answer.json(), answer)
        document = self.documents([remote_id]).get(remote_id)
        if document is None:
            raise self._unfinished(answer)
        return remote_id, document

    def _accepted(self, body: Any, answer: Answer) -> str:
        """The id that an invoice will have. Raises what the errors mean."""
        if listed(body):
            raise self.refused(body, answer)
        (one,) = body["invoices"]
        if one["success"] is not True:
            raise self.refused(one["errors"], answer)
        return str(one["invoiceId"])

    @staticmethod
    def _unfinished(answer: Answer) -> Uncertain:
        said = "Salesforce has taken the invoice and still works on it; it is looked up later"
        return Uncertain(said, status=answer.status, sample=answer.sample)

    def pack(self, plans: Sequence[Plan]) -> Request:
        parts = [
            {"method": "POST", "url": f"{words.API.rpartition('/')[2]}{INGEST}", "richInput": json.loads(
                plan[0].body, parse_float=Decimal)}
            for plan in plans
        ]  # fmt: skip
        body = dump_json({"haltOnError": False, "batchRequests": parts})
        return plans[0][0].model_copy(update={"path": f"{words.API}/composite/batch", "body": body})

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        return Documents.create_packed(self, request, attempts, key)

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        """The parts of a batch are answered in order and name nobody: invoices are matched by their key, and a refusal
        is believed only where those invoices stand where they were sent."""
        parts = answer.json()["results"]
        found = [self._part(part, answer) for part in parts]
        taken = [one for one in found if isinstance(one, str)]
        documents = self.documents(taken) if taken else {}
        by_key = {document.key: document for document in documents.values()}
        seen = [(documents[one], draft) for one, draft in zip(found, drafts, strict=True) if one in documents]
        in_order = all(document.key == draft.key for document, draft in seen)
        outcomes = []
        for draft, one in zip(drafts, found, strict=True):
            error = one if isinstance(one, ConnectorError) and in_order else self._unfinished(answer)
            document = by_key.get(draft.key)
            outcomes.append(Outcome(document, None if document else error, sample=answer.sample))
        return outcomes

    def _part(self, part: Mapping[str, Any], answer: Answer) -> str | ConnectorError:
        if part["statusCode"] >= 500:  # whether it was taken is not known
            return self._unfinished(answer)
        try:
            return self._accepted(part["result"], answer)
        except ConnectorError as error:
            return error

    def found_for(self, drafts: Sequence[PlannedInvoice]) -> list[Mapping[str, Any]]:
        """By number: whether the identifier may be filtered by is not documented."""
        return self._asked(words.among("InvoiceNumber", [draft.draft.reference for draft in drafts]))

    @property
    def objects(self) -> tuple[str, str]:
        return "Invoice", "InvoiceLine"

    def since(self, day: date) -> list[RemoteInvoice]:
        return self._readable(self._asked(f"InvoiceDate >= {day.isoformat()}"))

    def _asked(self, condition: str) -> list[Mapping[str, Any]]:
        last = "BillToContactId" if self.settings.home_currency else "BillToContactId,CurrencyIsoCode"
        return self.query(FIELDS + last, self.objects[0], condition)

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        status, due, total = STATUSES[raw["Status"]], Decimal(raw["Balance"]), Decimal(raw["TotalAmountWithTax"])
        return RemoteInvoice(
            id=raw["Id"],
            number=raw["InvoiceNumber"],
            reference=raw["InvoiceNumber"],
            key=raw["UniqueIdentifier"],
            status=Status.PAID if status is Status.ISSUED and total > 0 == due else status,
            currency=self.settings.home_currency or raw["CurrencyIsoCode"],
            total=total,
            tax=Decimal(raw["TotalTaxAmount"]),
            due=due,
            customer_id=f"{raw['BillingAccountId']}/{raw['BillToContactId']}",
        )


def ingestion(planned: PlannedInvoice, settings: words.SalesforceSettings) -> dict[str, Any]:
    """One invoice for the ingestion API: a graph of the invoice, its addresses, its lines and their taxes."""
    draft = planned.draft
    name, posted = words.graph_id(draft.key), settings.issue
    records = [("refInvoice", "Invoice", _head(planned, settings)), *_addresses(draft)]
    for place, row in enumerate(spread(draft), 1):
        records += _line(place, row, draft, settings)
    if len(records) > words.NODES:
        raise Rejected(
            f"order {draft.order_ref} needs {len(records)} records (two a line); Salesforce takes {words.NODES} of an "
            "invoice"
        )
    return {
        "shouldCalculateTax": False,
        "taxCalculationStatus": "Posted" if posted else "Estimated",
        "correlationId": name,
        "graph": {
            "graphId": name,
            "records": [
                {
                    "referenceId": ref,
                    "record": {"attributes": {"type": kind, "method": "POST"}, **words.unmistakable(fields)},
                }
                for ref, kind, fields in records
            ],
        },
    }


def _head(planned: PlannedInvoice, settings: words.SalesforceSettings) -> dict[str, Any]:
    draft = planned.draft
    account, _, contact = planned.customer_id.partition("/")
    what = f"order {draft.order_ref}"
    return without_empty(
        {
            "invoiceDate": draft.issued_on.isoformat(),
            "postedDate": draft.issued_on.isoformat() if settings.issue else None,
            "dueDate": draft.due_on.isoformat(),
            "status": "Posted" if settings.issue else "Draft",
            "billingAccountId": account,
            "billToContactId": contact,
            "currencyIsoCode": words.currency_of(draft, settings),
            "invoiceNumber": fits(f"{what}: its reference", draft.reference, words.TEXT, words.TITLE),
            "uniqueIdentifier": fits(f"{what}: its key", draft.key, words.TEXT, words.TITLE),
            "description": fits(f"{what}: its name", f"Order {draft.order_ref}", words.TEXT, words.TITLE),
        }
    )


def _addresses(draft: InvoiceDraft) -> list[tuple[str, str, dict[str, Any]]]:
    """Where the bill and the goods go: every part is compulsory; a place without a region names its city there."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    billing = draft.billing_address or draft.shipping_address
    for ref, place in (("refBill", billing), ("refShip", draft.shipping_address or billing)):
        if place is None or not (street(place) and place.city and place.postcode and place.country):
            raise Rejected(
                f"order {draft.order_ref}: Revenue Cloud Billing wants a whole address (street, city, postcode, "
                "country) on every invoice"
            )
        names = ("", "", "city", "state", "postalCode", "country")
        fields = {"invoiceId": "@{refInvoice.id}", "street": street(place), "state": place.city, **placed(place, names)}
        found.append((ref, "InvoiceAddressGroup", fields))
    return found


def _line(
    place: int, row: Row, draft: InvoiceDraft, settings: words.SalesforceSettings
) -> list[tuple[str, str, dict[str, Any]]]:
    quantity, unit, text = words.quantity_and_price(row, draft)
    day = draft.issued_on.isoformat()
    code = coded(settings.tax, row.rate, draft, words.TITLE)
    line = {
        "invoiceId": "@{refInvoice.id}",
        "billingAddressId": "@{refBill.id}",
        "shippingAddressId": "@{refShip.id}",
        "name": text if len(text) <= words.TEXT and "\n" not in text else f"Line {place}",
        "description": text,
        "invoiceLineStartDate": day,
        "invoiceLineEndDate": day,
        "quantity": quantity,
        "unitPrice": unit,
        "chargeAmount": row.net,
        "taxTreatmentId": settings.tax_treatments.get(row.rate),
    }
    tax = {
        TAX_PARENT: f"@{{refLine{place}.id}}",
        "taxAmount": row.tax,
        "taxRate": row.rate / 100,
        "taxName": row.tax_name,
        "taxCode": code,
        "taxExemptAmount": 0,
        "taxEffectiveDate": day,
        "taxTransactionNumber": f"{words.graph_id(draft.key)}-{place}",
        "taxDocumentNumber": draft.reference,
    }
    return [
        (f"refLine{place}", "InvoiceLine", without_empty(line)),
        (f"refTax{place}", "InvoiceLineTax", tax),
    ]
