"""Texts that are known, names and identifiers of people, found and replaced in other texts, as whole words.

In time that grows with the text alone, however many are known: a statement may name thousands of people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

# A word, or one character between words.
_TOKEN: Final = re.compile(r"\w+|\W")
# Of a text with more tokens so many are looked for, or one that repeats itself would be compared over and over.
_MOST_TOKENS: Final = 100
# Upper and lower case of names in Turkish, which case folding tells apart.
_DOTTED: Final = {ord("\u0130"): "i", ord("\u0131"): "i"}
_END: Final = ""


class KnownTexts:
    """Replaces known texts by what stands for them. Safe to share between threads."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """``texts``: what stands for each. Upper and lower case are the same; of two that are alike the last counts."""
        self._tree: dict[str, Any] = {}
        for text, name in texts.items():
            node = self._tree
            for token in _TOKEN.findall(text)[:_MOST_TOKENS]:
                node = node.setdefault(_folded(token), {})
            node[_END] = name

    def replaced(self, text: str) -> str:
        """The text with each known one in it replaced: the first first, of those that begin together the longest.

        Whole words, so that "paul" is not found in "Saint-Paulin".
        """
        tokens: list[str] = _TOKEN.findall(text)
        folded = [_folded(token) for token in tokens]
        parts: list[str] = []
        at = 0
        while at < len(tokens):
            name, end = None, at
            if folded[at] in self._tree and not (at and _is_word(tokens[at - 1])):
                name, end = self._longest(tokens, folded, at)
            if name is None:
                name, end = tokens[at], at + 1
            parts.append(name)
            at = end
        return "".join(parts)

    def _longest(self, tokens: Sequence[str], folded: Sequence[str], start: int) -> tuple[str | None, int]:
        node, name, end = self._tree, None, start
        for at in range(start, min(start + _MOST_TOKENS, len(tokens))):
            node = node.get(folded[at], {})
            if not node:
                break
            following = at + 1
            # Where a text was cut off, a word of its own may follow.
            cut = following - start == _MOST_TOKENS
            if _END in node and (cut or following == len(tokens) or not _is_word(tokens[following])):
                name, end = node[_END], following
        return name, end


def _is_word(token: str) -> bool:
    return token[:1].isalnum() or token[:1] == "_"


def _folded(token: str) -> str:
    return token.translate(_DOTTED).casefold()
