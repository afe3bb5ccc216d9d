"""The doors of an emulated Odoo: JSON-2, JSON-RPC and XML-RPC, each with its own way to say what went wrong.

From odoo/documentation (external_api.rst) and odoo/odoo, addons/rpc/controllers: JSON-2 answers with the bare value and
true status codes; JSON-RPC with 200 and an `error`; XML-RPC with 200 and a `Fault` of an integer code.
"""

from __future__ import annotations

import json
import xmlrpc.client
from dataclasses import dataclass, field
from typing import Any
from xml.parsers.expat import ExpatError

from connectors.sandbox.base import Request, Response
from connectors.sandbox.odoo_books import Failure

POSITIONS: dict[str, tuple[str, ...]] = {
    "load": ("fields", "data"),
    "create": ("vals_list",),
    "write": ("ids", "vals"),
    "read": ("ids", "fields", "load"),
    "search_read": ("domain", "fields", "offset", "limit", "order"),
    "search": ("domain", "offset", "limit", "order"),
    "search_count": ("domain",),
    "fields_get": ("allfields", "attributes"),
    "context_get": (),
    "send_mail": ("ids", "res_id", "force_send"),
}
"""Parameters of methods, in order, with `ids` for the records; any other method takes only its records."""
NEEDED = {"load": ("fields", "data"), "create": ("vals_list",), "write": ("vals",), "send_mail": ("res_id",)}
STATUS = {"AccessDenied": 401, "Unauthorized": 401, "AccessError": 403, "MissingError": 404, "NotFound": 404}
UNPROCESSABLE = {"UserError", "ValidationError", "TypeError", "ValueError", "KeyError"}
CODES = {"UserError": 2, "ValidationError": 2, "MissingError": 2, "AccessDenied": 3, "AccessError": 4}


@dataclass(frozen=True)
class Call:
    """One call of a method, whatever door it came through. `login` proves the user: (database, uid or None, secret)."""

    model: str
    method: str
    named: dict[str, Any]
    login: tuple[str, Any, str]
    single: bool = False
    """`create` was given one record, not a list: it answers with one id."""
    id: Any = field(default=None)


def json_2(request: Request) -> Call:
    """`POST /json/2/<model>/<method>`. Raises `Failure`."""
    parts = request.path.split("/")[3:]
    if request.method != "POST" or len(parts) != 2:
        raise Failure("werkzeug.exceptions.NotFound", "404 Not Found")
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise Failure("werkzeug.exceptions.Unauthorized", "User not authenticated, use an API Key")
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Failure("builtins.ValueError", "the body must be application/json")
    named = json.loads(request.body or b"{}")
    return Call(parts[0], parts[1], named, (request.headers.get("x-odoo-database", ""), None, secret))


def positioned(arguments: list[Any], id: Any = None) -> Call:
    """`execute_kw(db, uid, secret, model, method, [positional], {named})`, or `execute(…, method, *positional)`."""
    database, uid, secret, model, method, *rest = arguments
    positional, named = rest[0], dict(rest[1] if len(rest) > 1 else {})
    if method == "create" and not positional:
        raise Failure("builtins.IndexError", "tuple index out of range")
    names = POSITIONS.get(method, ("ids",))
    if len(positional) > len(names):
        raise Failure("builtins.TypeError", f"{method}() takes {len(names)} positional arguments")
    named |= dict(zip(names, positional, strict=False))
    single = method == "create" and isinstance(named["vals_list"], dict)
    if isinstance(named.get("ids"), int):
        named["ids"] = [named["ids"]]
    return Call(model, method, named, (database, uid, secret), single, id)


def check(call: Call) -> None:
    """Raises `Failure` for a method that cannot be called from outside, or that lacks an argument."""
    if call.method.startswith("_"):
        text = f"Private methods (such as '{call.model}.{call.method}') cannot be called remotely."
        raise Failure("odoo.exceptions.AccessError", text)
    for name in NEEDED.get(call.method, ()):
        if name not in call.named:
            raise Failure("builtins.TypeError", f"missing a required argument: '{name}'")


def rpc_body(request: Request) -> tuple[Any, str, str, list[Any]]:
    """Id, service, method and arguments of a JSON-RPC request."""
    body = json.loads(request.body)
    params = body["params"]
    return body.get("id"), params["service"], params["method"], params["args"]


def xml_body(request: Request) -> tuple[str, list[Any]]:
    """Method and arguments of an XML-RPC request. Raises `ValueError` for what is no XML."""
    try:
        arguments, method = xmlrpc.client.loads(request.body, use_builtin_types=True)
    except (ExpatError, LookupError) as error:
        raise ValueError(str(error)) from None
    return method or "", list(arguments)


def flat(call: list[Any], method: str) -> list[Any]:
    """The arguments of `execute` as those of `execute_kw`."""
    return call if method == "execute_kw" else [*call[:5], call[5:], {}]


# -- answers ---------------------------------------------------------------------------------------------------------


def said(value: Any) -> Response:
    return Response.json(200, value)


def said_by_rpc(value: Any, id: Any) -> Response:
    return Response.json(200, {"jsonrpc": "2.0", "id": id, "result": value})


def said_by_xml(value: Any) -> Response:
    """A method that returns None has done its work when its answer fails."""
    try:
        body = xmlrpc.client.dumps((value,), methodresponse=True)
    except TypeError as error:
        return failed_by_xml(Failure("builtins.TypeError", str(error)))
    return Response(200, body.encode(), {"Content-Type": "text/xml"})


def failed(failure: Failure) -> Response:
    last = failure.name.rpartition(".")[2]
    status = STATUS.get(last) or (422 if last in UNPROCESSABLE else 500)
    return Response.json(status, _described(failure) | {"context": {}})


def failed_by_rpc(failure: Failure, id: Any) -> Response:
    error = {"code": 200, "message": "Odoo Server Error", "data": _described(failure) | {"exception_type": "other"}}
    return Response.json(200, {"jsonrpc": "2.0", "id": id, "error": error})


def failed_by_xml(failure: Failure) -> Response:
    last = failure.name.rpartition(".")[2]
    code, text = CODES.get(last, 1), failure.message
    if code == 1:
        shown = failure.name.removeprefix("builtins.")
        text = f'Traceback (most recent call last):\n  File "/odoo/http.py", line 1, in dispatch\n{shown}: {text}\n'
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(code, text))
    return Response(200, body.encode(), {"Content-Type": "text/xml"})


def _described(failure: Failure) -> dict[str, Any]:
    debug = f"Traceback (most recent call last):\n{failure.name}: {failure.message}\n"
    return {"name": failure.name, "message": failure.message, "arguments": [failure.message], "debug": debug}
