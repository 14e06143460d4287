"""``sillage processing-activity``, ``sillage retention`` and ``sillage audit``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
from rich.progress import Progress
from rich.text import Text

from app.access.credentials import PSEUDONYMISE
from app.commands.container import Container
from app.commands.given import Moment, Number
from app.commands.purpose import purpose_option
from app.commands.screen import instant, out, table
from app.commands.words import N_, _, counted, number, spoken
from app.core import clock
from app.core.errors import ChainBroken, FileRefused
from app.crypto.signing import parse_public_key
from app.governance.audit import checkpoints
from app.governance.audit.checkpoints import Checkpoint
from app.governance.audit.log import AUDIT_READ, KINDS, readable
from app.governance.audit.store import Entry
from app.governance.register.service import RetentionRule, version_on
from app.operations.measures import Measures
from app.people.audit_search import MAX_AGENT_BYTES, Wanted, read_agents
from app.retention.service import RetentionLine

_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")


@click.group("processing-activity")
def processing_activity() -> None:
    """The register of processing activities (GDPR article 30)."""


@processing_activity.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask, when the duration becomes shorter.")
@click.pass_obj
def processing_activity_add(container: Container, file: Path, yes: bool) -> None:
    """Add the processing activity described in FILE (JSON), or a new version of it.

    A version governs from its in_force_from on. Before a shorter duration is added, the command says how many
    statements it would make due, and asks.
    """
    try:
        document = file.read_bytes()
    except OSError:
        raise FileRefused("The file cannot be read.") from None
    console = out()
    draft = container.governance.register.draft(document)
    effect = container.retention.service.effect(draft, clock.now_us())
    if effect.shorter and effect.before is not None:
        console.print(
            _(
                "Kept until now: {rule}. With this version: {then}.",
                rule=_rule(effect.before),
                then=_rule(draft.retention),
            )
        )
        console.print(
            _(
                "Of the statements stored now, {due} more would be due at {at}; the next run of retention after "
                "that deletes what is due, for good.",
                due=number(effect.due),
                at=instant(effect.at),
            )
        )
        if not yes:
            click.confirm(_("Add this version?"), abort=True, err=True)
    added = container.governance.register.add(document)
    console.print(
        _(
            "Processing activity {id}, version {version}: {name}",
            id=added.id,
            version=added.version,
            name=getattr(added.name, spoken()),
        )
    )
    if added.in_force_from > container.governance.register.day():
        before = [one for one in container.governance.register.list() if one.id == added.id]
        until = (
            _("version {version} governs", version=before[0].version)
            if before
            else _("nothing is stored under this processing activity")
        )
        console.print(
            _("In force from {in_force_from} on; until then {until}.", in_force_from=added.in_force_from, until=until)
        )


@processing_activity.command("list")
@click.pass_obj
def processing_activity_list(container: Container) -> None:
    """List the processing activities in force, and the versions that are to come into force."""
    rows = table(
        "id", "version", "name", "controller", "legal basis", "kept", "minors", "in force from", "review by", "standing"
    )
    overdue = {one.id for one in container.governance.register.overdue_reviews()}
    listed = [(one, True) for one in container.governance.register.list()] + [
        (one, False) for one in container.governance.register.planned()
    ]
    for entry, in_force in sorted(listed, key=lambda each: (each[0].id, each[0].in_force_from)):
        late = in_force and entry.id in overdue
        rows.add_row(
            entry.id,
            str(entry.version),
            getattr(entry.name, spoken()),
            entry.controller,
            _("art. {article}", article=entry.legal_basis),
            counted(entry.retention.active_days, "day"),
            _("yes") if entry.minors else _("no"),
            str(entry.in_force_from),
            Text(str(entry.review_by or "-"), style="red" if late else ""),
            (_("in force, review overdue") if late else _("in force")) if in_force else _("not in force yet"),
        )
    out().print(rows)


@processing_activity.command("show")
@click.argument("identifier")
@click.pass_obj
def processing_activity_show(container: Container, identifier: str) -> None:
    """Show one processing activity in full, as it is or will be in force, its versions, and its certificates."""
    console = out()
    versions = container.governance.register.history(identifier)
    governing = version_on(versions, container.governance.register.day())
    planned = [one for one in container.governance.register.planned() if one.id == identifier]
    shown = governing or (planned[0] if planned else container.governance.register.get(identifier))
    console.print_json(data=shown.document)
    for version in versions:
        standing = (
            _("in force") if version == governing else _("not in force yet") if version in planned else _("replaced")
        )
        console.print(
            _(
                "version {version}, added {added}, from {in_force_from}: {standing}",
                version=version.version,
                added=instant(version.added),
                in_force_from=version.in_force_from,
                standing=standing,
            )
        )
    for act in reversed(container.retention.certificates.newest(1_000, activity=identifier)):
        said = [
            act.kind,
            act.source or "",
            "" if act.to is None else _("to {to}", to=act.to),
            "" if act.on is None else act.on,
        ]
        what = " ".join(word for word in said if word)
        console.print(
            _(
                "{at:%Y-%m-%d %H:%M:%SZ}: {what} (certificate {id}, {phase})",
                at=act.at,
                what=what,
                id=act.id,
                phase=act.phase,
            )
        )


@click.group()
def retention() -> None:
    """Retention: durations of statements and documents, and what is due."""


@retention.command("report")
@click.pass_obj
def retention_report(container: Container) -> None:
    """Show what is kept, due and overdue, by processing activity and source, and reviews that are overdue."""
    lines = container.retention.service.report(clock.now_us())
    rows = table(
        "processing activity",
        "source",
        "kept",
        "oldest",
        "duration",
        "until",
        "due",
        "overdue",
        "accounts ended",
        "due for that",
        "minors",
    )
    unreasoned = []
    for line in lines:
        if line.concerns_minors and line.minors != PSEUDONYMISE and not line.minors_reason:
            unreasoned.append(line.source)
        rows.add_row(
            line.activity,
            line.source,
            number(line.kept),
            instant(line.oldest),
            _duration(line),
            instant(line.oldest_until)[:10],
            number(line.due),
            Text(number(line.overdue), style="red" if line.overdue else ""),
            number(line.accounts_closed),
            "-"
            if line.account_closed_months is None
            else _(
                "{closed_due} of {accounts}",
                closed_due=number(line.closed_due),
                accounts=counted(line.accounts_due, "account"),
            ),
            f"{line.minors}: {line.minors_reason}" if line.minors_reason else line.minors,
        )
    console = out()
    console.print(rows)
    if unreasoned:
        console.print(
            _(
                "Of processing activities that concern minors, without `{policy}` and without a reason on "
                'record: {unreasoned}. `sillage source set ID --minors POLICY --reason "…"` puts it right.',
                policy=PSEUDONYMISE,
                unreasoned=", ".join(unreasoned),
            )
        )
    written = table(
        "processing activity",
        "source",
        "kept",
        "written longest ago",
        "until",
        "due",
        "overdue",
        "due for ended accounts",
    )
    written.title = _("Documents: states, agent profiles, activity profiles")
    for line in lines:
        written.add_row(
            line.activity,
            line.source,
            number(line.documents),
            instant(line.documents_oldest),
            instant(line.documents_oldest_until)[:10],
            number(line.documents_due),
            Text(number(line.documents_overdue), style="red" if line.documents_overdue else ""),
            "-" if line.account_closed_months is None else number(line.documents_closed_due),
        )
    console.print(written)
    console.print(
        _(
            "until: the day up to which the oldest may be kept. Each run of retention leaves an entry, also when "
            "nothing was due: `sillage audit list --kind retention-run`."
        )
    )
    for entry in container.governance.register.overdue_reviews():
        console.print(
            Text(
                _(
                    "The review of {id} was due by {review_by}: see `sillage processing-activity show`.",
                    id=entry.id,
                    review_by=entry.review_by,
                ),
                "red",
            )
        )


def _duration(line: RetentionLine) -> str:
    return _said(line.active_days, line.account_closed_months)


def _rule(rule: RetentionRule) -> str:
    return _said(rule.active_days, rule.account_closed_months)


def _said(days: int, months: int | None) -> str:
    return counted(days, "day") + (
        "" if months is None else _(", or {months} after the account ended", months=counted(months, "month"))
    )


@retention.command("apply")
@click.option("--execute", is_flag=True, help="Delete. Without it, only say what would be deleted.")
@click.pass_obj
def retention_apply(container: Container, execute: bool) -> None:
    """Delete the statements and documents that are past their duration."""
    console = out()
    with Progress(console=console, disable=not execute, transient=True) as progress:
        task = progress.add_task(_("Deleting"), total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        run = container.retention.service.apply(clock.now_us(), not execute, report, actor="cli:retention apply")
    rows = table("processing activity", "source", "stored before")
    for heading in (
        (N_("statements deleted"), N_("documents deleted"))
        if execute
        else (N_("statements that would be deleted"), N_("documents that would be deleted"))
    ):
        rows.add_column(heading)
        rows.add_column("of these, for ended accounts")
    for deletion in run.deletions:
        counts = [
            number(count)
            for count in (deletion.statements, deletion.closed, deletion.documents, deletion.documents_closed)
        ]
        rows.add_row(deletion.activity, deletion.source, instant(deletion.cutoff), *counts)
    console.print(rows)
    if not execute:
        console.print(_("Nothing was deleted. Add --execute to delete."))


@click.group()
def audit() -> None:
    """The audit log."""


def _digests(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[0-9a-fA-F]{64}", digest) for digest in given):
        raise click.BadParameter(_("an anchor's digest is 64 hexadecimal digits"))
    return given


@audit.command("verify")
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="DIGEST",
    callback=_digests,
    help="Digest of an anchor, kept outside the database: it must still be there. Repeatable.",
)
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A signed checkpoint: its signature must be right, and the log must still hold what it says. Repeatable.",
)
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="The public key (PEM) that checkpoints are held to, rather than the one that the store gives.",
)
@click.option("--offline", is_flag=True, help="Only the signatures of checkpoints; needs --public-key and no store.")
@click.pass_obj
def audit_verify(
    container: Container, anchors: tuple[str, ...], files: tuple[Path, ...], public_key: Path | None, offline: bool
) -> None:
    """Check the whole log for entries altered, removed, inserted or moved. The check is itself recorded."""
    console = out()
    key = None if public_key is None else _public_key(public_key)
    if offline:
        if key is None or not files or anchors:
            raise click.UsageError(_("Give --offline with --public-key and --checkpoint, and without --anchor."))
        for file in files:
            _show_checkpoint(checkpoints.read(file, key))
        console.print(
            _("The signatures are right. Whether the log still holds it takes the store: leave --offline out.")
        )
        return
    given = [container.governance.checkpoints.read(file, key) for file in files]
    container.governance.audit.append(
        AUDIT_READ, "cli:audit verify", {"anchors": len(anchors), "checkpoints": len(files)}
    )
    # This command's own chain ends here, so that it is not shown as one whose process was killed.
    container.governance.audit.close()
    with console.status(_("Reading the audit log")) as status:

        def report(read: int) -> None:
            status.update(_("Reading the audit log: {entries}", entries=counted(read, "entry", "entries")))

        outcome = container.governance.checkpoints.verify(given, anchors, report)
    Measures(container.platform.store).note_verification(clock.now_us())
    console.print(
        _(
            "{entries} in {chains}",
            entries=counted(outcome.entries, "entry", "entries"),
            chains=counted(outcome.chains, "chain"),
        )
    )
    if outcome.before:
        console.print(
            _(
                "Entries written before {before} were removed for their age; the log says so.",
                before=instant(outcome.before),
            )
        )
    for checkpoint in given:
        if checkpoint.at < outcome.before:
            console.print(
                _("The checkpoint of {at} is older than that: only its signature was tried.", at=instant(checkpoint.at))
            )
    if outcome.open:
        rows = table(
            "chain",
            "last entry",
            "written",
            "vouched for up to",
            "spool",
            title=_("Not closed: process alive, or killed"),
        )
        for chain in outcome.open:
            vouched = "-" if chain.anchored < 0 else str(chain.anchored)
            rows.add_row(chain.chain, str(chain.last), instant(chain.last_at), vouched, chain.host or "-")
        console.print(rows)
    if outcome.intact:
        found = _(" Each anchor given is in it.") if anchors else ""
        found += _(" It holds what each checkpoint says.") if files else ""
        console.print(Text(_("The chain is intact."), style="green").append(found, style="default"))
        return
    rows = table("chain", "entry", "kind", "what", title=counted(outcome.broken, "finding"))
    for finding in outcome.findings:
        rows.add_row(finding.chain, str(finding.n), finding.kind, finding.message)
    console.print(rows)
    raise ChainBroken(f"{counted(outcome.broken, 'finding')}. Keep the database as it is, and compare with a backup.")


@audit.command("checkpoint")
@click.option(
    "--to",
    "destination",
    required=True,
    type=click.Path(path_type=Path),
    help="A new file, or a folder: in a place that whoever administers the database cannot write to.",
)
@click.option("--entries", is_flag=True, help="Write the entries since the last checkpoint of that folder beside it.")
@click.pass_obj
def audit_checkpoint(container: Container, destination: Path, entries: bool) -> None:
    """Write a signed checkpoint: with it, `sillage audit verify` finds the log cut back, all chains at once too."""
    out().print(
        _("The checkpoint is in {write}.", write=container.governance.checkpoints.write(destination, entries=entries))
    )


@audit.command("trim")
@click.option("--execute", is_flag=True, help="Remove. Without it, only say what would be removed.")
@click.pass_obj
def audit_trim(container: Container, execute: bool) -> None:
    """Remove what is older than SILLAGE_AUDIT_DAYS from the log, as the job `retention` does; the log says so."""
    console = out()
    with console.status(_("Going through the audit log")) as status:

        def report(done: int, total: int) -> None:
            status.update(
                _("Going through the audit log: {done} of {chains}", done=number(done), chains=counted(total, "chain"))
            )

        done = container.retention.audit_retention.apply(
            clock.now_us(), dry_run=not execute, actor="cli:audit trim", progress=report
        )
    before, chains = instant(done.before), counted(done.chains, "chain")
    console.print(
        _(
            "Written before {before}, of {chains}: {entries}.",
            before=before,
            chains=chains,
            entries=counted(done.entries, "entry was removed", "entries were removed"),
        )
        if execute
        else _(
            "Written before {before}, of {chains}: {entries} would be removed. Add --execute to do it.",
            before=before,
            chains=chains,
            entries=counted(done.entries, "entry", "entries"),
        )
    )
    if done.damaged:
        raise ChainBroken(
            f"{counted(len(done.damaged), 'chain')} not whole, left as found. Run `sillage audit verify`."
        )


@audit.command("search")
@click.option(
    "--person",
    type=click.File("rb"),
    help="File with an xAPI Agent (JSON), or an array of those of one person; - for standard input.",
)
@click.option("--credential", "actor", metavar="ID", help="By this credential, command (cli:…) or job (job:…).")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only these kinds.")
@click.option("--since", type=Moment(*_DATES), help="Written at or after this, UTC.")
@click.option("--until", type=Moment(*_DATES), help="Written before this, UTC.")
@purpose_option
@click.option("--limit", default=200, show_default=True, type=Number(1, 10_000))
@click.pass_obj
def audit_search(
    container: Container,
    person: BinaryIO | None,
    actor: str | None,
    kinds: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """Look for entries, the newest first: about a person, by whom, of what kind, when. The search is itself recorded.

    A person is given by a file or standard input, never by an option: other users see those, and histories keep them.
    """
    agents = None if person is None else read_agents(person.read(MAX_AGENT_BYTES))
    wanted = Wanted(agents, actor, kinds, _us(since), _us(until))
    found = container.people.audit_search.find(wanted, None, limit, who="cli:audit search")
    rows, who = table("at", "kind", "actor", "detail"), _called(container)
    for entry in found.entries:
        rows.add_row(instant(entry.at), entry.kind, who(entry.actor), _shown(entry))
    console = out()
    console.print(rows)
    if found.next is not None:
        # To the next second: of the last one there may be more.
        further = instant(found.entries[-1].at // 1_000_000 * 1_000_000 + 1_000_000)[:19]
        console.print(_("There are more: raise --limit, or go on with --until '{further}'.", further=further))
    if agents is not None:
        console.print(
            _(
                "Found: what was asked by this person's identifiers. Readings asked otherwise (by verb, activity, "
                "period) may have given statements of theirs too: look at statements-read of the period."
            )
        )
    for behind in container.governance.audit.spools.behind():
        standing = _("is behind") if behind.lives else _("was killed or is cut off")
        console.print(
            Text(
                _(
                    "Host {host} {standing}: what it read since {since} may not be here yet.",
                    host=behind.host,
                    standing=standing,
                    since=instant(behind.since),
                ),
                "red",
            )
        )


@audit.command("list")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only these kinds.")
@click.option("--limit", default=50, show_default=True, type=Number(1, 10_000))
@purpose_option
@click.pass_obj
def audit_list(container: Container, kinds: tuple[str, ...], limit: int) -> None:
    """Show the newest entries. The listing is itself recorded."""
    container.governance.audit.append(AUDIT_READ, "cli:audit list", {"kinds": list(kinds), "limit": limit})
    rows, who = table("at", "kind", "actor", "detail"), _called(container)
    for entry in container.governance.audit.newest(kinds, None, limit):
        rows.add_row(instant(entry.at), entry.kind, who(entry.actor), _shown(entry))
    out().print(rows)


def _called(container: Container) -> Callable[[str], str]:
    """The label of an entry's actor, with the credential's id, by which entries are looked for."""
    label = container.people.recipients.labels()
    return lambda actor: actor if label(actor) == actor else f"{label(actor)} ({actor})"


def _shown(entry: Entry) -> str:
    hidden = {"heads", "fronts"}
    return ", ".join(f"{name}={readable(value)}" for name, value in entry.detail.items() if name not in hidden)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)


def _public_key(file: Path) -> bytes:
    try:
        return parse_public_key(file.read_bytes())
    except OSError:
        raise FileRefused("The public key cannot be read.") from None


def _show_checkpoint(checkpoint: Checkpoint) -> None:
    chain, n, mac = checkpoint.anchor
    out().print(
        _(
            "{at}: the log of {organisation} held {mac} at {chain}/{n}.",
            at=instant(checkpoint.at),
            organisation=checkpoint.organisation,
            mac=mac.hex(),
            chain=chain,
            n=n,
        )
    )


COMMANDS = (processing_activity, retention, audit)
