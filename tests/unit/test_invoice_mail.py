"""The mail that brings the invoice says all of it, exactly, and nothing that a customer wrote becomes markup."""

from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from connectors.channels.invoice_mail import Rendered, day, money, render
from connectors.model import Line, Party
from tests.unit.mails import draft, vat


def mail(pay_url: str | None = "https://pay.example.com/i/7?a=1&b=2", **changes) -> Rendered:
    return render(draft(**changes), number="INV-7", sender="Engines & Sons", pay_url=pay_url)


def shown(html: str) -> str:
    """The text a reader of the HTML sees."""
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            seen.append(data.strip())

    Reader().feed(html)
    return " ".join(filter(None, seen))


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("111.54", "GBP", "GBP 111.54"),
        ("1234567.5", "EUR", "EUR 1,234,567.50"),
        ("1200", "JPY", "JPY 1,200"),
        ("1.5", "KWD", "KWD 1.500"),
        ("0.0125", "USD", "USD 0.0125"),
        ("45.0000", "GBP", "GBP 45.00"),
        ("-5", "GBP", "GBP -5.00"),
        ("12345678901234.99", "USD", "USD 12,345,678,901,234.99"),
        ("123456789012345678901.0123456789", "USD", "USD 123,456,789,012,345,678,901.0123456789"),
    ],
)
def test_money_is_shown_exactly(amount, currency, text):
    assert money(Decimal(amount), currency) == text


def test_days_cannot_be_misread():
    assert day(date(2026, 3, 4)) == "4 March 2026"


def test_both_parts_say_all_of_it():
    rendered = mail()
    assert rendered.subject == "Invoice INV-7 from Engines & Sons"
    for part in (rendered.text, shown(rendered.html)):
        for fact in (
            "Ada Lovelace", "SO-1001", "INV-7", "22 November 2026", "6 December 2026", "Brass plaque, engraved",
            "engraving: To Ada, 1843", "GBP 45.00", "GBP 90.00", "Courier", "GBP 7.95", "GBP -5.00", "VAT 20%",
            "GBP 18.59", "GBP 111.54", "Engines & Sons",
        ):  # fmt: skip
            assert fact in part, fact
    assert "https://pay.example.com/i/7?a=1&b=2" in rendered.text
    assert 'href="https://pay.example.com/i/7?a=1&amp;b=2"' in rendered.html


@pytest.mark.parametrize("pay_url", [None, "", "javascript:alert(1)", "data:text/html,x"])
def test_without_a_link_that_can_be_followed_there_is_none(pay_url):
    rendered = mail(pay_url)
    assert "pay this invoice" not in rendered.text + rendered.html
    assert "href" not in rendered.html


def test_taxes_are_summed_by_rate_and_named_as_included_where_they_are():
    lines = tuple(
        Line(ref=str(n), description="Tea", quantity=Decimal("0.50"), unit_price=Decimal(10), tax=vat(amount, rate))
        for n, (amount, rate) in enumerate((("0.83", "20"), ("0.24", "5"), ("0.24", "5.0")))
    )
    rendered = mail(
        lines=lines, tax_included=True, discount=None, shipping=None, tax_total=Decimal("1.31"), total=Decimal(15)
    )
    assert "0.5 x GBP 10.00 = GBP 5.00" in rendered.text
    assert "Includes VAT 20%: GBP 0.83\nIncludes VAT 5%: GBP 0.48\n" in rendered.text
    assert rendered.text.index("Total: GBP 15.00") < rendered.text.index("Includes")


def test_what_strangers_wrote_is_text_not_markup():
    evil = "<script>alert('x')</script>"
    line = Line(ref="1", description=evil, quantity=Decimal(1), unit_price=Decimal(1), attributes={evil: evil})
    rendered = mail(lines=(line,), customer=Party(name=evil), order_ref=evil)
    assert "<script" not in rendered.html
    assert evil in shown(rendered.html)
    assert evil in rendered.text  # plain text stays as it was written


def test_line_breaks_in_names_stay_in_their_line():
    rendered = render(
        draft(customer=Party(name="Ada\r\nBcc: eve@example.com")), number="7\n8", sender="E\r\nX", pay_url=None
    )
    assert rendered.subject == "Invoice 7 8 from E X"
    assert "Hello Ada Bcc: eve@example.com,\n" in rendered.text


def test_a_customer_without_a_name_is_greeted_all_the_same():
    assert mail(customer=Party(email="ada@example.com")).text.startswith("Hello,\n")


def test_a_credit_note_says_that_it_is_one_and_asks_for_nothing():
    rendered = render(
        draft(), number="CN-7", sender="Engines & Sons", pay_url="https://pay.example.com/7", purpose="credit"
    )
    assert rendered.subject == "Credit note CN-7 from Engines & Sons"
    for part in (rendered.text, shown(rendered.html)):
        for fact in ("given back of your order SO-1001", "CN-7", "22 November 2026", "Courier", "GBP 111.54"):
            assert fact in part, fact
        assert "Due" not in part
        assert "pay" not in part.casefold()


def test_of_a_void_invoice_the_customer_is_told_that_nothing_is_to_be_paid():
    rendered = render(draft(), number="INV-7", sender="Engines & Sons", pay_url="https://x.example.com", purpose="void")
    assert rendered.subject == "Invoice INV-7 is cancelled: Engines & Sons"
    for part in (rendered.text, shown(rendered.html)):
        assert "invoice INV-7 is cancelled. There is nothing to pay." in part
        assert "Due" not in part
