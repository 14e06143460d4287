"""Voided, rectified and deleted statements do not go on counting (GDPR art. 5(1)(d), 16), on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import orjson
import pytest

from app.people.finding.finder import data_subject_of
from app.research.aggregates import Query
from app.research.store import AggregateRepository
from app.settings import Settings
from app.standards.xapi.versions import Version
from app.wiring.container import Container
from tests.research.counted import refreshed, totals
from tests.served import statement
from tests.stores import with_tutor

ANSWERED = "http://adlnet.gov/expapi/verbs/answered"
VOIDED = "http://adlnet.gov/expapi/verbs/voided"
MONTH = "2026-03"


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name, minimum_group=3) as made:
        made.lifecycle.start()
        yield made


def attempt(learner: int, success: bool) -> dict[str, object]:
    return statement(
        id=str(uuid4()),
        actor={"account": {"homePage": "https://ent.example", "name": f"learner-{learner}"}},
        verb={"id": ANSWERED},
        object={"id": "https://exercices.example/1"},
        timestamp=f"{MONTH}-10T09:00:00Z",
        result={"success": success},
    )


def stored(container: Container, *statements: dict[str, object]) -> list[UUID]:
    source = container.access.sources_repository.get("tutor")
    assert source is not None
    return list(container.traces.recorder.record(orjson.dumps(statements), source, Version.V1).ids)


def counted(container: Container) -> tuple[int, int, float]:
    """Attempts, learners and share of successes, as counted, whether shown or not."""
    (row,) = totals(AggregateRepository(container.platform.store, container.keys.organisation), "outcomes")
    return row["attempts"], row["persons"], row["success_rate"]


def shown(container: Container) -> list[dict[str, object]]:
    return list(container.research.aggregates.query(Query("outcomes")).rows)


def test_gdpr_16_wrong_and_right_are_not_counted_together(container: Container) -> None:
    ids = stored(container, *(attempt(learner, learner < 9) for learner in range(16)))
    refreshed(container)
    before = shown(container)
    assert counted(container) == (16, 16, 9 / 16)
    right = attempt(0, False)
    del right["id"]
    container.people.rectification.rectify(ids[0], orjson.dumps(right), actor="cli:test")
    assert refreshed(container).corrected == 2  # daily_activity and outcomes
    assert counted(container) == (16, 16, 8 / 16)
    # One pupil's rectification is not to be read from the difference.
    assert shown(container) == before
    assert refreshed(container).corrected == 0


def test_what_is_voided_late_counts_no_more(container: Container) -> None:
    ids = stored(container, *(attempt(learner, True) for learner in range(8)))
    refreshed(container)
    stored(
        container,
        *(statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": str(id)}) for id in ids[:3]),
    )
    refreshed(container)
    assert counted(container) == (5, 5, 1.0)
    # Enough have changed for all to see it.
    assert [(row["attempts"], row["persons"]) for row in shown(container)] == [(5, 5)]


def test_what_is_voided_before_it_is_counted_never_counts(container: Container) -> None:
    refreshed(container)
    ids = stored(container, *(attempt(learner, True) for learner in range(8)))
    stored(container, statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": str(ids[0])}))
    refreshed(container)
    assert counted(container) == (7, 7, 1.0)
    assert [row["attempts"] for row in shown(container)] == [7]


def test_months_that_a_deletion_notes_are_counted_again(container: Container) -> None:
    ids = stored(container, *(attempt(learner, True) for learner in range(8)))
    refreshed(container)
    repository = AggregateRepository(container.platform.store, container.keys.organisation)
    repository.note_correction([MONTH, "2020-01"])
    container.platform.store.collection("statements").delete_many({"_id": {"$in": ids[:3]}})
    assert refreshed(container).corrected == 2
    assert counted(container) == (5, 5, 1.0)
    assert repository.corrections().notes == ()


def test_gdpr_17_answers_and_packages_before_and_after_an_erasure_are_the_same(container: Container) -> None:
    stored(container, *(attempt(learner, learner < 9) for learner in range(16)))
    refreshed(container)
    before = shown(container)
    package = container.research.exports.run(actor="cli:test")
    agent = {"account": {"homePage": "https://ent.example", "name": "learner-0"}}
    container.people.erasures.advance(container.people.erasures.erase(data_subject_of([agent]), actor="cli:test").id)
    refreshed(container)
    assert counted(container)[:2] == (15, 15)
    assert shown(container) == before
    after = container.research.exports.run(actor="cli:test")
    tables = [sorted(each.path.glob("data/*.csv")) for each in (package, after)]
    assert [file.read_bytes() for file in tables[0]] == [file.read_bytes() for file in tables[1]] != []


def test_a_month_of_which_enough_took_out_all_is_shown_no_more(container: Container) -> None:
    ids = stored(container, *(attempt(learner, True) for learner in range(8)))
    refreshed(container)
    assert [row["attempts"] for row in shown(container)] == [8]
    stored(
        container,
        *(statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": str(id)}) for id in ids),
    )
    refreshed(container)
    assert shown(container) == []
    # What comes for it later is shown as for the first time.
    stored(container, *(attempt(learner, True) for learner in range(20, 25)))
    refreshed(container)
    assert [row["attempts"] for row in shown(container)] == [5]
