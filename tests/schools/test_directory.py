"""The directory of schools in a real store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import orjson
import pytest
from bson import ObjectId

from app.access.store import Source
from app.core import contracts
from app.core.errors import FileRefused, NotFound
from app.schools.store import SCHOOLS, SchoolRepository
from app.settings import Settings
from app.standards.france import uai
from app.standards.france.school_directory import Days
from app.standards.profiles import terms
from app.standards.xapi.versions import Version
from app.wiring.container import Container
from tests.school_files import addresses, made
from tests.served import statement
from tests.stores import started

SINCE = date(2025, 9, 1)


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with started(settings, database_name) as made:
        yield made


def test_the_digest_is_of_the_editions_in_force(container: Container) -> None:
    schools = container.schools.directory
    seen = [schools.digest()]
    for schools_of_it, since in (([made(1)], SINCE), ([made(1), made(2)], SINCE), ([made(1)], date(2026, 9, 1))):
        schools.load(addresses(schools_of_it), since, actor="cli:test")
        seen.append(schools.digest())
    assert len(set(seen)) == 4
    schools.forget()
    assert schools.digest() == seen[-1]


def test_schools_are_found_on_a_day_and_by_territory(container: Container) -> None:
    schools = container.schools.directory
    assert schools.find([uai.make("038", 1)], SINCE) == {} and schools.of_territory("academie", "08", SINCE) == []
    far = made(3, departement="974", academie="28", region="04", commune="97411")
    schools.load(addresses([made(1), made(2), far]), SINCE, actor="cli:test")
    schools.load(addresses([made(1, name="Renamed")]), date(2026, 9, 1), actor="cli:test")
    one = uai.make("038", 1)
    assert schools.find([one, uai.make("038", 9)], SINCE)[one].name == "Collège inventé n° 1"
    assert set(schools.find([one, uai.make("038", 9)], SINCE)) == {one}
    assert schools.find([one], date(2026, 9, 1))[one].name == "Renamed"
    assert schools.find([one], date(2020, 1, 1))[one].opens == date(1965, 5, 1)
    assert [each.uai for each in schools.of_territory("academie", "08", SINCE)] == [one, uai.make("038", 2)]
    assert [each.uai for each in schools.of_territory("commune", "97411", SINCE)] == [far["uai"]]
    assert schools.of_territory("departement", "974", date(2026, 9, 1)) == []
    with pytest.raises(NotFound, match="academie"):
        schools.of_territory("pays", "1", SINCE)


def test_every_edition_is_kept_and_the_last_one_of_a_day_counts(container: Container) -> None:
    schools = container.schools.directory
    for serial in (1, 2):
        schools.load(addresses([made(serial)]), SINCE, actor="cli:test")
    assert [each.schools for each in schools.list()] == [1, 1]
    (edition,) = schools.editions()
    assert edition.days.state(uai.make("038", 2), SINCE) == "open"
    assert edition.days.state(uai.make("038", 1), SINCE) == "unknown"
    assert schools.editions() is schools.editions()


def test_a_wrong_file_changes_nothing_and_what_a_load_that_was_cut_off_left_goes(container: Container) -> None:
    schools, stored = container.schools.directory, container.platform.store.collection(SCHOOLS)
    schools.load(addresses([made(1)]), SINCE, actor="cli:test")
    for content in (b"\xff\xfe", b"a;b\n", addresses([made(2, uai="0380002A")])):
        with pytest.raises(FileRefused):
            schools.load(content, SINCE, actor="cli:test")
    assert len(schools.list()) == 1
    now = datetime.now(UTC)
    cut_off, under_way = (ObjectId.from_datetime(now - timedelta(minutes=each)) for each in (70, 50))
    stored.insert_many([{"_id": {"e": each, "u": uai.make("038", 5)}} for each in (cut_off, under_way)])
    schools.load(addresses([made(2)]), SINCE, actor="cli:test")
    assert stored.count_documents({}) == 3 and stored.count_documents({"_id.e": under_way}) == 1


def test_what_was_read_while_another_edition_was_loaded_is_not_kept(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    schools = container.schools.directory
    schools.load(addresses([made(1)]), SINCE, actor="cli:test")
    days = SchoolRepository.days

    def meanwhile(self: SchoolRepository, edition: ObjectId) -> Days:
        monkeypatch.undo()
        schools.load(addresses([made(1), made(2)]), SINCE, actor="cli:test")
        return days(self, edition)

    monkeypatch.setattr(SchoolRepository, "days", meanwhile)
    schools.editions()
    (edition,) = schools.editions()
    assert len(edition.days) == 2


def test_schools_that_are_closed_or_not_in_the_directory_are_told_like_failed_templates(container: Container) -> None:
    profile = container.traces.profiles.add(contracts.folder("profiles", "ent.jsonld").read_bytes()).id
    source = Source("school", "School", "p2ia", (profile,), "observe", datetime.now(UTC))

    def counted() -> dict[str, int]:
        batch = [
            statement(timestamp="2026-10-05T08:00:00Z", context={"extensions": {terms.SCHOOL: identifier}})
            for identifier in (uai.make("038", 1), uai.make("038", 2), uai.make("038", 3), "0380001A")
        ]
        container.traces.recorder.record(orjson.dumps(batch), source, Version.V1)
        return {
            each.template: each.statements
            for each in container.traces.profiles.counts("school")
            if each.template.startswith("schools:")
        }

    assert counted() == {"schools:uai-key": 1}
    container.schools.directory.load(addresses([made(1), made(2, state="FERME")]), SINCE, actor="cli:test")
    assert counted() == {"schools:uai-key": 2, "schools:uai-closed": 1, "schools:uai-unknown": 1}
