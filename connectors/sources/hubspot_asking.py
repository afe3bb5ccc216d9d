"""What is asked of HubSpot: a deal with what belongs to it, and the deals that changed, for what no webhook told.

The search is a little behind: nothing younger than two minutes is asked for. It shows ten thousand deals and no more,
so each page begins at the last change of the one before. A deal that was won before anybody asked may be years old,
and somebody only called its contact: it is told as such, so that it asks for no invoice.

Facts: HubSpot's public API specs of version 2026-03: CRM/Deals (`PublicObjectSearchRequest`, all of whose fields but
`query` are required; at most 200 deals; `propertiesWithHistory`), CRM/Associations (at most 500 a page), batch reads of
at most 100, Settings/Tax Rates. In doubt: that a company's association of type 5 is the deal's primary one, and that
histories are told newest first (they are sorted here).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import BaseModel

from connectors.errors import Rejected, Unavailable
from connectors.sources import hubspot_deal as deals
from connectors.sources.asking import Api, Found, Page
from connectors.sources.base import digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery

READ = "read/deal"
"""The type of a deal that was read."""
CHANGED = "changed/deal"
"""The type of a deal that a search names."""
SETTLED = timedelta(minutes=2)
"""So old is what every search surely finds."""
_OBJECTS = "/crm/objects/2026-03"
_RATES = "/tax-rates/2026-03/tax-rates"
_SIZE, _BATCH = 200, 100
_PRIMARY = 5


class Cursor(BaseModel):
    """How far the deals were read."""

    began: datetime
    """When somebody asked first."""
    since: datetime
    """The last change that was seen."""
    after: str = "0"
    """Where it goes on, where more deals changed in one moment than a page holds."""


def pull(api: Api, cursor: str | None, now: datetime, stages: Sequence[str] | None) -> Page:
    """A page of the deals that changed; each is read later. `stages`: only those. Raises the errors of a read."""
    at = Cursor(began=now, since=now) if cursor is None else Cursor.model_validate_json(cursor)
    until = now - SETTLED
    if until < at.since:
        return Page((), at.model_dump_json(), more=False)
    rows, following = _searched(api, at, until)
    wanted = [each for each in rows if stages is None or _property(each, "dealstage") in stages]
    found = tuple(_changed(each, at.began) for each in wanted)
    last = max((changed for each in rows if (changed := _changed_at(each))), default=at.since)
    if following and last <= at.since:
        return Page(found, at.model_copy(update={"after": following}).model_dump_json(), more=True)
    done = at.model_copy(update={"since": max(last, at.since), "after": "0"})
    return Page(found, done.model_dump_json(), more=bool(following))


def _searched(api: Api, at: Cursor, until: datetime) -> tuple[list[dict[str, Any]], str]:
    """The deals of a page, and the word for the next one."""
    window = {"operator": "BETWEEN", "value": _text(at.since), "highValue": _text(until)}
    body = {
        "filterGroups": [{"filters": [{"propertyName": "hs_lastmodifieddate", **window}]}],
        "sorts": ["hs_lastmodifieddate"],
        "properties": ["dealstage", "hs_lastmodifieddate"],
        "limit": _SIZE,
        "after": at.after,
    }
    return _page(api, api.document(f"{_OBJECTS}/0-3/search", method="POST", body=body))


def _page(api: Api, answer: Any) -> tuple[list[dict[str, Any]], str]:
    rows = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise Unavailable(f"{api.name} answered with something that is no list")
    paging = answer.get("paging") or {}
    following = (paging.get("next") or {}).get("after") if isinstance(paging, dict) else None
    return [each for each in rows if isinstance(each, dict)], display(following) or ""


def _text(time: datetime) -> str:
    """HubSpot compares times as milliseconds."""
    return str(int(time.timestamp()) * 1000 + time.microsecond // 1000)


def _property(deal: Mapping[str, Any], name: str) -> Any:
    theirs = deal.get("properties")
    return theirs.get(name) if isinstance(theirs, dict) else None


def _changed_at(deal: Mapping[str, Any]) -> datetime | None:
    return moment(_property(deal, "hs_lastmodifieddate")) or moment(deal.get("updatedAt"))


def _changed(deal: Mapping[str, Any], began: datetime) -> Found:
    """What a search says of a deal, in the form of a webhook: where to look."""
    number, at = display(deal.get("id")) or "", _changed_at(deal)
    stage = display(_property(deal, "dealstage")) or ""
    body = orjson.dumps({"objectId": number, "propertyValue": stage, "began": began.isoformat()})
    return Found(Delivery(inbox_id(CHANGED, number, stage, at.isoformat() if at else ""), CHANGED, at, number), body)


# -- one deal ----------------------------------------------------------------------------------------------------------


def read(api: Api, deal_id: str, began: datetime | None, won: Sequence[str], own: Sequence[str]) -> Sequence[Found]:
    """The deal with its lines, contact and company, as one document; empty where it is gone.

    `began`: what was won before asks for no invoice. `won`: the stages that count. `own`: more properties of the deal.
    Raises the errors of a read.
    """
    wanted = (*deals.DEAL, *own)
    query = {"properties": ",".join(wanted), "propertiesWithHistory": "dealstage"}
    try:
        deal = api.document(f"{_OBJECTS}/0-3/{deal_id}", query=query)
    except Rejected as error:
        if error.status == 404:
            return []
        raise
    if not isinstance(deal, dict):
        raise Unavailable(f"{api.name} answered with something that is no deal")
    history = _history(deal)
    lines = _objects(api, "line_items", [one for one, _ in _linked(api, deal_id, "line_items")], deals.LINE)
    document: dict[str, Any] = {
        "deal": {**deals.properties(wanted, deal), "updatedAt": deal.get("updatedAt")},
        "stages": [stage for _, stage in history],
        "lines": lines,
        "contact": _first(api, "contacts", _linked(api, deal_id, "contacts"), deals.CONTACT),
        "company": _first(api, "companies", _linked(api, deal_id, "companies"), deals.COMPANY),
        "rates": _rates(api, lines),
    }
    if began is not None and (entered := _entered(history, won)) is not None and entered < began:
        document["before"] = True
    content = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    stage = display(_property(deal, "dealstage")) or ""
    key = inbox_id(READ, deal_id, stage, digest(content))
    return [Found(Delivery(key, READ, moment(deal.get("updatedAt")), deal_id), content)]


def _history(deal: Mapping[str, Any]) -> list[tuple[datetime, str]]:
    """The stages that it went through, oldest first."""
    told = deal.get("propertiesWithHistory")
    rows = told.get("dealstage") if isinstance(told, dict) else None
    found = [
        (at, stage)
        for each in (rows if isinstance(rows, list) else ())
        if isinstance(each, dict) and (at := moment(each.get("timestamp"))) and (stage := display(each.get("value")))
    ]
    return sorted(found)


def _entered(history: Sequence[tuple[datetime, str]], won: Sequence[str]) -> datetime | None:
    """Since when it is in a won stage."""
    since = None
    for at, stage in history:
        since = (since or at) if stage in won else None
    return since


def _linked(api: Api, deal_id: str, what: str) -> list[tuple[str, bool]]:
    """Ids of what belongs to the deal, by number, and whether each is the primary one."""
    found, following = [], ""
    while True:
        query = {"limit": "500"} | ({"after": following} if following else {})
        rows, following = _page(api, api.document(f"{_OBJECTS}/deals/{deal_id}/associations/{what}", query=query))
        for each in rows:
            types = each.get("associationTypes")
            primary = [one for one in types if isinstance(one, dict)] if isinstance(types, list) else []
            number = display(each.get("toObjectId"))
            if number:
                found.append((number, any(one.get("typeId") == _PRIMARY for one in primary)))
        if not following:
            return sorted(found, key=lambda each: (len(each[0]), each[0]))


def _first(api: Api, what: str, linked: Sequence[tuple[str, bool]], wanted: tuple[str, ...]) -> dict[str, Any] | None:
    """The primary one, else the oldest."""
    chosen = next((one for one, primary in linked if primary), linked[0][0] if linked else None)
    found = _objects(api, what, [chosen], wanted) if chosen else []
    return found[0] if found else None


def _objects(api: Api, what: str, ids: Sequence[str], wanted: tuple[str, ...]) -> list[dict[str, Any]]:
    """What belongs to a deal, with the properties that are kept of it. Raises `Unavailable` where one is missing."""
    found = []
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        inputs = [{"id": each} for each in part]
        body = {"inputs": inputs, "properties": list(wanted), "propertiesWithHistory": []}
        rows, _ = _page(api, api.document(f"{_OBJECTS}/{what}/batch/read", method="POST", body=body))
        by_id = {display(each.get("id")): deals.properties(wanted, each) for each in rows}
        if missing := [each for each in part if each not in by_id]:
            raise Unavailable(f"{api.name} did not show {what} {missing[0]}, which belongs to the deal")
        found += [by_id[each] for each in part]
    return found


def _rates(api: Api, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tax rates of the lines by id; those that are gone are left out."""
    ids = {display(each["properties"].get("hs_tax_rate_group_id")) for each in lines}
    found = {}
    for one in sorted(each for each in ids if each and each.isascii() and each.isdigit()):
        try:
            rate = api.document(f"{_RATES}/{one}")
        except Rejected as error:
            if error.status == 404:
                continue
            raise
        if isinstance(rate, dict):
            found[one] = {name: rate.get(name) for name in ("name", "label", "percentageRate")}
    return found
