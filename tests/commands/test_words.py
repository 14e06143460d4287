"""Commands in French: every text is there, and shown where the locale is French; codes, JSON and options stay."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from app.cli import cli
from app.commands import words
from app.commands.words import LOCALES, language_of
from app.core import errors
from app.core.errors import LeaseHeld, NotFound
from tests.catalogues import OTHERS, require_complete, require_french_typography, require_placeholders
from tests.places import ROOT


@pytest.fixture(scope="module")
def gatherer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sillage_words", ROOT / "scripts" / "words.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def french() -> Iterator[None]:
    words.speak("fr")
    yield
    words.speak("en")


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_and_none_is_left_over(code: str, gatherer: ModuleType) -> None:
    require_complete(LOCALES, code, gatherer.messages())


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_placeholders_of_its_message(code: str) -> None:
    require_placeholders(LOCALES, code)


def test_french_has_its_spaces_and_apostrophes() -> None:
    require_french_typography(LOCALES)


# --- what is shown is marked ------------------------------------------------------------------------

SHOWING = {
    "TextColumn",
    "print",
    "echo",
    "UsageError",
    "BadParameter",
    "fail",
    "confirm",
    "prompt",
    "status",
    "add_task",
    "_progress",
}


def unmarked(path: Path) -> list[str]:
    """Texts that a module hands to what shows them, without a mark."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for given in node.args if name in SHOWING else ():
            for part in [given.body, given.orelse] if isinstance(given, ast.IfExp) else [given]:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    text = part.value
                elif isinstance(part, ast.JoinedStr):
                    text = "".join(str(each.value) for each in part.values if isinstance(each, ast.Constant))
                else:
                    continue
                # What stands in braces there is a field of a progress bar.
                if re.search(r"[A-Za-z]{2}", re.sub(r"\{[^}]*\}", "", text)) and not text.startswith("["):
                    found.append(f"{path.name}:{part.lineno}: {text}")
    return found


@pytest.mark.parametrize("folder", ["app/commands", "app/cli"])
def test_no_text_is_shown_without_a_mark(folder: str) -> None:
    found = [each for path in sorted((ROOT / folder).glob("*.py")) for each in unmarked(path)]
    assert not found, found


# --- the language of a locale -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "fr"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr"}, "fr"),
        ({"LANG": "fr_CA@euro"}, "fr"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": ""}, "fr"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "it:fr_FR:en"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": "en"}, "en"),
    ],
)
def test_the_language_is_that_of_the_locale(environ: dict[str, str], language: str) -> None:
    assert language_of(environ) == language


def sillage(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    given = {**kept, "SILLAGE_DATA_DIR": str(folder), "COLUMNS": "200", "PYTHONIOENCODING": "utf-8", **environ}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], env=given, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_a_french_locale_has_help_errors_and_questions_in_french(tmp_path: Path) -> None:
    shown = sillage("request", "--help", folder=tmp_path, LANG="fr_FR.UTF-8").stdout
    assert "Usage\u00a0: " in shown and "Demandes d’exercice de droits" in shown and "Commandes\u00a0:" in shown
    # Names of commands, options and their values are typed, in every language.
    assert "identify" in shown and "--help" in shown
    wrong = sillage("request", "open", "nonsense", folder=tmp_path, LC_ALL="fr_FR.UTF-8")
    assert wrong.returncode == 2 and "Valeur refusée pour" in wrong.stderr
    refused = sillage("settings", folder=tmp_path, LC_ALL="fr_FR.UTF-8", SILLAGE_WROKERS="2")
    assert refused.returncode == 2
    assert "Réglages refusés" in refused.stderr and "Réglage inconnu\u00a0: SILLAGE_WROKERS." in refused.stderr
    assert "(settings-invalid)" in refused.stderr and "Settings refused" not in refused.stderr


def test_tables_and_lines_are_in_french_with_its_spaces(tmp_path: Path) -> None:
    shown = sillage("settings", folder=tmp_path, LC_ALL="fr_FR.UTF-8", COLUMNS="400").stdout
    assert "Réglage" in shown and "environnement" in shown and "par défaut" in shown
    assert "Vide\u00a0: aucun courriel n’est envoyé." in shown
    # What is not printable is replaced; these spaces are not for Python.
    assert "\N{REPLACEMENT CHARACTER}" not in shown


def test_any_other_locale_has_them_in_english(tmp_path: Path) -> None:
    refused = sillage("settings", folder=tmp_path, LC_ALL="de_DE.UTF-8", SILLAGE_WROKERS="2")
    assert "Settings refused" in refused.stderr and "Réglages" not in refused.stderr
    assert "Usage: " in sillage("request", "--help", folder=tmp_path, LC_ALL="C.UTF-8").stdout


def test_pages_made_from_the_code_are_english_whatever_the_locale(tmp_path: Path) -> None:
    given = {**os.environ, "LC_ALL": "fr_FR.UTF-8", "LANGUAGE": "fr", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "scripts/docs.py", "--check"], env=given, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


# --- texts with values ------------------------------------------------------------------------------


@pytest.mark.usefixtures("french")
def test_numbers_and_nouns_agree_in_french() -> None:
    assert words.counted(1, "statement") == "1\u00a0énoncé"
    assert words._("request") == "demande"
    assert words.counted(0, "statement") == "0\u00a0énoncé"
    assert words.counted(12_345, "statement") == "12\u202f345\u00a0énoncés"
    assert words.counted(2_000_000, "entry", "entries") == "2\u202f000\u202f000\u00a0entrées"
    assert words._("Version {version} is active; version {before} is decrypt-only.", version=2, before=1).startswith(
        "La version 2 est active"
    )


def test_numbers_and_nouns_agree_in_english() -> None:
    assert words.counted(1, "statement") == "1 statement"
    assert words.counted(12_345, "entry", "entries") == "12,345 entries"


@pytest.mark.usefixtures("french")
def test_details_of_errors_are_told_in_french_with_their_values() -> None:
    assert words.title(NotFound()) == NotFound.title_fr
    told = words.detail("The lease is held by host:1:ab. Stop that scheduler, or wait for the job's time.")
    assert told == "Le bail est détenu par host:1:ab. Arrêtez cet ordonnanceur, ou attendez l’heure de la tâche."
    told = words.detail("1,204 chains not whole, left as found. Run `sillage audit verify`.")
    assert "tel quel\u00a0: 1\u202f204\u00a0chaînes." in told
    # A value is never taken for a text with values of its own.
    assert words.detail("No job has that name. There are: a{0}b.").endswith("Il y a\u00a0: a{0}b.")
    assert re.fullmatch(words._pattern("Write {{a}}."), "Write {a}.")
    # One that nobody has foreseen is shown as it is.
    assert words.detail("Something new happened to {1} of them.") == "Something new happened to {1} of them."
    assert words.title(LeaseHeld) == LeaseHeld.title_fr


def test_details_stay_as_they_are_in_english() -> None:
    assert words.detail("The file cannot be read.") == "The file cannot be read."
    assert all(words.title(kind) == kind.title for kind in errors.every())


@pytest.mark.usefixtures("french")
def test_every_command_explains_itself_in_french(gatherer: ModuleType) -> None:
    def told(command: click.Command) -> Iterator[str]:
        yield words.plain(command.help)
        if isinstance(command, click.Group):
            for child in command.commands.values():
                yield from told(child)

    for text in told(cli):
        assert words._(text) != text, text
