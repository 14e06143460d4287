"""Nothing personal in clear in MongoDB: the raw database is dumped and searched."""

from __future__ import annotations

import base64

import orjson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.served import Server, statement

NAMES = {
    "name": "Léa Martin-Dubois",
    "account": "eleve-0750654D-4711",
    "mbox": "lea.martin@ac-paris.example",
    "answer": "le chat dort sur le canape",
    "activity": "https://ent.example/exercices/conjugaison-4711",
    "title": "Conjuguer le verbe dormir",
    "extension": "troubles-dys-suspectes",
    "registration": "3f2f8c0e-8d0c-4a57-9e2f-6f1f2c9d8b7a",
    "instructor": "prof.durand@ac-paris.example",
}


def test_a_dump_of_the_database_holds_no_name_account_answer_or_activity(server: Server) -> None:
    tutor = server.source()
    sent = statement(
        actor={"name": NAMES["name"], "account": {"homePage": "https://ent.example", "name": NAMES["account"]}},
        object={"id": NAMES["activity"], "definition": {"name": {"fr": NAMES["title"]}}},
        result={"response": NAMES["answer"]},
        context={
            "registration": NAMES["registration"],
            "instructor": {"mbox": f"mailto:{NAMES['instructor']}"},
            "extensions": {"https://ent.example/x": NAMES["extension"]},
        },
    )
    other = statement(actor={"mbox": f"mailto:{NAMES['mbox']}"})
    assert server.post(tutor, [sent, other]).status_code == 200
    agent = orjson.dumps(sent["actor"]).decode()
    assert len(server.get(tutor, agent=agent, limit=1).json()["statements"]) == 1
    assert server.get(tutor, activity=NAMES["activity"]).status_code == 200
    server.container.research.aggregates.run()
    store = server.container.platform.store
    dump = b"".join(
        document.raw
        for name in store.db.list_collection_names()
        for document in store.db.get_collection(name, codec_options=CodecOptions(RawBSONDocument)).find({})
    )
    assert len(dump) > 10_000
    for what, text in NAMES.items():
        raw = text.encode()
        for form in (raw, raw.lower(), base64.b64encode(raw)[:-4], orjson.dumps(text)[1:-1]):
            assert form not in dump, what
    assert bytes.fromhex(NAMES["registration"].replace("-", "")) not in dump
    assert b"https://ent.example" not in dump


def test_logs_hold_no_personal_data_nor_query_strings(server: Server) -> None:
    tutor = server.source()
    agent = orjson.dumps({"mbox": "mailto:secret.person@ent.example"}).decode()
    server.get(tutor, agent=agent)
    server.get(tutor, agent="{broken secret.person")
    server.post(tutor, statement(actor={"mbox": "secret.person"}))
    text = server.log.read_text()
    assert "secret.person" not in text
    assert tutor.secret not in text
    lines = [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert any(line.get("route") == "/xAPI/statements" and line.get("request") for line in lines)


def test_metrics_add_up_over_the_workers(server: Server) -> None:
    tutor = server.source()

    def total() -> float:
        text = server.send("GET", "/metrics").text
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith('sillage_statements_total{outcome="stored"}')
        )

    before = total()
    for _ in range(30):
        server.post(tutor, [statement(), statement()])
    assert total() - before == 60
    assert "eleve" not in server.send("GET", "/metrics").text
