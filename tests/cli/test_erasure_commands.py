"""``sillage person find|erase``, ``sillage receipt`` and ``sillage keys public``, on a real store."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.core.errors import BadRequest, FileRefused, SignatureRefused
from app.factory import Parts
from app.standards.xapi.documents import Resource
from tests.people.people import HOME, account, document, named, parts, person, send

__all__ = ("parts",)


def run(parts: Parts | None, *args: str, typed: str = "") -> str:
    group = cli.commands[args[0]]
    answer = CliRunner().invoke(group, args[1:], obj=parts, input=typed, env={"COLUMNS": "200"})
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    assert answer.exit_code == 0 or isinstance(answer.exception, SystemExit)
    return answer.output


def test_a_person_is_found_by_several_identifiers(parts: Parts, tmp_path: Path) -> None:
    send(parts, named("lea"), named("lea-2"), named("other", context={"instructor": account("lea")}))
    document(parts, Resource.STATE, "lea")
    said = run(parts, "person", "find", "--account", HOME, "lea", "--account", HOME, "lea-2")
    lines = dict(line.rsplit(None, 1) for line in said.splitlines() if line.strip() and line.split()[-1].isdigit())
    counts = {name.strip(): number for name, number in lines.items()}
    assert (counts["own"], counts["mentions"], counts["states"]) == ("2", "1", "1")
    file = tmp_path / "agents.json"
    file.write_bytes(orjson.dumps([account("lea")]))
    assert "1 identifier\n" in run(parts, "person", "find", "--agents", str(file))
    assert "1 identifier\n" in run(
        parts, "person", "find", "--agents", "-", typed=orjson.dumps(account("lea")).decode()
    )


def test_nobody_said_is_wrong_usage_and_nonsense_an_error(parts: Parts, tmp_path: Path) -> None:
    assert "Say who is meant" in run(parts, "person", "find")
    with pytest.raises(BadRequest):
        run(parts, "person", "find", "--mbox", "nobody")
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "absent.json"):
        with pytest.raises(FileRefused):
            run(parts, "person", "find", "--agents", str(tmp_path / name))


def test_from_an_erasure_to_a_receipt_that_verifies_without_a_store(parts: Parts, tmp_path: Path) -> None:
    send(parts, named("lea"))
    receipt, key = tmp_path / "receipt.json", tmp_path / "public.pem"
    said = run(
        parts, "person", "erase", "--account", HOME, "lea", "--receipt", str(receipt), "--case", "c-1", typed="y\n"
    )
    assert "1 statement of theirs" in said
    assert "statements: 1" in said
    key.write_text(run(parts, "keys", "public"))
    shown = run(None, "receipt", "verify", str(receipt), "--public-key", str(key))
    assert "The signature is right" in shown
    assert "case: c-1" in shown
    listed = run(parts, "receipt", "list")
    id = orjson.loads(receipt.read_bytes())["content"]["erasure"]
    assert id in listed and "done" in listed
    run(parts, "receipt", "write", id, str(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == receipt.read_bytes()
    receipt.write_bytes(receipt.read_bytes().replace(b'"statements": 1', b'"statements": 0'))
    with pytest.raises(SignatureRefused, match="altered"):
        run(None, "receipt", "verify", str(receipt), "--public-key", str(key))


def test_nothing_happens_without_a_yes(parts: Parts) -> None:
    send(parts, named("lea"))
    assert "Aborted" in run(parts, "person", "erase", "--account", HOME, "lea", typed="n\n")
    assert parts.persons.places(person("lea")).own == 1
    assert parts.erasures.newest() == []


def test_without_waiting_the_job_does_the_rest(parts: Parts, tmp_path: Path) -> None:
    send(parts, named("lea"))
    assert "does the rest" in run(parts, "person", "erase", "--account", HOME, "lea", "--yes", "--no-wait")
    (started,) = parts.erasures.newest()
    assert started.phase == "forgetting"
    job = next(job for job in parts.jobs if job.name == "erasure")

    class Lease:
        fence = 1

        def check(self) -> None:
            return

    done = job.run(Lease())  # type: ignore[arg-type]
    assert done == {"finished": 1, "left": 0, "deletions": 0, "activities_ended": 0}
    assert parts.erasures.get(started.id).phase == "done"


def test_a_receipt_is_never_overwritten(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(FileRefused):
        run(parts, "person", "erase", "--account", HOME, "lea", "--yes", "--receipt", str(tmp_path / "there.json"))
    assert parts.erasures.newest() == []


def test_the_public_key_stays_the_same(parts: Parts) -> None:
    assert run(parts, "keys", "public") == run(Parts(parts.settings), "keys", "public")
    with pytest.raises(click.ClickException):
        cli.commands["person"].main(["find", "--agents"], standalone_mode=False, obj=parts)
