"""The books of an emulated Odoo: records, external ids, `load`, and what invoices may do in which state.

Rules and messages from odoo/odoo: `load` and its messages (odoo/models.py, addons/base/models/ir_fields.py), posting,
cancelling and totals (addons/account). What `load` does to a posted invoice, to a line without an external id, and
when two come at once was seen on servers of 11.0 and 19.0; that 12 to 18 refuse external ids of new lines is taken
from 11.0, which is the stricter reading.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.odoo_fields import LABELS, NAMES, STATIC, BadDomain, fields_of, where
from connectors.sandbox.odoo_matching import match, matched, payment_state, unmatch
from connectors.sandbox.sums import half_up, total

TABLES = """
CREATE TABLE IF NOT EXISTS odoo_records (server INTEGER, model TEXT, id INTEGER, parent INTEGER, ref TEXT,
    origin TEXT, email TEXT COLLATE NOCASE, doc TEXT, PRIMARY KEY (server, model, id));
CREATE INDEX IF NOT EXISTS odoo_refs ON odoo_records (server, model, ref);
CREATE INDEX IF NOT EXISTS odoo_origins ON odoo_records (server, model, origin);
CREATE INDEX IF NOT EXISTS odoo_emails ON odoo_records (server, model, email);
CREATE INDEX IF NOT EXISTS odoo_parents ON odoo_records (server, model, parent);
CREATE TABLE IF NOT EXISTS odoo_names (server INTEGER, name TEXT, model TEXT, res_id INTEGER,
    PRIMARY KEY (server, name));
CREATE TABLE IF NOT EXISTS odoo_last (server INTEGER, model TEXT, id INTEGER, PRIMARY KEY (server, model));
"""
SALES = {"out_invoice", "out_refund", "out_receipt"}


class Failure(Exception):
    """Odoo raises: `name` is the exception's full name, the message what people read."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name, self.message = name, message


def user_error(message: str) -> Failure:
    return Failure("odoo.exceptions.UserError", message)


def cents(value: Decimal) -> Decimal:
    return half_up(value)


def exact(value: Any) -> Decimal:
    """Prices, quantities and discounts as the default decimal accuracy keeps them: two digits."""
    return cents(Decimal(str(value or 0)))


class Books:
    """The database of one server: `version` is its number. `TABLES` exist. `clock` gives Unix seconds."""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float], version: int) -> None:
        self.db, self.clock, self.version = database, clock, version
        self.rounding = "round_per_line"
        """`tax_calculation_rounding_method` of the company; the other one is `round_globally`."""
        self.invoices = "account.invoice" if version <= 12 else "account.move"
        self.lines = f"{self.invoices}.line"
        self.taxes = "invoice_line_tax_ids" if version <= 12 else "tax_ids"
        self.kind = "type" if version <= 13 else "move_type"
        self.payment = "invoice_payment_state" if version == 13 else "payment_state"
        if not self.exists("res.company", 1):
            for model, docs in STATIC.items():
                for ident, doc in docs.items():
                    self.store(model, ident, dict(doc))
            rows = [(version, name, *found) for name, found in NAMES.items()]
            database.executemany("INSERT OR IGNORE INTO odoo_names VALUES (?,?,?,?)", rows)

    def fields(self, model: str) -> dict[str, str]:
        found = fields_of(self.version, model)
        if found is None:
            raise Failure("builtins.KeyError", f"'{model}'")
        return found

    # -- records ---------------------------------------------------------------------------------------------------

    def exists(self, model: str, ident: int) -> bool:
        known = "SELECT 1 FROM odoo_records WHERE server = ? AND model = ? AND id = ?"
        return self.db.execute(known, (self.version, model, ident)).fetchone() is not None

    def get(self, model: str, ident: int) -> dict[str, Any]:
        row = self.db.execute(
            "SELECT doc FROM odoo_records WHERE server = ? AND model = ? AND id = ?", (self.version, model, ident)
        ).fetchone()
        if row is None:
            text = f"Record does not exist or has been deleted.\n(Record: {model}({ident},), User: 8)"
            raise Failure("odoo.exceptions.MissingError", text)
        return {"id": ident, **json.loads(row[0])}

    def store(self, model: str, ident: int, doc: Mapping[str, Any], parent: int | None = None) -> None:
        ref = doc.get("name" if model == "account.invoice" else "ref")
        kept = {name: value for name, value in doc.items() if name != "id" and value is not None}
        kept = {
            name: value for name, value in kept.items() if value is not False or name in ("active", "price_include")
        }
        origin = doc.get("origin") or doc.get("invoice_origin")
        row = (self.version, model, ident, parent, ref, origin, doc.get("email"), json.dumps(kept))
        self.db.execute("INSERT OR REPLACE INTO odoo_records VALUES (?,?,?,?,?,?,?,?)", row)

    def new_id(self, model: str) -> int:
        """Ids are never used again."""
        first = {self.invoices: 30, "sequence": 0}.get(model, 100)
        row = self.db.execute(
            "INSERT INTO odoo_last VALUES (?,?,?) ON CONFLICT DO UPDATE SET id = id + 1 RETURNING id",
            (self.version, model, first + 1),
        ).fetchone()
        return int(row[0])

    def search(self, model: str, domain: list[Any], limit: int | None = None, order: str | None = None) -> list[int]:
        fields = self.fields(model)
        if order and not re.fullmatch(r"[a-z_]+( (asc|desc))?(, ?[a-z_]+( (asc|desc))?)*", order):
            raise Failure("builtins.ValueError", f"Invalid order: {order!r}")
        try:
            condition, values = where(domain, model, fields)
        except (BadDomain, IndexError, TypeError) as error:
            raise Failure("builtins.ValueError", str(error) or f"Invalid domain: {domain!r}") from None
        if model == "res.partner" and not any(term[0] == "active" for term in domain if isinstance(term, list)):
            condition = f"({condition}) AND json_extract(doc, '$.active') = 1"
        falling = "DESC" if order and order.startswith("id desc") else "ASC"
        ask = f"SELECT id FROM odoo_records WHERE server = ? AND model = ? AND ({condition})"  # noqa: S608 - bound
        among = (self.version, model, *values, -1 if limit is None else limit)
        return [ident for (ident,) in self.db.execute(f"{ask} ORDER BY +id {falling} LIMIT ?", among)]

    def read(
        self, model: str, ids: list[int], names: list[str] | None = None, bare: bool = False
    ) -> list[dict[str, Any]]:
        """Records as the API shows them: another record as `[id, name]` (`bare`: as its id), the empty as `false`."""
        fields = self.fields(model)
        for name in names or ():
            if name not in fields and name not in ("id", "display_name"):
                raise Failure("builtins.ValueError", f"Invalid field {name!r} on model {model!r}")
        shown = [self._shown(model, self.get(model, ident), names or ["id", *fields], fields) for ident in ids]
        others = {name for name, kind in fields.items() if bare and kind.startswith("many2one")}
        return [{name: value[0] if name in others and value else value for name, value in one.items()} for one in shown]

    def _shown(self, model: str, doc: dict[str, Any], names: list[str], fields: Mapping[str, str]) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": doc["id"]}
        for name in names:
            kind, _, other = fields.get(name, "").partition(":")
            value = doc.get(name, False)
            if kind == "many2one" and value:
                value = [value, self.get(other, value).get("name", "")]
            elif kind == "one2many":
                value = self.children(other, doc["id"])
            elif kind == "many2many":
                value = value or []
            elif name.startswith(("amount_", "price_")) or name in ("quantity", "discount", "residual"):
                value = float(value or 0)
            shown[name] = value
        return shown

    def children(self, model: str, parent: int) -> list[int]:
        # "+": sorted afterwards; SQLite would else walk all records of the model in the order of their ids
        ask = "SELECT id FROM odoo_records WHERE server = ? AND model = ? AND parent = ? ORDER BY +id"
        return [ident for (ident,) in self.db.execute(ask, (self.version, model, parent))]

    def create(self, model: str, vals: Mapping[str, Any]) -> int:
        ident = self.new_id(model)
        given: dict[str, Any] = {}
        if model == "res.partner":
            given = {"active": True, "type": "contact"}
        elif model == self.invoices:
            given = {"state": "draft", "currency_id": 144, "journal_id": 1, "company_id": 1, self.kind: "entry"}
            given |= {"name": False} if self.version >= 13 else {}
        self.store(model, ident, given)
        self.write(model, ident, vals)
        if model == "res.partner" and not self.get(model, ident).get("name"):
            raise Failure("odoo.exceptions.ValidationError", "Contacts require a name")
        return ident

    def write(self, model: str, ident: int, vals: Mapping[str, Any]) -> None:
        """Raises `Failure` for an unknown field (up to 12 it is ignored), a record that is not there, a posted move."""
        fields, doc = self.fields(model), self.get(model, ident)
        if model == "account.move" and doc.get("state") == "posted" and vals:
            names = ", ".join(vals)
            raise user_error(f"You cannot modify the following readonly fields on a posted move: {names}")
        for name, value in vals.items():
            kind, _, other = fields.get(name, "").partition(":")
            if not kind or kind == "computed":
                if self.version > 12 and not kind:
                    raise Failure("builtins.ValueError", f"Invalid field {name!r} in {model!r}")
            elif kind == "one2many":
                self._lines(other, ident, value)
                doc["taxed"] = False
            else:
                doc[name] = self._kept(name, kind, other, value, doc.get(name))
        self.store(model, ident, doc, self._parent(model, ident))
        if model == self.invoices:
            self.total(ident)

    def _parent(self, model: str, ident: int) -> int | None:
        ask = "SELECT parent FROM odoo_records WHERE server = ? AND model = ? AND id = ?"
        row = self.db.execute(ask, (self.version, model, ident)).fetchone()
        return row[0] if row else None

    def _kept(self, name: str, kind: str, other: str, value: Any, old: Any) -> Any:
        if kind == "many2one" and value:
            self.get(other, int(value))
            return int(value)
        if kind == "many2many":
            kept = list(old or [])
            for command in value or []:
                kept = {3: [one for one in kept if one != command[1]], 4: [*kept, command[1]], 5: [],
                        6: list(command[2] if len(command) > 2 else [])}[command[0]]  # fmt: skip
            for one in kept:
                self.get(other, one)
            return kept
        if kind == "date" and value:
            try:
                return date.fromisoformat(str(value)[:10]).isoformat()
            except ValueError:
                raise Failure("builtins.ValueError", f"time data {value!r} does not match format '%Y-%m-%d'") from None
        if kind == "float" and (isinstance(value, str) or value is None):
            raise Failure("builtins.ValueError", f"could not convert string to float: {value!r}")
        if kind == "selection" and name == self.kind and value not in SALES | {"in_invoice", "entry"}:
            raise Failure("builtins.ValueError", f"Wrong value for {self.invoices}.{name}: {value!r}")
        return str(value) if kind == "float" else value

    def _lines(self, model: str, parent: int, commands: Any) -> None:
        for command in commands or []:
            match command:
                case [0, _, vals]:
                    ident = self.new_id(model)
                    self.store(model, ident, {"quantity": "1", "price_unit": "0"}, parent)
                    self.write(model, ident, vals)
                    if self.version <= 12 and not self.get(model, ident).get("account_id"):
                        text = 'null value in column "account_id" violates not-null constraint'
                        raise Failure("psycopg2.IntegrityError", text)
                case [1, ident, vals]:
                    self.write(model, ident, vals)
                case [2, ident, *_]:
                    self.delete(model, [ident])
                case [5, *_]:
                    self.delete(model, self.children(model, parent))
                case _:
                    raise Failure("builtins.ValueError", f"Wrong value for invoice_line_ids: {command!r}")

    def delete(self, model: str, ids: list[int]) -> None:
        """With their external ids, which are free again then."""
        for ident in ids:
            self.db.execute(
                "DELETE FROM odoo_records WHERE server = ? AND model = ? AND id = ?", (self.version, model, ident)
            )
            gone = "DELETE FROM odoo_names WHERE server = ? AND model = ? AND res_id = ?"
            self.db.execute(gone, (self.version, model, ident))

    # -- external ids ----------------------------------------------------------------------------------------------

    def named(self, name: str) -> tuple[str, int] | None:
        ask = "SELECT model, res_id FROM odoo_names WHERE server = ? AND name = ?"
        row = self.db.execute(ask, (self.version, name)).fetchone()
        return (row[0], row[1]) if row else None

    def name(self, name: str, model: str, ident: int) -> None:
        self.db.execute("INSERT INTO odoo_names VALUES (?,?,?,?)", (self.version, name, model, ident))

    # -- amounts ---------------------------------------------------------------------------------------------------

    def total(self, ident: int) -> None:
        """Up to 12 taxes are only in the total after `compute_taxes`."""
        doc = self.get(self.invoices, ident)
        untaxed, by_tax = Decimal(0), dict[int, Decimal]()
        for line_id in self.children(self.lines, ident):
            line = self.get(self.lines, line_id)
            share = 1 - exact(line.get("discount")) / 100
            amount = cents(exact(line.get("quantity")) * exact(line.get("price_unit")) * share)
            net = amount
            for tax_id, tax, included in self._taxes_of(line, amount):
                by_tax[tax_id] = by_tax.get(tax_id, Decimal(0)) + tax
                net -= cents(tax) if included else 0
            untaxed += net
            self.store(self.lines, line_id, {**line, "price_subtotal": str(net)}, ident)
        tax = total(cents(one) for one in by_tax.values())
        if self.version <= 12 and not doc.get("taxed"):
            tax = Decimal(0)
        amounts = {"amount_untaxed": untaxed, "amount_tax": tax, "amount_total": untaxed + tax}
        left = untaxed + tax - matched(doc)
        due = {"residual" if self.version <= 12 else "amount_residual": left}
        if self.version <= 12 and doc["state"] != "open":
            due = {"residual": Decimal(0)}
        paid = {self.payment: payment_state(doc, self.kind, left)} if doc["state"] == "posted" else {}
        self.store(
            self.invoices, ident, {**doc, **{name: str(value) for name, value in (amounts | due).items()}, **paid}
        )

    def _taxes_of(self, line: Mapping[str, Any], amount: Decimal) -> Iterator[tuple[int, Decimal, bool]]:
        """Each tax of a line: rounded here, or only in its sum over the invoice (`round_globally`)."""
        for tax_id in line.get(self.taxes) or ():
            tax = self.get("account.tax", tax_id)
            rate, included = Decimal(str(tax["amount"])), bool(tax.get("price_include"))
            value = amount * (rate / (100 + rate) if included else rate / 100)
            yield tax_id, value if self.rounding == "round_globally" else cents(value), included

    # -- invoices --------------------------------------------------------------------------------------------------

    def post(self, ident: int) -> None:
        """`action_post`, up to 12 `action_invoice_open`. Only then it has a number."""
        doc, old = self.get(self.invoices, ident), self.version <= 12
        if doc["state"] != "draft":
            text = f"The entry {doc.get('name') or '/'} (id {ident}) must be in draft."
            raise user_error("Invoice must be in draft state in order to validate it." if old else text)
        if not doc.get("partner_id"):
            raise user_error("The field 'Customer' is required, please complete it to validate the Customer Invoice.")
        if not self.children(self.lines, ident):
            raise user_error("Please create some invoice lines." if old else "You need to add a line before posting.")
        if Decimal(doc["amount_total"]) < 0:
            raise user_error("You cannot validate an invoice with a negative total amount.")
        currency = self.get("res.currency", doc["currency_id"])
        if not currency.get("active"):
            text = f"You cannot validate a document with an inactive currency: {currency['name']}"
            raise user_error(text)
        today = datetime.fromtimestamp(self.clock(), UTC).date().isoformat()
        day = "date_invoice" if old else "invoice_date"
        doc[day] = doc.get(day) or today
        series = "RINV" if doc[self.kind] == "out_refund" else "INV"
        number = f"{series}/{doc[day][:4]}/{self.new_id('sequence'):05d}"
        changed = {"state": "open", "number": number} if old else {"state": "posted", "name": doc.get("name") or number}
        if not old:
            changed["access_url"] = f"/my/invoices/{ident}"
        self.store(self.invoices, ident, {**doc, **changed})
        self.total(ident)
        match(self, ident)

    def cancel(self, ident: int) -> None:
        """`button_cancel` of a draft; up to 12 `action_invoice_cancel` of a draft or an open one."""
        doc = self.get(self.invoices, ident)
        if self.version <= 12 and doc["state"] not in ("draft", "open"):
            raise user_error("Invoice must be in draft or open state in order to be cancelled.")
        if self.version >= 13 and doc["state"] != "draft":
            raise user_error("Only draft journal entries can be cancelled.")
        self.store(self.invoices, ident, {**doc, "state": "cancel"})

    def reset(self, ident: int) -> None:
        """`button_draft`."""
        if self.get(self.invoices, ident)["state"] not in ("posted", "cancel"):
            raise user_error("Only posted/cancelled journal entries can be reset to draft.")
        unmatch(self, ident)
        doc = self.get(self.invoices, ident)
        self.store(self.invoices, ident, {**doc, "state": "draft"})

    def portal(self, ident: int) -> str:
        """`get_portal_url`: gives the invoice its token the first time."""
        doc = self.get("account.move", ident)
        token = doc.get("access_token") or str(uuid4())
        self.store("account.move", ident, {**doc, "access_token": token})
        return f"/my/invoices/{ident}?access_token={token}"


def label(name: str) -> str:
    """What people read in a message."""
    return LABELS.get(name, name)
