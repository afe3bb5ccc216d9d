"""Ids of our own: UUIDv7, so that they sort by time of birth."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A new opaque id."""
    return str(uuid_utils.uuid7())
