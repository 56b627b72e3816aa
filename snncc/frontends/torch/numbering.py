"""Value numbering: the same op on the same nodes is one node, and in a loop over time each step is.

A tensor of a loop is a node and a step: ``x[t]`` is the node of ``x`` at step t. An op on step 0
makes a node; the op that does the same to the same nodes at step t is that node at step t, so that
iterations are the same by construction. Where step 0 reads a constant and the others a value of the
step before, both are a ``Delay`` of that value. An op that step 0 did not do comes after the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from snncc.diagnostics import SnnccError
from snncc.frontends.torch.draft import Draft
from snncc.frontends.torch.tracked import Tracked
from snncc.ir.graph import Node, Rate, is_zero
from snncc.ir.ops import Constant, Delay, Elementwise, Membrane, Norm, Op, Spiking
from snncc.recognition.unlike import NORM


class Numbering:
    """Which op is which node, and the step of the call at hand.

    ``visits``: in how many steps a node ran. ``delays``: the node of a value one step later.
    ``ended_by``: what showed that the loop is over.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.visits: dict[str, int] = {}
        self.delays: dict[str, str] = {}
        self.ended_by = ""
        self._numbers: dict[tuple[Op, tuple[str, ...]], str] = {}
        self._at: int | None = None
        self._here: set[str] = set()
        self._late: set[str] = set()
        self._over = False

    # -- the call at hand ----------------------------------------------------------------------

    @property
    def at(self) -> int | None:
        """The step of the call at hand; None outside of a loop and after it."""
        return None if self._over else self._at

    @property
    def finished(self) -> frozenset[str]:
        """The nodes it reads that have no step any more, but a last value: the loop is over."""
        return frozenset(self._here) if self._over else frozenset()

    @contextmanager
    def call(self, entries: Iterable[Tracked], at: int | None = None) -> Iterator[None]:
        """While this runs, what is made belongs to the step of ``entries``, or to ``at``."""
        before = self._at, self._here, self._late, self._over
        looped = [entry for entry in entries if entry.at is not None]
        steps = sorted({entry.at for entry in looped if entry.at is not None})
        self._at = steps[-1] if steps else at
        self._here = {entry.node for entry in looped if entry.at == self._at}
        self._late = {entry.node for entry in looped if entry.at != self._at}
        self._over = False
        try:
            if steps and (steps[0] < steps[-1] - 1 or self._here & self._late):
                said = " and ".join(dict.fromkeys(f"{e.node} of step {e.at}" for e in looped))
                raise self._draft.refuse("SNN112", f"{said} meet")
            yield
        finally:
            self._at, self._here, self._late, self._over = before

    # -- ops -----------------------------------------------------------------------------------

    def arguments(self, op: Op, inputs: Sequence[str], rate: Rate | None) -> tuple[str, ...]:
        """``inputs`` of a new op, at the step of the call at hand; it may show the loop's end."""
        if isinstance(op, Membrane):  # there are as many steps of it as of its neuron
            return tuple(inputs)
        nodes = self._draft.nodes
        if not self._late.isdisjoint(inputs):
            inputs = self._delayed(op, inputs)
        stepwise = [name for name in inputs if nodes[name].signal.rate == "step"]
        if self.at is not None and stepwise and rate != "final":
            if not self._here.issuperset(stepwise):
                raise self._draft.refuse("SNN112", "one step of a value meets all its steps")
            new = self.at > 0 and (op, tuple(inputs)) not in self._numbers
            if new or any(nodes[name].signal.rate == "final" for name in inputs):
                said = f"{_words(op)} on {' and '.join(stepwise)}"
                self._end(self.at, said, NORM if isinstance(op, Norm) else "")
        return tuple(inputs)

    def find(self, op: Op, inputs: tuple[str, ...], rate: Rate) -> str | None:
        """The node that does this already: once for all steps, or at this step of the loop."""
        if isinstance(op, Spiking) or (rate == "step" and self.at is None):
            return None
        name = self._numbers.get((op, inputs))
        if name is not None and rate == "step" and not isinstance(op, Membrane):
            self.visit(name)
        return name

    def made(self, op: Op, inputs: tuple[str, ...], name: str, rate: Rate) -> None:
        """``name`` is a new node."""
        if rate != "step" or self.at is not None:
            self._numbers.setdefault((op, inputs), name)
        if rate == "step" and self.at is not None and not isinstance(op, Membrane):
            self.visit(name)

    def visit(self, name: str) -> None:
        """The call at hand is ``name`` at its step."""
        visits, at = self.visits.get(name, 0), self.at
        assert at is not None
        if at > visits:
            said = f"step {at} runs {name}, and step {visits} does not"
            raise self._draft.refuse("SNN318", said)
        self.visits[name] = max(visits, at + 1)
        self.reads(name)

    def reads(self, name: str) -> None:
        """The call at hand reads ``name`` at its step."""
        self._here.add(name)

    def _end(self, at: int, what: str, help: str = "") -> None:
        """``what``, which no step before did, comes after the loop, or the steps differ."""
        steps = self._draft.steps
        if steps is not None and at + 1 < steps:
            said = f"step {at} runs {what}, and step 0 does not"
            raise self._draft.refuse("SNN318", said, help)
        self.fix(at + 1, what)
        self._over = True

    def fix(self, steps: int, what: str) -> None:
        """The loop has so many steps, as ``what`` shows."""
        known = self._draft.steps
        if known not in (None, steps):
            said = f"{what} takes {steps} of {known} steps{self.why()}"
            raise self._draft.refuse("SNN318", said)
        self._draft.steps, self.ended_by = steps, self.ended_by or what

    def why(self) -> str:
        return f"; {self.ended_by} was taken for the end of the loop" if self.ended_by else ""

    # -- the step before -----------------------------------------------------------------------

    def _delayed(self, op: Op, inputs: Sequence[str]) -> tuple[str, ...]:
        """``inputs`` with what is of the step before behind a ``Delay``."""
        commutes = isinstance(op, Elementwise) and op.function in ("add", "mul", "and", "or")
        orders = [tuple(inputs), tuple(inputs)[::-1]] if commutes else [tuple(inputs)]
        if any(name in self._late and name not in self.delays for name in inputs):
            self._begin_delays(op, orders)
        taken = [tuple(self.delays[n] if n in self._late else n for n in names)
                 for names in orders]  # fmt: skip
        if self._at == 1 and not any((op, names) in self._numbers for names in taken):
            with suppress(SnnccError):  # another reader of a state, which began as a constant
                self._begin_delays(op, orders)
        self._here.update(taken[0])
        return next((names for names in taken if (op, names) in self._numbers), taken[0])

    def _begin_delays(self, op: Op, orders: Sequence[tuple[str, ...]]) -> None:
        """Where step 0 had constants, the steps after it have values of the step before."""
        draft = self._draft
        found = [
            (known, name, inputs)
            for (other, known), name in self._numbers.items()
            for inputs in orders
            if other == op and self.visits.get(name) == self._at == 1
            and len(known) == len(inputs) and all(map(self._begins, known, inputs))
        ]  # fmt: skip
        if not found:
            late = " and ".join(name for name in orders[0] if name in self._late)
            said = f"step {self._at} runs {_words(op)} on {late} of the step before"
            raise draft.refuse("SNN318", f"{said}, and step 0 does not on a constant")
        known, name, inputs = found[0]
        before: list[Node] = []
        for first, late in zip(known, inputs, strict=True):
            if late in self._late and late not in self.delays:
                value = draft.nodes[first].op
                assert isinstance(value, Constant)
                zero = is_zero(draft.nodes[first], draft.tensors)
                before.append(self._delay(late, Delay(0.0 if zero else value.value), name))
        taken = tuple(self.delays[n] if n in self._late else n for n in inputs)
        draft.insert(before, replace(draft.nodes[name], inputs=taken))
        self._numbers[op, taken] = self._numbers.pop((op, known))

    def _begins(self, first: str, name: str) -> bool:
        """Whether ``first`` may stand in step 0 where ``name`` stands in step 1."""
        if name not in self._late:
            return first == name
        node, delay = self._draft.nodes[first], self.delays.get(name)
        if not isinstance(node.op, Constant) or delay is None:
            return isinstance(node.op, Constant) or first == delay
        known = self._draft.nodes[delay].op
        assert isinstance(known, Delay)
        zero = is_zero(node, self._draft.tensors)
        return known.initial == (0.0 if zero else node.op.value)

    def _delay(self, source: str, op: Delay, reader: str) -> Node:
        """``source`` one step later, as ``reader`` reads it."""
        nodes = self._draft.nodes
        name = self.delays[source] = self._draft.unique(f"{source}.before")
        return Node(name, op, (source,), nodes[source].signal, nodes[reader].origin)


class Apart(Numbering):
    """The numbering of a run that is written down step by step, to be rolled up by `reroll`.

    The same op on the same nodes is one node, and steps are not told from each other.
    """

    @contextmanager
    def call(self, entries: Iterable[Tracked], at: int | None = None) -> Iterator[None]:
        yield

    def arguments(self, op: Op, inputs: Sequence[str], rate: Rate | None) -> tuple[str, ...]:
        return tuple(inputs)

    def find(self, op: Op, inputs: tuple[str, ...], rate: Rate) -> str | None:
        return None if isinstance(op, Spiking) else self._numbers.get((op, inputs))

    def made(self, op: Op, inputs: tuple[str, ...], name: str, rate: Rate) -> None:
        self._numbers.setdefault((op, inputs), name)

    def visit(self, name: str) -> None:
        pass

    def reads(self, name: str) -> None:
        pass


def _words(op: Op) -> str:
    return op.function if isinstance(op, Elementwise) else type(op).__name__.lower()
