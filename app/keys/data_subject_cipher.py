"""Encryption of governance's records with the data subject's own key: an erasure takes them along, in copies too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.core.clock import RandomBytes
from app.crypto import documents
from app.keys.learners import SubjectKeys


class DataSubjectCipher:
    """Encryption with data subjects' own keys. Safe to share between threads."""

    def __init__(self, subjects: SubjectKeys, organisation: str, random: RandomBytes) -> None:
        self._subjects = subjects
        self._organisation = organisation
        self._random = random

    def known(self, subjects: Iterable[bytes]) -> set[bytes]:
        """Those of these subjects who have a key."""
        return set(self._subjects.existing(subjects))

    def encrypt(self, place: str, values: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Encrypt a value for each subject, for one place; a subject who has no key gets one."""
        keys = self._subjects.ensured(values)
        return {
            subject: documents.encrypt(keys[subject], self._organisation, _bound(place, subject), value, self._random)
            for subject, value in values.items()
        }

    def decrypt(self, place: str, sealed: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Undo ``encrypt``; what was sealed with a key that was destroyed is left out."""
        keys = self._subjects.existing(sealed)
        opened = {
            subject: documents.decrypt(keys[subject], self._organisation, _bound(place, subject), value)
            for subject, value in sealed.items()
            if subject in keys
        }
        return {subject: value for subject, value in opened.items() if value is not None}

    def encrypt_for_all(self, place: str, subjects: Sequence[bytes], value: bytes) -> bytes:
        """Encrypt a value so that it opens only while each of these subjects has the key that they have now, or get."""
        keys = self._subjects.ensured(subjects)
        return documents.encrypt_layers(keys, self._organisation, _layers(place, subjects), value, self._random)

    def encrypt_for_known(self, place: str, subjects: Sequence[bytes], value: bytes) -> bytes | None:
        """``encrypt_for_all`` for subjects who have keys; None when one has none: none is made."""
        keys = self._subjects.existing(subjects)
        if not keys.keys() >= set(subjects):
            return None
        return documents.encrypt_layers(keys, self._organisation, _layers(place, subjects), value, self._random)

    def decrypt_for_all(self, place: str, subjects: Sequence[bytes], sealed: bytes) -> bytes | None:
        """Undo ``encrypt_for_all``; None when a key was destroyed."""
        keys = self._subjects.existing(subjects)
        return documents.decrypt_layers(keys, self._organisation, _layers(place, subjects), sealed)


def _bound(place: str, subject: bytes) -> str:
    return documents.data_subject_layer(place, subject).place


def _layers(place: str, subjects: Sequence[bytes]) -> list[documents.Layer]:
    return [documents.data_subject_layer(place, subject) for subject in subjects]
