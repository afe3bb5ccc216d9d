"""The demo's configuration: one engraving business, three shop systems, an account on each platform of the sandbox."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from connectors.sandbox import odoo, quickbooks, stripe, xero
from worker.config import Config, load
from worker.embedded.machine import free_port

SHOP = "engraver"
QUIET = 4.0
"""Seconds; the sandbox carries a late call out after one."""

_TOML = """\
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

[shop.{shop}]
api_key = "{api_key}"
webhook_secret = "{erp}"

[shop.{shop}.source.web]
kind = "shopify"
secret = "{web}"

[shop.{shop}.source.shop]
kind = "woocommerce"
secret = "{woo}"

[shop.{shop}.account.books]
platform = "xero"
base_url = "{sandbox}/xero"
quiet_seconds = {quiet}
client_id = "{client_id}"
client_secret = "{client_secret}"
refresh_token = "{refresh_token}"

[shop.{shop}.account.books.settings]
tenant = "{tenant}"
sales_account = "200"
tax = {{ "20" = "OUTPUT2", "5" = "RROUTPUT", "0" = "ZERORATEDOUTPUT" }}

[shop.{shop}.account.cards]
platform = "stripe"
base_url = "{sandbox}/stripe"
quiet_seconds = {quiet}
api_key = "{stripe_key}"

[shop.{shop}.account.cards.settings]
tax_rates = {{ "20" = "txr_VAT20", "5" = "txr_VAT5", "0" = "txr_VAT0" }}
inclusive_tax_rates = {{ "20" = "txr_VAT20_inclusive", "5" = "txr_VAT5_inclusive", "0" = "txr_VAT0_inclusive" }}

[shop.{shop}.account.ledger]
platform = "quickbooks"
base_url = "{sandbox}/quickbooks"
quiet_seconds = {quiet}
client_id = "{quickbooks.CLIENT_ID}"
client_secret = "{quickbooks.CLIENT_SECRET}"
refresh_token = "{quickbooks.REFRESH_TOKEN}"

[shop.{shop}.account.ledger.settings]
realm_id = "{quickbooks.REALM}"
home_currency = "GBP"
multicurrency = true
item = "1"
tax = {{ "20" = "6", "5" = "5", "0" = "3" }}
tax_rates = {{ "20" = "11", "5" = "13" }}

[shop.{shop}.account.abroad]
platform = "odoo"
base_url = "{sandbox}/odoo"
quiet_seconds = {quiet}
api_key = "{odoo.API_KEY}"

[shop.{shop}.account.abroad.settings]
url = "https://demo.odoo.example"
database = "{odoo.DATABASE}"
version = {odoo.NEWEST}
tax = {{ "20" = 5, "5" = 6, "0" = 7 }}
inclusive_tax = {{ "20" = 8, "5" = 9, "0" = 10 }}

[[shop.{shop}.route]]
to = ["ledger"]
when = {{ source = "api" }}

[[shop.{shop}.route]]
to = ["abroad"]
when = {{ country = ["DE", "FR", "NL", "US"] }}

[[shop.{shop}.route]]
to = ["cards"]
when = {{ source = "shop" }}

[[shop.{shop}.route]]
to = ["books"]

[shop.{shop}.notify.email]
from = "The Engraver <billing@engraver.example>"
smtp = "{smtp}"
"""


def write_config(folder: Path, sandbox: str, smtp: str) -> tuple[Config, Path, dict[str, str]]:
    """Writes the demo's billhook.toml. Returns it, where it is, and the keys the shops sign with, by source."""
    keys = {
        "api_key": secrets.token_urlsafe(24),
        "web": secrets.token_hex(16),
        "shop": secrets.token_hex(16),
        "erp": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "flower": secrets.token_urlsafe(9),
    }
    file = folder / "billhook.toml"
    file.write_text(
        _TOML.format(
            folder=folder, port=free_port(), flower=keys["flower"], flower_port=free_port(), shop=SHOP,
            api_key=keys["api_key"], erp=keys["erp"], web=keys["web"], woo=keys["shop"], sandbox=sandbox, quiet=QUIET,
            client_id=xero.CLIENT_ID, client_secret=xero.CLIENT_SECRET, refresh_token=xero.REFRESH_TOKEN,
            tenant=xero.TENANT, quickbooks=quickbooks, odoo=odoo, stripe_key=next(iter(stripe.KEYS)), smtp=smtp,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return load(file, {}), file, keys
