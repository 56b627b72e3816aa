"""Memoryless populations: gates of spikes, levels of counts, currents compared."""

from __future__ import annotations

import math

import torch

from snncc.ir.graph import Node
from snncc.ir.network import Neuron, Population
from snncc.ir.ops import Elementwise
from snncc.lowering.combination import Region, combine, plus
from snncc.lowering.cones import levels_of
from snncc.lowering.draft import Draft
from snncc.lowering.encoders import connect
from snncc.lowering.linear import widened

GATE_LIMIT = 16
"""Maximum number of gates for a function of counts."""


def gate(
    draft: Draft, node: Node, name: str, parts: list[Region], weights: tuple[int, ...],
    threshold: float, stands_for: str | None = None,
) -> Region:  # fmt: skip
    """A memoryless population [Σ weight·part ≥ threshold] of the shape of ``node``."""
    if name != node.name:
        name = draft.unused(name)
    total = combine(parts, tuple(map(float, weights)), 0.0)
    bias = draft.number(f"{name}.bias", total.offset)
    neuron = Neuron(decay=0.0, threshold=float(threshold), bias=bias)
    stands = node.name if stands_for is None else stands_for
    draft.places[name] = Population(name, node.signal.shape, neuron, "gate", stands, node.origin)
    connect(draft, total, name)
    return Region({(name, ()): 1.0})


def level(draft: Draft, name: str, number: int) -> Region:
    """[value of ``name`` ≥ its level ``number``]: a gate, shared by all that ask."""
    node, region = draft.graph.nodes[name], draft.of(name)
    levels = levels_of(draft.sets[name].members or ())
    bound = levels[number][0]
    if not all(value == int(value) for members in levels for value in members):
        bound = (levels[number - 1][-1] + bound) / 2
    if not region.terms:
        assert region.offset is not None
        return Region({}, (region.offset >= bound).double())
    if (name, number) not in draft.levels:
        own = gate(draft, node, f"{name}.level{number}", [region], (1,), bound, "")
        draft.levels[name, number] = own
    return draft.levels[name, number]


def bit(draft: Draft, name: str, number: int, shape: tuple[int, ...]) -> Region:
    """[value of ``name`` ≥ its level ``number``], broadcast to ``shape``; a spike is its own."""
    own = draft.graph.nodes[name].signal.shape
    spike = draft.sets[name].is_spike
    return widened(draft.of(name) if spike else level(draft, name, number), own, shape)


def comparison(draft: Draft, node: Node, op: Elementwise) -> Region | None:
    """A current compared with a constant, or with another current: a neuron without memory.

    None for a step function whose value at 0 is neither 0 nor 1.
    """
    function = op.function
    left, right = (
        widened(draft.of(name), draft.graph.nodes[name].signal.shape, node.signal.shape)
        for name in node.inputs
    )
    if function == "heaviside":
        at_zero = right.offset
        if right.terms or at_zero is None or not bool(((at_zero == 0) | (at_zero == 1)).all()):
            return None
        function = "ge" if bool(at_zero.all()) else "gt"
        right = Region({}, torch.zeros((), dtype=torch.float64))
    if not left.terms:
        left, right = right, left
        function = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt"}[function]
    threshold = torch.zeros((), dtype=torch.float64)
    if right.terms:
        left = plus(left, right, -1.0)
    elif right.offset is not None:
        threshold = right.offset
    sign = 1.0 if function in ("ge", "gt") else -1.0
    threshold = threshold * sign
    if function in ("gt", "lt"):
        threshold = torch.nextafter(threshold, torch.full_like(threshold, math.inf))
    region = plus(Region({}), left, sign)
    neuron = Neuron(
        decay=0.0,
        threshold=draft.number(f"{node.name}.threshold", threshold),
        bias=draft.number(f"{node.name}.bias", region.offset),
    )
    draft.places[node.name] = Population(
        node.name, node.signal.shape, neuron, "neuron", node.name, node.origin
    )
    connect(draft, region, node.name)
    return Region({(node.name, ()): 1.0})
