"""``sillage source …``: the policy about minors, chosen, shown and explained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import click
import orjson
import pytest
from click.testing import CliRunner

from app.access.key_ends import end_of
from app.commands import governance, sources
from app.core.errors import RegisterInvalid
from app.settings import Settings
from app.wiring.container import Container
from tests import school_files
from tests.served import ACTIVITY
from tests.stores import initialised


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with initialised(settings, database_name) as made:
        made.governance.register.add(orjson.dumps({**ACTIVITY, "minors": True}))
        yield made


def run(container: Container, command: click.Command, *args: str) -> str:
    answer = CliRunner().invoke(command, args, obj=container, env={"COLUMNS": "200"}, standalone_mode=False)
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def add(container: Container, id: str, *more: str) -> str:
    return run(container, sources.source, "add", id, "--name", id, "--processing-activity", ACTIVITY["id"], *more)


def row(shown: str, source: str) -> str:
    return next(line for line in shown.splitlines() if source in line)


def test_an_entry_about_minors_gives_its_policy_and_lists_show_it(container: Container) -> None:
    assert "policy about minors: pseudonymise" in add(container, "tutor")
    with pytest.raises(RegisterInvalid, match="--reason"):
        add(container, "open", "--minors", "off")
    add(container, "open", "--minors", "off", "--reason", "Accounts are opaque, see DPIA 7")
    listed = run(container, sources.source, "list")
    assert "pseudonymise" in row(listed, "tutor") and " off " in row(listed, "open")
    assert "pseudonymise" in row(run(container, sources.source, "show", "tutor"), "minors")
    shown = run(container, sources.source, "show", "open")
    assert "off" in row(shown, "minors") and "see DPIA 7" in row(shown, "reason")
    with pytest.raises(RegisterInvalid, match="--reason"):
        run(container, sources.source, "set", "tutor", "--minors", "strip")
    run(container, sources.source, "set", "tutor", "--minors", "strip", "--reason", "Names are of no use")
    assert "Names are of no use" in run(container, sources.source, "show", "tutor")
    entries = container.platform.store.collection("audit").find(
        {"kind": {"$in": ["source-added", "configuration-changed"]}}
    )
    entries = entries.sort([("at", 1), ("_id", 1)])
    kept = [(entry["detail"]["minors"], entry["detail"].get("minors_reason")) for entry in entries]
    assert kept == [
        ("pseudonymise", None),
        ("off", "Accounts are opaque, see DPIA 7"),
        ("strip", "Names are of no use"),
    ]


def test_the_report_tells_policies_and_those_without_a_reason(container: Container) -> None:
    add(container, "tutor")
    add(container, "open", "--minors", "off", "--reason", "Accounts are opaque")
    report = run(container, governance.retention, "report")
    assert "off: Accounts are opaque" in row(report, "open") and "pseudonymise" in row(report, "tutor")
    assert "without a reason" not in report
    # As a source that was registered before reasons were asked for.
    container.platform.store.collection("sources").update_one({"_id": "open"}, {"$set": {"minors_reason": ""}})
    report = run(container, governance.retention, "report")
    assert "without a reason on record: open." in report
    assert "none on record" in run(container, sources.source, "show", "open")
    lines = {line.source: line for line in container.retention.service.report(time.time_ns() // 1_000)}
    assert (lines["open"].concerns_minors, lines["open"].minors, lines["open"].minors_reason) == (True, "off", "")


def test_keys_of_people_end_and_those_that_end_soon_are_listed(container: Container) -> None:
    add(container, "tutor", "--minors", "pseudonymise")
    made = run(container, sources.credential, "add", "--role", "researcher", "--label", "lab")
    assert "until   " in made and "-08-31" in made
    soon = container.platform.today() + timedelta(days=7)
    run(container, sources.credential, "add", "--role", "dpo", "--label", "DPO", "--until", str(soon))
    run(container, sources.credential, "add", "--source", "tutor", "--label", "trial", "--until", str(soon))
    assert str(soon) in row(run(container, sources.credential, "list"), "DPO")
    # At the midnight of the organisation, not at that of UTC.
    (officers,) = (each for each in container.operations.sources.people() if each.label == "DPO")
    assert officers.ends == end_of(soon, ZoneInfo("Europe/Paris"))
    assert str(soon) in run(container, sources.source, "list")
    listed = run(container, sources.credential, "list", "--ending")
    assert "tutor" in row(listed, "trial") and "governance/read" in row(listed, "DPO")
    assert "trial" not in run(container, sources.credential, "list")
    with pytest.raises(RegisterInvalid, match="past"):
        run(container, sources.credential, "add", "--role", "dpo", "--until", "2020-08-31")


def test_a_key_of_a_person_may_have_a_perimeter_which_the_list_shows(container: Container) -> None:
    add(container, "tutor", "--minors", "pseudonymise")
    container.schools.directory.load(
        school_files.directory([school_files.made(1)]), container.platform.today(), actor="cli:test"
    )
    bounds = ["--only-source", "tutor", "--only-territory", "departement:038", "--only-until", "2027-08-31"]
    run(container, sources.credential, "add", "--role", "researcher", "--label", "lab", *bounds)
    listed = " ".join(run(container, sources.credential, "list").split())
    assert "sources tutor; territories departement:038; until 2027-08-31" in listed
    with pytest.raises(RegisterInvalid, match="no school in commune:1"):
        run(container, sources.credential, "add", "--role", "researcher", "--only-territory", "commune:1")
    with pytest.raises(RegisterInvalid, match="reads its own"):
        run(container, sources.credential, "add", "--source", "tutor", "--only-source", "tutor")
