"""Work that stands still: what is due and not done, what waits for a person, what recurs and does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from worker.config_sections import AccountRef
from worker.doctor.findings import Finding, bad, lasting, ok, warning
from worker.limits import State
from worker.store.checkup import Group, Still
from worker.store.jobs import now

UNUSED_TOKEN = timedelta(days=30)
"""Xero ends a refresh token unused for 60 days (developer.xero.com, OAuth 2.0, token types); others do so later."""
UNSEALED = 120.0
SLOW_INBOX = 60.0
LONG_PAUSE = 60.0
"""Seconds beyond which an entry without a seal, an event without a worker, a platform's wish to wait are told."""


def handled(inbox: tuple[int, float]) -> Finding:
    """Accepted events that nobody has begun with; `inbox`: how many, age of the oldest in seconds."""
    count, oldest = inbox
    if count and oldest > SLOW_INBOX:
        says = f"{count} accepted event(s) are not handled, the oldest for {lasting(oldest)}"
        return bad("inbox", says, "a worker for the queue events is missing or stuck; read the log of the workers")
    return ok("inbox", "every accepted event is handled" if not count else f"{count} event(s) have just arrived")


def moving(found: Still, late: float, paused: Mapping[str, float], lease: timedelta) -> Iterator[Finding]:
    """Rows that are due for longer than `late` seconds, leases nobody ends, entries nobody seals.

    `paused`: seconds, by tenant, for which nothing is sent to it anyway. `lease`: the longest there is.
    """
    explained = {tenant for tenant, _, _ in found.holds} | {tenant for tenant, left in paused.items() if left > 0}
    stuck = [group for group in found.due if group.oldest > late]
    for group in stuck:
        says = f"{_whose(group)} due for {lasting(group.oldest)}"
        if group.tenant in explained:
            yield warning("work due", f"{says}; its account is on hold or paused", "see the account's own line")
        else:
            do = "see above whether workers run for its queue; if they do, read their logs"
            yield bad("work due", says, do)
    if not stuck:
        waiting = sum(group.count for group in found.due)
        yield ok("work due", f"nothing has been due for over {lasting(late)}" + (f"; {waiting} due" if waiting else ""))
    for group in found.trying:
        if group.oldest > late:
            says = f"{_whose(group)} tried again and again for {lasting(group.oldest)}: {group.reason or group.state}"
            yield warning(
                "work tried", says, "see whether the platform is up and the account right; it goes on by itself"
            )
    count, since = found.abandoned
    if count and since > 2 * lease.total_seconds():
        says = f"{count} row(s) belong to workers that are gone, for {lasting(since)}"
        yield bad("leases", says, "`recurring` and beat give them back: see whether they run")
    else:
        yield ok("leases", "no worker that is gone holds a row")
    entries, age = found.unsealed
    if entries and age > UNSEALED:
        says = f"{entries} entries of the trail wait for a seal, the oldest for {lasting(age)}"
        yield bad("seal", says, "`recurring` seals: see whether it and beat run, and read its log")
    else:
        yield ok("seal", "the trail is sealed" if not entries else "the trail is sealed but for its newest entries")


def for_people(stopped: Sequence[Group]) -> Iterator[Finding]:
    """Rows that nothing moves until a person acts."""
    if not stopped:
        yield ok("held", "nothing waits for a person")
    for group in stopped:
        what = f"{_whose(group)} {group.state}, the first for {lasting(group.oldest)}"
        if group.state == "doubled":
            yield bad("doubled", what, "`billhook audit show ORDER` names both: void one on the platform, then retry")
        elif group.state == "mismatch":
            yield warning(
                "mismatch", what, "`billhook status --held` says what differs: correct it there, then retry it"
            )
        else:
            do = "`billhook status --held` gives the reasons; then `billhook retry`, or `dismiss`"
            yield warning("held", what, do)


def accounts(found: Still, refs: Sequence[AccountRef], standing: Mapping[str, State]) -> Iterator[Finding]:
    """Each tenant's hold, pause, failures and token; one line for all that are well."""
    names: dict[str, list[str]] = defaultdict(list)
    for ref in refs:
        names[ref.tenant].append(str(ref))
    refused = {tenant: (reason, since) for tenant, reason, since in found.holds}
    well = 0
    for tenant, who in names.items():
        trouble = list(_of_tenant(", ".join(who), who[0], refused.get(tenant), standing.get(tenant)))
        yield from trouble
        well += not trouble
    yield from _tokens(found, refs)
    for tenant in refused.keys() - names.keys():
        says = f"{tenant} is on hold, and no account of the configuration reaches it any more"
        yield warning("accounts", says, "nothing, if the account was removed on purpose")
    if well:
        yield ok("accounts", f"{well} account(s): none of them on hold or paused")


def _of_tenant(who: str, first: str, refused: tuple[str, datetime] | None, standing: State | None) -> Iterator[Finding]:
    if refused:
        says = f"{who} is on hold since {refused[1]:%Y-%m-%d %H:%M} UTC: {refused[0]}"
        yield bad("accounts", says, f"connect it again: `billhook connect {first}`")
    if standing and standing.broken:
        says = f"{who}: calls failed in a row; nothing is sent for another {lasting(standing.paused)}"
        yield warning("accounts", says, "nothing, if the platform is down; else read the reasons in a worker's log")
    elif standing and standing.paused > LONG_PAUSE:
        says = f"{who}: the platform asked to wait for another {lasting(standing.paused)}"
        yield warning("accounts", says, "nothing; if it comes often, somebody else uses up the quota")


def _tokens(found: Still, refs: Sequence[AccountRef]) -> Iterator[Finding]:
    for tenant, stored in found.tokens.items():
        mine = [ref for ref in refs if ref.tenant == tenant and getattr(ref.credentials, "refresh_token", None)]
        if mine and now() - stored > UNUSED_TOKEN:
            says = f"the token of {mine[0]} was last refreshed {lasting((now() - stored).total_seconds())} ago"
            do = "platforms end refresh tokens that lie unused (Xero after 60 days): send an order, or connect it again"
            yield warning("accounts", says, do)


def _whose(group: Group) -> str:
    where = f" for {group.shop}/{group.account}" if group.account else f" of {group.shop}"
    return f"{group.count} {group.kind}(s){where} {'are' if group.count > 1 else 'is'}"
