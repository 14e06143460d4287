"""The steps of a request: a state machine against a model in plain Python."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.core.errors import BadRequest, DataSubjectRequestConflict
from app.people.requests import steps as request_steps
from app.people.requests.steps import DataSubjectRequest, Step

RECEIVED = date(2026, 1, 31)
FIRST, SECOND = date(2026, 2, 28), date(2026, 4, 30)
WHO = ("account:https://ent.example|eleve-1",)


def step(what: str = "x", note: str = "") -> Step:
    return Step(1, what, "cli:test", note)


def opened(received: date = RECEIVED, today: date = RECEIVED, kind: str = "erasure") -> DataSubjectRequest:
    return request_steps.opened("r-1", kind, received, WHO, today, step("opened"))


class Request(RuleBasedStateMachine):
    """Machine of the allowed sequences, told by four flags instead of a status."""

    @initialize()
    def open(self) -> None:
        self.request = opened()
        self.today = RECEIVED
        self.known = self.extended = self.answered = self.turned_down = False
        self.steps = 1

    def attempt(self, allowed: bool, what: str, note: str = "") -> None:
        takes = {
            "identified": lambda: request_steps.identified(self.request, step(what, note)),
            "extended": lambda: request_steps.extended(self.request, self.today, step(what, note)),
            "done": lambda: request_steps.done(self.request, self.today, step(what, note)),
            "refused": lambda: request_steps.refused(self.request, self.today, step(what, note)),
            "acted": lambda: request_steps.acted(self.request, step(what, note)),
        }
        before = self.request
        if allowed:
            self.request = takes[what]()
            self.steps += 1
            assert self.request.steps[:-1] == before.steps
            assert self.request.steps[-1].what == what
        else:
            with pytest.raises(DataSubjectRequestConflict):
                takes[what]()
            assert self.request is before

    @property
    def over(self) -> bool:
        return self.answered or self.turned_down

    @rule(days=st.integers(1, 40))
    def time_passes(self, days: int) -> None:
        self.today += timedelta(days=days)

    @rule()
    def identify(self) -> None:
        allowed = not self.known and not self.over
        self.attempt(allowed, "identified")
        self.known |= allowed

    @rule()
    def extend(self) -> None:
        allowed = not self.over and not self.extended and self.today <= FIRST
        self.attempt(allowed, "extended", "many copies")
        self.extended |= allowed

    @rule()
    def done(self) -> None:
        allowed = self.known and not self.over
        self.attempt(allowed, "done")
        self.answered |= allowed

    @rule()
    def refuse(self) -> None:
        allowed = not self.over
        self.attempt(allowed, "refused", "not founded")
        self.turned_down |= allowed

    @rule()
    def act(self) -> None:
        self.attempt(self.known and not self.turned_down, "acted")

    @invariant()
    def agrees(self) -> None:
        request = self.request
        assert request.due == (SECOND if self.extended else FIRST)
        assert request.pending is not self.over
        assert request.overdue(self.today) is (not self.over and self.today > request.due)
        assert (request.status == "done", request.status == "refused") == (self.answered, self.turned_down)
        assert len(request.steps) == self.steps
        assert (request.received, request.identifiers, request.kind) == (RECEIVED, WHO, "erasure")


TestRequest = Request.TestCase


def test_gdpr_12_4_a_refusal_says_why_and_12_3_an_extension_too() -> None:
    for take in (
        lambda: request_steps.refused(opened(), RECEIVED, step(note=" ")),
        lambda: request_steps.extended(opened(), RECEIVED, step()),
    ):
        with pytest.raises(BadRequest) as refused:
            take()
        assert [fault.pointer for fault in refused.value.faults] == ["/reason"]


@pytest.mark.parametrize(
    ("received", "kind", "pointer"),
    [
        (date(2026, 2, 2), "erasure", "/received"),
        (date(2020, 1, 1), "erasure", "/received"),
        (RECEIVED, "forgetting", "/kind"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(received: date, kind: str, pointer: str) -> None:
    with pytest.raises(BadRequest) as refused:
        opened(received, date(2026, 2, 1), kind)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_gdpr_12_6_nothing_is_done_before_it_is_known_who_asks() -> None:
    with pytest.raises(DataSubjectRequestConflict, match="identify"):
        request_steps.require_acting(opened())
    request_steps.require_acting(request_steps.identified(opened(), step()))
