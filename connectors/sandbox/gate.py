"""The gate of an emulated platform that gives tokens: its desk, then who asks, then how often, then what is asked.

What differs is said by class: paths, the app, limits, the answer to a bad token, and the routes. Documents and mails
are on a shelf.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import uuid4

from connectors.sandbox.base import Emulator, Request, Response, Rolling
from connectors.sandbox.desk import App, Desk, State
from connectors.sandbox.shelf import Shelf


class Gated(Emulator):
    """A platform with a desk and a shelf, both there after `setup`."""

    app: ClassVar[App]
    consent_at: ClassVar[str] = ""
    """Where a merchant consents; none where it is empty."""
    grant_at: ClassVar[str] = ""

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.desk = Desk(self.db, self.slug, self.clock, self.app)

    def expire_tokens(self) -> None:
        self.desk.expire()

    def mail(self, invoice: object, to: str) -> None:
        """Sends the invoice of that id."""
        self.shelf.put("mail", uuid4().hex, {"invoice": str(invoice), "to": to})

    def mails(self) -> list[tuple[str, str]]:
        """Every mail sent: invoice id, recipient."""
        return [(mail["invoice"], mail["to"]) for mail in self.shelf.all("mail")]

    def answer(self, request: Request) -> Response:
        if self.consent_at and request.path == self.consent_at:
            return self.consent(request)
        if self.grant_at and request.path == self.grant_at:
            return self.token(request)
        if (state := self.state(request)) != "good":
            return self.unauthorized(state)
        return self.admitted(request)

    def admitted(self, request: Request) -> Response:
        """The answer to somebody who is known: quotas, then the routes."""
        if (refused := self.over(request)) is not None:
            return refused
        response = self.told(lambda: self.route(request))
        response.headers.update(self.stamp())
        return response

    # -- what differs ----------------------------------------------------------------------------------------------

    def consent(self, request: Request) -> Response:
        """The page where the merchant agrees."""
        return self.desk.consent(request)

    def token(self, request: Request) -> Response:
        """The token endpoint."""
        return self.desk.token(request)

    def state(self, request: Request) -> State:
        """Of what the request proves itself with."""
        return self.desk.state(request.bearer)

    def unauthorized(self, state: State) -> Response:
        """The platform's own answer to a token that is unknown or expired."""
        raise NotImplementedError

    def limits(self, request: Request) -> Sequence[Rolling]:
        """The quotas that the call uses."""
        return ()

    def over(self, request: Request) -> Response | None:
        """The answer to a call over a quota; None, and the call counted, where it fits."""
        wait = self.counted(*self.limits(request))
        return self.too_many(wait) if wait else None

    def route(self, request: Request) -> Response:
        """Carries out a call of somebody who is known. May raise `Refusal`."""
        raise NotImplementedError

    def stamp(self) -> dict[str, str]:
        """Headers of every answer of `route`."""
        return {}
