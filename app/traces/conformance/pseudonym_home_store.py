"""The home page of the accounts that replace addresses under a policy about minors: one for a store, for good.

Document of ``pseudonym_home``::

    _id   str  "home"
    page  str  SILLAGE_PUBLIC_URL of the process that first needed it

It is part of who a learner is. Commands and servers may have other public URLs, and an operator may change it: one
learner would be two (``docs/adr/0053-rights-reach-pseudonyms.md``).
"""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NAME = "pseudonym_home"
COLLECTIONS = (Declared(NAME, Impersonal("the home page of accounts that replace addresses")),)

_ID = "home"


class PseudonymHome:
    """Gives the home page, and notes it where none is noted yet. Safe to share between threads."""

    def __init__(self, store: Store, public_url: str) -> None:
        """``public_url``: the one to note."""
        self._collection = store.collection(NAME)
        self._public_url = public_url
        self._known: str | None = None

    def __call__(self) -> str:
        """The home page that this store has.

        Raises:
            DatabaseUnavailable: it cannot be read or noted now.
        """
        if self._known is None:
            self._known = self._read() or self._noted()
        return self._known

    @property
    def elsewhere(self) -> bool:
        """True if this process has another public URL."""
        return self() != self._public_url

    def _read(self) -> str | None:
        with translated():
            found = self._collection.find_one({"_id": _ID})
        return None if found is None else str(found["page"])

    def _noted(self) -> str:
        with translated():
            try:
                self._collection.insert_one({"_id": _ID, "page": self._public_url})
            except DuplicateKeyError:
                # Another process, just now: theirs is the one.
                return self._read() or self._public_url
        return self._public_url
