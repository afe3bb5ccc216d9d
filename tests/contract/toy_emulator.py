"""Two platforms that exist only here: one takes invoices in bulk, the other builds them in steps."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling
from connectors.sandbox.replays import Replays
from connectors.sandbox.sums import half_up

RATES = {"T20": Decimal(20), "T5": Decimal(5), "T0": Decimal(0)}


class Refused(Refusal):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.error = {"code": code, "message": message}
        super().__init__(Response.json(status, {"error": self.error}), message)


class ToyBooks(Emulator):
    """Customers, invoices, stored answers by key, a quota; in tables of its own."""

    proof: ClassVar[tuple[str, str]]
    per_minute: ClassVar[int] = 600
    concurrent = 20
    keyed = True

    def setup(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self.invoices: dict[str, dict[str, Any]] = {}
        self.replays = Replays(self, 360)
        self.rolling = Rolling(self.per_minute, 60)
        self.valid = True

    def answer(self, request: Request) -> Response:
        if (request.method, request.path) == ("POST", "/connect/token"):
            self.valid = True
            return Response.json(200, {"access_token": self.proof[1].split()[-1], "expires_in": 1800})
        if request.headers.get(self.proof[0]) != self.proof[1] or not self.valid:
            return Refused(401, "unauthorized", "who are you?").response
        if wait := self.counted(self.rolling):
            return self.too_many(wait)
        other = Refused(409, "key_reused", "this key came with another request")
        act = partial(self.carried_out, request, lambda: self._answer(request))
        return self.replays.once(request.headers.get("idempotency-key"), request, act, lambda: other.response)

    def _answer(self, request: Request) -> Response:
        body = request.json() if request.body else {}
        return Response.json(200, json.loads(json.dumps(self.route(request, body), default=str)))

    def route(self, request: Request, body: Any) -> Any:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["me"]:
                return {"name": "Toys"}
            case "GET", ["taxes"]:
                return {"taxes": {code: f"{rate}" for code, rate in RATES.items()}}
            case "GET", ["customers"]:
                wanted = request.query
                listed = list(self.known.values())
                return {
                    "customers": [
                        one for one in listed if wanted["email"] == one["email"] or wanted["key"] == one["key"]
                    ]
                }
            case "POST", ["customers"]:
                made = {"id": f"c{len(self.known) + 1}", **body}
                return self.known.setdefault(made["id"], made)
            case "GET", ["invoices"]:
                numbers = request.query["numbers"].split("|")
                return {"invoices": [one for one in self.invoices.values() if one["number"] in numbers]}
            case "GET", ["invoices", found]:
                return self.invoice(found)
            case "POST", ["invoices", found, "mail"]:
                return {"mailed": self.invoice(found)["id"]}
            case "POST", ["invoices", found, "void"]:
                return self.void(found)
        raise Refused(404, "not_found", f"no such page: {request.path}")

    def invoice(self, remote_id: str) -> dict[str, Any]:
        if remote_id not in self.invoices:
            raise Refused(404, "not_found", f"no invoice {remote_id}")
        return self.invoices[remote_id]

    def add(self, body: Any, status: str) -> dict[str, Any]:
        """A new invoice with its lines, if any."""
        if any(one["number"] == body["number"] for one in self.invoices.values()):
            raise Refused(422, "number_taken", f"number {body['number']} is taken")
        if body["customer"] not in self.known:
            raise Refused(422, "no_customer", "no such customer")
        made = {"id": f"i{len(self.invoices) + 1}", **body, "status": status, "lines": [], "total": "0.00"}
        self.set_lines(made, body.get("lines", []))
        return self.invoices.setdefault(made["id"], made)

    def set_lines(self, invoice: dict[str, Any], lines: list[Any]) -> None:
        total = Decimal(0)
        for part in lines:
            if part["tax"] not in RATES:
                raise Refused(422, "unknown_tax", f"there is no tax {part['tax']}")
            net = half_up(Decimal(part["quantity"]) * Decimal(part["price"])) - Decimal(part["off"])
            tax = half_up(net * RATES[part["tax"]] / 100)
            total += net if invoice["tax_included"] else net + tax
        invoice["lines"], invoice["total"] = lines, str(half_up(total))

    def void(self, remote_id: str) -> dict[str, Any]:
        self.invoice(remote_id)["status"] = "void"
        return self.invoice(remote_id)

    def creates(self, request: Request) -> bool:
        return request.method == "POST" and "mail" not in request.path

    def too_many(self, retry_after: float) -> Response:
        return Response.json(
            429, {"error": {"code": "slow", "message": "slow down"}}, {"Retry-After": f"{retry_after:g}"}
        )

    def failure(self, status: int) -> Response:
        return Response.json(status, {"error": {"code": "oops", "message": "something went wrong"}})

    def customers(self) -> list[tuple[str, str]]:
        return [(one["name"], one["email"]) for one in self.known.values()]

    def ledger(self) -> list[Entry]:
        return [
            Entry(
                id=one["id"],
                reference=one["number"],
                key=one["key"],
                customer=self.known[one["customer"]]["name"],
                lines=tuple(f"{part['text']} × {part['quantity']} @ {part['price']}" for part in one["lines"]),
                currency=one["currency"],
                total=one["total"],
                status=one["status"],
            )
            for one in self.invoices.values()
        ]


class ToyBulkBooks(ToyBooks):
    """POST /invoices takes many; each is answered for itself. Tokens expire."""

    slug = "toy_bulk"
    proof = ("authorization", "Bearer toy-token-0123456789")

    def expire_tokens(self) -> None:
        self.valid = False

    def refuse_element(self, request: Request) -> Request:
        if request.path != "/invoices":
            return request
        body = json.loads(request.body)
        body["invoices"][0]["customer"] = "nobody"
        return Request(request.method, request.target, request.headers, json.dumps(body).encode())

    def route(self, request: Request, body: Any) -> Any:
        if (request.method, request.path) != ("POST", "/invoices"):
            return super().route(request, body)
        return {"invoices": [self._one(element) for element in reversed(body["invoices"])]}

    def _one(self, element: Any) -> Any:
        try:
            return self.add(element, "issued")
        except Refused as refused:
            return {"number": element["number"], "error": refused.error}


class ToyStepsBooks(ToyBooks):
    """POST /drafts, /drafts/{id}/lines, /drafts/{id}/issue; lines come once."""

    slug = "toy_steps"
    proof = ("x-api-key", "toy-secret-key-42")

    def route(self, request: Request, body: Any) -> Any:
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["drafts"]:
                return self.add(body, "draft")
            case "POST", ["drafts", found, "lines"]:
                self.set_lines(self.invoice(found), self.invoice(found)["lines"] + body["lines"])
                return self.invoice(found)
            case "POST", ["drafts", found, "issue"]:
                if not self.invoice(found)["lines"]:
                    raise Refused(422, "empty", "the draft has no lines")
                self.invoice(found)["status"] = "issued"
                return self.invoice(found)
        return super().route(request, body)
