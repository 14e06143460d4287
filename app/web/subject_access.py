"""Subject access exports as answers: streamed, a few at a time, since each takes a thread for as long as it is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from flask import Response

from app.core.errors import Overloaded

AT_ONCE: Final = 2


class ExportAnswers:
    """Answers with exports. Safe to share between threads."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def of(self, begin: Callable[[], Iterator[bytes]], filename: str = "access.zip") -> Response:
        """The answer that is the zip which ``begin`` begins to write.

        Raises:
            Overloaded: as many as there may be are written.
        """
        if not self._places.acquire(blocking=False):
            raise Overloaded("This server writes as many packages as it can. Ask again in a while.", retry_after=30)
        try:
            pieces = begin()
            # What goes wrong before the first piece is an answer; later, the connection is cut.
            first = next(pieces)
        except BaseException:
            self._places.release()
            raise
        answer = Response(_rest(first, pieces), content_type="application/zip")
        answer.call_on_close(self._places.release)
        answer.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def _rest(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    # An empty piece would end an answer in chunks.
    return filter(None, chain((first,), pieces))
