"""Sign-in by providers: ProConnect's and EduConnect's habits, and what is refused of those that err or lie."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
import requests
from joserfc.jwk import RSAKey

from app.access.perimeters import Territory
from app.access.roles import Role
from app.access.sign_in.providers.files import read_all
from app.access.users.service import User
from app.core import clock
from app.core.errors import SettingsInvalid
from app.web.portal import door
from app.web.portal.visitors import COOKIE
from tests.served import Server, free_port, serving
from tests.web.portal.browser import Browser
from tests.web.portal.provider import AGENT, GUARDIAN, HEAD, PUPIL, SECRET, Provider
from tests.web.portal.signed_in import signed_in

LABEL = {"fr": "le service", "en": "the service"}


def proconnect(issuer: str) -> dict[str, Any]:
    """As ProConnect asks for it: the secret in the form, userinfo as a signed JWT, `amr` by the parameter `claims`."""
    return {
        "id": "proconnect",
        "label": {"fr": "ProConnect", "en": "ProConnect"},
        "issuer": issuer,
        "client_id": "sillage",
        "secret_file": "secret",
        "client_auth": "post",
        "scopes": ["openid", "given_name", "usual_name", "email", "uid", "siret", "idp_id"],
        "userinfo": "jwt",
        "amr": ["mfa"],
        "subject": ["idp_id", "sub"],
        "logout": "provider",
        "name": ["given_name", "usual_name"],
        "roles": [
            {"role": "researcher", "when": {"siret": ["11004301500012"], "uid": ["1234"]}},
            {"role": "school-head", "when": {"title": ["DIR"]}, "schools_from": "FrEduRneResp"},
        ],
    }


def educonnect(issuer: str) -> dict[str, Any]:
    """As EduConnect has pupils and guardians; userinfo as JSON."""
    return {
        "id": "educonnect",
        "label": {"fr": "ÉduConnect", "en": "ÉduConnect"},
        "issuer": issuer,
        "client_id": "sillage",
        "secret_file": "secret",
        "scopes": ["openid", "profile", "ect.scope.cnx"],
        "userinfo": "json",
        "roles": [
            {
                "role": "learner",
                "when": {"FrEduCtPersonAffiliation": ["eleve1d", "eleve2d"]},
                "schools_from": "FrEduCtEleveUAI",
            },
            {"role": "guardian", "when": {"FrEduCtPersonAffiliation": ["resp1d", "resp2d"]}},
        ],
    }


def written(folder: Path, *files: Mapping[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for each in files:
        (folder / f"{each['id']}.json").write_bytes(orjson.dumps(each))
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    return folder


class Site:
    """A server, and the providers that it knows."""

    def __init__(self, server: Server, pro: Provider, edu: Provider) -> None:
        self.server = server
        self.pro = pro
        self.edu = edu


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("providers")
    pro, edu = Provider(), Provider()
    edu.userinfo_as_jwt = False
    with pro.serving(), edu.serving():
        files = written(folder / "files", proconnect(pro.url), educonnect(edu.url))
        with serving(folder, mongodb_uri, workers="1", sign_in_providers_dir=str(files)) as server:
            yield Site(server, pro, edu)


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    yield served
    for provider, person in ((served.pro, AGENT), (served.edu, PUPIL)):
        provider.person, provider.id_claims, provider.userinfo_claims = person, {}, {}
        provider.algorithm, provider.key, provider.slow, provider.nonsense = "RS256", provider.published, 0.0, None


def begun(site: Site, opened: Browser, id: str = "proconnect", query: str = "") -> str:
    """The address of the provider that a browser is sent to."""
    opened.get("/en/sign-in")
    answer = opened.get(f"/en/sign-in/with/{id}{query}")
    assert answer.status_code == 303
    return answer.headers["Location"]


def tried(site: Site, provider: Provider, id: str, query: str = "") -> Browser:
    """Somebody who goes to a provider and comes back."""
    opened = Browser(site.server.url)
    opened.get(provider.authorise(begun(site, opened, id, query)))
    return opened


def owner(site: Site, opened: Browser) -> User:
    session = site.server.container.access.sessions.find(opened.cookies[COOKIE])
    assert session is not None
    return session.user


def refused(opened: Browser, said: str = "refused") -> None:
    assert opened.page.status_code == 303
    assert opened.page.headers["Location"] in {f"/{language}/sign-in?said={said}" for language in ("fr", "en")}
    assert COOKIE not in opened.cookies
    assert opened.follow().status_code == 200 and 'class="alert bad"' in opened.page.text


def test_an_agent_signs_in_by_proconnect(site: Site) -> None:
    site.pro.person = AGENT
    opened = tried(site, site.pro, "proconnect", "?next=/en/account")
    assert opened.page.headers["Location"] == "/en/account"
    assert "Camille Exemple" in opened.follow().text
    asked = site.pro.asked
    assert len(asked["state"]) >= 32 and len(asked["nonce"]) >= 32 and asked["code_challenge_method"] == "S256"
    known = {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "claims"}
    assert set(asked) == known | {"code_challenge", "code_challenge_method"}
    user = owner(site, opened)
    assert [grant.role for grant in user.grants] == [Role.RESEARCHER] and user.grants[0].ends is not None
    entry = site.server.container.governance.audit.newest(("signed-in",))[0]
    assert entry.detail == {"user": user.id, "method": "proconnect", "second_factor": "provider"}
    # The next time it is the same account; by another identity provider behind, `sub` means somebody else.
    assert owner(site, tried(site, site.pro, "proconnect")).id == user.id
    site.pro.person = {**AGENT, "idp_id": "another"}
    assert owner(site, tried(site, site.pro, "proconnect")).id != user.id
    log = site.server.log.read_text()
    assert not {AGENT["email"], AGENT["sub"], asked["state"], SECRET} & set(re.findall(r"[^\s\"/?&=]+", log))


@pytest.mark.parametrize("change", [{"idp_id": None}, {"idp_id": 5}, {"idp_id": " "}, {"idp_id": []}], ids=str)
def test_a_part_of_what_tells_people_apart_that_is_missing_lets_nobody_in(
    site: Site, change: Mapping[str, Any]
) -> None:
    site.pro.person = {**AGENT, **change}
    refused(tried(site, site.pro, "proconnect"))


def test_a_head_of_school_has_their_school_and_loses_it_when_they_leave(site: Site) -> None:
    site.pro.person = {**HEAD, "uid": "5"}
    first = tried(site, site.pro, "proconnect")
    user = owner(site, first)
    assert [(g.role, g.perimeter.territories) for g in user.grants] == [
        (Role.SCHOOL_HEAD, frozenset({Territory("school", "0380001V")}))
    ]
    # Without a school that there is, no role: never every school.
    for uais in ([], ["x"], "0380001W", None, [None], {"a": 1}):
        site.pro.person = {**HEAD, "uid": "5", "FrEduRneResp": uais}
        refused(tried(site, site.pro, "proconnect"), "no-role")
    assert site.server.container.access.users.get(user.id).grants == ()
    assert first.get("/en/account").status_code == 303


def test_signing_out_leads_to_the_provider_where_its_file_says_so(site: Site) -> None:
    opened = tried(site, site.pro, "proconnect")
    kept = opened.cookies[door.HINT_COOKIE]
    assert AGENT["sub"] not in kept and "." not in kept
    opened.get("/en/account")
    page = opened.send("/en/sign-out")
    found = re.search(r'href="([^"]+/session/end[^"]+)"', page.text)
    assert page.status_code == 200 and found is not None and page.headers["Cache-Control"] == "private, no-store"
    asked = parse_qs(urlsplit(found[1].replace("&amp;", "&")).query)
    token = asked["id_token_hint"][0]
    claims = orjson.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == AGENT["sub"] and len(asked["state"][0]) >= 32
    assert asked["post_logout_redirect_uri"] == [f"{site.server.url}/"]
    other = re.search(r'<a href="([^"]+)" lang="fr"', page.text)
    assert other is not None and other[1] == "/fr/"
    # Here it is done already.
    assert COOKIE not in opened.cookies and door.HINT_COOKIE not in opened.cookies
    assert opened.get("/en/account").headers["Location"].startswith("/en/sign-in")
    # A hint that is none, and a provider whose file does not ask for it.
    opened = tried(site, site.pro, "proconnect")
    opened.cookies[door.HINT_COOKIE] = "AAAA"
    opened.get("/en/account")
    assert "client_id=sillage" in opened.send("/en/sign-out").text
    opened = tried(site, site.edu, "educonnect")
    assert door.HINT_COOKIE not in opened.cookies
    opened.get("/en/account")
    assert opened.send("/en/sign-out").headers["Location"] == "/en/"


def test_operators_see_whose_accounts_are_of_a_provider(site: Site) -> None:
    user = owner(site, tried(site, site.edu, "educonnect"))
    operator = signed_in(site.server, Role.OPERATOR)
    page = operator.get(f"/en/users/{user.id}").text
    assert "ÉduConnect says at each sign-in" in page and f"/users/{user.id}/reset" not in page
    assert "ÉduConnect" in operator.get("/en/users").text


def test_pupils_and_guardians_sign_in_by_educonnect(site: Site) -> None:
    for person, role in ((PUPIL, Role.LEARNER), (GUARDIAN, Role.GUARDIAN)):
        site.edu.person = person
        opened = tried(site, site.edu, "educonnect")
        assert [grant.role for grant in owner(site, opened).grants] == [role]
    site.edu.person = {**GUARDIAN, "sub": "x", "FrEduCtPersonAffiliation": "agent"}
    refused(tried(site, site.edu, "educonnect"), "no-role")
    store = site.server.container.platform.store.collection("users")
    assert "Alix" not in str(list(store.find({})))


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": ["sillage", "another"], "azp": "another"},
        {"aud": "another-client", "azp": "sillage"},
        {"aud": [], "azp": "sillage"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": int(time.time()) - 3_600},
        {"exp": None},
        {"exp": "soon"},
        {"iat": int(time.time()) + 3_600},
        {"iat": int(time.time()) - 3_600, "exp": int(time.time()) + 3_600},
        {"nbf": int(time.time()) + 3_600},
        {"sub": ""},
        {"sub": None},
        {"sub": 5},
        {"at_hash": "wrong"},
        {"amr": ["pwd"]},
        {"amr": None},
        {"amr": "mfa"},
        {"amr": 5},
        {"amr": [{"mfa": 1}, []]},
        {"iat": "now"},
        {"iat": None},
        {"iat": []},
        {"exp": 1e400},
        {"aud": [[]]},
        {"aud": {"sillage": 1}},
    ],
    ids=str,
)
def test_an_id_token_that_does_not_hold_lets_nobody_in(site: Site, claims: Mapping[str, Any]) -> None:
    site.pro.id_claims = claims
    refused(tried(site, site.pro, "proconnect"))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_without_a_signature_of_the_provider_lets_nobody_in(site: Site, algorithm: str) -> None:
    site.pro.algorithm = algorithm
    refused(tried(site, site.pro, "proconnect"))


def test_a_token_of_another_key_lets_nobody_in(site: Site) -> None:
    for kid in ("one", "two"):
        site.pro.key = RSAKey.generate_key(2048, {"kid": kid})
        refused(tried(site, site.pro, "proconnect"))


@pytest.mark.parametrize("claims", [{"sub": "another"}, {"sub": None}, {"iss": "https://evil.example"}, {"aud": "x"}])
def test_userinfo_of_another_lets_nobody_in(site: Site, claims: Mapping[str, Any]) -> None:
    site.pro.userinfo_claims = claims
    refused(tried(site, site.pro, "proconnect"))


def test_a_code_and_a_state_are_good_once_and_in_the_browser_that_began(site: Site) -> None:
    opened = Browser(site.server.url)
    back = site.pro.authorise(begun(site, opened))
    # An attacker's sign-in, finished in the browser of somebody else (login CSRF): theirs has not begun it.
    victim = Browser(site.server.url)
    victim.get("/en/sign-in")
    victim.get(back)
    refused(victim)
    # That used the state up, for the one who began it too.
    opened.get(back)
    refused(opened)
    opened = Browser(site.server.url)
    back = site.pro.authorise(begun(site, opened))
    cookie = opened.cookies[door.COOKIE]
    assert opened.get(back).headers["Location"] == "/en/my"
    replayed = Browser(site.server.url)
    replayed.cookies[door.COOKIE] = cookie
    replayed.get(back)
    refused(replayed)


def test_a_wrong_state_or_none_lets_nobody_in(site: Site) -> None:
    for change in (lambda back: back + "0", lambda back: back.replace("state=", "other="), lambda back: "?"):
        opened = Browser(site.server.url)
        back = site.pro.authorise(begun(site, opened))
        path = urlsplit(back).path
        opened.get(change(back) if change(back) != "?" else f"{path}?code=x&state={'0' * 64}")
        refused(opened)


def test_a_sign_in_with_one_provider_is_not_finished_with_another(site: Site) -> None:
    # The provider that somebody came from is in the address, in the answer (RFC 9207), and in the token.
    opened = Browser(site.server.url)
    back = site.pro.authorise(begun(site, opened))
    asked = len(site.edu.requests)
    opened.get(back.replace("/from/proconnect", "/from/educonnect"))
    refused(opened)
    # What the one gave, the other does not see.
    assert len(site.edu.requests) == asked
    opened = Browser(site.server.url)
    opened.get(site.pro.authorise(begun(site, opened)) + "&iss=" + site.edu.url)
    refused(opened)
    opened = Browser(site.server.url)
    opened.get(site.pro.authorise(begun(site, opened)) + "&iss=" + site.pro.url)
    assert opened.page.headers["Location"] == "/en/my"


def test_a_sign_in_that_took_too_long_is_over(site: Site) -> None:
    opened = Browser(site.server.url)
    back = site.pro.authorise(begun(site, opened))
    site.server.container.platform.store.collection("sign_ins_under_way").update_many(
        {}, {"$set": {"ends": clock.now()}}
    )
    opened.get(back)
    refused(opened)


def test_somebody_whom_the_provider_refuses_is_told(site: Site) -> None:
    opened = Browser(site.server.url)
    state = parse_qs(urlsplit(begun(site, opened)).query)["state"][0]
    opened.get(f"/sign-in/from/proconnect?error=access_denied&error_description=<script>&state={state}")
    refused(opened)
    assert "<script" not in opened.page.text


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"[]",
        b"<html>",
        b'{"id_token": 5}',
        b"\xff" * 100,
        b'{"id_token": "a.b.c", "x": "' + b"x" * 600_000 + b'"}',
    ],
    ids=len,
)
def test_a_provider_that_answers_nonsense_lets_nobody_in_and_nobody_out(site: Site, nonsense: bytes) -> None:
    opened = Browser(site.server.url)
    back = site.pro.authorise(begun(site, opened))
    site.pro.nonsense = nonsense
    opened.get(back)
    refused(opened, "away")
    site.pro.nonsense = None
    assert tried(site, site.pro, "proconnect").page.headers["Location"] == "/en/my"


def test_a_provider_that_is_slow_is_left_and_others_are_served_meanwhile(site: Site) -> None:
    from concurrent.futures import ThreadPoolExecutor

    browsers = [Browser(site.server.url) for _ in range(6)]
    backs = [site.pro.authorise(begun(site, each)) for each in browsers]
    site.pro.slow = 5.0
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(each.get, back) for each, back in zip(browsers, backs, strict=True)]
        # Two threads wait at most; the other provider, and pages, go on.
        assert owner(site, tried(site, site.edu, "educonnect")).grants
        for each in waiting:
            each.result()
    for each in browsers:
        refused(each, "away")


def test_a_provider_that_is_away_is_said_so(tmp_path: Path, mongodb_uri: str) -> None:
    port = free_port()
    files = written(tmp_path / "files", proconnect(f"http://127.0.0.1:{port}"))
    with serving(tmp_path, mongodb_uri, workers="1", sign_in_providers_dir=str(files)) as server:
        opened = Browser(server.url)
        assert "ProConnect" in opened.get("/fr/sign-in").text
        opened.get("/fr/sign-in/with/proconnect")
        refused(opened, "away")
        assert opened.get("/fr/sign-in/with/nobody").status_code == 404
        assert opened.get("/sign-in/from/nobody?code=1&state=2").status_code == 404


@pytest.mark.parametrize(
    "discovered",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_a_discovery_document_that_is_not_its_own_is_not_followed(
    tmp_path: Path, discovered: Mapping[str, Any]
) -> None:
    from app.access.sign_in.providers.client import ProviderClient
    from app.core.errors import ProviderUnavailable

    provider = Provider()
    provider.discovered = discovered
    with provider.serving():
        (file,) = read_all(written(tmp_path / "files", proconnect(provider.url)))
        client = ProviderClient(file, "http://127.0.0.1:1/sign-in/from/proconnect", clock.now)
        for _ in range(3):
            with pytest.raises(ProviderUnavailable):
                client.authorization_url(state="s", nonce="n", verifier="v")
    # Once: those who come a moment later are told without asking again.
    assert provider.requests.count("/.well-known/openid-configuration") == 1


def test_discovery_and_keys_are_asked_for_once(site: Site) -> None:
    tried(site, site.edu, "educonnect")
    before = len(site.edu.requests)
    tried(site, site.edu, "educonnect")
    assert site.edu.requests[before:] == ["/token", "/userinfo"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.update(issuer="http://idp.example"), "https"),
        (lambda file: file.update(isuer="x"), "schema"),
        (lambda file: file.pop("roles"), "schema"),
        (lambda file: file.update(algorithms=["none"]), "schema"),
        (lambda file: file.update(algorithms=["HS256"]), "schema"),
        (lambda file: file.update(roles=[{"role": "dpo", "when": {}}]), "schema"),
        (lambda file: file.update(roles=[{"role": "school-head", "when": {"a": ["b"]}}]), "territories"),
        (lambda file: file.update(roles=[{"role": "producer", "when": {"a": ["b"]}}]), "sources"),
        (lambda file: file.update(secret_file="nowhere"), "secret"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    file = proconnect("https://idp.example/api/v2")
    change(file)
    with pytest.raises(SettingsInvalid, match=said):
        read_all(written(tmp_path / "files", file))


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "files", proconnect("https://idp.example"))
    assert read_all(folder)[0].secret == SECRET
    (folder / "secret").chmod(0o644)
    with pytest.raises(SettingsInvalid, match="others") as refusal:
        read_all(folder)
    assert SECRET not in str(refusal.value)


def test_by_a_provider_of_others(tmp_path: Path, mongodb_uri: str) -> None:
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"]
    with (tmp_path / "mock.log").open("wb") as out:
        mock = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ})
    try:
        for _ in range(600):
            try:
                found = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=5).json()
                break
            except requests.RequestException:
                assert mock.poll() is None, (tmp_path / "mock.log").read_text()
                time.sleep(0.1)
        person = {name: value for name, value in PUPIL.items() if name != "sub"}
        requests.put(f"{issuer}/users/eleve", json=person, timeout=30).raise_for_status()
        file = {**educonnect(found["issuer"]), "scopes": ["openid", "profile"]}
        folder = written(tmp_path / "files", file)
        with serving(tmp_path, mongodb_uri, workers="1", sign_in_providers_dir=str(folder)) as server:
            opened = Browser(server.url)
            url = opened.get("/fr/sign-in/with/educonnect").headers["Location"]
            given = requests.post(url, {"sub": "eleve"}, allow_redirects=False, timeout=30).headers["Location"]
            answer = opened.get(given.removeprefix(server.url))
            assert answer.headers["Location"] == "/fr/my", answer.headers
            assert "Noé Exemple" in opened.get("/fr/account").text
            # The code is good once.
            again = Browser(server.url)
            again.get(given.removeprefix(server.url))
            refused(again)
    finally:
        mock.terminate()
        mock.wait(30)
