"""The IRIs of the project's own profiles (``schemas/profiles/``), as constants.

The profiles are unofficial: neither the ministry nor ADL published them. A test holds this module and
the profile documents to the same terms. The session of a learner is ``context.registration``.
"""

from __future__ import annotations

from typing import Final

ENT_PROFILE: Final = "https://w3id.org/sillage/profiles/ent"
P2IA_PROFILE: Final = "https://w3id.org/sillage/profiles/p2ia"
ENT_VERSION: Final = f"{ENT_PROFILE}/v1.0"
P2IA_VERSION: Final = f"{P2IA_PROFILE}/v1.0"

# --- context.extensions ---------------------------------------------------------------------------

_EXTENSIONS = "https://w3id.org/sillage/extensions"

SCHOOL: Final = f"{_EXTENSIONS}/uai"
"""UAI of the school, a string such as ``0750654D``."""
LEVEL: Final = f"{_EXTENSIONS}/mef"
"""MEF code of the learner's course of study, a string of 10 or 11 digits."""
CLASS: Final = f"{_EXTENSIONS}/class"
"""Opaque identifier of the class (division) in its school, a string; never its display name."""
PERSON_PROFILE: Final = f"{_EXTENSIONS}/person-profile"
"""Profile of the person, one of ``PERSON_PROFILES``."""
SERVICE: Final = f"{_EXTENSIONS}/service"
"""Name of the service of the digital workspace, a string."""
SERVICE_TYPE: Final = f"{_EXTENSIONS}/service-type"
"""``NATIF`` (part of the workspace) or ``TIERS`` (reached through it)."""
TOOL: Final = f"{_EXTENSIONS}/tool"
"""Name of the adaptive tool that sends the trace, a string."""
MODEL: Final = f"{_EXTENSIONS}/model"
"""Name of the model that estimates or recommends, a string."""
MODEL_VERSION: Final = f"{_EXTENSIONS}/model-version"
"""Version of that model, a string."""
REASON: Final = f"{_EXTENSIONS}/reason"
"""Code of the reason of a recommendation or decision, a string; never free text."""
DECIDED_BY: Final = f"{_EXTENSIONS}/decided-by"
"""``OUTIL`` or ``ENSEIGNANT``: who changed the level."""

# --- result.extensions ----------------------------------------------------------------------------

ATTEMPT: Final = f"{_EXTENSIONS}/attempt"
"""Number of the attempt at this exercise or item by this learner, an integer from 1."""
HINTS: Final = f"{_EXTENSIONS}/hints"
"""Number of hints the learner has had for this item or exercise so far, an integer from 0."""
OLD_LEVEL: Final = f"{_EXTENSIONS}/old-level"
"""Level of the learner in the tool before a change, an integer."""
NEW_LEVEL: Final = f"{_EXTENSIONS}/new-level"
"""Level of the learner in the tool after a change, an integer."""

FEEDBACK: Final = f"{_EXTENSIONS}/feedback"
"""Kind of feedback, one of ``FEEDBACKS``."""
UNCERTAINTY: Final = f"{_EXTENSIONS}/uncertainty"
"""Standard deviation of an estimate of mastery, a number from 0 to 1."""
DOCUMENTS: Final = f"{_EXTENSIONS}/documents"
"""Number of documents deposited together, an integer from 1."""
BYTES: Final = f"{_EXTENSIONS}/bytes"
"""Their size together in bytes, an integer from 0."""
RECIPIENTS: Final = f"{_EXTENSIONS}/recipients"
"""Number of recipients of a message, an integer from 1."""
ATTACHED: Final = f"{_EXTENSIONS}/attached"
"""Number of files attached to a message, an integer from 0."""

CONTEXT_EXTENSIONS: Final = (
    SCHOOL, LEVEL, CLASS, PERSON_PROFILE, SERVICE, SERVICE_TYPE, TOOL, MODEL, MODEL_VERSION, REASON, DECIDED_BY,
)  # fmt: skip
RESULT_EXTENSIONS: Final = (
    ATTEMPT, HINTS, OLD_LEVEL, NEW_LEVEL, FEEDBACK, UNCERTAINTY, DOCUMENTS, BYTES, RECIPIENTS, ATTACHED,
)  # fmt: skip

# --- values ---------------------------------------------------------------------------------------

# The values of ENT audience measurement, then those of resource-access feeds.
PERSON_PROFILES: Final = (
    "ELEVE",
    "ENSEIGNANT",
    "PARENT",
    "ADMIN_VIE_SCOL_TECH",
    "AUTRE",
    "National_elv",
    "National_ens",
    "National_doc",
)
PUPIL: Final = "ELEVE"
PROFILE_SPELLINGS: Final = {
    "National_elv": PUPIL,
    "National_ens": "ENSEIGNANT",
    # A documentalist is a teacher (professeur documentaliste).
    "National_doc": "ENSEIGNANT",
}
"""The profiles of resource-access feeds, as audience measurement spells them."""
SERVICE_TYPES: Final = ("NATIF", "TIERS")
FEEDBACKS: Final = ("JUSTESSE", "CORRECTION", "EXPLICATION", "ENCOURAGEMENT")

# --- verbs ----------------------------------------------------------------------------------------

LOGGED_IN: Final = "https://w3id.org/xapi/adl/verbs/logged-in"
ACCESSED: Final = "http://activitystrea.ms/schema/1.0/access"
CONSULTED: Final = "http://id.tincanapi.com/verb/viewed"
DEPOSITED: Final = "http://activitystrea.ms/schema/1.0/submit"
SENT: Final = "http://activitystrea.ms/schema/1.0/send"
ATTEMPTED: Final = "http://adlnet.gov/expapi/verbs/attempted"
ANSWERED: Final = "http://adlnet.gov/expapi/verbs/answered"
REQUESTED_HINT: Final = "https://w3id.org/sillage/verbs/requested-hint"
COMPLETED: Final = "http://adlnet.gov/expapi/verbs/completed"
CHANGED_LEVEL: Final = "https://w3id.org/sillage/verbs/changed-level"
RECEIVED_FEEDBACK: Final = "https://w3id.org/sillage/verbs/received-feedback"
MASTERY_ESTIMATED: Final = "https://w3id.org/sillage/verbs/mastery-estimated"
RECOMMENDED: Final = "https://w3id.org/sillage/verbs/was-recommended"
ACCEPTED: Final = "https://w3id.org/sillage/verbs/accepted-recommendation"
REFUSED: Final = "https://w3id.org/sillage/verbs/refused-recommendation"

# --- activity types -------------------------------------------------------------------------------

WORKSPACE: Final = "https://w3id.org/sillage/activity-types/workspace"
SERVICE_ACTIVITY: Final = "https://w3id.org/sillage/activity-types/service"
EXERCISE: Final = "http://adlnet.gov/expapi/activities/assessment"
ITEM: Final = "http://adlnet.gov/expapi/activities/question"
TOOL_ACTIVITY: Final = "https://w3id.org/sillage/activity-types/adaptive-tool"
RESOURCE: Final = "https://w3id.org/sillage/activity-types/resource"
DOCUMENT: Final = "https://w3id.org/sillage/activity-types/document"
MESSAGE: Final = "https://w3id.org/sillage/activity-types/message"
SKILL: Final = "https://w3id.org/sillage/activity-types/skill"
