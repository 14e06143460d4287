"""``sillage user``: accounts of persons who sign in to the pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import click

from app.access.key_ends import default_last_day, end_of, last_day_of
from app.access.perimeters import SCHOOL, Perimeter, Territory
from app.access.roles import Grant, Role, grants, with_given
from app.access.sign_in.invitations import Invited
from app.access.users.secrets import ways
from app.access.users.service import LANGUAGES, User
from app.commands.container import Container
from app.commands.given import Moment
from app.commands.screen import out, table
from app.commands.sources import Place
from app.commands.words import N_, _, counted
from app.core.errors import NotFound

Command = TypeVar("Command", bound=Callable[..., object])
_OPENS = N_("Whoever opens this link first has the account: give it to nobody else. It is good once, until {until}.")
_WAYS = {"password": N_("password"), "second-factor": N_("second factor"), "invited": N_("invited")}
_AT_ONCE = 200
"""Accounts that the list reads at once."""


@click.group()
def user() -> None:
    """Persons who sign in to the pages: their accounts, roles, invitations."""


def _bounds(command: Command) -> Command:
    for option in (
        click.option("--until", type=Moment(), help="Last day of the roles. Default: 31 August of the school year."),
        click.option("--no-end", is_flag=True, help="The roles last as long as the account."),
        click.option("--to", "last", type=Moment(), metavar="DAY", help="No data of later than this day."),
        click.option("--from", "first", type=Moment(), metavar="DAY", help="No data of before this day."),
        click.option(
            "--territory",
            "territories",
            type=Place(),
            multiple=True,
            help="Of this territory alone, as the directory of schools has it: academie:10. Repeatable.",
        ),
        click.option("--school", "schools", multiple=True, metavar="UAI", help="Of this school alone. Repeatable."),
        click.option("--source", "sources", multiple=True, metavar="ID", help="Of this source alone. Repeatable."),
        click.option(
            "--processing-activity",
            "activities",
            multiple=True,
            metavar="ID",
            help="Of this processing activity alone. Repeatable.",
        ),
    ):
        command = option(command)
    return command


def _grants(
    container: Container,
    wanted: Sequence[str],
    activities: Sequence[str],
    sources: Sequence[str],
    schools: Sequence[str],
    territories: Sequence[Territory],
    first: datetime | None,
    last: datetime | None,
    no_end: bool,
    until: datetime | None,
) -> list[Grant]:
    if no_end and until is not None:
        raise click.UsageError(_("Give --until or --no-end, not both."))
    platform = container.platform
    ends = None
    if not no_end:
        ends = end_of(until.date() if until else default_last_day(platform.today()), platform.zone)
    places = [*territories, *(Territory(SCHOOL, uai.upper()) for uai in schools)]
    perimeter = Perimeter.of(
        activities, sources, places, first.date() if first else None, last.date() if last else None
    )
    container.operations.sources.require_known(perimeter)
    return grants(map(Role, wanted), perimeter, ends)


_print_link = click.option("--print-link", is_flag=True, help="Print the link, where it would go by e-mail.")
_roles = click.Choice([role.value for role in Role])


@user.command("add")
@click.argument("login")
@click.option("--name", required=True, help="What they are called.")
@click.option("--role", "wanted", type=_roles, multiple=True, required=True, help="Repeatable.")
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="fr", show_default=True, help="Of what they are sent."
)
@_print_link
@_bounds
@click.pass_obj
def add(
    container: Container,
    /,
    login: str,
    name: str,
    wanted: tuple[str, ...],
    language: str,
    print_link: bool,
    **bounds: object,
) -> None:
    """Make an account for LOGIN, an e-mail address, and send or print a link with which its owner opens it."""
    held = _grants(container, wanted, **bounds)  # type: ignore[arg-type] # by name, as the options give them
    made = container.access.users.add(login, name=name, grants=held, language=language, actor="cli:user add")
    out().print(_("Account {id} is made.", id=made.id))
    _invite(container, made, "cli:user add", print_link=print_link)


@user.command("invite")
@click.argument("account", metavar="USER")
@_print_link
@click.pass_obj
def invite(container: Container, account: str, print_link: bool) -> None:
    """Send or print another link for USER (id or login) to choose a password; an earlier one ends."""
    _invite(container, _found(container, account), "cli:user invite", print_link=print_link)


def _invite(container: Container, account: User, actor: str, *, print_link: bool) -> None:
    _show(container, container.access.invitations.invite(account, actor=actor, by_mail=not print_link))


def _show(container: Container, invited: Invited) -> None:
    console, until = out(), f"{invited.ends.astimezone(container.platform.zone):%Y-%m-%d %H:%M}"
    if invited.sent:
        console.print(
            _("A link that is good once, until {until}, is on its way to the e-mail address of the login.", until=until)
        )
        return
    console.print(invited.link)
    console.print(_(_OPENS, until=until))
    console.print(_("Nothing was sent by e-mail."))


@user.command("list")
@click.pass_obj
def list_users(container: Container) -> None:
    """Show every account: who, in which roles until when, and how they sign in."""
    users, invitations = container.access.users, container.access.invitations
    rows = table("account", "login", "name", "role", "limits", "until", "signs in by", "created", "disabled")
    zone = container.platform.zone
    found = users.page(None, _AT_ONCE)
    while found:
        invited = invitations.ends_of([each for each, _secrets in found])
        for each, secrets in found:
            said = ", ".join(_(_WAYS[way]) for way in ways(secrets, invited.get(each.id)))
            gone = f"{each.disabled.astimezone(zone):%Y-%m-%d}" if each.disabled else ""
            head = (each.id, each.login, each.name)
            tail = (said or "-", f"{each.created.astimezone(zone):%Y-%m-%d}", gone)
            for place, grant in enumerate(each.grants or (None,)):
                held = ("-", "", "")
                if grant is not None:
                    ends = str(last_day_of(grant.ends, zone)) if grant.ends else ""
                    held = (grant.role.value, "" if grant.perimeter.unbounded else grant.perimeter.described(), ends)
                blank = ("",) * 3
                rows.add_row(*(head if place == 0 else blank), *held, *(tail if place == 0 else blank))
        found = users.page(found[-1][0], _AT_ONCE)
    out().print(rows)


@user.command("roles")
@click.argument("account", metavar="USER")
@click.option("--add", "wanted", type=_roles, multiple=True, help="Give this role, with the limits given. Repeatable.")
@click.option("--remove", "taken", type=_roles, multiple=True, help="Take every role of this name. Repeatable.")
@_bounds
@click.pass_obj
def roles(
    container: Container, /, account: str, wanted: tuple[str, ...], taken: tuple[str, ...], **bounds: object
) -> None:
    """Give USER roles, or take some; its sessions end. A role given anew with the same limits gets the new end."""
    if not wanted and not taken:
        raise click.UsageError(_("Give --add or --remove."))
    found = _found(container, account)
    given = _grants(container, wanted, **bounds)  # type: ignore[arg-type] # by name, as the options give them

    def edit(held: tuple[Grant, ...]) -> list[Grant]:
        return with_given([grant for grant in held if grant.role.value not in taken], given)

    changed = container.access.users.give(found.id, edit, actor="cli:user roles")
    names = ", ".join(sorted({grant.role.value for grant in changed.grants})) or _("none")
    out().print(
        _(
            "Account {id} has {roles}: {names}. Its sessions have ended.",
            id=changed.id,
            roles=counted(len(changed.grants), "role"),
            names=names,
        )
    )


@user.command("disable")
@click.argument("account", metavar="USER")
@click.pass_obj
def disable(container: Container, account: str) -> None:
    """Let nobody sign in by the account USER any more; its sessions end."""
    found = container.access.users.disable(_found(container, account).id, actor="cli:user disable")
    out().print(_("Account {id} is disabled, and its sessions have ended.", id=found.id))


@user.command("enable")
@click.argument("account", metavar="USER")
@click.pass_obj
def enable(container: Container, account: str) -> None:
    """Let the owner of the account USER sign in again."""
    found = container.access.users.enable(_found(container, account).id, actor="cli:user enable")
    out().print(_("Account {id} is enabled.", id=found.id))


@user.command("remove")
@click.argument("account", metavar="USER")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove(container: Container, account: str, yes: bool) -> None:
    """Remove the account USER. The audit log keeps its id, which names nobody."""
    found = _found(container, account)
    if not yes:
        click.confirm(_("Remove account {id}?", id=found.id), abort=True, err=True)
    container.access.users.remove(found.id, actor="cli:user remove")
    out().print(_("Account {id} is removed.", id=found.id))


@user.command("reset-second-factor")
@click.argument("account", metavar="USER")
@_print_link
@click.pass_obj
def reset_second_factor(container: Container, account: str, print_link: bool) -> None:
    """Take password and second factor off USER, whose phone is lost, and send or print a link to choose both anew.

    Make sure that it is them who ask: in person, or by a number that you knew before.
    """
    found = _found(container, account)
    invited = container.access.local_sign_in.reset(found, actor="cli:user reset-second-factor", by_mail=not print_link)
    out().print(_("Account {id} has neither password nor second factor, and its sessions have ended.", id=found.id))
    _show(container, invited)


def _found(container: Container, account: str) -> User:
    users = container.access.users
    if account.startswith("u-") and "@" not in account:
        return users.get(account)
    found = users.find(account)
    if found is None:
        raise NotFound("There is no such account. `sillage user list` shows them.")
    return found


COMMANDS = (user,)
