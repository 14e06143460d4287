"""``sillage source …`` and ``sillage credential …``: who may send, who may read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from app.access import scopes
from app.access.credentials import MATCHINGS, MINORS, MODES, PATTERNS, PSEUDONYMISE, NewCredential
from app.access.key_ends import SOON
from app.access.perimeters import KINDS, Perimeter, Territory, territory
from app.access.store import StoredCredential
from app.commands.container import Container
from app.commands.given import Moment
from app.commands.screen import instant, out, table
from app.commands.words import _, counted

_out = out()
_STANDING = ("scopes", "perimeter", "created", "until", "revoked")
_MATCHING = "When several templates match: each must be followed, or one is enough."
_PATTERNS = "Hold sessions to patterns: by the job, in order of timestamp; live, as they arrive, too."
_MINORS = "Names, e-mail addresses and national pupil numbers in statements about minors."
_MINORS_DEFAULT = (
    f"{_MINORS} Default: pseudonymise when the register says that the processing activity concerns minors, else off."
)
_REASON = (
    "Why another policy than pseudonymise, under a processing activity that concerns minors. Kept, with no person's "
    "name."
)


def _show(credential: NewCredential) -> None:
    _out.print(_("key     {id}", id=credential.id))
    _out.print(_("secret  {secret}", secret=credential.secret))
    if credential.until is not None:
        _out.print(_("until   {until}", until=credential.until))
    _out.print(_("Keep the secret now: it is shown this once."))


@click.group()
def source() -> None:
    """Producers of statements: digital workspaces, adaptive tutors, any EdTech tool."""


@source.command("add")
@click.argument("id", metavar="ID")
@click.option("--name", required=True, help="What people call it.")
@click.option("--processing-activity", "activity", required=True, help="Processing activity it belongs to.")
@click.option("--profile", "profiles", multiple=True, help="IRI of a loaded xAPI Profile it promises. Repeatable.")
@click.option("--mode", type=click.Choice(MODES), default="observe", show_default=True, help="On a failed profile.")
@click.option("--matching", type=click.Choice(MATCHINGS), default="every", show_default=True, help=_MATCHING)
@click.option("--patterns", type=click.Choice(PATTERNS), default="job", show_default=True, help=_PATTERNS)
@click.option("--minors", type=click.Choice(MINORS), help=_MINORS_DEFAULT)
@click.option("--reason", default="", help=_REASON)
@click.option("--scope", "wanted", multiple=True, help=f"Default: {', '.join(scopes.SOURCE_DEFAULT)}. Repeatable.")
@click.pass_obj
def add(
    container: Container,
    id: str,
    name: str,
    activity: str,
    profiles: tuple[str, ...],
    mode: str,
    matching: str,
    patterns: str,
    minors: str | None,
    reason: str,
    wanted: tuple[str, ...],
) -> None:
    """Register a source and print its first credential."""
    registered, credential = container.operations.sources.add(
        id,
        name=name,
        activity=activity,
        profiles=profiles,
        mode=mode,
        matching=matching,
        patterns=patterns,
        minors=minors,
        reason=reason,
        scopes=wanted or scopes.SOURCE_DEFAULT,
        actor="cli:source add",
    )
    _out.print(
        _(
            "Source {id} is registered under {activity}; policy about minors: {minors}.",
            id=registered.id,
            activity=registered.activity,
            minors=registered.minors,
        )
    )
    _show(credential)


@source.command("set")
@click.argument("id", metavar="ID")
@click.option("--profile", "profiles", multiple=True, help="IRI of a loaded xAPI Profile; replaces the list.")
@click.option("--no-profile", is_flag=True, help="It promises none any more.")
@click.option("--mode", type=click.Choice(MODES), help="On a failed profile.")
@click.option("--matching", type=click.Choice(MATCHINGS), help=_MATCHING)
@click.option("--patterns", type=click.Choice(PATTERNS), help=_PATTERNS)
@click.option("--minors", type=click.Choice(MINORS), help=_MINORS)
@click.option("--reason", default="", help=_REASON)
@click.pass_obj
def change(
    container: Container,
    id: str,
    profiles: tuple[str, ...],
    no_profile: bool,
    mode: str | None,
    matching: str | None,
    patterns: str | None,
    minors: str | None,
    reason: str,
) -> None:
    """Change the promised profiles, or what becomes of statements; in force everywhere when this returns."""
    if profiles and no_profile:
        raise click.UsageError(_("Give --profile or --no-profile, not both."))
    promised = () if no_profile else profiles or None
    changed = container.operations.sources.change(
        id,
        profiles=promised,
        mode=mode,
        matching=matching,
        patterns=patterns,
        minors=minors,
        reason=reason,
        actor="cli:source set",
    )
    _out.print(
        _(
            "Source {id}: mode {mode}, matching {matching}, patterns {patterns}, minors {minors}, profiles {profiles}.",
            id=changed.id,
            mode=changed.mode,
            matching=changed.matching,
            patterns=changed.patterns,
            minors=changed.minors,
            profiles=", ".join(changed.profiles) or _("none"),
        ),
        markup=False,
    )


@source.command("list")
@click.pass_obj
def list_sources(container: Container) -> None:
    """Show every source with its credentials."""
    rows = table(
        "source",
        "name",
        "processing activity",
        "mode",
        "minors",
        "closed",
        "key",
        "scopes",
        "perimeter",
        "created",
        "until",
        "revoked",
    )
    for registered, credentials in container.operations.sources.list():
        for place, credential in enumerate(credentials):
            closed = f"{registered.closed:%Y-%m-%d}" if registered.closed else ""
            head = (registered.id, registered.name, registered.activity, registered.mode, registered.minors, closed)
            rows.add_row(*(head if place == 0 else ("",) * len(head)), credential.id, *_standing(container, credential))
    _out.print(rows)


@source.command("show")
@click.argument("id", metavar="ID")
@click.pass_obj
def show(container: Container, id: str) -> None:
    """Show one source: what it promises, and what becomes of its statements."""
    shown = container.operations.sources.get(id)
    rows = table("", "")
    for name, value in (
        (_("source"), shown.id),
        (_("name"), shown.name),
        (_("processing activity"), shown.activity),
        (_("registered"), instant(round(shown.created.timestamp() * 1_000_000))),
        (_("profiles"), ", ".join(shown.profiles) or _("none")),
        (_("mode"), shown.mode),
        (_("matching"), shown.matching),
        (_("patterns"), shown.patterns),
        (_("minors"), shown.minors),
        (_("closed"), f"{shown.closed:%Y-%m-%d}" if shown.closed else "-"),
        (_("reason"), shown.minors_reason or ("-" if shown.minors == PSEUDONYMISE else _("none on record"))),
    ):
        rows.add_row(name, value)
    _out.print(rows)


@source.command("revoke")
@click.argument("id", metavar="KEY|SOURCE")
@click.pass_obj
def revoke(container: Container, id: str) -> None:
    """Revoke one key, or every key of a source; no process accepts it when this returns."""
    count = container.operations.sources.revoke(id, actor="cli:source revoke")
    _out.print(_("{credentials} revoked.", credentials=counted(count, "credential")))


class Place(click.ParamType[Territory]):
    """A territory: its kind and its code."""

    name = "kind:code"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Territory:
        """The territory."""
        try:
            return value if isinstance(value, Territory) else territory(value)
        except ValueError:
            kinds = ", ".join(KINDS)
            self.fail(
                _(
                    "{value!r} is no territory. Write kind:code; kinds are {kinds}, a school by its UAI.",
                    value=value,
                    kinds=kinds,
                ),
                param,
                ctx,
            )


@click.group()
def credential() -> None:
    """Credentials of people and of sources."""


@credential.command("add")
@click.option("--role", type=click.Choice(sorted(scopes.ROLES)), help="For a person: researcher, dpo, operator.")
@click.option("--source", "owner", help="One more key for this source.")
@click.option("--scope", "wanted", multiple=True, help="Instead of the role's or the source's scopes. Repeatable.")
@click.option("--label", default="", help="Whose it is, for the list; a function rather than a name.")
@click.option(
    "--until",
    type=Moment(),
    help="Last day on which it is good. Default: of a person, 31 August of the school year (from June on, of the next "
    "one); of a source, no end.",
)
@click.option(
    "--only-processing-activity",
    "activities",
    multiple=True,
    metavar="ID",
    help="It reads only what is kept under this entry of the register. Repeatable.",
)
@click.option("--only-source", "sources", multiple=True, metavar="ID", help="Only what this source sent. Repeatable.")
@click.option(
    "--only-territory",
    "territories",
    type=Place(),
    multiple=True,
    help="Only what happened in this school, or in the schools of this territory. Repeatable.",
)
@click.option("--only-since", type=Moment(), help="Only what happened on this day or later.")
@click.option("--only-until", type=Moment(), help="Only what happened on this day or before.")
@click.pass_obj
def add_credential(
    container: Container,
    role: str | None,
    owner: str | None,
    wanted: tuple[str, ...],
    label: str,
    until: datetime | None,
    activities: tuple[str, ...],
    sources: tuple[str, ...],
    territories: tuple[Territory, ...],
    only_since: datetime | None,
    only_until: datetime | None,
) -> None:
    """Make a credential for a role or a source, and print it once. A person's may be limited to a perimeter: whatever
    lies outside is refused to it, and so is what knows no such limits.
    """
    if role is None and owner is None and not wanted:
        raise click.UsageError(_("Give --role, --source or --scope."))
    granted = wanted or (scopes.ROLES[role] if role else scopes.SOURCE_DEFAULT)
    _show(
        container.operations.sources.issue(
            source=owner,
            label=label or role or "",
            scopes=granted,
            until=until.date() if until else None,
            perimeter=Perimeter.of(
                activities,
                sources,
                territories,
                only_since.date() if only_since else None,
                only_until.date() if only_until else None,
            ),
            actor="cli:credential add",
        )
    )


@credential.command("list")
@click.option(
    "--ending", is_flag=True, help=f"Those that end within {counted(SOON.days, 'day')}, or have ended, of sources too."
)
@click.pass_obj
def list_credentials(container: Container, ending: bool) -> None:
    """Show the credentials that belong to no source; or those that end soon, whosever they are."""
    sources = container.operations.sources
    if ending:
        rows = table("key", "source", "label", *_STANDING)
        for kept in sources.ending(container.platform.today() + SOON):
            rows.add_row(kept.id, kept.source or "", kept.label, *_standing(container, kept))
    else:
        rows = table("key", "label", *_STANDING)
        for kept in sources.people():
            rows.add_row(kept.id, kept.label, *_standing(container, kept))
    _out.print(rows)


@credential.command("rotate")
@click.argument("id", metavar="KEY")
@click.option("--source", "owner", required=True, help="The source that it is of.")
@click.option("--until", type=Moment(), required=True, help="Last day on which the old key is good.")
@click.pass_obj
def rotate_credential(container: Container, id: str, owner: str, until: datetime) -> None:
    """Make a key in the place of KEY, which is good until a day, and print it once."""
    sources = container.operations.sources
    _show(sources.rotate(id, source=owner, until=until.date(), actor="cli:credential rotate"))


@credential.command("end")
@click.argument("id", metavar="KEY")
@click.option("--source", "owner", required=True, help="The source that it is of.")
@click.option("--until", type=Moment(), required=True, help="Last day on which it is good; an earlier one stays.")
@click.pass_obj
def end_credential(container: Container, id: str, owner: str, until: datetime) -> None:
    """Give a key of a source a last day."""
    container.operations.sources.end(id, source=owner, until=until.date(), actor="cli:credential end")
    _out.print(
        _("Key {id} is good until {until}, or an earlier end that it had.", id=id, until=until.date()), markup=False
    )


@credential.command("revoke")
@click.argument("id", metavar="KEY")
@click.pass_obj
def revoke_credential(container: Container, id: str) -> None:
    """Revoke one key; no process accepts it when this returns."""
    count = container.operations.sources.revoke(id, actor="cli:credential revoke")
    _out.print(_("{credentials} revoked.", credentials=counted(count, "credential")))


def _standing(container: Container, credential: StoredCredential) -> tuple[str, str, str, str, str]:
    """Scopes and perimeter of a credential, the day it was created, its last day, and the instant it was revoked."""
    revoked = f"{credential.revoked:%Y-%m-%d %H:%M}" if credential.revoked else ""
    until = container.operations.sources.last_day(credential)
    bounds = "" if credential.perimeter.unbounded else credential.perimeter.described()
    return ", ".join(credential.scopes), bounds, f"{credential.created:%Y-%m-%d}", str(until or ""), revoked


COMMANDS = (source, credential)
