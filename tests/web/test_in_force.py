"""Nothing is stored for a source whose processing activity is not in force (GDPR art. 30)."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from app.access.store import Source
from app.core.errors import RegisterInvalid
from tests.drills.drilling import until
from tests.served import ACTIVITY, Server, statement

LATER = {**ACTIVITY, "id": "later", "in_force_from": "2999-09-01", "review_by": "2999-10-01"}
AGENT = orjson.dumps({"account": {"homePage": "https://ent.example", "name": "eleve-1"}}).decode()


def test_a_source_is_not_added_under_an_activity_that_is_not_in_force(server: Server) -> None:
    server.container.governance.register.add(orjson.dumps(LATER))
    with pytest.raises(RegisterInvalid, match="from 2999-09-01 on"):
        server.source(activity="later")


def test_what_is_sent_before_the_day_is_refused_and_nothing_is_stored(server: Server) -> None:
    server.container.governance.register.add(orjson.dumps(LATER))
    # As it may be in a store that took it before the day counted.
    if server.container.access.sources_repository.get("early") is None:
        server.container.access.sources_repository.add(
            Source("early", "Early", "later", (), "observe", datetime.now(UTC))
        )
    key = server.credential("all", "accounts/write", source="early")
    state = {"activityId": "https://ent.example/1", "agent": AGENT, "stateId": "s"}
    account = {"accounts": [{"agent": orjson.loads(AGENT), "event": "closed"}]}
    before = server.container.platform.store.collection("subjects").count_documents({})
    for answer in (
        server.post(key, [statement()]),
        server.send("PUT", "/xAPI/activities/state", key, params=state, data=b"{}"),
        server.send("POST", "/xAPI/activities/state", key, params=state, data=b"{}"),
        server.send("POST", "/api/v1/accounts", key, json=account, version=None),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "activity-not-in-force"), answer.text
        assert "from 2999-09-01 on" in answer.json()["detail"]
    assert server.container.platform.store.collection("subjects").count_documents({}) == before
    # One whose activity is in force is stored.
    assert server.post(server.source(), [statement()]).status_code == 200


def test_the_register_tells_what_is_in_force_and_what_is_to_come(server: Server) -> None:
    server.container.governance.register.add(orjson.dumps(LATER))
    dpo = server.credential("governance/read")
    reported = server.send("GET", "/api/v1/processing-activities", dpo, version=None).json()
    ids = [one["id"] for one in reported["processing_activities"]]
    assert ACTIVITY["id"] in ids and "later" not in ids
    assert [one["id"] for one in reported["planned"]] == ["later"]
    found = server.send("GET", "/api/v1/processing-activities/later", dpo, version=None)
    assert (found.status_code, "2999-09-01" in found.json()["detail"]) == (404, True)


def test_overdue_reviews_are_in_the_report_and_a_metric(server: Server) -> None:
    late = {**ACTIVITY, "id": "reviewed-late", "in_force_from": "2020-01-01", "review_by": "2021-01-01"}
    server.container.governance.register.add(orjson.dumps(late))
    report = server.send("GET", "/api/v1/retention", server.credential("governance/read"), version=None).json()
    assert report["reviews_overdue"] == [{"processing_activity": "reviewed-late", "review_by": "2021-01-01"}]
    # Another test may have had them read just before: each worker keeps them for ten seconds.
    until(lambda: "sillage_register_reviews_overdue 1.0" in server.send("GET", "/metrics", version=None).text)
