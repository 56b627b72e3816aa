"""A program on data: its answers, the work before and after compiling, and where it ran.

The samples come in chunks. What a chunk adds to the numbers is added up, then the chunk is dropped:
memory depends on the network and the size of a chunk, not on the number of samples.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from snncc.arithmetic import Arithmetic, arithmetic, tried
from snncc.backends.fused import Simulator, sample_axes
from snncc.backends.reference import chunk_size
from snncc.backends.workers import cores
from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.data import Recordings
from snncc.ir.graph import backward
from snncc.ir.interpreter import Run, Value, run_graph, steps_of
from snncc.ir.network import Network
from snncc.ir.ops import Input
from snncc.ir.tallies import tallied, tallies
from snncc.ir.work import GraphMeter, NetworkMeter, Work
from snncc.pipeline import frontend_passes
from snncc.pipeline import run as run_passes
from snncc.program import Program, Result, emit
from snncc.targets import target as find_target

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from snncc.backends.cycle import Timing, Wiring
    from snncc.ir.mapping import Mapping as CoreMapping
    from snncc.targets.chip import Chip

MEMORY = 1 << 28
"""Bytes that a chunk of samples takes, about, if the user says nothing."""

Backend = Literal["reference", "lava", "cycle"]
Level = Literal["cycle", "count"]


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


@dataclass(frozen=True)
class Simulation:
    """The answers of a program, and the work they took.

    ``before`` is the work of the network as it was trained, its auxiliary path included; ``after``
    that of the compiled network with its gates and relays; ``host`` that of the auxiliary path
    where it is kept. ``sent`` says how many spikes each source and population of the compiled
    network sent, ``arithmetic`` in which floats it ran; of a program in whole numbers these are the
    floats of the network as trained, and ``rounding`` says what whole numbers change. With another
    backend than the reference ``agreement`` says how its spikes compare. On the "cycle" backend
    ``timing`` says what the run took on the chip. ``partial`` means that the run was interrupted,
    and all numbers are those of the samples before.
    """

    result: Result
    before: Work
    after: Work
    host: Work
    sent: Mapping[str, int]
    arithmetic: Arithmetic
    backend: Backend = "reference"
    agreement: Agreement | None = None
    timing: Timing | None = None
    rounding: Rounding | None = None
    partial: bool = False

    @property
    def samples(self) -> int:
        return self.before.samples

    @property
    def spikes(self) -> int:
        """How many spikes all neurons of the compiled network sent; sources are none."""
        return sum(self.sent[name] for name in self.after.parts if name in self.sent)

    @property
    def time_ns(self) -> float:
        """All steps on the chip, in nanoseconds. Raises ValueError where it ran on none."""
        return self._on_chip.time_ns

    @property
    def energy_j(self) -> float:
        """What happened on the chip, in joules. Raises ValueError where it ran on none."""
        return self._on_chip.energy_j

    @property
    def _on_chip(self) -> Timing:
        if self.timing is None:
            raise ValueError(f"on {self.backend} no time is kept; simulate with a level")
        return self.timing


def simulate(
    program: Program,
    inputs: ArrayLike | Value | Recordings,
    backend: Backend = "reference",
    *,
    level: Level | None = None,
    chip: Chip | None = None,
    mapping: CoreMapping | None = None,
    workers: int | None = None,
    dtype: torch.dtype | None = None,
    keep: Collection[str] | None = (),
    memory: int = MEMORY,
    threads: int | None = None,
    timeout: float | None = None,
    partial: bool = False,
    on_samples: Callable[[int], object] | None = None,
    on_spikes: Callable[[Mapping[str, Value]], object] | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Run ``program`` on ``inputs``, in the layout of the example, and count the work.

    The samples come in chunks that take about ``memory`` bytes, on so many ``threads``, by default
    all cores; the numbers do not depend on either. ``dtype`` is the arithmetic in floats, by
    default what `snncc.arithmetic` finds. ``keep`` names the places whose spikes the result holds,
    None all of them; ``on_spikes`` is given those of every place, (T, N, *shape), chunk by chunk.

    With a ``level`` it runs on the "cycle" backend and ``timing`` is what that says: "count" adds
    up what each core does, "cycle", the default there, times every packet
    (`snncc.backends.cycle`). Both replay the spikes on ``chip``, by default the target's, with
    ``mapping`` from neurons to cores, by default the program's own, in so many ``workers``, by
    default as many as ``threads``.

    With "lava" the package is emitted anew, so that no file of a program's folder is executed, and
    runs in Lava's own interpreter for at most ``timeout`` seconds; the answers are Lava's, and its
    spikes are held against the reference, in float64. ``on_samples`` is told how many more samples
    are done, ``on_step`` how many of how many steps Lava has. With ``partial`` a KeyboardInterrupt
    ends the run with the numbers so far, once there are some.

    Raises SnnccError: SNN306 and SNN312 for inputs that do not fit, SNN316 for a backend the
    program was not compiled for and for a mapping that is not its own, SNN317
    where Lava is missing or took too long; SNN215, and SNN201, SNN202 and SNN209, for a mapping to
    another ``chip`` that is beyond its limits.
    """
    backend = "cycle" if level is not None else backend
    _check_backend(program, backend)
    wiring = _wired(program, chip, mapping) if backend == "cycle" else None
    samples, trained = _Samples(program, inputs), _trained(program)
    if dtype is None and backend != "lava":
        counts = {
            node.name: int(node.signal.values.largest)
            for node in program.graph.inputs
            if node.op == Input("count")
        }
        how = arithmetic(trained, samples.take(0, tried(trained)), counts)
    else:
        how = Arithmetic(dtype or torch.float64, "asked")

    with ExitStack() as stack:
        counting = _Counting(program, keep)
        parts: list[_Part] = [counting]
        if program.network.is_fixed:
            parts.append(_Rounding(program, trained, how.dtype, threads))
        if wiring is not None:
            parts.append(_Cycles(program, wiring, level, workers or threads or cores()))
        if backend == "lava":
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="snncc-"))
            folder = Path(scratch, "loihi")
            parts.append(_Lava(program, keep, folder, samples.count, timeout, on_step))
        needed = None if on_spikes is not None else _union(part.needs for part in parts)
        simulator = program.simulator(how.dtype, needed, None if keep else torch.uint8)
        size = chunk_size(simulator, samples.steps, memory, threads)
        interrupted = False
        try:
            for start in range(0, samples.count, size):
                chunk = samples.take(start, start + size)
                run = simulator(chunk, threads=threads)
                result = program.answers(chunk, run, how.dtype)
                for part in parts:
                    part.add(chunk, run, result)
                if on_spikes is not None:
                    on_spikes(program.delivered(run.spikes))
                if on_samples is not None:
                    on_samples(min(size, samples.count - start))
        except KeyboardInterrupt:
            if not (partial and counting.samples):
                raise
            interrupted = True
        simulation = replace(counting.of(how), backend=backend, partial=interrupted)
        for part in parts[1:]:
            simulation = part.into(simulation)
        return simulation


def _check_backend(program: Program, backend: Backend) -> None:
    machine = find_target(program.target)
    if backend not in machine.backends:
        raise refuse(
            "SNN316",
            f"a program for {program.target} does not run on {backend!r} but on "
            f"{', '.join(machine.backends)}",
            help="choose one of these"
            if backend == "reference"
            else "compile it for another target",
        )


class _Samples:
    """The user's data, some samples at a time, as the interpreter takes them."""

    def __init__(self, program: Program, data: ArrayLike | Value | Recordings) -> None:
        self._program, self._axes = program, sample_axes(program.network)
        self._file = data if isinstance(data, Recordings) else None
        if self._file is not None:
            self.count = self._file.samples
        else:
            self._whole = program.arrange(data)
            name, axis = next(iter(self._axes.items()))
            self.count = self._whole[name].shape[axis]

    @property
    def steps(self) -> int:
        return steps_of(self._program.network, self.take(0, 1))

    def take(self, start: int, stop: int) -> dict[str, Value]:
        """Samples ``start`` to ``stop``, or to the last one."""
        stop = min(stop, self.count)
        if self._file is not None:
            return self._program.arrange(self._file.take(start, stop))
        whole, axes = self._whole, self._axes
        return {name: whole[name].narrow(axis, start, stop - start) for name, axis in axes.items()}


class _Part(Protocol):
    """What is made of a run: it is shown every chunk and keeps only its own numbers."""

    @property
    def needs(self) -> Collection[str] | None:
        """The places whose spikes it reads, None for all."""

    def add(self, inputs: Mapping[str, Value], run: Run, result: Result) -> object: ...

    def into(self, simulation: Simulation) -> Simulation: ...


class _Counting:
    """The answers, the spikes and the work."""

    def __init__(self, program: Program, keep: Collection[str] | None) -> None:
        self._program, self._keep = program, keep
        self._meter = GraphMeter(program.graph)
        known = {*program.node_of.values(), *(each.name for each in program.network.sources)}
        self._summed = tallied(program.graph, self._meter.reads, known)
        self._others = self._meter.reads - self._summed
        self._forced = backward(program.graph.nodes, self._others, known) & known
        self._sent: dict[str, Value] = {}
        self._tallies: dict[str, Value] = {}
        self._parts: list[tuple[Run, Result]] = []
        self.samples = self._steps = 0

    @property
    def needs(self) -> Collection[str] | None:
        if self._keep is None or self._program.keep_aap:
            return None
        node_of = self._program.node_of
        return {*self._keep, *(name for name in node_of if node_of[name] in self._forced)}

    def add(self, inputs: Mapping[str, Value], run: Run, result: Result) -> None:
        self._steps, samples = next(iter(run.outputs.values())).shape[:2]
        self.samples += samples
        _add(self._sent, run.sent)
        if self._others:
            graph = self._program.graph
            given = {node.name: inputs[node.name] for node in graph.inputs}
            forced = self._program.node_values(run)
            values = run_graph(graph, given, keep=self._others, forced=forced)
            rates = {name: graph.nodes[name].signal.rate for name in self._others}
            sums = {n: values[n].sum((0, 1) if rates[n] == "step" else 0) for n in self._others}
            _add(self._tallies, sums)
        self._parts.append((_kept(run, self._keep), result))

    def of(self, how: Arithmetic) -> Simulation:
        program, samples, steps = self._program, self.samples, self._steps
        known = {program.node_of.get(name, name): sent for name, sent in self._sent.items()}
        summed = tallies(program.graph, self._summed, known, samples, steps)
        before = self._meter({**summed, **self._tallies}, samples, steps)
        sent = program.delivered(self._sent)
        network = program.scheduled or program.network
        return Simulation(
            program.gather(self._parts),
            before,
            NetworkMeter(network)(sent, samples, steps),
            before.of(program.auxiliary) if program.keep_aap else Work(samples),
            {name: int(each.sum()) for name, each in sent.items()},
            how,
        )


class _Rounding:
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
        self._flips = dict.fromkeys(self.needs, 0)
        self._run = Simulator(trained, dtype, self.needs, spikes=torch.uint8)
        self._threads, self._compared = threads, 0
        self._logits: list[Value] = []

    def add(self, inputs: Mapping[str, Value], run: Run, result: Result) -> None:
        trained = self._run(inputs, threads=self._threads)
        for name in self._flips:
            self._compared += trained.spikes[name].numel()
            self._flips[name] += int((run.spikes[name] != trained.spikes[name]).sum())
        self._logits.append(next(iter(trained.logits.values())))

    def into(self, simulation: Simulation) -> Simulation:
        found = Rounding(self._compared, self._flips, torch.cat(self._logits))
        return replace(simulation, rounding=found)


class _Cycles:
    """The run on a chip."""

    needs: Collection[str] | None = None

    def __init__(
        self, program: Program, wiring: Wiring, level: Level | None, workers: int
    ) -> None:
        from snncc.backends.cycle import Replay

        self._program = program
        self._replay = Replay(wiring, "count" if level == "count" else "packet", workers)

    def add(self, inputs: Mapping[str, Value], run: Run, result: Result) -> None:
        said = self._program.delivered(run.spikes)
        self._replay.add({name: spikes.numpy() for name, spikes in said.items()})

    def into(self, simulation: Simulation) -> Simulation:
        return replace(simulation, timing=self._replay.finish())


class _Lava:
    """The emitted package in Lava, held against the reference."""

    needs: Collection[str] | None = None

    def __init__(
        self,
        program: Program,
        keep: Collection[str] | None,
        folder: Path,
        samples: int,
        timeout: float | None,
        on_step: Callable[[int, int], object] | None,
    ) -> None:
        emit("loihi", program, folder)
        self._program, self._keep = program, keep
        self._folder, self._samples = folder, samples
        self._until = None if timeout is None else time.monotonic() + timeout
        self._on_step, self._done = on_step, 0
        self._parts: list[tuple[Run, Result]] = []
        self._agreement = Agreement(0, 0, None, 0.0)

    def add(self, inputs: Mapping[str, Value], run: Run, result: Result) -> None:
        from snncc.backends.loihi.simulation import simulate as run_package

        program, network = self._program, self._program.scheduled
        assert network is not None
        samples = next(iter(run.outputs.values())).shape[1]
        limit = _patience(network, samples)
        if self._until is not None:
            limit = max(self._until - time.monotonic(), 0.01)
        found = run_package(
            self._folder, network, inputs, timeout=limit, on_step=self._telling(samples)
        )
        said = program.answers(inputs, found)
        names = [place.name for place in program.network.populations]
        self._agreement += agreement(result, said, names, behind=self._done)
        self._done += samples
        self._parts.append((_kept(found, self._keep), said))

    def _telling(self, samples: int) -> Callable[[int, int], object] | None:
        """Tells of the steps of all samples."""
        tell, behind = self._on_step, self._done / samples
        if tell is None:
            return None
        return lambda done, total: tell(
            round(behind * total) + done, round(self._samples / samples * total)
        )

    def into(self, simulation: Simulation) -> Simulation:
        result = self._program.gather(self._parts)
        return replace(simulation, result=result, agreement=self._agreement)


def _wired(program: Program, chip: Chip | None, mapping: CoreMapping | None) -> Wiring:
    from snncc.backends.cycle import wire
    from snncc.passes.fitting import not_on_chip, overfull
    from snncc.targets.chip import built_in

    network, own = program.scheduled, find_target(program.target).chip
    assert network is not None
    mapping, chip = mapping or network.mapping, chip or own or built_in("loihi1")
    if mapping is None:
        message = f"a program for {program.target} has no mapping to cores"
        help = "compile it for a chip, --target loihi1, or give a mapping"
        raise refuse("SNN316", message, help=help)
    try:
        wiring = wire(network, mapping, chip)
    except ValueError as error:
        message = f"the mapping is not one of this program and chip: {error}"
        raise refuse("SNN316", message, help="map this program to this chip") from None
    elsewhere = (mapping, chip) != (network.mapping, own)
    if elsewhere and (problems := (*not_on_chip(network, chip), *overfull(network, mapping, chip))):
        raise SnnccError(problems)
    return wiring


def _trained(program: Program) -> Network:
    """The network in floats: the program's own, or of one in whole numbers as before rounding."""
    if not program.network.is_fixed:
        return program.network
    options = program.about["options"]
    chosen = {name: options[name] for name in ("head", "cut_merge", "strict") if name in options}
    form = run_passes(program.graph, frontend_passes(**chosen)).form
    assert isinstance(form, Network)
    return form


def _union(parts: Iterable[Collection[str] | None]) -> frozenset[str] | None:
    """All that any of several need; None is everything."""
    several = list(parts)
    if any(each is None for each in several):
        return None
    return frozenset(chain.from_iterable(each for each in several if each is not None))


def _kept(run: Run, keep: Collection[str] | None) -> Run:
    """The logits of a run, and its other values where they are kept."""
    if keep is None:
        return run
    spikes = {name: value for name, value in run.spikes.items() if name in keep}
    outputs = {name: value for name, value in run.outputs.items() if name in keep}
    return replace(run, spikes=spikes, outputs=outputs)


def _add(total: dict[str, Value], more: Mapping[str, Value]) -> None:
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value


def _patience(network: Network, samples: int) -> float:
    """Seconds to allow Lava: two minutes to start, 10 ms a process and step."""
    return 120 + 0.01 * len(network.places) * samples * (network.time_steps or 1)


def agreement(
    expected: Result, found: Result, names: Sequence[str], behind: int = 0
) -> Agreement:
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
