"""Bounds of the cost of one request, or of one run of a job: the table that ``docs/performance.md`` shows.

Processor time and memory are those of the process that does the work, and of MongoDB. A bound grows with what is asked
for: with each MiB of JSON (as decoded, for what comes in; as given, for what goes out; as stored, for what a job
reads), and with each statement. At the limits of a body (20 MiB, 10,000 statements) it allows some two seconds more
than an ordinary body of that size takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

MIB = 1 << 20


class Bound(NamedTuple):
    """Bound of a cost.

    Attributes:
        what: On what.
        seconds: Of a processor, by the worker (or by the process of a job).
        per_mib: As many more for each MiB.
        per_statement: As many more for each statement.
        mib: Of memory, above what the process had before its first request.
        mib_per_mib: As many more for each MiB.
        database: Seconds of a processor, by MongoDB.
        database_per_mib: As many more for each MiB.
        database_per_statement: As many more for each statement.
        kept_per_mib: MiB that may be added to the database for each MiB that came in.
    """

    what: str
    seconds: float
    per_mib: float
    mib: float
    mib_per_mib: float
    per_statement: float = 0.0
    database: float = 0.5
    database_per_mib: float = 0.1
    database_per_statement: float = 0.0
    kept_per_mib: float = 4.0

    def processor(self, mib: float, statements: int = 0) -> float:
        """Seconds that a request of this size may take on this machine."""
        return machine() * (self.seconds + self.per_mib * mib + self.per_statement * statements)

    def mongod(self, mib: float, statements: int = 0) -> float:
        """Seconds that MongoDB may take for it on this machine."""
        return machine() * (self.database + self.database_per_mib * mib + self.database_per_statement * statements)

    def memory(self, mib: float) -> float:
        """MiB that its process may have above its idle state."""
        return min(self.mib + self.mib_per_mib * mib, MAX_MEMORY)


MAX_MEMORY = 400.0
"""MiB above the idle worker that no request may pass, whatever its size."""

MAX_KEPT = 300.0
"""MiB above the idle worker that a worker may still have some seconds after all of them."""

STATEMENTS = Bound("statements, stored", 0.3, 0.25, 120, 15, 0.0004, 0.5, 0.1, 0.0004)
REFUSED = Bound("statements, refused", 0.3, 0.25, 120, 15, 0.0004, 0.3, 0.02)
CHECKED = Bound("`/api/v1/check`", 0.3, 0.3, 120, 15, 0.0004, 0.3, 0.02)
ATTACHMENTS = Bound("statements with data of attachments", 0.5, 0.25, 120, 15, 0.0004, 0.7, 0.1, 0.0004)
FORMS = Bound("forms of the alternate syntax", 0.3, 0.3, 120, 15, 0.0004, 0.5, 0.1, 0.0004)
DOCUMENTS = Bound("documents", 0.3, 0.2, 120, 15)
ASKED = Bound("bodies of `/api/v1`", 0.3, 0.5, 120, 20, database=0.5, database_per_mib=0.3)
HEADS = Bound("heads: query, headers, credentials", 0.05, 0.0, 120, 0, database=0.05)
FRAMES = Bound("framing: chunks, lengths, members of gzip", 0.3, 0.25, 120, 15)
READINGS = Bound("readings", 0.3, 0.25, 150, 15, 0.0004)
PACKAGES = Bound("subject access exports", 1.0, 0.5, 150, 15, 0.0007)
JOBS = Bound("jobs and commands", 3.0, 0.15, 150, 15, 0.0005, 3.0, 0.15, 0.0005)

TABLE = (
    STATEMENTS,
    REFUSED,
    CHECKED,
    ATTACHMENTS,
    FORMS,
    DOCUMENTS,
    ASKED,
    HEADS,
    FRAMES,
    READINGS,
    PACKAGES,
    JOBS,
)

# Processor time of `_reckoned` on the machine of docs/performance.md while nothing else runs.
_NOMINAL_SECONDS = 0.055
_known: list[float] = []


def machine() -> float:
    """The factor by which this machine is slower than that of ``docs/performance.md``; never less than 1."""
    if not _known:
        _known.append(max(1.0, min(_reckoned() for _ in range(3)) / _NOMINAL_SECONDS))
    return _known[0]


def _reckoned() -> float:
    began = time.process_time()
    kept: dict[str, int] = {}
    for number in range(200_000):
        text = str(number * 7)
        kept[text[-3:]] = kept.get(text[-3:], 0) + len(text)
    return time.process_time() - began


def lines() -> Iterator[str]:
    """The table, as the page shows it."""
    yield "| | seconds of the worker | of MongoDB | MiB of memory |"
    yield "| --- | --- | --- | --- |"
    for each in TABLE:
        worker = _sum(each.seconds, each.per_mib, each.per_statement)
        database = _sum(each.database, each.database_per_mib, each.database_per_statement)
        memory = f"{each.mib:g}" + (f" + {each.mib_per_mib:g} a MiB" if each.mib_per_mib else "")
        yield f"| {each.what} | {worker} | {database} | {memory} |"


def _sum(base: float, per_mib: float, per_statement: float) -> str:
    more = [f" + {per_mib:g} a MiB"] if per_mib else []
    more += [f" + {per_statement * 1000:g} a thousand statements"] if per_statement else []
    return f"{base:g}{''.join(more)}"
