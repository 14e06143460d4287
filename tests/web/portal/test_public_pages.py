"""Public pages, as sent by a real server."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import pytest
import requests

from app.core import clock, contracts
from app.core.errors import DatabaseUnavailable, NotFound
from app.core.language import LANGUAGES
from app.operations.measures import Measured
from app.settings import load
from app.web.portal.assets import FOLDER, Assets
from app.web.portal.frame import _environment
from app.web.portal.public_record import PublicRecord
from app.wiring.container import Container
from app.wiring.web_application import create_app
from tests.places import ROOT
from tests.served import Server, serving
from tests.web.portal.pages import PAGES

ENTRY = orjson.loads((ROOT / "docs" / "examples" / "processing-activities" / "ent.json").read_bytes())
HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"
NAME = "Traces d’apprentissage de l’académie <b>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, mongodb_uri, workers="1", service_name=NAME, contact="contact@ent.example") as server:
        server.container.governance.register.add(orjson.dumps(ENTRY))
        hostile = {"fr": f"fr {HOSTILE}", "en": f"en {HOSTILE}"}
        party = {"name": HOSTILE, "contact": HOSTILE}
        server.container.governance.register.add(
            orjson.dumps(
                {
                    **ENTRY,
                    "id": "hostile",
                    "name": hostile,
                    "purposes": [hostile],
                    "controller": party,
                    "dpo": party,
                    "transfers": [{"country": "CA", "recipient": hostile, "safeguards": hostile}],
                    "security": hostile,
                    "impact_assessment": hostile,
                }
            )
        )
        server.container.traces.profiles.add(contracts.folder("profiles", "ent.jsonld").read_bytes())
        yield server


def got(site: Server, path: str, **headers: str) -> requests.Response:
    return requests.get(site.url + path, headers={"Accept": "text/html", **headers}, timeout=30, allow_redirects=False)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("path", [*PAGES, "processing-activities/hostile"])
def test_every_page_is_there_in_every_language(site: Server, language: str, path: str) -> None:
    answer = got(site, f"/{language}/{path}")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Language"] == language and f'<html lang="{language}">' in answer.text
    other = next(code for code in LANGUAGES if code != language)
    assert f'href="/{other}/{path}" lang="{other}"' in answer.text
    # Nothing from elsewhere, nothing to run, nobody's secret, and who visits is not asked to keep anything.
    assert not re.search(r"(?:src|href|action)=\"(?!/|#|mailto:)", answer.text)
    assert "<script" not in answer.text.lower() and "style=" not in answer.text
    assert "Set-Cookie" not in answer.headers
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert "{{" not in answer.text.replace("{{ 7*7 }}", "") and ">49<" not in answer.text


def test_pages_lead_nowhere_that_is_not_there(site: Server) -> None:
    seen, waiting = set(), {"/fr/", "/en/"}
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = got(site, path)
        assert answer.status_code == 200, path
        if answer.headers["Content-Type"].startswith("text/html"):
            links = re.findall(r"(?:href|src)=\"(/[^\"#]*)(?:#([^\"]*))?\"", answer.text)
            # Where it leads depends on who is signed in.
            waiting |= {link for link, _ in links if not link.endswith("/my")} - seen
            for link, part in links:
                assert not part or f'id="{part}"' in got(site, link).text, (path, link, part)
    assert {f"/{language}/{page}" for language in LANGUAGES for page in PAGES} <= seen


def test_what_is_said_of_somebody_is_shown_as_it_is_written(site: Server) -> None:
    text = got(site, "/fr/processing-activities/hostile").text
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;{{ 7*7 }}") >= 6
    assert "académie &lt;b&gt;" in text


def test_an_entry_is_told_whole_but_for_what_protects_it(site: Server) -> None:
    text = got(site, "/en/processing-activities/ent").text
    told: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            told.extend([value["en"]] if "en" in value else [])
            for each in () if "en" in value else value.values():
                gather(each)
        elif isinstance(value, list):
            for each in value:
                gather(each)
        elif isinstance(value, str):
            told.append(value)

    # What protects the data is for the controller and the authority (art. 30(4)), not for whoever attacks.
    unsaid = ("id", "in_force_from", "review_by", "security")
    gather({name: value for name, value in ENTRY.items() if name not in unsaid})
    words = text.replace("&#39;", "'")
    assert [each for each in told if each not in words] == ["stored"]
    assert ENTRY["security"]["en"] not in words
    assert "1 September 2026" in text and "1 September 2027" in text and "92 days, about 3 months" in text


def test_the_navigation_says_page_of_no_other_page(site: Server) -> None:
    assert '<a href="/fr/processing-activities" aria-current="page">' in got(site, "/fr/processing-activities").text
    assert '<a href="/fr/processing-activities" aria-current="true">' in got(site, "/fr/processing-activities/ent").text


@pytest.mark.parametrize(
    ("days", "said"),
    [(30, "30\u00a0jours"), (92, "92\u00a0jours, environ 3\u00a0mois"), (396, "396\u00a0jours, environ 13\u00a0mois"),
     (1826, "1\u202f826\u00a0jours, environ 5\u00a0ans")],
)  # fmt: skip
def test_a_duration_is_told_in_months_and_long_ones_in_years(days: int, said: str) -> None:
    macros = _environment("fr", ZoneInfo("Europe/Paris")).get_template("macros.html").make_module({"language": "fr"})
    assert macros.duration(days).strip() == said  # type: ignore[attr-defined]


def test_a_text_is_in_the_language_of_the_page_whatever_its_country() -> None:
    text = _environment("fr", ZoneInfo("Europe/Paris")).filters["text"]
    assert text({"en-US": "Reading", "fr-FR": "Lecture"}) == "Lecture"
    assert text({"en": "Reading"}) == "Reading" and text({}) == ""


def test_the_door_leads_to_the_language_of_the_browser(site: Server) -> None:
    answer = got(site, "/", **{"Accept-Language": "en-GB"})
    # Relative: behind a proxy the server does not know what it is called.
    assert answer.status_code == 302 and answer.headers["Location"] == "/en/"
    assert "Accept-Language" in answer.headers["Vary"]
    assert got(site, "/").headers["Location"] == "/fr/"
    assert got(site, "/", Host="evil.example").headers["Location"] == "/fr/"
    assert answer.content == b"" and "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_an_address_without_a_path_is_that_of_the_door(site: Server) -> None:
    host = site.url.removeprefix("http://")
    with socket.create_connection((host.partition(":")[0], int(host.rpartition(":")[2])), timeout=20) as client:
        client.sendall(f"GET http://{host} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.startswith(b"HTTP/1.1 302 ") and b"Location: /fr/\r\n" in received


def test_no_address_leads_to_a_name_that_a_client_made_up(site: Server) -> None:
    for path in ("/fr", "/en", "/fr/", "//evil.example/fr", "/fr/help/"):
        answer = got(site, path, Host="evil.example")
        assert "evil.example" not in answer.headers.get("Location", "") and "//evil" not in answer.text, path
    assert got(site, "/fr", Host="evil.example").text == got(site, "/fr/").text


@pytest.mark.parametrize(
    "path",
    [
        "/de/",
        "/fr/processing-activities/none",
        "/fr/processing-activities/%2e%2e",
        "/fr/data-sets/none",
        "/fr/nothing",
        "/assets/x/none.css",
        f"/assets/{Assets().edition}/none.css",
        "/assets/x/../frame.py",
        "/assets/x/%2e%2e/frame.py",
        "/assets/x/css/pico.LICENSE.md",
    ],
)
def test_what_is_not_there_is_not_found(site: Server, path: str) -> None:
    url = requests.Request("GET", site.url).prepare()
    url.url = site.url + path
    url.headers["Accept"] = "text/html"
    with requests.Session() as session:
        answer = session.send(url, timeout=30, allow_redirects=False)
    assert answer.status_code == 404 and "text/html" in answer.headers["Content-Type"]
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_assets_keep_for_a_year_under_an_address_of_their_content(site: Server) -> None:
    (address,) = set(re.findall(r"href=\"(/assets/[^\"]+\.css)\"", got(site, "/fr/").text))
    assert address == f"/assets/{Assets().edition}/css/sillage.css"
    answer = got(site, address)
    assert answer.content == (FOLDER / "css" / "sillage.css").read_bytes()
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"


def test_an_asset_asked_of_a_host_that_runs_another_version_is_there_and_nobody_keeps_it(site: Server) -> None:
    answer = got(site, "/assets/0123456789abcdef/css/sillage.css")
    assert answer.content == (FOLDER / "css" / "sillage.css").read_bytes()
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_a_style_sheet_asks_for_nothing_that_is_not_there() -> None:
    assets = Assets()
    for sheet in FOLDER.rglob("*.css"):
        for wanted in re.findall(r"url\(\"?([^\")]+)\"?\)", sheet.read_text()):
            if not wanted.startswith("data:"):
                assert assets.get((sheet.parent / wanted).resolve().relative_to(FOLDER).as_posix())
    with pytest.raises(NotFound):
        assets.get("css/none.css")


def test_what_others_made_is_as_they_published_it() -> None:
    listed = (FOLDER / "VENDORED.md").read_text()
    lines = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", listed, re.MULTILINE)
    scripts = {"js/vega.min.js", "js/vega-lite.min.js", "js/vega-interpreter.js"}
    assert {name for name, _ in lines} == {"css/pico.min.css", *scripts}
    for name, digest in lines:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
        assert (FOLDER / name).with_name(f"{(FOLDER / name).name.split('.')[0]}.LICENSE.md").exists()


def test_without_pages_there_are_none(site: Server) -> None:
    app = create_app(replace(site.settings, portal=False))
    try:
        assert not [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("portal.")]
    finally:
        app.extensions["sillage"].close()


def test_links_start_with_the_path_under_which_browsers_reach_the_store(site: Server) -> None:
    app = create_app(replace(site.settings, public_url="https://school.example/lrs/"))
    try:
        client = app.test_client()
        assert client.get("/").headers["Location"] == "/lrs/fr/"
        text = client.get("/fr/processing-activities/ent").text
        assert '<a href="/lrs/en/processing-activities/ent"' in text
        assert set(re.findall(r'(?:href|src)="(/[a-z]*)', text)) == {"/lrs"}
    finally:
        app.extensions["sillage"].close()


# --- what it costs to be asked by anybody -----------------------------------------------------------


class Counting:
    """Stands for each service, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def list(self, at: int | None = None) -> list[Any]:
        self.asked += 1
        return []

    def estimated(self) -> int:
        return 7_999

    def open(self) -> int:
        return 2

    def definitions(self) -> list[Any]:
        return []

    def minimum(self, _: Any) -> int:
        return 11

    def read(self) -> Any:
        return Measured(None, None, None)


def recorded(asked: Any) -> PublicRecord:
    return PublicRecord(
        register=asked,
        statements=asked,
        aggregates=asked,
        profiles=asked,
        sources=asked,
        measures=asked,
        zone=ZoneInfo("Europe/Paris"),
    )


def test_mongodb_is_asked_once_a_minute_however_often_pages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "steady", lambda: now)
    asked: Any = Counting()
    record = recorded(asked)
    for _ in range(100):
        assert record.figures().statements == 7_000 and record.activities() == [] and record.profiles() == []
    assert asked.asked == 2
    now = 61.0
    record.figures()
    assert asked.asked == 4


def test_while_one_looks_others_have_what_was_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "steady", lambda: now)
    looking, go_on = threading.Event(), threading.Event()

    class Slow(Counting):
        def estimated(self) -> int:
            if now > 0:
                looking.set()
                assert go_on.wait(30)
            return 7_999 if now == 0 else 8_000

    asked: Any = Slow()
    record = recorded(asked)
    assert record.figures().statements == 7_000
    now = 61.0
    seen: list[int] = []
    first = threading.Thread(target=lambda: seen.append(record.figures().statements))
    first.start()
    assert looking.wait(30)
    second = threading.Thread(target=lambda: seen.append(record.figures().statements))
    second.start()
    second.join(10)
    at_once = [*seen]
    go_on.set()
    first.join(30)
    second.join(30)
    assert at_once == [7_000] and record.figures().statements == 8_000


def test_who_waited_for_a_look_that_failed_does_not_wait_for_another() -> None:
    looks: list[int] = []
    looking, go_on = threading.Event(), threading.Event()

    class Away(Counting):
        def estimated(self) -> int:
            looks.append(1)
            looking.set()
            assert go_on.wait(30)
            raise DatabaseUnavailable("away")

    asked: Any = Away()
    record = recorded(asked)
    failed: list[bool] = []

    def ask() -> None:
        with pytest.raises(DatabaseUnavailable):
            record.figures()
        failed.append(True)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threads[0].start()
    assert looking.wait(30)
    waiting = threading.Semaphore(0)
    acquire = record._lock.acquire
    record._lock = Waited(acquire, record._lock.release, waiting)  # type: ignore[assignment]
    for thread in threads[1:]:
        thread.start()
    for _ in threads[1:]:
        assert waiting.acquire(timeout=30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(failed) == 4 and len(looks) == 1
    # Whoever comes later looks again.
    ask()
    assert len(looks) == 2


class Waited(NamedTuple):
    """A lock that says of each that it is about to wait."""

    acquired: Callable[..., bool]
    release: Callable[[], None]
    waiting: threading.Semaphore

    def acquire(self, *, blocking: bool = True) -> bool:
        self.waiting.release()
        return self.acquired(blocking=blocking)


def test_an_empty_store_says_so(tmp_path: Path, mongodb_uri: str) -> None:
    given = load({"SILLAGE_DATA_DIR": str(tmp_path / "data"), "SILLAGE_MONGODB_URI": mongodb_uri,
                  "SILLAGE_ORGANISATION": "emptysite"})  # fmt: skip
    container = Container(given)
    container.lifecycle.initialise()
    app = create_app(given)
    try:
        client = app.test_client()
        for page in ("", "processing-activities", "profiles", "help", "personal-data", "site-map", "legal-notice"):
            assert client.get(f"/fr/{page}").status_code == 200
        assert "Rien n’est encore conservé ici." in client.get("/fr/").text
        assert "L’exploitant ne l’a pas encore indiqué." in client.get("/fr/legal-notice").text
    finally:
        app.extensions["sillage"].close()
        container.platform.store.client.drop_database(given.database)
        container.close()
