"""``sillage user``: accounts made, invited, given roles with their limits and ends, disabled, removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import orjson
import pytest
from click.testing import CliRunner
from pymongo.collection import Collection

from app.access.key_ends import default_last_day, end_of
from app.access.perimeters import Perimeter, Territory
from app.access.roles import Role
from app.access.users.secrets import Secrets
from app.commands.users import user
from app.core.errors import InvitationRefused, NotFound, RegisterInvalid, UserConflict
from app.settings import Settings, load
from app.wiring.container import Container
from tests import school_files
from tests.mail.servers import mail_server
from tests.served import ACTIVITY
from tests.stores import initialised

LOGIN = "camille@ecole.example"
_LINK = re.compile(r"http\S+/(fr|en)/invitation\?code=([0-9a-f]{48})")


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with initialised(settings, database_name) as made:
        directory = school_files.directory([school_files.made(1)])
        made.schools.directory.load(directory, date(2025, 1, 1), actor="cli:test")
        made.governance.register.add(orjson.dumps(ACTIVITY))
        for source in ("a", "b"):
            made.operations.sources.add(source, name=source, activity=ACTIVITY["id"], actor="cli:test")
        yield made


def run(container: Container, *arguments: str, given: str = "") -> str:
    done = CliRunner().invoke(
        user, arguments, obj=container, input=given, env={"COLUMNS": "300", "LC_ALL": "C"}, standalone_mode=False
    )
    if done.exception is not None:
        raise done.exception
    return done.output


def add(container: Container, *more: str, login: str = LOGIN) -> str:
    return run(container, "add", login, "--name", "Camille Exemple", *more)


def test_the_first_operator_gets_a_link_that_opens_the_account(container: Container) -> None:
    said = add(container, "--role", "operator", "--language", "en")
    link = _LINK.search(said)
    assert link is not None and link[1] == "en" and "Nothing was sent by e-mail" in said
    assert container.access.invitations.user(link[2]).login == LOGIN
    found = container.access.users.find(LOGIN)
    assert found is not None and found.grants[0].role is Role.OPERATOR
    zone = ZoneInfo(container.settings.timezone)
    assert found.grants[0].ends == end_of(default_last_day(container.platform.today()), zone)
    entries = container.governance.audit.newest(("user-added", "user-invited"))
    assert {entry.actor for entry in entries} == {"cli:user add"} and "Camille" not in str(entries)


def test_roles_have_limits_and_ends(container: Container) -> None:
    add(
        container,
        *("--role", "school-head", "--school", "0380001V", "--territory", "departement:038"),
        *("--from", "2026-09-01", "--until", "2027-01-31"),
    )
    run(container, "roles", LOGIN, "--add", "producer", "--source", "b", "--source", "a", "--no-end")
    found = container.access.users.find(LOGIN)
    assert found is not None
    head, *producers = found.grants
    assert head.perimeter.territories == {Territory("school", "0380001V"), Territory("departement", "038")}
    assert str(head.perimeter.since) == "2026-09-01" and str(head.ends) == "2027-01-31 23:00:00+00:00"
    assert [(each.perimeter, each.ends) for each in producers] == [
        (Perimeter(sources=frozenset({source})), None) for source in ("a", "b")
    ]
    shown = run(container, "list")
    assert "departement:038" in shown and "2027-01-31" in shown and "invited" in shown
    run(container, "roles", found.id, "--remove", "producer")
    assert [each.role for each in container.access.users.get(found.id).grants] == [Role.SCHOOL_HEAD]


@pytest.mark.parametrize("limit", [("--school", "0380002W"), ("--source", "nothing"), ("--processing-activity", "x")])
def test_a_role_is_not_given_for_what_there_is_not(container: Container, limit: tuple[str, str]) -> None:
    with pytest.raises(RegisterInvalid):
        add(container, "--role", "school-head", "--territory", "departement:038", *limit)
    assert container.access.users.list() == []


@pytest.mark.parametrize("role", ["school-head", "territory", "producer"])
def test_a_role_that_needs_a_limit_is_not_given_without(container: Container, role: str) -> None:
    with pytest.raises(RegisterInvalid):
        add(container, "--role", role)
    assert container.access.users.list() == []


def test_the_list_reads_accounts_and_their_invitations_at_once(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not container.access.users.any()
    monkeypatch.setattr("app.commands.users._AT_ONCE", 2)
    for number in range(5):
        add(container, "--role", "dpo", login=f"c{number}@ecole.example")
    assert container.access.users.any()
    last = container.access.users.list()[-1]
    container.access.users.edit_secrets(last.id, lambda _: Secrets(password="x", totp="S" * 32))
    looked: list[object] = []
    one = Collection.find_one
    monkeypatch.setattr(Collection, "find_one", lambda self, *a, **k: looked.append(a) or one(self, *a, **k))
    shown = run(container, "list")
    assert re.findall(r"c\d@", shown) == [f"c{number}@" for number in range(5)]
    assert shown.count("invited") == 5 and shown.count("password, second factor, invited") == 1
    assert looked == []


def test_a_login_is_of_one_account(container: Container) -> None:
    add(container, "--role", "dpo")
    with pytest.raises(UserConflict):
        add(container, "--role", "dpo", login=LOGIN.upper())


def test_a_new_link_ends_the_one_before_and_leaves_the_second_factor(container: Container) -> None:
    first = _LINK.search(add(container, "--role", "dpo"))
    found = container.access.users.find(LOGIN)
    assert first is not None and found is not None
    container.access.users.edit_secrets(found.id, lambda held: held._replace(password="x", totp="S" * 32))
    second = _LINK.search(run(container, "invite", LOGIN))
    assert second is not None
    assert container.access.invitations.user(second[2]).id == found.id
    with pytest.raises(Exception, match="no such invitation"):
        container.access.invitations.user(first[2])
    assert container.access.users.secrets(found.id).totp == "S" * 32
    said = run(container, "reset-second-factor", LOGIN)
    assert _LINK.search(said) and container.access.users.secrets(found.id) == Secrets()


def test_an_account_is_disabled_enabled_and_removed(container: Container) -> None:
    link = _LINK.search(add(container, "--role", "dpo"))
    found = container.access.users.find(LOGIN)
    assert link is not None and found is not None
    token = container.access.sessions.open(found, "local")
    run(container, "disable", LOGIN)
    assert container.access.sessions.find(token) is None
    with pytest.raises(Exception, match="no such invitation"):
        container.access.invitations.user(link[2])
    run(container, "enable", LOGIN)
    assert container.access.users.get(found.id).disabled is None
    run(container, "remove", LOGIN, "--yes")
    assert container.access.users.find(LOGIN) is None
    with pytest.raises(NotFound):
        run(container, "invite", LOGIN)


def test_whoever_closes_an_account_ends_its_invitation(container: Container) -> None:
    access = container.access
    link = _LINK.search(add(container, "--role", "dpo"))
    found = access.users.find(LOGIN)
    assert link is not None and found is not None
    access.users.disable(found.id, actor="cli:test")
    access.users.enable(found.id, actor="cli:test")
    with pytest.raises(InvitationRefused):
        access.invitations.user(link[2])
    access.invitations.invite(found, actor="cli:test")
    access.users.remove(found.id, actor="cli:test")
    assert access.invitations.ends(found) is None


def test_with_a_mail_server_the_link_goes_by_e_mail(settings: Settings, database_name: str) -> None:
    with mail_server() as server:
        given = load(server.settings())
        smtp = {name: getattr(given, name) for name in ("smtp_host", "smtp_port", "smtp_tls", "smtp_sender")}
        with initialised(replace(settings, **smtp), database_name) as container:
            said = add(container, "--role", "dpo")
            assert not _LINK.search(said) and "on its way" in said
            container.mail.mail.deliver(lambda: None)
            message = server.box.taken[0][0]
            text = message.get_body(("plain",)).get_content()
            link = _LINK.search(text)
            assert message["To"] == LOGIN and link is not None
            assert container.access.invitations.user(link[2]).login == LOGIN
            # A login that is no address, and whoever wants to hand it over.
            assert _LINK.search(add(container, "--role", "dpo", login="camille"))
            assert _LINK.search(run(container, "invite", LOGIN, "--print-link"))
