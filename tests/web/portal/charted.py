"""Charts of every form, and a server that shows them in the frame of the pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, Response
from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader
from werkzeug.serving import make_server

from app.web.portal import public
from app.web.portal.assets import Assets
from app.web.portal.charts import Axis, Cell, Chart, Form, Kind, Limit, Span
from app.web.portal.files import csv_answer, specification_answer
from app.web.portal.frame import NAME, TEMPLATES, Frame, Installation, _environment
from tests.web.portal.hostile import HOSTILE

PAGE = """{% extends "frame.html" %}{% from "charts.html" import chart with context %}
{% block title %}Charts{% endblock %}{% block body %}
{% for one in charts %}<section>{{ chart(one, address ~ one.id ~ ".csv", address ~ one.id ~ ".vl.json") }}</section>
{% endfor %}{% endblock %}"""

WEEKS = [date(2026, 9, 7) + timedelta(weeks=week) for week in range(12)]
LEVELS = {"Sixième": 0.61, "Cinquième": 0.58, "Quatrième": 0.52}


def rates(language: str) -> Chart:
    """Lines: two weeks hidden for all, one for one level, one not known."""
    cells = []
    for level, start in LEVELS.items():
        for week, day in enumerate(WEEKS):
            hidden = week in {6, 7} or (week == 3 and level == "Cinquième")
            value = None if hidden or (week == 9 and level == "Quatrième") else round(start + 0.011 * week, 3)
            cells.append(Cell(day, value, level, hidden))
    return Chart(
        id="rates",
        language=language,
        title="Taux de réussite par semaine, trois niveaux",
        note="Part des réussites parmi les essais qui disent s’ils ont réussi. Source « calculo ».",
        form=Form.LINES,
        places=Axis("week", "Semaine du"),
        figures=Axis("success_rate", "Taux de réussite"),
        kind=Kind.SHARE,
        series=Axis("level", "Niveau"),
        cells=cells,
    )


def ages(language: str) -> Chart:
    """Bars over spans, stacked, with limits."""
    kept = {
        "Espace numérique": [1210, 1480, 1320, 1190, 380],
        "Maths": [610, 590, 720, 540, 488, 510, 430, 402, 377, 310],
    }
    return Chart(
        id="ages",
        language=language,
        title="L’âge de ce qui est conservé",
        note="Traces, par âge en mois depuis l’enregistrement, au 30 novembre 2026.",
        form=Form.BARS,
        places=Axis("age_months", "Âge, en mois"),
        figures=Axis("statements", "Traces"),
        kind=Kind.COUNT,
        series=Axis("activity", "Traitement"),
        cells=[
            Cell(Span(3 * place, 3 * place + 3, f"{3 * place} à {3 * place + 3}"), float(value), name)
            for name, values in kept.items()
            for place, value in enumerate(values)
        ],
        limits=[Limit(13, "Espace numérique : 13 mois", "13 mois"), Limit(36, "Maths : 36 mois", "36 mois")],
    )


def services(language: str) -> Chart:
    """Bars over names, some hidden, some that do harm where they are not escaped."""
    cells = [Cell("Messagerie", 48_210.0), Cell("Cahier de textes", 31_002.0), Cell(HOSTILE, 12_400.0)]
    cells += [Cell("=HYPERLINK(1)", 7_001.0), Cell("Vie scolaire", None, hidden=True)]
    return Chart(
        id="services",
        language=language,
        title=f"Visites par service {HOSTILE}",
        note=f"Au 30 novembre 2026. {HOSTILE}",
        form=Form.BARS,
        places=Axis("service", "Service"),
        figures=Axis("visits", "Visites"),
        kind=Kind.COUNT,
        cells=cells,
    )


def nothing(language: str) -> Chart:
    """A chart without a figure."""
    return Chart(
        id="nothing",
        language=language,
        title="Rien",
        note="Rien n’est compté.",
        form=Form.LINES,
        places=Axis("day", "Jour"),
        figures=Axis("statements", "Traces"),
        kind=Kind.COUNT,
        cells=[],
    )


ALL = (rates, ages, services, nothing)


@contextmanager
def charted() -> Iterator[str]:
    """The address of a server whose pages ``/fr/charts`` and ``/en/charts`` show them all."""
    loader = ChoiceLoader([FileSystemLoader(TEMPLATES), DictLoader({"charted.html": PAGE})])

    def environment(language: str) -> Any:
        made = _environment(language, ZoneInfo("Europe/Paris"))
        made.loader = loader
        return made

    frame = Frame(Installation("Sillage", "", "", "", "", "none"), lambda: date(2026, 11, 30), ZoneInfo("Europe/Paris"))
    frame._environment = environment  # type: ignore[assignment] # with a page of its own
    routes = public.blueprint(frame, SimpleNamespace(), Assets())  # type: ignore[arg-type] # of which nothing is asked

    def page(language: str) -> Response:
        return frame.page(
            language, "charted.html", "charted", charts=[each(language) for each in ALL], address=f"/{language}/charts/"
        )

    def file(language: str, name: str) -> Response:
        known: Mapping[str, Chart] = {each(language).id: each(language) for each in ALL}
        chart = known[name.partition(".")[0]]
        return csv_answer(chart.id, chart.csv()) if name.endswith(".csv") else specification_answer(chart)

    routes.add_url_rule("/<language>/charts", "charted", page)
    routes.add_url_rule("/<language>/charts/<name>", "file", file)
    app = Flask(NAME)
    # Pages that the frame leads to, and that are not here.
    app.url_build_error_handlers.append(lambda error, endpoint, values: "/")
    app.register_blueprint(routes)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
