"""Links of accounts to learners: codes that are guessed, given twice, ended; learners who are erased."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import pytest

from app.access.store import Source
from app.core import clock
from app.core.errors import BadRequest, LinkAttemptsExceeded, LinkRefused, NotFound
from app.governance.audit.log import LINK_CODE_GIVEN, LINK_ENDED, LINK_MADE
from app.people.family import links as rules
from app.people.family.links import FamilyLinks, Link, NewCode
from app.people.family.store import LinkRepository
from app.wiring.container import Container
from tests.people.people import container, named, person, send
from tests.values import bytes_in

__all__ = ("container",)

BY = "cli:test"
PARENT = "u-parent"
GUARDIAN = ("guardian",)


@pytest.fixture
def links(container: Container) -> FamilyLinks:
    send(container, named("ana"), named("bo"))
    return container.people.links


def ask(links: FamilyLinks, name: str = "ana", role: str = "guardian", **options: object) -> NewCode:
    return links.ask("tutor", person(name), role=role, actor=BY, **options)  # type: ignore[arg-type] # by name


def give(links: FamilyLinks, code: str, user: str = PARENT, called: str = "") -> Link:
    return links.give(user, GUARDIAN, code, called=called, actor=user)


def at(container: Container, now: datetime) -> FamilyLinks:
    """The links, at another time."""
    made = container.people.links
    return FamilyLinks(
        LinkRepository(container.platform.store),
        made._keys,
        made._cipher,
        made._audit,
        made._pseudonyms,
        made._statements,
        made._random,
        lambda: now,
        made._zone,
    )


def test_a_code_links_one_account_to_one_learner(container: Container, links: FamilyLinks) -> None:
    made = ask(links)
    typed = f" {made.code.lower().replace('0', 'o').replace('1', 'l').replace('-', ' ')} "
    link = give(links, typed, called="  Ana  B. ")
    assert (link.id, link.role, link.by, link.called) == (made.link, "guardian", "source:tutor", "Ana B.")
    assert link.data_subject == person("ana")
    (found,) = links.of(PARENT)
    assert found.data_subject == link.data_subject and found.called == "Ana B." and found.until == made.until
    assert links.of("u-other") == []
    entries = container.governance.audit.newest((LINK_MADE, LINK_CODE_GIVEN))
    token = container.keys.organisation.subject(person("ana").identifiers[0]).hex()
    assert [entry.kind for entry in entries] == [LINK_MADE, LINK_CODE_GIVEN]
    assert all(entry.detail["subjects"] == [token] and made.code not in str(entry) for entry in entries)


def test_a_code_is_good_once_even_for_two_at_the_same_moment(links: FamilyLinks) -> None:
    for _ in range(5):
        code, outcomes, start = ask(links).code, [], threading.Barrier(4)

        def redeem(
            user: str, code: str = code, outcomes: list[str] = outcomes, start: threading.Barrier = start
        ) -> None:
            start.wait()
            try:
                give(links, code, user)
            except LinkRefused:
                return
            outcomes.append(user)

        threads = [threading.Thread(target=redeem, args=(f"u-{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 1
        with pytest.raises(LinkRefused):
            give(links, code)


def test_a_code_ends_and_so_does_a_link(container: Container, links: FamilyLinks) -> None:
    now, made, other = clock.now(), ask(links, code_days=2), ask(links, "bo")
    with pytest.raises(LinkRefused):
        give(at(container, now + timedelta(days=2, seconds=1)), made.code)
    give(links, other.code)
    last = datetime.combine(other.until, datetime.min.time(), UTC)
    assert at(container, last).of(PARENT)
    later = at(container, last + timedelta(days=2))
    assert later.of(PARENT) == []
    assert later.remove_ended() == 2
    assert container.platform.store.collection("learner_links").count_documents({}) == 0


def test_it_is_for_the_role_that_was_said(links: FamilyLinks) -> None:
    with pytest.raises(LinkRefused):
        give(links, ask(links, role="learner").code)
    code = ask(links, role="learner").code
    assert links.give("u-ana", ("learner", "guardian"), code, actor="u-ana").role == "learner"


def test_who_guesses_is_stopped_and_a_right_code_forgives(container: Container, links: FamilyLinks) -> None:
    for _ in range(rules.MAX_ATTEMPTS - 1):
        with pytest.raises(LinkRefused):
            give(links, "0000-0000-0000")
    give(links, ask(links).code)
    for _ in range(rules.MAX_ATTEMPTS):
        with pytest.raises(LinkRefused):
            give(links, "é" * 5_000)
    code = ask(links, "bo").code
    with pytest.raises(LinkAttemptsExceeded):
        give(links, code)
    assert give(links, code, "u-other").data_subject == person("bo")
    code = ask(links, "bo").code
    assert give(at(container, clock.now() + timedelta(hours=1, seconds=1)), code)


def test_many_guesses_at_once_are_as_many(links: FamilyLinks) -> None:
    refused: list[type[Exception]] = []

    def guess() -> None:
        try:
            give(links, "0" * 12)
        except (LinkRefused, LinkAttemptsExceeded) as error:
            refused.append(type(error))

    threads = [threading.Thread(target=guess) for _ in range(rules.MAX_ATTEMPTS + 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.count(LinkRefused) == rules.MAX_ATTEMPTS


def test_a_source_asks_for_its_own_learners_alone_and_ends_its_own_links(
    container: Container, links: FamilyLinks
) -> None:
    with pytest.raises(NotFound):
        ask(links, "nobody")
    container.access.sources_repository.add(Source("ent", "ENT", "p2ia", (), "observe", clock.now()))
    with pytest.raises(NotFound):
        links.ask("ent", person("ana"), role="guardian", actor=BY)
    made = ask(links)
    give(links, made.code)
    for link in (made.link, "0" * 32, "é", ""):
        with pytest.raises(NotFound):
            links.end("source:ent", link=link, actor=BY)
    assert links.of(PARENT)
    assert links.end("source:tutor", link=made.link, actor=BY) == 1
    assert links.of(PARENT) == []
    with pytest.raises(NotFound):
        links.end("source:tutor", link=made.link, actor=BY)
    waiting = ask(links)
    give(links, ask(links).code, "u-two")
    assert links.end("source:tutor", data_subject=person("ana"), actor=BY) == 2
    assert links.of("u-two") == []
    with pytest.raises(LinkRefused):
        give(links, waiting.code)
    assert len(container.governance.audit.newest((LINK_ENDED,))) == 3


def test_it_ends_with_the_school_year_or_when_the_learner_is_of_age(container: Container) -> None:
    send(container, named("ana"))
    links = at(container, datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert ask(links).until == date(2027, 8, 31)
    assert ask(links, until=date(2026, 12, 24)).until == date(2026, 12, 24)
    assert ask(links, of_age_on=date(2027, 3, 2)).until == date(2027, 3, 1)
    assert ask(links, of_age_on=date(2029, 3, 2)).until == date(2027, 8, 31)
    stored = str([*container.platform.store.collection("learner_links").find({})])
    assert "2029" not in stored
    for wrong in (
        {"of_age_on": date(2026, 11, 30)},
        {"until": date(2026, 11, 29)},
        {"until": date(2028, 11, 30)},
        {"code_days": 0},
        {"code_days": 15},
        {"role": "teacher"},
        {"role": "learner", "of_age_on": date(2027, 3, 2)},
    ):
        with pytest.raises(BadRequest):
            ask(links, **{"role": "guardian", **wrong})  # type: ignore[arg-type] # by name


def test_what_is_called_is_short_and_printable(links: FamilyLinks) -> None:
    for called in ("x" * 41, "a\x00b", "a\u202eb"):
        with pytest.raises(BadRequest):
            give(links, ask(links).code, called=called)


def test_children_are_of_the_roles_that_an_account_has(container: Container, links: FamilyLinks) -> None:
    links.give(PARENT, ("learner",), ask(links, role="learner").code, actor=PARENT)
    give(links, ask(links, "bo").code)
    found = {
        roles: [(child.role, child.data_subject) for child in container.people.family.children(PARENT, roles)]
        for roles in (("learner", "guardian"), ("learner",), ("guardian",), ())
    }
    own, other = ("learner", person("ana")), ("guardian", person("bo"))
    assert [*found.values()] == [[own, other], [own], [other], []]


def test_an_erasure_takes_links_and_codes_along(container: Container, links: FamilyLinks) -> None:
    give(links, ask(links).code, called="Ana")
    waiting = ask(links)
    kept = ask(links, "bo")
    assert container.people.finder.places(person("ana"))["links"] == 2
    container.people.erasures.erase(person("ana"), actor=BY)
    assert links.of(PARENT) == []
    container.people.erasures.run()
    assert links.of(PARENT) == []
    with pytest.raises(LinkRefused):
        give(links, waiting.code)
    with pytest.raises(NotFound):
        ask(links)
    assert container.platform.store.collection("learner_links").count_documents({}) == 1
    assert give(links, kept.code)


def test_nothing_of_a_learner_is_in_clear(container: Container, links: FamilyLinks) -> None:
    made = ask(links)
    give(links, made.code, called="Petit nom")
    ask(links)
    stored = [*container.platform.store.collection("learner_links").find({})]
    said = b"".join(value for each in stored for value in bytes_in(each))
    for text in ("ana", "Petit nom", made.code, made.code.replace("-", ""), "ent.example"):
        assert text.encode() not in said and text not in str([{**each, "who": 0, "called": 0} for each in stored])


def test_a_provider_links_by_its_own_word_and_renews_it(container: Container, links: FamilyLinks) -> None:
    first = links.link(PARENT, person("ana"), provider="educonnect", role="guardian", actor=BY)
    second = links.link(PARENT, person("ana"), provider="educonnect", role="guardian", actor=BY)
    assert first and second and first != second
    (link,) = links.of(PARENT)
    assert (link.id, link.by) == (second, "provider:educonnect")
    assert links.link(PARENT, person("nobody"), provider="educonnect", role="guardian", actor=BY) is None
    assert links.end("provider:educonnect", link=second, actor=BY) == 1
