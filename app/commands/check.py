"""``sillage profile check``: a file of statements held to profiles, and nothing stored."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from app.commands.screen import out, table
from app.commands.words import N_, _, number
from app.core import clock
from app.core.errors import BodyTooLarge, Fault, FileRefused, SillageError, StatementTooLarge
from app.standards.france import schools
from app.standards.france.mef import Edition
from app.standards.profiles import checker, sessions
from app.standards.profiles.checker import Mode
from app.standards.profiles.document import Profile
from app.standards.profiles.extensions import Extensions
from app.standards.xapi.decode import MAX_STATEMENT_BYTES, decode
from app.standards.xapi.versions import SUPPORTED, of_statement
from app.traces.conformance.school_checks import KEYS
from app.traces.ingest.checking import INVALID, Judge, Tally

_PAGE = 500
_GZIP = b"\x1f\x8b"
# Editors of some systems put one before UTF-8.
_BOM = b"\xef\xbb\xbf"
_PEEKED = 1024
_SHOWN = 15


class Line(NamedTuple):
    """A line of a file: its number, and the statement on it or why there is none."""

    number: int
    statement: dict[str, Any] | None
    refused: Sequence[Fault]


def check(
    file: Path,
    profiles: Sequence[Profile],
    others: Sequence[Profile],
    mode: Mode,
    editions: Sequence[Edition] = (),
    *,
    max_statement_bytes: int = MAX_STATEMENT_BYTES,
) -> Tally:
    """Judge every statement of a file: JSON lines, a JSON array or one statement; gzip or not.

    Args:
        file: The file.
        profiles: What its statements are held to.
        others: Profiles at hand, for templates and patterns that ``profiles`` use of others.
        mode: When several templates match.
        editions: The nomenclature of courses; without any, only the form of MEF codes is checked.
        max_statement_bytes: Most bytes of a statement's JSON.

    Raises:
        FileRefused: it cannot be read, or unpacked.
    """
    made = checker.compile(profiles, mode, others)
    today = clock.now().date()
    places = schools.Checks(KEYS, editions)
    followers = tuple(each for profile in profiles for each in sessions.compile(profile, others) if each.patterns)
    tally = Tally(
        Judge(
            made.check_all,
            lambda given: [places.faults(each, today) for each in given],
            Extensions([*profiles, *others]),
            lambda given, found: given,
            followers,
            mode,
        )
    )
    try:
        with file.open("rb") as raw, _bar() as bar:
            task = bar.add_task(file.name, total=file.stat().st_size)
            lines = _lines(raw, max_statement_bytes)
            while page := list(islice(lines, _PAGE)):
                _add(tally, page)
                bar.update(task, completed=raw.tell())
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise FileRefused(f"{file} cannot be read: it is not whole gzip data.") from None
    except OSError as refused:
        raise FileRefused(f"{file} cannot be read: {refused.strerror or 'it is no regular file'}.") from None
    return tally


def _add(tally: Tally, page: Sequence[Line]) -> None:
    for line in page:
        if line.statement is None:
            tally.invalid(line.refused, line.number)
    for version in SUPPORTED:
        held = [
            (line.number, line.statement)
            for line in page
            if line.statement is not None and of_statement(line.statement.get("version")) is version
        ]
        # What the file holds may come with data elsewhere.
        tally.add([each for _, each in held], [number for number, _ in held], version, data_follow=True)


def _lines(raw: BufferedReader, max_statement_bytes: int) -> Iterator[Line]:
    content = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw
    head = content.peek(_PEEKED).removeprefix(_BOM).lstrip()
    if head[:1] == b"[" or head.partition(b"\n")[0].strip() == b"{":
        # An array, or one statement over several lines.
        yield from _decoded(1, content.read().removeprefix(_BOM), 1 << 62, max_statement_bytes)
        return
    for place, line in enumerate(content, start=1):
        if place == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield from _decoded(place, line, 1, max_statement_bytes)


def _decoded(first: int, text: bytes, most: int, max_statement_bytes: int) -> Iterator[Line]:
    try:
        decoded = decode(text, max_statements=most, max_statement_bytes=max_statement_bytes)
        for place, statement in enumerate(decoded.statements):
            yield Line(first + place, statement, ())
    except SillageError as refused:
        if most > 1 and isinstance(refused, BodyTooLarge) and not isinstance(refused, StatementTooLarge):
            raise FileRefused("The array is too long to be read at once: write one statement a line.") from None
        yield Line(first, None, refused.faults or [Fault("", refused.code, "xAPI-Data 2.2", refused.detail)])


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def show(tally: Tally) -> None:
    """Print what was found, as tables."""
    screen = out()
    rows = table("verdict")
    rows.add_column("statements", justify="right")
    for name in ("conforms", "fails", "unmatched", INVALID):
        rows.add_row(_(_VERDICTS[name]), number(tally.outcomes[name]))
    screen.print(rows)
    if tally.templates:
        rows = table("template")
        rows.add_column("conform", justify="right")
        rows.add_column("fail", justify="right")
        for iri, counts in sorted(tally.templates.items()):
            rows.add_row(iri, number(counts["conforms"]), number(counts["fails"]))
        screen.print(rows)
    if tally.people or tally.schools or tally.extensions:
        rows = table("beside templates")
        rows.add_column("found", justify="right")
        for kind, words in _BESIDE.items():
            rows.add_row(_(words), number(tally.people[kind]))
        rows.add_row(_("statements with a wrong UAI or MEF code"), number(tally.schools))
        rows.add_row(_("statements that misuse an extension of a profile"), number(tally.extensions))
        screen.print(rows)
    standings = tally.sessions()
    if standings:
        rows = table("pattern", "outcome", "wanted next", "found")
        rows.add_column("sessions", justify="right")
        for standing, count in standings[:_SHOWN]:
            wanted = found = ""
            if standing.broken is not None:
                # One a line: they are long.
                wanted = "\n".join(standing.broken.wanted) or _("nothing more")
                found = "\n".join(standing.broken.found) or _("no template")
            rows.add_row(standing.pattern, standing.progress.value, wanted, found, number(count))
        screen.print(rows)
    common = tally.commonest(_SHOWN)
    if common:
        rows = table("commonest faults", "at", "rule of")
        rows.add_column("statements", justify="right")
        rows.add_column("first", justify="right")
        for each in common:
            fault = each.fault
            what = f"{fault.message} [{fault.rule}]"
            rows.add_row(what, fault.pointer or "/", fault.section, number(each.times), number(each.first))
        screen.print(rows)


_BESIDE = {"name": N_("names of people"), "email": N_("e-mail addresses"), "ine": N_("national pupil numbers (INE)")}
_VERDICTS = {
    "conforms": N_("conforms"),
    "fails": N_("fails"),
    "unmatched": N_("no template matches"),
    INVALID: N_("breaks the xAPI standard"),
}


def dump(tally: Tally) -> None:
    """Print what was found, as JSON."""
    click.echo(orjson.dumps(tally.report(), option=orjson.OPT_INDENT_2))
