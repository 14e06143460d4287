"""Summary of an export on one data subject: counted while the statements go by, bounded in memory."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from app.standards.xapi.timestamps import parse

MAX_NAMED: Final = 1_000
"""Different verbs, and different activities, that are counted one by one; further ones are counted together."""
LATEST: Final = 100
"""Statements that are listed one by one, those stored last."""
MAX_LENGTH: Final = 300
"""Characters kept of a text that a sender chose."""

OWN: Final = "own"
MENTION: Final = "mention"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000
_TIME = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")


class Words(NamedTuple):
    """A text that a sender gave, in French and in English as far as it did; bounded by ``MAX_LENGTH`` characters."""

    fr: str
    en: str


class Line(NamedTuple):
    """A statement in words.

    Attributes:
        stored: When it was stored, microseconds since 1970 UTC.
        happened: When what it tells of happened, as far as it says so.
        source: Id of the tool that sent it.
        role: ``own`` or ``mention``.
        voided: Whether it was voided.
        verb: Its verb.
        about: What it is about.
        result: What came of it: success, score, time, answer; empty when it says nothing.
    """

    stored: int
    happened: int
    source: str
    role: str
    voided: bool
    verb: Words
    about: Words
    result: Words


@dataclass(slots=True)
class Tool:
    """Counts of one source: numbers of statements, and those of each month (``2026-11``) in which they happened."""

    own: int = 0
    voided: int = 0
    mentions: int = 0
    documents: int = 0
    first: int | None = None
    last: int | None = None
    months: Counter[str] = field(default_factory=Counter)

    def seen(self, stored: int) -> None:
        """Something of it was stored then."""
        self.first = stored if self.first is None else min(self.first, stored)
        self.last = stored if self.last is None else max(self.last, stored)


class Named(NamedTuple):
    """A verb or an activity: its IRI, its words, how many statements have it."""

    iri: str
    words: Words
    number: int


class Tally:
    """Counter of many things, the first ``MAX_NAMED`` of them by name."""

    def __init__(self) -> None:
        self._known: dict[str, list[Any]] = {}
        self.others = 0

    def add(self, iri: str, words: Callable[[], Words]) -> None:
        """Count one; ``words`` is asked for a new one only."""
        known = self._known.get(iri)
        if known is not None:
            known[1] += 1
        elif len(self._known) < MAX_NAMED:
            self._known[iri] = [words(), 1]
        else:
            self.others += 1

    def most(self, count: int) -> list[Named]:
        """The commonest ones."""
        listed = [Named(shortened(iri), words, number) for iri, (words, number) in self._known.items()]
        return heapq.nsmallest(count, listed, key=lambda each: (-each.number, each.iri))

    def rest(self, count: int) -> int:
        """The count of those that are not among the ``count`` commonest."""
        every: int = self.others + sum(number for _, number in self._known.values())
        return every - sum(each.number for each in self.most(count))


class Summary:
    """Counts the statements of a package as they are written."""

    def __init__(self, timezone: ZoneInfo) -> None:
        """``timezone``: where months begin."""
        self._timezone = timezone
        self._heap: list[tuple[int, int, Line]] = []
        self._number = 0
        self._months: dict[int, str] = {}
        self.tools: dict[str, Tool] = {}
        self.verbs = Tally()
        self.activities = Tally()
        self.roles: Counter[str] = Counter()
        self.attachments = 0
        self.attachment_bytes = 0
        self.documents = 0
        # Of what collections give by themselves.
        self.kept = 0
        self.unreadable = 0

    @property
    def own(self) -> int:
        """The data subject's own statements, voided ones too."""
        return sum(tool.own for tool in self.tools.values())

    @property
    def voided(self) -> int:
        """Those of them that were voided."""
        return sum(tool.voided for tool in self.tools.values())

    @property
    def mentions(self) -> int:
        """Statements of others."""
        return sum(tool.mentions for tool in self.tools.values())

    @property
    def first(self) -> int | None:
        """The instant at which the earliest was stored, microseconds; None when there is nothing."""
        return min((tool.first for tool in self.tools.values() if tool.first is not None), default=None)

    @property
    def last(self) -> int | None:
        """The instant at which the latest was stored."""
        return max((tool.last for tool in self.tools.values() if tool.last is not None), default=None)

    @property
    def empty(self) -> bool:
        """True if nothing at all is held."""
        return not (self.tools or self.documents or self.kept or self.unreadable)

    @property
    def latest(self) -> list[Line]:
        """The statements stored last, the newest first."""
        return [line for *_, line in sorted(self._heap, reverse=True)]

    def statement(
        self,
        statement: Mapping[str, Any],
        *,
        stored: int,
        source: str,
        own: bool,
        voided: bool,
        roles: Iterable[str],
    ) -> None:
        """Count a statement, as it is written to the package."""
        tool = self.tools.setdefault(source, Tool())
        tool.seen(stored)
        at = happened(statement, stored)
        tool.months[self._month(at)] += 1
        if own:
            tool.own += 1
            tool.voided += voided
        else:
            tool.mentions += 1
            self.roles.update(roles)
        verb, target = statement["verb"], statement["object"]
        self.verbs.add(verb["id"], lambda: words_of(verb.get("display"), verb["id"]))
        if own and target.get("objectType", "Activity") == "Activity":
            self.activities.add(target["id"], lambda: _about(target))
        self._number += 1
        if len(self._heap) < LATEST or stored > self._heap[0][0]:
            line = Line(
                stored,
                at,
                source,
                OWN if own else MENTION,
                voided,
                words_of(verb.get("display"), verb["id"]),
                _about(target),
                _result(statement.get("result")),
            )
            # The number decides between equals: lines themselves are not compared.
            keep = (stored, self._number, line)
            if len(self._heap) < LATEST:
                heapq.heappush(self._heap, keep)
            else:
                heapq.heapreplace(self._heap, keep)

    def document(self, source: str, updated: int) -> None:
        """Count a document."""
        tool = self.tools.setdefault(source, Tool())
        tool.documents += 1
        tool.seen(updated)
        self.documents += 1

    def attachment(self, length: int) -> None:
        """Count the data of an attachment."""
        self.attachments += 1
        self.attachment_bytes += length

    def _month(self, at: int) -> str:
        # By the hour: no month begins within one.
        hour = at // 3_600_000_000
        month = self._months.get(hour)
        if month is None:
            if len(self._months) > 10_000:
                self._months.clear()
            month = self._months[hour] = month_of(at, self._timezone)
        return month


def happened(statement: Mapping[str, Any], stored: int) -> int:
    """The instant of what a statement tells of, microseconds: its ``timestamp``; ``stored`` where that cannot be.

    A clock of the sender that is years ahead would have a chart end there: nothing is taken to have happened more than
    a day after it was stored.
    """
    try:
        at = parse(statement["timestamp"])
    except (KeyError, TypeError, ValueError):
        return stored
    return at if at <= stored + _DAY_US else stored


def month_of(at: int, timezone: tzinfo) -> str:
    """The month of an instant, ``2026-11``."""
    try:
        local = moment(at).astimezone(timezone)
    except OverflowError:  # the first and the last hours of the calendar
        local = moment(at)
    return f"{local.year:04}-{local.month:02}"


def moment(microseconds: int) -> datetime:
    """The instant, in UTC; the last one of the calendar for what lies beyond it, the first for what lies before."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime(9999, 12, 31, tzinfo=UTC) if microseconds > 0 else datetime(1, 1, 2, tzinfo=UTC)


def shortened(text: str) -> str:
    """A text, cut to ``MAX_LENGTH`` characters."""
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def words_of(texts: object, otherwise: str) -> Words:
    """The words of a language map in French and in English; else in any language; else the end of an IRI."""
    if isinstance(texts, dict) and texts:
        return Words(_in(texts, "fr"), _in(texts, "en"))
    end = otherwise.rstrip("/#").replace("#", "/").rpartition("/")[2]
    return Words(shortened(end or otherwise), shortened(end or otherwise))


def _in(texts: Mapping[str, Any], language: str) -> str:
    for wanted in (language, "en" if language == "fr" else "fr"):
        for tag, text in texts.items():
            if tag.lower() == wanted or tag.lower().startswith(f"{wanted}-"):
                return shortened(str(text))
    return shortened(str(next(iter(texts.values()))))


def _about(target: Mapping[str, Any]) -> Words:
    kind = target.get("objectType", "Activity")
    if kind == "Activity":
        return words_of(target.get("definition", {}).get("name"), target["id"])
    if kind == "StatementRef":
        return Words(f"un autre énoncé ({target['id']})", f"another statement ({target['id']})")
    if kind == "SubStatement":
        inner = _about(target["object"])
        verb = words_of(target["verb"].get("display"), target["verb"]["id"])
        return Words(shortened(f"{verb.fr} : {inner.fr}"), shortened(f"{verb.en}: {inner.en}"))
    name = shortened(str(target.get("name", "")))
    if name:
        return Words(name, name)
    return Words("un groupe", "a group") if kind == "Group" else Words("une personne", "a person")


_PASSED: Final = Words("✓", "✓")
_FAILED: Final = Words("✗", "✗")


def _result(result: object) -> Words:
    """The result of a statement in signs, with the numbers of a language: ✓ or ✗, a score, a time, an answer."""
    if not isinstance(result, dict) or not result:
        return Words("", "")
    said: list[Words] = []
    if "success" in result:
        said.append(_PASSED if result["success"] is True else _FAILED)
    score = result.get("score")
    if isinstance(score, dict):
        if "raw" in score:
            said.append(_number(f"{score['raw']}" + (f"/{score['max']}" if "max" in score else "")))
        elif isinstance(score.get("scaled"), int | float):
            share = f"{score['scaled']:.0%}"
            # French: a narrow space that does not break before the sign.
            said.append(Words(share.replace("%", "\u202f%"), share))
    if "duration" in result:
        said.append(_time(str(result["duration"])))
    if "response" in result:
        answer = f"« {result['response']} »"
        said.append(Words(answer, answer))
    french, english = zip(*said, strict=True) if said else ((), ())
    return Words(shortened(" ".join(map(shortened, french))), shortened(" ".join(map(shortened, english))))


def _number(text: str) -> Words:
    return Words(text.replace(".", ","), text)


def _time(duration: str) -> Words:
    """A duration (ISO 8601) with the symbols of units, the same in both languages: ``PT1M12S`` as ``1 min 12 s``.

    One with days or more is left as it is: their symbols differ.
    """
    matched = _TIME.fullmatch(duration)
    parts = [] if matched is None else zip(matched.groups(), ("h", "min", "s"), strict=True)
    said = " ".join(f"{number} {unit}" for number, unit in parts if number)
    return _number(said) if said else Words(duration, duration)
