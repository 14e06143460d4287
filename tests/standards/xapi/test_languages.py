"""Choice of a language of a map (RFC 9110 12.5.4, RFC 4647 3.4), and its cost at worst."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.xapi.languages import MAX_RANGE_LENGTH, MAX_RANGES, Languages, parse

TAGS = ["fr", "FR-fr", "fr-CA", "en", "en-GB", "en-gb-oed", "de-Latn-DE", "de", "zh-Hant", "zh"]
RANGES = ["*", "fr", "fr-ca", "fr-CA-x", "en", "en-us", "en-GB", "de-latn", "de-latn-de-1996", "it", "zh-hant-tw"]


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        (None, ()),
        ("", ()),
        ("fr", ("fr",)),
        ("fr-CA, en;q=0.5 ,de;q=0.7,*;q=0.1", ("fr-ca", "de", "en", "*")),
        ("en;q=0.8,fr;q=0.8", ("en", "fr")),
        ("en;q=0, fr;q=0.001, de;q=1.000", ("de", "fr")),
        ("not a range, fr_FR, en;level=1, it", ("it",)),
        ("fr;q=2, en;q=, ,,de ; q = 0.5", ("de",)),
        (f"{'a-' * MAX_RANGE_LENGTH}a, fr", ("fr",)),
    ],
)
def test_a_header_is_read_by_its_weights(header: str | None, ranges: tuple[str, ...]) -> None:
    assert parse(header).ranges == ranges


def test_of_many_ranges_the_heaviest_count() -> None:
    light = [f"a-{number};q=0.5" for number in range(100)]
    assert parse(",".join([*light, "fr"])).ranges[0] == "fr"
    assert len(parse(",".join(light)).ranges) == MAX_RANGES


def slowly(ranges: list[str], texts: list[str]) -> str | None:
    """The right choice, made as the RFCs say it."""
    for wanted in ranges:
        if wanted == "*":
            break
        part = wanted.lower()
        while part:
            for matches in (lambda tag, it: tag == it, lambda tag, it: tag.startswith(it + "-")):
                for tag in texts:
                    if matches(tag.lower(), part):
                        return tag
            part = part.rpartition("-")[0]
    return texts[0] if texts else None


@given(st.lists(st.sampled_from(RANGES), max_size=5), st.lists(st.sampled_from(TAGS), unique=True))
def test_the_choice_is_that_of_a_lookup_range_by_range(ranges: list[str], texts: list[str]) -> None:
    assert Languages(ranges).chosen(dict.fromkeys(texts, "")) == slowly(ranges, texts)


def test_a_choice_costs_each_tag_once_and_a_header_what_is_read_of_it() -> None:
    header = ",".join(f"{first}{second}-a-b-c-d" for first in "abcdefghijklmnopqrstuvwxyz" for second in "qrstuvwxyz")
    texts = dict.fromkeys([f"xx-x-{number:x}" for number in range(60_000)] + ["x" + "-a" * 500_000], "")
    began = time.process_time()
    wanted = parse(header * 100)
    for _ in range(5):
        assert wanted.chosen(texts) == "xx-x-0"
    assert time.process_time() - began < 2
