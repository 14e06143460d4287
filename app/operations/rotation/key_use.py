"""Use of a key-encryption key by other organisations on this MongoDB that share its file; and a sample to try."""

from __future__ import annotations

from uuid import UUID

from pymongo.errors import OperationFailure

from app.core.errors import KeyRefused
from app.crypto.keys import KeyWrapping, Wrapped, organisation_place, subject_place
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.platform.mongo.connection import Store, translated

_PREFIX = "sillage_"


def elsewhere(store: Store, keks: KeyWrapping, version: int) -> list[str]:
    """Other organisations of this MongoDB, as far as the account sees, with keys under this very version.

    Two key files number their versions alike: only what ``keks`` opens counts.
    """
    try:
        with translated():
            names = store.client.list_database_names()
    except OperationFailure:
        names = []
    return [
        name.removeprefix(_PREFIX)
        for name in sorted(names)
        if name.startswith(_PREFIX) and name != store.db.name and _needs(store, name, keks, version)
    ]


def _needs(store: Store, database: str, keks: KeyWrapping, version: int) -> bool:
    db = store.client[database]
    with translated():
        organisations = list(db[organisation_keys.NAME].find({}, {"keys": 1}))
        learner = db[subjects.NAME].find_one({"version": version}, {"key": 1})
    for organisation in organisations:
        id = str(organisation["_id"])
        wrapped = [
            (organisation_place(id, purpose), bytes(stored["sealed"]))
            for purpose, stored in organisation["keys"].items()
            if stored["version"] == version
        ]
        if learner is not None:
            wrapped.append((subject_place(id, bytes(learner["_id"])), bytes(learner["key"])))
        if any(_opens(keks, place, Wrapped(version, sealed)) for place, sealed in wrapped):
            return True
    return False


def _opens(keks: KeyWrapping, place: str, wrapped: Wrapped) -> bool:
    try:
        keks.unwrap(place, wrapped)
    except KeyRefused:
        return False
    return True


def sampled_statements(store: Store, size: int) -> list[UUID]:
    """Ids of statements taken at random, at most one of a learner and ``size`` in all."""
    with translated():
        found = store.collection("statements").aggregate(
            [{"$sample": {"size": size}}, {"$match": {"body": {"$exists": True}}}, {"$project": {"subject": 1}}],
            allowDiskUse=True,
        )
        return list({bytes(one["subject"]): one["_id"] for one in found}.values())
