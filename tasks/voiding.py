"""The policy `mismatch = "void"`: an invoice that does not agree with its order is voided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import Documents, Outcome
from worker.store.documents import Work


def voided(documents: Documents[Any, Any], work: Work, outcome: Outcome[Any]) -> Outcome[Any]:
    """The outcome, after an invoice that is final and does not agree with its order was voided; a draft is left for a
    person, and what does not carry our key is not ours to void. Voiding twice is voiding once: killed after the call,
    the row is uncertain, and what the look-up then finds is a voided one."""
    document = outcome.document
    if work.job.kind == "credit":  # a person looks at a credit note that does not agree
        return outcome
    if not isinstance(document, RemoteInvoice) or document.status is not Status.ISSUED:
        return outcome
    if not outcome.difference or outcome.error is not None or document.key != work.draft.key:
        return outcome
    try:
        document = documents.platform.void(document.id, work.step_key("void"))
    except Exception as error:
        return replace(outcome, difference=f"{outcome.difference}; it could not be voided ({error})")
    said = "it was voided, as the account's `mismatch` wants it"
    return replace(outcome, document=document, difference=f"{outcome.difference}; {said}", voided=True)
