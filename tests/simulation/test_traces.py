"""The simulation: reproducible, conforming, plausible, about nobody."""

import itertools
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from app.core import contracts
from app.simulation.traces import simulate
from app.standards.france import ine, mef, uai
from app.standards.profiles import checker, document, patterns, sessions, terms
from app.standards.profiles.extensions import Extensions

MONDAY = date(2026, 9, 7)
PARIS = ZoneInfo("Europe/Paris")


def run(seed=1, pupils=120, days=8, start=MONDAY):
    return list(simulate(seed=seed, pupils=pupils, days=days, start=start))


@pytest.fixture(scope="module")
def traces():
    return run()


def moment(trace):
    return datetime.fromisoformat(trace.statement["timestamp"])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ids(traces):
    again = run()
    assert [orjson.dumps(trace.statement) for trace in again] == [orjson.dumps(trace.statement) for trace in traces]
    other = {trace.statement["id"] for trace in run(seed=2, days=1)}
    assert other.isdisjoint(trace.statement["id"] for trace in traces)


def test_every_statement_conforms_to_exactly_one_template_of_its_profile(traces):
    for source in ("ent", "p2ia"):
        profile = document.load(contracts.folder("profiles", f"{source}.jsonld").read_bytes())
        # Read back from JSON: what is sent is what must conform.
        sent = [orjson.loads(orjson.dumps(trace.statement)) for trace in traces if trace.source == source]
        verdicts = checker.compile([profile]).check_all(sent)
        assert {verdict.outcome for verdict in verdicts} == {checker.Outcome.CONFORMS}
        seen = Counter(result.template for verdict in verdicts for result in verdict.matched)
        assert set(seen) == {template.id for template in profile.templates}
        assert seen.total() == len(sent)


def test_every_session_follows_a_pattern_of_its_profile(traces):
    for source in ("ent", "p2ia"):
        profile = document.load(contracts.folder("profiles", f"{source}.jsonld").read_bytes())
        (follower,) = sessions.compile(profile)
        sent = [orjson.loads(orjson.dumps(trace.statement)) for trace in traces if trace.source == source]
        states = {}
        for statement, verdict in zip(sent, checker.compile([profile]).check_all(sent), strict=True):
            key = sessions.session_of(statement, follower)
            before = states.get(key) or sessions.start(follower)
            states[key] = sessions.advance(follower, before, [result.template for result in verdict.matched])
        stands = Counter(sessions.standing(follower, each)[:2] for each in states.values())
        assert {progress.value for progress, _ in stands} == {"success"}
        assert {pattern for _, pattern in stands} == {pattern.id for pattern in patterns.primaries(profile)}


def test_extensions_stand_at_their_place_and_follow_their_schema(traces):
    names = [contracts.folder("profiles", f"{name}.jsonld") for name in ("ent", "p2ia")]
    extensions = Extensions([document.load(path.read_bytes()) for path in names])
    assert all(extensions.faults(orjson.loads(orjson.dumps(trace.statement))) == () for trace in traces)


def test_ids_are_unique_version_4_uuids_and_times_are_in_order_in_utc(traces):
    ids = [UUID(trace.statement["id"]) for trace in traces]
    assert len(set(ids)) == len(ids)
    assert {(id.version, id.variant) for id in ids} == {(4, "specified in RFC 4122")}
    times = [trace.statement["timestamp"] for trace in traces]
    assert times == sorted(times)
    assert all(text.endswith("Z") for text in times)


def test_days_keep_school_hours_in_paris_across_the_change_of_clocks():
    # Clocks go back on Sunday 25 October 2026.
    busy = run(days=9, start=date(2026, 10, 23))
    local = [moment(trace).astimezone(PARIS) for trace in busy]
    assert {time.weekday() for time in local} == {0, 1, 2, 3, 4, 5}
    assert all(8 <= time.hour < 23 for time in local)
    evening = sum(time.hour >= 18 for time in local)
    assert 0 < evening < len(local) / 3
    saturdays = sum(time.weekday() == 5 for time in local)
    assert saturdays < len(local) / 10
    before = min(time.hour for time in local if time.date() == date(2026, 10, 23))
    after = min(time.hour for time in local if time.date() == date(2026, 10, 26))
    assert before == after == 8


def test_schools_and_levels_are_valid_and_people_are_pseudonyms(traces):
    profiles = set()
    for trace in traces:
        statement = trace.statement
        extensions = statement["context"]["extensions"]
        assert uai.valid(extensions[terms.SCHOOL])
        assert terms.LEVEL not in extensions or mef.level(extensions[terms.LEVEL]) is not None
        profiles.add(extensions[terms.PERSON_PROFILE])
        assert set(statement["actor"]) == {"objectType", "account"}
        assert not list(ine.find(statement))
    assert profiles == {"ELEVE", "ENSEIGNANT", "PARENT", "ADMIN_VIE_SCOL_TECH"}
    assert len({trace.statement["context"]["extensions"].get(terms.TOOL) for trace in traces}) > 5


def test_a_session_has_one_person_and_begins_with_its_opening(traces):
    sessions = defaultdict(list)
    for trace in traces:
        sessions[trace.statement["context"]["registration"]].append(trace)
    for session in sessions.values():
        assert len({orjson.dumps(trace.statement["actor"]) for trace in session}) == 1
        # A learner starts an exercise, a teacher decides on what was recommended.
        openings = (
            (terms.LOGGED_IN,) if session[0].source == "ent" else (terms.ATTEMPTED, terms.ACCEPTED, terms.REFUSED)
        )
        assert session[0].statement["verb"]["id"] in openings
        assert moment(session[-1]) - moment(session[0]) < timedelta(hours=2)


def test_practice_pays():
    """A pupil's later attempts at an exercise score better than the first (compared with themselves:
    between pupils, those who stay at a level are those who find it hard). Chance alone gives 0.02."""
    scores = defaultdict(list)
    for trace in run(pupils=150, days=60):
        statement = trace.statement
        if statement["verb"]["id"] == terms.COMPLETED:
            key = statement["actor"]["account"]["name"], statement["object"]["id"]
            scores[key].append(statement["result"]["score"]["scaled"])
    gains = [each[-1] - each[0] for each in scores.values() if len(each) >= 3]
    assert len(gains) > 300
    assert sum(gains) / len(gains) > 0.05


def test_a_lone_pupil_and_a_sunday_are_no_special_case():
    assert run(pupils=1, days=1, start=date(2026, 9, 6)) == []
    assert {trace.source for trace in run(pupils=1, days=60)} == {"ent", "p2ia"}


def test_statements_have_the_size_of_real_ones(traces):
    sizes = [len(orjson.dumps(trace.statement)) for trace in itertools.islice(traces, 2000)]
    assert 1_000 < sum(sizes) / len(sizes) < 1_400
