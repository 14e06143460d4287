"""Fixtures of the tests of the resources: a source of their own, and a client of each version."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.access.credentials import NewCredential
from tests.served import Server
from tests.standard.client import Client


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    """A credential that may do everything, of a source of its own."""
    id = f"standard-{uuid4().hex[:8]}"
    server.source(id)
    return server.credential("all", source=id)


@pytest.fixture
def ask(server: Server, tutor: NewCredential, version: str) -> Client:
    """Requests of that credential in the version of the test."""
    return Client(server, tutor, version)
