"""Cost of decoding a body at its limits: processor time and memory, whatever the body is made of.

Bodies of 20 MiB (``SILLAGE_MAX_BODY_BYTES``), each in a process of its own. The bounds are those of an ordinary body of
that size, several times over: it takes 0.5 s and 240 MiB here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.places import ROOT
from tests.served import statement

BODY = 20 * 1024 * 1024

MAX_SECONDS = 6.0
"""Of processor; generous, for a busy machine. What grows with the square of a length takes minutes."""
MAX_MIB = 400
"""Beyond what the process held with the body; an ordinary one, decoded and written again, takes 240."""

MEASURE = r"""
import re, sys, time
from app.core.errors import SillageError
from app.standards.xapi.decode import decode
body = sys.stdin.buffer.read()
def memory(name):
    with open("/proc/self/status") as status:
        return int(re.search(name + r":\s+(\d+) kB", status.read())[1]) / 1024
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # begin it anew: it holds that of the process that started this one
held, begun = memory("VmRSS"), time.process_time()
try:
    decode(body, max_statements=100_000)
    said = "taken"
except SillageError as refused:
    said = refused.code
    assert all(len(fault.pointer) <= 2_000 for fault in refused.faults)
print(said, time.process_time() - begun, memory("VmHWM") - held)
"""


def full(piece: bytes, before: bytes = b'{"e":[', after: bytes = b"0]}", most: int = 1 << 62) -> bytes:
    """A body of statements, each just under its own limit, made of as many pieces as it may hold."""
    one = before + piece * (1_000_000 // len(piece)) + after
    return b"[" + b",".join([one] * min(BODY // (len(one) + 1), most)) + b"]"


def ordinary(last: bytes = b"{}") -> bytes:
    one = json.dumps(statement(context={"extensions": {"https://ent.example/x": "x" * 200}})).encode()
    return b"[" + (one + b",") * ((BODY - 2_000) // (len(one) + 1)) + last + b"]"


# Two million values are what a body may have.
BODIES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "ordinary": ("taken", ordinary),
    "values": ("taken", lambda: full(b"0,", most=3)),
    "objects": ("taken", lambda: full(b'{"aaaaaaaaaaaaa":"xxxxxxxxxxxxxxxxxxxx"},', most=12)),
    "repeated keys": ("duplicate-key", lambda: full(b'"k":0,', b'{"e":{', b'"k":0}}', most=5)),
    "last key repeated": ("duplicate-key", lambda: ordinary(b'{"b":1,"b":2}')),
    "long keys, repeated below": (
        "duplicate-key",
        lambda: b"[" + b",".join([b'{"%b":[%b0]}' % (b"k" * 500_000, b'{"a":1,"a":2},' * 10_000)] * 20) + b"]",
    ),
    "deep": ("taken", lambda: b"[" + (b'{"a":' + b"[" * 250 + b"]" * 250 + b"},") * 7_000 + b"{}]"),
    "too deep": ("malformed-json", lambda: b"[" * 1_900_000),
    "too deep, with a long number": ("malformed-json", lambda: b"[" + b"1" * 30 + b"," + b"[" * 1_900_000),
    "digits in texts": ("taken", lambda: full(b'"' + b"1" * 30 + b'",')),
    "long integers": ("taken", lambda: full(b"1" * 30 + b",")),
    "longest integers": ("taken", lambda: full(b"1" * 900_000, b'{"e":', b"}")),
    "one integer": ("statement-too-large", lambda: b'{"e":' + b"1" * (BODY - 6) + b"}"),
    "integers of 19 digits": ("taken", lambda: full(b"1" * 19 + b",", most=18)),
    "numbers beyond floats": ("taken", lambda: full(b"1e400,", most=10)),
    "long fractions": ("taken", lambda: full(b"0." + b"1" * 30 + b",")),
    "backslashes": ("taken", lambda: full(b'"' + b"\\\\" * 500 + b'",')),
    "escaped quotes": ("taken", lambda: full(b'"' + b'\\"' * 500 + b'",')),
    "escaped quotes, unclosed": ("malformed-json", lambda: b'["' + b'\\"' * 9_000_000 + b"," * 2_000_001),
    "quotes by number": ("taken", lambda: full(b'"' + b"\\u0022" * 100 + b'",')),
    "quotes by number, and what looks like one": ("taken", lambda: full(b'"\\\\u0022\\u0022\\u0022",', most=18)),
    "a quote by number in an ordinary body": ("taken", lambda: ordinary(b'{"a":"\\\\u0022"}')),
    "halves of pairs": ("malformed-json", lambda: full(b'"\\ud800",', most=17)),
    "malformed at the end": ("malformed-json", lambda: ordinary(b"x")),
    "malformed at the end, with a long number": ("malformed-json", lambda: ordinary(b"1" * 30 + b"x")),
    "no value at the end": ("malformed-json", lambda: ordinary(b"1e400,NaN")),
    "no objects": ("invalid-statement", lambda: b"[" + b"1," * 9_000 + b"1]"),
    "lines": ("malformed-json", lambda: b"\n" * (BODY - 1) + b"x"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_at_its_limits_costs_what_an_ordinary_one_does(name: str) -> None:
    code, make = BODIES[name]
    body = make()
    assert len(body) <= BODY
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input=body, capture_output=True, cwd=ROOT, timeout=300, check=True
    )
    said, seconds, mebibytes = done.stdout.split()
    assert said.decode() == code
    assert float(seconds) < MAX_SECONDS
    assert float(mebibytes) < MAX_MIB
    print(f"{name}: {float(seconds):.2f} s, {float(mebibytes):.0f} MiB")
