"""Intuit Developer Platform: the company and the answers are those of QuickBooks Online, the same API."""

from __future__ import annotations

import dataclasses

from tests.contract.samples import quickbooks

SAMPLES = dataclasses.replace(quickbooks.SAMPLES, slug="intuit")
