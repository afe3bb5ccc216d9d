"""The addresses by which staff's tools set an order to completed, and end held work."""

from __future__ import annotations

import asyncio
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.model import Ref, Text
from connectors.sources.base import one_line
from connectors.sources.wording import field_errors
from worker import runtime
from worker.completing import NoSuchOrder, NotWanted, Refused, SeveralOrders, completion, order_meant, order_to_complete
from worker.dismissing import choice_of
from worker.ingest import answers
from worker.ingest.admission import Admission
from worker.ingest.answers import Refusal
from worker.ingest.group_commit import Result
from worker.ingest.receiving import ClientGone, read_body
from worker.store.dismissing import MayHaveBeenSent, NotDismissed, StillNeeded, dismiss
from worker.store.inbox import Arrival, Verdict, asking
from worker.store.naming import Named

_REFUSALS: dict[type[Exception], tuple[int, str]] = {
    NoSuchOrder: (404, "not_found"),
    SeveralOrders: (409, "ambiguous"),
    NotWanted: (409, "not_wanted"),
    MayHaveBeenSent: (409, "may_have_been_sent"),
    StillNeeded: (409, "still_needed"),
}


class Completion(BaseModel):
    """Who set the order to completed, and why: both stand in the trail."""

    model_config = ConfigDict(extra="forbid")

    who: Ref = Field(description="The person, as the shop calls them")
    why: Annotated[Text, Field(min_length=1)] = Field(description="The person's reason, in their words")


class Dismissal(Completion):
    """Who has dealt with what is held of the order, and how: both stand in the trail."""

    even_if_sent: bool = Field(default=False, description="Also what may exist on its platform")


class DismissedRow(BaseModel):
    """Something that was held."""

    what: str = Field(description="event, customer, invoice, credit or notice")
    label: str = Field(description="What people call it: mostly the order's name")
    account: str
    was: str = Field(description="Its state before")
    reason: str | None = Field(description="Why it was held")


class DismissedRows(BaseModel):
    """What was dismissed now; empty if nothing was held (any more)."""

    dismissed: list[DismissedRow]


Body = TypeVar("Body", bound=Completion)


class Taking(Protocol):
    """The part of ingest that takes events in."""

    admission: Admission

    async def accept(self, arrivals: list[Arrival]) -> list[Result]:
        """Returns when they are committed. Raises `Refusal`."""


def completing(ingest: Taking) -> Route:
    """POST /orders/{ref}/complete, with the shop's key."""

    async def complete(request: Request) -> Response:
        shop = ingest.admission.shop_of_key(request.headers.get("authorization", "").encode("latin-1"))
        try:
            said = _said(Completion, await read_body(request.receive))
        except ClientGone:
            return Response(status_code=400)  # nobody reads it
        order = await asyncio.to_thread(_order, shop, request.path_params["ref"])
        arrival = completion(order, said.who, said.why)
        [result] = await ingest.accept([arrival])
        if result is not Verdict.ACCEPTED:
            raise answers.invalid([{"path": "", "message": "has something in it that the database cannot hold"}])
        answer = answers.taken(arrival.event_id, result)
        return Response(answer.body, answer.status, media_type="application/json")

    return Route("/orders/{ref:path}/complete", complete, methods=["POST"])


def dismissing(ingest: Taking) -> Route:
    """POST /orders/{ref}/dismiss, with the shop's key."""

    async def end(request: Request) -> Response:
        shop = ingest.admission.shop_of_key(request.headers.get("authorization", "").encode("latin-1"))
        try:
            said = _said(Dismissal, await read_body(request.receive))
        except ClientGone:
            return Response(status_code=400)  # nobody reads it
        rows = await asyncio.to_thread(_dismissed, shop, request.path_params["ref"], said)
        return Response(rows.model_dump_json(), 200, media_type="application/json")

    return Route("/orders/{ref:path}/dismiss", end, methods=["POST"])


def _dismissed(shop: str, ref: str, said: Dismissal) -> DismissedRows:
    try:
        with asking():
            choice = choice_of(runtime.store(), runtime.inbox(), ref, shop)
            done = dismiss(runtime.store(), [choice], who=said.who, why=said.why, even_if_sent=said.even_if_sent)
            if not done and choice.order == ref and not choice.events:
                order_meant(runtime.store(), ref, shop, "dismiss what is held of it")
    except (Refused, NotDismissed) as refused:
        raise _refusal(refused) from None
    rows = [
        DismissedRow(what=one.kind, label=one.label, account=one.account, was=one.was, reason=one.reason)
        for one in done
    ]
    return DismissedRows(dismissed=rows)


def _said(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            text = 'The body must be JSON that says {"who": …, "why": …}.'
            raise Refusal(400, "malformed", text) from None
        wrong = [{"path": each.path, "message": each.message} for each in field_errors(error)]
        raise Refusal(422, "invalid", "Say who decides about the order, and why.", errors=wrong) from None


def _order(shop: str, ref: str) -> Named:
    try:
        with asking():
            return order_to_complete(runtime.store(), runtime.config(), ref, shop)
    except Refused as refused:
        raise _refusal(refused) from None


def _refusal(refused: Exception) -> Refusal:
    status, word = _REFUSALS[type(refused)]
    return Refusal(status, word, one_line(str(refused)))
