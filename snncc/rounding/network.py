"""A Network in whole numbers, place by place; rules numbered as in `snncc.passes.quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from snncc.ir.interpreter import fixed
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
from snncc.ir.registers import FORGET, MEMBRANE_LIMIT, ONE, UNITY, WEIGHTS, FixedNeuron
from snncc.rounding.calibration import Teacher
from snncc.rounding.registers import (
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
from snncc.rounding.report import Layer, noise, span
from snncc.rounding.scales import CURRENT_UNITS, MULTIPLIERS, Feed, as_torch, search, sums


class Rounding:
    """The fixed network as it grows."""

    def __init__(
        self, form: Network, weight_bits: int, one_threshold: bool, teacher: Teacher | None
    ) -> None:
        self._form, self._bits, self._one_threshold = form, weight_bits, one_threshold
        self._teacher = teacher
        self.places: list[Place] = []
        self.projections: list[Projection] = []
        self.tensors: dict[str, Array] = dict(form.tensors)
        self.rows: list[Layer] = []
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
        used, ratio = noise(feed.synapses, weights, scale)
        row = Layer(
            population=place.name,
            role=place.role,
            scale=span(scale),
            threshold=span(numbers["vth"]),
            weight_range=used,
            weight_snr_db=ratio,
        )
        self.rows.append(row if self._teacher is None else self._seen(row, after, wires))

    def _is_spikes(self, projection: Projection) -> bool:
        source = self._form.places[projection.source]
        return not (isinstance(source, Source) and source.kind == "count")

    def _seen(self, row: Layer, place: Population, wires: Sequence[Projection]) -> Layer:
        """With what the population does on the calibration, teacher-forced."""
        assert self._teacher is not None
        neuron = place.neuron
        assert isinstance(neuron, FixedNeuron)
        run = self._teacher.run
        network = replace(self._form, projections=tuple(wires), tensors=self.tensors)
        store = WholeStore.of(network)
        a, wraps = fixed.gather(network, place.name, run.spikes, self._teacher.currents, store)
        taught = run.spikes[place.name].bool()
        fired = fixed.fire(neuron, a, store, taught)
        return replace(
            row,
            membrane_range=round(float(fired.membranes.abs().max()) / MEMBRANE_LIMIT, 6),
            flipped=int((fired.spikes != taught).sum()),
            neuron_steps=taught.numel(),
            saturations=fired.saturations,
            wraps=wraps + fired.wraps,
        )

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
        used, ratio = noise(feed.synapses, weights, best)
        self.rows.append(
            Layer(
                population=place.name,
                role="readout",
                scale=span(best),
                weight_range=used,
                weight_snr_db=ratio,
            )
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
