"""``trace``: a module and an example to a Graph."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.frontends import snntorch
from snncc.frontends.layout import Layout, check_layout, roles
from snncc.frontends.neurons import converter, library
from snncc.frontends.torch.axes import Axes, features
from snncc.frontends.torch.calls import HANDLERS
from snncc.frontends.torch.calls.elementwise import constant
from snncc.frontends.torch.devices import OnCpu
from snncc.frontends.torch.guards import other_answers
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.options import wrong_option
from snncc.frontends.torch.recorder import Overhearing, Recorder
from snncc.frontends.torch.states import Held, Place, changed, digest, held
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph, Node, Rate, Signal
from snncc.ir.inference import with_values
from snncc.ir.ops import Constant, Delay, Identity, Input, Spiking, Unread
from snncc.passes.beginnings import is_step
from snncc.passes.recognise_neurons import RecogniseNeurons
from snncc.passes.reroll import Reroll, Step

Integers = Mapping[tuple[str, torch.dtype], str]
"""The nodes that torch computes in whole numbers: their dtype, and the call."""


@dataclass(frozen=True)
class Recording:
    """A Graph, and the numbers of samples for which forward may do something else."""

    graph: Graph
    samples: frozenset[int] = frozenset()


Noted = dict[str, dict[int | None, torch.Tensor]]
"""Values of nodes by step; None where all steps are in one."""

SHOWN = 4
"""So many tensors are named where many have one fault."""

CALLS = 5
"""So many calls of a module of one step show at least what one leaves to the next."""

ABOUT_LOOPS = frozenset({"SNN112", "SNN301", "SNN309", "SNN310", "SNN314", "SNN318"})
"""What a loop may end in whose steps do not follow those of the input."""

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
    if not resets_itself(module):
        return
    try:
        one, two = (copy.deepcopy(module, _empty_tables(module)) for _ in range(2))
    except Exception:
        return  # whoever copies it next says why not
    for part in two.modules():
        if (reset := _own_reset(part)) is not None:
            with OnCpu():
                reset(part)
    before, after = held(one), held(two)
    names = [n for n in changed(before, after) if not _alike(before.get(n), after.get(n))]
    if names:
        said = f"`reset` changes {', '.join(f'`{name}`' for name in names[:4])}: the module is not "
        help = "call reset before compiling, and set in it only what a sample leaves behind"
        raise refuse("SNN322", f"{said}as it is at the beginning of a sample", FORWARD, help=help)


def resets_itself(module: nn.Module) -> bool:
    """Whether a part that is no neuron of a library says how it begins a sample."""
    return any(map(_own_reset, module.modules()))


def _own_reset(part: nn.Module) -> Callable[[nn.Module], object] | None:
    """The method ``reset`` of a part that is no neuron of a library."""
    known = library(part).startswith(("spikingjelly", "snntorch", "snncc"))
    return None if known else _reset_of(part)


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
    memo = _empty_tables(module)
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


def _empty_tables(module: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy with the empty tables of hooks, of which each part has a dozen."""
    return {
        id(value): type(value)()
        for part in module.modules() for value in vars(part).values()
        if type(value) in (dict, OrderedDict) and not value
    }  # fmt: skip


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

    def recorded(number: int, notes: Notes) -> tuple[Graph, Recorder]:
        data = example.index_select(batch, torch.arange(samples[number]) % example.shape[batch])
        data = (_other(data, kind) if number else data).to(dtype)
        run = Run(axes, samples[number], time_steps, kind, tried=not number)
        try:
            return _record(lambda: private_copy(module, dtype), data, run, notes)
        except SnnccError as error:
            raise _of_samples(module, example.to(dtype), samples[number], batch, error) from None

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


def noted(
    module: nn.Module, graph: Graph, names: Collection[str], inputs: torch.Tensor,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """What the nodes ``names`` are, (T, N, *shape), when ``module`` runs on ``inputs``.

    They are nodes of the recording, in which a neuron may be written as arithmetic; so it is made
    again, on one sample more than there are where their number would not tell their axis. Of a
    module of one step, ``inputs`` may have the steps in front. Steps in which the module does not
    compute one are NaN: nobody reads what its last step would leave.
    """
    (node,) = graph.inputs
    axes = node.signal.axes
    single = not any("T" in each.signal.axes for each in graph.nodes.values())
    timed = single and inputs.dim() > len(axes)
    steps = inputs.shape[0] if timed else graph.time_steps
    if "T" in axes:
        steps = inputs.shape[axes.index("T")]
    batch = axes.index("N") + timed
    count = inputs.shape[batch]
    samples = next(n for n in (count, count + 1, count + 2) if n not in (1, steps))
    kind = node.op.kind if isinstance(node.op, Input) else "analog"
    run = Run(axes, samples, steps if single else None, kind, tried=False)
    data = inputs.index_select(batch, torch.arange(samples) % count).to(dtype)
    seen: Noted = {name: {} for name in names}
    _record(lambda: private_copy(module, dtype), data, run, Notes(), seen)
    return {
        name: (values[None] if None in values else _in_turn(values, steps))[:, :count].double()
        for name, values in seen.items()
        if values
    }


def keeps_states(module: nn.Module, graph: Graph, dtype: torch.dtype) -> bool:
    """Whether a module of one step keeps states of its own, and ``graph`` has all of them."""
    (node,) = graph.inputs
    axes, samples = node.signal.axes, 3
    if any("T" in each.signal.axes for each in graph.nodes.values()):
        return False
    sizes = iter(node.signal.shape)
    data = torch.zeros([samples if role == "N" else next(sizes) for role in axes], dtype=dtype)
    kind = node.op.kind if isinstance(node.op, Input) else "analog"
    run = Run(axes, samples, graph.time_steps, kind, tried=False)
    twin = private_copy(module, dtype)
    before = held(twin)
    try:
        with undisturbed(twin, dtype), Widened() if dtype == torch.float64 else nullcontext():
            twin(data.clone())
        if not _kept(twin, before):
            return False
        again, _ = _unrolled(private_copy(module, dtype), data, run, Notes(), None)
        found = RecogniseNeurons()(again).form
        assert isinstance(found, Graph)
        _compare(graph, found)
    except Exception:
        return False  # whoever runs it next says why
    return True


def _in_turn(values: Mapping[int | None, torch.Tensor], steps: int | None) -> torch.Tensor:
    """The values of each step, those of a constant as large as the others, NaN for none."""
    whole = max(values.values(), key=torch.Tensor.dim).shape
    none = torch.tensor(torch.nan)
    each = [values.get(t, none) for t in range(len(values) if steps is None else steps)]
    return torch.stack([value.double().expand(whole) for value in each])


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

    @property
    def single(self) -> bool:
        return self.time_steps is not None

    @property
    def calls(self) -> int:
        """How often a module of one step is called where it keeps states of its own."""
        return max(self.time_steps or 0, CALLS)


def _record(
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
        lives_on = _kept(twin, before) if run.single else []
    except SnnccError as refused:
        error, lives_on = refused, []
    if lives_on or _is_about_loops(own, error) or (found and _is_static_loop(found[0])):
        try:
            return _unrolled(copied(), data, run, Notes(), noted)
        except StepsDiffer as unrolled:
            if lives_on:
                raise _lives_on(lives_on, unrolled) from None
            if _says_more(unrolled, found, run, own.findings or error is not None):
                raise
        except SnnccError as unrolled:
            if _says_more(unrolled, found, run, own.findings or error is not None):
                raise
    for finding in own.findings:
        notes.add(SnnccError(finding))
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


def _lives_on(names: Sequence[str], differ: StepsDiffer) -> SnnccError:
    """What a step leaves to the next makes that another one."""
    said = (
        f"{', '.join(f'`{name}`' for name in names[:SHOWN])} changes from step to step, and what "
    )
    (finding, *_) = differ.findings
    return refuse("SNN322", f"{said}steps compute with it: {finding.message}", finding.location)


def _kept(twin: nn.Module, before: Held) -> list[str]:
    """What a call left behind, neurons aside."""
    neurons = [path for path, part in twin.named_modules() if converter(part)]
    return [
        name for name in changed(before, held(twin))
        if not any(name == path or name.startswith(f"{path}.") for path in neurons)
    ]  # fmt: skip


def _unrolled(
    twin: nn.Module, data: torch.Tensor, run: Run, notes: Notes, noted: Noted | None
) -> tuple[Graph, Recorder]:
    """The same from a run in which every step is written down."""
    values: Noted = {}
    graph, recorder = _recorded(
        twin, data, run, notes, values if noted is not None else None, unrolled=True
    )
    outcome = Reroll()(graph)
    if not outcome.ok:
        raise StepsDiffer(*outcome.findings)
    assert isinstance(outcome.form, Graph)
    circles = [f for f in RecogniseNeurons()(outcome.form).findings if f.code == "SNN112"]
    if circles:
        raise SnnccError(circles)
    rolled = _of_one_call(outcome.form, run) if run.single else outcome.form
    for name, steps in cast(Mapping[str, tuple[Step, ...]], outcome.report["steps"]).items():
        if noted and name in noted:
            noted[name] |= {
                t: values[step][None] if isinstance(step, str) else torch.as_tensor(step)
                for t, step in enumerate(steps) if step is not None
            }  # fmt: skip
    return rolled, recorder


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
    recorder.noted = noted if noted is not None else {}
    recorder.noting = unrolled and noted is not None
    rate: Rate = "step" if "T" in axes or (run.single and run.kind != "analog") else "static"
    name = recorder.emit(
        Input(run.kind), (), features(axes, data.shape), axes, rate=rate, what=INPUT
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


def _heads_of_calls(recorder: Recorder, outputs: Sequence[object]) -> dict[str, str]:
    """The same of a module that was called once a step."""
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
