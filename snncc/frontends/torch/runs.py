"""One run of a module, recorded: in step with its input, or step by step and rolled up."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import nn

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.neurons import converter
from snncc.frontends.torch.axes import Axes, features
from snncc.frontends.torch.calls import HANDLERS
from snncc.frontends.torch.calls.elementwise import constant
from snncc.frontends.torch.copies import first_line, undisturbed
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.recorder import Overhearing, Recorder
from snncc.frontends.torch.states import Held, Place, changed, held
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph, Rate
from snncc.ir.ops import Delay, Identity, Input, Spiking
from snncc.options import InputKind
from snncc.passes.recognise_neurons import RecogniseNeurons
from snncc.recognition.beginnings import is_step
from snncc.recognition.rolling import rolled

Noted = dict[str, dict[int | None, torch.Tensor]]
"""Values of nodes by step; None where all steps are in one."""


SHOWN = 4
"""So many tensors are named where many have one fault."""


CALLS = 5
"""So many calls of a module of one step show at least what one leaves to the next."""


ABOUT_LOOPS = frozenset({"SNN112", "SNN301", "SNN309", "SNN310", "SNN314", "SNN318"})
"""What a loop may end in whose steps do not follow those of the input."""


INPUT = "input"


FORWARD = Location("forward")


@dataclass(frozen=True)
class Run:
    """How a module is run to be recorded.

    ``axes`` are those of the data, ``time_steps`` is T where the module computes one step.
    ``tried``: calls are replayed and neurons are tried.
    """

    axes: Axes
    samples: int
    time_steps: int | None
    kind: InputKind
    tried: bool = True

    @classmethod
    def again(cls, graph: Graph, samples: int, time_steps: int | None) -> Run:
        """As the module of ``graph`` was run, on other numbers of samples and steps."""
        (node,) = graph.inputs
        kind = node.op.kind if isinstance(node.op, Input) else "analog"
        steps = time_steps if graph.is_of_one_step else None
        return cls(node.signal.axes, samples, steps, kind, tried=False)

    @property
    def single(self) -> bool:
        return self.time_steps is not None

    @property
    def calls(self) -> int:
        """How often a module of one step is called where it keeps states of its own."""
        return max(self.time_steps or 0, CALLS)


def record_run(
    copied: Callable[[], nn.Module], data: torch.Tensor, run: Run, notes: Notes,
    noted: Noted | None = None,
) -> tuple[Graph, Recorder]:  # fmt: skip
    """The Graph of one run, and what else the recorder saw; it fills ``noted``.

    Where the steps of the input do not tell those of a loop, each step is written down and
    rolled up.
    """
    twin = copied()
    before = held(twin) if run.single else {}
    own = Notes(notes.lenient)
    values: Noted = {name: {} for name in noted or ()}
    error: SnnccError | None = None
    found: tuple[Graph, Recorder] | None = None
    try:
        found = _recorded(twin, data, run, own, values)
        lives_on = left_behind(twin, before) if run.single else []
    except SnnccError as refused:
        error, lives_on = refused, []
    if lives_on or _is_about_loops(own, error) or (found and _is_static_loop(found[0])):
        try:
            return record_steps(copied(), data, run, Notes(), noted)
        except StepsDiffer as unrolled:
            if lives_on:
                raise _lives_on(lives_on, unrolled) from None
            if _says_more(unrolled, found, run, own.findings or error is not None):
                raise
        except SnnccError as unrolled:
            if any(not _is_followed(held(twin).get(name)) for name in lives_on):
                raise _lives_on(lives_on, unrolled) from None
            if _says_more(unrolled, found, run, own.findings or error is not None):
                raise
    notes.findings += [finding for finding in own.findings if finding not in notes.findings]
    if error is not None:
        raise error
    assert found is not None
    if noted is not None:
        noted |= values
    return found


def _is_about_loops(notes: Notes, error: SnnccError | None) -> bool:
    """Whether a recording that writes down every step may tell more."""
    findings = [*notes.findings, *(error.findings if error else ())]
    return any(finding.code in ABOUT_LOOPS for finding in findings)


def _says_more(
    unrolled: SnnccError, found: tuple[Graph, Recorder] | None, run: Run, refused: object
) -> bool:
    """Whether a run in which every step is written down says what is wrong.

    Where the steps follow those of the input, and something was ``refused``, the first recording
    is nearer to the code. Where nothing was, it only knows of no neuron; and of a loop over no
    steps of the input it does not know what repeats.
    """
    (finding, *_) = unrolled.findings
    seen = bool(finding.node)
    if not refused:
        assert found is not None
        return not found[0].of_type(Spiking, Delay) and (seen or finding.code != "SNN318")
    return seen and "T" not in run.axes


def _is_static_loop(graph: Graph) -> bool:
    """Whether values that do not change in time are compared, and there is no neuron."""
    compared = any(is_step(n.op) and n.signal.rate == "static" for n in graph.nodes.values())
    return compared and not graph.neurons


class StepsDiffer(SnnccError):
    """The steps of a run that were written down one by one are no loop."""


def _lives_on(names: Sequence[str], error: SnnccError) -> SnnccError:
    """What a step leaves to the next, which may make that another one."""
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN])
    (finding, *_) = error.findings
    said = f"{shown} changes from step to step, and the steps are not alike: {finding.message}"
    return refuse("SNN322", said, finding.location)


def _is_followed(place: Place | None) -> bool:
    """Whether verification can tell where a value that is kept goes: a tensor or a number."""
    value = place.value if place is not None else None
    return isinstance(value, torch.Tensor | int | float) and not isinstance(value, bool)


def left_behind(twin: nn.Module, before: Held) -> list[str]:
    """What a call left behind, neurons aside."""
    neurons = [path for path, part in twin.named_modules() if converter(part)]
    return [
        name for name in changed(before, held(twin))
        if not any(name == path or name.startswith(f"{path}.") for path in neurons)
    ]  # fmt: skip


def record_steps(
    twin: nn.Module, data: torch.Tensor, run: Run, notes: Notes, noted: Noted | None
) -> tuple[Graph, Recorder]:
    """The same from a run in which every step is written down."""
    values: Noted = {}
    graph, recorder = _recorded(
        twin, data, run, notes, values if noted is not None else None, unrolled=True
    )
    found = rolled(graph)
    if found.finding is not None:
        raise StepsDiffer(found.finding)
    circles = [f for f in RecogniseNeurons()(found.graph).findings if f.code == "SNN112"]
    if circles:
        raise SnnccError(circles)
    for name, steps in found.steps.items():
        if noted and name in noted:
            noted[name] |= {
                t: values[step][None] if isinstance(step, str) else torch.as_tensor(step)
                for t, step in enumerate(steps) if step is not None
            }  # fmt: skip
    return (_of_one_call(found.graph, run) if run.single else found.graph), recorder


def _of_one_call(graph: Graph, run: Run) -> Graph:
    """As one call of a module of one step is recorded: its tensors have no axis of time."""
    nodes = (
        replace(node, signal=replace(
            node.signal, axes=tuple(role for role in node.signal.axes if role != "T")
        )) for node in graph.nodes.values()
    )  # fmt: skip
    return Graph.build(nodes, graph.tensors, graph.heads, graph.name, run.time_steps)


def _recorded(
    twin: nn.Module, data: torch.Tensor, run: Run, notes: Notes, noted: Noted | None,
    unrolled: bool = False,
) -> tuple[Graph, Recorder]:  # fmt: skip
    """One run; ``unrolled``, with every step by itself, one call a step for a module of one."""
    axes, named = run.axes, _known_tensors(twin)
    _check_finite(named, notes)
    steps = data.shape[axes.index("T")] if "T" in axes else None
    calls = unrolled and run.single
    recorder = Recorder(
        HANDLERS, named, {id(part): path for path, part in twin.named_modules()}, run.samples,
        steps, run.single and not calls, notes, run.tried, unrolled,
    )  # fmt: skip
    neurons = (path for path, part in twin.named_modules() if converter(part) is not None)
    recorder.neuron_names = frozenset(filter(None, neurons))
    recorder.noted = noted if noted is not None else {}
    recorder.noting = unrolled and noted is not None
    rate: Rate = "step" if "T" in axes or (run.single and run.kind != "analog") else "static"
    name = recorder.emit(
        Input(run.kind),
        (),
        features(axes, data.shape[data.dim() - len(axes) :]),
        axes,
        rate=rate,
        what=INPUT,
    )
    try:
        if calls:
            outputs = [
                _run(recorder, twin, _step(recorder, data, name, axes, t), data.dtype)
                for t in range(run.calls)
            ]
        else:
            data = data.clone()
            recorder.bind(data, name, axes)
            outputs = [_run(recorder, twin, data, data.dtype)]
        if notes.findings and not notes.lenient:  # forward caught what was raised
            raise SnnccError(notes.findings[0])
        if recorder.failed is not None:
            notes.go_on(recorder.failed)
        heads = _heads_of_calls(recorder, outputs) if calls else _heads(recorder, outputs[0])
        recorder.loop.finish(heads.values())
        total = run.time_steps if run.single and not calls else recorder.steps
        graph = Graph.build(
            recorder.nodes.values(), recorder.tensors, heads, _plain(type(twin).__name__), total
        )
    finally:
        recorder.let_go()
    return graph, recorder


def _known_tensors(twin: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that exist before the run, by name."""
    named = dict(twin.named_parameters()) | dict(twin.named_buffers())
    for path, part in twin.named_modules():
        for attribute, value in vars(part).items():
            if attribute not in ("_parameters", "_buffers", "_modules"):
                for name, tensor in _inside(".".join(filter(None, (path, attribute))), value):
                    named.setdefault(name, tensor)
    return named


def _inside(name: str, value: object) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a list or a dict, by name, however deep."""
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside(f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _inside(f"{name}.{key}", item)


def _check_finite(named: Mapping[str, torch.Tensor], notes: Notes) -> None:
    """Refuse values that are none; a recording that goes on has zeros for them."""
    wrong = [
        name for name, tensor in named.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]  # fmt: skip
    if not wrong:
        return
    shown = ", ".join(wrong[:SHOWN]) + (
        f" and {more} more" if (more := len(wrong) - SHOWN) > 0 else ""
    )
    said = "tensor {} has" if len(wrong) == 1 else "tensors {} have"
    message = f"{said.format(shown)} a NaN or infinite value"
    owner = wrong[0].rpartition(".")[0] or wrong[0]
    notes.go_on(refuse("SNN307", message, Location(owner)))
    with torch.no_grad():
        for name in wrong:
            named[name].nan_to_num_(0.0, 0.0, 0.0)


def _step(recorder: Recorder, data: torch.Tensor, name: str, axes: Axes, step: int) -> torch.Tensor:
    """What one of several calls is given; it has the steps in front, or they are all the same."""
    data = data[min(step, len(data) - 1)] if data.dim() > len(axes) else data
    data = data.clone()
    if recorder.nodes[name].signal.rate == "step":
        name = recorder.at_step(name, step)
    recorder.bind(data, name, axes)
    return data


def _run(recorder: Recorder, twin: nn.Module, data: torch.Tensor, dtype: torch.dtype) -> object:
    try:
        with recorder.attached(twin), undisturbed(twin, data.dtype), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with (
                Widened() if dtype == torch.float64 else nullcontext(),
                recorder,
                Overhearing(recorder),
            ):
                return twin(data)
    except SnnccError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{type(error).__name__} in forward: {first_line(error)}"
        raise refuse("SNN314", message, recorder.here_or(error)) from None


def _plain(name: str) -> str:
    return name.lstrip("_") or "network"


def _heads(recorder: Recorder, output: object) -> dict[str, str]:
    """Each returned tensor that depends on the input, under its index or key."""
    heads: dict[str, str] = {}
    lost: SnnccError | None = None
    for name, tensor in named_outputs(output):
        lost = lost or recorder.why_lost(tensor)
        if recorder.is_tracked(tensor):
            recorder.loop.final(tensor)
            node, axes = recorder.solid(tensor)
            if recorder.nodes[node].signal.axes != axes:
                shape = features(axes, tensor.shape)
                node = recorder.emit(Identity("output"), [node], shape, axes, what="output")
            heads[name] = node
    if not heads:
        nothing = refuse("SNN314", "no output of the module depends on its input", FORWARD)
        if lost is not None or not recorder.notes.findings:
            recorder.notes.go_on(lost or nothing)
        heads["0"] = recorder.lost_head()
    return heads


def _heads_of_calls(recorder: Recorder, outputs: Sequence[object]) -> dict[str, str]:
    """The same of a module that was called once per step."""
    calls = [dict(named_outputs(output)) for output in outputs]
    heads: dict[str, str] = {}
    for name in calls[0]:
        tensors = [call[name] for call in calls if name in call]
        known = [recorder.solid(tensor) for tensor in tensors if recorder.is_tracked(tensor)]
        if len(tensors) < len(calls) or not known:
            continue
        _, axes = known[0]
        nodes = [
            recorder.solid(tensor)[0] if recorder.is_tracked(tensor)
            else constant(recorder, tensor, axes, whole=True)
            for tensor in tensors
        ]  # fmt: skip
        same = len(set(nodes)) == 1
        heads[name] = nodes[0] if same else recorder.all_steps(nodes, ("T", *axes))
    if not heads:
        raise refuse("SNN314", "no output of the module depends on its input", FORWARD)
    return heads


def named_outputs(output: object, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in what a forward returned, named by index or key, dots between levels."""
    if isinstance(output, torch.Tensor):
        yield prefix or "0", output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from named_outputs(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(output, list | tuple):
        for index, value in enumerate(output):
            yield from named_outputs(value, f"{prefix}.{index}" if prefix else str(index))
