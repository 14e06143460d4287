"""``sillage request``, ``account`` and the acts of ``sillage person`` on real services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import accounts, person, requests
from app.errors import BadRequest, CaseConflict, FileRefused, RegisterInvalid
from app.factory import Parts
from app.settings import Settings
from app.storage.person_states import NOBODY
from app.xapi.versions import Version
from tests.served import ACTIVITY, statement

ZOE = ("--account", "https://ent.example", "zoe")


@pytest.fixture
def parts(settings: Settings, database_name: str) -> Iterator[Parts]:
    made = Parts(replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05))
    made.initialise()
    made.register.add(orjson.dumps(ACTIVITY))
    made.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor="cli:test")
    yield made
    made.store.client.drop_database(made.settings.database)
    made.close()


def run(parts: Parts, command: click.Command, *args: str) -> str:
    answer = CliRunner().invoke(command, args, obj=parts, env={"COLUMNS": "200"}, standalone_mode=False)
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def open_request(parts: Parts, kind: str = "restriction", *more: str) -> str:
    told = run(parts, requests.request, "open", kind, *ZOE, *more)
    found = re.search(r"r-[0-9a-f]{12}", told)
    assert found is not None
    return found[0]


def test_a_request_is_opened_worked_on_and_closed(parts: Parts) -> None:
    case = open_request(parts, "restriction", "--received", "2026-01-31", "--note", "by letter")
    assert f"{case}" in run(parts, requests.request, "list")
    assert "2026-02-28 (late)" in run(parts, requests.request, "list", "--due-within", "7d")
    assert case not in run(parts, requests.request, "list", "--status", "done")
    with pytest.raises(CaseConflict):
        run(parts, person.person, "restrict", *ZOE, "--case", case)
    assert "identified" in run(parts, requests.request, "identify", case, "--note", "at the counter")
    assert "Restricted" in run(parts, person.person, "restrict", *ZOE, "--case", case)
    assert f"{case} is done" in run(parts, requests.request, "done", case)
    shown = run(parts, requests.request, "show", case)
    for word in ("account:https://ent.example|zoe", "by letter", "at the counter", "restricted", "cli:request done"):
        assert word in shown
    assert "zoe" not in run(parts, requests.request, "list", "--status", "done")


def test_a_request_is_extended_or_refused_with_a_reason(parts: Parts) -> None:
    case = open_request(parts)
    assert "open; its answer is due by" in run(parts, requests.request, "extend", case, "--reason", "many traces")
    assert "refused." in run(parts, requests.request, "refuse", case, "--reason", "not founded")
    with pytest.raises(click.MissingParameter):
        run(parts, requests.request, "refuse", case)
    with pytest.raises(click.BadParameter, match="7d"):
        run(parts, requests.request, "list", "--due-within", "7")


def test_a_person_is_restricted_and_objects_and_all_of_it_is_undone(parts: Parts) -> None:
    run(parts, person.person, "restrict", *ZOE)
    assert "refused" in run(parts, person.person, "object", *ZOE, "--refuse-new")
    told = run(parts, person.person, "standing", *ZOE)
    assert "restricted      since 20" in told
    assert "objects to      research" in told
    assert "new statements  refused" in told
    assert "lifted" in run(parts, person.person, "unrestrict", *ZOE)
    assert "was not restricted" in run(parts, person.person, "unrestrict", *ZOE)
    assert "is withdrawn" in run(parts, person.person, "withdraw-objection", *ZOE)
    assert "had not objected" in run(parts, person.person, "withdraw-objection", *ZOE)
    assert "objects to      nothing" in run(parts, person.person, "standing", *ZOE)
    assert parts.person_states.current() == NOBODY


def test_a_statement_is_rectified_from_a_file(parts: Parts, tmp_path: Path) -> None:
    parts.start()
    source = parts.sources_repository.get("tutor")
    assert source is not None
    (wrong,) = parts.recorder.record(orjson.dumps(statement()), source, Version.V1).ids
    file = tmp_path / "right.json"
    with pytest.raises(FileRefused):
        run(parts, person.person, "rectify", str(wrong), str(file))
    file.write_bytes(orjson.dumps(statement(result={"success": False})))
    assert "voids the wrong one" in run(parts, person.person, "rectify", str(wrong), str(file))
    assert parts.statements.some([wrong])[0].voided


def test_accounts_end_one_by_one_or_by_a_file(parts: Parts, tmp_path: Path) -> None:
    who = ("https://ent.example", "zoe", "--source", "tutor")
    assert "1 accounts noted" in run(parts, accounts.account, "close", *who, "--on", "2026-06-30")
    assert "1 ends taken back" in run(parts, accounts.account, "reopen", *who)
    for name, content in (
        ("a.csv", b"home_page,name\nhttps://ent.example,a\nhttps://ent.example,b\n"),
        ("a.json", orjson.dumps({"accounts": [{"agent": {"mbox": "mailto:a@ent.example"}}]})),
    ):
        (tmp_path / name).write_bytes(content)
        assert "accounts noted" in run(parts, accounts.account, "import", str(tmp_path / name), "--source", "tutor")
    # An address counts as its SHA-1 sum too.
    assert parts.store.collection("accounts").count_documents({"source": "tutor"}) == 4
    with pytest.raises(RegisterInvalid):
        run(parts, accounts.account, "import", str(tmp_path / "a.csv"), "--source", "nobody")
    with pytest.raises(FileRefused):
        run(parts, accounts.account, "import", str(tmp_path / "none.csv"), "--source", "tutor")
    (tmp_path / "bad.csv").write_text("name\nzoe\n")
    with pytest.raises(BadRequest) as refused:
        run(parts, accounts.account, "import", str(tmp_path / "bad.csv"), "--source", "tutor")
    assert "zoe" not in str(refused.value.faults)
