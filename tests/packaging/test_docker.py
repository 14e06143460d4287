"""Checks of the container files that need no container engine."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from app.operations.schema.catalogue import COLLECTIONS
from app.settings import load
from tests.places import ROOT

DOCKER = ROOT / "docker"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def copied() -> list[str]:
    return [
        source
        for name, rest in instructions()
        if name == "COPY" and "--from=" not in rest
        for source in shlex.split(rest)[:-1]
    ]


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    kept = {line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source.rstrip("/") in kept, source


def test_what_the_build_needs_is_copied() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'readme = "README.md"' in text and 'license-files = ["LICENSE"]' in text
    assert {"pyproject.toml", "README.md", "LICENSE", "app/", "schemas/"} <= set(copied())
    for lock in re.findall(r"scripts/locks/\w+\.txt", (DOCKER / "Dockerfile").read_text()):
        assert (ROOT / lock).exists()


def test_it_runs_as_an_ordinary_user_with_a_health_check() -> None:
    last = max(index for index, (name, _rest) in enumerate(instructions()) if name == "FROM")
    final = dict(instructions()[last:])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", final["USER"])
    assert "/healthz" in final["HEALTHCHECK"]
    assert final["ENTRYPOINT"] == '["sillage"]'
    for name, rest in instructions():
        if name == "RUN" and "requirement" not in rest and "pip install" in rest:
            for install in re.findall(r"pip install ([^&]+)", rest):
                assert "--require-hashes" in install or "--no-deps" in install


@pytest.mark.parametrize("file", ["compose.yaml", "compose.sharded.yaml"])
def test_compose_is_consistent(file: str) -> None:
    compose = yaml.safe_load((DOCKER / file).read_text())
    services = compose["services"]
    for name, service in services.items():
        for other in service.get("depends_on", []):
            assert other in services, (name, other)
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]
        for network in service["networks"]:
            assert network in compose["networks"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
        assert re.fullmatch("[1-9][0-9]*[mg]", service["mem_limit"]), name
        if service["image"] != "sillage":
            # Named in one place, where a digest can be given.
            assert service["image"] == "${MONGO_IMAGE:-mongo:8.0}"
        if service["image"] == "sillage":
            assert service["command"][0] in {"init", "serve", "scheduler"}
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert services["scheduler"]["cpu_shares"] < 1_024  # what the others have, being told nothing


def test_the_settings_of_the_containers_are_accepted() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    environ = dict(pair.split("=", 1) for name, rest in instructions() if name == "ENV" for pair in shlex.split(rest))
    environ |= compose["services"]["serve"]["environment"]
    environ["SILLAGE_MONGODB_URI"] = (
        "mongodb://sillage:x@mongodb-1,mongodb-2,mongodb-3/?replicaSet=sillage&authSource=sillage_default"
    )
    settings = load(environ)
    assert settings.bind == "0.0.0.0:8000"
    # The account is made for this one, and asked for in it.
    assert settings.database == compose["services"]["replica-set"]["environment"]["SILLAGE_DATABASE"]


@pytest.mark.parametrize("file", ["compose.yaml", "compose.sharded.yaml"])
def test_sillage_has_an_account_for_one_database(file: str) -> None:
    """The rights of the role are tested in ``tests/platform/mongo/test_account.py``."""
    text = (DOCKER / file).read_text()
    assert 'roles: [{role: "readWrite", db: own.getName()}]' in text
    assert "SILLAGE_MONGODB_URI=mongodb://root" not in text + (DOCKER / "README.md").read_text()
    services = yaml.safe_load(text)["services"]
    for name, service in services.items():
        if service["image"] == "sillage":
            assert not service.get("secrets"), name


def test_base_images_can_be_given_by_digest() -> None:
    given = dict(instructions())
    assert given["ARG"].startswith("PYTHON_IMAGE=python:3.11-")
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {"${PYTHON_IMAGE}"}


def test_what_is_sharded_is_a_collection_and_has_no_other_unique_index() -> None:
    text = (DOCKER / "compose.sharded.yaml").read_text()
    listed = re.search(r"\[([^]]+)\]\.forEach\(\s+name => sh\.shardCollection", text)
    assert listed is not None
    declared = {each.name: each for each in COLLECTIONS}
    for name in re.findall(r'"(\w+)"', listed[1]):
        # MongoDB keeps an index unique over shards only when the shard key begins it.
        assert not any(index.unique for index in declared[name].indexes), name


@pytest.mark.parametrize("page", ["docker/README.md"])
def test_the_page_prepares_every_secret(page: str) -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    text = (ROOT / page).read_text()
    for secret in compose["secrets"].values():
        assert secret["file"] in text
    assert compose["services"]["serve"]["env_file"] in text
