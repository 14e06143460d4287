"""The way in: from the bytes of a request to statements that are validated, sealed and durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from app.access.restrictions.store import DataSubjectStates
from app.access.store import Source
from app.core import clock, lossless
from app.core.counted import agreed, counted
from app.core.errors import (
    DatabaseUnavailable,
    DataSubjectRefused,
    DataSubjectRestricted,
    Fault,
    InvalidStatement,
    ProfileRejected,
    ScopeMissing,
    SillageError,
    StatementConflict,
    Unavailable,
)
from app.crypto.bodies import Bodies
from app.crypto.keys import Cipher, OrganisationKeys
from app.governance.register.service import Register
from app.keys.learners import SubjectKeys
from app.platform.cluster.membership import Lapsed, Presence, Writing
from app.standards.xapi.content import members, normalise, same, stamp
from app.standards.xapi.decode import Decoded, decode
from app.standards.xapi.identifiers import Keys, keys_of
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from app.traces.conformance.minors_policy import Protect
from app.traces.conformance.sessions import Sessions
from app.traces.conformance.verdicts import Checked, ConformanceService
from app.traces.ingest.repeats import Repeats, conditions
from app.traces.quality.arrivals import Arrivals
from app.traces.refusal_counter import RefusalCounter
from app.traces.statements import index_tokens as tokens
from app.traces.statements.activities import Activities
from app.traces.statements.attachment_store import Attachment
from app.traces.statements.attachments import Attachments, Batch, Part
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Clash, Foreign, Inserted, Row, Spared, Statements, Voiding
from app.traces.statements.whereabouts import whereabouts

Statement = dict[str, Any]
_STAMPED_AGAIN_AT_MOST = 3
_COMPARED_AGAIN_AT_MOST = 3
_COMPARED_TOGETHER = 100
_OUT_OF_TOUCH = "This server loses touch with the others. Send the same request again."
# RFC 9562 5.4: the bits of a UUID that are not random in version 4.
_RANDOM_BITS = ~((0xF000 << 64) | (0xC000 << 48))
_VERSION_4 = (4 << 76) | (0x8000 << 48)
_MAX_NAMED = 10_000


class Recorded(NamedTuple):
    """Outcome of a batch that was accepted.

    Attributes:
        ids: Ids of all its statements, in the order sent.
        inserted: Which were stored now, and which were there already, unchanged.
        verdicts: How many had each profile verdict.
    """

    ids: tuple[UUID, ...]
    inserted: Inserted
    verdicts: Mapping[str, int]


class _Batch(NamedTuple):
    """A valid batch without its repeats: what is to be stored.

    Attributes:
        statements: Statements as they are kept.
        members: In step, their JSON as sent (``members`` of ``app.standards.xapi.content``).
        sent: In step, the statements as they were before the policy about minors; the same objects where it changed
            nothing.
        conditions: In step, as of ``Row``.
        places: In step, where they stand in the body.
        ids: Of all statements of the body, repeats included.
        many: Whether the body was an array.
    """

    statements: Sequence[Statement]
    members: Sequence[bytes]
    sent: Sequence[Statement]
    conditions: Sequence[int | None]
    places: Sequence[int]
    ids: tuple[UUID, ...]
    source: Source
    version: Version
    checked: Checked
    many: bool


class Recorder:
    """Records batches of statements. Safe to share between threads."""

    def __init__(
        self,
        *,
        statements: Statements,
        repeats: Repeats,
        attachments: Attachments,
        subjects: SubjectKeys,
        bodies: Bodies,
        reader: StatementReader,
        keys: OrganisationKeys,
        presence: Presence,
        profiles: ConformanceService,
        protect: Protect,
        states: DataSubjectStates,
        public_url: str,
        max_batch: int,
        max_statement_bytes: int,
        counter: RefusalCounter,
        activities: Activities,
        sessions: Sessions,
        register: Register,
        zone: ZoneInfo,
        arrivals: Arrivals,
    ) -> None:
        """``repeats`` finds what is there already. ``reader`` opens stored statements, those of erased learners left
        out.

        ``protect`` applies the source's policy about minors before anything else looks at the statements. ``states``
        says whose statements are refused.

        ``counter`` is told of each batch that was ``rejected`` by its profiles, or in ``conflict``.

        ``register`` refuses what is under a processing activity under which nothing may be stored now.

        ``activities`` and ``sessions`` are told of each batch that is stored; neither must fail. ``zone`` is that of
        the days of events. ``arrivals`` counts what is stored, and what is refused.
        """
        self._statements = statements
        self._repeats = repeats
        self._attachments = attachments
        self._subjects = subjects
        self._bodies = bodies
        self._reader = reader
        self._keys = keys
        self._presence = presence
        self._profiles = profiles
        self._public_url = public_url
        self._max_batch = max_batch
        self._max_statement_bytes = max_statement_bytes
        self._counter = counter
        self._activities = activities
        self._protect = protect
        self._states = states
        self._sessions = sessions
        self._register = register
        self._zone = zone
        self._arrivals = arrivals

    def record(
        self,
        body: bytes,
        source: Source,
        version: Version,
        *,
        only: UUID | None = None,
        void_any: bool = False,
        rectifies: bool = False,
        parts: Iterable[Part] | None = None,
        compared: Callable[[Mapping[UUID, bytes]], object] = lambda foreign: None,
    ) -> Recorded:
        """Take in a request body: one statement or an array of them, all or nothing.

        Args:
            body: JSON, UTF-8.
            source: Who sends it.
            version: Version of xAPI the request is made in.
            only: The id that the single statement must have or gets (PUT).
            void_any: Whether it may void statements of other sources.
            rectifies: Whether it puts right what is stored (GDPR art. 16): a data subject who objects to new data has
                not objected to that, nor does a restriction stand in its way.
            parts: The data of attachments, when the request is one that has them; read once the statements are found
                valid.
            compared: Told, before the sender is, of statements of other sources that have ids of this batch: their ids,
                and the tokens of their learners. Whether their content is the same is about to be known.

        Raises:
            MalformedJSON, DuplicateKey, BodyTooLarge, StatementTooLarge, InvalidStatement: the input breaks a rule.
            PersonalDataRefused: the source's policy about minors refuses something.
            DataSubjectRefused: a statement is of a data subject who objects to new ones.
            DataSubjectRestricted: a voiding names a statement of a data subject whose data are only to be stored.
            ProfileRejected: the source's mode is ``reject`` and a statement fails its profiles.
            ActivityNotInForce: nothing may be stored for this source now.
            StatementConflict: an id is taken by a different statement.
            ScopeMissing: a voiding names a statement of another source.
            DatabaseUnavailable, StorageFull: try again later.
        """
        if not rectifies:
            self._register.require(source.activity)
        decoded: Decoded | None = None
        try:
            decoded = decode(body, max_statements=self._max_batch, max_statement_bytes=self._max_statement_bytes)
            return self._take_in(decoded, source, version, only, parts, compared, void_any, rectifies)
        except SillageError as refused:
            if not rectifies:
                statements = 0 if decoded is None else len(decoded.statements)
                many = body.lstrip()[:1] == b"[" if decoded is None else decoded.many
                self._arrivals.refused(source.id, statements, refused, many=many)
            raise

    def _take_in(
        self,
        decoded: Decoded,
        source: Source,
        version: Version,
        only: UUID | None,
        parts: Iterable[Part] | None,
        compared: Callable[[Mapping[UUID, bytes]], object],
        void_any: bool,
        rectifies: bool,
    ) -> Recorded:
        sent, many = decoded.statements, decoded.many
        if only is not None:
            _address(sent, only, many=many)
        under = conditions(source, version, self._profiles.digest(source))
        known = self._repeats.of(decoded, source, under) if parts is None and not rectifies else {}
        # Refused as a whole, with what else is wrong with it.
        if known and not self._states.current().refusing.isdisjoint(one.subject for one in known.values()):
            known = {}
        if known and len(known) == len(sent):
            ids = _ids(sent)
            self._activities.learn(sent)
            self._arrivals.repeated(source.id, len(sent))
            return Recorded(ids, Inserted((), ids), self._profiles.tally(one.verdict for one in known.values()))
        places = [place for place in range(len(sent)) if place not in known]
        _validate(sent, places, version, many=many, data_follow=parts is not None)
        if not sent and parts is None:
            return Recorded((), Inserted((), ()), {})
        normal = [each if place in known else normalise(each, version) for place, each in enumerate(sent)]
        protected = self._protect(source, normal, many=many, written=decoded.written)
        statements = protected.statements
        rest = [statements[place] for place in places] if known else statements
        checked = self._profiles.check(source, rest, many=many, among=statements if known else ())
        # A statement that no template describes breaks no rule: only a failed template is refused.
        if source.mode == "reject" and checked.failing:
            if known:  # for the places of its faults
                checked = self._profiles.check(source, statements, many=many)
            self._profiles.count_rejected(source, len(statements))
            self._counter.refused("rejected", len(statements))
            raise ProfileRejected(
                f"{checked.failing} of {counted(len(statements), 'statement')} "
                f"{agreed(checked.failing, 'fails', 'fail')} the profiles of source {source.id}; "
                "nothing of the batch was stored.",
                faults=checked.faults,
            )
        batch = _Batch(
            rest,
            # Of what is left: a statement that was changed is another object, and encoded again.
            [members(statements[place], sent[place], decoded.written[place]) for place in places],
            [normal[place] for place in places],
            [
                under if not protected.named[place] and _lasts(statements[place], sent[place], checked, at) else None
                for at, place in enumerate(places)
            ],
            places,
            _ids(statements),
            source,
            version,
            checked,
            many,
        )
        ids, subjects, inserted = self._store(batch, parts, void_any=void_any, rectifies=rectifies, compared=compared)
        self._activities.learn(statements)
        stored = set(inserted.stored)
        fresh = [id in stored for id in ids]
        self._profiles.count(source, checked, fresh)
        self._sessions.receive(source, rest, subjects, checked, fresh)
        if not rectifies:
            self._arrivals.stored(source.id, rest, fresh, checked.broken)
            if known:
                self._arrivals.repeated(source.id, len(known))
        if not known:
            return Recorded(ids, inserted, checked.tally)
        repeated = {*inserted.repeated, *(batch.ids[place] for place in known)}
        tally = Counter(checked.tally) + Counter(self._profiles.tally(one.verdict for one in known.values()))
        inserted = inserted._replace(repeated=tuple(id for id in batch.ids if id in repeated))
        return Recorded(batch.ids, inserted, tally)

    def authority(self, source: Source) -> Statement:
        """The authority of a source's statements, as the store sets it (xAPI-Data 2.4.9)."""
        return {
            "objectType": "Agent",
            "name": source.name,
            "account": {"homePage": self._public_url, "name": source.id},
        }

    def _store(
        self,
        batch: _Batch,
        parts: Iterable[Part] | None,
        *,
        void_any: bool,
        rectifies: bool,
        compared: Callable[[Mapping[UUID, bytes]], object],
    ) -> tuple[tuple[UUID, ...], Sequence[bytes], Inserted]:
        keys = self._keys
        statements, source = batch.statements, batch.source
        found = list(map(keys_of, statements))
        ids = tuple(batch.ids[place] for place in batch.places)
        subjects = [keys.subject(one.subject) for one in found]
        if not rectifies:
            refusing = self._states.current().refusing
            if refusing:
                _refuse_objecting(subjects, self._before(batch), refusing, batch)
        authority = orjson.dumps(self.authority(source))
        _refuse_crowded(found, batch)
        # Only now: what is refused leaves nothing behind, a learner's key included.
        generation, learner_keys = self._learner_keys(subjects)
        attached: Sequence[Attachment] = ()
        voidings = [
            Voiding(id, one.voids, None if void_any else source.id)
            for id, one in zip(ids, found, strict=True)
            if one.voids is not None
        ]

        def rows(first: int) -> list[Row]:
            nonlocal generation, learner_keys
            # With the stamp reserved: whoever destroys a key takes all that is stamped before this process emptied its
            # caches for sealed with it, and nothing that is stamped afterwards.
            if generation != self._subjects.generation:
                generation, learner_keys = self._learner_keys(subjects)
                if not self._attachments.still_open(attached, learner_keys):
                    raise Unavailable(
                        "A learner was erased, or got another key, while the data came in. Send the same request again."
                    )
            # Just before the write: attachments may have taken minutes, and the index key have been replaced.
            index = keys.index
            # Of what the sender said, before anything is added: what a retry repeats.
            fingerprints = index.fingerprints_of(batch.members)
            plain = [
                stamp(
                    batch.members[place],
                    statements[place],
                    id=ids[place],
                    stored_us=first + place,
                    authority=authority,
                    version=batch.version,
                )
                for place in range(len(ids))
            ]
            sealed = self._bodies.encrypt(zip(ids, plain, strict=True), [learner_keys[subject] for subject in subjects])
            places = [whereabouts(statement, first + place, self._zone) for place, statement in enumerate(statements)]
            return [
                Row(
                    ids[place],
                    first + place,
                    source.id,
                    subjects[place],
                    tokens.of_statement(index.writing, source.id, found[place], places[place]),
                    fingerprints[place][0],
                    sealed[place],
                    batch.checked.codes[place],
                    batch.checked.templates[place],
                    found[place].refers,
                    fingerprints[place][1:],
                    batch.conditions[place],
                    places[place].late is not None,
                )
                for place in range(len(ids))
            ]

        if parts is not None:
            attached = self._attachments.receive(parts, Batch(statements, ids, subjects, learner_keys, batch.many))
        if not ids:
            return ids, subjects, Inserted((), ())
        for _ in range(_STAMPED_AGAIN_AT_MOST):
            with suppress(Lapsed), self._presence.writing(len(ids)) as writing:
                try:
                    sealed = rows(writing.first)
                except Unavailable:
                    self._attachments.drop(attached)
                    raise
                # GDPR art. 18(2): what is restricted is stored, and nothing else is done with it, such as hiding it.
                spared = self._states.current().restricted if voidings and not rectifies else frozenset[bytes]()
                outcome = self._insert(sealed, voidings, batch, writing, spared)
                lapsed = isinstance(outcome, Inserted) and bool(outcome.stored) and writing.lapsed()
                break
        else:
            raise DatabaseUnavailable(_OUT_OF_TOUCH)
        self._attachments.settle(attached, outcome.stored if isinstance(outcome, Inserted) else ())
        if lapsed and isinstance(outcome, Inserted):
            self._stamp_again(rows, outcome)
        if outcome.foreign:
            compared(outcome.foreign)
        if isinstance(outcome, Clash):
            self._counter.refused("conflict", len(batch.ids))
            raise _conflict(batch.ids, outcome, batch.many)
        if isinstance(outcome, Foreign):
            raise ScopeMissing("A source may void its own statements only; nothing of the batch was stored.")
        if isinstance(outcome, Spared):
            raise _restricted(batch.ids, outcome, batch.many)
        return ids, subjects, outcome

    def _before(self, batch: _Batch) -> dict[int, bytes]:
        """The owners, before the policy about minors changed them, of the statements that it changed, by number.

        Whoever objected by an address has it under every source, those that come later too.
        """
        return {
            place: self._keys.subject(keys_of(sent).subject)
            for place, (sent, kept) in enumerate(zip(batch.sent, batch.statements, strict=True))
            if sent is not kept
        }

    def _learner_keys(self, subjects: Sequence[bytes]) -> tuple[int, Mapping[bytes, Cipher]]:
        """Learners' keys, and the generation under which they were got."""
        generation = self._subjects.generation
        return generation, self._subjects.ensured(subjects)

    def _insert(
        self,
        rows: Sequence[Row],
        voidings: Sequence[Voiding],
        batch: _Batch,
        writing: Writing,
        spared: frozenset[bytes],
    ) -> Inserted | Clash | Foreign | Spared:
        """Store a batch; statements that are there already in other words are left as they are."""
        outcome = self._statements.insert(rows, voidings, writing, spared)
        for _ in range(_COMPARED_AGAIN_AT_MOST):
            if not isinstance(outcome, Clash):
                break
            sent = {row.id: statement for row, statement in zip(rows, batch.statements, strict=True)}
            fingerprints = outcome.fingerprints
            taken = iter(fingerprints)
            alike: dict[UUID, bytes] = {}
            while some := list(islice(taken, _COMPARED_TOGETHER)):
                # One opened at a time: what was sent may be short, and what is kept under its id long.
                for plain in self._reader.each(self._statements.some(some)):
                    if same(sent[plain.id], lossless.loads(plain.body)):
                        alike[plain.id] = fingerprints[plain.id]
            if len(alike) < len(outcome.fingerprints):
                unlike = {id: mark for id, mark in outcome.fingerprints.items() if id not in alike}
                outcome = outcome._replace(fingerprints=unlike)
                break
            rows = [row._replace(fingerprint=alike.get(row.id, row.fingerprint)) for row in rows]
            outcome = self._statements.insert(rows, voidings, writing, spared)
        return outcome

    def _stamp_again(self, rows: Callable[[int], list[Row]], outcome: Inserted) -> None:
        """Move what was just stored to a later place in the order.

        Others held this process for dead while it wrote: they may have told readers that nothing would come any
        more where it did. The statements stay, as a retry may have been told that they are there.
        """
        stored = set(outcome.stored)
        for _ in range(_STAMPED_AGAIN_AT_MOST):
            with suppress(Lapsed), self._presence.writing(len(stored) + len(outcome.repeated)) as writing:
                self._statements.restamp([row for row in rows(writing.first) if row.id in stored], writing)
                return
        raise DatabaseUnavailable(_OUT_OF_TOUCH)


def _validate(
    statements: Sequence[Statement], places: Sequence[int], version: Version, *, many: bool, data_follow: bool
) -> None:
    """Hold those of a batch to the standard that stand in these places."""
    some = len(places) < len(statements)
    try:
        given = [statements[place] for place in places] if some else statements
        validate(given, version, many=many, data_follow=data_follow)
    except InvalidStatement:
        if some:  # for the places of its faults
            validate(statements, version, many=many, data_follow=data_follow)
        raise


def _lasts(kept: Statement, sent: Statement, checked: Checked, at: int) -> bool:
    """True if nothing but the ``conditions`` decides what becomes of a statement in which nobody is named.

    What came without an id never comes again, and data of attachments come or do not. Under profiles, today is the date
    of what has none, what it refers to may come yet, and faults of schools and extensions are told again each time.
    """
    target = kept["object"]
    if kept is not sent or "id" not in kept or "attachments" in kept or "attachments" in target:
        return False
    if not checked.schools:
        return True
    if "timestamp" not in kept or target.get("objectType") == "StatementRef" or "statement" in kept.get("context", ()):
        return False
    return not checked.schools[at] and not checked.extensions[at]


def _refuse_objecting(
    subjects: Sequence[bytes], before: Mapping[int, bytes], refusing: frozenset[bytes], batch: _Batch
) -> None:
    """``before``: the subjects that statements of the batch, by their number in it, had when they were sent."""
    if refusing.isdisjoint(subjects) and refusing.isdisjoint(before.values()):
        return
    # All or nothing: to drop theirs and answer 200 would say that they are stored.
    faults = [
        Fault(
            f"/{batch.places[at]}/actor" if batch.many else "/actor",
            "person-refused",
            "GDPR art. 21",
            "This person objects to new data. Leave this statement out.",
        )
        for at, subject in enumerate(subjects)
        if subject in refusing or before.get(at) in refusing
    ]
    raise DataSubjectRefused(
        f"{len(faults)} of {counted(len(batch.ids), 'statement')} {agreed(len(faults), 'is', 'are')} of data subjects "
        "who object to new data; nothing was stored.",
        faults=faults[:20],
    )


def _refuse_crowded(found: Sequence[Keys], batch: _Batch) -> None:
    """One index entry each: a statement that names thousands of agents or activities would cost like thousands."""
    faults = [
        Fault(
            f"/{place}" if batch.many else "",
            "identifiers-count",
            "Sillage",
            f"Names more than {_MAX_NAMED} agents and activities. Send what it carries as several statements.",
        )
        for place, each in zip(batch.places, found, strict=True)
        if sum(map(len, (each.agents, each.related_agents, each.activities, each.related_activities))) > _MAX_NAMED
    ]
    if faults:
        raise InvalidStatement("A statement names too many agents or activities.", faults=faults[:20])


def _address(statements: Sequence[Statement], only: UUID, *, many: bool) -> None:
    if many:
        raise InvalidStatement(
            "PUT takes one statement, not an array; use POST for several.",
            faults=[Fault("", "put-single", "xAPI-Communication 2.1.1", "PUT takes one statement.")],
        )
    # xAPI-Communication 2.1.1: an id in the body must be the one of the parameter.
    given = statements[0].setdefault("id", str(only))
    if not isinstance(given, str) or given.lower() != str(only):
        raise InvalidStatement(
            "The statement's id is not the one of the statementId parameter.",
            faults=[
                Fault("/id", "put-id", "xAPI-Communication 2.1.1", "The id differs from the statementId parameter.")
            ],
        )


def _ids(statements: Sequence[Statement]) -> tuple[UUID, ...]:
    """Their ids: as sent, else random ones (version 4)."""
    random = clock.random_bytes(16 * len(statements))
    return tuple(
        UUID(statement["id"])
        if "id" in statement
        else UUID(int=int.from_bytes(random[16 * place : 16 * place + 16]) & _RANDOM_BITS | _VERSION_4)
        for place, statement in enumerate(statements)
    )


def _conflict(ids: Sequence[UUID], clash: Clash, many: bool) -> StatementConflict:
    taken = clash.fingerprints
    faults = [
        Fault(
            f"/{place}/id" if many else "/id",
            "id-taken",
            "xAPI-Communication 2.1.1",
            "Another statement has this id and differs from this one. Send the same content, or a new id.",
        )
        for place, id in enumerate(ids)
        if id in taken
    ]
    return StatementConflict(
        f"{len(faults)} of {counted(len(ids), 'statement')} {agreed(len(faults), 'has', 'have')} an id that a "
        "different statement has; nothing was stored.",
        faults=faults[:20],
    )


def _restricted(ids: Sequence[UUID], outcome: Spared, many: bool) -> DataSubjectRestricted:
    by = set(outcome.by)
    faults = [
        Fault(
            f"/{place}/object/id" if many else "/object/id",
            "person-restricted",
            "GDPR art. 18",
            "The data of the person whose statement this is are restricted. Leave this voiding out.",
        )
        for place, id in enumerate(ids)
        if id in by
    ]
    return DataSubjectRestricted(
        f"{len(faults)} of {counted(len(ids), 'statement')} {agreed(len(faults), 'voids', 'void')} a statement of a "
        "data subject whose data are only stored until the restriction ends; nothing of the batch was stored.",
        faults=faults[:20],
    )
