"""The zstd dictionary that compresses statements: trained on made-up statements only.

A dictionary holds pieces of what it was trained on, and is not sealed: real statements must never train it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from itertools import islice
from random import Random
from types import MappingProxyType
from typing import Final

import orjson
import zstandard

from app.simulation.traces import simulate

SEED: Final = 1
SIZES: Final[Mapping[int, int]] = MappingProxyType({2: 65_536})
"""Bytes of the dictionary of each format of bodies."""
_ACCOUNTS: Final = "https://lms.example.org"
_DISPLAY: Final = "en-US"
_SOURCES: Final = (("Espace numérique de travail", "ent"), ("Tuteur adaptatif", "p2ia"), ("Plateforme de cours", "lms"))


def train(samples: Iterable[bytes], size: int) -> bytes:
    """A dictionary of ``size`` bytes at most from samples, each the JSON bytes of one statement.

    The same samples and the same version of the zstandard library give the same bytes.
    """
    trained: bytes = zstandard.train_dictionary(size, list(samples), level=3).as_bytes()
    return trained


def samples(seed: int = SEED, each: int = 6_000) -> Iterator[bytes]:
    """JSON bytes of made-up statements, with the fields that the store stamps.

    ``each`` statements of the workspace, of the adaptive tools, and of the shapes of other common
    profiles (video, cmi5, learning platforms).
    """
    random = Random(seed)  # noqa: S311 - reproducible on purpose; nothing secret comes of it
    for source in ("ent", "p2ia"):
        traces = simulate(seed=seed, pupils=400, days=60, start=date(2026, 9, 7))
        chosen = (trace.statement for trace in traces if trace.source == source)
        # One in three: neighbours in time say the same about the same class.
        for statement in islice(chosen, 0, each * 3, 3):
            yield _stamped(random, statement, "2.0.0" if random.random() < 0.3 else "1.0.3")
    for _ in range(each):
        shape = random.choices((_video, _cmi5, _platform), (4, 2, 2))[0]
        yield _stamped(random, shape(random), "1.0.3")


def _stamped(random: Random, statement: dict[str, object], version: str) -> bytes:
    """The statement as the store keeps it: id, timestamp, stored, version and authority set."""
    moment = datetime.fromtimestamp(1_780_000_000 + random.randrange(300 * 86_400), UTC)
    stored = f"{moment.isoformat()[:19]}.{random.randrange(1_000_000):06d}Z"
    name, account = random.choice(_SOURCES)
    authority = {
        "objectType": "Agent",
        "name": name,
        "account": {"homePage": "http://127.0.0.1:8000", "name": account},
    }
    return orjson.dumps({**statement, "stored": stored, "authority": authority, "version": version})


# --- other common shapes --------------------------------------------------------------------------


def _verb(iri: str) -> dict[str, object]:
    return {"id": iri, "display": {_DISPLAY: iri.rpartition("/")[2]}}


def _actor(random: Random) -> dict[str, object]:
    return {"objectType": "Agent", "account": {"homePage": _ACCOUNTS, "name": _uuid(random)}}


def _uuid(random: Random) -> str:
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def _timestamp(random: Random) -> str:
    moment = datetime.fromtimestamp(1_780_000_000 + random.randrange(300 * 86_400), UTC).isoformat()[:19]
    return moment + random.choice((f".{random.randrange(1000):03d}Z", "Z", f".{random.randrange(1_000_000):06d}+00:00"))


_VIDEO: Final = "https://w3id.org/xapi/video"


def _video(random: Random) -> dict[str, object]:
    """A statement after the published video profile, with made-up values."""
    at = round(random.uniform(0, 900), 3)
    length = round(random.uniform(60, 900), 2)
    played = f"0[.]{at}" if random.random() < 0.5 else f"0[.]{round(at / 2, 3)}[,]{round(at / 1.5, 3)}[.]{at}"
    heard: dict[str, object] = {f"{_VIDEO}/extensions/session-id": _uuid(random)}
    extensions: dict[str, object] = {f"{_VIDEO}/extensions/time": at}
    verb = random.choice(("played", "paused", "seeked", "initialized", "completed", "terminated", "interacted"))
    iri = f"{_VIDEO}/verbs/{verb}" if verb in ("played", "paused", "seeked") else f"{_ADL}/verbs/{verb}"
    if verb in ("paused", "completed", "terminated"):
        extensions[f"{_VIDEO}/extensions/progress"] = round(random.random(), 3)
        extensions[f"{_VIDEO}/extensions/played-segments"] = played
        heard[f"{_VIDEO}/extensions/length"] = length
        heard[f"{_VIDEO}/extensions/completion-threshold"] = 1.0
    if verb == "seeked":
        extensions = {f"{_VIDEO}/extensions/time-from": at, f"{_VIDEO}/extensions/time-to": length}
    if verb in ("initialized", "interacted"):
        heard[f"{_VIDEO}/extensions/full-screen"] = random.random() < 0.2
        heard[f"{_VIDEO}/extensions/speed"] = "1x"
        heard[f"{_VIDEO}/extensions/volume"] = 1
        heard[f"{_VIDEO}/extensions/cc-enabled"] = False
    statement: dict[str, object] = {
        "verb": _verb(iri),
        "context": {
            "extensions": heard,
            "contextActivities": {
                "category": [{"id": _VIDEO}],
                "parent": [{"id": f"{_ACCOUNTS}/courses/{random.randrange(400)}", **_course()}],
            },
        },
        "result": {"extensions": extensions},
        "id": _uuid(random),
        "actor": _actor(random),
        "object": {
            "definition": {
                "type": f"{_VIDEO}/activity-type/video",
                "name": {_DISPLAY: f"Video {random.randrange(2_000)}"},
            },
            "id": f"{_ACCOUNTS}/videos/{_uuid(random)}",
            "objectType": "Activity",
        },
        "timestamp": _timestamp(random),
    }
    if verb == "initialized":
        del statement["result"]
    if verb == "completed":
        statement["result"] = {"completion": True, "duration": f"PT{length}S", "extensions": extensions}
    return statement


_ADL: Final = "http://adlnet.gov/expapi"
_CMI5: Final = "https://w3id.org/xapi/cmi5"


def _course() -> dict[str, object]:
    return {"objectType": "Activity", "definition": {"type": f"{_ADL}/activities/course"}}


def _cmi5(random: Random) -> dict[str, object]:
    """A statement after cmi5, with made-up values."""
    verb = random.choice(("launched", "initialized", "completed", "passed", "failed", "terminated"))
    result: dict[str, object] = {"duration": f"PT{random.randrange(1, 40)}M{random.randrange(60)}S"}
    if verb == "completed":
        result["completion"] = True
    if verb in ("passed", "failed"):
        result["success"] = verb == "passed"
        result["score"] = {"scaled": round(random.random(), 2)}
    statement: dict[str, object] = {
        "id": _uuid(random),
        "actor": _actor(random),
        "verb": _verb(f"{_ADL}/verbs/{verb}"),
        "object": {"id": f"{_ACCOUNTS}/units/{random.randrange(3_000)}", "objectType": "Activity"},
        "context": {
            "registration": _uuid(random),
            "contextActivities": {
                "grouping": [{"id": f"{_ACCOUNTS}/courses/{random.randrange(400)}"}],
                "category": [{"id": f"{_CMI5}/context/categories/cmi5"}],
            },
            "extensions": {f"{_CMI5}/context/extensions/sessionid": _uuid(random)},
        },
        "timestamp": _timestamp(random),
    }
    if verb not in ("launched", "initialized"):
        statement["result"] = result
    return statement


def _platform(random: Random) -> dict[str, object]:
    """A statement as learning platforms send them, with made-up values."""
    verb = random.choice(("experienced", "attempted", "answered", "completed", "scored", "registered"))
    kind = random.choice(("module", "assessment", "course", "cmi.interaction", "link", "file"))
    result: dict[str, object] = {
        "score": {"raw": random.randrange(21), "min": 0, "max": 20, "scaled": round(random.random(), 2)},
        "success": random.random() < 0.6,
        "completion": random.random() < 0.8,
        "response": f"[{random.choice('abcd')}]",
    }
    return {
        "actor": _actor(random),
        "verb": _verb(f"{_ADL}/verbs/{verb}"),
        "object": {
            "id": f"{_ACCOUNTS}/mod/{random.randrange(9_000)}",
            "objectType": "Activity",
            "definition": {
                "type": f"{_ADL}/activities/{kind}",
                "name": {_DISPLAY: f"Activity {random.randrange(9_000)}"},
            },
        },
        "result": result,
        "context": {
            "platform": "Moodle",
            "language": "fr",
            "registration": _uuid(random),
            "contextActivities": {
                "parent": [{"id": f"{_ACCOUNTS}/courses/{random.randrange(400)}", **_course()}],
                "grouping": [{"id": _ACCOUNTS, "objectType": "Activity"}],
            },
        },
        "timestamp": _timestamp(random),
        "id": _uuid(random),
    }
