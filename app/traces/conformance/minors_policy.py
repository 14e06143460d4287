"""The policy of a source about minors, applied on the way in: refuse, strip, pseudonymise, or keep and count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

from app.access.credentials import REPLACING
from app.access.store import Source
from app.core.audit_sink import AuditSink
from app.core.counted import agreed, counted
from app.core.errors import Fault, PersonalDataRefused
from app.crypto.keys import OrganisationKeys
from app.standards.france import minors
from app.standards.xapi.identifiers import agent_identifier, agent_of
from app.traces.conformance.pseudonym_home_store import PseudonymHome
from app.traces.conformance.verdicts import REJECTED, ConformanceService
from app.traces.refusal_counter import RefusalCounter

Statement = dict[str, Any]
AUDIT_KIND = "minors-data"
OUTCOMES = {"off": "kept", "refuse": "refused", "strip": "stripped", "pseudonymise": "pseudonymised"}

MAX_REFUSALS = 50
"""Of what is worded, of a batch that may have a million."""

_SHOWN = 20
_SCOPE = "minors"


class Protected(NamedTuple):
    """A batch after the policy of its source about minors.

    Attributes:
        statements: The batch in its order; statements in which something was found are replaced, where the policy does.
        named: In step, whether something was found.
    """

    statements: list[Statement]
    named: Sequence[bool]


class Protect(Protocol):
    """Protocol of ``MinorsPolicy.protect``."""

    def __call__(
        self, source: Source, statements: Sequence[Statement], *, many: bool, written: Sequence[bytes] | None = None
    ) -> Protected:
        """The batch after the policy of a source about minors."""


class MinorsPolicy:
    """Applies the policies of sources. Safe to share between threads."""

    def __init__(
        self,
        keys: OrganisationKeys,
        audit: AuditSink,
        verdicts: ConformanceService,
        refusals: RefusalCounter,
        home: PseudonymHome,
    ) -> None:
        """Make the service.

        Args:
            keys: Makes pseudonyms.
            audit: Takes an entry for each batch that is changed or refused.
            verdicts: Counts what was found of each batch, by kind, and what became of it (``OUTCOMES``).
            refusals: Counts the statements of batches that are refused.
            home: Gives the home page of the accounts that replace addresses: the same in every process, for good.
        """
        self._keys = keys
        self._audit = audit
        self._verdicts = verdicts
        self._refusals = refusals
        self._home = home

    def protect(
        self, source: Source, statements: Sequence[Statement], *, many: bool, written: Sequence[bytes] | None = None
    ) -> Protected:
        """Apply the policy of a source about minors to a batch that is valid, before it is stored.

        What is found is counted whatever the policy. What was done is in the audit log before this returns, once a
        batch and without any value; under ``off``, that it was kept: that case has most to be looked at.

        Args:
            source: Whose batch it is.
            statements: The batch, as normalised.
            many: Whether it was sent as an array.
            written: In step, the statements as JSON without spaces, where that is at hand.

        Raises:
            PersonalDataRefused: the policy is ``refuse`` and something was found, or it was in a signed statement.
        """
        found = list(map(minors.find, statements) if written is None else map(minors.find, statements, written))
        named = list(map(bool, found))
        if not any(named):
            return Protected(list(statements), named)
        counts = minors.counted(chain.from_iterable(found))
        faults = refusals(source.minors, statements, found, many=many)
        outcome = OUTCOMES["refuse" if faults else source.minors]
        detail = {
            "source": source.id,
            "policy": source.minors,
            "outcome": outcome,
            "statements": sum(named),
            **{kind: counts[kind] for kind in minors.KINDS},
        }
        self._audit.append(AUDIT_KIND, f"source:{source.id}", detail)
        self._verdicts.count_protected(source, outcome, counts)
        if faults:
            self._refusals.refused(REJECTED, len(statements))
            naming = sum(named)
            raise PersonalDataRefused(
                f"{naming} of {counted(len(statements), 'statement')} {agreed(naming, 'names', 'name')} people openly, "
                f"and source {source.id} sends statements about minors; nothing of the batch was stored.",
                faults=faults[:_SHOWN],
            )
        return Protected(self.cleaned(source, statements, found), named)

    def cleaned(
        self, source: Source, statements: Sequence[Statement], found: Sequence[Sequence[minors.Found]]
    ) -> list[Statement]:
        """Statements as the policy of a source leaves them, given what ``minors.find`` found in each."""
        if source.minors not in REPLACING:
            return list(statements)
        pseudonym, home = partial(self._pseudonym, source.id), self._home()
        return [
            minors.cleaned(each, source.minors, pseudonym, home) if listed else each
            for each, listed in zip(statements, found, strict=True)
        ]

    def forms(self, source: str, identifier: str) -> list[str]:
        """The forms that a canonical identifier may have in what a source has under a policy that replaces.

        For those who act for the person alone: whoever has both has the link that the policy breaks. Nothing is looked
        up and nothing kept: it is made of the identifier with keys that no rotation replaces.
        """
        found = minors.forms(agent_of(identifier), partial(self._pseudonym, source), self._home())
        return [each for each in map(agent_identifier, found) if each is not None]

    def _pseudonym(self, source: str, kind: str, value: str) -> str:
        # By source: what two sources sent cannot be put together by it.
        return self._keys.pseudonym(f"{_SCOPE}:{source}", self._keys.subject(f"{kind}:{value}")).hex()


def refusals(
    policy: str, statements: Sequence[Statement], found: Sequence[Sequence[minors.Found]], *, many: bool
) -> list[Fault]:
    """The reasons why a policy refuses a batch, the first ``MAX_REFUSALS`` of them; none when it does not."""
    return list(islice(_refusals(policy, statements, found, many), MAX_REFUSALS))


def _refusals(
    policy: str, statements: Sequence[Statement], found: Sequence[Sequence[minors.Found]], many: bool
) -> Iterator[Fault]:
    if policy == "off":
        return
    for place, (statement, listed) in enumerate(zip(statements, found, strict=True)):
        prefix = f"/{place}" if many else ""
        if listed and policy == "refuse":
            for each in listed:
                yield minors.fault(each, prefix)
        elif listed and minors.signed(statement):
            yield minors.signed_fault(prefix)
