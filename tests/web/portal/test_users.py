"""Pages of accounts: what an operator sees and changes, and what they may not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

import pytest

from app.access.perimeters import SCHOOL, Perimeter, Territory
from app.access.roles import Grant, Role, with_given
from app.core import clock
from app.web.portal.users import PAGE, named
from tests import school_files
from tests.served import Server, serving
from tests.web.portal.browser import Browser
from tests.web.portal.signed_in import NAME, SignedIn, signed_in
from tests.web.portal.test_sign_in import with_second_factor

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("users"), mongodb_uri, workers="1") as server:
        server.source("tutor")
        directory = school_files.directory([school_files.made(1)])
        server.container.schools.directory.load(directory, date(2025, 1, 1), actor="cli:test")
        yield server


@pytest.fixture
def operator(site: Server) -> SignedIn:
    return signed_in(site, Role.OPERATOR)


def fresh() -> str:
    return f"{clock.random_bytes(6).hex()}@ecole.example"


def test_an_account_is_made_and_its_owner_invited(site: Server, operator: SignedIn) -> None:
    login = fresh()
    fields = [
        *(("login", login), ("name", "Dominique Chef"), ("language", "en"), ("role", "school-head")),
        *(("territories", "0380001v\ndepartement:038"), ("since", "2026-09-01"), ("ends", "2027-08-31")),
    ]
    answer = operator.post("/en/users/new", fields)
    link = re.search(r"<code class=\"key\">([^<]+)</code>", answer.text)
    assert answer.status_code == 200 and link is not None and "/en/invitation?code=" in link[1]
    user = site.container.access.users.find(login)
    assert user is not None and user.language == "en"
    assert user.grants[0].role is Role.SCHOOL_HEAD
    assert user.grants[0].perimeter.territories == {Territory("school", "0380001V"), Territory("departement", "038")}
    assert str(user.grants[0].ends) == "2027-08-31 22:00:00+00:00"
    assert Browser(site.url).get(link[1].removeprefix(site.url)).status_code == 200
    entry = site.container.governance.audit.newest(("user-invited",))[0]
    assert entry.actor == operator.user.id and entry.detail["user"] == user.id
    assert login in operator.get("/en/users").text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"login": "no blank here"}, "A login is"),
        ({"name": " "}, "A name is needed"),
        ({"role": ""}, "Choose a role"),
        ({"role": "producer"}, "needs a source"),
        ({"role": "school-head"}, "needs schools"),
        ({"role": "school-head", "territories": "0380001W"}, "neither a UAI"),
        ({"role": "school-head", "territories": "0380002W"}, "is not there"),
        ({"ends": "tomorrow"}, "A day is written"),
        ({"ends": "2027-W01-1"}, "A day is written"),
        ({"language": "de"}, "Choose a language"),
    ],
)
def test_what_is_not_as_it_must_be_is_said(operator: SignedIn, changed: dict[str, str], said: str) -> None:
    fields = {"login": fresh(), "name": HOSTILE, "language": "fr", "role": "dpo", **changed}
    answer = operator.post("/en/users/new", fields)
    assert answer.status_code == 422 and said in answer.text and "<script" not in answer.text


def test_what_a_form_answers_leads_to_a_page_in_another_language(site: Server, operator: SignedIn) -> None:
    other = signed_in(site, Role.DPO)
    for path, fields in (
        (f"users/{other.user.id}/invite", {}),
        (f"users/{other.user.id}/reset", {}),
        ("users/new", {}),
        ("account/password", {"current": "x"}),
    ):
        page = operator.post(f"/en/{path}", fields).text
        found = re.search(r'<a href="([^"]+)" lang="fr"', page)
        assert found is not None and operator.get(found[1]).status_code == 200, path


def test_a_login_that_is_taken_is_said(site: Server, operator: SignedIn) -> None:
    answer = operator.post(
        "/en/users/new", {"login": operator.user.login.upper(), "name": "X", "language": "fr", "role": "dpo"}
    )
    assert answer.status_code == 422 and "already" in answer.text


def test_roles_are_given_and_taken_and_sessions_end(site: Server, operator: SignedIn) -> None:
    other = signed_in(site, Role.DPO)
    path = f"/en/users/{other.user.id}"
    assert operator.get(path).status_code == 200
    fields = [("role", "producer"), ("source", "tutor"), ("no-end", "yes")]
    assert operator.post(f"{path}/give", fields).status_code == 303
    user = site.container.access.users.get(other.user.id)
    assert [grant.role for grant in user.grants] == [Role.DPO, Role.PRODUCER] and user.grants[1].ends is None
    assert other.get("/en/account").status_code == 303
    assert operator.post(f"{path}/take", {"grant": named(user.grants[0])}).status_code == 303
    assert [grant.role for grant in site.container.access.users.get(user.id).grants] == [Role.PRODUCER]
    assert operator.post(f"{path}/take", {"grant": named(user.grants[0])}).status_code == 400


def test_of_two_who_change_roles_at_once_neither_takes_the_others_back(site: Server) -> None:
    users = site.container.access.users
    other = signed_in(site, Role.DPO, Role.RESEARCHER).user
    asked = []

    def edit(held: tuple[Grant, ...]) -> list[Grant]:
        asked.append(held)
        if len(asked) == 1:
            users.give(other.id, lambda known: [each for each in known if each.role is not Role.DPO], actor="cli:other")
        return with_given(held, [Grant(Role.OPERATOR)])

    given = users.give(other.id, edit, actor="cli:test").grants
    assert [grant.role for grant in given] == [Role.RESEARCHER, Role.OPERATOR] and len(asked) == 2


def test_grants_of_many_schools_are_told_apart() -> None:
    schools = [Territory(SCHOOL, f"{number:07}A") for number in range(30)]
    one, other = (Grant(Role.SCHOOL_HEAD, Perimeter.of((), (), schools[:end], None, None)) for end in (29, 30))
    assert named(one) != named(other)


def test_an_account_is_disabled_and_enabled(site: Server, operator: SignedIn) -> None:
    other = signed_in(site, Role.DPO)
    path = f"/en/users/{other.user.id}"
    operator.post(f"{path}/disable")
    assert other.get("/en/account").status_code == 303 and "Disabled" in operator.get(path).text
    operator.post(f"{path}/enable")
    assert "Disabled" not in operator.get(path).text


def test_a_second_factor_is_taken_off_by_whoever_says_that_they_made_sure(site: Server, operator: SignedIn) -> None:
    user, _ = with_second_factor(site, Role.DPO)
    path = f"/en/users/{user.id}/reset"
    assert operator.post(path).status_code == 422
    assert site.container.access.local_sign_in.secrets(user).totp is not None
    assert "/invitation?code=" in operator.post(path, {"sure": "yes"}).text
    assert site.container.access.local_sign_in.secrets(user).totp is None
    entry = site.container.governance.audit.newest(("user-changed",))[0]
    assert entry.actor == operator.user.id
    assert entry.detail["user"] == user.id and entry.detail["second_factor"] == "reset"


def test_nobody_changes_their_own_roles(site: Server, operator: SignedIn) -> None:
    path = f"/en/users/{operator.user.id}"
    held = operator.user.grants
    for act, fields in (
        ("give", {"role": "dpo"}),
        ("take", {"grant": named(held[0])}),
        ("disable", {}),
        ("reset", {"sure": "yes"}),
    ):
        answer = operator.post(f"{path}/{act}", fields)
        assert answer.status_code == 422 and "Nobody changes their own" in answer.text, act
    assert site.container.access.users.get(operator.user.id).grants == held
    assert operator.get("/en/account").status_code == 200


def test_names_stand_in_no_address_and_in_no_log(site: Server, operator: SignedIn) -> None:
    page = operator.get("/en/users").text
    for address in re.findall(r'(?:href|action)="([^"]+)"', page):
        assert "@" not in address and NAME.split()[0] not in address
    log = site.log.read_text()
    assert operator.user.login not in log and NAME not in log


def test_a_hostile_name_stays_text(site: Server, operator: SignedIn) -> None:
    user = site.container.access.users.add(fresh(), name=HOSTILE, grants=[], actor="cli:test")
    for path in ("users", f"users/{user.id}"):
        assert "<script" not in operator.get(f"/en/{path}").text


def test_the_list_has_pages(site: Server, operator: SignedIn) -> None:
    users = site.container.access.users
    for _ in range(PAGE):
        users.add(fresh(), name="X", grants=[], actor="cli:test")
    seen: list[str] = []
    path: str | None = "/en/users"
    sizes = []
    while path is not None:
        page = operator.get(path).text
        ids = re.findall(r'href="/en/users/(u-[0-9a-f]{24})"', page)
        sizes.append(len(ids))
        seen += ids
        onward = re.search(r'href="([^"]+)">Next accounts', page)
        path = None if onward is None else onward[1]
    assert seen == [user.id for user in users.list()]
    assert len(sizes) > 1 and set(sizes[:-1]) == {PAGE}
    assert operator.get("/en/users?after=u-0").status_code == 404
