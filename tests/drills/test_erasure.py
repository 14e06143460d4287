"""Drill: a learner is erased under writers, by processes killed midway, and the raw files hold nothing that opens."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
import requests
from bson.codec_options import CodecOptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import MongoClient

from app.crypto import signing
from app.crypto.bodies import Bodies
from app.crypto.keys import subject_place
from app.keys import organisation as organisation_keys
from app.keys.holders import HolderRepository
from app.keys.providers import file as keyfile
from app.operations.backup.backup_file import documents_of, reading
from app.operations.rotation import kek as key_rules
from app.people.erasure.store import DONE
from app.platform.cluster import claims
from app.platform.mongo.embedded.server import find_binary
from app.settings import load
from app.standards.xapi.documents import Resource
from app.standards.xapi.identifiers import keys_of
from app.wiring.container import Container
from tests.drills.drilling import own_mongodb, until
from tests.drills.test_keys import command
from tests.people import people
from tests.people.people import account, mentions, named, person, refers, send, with_attachment
from tests.served import ACTIVITY, Server, serving


def require_nothing_of(container: Container, name: str, bound: int | None = None) -> None:
    """No statement up to the bound has a token of them, and every statement opens."""
    persons = container.people.finder
    wanted = {"t": {"$in": list(persons.flat(person(name)))}}
    if bound is not None:
        wanted["stored"] = {"$lte": bound}  # type: ignore[dict-item]
    statements = container.platform.store.collection("statements")
    assert statements.count_documents(wanted) == 0
    rows = container.traces.statements.span(None, 1 << 62, 1_000_000)
    assert len(container.traces.reader.decrypted(rows)) == len(rows), "something is left that does not open"


class Writers:
    """Threads that send statements of one learner, and of others that name them, as fast as they are answered."""

    def __init__(self, server: Server, name: str, threads: int = 4) -> None:
        self.acknowledged: list[tuple[float, list[str]]] = []
        self.faults: list[str] = []
        self._server = server
        self._name = name
        self._source = server.source()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        session = requests.Session()
        session.auth = (self._source.id, self._source.secret)
        session.headers.update({"Content-Type": "application/json", "X-Experience-API-Version": "2.0.0"})
        while not self._stop.is_set():
            batch = [named(self._name) for _ in range(1 if number == 0 else 5)]
            batch.append(named(f"teacher-{number}", context={"instructor": account(self._name)}))
            if number == 1:
                batch = batch[:1]
            began = time.monotonic()
            answer = session.post(f"{self._server.xapi}/statements", data=orjson.dumps(batch), timeout=40)
            if answer.status_code == 200:
                self.acknowledged.append((began, answer.json()))
            elif answer.status_code != 503:
                self.faults.append(f"{answer.status_code} {answer.text}")


def test_a_learner_is_erased_while_four_writers_send_their_statements(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri) as server:
        container = server.container
        with Writers(server, "lea") as writers:
            until(lambda: len(writers.acknowledged) >= 40)
            started = container.people.erasures.erase(person("lea"), actor="cli:drill")
            done = container.people.erasures.advance(started.id)
            ended = time.monotonic()
            more = len(writers.acknowledged) + 40
            until(lambda: len(writers.acknowledged) >= more or writers.faults)
        assert not writers.faults, writers.faults[:3]
        assert done.phase == DONE
        assert done.counts["statements"] > 40
        container.keys.subjects.forget()
        require_nothing_of(container, "lea", done.until_stored)
        stored = {row.id: row.stored for row in container.traces.statements.span(None, 1 << 62, 1_000_000)}
        own = container.platform.store.collection("statements").find(
            {"subject": container.people.finder.subjects(person("lea"))[0]}
        )
        assert all(each["stored"] > done.until_stored for each in own)
        # What was sent after the end is there, whole; of what was sent before, a batch is there or was erased.
        afterwards = [id for began, ids in writers.acknowledged if began > ended for id in ids]
        assert afterwards
        assert {UUID(id) for id in afterwards} <= stored.keys()
        # Nothing of others was lost.
        for body in map(
            orjson.loads,
            (
                plain.body
                for plain in container.traces.reader.decrypted(
                    container.traces.statements.span(None, 1 << 62, 1_000_000)
                )
            ),
        ):
            keys = keys_of(body)
            if stored[UUID(body["id"])] <= done.until_stored:
                assert set(person("lea").identifiers).isdisjoint({keys.subject, *keys.agents, *keys.related_agents})
        total = sum(len(ids) for _, ids in writers.acknowledged)
        assert len(stored) == total - done.counts["statements"]


# ``sillage person erase``, in a process that is gone at one moment of it.
ERASE = """
import os, signal, sys
from app.cli import main
from app.people.erasure import service as erasure
from app.platform.cluster import claims
from app.people.access_package.receptions import Receptions
from app.people.erasure.store import ErasureRepository, ErasureTargets
from app.traces.statements.personal_data import AttachmentData, StatementData

moment, name = sys.argv[1:]
erasure.BATCH, erasure.REDACTED_AT_ONCE, claims.CLAIM_SECONDS = 20, 5, 0.5

def dying(where, method, times=1):
    real, left = getattr(where, method), [times]
    def wrapped(*given, **named):
        made = real(*given, **named)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return made
    setattr(where, method, wrapped)

if moment == "destroyed":
    dying(ErasureRepository, "begin")
elif moment == "bounded":
    dying(ErasureRepository, "advance")
elif moment == "deleting":
    dying(StatementData, "delete_some", 2)
elif moment == "between":
    dying(AttachmentData, "_page")
elif moment == "deleted":
    dying(Receptions, "forget_data_subject")
elif moment == "redacting":
    dying(ErasureTargets, "redact")
elif moment == "recounted":
    dying(ErasureRepository, "note_months")
sys.argv = ["sillage", "person", "erase", "--yes", "--account", "https://ent.example", name]
main()
"""

MOMENTS = ("destroyed", "bounded", "deleting", "between", "deleted", "redacting", "recounted")


def test_an_erasure_killed_at_any_moment_is_finished(
    tmp_path: Path, mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.5)
    with serving(tmp_path, mongodb_uri) as server:
        container, source = server.container, server.source()
        for name in MOMENTS:
            batch = [*(named(name) for _ in range(50)), *mentions(name).values()]
            assert server.post(source, batch, version="2.0.0").status_code == 200
            assert server.post(source, refers("other", batch[0]["id"])).status_code == 200
        container.research.aggregates.run()
        killed = {name: command(server, "-c", ERASE, name, name) for name in MOMENTS}
        assert {name: process.wait(100) for name, process in killed.items()} == dict.fromkeys(MOMENTS, -signal.SIGKILL)
        container.keys.subjects.forget()
        for name in MOMENTS:
            subject = container.people.finder.subjects(person(name))[0]
            (started,) = [each for each in container.people.erasures.newest() if subject in each.subjects]
            own = container.platform.store.collection("statements").find({"subject": subject})
            left = container.traces.statements.some([each["_id"] for each in own])
            assert container.traces.reader.decrypted(left) == [], name
            done = container.people.erasures.advance(started.id)
            assert (done.phase, done.counts["statements"], done.counts["mentions"]) == (DONE, 50, 9), name
            receipt = signing.verified(done.receipt or b"", container.keys.signer.public_key).content
            assert receipt["aggregates"]["recounted"], name
        for name in MOMENTS:
            require_nothing_of(container, name)
        assert len(container.traces.statements.span(None, 1 << 62, 10_000)) == 10 * len(MOMENTS)
        assert container.governance.audit.verify().intact


# --- what the files of the database hold ------------------------------------------------------------


def values(part: Any) -> Iterator[Any]:
    """Every document and array in a document, itself included."""
    if isinstance(part, dict):
        yield part
        for inner in part.values():
            yield from values(inner)
    elif isinstance(part, list):
        yield part
        for inner in part:
            yield from values(inner)


def raw(folder: Path) -> list[dict[str, Any]]:
    """Every document in the files of a database, the log of operations included: read by a server of its own."""
    copied = folder.parent / f"copy-{time.monotonic_ns()}"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("mongod.lock", "*.sock"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = [
        "--dbpath",
        str(copied),
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--wiredTigerCacheSizeGB",
        "0.25",
    ]
    arguments += ["--nounixsocket", "--logpath", str(folder.parent / f"{copied.name}.log")]
    process = subprocess.Popen([str(find_binary()), *arguments], stdout=subprocess.DEVNULL)
    try:
        options: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=4)
        with MongoClient[dict[str, Any]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=30_000
        ) as client:
            return [
                each
                for database in client.list_database_names()
                for name in client[database].list_collection_names()
                for each in client[database].get_collection(name, codec_options=options).find({})
            ]
    finally:
        process.terminate()
        process.wait(30)


def learner_keys(
    documents: list[dict[str, Any]], keks: dict[int, AESGCM], organisation: str
) -> dict[bytes, list[AESGCM]]:
    """Every learner's key that any version of the key-encryption key at hand opens, wherever it stands."""
    found: dict[bytes, list[AESGCM]] = {}
    for document in documents:
        # A change in the log names its document beside it.
        owner = document.get("o2", {}).get("_id") if isinstance(document.get("o2"), dict) else None
        for part in values(document):
            if not isinstance(part, dict):
                continue
            subject, wrapped = part.get("_id", owner), part.get("key")
            if not (isinstance(wrapped, bytes) and len(wrapped) == 60 and isinstance(subject, bytes)):
                continue
            for kek in keks.values():
                try:
                    key = kek.decrypt(wrapped[:12], wrapped[12:], subject_place(organisation, subject).encode())
                except InvalidTag:
                    continue
                found.setdefault(subject, []).append(AESGCM(key))
    return found


def opened(documents: list[dict[str, Any]], keys: dict[bytes, list[AESGCM]], bodies: Bodies) -> dict[UUID, list[bytes]]:
    """Every body of a statement that any of the keys opens."""
    every = [key for some in keys.values() for key in some]
    found: dict[UUID, list[bytes]] = {}
    for document in documents:
        for part in values(document):
            body = part.get("body") if isinstance(part, dict) else None
            if isinstance(body, bytes) and isinstance(part.get("_id"), UUID):
                for plain in bodies.decrypt([(part["_id"], body)] * len(every), every):
                    if plain is not None:
                        found.setdefault(part["_id"], []).append(plain)
    return found


def saved(backup: Path) -> list[dict[str, Any]]:
    """Every document of a backup."""
    with reading(backup) as file:
        return [document for chunk in file.chunks() for document in documents_of(chunk)]


def test_with_every_key_that_remains_the_raw_files_give_nothing_of_the_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rules, "RETIREMENT_GRACE", timedelta(0))
    monkeypatch.setattr(key_rules, "_MARGIN_SECONDS", 0.0)
    folder = tmp_path / "mongodb"
    with own_mongodb(folder) as (uri, _):
        given = {"data_dir": str(tmp_path / "data"), "mongodb_uri": uri, "heartbeat_seconds": "0.05"}
        given |= {"process_ttl_seconds": "1"}
        container = Container(load({f"SILLAGE_{name.upper()}": text for name, text in given.items()}))
        container.lifecycle.initialise()
        container.governance.register.add(orjson.dumps(ACTIVITY))
        container.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor="cli:drill")
        container.lifecycle.start()
        try:
            own = [named("lea", result={"response": "le chat dort"}) for _ in range(20)]
            others = [*mentions("lea").values(), named("other")]
            send(container, *own, *others)
            send(container, with_attachment("lea", b"copy of lea"), data=(b"copy of lea",))
            people.document(container, Resource.STATE, "lea")
            container.research.aggregates.run()
            subject = container.people.finder.subjects(person("lea"))[0]
            earlier = saved(container.operations.backups.create(tmp_path / "earlier.tar").path)
            container.people.erasures.advance(container.people.erasures.erase(person("lea"), actor="cli:drill").id)
            tokens = {*container.people.finder.flat(person("lea")), subject}
            organisation, bodies = container.settings.organisation, container.traces.bodies
            old = {1: AESGCM(keyfile.read(container.settings.key_path).keks.keys[1])}
            container.operations.key_service.rotate()
            container.operations.key_service.rewrap()
            holders = HolderRepository(container.platform.store)
            until(lambda: all(holder.active == 2 for holder in holders.living(1)))
            container.operations.key_service.retire(1)
            later = saved(container.operations.backups.create(tmp_path / "later.tar").path)
            remaining = {
                number: AESGCM(key) for number, key in keyfile.read(container.settings.key_path).keks.keys.items()
            }
            assert organisation_keys.versions(container.platform.store).keys() == remaining.keys()
            container.platform.store.client.admin.command("fsync")
        finally:
            container.close()
    until(
        lambda: (
            not (folder / "data" / "mongod.lock").exists() or not (folder / "data" / "mongod.lock").read_text().strip()
        )
    )
    documents = raw(folder / "data")
    # In no collection but the audit log stands a token of theirs; the log of operations is a copy of what was.
    standing = [each for each in documents if "op" not in each and "mac" not in each]
    raw_values = {bytes(value) for each in standing for part in values(each) for value in _bytes(part)}
    assert not tokens & raw_values
    keys = learner_keys(documents, remaining, organisation)
    assert subject not in keys
    found = opened(documents, keys, bodies)
    assert found.keys() == {UUID(each["id"]) for each in others}
    now = {each["_id"]: each["body"] for each in standing if isinstance(each.get("_id"), UUID) and "print" in each}
    assert now.keys() == found.keys()
    for plain in opened([{"_id": id, "body": body} for id, body in now.items()], keys, bodies).values():
        assert b"Name of lea" not in plain[0]
    assert not any(b"le chat dort" in plain for some in found.values() for plain in some)
    # What docs/threat-model.md says: until its version is retired, the log of operations still holds the wrapped key.
    assert subject in learner_keys(documents, old, organisation)
    # So does a backup from before the erasure; one made after it holds nothing of theirs for any key.
    assert subject in learner_keys(earlier, old, organisation)
    assert not learner_keys(earlier, remaining, organisation)
    assert not opened(earlier, keys, bodies).keys() & {UUID(each["id"]) for each in own}
    assert subject not in learner_keys(later, remaining, organisation) | learner_keys(later, old, organisation)
    assert opened(later, keys, bodies).keys() == {UUID(each["id"]) for each in others}
    held = {bytes(value) for each in later if "mac" not in each for part in values(each) for value in _bytes(part)}
    assert not tokens & held
    assert not any(
        text in path.read_bytes()
        for path in (folder / "data").rglob("*")
        if path.is_file()
        for text in (b"Name of lea", b"le chat dort")
    )


def _bytes(part: Any) -> Iterator[bytes]:
    inner = part.values() if isinstance(part, dict) else part
    yield from (value for value in inner if isinstance(value, bytes))
