"""Definitions of activities, as sealed by those who store them: a blind index entry, a sealed body, a revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared, UnderDocumentsKey
from app.platform.mongo.connection import Document, Store, translated

NAME = "activity_definitions"
COLLECTIONS = (
    Declared(
        NAME,
        Impersonal("what is known of activities: names and descriptions that sources publish"),
        under_documents_key=UnderDocumentsKey(("body",), lambda token, _: place(token)),
    ),
)

_DUPLICATE = 11000


def place(token: bytes) -> str:
    """The place that the sealed definition of an activity is bound to; ``token`` is its ``_id``."""
    return f"activity:{token.hex()}"


class Defined(NamedTuple):
    """A sealed definition, and its revision: 1 when first written."""

    body: bytes
    revision: int


class DefinitionRepository:
    """Definitions by the blind index entry of their activity's IRI."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def existing(self, tokens: Iterable[bytes]) -> dict[bytes, Defined]:
        """Those of these activities that have one."""
        with translated():
            found = list(self._collection.find({"_id": {"$in": list(tokens)}}))
        return {bytes(each["_id"]): Defined(bytes(each["body"]), int(each["revision"])) for each in found}

    def write(self, changes: Mapping[bytes, Defined]) -> bool:
        """Write each where the revision is still the one before, or where there is none yet (revision 1).

        Returns:
            Whether all were written; the others were changed by somebody else, and are as that left them.
        """
        operations: list[InsertOne[Document] | UpdateOne] = []
        for token, defined in changes.items():
            content = {"body": defined.body, "revision": defined.revision}
            if defined.revision == 1:
                operations.append(InsertOne({"_id": token, **content}))
            else:
                operations.append(UpdateOne({"_id": token, "revision": defined.revision - 1}, {"$set": content}))
        with translated():
            try:
                outcome = self._collection.bulk_write(operations, ordered=False)
            except BulkWriteError as failed:
                if any(error["code"] != _DUPLICATE for error in failed.details["writeErrors"]):
                    raise
                return False
        return outcome.inserted_count + outcome.matched_count == len(operations)
