"""What a minibatch of training costs, way by way: CPU time side by side, memory in a process each.

A benchmark of a training method names its ways and calls `main`; see snn2ann.py and saf.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from examples.digits import digits

Minibatch = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], None]
"""Forward, backward and update on images and labels."""


@dataclass(frozen=True)
class Way:
    """A network, made from its widths, and how one minibatch trains it."""

    build: Callable[[Sequence[int]], nn.Module]
    minibatch: Minibatch


def main(
    description: str,
    ways: Mapping[str, Way],
    sizes: Mapping[str, Sequence[int]],
    pairs: Sequence[tuple[str, str]],
    batch: int,
    claims: Mapping[str, Any],
) -> None:
    """Measures all ways on all sizes; ``pairs`` are the ratios to say, first over second."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=7, help="minibatches per way")
    parser.add_argument("--record", type=Path, help="write the result to this file")
    parser.add_argument("--memory-of", nargs=2, metavar=("SIZE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        size, way = options.memory_of
        print(json.dumps(_memory(ways[way], sizes[size], batch)))
        return
    result: dict[str, Any] = {"batch": batch, "rounds": options.rounds, "paper": claims}
    for size, widths in sizes.items():
        seconds = _seconds(ways, widths, batch, options.rounds)
        memory = {way: _memory_of(size, way) for way in ways}
        forward = {way: _convolved(ways[way], widths, batch) for way in ways}
        found = {
            way: {
                "CPU s per minibatch, median": round(statistics.median(seconds[way]), 4),
                "forward convolutions per sample": forward[way],
                **memory[way],
            }
            for way in ways
        }
        ratios = {
            f"{one} / {other}": {
                "time, median of paired ratios": round(
                    statistics.median(
                        a / b for a, b in zip(seconds[one], seconds[other], strict=True)
                    ),
                    3,
                ),
                "memory for training": round(
                    memory[one]["MB for training"] / memory[other]["MB for training"], 3
                ),
                "memory of the process": round(
                    memory[one]["MB of the process"] / memory[other]["MB of the process"], 3
                ),
            }
            for one, other in pairs
        }
        result[size] = {"widths": list(widths), "ways": found, "ratios": ratios}
        print(size, json.dumps(result[size], indent=2), flush=True)
    if options.record:
        options.record.write_text(json.dumps(result, indent=2) + "\n")
    for size in sizes:
        print(f"\n{size}, widths {result[size]['widths']}\n{table(result[size])}")


def table(found: Mapping[str, Any]) -> str:
    """The record of one size as two Markdown tables, the ways and the ratios."""
    rows = [
        "| way | CPU s per minibatch | MB for training | forward convolutions per sample |",
        "|---|---|---|---|",
    ]
    for way, each in found["ways"].items():
        rows.append(
            f"| {way} | {each['CPU s per minibatch, median']:.3f} "
            f"| {each['MB for training']:.0f} | {each['forward convolutions per sample']} |"
        )
    rows += ["", "| ratio | time | memory for training |", "|---|---|---|"]
    for pair, each in found["ratios"].items():
        rows.append(
            f"| {pair} | {each['time, median of paired ratios']:.2f} "
            f"| {each['memory for training']:.2f} |"
        )
    return "\n".join(rows)


def _prepared(
    way: Way, widths: Sequence[int], batch: int
) -> tuple[nn.Module, torch.optim.Optimizer, Tensor, Tensor]:
    torch.manual_seed(0)
    network = way.build(widths).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    (images, labels), _ = digits()
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:batch]
    return network, optimizer, images[chosen].float(), labels[chosen]


def _seconds(
    ways: Mapping[str, Way], widths: Sequence[int], batch: int, rounds: int
) -> dict[str, list[float]]:
    """CPU seconds of each way's minibatch in each round; one way after the other in a round."""
    prepared = {name: _prepared(way, widths, batch) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            begin = time.process_time()
            way.minibatch(*prepared[name])
            if number:  # the first warms up
                seconds[name].append(time.process_time() - begin)
    return seconds


class _Convolutions(TorchFunctionMode):
    """Adds up the samples that convolutions are called on."""

    seen = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d:
            self.seen += len(args[0])
        return func(*args, **(kwargs or {}))


def _convolved(way: Way, widths: Sequence[int], batch: int) -> int:
    """How many samples all convs together are called on in one minibatch, per sample of it."""
    prepared = _prepared(way, widths, batch)
    with _Convolutions() as convolutions:
        way.minibatch(*prepared)
    return convolutions.seen // batch


def _memory_of(size: str, way: str) -> dict[str, float]:
    command = [sys.executable, sys.argv[0], "--memory-of", size, way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _memory(way: Way, widths: Sequence[int], batch: int) -> dict[str, float]:
    """The peak of this process over three minibatches, and how much above what it began with.

    A minibatch of two samples comes first, so that the code and the optimizer's state are there.
    """
    network, optimizer, images, labels = _prepared(way, widths, batch)
    way.minibatch(network, optimizer, images[:2], labels[:2])
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    for _ in range(3):
        way.minibatch(network, optimizer, images, labels)
    peak = _status("VmHWM")
    return {
        "MB for training": round((peak - before) / 1024, 1),
        "MB of the process": round(peak / 1024, 1),
    }


def _status(key: str) -> int:
    """A line of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {key}: this runs on Linux alone")
