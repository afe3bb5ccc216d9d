"""What every chaos test plays in: a configuration with short clocks, a store, the sandbox platforms, and the events."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from connectors.sandbox import odoo, quickbooks, xero
from connectors.sandbox.base import Rolling, emulators
from connectors.sandbox.server import Hosted
from tests.kit.sandbox import SandboxServer
from worker.store.engine import Store
from worker.store.inbox import Arrival, Inbox, Verdict
from worker.store.migrate import prepare

FINAL = {"done", "issued", "held", "mismatch", "void", "credited", "doubled", "shadow", "waiting", "dismissed"}
"""States in which nothing moves by itself any more: finished, or a person's turn."""
TRIGGERS = {"order.fulfilled", "order.completed"}


@dataclass(frozen=True)
class Clocks:
    """Seconds. A lease is deadline + lease_margin; a process that was stopped for lease_margin dies on waking."""

    deadline: float = 1.5
    lease_margin: float = 4.0
    dispatch_every: float = 0.5
    seal_every: float = 30.0
    linger: float = 0.05
    attempts: int = 12
    quiet_seconds: float = 1.0
    give_up_after: float = 30 * 86_400.0
    """Longer than tests let pass: on a busy machine one answer that comes late must not end the patience."""

    @property
    def lease(self) -> float:
        return self.deadline + self.lease_margin


def order_event(
    number: int, *, customer: int | None = None, type: str = "order.fulfilled", **order: Any
) -> dict[str, Any]:
    """An event of Billhook's own kind, for an order of 111.54 GBP that is like no other: its line names it.

    `customer`: orders with one number have one customer; default: each order its own. `order`: fields changed.
    """
    who = number if customer is None else customer
    vat = {"name": "VAT", "rate": "20"}
    return {
        "id": f"evt-{number}-{type}",
        "type": type,
        "occurred_at": "2026-11-22T10:00:00Z",
        "order": {
            "id": f"id-{number}",
            "ref": f"SO-{number}",
            "currency": "GBP",
            "placed_at": "2026-11-20T09:00:00Z",
            "tax_included": False,
            "customer": {
                "ref": f"C-{who}",
                "name": f"Ada {who}",
                "company": f"Engines {who}",
                "email": f"c{who}@x.example",
            },
            "billing_address": {"line1": "12 Engine Row", "city": "London", "postcode": "N1 7AA", "country": "GB"},
            "lines": [
                {
                    "ref": "1",
                    "sku": "PLQ-BR",
                    "description": f"Brass plaque for order SO-{number}.",
                    "quantity": "2",
                    "unit_price": "45.00",
                    "discount": "0",
                    "tax": {**vat, "amount": "18.00"},
                }
            ],
            "discount": {"amount": "5.00", "tax": {**vat, "amount": "1.00"}},
            "shipping": {"description": "Courier", "amount": "7.95", "tax": {**vat, "amount": "1.59"}},
            "total": "111.54",
            **order,
        },
    }


@dataclass(frozen=True)
class Accepted:
    """An event that was promised to be handled."""

    shop: str
    source: str
    event: dict[str, Any] = field(hash=False)

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.shop, self.source, self.event["order"]["id"]


class Scene:
    """Each shop has an account on each of `platforms` (named after it); every order goes to all of them."""

    def __init__(
        self,
        folder: Path,
        store_url: str,
        redis_url: str,
        *,
        platforms: Sequence[str] = ("xero", "stripe"),
        shops: Sequence[str] = ("engraver",),
        clocks: Clocks | None = None,
        smtp_url: str | None = None,
        more: str = "",
    ) -> None:
        """`smtp_url`: customers are mailed there; without it nobody is. `more`: TOML put at the end."""
        self.folder = folder
        self.store_url, self.redis_url, self.smtp_url = store_url, redis_url, smtp_url
        self.platforms, self.shops = tuple(platforms), tuple(shops)
        self.clocks = clocks or Clocks()
        self.accepted: list[Accepted] = []
        self.sandbox = SandboxServer()
        self.sandbox.quota("xero", per_minute=Rolling(100_000, 60))
        for slug in {*platforms} - {"xero", "stripe", "odoo"}:
            self.sandbox.ask(slug, _lift)
        self.config_file = folder / "billhook.toml"
        self.config_file.write_text(self._config() + more)
        self.store = Store(store_url)
        self.inbox_store = Store(store_url.removesuffix(".db") + "-inbox.db") if self.store.sqlite else self.store
        prepare(self.store, self.inbox_store)

    def close(self) -> None:
        self.sandbox.close()
        self.store.close()
        self.inbox_store.close()

    # -- configuration ---------------------------------------------------------------------------------------------

    def _config(self) -> str:
        head = {"data_dir": str(self.folder), "database_url": self.store_url, "redis_url": self.redis_url, "threads": 8}
        clocks = {each.name: getattr(self.clocks, each.name) for each in fields(Clocks) if each.name != "quiet_seconds"}
        parts = [_section("billhook", head), _section("billhook.timing", clocks)]
        for shop in self.shops:
            place = f"shop.{shop}"
            prefix = "" if shop == self.shops[0] else f"{shop}-"
            parts.append(_section(place, {"api_key": api_key(shop), "reference_prefix": prefix}))
            parts += [_section(f"{place}.account.{slug}", self._account(slug)) for slug in self.platforms]
            parts.append(f"[[{place}.route]]\nto = {json.dumps(list(self.platforms))}\n")
            if self.smtp_url:
                mail = {"from": f"{shop} <billing@{shop}.example>", "smtp": self.smtp_url}
                parts.append(_section(f"{place}.notify.email", mail))
        return "\n".join(parts)

    def _account(self, slug: str) -> dict[str, Any]:
        return {
            "platform": slug,
            "base_url": f"{self.sandbox.url}/{slug}",
            "quiet_seconds": self.clocks.quiet_seconds,
            **(_ACCOUNTS.get(slug) or {**_sample(slug), "limits": False}),
        }

    # -- events ----------------------------------------------------------------------------------------------------

    def accept(self, *events: Mapping[str, Any], shop: str = "", source: str = "api") -> list[str]:
        """Commits events to the inbox, as ingest does before its 2xx. Returns the ids of the inbox rows."""
        shop = shop or self.shops[0]
        arrivals = [
            Arrival(
                shop, source, e["id"], "standard", e["type"], e.get("order", {}).get("ref", ""), json.dumps(e).encode()
            )
            for e in events
        ]
        said = Inbox(self.inbox_store).accept(arrivals)
        taken = [(a, e) for a, e, verdict in zip(arrivals, events, said, strict=True) if verdict is Verdict.ACCEPTED]
        self.promised(*(event for _, event in taken), shop=shop, source=source)
        return [arrival.id for arrival, _ in taken]

    def promised(self, *events: Mapping[str, Any], shop: str = "", source: str = "api") -> None:
        """These events were answered with a 2xx: the history checker expects their invoices."""
        shop = shop or self.shops[0]
        self.accepted += [Accepted(shop, source, deepcopy(dict(event))) for event in events]

    # -- what the store says ---------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Rows of the store; `?` stands for a value on both databases."""
        if not self.store.sqlite:
            sql = sql.replace("%", "%%").replace("?", "%s")
        with self.store.read() as connection:
            return list(connection.exec_driver_sql(sql, values))

    def states(self, kind: str = "invoice") -> Counter[str]:
        """How many rows of a kind are in each state."""
        found = self.rows("SELECT state, count(*) FROM jobs WHERE kind = ? GROUP BY state", kind)
        return Counter({row[0]: row[1] for row in found})

    def invoice(self, ref: str) -> Any:
        """The invoice row(s) of the order that people call `ref`: id, account, state, reason, attempts."""
        columns = "id, account, state, reason, attempts"
        return self.rows(f"SELECT {columns} FROM jobs WHERE kind = 'invoice' AND label = ? ORDER BY account", ref)

    def story(self, subject: str) -> list[tuple[str, str]]:
        """What the trail says of a subject ("invoice:<id>"): (action, outcome), in order."""
        found = self.rows("SELECT action, outcome FROM audit WHERE subject = ? ORDER BY seq", subject)
        return [tuple(row) for row in found]

    def untaken(self) -> int:
        """Events accepted that nobody has taken yet."""
        with self.inbox_store.read() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM inbox WHERE NOT taken").scalar_one())

    def settled(self) -> bool:
        """Whether nothing moves by itself any more: everything accepted is finished, or waits for a person."""
        events = self.states("event")
        if self.untaken() or sum(events.values()) < len(self.accepted):
            return False
        return all(state in FINAL for (state,) in self.rows("SELECT DISTINCT state FROM jobs WHERE kind <> 'question'"))


def _lift(hosted: Hosted) -> None:
    """The platform takes calls as fast as they come."""
    for name, value in vars(hosted.emulator).items():
        if isinstance(value, Rolling):
            setattr(hosted.emulator, name, Rolling(1_000_000, 1))


def api_key(shop: str) -> str:
    """The key with which the shop pushes to ingest."""
    return f"{shop}-key-0123456789"


def _section(name: str, values: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def _sample(slug: str) -> dict[str, Any]:
    """Credentials and settings as the emulator itself gives them for a billhook.toml."""
    text = f"[shop.myshop.account.{slug}]\n{emulators()[slug].sample}"
    account: dict[str, Any] = tomllib.loads(text)["shop"]["myshop"]["account"][slug]
    return account


# 17 percent has a tax code that the platform refuses
_ACCOUNTS: dict[str, dict[str, Any]] = {
    "xero": {
        "client_id": xero.CLIENT_ID,
        "client_secret": xero.CLIENT_SECRET,
        "refresh_token": xero.REFRESH_TOKEN,
        "settings": {
            "tenant": xero.TENANT,
            "sales_account": "200",
            "tax": {"20": "OUTPUT2", "5": "RROUTPUT", "0": "ZERORATEDOUTPUT", "17": "NOSUCHCODE"},
        },
    },
    "odoo": {
        "api_key": odoo.API_KEY,
        "settings": {
            "url": "https://demo.odoo.example",
            "database": odoo.DATABASE,
            "version": odoo.NEWEST,
            "tax": {"20": 5, "5": 6, "0": 7, "17": 999},
        },
    },
    "quickbooks": {
        "client_id": quickbooks.CLIENT_ID,
        "client_secret": quickbooks.CLIENT_SECRET,
        "refresh_token": quickbooks.REFRESH_TOKEN,
        "settings": {
            "realm_id": quickbooks.REALM,
            "home_currency": "GBP",
            "multicurrency": True,
            "item": "1",
            "tax": {"20": "6", "5": "5", "0": "3", "17": "987654"},
            "tax_rates": {"20": "11", "5": "13"},
        },
    },
    "stripe": {
        "api_key": "sk_live_sandbox",
        "settings": {"tax_rates": {"20": "txr_VAT20", "5": "txr_VAT5", "0": "txr_VAT0", "17": "txr_NONE"}},
    },
}
