"""The first batch of a query: the same documents, in the same order, as a cursor of PyMongo gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import decode, encode
from pymongo.errors import AutoReconnect, NetworkTimeout

from app.core.errors import DatabaseUnavailable
from app.platform.mongo.connection import Document, Store
from app.platform.mongo.first_batch import Batch, Found, by_either, by_index, first_batch, joined

NAME = "things"


def documents(batch: Batch) -> Iterator[Document]:
    at = batch.start
    for lead in batch.leads:
        at += lead
        if at >= batch.end:
            return
        size = int.from_bytes(batch.data[at : at + 4], "little")
        yield decode(bytes(batch.data[at : at + size]))
        at += size


def ask(store: Store, limit: int, *, most: int = 1 << 30) -> Found | None:
    asked = {"_id": {"$lt": most}}
    return first_batch(store, by_index(NAME, asked, {"text": 1}, sort={"_id": -1}, hint="_id_", limit=limit))


def open_cursors(store: Store) -> int:
    return int(store.db.command("serverStatus")["metrics"]["cursor"]["open"]["total"])


@pytest.mark.parametrize("count", [0, 1, 10, 11, 100, 101, 1_234])
def test_it_gives_what_is_asked_for_in_order(store: Store, count: int) -> None:
    store.collection(NAME).insert_many([{"_id": n, "text": "x" * (n % 50), "other": n} for n in range(2_000)])
    for limit in (count + 1, count, 1):
        answer = ask(store, limit, most=count)
        assert answer is not None and answer.ended
        given = min(count, limit or count)
        wanted = [{"_id": n, "text": "x" * (n % 50)} for n in range(count - 1, count - 1 - given, -1)]
        assert list(documents(answer.batch)) == wanted


def test_what_does_not_fit_into_one_answer_is_cut_and_leaves_nothing_open(store: Store) -> None:
    store.collection(NAME).insert_many([{"_id": n, "text": "x" * 6_000_000} for n in range(4)])
    before = open_cursors(store)
    answer = ask(store, 10)
    assert answer is not None and not answer.ended
    assert [each["_id"] for each in documents(answer.batch)] == [3, 2]
    assert open_cursors(store) == before


def test_what_is_found_in_two_ways_comes_in_one_answer(store: Store) -> None:
    store.collection(NAME).insert_many([{"_id": n, "text": "x"} for n in range(9)])
    asked, other = {"_id": {"$lt": 8}}, {"_id": {"$lt": 3}}
    command = by_either(NAME, asked, other, {"text": 1}, sort={"_id": -1}, hint="_id_", limit=4)
    answer = first_batch(store, command)
    assert answer is not None and answer.ended
    assert [each["_id"] for each in documents(answer.batch)] == [7, 6, 5, 4, 2, 1, 0]


def test_documents_one_behind_the_other_are_a_batch_too() -> None:
    assert list(documents(joined(encode({"a": 1}) + encode({"b": 2})))) == [{"a": 1}, {"b": 2}]


def test_a_broken_connection_is_for_a_cursor_to_try_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise AutoReconnect("the primary has changed")

    monkeypatch.setattr(type(store.db), "command", broken)
    assert ask(store, 10) is None


def test_a_database_that_is_silent_is_not_waited_for_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise NetworkTimeout("timed out")

    monkeypatch.setattr(type(store.db), "command", silent)
    with pytest.raises(DatabaseUnavailable):
        ask(store, 10)


def test_an_answer_of_another_form_is_for_a_cursor_to_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.collection(NAME).insert_one({"_id": 1})
    asked = type(store.db).command

    def turned(self: Any, *given: Any, **named: Any) -> Any:
        answer = asked(self, *given, **named)
        cursor = decode(bytes(answer["cursor"].raw))
        return type(answer)(encode({"cursor": dict(reversed(cursor.items())), "ok": 1.0}))

    monkeypatch.setattr(type(store.db), "command", turned)
    assert ask(store, 10) is None
