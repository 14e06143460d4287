"""Frames of attachments: what is sealed opens, whole and in its order only."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import DecryptionFailed
from app.crypto.attachments import FRAME_BYTES, FrameEncryptor, decrypted, new_key, unwrapped

KEY, ID = AESGCM(bytes(32)), b"i" * 16


def _frames(*chunks: bytes, attachment: bytes = ID) -> list[bytes]:
    encryptor = FrameEncryptor(KEY, "org", attachment, os.urandom)
    frames = [frame for chunk in chunks for frame in encryptor.feed(chunk)]
    return [*frames, encryptor.finish()]


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(0, 2), st.integers(-1, 1))
def test_what_is_sealed_opens(chunks: list[bytes], frames: int, more: int) -> None:
    chunks = [*chunks, bytes(max(0, frames * FRAME_BYTES + more))]
    sealed = _frames(*chunks)
    assert all(len(frame) <= FRAME_BYTES + 28 for frame in sealed)
    assert b"".join(decrypted(KEY, "org", ID, sealed)) == b"".join(chunks)


def test_frames_cannot_be_exchanged_left_out_repeated_or_cut_off() -> None:
    one, two, three = _frames(bytes(2 * FRAME_BYTES + 1))
    stranger = _frames(bytes(2 * FRAME_BYTES + 1), attachment=b"j" * 16)
    damaged = three[:-1] + bytes([three[-1] ^ 1])
    for wrong in (
        [],
        [two, one, three],
        [one, three],
        [one, two],
        [one, one, two, three],
        [stranger[0], two, three],
        [one, two, damaged],
    ):
        with pytest.raises(DecryptionFailed):
            list(decrypted(KEY, "org", ID, wrong))


def test_every_learner_opens_what_was_sealed_once_and_nobody_else_does() -> None:
    learners = {bytes([each]) * 16: AESGCM(bytes([each]) * 32) for each in (1, 2)}
    key, wrapped = new_key(learners, "org", ID, os.urandom)
    encryptor = FrameEncryptor(key, "org", ID, os.urandom)
    frames = [*encryptor.feed(b"data"), encryptor.finish()]
    assert wrapped.keys() == learners.keys()
    for subject, learner in learners.items():
        assert b"".join(decrypted(unwrapped(learner, "org", ID, wrapped[subject]), "org", ID, frames)) == b"data"
    first, second = learners
    for learner, organisation, place, one in (
        (KEY, "org", ID, wrapped[first]),
        (learners[first], "org", ID, wrapped[second]),
        (learners[first], "other", ID, wrapped[first]),
        (learners[first], "org", b"j" * 16, wrapped[first]),
        (learners[first], "org", ID, wrapped[first][:20]),
    ):
        with pytest.raises(DecryptionFailed):
            unwrapped(learner, organisation, place, one)
