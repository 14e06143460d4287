"""Credentials: made once, shown once, kept as a digest, verified from a cache that revocation empties."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from app.access import scopes as scope
from app.access.key_ends import default_last_day, end_of, last_day_of
from app.access.perimeters import EVERYTHING, Perimeter, Territory
from app.access.principals import Kind, Principal
from app.access.store import Source, SourceRepository, StoredCredential
from app.core import clock
from app.core.announcer import Announcer
from app.core.audit_sink import AuditSink
from app.core.clock import Now
from app.core.errors import CredentialsRefused, RegisterInvalid

SECRET_BYTES = 32
MODES = ("observe", "warn", "reject")
MATCHINGS = ("every", "any")
PATTERNS = ("off", "job", "live")
MINORS = ("off", "refuse", "strip", "pseudonymise")
OFF, PSEUDONYMISE = MINORS[0], MINORS[3]
REPLACING = frozenset(MINORS[2:])
"""Policies under which identifiers of data subjects are replaced."""
MAX_KEYS = 20
"""Keys of a source that are good at once, beyond which its producer makes no more."""
MAX_LABEL = 100
MAX_REASON = 500
"""Characters of the reason for a policy about minors."""
MAX_YEARS = 10
"""Until the end of a credential that has one."""
_UTC = ZoneInfo("UTC")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,47}\Z")


class NewCredential(NamedTuple):
    """A credential just made: the only time its secret is seen. ``until``: the last day on which it is good; None for
    no end.
    """

    id: str
    secret: str
    until: date | None = None


class _Known(NamedTuple):
    digest: bytes
    principal: Principal | None
    ends: datetime

    def holder(self, now: datetime) -> Principal | None:
        """The principal whose it is; None where it is nobody's, or has ended."""
        return self.principal if now < self.ends else None


_NEVER = datetime.max.replace(tzinfo=UTC)
_NOBODY = _Known(hashlib.sha256(b"no such credential").digest(), None, _NEVER)


class Access:
    """Verifies credentials and knows the sources.

    ``trusted`` says whether this process is in touch with the others: when it is not, nothing is taken from the
    cache, so that a revocation it could not hear of takes effect all the same.
    """

    def __init__(
        self,
        repository: SourceRepository,
        trusted: Callable[[], bool] = lambda: False,
        now: Now = clock.now,
    ) -> None:
        self._repository = repository
        self._trusted = trusted
        self._now = now
        self._known: dict[str, _Known] = {}
        self._sources: dict[str, Source] = {}

    def forget(self) -> None:
        """Empty the caches."""
        # New objects rather than clear(): a lookup under way must not refill what was emptied.
        self._known, self._sources = {}, {}

    def verify(self, id: str, secret: bytes) -> Principal:
        """The principal whose credential this is.

        Args:
            id: Public id of the credential.
            secret: Its secret.

        Raises:
            CredentialsRefused: unknown, revoked, ended or wrong; the answer does not say which.
        """
        digest = hashlib.sha256(secret).digest()
        # Whoever has not the right secret takes the same steps whatever the id: the cache answers the right one alone,
        # and is compared with in constant time, with something even where it knows nothing; then MongoDB is asked for
        # both together, and finds nothing. What these steps cost does not tell an id that exists.
        cache = self._known
        known = cache.get(id, _NOBODY)
        now = self._now()
        if hmac.compare_digest(digest, known.digest) and (holder := known.holder(now)) is not None and self._trusted():
            return holder
        stored = self._repository.issued(id, digest)
        ends = _NEVER if stored is None else stored.ends or _NEVER
        if stored is None or now >= ends:
            raise CredentialsRefused("These credentials are unknown, revoked, ended or wrong.")
        kind = Kind.PERSON if stored.source is None else Kind.SOURCE
        principal = Principal(kind, stored.id, scope.closure(stored.scopes), stored.source, perimeter=stored.perimeter)
        cache[id] = _Known(digest, principal, ends)
        return principal

    def source(self, id: str) -> Source:
        """The registered source of a credential.

        Raises:
            CredentialsRefused: it is not registered any more.
        """
        cache = self._sources
        if self._trusted() and id in cache:
            return cache[id]
        source = self._repository.get(id)
        if source is None:
            raise CredentialsRefused("The source of these credentials is not registered.")
        cache[id] = source
        return source


class SourceRules(Protocol):
    """Rules that a source must fit, of layers above: the register, profiles, persons' rights."""

    def activity_exists(self, activity: str) -> bool:
        """Tell if the register has an entry of that id.

        Raises:
            RegisterInvalid: it is there, and not in force.
        """

    def activity_ended(self, activity: str) -> bool:
        """Tell if an entry has ended."""

    def about_minors(self, activity: str) -> bool:
        """Tell if an entry that exists says that it concerns minors."""

    def profile_exists(self, profile: str) -> bool:
        """Tell if a profile is loaded."""

    def territory_exists(self, territory: Territory) -> bool:
        """Tell if the directory of schools in force has a school there."""

    def cover(self, source: str) -> None:
        """Have what holds for persons hold for the pseudonyms that a source is about to make of them."""


class Sources:
    """Registers sources and issues or revokes credentials: each change is audited and noticed everywhere."""

    def __init__(
        self,
        repository: SourceRepository,
        *,
        rules: SourceRules,
        audit: AuditSink,
        announcer: Announcer,
        zone: ZoneInfo = _UTC,
    ) -> None:
        """``audit`` takes an entry for each change; ``announcer``: of what every process is to take notice. ``zone`` is
        that of the days on which keys end.

        ``rules``: of the register, of profiles and of persons' rights, which a source must fit.
        """
        self._repository = repository
        self._rules = rules
        self._audit = audit
        self._announcer = announcer
        self._zone = zone

    def add(
        self,
        id: str,
        *,
        name: str,
        activity: str,
        profiles: Sequence[str] = (),
        mode: str = "observe",
        matching: str = "every",
        patterns: str = "job",
        minors: str | None = None,
        reason: str = "",
        scopes: Sequence[str] = scope.SOURCE_DEFAULT,
        actor: str,
    ) -> tuple[Source, NewCredential]:
        """Register a source under a processing activity, with a first credential.

        Args:
            id: Its id.
            name: What people call it.
            activity: The processing activity that it belongs to.
            profiles: IRIs of loaded profiles that it promises.
            mode: One of ``MODES``.
            matching: One of ``MATCHINGS``.
            patterns: One of ``PATTERNS``.
            minors: One of ``MINORS``; None: ``pseudonymise`` under an activity that concerns minors, else ``off``.
            reason: Why it is another one than ``pseudonymise`` under such an activity; kept, and in the audit log.
            scopes: Of the first credential.
            actor: For the audit log.

        Raises:
            RegisterInvalid: id malformed or taken; activity unknown, ended or not in force yet; unknown profile, mode
                or scope; or a reason is missing.
        """
        if not _SLUG.match(id):
            raise RegisterInvalid("A source id is lower-case letters, digits and dashes, 48 at most.")
        # GDPR art. 30: nothing is processed outside a registered activity.
        if not self._rules.activity_exists(activity):
            raise RegisterInvalid("No such processing activity. Add it first: `sillage processing-activity add FILE`.")
        if self._rules.activity_ended(activity):
            raise RegisterInvalid(
                "This processing activity has ended: nothing comes under it any more. Choose another."
            )
        policy = minors or (PSEUDONYMISE if self._rules.about_minors(activity) else OFF)
        source = self._with_reason(
            Source(id, name, activity, tuple(profiles), mode, clock.now(), matching, patterns, policy), reason
        )
        self._check(source)
        _known_scopes(scopes)
        if self._repository.get(id) is not None:
            raise RegisterInvalid(f"A source named {id} is registered already.")
        self._audit.append("source-added", actor, {"source": id, "activity": activity, **_configuration(source)})
        self._repository.add(source)
        # Who may read what is kept under its processing activity may read what it sends.
        self._announcer.announce()
        # Before it has a credential, and so sends anything.
        if source.minors in REPLACING:
            self._rules.cover(id)
        return source, self.issue(source=id, label="first", scopes=scopes, actor=actor)

    def change(
        self,
        id: str,
        *,
        profiles: Sequence[str] | None = None,
        mode: str | None = None,
        matching: str | None = None,
        patterns: str | None = None,
        minors: str | None = None,
        reason: str = "",
        actor: str,
    ) -> Source:
        """Change the promised profiles, or how statements are held to them; in force everywhere when this returns.

        ``reason``: as for ``add``; it needs ``minors``.

        Raises:
            RegisterInvalid: unknown source, profile, mode or policy, or a reason is missing.
        """
        source = self.get(id)
        changed = source._replace(
            profiles=source.profiles if profiles is None else tuple(profiles),
            mode=mode or source.mode,
            matching=matching or source.matching,
            patterns=patterns or source.patterns,
            minors=minors or source.minors,
        )
        if minors is not None:
            changed = self._with_reason(changed, reason)
        elif reason:
            raise RegisterInvalid("A reason is that of a policy about minors: give --minors too.")
        self._check(changed)
        self._audit.append("configuration-changed", actor, {"source": id, **_configuration(changed)})
        begins = changed.minors in REPLACING and source.minors not in REPLACING
        if begins:
            self._rules.cover(id)
        self._repository.replace(changed)
        if begins:
            # Again, for whoever objected in between.
            self._rules.cover(id)
        self._announcer.announce()
        return changed

    def issue(
        self,
        *,
        source: str | None,
        label: str,
        scopes: Sequence[str],
        until: date | None = None,
        perimeter: Perimeter = EVERYTHING,
        actor: str,
    ) -> NewCredential:
        """Make a credential. The secret is 256 random bits, so a plain digest keeps it safe; it is shown only now.

        Args:
            source: Whose it is; None: a person's.
            label: What the list calls it.
            scopes: What it may do.
            until: The last day on which it is good; None: of a source without end, of a person the end of the school
                year.
            perimeter: The part of what is kept that it may read; a source reads its own.
            actor: For the audit log.

        Raises:
            RegisterInvalid: a scope or the source is unknown, the source is closed, the day is past or too far, or
                the perimeter is of a source, of what there is not, or of scopes that nothing limits.
        """
        _known_scopes(scopes)
        if not perimeter.unbounded:
            self._check_perimeter(perimeter, source, scopes)
        today = clock.now().astimezone(self._zone).date()
        if source is None and until is None:
            until = default_last_day(today)
        if until is not None:
            self._check_day(until)
        owner = None if source is None else self._repository.get(source)
        if source is not None and owner is None:
            raise RegisterInvalid("No such source. `sillage source list` shows those that exist.")
        if owner is not None and owner.closed is not None:
            raise RegisterInvalid("This source is closed and gets no credentials any more. Register another one.")
        id = "sk-" + clock.random_bytes(8).hex()
        secret = base64.urlsafe_b64encode(clock.random_bytes(SECRET_BYTES)).decode().rstrip("=")
        # On record before it exists: no credential works that the log does not know.
        detail: dict[str, object] = {"credential": id, "source": source, "scopes": [*scopes]}
        if until is not None:
            detail["until"] = until.isoformat()
        if not perimeter.unbounded:
            detail["perimeter"] = perimeter.document()
        self._audit.append("credential-created", actor, detail)
        self._repository.add_credential(
            StoredCredential(
                id,
                source,
                label,
                tuple(scopes),
                hashlib.sha256(secret.encode()).digest(),
                clock.now(),
                None,
                None if until is None else end_of(until, self._zone),
                perimeter,
            )
        )
        return NewCredential(id, secret, until)

    def issue_another(self, source: str, *, label: str, until: date | None, actor: str) -> NewCredential:
        """One more key of a source, made by its producer: with what every source may do. Arguments as of ``issue``.

        Raises:
            RegisterInvalid: as ``issue``; or the source has ``MAX_KEYS``.
        """
        self._require_room(source)
        return self.issue(source=source, label=label[:MAX_LABEL], scopes=scope.SOURCE_DEFAULT, until=until, actor=actor)

    def rotate(self, id: str, *, source: str, until: date, actor: str) -> NewCredential:
        """A key in the place of another one of a source, which is good until a day, so that nothing stops meanwhile.

        Args:
            id: The key that is replaced.
            source: Whose it must be.
            until: The last day of the old one.
            actor: For the audit log.

        Raises:
            RegisterInvalid: the source has no such key that is good; or as ``issue_another``.
        """
        old = self._own(id, source)
        if not self.good(old):
            raise RegisterInvalid("This key is revoked or has ended: make a new one.")
        self._check_day(until)
        self._require_room(source)
        # What is more than every source may do was given until a day: the new key has it no longer.
        more = not set(old.scopes) <= set(scope.SOURCE_DEFAULT)
        made = self.issue(
            source=source,
            label=old.label,
            scopes=old.scopes,
            until=self.last_day(old) if more else None,
            actor=actor,
        )
        self._end(old, until, actor)
        return made

    def _require_room(self, source: str) -> None:
        good = [each for each in self._repository.credentials(source) if self.good(each)]
        if len(good) >= MAX_KEYS:
            raise RegisterInvalid(f"A source has at most {MAX_KEYS} keys: revoke those that nothing uses any more.")

    def end(self, id: str, *, source: str, until: date, actor: str) -> None:
        """Give a key of a source a last day; arguments as of ``rotate``. An earlier end that it has stays.

        Raises:
            RegisterInvalid: the source has no such key, or the day is past or too far.
        """
        self._check_day(until)
        self._end(self._own(id, source), until, actor)

    def revoke_own(self, id: str, *, source: str, actor: str) -> int:
        """Revoke one key of a source; as ``revoke``.

        Raises:
            RegisterInvalid: the source has no such key.
        """
        self._own(id, source)
        return self.revoke(id, actor=actor)

    def keys(self, source: str) -> Sequence[StoredCredential]:
        """The keys of a source, the newest first (never a secret)."""
        return [*reversed(self._repository.credentials(source))]

    def good(self, credential: StoredCredential) -> bool:
        """True if a key is neither revoked nor over."""
        return credential.revoked is None and (credential.ends is None or clock.now() < credential.ends)

    def _own(self, id: str, source: str) -> StoredCredential:
        found = self._repository.credential(id)
        if found is None or found.source != source:
            raise RegisterInvalid("This source has no such key.")
        return found

    def _end(self, credential: StoredCredential, until: date, actor: str) -> None:
        ends = end_of(until, self._zone)
        if credential.revoked is not None or (credential.ends is not None and credential.ends <= ends):
            return
        # On record first, as when it is made.
        detail = {"credential": credential.id, "source": credential.source, "until": until.isoformat()}
        self._audit.append("credential-ends", actor, detail)
        self._repository.end(credential.id, ends)
        self._announcer.announce()

    def _check_day(self, until: date) -> None:
        today = clock.now().astimezone(self._zone).date()
        if until < today:
            raise RegisterInvalid(f"A key cannot end before today: {until} is past.")
        if until.year - today.year > MAX_YEARS:
            raise RegisterInvalid(f"A key ends within {MAX_YEARS} years: {until} is no end.")

    def last_day(self, credential: StoredCredential) -> date | None:
        """The last day on which a credential is good; None for no end."""
        return None if credential.ends is None else last_day_of(credential.ends, self._zone)

    def ending(self, before: date) -> Sequence[StoredCredential]:
        """Credentials, not revoked, whose last day is before a day, the first to end first; also those that have
        ended.
        """
        limit = end_of(before, self._zone)
        found = [
            each
            for each in self._repository.credentials()
            if each.revoked is None and each.ends is not None and each.ends < limit
        ]
        return sorted(found, key=lambda each: each.ends or _NEVER)

    def revoke(self, id: str, *, actor: str) -> int:
        """Revoke a credential, or every one of a source: no process accepts it when this returns.

        Returns:
            How many were revoked.

        Raises:
            RegisterInvalid: neither a credential nor a source has that id.
        """
        owned = [credential.id for credential in self._repository.credentials(id)]
        targets = owned or ([id] if self._repository.credential(id) else [])
        if not targets:
            raise RegisterInvalid("No such credential or source. `sillage source list` shows those that exist.")
        # On record first: once it is revoked nothing may come between that and telling every process.
        self._audit.append("credential-revoked", actor, {"credentials": targets})
        count = self._repository.revoke(targets, clock.now())
        self._announcer.announce()
        return count

    def get(self, id: str) -> Source:
        """One source.

        Raises:
            RegisterInvalid: it is not registered.
        """
        source = self._repository.get(id)
        if source is None:
            raise RegisterInvalid("No such source. `sillage source list` shows those that exist.")
        return source

    def list(self) -> Sequence[tuple[Source, Sequence[StoredCredential]]]:
        """Every source with its credentials (never a secret)."""
        sources = self._repository.list()
        held: dict[str | None, list[StoredCredential]] = {}
        for credential in self._repository.credentials():
            held.setdefault(credential.source, []).append(credential)
        return [(source, held.get(source.id, ())) for source in sources]

    def people(self) -> Sequence[StoredCredential]:
        """Credentials of people rather than sources."""
        return [credential for credential in self._repository.credentials() if credential.source is None]

    def _with_reason(self, source: Source, reason: str) -> Source:
        """A source whose policy about minors has just been chosen, with the reason for it."""
        # GDPR art. 25(2): by default as little as possible; art. 5(2): who departs from it can say why.
        kept = " ".join(reason.split())
        if source.minors == PSEUDONYMISE:
            kept = ""
        elif not kept and self._rules.about_minors(source.activity):
            raise RegisterInvalid(
                f"The register says that activity {source.activity} concerns minors: its sources have the policy "
                f'`{PSEUDONYMISE}`. To choose another, say why: --minors {source.minors} --reason "…".'
            )
        if len(kept) > MAX_REASON:
            raise RegisterInvalid(f"A reason has at most {MAX_REASON} characters.")
        return source._replace(minors_reason=kept)

    def _check_perimeter(self, perimeter: Perimeter, source: str | None, scopes: Sequence[str]) -> None:
        if source is not None:
            raise RegisterInvalid("A source reads its own data: its keys have no perimeter.")
        if not scope.LIMITED.intersection(scope.closure(tuple(scopes))):
            limited = ", ".join(sorted(scope.LIMITED))
            raise RegisterInvalid(f"Nothing that these scopes allow has a perimeter. Those with one: {limited}.")
        self.require_known(perimeter)

    def require_known(self, perimeter: Perimeter) -> None:
        """Refuse a perimeter that names what there is not, or whose days are disordered.

        Raises:
            RegisterInvalid: it does.
        """
        if perimeter.since is not None and perimeter.until is not None and perimeter.since > perimeter.until:
            raise RegisterInvalid("The first day of a perimeter comes before its last.")
        for activity in sorted(perimeter.activities or ()):
            if not self._rules.activity_exists(activity):
                raise RegisterInvalid(f"The register has no processing activity {activity}.")
        for named in sorted(perimeter.sources or ()):
            self.get(named)
        for territory in sorted(perimeter.territories or ()):
            if not self._rules.territory_exists(territory):
                raise RegisterInvalid(
                    f"The directory of schools in force has no school in {territory}: check the code, or load an "
                    "edition that has (`sillage nomenclature load --kind schools`)."
                )

    def _check(self, source: Source) -> None:
        for name, value, known in (
            ("mode", source.mode, MODES),
            ("matching", source.matching, MATCHINGS),
            ("patterns", source.patterns, PATTERNS),
            ("minors", source.minors, MINORS),
        ):
            if value not in known:
                raise RegisterInvalid(f"{name} is one of: {', '.join(known)}.")
        for profile in source.profiles:
            if not self._rules.profile_exists(profile):
                raise RegisterInvalid(
                    f"Profile {profile} is not loaded: `sillage profile list` shows those that are, "
                    "`sillage profile add FILE` adds one."
                )


def _configuration(source: Source) -> dict[str, object]:
    return {
        "profiles": [*source.profiles],
        "mode": source.mode,
        "matching": source.matching,
        "patterns": source.patterns,
        "minors": source.minors,
        **({"minors_reason": source.minors_reason} if source.minors_reason else {}),
    }


def _known_scopes(scopes: Sequence[str]) -> None:
    unknown = sorted(set(scopes) - set(scope.EVERY))
    if unknown or not scopes:
        raise RegisterInvalid(f"Scopes are among: {', '.join(scope.EVERY)}.")
