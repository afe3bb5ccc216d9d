"""A list that is cut short is no answer: what is on the rest of it must not pass for "not there"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from connectors.errors import Sample, Unavailable
from connectors.http import Answer, dump_json
from tests.contract.running import subjects

SAMPLE = Sample("GET", "https://example.com", "", 200, "", 0.1)


def told(slug: str, pages: Iterator[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The platform, which answers every question with the next of these bodies."""
    platform = subjects()[slug].at("http://127.0.0.1:1")
    answers = (Answer(200, {}, dump_json(page).encode(), SAMPLE) for page in pages)
    monkeypatch.setattr(platform, "ask", lambda *given, **options: next(answers))
    return platform


def freshbooks(page: int) -> Any:
    return {"response": {"result": {"clients": [{}], "pages": page + 2, "page": page + 1}}}


def wave(page: int) -> Any:
    return {"data": {"business": {"customers": {"edges": [], "pageInfo": {"totalPages": page + 2}}}}}


def zoho(page: int) -> Any:
    return {"code": 0, "contacts": [{}], "page_context": {"has_more_page": True}}


ENDLESS: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any]]] = {
    "freshbooks": (freshbooks, lambda platform: platform.pages("/users/clients", "clients", {})),
    "wave": (wave, lambda platform: platform.nodes("query", "customers", {})),
    "zoho_books": (zoho, lambda platform: platform.listed("contacts")),
    "cin7_core": (
        lambda page: {"Total": 10_000_000, "CustomerList": [{}]},
        lambda platform: platform.listed("customer", "CustomerList"),
    ),
}


@pytest.mark.parametrize("slug", ENDLESS)
def test_a_list_without_an_end_is_not_taken_for_whole(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page, listed = ENDLESS[slug]
    with pytest.raises(Unavailable):
        listed(told(slug, map(page, range(20_000)), monkeypatch))


def test_a_full_page_of_zoho_that_names_no_next_one_may_not_be_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [{"code": 0, "contacts": [{}] * 200}, {"code": 0, "contacts": [{}]}]
    assert len(told("zoho_books", iter(pages), monkeypatch).listed("contacts")) == 201


def test_cin7_is_asked_until_its_total_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of entries it puts on a page."""
    pages = [{"Total": 101, "CustomerList": [{}] * 100}, {"Total": 101, "CustomerList": [{}]}]
    assert len(told("cin7_core", iter(pages), monkeypatch).listed("customer", "CustomerList")) == 101
    lost = chain(pages[:1], repeat({"Total": 101, "CustomerList": []}))
    with pytest.raises(Unavailable, match="ended after 100"):
        told("cin7_core", lost, monkeypatch).listed("customer", "CustomerList")


def test_paypal_must_show_all_that_its_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"items": [{"id": "INV2-1", "detail": {}}], "total_items": 2}
    with pytest.raises(Unavailable, match="shows 1 of the 2 invoices"):
        told("paypal", iter([body]), monkeypatch).searched({"invoice_number": "SO-1"})
