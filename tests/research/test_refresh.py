"""The job: exactly once, whatever stops it; versions side by side; keys destroyed in time."""

from __future__ import annotations

import orjson
import pytest

from app.core.errors import BadCursor, BadParameter, DefinitionInvalid, LeaseLost, NotFound
from app.research import refresh
from app.research.aggregates import Query
from app.research.definitions import load_all, parse
from tests.research.counted import totals
from tests.research.statements import STORED, class_of, plain


def rows(aggregates, name="daily_activity", **asked):
    return aggregates.query(Query(name, **asked)).rows


def counted(repository):
    """The counts, shown or not: statements and learners by day."""
    return {str(row["period"]): (row["statements"], row["learners"]) for row in totals(repository)}


@pytest.fixture
def small_steps(monkeypatch):
    """Many partitions, commits and compactions with few statements."""
    monkeypatch.setattr(refresh, "PARTITION", 3)
    monkeypatch.setattr(refresh, "STEP", 3)
    monkeypatch.setattr(refresh, "FANOUT", 2)


def test_counts_and_hides(make, reader):
    aggregates = make()
    reader.store(*class_of(12), *class_of(5, 100, school="0752524L"), *class_of(13, 200, school="0920131T"))
    summary = aggregates.run()
    assert (summary.statements, summary.late) == (30, 0)
    found = {row["school"]: row for row in rows(aggregates, by=("school",))}
    assert found["0752524L"] == {
        "day": "2026-11-03",
        "school": "0752524L",
        "statements": None,
        "persons": None,
        "learners": None,
        "sessions": None,
        "hidden": True,
        "reason": "small-group",
    }
    assert found["0750654D"]["reason"] == "secondary"
    assert (found["0920131T"]["statements"], found["0920131T"]["learners"]) == (13, 13)
    assert rows(aggregates, by=())[0]["statements"] == 30


def test_gdpr_21_who_objects_is_out_of_the_next_run(make, reader):
    left_out: set[bytes] = set()
    aggregates = make(left_out=lambda: frozenset(left_out))
    first = class_of(12)
    reader.store(*first)
    aggregates.run()
    left_out |= {first[0].subject, first[1].subject}
    reader.store(*class_of(13, 100, timestamp="2026-11-04T09:00:00Z"))
    assert aggregates.run().statements == 11
    assert [row["statements"] for row in rows(aggregates, by=())] == [12, 11]


def test_a_learner_in_many_runs_counts_once(make, reader, small_steps):
    aggregates = make([item for item in load_all() if item.name == "daily_activity"])
    for start in range(100, 700, 100):
        reader.store(*class_of(11, start))
        aggregates.run()
    assert aggregates.run().statements == 0
    (row,) = rows(aggregates)
    assert (row["statements"], row["learners"]) == (66, 11)


def test_a_run_killed_between_commits_goes_on_exactly_once(make, reader, repository, small_steps, monkeypatch):
    aggregates = make()
    reader.store(*class_of(11), *class_of(11, 100))
    commit = type(repository).commit
    left = 10

    def dying(*args):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return commit(*args)

    for budget in (10, 5, 7):
        left = budget
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(type(repository), "commit", dying)
            make().run()
    make().run()
    (row,) = rows(aggregates)
    assert (row["statements"], row["learners"]) == (22, 11)
    (row,) = rows(aggregates, "outcomes")
    assert (row["attempts"], row["learners"], row["success_rate"]) == (22, 11, 1.0)


def test_a_lower_fence_is_refused_and_nothing_kept(make, reader):
    reader.store(*class_of(11))
    make().run(fence=5)
    reader.store(*class_of(11, 100))
    with pytest.raises(LeaseLost):
        make().run(fence=4)
    assert rows(make())[0]["statements"] == 11
    make().run(fence=6)
    assert rows(make())[0]["statements"] == 22


def test_two_runs_at_once_one_is_refused(repository, make, reader):
    reader.store(*class_of(11))
    make().run()
    state = repository.states()[0]
    repository.commit(state, 0, state.watermark, (), 0)
    with pytest.raises(LeaseLost):
        repository.commit(state, 0, STORED * 2, (), 0)


def test_changed_figures_need_a_new_version(make, reader):
    reader.store(*class_of(11))
    make().run()
    with pytest.raises(DefinitionInvalid, match="new version"):
        make([changed(version=2)]).run()


def changed(version: int):
    content = orjson.loads(next(item for item in load_all() if item.name == "daily_activity").document)
    content["version"] = version
    content["filters"].append({"column": "school", "in": ["0750654D"]})
    return parse(orjson.dumps(content))


def test_a_new_version_is_served_once_complete(make, reader, repository, small_steps, monkeypatch):
    reader.store(*class_of(12), *class_of(13, 100, school="0752524L"))
    make().run()
    newer = make([changed(version=3), *(item for item in load_all() if item.name != "daily_activity")])
    assert newer.served("daily_activity")[0].version == 2
    reader.store(*class_of(12, 200))
    newer.run()
    answer = newer.query(Query("daily_activity"))
    assert answer.definition.version == 3
    assert [(row["statements"], row["learners"]) for row in answer.rows] == [(24, 12)]
    (row,) = rows(newer, "outcomes")
    assert row["attempts"] == 37
    assert "daily_activity@2" not in {state.id for state in repository.states()}
    assert repository.names("daily_activity@2") == []


def test_parts_are_compacted(make, reader, repository, small_steps):
    reader.store(*class_of(40))
    make().run()
    parts = [part for part in repository.names("daily_activity@2") if not part.table.startswith(refresh.SHOWN)]
    assert min(part.first for part in parts) == STORED + 1
    levels = [part.level for part in parts]
    assert max(levels) >= 2
    assert len(levels) <= 3 * 2 * (max(levels) + 1)


def test_nothing_personal_is_readable_in_the_database(make, reader, store):
    reader.store(*class_of(12, session="9a3e5b1c-0000-4000-8000-000000000001"))
    make().run()
    for name in ("aggregate_parts", "aggregate_state"):
        for document in store.collection(name).find({}):
            blob = repr(document)
            assert "exercices.example" not in blob
            assert "0750654D" not in blob
            assert "9a3e5b1c" not in blob


def test_a_month_is_settled_when_its_keys_have_been_kept_long_enough(make, reader, repository):
    def old_class(pupils, start, day="15"):
        return class_of(pupils, start, timestamp=f"2024-01-{day}T09:00:00Z")

    reader.store(*old_class(12, 1), *old_class(3, 50, "16"))
    assert make().run().settled == 0
    # The second piece of an import of old traces: counted, and each learner once.
    reader.store(*old_class(12, 100))
    summary = make().run()
    assert (summary.settled, summary.late) == (0, 0)
    shown = rows(make(), by=("school",))
    assert [(row["day"], row["statements"], row["learners"], row["hidden"]) for row in shown] == [
        ("2024-01-15", 24, 12, False),
        ("2024-01-16", None, None, True),
    ]
    reader.through = STORED + 1 + 390 * refresh.DAY
    assert make().run().settled == 0
    reader.through += 1
    assert make().run().settled == 2  # daily_activity and outcomes
    assert {part.table for part in repository.names("daily_activity@2")} == {refresh.CELLS}
    assert rows(make(), by=("school",)) == shown
    reader.store(*old_class(4, 200, "16"))
    reader.through = STORED + 2 + 390 * refresh.DAY
    assert make().run().late == 8
    assert rows(make(), by=("school",)) == shown


def test_each_months_time_runs_by_itself(make, reader, repository):
    reader.store(*class_of(12, timestamp="2024-01-15T09:00:00Z"))
    make().run()
    reader.store(*[item._replace(stored=STORED + 100 * refresh.DAY) for item in class_of(12, 100)])
    make().run()
    reader.through = STORED + 450 * refresh.DAY
    assert make().run().settled == 2
    tables = {(part.bucket, part.table) for part in repository.names("outcomes@2")}
    counted = {("2026-11", "sums"), ("2026-11", "learner")}
    shown = {(month, refresh.SHOWN + table) for month, table in counted}
    assert tables == {("2024-01", refresh.CELLS)} | counted | shown


def test_pages_visit_each_row_once(make, reader):
    aggregates = make()
    for day in range(1, 10):
        for school in ("0750654D", "0752524L"):
            reader.store(
                *class_of(11, day * 1000 + len(school + str(day)), timestamp=f"2026-1{day % 2}-0{day}T09:00:00Z")
            )
    reader.store(*class_of(11, 50_000, school="0752524L"))
    aggregates.run()
    whole = rows(aggregates)
    seen, cursor = [], None
    while True:
        answer = aggregates.query(Query("daily_activity", limit=2, cursor=cursor))
        assert len(answer.rows) <= 2
        seen += answer.rows
        cursor = answer.next
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) == 10


def test_questions_that_are_not_understood(make, reader):
    aggregates = make()
    reader.store(*class_of(11), *class_of(11, 100, timestamp="2026-11-04T09:00:00Z"))
    aggregates.run()
    cursor = aggregates.query(Query("daily_activity", limit=1)).next
    assert cursor
    with pytest.raises(BadCursor):
        aggregates.query(Query("daily_activity", limit=1, by=(), cursor=cursor))
    for wrong in ("", "a", "é", cursor[:-2], cursor[:-3] + "AAA"):
        with pytest.raises(BadCursor):
            aggregates.query(Query("daily_activity", limit=1, cursor=wrong))
    with pytest.raises(NotFound):
        aggregates.query(Query("nothing"))
    with pytest.raises(BadParameter):
        aggregates.query(Query("daily_activity", by=("colour",)))


def test_filters_give_what_the_rollup_gives(make, reader):
    aggregates = make()
    reader.store(*class_of(12), *class_of(13, 100, school="0752524L"), *class_of(14, 200, school=None))
    aggregates.run()
    whole = rows(aggregates, by=("school",))
    assert rows(aggregates, by=(), where=(("school", "0752524L"),)) == [
        row for row in whole if row["school"] == "0752524L"
    ]
    assert rows(aggregates, by=(), where=(("school", ""),)) == [row for row in whole if row["school"] is None]
    assert rows(aggregates, by=("school",), where=(("school", "nowhere"),)) == []


# --- a learner who was erased -----------------------------------------------------------------------


def erased(reader, number):
    """Take a learner's statements away; their subject token."""
    learner = str(number).encode().ljust(16)
    reader.statements = [item for item in reader.statements if item.subject != learner]
    return learner


def going(learner):
    """The one who goes."""
    return lambda: [[learner]]


def test_a_month_is_counted_again_without_a_learner(make, reader, repository, small_steps):
    aggregates = make()
    reader.store(*class_of(13), *class_of(13, 100, timestamp="2026-10-05T09:00:00Z"), *class_of(1, 200))
    aggregates.run()
    aggregates.run()
    done = aggregates.recount(going(erased(reader, 12)), 0)
    assert {month for _, month in done.recounted} == {"2026-10", "2026-11"}
    assert done.published == ()
    assert counted(repository) == {"2026-10-05": (12, 12), "2026-11-03": (13, 12)}
    # As if it had been counted without them from the beginning.
    reader.store(*class_of(1, 300))
    assert aggregates.run().statements == 1
    assert aggregates.recount(going(erased(reader, 12)), 0).recounted == ()


def test_other_months_and_aggregates_are_left_alone(make, reader, repository):
    aggregates = make()
    reader.store(*class_of(12), plain(50, learner=99, timestamp="2026-10-05T09:00:00Z"))
    aggregates.run()
    before = {
        part.id for state in repository.states() for part in repository.names(state.id) if part.bucket == "2026-11"
    }
    done = aggregates.recount(going(erased(reader, 99)), 0)
    assert {month for _, month in done.recounted} == {"2026-10"}
    after = {
        part.id for state in repository.states() for part in repository.names(state.id) if part.bucket == "2026-11"
    }
    assert after == before
    # Of the month that counted them alone nothing is counted any more.
    assert counted(repository) == {"2026-11-03": (12, 12)}


def test_a_month_whose_statements_are_partly_gone_stays_as_published_without_the_pseudonym(make, reader, repository):
    aggregates = make()
    reader.store(*class_of(13))
    aggregates.run()
    before = rows(aggregates)
    learner = erased(reader, 12)
    noted = []
    done = aggregates.recount(going(learner), STORED + 5, note=lambda person, months: noted.append(months))
    assert done.recounted == ()
    assert {month for _, month in done.published} == {"2026-11"}
    assert tuple(pair for each in noted for pair in each.published) == done.published
    assert rows(aggregates) == before
    assert aggregates.recount(going(learner), STORED + 5).published == ()


def test_a_settled_month_is_listed(make, reader):
    aggregates = make()
    reader.store(*class_of(12))
    aggregates.run()
    reader.through = STORED + 400 * refresh.DAY
    aggregates.run()
    done = aggregates.recount(going(erased(reader, 3)), 0)
    assert done.recounted == ()
    assert {month for _, month in done.published} == {"2026-11"}


def test_a_refresh_that_commits_meanwhile_is_seen(make, reader, repository, monkeypatch):
    aggregates = make()
    reader.store(*class_of(13))
    aggregates.run()
    learner = erased(reader, 12)
    replace = type(repository).replace
    raced = []

    def late(*given, **named):
        if not raced:
            raced.append(1)
            reader.store(*class_of(2, 500))
            make().run()
        return replace(*given, **named)

    monkeypatch.setattr(type(repository), "replace", late)
    aggregates.recount(going(learner), 0)
    assert counted(repository) == {"2026-11-03": (14, 12)}


def test_of_several_people_each_is_told_the_months_that_counted_them(make, reader, repository, small_steps):
    aggregates = make()
    reader.store(*class_of(13), *class_of(5, 100, timestamp="2026-10-05T09:00:00Z"))
    aggregates.run()
    people = [[erased(reader, 12)], [erased(reader, 3)], [erased(reader, 77)]]
    noted = {}
    aggregates.recount(
        lambda: people, 0, note=lambda person, months: noted.setdefault(person, set()).update(months.recounted)
    )
    assert {person: {month for _, month in months} for person, months in noted.items()} == {
        0: {"2026-11"},
        1: {"2026-10", "2026-11"},
    }
    assert counted(repository)["2026-11-03"] == (11, 11)


def test_two_whose_pseudonyms_are_replaced_are_still_two(make, reader):
    aggregates = make()
    reader.store(*class_of(13))
    aggregates.run()
    before = rows(aggregates)
    people = [[erased(reader, 12), erased(reader, 11)], [erased(reader, 10)]]
    aggregates.recount(lambda: people, STORED + 5)
    assert rows(aggregates) == before
