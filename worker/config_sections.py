"""Sections of `billhook.toml`: an account, and those below `[billhook]` that are about the machinery itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(BaseModel):
    """An account on a platform. Fields beyond these are its credentials."""

    model_config = ConfigDict(frozen=True, extra="allow")

    platform: str
    settings: dict[str, Any] = Field(default_factory=dict)
    issue: bool = True
    base_url: str | None = None
    ca_file: Path | None = None
    """PEM file of the authority that the server's certificate is signed by, where that is no public one: a merchant's
    own server. A relative path begins where the configuration file lies."""
    quiet_seconds: float | None = None
    """Shortens the quiet period; only where `base_url` is a sandbox on this machine."""
    find_first: bool = False
    """Look on the platform before the very first create too."""
    mode: Literal["live", "shadow"] = "live"
    """shadow: new orders are rendered and kept for comparison, and nothing is sent."""
    customer: str | None = Field(default=None, min_length=1)
    """The id there of one customer for all orders; None: each order's own."""
    mismatch: Literal["keep", "void"] = "keep"
    """What becomes of an invoice that does not agree with its order, where the platform made it final at once."""
    refund: Literal["credit", "void", "hold"] = "credit"
    """How a refund is given back: by a credit note, where the platform has them, else a whole unpaid invoice is voided;
    void: the other way round; hold: by a person."""
    canary: int = Field(default=0, ge=0, le=100)
    """So many invoices go ahead after each change of the account's mapping, as drafts where the platform has them, and
    are read back and compared; the others follow once all of them agree."""
    bulk: int | None = Field(default=None, ge=1)
    """At most so many documents in one call, where that is fewer than the platform takes."""
    limits: bool = True
    """False: the platform's quotas are not heeded, to measure speed; only where `base_url` is on this machine."""

    @property
    def credentials(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Brake(Section):
    """Bounds of a shop, beyond which nothing is invoiced until a person has looked."""

    invoices_an_hour: int | None = Field(default=None, ge=1)
    """Of the clock's hours."""
    amount: Decimal | None = Field(default=None, gt=0)
    """Of one invoice, in its currency's major units, whatever the currency is."""


class Flower(Section):
    user: str = "ops"
    password: SecretStr | None = None
    """Flower does not start without one."""
    port: int = 5555


class Logs(Section):
    format: Literal["auto", "json", "text"] = "auto"
    """auto: text in a terminal and in the log files of `billhook up`, else JSON."""
    level: Literal["debug", "info", "warning", "error"] = "info"


class Metrics(Section):
    token: SecretStr | None = None
    """The operator's, for `/metrics`; without it ingest shows no metrics."""
    worker_host: str = "127.0.0.1"
    worker_port: int = Field(default=0, ge=0, le=65535)
    """Where a worker shows its metrics; the next free port where that one is taken. 0: nowhere."""


class Timing(Section):
    """Clocks of the machinery, in seconds."""

    deadline: float | None = Field(default=None, gt=0)
    """Wall clock for one call; None: the platform's own."""
    lease_margin: float = Field(default=30.0, gt=0)
    """A lease is deadline + margin."""
    dispatch_every: float = Field(default=2.0, gt=0)
    seal_every: float = Field(default=5.0, gt=0)
    linger: float = Field(default=0.5, ge=0)
    """How long rows gather for a bulk call."""
    attempts: int = Field(default=12, ge=1)
    give_up_after: float = Field(default=86_400.0, gt=0)


UNLIMITED = 1_000
"""Calls in flight at once where an account has no limits."""


@dataclass(frozen=True)
class AccountRef:
    """An account with its place: `shop/name`."""

    shop: str
    name: str
    account: Account

    def __str__(self) -> str:
        return f"{self.shop}/{self.name}"

    @cached_property
    def platform(self) -> Any:
        from connectors.platforms.base import platform

        return platform(self.account.platform)

    @cached_property
    def facts(self) -> Any:
        """The platform's `Facts`, as far as this account heeds them."""
        facts = self.platform.facts_of(self.settings)
        return facts if self.account.limits else replace(facts, quotas=(), concurrent=UNLIMITED)

    @cached_property
    def bulk(self) -> int:
        """Invoices in one call."""
        return min(self.facts.bulk, self.account.bulk or self.facts.bulk)

    @cached_property
    def settings(self) -> Any:
        return self.platform.Settings.model_validate({**self.account.settings, "issue": self.account.issue})

    @cached_property
    def credentials(self) -> Any:
        return self.platform.Credentials.model_validate(self.account.credentials)

    @cached_property
    def tenant(self) -> str:
        """What quota, tokens and turn belong to; opens with the platform's slug."""
        return f"{self.account.platform}:{self.platform.tenant(self.settings, self.credentials)}"
