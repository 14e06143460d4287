"""Every collection says what it holds of persons, and what it says holds of a store that has seen everything."""

from __future__ import annotations

import importlib
import re

import pytest

from app.core.personal_data import RIGHTS, DataSubject, Impersonal, Personal, PersonalDataStore, Restored
from app.keys import learners
from app.operations.schema.catalogue import COLLECTIONS, restored
from app.operations.schema.migrations import NOTES
from app.platform.mongo.collection import DataContext, Declared
from app.platform.mongo.learner_collection import LearnerCollection
from app.wiring.container import Container
from tests.operations.rotation.test_rekey import Sealed, fill, rekey
from tests.people.people import container
from tests.places import ROOT
from tests.values import bytes_in

__all__ = ("container", "rekey")

DECLARED = {declared.name: declared for declared in COLLECTIONS}


def test_a_collection_that_says_neither_cannot_be_declared() -> None:
    with pytest.raises(TypeError):
        Declared("forgotten")  # type: ignore[call-arg]


@pytest.mark.parametrize("declared", COLLECTIONS, ids=lambda declared: declared.name)
def test_each_says_all(declared: Declared) -> None:
    assert isinstance(declared.holds, Personal | Impersonal)
    if isinstance(declared.holds, Impersonal):
        said: tuple[str, ...] = (declared.holds.reason,)
        assert declared.data is None
    else:
        said = (*declared.holds[:5], *declared.holds.apart.values())
    assert all(text.strip() for text in said)
    # What is a learner's is encrypted with their key.
    assert declared.under_learners is None or isinstance(declared.holds, Personal)


def done(declared: Declared, context: DataContext) -> set[str]:
    """The rights that a collection does something for by itself."""
    if declared.data is None:
        return set()
    data = declared.data(context)
    assert data.name == declared.name
    made = {right for right in ("locate", "erase") if overridden(data, right)}
    if data.export(DataSubject((bytes(16),))) is not None:
        made.add("export")
    if data.ageing is not None or overridden(data, "expire"):
        made.add("retain")
    return made


def overridden(data: PersonalDataStore, method: str) -> bool:
    return getattr(type(data), method) is not getattr(PersonalDataStore, method)


@pytest.mark.parametrize(
    "declared", [each for each in COLLECTIONS if isinstance(each.holds, Personal)], ids=lambda declared: declared.name
)
def test_each_right_is_done_or_explained(declared: Declared, container: Container) -> None:
    assert isinstance(declared.holds, Personal)
    context = DataContext(container.platform.store, container.keys.organisation, container.keys.subjects)
    by_itself, apart = done(declared, context), declared.holds.apart
    assert by_itself | apart.keys() == set(RIGHTS)
    assert by_itself.isdisjoint(apart)
    for where in apart.values():
        # Nothing is to be done, or another file does it.
        assert where.startswith("none: ") or (ROOT / where.split("`")[1]).is_file(), where


def test_an_index_answers_each_question_for_a_person_or_a_duration(container: Container) -> None:
    looked = []
    for store in container.operations.personal_data:
        if isinstance(store, LearnerCollection):
            queries = [store._find([bytes(16), bytes([1]) * 16])]
            if store.ageing is not None:
                queries += [{"source": "tutor", "updated": {"$lt": 1}}]
            looked.append(store.name)
            for query in queries:
                asked = {"find": store.name, "filter": query}
                plan = container.platform.store.db.command("explain", asked, verbosity="queryPlanner")["queryPlanner"]
                assert "COLLSCAN" not in str(plan["winningPlan"]), (store.name, query)
    assert {"documents", "pattern_sessions", "accounts"} <= set(looked)


def test_every_declaration_is_in_the_catalogue() -> None:
    declaring = set()
    for path in sorted((ROOT / "app").rglob("*.py")):
        if re.search(r"^COLLECTIONS\b", path.read_text(), re.MULTILINE) and path.name != "catalogue.py":
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            declaring |= {each.name for each in importlib.import_module(name).COLLECTIONS}
    assert declaring == DECLARED.keys()


SIGN_IN = ("user_sessions", "user_invitations", "sign_in_attempts", "sign_ins_under_way")


def test_what_is_never_taken_back_is_what_is_declared() -> None:
    assert restored(Restored.IN_FORCE) == {
        *("accounts", "cases", "certificates", "credentials", "erasures", "learner_links", "measures"),
        *("person_states", "receptions", "reception_graves", "users"),
    }
    assert restored(Restored.NEVER) == {
        *("processes", "fences", "key_holders", "link_attempts", "outbox", *SIGN_IN),
    }


def test_what_is_said_holds_of_a_store_that_has_seen_everything(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sealed, "made", [])
    with monkeypatch.context() as recorded:
        recorded.setattr(learners, "AESGCM", Sealed)
        container.keys.subjects.forget()
        fill(container)
    container.keys.subjects.forget()
    subjects = {bytes(one["_id"]) for one in container.platform.store.collection(learners.NAME).find({}, {"_id": 1})}
    assert len(subjects) > 4
    names = set(container.platform.store.db.list_collection_names())
    # Migrations note themselves before there is anything to declare.
    names -= {NOTES}
    assert names <= DECLARED.keys()
    of_persons, sealed = set(), set()
    for name in names:
        for found in container.platform.store.collection(name).find({}):
            for value in bytes_in(found):
                if value in subjects:
                    of_persons.add(name)
                if len(value) >= 28 and any(value.endswith(one) for one in Sealed.made):
                    sealed.add(name)
    assert {name for name, declared in DECLARED.items() if isinstance(declared.holds, Impersonal)}.isdisjoint(
        of_persons | sealed
    )
    # Statements and keys of attachments have formats of their own.
    assert sealed == {name for name, declared in DECLARED.items() if declared.under_learners} | {
        "statements",
        "attachments",
    }
