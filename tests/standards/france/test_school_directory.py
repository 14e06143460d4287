"""The directory of schools: both published shapes, and files that are wrong."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.france import school_directory, uai
from app.standards.france.school_directory import CLOSED, OPEN, UNKNOWN, Days, School, SchoolEdition
from tests.school_files import addresses, directory, made

SINCE = date(2026, 9, 1)


def parsed(content: bytes) -> list[School]:
    return list(school_directory.parse(content.decode()))


def test_both_shapes_say_the_same() -> None:
    schools = [
        made(7),
        made(3, sector="Privé", nature="151", nature_name="ECOLE ELEMENTAIRE", departement="38", region="84"),
        made(9, opens="01/09/2026", state="A OUVRIR", nature="999", academie="8"),
    ]
    found = parsed(addresses(schools))
    assert found == parsed(directory(schools))
    assert [each.uai for each in found] == sorted(each["uai"] for each in schools)
    by = {each.uai: each for each in found}
    first, second, third = (by[each["uai"]] for each in schools)
    assert first == School(
        first.uai, "Collège inventé n° 7", "340", "COLLEGE", "public", "second", "38185", "Grenoble", "038", "Isère",
        "08", "Grenoble", "84", "Auvergne-Rhône-Alpes", date(1965, 5, 1), None, False,
    )  # fmt: skip
    assert (second.sector, second.degree, second.departement) == ("private", "first", "038")
    assert (third.degree, third.opens, third.academie, third.closed) == ("other", SINCE, "08", False)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column identifiant_de_l_etablissement or numero_uai"),
        (b"a;b\n1;2\n", "no column"),
        (addresses([]), "no school"),
        (addresses([made(1, uai="0380001A")]), "in line 2, uai is no UAI"),
        (addresses([made(1), made(2, sector="Mixte")]), "in line 3, sector is neither"),
        (addresses([made(1, opens="soon")]), "in line 2, opens is no date"),
        (addresses([made(1, opens="31/02/2026")]), "in line 2, opens is no date"),
        (addresses([made(1, academie="")]), "in line 2, academie is no code"),
        (addresses([made(1, name="x" * 201)]), "in line 2, name is longer than 200"),
        (addresses([made(1), made(2), made(1, nature="300")]), "lines 2 and 4 say unlike things of school 0380001"),
        (addresses([made(1)]) + b"0380002A;few\n", "too few|is no UAI"),
        (addresses([made(1)]).replace(b"Grenoble;", b'"Grenoble;', 1), "line"),
        (directory([made(1)]) + b'"' + b"x" * 200_000, "line"),
    ],
)
def test_a_wrong_file_is_refused_and_the_line_named(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        school_directory.parse(content.decode())


LABELS = {
    "numero_uai": "Code établissement",
    "appellation_officielle": "Appellation officielle",
    "secteur_public_prive_libe": "Secteur Public/Privé",
    "libelle_commune": "Commune",
    "nature_uai": "Code nature",
    "nature_uai_libe": "Nature",
    "etat_etablissement": "Code état établissement",
    "etat_etablissement_libe": "Etat établissement",
    "code_departement": "Code département",
    "code_region": "Code région",
    "code_academie": "Code académie",
    "code_commune": "Code commune",
    "libelle_departement": "Département",
    "libelle_region": "Région",
    "libelle_academie": "Académie",
}


def test_a_file_that_was_downloaded_with_labels_says_the_same() -> None:
    content = addresses([made(1), made(2, state="FERME")]).decode("utf-8-sig")
    head, _, lines = content.partition("\n")
    labelled = ";".join(LABELS.get(name, name) for name in head.split(";"))
    assert list(school_directory.parse(f"{labelled}\n{lines}")) == parsed(content.encode())


def test_a_service_of_the_administration_has_no_sector() -> None:
    inspection = made(5, sector="", nature="809", nature_name="INSPECTION DE L'EDUCATION NATIONALE")
    for content in (addresses([made(1), inspection]), directory([made(1), inspection])):
        assert {each.sector for each in parsed(content)} == {"public", "none"}


def test_a_line_that_repeats_another_is_read_once() -> None:
    assert len(parsed(addresses([made(1), made(2), made(1)]))) == 2


def test_of_the_sites_of_a_school_the_first_counts_that_is_no_annexe() -> None:
    # As published, with `multi_uai` 1: two lycées of one group, a collège after its annexe in another commune.
    lines = [
        made(1, name="Lycée professionnel inventé"),
        made(2, name="Collège Saint-Paul (annexe du collège Saint-Joseph)", commune="38421", commune_name="Meylan"),
        made(1, name="Lycée polyvalent inventé"),
        made(2, name="Collège Saint-Joseph"),
        made(3, name="Lycée inventé"),
        made(3, name="Lycée inventé - Annexe", departement="026", departement_name="Drôme", commune="26362"),
    ]
    found = parsed(directory(lines))
    assert [(each.name, each.commune) for each in found] == [
        ("Lycée professionnel inventé", "38185"),
        ("Collège Saint-Joseph", "38185"),
        ("Lycée inventé", "38185"),
    ]


def test_open_closed_and_unknown() -> None:
    schools = parsed(addresses([made(1), made(2, opens="2026-09-01"), made(3, state="FERME")]))
    editions = [SchoolEdition(SINCE, Days.of(schools, SINCE))]
    one, two, three = (each.uai for each in schools)
    before, later = date(2026, 8, 31), date(2030, 1, 1)
    state = school_directory.state
    assert [state(editions, each, SINCE) for each in (one, two, three)] == [OPEN, OPEN, CLOSED]
    assert state(editions, two, before) == CLOSED and state(editions, three, before) == OPEN
    assert state(editions, uai.make("038", 4), later) == UNKNOWN
    assert state([], uai.make("038", 4), later) == OPEN
    following = [*editions, SchoolEdition(date(2027, 9, 1), Days.of(schools[:1], SINCE))]
    assert [state(following, two, day) for day in (SINCE, date(2027, 8, 31), date(2027, 9, 1))] == [OPEN, OPEN, UNKNOWN]


def test_a_file_with_closing_days_has_them_used() -> None:
    head, line = addresses([made(1)]).decode().split("\n")[:2]
    schools = school_directory.parse(f"{head};date_fermeture\n{line};2027-07-31\n")
    days = Days.of(schools, SINCE)
    assert [days.state(schools[0].uai, day) for day in (date(2027, 7, 31), date(2027, 8, 1))] == [OPEN, CLOSED]


@given(st.sets(st.integers(0, 9999), max_size=40), st.integers(0, 9999))
def test_whoever_is_in_the_file_is_found_and_nobody_else(serials: set[int], other: int) -> None:
    schools = parsed(addresses([made(each) for each in serials])) if serials else []
    days = Days.unpacked(*Days.of(schools, SINCE).packed())
    assert len(days) == len(serials)
    assert all(days.state(school.uai, SINCE) == OPEN for school in schools)
    assert (days.state(uai.make("038", other), SINCE) == OPEN) == (other in serials)
