"""Passwords: which are refused, and how much of a worker checking them takes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.access.sign_in import passwords
from app.access.sign_in.passwords import AT_ONCE, WAITING, Passwords, require_good
from app.core.errors import Overloaded, PasswordRefused


@pytest.mark.parametrize(
    ("weak", "rule"),
    [
        ("", "short"),
        ("x" * 11, "short"),
        ("correcthor", "short"),
        ("x" * 257, "long"),
        ("quatre renards bleus" + "e\u0301" * 119, "long"),
        ("quatre renards bleus" + "\ufb03" * 79, "long"),
        ("motdepasse123!", "common"),
        ("Motdepasse2026", "common"),
        ("AzertyUiop12", "common"),
        ("azertyuiopqs", "common"),
        ("sqpoiuytreza", "common"),
        ("123456789012", "common"),
        ("210987654321", "common"),
        ("abababababab", "common"),
        ("soleilsoleil", "common"),
        ("password1234", "common"),
        ("jeanne.exemple-7", "named"),
        ("mon-EXEMPLE-à-moi", "named"),
        ("Port-Clair pour toujours", "named"),
    ],
)
def test_what_is_tried_first_is_refused(weak: str, rule: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        require_good(weak, "jeanne.exemple@ecole.example", "Jeanne Exemple", "Académie de Port-Clair")
    assert refused.value.faults[0].rule == f"password-{rule}"
    assert weak == "" or weak not in refused.value.detail


@pytest.mark.parametrize(
    "good",
    [
        "quatre renards bleus",
        "7f3e9ac1b24d",
        "l'été à Bréhat, 1987",
        "🐟🐙🐢🦀🐠🐬🐳🐡🦑🐚🦐🦞",
        "x" + "y z w v u" * 20,
    ],
)
def test_others_are_taken_without_rules_of_composition(good: str) -> None:
    require_good(good, "jeanne.exemple@ecole.example", "Jeanne Exemple", "")


def test_a_password_matches_whichever_way_its_letters_are_composed() -> None:
    hashing = Passwords()
    stored = hashing.hashed("l'e\u0301te\u0301 a\u0300 Bre\u0301hat")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hashing.matches("l'été à Bréhat", stored) and not hashing.matches("l'ete a Brehat", stored)
    assert not hashing.matches("l'été à Bréhat", None) and not hashing.matches("x", "no hash")
    assert not hashing.outdated(stored) and hashing.outdated("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + "A" * 43)


class Held:
    """Comparisons that last until the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def verify(self, *_: object) -> bool:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        assert self.gate.wait(60)
        with self._lock:
            self._running -= 1
        return True


def test_few_are_checked_at_a_time_few_wait_and_others_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing, held = Passwords(wait_seconds=60), Held()
    monkeypatch.setattr(hashing, "_hasher", held)
    told = threading.Semaphore(0)

    def check(_: int) -> str:
        try:
            return str(hashing.matches("x", "y"))
        except Overloaded as refused:
            told.release()
            return str(refused.retry_after)

    with ThreadPoolExecutor(12) as pool:
        checked = [pool.submit(check, each) for each in range(12)]
        for _ in range(12 - AT_ONCE - WAITING):
            # Before any of those who were there is done.
            assert told.acquire(timeout=60)
        held.gate.set()
        outcomes = [each.result() for each in checked]
    assert held.most == AT_ONCE and outcomes.count("True") == AT_ONCE + WAITING
    assert outcomes.count("5") == 12 - AT_ONCE - WAITING
    assert passwords.MEMORY_KIB * AT_ONCE <= 40 * 1_024


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing, held = Passwords(wait_seconds=0.05), Held()
    monkeypatch.setattr(hashing, "_hasher", held)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        checked = [pool.submit(hashing.matches, "x", "y") for _ in range(AT_ONCE)]
        while held.most < AT_ONCE:
            pass
        with pytest.raises(Overloaded):
            hashing.matches("x", "y")
        held.gate.set()
        assert all(each.result() for each in checked)
