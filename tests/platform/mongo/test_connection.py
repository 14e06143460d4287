"""Failures of MongoDB after which a caller may try again, and others."""

from __future__ import annotations

import pytest
from pymongo.errors import BulkWriteError, ConfigurationError, OperationFailure

from app.core.errors import DatabaseUnavailable, StorageFull
from app.platform.mongo.connection import translated


def test_a_member_that_has_just_started_is_away_and_not_a_bug() -> None:
    with pytest.raises(DatabaseUnavailable), translated():
        raise ConfigurationError("Sessions are not supported by this MongoDB deployment")


def test_a_deployment_that_can_never_serve_is_not_said_to_be_away() -> None:
    with pytest.raises(ConfigurationError), translated():
        raise ConfigurationError("The server reports a wire version that this driver does not speak.")


@pytest.mark.parametrize("code", [290, 388])
def test_a_transaction_that_was_cut_off_or_too_large_now_may_be_tried_again(code: int) -> None:
    # TransactionExceededLifetimeLimitSeconds, TransactionTooLargeForCache
    with pytest.raises(DatabaseUnavailable), translated():
        raise OperationFailure("Transaction aborted", code)


def bulk(*, errors: tuple[int, ...] = (), concerns: tuple[int, ...] = ()) -> BulkWriteError:
    return BulkWriteError(
        {
            "writeErrors": [{"index": place, "code": code, "errmsg": ""} for place, code in enumerate(errors)],
            "writeConcernErrors": [{"code": code, "errmsg": ""} for code in concerns],
            "nInserted": 0,
        }
    )


@pytest.mark.parametrize(
    "error",
    [
        bulk(errors=(11602,)),
        bulk(concerns=(189,)),
        bulk(errors=(11000,), concerns=(64,)),
        OperationFailure("its server was started anew", 43),
        OperationFailure("given up", 290),
    ],
)
def test_what_a_fail_over_does_to_a_write_is_passing(error: OperationFailure) -> None:
    with pytest.raises(DatabaseUnavailable), translated():
        raise error


def test_a_full_disk_is_told_from_the_parts_of_a_bulk_write() -> None:
    with pytest.raises(StorageFull), translated():
        raise bulk(errors=(14031,))


def test_a_bug_of_ours_is_not_said_to_be_passing() -> None:
    with pytest.raises(BulkWriteError), translated():
        raise bulk(errors=(11000, 2))
