"""QuickBooks Online: one order, one invoice of its customer. What the API is like, and its traps: `qbo_company`."""

from __future__ import annotations

from connectors.platforms.qbo_company import Company, facts


class QuickBooks(Company):
    """One company in QuickBooks Online."""

    facts = facts("quickbooks", "QuickBooks Online", "invoice")
