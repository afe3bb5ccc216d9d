"""SAP Business One in its own words: settings, customers, invoices and credit notes of the Service Layer, answers as
our documents.

Names are those of the live metadata of `/b1s/v2` as published (gregorwolf/sap-business-one-odata-cap, SAPB1.edmx).
Amounts in a foreign currency stand in fields of their own (`DocTotalFc`), which are 0 in the company's own. Tax is
computed by Business One from a line's `VatGroup`, rounded where the company's settings say, which cannot be read: so
`rounding` says it too. What that leaves is put into a rounding line without tax. Lengths: CardCode 15 and NumAtCard 100
(help.sap.com, SDK 10.0, DI API: BusinessPartners, Documents); 100 for a line's description and 254 for an alphanumeric
user field are not verified. SAP gives a customer's name 100 characters there, 200 in tables of the same release: what a
shop wrote is sent as it is, and Business One says no to what is too long.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.errors import Rejected
from connectors.model import Address, InvoiceDraft, RemoteInvoice, Status, minor_units
from connectors.platforms.base import PostedAtOnce
from connectors.platforms.crediting import invoice_of
from connectors.platforms.currencies import configured
from connectors.platforms.documents import CustomerDraft, PlannedInvoice, RemoteCustomer, later
from connectors.platforms.rows import ONE, Rounding, Row, coded, rounded_off, spread, told, without_tax
from connectors.platforms.texts import fits, placed, without_empty

TITLE = "SAP Business One"
OURS = "BH"
CODE, REFERENCE, KEY, TEXT = 15, 100, 254, 100
ALL_CURRENCIES = "##"
ADDRESS = ("Street", "Block", "City", "State", "ZipCode", "Country")


class SapBusinessOneSettings(PostedAtOnce):
    """Codes are those of the company, as `billhook account options` lists them."""

    server: Annotated[str, Field(description="address of the Service Layer: https://b1.example.com:50000")]
    company: Annotated[str, Field(description="the company database (CompanyDB), such as SBODEMOGB", min_length=1)]
    currencies: Annotated[
        dict[str, str], Field(description="for each currency (GBP) the company's own code", min_length=1)
    ]
    item: Annotated[str, Field(description="code of the item that lines are sold as, where `items` has none; no stock")]
    items: Annotated[dict[str, str], Field(description="for a SKU the code of its item", default_factory=dict)]
    tax: Annotated[dict[Decimal, str], Field(description="for each tax rate in percent its tax group (VatGroup)")]
    freight: Annotated[int, Field(description="code of the additional expense that shipping is")]
    rounding: Annotated[
        Rounding, Field(description="where the company rounds tax: on each line, by tax rate or in total")
    ] = "line"
    payment_terms: Annotated[int | None, Field(description="number of the payment terms, else the customer's own")] = (
        None
    )
    series: Annotated[int | None, Field(description="numbering series of invoices, else the default")] = None


def card_code(key: str) -> str:
    """Our key as the code of a customer: 15 letters and digits, the same for ever."""
    return OURS + base64.b32encode(hashlib.sha256(key.encode()).digest()).decode()[: CODE - len(OURS)]


def row_code(key: str) -> str:
    """Our key as the code of a row in the table of keys: of 40 characters that are safe in an address, whatever case a
    database minds."""
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def currency(code: str, settings: SapBusinessOneSettings, what: str) -> str:
    """The company's code of a currency. Raises `Rejected` naming the setting that lacks it."""
    if minor_units(code) != 2:
        raise Rejected(
            f"{TITLE} rounds {code} by the company's display settings, which Billhook cannot see: only currencies of "
            "two decimals are invoiced there"
        )
    return configured(settings.currencies, code, what, TITLE)


def customer(draft: CustomerDraft) -> dict[str, Any]:
    party = draft.party
    return without_empty(
        {
            "CardCode": card_code(draft.key),
            "CardName": party.display_name.strip(),
            "CardType": "cCustomer",
            "Currency": ALL_CURRENCIES,
            "EmailAddress": party.email,
            "Phone1": party.phone,
            "BPAddresses": [_bp_address(draft.billing_address)] if draft.billing_address else None,
        }
    )


def _bp_address(address: Address) -> dict[str, Any]:
    return {"AddressName": "Bill to", "AddressType": "bo_BillTo", **placed(address, ADDRESS)}


def _extension(draft: InvoiceDraft) -> dict[str, Any]:
    """Both addresses as they are on this invoice."""
    return {
        prefix + name: value
        for prefix, address in (("BillTo", draft.billing_address), ("ShipTo", draft.shipping_address))
        for name, value in placed(address, ADDRESS).items()
    }


def invoice(planned: PlannedInvoice, settings: SapBusinessOneSettings) -> tuple[dict[str, Any], str]:
    """An invoice, and what the trail should say of it. Raises `Rejected` for what Business One cannot do."""
    fields, remark = _document(planned, settings)
    more = {"PaymentGroupCode": settings.payment_terms, "Series": settings.series}
    return without_empty({**fields, **more}), remark


def credit_note(planned: PlannedInvoice, settings: SapBusinessOneSettings) -> tuple[dict[str, Any], str]:
    """As `invoice`, and the invoice that it refers to. Lines are its own, not copied from the invoice's: Business One
    takes back no more of a line than its quantity, and what is given back may be an amount alone."""
    credited = invoice_of(planned)
    fields, remark = _document(planned, settings)
    return {
        **fields,
        "DocumentReferences": [{"RefDocEntr": int(credited.id), "RefObjType": "rot_SalesInvoice"}],
    }, remark


def reconciliation(planned: PlannedInvoice, amount: Decimal) -> dict[str, Any]:
    """What takes this much of the credit note, once it is made, off its invoice: both by the numbers of their journal
    entries, which the steps `entry` and `against` have read."""
    against = int(invoice_of(planned).id)
    sides = (("codCredit", "14", later("create"), "entry"), ("codDebit", "13", against, "against"))
    rows = [
        {
            "Selected": "tYES", "ShortName": planned.customer_id, "CreditOrDebit": side, "ReconcileAmount": amount,
            "SrcObjTyp": kind, "SrcObjAbs": number, "TransId": later(entry), "TransRowId": 0,
        }
        for side, kind, number, entry in sides
    ]  # fmt: skip
    return {
        "ReconDate": planned.draft.issued_on.isoformat(),
        "CardOrAccount": "coaCard",
        "InternalReconciliationOpenTransRows": rows,
    }


def _document(planned: PlannedInvoice, settings: SapBusinessOneSettings) -> tuple[dict[str, Any], str]:
    """What invoices and credit notes share."""
    draft = planned.draft
    found = without_tax(spread(draft))
    off = rounded_off(draft, found, settings.rounding, TITLE)
    lines = [_line(row, draft, settings) for row in found if row.kind == "line"]
    if off:
        lines.append(_rounding(off, draft, settings))
    shipping = [_expense(row, draft, settings) for row in found if row.kind == "shipping"]
    remarks = {
        "amounts are shown without tax": draft.tax_included,
        "the order's discount is spread over its lines": draft.discount,
        f"a rounding line of {off} {draft.currency} makes the total that of the order": off,
    }
    fields = {
        "CardCode": planned.customer_id,
        "DocDate": draft.issued_on.isoformat(),
        "TaxDate": draft.issued_on.isoformat(),
        "DocDueDate": draft.due_on.isoformat(),
        "DocCurrency": currency(draft.currency, settings, f"order {draft.order_ref}"),
        "NumAtCard": fits("the reference", draft.reference, REFERENCE, TITLE),
        "U_BillhookRef": fits("Billhook's key of this order", draft.key, KEY, TITLE),
        "Comments": f"Order {draft.order_ref}",
        "AddressExtension": _extension(draft),
        "DocumentLines": lines,
        "DocumentAdditionalExpenses": shipping,
    }
    return without_empty(fields), "; ".join(text for text, said in remarks.items() if said)


def _line(row: Row, draft: InvoiceDraft, settings: SapBusinessOneSettings) -> dict[str, Any]:
    quantity, unit, text = told(row, row.amount, draft.currency, quantity_places=2, unit_places=2)
    return {
        "ItemCode": settings.items.get(row.sku or "", settings.item),
        **_described(text),
        "Quantity": quantity,
        "UnitPrice": unit,
        "VatGroup": coded(settings.tax, row.rate, draft, TITLE),
    }


def _described(text: str) -> dict[str, str]:
    """A longer text stands whole in the item's details, and its beginning where there is room for no more."""
    return {"ItemDescription": text} if len(text) <= TEXT else {"ItemDescription": text[:TEXT], "ItemDetails": text}


def _rounding(off: Decimal, draft: InvoiceDraft, settings: SapBusinessOneSettings) -> dict[str, Any]:
    group = coded(settings.tax, Decimal(0), draft, TITLE)
    return {
        "ItemCode": settings.item,
        "ItemDescription": "Rounding",
        "Quantity": ONE,
        "UnitPrice": off,
        "VatGroup": group,
    }


def _expense(row: Row, draft: InvoiceDraft, settings: SapBusinessOneSettings) -> dict[str, Any]:
    group = coded(settings.tax, row.rate, draft, TITLE)
    return {"ExpenseCode": settings.freight, "LineTotal": row.amount, "VatGroup": group, "Remarks": row.description}


def read_invoice(raw: Mapping[str, Any], settings: SapBusinessOneSettings) -> RemoteInvoice:
    codes = {own: code for code, own in settings.currencies.items()}
    foreign = bool(raw.get("DocTotalFc"))
    total = Decimal(raw["DocTotalFc"] if foreign else raw["DocTotal"])
    paid = Decimal((raw.get("PaidToDateFC") if foreign else raw.get("PaidToDate")) or 0)
    return RemoteInvoice(
        id=str(raw["DocEntry"]),
        number=str(raw["DocNum"]),
        reference=raw.get("NumAtCard"),
        key=raw.get("U_BillhookRef"),
        status=_status(raw),
        currency=codes.get(raw["DocCurrency"], raw["DocCurrency"]),
        total=total,
        tax=raw.get("VatSumFc") if foreign else raw.get("VatSum"),
        due=total - paid,
        customer_id=raw["CardCode"],
    )


def _status(raw: Mapping[str, Any]) -> Status:
    if raw["CancelStatus"] != "csNo":
        return Status.VOID
    return {"bost_Open": Status.ISSUED, "bost_Close": Status.PAID, "bost_Paid": Status.PAID}[raw["DocumentStatus"]]


def read_customer(raw: Mapping[str, Any], draft: CustomerDraft) -> RemoteCustomer:
    code = str(raw["CardCode"])
    key = draft.key if code == card_code(draft.key) else code
    return RemoteCustomer(
        id=code, key=key if code.startswith(OURS) else None, name=raw.get("CardName"), email=raw.get("EmailAddress")
    )
