"""The sections of `billhook.toml` below `[billhook]` that are about the machinery itself, not about a shop."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
