"""The words of messages: every one is there in every language, and nothing is left over."""

from __future__ import annotations

import pytest

from app.mail.messages import LOCALES
from tests.catalogues import OTHERS, asked, require_complete, require_french_typography, require_placeholders

METHODS = [("**/templates/**.txt", "jinja2")]
OPTIONS = {"**/templates/**.txt": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_and_none_is_left_over(code: str) -> None:
    require_complete(LOCALES, code, asked("mail", METHODS, OPTIONS))


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_placeholders_of_its_message(code: str) -> None:
    require_placeholders(LOCALES, code)


def test_french_has_its_spaces_and_apostrophes() -> None:
    require_french_typography(LOCALES)
