"""HubSpot's contacts and invoices: every unsafe call is a batch, whose elements are matched by `objectWriteTraceId`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from connectors.errors import ConnectorError, Duplicate, Rejected, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import hubspot_words as words
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
    filled,
    later,
    reading,
)
from connectors.platforms.groups import grouped

Members = dict[int, Attempt[PlannedInvoice]]
"""Of a packed call: by place in it, who is still to be finished."""


class Batched(Documents[D, R]):
    """What contacts and invoices share."""

    def sent(self, request: Request) -> list[str]:
        """The trace ids of a batch's inputs."""
        return [one["objectWriteTraceId"] for one in json.loads(request.body)["inputs"]]

    def answered(self, answer: Answer) -> dict[str, Mapping[str, Any] | ConnectorError]:
        """What became of each element, by trace id: the object, or what its error means."""
        body = answer.json()
        said: dict[str, Mapping[str, Any] | ConnectorError] = {
            one["objectWriteTraceId"]: one for one in body["results"]
        }
        for error in body.get("errors") or ():
            refused = self.platform.refused(words.complaint(error), answer, error.get("category"))
            said |= dict.fromkeys(error["context"]["objectWriteTraceId"], refused)
        return said

    def only(self, request: Request, answer: Answer) -> Mapping[str, Any]:
        """The object of a batch of one. Raises what its error means."""
        (trace,) = self.sent(request)
        found = self.answered(answer)[trace]
        if isinstance(found, ConnectorError):
            raise found
        return found

    def found(self, kind: str, ident: str, by: str) -> Mapping[str, Any] | None:
        """The object whose unique property has this value, read directly, not searched for; None where HubSpot says
        in its own words that there is none. Raises the errors of a read."""
        platform: Any = self.platform
        try:
            answer: Answer = platform.found(kind, ident, by)
        except Rejected as error:
            if error.status == 404 and error.code:
                return None
            raise
        return self.platform.told(answer, lambda body: {**body, "id": str(body["id"])})


class Customers(Batched[CustomerDraft, RemoteCustomer]):
    """Contacts. E-mail addresses are unique on HubSpot: whoever has the address is the customer."""

    calls = 3
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (words.batch("contact", "contacts", "create", [words.contact(draft)]),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        ours = words.trace(draft.key)
        raw = self.found("contacts", ours, words.CUSTOMER)
        if raw is not None and (customer := words.customer(raw)).key == ours:
            return Hit(customer.model_copy(update={"key": draft.key}))
        if draft.party.email and (raw := self.found("contacts", draft.party.email, "email")) is not None:
            return Hit(words.customer(raw))
        return None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer]:
        customer = words.customer(self.only(request, answer))
        return customer.id, customer


class Invoices(Batched[PlannedInvoice, RemoteInvoice]):
    """Draft, lines (at most a hundred a call), open."""

    bulk = 50
    calls = 4

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings: words.HubSpotSettings = self.platform.settings
        inputs, remark = words.lines(draft.draft, settings.tax)
        head = [words.invoice_input(draft.draft, draft.customer_id)]
        steps = [words.batch("draft", "invoices", "create", head)]
        for number, chunk in enumerate(grouped(inputs, words.MOST_INPUTS), 1):
            name = "lines" if number == 1 else f"lines-{number}"
            steps.append(words.batch(name, "line_items", "create", chunk, remark=remark if number == 1 else ""))
        if settings.issue:
            opened = {
                "objectWriteTraceId": words.trace(draft.key),
                "id": later("draft"),
                "properties": {"hs_invoice_status": "open"},
            }
            steps.append(words.batch("open", "invoices", "update", [opened], issues=True))
        return tuple(steps)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        raw = self.found("invoices", draft.draft.reference, words.REFERENCE)
        found = [words.invoice(raw)] if raw else []
        return choosing.unfinished(draft, found, "HubSpot", lambda hit: self._resume(draft, hit))

    def _resume(self, draft: PlannedInvoice, document: RemoteInvoice) -> str | None:
        """The step that a draft still lacks. Lines that are there already may be sent again: HubSpot refuses just
        those, by their unique references."""
        for request in self.plan(draft)[1:]:
            if request.issues:
                return request.step
            asked = filled(request, {"draft": document.id})
            wanted = [one["properties"][words.LINE] for one in json.loads(asked.body)["inputs"]]
            if len(self._lines_there(wanted)) < len(wanted):
                return request.step
        return None

    def _lines_there(self, wanted: Sequence[str]) -> list[str]:
        """Which of these line references exist: a batch read names only what it found."""
        inputs = [{"id": one} for one in wanted]
        asked = {"inputs": inputs, "idProperty": words.LINE, "properties": [words.LINE], "propertiesWithHistory": []}
        headers = {"Content-Type": "application/json"}
        answer = self.platform.ask(words.path("line_items", "batch", "read"), headers=headers, body=json.dumps(asked))
        return self.platform.told(answer, lambda body: [one["properties"][words.LINE] for one in body["results"]])

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        """An answer shows the object without its sums: they are read once the lines are there."""
        if request.step.startswith("lines"):
            if failed := self._failed(self.sent(request), self.answered(answer)):
                raise failed
            invoice = json.loads(request.body)["inputs"][0]["properties"][words.LINE].rpartition("-")[0]
            return invoice, self.platform.read(invoice)
        raw = self.only(request, answer)
        return str(raw["id"]), self._drafted(raw) if request.step == "draft" else None

    @staticmethod
    def _failed(sent: Iterable[str], said: Mapping[str, Mapping[str, Any] | ConnectorError]) -> ConnectorError | None:
        """The first thing that is wrong with these elements; a line whose reference is taken has been there before."""
        for trace in sent:
            result = said.get(trace)
            if result is None:
                return Uncertain("HubSpot's answer has no element for this invoice")
            if isinstance(result, ConnectorError) and not isinstance(result, Duplicate):
                return result
        return None

    @staticmethod
    def _drafted(raw: Mapping[str, Any]) -> RemoteInvoice:
        return words.invoice({**raw, "properties": {"hs_invoice_status": "draft", **raw["properties"]}})

    def pack(self, plans: Sequence[Plan]) -> Request:
        return self._packed([plan[0] for plan in plans])

    @staticmethod
    def _packed(requests: Sequence[Request]) -> Request:
        """The inputs of several batch calls of one kind in one."""
        inputs = [one for request in requests for one in json.loads(request.body)["inputs"]]
        return requests[0].model_copy(update={"body": dump_json({"inputs": inputs})})

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        said = self.answered(answer)
        return [element(partial(self._only, said.get(words.trace(one.key)), answer), answer) for one in drafts]

    def _only(self, result: Mapping[str, Any] | ConnectorError | None, answer: Answer) -> RemoteInvoice:
        if isinstance(result, ConnectorError):
            raise result
        if result is None:
            raise Uncertain("HubSpot's answer has no element for this invoice", status=answer.status)
        return self._drafted(result)

    def create_packed(
        self, request: Request, attempts: Sequence[Attempt[PlannedInvoice]], key: str
    ) -> list[Outcome[RemoteInvoice]]:
        """Drafts in one call, then their lines a hundred a call, then what agrees with its order is opened in one call.
        Whatever a packed call refuses as a whole, or has more lines than one call takes, is finished alone."""
        outcomes = super().create_packed(request, attempts, key)
        left: Members = {at: attempts[at] for at in self.recorded("draft", attempts, outcomes)}
        ended: dict[int, Outcome[RemoteInvoice]] = {}
        for group in _groups(left):
            for place, failed in self._together(1, group).items():
                if failed is None:
                    group[place].done("lines", group[place].made["draft"])
                else:
                    ended[place] = Outcome(error=failed, sample=failed.sample)
        ended |= self._opened({place: one for place, one in left.items() if "lines" in one.made})
        for place, attempt in left.items():
            outcomes[place] = ended.get(place) or self.create(attempt)
        return outcomes

    def _opened(self, ready: Members) -> dict[int, Outcome[RemoteInvoice]]:
        """What agrees with its order is opened by one call; whoever is missing in what this returns is left alone."""
        if not ready:
            return {}
        ended: dict[int, Outcome[RemoteInvoice]] = {}
        shown: dict[int, RemoteInvoice] = {}
        try:
            documents = self._read_all([one.made["draft"] for one in ready.values()])
        except ConnectorError as error:
            return {place: Outcome(error=error, sample=error.sample) for place in ready}
        for place, attempt in ready.items():
            if (document := documents.get(attempt.made["draft"])) is None:
                continue
            shown[place] = document.model_copy(update={"customer_id": attempt.draft.customer_id})
            if (unlike := self.differs(attempt.draft, document)) or self.issued(document):
                ended[place] = Outcome(shown[place], difference=unlike)
        agreed = {place: ready[place] for place in shown if place not in ended}
        for place, failed in self._together(2, agreed).items():
            if failed is None:
                agreed[place].done("open", shown[place].id)
            final = shown[place] if failed else self.final(shown[place])
            ended[place] = Outcome(final, error=failed, sample=failed.sample if failed else None)
        return ended

    def _read_all(self, ids: Sequence[str]) -> dict[str, RemoteInvoice]:
        """Invoices by their ids. Raises the errors of a read."""
        names = words.PROPERTIES["invoices"]
        asked = {"inputs": [{"id": one} for one in ids], "properties": names, "propertiesWithHistory": []}
        headers = {"Content-Type": "application/json"}
        answer = self.platform.ask(words.path("invoices", "batch", "read"), headers=headers, body=json.dumps(asked))
        return self.platform.told(answer, lambda body: {one["id"]: words.invoice(one) for one in body["results"]})

    def _together(self, number: int, members: Members) -> dict[int, ConnectorError | None]:
        """That step of many plans as one call: what is wrong with each, or None. Empty where the call was refused as a
        whole: nothing was done then."""
        if not members:
            return {}
        requests = {place: filled(one.plan[number], one.made) for place, one in members.items()}

        def begin() -> None:
            for one in members.values():
                one.begin(one.plan[number].step)

        try:
            answer = self.platform.execute(self._packed(list(requests.values())), begin=begin)
            said = reading(lambda: self.answered(answer), answer)
        except (Rejected, Duplicate):
            return {}
        except ConnectorError as error:
            return dict.fromkeys(members, error)
        return {place: self._failed(self.sent(request), said) for place, request in requests.items()}


def _groups(left: Members) -> Iterator[Members]:
    """Those of few lines that are to be opened, in groups whose lines fit into one call."""
    plain = {at: one for at, one in left.items() if [each.step for each in one.plan] == ["draft", "lines", "open"]}
    for group in grouped(plain, words.MOST_INPUTS, lambda at: _lines(plain[at])):
        yield {at: plain[at] for at in group}


def _lines(attempt: Attempt[PlannedInvoice]) -> int:
    return len(json.loads(attempt.plan[1].body, strict=False)["inputs"])  # the draft's id is not filled in yet
