import pytest

from app.core.errors import BadVersion
from app.standards.xapi.versions import Version, negotiate


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
