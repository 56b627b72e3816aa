"""Where a list of nodes repeats: the iterations of a loop that was written down step by step.

The nodes are in the order in which they were computed. Two copies of an iteration are alike where
each op is the same and each argument is the same node, the twin of the other's argument, or what
the copy before left. The first of them may read anything in the place of what a copy before it
would have left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from snncc.ir.graph import Graph, Node
from snncc.ir.ops import AtStep, Op, Spiking

Source = tuple[Literal["inner", "late", "same"], str]
"""What an argument is: a node of the same iteration, of the one before, or of none."""

PERIODS = 12
"""So many lengths of an iteration are tried, those that cover most first."""


@dataclass(frozen=True)
class Iterations:
    """Copies of one iteration.

    ``reads``: each node of the body, under its name in the first copy, and its arguments.
    ``copies``: the node of each copy by that of the body; the last one may lack some. ``before``:
    what the first copy reads in the place of what a copy before it would have left.
    """

    reads: Mapping[str, tuple[Source, ...]]
    copies: tuple[Mapping[str, str], ...]
    before: Mapping[str, str]


def iterations(graph: Graph, names: Sequence[str]) -> Iterator[Iterator[Iterations]]:
    """All ways in which ``names`` repeat: those that explain most nodes first, together those that
    differ in where an iteration begins. Of these come first those in which least is left to the
    next copy, for an iteration ends where its states are.
    """
    listing = _Listing(graph, names)
    for period, start, end in listing.runs():
        copied = (
            listing.copied(first, period)
            for first in range(start, min(start + period, end - period + 1))
        )
        ways = sorted(filter(None, copied), key=lambda found: len(found.before))
        yield map(listing.grown, ways)


class _Listing:
    def __init__(self, graph: Graph, names: Sequence[str]) -> None:
        self._nodes: list[Node] = [graph.nodes[name] for name in names]
        self._place = {name: place for place, name in enumerate(names)}
        kinds: dict[object, int] = {}
        self._kinds = [kinds.setdefault(_kind(node), len(kinds)) for node in self._nodes]

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """(period, start, end): from start to end each node is like the one a period later."""
        found = []
        for period in self._periods():
            found += [(period, *run) for run in self._alike(period) if run[1] - run[0] >= period]
        found.sort(key=lambda run: (run[1] - run[2] - run[0], run[0]))
        yield from found

    def _periods(self) -> list[int]:
        last: dict[int, int] = {}
        distances: Counter[int] = Counter()
        for place, kind in enumerate(self._kinds):
            if kind in last:
                distances[place - last[kind]] += 1
            last[kind] = place
        often = sorted(distances, key=lambda period: (-distances[period] * period, period))
        return often[:PERIODS]

    def _alike(self, period: int) -> Iterator[tuple[int, int]]:
        """The longest stretches in which nodes are like those a period later."""
        start = 0
        for place in range(len(self._nodes) - period + 1):
            since = self._since(place, period, start)
            if since != start:
                if place > start:
                    yield start, place
                start = since

    def _since(self, place: int, period: int, start: int) -> int:
        """From where on a node and its twin are alike: ``start``, or a place behind it."""
        if place + period >= len(self._nodes) or self._kinds[place] != self._kinds[place + period]:
            return place + 1
        for one, two in self._arguments(place, period):
            mine, its = self._place.get(one, -1), self._place.get(two, -1)
            if one == two:
                start = max(start, mine + 1)
            elif (mine >= start and its != mine + period) or (
                mine < start and not start <= its < place + period
            ):
                return place + 1
        return start

    def _arguments(self, place: int, period: int) -> Iterator[tuple[str, str]]:
        one, two = self._nodes[place], self._nodes[place + period]
        return zip(one.inputs, two.inputs, strict=True)

    def copied(self, first: int, period: int) -> Iterations | None:
        """Two iterations, from ``first`` on; None where the second is not like the first."""
        body = range(first, first + period)
        reads: dict[str, tuple[Source, ...]] = {}
        before: dict[str, str] = {}
        for place in body:
            sources: list[Source] = []
            for one, two in self._arguments(place, period):
                mine, its = self._place.get(one, -1), self._place.get(two, -1)
                if one == two and mine not in body:
                    sources.append(("same", one))
                elif mine in body and its == mine + period:
                    sources.append(("inner", one))
                elif mine not in body and its in body and before.setdefault(two, one) == one:
                    sources.append(("late", two))
                else:
                    return None
            reads[self._nodes[place].name] = tuple(sources)
        names = list(reads)
        second = {name: self._nodes[self._place[name] + period].name for name in names}
        if not all(_follows(self._nodes[self._place[n]].op, self._op(second[n])) for n in names):
            return None
        return Iterations(reads, ({name: name for name in names}, second), before)

    def grown(self, loop: Iterations) -> Iterations:
        """With all copies that follow."""
        return replace(loop, copies=(*loop.copies, *self._more(loop)))

    def _op(self, name: str) -> Op:
        return self._nodes[self._place[name]].op

    def _more(self, loop: Iterations) -> Iterator[Mapping[str, str]]:
        """The copies behind the second, as long as they have a node; the last may lack some."""
        _, second = loop.copies
        end = 1 + max(self._place[name] for name in second.values())
        waiting: dict[object, list[str]] = defaultdict(list)
        for node in self._nodes[end:]:
            waiting[_identity(node, node.op, node.inputs)].append(node.name)
        last = second
        while last:
            copy: dict[str, str] = {}
            for name, sources in loop.reads.items():
                inputs = [
                    copy.get(of) if how == "inner" else last.get(of) if how == "late" else of
                    for how, of in sources
                ]
                known = tuple(each for each in inputs if each is not None)
                if len(known) < len(inputs) or name not in last:
                    continue
                node = self._nodes[self._place[name]]
                found = waiting.get(_identity(node, _next(self._op(last[name])), known))
                if found:
                    copy[name] = found.pop(0)
            if copy:
                yield copy
            last = copy


def _kind(node: Node) -> object:
    op: object = "at" if isinstance(node.op, AtStep) else node.op
    return op, len(node.inputs), node.signal.shape, _owner(node)


def _owner(node: Node) -> str:
    """Whose call it is, where that matters: a neuron goes on from its own last call."""
    return node.origin.module if isinstance(node.op, Spiking) else ""


def _identity(node: Node, op: Op, inputs: tuple[str, ...]) -> object:
    return op, inputs, _owner(node)


def _next(op: Op) -> Op:
    return AtStep(op.step + 1) if isinstance(op, AtStep) else op


def _follows(one: Op, two: Op) -> bool:
    return two == _next(one)
