"""The demo's configuration: five engraving businesses, each with three shop systems and accounts on four platforms."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from connectors.sandbox.base import emulators
from worker.config import Config, load
from worker.embedded.machine import free_port

QUIET = 4.0
"""Seconds; the sandbox carries a late call out after one."""
SHOPS = {
    "engraver": ("odoo", "quickbooks", "stripe", "xero"),
    "trophies": ("freshbooks", "netsuite", "square", "zoho_books"),
    "nameplates": ("paypal", "sap_business_one", "wave", "sage"),
    "awards": ("hubspot", "dynamics365", "invoiced", "bill_com"),
    "pettags": ("salesforce", "cin7_core", "oracle_erp", "intuit"),
}
"""The platforms of each business: for orders from abroad, from its own system, from its shop, from its web shop."""

_HEAD = """\
[billhook]
data_dir = "{folder}/data"
port = {port}

[billhook.flower]
password = "{flower}"
port = {flower_port}

[billhook.timing]
deadline = 5.0
lease_margin = 5.0
dispatch_every = 1.0
seal_every = 2.0
"""
_SHOP = """
[shop.{shop}]
api_key = "{api_key}"
webhook_secret = "{erp}"

[shop.{shop}.source.web]
kind = "shopify"
secret = "{web}"

[shop.{shop}.source.shop]
kind = "woocommerce"
secret = "{woo}"

[[shop.{shop}.route]]
to = ["{abroad}"]
when = {{ country = ["DE", "FR", "NL", "US"] }}

[[shop.{shop}.route]]
to = ["{own}"]
when = {{ source = "api" }}

[[shop.{shop}.route]]
to = ["{cards}"]
when = {{ source = "shop" }}

[[shop.{shop}.route]]
to = ["{books}"]

[shop.{shop}.notify.email]
from = "The Engraver <billing@{shop}.example>"
smtp = "{smtp}"
"""
_ACCOUNT = """
[shop.{shop}.account.{slug}]
platform = "{slug}"
base_url = "{sandbox}/{slug}"
quiet_seconds = {quiet}
"""


def shop_of(number: int) -> str:
    """The business that the order of this number belongs to: five in turn, whatever system it comes from."""
    return tuple(SHOPS)[number // 5 % len(SHOPS)]


def write_config(folder: Path, sandbox: str, smtp: str) -> tuple[Config, Path, dict[str, dict[str, str]]]:
    """Writes the demo's billhook.toml. Returns it, where it is, and each business's keys: its own, and by source."""
    keys = {
        shop: {
            "api_key": secrets.token_urlsafe(24),
            "web": secrets.token_hex(16),
            "shop": secrets.token_hex(16),
            "erp": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        for shop in SHOPS
    }
    parts = [_HEAD.format(folder=folder, port=free_port(), flower=secrets.token_urlsafe(9), flower_port=free_port())]
    for shop, (abroad, own, cards, books) in SHOPS.items():
        where = {"abroad": abroad, "own": own, "cards": cards, "books": books}
        signed = {"api_key": keys[shop]["api_key"], "erp": keys[shop]["erp"], "web": keys[shop]["web"]}
        parts.append(_SHOP.format(shop=shop, woo=keys[shop]["shop"], smtp=smtp, **where, **signed))
        for slug in where.values():
            parts.append(_ACCOUNT.format(shop=shop, slug=slug, sandbox=sandbox, quiet=QUIET))
            parts.append(emulators()[slug].sample.strip().replace("shop.myshop.", f"shop.{shop}.") + "\n")
    file = folder / "billhook.toml"
    file.write_text("".join(parts), encoding="utf-8")
    return load(file, {}), file, keys
