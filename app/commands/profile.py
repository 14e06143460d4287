"""``sillage profile …``: load xAPI Profiles, lint them, see how statements fare against them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import orjson
from rich.text import Text

from app.commands import check
from app.commands.container import Container
from app.commands.screen import out, table
from app.commands.words import _, counted, number
from app.core import contracts
from app.core.errors import FileRefused, NotFound, ProfileInvalid
from app.standards.france.mef import Edition, school_year
from app.standards.profiles import sessions
from app.standards.profiles.checker import Mode
from app.standards.profiles.document import Profile, load
from app.standards.profiles.findings import Finding, Severity
from app.standards.profiles.lint import lint
from app.traces.conformance import nomenclatures
from app.traces.ingest.checking import INVALID

_MODES = [each.value for each in Mode]
_MODE = "When several templates match: each must be followed, or one is enough."
_ORDERS = {True: "receipt", False: "timestamp"}
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


@click.group()
def profile() -> None:
    """The xAPI Profiles that sources promise to follow."""


@profile.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def add(container: Container, file: Path) -> None:
    """Load the xAPI Profile in FILE (JSON-LD), or a new version of one already loaded."""
    document = _bytes(file)
    added = container.traces.profiles.add(document, actor="cli:profile add")
    patterns = sum(pattern.primary for pattern in added.patterns)
    click.echo(
        _(
            "{id}: version {version}, {templates}, {patterns}",
            id=added.id,
            version=added.version,
            templates=counted(len(added.templates), "statement template"),
            patterns=counted(patterns, "primary pattern"),
        )
    )
    if not added.templates:
        click.echo(_("It has no statement templates: no statement is held to it, and each is `unmatched`."), err=True)
    others = [each for each in container.traces.profiles.list() if each.id != added.id]
    left_out = sorted({iri for each in sessions.compile(added, others) for iri in each.unresolved})
    if left_out:
        click.echo(
            _(
                "Some patterns are not followed: no loaded profile defines what they name, or too much is open "
                "in them at once: {left_out}. Load what is missing, then this profile again.",
                left_out=", ".join(left_out),
            ),
            err=True,
        )
    found = lint(document, list(_at_hand(others).values()))
    if found:
        click.echo(
            _(
                "{findings}: `sillage profile lint {file} --loaded` shows them.",
                findings=_counted(found),
                file=shlex.quote(str(file)),
            ),
            err=True,
        )


@profile.command("lint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--with",
    "beside",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A profile that FILE refers to. Repeatable.",
)
@click.option("--loaded", is_flag=True, help="Look references up in the profiles loaded into the store, too.")
@click.option("--strict", is_flag=True, help="Exit code 1 for a warning, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_obj
def lint_(
    container: Container, file: Path, beside: tuple[Path, ...], loaded: bool, strict: bool, as_json: bool
) -> None:
    """Say what is wrong or doubtful in the xAPI Profile in FILE. An error keeps it from being loaded: exit code 1.

    References to other profiles are looked up in the project's own, and in those given; nothing is fetched.
    """
    others = _at_hand(container.traces.profiles.list() if loaded else ())
    others |= {each.id: each for path in beside for each in [_loaded_from(path)]}
    found = lint(_bytes(file), list(others.values()))
    if as_json:
        click.echo(orjson.dumps([finding._asdict() for finding in found], option=orjson.OPT_INDENT_2))
    else:
        screen = out()
        for finding in found:
            screen.print(Text(f"{finding.severity}", _STYLES[finding.severity]), finding.pointer or "/")
            screen.print(f"  {finding.message} {finding.advice}")
            screen.print(f"  [{finding.rule}, {finding.section}]")
        screen.print(_counted(found) if found else _("Nothing found."))
    if any(strict or finding.severity is Severity.ERROR for finding in found):
        sys.exit(1)


@profile.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--profile",
    "wanted",
    required=True,
    multiple=True,
    help="An xAPI Profile: a file, ent or p2ia (the project's own), or the IRI of one that is loaded. Repeatable.",
)
@click.option(
    "--mode", type=click.Choice([each.value for each in Mode]), default=Mode.EVERY.value, show_default=True, help=_MODE
)
@click.option(
    "--nomenclature",
    "published",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The published CSV of MEF codes, its school year in its name (mef-2025-2026.csv). Repeatable. Without it only "
    "the form of MEF codes is checked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def check_(
    container: Container, file: Path, wanted: tuple[str, ...], mode: str, published: tuple[Path, ...], as_json: bool
) -> None:
    """Hold the statements in FILE (JSON lines, a JSON array or one statement, gzip or not) to profiles; nothing is
    stored.

    Structure, templates, patterns, schools, and what names people. Exit code 1 when a statement is not as it should be.
    """
    own = {Path(name).stem: each for name, each in _own().items()}
    at_hand = {each.id: each for each in own.values()}
    chosen = []
    for each in wanted:
        path = Path(each)
        found = own.get(each) or at_hand.get(each) or (_loaded_from(path) if path.exists() else None)
        if found is None:
            loaded = {one.id: one for one in container.traces.profiles.list()}
            at_hand = loaded | at_hand
            found = loaded.get(each)
        if found is None:
            raise NotFound("No such profile: give a file, ent, p2ia, or an IRI that `sillage profile list` shows.")
        at_hand.setdefault(found.id, found)
        chosen.append(found)
    tally = check.check(
        file,
        chosen,
        list(at_hand.values()),
        Mode(mode),
        [_edition(each) for each in published],
        max_statement_bytes=container.settings.statement_bytes,
    )
    if as_json:
        check.dump(tally)
    else:
        check.show(tally)
    if tally.failing or tally.outcomes[INVALID]:
        sys.exit(1)


@profile.command(name="list")
@click.pass_obj
def list_(container: Container) -> None:
    """List the profiles loaded."""
    rows = table("profile", "title", "version", "templates", "patterns")
    for loaded in container.traces.profiles.list():
        primary = sum(pattern.primary for pattern in loaded.patterns)
        rows.add_row(loaded.id, _title(loaded.label), loaded.version, str(len(loaded.templates)), str(primary))
    out().print(rows)


@profile.command()
@click.option("--source", help="Only this source.")
@click.pass_obj
def report(container: Container, source: str | None) -> None:
    """Count statements per source, template and verdict, and sessions per pattern and outcome."""
    rows = table("source", "template", "verdict")
    rows.add_column("statements", justify="right")
    for row in container.traces.profiles.counts(source):
        rows.add_row(row.source, row.template or _("(whole statements)"), row.outcome, number(row.statements))
    out().print(rows)
    standings = container.traces.sessions.standings(source)
    if not standings:
        return
    rows = table("source", "pattern", "in order of", "outcome")
    rows.add_column("sessions", justify="right")
    for each in standings:
        rows.add_row(each.source, each.pattern, _ORDERS[each.live], each.outcome, number(each.sessions))
    out().print(rows)
    rows = table("source", "in order of", "went wrong: wanted", "found")
    rows.add_column("sessions", justify="right")
    for each_break in container.traces.sessions.breaks(source):
        # One a line: they are long.
        wanted, found = ("\n".join(iris) for iris in (each_break.wanted, each_break.found))
        rows.add_row(
            each_break.source,
            _ORDERS[each_break.live],
            wanted or _("nothing more"),
            found or _("no template"),
            number(each_break.sessions),
        )
    out().print(rows)


@profile.command()
@click.option("--source", help="Only this source.")
@click.option("--again", is_flag=True, help="Read from the beginning, as after a change of patterns.")
@click.pass_obj
def follow(container: Container, source: str | None, again: bool) -> None:
    """Hold stored sessions to the patterns of profiles, in order of timestamp: what the job `patterns` does.

    Not while a scheduler leads.
    """
    chosen = [each for each in container.access.sources_repository.list() if source in (None, each.id)]
    if not chosen:
        raise NotFound("No such source. `sillage source list` shows those that exist.")
    # Beside the job, each would pass over what the other holds in its hands.
    with container.platform.leadership.require() as lease:
        if again:
            for each in chosen:
                container.traces.sessions.restart(each.id)
        done = container.traces.sessions.run(chosen, lease.check)
    click.echo(
        _(
            "{statements}, {sessions}, {reordered} put in order anew",
            statements=counted(done.statements, "statement"),
            sessions=counted(done.sessions, "session"),
            reordered=number(done.reordered),
        )
    )


def _title(label: Mapping[str, str]) -> str:
    return label.get("en") or next(iter(label.values()), "")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as refused:
        raise FileRefused(f"{file} cannot be read: {refused.strerror}.") from None


def _loaded_from(file: Path) -> Profile:
    try:
        return load(_bytes(file))
    except ProfileInvalid as refused:
        raise ProfileInvalid(f"{file}: {refused.detail}", faults=refused.faults) from None


def _at_hand(loaded: Sequence[Profile]) -> dict[str, Profile]:
    """The project's own profiles, and those loaded, by their IRI."""
    return {each.id: each for each in (*_own().values(), *loaded)}


def _edition(file: Path) -> Edition:
    day = school_year(file.name)
    if day is None:
        raise click.UsageError(
            _("The name of the nomenclature tells no school year: name it such as mef-2025-2026.csv.")
        )
    return Edition(day, nomenclatures.read(_bytes(file)))


def _own() -> dict[str, Profile]:
    """The project's own profiles, by the name of their file."""
    made = {}
    for path in sorted(contracts.folder("profiles").glob("*.jsonld")):
        try:
            made[path.name] = load(path.read_bytes())
        except ProfileInvalid:
            continue  # one that is being worked on
    return made


def _counted(found: Sequence[Finding]) -> str:
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    return f"{counted(errors, 'error')}, {counted(len(found) - errors, 'warning')}"


COMMANDS = (profile,)
