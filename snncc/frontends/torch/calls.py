"""What each torch function means: one handler a family, one table for all.

A handler reads a ``Call``, emits nodes and binds the tensors the call returned. The table maps
the plain name of a function (``add`` for ``add_``, ``__add__``, ``torch.add``) to its parameter
names and handler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from snncc.frontends.torch.axes import (
    BATCH, Axes, MixedAxes, broadcast, feature_index, features, permuted, reshaped,
)  # fmt: skip
from snncc.frontends.torch.recorder import Call, Handler, Recorder, constant_number
from snncc.ir.elementwise import ARITY
from snncc.ir.ops import (
    AdaptivePool, Argmax, Broadcast, Concat, Constant, Conv, Dense, Elementwise, Identity, MatMul,
    Norm, Normalise, Op, OverTime, Pad, Permute, Pool, Reduce, Ref, Repeat, Reshape, Scale, Slice,
    Softmax, Upsample,
)  # fmt: skip

HANDLERS: dict[str, tuple[tuple[str, ...], Handler]] = {}


def _on(names: str, parameters: str) -> Any:
    """Enter the decorated handler for each of ``names``."""

    def enter(handler: Handler) -> Handler:
        for name in names.split():
            HANDLERS[name] = (tuple(parameters.split()), handler)
        return handler

    return enter


def _emit(recorder: Recorder, op: Op, source: torch.Tensor, result: torch.Tensor, what: str,
          axes: Axes | None = None) -> None:  # fmt: skip
    """One node from one tensor to one tensor, axes kept unless given."""
    node, own = recorder.solid(source)
    axes = own if axes is None else axes
    name = recorder.emit(op, [node], features(axes, result.shape), axes, what=what)
    recorder.bind(result, name, axes)


def _alias(recorder: Recorder, source: torch.Tensor, result: torch.Tensor, axes: Axes) -> None:
    """The same values under other axes, their features in the same order."""
    entry = recorder.tracked(source)
    shape = features(axes, result.shape)
    if shape == recorder.nodes[entry.node].signal.shape:
        recorder.bind(result, entry.node, axes)
    else:
        name = recorder.emit(Reshape(shape), [entry.node], shape, axes, what="reshape")
        recorder.bind(result, name, axes)


def _tuple(value: int | Sequence[int], length: int) -> tuple[int, ...]:
    items = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return items * length if len(items) == 1 else items


def _optional(recorder: Recorder, tensor: torch.Tensor | None, what: str) -> Ref | None:
    return None if tensor is None else recorder.ref(tensor, what)


def _need_spatial(axes: Axes, rank: int) -> None:
    """The last ``rank`` axes are features and what is before them holds the samples in front."""
    if any(role != "F" for role in axes[-rank:]):
        raise MixedAxes("a layer slides over time or samples")


# -- linear layers -----------------------------------------------------------------------------


@_on("conv1d conv2d conv3d", "input weight bias stride=1 padding=0 dilation=1 groups=1")
def _conv(recorder: Recorder, call: Call) -> None:
    x, weight = call["input"], call["weight"]
    rank = weight.dim() - 2
    _, axes = recorder.solid(x)
    _need_spatial(axes, rank + 1)
    if len(axes) != rank + 2:
        raise MixedAxes("a convolution needs one axis of samples")
    stride, dilation = _tuple(call["stride"], rank), _tuple(call["dilation"], rank)
    padding = call["padding"]
    if padding == "valid":
        padding = 0
    elif padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(r % 2 for r in reach):
            raise recorder.refuse("SNN301", "padding='same' around an even kernel is lopsided")
        padding = [r // 2 for r in reach]
    op = Conv(
        recorder.ref(weight, "weight"), _optional(recorder, call["bias"], "bias"), stride,
        _tuple(padding, rank), dilation, int(call["groups"]),
    )  # fmt: skip
    _emit(recorder, op, x, call.result, "conv")


@_on("linear", "input weight bias")
def _linear(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    _need_spatial(axes, 1)
    op = Dense(recorder.ref(call["weight"], "weight"), _optional(recorder, call["bias"], "bias"))
    _emit(recorder, op, call["input"], call.result, "linear")


@_on("batch_norm",
     "input running_mean running_var weight bias training=False momentum eps")  # fmt: skip
def _batch_norm(recorder: Recorder, call: Call) -> None:
    if call["training"]:
        raise recorder.refuse("SNN308", "a batch norm takes its statistics from the batch")
    _, axes = recorder.solid(call["input"])
    if feature_index(axes, 1) != 0:
        raise MixedAxes("the channels of a batch norm are not the first feature axis")
    op = Norm(
        recorder.ref(call["running_mean"], "mean"), recorder.ref(call["running_var"], "variance"),
        _optional(recorder, call["weight"], "weight"), _optional(recorder, call["bias"], "bias"),
        float(call["eps"]),
    )  # fmt: skip
    _emit(recorder, op, call["input"], call.result, "batch_norm")


@_on("layer_norm", "input normalized_shape weight bias eps")
def _layer_norm(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    count = len(call["normalized_shape"])
    _need_spatial(axes, count)
    total = axes.count("F")
    op = Normalise(
        "layer", _optional(recorder, call["weight"], "weight"),
        _optional(recorder, call["bias"], "bias"), float(call["eps"] or 1e-5),
        tuple(range(total - count, total)),
    )  # fmt: skip
    _emit(recorder, op, call["input"], call.result, "layer_norm")


@_on("group_norm", "input num_groups weight bias eps")
def _group_norm(recorder: Recorder, call: Call) -> None:
    op = Normalise(
        "group", _optional(recorder, call["weight"], "weight"),
        _optional(recorder, call["bias"], "bias"), float(call["eps"] or 1e-5), (),
        int(call["num_groups"]),
    )  # fmt: skip
    _emit(recorder, op, call["input"], call.result, "group_norm")


@_on("instance_norm",
     "input running_mean running_var weight bias use_input_stats=True momentum eps")  # fmt: skip
def _instance_norm(recorder: Recorder, call: Call) -> None:
    if not call["use_input_stats"]:
        call.arguments["training"] = False  # type: ignore[index]
        return _batch_norm(recorder, call)  # type: ignore[no-any-return]
    groups = call["input"].shape[1]
    op = Normalise(
        "instance", _optional(recorder, call["weight"], "weight"),
        _optional(recorder, call["bias"], "bias"), float(call["eps"] or 1e-5), (), int(groups),
    )  # fmt: skip
    _emit(recorder, op, call["input"], call.result, "instance_norm")


# -- pools -------------------------------------------------------------------------------------


def _pool(recorder: Recorder, call: Call, kind: Any, dilation: Any, counting: bool) -> None:
    rank = int(call.name[-2])
    x = call["input"]
    _, axes = recorder.solid(x)
    _need_spatial(axes, rank)
    if isinstance(call.result, tuple):
        raise recorder.refuse("SNN301", "a max pool with indices is not known here")
    kernel = _tuple(call["kernel_size"], rank)
    stride = _tuple(call["stride"], rank) if call["stride"] not in (None, [], ()) else kernel
    op = Pool(kind, kernel, stride, _tuple(call["padding"], rank), _tuple(dilation, rank),
              bool(call["ceil_mode"]), counting)  # fmt: skip
    _emit(recorder, op, x, call.result, "pool")


@_on("max_pool1d max_pool2d max_pool3d",
     "input kernel_size stride padding=0 dilation=1 ceil_mode=False return_indices=False")  # fmt: skip
def _max_pool(recorder: Recorder, call: Call) -> None:
    _pool(recorder, call, "max", call["dilation"], True)


@_on("avg_pool1d avg_pool2d avg_pool3d",
     "input kernel_size stride padding=0 ceil_mode=False count_include_pad=True divisor_override")  # fmt: skip
def _average_pool(recorder: Recorder, call: Call) -> None:
    if call["divisor_override"] is not None:
        raise recorder.refuse("SNN301", "an average pool with divisor_override is not known here")
    _pool(recorder, call, "average", 1, bool(call["count_include_pad"]))


@_on("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d", "input output_size")
def _adaptive_pool(recorder: Recorder, call: Call) -> None:
    rank = int(call.name[-2])
    _, axes = recorder.solid(call["input"])
    _need_spatial(axes, rank)
    op = AdaptivePool(tuple(int(n) for n in call.result.shape[-rank:]))
    _emit(recorder, op, call["input"], call.result, "pool")


# -- elementwise -------------------------------------------------------------------------------


def _elementwise(recorder: Recorder, function: str, operands: Sequence[Any],
                 result: torch.Tensor) -> None:  # fmt: skip
    tensors = [x for x in operands if recorder.is_tracked(x)]
    axes = broadcast([recorder.tracked(x).axes for x in tensors])
    if "1" in axes or any("1" in recorder.tracked(x).axes for x in tensors):
        padded = [("",) * (len(axes) - len(a)) + a for a in
                  (recorder.tracked(x).axes for x in tensors)]  # fmt: skip
        for x, own in zip(tensors, padded, strict=True):
            if any(mine == "1" and joint in ("F", "1") for mine, joint in zip(own, axes, strict=True)):
                recorder.solid(x)
        axes = broadcast([recorder.tracked(x).axes for x in tensors])
    missing = result.dim() - len(axes)
    if any(n != 1 for n in result.shape[:missing]):
        raise MixedAxes("a constant brings a new axis in front")
    axes = ("1",) * missing + axes
    inputs = [
        recorder.tracked(x).node if recorder.is_tracked(x) else _constant(recorder, x, axes)
        for x in operands
    ]
    name = recorder.emit(
        Elementwise(function), inputs, features(axes, result.shape), axes, what=function
    )
    recorder.bind(result, name, axes)


def _constant(recorder: Recorder, value: Any, axes: Axes) -> str:
    """A node for a number, or for a constant tensor without its axes of time and samples."""
    if not isinstance(value, torch.Tensor):
        return recorder.number(float(value))
    if value.numel() == 1:
        return recorder.number(float(value))
    tensor = value
    own = axes[len(axes) - value.dim() :]
    for dim in reversed(range(len(own))):
        if own[dim] != "F":
            first = tensor.narrow(dim, 0, 1)
            if not bool((tensor == first).all()):
                raise MixedAxes("a constant differs from step to step or from sample to sample")
            tensor = first.squeeze(dim)
    if tensor.numel() == 1:
        return recorder.number(float(tensor))
    whole = tensor.shape == value.shape
    ref = recorder.ref(value, "constant") if whole else recorder.array(
        tensor.detach().numpy(), "constant")  # fmt: skip
    return recorder.emit(Constant(ref), (), tensor.shape, what=f"tensor:{ref}", rate="static")


@_on("add sub rsub", "input other alpha=1")
def _add(recorder: Recorder, call: Call) -> None:
    x, y, alpha = call["input"], call["other"], call["alpha"]
    if call.name == "rsub":
        x, y = y, x
    if alpha != 1:
        with torch._C.DisableTorchFunction():
            scaled = y * alpha
        if recorder.is_tracked(y):
            _elementwise(recorder, "mul", (y, alpha), scaled)
        else:
            recorder.remember(scaled)
        y = scaled
    _elementwise(recorder, "sub" if call.name.endswith("sub") else "add", (x, y), call.result)


@_on("radd rmul", "other input")
def _reflected(recorder: Recorder, call: Call) -> None:
    _elementwise(recorder, call.name[1:], (call["input"], call["other"]), call.result)


@_on("div true_divide truediv divide", "input other rounding_mode")
def _divide(recorder: Recorder, call: Call) -> None:
    if call["rounding_mode"] is not None:
        raise recorder.refuse("SNN301", "a division that rounds is not known here")
    _elementwise(recorder, "div", (call["input"], call["other"]), call.result)


@_on("rdiv rtruediv", "input other")
def _reflected_divide(recorder: Recorder, call: Call) -> None:
    _elementwise(recorder, "div", (call["other"], call["input"]), call.result)


@_on("reciprocal", "input")
def _reciprocal(recorder: Recorder, call: Call) -> None:
    _elementwise(recorder, "div", (1.0, call["input"]), call.result)


@_on("clamp clip hardtanh", "input min max inplace=False")
def _clamp(recorder: Recorder, call: Call) -> None:
    low, high = call["min"], call["max"]
    if call.name == "hardtanh":
        low = call.arguments.get("min_val", -1.0 if low is None else low)
        high = call.arguments.get("max_val", 1.0 if high is None else high)
    if low is None:
        _elementwise(recorder, "minimum", (call["input"], high), call.result)
    elif high is None:
        _elementwise(recorder, "maximum", (call["input"], low), call.result)
    else:
        name = "hardtanh" if call.name == "hardtanh" else "clamp"
        _elementwise(recorder, name, (call["input"], low, high), call.result)


@_on("clamp_min clamp_max", "input bound")
def _clamp_one(recorder: Recorder, call: Call) -> None:
    name = "maximum" if call.name == "clamp_min" else "minimum"
    _elementwise(recorder, name, (call["input"], call["bound"]), call.result)


@_on("where", "condition input other")
def _where(recorder: Recorder, call: Call) -> None:
    if not isinstance(call.result, torch.Tensor):
        raise recorder.refuse("SNN302", "where turns data of the run into indices")
    _elementwise(
        recorder, "where", (call["condition"], call["input"], call["other"]), call.result
    )


@_on("bitwise_and bitwise_or bitwise_xor and or xor", "input other")
def _bitwise(recorder: Recorder, call: Call) -> None:
    if call.result.dtype != torch.bool:
        raise recorder.refuse("SNN301", f"{call.name} on whole numbers is not known here")
    name = call.name.removeprefix("bitwise_")
    _elementwise(recorder, name, (call["input"], call["other"]), call.result)


@_on("invert bitwise_not", "input")
def _invert(recorder: Recorder, call: Call) -> None:
    if call.result.dtype != torch.bool:
        raise recorder.refuse("SNN301", "~ on whole numbers is not known here")
    _elementwise(recorder, "not", (call["input"],), call.result)


@_on("leaky_relu", "input negative_slope inplace=False")
def _leaky_relu(recorder: Recorder, call: Call) -> None:
    slope = 0.01 if call["negative_slope"] is None else call["negative_slope"]
    _elementwise(recorder, "leaky_relu", (call["input"], slope), call.result)


def _plain(name: str, *parameters: str) -> Handler:
    def handler(recorder: Recorder, call: Call) -> None:
        if isinstance(call.result, torch.Tensor):
            _elementwise(recorder, name, [call[p] for p in parameters], call.result)
        else:
            raise recorder.refuse("SNN301", f"{call.name} with several results is not known here")

    return handler


_SPELLINGS = {
    "mul": "mul multiply", "pow": "pow", "remainder": "remainder fmod mod",
    "minimum": "minimum min", "maximum": "maximum max", "heaviside": "heaviside",
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor",
    "ge": "ge greater_equal", "gt": "gt greater", "le": "le less_equal", "lt": "lt less",
    "eq": "eq", "ne": "ne not_equal", "not": "logical_not", "neg": "neg negative",
    "abs": "abs absolute",
}  # fmt: skip

for _function, _names in _SPELLINGS.items():
    _parameters = ("input", "other")[: ARITY[_function]]
    for _one in _names.split():
        HANDLERS[_one] = (_parameters, _plain(_function, *_parameters))
for _function, _arity in ARITY.items():
    if _arity == 1 and _function not in HANDLERS and _function not in ("not", "nonzero"):
        HANDLERS[_function] = (("input", "inplace=False"), _plain(_function, "input"))


# -- copies and casts --------------------------------------------------------------------------


@_on("contiguous clone detach requires_grad cpu alias to float double type type_as half "
     "bfloat16 bool int long short", "input *rest")  # fmt: skip
def _copy(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    if not isinstance(result, torch.Tensor):
        raise recorder.refuse("SNN302", f"{call.name} turns data of the run into a Python value")
    if result is x:
        return
    if result.dtype == torch.bool and x.dtype != torch.bool:
        _elementwise(recorder, "nonzero", (x,), result)
    elif not result.is_floating_point() and x.is_floating_point():
        _elementwise(recorder, "trunc", (x,), result)
    elif result.dtype in (torch.half, torch.bfloat16):
        raise recorder.refuse("SNN301", "a cast to half precision rounds")
    else:
        recorder.bind(result, recorder.tracked(x).node, recorder.tracked(x).axes)


@_on("data", "input")
def _data(recorder: Recorder, call: Call) -> None:
    entry = recorder.tracked(call["input"])
    recorder.bind(call.result, entry.node, entry.axes, through_data=True)


@_on("dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout",
     "input p training=True inplace=False")  # fmt: skip
def _dropout(recorder: Recorder, call: Call) -> None:
    if call["training"] and call["p"] != 0:
        raise recorder.refuse("SNN308", "a dropout is active")
    if call.result is not call["input"]:
        _emit(recorder, Identity("dropout"), call["input"], call.result, "dropout")


# -- moving axes -------------------------------------------------------------------------------


@_on("view reshape flatten unflatten view_as reshape_as ravel", "input *rest")
def _reshape(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    entry = recorder.tracked(x)
    if result is not x:
        axes = reshaped(entry.axes, x.shape, result.shape, recorder.extent)
        _alias(recorder, x, result, axes)


@_on("unsqueeze", "input dim")
def _unsqueeze(recorder: Recorder, call: Call) -> None:
    entry, result = recorder.tracked(call["input"]), call.result
    place = call["dim"] % result.dim()
    axes = list(entry.axes)
    axes.insert(place, "1")
    recorder.bind(result, entry.node, tuple(axes))


@_on("squeeze", "input dim")
def _squeeze(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    axes = recorder.tracked(x).axes
    shape = _shape_before(recorder, x, axes)
    chosen = range(len(axes)) if call["dim"] is None else [
        d % len(axes) for d in _tuple(call["dim"], 1)]  # fmt: skip
    gone = {d for d in chosen if shape[d] == 1}
    if any(axes[d] in BATCH for d in gone):
        raise MixedAxes("an axis of time or samples is squeezed away")
    _alias(recorder, x, result, tuple(r for d, r in enumerate(axes) if d not in gone))


def _shape_before(recorder: Recorder, x: torch.Tensor, axes: Axes) -> tuple[int, ...]:
    """The shape ``x`` had when it got ``axes`` (an in-place call may have changed it since)."""
    sizes = iter(recorder.signal(x).shape)
    return tuple(
        1 if role == "1" else next(sizes) if role == "F" else recorder.extent.size(role)
        for role in axes
    )


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


@_on("permute", "input *dims")
def _permute(recorder: Recorder, call: Call) -> None:
    dims = call["dims"]
    dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    _permute_to(recorder, call["input"], call.result, [d % call.result.dim() for d in dims])


@_on("transpose swapaxes swapdims", "input dim0 dim1")
def _transpose(recorder: Recorder, call: Call) -> None:
    order = list(range(call.result.dim()))
    first, second = call["dim0"] % len(order), call["dim1"] % len(order)
    order[first], order[second] = order[second], order[first]
    _permute_to(recorder, call["input"], call.result, order)


@_on("t T mT", "input")
def _matrix_transpose(recorder: Recorder, call: Call) -> None:
    order = list(range(call.result.dim()))
    order = order[:-2] + order[-2:][::-1] if call.name == "mT" else order[::-1]
    _permute_to(recorder, call["input"], call.result, order)


@_on("movedim moveaxis", "input source destination")
def _movedim(recorder: Recorder, call: Call) -> None:
    with torch._C.DisableTorchFunction():
        marked = torch.empty(tuple(range(2, call.result.dim() + 2)), device="meta")
        marked = marked.movedim(call["source"], call["destination"])
    _permute_to(recorder, call["input"], call.result, [n - 2 for n in marked.shape])


@_on("expand expand_as repeat broadcast_to tile", "input *sizes")
def _expand(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    entry = recorder.tracked(x)
    missing = result.dim() - len(entry.axes)
    axes = ("1",) * missing + entry.axes
    shape = (1,) * missing + _shape_before(recorder, x, entry.axes)
    first_sample = next((d for d, role in enumerate(axes) if "N" in role), 0)
    node, roles = entry.node, list(axes)
    for dim, (role, before, after) in enumerate(zip(axes, shape, result.shape, strict=True)):
        if before == after:
            continue
        static = recorder.nodes[entry.node].signal.rate == "static"
        in_front = dim <= first_sample or (dim == first_sample + 1 and role == "1")
        if role in ("1", "F") and before == 1 and static and in_front and "T" not in roles:
            _set_steps(recorder, after)
            roles[dim] = "T"
        elif role in ("1", "F") and before == 1:
            roles[dim] = "F"
        else:
            raise MixedAxes(f"axis {dim}, {describe_role(role)}, is repeated")
    final = tuple(roles)
    if "T" in final and "T" not in axes:
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


def describe_role(role: str) -> str:
    return "a feature" if role == "F" else "time or samples"


def _set_steps(recorder: Recorder, steps: int) -> None:
    if recorder.single_step:
        raise recorder.refuse("SNN112", "forward repeats over time although time_steps was given")
    if recorder.steps not in (None, steps):
        raise recorder.refuse("SNN112", f"forward repeats {steps} times, not {recorder.steps}")
    recorder.steps = steps


@_on("getitem", "input index")
def _getitem(recorder: Recorder, call: Call) -> None:
    x, index, result = call["input"], call["index"], call.result
    items = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(i, torch.Tensor | list) for i in items):
        raise recorder.refuse("SNN301", "indexing by a list or a tensor is not known here")
    entry = recorder.tracked(x)
    named = sum(i is not None and i is not Ellipsis for i in items)
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [slice(None)] * (len(entry.axes) - named)
    items += [slice(None)] * (len(entry.axes) - sum(i is not None for i in items))
    node, axes = entry.node, []
    rate, dim = None, 0
    for item in items:
        if item is None:
            axes.append("1")
            continue
        role, size = entry.axes[dim], x.shape[dim]
        rank = entry.axes[:dim].count("F")
        dim += 1
        if item == slice(None):
            axes.append(role)
        elif role == "T" and item in (-1, size - 1):
            rate = "final"
        elif role == "F":
            node = _cut(recorder, node, rank, size, item)
            if not isinstance(item, int):
                axes.append("F")
        elif role == "1":
            if not isinstance(item, int):
                axes.append("1")
        else:
            raise recorder.refuse(
                "SNN301", "single time steps or samples are picked out, as in a loop over time"
            )
    if rate is not None:
        shape = recorder.nodes[node].signal.shape
        node = recorder.emit(OverTime("last"), [node], shape, tuple(axes), rate="final", what="last")
    shape = features(tuple(axes), result.shape)
    if shape != recorder.nodes[node].signal.shape:
        node = recorder.emit(Reshape(shape), [node], shape, tuple(axes), what="reshape")
    recorder.bind(result, node, tuple(axes))


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


@_on("split chunk unbind tensor_split unsafe_chunk iter", "input size dim=0")
def _split(recorder: Recorder, call: Call) -> None:
    x, pieces = call["input"], call.result
    if call.name == "iter":
        raise recorder.refuse("SNN301", "a loop runs over a tensor's first axis")
    dim = call["size"] if call.name == "unbind" and call["size"] is not None else call["dim"]
    node, axes = recorder.solid(x)
    dim %= len(axes)
    axis = feature_index(axes, dim)
    start = 0
    for piece in pieces:
        gone = call.name == "unbind"
        size = 1 if gone else piece.shape[dim]
        own = axes[:dim] + axes[dim + 1 :] if gone else axes
        cut = _cut(recorder, node, axis, x.shape[dim], slice(start, start + size))
        shape = features(own, piece.shape)
        if gone:
            cut = recorder.emit(Reshape(shape), [cut], shape, own, what="reshape")
        recorder.bind(piece, cut, own)
        start += size


@_on("cat concat concatenate", "tensors dim=0")
def _cat(recorder: Recorder, call: Call) -> None:
    _join(recorder, call.result, list(call["tensors"]), call["dim"])


def _join(recorder: Recorder, result: torch.Tensor, tensors: list[torch.Tensor],
          dim: int) -> None:  # fmt: skip
    if not all(recorder.is_tracked(t) for t in tensors):
        raise recorder.refuse("SNN301", "a constant is concatenated to a value of the run")
    solids = [recorder.solid(t) for t in tensors]
    axes = solids[0][1]
    if any(own != axes for _, own in solids):
        raise MixedAxes("the parts have different axes")
    op = Concat(feature_index(axes, dim))
    nodes = [node for node, _ in solids]
    name = recorder.emit(op, nodes, features(axes, result.shape), axes, what="cat")
    recorder.bind(result, name, axes)


@_on("stack", "tensors dim=0")
def _stack(recorder: Recorder, call: Call) -> None:
    tensors, result = list(call["tensors"]), call.result
    dim = call["dim"] % result.dim()
    entries = [recorder.tracked(t) for t in tensors if recorder.is_tracked(t)]
    first = entries[0]
    sample = next((d for d, role in enumerate(first.axes) if "N" in role), 0)
    same = len(entries) == len(tensors) and len({e.node for e in entries}) == 1
    static = recorder.nodes[first.node].signal.rate == "static"
    if same and static and dim <= sample + 1 and not any("T" in r for r in first.axes):
        _set_steps(recorder, len(tensors))
        axes = first.axes[:dim] + ("T",) + first.axes[dim:]
        shape = recorder.nodes[first.node].signal.shape
        name = recorder.emit(Repeat(), [first.node], shape, axes, rate="step", what="repeat")
        recorder.bind(result, name, axes)
        return
    if dim <= sample:
        raise recorder.refuse("SNN301", "steps are stacked one by one, as in a loop over time")
    with torch._C.DisableTorchFunction():
        parts = [t.unsqueeze(dim) for t in tensors]
    for part, entry in zip(parts, entries, strict=True):
        recorder.bind(part, entry.node, entry.axes[:dim] + ("1",) + entry.axes[dim:])
    _join(recorder, result, parts, dim)


@_on("pad", "input pad mode value")
def _pad(recorder: Recorder, call: Call) -> None:
    x, widths = call["input"], list(call["pad"])
    if call["mode"] not in (None, "constant") or call["value"] not in (None, 0, 0.0):
        raise recorder.refuse("SNN301", "only padding with zeros is known here")
    if not any(widths):
        return _copy(recorder, Call("alias", {"input": x}, call.result))  # type: ignore[no-any-return]
    _, axes = recorder.solid(x)
    pairs = [(0, 0)] * axes.count("F")
    for offset in range(len(widths) // 2):
        before, after = widths[2 * offset], widths[2 * offset + 1]
        if before or after:
            pairs[feature_index(axes, -1 - offset)] = (before, after)
    if min(n for pair in pairs for n in pair) < 0:
        raise recorder.refuse("SNN301", "negative padding is not known here")
    _emit(recorder, Pad(tuple(pairs)), x, call.result, "pad")


@_on("interpolate upsample", "input size scale_factor mode")
def _interpolate(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    _, axes = recorder.solid(x)
    rank = len(axes) - 2
    _need_spatial(axes, rank)
    factors = [after / before for before, after in
               zip(x.shape[-rank:], result.shape[-rank:], strict=True)]  # fmt: skip
    if call["mode"] not in (None, "nearest") or any(f != int(f) for f in factors):
        raise recorder.refuse("SNN301", "only nearest upsampling by whole factors is known here")
    _emit(recorder, Upsample(tuple(map(int, factors))), x, result, "upsample")


# -- sums, products, softmax -------------------------------------------------------------------


@_on("mean sum", "input dim keepdim=False")
def _reduce(recorder: Recorder, call: Call) -> None:
    x, result, kind = call["input"], call.result, call.name
    node, axes = recorder.solid(x)
    keep = bool(call["keepdim"])
    dims = range(len(axes)) if call["dim"] is None else [
        d % len(axes) for d in _tuple(call["dim"], 1)]  # fmt: skip
    roles = [axes[d] for d in dims]
    if any("N" in role for role in roles):
        raise MixedAxes(f"a {kind} runs over the samples")
    inner = tuple(sorted(axes[:d].count("F") for d in dims if axes[d] == "F"))
    over_time = "T" in roles
    final = tuple(
        "1" if keep and d in dims and r != "F" else r
        for d, r in enumerate(axes)
        if keep or d not in dims
    )
    shape = features(final, result.shape)
    if inner:
        node = recorder.emit(Reduce(kind, inner, keep), [node], shape,
                             axes if over_time else final, what=kind)  # fmt: skip
    if over_time:
        if recorder.nodes[node].signal.rate != "step":
            raise MixedAxes("time is reduced twice")
        node = recorder.emit(OverTime(kind), [node], shape, final, rate="final", what=kind)
    recorder.bind(result, node, final)


@_on("matmul bmm mm", "input other")
def _matmul(recorder: Recorder, call: Call) -> None:
    x, y, result = call["input"], call["other"], call.result
    if recorder.is_tracked(x) and not recorder.is_tracked(y) and y.dim() == 2:
        _, axes = recorder.solid(x)
        _need_spatial(axes, 1)
        weight = recorder.array(y.detach().numpy().T, "weight")
        return _emit(recorder, Dense(weight), x, result, "matmul")
    if not (recorder.is_tracked(x) and recorder.is_tracked(y)):
        raise recorder.refuse("SNN301", "this product with a constant is not known here")
    (left, axes), (right, other) = recorder.solid(x), recorder.solid(y)
    _need_spatial(axes, 2)
    if axes != other:
        raise MixedAxes("the factors have different axes")
    name = recorder.emit(MatMul(), [left, right], features(axes, result.shape), axes, what="matmul")
    recorder.bind(result, name, axes)
    return None


@_on("rmatmul", "input other")
def _reflected_matmul(recorder: Recorder, call: Call) -> None:
    arguments = {"input": call["other"], "other": call["input"]}
    _matmul(recorder, Call("matmul", arguments, call.result))


@_on("softmax log_softmax", "input dim")
def _softmax(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    op = Softmax(feature_index(axes, call["dim"]), call.name.startswith("log"))
    _emit(recorder, op, call["input"], call.result, "softmax")


@_on("argmax", "input dim keepdim=False")
def _argmax(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    if call["dim"] is None or call["keepdim"]:
        raise recorder.refuse("SNN301", "argmax needs one axis and keepdim=False")
    dim = call["dim"] % len(axes)
    op = Argmax(feature_index(axes, dim))
    _emit(recorder, op, call["input"], call.result, "argmax", axes[:dim] + axes[dim + 1 :])


@_on("scaled_dot_product_attention",
     "query key value attn_mask dropout_p=0 is_causal=False scale")  # fmt: skip
def _attention(recorder: Recorder, call: Call) -> None:
    if call["attn_mask"] is not None or call["is_causal"]:
        raise recorder.refuse("SNN107", "attention with a mask")
    query, axes = recorder.solid(call["query"])
    key, value = recorder.solid(call["key"])[0], recorder.solid(call["value"])[0]
    _need_spatial(axes, 2)
    shape = recorder.nodes[key].signal.shape
    order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    turned = tuple(shape[i] for i in order)
    key = recorder.emit(Permute(order), [key], turned, axes, what="attention.key")
    rows = recorder.nodes[query].signal.shape[:-1]
    scores = (*rows, turned[-1])
    node = recorder.emit(MatMul(), [query, key], scores, axes, what="attention.scores")
    scale = call["scale"] or 1 / math.sqrt(call["query"].shape[-1])
    node = recorder.emit(Scale(scale), [node], scores, axes, what="attention.scale")
    node = recorder.emit(Softmax(len(scores) - 1), [node], scores, axes, what="attention.softmax")
    shape = features(axes, call.result.shape)
    node = recorder.emit(MatMul(), [node, value], shape, axes, what="attention")
    recorder.bind(call.result, node, axes)


@_on("multi_head_attention_forward", "query key value *rest")
def _multi_head(recorder: Recorder, call: Call) -> None:
    raise recorder.refuse("SNN107", "torch's multi-head attention takes a softmax over products")


@_on("cumsum cumprod cummax logcumsumexp fft rfft", "input dim")
def _cumulative(recorder: Recorder, call: Call) -> None:
    raise recorder.refuse("SNN112", f"{call.name} runs along an axis")
