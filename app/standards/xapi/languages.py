"""Choice of a language: the ``Accept-Language`` header (RFC 9110 12.5.4), and the tags of a language map.

Both may be long: anybody sends a header with a thousand ranges, and a map with ten thousand tags. The header is read to
a bound, and a map once, however many ranges there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

MAX_RANGES: Final = 32
"""Of one header, those with the highest weights: nobody reads more languages."""
MAX_RANGE_LENGTH: Final = 64
"""Characters; RFC 5646 4.4.1 finds 35 to be enough."""
# Ranges that are looked at, in the order of the header, and its characters.
_MAX_READ: Final = 200
_MAX_CHARACTERS: Final = 8_192

_RANGE: Final = re.compile(
    r"[ \t]*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)[ \t]*(?:;[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]{0,3})?)[ \t]*)?",
    re.IGNORECASE,
)
_ANY_RANGE: Final = "*"


class Languages:
    """The languages that a reader wants, in the order of preference. Immutable.

    Attributes:
        ranges: Language ranges in lower case, the most wanted first; ``*`` for any.
    """

    def __init__(self, ranges: Iterable[str] = ()) -> None:
        """The first ``MAX_RANGES`` of these count; one longer than ``MAX_RANGE_LENGTH`` matches nothing."""
        self.ranges = tuple(each.lower() for each in ranges)[:MAX_RANGES]
        # What a tag, or a beginning of one, that a range matches is worth: less is better.
        ranks: dict[str, int] = {}
        any_rank: int | None = None
        for wanted in self.ranges:
            if wanted == _ANY_RANGE:
                any_rank = len(ranks)
                break  # what follows it is never asked
            while wanted and len(wanted) <= MAX_RANGE_LENGTH:
                ranks.setdefault(wanted, len(ranks))
                # RFC 4647 3.4: when nothing suits, the range loses its end, so that fr-CA may be answered in fr.
                wanted = wanted.rpartition("-")[0]
        self._ranks = ranks
        self._any = any_rank

    def chosen(self, texts: Mapping[str, object]) -> str | None:
        """Of a map by language tags, the one that suits best; None when it is empty.

        The first one when none was asked for or none suits: a text beats no text. Costs each tag once.
        """
        first = next(iter(texts), None)
        ranks = self._ranks
        if first is None or not ranks:
            return first
        best, found = (len(ranks) if self._any is None else self._any, 0), first
        for tag in texts:
            given = tag.lower()
            rank = (ranks[given], 0) if given in ranks else None
            # RFC 2616 14.4: a range matches a tag that it equals, or of which it is a prefix up to a dash.
            dash = given.find("-")
            while 0 <= dash <= MAX_RANGE_LENGTH:
                part = ranks.get(given[:dash])
                if part is not None and (rank is None or (part, 1) < rank):
                    rank = (part, 1)
                dash = given.find("-", dash + 1)
            if rank is not None and rank < best:
                best, found = rank, tag
        return found


ANY: Final = Languages()
"""No language is wanted more than another."""


def parse(header: str | None) -> Languages:
    """Read an ``Accept-Language`` header; what is no language range, or has the weight 0, is left out."""
    if not header:
        return ANY
    weighed: list[tuple[float, str]] = []
    for each in header[:_MAX_CHARACTERS].split(",", _MAX_READ)[:_MAX_READ]:
        match = _RANGE.fullmatch(each)
        if match is not None and len(match[1]) <= MAX_RANGE_LENGTH:
            weight = float(match[2]) if match[2] else 1.0
            if weight > 0:
                weighed.append((min(weight, 1.0), match[1]))
    # Stable: of equal weights the one that was said first.
    weighed.sort(key=lambda one: -one[0])
    return Languages(wanted for _, wanted in weighed)
