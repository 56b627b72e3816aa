"""An ONNX file as a torch module: its forward runs the file's nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said
from snncc.frontends.onnx.neurons import FileNeuron, reading_of
from snncc.frontends.onnx.operators import (
    Call,
    Value,
    apply,
    is_known,
    unsupported,
)  # fmt: skip
from snncc.frontends.onnx.reading import OPERATIONS, Body, File, Operation, read_file
from snncc.frontends.onnx.samples import Samples, Shape
from snncc.frontends.torch.source import stated
from snncc.ir.neuron_functions import DOMAIN as OWN
from snncc.ir.neuron_functions import fixed_kinds

FREE = 3
"""What a free size is where nothing is known of it."""

Sizes = list[tuple[tuple[Shape | None, ...], Shape | None]]
"""Of each operation, in the order of a run, the shapes of its arguments and of its result."""


class Scope(nn.Module):
    """A part of the network by its path: holds constants, and runs what belongs to it."""

    def forward(self, run: Callable[[], Any]) -> Any:
        return run()


class FileModule(Scope):
    """Runs an ONNX file on its first input, (T, N, …) or as it was exported.

    Other inputs are states: they begin as zeros, and each has an output that says what it is at the
    next call (`states_of`). All other outputs come by name.

    ``forward`` raises SnnccError: SNN301 for operators without a meaning here, SNN306 for an input
    of another shape than the file's.
    """

    def __init__(self, file: File) -> None:
        super().__init__()
        self.file = file
        self.kept: list[torch.Tensor] = []
        self._places: dict[tuple[int, str], tuple[str, str]] = {}
        self._scopes: dict[str, str] = {}
        self._neurons: dict[str, str] = {}
        self._numbers = {id(body): number for number, body in enumerate(_bodies(file))}
        self._left = states_of(file)
        self._sizes: Sizes | None = None
        digest = torch.tensor(list(_digest(file.data)), dtype=torch.uint8)
        self.register_buffer("sha256", digest)
        for body in _bodies(file):
            for operation in body.operations:
                self._scope_of(operation.path)
        for number, body in enumerate(_bodies(file)):
            for name, array in body.constants.items():
                if array.dtype.kind in "fb":
                    self._hold(number, name, array)
        for operation in file.body.operations:
            self._leaf(operation)

    # -- what the file holds -------------------------------------------------------------------

    def _scope_of(self, path: str) -> nn.Module:
        """The part of this path, made where it is not there."""
        if path in self._scopes:
            return self.get_submodule(self._scopes[path])
        at: nn.Module = self
        place: list[str] = []
        for step in filter(None, path.split(".")):
            name = _identifier(step) or "_"
            while name not in at._modules and hasattr(at, name):
                name += "_"
            if name not in at._modules:
                at.add_module(name, Scope())
            at = at._modules[name]  # type: ignore[assignment]
            place.append(name)
        self._scopes[path] = ".".join(place)
        return at

    def _hold(self, body: int, name: str, array: np.ndarray) -> None:
        """Keep a constant as a buffer under its own name, as far as that can be a name."""
        path, _, last = name.strip("/").replace("/", ".").rpartition(".")
        scope = self._scope_of(path)
        own = _identifier(last) or "constant"
        base, count = own, 1
        while own in scope._buffers or own in scope._modules or hasattr(scope, own):
            count += 1
            own = f"{base}_{count}"
        scope.register_buffer(own, torch.from_numpy(np.array(array)))
        self._places[body, name] = (self._scopes[path], own)

    def _leaf(self, operation: Operation) -> None:
        """A neuron of our own functions as a part of its own."""
        file = self.file
        key = (operation.domain, operation.kind)
        if key not in file.functions or operation.kind not in file.own:
            return
        numbers: list[np.ndarray] = []
        for name in operation.inputs[1:]:
            place = self._places.get((0, name))
            if place is None:
                return
            tensor = self.get_submodule(place[0])._buffers[place[1]]
            assert tensor is not None
            numbers.append(tensor.numpy())
        reading = reading_of(operation.kind, numbers)
        if reading is None:
            return
        name = _identifier(operation.outputs[0].strip("/").replace("/", "."), dots=True)
        *path, last = name.split(".")
        scope = self._scope_of(".".join(path))
        while last in scope._modules or hasattr(scope, last):
            last += "_"
        run = _Alone(file, file.functions[key])
        scope.add_module(last, FileNeuron(operation.kind, numbers, run))
        self._neurons[operation.outputs[0]] = ".".join(filter(None, [*path, last]))

    def elsewhere(self, x: torch.Tensor, steps: int | None) -> Mapping[str, torch.Tensor] | None:
        """The outputs that onnxruntime computes; None where it is missing or has no such kernels.

        A file of one step is run ``steps`` times, and its outputs are stacked.
        """
        from snncc.frontends.onnx.runtime import outputs_of

        return outputs_of(self.file, self._left, x, steps)

    # -- running -------------------------------------------------------------------------------

    def reset(self) -> None:
        """Begin a sample: the states are zeros again."""
        self.kept = []

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        if self._sizes is None:
            self._sizes = self._dry_run(_real(x))
        samples = self._samples(x)
        body = self.file.body
        begin = self.kept or [
            torch.zeros(
                [samples.now if n == samples.own else x.shape[0] if isinstance(n, str) else n
                 for n in self.file.shapes[name]], dtype=x.dtype)
            for name in body.inputs[1:]
        ]  # fmt: skip
        env: dict[str, Value] = dict(zip(body.inputs, [x, *begin], strict=True))
        run = _Run(self, self.file, samples, _real(x), self._sizes)
        outputs = dict(zip(body.outputs, run.body(body, env), strict=True))
        self.kept = [outputs.pop(after) for after in self._left.values()]
        return outputs

    def _samples(self, x: torch.Tensor) -> Samples:
        """How many samples the input has, and the file. Raises SnnccError (SNN306)."""
        name = self.file.body.inputs[0]
        wanted = self.file.shapes[name]
        fits = len(wanted) == x.dim()
        moved = [
            axis for axis, size in enumerate(wanted)
            if fits and isinstance(size, int) and size != x.shape[axis]
        ]  # fmt: skip
        if not fits or len(moved) > 1:
            said = f"{self.file.source} takes `{name}` of shape {_shown(wanted)}"
            raise refuse("SNN306", f"{said}, not {tuple(map(int, x.shape))}")
        if not moved:
            return Samples()
        own = wanted[moved[0]]
        assert isinstance(own, int)
        return Samples(own, x.shape[moved[0]], first=not moved[0])

    def _dry_run(self, real: torch.dtype) -> Sizes:
        """The shapes of a run as the file was exported, without values.

        Raises SnnccError with all operators that have no meaning here.
        """
        self._check_numbers()
        errors = [unsupported(o, why) for body in _bodies(self.file)
                  for o in body.operations if (why := self._obstacle(o))]  # fmt: skip
        if errors:
            raise SnnccError(dict.fromkeys(f for error in errors for f in error.findings))
        sizes: Sizes = []
        env: dict[str, Value] = {}
        for name, shape in self.file.shapes.items():
            whole = [FREE if isinstance(n, str) else n for n in shape]
            if any(n < 1 for n in whole) or math.prod(whole) > 1 << 28:
                raise refuse("SNN306", f"`{name}` of {self.file.source} has shape {_shown(shape)}")
            env[name] = torch.zeros(whole, device="meta", dtype=real)
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            run = _Run(self, self.file, Samples(), real, sizes, dry=True)
            run.body(self.file.body, env)
        return sizes

    def _check_numbers(self) -> None:
        """Refuse a network in whole numbers, which has no trained form."""
        whole = [
            operation for body in _bodies(self.file) for operation in body.operations
            if operation.domain == OWN and operation.kind.removesuffix("Step") in fixed_kinds()
        ]  # fmt: skip
        if not whole:
            return
        name = self.file.about.get("org.snncc.source.name", "")
        said = f"{self.file.source} holds a network in whole numbers, which is written and not read"
        model = f"`{name[:80]}`" if name.isprintable() and name else "the trained model"
        help = (
            f"compile {model} with the --weight-bits and --calibrate of that time: that program "
            "has the same spikes; or run this file in onnxruntime"
        )
        raise refuse("SNN301", said, Location(whole[0].name), help=help)

    def _obstacle(self, operation: Operation) -> str:
        """Why an operation has no meaning here; empty where it has one."""
        called = (operation.domain, operation.kind) in self.file.functions
        looped = not operation.domain and operation.kind in ("Scan", "Loop")
        return "" if called or looped or is_known(operation) else "it has no meaning here"

    def constants(self, body: Body, dry: bool) -> dict[str, Value]:
        """The constants of a body, as they are in this module."""
        number = self._numbers[id(body)]
        found: dict[str, Value] = {}
        for name, array in body.constants.items():
            place = self._places.get((number, name))
            if place is None:
                found[name] = array
            else:
                tensor = self.get_submodule(place[0])._buffers[place[1]]
                assert tensor is not None
                found[name] = tensor.to("meta") if dry and tensor.numel() > 1 else tensor
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> FileModule:
        twin = type(self)(self.file)
        memo[id(self)] = twin
        twin._sizes = self._sizes
        twin.kept = [each.clone() for each in self.kept]
        twin.train(self.training)
        for mine, its in zip(self.buffers(), twin.buffers(), strict=True):
            its.data = mine.detach().clone()
        return twin


class _Alone:
    """Runs a function of a file by itself, as a neuron does."""

    def __init__(self, file: File, body: Body) -> None:
        self._file, self._body = file, body

    def __deepcopy__(self, memo: dict[int, Any]) -> _Alone:
        return self

    def __call__(self, args: Sequence[Value], real: torch.dtype) -> torch.Tensor:
        run = _Run(None, self._file, Samples(), real, [], dry=True)
        (result,) = run.body(self._body, dict(zip(self._body.inputs, args, strict=True)))
        assert isinstance(result, torch.Tensor)
        return result


class _Run:
    """One run of a file. ``sizes`` are filled where it is ``dry``, else read."""

    def __init__(
        self, module: FileModule | None, file: File, samples: Samples, real: torch.dtype,
        sizes: Sizes, dry: bool = False,
    ) -> None:  # fmt: skip
        self._module, self._file, self._samples, self._real = module, file, samples, real
        self._sizes, self._dry = sizes, dry
        self._count = 0
        self._caller: Operation | None = None
        self._known: dict[int, dict[str, Value]] = {}

    def body(self, body: Body, env: Mapping[str, Value], outer: Mapping[str, Value] = {}) -> Any:
        """What a body yields. ``outer``: what is known around it."""
        if id(body) not in self._known:
            module, dry = self._module, self._dry
            self._known[id(body)] = (
                module.constants(body, dry) if module is not None else {
                    name: torch.from_numpy(np.array(a)).to(self._real) if a.dtype.kind == "f"
                    else torch.from_numpy(np.array(a)) if a.dtype.kind == "b" else a
                    for name, a in body.constants.items()
                }
            )  # fmt: skip
        values: dict[str, Value] = {**outer, **self._known[id(body)], **env}
        for place, operation in enumerate(body.operations):
            args = [values[name] if name else None for name in operation.inputs]
            results = self._operation(operation, args, values)
            for name, value in zip(operation.outputs, results, strict=False):
                if name:
                    values[name] = value
            for name in body.last_uses.get(place, ()):
                values.pop(name, None)
        return [values[name] for name in body.outputs]

    def _operation(
        self, operation: Operation, args: Sequence[Value], values: Mapping[str, Value]
    ) -> Sequence[Value]:
        place = self._count
        self._count += 1
        if self._count > OPERATIONS:
            raise self._too_many()
        if self._dry:
            self._sizes.append(((), None))
        module = self._module
        first = operation.outputs[0] if operation.outputs else ""
        neuron = module._neurons.get(first) if module is not None else None
        key = (operation.domain, operation.kind)
        if neuron is not None and module is not None and not self._dry:
            leaf = module.get_submodule(neuron)
            with stated(operation.place):
                return [leaf(args[0])]
        if neuron is not None:
            return [args[0]]
        if key in self._file.functions:
            function = self._file.functions[key]
            padded = [*args, *[None] * len(function.inputs)][: len(function.inputs)]
            outermost, self._caller = self._caller, self._caller or operation
            try:
                return self.body(function, dict(zip(function.inputs, padded, strict=True)))  # type: ignore[no-any-return]
            finally:
                self._caller = outermost
        if not operation.domain and operation.kind == "Scan":
            return self._scan(operation, args, values)
        if not operation.domain and operation.kind == "Loop":
            return self._loop(operation, args, values)
        samples = self._samples
        if not samples.same and place < len(self._sizes):
            before, after = self._sizes[place]
            samples = replace(samples, before=before, after=after)
        call = Call(operation, self._file.opset, self._real, samples)
        results = self._apply(call, args)
        if self._dry:
            self._sizes[place] = (tuple(map(_shape, args)), _shape(results[0]))
        return results

    def _apply(self, call: Call, args: Sequence[Value]) -> Sequence[Value]:
        if self._dry and call.operation.kind not in _READS_NUMBERS:
            args = _alike(args)
        with stated((self._caller or call.operation).place):
            try:
                path = call.operation.path
                if self._module is None or not path or self._dry:
                    return apply(call, args)
                scope = self._module.get_submodule(self._module._scopes[path])
                return scope(lambda: apply(call, args))  # type: ignore[no-any-return]
            except SnnccError:
                raise
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                why = (str(error).strip() or type(error).__name__).splitlines()[0]
                if self._dry:
                    raise unsupported(call.operation, why) from None
                said = f"{type(error).__name__} in forward, in `{call.operation.name}`: {why}"
                raise refuse("SNN314", said, call.operation.place) from None

    def _check_turns(self, body: Body, turns: int) -> None:
        """Raise SnnccError (SNN305) for a loop that has too much to do."""
        if self._count + turns * max(1, len(body.operations)) > OPERATIONS:
            raise self._too_many()

    def _too_many(self) -> SnnccError:
        return refuse("SNN305", f"{self._file.source} runs more than {OPERATIONS:,} operations")

    # -- loops ---------------------------------------------------------------------------------

    def _scan(
        self, operation: Operation, args: Sequence[Value], values: Mapping[str, Value]
    ) -> list[Value]:
        """States go through the steps of the inputs that are scanned, whose results are stacked."""
        body, count = operation.attributes["body"], int(operation.attributes["num_scan_inputs"])
        get = operation.attributes.get
        backwards = [*(get("scan_input_directions") or ()), *(get("scan_output_directions") or ())]
        if any(backwards):
            raise unsupported(operation, "it runs backwards")
        if not 1 <= count <= len(args) or len(body.inputs) != len(args):
            raise unsupported(operation, "it scans no input")
        states = list(args[: len(args) - count])
        scanned = [x for x in args[len(args) - count :] if isinstance(x, torch.Tensor) and x.dim()]
        into = list(get("scan_input_axes") or [0] * count)
        if len(scanned) != count or len(into) != count:
            raise unsupported(operation, "it scans whole numbers")
        lengths = {int(x.shape[axis]) for x, axis in zip(scanned, into, strict=True)}
        if len(lengths) != 1:
            raise unsupported(operation, "it scans inputs of different lengths")
        (steps,) = lengths
        self._check_turns(body, steps)
        shown: list[list[Value]] = [[] for _ in range(len(body.outputs) - len(states))]
        for t in range(steps):
            now = [_at(x, axis, t) for x, axis in zip(scanned, into, strict=True)]
            env = dict(zip(body.inputs, [*states, *now], strict=True))
            left = self.body(body, env, values)
            states = left[: len(states)]
            for each, value in zip(shown, left[len(states) :], strict=True):
                each.append(value)
        out = get("scan_output_axes") or [0] * len(shown)
        return [*states, *(_stacked(each, axis) for each, axis in zip(shown, out, strict=True))]

    def _loop(
        self, operation: Operation, args: Sequence[Value], values: Mapping[str, Value]
    ) -> list[Value]:
        """A loop of a known number of turns, whose condition is always true."""
        body = operation.attributes["body"]
        turns, states = args[0], list(args[2:])
        if not isinstance(turns, np.ndarray) or turns.size != 1:
            raise unsupported(operation, "its number of turns depends on data")
        if len(body.inputs) != len(states) + 2:
            raise unsupported(operation, "its states are not those of its body")
        condition = args[1]
        if condition is not None and not _is_true(condition):
            raise unsupported(operation, "its condition is not always true")
        count = int(turns.reshape(-1)[0])
        if count < 1:
            raise unsupported(operation, f"it has {count} turns")
        self._check_turns(body, count)
        shown: list[list[Value]] = [[] for _ in range(len(body.outputs) - len(states) - 1)]
        true: Value = torch.tensor(True)
        for t in range(count):
            env = dict(zip(body.inputs, [np.array(t), true, *states], strict=True))
            left = self.body(body, env, values)
            if not _is_true(left[0]):
                raise unsupported(operation, "its condition is not always true")
            states = left[1 : len(states) + 1]
            for each, value in zip(shown, left[len(states) + 1 :], strict=True):
                each.append(value)
        return [*states, *(_stacked(each, 0) for each in shown)]


def _is_true(value: Value) -> bool:
    """Whether a condition is the constant true."""
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or value.is_meta:
        return False
    return bool(value.reshape(-1)[0])


def _at(x: torch.Tensor, axis: int, step: int) -> torch.Tensor:
    index: list[Any] = [slice(None)] * (axis % x.dim())
    return x[(*index, step)]


def _stacked(steps: Sequence[Value], axis: int) -> Value:
    if all(isinstance(each, np.ndarray) for each in steps):
        return np.stack([np.asarray(each) for each in steps], axis)
    tensors = [each for each in _alike(steps) if isinstance(each, torch.Tensor)]
    return torch.stack(tensors, axis)


_READS_NUMBERS = ("Pad", "Clip", "Resize", "Upsample", "Dropout")
"""Operators that read some arguments as numbers."""


def _alike(args: Sequence[Value]) -> list[Value]:
    """Arguments on one device: without values where one has none."""
    if not any(isinstance(a, torch.Tensor) and a.is_meta for a in args):
        return list(args)
    return [a.to("meta") if isinstance(a, torch.Tensor) and a.dim() else a for a in args]


def _shape(value: Value) -> Shape | None:
    return tuple(int(n) for n in value.shape) if isinstance(value, torch.Tensor) else None


def _real(x: torch.Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def _bodies(file: File) -> list[Body]:
    """The graph of a file, those of its loops and of its functions, in order."""
    found: list[Body] = []

    def take(body: Body) -> None:
        found.append(body)
        for operation in body.operations:
            for value in operation.attributes.values():
                if isinstance(value, Body):
                    take(value)

    for body in (file.body, *file.functions.values()):
        take(body)
    return found


def _identifier(text: str, dots: bool = False) -> str:
    kept = "".join(c if c.isalnum() or c == "_" or (dots and c == ".") else "_" for c in text)
    return kept.strip(".")


def _digest(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).digest()


def _shown(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"


def states_of(file: File) -> Mapping[str, str]:
    """Of each input behind the first the output that it is at the next call.

    It has the input's name in its own, or outputs follow inputs in their order, the first of both
    left out. Raises SnnccError (SNN301) where there is none of the same shape.
    """
    states, outputs = file.body.inputs[1:], list(file.body.outputs)
    found: dict[str, str] = {}
    for place, name in enumerate(states, 1):
        named = [each for each in outputs if name in each]
        behind = outputs[place : place + 1]
        after = named if len(named) == 1 else behind
        if len(outputs) <= len(states) or not after or after[0] in found.values():
            said = f"`{name}`, an input of {file.source}, has no output that is its next value"
            help = "a file has one input; what else it takes are states, and it yields their next"
            raise refuse("SNN301", said, Location(name), help=help)
        found[name] = after[0]
    return found


def open_onnx(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open an .onnx file as a network; raises as `read_file` does."""
    import hashlib

    file = read_file(Path(spec), spec)
    return Checkpoint(
        module=FileModule(file).eval(), **example_of(file), dtype=torch.float32, source=spec,
        sha256=hashlib.sha256(file.data).hexdigest(),
    )  # fmt: skip


def example_of(file: File) -> dict[str, Any]:
    """What the file says of its input: shape, layout, T and kind, None where it does not."""
    shape = list(file.shapes[file.body.inputs[0]])
    about = {key.removeprefix("org.snncc."): value for key, value in file.about.items()
             if key.startswith("org.snncc.")}  # fmt: skip
    layout, kind = about.get("layout"), about.get("input")
    steps = int(about["time_steps"]) if about.get("time_steps", "").isdigit() else None
    if layout in ("TN", "N") and steps is not None:
        lead: list[int | str] = [steps, 1] if layout == "TN" else [1]
        shape[: len(lead)] = lead
    free = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    if layout is None and free == [1] and len(shape) > 2:
        layout, shape[1] = "TN", 1
    elif layout is None and free == [0] and len(shape) == 2:
        layout, shape[0] = "N", 1
    whole = all(isinstance(size, int) and size > 0 for size in shape) and bool(shape)
    return {
        "shape": tuple(shape) if whole else None,
        "layout": layout if layout in ("TN", "N") else None,
        "time_steps": None,
        "input": kind if kind in ("spike", "count", "analog") else None,
    }
