"""``sillage person erase`` and ``sillage receipt …``: erasure, and the proof of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands import signed
from app.commands.container import Container
from app.commands.given import Number
from app.commands.person import (
    Meant,
    RequestOf,
    data_subject_options,
    for_each,
    in_short,
    person,
    request_options,
    show_reach,
)
from app.commands.purpose import purpose_option
from app.commands.screen import out, table
from app.commands.words import N_, _, counted, number
from app.core.errors import FileRefused, NotFound
from app.people.erasure.service import RECEIPT, ProgressCallback
from app.people.erasure.store import DONE
from app.people.finding.pseudonyms import IdentifiedDataSubject

_PHASES = {
    "forgetting": N_("Waiting until every process has forgotten the keys"),
    "deleting": N_("Deleting what is theirs"),
    "redacting": N_("Taking them out of statements of others"),
    "referring": N_("Refreshing statements that refer to those"),
    "recounting": N_("Counting aggregates again"),
}


@person.command("erase")
@data_subject_options
@request_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="End once the keys are destroyed; the job `erasure` does the rest.")
@click.option(
    "--receipt",
    "receipt",
    type=click.Path(path_type=Path),
    help="Write the signed receipt to this file; with --each, each to a file of its own in this folder.",
)
@purpose_option
@click.pass_obj
def erase(
    container: Container, who: Meant, requests: RequestOf, yes: bool, no_wait: bool, receipt: Path | None
) -> None:
    """Erase a person, for good: first their keys, at once, then all that is left of them.

    Statements of others stay, with an anonymous account in the place of this person. May be cut off and run again.
    """
    console = out()
    if who.each:
        _erase_each(container, who, requests, yes=yes, no_wait=no_wait, folder=receipt)
        return
    if receipt is not None and receipt.exists():
        raise FileRefused("The file for the receipt is there already; it is not overwritten.")
    # Before it goes; on record with the erasure.
    reach = container.people.finder.reach(who.one)
    show_reach(reach)
    if not yes:
        found = container.people.finder.find(who.one, actor="cli:person erase")
        console.print(
            _(
                "{statements} of theirs, {mentions} in those of others.",
                statements=counted(found.own, "statement"),
                mentions=counted(found.mentions, "mention"),
            )
        )
        click.confirm(_("Erase them? Nothing brings them back."), abort=True, err=True)
    erasure = container.people.erasures.erase(who.one, actor="cli:person erase", request=requests.one)
    console.print(_("Erasure {id}: keys destroyed ({keys}).", id=erasure.id, keys=erasure.counts.get("keys", 0)))
    if no_wait:
        console.print(
            _("The job `erasure` of the scheduler does the rest; `sillage receipt list` shows how far it is.")
        )
        return
    with _progress() as report:
        erasure = container.people.erasures.advance(erasure.id, progress=report)
    for name, count in sorted(erasure.counts.items()):
        console.print(f"  {name}: {number(count)}")
    for one in erasure.recipients:
        console.print(
            _(
                "  to be told (GDPR art. 19): {name}, {readings}",
                name=one["name"],
                readings=counted(int(str(one["number"])), "reading"),
            )
        )
    if receipt is not None and erasure.receipt is not None:
        signed.write(erasure.receipt, receipt, "receipt")


def _erase_each(
    container: Container, who: Meant, requests: RequestOf, *, yes: bool, no_wait: bool, folder: Path | None
) -> None:
    if folder is not None and not folder.is_dir():
        raise FileRefused("With --each, --receipt is a folder that is there.")
    people = {one for one in who.data_subjects if isinstance(one, IdentifiedDataSubject)}
    if not yes:
        counts = [container.people.finder.find(one, actor="cli:person erase") for one in people]
        own, mentions = sum(each.own for each in counts), sum(each.mentions for each in counts)
        out().print(
            _(
                "{persons}: {statements} of theirs, {mentions} in those of others.",
                persons=counted(len(people), "person"),
                statements=counted(own, "statement"),
                mentions=counted(mentions, "mention"),
            )
        )
        click.confirm(_("Erase them all? Nothing brings them back."), abort=True, err=True)

    def act(place: int, one: IdentifiedDataSubject) -> str:
        reach = container.people.finder.reach(one)
        erasure = container.people.erasures.erase(one, actor="cli:person erase", request=requests.at(place))
        if no_wait:
            return _(
                "erasure {id}: keys destroyed, the job `erasure` does the rest",
                id=erasure.id,
            ) + in_short(reach)
        erasure = container.people.erasures.advance(erasure.id)
        file = None if folder is None else folder / f"receipt-{erasure.id}.json"
        if file is not None and erasure.receipt is not None and not file.exists():
            signed.write(erasure.receipt, file, "receipt", quiet=True)
        names = sorted({str(each["name"]) for each in erasure.recipients})
        return (
            _(
                "erasure {id}: statements erased: {statements}",
                id=erasure.id,
                statements=number(erasure.counts.get("statements", 0)),
            )
            + ("" if file is None else _(", receipt {name}", name=file.name))
            + (_("; to be told: {names}", names=", ".join(names)) if names else "")
            + in_short(reach)
        )

    for_each(who, act)


@click.group()
def receipt() -> None:
    """Receipts of erasures: signed, and verified without the store."""


@receipt.command("list")
@click.option("--limit", default=50, show_default=True, type=Number(1, 10_000))
@click.pass_obj
def receipt_list(container: Container, limit: int) -> None:
    """Show the newest erasures, and how far each is."""
    rows = table("erasure", "keys destroyed", "phase", "finished", "statements", "mentions", "case")
    for one in container.people.erasures.newest(limit):
        rows.add_row(
            str(one.id),
            f"{one.destroyed:%Y-%m-%d %H:%M:%SZ}",
            one.phase,
            "-" if one.finished is None else f"{one.finished:%Y-%m-%d %H:%M:%SZ}",
            number(one.counts.get("statements", 0)),
            number(one.counts.get("mentions", 0)),
            one.request or "-",
        )
    out().print(rows)


@receipt.command("write")
@click.argument("erasure", type=click.UUID)
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def receipt_write(container: Container, erasure: UUID, file: Path) -> None:
    """Write the receipt of ERASURE to FILE."""
    found = container.people.erasures.get(erasure)
    if found.phase != DONE or found.receipt is None:
        raise NotFound("There is no receipt yet: the erasure is under way.")
    signed.write(found.receipt, file, "receipt")


@receipt.command("verify")
@signed.verify_options
def receipt_verify(file: Path, public_key: Path) -> None:
    """Verify the signature of a receipt. Needs neither the store nor its keys."""
    found = signed.verified(file, public_key, "receipt")
    if found.format == RECEIPT:
        _show(found.content)


def _show(content: Any) -> None:
    console = out()
    for name in ("organisation", "erasure", "case", "keys_destroyed", "erased_until", "finished"):
        if content.get(name) is not None:
            console.print(f"  {name}: {content[name]}")
    for name, count in content.get("counts", {}).items():
        console.print(f"  {name}: {number(count)}")
    for one in content.get("pseudonyms", []):
        console.print(
            _("  found under a pseudonym that the store had made of what was given: source {source}", source=one)
        )
    for one in content.get("received", []):
        console.print(
            _(
                "  received by: {name} ({readings}, {first} to {last})",
                name=one["name"],
                readings=counted(int(one["number"]), "reading"),
                first=one["first"],
                last=one["last"],
            )
        )
    for one in content.get("exports", []):
        console.print(
            _(
                "  export to tell of: {package}, for {recipients}",
                package=one["package"],
                recipients=", ".join(one["recipients"]) or _("nobody named"),
            )
        )


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = out()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(_("Erasing"), total=None)

        def report(phase: str, done: int, total: int) -> None:
            progress.update(task, description=_(_PHASES.get(phase, phase)), completed=done, total=total or None)

        yield report


COMMANDS = (receipt,)
