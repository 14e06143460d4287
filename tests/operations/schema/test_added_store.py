"""A collection with personal data that its own store declares, with one line of the catalogue: nothing else knows it.

The store is the one of ``docs/how-to-add.md``, as it stands there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.places import ROOT

PAGE = (ROOT / "docs" / "how-to-add.md").read_text()
MIGRATION = '''"""Notes, as docs/how-to-add.md would have them."""

from app.operations.schema.migrations import create
from app.traces import notes_store


def apply(store):
    create(store, notes_store.COLLECTIONS)
'''


def written() -> str:
    (block,) = [each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if 'NAME = "notes"' in each]
    return str(block)


def added(folder: Path, text: str) -> Path:
    """A copy of the product with the store, its line in the catalogue, and a migration."""
    checkout = folder / "checkout"
    checkout.mkdir()
    shutil.copytree(ROOT / "app", checkout / "app", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "schemas").symlink_to(ROOT / "schemas")
    (checkout / "tests").symlink_to(ROOT / "tests")
    schema = checkout / "app" / "operations" / "schema"
    (checkout / "app" / "traces" / "notes_store.py").write_text(text)
    catalogue = schema / "catalogue.py"
    lines = catalogue.read_text()
    line = "    *documents.COLLECTIONS,\n"
    assert line in lines
    lines = lines.replace(line, f"{line}    *notes_store.COLLECTIONS,\n")
    catalogue.write_text(lines.replace("\nCOLLECTIONS", "\nfrom app.traces import notes_store\n\nCOLLECTIONS", 1))
    (schema / "migrations" / "2099_01_01_notes.py").write_text(MIGRATION)
    return checkout


def reported(folder: Path, uri: str, text: str) -> dict[str, Any]:
    """The outcome for notes in that copy."""
    checkout = added(folder, text)
    command = [sys.executable, "-m", "tests.operations.schema.with_notes", str(folder), uri]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_store_of_its_own_is_found_exported_erased_retained_and_not_taken_back(
    tmp_path: Path, mongodb_uri: str
) -> None:
    assert reported(tmp_path, mongodb_uri, written()) == {
        "found": 3,
        "held": True,
        "exported": ["counts well", "long ago", "reads well"],
        "readme": True,
        "page": True,
        "due": [5, 1],
        "retained": 1,
        "after retention": ["counts well", "is quiet", "never sent a statement", "reads well"],
        # At once nothing opens; then it is gone, and the receipt says how much.
        "without the key": [["is quiet", "never sent a statement", "since the backup"], 5],
        "receipt": 2,
        "erased": [["is quiet", "since the backup"], 2],
        # By a statement; of whom no statement tells, by the mark of their key.
        "erased again": 1,
        "restored": [["is quiet"], 1],
    }


@pytest.mark.parametrize("mode", ["IN_FORCE"])
def test_decisions_are_not_taken_back_by_a_restore(tmp_path: Path, mongodb_uri: str, mode: str) -> None:
    text = written().replace("data=_data,", f"data=_data,\n        restored=Restored.{mode},")
    text = text.replace("import Personal\n", "import Personal, Restored\n")
    assert text != written()
    assert reported(tmp_path, mongodb_uri, text)["restored"] == [["is quiet", "since the backup"], 2]
