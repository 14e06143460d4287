"""People of the demonstration: a made-up directory of schools, and accounts with which to click through the pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from app.access.perimeters import SCHOOL, Perimeter, Territory
from app.access.roles import Grant, Role
from app.access.users.service import User
from app.people.finding.finder import data_subject_of
from app.standards.profiles import terms
from app.wiring.container import Container

ACTOR = "cli:demo"
PASSWORD = "cap sur le phare de Port-Clair"  # noqa: S105 # of accounts that exist on this machine alone
_HEADS = (
    "numero_uai;appellation_officielle;secteur_public_prive_libe;localite_acheminement_uai;libelle_commune;nature_uai;"
    "nature_uai_libe;etat_etablissement_libe;code_departement;code_region;code_academie;code_commune;"
    "libelle_departement;libelle_region;libelle_academie;date_ouverture"
)
# Département, région, académie, a commune: code and name of each. The places exist, the schools do not.
_PLACES = {
    "013": (
        ("013", "Bouches-du-Rhône"),
        ("93", "Provence-Alpes-Côte d’Azur"),
        ("02", "Aix-Marseille"),
        ("13055", "Marseille"),
    ),
    "031": (("031", "Haute-Garonne"), ("76", "Occitanie"), ("16", "Toulouse"), ("31555", "Toulouse")),
    "033": (("033", "Gironde"), ("75", "Nouvelle-Aquitaine"), ("04", "Bordeaux"), ("33063", "Bordeaux")),
    "059": (("059", "Nord"), ("32", "Hauts-de-France"), ("09", "Lille"), ("59350", "Lille")),
    "069": (("069", "Rhône"), ("84", "Auvergne-Rhône-Alpes"), ("10", "Lyon"), ("69123", "Lyon")),
    "075": (("075", "Paris"), ("11", "Île-de-France"), ("01", "Paris"), ("75056", "Paris")),
    "092": (("092", "Hauts-de-Seine"), ("11", "Île-de-France"), ("25", "Versailles"), ("92050", "Nanterre")),
    "093": (("093", "Seine-Saint-Denis"), ("11", "Île-de-France"), ("24", "Créteil"), ("93008", "Bobigny")),
    "971": (("971", "Guadeloupe"), ("01", "Guadeloupe"), ("32", "Guadeloupe"), ("97105", "Basse-Terre")),
}


class Account(NamedTuple):
    """An account of the demonstration: what is printed of it."""

    who: str
    login: str


class Seen(NamedTuple):
    """Schools and learners that the simulated statements name.

    Attributes:
        schools: UAI, with how many statements name each.
        learner: The agent of the source that has the most statements, as JSON values.
    """

    schools: Counter[str]
    learner: Mapping[str, Any] | None


def seen(statements: Iterable[Mapping[str, Any]]) -> Seen:
    """Look for schools and for the busiest learner."""
    schools: Counter[str] = Counter()
    learners: Counter[tuple[str, str]] = Counter()
    for statement in statements:
        account = (statement.get("actor") or {}).get("account")
        if isinstance(account, dict) and {"homePage", "name"} <= account.keys():
            learners[account["homePage"], account["name"]] += 1
        for name, value in ((statement.get("context") or {}).get("extensions") or {}).items():
            if name == terms.SCHOOL and isinstance(value, str) and value[:3] in _PLACES:
                schools[value] += 1
    busiest = learners.most_common(1)
    agent = {"account": dict(zip(("homePage", "name"), busiest[0][0], strict=True))} if busiest else None
    return Seen(schools, agent)


def directory(schools: Sequence[str]) -> bytes:
    """A file in the shape of the ministry's, with a made-up school for each UAI."""
    lines = [_HEADS]
    for number, school in enumerate(sorted(schools), 1):
        departement, region, academie, commune = _PLACES[school[:3]]
        name = f"Collège inventé n° {number}"
        lines.append(
            f"{school};{name};Public;{commune[1]};{commune[1]};340;COLLEGE;OUVERT;{departement[0]};{region[0]};"
            f"{academie[0]};{commune[0]};{departement[1]};{region[1]};{academie[1]};1965-05-01"
        )
    return "\n".join([*lines, ""]).encode()


def settle(container: Container, source: str, found: Seen, first: date) -> list[Account]:
    """Load the directory, and make the accounts; the pupil's and the parent's are linked to the busiest learner."""
    users = {name: _account(container, who, name, grant) for who, name, grant in _accounts(found, source)}
    if found.schools:
        container.schools.directory.load(directory([*found.schools]), first, actor=ACTOR)
    if found.learner is not None:
        for role, login in ((Role.LEARNER, "eleve"), (Role.GUARDIAN, "parent")):
            subject = data_subject_of([found.learner])
            code = container.people.links.ask(source, subject, role=role.value, actor=f"source:{source}")
            called = "Alix (inventé)" if role is Role.GUARDIAN else ""
            container.people.links.give(users[login].id, [role.value], code.code, called=called, actor=users[login].id)
    return [Account(user.name, user.login) for user in users.values()]


def _accounts(found: Seen, source: str) -> list[tuple[str, str, Grant]]:
    accounts = [
        ("data protection officer / protection des données", "dpd", Grant(Role.DPO)),
        ("researcher / recherche", "recherche", Grant(Role.RESEARCHER)),
        ("producer of traces / producteur", "outil", Grant(Role.PRODUCER, Perimeter(sources=frozenset({source})))),
        ("operations / exploitation", "exploitation", Grant(Role.OPERATOR)),
    ]
    if found.schools:
        busiest = found.schools.most_common(1)[0][0]
        here = Perimeter(territories=frozenset({Territory(SCHOOL, busiest)}))
        accounts.insert(2, ("head of school / direction d’établissement", "direction", Grant(Role.SCHOOL_HEAD, here)))
    if found.learner is not None:
        accounts += [
            ("pupil / élève", "eleve", Grant(Role.LEARNER)),
            ("parent", "parent", Grant(Role.GUARDIAN)),
        ]
    return accounts


def _login(name: str) -> str:
    return f"{name}@demo.example"


def _account(container: Container, who: str, name: str, grant: Grant) -> User:
    user = container.access.users.add(_login(name), name=who, grants=[grant], actor=ACTOR)
    link = container.access.invitations.invite(user, actor=ACTOR).link
    container.access.local_sign_in.accept(link.rpartition("=")[2], PASSWORD)
    return user
