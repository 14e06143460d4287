"""From facts to cells, by partitions: partial states that merge in any order and any number.

A state is a set of tables, for the periods that start in one month (the *bucket*):

- ``sums``: one row a cell; counts ``n<c>`` and exact integer sums ``s<c>_<column>`` of the facts under condition ``c``;
- ``learner``, ``session``: one row a cell and key (pseudonym, 16 bytes), with a flag ``c<c>`` a condition that one
  of the key's facts meets. Distinct counts come from these, so they stay right however the facts were split. A
  learner's row has also ``mark``, the sum of the marks of the facts: where it is equal, the same facts were counted.

Rows of every table start with ``period`` (first day) and the dimensions; a value that was not said is ``""``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from app.research.columns import COLUMNS, LEARNER
from app.research.definitions import Definition, Filter, Measure

State = Mapping[str, pl.DataFrame]

PERIOD = "period"
KEY = "key"
SUMS = "sums"
MARK = "mark"

Pseudonym = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Plan:
    """Plan of a definition's computation, with conditions numbered; condition 0 is every fact."""

    definition: Definition

    @property
    def cell(self) -> list[str]:
        """The columns that name a cell."""
        return [PERIOD, *self.definition.dimension_names]

    @cached_property
    def conditions(self) -> list[tuple[Filter, ...]]:
        """Distinct conditions of the measures, the empty one first."""
        found: list[tuple[Filter, ...]] = [()]
        for measure in self.definition.measures:
            if measure.condition not in found:
                found.append(measure.condition)
        return found

    def number(self, measure: Measure) -> int:
        """Number of a measure's condition."""
        return self.conditions.index(measure.condition)

    @cached_property
    def sums(self) -> list[tuple[int, str]]:
        """(condition, column) pairs to add up."""
        return sorted(
            {
                (self.number(item), item.column)
                for item in self.definition.measures
                if item.kind in _ADDED and item.column
            }
        )

    @cached_property
    def flags(self) -> dict[str, list[int]]:
        """Keyed tables: which conditions each one flags. Learners flag all: who stands behind each figure."""
        flags = {LEARNER: list(range(1, len(self.conditions)))}
        for measure in self.definition.measures:
            if measure.kind == "distinct" and measure.column and measure.column != LEARNER:
                numbers = flags.setdefault(measure.column, [])
                number = self.number(measure)
                if number not in numbers:
                    numbers.append(number)
        return flags

    @property
    def tables(self) -> list[str]:
        """Names of the tables of a state."""
        return [SUMS, *self.flags]


_ADDED = ("sum", "mean", "rate")


def partial(facts: pl.DataFrame, plan: Plan, pseudonym: Pseudonym) -> dict[date, State]:
    """States of a partition of facts, by bucket (first day of a month); arguments as ``tables``."""
    return _by_bucket(tables(facts, plan, pseudonym))


def first_stored(facts: pl.DataFrame, plan: Plan) -> dict[date, int]:
    """The instant at which the earliest fact that counts in each bucket was stored, in microseconds: as ``partial``'s
    keys.
    """
    counted = facts.filter(_holds(plan.definition.filters))
    bucket = pl.col(plan.definition.period).dt.truncate("1mo")
    return dict(counted.group_by(bucket.alias("@bucket")).agg(pl.col("stored").min()).iter_rows())


def tables(facts: pl.DataFrame, plan: Plan, pseudonym: Pseudonym) -> dict[str, pl.DataFrame]:
    """The tables of a partition of facts, all buckets together.

    Args:
        facts: As ``facts.extract`` gives them.
        plan: The definition's.
        pseudonym: Turns an identifying key into 16 bytes, the same for the same key.
    """
    definition = plan.definition
    kept = facts.filter(_holds(definition.filters)).select(
        pl.col(definition.period).alias(PERIOD),
        *(pl.col(item.column).fill_null("").alias(item.name) for item in definition.dimensions),
        *(pl.col(name).alias(f"@{name}") for name in sorted({column for _, column in plan.sums} | plan.flags.keys())),
        pl.col(MARK),
        *(_holds(condition).alias(f"c{index}") for index, condition in enumerate(plan.conditions)),
    )
    found = {
        SUMS: kept.group_by(plan.cell).agg(
            *(pl.col(f"c{index}").sum().cast(pl.Int64).alias(f"n{index}") for index in range(len(plan.conditions))),
            *(
                pl.col(f"@{column}").filter(pl.col(f"c{index}")).cast(pl.Int64).sum().alias(f"s{index}_{column}")
                for index, column in plan.sums
            ),
        )
    }
    for column, numbers in plan.flags.items():
        keyed = (
            kept.filter(pl.col(f"@{column}").is_not_null())
            .group_by([*plan.cell, f"@{column}"])
            .agg(*(pl.col(f"c{index}").any() for index in numbers), *_marks(column))
        )
        found[column] = keyed.with_columns(_pseudonymised(keyed[f"@{column}"], pseudonym)).select(
            *plan.cell, KEY, pl.exclude([*plan.cell, KEY, f"@{column}"])
        )
    return found


def merged(plan: Plan, name: str, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One table made of several of the same name: sums added, keys counted once."""
    return frames[0] if len(frames) == 1 else regrouped(plan, name, pl.concat(frames))


def regrouped(plan: Plan, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """A table with rows of the same cell (and key) made one."""
    if name == SUMS:
        return rows.group_by(plan.cell).agg(pl.exclude(plan.cell).sum())
    return rows.group_by([*plan.cell, KEY]).agg(pl.exclude([*plan.cell, KEY, MARK]).any(), *_marks(name))


def _marks(table: str) -> list[pl.Expr]:
    return [pl.col(MARK).sum()] if table == LEARNER else []


def merge(plan: Plan, states: Sequence[State]) -> State:
    """One state made of several, in any order; at least one."""
    return {name: merged(plan, name, [state[name] for state in states]) for name in plan.tables}


def finalise(state: State, plan: Plan, by: Sequence[str]) -> pl.DataFrame:
    """Cells of a state, rolled up to some of the dimensions, before any disclosure control.

    Returns:
        ``period``, the dimensions ``by``, the measures under their names (null when no fact says anything), and
        ``group``: the fewest distinct learners behind any of the figures. Sorted by cell.
    """
    cell = [PERIOD, *by]
    cells = state[SUMS].group_by(cell).agg(pl.exclude(plan.cell).sum())
    cells = cells.join(group_sizes(state[LEARNER], plan, cell), on=cell, how="left")
    for column, numbers in plan.flags.items():
        if column != LEARNER:
            cells = cells.join(_distinct(state[column], column, numbers, cell), on=cell, how="left")
    return cells.select(
        *cell, *(_figure(measure, plan).alias(measure.name) for measure in plan.definition.measures), pl.col("group")
    ).sort(cell)


def group_sizes(learners: pl.DataFrame, plan: Plan, cell: Sequence[str]) -> pl.DataFrame:
    """Distinct learners of each cell: ``learner0`` all, ``learner<c>`` those with a fact under condition ``c``.

    ``group`` is the fewest of them that isn't zero: a figure made from fewer learners than its cell has is
    as telling as a small cell.
    """
    counts = _distinct(learners, LEARNER, plan.flags[LEARNER], cell)
    sizes = [pl.col(f"{LEARNER}{index}") for index in range(len(plan.conditions))]
    return counts.with_columns(pl.min_horizontal(pl.when(size > 0).then(size) for size in sizes).alias("group"))


def _distinct(keyed: pl.DataFrame, column: str, numbers: Sequence[int], cell: Sequence[str]) -> pl.DataFrame:
    flags = [f"c{index}" for index in numbers]
    once = keyed.select(*cell, KEY, *flags).group_by([*cell, KEY]).agg(pl.col(flag).any() for flag in flags)
    counts = [pl.col(f"c{index}").sum().cast(pl.Int64).alias(f"{column}{index}") for index in numbers if index]
    return once.group_by(cell).agg(pl.len().cast(pl.Int64).alias(f"{column}0"), *counts)


def _figure(measure: Measure, plan: Plan) -> pl.Expr:
    index = plan.number(measure)
    if measure.kind == "count":
        return pl.col(f"n{index}")
    if measure.kind == "distinct":
        return pl.col(f"{measure.column}{index}").fill_null(0)
    scale = COLUMNS[str(measure.column)].scale
    total = pl.col(f"s{index}_{measure.column}")
    if measure.kind != "sum":
        total = total / pl.col(f"n{index}")
    figure = total if scale == 1 else total / scale
    return pl.when(pl.col(f"n{index}") > 0).then(figure)


def _holds(filters: Sequence[Filter]) -> pl.Expr:
    test = pl.lit(True)
    for item in filters:
        column = pl.col(item.column)
        if item.test == "not_null":
            test = test & column.is_not_null()
        elif item.test == "in":
            test = test & column.is_in(list(item.values)).fill_null(False)
        else:
            test = test & ~column.is_in(list(item.values)).fill_null(False)
    return test


def _pseudonymised(keys: pl.Series, pseudonym: Pseudonym) -> pl.Series:
    once = keys.unique().to_list()
    table = {key: pseudonym(key if isinstance(key, bytes) else key.encode()) for key in once}
    return pl.Series(KEY, [table[key] for key in keys.to_list()], dtype=pl.Binary)


def _by_bucket(tables: Mapping[str, pl.DataFrame]) -> dict[date, State]:
    buckets: dict[date, dict[str, pl.DataFrame]] = {}
    for name, frame in tables.items():
        month = frame.with_columns(pl.col(PERIOD).dt.truncate("1mo").alias("@bucket"))
        for (bucket,), part in month.partition_by("@bucket", as_dict=True, include_key=False).items():
            buckets.setdefault(bucket, {})[name] = part
    empty = {name: frame.clear() for name, frame in tables.items()}
    return {bucket: {**empty, **found} for bucket, found in buckets.items()}
