"""The address by which staff's tools set an order to completed."""

from __future__ import annotations

import asyncio
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.model import Ref, Text
from connectors.sources.base import one_line
from connectors.sources.wording import field_errors
from worker import runtime
from worker.completing import NoSuchOrder, NotWanted, Refused, SeveralOrders, completion, order_to_complete
from worker.ingest import answers
from worker.ingest.admission import Admission
from worker.ingest.answers import Refusal
from worker.ingest.group_commit import Result
from worker.ingest.receiving import ClientGone, read_body
from worker.store.inbox import Arrival, Verdict, asking
from worker.store.naming import Named

_REFUSALS = {NoSuchOrder: (404, "not_found"), SeveralOrders: (409, "ambiguous"), NotWanted: (409, "not_wanted")}


class Completion(BaseModel):
    """Who set the order to completed, and why: both stand in the trail."""

    model_config = ConfigDict(extra="forbid")

    who: Ref = Field(description="The person, as the shop calls them")
    why: Annotated[Text, Field(min_length=1)] = Field(description="The person's reason, in their words")


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
            said = _said(await read_body(request.receive))
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


def _said(body: bytes) -> Completion:
    try:
        return Completion.model_validate_json(body)
    except ValidationError as error:
        if error.errors(include_url=False)[0]["type"] == "json_invalid":
            text = 'The body must be JSON that says {"who": …, "why": …}.'
            raise Refusal(400, "malformed", text) from None
        wrong = [{"path": each.path, "message": each.message} for each in field_errors(error)]
        raise Refusal(422, "invalid", "Say who completes the order, and why.", errors=wrong) from None


def _order(shop: str, ref: str) -> Named:
    try:
        with asking():
            return order_to_complete(runtime.store(), runtime.config(), ref, shop)
    except Refused as refused:
        status, word = _REFUSALS[type(refused)]
        raise Refusal(status, word, one_line(str(refused))) from None
