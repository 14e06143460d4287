"""``sillage aggregate`` and ``sillage export``, on real services."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from app.commands import research
from app.core.errors import NotFound, OperatorError
from app.crypto.keys import OrganisationKeys
from app.governance.register.purposes import Purpose
from app.platform.mongo.connection import Store
from app.research.aggregates import Aggregates
from app.research.export import Exports
from app.research.store import AggregateRepository
from app.settings import Settings
from tests.research.statements import MadeUpReader, class_of
from tests.sinks import Everybody, Sink


class Container:
    """The services that the commands ask for."""

    def __init__(self, store: Store, vault: OrganisationKeys, settings: Settings) -> None:
        self.governance = SimpleNamespace(purpose=Purpose(("evaluation",), required=False))
        reader = MadeUpReader()
        reader.store(*class_of(12), *class_of(5, 100, school="0752524L"))
        aggregates = Aggregates(AggregateRepository(store, vault), reader, vault, settings, Everybody())  # type: ignore[arg-type]
        self.settings = settings
        self.audited: list[dict[str, Any]] = []
        self.people = SimpleNamespace(counting=aggregates)
        self.research = SimpleNamespace(
            aggregates=aggregates, exports=Exports(aggregates, Sink(self.audit), settings, "0.1.0")
        )

    def audit(self, kind: str, actor: str, detail: Mapping[str, object]) -> None:
        """Keep what is said in the log."""
        self.audited.append(dict(detail))


@pytest.fixture
def container(store: Store, vault: OrganisationKeys, settings: Settings) -> Container:
    return Container(store, vault, settings)


def run(container: Container, command: str, *arguments: str) -> str:
    commands = {item.name: item for item in research.COMMANDS}
    result = CliRunner().invoke(commands[command], arguments, obj=container, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_run_status_and_list(container: Container) -> None:
    assert "never run" in run(container, "aggregate", "status")
    assert "17 statements counted" in run(container, "aggregate", "run")
    assert "0 statements counted" in run(container, "aggregate", "run")
    assert "never run" not in run(container, "aggregate", "status")
    assert "ent_usage@1" in run(container, "aggregate", "list")


def test_export_writes_where_told(container: Container, tmp_path: Path) -> None:
    run(container, "aggregate", "run")
    reported = ("--aggregate", "daily_activity", "--from", "2026-11-01", "--out", str(tmp_path / "out"))
    output = run(container, "export", *reported)
    (package,) = (tmp_path / "out").iterdir()
    assert package.name.startswith("daily_activity-v2-2026-11-01-end-")
    assert (package / "data" / "daily_activity.parquet").is_file()
    assert "of these, 2 are hidden" in output
    assert "was there already" in run(container, "export", *reported)


def test_export_before_the_first_run_says_what_to_do(container: Container) -> None:
    with pytest.raises(NotFound, match="aggregate run"):
        run(container, "export")


def test_an_export_says_for_whom_it_is(container: Container, tmp_path: Path) -> None:
    run(container, "aggregate", "run")
    reported = ("--recipient", "Inspection  générale", "--recipient", "DEPP")
    for place, (options, recipients) in enumerate(
        (((), [container.settings.organisation]), (reported, ["DEPP", "Inspection générale"])), 1
    ):
        run(container, "export", "--out", str(tmp_path), *options)
        # Another package: what is in one tells for whom it is.
        assert len(list(tmp_path.iterdir())) == place
        folder = max(tmp_path.iterdir(), key=lambda each: each.stat().st_ctime_ns)
        stamp = json.loads((folder / "datapackage.json").read_bytes())["source_stamp"]
        assert stamp["recipients"] == recipients
        assert ", ".join(recipients) in (folder / "codebook.md").read_text()
    assert [detail["recipients"] for detail in container.audited] == [
        [container.settings.organisation],
        ["DEPP", "Inspection générale"],
    ]
    assert "was there already" in run(
        container, "export", "--out", str(tmp_path), "--recipient", "DEPP", "--recipient", "Inspection générale"
    )


@pytest.mark.parametrize("recipient", ["", "  ", "x" * 201])
def test_a_recipient_is_a_short_text(container: Container, recipient: str) -> None:
    run(container, "aggregate", "run")
    with pytest.raises(OperatorError):
        run(container, "export", "--recipient", recipient)
