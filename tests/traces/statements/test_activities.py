"""Activity definitions: the last words stand, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest

from app.core import clock
from app.crypto.keys import OrganisationKeys
from app.platform.mongo.connection import Store
from app.traces.statements import activities
from app.traces.statements.activities import MAX_BYTES, Activities
from app.traces.statements.activity_store import Defined, DefinitionRepository
from tests.served import statement

ID = "https://ent.example/lessons/1"


@pytest.fixture
def worker(store: Store, vault: OrganisationKeys) -> Iterator[Any]:
    """Makes one more process that learns into the same store."""
    return lambda: Activities(DefinitionRepository(store), vault)


def _named(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [statement(object={"id": ID, "definition": {"name": {"fr": name}, **more}}) for name in names]


def _name(known: Activities) -> str:
    return str(dict(known.definitions([ID]))[ID]["name"]["fr"])


@pytest.mark.parametrize("together", [True, False])
def test_the_last_one_seen_stands(worker: Any, together: bool) -> None:
    one = worker()
    for batch in [_named("Alpha", "Beta", "Alpha")] if together else map(_named, ("Alpha", "Beta", "Alpha")):
        one.learn(batch)
    assert _name(one) == "Alpha"


def test_what_another_process_learnt_gives_way_after_a_minute(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = worker(), worker()
    one.learn(_named("Alpha"))
    other.learn(_named("Beta"))
    now = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: now + 59)
    one.learn(_named("Alpha"))
    assert _name(one) == "Beta"
    monkeypatch.setattr(clock, "steady", lambda: now + 61)
    one.learn(_named("Alpha"))
    assert _name(one) == "Alpha"


def test_the_same_words_again_cost_no_query(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    one.learn(_named("Alpha"))
    asked: list[object] = []
    monkeypatch.setattr(DefinitionRepository, "existing", lambda _, ids: asked.append(ids) or {})
    one.learn(_named("Alpha", "Alpha"))
    assert not asked
    one.learn(_named("Beta"))
    assert asked


def test_extensions_do_not_pile_up(worker: Any) -> None:
    one = worker()
    for number in range(3):
        one.learn(_named("Alpha", extensions={f"https://ent.example/{number}": number}))
    assert list(one.definitions([ID])) == [(ID, {"name": {"fr": "Alpha"}, "extensions": {"https://ent.example/2": 2}})]


def test_a_definition_does_not_grow_beyond_its_bound(worker: Any) -> None:
    one = worker()
    for tag in range(100):
        one.learn(_named("Alpha", description={f"fr-x-{tag}": "d" * 1_000}))
    ((_, known),) = one.definitions([ID])
    assert 50_000 < len(orjson.dumps(known)) <= MAX_BYTES
    one.learn(_named("Beta"))
    one.learn(_named("Gamma", description={"fr": "d" * MAX_BYTES}))
    assert list(one.definitions([ID])) == [(ID, {**known, "name": {"fr": "Beta"}})]


def test_definitions_come_in_the_order_asked_and_no_more_is_looked_up_than_is_taken(
    worker: Any, store: Store, vault: OrganisationKeys
) -> None:
    names = [f"{ID}/{number}" for number in range(3 * activities.AT_ONCE)]
    worker().learn([statement(object={"id": each, "definition": {"name": {"fr": each}}}) for each in names])
    asked: list[int] = []

    class Counting(DefinitionRepository):
        def existing(self, tokens: Iterable[bytes]) -> dict[bytes, Defined]:
            asked.append(len(sought := list(tokens)))
            return super().existing(sought)

    known = Activities(Counting(store), vault)
    backwards = ["https://ent.example/none", *reversed(names), *names]
    assert [id for id, _ in known.definitions(backwards)] == names[::-1]
    assert sum(asked) == len(names) + 1
    asked.clear()
    assert next(known.definitions(backwards))[0] == names[-1]
    assert sum(asked) == activities.AT_ONCE
