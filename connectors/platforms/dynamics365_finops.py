"""Finance & Operations, OData: customers; free text invoices: a header, its lines, posting by the merchant's service.

Headers and lines go in a `$batch` (multipart/mixed): one change set an invoice, which is all or nothing, so that lines
are there whole or not at all. Answers in it are told apart by Content-ID.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from datetime import date
from email.message import Message
from email.parser import BytesParser
from typing import Any

from connectors.countries import alpha_3
from connectors.errors import ConnectorError, Rejected, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import dynamics365_words as words
from connectors.platforms.documents import (
    JSON,
    Attempt,
    CustomerDraft,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    element,
    filled,
    later,
    posted,
)
from connectors.platforms.groups import grouped
from connectors.platforms.texts import distinct_name, fits, literal, placed, short, street, without_empty

BATCH = "bh-batch"
SET = "bh-set"
ADDRESS = ("", "", "AddressCity", "AddressState", "AddressZipCode", "AddressCountryRegionId")
NOON = "T12:00:00Z"
ASKED_FOR = 20
EVERYWHERE = {"cross-company": "true"}
"""Else only the default company of our user is looked through."""


def change_set(name: str, path: str, bodies: Sequence[str]) -> str:
    """Creates of one document as a part of a batch: all or none."""
    parts = "".join(
        f"--{SET}-{name}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: {number}\r\n\r\nPOST {path} HTTP/1.1\r\nContent-Type: application/json\r\n"
        f"Prefer: return=representation\r\n\r\n{body}\r\n"
        for number, body in enumerate(bodies, int(name))
    )
    return f"--{BATCH}\r\nContent-Type: multipart/mixed; boundary={SET}-{name}\r\n\r\n{parts}--{SET}-{name}--\r\n"


def parts_of(answer: Answer) -> dict[str, Answer]:
    """The answers in a batch's answer by Content-ID. Raises `ValueError` for what is no whole batch."""
    kind = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if not boundary or not answer.body.rstrip().endswith(f"--{boundary[1]}--".encode()):
        raise ValueError("not a whole batch")
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer.body)
    inside = [part for part in message.walk() if part.get_content_type() == "application/http"]
    return {part["Content-ID"] or f"unnamed {n}": _http(part, answer) for n, part in enumerate(inside)}


def _http(part: Message, answer: Answer) -> Answer:
    head, _, body = part.get_payload(decode=True).partition(b"\r\n\r\n")  # type: ignore[union-attr]
    return dataclasses.replace(answer, status=int(head.split()[1]), body=body.strip(), headers={})


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Customers: found by e-mail address, else by the name that we give."""

    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        settings, place = self.platform.settings, draft.billing_address or draft.shipping_address
        raw = {
            "dataAreaId": settings.data_area_id,
            "OrganizationName": fits("the customer's name", distinct_name(draft), 100, words.TITLE),
            "PartyType": "Organization",
            "CustomerGroupId": settings.customer_group,
            "SalesCurrencyCode": draft.currency,
            "SalesTaxGroup": settings.sales_tax_group,
            "PaymentTerms": settings.payment_terms,
            "PrimaryContactEmail": draft.party.email,
            "PrimaryContactPhone": draft.party.phone,
            "TaxExemptNumber": draft.party.tax_id,
            "AddressStreet": street(place),
            **placed(place, ADDRESS, country=alpha_3),
        }
        return (posted("create", "/data/CustomersV3", without_empty(raw)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        found: list[RemoteCustomer] = []
        asked = {("OrganizationName", distinct_name(draft)), ("PrimaryContactEmail", draft.party.email)}
        for field, value in sorted((field, value) for field, value in asked if value):
            rows = listed(self, "CustomersV3", f"{field} eq {literal(value)}")
            found += [customer(raw) for raw in rows]
        best = words.chosen(draft, found, distinct_name(draft))
        return Hit(best) if best else None

    def document(self, raw: Any) -> RemoteCustomer:
        return customer(raw)


def customer(raw: Any) -> RemoteCustomer:
    email = raw.get("PrimaryContactEmail") or None
    return RemoteCustomer(id=raw["CustomerAccount"], name=raw["OrganizationName"], email=email)


def listed(documents: Documents[Any, Any], entity: str, condition: str) -> list[Any]:
    """The legal entity's rows of this condition. Raises the errors of a read."""
    area = literal(documents.platform.settings.data_area_id)
    wanted = {**EVERYWHERE, "$filter": f"dataAreaId eq {area} and ({condition})"}

    def page(_: int, following: Any) -> tuple[list[Any], Any]:
        answer = documents.platform.ask(f"/data/{entity}", following or wanted)
        return documents.platform.told(answer, lambda body: (list(body["value"]), words.following(body)))

    return documents.platform.every(page)


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Free text invoices. The header carries our key; amounts are those of the lines, for the header has none."""

    bulk = 50
    calls = 5
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings, order = self.platform.settings, draft.draft
        if "*" in order.reference or len(order.reference) > 35:
            raise Rejected(f"order {order.order_ref}: its number has a * or more than 35 characters")
        found, remark = words.items(order, settings, "line", off=False)
        name, area = words.mark(draft.key), settings.data_area_id
        head = dump_json(header(draft, settings))
        rows = [
            f'{{"dataAreaId":{json.dumps(area)},"ParentRecId":{later("draft")},{dump_json(row)[1:]}'
            for row in (line(number, item, settings) for number, item in enumerate(found, 1))
        ]
        steps = [
            self._batch("draft", change_set(name, "/data/FreeTextInvoiceHeaders", [head]), remark=remark),
            self._batch("lines", change_set(name, "/data/FreeTextInvoiceLines", rows)),
        ]
        if settings.issue:
            body = f'{{"dataAreaId":{json.dumps(area)},"invoiceIdentifier":{later("draft")}}}'
            path = f"/api/services/{settings.post_service}"
            steps.append(Request(step="issue", path=path, headers=JSON, body=body, issues=True))
        return tuple(steps)

    @staticmethod
    def _batch(step: str, parts: str, **more: Any) -> Request:
        kind = {"Content-Type": f"multipart/mixed; boundary={BATCH}"}
        return Request(step=step, path="/data/$batch", headers=kind, body=f"{parts}--{BATCH}--\r\n", **more)

    def pack(self, plans: Sequence[Plan]) -> Request:
        return self._together([plan[0] for plan in plans])

    def _together(self, requests: Sequence[Request]) -> Request:
        return self._batch(
            requests[0].step, "".join(request.body.removesuffix(f"--{BATCH}--\r\n") for request in requests)
        )

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        """A header or all lines of each; the document that is shown is bare: an id."""
        parts = parts_of(answer)
        return [self._outcome(parts, draft, answer) for draft in drafts]

    def _outcome(self, parts: dict[str, Answer], draft: PlannedInvoice, answer: Answer) -> Outcome[RemoteInvoice]:
        order = draft.draft
        bare = RemoteInvoice(id="", status=Status.DRAFT, currency=order.currency, total=order.total)
        name = words.mark(draft.key)
        return element(lambda: bare.model_copy(update={"id": self._done(parts, name, answer)}), answer)

    def _done(self, parts: dict[str, Answer], name: str, answer: Answer) -> str:
        """The invoice's id, where its change set was carried out. Raises what the answer means where it was not."""
        if name not in parts:
            refused = [part for part in parts.values() if part.status >= 300]
            if len(parts) == len(refused) == 1:
                self.platform._refuse(refused[0], refused[0].status, True)
            raise Uncertain(f"{words.TITLE}'s answer does not speak of this invoice", status=answer.status)
        self.platform._refuse(parts[name], parts[name].status, True)
        raw = parts[name].json()
        return str(raw["InvoiceIdentifier"] if "InvoiceIdentifier" in raw else raw["ParentRecId"])

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step == "issue":
            if not (isinstance(answer.json(), str) and answer.json()):
                raise ValueError("the service gives the number of the posted invoice")
            return "", None
        name = re.search(r"Content-ID: (\d+)", request.body)
        ident = self._done(parts_of(answer), name[1] if name else "", answer)
        return ident, self.platform.read(ident) if request.step == "lines" else None

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """Headers in one call, their lines in the next; then each is read, compared and posted by itself."""
        outcomes = super().create_packed(request, attempts, key)
        there = self.recorded("draft", attempts, outcomes)
        if there:
            some = [attempts[place] for place in there]
            lines = self._together([filled(attempts[place].plan[1], {"draft": i}) for place, i in there.items()])
            written = super().create_packed(lines, some, f"{key}-lines")
            for place, outcome in zip(there, written, strict=True):
                outcomes[place] = outcome
            for place in self.recorded("lines", attempts, outcomes):
                outcomes[place] = self.finished(attempts[place], there[place])
        return outcomes

    def finished(self, attempt: Attempt[PlannedInvoice], ident: str) -> Outcome[RemoteInvoice]:
        """What remains of a plan when lines are there: to read, to compare, to post."""
        if self.platform.settings.issue:
            return self.create(attempt)
        try:
            document = self.platform.read(ident)
        except ConnectorError as error:
            unread = Uncertain(f"the lines are there, but: {error.message}", sample=error.sample)
            return Outcome(error=unread, sample=error.sample)
        return Outcome(document, difference=self.differs(attempt.draft, document))

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return self.sought(grouped(drafts, ASKED_FOR), self._there, self._hit)

    def _there(self, drafts: Sequence[PlannedInvoice]) -> list[tuple[RemoteInvoice, int]]:
        references = sorted({draft.draft.reference for draft in drafts})
        wanted = " or ".join(f"CustomerReference eq {literal(one)}" for one in references)
        return self._invoices(wanted)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Those that are dated this day or later, without the corrections of others. Raises the errors of a read."""
        return [found for found, _ in self._invoices(f"InvoiceDate ge {day}T00:00:00Z")]

    def _invoices(self, condition: str) -> list[tuple[RemoteInvoice, int]]:
        rows = listed(self, "FreeTextInvoiceHeaders", condition)
        return self.documents([raw for raw in rows if not raw.get("CorrectedInvoiceId")])

    def documents(self, headers: Sequence[Any]) -> list[tuple[RemoteInvoice, int]]:
        """Headers with the sums of their lines, and how many these are. Raises the errors of a read."""
        lines: list[Any] = []
        for some in grouped([raw["InvoiceIdentifier"] for raw in headers], ASKED_FOR):
            lines += listed(self, "FreeTextInvoiceLines", " or ".join(f"ParentRecId eq {one}" for one in some))
        corrected = self._corrected([raw["FreeTextNumber"] for raw in headers if raw["IsPosted"] == "Yes"])
        paired = [(raw, [row for row in lines if row["ParentRecId"] == raw["InvoiceIdentifier"]]) for raw in headers]
        return [(document(raw, rows, raw["FreeTextNumber"] in corrected), len(rows)) for raw, rows in paired]

    def _corrected(self, numbers: Sequence[str]) -> set[str]:
        """Those of posted invoices for which there is a correction."""
        found: list[Any] = []
        for some in grouped(numbers, ASKED_FOR):
            wanted = " or ".join(f"CorrectedInvoiceId eq {literal(one)}" for one in some)
            found += listed(self, "FreeTextInvoiceHeaders", wanted)
        return {raw["CorrectedInvoiceId"] for raw in found}

    def _hit(self, draft: PlannedInvoice, found: Sequence[tuple[RemoteInvoice, int]]) -> Hit[RemoteInvoice] | None:
        lines = {one.id: count for one, count in found}
        last = "issue" if self.platform.settings.issue else None
        known = words.known(draft.draft, [one for one, _ in found])
        return choosing.unfinished(draft, known, words.TITLE, lambda hit: last if lines[hit.id] else "lines")


def document(raw: Any, lines: Sequence[Any], corrected: bool = False) -> RemoteInvoice:
    """A free text invoice of answers. A tax that a line of ours evens out is not the order's, and left out."""
    posted = {"Yes": True, "No": False}[raw["IsPosted"]]
    tax = sum(row["SalesTaxAmount"] for row in lines)
    return RemoteInvoice(
        id=str(raw["InvoiceIdentifier"]),
        number=raw["FreeTextNumber"] if posted else None,
        reference=raw["CustomerReference"],
        key=raw["ExternalInvoiceId"] or None,
        status=Status.VOID if corrected else Status.ISSUED if posted else Status.DRAFT,
        currency=raw["CurrencyCode"],
        total=sum(row["TransactionCurrencyAmount"] for row in lines) + tax,
        tax=None if any(row["InvoiceText"] == words.ROUNDING for row in lines) else tax,
        customer_id=raw["CustomerAccount"],
    )


def header(draft: PlannedInvoice, settings: words.DynamicsSettings) -> dict[str, Any]:
    order = draft.draft
    return without_empty(
        {
            "dataAreaId": settings.data_area_id,
            "CustomerAccount": draft.customer_id,
            "InvoiceAccount": draft.customer_id,
            "InvoiceDate": order.issued_on.isoformat() + NOON,
            "DueDate": order.due_on.isoformat() + NOON,
            "CurrencyCode": order.currency,
            "TermsOfPayment": settings.payment_terms,
            "CustomerReference": order.reference,
            "ExternalInvoiceId": short(order.key, words.KEY),
            "InclTax": "No",
            "SalesTaxGroupId": settings.sales_tax_group,
        }
    )


def line(number: int, item: words.Item, settings: words.DynamicsSettings) -> dict[str, Any]:
    """A line without what ties it to its header. The whole text is InvoiceText; Description is short."""
    label = item.text.splitlines()[0]
    return {
        "LineNumber": number,
        "Description": label if len(label) <= 60 else f"Line {number}",
        "InvoiceText": item.text,
        "Quantity": item.quantity,
        "UnitPrice": item.unit,
        "TransactionCurrencyAmount": item.amount,
        "MainAccountDisplayValue": item.account,
        "SalesTaxGroupId": settings.sales_tax_group,
        "SalesTaxItemGroupId": item.code,
    }
