"""Senders that sign nothing and prove themselves by a token that both sides know."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

from connectors.sources.base import SignatureError

IN_ADDRESS = ":token"
"""The header under which the address's `?token=…` stands."""


def check_token(secrets: Sequence[str], presented: Iterable[str | None], where: str) -> None:
    """Returns if one of the presented tokens is one of the secrets, compared in constant time.

    Raises `SignatureError` if none is, none was presented, or there is no secret; `where` says in its words where the
    sender should put it. A token may have "Bearer " before it.
    """
    if not secrets:
        raise SignatureError("this source has no secret configured, so no token can be checked")
    given = [token for text in presented if text and (token := _bare(text))]
    if not given:
        raise SignatureError(f"a token is missing: it is expected in {where}")
    known = [secret.encode("utf-8", "replace") for secret in secrets if secret]
    tried = [token.encode("utf-8", "replace") for token in given]
    if not any(hmac.compare_digest(ours, theirs) for ours in known for theirs in tried):
        raise SignatureError(f"the token in {where} is not a secret configured for this source")


def _bare(text: str) -> str:
    scheme, _, rest = text.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else text.strip()
