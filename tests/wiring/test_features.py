"""The list of features: a line of it is all that a new one needs, whatever it brings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from threading import Event

import click
import pytest
from click.testing import CliRunner
from flask import Blueprint

from app.access import scopes
from app.cli import command_line
from app.commands.jobs import jobs as jobs_command
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.settings import Settings, env_name, load
from app.web.gate import Gate
from app.web.mounting import API, Mounted
from app.wiring.container import Container
from app.wiring.feature import Feature, features_of
from app.wiring.features import Features
from app.wiring.web_application import create_app
from tests.places import ROOT

# --- a feature, with all that one can bring ---------------------------------------------------------------


class ShelfServices(FeatureServices):
    """Services of a feature that is not of this product."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.kept = Event()
        self.forgotten = Event()

    @cached_property
    def books(self) -> list[str]:
        return ["Émile"]

    def jobs(self) -> Sequence[Job]:
        return (Job("dust", "0 5 * * *", self._dust),)

    def _dust(self, _: Lease) -> Mapping[str, object]:
        return {"books": len(self.books)}

    def keep(self, _: Event) -> None:
        self.kept.set()

    def forget(self) -> None:
        self.forgotten.set()


def shelf_routes(container: Container, gate: Gate) -> Sequence[Mounted]:
    assert isinstance(container, WithShelf)
    shelf = container.shelf
    blueprint = Blueprint("shelf", __name__)

    @blueprint.get("/books")
    def books() -> list[str]:
        gate.principal(scopes.METRICS)
        return shelf.books

    return (Mounted(blueprint, API),)


@click.command()
@click.pass_obj
def books(container: WithShelf) -> None:
    """Name the books."""
    click.echo(", ".join(container.shelf.books))


class WithShelf(Container):
    """The list with one more line."""

    shelf: Feature[ShelfServices] = Feature(
        ShelfServices,
        routes=shelf_routes,
        commands=(books,),
    )


@pytest.fixture
def own(settings: Settings, database_name: str) -> Settings:
    """Settings of a store of its own, initialised."""
    made = replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05)
    container = WithShelf(made)
    container.lifecycle.initialise()
    container.close()
    return made


@pytest.fixture
def container(own: Settings) -> Iterator[WithShelf]:
    made = WithShelf(own)
    yield made
    made.close()


def test_its_line_gives_it_a_route_behind_the_gate(own: Settings) -> None:
    app = create_app(own, WithShelf)
    running: WithShelf = app.extensions["sillage"]
    try:
        known = running.operations.sources.issue(source=None, label="reader", scopes=[scopes.METRICS], actor="cli:test")
        client = app.test_client()
        assert client.get(f"{API}/books").status_code == 401
        answer = client.get(f"{API}/books", auth=(known.id, known.secret))
        assert (answer.status_code, answer.json) == (200, ["Émile"])
    finally:
        running.close()


def test_its_line_gives_it_a_job(container: WithShelf) -> None:
    said = CliRunner().invoke(jobs_command, ["run", "dust"], obj=container, catch_exceptions=False)
    assert "books: 1" in said.output


def test_its_line_gives_it_a_command(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data_dir", "mongodb_uri", "organisation"):
        monkeypatch.setenv(env_name(name), str(getattr(own, name)))
    said = CliRunner().invoke(command_line(WithShelf), ["books"], catch_exceptions=False)
    assert said.output == "Émile\n"


def test_its_line_has_it_keep_order_beside_requests_and_forget_what_others_changed(container: WithShelf) -> None:
    container.lifecycle.start()
    assert container.shelf.kept.wait(10)
    # Once when it joined.
    container.shelf.forgotten.clear()
    container.platform.processes.announce()
    assert container.shelf.forgotten.wait(10)


# --- the features of this product -------------------------------------------------------------------------


def test_nothing_is_connected_or_opened_before_it_is_asked_for() -> None:
    # A folder that cannot be: whoever made it, or started an embedded server in it, would fail.
    container = Container(load({"SILLAGE_DATA_DIR": "/dev/null/none"}))
    assert [job.name for job in container.jobs]
    built = {name for feature in features_of(Container) for name in vars(getattr(container, feature.name))}
    assert not built & {"store", "keyring", "organisation", "audit", "reader"}
    container.close()


def test_jobs_and_commands_have_names_of_their_own() -> None:
    jobs = [job.name for job in Container(load({})).jobs]
    commands = [command.name for feature in features_of(Features) for command in feature.commands]
    assert len(set(jobs)) == len(jobs)
    assert len(set(commands)) == len(commands)


def test_no_file_of_the_wiring_is_long() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "app" / "wiring").glob("*.py")}
    assert {"container.py", "features.py", "lifecycle.py", "web_application.py"} <= lengths.keys()
    assert max(lengths.values()) <= 300, lengths
