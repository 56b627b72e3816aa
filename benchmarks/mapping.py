"""Mapping of a dual-stream ResNet at 224×224, T = 4, on Loihi 1 and Loihi 2: time and quality.

    python benchmarks/mapping.py [--depth 18|50] [--size 224] [--chip loihi1 --chip my_chip.toml]
        [--record FILE.json]

The bounds for 18 layers: partition, place and route under 5 minutes; the busiest core has at most
1.3 times the mean synaptic work; at least 2 times fewer spikes × hops than placed at random. Every
neuron counts as one that fires at every step, relays too. Exits with 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch
from trace_lower_fold import DEPTHS, PASSES, peak

from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace
from snncc.ir.network import Network
from snncc.ir.synapses import synapses
from snncc.mapping.reports import Cut, Placed
from snncc.nn import DualStreamResNet
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.base import Form, Pass
from snncc.passes.partition import Partition
from snncc.passes.place import Place
from snncc.passes.realise_projections import RealiseProjections
from snncc.passes.route import Route
from snncc.program import floorplan
from snncc.reports import Report, Reports

SECONDS, BALANCE, FEWER = 300.0, 1.3, 2.0


def scheduled(depth: int, size: int) -> Network:
    torch.manual_seed(0)
    block, blocks = DEPTHS[depth]
    module = DualStreamResNet(
        3, 1000, (64, 128, 256, 512), blocks, "iand", block, time_steps=4, stem_kernel=7,
        stem_stride=2, stem_pool=True,
    ).eval()  # fmt: skip
    form: Form = trace(module, torch.rand(1, 3, size, size))
    for each in (*PASSES, RealiseProjections(), BalanceDelays()):
        outcome = each(form)
        if not outcome.ok:
            raise SnnccError(outcome.findings)
        form = outcome.form
    assert isinstance(form, Network)
    return form


def mapped(form: Form, chip: str) -> dict[str, Any]:
    """Map and print; what was found, and whether every bound ``holds``."""
    passes: tuple[Pass, ...] = (Partition(chip, balance=BALANCE), Place(chip), Route(chip))
    made: dict[str, Report] = {}
    taken: dict[str, float] = {}
    start = time.perf_counter()
    for each in passes:
        begin = time.perf_counter()
        outcome = each(form)
        form, made[each.name] = outcome.form, outcome.report
        taken[each.name] = round(time.perf_counter() - begin, 1)
        print(f"{each!s:<28}{taken[each.name]:8.1f} s {peak():6.2f} GB")
        for finding in outcome.findings:
            print(finding)
        if not outcome.ok:
            return {"holds": False, "findings": [str(finding) for finding in outcome.findings]}
    seconds = time.perf_counter() - start
    reports = Reports(made)
    print("\n".join(floorplan.table(reports)))
    balance = reports[Cut].largest_work_over_mean
    fewer = reports[Placed].times_fewer
    print(
        f"\n{chip}: {seconds:.0f} s (bound {SECONDS:g}), largest work {balance:.3f} of the mean "
        f"(bound {BALANCE}), {fewer:.2f} times fewer hops than at random (bound {FEWER:g})\n"
    )
    return {
        "holds": bool(seconds < SECONDS and balance <= BALANCE and fewer >= FEWER),
        "seconds": taken | {"all": round(seconds, 1)},
        "memory so far, GB": round(peak(), 2),
        "reports": reports.said,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, choices=DEPTHS, default=18)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--chip", action="append")
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    form = scheduled(options.depth, options.size)
    chips = {chip: mapped(form, chip) for chip in options.chip or ("loihi1", "loihi2")}
    record = {
        "layers": options.depth,
        "input": [3, options.size, options.size],
        "neurons, relays included": sum(math.prod(p.shape) for p in form.populations),
        "synapses": sum(
            synapses(p.map, form.places[p.source].shape, form.tensors) for p in form.projections
        ),
        "bounds": {
            "seconds": SECONDS,
            "largest work over mean": BALANCE,
            "times fewer hops than at random": FEWER,
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "chips": chips,
    }
    if options.record:
        options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return int(not all(found["holds"] for found in chips.values()))


if __name__ == "__main__":
    sys.exit(main())
