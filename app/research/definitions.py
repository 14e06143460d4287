"""Aggregate definitions: read from ``schemas/aggregates/*.json``, checked, and turned into a plan.

The schema (``schemas/sillage/aggregate.schema.json``) says their form; here are the rules it can't say: columns
exist and are of the right role, names are used once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from app.core import contracts
from app.core.errors import DefinitionInvalid, Fault
from app.research.columns import COLUMNS, LEARNER, Role

SCHEMA = ("sillage", "aggregate.schema.json")
SECTION = "aggregate.schema.json"

RESERVED = frozenset({"day", "week", "month", "from", "to", "by", "limit", "cursor", "hidden", "reason"})
"""Names that rows or query parameters use for themselves."""


class Text(NamedTuple):
    """A text for people, in English and in French."""

    en: str
    fr: str


class Filter(NamedTuple):
    """Keeps the facts whose column passes the test; a null passes only ``not_in``."""

    column: str
    test: str
    """``in``, ``not_in`` or ``not_null``."""
    values: tuple[str | bool, ...]


class Dimension(NamedTuple):
    """A column that cells are broken down by."""

    name: str
    column: str
    title: Text
    description: Text


class Measure(NamedTuple):
    """A figure of a cell.

    Attributes:
        kind: ``count`` (facts), ``distinct`` (values of a key), ``sum``, ``mean`` (of a number), or
            ``rate`` (share of true among facts that say true or false, from 0 to 1).
        condition: Which facts of the cell count; a filter more than the file's for a sum, mean or rate: the
            column isn't null.
    """

    name: str
    kind: str
    column: str | None
    condition: tuple[Filter, ...]
    unit: str
    title: Text
    description: Text


@dataclass(frozen=True)
class Definition:
    """An aggregate, as its file declares it.

    Attributes:
        minimum_group: Smallest group asked for, or 0 to take the installation's.
        learner_keys_days: Days after which a month's pseudonyms are destroyed.
        sha256: Of the file, in hexadecimal.
        fingerprint: SHA-256 of what decides the figures (texts left out): same version, same fingerprint.
    """

    name: str
    version: int
    title: Text
    description: Text
    period: str
    filters: tuple[Filter, ...]
    dimensions: tuple[Dimension, ...]
    measures: tuple[Measure, ...]
    minimum_group: int
    learner_keys_days: int
    learner_keys_justification: Text
    sha256: str
    fingerprint: str
    document: bytes

    @property
    def id(self) -> str:
        """Name and version, for example ``outcomes@2``."""
        return f"{self.name}@{self.version}"

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in order, the period left out."""
        return tuple(dimension.name for dimension in self.dimensions)


def parse(document: bytes) -> Definition:
    """Read a definition.

    Raises:
        DefinitionInvalid: not JSON, not of the schema's form, or against the rules; ``faults`` say where.
    """
    try:
        content: dict[str, Any] = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise DefinitionInvalid("The aggregate definition is not well-formed JSON.") from None
    faults = list(_form_faults(content)) or list(_rule_faults(content))
    if faults:
        first = faults[0]
        raise DefinitionInvalid(
            f"The aggregate definition is not valid at {first.pointer or '/'}: {first.message}", faults=faults
        )
    keys = content["learner_keys"]
    decisive = {key: content[key] for key in ("name", "version", "period", "filters", "learner_keys")} | {
        part: [{key: item.get(key) for key in ("name", "column", "kind", "filters")} for item in content[part]]
        for part in ("dimensions", "measures")
    }
    decisive["learner_keys"] = keys["days"]
    return Definition(
        name=content["name"],
        version=content["version"],
        title=_text(content["title"]),
        description=_text(content["description"]),
        period=content["period"],
        filters=_filters(content["filters"]),
        dimensions=tuple(
            Dimension(item["name"], item["column"], _text(item["title"]), _text(item["description"]))
            for item in content["dimensions"]
        ),
        measures=tuple(_measure(item) for item in content["measures"]),
        minimum_group=content.get("minimum_group", 0),
        learner_keys_days=keys["days"],
        learner_keys_justification=_text(keys["justification"]),
        sha256=hashlib.sha256(document).hexdigest(),
        fingerprint=hashlib.sha256(orjson.dumps(decisive, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        document=document,
    )


def load_all(folder: Path | None = None) -> tuple[Definition, ...]:
    """Every definition of a folder (by default ``schemas/aggregates``), by name.

    Raises:
        DefinitionInvalid: one of them is not valid, is under a wrong file name, or there is none.
    """
    found = []
    for path in sorted((folder or contracts.folder("aggregates")).glob("*.json")):
        definition = parse(path.read_bytes())
        if definition.name != path.stem:
            raise DefinitionInvalid(f"{path.name}: the file must be named after the aggregate, {definition.name}.json.")
        found.append(definition)
    if not found:
        raise DefinitionInvalid("No aggregate definition was found; schemas/aggregates is missing or empty.")
    return tuple(found)


def _form_faults(content: object) -> Iterator[Fault]:
    for error in sorted(_validator().iter_errors(content), key=lambda item: list(map(str, item.absolute_path))):
        deepest = best_match([error]) or error
        place = "".join(f"/{part}" for part in deepest.absolute_path)
        rule = str(deepest.validator)
        # Not jsonschema's message, which repeats the offending value.
        yield Fault(place, f"schema-{rule}", SECTION, f"does not satisfy `{rule}` of the schema")


def _validator() -> Draft202012Validator:
    return Draft202012Validator(contracts.load(*SCHEMA))


def _rule_faults(content: Mapping[str, Any]) -> Iterator[Fault]:
    seen: set[str] = set(RESERVED)
    used: set[str] = set()
    for part in ("dimensions", "measures"):
        for place, item in enumerate(content[part]):
            if item["name"] in seen:
                yield Fault(f"/{part}/{place}/name", "name-taken", SECTION, "this name is taken or reserved")
            seen.add(item["name"])
    for place, item in enumerate(content["dimensions"]):
        yield from _column_fault(f"/dimensions/{place}/column", item["column"], {Role.DIMENSION})
        if item["column"] in used:
            yield Fault(f"/dimensions/{place}/column", "column-twice", SECTION, "a column is a dimension once at most")
        used.add(item["column"])
    yield from _filter_faults("", content["filters"])
    for place, item in enumerate(content["measures"]):
        wanted = {"distinct": {Role.KEY}, "sum": {Role.NUMBER}, "mean": {Role.NUMBER}, "rate": {Role.FLAG}}
        if item["kind"] in wanted:
            yield from _column_fault(f"/measures/{place}/column", item["column"], wanted[item["kind"]])
        yield from _filter_faults(f"/measures/{place}", item.get("filters", []))


def _filter_faults(place: str, filters: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    for index, item in enumerate(filters):
        here = f"{place}/filters/{index}"
        roles = set(Role) if "not_null" in item else {Role.DIMENSION}
        if isinstance(item.get("equals"), bool):
            roles = {Role.FLAG}
        yield from _column_fault(f"{here}/column", item["column"], roles)


def _column_fault(pointer: str, name: str, roles: set[Role]) -> Iterator[Fault]:
    column = COLUMNS.get(name)
    if column is None:
        yield Fault(pointer, "column-unknown", SECTION, f"not a column of facts; they are {', '.join(COLUMNS)}")
    elif column.role not in roles:
        wanted = " or ".join(sorted(role.value for role in roles))
        yield Fault(pointer, "column-role", SECTION, f"this column is a {column.role.value}; a {wanted} is needed here")


def _text(item: Mapping[str, str]) -> Text:
    return Text(item["en"], item["fr"])


def _filters(items: Sequence[Mapping[str, Any]]) -> tuple[Filter, ...]:
    found = []
    for item in items:
        if "equals" in item:
            found.append(Filter(item["column"], "in", (item["equals"],)))
        elif "not_null" in item:
            found.append(Filter(item["column"], "not_null", ()))
        else:
            test = "in" if "in" in item else "not_in"
            found.append(Filter(item["column"], test, tuple(sorted(set(item[test])))))
    return tuple(sorted(found))


def _measure(item: Mapping[str, Any]) -> Measure:
    kind, column = item["kind"], item.get("column")
    condition = set(_filters(item.get("filters", [])))
    if column is not None and column != LEARNER:
        condition.add(Filter(column, "not_null", ()))
    return Measure(
        item["name"],
        kind,
        column,
        tuple(sorted(condition)),
        item["unit"],
        _text(item["title"]),
        _text(item["description"]),
    )
