"""Aggregates as a service: refresh them, say how they are, answer questions on them.

Nothing leaves without disclosure control (``disclosure.protect``): cells are read from the protected lattice only.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from io import BytesIO
from typing import NamedTuple

import orjson
import polars as pl

from app.access.reach import Reach
from app.core import clock
from app.core.errors import BadCursor, BadParameter, DatabaseUnavailable, DecryptionFailed, Fault, NotFound
from app.crypto.keys import OrganisationKeys
from app.research import definitions
from app.research.compute import PERIOD, Plan, tables
from app.research.definitions import Definition
from app.research.disclosure import Lattice, Rollup, protect, rollups
from app.research.facts import extract
from app.research.refresh import CELLS, ROLLUP, SHOWN, AggregateJob, Progress, Recounted, RunSummary, as_shown
from app.research.scope import Scope
from app.research.store import AggregateRepository, AggregateState, PartName
from app.settings import Settings
from app.traces.statements.reader import StatementReader

CACHED_BUCKETS = 24
READ_ATTEMPTS = 5
PAGE_LIMIT = 10_000

Value = str | int | float | bool | None


class Query(NamedTuple):
    """A question on an aggregate.

    Attributes:
        name: Of the aggregate.
        first: Periods that start on or after this day; None: from the first.
        last: Periods that start on or before this day; None: to the last.
        by: Dimensions to break down by; None: all of them. The period always is one.
        where: Values that dimensions must have; ``""`` is for "not said".
        limit: Most rows in the answer.
        cursor: ``next`` of the answer before.
    """

    name: str
    first: date | None = None
    last: date | None = None
    by: tuple[str, ...] | None = None
    where: tuple[tuple[str, str], ...] = ()
    limit: int = 1_000
    cursor: str | None = None


class Answer(NamedTuple):
    """Rows of an aggregate, protected.

    Attributes:
        definition: The one the figures were computed by.
        as_of: Microseconds: every statement stored before is counted; None before the first full run.
        minimum_group: Smallest number of distinct learners behind a figure.
        rows: The period's first day under the period's name, dimensions, measures, ``hidden``, ``reason``.
        next: Cursor of the next page, None on the last.
        by: Dimensions that they are broken down by: those asked for, and those by which a perimeter bounds them.
    """

    definition: Definition
    as_of: int | None
    minimum_group: int
    rows: list[dict[str, Value]]
    next: str | None
    by: tuple[str, ...] = ()


class Status(NamedTuple):
    """Status of an aggregate.

    Attributes:
        definition: The declared one.
        as_of: As in ``Answer``.
        complete: A run has reached the end once.
        months: Months of which something is shown.
        settled: Of these, settled ones.
        late: Statements that came for a settled month, and were not counted.
        waiting: Cells of which a change waits to be shown, as fewer than the minimum of learners stand behind it.
    """

    definition: Definition
    as_of: int | None
    complete: bool
    months: int
    settled: int
    late: int
    waiting: int


class Aggregates:
    """The aggregates of an organisation. Reading is safe between threads."""

    def __init__(
        self,
        repository: AggregateRepository,
        reader: StatementReader,
        keys: OrganisationKeys,
        settings: Settings,
        scope: Scope,
        declared: Sequence[Definition] | None = None,
    ) -> None:
        """``declared``: definitions instead of those in ``schemas/aggregates``."""
        self._repository = repository
        self._keys = keys
        self._minimum = settings.minimum_group
        self._declared = {item.name: item for item in (definitions.load_all() if declared is None else declared)}
        self._job = AggregateJob(
            repository,
            keys,
            reader,
            tuple(self._declared.values()),
            timezone=settings.timezone,
            minimum_group=settings.minimum_group,
            scope=scope,
        )
        self._cache: OrderedDict[tuple[str, str, int], Lattice] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def organisation(self) -> str:
        """The organisation that the aggregates belong to."""
        return self._keys.organisation

    def run(
        self,
        fence: int | None = None,
        progress: Progress | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> RunSummary:
        """Count what is new; see ``AggregateJob.run``. Who has left research is taken out before (``Counting``).

        ``check`` is called while months are counted again; what it raises ends the run.
        """
        return self._job.run(fence, progress, check)

    def recount(
        self,
        data_subjects: Callable[[], Sequence[Sequence[bytes]]],
        kept_since: int,
        check: Callable[[], None] = lambda: None,
        note: Callable[[int, Recounted], None] = lambda data_subject, months: None,
    ) -> Recounted:
        """Count months anew without these people; see ``AggregateJob.recount``."""
        return self._job.recount(data_subjects, kept_since, check, note)

    def definitions(self) -> list[Definition]:
        """The declared definitions, by name."""
        return [self._declared[name] for name in sorted(self._declared)]

    def status(self, reach: Reach | None = None) -> list[Status]:
        """The status of each declared aggregate; of those of which something may be told within a reach, if given.

        Raises:
            OutsidePerimeter: nothing lies within the reach.
        """
        states = {state.id: state for state in self._repository.states()}
        lines = []
        for definition in self.definitions():
            if reach is not None and _untold(definition, reach) is not None:
                continue
            state = states.get(definition.id)
            lines.append(
                Status(
                    definition,
                    state.as_of if state else None,
                    bool(state and state.complete),
                    len(self.months(definition)),
                    len(state.settled) if state else 0,
                    state.late if state else 0,
                    sum(month.waiting for month in state.shown.values()) if state else 0,
                )
            )
        return lines

    def served(self, name: str) -> tuple[Definition, AggregateState | None]:
        """The definition that answers for a name: the declared one, or the one before while it is incomplete.

        Raises:
            NotFound: there is no such aggregate.
        """
        declared = self._declared.get(name)
        if declared is None:
            raise NotFound(f"There is no such aggregate. There are: {', '.join(sorted(self._declared))}.")
        states = {state.version: state for state in self._repository.states() if state.name == name}
        current = states.get(declared.version)
        if current is None or not current.complete:
            older = [state for state in states.values() if state.complete and state.version < declared.version]
            if older:
                chosen = max(older, key=lambda state: state.version)
                return definitions.parse(chosen.definition), chosen
        return declared, current

    def minimum(self, definition: Definition) -> int:
        """Smallest group for a definition, which can only raise the installation's."""
        return max(self._minimum, definition.minimum_group)

    def cells(
        self, definition: Definition, kept: Rollup, first: date | None, last: date | None
    ) -> Iterator[pl.DataFrame]:
        """Protected cells of a roll-up, a month at a time, in order; see ``disclosure.protect``."""
        return (month[kept] for month in self._lattices(definition, [kept], first, last))

    def months(self, definition: Definition, first: date | None = None, last: date | None = None) -> list[str]:
        """The months of which something is shown, from that of a day to that of another, in order: ``2026-11``."""
        low = f"{first:%Y-%m}" if first else ""
        high = f"{last:%Y-%m}" if last else "~"
        return sorted({part.bucket for part in self._repository.names(definition.id, low, high) if _visible(part)})

    def values(
        self,
        definition: Definition,
        names: Sequence[str],
        first: date | None,
        last: date | None,
        reach: Reach | None = None,
    ) -> dict[str, list[str]]:
        """The values of dimensions in an interval, in order, within a reach and its days; ``""`` is for "not said".

        Raises:
            OutsidePerimeter: the aggregate does not tell what the reach is bounded by.
        """
        within: Mapping[str, frozenset[str]] = {}
        if reach is not None:
            within = _bounded(definition, reach)
            first, last = _days(definition, reach, first, last)
        found: dict[str, set[str]] = {name: set() for name in names}
        if first is None or last is None or first <= last:
            kept = {
                name: tuple(each for each in definition.dimension_names if each in {name, *within}) for name in names
            }
            for month in self._lattices(definition, kept.values(), first, last):
                for name in names:
                    found[name].update(_of(month[kept[name]], within)[name].unique().to_list())
        return {name: sorted(values) for name, values in found.items()}

    def no_cells(self, definition: Definition) -> pl.DataFrame:
        """The table of an aggregate that has nothing in the period asked for."""
        plan = Plan(definition)
        state = tables(extract([], "UTC"), plan, lambda key: key)
        return protect(state, plan, self._minimum)[definition.dimension_names]

    def query(self, query: Query, reach: Reach | None = None) -> Answer:
        """Answer a question.

        Args:
            query: The question.
            reach: Of whoever asks: rows are of its sources, schools and whole periods, and broken down by what bounds
                them; None: all.

        Raises:
            NotFound: there is no such aggregate.
            BadParameter: a dimension is unknown or said twice, or the dates are the wrong way round.
            BadCursor: the cursor is not of this question.
            OutsidePerimeter: a value or an interval outside of the reach is asked for, or an aggregate that does not
                tell what it is bounded by.
        """
        definition, state = self.served(query.name)
        kept = _rollup(definition, query)
        within: Mapping[str, frozenset[str]] = {}
        if reach is not None:
            within = _bounded(definition, reach)
            query = _within(definition, query, reach, within)
            kept = _rollup(definition, query)
        place = _cursor_place(definition, query)
        after = None if query.cursor is None else self._opened(query.cursor, place)
        rows: list[dict[str, Value]] = []
        first = query.first if after is None else max(query.first or date.min, date.fromisoformat(after[0]))
        for cells in self.cells(definition, kept, first, query.last):
            for name, value in query.where:
                cells = cells.filter(pl.col(name) == value)
            cells = _of(cells, within)
            if after is not None:
                cells = cells.filter(_beyond([PERIOD, *kept], [date.fromisoformat(after[0]), *after[1:]]))
            rows += _rows(cells.head(query.limit + 1 - len(rows)), definition, kept)
            if len(rows) > query.limit:
                break
        further = None
        if len(rows) > query.limit:
            rows = rows[: query.limit]
            key = [rows[-1][definition.period], *(rows[-1][name] or "" for name in kept)]
            further = self._keys.encrypt_cursor(place, orjson.dumps(key), clock.today())
        as_of = None if state is None else state.as_of
        by = definition.dimension_names if query.by is None else query.by
        return Answer(definition, as_of, self.minimum(definition), rows, further, by)

    def _lattices(
        self, definition: Definition, wanted: Collection[Rollup], first: date | None, last: date | None
    ) -> Iterator[Lattice]:
        """The wanted roll-ups of an interval, a month at a time, in order."""
        plan = Plan(definition)
        for month in self.months(definition, first, last):
            lattice = self._lattice(plan, month)
            if not lattice:
                # Dropped since the list of months was read: a newer version has taken its place.
                continue
            yield {kept: _between(lattice[kept], first, last) for kept in wanted}

    def _opened(self, cursor: str, place: str) -> list[str]:
        try:
            key: list[str] = orjson.loads(self._keys.decrypt_cursor(place, cursor, clock.today()))
        except (DecryptionFailed, ValueError):
            raise BadCursor(
                "The cursor is not one given for this question. Ask again without it, or repeat the same parameters."
            ) from None
        return key

    def _lattice(self, plan: Plan, month: str) -> Lattice:
        for _ in range(READ_ATTEMPTS):
            names = [part for part in self._repository.names(plan.definition.id, month, month) if _visible(part)]
            key = (plan.definition.id, month, max((part.sequence for part in names), default=0))
            with self._lock:
                if key in self._cache:
                    self._cache.move_to_end(key)
                    return self._cache[key]
            contents = self._repository.contents(names)
            if contents is not None:
                lattice = self._protected(plan, contents)
                with self._lock:
                    self._cache[key] = lattice
                    while len(self._cache) > CACHED_BUCKETS:
                        self._cache.popitem(last=False)
                return lattice
        raise DatabaseUnavailable("The aggregate is being rewritten; ask again in a moment.")

    def _protected(self, plan: Plan, contents: Sequence[tuple[PartName, bytes]]) -> Lattice:
        settled = [pl.read_ipc(BytesIO(content)) for name, content in contents if name.table == CELLS]
        if settled:
            cells = pl.concat(settled)
            return {
                kept: cells.filter(pl.col(ROLLUP) == ",".join(kept)).select(
                    PERIOD, *kept, pl.exclude([PERIOD, ROLLUP, *plan.definition.dimension_names])
                )
                for kept in rollups(plan.definition.dimension_names)
            }
        if not contents:
            return {}
        return protect(as_shown(plan, contents), plan, self.minimum(plan.definition))


def _visible(part: PartName) -> bool:
    return part.table == CELLS or part.table.startswith(SHOWN)


def _between(cells: pl.DataFrame, first: date | None, last: date | None) -> pl.DataFrame:
    if first is not None:
        cells = cells.filter(pl.col(PERIOD) >= first)
    if last is not None:
        cells = cells.filter(pl.col(PERIOD) <= last)
    return cells


def _of(cells: pl.DataFrame, within: Mapping[str, frozenset[str]]) -> pl.DataFrame:
    for name, values in within.items():
        cells = cells.filter(pl.col(name).is_in(sorted(values)))
    return cells


def _rollup(definition: Definition, query: Query) -> Rollup:
    names = definition.dimension_names
    wanted = names if query.by is None else query.by
    asked = [*wanted, *(name for name, _ in query.where)]
    unknown = sum(name not in names for name in asked)
    if unknown:
        raise _bad("by", f"the dimensions of {definition.name} are {', '.join(names)}")
    if query.first and query.last and query.first > query.last:
        raise _bad("from", "`from` is after `to`")
    if not 1 <= query.limit <= PAGE_LIMIT:
        raise _bad("limit", f"it is from 1 to {PAGE_LIMIT}")
    # A dimension that is filtered on is in the rows: the cell is the same as in the roll-up that has it.
    return tuple(name for name in names if name in asked)


_BOUNDING = ("source", "school")
"""Columns that a perimeter bounds, as ``Reach`` has them: its processing activities are bounds of sources."""


def _untold(definition: Definition, reach: Reach) -> str | None:
    """The column that bounds the reach and is no dimension of the aggregate; None: there is none."""
    reach.require_something()
    told = {dimension.column for dimension in definition.dimensions}
    bounded = zip(_BOUNDING, (reach.sources, reach.schools), strict=True)
    return next((column for column, values in bounded if values is not None and column not in told), None)


def _bounded(definition: Definition, reach: Reach) -> dict[str, frozenset[str]]:
    """The values that are within a reach, by the dimensions that it bounds."""
    missing = _untold(definition, reach)
    if missing is not None:
        raise reach.refusal(
            f"{definition.name} is not told by {missing}: its figures are of the whole store.", "aggregate"
        )
    names = {dimension.column: dimension.name for dimension in definition.dimensions}
    bounded = zip(_BOUNDING, (reach.sources, reach.schools), strict=True)
    return {names[column]: values for column, values in bounded if values is not None}


def _within(definition: Definition, query: Query, reach: Reach, within: Mapping[str, frozenset[str]]) -> Query:
    """The question, of no more than a reach: whole periods of its days, broken down by what it bounds."""
    for name, value in query.where:
        if name in within and value not in within[name]:
            raise reach.refusal(f"This {name} is outside the perimeter of this key.", name)
    first, last = _days(definition, reach, query.first, query.last)
    if first is not None and last is not None and first > last:
        raise reach.refusal(
            f"No whole {definition.period} of this interval is within the perimeter of this key.", "dates"
        )
    by = None if query.by is None else (*query.by, *(name for name in within if name not in query.by))
    return query._replace(first=first, last=last, by=by)


def _days(
    definition: Definition, reach: Reach, first: date | None, last: date | None
) -> tuple[date | None, date | None]:
    """The days of an interval on which a whole period within a reach may start."""
    if reach.since is not None:
        first = max(first or reach.since, reach.since)
    if reach.until is not None:
        whole = _last_whole(definition.period, reach.until)
        last = min(last or whole, whole)
    return first, last


def _last_whole(period: str, until: date) -> date:
    """The last day on which a period may start that ends on a day or before."""
    if period == "week":
        return until - timedelta(days=6)
    if period == "month" and (until + timedelta(days=1)).day > 1:
        return until.replace(day=1) - timedelta(days=1)
    return until


def _bad(parameter: str, message: str) -> BadParameter:
    return BadParameter(
        f"`{parameter}` is not valid: {message}.", faults=[Fault(f"/{parameter}", "parameter", "", message)]
    )


def _cursor_place(definition: Definition, query: Query) -> str:
    asked = orjson.dumps([definition.id, query.first, query.last, query.by, query.where])
    return f"aggregate-cursor:{hashlib.sha256(asked).hexdigest()}"


def _beyond(columns: Sequence[str], key: Sequence[date | str]) -> pl.Expr:
    """Rows after ``key`` in the order of ``columns``."""
    test = pl.lit(False)
    for name, value in reversed(list(zip(columns, key, strict=True))):
        test = (pl.col(name) > value) | ((pl.col(name) == value) & test)
    return test


def _rows(cells: pl.DataFrame, definition: Definition, kept: Rollup) -> list[dict[str, Value]]:
    shaped = cells.select(
        pl.col(PERIOD).cast(pl.String).alias(definition.period),
        *(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in kept),
        pl.exclude([PERIOD, *kept]),
    )
    return shaped.to_dicts()


def described(definition: Definition) -> Mapping[str, object]:
    """A definition for people and programs: texts in both languages, dimensions, measures with units."""
    return {
        "name": definition.name,
        "version": definition.version,
        "title": definition.title._asdict(),
        "description": definition.description._asdict(),
        "period": definition.period,
        "dimensions": [
            {"name": item.name, "title": item.title._asdict(), "description": item.description._asdict()}
            for item in definition.dimensions
        ],
        "measures": [
            {
                "name": item.name,
                "kind": item.kind,
                "unit": item.unit,
                "title": item.title._asdict(),
                "description": item.description._asdict(),
            }
            for item in definition.measures
        ],
        "learner_keys": {
            "days": definition.learner_keys_days,
            "justification": definition.learner_keys_justification._asdict(),
        },
        "sha256": definition.sha256,
    }
