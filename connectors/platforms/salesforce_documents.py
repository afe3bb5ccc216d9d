"""Accounts and invoices in Salesforce: made as graphs of records, many documents in one call, found by SOQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, cast

from connectors.errors import ConnectorError, Rejected, Unavailable, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import salesforce_words as words
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
)
from connectors.platforms.groups import grouped

AT_ONCE = 10
"""Drafts in one look-up: keys and references of 255 characters, encoded, stay below the 16 KiB of an address."""


class Records(Documents[D, R]):
    """What customers and invoices share."""

    bulk = 25

    @property
    def settings(self) -> words.SalesforceSettings:
        return cast("words.SalesforceSettings", self.platform.settings)

    def query(self, fields: str, of: str, where: str = "") -> list[Mapping[str, Any]]:
        """Every record that SOQL finds, page after page. Raises the errors of a read."""
        soql = f"SELECT {fields} FROM {of}{f' WHERE {where}' if where else ''}"  # noqa: S608 - texts are quoted

        def page(_: int, following: str | None) -> tuple[list[Mapping[str, Any]], str | None]:
            ask = self.platform.ask
            answer = ask(following) if following else ask(f"{words.API}/query", {"q": soql})
            return self.platform.told(
                answer, lambda body: (list(body["records"]), None if body["done"] is True else body["nextRecordsUrl"])
            )

        return self.platform.every(page)

    def refused(
        self, errors: Sequence[Mapping[str, Any]], answer: Answer, otherwise: type[ConnectorError] = Rejected
    ) -> ConnectorError:
        """The error that Salesforce's list of errors means; of a rolled-back graph the one that caused it."""
        real = [one for one in errors if one.get("errorCode") != words.HALTED] or errors
        code, text = str(real[0].get("errorCode")), "; ".join(str(one["message"]) for one in real)
        return self.platform.refused(text, answer, code, otherwise=otherwise)


class Graphs(Records[D, R]):
    """Made by graphs: each is all or none, and answered by its name."""

    top: str
    """The name of the record that is the document."""

    def documents(self, ids: Sequence[str]) -> dict[str, R]:
        """The documents as they are now, by id. Raises the errors of a read."""
        raise NotImplementedError

    def made_by(self, graph: Mapping[str, Any], answer: Answer) -> str:
        """The id of the document that a graph has made. Raises what its errors mean."""
        parts = graph["graphResponse"]["compositeResponse"]
        if graph["isSuccessful"] is not True:
            broken = any(part.get("httpStatusCode", 400) >= 500 for part in parts)  # rolled back all the same
            errors = [one for part in parts for one in listed(part["body"])]
            raise self.refused(errors, answer, Unavailable if broken else Rejected)
        (first,) = [part for part in parts if part["referenceId"] == self.top]
        return str(first["body"]["id"])

    def made(self, request: Request, answer: Answer) -> tuple[str, R | None]:
        (graph,) = answer.json()["graphs"]
        remote_id = self.made_by(graph, answer)
        return remote_id, self.documents([remote_id])[remote_id]

    def pack(self, plans: Sequence[Plan]) -> Request:
        graphs = [json.loads(plan[0].body, parse_float=Decimal)["graphs"][0] for plan in plans]
        return words.graph_call(plans[0][0].step, graphs, issues=plans[0][0].issues)

    def create_packed(self, request: Request, attempts: Sequence[Attempt[D]], key: str) -> list[Outcome[R]]:
        """In as few calls as their records allow; a key of ours that is there already is refused in any of them."""
        together: Any = super().create_packed
        outcomes: list[Outcome[R]] = []
        for group in groups(attempts):
            call = request if len(group) == len(attempts) else self.pack([attempt.plan for attempt in group])
            outcomes += together(call, group, key)
        return [self._finished(*pair) for pair in zip(attempts, outcomes, strict=True)]

    def _finished(self, attempt: Attempt[D], outcome: Outcome[R]) -> Outcome[R]:
        """Where Salesforce sums up by itself there is a step left."""
        if outcome.document is None or outcome.error or len(attempt.plan) == 1:
            return outcome
        attempt.done(attempt.plan[0].step, outcome.document.id)
        return outcome if outcome.difference else self.create(attempt)

    def unpack(self, answer: Answer, drafts: Sequence[D]) -> list[Outcome[R]]:
        graphs = {graph["graphId"]: graph for graph in answer.json()["graphs"]}
        found: list[str | ConnectorError] = [self._id(graphs.get(words.graph_id(one.key)), answer) for one in drafts]
        ids = [one for one in found if isinstance(one, str)]
        documents = self.documents(ids) if ids else {}
        missing = Uncertain("made, but it cannot be read", status=answer.status, sample=answer.sample)
        return [
            Outcome(documents.get(one), None if one in documents else missing, sample=answer.sample)
            if isinstance(one, str)
            else Outcome(error=one, sample=answer.sample)
            for one in found
        ]

    def _id(self, graph: Mapping[str, Any] | None, answer: Answer) -> str | ConnectorError:
        if graph is None:
            return Uncertain(f"{words.TITLE}'s answer does not speak of this document", sample=answer.sample)
        try:
            return self.made_by(graph, answer)
        except ConnectorError as error:
            return error


class Customers(Graphs[CustomerDraft, RemoteCustomer]):
    """An account and its contact. The contact carries our key; else the merchant's own with that e-mail is taken."""

    look_first = True
    top = "contact"

    def plan(self, draft: CustomerDraft) -> Plan:
        graph = {"graphId": words.graph_id(draft.key), "compositeRequest": words.account(draft, self.settings)}
        return (words.graph_call("customer", [graph]),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        conditions = [words.among(self.settings.customer_key, [draft.key])]
        if draft.party.email:
            conditions.append(words.among("Email", [draft.party.email]))
        return choosing.known(draft, self._contacts(" OR ".join(conditions)), words.TITLE)

    def _contacts(self, condition: str) -> list[RemoteCustomer]:
        return [self._customer(raw) for raw in self._asked(condition) if raw["AccountId"]]

    def _asked(self, condition: str) -> list[Mapping[str, Any]]:
        return self.query(f"Id,Email,AccountId,Account.Name,{self.settings.customer_key}", "Contact", condition)

    def _customer(self, raw: Mapping[str, Any]) -> RemoteCustomer:
        """Revenue Cloud wants the account and the contact of an invoice; the other ways know the account only."""
        both = f"{raw['AccountId']}/{raw['Id']}" if self.settings.mode == "revenue" else raw["AccountId"]
        key = raw.get(self.settings.customer_key)
        return RemoteCustomer(id=both, key=key, name=raw["Account"]["Name"], email=raw.get("Email"))

    def documents(self, ids: Sequence[str]) -> dict[str, RemoteCustomer]:
        return {raw["Id"]: self._customer(raw) for raw in self._asked(words.among("Id", ids))}

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        _, document = super().made(request, answer)
        return (document.id if document else ""), document


class Invoices(Graphs[PlannedInvoice, RemoteInvoice]):
    """Records of the configured objects. Their key is unique: what is made twice is refused."""

    top = "invoice"

    @property
    def objects(self) -> tuple[str, str]:
        """What they and their lines are records of."""
        return self.settings.objects

    def rendered(self, draft: PlannedInvoice) -> list[dict[str, Any]]:
        """The document and its lines as records. Raises `Rejected` for what Salesforce cannot hold."""
        return words.invoice(draft.draft, draft.customer_id, self.settings, self.objects)

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.settings
        name = words.graph_id(draft.key)
        records = self.rendered(draft)
        graph = {"graphId": name, "compositeRequest": records}
        if not settings.sums_itself or not settings.issue:
            return (words.graph_call("create", [graph], issues=settings.issue),)
        status = {settings.names["status"]: settings.value(Status.ISSUED)}
        change = words.node("invoice", "PATCH", f"{self.objects[0]}/{later('create')}", status)
        post = words.graph_call("issue", [{"graphId": name, "compositeRequest": [change]}], issues=True)
        return words.graph_call("create", [graph]), post

    def made_by(self, graph: Mapping[str, Any], answer: Answer) -> str:
        parts = graph["graphResponse"]["compositeResponse"]
        if graph["isSuccessful"] is True and [part["httpStatusCode"] for part in parts] == [204]:
            return ""  # a change has no body: the document is the one that was made before
        return super().made_by(graph, answer)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step != "issue":
            return super().made(request, answer)
        (graph,) = answer.json()["graphs"]
        self.made_by(graph, answer)
        remote_id = json.loads(request.body)["graphs"][0]["compositeRequest"][0]["url"].rpartition("/")[2]
        return remote_id, self.documents([remote_id])[remote_id]

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        return self.sought(grouped(drafts, AT_ONCE), self.found_for, self._hit)

    def found_for(self, drafts: Sequence[PlannedInvoice]) -> list[Mapping[str, Any]]:
        """Every record with the key or the reference of one of these. Raises the errors of a read."""
        names = self.settings.names
        keys = words.among(names["key"], [draft.key for draft in drafts])
        references = words.among(names["reference"], [draft.draft.reference for draft in drafts])
        return self._asked(f"{keys} OR {references}")

    def _asked(self, condition: str) -> list[Mapping[str, Any]]:
        return self.query(",".join(words.read_fields(self.settings, "balance")), self.objects[0], condition)

    def _hit(self, draft: PlannedInvoice, raws: Sequence[Mapping[str, Any]]) -> Hit[RemoteInvoice] | None:
        step = "issue" if self.settings.issue and self.settings.sums_itself else None
        return choosing.unfinished(draft, [self.document(raw) for raw in raws], words.TITLE, step)

    def document(self, raw: Mapping[str, Any]) -> RemoteInvoice:
        """A record in our words."""
        return words.remote(raw, self.settings)

    def records(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """The invoices' records as they are now. Raises the errors of a read."""
        return self._asked(words.among("Id", ids))

    def documents(self, ids: Sequence[str]) -> dict[str, RemoteInvoice]:
        return {raw["Id"]: self.document(raw) for raw in self._asked(words.among("Id", ids))}

    def read(self, remote_id: str) -> RemoteInvoice:
        found = self.records([remote_id])
        if not found:
            raise Rejected(f"{words.TITLE} has no {self.objects[0]} {remote_id}")
        return self._readable(found)[0]

    def since(self, day: date) -> list[RemoteInvoice]:
        """Those that are dated this day or later. Raises the errors of a read, `Rejected` where none has a date."""
        dated = self.settings.names["issued_on"]
        if not dated:
            raise Rejected(
                f"{words.TITLE}: invoices cannot be listed by date without a field for it (fields.issued_on)"
            )
        return self._readable(self._asked(f"{dated} >= {day.isoformat()}"))

    def _readable(self, raws: Sequence[Mapping[str, Any]]) -> list[RemoteInvoice]:
        try:
            return [self.document(raw) for raw in raws]
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            ids = ", ".join(str(raw.get("Id")) for raw in raws[:3])
            raise Unavailable(
                f"{words.TITLE}: {self.objects[0]} {ids} cannot be read ({type(error).__name__}: {error})"
            ) from None


class CreditNotes(Invoices):
    """Records of an object of the merchant's own, made as invoices are; each names its invoice. What is due of the
    invoice the org sums up itself, where it keeps a balance."""

    @property
    def objects(self) -> tuple[str, str]:
        if self.settings.credit_objects is None:
            raise Rejected(f"{words.TITLE}: no object for credit notes is named (credit_object, in mode object)")
        return self.settings.credit_objects

    def rendered(self, draft: PlannedInvoice) -> list[dict[str, Any]]:
        return words.invoice(draft.draft, draft.customer_id, self.settings, self.objects, invoice_of(draft).id)

    def _asked(self, condition: str) -> list[Mapping[str, Any]]:
        return self.query(",".join(words.read_fields(self.settings)), self.objects[0], condition)


def groups(attempts: Sequence[Attempt[D]]) -> Iterator[list[Attempt[D]]]:
    """The attempts in order, in groups whose records fit into one call."""
    return grouped(
        attempts, words.NODES, lambda one: len(json.loads(one.plan[0].body)["graphs"][0]["compositeRequest"])
    )


def listed(body: Any) -> list[Mapping[str, Any]]:
    """The errors in a part's body; a part that was carried out has none."""
    return body if isinstance(body, list) else []
