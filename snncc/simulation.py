"""A program on data: its answers, the work before and after compiling, and where it ran.

The samples come in chunks. What a chunk adds to the numbers is added up, then the chunk is dropped:
memory depends on the network and the size of a chunk, not on the number of samples.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import torch

from snncc.arithmetic import Arithmetic, arithmetic, classes, tried
from snncc.backends.base import Backend, Replay, Replays, Runs, parse
from snncc.backends.reference import chunk_size
from snncc.backends.reference.fused import sample_axes
from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.data import Recordings
from snncc.ir.interpreter import Value, steps_of
from snncc.ir.network import Network
from snncc.ir.ops import Input
from snncc.ir.stages import Mapped, Scheduled
from snncc.ir.work import CMOS_45NM, WHOLE_45NM, Energy, Work
from snncc.measures import (
    Agreement,
    Chunk,
    Counted,
    Elsewhere,
    Measure,
    OnChip,
    Rounded,
    Rounding,
)
from snncc.pipeline import plan
from snncc.pipeline import run as run_passes
from snncc.program import Program, Result, emit
from snncc.registry import with_known
from snncc.targets import target as find_target
from snncc.targets.chip import Chip, find_chip

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from snncc.backends.base import Timing
    from snncc.ir.mapping import Mapping as CoreMapping

MEMORY = 1 << 28
"""Bytes that a chunk of samples takes, about, if the user says nothing."""

Level = Literal["cycle", "count"]


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
    and all numbers are those of the samples before. ``encoder`` says how the
    recordings were turned into spikes, if they were. ``prices`` are what an operation takes as
    trained and as compiled, in floats or in whole numbers.
    """

    result: Result
    before: Work
    after: Work
    host: Work
    sent: Mapping[str, int]
    arithmetic: Arithmetic
    backend: str = "reference"
    agreement: Agreement | None = None
    timing: Timing | None = None
    rounding: Rounding | None = None
    partial: bool = False
    encoder: str = ""
    prices: tuple[Energy, Energy] = (CMOS_45NM, CMOS_45NM)

    @property
    def samples(self) -> int:
        return self.before.samples

    @property
    def spikes(self) -> int:
        """How many spikes all neurons of the compiled network sent; sources are none."""
        return sum(self.sent[name] for name in self.after.parts if name in self.sent)

    @property
    def heads(self) -> dict[str, Value]:
        """All logits (N, classes), each under what its accuracy is called."""
        heads = {"accuracy": self.result.logits}
        if self.rounding is not None:
            heads["accuracy in float"] = self.rounding.logits
        return heads | {f"accuracy, {name}": y for name, y in self.result.heads.items()}

    def confusion(self, labels: ArrayLike) -> np.ndarray:
        """(classes, classes): how many samples of each label, a row, were said to be each class.

        Raises ValueError where there is not one label for each sample.
        """
        said, told = classes(self.result.logits).numpy(), np.asarray(labels)
        if told.shape != said.shape:
            raise ValueError(f"{told.shape} labels for {said.shape} samples")
        count = 1 + max(int(said.max(initial=0)), int(told.max(initial=0)))
        if self.result.logits.dim() > 1:
            count = max(count, self.result.logits.shape[-1])
        table = np.zeros((count, count), np.int64)
        np.add.at(table, (told, said), 1)
        return table

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
    backend: str | Backend = "reference",
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

    ``backend`` is one of the target's, a `Backend` with its options or the text that names one
    (`snncc.backends.base`). With a ``level`` it is "cycle", whose option that is.

    One that replays gives ``timing``: it replays the spikes on ``chip``, by default the target's,
    with ``mapping`` from neurons to cores, by default the program's own, in so many ``workers``, by
    default as many as ``threads``.

    One that runs a package, as "lava" does, is given one that is written anew, so that no file of a
    program's folder is executed, and runs it for at most ``timeout`` seconds; the answers are its
    own, and its spikes are compared with the reference, in float64. ``on_samples`` is told how many
    more samples are done, ``on_step`` how many of how many steps the package has. With ``partial``
    a KeyboardInterrupt ends the run with the numbers so far, once there are some.

    Raises SnnccError: SNN306 and SNN312 for inputs that do not fit, SNN313 for a backend that is
    not there, SNN316 for one the program was not compiled for and for a mapping that is not its
    own, SNN317 where something the backend needs is missing or took too long; SNN215, and SNN201,
    SNN202 and SNN209, for a mapping to another ``chip`` that is beyond its limits.
    """
    machine = _chosen("cycle" if level is not None else backend, level, workers or threads)
    _check_backend(program, machine)
    keep = None if keep is None else frozenset(keep)
    _check_options(program, dtype, keep)
    replay = _replay(program, machine, chip, mapping) if isinstance(machine, Replays) else None
    samples, trained = _Samples(program, inputs), _trained(program)
    if dtype is None and not isinstance(machine, Runs):
        how = _arithmetic(program, trained, samples, threads)
    else:
        how = Arithmetic(dtype or torch.float64, "asked")

    with tempfile.TemporaryDirectory(prefix="snncc-") as scratch:
        wanted = _Wanted(Counted(program, keep))
        if program.is_rounded:
            wanted.rounded = Rounded(program, trained, how.dtype, threads)
        if replay is not None:
            wanted.on_chip = OnChip(program, replay)
        if isinstance(machine, Runs):
            folder = Path(scratch, machine.package)
            emit(machine, program, folder)
            wanted.elsewhere = Elsewhere(
                program, keep, machine, folder, samples.count, timeout, on_step
            )
        needed = None if on_spikes is not None else wanted.needs
        simulator = program.simulator(how.dtype, needed, None if keep else torch.uint8)
        size = chunk_size(simulator, samples.steps, memory, threads)
        interrupted = False
        try:
            for start in range(0, samples.count, size):
                given = samples.take(start, start + size)
                run = simulator(given, threads=threads)
                wanted.add((given, run, program.answers(given, run, how.dtype)), on_spikes)
                if on_samples is not None:
                    on_samples(min(size, samples.count - start))
        except KeyboardInterrupt:
            if not (partial and wanted.counted.samples):
                raise
            interrupted = True
    encoder = inputs.encoder if isinstance(inputs, Recordings) else ""
    return wanted.simulation(how, machine.name, interrupted, encoder)


@dataclass
class _Wanted:
    """The measures of a run: every run is counted."""

    counted: Counted
    rounded: Rounded | None = None
    on_chip: OnChip | None = None
    elsewhere: Elsewhere | None = None

    @property
    def measures(self) -> list[Measure]:
        several = (self.counted, self.rounded, self.on_chip, self.elsewhere)
        return [each for each in several if each is not None]

    @property
    def needs(self) -> frozenset[str] | None:
        """The places whose spikes any of them reads, None for all."""
        return _union(each.needs for each in self.measures)

    def add(self, chunk: Chunk, on_spikes: Callable[[Mapping[str, Value]], object] | None) -> None:
        """What a chunk adds to each, in one go; ``on_spikes`` as in `simulate`."""
        measures = self.measures
        more = [measure.of(chunk) for measure in measures]
        with in_one_go():
            if on_spikes is not None:
                on_spikes(self.counted.program.delivered(chunk[1].spikes))
            for measure, its in zip(measures, more, strict=True):
                measure.add(its)

    def simulation(
        self, how: Arithmetic, backend: str, interrupted: bool, encoder: str
    ) -> Simulation:
        """What they found."""
        counted, before = self.counted, self.counted.before
        program, elsewhere = counted.program, self.elsewhere
        return Simulation(
            counted.result if elsewhere is None else elsewhere.result,
            before,
            counted.after,
            before.of(program.auxiliary) if program.keep_aap else Work(counted.samples),
            {name: int(each.sum()) for name, each in program.delivered(counted.sent).items()},
            how,
            backend,
            None if elsewhere is None else elsewhere.agreement,
            None if self.on_chip is None else self.on_chip.timing,
            None if self.rounded is None else self.rounded.rounding,
            interrupted,
            encoder,
            (
                WHOLE_45NM if program.network.is_fixed and not program.is_rounded else CMOS_45NM,
                WHOLE_45NM if program.network.is_fixed else CMOS_45NM,
            ),
        )


@contextmanager
def in_one_go() -> Iterator[None]:
    """Holds a KeyboardInterrupt back until this is done, where signals arrive in this thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(held[0])


def _chosen(backend: str | Backend, level: Level | None, workers: int | None) -> Backend:
    """The backend with those options of `simulate` that are its own."""
    chosen = parse(backend) if isinstance(backend, str) else backend
    given = {"level": level, "workers": workers}
    said = {name: value for name, value in given.items() if value is not None}
    return replace(chosen, **with_known(chosen, said))


def _check_backend(program: Program, backend: Backend) -> None:
    """Raises SNN316 where the program does not run on it, SNN317 where it needs something."""
    machine = find_target(program.target)
    if backend.name not in machine.backends:
        raise refuse(
            "SNN316",
            f"a program for {program.target} does not run on {backend.name!r} but on "
            f"{', '.join(machine.backends)}",
            help="compile it for another target",
        )
    if missing := backend.missing():
        raise refuse("SNN317", missing)


def _check_options(
    program: Program, dtype: torch.dtype | None, keep: frozenset[str] | None
) -> None:
    if dtype not in (None, torch.float32, torch.float64):
        raise refuse("SNN316", f"dtype is torch.float32 or torch.float64, not {dtype!r}")
    if unknown := sorted((keep or frozenset()) - program.network.places.keys()):
        raise refuse("SNN316", f"`keep` names {unknown[0]!r}, which is no place of the network")


class _Samples:
    """The user's data, some samples at a time, as the interpreter takes them."""

    def __init__(self, program: Program, data: ArrayLike | Value | Recordings) -> None:
        self._program, self._axes = program, sample_axes(program.network)
        self._file = data if isinstance(data, Recordings) else None
        if self._file is not None:
            self.count = self._file.samples
        else:
            self._whole = program.arrange(cast("ArrayLike | Value", data))
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


def _arithmetic(
    program: Program, trained: Network, samples: _Samples, threads: int | None
) -> Arithmetic:
    """The floats to compute in, as `snncc.arithmetic` finds them on the first samples."""
    counts = {
        node.name: int(node.signal.values.largest)
        for node in program.graph.inputs
        if node.op == Input("count")
    }
    return arithmetic(trained, samples.take(0, tried(trained)), counts, threads)


def _replay(
    program: Program, backend: Replays, chip: Chip | None, mapping: CoreMapping | None
) -> Replay:
    """The replay on ``chip`` with ``mapping``, by default the program's own."""
    from snncc.mapping.fitting import not_on_chip, overfull

    own = find_target(program.target).chip
    mapped = program.at(Mapped) if mapping is None else Mapped.on(program.at(Scheduled), mapping)
    chip = chip or own or find_chip(backend.target)
    replay = backend.replay(mapped, chip)
    its_own = mapped.mapping == getattr(program.scheduled, "mapping", None)
    if not its_own or chip != own:
        problems = (*not_on_chip(mapped, chip), *overfull(mapped, mapped.mapping, chip))
        if problems:
            raise SnnccError(problems)
    return replay


def _trained(program: Program) -> Network:
    """The network in floats: the program's own, or of one in whole numbers as before rounding."""
    if not program.is_rounded:
        return program.network
    options = replace(program.about.options, weight_bits=None)
    planned = plan("reference", options)
    return planned.forms(run_passes(program.graph, planned.passes))[0]


def _union(parts: Iterable[Collection[str] | None]) -> frozenset[str] | None:
    """All that any of several need; None is everything."""
    several = list(parts)
    if any(each is None for each in several):
        return None
    return frozenset(chain.from_iterable(each for each in several if each is not None))
