"""``trace``: a module and an example to a Graph."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.frontends import snntorch
from snncc.frontends.layout import Layout, check_layout, roles
from snncc.frontends.neurons import library
from snncc.frontends.torch.axes import Axes, features
from snncc.frontends.torch.calls import HANDLERS
from snncc.frontends.torch.devices import OnCpu
from snncc.frontends.torch.guards import other_answers
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.options import wrong_option
from snncc.frontends.torch.recorder import Overhearing, Recorder
from snncc.frontends.torch.states import Place, changed, digest, held
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph, Node, Rate, Signal
from snncc.ir.inference import with_values
from snncc.ir.ops import Constant, Identity, Input, Unread
from snncc.passes.recognise_neurons import RecogniseNeurons

Integers = Mapping[tuple[str, torch.dtype], str]
"""The nodes that torch computes in whole numbers: their dtype, and the call."""


@dataclass(frozen=True)
class Recording:
    """A Graph, and the numbers of samples for which forward may do something else."""

    graph: Graph
    samples: frozenset[int] = frozenset()


InputKind = Literal["spike", "count", "analog"]

INPUT = "input"

FORWARD = Location("forward")


@dataclass(frozen=True)
class Reading:
    """All that a recording has to say.

    ``graph`` is None where it could not go to the end, and holds `Unread` where it went on behind a
    finding.
    """

    graph: Graph | None
    findings: tuple[Finding, ...]


def trace(
    module: nn.Module,
    example_input: torch.Tensor | np.ndarray,
    *,
    time_steps: int | None = None,
    layout: Layout | None = None,
    input: InputKind = "analog",
) -> Graph:
    """Record ``module`` on ``example_input`` and return what it computes in one time step.

    ``example_input`` is what ``module.forward`` takes: (T, N, …) for layout "TN", (N, T, …) for
    "NT", (N, …) for "N", (N, …, T) for "NFT" (see `snncc.frontends.layout`); without a layout, an
    odd number of axes is "TN", an even one "N".
    ``time_steps`` says that the module computes one step and is called that many times. ``input``
    declares what the values are. The module itself is not touched: a copy in float64 runs, twice,
    on different data and batch sizes, and both recordings must agree.

    Raises SnnccError with the first finding: SNN1xx (temporal mixing, neurons without exact form),
    SNN3xx (whatever a recording cannot see).
    """
    return record(module, example_input, time_steps=time_steps, layout=layout, input=input).graph


def record(
    module: nn.Module,
    example_input: torch.Tensor | np.ndarray,
    *,
    time_steps: int | None = None,
    layout: Layout | None = None,
    input: InputKind = "analog",
) -> Recording:
    """The same, with what has to be verified with other numbers of samples."""
    found: Recording | SnnccError
    try:
        found = _traced(module, example_input, time_steps, layout, input, Notes())
    except SnnccError as error:
        found = error
    graph, errors = (None, found.findings) if isinstance(found, SnnccError) else (found.graph, ())
    wrong = _wrong_option(graph, errors, module, example_input, time_steps, layout, input)
    if wrong is not None:
        raise SnnccError(wrong)
    if isinstance(found, SnnccError):
        raise found
    return found


def read(
    module: nn.Module,
    example_input: object,
    *,
    time_steps: int | None = None,
    layout: Layout | None = None,
    input: InputKind = "analog",
) -> Reading:
    """The same, with all findings: the recording goes on behind them as far as it can.

    Where the module is read with other options, that is the only one.
    """
    notes = Notes(lenient=True)
    graph: Graph | None = None
    try:
        graph = _traced(module, example_input, time_steps, layout, input, notes).graph
    except SnnccError as error:
        notes.add(error)
    errors = [finding for finding in notes.findings if finding.is_error]
    wrong = _wrong_option(graph, errors, module, example_input, time_steps, layout, input)
    if wrong is not None:
        return Reading(None, (wrong,))
    return Reading(graph, tuple(notes.findings))


def _wrong_option(
    graph: Graph | None, errors: Sequence[Finding], module: nn.Module, example_input: object,
    time_steps: int | None, layout: Layout | None, input: InputKind,
) -> Finding | None:  # fmt: skip
    """The option that is wrong where a module cannot be read, and can be with another.

    A step without a neuron is not read either.
    """
    without = time_steps is not None and graph is not None and not graph.neurons
    if not (errors or without):
        return None

    def reads(data: torch.Tensor, order: Layout) -> bool:
        try:
            graph = _traced(module, data, None, order, input, Notes()).graph
        except SnnccError:
            return False
        return bool(graph.neurons) and graph.time_steps is not None

    try:
        example = as_example(example_input)
        chosen = layout or default_layout(example.dim(), time_steps)
        return wrong_option(errors, example, chosen, time_steps, reads)
    except SnnccError:
        return None


def _traced(
    module: nn.Module, example_input: object, time_steps: int | None, layout: Layout | None,
    input: InputKind, notes: Notes,
) -> Recording:  # fmt: skip
    example = as_example(example_input)
    _check_values(module)
    _check_rests(module)
    if example.dim() < 2:
        raise refuse("SNN306", f"an input of shape {tuple(example.shape)} has no axis of samples")
    if input not in ("spike", "count", "analog"):
        raise refuse("SNN316", f"input is spike, count or analog, not {input!r}")
    chosen = layout or default_layout(example.dim(), time_steps)
    check_layout(chosen)
    if time_steps is not None and (time_steps < 1 or "T" in chosen):
        help = "leave time_steps out where the layout has T: it is the size of that axis"
        said = f"time_steps={time_steps} goes with one step, layout N, T ≥ 1"
        raise refuse("SNN316", said, help=help)
    axes = roles(chosen, example.dim())
    steps = example.shape[axes.index("T")] if "T" in axes else None
    samples = [n for n in (2, 3, 4) if n not in (steps, time_steps)][:2]
    try:
        return _agreed(module, example, axes, samples, time_steps, input, torch.float64, notes)
    except SnnccError as error:
        forced = any(f.code == "SNN314" and "dtype" in f.message for f in error.findings)
        if not forced:
            raise
        notes.findings.clear()
        return _agreed(module, example, axes, samples, time_steps, input, torch.float32, notes)


def _check_rests(module: nn.Module) -> None:
    """Refuse a module whose own ``reset`` would make another network of it.

    It is called on every copy, as between samples, and forgets what the last sample left. So it
    must find nothing to forget.
    """
    try:
        one, two = (copy.deepcopy(module) for _ in range(2))
    except Exception:
        return  # whoever copies it next says why not
    for part in two.modules():
        own = not library(part).startswith(("spikingjelly", "snntorch"))
        if own and (reset := _reset_of(part)) is not None:
            with OnCpu():
                reset(part)
    before, after = held(one), held(two)
    names = [n for n in changed(before, after) if not _alike(before.get(n), after.get(n))]
    if names:
        said = f"`reset` changes {', '.join(f'`{name}`' for name in names[:4])}: the module is not "
        help = "call reset before compiling, and set in it only what a sample leaves behind"
        raise refuse("SNN322", f"{said}as it is at the beginning of a sample", FORWARD, help=help)


def _alike(one: Place | None, two: Place | None) -> bool:
    """Whether both hold the same values."""
    if one is None or two is None:
        return False
    if isinstance(one.value, torch.Tensor) and isinstance(two.value, torch.Tensor):
        return digest(one.value) == digest(two.value)
    return one.is_as(two)


def as_example(value: object) -> torch.Tensor:
    """``value`` as a tensor of real numbers on the CPU. Raises SnnccError (SNN312)."""
    try:
        given = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
        tensor = given.detach().to("cpu")
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        said = f"the input, {_kind_of(value)}, cannot become a tensor of numbers"
        raise refuse("SNN312", said, help=_EXAMPLE) from None
    if tensor.is_complex() or tensor.is_quantized or tensor.layout != torch.strided:
        raise refuse("SNN312", f"the input is {_kind_of(tensor)}", help=_EXAMPLE)
    if not tensor.numel():
        said = f"the input of shape {tuple(tensor.shape)} is empty"
        raise refuse("SNN312", said, help=_EXAMPLE)
    return tensor


_EXAMPLE = "give a dense tensor of real numbers as forward takes it, with at least one sample"


def _kind_of(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"a {value.dtype} tensor on {value.device}".replace("torch.", "")


def _check_values(module: nn.Module) -> None:
    """Raise SnnccError (SNN307) for a parameter or buffer without real numbers in it."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if type(tensor).__module__.partition(".")[0] != "torch":
            said, help = f"is a {type(tensor).__name__}, whose calls cannot be seen", "use a tensor"
        elif is_lazy(tensor):
            said, help = "has no shape yet", "run the lazy layer once before"
        elif tensor.is_meta:
            said, help = "is on the device meta, without values", "load the weights before"
        elif tensor.is_complex():
            said, help = "is complex", "a spiking network has real weights"
        else:
            continue
        owner = name.rpartition(".")[0] or name
        raise refuse("SNN307", f"tensor {name} {said}", Location(owner), help=help)


def default_layout(rank: int, time_steps: int | None) -> Layout:
    """(T, N, …) has an odd rank for images, (T, N, features) too; else samples come first."""
    return "N" if time_steps is not None or rank % 2 == 0 else "TN"


def private_copy(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in ``dtype`` on the CPU that shares nothing with ``module``, its state at rest."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in _stray_tensors(part):
            memo[id(value)] = value.detach().clone()
    try:
        twin = copy.deepcopy(module, memo)
    except Exception as error:
        raise refuse("SNN314", f"the module cannot be copied ({_first_line(error)})") from None
    at_rest(twin)
    for part in twin.modules():
        if library(part) == "snntorch":
            snntorch.in_dtype(part)
    return twin.to(device="cpu", dtype=dtype)


def at_rest(twin: nn.Module) -> None:
    """Forget what the neurons of a private copy remember, and what its other parts reset."""
    for part in twin.modules():
        if library(part) == "snntorch":
            snntorch.at_rest(part)
        elif (reset := _reset_of(part)) is not None:
            with OnCpu():
                reset(part)


def _reset_of(part: nn.Module) -> Callable[[nn.Module], object] | None:
    """Its method ``reset``, to be called between samples as SpikingJelly's are, if it has one."""
    reset: Callable[[nn.Module], object] | None = getattr(type(part), "reset", None)
    if not callable(reset):
        return None
    try:
        inspect.signature(reset).bind(part)
    except (TypeError, ValueError):
        return None
    return reset


@contextmanager
def undisturbed(twin: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Run a private copy in here: new tensors have its dtype and are on the CPU, there are no
    gradients, and nothing is compiled."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    compiling = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if compiling else nullcontext()
    try:
        with (
            eager, snntorch.registered(twin), torch.no_grad(),
            torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False), OnCpu(),
        ):  # fmt: skip
            yield
    finally:
        torch.set_default_dtype(before)


def _stray_tensors(part: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors a module holds that are neither parameters nor buffers (states, closures)."""
    held = (vars(part), part._buffers, getattr(part, "_memories", {}))
    for value in [value for table in held for value in table.values()]:
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, torch.Tensor) and not isinstance(item, nn.Parameter):
                yield item


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _agreed(
    module: nn.Module, example: torch.Tensor, axes: Axes, samples: list[int],
    time_steps: int | None, kind: InputKind, dtype: torch.dtype, notes: Notes,
) -> Recording:  # fmt: skip
    """Two recordings, on other data and another batch size, that agree."""
    batch = axes.index("N")

    def recorded(run: int, notes: Notes) -> tuple[Graph, Recorder]:
        twin = private_copy(module, dtype)
        named = _known_tensors(twin)
        _check_finite(named, notes)
        data = example.index_select(batch, torch.arange(samples[run]) % example.shape[batch])
        data = (_other(data, kind) if run else data).to(dtype)
        return _record(twin, data, axes, samples[run], time_steps, kind, named, notes, not run)

    first, recorder = recorded(0, notes)
    asked = recorder.guards
    if not notes.apart:
        try:
            second, other = recorded(1, Notes(notes.lenient))
            asked = [*asked, *other.guards]
            _compare(first, second)
        except SnnccError as error:
            notes.add(error)
            if not notes.lenient:
                raise
    outcome = RecogniseNeurons()(first)
    for finding in outcome.findings:
        notes.go_on(SnnccError(finding))
    assert isinstance(outcome.form, Graph)
    graph = with_values(outcome.form)
    _check_range(graph, recorder.integers, notes)
    return Recording(graph, other_answers(asked))


def noted(
    module: nn.Module, graph: Graph, names: Collection[str], inputs: torch.Tensor,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """What the nodes ``names`` are, (T, N, *shape), when ``module`` runs on ``inputs``.

    They are nodes of the recording, in which a neuron may be written as arithmetic; so it is made
    again, as many samples at a time as tell their axis from others.
    """
    (node,) = graph.inputs
    axes = node.signal.axes
    batch, steps = axes.index("N"), graph.time_steps
    count = inputs.shape[batch]
    samples = next(n for n in (3, 2, 4) if n != steps)
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for start in range(0, count, samples):
        chosen = torch.arange(start, start + samples) % count
        twin = private_copy(module, dtype)
        data = inputs.index_select(batch, chosen).to(dtype)
        kind = node.op.kind if isinstance(node.op, Input) else "analog"
        seen: dict[str, dict[int | None, torch.Tensor]] = {name: {} for name in names}
        _record(
            twin, data, axes, samples, None, kind, _known_tensors(twin), Notes(), False, seen
        )  # fmt: skip
        for name, values in seen.items():
            if None in values:
                parts[name].append(values[None])
            elif values:
                parts[name].append(torch.stack([values[t] for t in range(len(values))]))
    return {
        name: torch.cat(several, 1)[:, :count].to(torch.float64)
        for name, several in parts.items()
        if several
    }


def _check_range(graph: Graph, integers: Integers, notes: Notes) -> None:
    """Refuse values that do not fit in the dtype in which torch computes them: it wraps around.

    Of real numbers nothing is known, and int64 is taken to be large enough for them.
    """
    for (name, dtype), call in integers.items():
        node, limits = graph.nodes.get(name), torch.iinfo(dtype)
        if node is None:
            continue
        members, exact = node.signal.values.members, 2**53  # what float64 holds
        if members is None and dtype == torch.int64:
            continue
        low, high = max(limits.min, -exact), min(limits.max, exact)
        if members is None or not members or members[0] < low or members[-1] > high:
            kind = str(dtype).removeprefix("torch.")
            said = (
                f"`{call}` computes in {kind}, which is exact here from {low} to {high} and then "
            )
            said += f"wraps around, and its values are {node.signal.values}"
            notes.go_on(refuse("SNN301", said, node.origin, help=_WIDER))


_WIDER = "compute it in float or int64"


def _other(example: torch.Tensor, kind: InputKind) -> torch.Tensor:
    """Other data of the same kind and shape."""
    source = torch.Generator().manual_seed(0)
    if kind == "analog":
        low, high = float(example.min()), float(example.max())
        noise = torch.rand(example.shape, generator=source, dtype=torch.float64)
        return low + noise * ((high - low) or 1.0)
    return torch.randint(0, 2 if kind == "spike" else 4, example.shape, generator=source)


def _known_tensors(twin: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that exist before the run, by name."""
    named = dict(twin.named_parameters()) | dict(twin.named_buffers())
    for path, part in twin.named_modules():
        for attribute, value in vars(part).items():
            several = isinstance(value, list | tuple)
            for index, item in enumerate(value if several else [value]):
                if isinstance(item, torch.Tensor):
                    suffix = f".{index}" if several else ""
                    named.setdefault(".".join(filter(None, (path, attribute))) + suffix, item)
    return named


def _check_finite(named: Mapping[str, torch.Tensor], notes: Notes) -> None:
    """Refuse values that are none; a recording that goes on has zeros for them."""
    for name, tensor in named.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            message = f"tensor {name} has a NaN or infinite value"
            notes.go_on(refuse("SNN307", message, Location(name.rpartition(".")[0] or name)))
            with torch.no_grad():
                tensor.nan_to_num_(0.0, 0.0, 0.0)


def _record(
    twin: nn.Module, data: torch.Tensor, axes: Axes, samples: int, time_steps: int | None,
    kind: InputKind, named: Mapping[str, torch.Tensor], notes: Notes, verified: bool,
    noted: Mapping[str, dict[int | None, torch.Tensor]] | None = None,
) -> tuple[Graph, Recorder]:  # fmt: skip
    """The Graph of one run, and what else the recorder saw; it fills ``noted``."""
    steps = data.shape[axes.index("T")] if "T" in axes else None
    single = time_steps is not None
    recorder = Recorder(
        HANDLERS, named, {id(part): path for path, part in twin.named_modules()}, samples, steps,
        single, notes, verified,
    )  # fmt: skip
    recorder.noted = noted or {}
    rate: Rate = "step" if "T" in axes or (single and kind != "analog") else "static"
    shape = features(axes, data.shape)
    dtype = data.dtype
    name = recorder.emit(Input(kind), (), shape, axes, rate=rate, what=INPUT)
    data = data.clone()
    recorder.bind(data, name, axes)
    try:
        output = _run(recorder, twin, data, dtype)
        if notes.findings and not notes.lenient:  # forward caught what was raised
            raise SnnccError(notes.findings[0])
        if recorder.failed is not None:
            notes.go_on(recorder.failed)
        heads = _heads(recorder, output)
        recorder.loop.finish(heads.values())
        total = time_steps if single else recorder.steps
        graph = Graph.build(
            recorder.nodes.values(), recorder.tensors, heads, _plain(type(twin).__name__), total
        )
    finally:
        recorder.let_go()
    return graph, recorder


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
        message = f"{type(error).__name__} in forward: {_first_line(error)}"
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


def _compare(first: Graph, second: Graph) -> None:
    """Refuse recordings that differ in anything but the data."""
    for one, two in zip(first.nodes.values(), second.nodes.values(), strict=False):
        if _form(one) != _form(two):
            ops = f"one has {one.name} where the other has {two.name}"
            message = f"two runs on other data and another number of samples differ: {ops}"
            raise refuse("SNN315", message, _reader(first, one).origin)
        for ref in one.op.refs():
            if not np.array_equal(first.tensors[ref], second.tensors[ref]):
                reader = _reader(first, one)
                message = f"a constant that {reader.name} reads differs between two runs"
                raise refuse("SNN315", message, reader.origin)
    if len(first.nodes) != len(second.nodes):
        longer = max(first, second, key=lambda graph: len(graph.nodes))
        node = list(longer.nodes.values())[min(len(first.nodes), len(second.nodes))]
        message = "two runs on different data do different numbers of ops"
        raise refuse("SNN315", message, node.origin)
    if first.heads != second.heads or first.time_steps != second.time_steps:
        raise refuse("SNN315", "two runs on different data return different outputs", FORWARD)


def _reader(graph: Graph, node: Node) -> Node:
    """The node itself, or the first that reads it where it is a constant, which no line made."""
    readers = graph.readers[node.name] if isinstance(node.op, Constant) else ()
    return graph.nodes[readers[0]] if readers else node


def _form(node: Node) -> tuple[object, ...]:
    signal: Signal = node.signal
    op = replace(node.op, message="") if isinstance(node.op, Unread) else node.op
    return node.name, op, node.inputs, signal.shape, signal.rate
