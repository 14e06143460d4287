"""``sillage request``, ``account`` and the acts of ``sillage person`` on real services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.access.restrictions.store import NOBODY
from app.commands import accounts, person, person_access, requests
from app.core.errors import BadRequest, DataSubjectRequestConflict, FileRefused, RegisterInvalid, SillageError
from app.settings import Settings
from app.standards.xapi.versions import Version
from app.wiring.container import Container
from tests.served import statement
from tests.stores import with_tutor

ZOE = ("--account", "https://ent.example", "zoe")


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        yield made


def run(container: Container, command: click.Command, *args: str) -> str:
    answer = CliRunner().invoke(command, args, obj=container, env={"COLUMNS": "200"}, standalone_mode=False)
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def open_request(container: Container, kind: str = "restriction", *more: str) -> str:
    reported = run(container, requests.request, "open", kind, *ZOE, *more)
    found = re.search(r"r-[0-9a-f]{12}", reported)
    assert found is not None
    return found[0]


def test_a_request_is_opened_worked_on_and_closed(container: Container) -> None:
    request = open_request(container, "restriction", "--received", "2026-01-31", "--note", "by letter")
    assert f"{request}" in run(container, requests.request, "list")
    assert "2026-02-28 (late)" in run(container, requests.request, "list", "--due-within", "7d")
    assert request not in run(container, requests.request, "list", "--status", "done")
    with pytest.raises(DataSubjectRequestConflict):
        run(container, person.person, "restrict", *ZOE, "--case", request)
    assert "identified" in run(container, requests.request, "identify", request, "--note", "at the counter")
    assert "Restricted" in run(container, person.person, "restrict", *ZOE, "--case", request)
    assert f"{request} is done" in run(container, requests.request, "done", request)
    shown = run(container, requests.request, "show", request)
    for word in ("account:https://ent.example|zoe", "by letter", "at the counter", "restricted", "cli:request done"):
        assert word in shown
    assert "zoe" not in run(container, requests.request, "list", "--status", "done")


def test_a_request_is_extended_or_refused_with_a_reason(container: Container) -> None:
    request = open_request(container)
    assert "open; its answer is due by" in run(
        container, requests.request, "extend", request, "--reason", "many traces"
    )
    assert "refused." in run(container, requests.request, "refuse", request, "--reason", "not founded")
    with pytest.raises(click.MissingParameter):
        run(container, requests.request, "refuse", request)
    with pytest.raises(click.BadParameter, match="7d"):
        run(container, requests.request, "list", "--due-within", "7")


def test_a_person_is_restricted_and_objects_and_all_of_it_is_undone(container: Container) -> None:
    run(container, person.person, "restrict", *ZOE)
    assert "refused" in run(container, person.person, "object", *ZOE, "--refuse-new")
    reported = run(container, person.person, "standing", *ZOE)
    assert "restricted      since 20" in reported
    assert "objects to      research" in reported
    assert "new statements  refused" in reported
    assert "lifted" in run(container, person.person, "unrestrict", *ZOE)
    assert "was not restricted" in run(container, person.person, "unrestrict", *ZOE)
    assert "is withdrawn" in run(container, person.person, "withdraw-objection", *ZOE)
    assert "had not objected" in run(container, person.person, "withdraw-objection", *ZOE)
    assert "objects to      nothing" in run(container, person.person, "standing", *ZOE)
    assert container.access.data_subject_states.current() == NOBODY


def test_a_statement_is_rectified_from_a_file(container: Container, tmp_path: Path) -> None:
    container.lifecycle.start()
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    (wrong,) = container.traces.recorder.record(orjson.dumps(statement()), source, Version.V1).ids
    file = tmp_path / "right.json"
    with pytest.raises(FileRefused):
        run(container, person.person, "rectify", str(wrong), str(file))
    file.write_bytes(orjson.dumps(statement(result={"success": False})))
    assert "voids the wrong one" in run(container, person.person, "rectify", str(wrong), str(file))
    assert container.traces.statements.some([wrong])[0].voided


def test_accounts_end_one_by_one_or_by_a_file(container: Container, tmp_path: Path) -> None:
    who = ("https://ent.example", "zoe", "--source", "tutor")
    assert "1 account noted" in run(container, accounts.account, "close", *who, "--on", "2026-06-30")
    assert "1 end taken back" in run(container, accounts.account, "reopen", *who)
    for name, content in (
        ("a.csv", b"home_page,name\nhttps://ent.example,a\nhttps://ent.example,b\n"),
        ("a.json", orjson.dumps({"accounts": [{"agent": {"mbox": "mailto:a@ent.example"}}]})),
    ):
        (tmp_path / name).write_bytes(content)
        assert " noted as ended" in run(
            container, accounts.account, "import", str(tmp_path / name), "--source", "tutor"
        )
    # An address counts as its SHA-1 sum too.
    assert container.platform.store.collection("accounts").count_documents({"source": "tutor"}) == 4
    with pytest.raises(RegisterInvalid):
        run(container, accounts.account, "import", str(tmp_path / "a.csv"), "--source", "nobody")
    with pytest.raises(FileRefused):
        run(container, accounts.account, "import", str(tmp_path / "none.csv"), "--source", "tutor")
    (tmp_path / "bad.csv").write_text("name\nzoe\n")
    with pytest.raises(BadRequest) as refused:
        run(container, accounts.account, "import", str(tmp_path / "bad.csv"), "--source", "tutor")
    assert "zoe" not in str(refused.value.faults)


# --- a class of pupils ------------------------------------------------------------------------------


def a_class(folder: Path, *names: str, more: tuple[object, ...] = ()) -> tuple[str, str, str]:
    file = folder / "class.json"
    agents: list[object] = [{"account": {"homePage": "https://ent.example", "name": name}} for name in names]
    file.write_bytes(orjson.dumps([*agents, *more]))
    return "--agents", str(file), "--each"


def lines(container: Container, command: click.Command, *args: str) -> tuple[list[str], str | None]:
    """The lines of outcomes, and the code of the error that it ends with."""
    answer = CliRunner().invoke(command, args, obj=container, env={"COLUMNS": "300"}, standalone_mode=False)
    error = answer.exception
    assert error is None or isinstance(error, SillageError), error
    reported = [line for line in answer.output.splitlines() if line.startswith("agent ")]
    return reported, None if error is None else error.code


def stored(container: Container, *names: str) -> None:
    sent = [statement(actor={"account": {"homePage": "https://ent.example", "name": name}}) for name in names]
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    container.lifecycle.start()
    container.traces.recorder.record(orjson.dumps(sent), source, Version.V2)


def test_each_agent_of_a_file_is_a_person_of_its_own(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo", "cy")
    group = a_class(tmp_path, "ada", "bo", "cy")
    reported, code = lines(container, person.person, "find", *group)
    assert (reported, code) == ([f"agent {n}: 1 own" for n in (1, 2, 3)], None)
    opened, code = lines(container, requests.request, "open", "access", *group)
    ids = [re.search(r"r-[0-9a-f]{12}", line) for line in opened]
    assert code is None and len({one[0] for one in ids if one}) == 3
    listed, code = lines(container, person.person, "restrict", *group)
    assert code is None and [line.partition(":")[0] for line in listed] == ["agent 1", "agent 2", "agent 3"]
    assert all("restricted" in line for line in listed)
    assert all("since" in line for line in lines(container, person.person, "standing", *group)[0])
    assert all("lifted" in line for line in lines(container, person.person, "unrestrict", *group)[0])
    assert all("objects to research" in line for line in lines(container, person.person, "object", *group)[0])
    # None of it names anybody.
    assert not re.search("ada|bo|cy", " ".join([*reported, *listed]))


def test_what_fails_for_one_is_done_for_the_others(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo")
    broken = ({"mbox": "not an address"}, {"account": {"homePage": "https://ent.example", "name": "bo"}})
    reported, code = lines(container, person.person, "restrict", *a_class(tmp_path, "ada", more=broken))
    assert code == "partly-done"
    assert "restricted" in reported[0] and "restricted" in reported[2]
    assert reported[1].startswith("agent 2: not done.") and "not an address" not in reported[1]
    for name in ("ada", "bo"):
        shown = run(container, person.person, "standing", "--account", "https://ent.example", name)
        assert "since" in shown


def test_a_class_is_erased_each_with_a_receipt(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo", "other")
    folder = tmp_path / "receipts"
    folder.mkdir()
    twice = ({"account": {"homePage": "https://ent.example", "name": "ada"}},)
    group = a_class(tmp_path, "ada", "bo", more=twice)
    reported, code = lines(container, person.person, "erase", *group, "--yes", "--receipt", str(folder))
    assert code is None
    assert reported[2] == "agent 3: the same as agent 1"
    contents = [orjson.loads(file.read_bytes())["content"] for file in folder.iterdir()]
    assert [content["counts"]["statements"] for content in contents] == [1, 1]
    assert container.platform.store.collection("statements").count_documents({}) == 1
    assert "1 own" in lines(container, person.person, "find", *a_class(tmp_path, "other"))[0][0]


def test_without_each_a_file_is_one_person(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo")
    *group, _ = a_class(tmp_path, "ada", "bo")
    assert "A person of 2 identifiers" in run(container, person.person, "find", *group)


def test_an_array_within_the_array_is_one_person(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo", "cy")
    both = [{"account": {"homePage": "https://ent.example", "name": name}} for name in ("bo", "cy")]
    reported, _ = lines(container, person.person, "find", *a_class(tmp_path, "ada", more=(both,)))
    assert reported == ["agent 1: 1 own", "agent 2: 2 own"]


@pytest.mark.parametrize("command", [("erase", "--yes"), ("restrict",), ("unrestrict",), ("object",), ("recipients",)])
def test_a_case_is_of_one_person(container: Container, tmp_path: Path, command: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match="one person"):
        run(container, person.person, *command, *a_class(tmp_path, "ada"), "--case", "r-0123456789ab")


def test_a_class_is_answered_with_a_request_each(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo")
    group, file = a_class(tmp_path, "ada", "bo", more=({"mbox": "broken"},)), tmp_path / "cases.txt"
    reported, code = lines(container, requests.request, "open", "objection", *group, "--cases-to", str(file))
    assert code == "partly-done"
    first, second, none = file.read_text().split()
    assert (first in reported[0], second in reported[1], none) == (True, True, "-")
    assert "ada" not in " ".join(reported)
    with pytest.raises(FileRefused):
        run(container, requests.request, "open", "objection", *group, "--cases-to", str(file))
    assert "identified" in run(container, requests.request, "identify", "--cases", str(file))
    reported, code = lines(container, person.person, "object", *group, "--cases", str(file))
    assert code == "partly-done" and "objects to research" in reported[1]
    shown = run(container, requests.request, "show", second)
    assert "account:https://ent.example|bo" in shown and "objection-noted" in shown
    run(container, requests.request, "done", first, second)
    assert "done" in run(container, requests.request, "show", first)


def test_a_terminal_shows_whose_each_request_is(container: Container, tmp_path: Path) -> None:
    given = ("open", "access", *a_class(tmp_path, "ada", more=({"mbox": "mailto:bo@ent.example"},)))
    env = {"COLUMNS": "300", "FORCE_COLOR": "1"}
    reported = CliRunner().invoke(requests.request, given, obj=container, env=env, standalone_mode=False).output
    assert "agent 1 (https://ent.example ada): Request r-" in reported
    assert "agent 2 (bo@ent.example): Request r-" in reported
    assert "ada" not in repr(
        [*container.platform.store.collection("cases").find({}), *container.platform.store.collection("audit").find({})]
    )


def test_requests_of_a_file_are_as_many_as_the_agents(container: Container, tmp_path: Path) -> None:
    file = tmp_path / "cases.txt"
    file.write_text("r-0123456789ab\n")
    with pytest.raises(BadRequest, match="1 request for 2 agents"):
        run(container, person.person, "object", *a_class(tmp_path, "ada", "bo"), "--cases", str(file))
    with pytest.raises(click.UsageError):
        run(container, person.person, "object", *ZOE, "--cases", str(file))
    file.write_text("Zoé, request of May\n")
    with pytest.raises(FileRefused):
        run(container, person.person, "object", *a_class(tmp_path, "ada"), "--cases", str(file))


def test_what_fails_for_one_request_is_done_for_the_others(container: Container) -> None:
    request = open_request(container)
    answer = CliRunner().invoke(
        requests.request,
        ["identify", "r-000000000000", request],
        obj=container,
        env={"COLUMNS": "300"},
        standalone_mode=False,
    )
    assert isinstance(answer.exception, SillageError) and answer.exception.code == "partly-done"
    assert "r-000000000000: not done" in answer.output
    assert f"Request {request} is identified" in answer.output


def test_an_objection_is_not_said_to_be_told_by_article_19(container: Container) -> None:
    assert "art. 19" not in run(container, person.person, "object", *ZOE)
    assert "art. 19" in run(container, person.person, "restrict", *ZOE)


def test_access_for_each_writes_a_zip_each(container: Container, tmp_path: Path) -> None:
    stored(container, "ada", "bo")
    folder = tmp_path / "zips"
    with pytest.raises(FileRefused):
        run(container, person_access.person, "access", *a_class(tmp_path, "ada"), "--to", str(folder))
    folder.mkdir()
    (folder / "agent-0001.zip").write_bytes(b"mine")
    reported, code = lines(
        container, person_access.person, "access", *a_class(tmp_path, "ada", "bo"), "--to", str(folder)
    )
    # One that is there is not written over, and does not keep the other from being written.
    assert code == "partly-done" and "agent-0002.zip" in reported[1]
    assert (folder / "agent-0001.zip").read_bytes() == b"mine"
    assert (folder / "agent-0002.zip").stat().st_size > 1_000


# --- who is told, and what the officer is told -------------------------------------------------------


def test_acts_say_who_received(container: Container) -> None:
    stored(container, "zoe")
    label = container.operations.sources.issue(
        source=None, label="Inspection", scopes=["statements/read"], actor="cli:test"
    )
    everything = {"tokens": [], "count": 1, "first": 0, "last": 1 << 60, "purpose": "support"}
    container.governance.audit.append("statements-read", label.id, everything)
    shown = run(container, person.person, "recipients", *ZOE)
    assert "Inspection" in shown and "support" in shown and label.id not in shown
    request = open_request(container, "restriction")
    run(container, requests.request, "identify", request)
    assert "Inspection" in run(container, person.person, "restrict", *ZOE, "--case", request)
    assert "recipients: Inspection" in run(container, requests.request, "show", request)
    assert "Inspection" in run(container, person.person, "object", *ZOE, "--case", request)


def test_an_act_may_follow_the_answer_and_is_told_as_that(container: Container) -> None:
    stored(container, "zoe")
    request = open_request(container, "restriction")
    run(container, requests.request, "identify", request)
    run(container, person.person, "restrict", *ZOE, "--case", request)
    run(container, requests.request, "done", request)
    assert "lifted" in run(container, person.person, "unrestrict", *ZOE, "--case", request)
    run(container, person.person, "recipients", *ZOE, "--case", request)
    shown = run(container, requests.request, "show", request)
    assert "unrestricted (after the answer)" in shown
    assert "recipients-listed (after the answer)" in shown
    assert "done (after" not in shown
    # What answers a request is not done for one that is answered.
    with pytest.raises(DataSubjectRequestConflict):
        run(container, person.person, "restrict", *ZOE, "--case", request)
    refused = open_request(container, "restriction")
    run(container, requests.request, "refuse", refused, "--reason", "not founded")
    with pytest.raises(DataSubjectRequestConflict):
        run(container, person.person, "unrestrict", *ZOE, "--case", refused)


def test_an_erasure_notes_its_recipients_on_the_case_in_words(container: Container) -> None:
    stored(container, "zoe")
    label = container.operations.sources.issue(
        source=None, label="Inspection", scopes=["statements/read"], actor="cli:test"
    )
    everything = {"tokens": [], "count": 1, "first": 0, "last": 1 << 60, "purpose": "support"}
    container.governance.audit.append("statements-read", label.id, everything)
    request = open_request(container, "erasure")
    run(container, requests.request, "identify", request)
    run(container, person.person, "erase", *ZOE, "--yes", "--case", request)
    shown = run(container, requests.request, "show", request)
    assert "recipients-listed" in shown and "recipients: Inspection" in shown
    assert "keys: 1" in shown
    assert "{" not in shown


def test_the_officer_is_told_that_notes_are_handed_over(container: Container) -> None:
    reported = "handed over"
    assert reported in run(container, requests.request, "open", "access", *ZOE, "--note", "by letter")
    request = open_request(container, "access")
    assert reported not in run(container, requests.request, "identify", request)
    assert reported in run(container, requests.request, "done", request, "--note", "sent")
