"""The thin endpoint: verify, parse, commit, answer. A 2xx says that the event is in the store.

`python -m uvicorn --factory worker.ingest.endpoint:app`, or `serve`. One process: the group commit wants all
requests in one place, and while a commit waits for the disk the next ones are parsed.

The two addresses that shops push to are served before any routing; everything else is in `worker.ingest.questions`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from connectors.sources.base import MalformedBody
from connectors.sources.delivery import Delivery
from connectors.sources.standard import Batch, Parsed, parse_events
from connectors.sources.tokens import IN_ADDRESS
from worker import bells, logs, metrics, runtime
from worker.ingest import answers
from worker.ingest.admission import Admission, Sender
from worker.ingest.answers import Answer, Refusal
from worker.ingest.doorbell import Doorbell
from worker.ingest.group_commit import GroupCommit, Overloaded, Result
from worker.ingest.learning import KeyLearner
from worker.ingest.questions import questions
from worker.ingest.receiving import MOST_FOR_ARRAY, ClientGone, Receive, read_body
from worker.store.engine import Store
from worker.store.inbox import Arrival, Inbox, StoreUnavailable, Verdict
from worker.store.migrate import NewerStore, prepare

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Deliveries = Sequence[tuple[Delivery, bytes]]
API = "api"
"""The source under which the events of `POST /events` are stored."""
_LONG = 64 * 1024
"""A longer body is parsed in a thread, so that the others need not wait until it is done."""
_REFUSED = [{"path": "", "message": "has something in it that the database cannot hold"}]


class Ingest:
    """The ASGI application."""

    def __init__(self) -> None:
        config = runtime.config()
        self.counters: Counter[str] = Counter()
        self.admission = Admission(config)
        # Its own connection: a 2xx is a promise, so FULL; and no request waits longer than this for a lock.
        sqlite = runtime.store().sqlite
        self.inbox_store = Store(config.inbox_url, busy_seconds=2.0) if sqlite else runtime.store()
        self.inbox = Inbox(self.inbox_store)
        self._rest = questions(self)
        self._parser = ThreadPoolExecutor(1, "parser")
        self._keys = KeyLearner()
        self._commit: GroupCommit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and path == "/events":
            await self._answer(self._events, scope, receive, send)
        elif scope["type"] == "http" and path.startswith("/in/"):
            await self._answer(self._delivery, scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    @property
    def waiting(self) -> int:
        """Rows that wait for a commit."""
        return self._commit.waiting

    async def _answer(
        self, handle: Callable[[Scope, Receive], Awaitable[Answer]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        began = time.perf_counter()
        try:
            if scope["method"] == "OPTIONS" and scope["path"].startswith("/in/"):
                answer = self._greeted(scope)
            elif scope["method"] == "POST":
                answer = await handle(scope, receive)
            else:
                raise _not_allowed()
        except ClientGone:
            self.counters["client_gone"] += 1
            return
        except Refusal as refusal:
            self.counters[refusal.error] += 1
            answer = refusal.answer
        except Exception:
            log.exception("a request to %s failed", scope["path"])
            self.counters["failed"] += 1
            answer = Refusal(500, "failed", "Something went wrong here; it is in the log. Send it again.").answer
        metrics.LATENCY.observe(time.perf_counter() - began)
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": answer.body})
        except (OSError, RuntimeError):  # uvloop's word for a connection that has just been closed
            self.counters["client_gone"] += 1

    async def _events(self, scope: Scope, receive: Receive) -> Answer:
        authorization = _header(scope, b"authorization")
        if authorization is not None:
            shop = self.admission.shop_of_key(authorization)
            body = await read_body(receive)
        else:
            headers = _headers(scope)
            sender = self.admission.signed_sender(headers, scope.get("query_string", b""))
            shop = sender.shop
            body = await read_body(receive)
            await self._keys.verify(sender, headers, body)
        batch = await self._parsed(body)
        if batch.many:
            return await self._array(shop, batch)
        parsed = batch.elements[0]
        if parsed.event is None:
            raise answers.invalid(_wrong(parsed))
        [result] = await self.accept([_arrival(shop, parsed)])
        if result is Verdict.CONFLICT:
            raise answers.conflict(parsed.event.id)
        if not isinstance(result, Verdict):
            raise answers.invalid(_REFUSED)
        self.counters[result.value] += 1
        return answers.taken(parsed.event.id, result)

    async def _parsed(self, body: bytes) -> Batch:
        try:
            if len(body) < _LONG:
                return parse_events(body)
            return await asyncio.get_running_loop().run_in_executor(self._parser, parse_events, body)
        except MalformedBody as error:
            raise _malformed(error) from None

    async def _array(self, shop: str, batch: Batch) -> Answer:
        arrivals = [_arrival(shop, each) for each in batch.elements if each.event is not None]
        results = iter(await self.accept(arrivals) if arrivals else ())
        told = []
        for index, parsed in enumerate(batch.elements):
            status, errors = "invalid", _wrong(parsed)
            if parsed.event is not None:
                result = next(results)
                status, errors = (str(result), []) if isinstance(result, Verdict) else ("invalid", _REFUSED)
            self.counters[status] += 1
            told.append({"index": index, "id": _id(parsed), "status": status, "errors": errors})
        return answers.array_answer(told)

    def _sender(self, scope: Scope) -> Sender:
        shop, _, name = scope["path"].removeprefix("/in/").partition("/")
        return self.admission.sender(shop, name)

    def _greeted(self, scope: Scope) -> Answer:
        """The answer to a sender that asks by OPTIONS whether it may send."""
        told = self._sender(scope).source.greeting(_headers(scope))
        if told is None:
            raise _not_allowed()
        self.counters["greeting"] += 1
        return Answer(200, b"{}", more=tuple(told.items()))

    async def _delivery(self, scope: Scope, receive: Receive) -> Answer:
        sender = self._sender(scope)
        headers = _headers(scope)
        body = await read_body(receive, MOST_FOR_ARRAY)
        if sender.source.handshake(headers, body):
            self.counters["handshake"] += 1
            return Answer(200, orjson.dumps({"status": "ready"}))
        await self._keys.verify(sender, headers, body)
        arrivals = [
            Arrival(
                shop=sender.shop,
                source=sender.name,
                event_id=delivery.id,
                kind=sender.kind,
                topic=delivery.type,
                label=delivery.order_ref or "",
                body=stored,
            )
            for delivery, stored in await self._unpacked(sender, headers, body)
        ]
        return await self._keep(arrivals)

    async def _unpacked(self, sender: Sender, headers: dict[str, str], body: bytes) -> Deliveries:
        unpack = sender.source.deliveries
        try:
            if len(body) < _LONG:
                return unpack(headers, body)
            return await asyncio.get_running_loop().run_in_executor(self._parser, unpack, headers, body)
        except MalformedBody as error:
            raise _malformed(error) from None

    async def _keep(self, arrivals: list[Arrival]) -> Answer:
        """All that one body holds, in one commit."""
        results = await self.accept(arrivals) if arrivals else []
        twofold = [place for place, result in enumerate(results) if result is Verdict.CONFLICT]
        for place in twofold:
            # The shop's own id is not signed, and a webhook is switched off after errors: so the second body is
            # neither refused nor lost but kept under an id of its own.
            self.counters["conflict"] += 1
            arrival = arrivals[place]
            said = {"shop": arrival.shop, "order": arrival.label}
            log.warning("%s sent two bodies as %r; both are kept", arrival.source, arrival.event_id, extra=said)
            arrivals[place] = arrival.apart()
        if twofold:
            kept = await self.accept([arrivals[place] for place in twofold])
            for place, result in zip(twofold, kept, strict=True):
                results[place] = result
        return self._told(arrivals, results)

    def _told(self, arrivals: list[Arrival], results: list[Result]) -> Answer:
        """One is answered as such, several (or none) as a list."""
        if len(arrivals) == 1 and not isinstance(results[0], Verdict):
            raise answers.invalid(_REFUSED)
        for result in results:
            self.counters[result.value if isinstance(result, Verdict) else "invalid"] += 1
        if len(arrivals) == 1:
            return answers.taken(arrivals[0].event_id, str(results[0]))
        told = []
        for index, (arrival, result) in enumerate(zip(arrivals, results, strict=True)):
            status, errors = (str(result), []) if isinstance(result, Verdict) else ("invalid", _REFUSED)
            told.append({"index": index, "id": arrival.event_id, "status": status, "errors": errors})
        return answers.array_answer(told)

    async def accept(self, arrivals: list[Arrival]) -> list[Result]:
        """Returns what became of each, when they are committed. Raises `Refusal`."""
        try:
            return await self._commit.accept(arrivals)
        except Overloaded:
            raise answers.overloaded() from None
        except StoreUnavailable:
            raise answers.unavailable() from None

    async def _live(self, receive: Receive, send: Send) -> None:
        """The protocol of starting and stopping."""
        await receive()
        try:
            async with self._running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            log.exception("ingest cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        _tune()
        preparing = asyncio.create_task(self._prepare())
        await asyncio.wait([preparing], timeout=5.0)
        if preparing.done():
            preparing.result()
        doorbell = Doorbell(bells.ring_events)
        self._commit = GroupCommit(self.inbox, doorbell.add)
        following = asyncio.create_task(self._follow())
        log.info("ingest started", extra={"version": runtime.version()})
        yield
        preparing.cancel()
        following.cancel()
        await self._commit.close(within=1.0)
        doorbell.close(within=0.5)
        self._parser.shutdown(wait=False, cancel_futures=True)
        log.info("ingest stopped", extra={"version": runtime.version()})

    async def _follow(self) -> None:
        """Admits callers as a new configuration says, from its moment on; a request that has begun ends as it began."""
        keeper = runtime.keeper()
        known = keeper.in_force()
        while True:
            await asyncio.sleep(keeper.wait())
            await asyncio.to_thread(keeper.look)
            if keeper.in_force() is not known:
                known = keeper.in_force()
                self.admission = Admission(known.config)

    async def _prepare(self) -> None:
        """Brings the tables up to date; where the store is down, tries until it is there. Meanwhile all get 503."""
        while True:
            try:
                await asyncio.to_thread(prepare, runtime.store(), self.inbox_store)
            except NewerStore:
                raise
            except Exception as error:
                log.warning("the store is not ready yet: %s", type(error).__name__)
                await asyncio.sleep(1.0)
            else:
                return


def _tune() -> None:
    """Settings of the interpreter for a process that does nothing else."""
    # The writer hands the interpreter back often; with the default of 5 ms each time, it would starve.
    sys.setswitchinterval(0.0005)
    runtime.collect_seldom()


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _headers(scope: Scope) -> dict[str, str]:
    """By lower-case name; the token of the address stands under a name that no header can have."""
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = scope.get("query_string", b"")
    given = parse_qs(query.decode("latin-1")) if b"token=" in query else {}
    token = next((given[name][0] for name in ("token", "access_token") if name in given), None)
    headers.pop(IN_ADDRESS, None)
    return headers if token is None else {**headers, IN_ADDRESS: token}


def _not_allowed() -> Refusal:
    return Refusal(405, "method_not_allowed", "This address only takes POST.")


def _malformed(error: MalformedBody) -> Refusal:
    return Refusal(400, "malformed", f"{str(error)[:1].upper()}{str(error)[1:]}.")


def _arrival(shop: str, parsed: Parsed) -> Arrival:
    event = parsed.event
    assert event is not None
    return Arrival(
        shop=shop,
        source=API,
        event_id=event.id,
        kind="standard",
        topic=event.type.value,
        label=event.about,
        body=parsed.raw,
    )


def _wrong(parsed: Parsed) -> list[dict[str, str]]:
    return [{"path": each.path, "message": each.message} for each in parsed.errors]


def _id(parsed: Parsed) -> str | None:
    if parsed.event is not None:
        return parsed.event.id
    match orjson.loads(parsed.raw or b"null"):
        case {"id": str() as event_id}:
            return event_id[:256]
    return None


def app() -> Ingest:
    """The application, for uvicorn's `--factory`. Raises `ConfigError`."""
    logs.set_up()
    return Ingest()


def serve(host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT; then answers what is in flight and returns within 5 seconds."""
    uvicorn.run(
        "worker.ingest.endpoint:app",
        factory=True,
        host=host,
        port=port,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,  # `app` sets up the log
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
