"""Every kind of file that the product writes is declared, with what it holds of persons."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from app.core.personal_data import DeclaredFile
from app.files import FILES
from app.wiring.container import Container
from tests.people.people import container, named, person, send
from tests.places import ROOT

__all__ = ("container",)

# Modules that open something for writing which is no file of the product's.
OTHERS = {
    "app.core.atomic_file": "writes what others name",
    "app.platform.jobs.scheduler": "a file of /proc",
    "app.cli": "the null device",
    "app.operations.backup.service": "what backup_file declares",
    "app.people.access_package.export_zip": "members of an archive in memory",
}
# Modes of ``open``, of a path's and of ``click.File``: text or binary, made, replaced, added to or changed.
_WRITING = re.compile(r"'(?:[wxa][bt]?\+?[bt]?|r[bt]?\+[bt]?)'")


def writing(module: Path) -> bool:
    """True if a module opens a file for writing."""
    return any(map(_writes, ast.walk(ast.parse(module.read_text()))))


def _writes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    words = [ast.unparse(each) for each in (*node.args, *(one.value for one in node.keywords))]
    if called == "new_file" or called.endswith((".write_bytes", ".write_text")) or called.startswith("tempfile."):
        return True
    if called == "os.open":
        return not any("O_RDONLY" in each for each in words)
    return called.rpartition(".")[2] in {"open", "File"} and any(map(_WRITING.fullmatch, words))


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "app").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, path


@pytest.mark.parametrize(
    "text",
    [
        "new_file(path)",
        "path.write_text('lea')",
        "tempfile.mkdtemp()",
        "os.open(path, os.O_WRONLY)",
        *("open(path, 'w')", "path.open('a')", "path.open(mode='xb')", "gzip.open(path, 'wt')", "open(path, 'r+')"),
        "click.File('w')",
    ],
)
def test_whatever_writes_is_seen(tmp_path: Path, text: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(text)
    assert writing(module)


@pytest.mark.parametrize(
    "text", ["path.open()", "path.open('rb')", "store.open('a name')", "os.open(path, os.O_RDONLY)"]
)
def test_what_reads_does_not_write(tmp_path: Path, text: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(text)
    assert not writing(module)


def test_each_module_that_writes_a_file_declares_it() -> None:
    found = {name for name, path in modules() if writing(path)}
    assert found >= OTHERS.keys()
    declared = {name: _declared(name) for name in found - OTHERS.keys()}
    assert not [name for name, files in declared.items() if not files], "declares none"
    assert not [name for name, files in declared.items() if not {*files} <= {*FILES}], "not gathered in app/files.py"


def _declared(name: str) -> tuple[DeclaredFile, ...]:
    # The embedded server's files are those of its supervisor, which runs without the rest of the product.
    near = {"app.platform.mongo.embedded.supervisor": "app.platform.mongo.embedded.server"}
    files: tuple[DeclaredFile, ...] = getattr(importlib.import_module(near.get(name, name)), "FILES", ())
    return files


@pytest.mark.parametrize("declared", FILES, ids=lambda declared: f"{declared.folder}/{declared.pattern}")
def test_each_says_all(declared: DeclaredFile) -> None:
    assert declared.pattern and declared.folder
    assert all(text.strip() for text in declared.holds)


def undeclared(folder: Path, *settings: str) -> set[str]:
    """The files below a folder that no declaration of these settings is of."""
    known = [each.pattern for each in FILES if each.folder in settings]
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_socket()}
    return {name for name in files if not any(fnmatch(name, pattern) for pattern in known)}


def test_what_is_written_to_the_data_folder_is_declared(container: Container, tmp_path: Path) -> None:
    send(container, named("lea"), named("other"))
    container.research.aggregates.run()
    container.research.exports.run(actor="cli:test", progress=lambda *_: None)
    container.people.erasures.advance(container.people.erasures.erase(person("lea"), actor="cli:test").id)
    container.operations.key_service.rotate()
    data, beside = container.settings.data_dir, tmp_path / "checkpoints"
    beside.mkdir()
    container.governance.checkpoints.write(beside, entries=True)
    written = {path.name for path in data.iterdir()}
    assert written >= {"keys.json", "tombstones.jsonl", "exports"}
    ours = ("SILLAGE_DATA_DIR", "SILLAGE_KEY_FILE", "SILLAGE_TOMBSTONES_FILE")
    assert not undeclared(data, *ours)
    assert not undeclared(beside, "SILLAGE_AUDIT_CHECKPOINT_DIR")
    # One that nobody declared.
    (data / "people.csv").write_text("lea")
    assert undeclared(data, *ours) == {"people.csv"}
