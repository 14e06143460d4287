"""``sillage profile check``: a file judged, nothing stored, no store needed."""

import gzip
import json
from types import SimpleNamespace

import orjson
import pytest
from click.testing import CliRunner

from app.commands.profile import profile
from app.core.errors import FileRefused, NotFound
from app.settings import load
from app.standards.profiles import document, terms
from tests.places import ROOT

EXAMPLES = ROOT / "tests" / "standards" / "profiles" / "examples"
VALID = {path.stem: json.loads(path.read_text())["valid"][0] for path in EXAMPLES.glob("*.json")}
P2IA = ("attempted", "answered", "completed")


def run(*arguments, loaded=(), environ=None):
    # The store is asked only for a profile that is not at hand.
    traces = SimpleNamespace(profiles=SimpleNamespace(list=lambda: loaded))
    container = SimpleNamespace(traces=traces, settings=load(environ or {}))
    return CliRunner().invoke(profile, ["check", *map(str, arguments)], obj=container, catch_exceptions=False)


def report(*arguments, **options):
    return orjson.loads(run(*arguments, "--json", **options).stdout)


@pytest.fixture
def lines(tmp_path):
    def write(*statements, name="traces.jsonl"):
        path = tmp_path / name
        path.write_bytes(b"\n".join(each if type(each) is bytes else orjson.dumps(each) for each in statements))
        return path

    return write


def of(*names):
    return [{**VALID[f"p2ia-{name}"], "timestamp": f"2026-09-07T08:15:{at:02}Z"} for at, name in enumerate(names)]


def test_a_file_that_conforms_ends_well(lines):
    done = run(lines(*of(*P2IA)), "--profile", "p2ia")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["conforms", "3"] in rows
    assert any(row[0].endswith("/answered") and row[1:] == ["1", "0"] for row in rows if row)
    assert any(row[:2] == [row[0], "success"] and row[-1] == "1" for row in rows if row)


def test_each_kind_of_verdict_is_counted_with_the_faults_and_where_they_are_first(lines):
    failing = {**VALID["p2ia-answered"], "result": {}}
    unmatched = {**VALID["p2ia-answered"], "verb": {"id": "https://other.example/verb"}}
    named = {
        **unmatched,
        "actor": {"name": "Camille", "mbox": "mailto:c@ent.example"},
        "result": {"response": "123456789AB"},
    }
    path = lines(*of(*P2IA), failing, failing, unmatched, named, b"{", {"verb": 3}, b"", b'{"a":1,"a":2}')
    done = run(path, "--profile", "p2ia", "--json")
    assert done.exit_code == 1
    reported = orjson.loads(done.stdout)
    assert reported["verdicts"] == {"conforms": 3, "fails": 2, "unmatched": 2, "invalid": 3}
    assert reported["people"] == {"name": 1, "email": 1, "ine": 1}
    faults = {(each["rule"], each["pointer"]): (each["count"], each["first"]) for each in reported["faults"]}
    assert faults["template-included", "/result/success"] == (2, 4)
    assert faults["minors-ine", "/result/response"] == (1, 7)
    assert [each["first"] for each in reported["faults"] if each["rule"] == "duplicate-key"] == [11]
    assert "Camille" not in done.stdout and "123456789AB" not in done.stdout


def test_gzip_and_arrays_are_read_and_an_empty_file_is_no_fault(lines, tmp_path):
    statements = of(*P2IA)
    packed = tmp_path / "traces.jsonl.gz"
    packed.write_bytes(gzip.compress(lines(*statements).read_bytes()))
    array = tmp_path / "traces.json"
    array.write_bytes(orjson.dumps(statements))
    empty = lines(name="empty.jsonl")
    reports = [report(path, "--profile", "p2ia") for path in (packed, array, lines(*statements))]
    assert reports[0] == reports[1] == reports[2]
    assert report(empty, "--profile", "p2ia")["statements"] == 0


def test_files_as_editors_write_them_are_read(lines, tmp_path):
    (statement,) = of("answered")
    for text in (
        b"\xef\xbb\xbf" + orjson.dumps(statement),
        b"\xef\xbb\xbf\n [" + orjson.dumps(statement) + b"]",
        orjson.dumps(statement, option=orjson.OPT_INDENT_2),
    ):
        (tmp_path / "traces.json").write_bytes(text)
        assert report(tmp_path / "traces.json", "--profile", "p2ia")["verdicts"] == {"conforms": 1}


def test_an_array_too_long_to_be_read_at_once_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("app.standards.xapi.decode.MAX_VALUES", 100)
    (tmp_path / "traces.json").write_bytes(orjson.dumps(of(*P2IA) * 10))
    with pytest.raises(FileRefused, match="one statement a line"):
        run(tmp_path / "traces.json", "--profile", "p2ia")


def test_a_statement_is_held_to_the_setting_of_the_store(tmp_path):
    long = {**of("answered")[0], "result": {"response": "x" * 1_100_000}}
    (tmp_path / "one.jsonl").write_bytes(orjson.dumps(long))
    (tmp_path / "array.json").write_bytes(orjson.dumps([long]))
    for name in ("one.jsonl", "array.json"):
        reported = report(tmp_path / name, "--profile", "p2ia")
        assert [each["rule"] for each in reported["faults"]] == ["statement-size"]
    environ = {"SILLAGE_MAX_STATEMENT_BYTES": "1200000"}
    assert "invalid" not in report(tmp_path / "one.jsonl", "--profile", "p2ia", environ=environ)["verdicts"]


def test_mef_codes_are_held_to_the_nomenclatures_given(lines, tmp_path):
    (statement,) = orjson.loads(orjson.dumps(of("answered")))
    statement["context"]["extensions"][terms.LEVEL] = "1001001211"
    head = "MEF,LIBELLE_LONG,DATE_OUVERTURE,DATE_FERMETURE\n"
    (tmp_path / "mef-2026-2027.csv").write_text(head + "1001001211,SIXIEME,1/9/97,31/8/26\n")
    (tmp_path / "other.csv").write_text(head)
    arguments = (lines(statement), "--profile", "p2ia")
    assert report(*arguments)["schools"] == 0
    reported = report(*arguments, "--nomenclature", tmp_path / "mef-2026-2027.csv")
    assert (reported["schools"], [each["rule"] for each in reported["faults"]]) == (1, ["mef-closed"])
    assert "school year" in run(*arguments, "--nomenclature", tmp_path / "other.csv").output


def test_a_statement_without_registration_is_told_that_it_is_in_no_session(lines):
    (statement,) = orjson.loads(orjson.dumps(of("answered")))
    del statement["context"]["registration"]
    faults = [each["rule"] for each in report(lines(statement), "--profile", "p2ia")["faults"]]
    assert "session-registration" in faults


def test_sessions_are_followed_in_order_of_timestamps(lines):
    late = of("attempted", "answered", "completed")[::-1]
    cut = [{**each, "context": {**each["context"], "registration": "00000000-0000-4000-8000-000000000001"}} for each in
           of("completed")]  # fmt: skip
    reported = report(lines(*late, *cut), "--profile", "p2ia")["sessions"]
    assert {(each["outcome"], each["sessions"]) for each in reported} == {("success", 1), ("failure", 1)}
    failed = next(each for each in reported if each["outcome"] == "failure")
    assert [each.rpartition("/")[2] for each in failed["found"]] == ["completed"]


def test_several_profiles_and_both_modes(lines, tmp_path):
    raw = orjson.loads((ROOT / "schemas/profiles/ent.jsonld").read_bytes())
    raw = orjson.loads(orjson.dumps(raw).replace(b"w3id.org/sillage/profiles/ent", b"example.org/mine"))
    (tmp_path / "mine.jsonld").write_bytes(orjson.dumps(raw))
    path = lines(VALID["ent-connection"])
    both = ("--profile", "ent", "--profile", tmp_path / "mine.jsonld")
    # The same templates under another name, which want another category.
    assert report(path, *both)["verdicts"] == {"fails": 1}
    assert report(path, *both, "--mode", "any")["verdicts"] == {"conforms": 1}
    mine = document.load(orjson.dumps(raw))
    assert report(path, "--profile", mine.id, loaded=(mine,))["verdicts"] == {"fails": 1}


def test_what_cannot_be_read_is_refused(lines, tmp_path):
    with pytest.raises(FileRefused, match="cannot be read"):
        run(tmp_path / "absent", "--profile", "ent")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(lines(*of(*P2IA)).read_bytes())[:60])
    damaged = bytearray(gzip.compress(lines(*of(*P2IA)).read_bytes()))
    damaged[20:40] = b"\xff" * 20
    (tmp_path / "damaged.gz").write_bytes(damaged)
    for name in ("cut.gz", "damaged.gz"):
        with pytest.raises(FileRefused, match="gzip"):
            run(tmp_path / name, "--profile", "ent")
    with pytest.raises(NotFound):
        run(lines(), "--profile", "https://example.org/unknown")


def test_the_verdicts_on_real_video_statements_in_both_modes(shared):
    folder = shared / "data"
    for mode, verdicts in (
        ("every", {"conforms": 17_764, "fails": 4_182, "unmatched": 54}),
        # Three templates for one verb and type: one is followed, which is enough.
        ("any", {"conforms": 21_310, "fails": 636, "unmatched": 54}),
    ):
        video = folder / "profiles" / "video-1.0.3.jsonld"
        reported = report(folder / "fun-video-statements.jsonl.gz", "--profile", video, "--mode", mode)
        assert reported["verdicts"] == verdicts
        assert reported["people"] == {"name": 0, "email": 0, "ine": 0}
