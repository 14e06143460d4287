"""Schools and courses that statements name, on the statement's date."""

from datetime import date

import pytest

from app.standards.france import mef, schools
from tests.served import statement

KEYS = schools.Keys("urn:uai", "urn:mef")
HEAD = "MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE\n"
EDITIONS = (
    mef.Edition(date(2024, 9, 1), mef.parse(HEAD + "1001001211,SIXIEME,1/9/97,\n")),
    mef.Edition(date(2025, 9, 1), mef.parse(HEAD + "1001001211,SIXIEME,1/9/97,31/8/25\n")),
)
TODAY = date(2026, 1, 1)


def faults(timestamp=None, **said):
    made = statement(context={"extensions": {f"urn:{key}": value for key, value in said.items()}})
    if timestamp:
        made["timestamp"] = timestamp
    return [(fault.pointer, fault.rule) for fault in schools.Checks(KEYS, EDITIONS).faults(made, TODAY)]


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ({"uai": "0750654D", "mef": "10010012110", "timestamp": "2025-08-31T23:00:00+02:00"}, []),
        ({"uai": "0750001D"}, ["uai-key"]),
        ({"uai": 750654}, ["uai-key"]),
        ({"mef": "10010012110", "timestamp": "2025-09-01T08:00:00Z"}, ["mef-closed"]),
        ({"mef": "10010012110", "timestamp": "20250901t080000Z"}, ["mef-closed"]),
        ({"mef": "10010012110", "timestamp": "20250831T080000Z"}, []),
        ({"mef": "10010012110"}, ["mef-closed"]),  # today
        ({"mef": "9999999999", "timestamp": "2025-01-01T08:00:00Z"}, ["mef-unknown"]),
        ({"mef": "6EME"}, ["mef-malformed"]),
        ({"mef": None, "uai": None}, []),
        ({}, []),
    ],
)
def test_a_school_and_a_course_are_held_to_the_date(said, rules):
    assert [rule for _, rule in faults(**said)] == rules


def test_the_place_is_told_wherever_it_is_said():
    wrong = {"urn:uai": "0750001D"}
    made = statement(
        context={"extensions": wrong},
        result={"extensions": wrong},
        object={"id": "https://x.example/a", "definition": {"extensions": wrong}},
    )
    places = [fault.pointer for fault in schools.Checks(KEYS, ()).faults(made, TODAY)]
    assert places == [f"{place}/extensions/urn:uai" for place in ("/context", "/result", "/object/definition")]


def test_without_a_nomenclature_only_the_form_of_a_code_is_held_against_it():
    made = statement(context={"extensions": {"urn:mef": "9999999999"}})
    assert schools.Checks(KEYS, ()).faults(made, TODAY) == ()


def test_no_more_is_remembered_of_codes_than_codes_have(monkeypatch):
    # Senders write what they like, as long as they like: none of it may fill the memory of a worker.
    kept = []
    monkeypatch.setattr(schools.uai, "valid", lambda text: kept.append(text))
    monkeypatch.setattr(schools.mef, "state", lambda editions, code, day: kept.append(code) or "open")
    checks = schools.Checks(KEYS, ())
    for code in ("0750654D", "0" * 12, "0" * 100_000):
        checks.faults(statement(context={"extensions": {"urn:uai": code, "urn:mef": code}}), TODAY)
    assert kept == ["0750654D", "0750654D"]
