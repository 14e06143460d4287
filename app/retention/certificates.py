"""Certificates: each act on the operator's word, done for good, leaves a signed one.

A certificate says what was done, when, on whose word, why and to how much: nothing that tells a person. It is signed as
receipts of erasures are (``app/crypto/signing.py``) and verified without the store. All of them together are the
history of the sources and of the register; a restore carries them out again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.core import clock
from app.core.errors import BadRequest, NotFound, SignatureRefused
from app.crypto import signing
from app.keys.key_service import KeyService
from app.retention.certificate_store import DELETING, DONE, Act, CertificateRepository

CERTIFICATE = "sillage-certificate"
"""The format that a certificate says it has (``app/crypto/signing.py``)."""

_MAX_LENGTH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Whoever writes an address of somebody has a person in mind, and a certificate goes to others.
_ADDRESS = re.compile(r"\S@\S")


class Certificates:
    """Finds, signs and takes back in the certificates of one organisation."""

    def __init__(self, repository: CertificateRepository, keys: KeyService, organisation: str) -> None:
        self._repository = repository
        self._keys = keys
        self._organisation = organisation

    def get(self, id: UUID) -> Act:
        """An act.

        Raises:
            NotFound: there is none.
        """
        found = self._repository.get(id)
        if found is None:
            raise NotFound("There is no such certificate. `sillage certificate list` shows those that exist.")
        return found

    def newest(self, limit: int = 50, *, activity: str | None = None) -> list[Act]:
        """The newest acts, done or under way; of one entry of the register if it is given."""
        return self._repository.newest(limit, activity=activity)

    def finished(self, act: Act, **counts: int) -> Act:
        """The act as it is when it ends now, with its certificate; it is still to be kept."""
        ended = act._replace(phase=DONE, finished=clock.now(), counts={**act.counts, **counts}, batch=None)
        return ended._replace(document=self._keys.signer.signed(CERTIFICATE, content_of(ended, self._organisation)))

    def taken_in(self, document: bytes) -> Act:
        """The act of a certificate from elsewhere, kept again where it is lost; what it says is still to be done.

        Raises:
            SignatureRefused: it is not a certificate that this organisation signed.
        """
        signed = signing.verified(document, self._keys.signer.public_key)
        if signed.format != CERTIFICATE or signed.content.get("organisation") != self._organisation:
            raise SignatureRefused("The file is no certificate of this organisation.")
        act = act_of(signed.content)._replace(document=document)
        self._repository.add(act)
        return self.get(act.id)


def require_words(word: str, reason: str) -> None:
    """Refuse what cannot stand in a certificate.

    Raises:
        BadRequest: says what is missing or wrong.
    """
    for name, said in (("whose word it is done on", word), ("the reason", reason)):
        if not said.strip() or not said.isprintable() or len(said) > _MAX_LENGTH:
            raise BadRequest(f"Say {name}: one line of {_MAX_LENGTH} characters at most.")
        if _ADDRESS.search(said):
            raise BadRequest("A certificate names no person: leave addresses out, and name a function, not a person.")


def content_of(act: Act, organisation: str) -> dict[str, object]:
    """The content of the certificate of an act that is done; instants in ISO 8601 UTC, to the microsecond."""
    said: dict[str, object] = {
        "organisation": organisation,
        "certificate": str(act.id),
        "kind": act.kind,
        "asked": _moment(act.at),
        "finished": None if act.finished is None else _moment(act.finished),
        "by": act.actor,
        "decided_by": act.word,
        "reason": act.reason,
        "activity": act.activity,
        "source": act.source,
        "to": act.to,
        "on": act.on,
        "statement": None if act.statement is None else str(act.statement),
        "stored_from": None if act.since is None else _moment(_EPOCH + timedelta(microseconds=act.since)),
        "stored_before": None if act.until is None else _moment(_EPOCH + timedelta(microseconds=act.until)),
        "counts": dict(sorted(act.counts.items())),
        "months": list(act.months),
    }
    return {name: value for name, value in said.items() if value is not None}


def act_of(content: Mapping[str, Any]) -> Act:
    """The act that a certificate tells of: ``content_of``, the other way.

    Raises:
        SignatureRefused: it is not of that form.
    """
    try:
        return Act(
            id=UUID(content["certificate"]),
            kind=str(content["kind"]),
            at=_instant(content["asked"]),
            actor=str(content["by"]),
            word=str(content["decided_by"]),
            reason=str(content["reason"]),
            activity=str(content["activity"]),
            source=content.get("source"),
            to=content.get("to"),
            on=content.get("on"),
            statement=UUID(content["statement"]) if "statement" in content else None,
            since=_microseconds(content["stored_from"]) if "stored_from" in content else None,
            until=_microseconds(content["stored_before"]) if "stored_before" in content else None,
            counts={str(name): int(count) for name, count in content["counts"].items()},
            months=tuple(map(str, content["months"])),
            finished=_instant(content["finished"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SignatureRefused("The certificate is not as this version of Sillage writes them.") from None


def under_way(acts: Sequence[Act]) -> list[Act]:
    """Those of these acts that are deletions not at their end."""
    return [act for act in acts if act.phase == DELETING]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _instant(said: object) -> datetime:
    if not isinstance(said, str):
        raise TypeError("no instant")
    return datetime.fromisoformat(said)


def _microseconds(said: object) -> int:
    return (_instant(said) - _EPOCH) // timedelta(microseconds=1)
