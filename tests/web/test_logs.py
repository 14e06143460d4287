"""Lines of the log: those of answers are as all others; what can't be written shows nothing."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator

import orjson
import pytest
import structlog
from flask import Flask

from app.web import logs


@pytest.fixture
def logging_left_alone() -> Iterator[None]:
    """Put back what configuring changes for the whole process."""
    root = logging.getLogger()
    handlers, level, raising = root.handlers, root.level, logging.raiseExceptions
    yield
    root.handlers, logging.raiseExceptions = handlers, raising
    root.setLevel(level)


@pytest.mark.usefixtures("logging_left_alone")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_that_cannot_be_written_shows_nothing_of_the_error_in_hand(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, shown = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", away)
        logging.raiseExceptions = True
        logs.configure("info", form)
        away.close()
        patched.setattr(sys, "stderr", shown)
        try:
            raise KeyError("Zoé Durand")
        except KeyError:
            logging.getLogger("sillage").warning("some metrics are not known")
    assert shown.getvalue() == ""


def written(form: str, level: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The line of an answer, and one of another event within its request that says the same."""
    shown = io.StringIO()
    app = Flask("logs")
    observed: list[tuple[str, str, int, float]] = []
    logs.install(app, lambda *told: observed.append(told), quiet=frozenset({"quiet"}))

    @app.get("/lines/<name>")
    def lines(name: str) -> str:
        structlog.stdlib.get_logger("sillage.access").info(
            "request", method="GET", route="/lines/<name>", status=200, bytes=2, ms=0.5
        )
        return "ok"

    @app.get("/quiet")
    def quiet() -> str:
        return "ok"

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", shown)
        logs.configure(level, form)
        client = app.test_client()
        client.get("/lines/a", headers={"X-Request-ID": "drill-0001"})
        client.get("/quiet", headers={"X-Request-ID": "drill-0002"})
    assert [told[:3] for told in observed] == [("/lines/<name>", "GET", 200), ("/quiet", "GET", 200)]
    return shown.getvalue().splitlines()


@pytest.mark.usefixtures("logging_left_alone")
def test_the_line_of_an_answer_is_as_every_other_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    of_others, of_answer = map(orjson.loads, written("json", "info", monkeypatch))
    for line in (of_others, of_answer):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", line.pop("timestamp"))
        assert isinstance(line.pop("ms"), float)
    assert of_answer == of_others
    assert of_answer["request"] == "drill-0001"

    of_others, of_answer = (re.sub(r"\S*\d[.:]\d\S*", "", line) for line in written("console", "info", monkeypatch))
    assert sorted(of_answer.split()) == sorted(of_others.split())


@pytest.mark.usefixtures("logging_left_alone")
def test_answers_are_not_written_below_their_level(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("json", "warning", monkeypatch) == []
    assert [orjson.loads(line)["request"] for line in written("json", "debug", monkeypatch)][-1] == "drill-0002"
