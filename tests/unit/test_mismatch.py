"""The policy for invoices that do not agree with their order: what is voided, and what is never touched."""

from types import SimpleNamespace
from typing import Any

import pytest

from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import Outcome
from tasks.voiding import voided


@pytest.mark.parametrize(("key", "calls"), [("ours", ["invoice-1"]), ("another's", []), (None, [])])
def test_only_a_document_with_our_key_is_ever_voided(key: str | None, calls: list[str]) -> None:
    document = RemoteInvoice(id="invoice-1", status="issued", currency="GBP", total="1.01", key=key)
    asked: list[str] = []

    def void(remote_id: str, _: str) -> RemoteInvoice:
        asked.append(remote_id)
        return document.model_copy(update={"status": Status.VOID})

    documents: Any = SimpleNamespace(platform=SimpleNamespace(void=void))
    work: Any = SimpleNamespace(
        draft=SimpleNamespace(key="ours"), step_key=lambda step: step, job=SimpleNamespace(kind="invoice")
    )
    outcome = voided(documents, work, Outcome(document, difference="+0.01 GBP"))
    assert asked == calls
    assert outcome.document is not None
    assert (outcome.document.status is Status.VOID) == bool(calls)
    assert outcome.voided == bool(calls)
