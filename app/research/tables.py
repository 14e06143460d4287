"""Tables of rows that were read, as files: fewer columns than a data package has, and of the same types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from app.research.aggregates import Answer
from app.research.definitions import Definition
from app.research.package import Field, arrow_schema, fields

REASON = "reason"


def columns(definition: Definition, by: Sequence[str]) -> Sequence[Field]:
    """The columns of a table that is broken down by these dimensions; why a cell is hidden is not among them."""
    return [
        each
        for each in fields(definition)
        if each.name != REASON and (each.name not in definition.dimension_names or each.name in by)
    ]


def lines(answers: Iterable[Answer], names: Sequence[str]) -> Iterator[Sequence[object]]:
    """The rows of an answer that came in several, each as the values of these columns."""
    for answer in answers:
        for row in answer.rows:
            yield [row.get(name) for name in names]


def parquet(definition: Definition, chosen: Sequence[Field], answers: Iterable[Answer]) -> bytes:
    """A Parquet file of an answer that came in several, one in memory at a time; the same give the same bytes."""
    schema, names = arrow_schema(definition, chosen), [each.name for each in chosen]
    file = BytesIO()
    with pq.ParquetWriter(file, schema, compression="zstd", version="2.6") as writer:
        for answer in answers:
            rows = [*lines([answer], names)]
            arrays = []
            for place, field in enumerate(chosen):
                values = [row[place] for row in rows]
                if field.type == "date":
                    values = [date.fromisoformat(str(value)) for value in values]
                arrays.append(pa.array(values, schema.field(place).type))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return file.getvalue()
