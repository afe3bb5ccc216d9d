"""NetSuite, SuiteTalk REST Web Services, record service v1; SuiteQL for look-ups.

Sources: Oracle's NetSuite help (docs.oracle.com): error handling, batch operations (100 records), sending an
asynchronous request using an idempotency key, OAuth 2.0 client credentials (request token structure), concurrency
governance, SuiteQL, credit memo (article_164460021767: POST /creditMemo, its sublist Apply); field names from the REST
API Browser 2026.1 (`creditMemo-applyElement`: apply, doc, amount; a credit memo's status is A, B or V).

Traps: without `X-NetSuite-PropertyNameValidation: Error` a mistyped field is dropped with a warning; a PUT may add the
lines a second time, so only POST is used; the idempotency header is ignored unless the call is asynchronous, and a
replay answers 400 with the address of the first job; a finished job may hold failed tasks; "too many" comes as a 429
without Retry-After, over the calls in flight and not over a rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, ClassVar, Self
from urllib.parse import quote, urlencode

from oauthlib.oauth1 import SIGNATURE_HMAC_SHA256, Client
from pydantic import Field, SecretStr, model_validator

from connectors.assertions import AssertedClient
from connectors.auth import Grant
from connectors.errors import Duplicate, Rejected, Throttled, Uncertain
from connectors.http import Answer
from connectors.model import Model, RemoteInvoice
from connectors.platforms import netsuite_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import Request, posted
from connectors.platforms.facts import Facts, Key, Reference, Refusal
from connectors.platforms.netsuite_documents import RECORD, STRICT, CreditNotes, Customers, Invoices, rows

TOKEN = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
LISTED = 100
"""Tax codes and tax types that `options` reads, one by one."""


class NetSuiteCredentials(Model):
    """Either a certificate (OAuth 2.0 client credentials) or a token of token-based authentication (TBA)."""

    client_id: Annotated[str | None, Field(description="client id of the integration record (OAuth 2.0)")] = None
    certificate_id: Annotated[str | None, Field(description="certificate id of the OAuth 2.0 M2M setup page")] = None
    private_key: Annotated[SecretStr | None, Field(description="the certificate's private key, PEM: RSA or EC")] = None
    consumer_key: Annotated[str | None, Field(description="consumer key of the integration record (TBA)")] = None
    consumer_secret: Annotated[SecretStr | None, Field(description="consumer secret (TBA)")] = None
    token_id: Annotated[str | None, Field(description="token id (TBA)")] = None
    token_secret: Annotated[SecretStr | None, Field(description="token secret (TBA)")] = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        certificate = (self.client_id, self.certificate_id, self.private_key)
        token = (self.consumer_key, self.consumer_secret, self.token_id, self.token_secret)
        if (all(certificate), any(token)) == (True, False) or (any(certificate), all(token)) == (False, True):
            return self
        raise ValueError(
            "give client_id, certificate_id and private_key (OAuth 2.0), or consumer_key, consumer_secret, token_id "
            "and token_secret (TBA)"
        )


def _certificate(host: str) -> AssertedClient:
    """Tokens for the app, proved by its certificate's key: NetSuite takes PS256, and ES256 to ES512, not RS256."""
    return AssertedClient(
        f"{host}{TOKEN}", scopes=("rest_webservices",), key_name="certificate_id", rsa="PS256", curves=True
    )


class NetSuite(Platform):
    """An invoice is posted by the call that creates it; where your account routes invoices for approval it waits there
    as *Pending Approval*, and its customer is told nothing yet. Tax is stated line by line as the order has it
    (*tax details override*), so NetSuite computes none and the total agrees to the cent; amounts are shown without tax,
    and an order's discount is taken off its lines, which say so. Many invoices leave as one asynchronous job of up to
    100; while it runs the invoices are *uncertain*, and Billhook asks again. The external id of an invoice is made of
    our key, so none is made twice; the order's number is in *PO/Check Number*, our key at the end of the memo.

    A customer is found by its external id, else by e-mail address among those of the order's currency (a customer has
    one currency here); else it is made, a person under a name like "Ada Lovelace (C-9)". Needed: the features REST Web
    Services, SuiteTax, SuiteAnalytics Workbook and OAuth 2.0 (or TBA), and a role with Invoice, Customers, Items and
    REST Web Services. Currencies of three decimals are refused. NetSuite cannot void through REST.

    What was refunded becomes a credit memo, posted and applied to its invoice by one call, as far as that is due; the
    rest stays the customer's credit. It carries its own reference and key in the same fields; the role needs Credit
    Memo for it.

    How many calls NetSuite takes at once belongs to the account and is shared by all its integrations: the standard
    service tier takes 5, each SuiteCloud Plus licence adds 10, and an administrator may reserve some for one
    integration (*Integration Governance*). `concurrency` is our share; 3 leave two of the standard tier to others.

    - **Proved with:** the emulator, over OAuth 2.0 (PS256 and ES256) and TBA; the Python package `netsuite` 0.12, which
      drives the emulator with TBA (create, read, change, SuiteQL).
    - **Open:** nothing has met a live account. Not documented, and so to be tried first: stating tax by
      `taxDetailsOverride`; how long an idempotency key lives (an hour is assumed) and what other bytes under it do; the
      longest external id (ours have 53 characters); the error for an external id that exists (after any refusal it is
      looked up); `externalid` and the amounts as columns of SuiteQL; that a new credit memo is applied by `doc` and
      `amount` alone (the sublist also has line ids); whether each later save of a mailed invoice mails it again; the
      scope claim as an array; how many decimals a currency may have; the lengths of *PO/Check Number* (an order number
      of more than 45 characters is shortened) and of the memo.
    """

    facts = Facts(
        slug="netsuite",
        title=words.TITLE,
        docs="https://docs.oracle.com/en/cloud/saas/netsuite/ns-online-help/book_1559132836.html",
        base_url="https://account.suitetalk.api.netsuite.com",
        auth="OAuth 2 with a certificate, or token-based authentication",
        oauth=_certificate("https://account.suitetalk.api.netsuite.com"),
        reference=Reference("otherRefNum", words.REFERENCE, unique=False),
        key_field="memo",
        key=Key("X-NetSuite-Idempotency-Key", 36, timedelta(hours=1), uuid=True, packed=True),
        once=True,
        concurrent=words.AT_ONCE,
        bulk=100,
        one_currency=True,
        deadline=60.0,
        can=frozenset({"issue", "mail", "link", "credit", "list"}),
    )
    Settings = words.NetSuiteSettings
    Credentials = NetSuiteCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Throttled, None, "CONCURRENCY_LIMIT_EXCEEDED"),
        Refusal(Uncertain, 400, "IDEMPOTENCY_ERROR"),
        Refusal(Duplicate, 400, "already exists"),
    )

    @classmethod
    def facts_of(cls, settings: words.NetSuiteSettings) -> Facts:
        """Service tier and SuiteCloud Plus licences decide how many calls an account takes at once, and its
        administrator how many of them are ours."""
        return dataclasses.replace(cls.facts, concurrent=settings.concurrency)

    @classmethod
    def tenant(cls, settings: words.NetSuiteSettings, credentials: NetSuiteCredentials) -> str:
        return settings.account.upper()

    @classmethod
    def address(cls, settings: words.NetSuiteSettings) -> str:
        return f"https://{settings.account.lower().replace('_', '-')}.suitetalk.api.netsuite.com"

    @classmethod
    def grant(cls, settings: words.NetSuiteSettings, credentials: NetSuiteCredentials) -> Grant | None:
        return _certificate(cls.address(settings)) if credentials.private_key else None

    @classmethod
    def static_headers(cls, credentials: NetSuiteCredentials) -> Mapping[str, str] | None:
        """With TBA what each call is signed with; `leaving` takes it out again."""
        if not (credentials.consumer_secret and credentials.token_secret):
            return None
        return {
            "client_key": credentials.consumer_key or "",
            "client_secret": credentials.consumer_secret.get_secret_value(),
            "resource_owner_key": credentials.token_id or "",
            "resource_owner_secret": credentials.token_secret.get_secret_value(),
        }

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        """TBA signs method and address (OAuth 1.0, RFC 5849); a JSON body is no part of it."""
        if "resource_owner_secret" in proof:
            realm = self.settings.account.upper().replace("-", "_")
            signer = Client(**proof, signature_method=SIGNATURE_HMAC_SHA256, realm=realm)
            query = f"?{urlencode(request.query, quote_via=quote)}" if request.query else ""
            _, signed, _ = signer.sign(self.base_url + request.path + query, http_method=request.method)
            proof = {"Authorization": signed["Authorization"]}
        return super().leaving(request, proof)

    def status(self, answer: Answer) -> int:
        """A replay under a key is a success: it leads to the job that the first call made."""
        replayed = answer.status == 400 and b"IDEMPOTENCY_ERROR" in answer.body
        return 202 if replayed and answer.headers.get("Location") else answer.status

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        details = answer.json()["o:errorDetails"]
        return "; ".join(str(one["detail"]) for one in details), details[0].get("o:errorCode")

    def read(self, remote_id: str) -> RemoteInvoice:
        return Invoices(self).read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        return Invoices(self).shown_where(f"t.trandate >= TO_DATE('{day.isoformat()}', 'YYYY-MM-DD')")

    def send(self, remote_id: str, key: str) -> None:
        """NetSuite mails its own template to the invoice's e-mail address when it is saved with this mark."""
        path = f"{RECORD}/invoice/{quote(remote_id, safe='')}"
        self.execute(posted("send", path, {"toBeEmailed": True}, STRICT, method="PATCH"))

    def link(self, remote_id: str) -> str | None:
        """Only where the account has the feature Payment Link."""
        return self.read(remote_id).url

    def whoami(self) -> str:
        """The topmost subsidiary's name; an account without subsidiaries has only its id."""
        try:
            names = rows(self, "SELECT id, name FROM subsidiary WHERE parent IS NULL", lambda row: str(row["name"]))
        except Rejected:
            names = []
        return f"{names[0] if names else 'NetSuite'} ({self.settings.account})"

    def options(self) -> list[Choice]:
        currency = "SELECT id, symbol, name FROM currency WHERE isinactive = 'F' ORDER BY id"
        found = rows(
            self,
            currency,
            lambda row: Choice(setting="currencies", value=str(row["id"]), title=row["name"], key=row["symbol"]),
        )
        asked = {
            "item": "SELECT id, itemid AS name FROM item WHERE isinactive = 'F' ORDER BY itemid",
            "terms": "SELECT id, name FROM term ORDER BY name",
            "subsidiary": "SELECT id, name FROM subsidiary ORDER BY name",
            "location": "SELECT id, name FROM location ORDER BY name",
        }
        for setting, question in asked.items():
            try:
                named = rows(self, question, lambda row: (str(row["id"]), str(row["name"])))
            except Rejected:  # a feature that this account does not have
                named = []
            found += [Choice(setting=setting, value=ident, title=name) for ident, name in named]
        for setting, record in (("tax", "salesTaxItem"), ("tax_type", "taxType")):
            listed = self.ask(f"{RECORD}/{record}", {"limit": str(LISTED)})
            for ident in self.told(listed, lambda body: [str(one["id"]) for one in body["items"]]):
                answer = self.ask(f"{RECORD}/{record}/{quote(ident, safe='')}")
                title = self.told(answer, lambda raw: str(raw["name"]))
                found.append(Choice(setting=setting, value=ident, title=title))
        return found
