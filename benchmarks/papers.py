"""Measure the trained networks of all examples, and write docs/papers.md from it.

    python benchmarks/papers.py [NAME ...] [--render]

Every network is compiled in floats and in 8 bits (calibrated on training samples) for both chips,
run on its whole test set in floats and whole numbers, and replayed packet by packet on each chip.
The float program is verified: every spike of the module, the Graph and the Network. With names only
these networks are measured anew; with ``--render`` none is, and the page is written from
benchmarks/results/papers.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snncc.mapping.reports import Cut, Schedule

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "papers.json"
PAGE = ROOT / "docs" / "papers.md"
CHIPS = ("loihi1", "loihi2")


@dataclass(frozen=True)
class Trained:
    """A committed network: a folder below examples/, the model, its test and calibration files."""

    title: str
    folder: str
    model: str
    test: str = "test.npz"
    calibration: str = "calibration.npz"

    def path(self, file: str) -> Path:
        return ROOT / "examples" / self.folder / file


EVENTS = {
    "plain": Trained("FSNN, gate OR, plain training", "dst/comparison", "plain.pt"),
    "dst": Trained("FSNN, gate OR, trained with DST", "dst/comparison", "dst.pt"),
    "sew_add": Trained("SEW-ADD", "dst/comparison", "sew_add.pt"),
    "sew_iand": Trained("SEW-IAND", "dst/comparison", "sew_iand.pt"),
    "dst_large": Trained("the same as DST, wider, 10 steps", "dst", "nmnist.pt"),
    "mlf": Trained("MLF, DS-ResNet", "mlf", "ds.pt"),
    "mlf_plain": Trained("MLF, plain residuals", "mlf", "plain.pt"),
    "danet": Trained("DANet", "danet", "danet.pt"),
    "danet_sew": Trained("DANet's layers, SEW-ADD residuals", "danet", "sew.pt"),
    "danet_plain": Trained("DANet's layers, plain residuals", "danet", "plain.pt"),
}
DIGITS = ("../digits-test.npz", "../digits-calibration.npz")
IMAGES = {
    "snn2ann": Trained("SNN2ANN, STSU", "snn2ann", "snn2ann.pt", *DIGITS),
    "resu": Trained("SNN2ANN, ReSU", "snn2ann", "resu.pt", *DIGITS),
    "snn2ann_bptt": Trained("the same network by BPTT", "snn2ann", "bptt.pt", *DIGITS),
    "saf_e": Trained("SAF-E", "saf", "saf-e.pt", *DIGITS),
    "saf_f": Trained("SAF-F", "saf", "saf-f.pt", *DIGITS),
    "ottt": Trained("the same network by OTTT", "saf", "ottt.pt", *DIGITS),
    "saf_bptt": Trained("the same network by BPTT", "saf", "bptt.pt", *DIGITS),
}
NETWORKS = EVENTS | IMAGES


def measured(network: Trained) -> dict[str, Any]:
    """All numbers of one network; those of work are per sample."""
    import numpy as np
    import torch

    import snncc
    from snncc.frontends.checkpoints import open_model
    from snncc.ir.work import CMOS_45NM, WHOLE_45NM, Work

    opened = open_model(str(network.path(network.model)))
    with np.load(network.path(network.test)) as test:
        inputs, labels = test["inputs"], test["labels"]
    with np.load(network.path(network.calibration)) as calibration:
        calibrating = calibration["inputs"]
    like = torch.zeros(opened.shape)
    how = {"input": opened.input, "layout": opened.layout, "time_steps": opened.time_steps}

    exact = snncc.compile(opened.module, like, "loihi1", **how)
    comparison = snncc.compare(opened.module, exact, inputs)
    floats = snncc.simulate(exact, inputs)
    samples = floats.samples

    def right(logits: torch.Tensor) -> float:
        return 100 * float((logits.argmax(1).numpy() == labels).mean())

    row: dict[str, Any] = {
        "samples": samples,
        "parameters": sum(p.numel() for p in opened.module.parameters()),
        "compared": comparison.compared,
        "differ": comparison.mismatches,
        "ties": comparison.ties,
        "accuracy float": right(floats.result.logits),
        "spikes": floats.spikes / samples,
    }

    def bill(work: Work) -> dict[str, float]:
        total, energy = work.total, CMOS_45NM(work.total)
        return {
            "AC": total.ac / samples,
            "MAC": total.mac / samples,
            "energy of operations, J": energy / samples,
        }

    row |= {"as trained": bill(floats.before), "compiled": bill(floats.after)}
    if exact.auxiliary and len(exact.graph.heads) > 1:
        kept = snncc.simulate(replace(exact, keep_aap=True), inputs)
        row["AAP kept"] = {
            **{f"accuracy, {name}": right(each) for name, each in kept.result.heads.items()},
            **bill(kept.host),
        }
    for chip in CHIPS:
        program = snncc.compile(
            opened.module, like, chip, **how, weight_bits=8, calibration=calibrating, verify=False
        )
        run = snncc.simulate(program, inputs, level="cycle")
        reports = program.about.reports
        delays, cores = reports[Schedule], reports[Cut]
        row[chip] = {
            "accuracy 8 bits": right(run.result.logits),
            "spikes": run.spikes / samples,
            "AC": run.after.total.ac / samples,
            "energy of operations, J": WHOLE_45NM(run.after.total) / samples,
            "cores": cores.cores,
            "relay neurons": delays.relay_neurons,
            "latency": delays.latency,
            "steps per sample": delays.steps_a_sample,
            "time per sample, s": run.time_ns * 1e-9 / samples,
            "energy per sample, J": run.energy_j / samples,
        }
    return row


def rendered(results: Mapping[str, Any]) -> str:
    """The page, from the template beside this file."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def si(value: float, unit: str = "") -> str:
        """Three digits and a prefix: 1,234,000 is 1.23 M."""
        if not value:
            return f"0 {unit}".rstrip()
        power = min(2, max(-3, math.floor(math.log10(abs(value)) / 3)))
        number = value / 1000**power
        digits = max(0, 2 - math.floor(math.log10(abs(number))))
        return f"{number:.{digits}f} {['n', 'µ', 'm', '', 'k', 'M'][power + 3]}{unit}".rstrip()

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["si"] = si
    groups = {"events": EVENTS, "images": IMAGES}
    return pages.get_template("papers.md.j2").render(results=results, **groups)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--render", action="store_true", help="write the page alone")
    options = parser.parse_args()
    if unknown := set(options.names) - NETWORKS.keys():
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in [] if options.render else options.names or NETWORKS:
        begin = time.perf_counter()
        results[name] = measured(NETWORKS[name])
        print(f"{name}, {time.perf_counter() - begin:.0f} s: {json.dumps(results[name])}")
        ordered = {each: results[each] for each in NETWORKS if each in results}
        RESULTS.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(rendered(results), encoding="utf-8")
    return any(row["differ"] for row in results.values())


if __name__ == "__main__":
    raise SystemExit(main())
