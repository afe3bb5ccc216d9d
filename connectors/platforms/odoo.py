"""Odoo, external API: `account.move` from 13 on, `account.invoice` up to 12; JSON-2 from 19 on, JSON-RPC or XML-RPC.

Creating is no idempotent call there, but `load` is: it takes an external id, which the database keeps unique, so the
same call again changes the same draft and never makes a second one. From 19 on it takes the lines too, each with an
external id of its own; before, that is not known to work, so the lines are written in a second step which replaces
whatever lines there are. A draft is read, compared with the order to the cent, and posted; posting gives the number.

Sources: odoo/documentation, developer/reference/external_api.rst; odoo/odoo, addons/rpc/controllers, addons/account
and odoo/addons/base/models/ir_fields.py. Seen on servers of 11.0 and 19.0: `load` with external ids (also side by
side, replayed, and after posting), totals, error bodies, sending, PDF, portal link. Not seen, only read: 12 to 18 as
a whole, cancelling up to 12, mailing but in 19; and no limits of Odoo Online are published (a 429 is heeded).

Credit notes: `account.move` of the type `out_refund` with `reversed_entry_id`. Posting one sets it off against its
invoice (odoo/odoo, addons/account/models/account_move.py: `_post`, `_reconcile_reversed_moves`; pull requests
117961 and 134175 of 16.3, so 17 is the first whole version that surely does). An invoice that notes alone settled has
the payment state `reversed` (`_compute_payment_state`).

Traps: JSON-RPC and XML-RPC answer errors with a 200; `load` fails inside a success; a mail that Odoo could not send is
answered as if it had been; an older server ignores fields it does not know, so the version is a setting.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from connectors.errors import Duplicate, Rejected, Unauthorized, Unavailable
from connectors.model import RemoteInvoice, Status
from connectors.platforms import odoo_words as words
from connectors.platforms.base import Choice
from connectors.platforms.documents import Request, reading
from connectors.platforms.facts import Facts, Reference, Refusal
from connectors.platforms.odoo_documents import CreditNotes, Invoices, Partners
from connectors.platforms.odoo_protocols import among
from connectors.platforms.odoo_server import Server


class Odoo(Server):
    """Odoo 19 and later are spoken to by JSON-2, 11 to 18 by JSON-RPC, or by XML-RPC where `protocol` says so;
    invoices are `account.move`, up to Odoo 12 `account.invoice`. Everything is made by `load` under an external
    id of ours (`billhook.inv_…`, `billhook.cust_…`), which the database keeps unique for ever: the same call
    again changes the same draft and never makes a second one. Up to 50 drafts go in one call; what Odoo refuses
    is taken out, and the rest is loaded without it. Before 19 lines are written in a second step, up to 12 the
    taxes are computed in a third.

    **Each draft is read and compared with the order to the cent; only then it is posted**, and gets its number.
    One that differs stays a draft and is a `mismatch`: the usual reason is a company that rounds taxes globally.
    The order's name becomes `ref` (up to 12: `name`); `invoice_origin` (up to 12: `origin`) ends in our business
    key; an invoice is found by either.

    Customers are found by their `ref`, which carries our key, else a contact of yours with the same e-mail
    address is taken. A discount on a line is Odoo's percentage where two decimals hold it; else, and where a
    price or a quantity has more than two decimals, the line becomes one of quantity 1 that says how it came
    about.

    **From Odoo 17 on what was refunded becomes a credit note** that names its invoice (*Reversal of*), made, compared
    and posted in the same way; posting takes it off what is still due, and the rest stays the customer's credit. Before
    17 that is not known of Odoo: there an unpaid invoice is voided where all of it is given back, else a person
    decides.

    The user needs the Invoicing group and "Contact/Creation". On Odoo Online the API is open only with the Custom
    plan. Ids belong to one database: those of a copy are others. An API key of an ordinary user may end after
    some months; `status` then shows the account as refused.

    - **Proved with:** the emulator, as Odoo 12, 17 and 19, by all three protocols; the client library `odoorpc`
      drives it (log in, create, `load`, search, post, reset, cancel, errors). What it does rests on servers of
      Odoo 11.0 and 19.0 for `load` and external ids (also side by side, repeated, and after posting), totals,
      error bodies, mail, PDF and portal link.
    - **Open:** 12 to 18 as a whole were read in the source, not seen running; cancelling up to 12 (its journal
      must allow it), and mailing but in 19; limits of Odoo Online (none are published; a 429 is heeded, and two
      calls at once are the most); credit notes, which were read in the source too, and modules that keep Odoo from
      setting them off; `company`, and databases whose decimal accuracy is not two digits. Before 13
      there is no portal link, and no PDF without a login.
    """

    facts = Facts(
        slug="odoo",
        title="Odoo",
        docs="https://www.odoo.com/documentation/19.0/developer/reference/external_api.html",
        base_url="https://your-database.odoo.com",
        auth="API key, or login and password",
        reference=Reference("ref", words.LONGEST, unique=False),
        key_field="invoice_origin",
        once=True,
        concurrent=2,
        bulk=50,
        quiet=timedelta(seconds=150),
        deadline=60.0,
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Customers = Partners
    Invoices = Invoices
    Credits = CreditNotes
    refusals = (
        # A second `load` of what is posted by now, or a second post of it; a loser of two at the same time.
        Refusal(Duplicate, 422, "on a posted move"),
        Refusal(Duplicate, 422, "must be in draft"),
        Refusal(Duplicate, None, "ir_model_data_module_name"),
        Refusal(Duplicate, 422, "'module, name'"),
        # Rolled back as a whole, so surely not done.
        Refusal(Unauthorized, None, "FATAL:"),
        Refusal(Unavailable, None, "could not serialize access"),
        Refusal(Unavailable, None, "psycopg2."),
    )

    @classmethod
    def facts_of(cls, settings: words.OdooSettings) -> Facts:
        """Before 17 posting a credit note does not set it off against its invoice."""
        return cls.facts if settings.version >= 17 else replace(cls.facts, can=cls.facts.can - {"credit"})

    def read(self, remote_id: str) -> RemoteInvoice:
        found = Invoices(self).documents([remote_id])
        if not found:  # up to 12 what is gone is left out of the answer
            raise Rejected(f"Odoo has no invoice {remote_id} any more")
        return found[0]

    def send(self, remote_id: str, key: str) -> None:
        """By Odoo's own mail template. What its mail server refuses stands in the notification, not in the answer."""
        about: dict[str, Any] = {"active_model": "account.move", "active_ids": [_id(remote_id)]}
        version = self.settings.version
        if version >= 18:
            vals: dict[str, Any] = {"move_id": _id(remote_id), "sending_methods": ["email"]}
            self._by_wizard("account.move.send.wizard", vals, ["action_send_and_print"], about)
        elif version == 17:
            vals = {"checkbox_send_mail": True, "checkbox_download": False}
            self._by_wizard("account.move.send", vals, ["action_send_and_print"], about)
        elif version >= 13:
            vals = {"is_email": True, "is_print": False, "template_id": self._template()}
            about["mark_invoice_as_sent"] = True
            self._by_wizard("account.invoice.send", vals, ["onchange_template_id", "send_and_print_action"], about)
        else:
            mail = self.call(
                "mail", "mail.template", "send_mail", str(self._template()), res_id=_id(remote_id), force_send=True
            )
            self._do(mail)
            self._do(self.call("sent", "account.invoice", "write", among([remote_id]), vals={"sent": True}))
            return
        self._was_sent(remote_id)

    def _by_wizard(self, model: str, vals: dict[str, Any], methods: list[str], context: dict[str, Any]) -> None:
        (made,) = self._do(self.call("wizard", model, "create", context=context, vals_list=[vals]))
        for method in methods:
            self._do(self.call("mail", model, method, str(int(made)), context=context))

    def _template(self) -> int:
        if self.settings.mail_template is None:
            raise Rejected(f"to mail from Odoo {self.settings.version}, set mail_template in the account's settings")
        return self.settings.mail_template

    def _was_sent(self, remote_id: str) -> None:
        """Raises `Rejected` where the newest notification of the invoice says that its mail did not leave."""
        about = [["mail_message_id.model", "=", "account.move"], ["mail_message_id.res_id", "=", _id(remote_id)]]
        asked = self.call(
            "read", "mail.notification", "search_read", domain=[*about, ["notification_type", "=", "email"]],
            fields=["notification_status", "failure_type"], order="id desc", limit=1,
        )  # fmt: skip
        found = self.records(asked, lambda raw: raw)
        if found and found[0]["notification_status"] in {"exception", "bounce"}:
            raise Rejected(f"Odoo could not mail the invoice ({found[0]['failure_type']}): see its mail server")

    def _do(self, request: Request) -> Any:
        answer = self.execute(request)
        return reading(lambda: self.value(answer), answer)

    def whoami(self) -> str:
        domain = [["id", "=", self.settings.company]] if self.settings.company else []
        (name, *_) = self.told_of("res.company", domain, ["name"], lambda raw: str(raw["name"]))
        return name

    def options(self) -> list[Choice]:
        sales = ["type_tax_use", "=", "sale"], ["amount_type", "=", "percent"]
        journals = self.told_of("account.journal", [["type", "=", "sale"]], ["name"], words.journal_choice)
        return journals + self.told_of("account.tax", [*sales], ["name", "amount", "price_include"], words.tax_choice)

    def since(self, day: date) -> list[RemoteInvoice]:
        """By date of invoice, which drafts that people began may lack; page by page, each from the last id on."""
        model = words.model_of(self.settings.version)

        def page(_: int, last: Any) -> tuple[list[RemoteInvoice], Any]:
            dated = [[model.type, "=", "out_invoice"], [model.day, ">=", day.isoformat()], ["id", ">", last or 0]]
            asked = self.call(
                "read", model.name, "search_read", domain=dated, fields=model.fields, order="id", limit=PAGE
            )
            found = self.records(asked, lambda raw: words.invoice(raw, self.settings.version))
            return found, int(found[-1].id) if len(found) == PAGE else None

        return self.every(page)

    def link(self, remote_id: str) -> str | None:
        """The invoice's page in the portal, which needs no login: whoever has the address can see and pay it."""
        if self.settings.version <= 12:
            return None
        asked = self.call("read", "account.move", "get_portal_url", among([remote_id]))
        path = self.question(asked, str)
        return f"{self.base_url}{path}"

    def pdf(self, remote_id: str) -> bytes:
        """From the portal page, whose address is its own secret: our key is not sent there."""
        page = self.link(remote_id)
        if page is None:
            raise Rejected(f"Odoo {self.settings.version} shows no PDF without a login; from 13 on it does")
        return self.linked_pdf(f"{page}&report_type=pdf&download=true")

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """A posted one becomes a draft first (up to 12 its journal must allow cancelling); then it is cancelled."""
        ids = among([found.id])
        if found.status is Status.PAID:
            raise Rejected(f"Odoo: invoice {found.number} is paid; make a credit note")
        if found.status is Status.ISSUED and found.due not in (None, found.total):
            raise Rejected(f"Odoo: of invoice {found.number} only {found.due} is due; credit the rest, do not void it")
        if self.settings.version <= 12:
            self._do(self.call("void", "account.invoice", "action_invoice_cancel", ids))
        else:
            if found.status is not Status.DRAFT:
                self._do(self.call("reset", "account.move", "button_draft", ids))
            self._do(self.call("void", "account.move", "button_cancel", ids))
        return self.read(found.id)


PAGE = 500
"""Invoices that one call lists. Odoo documents no most."""


def _id(remote_id: str) -> int | str:
    """An id as Odoo takes it in arguments; what is no number Odoo refuses."""
    return int(remote_id) if remote_id.isdecimal() else remote_id
