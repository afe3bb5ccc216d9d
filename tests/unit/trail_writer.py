"""A process that writes to the trail, one commit a change: `python -m tests.unit.trail_writer URL CHANGES`."""

import sys

from tests.unit.trail_story import add_job, move
from worker.store.engine import Store


def main(url: str, changes: int) -> None:
    store = Store(url, busy_seconds=60, synchronous="OFF")
    with store.write() as connection:
        job_id = add_job(connection)
    for seq in range(1, changes):
        with store.write() as connection:
            move(connection, "invoice", job_id, seq, "claimed" if seq % 2 else "pending")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
