"""The contract of a platform. A platform file declares facts and fills in what differs; behaviour is here.

A platform has two kinds of documents, customers and invoices, each a `Documents` class with the same
hooks. Generic code (worker and tasks) does the batching, quotas, retries, audit and idempotency policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, Field, SecretStr, field_validator

from connectors.auth import Auth, Grant
from connectors.errors import ConnectorError, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer, Http, dump_json
from connectors.model import Model, RemoteInvoice, Status
from connectors.platforms.documents import CustomerDraft, Documents, PlannedInvoice, RemoteCustomer, Request
from connectors.platforms.facts import Facts, Refusal
from connectors.platforms.papers import Papers
from connectors.registry import choose, files, plug_in, plug_ins

T = TypeVar("T")
MOST_PAGES = 10_000


class PlatformSettings(Model):
    """What the merchant configures for an account on this platform; what is missing is named by pydantic."""

    issue: Annotated[bool, Field(description="false leaves drafts for a person to approve")] = True


class PostedAtOnce(PlatformSettings):
    """Of a platform on which the call that creates an invoice posts it."""

    issue: Annotated[bool, Field(description="true only: what is created here is posted at once")] = True

    @field_validator("issue")
    @classmethod
    def _no_drafts(cls, issue: bool) -> bool:
        if not issue:
            raise ValueError("no drafts are left here: what is created is posted at once; issue must be true")
        return issue


class ClientCredentials(Model):
    """An app registered with the vendor, which asks for tokens of its own (OAuth 2, client credentials)."""

    client_id: Annotated[str, Field(description="the app's client id")]
    client_secret: Annotated[SecretStr, Field(description="the app's client secret")]


class AppCredentials(ClientCredentials):
    """An app registered with the vendor, and a merchant's consent to it (OAuth 2, authorization code)."""

    refresh_token: Annotated[
        SecretStr | None, Field(description="of a consent given elsewhere; `billhook connect` stores its own")
    ] = None


class Choice(Model):
    """Something the merchant can choose: `value` for the setting of that name; of a table (tax) `key` is its key."""

    setting: str
    value: str
    title: str
    key: str | None = None


def choices(
    setting: str,
    raws: Iterable[Mapping[str, Any]],
    value: str = "id",
    title: str = "name",
    key: Callable[[Mapping[str, Any]], str | None] = lambda raw: None,
) -> list[Choice]:
    """The elements of a list as what this setting can be: `value` and `title` are the names of their fields. Raises
    `LookupError` for an element without them."""
    return [
        Choice(setting=setting, value=str(raw[value]), title=str(raw[title] or raw[value]), key=key(raw))
        for raw in raws
    ]


class Platform(Papers):
    """One platform, speaking for one account. Registered by existing: a file in this package, nothing to edit."""

    facts: Facts
    """Of the platform as it usually is; of an instance those of its account (`facts_of`)."""
    Settings: ClassVar[type[PlatformSettings]] = PlatformSettings
    Credentials: ClassVar[type[BaseModel]]
    """The account's credentials: a pydantic model whose secret fields are `SecretStr`."""
    refusals: ClassVar[tuple[Refusal, ...]] = ()
    headers: ClassVar[Mapping[str, str]] = {}
    """Sent with every call."""
    Customers: ClassVar[type[Documents[CustomerDraft, RemoteCustomer]]]
    Invoices: ClassVar[type[Documents[PlannedInvoice, RemoteInvoice]]]
    Credits: ClassVar[type[Documents[PlannedInvoice, RemoteInvoice]] | None] = None
    """Credit notes; None where the platform has none. An account has them where "credit" is in its `facts.can`."""

    def __init__(
        self,
        settings: Any,
        auth: Auth,
        http: Http | None = None,
        base_url: str | None = None,
        permit: Callable[[str], AbstractContextManager[object]] = nullcontext,
        bulk: int | None = None,
    ) -> None:
        """`permit` is entered around every call, with the kind of call where the platform has a quota for it alone
        (else ""); it may raise `Throttled` where the account's quota is used up.
        `bulk`: at most so many documents in one call, where that is fewer than the platform takes."""
        self.settings = settings
        self.facts = self.facts_of(settings)
        self.auth = auth
        self.http = http or Http(self.facts.deadline)
        self.permit = permit
        self.base_url = (base_url or self.address(settings)).rstrip("/")
        self.customers = self.Customers(self)
        self.invoices = self.Invoices(self)
        self.credits = self.Credits(self) if self.Credits and "credit" in self.facts.can else None
        every: tuple[Documents[Any, Any] | None, ...] = (self.customers, self.invoices, self.credits)
        for documents in filter(None, every):
            documents.bulk = min(documents.bulk, bulk or documents.bulk)

    # -- hooks ---------------------------------------------------------------------------------------------------

    @classmethod
    def tenant(cls, settings: Any, credentials: Any) -> str:
        """What quota, sessions and tokens belong to: the same for two accounts that reach one organisation."""
        raise NotImplementedError

    @classmethod
    def facts_of(cls, settings: Any) -> Facts:
        """The facts of an account with these settings: others where its plan or variant decides about quotas or
        abilities."""
        return cls.facts

    @classmethod
    def static_headers(cls, credentials: Any) -> Mapping[str, str] | None:
        """Headers made of an API key; None where tokens or sessions must be fetched (`grant`)."""
        return None

    @classmethod
    def grant(cls, settings: Any, credentials: Any) -> Grant | None:
        """Who gives this account's tokens or sessions; None with `static_headers`. Some merchants have an endpoint of
        their own."""
        return cls.facts.oauth

    @classmethod
    def proof(cls, token: str, credentials: Any) -> Mapping[str, str]:
        """The headers that prove a call by a token or session that `grant` gave (`Token.access`)."""
        return {"Authorization": f"Bearer {token}"}

    @classmethod
    def address(cls, settings: Any) -> str:
        """Where calls go if the account names no `base_url`: some merchants have a server of their own."""
        return cls.facts.base_url

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        """The call as it leaves, proved to be ours: by headers, unless the platform wants it elsewhere.

        May ask the platform first (for a session). Raises the errors of a read. What it adds is never stored.
        """
        headers = {**self.headers, **self.tenant_headers(), **request.headers, **proof}
        return request.model_copy(update={"headers": headers})

    def status(self, answer: Answer) -> int:
        """The HTTP status that an answer means: another one than it has where errors arrive as a 200."""
        return answer.status

    def retry_after(self, answer: Answer) -> float | None:
        """Seconds after which the platform wants to be asked again, where the answer says so; elsewhere than in
        Retry-After, or in another form, on some platforms. Never raises."""
        return answer.retry_after

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """The platform's own words in an error answer, and its code. May raise anything on an unexpected body."""
        raise NotImplementedError

    def read(self, remote_id: str) -> RemoteInvoice:
        """The invoice as it is now. Raises `Rejected` when it does not exist."""
        raise NotImplementedError

    def send(self, remote_id: str, key: str) -> None:
        """Has the platform mail the issued invoice to its customer."""
        raise Rejected(f"{self.facts.title} does not mail invoices through its API")

    def pdf(self, remote_id: str) -> bytes:
        """The platform's own PDF of the issued invoice."""
        raise Rejected(f"{self.facts.title} gives no PDF through its API")

    def whoami(self) -> str:
        """Whose books these are, by a harmless read: the organisation's name. Raises the errors of a read."""
        raise NotImplementedError

    def options(self) -> list[Choice]:
        """What the merchant can choose from for the settings, as the platform has it now: tax codes, accounts, items,
        branding. Raises the errors of a read."""
        return []

    def since(self, day: date) -> list[RemoteInvoice]:
        """Every invoice, whoever made it, that is dated this day (of the merchant's books) or later, drafts and void
        ones among them. Raises the errors of a read."""
        raise Rejected(f"{self.facts.title} does not list invoices by date through its API")

    def link(self, remote_id: str) -> str | None:
        """Where the customer can see and pay it, if there is such a page."""
        return self.read(remote_id).url if "link" in self.facts.can else None

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Voids `found`, which is as it is now and not void; a draft is deleted. Returns it as it then is."""
        raise NotImplementedError

    # -- behaviour -------------------------------------------------------------------------------------------------

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        """Voids an issued, unpaid invoice; a draft is deleted; a void one is left alone. Returns it as it then is."""
        if "void" not in self.facts.can:
            raise Rejected(f"{self.facts.title} cannot void invoices through its API")
        found = self.read(remote_id)
        return found if found.status is Status.VOID else self.undo(found, key)

    def execute(self, request: Request, *, key: str | None = None, begin: Callable[[], None] | None = None) -> Answer:
        """Sends an unsafe call under its key. `begin` runs right before it leaves. Raises the six errors only."""
        if key is not None and self.facts.key is not None:
            proved = {self.facts.key.field: self.facts.key.fitting(key)}
            if self.facts.key.place == "query":
                request = request.model_copy(update={"query": {**request.query, **proved}})
            elif self.facts.key.place in {"body", "inner"}:
                begins = 1 if self.facts.key.place == "inner" else 0
                at = request.body.find("{", begins) + 1  # 0: there is nothing to put it in
                body = f"{request.body[:at]}{dump_json(proved)[1:-1]},{request.body[at:]}" if at else request.body
                request = request.model_copy(update={"body": body})
            else:
                request = request.model_copy(update={"headers": {**request.headers, **proved}})
        return self._call(request, unsafe=True, begin=begin)

    def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        """Reads: by GET, or with a body by POST, where questions travel in one. Raises the six errors only, never
        `Uncertain`."""
        method = "GET" if body is None else "POST"
        request = Request(
            step="read", method=method, path=path, query=query or {}, headers=headers or {}, body=body or ""
        )
        return self._call(request, unsafe=False)

    def value(self, answer: Answer) -> Any:
        """What an answer says, where that is not simply its JSON. May raise anything on an unexpected body."""
        return answer.json()

    def told(self, answer: Answer, read: Callable[[Any], T]) -> T:
        """What `read` makes of the `value` of an answer to a read. Raises `Unavailable` when it cannot be read:
        nothing was changed, and the question may be asked again."""
        try:
            return read(self.value(answer))
        except Exception as error:
            raise Unavailable(
                f"{self.facts.title}: the answer cannot be read ({type(error).__name__})",
                status=answer.status,
                sample=answer.sample,
            ) from None

    def every(self, page: Callable[[int, Any], tuple[Sequence[T], Any]]) -> list[T]:
        """Every element of a list, page by page. `page` is given the page's number, from 1 on, and what came with the
        page before (a cursor; None at first); it gives the page's elements, and something true where there are more.
        Raises the errors of a read, `Unavailable` for a list that does not end as it says."""
        found: list[T] = []
        following: Any = None
        for number in range(1, MOST_PAGES):
            some, following = page(number, following)
            found += some
            if not following:
                return found
            if not some:
                break
        raise Unavailable(f"{self.facts.title}: a list of more ended after {len(found)}")

    def among(self, ours: str, seen: Mapping[str, str]) -> str:
        """For `whoami`: of the organisations that the credentials reach, by id, the name of ours. Raises `Rejected`
        that tells those that are reached."""
        if ours not in seen:
            known = ", ".join(f"{name} ({ident})" for ident, name in seen.items()) or "none"
            raise Rejected(f"{self.facts.title}: these credentials do not reach {ours}, but {known}")
        return seen[ours]

    def _call(self, request: Request, *, unsafe: bool, begin: Callable[[], None] | None = None) -> Answer:
        for again in (True, False):
            proof = self.auth.headers()
            self.http.hide(*proof.values(), *(value.split()[-1] for value in proof.values() if value.split()))
            call = self.leaving(request, proof)
            with self.permit(request.quota):
                answer = self.http.send(
                    call.method,
                    self.base_url + call.path,
                    headers=call.headers,
                    query=call.query,
                    body=call.body.encode() if call.body else None,
                    unsafe=unsafe,
                    guard=begin,
                )
            status = self.status(answer)
            if status == 401 and again and self.auth.renew(proof):
                continue  # a 401 is surely not done, and other credentials are there now
            break
        self._refuse(answer, status, unsafe)
        return answer

    def tenant_headers(self) -> Mapping[str, str]:
        """Headers that name the organisation, where the platform wants them on every call."""
        return {}

    def _refuse(self, answer: Answer, status: int, unsafe: bool) -> None:
        """Raises the error that the answer means; the one place where status becomes error."""
        if 200 <= status < 300:
            return
        try:
            message, code = self.error_message(answer)
        except Exception:  # the body is not the platform's: a proxy's page, a cut document
            message, code = f"status {status} with an unreadable body", None
        kind = self.refusal(status, f"{code or ''} {message}") or _by_status(status, unsafe)
        retry_after = self.retry_after(answer)
        if kind is Throttled and retry_after is None and self.facts.pause is not None:
            retry_after = self.facts.pause.total_seconds()
        if kind is Uncertain and not unsafe:
            kind = Unavailable  # a row meant for creating calls; what only reads has done nothing
        raise kind(
            f"{self.facts.title}: {self.http.redact(message)}",
            status=status, code=code and self.http.redact(code), retry_after=retry_after,
            sample=answer.sample,
        )  # fmt: skip

    def refused(
        self, message: str, answer: Answer, code: str | None = None, status: int = 400,
        otherwise: type[ConnectorError] = Rejected,
    ) -> ConnectorError:  # fmt: skip
        """The error of one element that an answer says was refused, as by this status, though the call was not."""
        kind = self.refusal(status, f"{code or ''} {message}") or otherwise
        said = f"{self.facts.title}: {self.http.redact(message)}"
        return kind(said, status=answer.status, code=code, sample=answer.sample)

    def refusal(self, status: int, text: str) -> type[ConnectorError] | None:
        """The error which the platform's own table gives an answer of this status and text."""
        for row in self.refusals:
            if (row.status is None or row.status == status) and (row.contains is None or row.contains in text):
                return row.error
        return None


def _by_status(status: int, unsafe: bool) -> type[ConnectorError]:
    if status == 401:
        return Unauthorized
    if status == 429:
        return Throttled
    if 400 <= status < 500 and status != 408:
        return Rejected
    return Uncertain if unsafe else Unavailable


@cache
def platforms() -> dict[str, type[Platform]]:
    """Every platform by slug; a file in this package is one."""
    return plug_ins("connectors.platforms", Platform, "facts", lambda found: found.facts.slug)


def platform(slug: str) -> type[Platform]:
    """The platform of that slug, whose file has its name. Raises `LookupError` with the nearest name."""
    found = plug_in("connectors.platforms", Platform, "facts", slug)
    return choose(platforms(), slug, "platform") if found is None else found


@cache
def slugs() -> tuple[str, ...]:
    """Every platform's slug in alphabetical order, without loading one: the files that have an emulator beside them."""
    return tuple(sorted((files("connectors.platforms") & files("connectors.sandbox")) - {"base"}))
