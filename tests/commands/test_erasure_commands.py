"""``sillage person find|erase``, ``sillage receipt`` and ``sillage keys public``, on a real store."""

from __future__ import annotations

from pathlib import Path

import click
import orjson
import pytest
from click.testing import CliRunner

from app.cli import cli
from app.core.errors import BadRequest, FileRefused, SignatureRefused
from app.standards.xapi.documents import Resource
from app.wiring.container import Container
from tests.people.people import HOME, account, container, document, named, person, send

__all__ = ("container",)


def run(container: Container | None, *args: str, typed: str = "") -> str:
    group = cli.commands[args[0]]
    answer = CliRunner().invoke(group, args[1:], obj=container, input=typed, env={"COLUMNS": "200"})
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    assert answer.exit_code == 0 or isinstance(answer.exception, SystemExit)
    return answer.output


def test_a_person_is_found_by_several_identifiers(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"), named("lea-2"), named("other", context={"instructor": account("lea")}))
    document(container, Resource.STATE, "lea")
    said = run(container, "person", "find", "--account", HOME, "lea", "--account", HOME, "lea-2")
    lines = dict(line.rsplit(None, 1) for line in said.splitlines() if line.strip() and line.split()[-1].isdigit())
    counts = {name.strip(): number for name, number in lines.items()}
    assert (counts["own"], counts["mentions"], counts["states"]) == ("2", "1", "1")
    file = tmp_path / "agents.json"
    file.write_bytes(orjson.dumps([account("lea")]))
    assert "1 identifier\n" in run(container, "person", "find", "--agents", str(file))
    assert "1 identifier\n" in run(
        container, "person", "find", "--agents", "-", typed=orjson.dumps(account("lea")).decode()
    )


def test_nobody_said_is_wrong_usage_and_nonsense_an_error(container: Container, tmp_path: Path) -> None:
    assert "Say who is meant" in run(container, "person", "find")
    with pytest.raises(BadRequest):
        run(container, "person", "find", "--mbox", "nobody")
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "absent.json"):
        with pytest.raises(FileRefused):
            run(container, "person", "find", "--agents", str(tmp_path / name))


def test_from_an_erasure_to_a_receipt_that_verifies_without_a_store(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"))
    receipt, key = tmp_path / "receipt.json", tmp_path / "public.pem"
    said = run(
        container, "person", "erase", "--account", HOME, "lea", "--receipt", str(receipt), "--case", "c-1", typed="y\n"
    )
    assert "1 statement of theirs" in said
    assert "statements: 1" in said
    key.write_text(run(container, "keys", "public"))
    shown = run(None, "receipt", "verify", str(receipt), "--public-key", str(key))
    assert "The signature is right" in shown
    assert "case: c-1" in shown
    listed = run(container, "receipt", "list")
    id = orjson.loads(receipt.read_bytes())["content"]["erasure"]
    assert id in listed and "done" in listed
    run(container, "receipt", "write", id, str(tmp_path / "again.json"))
    assert (tmp_path / "again.json").read_bytes() == receipt.read_bytes()
    receipt.write_bytes(receipt.read_bytes().replace(b'"statements": 1', b'"statements": 0'))
    with pytest.raises(SignatureRefused, match="altered"):
        run(None, "receipt", "verify", str(receipt), "--public-key", str(key))


def test_nothing_happens_without_a_yes(container: Container) -> None:
    send(container, named("lea"))
    assert "Aborted" in run(container, "person", "erase", "--account", HOME, "lea", typed="n\n")
    assert container.people.finder.places(person("lea")).own == 1
    assert container.people.erasures.newest() == []


def test_without_waiting_the_job_does_the_rest(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"))
    assert "does the rest" in run(container, "person", "erase", "--account", HOME, "lea", "--yes", "--no-wait")
    (started,) = container.people.erasures.newest()
    assert started.phase == "forgetting"
    job = next(job for job in container.jobs if job.name == "erasure")

    class Lease:
        fence = 1

        def check(self) -> None:
            return

    done = job.run(Lease())  # type: ignore[arg-type]
    assert done == {"finished": 1, "left": 0, "deletions": 0, "activities_ended": 0}
    assert container.people.erasures.get(started.id).phase == "done"


def test_a_receipt_is_never_overwritten(container: Container, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("{}")
    with pytest.raises(FileRefused):
        run(container, "person", "erase", "--account", HOME, "lea", "--yes", "--receipt", str(tmp_path / "there.json"))
    assert container.people.erasures.newest() == []


def test_the_public_key_stays_the_same(container: Container) -> None:
    assert run(container, "keys", "public") == run(Container(container.settings), "keys", "public")
    with pytest.raises(click.ClickException):
        cli.commands["person"].main(["find", "--agents"], standalone_mode=False, obj=container)
