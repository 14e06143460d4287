"""Notes, of which only their own store and a line of the catalogue know: run by ``test_added_store.py``.

In a process of its own, whose ``app`` is a copy with the store of ``docs/how-to-add.md`` in it. Prints JSON.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import orjson

from app.core import clock
from app.traces.notes_store import NoteRepository
from app.wiring.container import Container
from tests.people.people import named, person, send
from tests.stores import own_settings, with_tutor

DAY_US = 86_400_000_000
BY = "cli:test"


class Notes:
    """Notes of a store."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._notes = NoteRepository(container.platform.store, container.keys.data_subject_cipher)

    def write(self, name: str, text: str, days_old: int = 0) -> None:
        """A note on somebody."""
        self._notes.write(
            self._container.keys.organisation.subject(*person(name).identifiers),
            "tutor",
            clock.now_us() - days_old * DAY_US,
            text,
        )

    def left(self) -> list[str]:
        """The notes that open."""
        self._container.keys.subjects.forget()
        return sorted(self._notes.read())

    def stored(self) -> int:
        """The number stored, whether or not they open."""
        return self._container.platform.store.collection("notes").count_documents({})


def main(folder: Path, uri: str) -> dict[str, Any]:
    """Use it all, and tell what came of it."""
    said: dict[str, Any] = {}
    settings = own_settings(folder, uri)
    with with_tutor(settings, f"sillage_{settings.organisation}") as container:
        settings = container.settings
        container.lifecycle.start()
        notes = Notes(container)
        send(container, named("lea"), named("other"))
        for name, text, age in (
            ("lea", "reads well", 0),
            ("lea", "counts well", 0),
            ("lea", "long ago", 10_000),
            ("other", "is quiet", 0),
            # Of whom nothing else is kept.
            ("alone", "never sent a statement", 0),
        ):
            notes.write(name, text, age)
        said["found"] = container.people.finder.find(person("lea"), actor=BY)["notes"]
        said["held"] = container.people.finder.reach(person("alone")).held

        zipped = ZipFile(io.BytesIO(b"".join(container.people.packages.write(person("lea"), actor=BY))))
        said["exported"] = sorted(item["note"] for item in orjson.loads(zipped.read("notes/notes-00001.json")))
        said["readme"] = "notes/ " in zipped.read("README.en.txt").decode()
        said["page"] = "notes of teachers" in zipped.read("index.en.html").decode()

        (line,) = container.retention.service.report(clock.now_us())
        said["due"] = (line.documents, line.documents_due)
        said["retained"] = container.retention.service.apply(clock.now_us(), dry_run=False).documents
        said["after retention"] = notes.left()

        file = container.operations.backups.create(folder).path
        notes.write("other", "since the backup")
        started = container.people.erasures.erase(person("lea"), actor=BY)
        said["without the key"] = (notes.left(), notes.stored())
        said["receipt"] = container.people.erasures.advance(started.id).counts["notes"]
        container.people.erasures.advance(container.people.erasures.erase(person("alone"), actor=BY).id)
        said["erased"] = (notes.left(), notes.stored())
        # The restore is a command of its own, and nothing serves meanwhile.
        container.close()
        command = Container(settings)
        try:
            said["erased again"] = command.operations.backups.restore(file, replace=True).erased
            said["restored"] = (Notes(command).left(), Notes(command).stored())
        finally:
            command.close()
    return said


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(main(Path(sys.argv[1]), sys.argv[2])))
