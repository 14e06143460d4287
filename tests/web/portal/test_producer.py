"""Pages of producers: how a source fares, checks before sending, keys, the formats it promises."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests
from playwright.sync_api import Browser

from app.access.credentials import MAX_KEYS
from app.access.roles import Role
from app.core import contracts
from app.standards.profiles import examples as rules
from app.standards.profiles.document import Profile, load
from app.standards.profiles.examples import examples
from app.standards.profiles.extensions import Extensions
from app.standards.xapi.versions import negotiate
from app.web.portal.fault_words import FaultWords
from app.web.portal.visitors import COOKIE
from tests.commands.test_check import VALID
from tests.served import ACTIVITY, Server, serving, statement
from tests.web.portal.browsing import NEEDED
from tests.web.portal.signed_in import SignedIn, grant, signed_in

HOSTILE = "<script>alert('x')</script>{{ 7*7 }}\" onload=\"x"
FAILING = {**VALID["p2ia-answered"], "result": {}}
INVALID = statement(result={"duration": "P1M30S"}, **{"<script>alert(1)</script>": 1})
P2IA = "https://w3id.org/sillage/profiles/p2ia"
SECRET = re.compile(r'id="made-secret">([^<]+)<')
KEY = re.compile(r'id="made-key">([^<]+)<')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("producer"), mongodb_uri, workers="1") as server:
        for name in ("p2ia.jsonld", "ent.jsonld"):
            server.container.traces.profiles.add(contracts.folder("profiles", name).read_bytes())
        server.source("tutor", profiles=[P2IA], mode="warn")
        yield server


def of(site: Server, *sources: str) -> SignedIn:
    """Somebody who answers for these sources."""
    return signed_in(site, *(grant(Role.PRODUCER, sources=frozenset({each})) for each in sources))


def checked(
    site: Server, visitor: SignedIn, content: bytes, *, file: bool = False, path: str = "/en/sources/tutor/check"
):
    """The answer to a form with statements, pasted or as a file."""
    fields: dict[str, Any] = {"token": (None, visitor.form_token()), "version": (None, "1.0.3")}
    fields["file" if file else "statements"] = ("x.json", content) if file else (None, content)
    return requests.post(
        site.url + path,
        files=fields,
        headers={"Cookie": f"{COOKIE}={visitor.token}"},
        timeout=120,
        allow_redirects=False,
    )


# --- my source --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "reason"), [("fr", "Le standard n’a pas cette propriété"), ("en", "no such property")]
)
def test_what_came_and_why_it_was_refused(site: Server, language: str, reason: str) -> None:
    name = f"fares-{language}"
    key = site.source(name, profiles=[P2IA], mode="warn")
    answered = [{**each, "id": str(uuid4())} for each in (VALID["p2ia-answered"], FAILING)]
    assert site.post(key, answered).status_code == 200
    assert site.post(key, [INVALID]).status_code == 400
    visitor = of(site, name)
    page = ""
    for _ in range(100):
        page = visitor.get(f"/{language}/source").text
        if reason in page and "template-included" in page:
            break
        time.sleep(0.1)
    assert reason in page and "template-included" in page
    assert "duration-format" in page and "PT1M30S" in page
    assert "/templates/answered" in page
    # Nothing of what was sent, not even the name of a property.
    assert "script>alert" not in page and "alert(1)" not in page
    assert "Camille" not in page.partition("<main")[2]
    csv = visitor.get(f"/{language}/sources/{name}/arrivals.csv")
    assert csv.text.splitlines()[-1].split(",")[1:] == ["2", "1", "0", "1", "1"]
    assert "attachment" in csv.headers["Content-Disposition"]


def test_a_source_that_never_sent_anything(site: Server) -> None:
    site.source("quiet-one")
    page = of(site, "quiet-one").get("/en/source").text
    assert "none yet" in page and "No fault in seven days." in page and "promises no profile" in page


def test_a_hostile_name_stays_text(site: Server) -> None:
    sources = site.container.operations.sources
    sources.add("hostile-name", name=HOSTILE, activity=ACTIVITY["id"], actor="cli:test")
    visitor = of(site, "hostile-name", "tutor")
    for path in ("source", "sources/hostile-name", "sources/hostile-name/check", "sources/hostile-name/keys"):
        page = visitor.get(f"/fr/{path}").text
        assert "<script>alert" not in page and "&lt;script&gt;" in page
        assert "7*7" in page and ' onload="x"' not in page


def test_somebody_with_several_sources_chooses_and_sees_no_other(site: Server) -> None:
    site.source("second")
    site.source("third")
    visitor = of(site, "second", "tutor")
    page = visitor.get("/en/source/keys").text
    assert "/en/sources/second/keys" in page and "/en/sources/tutor/keys" in page and "third" not in page
    assert visitor.get("/en/sources/second").status_code == 200
    for path in ("", "/check", "/keys", "/profiles", "/connection", "/arrivals.csv", "/arrivals.vl.json"):
        for source in ("third", "never-registered"):
            answer = visitor.get(f"/en/sources/{source}{path}")
            assert answer.status_code == 403 and "outside-perimeter" in answer.text
    answer = visitor.post("/en/sources/third/keys", {"act": "make"})
    assert answer.status_code == 403
    assert len(site.container.operations.sources.keys("third")) == 1
    noted = site.container.governance.audit.newest(("outside-perimeter",))[0]
    assert noted.actor == visitor.user.id and noted.detail["asked"] == "source"
    assert visitor.get("/en/sources/not%20one/keys").status_code == 403


# --- statements before they are sent ----------------------------------------------------------------


@pytest.mark.parametrize("file", [False, True])
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ("Trace 2", "Trace 3", "serait refusé", "PT1M30S")),
        ("en", ("Statement 2", "Statement 3", "would be refused")),
    ],
)
def test_a_batch_is_judged_statement_by_statement(
    site: Server, file: bool, language: str, words: tuple[str, ...]
) -> None:
    visitor = of(site, "tutor")
    batch = orjson.dumps([VALID["p2ia-answered"], FAILING, INVALID])
    before = site.container.traces.arrivals.report("tutor").today
    answer = checked(site, visitor, batch, file=file, path=f"/{language}/sources/tutor/check")
    assert answer.status_code == 200, answer.text
    for each in (
        *words,
        "/result/duration",
        "duration-format",
        "template-included",
        "/result/success",
        "xAPI-Data 4.6",
    ):
        assert each in answer.text, each
    assert "<script>alert" not in answer.text and "&lt;script&gt;alert(1)" in answer.text
    assert answer.headers["Cache-Control"] == "private, no-store"
    # Nothing was stored, nor counted.
    assert site.container.traces.arrivals.report("tutor").today == before
    accepted = checked(site, visitor, orjson.dumps(VALID["p2ia-answered"]), file=file)
    assert "would be accepted" in accepted.text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Il n’y a rien"),
        (b"[", "coup"),
        (b'[{"actor":', "coup"),
        (b"{'a': 1}", "Ce n’est pas du JSON"),
        (b"[1, 2]", "Doit être un objet JSON"),
        (b'{"a": 1, "a": 2}', "deux fois"),
        (b"[" * 5_000, "emboîté"),
        (b'"' + b"x" * 300_000 + b'"', "Doit être un objet JSON"),
        (b"\xff\xfe{}", "UTF-8"),
        (b"<svg onload=alert(1)>", "Ce n’est pas du JSON"),
        (b"[" + b",".join([b"{}"] * 20_000) + b"]", "Trop à la fois"),
    ],
)
def test_what_are_no_statements_gets_a_clear_answer(site: Server, content: bytes, words: str) -> None:
    answer = checked(site, of(site, "tutor"), content, file=True, path="/fr/sources/tutor/check")
    assert answer.status_code == 422, answer.text[-500:]
    assert words in answer.text.partition("<main")[2]
    assert "<svg onload" not in answer.text


def test_what_is_pasted_stands_in_the_form_again_as_text(site: Server) -> None:
    pasted = '{"a": "</textarea><script>alert(1)</script>"'
    answer = checked(site, of(site, "tutor"), pasted.encode())
    assert answer.status_code == 422
    assert "</textarea><script>" not in answer.text and "&lt;/textarea&gt;" in answer.text


def test_a_file_beyond_the_limit_is_refused_and_the_server_goes_on(site: Server) -> None:
    limit = site.settings.max_body_bytes
    visitor = of(site, "tutor")
    answer = checked(site, visitor, b" " * (limit + 10), file=True)
    assert answer.status_code == 422 and "too large" in answer.text
    try:
        answer = checked(site, visitor, b" " * (limit + 1024 * 1024), file=True)
        assert answer.status_code == 413
    except requests.ConnectionError:  # the answer came before all was sent
        pass
    assert visitor.get("/en/sources/tutor/check").status_code == 200


@pytest.mark.parametrize("boundary", ["", "x" * 500, 'a"b', "é"])
def test_a_form_that_cannot_be_taken_apart_is_a_400(site: Server, boundary: str) -> None:
    visitor = of(site, "tutor")
    headers = {
        "Cookie": f"{COOKIE}={visitor.token}",
        "Content-Type": f"multipart/form-data; boundary={boundary}".encode().decode("latin-1"),
    }
    answer = requests.post(
        f"{site.url}/en/sources/tutor/check", b"--nothing\r\nat all", headers=headers, timeout=60, allow_redirects=False
    )
    assert answer.status_code in {400, 403}


def test_only_the_page_that_says_so_takes_a_file(site: Server) -> None:
    visitor = of(site, "tutor")
    answer = checked(site, visitor, b"{}", file=True, path="/en/sources/tutor/keys")
    assert answer.status_code == 400 and "unsupported-content-type" in answer.text


# --- words of faults --------------------------------------------------------------------------------


def test_every_fault_of_the_standard_is_said_in_french() -> None:
    words = FaultWords("fr")
    said: set[str] = set()

    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            if isinstance(schema.get("description"), str) and "x-rule" in schema:
                said.add(schema["description"])
            for each in schema.values():
                look(each)
        elif isinstance(schema, list):
            for each in schema:
                look(each)

    for version in ("1.0.3", "2.0.0"):
        look(contracts.load("xapi", version, "statement.json"))
    assert len(said) > 20
    said |= {
        "Missing: `verb`, `object`.",
        "Must be one of `Agent`, `Group` (case-sensitive).",
        "Must be `Activity` (case-sensitive).",
        "Must be at least -1.",
        "Must be at most 1.",
        "Must be a string.",
        "Must be an object or an array.",
        "Must be true or false.",
        "Must have at least 1 item.",
        "Must have at most 1,000 characters: statements are found by it.",
        "Not a valid time: outside the years 1 to 9999.",
        "$.result.success: a value is required here.",
        "$.a then $.b: only the values that the template lists are allowed.",
    }
    for each in said:
        reason = words.reason(each)
        assert reason.language == "fr", each
        assert reason.text != each or not re.search("[a-z]{4}", each)
        assert FaultWords("en").reason(each) == (each, "en")
    assert words.reason("Something of tomorrow.") == ("Something of tomorrow.", "en")
    assert words.advice("template-included") != words.advice("anything-else")


def test_faults_as_they_are_told_are_all_said_in_french(site: Server) -> None:
    wrong = [
        INVALID,
        FAILING,
        {**VALID["p2ia-answered"], "actor": {"name": "Camille", "mbox": "mailto:camille@ent.example"}},
        {**VALID["p2ia-answered"], "timestamp": "yesterday"},
        {**VALID["p2ia-answered"], "timestamp": "2026-02-30T00:00:00Z"},
        statement(actor={}, verb="x", object=[]),
        statement(result={"score": {"scaled": 7, "raw": 3, "min": 5, "max": 1}}),
        statement(attachments=[{"usageType": "x"}]),
        statement(object={"objectType": "SubStatement"}),
        statement(context={"registration": "x", "contextActivities": {"parent": 3}, "extensions": {"x": 1}}),
        {**VALID["p2ia-answered"], "context": {"extensions": {"https://w3id.org/sillage/extensions/uai": "0750001D"}}},
    ]
    source = site.container.access.credentials.source("tutor")
    report = site.container.traces.checking.check(orjson.dumps(wrong), source, negotiate("1.0.3"))
    words = FaultWords("fr")
    messages = {each["message"] for one in report["judged"] for each in one["faults"]}
    assert len(messages) > 15
    assert [each for each in messages if words.reason(each).language != "fr"] == []


# --- keys -------------------------------------------------------------------------------------------


def keys_of(site: Server, source: str) -> dict[str, Any]:
    return {each.id: each for each in site.container.operations.sources.keys(source)}


def test_a_key_is_made_shown_once_and_works(site: Server) -> None:
    site.source("makes-keys")
    visitor = of(site, "makes-keys")
    fields = {"act": "make", "label": HOSTILE, "once": uuid4().hex}
    answer = visitor.post("/en/sources/makes-keys/keys", fields)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "private, no-store"
    id, secret = KEY.findall(answer.text)[0], SECRET.findall(answer.text)[0]
    made = site.container.access.credentials.verify(id, secret.encode())
    assert made.source == "makes-keys"
    page = visitor.get("/en/source/keys").text
    assert secret not in page and id in page and "<script>alert" not in page
    # Sent again by a double click, or by loading the page again: no second key, and no secret.
    again = visitor.post("/en/sources/makes-keys/keys", fields)
    assert again.status_code == 422 and "sent before" in again.text and not SECRET.search(again.text)
    # Nor by a form that does not say which it is.
    for once in ({}, {"once": "x"}):
        answer = visitor.post("/en/sources/makes-keys/keys", {"act": "make", **once})
        assert answer.status_code == 403 and "form-refused" in answer.text
    assert len(keys_of(site, "makes-keys")) == 2
    # The page has one of its own; what came to nothing may be sent again.
    found = re.search(r'name="once" value="([0-9a-f]{32})"', page)
    assert found is not None
    for until, status in (("2020-01-01", 422), ("", 200)):
        sent = {"act": "make", "until": until, "once": found[1]}
        assert visitor.post("/en/sources/makes-keys/keys", sent).status_code == status
    assert len(keys_of(site, "makes-keys")) == 3
    entry = site.container.governance.audit.newest(("credential-created",))[1]
    assert entry.actor == visitor.user.id and entry.detail["credential"] == id and secret not in str(entry)


def test_a_key_is_replaced_while_the_old_one_works_on(site: Server) -> None:
    old = site.source("rotates", scopes=["statements/write", "state"])
    visitor = of(site, "rotates")
    until = site.container.platform.today() + timedelta(days=3)
    answer = visitor.post(
        "/fr/sources/rotates/keys", {"act": "rotate", "key": old.id, "until": until.isoformat(), "once": uuid4().hex}
    )
    assert answer.status_code == 200, answer.text
    made = keys_of(site, "rotates")[KEY.findall(answer.text)[0]]
    assert made.scopes == ("statements/write", "state") and made.ends is None
    assert site.container.operations.sources.last_day(keys_of(site, "rotates")[old.id]) == until
    assert site.post(old, [statement()]).status_code == 200
    entry = site.container.governance.audit.newest(("credential-ends",))[0]
    assert entry.actor == visitor.user.id and entry.detail["credential"] == old.id
    assert entry.detail["until"] == until.isoformat()
    # An earlier end stays.
    later = until + timedelta(days=30)
    assert visitor.post("/fr/sources/rotates/keys", {"act": "end", "key": old.id, "until": later.isoformat()}).ok
    assert site.container.operations.sources.last_day(keys_of(site, "rotates")[old.id]) == until


def test_a_revoked_key_is_refused_at_once(site: Server) -> None:
    key = site.source("revokes")
    visitor = of(site, "revokes")
    assert site.post(key, [statement()]).status_code == 200
    unsure = visitor.post("/en/sources/revokes/keys", {"act": "revoke", "key": key.id})
    assert unsure.status_code == 422 and site.post(key, [statement()]).status_code == 200
    fields = {"act": "revoke", "key": key.id, "sure": "yes"}
    assert visitor.post("/en/sources/revokes/keys", fields).status_code == 303
    assert site.post(key, [statement()]).status_code == 401
    assert visitor.post("/en/sources/revokes/keys", fields).status_code == 303
    assert (
        visitor.post("/en/sources/revokes/keys", {"act": "rotate", "key": key.id, "once": uuid4().hex}).status_code
        == 422
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"act": "make", "until": "2020-01-01"}, "avant aujourd’hui"),
        ({"act": "make", "until": "2999-01-01"}, "dans les dix ans"),
        ({"act": "make", "until": "0001-01-01"}, "avant aujourd’hui"),
        ({"act": "make", "until": "9999-12-31"}, "dans les dix ans"),
        ({"act": "make", "until": "demain"}, "est une date"),
        ({"act": "make", "until": "2027-W01-1"}, "est une date"),
        ({"act": "end", "key": "own"}, "dernier jour"),
        ({"act": "burn"}, "Choisissez"),
        ({}, "Choisissez"),
        ({"act": "revoke", "sure": "yes", "key": HOSTILE}, "n’a pas cette clé"),
        ({"act": "revoke", "sure": "yes", "key": "foreign"}, "n’a pas cette clé"),
        ({"act": "rotate", "key": "foreign"}, "n’a pas cette clé"),
        ({"act": "end", "key": "foreign", "until": "2027-01-01"}, "n’a pas cette clé"),
        ({"act": "revoke", "sure": "yes", "key": "tutor"}, "n’a pas cette clé"),
    ],
)
def test_what_cannot_be_done_with_keys_is_said_and_changes_nothing(
    site: Server, fields: dict[str, str], words: str
) -> None:
    own, foreign = site.source(f"own-{uuid4().hex[:8]}"), site.source()
    name = site.container.access.sources_repository.credential(own.id).source
    sent = {
        "once": uuid4().hex,
        **fields,
        "key": {"own": own.id, "foreign": foreign.id}.get(fields.get("key", ""), fields.get("key", "")),
    }
    before = site.container.access.sources_repository.credentials()
    answer = of(site, name).post(f"/fr/sources/{name}/keys", sent)
    assert answer.status_code == 422 and words in answer.text and "<script>alert" not in answer.text
    assert site.container.access.sources_repository.credentials() == before


def test_a_source_has_only_so_many_keys(site: Server) -> None:
    site.source("crowded")
    for _ in range(MAX_KEYS - 1):
        site.credential("statements/write", source="crowded")
    answer = of(site, "crowded").post("/en/sources/crowded/keys", {"act": "make", "once": uuid4().hex})
    assert answer.status_code == 422 and "as many keys as it may" in answer.text


# --- what to send, and where ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p2ia", "ent"])
def test_each_template_has_an_example_that_conforms(site: Server, name: str) -> None:
    loaded = site.container.traces.profiles.list()
    profile = load(contracts.folder("profiles", f"{name}.jsonld").read_bytes())
    source = f"examples-{name}"
    key = site.source(source, profiles=[profile.id], mode="reject")
    made_of_each = examples(profile, loaded)
    assert len(made_of_each) == len(profile.templates)
    for template, made in made_of_each:
        assert made is not None, template.id
        if not template.context_reference:
            answer = site.post(key, [{**made, "id": str(uuid4())}])
            assert answer.status_code == 200, (template.id, answer.text)
    page = of(site, source).get("/fr/source/profiles").text
    assert page.count("Exemple de trace") == len(profile.templates)


def test_examples_are_made_once_until_a_profile_changes(site: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted(Extensions):
        def __init__(self, profiles: Sequence[Profile]) -> None:
            made.append(len(profiles))
            super().__init__(profiles)

    monkeypatch.setattr(rules, "Extensions", Counted)
    profile = load(contracts.folder("profiles", "p2ia.jsonld").read_bytes())
    site.source("remembered", profiles=[profile.id])
    source = site.container.access.sources_repository.get("remembered")
    assert source is not None
    profiles = site.container.traces.profiles
    profiles.forget()
    shown = [[len(listed) for _, listed in profiles.examples(source)] for _ in range(2)]
    assert shown == [[len(profile.templates)]] * 2 and len(made) == 1
    profiles.forget()
    assert profiles.examples(source) and len(made) == 2


def test_no_example_rather_than_one_that_does_not_conform() -> None:
    raw = orjson.loads(contracts.folder("profiles", "p2ia.jsonld").read_bytes())
    raw["templates"] = raw["templates"][:1]
    raw["patterns"] = []
    raw["templates"][0]["rules"] = [
        {"location": "$.result.extensions['https://x.example/unknown']", "presence": "included"}
    ]
    profile = load(orjson.dumps(raw))
    assert [made for _, made in examples(profile)] == [None]


def test_the_command_of_the_page_works(site: Server) -> None:
    key = site.source("curls")
    page = of(site, "curls").get("/en/source/connection").text
    shown = re.findall(r'id="send">(.+?)</code>', page, re.DOTALL)[0].replace("&#34;", '"').replace("&#39;", "'")
    words = shlex.split(shown)
    assert words[0] == "curl" and words[-1] == f"{site.url}/xAPI/statements"
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    body = words[words.index("-d") + 1]
    answer = requests.post(words[-1], body, headers=headers, auth=(key.id, key.secret), timeout=60)
    assert answer.status_code == 200, answer.text


# --- as a person does it ----------------------------------------------------------------------------


@NEEDED
@pytest.mark.parametrize(
    ("language", "menu", "field", "button", "reason"),
    [
        ("fr", "Vérifier des traces", "Traces", "Vérifier", "Doit être une durée ISO 8601"),
        ("en", "Check statements", "Statements", "Check", "Must be an ISO 8601 duration"),
    ],
)
def test_a_vendor_finds_why_its_statements_fail_by_keyboard_and_without_script(
    site: Server, browser: Browser, language: str, menu: str, field: str, button: str, reason: str
) -> None:
    name = f"vendor-{language}"
    key = site.source(name, profiles=[P2IA], mode="reject")
    assert site.post(key, [INVALID]).status_code == 400
    context = browser.new_context(java_script_enabled=False)
    of(site, name).into(context)
    page = context.new_page()
    for _ in range(50):
        page.goto(f"{site.url}/{language}/my")
        if page.get_by_text(reason).count():
            break
        page.wait_for_timeout(100)
    assert page.get_by_text(reason).first.is_visible()
    # To the form by the keyboard alone, and from there to the verdict.
    link = page.get_by_role("navigation").get_by_role("link", name=menu)
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/check$"))
    page.get_by_label(field, exact=True).focus()
    page.keyboard.insert_text(orjson.dumps(INVALID).decode())
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.locator("button:focus").count():
            break
    assert page.locator("button:focus").inner_text() == button
    page.keyboard.press("Enter")
    page.locator("#verdict").wait_for()
    assert page.get_by_text(reason).first.is_visible()
    assert page.get_by_text("/result/duration").first.is_visible()
    context.close()
