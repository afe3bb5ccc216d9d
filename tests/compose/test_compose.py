"""compose.yaml and the Dockerfile as far as they can be judged without an engine; `test_services.py` runs it."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.compose.reading import Missing, compose, variables, written
from tests.kit.processes import ROOT

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_PASSWORD", "BILLHOOK_KEY")
SET = dict.fromkeys(SECRETS, "0123abcd")
SERVICES = compose(SET)["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
PAGE = (ROOT / "deploy/docs/services.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")

each = pytest.mark.parametrize("name", SERVICES)


def test_it_is_what_the_compose_specification_describes() -> None:
    """The schema of compose-spec (github.com/compose-spec/compose-spec, Apache License 2.0: compose-spec.LICENSE)."""
    schema = json.loads((ROOT / "tests/compose/compose-spec.json").read_text(encoding="utf-8"))
    found = Draft202012Validator(schema).iter_errors(written())

    assert [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found] == []


def test_it_has_the_services_that_operations_needs() -> None:
    assert {"redis", "postgres", "ingest", "worker", "recurring", "beat", "flower", "mail"} <= SERVICES.keys()
    assert {name for name, service in SERVICES.items() if service.get("profiles")} == {"mail", "worker-apart"}
    assert SERVICES["worker"].keys().isdisjoint({"container_name", "ports"}), "neither can be had twice: --scale"


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_starts_without_a_secret(secret: str) -> None:
    with pytest.raises(Missing, match=rf"{secret} is not set in \.env"):
        compose(SET | {secret: ""})


def test_no_secret_has_a_default_or_stands_in_the_file() -> None:
    assert {name for name, default in variables().items() if default is None} == set(SECRETS)
    for service in written()["services"].values():
        secret = {k: v for k, v in service.get("environment", {}).items() if re.search("PASSWORD|KEY|URL", k)}
        assert all("${" in value for value in secret.values()), secret


@each
def test_a_service_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["healthcheck"]["retries"] >= 1
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]
    assert seconds(service["stop_grace_period"]) >= 10


@each
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}


@each
def test_an_image_has_an_exact_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*", SERVICES[name]["image"])


@each
def test_only_what_people_use_is_published_and_only_on_this_machine(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert bool(published) == (name in ("ingest", "flower", "mail"))
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_redis_and_postgres_are_reached_from_inside_only() -> None:
    assert compose(SET)["networks"]["inside"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == SERVICES["postgres"]["networks"] == ["inside"]


def test_what_must_outlive_a_container_is_in_a_named_volume() -> None:
    volumes = compose(SET)["volumes"]
    kept = {name: [volume.split(":")[0] for volume in SERVICES[name]["volumes"]] for name in ("redis", "postgres")}
    assert kept["redis"][0] in volumes
    assert kept["postgres"][0] in volumes
    assert all((ROOT / path).exists() for path in kept["redis"][1:])


def test_a_worker_has_time_to_end_its_call() -> None:
    from connectors.platforms.base import platforms

    longest = max(kind.facts.deadline for kind in platforms().values())
    for name in ("worker", "worker-apart"):
        assert seconds(SERVICES[name]["stop_grace_period"]) >= longest + 30


def test_the_queues_of_a_worker_are_variables() -> None:
    more = {"WORKER_EXCEPT": "invoices.xero", "APART_QUEUES": "invoices.xero", "APART_THREADS": "8"}
    services = compose(SET | more)["services"]
    assert services["worker"]["command"][2:] == ["--queues=all", "--except=invoices.xero", "--threads=32"]
    assert services["worker-apart"]["command"][2:] == ["--queues=invoices.xero", "--threads=8"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_share_one_image_one_configuration_and_one_key(name: str) -> None:
    service, other = SERVICES[name], SERVICES["ingest"]
    for part in ("image", "build", "environment", "volumes", "env_file", "depends_on"):
        assert service[part] == other[part]
    assert service["command"][0] == "billhook"
    assert service["healthcheck"]["test"][:3] == ["CMD", "billhook", "healthy"]


def test_redis_keeps_messages_and_never_throws_one_away() -> None:
    lines = (ROOT / "deploy/redis.conf").read_text(encoding="utf-8").splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction", "maxmemory 512mb", "timeout 0"} <= set(lines)


def test_every_variable_is_described_with_its_default() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? \|", PAGE, re.MULTILINE))
    wanted = {name: "required" if default is None else default or "none" for name, default in variables().items()}
    assert told == wanted


# -- the image ---------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, lines joined."""
    lines = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def ignored(path: str) -> bool:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    return path.removeprefix("./") not in kept


def copied() -> list[str]:
    return [
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]


def test_what_the_image_is_built_from_is_there_and_not_ignored() -> None:
    assert copied()
    assert [path for path in copied() if not (ROOT / path).exists() or ignored(path)] == []


def test_every_package_is_in_the_image() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert packages | {project["project"]["readme"], *project["project"]["license-files"]} <= set(copied())


def test_the_image_has_the_locked_versions_and_no_builder_in_its_last_stage() -> None:
    stages = [rest for word, rest in instructions() if word == "FROM"]
    last = instructions()[[index for index, one in enumerate(instructions()) if one[0] == "FROM"][-1] :]
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest]
    assert len(stages) == 2
    assert all(re.match(r"python:\d+\.\d+\.\d+-slim", stage) for stage in stages)
    assert any("--constraint requirements.lock" in rest and "--only-binary :all:" in rest for rest in installs)
    assert not any(re.search(r"\bpip\b|\bapt|gcc", rest) for word, rest in last if word == "RUN")


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    words = dict(instructions())
    assert words["USER"] == SERVICES["ingest"]["user"]
    assert '"billhook", "healthy", "ingest"' in words["HEALTHCHECK"]
    assert str(SERVICES["ingest"]["command"]).replace("'", '"') == words["CMD"]


def test_its_tag_is_the_version() -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SERVICES["ingest"]["image"] == f"billhook:{version}"


def seconds(duration: Any) -> int:
    found = re.fullmatch(r"(\d+)s", str(duration))
    assert found, f"{duration} is not written in seconds"
    return int(found[1])
