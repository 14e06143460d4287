"""The audit log's own retention: what is old goes, what remains is proved, what was cut by somebody shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import pytest

from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import AUDIT_CUT, STATEMENTS_READ, Audit, Verification
from app.governance.audit.retention import DAY_US, AuditRetention, Removed
from app.governance.audit.store import AuditRepository
from app.platform.mongo.connection import Store

START = 1_790_000_000_000_000
DAYS = 365


class Time:
    """A clock that is set by hand, and goes on by itself a little."""

    def __init__(self) -> None:
        self.us = START

    def __call__(self) -> int:
        self.us += 1
        return self.us

    def day(self, number: float) -> None:
        self.us = START + round(number * DAY_US)


class Log(NamedTuple):
    time: Time
    repository: AuditRepository
    make: Callable[[], Audit]
    store: Store

    def retention(self, audit: Audit) -> AuditRetention:
        return AuditRetention(audit, self.repository, DAYS)

    def trim(self, audit: Audit, dry_run: bool = False) -> Removed:
        return self.retention(audit).apply(self.time.us, dry_run=dry_run)

    def days(self) -> list[int]:
        return sorted({round((entry.at - START) / DAY_US) for entry in self.repository.stream()})


@pytest.fixture
def log(store: Store, vault: OrganisationKeys) -> Log:
    time = Time()
    repository = AuditRepository(store)
    return Log(time, repository, lambda: Audit(repository, vault, time, os.urandom), store)


def a_year(log: Log) -> tuple[Audit, Audit]:
    """Two years of a process that reads and anchors every 10 days; others come and go."""
    lasting, other = log.make(), log.make()
    for day in range(0, 730, 10):
        log.time.day(day)
        lasting.append(STATEMENTS_READ, "credential-1", {"day": day})
        other.append(STATEMENTS_READ, "credential-2", {"day": day})
        passing = log.make()
        passing.append(STATEMENTS_READ, "credential-3", {"day": day})
        passing.close()
        lasting.anchor()
        other.anchor()
    log.time.day(730)
    return lasting, other


def broken(outcome: Verification) -> list[str]:
    return [f"{finding.chain} {finding.n} {finding.kind}: {finding.message}" for finding in outcome.findings]


def test_what_is_old_goes_and_what_remains_is_whole(log: Log) -> None:
    lasting, _ = a_year(log)
    total = lasting.verify().entries
    would = log.trim(lasting, dry_run=True)
    assert lasting.verify().entries == total
    done = log.trim(lasting)
    assert (done.entries, done.chains, done.damaged) == (would.entries, would.chains, ())
    assert done.entries > 100
    assert min(log.days()) >= 365
    outcome = lasting.verify()
    assert broken(outcome) == []
    assert outcome.entries == total - done.entries + 1
    assert outcome.before == done.before
    (entry,) = lasting.newest((AUDIT_CUT,), None, 10)
    assert len(entry.detail["fronts"]) == done.chains  # type: ignore[arg-type]


def test_day_after_day_for_years(log: Log) -> None:
    audit = log.make()
    gap = log.make()
    for day in range(0, 1_300, 25):
        log.time.day(day)
        audit.append(STATEMENTS_READ, "credential-1", {"day": day})
        if day in (0, 25, 1_275):
            # One that says nothing for years, and goes on.
            gap.append(STATEMENTS_READ, "credential-2", {"day": day})
        passing = log.make()
        passing.append(STATEMENTS_READ, "credential-3", {"day": day})
        passing.close()
        audit.anchor()
        log.trim(audit)
        assert broken(audit.verify()) == [], day
    assert min(log.days()) >= 1_275 - DAYS
    assert log.trim(audit).entries == 0


def test_a_run_that_is_cut_off_leaves_a_log_that_is_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    lasting, _ = a_year(log)
    removed = AuditRepository.remove_front
    left = [5]

    def cut(self: AuditRepository, chain: str, last: int) -> int:
        left[0] -= 1
        if left[0] == 0:
            # In the midst of a chain: MongoDB removes in the order of the index.
            removed(self, chain, max(last // 2, 0))
            raise KeyboardInterrupt
        return removed(self, chain, last)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AuditRepository, "remove_front", cut)
        log.trim(lasting)
    assert broken(lasting.verify()) == []
    assert log.trim(lasting).entries > 0
    assert broken(lasting.verify()) == []
    assert min(log.days()) >= 365


def test_more_cut_than_was_said_is_found(log: Log) -> None:
    lasting, other = a_year(log)
    log.trim(lasting)
    # Whoever removes one entry more than retention did.
    chain = other._chain
    first = next(entry for entry in log.repository.stream() if entry.chain == chain)
    log.store.collection("audit").delete_one({"_id": {"chain": chain, "n": first.n}})
    assert {(finding.chain, finding.kind) for finding in lasting.verify().findings} == {(chain, "missing")}


def test_a_chain_cut_whole_that_was_not_said_is_found(log: Log) -> None:
    lasting, other = a_year(log)
    log.trim(lasting)
    log.store.collection("audit").delete_many({"_id.chain": other._chain})
    assert (other._chain, "truncated") in {(finding.chain, finding.kind) for finding in lasting.verify().findings}


def test_a_forged_word_on_what_was_removed_counts_for_nothing(log: Log) -> None:
    lasting, other = a_year(log)
    log.trim(lasting)
    entries = log.store.collection("audit")
    genuine = entries.find_one({"kind": AUDIT_CUT})
    assert genuine is not None
    head = log.repository.head(other._chain)
    assert head is not None
    forged = {
        **genuine,
        "_id": {"chain": "f", "n": 0},
        "detail": {"before": log.time.us, "fronts": [[head.chain, head.n, head.mac.hex()]]},
    }
    entries.insert_one(forged)
    entries.delete_many({"_id.chain": other._chain})
    found = {(finding.chain, finding.kind) for finding in lasting.verify().findings}
    assert {(other._chain, "truncated"), ("f", "altered")} <= found


@pytest.mark.parametrize("change", ["altered", "missing", "truncated"])
def test_what_is_evidence_is_not_tidied_away(log: Log, change: str) -> None:
    lasting, _ = a_year(log)
    chains = log.repository.chains_before(START + 100 * DAY_US)
    chain = next(one for one in chains if one != lasting._chain and log.repository.head(one).kind == "chain-closed")  # type: ignore[union-attr]
    entries = log.store.collection("audit")
    place = {"_id": {"chain": chain, "n": 1}}
    if change == "altered":
        entries.update_one(place, {"$set": {"actor": "nobody"}})
    elif change == "missing":
        entries.delete_one(place)
    else:
        entries.delete_one({"_id": {"chain": chain, "n": 2}})
    done = log.trim(lasting)
    assert done.damaged == (chain,)
    assert log.repository.head(chain) is not None
    assert (chain, "damaged") in {(finding.chain, finding.kind) for finding in lasting.verify().findings}
    # Others go all the same; this one stays for good.
    assert done.entries > 100
    log.time.day(1_500)
    assert log.trim(lasting).damaged == (chain,)
    assert chain in {finding.chain for finding in lasting.verify().findings}
