"""Multipart messages: whatever the headers hold, what is written reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.multipart import Written, parts, write


def _read(body: bytes, named: str = "b") -> list[tuple[dict[str, str], bytes]]:
    return [(dict(part.headers), b"".join(part.chunks)) for part in parts([body], named)]


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
