"""``--purpose``: commands that tell of persons, or of who read what, say what for; over every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.core.errors import BadParameter
from app.settings import Settings
from app.wiring.container import Container
from tests.served import ACTIVITY
from tests.stores import initialised

ZOE = ("--account", "https://ent.example", "zoe")
CASE = "r-000000000000"
STATEMENT = "00000000-0000-4000-8000-000000000000"
# Each with words that it takes.
ABOUT_PERSONS: dict[str, tuple[str, ...]] = {
    **{
        f"person {act}": ZOE
        for act in ("find", "restrict", "unrestrict", "object", "withdraw-objection", "standing", "recipients")
    },
    "person access": (*ZOE, "--to", "access.zip"),
    "person erase": (*ZOE, "--yes"),
    "person rectify": (STATEMENT, "right.json"),
    "request open": ("access", *ZOE),
    "request identify": (CASE,),
    "request extend": (CASE, "--reason", "many traces"),
    "request done": (CASE,),
    "request refuse": (CASE, "--reason", "not founded"),
    "request list": (),
    "request show": (CASE,),
    "audit search": (),
    "audit list": (),
    "export": (),
}
# A new command stands here or above. These tell of no person: configuration, keys, counts of statements by source.
OTHERS = {
    *(f"source {act}" for act in ("add", "set", "list", "show", "move", "revoke", "close", "delete-data")),
    *(f"credential {act}" for act in ("add", "list", "rotate", "end", "revoke")),
    *(f"profile {act}" for act in ("add", "lint", "check", "list", "report", "follow")),
    *(f"nomenclature {act}" for act in ("load", "list")),
    *(f"processing-activity {act}" for act in ("add", "list", "show", "end")),
    *(f"retention {act}" for act in ("report", "apply")),
    *(f"audit {act}" for act in ("verify", "checkpoint", "trim")),
    *(f"certificate {act}" for act in ("list", "write", "verify", "reapply")),
    "minors apply",
    "request figures",
    "statement delete",
    *(f"receipt {act}" for act in ("list", "write", "verify")),
    *(f"account {act}" for act in ("import", "close", "reopen")),
    *(
        f"keys {act}"
        for act in ("status", "rotate", "rewrap", "reindex", "reseal", "rekey-learners", "verify", "public", "retire")
    ),
    *(f"keys {act}" for act in ("backup", "restore")),
    *(f"backup {act}" for act in ("create", "verify")),
    *(f"aggregate {act}" for act in ("run", "status", "list")),
    *(f"jobs {act}" for act in ("list", "history", "run")),
    *(f"mail {act}" for act in ("test", "list")),
    *(
        f"user {act}"
        for act in ("add", "invite", "list", "roles", "disable", "enable", "remove", "reset-second-factor")
    ),
    "restore",
    "tombstones export",
    "serve",
    "scheduler",
    "init",
    "migrate",
    "settings",
    "simulate",
}


def leaves(command: click.Command, path: str = "") -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, f"{path} {name}".strip())
    else:
        yield path


def test_every_command_is_known_to_tell_of_persons_or_not_to() -> None:
    assert set(leaves(cli)) == set(ABOUT_PERSONS) | OTHERS
    assert not set(ABOUT_PERSONS) & OTHERS


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with initialised(settings, database_name, purpose_required=True) as made:
        made.governance.register.add(orjson.dumps(ACTIVITY))
        yield made


def run(container: Container, path: str, *words: str) -> Exception | None:
    group, _, name = path.partition(" ")
    command = cli.commands[group]
    asked = [name, *words] if name else [*words]
    answer = CliRunner().invoke(command, asked, obj=container, env={"COLUMNS": "200"}, standalone_mode=False)
    return answer.exception  # type: ignore[return-value]


def test_a_purpose_is_needed_where_it_is_required(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known = len(container.governance.audit.newest((), None, 100))
    for path, words in ABOUT_PERSONS.items():
        for more in ((), ("--purpose", "curiosity")):
            refused = run(container, path, *words, *more)
            assert isinstance(refused, BadParameter), path
            assert "rights-request" in refused.detail
    assert len(container.governance.audit.newest((), None, 100)) == known
    assert not (tmp_path / "access.zip").exists()


@pytest.mark.parametrize("path", ["person find", "person standing", "person access", "audit list", "export"])
def test_a_purpose_is_kept(container: Container, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path == "export":
        container.research.aggregates.run()
    assert run(container, path, *ABOUT_PERSONS[path], "--purpose", "rights-request") is None
    entry = next(one for one in container.governance.audit.newest((), None, 10) if one.actor == f"cli:{path}")
    assert entry.detail["purpose"] == "rights-request"
