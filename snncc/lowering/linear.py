"""Linear regions: ops between spikes and the next neuron become chains of linear maps (rule 1)."""

from __future__ import annotations

from dataclasses import replace

import torch

from snncc.ir.graph import Node
from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.ops import (
    Broadcast,
    Concat,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Norm,
    Op,
    OverTime,
    Pad,
    Ref,
    Scale,
)
from snncc.lowering.combination import Region, Term, accumulate, compact
from snncc.lowering.draft import Draft

WEIGHTED = (Conv, ConvTranspose, Dense)


def linear(draft: Draft, node: Node, op: Op) -> Region:
    """What a linear op makes of the region it reads."""
    region = draft.of(node.inputs[0])
    before = draft.graph.nodes[node.inputs[0]].signal.shape
    mapped: Op
    offset: torch.Tensor | None
    if isinstance(op, Norm):
        scale, shift = norm_parts(draft.store, op, len(before))
        name = f"{node.name}.scale"
        draft.tensors[name] = scale.numpy()
        mapped = Scale(Ref(name))
        offset = shift if region.offset is None else region.offset * scale + shift
    else:
        mapped = replace(op, bias=None) if isinstance(op, WEIGHTED) else op
        offset = offset_through(draft.store, op, region.offset, before)
    terms: dict[Term, float] = {}
    for (source, chain), coefficient in region.terms.items():
        if draft.strict and source in draft.host and isinstance(op, WEIGHTED):
            joint = _joint(draft, node)
            message = f"{joint.name} brings the analog {source} among the spikes"
            return draft.find("SNN102", joint, f"{message} that {node.name} reads")
        accumulate(terms, (source, (*chain, mapped)), coefficient)
    return Region(terms, offset, region.broken)


def _joint(draft: Draft, node: Node) -> Node:
    """The op before ``node`` where a value of the host meets spikes."""
    while not any(name in draft.host for name in node.inputs):
        mixed = (
            name
            for name in node.inputs
            if any(source in draft.host for source, _ in draft.of(name).terms)
        )
        node = draft.graph.nodes[next(mixed)]
    return node


def norm_parts(store: TensorStore, op: Norm, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and constant of an eval-mode norm, both (C, 1, …) over ``rank`` axes."""
    variance = store[op.variance]
    if op.outside:
        deviation = torch.sqrt(variance) + op.epsilon
    else:
        deviation = torch.sqrt(variance + op.epsilon)
    scale = 1 / deviation if op.scale is None else store[op.scale] / deviation
    shift = -store[op.mean] * scale
    if op.shift is not None:
        shift = shift + store[op.shift]
    shape = (-1, *[1] * (rank - 1))
    return scale.reshape(shape), shift.reshape(shape)


def offset_through(
    store: TensorStore, op: Op, offset: torch.Tensor | None, before: tuple[int, ...]
) -> torch.Tensor | None:
    """What ``op`` makes of the constant part of a region of shape ``before``."""
    if offset is None:
        bias = getattr(op, "bias", None)
        if bias is None:
            return None
        trailing = 0 if isinstance(op, Dense) else len(before) - 1
        return store[bias].reshape(-1, *[1] * trailing)
    whole = offset.expand(before)[None]
    return compact(apply(op, [whole], store)[0])


def over_time(draft: Draft, node: Node, op: OverTime) -> Region:
    """A reduction over time is the readout's, and the region that of one step."""
    if op.kind == "max":
        said = f"{node.name} takes the largest value over time, and more is computed with it"
        return draft.find("SNN112", node, said)
    region = draft.of(node.inputs[0])
    offset = region.offset
    if offset is not None and op.kind == "sum":
        offset = offset * (draft.graph.time_steps or 1)
    return replace(region, offset=offset)


def delayed(draft: Draft, node: Node, op: Delay) -> Region:
    """A step late: so are the spikes; the constant part is there at once, as no spikes are."""
    region = draft.of(node.inputs[0])
    shape = node.signal.shape
    if any(source in draft.host for source, _ in region.terms):
        said = f"{node.name} keeps an analog value for the next step"
        return draft.find("SNN112", node, said)
    silent = torch.zeros(()) if region.offset is None else region.offset
    first = draft.store.number(op.initial).expand(shape)
    silent = silent.expand(shape).double()
    if not region.broken and not torch.allclose(silent, first, rtol=1e-12, atol=1e-12):
        said = f"{node.name} starts at another value than {node.inputs[0]} has without spikes"
        return draft.find("SNN112", node, said)
    terms = {(source, (*chain, Delay())): c for (source, chain), c in region.terms.items()}
    return replace(region, terms=terms)


def concat(draft: Draft, node: Node, op: Concat) -> Region:
    """Each part with zeros around it, added up."""
    terms: dict[Term, float] = {}
    whole = node.signal.shape
    offset: torch.Tensor | None = None
    start, broken = 0, False
    for name in node.inputs:
        region = draft.of(name)
        shape = draft.graph.nodes[name].signal.shape
        size = shape[op.axis]
        widths = [(0, 0)] * len(whole)
        widths[op.axis] = (start, whole[op.axis] - start - size)
        pad = Pad(tuple(widths))
        for (source, chain), coefficient in region.terms.items():
            accumulate(terms, (source, (*chain, pad)), coefficient)
        if region.offset is not None:
            part = apply(pad, [region.offset.expand(shape)[None]], draft.store)[0]
            offset = part if offset is None else offset + part
        start += size
        broken |= region.broken
    return Region(terms, None if offset is None else compact(offset), broken)


def widened(region: Region, own: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """``region`` broadcast from ``own`` to ``shape``; constants broadcast by themselves."""
    if own == shape or not region.terms:
        return region
    terms: dict[Term, float] = {}
    for (source, chain), coefficient in region.terms.items():
        accumulate(terms, (source, (*chain, Broadcast(shape))), coefficient)
    return replace(region, terms=terms)
