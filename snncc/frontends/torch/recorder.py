"""Recording: one real run of a module, every torch function it calls turned into a node."""

from __future__ import annotations

import ast
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.neurons import converter, refuse_unknown
from snncc.frontends.torch import source
from snncc.frontends.torch.axes import BATCH, Axes, Extent, MixedAxes, features
from snncc.frontends.torch.loops import Loop, together
from snncc.frontends.torch.neurons import Neurons, joined, spikes_of
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.replay import Reads, Replay
from snncc.frontends.torch.tracked import Call, Tracked
from snncc.ir.graph import Node, Rate, Signal
from snncc.ir.ops import Constant, Input, Membrane, Number, Op, Ref, Reshape, Spiking, Unread

Handler = Callable[["Recorder", Call], Any]

READS_VALUES = frozenset({
    "item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy",
    "__array__", "equal", "allclose", "is_nonzero", "__contains__", "__format__", "__repr__",
})  # fmt: skip
"""Calls that turn tensor data into a Python value a recording would freeze in."""

HARMLESS = frozenset({
    "shape", "size", "dim", "ndim", "numel", "nelement", "stride", "is_contiguous", "device",
    "dtype", "is_cuda", "is_sparse", "is_quantized", "is_meta", "layout", "requires_grad",
    "grad_fn", "is_leaf", "is_floating_point", "is_complex", "__len__", "get_device", "__hash__",
    "element_size", "storage_offset", "names", "_backward_hooks", "is_nested",
    "retain_grad", "_version", "data_ptr", "is_mps", "is_xpu", "is_cpu",
})  # fmt: skip
"""Calls that look at a tensor's form and never at its data."""

FORM_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "new_empty",
})  # fmt: skip
"""Calls whose result depends on a tensor's form and never on its data."""

WRITES = frozenset({
    "__setitem__", "copy_", "fill_", "zero_", "masked_fill_", "index_put_", "index_add_",
    "scatter_", "scatter_add_", "set_", "resize_", "swapaxes_", "index_copy_", "index_fill_",
})  # fmt: skip


class Recorder(TorchFunctionMode):
    """Records one run.

    ``handlers`` maps a function's name to (parameter names, handler). ``known`` are tensors that
    existed before the run, under the names they get. What is wrong is in ``notes``;
    where these are lenient, an `Unread` node stands for what a call returned that cannot be read.
    """

    def __init__(
        self,
        handlers: Mapping[str, tuple[tuple[str, ...], Handler]],
        known: Mapping[int, str],
        paths: Mapping[int, str],
        samples: int,
        steps: int | None,
        single_step: bool,
        notes: Notes,
    ) -> None:
        super().__init__()
        self.notes = notes
        self.handlers, self.paths = handlers, paths
        self.samples, self.single_step = samples, single_step
        self.steps = steps
        self.nodes: dict[str, Node] = {}
        self.tensors: dict[str, np.ndarray] = {}
        self.spikes: dict[str, torch.Tensor] = {}
        self._known = dict(known)
        self._unusable: dict[int, SnnccError] = {}
        self._tracked: dict[int, Tracked] = {}
        self._alive: list[torch.Tensor] = []
        self._written_at: dict[int, Location] = {}
        self._rounding = False
        self._tried: set[str] = set()
        self.integers: dict[tuple[str, torch.dtype], str] = {}
        self._watched: dict[int, weakref.ref[torch.Tensor]] = {}
        self._stack: list[str] = [""]
        self._counts: dict[str, int] = {}
        self._leaves: frozenset[str] = frozenset()
        self._contents: dict[tuple[tuple[int, ...], bytes], str] = {}
        self.loop = Loop(self)
        self.neurons = Neurons(self)

    # -- where we are ----------------------------------------------------------------------

    @property
    def module(self) -> str:
        return self._stack[-1]

    @contextmanager
    def within(self, module: str) -> Iterator[None]:
        """While this runs, ``module`` is the one that runs."""
        self._stack.append(module)
        try:
            yield
        finally:
            self._stack.pop()

    @property
    def extent(self) -> Extent:
        return Extent(self.steps, self.samples)

    def here(self) -> Location:
        return source.here(self.module)

    def here_or(self, error: BaseException) -> Location:
        """The user's line that raised ``error``."""
        return source.raised(error, self.module)

    def refuse(self, code: str, message: str) -> SnnccError:
        return refuse(code, message, self.here())

    # -- tensors ---------------------------------------------------------------------------

    def is_tracked(self, value: object) -> bool:
        return isinstance(value, torch.Tensor) and (
            id(value) in self._tracked or self.neurons.left(value)
        )

    def tracked(self, tensor: torch.Tensor) -> Tracked:
        """What ``tensor`` is; refuses one written to behind the recording's back."""
        if self.neurons.left(tensor):
            self.neurons.show(tensor)
        entry = self._tracked[id(tensor)]
        if entry.version != tensor._version:
            said = "a tensor was written to through another view of it"
            raise refuse("SNN310", said, self._written_at.get(_storage(tensor)) or self.here())
        return entry

    def signal(self, tensor: torch.Tensor) -> Signal:
        return self.nodes[self.tracked(tensor).node].signal

    def keep_alive(self, *tensors: torch.Tensor) -> None:
        """Keep their ids from being given to others."""
        self._alive.extend(tensors)

    def _watch(self, tensor: torch.Tensor) -> None:
        """Forget ``tensor`` as soon as nobody has it: another may then get its id."""
        key = id(tensor)
        if key not in self._watched:
            self._watched[key] = weakref.ref(tensor, lambda _: self._forget(key))

    def _forget(self, key: int) -> None:
        for table in (self._watched, self._tracked, self._known, self._unusable):
            table.pop(key, None)

    def bind(self, tensor: torch.Tensor, node: str, axes: Axes, through_data: bool = False) -> None:
        """From now on ``tensor`` is ``node``, at the step of this call if it is in a loop."""
        at = self.loop.at if self.nodes[node].signal.rate == "step" else None
        self.place(tensor, node, axes, at, through_data)

    def place(
        self, tensor: torch.Tensor, node: str, axes: Axes, at: int | None = None,
        through_data: bool = False, summed: bool = False,
    ) -> None:  # fmt: skip
        """From now on ``tensor`` is ``node``: all of it, one step, or the sum up to one."""
        if len(axes) != tensor.dim():
            raise self.refuse("SNN301", f"axes {axes} do not describe shape {tuple(tensor.shape)}")
        self._watch(tensor)
        self._tracked[id(tensor)] = Tracked(node, axes, tensor._version, through_data, at, summed)

    def is_known(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._known

    def remember(self, value: object) -> None:
        """Tensors a call returned without reading the input are constants of the run."""
        for tensor in _tensors_in(value):
            if not self.is_known(tensor):
                self._watch(tensor)
                self._known[id(tensor)] = ""

    def ref(self, tensor: torch.Tensor, what: str = "constant") -> Ref:
        """The name of a tensor that does not depend on the input."""
        return self.array(tensor.detach().cpu().numpy(), what, self._name_of(tensor))

    def _name_of(self, tensor: torch.Tensor) -> str:
        if self.is_tracked(tensor):
            raise self.refuse("SNN103", "a weight is computed from the input")
        if not self.is_known(tensor):
            raise self.refuse("SNN311", "a tensor comes from code that cannot be recorded")
        return self._known[id(tensor)]

    def array(self, array: np.ndarray, what: str, name: str = "") -> Ref:
        """``array`` in float64 under ``name``, or under the next free name for ``what``."""
        if name in self.tensors:
            if not np.array_equal(self.tensors[name], array):
                raise self.refuse("SNN310", f"tensor {name} is written to while forward runs")
            return Ref(name)
        whole = np.array(array, dtype=np.float64)
        if not name:
            content = whole.shape, whole.tobytes()
            name = self._contents.get(content) or self.unique(joined(self.module, what))
            self._contents[content] = name
        if name not in self.tensors:
            if not np.isfinite(whole).all():
                raise self.refuse("SNN307", f"tensor {name} has a NaN or infinite value")
            self.tensors[name] = whole
        return Ref(name)

    def lose(self, tensor: torch.Tensor, error: SnnccError) -> None:
        """``tensor`` has no meaning in a Graph: ``error`` where it joins the rest of the run."""
        self._watch(tensor)
        self._unusable[id(tensor)] = error

    def why_lost(self, tensor: torch.Tensor) -> SnnccError | None:
        """Why ``tensor`` has no meaning, if it has none."""
        return self._unusable.get(id(tensor))

    def _lost(self, name: str, inputs: Sequence[torch.Tensor], result: object) -> bool:
        """Whether the call read only tensors without a meaning; then its results have none."""
        errors = [self._unusable[id(t)] for t in inputs if id(t) in self._unusable]
        if not errors:
            return False
        if name in READS_VALUES:
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        if any(self.is_tracked(t) for t in inputs):
            raise errors[0]
        for tensor in _tensors_in(result):
            self.lose(tensor, errors[0])
        return True

    # -- nodes -----------------------------------------------------------------------------

    def emit(
        self,
        op: Op,
        inputs: Sequence[str],
        shape: Sequence[int],
        axes: Axes = (),
        rate: Rate | None = None,
        what: str = "",
        suffix: str = "",
    ) -> str:
        """Add a node; its rate is that of its arguments unless given.

        Its name is that of the module if that has no parts, else with ``what`` behind; then
        ``suffix``.
        """
        own = isinstance(op, Constant | Input)
        if not own:
            inputs = self.loop.arguments(op, inputs, rate)
        if rate is None:
            rate = self._joint_rate([self.nodes[name].signal.rate for name in inputs])
        if not own and (found := self.loop.find(op, tuple(inputs), rate)):
            return found
        base = joined(self.module, "" if self._is_leaf() else what) + suffix
        name = what if own else self.unique(base)
        if name not in self.nodes:
            stepwise = rate == "step" and self.loop.at is not None and not own
            signal_axes = ("T", *axes) if stepwise and axes else axes
            signal = Signal(tuple(int(n) for n in shape), rate, axes=signal_axes)
            origin = Location() if own else self.here()
            self.nodes[name] = Node(name, op, tuple(inputs), signal, origin)
            if not own:
                self.loop.made(op, tuple(inputs), name, rate)
        return name

    def insert(self, before: Sequence[Node], node: Node) -> None:
        """``node`` in place of the one of its name, and nodes that it reads before it."""
        nodes: dict[str, Node] = {}
        for name, old in self.nodes.items():
            if name == node.name:
                nodes.update((new.name, new) for new in before)
            nodes[name] = node if name == node.name else old
        self.nodes.clear()
        self.nodes.update(nodes)

    def _joint_rate(self, rates: Sequence[Rate]) -> Rate:
        if "final" in rates and "step" in rates:
            raise self.refuse("SNN112", "a value of all steps meets a value of one step")
        return "final" if "final" in rates else "step" if "step" in rates else "static"

    def _is_leaf(self) -> bool:
        return self.module in self._leaves

    def unique(self, base: str) -> str:
        """``base``, then ``base:2``, ``base:3``, …"""
        count = self._counts[base] = self._counts.get(base, 0) + 1
        return base if count == 1 else f"{base}:{count}"

    def number(self, value: float) -> str:
        """A node for a plain number."""
        text = f"{value:g}" if float(f"{value:g}") == value else repr(value)
        return self.emit(Constant(float(value)), (), (), what=f"number:{text}", rate="static")

    def solid(self, tensor: torch.Tensor) -> tuple[str, Axes]:
        """The node of ``tensor`` with placeholder axes turned into features."""
        entry = self.tracked(tensor)
        if "1" not in entry.axes:
            return entry.node, entry.axes
        axes = tuple("F" if role == "1" else role for role in entry.axes)
        shape = features(axes, tensor.shape)
        node = self.emit(Reshape(shape), [entry.node], shape, axes, what="unsqueeze")
        self.bind(tensor, node, axes)
        return node, axes

    # -- the mode --------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = list(_tensors_in([*args, *kwargs.values()]))
        run = cache(lambda: func(*args, **kwargs))
        try:
            return self._recorded(func, run, inputs, args, kwargs)
        except SnnccError as error:
            self.notes.go_on(error)
            result = run()
            if isinstance(result, torch.Tensor) and result.dtype in (torch.half, torch.bfloat16):
                result = result.to(torch.get_default_dtype())  # as wide as the rest of the run
            if error.findings[0].code == "SNN310":
                self._lose_target(error, kwargs.get("out", args[0] if args else None))
            self._stand_in(error, inputs, result)
            return result

    def _recorded(
        self, func: Any, run: Callable[[], Any], inputs: Sequence[torch.Tensor],
        args: Sequence[Any], kwargs: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """What the call returns, and what it means written down. Raises SnnccError."""
        name = _name(func)
        if _base(name) in FORM_ONLY:
            self.remember(run())
            return run()
        reads = [t for t in inputs if self.is_tracked(t)]
        self._check(name, reads)
        for tensor in inputs:
            if self.is_foreign(tensor):
                self._name_of(tensor)
        if reads:
            self._check_exact(name, args)
            self._check_out(kwargs.get("out"))
        read = self._before_write(name, args)
        before = self._reads(reads)
        result = run()
        if self._lost(name, inputs, result):
            return result
        if not reads:
            self.remember(result)
            return result
        if name in HARMLESS:
            return result
        base = _base(name)
        if base not in self.handlers:
            if not any(True for _ in _tensors_in(result)):
                raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
            error = self.refuse("SNN301", f"nobody here knows the op {name}")
            if not isinstance(result, torch.Tensor) or result.dim():
                raise error
            self.lose(result, error)  # one number for all samples: a branch may ask about it
            return result
        parameters, handler = self.handlers[base]
        if name == "__get__":
            args = args[:1]
        call = self._call(base, parameters, read or args, kwargs, result)
        try:
            written = self._written(name, call, args)
            joined = together(self, call)
            answer = None if joined else self._handled(handler, call, reads)
            self._check_arguments(call)
            self._check_dtype(base, result)
            if before is not None and not joined:
                self._replay(func, call, before, read or args, kwargs)
            return result if written or answer is None else answer
        except MixedAxes as error:
            raise self.refuse("SNN112", f"{base}: {error}") from None

    # -- what was written down is what was called ------------------------------------------

    def _call(
        self, base: str, parameters: Sequence[str], args: Sequence[Any],
        kwargs: Mapping[str, Any], result: Any,
    ) -> Call:  # fmt: skip
        """The arguments under their names. Raises SnnccError (SNN301) for one too many."""
        arguments, defaults, left = _by_name(parameters, args, kwargs)
        if left:
            raise self.refuse("SNN301", f"`{base}` is called with an argument that is not known")
        return Call(base, arguments, result, defaults)

    def _check_arguments(self, call: Call) -> None:
        """A handler reads every argument of what it writes down, or it has its default."""
        if not any(id(tensor) in self._tracked for tensor in _tensors_in(call.result)):
            return
        for name in call.unread():
            said = f"argument `{name}` of `{call.name}` is not supported"
            raise self.refuse("SNN301", said)

    def _check_dtype(self, base: str, result: Any) -> None:
        """Note what must fit into an integer dtype; refuse half precision."""
        for tensor in _tensors_in(result):
            entry = self._tracked.get(id(tensor))
            if entry is None or tensor.dtype == torch.bool:
                continue
            if tensor.dtype in (torch.half, torch.bfloat16):
                kind = str(tensor.dtype).removeprefix("torch.")
                raise self.refuse("SNN301", f"`{base}` computes in {kind}, which rounds")
            if not tensor.is_floating_point():
                self.integers.setdefault((entry.node, tensor.dtype), base)

    def _reads(self, tensors: Sequence[torch.Tensor]) -> Reads | None:
        """What a call reads, to replay it; None where it is about several steps."""
        entries = [self.tracked(tensor) for tensor in tensors]
        steps = {entry.at for entry in entries if entry.at is not None}
        if not tensors or len(steps) > 1 or any(entry.summed for entry in entries):
            return None
        with torch._C.DisableTorchFunction():
            return Reads.of(tensors, entries, self.steps)

    def _replay(
        self, func: Any, call: Call, reads: Reads, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Raise SnnccError (SNN323) where the ops of a call do not give what it returned."""
        results = [(t, self._tracked[id(t)]) for t in _tensors_in(call.result)
                   if id(t) in self._tracked]  # fmt: skip
        replay = Replay(self.nodes, self.tensors, self.steps, torch.get_default_dtype())
        found = replay.difference(reads, results)
        if found is None and len(results) == 1 and "out" not in kwargs:
            entry = results[0][1]
            if entry.node not in self._tried and replay.is_by_value(reads, entry.node):
                self._tried.add(entry.node)
                found = replay.difference_on_drawn(func, args, kwargs, reads, entry)
        if found is not None:
            said = f"`{call.name}` gives {found[1]!r} where what it was read as gives {found[0]!r}"
            raise self.refuse("SNN323", said)

    # -- behind what cannot be read --------------------------------------------------------

    def is_foreign(self, tensor: torch.Tensor) -> bool:
        """Whether nobody knows where ``tensor`` comes from."""
        met = self.is_tracked(tensor) or self.is_known(tensor)
        return not met and id(tensor) not in self._unusable

    def _lose_target(self, error: SnnccError, target: object) -> None:
        """A constant that the input was written into is none any more, nor is what it views."""
        if isinstance(target, torch.Tensor) and not self.is_tracked(target):
            for tensor in (target, target._base):
                if tensor is not None:
                    self.lose(tensor, error)

    def _stand_in(self, error: SnnccError, inputs: Sequence[torch.Tensor], result: object) -> None:
        """Let `Unread` nodes stand for ``result``, and for inputs that nobody knows.

        What was written to behind the recording's back is from now on taken as it was before.
        """
        for tensor in inputs:
            entry = self._tracked.get(id(tensor))
            if self.is_foreign(tensor):
                self._unread(error, tensor, ())
            elif entry is not None:
                self._tracked[id(tensor)] = replace(entry, version=tensor._version)
        reads = [tensor for tensor in inputs if self.is_tracked(tensor)]
        lost = not reads and any(map(self.why_lost, inputs))
        for part, tensor in enumerate(_tensors_in(result)):
            if lost:
                self.lose(tensor, error)
            elif not any(tensor is read for read in reads):
                self._unread(error, tensor, reads, part)

    def _unread(
        self, error: SnnccError, tensor: torch.Tensor, reads: Sequence[torch.Tensor], part: int = 0
    ) -> None:
        """``tensor``, made of ``reads``, is a node that says no more than ``error``.

        In a loop it is of the last step that it reads. Made of nothing that is known, it may be
        made of all that nobody else read. Where not even its axes can be told, it is lost.
        """
        axes = self._likely_axes(tensor, reads)
        if axes is None:
            self.lose(tensor, error)
            return
        steps = [at for read in reads if (at := self.tracked(read).at) is not None]
        reads = [t for t in reads if not steps or self.tracked(t).at == max(steps)]
        with self.loop.call([self.tracked(read) for read in reads]):
            nodes = [self.solid(read)[0] for read in reads] or self._unclaimed()
            name = self._emit_unread(error, nodes, features(axes, tensor.shape), axes, part)
            self.bind(tensor, name, axes)

    def _emit_unread(
        self, error: SnnccError, nodes: Sequence[str], shape: Sequence[int], axes: Axes, part: int
    ) -> str:
        rates = {self.nodes[node].signal.rate for node in nodes}
        rate: Rate = rates.pop() if len(rates) == 1 else "step"
        op = Unread(error.findings[0].code, error.findings[0].message, part)
        return self.emit(op, nodes, shape, axes, rate, what="unread")

    def _unclaimed(self) -> list[str]:
        """What was recorded and nobody reads so far."""
        read = {source for node in self.nodes.values() for source in node.inputs}
        return [n.name for n in self.nodes.values()
                if n.name not in read and not isinstance(n.op, Constant | Membrane)]  # fmt: skip

    def lost_head(self) -> str:
        """A node for an output that came off the recording behind the first finding."""
        with torch._C.DisableTorchFunction(), self.loop.call(()):
            error = SnnccError(self.notes.findings[0])
            return self._emit_unread(error, self._unclaimed(), (), (), 0)

    def _likely_axes(self, tensor: torch.Tensor, reads: Sequence[torch.Tensor]) -> Axes | None:
        """Those of an argument of this shape, else time and samples in front where they fit."""
        known = [self.tracked(read).axes for read in reads]
        for read, axes in zip(reads, known, strict=True):
            if read.shape == tensor.shape:
                return tuple("F" if role == "1" else role for role in axes)
        leads = [tuple(role for role in axes if role in BATCH) for axes in known]
        for lead in leads or [("T", "N"), ("N", "T"), ("TN",), ("N",)]:
            sizes = tuple(self.extent.size(role) for role in lead)
            if lead and tuple(tensor.shape[: len(lead)]) == sizes:
                return (*lead, *["F"] * (tensor.dim() - len(lead)))
        return None

    def stand_for(
        self, error: SnnccError, forward: Callable[..., Any], given: Sequence[Any],
        named: Mapping[str, Any], fires: bool,
    ) -> Any:  # fmt: skip
        """What ``forward`` of a module yields that cannot be read; where it ``fires``, as spikes.

        Raises ``error`` in a loop over time, whose steps could no longer be told apart.
        """
        self.notes.go_on(error, certain=not fires)
        inputs = list(_tensors_in([*given, *named.values()]))
        with torch._C.DisableTorchFunction(), self.neurons.within():
            result = forward(*given, **named)
            self._stand_in(error, inputs, result)
            y = spikes_of(result)
            if fires and self.is_tracked(y):
                if self.tracked(y).at is not None:
                    raise error
                node, axes = self.solid(y)
                shape = features(axes, y.shape)
                name = self.emit(Spiking(), [node], shape, axes, "step", what="sn")
                self.bind(y, name, axes)
        return result

    def _before_write(self, name: str, args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with a copy of a constant that the call writes to; else nothing."""
        target = args[0] if args else None
        in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
        if not in_place or not isinstance(target, torch.Tensor):
            return ()
        if self.is_tracked(target):
            self._written_at[_storage(target)] = self.here()
            return ()
        with torch._C.DisableTorchFunction():
            copy = target.clone()
        self.remember(copy)
        return (copy, *args[1:])

    def _handled(self, handler: Handler, call: Call, reads: Sequence[torch.Tensor]) -> Any:
        for tensor in reads:
            self.settle(tensor)
        with self.loop.call([self.tracked(tensor) for tensor in reads]):
            return handler(self, call)

    def settle(self, tensor: torch.Tensor) -> None:
        """A sum over the steps of a loop is read, so that it is complete."""
        if self.tracked(tensor).summed:
            self.loop.total(tensor)

    def _check(self, name: str, reads: Sequence[torch.Tensor]) -> None:
        if not reads:
            return
        if name in READS_VALUES:
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        if name in WRITES:
            for tensor in reads:
                self._written_at[_storage(tensor)] = self.here()
            raise self.refuse("SNN310", f"{name} writes into part of a tensor")
        if name == "data=":
            raise self.refuse("SNN310", "what a tensor holds is exchanged through .data")
        for tensor in reads:
            self.tracked(tensor)

    def _check_exact(self, name: str, args: Sequence[Any]) -> None:
        """Refuse what a run in float64 would not show: half precision by autocast, complex numbers.

        A block of autocast is one finding, and its ops are read as they are.
        """
        rounding = any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
        first, self._rounding = rounding and not self._rounding, rounding
        if first:
            self.notes.go_on(self.refuse("SNN301", "autocast rounds to half precision"))
        if any(isinstance(value, complex) for value in args):
            raise self.refuse("SNN301", f"{name} reads a complex number")

    def _check_out(self, out: object) -> None:
        if isinstance(out, torch.Tensor) and out._base is not None:
            raise self.refuse("SNN310", "out= writes into part of a tensor")

    def _written(self, name: str, call: Call, args: Sequence[Any]) -> bool:
        """Whether the call wrote into its first argument; its old meaning is kept for reading."""
        target = args[0] if args else None
        if call.result is not target or not self.is_tracked(target):
            return False
        entry = self._tracked[id(target)]
        if entry.version == target._version:
            return False
        if entry.through_data:
            raise self.refuse("SNN310", f"{name} writes through .data")
        self._tracked[id(target)] = replace(entry, version=target._version)
        return True

    # -- modules ---------------------------------------------------------------------------

    @contextmanager
    def attached(self, root: nn.Module) -> Iterator[None]:
        """Follow which module runs, and take neurons as leaves, while the block runs.

        ``root`` must be the caller's own copy: neurons get a new ``forward``.
        """
        leaves = {path for path, m in root.named_modules() if path and not list(m.children())}
        self._leaves = frozenset(leaves)

        def enter(module: nn.Module, inputs: Any) -> None:
            self._stack.append(self.paths.get(id(module), self.module))

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self._stack.pop()

        hooks = [
            nn.modules.module.register_module_forward_pre_hook(enter),
            nn.modules.module.register_module_forward_hook(leave),
        ]
        changed: list[nn.Module] = []
        try:
            for path, module in root.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    said = f"{path or 'the module'} is scripted: its calls cannot be seen"
                    scripted = refuse("SNN311", said)
                    forward = self._refusing(scripted, module.forward, fires=False)
                    object.__setattr__(module, "forward", forward)
                    changed.append(module)
                    continue
                try:
                    convert = converter(module)
                    if convert is None:
                        refuse_unknown(module, path)
                        continue
                    forward = self.neurons.leaf(module, path, convert(module))
                except SnnccError as error:
                    forward = self._refusing(error, module.forward, fires=True)
                object.__setattr__(module, "forward", forward)
                self._leaves |= {path}
                changed.append(module)
            yield
        finally:
            for module in changed:
                del module.__dict__["forward"]
            for hook in hooks:
                hook.remove()

    def _refusing(
        self, error: SnnccError, original: Callable[..., Any], fires: bool
    ) -> Callable[..., Any]:
        """The forward of a module that cannot be read: nobody minds one that is never called."""

        def forward(*given: Any, **named: Any) -> Any:
            place = self.here()
            here = SnnccError(replace(f, location=place) for f in error.findings)
            return self.stand_for(here, original, given, named, fires)

        return forward


def constant_number(recorder: Recorder, value: torch.Tensor, what: str) -> Number:
    """A constant tensor as a plain number where it is one."""
    return float(value) if value.numel() == 1 else recorder.ref(value, what)


def _tensors_in(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors_in(item)


def _storage(tensor: torch.Tensor) -> int:
    """The same for all views of one memory."""
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


def _name(func: Any) -> str:
    """The plain name of a torch function, method or property."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(func, "__self__", None)
        attribute = getattr(owner, "__name__", "")
        return attribute if name == "__get__" else f"{attribute}="
    return name or type(func).__name__


_OPERATORS = frozenset({
    "add", "sub", "mul", "truediv", "and", "or", "xor", "matmul", "pow", "floordiv", "mod",
})  # fmt: skip


def _base(name: str) -> str:
    """The op behind a spelling: add_, __add__ and __iadd__ are add, __rsub__ is rsub."""
    if name.startswith("__") and name.endswith("__"):
        plain = name[2:-2]
        return plain[1:] if plain[:1] == "i" and plain[1:] in _OPERATORS else plain
    return name[:-1] if name.endswith("_") and not name.startswith("_") else name


def _by_name(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Arguments under their names, the defaults, and whether an argument has no name.

    A parameter is a name, maybe with a default (``dim=0``); a last one ``*name`` takes the rest. What
    stands behind a ``~`` shows in the result, and is left out.
    """
    values: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    rest = list(args)
    given = {_ALIASES.get(key, key): value for key, value in kwargs.items()}
    for parameter in parameters:
        key, _, default = parameter.lstrip("~*").partition("=")
        if parameter.startswith("~*"):
            return values, defaults, False
        if parameter.startswith("*"):
            defaults[key], values[key], rest = (), given.pop(key, tuple(rest)), []
            continue
        defaults[key] = ast.literal_eval(default) if default else None
        value = rest.pop(0) if rest else given.pop(key, defaults[key])
        if not parameter.startswith("~"):
            values[key] = value
    return values | given, defaults, bool(rest)


_ALIASES = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "values": "other",
    "exponent": "other",
}  # fmt: skip
"""What torch also calls an argument."""
