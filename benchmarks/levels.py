"""What levels of least cost save beside those of the longest path, and what delays leave of it.

    PYTHONPATH=FOLDER_OF_SPIKINGJELLY python benchmarks/levels.py [--size 224] [--all]

A line a network: its neurons, the neuron-steps that spikes wait with the levels of the longest path
and with the cheapest (without delays: the relay neurons), the relays left with projection delays
of 62 steps, the latency, and the seconds of levelling. The recordings' network of ``examples/dst``,
and, where SpikingJelly (0.0.0.0.14 or later) can be imported, its SEW ResNets: 18 and 152 layers,
with ``--all`` of every depth.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from snncc.frontends.checkpoints import open_model
from snncc.frontends.torch import trace
from snncc.ir.network import Network
from snncc.mapping.levels import cheapest, earliest, held_back
from snncc.passes.balance_delays import BalanceDelays
from snncc.pipeline import frontend_passes, run

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
STEPS, DELAYS = 4, 62


def lowered(module: torch.nn.Module, example: torch.Tensor, **options: object) -> Network:
    form = run(trace(module, example, **options), frontend_passes()).form
    assert isinstance(form, Network)
    return form


def networks(size: int, every: bool) -> Iterator[tuple[str, Network]]:
    opened = open_model(ROOT / "examples" / "dst" / "nmnist.pt")
    yield "examples/dst", lowered(opened.module, torch.zeros(opened.shape), input=opened.input)
    try:
        from spikingjelly.activation_based import functional, neuron
        from spikingjelly.activation_based.model import sew_resnet
    except ImportError as error:
        print(f"no SEW ResNets: {error}")
        return
    image = torch.rand(1, 3, size, size).repeat(STEPS, 1, 1, 1, 1)
    for depth in (18, 34, 50, 101, 152) if every else (18, 152):
        for cnf in ("ADD", "AND", "IAND"):
            make = getattr(sew_resnet, f"sew_resnet{depth}")
            net = make(cnf=cnf, spiking_neuron=neuron.IFNode).eval()
            functional.set_step_mode(net, "m")
            yield f"sew_resnet{depth} {cnf}", lowered(net, image, layout="TN")


def relays(network: Network, delays: int) -> str:
    outcome = BalanceDelays(delays, limit=10**12)(network)
    populations = outcome.form.populations if isinstance(outcome.form, Network) else ()
    return f"{sum(math.prod(p.shape) for p in populations if p.role == 'relay'):,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="of the images of SEW ResNets")
    parser.add_argument("--all", action="store_true", help="every depth")
    options = parser.parse_args()
    heads = ("network", "neurons", "longest path", "cheapest", "gain", f"delays {DELAYS}",
             "latency", "seconds")  # fmt: skip
    print("".join(f"{head:>{20 if i == 0 else 15}}" for i, head in enumerate(heads)))
    for name, network in networks(options.size, options.all):
        begin = time.perf_counter()
        levels = cheapest(network)
        seconds = time.perf_counter() - begin
        longest, least = held_back(network, earliest(network)), held_back(network, levels)
        neurons = sum(math.prod(p.shape) for p in network.populations)
        gain = f"{100 * (1 - least / longest):.1f} %" if longest else "-"
        cells = (f"{neurons:,}", f"{longest:,}", f"{least:,}", gain, relays(network, DELAYS),
                 str(max(levels.values())), f"{seconds:.2f}")  # fmt: skip
        print(f"{name:>20}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
