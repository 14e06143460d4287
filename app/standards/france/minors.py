"""Names, e-mail addresses and national pupil numbers in statements about minors: found, and taken out.

Agents and groups should be known by an opaque account alone. What identifies them openly is found wherever they stand:
names and addresses in every agent, accounts that are made of one, addresses and the names of the statement's agents in
its texts, an INE anywhere. ``docs/french-checks.md`` says how far this goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

from app.core import lossless
from app.core.errors import Fault, Place, pointer_to
from app.standards.france import ine

Statement = dict[str, Any]
Pseudonym = Callable[[str, str], str]
"""``pseudonym(kind, value)``: a stable text that stands for a value and tells nothing of it."""

KINDS: Final = ("name", "email", "ine")
STRIP: Final = "strip"
SECTION: Final = "Sillage, statements about minors"
SIGNATURE: Final = "http://adlnet.gov/expapi/attachments/signature"

_WORDS: Final = {
    "name": "A name stands here, or an account made of one. Identify people by an opaque account alone.",
    "email": "An e-mail address, or its hash, stands here. Identify people by an opaque account instead.",
    "ine": "What stands here has the form of an INE, the national number of a pupil, which has no place in a trace.",
    "signed": "The statement is signed: nothing can be taken out of it, and its signature repeats it. Sign a "
    "statement without names, e-mail addresses and INE.",
}


MAX_PLACES: Final = 50
"""Of the INE in one statement, how many places are told: it may hold one every twelve bytes."""


class Found(NamedTuple):
    """Something that identifies a person.

    Attributes:
        kind: One of ``KINDS``.
        place: Its place.
        times: How many there are, of which this is the first: more than one in the last of ``MAX_PLACES`` only.
    """

    kind: str
    place: Place
    times: int = 1

    @property
    def pointer(self) -> str:
        """Its JSON pointer."""
        return pointer_to(self.place)


def find(statement: Statement, written: bytes | None = None) -> list[Found]:
    """The direct identifiers of people that stand openly in a valid statement.

    Args:
        statement: The statement.
        written: It as JSON as orjson writes it, where that is at hand: most statements are told by it to hold nothing.
    """
    if written is None:
        written = lossless.dumps(statement)
    account = statement["actor"].get("account")
    if account is not None and _has_one_name_and_no_address(written):
        found = _of_account(account)
    else:
        found = _of_agents_and_texts(statement, written)
    if ine.possible(written):
        places = ine.find(statement)
        found += [Found("ine", place) for place in islice(places, MAX_PLACES)]
        more = sum(1 for _ in places)
        if more:
            found[-1] = found[-1]._replace(times=1 + more)
    return found


def _has_one_name_and_no_address(written: bytes) -> bool:
    # Of nearly every statement that is so: its one name is that of the actor's account, and nobody else has one.
    # An mbox has an @; its hash has none.
    return (
        b"@" not in written
        and b"%" not in written
        and b'"mbox_sha1sum"' not in written
        and written.count(b'"name":"') == 1
    )


def _of_account(account: Mapping[str, str]) -> list[Found]:
    kind = _kind_of_account(account["name"], _NOBODY)
    return [] if kind is None else [Found(kind, (((None, "actor"), "account"), "name"))]


def _of_agents_and_texts(statement: Statement, written: bytes) -> list[Found]:
    found: list[Found] = []
    agents = list(_agents(statement, None))
    known = Known([agent for _, agent in agents])
    for place, agent in agents:
        if "name" in agent and not _is_pseudonym(agent["name"]):
            found.append(Found("name", (place, "name")))
        found += [Found("email", (place, name)) for name in ("mbox", "mbox_sha1sum") if name in agent]
        account = agent.get("account")
        if account is not None:
            kind = _kind_of_account(account["name"], known)
            if kind is not None:
                found.append(Found(kind, ((place, "account"), "name")))
    elsewhere = known if known and known.may_stand_in(written) else _NOBODY
    # One byte is looked for many times faster than three.
    encoded = b"%" in written and b"%40" in written
    if elsewhere or encoded or written.count(b"@") > sum(map(_ats, (agent for _, agent in agents))):
        for text in _texts(statement, None):
            found += [Found(kind, text.place) for kind in _kinds_of_text(text, elsewhere)]
    return found


def counted(found: Iterable[Found]) -> Counter[str]:
    """The number found of each kind."""
    counts: Counter[str] = Counter()
    for each in found:
        counts[each.kind] += each.times
    return counts


def fault(found: Found, prefix: str = "") -> Fault:
    """The fault of what was found; ``prefix``: the pointer of the statement."""
    return Fault(pointer_to(found.place, prefix), f"minors-{found.kind}", SECTION, _WORDS[found.kind])


def signed(statement: Statement) -> bool:
    """True if a statement has a signature, which what is taken out of it would break (xAPI-Data 2.6)."""
    return any(each.get("usageType") == SIGNATURE for each in statement.get("attachments", ()))


def signed_fault(prefix: str) -> Fault:
    """The fault of a signed statement that something must be taken out of."""
    return Fault(f"{prefix}/attachments", "minors-signed", SECTION, _WORDS["signed"])


def cleaned(statement: Statement, policy: str, pseudonym: Pseudonym, home: str) -> Statement:
    """A copy of a valid statement, valid too, without what ``find`` finds in it.

    Names of agents are taken out (``strip``) or replaced by a pseudonym (``pseudonymise``). An address that identifies
    an agent is replaced by an account with a pseudonym in both, an account name by a pseudonym: an agent needs an
    identifier, and the same one throughout. Elsewhere names, addresses and INE are replaced by a pseudonym; ``strip``
    takes them out of extensions and responses that hold nothing else.

    Args:
        statement: The statement.
        policy: ``strip`` or ``pseudonymise``.
        pseudonym: Gives pseudonyms.
        home: Home page of the accounts that replace addresses.
    """
    copy: Statement = lossless.loads(lossless.dumps(statement))
    agents = [agent for _, agent in _agents(copy, None)]
    known = Known(agents)
    for agent in agents:
        if "name" in agent and not _is_pseudonym(agent["name"]):
            if policy == STRIP:
                del agent["name"]
            else:
                agent["name"] = pseudonym("name", agent["name"])
        for name in ("mbox", "mbox_sha1sum"):
            if name in agent:
                # xAPI-Data 2.4.2.3: an agent has one identifier.
                agent["account"] = _account_of_address(agent.pop(name), pseudonym, home)
                break
        else:
            account = agent.get("account")
            if account is not None and _kind_of_account(account["name"], known) is not None:
                account["name"] = _account_pseudonym(account["name"], pseudonym)
    # All of them first: what is taken out of a list moves what follows it.
    for text in reversed(list(_texts(copy, None))):
        clean = _cleaned_text(text, known, pseudonym)
        if clean == text.value:
            continue
        if policy == STRIP and text.free and _PSEUDONYM.fullmatch(clean.strip()):
            del text.container[text.key]
        else:
            text.container[text.key] = clean
    if not ine.possible(lossless.dumps(copy)):
        return copy

    def stand_in(number: str) -> str:
        return pseudonym("ine", number)

    def rewritten(value: Any, free: bool) -> Any:
        if isinstance(value, str):
            return ine.replace(value, stand_in)
        if isinstance(value, dict):
            return {
                ine.replace(key, stand_in): rewritten(member, free or key == "extensions")
                for key, member in value.items()
                if not (policy == STRIP and (free or key == "response") and _bare(member))
            }
        if isinstance(value, list):
            return [rewritten(each, free) for each in value if not (policy == STRIP and free and _bare(each))]
        return value

    return {name: rewritten(part, False) for name, part in copy.items()}


def forms(agent: Mapping[str, Any], pseudonym: Pseudonym, home: str) -> list[dict[str, Any]]:
    """The agents, each an identifier alone, that ``cleaned`` may leave in the place of an agent with this identifier.

    An address, and an account that tells a person by itself, are always replaced. Any other account is, too, in a
    statement that names the person it is made of: then both stand here, what it is first.

    Args:
        agent: Valid, with one identifier: ``account``, ``mbox``, ``mbox_sha1sum`` or ``openid``.
        pseudonym: As for ``cleaned``.
        home: As for ``cleaned``.
    """
    found: list[dict[str, Any]] = []
    account = agent.get("account")
    address = next((agent[name] for name in ("mbox", "mbox_sha1sum") if name in agent), None)
    if address is not None:
        found.append({"account": _account_of_address(address, pseudonym, home)})
    elif account is not None:
        name = account["name"]
        always = _kind_of_account(name, _NOBODY) is not None
        if not always:
            found.append({"account": {"homePage": account["homePage"], "name": name}})
        if always or _may_be_made_of_a_name(name):
            found.append({"account": {"homePage": account["homePage"], "name": _account_pseudonym(name, pseudonym)}})
    elif "openid" in agent:
        found.append({"openid": agent["openid"]})

    def stand_in(number: str) -> str:
        return pseudonym("ine", number)

    def rewritten(value: Any) -> Any:
        if isinstance(value, str):
            return ine.replace(value, stand_in)
        return {name: rewritten(member) for name, member in value.items()}

    return [rewritten(each) for each in found]


class Known:
    """The names of the agents of one statement, by which they are found elsewhere in it.

    A name is its words: runs of letters, without accents and in lower case. It stands where all of them do, in any
    order and next to each other, or the first and the last one. One of a single word stands where that word does. A
    name of less than three letters, of more than six words, or that is an address or a pseudonym, is not looked for;
    nor are names of groups, which are those of classes.
    """

    __slots__ = ("_edges", "_joined", "_lengths", "_names", "_said")

    def __init__(self, agents: Sequence[Mapping[str, Any]]) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._joined: set[str] = set()
        self._lengths: tuple[int, ...] = ()
        # First and last words, and the names they are of: what is not told by these is looked at word by word.
        self._edges: list[tuple[bytes, bytes]] = []
        self._said = b""
        named = [agent for agent in agents if "name" in agent]
        if not named:
            return
        for agent in named:
            if agent.get("objectType") != "Group":
                self._add(agent["name"])
        if self._names:
            self._lengths = tuple(sorted({len(words) for words in self._names}, reverse=True))
            self._said = _folded(b"\0".join(agent["name"].encode() for agent in named))

    def __bool__(self) -> bool:
        return bool(self._names)

    def _add(self, name: str) -> None:
        if _is_pseudonym(name) or "@" in name or len(name) > _MAX_NAME_LENGTH:
            return
        words = tuple(word.folded for word in _words(name))
        if sum(map(len, words)) < _MIN_LETTERS or len(words) > _MAX_WORDS:
            return
        self._names.setdefault(tuple(sorted(words)), name)
        self._joined.add("".join(words))
        self._edges.append((_ascii(words[0]), _ascii(words[-1])))
        if len(words) > 1:
            first, last = words[0], words[-1]
            self._names.setdefault(tuple(sorted((first, last))), name)
            # The accounts that are commonly made of a name.
            self._joined.update((first + last, last + first, first[0] + last, last + first[0], first + last[0]))

    def may_stand_in(self, written: bytes) -> bool:
        """True if JSON of the statement may have one of the names elsewhere than as a name; quick, and seldom wrong."""
        if len(self._edges) > _TOLD_BY_EDGES:
            return True
        folded = _folded(written)
        return any(
            folded.count(first) > self._said.count(first) and folded.count(last) > self._said.count(last)
            for first, last in self._edges
        )

    def _may_make(self, account: str) -> bool:
        """Likewise of the name of an account, which may have one of the two words only."""
        if len(self._edges) > _TOLD_BY_EDGES:
            return True
        folded = _folded(account.encode())
        return any(first in folded or last in folded for first, last in self._edges)

    def within(self, text: str, *, single: bool = True) -> list[tuple[int, int, str]]:
        """The places of names in a text: begin, end, and the name. ``single``: those of one word are looked for too."""
        if not self._names or len(text) < _MIN_LETTERS:
            return []
        words = list(_words(text))
        found: list[tuple[int, int, str]] = []
        at = 0
        while at < len(words):
            for length in self._lengths:
                some = words[at : at + length]
                if len(some) < length or (length == 1 and not single):
                    continue
                name = self._names.get(tuple(sorted(word.folded for word in some)))
                if name is not None and all(
                    _BETWEEN.fullmatch(text, one.end, other.begin) for one, other in pairwise(some)
                ):
                    found.append((some[0].begin, some[-1].end, name))
                    at += length
                    break
            else:
                at += 1
        return found

    def makes(self, account: str) -> bool:
        """True if the letters of an account name are those of a name, joined, or of one of them and an initial."""
        if not self._joined or len(account) > _MAX_NAME_LENGTH or not self._may_make(account):
            return False
        return "".join(word.folded for word in _words(account)) in self._joined or bool(self.within(account))


class _Word(NamedTuple):
    """A run of letters in a text, without accents and in lower case."""

    begin: int
    end: int
    folded: str


class _Text(NamedTuple):
    """A text in a statement, in what holds it; ``free``: its whole may be taken out; ``iri``: it is an identifier."""

    container: Any
    key: Any
    place: Place
    free: bool
    iri: bool

    @property
    def value(self) -> str:
        """The text."""
        text: str = self.container[self.key]
        return text


_MAX_NAME_LENGTH: Final = 200
_MIN_LETTERS: Final = 3
_MAX_WORDS: Final = 6
_TOLD_BY_EDGES: Final = 8
_LETTERS: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*+")
_BETWEEN: Final = re.compile(r"[\s._,+'\u2019-]{1,3}+|%20")
_AT: Final = re.compile("@|%40")
_PSEUDONYM: Final = re.compile(r"[0-9a-f]{32}")
_PART: Final = r"[^\W\d_]++(?:['\u2019-][^\W\d_]++)*+"
# ``prenom.nom``, ``Camille Exemple``, ``c_exemple2``: two to four words of letters, one at least of two.
_LOGIN: Final = re.compile(
    rf"\s*+(?=.*[^\W\d_]{{2}})(?:{_PART})(?:(?:[._]|,? {{1,2}}+)(?:{_PART})){{1,3}}+\d{{0,4}}+\s*+"
)
# RFC 5322 3.2.3, less what delimits an address within a text or an IRI.
_LOCAL: Final = frozenset(".!#$&'*+=?^_`{|}~-")
_MAX_LOCAL_LENGTH, _MAX_DOMAIN_LENGTH = 64, 255


_NOBODY: Final = Known(())


def _folded(written: bytes) -> bytes:
    """JSON without accents and in lower case, as far as it is ASCII then."""
    return written.lower() if written.isascii() else _ascii(unicodedata.normalize("NFD", written.decode().casefold()))


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "ignore")


def _ats(agent: Mapping[str, Any]) -> int:
    """The number of @ that an agent has where they are looked at as such."""
    account = agent.get("account")
    said: tuple[str, ...] = (agent.get("mbox", ""), agent.get("name", ""), account["name"] if account else "")
    return sum(text.count("@") for text in said)


def _is_pseudonym(text: str) -> bool:
    return _PSEUDONYM.fullmatch(text) is not None


def _words(text: str) -> Iterator[_Word]:
    for found in _LETTERS.finditer(text):
        word = found.group().casefold()
        if not word.isascii():
            word = "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))
        yield _Word(found.start(), found.end(), word)


def _kind_of_account(name: str, known: Known) -> str | None:
    """The kind of personal data that an account name holds: an address, a name; None: it is opaque."""
    if "@" in name and (_is_address(name) or next(_addresses(name), None) is not None):
        return "email"
    if len(name) <= _MAX_NAME_LENGTH and (_LOGIN.fullmatch(name) or (known and known.makes(name))):
        return "name"
    return None


def _may_be_made_of_a_name(account: str) -> bool:
    """True if ``Known.makes`` holds of an account for some name: it has two letters, and is no pseudonym."""
    if len(account) > _MAX_NAME_LENGTH or _is_pseudonym(account):
        return False
    return sum(len(word.folded) for word in _words(account)) > 1


def _account_of_address(address: str, pseudonym: Pseudonym, home: str) -> dict[str, str]:
    return {"homePage": home, "name": pseudonym("email", address.lower())}


def _account_pseudonym(name: str, pseudonym: Pseudonym) -> str:
    if _is_address(name):
        address = name.strip().lower().removeprefix("mailto:")
        return pseudonym("email", f"mailto:{address}")
    return pseudonym("account", name)


def _kinds_of_text(text: _Text, known: Known) -> Iterator[str]:
    value = text.value
    yield from ("email" for _ in _addresses(value))
    yield from ("name" for _ in known.within(value, single=not text.iri))


def _cleaned_text(text: _Text, known: Known, pseudonym: Pseudonym) -> str:
    """A text with each address and name in it replaced."""
    value = _replaced(text.value, _addresses(text.value), lambda address: pseudonym("email", f"mailto:{address}"))
    return _replaced(value, known.within(value, single=not text.iri), lambda name: pseudonym("name", name))


def _replaced(text: str, found: Iterable[tuple[int, int, str]], by: Callable[[str], str]) -> str:
    """A text with what was found in it, in order, replaced; each different thing is given to ``by`` once."""
    parts: list[str] = []
    known: dict[str, str] = {}
    after = 0
    for begin, end, what in found:
        if what not in known:
            known[what] = by(what)
        parts += (text[after:begin], known[what])
        after = end
    return "".join((*parts, text[after:])) if parts else text


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    """The e-mail addresses in a text: begin, end, and the address in lower case.

    From each @, or %40, to both sides: no regular expression, which takes the square of the length of what it begins
    anew at each character of.
    """
    after = 0
    for at in _AT.finditer(text):
        middle, end = at.span()
        if middle < after:
            continue
        begin = middle
        least = max(after, middle - _MAX_LOCAL_LENGTH)
        while begin > least and (text[begin - 1].isalnum() or text[begin - 1] in _LOCAL):
            begin -= 1
        while begin < middle and text[begin] in ".'":
            begin += 1
        last, most = end, min(len(text), end + _MAX_DOMAIN_LENGTH)
        while last < most and (text[last].isalnum() or text[last] in "-."):
            last += 1
        domain = text[end:last].rstrip(".-")
        host, dot, top = domain.rpartition(".")
        if begin < middle and dot and host.strip(".-") and len(top) > 1 and top.isalpha():
            after = end + len(domain)
            yield begin, after, f"{text[begin:middle]}@{domain}".lower()


def _texts(statement: Mapping[str, Any], place: Place) -> Iterator[_Text]:
    """The texts of a statement: what people read or wrote, extensions, and the identifiers of activities."""
    yield from _language_map(statement["verb"], "display", (place, "verb"))
    target, at = statement["object"], (place, "object")
    kind = target.get("objectType", "Activity")
    if kind == "Activity":
        yield from _activity(target, at)
    elif kind == "SubStatement":
        yield from _texts(target, at)
    result = statement.get("result")
    if result is not None:
        at = (place, "result")
        if "response" in result:
            yield _Text(result, "response", (at, "response"), True, False)
        yield from _extensions(result, at)
    context = statement.get("context")
    if context is not None:
        at = (place, "context")
        for name in ("revision", "platform"):
            if name in context:
                yield _Text(context, name, (at, name), False, False)
        for relation, given in context.get("contextActivities", {}).items():
            where = ((at, "contextActivities"), relation)
            if isinstance(given, dict):
                yield from _activity(given, where)
            else:
                for number, each in enumerate(given):
                    yield from _activity(each, (where, number))
        yield from _extensions(context, at)
    for number, each in enumerate(statement.get("attachments", ())):
        for name in ("display", "description"):
            yield from _language_map(each, name, ((place, "attachments"), number))


def _activity(activity: dict[str, Any], place: Place) -> Iterator[_Text]:
    yield _Text(activity, "id", (place, "id"), False, True)
    definition = activity.get("definition")
    if definition is None:
        return
    at: Place = (place, "definition")
    for name in ("name", "description"):
        yield from _language_map(definition, name, at)
    if "moreInfo" in definition:
        yield _Text(definition, "moreInfo", (at, "moreInfo"), False, True)
    # What a learner's answer is compared with stays what it is: the same is replaced in both.
    for number, _ in enumerate(definition.get("correctResponsesPattern", ())):
        patterns = definition["correctResponsesPattern"]
        yield _Text(patterns, number, ((at, "correctResponsesPattern"), number), False, False)
    for name in ("choices", "scale", "source", "target", "steps"):
        for number, each in enumerate(definition.get(name, ())):
            where = ((at, name), number)
            yield _Text(each, "id", (where, "id"), False, False)
            yield from _language_map(each, "description", where)
    yield from _extensions(definition, at)


def _language_map(holder: Mapping[str, Any], name: str, place: Place) -> Iterator[_Text]:
    texts = holder.get(name)
    if texts is not None:
        for language in texts:
            yield _Text(texts, language, ((place, name), language), False, False)


def _extensions(holder: Mapping[str, Any], place: Place) -> Iterator[_Text]:
    """The texts in the values of extensions, however deep."""
    stack: list[tuple[Any, Place]] = [(holder.get("extensions"), (place, "extensions"))]
    while stack:
        value, at = stack.pop()
        members = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
        for key, member in members:
            if type(member) is str:
                yield _Text(value, key, (at, key), True, "://" in member)
            elif type(member) is dict or type(member) is list:
                stack.append((member, (at, key)))


def _is_address(text: str) -> bool:
    """True if a text, blanks around it aside, is an e-mail address: one @, and a dot within the domain.

    No regular expression: senders choose the text, and the obvious one takes the square of its length.
    """
    words = text.split()
    local, _, domain = words[0].partition("@") if len(words) == 1 else ("", "", "")
    return bool(local) and "@" not in domain and "." in domain[1:-1]


def _bare(value: object) -> bool:
    return isinstance(value, str) and ine.looks_like(value)


def _agents(statement: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every agent and group of a statement, the members of groups too, with its place."""
    yield from _with_members(statement["actor"], (place, "actor"))
    target = statement["object"]
    kind = target.get("objectType")
    if kind in ("Agent", "Group"):
        yield from _with_members(target, (place, "object"))
    elif kind == "SubStatement":
        yield from _agents(target, (place, "object"))
    context = statement.get("context", {})
    for name in ("instructor", "team"):
        if name in context:
            yield from _with_members(context[name], ((place, "context"), name))
    for name, inner in (("contextAgents", "agent"), ("contextGroups", "group")):
        for at, each in enumerate(context.get(name, ())):
            yield from _with_members(each[inner], ((((place, "context"), name), at), inner))


def _with_members(agent: dict[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield place, agent
    for at, member in enumerate(agent.get("member", ())):
        yield ((place, "member"), at), member
