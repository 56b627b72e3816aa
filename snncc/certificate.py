"""``snncc verify``: the record of a proof, run again and compared with what it says.

Nobody has to trust whoever compiled: the folder of a program holds the recorded network, the user's
samples and what was compared with what. From these

1. the module is recorded again and must give the same Graph, and must agree with it on the same
   inputs, neuron-step for neuron-step;
2. the same passes run on the Graph, verified, and must give the same Network, scheduled Network
   and mapping;
3. the package is emitted again and must be the same, file by file.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snncc.compiler import calibrated, passes_of
from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.torch import Recording, trace
from snncc.ir import files
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.ir.text import print_graph, print_network
from snncc.pipeline import PassError, run, with_reset
from snncc.program import MANIFEST, MAPPING, Program, emit, load
from snncc.targets import target as find_target
from snncc.verification import Agreement, Probe, Verification, agreement, probes
from snncc.verification.probes import arranged, for_passes
from snncc.verification.record import fingerprint, populations, versions

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Line:
    """One thing that was compared: ``same``, or None where it says nothing about the proof."""

    what: str
    same: bool | None
    said: str


def verify(path: str | Path, module: nn.Module | None = None) -> Iterator[Line]:
    """Run the record of the program in folder ``path`` again, with ``module`` from its beginning.

    Yields what was compared, one after the other. Raises SnnccError: SNN305 where the folder is no
    whole program, SNN316 where it was compiled without verification.
    """
    program = load(path)
    proof = program.about["verification"]
    if proof is None:
        said = f"{path} was compiled with --no-verify and holds no record of a proof"
        raise refuse("SNN316", said, help="compile it again without --no-verify")
    manifest = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))
    yield Line("files", True, f"{len(manifest['files'])} files have their checksums")
    yield _versions(proof["versions"])
    given = _probes(program)
    yield _inputs(given, proof["module"]["calls"])
    if module is None:
        yield Line("module", None, "not compared: name MODEL to compare it")
    else:
        yield from _module(program, module, given)
    yield from _passes(program, given)
    yield from _package(program, Path(path), manifest["files"])


def _probes(program: Program) -> tuple[Probe, ...]:
    """The inputs of the record, the user's from the folder and the others drawn again."""
    tensors = {name: torch.from_numpy(array) for name, array in program.inputs.items()}
    samples = frozenset(program.about["verification"]["module"]["samples"])
    recording = Recording(program.graph, samples)
    return probes(recording, tensors["example"], tensors.get("calibration"))


def _inputs(given: Sequence[Probe], calls: Sequence[Mapping[str, Any]]) -> Line:
    found = {probe.name: probe.sha256 for probe in given}
    wrong = [call["input"] for call in calls if found.get(call["input"], call["sha256"])
             != call["sha256"]]  # fmt: skip
    if wrong:
        return Line("inputs", False, f"`{wrong[0]}` is not the input of the record")
    return Line("inputs", True, f"{len(found)} inputs have their checksums")


def _versions(recorded: Mapping[str, str]) -> Line:
    now = versions()
    other = [f"{name} {now.get(name, 'none')} (recorded with {recorded[name]})"
             for name in recorded if now.get(name) != recorded[name]]  # fmt: skip
    return Line("versions", None, ", ".join(other) or "as recorded")


def _module(program: Program, module: nn.Module, given: Sequence[Probe]) -> Iterator[Line]:
    proof, options = program.about["verification"]["module"], program.about["options"]
    now = fingerprint(module)
    for what in ("source", "weights"):
        same = now[what] == proof[what]
        yield Line(f"module's {what}", same, "as recorded" if same else "other than recorded")
    known = {name: options[name] for name in ("input", "layout", "time_steps") if name in options}
    try:
        graph = trace(module, program.inputs["example"], **known)
        agreed = agreement(module, graph, given)
    except SnnccError as error:
        yield Line("module → network", False, str(error))
        return
    if reset := options.get("reset"):
        graph = with_reset(graph, reset)
    yield _form("module → network", program.graph, graph)
    yield _counts(proof, agreed)


def _counts(proof: Mapping[str, Any], agreed: Agreement) -> Line:
    same = populations(agreed) == proof["populations"]
    ties = "" if not agreed.ties else f", {agreed.ties:,} ties by rounding"
    said = f"0 of {agreed.compared:,} neuron-steps differ in {len(agreed.calls)} calls{ties}"
    if not same:
        said += "; the record counts other neuron-steps"
    return Line("module → network", same, said)


def _passes(program: Program, given: Sequence[Probe]) -> Iterator[Line]:
    proof, graph = program.about["verification"], program.graph
    passes = passes_of(program.target, program.about["options"])
    if (calibration := program.inputs.get("calibration")) is not None:
        axis = next(probe.axis for probe in given if probe.name == "calibration")
        measured = Probe("calibration", torch.from_numpy(calibration), axis)
        passes = calibrated(passes, arranged(graph, [measured]))
    ran = {call["input"] for call in proof["module"]["calls"]}
    chosen = for_passes([probe for probe in given if probe.name in ran])
    verification = Verification(arranged(graph, chosen))
    try:
        result = run(graph, passes, verify=verification)
    except (SnnccError, PassError) as error:
        yield Line("network → program", False, str(error))
        return
    for check, row in zip(verification.checks, proof["passes"], strict=False):
        same = (check.applied, check.compared) == (row["pass"], row["neuron-steps"])
        ties = "" if not check.ties else f", {check.ties:,} ties by rounding"
        yield Line(check.applied, same, f"0 of {check.compared:,} neuron-steps differ{ties}")
    last = "fold-bn" if "weight_bits" not in program.about["options"] else "quantize"
    forms = {stage.applied.name: stage.after for stage in result.stages}
    yield _form("network → program", program.network, forms[last])
    if program.scheduled is not None:
        yield _form("program → schedule", program.scheduled, result.form)


def _form(what: str, recorded: Graph | Network, now: object) -> Line:
    """Whether two forms are the same: their text, and their tensors bit for bit."""
    assert isinstance(now, Graph | Network)
    one, two = (_stored(form) for form in (recorded, now))
    same = one[0] == two[0] and one[1].keys() == two[1].keys()
    same = same and all(np.array_equal(one[1][name], two[1][name]) for name in one[1])
    if same and isinstance(recorded, Network) and isinstance(now, Network):
        same = _same_mapping(recorded, now)
    kind = type(now).__name__
    return Line(what, same, f"the same {kind}" if same else f"another {kind} than the recorded one")


def _stored(form: Graph | Network) -> tuple[str, dict[str, np.ndarray]]:
    with tempfile.TemporaryDirectory() as folder:
        files.save(form, Path(folder))
        again = files.load(Path(folder))
    text = print_graph(again) if isinstance(again, Graph) else print_network(again)
    return text, {name: np.asarray(tensor) for name, tensor in again.tensors.items()}


def _same_mapping(recorded: Network, now: Network) -> bool:
    if recorded.mapping is None or now.mapping is None:
        return recorded.mapping is now.mapping
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, mapping in enumerate((recorded.mapping, now.mapping)):
            mapping.save(Path(folder) / f"{number}-{MAPPING}")
            found.append((Path(folder) / f"{number}-{MAPPING}").read_bytes())
    return found[0] == found[1]


def _package(program: Program, path: Path, digests: Mapping[str, str]) -> Iterator[Line]:
    """Emit what the target runs once more."""
    emits = find_target(program.target).emits
    if not emits:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / emits
        emit(emits, program, folder)
        now = {
            file.relative_to(name).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in folder.rglob("*")
            if file.is_file()
        }
    recorded = {name: digest for name, digest in digests.items() if name.startswith(f"{emits}/")}
    other = sorted(n for n in now.keys() | recorded.keys() if now.get(n) != recorded.get(n))
    said = f"{len(now)} files of the package are the same"
    yield Line("package", not other, f"{other[0]} is not the same" if other else said)
