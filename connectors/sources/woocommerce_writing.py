"""Noting at a WooCommerce order which invoice it has: a custom field of the order, which its screen shows.

`PUT /wp-json/wc/v3/orders/{id}` with nothing but `meta_data` changes the entry of that key, or adds it; a field that
is not sent is not touched, and totals are calculated anew only where lines are sent. The order is saved, so that the
shop's own webhook fires: it tells the same order, and nothing follows.

Facts: woocommerce/woocommerce, includes/abstracts/abstract-wc-data.php (`update_meta_data` without an id: the first
entry of the key gets the value, others of it are deleted; the same value is not written again),
includes/rest-api/Controllers/Version3/class-wc-rest-orders-controller.php (`save_object`) and
class-wc-rest-crud-controller.php (an order that is gone is a 400, "Invalid ID."), includes/
class-wc-rest-authentication.php (a key that may only read is a 401). WordPress REST API handbook, `_fields`.
"""

from __future__ import annotations

import orjson

from connectors.sources.asking import Api, Posted
from connectors.sources.noting import NAMESPACE, key, note, order_number


def write(api: Api, posted: Posted) -> None:
    """Sets the custom field of this account and part. Raises the errors of a read."""
    fields = [{"key": f"{NAMESPACE}_{key(one)}", "value": note(one)} for one in posted.all]
    where = f"/wp-json/wc/v3/orders/{order_number('WooCommerce', posted)}"
    # Else it would answer with the whole order and whose it is.
    api.call("PUT", where, query={"_fields": "id"}, body=orjson.dumps({"meta_data": fields}).decode())
