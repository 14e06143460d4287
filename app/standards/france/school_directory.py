"""The directory of French schools, as the ministry publishes it: what each school is, where, and when it is open."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from app.standards.france import uai

PUBLIC, PRIVATE, NO_SECTOR = "public", "private", "none"
SECTORS: Final = (PUBLIC, PRIVATE, NO_SECTOR)
"""The last one is that of services of the administration, such as inspections: the directory leaves theirs empty."""
FIRST_DEGREE, SECOND_DEGREE, OTHER_DEGREE = "first", "second", "other"
DEGREES: Final = (FIRST_DEGREE, SECOND_DEGREE, OTHER_DEGREE)
OPEN, CLOSED, UNKNOWN = "open", "closed", "unknown"

# The two files of data.education.gouv.fr that list every school, `fr-en-annuaire-education` and
# `fr-en-adresse-et-geolocalisation-etablissements-premier-et-second-degre`, name the same columns differently; and the
# second one has names for people in place of those, when it is downloaded with labels. Here as `_plain` has them.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "uai": ("identifiant_de_l_etablissement", "numero_uai", "code_etablissement"),
    "name": ("nom_etablissement", "appellation_officielle"),
    "nature": ("code_nature", "nature_uai"),
    "nature_name": ("libelle_nature", "nature_uai_libe", "nature"),
    "sector": ("statut_public_prive", "secteur_public_prive_libe", "secteur_public_prive"),
    "commune": ("code_commune",),
    "commune_name": ("nom_commune", "libelle_commune", "commune"),
    "departement": ("code_departement",),
    "departement_name": ("libelle_departement", "departement"),
    "academie": ("code_academie",),
    "academie_name": ("libelle_academie", "academie"),
    "region": ("code_region",),
    "region_name": ("libelle_region", "region"),
    # Without labels the last one is a number, beside the one before it.
    "state": ("etat", "etat_etablissement_libe", "etat_etablissement"),
    "opens": ("date_ouverture",),
}
# Files with the history of schools have it; those of the schools that are open do not.
_CLOSING: Final = "date_fermeture"
_SECTOR: Final = {"public": PUBLIC, "privé": PRIVATE, "prive": PRIVATE, "": NO_SECTOR}
_CLOSED_STATES: Final = frozenset({"FERME", "FERMÉ", "FERMEE", "FERMÉE"})
_MAX_TEXT: Final = 200
_NEVER: Final = date.max.toordinal()
_ALWAYS: Final = date.min.toordinal()
_UAI_BYTES: Final = 8
_MARKS: Final = dict.fromkeys(range(0x300, 0x370))


class School(NamedTuple):
    """A school of the directory.

    Attributes:
        uai: Its identifier.
        name: Its official name.
        nature: Code of its nature, three digits: ``340`` is a collège.
        nature_name: What that is called.
        sector: One of ``SECTORS``.
        degree: One of ``DEGREES``.
        commune: INSEE code of the commune.
        commune_name: Its name.
        departement: Code of the département, three characters: ``038``, ``02A``, ``974``.
        departement_name: Its name.
        academie: Code of the académie.
        academie_name: Its name.
        region: Code of the région. Since 2020 each région académique is a région (decree 2019-1200).
        region_name: Its name.
        opens: First day on which it is open; None where the file does not say.
        closes: Last day; None for no end.
        closed: True if it is closed, whenever that was.
    """

    uai: str
    name: str
    nature: str
    nature_name: str
    sector: str
    degree: str
    commune: str
    commune_name: str
    departement: str
    departement_name: str
    academie: str
    academie_name: str
    region: str
    region_name: str
    opens: date | None
    closes: date | None
    closed: bool

    def a_site_of(self, other: School) -> bool:
        """True if both are sites of one school: they differ in nothing but name, commune and département."""
        return self == other._replace(
            name=self.name,
            commune=self.commune,
            commune_name=self.commune_name,
            departement=self.departement,
            departement_name=self.departement_name,
        )


def degree(nature: str) -> str:
    """The degree of a school, by the code of its nature: 1.. is of the first degree, 3.. of the second."""
    return {"1": FIRST_DEGREE, "3": SECOND_DEGREE}.get(nature[:1], OTHER_DEGREE)


def parse(text: str) -> Sequence[School]:
    """The schools of a published file (CSV, with semicolons or commas, in any order of columns), by UAI.

    A line that repeats another is read once: the file of addresses has such lines. The directory has a line for each
    site of a school, under one identifier (`multi_uai`): of these the first counts that is not called an annexe.

    Raises:
        ValueError: a column is missing, a line cannot be read, or two lines say unlike things of one school; the
            message names the line.
    """
    text = text.removeprefix("\ufeff")
    head = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text), delimiter=";" if head.count(";") >= head.count(",") else ",")
    found: dict[str, tuple[int, School]] = {}
    try:
        places = _places(next(rows, []))
        for row in rows:
            if not row:
                continue
            school = _school(_Row(row, places, rows.line_num))
            line, known = found.setdefault(school.uai, (rows.line_num, school))
            if not known.a_site_of(school):
                raise ValueError(f"lines {line} and {rows.line_num} say unlike things of school {school.uai}")
            if _annexe(known) and not _annexe(school):
                found[school.uai] = line, school
    except csv.Error:
        raise ValueError(f"line {rows.line_num} cannot be read as CSV") from None
    if not found:
        raise ValueError("it lists no school")
    return [school for _, (_, school) in sorted(found.items())]


def _places(head: Sequence[str]) -> Mapping[str, int]:
    names = {_plain(name): place for place, name in enumerate(head)}
    places, missing = {}, []
    for column, spellings in _COLUMNS.items():
        place = next((names[each] for each in spellings if each in names), None)
        if place is None:
            missing.append(" or ".join(spellings))
        else:
            places[column] = place
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    if _CLOSING in names:
        places["closes"] = names[_CLOSING]
    return places


def _plain(name: str) -> str:
    """The name of a column without capitals, accents and what stands between its words."""
    letters = unicodedata.normalize("NFKD", name.strip().strip('"').lower())
    return re.sub("[^a-z0-9\u0300-\u036f]+", "_", letters).translate(_MARKS)


class _Row:
    """A line of the file."""

    def __init__(self, values: Sequence[str], places: Mapping[str, int], line: int) -> None:
        self._values = values
        self._places = places
        self._line = line

    def text(self, column: str) -> str:
        place = self._places.get(column)
        if place is None:
            return ""
        if place >= len(self._values):
            raise ValueError(f"line {self._line} has too few values")
        value = self._values[place].strip()
        if len(value) > _MAX_TEXT:
            raise self.wrong(column, f"is longer than {_MAX_TEXT} characters")
        return value

    def code(self, column: str) -> str:
        value = self.text(column)
        if not (value.isascii() and value.isalnum()):
            raise self.wrong(column, "is no code")
        return value

    def day(self, column: str) -> date | None:
        value = self.text(column)
        if not value:
            return None
        try:
            if value[2:3] == "/":
                return date(int(value[6:10]), int(value[3:5]), int(value[:2]))
            return date.fromisoformat(value[:10])
        except ValueError:
            raise self.wrong(column, "is no date") from None

    def wrong(self, column: str, why: str) -> ValueError:
        return ValueError(f"in line {self._line}, {column} {why}")


def _school(row: _Row) -> School:
    identifier = row.text("uai").upper()
    if not uai.valid(identifier):
        raise row.wrong("uai", "is no UAI")
    sector = _SECTOR.get(row.text("sector").lower())
    if sector is None:
        raise row.wrong("sector", "is neither Public nor Privé")
    nature = row.code("nature")
    return School(
        uai=identifier,
        name=row.text("name"),
        nature=nature,
        nature_name=row.text("nature_name"),
        sector=sector,
        degree=degree(nature),
        commune=row.code("commune"),
        commune_name=row.text("commune_name"),
        departement=row.code("departement").zfill(3),
        departement_name=row.text("departement_name"),
        academie=row.code("academie").zfill(2),
        academie_name=row.text("academie_name"),
        region=row.code("region").zfill(2),
        region_name=row.text("region_name"),
        opens=row.day("opens"),
        closes=row.day("closes"),
        closed=row.text("state").upper() in _CLOSED_STATES,
    )


def _annexe(school: School) -> bool:
    return "annexe" in school.name.lower()


class Days:
    """The schools of an edition, and the days on which each is open: 16 bytes a school, for whoever asks in a batch."""

    def __init__(self, schools: bytes, opens: Sequence[int], closes: Sequence[int]) -> None:
        """``schools``: UAI one after the other, in order; the days as proleptic ordinals, bounds included."""
        self._schools = schools
        self._opens = array("I", opens)
        self._closes = array("I", closes)

    @classmethod
    def of(cls, schools: Sequence[School], since: date) -> Days:
        """Those of the schools of an edition, by UAI, that is in force from a day on."""
        return cls(
            "".join(each.uai for each in schools).encode(),
            [_ALWAYS if each.opens is None else each.opens.toordinal() for each in schools],
            [_last(each, since) for each in schools],
        )

    def __len__(self) -> int:
        """Number of schools."""
        return len(self._opens)

    def state(self, identifier: str, day: date) -> str:
        """The state of a school on a day: ``open``, ``closed`` (it exists, and not on that day) or ``unknown``.

        Args:
            identifier: A valid UAI.
            day: The day.
        """
        wanted = identifier.encode()
        place = bisect_left(_Sliced(self._schools), wanted)
        if place == len(self) or self._schools[place * _UAI_BYTES : (place + 1) * _UAI_BYTES] != wanted:
            return UNKNOWN
        return OPEN if self._opens[place] <= day.toordinal() <= self._closes[place] else CLOSED

    def packed(self) -> tuple[bytes, bytes, bytes]:
        """Its parts: UAI, first days, last days, four bytes each, of the least significant first."""
        return self._schools, _little(self._opens), _little(self._closes)

    @classmethod
    def unpacked(cls, schools: bytes, opens: bytes, closes: bytes) -> Days:
        """Those of what ``packed`` gave."""
        return cls(schools, list(_ordinals(opens)), list(_ordinals(closes)))


class SchoolEdition(NamedTuple):
    """A directory as published, in force from a day until the next edition's."""

    since: date
    days: Days


def state(editions: Sequence[SchoolEdition], identifier: str, day: date) -> str:
    """The state of a school on a day, by the edition in force that day; before the first one, by the first.

    Without any, every school counts as open.
    """
    in_force = [edition for edition in editions if edition.since <= day] or editions[:1]
    return in_force[-1].days.state(identifier, day) if in_force else OPEN


def _last(school: School, since: date) -> int:
    if school.closes is not None:
        return school.closes.toordinal()
    # Closed, and the file does not say since when: not open under this edition.
    return since.toordinal() - 1 if school.closed else _NEVER


class _Sliced(Sequence[bytes]):
    """The identifiers of ``Days``, as a sequence."""

    def __init__(self, schools: bytes) -> None:
        self._schools = schools

    def __len__(self) -> int:
        return len(self._schools) // _UAI_BYTES

    def __getitem__(self, place: int) -> bytes:  # type: ignore[override] # bisect takes no slices
        return self._schools[place * _UAI_BYTES : (place + 1) * _UAI_BYTES]


def _little(days: array[int]) -> bytes:
    return b"".join(day.to_bytes(4, "little") for day in days)


def _ordinals(packed: bytes) -> Iterator[int]:
    return (int.from_bytes(packed[place : place + 4], "little") for place in range(0, len(packed), 4))
