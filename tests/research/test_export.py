"""Data packages: valid, reproducible, whole or not at all, and without small groups."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date

import frictionless
import pyarrow.parquet as pq
import pytest

from app.core.errors import NotFound, OperatorError
from app.research.export import Exports
from tests.research.statements import class_of
from tests.sinks import Sink


@pytest.fixture
def audited():
    return []


@pytest.fixture
def exports(make, reader, settings, audited):
    reader.store(
        *class_of(12),
        *class_of(5, 100, school="0752524L"),
        *class_of(13, 200, school="0920131T", service=None),
        *class_of(14, 300, timestamp="2026-12-01T09:00:00Z", service='a "quoted", name'),
    )
    aggregates = make()
    aggregates.run()
    return Exports(aggregates, Sink(lambda *entry: audited.append(entry)), settings, "0.1.0")


def test_the_package_validates_and_says_what_it_is(exports, audited):
    package = exports.run(actor="cli:export")
    report = frictionless.validate(str(package.path / "datapackage.json"))
    assert report.valid, report.flatten(["type", "message"])
    descriptor = json.loads((package.path / "datapackage.json").read_bytes())
    assert len(descriptor["resources"]) == 6
    assert descriptor["source_stamp"]["organisation"] == "default"
    assert [item["name"] for item in descriptor["source_stamp"]["definitions"]] == [
        "daily_activity",
        "ent_usage",
        "outcomes",
    ]
    (field,) = [item for item in descriptor["resources"][4]["schema"]["fields"] if item["name"] == "mean_duration"]
    assert (field["unit"], field["type"]) == ("s", "number")
    assert field["descriptions"]["fr"]
    ((kind, actor, detail),) = audited
    assert (kind, actor, detail["package"]) == ("export-written", "cli:export", package.path.name)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_altered_file_does_not_validate(exports, suffix):
    package = exports.run(actor="cli:export")
    path = package.path / "data" / f"daily_activity.{suffix}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert not frictionless.validate(str(package.path / "datapackage.json")).valid


def test_small_groups_are_empty_and_counted(exports):
    package = exports.run(["daily_activity"], last=date(2026, 11, 30), actor="cli:export")
    with (package.path / "data" / "daily_activity.csv").open() as file:
        rows = {row["school"]: row for row in csv.DictReader(file)}
    assert (rows["0752524L"]["statements"], rows["0752524L"]["hidden"]) == ("", "true")
    assert rows["0752524L"]["reason"] == "small-group"
    assert rows["0920131T"]["service"] == ""
    report = json.loads((package.path / "suppression.json").read_bytes())["aggregates"]["daily_activity"]
    hidden = sum(row["hidden"] == "true" for row in rows.values())
    assert report["cells"] == len(rows) == 3
    assert report["small_group"] == 1
    assert report["small_group"] + report["secondary"] == hidden == package.hidden


def test_csv_and_parquet_hold_the_same(exports):
    package = exports.run(["daily_activity"], actor="cli:export")
    table = pq.read_table(package.path / "data" / "daily_activity.parquet")
    with (package.path / "data" / "daily_activity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0])
    reported = [{name: "" if value is None else str(value) for name, value in row.items()} for row in table.to_pylist()]
    assert reported == [{**row, "hidden": row["hidden"].capitalize()} for row in rows]
    assert table.schema.field("statements").metadata[b"unit"] == b"statement"


def test_sums_are_those_of_the_files(exports):
    package = exports.run(actor="cli:export")
    lines = (package.path / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in lines)
    files = {str(path.relative_to(package.path)) for path in package.path.rglob("*") if path.is_file()}
    assert listed.keys() == files - {"SHA256SUMS"}
    assert all(
        hashlib.sha256((package.path / name).read_bytes()).hexdigest() == total for name, total in listed.items()
    )


def test_the_same_export_twice_is_one_package(exports, tmp_path):
    first = exports.run(actor="cli:export")
    again = exports.run(actor="job:export")
    assert (again.path, first.new, again.new) == (first.path, True, False)
    other = exports.run(actor="cli:export", target=tmp_path / "other")
    for path in first.path.glob("data/*"):
        assert (other.path / "data" / path.name).read_bytes() == path.read_bytes()


def test_a_failed_export_leaves_nothing(exports, tmp_path, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.research.export.os.fsync", full)
    with pytest.raises(OperatorError, match="disk"):
        exports.run(actor="cli:export", target=tmp_path)
    assert list(tmp_path.glob("*aggregates*")) == []
    assert list(tmp_path.glob(".partial-*")) == []


def test_an_empty_period_is_a_valid_package(exports):
    package = exports.run(first=date(2020, 1, 1), last=date(2020, 12, 31), actor="cli:export")
    assert package.rows == {"daily_activity": 0, "ent_usage": 0, "outcomes": 0}
    assert frictionless.validate(str(package.path / "datapackage.json")).valid


def test_what_cannot_be_exported(exports, make, settings):
    with pytest.raises(NotFound):
        exports.run(["nothing"], actor="cli:export")
    with pytest.raises(OperatorError):
        exports.run(first=date(2026, 2, 1), last=date(2026, 1, 1), actor="cli:export")
