"""This process as one of ours: for tests that call the code under a scene's configuration instead of a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tasks import handle_events
from tests.kit.scene import Scene
from worker import accounts, runtime

_CACHES = (
    runtime.config, runtime.store, runtime.inbox, runtime.redis_url, runtime.redis_client, runtime.process_name,
    accounts.accounts, accounts.platform_of, handle_events._source,
)  # fmt: skip


@contextmanager
def inside(scene: Scene) -> Iterator[None]:
    """Configuration, store, Redis and accounts of this process are the scene's."""
    with patch.dict("os.environ", {"BILLHOOK_CONFIG": str(scene.config_file)}):
        _forget()
        try:
            yield
        finally:
            for opened in {runtime.store(), runtime.inbox()}:
                opened.close()
            _forget()


def _forget() -> None:
    for cache in _CACHES:
        cache.cache_clear()
