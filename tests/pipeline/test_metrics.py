"""/metrics of real processes: what they count is true, who may read it, and what it says when Redis is away."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from connectors.platforms.xero import Xero
from tests.kit.processes import Process, eventually, free_port
from tests.kit.redis_server import RedisServer
from tests.kit.scene import api_key, order_event
from tests.kit.world import World
from worker.pulse import EVERY

MakeWorld = Callable[..., World]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
TOKEN = "operators-token-0123456789"
PAGE = Path(__file__).resolve().parents[2] / "deploy" / "docs" / "operations.md"
REFUSED = {"name": "VAT", "rate": "17"}  # a tax code that the sandbox does not know


def measured() -> str:
    return f'\n[billhook.metrics]\ntoken = "{TOKEN}"\nworker_port = {free_port()}\n'


def page_of(url: str, token: str = TOKEN) -> list[Metric]:
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=15)
    assert answer.status_code == 200, answer.text
    return list(text_string_to_metric_families(answer.text))


def address(worker: Process) -> str:
    """Where the worker says that it serves its metrics."""
    return str(eventually(lambda: re.search(r'"address":"([^"]+)"', worker.output), 15)[1])


def _stored(family: Metric) -> str:
    """The name under which Prometheus keeps it, as the docs give it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


class Figures:
    """The samples of a page."""

    def __init__(self, url: str) -> None:
        self.families = page_of(url)

    def __call__(self, name: str, **labels: str) -> float:
        """The one sample with this name and these labels among its own."""
        (value,) = (
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
        return value

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with this name and these labels."""
        samples = [sample for family in self.families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def has(self, name: str) -> bool:
        return any(sample.name == name for family in self.families for sample in family.samples)

    def labels(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Each family's name as Prometheus stores it, with the labels of one of its samples."""
        for family in self.families:
            if family.name.startswith("billhook_"):
                for sample in family.samples:
                    yield _stored(family), frozenset(sample.labels) - {"le"}


def refused_event(number: int) -> dict[str, object]:
    event = order_event(number)
    line = {**event["order"]["lines"][0], "tax": {**REFUSED, "amount": "15.30"}}
    event["order"] |= {"lines": [line], "discount": None, "shipping": None, "total": "105.30"}
    return event


def three_issued_one_held(world: World) -> World:
    world.start(ingest=True)
    for number in (1, 2, 3):
        assert world.post(order_event(number)).status_code == 202
    assert world.post(order_event(1)).status_code == 200
    assert world.post(refused_event(4)).status_code == 202
    world.until_settled()
    assert world.states() == {"issued": 3, "held": 1}
    return world


@on_sqlite
def test_every_process_counts_what_it_did_and_all_that_is_shown_is_described(make_world: MakeWorld) -> None:
    world = three_issued_one_held(make_world(platforms=("xero",), more=measured()))
    assert world.recurring
    (daily,) = [quota for quota in Xero.facts.quotas if quota.per == timedelta(days=1)]
    ingest = Figures(f"{world.ingest_url}/metrics")
    worker, recurring = Figures(address(world.workers[0])), Figures(address(world.recurring))

    whose = {"shop": "engraver", "account": "xero"}
    assert worker("billhook_settled_total", kind="invoice", platform="xero", state="issued", **whose) == 3
    assert worker("billhook_settled_total", kind="invoice", platform="xero", state="held", **whose) == 1
    assert worker("billhook_settled_total", kind="event", state="done") == 4
    assert worker.total("billhook_call_seconds_count", platform="xero") == len(world.sandbox.calls("xero"))
    assert not worker.has("billhook_stopped_rows")
    assert ingest("billhook_events_accepted_total", shop="engraver") == 4
    assert ingest("billhook_ingest_answers_total", answer="duplicate") == 1
    assert ingest("billhook_ingest_seconds_count") == 5
    assert ingest("billhook_ingest_batch_events_sum") == 5
    for figures in (ingest, recurring):
        assert figures("billhook_up", part="redis") == figures("billhook_up", part="store") == 1
        assert figures("billhook_stopped_rows", kind="invoice", state="held", **whose) == 1
        assert 0 < figures("billhook_quota_left", platform="xero", window="86400s", **whose) < daily.calls
        assert figures("billhook_on_hold", platform="xero", **whose) == 0
        assert figures("billhook_inbox_unhandled") == 0
    _compare_with_the_docs(ingest, worker, recurring)


def _compare_with_the_docs(*pages: Figures) -> None:
    told = {}
    for line in re.findall(r"^\| `billhook_.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        name, labels, *_ = line.strip("| ").split(" | ")
        told[name.strip("`")] = frozenset(re.findall(r"`(\w+)`", labels))
    families = {_stored(family) for page in pages for family in page.families}
    assert {name for name in families if name.startswith("billhook_")} == set(told)
    shown = {pair for page in pages for pair in page.labels()}
    assert not [pair for pair in shown if told[pair[0]] != pair[1]]
    assert not [name for name, labels in told.items() if labels & {"order", "subject", "event", "id"}]


@on_sqlite
def test_only_the_operator_s_token_opens_it(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",), more=measured())
    world.start(workers=0, ingest=True)
    assert world.recurring
    for url in (f"{world.ingest_url}/metrics", address(world.recurring)):
        keys = ("", f"Bearer {api_key('engraver')}", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x")
        answers = [requests.get(url, headers={"Authorization": key} if key else {}, timeout=15) for key in keys]
        assert [answer.status_code for answer in answers] == [401] * 5
        assert not [answer for answer in answers if "billhook_up" in answer.text]
        assert page_of(url)


@on_sqlite
def test_without_a_token_ingest_shows_nothing_and_a_worker_only_this_machine(make_world: MakeWorld) -> None:
    more = measured().replace(f'token = "{TOKEN}"\n', "")
    world = make_world(platforms=("xero",), more=more)
    world.start(workers=0, ingest=True)
    assert world.recurring
    for key in ("", "Bearer ", f"Bearer {api_key('engraver')}"):
        assert (
            requests.get(f"{world.ingest_url}/metrics", headers={"Authorization": key}, timeout=15).status_code == 401
        )
    assert address(world.recurring).startswith("http://127.0.0.1:")
    assert requests.get(address(world.recurring), timeout=15).status_code == 200


@on_sqlite
def test_without_redis_it_says_so_and_shows_the_rest(make_world: MakeWorld, private_redis: RedisServer) -> None:
    world = make_world(platforms=("xero",), redis_url=private_redis.url, more=measured())
    three_issued_one_held(world)
    url = f"{world.ingest_url}/metrics"
    assert Figures(url).has("billhook_queue_messages")
    private_redis.stop()

    def without() -> Figures | None:
        figures = Figures(url)
        return figures if figures("billhook_up", part="redis") == 0 else None

    figures = world.until(without, 20)
    assert figures("billhook_up", part="store") == 1
    assert figures("billhook_stopped_rows", kind="invoice", state="held") == 1
    assert figures("billhook_events_accepted_total", shop="engraver") == 4
    assert not figures.has("billhook_queue_messages")
    assert not figures.has("billhook_quota_left")
    worker = world.until(lambda: Figures(address(world.workers[0])), 20)
    assert worker("billhook_settled_total", kind="invoice", state="issued") == 3
    private_redis.start()
    world.until(lambda: Figures(url)("billhook_up", part="redis") == 1, 20)
    assert world.post(order_event(9)).status_code == 202
    world.until_settled()


@pytest.mark.slow  # a worker is silent for longer than its beat
@on_sqlite
def test_a_worker_that_died_is_missed_and_one_that_was_stopped_is_not(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",), more=measured()).start(workers=2, ingest=True)
    url = f"{world.ingest_url}/metrics"

    def beating() -> dict[str, float]:
        samples = [s for family in page_of(url) for s in family.samples if s.name.endswith("heartbeat_seconds")]
        return {sample.labels["worker"]: sample.value for sample in samples}

    names = [re.search(r'"event":"(\S+) ready\.', one.output)[1] for one in world.workers]  # type: ignore[index]
    world.until(lambda: set(names) <= set(beating()), 15)
    world.workers[0].kill()
    world.workers[1].terminate()
    world.until(lambda: names[1] not in beating(), 20)
    assert names[0] in beating()
    world.until(lambda: beating()[names[0]] > EVERY * 1.5, 30)
