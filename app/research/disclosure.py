"""Statistical disclosure control: no published figure stands for too few learners, alone or by subtraction.

For each period, every roll-up of a definition's dimensions (the *lattice*: all subsets, down to the period's total) is
protected together, once; a query only picks its roll-up. So two queries never contradict each other's protection.

- *Primary*: a cell is hidden when fewer distinct learners than the minimum stand behind any of its figures.
- *Secondary*: a *line* is a cell of a roll-up (the parent) and the cells that add up to it along one dimension.
  In no line is exactly one member, parent included, hidden: it would be the difference of the others. And the hidden
  members under a shown parent have together at least the minimum of distinct learners. The smallest shown member is
  hidden until both hold everywhere; the order is fixed, so that the same data give the same pattern.
- *Open dimensions* (values that sources write freely) show a value only when the minimum of learners shares it in
  the period; the others are published together as ``(other)``.

Protected against: reading a small cell; subtracting the members of a line from its parent, again and again, with
whatever each subtraction gives. Not protected against: solving many lines together as one system of equations,
which on small crossed tables gives back a few hidden cells in a thousand; bounds (a hidden count is at least 1); a
cell where everybody did the same (a rate of 0 or 1); two definitions, or two states of one table over time, that
differ by few learners; someone who is themselves most of a cell. That a hidden cell exists, with the names of its
closed dimensions, is not hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import polars as pl

from app.research.columns import COLUMNS, LEARNER, OTHER
from app.research.compute import KEY, PERIOD, Plan, State, finalise, group_sizes, regrouped

SMALL_GROUP = "small-group"
SECONDARY = "secondary"

Rollup = tuple[str, ...]
"""Names of the dimensions kept, in the definition's order."""

Lattice = Mapping[Rollup, pl.DataFrame]


class Line(NamedTuple):
    """A relation between a roll-up and the same less one dimension."""

    child: Rollup
    parent: Rollup


def rollups(dimensions: Sequence[str]) -> list[Rollup]:
    """Every subset of the dimensions, the finest first."""
    return [kept for size in range(len(dimensions), -1, -1) for kept in combinations(dimensions, size)]


def lines(dimensions: Sequence[str]) -> list[Line]:
    """Every line of the lattice: each roll-up, and the same less one of its dimensions."""
    return [
        Line(child, tuple(name for name in child if name != dropped))
        for child in rollups(dimensions)
        for dropped in child
    ]


def protect(state: State, plan: Plan, minimum: int) -> dict[Rollup, pl.DataFrame]:
    """Every roll-up of a state, protected.

    Args:
        state: Of one bucket; each period in it is protected by itself.
        plan: The definition's.
        minimum: Smallest number of distinct learners behind a figure.

    Returns:
        By roll-up: ``period``, its dimensions, the measures (null in a hidden cell), ``hidden``, ``reason``
        (``small-group``, ``secondary``, or null). Sorted by cell. The group sizes are not in it.
    """
    tables = _fold(state, plan, minimum)
    lattice = {
        kept: finalise(tables, plan, kept).with_columns(
            pl.when(pl.col("group") < minimum).then(pl.lit(SMALL_GROUP)).alias("reason")
        )
        for kept in rollups(plan.definition.dimension_names)
    }
    _hide_secondary(lattice, tables[LEARNER], plan, minimum)
    names = [measure.name for measure in plan.definition.measures]
    hidden = pl.col("reason").is_not_null()
    return {
        kept: cells.select(
            PERIOD,
            *kept,
            *(pl.when(~hidden).then(pl.col(name)).alias(name) for name in names),
            hidden.alias("hidden"),
            "reason",
        )
        for kept, cells in lattice.items()
    }


def rare_values(learners: pl.DataFrame, plan: Plan, minimum: int) -> Mapping[str, pl.DataFrame]:
    """By open dimension: the ``period`` and value pairs that fewer learners than the minimum share."""
    return {
        name: learners.filter(pl.col(name) != "")
        .group_by(PERIOD, name)
        .agg(pl.col(KEY).n_unique().alias("@size"))
        .filter(pl.col("@size") < minimum)
        .select(PERIOD, name)
        for name in (item.name for item in plan.definition.dimensions if COLUMNS[item.column].open)
    }


def folded(frame: pl.DataFrame, rare: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """A table with rare values of open dimensions replaced by ``(other)``; rows are not made one."""
    for name, values in rare.items():
        if not values.is_empty():
            marked = values.with_columns(pl.lit(True).alias("@rare"))
            frame = (
                frame.join(marked, on=[PERIOD, name], how="left", maintain_order="left")
                .with_columns(pl.when(pl.col("@rare")).then(pl.lit(OTHER)).otherwise(pl.col(name)).alias(name))
                .drop("@rare")
            )
    return frame


def _fold(state: State, plan: Plan, minimum: int) -> State:
    rare = rare_values(state[LEARNER], plan, minimum)
    if all(values.is_empty() for values in rare.values()):
        return state
    return {table: regrouped(plan, table, folded(frame, rare)) for table, frame in state.items()}


def _hide_secondary(lattice: dict[Rollup, pl.DataFrame], learners: pl.DataFrame, plan: Plan, minimum: int) -> None:
    every = lines(plan.definition.dimension_names)
    # A line needs another look only when one of its two roll-ups has changed.
    waiting = dict.fromkeys(every)
    while waiting:
        line = next(iter(waiting))
        del waiting[line]
        changed = _mend(lattice, line, learners, plan, minimum)
        for other in every:
            if changed & {other.child, other.parent}:
                waiting[other] = None


def _mend(
    lattice: dict[Rollup, pl.DataFrame], line: Line, learners: pl.DataFrame, plan: Plan, minimum: int
) -> set[Rollup]:
    """Hide what the lines between two roll-ups need, one member a line; say which roll-ups changed."""
    children, parents = lattice[line.child], lattice[line.parent]
    over = [PERIOD, *line.parent]
    hidden = children.filter(pl.col("reason").is_not_null())
    state = (
        parents.select(*over, pl.col("reason").is_not_null().alias("@above"))
        .join(hidden.group_by(over).agg(pl.len().alias("@below")), on=over, how="left")
        .with_columns(pl.col("@below").fill_null(0))
    )
    alone = state.filter(pl.col("@above") & (pl.col("@below") == 0)).select(over)
    under = state.filter(~pl.col("@above") & (pl.col("@below") > 0))
    if not under.is_empty():
        cell = [PERIOD, *line.child]
        unions = group_sizes(
            learners.join(hidden.select(cell), on=cell, how="semi").join(under.select(over), on=over, how="semi"),
            plan,
            over,
        )
        under = under.join(unions.select(*over, "group"), on=over, how="left").filter(
            (pl.col("@below") == 1) | (pl.col("group") < minimum)
        )
    open_lines = pl.concat([alone, under.select(over)])
    if open_lines.is_empty():
        return set()
    smallest = (
        children.filter(pl.col("reason").is_null())
        .join(open_lines, on=over, how="semi")
        .sort("group", *line.child)
        .group_by(over, maintain_order=True)
        .first()
    )
    # Where no child is left to hide, the parent is.
    stuck = open_lines.join(smallest.select(over), on=over, how="anti")
    changed = set()
    for kept, cells in ((line.child, smallest.select(PERIOD, *line.child)), (line.parent, stuck)):
        if not cells.is_empty():
            lattice[kept] = _hidden_too(lattice[kept], cells)
            changed.add(kept)
    return changed


def _hidden_too(cells: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    marked = cells.join(
        more.with_columns(pl.lit(True).alias("@more")), on=more.columns, how="left", maintain_order="left"
    )
    reason = pl.when(pl.col("@more") & pl.col("reason").is_null()).then(pl.lit(SECONDARY)).otherwise(pl.col("reason"))
    return marked.with_columns(reason.alias("reason")).drop("@more")


def counts(cells: pl.DataFrame) -> dict[str, int]:
    """The number of cells, and of those hidden, by reason."""
    reasons = cells["reason"]
    return {
        "cells": cells.height,
        "small_group": int((reasons == SMALL_GROUP).sum()),
        "secondary": int((reasons == SECONDARY).sum()),
    }
