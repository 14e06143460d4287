"""Rectification (GDPR art. 16): the wrong statement is voided and the right one stored, in one batch, linked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import orjson

from app.errors import BadRequest, CaseConflict, NotFound
from app.governance.audit import STATEMENT_RECTIFIED, Audit
from app.governance.cases import Cases
from app.storage.sealed_reader import SealedReader
from app.storage.statements import Statements
from app.vault.keys import RandomBytes
from app.xapi.decode import decode
from app.xapi.identifiers import VOIDED
from app.xapi.rectification import rectifying, voiding
from app.xapi.validate import validate
from app.xapi.versions import Version

Record = Callable[[bytes, str, Version], object]


class Rectified(NamedTuple):
    """Ids of the statement that is right, and of the one that voids the wrong one."""

    statement: UUID
    voiding: UUID


class Rectification:
    """Rectifies statements."""

    def __init__(
        self,
        statements: Statements,
        reader: SealedReader,
        record: Record,
        audit: Audit,
        cases: Cases,
        random: RandomBytes,
        public_url: str,
    ) -> None:
        """``record(body, source, version)`` stores a batch as that source sends it, which may void anything."""
        self._statements = statements
        self._reader = reader
        self._record = record
        self._audit = audit
        self._cases = cases
        self._random = random
        self._public_url = public_url

    def rectify(self, wrong: UUID, content: bytes, *, actor: str, case: str | None = None) -> Rectified:
        """Void a statement and store another in its place, all or nothing, as its source's.

        Args:
            wrong: The statement that is wrong.
            content: The right one: JSON, one statement. Its ``version`` says which standard it keeps; that
                of the wrong one if it has none.
            actor: Who rectifies, for the audit log.
            case: The request that it is done for.

        Raises:
            NotFound: no such statement or request, or its learner was erased.
            CaseConflict: it is voided already, or it is not the time for the request.
            BadRequest, MalformedJSON, InvalidStatement: the right one is not a statement that can be stored.
            ProfileRejected, PersonalDataRefused: its source's profiles or policies refuse it.
        """
        if case is not None:
            self._cases.require(case)
        source, kept_version = self._wrong(wrong)
        decoded = decode(content, max_statements=1)
        if decoded.many:
            raise BadRequest("Give one statement, not an array.")
        corrected = decoded.statements[0]
        # Made from a copy of the wrong one, as often as not.
        if str(corrected.pop("id", wrong)).lower() != str(wrong):
            raise BadRequest("The right statement gets an id of its own: leave `id` out.")
        said = corrected.get("version", kept_version)
        version = Version.V2 if isinstance(said, str) and said.startswith("2.") else Version.V1
        validate([corrected], version, many=False)
        if corrected["verb"]["id"] == VOIDED:
            raise BadRequest("The right statement cannot be one that voids.")
        done = Rectified(self._identity(), self._identity())
        body = orjson.dumps(
            [
                rectifying(corrected, done.statement, wrong),
                voiding(done.voiding, wrong, done.statement, self._public_url),
            ]
        )
        detail = {"statement": str(wrong), "by": str(done.statement), "voiding": str(done.voiding)}
        self._audit.append(STATEMENT_RECTIFIED, actor, detail | ({} if case is None else {"case": case}))
        self._record(body, source, version)
        if case is not None:
            self._cases.note_act(case, "rectified", actor, detail)
        return done

    def _wrong(self, wrong: UUID) -> tuple[str, str]:
        """Source of the wrong statement, and the version it keeps."""
        found = self._statements.get(wrong)
        if found is None:
            raise NotFound("No statement has this id.")
        if found.voided:
            raise CaseConflict("This statement is voided already: rectify the one that took its place.")
        plain = self._reader.one(found)
        if plain is None:
            raise NotFound("The learner of this statement was erased.")
        statement = orjson.loads(plain.body)
        if statement["verb"]["id"] == VOIDED:
            # xAPI-Data 2.3.2: it cannot be voided.
            raise BadRequest("A statement that voids another cannot be rectified.")
        return found.source, str(statement["version"])

    def _identity(self) -> UUID:
        return UUID(bytes=self._random(16), version=4)
