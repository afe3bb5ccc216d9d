"""NetSuite, emulated: certificates and signed tokens, the record service, asynchronous jobs under a key, SuiteQL.

Paths as on an account's host. From Oracle's NetSuite help: the token request (JWT of PS256 to ES512, `exp` less than 60
minutes after `iat`), TBA (RFC 5849, HMAC-SHA256), jobs of at most 100 records, the 400 titled Conflict of a replayed
key, five calls at once on the standard tier and the 429 beyond them. What other bytes under a key do is not
documented: only the key is compared here. A job is finished `job_seconds` after it was sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.sandbox.base import Entry, Request, Response
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.netsuite_records import Records, Refused, problem, wrong
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.shelf import Doc

ACCOUNT = "1234567_SB1"
CLIENT_ID, CERTIFICATE_ID = "sandbox-netsuite-client", "sandbox-netsuite-certificate"
ACCESS_TOKEN = "sandbox-netsuite-access-token"  # noqa: S105 - opens nothing but this emulator
_KEY = ec.derive_private_key(int.from_bytes(b"billhook's emulated NetSuite"), ec.SECP256R1())
PRIVATE_KEY = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
CONSUMER_KEY, CONSUMER_SECRET = "sandbox-consumer", "sandbox-consumer-secret"
TOKEN_ID, TOKEN_SECRET = "sandbox-token", "sandbox-token-secret"
ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
REST = "/services/rest"
TOKEN_PATH = f"{REST}/auth/oauth2/v1/token"
COLLECTION = "application/vnd.oracle.resource+json; type=collection"
MOST = 100
LOGIN = "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI."


class NetSuite(Gated):
    """One account with one integration; `job_seconds` and `certificates` (public keys by id) may be changed."""

    slug = "netsuite"
    app, grant_at = App(CLIENT_ID, "", ACCESS_TOKEN), TOKEN_PATH
    keyed = True
    concurrent: ClassVar[int | None] = 5
    sample = f'''
client_id = "{CLIENT_ID}"
certificate_id = "{CERTIFICATE_ID}"
private_key = """
{PRIVATE_KEY}"""
[shop.myshop.account.netsuite.settings]
account = "{ACCOUNT}"
currencies = {{ GBP = "2", EUR = "4", USD = "1" }}
item = "1510"
shipping_item = "1520"
tax = {{ "20" = "31", "5" = "32", "0" = "33" }}
tax_type = "13"
subsidiary = "3"
'''

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.job_seconds = 0.0
        self.certificates: dict[str, Any] = {CERTIFICATE_ID: _KEY.public_key()}
        self.nonces: set[str] = set()
        super().__init__(database, clock)

    def setup(self) -> None:
        super().setup()
        self.records = Records(self.db, self.clock)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method != "GET" and request.path.startswith(f"{REST}/record/v1/")

    def tenant(self, request: Request) -> str:
        return ACCOUNT

    def too_many(self, retry_after: float) -> Response:
        detail = "Concurrent request limit exceeded. Request blocked."
        return problem(429, "Bad Request", detail, "CONCURRENCY_LIMIT_EXCEEDED")

    def failure(self, status: int) -> Response:
        detail = "An unexpected error occurred. Error ID: l4kd8s1jsd1xz9o7t2x5x"
        return problem(status, "Internal Server Error", detail, "UNEXPECTED_ERROR")

    def customers(self) -> list[tuple[str, str]]:
        return self.records.customers()

    def ledger(self) -> list[Entry]:
        return self.records.ledger("invoice")

    def credits(self) -> list[Entry]:
        return self.records.ledger("creditMemo")

    # -- the door --------------------------------------------------------------------------------------------------

    def state(self, request: Request) -> State:
        return "good" if self._signed(request) else super().state(request)

    def unauthorized(self, state: State) -> Response:
        return problem(401, "Unauthorized", LOGIN, "INVALID_LOGIN")

    def route(self, request: Request) -> Response:
        for job in self.shelf.all("job", completed=False):
            self.lasts(partial(self._work, job))
        return self._route(request, [unquote(part) for part in request.path.removeprefix(REST).split("/")[1:]])

    def token(self, request: Request) -> Response:
        form = dict(request.form())
        try:
            head = jwt.get_unverified_header(form["client_assertion"])
            options: Any = {"verify_aud": False, "require": ["exp", "iat", "iss", "aud"]}
            known = self.certificates[head["kid"]]
            claims = jwt.decode(form["client_assertion"], known, algorithms=ALGORITHMS, options=options)
        except (jwt.PyJWTError, KeyError, TypeError):
            return Response.json(400, {"error": "invalid_grant"})
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        asked = (form.get("grant_type"), form.get("client_assertion_type")) == ("client_credentials", kind)
        meant = urlsplit(claims["aud"]).path.endswith(TOKEN_PATH) and claims["iss"] == CLIENT_ID
        short = claims["exp"] - claims["iat"] < 3600 and "rest_webservices" in claims.get("scope", "")
        if not (asked and meant and short):
            return Response.json(400, {"error": "invalid_request"})
        return self.desk.given(None, {})

    def _signed(self, request: Request) -> bool:
        """Whether the call is signed by the one token (RFC 5849, sections 3.4.1 and 3.4.2)."""
        given = request.headers.get("authorization", "")
        fields = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', given)}
        known = (fields.get("oauth_consumer_key"), fields.get("oauth_token")) == (CONSUMER_KEY, TOKEN_ID)
        method = fields.get("oauth_signature_method") == "HMAC-SHA256"
        if not (given.startswith("OAuth ") and known and method and fields.pop("realm", "") == ACCOUNT):
            return False
        signature, nonce = fields.pop("oauth_signature", ""), fields.get("oauth_nonce", "")
        pairs = [*fields.items(), *parse_qsl(urlsplit(request.target).query, keep_blank_values=True)]
        query = "&".join(sorted(f"{_enc(name)}={_enc(value)}" for name, value in pairs))
        key = f"{_enc(CONSUMER_SECRET)}&{_enc(TOKEN_SECRET)}".encode()
        for scheme in ("http", "https"):
            address = f"{scheme}://{request.headers.get('host', '')}/{self.slug}{request.path}"
            text = "&".join((request.method, _enc(address), _enc(query)))
            digest = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
            if hmac.compare_digest(digest, signature) and nonce not in self.nonces:
                self.nonces.add(nonce)
                return True
        return False

    # -- routes ----------------------------------------------------------------------------------------------------

    def _route(self, request: Request, parts: list[str]) -> Response:
        match request.method, parts:
            case "POST", ["query", "v1", "suiteql"]:
                return self._suiteql(request)
            case "GET", ["async", "v1", "job", ident, *rest]:
                return self._job(ident, rest)
            case "POST", ["record", "v1", ("customer" | "invoice" | "creditMemo") as kind]:
                return self._create(request, kind)
            case "GET", ["record", "v1", kind]:
                items = [{"links": [], "id": doc["id"]} for doc in self.shelf.all(kind)]
                return Response.json(200, {"links": [], "items": items, "count": len(items), "hasMore": False})
            case (("GET" | "PATCH" | "DELETE"), ["record", "v1", kind, ident]):
                return self._one(request, kind, ident)
        return problem(404, "Not Found", f"Invalid path {request.path}", "INVALID_REQUEST")

    def _one(self, request: Request, kind: str, ident: str) -> Response:
        by_external_id = ident.startswith("eid:")
        key = ident.removeprefix("eid:")
        found = self.records.by_external_id(kind, key) if by_external_id else self.shelf.get(kind, key)
        if found is None:
            detail = "The record instance does not exist. Provide a valid record instance ID."
            return problem(404, "Not Found", detail, "NONEXISTENT_ID")
        if request.method == "DELETE":
            self.records.untied(kind, found["id"])
            self.shelf.drop(kind, found["id"])
            return Response(204)
        if request.method == "PATCH":
            return self._change(kind, found, request.json())
        hidden = (
            set()
            if request.query.get("expandSubResources") == "true"
            else {"item", "taxDetails", "addressBook", "apply"}
        )
        link = {"href": f"/services/rest/record/v1/{kind}/{found['id']}"}
        paid = {"paymentlink": f"https://{ACCOUNT}.app.netsuite.com/pay/{found['id']}"} if kind == "invoice" else {}
        shown = {name: {"links": [link]} if name in hidden else value for name, value in found.items()}
        return Response.json(200, {"links": [{"rel": "self", **link}], **shown, **paid})

    def _change(self, kind: str, found: Doc, changes: Doc) -> Response:
        """Of what may be changed here only that which mails."""
        if kind != "invoice" or set(changes) - {"toBeEmailed", "email", "memo"}:
            raise Refused("Error while accessing a resource. This field cannot be changed.")
        changed = self.shelf.put(kind, found["id"], {**found, **changes})
        if changes.get("toBeEmailed"):
            if not changed.get("email"):
                raise Refused("Error while accessing a resource. Please enter value(s) for: Email")
            self.mail(found["id"], changed["email"])
        return Response(204, b"", {"Location": self._at(f"record/v1/{kind}/{found['id']}")})

    def _suiteql(self, request: Request) -> Response:
        if "transient" not in request.headers.get("prefer", ""):
            raise Refused("The header Prefer must have the value transient.", "INVALID_HEADER")
        limit, offset = int(request.query.get("limit", 1000)), int(request.query.get("offset", 0))
        rows, more = self.records.query(request.json()["q"], min(limit, 1000), offset)
        return Response.json(200, {"links": [], "count": len(rows), "hasMore": more, "items": rows, "offset": offset})

    # -- creating --------------------------------------------------------------------------------------------------

    def _create(self, request: Request, kind: str) -> Response:
        strict = request.headers.get("x-netsuite-propertynamevalidation", "warning").lower() == "error"
        try:
            body = request.json()
            items = body["items"] if request.headers.get("content-type") == COLLECTION else [body]
        except (ValueError, KeyError, TypeError):
            raise Refused("Invalid content in the request body.", "INVALID_CONTENT") from None
        if request.headers.get("prefer") == "respond-async":
            return self._submit(request, kind, items, strict)
        if items != [body]:
            raise Refused("A collection needs the header Prefer: respond-async.", "INVALID_HEADER")
        if request.fault == "error_stored":
            return self.failure(500)
        if request.fault == "refuse_element":
            raise wrong("0", "taxcode")
        ident = self.records.create(kind, body, strict)
        return Response(204, b"", {"Location": self._at(f"record/v1/{kind}/{ident}")})

    def _submit(self, request: Request, kind: str, items: list[Doc], strict: bool) -> Response:
        if not 0 < len(items) <= MOST:
            raise Refused(f"A batch request must have 1 to {MOST} records.", "INVALID_CONTENT")
        key = request.headers.get("x-netsuite-idempotency-key")
        if key is not None:
            try:
                UUID(key)
            except ValueError:
                raise Refused("The idempotency key must be a UUID.", "INVALID_HEADER") from None
            if earlier := self.shelf.get("key", key):
                detail = "A request with the same idempotency key is already submitted."
                response = problem(400, "Conflict", detail, "IDEMPOTENCY_ERROR")
                response.headers["Location"] = self._at(f"async/v1/job/{earlier['job']}")
                return response
        ident = str(1 + self.shelf.count("job"))
        if key is not None:
            self.shelf.put("key", key, {"job": ident})
        job = {"id": ident, "kind": kind, "items": items, "strict": strict, "fault": request.fault, "completed": False}
        self.shelf.put("job", ident, {**job, "due": self.clock() + self.job_seconds})
        self._work(self.shelf.get("job", ident) or {})
        return Response(
            202, b"", {"Preference-Applied": "respond-async", "Location": self._at(f"async/v1/job/{ident}")}
        )

    def _work(self, job: Doc) -> None:
        """Carries out a job whose time has come, its records one after the other; each for itself."""
        if self.clock() < float(job["due"]):
            return
        results = []
        for place, item in enumerate(job["items"]):
            try:
                if job["fault"] == "error_stored":
                    raise Refused("An unexpected error occurred.", "UNEXPECTED_ERROR", 500)
                if job["fault"] == "refuse_element" and place == len(job["items"]) // 2:
                    raise wrong("0", "taxcode")
                with savepoint(self.db):
                    results.append([204, self._at(f"record/v1/{job['kind']}/{self._made(job, item)}"), ""])
            except Refused as error:
                results.append([error.status, error.detail, error.code])
        self.shelf.put("job", job["id"], {**job, "completed": True, "results": results})

    def _made(self, job: Doc, item: Doc) -> str:
        return self.records.create(job["kind"], item, bool(job["strict"]))

    def _job(self, ident: str, rest: list[str]) -> Response:
        job = self.shelf.get("job", ident)
        address = self._at(f"async/v1/job/{ident}")
        if job is None:
            return problem(404, "Not Found", f"Job {ident} does not exist.", "NONEXISTENT_ID")
        done = bool(job["completed"])
        match rest:
            case []:
                state = {"completed": done, "progress": "succeeded" if done else "pending", "id": ident}
                return Response.json(200, {**state, "task": {"links": [{"rel": "self", "href": f"{address}/task"}]}})
            case ["task"]:
                links = [[{"rel": "self", "href": f"{address}/task/{n + 1}"}] for n in range(len(job["items"]))]
                return Response.json(200, {"items": [{"links": each} for each in links], "hasMore": False})
            case ["task", number, "result"] if done and number.isdecimal() and 0 < int(number) <= len(job["results"]):
                status, said, code = job["results"][int(number) - 1]
                found = Response(204, b"", {"Location": said})
                return found if status == 204 else problem(status, "Bad Request", said, code)
        return problem(404, "Not Found", "The result does not exist.", "NONEXISTENT_ID")

    @staticmethod
    def _at(path: str) -> str:
        return f"https://{ACCOUNT.lower().replace('_', '-')}.suitetalk.api.netsuite.com{REST}/{path}"


def _enc(text: str) -> str:
    return quote(text, safe="~")
