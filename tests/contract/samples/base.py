"""What a platform brings to the contract suite: data, no tests. One file a platform, exporting `SAMPLES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.errors import ConnectorError


@dataclass(frozen=True)
class Recorded:
    """An answer of the real platform, from its documentation or a published recording; `source` says which."""

    source: str
    status: int
    body: Any
    """JSON value, or text."""


@dataclass(frozen=True)
class Samples:
    """Sample data of one platform. `settings` and `credentials` are valid on a fresh emulator of it."""

    slug: str
    settings: Mapping[str, Any]
    credentials: Mapping[str, Any]
    token: str | None
    """An access token that a fresh emulator accepts (platforms with OAuth 2); None for API keys."""
    required_settings: tuple[str, ...]
    """Settings without which configuration must fail, naming them."""
    invoice: Recorded
    """The platform's own answer that shows an issued invoice; `invoice_expected` is what it must be read as."""
    invoice_expected: Mapping[str, Any]
    """Fields of `RemoteInvoice`, as text."""
    refusals: tuple[tuple[Recorded, type[ConnectorError]], ...]
    """Error answers to an unsafe call, and the error each means."""
    unknown_tax: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """From valid settings, settings that pass validation but which the platform refuses for tax 20 % (unknown code)."""
    void_by_hand: Callable[[Any, str], None] | None = field(repr=False)
    """(emulator, remote invoice id): as if a person voided it in the platform's own screens. None where nobody can."""
    steal_number: Callable[[Any, str], None] = field(repr=False)
    """(emulator, reference): makes a document of somebody else's that carries this reference but not our key."""
    pay_by_hand: Callable[[Any, str], None] | None = field(default=None, repr=False)
    """(emulator, remote invoice id): somebody pays all that is due. Only where a credit note says how much of it is set
    off, which the platform compares with what is due: elsewhere an invoice is taken for paid."""
    asks_before_mail: bool = False
    """Before it has an invoice mailed it must ask to whom."""
