"""Output of commands: text, whatever is in it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from rich.text import Text

from app.access import scopes
from app.cli import cli
from app.commands.screen import out, table
from tests.served import ACTIVITY, Server

ODD = "Tool [/b] [red]x[/] :smile: \\[ 0 8-18/2 * * [1-5]"


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("name", "styled", title=ODD)
    rows.add_row(ODD, Text("3", style="red"))
    console = out()
    console.print(rows)
    console.print(f"Source {ODD}")
    shown = capsys.readouterr().out
    assert shown.count(ODD) == 3
    assert "styled" in shown and "3" in shown


def test_text_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("name")
    rows.add_row("a\x1b[2Jb\x07\x9b31m")
    out().print(rows)
    out().print("a\x1b[2Jb")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\x9b" not in shown
    assert shown.count("a\N{REPLACEMENT CHARACTER}[2Jb") == 2


def test_odd_names_of_sources_are_listed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.container.operations.sources.add(
        "odd-name",
        name=ODD,
        activity=ACTIVITY["id"],
        profiles=(),
        mode="observe",
        scopes=scopes.SOURCE_DEFAULT,
        actor="cli:test",
    )
    settings = server.settings
    for name, value in (
        ("DATA_DIR", settings.data_dir),
        ("MONGODB_URI", settings.mongodb_uri),
        ("ORGANISATION", settings.organisation),
    ):
        monkeypatch.setenv(f"SILLAGE_{name}", str(value))
    listed = CliRunner().invoke(cli, ["source", "list"])
    assert listed.exit_code == 0, listed.exception
    assert ODD in listed.output
