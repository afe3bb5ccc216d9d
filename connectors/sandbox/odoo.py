"""Odoo, emulated: one database on a server of each version. `/odoo` is Odoo 19, `/odoo/v17` a 17, down to `/odoo/v12`.

Each server has its own books, and the doors of its version: JSON-2 from 19 on, JSON-RPC and XML-RPC everywhere. From
odoo/documentation (external_api.rst) and odoo/odoo; what was seen on servers of 11.0 and 19.0 is said where it stands.
The constants below are what the demo and the tests use.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from connectors.sandbox import odoo_books
from connectors.sandbox import odoo_doors as doors
from connectors.sandbox.base import Emulator, Entry, Request, Response
from connectors.sandbox.odoo_books import Books, Failure, user_error
from connectors.sandbox.odoo_doors import Call
from connectors.sandbox.odoo_load import load
from connectors.sandbox.savepoint import savepoint

DATABASE = "demo"
LOGIN = "bot@demo.example"
API_KEY = "sandbox-odoo-api-key-1f0a"
UID = 8
NEWEST = 19
READING = {"search", "search_read", "search_count", "read", "fields_get", "context_get", "get_portal_url"}
STATUSES = {
    "draft": "draft",
    "posted": "issued",
    "open": "issued",
    "in_payment": "paid",
    "paid": "paid",
    "cancel": "void",
}
TABLES = "CREATE TABLE IF NOT EXISTS odoo_mails (server INTEGER, invoice INTEGER, recipient TEXT, at REAL);"


class Odoo(Emulator):
    """All servers. `mail_works` may be turned off on an instance: mails are then accepted and never leave."""

    slug = "odoo"
    keyed = True
    sample = f"""
api_key = "{API_KEY}"
[shop.myshop.account.odoo.settings]
url = "https://demo.odoo.example"
database = "{DATABASE}"
version = {NEWEST}
tax = {{ "20" = 5, "5" = 6, "0" = 7 }}
inclusive_tax = {{ "20" = 8, "5" = 9, "0" = 10 }}
"""

    def setup(self) -> None:
        self.db.executescript(odoo_books.TABLES + TABLES)
        self.mail_works = True
        self.servers: dict[int, Books] = {}
        known = self.db.execute("SELECT DISTINCT server FROM odoo_records").fetchall()
        for version in {NEWEST, *(version for (version,) in known)}:
            self.server(version)

    def server(self, version: int) -> Books:
        """The books of the server of this version."""
        if version not in self.servers:
            self.servers[version] = Books(self.db, self.clock, version)
        return self.servers[version]

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        try:
            version, rest = _server(request)
            call = self._call(version, rest)
        except (Failure, ValueError, LookupError, TypeError):
            return False
        return call is not None and call.method not in READING and not call.model.startswith("mail.")

    def tenant(self, request: Request) -> str:
        return str(_server(request)[0])

    def too_many(self, retry_after: float) -> Response:
        """Not Odoo's own: the proxy in front of it."""
        page = b"<html><head><title>429 Too Many Requests</title></head></html>"
        return Response(429, page, {"Content-Type": "text/html", "Retry-After": f"{retry_after:g}"})

    def failure(self, status: int) -> Response:
        return Response.json(
            status, {"name": "builtins.Exception", "message": "Internal Server Error", "arguments": []}
        )

    def customers(self) -> list[tuple[str, str]]:
        return [
            (doc["name"], doc.get("email") or "")
            for books in self.servers.values()
            for doc in (books.get("res.partner", ident) for ident in books.search("res.partner", []))
        ]

    def ledger(self) -> list[Entry]:
        return self._entries("out_invoice")

    def credits(self) -> list[Entry]:
        return self._entries("out_refund")

    def _entries(self, kind: str) -> list[Entry]:
        return [
            self._entry(books, ident)
            for books in self.servers.values()
            for ident in books.search(books.invoices, [[books.kind, "=", kind]])
        ]

    def _entry(self, books: Books, ident: int) -> Entry:
        doc = books.get(books.invoices, ident)
        partner = books.get("res.partner", doc["partner_id"]) if doc.get("partner_id") else {}
        lines = [books.get(books.lines, line) for line in books.children(books.lines, ident)]
        old = books.version <= 12
        status = STATUSES[doc["state"]]
        return Entry(
            id=str(ident),
            reference=doc.get("name" if old else "ref", ""),
            key=doc.get("origin" if old else "invoice_origin", ""),
            customer=partner.get("email") or partner.get("name", ""),
            lines=tuple(f"{line.get('name', '')} × {line['quantity']} @ {line['price_unit']}" for line in lines),
            currency=books.get("res.currency", doc["currency_id"])["name"],
            total=f"{float(doc['amount_total']):.2f}",
            status="paid" if doc.get(books.payment) in ("paid", "reversed") else status,
        )

    def mails(self) -> list[tuple[int, str]]:
        """Every mail that left: invoice id, recipient."""
        return self.db.execute("SELECT invoice, recipient FROM odoo_mails ORDER BY rowid").fetchall()

    # -- the doors -------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        if request.fault == "error_stored":
            return self.failure(500)
        return self._answer(*_server(request))

    def _answer(self, version: int, request: Request) -> Response:
        path = request.path
        if path in ("/web/version", "/web/webclient/version_info"):
            info = _version(version)
            return doors.said(info) if request.method == "GET" else doors.said_by_rpc(info, None)
        if path.startswith("/my/invoices/") and request.method == "GET":
            return self._portal(version, request)
        if path.startswith("/json/2/") and version >= 19:
            return self._guarded(version, request, doors.said, doors.failed)
        if path == "/jsonrpc":
            id, service, method, arguments = doors.rpc_body(request)
            if service == "common":
                return doors.said_by_rpc(_common(version, method, arguments), id)
            return self._guarded(
                version,
                request,
                lambda value: doors.said_by_rpc(value, id),
                lambda error: doors.failed_by_rpc(error, id),
            )
        if path == "/xmlrpc/2/common":
            return doors.said_by_xml(_common(version, *doors.xml_body(request)))
        if path == "/xmlrpc/2/object":
            return self._guarded(version, request, doors.said_by_xml, doors.failed_by_xml)
        return Response(404, b"<html><title>404 Not Found</title></html>", {"Content-Type": "text/html"})

    def _guarded(self, version: int, request: Request, said: Any, failed: Any) -> Response:
        """One call, one transaction: an exception, whichever, leaves nothing behind and is told by its name."""
        try:
            with savepoint(self.db):
                call = self._call(version, request)
                assert call is not None
                _authenticate(call)
                doors.check(call)
                response: Response = said(self._execute(self.server(version), call, request.headers))
        except (Failure, LookupError, TypeError, ValueError, AttributeError) as error:
            known = error if isinstance(error, Failure) else Failure(f"builtins.{type(error).__name__}", str(error))
            response = failed(known)
        return response

    def _call(self, version: int, request: Request) -> Call | None:
        """The method that a request calls; None where it calls none."""
        if request.path.startswith("/json/2/") and version >= 19:
            return doors.json_2(request)
        if request.path == "/jsonrpc":
            id, service, method, arguments = doors.rpc_body(request)
            return doors.positioned(doors.flat(arguments, method), id) if service == "object" else None
        if request.path == "/xmlrpc/2/object":
            method, arguments = doors.xml_body(request)
            return doors.positioned(doors.flat(arguments, method))
        return None

    def _portal(self, version: int, request: Request) -> Response:
        """The invoice's page; without its token a login is asked for."""
        books, ident = self.server(version), request.path.rpartition("/")[2]
        doc = (
            books.get("account.move", int(ident))
            if ident.isdecimal() and books.exists("account.move", int(ident))
            else {}
        )
        if version <= 12 or not doc.get("access_token") or request.query.get("access_token") != doc["access_token"]:
            return Response(303, b"", {"Location": "/web/login"})
        if request.query.get("report_type") == "pdf":
            return Response.pdf(doc.get("name") or "draft", doc["amount_total"])
        return Response(200, b"<html><title>Invoice</title></html>", {"Content-Type": "text/html"})

    # -- methods ---------------------------------------------------------------------------------------------------

    def _execute(self, books: Books, call: Call, headers: Mapping[str, str]) -> Any:
        fields, named, ids = books.fields(call.model), call.named, call.named.get("ids", [])
        spoil = headers.get("x-sandbox-fault") == "refuse_element"
        match call.method:
            case "context_get":
                return {"lang": "en_US", "tz": "Europe/London", "uid": UID}
            case "fields_get":
                return {name: _described(name, kind) for name, kind in {"id": "integer", **fields}.items()}
            case "search" | "search_count" | "search_read" | "read":
                return self._read(books, call, ids)
            case "load":
                return load(books, call.model, named["fields"], named["data"], spoil)
            case "create":
                return self._create(books, call)
            case "write":
                for ident in ids:
                    books.write(call.model, ident, named["vals"])
                return True
            case "unlink":
                if any(books.get(call.model, ident).get("state") not in (None, "draft") for ident in ids):
                    raise user_error("You cannot delete a posted entry.")
                books.delete(call.model, ids)
                return True
        return self._act(books, call, ids, spoil)

    def _read(self, books: Books, call: Call, ids: list[int]) -> Any:
        """External ids are for users with access rights, which an invoicing user lacks; seen on 19.0."""
        named = call.named
        if call.model == "ir.model.data":
            text = "You are not allowed to access 'Model Data' (ir.model.data) records."
            raise Failure("odoo.exceptions.AccessError", text)
        if call.method == "read":
            there = [ident for ident in ids if books.version > 12 or books.exists(call.model, ident)]
            bare = named.get("load", "_classic_read") != "_classic_read"
            return books.read(call.model, there, named.get("fields"), bare)
        found = books.search(call.model, named.get("domain", []), named.get("limit"), named.get("order"))
        if call.method == "search_count":
            return len(found)
        return found if call.method == "search" else books.read(call.model, found, named.get("fields"))

    def _create(self, books: Books, call: Call) -> Any:
        given = call.named["vals_list"]
        if not call.single and books.version <= 11:
            raise Failure("builtins.AttributeError", "'list' object has no attribute 'copy'")
        ids = [books.create(call.model, vals) for vals in ([given] if call.single else given)]
        return ids[0] if call.single else ids

    def _act(self, books: Books, call: Call, ids: list[int], spoil: bool) -> Any:
        """What can be done to invoices, and to the wizards that mail them."""
        old, name = books.version <= 12, f"{call.model}.{call.method}"
        if spoil:
            raise user_error("A line of this move is using an archived account, you cannot post it.")
        known: dict[str, tuple[Any, Any]] = {
            "account.move.action_post": (books.post, False),
            "account.move.button_cancel": (books.cancel, None),
            "account.move.button_draft": (books.reset, None),
            "account.invoice.action_invoice_open": (books.post, True),
            "account.invoice.action_invoice_cancel": (books.cancel, True),
            "account.invoice.compute_taxes": (lambda ident: self._taxed(books, ident), True),
            "account.invoice.send.onchange_template_id": (lambda ident: None, None),
        }
        if name in known and call.model in ("account.invoice", "account.move", "account.invoice.send"):
            act, answer = known[name]
            for ident in ids:
                act(ident)
            return answer
        if name == "account.move.get_portal_url":
            (ident,) = ids
            return books.portal(ident)
        if name == "mail.template.send_mail" and old:
            books.get("mail.template", ids[0])
            self._mail(books, call.named["res_id"])
            return 501
        if call.method in ("action_send_and_print", "send_and_print_action"):
            self._send(books, call, ids)
            return {"type": "ir.actions.act_window_close"}
        raise Failure("builtins.AttributeError", f"The method '{name}' does not exist")

    def _taxed(self, books: Books, ident: int) -> None:
        books.store(books.invoices, ident, {**books.get(books.invoices, ident), "taxed": True})
        books.total(ident)

    def _send(self, books: Books, call: Call, ids: list[int]) -> None:
        """The wizard mails what its context names; up to 16 it must have been told which template."""
        context = call.named.get("context", {})
        wizard = books.get(call.model, ids[0])
        if books.version <= 16 and not wizard.get("template_id"):
            raise user_error("Please select a template.")
        if books.version >= 18 and "email" not in (wizard.get("sending_methods") or []):
            return
        for ident in context.get("active_ids") or [wizard.get("move_id")]:
            self._mail(books, ident)

    def _mail(self, books: Books, ident: int) -> None:
        """Says nothing when the mail server does not take the mail: only the notification tells (seen on 19.0)."""
        doc = books.get(books.invoices, ident)
        partner = books.get("res.partner", doc["partner_id"])
        if doc["state"] not in ("posted", "open", "paid"):
            raise user_error("You can't generate invoices that are not posted.")
        if not partner.get("email"):
            raise user_error("Partner(s) should have an email address.")
        sent = {"sent": True} if books.version <= 12 else {"is_move_sent": True}
        books.store(books.invoices, ident, {**doc, **sent})
        about = {"mail_message_id.model": books.invoices, "mail_message_id.res_id": ident, "notification_type": "email"}
        status = {"notification_status": "sent"} if self.mail_works else {"notification_status": "exception",
                  "failure_type": "mail_smtp"}  # fmt: skip
        books.store("mail.notification", books.new_id("mail.notification"), {**about, **status})
        if self.mail_works:
            row = (books.version, ident, partner["email"], self.clock())
            self.db.execute("INSERT INTO odoo_mails VALUES (?,?,?,?)", row)


def _server(request: Request) -> tuple[int, Request]:
    """Which server is meant, and the request as it arrives there."""
    found = re.match(r"/v(1[1-9]|2\d)(?=/)", request.target)
    if found is None:
        return NEWEST, request
    return int(found[1]), dataclasses.replace(request, target=request.target[found.end() :])


def _version(version: int) -> dict[str, Any]:
    return {
        "server_version": f"{version}.0", "server_version_info": [version, 0, 0, "final", 0, ""],
        "server_serie": f"{version}.0", "protocol_version": 1, "version": f"{version}.0",
        "version_info": [version, 0, 0, "final", 0, ""],
    }  # fmt: skip


def _common(version: int, method: str, arguments: list[Any]) -> Any:
    """The service `common`: a wrong login is answered with `false`."""
    if method == "version":
        return _version(version)
    right = method in ("authenticate", "login") and arguments[:3] == [DATABASE, LOGIN, API_KEY]
    return UID if right else False


def _authenticate(call: Call) -> None:
    database, uid, secret = call.login
    if uid is None:
        if secret != API_KEY:
            raise Failure("werkzeug.exceptions.Unauthorized", "Invalid apikey")
        if database not in ("", DATABASE):
            raise Failure("werkzeug.exceptions.NotFound", "No database is selected and the requested URL was not found")
        return
    if database != DATABASE:
        text = f'connection to server failed: FATAL:  database "{database}" does not exist\n'
        raise Failure("psycopg2.OperationalError", text)
    if (uid, secret) != (UID, API_KEY):
        raise Failure("odoo.exceptions.AccessDenied", "Access Denied")


def _described(name: str, kind: str) -> dict[str, Any]:
    """A field as `fields_get` shows it."""
    kind, _, other = kind.partition(":")
    kind = {"computed": "char", "json": "char", "selection": "char"}.get(kind, kind)
    shown = {"type": kind, "string": name, "readonly": False, "required": False, "help": ""}
    return shown | ({"relation": other} if other else {}) | ({"domain": [], "context": {}} if other else {})
