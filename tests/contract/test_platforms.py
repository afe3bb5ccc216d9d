"""What every platform must do, whatever its server answers: raw hostile servers, no emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from connectors.errors import ConnectorError, Rejected
from connectors.http import Http
from connectors.model import InvoiceDraft, RemoteInvoice
from connectors.platforms.base import Platform, platform, platforms, slugs
from connectors.platforms.documents import Plan, PlannedInvoice
from connectors.platforms.facts import Key
from tests.contract import orders
from tests.contract.attempts import Try
from tests.contract.running import Subject, incomplete
from tests.kit.dripping import Behaviour, HostileServer, response
from tests.kit.processes import ROOT

ABILITIES = {"draft", "issue", "mail", "pdf", "link", "void", "credit", "list", "payments", "webhooks"}
ORDER = orders.ORDERS["two lines, discount, shipping"]


def planned(draft: InvoiceDraft | None = None) -> PlannedInvoice:
    return PlannedInvoice(draft=draft or ORDER(), customer_id="customer-1")


def replies(body: bytes, status: str = "200 OK", extra: str = "") -> Behaviour:
    """An answer that also says the connection ends, so that a next call does not run into the end."""
    return lambda exchange: exchange.send(response(body, status, extra="Connection: close\r\n" + extra))


class NoNetwork(Http):
    """For what must not do I/O."""

    def send(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing may be sent here")


def offline(subject: Subject, settings: Any = None) -> Any:
    made = subject.at("http://127.0.0.1:1", settings=settings)
    made.http = NoNetwork()
    return made


def test_every_platform_brings_samples_and_an_emulator() -> None:
    assert not incomplete(), f"missing files: {incomplete()}"


def test_a_platform_is_found_by_the_name_of_its_file_without_loading_the_others() -> None:
    assert slugs() == tuple(platforms())
    assert all(platform(slug) is kind for slug, kind in platforms().items())
    loaded = (
        "import sys; from connectors.platforms.base import platform, slugs; slugs(); platform('xero'); "
        "print(*[name for name in sys.modules if name.startswith('connectors.platforms.')])"
    )
    printed = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert b"connectors.platforms.xero" in printed.stdout
    assert b"stripe" not in printed.stdout


def test_facts_are_complete_and_sane(subject: Subject) -> None:
    facts, kind = subject.facts, subject.platform
    assert facts.slug == subject.slug == subject.emulator.slug
    assert facts.slug.isidentifier()
    assert facts.slug == facts.slug.lower()
    assert facts.title
    assert facts.auth
    assert facts.key_field
    assert facts.docs.startswith("https://")
    assert facts.base_url.startswith("https://")
    assert not facts.base_url.endswith("/")
    assert facts.reference.max_length > 0
    assert facts.key is None or (facts.key.max_length > 0 and facts.key.lives.total_seconds() > 0)
    assert all(quota.calls > 0 and quota.per.total_seconds() > 0 for quota in facts.quotas)
    assert facts.concurrent > 0
    assert facts.quiet.total_seconds() > 0
    assert facts.deadline > 0
    assert facts.can <= ABILITIES
    assert "issue" in facts.can
    assert ("credit" in facts.can) == (offline(subject).credits is not None)
    assert ("list" in facts.can) == (kind.since is not Platform.since)
    assert facts.bulk == kind.Invoices.bulk, "bulk of the facts and of Invoices must agree"
    assert facts == offline(subject).facts, "what speaks for an account has the account's facts"
    assert kind.Customers.look_first, "the merchant may have the customer already"
    static = kind.static_headers(subject.credentials())
    assert (static is None) == (subject.grant() is not None)
    assert (static is None) == (subject.samples.token is not None)


def test_secret_fields_of_the_credentials_are_secret(subject: Subject) -> None:
    fields = subject.platform.Credentials.model_fields
    assert any("SecretStr" in str(field.annotation) for field in fields.values())


def test_the_recorded_invoice_is_read_as_expected(subject: Subject) -> None:
    recorded = subject.samples.invoice
    assert recorded.source
    with_server(subject, _body(recorded.body), f"{recorded.status} OK", lambda made: _compare(made, subject))


def _compare(made: Any, subject: Subject) -> None:
    document = made.read(subject.samples.invoice_expected.get("id", "1"))
    for name, expected in subject.samples.invoice_expected.items():
        value = getattr(document, name)
        if isinstance(value, Decimal):
            assert value == Decimal(expected), name
        else:
            assert (value.value if isinstance(value, Enum) else value) == expected, name


def _body(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def with_server(subject: Subject, body: bytes, status: str, act: Any) -> Any:
    server = HostileServer(replies(body, status))
    try:
        return act(subject.at(server.url))
    finally:
        server.close()


def test_each_recorded_refusal_becomes_the_named_error(subject: Subject) -> None:
    assert subject.samples.refusals
    for recorded, expected in subject.samples.refusals:
        plan = offline(subject).invoices.plan(planned())

        def create(made: Any, plan: Plan = plan) -> Any:
            """As the last call, so that nothing is forgiven and nothing follows."""
            steps = {request.step: "remote-1" for request in plan[:-1]}
            document = agreeing(plan)
            return made.invoices.create(Try(planned(), plan, made=steps, document=document))

        outcome = with_server(subject, _body(recorded.body), f"{recorded.status} Refused", create)
        assert type(outcome.error) is expected, (recorded.source, outcome.error)
        assert str(outcome.error).strip()
        assert outcome.error.sample is not None


def agreeing(plan: Plan) -> RemoteInvoice | None:
    """A half-built document that the order agrees with, for plans that build it in several steps."""
    draft = ORDER()
    one = RemoteInvoice(id="remote-1", status="draft", currency=draft.currency, total=draft.total)
    return one if sum(not request.apart for request in plan) > 1 else None


def test_a_plan_is_pure_and_the_same_for_ever(subject: Subject) -> None:
    made = offline(subject)
    stored = TypeAdapter(Plan)
    for name, order in orders.ORDERS.items():
        draft = order()
        try:
            plan = made.invoices.plan(planned(draft))
            customer = made.customers.plan(orders.customer(draft))
        except Rejected:
            continue  # a platform may have no room for 300 characters
        assert made.invoices.plan(planned(draft)) == plan
        again = InvoiceDraft.model_validate_json(draft.model_dump_json())
        assert offline(subject).invoices.plan(planned(again)) == plan, name
        assert stored.validate_json(stored.dump_json(plan)) == plan, name
        assert stored.validate_json(stored.dump_json(customer)) == customer, name
        assert len({request.step for request in plan}) == len(plan), "each step has a name of its own"


PLANS = """
import sys
from tests.contract.test_platforms import ORDER, offline, orders, planned
from tests.contract.running import subjects
for subject in subjects().values():
    made = offline(subject)
    print(subject.slug, made.invoices.plan(planned()), made.customers.plan(orders.customer(ORDER())))
"""


def test_a_plan_does_not_depend_on_the_process() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", PLANS], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=True, timeout=60,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1


def test_the_key_is_sent_stable_and_short_enough(subject: Subject) -> None:
    key = subject.key
    if key is None:
        return
    server = HostileServer(replies(b"{}"))
    try:
        made = subject.at(server.url)
        plan = made.invoices.plan(planned())
        keyed = [request for request in plan if request.body or key.place in {"header", "query"}]
        sent: dict[tuple[str, int], set[str]] = {}
        for generation in (1, 1, 2):
            for request in keyed:
                position = plan.index(request)
                steps = {earlier.step: "remote-1" for earlier in plan[:position]}
                attempt = Try(planned(), plan, made=steps, document=agreeing(plan), generation=generation)
                made.invoices.create(attempt)
                found = _sent(server.requests[-1], key)
                assert found == key.fitting(attempt.key(request.step))
                assert len(found) <= key.max_length
                sent.setdefault((request.step, generation), set()).add(found)
        assert all(len(keys) == 1 for keys in sent.values())
        assert len(set.union(*sent.values())) == 2 * len(keyed)
    finally:
        server.close()


def _sent(request: bytes, key: Key) -> str | None:
    first, *headers = request.split(b"\r\n\r\n")[0].decode().split("\r\n")
    if key.place == "query":
        return dict(parse_qsl(urlsplit(first.split()[1]).query)).get(key.field)
    if key.place in {"body", "inner"}:
        body = json.loads(request.split(b"\r\n\r\n", 1)[1])
        (found,) = [body] if key.place == "body" else body.values()
        return str(found[key.field])
    for line in headers:
        given, _, value = line.partition(": ")
        if given.lower() == key.field.lower():
            return value
    return None


def test_a_key_longer_than_the_platform_takes_is_shortened_to_the_same_text_for_ever() -> None:
    key = Key("Key", max_length=36, lives=timedelta(minutes=1))
    assert key.fitting("k" * 36) == "k" * 36
    shortened = key.fitting("k" * 37)
    assert len(shortened) <= 36
    assert shortened == key.fitting("k" * 37) != key.fitting("k" * 38)
    uuid = Key("Key", max_length=36, lives=timedelta(minutes=1), uuid=True)
    assert str(UUID(uuid.fitting("k"))) == uuid.fitting("k") != uuid.fitting("K")
    plain = Key("Key", max_length=32, lives=timedelta(minutes=1), uuid=True)
    assert UUID(plain.fitting("k")).hex == plain.fitting("k")


def secrets(subject: Subject) -> list[str]:
    given = subject.platform.Credentials.model_validate(dict(subject.samples.credentials))
    found = [value.get_secret_value() for _, value in given if isinstance(value, SecretStr)]
    return [secret for secret in [*found, subject.samples.token or ""] if secret]


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 Unauthorized", "500 Oops"])
def test_no_secret_appears_in_a_sample_a_message_or_a_repr(subject: Subject, status: str) -> None:
    """The server throws everything it was sent back at us, in a body that says what is wrong."""
    shown: list[str] = []

    def echo(exchange: Any) -> None:
        said = exchange.request.decode("utf-8", "replace")
        error = {"message": said, "type": said, "code": said, "Message": said, "Detail": said, "Title": said}
        body = json.dumps({**error, "error": error, "Elements": [{"ValidationErrors": [{"Message": said}]}]})
        exchange.send(response(body.encode(), status, extra="Connection: close\r\n"))

    server = HostileServer(echo)
    try:
        made = subject.at(server.url)
        plan = made.invoices.plan(planned())
        outcome = made.invoices.create(Try(planned(), plan))
        assert outcome.error is not None
        for call in (lambda: made.read("remote-1"), lambda: made.customers.find([orders.customer(ORDER())])):
            try:
                shown.append(repr(call()))
            except ConnectorError as error:
                shown += [repr(error), str(error), repr(error.sample)]
        failed = outcome.error
        shown += [repr(failed), str(failed), repr(failed.sample), repr(vars(failed)), repr(outcome)]
        shown += [repr(made), repr(made.auth), repr(made.http), repr(made.invoices)]
        proofs = [*secrets(subject), *(value.split()[-1] for value in subject.headers().values())]
        sent_secrets = [secret for secret in proofs if secret.encode() in server.requests[0]]
        assert sent_secrets, "this test must have seen a secret leave"
    finally:
        server.close()
    shown.append(repr(subject.platform.Credentials.model_validate(dict(subject.samples.credentials))))
    for secret in {*secrets(subject), *sent_secrets}:
        assert not [text for text in shown if secret in text]


def test_missing_settings_are_named(subject: Subject) -> None:
    for name in subject.samples.required_settings:
        given = {key: value for key, value in subject.samples.settings.items() if key != name}
        with pytest.raises(ValidationError) as caught:
            subject.platform.Settings.model_validate(given)
        assert [error["loc"][0] for error in caught.value.errors()] == [name]
    for kind, valid in (
        (subject.platform.Settings, subject.samples.settings),
        (subject.platform.Credentials, subject.samples.credentials),
    ):
        assert issubclass(kind, BaseModel)
        assert kind.model_validate(dict(valid))
    with pytest.raises(ValidationError, match="salse_account"):
        subject.settings(salse_account="200")


def test_a_tax_rate_nobody_configured_is_refused_with_its_number(subject: Subject) -> None:
    if not {"tax", "tax_rates"} & set(subject.platform.Settings.model_fields):
        return  # taxes are stated as amounts: there is nothing to configure
    draft = orders.draft("SO-1", [orders.line(orders.PLAQUE, "17.5")])
    with pytest.raises(Rejected, match=r"17\.5"):
        offline(subject).invoices.plan(planned(draft))


def test_a_reference_longer_than_its_field_is_refused_not_cut(subject: Subject) -> None:
    longest = subject.facts.reference.max_length
    too_long = orders.simple("S" * 150).model_copy(update={"reference": "R" * (longest + 1)})
    with pytest.raises(Rejected):
        offline(subject).invoices.plan(planned(too_long))
    fits = orders.simple("S" * 150).model_copy(update={"reference": "R" * longest})
    plan = offline(subject).invoices.plan(planned(fits))
    assert any("R" * longest in request.body for request in plan)


def test_what_the_platform_cannot_do_is_said(subject: Subject) -> None:
    made, can = offline(subject), subject.facts.can
    for ability, methods, call in (
        ("mail", ("send",), lambda: made.send("1", "k")),
        ("pdf", ("pdf",), lambda: made.pdf("1")),
        ("void", ("void", "undo"), lambda: made.void("1", "k")),
    ):
        overridden = any(getattr(subject.platform, name) is not getattr(Platform, name) for name in methods)
        assert overridden == (ability in can), ability
        if not overridden:
            with pytest.raises(Rejected, match=subject.facts.title):
                call()
    assert "link" in can or (subject.platform.link is Platform.link and made.link("1") is None)


def test_the_example_totals_are_those_of_the_documentation() -> None:
    assert orders.ORDERS["the event's example"]().total == Decimal("111.54")
    assert orders.ORDERS["two lines, discount, shipping"]().total == Decimal("118.14")


def test_an_unknown_platform_is_answered_with_the_nearest_name() -> None:
    for slug in platforms():
        with pytest.raises(LookupError, match=f"did you mean '{slug}'"):
            platform(slug[:-1] + slug[-1] * 2)
        assert platform(slug).facts.slug == slug
    with pytest.raises(LookupError, match=r"no platform 'zzzzzz' \(known: .*, odoo, "):
        platform("zzzzzz")
