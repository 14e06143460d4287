"""Every collection of an organisation's database, gathered from the repositories that declare them."""

from __future__ import annotations

from app.access import store as sources
from app.access.restrictions import store as person_states
from app.governance.audit import store as audit
from app.governance.register import store as register
from app.keys import holders as key_holders
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.keys import rekeying
from app.operations import measures
from app.operations import minors_store as minors_passes
from app.operations.rotation import resealing
from app.people.access_package import reception_store as receptions
from app.people.erasure import store as erasures
from app.people.erasure import tombstones
from app.people.requests import store as cases
from app.platform.cluster import processes
from app.platform.jobs import store as jobs
from app.platform.mongo.collection import Declared
from app.research import store as aggregates
from app.retention import certificate_store as certificates
from app.retention import closed_account_store as accounts
from app.retention import yearly_store as retention_years
from app.traces.conformance import nomenclature_store as nomenclatures
from app.traces.conformance import profile_store as profiles
from app.traces.conformance import pseudonym_home_store as pseudonym_home
from app.traces.conformance import session_store as pattern_sessions
from app.traces.documents import store as documents
from app.traces.statements import activity_store as activity_definitions
from app.traces.statements import attachment_store as attachments
from app.traces.statements import store as statements

COLLECTIONS: tuple[Declared, ...] = (
    *statements.COLLECTIONS,
    *resealing.COLLECTIONS,
    *rekeying.COLLECTIONS,
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
    *minors_passes.COLLECTIONS,
    *pseudonym_home.COLLECTIONS,
    *register.COLLECTIONS,
    *audit.COLLECTIONS,
    *receptions.COLLECTIONS,
    *jobs.COLLECTIONS,
    *aggregates.COLLECTIONS,
    *erasures.COLLECTIONS,
    *tombstones.COLLECTIONS,
    *measures.COLLECTIONS,
    *certificates.COLLECTIONS,
    *retention_years.COLLECTIONS,
)
