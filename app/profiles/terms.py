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

# --- result.extensions ----------------------------------------------------------------------------

ATTEMPT: Final = f"{_EXTENSIONS}/attempt"
"""Number of the attempt at this exercise or item by this learner, an integer from 1."""
HINTS: Final = f"{_EXTENSIONS}/hints"
"""Number of hints the learner has had for this item or exercise so far, an integer from 0."""
OLD_LEVEL: Final = f"{_EXTENSIONS}/old-level"
"""Level of the learner in the tool before a change, an integer."""
NEW_LEVEL: Final = f"{_EXTENSIONS}/new-level"
"""Level of the learner in the tool after a change, an integer."""

CONTEXT_EXTENSIONS: Final = (SCHOOL, LEVEL, CLASS, PERSON_PROFILE, SERVICE, SERVICE_TYPE, TOOL)
RESULT_EXTENSIONS: Final = (ATTEMPT, HINTS, OLD_LEVEL, NEW_LEVEL)

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
SERVICE_TYPES: Final = ("NATIF", "TIERS")

# --- verbs ----------------------------------------------------------------------------------------

LOGGED_IN: Final = "https://w3id.org/xapi/adl/verbs/logged-in"
ACCESSED: Final = "http://activitystrea.ms/schema/1.0/access"
ATTEMPTED: Final = "http://adlnet.gov/expapi/verbs/attempted"
ANSWERED: Final = "http://adlnet.gov/expapi/verbs/answered"
REQUESTED_HINT: Final = "https://w3id.org/sillage/verbs/requested-hint"
COMPLETED: Final = "http://adlnet.gov/expapi/verbs/completed"
CHANGED_LEVEL: Final = "https://w3id.org/sillage/verbs/changed-level"

# --- activity types -------------------------------------------------------------------------------

WORKSPACE: Final = "https://w3id.org/sillage/activity-types/workspace"
SERVICE_ACTIVITY: Final = "https://w3id.org/sillage/activity-types/service"
EXERCISE: Final = "http://adlnet.gov/expapi/activities/assessment"
ITEM: Final = "http://adlnet.gov/expapi/activities/question"
TOOL_ACTIVITY: Final = "https://w3id.org/sillage/activity-types/adaptive-tool"
