"""Functions that move, cut, join and repeat axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from snncc.frontends.torch.axes import (
    BATCH,
    MixedAxes,
    describe,
    feature_index,
    features,
    permuted,
    reshaped,
    written_out,
)  # fmt: skip
from snncc.frontends.torch.calls.elementwise import constant
from snncc.frontends.torch.calls.table import (
    alias,
    emit,
    filled,
    inside,
    need_features,
    on,
    shape_before,
    sizes,
)  # fmt: skip
from snncc.frontends.torch.guards import OTHERS, for_samples
from snncc.frontends.torch.recorder import Recorder
from snncc.frontends.torch.tracked import Call, Tracked
from snncc.ir.ops import (
    Broadcast,
    Concat,
    Pad,
    Permute,
    Repeat,
    Reshape,
    Slice,
    Upsample,
)  # fmt: skip
from snncc.recognition.rolling import AHEAD


@on("view reshape flatten unflatten view_as reshape_as ravel", "input ~*rest")
def _reshape(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    entry = recorder.tracked(x)
    if result is not x:
        axes = reshaped(entry.axes, x.shape, result.shape, recorder.extent)
        alias(recorder, x, result, axes)


@on("unsqueeze", "input dim")
def _unsqueeze(recorder: Recorder, call: Call) -> None:
    entry, result = recorder.tracked(call["input"]), call.result
    place = call["dim"] % result.dim()
    axes = list(entry.axes)
    axes.insert(place, "1")
    recorder.bind(result, entry.node, tuple(axes))


@on("squeeze", "input dim")
def _squeeze(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    axes = recorder.tracked(x).axes
    shape = shape_before(recorder, x, axes)
    chosen = range(len(axes)) if call["dim"] is None else [
        d % len(axes) for d in sizes(call["dim"], 1)]  # fmt: skip
    gone = {d for d in chosen if shape[d] == 1}
    if any(axes[d] in BATCH for d in gone):
        raise MixedAxes("an axis of time or samples is squeezed away")
    alias(recorder, x, result, tuple(r for d, r in enumerate(axes) if d not in gone))


def _permute_to(recorder: Recorder, x: torch.Tensor, result: torch.Tensor,
                order: Sequence[int]) -> None:  # fmt: skip
    axes, moved = permuted(recorder.tracked(x).axes, order)
    if moved == tuple(range(len(moved))):
        recorder.bind(result, recorder.tracked(x).node, axes)
    else:
        node = recorder.tracked(x).node
        shape = features(axes, result.shape)
        name = recorder.emit(Permute(moved), [node], shape, axes, what="permute")
        recorder.bind(result, name, axes)


@on("permute", "input *dims")
def _permute(recorder: Recorder, call: Call) -> None:
    dims = call["dims"]
    dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    _permute_to(recorder, call["input"], call.result, [d % call.result.dim() for d in dims])


@on("transpose swapaxes swapdims", "input dim0 dim1")
def _transpose(recorder: Recorder, call: Call) -> None:
    order = list(range(call.result.dim()))
    first, second = call["dim0"] % len(order), call["dim1"] % len(order)
    order[first], order[second] = order[second], order[first]
    _permute_to(recorder, call["input"], call.result, order)


@on("t T mT", "input")
def _matrix_transpose(recorder: Recorder, call: Call) -> None:
    order = list(range(call.result.dim()))
    order = order[:-2] + order[-2:][::-1] if call.name == "mT" else order[::-1]
    _permute_to(recorder, call["input"], call.result, order)


@on("movedim moveaxis", "input source destination")
def _movedim(recorder: Recorder, call: Call) -> None:
    with torch._C.DisableTorchFunction():
        marked = torch.empty(tuple(range(2, call.result.dim() + 2)), device="meta")
        marked = marked.movedim(call["source"], call["destination"])
    _permute_to(recorder, call["input"], call.result, [n - 2 for n in marked.shape])


@on("expand expand_as repeat broadcast_to tile", "input ~*sizes")
def _expand(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    entry = recorder.tracked(x)
    missing = result.dim() - len(entry.axes)
    axes = ("1",) * missing + entry.axes
    shape = (1,) * missing + shape_before(recorder, x, entry.axes)
    first_sample = next((d for d, role in enumerate(axes) if "N" in role), 0)
    node, roles = entry.node, list(axes)
    for dim, (role, before, after) in enumerate(zip(axes, shape, result.shape, strict=True)):
        static = recorder.nodes[entry.node].signal.rate == "static"
        once = role == "1" and after == 1 and dim < first_sample and static
        if before == after and not (once and "T" not in roles):
            continue
        in_front = dim <= first_sample or (dim == first_sample + 1 and role == "1")
        if role == "N" and static and "T" not in "".join(roles) and call.name != "expand":
            _set_steps(recorder, after // before)
            roles[dim] = "TN"
            continue
        if role in ("1", "F") and before == 1 and static and in_front and "T" not in roles:
            _set_steps(recorder, after)
            roles[dim] = "T"
        elif role in ("1", "F") and before == 1:
            roles[dim] = "F"
        else:
            raise MixedAxes(f"axis {dim}, {describe(role)}, is repeated")
    final = tuple(roles)
    if "T" in "".join(final) and "T" not in "".join(axes):
        kept = tuple(n for r, n in zip(final, shape, strict=True) if r == "F")
        if kept != recorder.nodes[node].signal.shape:
            node = recorder.emit(Reshape(kept), [node], kept, final, what="reshape")
        node = recorder.emit(Repeat(), [node], kept, final, rate="step", what="repeat")
    wanted = features(final, result.shape)
    if wanted != recorder.nodes[node].signal.shape:
        ones = tuple(n for r, n in zip(final, shape, strict=True) if r == "F")
        if ones != recorder.nodes[node].signal.shape:
            node = recorder.emit(Reshape(ones), [node], ones, final, what="reshape")
        node = recorder.emit(Broadcast(wanted), [node], wanted, final, what="expand")
    recorder.bind(result, node, final)


@on("repeat_interleave", "input repeats dim ~output_size")
def _repeat_interleave(recorder: Recorder, call: Call) -> None:
    """Each sample T times, one behind the other."""
    x, result, dim, times = call["input"], call.result, call["dim"], call["repeats"]
    entry = recorder.tracked(x)
    static = recorder.nodes[entry.node].signal.rate == "static"
    whole = type(times) is int and dim is not None
    if not (whole and static and entry.axes[dim] == "N" and "T" not in "".join(entry.axes)):
        raise recorder.refuse("SNN301", "only the samples of what is the same at each step repeat")
    _set_steps(recorder, times)
    _repeat(recorder, entry, result, dim % len(entry.axes), "NT")


def _repeat(recorder: Recorder, entry: Tracked, result: torch.Tensor, dim: int,
            role: str) -> None:  # fmt: skip
    """``result`` is the static ``entry`` at each step, its axis of samples now ``role``."""
    axes = (*entry.axes[:dim], role, *entry.axes[dim + 1 :])
    shape = recorder.nodes[entry.node].signal.shape
    name = recorder.emit(Repeat(), [entry.node], shape, axes, rate="step", what="repeat")
    recorder.bind(result, name, axes)


def _set_steps(recorder: Recorder, steps: int) -> None:
    if recorder.single_step:
        raise recorder.refuse("SNN112", "forward repeats over time although time_steps was given")
    if recorder.steps not in (None, steps):
        raise recorder.refuse("SNN112", f"forward repeats {steps} times, not {recorder.steps}")
    recorder.steps = steps


@on("getitem", "input index")
def _getitem(recorder: Recorder, call: Call) -> None:
    x, index, result = call["input"], call["index"], call.result
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(i, int | slice | np.integer | type(...) | type(None)) for i in items):
        raise recorder.refuse("SNN301", "indexing by a list or a tensor is not supported")
    entry = recorder.tracked(x)
    items = written_out(index, len(entry.axes))
    at = _step(recorder, x, items)
    if at is not None and recorder.unrolled:
        entry, at = replace(entry, node=recorder.at_step(entry.node, at)), None
    with recorder.numbering.call([entry if at is None else replace(entry, at=at)]):
        _take(recorder, entry, items, x, result)


def _step(recorder: Recorder, x: torch.Tensor, items: Sequence[Any]) -> int | None:
    """The time step that an index picks."""
    place = 0
    for item in items:
        if item is None:
            continue
        role, size = recorder.tracked(x).axes[place], x.shape[place]
        if role == "T" and isinstance(item, int):
            return item % size
        step = _folded_step(recorder, role, item) if isinstance(item, slice) else None
        if step is not None:
            return step
        place += 1
    return None


def _slices(recorder: Recorder, item: slice) -> dict[int, slice]:
    """A slice as it is for any number of samples."""
    ends = (item.start, item.stop, item.step)
    return {
        samples: slice(*(for_samples(end, samples) for end in ends))
        for samples in (recorder.samples, *OTHERS)
    }


def is_whole(recorder: Recorder, role: str, size: int, item: slice) -> bool:
    """Whether a slice takes all of an axis."""
    if "N" not in role:
        return range(size)[item] == range(size)
    times = size // recorder.samples
    return all(
        range(times * samples)[each] == range(times * samples)
        for samples, each in _slices(recorder, item).items()
    )


def _folded_step(recorder: Recorder, role: str, item: slice) -> int | None:
    """The step that a slice takes of time and samples in one axis, if it is all of one step."""
    steps = recorder.steps
    if role not in ("TN", "NT") or steps in (None, 1):
        return None
    found = {
        _step_in(role, steps, samples, range(steps * samples)[each])
        for samples, each in _slices(recorder, item).items()
    }
    return found.pop() if len(found) == 1 else None


def _step_in(role: str, steps: int, samples: int, taken: range) -> int | None:
    """The step whose samples these are."""
    for at in range(steps):
        of_step = range(at * samples, (at + 1) * samples)
        if taken == (of_step if role == "TN" else range(at, steps * samples, steps)):
            return at
    return None


def _take(recorder: Recorder, entry: Tracked, items: Sequence[Any], x: torch.Tensor,
          result: torch.Tensor) -> None:  # fmt: skip
    node, axes, dim = entry.node, [], 0
    for item in items:
        if item is None:
            axes.append("1")
            continue
        role, size = entry.axes[dim], x.shape[dim]
        rank = entry.axes[:dim].count("F")
        dim += 1
        if isinstance(item, slice) and is_whole(recorder, role, size, item):
            axes.append(role)
        elif role == "F":
            node = _cut(recorder, node, rank, size, item)
            if not isinstance(item, int):
                axes.append("F")
        elif role == "1":
            if not isinstance(item, int):
                axes.append("1")
        elif isinstance(item, slice) and _folded_step(recorder, role, item) is not None:
            axes.append("N")
        elif role != "T" or not isinstance(item, int):
            raise recorder.refuse("SNN301", f"part of {describe(role)} is picked out")
    shape = features(tuple(axes), result.shape)
    if shape != recorder.nodes[node].signal.shape:
        node = recorder.emit(Reshape(shape), [node], shape, tuple(axes), what="reshape")
    recorder.bind(result, node, tuple(axes))


@on("narrow", "input dim start length")
def _narrow(recorder: Recorder, call: Call) -> None:
    size, start = call["input"].shape[call["dim"]], call["start"]
    start = int(start) if isinstance(start, torch.Tensor) else start
    start += size if start < 0 else 0
    _along(recorder, call, slice(start, start + call["length"]))


@on("select", "input dim index")
def _select(recorder: Recorder, call: Call) -> None:
    _along(recorder, call, int(call["index"]))


def _along(recorder: Recorder, call: Call, item: int | slice) -> None:
    """Part of one axis, as indexing by a tuple would take it."""
    place = call["dim"] % call["input"].dim()
    index = (*[slice(None)] * place, item)
    _getitem(recorder, Call("getitem", {"input": call["input"], "index": index}, call.result))


def _cut(recorder: Recorder, node: str, axis: int, size: int, item: Any) -> str:
    """Part of one feature axis; an integer keeps it with size 1."""
    if isinstance(item, int):
        start = item % size
        cut = range(start, start + 1)
    else:
        cut = range(*item.indices(size))
    shape = list(recorder.nodes[node].signal.shape)
    shape[axis] = len(cut)
    op = Slice(axis, cut.start, cut.stop, cut.step)
    return recorder.emit(op, [node], shape, what="slice")


@on("split chunk unbind tensor_split unsafe_chunk iter", "input size dim=0")
def _split(recorder: Recorder, call: Call) -> Any:
    x = call["input"]
    pieces, size = list(call.result), call["size"]
    entry = recorder.tracked(x)
    dim = size if call.name == "unbind" and size is not None else call["dim"]
    dim = 0 if call.name == "iter" else int(dim) % len(entry.axes)
    gone = call.name in ("unbind", "iter")
    if entry.axes[dim] == "T" and len(pieces) == x.shape[dim]:
        axes = (*entry.axes[:dim], *(() if gone else ("1",)), *entry.axes[dim + 1 :])
        for at, piece in enumerate(pieces):
            recorder.place(piece, entry.node, axes, at)
    elif not gone and _are_steps(recorder, entry.axes[dim], call, size):
        axes = (*entry.axes[:dim], "N", *entry.axes[dim + 1 :])
        for at, piece in enumerate(pieces):
            recorder.place(piece, entry.node, axes, at)
    else:
        _cut_up(recorder, x, pieces, dim, gone)
    return iter(pieces) if call.name == "iter" else None


def _are_steps(recorder: Recorder, role: str, call: Call, size: Any) -> bool:
    """Whether an axis of steps, all samples of one behind those of another, is cut into them."""
    steps = recorder.steps
    if role != "TN" or steps is None or size is None:
        return False
    if call.name != "split" and isinstance(size, int):
        return type(size) is int and size == steps
    if not isinstance(size, int | list | tuple):
        return False

    def cuts(samples: int) -> bool:
        ends = [for_samples(n, samples) for n in ([size] if isinstance(size, int) else size)]
        if call.name == "tensor_split":
            return ends == [at * samples for at in range(1, steps)]
        return ends == [samples] * (1 if isinstance(size, int) else steps)

    return all(cuts(samples) for samples in (recorder.samples, *OTHERS))


def _cut_up(recorder: Recorder, x: torch.Tensor, pieces: Sequence[torch.Tensor], dim: int,
            gone: bool) -> None:  # fmt: skip
    node, axes = recorder.solid(x)
    axis = feature_index(axes, dim)
    start = 0
    for piece in pieces:
        size = 1 if gone else piece.shape[dim]
        own = axes[:dim] + axes[dim + 1 :] if gone else axes
        cut = _cut(recorder, node, axis, x.shape[dim], slice(start, start + size))
        shape = features(own, piece.shape)
        if gone:
            cut = recorder.emit(Reshape(shape), [cut], shape, own, what="reshape")
        recorder.bind(piece, cut, own)
        start += size


@on("cat concat concatenate", "tensors dim=0")
def _cat(recorder: Recorder, call: Call) -> None:
    tensors, dim = list(call["tensors"]), int(call["dim"]) % call.result.dim()
    if _joins_steps(recorder, call.result, tensors, dim, new=False):
        return
    entries = [recorder.tracked(t) for t in tensors if recorder.is_tracked(t)]
    same = len(entries) == len(tensors) and len({(e.node, e.axes) for e in entries}) == 1
    of_samples = same and len(tensors) > 1 and entries[0].axes[dim] == "N"
    if of_samples and recorder.nodes[entries[0].node].signal.rate == "static":
        _set_steps(recorder, len(tensors))
        _repeat(recorder, entries[0], call.result, dim, "TN")
        return
    _join(recorder, call.result, tensors, dim)


def _join(recorder: Recorder, result: torch.Tensor, tensors: list[torch.Tensor],
          dim: int) -> None:  # fmt: skip
    solids = [recorder.solid(t) if recorder.is_tracked(t) else None for t in tensors]
    axes, *others = dict.fromkeys(solid[1] for solid in solids if solid)
    if others:
        raise MixedAxes("the parts have different axes")
    op = Concat(feature_index(axes, dim))
    nodes = [
        solid[0] if solid else constant(recorder, tensor, axes, whole=True)
        for solid, tensor in zip(solids, tensors, strict=True)
    ]
    name = recorder.emit(op, nodes, features(axes, result.shape), axes, what="cat")
    recorder.bind(result, name, axes)


@on("stack", "tensors dim=0")
def _stack(recorder: Recorder, call: Call) -> None:
    tensors, result = list(call["tensors"]), call.result
    dim = call["dim"] % result.dim()
    if _joins_steps(recorder, result, tensors, dim, new=True):
        return
    entries = [recorder.tracked(t) for t in tensors if recorder.is_tracked(t)]
    first = entries[0]
    sample = next((d for d, role in enumerate(first.axes) if "N" in role), 0)
    same = len(entries) == len(tensors) and len({e.node for e in entries}) == 1
    static = recorder.nodes[first.node].signal.rate == "static"
    if same and static and dim <= sample + 1 and not any("T" in r for r in first.axes):
        _set_steps(recorder, len(tensors))
        axes = (*first.axes[:dim], "T", *first.axes[dim:])
        shape = recorder.nodes[first.node].signal.shape
        name = recorder.emit(Repeat(), [first.node], shape, axes, rate="step", what="repeat")
        recorder.bind(result, name, axes)
        return
    if dim <= sample:
        raise recorder.refuse("SNN301", "steps are stacked one by one, as in a loop over time")
    with torch._C.DisableTorchFunction():
        parts = [t.unsqueeze(dim) for t in tensors]
    for part, tensor in zip(parts, tensors, strict=True):
        if recorder.is_tracked(tensor):
            entry = recorder.tracked(tensor)
            recorder.bind(part, entry.node, (*entry.axes[:dim], "1", *entry.axes[dim:]))
        else:
            recorder.remember(part)
    _join(recorder, result, parts, dim)


def _joins_steps(recorder: Recorder, result: torch.Tensor, tensors: Sequence[torch.Tensor],
                 dim: int, new: bool) -> bool:  # fmt: skip
    """Whether ``tensors`` are the steps of a loop that is written down, which then are joined.

    They are as many as there are steps, of one op and different, the first ones aside.
    """
    tracked = [recorder.tracked(t) for t in tensors if recorder.is_tracked(t)]
    axes, dim = list(tracked[0].axes), dim % result.dim()
    steps = recorder.steps or max(len(tensors), 3)
    as_many = recorder.unrolled and len(tensors) == steps and len(tracked) >= max(steps - AHEAD, 2)
    nodes = [recorder.nodes[entry.node] for entry in tracked]
    ops = {node.op for node in nodes[AHEAD:]}
    static = all(node.signal.rate == "static" for node in nodes)
    same = len({entry.axes for entry in tracked}) == 1
    if not as_many or not static or not same or len(ops) > 1:
        return False
    if not new and axes[dim] not in ("1", "N"):
        return False
    names = [
        recorder.tracked(t).node if recorder.is_tracked(t) else constant(
            recorder, t, tuple(axes), whole=True) for t in tensors
    ]  # fmt: skip
    if len(set(names)) == 1:
        return False
    if new:
        axes.insert(dim, "T")
    else:
        axes[dim] = "T" if axes[dim] == "1" else "TN"
    recorder.bind(result, recorder.all_steps(names, tuple(axes)), tuple(axes))
    return True


@on("pad", "input pad mode value")
def _pad(recorder: Recorder, call: Call) -> None:
    x, widths = call["input"], list(call["pad"])
    if call["mode"] not in (None, "constant"):
        raise recorder.refuse("SNN301", "only padding with a constant is known here")
    if not any(widths):
        alias(recorder, x, call.result, recorder.tracked(x).axes)
        return
    _, axes = recorder.solid(x)
    pairs = [(0, 0)] * axes.count("F")
    for offset in range(len(widths) // 2):
        before, after = widths[2 * offset], widths[2 * offset + 1]
        if before or after:
            pairs[feature_index(axes, -1 - offset)] = (before, after)
    if min(n for pair in pairs for n in pair) < 0:
        raise recorder.refuse("SNN301", "negative padding is not known here")
    emit(recorder, Pad(tuple(pairs)), x, call.result, "pad")
    if call["value"]:
        node, shape = recorder.tracked(call.result).node, features(axes, call.result.shape)
        kept = np.zeros(shape, bool)
        kept[inside(Pad(tuple(pairs)), shape)] = True
        there = np.where(kept, 0.0, float(call["value"]))
        recorder.bind(call.result, filled(recorder, node, there, kept, axes), axes)


@on("interpolate upsample",
     "input ~size scale_factor mode='nearest' align_corners recompute_scale_factor "
     "antialias=False")  # fmt: skip
def _interpolate(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    _, axes = recorder.solid(x)
    rank = len(axes) - 2
    need_features(axes, rank)
    factors = [after / before for before, after in
               zip(x.shape[-rank:], result.shape[-rank:], strict=True)]  # fmt: skip
    asked, again = call["scale_factor"], call["recompute_scale_factor"]
    wanted = factors if asked is None else [float(f) for f in (
        asked if isinstance(asked, list | tuple) else [asked] * rank)]  # fmt: skip
    wanted = factors if again else wanted
    if call["mode"] != "nearest" or wanted != factors or any(f != int(f) for f in factors):
        raise recorder.refuse("SNN301", "only nearest upsampling by whole factors is supported")
    emit(recorder, Upsample(tuple(map(int, factors))), x, result, "upsample")
