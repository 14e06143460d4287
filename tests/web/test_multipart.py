"""Multipart messages: whatever the headers hold, what is written reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import MalformedMultipart
from app.web.multipart import Written, parts, write


def _read(*chunks: bytes, named: str = "b") -> list[tuple[dict[str, str], bytes]]:
    return [(dict(part.headers), b"".join(part.chunks)) for part in parts(chunks, named)]


def _written(text: str) -> bytes:
    length, chunks = write([Written({"Content-Type": text}, 4, (b"data",))], "b")
    body = b"".join(chunks)
    assert len(body) == length
    return body


@pytest.mark.parametrize("text", ["text/plain\rX-Other: 1", "text/plain\r\nX-Other: 1", "text/plain\nX-Other: 1"])
def test_a_value_cannot_begin_another_header(text: str) -> None:
    # RFC 9110 5.5
    [(headers, data)] = _read(_written(text))
    assert (list(headers), data) == (["content-type"], b"data")
    assert b"\rX" not in _written(text)


@given(st.text(max_size=20))
def test_any_text_is_written_as_one_header_of_printable_ascii(text: str) -> None:
    head = _written(text).split(b"\r\n")[1]
    assert head.startswith(b"Content-Type: ")
    assert all(byte == 9 or 32 <= byte < 127 for byte in head)


# Text that is like the boundary, which is "b", without being one.
LIKE = st.lists(
    st.sampled_from([b"\r\n--", b"\r\n", b"--b", b"--", b"\r", b"\n", b"-", b" ", b"\t", b"x", b"\r\n--bb", b"\r\n-b"]),
    max_size=6,
).map(b"".join)
PADDING = st.text(" \t", max_size=3).map(str.encode)


def _has_boundary(text: bytes) -> bool:
    return b"\r\n--b" in b"\r\n" + text + b"\r\n"


@given(LIKE, st.lists(LIKE, min_size=1, max_size=3), st.lists(PADDING, min_size=4, max_size=4), LIKE, st.data())
def test_preamble_padding_and_epilogue_are_left_out_however_the_body_is_cut(
    preamble: bytes, contents: list[bytes], padding: list[bytes], epilogue: bytes, data: st.DataObject
) -> None:
    # RFC 2046 5.1.1
    contents = [each.replace(b"\r\n--b", b"\r\n--x") for each in contents]
    preamble = b"" if _has_boundary(preamble) else preamble
    body = preamble + b"\r\n" if preamble else b""
    for number, content in enumerate(contents):
        body += (b"\r\n" if number else b"") + b"--b" + padding[number] + b"\r\nA: 1\r\n\r\n" + content
    body += b"\r\n--b--" + padding[3] + b"\r\n" + epilogue
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    chunks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert _read(*chunks) == [({"a": "1"}, content) for content in contents]
    assert _read(*(bytes([byte]) for byte in body)) == [({"a": "1"}, content) for content in contents]


@pytest.mark.parametrize(
    "body",
    [
        b"--bX\r\nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"--b X\r\nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"preamble\r\n--bX\r\n\r\n--b\r\nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"--b" + b" " * 300 + b"\r\nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"--b \nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"--b\r\r\nA: 1\r\n\r\ndata\r\n--b--\r\n",
        b"--b\r\nA: 1\r\n\r\ndata\r\n--b X\r\nA: 1\r\n\r\nmore\r\n--b--\r\n",
        b"a preamble alone",
        b"x--b\r\nA: 1\r\n\r\ndata\r\n",
    ],
)
def test_what_another_reader_could_take_for_a_boundary_is_refused(body: bytes) -> None:
    for chunks in ([body], [bytes([byte]) for byte in body]):
        with pytest.raises(MalformedMultipart):
            _read(*chunks)
