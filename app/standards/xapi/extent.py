"""Size and depth of a JSON text, told without decoding it: the memory and the depth that decoding would take."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SEPARATORS = (b",", b"[", b"{", b":")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
# At once: what a text is cut into takes many times as much as it does.
_PIECE_BYTES = 64 * 1024
# To where a string begins that does not end. One match, whatever stands in it: a search that began anew at each quote
# of such a string would take the square of its length.
_CLOSED = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def crowded(text: bytes, most: int) -> bool:
    """True if it has more than so many values, told by what separates them; texts may hold as many as they like."""
    # It has more bytes than separators.
    if len(text) <= most or sum(map(text.count, _SEPARATORS)) <= most:
        return False
    separators = 0
    for piece in _bare(text):
        separators += sum(map(piece.count, _SEPARATORS))
        if separators > most:
            return True
    return False


def deeper(text: bytes, most: int) -> bool:
    """True if its arrays and objects are nested more deeply than so many levels."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for piece in _bare(text):
        for found in _BRACKET.finditer(piece):
            depth += 1 if found[0] in b"[{" else -1
            if depth > most:
                return True
    return False


def _bare(text: bytes) -> Iterator[bytes]:
    """The text outside its strings, in pieces."""
    at = 0
    while at < len(text):
        end = min(at + _PIECE_BYTES, len(text))
        closed = _CLOSED.match(text, at, end)
        begun = at if closed is None else closed.end()
        yield _STRING.sub(b"", text[at:begun])
        if begun < end:
            # This string goes on behind the piece, or to no end.
            found = _STRING.match(text, begun)
            end = len(text) if found is None else found.end()
        at = end
