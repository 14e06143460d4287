"""The two statements of a rectification, and their links."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.standards.xapi.identifiers import keys_of
from app.standards.xapi.rectification import ACTOR, RECTIFIED_BY, RECTIFIES, rectifying, voiding
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from tests.served import statement

WRONG, RIGHT, VOIDING = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.mark.parametrize("version", list(Version))
def test_each_says_the_other_and_both_keep_the_standard(version: Version) -> None:
    context = {"platform": "ENT", "extensions": {"https://ent.example/x": 1}}
    right = rectifying(statement(context=context), RIGHT, WRONG)
    void = voiding(VOIDING, WRONG, RIGHT, "https://store.example")
    validate([right, void], version, many=True)
    assert right["context"] == {"platform": "ENT", "extensions": {"https://ent.example/x": 1, RECTIFIES: str(WRONG)}}
    assert void["context"]["extensions"] == {RECTIFIED_BY: str(RIGHT)}
    assert keys_of(void).voids == WRONG
    assert void["actor"]["account"]["name"] == ACTOR
    assert context == {"platform": "ENT", "extensions": {"https://ent.example/x": 1}}
