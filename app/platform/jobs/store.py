"""The scheduler's lease, and what each job did: ``leases``, ``jobs`` and ``job_runs``.

The lease runs on the database server's clock (``$$NOW``): the clocks of the schedulers' hosts play no part.
Its fence number goes up at each take-over; whoever writes under an older number is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from app.core import clock
from app.core.errors import LeaseLost
from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated

LEASES = "leases"
JOBS = "jobs"
RUNS = "job_runs"
COLLECTIONS = (
    Declared(LEASES, Impersonal("who leads")),
    Declared(JOBS, Impersonal("when jobs are due")),
    Declared(
        RUNS,
        Impersonal("runs of jobs: counts and errors"),
        (Index("job_started", (("job", 1), ("started", -1))), Index("started", (("started", 1),))),
    ),
)

_LEASE = "scheduler"

RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
ABANDONED = "abandoned"
INTERRUPTED = "interrupted"


class Held(NamedTuple):
    """Holder of the lease, and the seconds left of it on the server's clock."""

    holder: str
    fence: int
    seconds_left: float


class LeaseRepository:
    """The one lease of the schedulers."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(LEASES)
        self._clock = store.clock

    def acquire(self, holder: str, seconds: float) -> int | None:
        """Take the lease if it is free or expired.

        Returns:
            The new fence number, or None when another holder has it.
        """
        with translated():
            with suppress(DuplicateKeyError):  # another scheduler made it at the same moment
                # An upsert cannot hold the condition on $$NOW, so the document comes first, once.
                self._collection.update_one(
                    {"_id": _LEASE},
                    {"$setOnInsert": {"holder": None, "fence": 0, "expires": None}},
                    upsert=True,
                )
            taken = self._collection.find_one_and_update(
                {
                    "_id": _LEASE,
                    "$expr": {"$or": [{"$eq": ["$holder", None]}, {"$lte": ["$expires", "$$NOW"]}]},
                },
                [
                    {
                        "$set": {
                            "holder": {"$literal": holder},
                            "fence": {"$add": ["$fence", 1]},
                            "expires": _expiry(seconds),
                        }
                    }
                ],
                return_document=ReturnDocument.AFTER,
            )
        return int(taken["fence"]) if taken else None

    def renew(self, holder: str, fence: int, seconds: float) -> bool:
        """Lengthen the lease from now on; False when another took it over."""
        asked = clock.steady()
        with translated():
            renewed = self._collection.find_one_and_update(
                {"_id": _LEASE, "holder": holder, "fence": fence},
                [{"$set": {"expires": _expiry(seconds)}}],
                return_document=ReturnDocument.AFTER,
            )
        if renewed is None:
            return False
        self._clock.note(renewed["expires"] - timedelta(milliseconds=round(seconds * 1000)), asked, clock.steady())
        return True

    def release(self, holder: str, fence: int) -> None:
        """Give the lease back, if it is still held; the fence number stays."""
        with translated():
            self._collection.update_one(
                {"_id": _LEASE, "holder": holder, "fence": fence}, {"$set": {"holder": None, "expires": None}}
            )

    def held(self) -> Held | None:
        """The holder of the lease now; None when it is free or expired."""
        with translated():
            found = list(
                self._collection.aggregate(
                    [
                        {"$match": {"_id": _LEASE, "holder": {"$ne": None}}},
                        {"$set": {"left": {"$subtract": ["$expires", "$$NOW"]}}},
                    ]
                )
            )
        if not found or found[0]["left"] <= 0:
            return None
        return Held(found[0]["holder"], int(found[0]["fence"]), found[0]["left"] / 1000)


def _expiry(seconds: float) -> Document:
    return {"$add": ["$$NOW", round(seconds * 1000)]}


class JobState(NamedTuple):
    """State of a job; times in microseconds since 1970 UTC, None for never.

    Attributes:
        name: Its name.
        schedule: Its cron expression.
        since: When it was first declared.
        last_started: Start of the newest run.
        last_finished: End of the newest run that ended.
        last_success: End of the newest run that succeeded.
        last_outcome: ``running``, ``succeeded``, ``failed``, ``abandoned`` or ``interrupted``.
        last_error: Class and stable code of the last failure, cleared by a success.
        interruptions: Runs in a row that were cut off with their process.
        runs: Runs started.
        failures: Runs that failed or were cut off; those of before this was noted are not among them.
        last_seconds: How long the newest run that ended took; None for none since this is noted.
    """

    name: str
    schedule: str
    since: int
    last_started: int | None
    last_finished: int | None
    last_success: int | None
    last_outcome: str | None
    last_error: Mapping[str, str] | None
    interruptions: int
    runs: int
    failures: int = 0
    last_seconds: float | None = None


class Run(NamedTuple):
    """One run of a job; times in microseconds since 1970 UTC."""

    id: UUID
    job: str
    fence: int
    started: int
    finished: int | None
    outcome: str
    summary: Mapping[str, object]
    error: Mapping[str, str] | None


class JobRepository:
    """State and history of jobs. Every write names the fence it is made under."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs = store.collection(JOBS)
        self._runs = store.collection(RUNS)

    def declare(self, schedules: Mapping[str, str], now: int) -> None:
        """Make the jobs known, with their cron expressions."""
        with translated():
            for name, schedule in schedules.items():
                self._jobs.update_one(
                    {"_id": name},
                    {
                        "$set": {"schedule": schedule},
                        "$setOnInsert": {"since": now, "fence": 0, "interruptions": 0, "runs": 0},
                    },
                    upsert=True,
                )

    def started(self, run: Run) -> None:
        """Record that a run begins. One whose end was never recorded is interrupted by it.

        Raises:
            LeaseLost: a run was begun under a higher fence; this one must not begin.
        """
        with translated(), self._store.transaction() as session:
            before = self._jobs.find_one_and_update(
                {"_id": run.job, "fence": {"$lte": run.fence}},
                {
                    "$set": {
                        "fence": run.fence,
                        "current": run.id,
                        "last_started": run.started,
                        "last_outcome": RUNNING,
                    },
                    "$inc": {"runs": 1},
                },
                projection={"current": 1},
                session=session,
            )
            if before is None:
                raise LeaseLost()
            if "current" in before:
                self._cut_off(before["current"], run.started, session)
                self._jobs.update_one({"_id": run.job}, {"$inc": {"failures": 1}}, session=session)
            self._runs.insert_one(
                {
                    "_id": run.id,
                    "job": run.job,
                    "fence": run.fence,
                    "started": run.started,
                    "finished": None,
                    "outcome": RUNNING,
                    "summary": {},
                    "error": None,
                },
                session=session,
            )

    def finished(self, run: Run) -> None:
        """Record how a run ended.

        Raises:
            LeaseLost: another run of the job was begun since, under a higher fence; this outcome is refused.
        """
        news: Document = {
            "last_finished": run.finished,
            "last_outcome": run.outcome,
            "interruptions": 0,
        }
        if run.finished is not None:
            news["last_seconds"] = (run.finished - run.started) / 1_000_000
        if run.outcome == SUCCEEDED:
            news |= {"last_success": run.finished, "last_error": None}
        elif run.error is not None:
            news["last_error"] = run.error
        with translated(), self._store.transaction() as session:
            allowed = self._jobs.update_one(
                {"_id": run.job, "fence": run.fence, "current": run.id},
                {"$set": news, "$unset": {"current": ""}, "$inc": {"failures": int(run.outcome == FAILED)}},
                session=session,
            )
            if allowed.matched_count == 0:
                raise LeaseLost()
            self._runs.update_one(
                {"_id": run.id, "outcome": RUNNING},
                {
                    "$set": {
                        "finished": run.finished,
                        "outcome": run.outcome,
                        "summary": run.summary,
                        "error": run.error,
                    }
                },
                session=session,
            )

    def interrupt(self, below: int, now: int) -> list[str]:
        """Mark the runs that began under a fence below ``below`` and never ended; names of their jobs."""
        names = []
        with translated(), self._store.transaction() as session:
            found = list(self._jobs.find({"current": {"$exists": True}, "fence": {"$lt": below}}, session=session))
            for job in found:
                self._jobs.update_one(
                    {"_id": job["_id"]},
                    {
                        # The fence moves up too: the run that was cut off can no longer report an end.
                        "$set": {"last_outcome": INTERRUPTED, "fence": below},
                        "$unset": {"current": ""},
                        "$inc": {"interruptions": 1, "failures": 1},
                    },
                    session=session,
                )
                self._cut_off(job["current"], now, session)
                names.append(str(job["_id"]))
        return names

    def _cut_off(self, run: UUID, now: int, session: ClientSession) -> None:
        self._runs.update_one(
            {"_id": run, "outcome": RUNNING}, {"$set": {"finished": now, "outcome": INTERRUPTED}}, session=session
        )

    def states(self) -> list[JobState]:
        """Every job ever declared, by name."""
        with translated():
            return [_state(document) for document in self._jobs.find({}).sort("_id", 1)]

    def history(self, name: str, limit: int) -> list[Run]:
        """The newest runs of a job first."""
        with translated():
            return [_run(d) for d in self._runs.find({"job": name}).sort([("started", -1)]).limit(limit)]

    def prune(self, before: int) -> int:
        """Delete the history of runs begun before ``before``; how many went."""
        with translated():
            return self._runs.delete_many({"started": {"$lt": before}, "outcome": {"$ne": RUNNING}}).deleted_count


def _state(document: Document) -> JobState:
    return JobState(
        document["_id"],
        document["schedule"],
        int(document["since"]),
        document.get("last_started"),
        document.get("last_finished"),
        document.get("last_success"),
        document.get("last_outcome"),
        document.get("last_error"),
        int(document["interruptions"]),
        int(document["runs"]),
        int(document.get("failures", 0)),
        document.get("last_seconds"),
    )


def _run(document: Document) -> Run:
    return Run(
        document["_id"],
        document["job"],
        int(document["fence"]),
        int(document["started"]),
        document["finished"],
        document["outcome"],
        document["summary"],
        document["error"],
    )
