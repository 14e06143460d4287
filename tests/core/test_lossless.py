"""JSON whose numbers keep their digits; what orjson takes otherwise is taken, and given, as by orjson."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import lossless
from app.core.lossless import Digits, rounded

LONG = st.integers(10**18, 10**60).map(lambda number: number * (1 if number % 2 else -1))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | LONG | st.text(max_size=30) | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=25), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_every_integer_comes_back_with_its_digits(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    written = lossless.dumps(lossless.loads(text.encode()))
    assert json.loads(written) == value
    assert lossless.dumps(lossless.loads(written)) == written


@given(JSON)
def test_whatever_is_there_with_a_long_number_is_read_as_it_is_without(value: Any) -> None:
    beside = orjson.loads(lossless.dumps(rounded(lossless.loads(json.dumps(value).encode()))))
    for number in ("1" * 30, "-1e400"):
        read = lossless.loads(f'[{number},{json.dumps(beside)},"\\"{number}"]'.encode())
        assert read == [Digits(number), beside, f'"{number}']


@pytest.mark.parametrize(
    "text",
    ["18446744073709551616", "-9223372036854775809", "9" * 300, "9" * 5_000, "1e400", "-1E+99999999999999999999"],
)
def test_what_64_bits_do_not_hold_is_kept_as_text(text: str) -> None:
    assert lossless.loads(text.encode()) == Digits(text)
    assert lossless.dumps({"a": [Digits(text)]}) == f'{{"a":[{text}]}}'.encode()
    assert Digits(text) != Digits(text + "0")
    assert text not in repr([Digits(text)])


@pytest.mark.parametrize(
    "text", ["18446744073709551615", "-9223372036854775808", "1e22", "0.12345678901234567890123", "1" * 30 + ".5"]
)
def test_what_64_bits_hold_is_as_orjson_has_it(text: str) -> None:
    assert lossless.loads(text.encode()) == orjson.loads(text)
    assert type(lossless.loads(text.encode())) is type(orjson.loads(text))


@pytest.mark.parametrize("number", ["1" * 30, "1e400"])
@pytest.mark.parametrize(
    "around",
    [
        "[#", "#,", "[#,]", "#1 #", "[#,NaN]", "[-Infinity,#]", "[#,tru]", '{"a":#,}', '["\\ud800",#]', '[#,"\\udc00"]',
        "[#,01]", "[#,+1]", "[#,1.]", "-", "--#", "#e", "#.", '[#,"\x01"]', "{#:1}", '["#]', "[#]\x00", "\ufeff[#]",
        "[" * 2_000 + "#" + "]" * 2_000,
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused_beside_a_long_number_too(around: str, number: str) -> None:
    with pytest.raises(lossless.Malformed):
        lossless.loads(around.replace("#", number).encode())


def test_bytes_that_are_not_utf_8_are_refused_beside_a_long_number() -> None:
    for number in (b"1" * 30, b"1e400"):
        with pytest.raises(lossless.Malformed):
            lossless.loads(b"[" + number + b',"\xff"]')


def test_the_place_of_what_is_no_value_is_told() -> None:
    with pytest.raises(lossless.Malformed) as refused:
        lossless.loads(b'[1e400,\n"NaN",NaN]')
    assert (refused.value.lineno, refused.value.colno) == (2, 7)


@given(st.binary(max_size=30))
def test_no_bytes_crash_it(content: bytes) -> None:
    for each in (content, b"[1e400," + content, b"[" + b"1" * 30 + b"," + content):
        try:
            value = lossless.loads(each)
        except lossless.Malformed:
            continue
        assert lossless.loads(lossless.dumps(value)) == value


def test_digits_compare_by_value_with_other_numbers_where_asked() -> None:
    assert Digits("10000000000000000000000").comparable == 1e22
    assert hash(Digits("10000000000000000000000").comparable) == hash(1e22)
    assert Digits("10000000000000000000001").comparable != 1e22
    assert Digits("1e99999999999999999999").comparable != float("inf")


def test_rounding_gives_floats_and_copies_only_what_changes() -> None:
    value = {"a": [1, Digits("1" * 30)], "b": {"c": Digits("-1e400")}, "d": [2]}
    plain = rounded(value)
    assert plain == {"a": [1, 1.1111111111111111e29], "b": {"c": -1.7976931348623157e308}, "d": [2]}
    assert plain["d"] is value["d"] and rounded(plain) is plain
    assert type(value["a"][1]) is Digits  # type: ignore[index]


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b'\\"' * 400_000,
        b'{"a":"' + b"\\\\" * 400_000 + b'"}',
        b"1" * 800_000,
        b"-" + b"1" * 800_000 + b".5",
        b"1e" + b"9" * 800_000,
        b'["' + b"1" * 30 + b'\\"' * 400_000,
    ],
    ids=["unclosed", "backslashes", "digits", "fraction", "exponent", "unclosed digits"],
)
def test_cost_is_linear(content: bytes) -> None:
    begun = time.process_time()
    for _ in range(3):
        with contextlib.suppress(lossless.Malformed):
            lossless.dumps(lossless.loads(content))
        lossless.STRING.sub(b"", content)
    # 0.1 s here; what takes the square of the length takes minutes.
    assert time.process_time() - begun < 3
