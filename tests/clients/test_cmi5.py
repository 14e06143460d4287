"""cmi5 sessions: what a learning management system (LMS) and the units that it launches (AU) ask of a record store.

The sections are those of the cmi5 specification ("Quartz"). The two have credentials of their own; cmi5 is spoken in
xAPI 1.0.3, and the same statements are sound in 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, serving

ADL = "http://adlnet.gov/expapi/verbs/"
W3ID = "https://w3id.org/xapi/adl/verbs/"
VERBS = {
    # cmi5 9.3
    **{name: ADL + name for name in ("launched", "initialized", "completed", "passed", "failed", "terminated")},
    **{name: W3ID + name for name in ("abandoned", "waived", "satisfied")},
}
CMI5 = {"id": "https://w3id.org/xapi/cmi5/context/categories/cmi5"}
MOVE_ON = {"id": "https://w3id.org/xapi/cmi5/context/categories/moveon"}
CONTEXT = "https://w3id.org/xapi/cmi5/context/extensions/"
RESULT = "https://w3id.org/xapi/cmi5/result/extensions/"
LAUNCH_DATA = "LMS.LaunchData"
PREFERENCES = "cmi5LearnerPreferences"
PUBLISHER = "https://publisher.example"
STATE, AGENT_PROFILE = "/xAPI/activities/state", "/xAPI/agents/profile"


class Registration:
    """A learner enrolled in a course of one unit, and the two programs that speak of it."""

    def __init__(self, server: Server, version: str, endpoint: str) -> None:
        self.server = server
        self.version = version
        self.endpoint = endpoint
        self.lms = server.source(scopes=[scopes.ALL])
        self.au = server.source(scopes=[scopes.WRITE, scopes.READ_MINE, scopes.STATE, scopes.PROFILE])
        self.id = str(uuid4())
        # cmi5 9.2: the actor has an account, and no other identifier.
        self.actor = {
            "objectType": "Agent",
            "name": "Élève",
            "account": {"homePage": "https://lms.example", "name": uuid4().hex},
        }
        course = f"https://lms.example/courses/{uuid4()}"
        self.course = {
            "objectType": "Activity",
            "id": course,
            "definition": {"type": "https://w3id.org/xapi/cmi5/activitytype/course", "name": {"fr": "Fractions"}},
        }
        # cmi5 10.2.1: the grouping names the identifier that the publisher gave to the unit.
        self.publisher = {"objectType": "Activity", "id": "https://publisher.example/units/fractions"}
        self.unit: dict[str, Any] = {
            "objectType": "Activity",
            "id": f"{course}/units/1",
            "definition": {"name": {"fr": "Fractions 1"}},
        }
        self.clock = datetime(2026, 11, 20, 9, tzinfo=UTC)
        self.sent: list[str] = []

    def send(self, method: str, path: str, credential: NewCredential, **options: Any) -> requests.Response:
        # cmi5 8.1.1: the launch names an endpoint, to which the unit appends the names of resources.
        path = self.endpoint + path.removeprefix("/xAPI")
        return self.server.send(method, path, credential, version=self.version, **options)

    @property
    def learner(self) -> str:
        return orjson.dumps(self.actor).decode()

    @property
    def launch_data(self) -> dict[str, str]:
        """The document in which the LMS leaves what the AU needs (cmi5 10)."""
        return {
            "activityId": self.unit["id"],
            "agent": self.learner,
            "registration": self.id,
            "stateId": LAUNCH_DATA,
        }

    def statement(
        self, verb: str, context: dict[str, Any], *, target: Any = None, move_on: bool = False, **changes: Any
    ) -> dict[str, Any]:
        """A statement "cmi5 defined": id, timestamp in UTC, category cmi5, and moveon where it counts (cmi5 9.6)."""
        self.clock += timedelta(minutes=5)
        activities = dict(context.get("contextActivities", {}))
        activities["category"] = [CMI5, MOVE_ON] if move_on else [CMI5]
        return {
            "id": str(uuid4()),
            "timestamp": self.clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "actor": self.actor,
            "verb": {"id": VERBS[verb], "display": {"en": verb}},
            "object": target or self.unit,
            "context": {**context, "registration": self.id, "contextActivities": activities},
            **changes,
        }

    def tell(self, who: NewCredential, statement: dict[str, Any]) -> None:
        """Send a statement by PUT, as cmi5 libraries do, and keep its verb."""
        params = {"statementId": statement["id"]}
        answer = self.send("PUT", "/xAPI/statements", who, json=statement, params=params)
        assert answer.status_code == 204, answer.text
        self.sent.append(statement["verb"]["id"])

    def found(self, who: NewCredential | None = None, **params: Any) -> list[dict[str, Any]]:
        """Statements of the registration, oldest first, over pages of two."""
        query = {"registration": self.id, "ascending": "true", "limit": 2, **params}
        answer = self.send("GET", "/xAPI/statements", who or self.lms, params=query)
        assert answer.status_code == 200, answer.text
        statements: list[dict[str, Any]] = answer.json()["statements"]
        while more := answer.json()["more"]:
            answer = self.send("GET", more, who or self.lms)
            assert answer.status_code == 200, answer.text
            statements += answer.json()["statements"]
        return statements


class Session:
    """One launch of the unit, from the LMS's side and the AU's."""

    def __init__(self, registration: Registration, *, mode: str = "Normal", mastery: float = 0.8) -> None:
        self.registration = registration
        self.mode = mode
        self.mastery = mastery
        self.id = str(uuid4())
        # cmi5 10.2.1: what every statement of the session has in its context.
        self.template = {
            "contextActivities": {"grouping": [registration.publisher]},
            "extensions": {CONTEXT + "sessionid": self.id},
        }

    def context(self, **extensions: Any) -> dict[str, Any]:
        more = {CONTEXT + name: value for name, value in extensions.items()}
        return {**self.template, "extensions": {**self.template["extensions"], **more}}

    def launch(self) -> None:
        """The LMS leaves the launch data, then says that it launched (cmi5 10.2, 9.3.1)."""
        of = self.registration
        data = {
            "contextTemplate": self.template,
            "launchMode": self.mode,
            "launchParameters": "level=1",
            "masteryScore": self.mastery,
            "moveOn": "CompletedAndPassed",
            "returnURL": "https://lms.example/back",
        }
        tag = of.send("GET", STATE, of.lms, params=of.launch_data).headers.get("ETag")
        condition = {"If-Match": tag} if tag else {"If-None-Match": "*"}
        answer = of.send("PUT", STATE, of.lms, json=data, params=of.launch_data, headers=condition)
        assert answer.status_code == 204, answer.text
        context = self.context(
            launchmode=self.mode,
            launchurl="https://publisher.example/units/fractions?endpoint=…",
            launchparameters="level=1",
            masteryscore=self.mastery,
            moveon="CompletedAndPassed",
        )
        of.tell(of.lms, of.statement("launched", context))

    def begin(self) -> None:
        """The AU reads what the LMS left, takes up its template, and says that it is there (cmi5 10, 9.3.2)."""
        of = self.registration
        answer = of.send("GET", STATE, of.au, params=of.launch_data)
        assert answer.status_code == 200, answer.text
        read = answer.json()
        assert (read["launchMode"], read["masteryScore"]) == (self.mode, self.mastery)
        self.template = read["contextTemplate"]
        # cmi5 11: the AU must ask for the learner's preferences, which may be none.
        preferences = {"agent": of.learner, "profileId": PREFERENCES}
        assert of.send("GET", AGENT_PROFILE, of.au, params=preferences).status_code in (200, 404)
        of.tell(of.au, of.statement("initialized", self.context()))

    def tell(
        self, verb: str, *, move_on: bool = False, extensions: dict[str, Any] | None = None, **result: Any
    ) -> None:
        of = self.registration
        of.tell(of.au, of.statement(verb, self.context(**(extensions or {})), move_on=move_on, result=result))

    def complete(self) -> None:
        self.tell("completed", move_on=True, completion=True, duration="PT25M")

    def judge(self, scaled: float) -> None:
        """Passed or failed, by the mastery score (cmi5 9.3.4, 9.3.5, 9.6.3.2)."""
        passed = scaled >= self.mastery
        verb, score = ("passed" if passed else "failed"), {"scaled": scaled}
        mastery = {"masteryscore": self.mastery}
        self.tell(verb, move_on=True, extensions=mastery, success=passed, score=score, duration="PT25M")

    def end(self) -> None:
        self.tell("terminated", duration="PT30M")

    def judged_by_lms(self, verb: str, *, target: Any = None, move_on: bool = False, **result: Any) -> None:
        """Abandoned, waived and satisfied are the LMS's to say (cmi5 9.3.6, 9.3.7, 9.3.9)."""
        of = self.registration
        changes = {"result": result} if result else {}
        of.tell(of.lms, of.statement(verb, self.context(), target=target, move_on=move_on, **changes))


class Page(Registration):
    """A registration whose unit is a page of another origin, in a browser: it asks first, and says where it is from.

    Fetch Standard 4.8: a preflight for each method and path; the browser says for whom and how (Fetch Metadata).
    """

    def __init__(self, server: Server, version: str, origin: str, *, site: str = "cross-site") -> None:
        super().__init__(server, version, "/xAPI")
        self.metadata = {"Origin": origin, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}

    def send(self, method: str, path: str, credential: NewCredential, **options: Any) -> requests.Response:
        if credential != self.au:
            return super().send(method, path, credential, **options)
        own = {name.lower() for name in options.get("headers", {})} | {"authorization", "x-experience-api-version"}
        asked = sorted(own | ({"content-type"} if "json" in options else set()))
        preflight = {
            **self.metadata,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ",".join(asked),
        }
        url = self.server.url + path
        allowed = requests.options(url, params=options.get("params"), headers=preflight, timeout=60).headers
        origin = self.metadata["Origin"]
        words = {word.strip().lower() for word in allowed.get("Access-Control-Allow-Headers", "").split(",")}
        if allowed.get("Access-Control-Allow-Origin") != origin or not words.issuperset(asked):
            raise PermissionError("the browser sends nothing more")
        headers = {**options.pop("headers", {}), **self.metadata}
        answer = super().send(method, path, credential, headers=headers, **options)
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        return answer


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("pages"), mongodb_uri, cors_origins=PUBLISHER, workers="1") as running:
        yield running


@pytest.fixture(params=[("1.0.3", "/xAPI"), ("2.0.0", "/xAPI"), ("1.0.3", "/xAPI/")], ids=" ".join)
def registration(server: Server, request: pytest.FixtureRequest) -> Iterator[Registration]:
    yield Registration(server, *request.param)


def verbs(*names: str) -> list[str]:
    return [VERBS[name] for name in names]


def reported(statements: list[dict[str, Any]]) -> list[str]:
    return [statement["verb"]["id"] for statement in statements]


def test_a_session_that_is_completed_and_passed(registration: Registration) -> None:
    session = Session(registration)
    session.launch()
    session.begin()
    session.complete()
    session.judge(0.9)
    session.end()
    session.judged_by_lms("satisfied", target=registration.course)
    found = registration.found()
    assert reported(found) == verbs("launched", "initialized", "completed", "passed", "terminated", "satisfied")
    assert [each["context"]["extensions"][CONTEXT + "sessionid"] for each in found] == [session.id] * 6
    for each in found:
        # cmi5 9.6.2.1, 10.2.1
        assert CMI5["id"] in [category["id"] for category in each["context"]["contextActivities"]["category"]]
        assert [group["id"] for group in each["context"]["contextActivities"]["grouping"]] == [
            registration.publisher["id"]
        ]
        assert each["actor"]["account"] == registration.actor["account"]
    assert [each["timestamp"] for each in found] == sorted(each["timestamp"] for each in found)
    authorities = [each["authority"]["account"]["name"] for each in found]
    assert authorities == [authorities[0], *[authorities[1]] * 4, authorities[0]]
    assert authorities[0] != authorities[1]


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_unit_launched_in_another_origin(open_server: Server, version: str, site: str) -> None:
    page = Page(open_server, version, PUBLISHER, site=site)
    session = Session(page)
    session.launch()
    session.begin()
    session.complete()
    session.judge(0.9)
    session.end()
    assert reported(page.found(page.au)) == verbs("initialized", "completed", "passed", "terminated")
    assert reported(page.found()) == verbs("launched", "initialized", "completed", "passed", "terminated")


def test_a_unit_of_an_origin_that_may_not_call_gets_nothing(open_server: Server) -> None:
    page = Page(open_server, "1.0.3", "https://elsewhere.example")
    session = Session(page)
    session.launch()
    with pytest.raises(PermissionError):
        session.begin()
    # A browser that asked nobody first, or a page that had it ask so (no-cors): refused by the store itself.
    answer = Registration.send(page, "GET", STATE, page.au, params=page.launch_data, headers=page.metadata)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site-refused")


def test_the_lms_decides_by_what_it_finds(registration: Registration) -> None:
    # cmi5 9.6.2.2: what moves the learner on is what has the category moveon.
    session = Session(registration)
    session.launch()
    session.begin()
    session.complete()
    session.judge(0.9)
    session.end()
    by_category = registration.found(activity=MOVE_ON["id"], related_activities="true")
    assert reported(by_category) == verbs("completed", "passed")
    of_unit = {"agent": registration.learner, "activity": registration.unit["id"]}
    (passed,) = registration.found(verb=VERBS["passed"], **of_unit)
    assert (passed["result"]["success"], passed["result"]["score"]["scaled"]) == (True, 0.9)
    assert passed["context"]["extensions"][CONTEXT + "masteryscore"] == 0.8
    (completed,) = registration.found(verb=VERBS["completed"], **of_unit)
    assert completed["result"] == {"completion": True, "duration": "PT25M"}
    by_publisher = registration.found(activity=registration.publisher["id"], related_activities="true")
    assert reported(by_publisher) == registration.sent


def test_an_au_reads_its_own_statements_of_the_registration(registration: Registration) -> None:
    session = Session(registration)
    session.launch()
    session.begin()
    session.end()
    assert reported(registration.found(registration.au)) == verbs("initialized", "terminated")


def test_failed_then_passed_in_a_second_session(registration: Registration) -> None:
    first, second = Session(registration), Session(registration)
    for session, scaled in ((first, 0.4), (second, 0.8)):
        session.launch()
        session.begin()
        session.judge(scaled)
        session.end()
    found = registration.found()
    assert reported(found) == [
        *verbs("launched", "initialized", "failed", "terminated"),
        *verbs("launched", "initialized", "passed", "terminated"),
    ]
    sessions = [each["context"]["extensions"][CONTEXT + "sessionid"] for each in found]
    assert sessions == [first.id] * 4 + [second.id] * 4


def test_an_abandoned_session(registration: Registration) -> None:
    session = Session(registration)
    session.launch()
    session.begin()
    session.judged_by_lms("abandoned", duration="PT10M")
    found = registration.found()
    assert reported(found) == verbs("launched", "initialized", "abandoned")
    assert found[-1]["result"] == {"duration": "PT10M"}


def test_a_waived_unit(registration: Registration) -> None:
    # cmi5 9.3.7: waived has a session of its own, no launch, and says why.
    session = Session(registration)
    session.judged_by_lms(
        "waived", move_on=True, success=True, completion=True, extensions={RESULT + "reason": "Tested Out"}
    )
    session.judged_by_lms("satisfied", target=registration.course)
    waived, satisfied = registration.found()
    assert reported([waived, satisfied]) == verbs("waived", "satisfied")
    assert waived["result"]["extensions"] == {RESULT + "reason": "Tested Out"}
    assert satisfied["object"]["id"] == registration.course["id"]


def test_browsing_says_neither_completed_nor_passed(registration: Registration) -> None:
    session = Session(registration, mode="Browse")
    session.launch()
    session.begin()
    session.end()
    launched = registration.found()[0]
    assert launched["context"]["extensions"][CONTEXT + "launchmode"] == "Browse"
    assert reported(registration.found()) == verbs("launched", "initialized", "terminated")


def test_statements_of_the_units_own(registration: Registration) -> None:
    # cmi5 9: "cmi5 allowed" statements have no category cmi5, and are found by registration all the same.
    session = Session(registration)
    session.launch()
    session.begin()
    answered = registration.statement("initialized", session.context())
    answered["verb"] = {"id": "http://adlnet.gov/expapi/verbs/answered"}
    answered["object"] = {"objectType": "Activity", "id": f"{registration.unit['id']}/questions/1"}
    del answered["context"]["contextActivities"]["category"]
    registration.tell(registration.au, answered)
    session.end()
    assert reported(registration.found()) == registration.sent
    defined = registration.found(activity=CMI5["id"], related_activities="true")
    assert reported(defined) == verbs("launched", "initialized", "terminated")


def test_launch_data_of_another_registration_are_not_read(registration: Registration) -> None:
    Session(registration).launch()
    other = {**registration.launch_data, "registration": str(uuid4())}
    assert registration.send("GET", STATE, registration.au, params=other).status_code == 404


def test_learner_preferences(registration: Registration) -> None:
    # cmi5 11: a document of the agent profile, which the AU may change.
    where = {"agent": registration.learner, "profileId": PREFERENCES}
    preferences = {"languagePreference": "fr-FR,en", "audioPreference": "on"}
    new = {"If-None-Match": "*"}
    assert (
        registration.send(
            "PUT", AGENT_PROFILE, registration.lms, json=preferences, params=where, headers=new
        ).status_code
        == 204
    )
    read = registration.send("GET", AGENT_PROFILE, registration.au, params=where)
    assert read.json() == preferences
    changed = {**preferences, "audioPreference": "off"}
    same = {"If-Match": read.headers["ETag"]}
    answer = registration.send("PUT", AGENT_PROFILE, registration.au, json=changed, params=where, headers=same)
    assert answer.status_code == 204
    assert registration.send("GET", AGENT_PROFILE, registration.lms, params=where).json() == changed
