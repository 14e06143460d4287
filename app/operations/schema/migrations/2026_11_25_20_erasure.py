"""What is a learner's is found by their subject token; erasures and tombstones have collections of their own.

Without the indexes, finding one person's documents, sessions and attachments would read everybody's.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.people.erasure import store as erasures
from app.people.erasure import tombstones
from app.platform.mongo.connection import Store
from app.traces.conformance import session_store as pattern_sessions
from app.traces.documents import store as documents
from app.traces.statements import attachment_store as attachments


def apply(store: Store) -> None:
    """Create the indexes and the collections."""
    create(
        store,
        (
            *attachments.COLLECTIONS,
            *documents.COLLECTIONS,
            *pattern_sessions.COLLECTIONS,
            *erasures.COLLECTIONS,
            *tombstones.COLLECTIONS,
        ),
    )
