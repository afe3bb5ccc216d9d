"""After a change of its mapping the first invoices of an account go ahead, and are compared before the flood opens."""

from __future__ import annotations

import pytest

from tasks import canarying
from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale
from worker.canary import standings
from worker.store import canaries

WITH = "canary = 2"


def drafts(tale: Tale) -> int:
    return sum(entry.status == "draft" for entry in tale.sandbox.ledger("xero"))


def calm(tale: Tale) -> None:
    """Turn after turn until nothing more can be done, though something may wait."""
    before = None
    while before != (before := (tale.states(), tale.sandbox.ledger("xero"))):
        for _ in range(4):
            tale.turn()


def hears(tale: Tale, *numbers: int) -> None:
    tale.hears(*(order_event(number) for number in numbers), together=True, settle=False)
    calm(tale)


def sentence(tale: Tale) -> str:
    (one,) = standings(tale.store)
    return one.sentence()


def test_the_first_invoices_are_drafts_and_the_others_follow_once_they_agree(tell: MakeTale) -> None:
    tale = tell(account=WITH)
    hears(tale, 1, 2, 3, 4, 5)
    assert drafts(tale) == 2
    assert len(tale.books) == 3
    assert tale.states() == {"issued": 5}
    assert standings(tale.store) == []


def test_one_at_a_time_they_are_counted(tell: MakeTale) -> None:
    tale = tell(account=WITH)
    hears(tale, 1)
    assert sentence(tale).startswith(
        "engraver/xero: 1 of the first 2 invoices under its mapping have agreed, 0 invoice"
    )
    hears(tale, 2)
    hears(tale, 3)
    assert (drafts(tale), len(tale.books)) == (2, 1)


def test_a_mapping_that_the_platform_refuses_keeps_the_others_back(tell: MakeTale) -> None:
    """One tax code mistyped: two orders tell of it, not ten thousand."""
    tale = tell(account=WITH)
    tale.configure('"20" = "OUTPUT2"', '"20" = "OUTPUT9"')
    hears(tale, 1, 2, 3, 4, 5)
    assert tale.states() == {"held": 2, "pending": 3}
    said = sentence(tale)
    assert "do not agree, 3 invoice(s) wait" in said
    assert "OUTPUT9" in said
    tale.configure('"20" = "OUTPUT9"', '"20" = "OUTPUT2"')
    calm(tale)
    assert tale.states() == {"held": 2, "issued": 3}
    assert (drafts(tale), len(tale.books)) == (2, 1)


def test_what_is_read_back_otherwise_than_it_was_answered_keeps_the_others_back(
    tell: MakeTale, monkeypatch: pytest.MonkeyPatch
) -> None:
    tale = tell(account=WITH)
    monkeypatch.setattr(canarying, "_otherwise", lambda documents, work, shown: "the platform's tax is 1.00")
    hears(tale, 1, 2, 3)
    assert tale.states() == {"mismatch": 2, "pending": 1}
    assert "the platform's tax is 1.00" in sentence(tale)


def test_a_person_may_open_it_or_let_it_go_again(tell: MakeTale, monkeypatch: pytest.MonkeyPatch) -> None:
    tale = tell(account=WITH)
    with monkeypatch.context() as patch:
        patch.setattr(canarying, "_otherwise", lambda documents, work, shown: "a difference")
        hears(tale, 1, 2, 3, 4, 5, 6)
        assert tale.states() == {"mismatch": 2, "pending": 4}
        with tale.store.write() as connection:
            assert canaries.reopen(connection, ("engraver", "xero"), "staff:ada", again=True)
        calm(tale)
        assert tale.states() == {"mismatch": 4, "pending": 2}
    with tale.store.write() as connection:
        assert canaries.reopen(connection, ("engraver", "xero"), "staff:ada", again=False)
    calm(tale)
    assert tale.states() == {"mismatch": 4, "issued": 2}
    assert len(tale.books) == 2
    trail = tale.rows("SELECT action, actor FROM audit WHERE subject = 'canary:engraver/xero' ORDER BY seq")
    assert [tuple(row) for row in trail] == [("again", "staff:ada"), ("open", "staff:ada")]


def test_another_change_of_the_mapping_begins_anew(tell: MakeTale) -> None:
    tale = tell(account=WITH)
    hears(tale, 1, 2, 3)
    assert drafts(tale) == 2
    tale.configure('"sales_account" = "200"', '"sales_account" = "260"')
    hears(tale, 4, 5, 6)
    assert drafts(tale) == 4


def test_where_there_are_no_drafts_the_first_invoices_are_issued_and_compared(tell: MakeTale) -> None:
    tale = tell(platforms=("quickbooks",))
    text = tale.config_file.read_text()
    head = "[shop.engraver.account.quickbooks]\n"
    assert head in text
    tale.configure(head, f"{head}{WITH}\n")
    tale.hears(*(order_event(number) for number in (1, 2, 3)), together=True)
    assert len(tale.books_on("quickbooks")) == 3


def test_other_accounts_of_the_tenant_are_not_kept_back(tell: MakeTale, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another shop with the same organisation."""
    tale = tell(account=WITH, shops=("engraver", "other"))
    monkeypatch.setattr(canarying, "_otherwise", lambda documents, work, shown: "a difference")
    tale.accept(order_event(9), shop="other")
    hears(tale, 1, 2, 3)
    counted = "SELECT shop, state, count(*) FROM jobs WHERE kind = 'invoice' GROUP BY shop, state ORDER BY shop, state"
    assert [tuple(row) for row in tale.rows(counted)] == [
        ("engraver", "mismatch", 2), ("engraver", "pending", 1), ("other", "issued", 1),
    ]  # fmt: skip
