"""Recorded inputs: DATA.npz with `inputs` in the model's layout and, for accuracy, `labels`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snncc.diagnostics import SnnccError, refuse

Layout = Literal["TN", "N", "NT"]
"""The order of the leading axes: time and samples, samples alone, samples and time."""

Array = npt.NDArray[Any]

InputKind = Literal["spike", "count", "analog"]

SAMPLE_AXIS: dict[Layout, int] = {"TN": 1, "N": 0, "NT": 0}


@dataclass(frozen=True, eq=False)
class Data:
    """`inputs` as the file holds them; `labels` (N,) are whole numbers from 0 up, or absent."""

    inputs: Array
    labels: Array | None


def read_data(
    path: str | Path,
    *,
    shape: tuple[int, ...],
    layout: Layout,
    input: InputKind | None = None,
    classes: int | None = None,
    largest: float = math.inf,
) -> Data:
    """Read recordings for a model whose example input has ``shape``, all axes included.

    The number of samples is free, every other axis must match. With ``input`` "spike" all values
    are 0 or 1, with "count" whole numbers from 0 to ``largest``. ``classes`` bounds the labels.

    Raises SNN305 where the file is not there or no .npz, SNN306 where the shape does not fit,
    SNN312 where the values or the labels cannot be used.
    """
    path = Path(path)
    arrays = _arrays(path)
    if "inputs" not in arrays:
        held = ", ".join(f"`{name}`" for name in arrays) or "nothing"
        raise refuse("SNN312", f"{path} has no `inputs`; it holds {held}")
    inputs = arrays["inputs"]
    if inputs.dtype.kind not in "biuf":
        raise refuse("SNN312", f"the inputs in {path} are {inputs.dtype}, not numbers")

    axis = SAMPLE_AXIS[layout]
    samples = inputs.shape[axis] if inputs.ndim > axis else 0
    if inputs.shape != (*shape[:axis], samples, *shape[axis + 1 :]):
        raise _wrong_shape(path, inputs.shape, shape, axis)
    if not samples:
        raise refuse("SNN312", f"{path} holds no samples: its inputs have shape {inputs.shape}")

    _check_values(path, inputs, input, largest)
    if "labels" not in arrays:
        return Data(inputs, None)
    labels = arrays["labels"]
    _check_labels(path, labels, samples, classes)
    return Data(inputs, labels)


def _arrays(path: Path) -> dict[str, Array]:
    if not path.exists():
        raise refuse("SNN305", f"{path} does not exist")
    if not path.is_file():
        raise refuse("SNN305", f"{path} is not a file")
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:
        raise _not_npz(path) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _not_npz(path)
    arrays = {}
    with archive:
        for name in archive.files:
            try:
                array = archive[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise _damaged(path, name) from error
                reason = f"`{name}` in {path} holds Python objects, which are never unpickled"
                raise refuse("SNN312", reason) from error
            except Exception as error:
                raise _damaged(path, name) from error
            if isinstance(array, np.ndarray):
                arrays[name] = array
    return arrays


def _not_npz(path: Path) -> SnnccError:
    return refuse(
        "SNN305",
        f"{path} is not an .npz file, or is damaged",
        help="write it with numpy.savez(path, inputs=..., labels=...)",
    )


def _damaged(path: Path, name: str) -> SnnccError:
    return refuse("SNN305", f"`{name}` in {path} is damaged or cut short")


def _wrong_shape(
    path: Path, found: tuple[int, ...], shape: tuple[int, ...], axis: int
) -> SnnccError:
    wanted = ", ".join("N" if i == axis else str(size) for i, size in enumerate(shape))
    return refuse(
        "SNN306", f"the inputs in {path} have shape {found} and the model takes ({wanted})"
    )


def _check_values(path: Path, inputs: Array, kind: InputKind | None, largest: float) -> None:
    if inputs.dtype.kind == "f":
        _refuse_where(~np.isfinite(inputs), inputs, path, "not finite")
    if kind == "spike":
        _refuse_where(
            (inputs != 0) & (inputs != 1),
            inputs,
            path,
            "neither 0 nor 1",
            help="declare --input count or --input analog, or binarise the data",
        )
    elif kind == "count":
        _refuse_where(
            (inputs < 0) | (inputs != np.floor(inputs)),
            inputs,
            path,
            "no counts, that is whole numbers from 0 up",
            help="declare --input analog, or give event counts",
        )
        _refuse_where(
            inputs > largest,
            inputs,
            path,
            f"above {largest:g}, up to which counts are proved; the largest is {inputs.max():g}",
            help=f"give counts of at most {largest:g}, or compile with --input analog",
        )


def _refuse_where(
    wrong: npt.NDArray[np.bool_],
    inputs: Array,
    path: Path,
    what: str,
    help: str = "",
) -> None:
    count = int(wrong.sum())
    if not count:
        return
    first = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    raise refuse(
        "SNN312",
        f"{count} of {wrong.size} inputs in {path} are {what}, the first at "
        f"inputs[{', '.join(map(str, first))}] = {inputs[first]}",
        help=help,
    )


def _check_labels(path: Path, labels: Array, samples: int, classes: int | None) -> None:
    if labels.shape != (samples,):
        raise refuse(
            "SNN312", f"the labels in {path} have shape {labels.shape} for {samples} samples"
        )
    if labels.dtype.kind not in "iu":
        raise refuse("SNN312", f"the labels in {path} are {labels.dtype}, not whole numbers")
    wrong = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        known = "0 up" if classes is None else f"0 to {classes - 1}"
        raise refuse(
            "SNN312", f"labels[{first}] in {path} is {labels[first]}; they go from {known}"
        )
