"""Gauges of the store's standing, in ``/metrics``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pymongo
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry, generate_latest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from app.commands.backup import backup
from app.commands.jobs import jobs as jobs_command
from app.core import clock
from app.core.errors import CredentialsRefused, DatabaseUnavailable, SillageError
from app.operations.measures import BackupMade, Measures
from app.platform.jobs.store import FAILED, RUNNING, JobRepository, Run
from app.platform.mongo.connection import Store
from app.platform.wiring import PlatformServices
from app.retention.service import DAY_US
from app.web import operations, standing
from app.web.standing import Standing
from app.wiring.container import Container
from tests.people.people import container, named, person, send
from tests.places import ROOT
from tests.served import ACTIVITY, Server

__all__ = ("container",)


def shown(container: Container) -> dict[str, float]:
    """Every sample by its name and labels, as they stand in the text, read anew."""
    container.web.standing._kept = None
    registry = CollectorRegistry()
    registry.register(container.web.standing)
    text = generate_latest(registry).decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def run_job(container: Container, name: str) -> None:
    done = CliRunner().invoke(jobs_command, ["run", name], obj=container)
    if done.exception is not None:
        raise done.exception


def test_a_store_just_made_tells_what_there_is_and_nothing_it_does_not_know(container: Container) -> None:
    reported = shown(container)
    assert reported["sillage_mongodb_up"] == 1
    assert abs(reported["sillage_clock_offset_seconds"]) < 5
    assert reported["sillage_key_active_version"] == 1
    assert reported['sillage_key_versions{state="active"}'] == 1
    assert reported['sillage_key_versions{state="decrypt-only"}'] == 0
    assert abs(reported["sillage_key_active_since_timestamp_seconds"] - clock.now_us() / 1e6) < 600
    assert reported["sillage_scheduler_leads"] == reported["sillage_erasures_open"] == 0
    assert reported['sillage_person_requests{state="overdue"}'] == 0
    for absent in ("sillage_backup", "sillage_retention", "sillage_job", "sillage_aggregate_lag"):
        assert not [name for name in reported if name.startswith(absent)]


def test_jobs_tell_when_they_succeeded_how_long_they_took_and_how_often_they_failed(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(container, "requests")
    reported = shown(container)
    assert abs(reported['sillage_job_last_success_timestamp_seconds{job="requests"}'] - clock.now_us() / 1e6) < 60
    assert 0 <= reported['sillage_job_last_duration_seconds{job="requests"}'] < 60
    assert reported['sillage_job_runs_total{job="requests"}'] == 1
    assert reported['sillage_job_failures_total{job="requests"}'] == 0
    assert reported['sillage_job_late_seconds{job="requests"}'] == 0
    succeeded = reported['sillage_job_last_success_timestamp_seconds{job="requests"}']

    def fail(*_: object, **__: object) -> int:
        raise SillageError("out of paper")

    monkeypatch.setattr(container.people.requests, "remove_old", fail)
    with pytest.raises(SillageError):
        run_job(container, "requests")
    reported = shown(container)
    assert reported['sillage_job_failures_total{job="requests"}'] == 1
    assert reported['sillage_job_last_success_timestamp_seconds{job="requests"}'] == succeeded
    # A day and an hour after it should have been: once a day, at seven.
    later = container.platform.now_us() + 2 * DAY_US
    monkeypatch.setattr(PlatformServices, "now_us", lambda _: later)
    late = shown(container)['sillage_job_late_seconds{job="requests"}']
    assert 86_000 < late < 2 * 86_500


def test_a_run_that_was_cut_off_is_a_failure(store: Store) -> None:
    repository = JobRepository(store)
    repository.declare({"export": "0 4 * * 1"}, 0)

    def begin(fence: int) -> Run:
        run = Run(uuid4(), "export", fence, 1_000_000, None, RUNNING, {}, None)
        repository.started(run)
        return run

    begin(1)
    begin(2)  # the end of the first was never recorded
    assert repository.states()[0].failures == 1
    repository.interrupt(3, 2_000_000)
    assert repository.states()[0].failures == 2
    run = begin(3)
    repository.finished(run._replace(finished=3_500_000, outcome=FAILED))
    state = repository.states()[0]
    assert (state.failures, state.last_seconds) == (3, 2.5)


def test_whether_a_scheduler_leads(container: Container) -> None:
    with container.platform.leadership.require():
        assert shown(container)["sillage_scheduler_leads"] == 1
    assert shown(container)["sillage_scheduler_leads"] == 0


def test_statements_that_retention_should_have_deleted_are_counted_by_the_job_and_shown(container: Container) -> None:
    send(container, named("zoe"), named("tom"))
    days = container.governance.register.get(ACTIVITY["id"]).retention.active_days
    stored = container.platform.store.collection("statements")
    run_job(container, "measure")
    assert shown(container)["sillage_retention_overdue_statements"] == 0
    # Due since an hour: the job of the night takes it. Due since three days: two nights did not.
    for age, overdue in ((days * DAY_US + 3_600_000_000, 0), ((days + 3) * DAY_US, 2)):
        stored.update_many({}, {"$set": {"stored": container.platform.now_us() - age}})
        run_job(container, "measure")
        reported = shown(container)
        assert reported["sillage_retention_overdue_statements"] == overdue
        assert abs(reported["sillage_retention_counted_timestamp_seconds"] - clock.now_us() / 1e6) < 60
    run_job(container, "retention")
    run_job(container, "measure")
    assert shown(container)["sillage_retention_overdue_statements"] == 0


def test_requests_reviews_and_erasures(container: Container) -> None:
    container.people.requests.open("access", person("zoe"), received=date(2023, 1, 2), actor="cli:test")
    container.people.requests.open("access", person("tom"), actor="cli:test")
    old = {**ACTIVITY, "id": "old", "in_force_from": "2020-01-01", "review_by": "2021-01-01"}
    container.governance.register.add(orjson.dumps(old))
    container.platform.store.collection("erasures").insert_one({"_id": uuid4(), "destroyed": clock.now(), "tokens": []})
    reported = shown(container)
    assert reported['sillage_person_requests{state="pending"}'] == 2
    assert reported['sillage_person_requests{state="overdue"}'] == 1
    assert reported['sillage_person_requests{state="due-soon"}'] == 0
    assert reported["sillage_register_reviews_overdue"] >= 1
    assert reported["sillage_erasures_open"] == 1
    assert 0 <= reported["sillage_erasure_oldest_open_seconds"] < 600
    container.governance.register.add(orjson.dumps({**old, "review_by": "2999-01-01"}))
    assert shown(container)["sillage_register_reviews_overdue"] == reported["sillage_register_reviews_overdue"] - 1


def test_messages_that_wait_and_were_given_up(container: Container) -> None:
    outbox = container.platform.store.collection("outbox")
    now = container.platform.now_us()
    outbox.insert_many(
        [
            {"_id": b"a", "state": "waiting", "created": now - 90_000_000, "next": now},
            {"_id": b"b", "state": "waiting", "created": now, "next": now},
            {"_id": b"c", "state": "given-up", "created": now, "ended": now},
            {"_id": b"d", "state": "sent", "created": now - 900_000_000, "ended": now},
        ]
    )
    reported = shown(container)
    assert reported["sillage_mail_waiting"] == 2
    assert 90 <= reported["sillage_mail_oldest_waiting_seconds"] < 600
    assert reported["sillage_mail_given_up"] == 1
    outbox.delete_many({})
    assert shown(container)["sillage_mail_oldest_waiting_seconds"] == 0


def test_how_far_aggregates_are_behind(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    send(container, named("zoe"))
    run_job(container, "aggregate")
    lags = {name: value for name, value in shown(container).items() if name.startswith("sillage_aggregate_lag_seconds")}
    assert len(lags) == len(container.research.aggregates.definitions())
    assert all(0 <= lag < 300 for lag in lags.values())
    later = container.platform.now_us() + DAY_US
    monkeypatch.setattr(PlatformServices, "now_us", lambda _: later)
    assert all(shown(container)[name] > 86_000 for name in lags)


def test_a_backup_that_succeeded_is_told_and_one_that_failed_is_not(container: Container, tmp_path: Path) -> None:
    taken = tmp_path / "taken.tar"
    taken.touch()
    assert CliRunner().invoke(backup, [str(taken)], obj=container).exception is not None
    assert "sillage_backup_last_success_timestamp_seconds" not in shown(container)
    written = tmp_path / "mine.tar"
    assert CliRunner().invoke(backup, [str(written)], obj=container).exception is None
    reported = shown(container)
    assert abs(reported["sillage_backup_last_success_timestamp_seconds"] - clock.now_us() / 1e6) < 60
    assert reported["sillage_backup_bytes"] == written.stat().st_size


def test_keys_still_to_be_wrapped_anew_are_told(container: Container) -> None:
    send(container, named("zoe"))
    assert shown(container)["sillage_key_versions_behind"] == 0
    container.platform.store.collection("subjects").update_many({}, {"$set": {"version": 7}})
    assert shown(container)["sillage_key_versions_behind"] == 1


# --- what it costs ----------------------------------------------------------------------------------


class Asked(CommandListener):
    """The collections that a client reads, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.seen.append(str(event.command.get(event.command_name)))

    def succeeded(self, event: object) -> None:
        pass

    def failed(self, event: object) -> None:
        pass


def test_however_often_it_is_asked_mongodb_is_asked_once_and_no_statement_is_looked_at(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    client = pymongo.MongoClient(container.settings.mongodb_uri, event_listeners=[asked], uuidRepresentation="standard")
    seen = Store(client, container.settings.database)
    watched = Container(container.settings)
    watched.platform.__dict__["store"] = seen
    watched.platform._presence = container.platform.presence
    steady = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: steady)
    registry = CollectorRegistry()
    registry.register(watched.web.standing)
    generate_latest(registry)  # the services are made, the keys opened
    watched.web.standing._kept = None
    asked.seen.clear()
    for _ in range(20):
        assert b"sillage_mongodb_up 1.0" in generate_latest(registry)
    once = list(asked.seen)
    assert 0 < len(once) <= 16
    assert not {"statements", "attachments", "documents", "audit", "aggregate_parts"} & set(once)
    steady += standing.KEPT_SECONDS
    generate_latest(registry)
    assert len(asked.seen) == 2 * len(once)
    watched.close()
    client.close()


@contextmanager
def unbounded(_: float) -> Iterator[None]:
    yield


def group(figures: Callable[[], standing.Figures]) -> standing.GaugeGroup:
    return SimpleNamespace(figures=figures)


def collected(*stored: Callable[[], standing.Figures], require: Callable[[], object] = lambda: None) -> str:
    registry = CollectorRegistry()
    here = group(lambda: {standing.KEY_ACTIVE: standing.one(3)})
    presence, database = SimpleNamespace(require=require), SimpleNamespace(within=unbounded)
    registry.register(Standing(here, [group(each) for each in stored], presence, database))
    return generate_latest(registry).decode()


def away() -> standing.Figures:
    raise DatabaseUnavailable


def test_without_mongodb_what_is_known_without_it_is_told() -> None:
    for text in (collected(require=away), collected(lambda: {standing.LEADS: standing.one(1)}, away)):
        assert "sillage_mongodb_up 0.0" in text
        assert "sillage_key_active_version 3.0" in text
        assert "sillage_scheduler_leads" not in text


def test_a_part_that_fails_leaves_the_others_and_tells_nothing_of_what_it_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> standing.Figures:
        raise KeyError("Zoé Durand")

    text = collected(broken, lambda: {standing.LEADS: standing.one(1)})
    assert "sillage_mongodb_up 1.0" in text and "sillage_scheduler_leads 1.0" in text
    said = capsys.readouterr()
    assert "Durand" not in said.out + said.err


# --- who may read them while MongoDB is away --------------------------------------------------------


class Door:
    """Lets in who has the right header, refuses others, or cannot know."""

    def __init__(self) -> None:
        self.away = False
        self.right = "Basic right"
        self.now = 0.0

    def admit(self) -> None:
        from flask import request

        if self.away:
            raise DatabaseUnavailable
        if request.headers.get("Authorization") != self.right:
            raise CredentialsRefused

    def client(self) -> FlaskClient:
        app = Flask("test")
        admitted = operations.Admitted(self.admit, lambda: self.now)

        @app.get("/")
        def page() -> str:
            admitted()
            return ""

        app.register_error_handler(SillageError, lambda error: ("", error.status))
        return app.test_client()


def test_who_read_the_metrics_lately_reads_them_while_mongodb_is_away() -> None:
    door = Door()
    web = door.client()

    def status(header: str = "Basic right") -> int:
        return web.get("/", headers={"Authorization": header}).status_code

    door.away = True
    assert status() == 503
    door.away = False
    assert (status(), status("Basic wrong")) == (200, 401)
    door.away = True
    assert (status(), status("Basic wrong"), status("")) == (200, 503, 503)
    door.now = 3_601
    assert status() == 503
    door.away = False
    assert status() == 200
    door.right = "Basic other"  # revoked
    assert status() == 401
    door.away = True
    assert status() == 503


# --- over HTTP --------------------------------------------------------------------------------------


def test_the_page_of_a_server_has_every_metric_once(server: Server) -> None:
    Measures(server.container.platform.store).note_backup(BackupMade(clock.now_us(), 1))
    text = server.send("GET", "/metrics", server.credential("metrics/read")).text
    families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(families) == len(set(families))
    assert {"sillage_mongodb_up", "sillage_http_requests_total", "sillage_person_requests"} <= set(families)
    assert "sillage_mongodb_up 1.0" in text
    page = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"| `{name}` |" in page for name in families)
