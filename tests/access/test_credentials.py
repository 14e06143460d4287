"""Verification from the cache, and what empties it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from types import FrameType
from zoneinfo import ZoneInfo

import pytest

from app.access import scopes
from app.access.authenticators import RequestHead
from app.access.basic import Basic
from app.access.credentials import MAX_KEYS, Access, NewCredential, Sources
from app.access.key_ends import default_last_day, end_of, last_day_of
from app.access.perimeters import Perimeter, Territory
from app.access.principals import Kind, Principal
from app.access.store import SourceRepository
from app.core import clock
from app.core.errors import CredentialsRefused, DatabaseUnavailable, RegisterInvalid
from app.platform.mongo.connection import Store
from tests.sinks import Announcing, Rules, Sink


class Counting(SourceRepository):
    """Counts the look-ups that reach MongoDB."""

    lookups = 0
    lists = 0

    def credentials(self, source: str | None = None):
        self.lists += 1
        return super().credentials(source)

    def issued(self, id: str, digest: bytes):
        self.lookups += 1
        return super().issued(id, digest)


@pytest.fixture
def repository(store: Store) -> Counting:
    return Counting(store)


@pytest.fixture
def log() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def sources(repository: Counting, log: list[tuple[str, str]]) -> Iterator[Sources]:
    yield Sources(
        repository,
        rules=Rules(("p2ia", "pupils"), ("https://e.example/profile",), ("pupils",)),
        audit=Sink(lambda kind, actor, detail: log.append((kind, actor))),
        announcer=Announcing(lambda: log.append(("announced", ""))),
    )


def head(credential: NewCredential) -> RequestHead:
    shown = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    return RequestHead("GET", "/xAPI/statements", {"Authorization": f"Basic {shown}"})


def verify(access: Access, credential: NewCredential) -> Principal | None:
    return Basic(access).authenticate(head(credential))


def test_a_trusted_cache_asks_mongodb_once(sources: Sources, repository: Counting) -> None:
    _, key = sources.add("tutor", name="Tutor", activity="p2ia", actor="t")
    access = Access(repository, lambda: True)
    repository.lookups = 0
    for _ in range(5):
        wanted = Principal(Kind.SOURCE, key.id, frozenset(scopes.SOURCE_DEFAULT), "tutor")
        assert verify(access, key) == wanted
    assert repository.lookups == 1
    access.forget()
    verify(access, key)
    assert repository.lookups == 2


def test_a_process_out_of_touch_asks_each_time_and_hears_of_a_revocation(
    sources: Sources, repository: Counting
) -> None:
    _, key = sources.add("tutor", name="Tutor", activity="p2ia", actor="t")
    access = Access(repository, lambda: False)
    verify(access, key)
    sources.revoke(key.id, actor="t")
    with pytest.raises(CredentialsRefused):
        verify(access, key)


def test_a_wrong_secret_is_refused_from_the_cache_too(sources: Sources, repository: Counting) -> None:
    _, key = sources.add("tutor", name="Tutor", activity="p2ia", actor="t")
    access = Access(repository, lambda: True)
    verify(access, key)
    with pytest.raises(CredentialsRefused):
        verify(access, NewCredential(key.id, key.secret[:-1]))


def work(access: Access, given: NewCredential) -> list[str]:
    """The calls made to refuse a credential, one by one: functions of this application, and what these call."""
    done: list[str] = []
    basic, shown = Basic(access), head(given)

    def note(frame: FrameType, event: str, argument: object) -> None:
        ours = "/app/" in frame.f_code.co_filename
        if ours and event == "call":
            done.append(frame.f_code.co_qualname)
        elif ours and event == "c_call":
            done.append(getattr(argument, "__qualname__", ""))
        elif event == "call" and frame.f_back is not None and "/app/" in frame.f_back.f_code.co_filename:
            done.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        with pytest.raises(CredentialsRefused) as refused:
            basic.authenticate(shown)
    finally:
        sys.setprofile(None)
    return [*done, refused.value.detail]


@pytest.mark.parametrize("trusted", [True, False])
def test_refusing_does_the_same_whether_the_id_exists_or_not(
    sources: Sources, repository: Counting, trusted: bool
) -> None:
    # Counted rather than timed: steps and look-ups, warm and cold, revoked and unknown.
    _, warm = sources.add("tutor", name="Tutor", activity="p2ia", actor="t")
    cold = sources.issue(source=None, label="", scopes=(scopes.RIGHTS,), actor="t")
    revoked = sources.issue(source=None, label="", scopes=(scopes.RIGHTS,), actor="t")
    sources.revoke(revoked.id, actor="t")
    access = Access(repository, lambda: trusted)
    assert verify(access, warm) is not None
    wrong = "x" * len(warm.secret)
    given = {
        "unknown": NewCredential("sk-0000000000000000", wrong),
        "warm": warm._replace(secret=wrong),
        "cold": cold._replace(secret=wrong),
        "revoked, and right": revoked,
        "revoked, and wrong": revoked._replace(secret=wrong),
        "another's secret": cold._replace(secret=warm.secret),
    }
    steps = {}
    for name, one in given.items():
        repository.lookups = 0
        steps[name] = work(access, one)
        assert repository.lookups == 1, name
    assert all(each == steps["unknown"] for each in steps.values()), steps
    # Once each: the digest of what was sent, and its comparison.
    assert sum(step.endswith("sha256") for step in steps["unknown"]) == 1
    assert sum(step.endswith("compare_digest") for step in steps["unknown"]) == 1


def test_every_change_is_audited_and_revocation_announced(sources: Sources, log: list[tuple[str, str]]) -> None:
    _, key = sources.add("tutor", name="Tutor", activity="p2ia", actor="t")
    sources.change("tutor", mode="reject", actor="t")
    sources.revoke(key.id, actor="t")
    assert [kind for kind, _ in log] == [
        "source-added",
        "announced",
        "credential-created",
        "configuration-changed",
        "announced",
        "credential-revoked",
        "announced",
    ]


def test_how_statements_are_held_to_profiles_can_be_said_and_changed(sources: Sources, repository: Counting) -> None:
    made, _ = sources.add("tutor", name="Tutor", activity="p2ia", matching="any", minors="strip", actor="t")
    assert (made.matching, made.patterns, made.minors) == ("any", "job", "strip")
    changed = sources.change("tutor", patterns="live", minors="refuse", actor="t")
    assert (changed.matching, changed.patterns, changed.minors) == ("any", "live", "refuse")
    assert repository.get("tutor") == changed
    for wrong in ({"matching": "some"}, {"patterns": "often"}, {"minors": "hide"}, {"mode": "maybe"}):
        with pytest.raises(RegisterInvalid):
            sources.change("tutor", actor="t", **wrong)
        with pytest.raises(RegisterInvalid):
            sources.add("other", name="Other", activity="p2ia", actor="t", **wrong)


def test_under_an_entry_about_minors_a_source_pseudonymises_by_default(sources: Sources, repository: Counting) -> None:
    # GDPR art. 25(2)
    assert sources.add("tutor", name="Tutor", activity="pupils", actor="t")[0].minors == "pseudonymise"
    assert repository.get("tutor").minors == "pseudonymise"
    assert sources.add("staff", name="Staff", activity="p2ia", actor="t")[0].minors == "off"


@pytest.mark.parametrize("policy", ["off", "refuse", "strip"])
def test_another_policy_there_needs_a_reason_that_is_kept(sources: Sources, repository: Counting, policy: str) -> None:
    with pytest.raises(RegisterInvalid, match="--reason"):
        sources.add("tutor", name="Tutor", activity="pupils", minors=policy, reason="  ", actor="t")
    with pytest.raises(RegisterInvalid, match="500"):
        sources.add("tutor", name="Tutor", activity="pupils", minors=policy, reason="x" * 501, actor="t")
    assert repository.list() == []
    reported: list[dict[str, object]] = []
    sources._audit = Sink(lambda kind, actor, detail: reported.append({"kind": kind, **detail}))
    made, _ = sources.add("tutor", name="Tutor", activity="pupils", minors=policy, reason=" DPIA \n 7 ", actor="t")
    assert (made.minors, made.minors_reason) == (policy, "DPIA 7")
    assert repository.get("tutor").minors_reason == "DPIA 7"
    assert reported[0]["kind"] == "source-added" and reported[0]["minors_reason"] == "DPIA 7"
    # What does not touch the policy asks for nothing; going back to the default takes the reason away.
    assert sources.change("tutor", mode="warn", actor="t").minors_reason == "DPIA 7"
    assert sources.change("tutor", minors="pseudonymise", actor="t").minors_reason == ""
    with pytest.raises(RegisterInvalid, match="--reason"):
        sources.change("tutor", minors=policy, actor="t")
    with pytest.raises(RegisterInvalid, match="--minors"):
        sources.change("tutor", reason="DPIA 7", actor="t")
    assert sources.change("tutor", minors=policy, reason="DPIA 8", actor="t").minors_reason == "DPIA 8"
    assert reported[-1]["kind"] == "configuration-changed" and reported[-1]["minors_reason"] == "DPIA 8"


def test_what_cannot_be_put_on_record_does_not_happen(repository: Counting) -> None:
    def refuse(kind: str, actor: str, detail: object) -> None:
        raise DatabaseUnavailable

    quiet = {"rules": Rules(("p2ia",)), "announcer": Announcing()}
    _, key = Sources(repository, audit=Sink(), **quiet).add("tutor", name="T", activity="p2ia", actor="t")
    silent = Sources(repository, audit=Sink(refuse), **quiet)
    for attempt in (
        lambda: silent.add("other", name="O", activity="p2ia", actor="t"),
        lambda: silent.change("tutor", mode="reject", actor="t"),
        lambda: silent.issue(source="tutor", label="", scopes=scopes.SOURCE_DEFAULT, actor="t"),
        lambda: silent.revoke("tutor", actor="t"),
    ):
        with pytest.raises(DatabaseUnavailable):
            attempt()
    (source,) = repository.list()
    assert (source.id, source.mode) == ("tutor", "observe")
    assert [(one.id, one.revoked) for one in repository.credentials()] == [(key.id, None)]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "Tutor"},
        {"id": ""},
        {"id": "a" * 49},
        {"activity": "none"},
        {"mode": "strict"},
        {"profiles": ["https://e.example/other"]},
        {"scopes": ["everything"]},
        {"scopes": []},
    ],
)
def test_what_the_register_does_not_take(sources: Sources, repository: Counting, change: dict[str, object]) -> None:
    wanted = {"id": "tutor", "name": "Tutor", "activity": "p2ia", "actor": "t", **change}
    with pytest.raises(RegisterInvalid):
        sources.add(wanted.pop("id"), **wanted)
    assert repository.list() == []


def test_the_list_reads_the_keys_of_all_sources_at_once(sources: Sources, repository: Counting) -> None:
    _, first = sources.add("a", name="A", activity="p2ia", actor="t")
    _, other = sources.add("b", name="B", activity="p2ia", actor="t")
    sources.issue(source=None, label="DPO", scopes=["governance/read"], actor="t")
    second = sources.issue(source="a", label="", scopes=scopes.SOURCE_DEFAULT, actor="t")
    repository.lists = 0
    listed = [(source.id, [key.id for key in keys]) for source, keys in sources.list()]
    assert listed == [("a", [first.id, second.id]), ("b", [other.id])]
    assert repository.lists == 1


def test_implied_scopes() -> None:
    # xAPI-Communication 4.2
    assert scopes.closure((scopes.ALL,)) >= set(scopes.XAPI)
    assert scopes.READ_MINE in scopes.closure((scopes.READ,))
    assert scopes.WRITE not in scopes.closure((scopes.ALL_READ,))


# --- ends --------------------------------------------------------------------------------------------

PARIS = ZoneInfo("Europe/Paris")


def test_a_key_is_good_until_its_last_day_and_no_longer_also_from_the_cache(
    repository: Counting, sources: Sources
) -> None:
    today = clock.now().date()
    key = sources.issue(source=None, label="DPO", scopes=["governance/read"], until=today, actor="t")
    assert key.until == today
    now = clock.now()
    access = Access(repository, lambda: True, lambda: now)
    assert verify(access, key) is not None and verify(access, key) is not None
    assert repository.lookups == 1
    now = datetime.combine(today + timedelta(days=1), time(), UTC)
    with pytest.raises(CredentialsRefused, match="ended"):
        verify(access, key)
    now -= timedelta(microseconds=1)
    assert verify(access, key) is not None


def test_people_get_a_school_year_and_sources_no_end(sources: Sources) -> None:
    _, key = sources.add("tutor", name="T", activity="p2ia", actor="t")
    assert key.until is None
    assert sources.issue(source="tutor", label="", scopes=["statements/write"], actor="t").until is None
    until = sources.issue(source=None, label="", scopes=["research/read"], actor="t").until
    assert until == default_last_day(clock.now().date())
    for day, said in ((date(2020, 8, 31), "past"), (date.max, "10 years")):
        with pytest.raises(RegisterInvalid, match=said):
            sources.issue(source=None, label="", scopes=["research/read"], until=day, actor="t")


@pytest.mark.parametrize(
    ("today", "last"),
    [
        (date(2026, 9, 1), date(2027, 8, 31)),
        (date(2027, 5, 31), date(2027, 8, 31)),
        (date(2027, 6, 1), date(2028, 8, 31)),
        (date(2027, 8, 31), date(2028, 8, 31)),
    ],
)
def test_the_school_year_ends_on_31_august_and_never_within_weeks(today: date, last: date) -> None:
    assert default_last_day(today) == last


@pytest.mark.parametrize("last", [date(2027, 8, 31), date(2027, 3, 27), date(2027, 10, 30)])
def test_the_end_is_the_midnight_of_the_organisation(last: date) -> None:
    ends = end_of(last, PARIS)
    assert ends.astimezone(PARIS).replace(tzinfo=None) == datetime.combine(last + timedelta(days=1), time())
    assert last_day_of(ends, PARIS) == last


def test_what_ends_soon_is_listed_the_first_to_end_first_and_what_is_revoked_is_not(sources: Sources) -> None:
    today = clock.now().date()
    days = {
        span: sources.issue(
            source=None, label="", scopes=["research/read"], until=today + timedelta(days=span), actor="t"
        ).id
        for span in (60, 59, 3, 5)
    }
    sources.revoke(days[5], actor="t")
    soon = sources.ending(today + timedelta(days=60))
    assert [each.id for each in soon] == [days[3], days[59]]
    assert sources.last_day(soon[0]) == today + timedelta(days=3)


# --- perimeters --------------------------------------------------------------------------------------

BOUNDED = Perimeter(
    frozenset({"p2ia"}), frozenset({"tutor"}), frozenset({Territory("departement", "038")}), date(2026, 9, 1), None
)


def test_the_perimeter_of_a_key_is_that_of_who_shows_it_and_on_record(repository: Counting) -> None:
    entries: list[tuple[str, object]] = []
    sources = Sources(
        repository,
        rules=Rules(("p2ia",)),
        audit=Sink(lambda kind, actor, detail: entries.append((kind, detail.get("perimeter")))),
        announcer=Announcing(),
    )
    sources.add("tutor", name="T", activity="p2ia", actor="t")
    key = sources.issue(source=None, label="lab", scopes=["research/read"], perimeter=BOUNDED, actor="t")
    assert entries[-1] == ("credential-created", BOUNDED.document())
    access = Access(repository, lambda: True)
    for _ in range(2):  # from MongoDB, and from the cache
        assert access.verify(key.id, key.secret.encode()).perimeter == BOUNDED
    (kept,) = sources.people()
    assert kept.perimeter == BOUNDED
    whole = sources.issue(source=None, label="DPO", scopes=["research/read"], actor="t")
    assert entries[-1] == ("credential-created", None)
    assert access.verify(whole.id, whole.secret.encode()).perimeter.unbounded
    # As keys were kept before they had any.
    repository._credentials.update_one({"_id": whole.id}, {"$unset": {"perimeter": ""}})
    access.forget()
    assert access.verify(whole.id, whole.secret.encode()).perimeter.unbounded


@pytest.mark.parametrize(
    ("changes", "perimeter", "said"),
    [
        ({"source": "tutor"}, BOUNDED, "reads its own"),
        ({"scopes": ["rights", "metrics/read"]}, BOUNDED, "Nothing that these scopes allow"),
        ({}, Perimeter(activities=frozenset({"nowhere"})), "no processing activity nowhere"),
        ({}, Perimeter(sources=frozenset({"nobody"})), "No such source"),
        ({}, Perimeter(territories=frozenset({Territory("departement", "975")})), "no school in departement:975"),
        ({}, Perimeter(since=date(2026, 9, 2), until=date(2026, 9, 1)), "first day"),
    ],
)
def test_a_perimeter_of_what_there_is_not_is_refused(
    sources: Sources, changes: dict[str, object], perimeter: Perimeter, said: str
) -> None:
    sources.add("tutor", name="T", activity="p2ia", actor="t")
    asked = {"source": None, "label": "", "scopes": ["research/read"], "actor": "t", **changes}
    with pytest.raises(RegisterInvalid, match=said):
        sources.issue(perimeter=perimeter, **asked)
    assert not sources.people()


# --- keys that producers replace ---------------------------------------------------------------------


def test_a_key_that_is_replaced_counts_among_those_of_its_source(sources: Sources) -> None:
    _, key = sources.add("tutor", name="T", activity="p2ia", actor="t")
    for _ in range(MAX_KEYS - 1):
        sources.issue(source="tutor", label="", scopes=scopes.SOURCE_DEFAULT, actor="t")
    with pytest.raises(RegisterInvalid, match="at most"):
        sources.rotate(key.id, source="tutor", until=clock.now().date(), actor="t")
    assert len(sources.keys("tutor")) == MAX_KEYS


@pytest.mark.parametrize(
    ("held", "days", "kept"),
    [
        (scopes.SOURCE_DEFAULT, 40, False),
        ((scopes.WRITE,), 40, False),
        ((scopes.WRITE, scopes.READ), 40, True),
        ((scopes.WRITE, scopes.STATE), None, True),
    ],
)
def test_a_key_that_is_replaced_does_no_longer_what_was_given_until_a_day(
    sources: Sources, held: tuple[str, ...], days: int | None, kept: bool
) -> None:
    sources.add("tutor", name="T", activity="p2ia", actor="t")
    today = clock.now().date()
    last = None if days is None else today + timedelta(days=days)
    key = sources.issue(source="tutor", label="", scopes=held, until=last, actor="t")
    made = sources.rotate(key.id, source="tutor", until=today + timedelta(days=3), actor="t")
    assert made.until == (last if kept else None)
    assert {each.id: each.ends for each in sources.keys("tutor")}[made.id] == (
        end_of(last, ZoneInfo("UTC")) if kept and last else None
    )
