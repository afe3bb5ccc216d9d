"""QuickBooks Online: one order, one invoice of its customer. What the API is like, and its traps: `qbo_company`."""

from __future__ import annotations

from connectors.platforms.qbo_company import Company, facts


class QuickBooks(Company):
    """Several documents go as one batch of up to 10, each under its own `bId`; one alone goes by itself, which does
    not count as a batch. **There are no drafts:** an invoice is posted by the call that creates it. So the tax
    QuickBooks will compute (once per rate, on the sum of its lines) is computed before; what cannot be reached to
    the cent is held, and what differs afterwards is a `mismatch`. Amounts are always sent without tax, whether
    the shop's prices include it or not. A line's own discount lowers its unit price, or the line becomes one of
    quantity 1 that says how it came about.

    The order's name becomes the DocNumber, which has 21 characters (longer names are shortened, to the same text
    for ever); `PrivateNote` ends in our business key. **Custom transaction numbers must be on** (Account and
    settings, Sales): else QuickBooks numbers by itself, and each invoice ends as a `mismatch` that says so.

    Customers are found by display name, which is unique over customers, vendors and employees, and says who it
    is: "Ada Lovelace (ada@example.com)". A customer of yours with the plain name is taken if it is a company or
    has the same e-mail address. With multicurrency a customer has one currency for ever: who orders in another
    one becomes a second customer, "Ada Lovelace (ada@example.com, EUR)".

    What was refunded becomes a credit memo, set off against its invoice by a payment of nothing, as far as the invoice
    is due; the rest stays the customer's credit. Turn "Automatically apply credits" off (Account and settings,
    Advanced): else QuickBooks sets each off against the customer's oldest open invoice, which may be another one.

    The refresh token in the file is used once. From then on the newest one is in the store, encrypted.

    - **Proved with:** the emulator; the SDK `python-quickbooks` drives it (create, batch with faults, query,
      duplicate number and name, mail, PDF, void, requestid, token refresh, credit memo and its payment).
    - **Open:** how long a `requestid` is remembered (ten minutes are relied on) and what it answers to another
      body (the answer is compared with what was sent); how long after a create a query sees it (hence the long
      quiet period, and a second look among the customer's invoices of the day); whether a tax stated outside the
      US is kept, and whether negative lines are always taken (the total is compared); whether duplicate numbers
      are refused in every company; 10 or 30 documents a batch; how a backslash in a name is looked for (it
      becomes a slash); emoji in names; whether `InvoiceRef` of a credit memo is kept outside India; what becomes of a
      credit memo whose invoice is voided (the emulator refuses that); whether numbers of credit memos are unique;
      whether the refresh token's old value lives on after it changed.
    """

    facts = facts("quickbooks", "QuickBooks Online", "invoice")
