"""Accounts that want a canary: what of their configuration decides about invoices, by its fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from worker import runtime
from worker.accounts import accounts
from worker.config_sections import AccountRef
from worker.store import canaries
from worker.store.canaries import Account
from worker.store.engine import Store


@runtime.with_config
def wanting() -> dict[str, dict[Account, tuple[str, int]]]:
    """By tenant, the live accounts that want a canary, with the fingerprint of their mapping and how many invoices."""
    found: dict[str, dict[Account, tuple[str, int]]] = {}
    for account, ref in accounts().items():
        if ref.account.canary and ref.account.mode == "live":
            found.setdefault(ref.tenant, {})[account] = (fingerprint(ref), ref.account.canary)
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account's canary stands."""

    account: str
    """`shop/name`."""
    passed: int
    wanted: int
    waiting: int
    """Invoices that wait."""
    failed: str | None

    def sentence(self) -> str:
        """For the reader of `billhook status`."""
        then = f"{self.waiting} invoice(s) wait"
        if self.failed:
            return (
                f"{self.account}: the first invoices under its mapping do not agree, {then}: {self.failed}. Put the"
                f" mapping right (then it begins anew), or `billhook canary {self.account}` --again or --open."
            )
        return (
            f"{self.account}: {self.passed} of the first {self.wanted} invoices under its mapping have agreed, {then}."
        )


def standings(store: Store) -> list[Standing]:
    """Of each account whose other invoices wait for the first ones."""
    found = []
    with store.read() as connection:
        for accounts_of in wanting().values():
            known = canaries.load(connection, accounts_of)
            for account, (mapping, wanted) in accounts_of.items():
                one = known.get(account)
                current = one is not None and one.mapping == mapping
                if one is not None and current and one.open(wanted):
                    continue
                passed, failed = (one.passed, one.failed) if one is not None and current else (0, None)
                waiting = canaries.waiting(connection, account)
                found.append(Standing("/".join(account), passed, wanted, waiting, failed))
    return found


def fingerprint(ref: AccountRef) -> str:
    """Of whatever decides how an invoice is written, and where it goes; not of credentials, which may be renewed."""
    one = ref.account
    said = [one.platform, one.base_url, one.issue, one.customer, ref.settings.model_dump(mode="json"), ref.tenant]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]
