"""The spool of readings: what is durable before the answer, what comes of it after a kill, and of what was altered."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect

from app.core import clock
from app.core.errors import AuditUnavailable, DatabaseUnavailable
from app.crypto.keys import OrganisationKeys
from app.governance.audit import spool as spools_module
from app.governance.audit import spool_file
from app.governance.audit.log import (
    CHAIN_CLOSED,
    CHAIN_OPENED,
    CREDENTIAL_CREATED,
    STATEMENTS_READ,
    Asked,
    Audit,
    Verification,
)
from app.governance.audit.spool import HostSpools, Spool
from app.governance.audit.spool_file import SUFFIX, line, parsed, read
from app.governance.audit.store import AuditRepository, Entry
from app.platform.mongo.connection import Store

HOST = "host-a"
HOUR = 3_600 * 1_000_000


class Host:
    """A host with a spool: its log, its folder, and what processes of it do."""

    def __init__(self, folder: Path, store: Store, vault: OrganisationKeys, token: str = "ours") -> None:
        self.folder, self.store, self.vault = folder, store, vault
        self.repository = AuditRepository(store)
        self.notes: dict[int, Mapping[str, object]] = {}
        self.told: list[tuple[int, float, int]] = []
        self.ahead = 0
        self.token = token
        self.audit = self.log()

    def now(self) -> int:
        return clock.now_us() + self.ahead

    def log(self) -> Audit:
        log = Audit(self.repository, self.vault, self.now, os.urandom)
        log.spools = self.spools = self.of(log)
        return log

    def of(self, log: Audit) -> HostSpools:
        return HostSpools(
            self.folder,
            log,
            self.repository,
            store=self.token,
            host=HOST,
            now=self.now,
            notes=lambda: [*self.notes.values()],
        )

    def process(self, number: int = 1) -> Spool:
        """The spool of a process, which ships when it is told to."""

        def note(said: Mapping[str, object]) -> None:
            self.notes[number] = said

        spool = Spool(
            self.folder,
            self.spools,
            self.audit,
            self.repository,
            within=self.store.within,
            note=note,
            tell=lambda *told: self.told.append(told),
        )
        spool._probe()
        self.audit.spool_to(spool)
        return spool

    def read(self, entries: int = 1) -> None:
        for n in range(entries):
            self.audit.append(STATEMENTS_READ, "credential-1", {"count": n, "tokens": ["ab12"]})

    def kill(self, spool: Spool, number: int = 1) -> Path:
        """End a process as a kill does; its file."""
        assert spool._file is not None
        spool._file.close()
        self.notes.pop(number, None)
        self.audit.spool_to(None)
        return spool._file.path

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def spooled(self) -> list[Entry]:
        """The entries that MongoDB has of chains of spools."""
        entries = [*self.repository.stream()]
        chains = {entry.chain for entry in entries if "spool" in entry.detail}
        return [entry for entry in entries if entry.chain in chains]

    def verify(self) -> Verification:
        return self.audit.verify()

    def kinds(self) -> set[str]:
        return {finding.kind for finding in self.verify().findings}


@pytest.fixture
def host(tmp_path: Path, store: Store, vault: OrganisationKeys) -> Host:
    return Host(tmp_path / "spool", store, vault)


def lines(path: Path) -> list[bytes]:
    return written(path).splitlines(keepends=True)


def written(path: Path) -> bytes:
    """The lines of a file, without the room behind them."""
    return path.read_bytes().rstrip(b"\0")


def started(spool: Spool) -> Spool:
    spool.start()
    return spool


def test_a_reading_is_in_the_file_before_it_returns_and_in_mongodb_soon(host: Host) -> None:
    spool = host.process()
    host.read(3)
    (path,) = host.folder.iterdir()
    assert [parsed(each.rstrip(b"\n")).kind for each in lines(path)] == [CHAIN_OPENED, *[STATEMENTS_READ] * 3]  # type: ignore[union-attr]
    assert [entry.n for entry in host.spooled()] == [0], "its first entry, which names the host, is in MongoDB at once"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(host.folder.stat().st_mode) == 0o700
    spool._thread.start()
    until = time.monotonic() + 2
    while len(host.spooled()) < 4:
        assert time.monotonic() < until
        time.sleep(0.02)
    spool.close()
    assert [entry.kind for entry in host.spooled()] == [CHAIN_OPENED, *[STATEMENTS_READ] * 3, CHAIN_CLOSED]
    assert host.files() == []
    assert host.verify().intact


def test_what_is_no_reading_is_written_to_mongodb_at_once(host: Host) -> None:
    host.process()
    host.audit.append(CREDENTIAL_CREATED, "cli:test", {})
    assert host.files() == []
    assert [entry.kind for entry in host.repository.stream()] == [CHAIN_OPENED, CREDENTIAL_CREATED]


def test_requests_share_a_sync_and_every_entry_is_in_one_chain(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, synced = host.process(), []
    host.read()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        time.sleep(0.02)
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(spool_file.os, "fdatasync", slow)
    threads = [threading.Thread(target=host.read, args=(5,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(synced) <= 14
    host.kill(spool)
    host.spools.adopt()
    assert len(host.spooled()) == 1 + 41 + 1
    assert host.verify().intact


def test_a_killed_process_loses_nothing_and_its_chain_ends(host: Host) -> None:
    spool = host.process()
    host.read(5)
    host.kill(spool)
    host.spools.adopt()
    entries = host.spooled()
    assert [entry.kind for entry in entries] == [CHAIN_OPENED, *[STATEMENTS_READ] * 5, CHAIN_CLOSED]
    assert entries[-1].detail == {"host": HOST, "torn": 0}
    assert host.files() == []
    assert host.verify().intact
    assert not [chain for chain in host.verify().open if chain.host]


def test_nobody_ships_the_file_of_a_living_process(host: Host) -> None:
    host.process()
    host.read(2)
    host.spools.adopt()
    assert [entry.n for entry in host.spooled()] == [0]
    assert len(host.files()) == 1


def test_shipping_again_after_a_kill_in_the_midst_of_it_changes_nothing(host: Host) -> None:
    spool = host.process()
    host.read(4)
    path = host.kill(spool)
    before = path.read_bytes()
    host.spools.adopt()
    shipped = host.spooled()
    path.write_bytes(before)
    host.spools.adopt()
    assert host.spooled() == shipped
    assert host.files() == []
    assert host.verify().intact


def test_room_is_taken_ahead_and_is_no_torn_line(host: Host) -> None:
    spool = host.process()
    host.read(3)
    path = host.kill(spool)
    assert path.stat().st_size > len(written(path)) + 100_000
    host.spools.adopt()
    assert host.spooled()[-1].detail == {"host": HOST, "torn": 0}


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_cut_off_and_nothing_is_called_altered(host: Host, cut: int) -> None:
    spool = host.process()
    host.read(3)
    path = host.kill(spool)
    path.write_bytes(written(path)[:-cut])
    host.spools.adopt()
    entries = host.spooled()
    assert [entry.kind for entry in entries] == [CHAIN_OPENED, *[STATEMENTS_READ] * 2, CHAIN_CLOSED]
    assert entries[-1].detail["torn"]
    assert host.files() == []
    assert host.verify().intact


def test_of_a_write_that_was_cut_off_nothing_behind_the_first_fault_is_taken(host: Host) -> None:
    spool = host.process()
    host.read(2)
    assert spool._file is not None
    # Three entries in one write, of which the middle one did not come to the disk.
    news = [host.audit._new(STATEMENTS_READ, "c", {"count": n}) for n in range(3)]
    entries = spool._write(news)
    path = host.kill(spool)
    path.write_bytes(path.read_bytes().replace(line(entries[1]), bytes(len(line(entries[1])) - 1) + b"\n"))
    host.spools.adopt()
    assert [entry.n for entry in host.spooled()] == [0, 1, 2, 3, 4]
    assert host.spooled()[-1].kind == CHAIN_CLOSED
    assert host.verify().intact


def test_whatever_byte_changes_is_seen_and_wherever_a_write_is_cut_off_it_is_not_called_altered(host: Host) -> None:
    spool = host.process()
    host.read(2)
    spool._write([host.audit._new(STATEMENTS_READ, "c", {"count": n}) for n in range(2)])
    path = host.kill(spool)
    content, chain = written(path), path.name.removesuffix(SUFFIX)
    durable = sum(map(len, lines(path)[:-2]))
    whole = read(content, chain, host.audit.genuine)
    assert (len(whole.entries), whole.damaged, whole.torn) == (5, 0, 0)
    # But for the end of the line before the last write: without it that write is broken from its beginning on.
    for place in range(durable - 1):
        changed = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        assert read(changed, chain, host.audit.genuine).damaged, place
    for place in range(durable, len(content)):
        cut = read(content[:place], chain, host.audit.genuine)
        assert (cut.entries, cut.damaged) == (whole.entries[: len(cut.entries)], 0)
        assert len(cut.entries) >= 3
        # Blocks of one write reach the disk in any order.
        holed = content[:place] + bytes(min(40, len(content) - place)) + content[place + 40 :]
        assert read(holed, chain, host.audit.genuine).damaged == 0, place


def altered(text: list[bytes]) -> list[bytes]:
    return [*text[:2], text[2].replace(b"credential-1", b"credential-2"), *text[3:]]


def removed(text: list[bytes]) -> list[bytes]:
    return [*text[:2], *text[3:]]


def swapped(text: list[bytes]) -> list[bytes]:
    return [text[0], text[1], text[3], text[2], *text[4:]]


def inserted(text: list[bytes]) -> list[bytes]:
    return [*text[:2], text[1], *text[2:]]


def blanked(text: list[bytes]) -> list[bytes]:
    return [*text[:2], b"\n", *text[2:]]


@pytest.mark.parametrize("change", [altered, removed, swapped, inserted, blanked])
def test_a_middle_that_was_altered_is_called_so_and_the_file_is_kept(
    host: Host, change: Callable[[list[bytes]], list[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    spool = host.process()
    host.read(5)
    path = host.kill(spool)
    before = b"".join(change(lines(path)))
    path.write_bytes(before)
    genuine = {entry.n for text in before.splitlines() if (entry := parsed(text)) and host.audit.genuine(entry)}
    assert [finding.kind for finding in host.spools.findings()] == ["damaged"]
    host.spools.adopt()
    assert {entry.n for entry in host.spooled()} >= genuine, "what is genuine is not dropped"
    (kept,) = host.folder.iterdir()
    assert kept.name == f"{path.name}.damaged"
    assert kept.read_bytes() == before
    assert "damaged" in host.kinds()
    assert host.spools.aside() == 1


def test_a_file_that_ends_before_what_was_shipped_was_cut(host: Host) -> None:
    spool = host.process()
    host.read(5)
    assert spool._file is not None
    spool._ship(spool._file)
    path = host.kill(spool)
    path.write_bytes(b"".join(lines(path)[:3]))
    host.spools.adopt()
    assert host.kinds() == {"damaged"}
    assert host.files() == [f"{path.name}.damaged"]


def test_a_file_of_which_nothing_is_left_is_kept_and_told_of(host: Host) -> None:
    spool = host.process()
    host.read(3)
    path = host.kill(spool)
    path.write_bytes(b"x" * 500)
    host.spools.adopt()
    assert host.files() == [f"{path.name}.damaged"]
    assert host.kinds() == {"damaged"}


def test_a_spool_of_another_store_is_left_alone(host: Host, store: Store, vault: OrganisationKeys) -> None:
    other = Host(host.folder, store, vault, token="another")
    spool = other.process()
    other.read(3)
    path = other.kill(spool)
    before = path.read_bytes()
    count = len(host.spooled())
    host.spools.adopt()
    host.spools.settle()
    assert path.read_bytes() == before
    assert len(host.spooled()) == count
    assert not host.spools.findings()


def test_an_unreadable_file_of_no_known_chain_is_left_alone(host: Host) -> None:
    host.folder.mkdir()
    path = host.folder / f"whose{SUFFIX}"
    path.write_bytes(b"nobody knows\n")
    host.spools.adopt()
    assert path.exists()


def test_other_entries_in_the_places_of_those_shipped_are_called_damage(host: Host, store: Store) -> None:
    spool = host.process()
    host.read(3)
    assert spool._file is not None
    chain, forged = spool._file.chain, host.audit._new(STATEMENTS_READ, "nobody", {})
    host.repository.ship([Entry(chain, 2, forged.at, forged.kind, forged.actor, {}, bytes(32), bytes(32))])
    spool._thread.start()
    spool.close()
    assert host.files() == [f"{chain}{SUFFIX}.damaged"]
    assert host.kinds() >= {"damaged", "altered"}


def test_a_file_of_a_process_that_ended_in_whose_places_are_others_is_kept(host: Host) -> None:
    spool = host.process()
    host.read(3)
    path = host.kill(spool)
    new = host.audit._new(STATEMENTS_READ, "nobody", {})
    forged = host.audit.entry("other", 2, bytes(32), new)
    host.repository.ship([forged._replace(chain=path.name.removesuffix(SUFFIX))])
    host.spools.adopt()
    assert host.files() == [f"{path.name}.damaged"]
    assert host.kinds() >= {"damaged", "altered"}


def test_a_damaged_file_is_kept_though_a_kill_came_between_its_end_and_its_new_name(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = host.process()
    host.read(4)
    path = host.kill(spool)
    # Altered in the last line that MongoDB does not have: a second look finds nothing else wrong.
    path.write_bytes(b"".join(swapped(lines(path))))
    with monkeypatch.context() as patched:

        def killed(_: Path) -> None:
            raise KeyboardInterrupt

        patched.setattr(spools_module, "put_aside", killed)
        with pytest.raises(KeyboardInterrupt):
            host.spools.adopt()
    path.write_bytes(b"".join(lines(path)[:1]))
    host.spools.adopt()
    assert host.files() == [f"{path.name}.damaged"]


def test_a_file_altered_while_its_process_lives_is_found_and_what_it_ships_is_not_touched(host: Host) -> None:
    spool = started(host.process())
    host.read(4)
    (path,) = host.folder.iterdir()
    path.write_bytes(b"".join(altered(lines(path))))
    assert host.kinds() == {"damaged"}
    spool.close()
    assert host.verify().intact


def test_the_thread_goes_on_whatever_happens(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools_module, "SHIP_SECONDS", 0.01)
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ValueError

    with monkeypatch.context() as patched:
        patched.setattr(host.spools, "adopt", fail)
        spool = started(host.process())
        assert failed.wait(5)
    host.read(3)
    until = time.monotonic() + 2
    while len(host.spooled()) < 4:
        assert time.monotonic() < until
        time.sleep(0.02)
    spool.close()


def test_a_spool_that_is_gone_is_a_gap_that_names_its_host(host: Host) -> None:
    spool = host.process()
    host.read(3)
    host.ahead += 20_000_000
    assert host.verify().intact, "its process lives"
    path = host.kill(spool)
    copy = path.read_bytes()
    path.unlink()
    assert host.kinds() == {"gap"}
    (finding,) = host.verify().findings
    assert HOST in finding.message
    assert finding.n == 1
    assert [(one.host, one.lives) for one in host.spools.behind()] == [(HOST, False)]
    # The host is back, with its disk.
    path.write_bytes(copy)
    assert host.verify().intact
    assert not host.spools.behind()
    assert len(host.spooled()) == 5


def test_a_host_whose_process_lives_and_does_not_ship_is_behind(host: Host) -> None:
    spool = host.process()
    host.read(3)
    spool._say()
    assert host.told[-1][0] == 3
    assert not host.spools.behind()
    host.ahead += 5_000_000
    (behind,) = host.spools.behind()
    assert (behind.host, behind.lives) == (HOST, True)
    spool._say()
    assert host.told[-1][1] >= 5


def test_a_search_knows_what_waits_on_this_host(host: Host) -> None:
    spool = host.process()
    host.read(4)
    host.kill(spool)
    assert len(host.audit.search(Asked(kinds=(STATEMENTS_READ,)), None, 10).entries) == 4
    living = started(host.process(2))
    host.read(2)
    assert len(host.audit.search(Asked(kinds=(STATEMENTS_READ,)), None, 10).entries) == 6
    living.close()


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    with monkeypatch.context() as patched:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(spool_file.os, name, full)
        yield


@pytest.mark.parametrize("call", ["posix_fallocate", "pwrite", "fdatasync"])
def test_a_disk_that_takes_nothing_refuses_readings_until_it_does(
    host: Host, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(spool_file, "_ROOM", 1)
    spool = host.process()
    host.read(2)
    with failing(monkeypatch, call):
        for _ in range(2):
            with pytest.raises(AuditUnavailable):
                host.read()
        spool._round(1)
        with pytest.raises(AuditUnavailable):
            spool.require()
    spool._round(1)
    spool.require()
    with failing(monkeypatch, call), pytest.raises(AuditUnavailable):
        host.read()
    host.read(2)
    spool.require()
    host.kill(spool)
    host.spools.adopt()
    assert len(host.spooled()) == 1 + 4 + 1
    assert host.verify().intact


def test_a_folder_that_cannot_be_made_is_told_by_readiness(host: Host) -> None:
    host.folder.parent.mkdir(exist_ok=True)
    host.folder.write_bytes(b"in the way")
    spool = host.process()
    with pytest.raises(AuditUnavailable):
        spool.require()
    with pytest.raises(AuditUnavailable):
        host.read()


def test_readings_are_refused_once_mongodb_has_taken_none_for_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = host.process()
    host.read(2)
    host.ahead += spools_module.MAX_WAITING_US + 1
    with pytest.raises(AuditUnavailable):
        host.read()
    with pytest.raises(AuditUnavailable):
        spool.require()
    spool._round(1)
    spool.require()
    host.read()
    monkeypatch.setattr(spools_module, "MAX_WAITING", 1)
    with pytest.raises(AuditUnavailable):
        host.read()


def test_what_mongodb_does_not_take_at_the_end_is_shipped_by_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = host.process()
    host.read(3)
    with monkeypatch.context() as patched:

        def away(*_: object) -> int:
            raise DatabaseUnavailable

        patched.setattr(host.repository, "ship", away)
        spool._thread.start()
        spool.close()
    assert len(host.files()) == 1
    host.notes.clear()
    host.spools.adopt()
    assert len(host.spooled()) == 1 + 3 + 1
    assert host.verify().intact


def test_a_chain_that_mongodb_does_not_take_is_begun_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = host.process()
    with monkeypatch.context() as patched:

        def away(*_: object) -> int:
            raise DatabaseUnavailable

        patched.setattr(host.repository, "ship", away)
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                host.read()
    assert len(host.files()) == 1
    host.read()
    assert len(host.files()) == 1
    assert [entry.n for entry in host.spooled()] == [0]
    spool._thread.start()
    spool.close()
    assert host.files() == []
    assert host.verify().intact


def test_a_stop_does_not_wait_for_a_mongodb_that_takes_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools_module, "_JOIN_SECONDS", 0.2)
    spool = host.process()
    host.read(3)
    begun, go_on, real = threading.Event(), threading.Event(), host.repository.ship

    def slow(entries: list[Entry]) -> int:
        begun.set()
        go_on.wait(10)
        return real(entries)

    with monkeypatch.context() as patched:
        patched.setattr(host.repository, "ship", slow)
        spool._thread.start()
        assert begun.wait(5)
        spool.close()
        go_on.set()
        spool._thread.join()
    host.notes.clear()
    host.spools.adopt()
    assert [entry.kind for entry in host.spooled()] == [CHAIN_OPENED, *[STATEMENTS_READ] * 3, CHAIN_CLOSED]
    assert host.verify().intact


def test_a_file_that_is_old_or_full_ends_and_another_follows(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = host.process()
    host.read(2)
    first = host.files()
    spool._round(1)
    assert host.files() == first
    host.ahead += HOUR + 1
    spool._round(1)
    second = host.files()
    assert len(second) == 1
    assert second != first
    host.ahead += HOUR + 1
    spool._round(1)
    assert host.files() == second, "idle, it goes on"
    host.read()
    spool._round(1)
    third = host.files()
    assert third != second, "it is not idle any more"
    host.read(10)
    spool._round(1)
    assert host.files() == third
    monkeypatch.setattr(spools_module, "MAX_FILE_BYTES", 1_500)
    spool._round(1)
    assert host.files() != third
    spool._thread.start()
    spool.close()
    assert host.files() == []
    assert host.verify().intact
    assert len({entry.chain for entry in host.spooled()}) == 4


def test_what_a_kill_left_without_a_name_goes(host: Host) -> None:
    host.folder.mkdir()
    old, young = host.folder / f".a{SUFFIX}", host.folder / f".b{SUFFIX}"
    for path in (old, young):
        path.write_bytes(b"")
    os.utime(old, (1, 1))
    host.spools.adopt()
    assert host.files() == [young.name]


@pytest.mark.parametrize(
    "text", [b"", b">", b"> ", b">" + b"0" * 64 + b" [1,2]", b">" + b"z" * 64 + b" {}", b"\xff" * 90]
)
def test_what_is_no_line_is_none(text: bytes) -> None:
    assert parsed(text) is None
    assert read(text + b"\n", "", lambda _: True).entries == []


def test_mongodb_away_while_it_is_shipped_loses_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = host.process()
    host.read(3)
    file = spool._file
    assert file is not None
    real = host.repository._collection.insert_many

    def cut(documents: object, **options: object) -> object:
        real(documents, **options)  # type: ignore[arg-type]
        raise AutoReconnect

    with monkeypatch.context() as patched:
        patched.setattr(host.repository._collection, "insert_many", cut)
        with pytest.raises(DatabaseUnavailable):
            spool._ship(file)
    assert len(file.waiting) == 3
    spool._ship(file)
    assert not file.waiting
    assert not file.conflicts
    assert len(host.spooled()) == 4
