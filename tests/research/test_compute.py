"""Partial states: any split and any order give what one pass gives."""

from __future__ import annotations

import hashlib
import tracemalloc
from datetime import date
from uuid import UUID

import orjson
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from app.research.compute import Plan, finalise, first_stored, merge, partial
from app.research.definitions import load_all
from app.research.facts import duration_ms, extract, microseconds
from app.standards.profiles import terms
from app.traces.statements.store import Plain
from tests.research.statements import STORED

PLANS = [Plan(definition) for definition in load_all()]


def pseudonym(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def plain(number: int, **said: object) -> Plain:
    """A made-up statement with what the test says of it."""
    context = {
        "registration": said.get("session"),
        "extensions": {
            terms.SCHOOL: said.get("school", "0750654D"),
            terms.LEVEL: said.get("level", "1001000C11A"),
            terms.PERSON_PROFILE: said.get("profile", "ELEVE"),
            terms.SERVICE: said.get("service", "agenda"),
        },
    }
    statement = {
        "id": str(UUID(int=number)),
        "verb": {"id": said.get("verb", terms.ANSWERED)},
        "object": {"id": said.get("activity", "https://exercices.example/1")},
        "timestamp": said.get("timestamp", "2026-11-03T09:00:00Z"),
        "context": context,
        "result": {
            "success": said.get("success", True),
            "duration": said.get("duration", "PT10S"),
            "score": {"scaled": said.get("score", 0.5)},
        },
    }
    learner = hashlib.md5(str(said.get("learner", 0)).encode()).digest()
    return Plain(UUID(int=number), STORED + number, str(said.get("source", "p2ia")), learner, orjson.dumps(statement))


made_up = st.builds(
    dict,
    learner=st.integers(0, 5),
    session=st.sampled_from([None, "a", "b", "c"]),
    school=st.sampled_from(["0750654D", "0752524L", None, 12]),
    service=st.sampled_from(["agenda", None]),
    verb=st.sampled_from([terms.ANSWERED, terms.ACCESSED, terms.COMPLETED]),
    activity=st.sampled_from(["https://a.example/1", "https://a.example/2"]),
    success=st.sampled_from([True, False, None]),
    score=st.sampled_from([None, 0.1, 1 / 3, -1, 1]),
    duration=st.sampled_from([None, "PT1.25S", "PT1H", "P1Y"]),
    timestamp=st.sampled_from(["2026-10-31T23:30:00Z", "2026-11-01T09:00:00+01:00", "2026-11-30T09:00:00.5Z"]),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(made_up, min_size=1, max_size=25), st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_split_and_order_gives_the_same_cells(saids, random, parts):
    batch = [plain(number, **said) for number, said in enumerate(saids)]
    shuffled = random.sample(batch, len(batch))
    for plan in PLANS:
        names = plan.definition.dimension_names
        whole = partial(extract(batch, "Europe/Paris"), plan, pseudonym)
        pieces: dict = {}
        for start in range(parts):
            piece = shuffled[start::parts]
            if piece:
                for bucket, state in partial(extract(piece, "Europe/Paris"), plan, pseudonym).items():
                    pieces.setdefault(bucket, []).append(state)
        assert whole.keys() == pieces.keys()
        for bucket, state in whole.items():
            for by in (names, names[:1], ()):
                together = finalise(merge(plan, pieces[bucket]), plan, by)
                assert finalise(state, plan, by).equals(together)


def test_figures_of_outcomes():
    batch = [
        plain(1, learner=1, success=True, score=0.5, duration="PT10S"),
        plain(2, learner=1, success=False, score=None, duration=None),
        plain(3, learner=2, success=None, score=1, duration="PT20.5S"),
        plain(4, learner=3, verb=terms.REQUESTED_HINT),
    ]
    plan = next(plan for plan in PLANS if plan.definition.name == "outcomes")
    (state,) = partial(extract(batch, "Europe/Paris"), plan, pseudonym).values()
    (cell,) = finalise(state, plan, plan.definition.dimension_names).to_dicts()
    assert str(cell["period"]) == "2026-11-02"
    assert (cell["attempts"], cell["learners"], cell["success_rate"]) == (3, 2, 0.5)
    assert (cell["mean_score"], cell["total_duration"], cell["mean_duration"]) == (0.75, 30.5, 15.25)
    # One learner alone says whether he succeeded: that is the group behind the rate.
    assert cell["group"] == 1


def test_local_day_and_nomenclatures():
    facts = extract(
        [plain(1, timestamp="2026-10-31T23:30:00Z", school=12, profile="CHEF", level="x"), plain(2, school="A")],
        "Europe/Paris",
    )
    assert [str(day) for day in facts["day"]] == ["2026-11-01", "2026-11-03"]
    assert facts["school"].to_list() == [None, None]
    assert facts["person_profile"].to_list() == [None, "ELEVE"]
    assert facts["level"].to_list() == [None, "1001000C11A"]


def test_a_timestamp_that_is_unusable_or_later_than_stored_gives_way_to_stored():
    wrong = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2027-01-15T08:00:00.000004Z", "2016-12-31T23:59:60Z"]
    facts = extract([plain(number, timestamp=text) for number, text in enumerate(wrong)], "UTC")
    assert facts["time"].to_list() == facts["stored"].to_list() == [STORED + number for number in range(4)]
    (last,) = extract([plain(5, timestamp="2027-01-15T08:00:00.000004Z")], "UTC")["time"]
    assert last == STORED + 4


def test_first_stored_counts_only_what_the_definition_keeps():
    plan = next(plan for plan in PLANS if plan.definition.name == "outcomes")
    batch = [plain(1, verb=terms.REQUESTED_HINT), plain(3), plain(2), plain(4, timestamp="2026-10-01T09:00:00Z")]
    facts = extract(batch, "UTC")
    assert first_stored(facts, plan) == {date(2026, 11, 1): STORED + 2, date(2026, 9, 1): STORED + 4}
    assert first_stored(facts, plan).keys() == partial(facts, plan, pseudonym).keys()


def test_durations():
    texts = ("PT1H2M3.5S", "P1W", "PT", "P", "P1Y", "P1M", "P40D", "x", "PT0S", "P1DT1S")
    found = [duration_ms(text) for text in texts]
    assert found == [3_723_500, 604_800_000, None, None, None, None, None, None, 0, 86_401_000]


def test_a_duration_however_long_is_valid_and_counts_as_none():
    # ISO 8601 sets no number of digits. One that is no float must not keep what comes after it from being counted.
    assert duration_ms("PT" + "1" * 400 + "S") is None
    assert duration_ms("PT" + "0" * 60 + "1S") == 1_000
    tracemalloc.start()
    for number in range(40):
        assert duration_ms("PT0." + "0" * 1_000_000 + f"{number}S") is None
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 3_000_000


def test_timestamps():
    assert microseconds("1970-01-01T01:00:00.000001+01:00") == 1
    assert microseconds("1970-01-01T00:00:01") == 1_000_000
    assert microseconds("yesterday") is None


def test_group_by_is_stable_for_an_empty_partition():
    facts = extract([plain(1, verb=terms.REQUESTED_HINT)], "UTC")
    plan = next(plan for plan in PLANS if plan.definition.name == "outcomes")
    assert partial(facts, plan, pseudonym) == {}
    assert isinstance(facts, pl.DataFrame)


def test_two_spellings_of_a_profile_and_of_a_level_are_one():
    saids = [
        {"profile": "ELEVE", "level": "10010012110"},
        {"profile": "National_elv", "level": "1001001211"},
        {"profile": "National_doc"},
        {"profile": "jeanne"},
        {"profile": None},
    ]
    facts = extract([plain(number, **said) for number, said in enumerate(saids)], "UTC")
    assert facts["person_profile"].to_list() == ["ELEVE", "ELEVE", "ENSEIGNANT", None, None]
    assert facts["level"].to_list()[:2] == ["1001001211", "1001001211"]


def test_who_is_not_said_to_be_a_pupil_counts_as_one_where_the_register_knows_only_pupils():
    saids = [{"profile": None}, {"profile": "ENSEIGNANT"}, {"profile": None, "source": "ent"}]
    facts = extract([plain(number, **said) for number, said in enumerate(saids)], "UTC", {"p2ia"})
    assert facts["person_profile"].to_list() == ["ELEVE", "ENSEIGNANT", None]


def test_parents_teachers_and_those_not_said_are_no_learners():
    (plan,) = (plan for plan in PLANS if plan.definition.name == "daily_activity")
    saids = [
        {"learner": number, "profile": profile}
        for number, profile in enumerate(["ELEVE", "ELEVE", "PARENT", "ENSEIGNANT", None])
    ]
    facts = extract([plain(number, **said) for number, said in enumerate(saids)], "UTC")
    (state,) = partial(facts, plan, pseudonym).values()
    (row,) = finalise(state, plan, ()).to_dicts()
    assert (row["persons"], row["learners"], row["group"]) == (5, 2, 2)
    by_profile = {
        row["profile"]: (row["persons"], row["learners"]) for row in finalise(state, plan, ("profile",)).to_dicts()
    }
    assert by_profile == {"": (1, 0), "ELEVE": (2, 2), "ENSEIGNANT": (1, 0), "PARENT": (1, 0)}
    (outcomes,) = (plan for plan in PLANS if plan.definition.name == "outcomes")
    (state,) = partial(facts, outcomes, pseudonym).values()
    assert [row["attempts"] for row in finalise(state, outcomes, ()).to_dicts()] == [3]
