"""A mapped network in SANA-FE: the files of the export, run in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from snncc.backends.sanafe import export, group_names
from snncc.ir.mapping import Mapping
from snncc.ir.network import Network
from snncc.targets.chip import Chip


def interpreter() -> Path:
    """The Python that has SANA-FE: $SNNCC_SANAFE, or the one ./run-tests makes."""
    home = Path(os.environ.get("SNNCC_SANAFE", Path(__file__).parents[3] / ".cache" / "sanafe"))
    return home / "bin" / "python"


def run(
    network: Network, mapping: Mapping, chip: Chip, inputs: dict[str, np.ndarray],
    timeout: float = 300, judged: int = 0, traces: bool = True, threads: int = 1,
) -> dict:  # fmt: skip
    """What SANA-FE says (see run.py); ``inputs`` (T, *shape) by source, T steps."""
    steps = len(next(iter(inputs.values())))
    with tempfile.TemporaryDirectory() as folder:
        export(network, mapping, chip, Path(folder), inputs)
        return run_files(network, Path(folder), steps, timeout, judged, traces, threads)


def run_files(
    network: Network, folder: Path, steps: int,
    timeout: float = 300, judged: int = 0, traces: bool = True, threads: int = 1,
) -> dict:  # fmt: skip
    """The same of files that are written; spikes by the names of ``network``."""
    job = {
        "folder": str(folder), "steps": steps, "judged": judged, "traces": traces,
        "threads": threads,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        given, said = Path(scratch, "job.json"), Path(scratch, "result.json")
        given.write_text(json.dumps(job))
        done = subprocess.run(
            [str(interpreter()), str(Path(__file__).with_name("run.py")), str(given), str(said)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
        found = json.loads(said.read_text())
    place = {group: name for name, group in group_names(network).items()}
    spikes = found.get("spikes", [])
    found["spikes"] = [{(place[group], index) for group, index in step} for step in spikes]
    return found
