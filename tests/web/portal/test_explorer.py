"""The explorer over HTTP: the same cells as the interface gives, within the perimeter, on record, at one address."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import re
from collections.abc import Iterator, Mapping
from datetime import date
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow.parquet as pq
import pytest
import requests
from werkzeug.datastructures import MultiDict

from app.access.perimeters import Territory
from app.access.roles import Role
from app.core.errors import BadParameter
from app.governance.audit.log import Asked
from app.research.definitions import load_all
from app.web.portal.explorer import pages
from app.web.portal.explorer.question import Question, asked
from app.web.portal.explorer.view import LINES
from app.web.portal.signed_pages import own_path
from tests.served import Server, serving
from tests.web.portal.explored import LEVELS, counted, statements
from tests.web.portal.hostile import HOSTILE
from tests.web.portal.signed_in import SignedIn, grant, signed_in

TABLES = load_all()
OUTCOMES = next(each for each in TABLES if each.name == "outcomes")
VIEW = "table=outcomes&measure=success_rate&by=level&from=2026-09-07&to=2026-11-29"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    named = {"service_name": "Académie de Port-Clair"}
    with serving(tmp_path_factory.mktemp("explorer"), mongodb_uri, workers="1", **named) as server:
        counted(server.container, statements(years=2))
        yield server


@pytest.fixture(scope="module")
def researcher(site: Server) -> SignedIn:
    return signed_in(site, Role.RESEARCHER, purpose="research")


def api(site: Server, name: str, **params: str) -> list[Mapping[str, object]]:
    key = site.credential("research/read")
    headers = {"X-Sillage-Purpose": "research"}
    answer = requests.get(
        f"{site.url}/api/v1/aggregates/{name}", params, auth=(key.id, key.secret), headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def test_files_have_the_cells_of_the_interface_and_not_why_one_is_hidden(site: Server, researcher: SignedIn) -> None:
    rows = api(site, "outcomes", by="level", **{"from": "2026-09-07", "to": "2026-11-29"})
    assert any(row["hidden"] for row in rows) and not all(row["hidden"] for row in rows)
    answer = researcher.get(f"/fr/explore/cells.csv?{VIEW}")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="outcomes-2026-09-07-2026-11-29.csv"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    lines = [*csv.DictReader(io.StringIO(answer.text))]
    for line, row in zip(lines, rows, strict=True):
        assert (
            line["week"] == row["week"]
            and line["level"] == row["level"]
            and line["hidden"] == str(int(bool(row["hidden"])))
        )
        assert line["success_rate"] == ("" if row["success_rate"] is None else str(row["success_rate"]))
        assert "reason" not in line and "activity" not in line
    # Whoever has the file can tell whether it is what is cited.
    digest = hashlib.sha256(OUTCOMES.sha256.encode() + answer.content).hexdigest()[:12]
    assert f"Fingerprint {digest}." in researcher.get(f"/en/explore?{VIEW}").text
    table = pq.read_table(io.BytesIO(researcher.get(f"/fr/explore/cells.parquet?{VIEW}").content)).to_pylist()
    expected = [{name: row[name] for name in table[0]} for row in rows]
    assert [{**line, "week": line["week"].isoformat()} for line in table] == expected and "reason" not in table[0]


def test_chart_and_table_show_the_same_cells_and_hidden_ones_as_hidden(site: Server, researcher: SignedIn) -> None:
    rows = api(site, "outcomes", by="level", **{"from": "2026-09-07", "to": "2026-11-29"})
    text = html.unescape(researcher.get(f"/en/explore?{VIEW}").text)
    specification = researcher.get(f"/en/explore/chart.vl.json?{VIEW}").json()
    drawn = {(each["place"], each["series"]): each for each in specification["data"]["values"]}
    for row in rows:
        found = drawn[str(row["week"]), str(row["level"])]
        assert found["value"] == row["success_rate"]
        assert (found["state"] == "hidden, small group") == row["hidden"]
    # In a week in which nobody worked nothing is known, and no line is drawn across.
    assert drawn["2026-11-09", "1001000C11"]["state"] == "no data"
    assert text.count('class="void"') == sum(bool(row["hidden"]) for row in rows)
    assert f"{len(rows)} lines, {sum(bool(row['hidden']) for row in rows)} of them hidden" in text
    assert "secondary" not in text and "small-group" not in text


def test_a_reading_is_on_record_with_its_purpose_and_without_the_values_of_filters(
    site: Server, researcher: SignedIn
) -> None:
    query = urlencode({"table": "daily_activity", "service": HOSTILE, "from": "2026-09-07", "to": "2026-09-13"})
    assert researcher.get(f"/fr/explore?{query}").status_code == 200
    asked_for = Asked(kinds=("aggregate-read",), actor=researcher.user.id)
    last = site.container.governance.audit.search(asked_for, None, 1).entries[0]
    assert last.detail["aggregate"] == "daily_activity@2" and last.detail["purpose"] == "research"
    assert last.detail["filtered"] == ["service"] and HOSTILE not in str(last.detail)


def test_what_sources_wrote_is_shown_as_it_is_written_and_can_be_filtered_by(researcher: SignedIn) -> None:
    days = {"table": "daily_activity", "from": "2026-09-07", "to": "2026-09-13"}
    text = researcher.get(f"/fr/explore?{urlencode({**days, 'by': 'service'})}").text
    assert "<script>alert" not in text and "&lt;script&gt;alert(&#39;x&#39;)" in text and ">49<" not in text
    only = researcher.get(f"/fr/explore/cells.csv?{urlencode({**days, 'service': HOSTILE})}").text
    assert {line["service"] for line in csv.DictReader(io.StringIO(only))} == {HOSTILE}


def test_an_address_shows_one_view_in_both_languages_and_names_nothing_but_codes(researcher: SignedIn) -> None:
    text = researcher.get(f"/fr/explore?{VIEW}&compare=whole").text
    found = re.search(r'id="address" type="text" readonly value="([^"]+)"', text)
    assert found is not None
    address = html.unescape(found[1])
    assert address.endswith(f"/fr/explore?{VIEW}&compare=whole")
    assert f'/en/explore?{VIEW.replace("&", "&amp;")}&amp;compare=whole" lang="en"' in text
    # Without a period it is the latest, and the link says which it was.
    text = html.unescape(researcher.get("/fr/explore?table=outcomes").text)
    assert "/fr/explore?table=outcomes&measure=attempts&from=2026-06-01&to=2026-11-30" in text


@pytest.mark.parametrize(
    "query",
    ["table=none", "measure=none", "by=none", "table=outcomes&by=service", "from=yesterday", "compare=me",
     "page=0", "page=x", "to=0001-01-01", "from=9999-12-31&compare=year", "name=Camille",
     "from=2026-09-01&from=2026-09-02", f"level={'x' * 3000}&table=outcomes"],
)  # fmt: skip
def test_what_is_no_code_is_refused(researcher: SignedIn, query: str) -> None:
    answer = researcher.get(f"/en/explore?{query}")
    assert answer.status_code == 400 and "Camille" not in answer.text.replace("Camille Exemple", "")


def test_days_the_wrong_way_round_are_told_beside_them(researcher: SignedIn) -> None:
    answer = researcher.get("/en/explore?table=outcomes&from=2026-11-01&to=2026-09-07")
    assert answer.status_code == 422 and 'id="disordered"' in answer.text and 'value="2026-11-01"' in answer.text
    assert "<figure" not in answer.text and "script-src" not in answer.headers["Content-Security-Policy"]
    # No question was read: no value of a dimension is told either.
    assert not any(level in answer.text for level in LEVELS)


def test_scripts_are_allowed_on_the_page_with_the_chart_alone(researcher: SignedIn) -> None:
    policy = researcher.get(f"/en/explore?{VIEW}").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "unsafe" not in policy
    for path in ("/en/account", f"/en/explore/cells.csv?{VIEW}", f"/en/explore/chart.vl.json?{VIEW}"):
        assert "script-src" not in researcher.get(path).headers["Content-Security-Policy"]


def test_a_year_before_is_set_beside_the_same_weekdays(site: Server, researcher: SignedIn) -> None:
    drawn = researcher.get(f"/en/explore/chart.vl.json?{VIEW}&compare=year").json()["data"]["values"]
    earlier = api(site, "outcomes", by="level", **{"from": "2025-09-08", "to": "2025-11-30"})
    known = {(row["week"], row["level"]): row["success_rate"] for row in earlier}
    beside = {(each["place"], each["series"]): each["value"] for each in drawn}
    # Four series can be told apart: two levels, each with its year before.
    names = {each["series"] for each in drawn}
    assert len(names) == 4
    level = next(name for name in names if f"{name}, a year before" in names)
    assert beside["2026-09-14", f"{level}, a year before"] == known["2025-09-15", level] is not None
    text = researcher.get(f"/en/explore?{VIEW}&compare=year").text
    assert "The 2 largest of 3 series are drawn; the table has all of them." in text


def test_all_values_together_are_those_that_the_interface_gives_for_them(site: Server, researcher: SignedIn) -> None:
    drawn = researcher.get(f"/en/explore/chart.vl.json?{VIEW}&compare=whole").json()["data"]["values"]
    whole = {row["week"]: row["success_rate"] for row in api(site, "outcomes", by="")}
    shown = [each for each in drawn if each["series"] == "All together" and each["value"] is not None]
    assert shown and all(each["value"] == whole[each["place"]] for each in shown)


def test_one_period_is_drawn_as_bars_by_name(researcher: SignedIn) -> None:
    query = "table=outcomes&measure=attempts&by=level&from=2026-09-07&to=2026-09-07"
    specification = researcher.get(f"/en/explore/chart.vl.json?{query}").json()
    assert [each["mark"]["type"] for each in specification["layer"]] == ["bar"]
    assert sorted(each["place"] for each in specification["data"]["values"]) == sorted(LEVELS)


def test_a_long_table_has_pages(site: Server, researcher: SignedIn) -> None:
    query = "table=daily_activity&by=level&by=service&from=2025-09-01&to=2026-11-30"
    first = html.unescape(researcher.get(f"/en/explore?{query}").text)
    lines = int(re.search(r"<small>([\d,]+) lines", first)[1])  # type: ignore[index]
    assert lines > LINES and "Earlier" in first and "Later</a>" not in first
    second = html.unescape(researcher.get(f"/en/explore?{query}&page=2").text)
    assert "Later</a>" in second
    days = re.findall(r'scope="row(?:group)?"[^>]*>(\d+ \w+ \d{4})</th>', first)
    assert days and len(days) < len({row["day"] for row in api(site, "daily_activity", by="level")})


def test_whoever_has_not_said_what_for_is_asked_and_led_back_to_the_view(site: Server) -> None:
    somebody = signed_in(site, Role.STATISTICIAN, purpose=None)
    text = somebody.get(f"/en/explore?{VIEW}").text
    assert "What do you read these data for?" in text and "<figure" not in text
    back = html.unescape(re.search(r'name="back" value="([^"]+)"', text)[1])  # type: ignore[index]
    answer = somebody.post("/en/my/purpose", {"purpose": "research", "back": back})
    assert answer.headers["Location"] == f"/en/explore?{VIEW}"
    assert "<figure" in somebody.get(answer.headers["Location"]).text


def test_whoever_is_not_signed_in_is_led_back_to_the_view(site: Server) -> None:
    answer = requests.get(f"{site.url}/en/explore?{VIEW}", timeout=30, allow_redirects=False)
    assert answer.headers["Location"] == f"/en/sign-in?next={quote(f'/en/explore?{VIEW}', safe='/')}"
    form = requests.get(f"{site.url}{answer.headers['Location']}", timeout=30).text
    assert f'value="{html.escape(f"/en/explore?{VIEW}")}"' in form


@pytest.mark.parametrize(
    ("path", "safe"),
    [(f"/fr/explore?{VIEW}", True), ("/fr/explore?level=%2A&by=a&by=b", True), ("/fr/explore?a=//evil.example", True),
     ("/fr/explore?a=<b>", False), ("/fr/explore?a=b\r\nX: y", False), ("/fr/explore?a=b#c", False),
     ("//evil.example?x=/fr/", False), ("/fr/explore?" + "a" * 3000, False), ("/fr/explore?a=\\b", False)],
)  # fmt: skip
def test_a_query_that_is_led_back_to_is_plain(path: str, safe: bool) -> None:
    assert (own_path(path) == path) is safe


def test_a_perimeter_bounds_what_is_seen_and_what_lies_outside_is_refused_and_on_record(site: Server) -> None:
    bounds = {"sources": frozenset({"p2ia"}), "since": date(2026, 9, 21), "until": date(2026, 10, 11)}
    somebody = signed_in(site, grant(Role.RESEARCHER, **bounds), purpose="research")
    text = somebody.get("/en/explore").text
    # Only what is told by source can be told within bounds of sources.
    assert re.findall(r'<option value="(\w+)"[^>]*>(?:Daily|Use|Learning)', text) == ["daily_activity"]
    lines = [*csv.DictReader(io.StringIO(somebody.get("/en/explore/cells.csv").text))]
    assert lines and {line["source"] for line in lines} == {"p2ia"}
    assert min(line["day"] for line in lines) >= "2026-09-21" and max(line["day"] for line in lines) <= "2026-10-11"
    refused = somebody.get("/en/explore?table=daily_activity&source=another")
    assert refused.status_code == 403 and "outside-perimeter" in refused.text
    asked_for = Asked(kinds=("outside-perimeter",), actor=somebody.user.id)
    assert site.container.governance.audit.search(asked_for, None, 1).entries[0].detail["asked"] == "source"
    nowhere = signed_in(site, grant(Role.RESEARCHER, territories=frozenset({Territory("departement", "99")})))
    assert nowhere.get("/en/explore").status_code == 403


def test_an_empty_store_says_so(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> None:
    with serving(tmp_path_factory.mktemp("empty"), mongodb_uri, workers="1") as server:
        somebody = signed_in(server, Role.RESEARCHER, purpose="research")
        answer = somebody.get("/en/explore")
        assert answer.status_code == 200 and "There is no figure to draw yet." in answer.text
        assert "not counted yet" in answer.text
        assert somebody.get("/en/explore/cells.csv").text == "day,statements,persons,learners,sessions,hidden\r\n"
        assert pq.read_table(io.BytesIO(somebody.get("/en/explore/cells.parquet").content)).num_rows == 0


def test_a_question_is_read_from_codes_and_written_the_same() -> None:
    args = MultiDict(
        [("table", "outcomes"), ("measure", "attempts"), ("by", "profile"), ("by", "level"), ("level", "")]
    )
    question = asked(args, TABLES)
    assert question.by == ("level", "profile") and question.where == (("level", ""),)
    assert asked(MultiDict([*args.items(multi=True)]), TABLES).address() == question.address()
    assert asked(MultiDict({"table": "outcomes", "level": "*"}), TABLES).where == ()
    with pytest.raises(BadParameter):
        asked(MultiDict({"table": "outcomes", "x": "1"}), TABLES)


@pytest.mark.parametrize(
    ("period", "day", "earlier"),
    [("week", date(2026, 9, 7), date(2025, 9, 8)), ("day", date(2026, 9, 7), date(2025, 9, 8)),
     ("month", date(2026, 9, 1), date(2025, 9, 1)), ("month", date(2028, 2, 29), date(2027, 2, 28))],
)  # fmt: skip
def test_a_year_before_has_the_same_weekday_or_the_same_month(period: str, day: date, earlier: date) -> None:
    definition = next(each for each in TABLES if each.period == period)
    assert Question(definition, definition.measures[0]).before(day) == earlier


def test_a_file_of_too_many_cells_is_refused_before_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_ROWS", 5)
    read = []

    def answers() -> Iterator[Any]:
        for number in range(9):
            read.append(number)
            yield SimpleNamespace(rows=[{}, {}])

    with pytest.raises(BadParameter, match="more than 5 cells"):
        [*pages._bounded(answers())]
    assert read == [0, 1, 2]
