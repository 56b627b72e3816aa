"""Recording: one real run of a module, every torch function it calls turned into a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.neurons import NeuronModule, converter, refuse_unknown
from snncc.frontends.torch import source
from snncc.frontends.torch.axes import Axes, Extent, MixedAxes, features
from snncc.ir.graph import Node, Rate, Signal
from snncc.ir.ops import Constant, Input, Number, Op, Ref, Reshape


@dataclass(frozen=True)
class Tracked:
    """A tensor of the run that depends on the input: the node it is, and its axes.

    ``version`` is the tensor's write counter when it was last seen; ``through_data``: it came
    from ``.data``, whose writes nobody counts.
    """

    node: str
    axes: Axes
    version: int
    through_data: bool = False


@dataclass(frozen=True)
class Call:
    """One intercepted call: its arguments by name, and what it returned."""

    name: str
    arguments: Mapping[str, Any]
    result: Any

    def __getitem__(self, key: str) -> Any:
        return self.arguments[key]


Handler = Callable[["Recorder", Call], Any]

READS_VALUES = frozenset({
    "item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy",
    "__array__", "equal", "allclose", "is_nonzero", "__contains__", "__format__",
})  # fmt: skip
"""Calls that turn tensor data into a Python value a recording would freeze in."""

HARMLESS = frozenset({
    "shape", "size", "dim", "ndim", "numel", "nelement", "stride", "is_contiguous", "device",
    "dtype", "is_cuda", "is_sparse", "is_quantized", "is_meta", "layout", "requires_grad",
    "grad_fn", "is_leaf", "is_floating_point", "is_complex", "__len__", "get_device", "__hash__",
    "element_size", "storage_offset", "names", "__repr__", "_backward_hooks", "is_nested",
    "retain_grad", "_version", "data_ptr", "is_mps", "is_xpu", "is_cpu",
})  # fmt: skip
"""Calls that look at a tensor's form and never at its data."""

WRITES = frozenset({
    "__setitem__", "copy_", "fill_", "zero_", "masked_fill_", "index_put_", "index_add_",
    "scatter_", "scatter_add_", "set_", "resize_", "swapaxes_", "index_copy_", "index_fill_",
})  # fmt: skip


class Recorder(TorchFunctionMode):
    """Records one run.

    ``handlers`` maps a function's name to (parameter names, handler). ``known`` are tensors that
    existed before the run, under the names they get.
    """

    def __init__(
        self,
        handlers: Mapping[str, tuple[tuple[str, ...], Handler]],
        known: Mapping[int, str],
        paths: Mapping[int, str],
        samples: int,
        steps: int | None,
        single_step: bool,
    ) -> None:
        super().__init__()
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
        self._stack: list[str] = [""]
        self._counts: dict[str, int] = {}
        self._calls: dict[int, int] = {}
        self._leaves: frozenset[str] = frozenset()

    # -- where we are ----------------------------------------------------------------------

    @property
    def module(self) -> str:
        return self._stack[-1]

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
        return isinstance(value, torch.Tensor) and id(value) in self._tracked

    def tracked(self, tensor: torch.Tensor) -> Tracked:
        """What ``tensor`` is; refuses one written to behind the recording's back."""
        entry = self._tracked[id(tensor)]
        if entry.version != tensor._version:
            raise self.refuse("SNN310", "a tensor was written to through another view of it")
        return entry

    def signal(self, tensor: torch.Tensor) -> Signal:
        return self.nodes[self.tracked(tensor).node].signal

    def bind(self, tensor: torch.Tensor, node: str, axes: Axes, through_data: bool = False) -> None:
        """From now on ``tensor`` is ``node``."""
        if len(axes) != tensor.dim():
            raise self.refuse("SNN301", f"axes {axes} do not describe shape {tuple(tensor.shape)}")
        self._alive.append(tensor)
        self._tracked[id(tensor)] = Tracked(node, axes, tensor._version, through_data)

    def is_known(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._known

    def remember(self, value: object) -> None:
        """Tensors a call returned without reading the input are constants of the run."""
        for tensor in _tensors_in(value):
            if not self.is_known(tensor):
                self._alive.append(tensor)
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
        name = name or self._unique(_joined(self.module, what))
        if name not in self.tensors:
            whole = np.array(array, dtype=np.float64)
            if not np.isfinite(whole).all():
                raise self.refuse("SNN307", f"tensor {name} has a NaN or infinite value")
            self.tensors[name] = whole
        return Ref(name)

    def lose(self, tensor: torch.Tensor, error: SnnccError) -> None:
        """``tensor`` has no meaning in a Graph: ``error`` where it joins the rest of the run."""
        self._alive.append(tensor)
        self._unusable[id(tensor)] = error

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
    ) -> str:
        """Add a node; its rate is that of its arguments unless given."""
        if rate is None:
            rate = self._joint_rate([self.nodes[name].signal.rate for name in inputs])
        own = isinstance(op, Constant | Input)
        name = what if own else self._unique(_joined(self.module, "" if self._is_leaf() else what))
        if name not in self.nodes:
            signal = Signal(tuple(int(n) for n in shape), rate, axes=axes)
            origin = Location() if own else self.here()
            self.nodes[name] = Node(name, op, tuple(inputs), signal, origin)
        return name

    def _joint_rate(self, rates: Sequence[Rate]) -> Rate:
        if "final" in rates and "step" in rates:
            raise self.refuse("SNN112", "a value of all steps meets a value of one step")
        return "final" if "final" in rates else "step" if "step" in rates else "static"

    def _is_leaf(self) -> bool:
        return self.module in self._leaves

    def _unique(self, base: str) -> str:
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
        name = _name(func)
        inputs = list(_tensors_in([*args, *kwargs.values()]))
        reads = [t for t in inputs if self.is_tracked(t)]
        self._check(name, reads)
        for tensor in inputs:
            if not self.is_tracked(tensor) and id(tensor) not in self._unusable:
                self._name_of(tensor)
        result = func(*args, **kwargs)
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
            raise self.refuse("SNN301", f"nobody here knows the op {name}")
        parameters, handler = self.handlers[base]
        if name == "__get__":
            args = args[:1]
        call = Call(base, _by_name(parameters, args, kwargs), result)
        try:
            written = self._written(name, call, args)
            answer = handler(self, call)
            return result if written or answer is None else answer
        except MixedAxes as error:
            raise self.refuse("SNN112", f"{base}: {error}") from None

    def _check(self, name: str, reads: Sequence[torch.Tensor]) -> None:
        if not reads:
            return
        if name in READS_VALUES:
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        if name in WRITES:
            raise self.refuse("SNN310", f"{name} writes into part of a tensor")
        for tensor in reads:
            self.tracked(tensor)

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
                convert = converter(module)
                if convert is None:
                    refuse_unknown(module, path)
                    continue
                try:
                    reading = convert(module)
                except SnnccError as error:
                    raise SnnccError(f.at(Location(path)) for f in error.findings) from None
                object.__setattr__(module, "forward", self._leaf(module, path, reading))
                changed.append(module)
            yield
        finally:
            for module in changed:
                del module.__dict__["forward"]
            for hook in hooks:
                hook.remove()

    def _leaf(
        self, module: nn.Module, path: str, reading: NeuronModule
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        original = module.forward

        def forward(x: torch.Tensor) -> torch.Tensor:
            calls = self._calls[id(module)] = self._calls.get(id(module), 0) + 1
            if calls > 1 and reading.keeps_state:
                raise self.refuse(
                    "SNN309", f"neuron {path} is called again before its state is reset"
                )
            if not self.is_tracked(x):
                raise self.refuse("SNN311", f"neuron {path} reads nothing of the input")
            with torch._C.DisableTorchFunction():
                y = original(x)
                self._spike(x, y, path, reading)
            return y  # type: ignore[no-any-return]

        return forward

    def _spike(self, x: torch.Tensor, y: torch.Tensor, path: str, reading: NeuronModule) -> None:
        node, axes = self.solid(x)
        expects_time = reading.multi_step
        has_time = bool(axes) and axes[0] == "T"
        if expects_time and not has_time:
            raise self.refuse(
                "SNN306", f"neuron {path} is multi-step, but its input has no time axis in front"
            )
        if not expects_time and (any("T" in role for role in axes) or not self.single_step):
            raise self.refuse(
                "SNN306", f"neuron {path} is single-step: pass time_steps and an input of one step"
            )
        for ref, array in reading.tensors.items():
            self.tensors.setdefault(ref, np.asarray(array, dtype=np.float64))
        name = self.emit(
            reading.spiking, [node], features(axes, y.shape), axes, rate="step", what=""
        )
        self.bind(y, name, axes)
        self.spikes[name] = y


def constant_number(recorder: Recorder, value: torch.Tensor, what: str) -> Number:
    """A constant tensor as a plain number where it is one."""
    return float(value) if value.numel() == 1 else recorder.ref(value, what)


def _joined(module: str, what: str) -> str:
    return ".".join(part for part in (module, what) if part) or "network"


def _tensors_in(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _tensors_in(item)


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
    parameters: tuple[str, ...], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments under their names; a last parameter ``*name`` takes the rest."""
    values: dict[str, Any] = {}
    rest = list(args)
    for parameter in parameters:
        if parameter.startswith("*"):
            key = parameter[1:]
            values[key] = kwargs.get(key, tuple(rest))
            rest = []
            continue
        key, _, default = parameter.partition("=")
        if rest:
            values[key] = rest.pop(0)
        else:
            values[key] = kwargs.get(key, _DEFAULTS[default])
    return values | {k: v for k, v in kwargs.items() if k not in values}


_DEFAULTS: dict[str, Any] = {"": None, "0": 0, "1": 1, "-1": -1, "True": True, "False": False}
