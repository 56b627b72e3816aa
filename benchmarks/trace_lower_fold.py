"""Trace, strip, lower and fold of a dual-stream ResNet at 224×224, T = 4: seconds and peak memory.

    python benchmarks/trace_lower_fold.py [--depth 18|50] [--size 224]

The bound is 30 s and 3 GB for 18 layers on two cores. Exits with 1 when it is broken.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch

from snncc.frontends.torch import trace
from snncc.nn import DualStreamResNet
from snncc.passes.base import Form, Pass
from snncc.passes.drop_identity import DropIdentity
from snncc.passes.fold_bn import FoldBn
from snncc.passes.lower import Lower
from snncc.passes.select_head import SelectHead
from snncc.passes.strip_aap import StripAap

SECONDS, GIGABYTES = 30.0, 3.0
DEPTHS = {18: ("basic", (2, 2, 2, 2)), 50: ("bottleneck", (3, 4, 6, 3))}
PASSES: tuple[Pass, ...] = (SelectHead(), StripAap(), DropIdentity(), Lower(), FoldBn())


def peak() -> float:
    """Peak memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, choices=DEPTHS, default=18)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    block, blocks = DEPTHS[options.depth]
    module = DualStreamResNet(
        3, 1000, (64, 128, 256, 512), blocks, "iand", block, time_steps=4, stem_kernel=7,
        stem_stride=2, stem_pool=True,
    ).eval()  # fmt: skip
    example = torch.rand(1, 3, options.size, options.size)
    start = begin = time.perf_counter()
    form: Form = trace(module, example)
    print(f"{'trace':<18}{time.perf_counter() - begin:8.2f} s {peak():6.2f} GB")
    for each in PASSES:
        begin = time.perf_counter()
        outcome = each(form)
        assert outcome.ok, outcome.findings
        form = outcome.form
        print(f"{each!s:<18}{time.perf_counter() - begin:8.2f} s {peak():6.2f} GB")
    total = time.perf_counter() - start
    print(f"{'total':<18}{total:8.2f} s {peak():6.2f} GB, bound {SECONDS:g} s, {GIGABYTES:g} GB")
    return int(options.depth == 18 and (total > SECONDS or peak() > GIGABYTES))


if __name__ == "__main__":
    sys.exit(main())
