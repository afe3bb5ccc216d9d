"""What cannot go on by itself ends in a state that a person sees, with the reason; and goes on when it is put right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.errors import Rejected
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.stripe import Stripe
from connectors.sandbox.faults import Fault
from tasks import create_invoices, deciding, handle_events, recurring
from tests.kit.history import check
from tests.kit.inprocess import inside
from tests.kit.redis_server import RedisServer
from tests.kit.scene import Clocks, Scene, order_event
from worker import accounts, runtime
from worker.store.retry import put_back


@pytest.fixture
def make_scene(tmp_path: Path, store_url: str, redis_server: RedisServer):
    made: list[Scene] = []

    def make(**options: object) -> Scene:
        made.append(Scene(tmp_path, store_url, redis_server.url, clocks=Clocks(linger=0), **options))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def work(scene: Scene) -> None:
    """Everything that is due now, in this process."""
    handle_events.handle_events.run()
    for tenant in {ref.tenant for ref in accounts.accounts().values()}:
        try:
            create_invoices.create_invoices.run(tenant)
        except create_invoices.NothingDone:
            continue  # seen in Flower; the tests look at the rows


def edit(scene: Scene, old: str, new: str) -> None:
    text = scene.config_file.read_text()
    assert old in text
    scene.config_file.write_text(text.replace(old, new))


def test_a_changed_key_holds_what_was_due_and_retry_takes_it_to_the_account_as_it_is_now(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(platforms=("stripe",))
    scene.accept(order_event(1))
    with inside(scene):
        handle_events.handle_events.run()
    old = next(line for line in scene.config_file.read_text().splitlines() if line.startswith('api_key = "sk_'))
    new = 'api_key = "sk_test_sandbox2"' if "sandbox2" not in old else 'api_key = "sk_test_sandbox"'
    edit(scene, old, new)
    with inside(scene):
        runtime.keeper.cache_clear()
        recurring.dispatch.run()
        assert scene.states("customer") == {"held": 1}
        [[reason]] = scene.rows("SELECT reason FROM jobs WHERE kind = 'customer'")
        assert "no account of the configuration reaches" in reason
        assert "billhook retry" in reason
        now = {(ref.shop, ref.name): ref.tenant for ref in accounts.accounts().values()}
        put_back(runtime.store(), actor="staff:ada", tenants=now)
        work(scene)
        put_back(runtime.store(), actor="staff:ada", tenants=now)
        recurring.dispatch.run()
        put_back(runtime.store(), actor="staff:ada", tenants=now)
        work(scene)
    runtime.keeper.cache_clear()
    assert scene.states() == {"issued": 1}
    check(scene)


def test_an_event_of_a_shop_that_left_the_configuration(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(platforms=("xero",), shops=("engraver", "closed"))
    scene.accept(order_event(1), shop="closed")
    scene.accept(order_event(2), shop="engraver")
    text = scene.config_file.read_text()
    scene.config_file.write_text(text.replace("shop.closed", "shop.other"))
    with inside(scene):
        work(scene)
    rows = scene.rows("SELECT state, reason FROM jobs WHERE kind = 'event' ORDER BY shop")
    assert rows[0] == ("held", "the configuration has no shop 'closed' any more")
    assert rows[1] == ("done", None)
    assert scene.states() == {"issued": 1}


def test_a_defect_that_one_event_brings_out_holds_it_alone(
    make_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(platforms=("xero",))
    scene.accept(*(order_event(n) for n in range(1, 6)))
    decide = deciding.accounts_for

    def broken(shop: object, source: str, order: object) -> tuple[str, ...]:
        if order.ref == "SO-3":
            raise KeyError("a defect")
        return decide(shop, source, order)

    monkeypatch.setattr(deciding, "accounts_for", broken)
    with inside(scene):
        work(scene)
    assert scene.states("event") == {"done": 4, "held": 1}
    assert scene.states() == {"issued": 4}
    [[label, reason]] = scene.rows("SELECT label, reason FROM jobs WHERE kind = 'event' AND state = 'held'")
    assert label == "SO-3"
    assert "a defect" in reason


def test_a_defect_of_a_connector_holds_one_order_and_not_the_others(
    make_scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(platforms=("stripe",))
    scene.accept(*(order_event(n) for n in range(1, 4)))
    plan = Stripe.Invoices.plan

    def broken(self: object, draft: PlannedInvoice) -> object:
        if draft.draft.order_ref == "SO-2":
            raise ZeroDivisionError
        if draft.draft.order_ref == "SO-3":
            raise Rejected("this cannot be invoiced: say why")
        return plan(self, draft)

    monkeypatch.setattr(Stripe.Invoices, "plan", broken)
    with inside(scene):
        work(scene)
    assert [row.state for ref in ("SO-1", "SO-2", "SO-3") for row in scene.invoice(ref)] == ["issued", "held", "held"]
    assert scene.invoice("SO-3")[0].reason == "this cannot be invoiced: say why"
    assert "ZeroDivisionError" in scene.invoice("SO-2")[0].reason


def test_two_remote_ids_for_one_key_are_seen_whichever_comes_first(make_scene: Callable[..., Scene]) -> None:
    """A worker that lost its lease saw one document, its successor recorded another: `doubled`, not `issued`."""
    from worker.store import documents, jobs

    scene = make_scene(platforms=("xero",))
    scene.accept(order_event(1))
    with inside(scene):
        handle_events.handle_events.run()
        [[job_id]] = scene.rows("SELECT id FROM jobs WHERE kind = 'invoice'")
        job = jobs.Job(job_id, "invoice", "t", "engraver", "xero", None, "SO-1", "pending", False, 1, 0, jobs.now())
        with runtime.store().write() as connection:
            documents.store_sighting(connection, job, "an-id-of-another-document", "worker-that-was-late")
        work(scene)
    [row] = scene.invoice("SO-1")
    assert row.state == "doubled"
    assert "an-id-of-another-document" in row.reason


def test_a_half_built_document_that_the_store_does_not_remember_is_continued(make_scene: Callable[..., Scene]) -> None:
    """The store was restored from before the send: with `find_first` the draft there is found and finished."""
    scene = make_scene(platforms=("stripe",))
    edit(scene, 'platform = "stripe"', 'platform = "stripe"\nfind_first = true')
    scene.accept(order_event(1))
    scene.sandbox.script("stripe", Fault.CUT_BEFORE, "add_lines")
    with inside(scene):
        work(scene)
        assert [entry.status for entry in scene.sandbox.ledger("stripe")] == ["draft"]
        with runtime.store().write() as connection:
            connection.exec_driver_sql(
                "UPDATE jobs SET state = 'pending', unsure = false, lease_owner = NULL, due_at = created_at"
                " WHERE kind = 'invoice'"
            )
            connection.exec_driver_sql(
                "UPDATE documents SET plan = NULL, made = '{}', generation = 7, replays = 0, first_sent_at = NULL,"
                " last_possible_send = NULL WHERE key LIKE 'bh-%%'"
                if connection.dialect.name != "sqlite"
                else "UPDATE documents SET plan = NULL, made = '{}', generation = 7, replays = 0, first_sent_at = NULL,"
                " last_possible_send = NULL WHERE key LIKE 'bh-%'"
            )
        work(scene)
    assert [entry.status for entry in scene.sandbox.ledger("stripe")] == ["issued"]
    assert scene.states() == {"issued": 1}
