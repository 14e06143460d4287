"""Which failures of MongoDB a caller may try again after."""

from __future__ import annotations

import pytest
from pymongo.errors import ConfigurationError

from app.errors import DatabaseUnavailable
from app.storage.connection import translated


def test_a_member_that_has_just_started_is_away_and_not_a_bug() -> None:
    with pytest.raises(DatabaseUnavailable), translated():
        raise ConfigurationError("Sessions are not supported by this MongoDB deployment")


def test_a_deployment_that_can_never_serve_is_not_said_to_be_away() -> None:
    with pytest.raises(ConfigurationError), translated():
        raise ConfigurationError("The server reports a wire version that this driver does not speak.")
