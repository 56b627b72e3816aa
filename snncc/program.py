"""A compiled network: what it is made of, how it runs, and the folder it lives in."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from snncc import floorplan, overview
from snncc.backends.base import Backend, Stage, emitting
from snncc.backends.base import find as find_backend
from snncc.backends.reference import MEMORY, joined, simulate
from snncc.backends.reference.fused import Simulator, tile_of
from snncc.backends.reference.workers import together
from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.ir import files
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import Run, Value, run_graph
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.network import Network
from snncc.ir.ops import Input
from snncc.parts import with_known
from snncc.targets import target as find_target

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FORMAT = "snncc program"
VERSION = 1
MANIFEST = "manifest.json"
MAPPING = "mapping.npz"
INPUTS = "inputs.npz"
CHIP = "chip.toml"
PAGE = "report.html"


_Way = tuple[torch.dtype, frozenset[str] | None, torch.dtype | None]
"""A dtype, the places whose spikes are kept, and their dtype."""


@dataclass(frozen=True)
class Result:
    """The answers of a program to N samples over T steps, as torch tensors.

    ``logits`` (N, classes); ``outputs`` (T, N, classes), the readout's sums step by step, None
    where they were not kept; ``spikes`` (T, N, *shape) by the neuron's module path, sources, gates
    and relays included; ``heads``: with the AAP kept, "aap" (of several "aap.NAME"), the other
    outputs, and "average", the mean of all, each (N, classes).
    """

    logits: Value
    outputs: Value | None
    spikes: Mapping[str, Value] = field(repr=False)
    heads: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Program:
    """A network compiled for ``target``.

    ``network`` is spike-only and not yet scheduled, ``scheduled`` the same with relays and one map
    a projection, where the target needs that. ``graph`` is the whole network as traced, its
    auxiliary path included; ``auxiliary`` names the nodes of it that were stripped, ``head`` the
    output that was kept. With ``keep_aap`` the host runs the auxiliary path on the spikes.
    ``about`` holds plain values for the manifest: source, options, passes, reports, verification;
    ``inputs`` the user's own samples that this was verified and measured on, in the module's
    layout. ``seconds``, what each pass took, stays in memory.
    """

    network: Network
    graph: Graph = field(repr=False)
    target: str = "reference"
    head: str = ""
    auxiliary: tuple[str, ...] = field(default=(), repr=False)
    keep_aap: bool = False
    scheduled: Network | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict, repr=False)

    # -- running -------------------------------------------------------------------------------

    def run(
        self,
        inputs: ArrayLike | Value,
        *,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
        memory: int = MEMORY,
        threads: int | None = None,
        on_samples: Callable[[int], object] | None = None,
    ) -> Result:
        """Run on ``inputs`` in the layout of the example; the samples are free in number.

        In float32 it is faster, and spikes may differ whose membranes lie within its rounding of
        the threshold; none does where all sums are exact. ``keep`` names the populations whose
        spikes the result holds, by default all; () is fastest, and with the AAP kept it is all.
        Samples come in chunks that take about ``memory`` bytes, on so many ``threads``, by default
        all cores; neither changes a number. ``on_samples`` is told how many more are done. Raises
        SnnccError (SNN306, SNN312) for inputs that do not fit.
        """
        simulator = self.simulator(dtype, None if self.keep_aap else keep)
        parts = []
        for chunk, run in simulate(
            self.network,
            self.arrange(inputs),
            simulator=simulator,
            memory=memory,
            threads=threads,
        ):
            parts.append((replace(run, sent={}), self.answers(chunk, run, dtype)))
            if on_samples is not None:
                on_samples(next(iter(run.outputs.values())).shape[1])
        return self.gather(parts)

    def gather(self, parts: Sequence[tuple[Run, Result]]) -> Result:
        """The answers of all chunks as one."""
        whole = joined(self.network, [run for run, _ in parts])
        readout = self._readout(whole)
        heads = {
            name: torch.cat([result.heads[name] for _, result in parts])
            for name in parts[0][1].heads
        }
        outputs = whole.outputs.get(readout)
        return Result(whole.logits[readout], outputs, whole.spikes, heads)

    def arrange(self, inputs: ArrayLike | Value) -> dict[str, Value]:
        """The user's data as the interpreter takes it. Raises SnnccError (SNN306, SNN312)."""
        from snncc.frontends.torch import arrange, as_example

        data = inputs if isinstance(inputs, torch.Tensor) else np.asarray(inputs)
        tensor = as_example(data) if 0 not in data.shape else torch.zeros(tuple(data.shape))
        arranged = arrange(tensor, self.graph)
        for node in self.graph.inputs:
            self._check(node, arranged[node.name])
        return arranged

    def simulator(
        self,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
        spikes: torch.dtype | None = None,
    ) -> Simulator:
        """What runs the network; made once, as its tables do not change."""
        key = (dtype, None if keep is None else frozenset(keep), spikes)
        if key not in self._simulators:
            self._simulators[key] = Simulator(self.network, dtype, keep, spikes=spikes)
        return self._simulators[key]

    @cached_property
    def _simulators(self) -> dict[_Way, Simulator]:
        return {}

    def answers(
        self, inputs: Mapping[str, Value], run: Run, dtype: torch.dtype = torch.float64
    ) -> Result:
        """What a run of the network says, and with the AAP kept what the host makes of it."""
        readout = self._readout(run)
        heads = self._auxiliary_heads(inputs, run, dtype) if self.keep_aap else {}
        return Result(run.logits[readout], run.outputs[readout], run.spikes, heads)

    def node_values(self, run: Run) -> dict[str, Value]:
        """The values of Graph nodes that a run of the network holds."""
        return {self.node_of[name]: run.spikes[name] for name in self.node_of if name in run.spikes}

    @cached_property
    def node_of(self) -> dict[str, str]:
        """The Graph node that each population is, by the name of the population."""
        named = {place.name: place.stands_for or place.name for place in self.network.populations}
        return {name: node for name, node in named.items() if node in self.graph.nodes}

    def delivered(self, said: Mapping[str, Value]) -> dict[str, Value]:
        """What the places of the scheduled network say: a relay repeats what it hears."""
        everywhere = dict(said)
        network = self.scheduled or self.network
        for place in network.populations:
            if place.name not in everywhere:
                (heard,) = network.incoming[place.name]
                everywhere[place.name] = everywhere[heard.source]
        return everywhere

    def _readout(self, run: Run) -> str:
        return self.head if self.head in run.logits else next(iter(run.logits))

    def _auxiliary_heads(
        self, inputs: Mapping[str, Value], run: Run, dtype: torch.dtype
    ) -> dict[str, Value]:
        parts: dict[str, list[Value]] = {name: [] for name in self.graph.heads.values()}
        for part in self.graph_values(inputs, run, (), dtype):
            for name, several in parts.items():
                step = self.graph.nodes[name].signal.rate == "step"
                several.append(part[name].mean(0) if step else part[name])
        values = {name: torch.cat(several) for name, several in parts.items()}
        mine = run.logits[self._readout(run)]
        others = {name: values[node] for name, node in self.graph.heads.items()
                  if name != self.head or node in self.auxiliary}  # fmt: skip
        alone = len(others) == 1
        heads = {"aap" if alone else f"aap.{name}": value for name, value in others.items()}
        same = [value for value in heads.values() if value.shape == mine.shape]
        return {**heads, "average": torch.stack([mine, *same]).mean(0)} if same else heads

    def graph_values(
        self,
        inputs: Mapping[str, Value],
        run: Run,
        keep: Collection[str],
        dtype: torch.dtype = torch.float64,
    ) -> Iterator[dict[str, Value]]:
        """The heads of the Graph and the nodes in ``keep``, where ``run`` gives the spikes.

        Some samples at a time, on one thread: the same for every size of chunks.
        """
        steps, samples = next(iter(run.outputs.values())).shape[:2]
        forced, given = self.node_values(run), self._graph_inputs(inputs)
        axes = {n.name: int(given[n.name].dim() > len(n.signal.shape) + 1)
                for n in self.graph.inputs if n.name in given}  # fmt: skip
        size = tile_of(self.network, steps, torch.float32)
        for start in range(0, samples, size):
            count = min(size, samples - start)
            part = {name: given[name].narrow(axis, start, count) for name, axis in axes.items()}
            known = {name: spikes.narrow(1, start, count) for name, spikes in forced.items()}
            run_part = partial(run_graph, self.graph, part, keep=keep, forced=known, dtype=dtype)
            yield together(run_part, 1)[0]

    def _graph_inputs(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        return {node.name: inputs[node.name] for node in self.graph.inputs if node.name in inputs}

    def _check(self, node: Node, value: Value) -> None:
        steps = self.graph.time_steps
        if node.signal.rate == "step" and steps is not None and len(value) != steps:
            raise refuse(
                "SNN306", f"the inputs have {len(value)} time steps and the program takes {steps}"
            )
        whole = math.isfinite(float(value.sum()))  # a sum of finite numbers may still be infinite
        if not whole and not bool(torch.isfinite(value).all()):
            raise refuse("SNN312", "the inputs hold NaN or infinity")
        kind = node.op.kind if isinstance(node.op, Input) else "analog"
        if kind == "spike" and not bool(((value == 0) | (value == 1)).all()):
            raise refuse("SNN312", "the inputs are declared spikes and are not all 0 or 1")
        if kind == "count" and not bool(((value >= 0) & (value == value.floor())).all()):
            raise refuse(
                "SNN312", "the inputs are declared counts and are not all whole numbers from 0 up"
            )
        from snncc.frontends.torch import check_bound

        check_bound(node, value)

    def at(self, stage: Stage) -> Network:
        """The Network as a backend takes it. Raises SnnccError (SNN316) where there is none."""
        if stage == "network":
            return self.network
        if self.scheduled is None:
            said = f"a program for {self.target} has no schedule"
            raise refuse("SNN316", said, help="compile it for another target")
        if stage == "mapped" and self.scheduled.mapping is None:
            message = f"a program for {self.target} has no mapping to cores"
            help = "compile it for a chip, --target loihi1, or give a mapping"
            raise refuse("SNN316", message, help=help)
        return self.scheduled

    # -- on disk -------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the program as a folder; all of it or nothing.

        A compiled program of that name is replaced, and so is an empty folder. Raises SnnccError:
        SNN316 where something else has the name, SNN305 where it cannot be written.
        """
        path = Path(path)
        if not replaceable(path):
            raise refuse(
                "SNN316",
                f"{path} exists and is not a compiled program",
                help="choose another name, or remove it first",
            )
        try:
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.absolute().parent))
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            fresh.chmod(0o777 & ~_umask())
            self._write(fresh)
            _replace(path, fresh)
        except OSError as error:
            raise _cannot_write(path, error) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        forms: dict[str, Graph | Network] = {"graph": self.graph, "network": self.network}
        if self.scheduled is not None:
            forms["scheduled"] = self.scheduled
        for name, form in forms.items():
            (folder / name).mkdir()
            files.save(form, folder / name)
        if self.inputs:
            with (folder / INPUTS).open("wb") as file:
                short: dict[str, Any] = {n: _short(each) for n, each in self.inputs.items()}
                np.savez_compressed(file, **short)
        machine = find_target(self.target)
        if self.scheduled is not None and self.scheduled.mapping is not None and machine.chip:
            mapping = self.scheduled.mapping
            mapping.save(folder / MAPPING)
            lines = floorplan.table(self.about["reports"])
            (folder / "mapping.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            (folder / "mapping.svg").write_text(floorplan.picture(mapping, machine.chip))
            if self.target.endswith(".toml"):
                shutil.copyfile(self.target, folder / CHIP)
        processes = None
        if machine.emits:
            backend = find_backend(machine.emits)()
            processes = emit(backend, self, folder / emitting(backend).package)
        (folder / PAGE).write_text(overview.page(self, processes), encoding="utf-8")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "snncc": version("snncc"),
            "target": self.target,
            "head": self.head,
            "keep_aap": self.keep_aap,
            "auxiliary": list(self.auxiliary),
            **self.about,
            **({} if processes is None else {"processes": processes}),
            "findings": [_finding_as_dict(finding) for finding in self.findings],
            "files": _digests(folder),
        }
        text = _canonical({**manifest, "checksum": _checksum(manifest)})
        (folder / MANIFEST).write_text(text, encoding="utf-8")


def load(path: str | Path) -> Program:
    """The program in a folder that `Program.save` wrote.

    Raises SnnccError (SNN305) where there is none, or any file of it is missing or was changed.
    """
    path = Path(path)
    manifest = _manifest(path)
    try:
        _check_shape(manifest)
    except ValueError as error:
        raise _damaged(path, f"of {MANIFEST}, {error}") from None
    listed = manifest["files"]
    _check_files(path, listed)
    network, graph = _form(path, "network", listed), _form(path, "graph", listed)
    scheduled = None
    if any(name.startswith("scheduled/") for name in listed):
        scheduled = _form(path, "scheduled", listed)
    if not isinstance(network, Network) or not isinstance(graph, Graph):
        raise _damaged(path, "its networks are not where they belong")
    if scheduled is not None and not isinstance(scheduled, Network):
        raise _damaged(path, "its networks are not where they belong")
    target = manifest["target"]
    if target.endswith(".toml"):
        if CHIP not in listed:
            raise _damaged(path, f"{CHIP} is missing")
        target = str(path / CHIP)
    try:
        if scheduled is not None and MAPPING in listed:
            scheduled = replace(scheduled, mapping=CoreMapping.load(path / MAPPING))
        inputs = _inputs(path / INPUTS) if INPUTS in listed else {}
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path, f"an array of it cannot be read ({error})") from None
    return Program(
        network,
        graph,
        target,
        manifest["head"],
        tuple(manifest["auxiliary"]),
        manifest["keep_aap"],
        scheduled,
        tuple(_finding_from_dict(found) for found in manifest["findings"]),
        {key: value for key, value in manifest.items() if key not in _OWN},
        inputs,
    )


def _form(path: Path, name: str, listed: Collection[str]) -> Graph | Network:
    """A form of the folder, all of whose files the manifest lists."""
    for file in (f"{name}/graph.txt", f"{name}/network.txt", f"{name}/{files.TENSORS}"):
        if (path / file).exists() and file not in listed:
            raise _damaged(path, f"{MANIFEST} does not list {file}")
    return files.load(path / name)


_KINDS: Mapping[str, type | UnionType] = {
    "snncc": str, "target": str, "head": str, "keep_aap": bool, "auxiliary": list, "source": dict,
    "options": dict, "passes": list, "reports": dict, "stripped": dict,
    "verification": dict | None, "findings": list, "files": dict,
}  # fmt: skip
"""What a manifest holds."""

_OPTIONS: Mapping[str, type] = {
    "head": str, "input": str, "layout": str, "time_steps": int, "keep_aap": bool,
    "cut_merge": bool, "strict": bool, "stock_only": bool, "weight_bits": int, "reset": str,
}  # fmt: skip

_FINDING: Mapping[str, type | UnionType] = {
    "code": str, "message": str, "help": str | None, "node": str | None, "module": str | None,
    "file": str | None, "line": int | None,
}  # fmt: skip


def _check_shape(manifest: Mapping[str, Any]) -> None:
    """Raises ValueError, with what is wrong, where a part is missing or of another kind."""
    from snncc.verification.record import Record, taken, whole

    part = {name: taken(manifest, name, kind) for name, kind in _KINDS.items()}
    if more := manifest.keys() - _KINDS.keys() - _OWN:
        raise ValueError(f"`{min(more)}` is not known")
    for name, value in part["options"].items():
        if name not in _OPTIONS:
            raise ValueError(f"the option `{name}` is not known")
        taken({name: value}, name, _OPTIONS[name])
    for name in ("auxiliary", "passes"):
        for each in part[name]:
            taken({name: each}, name, str)
    for name in ("source", "files"):
        for each in part[name]:
            taken(part[name], each, str)
    for name in ("nodes", "parameters", "mac", "ac_at_most"):
        whole(part["stripped"], name)
    for found in part["findings"]:
        for name, kind in _FINDING.items():
            taken(found, name, kind)
    if part["verification"] is not None:
        Record.read(part["verification"])


def _short(inputs: np.ndarray) -> np.ndarray:
    """In one byte a value, or in float32, where that loses nothing."""
    if inputs.size and inputs.min() >= 0 and inputs.max() <= 255:
        whole = inputs.astype(np.uint8)
        if np.array_equal(whole, inputs):
            return whole
    return files.packed(inputs)


def _inputs(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(array, dtype=np.float64) for name, array in file.items()}


_OWN = frozenset({
    "format", "version", "snncc", "target", "head", "keep_aap", "auxiliary", "findings",
    "files", "checksum", "processes",
})  # fmt: skip


def is_program(path: str | Path) -> bool:
    """Whether the folder says it is a compiled program, whole or damaged."""
    try:
        head = (Path(path) / MANIFEST).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return f'"{FORMAT}"' in head


def replaceable(path: str | Path) -> bool:
    """Whether `Program.save` may write there: nothing, an empty folder or a compiled program."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return not os.path.lexists(path)
    return is_program(path) or not any(path.iterdir())


def emit(
    backend: Backend, program: Program, folder: Path
) -> Mapping[str, Mapping[str, int]] | None:
    """Write the package a backend runs; of stock parts alone where the program is.

    Returns what the backend says of it. Raises SnnccError as the backend does, and SNN316 where it
    writes none or the program is not what it takes.
    """
    stock = {"stock_only": True} if program.about.get("options", {}).get("stock_only") else {}
    writer = emitting(replace(backend, **with_known(backend, stock)))
    return writer.emit(program.at(writer.takes), folder)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise refuse("SNN305", f"{path} {what}", help="give a folder that snncc compile wrote")
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except OSError:
        raise refuse(
            "SNN305",
            f"{path} is no compiled program: it has no readable {MANIFEST}",
            help="give a folder that snncc compile wrote",
        ) from None
    except ValueError:
        raise _damaged(path, f"{MANIFEST} is not text") from None
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, f"{MANIFEST} is not JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _damaged(path, f"{MANIFEST} is not that of a compiled program")
    if manifest.get("version") != VERSION:
        raise refuse(
            "SNN305",
            f"{path} has format version {manifest.get('version')!r} and this snncc reads {VERSION}",
            help="compile the model again",
        )
    claimed = manifest.pop("checksum", None)
    if claimed != _checksum(manifest) or text != _canonical({**manifest, "checksum": claimed}):
        raise _damaged(path, f"{MANIFEST} was changed")
    return manifest


def _check_files(path: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise _damaged(path, f"{MANIFEST} names a file outside it")
        try:
            found = hashlib.sha256((path / name).read_bytes()).hexdigest()
        except OSError:
            raise _damaged(path, f"{name} is missing") from None
        except ValueError:
            raise _damaged(path, f"{MANIFEST} names {name!r}, and no file has that name") from None
        if found != digest:
            raise _damaged(path, f"{name} was changed or cut short")


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest).encode()).hexdigest()


def _canonical(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def _finding_as_dict(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "message": finding.message,
        "help": finding.help,
        "node": finding.node,
        "module": finding.location.module,
        "file": finding.location.file,
        "line": finding.location.line,
    }


def _finding_from_dict(found: Mapping[str, Any]) -> Finding:
    location = Location(found["module"], found["file"], found["line"])
    return Finding(found["code"], found["message"], location, found["node"], found["help"])


def _replace(path: Path, fresh: Path) -> None:
    """Put a folder in another's place; the old one stays whole until the new one is there."""
    if not path.exists():
        fresh.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.absolute().parent))
    try:
        path.rename(old / "program")
        try:
            fresh.rename(path)
        except OSError:
            (old / "program").rename(path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> SnnccError:
    return refuse(
        "SNN305",
        f"{path} cannot be written: {error.strerror or error}",
        help="choose a folder that can be written to",
    )


def _damaged(path: Path, what: str) -> SnnccError:
    return refuse("SNN305", f"{path} is damaged: {what}", help="compile the model again")
