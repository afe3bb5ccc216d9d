"""Customers are told once: real store, real SMTP; killed, refused, hung up on, out of time."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from connectors.channels import email
from tasks import mailing
from tasks import notify_customers as module
from tests.kit.processes import free_port
from tests.pipeline.notice_world import World
from worker import bells, runtime
from worker.store import jobs, notices
from worker.store.engine import StoreError
from worker.store.schema import notices as told
from worker.store.schema import orders, sightings


def notify_customers(*arguments):
    """The task; by its name at module level pytest would look into it, and so read a configuration, on collecting."""
    return module.notify_customers(*arguments)


@pytest.fixture
def world(tmp_path, store_url, smtp_catcher, monkeypatch):
    monkeypatch.setenv("BILLHOOK_CONFIG", str(tmp_path / "billhook.toml"))
    clear = (runtime.keeper, runtime.store, runtime.inbox, runtime.redis_url, runtime.process_name)
    for cached in clear:
        cached.cache_clear()
    yield World(tmp_path, store_url, smtp_catcher.url)
    runtime.store().close()
    for cached in clear:
        cached.cache_clear()


STRAIGHT = [("intend", "pending"), ("claim", "claimed"), ("send", "sending"), ("delivered", "done")]
PUT_OFF = [("intend", "pending"), ("claim", "claimed"), ("send", "sending"), ("not_done", "retry")]


def test_an_issued_invoice_is_told_once(world, smtp_catcher):
    wanted = world.wanted("SO-1")
    (notice_id,) = world.intend([wanted, wanted])
    assert world.intend([wanted]) == []
    assert notify_customers(["acme"], ["SO-1"]) == {"sent": 1, "held": 0, "retry": 0, "put_back": 0}
    assert notify_customers() == {"sent": 0, "held": 0, "retry": 0, "put_back": 0}
    (mail,) = smtp_catcher.mails
    assert mail.subject == "Invoice INV-SO-1 from Engines"
    assert mail.message["Message-ID"] == f"<{notice_id}@example.com>"
    assert "https://pay.example.com/1" in mail.message.get_body(("plain",)).get_content()
    row = world.row(notice_id)
    assert (row.state, row.due_at, row.lease_owner, row.reason) == ("done", None, None, None)
    assert world.trail(notice_id) == STRAIGHT
    with runtime.store().read() as connection:
        assert connection.execute(select(told.c.message_id)).scalar() == f"<{notice_id}@example.com>"


def test_the_trail_keeps_addresses_only_where_they_can_be_erased(world, smtp_catcher):
    smtp_catcher.refuse("550 <Ada@Example.com>: no such user", times=1, at="rcpt")
    refused, sent = world.notice("SO-1"), world.notice("SO-2")
    notify_customers()
    assert "ada@" not in (world.messages(refused) + world.messages(sent) + world.row(refused).reason).lower()
    assert "ada@example.com" in world.bodies()


def test_many_go_over_one_connection_in_few_commits(world, smtp_catcher, monkeypatch):
    opened, commits = Counter(), Counter()
    monkeypatch.setattr(mailing.Mailing, "_write", counting(mailing.Mailing._write, commits))
    monkeypatch.setattr("connectors.channels.email.Email._open", counting(email.Email._open, opened))
    for number in range(25):
        world.notice(f"SO-{number}")
    assert notify_customers()["sent"] == 25
    assert len(smtp_catcher.mails) == 25
    assert (opened.total(), commits.total()) == (1, 4)


def counting(function, counter):
    def counted(*args, **kwargs):
        counter["calls"] += 1
        return function(*args, **kwargs)

    return counted


def test_what_is_refused_is_held_and_the_others_go(world, smtp_catcher):
    smtp_catcher.refuse("550 no such user", times=1, at="rcpt")
    refused, *others = [world.notice(f"SO-{number}") for number in range(4)]
    assert notify_customers() == {"sent": 3, "held": 1, "retry": 0, "put_back": 0}
    row = world.row(refused)
    assert (row.state, row.due_at) == ("held", None)
    assert "order SO-0 was not sent" in row.reason
    assert "550 no such user" in row.reason
    assert "`billhook retry SO-0`" in row.reason
    assert [world.row(one).state for one in others] == ["done"] * 3


def test_a_corrected_address_counts(world, smtp_catcher):
    wanted = world.wanted("SO-1", email="not an address")
    (notice_id,) = world.intend([wanted])
    with pytest.raises(module.NothingSent, match="put it right"):
        notify_customers()
    with runtime.store().write() as connection:
        document = connection.execute(select(orders.c.document)).scalar()
        better = document.replace("not an address", "ada@example.com")
        connection.execute(update(orders).values(document=better))
    world.due_again(notice_id)
    assert notify_customers()["sent"] == 1
    assert smtp_catcher.sent_to("ada@example.com")


def test_try_later_is_a_retry_with_a_due_time(world, smtp_catcher):
    smtp_catcher.refuse("451 greylisted", times=1)
    notice_id = world.notice()
    with pytest.raises(module.NothingSent, match="451 greylisted"):
        notify_customers()
    row = world.row(notice_id)
    assert row.state == "retry"
    assert timedelta(0) < row.due_at - row.changed_at < timedelta(seconds=10)
    assert world.trail(notice_id) == PUT_OFF
    assert notify_customers()["sent"] == 0  # not due yet
    world.due_again(notice_id)
    assert notify_customers()["sent"] == 1
    assert len(smtp_catcher.mails) == 1


def test_patience_ends(world, smtp_catcher):
    world.write({"acme": smtp_catcher.url}, attempts=2)
    smtp_catcher.refuse("451 not now")
    notice_id = world.notice()
    for _ in range(2):
        with pytest.raises(module.NothingSent):
            notify_customers()
        world.due_again(notice_id) if world.row(notice_id).state == "retry" else None
    row = world.row(notice_id)
    assert (row.state, row.due_at) == ("held", None)
    assert row.reason.startswith("given up after 2 attempts")


def test_a_shop_whose_server_is_down_does_not_keep_the_others_waiting(world, smtp_catcher):
    world.write({"acme": smtp_catcher.url, "down": f"smtp://127.0.0.1:{free_port()}"})
    waiting = [world.notice(f"D-{number}", shop="down") for number in range(12)]
    for number in range(3):
        world.notice(f"SO-{number}")
    assert notify_customers() == {"sent": 3, "held": 0, "retry": 12, "put_back": 0}
    assert {world.row(one).state for one in waiting} == {"retry"}
    assert {world.row(one).reason.partition(",")[0] for one in waiting}.pop().endswith("cannot be reached")


@pytest.mark.parametrize("state", ["void", "credited", "dismissed"])
def test_an_invoice_that_is_over_is_not_mailed_and_nobody_need_look(world, smtp_catcher, state):
    notice_id = world.notice(state=state)
    notify_customers()
    assert (world.row(notice_id).state, smtp_catcher.mails) == ("done", [])


@pytest.mark.parametrize("state", ["mismatch", "doubled"])
def test_an_invoice_that_is_wrong_is_not_mailed(world, smtp_catcher, state):
    notice_id = world.notice(state=state)
    with pytest.raises(module.NothingSent, match=f"is {state}"):
        notify_customers()
    assert (world.row(notice_id).state, smtp_catcher.mails) == ("held", [])


def test_a_shop_without_mail_any_more_holds_its_notices(world, smtp_catcher):
    notice_id = world.notice()
    world.write({"other": smtp_catcher.url})
    with pytest.raises(module.NothingSent, match=r"no \[shop.acme.notify.email\]"):
        notify_customers()
    assert world.row(notice_id).state == "held"


def test_one_that_cannot_be_written_does_not_hold_up_the_others(world, smtp_catcher, monkeypatch):
    bad, good = world.notice("SO-1"), world.notice("SO-2")
    render = mailing.invoice_mail.render

    def breaks(planned, **facts):
        if planned.reference == "SO-1":
            raise ZeroDivisionError
        return render(planned, **facts)

    monkeypatch.setattr(mailing.invoice_mail, "render", breaks)
    assert notify_customers() == {"sent": 1, "held": 1, "retry": 0, "put_back": 0}
    assert [world.row(one).state for one in (bad, good)] == ["held", "done"]


# -- in doubt: never repeated by itself -------------------------------------------------------------------------------


def test_a_lost_answer_is_held_and_never_repeated(world, smtp_catcher):
    smtp_catcher.drop_after_data(times=1)
    notice_id = world.notice()
    with pytest.raises(module.NothingSent, match="may or may not have gone out"):
        notify_customers()
    row = world.row(notice_id)
    assert (row.state, row.due_at, row.unsure) == ("held", None, True)
    assert f"<{notice_id}@example.com>" in row.reason
    assert "then `billhook retry SO-1`" in row.reason
    assert notify_customers()["sent"] == 0
    assert len(smtp_catcher.mails) == 1


def test_without_the_safeguard_a_lost_answer_is_a_second_mail(world, smtp_catcher, monkeypatch):
    monkeypatch.setattr(mailing.testpoints, "without", {"uncertain"}.__contains__)
    smtp_catcher.drop_after_data(times=1)
    notice_id = world.notice()
    with pytest.raises(module.NothingSent):
        notify_customers()
    world.due_again(notice_id)
    notify_customers()
    assert len(smtp_catcher.mails) == 2


@pytest.mark.parametrize(("point", "mails"), [("notify_before_send", 0), ("notify_after_send", 1)])
def test_killed_while_sending_it_is_held_with_the_reason(world, smtp_catcher, processes, point, mails):
    notice_id, waiting = world.notice("SO-1"), [world.notice(f"SO-{number}") for number in range(2, 14)]
    worker = processes.python(
        "-c", "from tasks.notify_customers import notify_customers; notify_customers()",
        env={"BILLHOOK_CONFIG": str(world.config), "BILLHOOK_CRASH": f"{point}:kill"},
    )  # fmt: skip
    assert worker.wait() == -9, worker.output
    assert len(smtp_catcher.mails) == mails
    assert world.row(notice_id).state == "sending"
    assert notify_customers()["sent"] == 0  # still leased
    assert len(world.free_lost_leases()) == 13
    row = world.row(notice_id)
    assert (row.state, row.due_at) == ("held", None)
    assert "may or may not have gone out" in row.reason
    assert world.trail(notice_id)[-1] == ("lease_lost", "held")
    states = Counter(world.row(one).state for one in waiting)
    assert states == {"held": mailing.GROUP - 1, "pending": 13 - mailing.GROUP}  # one group in doubt, no more
    assert notify_customers()["sent"] == 13 - mailing.GROUP
    assert len(smtp_catcher.sent_to("ada@example.com")) == mails + 13 - mailing.GROUP


def test_whose_lease_was_lost_records_only_a_sighting(world, smtp_catcher, monkeypatch):
    notice_id = world.notice()
    point = mailing.testpoints.point

    def freed_meanwhile(name):
        if name == "notify_after_send":
            world.free_lost_leases()
        point(name)

    monkeypatch.setattr(mailing.testpoints, "point", freed_meanwhile)
    assert notify_customers() == {"sent": 0, "held": 0, "retry": 0, "put_back": 0}
    row = world.row(notice_id)
    assert (row.state, len(smtp_catcher.mails)) == ("held", 1)
    assert world.trail(notice_id)[-2:] == [("lease_lost", "held"), ("sighting", "held")]
    with runtime.store().read() as connection:
        assert connection.execute(select(sightings.c.remote_id)).scalar() == f"<{notice_id}@example.com>"


def test_a_lease_that_is_too_short_is_renewed_and_one_that_was_lost_sends_nothing(world, smtp_catcher, monkeypatch):
    kept, lost = world.notice("SO-1"), world.notice("SO-2")
    monkeypatch.setattr(mailing, "MARGIN", 30.0)  # so that every mail asks for more
    renewed = []
    renew = jobs.renew

    def renewing(connection, owned, lease):
        owned = list(owned)
        if renewed:
            world_freed.append(jobs.free(connection, {lost: jobs.leased(connection)[lost]}, attempts=12))
        renewed.append(owned)
        return renew(connection, owned, lease)

    world_freed = []
    monkeypatch.setattr(mailing.jobs, "renew", renewing)
    monkeypatch.setattr(mailing.Mailing, "_too_short", too_short_once_a_mail())
    assert notify_customers()["sent"] == 1
    assert len(renewed) == 2
    assert world_freed == [[lost]]
    assert [world.row(one).state for one in (kept, lost)] == ["done", "held"]
    assert len(smtp_catcher.mails) == 1


def too_short_once_a_mail():
    """Before the renewal there is too little time left, after it there is enough."""
    answers = [True, False, True, False]
    return lambda _mailing: answers.pop(0)


def test_whose_lease_was_lost_before_sending_sends_nothing(world, smtp_catcher, monkeypatch):
    notice_id = world.notice()
    load = notices.load

    def loading(connection, claimed):
        world.free_lost_leases()
        return load(connection, claimed)

    monkeypatch.setattr(notices, "load", loading)
    monkeypatch.setattr(module, "stopping", iter([False, True]).__next__)
    assert notify_customers()["sent"] == 0
    assert smtp_catcher.mails == []
    assert world.trail(notice_id)[-1] == ("lease_lost", "pending")


def test_a_lost_answer_to_the_commit_is_a_success_all_the_same(world, smtp_catcher, monkeypatch):
    notice_id = world.notice()
    write, lost = mailing.Mailing._write, []

    def writing(self, group):
        recorded = write(self, group)
        if not group and not lost:
            lost.append(recorded)
            raise StoreError("the connection was closed")
        return recorded

    monkeypatch.setattr(mailing.Mailing, "_write", writing)
    assert notify_customers()["sent"] == 1
    assert lost == [{notice_id}]
    assert world.trail(notice_id) == STRAIGHT
    assert len(smtp_catcher.mails) == 1


# -- ending -----------------------------------------------------------------------------------------------------------


def test_when_the_time_is_over_the_rest_is_put_back_and_rung_for(world, smtp_catcher, monkeypatch):
    waiting = [world.notice(f"SO-{number}") for number in range(5)]
    rung = []
    monkeypatch.setattr(module, "TURN_SECONDS", -1.0)
    monkeypatch.setattr(bells, "ring_notify", lambda shops, labels: rung.append((set(shops), set(labels))))
    assert notify_customers() == {"sent": 0, "held": 0, "retry": 0, "put_back": 5}
    assert rung == [({"acme"}, {f"SO-{number}" for number in range(5)})]
    assert {world.row(one).state for one in waiting} == {"pending"}
    assert world.trail(waiting[0])[-1] == ("put_back", "pending")
    monkeypatch.undo()


def test_a_worker_that_is_ending_claims_nothing(world, smtp_catcher, monkeypatch):
    notice_id = world.notice()
    monkeypatch.setattr(module, "stopping", lambda: True)
    assert notify_customers()["sent"] == 0
    assert world.trail(notice_id) == [("intend", "pending")]


def test_a_worker_that_is_asked_to_end_puts_back_what_has_not_left(world, smtp_catcher, monkeypatch):
    first, *rest = [world.notice(f"SO-{number}") for number in range(3)]
    monkeypatch.setattr(mailing, "stopping", lambda: bool(smtp_catcher.mails))
    monkeypatch.setattr(module, "stopping", lambda: bool(smtp_catcher.mails))
    assert notify_customers() == {"sent": 1, "held": 0, "retry": 0, "put_back": 2}
    assert [world.row(one).state for one in (first, *rest)] == ["done", "pending", "pending"]


def test_the_worker_s_signal_says_stopping(monkeypatch):
    from celery import signals

    from worker import shutdown

    monkeypatch.setattr(shutdown, "_asked", type(shutdown._asked)())
    assert not shutdown.stopping()
    signals.worker_shutting_down.send(sender="worker@here", sig="SIGTERM", how="Warm", exitcode=0)
    assert shutdown.stopping()


def test_a_database_that_is_away_for_a_moment_loses_no_outcome(world, smtp_catcher, monkeypatch):
    notice_id = world.notice()
    record, failures = notices.record, [StoreError("away"), StoreError("away")]

    def recording(connection, held, outcomes, **options):
        if outcomes and failures:
            raise failures.pop()
        return record(connection, held, outcomes, **options)

    monkeypatch.setattr(notices, "record", recording)
    assert notify_customers()["sent"] == 1
    assert not failures
    assert (world.row(notice_id).state, len(smtp_catcher.mails)) == ("done", 1)
