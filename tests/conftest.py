"""Fixtures of every test: one real MongoDB for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from app.crypto.keys import KEY_BYTES, KeyEncryptionKeys, OrganisationKeys
from app.keys import organisation as organisation_keys
from app.platform.mongo.connection import Store
from app.platform.mongo.embedded.server import EmbeddedServer
from app.settings import Settings, load
from tests.costs.report import pytest_terminal_summary  # noqa: F401 - a hook
from tests.databases import Databases
from tests.places import SHARED
from tests.scheduler import pytest_xdist_make_scheduler  # noqa: F401 - a hook
from tests.served import Server, serving

# How long an example takes says more of the machine than of what is tested.
hypothesis_settings.register_profile("sillage", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("sillage")

MARKED_BY_FOLDER = {
    "drills": "drill",
    "product": "product",
    "packaging": "packaging",
    "clients": "client",
    "costs": "cost",
}
# Files that take more than some seven seconds of a processor, or wait for as long: two thirds of the time of all.
SLOW = {
    "commands/test_backup_commands.py",
    "commands/test_check.py",
    "governance/audit/test_retention.py",
    "governance/audit/test_spool.py",
    "keys/providers/test_vault_transit.py",
    "keys/test_learners.py",
    "operations/backup/test_service.py",
    "operations/rotation/test_documents_key.py",
    "operations/rotation/test_index_key.py",
    "operations/rotation/test_rekey.py",
    "operations/schema/test_added_store.py",
    "operations/test_minors.py",
    "operations/test_minors_restored.py",
    "people/access_package/test_receptions.py",
    "people/access_package/test_subject_access_export.py",
    "people/erasure/test_service.py",
    "people/test_pseudonyms.py",
    "people/test_restriction.py",
    "platform/cluster/test_membership.py",
    "platform/jobs/test_lease.py",
    "platform/jobs/test_scheduler.py",
    "platform/jobs/test_takeover_drill.py",
    "platform/mongo/embedded/test_server.py",
    "platform/mongo/test_account.py",
    "research/test_corrections.py",
    "research/test_disclosure.py",
    "research/test_export.py",
    "research/test_independent_figures.py",
    "research/test_publication.py",
    "research/test_refresh.py",
    "retention/test_contracts.py",
    "serve/test_server.py",
    "simulation/test_traces.py",
    "standard/test_document_resources.py",
    "standards/profiles/test_profile_costs.py",
    "standards/xapi/test_decode.py",
    "standards/xapi/test_decode_cost.py",
    "standards/xapi/test_schemas.py",
    "standards/xapi/test_validate.py",
    "traces/conformance/test_sessions.py",
    "traces/queries/test_statements.py",
    "traces/statements/test_store.py",
    "web/portal/test_in_a_browser.py",
    "web/test_access.py",
    "web/test_access_packages.py",
    "web/test_attachments.py",
    "web/test_caching.py",
    "web/test_check_api.py",
    "web/test_cors.py",
    "web/test_cross_site.py",
    "web/test_documents.py",
    "web/test_long_numbers.py",
    "web/test_many_at_once.py",
    "web/test_overload.py",
    "web/test_restriction_api.py",
    "web/test_slow_clients.py",
    "web/test_slow_forms.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder or file, for ``scripts/test --fast``."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            place = item.path.relative_to(here)
            marker = MARKED_BY_FOLDER.get(place.parts[0])
            if marker is not None:
                item.add_marker(getattr(pytest.mark, marker))
            if place.as_posix() in SLOW:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of an embedded server, started once and shared by the workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mongodb"
    with EmbeddedServer(folder, cache_mb=256) as uri:
        yield uri


@pytest.fixture(scope="session")
def databases(mongodb_uri: str) -> Iterator[Databases]:
    """The databases that the tests of this process use one after the other."""
    made = Databases(mongodb_uri)
    yield made
    made.close()


@pytest.fixture
def database_name(databases: Databases) -> Iterator[str]:
    """A database of its own for each test: empty, with every declared collection and index."""
    with databases.lent() as name:
        yield name


@pytest.fixture
def store(mongodb_uri: str, database_name: str) -> Iterator[Store]:
    """A connection to the test's own database."""
    opened = Store.open(mongodb_uri, database_name, timeout_seconds=20)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def keks() -> KeyEncryptionKeys:
    """Key-encryption keys of the tests."""
    return KeyEncryptionKeys({1: bytes(range(KEY_BYTES))}, 1)


@pytest.fixture
def vault(store: Store, keks: KeyEncryptionKeys) -> OrganisationKeys:
    """The keys of the organisation ``default``, wrapped in ``store``."""
    return organisation_keys.ensure(store, keks, "default")


@pytest.fixture
def settings(tmp_path: Path, mongodb_uri: str) -> Settings:
    """Settings on a folder of the test's own and the shared server."""
    return load({"SILLAGE_DATA_DIR": str(tmp_path / "data"), "SILLAGE_MONGODB_URI": mongodb_uri})


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the folder of real data is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    """A server shared by the tests of this run; each test registers sources of its own."""
    with serving(tmp_path_factory.mktemp("server"), mongodb_uri) as running:
        yield running
