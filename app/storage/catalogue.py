"""Every collection of an organisation's database, gathered from the repositories that declare them."""

from __future__ import annotations

from app.storage import (
    accounts,
    activity_definitions,
    aggregates,
    attachments,
    audit,
    cases,
    documents,
    erasures,
    jobs,
    key_holders,
    nomenclatures,
    organisation_keys,
    pattern_sessions,
    person_states,
    processes,
    profiles,
    register,
    resealing,
    sources,
    statements,
    subjects,
    tombstones,
)
from app.storage.declared import Declared

COLLECTIONS: tuple[Declared, ...] = (
    *statements.COLLECTIONS,
    *resealing.COLLECTIONS,
    *subjects.COLLECTIONS,
    *attachments.COLLECTIONS,
    *documents.COLLECTIONS,
    *activity_definitions.COLLECTIONS,
    *organisation_keys.COLLECTIONS,
    *key_holders.COLLECTIONS,
    *processes.COLLECTIONS,
    *sources.COLLECTIONS,
    *person_states.COLLECTIONS,
    *cases.COLLECTIONS,
    *accounts.COLLECTIONS,
    *profiles.COLLECTIONS,
    *pattern_sessions.COLLECTIONS,
    *nomenclatures.COLLECTIONS,
    *register.COLLECTIONS,
    *audit.COLLECTIONS,
    *jobs.COLLECTIONS,
    *aggregates.COLLECTIONS,
    *erasures.COLLECTIONS,
    *tombstones.COLLECTIONS,
)
