"""Layers with weights, norms and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from snncc.frontends.torch.axes import MixedAxes, feature_index, features
from snncc.frontends.torch.calls.table import emit, need_features, on, optional, sizes
from snncc.frontends.torch.recorder import Recorder
from snncc.frontends.torch.tracked import Call
from snncc.ir.ops import (
    AdaptivePool,
    Conv,
    ConvTranspose,
    Dense,
    Elementwise,
    Norm,
    Normalise,
    Pool,
)  # fmt: skip


@on("conv1d conv2d conv3d", "input weight bias stride=1 padding=0 dilation=1 groups=1")
def _conv(recorder: Recorder, call: Call) -> None:
    x, weight = call["input"], call["weight"]
    rank = weight.dim() - 2
    _, axes = recorder.solid(x)
    need_features(axes, rank + 1)
    if len(axes) != rank + 2:
        raise MixedAxes("a convolution needs one axis of samples")
    stride, dilation = sizes(call["stride"], rank), sizes(call["dilation"], rank)
    padding = call["padding"]
    if padding == "valid":
        padding = 0
    elif padding == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(r % 2 for r in reach):
            raise recorder.refuse("SNN301", "padding='same' around an even kernel is lopsided")
        padding = [r // 2 for r in reach]
    op = Conv(
        recorder.ref(weight, "weight"), optional(recorder, call["bias"], "bias"), stride,
        sizes(padding, rank), dilation, int(call["groups"]),
    )  # fmt: skip
    emit(recorder, op, x, call.result, "conv")


@on("conv_transpose1d conv_transpose2d conv_transpose3d",
     "input weight bias stride=1 padding=0 output_padding=0 groups=1 dilation=1")  # fmt: skip
def _conv_transpose(recorder: Recorder, call: Call) -> None:
    x, weight = call["input"], call["weight"]
    rank = weight.dim() - 2
    _, axes = recorder.solid(x)
    need_features(axes, rank + 1)
    if len(axes) != rank + 2:
        raise MixedAxes("a convolution needs one axis of samples")
    op = ConvTranspose(
        recorder.ref(weight, "weight"), optional(recorder, call["bias"], "bias"),
        sizes(call["stride"], rank), sizes(call["padding"], rank),
        sizes(call["output_padding"], rank), sizes(call["dilation"], rank), int(call["groups"]),
    )  # fmt: skip
    emit(recorder, op, x, call.result, "conv")


@on("linear", "input weight bias")
def _linear(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    need_features(axes, 1)
    if call["weight"].dim() != 2:
        raise recorder.refuse("SNN301", "a linear layer with a weight of one axis is not supported")
    op = Dense(recorder.ref(call["weight"], "weight"), optional(recorder, call["bias"], "bias"))
    emit(recorder, op, call["input"], call.result, "linear")


@on("einsum", "equation *operands")
def _einsum(recorder: Recorder, call: Call) -> None:
    """A dense layer, as in ``einsum("tbi,io->tbo", x, w)``."""
    operands = list(call["operands"])
    operands = list(operands[0]) if len(operands) == 1 else operands
    given, _, out = str(call["equation"]).replace(" ", "").partition("->")
    names = given.split(",")
    other = recorder.refuse("SNN301", "an einsum that is no dense layer is not known here")
    if len(operands) != 2 or len(names) != 2 or not given.replace(",", "").isalpha():
        raise other
    if not recorder.is_tracked(operands[0]):
        operands, names = operands[::-1], names[::-1]
    (x, weight), (of_x, of_weight) = operands, names
    lead, inner = of_x[:-1], of_x[-1:]
    wide = of_weight.replace(inner, "")
    plain = (
        len(of_weight) == 2 and len(wide) == 1 and len(set(lead + inner + wide)) == len(of_x) + 1
    )
    if recorder.is_tracked(weight) or not plain or out != lead + wide:
        raise other
    with torch._C.DisableTorchFunction():
        matrix = weight if of_weight[1] == inner else weight.t().contiguous()
    if matrix is not weight:
        recorder.remember(matrix)
        recorder.keep_alive(matrix)
    _, axes = recorder.solid(x)
    need_features(axes, 1)
    emit(recorder, Dense(recorder.ref(matrix, "weight")), x, call.result, "einsum")


@on("batch_norm",
     "input running_mean running_var weight bias training=False momentum eps=1e-05")  # fmt: skip
def _batch_norm(recorder: Recorder, call: Call) -> None:
    if call["training"]:
        raise recorder.refuse("SNN308", "a batch norm takes its statistics from the batch")
    _, axes = recorder.solid(call["input"])
    if feature_index(axes, 1) != 0:
        raise MixedAxes("the channels of a batch norm are not the first feature axis")
    op = Norm(
        recorder.ref(call["running_mean"], "mean"), recorder.ref(call["running_var"], "variance"),
        optional(recorder, call["weight"], "weight"), optional(recorder, call["bias"], "bias"),
        float(call["eps"]),
    )  # fmt: skip
    emit(recorder, op, call["input"], call.result, "batch_norm")


@on("layer_norm", "input normalized_shape weight bias eps=1e-05")
def _layer_norm(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    count = len(call["normalized_shape"])
    need_features(axes, count)
    total = axes.count("F")
    op = Normalise(
        "layer", optional(recorder, call["weight"], "weight"),
        optional(recorder, call["bias"], "bias"), float(call["eps"]),
        tuple(range(total - count, total)),
    )  # fmt: skip
    emit(recorder, op, call["input"], call.result, "layer_norm")


@on("group_norm", "input num_groups weight bias eps=1e-05")
def _group_norm(recorder: Recorder, call: Call) -> None:
    op = Normalise(
        "group", optional(recorder, call["weight"], "weight"),
        optional(recorder, call["bias"], "bias"), float(call["eps"]), (),
        int(call["num_groups"]),
    )  # fmt: skip
    emit(recorder, op, call["input"], call.result, "group_norm")


@on("instance_norm",
     "input running_mean running_var weight bias use_input_stats=True momentum "
     "eps=1e-05")  # fmt: skip
def _instance_norm(recorder: Recorder, call: Call) -> None:
    if not call["use_input_stats"]:
        read = {name: call[name] for name in call.arguments}
        _batch_norm(recorder, Call(call.name, read | {"training": False}, call.result))
        return
    groups = call["input"].shape[1]
    op = Normalise(
        "instance", optional(recorder, call["weight"], "weight"),
        optional(recorder, call["bias"], "bias"), float(call["eps"]), (), int(groups),
    )  # fmt: skip
    emit(recorder, op, call["input"], call.result, "instance_norm")


def _pool(
    recorder: Recorder,
    call: Call,
    kind: Literal["average", "sum", "max"],
    dilation: int | Sequence[int],
    counting: bool,
    divisor: int = 1,
) -> None:
    rank = int(call.name[-2])
    x = call["input"]
    node, axes = recorder.solid(x)
    need_features(axes, rank)
    if isinstance(call.result, tuple):
        raise recorder.refuse("SNN301", "a max pool with indices is not known here")
    kernel = sizes(call["kernel_size"], rank)
    stride = sizes(call["stride"], rank) if call["stride"] not in (None, [], ()) else kernel
    op = Pool(kind, kernel, stride, sizes(call["padding"], rank), sizes(dilation, rank),
              bool(call["ceil_mode"]), counting)  # fmt: skip
    node = recorder.emit(op, [node], features(axes, call.result.shape), axes, what="pool")
    if divisor != 1:
        shape, number = recorder.nodes[node].signal.shape, recorder.number(divisor)
        node = recorder.emit(Elementwise("div"), [node, number], shape, axes, what="div")
    recorder.bind(call.result, node, axes)


@on("max_pool1d max_pool2d max_pool3d",
     "input kernel_size stride padding=0 dilation=1 ceil_mode=False "
     "return_indices=False")  # fmt: skip
def _max_pool(recorder: Recorder, call: Call) -> None:
    _pool(recorder, call, "max", call["dilation"], True)


@on("avg_pool1d avg_pool2d avg_pool3d",
     "input kernel_size stride padding=0 ceil_mode=False count_include_pad=True "
     "divisor_override")  # fmt: skip
def _average_pool(recorder: Recorder, call: Call) -> None:
    counting, divisor = bool(call["count_include_pad"]), call["divisor_override"]
    if divisor is not None:
        _pool(recorder, call, "sum", 1, True, int(divisor))
    else:
        _pool(recorder, call, "average", 1, counting)


@on("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
     "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
     "input ~output_size return_indices=False")  # fmt: skip
def _adaptive_pool(recorder: Recorder, call: Call) -> None:
    rank = int(call.name[-2])
    if isinstance(call.result, tuple):
        raise recorder.refuse("SNN301", "a max pool with indices is not known here")
    _, axes = recorder.solid(call["input"])
    need_features(axes, rank)
    kind: Literal["average", "max"] = "max" if "max" in call.name else "average"
    op = AdaptivePool(tuple(int(n) for n in call.result.shape[-rank:]), kind)
    emit(recorder, op, call["input"], call.result, "pool")
