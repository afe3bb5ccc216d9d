"""The addresses of ingest beside those that shops push to: questions about orders and events, health, the API's
documentation, and what staff may do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from worker import metrics, runtime
from worker.gauges import OfIngest, Shared
from worker.ingest.answers import Answer, Refusal
from worker.ingest.openapi import document, page
from worker.ingest.staff import Taking, completing, dismissing
from worker.store import views
from worker.store.engine import Store
from worker.store.inbox import Inbox, StoreUnavailable, asking


class Accepting(Taking, Protocol):
    """What is asked about: the part of ingest that takes events in."""

    counters: Counter[str]
    """Answers given, by their word."""
    inbox: Inbox
    inbox_store: Store

    @property
    def waiting(self) -> int:
        """Rows that wait for a commit."""


def questions(ingest: Accepting) -> Starlette:
    """An application for everything but the two addresses that shops push to."""
    return Starlette(
        routes=[
            completing(ingest),
            dismissing(ingest),
            *_about_orders(ingest),
            *_about_the_process(ingest),
            Route("/openapi.json", lambda _: _json(200, document())),
            Route("/docs", lambda _: HTMLResponse(page(document()))),
        ],
        exception_handlers={HTTPException: _http_error, Refusal: _refused, StoreUnavailable: _store_down},
    )


def _about_orders(ingest: Accepting) -> list[Route]:
    """What a shop may ask with its key: of its own orders and events."""

    def order(request: Request) -> Response:
        shop, ref = _shop(request), request.path_params["ref"]
        with asking():
            return _one(views.order_view(runtime.store(), shop, ref), "order")

    def event(request: Request) -> Response:
        shop, event_id = _shop(request), request.path_params["id"]
        with asking():
            return _one(views.event_view(runtime.store(), ingest.inbox_store, shop, event_id), "event")

    def _shop(request: Request) -> str:
        return ingest.admission.shop_of_key(request.headers.get("authorization", "").encode("latin-1"))

    return [Route("/orders/{ref:path}", order), Route("/events/{id:path}", event)]


def _about_the_process(ingest: Accepting) -> list[Route]:
    """Health for whoever watches over it, figures for Prometheus."""

    def healthz(_: Request) -> Response:
        return _json(200, {"status": "alive", "waiting": ingest.waiting, "counters": dict(ingest.counters)})

    async def readyz(_: Request) -> Response:
        store, redis = await asyncio.gather(_store_state(ingest), _redis_state())
        return _json(
            200 if store == "writable" else 503,
            {
                "status": "ready" if store == "writable" else "not ready",
                "store": store,
                "redis": redis,
                "configuration": "refused" if runtime.keeper().refused else "in force",
            },
        )

    shown = metrics.Page(metrics.INGEST, OfIngest(ingest.counters, lambda: ingest.waiting), Shared())

    def figures(request: Request) -> Response:
        if not metrics.may_read(request.headers.get("authorization", "")):
            text = "Set a token under [billhook.metrics] and send it as “Authorization: Bearer <token>”."
            raise Refusal(401, "unauthorized", text)
        return Response(shown.text(), media_type=shown.content_type)

    return [Route("/metrics", figures), Route("/healthz", healthz), Route("/readyz", readyz)]


async def _store_state(ingest: Accepting) -> str:
    try:
        async with asyncio.timeout(3):
            await asyncio.to_thread(ingest.inbox.probe)
    except (StoreUnavailable, TimeoutError):
        return "not writable"
    return "writable"


async def _redis_state() -> str:
    """Only for the reader: ingest needs no Redis."""
    try:
        async with asyncio.timeout(1):
            await asyncio.to_thread(lambda: runtime.redis_client().ping())
    except Exception:
        return "does not answer"
    return "answers"


def _one(found: Sequence[dict[str, Any]], what: str) -> Response:
    """What was asked for; 404 if there is none, 300 if two sources of the shop use the same name."""
    if not found:
        raise Refusal(404, "not_found", f"This shop has no such {what}.")
    if len(found) == 1:
        return _json(200, found[0])
    choices = [{"id": each["id"], "source": each["source"]} for each in found]
    message = f"{len(found)} {what}s of this shop have that name; ask for the one you mean by its id here."
    return _json(300, {"error": "ambiguous", "message": message, "choices": choices})


def _json(status: int, content: Any) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS), status, media_type="application/json")


def _problem(answer: Answer) -> Response:
    headers = {key.decode(): value.decode() for key, value in answer.headers}
    return Response(answer.body, answer.status, headers)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _problem(error.answer)


def _store_down(_: Request, error: Exception) -> Response:
    text = "The store does not answer at the moment. Ask again."
    return _problem(Refusal(503, "store_unavailable", text, retry_after=2).answer)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {
        404: ("not_found", "There is no such address; /docs lists those that exist."),
        405: ("method_not_allowed", "This address only takes GET."),
    }
    code, text = words.get(error.status_code, ("failed", str(error.detail)))
    return _problem(Refusal(error.status_code, code, text).answer)
