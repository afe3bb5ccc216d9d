"""One line of the log: its fields, its two forms, and what is taken out of it."""

import json
import logging

import pytest

from connectors.model import Party
from worker import logs, runtime
from worker.logs import Lines
from worker.store.jobs import Change, Job, now

JOB = Job("1", "invoice", "xero:t", "engraver", "books", "order-1", "#1001", "claimed", False, 1, 2, now())


def record(text, *args, level=logging.INFO, name="tasks.turn", exc_info=None, **extra):
    made = logging.getLogger(name).makeRecord(name, level, "file.py", 1, text, args, exc_info, extra=extra)
    return json.loads(Lines(people=False).format(made))


def failing(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return type(error), error, error.__traceback__


def test_a_line_has_what_is_known_and_nothing_else():
    with logs.about(shop="engraver", tenant="xero:t"):
        line = record("held %s", "it", order="#1001", colour="red")
    assert (line["event"], line["shop"], line["order"], line["platform"]) == ("held it", "engraver", "#1001", "xero")
    assert (line["level"], line["logger"], line["process"]) == ("info", "tasks.turn", runtime.process_name())
    assert "colour" not in line
    assert "shop" not in record("later")


def test_celery_s_own_lines_name_their_task():
    said = {"name": "tasks.seal", "id": "abc"}
    made = logging.LogRecord("celery.worker.strategy", logging.INFO, "f", 1, "Task %(name)s[%(id)s]", (said,), None)
    line = json.loads(Lines(people=False).format(made))
    assert (line["event"], line["task"], line["task_id"]) == ("Task tasks.seal[abc]", "tasks.seal", "abc")


def test_text_is_one_line_that_a_person_reads():
    made = logging.getLogger("x").makeRecord(
        "x", logging.WARNING, "f", 1, "held", (), None, extra={"order": "#1", "reason": "no tax", "shops": {"a": 2}}
    )
    line = Lines(people=True).format(made)
    assert line.split(" ", 2)[2] == 'WARNING held order=#1 reason="no tax" shops="{\\"a\\":2}"'


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer sk_live_A1b2C3d4E5",
        "https://ops:pass-word@api.example/x failed",
        "the key is a-known-secret, or was",
        "in a URL: ?key=a%20spaced%2Fsecret&x",
        "mail to ada@shop.example (Ada) failed",
        'DETAIL:  Failing row contains (1, Ada Lovelace, 12 Engine Row).\nmore about "Ada Lovelace"',
    ],
)
def test_secrets_and_addresses_are_taken_out_of_events_reasons_and_exceptions(text):
    logs.hide("a-known-secret", "a spaced/secret")
    line = record(text, reason=text, orders=[text], exc_info=failing(text))
    shown = json.dumps(line)
    for secret in ("sk_live_A1b2", "pass-word", "known-secret", "spaced", "ada@shop", "Lovelace", "Engine Row"):
        assert secret not in shown
    assert "ValueError" in line["exception"]


def test_a_worker_s_own_name_stays():
    logs.keep("worker-1@machine.shop.example")
    assert record("%s ready.", "worker-1@machine.shop.example")["event"].startswith("worker-1@machine.shop.example")
    assert record("hello worker-2@machine.shop.example")["event"] == "hello «address»"


def test_outcomes_are_told_by_how_much_they_matter(caplog):
    log = logging.getLogger("tasks.turn")
    party = Party(name="Ada Lovelace", company="Engines Ltd", email="ada@x.example")
    with caplog.at_level(logging.INFO, log.name):
        reason = "Xero: contact Ada Lovelace of Engines Ltd is archived"
        change = Change("1", "held", "refused", reason=reason)
        logs.outcomes(log, {"1": JOB}, [change, Change("1", "issued", "create")], lambda _: logs.names(party))
    (line,) = caplog.records
    assert (line.getMessage(), line.levelname, line.order, line.account) == (
        "invoice held", "WARNING", "#1001", "engraver/books"
    )  # fmt: skip
    assert line.reason == "Xero: contact «name» of «name» is archived"
