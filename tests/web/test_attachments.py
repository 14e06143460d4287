"""Attachments over real HTTP, two workers: in, out, refused, sealed, and never whole in memory."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import orjson
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from app.access import scopes
from app.access.credentials import NewCredential
from app.core import clock
from app.standards.xapi.attachments import SIGNATURE
from app.traces.statements.attachment_store import ABANDONED, FRAMES, NAME, Attachment, AttachmentRepository
from app.traces.statements.attachments import MAX_ATTACHMENTS, Attachments
from app.traces.statements.store import Plain
from tests.multiparts import BOUNDARY, JSON, attachment_of, body_of, part_of, received, sha2_of, statement_with
from tests.served import Server, serving, statement
from tests.sinks import NoErasures

VERSIONS = ["1.0.3", "2.0.0"]


@pytest.fixture
def sender(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.WRITE, scopes.READ_MINE])


def _send(
    server: Server, sender: NewCredential, body: Any, *, version: str = "1.0.3", kind: str = "", **headers: str
) -> requests.Response:
    said = {"Content-Type": kind or f"multipart/mixed; boundary={BOUNDARY}"}
    said |= {name.replace("_", "-"): text for name, text in headers.items()}
    return server.send("POST", "/xAPI/statements", sender, version=version, data=body, headers=said)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_sent_comes_back_byte_for_byte(server: Server, sender: NewCredential, version: str) -> None:
    one, two = os.urandom(3_000), b"\r\n--not-the-boundary\r\n\0"
    sent = [statement_with(one, two), statement_with(one)]
    answer = _send(server, sender, body_of(sent, part_of(one), part_of(two)), version=version)
    assert answer.status_code == 200, answer.text
    single = server.get(sender, statementId=sent[0]["id"], attachments="true")
    content, data = received(single)
    assert content["attachments"] == sent[0]["attachments"]
    assert data == {sha2_of(one): one, sha2_of(two): two}
    page = server.get(sender, attachments="true")
    content, data = received(page)
    assert len(content["statements"]) == 2
    assert data == {sha2_of(one): one, sha2_of(two): two}
    plain = server.get(sender, attachments="false")
    assert plain.headers["Content-Type"] == "application/json"
    head = server.send("HEAD", "/xAPI/statements", sender, params={"attachments": "true"})
    assert (head.content, head.headers["Content-Length"]) == (b"", page.headers["Content-Length"])


def test_pages_that_follow_have_their_data_too(server: Server, sender: NewCredential) -> None:
    data = [f"data {number}".encode() for number in range(3)]
    for each in data:
        assert _send(server, sender, body_of(statement_with(each), part_of(each))).status_code == 200
    answer = server.get(sender, attachments="true", limit=2, ascending="true")
    content, first = received(answer)
    _, second = received(server.send("GET", content["more"], sender))
    assert (list(first.values()), list(second.values())) == (data[:2], data[2:])


def test_put_takes_data_and_substatements_have_some(server: Server, sender: NewCredential) -> None:
    data = b"in a substatement"
    inner = {
        "objectType": "SubStatement",
        **statement(),
        "attachments": [attachment_of(data, sha2=sha2_of(data).upper())],
    }
    id = str(uuid4())
    answer = server.send(
        "PUT",
        "/xAPI/statements",
        sender,
        params={"statementId": id},
        data=body_of(statement(object=inner), part_of(data)),
        headers={"Content-Type": f'multipart/mixed; boundary="{BOUNDARY}"'},
    )
    assert answer.status_code == 204, answer.text
    # xAPI-Communication 1.5.2: the hash of the part matches the `sha2` of the attachment.
    assert received(server.get(sender, statementId=id, attachments="true"))[1] == {sha2_of(data).upper(): data}


@pytest.mark.parametrize("algorithm", ["sha224", "sha384", "sha512"])
def test_every_sha2_will_do(server: Server, sender: NewCredential, algorithm: str) -> None:
    data = b"data"
    sha2 = hashlib.new(algorithm, data).hexdigest()
    sent = statement(id=str(uuid4()), attachments=[attachment_of(data, sha2=sha2)])
    assert _send(server, sender, body_of(sent, part_of(data, X_Experience_API_Hash=sha2))).status_code == 200
    assert received(server.get(sender, statementId=sent["id"], attachments="true"))[1] == {sha2: data}


def test_a_preamble_and_padded_boundaries_are_taken(server: Server, sender: NewCredential) -> None:
    # RFC 2046 5.1.1
    data = f"\r\n--{BOUNDARY[:-1]}\r\nContent-Type: text/html\r\n\r\n".encode()
    sent = statement_with(data)
    padded = body_of(sent, part_of(data)).replace(f"--{BOUNDARY}\r\n".encode(), f"--{BOUNDARY} \t\r\n".encode())
    body = b"This is a message in several parts.\r\nIt has - hyphens.\r\n" + padded
    assert _send(server, sender, body).status_code == 200
    assert received(server.get(sender, statementId=sent["id"], attachments="true"))[1] == {sha2_of(data): data}


def test_nothing_needs_to_come_for_a_file_elsewhere(server: Server, sender: NewCredential) -> None:
    there = statement(id=str(uuid4()), attachments=[attachment_of(b"x", fileUrl="https://ent.example/f")])
    assert _send(server, sender, body_of(there), version="2.0.0").status_code == 200
    assert _send(server, sender, body_of(statement()), version="2.0.0").status_code == 200
    content, data = received(server.get(sender, statementId=there["id"], attachments="true"))
    assert (content["id"], data) == (there["id"], {})


def test_a_retry_stores_nothing_again(server: Server, sender: NewCredential) -> None:
    data = uuid4().bytes
    body = body_of(statement_with(data), part_of(data))
    collection = server.container.platform.store.collection(NAME)
    assert _send(server, sender, body).status_code == 200
    kept = collection.count_documents({})
    assert _send(server, sender, body).status_code == 200
    assert collection.count_documents({}) == kept


DATA = b"some data"
SENT = statement_with(DATA)
OTHER = b"other data"
CASES: dict[str, tuple[Any, str]] = {
    "no part": (body_of(SENT), "attachment-without-data"),
    "an excess part": (body_of(SENT, part_of(DATA), part_of(OTHER)), "part-excess"),
    "a part for a statement without attachments": (body_of(statement(), part_of(DATA)), "part-excess"),
    "other data under the hash": (body_of(SENT, (part_of(DATA)[0], OTHER)), "attachment-sha2"),
    "no hash": (body_of(SENT, part_of(DATA, X_Experience_API_Hash="")), "part-hash"),
    "no encoding": (body_of(SENT, part_of(DATA, Content_Transfer_Encoding="")), "part-encoding"),
    "base64": (body_of(SENT, part_of(DATA, Content_Transfer_Encoding="base64")), "part-encoding"),
    "statements second": (body_of(SENT, part_of(DATA)).replace(b"application/json", b"text/plain", 1), "part-first"),
    "statements in two parts": (body_of(SENT, (JSON, orjson.dumps(SENT)), part_of(DATA)), "part-encoding"),
    "cut in the data": (body_of(SENT, part_of(DATA))[:-40], ""),
    "cut before the end": (body_of(SENT, part_of(DATA))[:-4], ""),
    "cut in the statements": (body_of(SENT, part_of(DATA))[:100], ""),
    "empty": (b" ", ""),
    "no boundary in the body": (orjson.dumps(SENT), ""),
    "another boundary": (body_of(SENT, part_of(DATA)).replace(BOUNDARY.encode(), b"other"), ""),
    "a header twice": (body_of(SENT, part_of(DATA)).replace(b"binary\r\n", b"binary\r\nContent-Type: a/b\r\n"), ""),
    "a control character in a header": (body_of(SENT, part_of(DATA, X_Name="a\x01b")), ""),
    "a header without a name": (body_of(SENT, part_of(DATA)).replace(b"Content-Transfer-Encoding:", b":"), ""),
    "a header folded over lines": (body_of(SENT, part_of(DATA, X_Name="a\r\n b")), ""),
    "a header of 100,000 bytes": (body_of(SENT, part_of(DATA, X_Name="a" * 100_000)), ""),
    "a thousand headers": (body_of(SENT, part_of(DATA, **{f"X_{n}": "a" for n in range(1_000)})), ""),
    "bare line feeds": (body_of(SENT, part_of(DATA)).replace(b"\r\n", b"\n"), ""),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_what_is_not_right_is_refused_and_nothing_of_it_kept(
    server: Server, sender: NewCredential, case: str, version: str
) -> None:
    body, rule = CASES[case]
    answer = _send(server, sender, body, version=version)
    assert answer.status_code == 400, answer.text
    if rule:
        assert rule in {fault["rule"] for fault in answer.json()["faults"]}
    assert server.get(sender).json()["statements"] == []
    assert server.container.platform.store.collection(NAME).count_documents({"statements": SENT["id"]}) == 0


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/mixed",
        "multipart/mixed; boundary=",
        f"multipart/mixed; boundary={'b' * 71}",
        'multipart/mixed; boundary="a\tb"',
        f"multipart/form-data; boundary={BOUNDARY}",
        f"multipart/related; boundary={BOUNDARY}",
    ],
)
def test_other_content_types_are_refused(server: Server, sender: NewCredential, kind: str) -> None:
    answer = _send(server, sender, body_of(SENT, part_of(DATA)), kind=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-multipart")


def test_a_path_in_a_name_is_only_a_text(server: Server, sender: NewCredential) -> None:
    data = b"data"
    disposition = 'attachment; filename="../../../etc/passwd"'
    sent = statement_with(data)
    assert _send(server, sender, body_of(sent, part_of(data, Content_Disposition=disposition))).status_code == 200
    answer = server.get(sender, statementId=sent["id"], attachments="true")
    assert b"passwd" not in answer.content


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "text",
    [
        "text/plain\r\nX-Other: 1",
        "text/plain;\rX-Other: 1",
        "text/plain; a=\x00",
        'text/plain; name="€.txt"',
        'text/plain; name="é.txt"',
        "text/plain;\u2028",
        "text/pla(in",
    ],
)
def test_a_content_type_is_one_that_a_header_can_say(
    server: Server, sender: NewCredential, text: str, version: str
) -> None:
    # xAPI-Communication 1.5.2, RFC 9110 8.3.1
    sent = statement(attachments=[attachment_of(DATA, contentType=text)])
    answer = _send(server, sender, body_of(sent, part_of(DATA)), version=version)
    assert (answer.status_code, answer.json()["faults"][0]["pointer"]) == (400, "/attachments/0/contentType")


@pytest.mark.parametrize("text", ["text/plain", 'text/plain ; name="a b.txt";charset=utf-8', "a!#$%&'*+.^_`|~-0/Z"])
def test_content_types_come_back_as_they_were_declared(server: Server, sender: NewCredential, text: str) -> None:
    sent = statement(id=str(uuid4()), attachments=[attachment_of(DATA, contentType=text)])
    assert _send(server, sender, body_of(sent, part_of(DATA))).status_code == 200
    answer = server.get(sender, statementId=sent["id"], attachments="true")
    assert f"\r\nContent-Type: {text}\r\n".encode() in answer.content


def test_a_conflict_keeps_no_data(server: Server, sender: NewCredential) -> None:
    sent = statement_with(DATA)
    assert server.post(sender, statement(id=sent["id"])).status_code == 200
    assert _send(server, sender, body_of(sent, part_of(DATA))).status_code == 409
    assert (
        server.container.platform.store.collection(NAME).count_documents(
            {"statements": {"$exists": True}, "pending": 1}
        )
        == 0
    )
    assert received(server.get(sender, statementId=sent["id"], attachments="true"))[1] == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signed_statement_is_stored_and_another_is_not(server: Server, sender: NewCredential, version: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = statement(id=str(uuid4()))
    for signed, status in ((plain, 200), ({**plain, "verb": {"id": "https://ent.example/v"}}, 400)):
        value = jwt.PyJWS().encode(orjson.dumps(signed), key, algorithm="RS256").encode()
        attachment = attachment_of(value, usageType=SIGNATURE, contentType="application/octet-stream")
        sent = {**plain, "id": signed["id"] if status == 200 else str(uuid4()), "attachments": [attachment]}
        assert _send(server, sender, body_of(sent, part_of(value)), version=version).status_code == status
        elsewhere = {**sent, "attachments": [{**attachment, "fileUrl": "https://ent.example/s"}]}
        assert server.post(sender, elsewhere, version=version).status_code == 400


@pytest.mark.parametrize("usage", [SIGNATURE, "https://ent.example/copy"])
def test_a_signature_is_of_one_statement(server: Server, sender: NewCredential, usage: str) -> None:
    # xAPI-Data 2.6
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = statement()
    value = jwt.PyJWS().encode(orjson.dumps(plain), key, algorithm="RS256").encode()
    signed = {
        **plain,
        "attachments": [attachment_of(value, usageType=SIGNATURE, contentType="application/octet-stream")],
    }
    other = {**plain, "attachments": [{**signed["attachments"][0], "usageType": usage}]}
    answer = _send(server, sender, body_of([signed, other], part_of(value)))
    assert answer.status_code == 400
    assert [(fault["pointer"], fault["rule"]) for fault in answer.json()["faults"]] == [
        ("/1/attachments/0", "signature-shared")
    ]
    twice = {**plain, "attachments": signed["attachments"] * 2}
    assert _send(server, sender, body_of(twice, part_of(value))).status_code == 400


def test_a_signature_is_no_longer_than_it_needs_to_be(server: Server, sender: NewCredential) -> None:
    value = bytes(2 * 1024 * 1024 + 1)
    attachment = attachment_of(value, usageType=SIGNATURE, contentType="application/octet-stream")
    answer = _send(server, sender, body_of(statement(attachments=[attachment]), part_of(value)))
    assert (answer.status_code, answer.json()["faults"][0]["rule"]) == (400, "signature-size")


def test_one_source_never_gets_the_data_of_another(server: Server, sender: NewCredential) -> None:
    other = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    data = uuid4().bytes
    sent = statement_with(data)
    assert _send(server, sender, body_of(sent, part_of(data))).status_code == 200
    assert server.get(other, statementId=sent["id"], attachments="true").status_code == 404
    # Knowing the digest is not having the data.
    assert server.post(other, statement_with(data)).status_code == 400


def test_data_are_sealed_and_go_with_the_learner_and_the_statement(server: Server, sender: NewCredential) -> None:
    word = uuid4().hex.encode() * 10
    actor = {"account": {"homePage": "https://ent.example", "name": uuid4().hex}}
    sent = [statement_with(word, actor=actor), statement_with(word)]
    assert _send(server, sender, body_of(sent, part_of(word))).status_code == 200
    store = server.container.platform.store
    rows = list(store.collection(NAME).find({"statements": {"$in": [_uuid(each["id"]) for each in sent]}}))
    assert len(rows) == 1
    assert len(rows[0]["keys"]) == 2
    frames = list(store.collection(FRAMES).find({}))
    assert word not in b"".join(bytes(each["data"]) for each in frames)
    assert sha2_of(word) not in repr(rows)
    repository = AttachmentRepository(store)
    repository.release([_uuid(sent[0]["id"])])
    assert received(server.get(sender, statementId=sent[0]["id"], attachments="true"))[1] == {}
    assert received(server.get(sender, statementId=sent[1]["id"], attachments="true"))[1] == {sha2_of(word): word}
    repository.release([_uuid(sent[1]["id"])])
    assert store.collection(FRAMES).count_documents({}) == len(frames) - 1


def test_erasing_one_learner_leaves_the_others_their_data(server: Server, sender: NewCredential) -> None:
    data = uuid4().bytes
    actors = [{"account": {"homePage": "https://ent.example", "name": uuid4().hex}} for _ in range(3)]
    sent = [statement_with(data, actor=actor) for actor in actors]
    assert _send(server, sender, body_of(sent, part_of(data))).status_code == 200
    store = server.container.platform.store
    repository, keys = AttachmentRepository(store), server.container.keys.subjects
    [row] = repository.of([_uuid(sent[0]["id"])])
    attachments = Attachments(repository, keys, server.container.keys.organisation, os.urandom, NoErasures())

    def read(place: int) -> list[bytes]:
        kept = {**sent[place], "stored": ""}
        subject = server.container.keys.organisation.subject(
            f"account:https://ent.example|{actors[place]['account']['name']}"
        )
        plain = Plain(_uuid(kept["id"]), 0, "", subject, b"")
        return [b"".join(each.chunks) for each in attachments.of([(plain, kept)])]

    assert [read(place) for place in range(3)] == [[data]] * 3
    for gone, subject in enumerate(
        server.container.keys.organisation.subject(f"account:https://ent.example|{actor['account']['name']}")
        for actor in actors
    ):
        store.collection("subjects").delete_one({"_id": subject})
        keys.forget()
        assert [read(place) for place in range(3)] == [[]] * (gone + 1) + [[data]] * (2 - gone)
    assert keys.existing(row.keys) == {}


def test_data_whose_statements_never_came_are_swept_after_a_day(server: Server, sender: NewCredential) -> None:
    repository = AttachmentRepository(server.container.platform.store)
    lost, waiting = os.urandom(16), os.urandom(16)
    kept = server.post(sender, statement()).json()[0]
    keys = {b"s" * 16: b"wrapped"}
    repository.begin(
        [
            Attachment(lost, b"m" * 16, keys, (uuid4(),), 0),
            Attachment(waiting, b"m" * 16, keys, (_uuid(kept),), 0),
        ]
    )
    repository.add([(lost, 0, b"frame"), (waiting, 0, b"frame")])
    assert repository.sweep(clock.now()) == 0
    assert repository.sweep(clock.now() + 2 * ABANDONED) >= 1
    assert list(repository.frames(lost)) == []
    assert list(repository.frames(waiting)) == [b"frame"]
    assert server.container.platform.store.collection(NAME).count_documents({"pending": {"$exists": True}}) == 0


@pytest.fixture(scope="module")
def roomy(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attachments")
    with serving(folder, mongodb_uri, max_attachments_bytes=str(300 * 1024 * 1024), workers="1") as running:
        yield running


def _most_memory(server: Server) -> int:
    """The most memory that any worker has had so far, MiB."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    texts = [Path(f"/proc/{child}/status").read_text() for child in children]
    peaks = [int(text.partition("VmHWM:")[2].split()[0]) // 1024 for text in texts if "VmHWM" in text]
    return max(peaks)


def test_two_hundred_megabytes_go_through_a_worker_that_never_holds_them(roomy: Server) -> None:
    sender = roomy.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    small = b"warm"
    assert _send(roomy, sender, body_of(statement_with(small), part_of(small))).status_code == 200
    before = _most_memory(roomy)
    block, blocks = os.urandom(1024 * 1024), 200
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(block)
    attachment = attachment_of(b"", sha2=digest.hexdigest(), length=blocks * len(block))
    sent = statement(id=str(uuid4()), attachments=[attachment])
    whole = body_of(sent, part_of(b"MARK", X_Experience_API_Hash=digest.hexdigest()))
    head, _, tail = whole.partition(b"MARK")

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(blocks):
            yield block
        yield tail

    answer = _send(roomy, sender, body())
    assert answer.status_code == 200, answer.text
    content = roomy.get(sender, statementId=sent["id"], attachments="true").content
    mark = digest.hexdigest().encode() + b"\r\n\r\n"
    start = content.rindex(mark) + len(mark)
    assert sha2_of(content[start : start + blocks * len(block)]) == digest.hexdigest()
    assert _most_memory(roomy) - before < 150


def test_data_that_hundreds_of_learners_share_take_the_place_of_one(roomy: Server) -> None:
    sender = roomy.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    frames, before = roomy.container.platform.store.collection(FRAMES), _most_memory(roomy)
    kept, data = frames.count_documents({}), os.urandom(3 * 1024 * 1024 + 1)
    actors = [{"account": {"homePage": "https://ent.example", "name": f"eleve-{each}"}} for each in range(400)]
    sent = [statement_with(data, actor=actor) for actor in actors]
    assert _send(roomy, sender, body_of(sent, part_of(data))).status_code == 200
    assert frames.count_documents({}) - kept == 4
    for place in (0, 399):
        answer = roomy.get(sender, statementId=sent[place]["id"], attachments="true")
        assert received(answer)[1] == {sha2_of(data): data}
    assert _most_memory(roomy) - before < 60


def test_attachments_are_limited_in_number_and_a_thousand_are_taken(roomy: Server) -> None:
    sender = roomy.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    data = [f"data {number}".encode() for number in range(MAX_ATTACHMENTS + 1)]
    answer = _send(roomy, sender, body_of(statement_with(*data), *map(part_of, data)))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    parts = [*map(part_of, data[:2]), *[part_of(data[0])] * MAX_ATTACHMENTS]
    again = _send(roomy, sender, body_of(statement_with(*data[:2]), *parts))
    assert (again.status_code, again.json()["code"]) == (413, "body-too-large")
    assert roomy.get(sender).json()["statements"] == []
    assert roomy.container.platform.store.collection(NAME).count_documents({"pending": {"$exists": True}}) == 0
    sent = statement_with(*data[:-1])
    assert _send(roomy, sender, body_of(sent, *map(part_of, data[:-1]))).status_code == 200
    found = received(roomy.get(sender, statementId=sent["id"], attachments="true"))[1]
    assert found == {sha2_of(each): each for each in data[:-1]}


def test_more_than_the_setting_is_refused(roomy: Server) -> None:
    sender = roomy.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    data = bytes(301 * 1024 * 1024)
    packed = gzip.compress(body_of(statement_with(data), part_of(data)), 1)
    answer = _send(roomy, sender, packed, Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_senders_at_the_same_time_do_not_mix(server: Server, sender: NewCredential) -> None:
    data = [os.urandom(200_000) for _ in range(8)]
    sent = [statement_with(each) for each in data]

    def send(place: int) -> None:
        assert _send(server, sender, body_of(sent[place], part_of(data[place]))).status_code == 200

    threads = [threading.Thread(target=send, args=(place,)) for place in range(len(data))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received(server.get(sender, attachments="true"))[1] == {sha2_of(each): each for each in data}


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)
