"""Business Central, API v2.0: customers; invoices and credit memos, which are drafted, compared and posted.

Every unsafe call on these is a JSON `$batch` of pairs: do something, and read the document after it, so that one call
makes many and shows them. Without `Isolation` each inner request stands alone; a batch has at most 100 of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import date
from textwrap import wrap
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.errors import ConnectorError, Rejected, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import Address, RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import dynamics365_words as words
from connectors.platforms.crediting import invoice_of, set_off
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
from connectors.platforms.texts import BEFORE_KEY, distinct_name, fits, key_in, literal, placed, short, without_empty

CURRENT = {"Data-Access-Intent": "ReadWrite"}
"""Not from a replica that lags behind."""
TEXT = 100
ADDRESS, LONGEST = ("addressLine1", "addressLine2", "city", "state", "postalCode", "country"), (100, 50, 30, 30, 20, 10)
STATES = {
    "Draft": Status.DRAFT, "In Review": Status.DRAFT, "Open": Status.ISSUED, "Corrective": Status.ISSUED,
    "Paid": Status.PAID, "Canceled": Status.VOID,
}  # fmt: skip
ASKED_FOR = 20
"""References in one filter: the address stays short."""


def root(settings: words.DynamicsSettings) -> str:
    """Where the API of an environment begins."""
    return f"/v2.0/{quote(settings.tenant_id)}/{quote(settings.environment)}/api/v2.0"


def company(settings: words.DynamicsSettings) -> str:
    return f"companies({settings.company_id})"


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Customers: found by e-mail address; who has none by a name that tells two of one name apart."""

    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        party, place = draft.party, draft.billing_address or draft.shipping_address
        wheres = placed(place, ADDRESS, LONGEST, words.TITLE)
        raw = {
            "displayName": fits(
                "the customer's name", party.display_name if party.email else distinct_name(draft), TEXT, words.TITLE
            ),
            "type": "Company" if party.company else "Person",
            **wheres,
            "phoneNumber": fits("the customer's telephone", party.phone, 30, words.TITLE),
            "email": fits("the customer's e-mail address", party.email, 80, words.TITLE),
            "taxRegistrationNumber": fits("the customer's tax number", party.tax_id, 20, words.TITLE),
        }
        path = f"{root(self.platform.settings)}/{company(self.platform.settings)}/customers"
        return (posted("create", path, without_empty(raw)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        email, name = draft.party.email, None if draft.party.email else distinct_name(draft)
        asked = {("email", email), ("email", email.lower())} if email else {("displayName", name or "")}
        wanted = " or ".join(f"{field} eq {literal(value)}" for field, value in sorted(asked))
        path = f"{root(self.platform.settings)}/{company(self.platform.settings)}/customers"
        answer = self.platform.ask(path, {"$filter": wanted}, CURRENT)
        found = self.platform.told(answer, lambda body: [customer(raw) for raw in words.rows_of(body)])
        best = words.chosen(draft, found, name)
        return Hit(best) if best else None

    def document(self, raw: Any) -> RemoteCustomer:
        return customer(raw)


def customer(raw: Any) -> RemoteCustomer:
    """By its number, which people know it by."""
    return RemoteCustomer(id=raw["number"], name=raw["displayName"], email=raw["email"] or None)


def address(before: str, place: Address | None) -> dict[str, Any]:
    """The fields of an address on an invoice, which begin with `before`. Raises `Rejected` for what is too long."""
    names = ("AddressLine1", "AddressLine2", "City", "State", "PostCode", "Country")
    return placed(place, [before + name for name in names], LONGEST, words.TITLE)


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """Drafted in one batch, compared, posted in the next; each part of a batch is named by its document's key."""

    bulk = 50
    calls = 2
    look_first = True
    collection: ClassVar[str] = "salesInvoices"
    lines: ClassVar[str] = "salesInvoiceLines"

    def fields(self, draft: PlannedInvoice) -> dict[str, Any]:
        """What the head has besides what invoices and credit memos share."""
        order = draft.draft
        return {"invoiceDate": order.issued_on.isoformat(), **address("shipTo", order.shipping_address)}

    def plan(self, draft: PlannedInvoice) -> Plan:
        shared, rows, remark = paper(draft, self.platform.settings)
        raw = without_empty({**shared, **self.fields(draft), self.lines: rows})
        path = f"{company(self.platform.settings)}/{self.collection}"
        wanted = f"$filter={quote(f'externalDocumentNumber eq {literal(coded(draft.draft.reference))}')}"
        lines = f"$expand={self.lines}"
        make = {"method": "POST", "url": path, "headers": JSON, "body": raw}
        first = self._pair("draft", draft.key, make, f"{path}?{wanted}&{lines}", remark=remark)
        if not self.platform.settings.issue:
            return (first,)
        path = f"{path}({later('draft')})"
        post = {"method": "POST", "url": f"{path}/Microsoft.NAV.post", "headers": {}}
        return first, self._pair("issue", draft.key, post, f"{path}?{lines}", issues=True)

    def _pair(self, step: str, key: str, act: dict[str, Any], see: str, **more: Any) -> Request:
        """One unsafe request, and after it the document is read."""
        name = words.mark(key)
        read = {"id": f"{name}-see", "method": "GET", "url": see, "headers": CURRENT}
        body = dump_json({"requests": [{"id": f"{name}-do", **act}, read]})
        return Request(step=step, path=f"{root(self.platform.settings)}/$batch", headers=JSON, body=body, **more)

    def pack(self, plans: Sequence[Plan]) -> Request:
        return self._together([plan[0] for plan in plans])

    @staticmethod
    def _together(requests: Sequence[Request]) -> Request:
        parts = (request.body.removeprefix('{"requests":[').removesuffix("]}") for request in requests)
        return requests[0].model_copy(update={"body": f'{{"requests":[{",".join(parts)}]}}', "remark": ""})

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        parts = {part["id"]: part for part in answer.json()["responses"]}
        return [self._outcome(parts, draft.key, answer) for draft in drafts]

    def _outcome(self, parts: dict[str, Any], key: str, answer: Answer) -> Outcome[RemoteInvoice]:
        def read() -> RemoteInvoice:
            document = self._seen(parts, words.mark(key), answer)[1]
            if document is None:
                raise Uncertain(f"{words.TITLE}'s answer does not show what was made", status=answer.status)
            return document.model_copy(update={"key": key})

        return element(read, answer)

    def _seen(self, parts: dict[str, Any], name: str, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        """What a pair did: the document's id ("" where the answer to the act has none) and the document after it, None
        where it was not read. Raises what the answer to the act means."""
        if f"{name}-do" not in parts:
            raise Uncertain(f"{words.TITLE}'s answer does not speak of this document", status=answer.status)
        act, see = parts[f"{name}-do"], parts.get(f"{name}-see", {"status": 0})
        self.platform._refuse(inner(answer, act), int(act["status"]), True)
        made = act["body"]["id"] if act.get("body") else ""
        if see["status"] != 200:
            return made, None
        rows = see["body"]["value"] if "value" in see["body"] else [see["body"]]
        return made, next((self.document(raw) for raw in rows if made in {"", raw["id"]}), None)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        asked = json.loads(request.body)["requests"]
        parts = {part["id"]: part for part in answer.json()["responses"]}
        made, shown = self._seen(parts, asked[0]["id"].removesuffix("-do"), answer)
        if request.step == "draft":
            return (made or self.document(None).id), shown
        return "", self.final(shown)

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """Drafts in one call; those that agree with their orders are posted in the next."""
        outcomes = super().create_packed(request, attempts, key)
        made = self.recorded("draft", attempts, outcomes)
        ready = {at: one for at, one in made.items() if attempts[at].plan[1:] and not outcomes[at].difference}
        if not ready:
            return outcomes
        some = [attempts[place] for place in ready]
        posts = self._together([filled(attempts[place].plan[1], {"draft": made}) for place, made in ready.items()])
        for place, outcome in zip(ready, super().create_packed(posts, some, f"{key}-issue"), strict=True):
            outcomes[place] = dataclasses.replace(outcome, document=self.final(outcome.document))
            if outcome.document and not outcome.error:
                attempts[place].done("issue", ready[place])
        return outcomes

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        """Drafts and posted ones are in one set."""
        return self.sought(grouped(drafts, ASKED_FOR), self._there, self._hit)

    def _there(self, drafts: Sequence[PlannedInvoice]) -> list[RemoteInvoice]:
        wanted = " or ".join(
            f"externalDocumentNumber eq {literal(one)}"
            for one in sorted({coded(draft.draft.reference) for draft in drafts})
        )
        answer = self.platform.ask(self.path, {"$filter": wanted, "$expand": self.lines}, CURRENT)
        return self.platform.told(answer, lambda body: [self.document(raw) for raw in words.rows_of(body)])

    def _hit(self, draft: PlannedInvoice, found: Sequence[RemoteInvoice]) -> Hit[RemoteInvoice] | None:
        step = "issue" if self.platform.settings.issue else None
        return choosing.unfinished(draft, words.known(draft.draft, found), words.TITLE, step)

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Of all of them."""
        return f"{root(self.platform.settings)}/{company(self.platform.settings)}/{self.collection}"

    def read(self, remote_id: str) -> RemoteInvoice:
        path = f"{self.path}({quote(remote_id, safe='')})"
        return self.platform.told(self.platform.ask(path, {"$expand": self.lines}, CURRENT), self.document)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Those that are dated this day or later. Raises the errors of a read."""
        asked = {"$filter": f"invoiceDate ge {day}", "$expand": self.lines}

        def page(_: int, following: Any) -> tuple[list[RemoteInvoice], Any]:
            answer = self.platform.ask(self.path, following or asked, CURRENT)
            shown = self.platform.told(answer, lambda body: [self.document(raw) for raw in body["value"]])
            return shown, self.platform.told(answer, words.following)

        return self.platform.every(page)

    def due(self, raw: Any) -> Any:
        """What remains of a posted one to be paid."""
        return raw["remainingAmount"]

    def document(self, raw: Any) -> RemoteInvoice:
        """A document of an answer, with its lines where they were asked for: our key is on one of them. A tax that a
        line of ours evens out is not the order's, and left out."""
        lines = raw.get(self.lines) or []
        keys = [key_in(line["description"]) for line in lines if line["lineType"] == "Comment"]
        even = any(line["description"] == words.ROUNDING for line in lines)
        status = STATES[raw["status"]]
        return RemoteInvoice(
            id=raw["id"],
            number=raw["number"],
            reference=raw["externalDocumentNumber"],
            key=next((key for key in keys if key), None),
            status=status,
            currency=raw["currencyCode"],
            total=raw["totalAmountIncludingTax"],
            tax=None if even else raw["totalTaxAmount"],
            due=self.due(raw) if status in {Status.ISSUED, Status.PAID} else None,
            customer_id=raw["customerNumber"],
        )


class CreditMemos(Invoices):
    """Credit memos, made as invoices are. `invoiceId` names the posted invoice that one applies to: posting takes off
    what is due there, the rest stays the customer's (microsoft/BCApps, "APIV2 - Sales Credit Memos"). An invoice that
    is paid is not named: there is no open entry to apply to, and posting would be refused."""

    collection = "salesCreditMemos"
    lines = "salesCreditMemoLines"

    def fields(self, draft: PlannedInvoice) -> dict[str, Any]:
        invoice = invoice_of(draft)
        open_there = invoice.status is Status.ISSUED and set_off(draft)
        return {
            "creditMemoDate": draft.draft.issued_on.isoformat(),
            "invoiceId": invoice.id if open_there else None,
        }

    def due(self, raw: Any) -> Any:
        """A credit memo shows no remaining amount."""
        return None


def inner(answer: Answer, part: dict[str, Any]) -> Answer:
    """A part of a batch's answer as an answer of its own."""
    body = dump_json(part.get("body") or {}).encode()
    return dataclasses.replace(answer, status=int(part["status"]), body=body, headers=part.get("headers") or {})


def coded(text: str) -> str:
    """As a Code field keeps it."""
    return text.strip().upper()


def paper(draft: PlannedInvoice, settings: words.DynamicsSettings) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """What invoices and credit memos share: fields of the head, the lines, and a remark for the trail. Raises
    `Rejected` for what does not fit."""
    order = draft.draft
    if order.reference != order.reference.strip() or len(order.reference) > 35:
        raise Rejected(f"order {order.order_ref}: {words.TITLE} takes external document numbers of up to 35 characters")
    found, remark = words.items(order, settings, "rate", off=True)
    about = f"Order {order.order_ref}"[: TEXT - words.KEY - len(BEFORE_KEY)]
    head = {
        "externalDocumentNumber": coded(order.reference),
        "customerNumber": draft.customer_id,
        "postingDate": order.issued_on.isoformat(),
        "dueDate": order.due_on.isoformat(),
        "currencyCode": order.currency,
        "email": fits(f"order {order.order_ref}: the e-mail address", order.customer.email, 80, words.TITLE),
        **address("sellTo", order.billing_address),
    }
    lines = [
        *(part for item in found for part in written(item, settings)),
        {"lineType": "Comment", "description": f"{about}{BEFORE_KEY}{short(order.key, words.KEY)}"},
    ]
    return head, lines, remark


def written(item: words.Item, settings: words.DynamicsSettings) -> list[dict[str, Any]]:
    """A line, and comment lines below it for what its description has no room for."""
    texts = [part for text in item.text.splitlines() for part in wrap(text, TEXT)] or ["-"]
    number = settings.items.get(item.sku or "")
    line = {
        "lineType": "Item" if number else "Account",
        "lineObjectNumber": number or item.account,
        "description": texts[0],
        "quantity": item.quantity,
        "unitPrice": item.unit,
        "taxCode": item.code,
    }
    if item.discount:
        line["discountAmount"] = item.discount
    return [line, *({"lineType": "Comment", "description": text} for text in texts[1:])]
