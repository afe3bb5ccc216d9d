"""The file that `billhook init` writes, and what `billhook check` advises beside the outright mistakes."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator

from worker.config import Config, Shop

TEMPLATE = """\
# Billhook: an order is fulfilled, and exactly one invoice appears on the accounting platform.
# "env:NAME" is read from the environment variable NAME. `billhook check` says what is wrong or missing here.

[billhook]
data_dir = "billhook-data"        # store, Redis, logs; relative to where `billhook up` is started
port = 8080                       # shops push here, on 127.0.0.1; put a TLS proxy in front
workers = 1                       # processes that call the platforms; one per one or two cores
# database_url = "postgresql+psycopg://billhook@db.example/billhook"    # left out: SQLite in data_dir
# redis_url = "env:REDIS_URL"                                           # left out: a private one

[billhook.flower]                 # http://127.0.0.1:5555, read-only; without a password it does not start
user = "ops"
password = "@FLOWER@"

[shop.@SHOP@]                     # one tenant; add as many as you like
api_key = "@API_KEY@"             # for POST /events and GET /orders/…, as "Authorization: Bearer …"
webhook_secret = "@WEBHOOK@"      # or: events signed as Standard Webhooks
trigger = ["order.fulfilled", "order.completed"]
payment_days = 14
timezone = "Europe/London"        # decides the invoice's date

[shop.@SHOP@.source.web]          # the shop system pushes to POST /in/@SHOP@/web
kind = "shopify"                  # or "woocommerce"
secret = "env:SHOPIFY_SECRET"

[shop.@SHOP@.account.books]
platform = "xero"                 # `billhook platforms` lists them
client_id = "env:XERO_CLIENT_ID"
client_secret = "env:XERO_CLIENT_SECRET"
issue = true                      # false leaves drafts
# base_url = "http://127.0.0.1:8300/xero"    # to try it against `billhook sandbox` first

[shop.@SHOP@.account.books.settings]
tenant = "env:XERO_TENANT"        # the organisation's tenantId
sales_account = "200"
tax = { "20" = "OUTPUT2", "5" = "RROUTPUT", "0" = "ZERORATEDOUTPUT" }    # rate in percent = the platform's tax code

# [shop.@SHOP@.account.cards]     # a second account
# platform = "stripe"
# api_key = "env:STRIPE_KEY"
# settings = { tax_rates = { "20" = "txr_…" } }
#
# [[shop.@SHOP@.route]]           # the first that matches; with a single account no route is needed
# to = ["cards"]
# when = { currency = "USD" }
# [[shop.@SHOP@.route]]
# to = ["books"]

[shop.@SHOP@.notify.email]        # tells the customer; left out, nobody is told
from = "Billing <billing@shop.example>"
smtp = "env:SMTP_URL"             # smtp+starttls://user:password@mail.example:587
"""

VARIABLES = ("SHOPIFY_SECRET", "XERO_CLIENT_ID", "XERO_CLIENT_SECRET", "XERO_TENANT", "SMTP_URL")
"""What the environment must hold for the file as it is written."""


def starting_file(shop: str) -> str:
    """A commented `billhook.toml` for one shop, with keys that nobody else has."""
    text = TEMPLATE
    for mark, value in {
        "@SHOP@": shop,
        "@API_KEY@": "bhk_" + secrets.token_urlsafe(24),
        "@WEBHOOK@": "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        "@FLOWER@": secrets.token_urlsafe(12),
    }.items():
        text = text.replace(mark, value)
    return text


def summary(config: Config) -> str:
    """What the configuration sets up, counted."""
    shops, accounts = len(config.shop), sum(1 for _ in config.accounts())
    sources = sum(len(shop.source) for shop in config.shop.values())
    return ", ".join((_count(shops, "shop"), _count(accounts, "account"), _count(sources, "source")))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def advice(config: Config) -> Iterator[tuple[str, str]]:
    """What is allowed but hardly meant: (place, what it leads to)."""
    if not config.shop:
        yield "shop", "there is none, so nobody can push events"
    for name, shop in config.shop.items():
        yield from _shop_advice(f"shop.{name}", shop)
    if config.billhook.flower.password is None:
        yield "billhook.flower.password", "is not set, so Flower does not start"
    if config.billhook.host not in ("127.0.0.1", "localhost", "::1"):
        yield "billhook.host", "is reachable from other machines without TLS; put a proxy in front"


def _shop_advice(place: str, shop: Shop) -> Iterator[tuple[str, str]]:
    if not shop.account:
        yield f"{place}.account", "there is none, so every order will be held"
    if len(shop.account) > 1 and not shop.route:
        yield f"{place}.route", "there is none for several accounts, so every order will be held"
    if shop.notify.email is None:
        yield f"{place}.notify", "is not set, so customers are not told of their invoices"
