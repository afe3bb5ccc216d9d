"""What is stored beside a body, whether it was pushed to us or found by asking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is stored beside the body of a delivery; all that `normalise` gets to know."""

    id: str
    """Unique for ever within shop and source; a second delivery with it is a duplicate. At most 200 characters."""
    type: str
    """The source's own topic ("orders/fulfilled") or, from our own senders, the `EventType`; "" if it did not say."""
    occurred_at: datetime | None = None
    """When the order got the state that the body shows, with time zone; None if the body does not say."""
    order_ref: str | None = None
    """The order it is about, as the reader knows it; for display only."""
