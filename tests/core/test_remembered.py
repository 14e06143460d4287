"""Values that are remembered until they are forgotten."""

from __future__ import annotations

from app.core.remembered import Remembered


def test_a_value_is_read_once_until_it_is_forgotten() -> None:
    reads: list[object] = []

    def read() -> object:
        reads.append(object())
        return reads[-1]

    known = Remembered(read)
    assert known.get() is known.get() and len(reads) == 1
    known.forget()
    assert known.get() is reads[1] and known.get() is reads[1]


def test_none_is_a_value_too() -> None:
    reads: list[None] = []
    known = Remembered(lambda: reads.append(None))
    assert known.get() is None and known.get() is None and len(reads) == 1


def test_what_changes_while_it_is_read_is_read_again() -> None:
    values = iter(["old", "new"])

    def read() -> str:
        value = next(values)
        if value == "old":
            known.forget()
        return value

    known = Remembered(read)
    assert known.get() == "old"
    assert known.get() == "new" and known.get() == "new"


def test_what_changes_just_before_it_is_remembered_is_read_again() -> None:
    values = iter(["old", "new"])

    class Overtaken(Remembered[str]):
        """Forgets, as another thread may, between the end of a reading and the note of it."""

        armed = False

        def __setattr__(self, name: str, value: object) -> None:
            if name == "_known" and self.armed:
                self.armed = False
                self.forget()
            super().__setattr__(name, value)

    known = Overtaken(lambda: next(values))
    known.armed = True
    assert known.get() == "old"
    assert known.get() == "new" and known.get() == "new"
