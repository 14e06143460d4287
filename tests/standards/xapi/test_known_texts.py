"""Known texts are replaced as a regular expression of all of them would, and sooner."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.standards.xapi.known_texts import KnownTexts

pieces = some.lists(some.sampled_from(["a", "b", "A", "é", "_", "1", " ", "-", ".", "\n", "中"]), max_size=12)
texts = pieces.map("".join)


@given(some.dictionaries(texts.filter(bool), some.sampled_from(["<1>", "<2>"]), min_size=1, max_size=6), texts)
def test_it_is_what_a_regular_expression_of_all_finds(known: dict[str, str], text: str) -> None:
    names = {each.lower(): name for each, name in known.items()}
    longest = "|".join(re.escape(each) for each in sorted(known, key=len, reverse=True))
    expected = re.sub(rf"(?<!\w)(?:{longest})(?!\w)", lambda match: names[match[0].lower()], text, flags=re.IGNORECASE)
    assert KnownTexts(known).replaced(text) == expected


def test_a_sign_whose_lower_case_is_a_letter_is_no_word() -> None:
    # U+0345 stands between words, and its folded form is an iota.
    assert KnownTexts({"-": "person 1"}).replaced("-\u0345a") == "person 1\u0345a"
    assert KnownTexts({"paul": "person 1"}).replaced("\u0345paul") == "\u0345person 1"


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ("İbrahim", "ibrahim"),
        ("ibrahim", "İBRAHIM"),
        ("Yıldız", "YILDIZ"),
        ("ÇELİK", "Çelik"),
        ("Σωκράτης", "ΣΩΚΡΆΤΗΣ"),
    ],
)
def test_upper_and_lower_case_are_the_same(known: str, text: str) -> None:
    assert KnownTexts({known: "person 1"}).replaced(f"({text})") == "(person 1)"


@pytest.mark.parametrize("end", ["b", "--", "-b"])
def test_of_a_very_long_text_the_beginning_is_found(end: str) -> None:
    long = "a-" * 150 + end
    assert KnownTexts({long: "person 1"}).replaced(f"see {long}").startswith("see person 1")


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({f"Élève {number}": f"person {number}" for number in range(9_000)}, "Élève 12345, " * 23_000),
        ({"- " * 30 + "x": "person 1"}, "- " * 150_000),
        # At each place as much of it as is looked for, but for the last.
        ({"- " * 49 + "x": "person 1"}, "- " * 500_000),
        ({"a": "person 1", "a " * 49 + "x": "person 2"}, "a " * 500_000),
        ({"-a" * number + "-": "person 1" for number in range(1, 50)}, "-a" * 500_000),
    ],
)
def test_thousands_known_or_a_long_one_do_not_make_a_large_text_take_long(known: dict[str, str], text: str) -> None:
    began = time.process_time()
    KnownTexts(known).replaced(text)
    assert time.process_time() - began < 3.5
