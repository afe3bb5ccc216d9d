"""Cin7 Core (formerly DEAR), API v2: a sale, its order, its invoice, each step found again before it is repeated.

Sources: the vendor's reference (dearinventory.docs.apiary.io, read as published API Blueprint: paths, lengths, which
state each step needs, void) and notes of its users (403 for wrong credentials, limits told as 503, 429 or 400, errors
inside a 200). The traps: `ExternalID` is no constraint; an empty TaskID opens another invoice; the first task of a sale
need not have the sale's id; the totals of an invoice may be missing from the answer that makes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import Field, SecretStr

from connectors.errors import Duplicate
from connectors.http import Answer
from connectors.model import Model, RemoteInvoice, Status
from connectors.platforms import cin7_core_words as words
from connectors.platforms.base import Choice, Platform, choices
from connectors.platforms.cin7_core_documents import API, Customers, Invoices
from connectors.platforms.cin7_core_words import TITLE, Cin7CoreSettings, Raw
from connectors.platforms.documents import Request, reading
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.rows import percent

OVER_LIMIT = b"calls per 60 seconds"

LISTS = {
    "location": ("ref/location", "LocationList", "Name"),
    "tax": ("ref/tax", "TaxRuleList", "Name"),
    "payment_term": ("ref/paymentterm", "PaymentTermList", "Name"),
    "price_tier": ("ref/priceTier", "PriceTiers", "Name"),
}
"""Setting, path, the list in the answer, and what of an entry is the setting."""


class Cin7CoreCredentials(Model):
    """An API application: Integrations > API in Cin7 Core."""

    account_id: Annotated[SecretStr, Field(description="Cin7 Core Account ID, as secret as a password")]
    application_key: Annotated[SecretStr, Field(description="API Application key")]


class Cin7Core(Platform):
    """An invoice in Cin7 Core belongs to a sale, so Billhook makes one of type Simple: the sale with your order's
    number as customer reference, its order with all lines, authorised; then, if what the order comes to agrees with
    the shop's order to the cent, the invoice. If something breaks in between, the sale is found again by its
    `ExternalID`, which is Billhook's key and visible in the API only, and continued where it stopped. A sale that
    another connection of your shop has made for the same order is never taken over: the invoice is held, and you say
    which one it shall be.

    Prices go there without tax and every tax as an amount, so nothing is rounded again; discounts are taken off the
    prices (four decimals). Where the price of seven things does not come out even, six have one price and the seventh
    another, so that stock stays right. Each line is a product: by its SKU where `products` has it, else the service
    product of `product`; shipping is the service product of `shipping`. Customers are found by name and by e-mail
    address; a customer has one currency, so who orders in two is two customers. Names are the key there, so a private
    buyer's has the customer number behind it: "Ada Lovelace (C-9)".

    An order that is given back as a whole before it is paid is voided; another refund is held for a person. Cin7 Core
    has credit notes in its API (POST /sale/creditnote), but a Simple sale takes only one (help centre, Advanced Sales),
    and no call puts one against what is due of an invoice: the payment that would take it (`CreditID`) can be changed
    through the API, not made (reference, POST /sale/payment); allocating is a button.

    Nothing is mailed, and there is no PDF and no payment page: Cin7 Core offers none through its API.

    - **Proved with:** an emulator written from the vendor's reference: the order of steps, states, lengths, sums that
      are checked, tasks whose id is not the sale's, errors inside a 200, 60 calls a minute. The vendor's own example of
      a sale is read as expected.
    - **Open:** whether `ExternalID` is unique (not relied upon) and how soon a new sale is in the list (we wait 15
      minutes); whether a line's `Total` is checked with or without tax (it is sent without), and whether a line's name
      may differ from its product's; the exact words of refusals (one that names the state DRAFT makes Billhook look,
      instead of giving up); whether your settings can demand goods to be shipped before they are invoiced; whether the
      60 calls a minute are per key or per account. An invoice that is voided by hand on its own, not with its sale, is
      seen as voided. Voiding voids the whole sale, for the API voids invoices of Advanced sales only.
    """

    facts = Facts(
        slug="cin7_core",
        title=TITLE,
        docs="https://dearinventory.docs.apiary.io/",
        base_url="https://inventory.dearsystems.com",
        auth="account id and application key",
        reference=Reference("CustomerReference", max_length=256, unique=False),
        key_field="ExternalID",
        quotas=(Quota(60, timedelta(minutes=1)),),
        concurrent=4,
        one_currency=True,
        pause=timedelta(minutes=1),
        can=frozenset({"draft", "issue", "void", "list"}),
    )
    Settings = Cin7CoreSettings
    Credentials = Cin7CoreCredentials
    Customers = Customers
    Invoices = Invoices
    refusals = (Refusal(Duplicate, 400, "DRAFT"), Refusal(Duplicate, 400, "already exists"))

    @classmethod
    def tenant(cls, settings: Cin7CoreSettings, credentials: Cin7CoreCredentials) -> str:
        """The company, by a hash: the vendor calls its id a login."""
        ident = credentials.account_id.get_secret_value().lower()
        return f"account-{hashlib.sha256(b'billhook-cin7:' + ident.encode()).hexdigest()[:24]}"

    @classmethod
    def static_headers(cls, credentials: Cin7CoreCredentials) -> Mapping[str, str]:
        return {
            "api-auth-accountid": credentials.account_id.get_secret_value(),
            "api-auth-applicationkey": credentials.application_key.get_secret_value(),
        }

    def status(self, answer: Answer) -> int:
        """403 is wrong credentials; "too many" comes as 503, 429 or 400; an error may come with a 200."""
        if OVER_LIMIT in answer.body:
            return 429
        if answer.status == 403:
            return 401
        if not 200 <= answer.status < 300:
            return answer.status
        try:
            told = words.errors(answer.json())
        except ValueError:
            return answer.status
        code = told[0][0] if told else ""
        return answer.status if not told else int(code) if code in {"404", "500"} else 400

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """Sometimes plain text; a page of HTML is a proxy's."""
        try:
            told = words.errors(answer.json())
        except ValueError:
            text = answer.body.decode().strip()
            if not text or text.startswith("<"):
                raise
            return text[:500], None
        return "; ".join(text for _, text in told) or "refused without a reason", told[0][0] or None

    def retry_after(self, answer: Answer) -> float | None:
        """The header says "60 Seconds"."""
        found = re.match(r"\s*(\d{1,4})\s*(?:$|[Ss]econd)", answer.headers.get("Retry-After", ""))
        return float(found[1]) if found else answer.retry_after

    def listed(self, path: str, name: str, query: Mapping[str, str] | None = None) -> list[Raw]:
        """Everything a list holds, up to 1,000 a page; `Total` says how much that is. Raises the errors of a read."""

        def page(number: int, left: Any) -> tuple[list[Raw], Any]:
            answer = self.ask(f"{API}/{path}", {**(query or {}), "Page": str(number), "Limit": "1000"})
            rows, total = self.told(answer, lambda body: (list(body[name]), body.get("Total")))
            return rows, len(rows) == 1000 if total is None else max(0, (left or total) - len(rows))

        return self.every(page)

    def sale(self, ident: str) -> Raw:
        """A whole sale. Raises the errors of a read."""
        answer = self.ask(f"{API}/sale", {"ID": ident, "HideInventoryMovements": "true"})
        return self.told(answer, lambda body: {"ID": body["ID"], **body})

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.ask(f"{API}/sale", {"ID": remote_id, "HideInventoryMovements": "true"})
        return self.told(answer, words.document)

    def since(self, day: date) -> list[RemoteInvoice]:
        """The list of sales cannot be asked by the date of an invoice (reference, GET /saleList), and its rows lack
        sums: it is read whole, a thousand a call, and each sale of that time on its own. A sale that is not invoiced
        yet is a draft of its order's day."""
        rows = self.listed("saleList", "SaleList")
        of_the_time = [row["SaleID"] for row in rows if words.dated(row) >= day.isoformat() and words.is_sale(row)]
        return [self.read(ident) for ident in of_the_time]

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """With its order: the invoice of a Simple sale cannot be voided alone (reference, DELETE /sale/invoice)."""
        path = f"{API}/sale?ID={quote(found.id, safe='')}&Void=true"
        answer = self.execute(Request(step="void", method="DELETE", path=path), key=key)
        reading(lambda: answer.json()["ID"], answer)
        return found.model_copy(update={"status": Status.VOID})

    def whoami(self) -> str:
        return self.told(self.ask(f"{API}/me"), lambda body: str(body["Company"]))

    def options(self) -> list[Choice]:
        found = []
        for setting, (path, name, field) in LISTS.items():
            for raw in self.listed(path, name, {"IsTaxForSale": "true"} if setting == "tax" else None):
                if raw.get("IsActive", True) and not raw.get("TaxInclusive"):
                    key = percent(raw["TaxPercent"]) if setting == "tax" else None
                    found.append(Choice(setting=setting, key=key, value=raw[field], title=raw["Name"]))
        for raw in self.listed("ref/account", "AccountsList"):
            if kind := {"REVENUE": "revenue_account", "ASSET": "receivable_account"}.get(raw["Class"]):
                found.append(Choice(setting=kind, value=raw["Code"], title=raw["Name"]))
        products = self.listed("product", "Products")
        found += choices("products", products, "ID", "Name", lambda raw: str(raw["SKU"]))
        found += choices("product", products, "SKU", "Name")
        return found + choices("shipping", (raw for raw in products if raw.get("Type") == "Service"), "Name", "Name")
