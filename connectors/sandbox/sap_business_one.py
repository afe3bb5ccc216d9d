"""SAP Business One's Service Layer, emulated: sessions of two cookies, atomic change sets, pages of twenty.

Paths as on a merchant's server. A session ends after 30 minutes without a call (code 301 with a 401); a batch wants its
boundary without quotes (else 405), writes inside change sets, a Content-ID unique in the batch, and CRLF. A change set
that fails answers once and leaves nothing behind. No rate limit is published: "too many" comes from a proxy before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from connectors.sandbox.base import Emulator, Entry, Request, Response
from connectors.sandbox.sap_business_one_books import KEYS, STANDING, Books
from connectors.sandbox.sap_business_one_matching import Refused
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.shelf import Doc

COMPANY, USER, PASSWORD = "SBODEMOGB", "billhook", "sandbox-b1-password"
SESSION, NODE = "5c2f1e4a-sandbox-b1-session", ".node1"
MINUTES = 30
API = "/b1s/v2"
PAGE = 20
BATCH_ANSWER = "batchresponse_1a2b3c4d"


class SapBusinessOne(Emulator):
    """One company with one user, its table of keys and the user field on invoices."""

    slug = "sap_business_one"
    sample = f"""
username = "{USER}"
password = "{PASSWORD}"
[shop.myshop.account.sap_business_one.settings]
server = "https://b1.example.test:50000"
company = "{COMPANY}"
currencies = {{ GBP = "£", EUR = "EUR", USD = "$" }}
item = "WEB"
tax = {{ "20" = "O1", "5" = "O2", "0" = "O0" }}
freight = 1
"""

    def setup(self) -> None:
        self.books = Books(self.db, self.clock)
        self.shelf = self.books.shelf
        if not self.shelf.get("session", SESSION):
            self._open(SESSION)

    def _open(self, session: str) -> None:
        self.shelf.put("session", session, {"until": self.clock() + MINUTES * 60})

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method == "POST" and not request.path.endswith(("/Login", "/Logout"))

    def tenant(self, request: Request) -> str:
        return COMPANY

    def too_many(self, retry_after: float) -> Response:
        return Response(429, b"Too Many Requests", {"Retry-After": str(max(1, round(retry_after)))})

    def failure(self, status: int) -> Response:
        return Refused(status, -1, "Internal error (-1) occurred").response

    def expire_tokens(self) -> None:
        self.db.execute(f"DELETE FROM {self.shelf.table} WHERE kind = 'session'")  # noqa: S608

    def customers(self) -> list[tuple[str, str]]:
        partners = self.shelf.all("BusinessPartners", CardType="cCustomer")
        return [(one.get("CardName", ""), one.get("EmailAddress", "")) for one in partners]

    def ledger(self) -> list[Entry]:
        return self.books.ledger("Invoices")

    def credits(self) -> list[Entry]:
        return self.books.ledger("CreditNotes")

    # -- the door --------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        if request.path == f"{API}/Login":
            return self._login(request.json())
        cookies = dict(re.findall(r"(\w+)=([^;\s]+)", request.headers.get("cookie", "")))
        session = cookies.get("B1SESSION", "")
        found = self.shelf.get("session", session)
        if found is None or cookies.get("ROUTEID") != NODE or self.clock() >= float(found["until"]):
            raise Refused(401, 301, "Invalid session or session already timeout.")
        self.lasts(lambda: self._open(session))
        if request.path == f"{API}/Logout":
            self.shelf.drop("session", session)
            return Response(204)
        if request.path == f"{API}/$batch":
            return self._batch(request)
        return self._route(request.method, request.path, request)

    def _login(self, body: Doc) -> Response:
        if (body.get("CompanyDB"), body.get("UserName"), body.get("Password")) != (COMPANY, USER, PASSWORD):
            raise Refused(401, 100000027, "Login failed")
        session = str(uuid4())
        self._open(session)
        # as by a balancer's header and the service's, joined
        cookies = f"B1SESSION={session};HttpOnly;, ROUTEID={NODE}; path=/b1s"
        body = {"SessionId": session, "Version": "1000230", "SessionTimeout": MINUTES}
        return Response.json(200, body, {"Set-Cookie": cookies})

    def _route(self, method: str, path: str, request: Request) -> Response:
        found = re.fullmatch(r"(\w+)(?:\('?(.*?)'?\))?(/Cancel)?", unquote(path.removeprefix(f"{API}/")))
        if not path.startswith(f"{API}/") or found is None:
            raise Refused(404, -1, "Unrecognized resource path.")
        collection, ident, cancel = found[1], found[2], found[3]
        if (method, collection) == ("GET", "CompanyService_GetAdminInfo"):
            return Response.json(200, {"CompanyName": "Engraver Ltd", "Country": "GB", "LocalCurrency": "£"})
        if collection not in KEYS and collection not in STANDING:
            raise Refused(404, -1, "Unrecognized resource path.")
        if method == "POST" and cancel and collection == "Invoices":
            self.books.cancel(ident)
            return Response(204)
        if method == "POST" and ident is None and collection in KEYS:
            return self._created(collection, request.json())
        if method == "GET" and ident is not None:
            doc = self.books.one(collection, ident.replace("''", "'"))
            return Response.json(200, _selected(doc, request.query))
        if method == "GET":
            return self._list(collection, request)
        raise Refused(405, -1, "Method not allowed")

    def _created(self, collection: str, raw: Any) -> Response:
        return Response.json(201, self.books.create(collection, raw))

    def _list(self, collection: str, request: Request) -> Response:
        query = request.query
        fold = request.headers.get("b1s-caseinsensitive") == "true"
        docs = self.books.listed(collection, query.get("$filter", ""), fold)
        size = int((re.search(r"maxpagesize=(\d+)", request.headers.get("prefer", "")) or [0, PAGE])[1])
        start = int(query.get("$skip", 0))
        shown = docs[start : start + min(size, int(query.get("$top", size)))]
        value = [_selected(doc, query) for doc in shown]
        body = {"@odata.context": f"{API}/$metadata#{collection}", "value": value}
        more = {"@odata.nextLink": f"{collection}?$skip={start + len(shown)}"} if start + len(shown) < len(docs) else {}
        return Response.json(200, {**body, **more})

    # -- batches ---------------------------------------------------------------------------------------------------

    def _batch(self, request: Request) -> Response:
        boundary = re.fullmatch(r"multipart/mixed;\s*boundary=([^\s;\"]+)", request.headers.get("content-type", ""))
        if boundary is None:
            raise Refused(405, -1, "Method not allowed")
        pieces = _pieces(request.body.decode(), boundary[1])
        ids = re.findall(r"\r\nContent-ID: (\d+)\r\n", request.body.decode())
        if len(ids) != len(set(ids)):
            raise Refused(400, -1, "Content-ID is not unique in the batch")
        spoilt = len(pieces) // 2 if request.fault == "refuse_element" else None
        answers = [self._change_set(piece, at == spoilt) for at, piece in enumerate(pieces)]
        text = "".join(f"--{BATCH_ANSWER}\r\n{answer}\r\n" for answer in answers) + f"--{BATCH_ANSWER}--\r\n"
        return Response(202, text.encode(), {"Content-Type": f"multipart/mixed;boundary={BATCH_ANSWER}"})

    def _change_set(self, piece: str, spoilt: bool) -> str:
        """All of it or nothing; a failure is a single response without the wrapping of a set."""
        head, _, rest = piece.partition("\r\n\r\n")
        boundary = re.search(r"Content-Type: multipart/mixed;\s*boundary=([^\s;\"]+)", head)
        if boundary is None:
            return _inner(Refused(400, -1, "A write must stand inside a change set").response)
        try:
            with savepoint(self.db):
                if spoilt:
                    raise Refused(400, -5002, "Invalid tax group 'XX'  [INV1.VatGroup][line: 1]")
                answers = [self._inside(part) for part in _pieces(rest, boundary[1])]
        except Refused as error:
            return _inner(error.response)
        inner = f"changesetresponse_{uuid4()}"
        parts = "".join(f"--{inner}\r\n{_inner(answer)}\r\n" for answer in answers)
        return f"Content-Type: multipart/mixed;boundary={inner}\r\n\r\n{parts}--{inner}--"

    def _inside(self, part: str) -> Response:
        head, _, call = part.partition("\r\n\r\n")
        if "Content-ID:" not in head or "Content-Type: application/http" not in head:
            raise Refused(400, -1, "Content-ID is missing in the change set")
        first, _, rest = call.partition("\r\n")
        method, path, _ = first.split(" ")
        body = rest.partition("\r\n\r\n")[2].encode()
        return self._route(method, path, Request(method, path, {}, body))


def _selected(doc: Doc, query: Mapping[str, str]) -> Doc:
    """What `$select` asks for, else all of it."""
    return {name: doc.get(name) for name in query["$select"].split(",")} if "$select" in query else doc


def _pieces(text: str, boundary: str) -> list[str]:
    if f"--{boundary}--" not in text or not text.startswith(f"--{boundary}\r\n"):
        raise Refused(400, -1, "Invalid batch")
    whole = text.partition(f"--{boundary}--")[0]
    return [piece.removesuffix("\r\n") for piece in whole.split(f"--{boundary}\r\n")[1:]]


def _inner(answer: Response) -> str:
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    line = f"HTTP/1.1 {answer.status} {'Created' if answer.status == 201 else 'Bad Request'}\r\n"
    return f"{head}{line}Content-Type: application/json\r\n\r\n{answer.body.decode()}"
