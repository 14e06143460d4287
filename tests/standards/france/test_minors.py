"""Statements about minors: what names people openly is found wherever it stands, and taken out."""

import copy
import hashlib
import re
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.france import minors
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from tests.growth import grows_as_its_input
from tests.served import statement

INE = "123456789AB"
HOME = "https://lrs.example"


def pseudonym(kind, value):
    return f"p-{kind}-{len(value)}"


OPEN = statement(
    actor={"objectType": "Group", "name": "6e B", "account": {"homePage": "https://ent.example", "name": "6b"},
           "member": [{"name": "Camille Exemple", "mbox": "mailto:Camille@ent.example"}]},
    object={"objectType": "Activity", "id": f"https://ent.example/eleves/{INE}"},
    context={
        "instructor": {"name": "M. X", "account": {"homePage": "https://ent.example", "name": "prof@ent.example"}},
        "extensions": {"https://x.example/ine": INE, "https://x.example/note": f"de {INE}", "https://x.example/n": 1},
    },
    result={"response": INE, "extensions": {"https://x.example/list": ["a", INE]}},
)  # fmt: skip
FOUND = [
    ("name", "/actor/name"),
    ("name", "/actor/member/0/name"),
    ("email", "/actor/member/0/mbox"),
    ("name", "/context/instructor/name"),
    ("email", "/context/instructor/account/name"),
    ("ine", "/context/extensions/https:~1~1x.example~1ine"),
    ("ine", "/context/extensions/https:~1~1x.example~1note"),
    ("ine", "/object/id"),
    ("ine", "/result/extensions/https:~1~1x.example~1list/1"),
    ("ine", "/result/response"),
]


def test_names_addresses_and_ine_are_found_with_their_places():
    assert sorted((found.kind, found.pointer) for found in minors.find(OPEN)) == sorted(FOUND)
    assert minors.find(statement()) == []


def test_of_many_all_are_counted_and_the_first_are_told() -> None:
    numbers = [f"{each:09d}AB" for each in range(50_000)]
    sent = statement(result={"extensions": {"https://ent.example/x": numbers}})
    tracemalloc.start()
    try:
        found = minors.find(sent)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 100_000
    assert len(found) == minors.MAX_PLACES
    assert found[0].pointer.endswith("/0") and found[-1].pointer.endswith("/49")
    assert minors.counted(found) == {"ine": 50_000}


@pytest.mark.parametrize(
    "agent", [{"mbox_sha1sum": "0" * 40}, {"account": {"homePage": "https://ent.example", "name": "a.b@ent.example"}}]
)
def test_an_address_is_one_in_any_form(agent):
    inner = statement(actor=agent, object={"objectType": "Agent", **agent})
    inner["object"] = {**inner["object"]}
    whole = statement(object={"objectType": "SubStatement", **inner})
    kinds = [found.kind for found in minors.find(whole)]
    assert kinds == ["email", "email"]
    assert minors.find(minors.cleaned(whole, "strip", pseudonym, HOME)) == []


def test_an_agent_or_group_as_object_is_looked_at_too():
    for kind in ("Agent", "Group"):
        target = {"objectType": kind, "name": "x", "account": {"homePage": "https://ent.example", "name": "x"}}
        assert [(each.kind, each.pointer) for each in minors.find(statement(object=target))] == [
            ("name", "/object/name")
        ]
    activity = {"objectType": "Activity", "id": "https://x.example/a", "definition": {"name": {"fr": "x"}}}
    assert minors.find(statement(object=activity)) == []


def test_strip_takes_names_out_and_leaves_a_valid_statement():
    before = copy.deepcopy(OPEN)
    left = minors.cleaned(OPEN, "strip", pseudonym, HOME)
    assert before == OPEN
    assert minors.find(left) == []
    validate([left], Version.V1, many=False)
    assert "name" not in left["actor"]
    assert left["actor"]["member"] == [{"account": {"homePage": HOME, "name": "p-email-26"}}]
    assert left["context"]["extensions"] == {"https://x.example/note": "de p-ine-11", "https://x.example/n": 1}
    assert left["object"]["id"] == "https://ent.example/eleves/p-ine-11"
    assert left["result"] == {"extensions": {"https://x.example/list": ["a"]}}


def test_pseudonymise_replaces_what_it_finds():
    left = minors.cleaned(OPEN, "pseudonymise", pseudonym, HOME)
    validate([left], Version.V1, many=False)
    assert left["actor"]["name"] == "p-name-4"
    assert left["context"]["instructor"]["account"]["name"] == "p-email-23"
    assert left["context"]["extensions"]["https://x.example/ine"] == "p-ine-11"
    assert left["result"]["response"] == "p-ine-11"
    assert INE not in str(left) and "Camille" not in str(left)


def test_one_address_gives_one_account_however_it_is_written():
    def account(**agent):
        made = minors.cleaned(statement(actor=agent), "strip", lambda kind, value: value, HOME)
        return made["actor"]["account"]["name"]

    assert account(mbox="mailto:Camille@Ent.example") == account(mbox="mailto:camille@ent.example")
    for written in ("Camille@Ent.example", " camille@ent.example ", "mailto:Camille@ent.example"):
        of_account = account(account={"homePage": "https://ent.example", "name": written})
        assert of_account == account(mbox="mailto:camille@ent.example")


@given(st.text("a@. :", max_size=9))
def test_an_account_name_is_an_address_when_the_obvious_expression_says_so(name):
    obvious = re.fullmatch(r"\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*", name) is not None
    agent = {"account": {"homePage": "https://ent.example", "name": name}}
    kinds = [found.kind for found in minors.find(statement(actor=agent))]
    assert kinds == ["email"] if obvious else kinds in ([], ["email"], ["name"])


def hexadecimal(kind, value):
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()[:32]


def account_of(name, agent_name=None):
    agent = {"account": {"homePage": "https://ent.example", "name": name}}
    return agent if agent_name is None else {"name": agent_name, **agent}


@pytest.mark.parametrize(
    "name",
    ["camille.exemple", "Camille Exemple", "EXEMPLE, Camille", "c.exemple", "jean-pierre.d'artagnan", "élodie_petit12",
     "ent|camille@ent.example", "a.de.la.tour"],
)  # fmt: skip
def test_an_account_made_of_a_name_or_an_address_is_found_by_its_form(name):
    sent = statement(actor=account_of(name))
    assert [found.pointer for found in minors.find(sent)] == ["/actor/account/name"]
    for policy in ("strip", "pseudonymise"):
        left = minors.cleaned(sent, policy, hexadecimal, HOME)
        assert re.fullmatch("[0-9a-f]{32}", left["actor"]["account"]["name"])
        assert left["actor"]["account"]["homePage"] == "https://ent.example"
        assert minors.find(left) == []


@pytest.mark.parametrize(
    "name",
    ["b7e2", "eleve-1", "0a47f64d-aefc-4d12-b8c3-ffcd148268e3", "a.b", "x" * 32, "camille", "1.2.3", "6e_b", "p-7f3a",
     "urn:ent:12", "e" * 300 + ".nom"],
)  # fmt: skip
def test_an_opaque_account_stays(name):
    assert minors.find(statement(actor=account_of(name))) == []


@pytest.mark.parametrize(
    ("name", "account"),
    [("Camille Exemple", "cexemple"), ("Camille Exemple", "exemplec2"), ("Camille Exemple", "CamilleExemple"),
     ("Camille Exemple", "exemple-camille-6b"), ("Éléonore", "eleonore"), ("Jean-Pierre Petit", "jpetit07"),
     ("Camille Marie Exemple", "camille-exemple")],
)  # fmt: skip
def test_an_account_made_of_the_name_that_is_given_is_found(name, account):
    sent = statement(actor=account_of(account, name))
    assert ("name", "/actor/account/name") in [(each.kind, each.pointer) for each in minors.find(sent)]
    assert minors.find(statement(actor=account_of(account, "Autre Personne"))) == [
        found for found in minors.find(sent) if found.pointer == "/actor/name"
    ]


WRITTEN = {
    "response": "C'est Camille EXEMPLE, ou Exemple Camille, qui écrit à camille.exemple@ent.example.",
    "extensions": {
        "https://x.example/who": "Camille Exemple",
        "https://x.example/deep": [{"mail": "Autre@Ent.example"}, "exemple_camille", 3],
    },
}
DEFINED = {
    "id": "https://ent.example/u/Camille%20Exemple/cahier",
    "definition": {"name": {"fr": "Cahier de Camille Exemple"}, "description": {"fr": "Un exemple"}},
}


def test_names_of_the_statement_and_addresses_are_found_in_its_texts_and_replaced():
    sent = statement(actor=account_of("b7e2", "Camille Exemple"), result=WRITTEN, object=DEFINED)
    found = sorted((each.kind, each.pointer) for each in minors.find(sent))
    assert found == [
        ("email", "/result/extensions/https:~1~1x.example~1deep/0/mail"),
        ("email", "/result/response"),
        ("name", "/actor/name"),
        ("name", "/object/definition/name/fr"),
        ("name", "/object/id"),
        ("name", "/result/extensions/https:~1~1x.example~1deep/1"),
        ("name", "/result/extensions/https:~1~1x.example~1who"),
        ("name", "/result/response"),
        ("name", "/result/response"),
        ("name", "/result/response"),
    ]
    person, address = hexadecimal("name", "Camille Exemple"), hexadecimal("email", "mailto:camille.exemple@ent.example")
    left = minors.cleaned(sent, "pseudonymise", hexadecimal, HOME)
    validate([left], Version.V1, many=False)
    assert left["actor"]["name"] == person
    assert left["result"]["response"] == f"C'est {person}, ou {person}, qui écrit à {address}."
    assert left["result"]["extensions"]["https://x.example/who"] == person
    assert left["object"]["id"] == f"https://ent.example/u/{person}/cahier"
    assert left["object"]["definition"] == {"name": {"fr": f"Cahier de {person}"}, "description": {"fr": "Un exemple"}}
    stripped = minors.cleaned(sent, "strip", hexadecimal, HOME)
    validate([stripped], Version.V1, many=False)
    # What holds nothing else goes, as an INE does.
    assert stripped["result"]["extensions"] == {"https://x.example/deep": [{}, 3]}
    assert "name" not in stripped["actor"] and stripped["result"]["response"] == left["result"]["response"]
    for each in (left, stripped):
        assert minors.find(each) == [] and minors.cleaned(each, "pseudonymise", hexadecimal, HOME) == each


def test_what_looks_like_a_name_and_is_none_stays():
    # A name of one word is not looked for in identifiers, one of two letters nowhere, that of a group nowhere.
    kept = statement(
        actor={"objectType": "Group", "name": "Cahier", "account": {"homePage": "https://ent.example", "name": "g1"},
               "member": [account_of("b7e2", "Leçon"), account_of("b7e3", "Li")]},
        object={"id": "https://ent.example/lecon/1", "definition": {"name": {"fr": "Cahier Li camille@exemple 1@2.3"}}},
    )  # fmt: skip
    assert {each.pointer for each in minors.find(kept)} == {
        "/actor/name", "/actor/member/0/name", "/actor/member/1/name"
    }  # fmt: skip
    kept["object"]["definition"]["name"]["fr"] = "La LEÇON du jour"
    assert "/object/definition/name/fr" in {each.pointer for each in minors.find(kept)}


@pytest.mark.parametrize("text", ["camille ", "camille exemple ", "a@", "a@b.cc ", "@", "%40", "é camille ", "a.b "])
def test_a_long_text_is_looked_at_in_time_that_grows_as_it_does(text):
    def look(length):
        sent = statement(actor=account_of("b7e2", "Camille Exemple"), result={"response": text * (length // len(text))})
        minors.cleaned(sent, "strip", hexadecimal, HOME)
        minors.find(sent)

    assert grows_as_its_input(look, 6_250, 100_000)


def test_an_account_name_made_to_take_long_is_looked_at_in_time_that_grows_as_it_does():
    # The obvious expression takes the square of the length: minutes of a worker, for one statement.
    def look(length):
        agent = {"account": {"homePage": "https://ent.example", "name": "a@" + "." * length + " "}}
        minors.find(statement(actor=agent))

    assert grows_as_its_input(look, 6_250, 100_000)


def test_version_2_agents_of_the_context_are_looked_at():
    agent = {"objectType": "Agent", "name": "Camille", "account": {"homePage": "https://ent.example", "name": "c"}}
    group = {"objectType": "Group", "member": [agent]}
    context = {
        "contextAgents": [{"objectType": "contextAgent", "agent": agent}],
        "contextGroups": [{"objectType": "contextGroup", "group": group}],
        "team": group,
    }
    assert [found.pointer for found in minors.find(statement(context=context))] == [
        "/context/team/member/0/name",
        "/context/contextAgents/0/agent/name",
        "/context/contextGroups/0/group/member/0/name",
    ]


NAMES = st.sampled_from(["https://x.example/a", f"https://x.example/{INE}"])
VALUES = st.sampled_from([INE, f"x {INE}", "x", 1, None])
NESTED = st.recursive(
    VALUES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2))
)


@given(st.dictionaries(NAMES, NESTED, max_size=2), st.sampled_from(["strip", "pseudonymise"]))
def test_nothing_that_was_found_is_left(extensions, policy):
    cleaned = minors.cleaned(statement(context={"extensions": extensions}), policy, pseudonym, HOME)
    assert [found for found in minors.find(cleaned) if found.kind == "ine"] == []
    assert INE.encode() not in orjson.dumps(cleaned)


def test_a_fault_does_not_repeat_what_it_found():
    for found in minors.find(OPEN):
        fault = minors.fault(found, "/3")
        assert fault.pointer.startswith("/3/") and fault.rule == f"minors-{found.kind}"
        assert "Camille" not in str(fault) and INE not in str(fault)


AGENTS = st.sampled_from(
    [
        {"account": {"homePage": "https://ent.example", "name": "b7e2"}},
        {"account": {"homePage": "https://ent.example", "name": "camille.exemple"}},
        {"account": {"homePage": "https://ent.example", "name": "prof@ent.example"}},
        {"name": "Camille Exemple", "account": {"homePage": "https://ent.example", "name": "b7e2"}},
        {"mbox_sha1sum": "a" * 40},
        {"mbox": "mailto:camille@ent.example"},
        {"openid": "https://ent.example/camille"},
        {"objectType": "Group", "member": [{"name": "Camille", "openid": "https://ent.example/c"}]},
    ]
)
TEXTS = st.sampled_from(["rien", "de Camille Exemple", "a@ent.example", "a%40ent.example", '"name":"', "mbox", INE])


@given(AGENTS, st.none() | AGENTS, st.none() | AGENTS, TEXTS)
def test_what_the_bytes_rule_out_is_not_there(actor, target, instructor, text):
    sent = statement(actor=actor, result={"response": text, "extensions": {"https://x.example/name": {"name": text}}})
    if target is not None:
        sent["object"] = {"objectType": "Agent", **target}
    if instructor is not None:
        sent["context"] = {"instructor": instructor}
    slowly = minors._of_agents_and_texts(sent, orjson.dumps(sent))
    found = [each for each in minors.find(sent, orjson.dumps(sent)) if each.kind != "ine"]
    assert found == slowly
