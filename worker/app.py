"""The Celery application: queues, settings, task names. It imports no task; workers include them by name.

Redis is the doorbell: a message names rows, carries none, may be lost or come ten times. So nothing here
retries, delays or keeps results (the store does; `worker.results` reads them there).
"""

from __future__ import annotations

from typing import Any

from celery import Celery, current_task, signals
from kombu import Queue

from worker import alive, runtime
from worker.queues import RECURRING, queue_names

TASKS = (
    "tasks.handle_events", "tasks.create_invoices", "tasks.notify_customers", "tasks.ask_sources", "tasks.recurring"
)  # fmt: skip
HANDLE_EVENTS = "tasks.handle_events"
CREATE_INVOICES = "tasks.create_invoices"
NOTIFY_CUSTOMERS = "tasks.notify_customers"
ASK_SOURCES = "tasks.ask_sources"
DISPATCH = "tasks.dispatch"
SEAL = "tasks.seal"

TRANSPORT = {
    "visibility_timeout": 900,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "global_keyprefix": "billhook:",
}
ALWAYS = {
    "result_backend": "worker.results:TrailBackend",
    "broker_connection_timeout": 4,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_pool_limit": 10,
    "task_acks_late": True,
    "task_reject_on_worker_lost": False,
    "task_retry_on_worker_lost": False,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_publish_retry": False,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "task_track_started": False,
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_create_missing_queues": False,
    "task_default_queue": "billhook",
    "task_remote_tracebacks": False,
    "worker_prefetch_multiplier": 1,
    "worker_eta_task_limit": 100,
    "worker_pool": "threads",
    "worker_soft_shutdown_timeout": 8.0,
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_deduplicate_successful_tasks": False,
    "worker_hijack_root_logger": False,
    "beat_max_loop_interval": 1,
    "include": TASKS,
}
"""What no configuration changes."""


def _settings() -> dict[str, Any]:
    own = runtime.config().billhook
    return {
        **ALWAYS,
        "broker_url": runtime.redis_url(),
        "broker_transport_options": {**TRANSPORT, "max_connections": own.threads + 10},
        "billhook_version": runtime.version(),  # for `billhook doctor`, which asks each worker for its settings
        "task_queues": [Queue(name) for name in ("billhook", *queue_names(), RECURRING)],
        "worker_concurrency": own.threads,
        "worker_send_task_events": own.flower.password is not None,
        "beat_schedule": {
            "dispatch": _every(DISPATCH, own.timing.dispatch_every),
            "seal": _every(SEAL, own.timing.seal_every),
        },
    }


def _every(task: str, seconds: float) -> dict[str, Any]:
    # a tick that nobody took before the next one is due is of no use to anybody
    return {"task": task, "schedule": seconds, "options": {"queue": RECURRING, "expires": max(seconds, 1.0) * 5}}


celery = Celery("billhook", set_as_current=True)
celery.add_defaults(_settings)


def actor() -> str:
    """Who claims, for the trail: this process, and in a task its id, by which `AsyncResult` finds what it did."""
    task_id = current_task.request.id if current_task else None
    return f"{runtime.process_name()}/{task_id}" if task_id else runtime.process_name()


@signals.worker_process_init.connect
def _forked(**_: Any) -> None:
    runtime.forget()


@signals.worker_init.connect
def _fenced(**_: Any) -> None:
    from worker.leases import fence_self

    fence_self()


@signals.heartbeat_sent.connect
def _heartbeat(**_: Any) -> None:
    alive.touch()


@signals.beat_init.connect
def _beating(**_: Any) -> None:
    signals.after_task_publish.connect(_heartbeat)


@signals.celeryd_init.connect
def _named(sender: str, instance: Any, **_: Any) -> None:
    from worker import logs

    logs.keep(sender)
    logs.set_up()  # what Celery warns of before it asks for it
    if not logs.for_people():  # what Celery prints beside the log is not JSON: the banner, and its word of farewell
        from celery.apps import worker as program

        instance.quiet = True
        program.safe_say = lambda *_: None


@signals.setup_logging.connect
def _logged(loglevel: int | None, logfile: str | None, **_: Any) -> None:
    from worker import logs

    logs.set_up(loglevel, logfile)


@signals.task_prerun.connect
def _task_begins(task_id: str, task: Any, kwargs: dict[str, Any], **_: Any) -> None:
    from worker import logs

    logs.begin(task=task.name, task_id=task_id, tenant=kwargs.get("tenant"))


@signals.task_postrun.connect
def _task_ended(**_: Any) -> None:
    from worker import logs

    logs.begin()


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    from worker import observing

    runtime.collect_seldom()
    observing.started(sender.hostname, set(sender.app.amqp.queues.consume_from))


@signals.worker_shutdown.connect
def _over(**_: Any) -> None:
    from worker import observing

    observing.stopped()
