"""Which failures of MongoDB a caller may try again after."""

from __future__ import annotations

import pytest
from pymongo.errors import ConfigurationError, OperationFailure

from app.errors import DatabaseUnavailable
from app.storage.connection import translated


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
