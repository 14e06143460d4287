"""Receptions: disclosures to recipients, condensed from entries of the audit log that are removed for their age.

``receptions``, a document for what was condensed of one chain at one time::

    _id        str       chain, /, place of the last entry condensed
    since      int64     when the first of its readings was, microseconds since 1970 UTC
    until      int64     when the last of them was
    tokens     [binary]  what the readings asked for: data subjects, or documents and their contexts; blind index
    entries documents  true      it is of documents; absent: of statements, and exports
    sealed     binary    the readings: JSON, zstd, sealed with the documents key

``reception_marks``: ``_id`` (chain) and ``n``: the last entry of it that was condensed, until it is removed.

``reception_graves``: ``_id`` (token) and ``until`` (microseconds): of an erased data subject; entries of the audit log
up to then keep the token until they are removed, and it is not to be taken over from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pymongo import ReplaceOne

from app.core.personal_data import Impersonal, Personal, Restored
from app.platform.mongo.collection import Declared, Index, UnderDocumentsKey
from app.platform.mongo.connection import Document, Store, translated
from app.traces.documents.store import NAME as DOCUMENTS
from app.traces.statements.store import NAME as STATEMENTS

NAME = "receptions"
MARKS = "reception_marks"
GRAVES = "reception_graves"
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="who received what, condensed from the audit log: tokens, readings encrypted with the documents key",
            locate="tokens of the person",
            export="recipients",
            erase="tokens are taken out",
            retain="as long as the data",
            apart={
                "locate": "`app/people/access_package/recipients.py`: asked which readings had the person's data",
                "export": "`app/people/access_package/recipients.py`: told in `about.json` and on the page",
                "retain": "`app/people/access_package/receptions.py`: with the oldest statement, the job `retention`",
            },
        ),
        (Index("tokens", (("tokens", 1),)), Index("until", (("until", 1),))),
        under_documents_key=UnderDocumentsKey(("sealed",), lambda id, _: place(id)),
        restored=Restored.IN_FORCE,
    ),
    Declared(MARKS, Impersonal("how far each chain of the audit log was condensed")),
    Declared(
        GRAVES,
        Personal(
            what="tokens of erased persons that are not to be taken over from the audit log",
            locate="the token",
            export="none: nobody can be told by them",
            erase="stays until the log's entries go",
            retain="with the entries of the audit log",
            apart={
                "locate": "none: nobody can be told by them",
                "export": "none: nobody can be told by them",
                "erase": "none: an erasure writes them",
                "retain": "`app/people/access_package/receptions.py`: with the entries that they are for",
            },
        ),
        restored=Restored.IN_FORCE,
    ),
)
_PAGE = 500


class ReceptionRow(NamedTuple):
    """A document of the collection; see the module's text."""

    id: str
    since: int
    until: int
    tokens: tuple[bytes, ...]
    documents: bool
    sealed: bytes


class ReceptionRepository:
    """Keeps what was condensed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = store.collection(NAME)
        self._marks = store.collection(MARKS)
        self._graves = store.collection(GRAVES)
        self._statements = store.collection(STATEMENTS)
        self._documents = store.collection(DOCUMENTS)

    def condensed(self, chain: str) -> int:
        """The place of the last entry of a chain that was condensed and may still be there; -1 for none.

        A restore may bring entries back that were removed since the backup: what was made of them says so.
        """
        with translated():
            mark = self._marks.find_one({"_id": chain})
            # The character after the bar is the zero.
            rows = self._rows.find({"_id": {"$gte": f"{chain}/", "$lt": f"{chain}0"}}, {"_id": 1})
            places = [int(row["_id"].split("/")[1]) for row in rows]
        return max([*places, -1 if mark is None else int(mark["n"])])

    def keep(self, rows: Sequence[ReceptionRow], chain: str, n: int) -> None:
        """Keep what was condensed of a chain up to an entry: both or neither, so that nothing counts twice."""
        with translated(), self._store.transaction() as session:
            self._rows.insert_many([_document(row) for row in rows], session=session)
            self._marks.replace_one({"_id": chain}, {"_id": chain, "n": n}, upsert=True, session=session)

    def settle(self, chains: Sequence[str]) -> None:
        """The condensed entries of these chains are removed: they cannot be condensed again."""
        with translated():
            self._marks.delete_many({"_id": {"$in": list(chains)}})

    def every(self, after: str | None = None) -> list[ReceptionRow]:
        """The next rows, in the order of their ids."""
        asked: Document = {} if after is None else {"_id": {"$gt": after}}
        with translated():
            return [_row(found) for found in self._rows.find(asked).sort("_id", 1).limit(_PAGE)]

    def with_tokens(self, tokens: Iterable[bytes]) -> list[ReceptionRow]:
        """Some rows that have one of these tokens; none when no row has."""
        with translated():
            return [_row(found) for found in self._rows.find({"tokens": {"$in": [*tokens]}}).limit(_PAGE)]

    def replace(self, read: ReceptionRow, changed: ReceptionRow | None) -> None:
        """Change a row, or delete it, if it still is as it was read."""
        asked = {"_id": read.id, "sealed": read.sealed}
        with translated():
            if changed is None:
                self._rows.delete_one(asked)
            else:
                self._rows.replace_one(asked, _document(changed))

    def since(self) -> int | None:
        """The instant of the first reading that is kept; None when there is none."""
        with translated():
            found = self._rows.find_one({}, {"since": 1}, sort=[("since", 1)])
        return None if found is None else int(found["since"])

    def forget_before_statements(self) -> int:
        """Delete what was read before any statement that is left was stored; how many rows."""
        with translated():
            first = self._statements.find_one({"stored": {"$gte": 0}}, {"_id": 0, "stored": 1}, sort=[("stored", 1)])
            old: Document = {} if first is None else {"until": {"$lt": int(first["stored"])}}
            return self._rows.delete_many({**old, "documents": {"$exists": False}}).deleted_count

    def dead_documents(self) -> list[bytes]:
        """Tokens in rows of documents, of documents and contexts of which nothing is left."""
        with translated():
            named = {bytes(token) for token in self._rows.distinct("tokens", {"documents": True})}
            ordered = sorted(named)
            for place in range(0, len(ordered), _PAGE):
                some = ordered[place : place + _PAGE]
                named -= {bytes(one["_id"]) for one in self._documents.find({"_id": {"$in": some}}, {"_id": 1})}
                for one in self._documents.find({"group": {"$in": some}}, {"group": 1}):
                    named -= {bytes(group) for group in one["group"]}
        return sorted(named)

    def bury(self, tokens: Iterable[bytes], until: int) -> None:
        """Note tokens of an erased data subject, not to be taken over from entries written up to an instant."""
        changes = [ReplaceOne({"_id": token}, {"_id": token, "until": until}, upsert=True) for token in tokens]
        if changes:
            with translated():
                self._graves.bulk_write(changes, ordered=False)

    def graves(self) -> dict[bytes, int]:
        """The tokens of erased data subjects, and until when each is not to be taken over."""
        with translated():
            return {bytes(found["_id"]): int(found["until"]) for found in self._graves.find({})}

    def open_graves(self, before: int) -> None:
        """Forget the tokens that no entry of the audit log can have any more: all that are older are removed."""
        with translated():
            self._graves.delete_many({"until": {"$lt": before}})


def place(id: str) -> str:
    """The place that the readings of a row are sealed for."""
    return f"reception:{id}"


def _document(row: ReceptionRow) -> Document:
    document: Document = {
        "_id": row.id,
        "since": row.since,
        "until": row.until,
        "tokens": list(row.tokens),
        "sealed": row.sealed,
    }
    return {**document, "documents": True} if row.documents else document


def _row(found: Document) -> ReceptionRow:
    return ReceptionRow(
        found["_id"],
        int(found["since"]),
        int(found["until"]),
        tuple(map(bytes, found["tokens"])),
        found.get("documents", False),
        bytes(found["sealed"]),
    )
