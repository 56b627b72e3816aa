"""Recording: one real run of a module, every torch function it calls turned into a node."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.jit._state import _try_get_jit_cached_function as compiled_from
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.neurons import converter, refuse_unknown
from snncc.frontends.torch import unread
from snncc.frontends.torch.axes import MixedAxes
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.fillings import Fillings
from snncc.frontends.torch.functions import (
    CONVOLUTIONS,
    DRAWS,
    ENCODER,
    FORM_ONLY,
    HARMLESS,
    READS_VALUES,
    SHARES_MEMORY,
    WRITES,
    base_name,
    by_name,
    plain_name,
)
from snncc.frontends.torch.guards import Guard, sizes
from snncc.frontends.torch.loops import Apart, Loop
from snncc.frontends.torch.neurons import Neurons
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.replay import WRAPPING, Reads, Replay
from snncc.frontends.torch.tracked import Call, tensors_in

Handler = Callable[["Recorder", Call], Any]


class Overhearing(TorchDispatchMode):
    """Tells a recorder of every op, also of those that forward hides from it."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():
            result = func(*args, **kwargs)
            self._recorder.overhear(func, args, kwargs, result)
            return result


class Recorder(Builder, TorchFunctionMode):
    """Records one run.

    ``handlers`` maps a function's name to (parameter names, handler). ``known`` are tensors that
    existed before the run, by the names they get. What is wrong is in ``notes``;
    where these are lenient, an `Unread` node stands for what a call returned that cannot be read.
    ``verified``: calls are replayed and neurons are tried; where not, convolutions yield zeros, for
    only what is recorded counts.
    """

    def __init__(
        self,
        handlers: Mapping[str, tuple[tuple[str, ...], Handler]],
        known: Mapping[str, torch.Tensor],
        paths: Mapping[int, str],
        samples: int,
        steps: int | None,
        single_step: bool,
        notes: Notes,
        verified: bool = True,
        unrolled: bool = False,
    ) -> None:
        TorchFunctionMode.__init__(self)
        Builder.__init__(self, known, samples, steps, single_step, notes, unrolled)
        self.handlers, self.paths = handlers, paths
        self.loop = Apart(self) if unrolled else Loop(self)
        self.neurons = Neurons(self, self.loop, verified)
        self._fillings = Fillings(self)
        self.verified = verified
        self._rounding = False
        self._tried: set[tuple[str, str]] = set()
        self.guards: list[tuple[Guard, bool]] = []
        self.integers: dict[tuple[str, torch.dtype], str] = {}
        self.failed: SnnccError | None = None

    # -- the mode --------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside_leaf:
            return func(*args, **kwargs)
        with torch._C._DisableTorchDispatch():
            return self._call_of(func, args, kwargs)

    def _call_of(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if plain_name(func) == "__setitem__":
            if self._fillings.takes(*args):
                return None
            func, args = self._written_as(*args)
        if plain_name(func) == "__getitem__" and (step := self._fillings.read(*args)) is not None:
            return step
        inputs = list(tensors_in([*args, *kwargs.values()]))
        run = cache(partial(self._run, func, args, kwargs))
        try:
            return self._recorded(func, run, inputs, args, kwargs)
        except SnnccError as error:
            self.notes.go_on(error)
            result = run()
            if isinstance(result, torch.Tensor) and result.dtype in (torch.half, torch.bfloat16):
                result = result.to(torch.get_default_dtype())  # as wide as the rest of the run
            if error.findings[0].code == "SNN310":
                unread.lose_target(self, error, kwargs.get("out", args[0] if args else None))
            unread.stand_in(self, error, inputs, result)
            return result

    def _written_as(self, target: Any, where: Any, value: Any) -> tuple[Any, Sequence[Any]]:
        """The function that does what ``target[where] = value`` does, and says what that is."""
        if _is_mask(target, where, value):
            return torch.Tensor.masked_fill_, (target, where, value)
        items = where if isinstance(where, tuple) else (where,)
        with torch._C.DisableTorchFunction():
            whole = all(item is Ellipsis or item == slice(None) for item in items if _plain(item))
            whole = whole and all(map(_plain, items)) and isinstance(target, torch.Tensor)
            if whole and self.is_tracked(value) and value.shape == target.shape:
                return torch.Tensor.copy_, (target, value)
            part = all(map(_plain, items)) and self.is_tracked(target)
            if part and target.is_floating_point() and not self.is_tracked(value):
                return write_part_, (target, where, value)
        return torch.Tensor.__setitem__, (target, where, value)

    def _run(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the call returns, and whether it raised an error that forward may catch."""
        try:
            return self._result(func, args, kwargs)
        except Exception as error:
            said = f"forward goes on after `{plain_name(func)}` raised {type(error).__name__}, "
            more = "which it may not do for another input or number of samples"
            self.failed = self.failed or self.refuse("SNN302", said + more)
            raise

    def _result(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Of a convolution that is not verified only the shape counts."""
        only_form = not (self.verified or self.noted or self.noting)
        heavy = only_form and base_name(plain_name(func)) in CONVOLUTIONS
        if not heavy or not args or not all(isinstance(t, torch.Tensor) for t in args[:2]):
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            given = [t.to("meta") if isinstance(t, torch.Tensor) else t for t in args]
            named = {k: t.to("meta") if isinstance(t, torch.Tensor) else t
                     for k, t in kwargs.items()}  # fmt: skip
            shape = func(*given, **named).shape
            return torch.zeros(shape, dtype=args[0].dtype)

    def _recorded(
        self, func: Any, run: Callable[[], Any], inputs: Sequence[torch.Tensor],
        args: Sequence[Any], kwargs: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """What the call returns, and what it means written down. Raises SnnccError."""
        name = plain_name(func)
        if base_name(name) in FORM_ONLY:
            self.remember(run())
            return run()
        reads = [t for t in inputs if self.is_tracked(t)]
        self._check(name, args, reads)
        if base_name(name) in SHARES_MEMORY and not reads:
            for tensor in (*inputs, *tensors_in(run())):
                self.expose(tensor)
        for tensor in inputs:
            if self.is_foreign(tensor):
                self._name_of(tensor)
            elif name not in HARMLESS:
                self.check_unwritten(tensor)
        if reads:
            self._check_exact(name, args)
            self._check_out(kwargs.get("out"))
        read = self._before_write(name, args)
        if read and reads:
            self.note_fill(args[0])
        before = self._reads(reads) if self.verified else None
        versions = [tensor._version for tensor in inputs]
        result = run()
        if result is NotImplemented:  # of no tensor, as in x == None
            return result
        lost = any(map(self.why_lost, inputs))
        for tensor, version in zip(inputs, versions, strict=True):
            if not reads and tensor._version != version:
                if lost:
                    self._lose_written(name, tensor, inputs)
                else:
                    self.note_rewrite(tensor)
        if self._lost(name, inputs, result):
            return result
        if not reads:
            self.remember(result)
            return result
        if name in HARMLESS:
            return self._form(name, inputs[0], args, kwargs, result)
        base = base_name(name)
        if base not in self.handlers:
            self._unknown(name, base, result)
            return result
        parameters, handler = self.handlers[base]
        if name == "__get__":
            args = args[:1]
        call = self._call(base, parameters, read or args, kwargs, result)
        try:
            written = self._written(name, call, args)
            joined = self.loop.together(call)
            answer = None if joined else self._handled(handler, call, reads)
            self._check_arguments(call)
            self._check_dtype(base, result)
            self._pass_on_data(inputs, result)
            if before is not None and not joined:
                self._replay(func, call, before, read or args, kwargs)
            return result if written or answer is None else answer
        except MixedAxes as error:
            raise self.refuse("SNN112", f"{base}: {error}") from None

    def _unknown(self, name: str, base: str, result: Any) -> None:
        """An op without a handler. Raises SnnccError, but for one number for all samples."""
        if not any(True for _ in tensors_in(result)):
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        said, help = f"nobody here knows the op {name}", ""
        if base in DRAWS:
            said, help = f"{name} draws random numbers, for which a network has no op", ENCODER
        error = self.refuse("SNN301", said, help)
        if not isinstance(result, torch.Tensor) or result.dim():
            raise error
        self.lose(result, error)  # a branch may ask about it

    def _form(
        self, name: str, tensor: torch.Tensor, args: Sequence[Any], kwargs: Mapping[str, Any],
        result: Any,
    ) -> Any:  # fmt: skip
        """What forward learns of a tensor's form; the number of samples answers as `Samples`."""
        entry = self._tracked.get(id(tensor))
        if entry is None or name not in ("shape", "size", "__len__", "numel", "nelement"):
            return result
        whole = sizes(tensor.shape, entry.axes, self.steps, self.guards)
        if name in ("numel", "nelement"):
            return math.prod(whole)
        dim = 0 if name == "__len__" else (*args[1:], *kwargs.values(), None)[0]
        if name == "shape" or dim is None:
            return whole
        return whole[dim]

    def overhear(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """An op ran without a call that was seen: of data of the run nobody knows why.

        A copy is what it copies, ``Variable(x)`` say, and what is made of constants is one.
        """
        inputs = list(tensors_in([*args, *kwargs.values()]))
        with torch._C._DisableTorchDispatch():
            if not any(map(self.is_tracked, inputs)):
                if not any(self.is_foreign(tensor) for tensor in inputs):
                    self.remember(result)
            elif func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
                entry = self.tracked(inputs[0])
                at, data, summed = entry.at, entry.through_data, entry.summed
                self.place(result, entry.node, entry.axes, at, data, summed)
            elif self.failed is None:
                said = f"`{func.__name__.partition('.')[0]}` runs where no call can be recorded"
                self.failed = self.refuse("SNN311", said)

    # -- what was written down is what was called ------------------------------------------

    def _call(
        self, base: str, parameters: Sequence[str], args: Sequence[Any],
        kwargs: Mapping[str, Any], result: Any,
    ) -> Call:  # fmt: skip
        """The arguments under their names. Raises SnnccError (SNN301) for one too many."""
        arguments, defaults, left = by_name(parameters, args, kwargs)
        if left:
            raise self.refuse("SNN301", f"`{base}` is called with an argument that is not known")
        return Call(base, arguments, result, defaults)

    def _check_arguments(self, call: Call) -> None:
        """A handler reads every argument of what it writes down, or it has its default."""
        if not any(id(tensor) in self._tracked for tensor in tensors_in(call.result)):
            return
        for name in call.unread():
            said = f"argument `{name}` of `{call.name}` is not supported"
            raise self.refuse("SNN301", said)

    def _pass_on_data(self, inputs: Sequence[torch.Tensor], result: Any) -> None:
        """A view of what came from ``.data`` is written to unseen as well."""
        unseen = {
            _memory(t) for t in inputs
            if (entry := self._tracked.get(id(t))) is not None and entry.through_data
        }  # fmt: skip
        for tensor in tensors_in(result) if unseen else ():
            entry = self._tracked.get(id(tensor))
            if entry is not None and _memory(tensor) in unseen:
                self._tracked[id(tensor)] = replace(entry, through_data=True)

    def _check_dtype(self, base: str, result: Any) -> None:
        """Note what must fit into an integer dtype; refuse half precision."""
        for tensor in tensors_in(result):
            entry = self._tracked.get(id(tensor))
            if entry is None or tensor.dtype == torch.bool:
                continue
            if tensor.is_floating_point() and tensor.dtype not in (torch.float32, torch.float64):
                said = (
                    f"`{base}` computes in less than float32, {_name(tensor.dtype)}, which rounds"
                )
                raise self.refuse("SNN301", said)
            if tensor.is_floating_point():
                continue
            if entry.summed and tensor.dtype != torch.int64:
                said = f"a sum over time is added up in {_name(tensor.dtype)}, which wraps around"
                raise self.refuse("SNN301", said)
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
        results = [(t, self._tracked[id(t)]) for t in tensors_in(call.result)
                   if id(t) in self._tracked]  # fmt: skip
        replay = Replay(self.nodes, self.tensors, self.steps, torch.get_default_dtype())
        found = replay.difference(reads, results)
        drawable = call.name != "write_part"  # the zeros around a tensor are never drawn
        if found is None and len(results) == 1 and "out" not in kwargs and drawable:
            entry = results[0][1]
            cast = results[0][0].dtype not in {form.dtype for form in reads.forms.values()}
            new = cast or entry.node not in reads.values
            tried = (entry.node, call.name)
            if new and tried not in self._tried and replay.is_by_value(reads, entry.node):
                self._tried.add(tried)
                found = replay.difference_on_drawn(func, args, kwargs, reads, entry)
        kind = results[0][0].dtype if results else None
        if found is not None and kind in WRAPPING:
            said = f"`{call.name}` computes in {_name(kind)}, which wraps around: it gives "
            raise self.refuse("SNN301", f"{said}{found[1]:g} in place of {found[0]:g}")
        if found is not None:
            said = f"`{call.name}` gives {found[1]!r} where what it was read as gives {found[0]!r}"
            raise self.refuse("SNN323", said)

    def _lost(self, name: str, inputs: Sequence[torch.Tensor], result: object) -> bool:
        """Whether the call read only tensors without a meaning; then its results have none."""
        errors = [error for t in inputs if (error := self.why_lost(t)) is not None]
        if not errors:
            return False
        if name in READS_VALUES:
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        known = base_name(name) in self.handlers or name in HARMLESS or name in WRITES
        if not known or any(self.is_tracked(t) for t in inputs):
            raise errors[0]  # its shape or an error of it might decide what forward does
        for tensor in tensors_in(result):
            self.lose(tensor, errors[0])
        return True

    def _lose_written(
        self, name: str, target: torch.Tensor, inputs: Sequence[torch.Tensor]
    ) -> None:
        """What has no meaning was written into ``target``: neither it nor what it views has one."""
        error = next(error for t in inputs if (error := self.why_lost(t)) is not None)
        self.note_write(target)
        unread.lose_target(self, error, target)

    def _before_write(self, name: str, args: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments with a copy of a constant that the call writes to; else nothing."""
        target = args[0] if args else None
        in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
        if not in_place or not isinstance(target, torch.Tensor):
            return ()
        self.note_write(target)
        if self.is_tracked(target):
            return ()
        with torch._C.DisableTorchFunction():
            copy = target.clone()
        self.remember(copy)
        return (copy, *args[1:])

    def _handled(self, handler: Handler, call: Call, reads: Sequence[torch.Tensor]) -> Any:
        for tensor in reads:
            self.loop.settle(tensor)
        with self.numbering.call([self.tracked(tensor) for tensor in reads]):
            return handler(self, call)

    def _check(self, name: str, args: Sequence[Any], reads: Sequence[torch.Tensor]) -> None:
        if not reads:
            return
        if name in READS_VALUES:
            raise self.refuse("SNN302", f"{name} turns data of the run into a Python value")
        view = bool(args) and isinstance(args[0], torch.Tensor) and args[0]._base is not None
        copies = name == "copy_" and not view and any(map(self.is_tracked, args[1:2]))
        if (name in WRITES and not copies) or (name == "masked_fill_" and view):
            for tensor in reads:
                self.note_write(tensor)
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
        if not isinstance(out, torch.Tensor):
            return
        self.note_write(out)
        if not self.is_tracked(out):
            self.note_fill(out)
        if out._base is not None:
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
        self.overlook_write(target)
        return True

    def lost_head(self) -> str:
        """A node for an output that came off the recording behind the first finding."""
        return unread.lost_head(self)

    # -- modules ---------------------------------------------------------------------------

    @contextmanager
    def attached(self, root: nn.Module) -> Iterator[None]:
        """Follow which module runs, and take neurons as leaves, while the block runs.

        ``root`` must be the caller's own copy: neurons get a new ``forward``.
        """
        leaves = {path for path, m in root.named_modules() if path and not list(m.children())}
        self._leaves = frozenset(leaves)

        def enter(module: nn.Module, inputs: Any) -> None:
            self.enter(self.paths.get(id(module), self.module))

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self.leave()

        hooks = [
            nn.modules.module.register_module_forward_pre_hook(enter),
            nn.modules.module.register_module_forward_hook(leave),
        ]
        changed: list[nn.Module] = []
        length, builtins.len = builtins.len, self._length
        script: Any = torch._C.ScriptFunction  # a free function: its calls cannot be seen
        scripted_call = script.__call__
        script.__call__ = self._scripted(scripted_call)
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
                    if "forward" in vars(module):
                        said = f"method `forward` of neuron {path} is replaced on the instance"
                        raise refuse("SNN110", said)
                    forward = self.neurons.leaf(module, path, convert)
                except SnnccError as error:
                    forward = self._refusing(error, module.forward, fires=True)
                object.__setattr__(module, "forward", forward)
                self._leaves |= {path}
                self.fires |= {path}
                changed.append(module)
            yield
        finally:
            script.__call__, builtins.len = scripted_call, length
            for module in changed:
                del module.__dict__["forward"]
            for hook in hooks:
                hook.remove()

    def _length(self, value: Any) -> int:
        """What stands for ``len``, which would make a plain number of the number of samples."""
        return value.shape[0] if type(value) is torch.Tensor and value.dim() else _len(value)

    def _scripted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """What stands for a call of a scripted function: the call of what it was written as, or of
        one that reads nothing of the input."""

        def scripted(function: Any, *given: Any, **named: Any) -> Any:
            if self.inside_leaf:
                return call(function, *given, **named)
            written = getattr(function, "_torchdynamo_inline", None)
            if written is not None and _is_as_written(function, written):
                return written(*given, **named)
            with torch._C._DisableTorchDispatch():
                result = call(function, *given, **named)
                inputs = [t for t in tensors_in([*given, *named.values()]) if self.is_tracked(t)]
            if inputs:
                error = self.refuse("SNN311", "a scripted function is called: nobody sees inside")
                self.notes.go_on(error)
                with torch._C.DisableTorchFunction():
                    unread.stand_in(self, error, inputs, result)
            return result

        return scripted

    def _refusing(
        self, error: SnnccError, original: Callable[..., Any], fires: bool
    ) -> Callable[..., Any]:
        """The forward of a module that cannot be read: nobody minds one that is never called."""

        def forward(*given: Any, **named: Any) -> Any:
            place = self.here()
            here = SnnccError(replace(f, location=place) for f in error.findings)
            return unread.stand_for(self, here, original, given, named, fires)

        return forward


def _is_as_written(function: Any, written: Any) -> bool:
    """Whether a scripted function does what the Python function does that it was made of.

    Not where that asks whether it is scripted, or has other default arguments by now; and of a
    traced one nobody knows what it left out.
    """
    compiled = compiled_from(written)
    if compiled is None or compiled.qualified_name != function.qualified_name:
        return False
    defaults = [a.default_value for a in function.schema.arguments if a.has_default_value()]
    asks = "is_scripting" in written.__code__.co_names
    return not asks and defaults == list(written.__defaults__ or ())


_len = len


def _is_mask(target: Any, where: Any, value: Any) -> bool:
    """Whether ``target[where] = value`` writes one value where a mask of its shape holds."""
    with torch._C.DisableTorchFunction():
        single = isinstance(value, int | float) or (
            isinstance(value, torch.Tensor) and not value.dim()
        )
        mask = isinstance(where, torch.Tensor) and where.dtype == torch.bool
        return single and mask and where.shape == target.shape and target._base is None


def _plain(item: object) -> bool:
    """Whether an index picks one place or a range of an axis, or is for several of them."""
    return item is Ellipsis or (isinstance(item, int | slice) and not isinstance(item, bool))


def write_part_(target: torch.Tensor, where: Any, value: Any) -> torch.Tensor:
    """``target[where] = value`` as a function in place."""
    target[where] = value
    return target


def _memory(tensor: torch.Tensor) -> int:
    with torch._C.DisableTorchFunction():
        return tensor.untyped_storage().data_ptr()


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")
