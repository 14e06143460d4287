"""The audit log: what is written, and what its check finds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import count

import pytest

from app.errors import DatabaseUnavailable
from app.governance.audit import (
    ANCHOR,
    CHAIN_CLOSED,
    CHAIN_OPENED,
    STATEMENTS_READ,
    Audit,
    Verification,
)
from app.storage.audit import AuditRepository, Entry
from app.storage.connection import Store
from app.vault.keys import OrganisationKeys

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
    ],
)
def test_an_altered_entry_is_found(make: Callable[[], Audit], store: Store, change: dict[str, object]) -> None:
    audit = written(make(), 5)
    store.collection("audit").update_one(place(chain_of(store), 3), {"$set": change})
    outcome = audit.verify()
    assert ("altered", 3) in {(finding.kind, finding.n) for finding in outcome.findings}


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
    forged = Audit(AuditRepository(store), vault, lambda: START, os.urandom)._entry(
        closing.chain, closing.n + 1, closing.mac, _ticket()
    )
    AuditRepository(store).insert([forged])
    assert kinds(audit.verify()) == {"after-close"}


def _ticket() -> object:
    from app.governance.audit import _Ticket

    return _Ticket(START, STATEMENTS_READ, "credential-1", {})


def test_a_tail_cut_off_is_found_by_an_anchor_of_another_chain(make: Callable[[], Audit], store: Store) -> None:
    first = written(make(), 5)
    chain = chain_of(store)
    other = make()
    other.anchor()
    assert first.verify().intact
    store.collection("audit").delete_many({"_id": {"$gte": {"chain": chain, "n": 4}, "$lt": {"chain": chain, "n": 99}}})
    assert [(f.kind, f.chain, f.n) for f in other.verify().findings] == [("truncated", chain, 4)]


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
    last = AuditRepository(store).newest([ANCHOR], None, 1)[0]
    assert chain not in str(last.detail)
    store.collection("audit").delete_many({"_id.chain": chain})
    assert [(f.kind, f.chain) for f in other.verify().findings] == [("truncated", chain)]


def test_an_altered_anchor_accuses_nobody_but_itself(make: Callable[[], Audit], store: Store) -> None:
    first = written(make(), 5)
    other = make()
    other.anchor()
    anchor = AuditRepository(store).newest([ANCHOR], None, 1)[0]
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
        again = bare._replace(mac=first._mac(bare))
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


def test_an_entry_replaced_under_the_same_key_does_not_fit_the_next(make: Callable[[], Audit], store: Store) -> None:
    audit = written(make(), 4)
    entry = list(AuditRepository(store).stream())[2]
    forged = entry._replace(actor="credential-9")
    store.collection("audit").update_one(
        place(entry.chain, 2), {"$set": {"actor": forged.actor, "mac": audit._mac(forged)}}
    )
    assert [(finding.kind, finding.n) for finding in audit.verify().findings] == [("broken-link", 3)]
