"""The reference simulator against SpikingJelly 2 and the bare convolutions, on one thread.

    python benchmarks/reference.py [--dtype float32] [--rounds 40] [--record FILE.json]

SpikingJelly is the one in ``.cache/spikingjelly/2.0.0``, as ``./run-tests`` installs it: multi-step
mode, torch backend, inference mode, images repeated over the T = 4 steps before the clock starts.
Ours is ``Program.run`` from the images on, without keeping spikes, as SpikingJelly keeps none. The
bare convolutions are ``torch.nn.functional.conv2d`` of the same kernels over T·N frames as full of
spikes. All three run in turn, in the same dtype, so that a ratio is of neighbours; it is the median
over the rounds, by the clock on the wall and by the time the thread has a processor, which others
on the machine disturb less and which decides. In turn each finds the caches cold; ``in a row`` is
each after itself, as whoever calls it in a loop sees it. Compiling and the first call, which makes
tables, are timed apart; numba's cache is empty at the start, so that the first call of the first
network also compiles the inner loops.

The networks have three convolutions of 3 × 3, batch norms and LIF neurons on 3 × 32 × 32 images,
and ``strided`` no pooling. All their numbers are small multiples of powers of two, so that every
sum is exact in float32 (the float64 run has the same spikes and sums, which is checked), and every
spike of ours must be SpikingJelly's. With weights that are not, rounding decides some: ``rounding``
counts the spikes that differ there. Exits with 1 when a spike differs, a ratio to SpikingJelly is
below 3 or one to the convolutions above 2.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1] / ".cache" / "spikingjelly" / "2.0.0"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "stand_ins"))

os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp()

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn
from torch.nn.functional import conv2d

import snncc
from snncc.program import Program

STEPS = 4
EPSILON = 2.0**-16
NETWORKS = {
    "strided, 64-128-256": ((64, 128, 256), None),
    "average pools, 64-128-256": ((64, 128, 256), layer.AvgPool2d),
    "max pools, 64-128-256": ((64, 128, 256), layer.MaxPool2d),
    "strided, 32-64-64": ((32, 64, 64), None),
}
WANTED = {"SpikingJelly": 3.0, "convolutions": 2.0}


class Repeated(nn.Module):
    """An image at every step, and the mean of the answers."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)).mean(0)


def network(channels: tuple[int, ...], pool: type | None, dyadic: bool, seed: int) -> nn.Module:
    """Norms with scales of both signs; ``dyadic``: all numbers small multiples of powers of two."""
    rng = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    before, size = 3, 32
    for index, count in enumerate(channels):
        stride = 2 if index and pool is None else 1
        conv = layer.Conv2d(before, count, 3, stride, 1, bias=False)
        norm = layer.BatchNorm2d(count, eps=EPSILON)
        whole = torch.randint(-8, 9, conv.weight.shape, generator=rng)
        noise = 0.0 if dyadic else 0.3 * torch.rand(conv.weight.shape, generator=rng)
        conv.weight.data = (whole + noise) / 16 / 2**index
        norm.running_var[:] = 1 - EPSILON
        norm.running_mean[:] = torch.randint(-4, 5, (count,), generator=rng) / 64
        signs = torch.randint(0, 2, (count,), generator=rng) * 2 - 1
        norm.weight.data = signs * 2.0 ** torch.randint(-1, 2, (count,), generator=rng)
        norm.bias.data = torch.randint(-4, 17, (count,), generator=rng) / 64
        layers += [conv, norm, neuron.LIFNode(tau=2.0)]
        layers += [] if pool is None else [pool(2)]
        size //= 1 if pool is None and not index else 2
        before = count
    head = layer.Linear(before * size * size, 10, bias=False)
    head.weight.data = torch.randint(-8, 9, head.weight.shape, generator=rng) / 64
    whole_network = nn.Sequential(*layers, layer.Flatten(), head)
    functional.set_step_mode(whole_network, "m")
    return whole_network.eval()


def theirs(module: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """Logits, spikes (T, N, *shape) by name, and what each convolution reads (T·N, *shape)."""
    spikes: dict[str, Tensor] = {}
    frames: list[Tensor] = []
    hooks = []
    for name, part in module.named_modules():
        if isinstance(part, neuron.LIFNode):
            hooks.append(part.register_forward_hook(
                lambda _, __, out, name=name: spikes.update({f"layers.{name}": out})))  # fmt: skip
        if isinstance(part, nn.Conv2d):
            hooks.append(part.register_forward_hook(
                lambda _, given, __: frames.append(given[0].flatten(0, 1))))  # fmt: skip
    functional.reset_net(module)
    with torch.no_grad():
        logits = module(x).mean(0)
    for hook in hooks:
        hook.remove()
    return logits, spikes, frames


def differing(program: Program, module: nn.Module, x: Tensor, dtype: torch.dtype) -> dict:
    """How many spikes and logits of ours are not SpikingJelly's in the same dtype, or float64's."""
    logits, spikes, _ = theirs(module, x.expand(STEPS, *x.shape))
    own, exact = program.run(x, dtype=dtype), program.run(x)
    return {
        "spikes compared": sum(s.numel() for s in spikes.values()),
        "spikes differ": sum(int((own.spikes[n] != s).sum()) for n, s in spikes.items()),
        "spikes differ from float64": sum(
            int((s != exact.spikes[n]).sum()) for n, s in own.spikes.items()
        ),
        "logits off by": float((own.logits - logits).abs().max()),
        "share of neurons that fire a step": {
            name: round(float(s.double().mean()), 4) for name, s in spikes.items()
        },
    }


def in_turn(
    runs: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of each, by clock, ``rounds`` times one after the other, twice unmeasured."""
    clocks = {"wall": time.perf_counter, "processor": time.thread_time}
    times = {clock: {name: [] for name in runs} for clock in clocks}
    for index in range(rounds + 2):
        for name, run in runs.items():
            start = {clock: read() for clock, read in clocks.items()}
            run()
            if index > 1:
                for clock, read in clocks.items():
                    times[clock][name].append(read() - start[clock])
    return times


def measure(module: nn.Module, program: Program, x: Tensor, rounds: int) -> dict:
    repeated = x.expand(STEPS, *x.shape).contiguous()
    _, _, frames = theirs(module, repeated)
    convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]

    def ours() -> object:
        return program.run(x, dtype=x.dtype, keep=())

    def spikingjelly() -> object:
        with torch.inference_mode():
            functional.reset_net(module)
            return module(repeated).mean(0)

    def convolutions() -> None:
        with torch.inference_mode():
            for conv, frame in zip(convs, frames, strict=True):
                conv2d(frame, conv.weight, None, conv.stride, conv.padding)

    runs = {"ours": ours, "SpikingJelly": spikingjelly, "convolutions": convolutions}
    found = {}
    for clock, times in in_turn(runs, rounds).items():
        pairs = {
            "SpikingJelly / ours": (times["SpikingJelly"], times["ours"]),
            "ours / convolutions": (times["ours"], times["convolutions"]),
        }
        found[clock] = {
            "milliseconds": {name: round(median(t) * 1e3, 3) for name, t in times.items()}
        } | {
            name: round(median(a / b for a, b in zip(*pair, strict=True)), 2)
            for name, pair in pairs.items()
        }  # fmt: skip
    found["processor"]["in a row, milliseconds"] = {
        name: round(median(in_turn({name: run}, rounds)["processor"][name]) * 1e3, 3)
        for name, run in runs.items()
    }
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--rounds", type=int, default=40, help="at batch 64 a quarter of them")
    parser.add_argument("--network", choices=list(NETWORKS), action="append")
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()
    atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"])
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    generator = torch.Generator().manual_seed(1)
    images = (torch.randint(0, 256, (64, 3, 32, 32), generator=generator) / 256).to(dtype)
    good, results = True, {}
    for name in options.network or NETWORKS:
        channels, pool = NETWORKS[name]
        module = network(channels, pool, True, 0).to(dtype)
        start = time.perf_counter()
        program = snncc.compile(Repeated(module), images[:2], target="reference")
        compiled = time.perf_counter() - start
        start = time.perf_counter()
        program.run(images[:1], dtype=dtype, keep=())
        first = time.perf_counter() - start
        equal = differing(program, module, images, dtype)
        found = {
            "compiled in, seconds": round(compiled, 2),
            "first call, seconds": round(first, 2),
            "agreement": equal,
        }
        good &= not equal["spikes differ"] and not equal["spikes differ from float64"]
        good &= equal["logits off by"] == 0
        for batch in (64, 1):
            rounds = options.rounds if batch == 1 else max(3, options.rounds // 4)
            found[f"batch {batch}"] = speed = measure(module, program, images[:batch], rounds)
            ratios = speed["processor"]
            good &= ratios["SpikingJelly / ours"] >= WANTED["SpikingJelly"]
            good &= ratios["ours / convolutions"] <= WANTED["convolutions"]
        odd = network(channels, pool, False, 0).to(dtype)
        program = snncc.compile(Repeated(odd), images[:2], target="reference")
        found["rounding"] = differing(program, odd, images, dtype)
        results[name] = found
        print(name, json.dumps(found, indent=2), flush=True)
    record = {
        "dtype of all sides": options.dtype,
        "threads": torch.get_num_threads(),
        "time steps": STEPS,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "networks": results,
    }
    if options.record:
        options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
