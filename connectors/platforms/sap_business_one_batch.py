"""The batch of the Service Layer: change sets on their way there, and what came of each (OData V4, section 11.7).

A change set is atomic, several in one batch are independent. The boundary of the Content-Type must not be quoted, each
write needs a Content-ID that is unique within the batch, and lines end in CRLF. No JSON text holds a line break, so no
content can be taken for a boundary. The answers come in the order of the requests; one that failed as a whole is a
single response, no matter how many requests it had.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

BATCH, CHANGES = "batch_billhook", "changeset_billhook"
HEADERS = {"Content-Type": f"multipart/mixed;boundary={BATCH}"}
_END = f"--{BATCH}--\r\n"


@dataclass(frozen=True)
class Part:
    """One answer of a batch: of a request, or of a change set that failed."""

    status: int
    body: Any
    """Its JSON, None where it has none."""


def change_set(posts: Sequence[tuple[str, str]]) -> str:
    """A batch of one change set, of POSTs as path and JSON."""
    lines = [f"--{BATCH}", f"Content-Type: multipart/mixed;boundary={CHANGES}", ""]
    for number, (path, body) in enumerate(posts, 1):
        lines += [f"--{CHANGES}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [f"Content-ID: {number}", "", f"POST {path} HTTP/1.1", "Content-Type: application/json", "", body]
    return "\r\n".join([*lines, f"--{CHANGES}--", ""]) + _END


def joined(batches: Sequence[str]) -> str:
    """Several batches as one; their Content-IDs are counted through."""
    sets, count = [], 0
    for batch in batches:
        head, *posts = batch.removesuffix(_END).split("\r\nContent-ID: ")
        numbered = [f"\r\nContent-ID: {count + at}{post[post.index(chr(13)) :]}" for at, post in enumerate(posts, 1)]
        count += len(posts)
        sets.append(head + "".join(numbered))
    return "".join(sets) + _END


def parts(body: str) -> list[list[Part]]:
    """For each change set of a batch its answers. Raises `ValueError` where the batch is not whole."""
    return [_set(piece) for piece in _pieces(body.lstrip())]


def _set(piece: str) -> list[Part]:
    head, _, rest = piece.partition("\r\n\r\n")
    if "multipart/mixed" in head:
        return [_response(inner.partition("\r\n\r\n")[2]) for inner in _pieces(rest.lstrip())]
    return [_response(rest)]


def _pieces(text: str) -> list[str]:
    """What stands between the boundaries; the first line is one."""
    boundary = text.partition("\r\n")[0].rstrip()
    if not boundary.startswith("--") or boundary.endswith("--") or f"\r\n{boundary}--" not in text:
        raise ValueError("the batch is not whole")
    whole = text.partition(f"{boundary}--")[0]
    return [piece.removeprefix("\r\n") for piece in whole.split(f"{boundary}\r\n")[1:]]


def _response(text: str) -> Part:
    head, _, body = text.partition("\r\n\r\n")
    status = int(head.split()[1])
    return Part(status, json.loads(body, parse_float=Decimal) if body.strip() else None)
