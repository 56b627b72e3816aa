"""A loop over time that was written down step by step, rolled up: the same values.

Steps are the copies of one iteration (`iterations`). What a copy reads of the one before it is a
`Delay` in the body; what the first copy reads there instead is its first value where it is a
constant. Where it is not, the first step was another one, and must be what the body yields with
some first values (`beginnings`). All steps of a node together are the node, a running sum is its
sum over time, and whatever else is read behind the loop is of the last step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph, Node, Rate, Signal, is_zero
from snncc.ir.ops import (
    AllSteps,
    AtStep,
    Constant,
    Delay,
    Elementwise,
    Identity,
    Number,
    OverTime,
    Ref,
    Repeat,
    Spiking,
)
from snncc.recognition.beginnings import Beginning, Folded, beginning, is_step
from snncc.recognition.iterations import Iterations, iterations
from snncc.recognition.unlike import FEW, why_no_loop

Step = str | float | np.ndarray | None
"""What a node of the body was in one step before: a node, a constant, or nothing that was kept."""

AHEAD = 2
"""So many steps may come before the first that does all that the others do."""

LOOPS = 64
"""So many loops may follow one another."""

WAYS = 8
"""So many beginnings of an iteration are held against each other."""


class NotALoop(Exception):
    """These copies are no loop over time; says why."""


@dataclass(frozen=True)
class Rolled:
    """A Graph with its loops rolled up, or why one of them cannot be.

    ``steps``: of each node of a loop what it was in each step.
    """

    graph: Graph
    steps: Mapping[str, tuple[Step, ...]]
    finding: Finding | None = None


def rolled(graph: Graph) -> Rolled:
    """``graph`` with all its loops rolled up, if need be with sums over the steps rolled first."""
    found = _all_rolled(graph)
    summed = graph if found.finding is None else _with_sums(graph)
    return found if summed is graph else _all_rolled(summed)


def _all_rolled(graph: Graph) -> Rolled:
    """With all loops, one after the other."""
    form, steps, reason = graph, dict[str, tuple[Step, ...]](), ""
    for _ in range(LOOPS):
        try:
            one = _one_rolled(graph)
        except NotALoop as error:
            reason = str(error)
            break
        graph = one.graph
        steps |= one.steps
    left = [n for n in graph.nodes.values() if _is_of_one_step(n)]
    if not steps or left:
        return Rolled(form, {}, _no_loop(form, graph, left, reason))
    return Rolled(graph, steps)


def _no_loop(form: Graph, graph: Graph, left: Sequence[Node], reason: str) -> Finding:
    """Why a loop remains in ``graph``, what became of ``form``; ``left`` is of one step alone.

    The finding has a node where it is the comparison of a neuron that is written as arithmetic.
    """
    why = why_no_loop(form, reason) if reason else None
    if why is not None:
        return Finding("SNN318", why.said, why.node.origin, why.node.name, why.help)
    (first, *_) = left or [graph.nodes[name] for name in graph.heads.values()]
    said = reason or "one step of a loop over time is read alone"
    return Finding("SNN318", said, first.origin)


def _with_sums(graph: Graph) -> Graph:
    """With sums of as many values as there are steps, added up one by one, as sums over time."""
    added = {name: terms for name in graph.nodes if (terms := _terms(graph, name))}
    steps = graph.time_steps or max((len(terms) for terms in added.values()), default=0)
    nodes: list[Node] = []
    for node in graph.nodes.values():
        terms = added.get(node.name, [])
        if len(terms) != steps or steps < FEW:
            nodes.append(node)
            continue
        whole = f"{node.name}.steps"
        axes = ("T", *node.signal.axes)
        signal = Signal(node.signal.shape, "step", axes=axes)
        nodes.append(Node(whole, AllSteps(), tuple(terms), signal, node.origin))
        signal = Signal(node.signal.shape, "final", axes=node.signal.axes)
        nodes.append(Node(node.name, OverTime("sum"), (whole,), signal, node.origin))
    if len(nodes) == len(graph.nodes):
        return graph
    return Graph.build(nodes, graph.tensors, graph.heads, graph.name, graph.time_steps)


def _terms(graph: Graph, name: str) -> list[str]:
    """What ``name`` adds up one by one, if it is the end of such a sum."""
    if not _adds(graph, name) or any(_is_so_far(graph, name, r) for r in graph.readers[name]):
        return []
    terms: list[str] = []
    at = name
    while True:
        before, term = graph.nodes[at].inputs
        zeros = [n for n in (before, term) if is_zero(graph.nodes[n], graph.tensors)]
        if zeros:  # what the sum begins with
            terms.insert(0, before if term in zeros else term)
            break
        terms.insert(0, term)
        if not _is_so_far(graph, before, at):
            terms.insert(0, before)
            break
        at = before
    alike = {(type(graph.nodes[n].op), graph.nodes[n].signal.shape) for n in terms}
    return terms if len(alike) == 1 else []


def _adds(graph: Graph, name: str) -> bool:
    node = graph.nodes[name]
    return node.op == Elementwise("add") and node.signal.rate == "static"


def _is_so_far(graph: Graph, name: str, reader: str) -> bool:
    """Whether ``name`` is a sum that nobody reads but ``reader``, which adds to it."""
    adds = _adds(graph, name) and _adds(graph, reader) and graph.nodes[reader].inputs[0] == name
    return adds and graph.readers[name] == (reader,) and name not in graph.heads.values()


def _is_of_one_step(node: Node) -> bool:
    alone = isinstance(node.op, Spiking) and node.signal.rate != "step"
    return alone or isinstance(node.op, AtStep | AllSteps)


def _one_rolled(graph: Graph) -> Rolled:
    """With one loop. Raises NotALoop.

    Where nothing says how many steps there are, the body may begin anywhere in an iteration, and
    where it does in the middle there is a step more, in which a part of it has nothing to do.
    """
    reason = "the steps of a loop over time are not alike"
    for needed in (False, True):
        for ways in iterations(graph, _of_steps(graph, needed)):
            found: list[Rolled] = []
            for loop in ways:
                if not any(is_step(graph.nodes[name].op) for name in loop.reads):
                    break
                try:
                    found.append(_Loop(graph, loop).rolled())
                except NotALoop as error:
                    reason = str(error)
                if found and (graph.time_steps is not None or len(found) == WAYS):
                    break
            if found:
                return min(found, key=lambda loop: loop.graph.time_steps or 0)
    raise NotALoop(reason)


def _of_steps(graph: Graph, needed: bool) -> list[str]:
    """What may be of one step, in order; a step is picked where it is first read.

    ``needed``: without what no head depends on, such as the states that the last step leaves.
    """
    kept = graph.ancestors(*graph.heads.values()) if needed else graph.nodes.keys()
    found: dict[str, None] = {}
    for node in graph.nodes.values():
        own = node.signal.rate == "static" and node.inputs
        if node.name not in kept or not own or isinstance(node.op, AtStep):
            continue
        for source in node.inputs:
            if isinstance(graph.nodes[source].op, AtStep):
                found[source] = None
        found[node.name] = None
    return list(found)


class _Loop:
    """One loop of a Graph, as the copies of its iteration."""

    def __init__(self, graph: Graph, loop: Iterations) -> None:
        self._graph, self._loop = graph, loop
        self._folded = Folded(graph)
        picks = {graph.nodes[n].op.step for n in loop.reads  # type: ignore[attr-defined]
                 if isinstance(graph.nodes[n].op, AtStep)}  # fmt: skip
        if len(picks) > 1 or (picks and max(picks) > AHEAD):
            raise NotALoop("a loop over time begins with its first step and reads one at a time")
        constant = all(isinstance(graph.nodes[n].op, Constant) for n in loop.before.values())
        some = sorted(picks) if picks else [0] if constant else range(1, AHEAD + 1)
        if list(some) == [0] and not constant:
            raise NotALoop("the first step reads what no constant is")
        self._ahead_of, self._first = self._begin(some)
        self._where = {
            node: (name, step + self._ahead_of)
            for step, copy in enumerate(loop.copies)
            for name, node in copy.items()
        }
        outside = [n for n in graph.nodes if n not in self._where]
        self._outside = self._needed(outside)
        self._steps = self._count()

    def _begin(self, some: Iterable[int]) -> tuple[int, Beginning | None]:
        """How many steps come before the first copy, ``some`` at most, and what they are."""
        for steps in some:
            if not steps:
                return 0, None
            found = beginning(self._graph, self._loop, self._folded, steps)
            if found is not None:
                return steps, found
        raise NotALoop("the first step computes something else than those after it")

    def _needed(self, outside: Sequence[str]) -> list[str]:
        """What heads depend on outside of the loop, in order."""
        chosen, seen = set(outside), set[str]()
        pending = [*self._graph.heads.values()]
        pending += [
            of for sources in self._loop.reads.values() for how, of in sources if how == "same"
        ]
        while pending:
            name = pending.pop()
            if name in chosen and name not in seen:
                seen.add(name)
                node = self._graph.nodes[name]
                own = isinstance(node.op, AllSteps) and not chosen.issuperset(node.inputs)
                pending.extend(node.inputs[self._ahead_of if own else 0 :])
        return [name for name in outside if name in seen]

    def _exits(self) -> Iterator[str]:
        """What is read behind the loop one by one."""
        nodes = self._graph.nodes
        for name in self._outside:
            if not isinstance(nodes[name].op, AllSteps):
                yield from (n for n in nodes[name].inputs if n in self._where)
        yield from (n for n in self._graph.heads.values() if n in self._where)

    def _count(self) -> int:
        """How many steps there are."""
        nodes = self._graph.nodes
        counts = {self._where[name][1] + 1 for name in self._exits()}
        for name in self._outside:
            inputs = nodes[name].inputs
            if isinstance(nodes[name].op, AllSteps) and any(n in self._where for n in inputs):
                counts.add(len(inputs))
        given = self._graph.time_steps
        if given is not None:
            counts.add(given)
        if len(counts) != 1:
            raise NotALoop("what is read behind the loop is not of its last step")
        (steps,) = counts
        return steps

    # -- the new Graph -------------------------------------------------------------------------

    def rolled(self) -> Rolled:
        steps = {name: self._each_step(name) for name in self._loop.reads}
        self._check_calls(steps)
        named = self._named(steps)
        self._table: dict[str, Node] = {}
        self._body(named)
        places = {name: self._read(name, named) for name in dict.fromkeys(self._exits())}
        for name in self._outside:
            self._take(self._graph.nodes[name], places, named, steps)
        heads = {head: places.get(n, n) for head, n in self._graph.heads.items()}
        tensors = dict(self._graph.tensors) | self._tensors(named)
        nodes = _in_order(self._table)
        rolled = Graph.build(nodes, tensors, heads, self._graph.name, self._steps)
        rolled = rolled.keep(rolled.ancestors(*heads.values()))
        kept = {named[n]: each for n, each in steps.items() if named[n] in rolled.nodes}
        return Rolled(rolled, kept)

    def _each_step(self, name: str) -> tuple[Step, ...]:
        found: list[Step] = [copy.get(name) for copy in self._loop.copies]
        if self._first is not None:
            found[:0] = [self._in_first(name, each[name]) for each in self._first.values]
        return tuple(found[: self._steps])

    def _in_first(self, name: str, value: int) -> Step:
        """What ``name``, which has this ``value`` then, was in the first step: the same op."""
        constant = self._folded.constant(value)
        if constant is not None:
            return constant
        nodes = self._graph.nodes
        for node in nodes.values():
            if node.name == name:
                return None
            static = node.signal.rate == "static" and type(node.op) is type(nodes[name].op)
            if static and self._folded.of(node.name) == value:
                return node.name
        return None

    def _check_calls(self, steps: Mapping[str, tuple[Step, ...]]) -> None:
        """A neuron is called once per step and nowhere else."""
        nodes = self._graph.nodes
        calls: dict[str, list[str]] = {}
        for node in self._graph.of_type(Spiking):
            if node.signal.rate == "static":
                calls.setdefault(node.origin.module + str(node.op), []).append(node.name)
        for name, each in steps.items():
            if isinstance(nodes[name].op, Spiking):
                made = calls[nodes[name].origin.module + str(nodes[name].op)]
                if list(each) != made:
                    raise NotALoop(
                        f"neuron {nodes[name].origin.module} is not called once per step"
                    )

    def _named(self, steps: Mapping[str, tuple[Step, ...]]) -> dict[str, str]:
        """The name that a node of the body has: that of its first step."""
        named: dict[str, str] = {}
        kept = set(self._outside)
        for name, each in steps.items():
            names = [n for n in each if isinstance(n, str) and n not in kept]
            own = next((n for n in names if n not in named.values()), name)
            named[name] = own
        return named

    def _body(self, named: Mapping[str, str]) -> None:
        nodes, loop = self._graph.nodes, self._loop
        for name, sources in loop.reads.items():
            node = nodes[name]
            if isinstance(node.op, AtStep):
                continue
            if self._first is not None and name in self._first.held:
                self._hold(name, named)
                continue
            inputs = tuple(
                self._late_of(of, named) if how == "late" else self._of_body(of, named)
                if how == "inner" else of
                for how, of in sources
            )  # fmt: skip
            signal = replace(node.signal, rate="step", axes=("T", *node.signal.axes))
            made = replace(node, name=named[name], inputs=inputs, signal=signal)
            self._table[made.name] = made

    def _hold(self, name: str, named: Mapping[str, str]) -> None:
        """A node of states alone is worked out a step ahead, when they are known, and kept."""
        assert self._first is not None
        node, made = self._graph.nodes[name], named[name]
        value = self._first.held[name]
        initial: Number = value if isinstance(value, float) else Ref(f"{made}.initial")
        ahead = self._ahead(name, named)
        signal = replace(node.signal, rate="step", axes=("T", *node.signal.axes))
        self._table[made] = Node(made, Delay(initial), (ahead,), signal, node.origin)

    def _ahead(self, name: str, named: Mapping[str, str]) -> str:
        """The node that ``name`` will be in the next step."""
        node, made = self._graph.nodes[name], f"{named[name]}.ahead"
        if made not in self._table:
            inputs = tuple(
                self._of_body(of, named) if how == "late"
                else self._ahead(of, named) if how == "inner" else of
                for how, of in self._loop.reads[name]
            )  # fmt: skip
            signal = replace(node.signal, rate="step", axes=("T", *node.signal.axes))
            self._table[made] = replace(node, name=made, inputs=inputs, signal=signal)
        return made

    def _of_body(self, name: str, named: Mapping[str, str]) -> str:
        """The node of the body; a step that is picked is what it is picked of."""
        node = self._graph.nodes[name]
        return node.inputs[0] if isinstance(node.op, AtStep) else named[name]

    def _late_of(self, name: str, named: Mapping[str, str]) -> str:
        source = self._of_body(name, named)
        late = f"{source}.before"
        if late not in self._table:
            signal = self._graph.nodes[name].signal
            signal = Signal(signal.shape, "step", signal.values, ("T", *signal.axes))
            origin = self._graph.nodes[name].origin
            initial = self._initial(name, late)
            self._table[late] = Node(late, Delay(initial), (source,), signal, origin)
        return late

    def _initial(self, name: str, late: str) -> Number:
        if self._first is None:
            op = self._graph.nodes[self._loop.before[name]].op
            assert isinstance(op, Constant)
            value: Number = op.value
            if isinstance(value, Ref):
                array = self._graph.tensors[value]
                return value if array.any() else 0.0
            return value
        first = self._first.states[name]
        return first if isinstance(first, float) else Ref(f"{late}.initial")

    def _tensors(self, named: Mapping[str, str]) -> dict[str, np.ndarray]:
        if self._first is None:
            return {}
        begun = {
            f"{self._of_body(name, named)}.before.initial": value
            for name, value in self._first.states.items()
        }
        begun |= {f"{named[name]}.initial": value for name, value in self._first.held.items()}
        return {name: value for name, value in begun.items() if isinstance(value, np.ndarray)}

    def _read(self, node: str, named: Mapping[str, str]) -> str:
        """What stands behind the loop for a node of the last step."""
        name = self._where[node][0]
        source, kind = self._of_body(name, named), "last"
        added = self._added(name)
        if added is not None:
            source, kind = self._of_body(added, named), "sum"
        signal = self._graph.nodes[name].signal
        read = f"{source}.{kind}"
        self._table[read] = Node(
            read, OverTime("sum" if kind == "sum" else "last"), (source,),
            replace(signal, rate="final"), self._graph.nodes[name].origin,
        )  # fmt: skip
        return read

    def _added(self, name: str) -> str | None:
        """What is added up from step to step, where ``name`` is nothing but the sum so far.

        A sum that is held does not have what is added in the first step.
        """
        node, sources = self._graph.nodes[name], self._loop.reads[name]
        if self._first is not None and name in self._first.held:
            return None
        if not (isinstance(node.op, Elementwise) and node.op.function == "add"):
            return None
        own = [source for source in sources if source == ("late", name)]
        others = [of for how, of in sources if how == "inner"]
        readers = [
            reader for reader, its in self._loop.reads.items()
            if reader != name and any(of == name for _, of in its)
        ]  # fmt: skip
        start = self._initial(name, "") if name in self._loop.before else None
        alike = others and self._graph.nodes[others[0]].signal.shape == node.signal.shape
        return others[0] if own and alike and not readers and start == 0.0 else None

    def _take(
        self, node: Node, places: Mapping[str, str], named: Mapping[str, str],
        steps: Mapping[str, tuple[Step, ...]],
    ) -> None:  # fmt: skip
        """``node``, which is outside of the loop, reads what stands for its arguments."""
        inputs = tuple(places.get(name, name) for name in node.inputs)
        if isinstance(node.op, AllSteps) and any(n in self._where for n in node.inputs):
            source = self._all_steps(node, steps)
            whole = self._of_body(source, named)
            self._table[node.name] = replace(node, op=Identity("steps"), inputs=(whole,))
            return
        if isinstance(node.op, AllSteps) and len(set(node.inputs)) == 1:
            self._table[node.name] = replace(node, op=Repeat(), inputs=inputs[:1])
            return
        rate = self._rate(node, inputs)
        signal = replace(node.signal, rate=rate)
        self._table[node.name] = replace(node, inputs=inputs, signal=signal)

    def _all_steps(self, node: Node, steps: Mapping[str, tuple[Step, ...]]) -> str:
        """The node of the body of which ``node`` has all steps."""
        for name, each in steps.items():
            ahead = self._ahead_of
            begun = zip(node.inputs[:ahead], range(ahead), strict=True)
            if each[ahead:] == node.inputs[ahead:] and all(
                self._is_first(first, name, step) for first, step in begun
            ):
                return name
        raise NotALoop("what is put together is not each step of one value")

    def _is_first(self, node: str, name: str, step: int) -> bool:
        """Whether ``node`` is what ``name`` is in a step before the first copy."""
        assert self._first is not None
        same = node not in self._where
        return same and self._folded.of(node) == self._first.values[step][name]

    def _rate(self, node: Node, inputs: Sequence[str]) -> Rate:
        """Behind the loop everything is final, but for what all steps were put together for."""
        rates = {self._table[n].signal.rate for n in inputs if n in self._table}
        if "final" not in rates or isinstance(node.op, Repeat):
            return node.signal.rate
        if "step" in rates or node.signal.rate == "step":
            raise NotALoop("a value of the whole loop meets a value of one step")
        return "final"


def _in_order(table: Mapping[str, Node]) -> list[Node]:
    """Arguments first, but for those of a `Delay`."""
    found: dict[str, Node] = {}
    for name in table:
        pending = [name]
        while pending:
            node = table[pending[-1]]
            late = isinstance(node.op, Delay)
            missing = [] if late else [n for n in node.inputs if n not in found]
            if missing:
                pending += missing
                continue
            pending.pop()
            found.setdefault(node.name, node)
    return list(found.values())
