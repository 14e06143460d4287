"""Pages of heads of school and territories: their schools alone, what is hidden stays so, notices on one page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from app.access.perimeters import Territory
from app.access.roles import Role
from app.core import clock
from app.governance.audit.log import AGGREGATE_READ, OUTSIDE_PERIMETER
from app.standards.france import uai
from app.standards.profiles import terms
from tests.places import ROOT
from tests.school_files import addresses, made
from tests.served import Server, serving, statement
from tests.web.portal.browsing import NEEDED, VIEWS, View, looked_at, opened
from tests.web.portal.signed_in import SignedIn, grant, signed_in

HOSTILE = "<script>alert('x')</script>&{{ 7*7 }}"
BIG, SMALL, OTHER, NAMED = (uai.make("038", number) for number in (1, 2, 3, 4))
FAR = uai.make("974", 5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("schools"), mongodb_uri, workers="1") as server:
        container = server.container
        container.governance.register.add(
            (ROOT / "docs" / "examples" / "processing-activities" / "ent.json").read_bytes()
        )
        far = made(5, departement="974", academie="28", region="04", commune="97411", uai=FAR)
        directory = addresses([made(1), made(2), made(3), made(4, name=HOSTILE), far])
        container.schools.directory.load(directory, clock.now().date() - timedelta(days=400), actor="cli:test")
        tutor = server.source("tutor", minors="off")
        yesterday = f"{clock.now().date() - timedelta(days=1)}T09:00:00Z"

        def trace(school: str, learner: int) -> dict[str, object]:
            return statement(
                actor={"account": {"homePage": "https://ent.example", "name": f"{school}-{learner}"}},
                timestamp=yesterday,
                context={"extensions": {terms.SCHOOL: school, terms.PERSON_PROFILE: "ELEVE"}},
            )

        sent = [trace(BIG, each) for each in range(30)] + [trace(FAR, each) for each in range(20)]
        sent += [trace(SMALL, each) for each in range(3)] + [trace(OTHER, each) for each in range(3)]
        assert server.post(tutor, sent).status_code == 200
        container.research.aggregates.run()
        yield server


def head(site: Server, *schools: str) -> SignedIn:
    return signed_in(
        site,
        grant(Role.SCHOOL_HEAD, territories=frozenset(Territory("school", each) for each in schools)),
        purpose=None,
    )


def territory(site: Server, kind: str, code: str) -> SignedIn:
    return signed_in(site, grant(Role.TERRITORY, territories=frozenset({Territory(kind, code)})), purpose=None)


def test_a_head_sees_the_school_and_what_is_sent_for_it(site: Server) -> None:
    page = head(site, BIG).get("/fr/schools").text
    assert "Collège inventé n° 1" in page and "30" in page and "tutor" in page and BIG in page
    assert "Profil connu" in page and re.search(r"100\s*%", page)
    entries = site.container.governance.audit.newest((AGGREGATE_READ,))
    assert entries and all(BIG not in str(each.detail) for each in entries)


def test_a_small_group_is_hidden_from_its_head_too(site: Server) -> None:
    page = head(site, SMALL).get("/fr/schools").text
    assert "masqué, petit groupe" in page and "moins de 11" in page.replace("\u00a0", " ")
    assert not re.search(r'class="num" data-label="Traces">3<', page)


def test_another_school_is_outside_and_that_is_on_record(site: Server) -> None:
    visitor = head(site, BIG)
    for other in (SMALL, FAR, "0000000A", "x" * 200):
        answer = visitor.get(f"/fr/schools/{other}")
        assert answer.status_code == 403 and "outside-perimeter" in answer.text
    (entry, *_) = site.container.governance.audit.newest((OUTSIDE_PERIMETER,))
    assert entry.actor == visitor.user.id and entry.detail["asked"] == "school" and SMALL not in str(entry.detail)
    assert visitor.get(f"/fr/schools/{BIG}").status_code == 200


def test_a_territory_has_its_schools_and_no_other(site: Server) -> None:
    visitor = territory(site, "academie", "08")
    page = visitor.get("/fr/schools").text
    assert all(each in page for each in (BIG, SMALL, OTHER)) and FAR not in page
    assert visitor.get(f"/fr/schools/{SMALL}").status_code == 200
    assert visitor.get(f"/fr/schools/{FAR}").status_code == 403
    assert FAR in territory(site, "region", "04").get("/en/schools").text
    assert "No school is known" in territory(site, "academie", "99").get("/en/schools").text


def test_hostile_names_of_the_directory_stay_text(site: Server) -> None:
    for page in (head(site, NAMED).get("/fr/schools").text, territory(site, "academie", "08").get("/fr/schools").text):
        assert "<script" not in page and "&lt;script&gt;" in page and ">49<" not in page


def test_a_notice_says_all_that_families_are_to_be_told(site: Server) -> None:
    visitor = head(site, BIG)
    assert "/fr/notices/ent" in visitor.get("/fr/notices").text
    page = visitor.get("/fr/notices/p2ia").text
    # GDPR art. 13 and 14.
    for said in (
        *(
            "Académie de démonstration",
            "dpd@academie-demo.example",
            "Éditeur de l",
            "Évaluer l",
            "396",
            "6.1.e",
        ),
        *("Équipes de recherche", "Rien ne quitte l", "corriger ou effacer", "Vous opposer", "CNIL"),
    ):
        assert said in page, said
    assert "Research teams" in visitor.get("/en/notices/p2ia").text
    assert visitor.get("/fr/notices/nothing").status_code == 404


@NEEDED
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_and_nothing_is_cut_off(site: Server, browser: Browser, view: View) -> None:
    for visitor, paths in (
        (head(site, BIG), (f"schools/{BIG}", "notices", "notices/ent")),
        (head(site, SMALL), (f"schools/{SMALL}",)),
        (territory(site, "academie", "08"), ("schools",)),
    ):
        page = opened(browser, view.width, view.scheme, checked=True)
        visitor.into(page.context)
        for path in paths:
            looked_at(page, site, path, view)
        page.context.close()


@NEEDED
@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("entry", ["ent", "p2ia"])
def test_a_notice_is_printed_on_one_page_without_what_is_around_it(
    site: Server, browser: Browser, language: str, entry: str
) -> None:
    page = opened(browser, 1280)
    head(site, BIG).into(page.context)
    page.goto(f"{site.url}/{language}/notices/{entry}")
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    page.emulate_media(media="print")
    assert not page.locator(".nav").first.is_visible() and not page.locator(".noprint").is_visible()
    page.context.close()
