"""Size and depth of a JSON text, told without decoding it."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.core.errors import BodyTooLarge
from app.standards.xapi import extent
from app.standards.xapi.documents import Content, merge
from app.standards.xapi.extent import crowded, deeper

JSON = some.recursive(
    some.none() | some.integers() | some.text(alphabet='a,[{:"\\}]é', max_size=5),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text('a{"', max_size=3), inner, max_size=4),
)


def values(node: Any) -> int:
    if isinstance(node, dict):
        return 1 + sum(map(values, node.values()))
    return 1 + sum(map(values, node)) if isinstance(node, list) else 1


def depth(node: Any) -> int:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(JSON, some.integers(0, 30))
def test_no_text_that_is_not_crowded_has_many_values(node: Any, most: int) -> None:
    text = json.dumps(node).encode()
    if values(node) > most + 1:
        assert crowded(text, most)
    assert not crowded(text, 3 * values(node))


@given(JSON, some.integers(0, 5))
def test_depth(node: Any, most: int) -> None:
    assert deeper(json.dumps(node).encode(), most) == (depth(node) > most)


@given(JSON, some.integers(1, 20), some.integers(0, 40))
def test_it_is_looked_at_in_pieces_of_any_size(node: Any, size: int, most: int) -> None:
    text = json.dumps(node).encode()
    whole = (crowded(text, most), deeper(text, most))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(extent, "_PIECE_BYTES", size)
        assert (crowded(text, most), deeper(text, most)) == whole


@pytest.mark.parametrize("count", [240_000, 2_000_000])
@pytest.mark.parametrize("value", [b"{}", b"[]", b'{"":{}}', b"0", b'""', b'"\\""'])
def test_a_merge_takes_little_memory(count: int, value: bytes) -> None:
    body = b'{"%s":[' + b",".join([value] * (count // (3 if len(value) > 2 else 1))) + b"]}"
    tracemalloc.start()
    try:
        merge(Content("application/json", body % b"a"), Content("application/json", body % b"b"))
    except BodyTooLarge:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100 * 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        b'["' + b'\\"' * 4_000_000 + b'"]',
        b'["' + b'\\"' * 4_000_000,
        b"[" + b",".join([b'"' + b'\\"' * 40_000 + b'"'] * 100),
        b'"' * 8_000_001,
        b'"\\' * 4_000_000,
        b'["",' * 2_000_000,
    ],
)
def test_strings_made_to_be_slow_cost_little(text: bytes) -> None:
    before = time.process_time()
    crowded(text + b"," * 300_000, 250_000)
    deeper(text + b"[" * 300, 254)
    assert time.process_time() - before < 6
