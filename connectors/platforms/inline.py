"""Customers of a platform that keeps none: who is billed stands in each invoice."""

from __future__ import annotations

from connectors.model import Party
from connectors.platforms.documents import CustomerDraft, Documents, Hit, Plan, RemoteCustomer


class InlineCustomers(Documents[CustomerDraft, RemoteCustomer]):
    """Nothing to create and nothing to ask for: every customer is there already, under an id that each invoice shows
    again."""

    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return ()

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer]:
        party = draft.party
        return Hit(RemoteCustomer(id=name_of(party), key=draft.key, name=party.display_name, email=party.email))


def name_of(party: Party) -> str:
    """The id of such a customer: the e-mail address, else what is printed on the invoice."""
    return party.email or party.display_name.strip()
