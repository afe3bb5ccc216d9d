"""The sandbox's servers of Odoo, newest or older, as the suites of Odoo use them."""

from __future__ import annotations

import dataclasses
from typing import Any

from connectors.sandbox import odoo as sandbox
from connectors.sandbox.faults import Fault, Faults, Scripted
from tests.contract.running import Books, RunningSandbox, Subject, subjects
from tests.contract.samples.odoo import SAMPLES


class Server(Books):
    """An older server of the sandbox, as the account's settings say."""

    def __init__(self, running: RunningSandbox, settings: dict[str, Any]) -> None:
        given = {**SAMPLES.settings, "login": sandbox.LOGIN, **settings}
        samples = dataclasses.replace(SAMPLES, settings=given)
        super().__init__(Subject(subjects()["odoo"].platform, sandbox.Odoo, samples), running)
        self.url = f"{self.url}/v{given['version']}"
        self.platform = self.connected()
        self.books = running.run(lambda: self.emulator.server(given["version"]))

    def at_posting(self, fault: Fault) -> None:
        """The next post gets it."""
        faults = Faults(script=[Scripted(fault=fault, match="/action_post")])
        self.sandbox.run(lambda: self.hosted.injector.configure(faults))
