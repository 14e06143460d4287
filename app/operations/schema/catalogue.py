"""Every collection of an organisation's database, gathered from the repositories that declare them.

Whoever acts for data subjects, keeps durations or restores asks here, and knows no store by name.
"""

from __future__ import annotations

from app.access import store as sources
from app.access.restrictions import store as data_subject_states
from app.access.sign_in import store as sign_in
from app.access.users import store as users
from app.core.personal_data import PersonalDataStore, Restored
from app.governance.audit import store as audit
from app.governance.register import store as register
from app.keys import holders as key_holders
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.keys import rekeying
from app.mail import outbox_store as outbox
from app.operations import measures
from app.operations import minors_store as minors_passes
from app.operations.rotation import resealing
from app.people.access_package import receptions
from app.people.erasure import store as erasures
from app.people.erasure import tombstones
from app.people.family import store as family
from app.people.requests import store as requests
from app.platform.cluster import processes
from app.platform.jobs import store as jobs
from app.platform.mongo.collection import DataContext, Declared
from app.research import store as aggregates
from app.retention import certificate_store as certificates
from app.retention import closed_account_store as accounts
from app.retention import yearly_store as retention_years
from app.schools import store as schools
from app.traces.conformance import nomenclature_store as nomenclatures
from app.traces.conformance import profile_store as profiles
from app.traces.conformance import pseudonym_home_store as pseudonym_home
from app.traces.conformance import session_store as pattern_sessions
from app.traces.documents import store as documents
from app.traces.quality import store as arrivals
from app.traces.statements import activity_store as activity_definitions
from app.traces.statements import personal_data as statements
from app.traces.statements import whereabouts_entries

# An erasure goes through them in this order: statements first, of which there is most, and on which others hang.
COLLECTIONS: tuple[Declared, ...] = (
    *statements.COLLECTIONS,
    *whereabouts_entries.COLLECTIONS,
    *resealing.COLLECTIONS,
    *rekeying.COLLECTIONS,
    *subjects.COLLECTIONS,
    *documents.COLLECTIONS,
    *pattern_sessions.COLLECTIONS,
    *activity_definitions.COLLECTIONS,
    *organisation_keys.COLLECTIONS,
    *key_holders.COLLECTIONS,
    *processes.COLLECTIONS,
    *sources.COLLECTIONS,
    *users.COLLECTIONS,
    *sign_in.COLLECTIONS,
    *data_subject_states.COLLECTIONS,
    *requests.COLLECTIONS,
    *family.COLLECTIONS,
    *accounts.COLLECTIONS,
    *profiles.COLLECTIONS,
    *arrivals.COLLECTIONS,
    *nomenclatures.COLLECTIONS,
    *schools.COLLECTIONS,
    *minors_passes.COLLECTIONS,
    *pseudonym_home.COLLECTIONS,
    *register.COLLECTIONS,
    *audit.COLLECTIONS,
    *receptions.COLLECTIONS,
    *jobs.COLLECTIONS,
    *aggregates.COLLECTIONS,
    *erasures.COLLECTIONS,
    *tombstones.COLLECTIONS,
    *outbox.COLLECTIONS,
    *measures.COLLECTIONS,
    *certificates.COLLECTIONS,
    *retention_years.COLLECTIONS,
)


def personal_data(context: DataContext) -> tuple[PersonalDataStore, ...]:
    """The parts of collections in the rights of data subjects, in the order of the catalogue."""
    return tuple(declared.data(context) for declared in COLLECTIONS if declared.data is not None)


def restored(how: Restored) -> frozenset[str]:
    """The names of the collections with which a restore does this."""
    return frozenset(declared.name for declared in COLLECTIONS if declared.restored is how)
