"""Signed checkpoints of the audit log, held to the log."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
import zstandard

from app.core.errors import FileRefused, SignatureRefused
from app.crypto.keys import OrganisationKeys
from app.crypto.signing import Signer
from app.governance.audit.checkpoints import Checkpoints, read
from app.governance.audit.log import AUDIT_CHECKPOINT, STATEMENTS_READ, Audit
from app.governance.audit.retention import DAY_US, AuditRetention
from app.governance.audit.store import AuditRepository
from app.platform.mongo.connection import Store

START = 1_790_000_000_000_000


class House:
    def __init__(self, store: Store, vault: OrganisationKeys) -> None:
        self.store = store
        self.ticks = count(START, 1_000_000)
        self.repository = AuditRepository(store)
        self._vault = vault
        self.signer = Signer(bytes(32))
        self.keys = SimpleNamespace(signer=self.signer)
        self.audit = self.process()
        self.checkpoints = Checkpoints(self.audit, self.repository, "default", self.keys)  # type: ignore[arg-type]

    def process(self) -> Audit:
        return Audit(self.repository, self._vault, lambda: next(self.ticks), os.urandom)

    def works(self) -> Audit:
        other = self.process()
        for n in range(3):
            other.append(STATEMENTS_READ, "credential-1", {"n": n})
        return other


@pytest.fixture
def house(store: Store, vault: OrganisationKeys) -> House:
    return House(store, vault)


def test_a_checkpoint_is_verified_without_the_store_and_against_it(house: House, tmp_path: Path) -> None:
    house.works()
    path = house.checkpoints.write(tmp_path)
    assert path.name.startswith("audit-default-")
    found = read(path, house.signer.public_key)
    assert found == house.checkpoints.read(path)
    assert found.organisation == "default"
    assert found.kept_since is None
    house.works()
    assert house.checkpoints.verify([found]).intact
    assert house.audit.newest((AUDIT_CHECKPOINT,), None, 5)[0].detail == {"key": house.signer.fingerprint}


def test_a_file_of_its_own_name_is_written_once(house: House, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert house.checkpoints.write(path) == path
    with pytest.raises(FileRefused):
        house.checkpoints.write(path)


def test_the_whole_log_cut_back_is_found(house: House, tmp_path: Path) -> None:
    """All chains together, while nothing runs: what no digest within the database shows."""
    house.works().close()
    house.audit.anchor()
    backup = list(house.store.collection("audit").find({}))
    house.works().close()
    checkpoint = house.checkpoints.read(house.checkpoints.write(tmp_path))
    house.store.collection("audit").delete_many({})
    house.store.collection("audit").insert_many(backup)
    fresh = Checkpoints(house.process(), house.repository, "default", house.keys)
    assert fresh.verify([]).intact
    outcome = fresh.verify([checkpoint])
    assert {finding.kind for finding in outcome.findings} >= {"anchor-missing", "truncated"}


def test_a_chain_that_only_the_checkpoint_quotes_is_found_gone(house: House, tmp_path: Path) -> None:
    gone = house.works()
    checkpoint = house.checkpoints.read(house.checkpoints.write(tmp_path))
    chain = gone._chain
    house.store.collection("audit").delete_many({"_id.chain": chain})
    assert (chain, "truncated") in {(one.chain, one.kind) for one in house.checkpoints.verify([checkpoint]).findings}


def test_any_change_breaks_the_signature(house: House, tmp_path: Path) -> None:
    path = house.checkpoints.write(tmp_path / "one.json")
    said = orjson.loads(path.read_bytes())
    for change in (
        {"at": "2026-01-01T00:00:00.000000Z"},
        {"heads": []},
        {"anchor": ["c", 1, "00"]},
        {"organisation": "x"},
    ):
        if said["content"] | change == said["content"]:
            continue
        path.write_bytes(orjson.dumps(said | {"content": said["content"] | change}))
        with pytest.raises(SignatureRefused):
            read(path, house.signer.public_key)


def test_what_is_signed_and_is_no_checkpoint_is_refused(house: House, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    for form, content in (("sillage-receipt", {}), ("sillage-audit-checkpoint", {"at": 5})):
        path.write_bytes(house.signer.signed(form, content))
        with pytest.raises(SignatureRefused):
            house.checkpoints.read(path)
    for wrong in (b"", b"[]", b"{}"):
        path.write_bytes(wrong)
        with pytest.raises(SignatureRefused):
            house.checkpoints.read(path)
    with pytest.raises(FileRefused):
        house.checkpoints.read(tmp_path / "absent")


def test_another_key_or_another_organisation_is_refused(house: House, tmp_path: Path) -> None:
    path = house.checkpoints.write(tmp_path / "one.json")
    with pytest.raises(SignatureRefused):
        house.checkpoints.read(path, Signer(b"1" * 32).public_key)
    with pytest.raises(SignatureRefused, match="another organisation"):
        Checkpoints(house.audit, house.repository, "other", house.keys).read(path)


def test_one_from_before_what_was_removed_for_its_age_asks_for_nothing_more(house: House, tmp_path: Path) -> None:
    house.works().close()
    old = house.checkpoints.read(house.checkpoints.write(tmp_path / "old.json"))
    house.ticks = count(START + 400 * DAY_US, 1_000_000)
    house.works()
    retention = AuditRetention(house.audit, house.repository, 365)
    assert retention.apply(next(house.ticks), dry_run=False).entries > 3
    young = house.checkpoints.read(house.checkpoints.write(tmp_path / "young.json"))
    assert young.kept_since == house.audit.cuts().before
    assert house.checkpoints.verify([old, young]).intact


def lines(folder: Path) -> list[tuple[str, int]]:
    """Places of the entries that are beside the checkpoints of a folder."""
    return [
        (str(one["chain"]), int(one["n"]))
        for file in sorted(folder.glob("*.jsonl.zst"))
        for one in map(orjson.loads, zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read().splitlines())
    ]


def test_the_entries_go_along_and_none_is_left_out(house: House, tmp_path: Path) -> None:
    for _ in range(3):
        house.works().close()
        found = house.checkpoints.read(house.checkpoints.write(tmp_path, entries=True))
        assert found.entries is not None
        # Longer than the overlap.
        house.ticks = count(found.at + 3_600_000_000, 1_000_000)
    there = {(entry.chain, entry.n) for entry in house.repository.stream()}
    assert set(lines(tmp_path)) == there
    assert len(lines(tmp_path)) < 2 * len(there), "each file holds everything"
    for file in tmp_path.glob("*.json"):
        house.checkpoints.read(file)


def test_entries_that_were_altered_are_found_and_may_be_elsewhere(house: House, tmp_path: Path) -> None:
    path = house.checkpoints.write(tmp_path, entries=True)
    beside = path.with_suffix(".jsonl.zst")
    beside.write_bytes(beside.read_bytes() + b"x")
    with pytest.raises(SignatureRefused, match="entries"):
        house.checkpoints.read(path)
    beside.unlink()
    assert house.checkpoints.read(path).entries is not None
    with pytest.raises(FileRefused, match="folder"):
        house.checkpoints.write(tmp_path / "file.json", entries=True)
