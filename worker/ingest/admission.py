"""Who may send and ask: API keys, signatures, and the configured sources, looked up once at the start.

A caller of `/events` is known by its API key (`Authorization: Bearer …`), which names the shop by itself, or by a
Standard Webhooks signature. A signature does not say whose it is: where more than one shop has a `webhook_secret`,
the header `X-Billhook-Shop` or `?shop=` must name the shop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from connectors.sources.base import Source, source
from worker.config import Config, ConfigError
from worker.ingest.answers import Refusal

Headers = Mapping[str, str]
"""Lower-case names."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A configured source of a shop; `kind` is what can read its bodies later."""

    shop: str
    name: str
    kind: str
    source: Source


class Admission:
    """What the configuration says about callers. Raises `ConfigError` for a secret that cannot be used."""

    def __init__(self, config: Config) -> None:
        # Looked up by hash, so that how long a comparison takes says nothing about a key.
        self._keys: dict[bytes, str] = {}
        self._signed: dict[str, Sender] = {}
        self._sources: dict[tuple[str, str], Sender] = {}
        for name, shop in config.shop.items():
            for key in (shop.api_key, *shop.old_api_keys):
                self._keys[_hashed(key.get_secret_value().encode())] = name
            if shop.webhook_secret is not None:
                place = f"shop.{name}.webhook_secret"
                secrets = [shop.webhook_secret.get_secret_value()]
                self._signed[name] = _sender(place, name, "api", "standard", secrets, {})
            for label, entry in shop.source.items():
                place = f"shop.{name}.source.{label}"
                self._sources[name, label] = _sender(place, name, label, entry.kind, entry.all_secrets, entry.options)

    def shop_of_key(self, authorization: bytes) -> str:
        """The shop whose key this `Authorization` header carries. Raises `Refusal` (401)."""
        scheme, _, key = authorization.partition(b" ")
        shop = self._keys.get(_hashed(key.strip()))
        if scheme.lower() != b"bearer" or shop is None:
            raise Refusal(401, "unauthorized", "The API key is not valid. Send it as “Authorization: Bearer <key>”.")
        return shop

    def signed_sender(self, headers: Headers, query: bytes) -> Sender:
        """The shop that says it signed this; its signature is yet to be verified. Raises `Refusal` (401)."""
        if "webhook-signature" not in headers and "svix-signature" not in headers:
            message = "Send the shop's API key as “Authorization: Bearer <key>”, or sign the request."
            raise Refusal(401, "unauthorized", message)
        named = headers.get("x-billhook-shop") or parse_qs(query.decode("latin-1")).get("shop", [""])[0]
        if not named and len(self._signed) == 1:
            return next(iter(self._signed.values()))
        if not named:
            message = "Say which shop has signed the request: send its name as X-Billhook-Shop or as ?shop=."
            raise Refusal(401, "unauthorized", message)
        if named not in self._signed:
            raise wrong_signature("it was not made with the secret of the shop that was named")
        return self._signed[named]

    def sender(self, shop: str, name: str) -> Sender:
        """The source that posts to `/in/{shop}/{name}`. Raises `Refusal` (404) that does not tell which is unknown."""
        found = self._sources.get((shop, name))
        if found is None:
            raise Refusal(404, "not_found", "There is no such address. It is /in/<shop>/<source>, as configured.")
        return found


def wrong_signature(why: str) -> Refusal:
    return Refusal(401, "wrong_signature", f"The signature cannot be verified: {why}.")


def _hashed(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _sender(place: str, shop: str, name: str, kind: str, secrets: list[str], options: Mapping[str, object]) -> Sender:
    try:
        return Sender(shop, name, kind, source(kind)(secrets, options))
    except (LookupError, ValueError) as error:
        first = str(error.args[0]) if error.args else "its secret or one of its options cannot be used"
        raise ConfigError([(place, first)]) from None
