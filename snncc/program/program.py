"""A compiled network: how it runs on a user's data, and where it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from snncc.backends.reference import MEMORY, joined, simulate
from snncc.backends.reference.fused import Simulator, tile_of
from snncc.backends.reference.workers import together
from snncc.diagnostics import refuse
from snncc.ir.graph import Node
from snncc.ir.interpreter import Run, Value, run_graph
from snncc.ir.ops import Input, WholeSpiking
from snncc.pages import preformatted
from snncc.program import folder, overview, sections
from snncc.program.parts import Parts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_Way = tuple[torch.dtype, frozenset[str] | None, torch.dtype | None]
"""A dtype, the places whose spikes are kept, and their dtype."""


@dataclass(frozen=True)
class Result:
    """The answers of a program to N samples over T steps, as torch tensors.

    ``logits`` (N, classes); ``outputs`` (T, N, classes), the readout's sums step by step, None
    where they were not kept; ``spikes`` (T, N, *shape) by the neuron's module path, sources, gates
    and relays included; ``heads``: with the AAP kept, "aap" (of several "aap.NAME"), the other
    outputs, and "average", the mean of all, each (N, classes).
    """

    logits: Value
    outputs: Value | None
    spikes: Mapping[str, Value] = field(repr=False)
    heads: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Program(Parts):
    """A network compiled for ``target``, which runs; `Parts` says what it is made of."""

    def __str__(self) -> str:
        """What was made, as `snncc compile` prints it."""
        if not self.about.source:
            return repr(self)
        return "\n".join([sections.title(self), *overview.lines(self)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return preformatted(str(self))

    @property
    def is_rounded(self) -> bool:
        """Whether its whole numbers were made of a network in floats."""
        given = any(isinstance(node.op, WholeSpiking) for node in self.graph.neurons)
        return self.network.is_fixed and not given

    def run(
        self,
        inputs: ArrayLike | Value,
        *,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
        memory: int = MEMORY,
        threads: int | None = None,
        on_samples: Callable[[int], object] | None = None,
    ) -> Result:
        """Run on ``inputs`` in the layout of the example; the samples are free in number.

        In float32 it is faster, and spikes may differ whose membranes lie within its rounding of
        the threshold; none does where all sums are exact. ``keep`` names the populations whose
        spikes the result holds, by default all; () is fastest, and with the AAP kept it is all.
        Samples come in chunks that take about ``memory`` bytes, on so many ``threads``, by default
        all cores; neither changes a number. ``on_samples`` is told how many more are done. Raises
        SnnccError (SNN306, SNN312) for inputs that do not fit.
        """
        simulator = self.simulator(dtype, None if self.keep_aap else keep)
        parts = []
        for chunk, run in simulate(
            self.network,
            self.arrange(inputs),
            simulator=simulator,
            memory=memory,
            threads=threads,
        ):
            parts.append((replace(run, sent={}), self.answers(chunk, run, dtype)))
            if on_samples is not None:
                on_samples(next(iter(run.outputs.values())).shape[1])
        return self.gather(parts)

    def gather(self, parts: Sequence[tuple[Run, Result]]) -> Result:
        """The answers of all chunks as one."""
        whole = joined(self.network, [run for run, _ in parts])
        readout = self._readout(whole)
        heads = {
            name: torch.cat([result.heads[name] for _, result in parts])
            for name in parts[0][1].heads
        }
        outputs = whole.outputs.get(readout)
        return Result(whole.logits[readout], outputs, whole.spikes, heads)

    def arrange(self, inputs: ArrayLike | Value) -> dict[str, Value]:
        """The user's data as the interpreter takes it. Raises SnnccError (SNN306, SNN312)."""
        from snncc.frontends.torch import arrange, as_example

        data = inputs if isinstance(inputs, torch.Tensor) else np.asarray(inputs)
        tensor = as_example(data) if 0 not in data.shape else torch.zeros(tuple(data.shape))
        arranged = arrange(tensor, self.graph)
        for node in self.graph.inputs:
            self._check(node, arranged[node.name])
        return arranged

    def simulator(
        self,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
        spikes: torch.dtype | None = None,
    ) -> Simulator:
        """What runs the network; made once, as its tables do not change."""
        key = (dtype, None if keep is None else frozenset(keep), spikes)
        if key not in self._simulators:
            self._simulators[key] = Simulator(self.network, dtype, keep, spikes=spikes)
        return self._simulators[key]

    @cached_property
    def _simulators(self) -> dict[_Way, Simulator]:
        return {}

    def answers(
        self, inputs: Mapping[str, Value], run: Run, dtype: torch.dtype = torch.float64
    ) -> Result:
        """What a run of the network says, and with the AAP kept what the host makes of it."""
        readout = self._readout(run)
        heads = self._auxiliary_heads(inputs, run, dtype) if self.keep_aap else {}
        return Result(run.logits[readout], run.outputs[readout], run.spikes, heads)

    def node_values(self, run: Run) -> dict[str, Value]:
        """The values of Graph nodes that a run of the network holds."""
        return {self.node_of[name]: run.spikes[name] for name in self.node_of if name in run.spikes}

    @cached_property
    def node_of(self) -> dict[str, str]:
        """The Graph node that each population is, by the name of the population."""
        named = {place.name: place.stands_for or place.name for place in self.network.populations}
        return {name: node for name, node in named.items() if node in self.graph.nodes}

    def delivered(self, said: Mapping[str, Value]) -> dict[str, Value]:
        """What the places of the scheduled network say: a relay repeats what it hears."""
        everywhere = dict(said)
        network = self.scheduled or self.network
        for place in network.populations:
            if place.name not in everywhere:
                (heard,) = network.incoming[place.name]
                everywhere[place.name] = everywhere[heard.source]
        return everywhere

    def _readout(self, run: Run) -> str:
        return self.head if self.head in run.logits else next(iter(run.logits))

    def _auxiliary_heads(
        self, inputs: Mapping[str, Value], run: Run, dtype: torch.dtype
    ) -> dict[str, Value]:
        parts: dict[str, list[Value]] = {name: [] for name in self.graph.heads.values()}
        for part in self.graph_values(inputs, run, (), dtype):
            for name, several in parts.items():
                step = self.graph.nodes[name].signal.rate == "step"
                several.append(part[name].mean(0) if step else part[name])
        values = {name: torch.cat(several) for name, several in parts.items()}
        mine = run.logits[self._readout(run)]
        others = {name: values[node] for name, node in self.graph.heads.items()
                  if name != self.head or node in self.auxiliary}  # fmt: skip
        alone = len(others) == 1
        heads = {"aap" if alone else f"aap.{name}": value for name, value in others.items()}
        same = [value for value in heads.values() if value.shape == mine.shape]
        return {**heads, "average": torch.stack([mine, *same]).mean(0)} if same else heads

    def graph_values(
        self,
        inputs: Mapping[str, Value],
        run: Run,
        keep: Collection[str],
        dtype: torch.dtype = torch.float64,
    ) -> Iterator[dict[str, Value]]:
        """The heads of the Graph and the nodes in ``keep``, where ``run`` gives the spikes.

        Some samples at a time, on one thread: the same for every size of chunks.
        """
        steps, samples = next(iter(run.outputs.values())).shape[:2]
        forced, given = self.node_values(run), self._graph_inputs(inputs)
        axes = {n.name: int(given[n.name].dim() > len(n.signal.shape) + 1)
                for n in self.graph.inputs if n.name in given}  # fmt: skip
        size = tile_of(self.network, steps, torch.float32)
        for start in range(0, samples, size):
            count = min(size, samples - start)
            part = {name: given[name].narrow(axis, start, count) for name, axis in axes.items()}
            known = {name: spikes.narrow(1, start, count) for name, spikes in forced.items()}
            run_part = partial(run_graph, self.graph, part, keep=keep, forced=known, dtype=dtype)
            yield together(run_part, 1)[0]

    def _graph_inputs(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        return {node.name: inputs[node.name] for node in self.graph.inputs if node.name in inputs}

    def _check(self, node: Node, value: Value) -> None:
        steps = self.graph.time_steps
        if node.signal.rate == "step" and steps is not None and len(value) != steps:
            raise refuse(
                "SNN306", f"the inputs have {len(value)} time steps and the program takes {steps}"
            )
        whole = math.isfinite(float(value.sum()))  # a sum of finite numbers may still be infinite
        if not whole and not bool(torch.isfinite(value).all()):
            raise refuse("SNN312", "the inputs hold NaN or infinity")
        kind = node.op.kind if isinstance(node.op, Input) else "analog"
        if kind == "spike" and not bool(((value == 0) | (value == 1)).all()):
            raise refuse("SNN312", "the inputs are declared spikes and are not all 0 or 1")
        if kind == "count" and not bool(((value >= 0) & (value == value.floor())).all()):
            raise refuse(
                "SNN312", "the inputs are declared counts and are not all whole numbers from 0 up"
            )
        from snncc.frontends.torch import check_bound

        check_bound(node, value)

    def save(self, path: str | Path) -> None:
        """Write the program as a folder; all of it or nothing.

        A compiled program of that name is replaced, and so is an empty folder. Raises SnnccError:
        SNN316 where something else has the name, SNN305 where it cannot be written.
        """
        folder.save(self, Path(path))


def load(path: str | Path) -> Program:
    """The program in a folder that `Program.save` wrote.

    Raises SnnccError (SNN305) where there is none, or any file of it is missing or was changed.
    """
    return Program(**vars(folder.load(Path(path))))
