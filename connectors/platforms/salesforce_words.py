"""Our drafts in Salesforce's words, as pure functions: accounts, contacts, and invoices as records of any object."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.model import Amount, InvoiceDraft, Model, RemoteInvoice, Status, minor_units
from connectors.platforms.base import PlatformSettings
from connectors.platforms.documents import CustomerDraft, Request, posted
from connectors.platforms.rows import Row, coded, rows, told
from connectors.platforms.texts import first_and_last, fits, placed, street, without_empty

TITLE = "Salesforce"
API = "/services/data/v67.0"
NODES = 500
"""Records in one call, in whatever graphs (REST guide, composite graph limits)."""
HALTED = "PROCESSING_HALTED"
"""What the other records of a graph that was rolled back say."""
TEXT = 255
"""Characters of a text field that can be an external id; the length is that of Salesforce's text fields."""
LONG_TEXT = 32_000
PLACES = 4
"""Decimals of quantities and unit prices."""
OBJECT = {
    "key": "Billhook_Key__c",
    "reference": "Order_Reference__c",
    "customer": "Account__c",
    "issued_on": "Invoice_Date__c",
    "due_on": "Due_Date__c",
    "status": "Status__c",
    "net": "Net__c",
    "tax": "Tax__c",
    "total": "Total__c",
    "balance": "",
    "line_invoice": "Invoice__c",
    "line_text": "Description__c",
    "line_quantity": "Quantity__c",
    "line_price": "Unit_Price__c",
    "line_amount": "Amount__c",
    "line_tax": "Tax__c",
    "line_rate": "Tax_Rate__c",
    "line_code": "Tax_Code__c",
    "note_invoice": "Invoice__c",
    "line_note": "Credit_Note__c",
}
PACKAGE = OBJECT | {
    "reference": "Billhook_Reference__c",
    "customer": "blng__Account__c",
    "issued_on": "blng__InvoiceDate__c",
    "due_on": "blng__DueDate__c",
    "status": "blng__InvoiceStatus__c",
    "net": "blng__Subtotal__c",
    "tax": "blng__TaxAmount__c",
    "total": "blng__TotalAmount__c",
    "balance": "blng__Balance__c",
    "line_invoice": "blng__Invoice__c",
    "line_text": "blng__Notes__c",
    "line_quantity": "blng__Quantity__c",
    "line_price": "",
    "line_amount": "blng__Subtotal__c",
    "line_tax": "blng__TaxAmount__c",
    "line_rate": "blng__TaxPercentageApplied__c",
    "line_code": "",
}
STATUSES = {"Draft": Status.DRAFT, "Issued": Status.ISSUED, "Paid": Status.PAID, "Void": Status.VOID}
PACKAGE_STATUSES = {"Draft": Status.DRAFT, "Posted": Status.ISSUED, "Rebilled": Status.VOID}


class SalesforceCredentials(Model):
    """A connected app (external client app): with a private key, with its secret, or consented to by a person."""

    client_id: Annotated[str, Field(description="consumer key of the app")]
    client_secret: Annotated[
        SecretStr | None, Field(description="consumer secret: for client credentials, or with `billhook connect`")
    ] = None
    username: Annotated[
        str | None, Field(description="the user that a JWT speaks for, for whom the app is pre-authorised")
    ] = None
    private_key: Annotated[
        SecretStr | None, Field(description="PEM of the RSA key whose certificate the app has: JWT bearer grant")
    ] = None
    refresh_token: Annotated[SecretStr | None, Field(description="of a consent; `billhook connect` stores it")] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.username is None) != (self.private_key is None):
            raise ValueError("username and private_key belong together: a JWT speaks for a user")
        if self.private_key is None and self.client_secret is None:
            raise ValueError("set client_secret, or username and private_key")
        return self


class SalesforceSettings(PlatformSettings):
    """What the merchant configures; `billhook account options` lists the choices."""

    my_domain: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9.-]+$", description="the org's host: acme.my.salesforce.com (Setup, My Domain)")
    ]
    daily_calls: Annotated[
        int | None,
        Field(ge=1, description="calls in any 24 hours that the org leaves to Billhook (Setup, Company Information)"),
    ] = None
    tax: Annotated[
        dict[Amount, str],
        Field(min_length=1, description='rate in percent to the tax code on the lines: {"20": "GB-VAT-20"}'),
    ]
    mode: Annotated[
        Literal["object", "package", "revenue"],
        Field(
            description="object: a custom object; package: Salesforce Billing (blng__); revenue: Revenue Cloud Billing"
        ),
    ] = "object"
    object: Annotated[str, Field(description="API name of the invoice object")] = "Billhook_Invoice__c"
    line_object: Annotated[str, Field(description="API name of the lines' object")] = "Billhook_Invoice_Line__c"
    credit_object: Annotated[
        str | None,
        Field(description="mode object: API name of the credit notes' object, Billhook_Credit_Note__c; else none made"),
    ] = None
    credit_line_object: Annotated[str, Field(description="API name of the object of their lines")] = (
        "Billhook_Credit_Note_Line__c"
    )
    fields: Annotated[
        dict[str, str],
        Field(description="API names that differ from the usual ones: {total = 'Grand_Total__c'}; '' for none"),
    ] = Field(default_factory=dict)
    statuses: Annotated[
        dict[str, Status],
        Field(description="values of the status field, the one we write first: {Sent = 'issued', Open = 'draft'}"),
    ] = Field(default_factory=dict)
    computed: Annotated[
        bool, Field(description="net, tax and total are formulas or roll-ups: read and compared, never written")
    ] = False
    tax_treatments: Annotated[
        dict[Amount, str], Field(description="mode revenue: rate to the id of a taxable TaxTreatment; else the org's")
    ] = Field(default_factory=dict)
    customer_key: Annotated[
        str, Field(description="field of Contact for our key: text of 255, External ID, Unique, case-sensitive")
    ] = "Billhook_Key__c"
    home_currency: Annotated[
        str | None, Field(description="the only currency of an org without multiple currencies; else left out")
    ] = None
    decimals: Annotated[int, Field(ge=0, le=8, description="decimal places of the amount fields")] = 2
    country_codes: Annotated[bool, Field(description="state and country picklists are switched on")] = False

    @model_validator(mode="after")
    def _known(self) -> Self:
        if unknown := set(self.fields) - set(OBJECT):
            raise ValueError(f"fields: unknown names {sorted(unknown)}; known are {', '.join(OBJECT)}")
        if self.mode == "object" and not {Status.DRAFT, Status.ISSUED, Status.VOID} <= set(self.values.values()):
            raise ValueError("statuses: name a value each for draft, issued and void")
        return self

    @property
    def objects(self) -> tuple[str, str]:
        """The objects of invoices and of their lines."""
        if self.mode == "package":
            return "blng__Invoice__c", "blng__InvoiceLine__c"
        return self.object, self.line_object

    @property
    def credit_objects(self) -> tuple[str, str] | None:
        """The objects of credit notes and of their lines; None where none are made."""
        if self.mode != "object" or not self.credit_object:
            return None
        return self.credit_object, self.credit_line_object

    @property
    def names(self) -> dict[str, str]:
        """Our names of fields to API names; "" for what the object does not have."""
        return (PACKAGE if self.mode == "package" else OBJECT) | self.fields

    @property
    def values(self) -> dict[str, Status]:
        """The status field's values, and what they mean to us."""
        return self.statuses or (PACKAGE_STATUSES if self.mode == "package" else STATUSES)

    @property
    def sums_itself(self) -> bool:
        return self.computed or self.mode == "package"

    def value(self, status: Status) -> str:
        """The value that is written for a status."""
        return next(value for value, meant in self.values.items() if meant is status)


def graph_id(key: str) -> str:
    """The name of a document's graph in a call and its answer."""
    return f"g{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def node(name: str, method: str, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """One record of a graph."""
    return {"method": method, "url": f"{API}/sobjects/{path}", "referenceId": name, "body": unmistakable(fields)}


def unmistakable(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields. Raises `Rejected` for a text which Salesforce would take for a reference to another record."""
    for text in fields.values():
        if isinstance(text, str) and "@{" in text and not re.fullmatch(r"@\{\w+\.id\}", text):
            raise Rejected(f'{TITLE} takes "@{{" for a reference to another record; take it out of {text[:60]!r}')
    return dict(fields)


def graph_call(step: str, graphs: Sequence[Any], *, issues: bool = False) -> Request:
    """Records in one call, those of each graph all or none (`POST /composite/graph`)."""
    return posted(step, f"{API}/composite/graph", {"graphs": list(graphs)}, issues=issues)


def quoted(text: str) -> str:
    """A text in SOQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def among(field: str, texts: Iterable[str]) -> str:
    """A condition of SOQL."""
    return f"{field} IN ({','.join(map(quoted, texts))})"


def currency_of(draft: InvoiceDraft, settings: SalesforceSettings) -> str | None:
    """What goes into CurrencyIsoCode. Raises `Rejected` where the org cannot hold the amounts."""
    if settings.home_currency and draft.currency != settings.home_currency:
        raise Rejected(
            f"order {draft.order_ref} is in {draft.currency}, the {TITLE} org has {settings.home_currency} only "
            "(home_currency); switch on multiple currencies there"
        )
    if minor_units(draft.currency) > settings.decimals:
        raise Rejected(
            f"order {draft.order_ref}: {draft.currency} has {minor_units(draft.currency)} decimals, the amount fields "
            f"in {TITLE} have {settings.decimals} (decimals)"
        )
    return None if settings.home_currency else draft.currency


def account(draft: CustomerDraft, settings: SalesforceSettings) -> list[dict[str, Any]]:
    """An account and its contact, which carries our key. The lengths are those of the standard fields."""
    party, first, last = draft.party, *first_and_last(draft.party)
    fields = {"Name": fits("the customer's name", party.display_name.strip(), 255, TITLE)}
    for kind, place in (("Billing", draft.billing_address), ("Shipping", draft.shipping_address)):
        code = "Code" if settings.country_codes else ""
        names = ("", "", f"{kind}City", f"{kind}State{code}", f"{kind}PostalCode", f"{kind}Country{code}")
        fields[f"{kind}Street"] = fits("the street of the address", street(place), 255, TITLE)
        fields |= placed(place, names, (0, 0, 40, 80, 20), TITLE)
    contact = {
        "AccountId": "@{account.id}",
        "FirstName": fits("the customer's first name", first if last else "", 40, TITLE),
        "LastName": fits("the customer's last name", last or first or party.display_name, 80, TITLE),
        "Email": fits("the customer's e-mail address", party.email, 80, TITLE),
        "Phone": fits("the customer's telephone", party.phone, 40, TITLE),
        settings.customer_key: fits("the customer's key", draft.key, TEXT, TITLE),
    }
    return [
        node("account", "POST", "Account", without_empty(fields)),
        node("contact", "POST", "Contact", without_empty(contact)),
    ]


def invoice(
    draft: InvoiceDraft,
    customer_id: str,
    settings: SalesforceSettings,
    objects: tuple[str, str],
    credited: str | None = None,
) -> list[dict[str, Any]]:
    """The invoice and its lines as records of these objects, amounts without tax; or the credit note of the invoice
    that has the id `credited`, amounts positive."""
    names, (top, line_object) = settings.names, objects
    found = rows(draft)
    if len(found) >= NODES:
        raise Rejected(f"order {draft.order_ref} has {len(found)} lines; {TITLE} takes {NODES - 1} in one call")
    status = Status.ISSUED if settings.issue and not settings.sums_itself else Status.DRAFT
    stated = {} if settings.sums_itself else {"net": draft.total - draft.tax_total, "tax": draft.tax_total}
    given: dict[str, Any] = {
        "key": fits(f"order {draft.order_ref}: its key", draft.key, TEXT, TITLE),
        "reference": fits(f"order {draft.order_ref}: its reference", draft.reference, TEXT, TITLE),
        "customer": customer_id,
        "issued_on": draft.issued_on.isoformat(),
        **({"note_invoice": credited} if credited else {"due_on": draft.due_on.isoformat()}),
        "status": settings.value(status),
        **({**stated, "total": draft.total} if stated else {}),
    }
    head = {names[name]: value for name, value in given.items() if names[name]}
    head |= without_empty({"CurrencyIsoCode": currency_of(draft, settings)})
    records = [node("invoice", "POST", top, head)]
    for place, row in enumerate(found):
        fields = _line(row, draft, settings, names["line_note" if credited else "line_invoice"])
        fields |= without_empty({"CurrencyIsoCode": currency_of(draft, settings)})
        records.append(node(f"line{place + 1}", "POST", line_object, fields))
    return records


def quantity_and_price(row: Row, draft: InvoiceDraft) -> tuple[Decimal, Decimal, str]:
    """Quantity, net unit price, and the description, which says how the amount came about where these do not."""
    quantity, unit, text = told(row, row.net, draft.currency, quantity_places=PLACES, unit_places=PLACES)
    what = f"order {draft.order_ref}: the description of a line"
    return quantity, unit, fits(what, text, LONG_TEXT, TITLE) or ""


def _line(row: Row, draft: InvoiceDraft, settings: SalesforceSettings, parent: str) -> dict[str, Any]:
    names = settings.names
    quantity, unit, text = quantity_and_price(row, draft)
    if not names["line_price"] and row.calculation() not in text:
        text = f"{text}\n{row.calculation()}"
    given = {
        "line_text": text,
        "line_quantity": quantity,
        "line_price": unit,
        "line_amount": row.net,
        "line_tax": row.tax,
        "line_rate": row.rate,
        "line_code": coded(settings.tax, row.rate, draft, TITLE),
    }
    return {parent: "@{invoice.id}"} | {names[name]: value for name, value in given.items() if names[name]}


def read_fields(settings: SalesforceSettings, *more: str) -> list[str]:
    """What a look-up asks of an invoice or credit note; `more`: what one of them has alone."""
    wanted = ["key", "reference", "customer", "status", "tax", "total", *more]
    found = ["Id", "Name", *(settings.names[name] for name in wanted if settings.names[name])]
    return found if settings.home_currency else [*found, "CurrencyIsoCode"]


def remote(raw: Mapping[str, Any], settings: SalesforceSettings) -> RemoteInvoice:
    """A record as it was read. Raises `LookupError` for a status that nobody named."""
    names = {name: raw.get(field) for name, field in settings.names.items() if field}
    return RemoteInvoice(
        id=raw["Id"],
        number=raw.get("Name"),
        reference=names["reference"],
        key=names["key"],
        status=settings.values[str(names["status"])],
        currency=settings.home_currency or raw["CurrencyIsoCode"],
        total=Decimal(names["total"]),  # type: ignore[arg-type]
        tax=None if names.get("tax") is None else Decimal(names["tax"]),  # type: ignore[arg-type]
        due=None if names.get("balance") is None else Decimal(names["balance"]),  # type: ignore[arg-type]
        customer_id=names["customer"],
    )
