"""Realistic xAPI statements of made-up schools, conforming to the project's ENT and P2IA profiles.

Everything follows from the seed: the same arguments give the same statements, ids and times included.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, timedelta
from math import exp, log1p
from random import Random
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.simulation import offer
from app.simulation.population import WORKSPACE_HOME, Classroom, Person, Population, Pupil, populate
from app.standards.profiles import terms

ENT: Final = "ent"
P2IA: Final = "p2ia"

_PARIS: Final = ZoneInfo("Europe/Paris")
_MINUTE: Final = 60_000  # times within this module are milliseconds, since 1970 UTC or since midnight in Paris
_WEDNESDAY, _SATURDAY, _SUNDAY = 2, 5, 6


class Trace(NamedTuple):
    """A statement and the kind of source that sends it, ``ent`` or ``p2ia``.

    The parts of a statement are shared between statements: do not change them in place.
    """

    source: str
    statement: dict[str, object]


class _Timed(NamedTuple):
    at: int
    trace: Trace


_Session = Iterator[_Timed]


def simulate(*, seed: int, pupils: int, days: int, start: date) -> Iterator[Trace]:
    """The traces of so many pupils, their parents and staff over so many calendar days, in order of time.

    Days begin at midnight in Paris. Nothing happens on a Sunday, little on a Saturday or in the evening.

    Args:
        seed: Any integer.
        pupils: At least 1.
        days: Calendar days, weekends counted.
        start: First day.
    """
    random = Random(seed)  # noqa: S311 - reproducible on purpose; nothing secret comes of it
    population = populate(random, pupils)
    tools = offer.tools(random)
    for number in range(days):
        day = start + timedelta(days=number)
        if day.weekday() != _SUNDAY:
            yield from _merged(_openings(random, population, tools, day))


def _merged(openings: list[tuple[int, _Session]]) -> Iterator[Trace]:
    """Sessions that overlap, as one stream in order of time; only the open ones are in memory."""
    openings.sort(key=lambda opening: opening[0])
    running: list[tuple[int, int, Trace, _Session]] = []
    for number, (opens, session) in enumerate(openings):
        while running and running[0][0] <= opens:
            yield from _step(running)
        for at, trace in session:
            heapq.heappush(running, (at, number, trace, session))
            break
    while running:
        yield from _step(running)


def _step(running: list[tuple[int, int, Trace, _Session]]) -> Iterator[Trace]:
    _, number, trace, session = running[0]
    yield trace
    following = next(session, None)
    if following is None:
        heapq.heappop(running)
    else:
        heapq.heapreplace(running, (following.at, number, following.trace, session))


# --- a day ----------------------------------------------------------------------------------------


def _openings(
    random: Random, population: Population, tools: tuple[offer.Tool, ...], day: date
) -> list[tuple[int, _Session]]:
    """Every session of the day with the moment it opens."""
    # Noon, because the clocks change by night: midnight plus eight hours is not always eight o'clock.
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=_PARIS)
    midnight = round(noon.timestamp() * 1000) - 12 * 60 * _MINUTE
    weekday = day.weekday()
    lessons = weekday != _SATURDAY
    last_hour = 11 if weekday == _WEDNESDAY else 16
    openings: list[tuple[int, _Session]] = []

    def workspace(person: Person, likely: float, first: int, last: int) -> None:
        if random.random() < likely:
            opens = midnight + random.randint(first * 60 * _MINUTE, last * 60 * _MINUTE)
            openings.append((opens, _workspace_session(random, person, opens)))

    for classroom, members in population.classes:
        waiting = [(pupil, each) for pupil in members for each in pupil.recommended]
        if lessons and waiting:
            opens = midnight + random.randint(17 * 60 * _MINUTE, 19 * 60 * _MINUTE)
            openings.append((opens, _decisions(random, classroom, waiting, opens)))
            for pupil in members:
                pupil.recommended.clear()
        if lessons and random.random() < 0.25:
            tool = random.choice(tools)
            bell = midnight + random.randint(8, last_hour) * 60 * _MINUTE + 5 * _MINUTE
            for pupil in members:
                if random.random() < 0.93:
                    opens = bell + random.randint(0, 6 * _MINUTE)
                    openings.append((opens, _tool_session(random, pupil, tool, opens, 15 * _MINUTE)))
        for pupil in members:
            if lessons:
                workspace(pupil, 0.25, 8, last_hour + 1)
            workspace(pupil, 0.35 if lessons else 0.08, 17, 22)
            if random.random() < (0.06 if lessons else 0.02):
                opens = midnight + random.randint(17 * 60 * _MINUTE, 21 * 60 * _MINUTE)
                tool = random.choice(tools)
                openings.append((opens, _tool_session(random, pupil, tool, opens, 8 * _MINUTE)))
    for adult in population.adults:
        if adult.profile == "PARENT":
            workspace(adult, 0.12 if lessons else 0.05, 18, 22)
        elif lessons:
            workspace(adult, 0.9, 8, last_hour + 1)
            workspace(adult, 0.25, 18, 22)
    return openings


# --- sessions -------------------------------------------------------------------------------------


def _verb(iri: str, french: str, english: str) -> dict[str, object]:
    return {"id": iri, "display": {"fr": french, "en": english}}


_LOGGED_IN: Final = _verb(terms.LOGGED_IN, "s'est connecté", "logged in")
_ACCESSED: Final = _verb(terms.ACCESSED, "a accédé à", "accessed")
_ATTEMPTED: Final = _verb(terms.ATTEMPTED, "a commencé", "attempted")
_ANSWERED: Final = _verb(terms.ANSWERED, "a répondu à", "answered")
_HINTED: Final = _verb(terms.REQUESTED_HINT, "a demandé un indice", "requested a hint")
_COMPLETED: Final = _verb(terms.COMPLETED, "a terminé", "completed")
_CHANGED: Final = _verb(terms.CHANGED_LEVEL, "a changé de niveau", "changed level")
_CONSULTED: Final = _verb(terms.CONSULTED, "a consulté", "viewed")
_DEPOSITED: Final = _verb(terms.DEPOSITED, "a déposé", "submitted")
_SENT: Final = _verb(terms.SENT, "a envoyé", "sent")
_FEEDBACK: Final = _verb(terms.RECEIVED_FEEDBACK, "a reçu un retour", "received feedback")
_MASTERY: Final = _verb(terms.MASTERY_ESTIMATED, "a vu sa maîtrise estimée", "had mastery estimated")
_RECOMMENDED: Final = _verb(terms.RECOMMENDED, "s'est vu recommander", "was recommended")
_ACCEPTED: Final = _verb(terms.ACCEPTED, "a accepté une recommandation", "accepted a recommendation")
_REFUSED: Final = _verb(terms.REFUSED, "a refusé une recommandation", "refused a recommendation")
_MODEL: Final[dict[str, object]] = {terms.MODEL: "irt-1pl", terms.MODEL_VERSION: "2026.09"}
_ENT_CATEGORY: Final = [{"id": terms.ENT_VERSION}]
_P2IA_CATEGORY: Final = [{"id": terms.P2IA_VERSION}]
_WEIGHTS: Final = [service.weight for service in offer.SERVICES]


def _workspace_session(random: Random, person: Person, opens: int) -> _Session:
    """A connection, then a few services."""
    extensions: dict[str, object] = {terms.SCHOOL: person.school, terms.PERSON_PROFILE: person.profile}
    if person.classroom is not None:
        extensions[terms.LEVEL] = person.classroom.mef
        extensions[terms.CLASS] = person.classroom.code
    registration = _uuid(random)

    def context(more: dict[str, object], activities: dict[str, object]) -> dict[str, object]:
        return {
            "registration": registration,
            "platform": "ent-exemple",
            "language": "fr-FR",
            "contextActivities": {**activities, "category": _ENT_CATEGORY},
            "extensions": {**extensions, **more},
        }

    yield _timed(random, ENT, opens, person.actor, _LOGGED_IN, offer.WORKSPACE, context({}, {}))
    at = opens
    for service in random.choices(offer.SERVICES, _WEIGHTS, k=random.randint(1, 5)):
        at += random.randint(2_000, 4 * _MINUTE)
        about: dict[str, object] = {
            terms.SERVICE: service.name,
            terms.SERVICE_TYPE: service.kind,
            terms.TOOL: service.tool,
        }
        where = context(about, {"grouping": [{"id": offer.WORKSPACE["id"]}]})
        yield _timed(random, ENT, at, person.actor, _ACCESSED, service.activity, where)
        done = _within_service(random, service)
        if done is not None:
            verb, target, result = done
            at += random.randint(5_000, 3 * _MINUTE)
            yield _timed(random, ENT, at, person.actor, verb, target, where, result)


def _within_service(
    random: Random, service: offer.Service
) -> tuple[dict[str, object], dict[str, object], dict[str, object]] | None:
    """A deed in a service, if any is told of: verb, object, result."""
    if service.resources and random.random() < 0.7:
        return _CONSULTED, random.choice(service.resources), {"duration": _duration(random.randint(20_000, 900_000))}
    number = random.getrandbits(48)
    if service.name == "messagerie" and random.random() < 0.35:
        extensions: dict[str, object] = {terms.RECIPIENTS: 1 + int(random.expovariate(0.5)), terms.ATTACHED: 0}
        return _SENT, _unnamed(f"messages/{number:012x}", terms.MESSAGE), {"extensions": extensions}
    if service.name in ("documents", "cahier-de-textes") and random.random() < 0.2:
        extensions = {terms.DOCUMENTS: 1 + int(random.random() < 0.2), terms.BYTES: random.randint(20_000, 4_000_000)}
        return _DEPOSITED, _unnamed(f"documents/{number:012x}", terms.DOCUMENT), {"extensions": extensions}
    return None


def _unnamed(path: str, kind: str) -> dict[str, object]:
    return {"objectType": "Activity", "id": f"{WORKSPACE_HOME}/{path}", "definition": {"type": kind}}


def _tool_session(random: Random, pupil: Pupil, tool: offer.Tool, opens: int, length: int) -> _Session:
    """Exercises of one tool until the time is up; an exercise under way is finished."""
    assert pupil.classroom is not None  # noqa: S101 - pupils are always in a class
    context: dict[str, object] = {
        "registration": _uuid(random),
        "platform": tool.name,
        "language": "fr-FR",
        "contextActivities": {"grouping": [{"id": tool.activity["id"]}], "category": _P2IA_CATEGORY},
        "extensions": {
            terms.SCHOOL: pupil.school,
            terms.LEVEL: pupil.classroom.mef,
            terms.CLASS: pupil.classroom.code,
            terms.PERSON_PROFILE: pupil.profile,
            terms.TOOL: tool.name,
        },
    }
    at = opens
    while at < opens + length:
        level = pupil.level.setdefault(tool.name, 1)
        exercise = random.choice(tool.levels[level - 1])
        at, share = yield from _exercise(random, pupil, tool, exercise, context, at)
        moved = min(level + 1, len(tool.levels)) if share >= 0.85 else max(level - 1, 1) if share < 0.3 else level
        if moved != level:
            pupil.level[tool.name] = moved
            at += 1_000
            change: dict[str, object] = {"extensions": {terms.OLD_LEVEL: level, terms.NEW_LEVEL: moved}}
            decided = _with(context, {terms.DECIDED_BY: "OUTIL"})
            yield _timed(random, P2IA, at, pupil.learner, _CHANGED, tool.activity, decided, change)
        if random.random() < 0.5:
            at += 500
            estimate: dict[str, object] = {
                "score": {"scaled": round(min(max(0.5 * share + 0.1 * level, 0.0), 1.0), 4)},
                "extensions": {terms.UNCERTAINTY: round(random.uniform(0.05, 0.3), 3)},
            }
            modelled = _with(context, _MODEL)
            yield _timed(random, P2IA, at, pupil.learner, _MASTERY, tool.skills[level - 1], modelled, estimate)
        if random.random() < 0.12:
            at += 500
            advised = random.choice(tool.levels[moved - 1]).activity
            why = _with(context, {**_MODEL, terms.REASON: "maitrise-fragile"})
            timed = _timed(random, P2IA, at, pupil.learner, _RECOMMENDED, advised, why)
            pupil.recommended.append((str(timed.trace.statement["id"]), advised, tool.name))
            yield timed
        at += random.randint(3_000, _MINUTE)


def _exercise(
    random: Random,
    pupil: Pupil,
    tool: offer.Tool,
    exercise: offer.Exercise,
    context: dict[str, object],
    at: int,
) -> Generator[_Timed, None, tuple[int, float]]:
    """One attempt at an exercise; returns when it ended and the share of items answered rightly."""
    attempt = pupil.tries.get(exercise.id, 0) + 1
    pupil.tries[exercise.id] = attempt
    began = at
    first: dict[str, object] = {"extensions": {terms.ATTEMPT: attempt}}
    yield _timed(random, P2IA, at, pupil.learner, _ATTEMPTED, exercise.activity, context, first)
    within = _within(context, exercise)
    right = hints_in_all = 0
    for item in exercise.items:
        shown = at
        hints = 0
        chance = _chance(pupil, tool, item)
        while hints < 2 and random.random() < 0.35 * (1 - chance):
            hints += 1
            at += random.randint(3_000, 20_000)
            asked: dict[str, object] = {"extensions": {terms.ATTEMPT: attempt, terms.HINTS: hints}}
            yield _timed(random, P2IA, at, pupil.learner, _HINTED, item.activity, within, asked)
        at += max(1_200, int(random.lognormvariate(0.0, 0.5) * tool.seconds * 1000))
        success = random.random() < chance + (1 - chance) * 0.25 * hints
        pupil.practice[tool.name] = pupil.practice.get(tool.name, 0) + 1
        right += success
        hints_in_all += hints
        result: dict[str, object] = {
            "success": success,
            "score": {"scaled": 1.0 if success else 0.0},
            "response": item.answers[0] if success else random.choice(item.answers[1:]),
            "duration": _duration(at - shown),
            "extensions": {terms.ATTEMPT: attempt, terms.HINTS: hints},
        }
        yield _timed(random, P2IA, at, pupil.learner, _ANSWERED, item.activity, within, result)
        if not success and random.random() < 0.5:
            at += 300
            kind = random.choice(terms.FEEDBACKS)
            result = {"extensions": {terms.ATTEMPT: attempt, terms.FEEDBACK: kind}}
            yield _timed(random, P2IA, at, pupil.learner, _FEEDBACK, item.activity, within, result)
    at += random.randint(800, 4_000)
    share = right / len(exercise.items)
    outcome: dict[str, object] = {
        "completion": True,
        "success": share >= 0.6,
        "score": {"scaled": round(share, 4), "raw": right, "min": 0, "max": len(exercise.items)},
        "duration": _duration(at - began),
        "extensions": {terms.ATTEMPT: attempt, terms.HINTS: hints_in_all},
    }
    yield _timed(random, P2IA, at, pupil.learner, _COMPLETED, exercise.activity, context, outcome)
    return at, share


def _decisions(
    random: Random, classroom: Classroom, waiting: list[tuple[Pupil, tuple[str, dict[str, object], str]]], opens: int
) -> _Session:
    """A teacher decides on what the tools recommended to the pupils of a class."""
    registration = _uuid(random)
    at = opens
    for _, (statement, activity, tool) in waiting:
        context: dict[str, object] = {
            "registration": registration,
            "platform": tool,
            "language": "fr-FR",
            "statement": {"objectType": "StatementRef", "id": statement},
            "contextActivities": {"category": _P2IA_CATEGORY},
            "extensions": {
                terms.SCHOOL: classroom.school,
                terms.CLASS: classroom.code,
                terms.PERSON_PROFILE: "ENSEIGNANT",
                terms.TOOL: tool,
                terms.REASON: "suivi-de-la-classe",
            },
        }
        verb = _ACCEPTED if random.random() < 0.7 else _REFUSED
        yield _timed(random, P2IA, at, classroom.teacher, verb, activity, context)
        at += random.randint(4_000, 40_000)


def _chance(pupil: Pupil, tool: offer.Tool, item: offer.Item) -> float:
    """Probability of a right answer: a one-parameter logistic curve whose ability grows with practice."""
    skill = pupil.ability + 0.45 * log1p(pupil.practice.get(tool.name, 0) / 10)
    return 1 / (1 + exp(item.difficulty - skill))


def _with(context: dict[str, object], more: dict[str, object]) -> dict[str, object]:
    extensions = context["extensions"]
    assert isinstance(extensions, dict)  # noqa: S101 - made above
    return {**context, "extensions": {**extensions, **more}}


def _within(context: dict[str, object], exercise: offer.Exercise) -> dict[str, object]:
    activities = context["contextActivities"]
    assert isinstance(activities, dict)  # noqa: S101 - made above
    return {**context, "contextActivities": {"parent": [{"id": exercise.id}], **activities}}


# --- parts of a statement -------------------------------------------------------------------------


def _timed(
    random: Random,
    source: str,
    at: int,
    actor: dict[str, object],
    verb: dict[str, object],
    target: dict[str, object],
    context: dict[str, object],
    result: dict[str, object] | None = None,
) -> _Timed:
    statement: dict[str, object] = {"id": _uuid(random), "actor": actor, "verb": verb, "object": target}
    if result is not None:
        statement["result"] = result
    statement["context"] = context
    statement["timestamp"] = _timestamp(at)
    return _Timed(at, Trace(source, statement))


def _uuid(random: Random) -> str:
    """A UUID of version 4 from the seeded generator."""
    bits = random.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _timestamp(at: int) -> str:
    return f"{datetime.fromtimestamp(at // 1000, UTC).isoformat()[:19]}.{at % 1000:03d}Z"


def _duration(milliseconds: int) -> str:
    """ISO 8601, to the hundredth of a second (xAPI-Data 4.7)."""
    minutes, rest = divmod(milliseconds // 10, 6_000)
    seconds = f"{rest // 100}.{rest % 100:02d}S"
    return f"PT{minutes}M{seconds}" if minutes else f"PT{seconds}"
