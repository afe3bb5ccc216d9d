"""The processes of Billhook and what they share. `celery -A worker …` finds the application here."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "celery":
        from worker.app import celery

        return celery
    raise AttributeError(name)
