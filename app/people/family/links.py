"""Links of accounts to learners: asked for by a source with a code, or made by a provider's word; ended by either.

A code is 12 letters and digits, random, good once and for a few days; what is kept of it is a MAC. It is of no use
without an account that has the role that it is for. A link ends with the school year unless another day is said, sooner
where custody ends, and of a guardian when the learner is of age. Why so: ``docs/adr/0070-links-of-families.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson

from app.access.key_ends import default_last_day, end_of, last_day_of
from app.core.audit_sink import AuditSink
from app.core.clock import Now, RandomBytes
from app.core.errors import BadRequest, Fault, LinkAttemptsExceeded, LinkRefused, LinksExceeded, NotFound
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import LINK_CODE_GIVEN, LINK_ENDED, LINK_MADE
from app.keys.data_subject_cipher import DataSubjectCipher
from app.people.family.store import LinkRepository, StoredLink, place
from app.people.finding.pseudonyms import IdentifiedDataSubject, PseudonymsBySource

LEARNER, GUARDIAN = ROLES = ("learner", "guardian")
"""Roles that a link may be for, as ``app.access.roles.Role`` calls them."""
CODE_LENGTH = 12
MAX_CODE_DAYS = 14
DEFAULT_CODE_DAYS = 7
MAX_DAYS = 400
"""Until the last day of a link."""
MAX_CALLED = 40
"""Characters of what a guardian calls a child."""
MAX_ATTEMPTS = 10
"""Codes that open nothing, of one account within ``_PERIOD``."""
MAX_LINKS = 30
"""Of one account."""
_PERIOD = timedelta(hours=1)
# Crockford's: no letter is taken for a digit, or makes a word.
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1"})
_SECTION = "Sillage, links"


class NewCode(NamedTuple):
    """A code just made: the only time that it is seen.

    Attributes:
        link: Id of the link, by which it is ended.
        code: The code, in groups of four.
        code_until: Last instant at which it can be given.
        until: Last day of the link.
    """

    link: str
    code: str
    code_until: datetime
    until: date


class Link(NamedTuple):
    """A link of an account to a learner, in force.

    Attributes:
        id: Public id, random.
        role: ``learner`` or ``guardian``.
        by: Who asked for it: ``source:`` or ``provider:`` with its id.
        called: What the account's owner calls the learner; empty where nothing was said.
        data_subject: The learner.
        made: Since when.
        until: Last day.
    """

    id: str
    role: str
    by: str
    called: str
    data_subject: IdentifiedDataSubject
    made: datetime
    until: date


class Stored(Protocol):
    """Tells of whom there are statements."""

    def sent_by(self, source: str, data_subject: IdentifiedDataSubject) -> bool:
        """True if a statement of a source has a data subject as its actor."""

    def kept(self, data_subject: IdentifiedDataSubject) -> bool:
        """True if a statement names a data subject."""


class FamilyLinks:
    """Makes, finds and ends links. Safe to share between threads."""

    def __init__(
        self,
        repository: LinkRepository,
        keys: OrganisationKeys,
        cipher: DataSubjectCipher,
        audit: AuditSink,
        pseudonyms: PseudonymsBySource,
        statements: Stored,
        random: RandomBytes,
        now: Now,
        zone: ZoneInfo,
    ) -> None:
        """``zone``: of the days on which links end."""
        self._repository = repository
        self._keys = keys
        self._cipher = cipher
        self._audit = audit
        self._pseudonyms = pseudonyms
        self._statements = statements
        self._random = random
        self._now = now
        self._zone = zone

    # --- made ---------------------------------------------------------------------------------------

    def ask(
        self,
        source: str,
        data_subject: IdentifiedDataSubject,
        *,
        role: str,
        until: date | None = None,
        of_age_on: date | None = None,
        code_days: int = DEFAULT_CODE_DAYS,
        actor: str,
    ) -> NewCode:
        """Make a code by which the owner of an account shows that they are a learner, or their guardian.

        Args:
            source: Id of the source that asks; the learner is one of its own.
            data_subject: The learner, as the source calls them.
            role: ``learner`` or ``guardian``.
            until: Last day of the link; None: the end of the school year.
            of_age_on: Of a guardian's, the day on which the learner is of age: it is kept as the end of the link where
                that comes first, and nowhere else.
            code_days: How long the code can be given.
            actor: For the audit log.

        Raises:
            BadRequest: a value that cannot be.
            NotFound: the source has sent nothing of this learner.
        """
        last = self._last_day(role, until, of_age_on)
        if not 1 <= code_days <= MAX_CODE_DAYS:
            raise _bad("code_days", f"must be 1 to {MAX_CODE_DAYS}")
        whole = self._pseudonyms.of_source(source).whole(data_subject)
        if not self._statements.sent_by(source, whole):
            raise NotFound("This source has sent no statement of this learner: ask for those of whom it has.")
        code = _code(self._random(8))
        now = self._now()
        code_until = now + timedelta(days=code_days)
        link = self._new(
            data_subject,
            f"source:{source}",
            role,
            last,
            now,
            code=self._digest(code),
            code_ends=code_until,
            actor=actor,
        )
        if not self._statements.sent_by(source, whole):
            # Erased meanwhile: who it was must not stay under a key that was made since.
            self._repository.remove(link.id)
            raise NotFound("This source has sent no statement of this learner: ask for those of whom it has.")
        return NewCode(link.id.hex(), "-".join(code[at : at + 4] for at in range(0, CODE_LENGTH, 4)), code_until, last)

    def link(
        self,
        user: str,
        data_subject: IdentifiedDataSubject,
        *,
        provider: str,
        role: str,
        until: date | None = None,
        of_age_on: date | None = None,
        actor: str,
    ) -> str | None:
        """Link an account to a learner by the word of a provider of sign-ins, which knows both; its id.

        What the provider said before of this account and learner is renewed. None where nothing is kept of the learner.

        Raises:
            BadRequest: a value that cannot be.
        """
        last = self._last_day(role, until, of_age_on)
        now, by = self._now(), f"provider:{provider}"
        subjects = self._subjects(data_subject)
        if not self._statements.kept(data_subject):
            return None
        old = [each for each in self._repository.to_end(by, now, subjects=subjects) if each.user == user]
        made = self._new(data_subject, by, role, last, now, user=user, made=now, actor=actor)
        if not self._statements.kept(data_subject):
            self._repository.remove(made.id)
            return None
        self._repository.end([each.id for each in old], now)
        return made.id.hex()

    def give(self, user: str, roles: Sequence[str], code: str, *, called: str = "", actor: str) -> Link:
        """Link an account to the learner that a code is for.

        Args:
            user: The account.
            roles: Its roles, of which the link's must be one.
            code: As it was typed.
            called: What its owner calls the learner.
            actor: For the audit log.

        Raises:
            LinkAttemptsExceeded: the account gave too many wrong ones.
            LinkRefused: it opens nothing; the answer does not say why.
            LinksExceeded: the account has as many links as it may.
            BadRequest: ``called`` is too long (``/called``).
        """
        called = " ".join(called.split())
        if len(called) > MAX_CALLED or not called.isprintable():
            raise _bad("called", f"has at most {MAX_CALLED} printable characters")
        now = self._now()
        if len(self._repository.of_user(user, now)) >= MAX_LINKS:
            raise LinksExceeded(f"An account has at most {MAX_LINKS} links.")
        # Counted before it is looked at: many at once are as many.
        if self._repository.attempt(user, now, now + _PERIOD) > MAX_ATTEMPTS:
            raise LinkAttemptsExceeded(
                "Too many codes were given that open nothing. Wait an hour, then type the code again.",
                retry_after=int(_PERIOD.total_seconds()),
            )
        stored = self._repository.by_code(self._digest(_normalised(code)))
        opened = (
            None
            if stored is None
            else self._cipher.decrypt_for_all(place(stored.id, "who"), stored.subjects, stored.who)
        )
        if (
            stored is None
            or opened is None
            or stored.ended is not None
            or stored.ends <= now
            or stored.code_ends is None
            or stored.code_ends <= now
            or stored.role not in roles
        ):
            raise LinkRefused("This code opens nothing. Type it as it is written, or ask for another one.")
        # With keys that are there: none is made for a learner who is erased at this moment.
        sealed = self._cipher.encrypt_for_known(place(stored.id, "called"), stored.subjects, called.encode())
        if sealed is None:
            raise LinkRefused("This code opens nothing. Type it as it is written, or ask for another one.")
        detail = {"link": stored.id.hex(), "by": stored.by, "role": stored.role, "user": user}
        self._audit.append(LINK_MADE, actor, {**detail, "subjects": _hex(stored.subjects)})
        if not self._repository.give(stored, user=user, made=now, called=sealed):
            raise LinkRefused("This code opens nothing. Type it as it is written, or ask for another one.")
        self._repository.forget_attempts(user)
        return self._link(stored._replace(user=user, made=now), opened, called)

    # --- found --------------------------------------------------------------------------------------

    def of(self, user: str) -> Sequence[Link]:
        """The links of an account that are in force, of every role, the oldest first; of an erased learner none."""
        found = []
        for stored in self._repository.of_user(user, self._now()):
            opened = self._cipher.decrypt_for_all(place(stored.id, "who"), stored.subjects, stored.who)
            called = self._cipher.decrypt_for_all(place(stored.id, "called"), stored.subjects, stored.called)
            if opened is not None:
                found.append(self._link(stored, opened, (called or b"").decode()))
        return found

    # --- ended --------------------------------------------------------------------------------------

    def end(
        self, by: str, *, link: str | None = None, data_subject: IdentifiedDataSubject | None = None, actor: str
    ) -> int:
        """End a link, or all of a learner, that one asked for: custody ends, or a code was lost; how many ended.

        Args:
            by: Who asked for it: ``source:`` or ``provider:`` with its id.
            link: Id of the link.
            data_subject: Or the learner, all of whose links go.
            actor: For the audit log.

        Raises:
            NotFound: there is none in force.
        """
        now = self._now()
        subjects: tuple[bytes, ...] = ()
        id = None
        if link is not None:
            try:
                id = bytes.fromhex(link)
            except ValueError:
                raise NotFound("No link in force has this id.") from None
        elif data_subject is not None:
            subjects = self._subjects(data_subject)
        found = self._repository.to_end(by, now, id=id, subjects=subjects)
        if not found:
            raise NotFound("There is no such link in force.")
        for each in found:
            self._audit.append(LINK_ENDED, actor, {"link": each.id.hex(), "subjects": _hex(each.subjects)})
        return self._repository.end([each.id for each in found], now)

    def remove_ended(self) -> int:
        """Remove what is past its end; how many links."""
        return self._repository.remove_ended(self._now())

    def _new(
        self,
        data_subject: IdentifiedDataSubject,
        by: str,
        role: str,
        last: date,
        now: datetime,
        *,
        code: bytes | None = None,
        code_ends: datetime | None = None,
        user: str | None = None,
        made: datetime | None = None,
        actor: str,
    ) -> StoredLink:
        id, subjects = self._random(16), self._subjects(data_subject)
        who = self._cipher.encrypt_for_all(place(id, "who"), subjects, orjson.dumps(data_subject.identifiers))
        called = self._cipher.encrypt_for_all(place(id, "called"), subjects, b"")
        link = StoredLink(
            id, subjects, by, role, now, end_of(last, self._zone), who, called, code, code_ends, user, made
        )
        detail = {"link": id.hex(), "by": by, "role": role, "until": last.isoformat()}
        about = {**detail, "subjects": _hex(subjects)}
        if user is None:
            self._audit.append(LINK_CODE_GIVEN, actor, about)
        else:
            self._audit.append(LINK_MADE, actor, {**about, "user": user})
        self._repository.add(link)
        return link

    def _subjects(self, data_subject: IdentifiedDataSubject) -> tuple[bytes, ...]:
        # As given: nothing puts an address and a pseudonym together.
        return tuple(self._keys.subject(identifier) for identifier in data_subject.identifiers)

    def _link(self, stored: StoredLink, opened: bytes, called: str) -> Link:
        return Link(
            stored.id.hex(),
            stored.role,
            stored.by,
            called,
            IdentifiedDataSubject(tuple(orjson.loads(opened))),
            stored.made or stored.asked,
            last_day_of(stored.ends, self._zone),
        )

    def _last_day(self, role: str, until: date | None, of_age_on: date | None) -> date:
        today = self._now().astimezone(self._zone).date()
        if role not in ROLES:
            raise _bad("role", f"must be one of: {', '.join(ROLES)}")
        last = default_last_day(today) if until is None else until
        if not today <= last <= today + timedelta(days=MAX_DAYS):
            raise _bad("until", f"must be today or within {MAX_DAYS} days")
        if of_age_on is None:
            return last
        if role != GUARDIAN:
            raise _bad("of_age_on", "is of a guardian's link")
        if of_age_on <= today:
            raise _bad("of_age_on", "must be after today: of a learner who is of age nobody is the guardian")
        return min(last, of_age_on - timedelta(days=1))

    def _digest(self, code: str) -> bytes:
        return self._keys.mac("link-code", code.encode())


def _code(random: bytes) -> str:
    number = int.from_bytes(random, "big")
    return "".join(_SIGNS[number >> 5 * place & 31] for place in range(CODE_LENGTH))


def _normalised(code: str) -> str:
    """A code as it was made, from how people type it: small letters, blanks, dashes, an O for a nought."""
    return "".join(code[:100].upper().split()).replace("-", "").translate(_READ_AS)


def _hex(subjects: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in subjects]


def _bad(name: str, message: str) -> BadRequest:
    return BadRequest(f"`{name}` {message}.", faults=[Fault(f"/{name}", "link", _SECTION, message)])
