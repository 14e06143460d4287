"""Data packages: the files of an export, and their description (Frictionless Data Package 1.0).

Same cells give the same bytes: rows are sorted, nothing in the data files depends on the time of writing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from io import BytesIO
from typing import NamedTuple

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from app.research.columns import COLUMNS
from app.research.compute import PERIOD
from app.research.definitions import Definition, Text
from app.research.disclosure import counts

DATA = "data"
DESCRIPTOR = "datapackage.json"
SUPPRESSION = "suppression.json"
CODEBOOK = "codebook.md"
SUMS = "SHA256SUMS"


class Table(NamedTuple):
    """One aggregate of a package: its protected cells at full detail, and how far they go."""

    definition: Definition
    cells: pl.DataFrame
    as_of: str
    minimum_group: int


class Stamp(NamedTuple):
    """Origin of a package: store version, organisation, period asked for, moment of writing (UTC), time zone.

    And for whom it is: functions or organisations.
    """

    store_version: str
    organisation: str
    first: date | None
    last: date | None
    created: str
    timezone: str
    recipients: tuple[str, ...]


class Field(NamedTuple):
    """A column of a data file, described."""

    name: str
    type: str
    unit: str | None
    title: Text
    description: Text
    constraints: Mapping[str, object]


_PERIODS = {
    "day": Text("Day", "Jour"),
    "week": Text("Week", "Semaine"),
    "month": Text("Month", "Mois"),
}
_HIDDEN = Text(
    "True when the cell's figures are withheld by disclosure control",
    "Vrai quand les chiffres de la case sont retirés par le contrôle de confidentialité",
)
_REASON = Text(
    "Why: small-group (too few learners), secondary (would give a hidden cell back by subtraction)",
    "Pourquoi : small-group (trop peu d'apprenants), secondary (rendrait une case cachée par soustraction)",
)


def fields(definition: Definition) -> list[Field]:
    """The columns of an aggregate's data files, in order."""
    period = _PERIODS[definition.period]
    start = Text(f"First day of the {period.en.lower()}", f"Premier jour ({period.fr.lower()})")
    found = [Field(definition.period, "date", None, period, start, {"required": True})]
    found += [Field(item.name, "string", None, item.title, item.description, {}) for item in definition.dimensions]
    for measure in definition.measures:
        constraints: dict[str, object] = {"minimum": 0}
        if measure.kind == "rate":
            constraints["maximum"] = 1
        elif measure.column == "score" and measure.kind != "count":
            constraints = {"minimum": -1, "maximum": 1} if measure.kind == "mean" else {}
        whole = measure.kind in {"count", "distinct"} or (
            measure.kind == "sum" and COLUMNS[str(measure.column)].scale == 1
        )
        kind = "integer" if whole else "number"
        found.append(Field(measure.name, kind, measure.unit, measure.title, measure.description, constraints))
    found.append(Field("hidden", "boolean", None, Text("Hidden", "Caché"), _HIDDEN, {"required": True}))
    reason = {"enum": ["small-group", "secondary"]}
    found.append(Field("reason", "string", None, Text("Reason", "Motif"), _REASON, reason))
    return found


def data_files(table: Table) -> dict[str, bytes]:
    """The Parquet and CSV files of a table, by path in the package."""
    definition = table.definition
    shaped = table.cells.rename({PERIOD: definition.period}).with_columns(
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in definition.dimension_names
    )
    described = arrow_schema(definition, fields(definition))
    parquet = BytesIO()
    pq.write_table(shaped.to_arrow().cast(described), parquet, compression="zstd", version="2.6")
    text = shaped.write_csv(date_format="%Y-%m-%d", null_value="").encode()
    base = f"{DATA}/{definition.name}"
    return {f"{base}.csv": text, f"{base}.parquet": parquet.getvalue()}


def arrow_schema(definition: Definition, columns: Sequence[Field]) -> pa.Schema:
    """The schema of a Parquet file with these columns of an aggregate, each with its title, description and unit."""
    return pa.schema(
        [
            pa.field(
                field.name,
                _ARROW[field.type],
                metadata={"title": field.title.en, "description": field.description.en, "unit": field.unit or ""},
            )
            for field in columns
        ],
        metadata={"aggregate": definition.id, "definition_sha256": definition.sha256},
    )


_ARROW = {
    "date": pa.date32(),
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


def describing_files(tables: Sequence[Table], data: Mapping[str, bytes], stamp: Stamp, name: str) -> dict[str, bytes]:
    """The files that say what the data files are, checksums included, by path in the package."""
    files = {
        SUPPRESSION: _json(_suppression(tables)),
        CODEBOOK: codebook(tables, stamp).encode(),
        DESCRIPTOR: _json(_descriptor(tables, data, stamp, name)),
    }
    everything = {**data, **files}
    sums = "".join(f"{hashlib.sha256(everything[path]).hexdigest()}  {path}\n" for path in sorted(everything))
    return {**files, SUMS: sums.encode()}


def fingerprint(tables: Sequence[Table], data: Mapping[str, bytes], recipients: Sequence[str] = ()) -> str:
    """Twelve hexadecimal digits that name the content: definitions, how far they go, data; and for whom, if not us."""
    digest = hashlib.sha256()
    for recipient in recipients:
        digest.update(f"for {recipient}\n".encode())
    for table in tables:
        digest.update(f"{table.definition.sha256} {table.as_of} {table.minimum_group}\n".encode())
    for path in sorted(data):
        digest.update(f"{path} {hashlib.sha256(data[path]).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]


def _json(document: object) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


_RULE = Text(
    "A cell is hidden (small-group) when fewer distinct learners than the minimum group stand behind one of its "
    "figures. Further cells are hidden (secondary) so that no total gives one back by subtraction. Rare values of "
    "free-text dimensions are together under (other).",
    "Une case est cachée (small-group) quand moins d'apprenants distincts que le groupe minimal sont derrière un de "
    "ses chiffres. D'autres le sont (secondary) pour qu'aucun total n'en rende une par soustraction. Les valeurs rares "
    "des dimensions en texte libre sont réunies sous (other).",
)


def _suppression(tables: Sequence[Table]) -> dict[str, object]:
    return {
        "rule": _RULE._asdict(),
        "aggregates": {
            table.definition.name: {"minimum_group": table.minimum_group, **counts(table.cells)} for table in tables
        },
    }


def _descriptor(tables: Sequence[Table], data: Mapping[str, bytes], stamp: Stamp, name: str) -> dict[str, object]:
    return {
        "profile": "data-package",
        "name": name,
        "title": " / ".join(_both(table.definition.title) for table in tables),
        "created": stamp.created,
        "version": stamp.store_version,
        "resources": [resource for table in tables for resource in (_csv(table, data), _parquet(table, data))],
        "source_stamp": {
            "store": "sillage",
            "store_version": stamp.store_version,
            "organisation": stamp.organisation,
            "from": stamp.first and stamp.first.isoformat(),
            "to": stamp.last and stamp.last.isoformat(),
            "timezone": stamp.timezone,
            "recipients": [*stamp.recipients],
            "definitions": [
                {
                    "name": table.definition.name,
                    "version": table.definition.version,
                    "sha256": table.definition.sha256,
                    "consistent_through": table.as_of,
                    "minimum_group": table.minimum_group,
                }
                for table in tables
            ],
        },
        "suppression_report": SUPPRESSION,
        "codebook": CODEBOOK,
    }


def _file(table: Table, data: Mapping[str, bytes], suffix: str) -> dict[str, object]:
    definition = table.definition
    path = f"{DATA}/{definition.name}.{suffix}"
    return {
        "name": definition.name if suffix == "csv" else f"{definition.name}-{suffix}",
        "path": path,
        "format": suffix,
        "title": _both(definition.title),
        "description": _both(definition.description),
        "titles": definition.title._asdict(),
        "descriptions": definition.description._asdict(),
        "bytes": len(data[path]),
        "hash": f"sha256:{hashlib.sha256(data[path]).hexdigest()}",
    }


def _csv(table: Table, data: Mapping[str, bytes]) -> dict[str, object]:
    return {
        **_file(table, data, "csv"),
        "profile": "tabular-data-resource",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": {
            "fields": [
                {
                    "name": field.name,
                    "type": field.type,
                    "title": _both(field.title),
                    "description": _both(field.description),
                    "titles": field.title._asdict(),
                    "descriptions": field.description._asdict(),
                    **({"unit": field.unit} if field.unit else {}),
                    **({"constraints": dict(field.constraints)} if field.constraints else {}),
                }
                for field in fields(table.definition)
            ],
            "missingValues": [""],
        },
    }


def _parquet(table: Table, data: Mapping[str, bytes]) -> dict[str, object]:
    return {
        **_file(table, data, "parquet"),
        "profile": "data-resource",
        # Tools that check packages then hold it to its size and hash, and need no Parquet reader for that.
        "type": "file",
        "mediatype": "application/vnd.apache.parquet",
    }


def _both(text: Text) -> str:
    return f"{text.en} / {text.fr}"


def _plain(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_{}[]()<>#|!" else char for char in text)


def codebook(tables: Sequence[Table], stamp: Stamp) -> str:
    """The meaning of each column, for readers, in French and in English (Markdown)."""
    lines = [
        "# Dictionnaire des variables / Codebook",
        "",
        f"Organisation : {stamp.organisation} · Sillage {stamp.store_version} · {stamp.timezone}",
        "",
        # What an operator wrote: on one line, and no Markdown.
        f"Destinataires / Recipients: {_plain(', '.join(stamp.recipients))}",
        "",
        f"{_RULE.fr} Jours, semaines et mois sont ceux du fuseau {stamp.timezone}.",
        "",
        f"{_RULE.en} Days, weeks and months are those of the time zone {stamp.timezone}.",
        "",
    ]
    for table in tables:
        definition = table.definition
        lines += [
            f"## {definition.name} (version {definition.version})",
            "",
            f"{definition.description.fr}. Complet jusqu'au {table.as_of}. Groupe minimal : {table.minimum_group}.",
            "",
            f"{definition.description.en}. Complete through {table.as_of}. Minimum group: {table.minimum_group}.",
            "",
            f"SHA-256 de la définition / of the definition: `{definition.sha256}`",
            "",
            "| variable | type | unité / unit | français | English |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {field.name} | {field.type} | {field.unit or ''} | {field.title.fr} : {field.description.fr} "
            f"| {field.title.en}: {field.description.en} |"
            for field in fields(definition)
        ]
        lines.append("")
    return "\n".join(lines)
