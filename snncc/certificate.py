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

import json
import math
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snncc.backends.base import emitting
from snncc.backends.base import find as find_backend
from snncc.compiler import (
    unasked,
    what_went,
    without_aap,
    worth_saying,
)
from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.data import Recordings
from snncc.frontends.torch import Recording, as_example
from snncc.frontends.torch import record as recorded_again
from snncc.ir import files
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.ir.size import Size
from snncc.ir.stages import Mapped, Scheduled
from snncc.ir.text import print_graph, print_network
from snncc.pipeline import PassError, Result, plan, run, with_reset
from snncc.program import DATA, INPUTS, MANIFEST, MAPPING, PAGE, Program, load
from snncc.report import undrawn
from snncc.targets import target as find_target
from snncc.verification import (
    Agreement,
    Comparison,
    Probe,
    Verification,
    agreement,
    compare,
    probes,
)
from snncc.verification.elsewhere import second_opinion
from snncc.verification.module import TRAINED
from snncc.verification.passes import Check
from snncc.verification.probes import arranged, for_passes, room
from snncc.verification.record import CallRow, Record, fingerprint, populations, versions

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
    record = program.about.verification
    if record is None:
        said = f"{path} was compiled with --no-verify and holds no record of a proof"
        raise refuse("SNN316", said, help="compile it again without --no-verify")
    if "example" not in program.inputs:
        said = f"{path} is damaged: {INPUTS} does not hold the example"
        raise refuse("SNN305", said, help="compile the model again")
    manifest = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))
    yield _files(Path(path), manifest["files"])
    yield _versions(record.versions)
    given = _probes(program, record)
    ran, line = _inputs(program, record, given)
    yield line
    agreed: tuple[Finding, ...] | None = None
    if module is None:
        yield Line("module", None, "not compared: name MODEL to compare it")
    else:
        agreed = yield from _module(program, record, module, given)
    same = yield from _passes(program, record, ran, agreed, manifest["target"])
    if same:
        yield from _written(program, Path(path), manifest)
    else:
        yield Line("package", None, "not made again, as the program is not what the record says")


def on_recordings(program: Program, module: nn.Module, data: Recordings) -> Iterator[Line]:
    """Compare ``module`` and ``program`` on recordings, spike for spike, in parts.

    Raises SnnccError (SNN316) for a program that is not meant to have the module's spikes.
    """
    given = program.about.options.given
    if changed := next((name for name in ("weight_bits", "reset") if name in given), None):
        said = f"compiled with --{changed.replace('_', '-')}, the program has other spikes than "
        raise refuse("SNN316", f"{said}the module", help="leave --input out")
    return _on_recordings(program, module, data)


def _on_recordings(program: Program, module: nn.Module, data: Recordings) -> Iterator[Line]:
    total, most = Comparison(0, 0, 0, 0.0, ()), room(program.graph)
    for start in range(0, data.samples, most):
        found = compare(module, program, data.take(start, start + most))
        total = total.beside(found, behind=start)
    differ = f"{total.mismatches:,} of {total.compared:,} neuron-steps differ"
    said = f"{differ} on {data.samples:,} samples of {data.name}{_ties(total.ties)}"
    if total.equal or total.mismatches:
        yield Line("recordings", total.equal, said)
    else:
        yield Line("recordings", False, f"{said}; outputs differ by {total.logits:.2g}")


def _files(path: Path, listed: Mapping[str, str]) -> Line:
    """Every file is listed; that those have their checksums is known from loading."""
    there = {f.relative_to(path).as_posix() for f in path.rglob("*") if not f.is_dir()}
    if more := sorted(there - listed.keys() - {MANIFEST}):
        return Line("files", False, f"{more[0]} is not in the list of the manifest")
    return Line("files", True, f"{len(listed)} files have their checksums")


def _probes(program: Program, record: Record) -> tuple[Probe, ...]:
    """The inputs of the record, the user's from the folder and the others drawn again."""
    program.arrange(program.inputs["example"])
    tensors = {name: torch.from_numpy(array) for name, array in program.inputs.items()}
    recording = Recording(program.graph, record.samples)
    return probes(recording, tensors["example"], tensors.get("calibration"))


def _inputs(
    program: Program, record: Record, given: Sequence[Probe]
) -> tuple[tuple[Probe, ...], Line]:
    """The inputs of the record's calls, and whether they are what the record says."""
    ran: list[Probe] = []
    for call in record.calls:
        whole = call.input.partition(", part ")[0]
        known = {probe.name: probe for probe in given}
        if (own := call.input.removesuffix(TRAINED)) != call.input and own in known:
            known[call.input] = replace(known[own].first(call.samples), name=call.input)
        if call.input not in known and whole in known:
            known |= {piece.name: piece for piece in known[whole].pieces(call.samples)}
        probe = known.get(call.input)
        if probe is None or (probe.samples, probe.seed, probe.sha256) != (
            call.samples, call.seed, call.sha256,
        ):  # fmt: skip
            said = f"`{call.input}` is not the input of the record"
            return tuple(given), Line("inputs", False, said)
        ran.append(probe)
    ran_names = {each.name.removesuffix(TRAINED).partition(", part ")[0] for each in ran}
    left = [each.name for each in given if each.name not in ran_names]
    may_lack = any(found.code == "SNN508" for found in program.findings)
    if left and (given[0].name in left or not may_lack):
        return tuple(given), Line("inputs", False, f"the record has no call with `{left[0]}`")
    if sum(record.populations.values()) != sum(call.compared for call in record.calls):
        said = "the record counts other neuron-steps by population than by call"
        return tuple(ran), Line("inputs", False, said)
    return tuple(ran), Line("inputs", True, f"{len(ran)} inputs have their checksums")


def _versions(recorded: Mapping[str, str]) -> Line:
    now = versions()
    other = [f"{name} {now.get(name, 'none')} (recorded with {recorded[name]})"
             for name in recorded if now.get(name) != recorded[name]]  # fmt: skip
    return Line("versions", None, ", ".join(other) or "as recorded")


def _module(
    program: Program, record: Record, module: nn.Module, given: Sequence[Probe]
) -> Generator[Line, None, tuple[Finding, ...] | None]:
    """Compare the module; returns what is found in it, None where it could not be compared."""
    options, now = program.about.options, fingerprint(module)
    for what, recorded in (("source", record.source), ("weights", record.weights)):
        same = now[what] == recorded
        yield Line(f"module's {what}", same, "as recorded" if same else "other than recorded")
    try:
        recording = recorded_again(
            module, as_example(program.inputs["example"]), input=options.input,
            layout=options.layout, time_steps=options.time_steps,
        )  # fmt: skip
        agreed = agreement(module, recording.graph, given)
        opinion = second_opinion(module, recording.graph, given)
    except SnnccError as error:
        yield Line("module → network", False, str(error))
        return None
    graph = recording.graph
    if options.reset:
        graph = with_reset(graph, options.reset)
    yield _form("module → network", program.graph, graph)
    yield from _counts(record, agreed)
    if opinion is not None:
        yield Line("module → onnxruntime", True, opinion.said)
    if recording.samples != record.samples:
        yield Line("samples", False, "forward asks about other numbers of samples than recorded")
    return (*unasked(recording, agreed), *agreed.findings)


def _counts(record: Record, agreed: Agreement) -> Iterator[Line]:
    rows = tuple(map(CallRow.of, agreed.calls))
    plain = [tuple(replace(row, ties=0) for row in each) for each in (rows, record.calls)]
    same = plain[0] == plain[1] and populations(agreed) == record.populations
    said = f"0 of {agreed.compared:,} neuron-steps differ in {len(rows)} calls{_ties(agreed.ties)}"
    yield Line("module → network", same, said if same else f"{said}; the record has other calls")
    if same and rows != record.calls:
        yield Line("ties", None, "the record has other ties, which another machine may have")


def _ties(count: int) -> str:
    return f", {count:,} ties by rounding" if count else ""


def _passes(
    program: Program,
    record: Record,
    ran: Sequence[Probe],
    agreed: tuple[Finding, ...] | None,
    target: str,
) -> Generator[Line, None, bool]:
    """Run the passes again; returns whether all they make is as recorded.

    ``target`` as the manifest names it: a chip's file is another one in the folder.
    """
    graph = program.graph
    planned = plan(program.target, program.about.options)
    if (calibration := program.inputs.get("calibration")) is not None:
        axis = ran[0].axis + calibration.ndim - ran[0].inputs.dim()
        measured = Probe("calibration", torch.from_numpy(calibration), axis)
        planned = planned.calibrated(arranged(graph, [measured]))
    verification = Verification(arranged(graph, for_passes(ran)))
    try:
        result = run(graph, planned.passes, verify=verification)
    except (SnnccError, PassError) as error:
        yield Line("network → program", False, str(error))
        return False
    lines = [
        *_rows(record, verification.checks),
        *_results(program, *planned.forms(result)),
        _findings(program, result, agreed),
        *_claims(program, result, target),
    ]
    yield from lines
    return all(line.same is not False for line in lines)


def _rows(record: Record, checks: Sequence[Check]) -> Iterator[Line]:
    for check, row in zip_longest(checks, record.passes):
        if check is None or row is None:
            name = row.applied if check is None else check.applied
            yield Line(name, False, "is in the record or was run, and not both")
            continue
        same = (check.applied, check.compared) == (row.applied, row.compared)
        said = f"0 of {check.compared:,} neuron-steps differ{_ties(check.ties)}"
        yield Line(check.applied, same, said)
        if same and check.ties != row.ties:
            yield Line("ties", None, f"the record has {row.ties:,}; another machine may have those")


def _results(program: Program, network: Network, scheduled: Scheduled | None) -> Iterator[Line]:
    """The Network and the scheduled Network."""
    yield _form("network → program", program.network, network)
    if (scheduled is None) != (program.scheduled is None):
        said = "the folder has none" if scheduled is not None else "the target needs none"
        yield Line("program → schedule", False, said)
    elif program.scheduled is not None:
        yield _form("program → schedule", program.scheduled, scheduled)


OF_FILES = ("SNN509", "SNN510", "SNN515", "SNN521")
"""What a reader says of a file that does not say all, and of recordings: it is in no network."""


def _findings(program: Program, result: Result, agreed: tuple[Finding, ...] | None) -> Line:
    """What was found, in the passes and where it was compared in the module."""
    recorded = Counter(
        (f.code, f.node, f.message) for f in program.findings if f.code not in OF_FILES
    )
    found = worth_saying((*(agreed or ()), *result.findings), program.keep_aap)
    now = Counter((f.code, f.node, f.message) for f in found)
    less, more = now - recorded, recorded - now
    if agreed is None:  # what the module said is not known
        more = Counter(key for key in more if key[0] != "SNN508")
    if less or more:
        code = min(key[0] for key in (*less, *more))
        return Line("findings", False, f"{code} is in the record or was found, and not both")
    return Line("findings", True, f"{sum(recorded.values())} as recorded")


def _claims(program: Program, result: Result, target: str) -> Iterator[Line]:
    """The other parts of the manifest that the passes give."""
    about, stripped = program.about, without_aap(result)
    gone = tuple(name for name in program.graph.nodes if name not in stripped.nodes)
    passes = [str(stage.applied).replace(program.target, target) for stage in result.stages]
    sizes = tuple(map(Size.of, (program.graph, *result.forms)))
    claims: Mapping[str, tuple[Any, Any]] = {
        "passes": (list(about.passes), passes),
        "head": (program.head, next(iter(stripped.heads), "")),
        "auxiliary": (program.auxiliary, gone),
        "keep_aap": (program.keep_aap, about.options.keep_aap),
        "reports": (about.reports.said, result.reports.said),
        "stripped": (about.stripped, what_went(program.graph, stripped, gone)),
        "sizes": (about.sizes or sizes, sizes),
    }
    for name, (recorded, now) in claims.items():
        same = alike(recorded, now)
        yield Line(name, same, "as recorded" if same else "other than recorded")


def alike(one: Any, two: Any) -> bool:
    """Whether plain values are the same, but for the rounding of floats."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(alike(one[name], two[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    if type(one) is float and type(two) is float:
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)
    return type(one) is type(two) and bool(one == two)


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
    if not isinstance(recorded, Mapped) or not isinstance(now, Mapped):
        return isinstance(recorded, Mapped) is isinstance(now, Mapped)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, mapping in enumerate((recorded.mapping, now.mapping)):
            mapping.save(Path(folder) / f"{number}-{MAPPING}")
            found.append((Path(folder) / f"{number}-{MAPPING}").read_bytes())
    return found[0] == found[1]


def _words(page: Path) -> str:
    """A page without its pictures; empty where there is none."""
    try:
        return undrawn(page.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""


def _written(program: Program, path: Path, manifest: Mapping[str, Any]) -> Iterator[Line]:
    """Write the program once more: the package that the target runs, and the pages."""
    with tempfile.TemporaryDirectory() as name:
        program.save(Path(name) / "again")
        again = json.loads((Path(name) / "again" / MANIFEST).read_text(encoding="utf-8"))
        same_words = _words(path / PAGE) == _words(Path(name) / "again" / PAGE)
    recorded, now = manifest["files"], again["files"]
    other = sorted(n for n in now.keys() | recorded.keys() if now.get(n) != recorded.get(n))
    other = [n for n in other if not (n in now and n in recorded and n.endswith(".npz"))]
    page = not manifest["target"].endswith(".toml")  # else it names the file of the chip
    if not page:
        other = [n for n in other if n not in (PAGE, DATA)]
    elif same_words:  # another version of what draws the pictures
        other = [n for n in other if n != PAGE]
    emits = find_target(program.target).emits
    package = f"{emitting(find_backend(emits)()).package}/" if emits else ""
    inside = [n for n in other if package and n.startswith(package)]
    if package:
        count = sum(n.startswith(package) for n in now)
        said = f"{count} files of the package are the same"
        yield Line("package", not inside, f"{inside[0]} is not the same" if inside else said)
    rest = [n for n in other if n not in inside]
    said = f"{f'{PAGE} and ' if page else ''}what else is made of the program is the same"
    yield Line("pages", not rest, f"{rest[0]} is not the same" if rest else said)
    if manifest.get("processes") != again.get("processes"):
        yield Line("processes", False, "the manifest counts others than the package has")
