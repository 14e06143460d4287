"""MEF: form, dated nomenclature, levels."""

from datetime import date

import pytest

from app.core import contracts
from app.standards.france import mef
from tests.places import SHARED

DATA = SHARED / "data"

CSV = """MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE,OTHER
2403112111,"1CAP1, ONE",1/9/97,,x
2403112112,TWO,9/1/24,8/31/25,x
2403112113,THREE,1/9/20,31/8/26,x
"""


@pytest.mark.parametrize("code", ["1001001211", "10010012110"])
def test_ten_or_eleven_digits_have_the_form(code):
    assert mef.well_formed(code)


@pytest.mark.parametrize("code", ["", "100100121", "100100121101", "1001001G11A", "10010012110\n", "١001001211"])
def test_anything_else_does_not(code):
    assert not mef.well_formed(code)


@pytest.mark.parametrize(
    ("code", "day", "valid"),
    [
        ("2403112111", date(1997, 8, 31), False),
        ("2403112111", date(1997, 9, 1), True),
        ("24031121110", date(2050, 1, 1), True),
        ("2403112112", date(2024, 8, 31), False),
        ("2403112112", date(2024, 9, 1), True),
        ("2403112112", date(2025, 8, 31), True),
        ("2403112112", date(2025, 9, 1), False),
        ("2403112113", date(2026, 8, 31), True),
        ("2403112113", date(2026, 9, 1), False),
        ("9999999999", date(2025, 1, 1), False),
        ("2403112111x", date(2025, 1, 1), False),
    ],
)
def test_a_code_is_valid_from_its_opening_to_its_closing_day(code, day, valid):
    assert mef.parse(CSV).valid_on(code, day) is valid
    assert mef.parse("\ufeff" + CSV).valid_on(code, day) is valid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column MEF"),
        ("MEF;LIBELLE_LONG\n1;2\n", "no column"),
        (CSV + "1,x,soon,,\n", "line 5"),
        (CSV + "1,x,31/31/20,,\n", "line 5"),
        (CSV + "1," + "x" * 200_000 + ",,,\n", "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_nomenclature_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        mef.parse(text)


OLD, NEW = "MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE\n", "2403112111,ONE,1/9/97,\n"
EDITIONS = (
    mef.Edition(date(2024, 9, 1), mef.parse(OLD + NEW + "2403112112,TWO,1/9/97,\n")),
    mef.Edition(date(2025, 9, 1), mef.parse(OLD + NEW.replace("97,", "97,31/8/25"))),
)


@pytest.mark.parametrize(
    ("code", "day", "state"),
    [
        ("2403112111", date(2025, 8, 31), "open"),
        ("2403112111", date(2025, 9, 1), "closed"),
        # the edition in force that day knows it, the next one does not
        ("24031121129", date(2025, 8, 31), "open"),
        ("2403112112", date(2026, 1, 1), "unknown"),
        # before the first edition, the first
        ("2403112112", date(2020, 1, 1), "open"),
        ("2403112112", date(1990, 1, 1), "closed"),
        ("240311211", date(2025, 1, 1), "malformed"),
    ],
)
def test_a_code_is_looked_up_in_the_edition_of_the_day(code, day, state):
    assert mef.state(EDITIONS, code, day) == state
    assert mef.state((), code, day) == ("malformed" if state == "malformed" else "open")


def test_a_file_name_tells_its_school_year():
    assert mef.school_year("mef-2025-2026.csv") == date(2025, 9, 1)
    assert mef.school_year("mef-2025-2027.csv") is mef.school_year("mef.csv") is None


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("10010012110", "6EME"), ("1031001911", "3EME"), ("20010018110", "2NDE-GT"), ("2473000431", "2NDE-PRO"),
        ("2473000433", "TLE-PRO"), ("2473000439", None), ("9991001211", None), ("6EME", None),
    ],
)  # fmt: skip
def test_the_level_is_told_or_unknown(code, level):
    found = mef.level(code)
    assert (found and found.code) == level


def test_every_level_has_a_name_in_both_languages():
    for row in contracts.load("sillage", "levels.json")["levels"].values():
        assert set(row) == {"code", "fr", "en"}
        assert all(row.values())


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside this checkout")
def test_the_published_nomenclatures_are_read():
    for name, courses in (("mef-2024-2025.csv", 1526), ("mef-2025-2026.csv", 1467)):
        nomenclature = mef.parse((DATA / name).read_text(encoding="utf-8"))
        assert len(nomenclature.courses) == courses
        assert all(row.opens.day == row.opens.month - 8 == 1 for rows in nomenclature.courses.values() for row in rows)
        # Labels of these vocational courses begin with their level: 1CAP2, TLEPRO…
        for code, rows in nomenclature.courses.items():
            level = mef.level(code)
            if level is not None and "CAP" in level.code:
                assert rows[0].label.startswith((level.code, level.code.replace("CAPA2", "CAP2A")))
