"""The pattern of IRIs in ``schemas/xapi``, made of the grammar of RFC 3987 2.2: nobody could write it by hand.

Four things beyond the grammar: brackets stand unescaped in paths, queries and fragments (ADR 0038), an http or https
IRI has a host (RFC 9110 4.2.1, 4.2.2), there are no characters that turn the direction of writing (RFC 3987 4.1), and
a scheme is looked at letter by letter instead of by look-ahead, which the linear-time engine does not have.
"""

from __future__ import annotations

_HEX = "[0-9A-Fa-f]"
_ESCAPED = f"%{_HEX}{{2}}"
# ucschar, less U+200E, U+200F and U+202A to U+202E.
_UCS = r"\u00a0-\u200d\u2010-\u2029\u202f-\ud7ff\uf900-\ufdcf\ufdf0-\uffef" + "".join(
    f"{chr(plane * 0x10000)}-{chr(plane * 0x10000 + 0xFFFD)}" for plane in range(1, 14)
)
_UCS += f"{chr(0xE1000)}-{chr(0xEFFFD)}"
_PRIVATE = rf"\ue000-\uf8ff{chr(0xF0000)}-{chr(0xFFFFD)}{chr(0x100000)}-{chr(0x10FFFD)}"
_UNRESERVED = r"A-Za-z0-9\-._~"
_DELIMITERS = r"!\u0024&'()*+,;="
_PLAIN = _UNRESERVED + _DELIMITERS + _UCS
_SCHEME = r"A-Za-z0-9+.\-"
# As the address bars of browsers leave them (URL Standard, percent-encode sets of path and query).
_BRACKETS = r"\[\]"


def _run(characters: str, times: str = "*") -> str:
    return f"(?:[{characters}]|{_ESCAPED}){times}"


def _address() -> str:
    """IPv6address and IPvFuture in their brackets."""
    h16 = f"{_HEX}{{1,4}}"
    octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    last = rf"(?:{h16}:{h16}|{octet}(?:\.{octet}){{3}})"
    forms = [f"(?:{h16}:){{6}}{last}", f"::(?:{h16}:){{5}}{last}", f"(?:{h16})?::(?:{h16}:){{4}}{last}"]
    forms.append(f"(?:(?:{h16}:)?{h16})?::(?:{h16}:){{3}}{last}")
    forms.append(f"(?:(?:{h16}:){{0,2}}{h16})?::(?:{h16}:){{2}}{last}")
    forms.append(f"(?:(?:{h16}:){{0,3}}{h16})?::{h16}:{last}")
    forms.append(f"(?:(?:{h16}:){{0,4}}{h16})?::{last}")
    forms.append(f"(?:(?:{h16}:){{0,5}}{h16})?::{h16}")
    forms.append(f"(?:(?:{h16}:){{0,6}}{h16})?::")
    return rf"\[(?:(?:{'|'.join(forms)})|[Vv]{_HEX}+\.[{_UNRESERVED}{_DELIMITERS}:]+)\]"


def _authority(host: str) -> str:
    return rf"(?:{_run(_PLAIN + ':')}@)?(?:{_address()}|{_run(_PLAIN, host)})(?::[0-9]*)?"


def _but(letter: str, more: str = r"0-9+.\-") -> str:
    """The characters that may stand in a scheme, but for a letter of either case."""

    def ranges(first: str, last: str, left_out: str) -> str:
        before, after = chr(ord(left_out) - 1), chr(ord(left_out) + 1)
        return "".join(f"{a}-{b}" for a, b in ((first, before), (after, last)) if a <= b)

    return ranges("A", "Z", letter.upper()) + ranges("a", "z", letter) + more


def _other_scheme() -> str:
    """Any scheme but http and https."""
    rest = f"[{_SCHEME}]*"
    after = f"[{_but('s')}]{rest}|[Ss][{_SCHEME}]+"
    for letter, optional in (("p", ""), ("t", "?"), ("t", "?")):
        after = f"[{_but(letter)}]{rest}|[{letter.upper()}{letter}](?:{after}){optional}"
    return f"(?:[{_but('h', '')}]{rest}|[Hh](?:{after})?)"


def pattern() -> str:
    """The whole."""
    path = f"(?:/{_run(_PLAIN + ':@/' + _BRACKETS)})?"
    web = f"[Hh][Tt][Tt][Pp][Ss]?://{_authority('+')}{path}"
    rootless = f"/?{_run(_PLAIN + ':@', '')}{_run(_PLAIN + ':@/' + _BRACKETS)}"
    other = f"{_other_scheme()}:(?://{_authority('*')}{path}|{rootless}|/)?"
    query, fragment = _run(_PLAIN + ":@/?" + _BRACKETS + _PRIVATE), _run(_PLAIN + ":@/?" + _BRACKETS)
    return rf"^(?:{web}|{other})(?:\?{query})?(?:#{fragment})?$"
