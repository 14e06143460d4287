"""Large bodies take turns, small ones do not."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from app.core.errors import DatabaseUnavailable
from app.traces.turns import Turns


@pytest.mark.parametrize(("threads", "together"), [(1, 2), (8, 2), (16, 4)])
def test_so_many_large_bodies_are_worked_on_together(threads: int, together: int) -> None:
    turns = Turns(threads)
    entered = threading.Event()

    def another() -> None:
        with turns.take(100_000):
            entered.set()

    thread = threading.Thread(target=another)
    with ExitStack() as stack:
        for _ in range(together):
            stack.enter_context(turns.take(100_000))
        thread.start()
        assert not entered.wait(0.1)
        for _ in range(100):
            stack.enter_context(turns.take(1_000))
    assert entered.wait(5)
    thread.join()


def test_whoever_waited_for_a_turn_does_not_wait_for_a_database_that_went_away_meanwhile() -> None:
    def away() -> None:
        raise DatabaseUnavailable

    turns = Turns(8, away)
    with turns.take(1_000):
        pass
    for _ in range(3):  # and the turn is given back
        with pytest.raises(DatabaseUnavailable), turns.take(100_000):
            pytest.fail("it was given a turn")
