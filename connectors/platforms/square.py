"""Square: an order, its invoice as a draft, publish. Orders API and Invoices API v2.

Sources: square/connect-api-specification `api.json` (fields, lengths, enums, answers of searches), the SDK
square/square-python-sdk (version header, retries), developer.squareup.com/docs: invoices-api (what an order must be to
be invoiced), orders-api/price-adjustments (halves are rounded to even), orders-api/taxes (item-level taxes are computed
item by item), cancel-delete-invoices, pay-refund-invoices, working-with-apis/idempotency, oauth-api.

Traps: a search that finds nothing answers `{}`, which must not be mistaken for "not there" when it is no answer of
Square's at all, so something that cannot be empty is asked as well; an order made by a till cannot be invoiced, so one
is made through the API; its currency must be the location's; there is no filter by number, so a customer's invoices are
gone through, nor one by date; a partly paid invoice is cancelled without a word, and what was paid stays paid; how long
a key is remembered is not published (ten minutes are relied on), nor are rate limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.auth import Grant, OAuth2
from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import square_words as words
from connectors.platforms.base import Choice, Platform, choices
from connectors.platforms.documents import JSON, Request, reading
from connectors.platforms.facts import Facts, Key, Reference, Refusal
from connectors.platforms.square_documents import Customers, Invoices, post


class Square(Platform):
    """Three calls an invoice: an order, the invoice as a draft, publish. Each has its own key, and whatever stands is
    found and continued. The order's name becomes the invoice number, which is unique within a location; the invoice's
    description ends in our business key, which the customer sees. The draft is compared with the order before it is
    published. Customers are found by our key in their reference id, else by e-mail address.

    Square computes tax and rounds halves to the even cent. Where every way of rounding gives the order's total, taxes
    are added by Square; else the lines are sent with their tax included, so that the total stays the order's, and the
    trail says so. An order discount is taken off the lines. A location bills in its own currency: orders in a currency
    without a location are held. Mailing happens only at publishing (`delivery = "EMAIL"`); there is no PDF.

    Square has no credit notes (its API description knows none): after a refund of all of an order the invoice is
    cancelled while nothing is paid on it. Square would cancel a partly paid one too, and keep the money; that is
    refused here, and a person is told: refund the payment on Square, which shows on the invoice.

    - **Proved with:** the emulator; the SDK `squareup` drives it (customer, order, preview, draft, publish, search,
      read, cancel, delete, keys, token refresh); fields and lengths were compared with Square's own API description.
    - **Open:** how the refusal of a number that is taken looks (anything that names the invoice number counts), and
      that of an outdated version; whether the number of a deleted draft is free again; how long a key is remembered
      (ten minutes are relied on); how soon the searches show what was made; the rate limits, which are not published;
      whether Square really rounds a line's tax by line. An invoice of another customer that has our number makes
      Square refuse ours; it is not found by us. A customer's invoices are gone through 200 a call: a house customer's
      take long.
    """

    facts = Facts(
        slug="square",
        title=words.TITLE,
        docs="https://developer.squareup.com/docs/invoices-api/overview",
        base_url="https://connect.squareup.com",
        auth="OAuth 2, or a personal access token",
        oauth=OAuth2(
            "https://connect.squareup.com/oauth2/token",
            client="body",
            alone=False,
            authorize_url="https://connect.squareup.com/oauth2/authorize",
            scopes=(
                "MERCHANT_PROFILE_READ", "CUSTOMERS_READ", "CUSTOMERS_WRITE", "ORDERS_READ", "ORDERS_WRITE",
                "INVOICES_READ", "INVOICES_WRITE",
            ),
            consent=(("session", "false"),),
            lifetime=timedelta(days=30),
            json=True,
        ),
        reference=Reference("invoice_number", words.NUMBER, unique=True),
        key_field="description",
        key=Key("idempotency_key", 128, timedelta(minutes=10), place="body"),
        concurrent=4,
        quiet=timedelta(minutes=15),
        pause=timedelta(seconds=5),
        deadline=60.0,
        can=frozenset({"draft", "issue", "link", "void", "list"}),
    )  # fmt: skip
    Settings = words.SquareSettings
    Credentials = words.SquareCredentials
    Customers = Customers
    Invoices = Invoices
    headers: ClassVar[Mapping[str, str]] = {"Square-Version": "2026-08-19", "Accept": "application/json"}
    refusals = (
        Refusal(Uncertain, contains="IDEMPOTENCY_KEY_REUSED"),
        Refusal(Uncertain, contains="VERSION_MISMATCH"),
        Refusal(Uncertain, 409),
        Refusal(Rejected, 400, "VALUE_TOO_LONG"),
        Refusal(Duplicate, 400, "invoice_number"),
        # A key that made another order: "Order … already exists." (developer.squareup.com/forums, 19722)
        Refusal(Uncertain, 400, "already exists"),
        Refusal(Throttled, contains="RATE_LIMITED"),
        Refusal(Unauthorized, 403, "INSUFFICIENT_SCOPES"),
    )

    @classmethod
    def tenant(cls, settings: words.SquareSettings, credentials: words.SquareCredentials) -> str:
        """A location of the seller's: no answer that is stored names the seller."""
        return min(settings.locations.values())

    @classmethod
    def static_headers(cls, credentials: words.SquareCredentials) -> Mapping[str, str] | None:
        given = credentials.access_token
        return cls.proof(given.get_secret_value(), credentials) if given else None

    @classmethod
    def grant(cls, settings: words.SquareSettings, credentials: words.SquareCredentials) -> Grant | None:
        return None if credentials.access_token else cls.facts.oauth

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        errors = answer.json()["errors"]
        told = [" ".join(filter(None, (one.get("detail") or one["code"], one.get("field")))) for one in errors]
        return "; ".join(told), errors[0]["code"]

    def listed(
        self, path: str, name: str, question: Mapping[str, Any], read_as: Callable[[Any], Any] = dict
    ) -> list[Any]:
        """All that a search finds, page by page, as `read_as` reads one; nothing only where it surely is Square that
        answers. Raises the errors of a read."""
        found: list[Any] = []
        cursor: str | None = ""
        while cursor is not None:
            body = dump_json({**question, **({"cursor": cursor} if cursor else {})})
            page = self.told(self.ask(path, headers=JSON, body=body), lambda answer: _page(answer, name, read_as))
            found += page[0]
            cursor = page[1]
        if not found:
            self._locations()
        return found

    def _locations(self) -> list[Any]:
        """Every seller has one."""
        return self.told(self.ask("/v2/locations"), lambda body: [{**one} for one in body["locations"] if one["id"]])

    def whoami(self) -> str:
        here = self._locations()
        mine = [one for one in here if one["id"] in self.settings.locations.values()] or here
        return str(mine[0].get("business_name") or mine[0].get("name") or mine[0]["id"])

    def options(self) -> list[Choice]:
        active = [one for one in self._locations() if one.get("status") == "ACTIVE"]
        named = [{**one, "name": f"{one['name']} ({one['country']})"} for one in active]
        return choices("locations", named, key=lambda one: str(one["currency"]))

    def _invoice(self, remote_id: str) -> Any:
        answer = self.ask(f"/v2/invoices/{quote(remote_id, safe='')}")
        return self.told(answer, lambda body: {**body["invoice"], "read": words.invoice(body["invoice"])})

    def read(self, remote_id: str) -> RemoteInvoice:
        found: RemoteInvoice = self._invoice(remote_id)["read"]
        return found

    def since(self, day: date) -> list[RemoteInvoice]:
        """Picked from all invoices of each location, of any customer."""
        found: list[RemoteInvoice | None] = []
        for location in dict.fromkeys(self.settings.locations.values()):
            sort = {"field": "INVOICE_SORT_DATE", "order": "ASC"}
            question = {"query": {"filter": {"location_ids": [location]}, "sort": sort}, "limit": 200}
            found += self.listed("/v2/invoices/search", "invoices", question, lambda raw: words.dated_since(raw, day))
        return [one for one in found if one]

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        """Neither call takes a key; a second one is refused by Square, as is an invoice that was paid after it was
        read: its version is another one then."""
        raw = self._invoice(remote_id)
        now: RemoteInvoice = raw["read"]
        path, version = f"/v2/invoices/{quote(remote_id, safe='')}", raw["version"]
        if now.status is Status.VOID:
            return now
        if now.status is Status.DRAFT:
            self.execute(Request(step="void", method="DELETE", path=path, query={"version": str(version)}))
            return now.model_copy(update={"status": Status.VOID})
        if now.due != now.total:
            raise Rejected(
                f"invoice {now.number or remote_id} is paid on Square, in whole or in part, and cancelling it would "
                "keep the money: refund the payment on Square instead"
            )
        answer = self.execute(post("void", f"{path}/cancel", {"version": version}))
        return reading(lambda: words.invoice(answer.json()["invoice"]), answer)


def _page(body: Any, name: str, read_as: Callable[[Any], Any]) -> tuple[list[Any], str | None]:
    """The rows and the next page's cursor; a search that finds nothing says `{}`."""
    if name not in body and set(body) - {"cursor", "count"}:
        raise ValueError("not an answer to a search")
    return [read_as(raw) for raw in body.get(name) or []], body.get("cursor") or None
