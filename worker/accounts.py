"""From the configuration to a platform that speaks for an account."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from connectors.auth import Auth, OAuth2, StaticHeaders
from connectors.http import Http
from connectors.platforms.base import Platform
from worker import limits, runtime
from worker.config import AccountRef
from worker.credentials import TenantTokens
from worker.metrics import MeasuredHttp


@cache
def accounts() -> dict[tuple[str, str], AccountRef]:
    """Every account, by shop and name."""
    return {(ref.shop, ref.name): ref for ref in runtime.config().accounts()}


@cache
def platform_of(shop: str, name: str) -> Platform:
    """The platform that speaks for this account; one for all threads of the process."""
    ref = accounts()[shop, name]
    kind: type[Platform] = ref.platform
    deadline = runtime.config().billhook.timing.deadline or kind.facts.deadline
    http = MeasuredHttp(kind.facts.slug, deadline, _secrets(ref.credentials))
    return kind(ref.settings, _auth(ref, kind, http), http, ref.account.base_url, limits.call, ref.account.bulk)


def _auth(ref: AccountRef, kind: type[Platform], http: Http) -> Auth:
    headers = kind.static_headers(ref.credentials)
    if headers is not None:
        return StaticHeaders(headers)
    if kind.facts.oauth is None:
        raise LookupError(f"{kind.facts.title} declares neither static headers nor OAuth 2")
    return TenantTokens(ref.tenant, _endpoint(kind.facts.oauth, ref.account.base_url), ref.credentials, http)


def _endpoint(oauth: OAuth2, base_url: str | None) -> OAuth2:
    """The token endpoint; of an account pointed elsewhere, the same path there."""
    if base_url is None:
        return oauth
    return dataclasses.replace(oauth, token_url=base_url.rstrip("/") + urlsplit(oauth.token_url).path)


def _secrets(credentials: Any) -> list[str]:
    values = [getattr(credentials, name) for name in type(credentials).model_fields]
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
