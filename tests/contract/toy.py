"""Connectors of the two toy platforms: the shortest that keep the contract, to test the suite itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from connectors.auth import OAuth2
from connectors.errors import ConnectorError, Duplicate, Rejected, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, minor_units
from connectors.platforms.base import Choice, Platform, PlatformSettings
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Outcome,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    reading,
)  # fmt: skip
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from tests.contract.samples.base import Recorded, Samples


class ToySettings(PlatformSettings):
    tax: dict[Decimal, str]


class KeyCredentials(BaseModel):
    api_key: SecretStr


class TokenCredentials(BaseModel):
    client_id: str
    client_secret: SecretStr


def looked(answer: Answer, read: Callable[[Any], Any]) -> Any:
    """What a look-up's answer says; one that cannot be read says nothing."""
    try:
        return read(answer.json())
    except Exception as error:
        raise Unavailable(f"the answer cannot be read ({type(error).__name__})", sample=answer.sample) from None


def document(raw: Any) -> RemoteInvoice:
    return RemoteInvoice(
        id=raw["id"], number=raw["number"], reference=raw["number"], key=raw["key"], status=raw["status"],
        currency=raw["currency"], total=raw["total"], customer_id=raw["customer"],
    )  # fmt: skip


class ToyCustomers(Documents[CustomerDraft, RemoteCustomer]):
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        body = {"name": draft.party.display_name, "email": draft.party.email, "key": draft.key}
        return (Request(step="customer", path="/customers", body=dump_json(body)),)

    def find(self, drafts: Sequence[CustomerDraft]) -> list[Hit[RemoteCustomer] | None | ConnectorError]:
        return [self._find(draft) for draft in drafts]

    def _find(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None | ConnectorError:
        try:
            answer = self.platform.ask("/customers", {"email": draft.party.email or "", "key": draft.key})
            raws = looked(answer, lambda body: body["customers"])
        except ConnectorError as error:
            return error
        return Hit(RemoteCustomer.model_validate(raws[0])) if raws else None

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer | None]:
        return answer.json()["id"], RemoteCustomer.model_validate(answer.json())


class ToyInvoices(Documents[PlannedInvoice, RemoteInvoice]):
    def head(self, planned: PlannedInvoice) -> dict[str, Any]:
        draft = planned.draft
        if len(draft.reference) > self.platform.facts.reference.max_length:
            raise Rejected(f"order {draft.order_ref}: the reference is too long for {self.platform.facts.title}")
        if minor_units(draft.currency) != 2:
            raise Rejected(f"order {draft.order_ref}: {self.platform.facts.title} has two decimals only")
        return {
            "number": draft.reference, "key": draft.key, "customer": planned.customer_id,
            "currency": draft.currency, "tax_included": draft.tax_included,
        }  # fmt: skip

    def lines(self, planned: PlannedInvoice) -> list[dict[str, Any]]:
        draft, rows = planned.draft, []
        for part in draft.lines:
            rows.append((part.description, part.quantity, part.unit_price, part.discount, part.tax))
        for extra, sign in ((draft.shipping, 1), (draft.discount, -1)):
            if extra:
                rows.append((extra.description, Decimal(1), sign * extra.amount, Decimal(0), extra.tax))
        return [
            {"text": text, "quantity": quantity, "price": price, "off": off, "tax": self._code(draft.order_ref, tax)}
            for text, quantity, price, off, tax in rows
        ]

    def _code(self, order: str, tax: Any) -> str:
        rate = tax.rate if tax else Decimal(0)
        if rate not in self.platform.settings.tax:
            raise Rejected(f"order {order}: no tax code is configured for {rate} %")
        return str(self.platform.settings.tax[rate])

    def find(self, drafts: Sequence[PlannedInvoice]) -> list[Hit[RemoteInvoice] | None | ConnectorError]:
        try:
            answer = self.platform.ask("/invoices", {"numbers": "|".join(draft.draft.reference for draft in drafts)})
            raws = {raw["number"]: raw for raw in looked(answer, lambda body: body["invoices"])}
        except ConnectorError as error:
            return [error for _ in drafts]
        return [self.hit(raws[draft.draft.reference]) if draft.draft.reference in raws else None for draft in drafts]

    def hit(self, raw: Any) -> Hit[RemoteInvoice]:
        missing = {"draft": "issue" if raw["lines"] else "lines"}.get(raw["status"])
        return Hit(document(raw), missing)


class BulkInvoices(ToyInvoices):
    bulk = 50

    def plan(self, draft: PlannedInvoice) -> Plan:
        body = dump_json({"invoices": [{**self.head(draft), "lines": self.lines(draft)}]})
        return (Request(step="create", path="/invoices", body=body, issues=True),)

    def pack(self, plans: Sequence[Plan]) -> Request:
        elements = [json.loads(plan[0].body, parse_float=Decimal)["invoices"][0] for plan in plans]
        return plans[0][0].model_copy(update={"body": dump_json({"invoices": elements})})

    def unpack(self, answer: Answer, drafts: Sequence[PlannedInvoice]) -> list[Outcome[RemoteInvoice]]:
        raws = {raw["number"]: raw for raw in answer.json()["invoices"]}
        return [self._outcome(raws.get(draft.draft.reference), answer) for draft in drafts]

    def _outcome(self, raw: Any, answer: Answer) -> Outcome[RemoteInvoice]:
        if raw is None:
            return Outcome(error=Uncertain("the answer does not speak of this invoice"), sample=answer.sample)
        if "error" in raw:
            kind = self.platform.refusal(422, raw["error"]["code"]) or Rejected
            return Outcome(error=kind(raw["error"]["message"], status=200, sample=answer.sample), sample=answer.sample)
        return Outcome(document(raw), sample=answer.sample)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        (raw,) = answer.json()["invoices"]
        outcome = self._outcome(raw, answer)
        if outcome.error:
            raise outcome.error
        return raw["id"], outcome.document


class StepInvoices(ToyInvoices):
    def plan(self, draft: PlannedInvoice) -> Plan:
        return (
            Request(step="draft", path="/drafts", body=dump_json(self.head(draft))),
            Request(step="lines", path="/drafts/{draft}/lines", body=dump_json({"lines": self.lines(draft)})),
            Request(step="issue", path="/drafts/{draft}/issue", body="{}", issues=True),
        )

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        return answer.json()["id"], document(answer.json())


class Toy(Platform):
    Settings = ToySettings
    Customers = ToyCustomers
    refusals = (Refusal(Duplicate, 422, "number_taken"), Refusal(Uncertain, 409, "key_reused"))

    @classmethod
    def tenant(cls, settings: Any, credentials: Any) -> str:
        return "toy"

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        error = answer.json()["error"]
        return error["message"], error["code"]

    def whoami(self) -> str:
        return self.told(self.ask("/me"), lambda body: str(body["name"]))

    def options(self) -> list[Choice]:
        rows = self.told(self.ask("/taxes"), lambda body: dict(body["taxes"]))
        return [Choice(setting="tax", key=rate, value=code, title=f"{rate} %") for code, rate in rows.items()]

    def read(self, remote_id: str) -> RemoteInvoice:
        result: RemoteInvoice = looked(self.ask(f"/invoices/{quote(remote_id, safe='')}"), document)
        return result

    def send(self, remote_id: str, key: str) -> None:
        answer = self.execute(Request(step="send", path=f"/invoices/{remote_id}/mail", body="{}"), key=key)
        reading(lambda: answer.json()["mailed"], answer)

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        answer = self.execute(Request(step="void", path=f"/invoices/{remote_id}/void", body="{}"), key=key)
        return reading(lambda: document(answer.json()), answer)


def _facts(slug: str, **more: Any) -> Facts:
    return Facts(
        slug=slug, title=slug, docs="https://toy.example/docs", base_url="https://api.toy.example", auth="for tests",
        reference=Reference("number", 100, unique=True), key_field="key", quiet=timedelta(seconds=1),
        key=Key("Idempotency-Key", 64, timedelta(minutes=6)), quotas=(Quota(600, timedelta(minutes=1)),),
        can=frozenset({"issue", "mail", "void"}), **more,
    )  # fmt: skip


class ToyBulk(Toy):
    facts = _facts("toy_bulk", bulk=50, oauth=OAuth2("https://id.toy.example/connect/token", rotates=False))
    Credentials = TokenCredentials
    Invoices = BulkInvoices


class ToySteps(Toy):
    facts = _facts("toy_steps")
    Credentials = KeyCredentials
    Invoices = StepInvoices

    @classmethod
    def static_headers(cls, credentials: Any) -> Mapping[str, str] | None:
        return {"X-Api-Key": credentials.api_key.get_secret_value()}


def _steal(emulator: Any, reference: str) -> None:
    emulator.known["c0"] = {"id": "c0", "name": "Somebody else", "email": "else@example.com", "key": ""}
    other = {"number": reference, "key": "", "customer": "c0", "currency": "GBP", "tax_included": False}
    emulator.add({**other, "lines": [{"text": "x", "quantity": 1, "price": 1, "off": 0, "tax": "T0"}]}, "issued")


_RAW = {
    "id": "i7",
    "number": "SO-7",
    "key": "k",
    "customer": "c1",
    "currency": "GBP",
    "status": "issued",
    "total": "1.20",
}


def _samples(slug: str, credentials: dict[str, str], token: str | None, number_taken: Recorded) -> Samples:
    return Samples(
        slug=slug,
        settings={"tax": {"20": "T20", "5": "T5", "0": "T0"}},
        credentials=credentials,
        token=token,
        required_settings=("tax",),
        invoice=Recorded("made up", 200, {**_RAW, "lines": []}),
        invoice_expected={"id": "i7", "total": "1.20", "status": "issued", "currency": "GBP", "key": "k"},
        refusals=(
            (number_taken, Duplicate),
            (Recorded("made up", 422, {"error": {"code": "empty", "message": "the draft has no lines"}}), Rejected),
        ),
        unknown_tax=lambda settings: {**settings, "tax": {"20": "T99"}},
        void_by_hand=lambda emulator, remote_id: emulator.void(remote_id),
        steal_number=_steal,
    )


_TAKEN = Recorded("made up", 422, {"error": {"code": "number_taken", "message": "number SO-7 is taken"}})
BULK_SAMPLES = _samples(
    "toy_bulk", {"client_id": "a", "client_secret": "toy-client-secret"}, "toy-token-0123456789", _TAKEN
)
STEPS_SAMPLES = _samples("toy_steps", {"api_key": "toy-secret-key-42"}, None, _TAKEN)
