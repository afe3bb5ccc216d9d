"""An Odoo server as one of its users reaches it: the session, what an answer means, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from connectors.errors import Unauthorized
from connectors.http import Answer
from connectors.platforms import odoo_protocols as protocols
from connectors.platforms import odoo_words as words
from connectors.platforms.base import Platform
from connectors.platforms.documents import Request, T
from connectors.platforms.odoo_protocols import ENGLISH


class Server(Platform):
    """What does not depend on the kind of document. Calls are written for JSON-2, and leave in the account's protocol
    under its user's credentials."""

    Settings = words.OdooSettings
    Credentials = words.OdooCredentials
    settings: words.OdooSettings

    def __init__(self, settings: Any, *given: Any, **options: Any) -> None:
        super().__init__(settings, *given, **options)
        self._uids: dict[str, int] = {}

    @classmethod
    def tenant(cls, settings: words.OdooSettings, credentials: words.OdooCredentials) -> str:
        return f"{settings.host}-{settings.database}"

    @classmethod
    def address(cls, settings: words.OdooSettings) -> str:
        return settings.url

    @classmethod
    def static_headers(cls, credentials: words.OdooCredentials) -> Mapping[str, str]:
        """As JSON-2 wants it; the older protocols have the key taken from here into the body (`leaving`)."""
        return {"Authorization": f"bearer {credentials.api_key.get_secret_value()}"}

    def tenant_headers(self) -> Mapping[str, str]:
        return {"X-Odoo-Database": self.settings.database}

    def call(
        self, step: str, model: str, method: str, ids: str = "", *, issues: bool = False,
        context: Mapping[str, Any] | None = None, **named: Any,
    ) -> Request:  # fmt: skip
        """A call of a model's method, on the records `ids` (as they stand in JSON), for the account's company."""
        company = self.settings.company
        own: dict[str, Any] = dict(ENGLISH)
        if company is not None:
            own |= {"force_company": company} if self.settings.version <= 12 else {"allowed_company_ids": [company]}
        return protocols.call(step, model, method, ids, issues=issues, context=own | dict(context or {}), **named)

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        protocol = self.settings.spoken
        if not request.path.startswith(protocols.PREFIX):
            return request
        if protocol == "json-2":
            return super().leaving(request, proof)
        secret = proof["Authorization"].removeprefix("bearer ")
        self.http.hide(secret, escape(secret))  # as it stands in the body
        return protocols.wrapped(request, protocol, self.settings.database, self._uid(secret), secret)

    def _uid(self, secret: str) -> int:
        """The user's id, by logging in once. A wrong login is answered with `false`, not with an error."""
        if secret not in self._uids:
            given: list[Any] = [self.settings.database, self.settings.login, secret, {}]
            asked = protocols.service(self.settings.spoken, "common", "authenticate", given)
            uid = self.question(asked, lambda found: found if found is False else int(found))
            if uid is False:
                raise Unauthorized(f"Odoo refuses the login {self.settings.login!r} or its api_key")
            self._uids[secret] = uid
        return self._uids[secret]

    def status(self, answer: Answer) -> int:
        return protocols.status(answer, self.settings.spoken)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        return protocols.message(answer, self.settings.spoken)

    def value(self, answer: Answer) -> Any:
        """What the method returned. Raises `ValueError` or `LookupError` when that cannot be read."""
        return protocols.value(answer, self.settings.spoken)

    def question(self, request: Request, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer to a call that only reads, which goes by POST too. Raises `Unavailable`
        when it cannot be read."""
        return self.told(self.ask(request.path, headers=request.headers, body=request.body), read)

    def told_of(
        self, model: str, domain: Sequence[Any], fields: Sequence[str], read: Callable[[Mapping[str, Any]], T]
    ) -> list[T]:
        """What `read` makes of each record that the domain finds, oldest first; the errors of `question`."""
        domain, fields = list(domain), list(fields)
        return self.records(self.call("read", model, "search_read", domain=domain, fields=fields, order="id"), read)

    def records(self, request: Request, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """What `read` makes of each record of an answer; the errors of `question`."""

        def each(found: Any) -> list[T]:
            if not isinstance(found, list):
                raise TypeError
            return [read({**raw}) for raw in found]

        return self.question(request, each)
