"""Salesforce, REST API v67.0: invoices as records of an object of the merchant's, or of Revenue Cloud Billing.

Sources: REST guide on developer.salesforce.com (composite graph and its limits: 500 nodes, 75 graphs, 15 kinds of
nodes, after 14 failed graphs the rest is halted; one call whatever it holds; error responses; `Sforce-Limit-Info`;
DUPLICATE_VALUE), Object Reference (lengths of the fields of Account and Contact), the guide to Revenue Management's
invoice ingestion, and login.py of simple-salesforce (forms of the two grants).

Traps: the standard Invoice object cannot be inserted as a record, only ingested. "@{" in a text is a reference in a
graph. An upsert would write over a voided invoice, so records are inserted and the unique key refuses the second.
A limit is a 403 without Retry-After. Tokens do not say how long they live.
"""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from connectors.assertions import Asserted
from connectors.errors import Duplicate, Rejected, Throttled, Unavailable, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import salesforce_documents as documents
from connectors.platforms import salesforce_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import posted
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.salesforce_revenue import INVOICING, Ingested


class Salesforce(Platform):
    """Salesforce keeps invoices in one of three ways, chosen by `mode`.

    With **`object`** (the usual one, for any edition that has the API) an invoice is a record of a custom object with
    its lines in a second one. Billhook expects `Billhook_Invoice__c` and `Billhook_Invoice_Line__c`; other objects and
    fields are named in `object`, `line_object`, `fields` and `statuses`. What must be there: on the invoice two text
    fields of 255 characters, External ID, Unique and case-sensitive (`Billhook_Key__c`, `Order_Reference__c`), account,
    dates, a status (Draft, Issued, Paid, Void) and the amounts; on the line its description (long text), quantity and
    unit price (4 decimals), amount, tax, tax rate and tax code. Invoice and lines are saved together or not at all, up
    to 25 invoices a call. All amounts are written without tax, tax beside them, and compared when they are read back.
    Where net, tax and total are formulas or roll-ups set `computed`: then a draft is made, compared and only then
    issued. `billhook check --online` says if the key could be given twice or a field keeps too few decimals.

    **`package`** is the same for Salesforce Billing (`blng__Invoice__c`), whose sums are the package's own: it needs
    `Billhook_Key__c` and `Billhook_Reference__c` on the invoice as above. **`revenue`** is Revenue Cloud Billing, whose
    standard invoices are handed in through the ingestion API, with the order's discount spread over the lines and the
    order's own tax on each of them; each tax rate needs a taxable tax treatment. Salesforce makes such an invoice in
    its own time: one that is not there yet is looked up after 15 minutes and never handed in twice.

    A customer is an account and a contact; the contact carries our key in a field of the same kind
    (`Billhook_Key__c`), else the merchant's own contact with the same e-mail address is taken with its account.
    Connect with a private key (JWT bearer), with client credentials, or through `billhook connect`. Salesforce mails no
    invoices and has no page for the customer. Voiding sets the status, in `revenue` it is the platform's own void;
    invoices of the package are credited there.

    With `object`, what is refunded becomes a credit note if `credit_object` is set, Billhook_Credit_Note__c as a rule,
    with Billhook_Credit_Note_Line__c below: the fields are those of invoices and their lines, without a due date, with
    a look-up to the invoice (`Invoice__c`) on the note and one to the note (`Credit_Note__c`) on its lines. What an
    invoice's balance makes of them is for your org's formulas. In the other two ways no credit notes are made. The
    package's own call credits whole invoices, from Apex (Salesforce Billing guide, InvoiceAPI). Of Revenue Cloud's two,
    "Create and Apply Credit Memo" takes amounts off lines of the invoice, and "Standalone Credit Memo" wants a product
    on every line; both answer before there is a memo, without its id, and know no identifier that would refuse a second
    one (Revenue Management guide): after a lost answer nobody could say whether it was made.

    - **Proved with:** the emulator in all three modes; simple-salesforce, which logs in, creates, finds, changes and
      reads records and sends composite calls to it. No machine-readable schema is published.
    - **Open:** whether the package takes records from outside, and its void; in `revenue` the exact answers of the
      ingestion API, its refusal of a second identifier, the states of an invoice beside Draft, Posted and Voided,
      looking for an invoice by its number, drafts with stated taxes, and due dates in the past, which Salesforce
      refuses. How many calls a day an org has is between it and Salesforce: `daily_calls` says what Billhook may use of
      them, else no quota is kept; a refusal waits 15 minutes. The limit of 25 long calls at once is not verified.
    """

    facts = Facts(
        slug="salesforce",
        title=words.TITLE,
        docs="https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/",
        base_url="https://login.salesforce.com",
        auth="OAuth 2: JWT bearer, client credentials, or consent",
        oauth=Asserted(
            "https://login.salesforce.com/services/oauth2/token",
            authorize_url="https://login.salesforce.com/services/oauth2/authorize",
            scopes=("api", "refresh_token"),
            pkce=True,
            audience="https://login.salesforce.com",
            valid=timedelta(minutes=3),
            sufficient=True,
        ),
        reference=Reference("Order_Reference__c", max_length=words.TEXT, unique=True),
        key_field="Billhook_Key__c",
        once=True,
        concurrent=10,
        bulk=25,
        quiet=timedelta(minutes=15),
        pause=timedelta(minutes=15),
        can=frozenset({"draft", "issue", "void", "credit", "list"}),
    )
    Settings = words.SalesforceSettings
    Credentials = words.SalesforceCredentials
    Customers = documents.Customers
    Invoices = documents.Invoices
    Credits = documents.CreditNotes
    settings: words.SalesforceSettings
    invoices: documents.Invoices
    refusals = (
        Refusal(Duplicate, contains="DUPLICATE_VALUE"),
        Refusal(Duplicate, contains="niqueIdentifier"),
        Refusal(Throttled, contains="REQUEST_LIMIT_EXCEEDED"),
        Refusal(Unavailable, contains="UNABLE_TO_LOCK_ROW"),
        Refusal(Unavailable, contains=words.HALTED),
    )

    def __init__(self, settings: Any, *given: Any, **options: Any) -> None:
        super().__init__(settings, *given, **options)
        if settings.mode == "revenue":
            bulk, self.invoices = self.invoices.bulk, Ingested(self)
            self.invoices.bulk = bulk
        if "credit" not in self.facts.can:
            self.credits = None

    @classmethod
    def facts_of(cls, settings: words.SalesforceSettings) -> Facts:
        """With the calls in 24 hours that the org leaves to us; without credit notes where no object is named."""
        can = cls.facts.can if settings.credit_objects else cls.facts.can - {"credit"}
        calls = settings.daily_calls
        quotas = (Quota(calls, timedelta(days=1)),) if calls is not None else cls.facts.quotas
        return dataclasses.replace(cls.facts, can=can, quotas=quotas)

    @classmethod
    def tenant(cls, settings: words.SalesforceSettings, credentials: words.SalesforceCredentials) -> str:
        return settings.my_domain.lower()

    @classmethod
    def address(cls, settings: words.SalesforceSettings) -> str:
        return f"https://{settings.my_domain}"

    @classmethod
    def grant(cls, settings: words.SalesforceSettings, credentials: words.SalesforceCredentials) -> Asserted:
        """On the org's own host, which client credentials need and which gives the tokens of this org only; those of a
        sandbox are meant for another audience."""
        assert isinstance(cls.facts.oauth, Asserted)
        endpoint = cls.facts.oauth.at(f"https://{settings.my_domain}")
        test = ".sandbox." in settings.my_domain
        return dataclasses.replace(endpoint, audience="https://test.salesforce.com") if test else endpoint

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        body = answer.json()
        errors = body if isinstance(body, list) else [body]
        return "; ".join(str(error["message"]) for error in errors), errors[0].get("errorCode")

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        return self.invoices.since(day)

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        if self.settings.mode == "package":
            raise Rejected(f"invoices of Salesforce Billing are credited there, not voided: invoice {found.number}")
        if self.settings.mode == "revenue":
            path = f"{words.API}{INVOICING}/{quote(found.id, safe='')}/actions/void"
            self.execute(posted("void", path, {}))
        else:
            path = f"{words.API}/sobjects/{self.settings.objects[0]}/{quote(found.id, safe='')}"
            status = {self.settings.names["status"]: self.settings.value(Status.VOID)}
            self.execute(posted("void", path, status, method="PATCH"))
        after = self.read(found.id)
        if after.status is not Status.VOID:
            raise Uncertain(f"Salesforce has not voided invoice {found.number} yet; look again later")
        return after

    def whoami(self) -> str:
        """The organisation. Raises `Rejected` where invoices could not be kept as this connector needs them."""
        (organisation,) = self.invoices.query("Id,Name", "Organization")
        if self.settings.mode == "revenue":
            self.invoices.records(["3tt000000000000"])  # without a licence there is no such object
            return str(organisation["Name"])
        names, (top, lines) = self.settings.names, self.settings.objects
        for each in (top, *(self.settings.credit_objects or ())[:1]):
            found = self._fields(each)
            for field in (names["key"], names["reference"]):
                if found.get(field, {}).get("unique") is not True:
                    raise Rejected(
                        f"{each}.{field} must be there and be Unique in {words.TITLE}, or an order is billed twice"
                    )
        if self._fields("Contact").get(self.settings.customer_key, {}).get("unique") is not True:
            raise Rejected(f"Contact.{self.settings.customer_key} must be there and be Unique in {words.TITLE}")
        for each in (lines, *(self.settings.credit_objects or ())[1:]):
            found = self._fields(each)
            for field in filter(None, (names["line_quantity"], names["line_price"])):
                if found.get(field, {}).get("scale", 0) < words.PLACES:
                    raise Rejected(f"{each}.{field} must be there and have {words.PLACES} decimals in {words.TITLE}")
        return str(organisation["Name"])

    def options(self) -> list[Choice]:
        if self.settings.mode == "revenue":
            found = self.invoices.query("Id,Name", "TaxTreatment", "IsTaxable = true AND Status = 'Active'")
            return [Choice(setting="tax_treatments", value=raw["Id"], title=raw["Name"]) for raw in found]
        field = self._fields(self.settings.objects[1]).get(self.settings.names["line_code"], {})
        values = [value for value in field.get("picklistValues", ()) if value["active"]]
        return [Choice(setting="tax", value=value["value"], title=value["label"]) for value in values]

    def _fields(self, name: str) -> dict[str, Any]:
        answer = self.ask(f"{words.API}/sobjects/{quote(name, safe='')}/describe")
        return self.told(answer, lambda body: {field["name"]: field for field in body["fields"]})
