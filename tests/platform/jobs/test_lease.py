"""The lease: one holder at a time, on the database's clock."""

from __future__ import annotations

import threading
import time

import pytest

from app.core.errors import DatabaseUnavailable, LeaseLost
from app.platform.jobs.lease import Leadership
from app.platform.jobs.store import LeaseRepository
from app.platform.mongo.connection import Store


def leadership(store: Store, holder: str, seconds: float = 30) -> Leadership:
    return Leadership(LeaseRepository(store), holder, seconds, time.monotonic)


def expire(store: Store) -> None:
    store.collection("leases").update_one({}, [{"$set": {"expires": {"$subtract": ["$$NOW", 1]}}}])


def test_one_holder_at_a_time(store: Store) -> None:
    first = leadership(store, "a").acquire()
    assert first is not None
    assert leadership(store, "b").acquire() is None
    held = leadership(store, "b").held()
    assert held is not None
    assert (held.holder, held.fence) == ("a", 1)
    assert 25 < held.seconds_left <= 30
    first.release()
    assert leadership(store, "b").held() is None
    with pytest.raises(LeaseLost):
        first.check()


def test_the_fence_goes_up_at_each_take_over(store: Store) -> None:
    fences = []
    for holder in ("a", "b", "a"):
        lease = leadership(store, holder).acquire()
        assert lease is not None
        fences.append(lease.fence)
        lease.release()
    assert fences == [1, 2, 3]


def test_many_who_ask_at_once_get_one_lease(store: Store) -> None:
    barrier = threading.Barrier(8)
    fences: list[int | None] = []

    def ask(holder: str) -> None:
        repository = LeaseRepository(store)
        barrier.wait()
        fences.append(repository.acquire(holder, 30))

    threads = [threading.Thread(target=ask, args=(f"h{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fences, key=str) == [1, *[None] * 7]


def test_a_lease_is_renewed_for_as_long_as_it_is_held(store: Store) -> None:
    lease = leadership(store, "a", seconds=2).acquire()
    assert lease is not None
    with lease:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            lease.check()
            assert LeaseRepository(store).acquire("b", 2) is None
            time.sleep(0.1)


def test_a_holder_that_lost_its_lease_is_told_and_leaves_the_next_one_alone(store: Store) -> None:
    first = leadership(store, "a", seconds=4).acquire()
    assert first is not None
    expire(store)
    second = leadership(store, "b").acquire()
    assert second is not None
    assert second.fence == 2
    time.sleep(2.2)  # past a third of the lease, when it is renewed, and before its end
    with pytest.raises(LeaseLost):
        first.check()
    first.release()
    held = LeaseRepository(store).held()
    assert held is not None
    assert held.holder == "b"
    second.release()


def test_a_holder_cut_off_stops_believing_before_another_can_lead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = leadership(store, "a", seconds=1).acquire()
    assert lease is not None

    def unreachable(*_: object) -> bool:
        raise DatabaseUnavailable

    monkeypatch.setattr(lease._repository, "renew", unreachable)
    other = LeaseRepository(store)
    while other.acquire("b", 30) is None:
        time.sleep(0.01)
    assert lease.lost
    lease.release()


def test_a_revoked_lease_is_still_held(store: Store) -> None:
    lease = leadership(store, "a").acquire()
    assert lease is not None
    lease.revoke()
    with pytest.raises(LeaseLost, match="stopping"):
        lease.check()
    assert not lease.lost
    assert leadership(store, "b").acquire() is None
    lease.release()


def test_a_holder_name_is_never_taken_for_an_expression(store: Store) -> None:
    assert LeaseRepository(store).acquire("$fence", 30) == 1
    held = LeaseRepository(store).held()
    assert held is not None
    assert held.holder == "$fence"
