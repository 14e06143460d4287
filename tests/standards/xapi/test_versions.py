"""Versions of xAPI: how one is negotiated, and that all which differs between them stands in their records."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from app.core import contracts
from app.core.errors import BadVersion
from app.settings import Settings
from app.standards.xapi.versions import NEWEST, OLDEST, SUPPORTED, Version, negotiate, of_statement
from tests.places import ROOT


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("1.0", Version.V1),
        ("1.0.0", Version.V1),
        ("1.0.3", Version.V1),
        ("1.0.12", Version.V1),
        ("2.0", Version.V2),
        ("2.0.0", Version.V2),
        ("2.0.7", Version.V2),
    ],
)
def test_a_patch_speaks_to_every_other(header: str, version: Version) -> None:
    assert negotiate(header) is version


@pytest.mark.parametrize(
    "header", [None, "", "1", "0.95", "1.1", "1.1.0", "1.0.", "1.0.3-beta", "2.1", "3.0", " 1.0.3", "1.0.3\n", "٢.0"]
)
def test_any_other_version_is_refused(header: str | None) -> None:
    with pytest.raises(BadVersion):
        negotiate(header)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("1.0.0", Version.V1),
        ("1.0", Version.V1),
        ("2.0.0", Version.V2),
        ("2.0", Version.V2),
        ("2.1.0", Version.V2),
        ("2", Version.V2),
        ("1.1", Version.V1),
        ("3.0.0", Version.V1),
        ("20.0.0", Version.V1),
        ("x", Version.V1),
        ("", Version.V1),
        (None, Version.V1),
        (2.0, Version.V1),
    ],
)
def test_a_statement_is_held_to_the_version_that_it_says(said: object, version: Version) -> None:
    # xAPI-Data 2.4.10: without one, it is of 1.0.0.
    assert of_statement(said) is version


def test_a_version_is_its_record() -> None:
    assert (OLDEST, NEWEST) == (Version.V1, Version.V2)
    assert [version.value for version in SUPPORTED] == ["1.0.3", "2.0.0"]
    for version in SUPPORTED:
        assert Version(version.value) is version
        assert negotiate(version.value) is version
        assert negotiate(version.spec.line) is version
        assert version.value.startswith(f"{version.spec.line}.")
        assert negotiate(version.spec.unsaid) is version
        assert contracts.folder(*version.spec.schema).is_file()


def test_the_message_of_a_refusal_names_every_version() -> None:
    for header in (None, "3.0"):
        with pytest.raises(BadVersion) as refused:
            negotiate(header)
        assert str(refused.value).endswith("Send 1.0.3 or 2.0.0.")


def test_the_setting_takes_every_version() -> None:
    (spec,) = (each for each in fields(Settings) if each.name == "default_version")
    assert list(spec.metadata["form"].validate.choices) == [version.value for version in SUPPORTED]


def test_no_other_module_asks_which_version_it_is() -> None:
    # A version that is added has its record in versions.py, its schema, and its name in settings.py; no more.
    here = ROOT / "app" / "standards" / "xapi" / "versions.py"
    asking = re.compile(r"\bVersion\.V\d|Version\[|[\"']\d\.0\.\d[\"']")
    # The setting that names one; statements made up for a dictionary that is trained once.
    named = {"app/settings.py", "app/simulation/dictionary.py"}
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "app").rglob("*.py")
        if path != here and asking.search(path.read_text())
    }
    assert found == named
