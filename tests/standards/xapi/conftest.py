"""Statements that the tests of the standard start from."""

from __future__ import annotations

from typing import Any

import pytest

AGENT = {"objectType": "Agent", "account": {"homePage": "https://ent.example.fr", "name": "e-0001"}}
OTHER = {"mbox": "mailto:Other@Example.FR", "name": "Other"}
SHA1 = {"mbox_sha1sum": "A" * 40}
OPENID = {"openid": "https://id.example.fr/4"}


@pytest.fixture
def simple() -> dict[str, Any]:
    """The least that is a statement."""
    return {
        "actor": {"account": {"homePage": "https://ent.example.fr", "name": "e-0001"}},
        "verb": {"id": "https://example.fr/verbs/read"},
        "object": {"id": "https://example.fr/activities/1"},
    }


@pytest.fixture
def full() -> dict[str, Any]:
    """One with every property that both versions know, and a SubStatement."""
    activity = {
        "id": "https://example.fr/activities/quiz",
        "objectType": "Activity",
        "definition": {
            "type": "http://adlnet.gov/expapi/activities/cmi.interaction",
            "name": {"fr": "Question", "en-GB": "Question one", "en": "Question 1"},
            "description": {"fr": "Laquelle ?"},
            "moreInfo": "https://example.fr/quiz",
            "interactionType": "choice",
            "correctResponsesPattern": ["a"],
            "choices": [{"id": "a", "description": {"fr": "Celle-ci", "en": "This"}}, {"id": "b"}],
            "extensions": {"https://example.fr/ext/any": [None, {"deep": None}]},
        },
    }
    context = {
        "registration": "ABCDEFAB-0000-4000-8000-000000000001",
        "instructor": dict(OTHER),
        "team": {"objectType": "Group", "member": [dict(SHA1), dict(AGENT)]},
        "contextActivities": {
            "parent": {"id": "https://example.fr/activities/course", "definition": {"name": {"fr": "Cours"}}},
            "category": [{"id": "https://example.fr/profiles/quiz"}],
        },
        "language": "fr-FR",
        "statement": {"objectType": "StatementRef", "id": "ABCDEFAB-0000-4000-8000-000000000002"},
        "extensions": {"https://example.fr/ext/room": None},
    }
    return {
        "id": "00000000-0000-4000-8000-000000000000",
        "actor": {"objectType": "Group", "name": "Team", **OPENID, "member": [dict(AGENT), dict(OTHER)]},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/planned", "display": {"fr": "a prévu", "en": "planned"}},
        "object": {
            "objectType": "SubStatement",
            "actor": dict(SHA1),
            "verb": {"id": "http://adlnet.gov/expapi/verbs/answered", "display": {"fr": "a répondu", "en": "answered"}},
            "object": activity,
            "result": {"success": True},
            "context": {**context, "revision": "2", "platform": "ENT"},
            "timestamp": "2030-01-01T09:00:00+02:00",
        },
        "result": {
            "score": {"scaled": 0.5, "raw": 5, "min": 0, "max": 10},
            "success": True,
            "completion": False,
            "response": "a",
            "duration": "PT1M2.345S",
            "extensions": {"https://example.fr/ext/tries": 2},
        },
        "context": context,
        "timestamp": "2026-11-22T10:00:00.123456+01:00",
        "stored": "2026-11-22T10:00:01Z",
        "authority": {"objectType": "Agent", **OPENID},
        "version": "1.0.3",
        "attachments": [
            {
                "usageType": "https://example.fr/usage/essay",
                "display": {"fr": "Copie"},
                "contentType": "text/plain; charset=utf-8",
                "length": 3,
                "sha2": "a" * 64,
                "fileUrl": "https://example.fr/copie.txt",
            }
        ],
    }
