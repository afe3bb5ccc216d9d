"""What a person decides about work that stands still: dismissed, or looked at again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.model import RemoteInvoice
from connectors.platforms.documents import Documents
from tests.kit.scene import order_event
from tests.stories.commands import LATER, at, dismiss, said, unsendable
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, parcel, placed
from tests.stories.test_refunds import notes_of, refunded, states
from worker import runtime
from worker.store import views
from worker.store.documents import store_sighting
from worker.store.jobs import Job, hold_all, now
from worker.store.verify import verify


def unlike(_: Any, __: Any, document: Any) -> str | None:
    """In the place of the comparison: no invoice agrees."""
    return "+0.02 GBP" if isinstance(document, RemoteInvoice) else None


def held() -> int:
    """How many rows `billhook status` counts as such."""
    return sum(row["count"] for row in views.status(runtime.store())["held"])


# -- dismissed ---------------------------------------------------------------------------------------------------------


def test_what_was_dealt_with_elsewhere_counts_as_held_no_more(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    assert held() == 1
    assert "1 dismissed" in dismiss("SO-1")
    assert held() == 0
    assert "Nothing is held." in said("status", "--held")
    ((invoice, _, state, reason, _),) = tale.invoice("SO-1")
    assert (state, reason) == ("dismissed", "dismissed by Grace: invoiced by hand")
    ((actor, detail),) = tale.rows("SELECT actor, detail FROM audit WHERE action = 'dismiss'")
    assert (actor, json.loads(detail)) == (
        "staff:Grace", {"who": "Grace", "why": "invoiced by hand", "was": "held"},
    )  # fmt: skip
    assert tale.books == {}, "and the trail holds"
    assert tale.story(f"invoice:{invoice}")[-1] == ("dismiss", "dismissed")


def test_dismissed_twice_is_once(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    dismiss("SO-1")
    assert "Nothing of 'SO-1' is held" in dismiss("SO-1", code=1)
    assert len(tale.rows("SELECT id FROM audit WHERE action = 'dismiss'")) == 1


def test_who_does_not_say_yes_dismisses_nothing(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    shown = said("dismiss", "SO-1", "--why", "by hand", code=1, typed="n\n")
    assert "Dismiss 1 row(s)?" in shown
    assert states(tale, "invoice") == ["held"]


def test_a_dismissed_invoice_comes_back_only_when_it_is_named_so(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    dismiss("SO-1")
    assert "0 put back" in said("retry", "SO-1", code=1)
    assert "0 put back" in said("retry", "--held")
    said("retry", "--held", "--dismissed", code=2)
    assert "SO-1: invoice is tried again" in said("retry", "SO-1", "--dismissed")
    tale.settle()
    assert states(tale, "invoice") == ["held"]
    assert verify(tale.store).ok


def test_an_invoice_that_may_be_there_is_dismissed_only_by_who_says_so(tell: MakeTale) -> None:
    tale = tell()
    lines = [{**order_event(1)["order"]["lines"][0], "tax": {"name": "VAT", "rate": "17", "amount": "15.30"}}]
    tale.hears(order_event(1, lines=lines, total="108.84"))
    assert states(tale, "invoice") == ["held"], "the platform has refused it"
    refused = dismiss("SO-1", code=1)
    assert "May exist on the platform" in refused
    assert "invoice of SO-1" in refused
    assert "--even-if-sent" in refused
    assert states(tale, "invoice") == ["held"]
    dismiss("SO-1", "--even-if-sent")
    assert states(tale, "invoice") == ["dismissed"]
    assert "is looked up" in said("retry", "SO-1", "--dismissed")


def test_an_event_that_waits_for_an_order_nobody_tells_is_dismissed_by_its_id(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(parcel("delivered", "lost", number="1Z1"), parcel("delivered", "kept", number="1Z2"))
    assert tale.states_of_events == ["waiting", "waiting"]
    assert "0 dismissed" not in dismiss("evt-lost")
    assert tale.states_of_events == ["dismissed", "waiting"]
    parcels = [{"ref": "P1", "tracking_number": "1Z1", "carrier": "ups"}]
    tale.hears(placed(1, shipments=parcels))
    assert tale.states_of_events == ["dismissed", "waiting", "done"], "nothing wakes it"


def test_everything_held_does_not_mean_what_waits_or_differs(tell: MakeTale, monkeypatch: pytest.MonkeyPatch) -> None:
    tale = tell()
    with monkeypatch.context() as patch:
        patch.setattr(Documents, "differs", unlike)
        tale.hears(order_event(1), parcel("delivered", "lost", number="1Z1"))
    assert "nothing was dismissed" in dismiss("--held")
    assert states(tale, "invoice", "event") == ["done", "mismatch", "waiting"]
    dismiss("--held", "--account", "engraver/xero", "--even-if-sent")
    assert states(tale, "invoice", "event") == ["dismissed", "done", "waiting"]


def held_customer(tale: Tale) -> None:
    """Two orders of one customer whom the platform refuses."""
    tale.hears(order_event(1, customer=7), order_event(2, customer=7), settle=False)
    with tale.store.write() as connection:
        ((tenant,),) = tale.rows("SELECT tenant FROM jobs WHERE kind = 'customer'")
        hold_all(connection, "invoices.xero", tenant, "its name is too long for the platform")


def test_a_customer_whose_invoices_wait_is_not_dismissed(tell: MakeTale) -> None:
    tale = tell()
    held_customer(tale)
    for words in (("SO-1",), ("--held", "--kind", "customer")):
        refused = dismiss(*words, code=1)
        assert "SO-2 on xero" in refused
        assert ("SO-1 on xero" in refused) == (words != ("SO-1",))
    assert states(tale, "invoice", "customer") == ["held", "pending", "pending"]


def test_with_all_its_orders_the_customer_goes_and_comes_back_when_it_is_needed_again(tell: MakeTale) -> None:
    tale = tell()
    held_customer(tale)
    assert "3 dismissed" in dismiss("SO-1", "SO-2")
    assert states(tale, "invoice", "customer") == ["dismissed"] * 3
    tale.hears(order_event(3, customer=7))
    assert tale.books == {"SO-3": "111.54"}
    assert states(tale, "invoice", "customer") == ["dismissed", "dismissed", "done", "issued"]


def test_a_dismissed_order_that_waited_for_its_customer_comes_back_with_it(tell: MakeTale) -> None:
    tale = tell()
    held_customer(tale)
    dismiss("SO-1", "SO-2")
    said("retry", "SO-1", "--dismissed", "--kind", "invoice")
    tale.settle()
    assert tale.books == {"SO-1": "111.54"}
    assert states(tale, "invoice", "customer") == ["dismissed", "done", "issued"]


def test_what_is_given_back_of_a_dismissed_order_is_told_to_a_person(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    dismiss("SO-1")
    tale.hears(refunded("12.00"), at(LATER, unsendable(1) | {"type": "order.cancelled"}, "cancelled"))
    assert tale.states_of_events == ["done", "held", "held"]
    assert "(xero: dismissed): credit or void it there" in (tale.events[1][2] or "")
    assert notes_of(tale) == {}


def test_a_credit_note_that_waits_for_a_dismissed_invoice_goes_with_it(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(unsendable(1))
    tale.hears(refunded("12.00"), settle=False)
    assert states(tale, "invoice", "credit") == ["held", "pending"]
    dismiss("SO-1")
    assert states(tale, "invoice", "credit") == ["dismissed", "dismissed"]


# -- put right on the platform -----------------------------------------------------------------------------------------


def posted(tale: Tale) -> int:
    """How often an invoice was sent to Xero."""
    return sum("/Invoices" in call["target"] and call["method"] != "GET" for call in tale.sandbox.calls("xero"))


def test_a_mismatch_that_was_put_right_is_compared_again_and_issued(
    tell: MakeTale, monkeypatch: pytest.MonkeyPatch
) -> None:
    tale = tell()
    with monkeypatch.context() as patch:
        patch.setattr(Documents, "differs", unlike)
        tale.hears(order_event(1))
        assert states(tale, "invoice") == ["mismatch"]
        assert "0 put back" in said("retry", "--held"), "only who names it"
        assert "SO-1: invoice is looked up" in said("retry", "SO-1")
        tale.settle()
        assert states(tale, "invoice") == ["mismatch"], "it is still not right"
    said("retry", "--held", "--account", "engraver/xero")
    tale.settle()
    assert states(tale, "invoice") == ["issued"]
    assert posted(tale) == 1, "it was looked at, not sent again"
    assert tale.books == {"SO-1": "111.54"}


def doubled(tale: Tale) -> str:
    """Somebody else saw another document for the invoice. Returns its id."""
    ((job_id,),) = tale.rows("SELECT id FROM jobs WHERE kind = 'invoice'")
    ((order_id,),) = tale.rows("SELECT id FROM orders")
    job = Job(job_id, "invoice", "t", "engraver", "xero", order_id, "SO-1", "issued", False, 1, 0, now())
    with tale.store.write() as connection:
        store_sighting(connection, job, "an-id-of-another-document", "worker-that-was-late")
    return str(job_id)


def test_of_two_documents_one_was_voided_and_the_other_is_the_invoice(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1))
    job_id = doubled(tale)
    assert states(tale, "invoice") == ["doubled"]
    assert "0 put back" in said("retry", "--held")
    said("retry", "SO-1")
    tale.settle()
    assert states(tale, "invoice") == ["issued"]
    story = [action for action, _ in tale.story(f"invoice:{job_id}")]
    assert story[-5:] == ["sighting", "doubled", "put_back", "claim", "found"]
    assert posted(tale) == 1
    assert verify(tale.store).ok
