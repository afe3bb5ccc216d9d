"""How orders and customers become Xero's words: rounding, tax types, keys, names; and what is found again."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.auth import StaticHeaders
from connectors.errors import ConnectorError, Duplicate, Rejected, Sample, Uncertain
from connectors.http import Answer, Http
from connectors.model import InvoiceDraft, Party
from connectors.platforms import xero_words as words
from connectors.platforms.base import AppCredentials
from connectors.platforms.documents import CustomerDraft, Hit, PlannedInvoice
from connectors.platforms.texts import distinct_name, key_in, marked, short
from connectors.platforms.xero import Xero
from connectors.platforms.xero_documents import Contacts, Invoices
from tests.contract import orders
from tests.contract.samples.xero import SAMPLES

CONTACT = "0f2d9f0e-4f0c-4a1e-9a55-3f8d7f6f2b11"


def xero(**settings: Any) -> Xero:
    configured = words.XeroSettings.model_validate({**SAMPLES.settings, **settings})
    return Xero(configured, StaticHeaders({}), Http(1.0), base_url="http://127.0.0.1:9")


def rendered(draft: InvoiceDraft, **settings: Any) -> dict[str, Any]:
    (request,) = xero(**settings).invoices.plan(PlannedInvoice(draft=draft, customer_id=CONTACT))
    assert (request.method, request.path) == ("PUT", "/api.xro/2.0/Invoices"), "POST would overwrite"
    (invoice,) = json.loads(request.body, parse_float=Decimal)["Invoices"]
    return dict(invoice)


def taxed(price: str, charged: str, rate: str = "20", **fields: Any) -> dict[str, Any]:
    """A line of one piece, with the tax the shop charged for it."""
    tax = {"name": "VAT", "rate": rate, "amount": charged}
    return {"ref": price, "description": f"For {price}", "quantity": "1", "unit_price": price, "tax": tax, **fields}


def with_lines(*lines: dict[str, Any], **fields: Any) -> InvoiceDraft:
    return orders.draft("SO-1", [{"discount": "0", **line} for line in lines], **fields)


def answer(body: Any) -> Answer:
    return Answer(200, {}, json.dumps(body).encode(), Sample("PUT", "", "", 200, "", 0.0))


# -- invoices ------------------------------------------------------------------------------------------------------


def test_the_event_of_the_documentation() -> None:
    engraved = {**orders.PLAQUE, "attributes": {"engraving": "To Ada, 1843"}}
    lines = [orders.line(engraved)]
    draft = orders.draft("SO-1001", lines, discount=orders.FIVE_OFF, shipping=orders.COURIER, total="111.54")
    invoice = rendered(draft)
    assert invoice["Contact"] == {"ContactID": CONTACT}, "more would change the contact"
    assert (invoice["InvoiceNumber"], invoice["Status"], invoice["Type"]) == ("SO-1001", "AUTHORISED", "ACCREC")
    assert (invoice["Date"], invoice["DueDate"]) == ("2026-11-22", "2026-12-06")
    plaque, shipping, discount = invoice["LineItems"]
    assert plaque["Description"] == "Brass plaque, engraved (PLQ-BR)\nengraving: To Ada, 1843"
    assert (plaque["Quantity"], plaque["UnitAmount"], plaque["TaxType"]) == (2, 45, "OUTPUT2")
    assert (shipping["Description"], shipping["UnitAmount"], shipping["AccountCode"]) == (
        "Courier",
        Decimal("7.95"),
        "260",
    )
    assert (discount["UnitAmount"], discount["TaxType"], discount["AccountCode"]) == (-5, "OUTPUT2", "200")


def test_two_lines_discount_and_shipping_need_no_tax_amounts() -> None:
    draft = orders.ORDERS["two lines, discount, shipping"]()
    assert draft.total == Decimal("118.14")
    invoice = rendered(draft)
    assert [line["UnitAmount"] for line in invoice["LineItems"]] == [45, Decimal("5.5"), Decimal("7.95"), -5]
    assert invoice["LineAmountTypes"] == "Exclusive"
    assert not any("TaxAmount" in line for line in invoice["LineItems"])


def test_amounts_that_include_tax() -> None:
    invoice = rendered(orders.ORDERS["tax included"]())
    assert invoice["LineAmountTypes"] == "Inclusive"
    assert [line["UnitAmount"] for line in invoice["LineItems"]] == [54, Decimal("6.6")]
    assert not any("TaxAmount" in line for line in invoice["LineItems"])


def test_a_discount_per_line_is_an_amount() -> None:
    first, second = rendered(orders.ORDERS["discount per line"]())["LineItems"]
    assert (first["DiscountAmount"], second["DiscountAmount"]) == (9, Decimal("0.55"))


def test_tax_that_the_shop_rounded_over_the_whole_order_is_overridden_where_it_differs() -> None:
    """The example of Xero's own rounding guide: 3.76 + 3.84 + 3.84 there, 11.45 on 76.30 elsewhere."""
    lines = (taxed("25.06", "3.76", "15"), taxed("25.61", "3.84", "15"), taxed("25.63", "3.85", "15"))
    invoice = rendered(with_lines(*lines), tax={"15": "OUTPUT2"})
    assert [line.get("TaxAmount") for line in invoice["LineItems"]] == [None, None, Decimal("3.85")]


def test_differences_that_even_out_are_left_to_xero() -> None:
    lines = (taxed("25.06", "3.75", "15"), taxed("25.61", "3.85", "15"))
    invoice = rendered(with_lines(*lines), tax={"15": "OUTPUT2"})
    assert not any("TaxAmount" in line for line in invoice["LineItems"])


def test_a_total_that_xero_cannot_reach_is_refused_with_the_difference() -> None:
    yen = {"ref": "1", "description": "Tag", "quantity": "1.5", "unit_price": "333", "discount": "0", "tax": None}
    draft = orders.draft("SO-7", [yen], currency="JPY", total="500")
    with pytest.raises(Rejected, match=r"SO-7.*499\.50.*500 JPY \(difference -0\.50\)"):
        rendered(draft)


@pytest.mark.parametrize("part", [{"unit_price": "0.00001"}, {"quantity": "0.33333"}])
def test_more_than_four_decimals_are_refused(part: dict[str, str]) -> None:
    line = {"ref": "9", "description": "Tag", "quantity": "1", "unit_price": "1", "discount": "0", "tax": None, **part}
    total = "0" if "unit_price" in part else "0.33"
    with pytest.raises(Rejected, match=r"line 9 is 0.*four decimals"):
        rendered(orders.draft("SO-8", [line], total=total))


def test_a_missing_tax_type_is_named() -> None:
    with pytest.raises(Rejected, match=r'SO-1016.*0 % tax: set tax\."0"'):
        rendered(orders.ORDERS["a line without tax"](), tax={"20": "OUTPUT2"})


def test_rates_are_compared_as_numbers() -> None:
    (line,) = rendered(with_lines(taxed("10.00", "2.00", "20.00")), tax={"20.0": "OUTPUT2"})["LineItems"]
    assert line["TaxType"] == "OUTPUT2"


@pytest.mark.parametrize("missing", SAMPLES.required_settings)
def test_a_missing_setting_is_named(missing: str) -> None:
    settings = {name: value for name, value in SAMPLES.settings.items() if name != missing}
    with pytest.raises(ValidationError, match=missing):
        words.XeroSettings.model_validate(settings)


def test_settings_choose_accounts_theme_and_whether_to_issue() -> None:
    theme = "0e8c1f4a-3f43-4a53-9d0a-4f1f3e9f7a10"
    draft = orders.ORDERS["the event's example"]()
    invoice = rendered(draft, issue=False, branding_theme=theme, shipping_account=None, sales_account="210")
    assert (invoice["Status"], invoice["BrandingThemeID"]) == ("DRAFT", theme)
    assert {line["AccountCode"] for line in invoice["LineItems"]} == {"210"}


def test_the_whole_business_key_is_read_back() -> None:
    for key in ("shop-1/books/SO-1001/order/invoice/1", "k" * 240):
        draft = orders.simple("SO · 1001", key=key)
        reference = marked(draft, 255, words.TITLE)
        assert len(reference) <= 255
        assert key_in(reference) == key
    assert key_in("Website Design") is None
    assert key_in(None) is None
    with pytest.raises(Rejected, match="key does not fit"):
        marked(orders.simple("SO-1", key="k" * 260), 255, words.TITLE)


def test_a_number_that_is_too_long_is_refused_not_cut() -> None:
    draft = orders.simple("SO-1").model_copy(update={"reference": "x" * 256})
    with pytest.raises(Rejected, match="255"):
        rendered(draft)


# -- bulk ----------------------------------------------------------------------------------------------------------


def test_packed_plans_keep_their_bytes() -> None:
    documents = xero().invoices
    drafts = [PlannedInvoice(draft=orders.simple(number), customer_id=CONTACT) for number in ("SO-1", "SO-2")]
    plans = [documents.plan(draft) for draft in drafts]
    packed = documents.pack(plans)
    assert [invoice["InvoiceNumber"] for invoice in json.loads(packed.body)["Invoices"]] == ["SO-1", "SO-2"]
    assert all(plan[0].body[len('{"Invoices":[') : -2] in packed.body for plan in plans)
    assert packed.query == {"summarizeErrors": "false", "unitdp": "4"}


def test_elements_are_matched_by_number_never_by_place() -> None:
    good = {**SAMPLES.invoice.body["Invoices"][0], "InvoiceNumber": "SO-2"}
    taken: dict[str, Any] = {"InvoiceNumber": "SO-1", "StatusAttributeString": "ERROR"}
    taken["ValidationErrors"] = [{"Message": "Invoice # must be unique."}]
    bad = {**taken, "InvoiceNumber": "SO-3", "ValidationErrors": [{"Message": "Account must be valid."}]}
    drafts = [PlannedInvoice(draft=orders.simple(f"SO-{n}"), customer_id=CONTACT) for n in (1, 2, 3, 4)]
    outcomes = xero().invoices.unpack(answer({"Invoices": [good, bad, taken]}), drafts)
    assert [type(outcome.error) for outcome in outcomes] == [Duplicate, type(None), Rejected, Uncertain]
    assert outcomes[1].document is not None
    assert outcomes[1].document.number == "SO-2"
    assert "Account must be valid." in str(outcomes[2].error)


# -- what is found -------------------------------------------------------------------------------------------------


def raw(status: str = "AUTHORISED", *, key: str | None = "k", **fields: str) -> dict[str, Any]:
    reference = f"Order SO-1 · {key}" if key else "typed in by hand"
    body = SAMPLES.invoice.body["Invoices"][0]
    return {**body, "InvoiceNumber": "SO-1", "Status": status, "Reference": reference, **fields}


def matched(*raws: dict[str, Any]) -> Hit[Any] | ConnectorError | None:
    draft = PlannedInvoice(draft=orders.simple("SO-1", key="k"), customer_id=CONTACT)
    documents = xero().invoices
    assert isinstance(documents, Invoices)
    return documents.match(draft, raws)


def test_bills_deleted_ones_and_other_numbers_are_not_there() -> None:
    assert matched(raw(Type="ACCPAY"), raw("DELETED"), raw(InvoiceNumber="so-1"), raw(InvoiceNumber="SO-10")) is None


def test_ours_comes_before_a_strangers_and_a_live_one_before_a_voided() -> None:
    found = matched(raw("VOIDED"), raw(key="other"), raw("PAID"))
    assert isinstance(found, Hit)
    assert (found.document.key, found.document.status) == ("k", "paid")


def test_a_strangers_and_a_voided_one_are_returned_as_they_are() -> None:
    stranger, voided = matched(raw(key=None)), matched(raw("VOIDED"))
    assert isinstance(stranger, Hit)
    assert isinstance(voided, Hit)
    assert (stranger.document.key, voided.document.status) == (None, "void")


def test_two_live_ones_are_not_a_choice() -> None:
    with pytest.raises(Rejected, match="2 invoices"):
        matched(raw(), raw())


# -- customers -----------------------------------------------------------------------------------------------------


def person(name: str | None = "John Smith", email: str | None = "john@example.com", **fields: Any) -> CustomerDraft:
    return CustomerDraft(key=fields.pop("key", "shop1-c-1"), party=Party(name=name, email=email, **fields))


def test_a_company_is_one_contact_and_people_of_one_name_are_two() -> None:
    assert distinct_name(person(company="Analytical Engines Ltd", ref="C-9")) == "Analytical Engines Ltd"
    assert distinct_name(person(ref="C-9")) == "John Smith (C-9)"
    assert distinct_name(person()) == "John Smith (john@example.com)"
    assert distinct_name(person(name=None)) == "john@example.com"
    nameless = {distinct_name(person(email=None, key=key)) for key in ("order-1", "order-2")}
    assert len(nameless) == 2


def test_a_long_key_becomes_the_same_short_number_for_ever() -> None:
    long = "shop-1/" + "c" * 60
    assert short("shop1-c-42", words.NUMBER) == "shop1-c-42"
    assert len(short(long, words.NUMBER)) == 50
    assert short(long, words.NUMBER) == "shop-1/cccccccccccccccccccccc-" + short(long, words.NUMBER)[-20:]
    assert short(long, words.NUMBER) != short(long + "c", words.NUMBER)


def test_a_contact_has_both_addresses() -> None:
    made = words.contact(orders.customer(orders.simple("SO-1")))
    assert [place["AddressType"] for place in made["Addresses"]] == ["POBOX", "STREET"]
    assert made["Addresses"][0]["AddressLine1"] == "12 Engine Row"
    assert (made["FirstName"], made["LastName"]) == ("Ada", "Lovelace")


def contact(ident: str, **fields: Any) -> dict[str, Any]:
    return {"ContactID": ident, "ContactStatus": "ACTIVE", "Name": "Somebody", **fields}


@pytest.mark.parametrize(
    ("contacts", "expected"),
    [
        ([contact("b", EmailAddress="JOHN@example.com"), contact("a", ContactNumber="shop1-c-1")], "a"),
        ([contact("b", Name="John Smith (c-9)"), contact("a", EmailAddress="JOHN@example.com")], "a"),
        ([contact("b", EmailAddress="john@example.com", ContactStatus="ARCHIVED"), contact("a", Name="x")], None),
        ([contact("b", Name="John Smith (c-9)", EmailAddress="new@example.com")], "b"),
        ([contact("b", Name="John Smith", EmailAddress="another@example.com")], None),
    ],
    ids=[
        "our number first",
        "then the e-mail",
        "never an archived one",
        "then the name Xero would refuse",
        "not a namesake",
    ],
)
def test_which_contact_is_the_customers(contacts: list[dict[str, Any]], expected: str | None) -> None:
    documents = xero().customers
    assert isinstance(documents, Contacts)
    found = documents.match(person(ref="C-9"), contacts)
    assert (found.document.id if isinstance(found, Hit) else found) == expected


def test_two_contacts_with_our_number_are_not_a_choice() -> None:
    documents = xero().customers
    assert isinstance(documents, Contacts)
    pair = [contact("a", ContactNumber="shop1-c-1"), contact("b", ContactNumber="shop1-c-1")]
    with pytest.raises(Rejected, match="2 customers with our key"):
        documents.match(person(), pair)


def test_credentials_are_not_shown() -> None:
    assert "sandbox-client-secret" not in repr(AppCredentials.model_validate(SAMPLES.credentials))
