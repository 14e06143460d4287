"""Whatever a profile document is made of, loading and linting it take seconds, and what was not done is told."""

import json
import time

import pytest

from app.core.errors import ProfileInvalid
from app.standards.profiles import checker, document, extensions, resources, sessions
from app.standards.profiles.lint import MAX_FINDINGS, lint

P = "https://example.org/p"
V = f"{P}/v1"
WORDS = {"prefLabel": {"en": "x"}, "definition": {"en": "x"}}
SECONDS = 20
"""Of processor time, for each of loading and linting; the slowest below takes a fifth. Without limits: many minutes."""


def profile(**parts):
    return {
        "@context": "https://w3id.org/xapi/profiles/context", "id": P, "type": "Profile", **WORDS,
        "conformsTo": "https://w3id.org/xapi/profiles#1.0", "author": {"type": "Organization", "name": "Tests"},
        "versions": [{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z"}], **parts,
    }  # fmt: skip


def template(name, *rules, **more):
    of = {"id": f"{P}/t{name}", "type": "StatementTemplate", "inScheme": V, **WORDS, "verb": f"{P}/v"}
    return {**of, "rules": list(rules), **more}


def pattern(name, **more):
    return {"id": f"{P}/{name}", "type": "Pattern", "inScheme": V, **WORDS, **more}


def term(name, kind="Verb", **more):
    return {"id": f"{P}/{name}", "type": kind, "inScheme": V, **WORDS, **more}


THERE = {"location": "$.result", "presence": "included"}
TEMPLATES = [template(n, THERE) for n in range(2_000)]

HOSTILE = {
    "templates of one verb, with rules": profile(
        templates=[template(n, *[{**THERE, "any": [n, at, "x"]} for at in range(10)]) for n in range(1_900)]
    ),
    "templates of one verb, with contexts": profile(
        templates=[template(n, THERE, contextParentActivityType=["urn:x", f"urn:{n}"]) for n in range(2_000)]
    ),
    "rules of one place": profile(templates=[template(0, *[{"location": "$.id", "none": [n]} for n in range(20_000)])]),
    "rules with many values": profile(
        templates=[template(0, *[{"location": "$.id", "all": [f"{n}-{m}" for m in range(280)]} for n in range(1_000)])]
    ),
    "long paths": profile(
        templates=[
            template(n, *[{"location": "$" + ".*" * 60 + f".x{n}-{at}", "presence": "included"} for at in range(10)])
            for n in range(780)
        ]
    ),
    "names to guess": profile(
        concepts=[term("long" * 40 + str(n)) for n in range(9_000)],
        templates=[template(n, verb=f"{P}/" + "lonj" * 40 + str(n)) for n in range(2_000)],
    ),
    "unknown properties": profile(templates=[{**template(n), "x" * 190 + str(n): 1} for n in range(2_000)]),
    "a chain of concepts": profile(concepts=[term(n, broader=[f"{P}/{n + 1}"]) for n in range(10_000)]),
    "a chain of patterns": profile(
        patterns=[*(pattern(n, optional=f"{P}/{n + 1}") for n in range(1_999)), pattern(1_999, optional=f"{P}/t0")],
        templates=TEMPLATES[:1],
    ),
    "a circle of patterns": profile(patterns=[pattern(n, optional=f"{P}/{(n + 1) % 2_000}") for n in range(2_000)]),
    "patterns that share a long one": profile(
        patterns=[
            *(pattern(n, primary=True, oneOrMore=f"{P}/long") for n in range(200)),
            pattern("long", sequence=[f"{P}/t{n % 2_000}" for n in range(4_700)]),
        ],
        templates=TEMPLATES,
    ),
    "patterns with many states": profile(
        patterns=[
            *(pattern(n, primary=True, sequence=[f"{P}/part{at}" for at in range(20)]) for n in range(200)),
            *(pattern(f"part{at}", zeroOrMore=f"{P}/t{at}") for at in range(20)),
        ],
        templates=TEMPLATES[:20],
    ),
    "verbs and types": profile(
        templates=[
            *(template(n, verb=f"urn:v{n}") for n in range(1_000)),
            *(template(n, verb=None, objectActivityType=f"urn:o{n}") for n in range(1_000, 2_000)),
        ]
    ),
    "templates of all versions": profile(
        versions=[{"id": f"{V}{n}", "generatedAtTime": "2026-01-01T00:00:00Z"} for n in range(100)],
        templates=[
            template(n // 100, *[{"location": "$.id", "any": [at, n]} for at in range(10)], inScheme=f"{V}{n % 100}")
            for n in range(1_900)
        ],
    ),
    "schemas": profile(
        concepts=[
            term(n, "ContextExtension", inlineSchema=json.dumps({"allOf": [{"type": "string"}] * 2_500}))
            for n in range(250)
        ]
    ),
    "faults": profile(templates=[{"verb": 3, "rules": [{"x": 1}] * 9} for _ in range(2_000)]),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_no_document_takes_long(name):
    raw = json.dumps(HOSTILE[name], separators=(",", ":")).encode()
    assert len(raw) <= document.MAX_DOCUMENT_BYTES
    began = time.process_time()
    try:
        read = document.load(raw)
        checker.compile([read])
        sessions.compile(read)
        extensions.Extensions([read])
        resources.Resources([read])
    except ProfileInvalid as refused:
        assert name in ("a circle of patterns", "faults")
        assert refused.faults
    loaded = time.process_time()
    found = lint(raw)
    assert loaded - began < SECONDS
    assert time.process_time() - loaded < SECONDS
    assert len(found) <= MAX_FINDINGS + 1


@pytest.mark.parametrize("name", ["rules of one place", "names to guess"])
def test_what_was_not_looked_at_is_told(name):
    assert "lint-incomplete" in {finding.rule for finding in lint(json.dumps(HOSTILE[name]).encode())}


def test_everything_in_a_profile_larger_than_those_published_is_looked_at():
    places = ["$.id", "$.result.response", "$.result.duration", "$.context.platform"]
    rules = [{"location": place, "presence": "included", "any": ["a", "b", "c"]} for place in places]
    raw = profile(
        templates=[template(n, *rules, verb=f"urn:v{n % 50}", objectActivityType=f"urn:o{n}") for n in range(500)],
        patterns=[pattern("p", primary=True, zeroOrMore=f"{P}/any"),
                  pattern("any", alternates=[f"{P}/t{n}" for n in range(200)])],
    )  # fmt: skip
    rules_found = [finding.rule for finding in lint(json.dumps(raw).encode())]
    assert "lint-incomplete" not in rules_found
    assert rules_found.count("template-in-no-pattern") == 300
