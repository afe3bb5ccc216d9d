"""simple-salesforce drives the emulator: what that client sends is accepted, what it expects comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.sandbox import salesforce as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("simple_salesforce")
OBJECT, LINE, KEY = "Billhook_Invoice__c", "Billhook_Invoice_Line__c", "Billhook_Key__c"


class Rerouted(requests.adapters.HTTPAdapter):
    """The client knows https and hosts of salesforce.com only."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = self.url + request.path_url
        return super().send(request, *args, **kwargs)


class Org:
    """An emulated org, and the client's way to it."""

    def __init__(self, running: RunningSandbox) -> None:
        self.emulator: Any = running.sandbox.hosted["salesforce"].emulator
        self.running = running
        self.session = requests.Session()
        self.session.mount("https://", Rerouted(f"{running.url}/salesforce"))

    def client(self, **login: Any) -> Any:
        from simple_salesforce import Salesforce

        return Salesforce(session=self.session, version="67.0", **login)

    def by_session(self) -> Any:
        return self.client(session_id=sandbox.ACCESS_TOKEN, instance="sandbox.my.salesforce.com")


@pytest.fixture
def org() -> Iterator[Org]:
    running = RunningSandbox([sandbox.Salesforce])
    yield Org(running)
    running.close()


def invoice(client: Any, reference: str = "SO-1001") -> Any:
    account = client.Account.create({"Name": "Analytical Engines Ltd", "BillingCity": "London"})["id"]
    head = {KEY: f"key-{reference}", "Order_Reference__c": reference, "Account__c": account, "Status__c": "Issued"}
    return getattr(client, OBJECT).create({**head, "Net__c": 98.45, "Tax__c": 19.69, "Total__c": 118.14})


def test_it_logs_in_with_client_credentials_and_with_a_signed_assertion(org: Org) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    org.emulator.certificate = public.decode()
    by_secret = org.client(consumer_key=sandbox.CLIENT_ID, consumer_secret=sandbox.CLIENT_SECRET, domain="sandbox.my")
    by_key = org.client(username=sandbox.USERNAME, consumer_key=sandbox.CLIENT_ID, privatekey=pem.decode())
    for client in (by_secret, by_key):
        assert client.sf_instance == "sandbox.my.salesforce.com"
        assert client.query("SELECT Id, Name FROM Organization")["records"][0]["Name"] == "Analytical Engines Org"


def test_a_wrong_secret_and_an_ended_session_are_the_clients_own_errors(org: Org) -> None:
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceExpiredSession

    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client"):
        org.client(consumer_key=sandbox.CLIENT_ID, consumer_secret="wrong", domain="sandbox.my")
    client = org.by_session()
    org.running.run(org.emulator.expire_tokens)
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Account")


def test_a_record_is_created_found_changed_and_read(org: Org) -> None:
    client = org.by_session()
    made = invoice(client)
    assert made["success"] is True
    records = client.query_all(f"SELECT Id, Name, Total__c, CurrencyIsoCode FROM {OBJECT} WHERE {KEY} = 'key-SO-1001'")
    (record,) = records["records"]
    assert (record["Id"], record["Total__c"], record["CurrencyIsoCode"]) == (made["id"], 118.14, "GBP")
    assert getattr(client, OBJECT).get_by_custom_id(KEY, "key-SO-1001")["Id"] == made["id"]
    assert getattr(client, OBJECT).update(made["id"], {"Status__c": "Void"}) == 204
    assert getattr(client, OBJECT).get(made["id"])["Status__c"] == "Void"
    assert [entry.status for entry in org.running.run(org.emulator.ledger)] == ["void"]


def test_an_upsert_makes_and_then_changes(org: Org) -> None:
    contacts = org.by_session().Contact
    assert contacts.upsert(f"{KEY}/C-9", {"LastName": "Lovelace", "Email": "ada@example.com"}) == 201
    assert contacts.upsert(f"{KEY}/C-9", {"LastName": "King"}) == 200
    assert contacts.get_by_custom_id(KEY, "C-9")["LastName"] == "King"


def test_refusals_are_the_clients_own_errors(org: Org) -> None:
    from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

    client = org.by_session()
    first = invoice(client)
    with pytest.raises(SalesforceMalformedRequest) as refused:
        invoice(client)
    assert refused.value.content[0]["errorCode"] == "DUPLICATE_VALUE"
    assert refused.value.content[0]["message"].endswith(f"record with id: {first['id']}")
    with pytest.raises(SalesforceMalformedRequest) as refused:
        client.Contact.create({"FirstName": "Ada"})
    assert refused.value.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    with pytest.raises(SalesforceMalformedRequest):
        client.Invoice.create({"InvoiceNumber": "1"})
    with pytest.raises(SalesforceResourceNotFound):
        client.Account.get("001Nobody")


def test_composite_calls_are_all_or_none_and_are_counted_once(org: Org) -> None:
    client = org.by_session()
    account = client.Account.create({"Name": "Analytical Engines Ltd"})["id"]
    client.limits()
    before = client.api_usage["api-usage"].used
    sobjects = "/services/data/v67.0/sobjects"
    head = {KEY: "k", "Order_Reference__c": "SO-1", "Account__c": account, "Status__c": "Draft"}

    def parts(**line: Any) -> list[dict[str, Any]]:
        below = {"Invoice__c": "@{inv.id}", "Description__c": "Plaque", **line}
        return [
            {"method": "POST", "url": f"{sobjects}/{OBJECT}", "referenceId": "inv", "body": head},
            {"method": "POST", "url": f"{sobjects}/{LINE}", "referenceId": "l1", "body": below},
        ]

    bad, good = (
        client.restful("composite", method="POST", json={"allOrNone": True, "compositeRequest": each})
        for each in (parts(Nonsense__c=1), parts(Amount__c=90))
    )
    codes = [part["body"][0]["errorCode"] for part in bad["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "INVALID_FIELD"]
    assert [part["httpStatusCode"] for part in good["compositeResponse"]] == [201, 201]
    graphs = [{"graphId": "a", "compositeRequest": parts()}]
    (answer,) = client.restful("composite/graph", method="POST", json={"graphs": graphs})["graphs"]
    assert (answer["graphId"], answer["isSuccessful"]) == ("a", False), "the key is taken"
    assert client.api_usage["api-usage"].used == before + 3
    assert len(org.running.run(org.emulator.ledger)) == 1


def test_what_an_object_has_can_be_looked_up(org: Org) -> None:
    fields = {field["name"]: field for field in getattr(org.by_session(), OBJECT).describe()["fields"]}
    assert fields[KEY]["unique"]
    assert fields[KEY]["externalId"]
    assert [value["value"] for value in fields["Status__c"]["picklistValues"]] == ["Draft", "Issued", "Paid", "Void"]
