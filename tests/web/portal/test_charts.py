"""Charts as declared: the specification, the table, the CSV and the sentence have the same figures."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date

import orjson
import pytest

from app.web.portal.assets import FOLDER
from app.web.portal.charts import MAX_SERIES, Axis, Cell, Chart, Form, Kind, written_csv
from app.web.portal.files import csv_answer, specification_answer
from app.web.portal.vega_lite import PALETTE, specification
from tests.web.portal.charted import ALL, ages, nothing, rates, services
from tests.web.portal.hostile import HOSTILE


def test_table_csv_and_specification_have_the_same_cells() -> None:
    chart = rates("fr")
    drawn = specification(chart)["data"]["values"]
    lines = [*csv.DictReader(io.StringIO(chart.csv().decode()))]
    assert len(drawn) == len(lines) == 36
    for value, line in zip(drawn, lines, strict=True):
        assert (value["place"], value["series"]) == (line["week"], line["level"])
        assert line["success_rate"] == ("" if value["value"] is None else str(value["value"]))
    shown = {
        (row.label, name): cell for row in chart.rows() for name, cell in zip(chart.headings(), row.cells, strict=True)
    }
    assert shown["7 sept. 2026", "Sixième"].text == "61\u202f%"
    assert shown["14 sept. 2026", "Sixième"].text == "62,1\u202f%"
    assert shown["28 sept. 2026", "Cinquième"].hidden and not shown["28 sept. 2026", "Sixième"].hidden


def test_nothing_of_a_hidden_figure_is_in_what_leaves_the_server() -> None:
    chart = rates("en")
    # Whoever declares one with its figure has not hidden it: what is declared hidden is not written.
    kept = [each._replace(value=0.123456) if each.hidden else each for each in chart.cells]
    leaky = replace(chart, cells=kept)
    for content in (leaky.csv(), orjson.dumps(specification(leaky)), leaky.alternative().encode()):
        assert b"0.123456" not in content and b"12.3" not in content


def test_what_is_hidden_and_what_nobody_knows_are_told_apart() -> None:
    chart = rates("fr")
    assert (chart.hidden, chart.unknown) == (7, 1)
    states = {each["state"] for each in specification(chart)["data"]["values"]}
    assert states == {"", "masqué, petit groupe", "pas de donnée"}
    told = chart.alternative()
    assert "7\u00a0chiffres sont masqués." in told and "1\u00a0chiffre n’est pas connu." in told
    assert "Sixième\u00a0: de 61\u202f% (7 sept. 2026) à 73,1\u202f% (23 nov. 2026)." in told


def test_a_day_that_every_line_hides_is_a_band_and_a_single_one_is_a_square() -> None:
    layers = specification(rates("fr"))["layer"]
    bands = [each for each in layers if each["mark"]["type"] == "rect"]
    assert [(each["place"], each["end"]) for each in bands[0]["data"]["values"]] == [
        ("2026-10-15T12:00:00+00:00", "2026-10-29T12:00:00+00:00")
    ]
    squares = [each for each in layers if each["mark"].get("shape") == "square"]
    assert squares and all("2026-10-19" in orjson.dumps(each["transform"]).decode() for each in squares)


def test_numbers_and_days_are_those_of_the_language() -> None:
    french, english = (specification(ages(each))["config"]["locale"] for each in ("fr", "en"))
    assert (french["number"]["decimal"], french["number"]["thousands"]) == (",", "\u202f")
    assert (english["number"]["decimal"], english["number"]["thousands"]) == (".", ",")
    assert french["number"]["percent"] == "\u202f%" and french["time"]["shortMonths"][8] == "sept."
    assert french["time"]["days"][0] == "dimanche" and english["time"]["days"][0] == "Sunday"


def test_an_axis_that_is_cut_says_so_and_bars_start_from_nothing() -> None:
    assert rates("fr").cut == "50\u202f%" and ages("fr").cut is None
    flat = replace(rates("fr"), cells=[Cell(date(2026, 9, 7), 0.5), Cell(date(2026, 9, 14), 0.5)], series=None)
    assert flat.domain[0] <= 0.5 <= flat.domain[1] and flat.domain[0] < flat.domain[1]
    negative = replace(flat, kind=Kind.NUMBER, cells=[Cell(date(2026, 9, 7), -0.4), Cell(date(2026, 9, 14), 0.5)])
    assert negative.domain[0] <= -0.4 and negative.domain[1] >= 0.5


def test_colours_are_those_of_the_style_sheet() -> None:
    sheet = (FOLDER / "css" / "sillage.css").read_text()
    light = sheet[: sheet.index("@media (prefers-color-scheme: dark)")]
    told = {name: value.lower() for name, value in re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{3,6})\b", light)}
    longer = {
        name: value if len(value) == 7 else "#" + "".join(2 * each for each in value[1:])
        for name, value in told.items()
    }
    assert {name: longer[name] for name in PALETTE} == PALETTE


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_every_series_is_three_times_as_light_or_dark_as_what_it_stands_on(ground: str) -> None:
    sheet = (FOLDER / "css" / "sillage.css").read_text()
    begin, end = ("[data-theme=light]", "@media") if ground == "light" else ("@media (prefers-color-scheme: dark)", "}")
    part = sheet[sheet.index(begin) :]
    part = part[: part.index(end, 40)]
    found = dict(re.findall(r"(--(?:c\d|surface|control)): (#[0-9a-f]{3,6})\b", part))
    for name in ("--c1", "--c2", "--c3", "--c4", "--control"):
        assert contrast(found[name], found["--surface"]) >= 3, (ground, name)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours (WCAG 2.2 1.4.11)."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
        parts = [int(digits[each : each + 2], 16) / 255 for each in (0, 2, 4)]
        linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_series_differ_by_more_than_colour() -> None:
    text = orjson.dumps(specification(rates("fr"))["layer"]).decode()
    assert '"strokeDash"' in text and '"circle","square","triangle-up"' in text
    fills = specification(ages("fr"))["layer"][0]["encoding"]["fill"]["scale"]["range"]
    assert fills[0] == PALETTE["--c1"] and "gradient" in fills[1]["expr"]


def test_more_series_than_can_be_told_apart_are_refused() -> None:
    cells = [Cell("x", 1.0, str(each)) for each in range(MAX_SERIES + 1)]
    with pytest.raises(ValueError, match="4 series"):
        replace(services("fr"), cells=cells, series=Axis("s", "S"))


def test_a_chart_without_figures_is_whole() -> None:
    chart = nothing("fr")
    assert chart.rows() == [] and chart.csv() == b"day,statements,hidden\r\n"
    assert specification(chart)["data"]["values"] == [] and chart.alternative()


def test_what_a_spreadsheet_would_compute_is_a_text() -> None:
    lines = [["=1+1", -0.5], ["@SUM(A1)", None], ["-", 2], ["plain, with comma", 3]]
    assert written_csv(["name", "value"], lines).decode().splitlines() == [
        "name,value",
        "'=1+1,-0.5",
        "'@SUM(A1),",
        "'-,2",
        '"plain, with comma",3',
    ]
    assert b"'=HYPERLINK(1)" in services("fr").csv()


def test_nothing_of_a_chart_is_a_program() -> None:
    # Names are data: none of them is part of an expression, or of an address.
    for declared in ALL:
        document = specification(declared("fr"))

        def expressions(part: object) -> list[str]:
            if isinstance(part, dict):
                own = [str(part["expr"])] if "expr" in part else []
                return own + [found for each in part.values() for found in expressions(each)]
            return [found for each in part for found in expressions(each)] if isinstance(part, list) else []

        assert not [each for each in expressions(document) if "alert" in each]
        assert (
            '"href"' not in orjson.dumps(document).decode() and '"url"' not in orjson.dumps(document["data"]).decode()
        )
    assert HOSTILE in orjson.dumps(specification(services("fr"))["data"]).decode().replace('\\"', '"')


def test_files_are_saved_not_opened() -> None:
    chart = Chart("name", "fr", "T", "N", Form.BARS, Axis("a", "A"), Axis("b", "B"), Kind.COUNT, [Cell("x", 1.0)])
    for answer in (csv_answer("name", chart.csv()), specification_answer(chart)):
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="name.')
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
