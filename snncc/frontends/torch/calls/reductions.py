"""Sums, products of tensors, softmax and attention."""

from __future__ import annotations

import math
from typing import Literal

from snncc.frontends.torch.axes import MixedAxes, feature_index, features
from snncc.frontends.torch.calls.table import emit, need_features, on, sizes
from snncc.frontends.torch.recorder import Recorder
from snncc.frontends.torch.tracked import Call
from snncc.ir.ops import Argmax, Dense, MatMul, OverTime, Permute, Reduce, Scale, Softmax


@on("mean sum", "input dim keepdim=False")
def _reduce(recorder: Recorder, call: Call) -> None:
    x, result = call["input"], call.result
    kind: Literal["mean", "sum"] = "mean" if call.name == "mean" else "sum"
    node, axes = recorder.solid(x)
    keep = bool(call["keepdim"])
    dims = range(len(axes)) if call["dim"] is None else [
        d % len(axes) for d in sizes(call["dim"], 1)]  # fmt: skip
    roles = [axes[d] for d in dims]
    if any("N" in role for role in roles):
        error = recorder.refuse("SNN112", f"{kind}: a {kind} runs over the samples")
        recorder.lose(result, error)
        return
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


@on("matmul bmm mm", "input other")
def _matmul(recorder: Recorder, call: Call) -> None:
    x, y, result = call["input"], call["other"], call.result
    if recorder.is_tracked(x) and not recorder.is_tracked(y) and y.dim() == 2:
        _, axes = recorder.solid(x)
        need_features(axes, 1)
        weight = recorder.array(y.detach().numpy().T, "weight")
        return emit(recorder, Dense(weight), x, result, "matmul")
    if not (recorder.is_tracked(x) and recorder.is_tracked(y)):
        raise recorder.refuse("SNN301", "this product with a constant is not known here")
    (left, axes), (right, other) = recorder.solid(x), recorder.solid(y)
    need_features(axes, 2)
    if axes != other:
        raise MixedAxes("the factors have different axes")
    name = recorder.emit(MatMul(), [left, right], features(axes, result.shape), axes, what="matmul")
    recorder.bind(result, name, axes)
    return None


@on("rmatmul", "input other")
def _reflected_matmul(recorder: Recorder, call: Call) -> None:
    arguments = {"input": call["other"], "other": call["input"]}
    _matmul(recorder, Call("matmul", arguments, call.result))


@on("softmax log_softmax", "input dim _stacklevel dtype")
def _softmax(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    op = Softmax(feature_index(axes, call["dim"]), call.name.startswith("log"))
    emit(recorder, op, call["input"], call.result, "softmax")


@on("argmax", "input dim keepdim=False")
def _argmax(recorder: Recorder, call: Call) -> None:
    _, axes = recorder.solid(call["input"])
    if call["dim"] is None or call["keepdim"]:
        raise recorder.refuse("SNN301", "argmax needs one axis and keepdim=False")
    dim = call["dim"] % len(axes)
    op = Argmax(feature_index(axes, dim))
    emit(recorder, op, call["input"], call.result, "argmax", axes[:dim] + axes[dim + 1 :])


@on("scaled_dot_product_attention",
     "query key value attn_mask dropout_p=0 is_causal=False scale")  # fmt: skip
def _attention(recorder: Recorder, call: Call) -> None:
    if call["attn_mask"] is not None or call["is_causal"]:
        raise recorder.refuse("SNN107", "attention with a mask")
    query, axes = recorder.solid(call["query"])
    key, value = recorder.solid(call["key"])[0], recorder.solid(call["value"])[0]
    need_features(axes, 2)
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


@on("multi_head_attention_forward", "query key value *rest")
def _multi_head(recorder: Recorder, call: Call) -> None:
    raise recorder.refuse("SNN107", "torch's multi-head attention takes a softmax over products")


@on("cumsum cumprod cummax logcumsumexp fft rfft", "input dim")
def _cumulative(recorder: Recorder, call: Call) -> None:
    raise recorder.refuse("SNN112", f"{call.name} runs along an axis")
