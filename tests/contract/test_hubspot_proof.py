"""The vendor's SDK drives the emulator: what HubSpot's own client sends is accepted, what it expects comes back.

The SDK speaks version v3 of the same objects that the connector reaches as 2026-03.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import hubspot as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("hubspot")
TAX = {"hs_tax_rate_group_id": "901"}
LINES = [
    {"name": "Brass plaque, engraved", "quantity": "2", "price": "45.00", "billhook_line_ref": "1", **TAX},
    {"name": "Courier", "quantity": "1", "price": "7.95", "billhook_line_ref": "2", **TAX},
]


class Merchant:
    """The SDK's client, pointed at a sandbox of its own."""

    def __init__(self, url: str, token: str = sandbox.ACCESS_TOKEN) -> None:
        import hubspot

        self.client = hubspot.Client.create(access_token=token, host=f"{url}/hubspot")
        self.invoices = self.client.crm.commerce.invoices

    def contact(self, email: str = "ada@example.com") -> str:
        from hubspot.crm.contacts import SimplePublicObjectInputForCreate

        given = SimplePublicObjectInputForCreate(properties={"email": email, "firstname": "Ada"}, associations=[])
        return str(self.client.crm.contacts.basic_api.create(given).id)

    def draft(self, contact: str, reference: str = "SO-1001") -> str:
        import hubspot.crm.commerce.invoices as sdk

        given = sdk.SimplePublicObjectInputForCreate(
            properties={"hs_currency": "GBP", "billhook_order_ref": reference}, associations=[linked(sdk, contact, 177)]
        )
        return str(self.invoices.basic_api.create(given).id)

    def lines(self, invoice: str, *properties: dict[str, str], trace: str = "") -> Any:
        import hubspot.crm.line_items as sdk

        inputs = [
            sdk.SimplePublicObjectBatchInputForCreate(
                properties=fields,
                associations=[linked(sdk, invoice, 410)],
                object_write_trace_id=f"{trace}{number}" if trace else None,
            )
            for number, fields in enumerate(properties)
        ]
        batch = sdk.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs)
        return self.client.crm.line_items.batch_api.create(batch)

    def opened(self, invoice: str) -> Any:
        import hubspot.crm.commerce.invoices as sdk

        change = sdk.SimplePublicObjectInput(properties={"hs_invoice_status": "open"})
        return self.invoices.basic_api.update(invoice, change)


def linked(sdk: Any, ident: str, kind: int) -> Any:
    spec = sdk.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=kind)
    return sdk.PublicAssociationsForObject(to=sdk.PublicObjectId(id=ident), types=[spec])


@pytest.fixture
def running() -> Iterator[RunningSandbox]:
    one = RunningSandbox([sandbox.HubSpot])
    yield one
    one.close()


@pytest.fixture
def merchant(running: RunningSandbox) -> Merchant:
    return Merchant(running.url)


def test_an_invoice_goes_from_draft_to_open_and_is_read_by_our_property(merchant: Merchant) -> None:
    contact = merchant.contact()
    invoice = merchant.draft(contact)
    made = merchant.lines(invoice, *LINES)
    assert (made.status, len(made.results)) == ("COMPLETE", 2)
    assert merchant.opened(invoice).properties["hs_invoice_status"] == "open"
    read = merchant.invoices.basic_api.get_by_id(
        "SO-1001",
        id_property="billhook_order_ref",
        properties=["hs_invoice_status", "hs_amount_billed", "hs_number", "hs_pdf_download_link"],
        associations=["contacts", "line_items"],
    )
    assert (read.id, read.properties["hs_invoice_status"]) == (invoice, "open")
    assert read.properties["hs_amount_billed"] == "117.54"
    assert [one.id for one in read.associations["contacts"].results] == [contact]
    assert len(read.associations["line_items"].results) == 2


def test_a_mixed_batch_names_what_was_refused_by_its_trace_id(merchant: Merchant) -> None:
    invoice = merchant.draft(merchant.contact())
    merchant.lines(invoice, LINES[0])
    mixed = merchant.lines(invoice, *LINES, trace="line-")
    assert (mixed.num_errors, len(mixed.results)) == (1, 1)
    assert mixed.errors[0].context["objectWriteTraceId"] == ["line-0"]
    assert mixed.errors[0].errors[0].code == "CONFLICTING_UNIQUE_VALUE"


def test_a_second_invoice_with_our_reference_is_refused(merchant: Merchant) -> None:
    from hubspot.crm.commerce.invoices import ApiException

    contact = merchant.contact()
    merchant.draft(contact)
    with pytest.raises(ApiException, match="CONFLICTING_UNIQUE_VALUE") as refused:
        merchant.draft(contact)
    assert refused.value.status == 400


def test_a_contact_is_found_by_its_address_and_made_once(merchant: Merchant) -> None:
    from hubspot.crm.contacts import ApiException

    contact = merchant.contact()
    found = merchant.client.crm.contacts.basic_api.get_by_id("ada@example.com", id_property="email")
    assert found.id == contact
    with pytest.raises(ApiException, match=f"Existing ID: {contact}") as refused:
        merchant.contact()
    assert refused.value.status == 409


def test_an_invoice_needs_a_line_before_it_is_open(merchant: Merchant) -> None:
    from hubspot.crm.commerce.invoices import ApiException

    invoice = merchant.draft(merchant.contact())
    with pytest.raises(ApiException, match="line item"):
        merchant.opened(invoice)
    merchant.invoices.basic_api.archive(invoice)
    with pytest.raises(ApiException) as missing:
        merchant.invoices.basic_api.get_by_id(invoice)
    assert missing.value.status == 404


def test_the_property_of_ours_is_unique(merchant: Merchant) -> None:
    shown = merchant.client.crm.properties.core_api.get_by_name("invoices", "billhook_order_ref")
    assert (shown.name, shown.has_unique_value) == ("billhook_order_ref", True)


def test_tokens_are_refreshed_and_expire(running: RunningSandbox, merchant: Merchant) -> None:
    from hubspot.crm.contacts import ApiException

    given = merchant.client.oauth.tokens_api.create(
        grant_type="refresh_token",
        client_id=sandbox.CLIENT_ID,
        client_secret=sandbox.CLIENT_SECRET,
        refresh_token=sandbox.REFRESH_TOKEN,
    )
    assert given.expires_in == 1800
    another = Merchant(running.url, given.access_token)
    assert another.contact()
    running.pass_time(1801)
    with pytest.raises(ApiException) as expired:
        another.contact("bob@example.com")
    assert expired.value.status == 401
