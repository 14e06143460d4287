"""The form of an error that ``Accept`` asks for."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.negotiation import MAX_CHARACTERS, MAX_RANGES, wants_page

BROWSERS = {
    "Firefox": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Chromium": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "Safari": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Lynx": "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",
}


@pytest.mark.parametrize("name", BROWSERS)
def test_browsers_get_a_page(name: str) -> None:
    assert wants_page(BROWSERS[name])


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "application/problem+json",
        "text/*",
        "text/plain",
        "application/xhtml+xml",
        "image/avif,image/webp,*/*;q=0.8",
    ],
)
def test_whoever_does_not_ask_for_html_by_its_name_gets_a_document(accept: str | None) -> None:
    assert not wants_page(accept)


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        # RFC 9110 12.4.2: weights, from 0 (not at all) to 1.
        ("text/html;q=0", False),
        ("text/html;q=0.000", False),
        ("text/html;q=0.001", True),
        ("text/html;q=0, */*", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0.5, application/json;q=0.4", True),
        ("text/html;q=0.5, application/problem+json;q=0.4, application/json", False),
        ("application/json;q=0.9, text/html", True),
        # Both named, and as much: a program that can read either.
        ("text/html, application/json", False),
        ("application/problem+json, text/html", False),
        # The name beats a wildcard, which stands for what is not named.
        ("text/html, */*", True),
        ("text/html;q=0.5, */*;q=0.5", True),
        ("text/html;q=0.5, */*", False),
        ("text/html;q=0.5, application/*;q=0.6, */*;q=0.1", False),
        # RFC 9110 12.5.1: the most specific range counts.
        ("text/html;q=0.5, application/*;q=0.4, */*", True),
        ("text/html;q=0.5, application/json;q=0.3, */*", True),
        # Names and the weight have no case; blanks stand where they may.
        ("TEXT/HTML ; Q=1", True),
        (" \ttext/html\t ;\tq=1\t ,*/*", True),
        # Another representation than the one that there is.
        ("text/html;level=1", False),
        ('text/html;x="a,text/html,b"', False),
        ("text/html;charset=utf-8", True),
        ("text/html;charset=utf-8;q=0.2, */*;q=0.3", False),
        # What follows a weight says nothing.
        ("text/html;q=1;ext=yes", True),
        # What is no range is left out.
        ("text/html;q=5", False),
        ("text/html;q=-1", False),
        ("text/html;q=", False),
        ("text/html;", False),
        ("text /html", False),
        ("text/html text/html", False),
        (",,;,text/html,,", True),
        ('"text/html', False),
        ('text/html, "', True),
    ],
)
def test_weights(accept: str, page: bool) -> None:
    assert wants_page(accept) is page


NAMES = ["text/html", "text/html;level=1", "application/json", "application/problem+json", "application/*", "*/*", ""]
WEIGHTS = ["", ";q=0", ";q=0.5", ";q=0.7", ";q=1.0", ";q=2.0", ";q"]
RANGES = st.lists(st.builds("{}{}".format, st.sampled_from(NAMES), st.sampled_from(WEIGHTS)), max_size=8)


@given(RANGES, st.randoms(use_true_random=False))
def test_the_order_of_ranges_says_nothing(ranges: list[str], chance: random.Random) -> None:
    mixed = list(ranges)
    chance.shuffle(mixed)
    assert wants_page(",".join(mixed)) is wants_page(", ".join(ranges).upper())


@given(st.text(max_size=300) | st.text('text/html*,;q=.019"\\ \t', max_size=300))
def test_garbage_is_read_without_harm(accept: str) -> None:
    found = wants_page(accept)
    assert not found or "text/html" in accept.lower()
    # And says nothing of the range beside it, unless it leaves a string open.
    if not re.search(r'"|\*|html|json', accept, re.IGNORECASE) and accept.count(",") < MAX_RANGES - 1:
        assert wants_page(f"{accept},text/html")


LONG = 200_000
HUGE = {
    "many ranges": "a/b," * (LONG // 4),
    "many pages": "text/html," * (LONG // 10),
    "many weights": "text/html;q=0.1," * (LONG // 16),
    "commas": "text/html" + "," * LONG,
    "semicolons": "text/html" + ";" * LONG,
    "blanks": "text/html" + " " * LONG + "x",
    "blanks and semicolons": "text/html" + " ;" * (LONG // 2),
    "weights": "text/html" + ";q=0.1" * (LONG // 6),
    "quotes": "text/html" + '"' * (LONG + 1),
    "strings": 'text/html;x="' + '\\"' * (LONG // 2),
    "backslashes": 'text/html;x="' + "\\" * LONG,
    "a long name": "text/html," + "a" * LONG + "/b",
    "slashes": "text/html," + "/" * LONG,
    "stars": "text/html," + "*/*," * (LONG // 4),
}


@pytest.mark.parametrize("name", HUGE)
def test_a_header_made_to_be_slow_costs_little(name: str) -> None:
    before = time.process_time()
    for _ in range(20):
        wants_page(HUGE[name])
    # Some 0.2 ms each; the square of its length would be minutes.
    assert time.process_time() - before < 1


def test_what_is_beyond_the_bounds_is_not_read() -> None:
    few = "a/b," * (MAX_RANGES - 1)
    assert wants_page(f"{few}text/html") and not wants_page(f"{few}a/b,text/html")
    assert not wants_page("a/b;x=" + "y" * MAX_CHARACTERS + ",text/html")
