"""A mapped network as the YAML files of SANA-FE (Boyle et al., IEEE TCAD 2025), format of 2.2.

``architecture.yaml`` has the chip with its constants, ``network.yaml`` the neurons, the synapses,
the spikes of the input and the core of every neuron. SANA-FE computes with membranes in steps of
1/64 and fires above a threshold, so spikes agree where weights, thresholds and biases are whole
numbers; its biases act from the first step on, not from the step the first sample arrives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from snncc.diagnostics import Finding, SnnccError
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.matrix import compose
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
from snncc.ir.ops import Conv, Dense, Number, Ref, Reshape
from snncc.ir.registers import FixedNeuron
from snncc.ir.stages import Scheduled
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh

NEVER = 1e30
"""The threshold of a readout."""


def export(
    network: Scheduled,
    mapping: CoreMapping,
    chip: Chip,
    folder: Path,
    inputs: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write both files into ``folder``, which is made if it is missing.

    ``inputs`` (T, *shape) by source are spikes; without them sources are silent. Raises SnnccError
    (SNN201, SNN202) for neurons, connections and ways between chips that SANA-FE does not have.
    """
    problems = (*_problems(network, inputs or {}), *_between_chips(chip, mapping.chips))
    if problems:
        raise SnnccError(problems)
    mapping.verify(network.on_chip, chip.cores)
    mesh = Mesh(chip, mapping.chips)
    tiles = len(np.unique(mapping.cores // chip.cores_per_tile))
    barrier = chip.barrier_s(tiles, mapping.chips)
    most = max((n for name in mapping.core_of for n in _units(network, mapping, name)), default=0)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "architecture.yaml").write_text(architecture(chip, mesh, barrier, most + 1))
    with (folder / "network.yaml").open("w", encoding="utf-8") as file:
        for line in _lines(network, mapping, mesh, inputs or {}):
            file.write(line + "\n")


def group_names(network: Network) -> dict[str, str]:
    """The name of each place's group: letters, digits and underscores, given once."""
    names: dict[str, str] = {}
    for place in network.places:
        stem = name = re.sub(r"\W", "_", place)
        count = 1
        while name in names.values():
            count += 1
            name = f"{stem}_{count}"
        names[place] = name
    return names


def architecture(chip: Chip, mesh: Mesh, barrier_s: float, inputs: int) -> str:
    """One kind of tile and core; ``inputs`` input neurons per core, each a unit of its own there.

    SANA-FE has no port between a tile and its core: its share is part of axon-in. It tells
    accessing a neuron, which every neuron is in every step, from updating it, which the active
    ones are. It is one text, and long for it.
    """

    def direction(name: str, energy: float, latency: float) -> str:
        return f"        energy_{name}_hop: {energy!r}\n        latency_{name}_hop: {latency!r}\n"

    ew, ns = (chip.hop_ew_j, chip.hop_ew_s), (chip.hop_ns_j, chip.hop_ns_s)
    hops = "".join(
        direction(name, *cost)
        for name, cost in (("north", ns), ("south", ns), ("east", ew), ("west", ew))
    )
    return f"""architecture:
  name: {re.sub(r"[^A-Za-z0-9]", "_", chip.name)}
  attributes:
    topology: mesh
    width: {mesh.columns}
    height: {mesh.rows}
    link_buffer_size: {chip.buffer_spikes}
    sync_model: fixed
    latency_sync: {barrier_s!r}
  tile:
    - name: tile[0..{mesh.columns * mesh.rows - 1}]
      attributes:
{hops}      core:
        - name: core[0..{chip.cores_per_tile - 1}]
          attributes:
            buffer_position: soma
            buffer_inside_unit: false
            max_neurons_supported: {chip.neurons}
          axon_in:
            - name: axon_in
              attributes:
                energy_message_in: {chip.tile_j + chip.axon_in_j!r}
                latency_message_in: {chip.tile_s + chip.axon_in_s!r}
          soma:
            - name: lif
              attributes:
                model: leaky_integrate_fire
                energy_access_neuron: {chip.neuron_inactive_j!r}
                latency_access_neuron: {chip.neuron_inactive_s!r}
                energy_update_neuron: {chip.neuron_active_j - chip.neuron_inactive_j!r}
                latency_update_neuron: {chip.neuron_active_s - chip.neuron_inactive_s!r}
                energy_spike_out: 0.0
                latency_spike_out: 0.0
            - name: input[0..{max(inputs, 2) - 1}]
              attributes:
                model: input
                energy_access_neuron: 0.0
                latency_access_neuron: 0.0
                energy_update_neuron: 0.0
                latency_update_neuron: 0.0
                energy_spike_out: 0.0
                latency_spike_out: 0.0
          dendrite:
            - name: dendrite
              attributes:
                model: accumulator
                energy_update: 0.0
                latency_update: 0.0
          synapse:
            - name: synapse
              attributes:
                model: current_based
                energy_process_spike: {chip.synapse_j!r}
                latency_process_spike: {chip.synapse_s!r}
          axon_out:
            - name: axon_out
              attributes:
                energy_message_out: {chip.axon_out_j!r}
                latency_message_out: {chip.axon_out_s!r}
"""


def _problems(network: Scheduled, inputs: Mapping[str, np.ndarray]) -> Iterator[Finding]:
    for encoder in network.encoders:
        message = f"the current of {encoder.name} comes from the host, and SANA-FE has no host"
        yield Finding("SNN202", message, node=encoder.name, help="give the network spikes as input")
    for p in network.projections:
        steps, on_host = network.span(p), isinstance(network.places[p.target], Readout)
        if steps != 1 and not on_host and not isinstance(network.places[p.source], Encoder):
            message = f"the projection {p.source} -> {p.target} takes {steps} steps, not 1"
            help = "compile for a chip file with largest_delay 0: spikes that wait go to relays"
            yield Finding("SNN202", message, node=p.target, help=help)
    for population in network.populations:
        neuron = population.neuron
        if isinstance(neuron, FixedNeuron):
            message = f"{population.name} computes in Loihi's whole numbers, and SANA-FE does not"
            help = "compile without --weight-bits"
            yield Finding("SNN201", message, population.origin, population.name, help)
            return
        if variant := neuron.variant:
            message = f"the neurons of {population.name} have {variant}, and SANA-FE's do not"
            yield Finding("SNN201", message, population.origin, population.name)
        if neuron.initial != 0:
            message = f"the membranes of {population.name} do not begin at 0"
            yield Finding("SNN201", message, population.origin, population.name)
    for name, spikes in inputs.items():
        if not np.isin(spikes, (0, 1)).all():
            message = f"{name} has counts, and a spike of SANA-FE carries no number"
            yield Finding("SNN202", message, node=name, help="make the input binary")


def _between_chips(chip: Chip, chips: int) -> Iterator[Finding]:
    within = {(chip.hop_ew_j, chip.hop_ew_s), (chip.hop_ns_j, chip.hop_ns_s)}
    if chips > 1 and within != {(chip.hop_chip_j, chip.hop_chip_s)}:
        message = f"the network lies on {chips} chips, and all hops of SANA-FE cost the same"
        help = "compile for a chip file with more tiles, or with hop_ew, hop_ns and hop_chip alike"
        yield Finding("SNN202", message, help=help)


def _lines(
    network: Network, mapping: CoreMapping, mesh: Mesh, inputs: Mapping[str, np.ndarray]
) -> Iterator[str]:
    names = group_names(network)
    yield "network:"
    yield f"  name: {re.sub(r'[^A-Za-z0-9]', '_', network.name)}"
    yield "  groups:"
    for place in mapping.core_of:
        yield f"    - name: {names[place]}  # {place}"
        yield from _group(network, mapping, network.places[place], inputs.get(place))
    edges = [(p, edge) for p in network.projections if (edge := _edge(network, p))]
    yield "  edges:" if edges else "  edges: []"
    for p, edge in edges:
        yield f"    - {names[p.source]} -> {names[p.target]}: {{{edge}}}"
    yield "mappings:"
    for place, core in mapping.core_of.items():
        for run, at in _runs(core.ravel()):
            yield f"  - {names[place]}.{run}: {{core: {_address(mesh, at)}}}"


def _group(
    network: Network, mapping: CoreMapping, place: Place, spikes: np.ndarray | None
) -> Iterator[str]:
    common = "log_spikes: true, synapse_hw_name: synapse, dendrite_hw_name: dendrite"
    size = math.prod(place.shape)
    if isinstance(place, Source):
        yield f"      attributes: {{{common}}}"
        yield "      neurons:"
        trains = np.zeros((0, size)) if spikes is None else spikes.reshape(len(spikes), -1)
        units = _units(network, mapping, place.name)
        for index, (unit, train) in enumerate(zip(units, trains.T, strict=True)):
            shown = ", ".join("true" if spike else "false" for spike in train)
            own = f", spikes: [{shown}]" if shown else ""
            yield f'        - {index}: {{soma_hw_name: "input[{unit}]"{own}}}'
        return
    # It fires above its threshold, and we fire from it on; membranes are whole, there cut to
    # 1/64, which takes back what a soft reset leaves too much.
    if isinstance(place, Population):
        neuron = place.neuron
        assert isinstance(neuron, Neuron)
        bias = neuron.bias
        threshold = _spread(network, neuron.threshold, place.shape) - 2**-10
    else:
        neuron, bias = Neuron(decay=0.0), place.bias if isinstance(place, Readout) else 0.0
        threshold = np.full(size, NEVER)
    columns = {
        "threshold": threshold,
        "leak_decay": _spread(network, neuron.decay, place.shape),
        "bias": _spread(network, bias, place.shape),
    }
    soma = f"soma_hw_name: lif, reset: 0.0, reset_mode: {neuron.reset}"
    yield f"      attributes: {{{common}, {soma}}}"
    yield "      neurons:"
    for run, values in _runs(np.stack(list(columns.values()), 1)):
        own = ", ".join(f"{key}: {value!r}" for key, value in zip(columns, values, strict=True))
        yield f"        - {run}: {{{own}}}"


def _edge(network: Network, projection: Projection) -> str:
    """A map as SANA-FE makes it by itself where it can, else every synapse; "" for none."""
    shape = network.places[projection.source].shape
    match projection.map:
        case (Conv(stride=stride, padding=(0, 0), dilation=(1, 1), groups=1) as op,):
            weight = network.tensors[op.weight]
            (channels, height, width), (count, _, high, wide) = shape, weight.shape
            return (
                f"type: conv2d, input_width: {width}, input_height: {height}, "
                f"input_channels: {channels}, kernel_width: {wide}, kernel_height: {high}, "
                f"kernel_count: {count}, stride_width: {stride[1]}, stride_height: {stride[0]}, "
                f"weight: {_list(weight.transpose(2, 3, 1, 0))}"
            )
        case (Dense() as op,) | (Reshape(), Dense() as op):
            weight = network.tensors[op.weight]
            if math.prod(shape) == weight.shape[1]:
                return f"type: dense, weight: {_list(weight.T)}"
    # A weight of zero is a synapse too: the structure from ones, the values beside it.
    ones = {k: np.ones_like(v) if v.dtype.kind == "f" else v for k, v in network.tensors.items()}
    target, source = compose(projection.map, shape, ones).nonzero()
    if not len(target):
        return ""
    values = np.asarray(compose(projection.map, shape, network.tensors)[target, source]).ravel()
    pairs = ", ".join(f"[{a}, {b}]" for a, b in zip(source, target, strict=True))
    return f"type: sparse, source_target_pairs: [{pairs}], weight: {_list(values)}"


def _list(values: np.ndarray) -> str:
    return "[" + ", ".join(repr(value) for value in values.ravel().astype(float).tolist()) + "]"


def _spread(network: Network, number: Number, shape: tuple[int, ...]) -> np.ndarray:
    value = network.tensors[number] if isinstance(number, Ref) else number
    return np.broadcast_to(np.asarray(value, float), shape).ravel()


def _runs(rows: np.ndarray) -> Iterator[tuple[str, list[float]]]:
    """Neighbouring neurons with equal rows, as a number or a range, and the row."""
    table = rows.reshape(len(rows), -1)
    (ends,) = np.nonzero((table[1:] != table[:-1]).any(1))
    for first, after in pairwise([0, *(ends + 1).tolist(), len(table)]):
        yield (f"{first}..{after - 1}" if after - first > 1 else f"{first}"), table[first].tolist()


def _address(mesh: Mesh, core: list[float]) -> str:
    """Tile and core in it; SANA-FE counts its tiles column by column."""
    (number,) = (int(part) for part in core)
    column, row = mesh.position(np.array(number))
    return f"{int(column) * mesh.rows + int(row)}.{number % mesh.chip.cores_per_tile}"


def _units(network: Network, mapping: CoreMapping, name: str) -> list[int]:
    """For each neuron of a source, which input unit of its core it is; nothing for others."""
    taken: dict[int, int] = {}
    for source in network.sources:
        units = []
        for core in mapping.core_of[source.name].ravel().tolist():
            taken[core] = taken.get(core, -1) + 1
            units.append(taken[core])
        if source.name == name:
            return units
    return []
