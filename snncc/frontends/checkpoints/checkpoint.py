"""The network a user names as MODEL, and what is known about its input."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.checkpoints.allow_list import allow_list
from snncc.frontends.checkpoints.factory import load_weights, make, state_dicts
from snncc.frontends.checkpoints.rebuilding import (
    check_same,
    fault,
    rebuilt,
    recipe,
)
from snncc.frontends.checkpoints.unpickle import read, shown
from snncc.frontends.layout import USUAL, Layout, is_layout
from snncc.frontends.named import check_named
from snncc.ir.files import write_whole
from snncc.options import InputKind


@dataclass(frozen=True)
class Said:
    """What a user says of a file that does not say it itself (NIR); None where nothing is said.

    ``shape``: of one sample at one step. ``dt`` in seconds, ``discretise``: how equations become
    steps (`snncc.frontends.nir.timing`), ``reset`` and ``reset_when``: what a spike resets, and in
    which step. ``input``: what the values of the input are.
    """

    shape: tuple[int, ...] | None = None
    dt: float | None = None
    discretise: Literal["euler", "exact", "impulse"] | None = None
    reset: Literal["hard", "soft"] | None = None
    reset_when: Literal["now", "next", "both"] | None = None
    input: InputKind | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network in eval mode on the CPU, and what the file says about the input it takes.

    ``shape`` and ``dtype`` are the example input's, with all axes; what a file does not say is
    None. ``features`` is the shape of one sample at one step, where only that is known. ``sha256``
    is the file's, or, for a factory without weights, that of the parameters and buffers it made.
    ``notes``: what the reader has to say.
    """

    module: nn.Module
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    time_steps: int | None
    layout: Layout | None
    input: InputKind | None
    source: str
    sha256: str
    features: tuple[int, ...] | None = None
    notes: tuple[Finding, ...] = ()


def open_model(
    spec: str,
    *,
    weights: str | Path | None = None,
    allow: Sequence[str] = (),
    said: Said | None = None,
) -> Checkpoint:
    """Open what the user names: a file (.pt, .pth, .pt2, .onnx, .nir, .net) or a factory.

    Nothing in a file is executed; a factory is the user's own code and is called. ``weights`` is
    a state dict for the factory's network, or a file of `save_model`, whose facts are taken too.
    ``allow`` adds dotted class names to those a file may hold, and has the factories,
    ``package.module:factory``, that a file of `save_model` may name. ``said`` is for files that do
    not say all (NIR, Lava-DL).

    Raises SNN350 for a file whose factory is not in ``allow``, SNN304 for a file that is unsafe
    or has no architecture, SNN305 for one that is not there, damaged or of a kind not read, SNN307
    for weights that are not finite, SNN313 and SNN314 for a factory that is not there or does not
    work, SNN316 for options that contradict.
    """
    check_named(spec)
    suffix = Path(spec).suffix.lower()
    for entry in entry_points(group="snncc.frontends", name=suffix[1:]):
        if weights is not None:
            raise refuse(
                "SNN316",
                f"{spec} brings its own weights",
                help="pass --weights only with package.module:factory",
            )
        found: Checkpoint = entry.load()(spec, allow, said)
        return found
    return _open_factory(spec, None if weights is None else Path(weights))


def open_checkpoint(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open a .pt or .pth, which says all itself; raises as `open_model` does."""
    return _checkpoint(_bytes(Path(spec)), spec, allow)


def save_model(
    module: nn.Module,
    path: str | Path,
    example_input: torch.Tensor,
    *,
    factory: str | Callable[..., nn.Module] | None = None,
    arguments: Mapping[str, Any] | None = None,
    time_steps: int | None = None,
    layout: Layout | None = None,
    input: InputKind | None = None,
    allow: Sequence[str] = (),
) -> None:
    """Write ``module`` as a .pt that `open_model` opens, with what snncc must know of its input.

    ``example_input`` is what the module's forward takes; its shape and dtype are kept, its values
    are not. ``time_steps`` is for single-step modules, which are called that many times. ``input``
    says what the values mean. A file of that name is left alone until the new one is known to be
    good.

    The file holds the state dict and how the network is made: ``factory``, a class, a function or
    "package.module:name", called with ``arguments``, plain values by name. The call is made, and
    both networks must be the same (`snncc.frontends.checkpoints.rebuilding.check_same`). Whoever
    opens the file must allow that code. Without ``factory`` and ``arguments`` a module of known
    classes is written as it is; any other needs a class that can be called without arguments.

    Raises SNN351 where the factory makes another network, SNN313 and SNN314 where it is not there
    or fails; SNN304 where no factory is given and the module holds classes that are neither on the
    allow-list nor in ``allow``, hooks, or anything torch cannot save; SNN307 for weights that are
    not finite; SNN316 for an argument that is not as said here; SNN305 where the file cannot be
    written.
    """
    path = Path(path)
    _check_arguments(module, path, example_input)
    facts = {
        "snncc": version("snncc"),
        "shape": tuple(example_input.shape),
        "dtype": example_input.dtype,
        "time_steps": time_steps,
        "layout": layout,
        "input": input,
    }
    if wrong := _fault(facts):
        raise refuse("SNN316", wrong, help="see the documentation of snncc.save_model")

    def by_call(factory: str | Callable[..., nn.Module]) -> bytes:
        content = facts | recipe(module, factory, arguments)
        data = _written(module, content)
        read(data, "the network to save", frozenset())
        _check_finite(module, "the network to save")
        check_same(module, content, example_input, input, time_steps)
        return data

    if factory is not None or arguments is not None:
        data = by_call(type(module) if factory is None else factory)
    else:
        try:
            data = _written(module, facts | {"module": module})
            _checkpoint(data, "the network to save", allow)
        except SnnccError as error:
            if any(finding.code != "SNN304" for finding in error.findings):
                raise
            data = _by_its_class(module, error, by_call)
    write_whole(path, data)


def _by_its_class(
    module: nn.Module, why: SnnccError, by_call: Callable[[type[nn.Module]], bytes]
) -> bytes:
    """The file of a module that cannot be written whole, made by its class without arguments.

    Raises ``why``, with what stands in the way, where that does not make it.
    """
    cls = type(module)
    try:
        return by_call(cls)
    except SnnccError as error:
        (first, *_) = why.findings
        help = (
            "name a class or a function that makes the network: save_model(..., factory=..., "
            f"arguments=...); `{cls.__qualname__}()` does not: {error.findings[0].message}"
        )
        raise refuse(first.code, first.message, first.location, help=help) from error


def _written(module: nn.Module, content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    try:
        torch.save(dict(content), buffer)
    except Exception as error:
        raise _cannot_save(module, error) from error
    return buffer.getvalue()


# -- files -------------------------------------------------------------------------------------


def _checkpoint(data: bytes, source: str, allow: Sequence[str]) -> Checkpoint:
    content = read(data, source, allow_list(allow))
    known = _known(content, source)
    if "factory" in known:
        module, notes = rebuilt(known, source, tuple(allow))
    else:
        module, notes = _only_module(content, source), ()
    return _described(module, known, source, source, data, notes)


def _known(content: Any, source: str) -> Mapping[str, Any]:
    """The content of a file that `save_model` wrote; of another file nothing."""
    if not isinstance(content, dict) or "snncc" not in content:
        return {}
    wrong = _fault(content) or (fault(content) if "factory" in content else "")
    if wrong:
        raise refuse("SNN305", f"{source} is damaged: {wrong}")
    return content


def _described(
    module: nn.Module,
    known: Mapping[str, Any],
    source: str,
    file: str,
    data: bytes,
    notes: tuple[Finding, ...] = (),
) -> Checkpoint:
    """``module`` with what ``file``, which holds ``data``, says of its input."""
    return Checkpoint(
        module=_settled(module, file),
        shape=known.get("shape"),
        dtype=known.get("dtype"),
        time_steps=known.get("time_steps"),
        layout=known.get("layout"),
        input=known.get("input"),
        source=source,
        sha256=hashlib.sha256(data).hexdigest(),
        notes=notes,
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise refuse("SNN305", f"{path} cannot be read: {error.strerror}") from error


def _only_module(content: Any, source: str) -> nn.Module:
    """The file's module: the content itself, or the only one in a dict."""
    candidates = list(content.values()) if isinstance(content, Mapping) else [content]
    modules = [value for value in candidates if isinstance(value, nn.Module)]
    if len(modules) == 1:
        return modules[0]
    if modules:
        raise refuse(
            "SNN305",
            f"{source} holds {len(modules)} networks",
            help="save the one to compile with snncc.save_model",
        )
    if state_dicts(content):
        raise refuse(
            "SNN304",
            f"{source} holds a state dict: weights without the network they belong to",
            help=f"pass package.module:factory --weights {source}, with a factory that makes it",
        )
    raise refuse(
        "SNN305",
        f"{source} holds no network but a {type(content).__name__}",
        help="save the network with snncc.save_model",
    )


# -- factories ---------------------------------------------------------------------------------


def _open_factory(spec: str, weights: Path | None) -> Checkpoint:
    if weights is not None:
        data, file = _bytes(weights), str(weights)
        content = read(data, file, frozenset())
        known = _known(content, file)
        if "factory" in known:  # named again, it is allowed
            arguments = known["arguments"] if known["factory"] == spec else {}
            module, notes = rebuilt(
                {**known, "factory": spec, "arguments": arguments}, file, (spec,)
            )
            return _described(module, known, spec, file, data, notes)
        module = make(spec)
        load_weights(module, content, file)
        return _described(module, {}, spec, file, data)
    module = make(spec)
    return Checkpoint(
        module=_settled(module, spec),
        shape=None,
        dtype=None,
        time_steps=None,
        layout=None,
        input=None,
        source=spec,
        sha256=_hash(module),
    )


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(plain.numpy().tobytes())
    return digest.hexdigest()


# -- checks ------------------------------------------------------------------------------------


def _check_arguments(module: Any, path: Path, example_input: Any) -> None:
    for argument, kind in ((module, nn.Module), (example_input, torch.Tensor)):
        if not isinstance(argument, kind):
            raise refuse(
                "SNN316",
                f"save_model got a {type(argument).__name__} for a torch {kind.__name__}",
                help="call snncc.save_model(module, path, example_input)",
            )
    if path.suffix.lower() not in (".pt", ".pth"):
        raise refuse(
            "SNN316", f"{path} does not end in .pt or .pth", help="so that open_model knows it"
        )


def _fault(content: Mapping[str, Any]) -> str:
    """What is wrong with the facts beside a network; empty if nothing."""
    shape, steps = content.get("shape"), content.get("time_steps")
    if type(shape) is not tuple or not shape or not all(type(n) is int and n > 0 for n in shape):
        return f"the shape must be positive whole numbers, not {shown(repr(shape))}"
    if not isinstance(content.get("dtype"), torch.dtype):
        return "the dtype of the input is missing"
    if steps is not None and (type(steps) is not int or steps < 1):
        return f"time_steps must be a positive whole number, not {shown(repr(steps))}"
    kind, layout = content.get("input"), content.get("layout")
    if kind is not None and (type(kind) is not str or kind not in get_args(InputKind)):
        return f"input must be one of {', '.join(get_args(InputKind))}, not {shown(repr(kind))}"
    if layout is not None and not is_layout(layout):
        usual = ", ".join(USUAL)
        return f"layout must be an order of T, N and F as {usual}, not {shown(repr(layout))}"
    return ""


def _settled(module: nn.Module, source: str) -> nn.Module:
    """The module on the CPU in eval mode, with nothing but finite weights."""
    try:
        module = module.cpu().eval()
    except Exception as error:  # a hostile file may hold a module inside itself
        raise refuse(
            "SNN305", f"the network in {source} has no eval mode: {shown(str(error))}"
        ) from error
    _check_finite(module, source)
    return module


def _check_finite(module: nn.Module, source: str) -> None:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    broken = [name for name, tensor in tensors if not _is_finite(tensor)]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise refuse("SNN307", f"`{shown(broken[0])}`{more} in {source} holds NaN or infinity")


def _is_finite(tensor: torch.Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # torch.isfinite knows no 8-bit floats
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _cannot_save(module: nn.Module, error: Exception) -> SnnccError:
    return refuse(
        "SNN304",
        f"torch cannot save a whole {type(module).__name__}: {shown(str(error))}",
        help="save its state_dict() and pass package.module:factory --weights",
    )
