"""Schools and courses of study against the nomenclature in force, and extensions that profiles define."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import orjson
import pytest

from app.access.store import Source
from app.core import contracts
from app.core.errors import FileRefused, ProfileRejected
from app.settings import Settings
from app.standards.profiles import terms
from app.standards.xapi.versions import Version
from app.wiring.container import Container
from tests.served import statement
from tests.stores import started

HEAD = "MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE\n"
SOURCE = Source("school", "School", "p2ia", (), "observe", datetime.now(UTC))


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        yield made


def counts(container: Container) -> dict[tuple[str, str], int]:
    return {(each.template, each.outcome): each.statements for each in container.traces.profiles.counts("school")}


def test_schools_and_courses_are_checked_counted_and_refused_like_templates(container: Container) -> None:
    profile = container.traces.profiles.add(contracts.folder("profiles", "ent.jsonld").read_bytes()).id
    container.traces.nomenclatures.load(
        (HEAD + "1001001211,SIXIEME,1/9/97,\n").encode(), date(2025, 9, 1), actor="cli:test"
    )
    source = SOURCE._replace(profiles=(profile,))
    wrong = {terms.SCHOOL: "0750001D", terms.LEVEL: "9999999999"}
    batch = [statement(context={"extensions": wrong}), statement(context={"extensions": {terms.LEVEL: "1001001211"}})]
    recorded = container.traces.recorder.record(orjson.dumps(batch), source, Version.V1)
    assert recorded.verdicts == {"unmatched": 2, "schools": 1}
    assert counts(container) == {
        ("", "unmatched"): 2,
        ("schools:uai-key", "fails"): 1,
        ("schools:mef-unknown", "fails"): 1,
    }
    with pytest.raises(ProfileRejected) as refused:
        container.traces.recorder.record(orjson.dumps(batch), source._replace(mode="reject"), Version.V1)
    pointers = {fault.pointer.rpartition("/")[2] for fault in refused.value.faults}
    assert pointers == {terms.SCHOOL.replace("/", "~1"), terms.LEVEL.replace("/", "~1")}
    assert all(fault.pointer.startswith("/0/context/extensions/") for fault in refused.value.faults)


def test_every_edition_is_kept_and_the_last_one_of_a_day_counts(container: Container) -> None:
    for line in ("1001001211,ONE,1/9/97,\n", "1001001212,TWO,1/9/97,\n"):
        container.traces.nomenclatures.load((HEAD + line).encode(), date(2025, 9, 1), actor="cli:test")
    assert [each.codes for each in container.traces.nomenclatures.list()] == [1, 1]
    (edition,) = container.traces.nomenclatures.editions()
    assert set(edition.nomenclature.courses) == {"1001001212"}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a;b\n1;2\n", (HEAD + "1,X,soon,\n").encode()])
def test_a_file_that_is_no_nomenclature_is_refused(container: Container, content: bytes) -> None:
    with pytest.raises(FileRefused):
        container.traces.nomenclatures.load(content, date(2025, 9, 1), actor="cli:test")
    assert container.traces.nomenclatures.list() == []


def test_misused_extensions_are_counted_and_never_refused(container: Container) -> None:
    profile = container.traces.profiles.add(contracts.folder("profiles", "ent.jsonld").read_bytes()).id
    source = SOURCE._replace(profiles=(profile,), mode="reject")
    misused = statement(context={"extensions": {terms.SERVICE_TYPE: "AUTRE", terms.DOCUMENTS: 1}})
    recorded = container.traces.recorder.record(orjson.dumps([misused, statement()]), source, Version.V1)
    assert recorded.verdicts == {"unmatched": 2, "extensions": 1}
    found = {key[0]: count for key, count in counts(container).items() if key[0]}
    assert found == {"extensions:extension-value": 1, "extensions:extension-misplaced": 1}
