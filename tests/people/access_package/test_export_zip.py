"""A zip written as it is read, as the standard library and its digests read it back."""

from __future__ import annotations

import hashlib
import io
import os
from datetime import UTC, datetime
from zipfile import ZipFile

from hypothesis import given, settings
from hypothesis import strategies as some

from app.people.access_package.export_zip import ZipStream

MOMENT = datetime(2026, 11, 25, 8, 0, 2, tzinfo=UTC)


@settings(max_examples=30, deadline=None)
@given(some.lists(some.tuples(some.booleans(), some.lists(some.binary(max_size=5_000), max_size=4)), max_size=6))
def test_what_is_written_is_read_back(files: list[tuple[bool, list[bytes]]]) -> None:
    target = ZipStream(MOMENT)
    pieces = b""
    for number, (packed, chunks) in enumerate(files):
        with target.open(f"folder/{number}.bin", packed=packed) as entry:
            for chunk in chunks:
                entry.write(chunk)
                pieces += target.taken()
    pieces += target.finish()
    with ZipFile(io.BytesIO(pieces)) as read:
        assert read.testzip() is None
        assert read.namelist() == [file.path for file in target.files]
        for (_, chunks), file in zip(files, target.files, strict=True):
            content = read.read(file.path)
            assert content == b"".join(chunks)
            assert (file.length, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
            assert read.getinfo(file.path).date_time == (2026, 11, 25, 8, 0, 2)


def test_what_was_taken_is_not_kept() -> None:
    target = ZipStream(MOMENT)
    with target.open("large.bin", packed=False) as entry:
        for _ in range(50):
            entry.write(os.urandom(100_000))
            assert len(target.taken()) < 300_000
    assert len(target.taken() + target.finish()) < 10_000
