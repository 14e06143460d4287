"""Statements to facts: one row each, flat and typed, for the columns of ``columns.COLUMNS``.

Facts hold personal data (the learner's token, the session) and live in memory only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import orjson
import polars as pl

from app.profiles.terms import (
    ATTEMPT,
    HINTS,
    LEVEL,
    PERSON_PROFILE,
    PERSON_PROFILES,
    SCHOOL,
    SERVICE,
    SERVICE_TYPE,
    SERVICE_TYPES,
    TOOL,
)
from app.storage.statements import Plain

VIDEO_SESSION = "https://w3id.org/xapi/video/extensions/session-id"
"""The video profile's session, used when a statement has no registration."""

SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
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
}

MAX_DURATION_MS = 31 * 24 * 3_600_000
MAX_COUNT = 1_000_000
LAST_MOMENT = 4_102_444_800_000_000
"""2100-01-01: a timestamp from there on, or before 1970, comes from a broken clock."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# ISO 8601 without years and months, whose length is not fixed.
_DURATION = re.compile(
    r"P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z",
    re.ASCII,
)
_UNITS_MS = (604_800_000, 86_400_000, 3_600_000, 60_000, 1_000)


# Tools round durations: most texts recur.
@lru_cache(maxsize=65_536)
def duration_ms(text: str) -> int | None:
    """An ISO 8601 duration in milliseconds.

    Returns:
        None when it is no duration, has years or months (no fixed length), or is longer than 31 days,
        which no sitting lasts: one absurd value would carry a sum away.
    """
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


def extract(batch: Sequence[Plain], timezone: str) -> pl.DataFrame:
    """Facts of a batch, one row a statement, in order.

    Columns are those of ``SCHEMA`` (``time`` in microseconds since 1970 UTC, ``stored`` standing in for an
    unusable timestamp; ``score`` in millionths,
    ``duration`` in milliseconds), and ``day``, ``week``, ``month``: the first day of each period in
    ``timezone``, weeks from Monday (ISO 8601). What a statement does not say, or says in another type than
    the column's, is null.
    """
    # One list a column, filled in one flat loop: this is what the aggregate job spends its time in.
    loads = orjson.loads
    nothing: dict[str, object] = {}
    columns: list[list[object]] = [[] for _ in SCHEMA]
    (
        add_time, add_source, add_learner, add_session, add_verb, add_activity, add_type, add_school, add_level,
        add_profile, add_service, add_service_type, add_tool, add_success, add_completion, add_score,
        add_duration, add_hints, add_attempt,
    ) = (column.append for column in columns)  # fmt: skip
    for _, stored, source, subject, body in batch:
        statement = loads(body)
        moment = microseconds(statement["timestamp"])
        add_time(stored if moment is None or not 0 <= moment < LAST_MOMENT else moment)
        add_source(source)
        add_learner(subject)
        add_verb(statement["verb"]["id"])
        thing = statement["object"]
        # xAPI-Data 2.4.4: an object without objectType is an Activity.
        if thing.get("objectType", "Activity") == "Activity":
            add_activity(thing["id"])
            add_type(thing.get("definition", nothing).get("type"))
        else:
            add_activity(None)
            add_type(None)
        context = statement.get("context", nothing)
        said = context.get("extensions") or nothing
        add_session(context.get("registration") or said.get(VIDEO_SESSION))
        add_school(said.get(SCHOOL))
        add_level(said.get(LEVEL))
        add_profile(said.get(PERSON_PROFILE))
        add_service(said.get(SERVICE) or context.get("platform"))
        add_service_type(said.get(SERVICE_TYPE))
        add_tool(said.get(TOOL))
        result = statement.get("result")
        if result is None:
            add_success(None)
            add_completion(None)
            add_score(None)
            add_duration(None)
            add_hints(None)
            add_attempt(None)
        else:
            add_success(result.get("success"))
            add_completion(result.get("completion"))
            scaled = result.get("score", nothing).get("scaled")
            add_score(None if scaled is None else round(scaled * 1_000_000))
            duration = result.get("duration")
            add_duration(None if duration is None else duration_ms(duration))
            said = result.get("extensions") or nothing
            add_hints(said.get(HINTS))
            add_attempt(said.get(ATTEMPT))
    facts = pl.DataFrame(
        [_series(name, kind, column) for (name, kind), column in zip(SCHEMA.items(), columns, strict=True)]
    )
    return _checked(facts, timezone)


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


def _checked(facts: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """Values outside their nomenclature become null, so that no free text passes for a school or a level."""

    def kept(name: str, condition: pl.Expr) -> pl.Expr:
        return pl.when(condition).then(pl.col(name)).otherwise(None).alias(name)

    day = pl.from_epoch("time", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone(timezone).dt.date()
    return facts.with_columns(
        kept("school", pl.col("school").str.contains(r"^[0-9]{7}[A-HJ-NPR-Z]$")),
        kept("level", pl.col("level").str.contains(r"^[0-9A-Z]{4,11}$")),
        kept("person_profile", pl.col("person_profile").is_in(PERSON_PROFILES)),
        kept("service_type", pl.col("service_type").is_in(SERVICE_TYPES)),
        kept("hints", pl.col("hints").is_between(0, MAX_COUNT)),
        kept("attempt", pl.col("attempt").is_between(1, MAX_COUNT)),
        day.alias("day"),
    ).with_columns(pl.col("day").dt.truncate("1w").alias("week"), pl.col("day").dt.truncate("1mo").alias("month"))
