"""``trace``: a module and an example to a Graph."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.frontends.layout import Layout, check_layout, roles
from snncc.frontends.torch.again import check_same
from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.copies import check_rests, private_copy, undisturbed
from snncc.frontends.torch.guards import other_answers
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.options import wrong_option
from snncc.frontends.torch.recorder import Recorder
from snncc.frontends.torch.runs import Run, record_run
from snncc.ir.graph import Graph
from snncc.ir.inference import with_values
from snncc.options import InputKind
from snncc.passes.recognise_neurons import RecogniseNeurons

Integers = Mapping[tuple[str, torch.dtype], str]
"""The nodes that torch computes in whole numbers: their dtype, and the call."""


@dataclass(frozen=True)
class Recording:
    """A Graph, and the numbers of samples for which forward may do something else."""

    graph: Graph
    samples: frozenset[int] = frozenset()


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
    check_rests(module)
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


def _agreed(
    module: nn.Module, example: torch.Tensor, axes: Axes, samples: list[int],
    time_steps: int | None, kind: InputKind, dtype: torch.dtype, notes: Notes,
) -> Recording:  # fmt: skip
    """Two recordings, on other data and another batch size, that agree."""
    batch = axes.index("N")

    def recorded(number: int, notes: Notes) -> tuple[Graph, Recorder]:
        data = example.index_select(batch, torch.arange(samples[number]) % example.shape[batch])
        data = (_other(data, kind) if number else data).to(dtype)
        run = Run(axes, samples[number], time_steps, kind, tried=not number)
        try:
            return record_run(lambda: private_copy(module, dtype), data, run, notes)
        except SnnccError as error:
            raise _of_samples(module, example.to(dtype), samples[number], batch, error) from None

    first, recorder = recorded(0, notes)
    asked = recorder.guards
    if not notes.apart:
        try:
            second, other = recorded(1, Notes(notes.lenient))
            asked = [*asked, *other.guards]
            check_same(first, second)
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


def _of_samples(
    module: nn.Module, example: torch.Tensor, samples: int, batch: int, error: SnnccError
) -> SnnccError:
    """``error``, or what is behind it where forward runs on no other number of samples."""
    (finding, *_), count = error.findings, example.shape[batch]
    if finding.code != "SNN314" or "in forward" not in finding.message or samples == count:
        return error
    twin = private_copy(module, example.dtype)
    try:
        with undisturbed(twin, example.dtype), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            twin(example.clone())
    except Exception:
        return error
    said = f"forward runs on {count} samples and not on {samples}: {finding.message}"
    help = "take the number of samples from the input, x.shape[0], and not from a constant"
    return refuse("SNN314", said, finding.location, help=help)


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
