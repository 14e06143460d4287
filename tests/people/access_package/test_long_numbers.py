"""Statements that are written anew for the rights of persons keep numbers that 64 bits do not hold, digit by digit."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import orjson
import pytest

from app.core.lossless import Digits
from app.research.facts import extract
from app.standards.profiles.terms import ATTEMPT, HINTS
from app.standards.xapi.versions import Version
from app.traces.statements.referred import Referred
from app.traces.statements.store import Plain
from app.wiring.container import Container
from tests.people.people import SOURCE, container, mentions, named, person
from tests.served import statement

__all__ = ("container",)

LONG = "12345678901234567890123456789"
EXTENSION = "https://ent.example/x"
EXPECTED = f'"{EXTENSION}":[{LONG},1e400]'


def send(container: Container, *statements: dict[str, Any]) -> list[UUID]:
    given = [{**each, "result": {"extensions": {EXTENSION: ["@", "#"]}}} for each in statements]
    body = orjson.dumps(given).replace(b'"@"', LONG.encode()).replace(b'"#"', b"1e400")
    return list(container.traces.recorder.record(body, SOURCE, Version.V2).ids)


def body(container: Container, id: UUID) -> str:
    (plain,) = container.traces.reader.decrypted(container.traces.statements.some([id]))
    return plain.body.decode()


@pytest.mark.parametrize("place", ["instructor", "member of the actor", "substatement", "object"])
def test_a_redacted_statement_has_its_digits(container: Container, place: str) -> None:
    (id,) = send(container, mentions("pupil-gone")[place])
    started = container.people.erasures.erase(person("pupil-gone"), actor="cli:test")
    container.people.erasures.advance(started.id)
    reported = body(container, id)
    assert EXPECTED in reported and "pupil-gone" not in reported


def test_a_package_of_access_has_their_digits(container: Container) -> None:
    instructor = {"objectType": "Agent", "mbox": "mailto:other@ent.example"}
    send(container, named("own", context={"instructor": instructor}), named("own"), mentions("own")["object"])
    content = b"".join(container.people.packages.write(person("own"), actor="cli:test"))
    with ZipFile(io.BytesIO(content)) as package:
        texts = {name: package.read(name).decode() for name in package.namelist() if name.startswith("statements/")}
    assert sum(text.count(EXPECTED) for text in texts.values()) == 3
    assert "mailto:other" not in "".join(texts.values())


def test_the_summary_of_a_package_says_a_score_of_many_digits(container: Container) -> None:
    written = orjson.dumps(named("own", result={"score": {"raw": "@"}})).replace(b'"@"', LONG.encode())
    container.traces.recorder.record(written, SOURCE, Version.V2)
    content = b"".join(container.people.packages.write(person("own"), actor="cli:test"))
    with ZipFile(io.BytesIO(content)) as package:
        pages = [package.read(name).decode() for name in package.namelist() if name.endswith(".html")]
    assert any(LONG in page for page in pages)


def test_they_become_facts_and_are_referred_to_like_others(container: Container) -> None:
    (id,) = send(container, statement(timestamp="2026-09-07T08:15:00Z"))
    (plain,) = container.traces.reader.decrypted(container.traces.statements.some([id]))
    assert extract([plain], "UTC")["verb"].to_list() == [statement()["verb"]["id"]]
    (found,) = Referred(container.traces).find(SOURCE.id, [id]).values()
    assert found["result"]["extensions"] == {EXTENSION: [Digits(LONG), Digits("1e400")]}


@pytest.mark.parametrize("number", [LONG, "1e400", "-1e400", "7" * 5_000])
def test_a_count_that_is_none_says_nothing_and_its_batch_is_counted(number: str) -> None:
    # xAPI-Data 4.1: these extensions hold whatever was sent.
    def plain(hints: str, attempt: str) -> Plain:
        said = orjson.dumps(statement(timestamp="2026-09-07T08:15:00Z", result={"extensions": {HINTS: "@"}}))
        return Plain(uuid4(), 1, "tutor", b"subject", said.replace(b'"@"', f'{hints},"{ATTEMPT}":{attempt}'.encode()))

    facts = extract([plain("3", "1"), plain(number, "1"), plain("4", number)], "UTC")
    assert facts["hints"].to_list() == [3, None, 4]
    assert facts["attempt"].to_list() == [1, 1, None]
