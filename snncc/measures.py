"""What is made of a run, chunk by chunk: every measure keeps its own numbers and no chunk.

`Measure.of` computes what a chunk adds and may be interrupted; `Measure.add` adds it, so that all
measures are of the same samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from snncc.backends.reference.fused import Simulator
from snncc.backends.reference.membranes import differing
from snncc.diagnostics import refuse
from snncc.ir.graph import backward
from snncc.ir.interpreter import Run, Value
from snncc.ir.network import Network
from snncc.ir.tallies import tallied, tallies
from snncc.ir.work import GraphMeter, NetworkMeter, Work
from snncc.program import Program, Result

if TYPE_CHECKING:
    import numpy as np

    from snncc.backends.base import Replay, Runs, Timing

Chunk = tuple[Mapping[str, Value], Run, Result]
"""The inputs of some samples, the run of the network on them, and its answers."""


@dataclass(frozen=True)
class Agreement:
    """Two backends on the same samples: of ``compared`` spikes ``differing`` are not the same.

    ``first`` is the population, step, sample and neuron of the first; ``outputs`` the largest
    difference of what the readouts sum.
    """

    compared: int
    differing: int
    first: tuple[str, tuple[int, ...]] | None
    outputs: float

    def __add__(self, more: Agreement) -> Agreement:
        """Of these samples and ``more``, whose samples count from the same beginning."""
        return Agreement(
            self.compared + more.compared,
            self.differing + more.differing,
            self.first or more.first,
            max(self.outputs, more.outputs),
        )

    @property
    def equal(self) -> bool:
        """Every spike the same, and the sums up to the order of their additions."""
        return not self.differing and self.outputs < 1e-6


@dataclass(frozen=True)
class Rounding:
    """A network in whole numbers against itself as trained, in floating point, on the same samples.

    Of ``compared`` spikes of neurons ``flipped`` differ, what follows from others included;
    ``flips`` are those of each population. ``logits`` (N, classes) are those of floating point.
    """

    compared: int
    flips: Mapping[str, int]
    logits: Value

    @property
    def flipped(self) -> int:
        return sum(self.flips.values())


class Measure(Protocol):
    """One thing to know of a run."""

    @property
    def needs(self) -> Collection[str] | None:
        """The places whose spikes it reads, None for all."""

    def of(self, chunk: Chunk) -> Any:
        """What the chunk adds."""

    def add(self, more: Any) -> None:
        """Add what `of` returned."""


class Counted:
    """The answers, the spikes and the work."""

    def __init__(self, program: Program, keep: Collection[str] | None) -> None:
        self.program, self._keep = program, keep
        self._meter = GraphMeter(program.graph)
        known = {*program.node_of.values(), *(each.name for each in program.network.sources)}
        self._summed = tallied(program.graph, self._meter.reads, known)
        self._others = self._meter.reads - self._summed
        self._forced = backward(program.graph.nodes, self._others, known) & known
        self._tallies: dict[str, Value] = {}
        self._parts: list[tuple[Run, Result]] = []
        self.sent: dict[str, Value] = {}
        self.samples = self._steps = 0

    @property
    def needs(self) -> Collection[str] | None:
        if self._keep is None or self.program.keep_aap:
            return None
        node_of = self.program.node_of
        return {*self._keep, *(name for name in node_of if node_of[name] in self._forced)}

    def of(self, chunk: Chunk) -> tuple[Run, Result, Mapping[str, Value]]:
        inputs, run, result = chunk
        sums: dict[str, Value] = {}
        if self._others:
            nodes = self.program.graph.nodes
            rates = {name: nodes[name].signal.rate for name in self._others}
            for values in self.program.graph_values(inputs, run, self._others):
                _add(
                    sums,
                    {n: values[n].sum((0, 1) if rates[n] == "step" else 0) for n in self._others},
                )
        return run, result, sums

    def add(self, more: tuple[Run, Result, Mapping[str, Value]]) -> None:
        run, result, sums = more
        self._steps, samples = next(iter(run.outputs.values())).shape[:2]
        self.samples += samples
        _add(self.sent, run.sent)
        _add(self._tallies, sums)
        kept = kept_of(run, self._keep)
        self._parts.append((kept, replace(result, outputs=None, spikes=kept.spikes)))

    @property
    def result(self) -> Result:
        return self.program.gather(self._parts)

    @property
    def before(self) -> Work:
        """The work of the network as it was trained."""
        node_of, samples, steps = self.program.node_of, self.samples, self._steps
        nodes = self.program.graph.nodes
        known = {node_of.get(name, name): sent for name, sent in self.sent.items()}
        for name in known.keys() & nodes.keys():  # said at every step, and there but once
            if nodes[name].signal.rate == "static":
                known[name] = known[name] / steps
        summed = tallies(self.program.graph, self._summed, known, samples, steps)
        return self._meter({**summed, **self._tallies}, samples, steps)

    @property
    def after(self) -> Work:
        """The work of the compiled network."""
        program = self.program
        sent = program.delivered(self.sent)
        return NetworkMeter(program.scheduled or program.network)(sent, self.samples, self._steps)


class Rounded:
    """A network in whole numbers beside itself as trained."""

    def __init__(
        self, program: Program, trained: Network, dtype: torch.dtype, threads: int | None
    ) -> None:
        nodes = program.graph.nodes
        self.needs: Collection[str] | None = [
            place.name
            for place in program.network.populations
            if place.role == "neuron" and place.stands_for in nodes
        ]
        self._run = Simulator(trained, dtype, self.needs, spikes=torch.uint8)
        self._threads = threads
        self._compared, self._flips = 0, dict.fromkeys(self.needs, 0)
        self._logits: list[Value] = []

    def of(self, chunk: Chunk) -> tuple[int, Mapping[str, int], Value]:
        inputs, run, _ = chunk
        trained = self._run(inputs, threads=self._threads)
        flips = {n: _differing(run.spikes[n], trained.spikes[n]) for n in self._flips}
        compared = sum(trained.spikes[name].numel() for name in self._flips)
        return compared, flips, next(iter(trained.logits.values()))

    def add(self, more: tuple[int, Mapping[str, int], Value]) -> None:
        compared, flips, logits = more
        self._compared += compared
        self._flips = {name: count + flips[name] for name, count in self._flips.items()}
        self._logits.append(logits)

    @property
    def rounding(self) -> Rounding:
        return Rounding(self._compared, self._flips, torch.cat(self._logits))


class OnChip:
    """What the run takes on a chip."""

    needs: Collection[str] | None = None

    def __init__(self, program: Program, replay: Replay) -> None:
        self._program, self._replay = program, replay

    def of(self, chunk: Chunk) -> Mapping[str, np.ndarray]:
        said = self._program.delivered(chunk[1].spikes)
        return {name: spikes.numpy() for name, spikes in said.items()}

    def add(self, more: Mapping[str, np.ndarray]) -> None:
        self._replay.add(more)

    @property
    def timing(self) -> Timing:
        return self._replay.finish()


class Elsewhere:
    """The package in ``folder`` run by its backend and compared with the reference.

    ``on_step`` is told how many of how many steps of all ``samples`` are done.
    """

    needs: Collection[str] | None = None

    def __init__(
        self,
        program: Program,
        keep: Collection[str] | None,
        backend: Runs,
        folder: Path,
        samples: int,
        timeout: float | None,
        on_step: Callable[[int, int], object] | None,
    ) -> None:
        self._program, self._keep = program, keep
        self._backend, self._network = backend, program.at(backend.takes)
        self._folder, self._samples = folder, samples
        self._until = None if timeout is None else time.monotonic() + timeout
        self._on_step, self._done = on_step, 0
        self._parts: list[tuple[Run, Result]] = []
        self.agreement = Agreement(0, 0, None, 0.0)

    def of(self, chunk: Chunk) -> tuple[Run, Result, Agreement]:
        inputs, run, result = chunk
        program = self._program
        samples = next(iter(run.outputs.values())).shape[1]
        limit = None if self._until is None else max(self._until - time.monotonic(), 0.01)
        tell = self._telling(samples)
        found = self._backend.run(self._folder, self._network, inputs, timeout=limit, on_step=tell)
        names = [place.name for place in program.network.populations]
        self._check(found, run, names)
        said = program.answers(inputs, found)
        return found, said, agreement(result, said, names, behind=self._done)

    def add(self, more: tuple[Run, Result, Agreement]) -> None:
        found, said, agreed = more
        self._done += next(iter(found.outputs.values())).shape[1]
        self.agreement += agreed
        kept = kept_of(found, self._keep)
        self._parts.append((kept, replace(said, outputs=None, spikes=kept.spikes)))

    def _check(self, found: Run, expected: Run, names: Sequence[str]) -> None:
        """Raises SnnccError (SNN314) unless all is there, neuron by neuron and step by step."""
        wanted = {name: expected.spikes[name] for name in names} | dict(expected.outputs)
        given = {**found.spikes, **found.outputs}
        for name, value in wanted.items():
            shape = None if name not in given else tuple(given[name].shape)
            if shape != tuple(value.shape):
                has = "nothing" if shape is None else f"an array of shape {shape}"
                said = f"the backend {self._backend} returned {has} for {name}, which has shape "
                raise refuse("SNN314", f"{said}{tuple(value.shape)}", help="mend the backend")

    def _telling(self, samples: int) -> Callable[[int, int], object] | None:
        tell, behind = self._on_step, self._done / samples
        if tell is None:
            return None
        return lambda done, total: tell(
            round(behind * total) + done, round(self._samples / samples * total)
        )

    @property
    def result(self) -> Result:
        return self._program.gather(self._parts)


def kept_of(run: Run, keep: Collection[str] | None) -> Run:
    """The logits of a run, and its other values where they are kept."""
    run = replace(run, sent={})
    if keep is None:
        return run
    spikes = {name: value for name, value in run.spikes.items() if name in keep}
    outputs = {name: value for name, value in run.outputs.items() if name in keep}
    return replace(run, spikes=spikes, outputs=outputs)


def _differing(one: Value, two: Value) -> int:
    """How many spikes differ; where both lie alike in the order of memory, whatever that is."""
    last = sum((n - 1) * stride for n, stride in zip(one.shape, one.stride(), strict=True))
    dense = one.numel() == last + 1 and one.stride() == two.stride()
    if dense and one.dtype == two.dtype == torch.uint8:
        flat = (x.as_strided((x.numel(),), (1,)).numpy() for x in (one, two))
        return int(differing(*flat))
    return int(torch.count_nonzero(one != two))


def _add(total: dict[str, Value], more: Mapping[str, Value]) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def agreement(expected: Result, found: Result, names: Sequence[str], behind: int = 0) -> Agreement:
    """How the outputs of another backend compare, and the spikes of the populations named.

    ``behind`` is how many samples came before these.
    """
    compared = sum(expected.spikes[name].numel() for name in names)
    differing, first = 0, None
    for name in names:
        where = (expected.spikes[name] != found.spikes[name]).nonzero()
        differing += len(where)
        if len(where) and first is None:
            step, sample, *neuron = where[0].tolist()
            first = (name, (step, sample + behind, *neuron))
    assert expected.outputs is not None
    assert found.outputs is not None
    outputs = float((expected.outputs - found.outputs).abs().max())
    return Agreement(compared, differing, first, outputs)
