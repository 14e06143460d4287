"""This host's clock beside MongoDB's, whatever stands between question and answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.core import clock
from app.core.errors import ClockOff
from app.platform.cluster.agreed_clock import AgreedClock

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Host:
    """A host whose two clocks stand where the test puts them: seconds after noon, and after its start."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall = self.steady = 0.0
        patch.setattr(clock, "now_us", lambda: round((NOON.timestamp() + self.wall) * 1_000_000))
        patch.setattr(clock, "steady", lambda: self.steady)

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def test_within_a_minute_the_clock_is_the_hosts_own(host: Host) -> None:
    agreed = AgreedClock()
    agreed.note(NOON, 0, 0)
    for host.wall in (-59.9, 0, 59.9):
        assert agreed.require() == agreed.now_us() == clock.now_us()
        assert agreed.offset_seconds() == pytest.approx(host.wall)


@pytest.mark.parametrize(("step", "words"), [(172_800, "172800 s ahead of"), (-61, "61 s behind")])
def test_beyond_it_nothing_is_stamped_and_time_is_mongodbs(host: Host, step: int, words: str) -> None:
    agreed = AgreedClock()
    agreed.note(NOON, 0, 0)
    host.go_on(10)
    host.wall += step
    with pytest.raises(ClockOff, match=words):
        agreed.require()
    assert agreed.now_us() == round((NOON.timestamp() + 10) * 1_000_000)
    assert agreed.offset_seconds() == step
    host.wall -= step
    assert agreed.require() == clock.now_us()


def test_a_pause_between_question_and_answer_is_not_held_against_the_clock(host: Host) -> None:
    agreed = AgreedClock()
    host.go_on(600)  # stopped, before MongoDB read its clock or after: it cannot be known
    for read_at in (600, 0):
        agreed.note(NOON + timedelta(seconds=read_at), 0, 600)
        assert agreed.require()
    # A minute more than what that may have been is.
    host.wall += 61
    with pytest.raises(ClockOff):
        agreed.require()


def test_a_step_is_news_until_mongodb_was_heard_again(host: Host) -> None:
    agreed = AgreedClock()
    agreed.note(NOON, 0, 0)
    assert not agreed.moved()
    host.wall += 100
    assert agreed.moved()
    agreed.note(NOON, 0, 0)
    assert not agreed.moved()


def test_before_mongodb_was_heard_nothing_is_known(host: Host) -> None:
    assert AgreedClock().require() == clock.now_us()
