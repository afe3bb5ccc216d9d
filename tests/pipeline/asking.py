"""A shop that can be asked, and told: its deliveries only name orders, and its API is a dict."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import ConnectorError
from connectors.http import Http
from connectors.model import Event
from connectors.sources import base
from connectors.sources.asking import Api, Found, Page, Parcel, Posted
from connectors.sources.base import Look, Source, parse_json
from connectors.sources.delivery import Delivery
from tasks import ask_sources as asking
from tasks import handle_events as handling
from tests.kit.inprocess import InProcess
from tests.kit.redis_server import RedisServer
from worker.store import jobs
from worker.store.inbox import Arrival, Inbox
from worker.store.schema import jobs as jobs_table
from worker.store.verify import verify

CONFIG = """
[shop.engraver.source.web]
kind = "toy"
secret = "s"
options = { key = "k" }

[shop.engraver.source.mute]
kind = "toy"
secret = "s"
"""


class ToyOptions(base.Options):
    key: str = ""
    write_back: bool = False


class Toy(Source):
    """A shop whose deliveries only name an order, and whose API is a dict."""

    kind = "toy"
    options_model = ToyOptions
    options: ToyOptions
    orders: dict[str, dict[str, Any]]
    parcels: dict[str, dict[str, Any]]
    fails: list[ConnectorError]
    questions: list[str]
    noted: list[Posted]

    def api(self, http: Http) -> Api | None:
        return Api("Toy", "http://127.0.0.1:1", {}, http) if self.options.key else None

    def normalise(self, delivery: Delivery, body: bytes) -> Event | Look | None:
        said = parse_json(body)
        return Event.model_validate(said) if "type" in said else Look()

    def fetch(self, api: Api, delivery: Delivery, body: bytes) -> Sequence[Found]:
        self._asked("fetch")
        named = self.orders.get(parse_json(body)["look"])
        return [_found(named)] if named else []

    def pull(self, api: Api, cursor: str | None, now: datetime) -> Page | None:
        """One order a page; the cursor is how many were seen."""
        self._asked(f"pull {cursor}")
        seen = int(cursor or 0)
        found = [_found(event) for event in list(self.orders.values())[seen : seen + 1]]
        return Page(tuple(found), str(seen + len(found)), more=seen + 1 < len(self.orders))

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found] | None:
        self._asked("track")
        return [_found(self.parcels[one.tracking_number]) for one in parcels if one.tracking_number in self.parcels]

    def write_back(self, api: Api, posted: Posted) -> bool:
        self._asked("write back")
        self.noted.append(posted)
        return True

    def _asked(self, what: str) -> None:
        self.questions.append(what)
        if self.fails:
            raise self.fails.pop(0)


def _found(event: Mapping[str, Any]) -> Found:
    return Found(Delivery(event["id"], event["type"]), json.dumps(event).encode())


def toy_shop(
    tmp_path: Path, store_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcess]:
    """For a fixture: a shop whose source is a `Toy`, with one account on Xero."""
    Toy.orders, Toy.parcels, Toy.fails, Toy.questions, Toy.noted = {}, {}, [], [], []
    known = {**base.kinds(), "toy": Toy}
    monkeypatch.setattr(base, "kinds", lambda: known)
    made = InProcess(tmp_path, store_url, redis_server.url, monkeypatch, platforms=("xero",), more=CONFIG)
    text = made.config_file.read_text()
    made.config_file.write_text(
        text.replace("[shop.engraver]\n", '[shop.engraver]\ntrigger = ["order.fulfilled", "shipment.delivered"]\n')
    )
    yield made
    made.close()


def deliver(scene: InProcess, ident: str, body: Mapping[str, Any], source: str = "web") -> None:
    Inbox(scene.inbox_store).accept([Arrival("engraver", source, ident, "toy", "", ident, json.dumps(body).encode())])
    handling.handle_events()


def ask(scene: InProcess, *, again: bool = True) -> None:
    """What is due to be asked is asked, and what comes of it handled; `again`: what waits for its time, too."""
    if again:
        with scene.store.write() as connection:
            connection.execute(jobs_table.update().where(jobs_table.c.due_at.is_not(None)).values(due_at=jobs.now()))
    asking.ask_sources("engraver/web")
    handling.handle_events()
    scene.settle()


def events(scene: InProcess) -> list[tuple[str, str | None]]:
    query = "SELECT state, reason FROM jobs WHERE kind = 'event' ORDER BY created_at, id"
    return [tuple(row) for row in scene.rows(query)]


def question(scene: InProcess) -> tuple[str, str | None]:
    ((state, reason),) = scene.rows("SELECT state, reason FROM jobs WHERE kind = 'question'")
    return state, reason


def books(scene: InProcess) -> list[str]:
    assert verify(scene.store).ok
    return sorted(entry.reference for entry in scene.sandbox.ledger("xero"))
