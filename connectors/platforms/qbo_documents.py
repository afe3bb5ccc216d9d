"""Customers and invoices in QuickBooks: created one by one or in a batch, looked for by query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, TypeVar

from connectors.errors import ConnectorError, Duplicate, Rejected, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import qbo_words as words
from connectors.platforms.documents import (
    Attempt,
    CustomerDraft,
    D,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    R,
    RemoteCustomer,
    Request,
    element,
    posted,
)
from connectors.platforms.groups import grouped
from connectors.platforms.texts import key_in

VERSION = {"minorversion": "75"}
ROWS = 1000
"""The most rows a query gives (Query operations and syntax)."""
NAMES = 100
"""Values in the list of one query: far below what was ever refused."""
Raw = Mapping[str, Any]
T = TypeVar("T")


def company(settings: words.QuickBooksSettings) -> str:
    """Where a company's paths begin."""
    return f"/v3/company/{settings.realm_id}"


class Elements(Documents[D, R]):
    """What customers and invoices share.

    Many documents go as one batch, each under a `bId` made of its key; each is answered by itself, in any order, with
    the entity or with a Fault (API reference, Batch). A document alone goes to its own address, which does not count
    as a batch.
    """

    bulk = 10
    entity: ClassVar[str]
    note: ClassVar[str]
    """The field of the entity that ends in our business key."""

    def document(self, raw: Raw) -> R:
        """An entity of an answer in our words."""
        raise NotImplementedError

    def taken(self, raw: Raw, refused: Duplicate) -> R:
        """The document for which an entity was refused as a duplicate, where it is surely the one that was wanted.
        Raises what the refusal means where it is not."""
        raise refused

    @property
    def address(self) -> str:
        return f"{company(self.platform.settings)}/{self.entity.lower()}"

    def entered(self, raw: Raw) -> Plan:
        """The plan: one POST of the entity."""
        return (posted("create", self.address, raw, query=VERSION, issues=True),)

    def pack(self, plans: Sequence[Plan]) -> Request:
        return self.together([plan[0] for plan in plans])

    def together(self, requests: Sequence[Request]) -> Request:
        """Creates of this entity, ids filled in, as one call."""
        first = requests[0]
        if len(requests) == 1:
            return first
        items = []
        for request in requests:
            head = dump_json({"bId": words.batch_id(self._key(request)), "operation": "create"})
            items.append(f'{head[:-1]},"{self.entity}":{request.body}}}')
        path = f"{company(self.platform.settings)}/batch"
        body = f'{{"BatchItemRequest":[{",".join(items)}]}}'
        return first.model_copy(update={"path": path, "body": body, "quota": "batch"})

    def _key(self, request: Request) -> str:
        return key_in(words.parsed(request.body)[self.note]) or ""

    def unpack(self, answer: Answer, drafts: Sequence[D]) -> list[Outcome[R]]:
        body = answer.json()
        if self.entity in body:
            (draft,) = drafts
            return [element(lambda: self._only(draft, [body], answer), answer)]
        items = body["BatchItemResponse"]
        shown = {draft.key: [item for item in items if item["bId"] == words.batch_id(draft.key)] for draft in drafts}
        return [element(partial(self._only, draft, shown[draft.key], answer), answer) for draft in drafts]

    def create_packed(self, request: Request, attempts: Sequence[Attempt[D]], key: str) -> list[Outcome[R]]:
        outcomes: list[Outcome[R]] = Documents.create_packed(self, request, attempts, key)
        refused = outcomes[0].error
        if len(attempts) > 1 or not isinstance(refused, Duplicate):
            return outcomes
        settled: Outcome[R]
        try:
            settled = Outcome(self.taken(words.parsed(request.body), refused), sample=refused.sample)
        except ConnectorError as error:
            settled = Outcome(error=error, sample=error.sample or refused.sample)
        return [settled]

    def _only(self, draft: D, items: Sequence[Raw], answer: Answer) -> R:
        if len(items) != 1:
            raise Uncertain(f"QuickBooks' answer has {len(items)} elements for this document", status=answer.status)
        return self._accepted(draft, items[0], answer)

    def _accepted(self, draft: D, item: Raw, answer: Answer) -> R:
        """The item's document. Raises what its Fault means where QuickBooks refused it."""
        if "Fault" not in item:
            raw: Raw = item[self.entity]
            if key_in(raw.get(self.note)) != draft.key:
                raise Uncertain("QuickBooks answered for another document: was the requestid used before?")
            return self.document(raw)
        message, code = words.fault(item["Fault"])
        error = self.platform.refused(message, answer, code)
        if isinstance(error, Duplicate):
            return self.taken(words.parsed(self.plan(draft)[0].body), error)
        raise error

    def made(self, request: Request, answer: Answer) -> tuple[str, R | None]:
        raw = answer.json()[self.entity]
        return str(raw["Id"]), self.document(raw)

    def forgive(self, request: Request, error: ConnectorError) -> str | None:
        if not isinstance(error, Duplicate):
            return None
        return str(self.taken(words.parsed(request.body), error).id)

    def listed(self, field: str, values: Iterable[str], also: str = "") -> list[Raw]:
        """Every entity whose `field` has one of the values (without regard to case, says Intuit). Raises the errors of
        a read."""
        found: list[Raw] = []
        for group in grouped(sorted(set(values)), NAMES):
            some = ", ".join(map(words.literal, group))
            found += self.rows(f"select * from {self.entity} where {field} in ({some}){also}", self.entity)  # noqa: S608 - escaped
        return found

    def rows(self, statement: str, entity: str) -> list[Raw]:
        """Every row that a query gives, page by page. Raises the errors of a read."""
        path, kind = f"{company(self.platform.settings)}/query", {"Content-Type": "application/text"}

        def page(number: int, _: Any) -> tuple[list[Raw], bool]:
            paged = f"{statement} startposition {(number - 1) * ROWS + 1} maxresults {ROWS}"
            answer = self.platform.ask(path, VERSION, kind, paged)
            rows = self.platform.told(answer, lambda body: list(body["QueryResponse"].get(entity, [])))
            return rows, len(rows) == ROWS

        return self.platform.every(page)

    def read_rows(self, rows: Iterable[Raw]) -> list[R]:
        """Rows of a query in our words. Raises `Unavailable` for one that cannot be read: it may be the one."""
        try:
            return [self.document(raw) for raw in rows]
        except Exception as error:
            raise Unavailable(f"QuickBooks: what the query found cannot be read ({type(error).__name__})") from None


class Customers(Elements[CustomerDraft, RemoteCustomer]):
    """Customers. DisplayName is unique over customers, vendors and employees, and all that can be searched surely.

    The name we give says who it is ("Ada Lovelace (ada@example.com)"), so the one who has it is the same customer. One
    of the merchant's own with the plain name is adopted if it is a company or has the same e-mail address.
    """

    look_first = True
    entity = "Customer"
    note = "Notes"

    def document(self, raw: Raw) -> RemoteCustomer:
        email = (raw.get("PrimaryEmailAddr") or {}).get("Address")
        return RemoteCustomer(id=raw["Id"], key=key_in(raw.get("Notes")), name=raw["DisplayName"], email=email)

    def plan(self, draft: CustomerDraft) -> Plan:
        return self.entered(words.customer(draft, self.platform.settings))

    def find(self, drafts: Sequence[CustomerDraft]) -> list[Hit[RemoteCustomer] | None | ConnectorError]:
        return self.sought([drafts], self._named, self._match)

    def _named(self, drafts: Sequence[CustomerDraft]) -> list[Raw]:
        names = {name for draft in drafts for name in (self._name(draft), words.plain_name(draft.party))}
        return self.listed("DisplayName", names)

    def _name(self, draft: CustomerDraft) -> str:
        return words.display_name(draft, self.platform.settings)

    def _match(self, draft: CustomerDraft, rows: Sequence[Raw]) -> Hit[RemoteCustomer] | None:
        own, plain = self._name(draft).casefold(), words.plain_name(draft.party).casefold()
        email = (draft.party.email or "").casefold()
        for raw in sorted(rows, key=lambda raw: str(raw["DisplayName"]).casefold() != own):
            found, name = self.document(raw), str(raw["DisplayName"]).casefold()
            same_currency = (raw.get("CurrencyRef") or {}).get("value", draft.currency) == draft.currency
            alike = draft.party.company or (email and (found.email or "").casefold() == email)
            if name == own or (name == plain and alike and same_currency):
                return Hit(found)
        return None

    def taken(self, raw: Raw, refused: Duplicate) -> RemoteCustomer:
        """6240, the name exists: as a customer it is the one; as a vendor or employee a person must rename it."""
        name = str(raw["DisplayName"])
        for row in self.listed("DisplayName", [name]):
            if str(row["DisplayName"]).casefold() == name.casefold():
                return self.document(row)
        raise Rejected(
            f"QuickBooks has a vendor or an employee named {name!r}, and names are unique over both and customers: "
            "change that one's display name, then `billhook retry`",
            status=refused.status, code=refused.code, sample=refused.sample,
        )  # fmt: skip


class Invoices(Elements[PlannedInvoice, RemoteInvoice]):
    """Invoices: posted by the call that creates them, so their tax is computed before and compared after."""

    entity = "Invoice"
    note = "PrivateNote"

    def document(self, raw: Raw) -> RemoteInvoice:
        total, due = raw["TotalAmt"], raw.get("Balance")
        note = raw.get("PrivateNote") or ""
        status = Status.PAID if total and due == 0 else Status.ISSUED
        if not total and note.startswith("Voided"):
            status = Status.VOID
        return RemoteInvoice(
            id=raw["Id"],
            number=raw.get("DocNumber"),
            reference=raw.get("DocNumber"),
            key=key_in(note),
            status=status,
            currency=(raw.get("CurrencyRef") or {}).get("value") or self.platform.settings.home_currency,
            total=total,
            tax=(raw.get("TxnTaxDetail") or {}).get("TotalTax"),
            due=due,
            customer_id=raw["CustomerRef"]["value"],
            url=raw.get("InvoiceLink"),
        )

    def plan(self, draft: PlannedInvoice) -> Plan:
        return self.entered(words.invoice(draft.draft, draft.customer_id, self.platform.settings))

    def differs(self, draft: PlannedInvoice, document: RemoteInvoice) -> str | None:
        """Also the number: a company that numbers its invoices by itself does not take ours."""
        if document.number != draft.draft.reference:
            return (
                f"QuickBooks gave it the number {document.number} instead of {draft.draft.reference}: turn on custom "
                "transaction numbers (Account and settings, Sales), or the invoice is not found by its number"
            )
        return super().differs(draft, document)

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        """By number; what has not ours is looked for among the customer's invoices of the day, by our key: a company
        with its own numbering has dropped ours, a person may have changed it."""
        try:
            rows = self.read_rows(self.listed("DocNumber", [draft.draft.reference for draft in drafts]))
        except ConnectorError as error:
            return [error for _ in drafts]
        hits: dict[str, Hit[RemoteInvoice] | None | ConnectorError] = {}
        for draft in drafts:
            hits[draft.key] = _match(draft, [row for row in rows if row.number == draft.draft.reference])
        missing = sorted((draft for draft in drafts if hits[draft.key] is None), key=_day)
        for day, some in groupby(missing, key=_day):
            alike = list(some)
            hits.update(zip((draft.key for draft in alike), self._by_key(day, alike), strict=True))
        return [hits[draft.key] for draft in drafts]

    def _by_key(self, day: str, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        try:
            payers = self.payers(drafts)
            rows = self.read_rows(self.listed("CustomerRef", payers, f" and TxnDate = '{day}'")) if payers else []
        except ConnectorError as error:
            return [error for _ in drafts]
        return [_match(draft, [row for row in rows if row.key == draft.key]) for draft in drafts]

    def payers(self, drafts: Sequence[PlannedInvoice]) -> set[str]:
        """The ids which these drafts' invoices name as their customer, as far as there are any. Raises the errors of a
        read."""
        return {draft.customer_id for draft in drafts}


def _day(draft: PlannedInvoice) -> str:
    return draft.draft.issued_on.isoformat()


def _match(draft: PlannedInvoice, rows: Sequence[RemoteInvoice]) -> Hit[RemoteInvoice] | None | ConnectorError:
    """Ours before others', living before voided ones. Numbers are unique only where the company wants them to be."""
    hits = sorted(rows, key=lambda hit: (hit.key != draft.key, hit.status is Status.VOID))
    live = [hit for hit in hits if hit.key == draft.key and hit.status is not Status.VOID]
    if len(live) > 1:
        return Rejected(
            f"QuickBooks has {len(live)} invoices {draft.draft.reference} for this order: void all but one, then retry"
        )
    return Hit(hits[0]) if hits else None
