"""Choice of the form and the language of an answer: ``Accept`` and ``Accept-Language`` (RFC 9110 12.5).

Browsers send ten ranges, and anybody may send a thousand: the header is read to a bound, as ``Accept-Language`` is
(``app/standards/xapi/languages.py``).
"""

from __future__ import annotations

import re
from typing import Final

from app.standards.xapi.languages import Languages

MAX_CHARACTERS: Final = 8_192
"""Of one header."""
MAX_RANGES: Final = 50
"""Of one header, in its order."""

PAGE: Final = "text/html"
_DOCUMENTS: Final = ("application/problem+json", "application/json")
_ANY: Final = ("application/*", "*/*")

# A string that is not closed goes to the end: looking for its end again at each quote would take the square of them.
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}"
# A range with another parameter than these is of a representation that there is not. What follows a weight means
# nothing (RFC 9110 12.5.1, appendix B.3).
_RANGE: Final = re.compile(
    rf"[ \t]*({_NAME}/{_NAME})[ \t]*(?:;[ \t]*charset=utf-8[ \t]*)?"
    r"(?:;[ \t]*q=([01](?:\.[0-9]{0,3})?)[ \t]*(?:;.*)?)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)


def in_french(wanted: Languages) -> bool:
    """True if a reader of these languages prefers French to English."""
    return wanted.chosen({"en": "", "fr": ""}) == "fr"


def wants_page(accept: str | None) -> bool:
    """True if a page of HTML suits better than a problem document.

    Only where HTML is asked for by its name: programs say ``*/*``, or nothing. Weights decide; of equal ones the name
    beats a wildcard, and a document in JSON that is named too beats the page.
    """
    if not accept or PAGE not in accept[:MAX_CHARACTERS].lower():
        return False
    weights: dict[str, float] = {}
    for each in _QUOTED.sub("", accept[:MAX_CHARACTERS]).split(",", MAX_RANGES)[:MAX_RANGES]:
        found = _RANGE.fullmatch(each)
        if found is not None:
            name = found[1].lower()
            weight = min(float(found[2]), 1.0) if found[2] else 1.0
            weights[name] = max(weight, weights.get(name, 0.0))
    page = weights.get(PAGE, 0.0)
    named = [weights[name] for name in _DOCUMENTS if name in weights]
    if named:
        return page > max(named)
    # RFC 9110 12.5.1: the most specific range counts.
    return page > 0 and page >= next((weights[name] for name in _ANY if name in weights), 0.0)
