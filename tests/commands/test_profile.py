"""``sillage profile``, on the real service and a real database."""

import shlex
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest
from click.testing import CliRunner

from app.access.store import Source
from app.commands.profile import profile
from app.core import contracts
from app.core.errors import FileRefused, LeaseHeld, NotFound, ProfileInvalid
from app.standards.profiles import terms
from app.traces.conformance.profile_store import ProfileRepository
from app.traces.conformance.session_store import Fault, SessionRepository, SessionRow
from app.traces.conformance.verdicts import ConformanceService
from app.wiring.container import Container
from tests.sinks import Announcing, Sink


@pytest.fixture
def repository(store):
    return ProfileRepository(store)


@pytest.fixture
def run(repository, store):
    audited = []
    traces = SimpleNamespace(
        profiles=ConformanceService(repository, Sink(lambda *entry: audited.append(entry)), Announcing(), None, None),
        sessions=SimpleNamespace(standings=SessionRepository(store).standings, breaks=SessionRepository(store).breaks),
    )
    container = SimpleNamespace(traces=traces)

    def invoke(*arguments):
        return CliRunner().invoke(profile, arguments, obj=container, catch_exceptions=False)

    invoke.audited = audited
    return invoke


def test_a_profile_added_is_listed_and_audited(run):
    done = run("add", str(contracts.folder("profiles", "ent.jsonld")))
    assert done.output.startswith(f"{terms.ENT_PROFILE}: version {terms.ENT_VERSION}, ")
    assert "lint" not in done.output
    listed = run("list").output
    assert terms.ENT_PROFILE in listed
    assert "Digital workspace (ENT)" in listed
    assert [entry[0] for entry in run.audited] == ["profile-added"]


def test_a_file_that_is_absent_or_no_profile_is_refused(run, tmp_path):
    with pytest.raises(FileRefused, match="cannot be read"):
        run("add", str(tmp_path / "absent"))
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(ProfileInvalid, match="not JSON-LD"):
        run("add", str(tmp_path / "page.html"))
    assert terms.ENT_PROFILE not in run("list").output


def test_the_linter_says_where_what_and_what_to_do(run, tmp_path):
    raw = orjson.loads(contracts.folder("profiles", "ent.jsonld").read_bytes())
    assert run("lint", str(contracts.folder("profiles", "ent.jsonld"))).output == "Nothing found.\n"
    raw["templates"][0]["rules"][0]["location"] = "$.context.contextActivities.grouping.id"
    raw["patterns"] = []
    (tmp_path / "mine.jsonld").write_bytes(orjson.dumps(raw))
    reported = run("lint", str(tmp_path / "mine.jsonld"))
    assert reported.exit_code == 0
    assert "warning /templates/0/rules/0/location" in reported.output
    assert "Write [*] before it" in reported.output
    assert run("lint", str(tmp_path / "mine.jsonld"), "--strict").exit_code == 1
    findings = orjson.loads(run("lint", str(tmp_path / "mine.jsonld"), "--json").output)
    assert {finding["severity"] for finding in findings} == {"warning"}
    assert findings[0]["rule"] == "empty-value"


def test_what_the_linter_calls_an_error_is_not_added(run, tmp_path):
    raw = orjson.loads(contracts.folder("profiles", "ent.jsonld").read_bytes())
    raw["templates"][0]["verb"] = ""
    (tmp_path / "mine.jsonld").write_bytes(orjson.dumps(raw))
    reported = run("lint", str(tmp_path / "mine.jsonld"))
    assert (reported.exit_code, reported.output.splitlines()[-1]) == (1, "1 error, 1 warning")
    assert "error /templates/0/verb" in reported.output
    with pytest.raises(ProfileInvalid, match="/templates/0/verb"):
        run("add", str(tmp_path / "mine.jsonld"))
    # Named, when it is given beside another.
    with pytest.raises(ProfileInvalid, match=r"mine\.jsonld: "):
        run("lint", str(contracts.folder("profiles", "ent.jsonld")), "--with", str(tmp_path / "mine.jsonld"))


def test_what_is_counted_when_a_profile_is_added_is_what_the_linter_shows(run, tmp_path):
    text = contracts.folder("profiles", "ent.jsonld").read_text()
    theirs = orjson.loads(text.replace("w3id.org/sillage", "example.org/theirs"))
    theirs["seeAlso"] = ""
    theirs["versions"][0]["id"] = theirs["id"]
    mine = orjson.loads(text.replace("w3id.org/sillage", "example.org/my own"))
    # One in a profile that is loaded, one in one of the project's own, one nowhere.
    members = [theirs["templates"][0]["id"], orjson.loads(text)["templates"][0]["id"], "https://example.org/nowhere"]
    mine["id"] = mine["versions"][0]["id"] = "https://example.org/mine"
    mine["patterns"] = [
        {"id": f"https://example.org/{at}", "type": "Pattern", "inScheme": mine["id"], "zeroOrMore": member}
        for at, member in enumerate(members)
    ]
    mine["templates"] = []
    mine["concepts"] = []
    for name, raw in (("theirs", theirs), ("my own", mine)):
        (tmp_path / f"{name}.jsonld").write_bytes(orjson.dumps(raw))
        added = run("add", str(tmp_path / f"{name}.jsonld")).output.splitlines()[-1]
        counted, _, command = added.partition(": `sillage profile ")
        # The command that it names, as it would be typed.
        assert command.endswith("` shows them.")
        shown = run(*shlex.split(command.removesuffix("` shows them.")))
        assert (shown.exit_code, shown.output.splitlines()[-1]) == (0, counted)
        assert counted.startswith("0 errors, ") and not counted.endswith(" 0 warnings")
    assert shown.output.count("pattern-reference-broken") == 1
    # One with warnings is looked into like any other.
    path = str(tmp_path / "my own.jsonld")
    assert "/patterns/0/zeroOrMore" not in run("lint", path, "--with", str(tmp_path / "theirs.jsonld")).output
    assert "/patterns/0/zeroOrMore" in run("lint", path).output


def test_references_are_looked_up_in_the_profiles_given_and_in_those_loaded(run, tmp_path):
    text = contracts.folder("profiles", "ent.jsonld").read_text()
    other = text.replace("w3id.org/sillage", "example.org/theirs")
    (tmp_path / "theirs.jsonld").write_text(other)
    mine = orjson.loads(text.replace("w3id.org/sillage", "example.org/mine"))
    template = orjson.loads(other)["templates"][0]["id"]
    pattern = {"id": "https://example.org/mine/x", "type": "Pattern", "inScheme": mine["versions"][0]["id"]}
    mine["patterns"] = [
        {**pattern, "primary": True, "prefLabel": {"en": "x"}, "definition": {"en": "x"}, "zeroOrMore": template}
    ]
    (tmp_path / "mine.jsonld").write_bytes(orjson.dumps(mine))
    path = str(tmp_path / "mine.jsonld")
    assert "pattern-reference-broken" in run("lint", path).output
    assert "pattern-reference-broken" not in run("lint", path, "--with", str(tmp_path / "theirs.jsonld")).output
    run("add", str(tmp_path / "theirs.jsonld"))
    assert "pattern-reference-broken" not in run("lint", path, "--loaded").output


def test_a_profile_whose_patterns_need_another_one_is_told_so(run, tmp_path):
    text = contracts.folder("profiles", "ent.jsonld").read_text()
    theirs, mine = (
        orjson.loads(text.replace("w3id.org/sillage", f"example.org/{name}")) for name in ("theirs", "mine")
    )
    template = theirs["templates"][0]["id"]
    session = next(each for each in mine["patterns"] if each.get("primary"))
    mine["patterns"] = [{key: session[key] for key in ("id", "type", "primary", "inScheme", "prefLabel", "definition")}]
    mine["patterns"][0]["zeroOrMore"] = template
    for name, raw in (("theirs", theirs), ("mine", mine)):
        (tmp_path / f"{name}.jsonld").write_bytes(orjson.dumps(raw))
    assert f"once: {template}." in run("add", str(tmp_path / "mine.jsonld")).output
    assert "not followed" not in run("add", str(tmp_path / "theirs.jsonld")).output
    assert "not followed" not in run("add", str(tmp_path / "mine.jsonld")).output


def test_the_report_counts_by_source_and_template(run, repository):
    template = f"{terms.ENT_VERSION}/templates/connection"
    day = "2026-09-07"
    repository.add_counts(
        Counter(
            {("one", day, "", "conforms"): 1200, ("one", day, template, "conforms"): 1200, ("two", day, "", "fails"): 3}
        )
    )
    lines = [line.split() for line in run("report").output.splitlines()]
    assert ["one", template, "conforms", "1,200"] in lines
    assert ["two", "(whole", "statements)", "fails", "3"] in lines
    assert "two" not in run("report", "--source", "one").output


def test_the_report_counts_sessions_and_shows_where_they_went_wrong(run, store):
    fault = Fault(2, ("urn:answered", "urn:hinted"), ())
    rows = [
        SessionRow(bytes([at]) * 16, "one", at > 1, "urn:p", "urn:session", outcome, broken, b"s" * 16, 1, 0, b"")
        for at, (outcome, broken) in enumerate([("success", None), ("failure", fault), ("failure", fault)])
    ]
    SessionRepository(store).put(rows, b"12345678")
    lines = [line.split() for line in run("report").output.splitlines()]
    assert ["one", "urn:session", "timestamp", "success", "1"] in lines
    assert ["one", "urn:session", "receipt", "failure", "1"] in lines
    # One template a line.
    for order in ("timestamp", "receipt"):
        at = lines.index(["one", order, "urn:answered", "no", "template", "1"])
        assert lines[at + 1] == ["urn:hinted"]


def test_stored_sessions_are_followed_by_hand(settings, store):
    container = Container(replace(settings, organisation=store.db.name.removeprefix("sillage_")))
    container.lifecycle.initialise()
    with pytest.raises(NotFound):
        CliRunner().invoke(profile, ["follow", "--source", "nobody"], obj=container, catch_exceptions=False)
    container.access.sources_repository.add(Source("one", "One", "p2ia", (), "observe", datetime.now(UTC)))
    done = CliRunner().invoke(profile, ["follow", "--again"], obj=container, catch_exceptions=False)
    assert done.output == "0 statements, 0 sessions, 0 put in order anew\n"
    # Beside the job each would pass over what the other holds.
    with container.platform.leadership.require(), pytest.raises(LeaseHeld):
        CliRunner().invoke(profile, ["follow"], obj=container, catch_exceptions=False)
    container.close()
