"""The job that keeps aggregates up to date: one pass over what is new, for every definition.

Exactly once: the parts of a step and the watermark behind it are committed in one transaction, so that a killed run
goes on where it was. A commit is refused once another run, or a newer lease, has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BytesIO
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from app.core import clock
from app.core.errors import DefinitionInvalid, LeaseLost
from app.crypto.keys import OrganisationKeys
from app.research.columns import LEARNER
from app.research.compute import KEY, Plan, State, first_stored, merge, merged, partial
from app.research.definitions import Definition, parse
from app.research.disclosure import protect
from app.research.facts import extract
from app.research.publication import shown_next
from app.research.scope import Scope
from app.research.store import AggregateRepository, AggregateState, PartName, Piece, Shown
from app.traces.statements.reader import StatementReader

PARTITION = 1_000
"""Statements read and opened at a time. More gain nothing: they live long enough for the garbage collector to visit
them, and no longer fit the processor's cache."""
STEP = 50_000
"""Statements between two commits: fewer and larger parts, and still a small loss when killed."""
FANOUT = 8
"""Parts of one level and month that are merged into one of the next level."""
PIECE_BYTES = 8 * 1024 * 1024
"""Largest piece before sealing; MongoDB's documents end at 16 MB."""
SHOWN = "shown-"
"""Before the name of a table: as it is shown, beside as it is counted."""
CELLS = "cells"
"""The only table of a settled month: every roll-up, protected, without keys."""
ROLLUP = "rollup"
DAY = 86_400_000_000
"""Microseconds."""

RECOUNT_ATTEMPTS = 5
"""Attempts to count a month again while refreshes commit."""
RECOUNT_MERGED = 32
"""Partial states of one month kept before they are merged, while it is counted again."""

Progress = Callable[[int, int], None]


class RunSummary(NamedTuple):
    """Outcome of a run.

    Attributes:
        statements: Statements read.
        late: Statements left out because their month is settled.
        corrected: Months counted again because a statement in them was voided.
        compacted: Groups of parts made one.
        waiting: Cells with a change too small to be shown.
        settled: Months settled.
        through: Every statement stored before is counted, microseconds.
    """

    statements: int
    late: int
    corrected: int
    compacted: int
    waiting: int
    settled: int
    through: int


class Recounted(NamedTuple):
    """The months that may have counted a learner, by what became of them, as pairs of aggregate (``name@version``) and
    month.

    Attributes:
        recounted: Counted again, without them.
        published: Left as they are: settled, so that nobody can tell who was counted; or some of their statements are
            gone already, and counting what is left would take others out too. Of these no pseudonym of the learner
            stays.
    """

    recounted: tuple[tuple[str, str], ...]
    published: tuple[tuple[str, str], ...]


@dataclass
class _Running:
    plan: Plan
    state: AggregateState


class _Meter:
    """Turns places in stored time into progress."""

    def __init__(self, progress: Progress | None, through: int) -> None:
        self._progress = progress
        self._through = through
        self._origin: int | None = None

    def passed(self, first: int, last: int) -> None:
        if self._origin is None:
            self._origin = first
        if self._progress:
            self._progress(max(last - self._origin, 0), max(self._through - self._origin, 1))


class AggregateJob:
    """Refreshes every aggregate. One run at a time in a process."""

    def __init__(
        self,
        parts: AggregateRepository,
        keys: OrganisationKeys,
        reader: StatementReader,
        definitions: Sequence[Definition],
        *,
        timezone: str,
        minimum_group: int,
        scope: Scope,
    ) -> None:
        """Make the job.

        Args:
            parts: Where aggregates are kept.
            keys: Makes pseudonyms.
            reader: Reads statements.
            definitions: Of the aggregates.
            timezone: Of days, weeks and months.
            minimum_group: Smallest number of distinct learners behind a figure.
            scope: What is counted, and who is left out.
        """
        self._scope = scope
        self._parts = parts
        self._keys = keys
        self._reader = reader
        self._definitions = definitions
        self._timezone = timezone
        self._minimum = minimum_group

    def run(
        self,
        fence: int | None = None,
        progress: Progress | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> RunSummary:
        """Count everything stored up to the consistent-through bound, then show of it what may be shown.

        Args:
            fence: Fencing number of the lease this runs under. None (a run by hand): the highest seen so far.
            progress: Told (microseconds of stored time covered, microseconds to cover) after each partition.
            check: Called while months are counted again; what it raises ends the run.

        Raises:
            LeaseLost: another run took over; what was committed before stays, and is not counted twice.
            DefinitionInvalid: a file's figures changed without a new version.
        """
        through = self._reader.consistent_through()
        running = [_Running(Plan(definition), self._begun(definition)) for definition in self._definitions]
        if fence is None:
            fence = max(item.state.fence for item in running)
        before = {item.state.id: item.state.late for item in running}
        corrected = self._correct(running, fence, through, check)
        statements = self._read(running, through, fence, _Meter(progress, through))
        compacted = waiting = settled = 0
        for item in running:
            compacted += self._compact(item, fence)
            waiting += self._show(item, fence, through)
            settled += self._settle(item, fence, through)
            item.state = self._parts.finish(item.state, fence, through)
        self._drop_superseded(running)
        late = sum(item.state.late - before[item.state.id] for item in running)
        return RunSummary(statements, late, corrected, compacted, waiting, settled, through)

    def recount(
        self,
        data_subjects: Callable[[], Sequence[Sequence[bytes]]],
        kept_since: int,
        check: Callable[[], None] = lambda: None,
        note: Callable[[int, Recounted], None] = lambda data_subject, months: None,
    ) -> Recounted:
        """Count the months anew that counted these people, whose statements nobody can read any more.

        May be cut off and run again: a month that is done does not count them any more. Costs the reading of every
        statement stored since the first one that the earliest of these months counted.

        Args:
            data_subjects: Gives of each the subject tokens. All whose statements are going, not one after the other:
                counting a month again for one of them takes the others out as well. Asked again when the statements
                were read: of who has begun to go meanwhile they were not read.
            kept_since: Every statement stored since is still there, but for erased and voided ones; microseconds.
            check: Called before each partition; what it raises ends the run.
            note: Told, just before anything changes, whose months (a place in what ``data_subjects`` gave last) they
                are, and which.

        Returns:
            All of these months.

        Raises:
            LeaseLost: the aggregates are being refreshed, or others begin to go, all the time.
        """
        recounted: set[tuple[str, str]] = set()
        published: set[tuple[str, str]] = set()

        def noted(data_subject: int, months: Recounted) -> None:
            recounted.update(months.recounted)
            published.update(months.published)
            note(data_subject, months)

        for id in sorted(state.id for state in self._parts.states()):
            for attempt in range(RECOUNT_ATTEMPTS):
                state = next((each for each in self._parts.states() if each.id == id), None)
                if state is None:
                    break
                try:
                    self._recount(state, data_subjects, kept_since, check, noted)
                    break
                except LeaseLost:
                    # A refresh has committed meanwhile, or others have begun to go: look again at what there is.
                    check()
                    if attempt == RECOUNT_ATTEMPTS - 1:
                        raise
        return Recounted(tuple(sorted(recounted)), tuple(sorted(published - recounted)))

    def _recount(
        self,
        state: AggregateState,
        data_subjects: Callable[[], Sequence[Sequence[bytes]]],
        kept_since: int,
        check: Callable[[], None],
        note: Callable[[int, Recounted], None],
    ) -> None:
        plan, id = Plan(parse(state.definition)), state.id
        scope = f"aggregate:{plan.definition.name}"
        going = data_subjects()
        keys = [[self._keys.pseudonym(scope, subject) for subject in data_subject] for data_subject in going]
        months: dict[str, list[PartName]] = {}
        for name in self._parts.names(state.id):
            months.setdefault(name.bucket, []).append(name)
        counted = {
            month: self._counted(names, keys, check) for month, names in months.items() if month not in state.settled
        }
        again = {month: names for month, names in months.items() if counted.get(month) and _first(names) >= kept_since}
        kept = [month for month, whose in sorted(counted.items()) if whose and month not in again]
        for data_subject in range(len(going)):
            # A settled month keeps protected cells only: that it counted somebody cannot be told from it.
            published = [
                *sorted(months.keys() & state.settled),
                *(month for month in kept if data_subject in counted[month]),
            ]
            recounted = [month for month in sorted(again) if data_subject in counted[month]]
            if recounted or published:
                note(
                    data_subject,
                    Recounted(tuple((id, month) for month in recounted), tuple((id, month) for month in published)),
                )
        found = self._again(plan, state, again, check)
        if not set(map(tuple, data_subjects())) <= set(map(tuple, going)):
            raise LeaseLost("Statements of further people began to go; nothing of this step was kept.")
        # One for each, so that two who were counted are still two; the same in what is counted and in what is shown.
        nobody = {key: clock.random_bytes(16) for data_subject in keys for key in data_subject}
        for month, names in months.items():
            if not counted.get(month):
                continue
            # What is shown stays until enough have changed (``publication``), and names nobody who left.
            tables = {SHOWN + LEARNER} if month in again else {LEARNER, SHOWN + LEARNER}
            old = [name for name in names if name.table in tables]
            pieces = self._unnamed(old, nobody)
            if month in again:
                old += [name for name in names if name.table in plan.tables]
                pieces += found.get(month, [])
            state = self._parts.replace(state, state.fence, old, pieces)

    def _counted(
        self, names: Sequence[PartName], keys: Sequence[Sequence[bytes]], check: Callable[[], None]
    ) -> set[int]:
        """The places in ``keys`` of the people that a month counts, by their pseudonyms."""
        check()
        found: set[int] = set()
        for _, content in self._contents([name for name in names if name.table in (LEARNER, SHOWN + LEARNER)]):
            there = pl.read_ipc(BytesIO(content))[KEY]
            found.update(data_subject for data_subject, theirs in enumerate(keys) if there.is_in(theirs).any())
        return found

    def _unnamed(self, names: Sequence[PartName], nobody: Mapping[bytes, bytes]) -> list[Piece]:
        """Learner tables in which nobody's pseudonym stands for these: the figures stay as they were published."""
        pieces = []
        for name, content in self._contents(names):
            table = pl.read_ipc(BytesIO(content))
            named = pl.Series(KEY, [nobody.get(key, key) for key in table[KEY].to_list()], dtype=pl.Binary)
            pieces += _cut(name.bucket, name.level, name.first, {name.table: table.with_columns(named)})
        return pieces

    def _again(
        self,
        plan: Plan,
        state: AggregateState,
        months: Mapping[str, Sequence[PartName]],
        check: Callable[[], None],
    ) -> dict[str, list[Piece]]:
        """Count months anew from the statements, up to the same watermark."""
        if not months or state.watermark is None:
            return {}
        mark, through = min(map(_first, months.values())) - 1, state.watermark + 1
        left_out, pupils_only = self._scope.left_out(), self._scope.pupils_only()
        states: dict[str, list[State]] = {month: [] for month in months}
        firsts: dict[str, int] = {}
        while True:
            check()
            batch, reached = self._reader.scan(mark, through, PARTITION, left_out)
            if reached is None:
                break
            mark = reached
            if not batch:
                continue
            facts = extract(batch, self._timezone, pupils_only)
            for bucket, found in self._partial(plan, facts).items():
                if _month(bucket) in states:
                    kept = states[_month(bucket)]
                    kept.append(found)
                    if len(kept) > RECOUNT_MERGED:
                        states[_month(bucket)] = [merge(plan, kept)]
            for bucket, stored in first_stored(facts, plan).items():
                firsts[_month(bucket)] = min(stored, firsts.get(_month(bucket), stored))
        return {
            month: _cut(month, max(name.level for name in months[month]), firsts[month], merge(plan, kept))
            for month, kept in states.items()
            if kept
        }

    def _contents(self, names: Sequence[PartName]) -> list[tuple[PartName, bytes]]:
        contents = self._parts.contents(names)
        if contents is None:
            # Never go on with what is left: the parts would be replaced by less than they hold.
            raise LeaseLost("Parts of this aggregate were replaced by another run; nothing of this step was kept.")
        return contents

    def _begun(self, definition: Definition) -> AggregateState:
        state = self._parts.begin(
            definition.id, definition.name, definition.version, definition.fingerprint, definition.document
        )
        if state.fingerprint != definition.fingerprint:
            raise DefinitionInvalid(
                f"{definition.name}: what version {definition.version} computes has changed. Give it a new version."
            )
        return state

    def _read(self, running: Sequence[_Running], through: int, fence: int, meter: _Meter) -> int:
        """Bring every aggregate to the same place; the ones furthest behind go first, then together."""
        total = 0
        while True:
            behind = min((item.state.watermark for item in running), key=_order)
            ahead = [item.state.watermark for item in running if _order(item.state.watermark) > _order(behind)]
            goal = min(ahead, key=_order) if ahead else None
            together = [item for item in running if item.state.watermark == behind]
            mark, read, ended = self._step(together, behind, goal, through, fence, meter)
            total += read
            if goal is None and ended:
                return total
            if goal is not None and ended and mark != goal:
                # What lay between was voided or deleted since the others passed.
                for item in together:
                    item.state = self._parts.commit(item.state, fence, goal, (), 0)

    def _step(
        self,
        together: Sequence[_Running],
        start: int | None,
        goal: int | None,
        through: int,
        fence: int,
        meter: _Meter,
    ) -> tuple[int | None, int, bool]:
        mark, read, facts, ended = start, 0, [], False
        left_out, pupils_only = self._scope.left_out(), self._scope.pupils_only()
        while read < STEP and not ended:
            batch, reached = self._reader.scan(mark, through, PARTITION, left_out)
            if reached is None:
                ended = True
                break
            if goal is not None and reached >= goal:
                batch, reached, ended = [item for item in batch if item.stored <= goal], goal, True
            mark = reached
            read += len(batch)
            if batch:
                facts.append(extract(batch, self._timezone, pupils_only))
            meter.passed(batch[0].stored if batch else mark, mark)
        if mark != start:
            everything = pl.concat(facts) if facts else None
            for item in together:
                states = {} if everything is None else self._partial(item.plan, everything)
                firsts = {} if everything is None else first_stored(everything, item.plan)
                late = sum(_count(state) for bucket, state in states.items() if _month(bucket) in item.state.settled)
                kept = {bucket: state for bucket, state in states.items() if _month(bucket) not in item.state.settled}
                item.state = self._parts.commit(item.state, fence, mark, _pieces(kept, firsts), late)
        return mark, read, ended

    def _partial(self, plan: Plan, facts: pl.DataFrame) -> dict[date, State]:
        name = plan.definition.name
        return partial(facts, plan, lambda key: self._keys.pseudonym(f"aggregate:{name}", key))

    def _compact(self, item: _Running, fence: int) -> int:
        done = 0
        while (crowded := _crowded(self._parts.names(item.state.id))) is not None:
            state = self._merged(item.plan, crowded) or {}
            pieces = _cut(crowded[0].bucket, crowded[0].level + 1, _first(crowded), state)
            item.state = self._parts.replace(item.state, fence, crowded, pieces)
            done += 1
        return done

    def _correct(self, running: Sequence[_Running], fence: int, through: int, check: Callable[[], None]) -> int:
        """Count again the months in which a statement was voided since the last run, or was taken out otherwise.

        GDPR art. 5(1)(d): a statement that was corrected must not go on counting beside the one that corrects it.
        """
        noted = self._parts.corrections()
        dirty: list[set[str]] = [set(noted.months) for _ in running]
        pupils_only = self._scope.pupils_only()
        began = [item for item in running if item.state.watermark is not None]
        since = min((item.state.corrected for item in began), default=through)
        for batch in self._scope.voided(since, through) if since < through else ():
            check()
            facts = extract(batch, self._timezone, pupils_only)
            for item, months in zip(running, dirty, strict=True):
                months.update(map(_month, first_stored(facts, item.plan)))
        done, kept_since = 0, self._scope.kept_since() if any(dirty) else 0
        for item, wanted in zip(running, dirty, strict=True):
            parts: dict[str, list[PartName]] = {}
            for name in self._parts.names(item.state.id) if wanted else ():
                if name.bucket in wanted - item.state.settled and name.table in item.plan.tables:
                    parts.setdefault(name.bucket, []).append(name)
            # Of which retention has deleted a part, counting what is left would take others out too.
            again = {month: names for month, names in parts.items() if _first(names) >= kept_since}
            found = self._again(item.plan, item.state, again, check)
            for month, names in again.items():
                item.state = self._parts.replace(item.state, fence, names, found.get(month, []))
            done += len(again)
        self._parts.forget_corrections(noted)
        return done

    def _show(self, item: _Running, fence: int, through: int) -> int:
        """Show of each month what may be shown; how many cells wait."""
        today = datetime.fromtimestamp(through // 1_000_000, UTC).astimezone(ZoneInfo(self._timezone)).date()
        months: dict[str, list[PartName]] = {}
        for name in self._parts.names(item.state.id):
            if name.bucket not in item.state.settled:
                months.setdefault(name.bucket, []).append(name)
        plan, minimum = item.plan, max(self._minimum, item.plan.definition.minimum_group)
        for month, names in months.items():
            counted = [name for name in names if name.table in plan.tables]
            shown = [name for name in names if name.table.startswith(SHOWN)]
            of = str(max((name.sequence for name in counted), default=0))
            if plan.definition.period == "day" and month >= f"{today:%Y-%m}":
                # A day more is over tomorrow.
                of = f"{of} {today}"
            before = item.state.shown.get(month)
            if before is not None and before.of == of:
                continue
            old = as_shown(plan, self._contents(shown)) if shown else None
            new = self._merged(plan, counted)
            if new is None:
                # All of it was taken out.
                new = {name: table.clear() for name, table in (old or {}).items()}
            following = shown_next(old, new, plan, minimum, today)
            mark = (month, Shown(of, following.waiting))
            if following.state is None or (old is None and following.state[LEARNER].is_empty()):
                item.state = self._parts.replace(item.state, fence, (), (), shown=mark)
            else:
                tables = {SHOWN + name: table for name, table in following.state.items()}
                pieces = _cut(month, 0, _first(names), tables)
                item.state = self._parts.replace(item.state, fence, shown, pieces, shown=mark)
        return sum(each.waiting for each in item.state.shown.values())

    def _merged(self, plan: Plan, names: Sequence[PartName]) -> State | None:
        tables = self._tables(plan, names)
        return {name: merged(plan, name, frames) for name, frames in tables.items()} or None

    def _settle(self, item: _Running, fence: int, through: int) -> int:
        """Months whose pseudonyms have served their time: keep the protected cells, destroy the keys.

        The time runs from when the first statement counted in the month was stored, as retention's does: an import
        of old traces keeps its keys until its last piece has come.
        """
        limit = through - item.plan.definition.learner_keys_days * DAY
        names = self._parts.names(item.state.id)
        due = sorted({name.bucket for name in names} - item.state.settled)
        done = 0
        for bucket in due:
            old = [name for name in names if name.bucket == bucket]
            if _first(old) >= limit:
                continue
            minimum = max(self._minimum, item.plan.definition.minimum_group)
            shown = [name for name in old if name.table.startswith(SHOWN)]
            pieces = []
            if shown:
                # As it is shown, and no other way: what waits is not shown for the first time by settling.
                cells = pl.concat(
                    [
                        frame.with_columns(pl.lit(",".join(kept)).alias(ROLLUP))
                        for kept, frame in protect(
                            as_shown(item.plan, self._contents(shown)), item.plan, minimum
                        ).items()
                    ],
                    how="diagonal",
                )
                pieces = _cut(bucket, 0, _first(old), {CELLS: cells})
            item.state = self._parts.replace(item.state, fence, old, pieces, settle=bucket)
            done += 1
        return done

    def _tables(self, plan: Plan, names: Sequence[PartName]) -> Mapping[str, list[pl.DataFrame]]:
        return gathered(plan, self._contents(names))

    def _drop_superseded(self, running: Sequence[_Running]) -> None:
        current = {item.plan.definition.name: item.plan.definition.version for item in running}
        for state in self._parts.states():
            if state.version < current.get(state.name, 0):
                self._parts.drop(state.id)


def gathered(plan: Plan, contents: Sequence[tuple[PartName, bytes]]) -> dict[str, list[pl.DataFrame]]:
    """Tables of a state from their stored pieces, not yet merged."""
    tables: dict[str, list[pl.DataFrame]] = {name: [] for name in plan.tables}
    for name, content in contents:
        tables.setdefault(name.table, []).append(pl.read_ipc(BytesIO(content)))
    return {name: frames for name, frames in tables.items() if frames}


def as_shown(plan: Plan, contents: Sequence[tuple[PartName, bytes]]) -> State:
    """The state that is shown, from its stored pieces."""
    tables: dict[str, list[pl.DataFrame]] = {}
    for name, content in contents:
        if name.table.startswith(SHOWN):
            tables.setdefault(name.table.removeprefix(SHOWN), []).append(pl.read_ipc(BytesIO(content)))
    return {name: merged(plan, name, frames) for name, frames in tables.items()}


def _order(mark: int | None) -> int:
    return -1 if mark is None else mark


def _month(bucket: date) -> str:
    return f"{bucket:%Y-%m}"


def _count(state: State) -> int:
    return int(state["sums"]["n0"].sum())


def _first(names: Sequence[PartName]) -> int:
    return min(name.first for name in names)


def _pieces(states: Mapping[date, State], firsts: Mapping[date, int]) -> list[Piece]:
    return [
        piece for bucket, state in sorted(states.items()) for piece in _cut(_month(bucket), 0, firsts[bucket], state)
    ]


def _cut(bucket: str, level: int, first: int, state: State) -> list[Piece]:
    """Tables as Arrow IPC, in pieces; each piece is a whole table of fewer rows, so pieces need no joining."""
    pieces = []
    for table, frame in state.items():
        rows = max(1, frame.height * PIECE_BYTES // max(int(frame.estimated_size()), 1))
        for start in range(0, max(frame.height, 1), rows):
            buffer = BytesIO()
            frame.slice(start, rows).write_ipc(buffer, compression="uncompressed", compat_level=pl.CompatLevel.oldest())
            pieces.append(Piece(bucket, level, table, first, buffer.getvalue()))
    return pieces


def _crowded(names: Sequence[PartName]) -> list[PartName] | None:
    """The oldest parts, ``FANOUT`` commits' worth, of the first month and level that has more than that."""
    groups: dict[tuple[str, int], list[PartName]] = {}
    for name in names:
        if name.table != CELLS and not name.table.startswith(SHOWN):
            groups.setdefault((name.bucket, name.level), []).append(name)
    for _, group in sorted(groups.items()):
        sequences = sorted({name.sequence for name in group})
        if len(sequences) > FANOUT:
            return [name for name in group if name.sequence < sequences[FANOUT]]
    return None
