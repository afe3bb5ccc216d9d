"""FedEx: Advanced Integrated Visibility pushes what happens to parcels, and the Track API is asked for the rest.

A push is signed with the security token of the webhook: `fdx-signature` is base64 of HMAC-SHA256 over the body. FedEx's
pseudo-code ("hex encoding the request payload") can also be read as base64 of the digest's hexadecimal text; until a
live push shows which, only the first is accepted, and the second is logged when it comes.

A push has the form of a Track answer: results by parcel, newest scan first, no event id. Codes: PU picked up, IT in
transit, AR, DP and AF at and from its stations, OD on the van, DL delivered, RS back to the shipper, OC label made, DE
and SE exceptions, CA cancelled, HL held for the customer. An unknown parcel is an error inside a 200.

The present status has two codes, FedEx's own (`code`; a scan's `eventType`) and one that sums it up (`derivedCode`;
`derivedStatusCode`): the merchant may name either in `statuses`. Of returns nothing counts, whatever stands there.

Doubtful: whether FedEx repeats a push that found nobody; the codes of stations; whether a returned parcel always has
RS in its history (one with it is never "delivered", one with details of a return never anything).

Facts: developer.fedex.com, "Advanced Integrated Visibility" (business rules, FAQ), "Track API v1" (30 numbers a
question), "API Authorization" (client id and secret in the form; a token lives an hour).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.auth import OAuth2
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sources.asking import Api, ClientToken, Found, Parcel
from connectors.sources.base import BodySigned, SignatureError, digest, display, inbox_id, parse_json
from connectors.sources.delivery import Delivery
from connectors.sources.parcels import (
    ClientOptions,
    Scan,
    a_dict,
    batches,
    code,
    dicts,
    is_milestone,
    milestone_event,
    milestones,
    own_parcels,
    parcel_number,
    shipment_event,
    time_said,
    written,
)

log = logging.getLogger(__name__)
HOST = "https://apis.fedex.com"
TOKEN = OAuth2(f"{HOST}/oauth/token", client="body")
MOST = 30
"""Numbers in one question."""
_BACK = "RS"
_USUAL = dict.fromkeys(("PU", "IT", "AR", "DP", "AF", "OD"), EventType.SHIPMENT_SHIPPED) | {
    "DL": EventType.SHIPMENT_DELIVERED
}
_OF_TIMES = {"DL": "ACTUAL_DELIVERY", "PU": "ACTUAL_PICKUP"}


class Fedex(BodySigned):
    """The secret is the webhook's security token."""

    kind = "fedex"
    signature_header = "fdx-signature"
    options_model = ClientOptions
    options: ClientOptions

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        try:
            super().verify(headers, body, now)
        except SignatureError:
            if self._of_the_text(headers.get(self.signature_header, ""), body):
                log.warning(
                    "fdx-signature is made over the hexadecimal text of the digest, which is not accepted:"
                    " please report this, it settles what FedEx means"
                )
            raise

    def _of_the_text(self, given: str, body: bytes) -> bool:
        """Whether the signature is right in the other reading of FedEx's description."""
        tried = given.strip().encode("utf-8", "replace")
        texts = [hmac.new(key, body, hashlib.sha256).hexdigest().encode() for key in self.keys()]
        return any(hmac.compare_digest(base64.b64encode(text), tried) for text in texts)

    def deliveries(self, headers: Mapping[str, str], body: bytes) -> Sequence[tuple[Delivery, bytes]]:
        """One a parcel, each in the form of a push of its own."""
        results = list(_results(parse_json(body)))
        if len(results) < 2:
            return [(self.receive(headers, body), body)]
        alone = [
            written({"output": {"completeTrackResults": [{"trackingNumber": number, "trackResults": [result]}]}}, body)
            for number, result in results
        ]
        return [(self.receive(headers, each), each) for each in alone]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """The key is parcel, status and time, for a push has no id."""
        number, result = next(_results(parse_json(body)), (None, {}))
        status, at = _status(result), _happened(result)
        unique = display(a_dict(result.get("trackingNumberInfo")).get("trackingNumberUniqueId")) or ""
        known = number and status and at
        return Delivery(
            id=inbox_id(number or "", unique, status, at.isoformat() if at else "")
            if known
            else inbox_id("push", digest(body)),
            type=f"track/{status}"[:100],
            occurred_at=at,
            order_ref=number,
        )

    def normalise(self, delivery: Delivery, body: bytes) -> Event | None:
        if is_milestone(delivery):
            return milestone_event(delivery, self.kind, body)
        number, result = next(_results(parse_json(body)), (None, {}))
        type_ = _meaning(*_codes(result), _status(result), result, self.options)
        return None if type_ is None else shipment_event(delivery, self.kind, number, type_, _happened(result))

    # -- asking ----------------------------------------------------------------------------------------------------

    def api(self, http: Http) -> Api | None:
        if self.options.client_id is None:
            return None
        host = (self.options.base_url or HOST).rstrip("/")
        return Api("FedEx", host, ClientToken(TOKEN.at(host), self.options, http), http)

    def track(self, api: Api, parcels: Sequence[Parcel]) -> Sequence[Found]:
        """Thirty parcels a question."""
        found: list[Found] = []
        for numbers in batches(own_parcels(parcels, self.kind, r"\d{12}|\d{15}|\d{20}|\d{22}"), MOST):
            named = [{"trackingNumberInfo": {"trackingNumber": number}} for number in numbers]
            question = {"includeDetailedScans": True, "trackingInfo": named}
            said = api.document("/track/v1/trackingnumbers", method="POST", body=question)
            for number, result in _results(said):
                if number in numbers:
                    found += milestones(number, _scans(result, self.options))
        return found


def _results(said: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Each result with its parcel's number; those that are only an error are left out."""
    for complete in dicts(a_dict(a_dict(said).get("output")).get("completeTrackResults")):
        for result in dicts(complete.get("trackResults")):
            inner = a_dict(result.get("trackingNumberInfo")).get("trackingNumber")
            if not result.get("error"):
                yield parcel_number(complete.get("trackingNumber")) or parcel_number(inner), result


def _status(result: Mapping[str, Any]) -> str:
    derived, own = _codes(result)
    return derived or own


def _codes(result: Mapping[str, Any]) -> tuple[str, str]:
    """Of the present status: what FedEx sums it up as, and its own."""
    latest = a_dict(result.get("latestStatusDetail"))
    return code(latest.get("derivedCode")), code(latest.get("code"))


def _meaning(
    derived: str, own: str, status: str, result: Mapping[str, Any], options: ClientOptions
) -> EventType | None:
    """What `status` says of a parcel with this history; None where it is nothing that bills.

    FedEx sums its own codes up in a few others. The merchant may name either; if both, its own, which says more.
    """
    if result.get("returnDetail") or _BACK in (derived, own):
        return None
    type_ = options.meaning(own, options.meaning(derived, _USUAL.get(status)))
    came_back = any(_BACK in scanned[:2] for scanned in _history(result))
    return None if came_back and type_ is EventType.SHIPMENT_DELIVERED else type_


def _happened(result: Mapping[str, Any]) -> datetime | None:
    """When the parcel got its status: the newest scan of it, else FedEx's list of times, else the newest scan."""
    status, scans = _status(result), dicts(result.get("scanEvents"))
    own = _codes(result)[1] or status
    of_own, of_status = (
        [time_said(scan.get("date")) for scan in scans if code(scan.get("eventType")) == each] for each in (own, status)
    )
    listed = [
        time_said(each.get("dateTime"))
        for each in dicts(result.get("dateAndTimes"))
        if code(each.get("type")) == _OF_TIMES.get(status)
    ]
    for times in (of_own, of_status, listed, [time_said(scan.get("date")) for scan in scans]):
        if told := [at for at in times if at is not None]:
            return max(told)
    return None


def _history(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str, datetime | None, Any]]:
    """Of each scan: the code that sums it up, its own, the one that counts unless the merchant says so, time, all."""
    for scan in dicts(result.get("scanEvents")):
        own = code(scan.get("eventType"))
        yield code(scan.get("derivedStatusCode")), own, own, time_said(scan.get("date")), scan


def _scans(result: Mapping[str, Any], options: ClientOptions) -> Iterator[Scan]:
    """The history; the present status closes it, for an answer may come without scans."""
    present = (*_codes(result), _status(result), _happened(result), result.get("latestStatusDetail"))
    for derived, own, status, at, said in (*_history(result), present):
        if at is not None and (type_ := _meaning(derived, own, status, result, options)) is not None:
            yield Scan(type_, at, said)
