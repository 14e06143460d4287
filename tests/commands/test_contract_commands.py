"""The end of a contract, deletion on the operator's word and their certificates, by commands on a real store."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.core.errors import FileRefused, NotFound, SignatureRefused
from app.standards.xapi.documents import Resource
from app.wiring.container import Container
from tests.people.people import bodies, container, document, named, person, send
from tests.served import ACTIVITY

__all__ = ("container",)

WORD = ("--decided-by", "head of digital services", "--reason", "the contract ended")
ENTRY = str(ACTIVITY["id"])


def run(container: Container | None, *args: str, typed: str = "") -> str:
    answer = CliRunner().invoke(cli.commands[args[0]], args[1:], obj=container, input=typed, env={"COLUMNS": "200"})
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.output


@pytest.mark.parametrize(
    "command",
    [
        ("source", "close", "tutor"),
        ("source", "delete-data", "tutor", "--all"),
        ("processing-activity", "end", ENTRY, "--on", "2026-01-01"),
        ("processing-activity", "end", ENTRY, "--on", "2026-01-01", "--delete-data"),
        ("statement", "delete"),
        ("source", "move", "tutor", "--to", "other"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_nothing_is_done_without_execute_a_word_a_reason_and_a_yes(
    container: Container, command: tuple[str, ...]
) -> None:
    (id,) = send(container, named("lea"))
    container.governance.register.add(orjson.dumps({**ACTIVITY, "id": "other"}))
    given = (*command, str(id)) if command[0] == "statement" else command
    assert "Nothing was done" in run(container, *given)
    assert "--decided-by" in run(container, *given, "--execute")
    assert "--reason" in run(container, *given, "--execute", "--decided-by", "dpo")
    assert "Aborted" in run(container, *given, "--execute", *WORD, typed="n\n")
    assert container.retention.certificates.newest() == []
    assert set(bodies(container)) == {id}
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    assert (source.closed, source.activity) == (None, ENTRY)


def test_from_the_end_of_a_contract_to_certificates_that_verify_without_a_store(
    container: Container, tmp_path: Path
) -> None:
    send(container, named("lea"), named("tom"))
    document(container, Resource.STATE, "lea")
    container.people.restriction.restrict(person("tom"), actor="cli:test")
    file, key = tmp_path / "certificate.json", tmp_path / "public.pem"
    said = run(container, "processing-activity", "end", ENTRY, "--on", "2026-01-01", "--delete-data")
    assert "1 statement and 1 document are stored" in said
    assert "1 statement more of persons who are restricted: kept" in said
    said = run(
        container, "processing-activity", "end", ENTRY, "--on", "2026-01-01", "--delete-data", "--execute", *WORD,
        "--certificate", str(file), typed="y\n",
    )  # fmt: skip
    assert "statements: 1" in said
    assert len(bodies(container)) == 1
    key.write_text(run(container, "keys", "public"))
    shown = run(None, "certificate", "verify", str(file), "--public-key", str(key))
    assert "The signature is right" in shown
    assert "kind: activity-ended" in shown
    assert "reason: the contract ended" in shown
    listed = run(container, "certificate", "list")
    assert all(kind in listed for kind in ("activity-ended", "source-closed", "data-deleted"))
    history = run(container, "processing-activity", "show", ENTRY)
    assert "source-closed tutor" in history
    assert "activity-ended 2026-01-01" in history
    deleted = next(act for act in container.retention.certificates.newest() if act.kind == "data-deleted")
    run(container, "certificate", "write", str(deleted.id), str(tmp_path / "deleted.json"))
    shown = run(None, "certificate", "verify", str(tmp_path / "deleted.json"), "--public-key", str(key))
    assert "counts: documents 1, restricted 1, sessions 0, statements 1" in shown
    # Whoever verifies receipts verifies it too.
    assert "sillage-certificate" in run(None, "receipt", "verify", str(file), "--public-key", str(key))
    file.write_bytes(file.read_bytes().replace(b"the contract ended", b"the contract began"))
    with pytest.raises(SignatureRefused, match="altered"):
        run(None, "certificate", "verify", str(file), "--public-key", str(key))
    assert "closed" in run(container, "source", "list")


def test_an_entry_that_ends_later_keeps_its_data_until_then(container: Container) -> None:
    refused = run(
        container, "processing-activity", "end", ENTRY, "--on", "2999-01-01", "--delete-data", "--execute", *WORD
    )
    assert "That day has not come" in refused
    said = run(container, "processing-activity", "end", ENTRY, "--on", "2999-01-01", "--execute", *WORD, "--yes")
    assert "closed on 2999-01-01" in said
    assert "waiting, on 2999-01-01" in run(container, "certificate", "list", "--processing-activity", ENTRY)
    (act,) = container.retention.certificates.newest()
    with pytest.raises(NotFound):
        run(container, "certificate", "write", str(act.id), "absent.json")


def test_a_time_is_said_once_and_a_file_is_never_overwritten(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"))
    for given in ((), ("--all", "--from", "2026-01-01")):
        assert "Give --from, --to or both" in run(container, "source", "delete-data", "tutor", *given)
    assert "0 statements" in run(container, "source", "delete-data", "tutor", "--to", "2026-01-01")
    assert "1 statement " in run(container, "source", "delete-data", "tutor", "--from", "2026-01-01")
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(FileRefused):
        run(
            container, "source", "delete-data", "tutor", "--all", "--execute", *WORD, "--yes",
            "--certificate", str(tmp_path / "there.json"),
        )  # fmt: skip
    assert len(bodies(container)) == 1


def test_moving_says_that_what_was_stored_before_follows(container: Container) -> None:
    send(container, named("lea"))
    container.governance.register.add(orjson.dumps({**ACTIVITY, "id": "other"}))
    said = run(container, "source", "move", "tutor", "--to", "other", "--execute", *WORD, typed="y\n")
    assert "What was stored before follows other" in said
    assert "6(4)" in said and "tell the persons" in said
    assert "source-moved" in said
    assert "0 acts" in run(container, "certificate", "reapply")


def test_one_statement_is_deleted(container: Container) -> None:
    kept, gone = send(container, named("lea"), named("lea"))
    assert "of source tutor" in run(container, "statement", "delete", str(gone), "--execute", *WORD, "--yes")
    assert set(bodies(container)) == {kept}
    with pytest.raises(click.ClickException):
        cli.commands["statement"].main(["delete", "no-id"], standalone_mode=False, obj=container)
