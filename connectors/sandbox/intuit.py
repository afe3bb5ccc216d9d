"""Intuit Developer Platform, emulated: the company of `qbo_emulator`, whose jobs are sub-customers (`qbo_books`)."""

from __future__ import annotations

from connectors.sandbox.qbo_emulator import Company, account_lines


class Intuit(Company):
    """The company, as the platform that makes an order a job sees it."""

    slug = "intuit"
    sample = account_lines(slug)
