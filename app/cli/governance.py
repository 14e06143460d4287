"""``sillage activity``, ``sillage retention`` and ``sillage audit``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

import click
from rich.progress import Progress
from rich.text import Text

from app.cli.screen import instant, out, table
from app.errors import ChainBroken, FileRefused
from app.governance.audit import AUDIT_READ, KINDS, Audit, readable
from app.governance.register import Register
from app.governance.retention import Retention, RetentionLine
from app.storage import clock


class Governance(Protocol):
    """What these commands need of the parts that the factory builds."""

    @property
    def register(self) -> Register:
        """The register of processing activities."""

    @property
    def retention(self) -> Retention:
        """Retention."""

    @property
    def audit(self) -> Audit:
        """The audit log."""


@click.group()
def activity() -> None:
    """The register of processing activities (GDPR art. 30)."""


@activity.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def activity_add(parts: Governance, file: Path) -> None:
    """Add the activity described in FILE (JSON), or a new version of it."""
    try:
        document = file.read_bytes()
    except OSError:
        raise FileRefused("The file cannot be read.") from None
    added = parts.register.add(document)
    out().print(f"Activity {added.id}, version {added.version}: {added.name.en}")


@activity.command("list")
@click.pass_obj
def activity_list(parts: Governance) -> None:
    """List the activities in force."""
    rows = table("id", "version", "name", "controller", "legal basis", "kept", "minors")
    for entry in parts.register.list():
        rows.add_row(
            entry.id,
            str(entry.version),
            entry.name.en,
            entry.controller,
            f"art. {entry.legal_basis}",
            f"{entry.retention.active_days} days",
            "yes" if entry.minors else "no",
        )
    out().print(rows)


@activity.command("show")
@click.argument("identifier")
@click.pass_obj
def activity_show(parts: Governance, identifier: str) -> None:
    """Show one activity in full, and when its versions were added."""
    console = out()
    console.print_json(data=parts.register.get(identifier).document)
    for version in parts.register.history(identifier):
        console.print(f"version {version.version}, added {instant(version.added)}")


@click.group()
def retention() -> None:
    """How long statements are kept, and what is due."""


@retention.command("report")
@click.pass_obj
def retention_report(parts: Governance) -> None:
    """Show what is kept, due and overdue, by activity and source."""
    rows = table("activity", "source", "kept", "oldest", "duration", "due", "overdue", "accounts ended", "due for that")
    for line in parts.retention.report(clock.now_us()):
        rows.add_row(
            line.activity,
            line.source,
            f"{line.kept:,}",
            instant(line.oldest),
            _duration(line),
            f"{line.due:,}",
            Text(f"{line.overdue:,}", style="red" if line.overdue else ""),
            f"{line.accounts_closed:,}",
            "-" if line.account_closed_months is None else f"{line.closed_due:,} of {line.accounts_due:,} accounts",
        )
    out().print(rows)


def _duration(line: RetentionLine) -> str:
    months = line.account_closed_months
    return f"{line.active_days} days" + ("" if months is None else f", or {months} months after the account ended")


@retention.command("apply")
@click.option("--execute", is_flag=True, help="Delete. Without it, only say what would be deleted.")
@click.pass_obj
def retention_apply(parts: Governance, execute: bool) -> None:
    """Delete the statements that are past their duration."""
    console = out()
    with Progress(console=console, disable=not execute, transient=True) as progress:
        task = progress.add_task("Deleting", total=None)

        def told(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        run = parts.retention.apply(clock.now_us(), not execute, told, actor="cli:retention apply")
    did = "deleted" if execute else "would be deleted"
    rows = table("activity", "source", "stored before", did, "of these, for ended accounts")
    for deletion in run.deletions:
        counts = (f"{deletion.statements:,}", f"{deletion.closed:,}")
        rows.add_row(deletion.activity, deletion.source, instant(deletion.cutoff), *counts)
    console.print(rows)
    if not execute:
        console.print("Nothing was deleted. Add --execute to delete.")


@click.group()
def audit() -> None:
    """The audit log."""


def _digests(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[0-9a-fA-F]{64}", digest) for digest in given):
        raise click.BadParameter("an anchor's digest is 64 hexadecimal digits")
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
@click.pass_obj
def audit_verify(parts: Governance, anchors: tuple[str, ...]) -> None:
    """Check the whole log for entries altered, removed, inserted or moved. The check is itself recorded."""
    console = out()
    parts.audit.append(AUDIT_READ, "cli:audit verify", {"anchors": len(anchors)})
    # This command's own chain ends here, so that it is not shown as one whose process was killed.
    parts.audit.close()
    with console.status("Reading the audit log") as status:
        outcome = parts.audit.verify(lambda read: status.update(f"Reading the audit log: {read:,} entries"), anchors)
    console.print(f"{outcome.entries:,} entries in {outcome.chains:,} chains")
    if outcome.open:
        rows = table(
            "chain", "last entry", "written", "vouched for up to", title="Not closed: process alive, or killed"
        )
        for chain in outcome.open:
            vouched = "-" if chain.anchored < 0 else str(chain.anchored)
            rows.add_row(chain.chain, str(chain.last), instant(chain.last_at), vouched)
        console.print(rows)
    if outcome.intact:
        found = " Each anchor given is in it." if anchors else ""
        console.print(Text("The chain is intact.", style="green").append(found, style="default"))
        return
    rows = table("chain", "entry", "kind", "what", title=f"{outcome.broken:,} findings")
    for finding in outcome.findings:
        rows.add_row(finding.chain, str(finding.n), finding.kind, finding.message)
    console.print(rows)
    raise ChainBroken(f"{outcome.broken} findings. Keep the database as it is, and compare with a backup.")


@audit.command("list")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(sorted(KINDS)), help="Only these kinds.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.pass_obj
def audit_list(parts: Governance, kinds: tuple[str, ...], limit: int) -> None:
    """Show the newest entries. The listing is itself recorded."""
    parts.audit.append(AUDIT_READ, "cli:audit list", {"kinds": list(kinds), "limit": limit})
    rows = table("at", "kind", "actor", "detail")
    for entry in parts.audit.newest(kinds, None, limit):
        detail = ", ".join(f"{name}={readable(value)}" for name, value in entry.detail.items() if name != "heads")
        rows.add_row(instant(entry.at), entry.kind, entry.actor, detail)
    out().print(rows)


COMMANDS = (activity, retention, audit)
