"""The threads of a worker: each waits for a request that is handed over, and for the next one of a kept connection.

Both in one epoll, so that whoever is free takes what comes first, and a request that follows another on a kept
connection goes through no other thread (leader and followers: Schmidt et al., PLoP 2000). The event loop of the worker
watches the kept connections only while every thread is at work.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Threads that wait at once. Each is woken by an event of its own, and then by Python's lock as often as that changes
# hands: with eight, single POSTs took a third more switches of threads, and an eighth more of the processor.
_WAITING = 2
# Once: whoever takes the event has the connection to itself.
_NEXT = select.EPOLLIN | select.EPOLLONESHOT


class ServingThreads(Generic[Item]):
    """Threads that serve, started as they are needed. Made after a fork, never before."""

    def __init__(self, size: int, serve: Callable[[Item], object], resume: Callable[[int], Item | None]) -> None:
        """Nothing is started yet.

        Args:
            size: Most threads.
            serve: Serves what was handed over; raises nothing.
            resume: Told, by any thread, of a descriptor given to ``keep`` that has something to read; what is to be
                served of it at once, if anything.
        """
        self._size = size
        self._serve = serve
        self._resume = resume
        self._handed: deque[Item] = deque()
        # A signal may end all in the midst of handing over.
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        # Threads that have nothing to do, each behind a lock of its own; the last one is the first to go on.
        self._idle: list[threading.Lock] = []
        self._waiting = 0
        self._watched = True
        self._ended = False
        self._kept = select.epoll()
        # Readable when something was handed over while a thread waited; each reading takes one.
        self._call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
        self._kept.register(self._call, select.EPOLLIN)
        self._door = select.epoll()
        self._door.register(self._kept.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """A descriptor that is readable when ``resume_all`` is to be called: no thread is free to do it."""
        return self._door.fileno()

    def submit(self, item: Item) -> None:
        """Hand over something to be served; nothing comes of it after ``shutdown``."""
        self._handed.append(item)
        with self._lock:
            if self._waiting:
                os.eventfd_write(self._call, 1)
            elif not self._ended:
                self._another()

    def keep(self, descriptor: int, *, again: bool) -> None:
        """Tell ``resume``, once, when there is something to read; ``again``: it was kept before.

        Raises:
            OSError: there is no such descriptor any more.
        """
        if again:
            self._kept.modify(descriptor, _NEXT)
        else:
            self._kept.register(descriptor, _NEXT)

    def resume_all(self) -> None:
        """Do what no thread is free to do: for the event loop, when ``fileno`` is readable."""
        for descriptor, _ in self._kept.poll(0):
            if descriptor == self._call:
                self._called()
            else:
                item = self._resume(descriptor)
                if item is not None:
                    self.submit(item)

    def shutdown(self, wait: bool = False) -> None:
        """Have the threads end once they have served what they are at, and perhaps wait for that."""
        with self._lock:
            self._ended = True
            self._watched = False
            self._door.modify(self._kept.fileno(), 0)
            # One for each, more are never read.
            os.eventfd_write(self._call, self._size)
            while self._idle:
                self._another()
        for thread in self._threads if wait else ():
            thread.join()

    def _another(self) -> bool:
        """Have another thread wait; False when all are at work. With the lock held."""
        if self._idle:
            self._idle.pop().release()
        elif len(self._threads) < self._size:
            thread = threading.Thread(target=self._run, name=f"serving-{len(self._threads)}")
            self._threads.append(thread)
            thread.start()
        else:
            return False
        return True

    def _run(self) -> None:
        while (item := self._taken()) is not None:
            self._serve(item)
            del item

    def _taken(self) -> Item | None:
        """The item to be served next; None at the end."""
        while True:
            self._wait()
            try:
                called = bool(self._handed or self._ended)
                descriptor = self._call if called else self._kept.poll(-1, 1)[0][0]
            finally:
                self._go()
            if descriptor != self._call:
                item = self._resume(descriptor)
                if item is not None:
                    return item
                continue
            self._called()
            with suppress(IndexError):
                return self._handed.popleft()
            if self._ended:
                return None

    def _called(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._call)

    def _wait(self) -> None:
        """Be one of those that wait; first, while there are enough of them, stand idle."""
        mine = None
        with self._lock:
            if self._waiting >= _WAITING and not (self._handed or self._ended):
                mine = threading.Lock()
                mine.acquire()
                self._idle.append(mine)
        if mine is not None:
            mine.acquire()
        with self._lock:
            self._waiting += 1
            if self._watched and not self._ended:
                self._watched = False
                self._door.modify(self._kept.fileno(), 0)

    def _go(self) -> None:
        """Wait no longer; see to it that somebody does."""
        with self._lock:
            self._waiting -= 1
            if not (self._waiting or self._ended or self._another()):
                self._watched = True
                self._door.modify(self._kept.fileno(), select.EPOLLIN)
