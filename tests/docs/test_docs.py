"""The pages in ``docs/`` say what the code says."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import click
import pytest
from werkzeug.routing import Rule

from app.access import scopes
from app.cli import cli
from app.core import contracts, errors
from app.governance.audit.log import KINDS
from app.operations.schema.catalogue import COLLECTIONS
from app.research.definitions import load_all
from app.settings import Settings, env_name
from app.settings import load as load_settings
from app.standards.profiles.document import load as load_profile
from app.standards.profiles.terms import CONTEXT_EXTENSIONS, RESULT_EXTENSIONS
from app.web import standing
from app.web.operations import Metrics
from app.web.portal.frame import NAME as PORTAL
from app.web.xapi import headers
from app.wiring.container import Container
from app.wiring.web_application import create_app
from tests.places import ROOT
from tests.served import Server

DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("*.md"))
STATUS = re.compile(r"Date: 20\d\d-\d\d-\d\d\. Status: (accepted|superseded)(, amended)?( by \[\d{4}\].*)?[.:]")
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md"))]


def page(name: str) -> str:
    return (DOCS / name).read_text()


def rows(text: str) -> set[str]:
    """The texts between backticks in the first cell of a table's rows."""
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sillage_docs", ROOT / "scripts" / "docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_written_pages_are_up_to_date(generator: ModuleType) -> None:
    for name, text in generator.pages().items():
        assert text == page(name), f"{name}: run scripts/docs"


def test_no_page_of_a_template_is_left_behind(generator: ModuleType) -> None:
    assert {str(path.relative_to(DOCS)) for path in (DOCS / "profiles").rglob("*.md")} == set(generator.profile_pages())


def test_every_setting_and_no_other_is_named() -> None:
    wanted = {env_name(spec.name) for spec in fields(Settings)}
    assert {name for name in rows(page("settings.md")) if " " not in name} >= wanted
    for path in PAGES:
        unknown = set(re.findall(r"SILLAGE_[A-Z_]*[A-Z]", path.read_text())) - wanted
        assert not unknown, path


def test_every_error_is_named_with_its_titles() -> None:
    text = page("errors.md")
    kinds = list(errors.every())
    assert rows(text) == {kind.code for kind in kinds}
    assert all(kind.title in text and kind.title_fr in text for kind in kinds)


def commands(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, path if name == getattr(command, "default", None) else f"{path} {name}")
    else:
        yield path


def test_every_command_and_no_other_is_named() -> None:
    known = set(commands(cli, "sillage"))
    assert set(re.findall(r"^## `(.+)`$", page("commands.md"), re.MULTILINE)) == known
    for path in PAGES:
        for quoted in re.findall(r"`(sillage [a-z][^`]*)`", path.read_text()):
            words = quoted.split()
            assert {" ".join(words[:2]), " ".join(words[:3])} & known, f"{path}: {quoted}"


def test_every_collection_and_index_is_named() -> None:
    sections: dict[str, str] = {}
    for section in page("data-model.md").split("\n## ")[1:]:
        for name in section.partition("\n")[0].split(", "):
            sections[name] = section
    for collection in COLLECTIONS:
        for index in collection.indexes:
            keys = ", ".join(f"`{key}`" + (" descending" if way < 0 else "") for key, way in index.keys)
            wanted = f"`{index.name}` ({keys})"
            # Line breaks are the page's own affair; a single unique key is said as such.
            text = " ".join(sections[collection.name].split())
            assert wanted in text or f"`{index.name}` (unique)" in text, f"{collection.name}.{index.name}"
        assert collection.name in sections
    assert "migrations" in sections


def test_every_kind_of_audit_entry_is_named() -> None:
    section = page("data-model.md").partition("## audit")[2].partition("\n## ")[0]
    table = section.partition("| kind | written when |")[2]
    first_cells = " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z-]+)`", first_cells)) == KINDS


def metrics_shown() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels of each metric, by its name on the page."""
    shown = Metrics("0").exposition().decode()
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        name: (kind, ())
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", shown, re.MULTILINE)
        if not name.endswith("_created")
    }
    for reported in (*standing.HERE, *standing.STORED):
        found[reported.name + "_total" * reported.counts] = ("counter" if reported.counts else "gauge", reported.labels)
    return found


def test_every_metric_is_named_with_its_type_and_labels() -> None:
    section = page("operations.md").partition("## Metrics")[2].partition("\n## ")[0]
    known = metrics_shown()
    assert rows(section) == set(known)
    for name, (kind, labels) in known.items():
        line = re.search(rf"^\| `{name}` \| ([^|]+) \|", section, re.MULTILINE)
        assert line is not None and line[1].startswith(kind), name
        assert all(f"`{label}`" in line[1] for label in labels), name


def test_every_metric_declared_is_told_or_known_to_be_unknown() -> None:
    declared = {value for value in vars(standing).values() if isinstance(value, standing.MetricDefinition)}
    assert declared == {*standing.HERE, *standing.STORED}


def test_alerts_are_on_metrics_labels_and_jobs_that_exist(tmp_path: Path) -> None:
    section = page("operations.md").partition("### What to alert on\n\n")[2].partition("\n\n")[0]
    table = section.splitlines()[2:]
    assert table
    known = metrics_shown()
    jobs = {job.name for job in Container(load_settings({"SILLAGE_DATA_DIR": str(tmp_path)})).jobs}
    named = set()
    for line in table:
        _, _, expression, then, _ = line.split("|")
        named |= set(re.findall(r"sillage_[a-z_]+", expression))
        assert set(re.findall(r"job `([a-z-]+)`", then)) <= jobs, line
    assert named <= set(known)
    # What nobody is woken up for is for the dashboard; what tells that something is overdue is not left out.
    assert {name for name in known if re.search("_overdue|_late|_up$|_leads|_last_success|_offset|failures", name)} - {
        "sillage_job_last_success_timestamp_seconds"
    } <= named


def test_every_scope_and_role_is_named() -> None:
    table = page("api.md").partition("## Authentication and scopes")[2].partition("\n## ")[0]
    for name in (*scopes.EVERY, *scopes.ROLES):
        assert f"`{name}`" in table, name


@pytest.fixture(scope="module")
def served(server: Server) -> list[Rule]:
    """The routes of a whole service."""
    app = create_app(server.settings)
    try:
        return list(app.url_map.iter_rules())
    finally:
        app.extensions["sillage"].close()


def test_every_route_is_named(served: list[Rule]) -> None:
    text = page("api.md")
    for rule in served:
        if not rule.endpoint.startswith(f"{PORTAL}."):
            assert re.search(rf"{re.escape(rule.rule)}[`?\s]", text), rule.rule
    for name in (headers.VERSION, headers.CONSISTENT_THROUGH, headers.VERDICT):
        assert f"`{name}`" in text


def test_every_page_is_named(served: list[Rule]) -> None:
    text = page("pages.md")
    missing = set()
    for rule in served:
        path = re.sub(r"^/<[^/]*language>", "", rule.rule)
        # What a form does is told with the page that it stands on; so is a file that one gives.
        told_elsewhere = "GET" not in (rule.methods or ()) or "." in path or path.startswith("/assets/")
        if rule.endpoint.startswith(f"{PORTAL}.") and not told_elsewhere:
            wanted = re.sub(r"<[^>]+>", "[A-Z]+", path)
            missing |= set() if re.search(f"`{wanted or '/'}`", text) else {path}
    assert not missing, sorted(missing)


def test_every_job_is_named_with_its_time_setting(tmp_path: Path) -> None:
    container = Container(load_settings({"SILLAGE_DATA_DIR": str(tmp_path)}))
    table = page("architecture.md").partition("## Jobs")[2].partition("\n## ")[0]
    assert rows(table) == {job.name for job in container.jobs}


def test_every_aggregate_is_described() -> None:
    text = page("aggregates.md")
    for definition in load_all():
        section = text.partition(f"### {definition.name} (version {definition.version})")[2].partition("\n##")[0]
        names = [*definition.dimension_names, *(measure.name for measure in definition.measures)]
        assert names and all(f"| `{name}` |" in section for name in names), definition.name
        assert str(definition.learner_keys_days) in text


def test_every_concept_template_and_pattern_of_our_profiles_is_named() -> None:
    texts = {name: page(f"profiles/{name}.md") for name in ("ent", "p2ia")}
    for name, text in texts.items():
        profile = load_profile(contracts.folder("profiles", f"{name}.jsonld").read_bytes())
        for template in profile.templates:
            assert template.verb in text and template.object_type in text, template.id
            shown = page(f"profiles/{name}/{template.id.rpartition('/')[2]}.md")
            assert all(rule.location.text.replace("|", "\\|") in shown for rule in template.rules)
        assert all(f"`{concept.id}`" in text for concept in profile.concepts)
        assert all(f"`{pattern.id.rpartition('/')[2]}`" in text for pattern in profile.patterns)
    for extension in (*CONTEXT_EXTENSIONS, *RESULT_EXTENSIONS):
        assert any(extension in text for text in texts.values()), extension


def test_every_package_is_on_the_map() -> None:
    text = page("architecture.md").partition("## Layers")[2].partition("\n## ")[0]
    for package in (ROOT / "app").iterdir():
        if (package / "__init__.py").exists():
            assert f"`app/{package.name}/`" in text, package.name


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_named_exist(path: Path) -> None:
    text = path.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists() and target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in {slug(h) for h in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}, link
    for name in re.findall(r"`((?:app|schemas|tests|docs|scripts)/[\w./-]+)`", text):
        assert (ROOT / name).exists() or name == "scripts/demo", f"{name} in {path}"
    assert not re.search(r"(?<![\w./])/(?:work|tmp|root|home)/", text)


def test_decisions_are_numbered_and_listed() -> None:
    assert [path.name[:4] for path in ADRS] == [f"{number:04}" for number in range(1, len(ADRS) + 1)]
    index = page("README.md")
    for path in ADRS:
        text = path.read_text()
        assert re.match(rf"# {path.name[:4]}\. \S", text), path
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "What it costs"], path
        assert STATUS.match(text.split("\n")[2]), path
        title = text.partition("\n")[0].partition(". ")[2]
        assert f"| [{path.name[:4]}](adr/{path.name}) | {title} |" in index


def test_every_page_is_in_the_index() -> None:
    index = page("README.md")
    for path in DOCS.glob("*.md"):
        assert path.name == "README.md" or f"]({path.name})" in index, path.name


def test_every_page_of_runs_is_listed() -> None:
    listed = page("benchmarks/README.md")
    for path in (DOCS / "benchmarks").glob("*.md"):
        assert path.name == "README.md" or f"| [{path.name}]({path.name}) |" in listed, path.name


@pytest.mark.parametrize("name", ["how-to-add.md", "glossary.md"])
def test_what_is_named_beside_a_file_is_in_it(name: str) -> None:
    named = re.findall(r"`((?:app|tests|scripts|schemas)/[\w./-]+)` \((`[^)]+`)\)", page(name))
    assert named
    for file, names in named:
        text = (ROOT / file).read_text()
        for one in re.findall(r"`([^`]+)`", names):
            assert re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text), f"{one} in {file}"


def test_a_term_of_the_glossary_has_both_languages_a_meaning_and_a_file() -> None:
    lines = page("glossary.md").partition("| --- | --- | --- | --- |\n")[2].splitlines()
    terms = [line.split(" | ")[0].removeprefix("| ").lower().lstrip("`") for line in lines]
    assert terms == sorted(set(terms))
    for line in lines:
        cells = [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" | ")]
        assert len(cells) == 4 and all(cells), line
        assert re.match(r"`(?:app|tests|schemas)/", cells[3]), line


BOX = r'(\w+)(?:[\[({]+"[^"]+"[\])}]+)?'
EDGE = re.compile(rf"    {BOX} (?:-->|-\.->)(?:\|[^|]+\|)? {BOX}")


def test_diagrams_are_three_and_their_edges_join_boxes() -> None:
    """Path of a request, from statement to figure, erasure."""
    drawn = re.findall(r"```mermaid\nflowchart (?:TD|LR)\n(.*?)```", page("architecture.md"), re.DOTALL)
    assert len(drawn) == 3
    for diagram in drawn:
        boxes = re.findall(r'(?<!\w)(\w+)[\[({]+"', diagram)
        assert len(boxes) == len(set(boxes))
        for line in diagram.splitlines():
            edge = EDGE.fullmatch(line)
            assert edge is not None and set(edge.groups()) <= set(boxes), line
