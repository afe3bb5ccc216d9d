"""The platform's own PDF of an invoice: asked for through the API, or taken from an address that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urljoin

from connectors.errors import Unavailable
from connectors.http import Answer, Http
from connectors.platforms.facts import Facts


class Papers:
    """What a `Platform` can do to get hold of a PDF."""

    facts: Facts
    http: Http
    ask: Callable[..., Answer]

    def asked_pdf(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The PDF that a read of this path gives; it is asked for by `Accept`, unless `headers` are given. Raises the
        errors of a read, `Unavailable` for what is none."""
        answer = self.ask(path, query, {"Accept": "application/pdf"} if headers is None else headers)
        if not answer.body.startswith(b"%PDF"):
            raise Unavailable(
                f"{self.facts.title}: the answer is not a PDF", status=answer.status, sample=answer.sample
            )
        return answer.body

    def linked_pdf(self, url: str) -> bytes:
        """The PDF at an address outside the API that is its own secret: our credentials are not sent there. Raises the
        errors of a read, `Unavailable` for what is none."""
        for _ in range(4):
            answer = self.http.send("GET", url, unsafe=False)
            if answer.status not in {301, 302, 303, 307, 308}:
                break
            url = urljoin(url, answer.headers["Location"])
        if answer.status != 200 or not answer.body.startswith(b"%PDF"):
            raise Unavailable(f"{self.facts.title} gave no PDF", status=answer.status, sample=answer.sample)
        return answer.body
