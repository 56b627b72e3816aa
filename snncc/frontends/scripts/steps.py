"""Where a script has its steps of time: loops, and calls that move axes."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from snncc.frontends.layout import Layout
from snncc.frontends.scripts.source import Function, Source, calls, dotted, last_name


@dataclass(frozen=True)
class Time:
    """``around``: the network is one step, and the script calls it in a loop."""

    layout: Layout
    origin: str
    around: bool = False
    steps: ast.expr | None = None


def time_in(source: Source, forward: Function, of_network: bool) -> Time | None:
    """Where a forward with a loop over time has its steps."""
    loops = [n for n in ast.walk(forward) if isinstance(n, ast.For)]
    arguments = [arg.arg for arg in forward.args.args if arg.arg != "self"]
    moved = axes_moved(forward)
    for loop in sorted(loops, key=lambda node: node.lineno):
        step = dotted(loop.target)
        if dotted(loop.iter) in arguments:
            layout: Layout = "NT" if moved is not None else "TN"
            words = f"`for {step} in {dotted(loop.iter)}`"
            return Time(layout, f"{source.place(loop)}, {words}")
        for node in (n for each in loop.body for n in ast.walk(each)):
            if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
                continue
            axis = _axis_of(node, step)
            if axis is None or (dotted(node.value) not in arguments and of_network):
                continue
            place = f"{source.place(node)}, `{ast.unparse(node)}`"
            if axis == 0 and moved is not None and moved.lineno < loop.lineno:
                return Time("NT", f"{place}; {source.place(moved)}, `{ast.unparse(moved)}`")
            return Time({0: "TN", 1: "NT", -1: "NFT"}[axis], place, steps=_steps_of(loop, source))
        if of_network and is_over_time(loop) and step:
            return Time("N", f"{source.place(loop)}, a loop over one input")
    return None


def _steps_of(loop: ast.For, source: Source) -> ast.expr | None:
    """The number of steps of a loop, if it is written down."""
    node = range_of(loop)
    return node if type(source.value_of(node)) is int else None


def _axis_of(node: ast.Subscript, step: str) -> int | None:
    """The axis that ``x[t]``, ``x[:, t]`` or ``x[..., t]`` takes step ``t`` of."""
    if dotted(node.slice) == step:
        return 0
    if not isinstance(node.slice, ast.Tuple):
        return None
    for position, each in enumerate(node.slice.elts):
        if dotted(each) != step:
            continue
        before = node.slice.elts[:position]
        if any(isinstance(b, ast.Constant) and b.value is Ellipsis for b in before):
            return -1
        return position if position <= 1 else None
    return None


def axes_moved(*nodes: ast.AST) -> ast.Call | None:
    """A call that swaps the first two axes: ``x.transpose(0, 1)``, ``x.permute(1, 0, 2)``."""
    for call in calls(*nodes):
        numbers: list[Any] = [a.value for a in call.args if isinstance(a, ast.Constant)]
        if last_name(call.func) in ("transpose", "swapaxes") and numbers in ([0, 1], [1, 0]):
            return call
        if last_name(call.func) == "permute" and numbers[:2] == [1, 0]:
            return call
    return None


def is_over_time(loop: ast.For) -> bool:
    """``for t in range(T)``, and no loop of a training: over epochs, or with a backward in it."""
    node = loop.iter
    if not isinstance(node, ast.Call) or last_name(node.func) not in ("range", "trange"):
        return False
    words = f"{ast.unparse(loop.target)} {ast.unparse(node)}".lower()
    trains = any(last_name(call.func) in ("backward", "zero_grad") for call in calls(*loop.body))
    return not trains and "epoch" not in words and "len(" not in words


def range_of(node: ast.For) -> ast.expr | None:
    """The end of a loop over ``range``."""
    args = node.iter.args if isinstance(node.iter, ast.Call) else []
    return args[min(len(args) - 1, 1)] if args else None
