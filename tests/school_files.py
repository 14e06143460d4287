"""Made-up directories of schools, in the two shapes that the ministry publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.standards.france import uai

_ADDRESSES = (
    "numero_uai;appellation_officielle;denomination_principale;patronyme_uai;secteur_public_prive_libe;adresse_uai;"
    "lieu_dit_uai;boite_postale_uai;code_postal_uai;localite_acheminement_uai;libelle_commune;coordonnee_x;"
    "coordonnee_y;epsg;latitude;longitude;appariement;localisation;nature_uai;nature_uai_libe;etat_etablissement;"
    "etat_etablissement_libe;code_departement;code_region;code_academie;code_commune;libelle_departement;"
    "libelle_region;libelle_academie;position;secteur_prive_code_type_contrat;secteur_prive_libelle_type_contrat;"
    "code_ministere;libelle_ministere;date_ouverture;sigle"
)
_DIRECTORY = (
    "Identifiant_de_l_etablissement,Nom_etablissement,Type_etablissement,Statut_public_prive,Adresse_1,Code_postal,"
    "Code_commune,Nom_commune,Code_departement,Code_academie,Code_region,Mail,Libelle_departement,Libelle_academie,"
    "Libelle_region,date_ouverture,date_maj_ligne,etat,ministere_tutelle,code_nature,libelle_nature"
)


def made(serial: int, **changes: Any) -> dict[str, str]:
    """A public collège of Grenoble, by columns of both shapes, in lower case."""
    identifier = uai.make("038", serial)
    values = {
        "uai": identifier,
        "name": f"Collège inventé n° {serial}",
        "nature": "340",
        "nature_name": "COLLEGE",
        "sector": "Public",
        "commune": "38185",
        "commune_name": "Grenoble",
        "departement": "038",
        "departement_name": "Isère",
        "academie": "08",
        "academie_name": "Grenoble",
        "region": "84",
        "region_name": "Auvergne-Rhône-Alpes",
        "state": "OUVERT",
        "opens": "1965-05-01",
    }
    return {**values, **changes}


def addresses(schools: Sequence[dict[str, str]]) -> bytes:
    """The file of addresses: semicolons, many columns that nobody here reads."""
    head = _ADDRESSES.split(";")
    names = {
        "numero_uai": "uai",
        "appellation_officielle": "name",
        "secteur_public_prive_libe": "sector",
        "libelle_commune": "commune_name",
        "nature_uai": "nature",
        "nature_uai_libe": "nature_name",
        "etat_etablissement_libe": "state",
        "code_departement": "departement",
        "code_region": "region",
        "code_academie": "academie",
        "code_commune": "commune",
        "libelle_departement": "departement_name",
        "libelle_region": "region_name",
        "libelle_academie": "academie_name",
        "date_ouverture": "opens",
    }
    lines = [";".join(school[names[name]] if name in names else "" for name in head) for school in schools]
    return "\n".join([_ADDRESSES, *lines, ""]).encode("utf-8-sig")


def directory(schools: Sequence[dict[str, str]]) -> bytes:
    """The directory: commas, capitals in the names of columns, quoted values."""
    head = _DIRECTORY.split(",")
    names = {
        "Identifiant_de_l_etablissement": "uai",
        "Nom_etablissement": "name",
        "Statut_public_prive": "sector",
        "Code_commune": "commune",
        "Nom_commune": "commune_name",
        "Code_departement": "departement",
        "Code_academie": "academie",
        "Code_region": "region",
        "Libelle_departement": "departement_name",
        "Libelle_academie": "academie_name",
        "Libelle_region": "region_name",
        "date_ouverture": "opens",
        "etat": "state",
        "code_nature": "nature",
        "libelle_nature": "nature_name",
    }
    lines = [",".join(f'"{school[names[name]]}"' if name in names else "" for name in head) for school in schools]
    return "\r\n".join([_DIRECTORY, *lines, ""]).encode()
