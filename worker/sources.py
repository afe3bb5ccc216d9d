"""The configured sources as this process has them: what can read their bodies, and whom to ask."""

from __future__ import annotations

from connectors.http import Http
from connectors.sources.asking import Api
from connectors.sources.base import Source, source
from worker import runtime


@runtime.with_config
def source_of(shop: str, name: str, kind: str | None = None) -> Source:
    """The source that can read a stored body; its secrets were needed at the door only. `kind`: of the body, where the
    source is of another (it was imported), or is no longer configured. Raises `LookupError`."""
    section = runtime.config().shop.get(shop)
    settings = section.source.get(name) if section else None
    if settings is None and kind is None:
        raise LookupError(f"the configuration has no source {shop}/{name} any more")
    if settings is None or (kind is not None and kind != settings.kind):
        return source(kind or "")([], {})
    return source(settings.kind)([], settings.options)


@runtime.with_config
def api_of(shop: str, name: str) -> Api | None:
    """The source's API; None where the configuration names no credentials for it."""
    return source_of(shop, name).api(Http())


@runtime.with_config
def writing_back() -> frozenset[tuple[str, str]]:
    """Shop and name of each source whose orders are to show their invoices."""
    return frozenset(
        (shop, name)
        for shop, section in runtime.config().shop.items()
        for name in section.source
        if getattr(source_of(shop, name).options, "write_back", False)
    )


@runtime.with_config
def askable() -> tuple[tuple[str, str, float], ...]:
    """Shop, name and seconds between two questions of each source that can be asked what was missed."""
    return tuple(
        (shop, name, settings.ask_every)
        for shop, section in runtime.config().shop.items()
        for name, settings in section.source.items()
        if settings.ask_every and api_of(shop, name) is not None
    )
