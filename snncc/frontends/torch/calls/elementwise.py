"""Functions applied value by value, copies and casts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes, MixedAxes, broadcast, features
from snncc.frontends.torch.calls.table import HANDLERS, emit, on
from snncc.frontends.torch.recorder import Handler, Recorder
from snncc.frontends.torch.tracked import Call
from snncc.ir.elementwise import ARITY, BOOLEAN
from snncc.ir.ops import Constant, Elementwise, Identity, OverTime

_OF_TRUTH = {
    "add": "or", "mul": "and", "minimum": "and", "maximum": "or", "where": "where", "abs": "abs",
}  # fmt: skip
"""What torch's arithmetic does where its result is a truth value."""


def elementwise(recorder: Recorder, function: str, operands: Sequence[Any],
                 result: torch.Tensor) -> None:  # fmt: skip
    tensors = [x for x in operands if recorder.is_tracked(x)]
    axes = broadcast([recorder.tracked(x).axes for x in tensors])
    if "1" in axes or any("1" in recorder.tracked(x).axes for x in tensors):
        padded = [("",) * (len(axes) - len(a)) + a for a in
                  (recorder.tracked(x).axes for x in tensors)]  # fmt: skip
        for x, own in zip(tensors, padded, strict=True):
            if any(
                mine == "1" and joint in ("F", "1") for mine, joint in zip(own, axes, strict=True)
            ):
                recorder.solid(x)
        axes = broadcast([recorder.tracked(x).axes for x in tensors])
    if result.dtype == torch.bool and function not in BOOLEAN:
        function = _OF_TRUTH.get(function, "")
        if not function:
            raise recorder.refuse("SNN301", f"`{function}` of truth values is not supported")
    missing = result.dim() - len(axes)
    if any(n != 1 for n in result.shape[:missing]):
        raise MixedAxes("a constant brings a new axis in front")
    axes = ("1",) * missing + axes
    inputs = [
        recorder.tracked(x).node if recorder.is_tracked(x) else constant(recorder, x, axes)
        for x in operands
    ]
    name = recorder.emit(
        Elementwise(function), inputs, features(axes, result.shape), axes, what=function
    )
    recorder.bind(result, name, axes)


def constant(recorder: Recorder, value: Any, axes: Axes, *, whole: bool = False) -> str:
    """A node for a number, or for a constant tensor without its axes of time and samples.

    ``whole``: with all of its features, where a single number would broadcast.
    """
    if not isinstance(value, torch.Tensor):
        return recorder.number(float(value))
    if value.numel() == 1 and not whole:
        return recorder.number(float(value))
    tensor = without_lead(value, axes)
    if tensor.numel() == 1 and not whole:
        return recorder.number(float(tensor))
    same = tensor.shape == value.shape
    ref = recorder.ref(value, "constant") if same else recorder.array(
        tensor.detach().numpy(), "constant")  # fmt: skip
    return recorder.emit(Constant(ref), (), tensor.shape, what=f"tensor:{ref}", rate="static")


def without_lead(tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
    """The features of a constant. Raises MixedAxes where steps or samples differ."""
    own = axes[len(axes) - tensor.dim() :]
    for dim in reversed(range(len(own))):
        if own[dim] != "F":
            first = tensor.narrow(dim, 0, 1)
            if not bool((tensor == first).all()):
                raise MixedAxes("a constant differs from step to step or from sample to sample")
            tensor = first.squeeze(dim)
    return tensor


@on("add sub rsub", "input other alpha=1")
def _add(recorder: Recorder, call: Call) -> None:
    x, y, alpha = call["input"], call["other"], call["alpha"]
    if call.name == "rsub":
        x, y = y, x
    if alpha != 1:
        with torch._C.DisableTorchFunction():
            scaled = y * alpha
        if recorder.is_tracked(y):
            elementwise(recorder, "mul", (y, alpha), scaled)
        else:
            recorder.remember(scaled)
        y = scaled
    elementwise(recorder, "sub" if call.name.endswith("sub") else "add", (x, y), call.result)


@on("radd rmul", "other input")
def _reflected(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, call.name[1:], (call["input"], call["other"]), call.result)


@on("div true_divide truediv divide", "input other rounding_mode")
def _divide(recorder: Recorder, call: Call) -> None:
    if call["rounding_mode"] is not None:
        raise recorder.refuse("SNN301", "a division that rounds is not known here")
    elementwise(recorder, "div", (call["input"], call["other"]), call.result)


@on("rdiv rtruediv", "input other")
def _reflected_divide(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, "div", (call["other"], call["input"]), call.result)


@on("reciprocal", "input")
def _reciprocal(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, "div", (1.0, call["input"]), call.result)


@on("clamp clip hardtanh", "input min max inplace=False")
def _clamp(recorder: Recorder, call: Call) -> None:
    low, high = call["min"], call["max"]
    if call.name == "hardtanh":
        low = call.get("min_val", -1.0 if low is None else low)
        high = call.get("max_val", 1.0 if high is None else high)
    if low is None:
        elementwise(recorder, "minimum", (call["input"], high), call.result)
    elif high is None:
        elementwise(recorder, "maximum", (call["input"], low), call.result)
    else:
        name = "hardtanh" if call.name == "hardtanh" else "clamp"
        elementwise(recorder, name, (call["input"], low, high), call.result)


@on("clamp_min", "input min")
def _clamp_min(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, "maximum", (call["input"], call["min"]), call.result)


@on("clamp_max", "input max")
def _clamp_max(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, "minimum", (call["input"], call["max"]), call.result)


@on("where", "condition input other")
def _where(recorder: Recorder, call: Call) -> None:
    if not isinstance(call.result, torch.Tensor):
        raise recorder.refuse("SNN302", "where turns data of the run into indices")
    test, one, two = call["condition"], call["input"], call["other"]
    if not _is_truth(test) and _is_truth(one):  # as a method: x.where(test, y)
        test, one = one, test
    elementwise(recorder, "where", (test, one, two), call.result)


@on("masked_fill", "input mask value")
def _masked_fill(recorder: Recorder, call: Call) -> None:
    operands = (call["mask"], call["value"], call["input"])
    elementwise(recorder, "where", operands, call.result)


def _is_truth(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.bool


@on("bitwise_and bitwise_or bitwise_xor and or xor", "input other")
def _bitwise(recorder: Recorder, call: Call) -> None:
    if call.result.dtype != torch.bool:
        raise recorder.refuse("SNN301", f"{call.name} on whole numbers is not known here")
    name = call.name.removeprefix("bitwise_")
    elementwise(recorder, name, (call["input"], call["other"]), call.result)


@on("invert bitwise_not", "input")
def _invert(recorder: Recorder, call: Call) -> None:
    if call.result.dtype != torch.bool:
        raise recorder.refuse("SNN301", "~ on whole numbers is not known here")
    elementwise(recorder, "not", (call["input"],), call.result)


@on("leaky_relu", "input negative_slope=0.01 inplace=False")
def _leaky_relu(recorder: Recorder, call: Call) -> None:
    elementwise(recorder, "leaky_relu", (call["input"], call["negative_slope"]), call.result)


@on("gelu", "input approximate='none'")
def _gelu(recorder: Recorder, call: Call) -> None:
    name = "gelu_tanh" if call["approximate"] == "tanh" else "gelu"
    elementwise(recorder, name, (call["input"],), call.result)


def _plain(name: str, *parameters: str) -> Handler:
    def handler(recorder: Recorder, call: Call) -> None:
        if isinstance(call.result, torch.Tensor):
            elementwise(recorder, name, [call[p] for p in parameters], call.result)
        else:
            raise recorder.refuse("SNN301", f"{call.name} with several results is not known here")

    return handler


@on("max min", "input other *rest")
def _extreme(recorder: Recorder, call: Call) -> None:
    """Of two tensors; along an axis or of everything they are no function value by value."""
    if isinstance(call["other"], torch.Tensor):
        name = "maximum" if call.name == "max" else "minimum"
        elementwise(recorder, name, (call["input"], call["other"]), call.result)
        return
    dim, keep = call.get("dim", call["other"]), call.get("keepdim", (*call["rest"], False)[0])
    if call.name == "max" and dim is not None and not isinstance(call.result, torch.Tensor):
        values, indices = call.result
        if largest_over_time(recorder, call["input"], values, dim, bool(keep)):
            recorder.lose(indices, recorder.refuse("SNN301", "when a value is largest is read"))
            return
    error = recorder.refuse("SNN301", f"{call.name} along an axis is not known here")
    if not isinstance(call.result, torch.Tensor):
        raise error
    recorder.lose(call.result, error)


@on("amax", "input dim=() keepdim=False")
def _amax(recorder: Recorder, call: Call) -> None:
    dims = call["dim"]
    dim = dims if isinstance(dims, int) else dims[0] if len(dims) == 1 else None
    keep = bool(call["keepdim"])
    if dim is None or not largest_over_time(recorder, call["input"], call.result, dim, keep):
        raise recorder.refuse("SNN301", "amax along other axes than time is not known here")


def largest_over_time(
    recorder: Recorder, x: torch.Tensor, result: torch.Tensor, dim: Any, keep: bool
) -> bool:
    """Whether ``result`` is the largest value over time, which then is a node."""
    node, axes = recorder.solid(x)
    if axes[dim] != "T" or recorder.nodes[node].signal.rate != "step":
        return False
    place = dim % len(axes)
    final = (*axes[:place], *(("1",) if keep else ()), *axes[place + 1 :])
    shape = features(final, result.shape)
    name = recorder.emit(OverTime("max"), [node], shape, final, rate="final", what="max")
    recorder.bind(result, name, final)
    return True


_SPELLINGS = {
    "mul": "mul multiply", "pow": "pow", "remainder": "remainder mod", "fmod": "fmod",
    "minimum": "minimum", "maximum": "maximum", "heaviside": "heaviside",
    "and": "logical_and", "or": "logical_or", "xor": "logical_xor",
    "ge": "ge greater_equal", "gt": "gt greater", "le": "le less_equal", "lt": "lt less",
    "eq": "eq", "ne": "ne not_equal", "not": "logical_not", "neg": "neg negative",
    "abs": "abs absolute",
}  # fmt: skip

for _function, _names in _SPELLINGS.items():
    _parameters = ("input", "other")[: ARITY[_function]]
    for _one in _names.split():
        HANDLERS[_one] = (_parameters, _plain(_function, *_parameters))
_MORE = {
    "round": ("decimals=0",), "elu": ("alpha=1.0",), "softplus": ("beta=1.0", "threshold=20.0"),
}  # fmt: skip
"""Parameters of a function of one argument that must have their defaults."""

for _function, _arity in ARITY.items():
    if _arity == 1 and _function not in HANDLERS and _function not in ("not", "nonzero"):
        _parameters = ("input", *_MORE.get(_function, ()), "inplace=False")
        HANDLERS[_function] = (_parameters, _plain(_function, "input"))


@on("contiguous clone detach requires_grad cpu cuda alias to float double type type_as half "
     "bfloat16 bool int long short", "input ~*rest")  # fmt: skip
def _copy(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    if not isinstance(result, torch.Tensor):
        raise recorder.refuse("SNN302", f"{call.name} turns data of the run into a Python value")
    if result is not x:
        cast(recorder, x, result)


def cast(recorder: Recorder, x: torch.Tensor, result: torch.Tensor) -> None:
    """``result`` is ``x``, in its own dtype."""
    op = recorder.nodes[recorder.tracked(x).node].op
    truth = x.dtype == torch.bool or (isinstance(op, Elementwise) and op.function in BOOLEAN)
    if result.dtype == torch.bool and not truth:
        elementwise(recorder, "nonzero", (x,), result)
    elif not (result.is_floating_point() or truth) and x.is_floating_point():
        elementwise(recorder, "trunc", (x,), result)
    elif result.dtype in (torch.half, torch.bfloat16):
        raise recorder.refuse("SNN301", "a cast to half precision rounds")
    else:
        recorder.bind(result, recorder.tracked(x).node, recorder.tracked(x).axes)


@on("data", "input")
def _data(recorder: Recorder, call: Call) -> None:
    entry = recorder.tracked(call["input"])
    recorder.bind(call.result, entry.node, entry.axes, through_data=True)


@on("dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout",
     "input p training=True inplace=False")  # fmt: skip
def _dropout(recorder: Recorder, call: Call) -> None:
    rate = call["p"]
    if call["training"] and rate != 0:
        raise recorder.refuse("SNN308", "a dropout is active")
    if call.result is not call["input"]:
        emit(recorder, Identity("dropout"), call["input"], call.result, "dropout")
