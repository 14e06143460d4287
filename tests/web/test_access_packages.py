"""Subject access exports over real HTTP, two workers: who may, what is answered, what is on record."""

from __future__ import annotations

import io
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile, ZipFile

import orjson
import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from app.web.subject_access import ExportAnswers
from app.wiring.web_application import create_app
from tests.served import Server, statement

PATH = "/api/v1/persons/access"


@pytest.fixture(scope="module")
def dpo(server: Server) -> NewCredential:
    return server.credential(scopes.RIGHTS)


@pytest.fixture
def pupil() -> dict[str, Any]:
    return {"account": {"homePage": "https://ent.example", "name": f"pupil-{uuid4().hex}"}}


def ask(server: Server, credential: NewCredential | None, body: Any, **options: Any) -> Any:
    return server.send("POST", PATH, credential, version=None, json=body, **options)


def test_a_zip_of_everything_comes_as_it_is_read(server: Server, dpo: NewCredential, pupil: dict[str, Any]) -> None:
    source = server.source()
    (id,) = server.post(source, statement(actor=pupil)).json()
    answer = ask(server, dpo, {"agents": [pupil]})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Content-Length" not in answer.headers
    with ZipFile(io.BytesIO(answer.content)) as package:
        assert package.testzip() is None
        assert [one["id"] for one in orjson.loads(package.read("statements/own-00001.json"))] == [id]


def test_nothing_held_is_an_answer(server: Server, dpo: NewCredential, pupil: dict[str, Any]) -> None:
    answer = ask(server, dpo, {"agents": [pupil]})
    assert answer.status_code == 200
    with ZipFile(io.BytesIO(answer.content)) as package:
        assert orjson.loads(package.read("about.json"))["empty"] is True


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad-request"),
        ([], 400, "bad-request"),
        ({"agents": []}, 400, "bad-request"),
        ({"agents": [{"name": "Paul Untel"}]}, 400, "bad-request"),
        ({"agents": [{"mbox": "paul.untel"}]}, 400, "bad-request"),
        ({"agents": [{"objectType": "Group", "member": [{"mbox": "mailto:paul.untel@x.fr"}]}]}, 400, "bad-request"),
        ({"agents": [{"mbox": "mailto:paul.untel@x.fr"}], "who": "Paul Untel"}, 400, "bad-request"),
        ({"agents": [{"mbox": "mailto:paul.untel@x.fr"}], "case": "r-000000000000"}, 404, "not-found"),
    ],
)
def test_a_question_that_is_not_valid_says_why_and_repeats_nothing(
    server: Server, dpo: NewCredential, body: Any, status: int, code: str
) -> None:
    answer = ask(server, dpo, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "ntel" not in answer.text


def test_a_body_that_is_not_json_is_refused(server: Server, dpo: NewCredential) -> None:
    answer = server.send("POST", PATH, dpo, version=None, data=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-json")


def test_the_person_does_not_stand_in_the_log(server: Server, dpo: NewCredential, pupil: dict[str, Any]) -> None:
    server.post(server.source(), statement(actor=pupil))
    ask(server, dpo, {"agents": [pupil]})
    assert pupil["account"]["name"] not in server.log.read_text()


def test_one_that_is_cut_off_does_not_open(server: Server, dpo: NewCredential, pupil: dict[str, Any]) -> None:
    server.post(server.source(), statement(actor=pupil))
    whole = ask(server, dpo, {"agents": [pupil]}).content
    with pytest.raises(BadZipFile):
        ZipFile(io.BytesIO(whole[:-100]))


def test_the_api_and_pages_share_the_places_of_a_process(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pools: list[ExportAnswers] = []
    real = ExportAnswers.__init__
    monkeypatch.setattr(ExportAnswers, "__init__", lambda self, *given: pools.append(self) or real(self, *given))
    app = create_app(server.settings)
    app.extensions["sillage"].close()
    assert len(pools) == 1
