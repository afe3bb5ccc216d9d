"""Why an event makes nothing due: for good, for now, or until a person has decided."""

from __future__ import annotations


class Held(Exception):
    """A person must decide; the sentence says why."""


class Nothing(Exception):
    """Nothing is due; the words say why, for the trail."""


class Waits(Exception):
    """Nothing is due before something else has happened; the sentence says what."""
