"""The source a user names as DATA, checked against what a model takes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.data.arrays import Header
from snncc.frontends.data.datasets import DataSet, open_dataset
from snncc.frontends.data.encoders import Encoded, Encoder, without_time
from snncc.frontends.data.hdf5 import open_hdf5
from snncc.frontends.data.npy import open_npy
from snncc.frontends.data.npz import open_npz
from snncc.frontends.data.recordings import Array, Recordings, Stored, damaged
from snncc.frontends.data.values import Demand, blocks, check_values, demands
from snncc.frontends.layout import Layout, sample_axis
from snncc.frontends.named import FACTORY
from snncc.options import InputKind

_HELP = "give an .npz, .npy or HDF5 file, or package.module:factory"

Takes = Mapping[Layout, tuple[int, ...]]
"""The shape of an example, all axes included, by layout."""


@dataclass(frozen=True)
class _Checked:
    """A source that fits: its layout, how many samples count, their labels, least and largest."""

    inputs: Stored
    layout: Layout
    axis: int
    samples: int
    labels: Array | None
    bounds: tuple[float, float]


def open_recordings(
    source: str | Path,
    takes: Takes,
    *,
    input: InputKind | None = None,
    classes: int | None = None,
    largest: float = math.inf,
    samples: int | None = None,
    encode: Encoder | None = None,
) -> Recordings:
    """Check recordings for a model, and leave them where they are.

    ``source`` is an .npz, .npy or HDF5 file, or ``package.module:factory``, the user's own code,
    which returns a torch data set or loader, or a tuple (inputs, labels).
    ``takes`` is the shape of an example, all axes included, by layout; the first that fits counts.
    The number of samples is free, every other axis must match; an item of a data set has no axis
    of samples. With ``input`` "spike" all values are 0 or 1, with "count" whole numbers from 0 to
    ``largest``. ``classes`` bounds the labels. With ``samples`` those behind so many are left out;
    of an .npz their bytes are still part of the checksum. With ``encode`` the source has real
    values and no axis of time, and `Recordings.take` gives the encoded spikes.

    Raises SNN305 where a file is not there or damaged, SNN304 where it asks for other files,
    SNN306 where the shape does not fit, SNN312 where the values or the labels cannot be used,
    SNN313 and SNN314 for a factory that is not there or does not work, SNN316 for an encoder that
    does not go with the model, SNN317 where h5py is not installed, SNN340 for a data set that is
    not the same when it is read again.
    """
    name, demanded = str(source), None
    wanted = takes
    if encode is not None:
        timed = without_time(dict(takes))
        wanted = {layout: shape for layout, (_, shape, _) in timed.items()}
        for _, _, steps in timed.values():
            encode.check(steps)
        demanded = encode.demands()
    with contextlib.ExitStack() as opened:
        found: DataSet | Mapping[str, Stored]
        if FACTORY.fullmatch(name) and not Path(name).exists():
            found = open_dataset(name)
        else:
            found = _file(Path(name), wanted, samples, opened)

        def demands_on(stored: Stored | DataSet) -> list[Demand]:
            if demanded is None:
                return demands(stored.dtype, input, largest)
            return [*demands(stored.dtype, None, largest), *demanded]

        if isinstance(found, DataSet):
            checked = _data_set(found, wanted, samples, classes, demands_on(found))
        else:
            inputs = _inputs(name, found)
            checked = _arrays(name, found, wanted, samples, classes, demands_on(inputs))
        kept, axis = checked.inputs, checked.axis
        findings: tuple[Finding, ...] = ()
        if encode is not None:
            layout, _, steps = timed[checked.layout]
            kept = Encoded(kept, axis, encode, steps, layout)
            axis = sample_axis(layout, len(kept.shape))
            findings = encode.findings(checked.bounds, name)
        return Recordings(
            name, axis, checked.samples, checked.labels, checked.bounds, str(encode or ""),
            findings, kept, opened.pop_all(),
        )  # fmt: skip


def _file(
    path: Path, takes: Takes, samples: int | None, opened: contextlib.ExitStack
) -> Mapping[str, Stored]:
    """The arrays of a file, by its first bytes or, of HDF5, its name."""
    if not path.exists():
        raise refuse("SNN305", f"{path} does not exist", help=_HELP)
    if not path.is_file():
        raise refuse("SNN305", f"{path} is not a file", help=_HELP)
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise refuse("SNN305", f"{path} cannot be read: {error.strerror}", help=_HELP) from error
    if begin == b"\x89HDF\r\n\x1a\n" or path.suffix.lower() in (".h5", ".hdf5"):
        return open_hdf5(path, opened)
    if begin.startswith(np.lib.format.MAGIC_PREFIX):
        return {"inputs": open_npy(path, opened)}

    def kept(name: str, header: Header) -> int:
        if name == "labels":
            return header.size
        if name != "inputs" or (layout := _fitting(header.shape, takes)) is None:
            return 0
        axis = sample_axis(layout, len(header.shape))
        return header.extent(axis, _count(header.shape[axis], samples))

    return open_npz(path, kept, opened)


def _count(there: int, samples: int | None) -> int:
    return there if samples is None else min(there, samples)


def _inputs(name: str, arrays: Mapping[str, Stored]) -> Stored:
    """Numbers named `inputs`. Raises SnnccError (SNN312)."""
    if "inputs" not in arrays:
        held = ", ".join(f"`{each}`" for each in arrays) or "nothing"
        raise refuse("SNN312", f"{name} has no `inputs`; it holds {held}")
    inputs = arrays["inputs"]
    if inputs.dtype.kind not in "biuf" or inputs.dtype.itemsize > 8:
        said = f"the inputs in {name} are {inputs.dtype}, not numbers of up to 64 bits"
        raise refuse("SNN312", said)
    return inputs


def _arrays(
    name: str,
    arrays: Mapping[str, Stored],
    takes: Takes,
    samples: int | None,
    classes: int | None,
    demanded: list[Demand],
) -> _Checked:
    inputs = arrays["inputs"]
    found = inputs.shape
    layout = _fitting(found, takes)
    if layout is None:
        raise _wrong_shape(name, found, takes)
    axis = sample_axis(layout, len(found))
    if not found[axis]:
        raise refuse("SNN312", f"{name} holds no samples: its inputs have shape {found}")
    count = _count(found[axis], samples)
    try:
        bounds = check_values(blocks(inputs, axis, count), axis, demanded, name)
        labels = None
        if "labels" in arrays:
            stored = arrays["labels"]
            if stored.shape != (found[axis],):
                said = f"the labels in {name} have shape {stored.shape} for {found[axis]} samples"
                raise refuse("SNN312", said)
            if stored.dtype.kind not in "iu":
                said = f"the labels in {name} are {stored.dtype}, not whole numbers"
                raise refuse("SNN312", said)
            labels = _checked_labels(stored.take(0, 0, count), name, classes)
    except (EOFError, OSError) as error:
        raise damaged(name, "inputs") from error
    return _Checked(inputs, layout, axis, count, labels, bounds)


def _data_set(
    data: DataSet,
    takes: Takes,
    samples: int | None,
    classes: int | None,
    demanded: list[Demand],
) -> _Checked:
    for layout, shape in takes.items():
        axis = sample_axis(layout, len(shape))
        if data.sample == (*shape[:axis], *shape[axis + 1 :]):
            break
    else:
        raise _wrong_shape(data.name, data.sample, takes, of="a sample of")
    bounds = check_values(data.blocks(axis, samples), axis, demanded, data.name)
    labels = data.labels
    if labels is not None:
        labels = _checked_labels(labels, data.name, classes)
    return _Checked(data, layout, axis, data.count, labels, bounds)


def _checked_labels(labels: Array, name: str, classes: int | None) -> Array:
    wrong: Any = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        known = "0 up" if classes is None else f"0 to {classes - 1}"
        said = f"labels[{first}] in {name} is {labels[first]}; they go from {known}"
        raise refuse("SNN312", said)
    return labels


def _fitting(found: tuple[int, ...], takes: Takes) -> Layout | None:
    """The first layout whose shape is ``found``, but for the number of samples."""
    for layout, shape in takes.items():
        axis = sample_axis(layout, len(shape))
        if len(found) == len(shape) and found == (*shape[:axis], found[axis], *shape[axis + 1 :]):
            return layout
    return None


def _wrong_shape(
    name: str, found: tuple[int, ...], takes: Takes, of: str = "the inputs in"
) -> SnnccError:
    layout, shape = list(takes.items())[-1]
    axis = sample_axis(layout, len(shape))
    sizes = [str(size) for size in shape]
    if of == "the inputs in":
        sizes[axis] = "N"
    else:
        del sizes[axis]
    has = "have" if of == "the inputs in" else "has"
    said = f"{of} {name} {has} shape {found} and the model takes ({', '.join(sizes)})"
    return refuse("SNN306", said)
