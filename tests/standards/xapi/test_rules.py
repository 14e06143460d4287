"""The quick look at a statement that breaks no rule, held to the rules one by one."""

from __future__ import annotations

import gzip
import itertools
from typing import Any

import orjson
import pytest

from app.core.lossless import Digits
from app.standards.xapi.rules import broken, unbroken
from app.standards.xapi.versions import SUPPORTED
from tests.places import ROOT, SHARED
from tests.served import statement

DATA = SHARED / "data"
EXAMPLES = ROOT / "tests" / "standards" / "profiles" / "examples"
TWICE = {"interactionType": "choice", "choices": [{"id": "a"}, {"id": "a"}]}
ONCE = {"interactionType": "choice", "choices": [{"id": "a"}, {"id": "b"}]}
SIGNATURE = "http://adlnet.gov/expapi/attachments/signature"

# Of each property that a rule looks at: it is not there, it is right, it is wrong.
TIMES = [None, "2026-11-22T10:00:00Z", "2026-02-30T10:00:00Z", "2026-11-22T10:00:00-00:00", "2026-12-31T23:59:60Z"]
SCORES = [
    *(None, {}, {"raw": 3}, {"scaled": 0.5, "raw": -1}, {"min": 0, "max": 1, "raw": 2}, {"min": 2, "max": 1}),
    *({"min": 0, "raw": -1}, {"max": Digits("1" * 30), "raw": Digits("2" * 30)}, {"min": 0, "max": 1, "raw": 1}),
]
DEFINITIONS = [None, {}, {"type": "https://ent.example/type"}, ONCE, TWICE]
ATTACHMENTS = [None, [], [{"usageType": "https://ent.example/u", "fileUrl": "https://ent.example/f"}],
               [{"usageType": "https://ent.example/u"}],
               [{"usageType": SIGNATURE, "contentType": "text/plain"}]]  # fmt: skip


def made(time: Any, score: Any, definition: Any, related: Any, attachments: Any) -> dict[str, Any]:
    one = statement()
    given = {"timestamp": time, "attachments": attachments}
    one |= {name: part for name, part in given.items() if part is not None}
    if score is not None:
        one["result"] = {"score": score}
    if definition is not None:
        one["object"]["definition"] = definition
    if related is not None:
        one["context"] = {"contextActivities": related}
    return one


def related() -> list[Any]:
    activities = [{"id": "https://ent.example/a", "definition": each} for each in DEFINITIONS if each is not None]
    return [None, {}, {"other": []}, *({"parent": each} for each in activities),
            *({"grouping": [activities[0], each]} for each in activities)]  # fmt: skip


def both(one: dict[str, Any]) -> tuple[bool, bool]:
    """True for one that is let through quickly, and for one that breaks a rule."""
    breaks = [bool(broken(one, version, "", data_follow=follow)) for version in SUPPORTED for follow in (False, True)]
    return unbroken(one), any(breaks)


def test_what_is_let_through_breaks_no_rule() -> None:
    passed = 0
    for parts in itertools.product(TIMES, SCORES, DEFINITIONS, related(), ATTACHMENTS):
        one = made(*parts)
        inner = {**statement(), "object": {"objectType": "SubStatement", **one}}
        for each in (one, inner, {**one, "stored": "2026-02-30T10:00:00Z"}):
            passes, breaks = both(each)
            assert not (passes and breaks), each
            passed += passes
    assert passed > 200


def test_the_examples_of_our_profiles_are_let_through() -> None:
    documents = [orjson.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))]
    valid = [each.get("statement", each) for one in documents for each in one["valid"]]
    assert [both(each) for each in valid] == [(True, False)] * len(valid)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside this checkout")
def test_real_statements_are_let_through() -> None:
    with gzip.open(DATA / "fun-video-statements.jsonl.gz") as lines:
        assert {both(orjson.loads(line)) for line in lines} == {(True, False)}
