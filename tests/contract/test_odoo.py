"""Odoo beyond the suite: older servers, and what their protocols answer."""

from __future__ import annotations

import dataclasses
import json
import xmlrpc.client
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.errors import Duplicate, Rejected, Unauthorized, Unavailable, Uncertain
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import PLACE, PlannedInvoice
from connectors.sandbox import odoo as sandbox
from connectors.sandbox.faults import Fault
from tests.contract import orders, test_sandbox, test_sandbox_faults
from tests.contract.attempts import Try, found
from tests.contract.odoo_servers import Server
from tests.contract.running import RunningSandbox, subjects
from tests.contract.samples.odoo import SAMPLES
from tests.contract.walking import attempt, customer_id, issued, packed

SERVERS: dict[str, dict[str, Any]] = {
    "19 by JSON-RPC": {"version": 19, "protocol": "json-rpc"},
    "17 by JSON-RPC": {"version": 17},
    "17 by XML-RPC": {"version": 17, "protocol": "xml-rpc"},
    "13 by JSON-RPC": {"version": 13, "mail_template": 12},
    "12 by JSON-RPC": {"version": 12, "income_account": 27, "mail_template": 12},
    "12 by XML-RPC": {"version": 12, "protocol": "xml-rpc", "income_account": 27, "mail_template": 12},
}


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    made = RunningSandbox([sandbox.Odoo])
    yield made
    made.close()


@pytest.fixture(params=SERVERS.values(), ids=SERVERS)
def older(request: pytest.FixtureRequest, running: RunningSandbox) -> Server:
    return Server(running, request.param)


def credited(older: Server) -> tuple[str, RemoteInvoice]:
    """An invoice of which a note has given back the tags, and the note."""
    invoice = issued(older.platform, orders.ORDERS["two lines, discount, shipping"]())
    part = orders.draft("SO-1001", [orders.line(orders.TAG)])
    part = part.model_copy(update={"reference": "SO-1001-C1", "key": f"{part.key}/credit/C1"})
    note = PlannedInvoice(draft=part, customer_id=str(invoice.customer_id), credited=older.platform.read(invoice.id))
    outcome = older.platform.credits.create(Try(note, older.platform.credits.plan(note)))
    assert outcome.error is None, outcome.error
    return invoice.id, outcome.document


@pytest.mark.parametrize("settings", [{"version": 19}, {"version": 17}, {"version": 17, "protocol": "xml-rpc"}])
def test_posting_a_credit_note_takes_it_off_the_invoice_that_it_names(
    running: RunningSandbox, settings: dict[str, Any]
) -> None:
    server = Server(running, settings)
    invoice_id, note = credited(server)
    (held,) = running.run(lambda: server.books.read("account.move", [int(note.id)]))
    assert (held["move_type"], held["reversed_entry_id"][0]) == ("out_refund", int(invoice_id))
    assert (held["payment_state"], str(held["name"])[:5]) == ("paid", "RINV/")
    after = server.platform.read(invoice_id)
    assert after.due == after.total - note.total
    with pytest.raises(Rejected, match="is due"):
        server.platform.void(invoice_id, "void")


def test_a_note_that_is_reset_is_due_again(running: RunningSandbox) -> None:
    """As a person may do in Odoo."""
    server = Server(running, {"version": 19})
    invoice_id, note = credited(server)
    running.run(lambda: server.books.reset(int(note.id)))
    after = server.platform.read(invoice_id)
    assert (after.due, server.platform.credits.read(note.id).status) == (after.total, Status.DRAFT)


@pytest.mark.parametrize("version", [16, 12])
def test_before_17_posting_sets_nothing_off_so_no_notes_are_made(running: RunningSandbox, version: int) -> None:
    server = Server(running, {"version": version, "income_account": 27})
    assert "credit" not in server.platform.facts.can
    document = issued(server.platform, orders.simple("SO-1"))
    assert [one.id for one in server.platform.since(date(2026, 11, 1))] == [document.id]


ORDERS = ("two lines, discount, shipping", "discount per line", "tax included", "a line without tax", "quotes", "emoji",
          "decimals in the quantity", "a free line")  # fmt: skip


def test_the_whole_way_on_an_older_server(older: Server) -> None:
    if older.platform.settings.version > 12:
        test_sandbox._whole_way(older, "two lines, discount, shipping")
        return
    platform, draft = older.platform, orders.ORDERS["two lines, discount, shipping"]()
    document = issued(platform, draft)
    assert (document.total, document.tax, document.status) == (draft.total, draft.tax_total, Status.ISSUED)
    assert (document.reference, document.key) == (draft.reference, draft.key)
    platform.send(document.id, "mail")
    assert older.sandbox.run(older.emulator.mails) == [(int(document.id), "ada@example.com")]
    assert platform.link(document.id) is None
    with pytest.raises(Rejected, match="13"):
        platform.pdf(document.id)
    assert platform.void(document.id, "void").status is Status.VOID
    assert [entry.status for entry in older.ledger()] == ["void"]


def test_totals_agree_to_the_cent_on_an_older_server(older: Server) -> None:
    for number, name in enumerate(ORDERS):
        draft = orders.ORDERS[name]().model_copy(update={"reference": f"SO-{number}", "key": f"key/{number}"})
        assert issued(older.platform, draft).total == draft.total, name


@pytest.mark.parametrize(
    "fault", [Fault.ANSWER_LOST, Fault.GARBAGE, Fault.ERROR_BEFORE, Fault.LATE, Fault.THROTTLE], ids=str
)
def test_a_fault_at_any_step_on_an_older_server_ends_with_one_invoice(older: Server, fault: Fault) -> None:
    plan = attempt(older.platform, orders.full("SO", "45.00")).plan
    steps = {19: 2, 12: 4}.get(older.platform.settings.version, 3)
    assert len(plan) == steps
    for number, request in enumerate(plan):
        test_sandbox_faults._break_at(older, fault, request.step, orders.full(f"SO-{number}", f"{number + 20}.00"))
    assert len(older.ledger()) == steps


def test_drafts_are_left_where_a_person_approves(older: Server) -> None:
    platform = older.connected(settings=older.subject.settings(issue=False))
    one = attempt(platform, orders.full("SO-1", "45.00"))
    outcome = platform.invoices.create(one)
    assert (outcome.error, outcome.difference, outcome.document.status) == (None, None, Status.DRAFT)
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at is None
    assert [entry.status for entry in older.ledger()] == ["draft"]


def test_many_are_drafted_in_one_call_on_an_older_server(older: Server) -> None:
    customer = customer_id(older.platform, orders.simple("SO"))
    tries = [
        test_sandbox_faults.attempt_of(older.platform, customer, f"SO-{n}", unit_price=f"{n + 1}.00") for n in range(5)
    ]
    outcomes = packed(older.platform, tries)
    assert [outcome.error or outcome.difference for outcome in outcomes] == [None] * 5
    assert [outcome.document.reference for outcome in outcomes if outcome.document] == [f"SO-{n}" for n in range(5)]
    assert {outcome.document.status for outcome in outcomes if outcome.document} == {Status.ISSUED}
    again = packed(older.platform, [one.after(None) for one in tries])
    assert {type(outcome.error) for outcome in again} == {Duplicate}, "they exist, and nothing is written to them"
    assert len(older.ledger()) == 5
    assert {entry.total for entry in older.ledger()} == {f"{(n + 1) * Decimal('2.4'):.2f}" for n in range(5)}


def test_a_wrong_key_is_the_credentials_fault(older: Server) -> None:
    platform = older.connected(headers={"Authorization": "bearer not-the-key"})
    with pytest.raises(Unauthorized):
        platform.read("31")


def test_a_database_that_is_not_there_is_said(older: Server) -> None:
    platform = older.connected(settings=older.subject.settings(database="other"))
    with pytest.raises(Unauthorized):
        platform.read("31")


def test_an_error_in_a_200_is_an_error(older: Server) -> None:
    with pytest.raises(Rejected, match=r"does not exist|any more"):
        older.platform.read("4711")
    assert type(older.platform.invoices.create(attempt_without_customer(older)).error) is Rejected
    assert older.ledger() == []


def attempt_without_customer(server: Server) -> Try[PlannedInvoice]:
    planned = PlannedInvoice(draft=orders.simple("SO-1"), customer_id="4711")
    return Try(planned, server.platform.invoices.plan(planned))


def test_no_stored_call_holds_the_key(older: Server) -> None:
    one = attempt(older.platform, orders.simple("SO-1"))
    assert sandbox.API_KEY not in repr(one.plan)
    outcome = older.platform.invoices.create(one)
    assert sandbox.API_KEY not in repr(outcome)


def test_text_that_looks_like_the_place_of_an_id_stays_text(running: RunningSandbox) -> None:
    """The lines go in a body that names the draft made before."""
    server = Server(running, {"version": 17})
    text = f"Plaque {{draft}} {PLACE}draft{PLACE} [draft]"
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "description": text})])
    issued(server.platform, draft)
    (entry,) = server.ledger()
    assert text in entry.lines[0]


@pytest.mark.parametrize("protocol", ["json-rpc", "xml-rpc"])
def test_a_password_is_redacted_as_it_stands_in_the_body(protocol: str) -> None:
    """With characters that XML and JSON write otherwise, and with blanks."""
    from tests.contract.test_failures import planned, replies
    from tests.kit.dripping import HostileServer

    settings = {**SAMPLES.settings, "version": 17, "protocol": protocol, "login": sandbox.LOGIN}
    subject = dataclasses.replace(subjects()["odoo"], samples=dataclasses.replace(SAMPLES, settings=settings))
    hostile = HostileServer(replies(b"{}"))
    try:
        made = subject.at(hostile.url, headers={"Authorization": 'bearer R&D <pass> "phrase"'})
        made._uids['R&D <pass> "phrase"'] = sandbox.UID
        outcome = made.invoices.create(Try(planned(), made.invoices.plan(planned())))
        assert b"pass" in hostile.requests[0]
        assert "pass" not in outcome.error.sample.request
        assert "phrase" not in outcome.error.sample.request
    finally:
        hostile.close()


def rpc(name: str, message: str) -> bytes:
    data = {"name": name, "message": message, "arguments": [message], "debug": "Traceback …"}
    error = {"code": 200, "message": "Odoo Server Error", "data": data}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()


def fault(code: int, text: str) -> bytes:
    return xmlrpc.client.dumps(xmlrpc.client.Fault(code, text)).encode()


DEAD = "psycopg2.errors.SerializationFailure"
TRACE = 'Traceback (most recent call last):\n  File "/odoo/sql_db.py", line 345, in execute\n'
IN_A_200 = [
    ("json-rpc", rpc("odoo.exceptions.AccessDenied", "Access Denied"), Unauthorized),
    ("json-rpc", rpc("odoo.exceptions.AccessError", "You are not allowed"), Rejected),
    ("json-rpc", rpc("odoo.exceptions.UserError", "You need to add a line before posting."), Rejected),
    ("json-rpc", rpc("odoo.exceptions.UserError", "The entry INV/1 (id 3) must be in draft."), Duplicate),
    ("json-rpc", rpc("odoo.exceptions.MissingError", "Record does not exist"), Rejected),
    ("json-rpc", rpc("builtins.AttributeError", "The method does not exist"), Rejected),
    ("json-rpc", rpc(DEAD, "could not serialize access due to concurrent update"), Unavailable),
    ("json-rpc", rpc("builtins.MemoryError", ""), Uncertain),
    ("xml-rpc", fault(3, "Access Denied"), Unauthorized),
    ("xml-rpc", fault(4, "You are not allowed to access"), Rejected),
    ("xml-rpc", fault(2, "You need to add a line before posting."), Rejected),
    ("xml-rpc", fault(1, f"{TRACE}ValueError: Invalid field 'x' in 'account.move'\n"), Rejected),
    ("xml-rpc", fault(1, f"{TRACE}{DEAD}: could not serialize access due to concurrent update\n"), Unavailable),
    ("xml-rpc", fault(1, f"{TRACE}MemoryError\n"), Uncertain),
    ("json-rpc", b"<html>a proxy's page</html>", Uncertain),
    ("xml-rpc", b"<html>a proxy's page</html>", Uncertain),
    ("xml-rpc", b"{}", Uncertain),
]


@pytest.mark.parametrize(("protocol", "body", "expected"), IN_A_200)
def test_what_an_answer_of_200_means(protocol: str, body: bytes, expected: type[Exception]) -> None:
    from tests.contract.test_failures import agreeing, planned, replies
    from tests.kit.dripping import HostileServer

    settings = {**SAMPLES.settings, "version": 17, "protocol": protocol, "login": sandbox.LOGIN}
    subject = dataclasses.replace(subjects()["odoo"], samples=dataclasses.replace(SAMPLES, settings=settings))
    hostile = HostileServer(replies(body))
    try:
        made = subject.at(hostile.url)
        made._uids[sandbox.API_KEY] = sandbox.UID
        plan = made.invoices.plan(planned())
        steps = dict.fromkeys((request.step for request in plan[:-1]), "31")
        outcome = made.invoices.create(Try(planned(), plan, made=steps, document=agreeing(plan)))
        assert type(outcome.error) is expected
        with pytest.raises((Rejected, Duplicate, Unauthorized, Unavailable)):
            made.read("31")
    finally:
        hostile.close()


def test_a_method_that_returns_nothing_has_done_its_work(running: RunningSandbox) -> None:
    """XML-RPC cannot say None: the answer is a fault, after the commit."""
    server = Server(running, {"version": 17, "protocol": "xml-rpc"})
    document = issued(server.platform, orders.simple("SO-1"))
    assert server.platform.void(document.id, "void").status is Status.VOID


def test_settings_that_do_not_fit_the_version_are_named() -> None:
    kind = subjects()["odoo"].platform.Settings
    for changed, said in (
        ({"version": 17}, "login"),
        ({"version": 17, "login": "bot", "protocol": "json-2"}, "json-2"),
        ({"version": 12, "login": "bot"}, "income_account"),
        ({"url": "http://acme.odoo.com"}, "url"),
    ):
        with pytest.raises(ValidationError, match=said):
            kind.model_validate({**SAMPLES.settings, **changed})


def test_a_control_character_is_not_sent_by_xml(running: RunningSandbox) -> None:
    server = Server(running, {"version": 17, "protocol": "xml-rpc"})
    draft = orders.draft("SO-1", [orders.line({**orders.PLAQUE, "description": "Brass\x1bplaque"})])
    outcome = server.platform.invoices.create(attempt(server.platform, draft))
    assert type(outcome.error) is Rejected
    assert "json-rpc" in str(outcome.error)
