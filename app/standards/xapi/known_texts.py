"""Texts that are known, names and identifiers of people, found and replaced in other texts, as whole words.

In time that grows with the texts alone, however many are known and however they repeat themselves: who plants texts in
a statement must not hold up those who read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

# A word, or one character between words.
_TOKEN: Final = re.compile(r"\w+|\W")
# Of a text with more tokens so many are looked for: what is kept of all known texts stays small.
_MAX_TOKENS: Final = 100
# Upper and lower case of names in Turkish, which case folding tells apart.
_DOTTED: Final = {ord("\u0130"): "i", ord("\u0131"): "i"}
# At the end of a token: a word follows. No token looks so: one with this character has no other.
_THEN_WORD: Final = "\0"
_ROOT: Final = 0


class KnownTexts:
    """Replaces known texts by what stands for them. Safe to share between threads.

    The automaton of Aho and Corasick, over tokens and from the last to the first: read so, it says of each token which
    is the longest known text that begins there. That a text ends where a word does is part of its tokens.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        """``texts``: what stands for each. Upper and lower case are the same; of two that are alike the last counts."""
        self._symbols: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._lengths = [0]
        # A step is kept under ``node * width + symbol``: one table, where one for each node would take far more.
        patterns = [(pattern, name) for text, name in texts.items() for pattern in self._patterns(text)]
        self._width = len(self._symbols) + 1
        self._steps: dict[int, int] = {}
        for pattern, name in patterns:
            node = _ROOT
            for length, symbol in enumerate(reversed(pattern), 1):
                following = self._steps.setdefault(node * self._width + symbol, len(self._lengths))
                if following == len(self._lengths):
                    self._lengths.append(length)
                node = following
            if node:
                self._names[node] = name
        self._shorter, self._found = self._linked()

    def replaced(self, text: str) -> str:
        """The text with each known one in it replaced: the first first, of those that begin together the longest.

        Whole words, so that "paul" is not found in "Saint-Paulin".
        """
        if not self._names:
            return text
        tokens: list[str] = _TOKEN.findall(text)
        begin = self._beginning(tokens)
        if not begin:
            return text
        parts: list[str] = []
        at = 0
        for start in sorted(begin):
            if start < at or (start and _is_word(tokens[start - 1])):
                continue
            parts += tokens[at:start]
            node = begin[start]
            parts.append(self._names[node])
            at = start + self._lengths[node]
        parts += tokens[at:]
        return "".join(parts)

    def _beginning(self, tokens: Sequence[str]) -> dict[int, int]:
        """The node of the longest known text that begins at each token, where one does."""
        steps, width, shorter, found, symbols = self._steps, self._width, self._shorter, self._found, self._symbols
        begin: dict[int, int] = {}
        node, then_word = _ROOT, False
        for at in range(len(tokens) - 1, -1, -1):
            token = tokens[at]
            folded = _folded(token)
            symbol = symbols.get(folded + _THEN_WORD if then_word else folded)
            then_word = _is_word(token)
            if symbol is None:
                node = _ROOT
                continue
            while node and node * width + symbol not in steps:
                node = shorter[node]
            node = steps.get(node * width + symbol, _ROOT)
            if found[node]:
                begin[at] = found[node]
        return begin

    def _patterns(self, text: str) -> Iterator[list[int]]:
        tokens: list[str] = _TOKEN.findall(text)
        cut = len(tokens) > _MAX_TOKENS
        del tokens[_MAX_TOKENS:]
        if not tokens:
            return
        said = [
            _folded(token) + _THEN_WORD if _is_word(following) else _folded(token)
            for token, following in pairwise(tokens)
        ]
        last = _folded(tokens[-1])
        # Where a text was cut off, a word of its own may follow.
        for end in (last, last + _THEN_WORD) if cut else (last,):
            yield [self._symbols.setdefault(symbol, len(self._symbols)) for symbol in (*said, end)]

    def _linked(self) -> tuple[list[int], list[int]]:
        """Of each node the longest other one that it ends with, and the longest known text that it ends with."""
        shorter, found = [_ROOT] * len(self._lengths), [_ROOT] * len(self._lengths)
        # Those nearer to the root first: what a node ends with is shorter than itself.
        for key in sorted(self._steps, key=lambda key: self._lengths[self._steps[key]]):
            node = self._steps[key]
            parent, symbol = divmod(key, self._width)
            if parent:
                end = shorter[parent]
                while end and end * self._width + symbol not in self._steps:
                    end = shorter[end]
                shorter[node] = self._steps.get(end * self._width + symbol, _ROOT)
            found[node] = node if node in self._names else found[shorter[node]]
        return shorter, found


def _is_word(token: str) -> bool:
    return token[:1].isalnum() or token[:1] == "_"


def _folded(token: str) -> str:
    return token.translate(_DOTTED).casefold()
