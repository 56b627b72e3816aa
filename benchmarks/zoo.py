"""SpikingJelly's deepest network: trace, check, Network; seconds and peak memory.

    PYTHONPATH=FOLDER_OF_SPIKINGJELLY python benchmarks/zoo.py [--model sew_resnet152] [--cnf ADD]
        [--size 224] [--steps 4] [--verify]

``sew_resnet152`` at 224×224, T = 4 is to take less than 120 s and 6 GB on two cores; exits with 1
when it does not. ``--verify`` compiles it once more with every pass verified, and times that too.
Prints why it does not run where SpikingJelly (0.0.0.0.14 or later) cannot be imported.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "stand_ins")]

SECONDS, GIGABYTES = 120.0, 6.0


def peak() -> float:
    """Peak memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class SpikingJelly:
    package = "activation_based"

    def module(self, name: str) -> object:
        return importlib.import_module(f"spikingjelly.{self.package}.{name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sew_resnet152")
    parser.add_argument("--cnf", default="ADD", choices=["ADD", "AND", "IAND"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args()
    try:
        SpikingJelly().module("neuron")
    except ImportError as problem:
        print(f"SpikingJelly cannot be imported: {problem}", file=sys.stderr)
        return 2

    import torch
    from zoo import Zoo

    import snncc
    from snncc.pipeline import Stage, frontend_passes, run

    named = {"cnf": options.cnf} if "sew" in options.model else {}
    module = Zoo(SpikingJelly())(options.model, num_classes=1000, **named).eval()
    example = torch.rand(options.steps, 1, 3, options.size, options.size)
    parameters = sum(p.numel() for p in module.parameters())
    print(f"{options.model} {options.cnf}, {parameters:,} parameters, {peak():.2f} GB at first")

    def say(stage: Stage) -> None:
        print(f"{stage.applied!s:<18}{stage.seconds:8.2f} s {peak():6.2f} GB")

    start = time.perf_counter()
    graph = snncc.trace(module, example)
    print(f"{'trace':<18}{time.perf_counter() - start:8.2f} s {peak():6.2f} GB, "
          f"{len(graph.nodes)} nodes")  # fmt: skip
    result = run(graph, frontend_passes(), on_pass=say)
    total = time.perf_counter() - start
    network = result.form
    for finding in result.findings:
        print(finding)
    print(f"{'total':<18}{total:8.2f} s {peak():6.2f} GB, bound {SECONDS:g} s, {GIGABYTES:g} GB")
    print(f"{len(network.populations)} populations, {len(network.projections)} projections")
    broken = total > SECONDS or peak() > GIGABYTES
    if options.verify:
        start = time.perf_counter()
        program = snncc.compile(module, example, "reference")
        seconds = time.perf_counter() - start
        print(f"{'with verification':<18}{seconds:8.2f} s {peak():6.2f} GB, "
              f"{program.about.verification}")  # fmt: skip
    return int(broken and (options.model, options.size) == ("sew_resnet152", 224))


if __name__ == "__main__":
    raise SystemExit(main())
