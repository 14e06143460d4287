"""A process without a presence, such as a scheduler, empties its caches when told, and says so."""

from __future__ import annotations

import base64
import os
import threading

from app.keys.holders import Holder, HolderRepository, HolderThread
from app.keys.providers.environment import of_text
from app.platform.cluster.processes import current_epoch, next_epoch
from app.platform.mongo.connection import Store

INTERVAL = 0.05
TTL = 1.0
KEYS = "1:" + base64.b64encode(os.urandom(32)).decode()


def test_it_empties_its_caches_before_it_says_so(store: Store) -> None:
    emptied: list[int] = []
    repository = HolderRepository(store)
    thread = HolderThread(
        repository,
        of_text(KEYS),
        interval=INTERVAL,
        ttl=TTL,
        epoch=lambda: current_epoch(store),
        on_epoch=lambda: emptied.append(current_epoch(store)),
    )
    thread.start()
    try:
        epoch = next_epoch(store)
        assert repository.wait_for_epoch(epoch, interval=INTERVAL, ttl=TTL)
        assert epoch in emptied
    finally:
        thread.close()


def test_one_that_lives_and_is_behind_is_waited_for_in_vain(store: Store) -> None:
    repository, stop = HolderRepository(store), threading.Event()

    def behind() -> None:
        while not stop.wait(INTERVAL):
            repository.say("behind", Holder("host", 1, {1: "x"}, epoch=0))

    repository.say("behind", Holder("host", 1, {1: "x"}, epoch=0))
    thread = threading.Thread(target=behind)
    thread.start()
    try:
        assert not repository.wait_for_epoch(1, interval=INTERVAL, ttl=0.3)
    finally:
        stop.set()
        thread.join()
    # Silent for that long, it is declared dead.
    assert repository.wait_for_epoch(1, interval=INTERVAL, ttl=0.3)


def test_one_that_says_it_elsewhere_is_not_waited_for(store: Store) -> None:
    repository = HolderRepository(store)
    thread = HolderThread(repository, of_text(KEYS), interval=INTERVAL, ttl=TTL)
    thread.start()
    try:
        assert [holder.epoch for holder in repository.living(TTL)] == [None]
        assert repository.wait_for_epoch(next_epoch(store) + 5, interval=INTERVAL, ttl=TTL)
    finally:
        thread.close()
