"""Lines of the log that can't be written."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

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
