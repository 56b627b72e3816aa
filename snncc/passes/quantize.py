"""quantize: Network → Network; whole numbers, and a reported part of the spikes flips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from snncc.diagnostics import Finding, refuse
from snncc.ir.interpreter import (
    Run,
    Value,
    fixed,
    run_network,
)
from snncc.ir.interpreter.fixed_cell import WholeStore
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
    Source,
)
from snncc.ir.ops import Ref, Scale
from snncc.ir.registers import (
    FORGET,
    MEMBRANE_LIMIT,
    ONE,
    UNITY,
    WEIGHTS,
    FixedNeuron,
)
from snncc.passes.base import Form, Outcome, Pass
from snncc.passes.calibration import Teacher
from snncc.passes.rounding import (
    LEAST,
    NEVER,
    Array,
    Levels,
    Synapses,
    along,
    as_neuron,
    registers,
    step,
    value,
)
from snncc.passes.scales import CURRENT_UNITS, MULTIPLIERS, Feed, as_torch, search, sums


@dataclass(frozen=True)
class Quantize(Pass):
    """Whole numbers for the registers and synapses of Loihi (design, section 4).

    ``weight_bits``, the sign included; ``thresholds``: "channel" where the target has them by
    neuron, "layer" where a population has one. ``calibration``: inputs as
    `snncc.ir.interpreter.run_network` takes them, whose spikes decide; without them the weights do.

    1. A gate, a relay, any memoryless population with whole weights, doubles them (with fewer bits,
       2^(9 − bits) for 2): v ≥ θ on whole sums is 2v > 2⌈θ⌉ − 1. A bias makes up for a θ raised to
       1, and to the largest where the target has one threshold.
    2. Any other population gets a scale: by channel where thresholds may differ by channel and
       every projection into it can have one, else one for all, θ divided out of the weights
       where the target has one threshold. All projections into a population share it.
    3. The largest scale keeps the weights within −256 and 254, θ within half of its register, and a
       bias within its mantissa and exponent. With data others are tried, beyond it too, and the one
       that flips the fewest spikes is taken, of equals the one whose membranes are nearest. A scale
       that makes all weights even whole numbers without rounding is tried first.
    4. v ≥ θ is v > ⌈θ⌉ − 1 for membranes of whole units, those without leak whose biases are whole.
       With data ⌈θ⌉ and ⌈θ⌉ − 2 are tried too; without, other membranes get the nearest.
    5. Decays are rounded to 1/4096. A neuron without memory has a decay of 4095 where its membrane
       always stays below 4096, which that forgets, else 4096.
    6. With data the mean error of the current that rounding the weights causes goes into the bias
       where that is better.
    7. A readout gets the scale of each output that errs least; the host divides by it.
    8. Currents from the host are scaled likewise and rounded to whole units as they arrive.

    Populations are fitted one by one, each hearing the spikes of the float network. The report has,
    for each, the part of the range its weights and membranes use, their signal-to-noise ratio, the
    spikes flipped and membranes saturated; and for the whole network the flips of neurons (not
    gates or relays) teacher-forced and propagated, and how many samples the first readout still
    gives the same largest logit.

    Refuses (SNN214) a neuron whose numbers no register can stand for.
    """

    name: ClassVar[str] = "quantize"
    reads: ClassVar[type[Form]] = Network
    writes: ClassVar[type[Form]] = Network

    weight_bits: int = 8
    thresholds: str = "channel"
    calibration: Mapping[str, Value] | None = field(default=None, repr=False, compare=False)

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Network)
        self._check()
        if form.is_fixed:
            said = "its neurons and weights are whole numbers already"
            raise refuse("SNN316", f"{self.name}: {said}", help="leave weight_bits out")
        if not form.populations:
            return Outcome(form)
        problems = tuple(_problems(form, self.thresholds))
        if problems:
            return Outcome(form, problems)
        teacher = None if self.calibration is None else Teacher.of(form, self.calibration)
        work = _Work(form, self.weight_bits, self.thresholds == "layer", teacher)
        for place in form.places.values():
            work.fit(place)
        network = form.with_changes(work.places, work.projections, work.tensors)
        report: dict[str, object] = {
            "calibration": "weights" if teacher is None else f"{teacher.samples} samples",
            "populations": work.rows,
        }
        if teacher is None:
            return Outcome(network, (_WITHOUT_DATA,), report)
        return Outcome(network, (), {**report, **_totals(network, teacher, work.rows)})

    def _check(self) -> None:
        if self.weight_bits not in range(2, 9):
            raise refuse("SNN316", f"{self.name}: weight-bits is 2 to 8, not {self.weight_bits}")
        if self.thresholds not in ("channel", "layer"):
            said = f"{self.name}: thresholds is channel or layer, not {self.thresholds!r}"
            raise refuse("SNN316", said)


_WITHOUT_DATA = Finding("SNN506", "the scales were chosen from the weights alone, without any data")


def _problems(network: Network, thresholds: str) -> Iterator[Finding]:
    for place in network.populations:
        n = place.neuron
        assert isinstance(n, Neuron)
        levels = Levels.of(n, network.tensors)
        reasons = []
        if not n.is_memoryless and np.any(levels.threshold <= 0):
            reasons.append("a threshold that is not above 0")
        elif _scaled_by_threshold(network, place, thresholds) and np.any(
            (levels.threshold > 0) & (levels.threshold < LEAST)
        ):
            reasons.append("a threshold of 0, which gives no scale")
        for what, decay in (("decay", levels.decay), ("current decay", levels.current_decay)):
            if np.any((decay < 0) | (decay > 1)):
                reasons.append(f"a {what} outside 0 to 1")
        if n.current_decay != 0 and n.current_initial != 0:
            reasons.append("a synaptic current that does not start at 0")
        if n.keeps and not n.is_memoryless:
            reasons.append("a reset that keeps a part of the membrane")
        if thresholds == "layer" and not _divisible(network, place, levels):
            reasons.append("thresholds that differ along other axes than the weights into it can")
        for reason in reasons:
            finding = Finding("SNN214", f"population {place.name} has {reason}", node=place.name)
            yield finding.at(place.origin)


def _scaled_by_threshold(network: Network, place: Population, thresholds: str) -> bool:
    """Whether the threshold alone decides the scale, without weights or before them."""
    assert isinstance(place.neuron, Neuron)
    sources = (network.places[p.source] for p in network.incoming[place.name])
    divided = thresholds == "layer" and not place.neuron.is_memoryless
    return divided or all(isinstance(source, Encoder) for source in sources)


def _divisible(network: Network, place: Population, levels: Levels) -> bool:
    """Whether every projection's weights can take a factor for each threshold."""
    theta = levels.threshold
    theta = theta.reshape((1,) * (len(place.shape) - theta.ndim) + theta.shape)
    varies = {axis for axis, size in enumerate(theta.shape) if size > 1}
    return all(varies <= Synapses.of(p, place.shape, network.tensors).axes
               for p in network.incoming[place.name]
               if not isinstance(network.places[p.source], Encoder))  # fmt: skip


class _Work:
    """The fixed network as it grows."""

    def __init__(
        self, form: Network, weight_bits: int, one_threshold: bool, teacher: Teacher | None
    ) -> None:
        self._form, self._bits, self._one_threshold = form, weight_bits, one_threshold
        self._teacher = teacher
        self.places: list[Place] = []
        self.projections: list[Projection] = []
        self.tensors: dict[str, Array] = dict(form.tensors)
        self.rows: list[dict[str, object]] = []
        self._rounded: dict[tuple[object, ...], float | Ref] = {}

    def fit(self, place: Place) -> None:
        match place:
            case Source() | Encoder():
                self.places.append(place)
            case Readout():
                self._readout(place)
            case Population():
                self._population(place)

    # -- populations ---------------------------------------------------------------------------

    def _population(self, place: Population) -> None:
        neuron = place.neuron
        assert isinstance(neuron, Neuron)
        levels = Levels.of(neuron, self._form.tensors)
        synapses, currents = self._arriving(place)
        if neuron.is_memoryless and not currents and _whole(synapses, step(self._bits)):
            feed = self._input(place, synapses, currents)
            self._gate(place, neuron, levels, feed)
            return
        if neuron.is_memoryless:
            levels = levels.lifted(self._raised(levels.threshold, synapses))
        theta = levels.threshold if self._one_threshold else None
        feed = self._input(place, synapses, currents, theta)
        fit = search(place, neuron, levels, feed, self._bits, self._teacher)
        shifted = replace(levels, bias=levels.bias + fit.shift)
        scale = feed.scaled(fit.scale)
        numbers = registers(neuron, shifted, scale, fit.offset)
        self._place(place, neuron, feed, scale, numbers)

    def _raised(self, theta: Array, synapses: Sequence[Synapses]) -> Array:
        """Thresholds above 0, one for all where the target has one: a bias makes up for it."""
        sizes = [float(np.abs(each.values).max(initial=0)) for each in synapses]
        least = max([*sizes, float(np.abs(theta[theta < NEVER]).max(initial=0))]) or 1.0
        if self._one_threshold:
            return np.asarray(max(float(theta.max()), least))
        return np.where(theta > 0, theta, least)

    def _gate(self, place: Population, neuron: Neuron, levels: Levels, feed: Feed) -> None:
        """Rule 1."""
        between = step(self._bits)
        scale = np.full((1,) * len(place.shape), float(between))
        need = np.ceil(levels.threshold - levels.bias)
        most = between * sum(along(e.sums(e.values), None, len(place.shape)).max()
                             for e in feed.synapses)  # fmt: skip
        need = np.minimum(need, most / between + 1)
        raised = np.maximum(need.max() if self._one_threshold else need, 1)
        zero = np.zeros((), np.int64)
        numbers = registers(neuron, levels, scale, np.zeros(())) | {
            "vth": (between * raised - 1).astype(np.int64),
            "bias_mant": (between * (raised - need)).astype(np.int64),
            "bias_exp": zero + 6,
            "initial": zero,
        }
        self._place(place, neuron, feed, scale, numbers)

    def _place(
        self,
        place: Population,
        neuron: Neuron,
        feed: Feed,
        scale: Array,
        numbers: dict[str, Array],
    ) -> None:
        """Rule 5, and the population and its projections as they will be."""
        weights = [each.rounded(scale, self._bits) for each in feed.synapses]
        if neuron.is_memoryless:
            bound = ONE * sum(
                (each.sums(w) for each, w in zip(feed.synapses, weights, strict=True)), np.zeros(())
            ) + np.abs(numbers["bias_mant"] << numbers["bias_exp"])
            spikes = not feed.currents and all(self._is_spikes(e.projection) for e in feed.synapses)
            forgets = UNITY - 1 if spikes and bound.max() < UNITY else FORGET
            numbers["dv"] = np.full((), forgets)
        fixed_neuron = as_neuron(neuron, numbers, place.name, self.tensors)
        after = replace(place, neuron=fixed_neuron)
        self.places.append(after)
        wires = self._wire(place, feed, scale, weights)
        row: dict[str, object] = {
            "population": place.name,
            "role": place.role,
            "scale": _span(scale),
            "threshold": _span(numbers["vth"]),
            **_noise(feed.synapses, weights, scale),
        }
        if self._teacher is not None:
            row |= self._seen(after, wires)
        self.rows.append(row)

    def _is_spikes(self, projection: Projection) -> bool:
        source = self._form.places[projection.source]
        return not (isinstance(source, Source) and source.kind == "count")

    def _seen(self, place: Population, wires: Sequence[Projection]) -> dict[str, object]:
        """What the population does on the calibration, teacher-forced."""
        assert self._teacher is not None
        neuron = place.neuron
        assert isinstance(neuron, FixedNeuron)
        run = self._teacher.run
        network = replace(self._form, projections=tuple(wires), tensors=self.tensors)
        store = WholeStore.of(network)
        a, wraps = fixed.gather(network, place.name, run.spikes, self._teacher.currents, store)
        taught = run.spikes[place.name].bool()
        fired = fixed.fire(neuron, a, store, taught)
        return {
            "membrane range": round(float(fired.membranes.abs().max()) / MEMBRANE_LIMIT, 6),
            "flipped": int((fired.spikes != taught).sum()),
            "neuron-steps": taught.numel(),
            "saturations": fired.saturations,
            "wraps": wraps + fired.wraps,
        }

    # -- readouts ------------------------------------------------------------------------------

    def _readout(self, place: Readout) -> None:
        """Rule 7."""
        feed = self._input(place, *self._arriving(place))
        scale = feed.largest(self._bits)
        scale = np.where(np.isfinite(scale), scale, CURRENT_UNITS)
        exact = feed.exact(scale, self._bits)
        best = scale = scale if exact is None else exact
        if self._teacher is not None:
            heard = self._teacher.hears(place)
            least = np.full(scale.shape, np.inf)
            for m in MULTIPLIERS:
                said = sums(feed, scale * m, self._teacher, self._bits)
                error = (said / as_torch(scale * m) - heard).square().mean((0, 1)).numpy()
                error = along(error, feed.axis, len(place.shape))
                best = np.where(error < least, scale * m, best)
                least = np.minimum(error, least)
        unit = 1 / best
        number: float | Ref = float(unit.flat[0])
        if unit.size > 1:
            number = Ref(f"{place.name}.unit")
            self.tensors[number] = unit
        weights = [each.rounded(best, self._bits) for each in feed.synapses]
        self.places.append(replace(place, unit=number))
        self._wire(place, feed, best, weights)
        noise = _noise(feed.synapses, weights, best)
        self.rows.append(
            {"population": place.name, "role": "readout", "scale": _span(best), **noise}
        )

    # -- projections ---------------------------------------------------------------------------

    def _arriving(
        self, place: Population | Readout
    ) -> tuple[tuple[Synapses, ...], tuple[Projection, ...]]:
        """What comes from spikes, and from the host."""
        wires = self._form.incoming[place.name]
        hosts = [isinstance(self._form.places[p.source], Encoder) for p in wires]
        return (
            tuple(
                Synapses.of(p, place.shape, self._form.tensors)
                for p, host in zip(wires, hosts, strict=True)
                if not host
            ),
            tuple(p for p, host in zip(wires, hosts, strict=True) if host),
        )

    def _input(
        self,
        place: Population | Readout,
        synapses: tuple[Synapses, ...],
        currents: tuple[Projection, ...],
        theta: Array | None = None,
    ) -> Feed:
        """Rule 2; with ``theta`` scales are one for all, divided by it."""
        rank = len(place.shape)
        relative = np.ones((1,) * rank)
        if theta is not None:
            return Feed(place.shape, synapses, currents, None, relative / theta)
        shared = frozenset(range(rank)).intersection(*(each.axes for each in synapses))
        axis = 0 if 0 in shared else max(shared, default=None)
        return Feed(place.shape, synapses, currents, axis, relative)

    def _wire(
        self, place: Population | Readout, feed: Feed, scale: Array, weights: Sequence[Array]
    ) -> list[Projection]:
        wires = [
            each.with_weights(self._weight(each, scale, values))
            for each, values in zip(feed.synapses, weights, strict=True)
        ]
        for p in feed.currents:  # rule 8
            factor = scale
            for op in p.map:
                assert isinstance(op, Scale)
                factor = factor * value(op.factor, self._form.tensors)
            number = self._number(factor, f"{place.name}.from.{p.source}.scale")
            wires.append(replace(p, map=(Scale(number),)))
        self.projections += wires
        return wires

    def _weight(self, each: Synapses, scale: Array, values: Array) -> float | Ref:
        """The number or tensor of rounded weights; equal ones are shared."""
        kind = type(each.op).__name__
        if kind in ("Scale", "NoneType"):
            name = f"{each.projection.target}.from.{each.projection.source}.scale"
            return self._number(values, name)
        key = (kind, *(each.op.refs() if each.op else ()), values.shape, values.tobytes())
        if key not in self._rounded:
            stem = f"{each.projection.target}.from.{each.projection.source}.fixed"
            self._rounded[key] = self._named(values, stem)
        return self._rounded[key]

    def _number(self, values: Array, name: str) -> float | Ref:
        if np.all(values == values.flat[0]):
            return float(values.flat[0])
        return self._named(values, name)

    def _named(self, values: Array, name: str) -> Ref:
        taken = 1
        ref = Ref(name)
        while ref in self.tensors:
            taken += 1
            ref = Ref(f"{name}.{taken}")
        self.tensors[ref] = values
        return ref


def _whole(synapses: Sequence[Synapses], between: int) -> bool:
    """Whether all weights are whole numbers, in range when multiplied by ``between``."""
    most = -WEIGHTS[0] // between - 1
    return all(np.all(e.values == np.rint(e.values)) and np.abs(e.values).max(initial=0) <= most
               for e in synapses)  # fmt: skip


def _span(numbers: Array) -> list[float]:
    return [float(numbers.min()), float(numbers.max())]


def _noise(
    synapses: Sequence[Synapses], weights: Sequence[Array], scale: Array
) -> dict[str, object]:
    """The part of the range that weights use, and their signal over rounding noise in dB."""
    signal = noise = most = 0.0
    for each, rounded in zip(synapses, weights, strict=True):
        exact = each.values * each.spread(scale)
        signal += float(np.square(exact).sum())
        noise += float(np.square(exact - rounded).sum())
        most = max(most, float(np.abs(rounded).max(initial=0)))
    ratio = 10 * math.log10(signal / noise) if signal and noise else None
    return {
        "weight range": round(most / -WEIGHTS[0], 4),
        "weight SNR dB": None if ratio is None else round(ratio, 2),
    }


def _totals(
    network: Network, teacher: Teacher, rows: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """Flips of all neurons: each population hearing the float network, and hearing each other."""
    neurons = [place.name for place in network.populations if place.role == "neuron"]
    taught = {name: teacher.run.spikes[name] for name in neurons}
    steps = max(1, sum(spikes.numel() for spikes in taught.values()))
    forced = sum(int(str(row["flipped"])) for row in rows if row["population"] in taught)
    run = run_network(network, teacher.inputs)
    free = run.spikes
    propagated = sum(int((free[name] != spikes).sum()) for name, spikes in taught.items())
    return {
        **_classified(run, teacher.run, network),
        "neuron-steps": steps,
        "teacher-forced": {"flipped": forced, "part": forced / steps},
        "propagated": {"flipped": propagated, "part": propagated / steps},
    }


def _classified(run: Run, taught: Run, network: Network) -> dict[str, object]:
    """How many samples fall into the class they fell into, where there are classes."""
    for readout in network.readouts:
        mine, theirs = run.logits[readout.name], taught.logits[readout.name]
        if mine.dim() == 2 and mine.shape[1] > 1:
            same = int((mine.argmax(1) == theirs.argmax(1)).sum())
            return {"same class": {"samples": same, "of": len(mine)}}
    return {}
