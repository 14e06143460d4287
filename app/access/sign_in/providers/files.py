"""Files of sign-in providers: read at the start, held to ``schemas/sillage/sign-in-provider.schema.json``."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import orjson
from jsonschema import Draft202012Validator

from app.access.perimeters import territory
from app.access.roles import BOUNDED, Role
from app.core import contracts
from app.core.errors import SettingsInvalid
from app.settings import read_secret

_SCHEMA: Final = ("sillage", "sign-in-provider.schema.json")
_MAX_FILE: Final = 256 * 1024


class Rule(NamedTuple):
    """A rule that gives a role; see the schema."""

    role: Role
    when: Mapping[str, Sequence[str]]
    schools_from: str | None
    territories: Sequence[str]
    sources: Sequence[str]
    activities: Sequence[str]


class ProviderFile(NamedTuple):
    """A provider as its file has it; see the schema."""

    id: str
    label: Mapping[str, str]
    issuer: str
    client_id: str
    secret: str
    client_auth: str
    scopes: Sequence[str]
    pkce: bool
    algorithms: Sequence[str]
    userinfo: str
    acr_values: Sequence[str]
    amr: Sequence[str]
    subject: Sequence[str]
    name: Sequence[str]
    roles: Sequence[Rule]
    logout: str


def read_all(folder: Path | None) -> tuple[ProviderFile, ...]:
    """The providers of a folder, by id; none without a folder.

    Raises:
        SettingsInvalid: a file cannot be read, breaks the schema, or is unsafe; nothing of it is shown.
    """
    if folder is None:
        return ()
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as refused:
        raise SettingsInvalid(f"SILLAGE_SIGN_IN_PROVIDERS_DIR cannot be read ({refused.strerror}).") from None
    found = [_read(path) for path in paths]
    if len({each.id for each in found}) < len(found):
        raise SettingsInvalid("SILLAGE_SIGN_IN_PROVIDERS_DIR: two files have the same id.")
    return tuple(sorted(found))


def _read(path: Path) -> ProviderFile:
    document = _document(path)
    for broken in Draft202012Validator(contracts.load(*_SCHEMA)).iter_errors(document):
        place = "/".join(map(str, broken.absolute_path)) or "the document"
        raise SettingsInvalid(f"{path.name}: {place} breaks the schema of sign-in providers ({broken.validator}).")
    if not is_safe(document["issuer"]):
        raise SettingsInvalid(f"{path.name}: the issuer must be https, but on this host: secrets and names go there.")
    return ProviderFile(
        document["id"],
        document["label"],
        document["issuer"],
        document["client_id"],
        read_secret(path.parent / document["secret_file"], f"{path.name}: secret_file"),
        document.get("client_auth", "basic"),
        document.get("scopes", ["openid"]),
        document.get("pkce", True),
        document.get("algorithms", ["RS256", "ES256"]),
        document.get("userinfo", "none"),
        document.get("acr_values", []),
        document.get("amr", []),
        document.get("subject", ["sub"]),
        document.get("name", ["given_name", "family_name"]),
        [_rule(path, each) for each in document["roles"]],
        document.get("logout", "here"),
    )


def _rule(path: Path, rule: Mapping[str, Any]) -> Rule:
    role, territories = Role(rule["role"]), rule.get("territories", [])
    try:
        for each in territories:
            territory(each)
    except ValueError:
        raise SettingsInvalid(f"{path.name}: a territory is KIND:CODE, such as academie:10.") from None
    bound = BOUNDED.get(role)
    if (bound == "territories" and not territories and "schools_from" not in rule) or (
        bound == "sources" and not rule.get("sources")
    ):
        raise SettingsInvalid(f"{path.name}: the role {role} needs {bound}.")
    return Rule(
        role,
        rule["when"],
        rule.get("schools_from"),
        territories,
        rule.get("sources", []),
        rule.get("activities", []),
    )


def _document(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return orjson.loads(file.read(_MAX_FILE))
    except OSError as refused:
        raise SettingsInvalid(f"{path.name}: the file cannot be read ({refused.strerror}).") from None
    except ValueError:
        raise SettingsInvalid(f"{path.name}: the file is no JSON document.") from None


def is_safe(url: str) -> bool:
    """True of a URL over TLS, or of this host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
