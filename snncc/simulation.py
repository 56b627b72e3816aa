"""A program on data: its answers, the work before and after compiling, and where it ran."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from snncc.diagnostics import SnnccError, refuse
from snncc.ir.interpreter import Run, Value, run_graph
from snncc.ir.network import Network
from snncc.ir.work import GraphMeter, NetworkMeter, Work
from snncc.program import Program, Result, emit
from snncc.targets import target as find_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from snncc.backends.cycle import Timing, Wiring
    from snncc.ir.mapping import Mapping as CoreMapping
    from snncc.targets.chip import Chip

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

    @property
    def equal(self) -> bool:
        """Every spike the same, and the sums up to the order of their additions."""
        return not self.differing and self.outputs < 1e-6


@dataclass(frozen=True)
class Rounding:
    """A network in whole numbers against itself as trained, in floating point, on the same samples.

    Of ``compared`` spikes of neurons ``flipped`` differ, what follows from others included.
    ``logits`` (N, classes) are those of floating point.
    """

    compared: int
    flipped: int
    logits: Value


@dataclass(frozen=True)
class Simulation:
    """The answers of a program, and the work they took.

    ``before`` is the work of the network as it was trained, its auxiliary path included; ``after``
    that of the compiled network with its gates and relays; ``host`` that of the auxiliary path
    where it is kept. ``spikes`` is how many all neurons of the compiled network sent. With another
    backend than the reference ``agreement`` says how its spikes compare. On the "cycle" backend
    ``timing`` says what the run took on the chip. Of a program in whole numbers ``rounding`` says
    what they change.
    """

    result: Result
    before: Work
    after: Work
    host: Work
    spikes: int
    backend: Backend = "reference"
    agreement: Agreement | None = None
    timing: Timing | None = None
    rounding: Rounding | None = None

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
    inputs: ArrayLike | Value,
    backend: Backend = "reference",
    *,
    level: Level | None = None,
    chip: Chip | None = None,
    mapping: CoreMapping | None = None,
    workers: int = 1,
    dtype: torch.dtype = torch.float64,
    timeout: float | None = None,
    on_samples: Callable[[int], object] | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Run ``program`` on ``inputs``, in the layout of the example, and count the work.

    With a ``level`` it runs on the "cycle" backend and ``timing`` is what that says: "count" adds
    up what each core does, "cycle", the default there, times every packet
    (`snncc.backends.cycle`). Both replay the spikes on ``chip``, by default the target's, with
    ``mapping`` from neurons to cores, by default the program's own, in so many ``workers``.

    With "lava" the package is emitted anew, so that no file of a program's folder is executed, and
    runs in Lava's own interpreter for at most ``timeout`` seconds; the answers are Lava's, and its
    spikes are held against the reference. ``on_samples`` is told how many more samples the
    reference has done, ``on_step`` how many of how many steps Lava has.

    Raises SnnccError: SNN306 and SNN312 for inputs that do not fit, SNN316 for a backend the
    program was not compiled for and for a mapping that is not its own, SNN317
    where Lava is missing or took too long; SNN215, and SNN201, SNN202 and SNN209, for a mapping to
    another ``chip`` that is beyond its limits.
    """
    if level is not None:
        backend = "cycle"
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
    arranged = program.arrange(inputs)
    if backend != "cycle":
        simulation = _reference(program, arranged, dtype, on_samples)
        if backend == "reference":
            return simulation
        return _lava(program, arranged, simulation, timeout, on_step)
    from snncc.backends.cycle import measure

    wiring = _wired(program, chip, mapping)
    heard: list[dict[str, np.ndarray]] = []
    simulation = _reference(program, arranged, dtype, on_samples, heard)
    timing = measure(wiring, heard, "count" if level == "count" else "packet", workers)
    return replace(simulation, backend="cycle", timing=timing)


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


def _reference(
    program: Program,
    inputs: Mapping[str, Value],
    dtype: torch.dtype,
    on_samples: Callable[[int], object] | None,
    heard: list[dict[str, np.ndarray]] | None = None,
) -> Simulation:
    """Also appends the spikes of each chunk, as bytes, to ``heard``."""
    whole = NetworkMeter(program.scheduled or program.network)
    trained = GraphMeter(program.graph)
    parts: list[tuple[Run, Result]] = []
    roundings: list[Rounding] = []
    before, after, spikes = Work(), Work(), 0
    for chunk, run, result in program.chunks(inputs, dtype=dtype):
        scheduled = program.scheduled_run(run)
        after += whole(scheduled)
        before += trained(*_trained_values(program, trained, chunk, run, dtype))
        if program.network.is_fixed:
            roundings.append(_rounding(program, chunk, run))
        sources = {source.name for source in program.network.sources}
        spikes += sum(int(s.sum()) for name, s in scheduled.spikes.items() if name not in sources)
        parts.append((run, result))
        if heard is not None:
            heard.append({
                name: (s if name in sources else s.to(torch.uint8)).numpy()
                for name, s in scheduled.spikes.items()
            })  # fmt: skip
        if on_samples is not None:
            on_samples(len(result.logits))
    result = program.gather(parts)
    host = before.of(program.auxiliary) if program.keep_aap else Work(before.samples)
    rounding = None
    if roundings:
        rounding = Rounding(
            sum(each.compared for each in roundings),
            sum(each.flipped for each in roundings),
            torch.cat([each.logits for each in roundings]),
        )
    return Simulation(result, before, after, host, spikes, rounding=rounding)


def _rounding(program: Program, chunk: Mapping[str, Value], run: Run) -> Rounding:
    graph = program.graph
    head = graph.heads[program.head]
    neurons = {
        place.stands_for: run.spikes[place.name]
        for place in program.network.populations
        if place.role == "neuron" and place.stands_for in graph.nodes
    }
    given = {node.name: chunk[node.name] for node in graph.inputs}
    trained = run_graph(graph, given, keep={*neurons, head})
    logits = trained[head]
    return Rounding(
        sum(spikes.numel() for spikes in neurons.values()),
        sum(int((spikes != trained[name]).sum()) for name, spikes in neurons.items()),
        logits.mean(0) if graph.nodes[head].signal.rate == "step" else logits,
    )


def _trained_values(
    program: Program, meter: GraphMeter, chunk: Mapping[str, Value], run: Run, dtype: torch.dtype
) -> tuple[Mapping[str, Value], int, int]:
    """What the meter of the traced Graph needs: values, samples, steps."""
    steps, samples = next(iter(run.spikes.values())).shape[:2]
    known = program.node_values(run)
    given = {node.name: chunk[node.name] for node in program.graph.inputs}
    values = run_graph(program.graph, given, keep=meter.reads, forced=known, dtype=dtype)
    return values, samples, steps


def _lava(
    program: Program,
    inputs: Mapping[str, Value],
    simulation: Simulation,
    timeout: float | None,
    on_step: Callable[[int, int], object] | None,
) -> Simulation:
    from snncc.backends.loihi.simulation import simulate as run_package

    network = program.scheduled
    assert network is not None
    with tempfile.TemporaryDirectory(prefix="snncc-") as scratch:
        folder = Path(scratch, "loihi")
        emit("loihi", program, folder)
        limit = timeout or _patience(network, simulation.before.samples)
        run = run_package(folder, network, inputs, timeout=limit, on_step=on_step)
    result = program.answers(inputs, run)
    return replace(
        simulation,
        result=result,
        backend="lava",
        agreement=agreement(
            simulation.result, result, [place.name for place in program.network.populations]
        ),
    )


def _patience(network: Network, samples: int) -> float:
    """Seconds to allow Lava: two minutes to start, 10 ms a process and step."""
    return 120 + 0.01 * len(network.places) * samples * (network.time_steps or 1)


def agreement(expected: Result, found: Result, names: Sequence[str]) -> Agreement:
    """How the outputs of another backend compare, and the spikes of the populations named."""
    compared = sum(expected.spikes[name].numel() for name in names)
    differing, first = 0, None
    for name in names:
        where = (expected.spikes[name] != found.spikes[name]).nonzero()
        differing += len(where)
        if len(where) and first is None:
            first = (name, tuple(where[0].tolist()))
    outputs = float((expected.outputs - found.outputs).abs().max())
    return Agreement(compared, differing, first, outputs)
