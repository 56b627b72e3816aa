"""A trained module in, findings or a program out: trace, passes, verification."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from snncc.diagnostics import Finding, Location
from snncc.diagnostics.render.text import text
from snncc.frontends.layout import Layout
from snncc.frontends.torch import Recording, as_example, read, record
from snncc.frontends.torch.states import held, restore
from snncc.ir.graph import Graph
from snncc.ir.interpreter import Value
from snncc.ir.ops import Norm, Unread
from snncc.ir.size import Size
from snncc.ir.work import GraphMeter
from snncc.options import InputKind, Options, Reset
from snncc.pages import preformatted
from snncc.pipeline import (
    Observer,
    Result,
    collected,
    ordered,
    plan,
    run,
    with_reset,
)
from snncc.program import Program
from snncc.program.about import About, Gone
from snncc.verification import Agreement, Probe, Verification, agreement, probes, record_of
from snncc.verification.elsewhere import Opinion, second_opinion
from snncc.verification.probes import affordable, arranged, for_passes, recordings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import nn

CALIBRATION = 64
"""How many samples of the calibration choose scales and say how much work each neuron is."""


@dataclass(frozen=True)
class Report:
    """What stands between a module and a target; ``ok`` when nothing does."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.is_error for finding in self.findings)

    def __str__(self) -> str:
        """As `snncc check` prints it."""
        return text(self.findings)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return preformatted(str(self))


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
    options = Options(
        _head(head), input, layout, time_steps, cut_merge=cut_merge, strict=strict,
        stock_only=stock_only, weight_bits=weight_bits,
    )  # fmt: skip
    return checked(module, example_input, target, options)


def checked(
    module: nn.Module, example_input: ArrayLike | Value, target: str, options: Options
) -> Report:
    """`check`, with its options as one value."""
    passes = plan(target, options).passes
    reading = read(
        module, example_input, time_steps=options.time_steps, layout=options.layout,
        input=options.input,
    )  # fmt: skip
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
    static image, (N, …); ``layout`` names the order where the number of axes does not tell ("NT",
    or "NFT" for time last: `snncc.frontends.layout`), and ``time_steps`` is T for a module of one
    step, which is called T times. ``input`` declares what the values are. ``head`` picks one of
    several outputs; ``keep_aap`` keeps the auxiliary path as a host-side hybrid; ``cut_merge``
    keeps the spike-only branch of outputs that were averaged.
    ``reset`` gives every neuron another reset than it was trained with. With ``stock_only`` nothing
    is used that the target's own software does not have: relays in the place of delays, and what
    has no such place is refused (SNN213).

    With ``weight_bits``, at most 8, the network computes in the whole numbers of the target
    (`snncc.passes.quantize`); scales are chosen on ``calibration`` where given, and the report says
    how many spikes they flip. Without, all is floating point and no spike differs.

    With ``verify`` the module itself runs beside the recorded network, and then both sides of each
    pass, on samples of the example, of ``calibration`` and on drawn ones, spike for spike. Where
    the target has cores, the spikes of ``calibration`` say how much work each neuron is.
    ``on_pass`` is shown each `Stage`, ``source`` says where the module came from ("name",
    "sha256").

    Raises SnnccError with all findings where the module cannot be compiled, and SNN316 for an
    option that is not there; PassError where a pass is broken, and that is our bug.
    """
    options = Options(
        _head(head), input, layout, time_steps, keep_aap, cut_merge, strict, stock_only,
        weight_bits, reset,
    )  # fmt: skip
    return compiled(
        module, example_input, target, options, calibration=calibration, verify=verify,
        print_after=print_after, on_pass=on_pass, source=source,
    )  # fmt: skip


def compiled(
    module: nn.Module,
    example_input: ArrayLike | Value,
    target: str,
    options: Options,
    *,
    calibration: ArrayLike | Value | None = None,
    verify: bool = True,
    print_after: Collection[str] = (),
    on_pass: Observer | None = None,
    source: Mapping[str, str] | None = None,
) -> Program:
    """`compile`, with the options of the manifest as one value."""
    planned = plan(target, options)
    example = as_example(example_input)
    data = None if calibration is None else as_example(calibration)
    recorded = _recorded(module, example, data, options, verify)
    graph = recorded.recording.graph
    if options.reset is not None:
        graph = with_reset(graph, options.reset)
    measured = None if data is None else recordings(graph, data, CALIBRATION)
    if measured is not None:
        planned = planned.calibrated(arranged(graph, [measured]))
    verification = recorded.verification
    result = run(
        graph, planned.passes, verify=verification, print_after=print_after, on_pass=on_pass
    )
    network, scheduled = planned.forms(result)
    stripped, agreed = without_aap(result), recorded.agreed
    gone = tuple(name for name in graph.nodes if name not in stripped.nodes)
    proof = None
    if agreed is not None and verification is not None:
        samples, opinion = recorded.recording.samples, recorded.opinion
        proof = record_of(module, agreed, verification.checks, samples, opinion)
    said = (
        *unasked(recorded.recording, agreed),
        *(agreed.findings if agreed else ()),
        *result.findings,
    )
    return Program(
        network,
        graph,
        target,
        next(iter(stripped.heads), ""),
        gone,
        options.keep_aap,
        scheduled,
        findings=worth_saying(said, options.keep_aap),
        about=About(
            dict(source or {"name": type(module).__qualname__}),
            options,
            tuple(str(stage.applied) for stage in result.stages),
            result.reports,
            tuple(map(Size.of, (graph, *result.forms))),
            what_went(graph, stripped, gone),
            proof,
        ),
        inputs=_users(agreed, measured),
        seconds={**recorded.seconds, **result.timings},
    )


@dataclass(frozen=True)
class _Recorded:
    """A module as it was recorded, and where it was compared, how and with what."""

    recording: Recording
    seconds: Mapping[str, float]
    agreed: Agreement | None = None
    opinion: Opinion | None = None
    verification: Verification | None = None


def _recorded(
    module: nn.Module, example: Value, data: Value | None, options: Options, verify: bool
) -> _Recorded:
    """Record ``module``, and with ``verify`` compare it with its Graph; it is left as it was."""
    begin = time.perf_counter()
    before = held(module)
    recording = record(
        module, example, time_steps=options.time_steps, layout=options.layout, input=options.input
    )
    restore(before, held(module))
    seconds = {"trace": time.perf_counter() - begin}
    if not verify:
        return _Recorded(recording, seconds)
    begin, graph = time.perf_counter(), recording.graph
    agreed = agreement(module, graph, probes(recording, example, data))
    opinion = second_opinion(module, graph, agreed.probes)
    restore(before, held(module))
    seconds["verify the module"] = time.perf_counter() - begin
    verification = Verification(arranged(graph, for_passes(agreed.probes)))
    return _Recorded(recording, seconds, agreed, opinion, verification)


def worth_saying(findings: Iterable[Finding], keep_aap: bool) -> tuple[Finding, ...]:
    """What is worth saying: an auxiliary path that is kept was not stripped."""
    return tuple(f for f in findings if not (keep_aap and f.code == "SNN404"))


def without_aap(result: Result) -> Graph:
    """The Graph as strip-aap left it."""
    for stage in result.stages:
        if stage.applied.name == "strip-aap":
            assert isinstance(stage.after, Graph)
            return stage.after
    raise AssertionError("strip-aap did not run")


def what_went(graph: Graph, stripped: Graph, gone: Collection[str]) -> Gone:
    """Parameters, and MAC and AC of one sample; AC if every neuron fired at every step."""
    meter = GraphMeter(graph, gone)
    steps = graph.time_steps or 1
    most = {}
    for name in meter.reads:
        signal = graph.nodes[name].signal
        times = steps if signal.rate == "step" else 1
        most[name] = torch.full(signal.shape, times * max(signal.values.members or (1.0,)))
    total = meter(most, 1, steps).total
    norms = [node.op for node in graph.nodes.values() if isinstance(node.op, Norm)]
    statistics = {ref for op in norms for ref in (op.mean, op.variance)}
    lost = graph.tensors.keys() - stripped.tensors.keys() - statistics
    parameters = sum(graph.tensors[name].size for name in lost)
    return Gone(len(gone), parameters, total.mac, total.ac)


def unasked(recording: Recording, agreed: Agreement | None) -> Iterator[Finding]:
    """The numbers of samples that forward asks about and that are too large to be called."""
    for count in sorted(recording.samples) if agreed is not None else ():
        if count > affordable(recording.graph):
            said = f"forward asks whether there are {count:,} samples, and the recorded network is "
            yield Finding("SNN508", f"{said}not verified with so many", Location("forward"))


def _users(agreed: Agreement | None, measured: Probe | None) -> dict[str, np.ndarray]:
    """The user's own samples, to be kept with the program."""
    calls = () if agreed is None else agreed.probes
    kept = {p.name: p for p in calls if p.name == "example"}
    kept |= {} if measured is None else {measured.name: measured}
    return {name: probe.inputs.double().numpy() for name, probe in kept.items()}


def _head(head: str | int | None) -> str | None:
    return None if head is None else str(head)
