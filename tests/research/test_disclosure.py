"""Hidden cells stay hidden from whoever subtracts what is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.research.columns import OTHER
from app.research.compute import Plan, finalise, partial
from app.research.definitions import parse
from app.research.disclosure import SECONDARY, SMALL_GROUP, protect, rollups

TEXT = {"en": "x", "fr": "x"}
COLUMNS = ("school", "level", "service_type")
MINIMUM = 3


def plan_of(*columns: str) -> Plan:
    return Plan(
        parse(
            orjson.dumps(
                {
                    "name": "made_up",
                    "version": 1,
                    "title": TEXT,
                    "description": TEXT,
                    "period": "day",
                    "filters": [],
                    "dimensions": [
                        {"name": name, "column": name, "type": "string", "title": TEXT, "description": TEXT}
                        for name in columns
                    ],
                    "measures": [
                        {"name": "statements", "kind": "count", "unit": "1", "title": TEXT, "description": TEXT}
                    ],
                    "learner_keys": {"days": 400, "justification": TEXT},
                }
            )
        )
    )


def state_of(rows: list[tuple], plan: Plan):
    """A state from (learner, dimension values…) rows."""
    names = plan.definition.dimension_names
    facts = pl.DataFrame(
        {
            "day": [date(2026, 11, 3)] * len(rows),
            "learner": [str(row[0]).encode() for row in rows],
            "mark": [place + 1 for place in range(len(rows))],
            **{name: [row[place] for row in rows] for place, name in enumerate(names, 1)},
        },
        schema={"day": pl.Date, "learner": pl.Binary, "mark": pl.Int64, **dict.fromkeys(names, pl.String)},
    )
    (state,) = partial(facts, plan, lambda key: hashlib.md5(key).digest()).values()
    return state


PLAN = plan_of(*COLUMNS)
rows = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("NT")),
    min_size=1,
    max_size=60,
)


def shown_and_lines(protected) -> tuple[dict, set, list]:
    """Known counts by cell, unknown cells, and lines (parent, children) as an attacker has them."""
    known, unknown = {}, set()
    for kept, cells in protected.items():
        for row in cells.to_dicts():
            cell = (kept, tuple(row[name] for name in kept))
            if row["hidden"]:
                assert row["statements"] is None
                unknown.add(cell)
            else:
                known[cell] = row["statements"]
    return known, unknown, list(lines_of([*known, *unknown]))


def lines_of(cells: list) -> Iterator[tuple]:
    members: dict = {}
    for kept, values in cells:
        for place, dropped in enumerate(kept):
            parent = (kept[:place] + kept[place + 1 :], values[:place] + values[place + 1 :])
            members.setdefault((parent, dropped), []).append((kept, values))
    return ((parent, children) for (parent, _), children in sorted(members.items()))


@settings(max_examples=25, deadline=None)
@given(rows)
def test_no_hidden_cell_is_a_difference_of_shown_ones(made_up):
    """Subtract along every line, with whatever earlier subtractions gave, until nothing new comes."""
    known, unknown, lines = shown_and_lines(protect(state_of(made_up, PLAN), PLAN, MINIMUM))
    found = dict(known)
    progress = True
    while progress:
        progress = False
        for parent, children in lines:
            missing = [cell for cell in (parent, *children) if cell not in found]
            if len(missing) == 1:
                found[missing[0]] = 0
                progress = True
    assert not unknown & found.keys()


@settings(max_examples=25, deadline=None)
@given(rows)
def test_hidden_cells_under_a_shown_one_have_together_enough_learners(made_up):
    known, unknown, lines = shown_and_lines(protect(state_of(made_up, PLAN), PLAN, MINIMUM))
    for parent, children in lines:
        hidden = [cell for cell in children if cell in unknown]
        if hidden and parent in known:
            learners = {
                row[0]
                for row in made_up
                for kept, values in hidden
                if tuple(row[1 + COLUMNS.index(name)] for name in kept) == values
            }
            assert len(hidden) > 1
            assert len(learners) >= MINIMUM


@settings(max_examples=25, deadline=None)
@given(rows)
def test_shown_figures_are_true_and_small_groups_are_hidden(made_up):
    state = state_of(made_up, PLAN)
    protected = protect(state, PLAN, MINIMUM)
    for kept in rollups(COLUMNS):
        truth = finalise(state, PLAN, kept).to_dicts()
        for true, row in zip(truth, protected[kept].to_dicts(), strict=True):
            assert row["hidden"] == (row["reason"] is not None)
            assert (row["reason"] == SMALL_GROUP) == (true["group"] < MINIMUM)
            if not row["hidden"]:
                assert row["statements"] == true["statements"]


@settings(max_examples=10, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_pattern_does_not_depend_on_the_order_of_facts(made_up, random):
    shuffled = random.sample(made_up, len(made_up))
    first = protect(state_of(made_up, PLAN), PLAN, MINIMUM)
    second = protect(state_of(shuffled, PLAN), PLAN, MINIMUM)
    assert all(first[kept].equals(second[kept]) for kept in first)


def test_one_small_cell_takes_the_next_smallest_with_it():
    plan = plan_of("school")
    made_up = [(n, "a") for n in range(2)] + [(n, "b") for n in range(10, 15)] + [(n, "c") for n in range(20, 30)]
    protected = protect(state_of(made_up, plan), plan, MINIMUM)
    reasons = dict(protected[("school",)].select("school", "reason").rows())
    assert reasons == {"a": SMALL_GROUP, "b": SECONDARY, "c": None}
    assert protected[()]["statements"].to_list() == [17]


def test_two_cells_of_the_same_few_learners_take_a_third():
    plan = plan_of("school")
    made_up = [(n, school) for n in range(2) for school in "ab"] + [(n, "c") for n in range(10, 15)]
    made_up += [(n, "d") for n in range(20, 30)]
    reasons = dict(protect(state_of(made_up, plan), plan, MINIMUM)[("school",)].select("school", "reason").rows())
    assert reasons == {"a": SMALL_GROUP, "b": SMALL_GROUP, "c": SECONDARY, "d": None}


@pytest.mark.parametrize("minimum", [3, 6])
def test_rare_values_of_an_open_dimension_are_not_published(minimum):
    plan = plan_of("activity")
    made_up = [(1, "https://eleves.example/jeanne-durand"), (2, "https://eleves.example/ali-benali")]
    made_up += [(n, "https://exercices.example/1") for n in range(5)] + [
        (n, "https://exercices.example/2") for n in range(9)
    ]
    cells = protect(state_of(made_up, plan), plan, minimum)[("activity",)]
    expected = {3: ["(other)", "https://exercices.example/1", "https://exercices.example/2"]}
    assert cells["activity"].to_list() == expected.get(minimum, [OTHER, "https://exercices.example/2"])
