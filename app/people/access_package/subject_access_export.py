"""Everything that is held about one data subject, in one package: access and portability (GDPR art. 15 and 20).

A zip that is written as it is read, one batch of statements at a time: nothing lies in clear on a disk of the store,
and memory does not grow with what is held. What was decided: ``docs/adr/0029-access-packages.md``. Others are masked
(art. 15(4), ``app/standards/xapi/masking.py``). Voided statements are in it, and so is what is restricted: art. 18
limits its use, not the data subject's access to it.

Layout::

    README.fr.txt, README.en.txt, index.fr.html, index.en.html
    statements/own-00001.json       array of xAPI statements, one a line, as stored
    statements/voided-00001.json    array of {voided, statement}
    statements/mentions-00001.json  array of {mentioned_as, voided, withheld, statement}
    documents/index-00001.json      array of {file, resource, id, activity, registration, content_type, …}
    documents/00001.json …          the documents themselves
    attachments/index-00001.json    array of {file, statement, sha2, content_type, length, usage_type, display}
    attachments/00001.png …         the data themselves
    sessions/sessions-00001.json    array of how sessions held to patterns stand
    register/ACTIVITY.json          the versions of the entries of the register
    requests.json                   their requests (access, erasure, …), with each step and what was noted
    accounts.json                   ends of accounts of theirs that sources told of
    …                               what other collections give (``PersonalDataStore.export``)
    about.json                      what the pages say
    manifest.json                   {files: [{path, length, sha256}], …}: every other file
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson

from app.access.store import SourceRepository
from app.core import lossless
from app.core.audit_sink import AuditSink
from app.core.clock import Clock, RandomBytes
from app.core.errors import DecryptionFailed
from app.core.months import closed_before
from app.core.personal_data import PersonalDataStore
from app.governance.audit.log import PERSON_ACCESS_GIVEN, PERSON_ACCESS_STARTED
from app.governance.register.service import ProcessingActivity, Register, version_on
from app.people.access_package import export_page
from app.people.access_package.export_summary import Named as NamedThing
from app.people.access_package.export_summary import Summary, moment
from app.people.access_package.export_words import LANGUAGES, README
from app.people.access_package.export_zip import ZipStream
from app.people.access_package.recipients import Received, Recipients
from app.people.finding.finder import OWN, DataSubjectFinder, Named
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.requests.service import DataSubjectRequests
from app.people.restriction import Restriction
from app.standards.xapi import Statement
from app.standards.xapi.activities import activities_in
from app.standards.xapi.documents import Content, Place
from app.standards.xapi.masking import Mask, Masked
from app.standards.xapi.media_types import essence
from app.standards.xapi.timestamps import render
from app.traces.documents.data_subject_documents import DocumentsByDataSubject
from app.traces.statements.attachments import Attachments
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Plain, Stored

FORMAT: Final = "sillage-person-package"
VERSION: Final = 1

MAX_ITEMS: Final = 1_000
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""A JSON file of the package holds so many items, and ends soon after so many bytes: any editor opens it."""

REFERENCE: Final = "reference"
"""The role of whoever did what a statement of another refers to: a mark, a comment (CJEU C-434/16, Nowak)."""

_OPENED_BYTES = 8 * 1024 * 1024
_DAY_US = 86_400 * 1_000_000
_SHOWN_ACTIVITIES = 50
_SHOWN_VERBS = 30
# Types whose files a computer shows and does not run. All others are ``.bin``: data of senders may be anything.
_EXTENSIONS: Final[Mapping[str, str]] = {
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/zip": ".zip",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".oga",
    "audio/wav": ".wav",
    "audio/webm": ".weba",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "video/mp4": ".mp4",
    "video/ogg": ".ogv",
    "video/webm": ".webm",
}
# Deflate gains nothing on these.
_PACKED_ALREADY: Final = ("audio/", "image/", "video/", "application/zip", "application/pdf")


class HeldDocument(Protocol):
    """A document of the data subject, as ``app/traces/documents/data_subject_documents.py`` gives it."""

    @property
    def place(self) -> Place:
        """The place of the document."""

    @property
    def content(self) -> Content:
        """The document."""

    @property
    def source(self) -> str:
        """Source that wrote it last."""

    @property
    def updated(self) -> int:
        """The instant of the last write, microseconds."""


class HeldDocuments(Protocol):
    """The documents of the data subject."""

    @property
    def damaged(self) -> int:
        """The number of those that ``each`` came to and that do not open, though nobody erased them."""

    def marks(self) -> Iterable[bytes]:
        """Their tokens in the audit log."""

    def met(self, activity: str, registration: str | None) -> None:
        """An activity that one of them may be about."""

    def each(self) -> Iterable[HeldDocument]:
        """Every one."""


class Attached(Protocol):
    """The data of an attachment, as ``app/traces/statements/attachments.py`` gives them."""

    @property
    def sha2(self) -> str:
        """Their digest, as declared."""

    @property
    def content_type(self) -> str:
        """As declared."""

    @property
    def chunks(self) -> Iterator[bytes]:
        """The bytes, to be read once."""


class Standing(Protocol):
    """Restriction and objections of the data subject."""

    @property
    def restricted(self) -> datetime | None:
        """Since when."""

    @property
    def objects(self) -> Sequence[str]:
        """Purposes objected to."""


class ClosedAccounts(Protocol):
    """The ends of accounts."""

    def of(self, subjects: Iterable[bytes]) -> list[tuple[str, int]]:
        """The ends of accounts of these subjects: source, and when, microseconds since 1970 UTC."""


class Held(NamedTuple):
    """Sources of an export: services and repositories that hold data of data subjects.

    Attributes:
        finder: Finds statements.
        reader: Opens statements.
        documents: The documents of any data subject.
        attachments: The data of opened statements, each digest once.
        stores: All that keep personal data: each gives its part.
        ends: The ends of accounts.
        sources: The registered sources.
        register: The register of processing activities.
        recipients: Who received what.
        restriction: Tells what holds for a data subject.
    """

    finder: DataSubjectFinder
    reader: StatementReader
    documents: DocumentsByDataSubject
    attachments: Attachments
    stores: Sequence[PersonalDataStore]
    ends: ClosedAccounts
    sources: SourceRepository
    register: Register
    recipients: Recipients
    restriction: Restriction


class Progress(NamedTuple):
    """Progress of a package: what is read now, and how many of it."""

    stage: str
    done: int


ProgressCallback = Callable[[Progress], None]


class SubjectAccessExports:
    """Makes packages. Safe to share between threads: each package is its own."""

    def __init__(
        self,
        held: Held,
        *,
        audit: AuditSink,
        requests: DataSubjectRequests,
        now_us: Clock,
        random: RandomBytes,
        organisation: str,
        version: str,
        timezone: str,
    ) -> None:
        """Nothing is read yet.

        Args:
            held: Where everything is read from.
            audit: ``audit(kind, actor, detail)`` records a reading, durably.
            requests: The data-subject requests.
            now_us: Microseconds since 1970 UTC.
            random: Random bytes.
            organisation: The organisation's id.
            version: Of Sillage.
            timezone: Name of the zone that days and months are told in.
        """
        self._held = held
        self._audit = audit
        self._requests = requests
        self._now_us = now_us
        self._random = random
        self._organisation = organisation
        self._version = version
        self._timezone = ZoneInfo(timezone)

    def write(
        self,
        data_subject: IdentifiedDataSubject,
        *,
        actor: str,
        request: str | None = None,
        after_answer: bool = False,
        progress: ProgressCallback = lambda _: None,
    ) -> Iterator[bytes]:
        """The package of one data subject, as the bytes of a zip, in pieces.

        The reading is on record, durably, before anything is read. That the package was made to its end is on record
        before its last piece, on its request too.

        Args:
            data_subject: Whose.
            actor: Who asks: credential id or ``cli:<command>``.
            request: The request that it answers.
            after_answer: Whether the request may be answered already: the data subject fetches it.
            progress: Told how far it is, batch by batch.

        Raises:
            NotFound, DataSubjectRequestConflict: there is no such request, or not of this data subject.
            DatabaseUnavailable: at once or while the pieces are read; what there is of the zip is then of no use.
        """
        data_subject = self._held.finder.whole(data_subject)
        if request is not None:
            self._requests.require(request, data_subject, after_answer=after_answer)
        about = {"subjects": self._held.finder.asked(data_subject)}
        detail = about | ({} if request is None else {"case": request})
        self._audit.append(PERSON_ACCESS_STARTED, actor, detail)
        return _Package(self, data_subject, request, actor, detail, progress).pieces()

    # --- what a package needs of these ----------------------------------------------------------------

    @property
    def held(self) -> Held:
        """The sources that everything is read from."""
        return self._held

    def made(self) -> int:
        """Now, microseconds."""
        return self._now_us()

    def record(
        self, actor: str, request: str | None, detail: Mapping[str, object], given: Mapping[str, object]
    ) -> None:
        """Record that a package was made to its end, and what was given."""
        self._audit.append(PERSON_ACCESS_GIVEN, actor, {**detail, **given})
        if request is not None:
            self._requests.note_act(request, "package-written", actor, given)

    def mask(self, data_subject: IdentifiedDataSubject) -> Mask:
        """A mask for one package."""
        return Mask(data_subject.every, self._random(32))

    @property
    def timezone(self) -> ZoneInfo:
        """The time zone of days and months."""
        return self._timezone

    @property
    def origin(self) -> dict[str, str]:
        """The origin of a package, as every package states it."""
        return {"organisation": self._organisation, "sillage": self._version, "timezone": str(self._timezone)}


class _Package:
    """One package while it is made."""

    def __init__(
        self,
        packages: SubjectAccessExports,
        data_subject: IdentifiedDataSubject,
        request: str | None,
        actor: str,
        detail: Mapping[str, object],
        progress: ProgressCallback,
    ) -> None:
        self._packages = packages
        self._held = packages.held
        self._data_subject = data_subject
        self._request = request
        self._actor = actor
        self._detail = detail
        self._progress = progress
        self._made = packages.made()
        self._zip = ZipStream(moment(self._made))
        self._mask = packages.mask(data_subject)
        self._summary = Summary(packages.timezone)
        self._own = _Pieces(self._zip, "statements/own")
        self._voided = _Pieces(self._zip, "statements/voided")
        self._mentions = _Pieces(self._zip, "statements/mentions")
        self._attachments = _Pieces(self._zip, "attachments/index")
        self._digests: set[str] = set()
        # Of each part that a collection gives by itself, how many items.
        self._parts: Counter[str] = Counter()
        finder = self._held.finder
        subjects = finder.subjects(data_subject)
        self._who = finder.for_stores(data_subject)
        # Read when they are written.
        made = [(store, store.export(self._who)) for store in self._held.stores]
        self._given_apart = [(store, part) for store, part in made if part is not None]
        self._given = finder.subjects(IdentifiedDataSubject(data_subject.identifiers, ()))
        self._reach = finder.reach(data_subject)
        self._documents = self._held.documents.of(data_subject.every, subjects)
        self._sources = {source.id: source for source in self._held.sources.list()}
        self._trail = self._held.recipients.trail(finder.named(data_subject), self._documents.marks())

    def pieces(self) -> Iterator[bytes]:
        for language in LANGUAGES:
            self._zip.add(f"README.{language}.txt", self._readme(language))
        yield from self._statements()
        yield from self._referring()
        for pieces in (self._own, self._voided, self._mentions, self._attachments):
            pieces.flush()
        yield self._zip.taken()
        yield from self._written_documents()
        yield from self._exports()
        activities = self._register()
        yield self._zip.taken()
        read = self._held.recipients.received(self._trail, lambda done: self._progress(Progress("audit", done)))
        about = self._about(activities, read)
        self._zip.add("about.json", _json(about))
        for language in LANGUAGES:
            self._zip.add(f"index.{language}.html", export_page.page(about, language))
        manifest = self._manifest()
        given = {
            "statements": self._summary.own,
            "mentions": self._summary.mentions,
            "documents": self._summary.documents,
            "attachments": self._summary.attachments,
            "manifest": manifest,
        }
        last = self._zip.finish()
        # Before the last piece: without it the zip does not open.
        self._packages.record(self._actor, self._request, self._detail, given)
        yield last

    def _readme(self, language: str) -> bytes:
        lines = [
            f"  {part.path if part.path.endswith('.json') else _folder(part.path):<31}{part.words[language]}\n"
            for _, part in self._given_apart
            if part.words is not None
        ]
        return README[language].replace("{parts}", "".join(lines)).encode()

    # --- statements -----------------------------------------------------------------------------------

    def _statements(self) -> Iterator[bytes]:
        done = 0
        for batch in self._held.finder.statements(self._data_subject):
            roles = {named.row.id: named for named in batch.statements}
            for opened in self._opened([named.row for named in batch.statements]):
                mine = []
                for plain in opened:
                    named = roles[plain.id]
                    statement: Statement = lossless.loads(plain.body)
                    if named.role == OWN:
                        self._write_own(named, plain, statement)
                        if next(_attachments(statement), None) is not None:
                            mine.append((plain, statement))
                    else:
                        masked = self._mask.of_others(statement)
                        self._write_mention(named.row, masked)
                yield self._zip.taken()
                if mine:
                    yield from self._data(mine)
            done += len(batch.statements)
            self._progress(Progress("statements", done))

    def _opened(self, rows: Sequence[Stored]) -> Iterator[list[Plain]]:
        """Batches of a bounded length, opened; what does not open is counted, what was erased is not."""
        while rows:
            opened, gone, damaged = self._held.reader.decrypted_within(rows, _OPENED_BYTES)
            self._summary.unreadable += len(damaged)
            rows = rows[gone:]
            yield opened

    def _write_own(self, named: Named, plain: Plain, statement: Statement) -> None:
        masked = self._mask.masked(statement)
        # As it was stored, to the letter, when there is nobody else in it.
        body = plain.body if masked.statement is statement else lossless.dumps(masked.statement)
        if named.row.voided:
            self._voided.add(b'{"voided":true,"statement":' + body + b"}")
        else:
            self._own.add(body)
        self._counted(named.row, masked, own=True)
        registration = statement.get("context", {}).get("registration")
        for activity in activities_in(statement):
            self._documents.met(activity, registration)

    def _write_mention(self, row: Stored, masked: Masked, roles: Sequence[str] | None = None) -> None:
        item = {
            "mentioned_as": list(masked.roles if roles is None else roles),
            "voided": row.voided,
            "withheld": list(masked.withheld),
            "statement": masked.statement,
        }
        self._mentions.add(lossless.dumps(item))
        self._counted(row, masked, own=False, roles=roles)

    def _counted(self, row: Stored, masked: Masked, *, own: bool, roles: Sequence[str] | None = None) -> None:
        self._trail.add(row.id, row.stored, row.source)
        self._summary.statement(
            masked.statement,
            stored=row.stored,
            source=row.source,
            own=own,
            voided=row.voided,
            roles=masked.roles if roles is None else roles,
        )

    def _referring(self) -> Iterator[bytes]:
        done = 0
        for rows in self._held.finder.referring(self._data_subject):
            by_id = {row.id: row for row in rows}
            for opened in self._opened(rows):
                for plain in opened:
                    masked = self._mask.of_others(lossless.loads(plain.body), about=True)
                    self._write_mention(by_id[plain.id], masked, [REFERENCE])
                yield self._zip.taken()
            done += len(rows)
            self._progress(Progress("references", done))

    def _data(self, mine: Sequence[tuple[Plain, Statement]]) -> Iterator[bytes]:
        declared = {each["sha2"].lower(): (plain, each) for plain, one in mine for each in _attachments(one)}
        for data in self._held.attachments.of(mine):
            digest = data.sha2.lower()
            if digest in self._digests or digest not in declared:
                continue
            self._digests.add(digest)
            plain, said = declared[digest]
            kind = essence(data.content_type)
            path = f"attachments/{len(self._digests):05}{_EXTENSIONS.get(kind, '.bin')}"
            whole = True
            with self._zip.open(path, packed=not kind.startswith(_PACKED_ALREADY)) as entry:
                try:
                    for chunk in data.chunks:
                        entry.write(chunk)
                        yield self._zip.taken()
                except DecryptionFailed:
                    whole = False
            item = {
                "file": path,
                "whole": whole,
                "statement": str(plain.id),
                "sha2": said["sha2"],
                "content_type": said["contentType"],
                "length": entry.length,
                "usage_type": said["usageType"],
                "display": said.get("display"),
            }
            self._attachments.add(orjson.dumps(item))
            self._summary.attachment(entry.length)

    # --- what else is held ----------------------------------------------------------------------------

    def _written_documents(self) -> Iterator[bytes]:
        index = _Pieces(self._zip, "documents/index")
        for number, document in enumerate(self._documents.each(), 1):
            kind = essence(document.content.type)
            path = f"documents/{number:05}{_EXTENSIONS.get(kind, '.bin')}"
            self._zip.add(path, document.content.body)
            place = document.place
            item = {
                "file": path,
                "resource": place.resource.value,
                "id": place.id,
                "activity": place.activity,
                "registration": place.registration,
                "content_type": document.content.type,
                "source": document.source,
                "updated": render(document.updated),
            }
            index.add(orjson.dumps(item))
            self._summary.document(document.source, document.updated)
            self._progress(Progress("documents", number))
            yield self._zip.taken()
        self._summary.unreadable += self._documents.damaged
        index.flush()

    def _exports(self) -> Iterator[bytes]:
        """The parts that collections give by themselves."""
        for store, part in self._given_apart:
            whole: list[Mapping[str, object]] = []
            pieces = _Pieces(self._zip, part.path)
            single = part.path.endswith(".json")
            for item in part.items:
                if item is None:
                    self._summary.unreadable += 1
                    continue
                self._parts[part.path] += 1
                if single:
                    whole.append(item)
                elif pieces.add(orjson.dumps(item)):
                    yield self._zip.taken()
            if whole:
                self._zip.add(part.path, _json(whole))
            pieces.flush()
            if self._parts[part.path] and store.holds(self._who):
                self._summary.kept += self._parts[part.path]
            yield self._zip.taken()

    def _register(self) -> dict[str, ProcessingActivity]:
        """The entries of the register that the tools concerned belong to, written; those in force by id."""
        concerned = {self._sources[tool].activity for tool in self._summary.tools if tool in self._sources}
        entries: dict[str, ProcessingActivity] = {}
        for identifier in sorted(concerned):
            versions = self._held.register.history(identifier)
            governing = version_on(versions, self._held.register.day(self._made))
            if governing is not None:
                entries[identifier] = governing
            if versions:
                listed = [
                    {
                        "version": one.version,
                        "added": render(one.added),
                        "in_force_from": one.in_force_from.isoformat(),
                        "in_force": one == governing,
                        "document": one.document,
                    }
                    for one in versions
                ]
                self._zip.add(f"register/{identifier}.json", _json(listed))
        return entries

    # --- what the package says of itself --------------------------------------------------------------

    def _about(self, activities: Mapping[str, ProcessingActivity], read: Received) -> dict[str, Any]:
        """The content of the pages, as JSON values; instants in microseconds since 1970 UTC."""
        summary = self._summary
        standing = self._held.restriction.standing(self._data_subject, actor=self._actor)
        restricted = standing.restricted
        ends: dict[str, list[int]] = {}
        for source_id, at in self._held.ends.of(self._who.subjects):
            ends.setdefault(source_id, []).append(at)
        # Each pseudonym of an account has its end, too: what was given is what is counted.
        given = Counter(source_id for source_id, _ in self._held.ends.of(self._given))
        tools = []
        for id, tool in sorted(summary.tools.items()):
            source = self._sources.get(id)
            entry = None if source is None else activities.get(source.activity)
            until = before = None
            months = None if entry is None else entry.retention.account_closed_months
            closed = ends.get(id, [])
            ended = max(closed, default=None) if months is not None else None
            if months is not None and ended is not None:
                before = closed_before(ended, months)
            if entry is not None and tool.last is not None:
                until = tool.last + entry.retention.active_days * _DAY_US
                # What came in later than that stays for the whole duration: somebody uses the account.
                # Of somebody with several accounts, one that goes on may have sent the last one.
                every = given[id] >= len(self._data_subject.identifiers)
                until = min(until, before) if before is not None and tool.last < before and every else until
            tools.append(
                {
                    "source": id,
                    "name": id if source is None else source.name,
                    "own": tool.own,
                    "voided": tool.voided,
                    "mentions": tool.mentions,
                    "documents": tool.documents,
                    "first": tool.first,
                    "last": tool.last,
                    # GDPR art. 18: what is restricted is not deleted, and no day can be promised.
                    "until": until if restricted is None else None,
                    "closed_months": months,
                    "ended": ended,
                    "ended_before": before,
                    "months": dict(sorted(tool.months.items())),
                    "processing_activity": None if entry is None else entry.document,
                }
            )
        called = {tool["source"]: tool["name"] for tool in tools}
        # Of processing activities that sources read for, whether or not they sent something of the data subject.
        treatments = {one.id: one.name._asdict() for one in self._held.register.list(self._made)}
        return {
            "format": FORMAT,
            "version": VERSION,
            **self._packages.origin,
            "made": self._made,
            "case": self._request,
            "identifiers": list(self._data_subject.identifiers),
            "pseudonyms": [
                {
                    "identifier": one.identifier,
                    "made_of": one.of,
                    "source": one.source,
                    "name": self._sources[one.source].name if one.source in self._sources else one.source,
                }
                for one in self._reach.pseudonyms
            ],
            "contacts": self._contacts(activities),
            "requests": self._parts["requests.json"],
            "empty": summary.empty,
            "restricted": None if restricted is None else round(restricted.timestamp() * 1_000_000),
            "objects": list(standing.objects),
            "own": summary.own,
            "voided": summary.voided,
            "mentions": summary.mentions,
            "documents": summary.documents,
            "attachments": summary.attachments,
            "attachment_bytes": summary.attachment_bytes,
            "sessions": self._parts["sessions/sessions"],
            "parts": [
                {"path": part.path, "items": self._parts[part.path], "words": dict(part.words)}
                for _, part in self._given_apart
                if part.words is not None and self._parts[part.path]
            ],
            "unreadable": summary.unreadable,
            "masked": self._mask.agents,
            "first": summary.first,
            "last": summary.last,
            "tools": tools,
            "verbs": [_named(each) for each in summary.verbs.most(_SHOWN_VERBS)],
            "other_verbs": summary.verbs.rest(_SHOWN_VERBS),
            "activities": [_named(each) for each in summary.activities.most(_SHOWN_ACTIVITIES)],
            "other_activities": summary.activities.rest(_SHOWN_ACTIVITIES),
            "roles": summary.roles.most_common(),
            "latest": [
                {
                    **line._asdict(),
                    "tool": called.get(line.source, line.source),
                    "verb": line.verb._asdict(),
                    "about": line.about._asdict(),
                    "result": line.result._asdict(),
                }
                for line in summary.latest
            ],
            "readings": [
                {
                    "reader": each.name,
                    "way": each.way,
                    "purpose": each.purpose,
                    "treatment": treatments.get(each.activity) if each.activity is not None else None,
                    "count": each.number,
                    "first": each.first,
                    "last": each.last,
                }
                for each in read.readings
            ],
            "readings_since": read.since,
            "exports": [each._asdict() for each in read.exports],
        }

    def _contacts(self, activities: Mapping[str, ProcessingActivity]) -> list[dict[str, Any]]:
        """The contacts: controllers and their officers, by the entries concerned; by all when nothing is held."""
        listed = [*activities.values()] or [*self._held.register.list(self._made)]
        contacts: list[dict[str, Any]] = []
        for entry in listed:
            contact = {name: entry.document[name] for name in ("controller", "dpo")}
            if contact not in contacts:
                contacts.append(contact)
        return contacts

    def _manifest(self) -> str:
        """Write the manifest; its own SHA-256 in hexadecimal."""
        listed = [file._asdict() for file in self._zip.files]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "made": render(self._made),
            "case": self._request,
            "files": listed,
        }
        self._zip.add("manifest.json", _json(manifest))
        return self._zip.files[-1].sha256


class _Pieces:
    """Items of one kind, in JSON arrays of bounded length, one item a line: ``STEM-00001.json`` and so on."""

    def __init__(self, target: ZipStream, stem: str) -> None:
        self._zip = target
        self._stem = stem
        self._items: list[bytes] = []
        self._bytes = 0
        self._files = 0

    def add(self, item: bytes) -> bool:
        """Add an item, as JSON; true if a file is full, and written."""
        self._items.append(item)
        self._bytes += len(item)
        full = len(self._items) >= MAX_ITEMS or self._bytes >= MAX_FILE_BYTES
        if full:
            self.flush()
        return full

    def flush(self) -> None:
        """Write what there is."""
        if not self._items:
            return
        self._files += 1
        self._zip.add(f"{self._stem}-{self._files:05}.json", b"[\n" + b",\n".join(self._items) + b"\n]\n")
        self._items, self._bytes = [], 0


def _folder(stem: str) -> str:
    return stem.rpartition("/")[0] + "/"


def _attachments(statement: Statement) -> Iterator[dict[str, Any]]:
    yield from statement.get("attachments", ())
    if statement["object"].get("objectType") == "SubStatement":
        yield from _attachments(statement["object"])


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _named(each: NamedThing) -> dict[str, Any]:
    return {"iri": each.iri, "words": each.words._asdict(), "count": each.number}
