"""The pages for data protection officers: both languages, what they name exists, nothing claimed beyond support."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import cli
from app.settings import Settings
from app.wiring.container import Container
from tests.places import ROOT
from tests.stores import with_tutor

FOLDER = ROOT / "docs" / "dpo"
NAMES = sorted(path.name for path in (FOLDER / "en").glob("*.md"))
PAGES = [FOLDER / language / name for language in ("en", "fr") for name in NAMES]


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        yield made


def named(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def in_blocks(text: str) -> Iterator[str]:
    """The commands of the code blocks, those in lists too, one for each line that begins with one."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        joined = block.replace("\\\n", " ").replace(" > ", " # ")
        yield from (line for each in joined.splitlines() if (line := each.strip()).startswith("sillage "))


def found(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and its own words."""
    command: click.Command = cli
    while words and isinstance(command, click.Group) and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_each_page_is_there_in_both_languages() -> None:
    assert NAMES
    assert sorted(path.name for path in (FOLDER / "fr").glob("*.md")) == NAMES
    for path in PAGES:
        other = "fr" if path.parent.name == "en" else "en"
        assert f"](../{other}/{path.name})" in path.read_text(), path


def test_the_index_leads_to_each_page() -> None:
    for language in ("en", "fr"):
        index = (FOLDER / language / "README.md").read_text()
        assert all(f"]({name})" in index for name in NAMES if name != "README.md")
        assert f"](dpo/{language}/README.md)" in (ROOT / "docs" / "README.md").read_text()


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_commands_shown_are_understood(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in in_blocks(path.read_text()):
        words = shlex.split(line, comments=True)[1:]
        for word in words:
            if word.endswith((".json", ".csv", ".pem")) and not word.startswith("/"):
                (tmp_path / word).write_text("{}")
        command, given = found(words)
        assert not isinstance(command, click.Group), line
        # Parsed, and not run.
        command.make_context(line, list(given))


def test_after_a_leak_the_copy_that_is_kept_is_made_when_the_old_version_is_gone() -> None:
    for language in ("en", "fr"):
        text = (FOLDER / language / "breach.md").read_text()
        lines = list(in_blocks(text))
        assert lines.index("sillage keys retire 1") < lines.index("sillage keys backup keys-after-leak")
        assert "rm keys-provisional" in text[text.index("sillage keys backup keys-after-leak") :]


def test_after_a_leak_what_asks_stands_alone_in_its_block() -> None:
    for language in ("en", "fr"):
        blocks = re.findall(
            r"^```sh\n(.*?)^```", (FOLDER / language / "breach.md").read_text(), re.MULTILINE | re.DOTALL
        )
        for block in blocks:
            # What is pasted after a question would be its answer.
            asking = [
                line for line in block.splitlines() if line.startswith(("sillage keys backup", "sillage keys ret"))
            ]
            assert not asking or block.count("\n") == 1, block


def test_the_blank_form_of_the_register_lacks_nothing_but_words(container: Container) -> None:
    for language in ("en", "fr"):
        text = (FOLDER / language / "register-and-retention.md").read_text()
        (form,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert container.governance.register.draft(form.encode()).id == "p2ia"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_commands_named_exist_with_their_options(path: Path) -> None:
    for quoted in re.findall(r"`sillage ([a-z][^`]*)`", path.read_text()):
        command, given = found(quoted.split())
        assert not isinstance(command, click.Group), quoted
        options = {name for param in command.params for name in param.opts}
        assert {word for word in given if word.startswith("--")} <= options, quoted


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_routes_named_are_those_of_the_api(path: Path) -> None:
    # Another test holds that page to the routes that there are.
    text = re.sub(r"<[^>\s]+>", "ID", (ROOT / "docs" / "api.md").read_text())
    documented = set(re.findall(r"/api/v1/[A-Za-z/-]+", text))
    for route in re.findall(r"`(?:GET|POST) (/api/v1/[A-Za-z/-]+)`", path.read_text()):
        assert route in documented, route


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_show_the_same(name: str) -> None:
    english, french = ((FOLDER / language / name).read_text() for language in ("en", "fr"))

    def shown(text: str) -> list[list[str]]:
        # Notes are in the language of the page.
        return [[word for word in shlex.split(line, comments=True) if " " not in word] for line in in_blocks(text)]

    assert [[w for w in line if "confirm" not in w] for line in shown(english)] == [
        [w for w in line if "confirm" not in w] for line in shown(french)
    ]
    routes = re.compile(r"(?:GET|POST) /api/v1/[A-Za-z/-]+")
    assert routes.findall(english) == routes.findall(french)
    assert english.count("\n## ") == french.count("\n## ")


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_nothing_is_claimed_beyond_support(path: Path) -> None:
    text = path.read_text().lower()
    for claim in (
        "gdpr compliant",
        "gdpr-compliant",
        "is compliant",
        "conforme au rgpd",
        "garantit la conformité",
        "guarantees",
    ):
        assert claim not in text
