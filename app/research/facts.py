"""Statements to facts: one row each, flat and typed, for the columns of ``columns.COLUMNS``.

Facts hold personal data (the learner's token, the session) and live in memory only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import attrgetter

import msgspec
import polars as pl

from app.core import lossless
from app.standards.profiles.terms import (
    ATTEMPT,
    HINTS,
    LEVEL,
    PERSON_PROFILE,
    PERSON_PROFILES,
    PROFILE_SPELLINGS,
    PUPIL,
    SCHOOL,
    SERVICE,
    SERVICE_TYPE,
    SERVICE_TYPES,
    TOOL,
)
from app.traces.statements.store import Plain

VIDEO_SESSION = "https://w3id.org/xapi/video/extensions/session-id"
"""The video profile's session, used when a statement has no registration."""

SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "stored": pl.Int64,
    "time": pl.Int64,
    "source": pl.String,
    "learner": pl.Binary,
    "session": pl.String,
    "verb": pl.String,
    "activity": pl.String,
    "activity_type": pl.String,
    "school": pl.String,
    "level": pl.String,
    "person_profile": pl.String,
    "service": pl.String,
    "service_type": pl.String,
    "tool": pl.String,
    "success": pl.Boolean,
    "completion": pl.Boolean,
    "score": pl.Int64,
    "duration": pl.Int64,
    "hints": pl.Int64,
    "attempt": pl.Int64,
    "mark": pl.Int64,
}

MAX_DURATION_MS = 31 * 24 * 3_600_000
MAX_COUNT = 1_000_000
CHUNK = 200
_MAX_DURATION_LENGTH = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# ISO 8601 without years and months, whose length is not fixed.
_DURATION = re.compile(
    r"P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z",
    re.ASCII,
)
_UNITS_MS = (604_800_000, 86_400_000, 3_600_000, 60_000, 1_000)


# What facts need of a statement: the decoder skips the rest. Extensions hold any JSON (xAPI-Data 2.4.7), the other
# types are what validation let in.


class _ContextExtensions(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "video_session": VIDEO_SESSION,
        "school": SCHOOL,
        "level": LEVEL,
        "person_profile": PERSON_PROFILE,
        "service": SERVICE,
        "service_type": SERVICE_TYPE,
        "tool": TOOL,
    },
):
    video_session: object = None
    school: object = None
    level: object = None
    person_profile: object = None
    service: object = None
    service_type: object = None
    tool: object = None


class _Context(msgspec.Struct, frozen=True, gc=False):
    registration: str | None = None
    platform: str | None = None
    extensions: _ContextExtensions = _ContextExtensions()


class _ResultExtensions(msgspec.Struct, frozen=True, gc=False, rename={"hints": HINTS, "attempt": ATTEMPT}):
    hints: object = None
    attempt: object = None


class _Score(msgspec.Struct, frozen=True, gc=False):
    scaled: float | None = None


class _Result(msgspec.Struct, frozen=True, gc=False):
    success: bool | None = None
    completion: bool | None = None
    duration: str | None = None
    score: _Score = _Score()
    extensions: _ResultExtensions = _ResultExtensions()


class _ActivityDefinition(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None


class _Object(msgspec.Struct, frozen=True, gc=False):
    objectType: str = "Activity"
    id: str | None = None
    definition: _ActivityDefinition = _ActivityDefinition()


class _Verb(msgspec.Struct, frozen=True, gc=False):
    id: str


class _Statement(msgspec.Struct, frozen=True, gc=False):
    verb: _Verb
    object: _Object
    timestamp: str
    context: _Context = _Context()
    result: _Result = _Result()


_DECODER = msgspec.json.Decoder(_Statement)
_NOTHING = _Object()


def duration_ms(text: str) -> int | None:
    """An ISO 8601 duration in milliseconds.

    Returns:
        None when it is no duration, has years or months (no fixed length), has more than 64 characters, or is longer
        than 31 days, which no sitting lasts: one absurd value would carry a sum away.
    """
    # What is remembered stays small, and a float, whatever senders write.
    return _duration_ms(text) if len(text) <= _MAX_DURATION_LENGTH else None


# Tools round durations: most texts recur.
@lru_cache(maxsize=16_384)
def _duration_ms(text: str) -> int | None:
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        return None
    total = round(sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS_MS, strict=True) if part))
    return total if total <= MAX_DURATION_MS else None


def microseconds(text: str) -> int | None:
    """An ISO 8601 timestamp in microseconds since 1970 UTC; UTC is meant when no offset is said."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def months_counted(batch: Sequence[Plain], timezone: str) -> set[str]:
    """The months (``2026-11``) in whose figures these statements are, whatever the period of the aggregate.

    A week is kept with the month that its Monday is in.
    """
    if not batch:
        return set()
    facts = extract(batch, timezone)
    return {f"{day:%Y-%m}" for name in ("day", "week", "month") for day in facts[name].drop_nulls().unique()}


def extract(batch: Sequence[Plain], timezone: str, pupils_only: Set[str] = frozenset()) -> pl.DataFrame:
    """Facts of a batch, one row a statement, in order.

    Args:
        batch: Opened statements.
        timezone: Of days, weeks and months.
        pupils_only: Sources whose register entry declares pupils as its only data subjects: whoever they send of is
            one, unless the statement says otherwise.

    Returns:
        Columns are those of ``SCHEMA`` (``stored`` and ``time`` in microseconds since 1970 UTC; ``score`` in
        millionths, ``duration`` in milliseconds; ``mark``, 31 bits of the statement's id), and ``day``, ``week``,
        ``month``: the first day of each period in ``timezone``, weeks from Monday (ISO 8601). ``time`` is the
        timestamp, or ``stored`` when that is unusable or later: nothing was stored before it happened, so that clock
        was wrong. What a statement does not say, or says in another type than the column's, is null.
    """
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA}
    add = {name: column.extend for name, column in columns.items()}
    decode = _DECODER.decode
    # Few at a time: what was decoded is read while it is still in the processor's cache.
    for start in range(0, len(batch), CHUNK):
        part = batch[start : start + CHUNK]
        try:
            statements = [decode(plain.body) for plain in part]
        except msgspec.ValidationError:
            # A number beyond what 64-bit floats hold, where it may be anything.
            statements = [msgspec.convert(lossless.loads(plain.body), _Statement) for plain in part]
        contexts = list(map(attrgetter("context"), statements))
        said = list(map(attrgetter("extensions"), contexts))
        results = list(map(attrgetter("result"), statements))
        added = list(map(attrgetter("extensions"), results))
        # xAPI-Data 2.4.4: an object without objectType is an Activity.
        things = [
            thing if (thing := statement.object).objectType == "Activity" else _NOTHING for statement in statements
        ]
        add["stored"](map(attrgetter("stored"), part))
        add["time"](
            plain.stored
            if (moment := microseconds(statement.timestamp)) is None or not 0 <= moment <= plain.stored
            else moment
            for plain, statement in zip(part, statements, strict=True)
        )
        add["source"](map(attrgetter("source"), part))
        add["learner"](map(attrgetter("subject"), part))
        # Of the statement's id, short enough that billions of them can be added up.
        add["mark"](hash(plain.id) & 0x7FFF_FFFF for plain in part)
        add["session"](
            context.registration or extensions.video_session for context, extensions in zip(contexts, said, strict=True)
        )
        add["verb"](map(attrgetter("verb.id"), statements))
        add["activity"](map(attrgetter("id"), things))
        add["activity_type"](map(attrgetter("definition.type"), things))
        add["school"](map(attrgetter("school"), said))
        add["level"](map(attrgetter("level"), said))
        add["person_profile"](map(attrgetter("person_profile"), said))
        add["service"](
            extensions.service or context.platform for context, extensions in zip(contexts, said, strict=True)
        )
        add["service_type"](map(attrgetter("service_type"), said))
        add["tool"](map(attrgetter("tool"), said))
        add["success"](map(attrgetter("success"), results))
        add["completion"](map(attrgetter("completion"), results))
        add["score"](
            None if (scaled := result.score.scaled) is None else round(scaled * 1_000_000) for result in results
        )
        add["duration"](None if (text := result.duration) is None else duration_ms(text) for result in results)
        add["hints"](map(attrgetter("hints"), added))
        add["attempt"](map(attrgetter("attempt"), added))
    facts = pl.DataFrame([_series(name, kind, columns[name]) for name, kind in SCHEMA.items()])
    return _checked(facts, timezone, pupils_only)


def _series(name: str, kind: type[pl.DataType] | pl.DataType, values: list[object]) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=kind, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        # Extensions hold any JSON (xAPI-Data 2.4.7): what is not of the column's type says nothing here.
        wanted = {pl.String: str, pl.Boolean: bool, pl.Int64: int, pl.Binary: bytes}[kind]  # type: ignore[index]
        return pl.Series(
            name,
            [
                value
                if type(value) is wanted and (wanted is not int or abs(value) <= 1 << 62)  # type: ignore[arg-type]
                else None
                for value in values
            ],
            dtype=kind,
        )


def _checked(facts: pl.DataFrame, timezone: str, pupils_only: Set[str]) -> pl.DataFrame:
    """Values outside their nomenclature become null, so that no free text passes for a school or a level."""

    def kept(name: str, condition: pl.Expr) -> pl.Expr:
        return pl.when(condition).then(pl.col(name)).otherwise(None).alias(name)

    day = pl.from_epoch("time", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.date()
    return facts.with_columns(
        kept("school", pl.col("school").str.contains(r"^[0-9]{7}[A-HJ-NPR-Z]$")),
        kept("level", pl.col("level").str.contains(r"^[0-9A-Z]{4,11}$")).str.replace(r"^([0-9]{10})[0-9]$", "${1}"),
        # One spelling of each, and one level of a code: feeds add an eleventh digit.
        pl.when(pl.col("person_profile").is_in(PERSON_PROFILES))
        .then(pl.col("person_profile").replace(PROFILE_SPELLINGS))
        .when(pl.col("source").is_in(list(pupils_only)))
        .then(pl.lit(PUPIL))
        .alias("person_profile"),
        kept("service_type", pl.col("service_type").is_in(SERVICE_TYPES)),
        kept("hints", pl.col("hints").is_between(0, MAX_COUNT)),
        kept("attempt", pl.col("attempt").is_between(1, MAX_COUNT)),
        day.alias("day"),
    ).with_columns(pl.col("day").dt.truncate("1w").alias("week"), pl.col("day").dt.truncate("1mo").alias("month"))
