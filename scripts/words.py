"""Bring the words of commands into ``app/commands/locales/LANGUAGE.po``: what they show, their help, details of errors.

New ones come without a translation, those that nothing uses any more go. ``scripts/translate`` runs it.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

import click
from babel.messages import pofile
from babel.messages.catalog import Catalog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from app.cli import cli  # noqa: E402
from app.commands.words import CLICK, LOCALES, plain  # noqa: E402
from app.core import errors  # noqa: E402
from app.settings import Settings  # noqa: E402

Message: TypeAlias = "str | tuple[str, str]"
"""A text, or both forms of one that counts."""

SHOWN = ("app/commands", "app/cli")
"""Folders of the code that shows texts."""
NOT_SHOWN = "app/web"
"""A folder whose errors go over HTTP alone."""
MARKS = {"_", "N_"}
SENTENCES = {"kept", "unchangeable"}
"""Members of key providers whose sentences commands show."""
HEADINGS = {"table", "add_column"}
_ERRORS = {kind.__name__ for kind in errors.every()}


def messages() -> set[Message]:
    """Everything that is to be translated."""
    found: set[Message] = set(_help(cli))
    for folder in SHOWN:
        for path in sorted((ROOT / folder).glob("*.py")):
            found |= set(_marked(ast.parse(path.read_text())))
    found |= {spec.metadata["doc"] for spec in fields(Settings)}
    for path in sorted((ROOT / "app").rglob("*.py")):
        if not path.is_relative_to(ROOT / NOT_SHOWN):
            found |= set(_details(ast.parse(path.read_text())))
    for module in CLICK:
        found |= set(_marked(ast.parse(Path(str(module.__file__)).read_text())))
    # A catalogue has one entry for both: whoever asks for the text alone gets that of one.
    return found - {message[0] for message in found if isinstance(message, tuple)}


def _help(command: click.Command) -> Iterator[str]:
    """Help of a command, and of those below it."""
    if command.help:
        yield plain(command.help)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            yield plain(parameter.help)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from _help(child)


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            yield name, node


def _marked(tree: ast.AST) -> Iterator[Message]:
    """Texts that are marked."""
    for name, call in _calls(tree):
        given = [_text(argument) for argument in call.args]
        if name in MARKS and given and given[0]:
            yield given[0]
        elif name == "ngettext" and len(given) > 1 and given[0] and given[1]:
            yield given[0], given[1]
        elif name in HEADINGS:
            yield from (text for text in given if text)
    yield from _counted(tree)


def _counted(tree: ast.AST) -> Iterator[Message]:
    """Nouns that are counted."""
    for name, call in _calls(tree):
        if name == "counted" and len(call.args) > 1:
            one, *many = [_text(argument) for argument in call.args[1:]]
            if one:
                yield one, (many[0] if many and many[0] else f"{one}s")


def _details(tree: ast.Module) -> Iterator[Message]:
    """Details of errors; of one with values, with their places: ``{0}``."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name, call in _calls(tree):
        if name in _ERRORS and call.args:
            yield from _worded(call.args[0], constants)
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef) and node.name in SENTENCES:
            values = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
        elif isinstance(node, ast.Assign) and any(getattr(each, "id", "") in SENTENCES for each in node.targets):
            values = [node.value]
        for value in values:
            for part in value.elts if isinstance(value, ast.Tuple) else [value] if value is not None else []:
                yield from _worded(part, constants)
    yield from _counted(tree)


def _worded(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    if isinstance(node, ast.IfExp):
        yield from _worded(node.body, constants)
        yield from _worded(node.orelse, constants)
        return
    text = _text(node)
    if text is None and isinstance(node, ast.JoinedStr):
        text, place = "", 0
        for part in node.values:
            if isinstance(part, ast.Constant):
                text += str(part.value).replace("{", "{{").replace("}", "}}")
            else:
                text += f"{{{place}}}"
                place += 1
    # What is nothing but values has no words.
    if text and any(char.isalpha() for char in text):
        yield text


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def update(path: Path, wanted: Iterable[Message]) -> None:
    """Bring messages into a catalogue."""
    language = path.stem
    template = Catalog()
    for message in wanted:
        template.add(message)
    with path.open("rb") as file:
        catalogue = pofile.read_po(file, locale=language)
    catalogue.update(template, no_fuzzy_matching=True)
    written = io.BytesIO()
    pofile.write_po(
        written, catalogue, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True
    )
    path.write_bytes(written.getvalue())


def main() -> None:
    """Write the catalogues."""
    wanted = messages()
    for path in sorted(LOCALES.glob("*.po")):
        update(path, wanted)
        print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
