"""Patterns matched one statement at a time (xAPI Profiles 1.0, Communication 2.2, the pseudocode there).

The specification's algorithm looks at all statements at once. This one takes them as they come and keeps what is still
possible as a small tree, so that a session can be resumed at any time. It is greedy as the specification wants: what is
optional or repeated is taken whenever it can be, an alternate is the one that takes most, and what was taken is not
given back, except the beginning of something optional, repeated or alternate that turns out not to match whole.

The tree holds *threads*. A thread waits for a template, or has reached the end of the pattern. Where the specification
would try one thing and fall back on another, both run side by side, and which holds is known once the first has matched
whole or failed:

* ``Wait(template, rest)``: a statement of that template is needed; then goes on with ``rest``;
* ``End``: the pattern is complete;
* ``Try(first, second)``: ``second`` holds if ``first`` fails, and is dropped once ``first`` has matched whole;
* ``Alternates(running, best)``: of those that match whole, the one that took most: ``best`` so far, by its age;
* ``Past(age, node)``: matched whole ``age`` statements ago, and ``node`` is what came of what follows;
* ``None``: failed.

Nodes are tuples of numbers and tuples, so that a state is JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from app.standards.profiles import document
from app.standards.profiles.document import Pattern, Profile, Template

Node = tuple[Any, ...] | None
_Rest = tuple[int, ...]

_WAIT, _END, _TRY, _ALTERNATES, _PAST = range(5)
_ENDED: Node = (_END,)
_PASSED: Final = -1
_NONE: Final = -1
# Trees of sensible patterns have a dozen nodes: what needs this many cannot be followed.
_MAX_NODES: Final = 4_000
_LARGE: Final = 24
# Sessions of one pattern go through the same few states: so many steps are remembered, of small trees of patterns with
# no more members than this, for what a tree has still to match is written out in it.
_REMEMBERED: Final = 1_024
_MAX_MEMBERS: Final = 200
# As many levels of a tree, as JSON, can be kept (orjson writes 254) and walked by functions that call themselves.
_MAX_DEPTH: Final = 150


class Progress(StrEnum):
    """Progress of a session's statements through a pattern.

    ``SUCCESS``: they follow it whole, and it may go on. ``PARTIAL``: they follow its beginning. ``FAILURE``: they do
    not, and nothing that comes can mend it.
    """

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"


class Unresolved(ValueError):
    """A pattern names templates or patterns that no profile at hand defines; ``names`` are their IRIs."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = tuple(names)


class TooAmbiguous(ValueError):
    """Too many ways to match the same statements are open at once, or patterns are within patterns too deeply."""


class CompiledPattern(NamedTuple):
    """A pattern ready to follow.

    Attributes:
        symbols: Number of each template in it, by IRI.
        program: Its elements: kind and members by number; for a template, ``template`` and its number.
        fingerprint: Tells whether a state kept earlier belongs to this very pattern.
        small: Whether it has few members, all elements together.
    """

    id: str
    profile: str
    symbols: Mapping[str, int]
    program: tuple[tuple[str, tuple[int, ...]], ...]
    fingerprint: str
    small: bool


class Break(NamedTuple):
    """The statement at which a session left its pattern.

    Attributes:
        at: Place of the statement among those of the session, from 0.
        wanted: IRIs of the templates one of which was needed there; none when the pattern was complete.
        found: IRIs of the templates of this profile that the statement follows.
    """

    at: int
    wanted: tuple[str, ...]
    found: tuple[str, ...]


class State(NamedTuple):
    """Position of a session in a pattern.

    Attributes:
        seen: How many statements it had.
        node: What is still possible.
        broken: Where it failed, if it did.
    """

    seen: int
    node: Node
    broken: Break | None


def elements(profile: Profile, version: str, others: Sequence[Profile] = ()) -> dict[str, Pattern | Template]:
    """The elements that the patterns of a version may name, by IRI: its own, and those that other profiles describe."""
    # Structure 9: those of other profiles are used as if they were in this one.
    known = document.newest_elements(other for other in others if other.id != profile.id)
    return known | {each.id: each for each in profile.elements if each.version == version}


def compile(
    profile: Profile,
    pattern: Pattern,
    others: Sequence[Profile] = (),
    *,
    known: Mapping[str, Pattern | Template] | None = None,
) -> CompiledPattern:
    """Compile a pattern of a profile; templates and patterns of other profiles are looked up in ``others``.

    ``known``: the ``elements`` of its version, for who compiles several.

    Raises:
        Unresolved: a template or pattern is in none of them.
        TooAmbiguous: it cannot be followed.
    """
    compiler = _Compiler(elements(profile, pattern.version, others) if known is None else known)
    compiler.element(pattern.id)
    if compiler.missing:
        raise Unresolved(compiler.missing)
    program = tuple(compiler.program)
    names = sorted(compiler.symbols, key=lambda iri: compiler.symbols[iri])
    print_ = hashlib.sha256(orjson.dumps([names, program])).hexdigest()[:16]
    small = sum(len(members) for _, members in program) <= _MAX_MEMBERS
    compiled = CompiledPattern(pattern.id, profile.id, compiler.symbols, program, print_, small)
    start(compiled)
    return compiled


def primaries(profile: Profile, version: str | None = None) -> list[Pattern]:
    """The patterns of a version, the newest by default, that sequences of statements are held to."""
    wanted = profile.version if version is None else version
    return [pattern for pattern in profile.patterns if pattern.primary and pattern.version == wanted]


class _Compiler:
    def __init__(self, known: Mapping[str, Pattern | Template]) -> None:
        self._known = known
        self.symbols: dict[str, int] = {}
        self.program: list[tuple[str, tuple[int, ...]]] = []
        self.missing: dict[str, None] = {}
        self._made: dict[tuple[str, str], int] = {}
        self._depth = 0

    def element(self, iri: str) -> int:
        element = self._known.get(iri)
        if element is None:
            self.missing[iri] = None
            return 0
        return self._pattern(element) if isinstance(element, Pattern) else self._template(iri)

    def _template(self, iri: str) -> int:
        known = self._made.get(("template", iri))
        if known is None:
            number = self.symbols.setdefault(iri, len(self.symbols))
            known = self._made["template", iri] = len(self.program)
            self.program.append(("template", (number,)))
        return known

    def _pattern(self, pattern: Pattern) -> int:
        known = self._made.get(("pattern", pattern.id))
        if known is None:
            # The whole comes before its parts, so that the pattern asked for is number 0.
            known = self._made["pattern", pattern.id] = len(self.program)
            self.program.append(("", ()))
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise TooAmbiguous
            members = tuple(self.element(member) for member in pattern.members)
            self._depth -= 1
            self.program[known] = (pattern.kind, members)
        return known


# --- following ------------------------------------------------------------------------------------


def start(pattern: CompiledPattern) -> State:
    """The state before any statement."""
    return State(0, _Build(pattern.program).begin(), None)


def advance(pattern: CompiledPattern, state: State, templates: Iterable[str]) -> State:
    """The state after one more statement.

    Args:
        pattern: The pattern.
        state: Before it.
        templates: IRIs of the templates that the statement follows; none for one that fails a template or matches none
            (Communication 2.2: such a statement follows no pattern).
    """
    if state.broken is not None:
        return state._replace(seen=state.seen + 1)
    followed = tuple(templates)
    symbols = frozenset(pattern.symbols[iri] for iri in followed if iri in pattern.symbols)
    try:
        node = _stepped(pattern, state.node, symbols)
    except TooAmbiguous:
        node = None
    if node is not None:
        return State(state.seen + 1, node, None)
    return State(state.seen + 1, None, Break(state.seen, wanted(pattern, state), followed))


_UNKNOWN: Final = ()
_steps: dict[tuple[str, Node, frozenset[int]], Node] = {}


def _stepped(pattern: CompiledPattern, node: Node, symbols: frozenset[int]) -> Node:
    if not pattern.small:
        return _Build(pattern.program).step(node, symbols)
    key = (pattern.fingerprint, node, symbols)
    known = _steps.get(key, _UNKNOWN)
    if known is not _UNKNOWN:
        return known
    after = _Build(pattern.program).step(node, symbols)
    if _size(node, _LARGE) <= _LARGE and _size(after, _LARGE) <= _LARGE:
        if len(_steps) >= _REMEMBERED:
            _steps.clear()
        _steps[key] = after
    return after


def progress(state: State) -> Progress:
    """The present progress of a session."""
    if state.node is None:
        return Progress.FAILURE
    return Progress.SUCCESS if _resolve(state.node) is _ENDED else Progress.PARTIAL


def wanted(pattern: CompiledPattern, state: State) -> tuple[str, ...]:
    """IRIs of the templates that the next statement may follow."""
    awaited = set(_awaited(state.node))
    return tuple(iri for iri, number in pattern.symbols.items() if number in awaited)


def follow(pattern: CompiledPattern, statements: Iterable[Iterable[str]]) -> State:
    """The state after a whole session: of each of its statements, in order, the templates that it follows."""
    state = start(pattern)
    for templates in statements:
        state = advance(pattern, state, templates)
    return state


def dump(pattern: CompiledPattern, state: State) -> list[Any]:
    """A state as JSON values."""
    broken = None if state.broken is None else [*state.broken]
    return [pattern.fingerprint, state.seen, state.node, broken]


def restore(pattern: CompiledPattern, dumped: Sequence[Any]) -> State | None:
    """The state that ``dump`` wrote; None when the pattern has changed since."""
    fingerprint, seen, node, broken = dumped
    if fingerprint != pattern.fingerprint:
        return None
    return State(seen, _frozen(node), None if broken is None else Break(broken[0], tuple(broken[1]), tuple(broken[2])))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


class _Build:
    """Builds nodes. What is left to match is a tuple of numbers: elements, and these marks:

    ``_PASSED``: what a ``Try`` or ``Alternates`` tries has matched whole; ``-2 - 2e``: element ``e`` may come again;
    ``-3 - 2e``: it may, if it took something the last time (Communication 2.2: the same size ends a repetition).
    """

    def __init__(self, program: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        self._program = program
        self._left = _MAX_NODES
        self._depth = 0

    def begin(self) -> Node:
        """The node before any statement.

        Raises:
            TooAmbiguous: it would be larger than what is followed.
        """
        return self._bounded(self.enter((0,)))

    def enter(self, rest: _Rest) -> Node:
        self._left -= 1
        self._depth += 1
        if self._left < 0 or self._depth > _MAX_DEPTH:
            raise TooAmbiguous
        node = self._entered(rest)
        self._depth -= 1
        return node

    def _entered(self, rest: _Rest) -> Node:
        if not rest:
            return _ENDED
        code, rest = rest[0], rest[1:]
        if code == _PASSED:
            return (_PAST, 0, self.enter(rest))
        if code < 0:
            return self.enter(rest) if code % 2 else self._again((-2 - code) // 2, rest)
        kind, members = self._program[code]
        if kind == "template":
            # It takes a statement: what may come again if something was taken may come again.
            return (_WAIT, members[0], tuple(mark + 1 if mark < -2 and mark % 2 else mark for mark in rest))
        if kind == "sequence":
            return self.enter(members + rest)
        member = members[0]
        if kind == "optional":
            return _try(self.enter((member, _PASSED, *rest)), self.enter(rest))
        if kind == "zeroOrMore":
            return self._again(member, rest)
        if kind == "oneOrMore":
            return self.enter((member, -3 - 2 * member, *rest))
        return _alternates([self.enter((each, _PASSED, *rest)) for each in members], _NONE, None)

    def _again(self, element: int, rest: _Rest) -> Node:
        return _try(self.enter((element, _PASSED, -3 - 2 * element, *rest)), self.enter(rest))

    def step(self, node: Node, symbols: frozenset[int]) -> Node:
        """The node after a statement.

        Raises:
            TooAmbiguous: it would be larger than what is followed.
        """
        return self._bounded(self._step(node, symbols))

    @staticmethod
    def _bounded(node: Node) -> Node:
        if node is None or node[0] not in (_TRY, _ALTERNATES) or _size(node, _LARGE) <= _LARGE:
            return node
        pruned = _pruned(node, frozenset())
        if _size(pruned, _MAX_NODES) > _MAX_NODES or _levels(pruned) > _MAX_DEPTH:
            raise TooAmbiguous
        return pruned

    def _step(self, node: Node, symbols: frozenset[int]) -> Node:
        if node is None:
            return None
        kind = node[0]
        if kind == _WAIT:
            return self.enter(node[2]) if node[1] in symbols else None
        if kind == _TRY:
            return _try(self._step(node[1], symbols), self._step(node[2], symbols))
        if kind == _ALTERNATES:
            _, running, age, best = node
            stepped = [self._step(each, symbols) for each in running]
            return _alternates(stepped, age + 1 if age >= 0 else age, self._step(best, symbols))
        if kind == _PAST:
            return (_PAST, node[1] + 1, self._step(node[2], symbols))
        return None


def _try(first: Node, second: Node) -> Node:
    if first is None:
        return second
    # It matched whole: there is nothing to fall back on any more.
    return first[2] if first[0] == _PAST else (_TRY, first, second)


def _alternates(nodes: Sequence[Node], age: int, best: Node) -> Node:
    running: dict[Node, None] = {}
    for node in nodes:
        if node is not None and node[0] == _PAST:
            # Communication 2.2: the one that leaves the fewest statements.
            if age == _NONE or node[1] < age:
                age, best = node[1], node[2]
        elif node is not None:
            running[node] = None
    return (_ALTERNATES, tuple(running), age, best) if running else best


def _pruned(node: Node, preferred: frozenset[Node]) -> Node:
    """The same without what is tried already where it is preferred: both match, or fail, at the same statement."""
    if node is None or node[0] in (_WAIT, _END):
        return node
    if node[0] == _PAST:
        return (_PAST, node[1], _pruned(node[2], preferred))
    if node[0] == _TRY:
        _, first, second = node
        if first in preferred:
            return _pruned(second, preferred)
        return _try(_pruned(first, preferred), _pruned(second, preferred | {first}))
    _, running, age, best = node
    kept = [each for each in running if each not in preferred]
    return _alternates([_pruned(each, preferred) for each in kept], age, _pruned(best, preferred | set(kept)))


def _size(node: Node, enough: int) -> int:
    """The number of nodes in a tree, counted up to a little more than ``enough``."""
    stack, count = [node], 0
    while stack and count <= enough:
        here = stack.pop()
        if here is not None:
            count += 1
            if here[0] == _TRY:
                stack += here[1:]
            elif here[0] == _ALTERNATES:
                stack += (*here[1], here[3])
            elif here[0] == _PAST:
                stack.append(here[2])
    return count


def _levels(node: Node) -> int:
    """The depth of a tree in tuples."""
    level, here = 0, [node]
    while here:
        level += 1
        # A tuple of what runs is a level of its own.
        here = [part for each in here if each is not None for part in each if isinstance(part, tuple)]
    return level


def _resolve(node: Node) -> Node:
    """The node that is left if nothing comes any more: None, the end, or (within a trial) past it."""
    if node is None or node[0] == _WAIT:
        return None
    kind = node[0]
    if kind == _END:
        return _ENDED
    if kind == _PAST:
        return (_PAST, node[1], _resolve(node[2]))
    if kind == _TRY:
        first = _resolve(node[1])
        return _resolve(node[2]) if first is None else first[2]
    _, running, age, best = node
    return _alternates([_resolve(each) for each in running], age, _resolve(best))


def _awaited(node: Node) -> Iterator[int]:
    stack = [node]
    while stack:
        here = stack.pop()
        if here is None or here[0] == _END:
            continue
        if here[0] == _WAIT:
            yield here[1]
        elif here[0] == _TRY:
            stack += here[1:]
        elif here[0] == _ALTERNATES:
            stack += (*here[1], here[3])
        else:
            stack.append(here[2])


# --- what can be said of a pattern by itself ------------------------------------------------------


class Reach(NamedTuple):
    """The outcomes that a pattern can come to.

    Attributes:
        completes: Whether some sequence of statements completes it.
        used: IRIs of the templates that are in some sequence that completes it.
        whole: Whether everything was looked at; otherwise the pattern has too many states.
        work: How much work that was: nodes and members gone through.
    """

    completes: bool
    used: frozenset[str]
    whole: bool
    work: int = 0


def explore(pattern: CompiledPattern, max_states: int = 2_000, max_work: int = 2_000_000) -> Reach:
    """Follow every sequence of statements of one template each."""
    first = start(pattern).node
    after: dict[Node, dict[int, Node]] = {}
    stack = [first]
    # What is left to match is written out in a node.
    members = sum(len(each) for _, each in pattern.program)
    work = 0
    while stack:
        node = stack.pop()
        if node in after:
            continue
        if len(after) >= max_states:
            return Reach(True, frozenset(pattern.symbols), False, work)
        after[node] = {}
        size = _size(node, _MAX_NODES) + members
        for symbol in set(_awaited(node)):
            work += size
            if work > max_work:
                return Reach(True, frozenset(pattern.symbols), False, work)
            try:
                reached = _ageless(_Build(pattern.program).step(node, frozenset((symbol,))))
            except TooAmbiguous:
                return Reach(True, frozenset(pattern.symbols), False, work)
            if reached is not None:
                after[node][symbol] = reached
                stack.append(reached)
    before: dict[Node, list[Node]] = {}
    for node, ways in after.items():
        for reached in ways.values():
            before.setdefault(reached, []).append(node)
    useful = {node for node in after if _resolve(node) is _ENDED}
    stack = list(useful)
    while stack:
        for earlier in before.get(stack.pop(), ()):
            if earlier not in useful:
                useful.add(earlier)
                stack.append(earlier)
    names = {number: iri for iri, number in pattern.symbols.items()}
    used = {names[symbol] for node in useful for symbol, reached in after.get(node, {}).items() if reached in useful}
    return Reach(first in useful, frozenset(used), True, work)


def _ageless(node: Node) -> Node:
    """The same with the smallest ages in the same order, so that equal possibilities are equal nodes."""
    ages = sorted(set(_ages(node)))
    return _aged(node, {age: place for place, age in enumerate(ages)})


def _ages(node: Node) -> Iterator[int]:
    if node is None or node[0] in (_WAIT, _END):
        return
    if node[0] == _TRY:
        yield from _ages(node[1])
        yield from _ages(node[2])
    elif node[0] == _PAST:
        yield node[1]
        yield from _ages(node[2])
    else:
        if node[2] >= 0:
            yield node[2]
        for each in (*node[1], node[3]):
            yield from _ages(each)


def _aged(node: Node, ages: Mapping[int, int]) -> Node:
    if node is None or node[0] in (_WAIT, _END):
        return node
    if node[0] == _TRY:
        return (_TRY, _aged(node[1], ages), _aged(node[2], ages))
    if node[0] == _PAST:
        return (_PAST, ages[node[1]], _aged(node[2], ages))
    running = tuple(_aged(each, ages) for each in node[1])
    return (_ALTERNATES, running, ages.get(node[2], _NONE), _aged(node[3], ages))
