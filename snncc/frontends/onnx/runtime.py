"""What onnxruntime computes of a file: an opinion that owes nothing to this code."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from snncc.frontends.onnx.reading import File


def outputs_of(
    file: File, states: Mapping[str, str], x: torch.Tensor, steps: int | None
) -> Mapping[str, torch.Tensor] | None:
    """The outputs of ``file`` for ``x`` by name; ``states``: inputs to outputs of the step before.

    A file with a fixed number of samples gets so many at a time. With states, ``x`` is of one step,
    the same at each of ``steps``, or has the steps in front. None where onnxruntime is missing or
    does not run the file.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    try:
        return _run(_session(file.data), file, states, x, steps)
    except Exception:  # whatever it raises for a kernel that it does not have
        return None


@lru_cache(1)
def _session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(data, options)


def _run(
    session: Any, file: File, states: Mapping[str, str], x: torch.Tensor, steps: int | None
) -> Mapping[str, torch.Tensor]:
    name = file.body.inputs[0]
    types = {each.name: each.type for each in session.get_inputs()}
    real = np.float64 if "double" in types[name] else np.float32
    data = x.detach().numpy().astype(real)
    wanted = file.shapes[name]
    lead = data.ndim - len(wanted)
    fixed = [axis for axis, size in enumerate(wanted)
             if isinstance(size, int) and size != data.shape[axis + lead]]  # fmt: skip
    if len(fixed) > 1:
        raise ValueError("the input has another shape")
    axis = fixed[0] + lead if fixed else None
    size = data.shape[axis] if axis is not None else 0
    own = int(wanted[fixed[0]]) if fixed else 0
    parts: list[list[np.ndarray]] = []
    counts: list[int] = []
    names = [each for each in file.body.outputs if each not in states.values()]
    for start in range(0, size, own) if axis is not None else [0]:
        part = data
        if axis is not None:
            places = [min(start + n, size - 1) for n in range(own)]
            counts.append(min(own, size - start))
            part = data.take(places, axis)
        parts.append(_outputs(session, file, states, names, part, steps, lead))
    if axis is None:
        return {n: torch.from_numpy(np.array(v)) for n, v in zip(names, parts[0], strict=True)}
    joined: dict[str, torch.Tensor] = {}
    for place, each in enumerate(names):
        whole = [part[place] for part in parts]
        along = next(a for a, n in enumerate(whole[0].shape) if n == own)
        if axis - lead < whole[0].ndim and whole[0].shape[axis - lead] == own and not states:
            along = axis - lead
        cut = [v.take(range(n), along) for v, n in zip(whole, counts, strict=True)]
        joined[each] = torch.from_numpy(np.concatenate(cut, along))
    return joined


def _outputs(
    session: Any, file: File, states: Mapping[str, str], names: list[str], data: np.ndarray,
    steps: int | None, lead: int,
) -> list[np.ndarray]:  # fmt: skip
    (first, *others) = file.body.inputs
    if not states:
        return [np.asarray(v) for v in session.run(names, {first: data})]
    samples = data.shape[lead]
    kept = {
        n: np.zeros([size if isinstance(size, int) else samples for size in file.shapes[n]],
                    data.dtype)
        for n in others
    }  # fmt: skip
    shown: list[list[np.ndarray]] = []
    for t in range(steps or 1):
        now = data[t] if lead else data
        ran = session.run([*names, *states.values()], {first: now, **kept})
        shown.append(ran[: len(names)])
        kept = dict(zip(states, ran[len(names) :], strict=True))
    return [np.stack(values) for values in zip(*shown, strict=True)]
