"""Xero, Accounting API 2.0. PUT creates only; POST would silently overwrite an invoice that has the number already.

Sources: Xero-OpenAPI `xero_accounting.yaml` 16.1.0 (paths, fields, lengths, the overridable `TaxAmount`) and the
guides on developer.xero.com: idempotency (six minutes, stored errors are replayed), limits, rounding (tax is rounded
per line), paging and filters. Our reference is the InvoiceNumber; `Reference` ends in our business key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import ClassVar
from urllib.parse import quote

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Unauthorized, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import xero_words as words
from connectors.platforms.base import AppCredentials, Choice, Platform
from connectors.platforms.documents import JSON, Request, posted, reading
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from connectors.platforms.xero_documents import API, Contacts, CreditNotes, Invoices


class Xero(Platform):
    """One call creates up to 50 contacts or invoices (PUT, with an answer for each), issued at once. The order's
    name becomes the InvoiceNumber, which is unique; `Reference` ends in our business key. Tax is given as a tax
    type; the tax amount is overridden only on lines where Xero's rounding would not give the order's total. An
    order that cannot be reached to the cent is held.

    Customers are found by our contact number, else by e-mail, else by name; a person's name is made unique ("Ada
    Lovelace (C-9)").

    The refresh token in the file is used once. From then on the newest one is in the store, encrypted.

    - **Proved with:** the emulator; the SDK `xero-python` drives it (create, bulk with errors, duplicate number,
      find, mail, PDF, void, keys, token refresh).
    - **Open:** whether the look-up by number shows deleted and voided invoices (both are sorted out here); how
      quotes are escaped in a filter (names with quotes are searched for instead); how long after a create the
      look-up sees it (hence the quiet period); whether the number of a voided invoice may be used again; the
      longest `Reference`; whether negative lines are always taken.
    """

    facts = Facts(
        slug="xero",
        title="Xero",
        docs="https://developer.xero.com/documentation/api/accounting/overview",
        base_url="https://api.xero.com",
        auth="OAuth 2, rotating refresh tokens; or a custom connection",
        oauth=OAuth2(
            "https://identity.xero.com/connect/token",
            rotates=True,
            grace=timedelta(minutes=30),
            authorize_url="https://login.xero.com/identity/connect/authorize",
            scopes=("offline_access", "accounting.transactions", "accounting.contacts", "accounting.settings.read"),
        ),
        reference=Reference("InvoiceNumber", max_length=255, unique=True),
        key_field="Reference",
        key=Key("Idempotency-Key", max_length=128, lives=timedelta(minutes=6)),
        quotas=(Quota(60, timedelta(minutes=1)), Quota(5000, timedelta(days=1))),
        concurrent=5,
        bulk=50,
        quiet=timedelta(minutes=2),
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Settings = words.XeroSettings
    Credentials = AppCredentials
    Customers = Contacts
    Invoices = Invoices
    Credits = CreditNotes
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Duplicate, 400, "must be unique"),
        Refusal(Duplicate, 400, "already assigned to another contact"),
        Refusal(Uncertain, 400, "different request"),
        Refusal(Unauthorized, 403),
    )

    @classmethod
    def tenant(cls, settings: words.XeroSettings, credentials: AppCredentials) -> str:
        return settings.tenant

    def tenant_headers(self) -> Mapping[str, str]:
        return {"xero-tenant-id": self.settings.tenant}

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        if answer.status == 429:
            return f"too many calls: the {answer.headers.get('X-Rate-Limit-Problem', 'call')} limit is reached", None
        body = answer.json()
        if "Detail" in body:
            return f"{body.get('Title', '')}: {body['Detail']}", None
        reasons = "; ".join(filter(None, (words.messages(element) for element in body.get("Elements", ()))))
        return reasons or str(body["Message"]), str(body["ErrorNumber"]) if "ErrorNumber" in body else None

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.ask(_path(remote_id))
        return self.told(answer, lambda body: Invoices(self).document(body["Invoices"][0]))

    def send(self, remote_id: str, key: str) -> None:
        """Xero answers 204. Refused for drafts and for contacts without an e-mail address; 1,000 mails a day."""
        self.execute(Request(step="send", path=_path(remote_id) + "/Email", headers=JSON, body="{}"), key=key)

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(_path(remote_id))

    def whoami(self) -> str:
        return self.told(self.ask(f"{API}/Organisation"), lambda body: str(body["Organisations"][0]["Name"]))

    def options(self) -> list[Choice]:
        return [choice for collection in words.CHOICES for choice in self._choices(collection)]

    def _choices(self, collection: str) -> list[Choice]:
        answer = self.ask(f"{API}/{collection}")
        return self.told(answer, lambda body: words.offered(collection, body[collection]))

    def since(self, day: date) -> list[RemoteInvoice]:
        """Other programs have a number of their own, and write the order's name into `Reference`, where our key is."""
        invoices = Invoices(self)
        asked = f'Type=="ACCREC" AND Date>=DateTime({day.year},{day.month},{day.day})'
        listed = [raw for raw in invoices.listed({"where": asked}) if raw["Status"] != "DELETED"]
        read = [(invoices.document(raw), raw.get("Reference")) for raw in listed]
        return [one if one.key or not said else one.model_copy(update={"reference": said}) for one, said in read]

    def link(self, remote_id: str) -> str | None:
        answer = self.ask(_path(remote_id) + "/OnlineInvoice")
        pages = self.told(answer, lambda body: body["OnlineInvoices"])
        return (pages[0].get("OnlineInvoiceUrl") or None) if pages else None

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """AUTHORISED becomes VOIDED (refused once anything is paid), DRAFT and SUBMITTED become DELETED."""
        status = "DELETED" if found.status is Status.DRAFT else "VOIDED"
        change = {"InvoiceID": found.id, "Status": status}
        answer = self.execute(posted("void", _path(found.id), change), key=key)
        return reading(lambda: self.invoices.made(Request(step="void", path=""), answer)[1] or found, answer)


def _path(remote_id: str) -> str:
    return f"{API}/Invoices/{quote(remote_id, safe='')}"
