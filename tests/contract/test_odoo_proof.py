"""A client library by others drives the emulator: what `odoorpc` sends is accepted, what it expects comes back.

Odoo itself publishes no SDK; odoorpc (LGPL) is the client of its community, for Odoo 8 to 18 by JSON-RPC.
"""

from __future__ import annotations

import urllib.request
import xmlrpc.client
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlsplit

import pytest

from connectors.sandbox import odoo as sandbox
from tests.contract import orders
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.walking import issued

pytestmark = pytest.mark.proof("odoorpc")


class Below(urllib.request.BaseHandler):
    """The library knows servers at the root of a host only; the sandbox's are below it."""

    handler_order = 100

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        parts = urlsplit(request.full_url)
        if not parts.path.startswith(self.prefix):
            request.full_url = f"{parts.scheme}://{parts.netloc}{self.prefix}{parts.path}"
        return request


class Merchant:
    """The library, pointed at the sandbox's server of one version, and logged in."""

    def __init__(self, running: RunningSandbox, version: int) -> None:
        import odoorpc

        self.running, self.version = running, version
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), Below(f"/odoo/v{version}")
        )
        port = urlsplit(running.url).port
        self.odoo: Any = odoorpc.ODOO("127.0.0.1", "jsonrpc", port, 30, opener=opener)
        assert self.odoo.version == f"{version}.0"
        self.odoo.login(sandbox.DATABASE, sandbox.LOGIN, sandbox.API_KEY)
        self.model = "account.invoice" if version <= 12 else "account.move"

    def partner(self, name: str = "Analytical Engines Ltd") -> int:
        return int(self.odoo.env["res.partner"].create({"name": name, "email": "ada@example.com", "is_company": True}))

    def invoice(self, partner: int, tax: int = 5) -> int:
        taxes, kind = ("invoice_line_tax_ids", "type") if self.version <= 12 else ("tax_ids", "move_type")
        account = {"account_id": 27} if self.version <= 12 else {}
        lines = (("Brass plaque", 2, 45.0), ("Steel tag", 1, 5.5), ("Order discount", 1, -5.0), ("Shipping", 1, 7.95))
        commands = [
            (0, 0, {"name": text, "quantity": count, "price_unit": price, taxes: [(6, 0, [tax])], **account})
            for text, count, price in lines
        ]
        vals = {kind: "out_invoice", "partner_id": partner, "currency_id": 144, "invoice_line_ids": commands}
        return int(self.odoo.env[self.model].create(vals))


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    made = RunningSandbox([sandbox.Odoo])
    yield made
    made.close()


@pytest.fixture(params=[12, 17, 18])
def merchant(request: pytest.FixtureRequest, running: RunningSandbox) -> Merchant:
    return Merchant(running, request.param)


def test_an_invoice_is_created_posted_and_read_back(merchant: Merchant) -> None:
    move = merchant.odoo.env[merchant.model].browse(merchant.invoice(merchant.partner()))
    assert (move.state, move.partner_id.name, move.currency_id.name) == ("draft", "Analytical Engines Ltd", "GBP")
    if merchant.version <= 12:
        assert move.amount_total == 98.45, "as an Odoo 11 had it before its taxes were computed"
        move.compute_taxes()
        assert move.action_invoice_open() is True
    else:
        assert move.action_post() is False
    fields = ["state", "amount_untaxed", "amount_tax", "amount_total"]
    (read,) = merchant.odoo.execute_kw(merchant.model, "read", [[move.id]], {"fields": fields})
    assert [read[name] for name in fields[1:]] == [98.45, 19.69, 118.14]
    assert read["state"] == ("open" if merchant.version <= 12 else "posted")
    lines = merchant.odoo.env[merchant.model].browse(move.id).invoice_line_ids
    assert [line.name for line in lines] == ["Brass plaque", "Steel tag", "Order discount", "Shipping"]


def test_records_are_searched_and_changed(merchant: Merchant) -> None:
    partners = merchant.odoo.env["res.partner"]
    first, second = merchant.partner("First"), merchant.partner("Second")
    assert partners.search([("name", "=", "Second")]) == [second]
    assert partners.search([("email", "=ilike", "ADA@example.com")]) == [first, second]
    assert partners.search(["|", ("name", "=", "First"), ("id", "in", [second])]) == [first, second]
    assert partners.search_count([("name", "ilike", "s")]) == 2
    partners.browse(first).name = "Renamed"
    assert partners.search_read([("id", "=", first)], ["name"]) == [{"id": first, "name": "Renamed"}]
    partners.write([second], {"active": False})
    assert partners.search([]) == [first]
    merchant.odoo.execute("res.partner", "unlink", [first])
    assert partners.search([]) == []


def test_load_finds_a_record_again_by_its_external_id(merchant: Merchant) -> None:
    columns = ["id", "name", "country_id/id"]
    first = merchant.odoo.env["res.partner"].load(columns, [["shop.cust_1", "Ada", "base.uk"]])
    again = merchant.odoo.env["res.partner"].load(columns, [["shop.cust_1", "Ada Lovelace", "base.uk"]])
    assert first == {**again, "ids": first["ids"]}
    assert again["ids"] == first["ids"]
    partner = merchant.odoo.env["res.partner"].browse(first["ids"][0])
    assert (partner.name, partner.country_id.code) == ("Ada Lovelace", "GB")


def test_load_saves_all_or_nothing_and_names_the_row(merchant: Merchant) -> None:
    said = merchant.odoo.env["res.partner"].load(["name", "country_id/id"], [["Ada", "base.uk"], ["Bob", "base.zz"]])
    (message,) = said["messages"]
    assert said["ids"] is False
    assert (message["record"], message["rows"], message["type"]) == (1, {"from": 1, "to": 1}, "error")
    assert "No matching record found for external id 'base.zz'" in message["message"]
    assert merchant.odoo.env["res.partner"].search([]) == []


def test_what_odoo_refuses_is_the_librarys_error(merchant: Merchant) -> None:
    from odoorpc.error import RPCError

    move = merchant.invoice(merchant.partner())
    post = "action_invoice_open" if merchant.version <= 12 else "action_post"
    merchant.odoo.execute(merchant.model, post, [move])
    with pytest.raises(RPCError, match="draft") as refused:
        merchant.odoo.execute(merchant.model, post, [move])
    assert refused.value.info["data"]["name"] == "odoo.exceptions.UserError"
    with pytest.raises(RPCError, match="cannot be called remotely"):
        merchant.odoo.execute(merchant.model, "_post", [move])
    with pytest.raises(RPCError, match="not allowed"):
        merchant.odoo.execute("ir.model.data", "search_read", [], ["res_id"])
    with pytest.raises(RPCError, match="does not exist"):
        merchant.odoo.execute_kw("res.partner", "write", [[999], {"name": "Nobody"}], {})
    with pytest.raises(RPCError, match="Wrong login"):
        merchant.odoo.login(sandbox.DATABASE, sandbox.LOGIN, "wrong")


def test_a_posted_invoice_is_reset_and_cancelled(running: RunningSandbox) -> None:
    merchant = Merchant(running, 17)
    move = merchant.odoo.env["account.move"].browse(merchant.invoice(merchant.partner()))
    move.action_post()
    assert merchant.odoo.execute("account.move", "get_portal_url", [move.id]).startswith(f"/my/invoices/{move.id}?")
    assert move.button_draft() is None
    assert move.button_cancel() is None
    assert merchant.odoo.env["account.move"].browse(move.id).state == "cancel"


def test_the_library_reads_what_the_connector_made(running: RunningSandbox) -> None:
    """Two clients of one server: the connector by XML-RPC, the library by JSON-RPC."""
    merchant = Merchant(running, 17)
    books = Books(subjects()["odoo"], running)
    books.url += "/v17"
    settings = books.subject.settings(version=17, protocol="xml-rpc", login=sandbox.LOGIN)
    document = issued(books.connected(settings=settings), orders.ORDERS["two lines, discount, shipping"]())
    (move,) = merchant.odoo.env["account.move"].search([("ref", "=", "SO-1001")])
    assert str(move) == document.id
    read = merchant.odoo.env["account.move"].browse(move)
    assert (read.amount_total, read.state, read.partner_id.email) == (118.14, "posted", "ada@example.com")
    assert sum(line.quantity for line in read.invoice_line_ids) == 5


def test_pythons_own_xml_rpc_client_logs_in_and_creates(running: RunningSandbox) -> None:
    """As the examples of Odoo's documentation do it."""
    url = f"{running.url}/odoo/v17/xmlrpc/2"
    common = xmlrpc.client.ServerProxy(f"{url}/common")
    assert common.version()["server_version"] == "17.0"
    assert common.authenticate(sandbox.DATABASE, sandbox.LOGIN, "wrong", {}) is False
    uid = common.authenticate(sandbox.DATABASE, sandbox.LOGIN, sandbox.API_KEY, {})
    models = xmlrpc.client.ServerProxy(f"{url}/object")
    who = (sandbox.DATABASE, uid, sandbox.API_KEY)
    made = models.execute_kw(*who, "res.partner", "create", [{"name": "New Partner"}])
    assert models.execute_kw(*who, "res.partner", "search_read", [[["id", "=", made]]], {"fields": ["name"]}) == [
        {"id": made, "name": "New Partner"}
    ]
    with pytest.raises(xmlrpc.client.Fault, match="draft") as refused:
        models.execute_kw(*who, "account.move", "button_cancel", [[_posted(models, who, made)]])
    assert refused.value.faultCode == 2


def _posted(models: Any, who: tuple[Any, ...], partner: int) -> int:
    line = {"name": "Tag", "price_unit": 5.5}
    vals = {"move_type": "out_invoice", "partner_id": partner, "invoice_line_ids": [[0, 0, line]]}
    move = models.execute_kw(*who, "account.move", "create", [vals])
    models.execute_kw(*who, "account.move", "action_post", [[move]])
    return int(move)
