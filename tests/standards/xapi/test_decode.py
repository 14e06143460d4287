import contextlib
import json
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import (
    BadRequest,
    BodyTooLarge,
    DuplicateKey,
    InvalidStatement,
    MalformedJSON,
    SillageError,
    StatementTooLarge,
)
from app.standards.xapi import decode as decoding
from app.standards.xapi.decode import MAX_STATEMENT_BYTES, MAX_VALUES, decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def read(body: bytes, max_statements: int = 3):
    return decode(body, max_statements=max_statements)


def test_one_statement_and_an_array_are_told_apart() -> None:
    assert read(b'{"a": 1}') == ([{"a": 1}], False, [b'{"a":1}'])
    assert read(b'[{"a": 1}, {}]') == ([{"a": 1}, {}], True, [b'{"a":1}', b"{}"])
    assert read(b"[]") == ([], True, [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "byte order mark"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'{"a":\n {"b": 1', "cut off"),
        (b'{"a":\n tru }', "line 2"),
        (b'{"a": NaN}', "column 7"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": 1e999, "b": NaN}', "column 19"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b"[" * 10_000, "nested"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(MalformedJSON, match=said):
        read(body)


@pytest.mark.parametrize("open_, close", [(b'{"a":', b"}"), (b"[", b"]")])
def test_nesting_is_allowed_up_to_the_limit_and_no_further(open_: bytes, close: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"x":' + open_ * (levels - 1) + b"1" + close * (levels - 1) + b"}"

    read(nested(254))
    with pytest.raises(MalformedJSON, match="254 levels"):
        read(nested(255))


@pytest.mark.parametrize("levels", [255, 400, 1000, 1025, 100_000])
def test_nothing_is_let_in_that_could_not_be_written_again(levels: int) -> None:
    with pytest.raises(MalformedJSON, match="254 levels"):
        read(b'{"a":' * levels + b"1" + b"}" * levels)


def test_brackets_in_strings_are_not_nesting() -> None:
    assert read(orjson.dumps({"a": "[{" * 500})).statements[0]["a"].startswith("[{")


def test_a_batch_is_limited() -> None:
    read(b"[{},{},{}]")
    with pytest.raises(BodyTooLarge):
        read(b"[{},{},{},{}]")


@pytest.mark.parametrize(("body", "pointers"), [(b"3", [""]), (b'"{}"', [""]), (b"[{}, 1, []]", ["/1", "/2"])])
def test_what_is_not_an_object_is_refused(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(InvalidStatement) as refused:
        read(body)
    assert [fault.pointer for fault in refused.value.faults] == pointers


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a": 1, "a": 1}', "/a"),
        (b'{"a": 1, "\\u0061": 2}', "/a"),
        (b'[{}, {"x/~": {"b": [{"c": 1, "c": 2}]}}]', "/1/x~1~0/b/0/c"),
        (b'{"a": {"x": 1, "x": 2}, "a": 3}', "/a"),
        # Two escaped quotes decode to the two quotes that the dropped key takes away.
        (b'{"a": "\\u0022\\u0022", "b": 1, "b": 1}', "/b"),
        (b'{"a": "\\\\u0022", "b": [[], [{}, {"\\u0022": [[0, {"c": 1, "c": 1e999}]]}]]}', '/b/1/1/"/0/1/c'),
        (b'{"' + b"k" * 9_000 + b'": {"x": 1, "x": 1}}', "/" + "k" * 150 + "\u2026" + "k" * 40 + "/x"),
    ],
)
def test_a_key_given_twice_is_refused_where_it_stands(body: bytes, pointer: str) -> None:
    with pytest.raises(DuplicateKey) as refused:
        read(body)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_quotes_in_texts_are_no_keys() -> None:
    for text in ('"', '\\"', "\\u0022", '\\\\"', '""'):
        for body in (json.dumps({"a": text, text: 1}), json.dumps({"a": text}).replace('\\"', "\\u0022")):
            assert read(body.encode()).statements == [json.loads(body)]


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4), st.booleans())
def test_decoding_gives_back_what_was_encoded(value: dict, ascii_only: bool) -> None:
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode()).statements == [value]


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4), st.data())
def test_every_duplicate_is_found(value: dict, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    body = json.dumps({"in": [value]})
    place = body.index("[{") + 2
    body = body[:place] + json.dumps(key) + ": " + json.dumps(data.draw(JSON)) + ", " + body[place:]
    with pytest.raises(DuplicateKey):
        read(body.encode())


@given(st.binary(max_size=40))
def test_no_bytes_crash_it(body: bytes) -> None:
    with contextlib.suppress(BadRequest, BodyTooLarge):
        read(body)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**63, 10**18, 9_999_999_999_999_999_999])
@pytest.mark.parametrize("places", ["[%d]", '{"x":%d}', '{"a":[1,{"b":%d}]}', "[%d,%d]"])
def test_integers_of_64_bits_come_back_as_they_were(number: int, places: str) -> None:
    text = '{"e":' + places.replace("%d", str(number)) + "}"
    assert json.loads(read(text.encode()).written[0]) == json.loads(text)


@pytest.mark.parametrize(
    "number",
    ["18446744073709551616", "-9223372036854775809", "12345678901234567890123", "9" * 300, "9" * 900_000, "1e400"],
)
def test_longer_numbers_keep_their_digits(number: str) -> None:
    # xAPI-Data 4.1: an LRS does not reject a statement for the values of its extensions.
    for body in (f'{{"a":[1,{number}]}}', f'[{{}},{{"x/y":{{"n":{number}}}}}]'):
        decoded = read(body.encode())
        written = b",".join(decoded.written)
        assert (b"[" + written + b"]" if decoded.many else written) == body.encode()


@pytest.mark.parametrize(
    "text",
    [
        '"12345678901234567890123"',
        "0.12345678901234567890123",
        "12345678901234567890123.5",
        "1e30",
        "1e-0000000000000000000001",
        "-0.0000000000000000000001",
        '"\\"9"',
    ],
)
def test_long_digits_that_are_no_integer_are_taken(text: str) -> None:
    assert read(f'{{"a": {text}}}'.encode()).statements == [{"a": json.loads(text)}]


def test_a_statement_is_limited_in_length() -> None:
    def sized(length: int) -> bytes:
        return b'{"a":"' + b"x" * (length - 8) + b'"}'

    read(sized(MAX_STATEMENT_BYTES) + b" " * 10)
    for body, pointer in (
        (sized(MAX_STATEMENT_BYTES + 1), ""),
        (b"[{}," + sized(MAX_STATEMENT_BYTES + 1) + b"]", "/1"),
    ):
        with pytest.raises(StatementTooLarge) as refused:
            read(body)
        [fault] = refused.value.faults
        assert refused.value.status == 413
        assert (fault.pointer, fault.rule, fault.section) == (pointer, "statement-size", "Sillage")
        assert len(decode(body, max_statements=2, max_statement_bytes=MAX_STATEMENT_BYTES + 1).written) <= 2


@pytest.mark.parametrize("value", [b"{},", b"[],", b'{"":0},', b"0,", b"[[[]]],"])
def test_a_body_is_limited_in_values(value: bytes) -> None:
    crowded = b'{"a":[' + value * (MAX_VALUES // sum(value.count(each) for each in b",[{:") + 1) + b"0]}"
    with pytest.raises(BodyTooLarge, match="JSON values"):
        read(crowded)


def test_to_refuse_a_body_of_too_many_values_takes_little_memory() -> None:
    # One piece less for each text that is taken out: of seven million there were 700 MiB.
    for body in (b"{" + b'"a":1,' * 3_400_000 + b'"b":1}', b"[" + b'"",' * 6_900_000 + b"0]"):
        tracemalloc.start()
        try:
            with pytest.raises(BodyTooLarge):
                read(body)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * 1024 * 1024


def test_what_separates_values_may_fill_texts() -> None:
    texts = [',[{:\\"' * 100_000] * 10
    assert read(orjson.dumps([{"a": text} for text in texts]), 10).statements == [{"a": text} for text in texts]


# --- the fast way and the slow one ----------------------------------------------------------------

TOKENS = [
    *("{", "}", "[", "]", ",", ":", " ", "\n", '"a"', '"b"', '"\\u0061"', '"\\""', '"é"', '"\\u00e9"', '"\\/"', "null"),
    *("-0", "0", "1", "1.0", "1.00", "1e5", "1E400", "-1"),
    *("18446744073709551615", "18446744073709551616", "-9223372036854775809"),
    *('{"a":1}', '{"a":1,"a":1}', '{"a":{"b":1},"b":[]}', "[]", "{}", '"1111111111111111111111"'),
]  # fmt: skip


def told(body: bytes) -> object:
    try:
        return read(body, 10)
    except SillageError as refused:
        return refused.code, refused.detail, [*refused.faults]


def differs(body: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    """True if the body is decoded otherwise when each body is taken for one that nothing is known of."""
    quick = told(body)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_decoded_quickly", lambda body, most: None)
        return repr(told(body)) != repr(quick)


@given(st.lists(st.sampled_from(TOKENS), max_size=12))
def test_the_fast_way_decodes_as_the_slow_one_does(tokens: list[str]) -> None:
    joined = "".join(tokens)
    with pytest.MonkeyPatch.context() as patch:
        for body in (joined, f"[{joined}]", f'[{{"x":{joined}}}]', f"[{','.join(tokens)}]"):
            assert not differs(body.encode(), patch), body


@given(JSON, st.booleans(), st.booleans())
def test_the_fast_way_decodes_what_is_json_as_the_slow_one_does(value, compact: bool, ascii: bool) -> None:
    separators = (",", ":") if compact else None
    body = json.dumps([{"a": value}, {"b": value}], separators=separators, ensure_ascii=ascii)
    with contextlib.suppress(UnicodeEncodeError), pytest.MonkeyPatch.context() as patch:
        assert not differs(body.encode(), patch)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'[{"a":1}]', b'{"a":18446744073709551615}', '[{"a":"é\\"b"},{"c":[1.5,null]}]'.encode()]
)
def test_what_is_written_as_it_is_kept_is_not_searched_for_faults(body: bytes, monkeypatch) -> None:
    def searched(*_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(decoding, "_may_have_duplicates", searched)
    monkeypatch.setattr(decoding.lossless, "has_long_integers", searched)
    read(body)
    with pytest.raises(AssertionError):
        read(body + b" ")
