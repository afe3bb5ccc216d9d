"""From the configuration to a platform that speaks for an account."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from connectors.auth import Auth, Grant, StaticHeaders
from connectors.http import Http
from connectors.platforms.base import Platform
from worker import limits, runtime
from worker.config_sections import AccountRef
from worker.credentials import TenantTokens
from worker.metrics import MeasuredHttp


@runtime.with_config
def accounts() -> dict[tuple[str, str], AccountRef]:
    """Every account, by shop and name."""
    return {(ref.shop, ref.name): ref for ref in runtime.config().accounts()}


@runtime.with_config
def platform_of(shop: str, name: str, drafts: bool = False) -> Platform:
    """The platform that speaks for this account; one for all threads of the process. `drafts`: it leaves drafts,
    where there are any."""
    ref = accounts()[shop, name]
    settings = ref.settings
    if drafts and "draft" in ref.facts.can:
        settings = ref.platform.Settings.model_validate({**ref.account.settings, "issue": False})
    kind: type[Platform] = ref.platform
    deadline = runtime.config().billhook.timing.deadline or ref.facts.deadline
    http = MeasuredHttp(kind.facts.slug, deadline, _secrets(ref.credentials), ref.account.ca_file)
    return kind(settings, _auth(ref, kind, http), http, ref.account.base_url, limits.call, ref.account.bulk)


def _auth(ref: AccountRef, kind: type[Platform], http: Http) -> Auth:
    headers = kind.static_headers(ref.credentials)
    if headers is not None:
        return StaticHeaders(headers)
    return TenantTokens(ref.tenant, kind, grant_of(ref), ref.credentials, http)


def grant_of(ref: AccountRef) -> Grant:
    """Who gives the account's tokens; of an account pointed elsewhere, the same path there."""
    grant = ref.platform.grant(ref.settings, ref.credentials)
    if grant is None:
        raise LookupError(f"{ref.platform.facts.title} declares neither static headers nor a grant")
    return grant if ref.account.base_url is None else grant.at(ref.account.base_url)


def _secrets(credentials: Any) -> list[str]:
    values = [getattr(credentials, name) for name in type(credentials).model_fields]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
