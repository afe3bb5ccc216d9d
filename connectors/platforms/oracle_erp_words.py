"""Our drafts in the words of Oracle Fusion: receivables invoices as JSON, customers as a party and an account."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Annotated, Any, Self
from xml.sax.saxutils import escape

from pydantic import Field, SecretStr, model_validator

from connectors.errors import Rejected
from connectors.model import Amount, InvoiceDraft, Model
from connectors.platforms.base import PlatformSettings
from connectors.platforms.documents import CustomerDraft, later
from connectors.platforms.rows import Rounding, Row, agrees, coded, computed_tax, spread, told, without_tax
from connectors.platforms.texts import fits, marked, placed, without_empty

TITLE = "Oracle Fusion"
NUMBER, COMMENTS = 20, 240
"""Characters of the columns behind the transactions, not from Oracle's reference: what we make stays within them. What
a shop wrote is sent as it is, and Fusion says no to what is too long."""
PLACES = 6
"""Decimals of quantities and unit prices that are sent."""
ADDRESS, LONGEST = ("Address1", "Address2", "City", "State", "PostalCode", "Country"), (240, 240, 60, 60, 60)
HZ = "http://xmlns.oracle.com/apps/cdm/foundation/parties/customerAccountService"
AR = "http://xmlns.oracle.com/apps/financials/receivables/transactions/creditMemos/creditMemoService"
APPLY = "createApplyOnAccountCreditMemo"
"""The operation is named as those of its neighbours are, for the object that it makes: `createApplyReceipt` of the
service for receipts, `createOnAccountCreditMemoRefund` of this one."""


class OracleErpCredentials(Model):
    """A confidential application of the identity domain, alone or for a user; or an integration user's password."""

    client_id: Annotated[str | None, Field(description="of the application in the identity domain")] = None
    client_secret: Annotated[SecretStr | None, Field(description="of that application")] = None
    username: Annotated[str | None, Field(description="integration user, by password or private key")] = None
    password: Annotated[SecretStr | None, Field(description="of the user, where HTTP Basic is used")] = None
    private_key: Annotated[
        SecretStr | None,
        Field(description="PEM of the key with which the application signs a JWT for the user"),
    ] = None
    certificate_alias: Annotated[
        str | None, Field(description="alias of the certificate that the application has for that key")
    ] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        app, user = {"client_id", "client_secret"}, {"username", "password"}
        signed = {*app, "username", "private_key", "certificate_alias"}
        if {name for name, value in self if value} not in (app, user, signed):
            raise ValueError(
                "set client_id and client_secret; or these with username, private_key and certificate_alias; or "
                "username and password"
            )
        return self


class OracleErpSettings(PlatformSettings):
    """What the merchant configures; the names are those of Fusion's setup pages."""

    host: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9.-]+$", description="the pod's host: servername.fa.us2.oraclecloud.com")
    ]
    business_unit: Annotated[str, Field(min_length=1, max_length=240, description="name of the business unit")]
    transaction_source: Annotated[
        str, Field(min_length=1, description="a source of our own with manual numbering: without it nothing is safe")
    ]
    transaction_type: Annotated[str, Field(min_length=1, description="type of class Invoice: Invoice")]
    credit_type: Annotated[str, Field(min_length=1, description="type of class Credit Memo")] = "Credit Memo"
    apply_credits: Annotated[
        bool, Field(description="false leaves credit memos on account, for your own matching to apply to invoices")
    ] = True
    payment_terms: Annotated[str, Field(min_length=1, description="name of the payment terms: 14 Net")]
    ledger_currency: Annotated[str, Field(min_length=3, max_length=3, description="currency of the ledger: GBP")]
    tax: Annotated[
        dict[Amount, str],
        Field(min_length=1, description='rate in percent to the tax classification code: {"20": "VAT20"}'),
    ]
    tax_regime: Annotated[
        str | None,
        Field(description="tax regime, where a tax must be stated because Fusion would round it otherwise: GB VAT"),
    ] = None
    tax_rates: Annotated[
        dict[Amount, str], Field(description="rate to the tax rate code of stated taxes; else the classification code")
    ] = Field(default_factory=dict)
    tax_rounding: Annotated[Rounding, Field(description="where the tax set-up rounds: line, rate or total")] = "line"
    conversion_rate_type: Annotated[str, Field(description="for currencies other than the ledger's")] = "Corporate"
    bill_to_site: Annotated[
        str | None, Field(description="site of the one customer for all orders, where it has several")
    ] = None
    reference_set: Annotated[
        str | None, Field(description="id of the set of customer sites (SetId); needed to make customers")
    ] = None
    further: Annotated[
        dict[str, Any], Field(description="more fields of an invoice as JSON: flexfields your Fusion demands")
    ] = Field(default_factory=dict)
    identity_domain: Annotated[
        str | None, Field(description="host of the identity domain, for client_id and client_secret")
    ] = None
    scope: Annotated[str | None, Field(description="scope of the Fusion application in the identity domain")] = None

    @model_validator(mode="after")
    def _issues(self) -> Self:
        if not self.issue:
            raise ValueError("issue: Oracle Fusion makes complete invoices only, no drafts")
        if self.bill_to_site and self.reference_set:
            raise ValueError("bill_to_site is for one customer for all orders: leave out reference_set")
        return self


def number(key: str) -> str:
    """The number of a customer's party and account, of at most 30 characters, the same for ever."""
    return f"BH-{hashlib.sha256(key.encode()).hexdigest()[:20]}"


def party(draft: CustomerDraft) -> dict[str, Any]:
    """An organisation with its address. Raises `Rejected` naming what does not fit or is missing."""
    place = draft.billing_address or draft.shipping_address
    name = fits("the customer's name", draft.party.display_name.strip(), 360, TITLE)
    if place is None or not (place.line1 and place.country):
        raise Rejected(f"{TITLE} needs an address with street and country to make the customer {name}")
    address = {"AddressType": "BILL_TO", **placed(place, ADDRESS, LONGEST, TITLE)}
    email = fits("the customer's e-mail address", draft.party.email, 320, TITLE)
    fields = {"PartyNumber": number(draft.key), "OrganizationName": name, "EmailAddress": email}
    return without_empty({**fields, "Address": [address]})


def account(draft: CustomerDraft, reference_set: str) -> str:
    """The SOAP call that makes the party a customer who can be billed. The step before leaves the ids of the party and
    of its site, joined by a slash: `parted` puts each in its place."""
    ids = later("party")
    made = "<cus:CreatedByModule>HZ_WS</cus:CreatedByModule>"
    name = escape(fits("the customer's name", draft.party.display_name.strip(), 240, TITLE) or "")
    return _enveloped(
        f"{HZ}/applicationModule/types/", f"{HZ}/",
        f"<typ:mergeCustomerAccount><typ:customerAccount><cus:PartyId>{ids}</cus:PartyId>"
        f"<cus:AccountNumber>{number(draft.key)}</cus:AccountNumber><cus:AccountName>{name}</cus:AccountName>{made}"
        f"<cus:CustomerAccountSite><cus:PartySiteId>{ids}</cus:PartySiteId>{made}"
        f"<cus:SetId>{escape(reference_set)}</cus:SetId><cus:CustomerAccountSiteUse>"
        f"<cus:SiteUseCode>BILL_TO</cus:SiteUseCode>{made}</cus:CustomerAccountSiteUse></cus:CustomerAccountSite>"
        "</typ:customerAccount></typ:mergeCustomerAccount>",
    )  # fmt: skip


def application(draft: InvoiceDraft, invoice_id: str, amount: Decimal) -> str:
    """The SOAP call that takes this much of the credit memo, which the step before made, off what is due of the
    invoice."""
    day = draft.issued_on.isoformat()
    return _enveloped(
        f"{AR}/types/", f"{AR}/",
        f"<typ:{APPLY}><typ:applyOnAccountCreditMemo><cus:AmountApplied>{amount:f}</cus:AmountApplied>"
        f"<cus:ApplyDate>{day}</cus:ApplyDate><cus:CreditMemoTrxId>{later('create')}</cus:CreditMemoTrxId>"
        f"<cus:GlDate>{day}</cus:GlDate><cus:InvoiceCustomerTrxId>{escape(invoice_id)}</cus:InvoiceCustomerTrxId>"
        f"</typ:applyOnAccountCreditMemo></typ:{APPLY}>",
    )  # fmt: skip


def _enveloped(types: str, objects: str, inner: str) -> str:
    return (
        f'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:typ="{types}" '
        f'xmlns:cus="{objects}"><soapenv:Header/><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>'
    )


def invoice(draft: InvoiceDraft, customer_id: str, settings: OracleErpSettings) -> tuple[dict[str, Any], str]:
    """A complete invoice, and what the trail should say of its taxes. Raises `Rejected` where it would not agree.

    Amounts are sent without tax, as Fusion takes them unless a rate is set up otherwise."""
    lines, remark = _lines(draft, settings)
    head = {
        **_head(draft, customer_id, settings),
        "TransactionType": settings.transaction_type,
        "DueDate": draft.due_on.isoformat(),
        "PaymentTerms": settings.payment_terms,
        "InvoiceCurrencyCode": draft.currency,
        "ConversionDate": draft.issued_on.isoformat() if draft.currency != settings.ledger_currency else None,
        "Comments": marked(draft, COMMENTS, TITLE),
        **settings.further,
    }
    return {**without_empty(head), "receivablesInvoiceLines": lines}, remark


def credit_memo(draft: InvoiceDraft, customer_id: str, settings: OracleErpSettings) -> tuple[dict[str, Any], str]:
    """The same as a credit memo on the customer's account: its prices and taxes are negative, its quantities are not
    (the examples for receivablesCreditMemos). Raises `Rejected` as `invoice` does."""
    lines, remark = _lines(draft, settings)
    head = {
        **_head(draft, customer_id, settings),
        "TransactionType": settings.credit_type,
        "CreditMemoCurrency": draft.currency,
        "ConversionRateDate": draft.issued_on.isoformat() if draft.currency != settings.ledger_currency else None,
        "CreditMemoComments": marked(draft, COMMENTS, TITLE),
    }
    return {**without_empty(head), "receivablesCreditMemoLines": [_credited(line) for line in lines]}, remark


def _head(draft: InvoiceDraft, customer_id: str, settings: OracleErpSettings) -> dict[str, Any]:
    """What invoices and credit memos share."""
    what = f"order {draft.order_ref}"
    if any(sign in draft.reference for sign in "'\"\\"):
        raise Rejected(f"{what}: {TITLE} cannot be asked for an invoice number with quotes: {draft.reference}")
    return {
        "BusinessUnit": settings.business_unit,
        "TransactionSource": settings.transaction_source,
        "TransactionNumber": fits(f"{what}: its number", draft.reference, NUMBER, TITLE),
        "TransactionDate": draft.issued_on.isoformat(),
        "AccountingDate": draft.issued_on.isoformat(),
        "ConversionRateType": settings.conversion_rate_type if draft.currency != settings.ledger_currency else None,
        "BillToCustomerNumber": customer_id,
        "BillToSite": settings.bill_to_site,
    }


def _lines(draft: InvoiceDraft, settings: OracleErpSettings) -> tuple[list[dict[str, Any]], str]:
    """The draft's rows as lines, and a remark where their taxes are stated."""
    ordered = spread(draft)
    found = without_tax(ordered)
    stated = not agrees(draft.model_copy(update={"tax_included": False}), found, settings.tax_rounding)
    if stated and not settings.tax_regime:
        raise Rejected(
            f"order {draft.order_ref}: {TITLE} would make the tax "
            f"{computed_tax(found, draft.currency, settings.tax_rounding)}, the order charges {draft.tax_total} "
            f"{draft.currency}: set tax_regime in the account's settings, and the tax of each line is stated"
        )
    remark = f"taxes are stated line by line: {TITLE} would have rounded them otherwise" if stated else ""
    return [_line(place, row, draft, settings, stated=stated) for place, row in enumerate(ordered, 1)], remark


def _credited(line: dict[str, Any]) -> dict[str, Any]:
    """A line of an invoice as one of a credit memo."""
    fields = {
        "LineNumber": line["LineNumber"],
        "LineDescription": line["Description"],
        "LineQuantityCredit": line["Quantity"],
        "UnitSellingPrice": 0 - line["UnitSellingPrice"],
        "TaxClassificationCode": line["TaxClassificationCode"],
    }
    if taxes := line.get("receivablesInvoiceLineTaxLines"):
        fields["receivablesCreditMemoLineTaxLines"] = [{**tax, "TaxAmount": 0 - tax["TaxAmount"]} for tax in taxes]
    return fields


def _line(place: int, row: Row, draft: InvoiceDraft, settings: OracleErpSettings, *, stated: bool) -> dict[str, Any]:
    code = coded(settings.tax, row.rate, draft, TITLE)
    quantity, unit, text = told(row, row.net, draft.currency, quantity_places=PLACES, unit_places=PLACES)
    fields: dict[str, Any] = {
        "LineNumber": place,
        "Description": text,
        "Quantity": quantity,
        "UnitSellingPrice": unit,
        "TaxClassificationCode": code,
    }
    if stated:
        rate = settings.tax_rates.get(row.rate, code)
        tax = {"TaxAmount": row.tax, "TaxRegimeCode": settings.tax_regime, "TaxRateCode": rate}
        fields["receivablesInvoiceLineTaxLines"] = [tax]
    return fields


def total(value: Any) -> Decimal:
    """An amount of an answer. Raises `ArithmeticError` or `TypeError` where there is none."""
    return Decimal(value) if isinstance(value, int | Decimal) else Decimal(str(value))
