"""What of a network does not fit a chip: each finding with the place, the limit, by how much it is
exceeded, and what would fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from snncc.diagnostics import Finding, Location
from snncc.ir.interpreter import Value
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.network import Network, Population
from snncc.ir.ops import Ref
from snncc.ir.stages import Scheduled
from snncc.mapping.demands import LIMITS, Demands, Structure, limits
from snncc.targets.chip import Chip

CODES = {"words": "SNN204", "lists": "SNN205", "axons": "SNN206", "entries": "SNN207"}
"""Of a limit that a single neuron can exceed."""

ASKED = {
    "neurons": "neurons",
    "words": "words of synapse memory",
    "lists": "fan-in lists",
    "axons": "fan-out axons",
    "entries": "routing entries",
}

OWN_BIAS = frozenset({"bias", "bias_mant", "bias_exp"})
"""What every neuron of a chip has of its own."""


def not_on_chip(
    network: Network, chip: Chip, inputs: Mapping[str, Value] | None = None
) -> Iterator[Finding]:
    """What no mapping could change: delays, neuron parameters, counts.

    ``inputs``: data whose counts are looked at, as `snncc.ir.interpreter.run_network` takes them.
    """
    yield from _delays(network, chip)
    yield from _thresholds(network, chip)
    yield from _counts(network, chip, inputs or {})


def too_much(
    structure: Structure, parts: Mapping[str, np.ndarray], demands: Demands, alone: np.ndarray
) -> Iterator[Finding]:
    """The limits that single neurons exceed, the worst of each place.

    ``alone`` (parts,): the parts that are a neuron each.
    """
    chip = structure.chip
    for name, part in parts.items():
        mine = np.unique(part[alone[part]])
        for what, code in CODES.items():
            limit = getattr(chip, LIMITS[what])
            need = int(getattr(demands, what)[mine].max(initial=0))
            if need > limit:
                message = (
                    f"a neuron of {name} needs {need:,} {ASKED[what]}, {need - limit:,} more than "
                    f"the {limit:,} of a core of {chip.name}"
                )
                help = _what_fits(structure, name, what, need, limit)
                yield Finding(code, message, origin(structure.network, name), name, help)


def too_many_cores(
    structure: Structure, core_of: Mapping[str, np.ndarray], least: Mapping[str, int]
) -> Iterator[Finding]:
    """SNN208; ``least`` is how many cores each limit needs by itself."""
    chip = structure.chip
    most = chip.chips * chip.cores
    count = 1 + max((int(core.max(initial=-1)) for core in core_of.values()), default=-1)
    if count > most:
        name, core = max(core_of.items(), key=lambda item: len(np.unique(item[1])))
        limit = max(least, key=lambda what: least[what])
        message = (
            f"the network needs {count:,} cores, {count - most:,} more than the "
            f"{most:,} of the largest board of {chip.name}; {name} alone takes part of "
            f"{len(np.unique(core)):,}"
        )
        help = (
            f"{100 * most // count}% of the network would fit; the tightest limit is that on "
            f"{limit}, which needs {least[limit]:,} cores at least"
        )
        yield Finding("SNN208", message, origin(structure.network, name), name, help)


def overfull(network: Network, mapping: CoreMapping, chip: Chip) -> Iterator[Finding]:
    """What a mapping made elsewhere puts on cores and boards that ``chip`` has not (SNN215)."""
    if mapping.chips > chip.chips:
        message = (
            f"the mapping is for {mapping.chips:,} chips, {mapping.chips - chip.chips:,} more than "
            f"the {chip.chips:,} of the largest board of {chip.name}"
        )
        yield Finding("SNN215", message)
    cores = mapping.cores
    parts = {name: np.searchsorted(cores, core) for name, core in mapping.core_of.items()}
    held = Structure.of(network, chip).demands(parts).limited
    for what, limit, need in zip(LIMITS, limits(chip).tolist(), held.T, strict=True):
        over = int((need > limit).sum())
        if over:
            worst = int(need.argmax())
            name = max(parts, key=lambda name: int((parts[name] == worst).sum()))
            message = (
                f"core {cores[worst]} holds {need[worst]:,} {ASKED[what]}, most of its neurons are "
                f"of {name}: {need[worst] - limit:,} more than the {limit:,} of a core of "
                f"{chip.name}; {over:,} of {len(cores):,} cores hold too many"
            )
            yield Finding("SNN215", message, origin(network, name), name)


def origin(network: Network, name: str) -> Location:
    """Where the place ``name`` comes from, as far as it is known."""
    place = network.places[name]
    return place.origin if isinstance(place, Population) else Location()


def alike(value: object, network: Network) -> object:
    """The one number that a parameter is for every neuron, else the name of its tensor."""
    if isinstance(value, Ref):
        tensor = network.tensors[value]
        return tensor.flat[0].item() if tensor.size and np.ptp(tensor) == 0 else value
    return value


def _what_fits(structure: Structure, name: str, what: str, need: int, limit: int) -> str:
    if what in ("axons", "entries"):
        readers = " and ".join(wire.projection.target for wire in structure.out_of(name))
        return (
            f"{readers} would have to lie on {limit:,} cores, not {need:,}: give it fewer weights"
        )
    fan_in = (wire.reach.arrivals(np.ones(math.prod(wire.source))) for wire in structure.into(name))
    inputs = sum(int(each.max(initial=0)) for each in fan_in)
    return (
        f"of its {inputs:,} inputs {inputs * limit // need:,} would fit; reduce its input channels "
        "or kernel, or choose a target with larger cores"
    )


def _delays(network: Network, chip: Chip) -> Iterator[Finding]:
    for p in network.projections:
        delay = network.late(p) if isinstance(network, Scheduled) else p.delay
        if delay > chip.largest_delay:
            message = (
                f"the projection {p.source} -> {p.target} has a delay of {delay} steps, "
                f"{delay - chip.largest_delay} more than the {chip.largest_delay} of {chip.name}"
            )
            help = f"a delay of {chip.largest_delay} would fit; let relays take the rest"
            yield Finding("SNN209", message, origin(network, p.target), p.target, help)


def _thresholds(network: Network, chip: Chip) -> Iterator[Finding]:
    for population in network.populations if chip.thresholds == "layer" else ():
        own = [
            name
            for name, value in vars(population.neuron).items()
            if name not in OWN_BIAS and isinstance(alike(value, network), Ref)
        ]
        if own:
            message = (
                f"the neurons of {population.name} differ in {' and '.join(own)}, and all neurons "
                f"on a core of {chip.name} have the same"
            )
            help = "choose a target with thresholds by neuron"
            if own == ["threshold"] and not network.is_fixed:
                help += ", or whole numbers (--weight-bits), whose weights take the differences"
            yield Finding("SNN201", message, population.origin, population.name, help)


def _counts(network: Network, chip: Chip, inputs: Mapping[str, Value]) -> Iterator[Finding]:
    for source in network.sources:
        if source.kind == "count":
            known = int(inputs[source.name].max()) if source.name in inputs else 0
            most = max(known, 2)  # fewer would be spikes
            bits = most.bit_length()
            if bits > chip.spike_bits:
                message = (
                    f"{source.name} sends counts up to {most} {'' if known else 'or more '}in "
                    f"{bits} bits, {bits - chip.spike_bits} more than the {chip.spike_bits} that a "
                    f"spike of {chip.name} carries"
                )
                fits = max(2**chip.spike_bits - 1, 1)
                help = (
                    f"counts up to {fits} would fit; make the input binary (--input spike), or "
                    "choose a target whose spikes carry numbers, such as loihi2"
                )
                yield Finding("SNN202", message, node=source.name, help=help)
