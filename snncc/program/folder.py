"""The folder a program lives in: written as a whole, and read only where it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from snncc import report
from snncc.backends.base import emitting
from snncc.backends.base import find as find_backend
from snncc.diagnostics import SnnccError, refuse
from snncc.ir import files
from snncc.ir.graph import Graph
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.network import Network
from snncc.ir.stages import Mapped, Scheduled
from snncc.program import floorplan, sections
from snncc.program.manifest import (
    FORMAT,
    MANIFEST,
    about_of,
    damaged,
    findings_of,
    read_manifest,
    write_manifest,
)
from snncc.program.packages import emit
from snncc.program.parts import Parts
from snncc.targets import target as find_target

MAPPING = "mapping.npz"
INPUTS = "inputs.npz"
CHIP = "chip.toml"
PAGE, DATA = "report.html", "report.json"


def save(parts: Parts, path: Path) -> None:
    """Write the program as a folder; all of it or nothing.

    A compiled program of that name is replaced, and so is an empty folder. Raises SnnccError:
    SNN316 where something else has the name, SNN305 where it cannot be written.
    """
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
        _write(parts, fresh)
        _replace(path, fresh)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _write(parts: Parts, folder: Path) -> None:
    forms: dict[str, Graph | Network] = {"graph": parts.graph, "network": parts.network}
    if parts.scheduled is not None:
        forms["scheduled"] = parts.scheduled
    for name, form in forms.items():
        (folder / name).mkdir()
        files.save(form, folder / name)
    if parts.inputs:
        with (folder / INPUTS).open("wb") as file:
            short: dict[str, Any] = {n: _short(each) for n, each in parts.inputs.items()}
            np.savez_compressed(file, **short)
    machine = find_target(parts.target)
    if isinstance(parts.scheduled, Mapped) and machine.chip:
        mapping = parts.scheduled.mapping
        mapping.save(folder / MAPPING)
        lines = floorplan.table(parts.about.reports)
        (folder / "mapping.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if parts.target.endswith(".toml"):
            shutil.copyfile(parts.target, folder / CHIP)
    processes = None
    if machine.emits:
        backend = find_backend(machine.emits)()
        processes = emit(backend, parts, folder / emitting(backend).package)
    report.write(folder / PAGE, sections.title(parts), sections.sections(parts, processes))
    write_manifest(parts, folder, processes)


def load(path: Path) -> Parts:
    """What a folder that `save` wrote holds.

    Raises SnnccError (SNN305) where there is none, or any file of it is missing or was changed.
    """
    manifest = read_manifest(path)
    about, listed = about_of(path, manifest), manifest["files"]
    _check_files(path, listed)
    network, graph = _form(path, "network", listed), _form(path, "graph", listed)
    scheduled = None
    if any(name.startswith("scheduled/") for name in listed):
        scheduled = _form(path, "scheduled", listed)
    if not isinstance(network, Network) or not isinstance(graph, Graph):
        raise damaged(path, "its networks are not where they belong")
    if scheduled is not None and not isinstance(scheduled, Scheduled):
        raise damaged(path, "its networks are not where they belong")
    target = manifest["target"]
    if target.endswith(".toml"):
        if CHIP not in listed:
            raise damaged(path, f"{CHIP} is missing")
        target = str(path / CHIP)
    try:
        if scheduled is not None and MAPPING in listed:
            scheduled = Mapped.on(scheduled, CoreMapping.load(path / MAPPING))
        inputs = _inputs(path / INPUTS) if INPUTS in listed else {}
    except (KeyError, TypeError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise damaged(path, f"an array of it cannot be read ({error})") from None
    return Parts(
        network,
        graph,
        target,
        manifest["head"],
        tuple(manifest["auxiliary"]),
        manifest["keep_aap"],
        scheduled,
        findings_of(manifest),
        about,
        inputs,
    )


def processes_of(path: Path) -> Mapping[str, Any] | None:
    """How many processes of each kind the package in a folder has, where it counts them.

    Raises SnnccError (SNN305).
    """
    found: Mapping[str, Any] | None = read_manifest(path).get("processes")
    return found


def _form(path: Path, name: str, listed: Collection[str]) -> Graph | Network:
    """A form of the folder, all of whose files the manifest lists."""
    for file in (f"{name}/graph.txt", f"{name}/network.txt", f"{name}/{files.TENSORS}"):
        if (path / file).exists() and file not in listed:
            raise damaged(path, f"{MANIFEST} does not list {file}")
    return files.load(path / name)


def _check_files(path: Path, digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise damaged(path, f"{MANIFEST} names a file outside it")
        try:
            found = hashlib.sha256((path / name).read_bytes()).hexdigest()
        except OSError:
            raise damaged(path, f"{name} is missing") from None
        except ValueError:
            raise damaged(path, f"{MANIFEST} names {name!r}, and no file has that name") from None
        if found != digest:
            raise damaged(path, f"{name} was changed or cut short")


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
