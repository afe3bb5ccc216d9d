"""Microsoft Dynamics 365: settings of the sandbox's two environments, and answers that were published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.platforms.dynamics365 import FinanceOperations
from connectors.sandbox import dynamics365 as sandbox
from tests.contract.samples.base import Recorded, Samples

DOCS = "github.com/MicrosoftDocs/dynamics365smb-devitpro-pb"

ISSUED = Recorded(
    source=f"{DOCS}, api-reference/v2.0/api/dynamics_salesinvoice_get.md (some addresses left out)",
    status=200,
    body={
        "id": "9e0f5c9c-44e3-ea11-bb43-000d3a2feca1",
        "number": "PS-INV103001",
        "externalDocumentNumber": "",
        "invoiceDate": "2019-01-15",
        "postingDate": "2019-01-15",
        "dueDate": "2019-01-15",
        "customerPurchaseOrderReference": "",
        "customerId": "f3a5738a-44e3-ea11-bb43-000d3a2feca1",
        "customerNumber": "20000",
        "customerName": "Trey Research",
        "billToName": "Trey Research",
        "shipToName": "Trey Research",
        "shipToContact": "Helen Ray",
        "currencyId": "00000000-0000-0000-0000-000000000000",
        "currencyCode": "USD",
        "orderId": "00000000-0000-0000-0000-000000000000",
        "paymentTermsId": "0ba5738a-44e3-ea11-bb43-000d3a2feca1",
        "pricesIncludeTax": False,
        "remainingAmount": 0,
        "discountAmount": 0,
        "discountAppliedBeforeTax": True,
        "totalAmountExcludingTax": 164.7,
        "totalTaxAmount": 8.24,
        "totalAmountIncludingTax": 172.94,
        "status": "Paid",
        "lastModifiedDateTime": "2020-08-21T00:25:58.337Z",
        "phoneNumber": "",
        "email": "helen.ray@contoso.com",
    },
)


def error(source: str, status: int, code: str, message: str, **more: Any) -> Recorded:
    """An error of OData."""
    return Recorded(source, status, {"error": {"code": code, "message": message, **more}})


CODES = f"{DOCS}, webservices/dynamics-error-codes.md (the shape is that of use-odata-batch.md)"
TOO_LONG = "The length of the string is 57, but it must be less than or equal to 50 characters. Value: JACKSBORO PUMP"
GROUP = "Customer Posting Group must have a value in Customer: No.=C00690. It cannot be zero or empty."
SAME_KEY = "The Attachment Entity Buffer already exists. Identification fields and values: Document Id="
REJECTED_CREDENTIALS = "The server has rejected the client credentials"
REFUSALS = (
    (error(CODES, 400, "Application_StringExceededLength", TOO_LONG), Rejected),
    (error(CODES, 400, "Application_FieldValidationException", GROUP), Rejected),
    (error(CODES, 400, "Unknown", "'Invalid Type' is not an option.  CorrelationId:  x."), Rejected),
    (error(CODES, 400, "Internal_EntityWithSameKeyExists", SAME_KEY), Duplicate),
    (error(CODES, 409, "Request_EntityChanged", "Another user has already changed the record."), Unavailable),
    (error(CODES, 401, "Authentication_InvalidCredentials", REJECTED_CREDENTIALS), Unauthorized),
    (error(CODES, 500, "Internal_ServerError", "Cannot establish a connection to the SQL Server/Database."), Uncertain),
    (Recorded(f"{DOCS}, api-reference/v2.0/dynamics-rate-limits.md", 429, ""), Throttled),
    (Recorded(f"{DOCS}, includes/include-http-status-error-codes.md", 408, ""), Uncertain),
    (Recorded(f"{DOCS}, includes/include-http-status-error-codes.md", 504, "<html>Gateway Timeout</html>"), Uncertain),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "NOSUCH"}}


def _steal_number(emulator: Any, reference: str) -> None:
    books = emulator.company
    who = books.create_customer({"displayName": "Somebody Else Ltd"})
    account = {"lineType": "Account", "lineObjectNumber": "40400", "description": "by hand", "taxCode": "VAT20"}
    lines = [{**account, "quantity": 1, "unitPrice": 500}]
    given = {"externalDocumentNumber": reference, "customerNumber": who["number"], "salesInvoiceLines": lines}
    books.act(books.create_invoice(given)["id"], "post")


SAMPLES = Samples(
    slug="dynamics365",
    settings={
        "tenant_id": sandbox.TENANT,
        "company_id": sandbox.COMPANY,
        "sales_account": "40400",
        "shipping_account": "40410",
        "rounding_account": "80990",
        "items": {"PLQ-BR": "1928-S"},
        "tax": {"20": "VAT20", "5": "VAT5", "0": "VAT0"},
    },
    credentials={"client_id": sandbox.CLIENT_ID, "client_secret": sandbox.CLIENT_SECRET},
    token=sandbox.ACCESS_TOKEN,
    required_settings=("tenant_id", "company_id", "sales_account", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "9e0f5c9c-44e3-ea11-bb43-000d3a2feca1",
        "number": "PS-INV103001",
        "status": "paid",
        "currency": "USD",
        "total": "172.94",
        "tax": "8.24",
        "due": "0",
        "customer_id": "20000",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=lambda emulator, remote_id: emulator.company.act(remote_id, "cancel"),
    steal_number=_steal_number,
)

NANGO = "github.com/NangoHQ/integration-templates, microsoft-dynamics-365-finance-and-operations-cc, recorded July 2026"
HEADER = Recorded(
    source=f"{NANGO}: create-free-text-invoice (many empty fields left out)",
    status=200,
    body={
        "@odata.context": "https://test.operations.dynamics.com/data/$metadata#FreeTextInvoiceHeaders/$entity",
        "@odata.etag": 'W/"JzEsNTYzNzE0NTMzMSc="',
        "dataAreaId": "dat",
        "InvoiceIdentifier": 5637145331,
        "InvoiceName": "Ingenious Development LLC",
        "FreeTextNumber": "Not posted",
        "IsCorrection": "No",
        "CorrectedInvoiceId": "",
        "CustomerAccount": "DAT-000004",
        "InvoiceDate": "2026-07-23T12:00:00Z",
        "CustomerRequisition": "",
        "CustomerReference": "",
        "DueDate": "2026-07-30T12:00:00Z",
        "InclTax": "No",
        "IsPosted": "No",
        "ExternalInvoiceId": "",
        "InvoiceAccount": "DAT-000004",
        "CurrencyCode": "USD",
        "SalesTaxGroupId": "",
    },
)
LINES = Recorded(
    source=f"{NANGO}: list-free-text-invoice-lines (many empty fields left out; of another invoice there)",
    status=200,
    body={
        "@odata.context": "https://test.operations.dynamics.com/data/$metadata#FreeTextInvoiceLines",
        "value": [
            {
                "@odata.etag": 'W/"JzEsNTYzNzE0NDU3Nic="',
                "dataAreaId": "dat",
                "LineNumber": 1,
                "ParentRecId": 5637145331,
                "SalesTaxAmount": 0,
                "ExternalInvoiceId": "",
                "Description": "Steel package milestone 1",
                "TransactionCurrencyAmount": 2500,
                "SalesTaxGroupId": "",
                "SalesTaxItemGroupId": "",
                "InvoiceText": "Steel package milestone 1",
                "UnitPrice": 2500,
                "MainAccountDisplayValue": "400100",
                "Quantity": 1,
            }
        ],
    },
)
NO_PROPERTY = (
    "An error has occurred.  Exception has been thrown by the target of an invocation.  The property "
    "'EmploymentLegalEntityId' does not exist on type 'Microsoft.Dynamics.DataEntities.PersonIdentificationNumber'."
)
FO_REFUSALS = (
    (error("github.com/Azure/LogicAppsUX issue 4689", 400, "", NO_PROPERTY), Rejected),
    (Recorded("dynamics-365-unified-operations-public, service-protection-api-limits.md", 429, ""), Throttled),
    (Recorded("a gateway before the platform", 503, "<html>Service Unavailable</html>"), Uncertain),
)


def _steal_reference(emulator: Any, reference: str) -> None:
    area = {"dataAreaId": "gbsi"}
    who = emulator.entity.create(
        "CustomersV3",
        {**area, "OrganizationName": "Else Ltd", "CustomerGroupId": "RETAIL", "SalesCurrencyCode": "GBP"},
    )
    given = {"CustomerAccount": who["CustomerAccount"], "CustomerReference": reference, "CurrencyCode": "GBP"}
    emulator.entity.create(
        "FreeTextInvoiceHeaders", {**area, **given, "SalesTaxGroupId": "UK-DOM", "InvoiceDate": "2026-11-22"}
    )


VARIANTS = {
    "finops": (
        FinanceOperations,
        dataclasses.replace(
            SAMPLES,
            settings={
                "variant": "finops",
                "tenant_id": sandbox.TENANT,
                "environment_url": "https://contoso.operations.dynamics.com",
                "data_area_id": "gbsi",
                "customer_group": "RETAIL",
                "sales_tax_group": "UK-DOM",
                "post_service": "Billhook/Invoices/post",
                "sales_account": "401100",
                "shipping_account": "401200",
                "rounding_account": "618900",
                "tax": {"20": "FULL", "5": "RED", "0": "ZERO"},
            },
            required_settings=("environment_url", "data_area_id", "sales_tax_group", "post_service", "tax"),
            # the suite's server gives one answer to both questions: header and lines
            invoice=dataclasses.replace(HEADER, body={**HEADER.body, **LINES.body}),
            invoice_expected={
                "id": "5637145331",
                "status": "draft",
                "currency": "USD",
                "total": "2500",
                "tax": "0",
                "customer_id": "DAT-000004",
            },
            refusals=FO_REFUSALS,
            unknown_tax=lambda settings: {**settings, "sales_tax_group": "NOSUCH"},
            void_by_hand=lambda emulator, remote_id: emulator.entity.correct(remote_id),
            steal_number=_steal_reference,
        ),
    )
}
"""The other variant of the slug: a platform class and samples of its own."""
