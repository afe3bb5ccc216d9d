"""QuickBooks Online, emulated: the company of `qbo_emulator`, one order one invoice."""

from __future__ import annotations

from connectors.sandbox.qbo_emulator import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    DISCOVERY,
    REALM,
    REFRESH_TOKEN,
    TOKENS,
    Company,
    account_lines,
)

__all__ = [
    "ACCESS_TOKEN",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DISCOVERY",
    "REALM",
    "REFRESH_TOKEN",
    "TOKENS",
    "QuickBooks",
]


class QuickBooks(Company):
    """The company, as the platform that makes an order an invoice sees it."""

    slug = "quickbooks"
    sample = account_lines(slug)
