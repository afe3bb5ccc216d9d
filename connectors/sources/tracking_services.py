"""What tracking services have in common: they know parcels of every carrier, under names of carriers of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from connectors.sources.asking import Parcel
from connectors.sources.base import display, moment
from connectors.sources.parcels import parcel_number

_EPOCH = datetime.fromtimestamp(0, UTC)


def own_document(
    parcel: Parcel, documents: Iterable[dict[str, Any]], number: str, carrier: str
) -> dict[str, Any] | None:
    """What a service knows of the parcel: the document made last of those with its number in the field `number`.

    Those that name its carrier in the field `carrier` come first: numbers are registered again and again, and carriers
    give them to other parcels after months.
    """
    own = [one for one in documents if parcel_number(one.get(number)) == parcel_number(parcel.tracking_number)]
    same = [one for one in own if parcel.carrier and _plain(one.get(carrier)) == _plain(parcel.carrier)]
    return max(same or own, key=lambda one: moment(one.get("created_at")) or _EPOCH, default=None)


def _plain(name: Any) -> str:
    """ "RoyalMail", "royal-mail" and "Royal Mail" are one carrier."""
    return re.sub(r"[\W_]", "", display(name) or "").casefold()
