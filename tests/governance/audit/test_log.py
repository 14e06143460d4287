"""The audit log: what is written, and what its check finds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

import orjson
import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from bson import encode as bson_encode
from bson.raw_bson import RawBSONDocument

from app.core.errors import BadCursor, DatabaseUnavailable
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import (
    ANCHOR,
    ANCHOR_EVERY_US,
    CHAIN_CLOSED,
    CHAIN_OPENED,
    STATEMENTS_READ,
    Audit,
    New,
    Verification,
    canonical,
    readable,
)
from app.governance.audit.store import AuditRepository, Entry
from app.platform.mongo.connection import Store

START = 1_790_000_000_000_000
MINUTE = 60_000_000


@pytest.fixture
def clock() -> Callable[[], int]:
    ticks = count(START, MINUTE)
    lock = threading.Lock()

    def now() -> int:
        with lock:
            return next(ticks)

    return now


@pytest.fixture
def make(store: Store, vault: OrganisationKeys, clock: Callable[[], int]) -> Callable[[], Audit]:
    return lambda: Audit(AuditRepository(store), vault, clock, os.urandom)


def written(audit: Audit, entries: int) -> Audit:
    for n in range(entries):
        audit.append(STATEMENTS_READ, "credential-1", {"count": n, "tokens": ["ab12"], "filter": {"limit": 10}})
    return audit


def kinds(outcome: Verification) -> set[str]:
    return {finding.kind for finding in outcome.findings}


def chain_of(store: Store, at_least: int = 3) -> str:
    grouped = store.collection("audit").aggregate([{"$group": {"_id": "$_id.chain", "n": {"$sum": 1}}}])
    return next(str(found["_id"]) for found in grouped if found["n"] >= at_least)


def place(chain: str, n: int) -> dict[str, object]:
    return {"_id": {"chain": chain, "n": n}}


def test_entries_come_back_as_written_and_fit_together(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 3)
    entries = list(AuditRepository(store).stream())
    assert [(entry.n, entry.kind) for entry in entries] == [
        (0, CHAIN_OPENED),
        (1, STATEMENTS_READ),
        (2, STATEMENTS_READ),
        (3, STATEMENTS_READ),
    ]
    assert entries[2].detail == {"count": 1, "tokens": ["ab12"], "filter": {"limit": 10}}
    assert [later.prev for later in entries[1:]] == [earlier.mac for earlier in entries[:-1]]
    outcome = audit.verify()
    assert outcome.intact
    assert (outcome.entries, outcome.chains) == (4, 1)
    assert [chain.last for chain in outcome.open] == [3]


def test_nothing_is_written_before_the_first_entry(make: Callable[[], Audit]) -> None:
    audit = make()
    audit.close()
    assert audit.verify().entries == 0


def test_a_closed_chain_is_no_longer_open_and_the_next_entry_begins_another(make: Callable[[], Audit]) -> None:
    audit = written(make(), 1)
    audit.close()
    assert audit.verify().open == ()
    written(audit, 1)
    outcome = audit.verify()
    assert outcome.intact
    assert (outcome.chains, len(outcome.open)) == (2, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"detail.count": 99},
        {"actor": "credential-2"},
        {"kind": "export-written"},
        {"at": START},
        {"mac": bytes(32)},
        {"prev": bytes(32)},
        {"detail": None},
        {"detail.count": b"\x00"},
        {"detail.count": ObjectId()},
        {"detail.count": datetime(2026, 11, 22, tzinfo=UTC)},
        {"detail.count": Decimal128("2")},
        {"detail.count": Regex("2")},
        {"detail.count": float("nan")},
        {"detail.count": {"$numberLong": 2}},
        {"detail.tokens": [b"\xab\x12"]},
        {"at": "yesterday"},
        {"at": Int64(2**62)},
        {"actor": 5},
        {"note": "one more field"},
    ],
)
def test_an_altered_entry_is_found(make: Callable[[], Audit], store: Store, change: dict[str, object]) -> None:
    audit = written(make(), 5)
    store.collection("audit").update_one(place(chain_of(store), 3), {"$set": change})
    outcome = audit.verify()
    assert ("altered", 3) in {(finding.kind, finding.n) for finding in outcome.findings}
    # Shown all the same.
    shown = audit.newest()
    assert len(shown) == 6
    assert orjson.dumps([readable(entry.detail) for entry in shown])


def test_a_value_of_another_type_is_altered_though_it_is_written_alike(make: Callable[[], Audit], store: Store) -> None:
    audit = make()
    id = uuid4()
    audit.append(STATEMENTS_READ, "credential-1", {"statement": str(id)})
    store.collection("audit").update_one({"kind": STATEMENTS_READ}, {"$set": {"detail.statement": id}})
    assert [(finding.kind, finding.n) for finding in audit.verify().findings] == [("altered", 1)]


def test_text_that_is_not_utf8_is_altered(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 3)
    entries = store.collection("audit")
    document = entries.find_one(place(chain_of(store), 2))
    entries.delete_one(place(chain_of(store), 2))
    raw = bson_encode(document)
    assert raw.count(b"credential-1") == 1
    entries.insert_one(RawBSONDocument(raw.replace(b"credential-1", b"credential-\xff")))  # type: ignore[arg-type]
    assert ("altered", 2) in {(finding.kind, finding.n) for finding in audit.verify().findings}
    assert len(audit.newest()) == 4


def test_forged_places_hide_no_entry(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 3)
    entry = store.collection("audit").find_one({"kind": STATEMENTS_READ})
    assert entry is not None
    for forged in ("a", 7, ObjectId(), {"chain": 5, "n": 1}, {"chain": "zz", "n": "x"}, {"n": 1}, None):
        store.collection("audit").insert_one({**entry, "_id": forged})
    pages = paged(audit, 1)
    genuine = {(entry.chain, entry.n) for entry in pages} & {(audit._chain, n) for n in range(4)}
    assert (len(pages), len(genuine)) == (11, 4)
    assert audit.verify().broken >= 7
    # Nor do they keep others from being quoted.
    other = make()
    other.anchor()
    assert audit._chain in str(other.newest([ANCHOR], None, 1)[0].detail)


def paged(audit: Audit, size: int, kinds: tuple[str, ...] = ()) -> list[Entry]:
    found: list[Entry] = []
    cursor = None
    while True:
        page = audit.page(kinds, None, cursor, size)
        assert len(page.entries) <= size
        found += page.entries
        cursor = page.next
        if cursor is None:
            return found
        assert len(found) < 1_000, "pages without end"


@pytest.mark.parametrize("size", [1, 10, 41])
def test_pages_hold_each_entry_once_though_times_are_equal(store: Store, vault: OrganisationKeys, size: int) -> None:
    times = iter([START, *([START] * 25), *([START + 1] * 15), *([START + 2] * 10)])
    first = Audit(AuditRepository(store), vault, lambda: next(times), os.urandom)
    written(first, 40)
    whole = first.newest((), None, 1_000)
    assert [entry.at for entry in whole] == sorted((entry.at for entry in whole), reverse=True)
    pages = paged(first, size)
    assert len(pages) == 41
    assert pages == whole
    assert len({(entry.chain, entry.n) for entry in pages}) == 41
    assert len(paged(first, size, (STATEMENTS_READ,))) == 40


def test_entries_written_meanwhile_change_no_later_page(make: Callable[[], Audit]) -> None:
    audit = written(make(), 9)
    page = audit.page((), None, None, 5)
    written(audit, 3)
    following = audit.page((), None, page.next, 5)
    assert sorted(entry.n for entry in (*page.entries, *following.entries)) == [*range(10)]
    assert following.next is None


def test_a_cursor_is_of_its_question(make: Callable[[], Audit]) -> None:
    audit = written(make(), 3)
    cursor = audit.page((), None, None, 1).next
    assert cursor is not None
    altered = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for kinds, given in (((STATEMENTS_READ,), cursor), ((), altered), ((), "zz"), ((), "é")):
        with pytest.raises(BadCursor):
            audit.page(kinds, None, given, 1)


def test_pages_come_from_the_indexes(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 40)
    listed = AuditRepository(store).newest((), None, None, 20)
    assert listed.further is not None
    store.db.command("profile", 2)
    try:
        AuditRepository(store).newest([STATEMENTS_READ], None, listed.further, 5)
        AuditRepository(store).newest((), None, listed.further, 5)
    finally:
        store.db.command("profile", 0)
    plans = list(store.db["system.profile"].find({"op": "query", "ns": f"{store.db.name}.audit"}))
    assert len(plans) == 2
    for plan in plans:
        assert plan["docsExamined"] <= 8, plan["planSummary"]
        assert not plan.get("hasSortStage")
    assert audit.verify().intact


@pytest.mark.parametrize("removed", [0, 2])
def test_a_removed_entry_is_found(make: Callable[[], Audit], store: Store, removed: int) -> None:
    audit = written(make(), 5)
    store.collection("audit").delete_one(place(chain_of(store), removed))
    outcome = audit.verify()
    assert [(finding.kind, finding.n) for finding in outcome.findings] == [("missing", removed)]


def test_a_removed_entry_is_found_when_the_others_are_renumbered(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 5)
    chain = chain_of(store)
    entries = store.collection("audit")
    entries.delete_one(place(chain, 2))
    for n in (3, 4, 5):
        moved = entries.find_one_and_delete(place(chain, n))
        assert moved is not None
        entries.insert_one({**moved, "_id": {"chain": chain, "n": n - 1}})
    assert {(f.kind, f.n) for f in audit.verify().findings} >= {("altered", 2), ("altered", 3), ("altered", 4)}


def test_reordered_entries_are_found(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 5)
    chain = chain_of(store)
    entries = store.collection("audit")
    second, third = entries.find_one_and_delete(place(chain, 2)), entries.find_one_and_delete(place(chain, 3))
    assert second is not None and third is not None
    entries.insert_one({**second, "_id": third["_id"]})
    entries.insert_one({**third, "_id": second["_id"]})
    assert {(f.kind, f.n) for f in audit.verify().findings} >= {("altered", 2), ("altered", 3)}


def test_an_inserted_entry_is_found(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 3)
    chain = chain_of(store)
    last = store.collection("audit").find_one(place(chain, 3))
    assert last is not None
    store.collection("audit").insert_one({**last, "_id": {"chain": chain, "n": 4}})
    assert ("altered", 4) in {(f.kind, f.n) for f in audit.verify().findings}


def test_an_entry_copied_to_another_chain_is_found(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 3)
    first = store.collection("audit").find_one(place(chain_of(store), 0))
    assert first is not None
    store.collection("audit").insert_one({**first, "_id": {"chain": "zz", "n": 0}})
    assert {(f.kind, f.chain) for f in audit.verify().findings} == {("altered", "zz")}


def test_an_entry_after_the_end_is_found(make: Callable[[], Audit], store: Store, vault: OrganisationKeys) -> None:
    audit = written(make(), 2)
    audit.close()
    closing = list(AuditRepository(store).stream())[-1]
    assert closing.kind == CHAIN_CLOSED
    # Even the holder of the key cannot lengthen a closed chain unseen.
    forged = Audit(AuditRepository(store), vault, lambda: START, os.urandom).entry(
        closing.chain, closing.n + 1, closing.mac, New(START, STATEMENTS_READ, "x", {})
    )
    AuditRepository(store).insert([forged])
    assert kinds(audit.verify()) == {"after-close"}


def test_a_tail_cut_off_is_found_by_an_anchor_of_another_chain(make: Callable[[], Audit], store: Store) -> None:
    first = written(make(), 5)
    chain = chain_of(store)
    other = make()
    other.anchor()
    assert first.verify().intact
    store.collection("audit").delete_many({"_id": {"$gte": {"chain": chain, "n": 4}, "$lt": {"chain": chain, "n": 99}}})
    assert [(f.kind, f.chain, f.n) for f in other.verify().findings] == [("truncated", chain, 4)]


def cut(store: Store, chain: str, n: int) -> None:
    store.collection("audit").delete_many(
        {"_id": {"$gte": {"chain": chain, "n": n}, "$lt": {"chain": chain, "n": 10_000}}}
    )


@pytest.fixture
def anchored(store: Store, vault: OrganisationKeys) -> Callable[[], tuple[Audit, Audit, list[int]]]:
    """A serving process with entries and the scheduler's, on one clock that the test moves."""
    time = [START]

    def both() -> tuple[Audit, Audit, list[int]]:
        serving, scheduler = (Audit(AuditRepository(store), vault, lambda: time[0], os.urandom) for _ in range(2))
        return serving, scheduler, time

    return both


def test_an_anchor_is_due_every_ten_minutes(anchored: Callable[[], tuple[Audit, Audit, list[int]]]) -> None:
    serving, scheduler, time = anchored()
    assert serving.anchor_if_due(time[0]) is not None
    written(scheduler, 3)
    assert serving.anchor_if_due(time[0] + ANCHOR_EVERY_US - 1) is None
    assert len(serving.newest([ANCHOR])) == 1
    time[0] += ANCHOR_EVERY_US
    digest = serving.anchor_if_due(time[0])
    entry = serving.newest([ANCHOR])[0]
    assert (entry.actor, entry.mac.hex()) == ("process", digest)
    assert scheduler._chain in str(entry.detail)
    assert serving._chain not in str(entry.detail)


def test_an_anchor_that_failed_is_due_again_in_a_minute(store: Store, vault: OrganisationKeys) -> None:
    repository = Failing(store)
    audit = Audit(repository, vault, lambda: START, os.urandom)
    repository.fail = "before"
    with pytest.raises(DatabaseUnavailable):
        audit.anchor_if_due(START)
    assert audit.anchor_if_due(START + MINUTE - 1) is None
    assert audit.anchor_if_due(START + MINUTE) is not None


def test_a_chain_cut_together_with_the_anchoring_one_is_found_by_the_serving_ones(
    anchored: Callable[[], tuple[Audit, Audit, list[int]]], store: Store
) -> None:
    ended, scheduler, time = anchored()
    serving, _, _ = anchored()
    serving.anchor_if_due(time[0])
    scheduler.anchor()
    written(ended, 5)
    chain = ended._chain
    time[0] += ANCHOR_EVERY_US
    scheduler.anchor()
    serving.anchor_if_due(time[0])
    assert scheduler.verify().intact
    cut(store, chain, 3)
    cut(store, scheduler._chain, 2)
    found = {(finding.kind, finding.chain) for finding in scheduler.verify().findings}
    assert found == {("truncated", chain), ("truncated", scheduler._chain)}


def test_each_process_quotes_what_grew_since_its_own_anchor(
    anchored: Callable[[], tuple[Audit, Audit, list[int]]], store: Store
) -> None:
    serving, scheduler, time = anchored()
    ended, _, _ = anchored()
    serving.anchor_if_due(time[0])
    scheduler.anchor()
    written(serving, 1)
    written(ended, 5)
    time[0] += ANCHOR_EVERY_US // 5 * 4
    scheduler.anchor()
    time[0] += ANCHOR_EVERY_US // 5
    serving.anchor_if_due(time[0])
    # The scheduler's anchor, which quoted it too, came long after; the serving process does not lean on it.
    assert ended._chain in str(serving.newest([ANCHOR], None, 1)[0].detail)


def test_an_anchor_set_in_the_future_does_not_keep_others_from_quoting(
    anchored: Callable[[], tuple[Audit, Audit, list[int]]], store: Store
) -> None:
    ended, scheduler, time = anchored()
    scheduler.anchor()
    written(ended, 5)
    store.collection("audit").update_one({"kind": ANCHOR}, {"$set": {"at": START * 2}})
    time[0] += MINUTE
    opening = Audit(AuditRepository(store), scheduler._keys, lambda: time[0], os.urandom)
    written(opening, 1)
    first = next(entry for entry in AuditRepository(store).stream() if entry.chain == opening._chain)
    assert ended._chain in str(first.detail)


def test_a_chain_cut_while_its_process_lives_has_a_gap(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 5)
    cut(store, audit._chain, 3)
    written(audit, 1)
    assert [(finding.kind, finding.n) for finding in audit.verify().findings] == [("missing", 3)]


def test_a_cut_is_not_smoothed_over_by_a_failed_insert(
    store: Store, vault: OrganisationKeys, clock: Callable[[], int]
) -> None:
    repository = Failing(store)
    audit = written(Audit(repository, vault, clock, os.urandom), 5)
    cut(store, audit._chain, 3)
    repository.fail = "before"
    with pytest.raises(DatabaseUnavailable):
        written(audit, 1)
    written(audit, 1)
    assert [(finding.kind, finding.n) for finding in audit.verify().findings] == [("missing", 3)]


def test_a_digest_kept_elsewhere_proves_what_was_there(
    anchored: Callable[[], tuple[Audit, Audit, list[int]]], store: Store
) -> None:
    serving, scheduler, _ = anchored()
    written(serving, 5)
    digest = scheduler.anchor()
    assert serving.verify(anchors=[digest, digest.upper()]).intact
    # Every chain cut back together, while nothing runs: the log by itself is whole.
    cut(store, serving._chain, 3)
    cut(store, scheduler._chain, 0)
    assert serving.verify().intact
    (finding,) = serving.verify(anchors=[digest]).findings
    assert finding.kind == "anchor-missing"
    assert digest in finding.message


def test_only_an_anchor_has_the_digest_of_one(make: Callable[[], Audit]) -> None:
    audit = written(make(), 2)
    (last, _) = audit.newest([STATEMENTS_READ])
    assert kinds(audit.verify(anchors=[last.mac.hex()])) == {"anchor-missing"}


def test_a_chain_wholly_removed_is_found(make: Callable[[], Audit], store: Store) -> None:
    first = written(make(), 5)
    first.close()
    chain = chain_of(store)
    other = written(make(), 1)
    store.collection("audit").delete_many({"_id.chain": chain})
    assert [(f.kind, f.chain) for f in other.verify().findings] == [("truncated", chain)]


def test_an_old_chain_is_vouched_for_though_later_anchors_do_not_quote_it(
    make: Callable[[], Audit], store: Store
) -> None:
    written(make(), 5).close()
    chain = chain_of(store)
    other = make()
    for _ in range(20):  # the clock goes on by a minute at each entry
        other.anchor()
    last = AuditRepository(store).newest([ANCHOR], None, None, 1).entries[0]
    assert chain not in str(last.detail)
    store.collection("audit").delete_many({"_id.chain": chain})
    assert [(f.kind, f.chain) for f in other.verify().findings] == [("truncated", chain)]


def test_an_altered_anchor_accuses_nobody_but_itself(make: Callable[[], Audit], store: Store) -> None:
    first = written(make(), 5)
    other = make()
    other.anchor()
    anchor = AuditRepository(store).newest([ANCHOR], None, None, 1).entries[0]
    store.collection("audit").update_one(
        place(anchor.chain, anchor.n), {"$set": {"detail.heads": [[chain_of(store, 6), 50, "00" * 32]]}}
    )
    assert {(f.kind, f.chain) for f in first.verify().findings} == {("altered", anchor.chain)}


def test_a_chain_written_again_under_the_same_key_differs_from_what_an_anchor_quotes(
    store: Store, vault: OrganisationKeys, make: Callable[[], Audit]
) -> None:
    first = written(make(), 3)
    make().anchor()
    entries = list(AuditRepository(store).stream())
    chain = entries[0].chain
    own = [entry for entry in entries if entry.chain == chain]
    prev = own[0].mac
    for entry in own[1:]:
        bare = entry._replace(actor="credential-9", prev=prev)
        again = bare._replace(mac=vault.audit_mac(canonical(bare)))
        store.collection("audit").update_one(
            place(chain, entry.n), {"$set": {"actor": again.actor, "prev": again.prev, "mac": again.mac}}
        )
        prev = again.mac
    assert [(f.kind, f.n) for f in first.verify().findings] == [("altered", 3)]


def test_threads_of_one_process_share_inserts_and_one_chain(make: Callable[[], Audit], store: Store) -> None:
    audit = make()
    threads = [threading.Thread(target=written, args=(audit, 25)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome = audit.verify()
    assert outcome.intact
    assert (outcome.entries, outcome.chains) == (401, 1)


class Failing(AuditRepository):
    """Fails on demand, after or before the entries are in."""

    fail: str = ""

    def insert(self, entries: list[Entry]) -> bool:  # type: ignore[override]
        mode, self.fail = self.fail, ""
        if mode == "before":
            raise DatabaseUnavailable()
        done = super().insert(entries[:1] if mode == "half" else entries)
        if mode:
            raise DatabaseUnavailable()
        return done


@pytest.mark.parametrize("mode", ["before", "after", "half"])
def test_a_failed_insert_is_told_and_the_chain_goes_on(
    store: Store, vault: OrganisationKeys, clock: Callable[[], int], mode: str
) -> None:
    repository = Failing(store)
    audit = written(Audit(repository, vault, clock, os.urandom), 2)
    repository.fail = mode
    with pytest.raises(DatabaseUnavailable):
        written(audit, 1)
    written(audit, 2)
    outcome = audit.verify()
    assert outcome.intact
    assert outcome.entries == (5 if mode == "before" else 6)


def test_an_insert_given_up_that_comes_through_late_does_no_harm(
    store: Store, vault: OrganisationKeys, clock: Callable[[], int]
) -> None:
    repository = AuditRepository(store)
    audit = written(Audit(repository, vault, clock, os.urandom), 2)
    late = Audit(repository, vault, clock, os.urandom)
    late._chain, late._next, late._prev = audit._chain, audit._next, audit._prev
    written(late, 1)
    written(audit, 2)
    outcome = audit.verify()
    assert outcome.intact
    assert (outcome.entries, outcome.chains) == (6, 1)


def test_a_detail_that_is_not_json_fails_its_own_caller_only(make: Callable[[], Audit]) -> None:
    audit = written(make(), 1)
    with pytest.raises(TypeError):
        audit.append(STATEMENTS_READ, "credential-1", {"bad": object()})
    for bad in (datetime(2026, 11, 22, tzinfo=UTC), uuid4(), b"", float("inf"), 2**63, {1: 2}):
        with pytest.raises(TypeError):
            audit.append(STATEMENTS_READ, "credential-1", {"bad": [bad]})
    with pytest.raises(ValueError, match="unknown kind"):
        audit.append("no-such-kind", "credential-1", {})
    assert written(audit, 1).verify().intact


def test_a_forked_child_begins_a_chain_of_its_own(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of MongoDB here: a client does not live on over a fork
        os.write(write, f"{audit._chain}|{audit._next}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"|0"
    assert audit._chain != ""


def test_newest_first_by_kind_and_time(make: Callable[[], Audit]) -> None:
    audit = written(make(), 3)
    newest = audit.newest([STATEMENTS_READ], None, 2)
    assert [entry.detail["count"] for entry in newest] == [2, 1]
    assert [entry.detail["count"] for entry in audit.newest([STATEMENTS_READ], newest[-1].at)] == [0]


def test_an_entry_replaced_under_the_same_key_does_not_fit_the_next(
    make: Callable[[], Audit], store: Store, vault: OrganisationKeys
) -> None:
    audit = written(make(), 4)
    entry = list(AuditRepository(store).stream())[2]
    forged = entry._replace(actor="credential-9")
    store.collection("audit").update_one(
        place(entry.chain, 2), {"$set": {"actor": forged.actor, "mac": vault.audit_mac(canonical(forged))}}
    )
    assert [(finding.kind, finding.n) for finding in audit.verify().findings] == [("broken-link", 3)]
