"""Partners and invoices in Odoo: made by `load`, found by our reference, posted where they agree with the order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from connectors.errors import ConnectorError, Duplicate, Rejected, Unavailable
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import odoo_words as words
from connectors.platforms.crediting import invoice_of
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
    later,
    reading,
)
from connectors.platforms.odoo_protocols import among, ids_of
from connectors.platforms.odoo_server import Server

PARTNER = ["id", "ref", "name", "email"]


class Spared(Unavailable):
    """Nothing is wrong with it: `load` saves all or nothing, and something else was refused."""


class Loaded(Documents[D, R]):
    """What partners and invoices share: made by `load`, many in one call, each under an external id of its own."""

    platform: Server
    bulk = 50
    """Odoo documents no most; one call is one transaction, which must not take long."""

    def documents(self, ids: Sequence[str]) -> list[R]:
        """The documents as they are now. Raises the errors of a read."""
        raise NotImplementedError

    def pack(self, plans: Sequence[Plan]) -> Request:
        """The first calls of all plans as one `load`: their columns are the same, their rows follow one another."""
        loads = [json.loads(plan[0].body) for plan in plans]
        rows = [row for each in loads for row in each["data"]]
        model, method = plans[0][0].path.split("/")[-2:]
        return self.platform.call(plans[0][0].step, model, method, fields=loads[0]["fields"], data=rows)

    def unpack(self, answer: Answer, drafts: Sequence[D]) -> list[Outcome[R]]:
        value = self.platform.value(answer)
        if not value["ids"]:
            return [Outcome(error=error, sample=answer.sample) for error in self._refused(value, len(drafts), answer)]
        by_key = {document.key: document for document in self.documents([str(one) for one in value["ids"]])}
        return [Outcome(by_key[draft.key], sample=answer.sample) for draft in drafts]

    def _refused(self, value: Mapping[str, Any], count: int, answer: Answer) -> list[ConnectorError]:
        """For each document its own error: messages name the record they are about, from 0 on."""
        texts: dict[int, list[str]] = {}
        for message in value["messages"]:
            if message.get("type") == "error":
                texts.setdefault(message.get("record", -1), []).append(message["message"])
        named = {place: self._error(said, answer) for place, said in texts.items() if 0 <= place < count}
        if not named:
            every = self._error([message["message"] for message in value["messages"]], answer)
            return [every] * count
        spared = Spared("Odoo saved nothing, because another document of the same call was refused")
        return [named.get(place, spared) for place in range(count)]

    def _error(self, texts: Sequence[str], answer: Answer) -> ConnectorError:
        text = "; ".join(texts) or "refused without a reason"
        return self.platform.refused(text, answer, status=422)

    def loaded(self, answer: Answer) -> int:
        """The id that a `load` of one document gave. Raises what its messages mean."""
        value = self.platform.value(answer)
        if not value["ids"]:
            raise self._refused(value, 1, answer)[0]
        (made,) = value["ids"]
        return int(made)

    def create_packed(self, request: Request, attempts: Sequence[Attempt[D]], key: str) -> list[Outcome[R]]:
        """What is refused is taken out, and the others are loaded without it."""
        together: Any = super().create_packed
        outcomes: list[Outcome[R]] = together(request, attempts, key)
        spared = [place for place, outcome in enumerate(outcomes) if isinstance(outcome.error, Spared)]
        if spared:
            others = [attempts[place] for place in spared]
            smaller = self.pack([attempt.plan for attempt in others])
            for place, outcome in zip(spared, self.create_packed(smaller, others, key), strict=True):
                outcomes[place] = outcome
        return outcomes

    def searched(self, model: str, domain: list[Any], fields: Sequence[str]) -> list[Mapping[str, Any]]:
        """Every record that the domain finds, oldest first. Raises the errors of a read."""
        return self.platform.told_of(model, domain, fields, lambda raw: raw)


class Partners(Loaded[CustomerDraft, RemoteCustomer]):
    """Customers. The reference of a partner carries our key; else the merchant's own with that e-mail is adopted."""

    calls = 2
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        columns, cells = words.partner(draft)
        made = self.platform.call("customer", "res.partner", "load", fields=columns, data=[cells])
        return (made,)

    def find(self, drafts: Sequence[CustomerDraft]) -> list[Hit[RemoteCustomer] | None | ConnectorError]:
        """`=ilike` ignores case, and takes `_` and `%` as wildcards: what it finds is compared again."""
        return self.sought([drafts], self._known, self._match)

    def _known(self, drafts: Sequence[CustomerDraft]) -> list[Mapping[str, Any]]:
        emails = {draft.party.email for draft in drafts if draft.party.email}
        terms = [["ref", "in", [draft.key for draft in drafts]], *(["email", "=ilike", e] for e in sorted(emails))]
        return self.searched("res.partner", [["type", "=", "contact"], *["|"] * (len(terms) - 1), *terms], PARTNER)

    @staticmethod
    def _match(draft: CustomerDraft, raws: Iterable[Mapping[str, Any]]) -> Hit[RemoteCustomer] | None:
        found = map(words.customer, raws)
        ours = [one.model_copy(update={"key": draft.key if one.key == draft.key else None}) for one in found]
        return choosing.known(draft, ours, "Odoo")

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        remote_id = str(self.loaded(answer))
        return remote_id, RemoteCustomer(id=remote_id)

    def documents(self, ids: Sequence[str]) -> list[RemoteCustomer]:
        raws = self.searched("res.partner", [["id", "in", [int(one) for one in ids]]], PARTNER)
        return [words.customer(raw) for raw in raws]


class Invoices(Loaded[PlannedInvoice, RemoteInvoice]):
    """Drafted, compared, posted; before 19 the lines are a step of their own, up to 12 the taxes too."""

    calls = 4
    kind: ClassVar[str] = "out_invoice"
    """Odoo's word for what these are."""

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.platform.settings
        model = words.model_of(settings.version)
        columns, cells = words.head(draft, settings)
        rows, data, ours = words.rows_of(draft.draft, settings), [cells], later("draft")
        plan: list[Request] = []
        if settings.version >= 19:
            more, lines = words.loaded_lines(words.own_id(draft), rows)
            data = [cells + lines[0], *([""] * len(columns) + line for line in lines[1:])]
            columns += more
        else:
            vals = {"invoice_line_ids": words.written_lines(rows, settings)}
            plan.append(self.platform.call("lines", model.name, "write", ours, vals=vals))
        if settings.version <= 12:
            plan.append(self.platform.call("taxes", model.name, "compute_taxes", ours))
        if settings.issue:
            post = "action_invoice_open" if settings.version <= 12 else "action_post"
            plan.append(self.platform.call("issue", model.name, post, ours, issues=True))
        return (self.platform.call("draft", model.name, "load", fields=columns, data=data), *plan)

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return self.sought([drafts], self._known, self._match)

    def _known(self, drafts: Sequence[PlannedInvoice]) -> list[Mapping[str, Any]]:
        model = words.model_of(self.platform.settings.version)
        domain = [
            [model.type, "=", self.kind],
            "|",
            [model.reference, "in", [draft.draft.reference for draft in drafts]],
            [model.origin, "in", [words.origin(draft.draft) for draft in drafts]],
        ]
        return self.searched(model.name, domain, model.fields)

    def _match(self, draft: PlannedInvoice, raws: Sequence[Mapping[str, Any]]) -> Hit[RemoteInvoice] | None:
        """References need not be unique in Odoo, and people may edit them: ours is what carries our key."""
        version = self.platform.settings.version
        lines = {str(raw["id"]): len(raw["invoice_line_ids"]) for raw in raws}
        found = [words.invoice(raw, version) for raw in raws]
        return choosing.unfinished(draft, found, "Odoo", lambda one: self._resume(draft, one, lines[one.id]))

    def _resume(self, draft: PlannedInvoice, document: RemoteInvoice, lines: int) -> str | None:
        """The step that a draft still lacks; lines and taxes may be written again, which changes nothing."""
        settings = self.platform.settings
        if settings.version < 19 and lines != len(words.rows_of(draft.draft, settings)):
            return "lines"
        if settings.version <= 12 and document.total != draft.draft.total:
            return "taxes"
        return "issue" if settings.issue else None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        """Odoo answers with an id, or with nothing of interest: the document is read."""
        if request.step != "draft":
            self.platform.value(answer)
            (document,) = self.documents(ids_of(request))
            return document.id, document
        document = self.platform.read(str(self.loaded(answer)))
        if document.status is not Status.DRAFT:
            raise _exists(document)
        return document.id, document

    def documents(self, ids: Sequence[str]) -> list[RemoteInvoice]:
        settings = self.platform.settings
        model = words.model_of(settings.version)
        asked = self.platform.call("read", model.name, "read", among(ids), fields=model.fields)
        return self.platform.records(asked, lambda raw: words.invoice(raw, settings.version))

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """Drafts in one call; those that agree with their orders are posted in one call, or finished one by one."""
        outcomes = super().create_packed(request, attempts, key)
        made: dict[int, tuple[Attempt[PlannedInvoice], RemoteInvoice]] = {}
        for place, (attempt, outcome) in enumerate(zip(attempts, outcomes, strict=True)):
            if outcome.document is None or outcome.error or attempt.made:
                continue  # refused, or finished by the smaller call
            if outcome.document.status is not Status.DRAFT:
                outcomes[place] = Outcome(error=_exists(outcome.document), sample=outcome.sample)
                continue
            attempt.done("draft", outcome.document.id)
            rest = attempt.plan[1:]
            if rest and not (rest[0].issues and outcome.difference):
                made[place] = attempt, outcome.document
        at_once = all(attempt.plan[1].issues for attempt, _ in made.values())
        together = self._posted(made) if at_once else None
        for place, (attempt, _) in made.items():
            outcomes[place] = together[place] if together else self.create(attempt)
        return outcomes

    def _posted(
        self, made: Mapping[int, tuple[Attempt[PlannedInvoice], RemoteInvoice]]
    ) -> dict[int, Outcome[RemoteInvoice]] | None:
        """All of them posted; None when one of them was refused, and so none was."""
        if not made:
            return None
        sample = None

        def begin() -> None:
            for attempt, _ in made.values():
                attempt.begin("issue")

        ids = among([document.id for _, document in made.values()])
        post = self.platform.call("issue", words.model_of(self.platform.settings.version).name, "action_post", ids)
        try:
            answer = self.platform.execute(post, begin=begin)
            sample = answer.sample
            shown = reading(lambda: (self.platform.value(answer), self.documents(ids_of(post)))[1], answer)
            posted = {document.id: document for document in shown}
        except (Rejected, Duplicate):
            return None
        except ConnectorError as error:
            return {place: Outcome(draft, error=error, sample=error.sample) for place, (_, draft) in made.items()}
        for attempt, document in made.values():
            attempt.done("issue", document.id)
        return {place: Outcome(posted[draft.id], sample=sample) for place, (_, draft) in made.items()}


class CreditNotes(Invoices):
    """Credit notes: made as invoices are, each naming the invoice that it reverses. From Odoo 17 on posting one sets it
    off against what is still due of that invoice, in the same transaction.

    One a call: Odoo takes the invoices of notes that are posted together as a set, in which an invoice stands once, and
    pairs both in order (`_reconcile_reversed_moves`), so two notes of one invoice would shift the others.
    """

    bulk = 1
    kind = "out_refund"

    def plan(self, draft: PlannedInvoice) -> Plan:
        invoice_of(draft)
        return super().plan(draft)


def _exists(document: RemoteInvoice) -> Duplicate:
    """Up to 12 `load` finds an open invoice as it finds a draft, and would let its lines be written."""
    return Duplicate(f"Odoo: document {document.number or document.id} of this order exists already")
