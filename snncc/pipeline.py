"""From a target to its passes, and through them one after the other (design, section 3)."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.diagnostics.rules import Severity
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.ir.ops import Delay, Spiking
from snncc.ir.stages import Scheduled
from snncc.ir.text import print_graph, print_network
from snncc.options import Options, Reset
from snncc.passes.base import AnyPass, Form, Outcome, find
from snncc.reports import Reports
from snncc.targets import Target
from snncc.targets import target as find_target

if TYPE_CHECKING:
    from snncc.ir.interpreter import Value


SCHEDULES = "balance-delays"
"""The pass before which a network is rounded, where a target has it."""


class PassError(Exception):
    """A pass broke its promise: a bug of ours, or of the package the pass comes from.

    ``failed`` is the pass, ``before`` those that had run; ``__cause__`` is what went wrong.
    """

    def __init__(self, failed: AnyPass, before: Sequence[AnyPass], reason: str) -> None:
        after = f", after {', '.join(map(str, before))}," if before else ""
        super().__init__(f"pass {failed}{after} {reason}")
        self.failed, self.before = failed, tuple(before)


class Broken(Exception):
    """What an observer raises when a pass did not keep what it preserves; says where."""


@dataclass(frozen=True)
class Stage:
    """A pass that ran: what observers are shown.

    ``done`` are the passes before it, ``seconds`` its wall-clock time.
    """

    applied: AnyPass
    before: Form
    outcome: Outcome[Any]
    seconds: float
    done: tuple[AnyPass, ...] = ()

    @property
    def after(self) -> Form:
        form: Form | None = self.outcome.form
        assert form is not None, self.applied
        return form


Observer = Callable[[Stage], object]


@dataclass(frozen=True)
class Result:
    """The form after the last pass, and everything each pass had to say."""

    form: Form
    stages: tuple[Stage, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """In order; what two passes both say is said once."""
        return tuple(dict.fromkeys(f for stage in self.stages for f in stage.outcome.findings))

    @property
    def reports(self) -> Reports:
        """The report of each pass that makes one."""
        made = {stage.applied.name: stage.outcome.report for stage in self.stages}
        return Reports({name: report for name, report in made.items() if report is not None})

    @property
    def forms(self) -> tuple[Form, ...]:
        """The form behind each pass, in order."""
        return tuple(stage.after for stage in self.stages)

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds of each pass, by its spec."""
        return {str(stage.applied): stage.seconds for stage in self.stages}


@dataclass(frozen=True)
class Plan:
    """The passes of a compilation: those that make the program's Network, and those behind it.

    ``schedule`` is empty where the target runs any Network.
    """

    network: tuple[AnyPass, ...]
    schedule: tuple[AnyPass, ...]

    @property
    def passes(self) -> tuple[AnyPass, ...]:
        return self.network + self.schedule

    def calibrated(self, inputs: Mapping[str, Value]) -> Plan:
        """The same passes, those that measure on recordings with ``inputs``, by node."""
        return Plan(*(tuple(each.calibrated(inputs) for each in part)
                      for part in (self.network, self.schedule)))  # fmt: skip

    def forms(self, result: Result) -> tuple[Network, Scheduled | None]:
        """The program's Network, and what the target runs, of a run of all passes."""
        network, last = result.stages[len(self.network) - 1].after, result.form
        assert isinstance(network, Network)
        return network, last if isinstance(last, Scheduled) else None


def plan(target: str, options: Options) -> Plan:
    """The passes that bring a Graph to ``target``.

    Raises SNN313, SNN320, and SNN316 for a target that has no whole numbers, or not so many bits.
    """
    machine = find_target(target)
    rounding, schedule = _to_target(machine, options)
    return Plan(_to_network(machine, options) + rounding, schedule)


def frontend_passes(
    *, head: str | None = None, cut_merge: bool = False, strict: bool = False
) -> tuple[AnyPass, ...]:
    """Graph to Network, the same for every target."""
    options = Options(head=head, cut_merge=cut_merge, strict=strict)
    return _to_network(find_target("reference"), options)


def target_passes(
    name: str, *, stock_only: bool = False, weight_bits: int | None = None
) -> tuple[AnyPass, ...]:
    """Network to what the target runs; none where it runs any Network.

    With ``stock_only`` nothing is used that the target's own software does not have, with
    ``weight_bits`` whole numbers. Raises as `plan` does.
    """
    options = Options(stock_only=stock_only, weight_bits=weight_bits)
    rounding, schedule = _to_target(find_target(name), options)
    return rounding + schedule


def _to_network(machine: Target, options: Options) -> tuple[AnyPass, ...]:
    names = ("select-head", "strip-aap", "drop-identity", "check-spike-only", "lower", "fold-bn")
    return tuple(find(name).chosen(options, machine) for name in names)


def _to_target(
    machine: Target, options: Options
) -> tuple[tuple[AnyPass, ...], tuple[AnyPass, ...]]:
    """The passes up to whole numbers, where these are wanted, and those behind."""
    kinds = [find(each) for each in machine.passes]
    cut = 0
    if options.weight_bits is not None:
        _check_bits(machine, options.weight_bits)
        unscheduled = itertools.takewhile(lambda kind: kind.writes is Network, kinds)
        cut = len(list(unscheduled)) + 1
        kinds.insert(cut - 1, find("quantize"))
    if options.stock_only and kinds:
        kinds.append(find("check-stock"))
    passes = tuple(each.chosen(options, machine) for each in kinds)
    return passes[:cut], passes[cut:]


def run(
    form: Form,
    passes: Iterable[AnyPass],
    *,
    verify: Observer | None = None,
    print_after: Collection[str] = (),
    on_pass: Observer | None = None,
) -> Result:
    """Run ``passes`` in order, checking the form between them.

    After each pass its stage is printed if ``print_after`` names the pass ("all": every pass), then
    shown to ``verify``, then to ``on_pass``. Raises SnnccError with all findings so far, errors
    first, as soon as there is an error among them; SNN313 for a name in ``print_after`` that is no
    pass here; PassError when a pass fails, or a form is not what it says, or ``verify`` raises
    Broken.
    """
    passes = tuple(passes)
    _check_names(print_after, passes)
    observers = [printer(print_after), verify, on_pass]
    stages: list[Stage] = []
    for each in passes:
        done = tuple(stage.applied for stage in stages)
        stage = _step(each, form, done, _said(stages))
        stages.append(stage)
        for observer in filter(None, observers):
            try:
                observer(stage)
            except Broken as error:
                raise PassError(each, done, f"changed the network: {error}") from error
        form = stage.after
    return Result(form, tuple(stages))


OF_A_WHOLE = frozenset({"SNN208", "SNN212"})
"""Errors with numbers of the whole network."""


def collected(form: Form, passes: Iterable[AnyPass]) -> tuple[Finding, ...]:
    """All that ``passes`` have to say, also behind an error, on the rest that it leaves.

    Behind an error only other errors count, and not those `OF_A_WHOLE`: notes, warnings and sums
    would be of a network with holes. A pass behind it may be given a Network of an earlier stage,
    and has nothing to say where that or holes make it fail. Raises PassError as `run` does, for a
    pass that fails before any error.
    """
    findings: dict[Finding, None] = {}
    done: list[AnyPass] = []
    whole = True
    for each in passes:
        if whole:
            try:
                outcome = _applied(each, form, tuple(done))
            except SnnccError as error:
                return (*findings, *error.findings)
            findings |= dict.fromkeys(outcome.findings)
        elif isinstance(form, Graph) == issubclass(each.reads, Graph):
            try:
                outcome = each(form)
            except Exception:
                continue
            said = (f for f in outcome.findings if f.is_error and f.code not in OF_A_WHOLE)
            findings |= dict.fromkeys(said)
        else:
            break
        done.append(each)
        whole &= outcome.ok
        rest = outcome.form if outcome.ok else outcome.rest
        if rest is None:
            break
        form = rest
    return tuple(findings)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, errors first, then warnings, then notes; otherwise as they came."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda finding: list(Severity).index(finding.severity)))


def printer(names: Collection[str]) -> Observer:
    """An observer that writes the text of the form after the passes named, on stderr."""

    def show(stage: Stage) -> None:
        if stage.applied.name in names or "all" in names:
            form = stage.after
            text = print_graph(form) if isinstance(form, Graph) else print_network(form)
            sys.stderr.write(f"# after {stage.applied}\n{text}")

    return show


def with_reset(graph: Graph, reset: Reset) -> Graph:
    """The same graph with every neuron reset this way at once: another network than was trained."""
    nodes = (
        replace(node, op=replace(node.op, reset=reset, when="now", keep=0.0))
        if isinstance(node.op, Spiking)
        else node
        for node in graph.nodes.values()
    )
    return Graph.build(nodes, graph.tensors, graph.heads, graph.name, graph.time_steps)


def _check_bits(machine: Target, weight_bits: int) -> None:
    if not machine.is_fixed:
        help = "leave weight_bits out, or compile for a chip"
        raise refuse("SNN316", f"target {machine.name} computes in floating point", help=help)
    most = min(8, machine.chip.weight_bits) if machine.chip else 8
    if most < 2:
        said = f"a weight on {machine.name} has {most} bit, and whole numbers take 2 or more"
        raise refuse("SNN316", said, help="leave weight_bits out")
    if weight_bits not in range(2, most + 1):
        said = f"weight_bits={weight_bits}: a weight on {machine.name} has 2 to {most} bits"
        raise refuse("SNN316", said, help="choose a number from there")


def _step(each: AnyPass, form: Form, done: tuple[AnyPass, ...], said: list[Finding]) -> Stage:
    begin = time.perf_counter()
    try:
        outcome = _applied(each, form, done)
    except SnnccError as error:
        raise SnnccError(ordered([*said, *error.findings])) from error
    seconds = time.perf_counter() - begin
    if not outcome.ok:
        raise SnnccError(ordered([*said, *outcome.findings]))
    return Stage(each, form, outcome, seconds, done)


def _applied(each: AnyPass, form: Form, done: tuple[AnyPass, ...]) -> Outcome[Any]:
    """What a pass makes of a form, whole unless it has errors. Raises PassError."""
    if not isinstance(form, each.reads):
        reason = f"reads a {each.reads.__name__} and was given a {type(form).__name__}"
        raise PassError(each, done, reason)
    try:
        outcome = each(form)
    except SnnccError:
        raise
    except Exception as error:
        raise PassError(each, done, f"failed: {type(error).__name__}: {error}") from error
    if not outcome.ok:
        return outcome
    if not isinstance(outcome.form, each.writes):
        reason = f"promises a {each.writes.__name__} and made a {type(outcome.form).__name__}"
        raise PassError(each, done, reason)
    try:
        _check(outcome.form)
    except ValueError as error:
        raise PassError(each, done, f"left a broken network: {error}") from error
    return outcome


def _said(stages: Iterable[Stage]) -> list[Finding]:
    return [finding for stage in stages for finding in stage.outcome.findings]


def _check(form: Form) -> None:
    if isinstance(form, Network):
        form.verify()
        return
    seen: set[str] = set()
    for node in form.nodes.values():
        for name in node.inputs:
            if name not in (form.nodes if isinstance(node.op, Delay) else seen):
                raise ValueError(f"node {node.name} reads {name}, which does not come before it")
        for ref in node.op.refs():
            if ref not in form.tensors:
                raise ValueError(f"node {node.name} reads tensor {ref}, which is not there")
        seen.add(node.name)
    for head, name in form.heads.items():
        if name not in seen:
            raise ValueError(f"head {head} is node {name}, which is not there")


def _check_names(names: Collection[str], passes: Sequence[AnyPass]) -> None:
    known = [each.name for each in passes]
    for name in names:
        if name not in (*known, "all"):
            raise refuse("SNN313", f"no pass {name!r} runs here; there are {', '.join(known)}")
