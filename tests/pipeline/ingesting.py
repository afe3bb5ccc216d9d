"""A real ingest process over real HTTP, and what a shop needs to push to it."""

import copy
import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from tests.kit.processes import Process, Processes, eventually, free_port
from worker.config import Config, load
from worker.ingest.openapi import EXAMPLE
from worker.store.engine import Store
from worker.store.inbox import Inbox

KEY = "key-of-the-engraver-0123456789"
OLD_KEY = "key-of-last-year-0123456789"
OTHER_KEY = "key-of-the-other-0123456789"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEB_SECRET = "hush-of-web"
WOO_SECRET = "hush-of-woo"
BUS_TOKEN = "token-of-the-bus-0123456789"
CONFIG = f"""
[shop.engraver]
api_key = "{KEY}"
old_api_keys = ["{OLD_KEY}"]
webhook_secret = "{SIGNING}"
source.web = {{ kind = "shopify", secret = "{WEB_SECRET}" }}
source.woo = {{ kind = "woocommerce", secret = "{WOO_SECRET}" }}
source.erp = {{ kind = "standard", secret = "{SIGNING}" }}
source.bus = {{ kind = "standard", secret = "{BUS_TOKEN}", options.bearer = true }}
[shop.other]
api_key = "{OTHER_KEY}"
"""
SECRETS = (KEY, OLD_KEY, OTHER_KEY, SIGNING, WEB_SECRET, WOO_SECRET, BUS_TOKEN)


def event(event_id: str = "evt-1", **changes: Any) -> dict[str, Any]:
    """An event that adds up, with an order of its own; `changes` replace fields of its order."""
    made: dict[str, Any] = copy.deepcopy(EXAMPLE)
    order = made["order"] | {"id": f"order-of-{event_id}", "ref": f"ref-of-{event_id}", **changes}
    return made | {"id": event_id, "order": order}


class IngestServer:
    """Starts ingest on a port of its own. `testpoints`: its environment in `worker.testpoints`' words."""

    def __init__(
        self, processes: Processes, folder: Path, store_url: str, redis_url: str = "", **testpoints: str
    ) -> None:
        self.port = free_port()
        self._processes = processes
        path = folder / "billhook.toml"
        path.write_text(CONFIG)
        self.env = {
            "BILLHOOK_CONFIG": str(path),
            "BILLHOOK_DATABASE_URL": store_url,
            "BILLHOOK_REDIS_URL": redis_url or f"redis://127.0.0.1:{free_port()}/0",
            "BILLHOOK_DATA_DIR": str(folder),
            **testpoints,
        }
        self.config: Config = load(path, {**self.env})
        self.process: Process = self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Process:
        """Starts it, again if it was ended, and returns when it answers."""
        run = f"from worker.ingest.endpoint import serve; serve('127.0.0.1', {self.port})"
        self.process = self._processes.python("-c", run, name="ingest", env=self.env)
        self.process.until_listening(self.port)
        eventually(lambda: requests.get(self.url + "/readyz", timeout=5).ok, 20, saying="ingest is ready")
        return self.process

    def inbox(self) -> Inbox:
        """What is stored, read as the worker reads it."""
        return Inbox(Store(self.config.inbox_url))

    def stored(self) -> list[str]:
        """The events' ids of all rows, in the order in which they came."""
        inbox = self.inbox()
        rows = inbox.waiting(100_000, datetime.now(UTC) + timedelta(hours=1))
        return [row.event_id for row in rows]

    def push(self, content: Any, key: str = KEY, **options: Any) -> requests.Response:
        """POST /events; anything but bytes is sent as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return requests.post(
            self.url + "/events", body, headers={"Authorization": f"Bearer {key}"}, timeout=20, **options
        )

    def get(self, path: str, key: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return requests.get(self.url + path, headers=headers, timeout=20)

    def counters(self) -> dict[str, int]:
        return dict(self.get("/healthz").json()["counters"])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


def head(length: int | str, key: str = KEY) -> bytes:
    """The head of a POST /events that announces so many bytes, or "chunked"."""
    framing = "Transfer-Encoding: chunked" if length == "chunked" else f"Content-Length: {length}"
    return f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{framing}\r\n\r\n".encode()


def status_of(sock: socket.socket) -> int:
    """The status of the answer that comes next on a raw connection."""
    data = b""
    while b"\r\n" not in data and (piece := sock.recv(65536)):
        data += piece
    return int(data.split(b" ", 2)[1]) if data else 0
