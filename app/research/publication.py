"""Publication of a month, and its changes: no change that is seen stands for too few learners.

Whoever reads a table before and after somebody's erasure, objection, rectification or late trace must not learn from
the difference what that one data subject did. So what is counted and what is shown are two states. A *leaf* is a cell
of all dimensions; each leaf is shown as it was shown last, or as it is counted now. It follows what is counted when

- in each cell of the lattice that contains it and is shown, before or after, at least the minimum of distinct learners
  have changed, or nobody has: the difference of two figures is then as protected as a figure is;
- and the same holds of what is hidden under a shown total, the cells hidden before or after taken together: it is
  the total less what is shown;
- and of a hidden cell that would be no more: that nobody is left in it tells of those who were.

Otherwise it waits. What waits is shown with a later change that is large enough, or never. A learner has changed in a
cell when the statements of theirs that count there are not the same ones.

Each leaf is all old or all new, so totals add up. The first time that a period is shown, everything is. Not protected
against: that a hidden cell comes to be; differences solved as one system of equations, as in ``disclosure``; a
definition's new version, whose figures are first shown anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import polars as pl

from app.research.columns import LEARNER
from app.research.compute import KEY, MARK, PERIOD, Plan, State
from app.research.disclosure import Lattice, folded, lines, protect, rare_values, rollups

ROUNDS = 20
"""Rounds in which leaves are put back, before whole periods are."""

_WEIGHT = "@weight"
# What tells apart two rows of the same facts that meet other conditions; added up like marks.
_FLAG_WEIGHT = 0x1_0000_0001


class Next(NamedTuple):
    """The next state of a month that may be shown.

    Attributes:
        state: It; None when that is what is shown already.
        waiting: Leaves of which something is counted and not shown yet.
    """

    state: State | None
    waiting: int


def shown_next(shown: State | None, counted: State, plan: Plan, minimum: int, through: date) -> Next:
    """The next state of a month that may be shown, given what is shown and what is counted.

    Args:
        shown: What is shown; None when nothing is.
        counted: What is counted now; both are states of ``plan``.
        plan: The definition's.
        minimum: Smallest number of distinct learners behind a figure, and behind a change of one.
        through: Days before this one are over. A day is shown when it is: of its end, when fewer than the minimum come
            in it, nothing could be shown any more. Weeks and months are shown while they last.
    """
    if plan.definition.period == "day":
        counted = {name: table.filter(pl.col(PERIOD) < through) for name, table in counted.items()}
    if shown is None:
        return Next(counted, 0)
    # The leaves in which something has changed; a period that is not shown yet is shown whole.
    known = shown[LEARNER].select(PERIOD).unique()
    changed = _changes(shown[LEARNER], counted[LEARNER], plan).select(plan.cell).unique()
    fresh = changed.join(known, on=PERIOD, how="anti")
    follow = changed.join(known, on=PERIOD, how="semi")
    if not follow.is_empty():
        touched = follow.select(PERIOD).unique()
        before, after = _within(shown, touched), _within(counted, touched)
        follow = _admissible(before, after, follow, plan, minimum)
    leaves = pl.concat([fresh, follow])
    waiting = changed.height - leaves.height
    return Next(None if leaves.is_empty() else _mixed(shown, counted, leaves, plan), waiting)


def _admissible(shown: State, counted: State, leaves: pl.DataFrame, plan: Plan, minimum: int) -> pl.DataFrame:
    """Those of the leaves that may follow what is counted."""
    old = _protected(shown, plan, minimum)
    exact = False
    for _ in range(ROUNDS):
        if leaves.is_empty():
            return leaves
        mixed = _mixed(shown, counted, leaves, plan)
        # To protect a month costs most. What its cells as they are shown tell is looked at first, for as long as that
        # holds anything; only then which cells would be shown.
        new = _protected(mixed, plan, minimum) if exact else old._replace(state=mixed)
        held = _too_few(old, new, plan, minimum)
        if held.is_empty():
            if exact:
                return leaves
            exact = True
            continue
        fewer = leaves.join(held.select(plan.cell), on=plan.cell, how="anti")
        if fewer.height == leaves.height:
            # What holds them is how rare values fold: only the whole period undoes that.
            fewer = leaves.join(held.select(PERIOD).unique(), on=PERIOD, how="anti")
        leaves = fewer
    held = _too_few(old, _protected(_mixed(shown, counted, leaves, plan), plan, minimum), plan, minimum)
    return leaves.join(held.select(PERIOD).unique(), on=PERIOD, how="anti")


class _Side(NamedTuple):
    """A state as it is shown, or would be: its protected lattice, and the values too rare to be cells of it."""

    state: State
    lattice: Lattice
    rare: Mapping[str, pl.DataFrame]

    def labelled(self, leaves: pl.DataFrame, plan: Plan) -> pl.DataFrame:
        """Rows of leaves, with the names of their cells in the lattice beside them, as ``=name``."""
        names = plan.definition.dimension_names
        shown = folded(leaves.select(plan.cell), self.rare)
        return leaves.with_columns(shown[name].alias(f"={name}") for name in names)


def _protected(state: State, plan: Plan, minimum: int) -> _Side:
    return _Side(state, protect(state, plan, minimum), rare_values(state[LEARNER], plan, minimum))


def _too_few(old: _Side, new: _Side, plan: Plan, minimum: int) -> pl.DataFrame:
    """The leaves (and period) of every change that too few learners stand behind."""
    names = plan.definition.dimension_names
    before, after = _labelled_rows(old, plan), _labelled_rows(new, plan)
    # What is the same on both sides, under the same label, changes nothing anywhere.
    same = [*plan.cell, *(f"={name}" for name in names), KEY, _WEIGHT]
    rows = pl.concat(
        [
            before.join(after, on=same, how="anti").with_columns(-pl.col(_WEIGHT)),
            after.join(before, on=same, how="anti"),
        ]
    )
    found = [rows.clear().select(plan.cell)]
    if rows.is_empty():
        return found[0]
    visible = {kept: _cells(kept, old, new, hidden=False) for kept in rollups(names)}
    for kept in rollups(names):
        watched = pl.concat([visible[kept], _gone(kept, old, new)]).unique()
        found.append(_held(rows, kept, watched, plan, minimum))
    for line in lines(names):
        under = _cells(line.child, old, new, hidden=True)
        below = rows.join(under, on=[PERIOD, *(f"={name}" for name in line.child)], how="semi")
        found.append(_held(below, line.parent, visible[line.parent], plan, minimum))
    return pl.concat(found).unique()


def _labelled_rows(side: _Side, plan: Plan) -> pl.DataFrame:
    return side.labelled(_weighed(side.state[LEARNER], plan), plan).select(
        *plan.cell, *(f"={name}" for name in plan.definition.dimension_names), KEY, _WEIGHT
    )


def _cells(kept: Sequence[str], old: _Side, new: _Side, *, hidden: bool) -> pl.DataFrame:
    """Cells of a roll-up that are hidden (or not) before or after, under their labels."""
    return pl.concat(
        [
            side.lattice[tuple(kept)]
            .filter(pl.col("hidden") == hidden)
            .select(PERIOD, *(pl.col(name).alias(f"={name}") for name in kept))
            for side in (old, new)
        ]
    ).unique()


def _gone(kept: Sequence[str], old: _Side, new: _Side) -> pl.DataFrame:
    """Cells of a roll-up that are there before and not after."""
    before, after = (
        side.lattice[tuple(kept)].select(PERIOD, *(pl.col(name).alias(f"={name}") for name in kept))
        for side in (old, new)
    )
    return before.join(after, on=before.columns, how="anti")


def _held(rows: pl.DataFrame, kept: Sequence[str], shown: pl.DataFrame, plan: Plan, minimum: int) -> pl.DataFrame:
    """Leaves of ``rows`` in those of the cells ``shown`` in which a learner, and fewer than the minimum, changed."""
    cell = [PERIOD, *(f"={name}" for name in kept)]
    few = (
        rows.join(shown, on=cell, how="semi")
        .group_by([*cell, KEY])
        .agg(pl.col(_WEIGHT).sum())
        .filter(pl.col(_WEIGHT) != 0)
        .group_by(cell)
        .agg(pl.len().alias("@people"))
        .filter(pl.col("@people") < minimum)
    )
    return rows.join(few, on=cell, how="semi").select(plan.cell)


def _changes(shown: pl.DataFrame, counted: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Leaf and learner, for each learner in whose facts of a leaf the two differ."""
    same = [*plan.cell, KEY, _WEIGHT]
    old, new = _weighed(shown, plan).select(same), _weighed(counted, plan).select(same)
    return pl.concat([old.join(new, on=same, how="anti"), new.join(old, on=same, how="anti")]).select(*plan.cell, KEY)


def _weighed(learners: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Learners' rows with one number each, which adds up over leaves: of which facts, meeting which conditions."""
    weight = pl.col(MARK)
    for place, index in enumerate(plan.flags[LEARNER]):
        weight = weight + pl.col(f"c{index}").cast(pl.Int64) * (_FLAG_WEIGHT << place)
    return learners.with_columns(weight.alias(_WEIGHT))


def _mixed(shown: State, counted: State, leaves: pl.DataFrame, plan: Plan) -> State:
    """The state that is shown, but for these leaves, which are as they are counted."""
    return {
        name: pl.concat(
            [
                table.join(leaves, on=plan.cell, how="anti"),
                counted[name].join(leaves, on=plan.cell, how="semi").select(table.columns),
            ]
        )
        for name, table in shown.items()
    }


def _within(state: State, periods: pl.DataFrame) -> State:
    return {name: table.join(periods, on=PERIOD, how="semi") for name, table in state.items()}
