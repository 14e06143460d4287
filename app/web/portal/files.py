"""Files that pages offer: tables as CSV, specifications of charts, whatever is to be saved and not opened."""

from __future__ import annotations

import orjson
from flask import Response

from app.web.portal.charts import Chart
from app.web.portal.frame import HEADERS
from app.web.portal.vega_lite import specification


def csv_answer(name: str, content: bytes) -> Response:
    """A CSV file to be saved under a name."""
    return attachment(f"{name}.csv", content, "text/csv; charset=utf-8; header=present")


def specification_answer(chart: Chart) -> Response:
    """The specification of a chart, as a file."""
    content = orjson.dumps(specification(chart), option=orjson.OPT_INDENT_2)
    return attachment(f"{chart.id}.vl.json", content, "application/json")


def attachment(name: str, content: bytes, kind: str) -> Response:
    """A file to be saved under a name, which nothing opens in the place of the page."""
    answer = Response(content, content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers.update(HEADERS)
    return answer
