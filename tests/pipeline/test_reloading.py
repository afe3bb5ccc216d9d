"""`billhook.toml` changes while ingest, a worker and the recurring tasks run, and none of them is restarted."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.kit.history import check
from tests.kit.scene import api_key, order_event
from tests.kit.world import World

MakeWorld = Callable[..., World]
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
REPLACED = 50


def replace(world: World, text: str) -> None:
    other = world.config_file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, world.config_file)


def state(world: World) -> Any:
    return requests.get(f"{world.ingest_url}/readyz", timeout=10).json()["configuration"]


def logs(world: World) -> str:
    return "".join(one.output for one in world.processes.started)


def test_a_new_shop_with_its_key_route_and_accounts_works_without_a_restart(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start(ingest=True)
    assert world.post(order_event(1)).status_code == 202
    assert world.post(order_event(2), shop="printer").status_code == 401
    world.shops = ("engraver", "printer")
    replace(world, world._config().replace(api_key("engraver"), "another-key-of-the-engraver"))

    answers = world.until(lambda: [post] if (post := world.post(order_event(2), shop="printer")).ok else [])

    assert answers[0].status_code == 202
    assert world.post(order_event(3)).status_code == 401, "the old key of the first shop is none any more"
    world.until_settled()
    assert world.states() == {"issued": 2}, "the worker knew the shop as soon as ingest did"
    check(world)
    assert logs(world).count("worker started") == 2
    world.until(
        lambda: logs(world).count("a new configuration is in force") == 3
    )  # each process says so when it begins something


def test_a_broken_file_changes_nothing_and_is_told_by_all_who_are_asked(make_world: MakeWorld) -> None:
    world = make_world(platforms=("xero",)).start(ingest=True)
    right = world.config_file.read_text()
    replace(world, right + '[shop.engraver.acount]\nplatform = "xero"\n')

    world.until(lambda: state(world) == "refused" and logs(world).count("stays in force") == 3)

    assert world.post(order_event(1)).status_code == 202
    world.until_settled()
    check(world)
    for command in (world.billhook("doctor"), world.billhook("status")):
        assert command.exit_code != 0
        assert "shop.engraver.acount: is not a setting that exists" in command.output
        assert "goes on under the configuration that it has" in command.output
    assert logs(world).count("shop.engraver.acount") == 3 + 2, "one line in each process, however often it is seen"
    replace(world, right)
    world.until(lambda: state(world) == "in force")


def test_a_variable_that_only_the_processes_lack_is_told_too(make_world: MakeWorld) -> None:
    """The file is right where `doctor` and `status` run; the worker alone has not got the variable."""
    world = make_world(platforms=("xero",)).start(ingest=True)
    secret = 'webhook_secret = "env:BILLHOOK_TEST_LATER"\n'
    replace(world, world.config_file.read_text().replace("[shop.engraver]\n", "[shop.engraver]\n" + secret))
    world.until(lambda: logs(world).count("stays in force") == 3)
    there = {"BILLHOOK_TEST_LATER": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

    said = []
    for name, options in (("status", ()), ("doctor", ("--ingest", world.ingest_url))):
        command = world._python("billhook", "-m", "worker.cli", name, *options, env=there)
        command.wait()
        said.append(command.output)

    for output in said:
        assert "cannot use" in output
        assert "the environment variable BILLHOOK_TEST_LATER is not set" in " ".join(output.split())
    assert "ingest at" in said[1]


@pytest.mark.slow
def test_a_file_that_is_replaced_again_and_again_loses_and_doubles_nothing(make_world: MakeWorld) -> None:
    """Every third version is broken, every second lacks one shop; orders of the other come all the while."""
    world = make_world(platforms=("stripe", "quickbooks"), shops=("engraver", "printer")).start(ingest=True)
    whole = world.config_file.read_text()
    world.shops = ("engraver",)
    less = world._config()
    for number in range(REPLACED):
        replace(world, whole + "[broken\n" if number % 3 == 2 else less if number % 2 else whole)
        assert world.post(order_event(number)).status_code == 202
        world.until(lambda sent=number: world.states()["issued"] >= 2 * (sent - 2))  # type: ignore[misc]
    world.shops = ("engraver", "printer")
    replace(world, whole)
    world.until_settled()
    assert world.states() == {"issued": REPLACED * 2}
    check(world)
    world.until(lambda: logs(world).count("a new configuration is in force") > 3, saying="versions came")
