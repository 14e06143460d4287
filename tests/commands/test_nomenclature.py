"""``sillage nomenclature``, on a real store."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from app.commands.nomenclature import nomenclature
from app.core.errors import FileRefused
from app.wiring.container import Container
from tests.school_files import directory, made

LINES = "MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE\n1001001211,SIXIEME,1/9/97,\n"


@pytest.fixture
def run(settings, store):
    container = Container(replace(settings, organisation=store.db.name.removeprefix("sillage_")))
    container.lifecycle.initialise()
    yield lambda *arguments: CliRunner().invoke(nomenclature, arguments, obj=container, catch_exceptions=False)
    container.close()


def test_editions_are_loaded_from_the_year_of_their_name_or_a_day_and_listed(run, tmp_path):
    (tmp_path / "mef-2025-2026.csv").write_text(LINES)
    (tmp_path / "mef.csv").write_text(LINES)
    assert run("load", str(tmp_path / "mef-2025-2026.csv")).output == "1 MEF codes, in force from 2025-09-01.\n"
    assert run("load", str(tmp_path / "mef.csv"), "--from", "2026-09-01").exit_code == 0
    refused = run("load", str(tmp_path / "mef.csv"))
    assert refused.exit_code == 2 and "--from" in refused.output
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines if line.strip().startswith("20")] == ["2025-09-01", "2026-09-01"]


def test_a_file_that_is_absent_is_refused(run, tmp_path):
    with pytest.raises(FileRefused, match="cannot be read"):
        run("load", str(tmp_path / "mef-2025-2026.csv"))


def test_the_published_nomenclatures_load(run, shared):
    assert run("load", str(shared / "data" / "mef-2025-2026.csv")).output.startswith("1,467 MEF codes")


def test_the_directory_of_schools_is_loaded_from_today_or_a_day_and_listed(run, tmp_path):
    file = tmp_path / "fr-en-annuaire-education.csv"
    file.write_bytes(directory([made(1), made(2)]))
    today = datetime.now(ZoneInfo("Europe/Paris")).date()
    loaded = run("load", "--kind", "schools", str(file))
    assert loaded.output == f"2 schools, in force from {today}.\n"
    assert run("load", "--kind", "schools", str(file), "--from", "2025-09-01").exit_code == 0
    lines = run("list", "--kind", "schools").output.splitlines()
    assert [line.split()[0] for line in lines if line.strip().startswith("20")] == [f"{today}", "2025-09-01"]
    assert "2026" not in run("list").output
