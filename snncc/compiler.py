"""A trained module in, findings or a program out: trace, passes, verification."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch

from snncc.diagnostics import Finding, refuse
from snncc.frontends.data import InputKind, Layout
from snncc.frontends.torch import arrange, as_example, read, trace
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import Value
from snncc.ir.network import Network
from snncc.ir.ops import Input, Norm, Unread
from snncc.ir.work import GraphMeter
from snncc.pipeline import (
    Observer,
    Reset,
    Result,
    collected,
    frontend_passes,
    ordered,
    run,
    target_passes,
    with_reset,
)
from snncc.program import Program, check_bound
from snncc.verification import Verification

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import nn

SAMPLES = 8
"""How many of the example's and of the calibration's samples the verification runs."""

CALIBRATION = 64
"""How many samples of the calibration choose scales and say how much work each neuron is."""

RANDOM = 2
"""How many random samples it runs besides."""

MEMORY = 1 << 29
"""Bytes that the spikes it compares may take; large networks are verified on fewer samples."""


@dataclass(frozen=True)
class Report:
    """What stands between a module and a target; ``ok`` when nothing does."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.is_error for finding in self.findings)


def check(
    module: nn.Module,
    example_input: ArrayLike | Value,
    target: str = "loihi",
    *,
    strict: bool = False,
    head: str | int | None = None,
    input: InputKind = "analog",
    layout: Layout | None = None,
    time_steps: int | None = None,
    cut_merge: bool = False,
    stock_only: bool = False,
    weight_bits: int | None = None,
) -> Report:
    """Everything the compiler would say about ``module``, without making a program.

    The same recording, passes and rules as `compile`; ``strict`` makes an analog encoder on the
    host an error, ``stock_only`` what the target's own software does not have. Raises SnnccError
    only for a ``target`` that is not there (SNN313) or has no such ``weight_bits`` (SNN316).
    """
    passes = [
        *frontend_passes(head=_head(head), cut_merge=cut_merge, strict=strict),
        *target_passes(target, stock_only=stock_only, weight_bits=weight_bits),
    ]
    reading = read(module, example_input, time_steps=time_steps, layout=layout, input=input)
    findings = list(reading.findings)
    if reading.graph is not None:
        said = collected(reading.graph, passes)
        unread = {(n.name, n.op.code) for n in reading.graph.nodes.values()
                  if isinstance(n.op, Unread)}  # fmt: skip
        behind = [f for f in said if f.is_error and (f.node, f.code) not in unread]
        findings += behind if findings else said  # notes are of a whole network
    return Report(ordered(findings))


def compile(
    module: nn.Module,
    example_input: ArrayLike | Value,
    target: str = "loihi",
    *,
    calibration: ArrayLike | Value | None = None,
    weight_bits: int | None = None,
    head: str | int | None = None,
    input: InputKind = "analog",
    layout: Layout | None = None,
    time_steps: int | None = None,
    keep_aap: bool = False,
    cut_merge: bool = False,
    strict: bool = False,
    stock_only: bool = False,
    reset: Reset | None = None,
    verify: bool = True,
    print_after: Collection[str] = (),
    on_pass: Observer | None = None,
    source: Mapping[str, str] | None = None,
) -> Program:
    """Compile ``module`` for ``target``.

    ``example_input`` is exactly what ``module.forward`` takes: (T, N, …), (N, T, …) or, for a
    static image, (N, …); ``layout`` names the order where the number of axes does not tell, and
    ``time_steps`` is T for a module of one step, which is called T times. ``input`` declares what
    the values are. ``head`` picks one of several outputs; ``keep_aap`` keeps the auxiliary path as
    a host-side hybrid; ``cut_merge`` keeps the spike-only branch of outputs that were averaged.
    ``reset`` gives every neuron another reset than it was trained with. With ``stock_only`` nothing
    is used that the target's own software does not have: relays in the place of delays, and what
    has no such place is refused (SNN213).

    With ``weight_bits``, at most 8, the network computes in the whole numbers of the target
    (`snncc.passes.quantize`); scales are chosen on ``calibration`` where given, and the report says
    how many spikes they flip. Without, all is floating point and no spike differs.

    With ``verify`` both sides of each pass run in float64 on samples of the example, of
    ``calibration`` and on random ones, spike for spike. Where the target has cores, the spikes of
    ``calibration`` say how much work each neuron is. ``on_pass`` is shown each `Stage`,
    ``source`` says where the module came from ("name", "sha256").

    Raises SnnccError with all findings where the module cannot be compiled, and SNN316 for an
    option that is not there; PassError where a pass is broken, and that is our bug.
    """
    _check_options(reset)
    passes = [
        *frontend_passes(head=_head(head), cut_merge=cut_merge, strict=strict),
        *target_passes(target, stock_only=stock_only, weight_bits=weight_bits),
    ]
    last = "fold-bn" if weight_bits is None else "quantize"
    scheduled_from = [each.name for each in passes].index(last) + 1
    begin = time.perf_counter()
    example = as_example(example_input)
    graph = trace(module, example, time_steps=time_steps, layout=layout, input=input)
    seconds = {"trace": time.perf_counter() - begin}
    if reset is not None:
        graph = with_reset(graph, reset)
    data = [example] if calibration is None else [example, as_example(calibration)]
    verification = Verification(probes(graph, data)) if verify else None
    if calibration is not None:
        measured = probes(graph, data[1:], samples=CALIBRATION, random=0)
        passes = [
            replace(each, calibration=measured)  # type: ignore[call-arg]
            if "calibration" in {f.name for f in fields(each)}
            else each
            for each in passes
        ]
    result = run(graph, passes, verify=verification, print_after=print_after, on_pass=on_pass)

    network, scheduled = result.stages[scheduled_from - 1].after, None
    assert isinstance(network, Network)
    if isinstance(result.form, Network) and len(passes) > scheduled_from:
        scheduled = result.form
    stripped = _stripped(result)
    gone = tuple(name for name in graph.nodes if name not in stripped.nodes)
    options = {
        "head": _head(head),
        "input": input,
        "layout": layout,
        "time_steps": time_steps,
        "keep_aap": keep_aap,
        "cut_merge": cut_merge,
        "strict": strict,
        "stock_only": stock_only,
        "weight_bits": weight_bits,
        "reset": reset,
    }
    return Program(
        network,
        graph,
        target,
        next(iter(stripped.heads), ""),
        gone,
        keep_aap,
        scheduled,
        findings=_said(result.findings, keep_aap),
        about={
            "source": dict(source or {"name": type(module).__qualname__}),
            "options": {name: value for name, value in options.items() if value},
            "passes": [str(stage.applied) for stage in result.stages],
            "reports": _plain(result.reports),
            "stripped": _what_went(graph, stripped, gone),
            "verification": _verified(verification),
        },
        seconds={**seconds, **result.timings},
    )


def probes(
    graph: Graph,
    data: Sequence[Value],
    seed: int = 0,
    samples: int = SAMPLES,
    random: int = RANDOM,
) -> dict[str, Value]:
    """Inputs to verify a translation on: at most ``samples`` of each of ``data`` in the user's
    layout, and ``random`` random ones; fewer where `MEMORY` is short.

    As the interpreter takes them. Raises SnnccError: SNN306 where data does not fit, SNN312 where
    it is not finite, or a count is larger than what is proved.
    """
    neurons = sum(math.prod(node.signal.shape) for node in graph.neurons)
    room = max(1, MEMORY // (8 * max(1, neurons) * (graph.time_steps or 1)))
    inputs: dict[str, Value] = {}
    for node in graph.inputs:
        step = node.signal.rate == "step"
        given = [arrange(tensor, graph)[node.name] for tensor in data]
        for value in given:
            if not bool(torch.isfinite(value).all()):
                raise refuse("SNN312", "the example or the calibration data holds NaN or infinity")
            check_bound(node, value)
            if step and len(value) != len(given[0]):
                raise refuse(
                    "SNN306",
                    f"the calibration data has {len(value)} steps and the example {len(given[0])}",
                )
        parts = [
            value.narrow(int(step), 0, min(samples, room, value.shape[int(step)]))
            for value in given
        ]
        count = min(random, room)
        lead = (len(given[0]), count) if step else (count,)
        drawn = _random(node, (*lead, *node.signal.shape), seed, given[0])
        inputs[node.name] = torch.cat([*parts, drawn], int(step))
    return inputs


def _random(node: Node, shape: tuple[int, ...], seed: int, like: Value) -> Value:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    match node.op:
        case Input("spike"):
            return (uniform < 0.3).double()
        case Input("count"):
            return torch.poisson(uniform, generator)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    spread = float(like.std()) if like.numel() > 1 else 1.0
    return float(like.mean()) + (spread or 1.0) * normal


def _said(findings: Iterable[Finding], keep_aap: bool) -> tuple[Finding, ...]:
    """What is worth saying: an auxiliary path that is kept was not stripped."""
    return tuple(f for f in findings if not (keep_aap and f.code == "SNN404"))


def _stripped(result: Result) -> Graph:
    """The Graph as strip-aap left it."""
    for stage in result.stages:
        if stage.applied.name == "strip-aap":
            assert isinstance(stage.after, Graph)
            return stage.after
    raise AssertionError("strip-aap did not run")


def _what_went(graph: Graph, stripped: Graph, gone: Collection[str]) -> dict[str, int]:
    """Parameters, and MAC and AC of one sample; AC if every neuron fired at every step."""
    meter = GraphMeter(graph, gone)
    steps = graph.time_steps or 1
    most = {}
    for name in meter.reads:
        signal = graph.nodes[name].signal
        shape = (steps, 1, *signal.shape) if signal.rate == "step" else (1, *signal.shape)
        most[name] = torch.full(shape, max(signal.values.members or (1.0,)))
    total = meter(most, 1, steps).total
    norms = [node.op for node in graph.nodes.values() if isinstance(node.op, Norm)]
    statistics = {ref for op in norms for ref in (op.mean, op.variance)}
    lost = graph.tensors.keys() - stripped.tensors.keys() - statistics
    return {
        "nodes": len(gone),
        "parameters": sum(graph.tensors[name].size for name in lost),
        "mac": total.mac,
        "ac_at_most": total.ac,
    }


def _verified(verification: Verification | None) -> dict[str, int] | None:
    if verification is None:
        return None
    return {
        "passes": len(verification.checks),
        "spikes": sum(check.compared for check in verification.checks),
        "ties": verification.ties,
    }


def _check_options(reset: str | None) -> None:
    if reset not in (None, "hard", "soft"):
        raise refuse("SNN316", f"reset is hard or soft, not {reset!r}", help="or leave it out")


def _head(head: str | int | None) -> str | None:
    return None if head is None else str(head)


def _plain(value: Any) -> Any:
    """Reports as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int | float) or value is None:
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)
