"""What ShipStation sends and answers, and the source as a merchant configures it."""

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from connectors.sources.shipstation import ShipStation

TOKEN = "token-in-the-address"
BATCH = "https://ssapi.shipstation.com/shipments?batchId=4d1f0b7e&includeShipmentItems=False"
NOTIFY = {"resource_url": BATCH, "resource_type": "SHIP_NOTIFY"}
TRACK = {
    "resource_url": "https://api.shipengine.com/v1/tracking?carrier_code=ups&tracking_number=1Z999AA10123456784",
    "resource_type": "API_TRACK",
    "data": {
        "tracking_number": "1Z999AA10123456784",
        "status_code": "DE",
        "status_description": "Delivered",
        "carrier_code": "ups",
        "actual_delivery_date": "2026-11-22T10:31:00Z",
        "events": [],
    },
}
SHIPMENT = {
    "shipmentId": 33974374,
    "orderId": 43945660,
    "orderKey": "8061c220",
    "orderNumber": "SO-1001",
    "createDate": "2026-11-22T02:59:58.0000000",
    "shipDate": "2026-11-22",
    "trackingNumber": "RM123456789GB",
    "carrierCode": "royal_mail",
    "serviceCode": "rm_tracked_48",
    "voided": False,
    "batchId": "4d1f0b7e",
    "shipTo": {"name": "Ada Lovelace", "postalCode": "SW1Y 4JH", "country": "GB"},
    "advancedOptions": {"storeId": 7},
}
ORDER = {
    "orderId": 43945660,
    "orderKey": "8061c220",
    "orderNumber": "SO-1001",
    "orderStatus": "shipped",
    "modifyDate": "2026-11-22T02:59:59.0000000",
    "orderTotal": 999.0,
    "advancedOptions": {"storeId": 7},
}


def configured(base: str, **options: Any) -> ShipStation:
    own = {"api_key": "ss-key", "api_secret": "ss-secret", "base_url": base, "keys_url": f"{base}/jwks"}
    return ShipStation([TOKEN], {**own, **options})


def jwk(name: str, key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    written = {
        field: base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()
        for field, number in (("n", numbers.n), ("e", numbers.e))
    }
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, **written}
