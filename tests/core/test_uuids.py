"""UUIDs from their bytes are those of the standard library."""

from __future__ import annotations

import pickle
from uuid import UUID

import pytest
from bson import decode, encode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from app.core.uuids import uuid_of

_STANDARD: CodecOptions[dict[str, UUID]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


@pytest.mark.parametrize(
    "content", [bytes(16), b"\xff" * 16, UUID("9f3c1d0a-7b5e-4c21-8a44-d2e6f1b09c37").bytes, bytes(range(16))]
)
def test_it_is_the_same_as_the_library_makes(content: bytes) -> None:
    made, known = uuid_of(content), UUID(bytes=content)
    assert (made, hash(made), str(made), made.bytes, made.is_safe) == (
        known,
        hash(known),
        str(known),
        content,
        known.is_safe,
    )
    assert pickle.loads(pickle.dumps(made)) == known
    assert decode(encode({"id": made}, codec_options=_STANDARD), _STANDARD) == {"id": known}
