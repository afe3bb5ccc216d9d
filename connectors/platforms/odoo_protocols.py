"""One way to write a call to Odoo, and the three protocols that carry it.

Calls are written as JSON-2 takes them (`/json/2/<model>/<method>`, named arguments, ids in the body) and wrapped when
they leave, so a stored call holds no credentials. Sources: odoo/documentation, developer/reference/external_api.rst
(all three); odoo/odoo, addons/rpc/controllers (xmlrpc.py: the fault codes; json2.py).
"""

from __future__ import annotations

import json
import re
import xmlrpc.client
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal
from xml.parsers.expat import ExpatError

from connectors.errors import Rejected
from connectors.http import Answer, dump_json
from connectors.platforms.documents import JSON, Request, posted

Protocol = Literal["json-2", "json-rpc", "xml-rpc"]
PREFIX = "/json/2/"
ENGLISH = {"lang": "en_US"}
"""Context of every call: what Odoo says is matched in English, which every database has."""
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_FAULTS = {2: 422, 3: 401, 4: 403}
_NAMED = {"AccessDenied": 401, "SessionExpiredException": 401, "AccessError": 403, "MissingError": 404}
_REFUSING = {
    "UserError", "ValidationError", "RedirectWarning", "Warning", "ValueError", "TypeError", "AttributeError",
    "KeyError",
}  # fmt: skip


def call(
    step: str, model: str, method: str, ids: str = "", *, issues: bool = False, context: Mapping[str, Any] = ENGLISH,
    **named: Any,
) -> Request:  # fmt: skip
    """A call of the model's method, on the records `ids` (text, as it stands in JSON; `later(step)` is one)."""
    rest = dump_json({"context": dict(context), **named})
    body = f'{{"ids":[{ids}],{rest[1:]}' if ids else rest
    return Request(step=step, path=f"{PREFIX}{model}/{method}", headers=JSON, body=body, issues=issues)


def among(ids: Iterable[str]) -> str:
    """Ids as they stand in JSON: numbers; anything else as text, which Odoo refuses."""
    return ",".join(one if one.isdecimal() else json.dumps(one) for one in ids)


def ids_of(request: Request) -> list[str]:
    """The records that a call is about."""
    return [str(one) for one in json.loads(request.body).get("ids", ())]


def wrapped(request: Request, protocol: Protocol, database: str, uid: int, secret: str) -> Request:
    """The call in the words of an older protocol: `execute_kw(db, uid, secret, model, method, [positional], {named})`.

    Raises `Rejected` for text that XML cannot hold.
    """
    model, method = request.path.removeprefix(PREFIX).split("/")
    named = json.loads(request.body, parse_float=Decimal)
    positional = [named.pop(name) for name in ("ids", "vals_list") if name in named]  # these two must not be named
    return service(protocol, "object", "execute_kw", [database, uid, secret, model, method, positional, named])


def service(protocol: Protocol, name: str, method: str, arguments: list[Any]) -> Request:
    """A call of one of the server's services, `common` or `object`."""
    if protocol == "xml-rpc":
        if _NOT_IN_XML.search(dump_plain(arguments)):
            raise Rejected("the order holds a control character, which XML-RPC cannot carry: set protocol to json-rpc")
        body = xmlrpc.client.dumps((*_floats(arguments),), method)
        return Request(step=method, path=f"/xmlrpc/2/{name}", headers={"Content-Type": "text/xml"}, body=body)
    params = {"service": name, "method": method, "args": arguments}
    return posted(method, "/jsonrpc", {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params})


def dump_plain(value: Any) -> str:
    """All the text in a value, one after another."""
    if isinstance(value, Mapping):
        return "".join(dump_plain(inner) for pair in value.items() for inner in pair)
    if isinstance(value, list | tuple):
        return "".join(dump_plain(inner) for inner in value)
    return value if isinstance(value, str) else ""


def _floats(value: Any) -> Any:
    """XML-RPC knows no exact decimals; Odoo's own fields are binary floating point and rounded by it."""
    if isinstance(value, Mapping):
        return {name: _floats(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_floats(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def value(answer: Answer, protocol: Protocol) -> Any:
    """What the method returned. Raises `ValueError` or `LookupError` when that cannot be read."""
    if protocol == "json-2":
        return answer.json()
    if protocol == "json-rpc":
        return answer.json()["result"]
    found = _xml(answer)
    return None if isinstance(found, xmlrpc.client.Fault) else _exact(found)


def status(answer: Answer, protocol: Protocol) -> int:
    """The HTTP status that JSON-2 would give the answer; the older protocols put errors into a 200."""
    if protocol == "json-2" or answer.status != 200:
        return answer.status
    try:
        if protocol == "xml-rpc":
            found = _xml(answer)
            if not isinstance(found, xmlrpc.client.Fault) or _returned_nothing(found):
                return 200
            return _FAULTS.get(found.faultCode) or _by_name(_last_line(found.faultString).partition(":")[0])
        error = answer.json().get("error")
        return _by_name(error["data"]["name"]) if error else 200
    except (ValueError, LookupError, TypeError, AttributeError):
        return 200  # whoever reads it finds out that it cannot be read


def _by_name(name: str) -> int:
    last = name.rpartition(".")[2]
    return _NAMED.get(last) or (422 if last in _REFUSING and not name.startswith("psycopg2") else 500)


def message(answer: Answer, protocol: Protocol) -> tuple[str, str | None]:
    """Odoo's own words in an error answer, and the name of the exception. Raises anything on an unexpected body."""
    if protocol == "xml-rpc" and answer.status == 200:
        fault = _xml(answer)
        text = _last_line(fault.faultString) if fault.faultCode == 1 else fault.faultString.strip()
        return text, f"fault {fault.faultCode}"
    body = answer.json()
    error = body["error"]["data"] if protocol == "json-rpc" and "error" in body else body
    return str(error["message"]) or str(error["name"]), str(error["name"])


def _xml(answer: Answer) -> Any:
    """The value of an XML-RPC answer, or its `Fault`. Raises `ValueError` for what is not one."""
    try:
        (found,), _ = xmlrpc.client.loads(answer.body, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        return fault
    except (ExpatError, xmlrpc.client.ResponseError, LookupError, TypeError) as error:
        raise ValueError("this is not XML-RPC") from error
    return found


def _exact(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _exact(inner) for name, inner in found.items()}
    if isinstance(found, list):
        return [_exact(inner) for inner in found]
    return Decimal(repr(found)) if isinstance(found, float) else found


def _returned_nothing(fault: xmlrpc.client.Fault) -> bool:
    """A method that returned None was carried out and committed; only its answer could not be written."""
    return "cannot marshal None" in fault.faultString


def _last_line(text: str) -> str:
    """Of a traceback, the line that names the error."""
    return text.strip().rpartition("\n")[2]
