"""The connection to MongoDB: one client per process, majority and journalled writes, errors translated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidURI,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern

from app.core import clock
from app.core.errors import BodyTooLarge, DatabaseRefused, DatabaseUnavailable, SettingsInvalid, StorageFull
from app.platform.cluster.agreed_clock import AgreedClock

Document = dict[str, Any]

# MongoDB error codes (its ``error_codes.yml``). OutOfDiskSpace, and what WiredTiger reports through it.
_NO_SPACE = {14031, 12501}
# DuplicateKey.
_DUPLICATE = 11000
# AuthenticationFailed, Unauthorized.
_REFUSED = {18, 13}
_PASSING = {
    # InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange, ShutdownInProgress, TemporarilyUnavailable.
    *(11600, 11601, 11602, 91, 365),
    # No primary, or not this one: NotWritablePrimary, its older form, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary,
    # PrimarySteppedDown, ReadConcernMajorityNotAvailableYet, FailedToSatisfyReadPreference.
    *(10107, 10058, 13435, 13436, 189, 134, 133),
    # MaxTimeMSExpired, ExceededTimeLimit, NetworkInterfaceExceededTimeLimit, LockTimeout.
    *(50, 262, 202, 24),
    # WriteConcernFailed, UnsatisfiableWriteConcern.
    *(64, 100),
    # NoSuchTransaction, WriteConflict, TransactionExceededLifetimeLimitSeconds, PreparedTransactionInProgress,
    # SnapshotUnavailable, SnapshotTooOld, TransactionTooLargeForCache.
    *(251, 112, 290, 267, 246, 239, 388),
    # The server that had the cursor was started anew: CursorNotFound, CursorKilled, QueryPlanKilled.
    *(43, 237, 175),
    # HostUnreachable, HostNotFound, NetworkTimeout, SocketException.
    *(6, 7, 89, 9001),
}


def _codes(error: PyMongoError) -> set[int]:
    """Codes of an error; of a bulk write, those of its parts."""
    codes = {getattr(error, "code", None)}
    if isinstance(error, BulkWriteError):
        for part in (*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())):
            codes.add(part.get("code"))
    return {code for code in codes if code is not None}


def _no_space(error: PyMongoError) -> bool:
    return bool(_codes(error) & _NO_SPACE) or "No space left" in str(error) or "OutOfDiskSpace" in str(error)


def taken_places(failed: BulkWriteError) -> frozenset[int]:
    """Places of a bulk write of things that have nothing to do with each other, whose ids are taken.

    Raises:
        OperationFailure: something else failed, and nobody can tell whose: each sends again.
    """
    faults = failed.details["writeErrors"]
    refused = [fault for fault in faults if fault["code"] != _DUPLICATE] or failed.details["writeConcernErrors"]
    if refused:
        raise OperationFailure(str(refused[0].get("errmsg", "")), refused[0]["code"]) from None
    return frozenset(fault["index"] for fault in faults)


@contextmanager
def translated() -> Iterator[None]:
    """Turn MongoDB's failures into ours; what is a bug of ours passes through.

    Raises:
        BodyTooLarge: a document is over MongoDB's limit (16 MiB).
        DatabaseRefused: the account is refused.
        StorageFull: the database's disk is full.
        DatabaseUnavailable: no primary, no answer in time, or cut off; the caller may retry.
    """
    try:
        yield
    except DocumentTooLarge:
        raise BodyTooLarge("A statement is larger than the database can hold. Send what it carries apart.") from None
    except PyMongoError as error:
        if _no_space(error):
            raise StorageFull(
                "The database has no disk space left. Nothing of this request was stored; retry later."
            ) from error
        if isinstance(error, OperationFailure) and error.code in _REFUSED:
            raise DatabaseRefused(
                "The account of SILLAGE_MONGODB_URI is refused, or may not read and write this store's database."
            ) from error
        passing = isinstance(
            error, ConnectionFailure | NetworkTimeout | NotPrimaryError | ExecutionTimeout | WTimeoutError
        ) or bool(_codes(error) & _PASSING)
        # A member that has just started does not know its replica set yet, and says that it has no sessions.
        passing = passing or (isinstance(error, ConfigurationError) and "Sessions are not supported" in str(error))
        if (
            passing
            or error.has_error_label("TransientTransactionError")
            or error.has_error_label("RetryableWriteError")
        ):
            raise DatabaseUnavailable(
                "The database did not answer in time. Send the same request again; a retry stores nothing twice."
            ) from error
        raise


class Store:
    """A client and the database of one organisation. Not fork-safe: open one in each process.

    Attributes:
        clock: This host's clock beside that of this MongoDB.
    """

    def __init__(self, client: MongoClient[Document], database: str) -> None:
        self.client = client
        self.clock = AgreedClock()
        self.db: Database[Document] = client.get_database(
            database,
            codec_options=CodecOptions(
                document_class=dict, tz_aware=True, uuid_representation=UuidRepresentation.STANDARD
            ),
            write_concern=WriteConcern(w="majority", j=True),
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
        )

    @classmethod
    def open(cls, uri: str, database: str, *, timeout_seconds: float) -> Store:
        """Prepare a client; the first operation connects.

        Args:
            uri: MongoDB connection string.
            database: Name of the organisation's database.
            timeout_seconds: Longest time one operation may take, server selection included.

        Raises:
            SettingsInvalid: the connection string is malformed.
        """
        try:
            client: MongoClient[Document] = MongoClient(
                uri,
                appname="sillage",
                timeoutMS=int(timeout_seconds * 1000),
                serverSelectionTimeoutMS=int(timeout_seconds * 1000),
                connectTimeoutMS=int(timeout_seconds * 1000),
                retryWrites=True,
                retryReads=True,
                maxPoolSize=200,
                tz_aware=True,
                uuidRepresentation="standard",
            )
        except (InvalidURI, ConfigurationError, ValueError):
            raise SettingsInvalid("SILLAGE_MONGODB_URI is not a MongoDB connection string.") from None
        return cls(client, database)

    def collection(self, name: str) -> Collection[Document]:
        """A collection with majority, journalled writes and majority reads."""
        return self.db.get_collection(name)

    @contextmanager
    def transaction(self) -> Iterator[ClientSession]:
        """One attempt at a transaction: snapshot reads, majority and journalled commit.

        A conflict with another writer is raised to the caller, who knows whether to try again.
        """
        with (
            self.client.start_session() as session,
            session.start_transaction(
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern(w="majority", j=True),
                read_preference=ReadPreference.PRIMARY,
            ),
        ):
            yield session

    def require_transactions(self) -> None:
        """Refuse a MongoDB that stands alone: a batch is one transaction, and those need a replica set.

        Raises:
            DatabaseRefused: it is neither a member of a replica set nor a router of a sharded cluster.
        """
        reply = self._hello()
        if "setName" not in reply and reply.get("msg") != "isdbgrid":
            raise DatabaseRefused(
                "This MongoDB stands alone. Start it as a replica set (one member is enough: --replSet, then "
                "rs.initiate()), or leave SILLAGE_MONGODB_URI empty for the embedded one."
            )

    def ping(self) -> None:
        """Ask the primary for a sign of life.

        Raises:
            DatabaseUnavailable: there is none.
        """
        if not self._hello().get("isWritablePrimary", False):
            raise DatabaseUnavailable("MongoDB has no primary now.")

    def require_right_clock(self) -> None:
        """Compare this host's clock with MongoDB's, now.

        Raises:
            ClockOff: it is more than a minute off.
            DatabaseUnavailable: MongoDB does not answer.
        """
        self._hello()
        self.clock.require()

    def _hello(self) -> Document:
        asked = clock.steady()
        with translated():
            reply = self.client.admin.command("hello")
        self.clock.note(reply["localTime"].replace(tzinfo=UTC), asked, clock.steady())
        return reply

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound the time that everything asked of MongoDB in this block may take together.

        Raises:
            DatabaseUnavailable: it took longer.
        """
        with translated(), pymongo.timeout(seconds):
            yield

    def close(self) -> None:
        """Close the sockets."""
        self.client.close()
