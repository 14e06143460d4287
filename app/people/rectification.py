"""Rectification (GDPR art. 16): the wrong statement is voided and the right one stored, in one batch, linked."""

from __future__ import annotations

from typing import NamedTuple, Protocol
from uuid import UUID

from app.access.store import SourceRepository
from app.core import lossless
from app.core.clock import RandomBytes
from app.core.errors import BadRequest, DataSubjectRequestConflict, NotFound, StatementConflict
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import STATEMENT_RECTIFIED, Audit
from app.people.requests.service import DataSubjectRequests
from app.standards.xapi.decode import decode
from app.standards.xapi.identifiers import VOIDED, keys_of
from app.standards.xapi.rectification import rectifying, voiding
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version, of_statement
from app.traces.ingest.recording import Recorder
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Statements


class Recording(Protocol):
    """Recording, made when it is first asked for."""

    @property
    def recorder(self) -> Recorder:
        """Takes statements in."""


class Serving(Protocol):
    """The process, as one that serves or not."""

    @property
    def serving(self) -> bool:
        """True once it has joined those that serve."""


class Starting(Protocol):
    """The life of a process."""

    def start(self) -> None:
        """Join the processes that serve."""


class SourceRecorder:
    """Records statements as a source sends them, which may void anything."""

    def __init__(self, sources: SourceRepository, process: Serving, lifecycle: Starting, recording: Recording) -> None:
        self._sources = sources
        self._process = process
        self._lifecycle = lifecycle
        self._recording = recording

    def record(self, body: bytes, source: str, version: Version) -> None:
        """Record a batch of a source.

        Raises:
            NotFound: it is not registered.
            SillageError: as ``Recorder.record``.
        """
        found = self._sources.get(source)
        if found is None:
            raise NotFound("The source of this statement is not registered.")
        if not self._process.serving:
            # A command: it stamps statements like a process that serves, for as long as it takes.
            self._lifecycle.start()
        self._recording.recorder.record(body, found, version, void_any=True, rectifies=True)


class Rectified(NamedTuple):
    """Ids of the statement that is right, and of the one that voids the wrong one."""

    statement: UUID
    voiding: UUID


class Rectification:
    """Rectifies statements."""

    def __init__(
        self,
        statements: Statements,
        reader: StatementReader,
        recorder: SourceRecorder,
        audit: Audit,
        requests: DataSubjectRequests,
        random: RandomBytes,
        keys: OrganisationKeys,
        public_url: str,
        max_statement_bytes: int,
    ) -> None:
        """``recorder`` takes in what is right, and what voids the wrong one."""
        self._statements = statements
        self._reader = reader
        self._recorder = recorder
        self._audit = audit
        self._requests = requests
        self._random = random
        self._keys = keys
        self._public_url = public_url
        self._max_statement_bytes = max_statement_bytes

    def rectify(self, wrong: UUID, content: bytes, *, actor: str, request: str | None = None) -> Rectified:
        """Void a statement and store another in its place, all or nothing, as its source's.

        Args:
            wrong: The statement that is wrong.
            content: The right one: JSON, one statement. Its ``version`` says which standard it keeps; that
                of the wrong one if it has none.
            actor: Who rectifies, for the audit log.
            request: The request that it is done for.

        Raises:
            NotFound: no such statement or request, or its learner was erased.
            DataSubjectRequestConflict: it is voided already; it is not the time for the request, or that is about
                another data subject.
            BadRequest, MalformedJSON, InvalidStatement: the right one is not a statement that can be stored.
            ProfileRejected, PersonalDataRefused: its source's profiles or policies refuse it.
        """
        asked = None if request is None else self._requests.require(request)
        source, kept_version, named = self._wrong(wrong)
        if asked is not None and named.isdisjoint(self._requests.whole(asked)):
            raise DataSubjectRequestConflict("This request is about another person.")
        decoded = decode(content, max_statements=1, max_statement_bytes=self._max_statement_bytes)
        if decoded.many:
            raise BadRequest("Give one statement, not an array.")
        corrected = decoded.statements[0]
        # Made from a copy of the wrong one, as often as not.
        if str(corrected.pop("id", wrong)).lower() != str(wrong):
            raise BadRequest("The right statement gets an id of its own: leave `id` out.")
        version = of_statement(corrected.get("version", kept_version))
        validate([corrected], version, many=False)
        if corrected["verb"]["id"] == VOIDED:
            raise BadRequest("The right statement cannot be one that voids.")
        done = Rectified(UUID(bytes=self._random(16), version=4), self._voiding(wrong))
        body = lossless.dumps(
            [
                rectifying(corrected, done.statement, wrong),
                voiding(done.voiding, wrong, done.statement, self._public_url),
            ]
        )
        detail = {"statement": str(wrong), "by": str(done.statement), "voiding": str(done.voiding)}
        self._audit.append(STATEMENT_RECTIFIED, actor, detail | ({} if request is None else {"case": request}))
        try:
            self._recorder.record(body, source, version)
        except StatementConflict:
            raise DataSubjectRequestConflict(
                "This statement was rectified at this moment: rectify the one that took its place."
            ) from None
        if request is not None:
            self._requests.note_act(request, "rectified", actor, detail)
        return done

    def _wrong(self, wrong: UUID) -> tuple[str, str, frozenset[str]]:
        """Source of the wrong statement, the version it keeps, and whom it names."""
        found = self._statements.get(wrong)
        if found is None:
            raise NotFound("No statement has this id.")
        if found.voided:
            raise DataSubjectRequestConflict("This statement is voided already: rectify the one that took its place.")
        plain = self._reader.one(found)
        if plain is None:
            raise NotFound("The learner of this statement was erased.")
        statement = lossless.loads(plain.body)
        if statement["verb"]["id"] == VOIDED:
            # xAPI-Data 2.3.2: it cannot be voided.
            raise BadRequest("A statement that voids another cannot be rectified.")
        keys = keys_of(statement)
        named = frozenset((keys.subject, *keys.agents, *keys.related_agents))
        return found.source, str(statement["version"]), named

    def _voiding(self, wrong: UUID) -> UUID:
        """The id of what voids: the same for one statement, so that of two at once only one is stored."""
        return UUID(bytes=self._keys.mac("rectification", wrong.bytes)[:16], version=4)
