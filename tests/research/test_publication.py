"""Whoever compares what is shown before and after learns of nobody what they did."""

from __future__ import annotations

import hashlib
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.research.compute import partial
from app.research.disclosure import protect, rollups
from app.research.publication import shown_next
from tests.research.test_disclosure import lines_of, plan_of

COLUMNS = ("school", "level", "service_type")
PLAN = plan_of(*COLUMNS)
OPEN = plan_of("activity", "school")
MINIMUM = 3
DAY = date(2026, 11, 3)
LATER = date(2026, 12, 1)

# (learner, statement, school, level, service type)
statements = st.tuples(
    st.integers(0, 12), st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from("NT")
)
tables = st.lists(statements, min_size=1, max_size=60)


def state_of(rows, plan=PLAN, day=DAY):
    names = plan.definition.dimension_names
    facts = pl.DataFrame(
        {
            "day": [day] * len(rows),
            "learner": [str(row[0]).encode() for row in rows],
            "mark": [int.from_bytes(hashlib.md5(repr(row[:2]).encode()).digest()[:3]) for row in rows],
            **{name: [row[place] for row in rows] for place, name in enumerate(names, 2)},
        },
        schema={"day": pl.Date, "learner": pl.Binary, "mark": pl.Int64, **dict.fromkeys(names, pl.String)},
    )
    (state,) = partial(facts, plan, lambda key: hashlib.md5(key).digest()).values()
    return state


def lattice(state, plan=PLAN):
    return protect(state, plan, MINIMUM)


def following(shown, counted, plan=PLAN, minimum=MINIMUM):
    """The state shown after that."""
    found = shown_next(shown, counted, plan, minimum, LATER)
    return shown if found.state is None else found.state


def figures(state):
    """Shown counts by cell; None for hidden ones."""
    return {
        (kept, tuple(row[name] for name in kept)): row["statements"]
        for kept, cells in lattice(state).items()
        for row in cells.to_dicts()
    }


def same(one, other, plan=PLAN):
    before, after = lattice(one, plan), lattice(other, plan)
    return all(before[kept].equals(after[kept]) for kept in rollups(plan.definition.dimension_names))


def changed_people(before, after, cells):
    """Learners whose statements in these cells are others before and after."""

    def theirs(rows):
        found: dict = {}
        for row in rows:
            if any(tuple(row[2 + COLUMNS.index(name)] for name in kept) == values for kept, values in cells):
                found.setdefault(row[0], []).append(row)
        return {learner: sorted(found[learner]) for learner in found}

    old, new = theirs(before), theirs(after)
    return {learner for learner in old.keys() | new.keys() if old.get(learner) != new.get(learner)}


@settings(max_examples=16, deadline=None)
@given(tables, st.sets(st.integers(0, 12), min_size=1, max_size=MINIMUM - 1), tables)
def test_gdpr_17_what_fewer_than_the_minimum_do_changes_nothing_that_is_shown(rows, few, new):
    shown = following(None, state_of(rows))
    gone = [row for row in rows if row[0] not in few]
    if gone:
        # They are erased.
        assert same(shown, following(shown, state_of(gone)))
    # What they did is another thing now, which may be in a cell of its own: hidden.
    other = gone + [row for row in new if row[0] in few]
    if other:
        before, after = figures(shown), figures(following(shown, state_of(other)))
        assert {cell: after.get(cell, "gone") for cell in before} == before
        assert {after[cell] for cell in after.keys() - before.keys()} <= {None}


@settings(max_examples=12, deadline=None)
@given(tables, tables)
def test_a_figure_that_changes_stands_for_enough_who_changed(rows, later):
    shown = following(None, state_of(rows))
    after = following(shown, state_of(later))
    old, new = figures(shown), figures(after)
    for cell in old.keys() | new.keys():
        before, now = old.get(cell), new.get(cell)
        if before is not None and now is not None and before != now:
            assert len(changed_people(rows, later, [cell])) >= MINIMUM


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(tables, tables)
def test_a_remainder_that_changes_stands_for_enough_who_changed(rows, later):
    """The part hidden under a shown total, by subtraction, before and after."""
    shown = following(None, state_of(rows))
    old, new = figures(shown), figures(following(shown, state_of(later)))
    for parent, children in lines_of(sorted(old.keys() | new.keys())):
        if old.get(parent) is None or new.get(parent) is None:
            continue
        hidden = [cell for cell in children if None in (old.get(cell, 0), new.get(cell, 0))]
        seen = [cell for cell in children if cell not in hidden]
        before = old[parent] - sum(old.get(cell, 0) for cell in seen)
        now = new[parent] - sum(new.get(cell, 0) for cell in seen)
        if before != now:
            assert len(changed_people(rows, later, hidden)) >= MINIMUM


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(tables)
def test_totals_add_up_while_parts_wait(rows):
    shown = following(None, state_of(rows))
    more = rows + [(20 + learner, 0, "a", "x", "N") for learner in range(4)] + [(40, 0, "b", "z", "T")]
    cells = figures(following(shown, state_of(more)))
    for parent, children in lines_of(sorted(cells)):
        if cells[parent] is not None and None not in (cells[cell] for cell in children):
            assert cells[parent] == sum(cells[cell] for cell in children)


def test_what_enough_do_is_shown_and_what_few_do_beside_it_waits():
    rows = [(learner, 0, "a", "x", "N") for learner in range(6)] + [
        (learner, 0, "b", "x", "N") for learner in range(20, 26)
    ]
    shown = following(None, state_of(rows))
    more = [(learner, 1, "a", "x", "N") for learner in range(4)] + [(20, 1, "b", "x", "N")]
    found = shown_next(shown, state_of(rows + more), PLAN, MINIMUM, LATER)
    cells = figures(found.state)
    assert [cells[("school",), ("a",)], cells[("school",), ("b",)], cells[(), ()]] == [10, 6, 16]
    assert found.waiting == 1
    # With two more who change in the other school, all of it follows.
    more += [(learner, 1, "b", "x", "N") for learner in (21, 22)]
    found = shown_next(found.state, state_of(rows + more), PLAN, MINIMUM, LATER)
    assert (figures(found.state)[("school",), ("b",)], found.waiting) == (9, 0)


def test_a_rare_value_that_becomes_its_own_cell_takes_enough_people_with_it():
    def pupils(first, count, activity, school="a"):
        return [(learner, 0, activity, school) for learner in range(first, first + count)]

    rows = pupils(0, 6, "one") + pupils(10, 2, "two") + pupils(20, 2, "three")
    shown = following(None, state_of(rows, OPEN), OPEN)
    assert lattice(shown, OPEN)[("activity",)]["activity"].to_list() == ["(other)", "one"]
    # One more person, and the value would be shown: "(other)" less what it was would tell of two and one.
    assert same(shown, following(shown, state_of([*rows, *pupils(12, 1, "two")], OPEN), OPEN), OPEN)


def test_a_day_is_shown_when_it_is_over():
    rows = [(learner, 0, "a", "x", "N") for learner in range(6)]
    today = shown_next(None, state_of(rows, day=DAY), PLAN, MINIMUM, DAY)
    assert today.state is None or today.state["sums"].is_empty()
    assert shown_next(None, state_of(rows, day=DAY), PLAN, MINIMUM, LATER).state["sums"].height == 1


def test_a_period_that_was_not_shown_yet_is_shown_whole():
    rows = [(learner, 0, "a", "x", "N") for learner in range(6)]
    shown = following(None, state_of(rows))
    both = {name: pl.concat([state_of(rows)[name], state_of(rows, day=date(2026, 11, 4))[name]]) for name in shown}
    found = shown_next(shown, both, PLAN, MINIMUM, LATER)
    assert lattice(found.state)[()]["statements"].to_list() == [6, 6]
    assert found.waiting == 0
