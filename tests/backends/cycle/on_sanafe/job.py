"""A mapped network as a job for SANA-FE: the same constants, the same cores, every synapse."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from snncc.backends.sanafe import NEVER, architecture
from snncc.ir.mapping import Mapping
from snncc.ir.matrix import compose
from snncc.ir.network import Network, Population, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh


def interpreter() -> Path:
    """The Python that has SANA-FE: $SNNCC_SANAFE, or the one ./run-tests makes."""
    home = Path(os.environ.get("SNNCC_SANAFE", Path(__file__).parents[4] / ".cache" / "sanafe"))
    return home / "bin" / "python"


def run(job: dict, timeout: float) -> dict:
    """What SANA-FE says to a job."""
    with tempfile.TemporaryDirectory() as scratch:
        given, found = Path(scratch, "job.json"), Path(scratch, "result.json")
        given.write_text(json.dumps(job))
        done = subprocess.run(
            [str(interpreter()), str(Path(__file__).with_name("run.py")), str(given), str(found)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
        return json.loads(found.read_text())


def job(
    network: Network, mapping: Mapping, chip: Chip, barrier_s: float, steps: int,
    inputs: dict[str, np.ndarray], traces: bool = True,
) -> dict:  # fmt: skip
    """A network of whole weights, thresholds and biases; ``inputs`` (T, *shape) by source."""
    mesh = Mesh(chip, mapping.chips)
    groups, units = [], {}
    for name, core_of in mapping.core_of.items():
        place = network.places[name]
        cores = core_of.ravel()
        column, row = mesh.position(cores)
        # SANA-FE counts its tiles column by column.
        addresses = np.stack([column * mesh.rows + row, cores % chip.cores_per_tile], 1).tolist()
        own, soma, attributes = None, "lif", {}
        if isinstance(place, Source):
            trains = inputs[name].reshape(len(inputs[name]), -1) > 0
            own = []
            for core, train in zip(cores.tolist(), trains.T.tolist(), strict=True):
                units[core] = units.get(core, -1) + 1
                own.append({"soma": f"input[{units[core]}]", "spikes": train})
            soma = ""
        elif isinstance(place, Population):
            n = place.neuron
            assert n.decay in (0, 1)
            # It fires above its threshold, and we fire from it on; membranes are whole, there
            # cut to 1/64, which takes back what a soft reset leaves too much.
            attributes = {
                "threshold": number(network, n.threshold) - 2**-10, "reset": 0.0,
                "reset_mode": n.reset, "leak_decay": float(n.decay),
            }  # fmt: skip
            if isinstance(n.bias, Ref):
                biases = np.broadcast_to(network.tensors[n.bias], place.shape)
                own = [{"bias": float(b)} for b in biases.ravel()]
        else:
            attributes = {"threshold": NEVER, "leak_decay": 0.0}
        groups.append({
            "name": name, "cores": addresses, "soma": soma, "attributes": attributes, "own": own,
        })  # fmt: skip
    edges = [edge(network, p) for p in network.projections]
    text = architecture(chip, mesh, barrier_s, max(units.values(), default=0) + 1)
    return {
        "architecture": text, "groups": groups, "edges": edges, "steps": steps, "traces": traces,
    }  # fmt: skip


def number(network: Network, value) -> float:
    return float(network.tensors[value]) if isinstance(value, Ref) else float(value)


def edge(network: Network, projection) -> dict:
    """A map as SANA-FE makes it by itself where it can, else every synapse."""
    ends = {"source": projection.source, "target": projection.target}
    shape = network.places[projection.source].shape
    match projection.map:
        case (Conv(weight=w, stride=stride, padding=(0, 0), dilation=(1, 1), groups=1),):
            weight = network.tensors[w]
            channels, height, width = shape
            count, _, high, wide = weight.shape
            return {
                **ends, "weights": weight.transpose(2, 3, 1, 0).ravel().astype(float).tolist(),
                "conv": [width, height, channels, wide, high, count, stride[1], stride[0]],
            }  # fmt: skip
        case (Dense(weight=w),) | (Reshape(), Dense(weight=w)):
            weight = network.tensors[w]
            if math.prod(shape) == weight.shape[1]:
                return {**ends, "weights": weight.T.ravel().astype(float).tolist()}
    # A weight of zero is a synapse too: the structure from ones, the values beside it.
    ones = {k: np.ones_like(v) if v.dtype.kind == "f" else v for k, v in network.tensors.items()}
    target, source = compose(projection.map, shape, ones).nonzero()
    values = compose(projection.map, shape, network.tensors).toarray()[target, source]
    pairs = np.stack([source, target], 1).tolist()
    return {**ends, "pairs": pairs, "weights": values.tolist()}
