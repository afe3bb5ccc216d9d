"""The books of an emulated HubSpot account: objects with properties (all texts) and what they are associated with.

The account is prepared: it has the four properties of ours, three of them with unique values. Tax is computed and
rounded on each line (how HubSpot does it is not documented). An open invoice's lines and currency cannot be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places, total

CURRENCIES = {"GBP", "EUR", "USD", "JPY", "KWD"}
STANDARD = {
    "contacts": {
        *("email", "firstname", "lastname", "company", "phone", "address", "city", "state", "zip", "country"),
    },
    "invoices": {
        *("hs_currency", "hs_invoice_date", "hs_due_date", "hs_purchase_order_number", "hs_comments"),
        *("hs_invoice_payment_collection_method", "hs_invoice_status"),
    },
    "line_items": {
        *("name", "description", "hs_sku", "quantity", "price", "hs_line_item_currency_code"),
        "hs_tax_rate_group_id",
    },
}
COMPUTED = {
    "invoices": {
        *("hs_number", "hs_amount_billed", "hs_balance_due", "hs_amount_paid", "hs_subtotal", "hs_tax"),
        *("hs_invoice_link", "hs_pdf_download_link"),
    },
    "contacts": set[str](),
    "line_items": {"amount"},
}
OURS = {
    "invoices": {"billhook_order_ref": True, "billhook_key": False},
    "line_items": {"billhook_line_ref": True},
    "contacts": {"billhook_customer": True},
}
ASSOCIATED = {("invoices", 177): "contacts", ("line_items", 410): "invoices"}


def correlation(text: str) -> str:
    return str(uuid5(NAMESPACE_URL, text))


class Refused(Refusal):
    """HubSpot refuses a call or an element of one."""

    def __init__(self, message: str, category: str = "VALIDATION_ERROR", code: str = "", *, status: int = 400) -> None:
        self.message, self.category, self.code, self.status = message, category, code, status
        super().__init__(Response.json(status, {**self.body({}), "correlationId": correlation(message)}), message)

    def body(self, context: Mapping[str, Any]) -> dict[str, Any]:
        parts = [{"message": self.message, "code": self.code}] if self.code else []
        said = {"status": "error", "message": self.message, "category": self.category}
        return {**said, "context": dict(context), "errors": parts, "links": {}}


class Books:
    def __init__(self, shelf: Shelf, clock: Callable[[], float], tax_rates: Mapping[str, int]) -> None:
        self.shelf, self.clock, self.tax_rates = shelf, clock, tax_rates
        for kind, names in OURS.items():
            for name, unique in names.items():
                if shelf.get("properties", f"{kind}/{name}") is None:
                    self.add_property(kind, {"name": name, "type": "string", "hasUniqueValue": unique})

    @staticmethod
    def moment(now: float) -> str:
        return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def add_property(self, kind: str, given: Mapping[str, Any]) -> Doc:
        if self.shelf.get("properties", f"{kind}/{given['name']}"):
            raise Refused(f"A property named {given['name']} already exists.", "OBJECT_ALREADY_EXISTS", status=409)
        more = {"label": given["name"], "groupName": f"{kind}information", "fieldType": "text", "type": "string"}
        kept = {**more, "description": "", "options": [], "hasUniqueValue": False, **given}
        return self.shelf.put("properties", f"{kind}/{given['name']}", kept)

    def property(self, kind: str, name: str) -> Doc:
        standard = name in STANDARD[kind] | COMPUTED[kind]
        found = {"name": name, "type": "string"} if standard else self.shelf.get("properties", f"{kind}/{name}")
        if found is None:
            raise Refused(f'Property "{name}" does not exist', "OBJECT_NOT_FOUND", status=404)
        return found

    def get(self, kind: str, ident: str, by: str | None = None) -> Doc:
        found = self.shelf.get(kind, ident) if by is None else self._having(kind, by, ident)
        if found is None:
            raise Refused("resource not found", "OBJECT_NOT_FOUND", status=404)
        return found

    def _having(self, kind: str, name: str, value: str) -> Doc | None:
        if name != "email" and not self.property(kind, name).get("hasUniqueValue"):
            raise Refused(f"{name} is not a unique property", code="INVALID_ID_PROPERTY")
        held = self.shelf.get(f"unique/{kind}", f"{name}={value.lower() if name == 'email' else value}")
        return self.shelf.get(kind, held["id"]) if held else None

    def shown(
        self, kind: str, ident: str, by: str | None, properties: Sequence[str], associations: Sequence[str]
    ) -> Doc:
        """As a read answers: only the properties asked for, and the ids of what is associated."""
        raw = self.get(kind, ident, by)
        fields = {name: raw["properties"].get(name) for name in properties}
        found = self._bare({**raw, "properties": fields})
        linked = {"contacts": raw.get("contacts", []), "line_items": [one["id"] for one in self.lines(raw["id"])]}
        if asked := {name: linked[name] for name in associations if linked.get(name)}:
            results = {
                name: {"results": [{"id": one, "type": f"{kind}_to_{name}"} for one in ids]}
                for name, ids in asked.items()
            }
            return {**found, "associations": results}
        return found

    def lines(self, invoice: str) -> list[Doc]:
        return self.shelf.all("line_items", invoice=invoice)

    def create(self, kind: str, given: Mapping[str, Any]) -> Doc:
        if not isinstance(given.get("properties"), dict) or not isinstance(given.get("associations"), list):
            raise Refused("Invalid input JSON: properties and associations are required")
        fields = {name: value for name, value in given["properties"].items() if value is not None}
        self._known(kind, fields)
        links = self._linked(kind, given["associations"])
        ident = str(700 + self.shelf.count("ids"))
        raw: Doc = {"id": ident, "properties": fields, "createdAt": self.moment(self.clock()), **links}
        if kind == "invoices":
            self._check_draft(fields)
        if kind == "line_items":
            self._check_line(fields, links)
        self._claim(kind, ident, fields)
        self.shelf.put("ids", ident, {})
        self.shelf.put(kind, ident, raw)
        for invoice in {raw.get("invoice"), ident if kind == "invoices" else None} - {None}:
            self._sum(str(invoice))
        return self._bare(self.get(kind, ident))

    def _bare(self, raw: Mapping[str, Any]) -> Doc:
        updated = {"updatedAt": self.moment(self.clock()), "archived": False}
        return {"id": raw["id"], "properties": raw["properties"], "createdAt": raw["createdAt"], **updated}

    def _known(self, kind: str, fields: Mapping[str, Any]) -> None:
        for name, value in fields.items():
            custom = self.shelf.get("properties", f"{kind}/{name}")
            if name in COMPUTED[kind]:
                raise Refused(f'Property "{name}" is read only', code="READ_ONLY_VALUE")
            if name not in STANDARD[kind] and custom is None:
                raise Refused(
                    f'Property values were not valid: Property "{name}" does not exist', code="PROPERTY_DOESNT_EXIST"
                )
            if not isinstance(value, str) or len(value) > 65_536:
                raise Refused(f'Property "{name}" must be a text of at most 65536 characters')

    def _linked(self, kind: str, given: Iterable[Mapping[str, Any]]) -> Doc:
        links: Doc = {"contacts": []} if kind == "invoices" else {}
        for one in given:
            for spec in one["types"]:
                other = ASSOCIATED.get((kind, spec.get("associationTypeId")))
                if other is None or spec.get("associationCategory") != "HUBSPOT_DEFINED":
                    raise Refused(f"association type {spec} is not valid for {kind}", code="INVALID_ASSOCIATION")
                self.get(other, str(one["to"]["id"]))
                if other == "contacts":
                    links["contacts"].append(str(one["to"]["id"]))
                else:
                    links["invoice"] = str(one["to"]["id"])
        return links

    def _claim(self, kind: str, ident: str, fields: Mapping[str, str]) -> None:
        """Unique values, of the e-mail address too; remembered while the object exists."""
        for name, value in fields.items():
            if name == "email" and kind == "contacts":
                if held := self.shelf.get("unique/contacts", f"email={value.lower()}"):
                    text = f"Contact already exists. Existing ID: {held['id']}"
                    raise Refused(text, "CONFLICT", "CONFLICTING_UNIQUE_VALUE", status=409)
            elif not (self.shelf.get("properties", f"{kind}/{name}") or {}).get("hasUniqueValue"):
                continue
            elif self.shelf.get(f"unique/{kind}", f"{name}={value}"):
                text = f"Property values were not valid: {name} must be unique, and another object has {value}"
                raise Refused(text, code="CONFLICTING_UNIQUE_VALUE")
            held_by = value.lower() if name == "email" else value
            self.shelf.put(f"unique/{kind}", f"{name}={held_by}", {"id": ident})

    def _check_draft(self, fields: dict[str, str]) -> None:
        if fields.get("hs_currency") not in CURRENCIES:
            raise Refused(f"hs_currency {fields.get('hs_currency')!r} is missing or not set up in this account")
        if fields.setdefault("hs_invoice_status", "draft") != "draft":
            raise Refused("An invoice is created as a draft", code="INVALID_INVOICE_STATUS")
        for name in ("hs_invoice_date", "hs_due_date"):  # "autoset if a date isn't provided" (invoices guide)
            fields.setdefault(name, self.moment(self.clock()))
        fields["hs_number"] = f"INV-{1001 + self.shelf.count('invoices')}"

    def _check_line(self, fields: Mapping[str, str], links: Mapping[str, Any]) -> None:
        try:
            quantity, price = exact(fields.get("quantity")), exact(fields.get("price"))
        except ArithmeticError:
            raise Refused("quantity and price must be numbers", code="INVALID_NUMBER") from None
        if quantity <= 0 or price < 0 or not fields.get("name"):
            raise Refused("a line item needs a name, a positive quantity and a price that is not negative")
        rate = fields.get("hs_tax_rate_group_id")
        if rate is not None and rate not in self.tax_rates:
            raise Refused(f"hs_tax_rate_group_id: there is no tax rate {rate}", code="INVALID_OPTION")
        if (invoice := links.get("invoice")) is None:
            return
        head = self.get("invoices", invoice)["properties"]
        if head["hs_invoice_status"] != "draft":
            raise Refused("Line items of an invoice that is not a draft cannot be changed", code="INVOICE_NOT_EDITABLE")
        if fields.get("hs_line_item_currency_code", head["hs_currency"]) != head["hs_currency"]:
            raise Refused("The line item's currency is not the invoice's", code="CURRENCY_MISMATCH")

    def update(self, kind: str, ident: str, given: Mapping[str, Any], host: str) -> Doc:
        raw = self.get(kind, str(ident))
        fields = given.get("properties") or {}
        self._known(kind, fields)
        if kind == "invoices":
            self._open(raw, fields, host)
        changed = {**raw, "properties": {**raw["properties"], **fields}}
        self.shelf.put(kind, raw["id"], changed)
        return self._bare({**changed, "properties": dict(fields)})

    def _open(self, raw: Doc, fields: Mapping[str, str], host: str) -> None:
        head, status = raw["properties"], fields.get("hs_invoice_status")
        if head["hs_invoice_status"] != "draft":
            if status != head["hs_invoice_status"] or set(fields) - {"hs_invoice_status"}:
                raise Refused("An invoice that is not a draft cannot be changed so", code="INVOICE_NOT_EDITABLE")
            return
        if status is None:
            return
        if status != "open":
            raise Refused(f"hs_invoice_status cannot go from draft to {status}", code="INVALID_INVOICE_STATUS")
        if not raw["contacts"] or not self.lines(raw["id"]):
            raise Refused("An invoice needs a contact and a line item before it is open", code="INVALID_INVOICE_STATUS")
        page = f"{host}/documents/{raw['id']}"
        head |= {"hs_invoice_link": page, "hs_pdf_download_link": f"{page}/pdf"}

    def delete(self, kind: str, ident: str) -> None:
        raw = self.get(kind, ident)
        if raw["properties"].get("hs_invoice_status", "draft") != "draft":
            raise Refused("The account does not allow finalized invoices to be deleted", code="INVOICE_NOT_DELETABLE")
        self.shelf.drop(kind, ident)
        for name, value in raw["properties"].items():
            held = self.shelf.get(f"unique/{kind}", f"{name}={value}")
            if held and held["id"] == ident:
                self.shelf.drop(f"unique/{kind}", f"{name}={value}")

    def _sum(self, invoice: str) -> None:
        raw = self.get("invoices", invoice)
        digits = places(raw["properties"]["hs_currency"])
        nets, taxes = [], []
        for line in (one["properties"] for one in self.lines(invoice)):
            nets.append(half_up(exact(line["quantity"]) * exact(line["price"]), digits))
            rate = self.tax_rates.get(line.get("hs_tax_rate_group_id", ""), 0)
            taxes.append(half_up(nets[-1] * Decimal(rate) / 100, digits))
        sums = {"hs_subtotal": total(nets), "hs_tax": total(taxes), "hs_amount_paid": Decimal(0)}
        whole = total(nets) + total(taxes)
        texts = {
            name: f"{amount:f}"
            for name, amount in (sums | {"hs_amount_billed": whole, "hs_balance_due": whole}).items()
        }
        self.shelf.put("invoices", invoice, {**raw, "properties": {**raw["properties"], **texts}})
