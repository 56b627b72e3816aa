"""A network kept as its weights and the call that makes it: no class is pickled, no code is run.

`snncc.save_model` writes such a file of any module that a function, or the class itself, can make
again. The file holds plain values and tensors alone: the state dict, ``package.module:factory``,
its arguments, and what is known of the input. Before it is written, the call is made and both
networks are compared; it is made again when the file is opened, if the user allows that code.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.checkpoints.differences import alike, differences, reset_away
from snncc.frontends.checkpoints.factory import find, imported, load_state, make, network
from snncc.frontends.checkpoints.unpickle import shown
from snncc.frontends.named import FACTORY
from snncc.frontends.scripts.guard import is_guard
from snncc.options import InputKind

FORMAT = 1
"""The format of these files; a reader knows those up to its own."""

_IT = "what it makes"
_NAMED = 4
_NESTED = 16
_CALLS = 5
"""A module of one step is called that many times, or ``time_steps`` times if that is less."""


# -- files -------------------------------------------------------------------------------------


def fault(content: Mapping[str, Any]) -> str:
    """What is wrong with the parts of a file that say how its network is made; empty if nothing."""
    form, factory = content.get("format"), content.get("factory")
    if type(form) is not int or form < 1:
        return f"format must be a positive whole number, not {shown(repr(form))}"
    if form > FORMAT:
        return f"format {form} is of a newer snncc, this one knows {FORMAT}"
    if type(factory) is not str or not FACTORY.fullmatch(factory):
        return f"factory must be like package.module:factory, not {shown(repr(factory))}"
    if not _are_arguments(content.get("arguments")):
        return "arguments must be plain values by name"
    state, code = content.get("state"), content.get("code")
    if not isinstance(state, Mapping) or not all(type(name) is str for name in state):
        return "the state dict is missing"
    if not isinstance(code, Mapping) or not all(
        type(part) is str for each in code.items() for part in each
    ):
        return "the digests of the code are missing"
    return ""


def rebuilt(
    content: Mapping[str, Any], source: str, allow: tuple[str, ...]
) -> tuple[nn.Module, tuple[Finding, ...]]:
    """The network of a file and what there is to say: its factory called, its state loaded.

    Raises SNN350 where the user did not allow the factory, SNN313 and SNN314 where it is not there
    or does not work, SNN305 where the state does not fit what it makes.
    """
    factory, arguments = content["factory"], content["arguments"]
    if factory not in allow:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        command = f"snncc compile {shlex.quote(shown(source))} --allow {factory}"
        raise refuse(
            "SNN350",
            f"{source} holds weights, and the call `{factory}({shown(given)})` makes their "
            "network; that code was not allowed to run",
            help=f"if you trust it: {command}",
        )
    module = make(factory, arguments)
    load_state(module, dict(content["state"]), source)
    now = code_of(module, factory)
    changed = [name for name, digest in content["code"].items() if now.get(name) != digest]
    if not changed:
        return module, ()
    names = ", ".join(f"`{shown(name)}`" for name in changed[:_NAMED])
    message = f"the code in {names} is not what it was when {source} was written"
    return module, (Finding("SNN530", message),)


def code_of(module: nn.Module, factory: str) -> dict[str, str]:
    """SHA-256 of the source files that the network comes from, by the name of their module.

    torch and snncc are left out: each version of theirs would count as another network.
    """
    names = {type(part).__module__ for part in module.modules()} | {factory.partition(":")[0]}
    found: dict[str, str] = {}
    for name in sorted(n for n in names if n.partition(".")[0] not in ("torch", "snncc")):
        loaded = sys.modules.get("__main__" if name == main_name() else name)
        file = Path(getattr(loaded, "__file__", None) or "")
        if file.suffix == ".py" and file.is_file():
            written = main_name() if name == "__main__" else name
            found[written or name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


# -- writing -----------------------------------------------------------------------------------


def recipe(module: nn.Module, factory: str | Callable[..., Any], arguments: Any) -> dict[str, Any]:
    """The parts of a file that say how ``module`` is made.

    Raises SNN316 for a factory that has no name to be imported by, and for arguments that are
    not plain values.
    """
    spec = factory if isinstance(factory, str) else spec_of(factory)
    if not FACTORY.fullmatch(spec):
        raise refuse(
            "SNN316",
            f"factory is a class, a function or package.module:factory, not {shown(repr(spec))}",
            help="see the documentation of snncc.save_model",
        )
    arguments = {} if arguments is None else arguments
    if not _are_arguments(arguments):
        raise refuse(
            "SNN316",
            "arguments are plain values by name: numbers, texts, None, lists, tuples and dicts",
            help="name a function that takes no others",
        )
    state = {
        name: value.detach().cpu() if isinstance(value, torch.Tensor) else value
        for name, value in module.state_dict().items()
    }
    return {
        "format": FORMAT,
        "factory": spec,
        "arguments": arguments,
        "state": state,
        "code": code_of(module, spec),
    }


def spec_of(factory: Callable[..., Any]) -> str:
    """``package.module:factory`` of a class or a function.

    Raises SNN316 where it has none: it is local to a function, or of an interactive session.
    """
    name = getattr(factory, "__qualname__", "")
    home = getattr(factory, "__module__", "")
    if not name or "<" in name:
        raise _nameless(f"`{name or type(factory).__name__}` cannot be imported by name")
    if home == "__main__":
        home = main_name()
        if not home:
            raise _nameless(f"`{name}` was defined in an interactive session or a notebook")
    return f"{home}:{name}"


def main_name() -> str:
    """The name by which others import the script that runs; empty where there is none."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    stem = Path(getattr(main, "__file__", None) or "").stem
    return stem if stem.isidentifier() else ""


def check_same(
    module: nn.Module,
    content: Mapping[str, Any],
    example: torch.Tensor,
    kind: InputKind | None,
    time_steps: int | None,
) -> None:
    """Make the network of ``content`` and compare it with ``module``.

    Both run, in eval mode, on the example and on drawn inputs; then every output and everything
    in their parts must be equal, tensors bit for bit. Raises SNN351 with what differs, SNN313 and
    SNN314 where the factory is not there or does not work, SNN316 where ``module`` does not take
    the example.
    """
    from snncc.frontends.torch.copies import private_copy

    spec = content["factory"]
    if spec.partition(":")[0] == main_name():
        _check_guarded(spec)
        found = find(sys.modules["__main__"], spec)
    else:
        found = find(imported(spec), spec)
    is_there = isinstance(found, nn.Module)
    other = found if is_there else network(found, spec, content["arguments"])
    if is_there or other is module:
        help = "name a class or a function that makes a new network at each call"
        raise refuse("SNN316", f"`{spec}` is a network that is there already", help=help)
    try:
        load_state(other, dict(content["state"]), "the network")
    except SnnccError as error:
        raise _not_same(spec, [each.message for each in error.findings]) from error
    own = [tensor.dtype for tensor in module.state_dict().values() if _is_real(tensor)]
    dtype = own[0] if own else example.dtype if _is_real(example) else torch.float32
    one, two = (private_copy(each, dtype).eval() for each in (module, other))
    steps = min(time_steps or 1, _CALLS)
    outputs_differ = False
    for number, inputs in enumerate(_inputs(example.detach().cpu(), kind)):
        ours, theirs = (_outputs(each, inputs, steps, dtype) for each in (one, two))
        if number == 0 and isinstance(ours, Exception):
            raise refuse(
                "SNN316",
                f"the module does not run on example_input: {shown(str(ours))}",
                help="give an input as its forward takes it",
            ) from ours
        outputs_differ |= not alike(ours, theirs)
    reasons = [*reset_away(module, other, _IT), *differences(one, two, _IT)]
    if outputs_differ:
        reasons.append("the outputs are not equal")
    if reasons:
        raise _not_same(spec, reasons)


def _inputs(example: torch.Tensor, kind: InputKind | None) -> Iterator[torch.Tensor]:
    """The example, and inputs of its shape: spikes few and many, counts, real numbers."""
    yield example
    generator = torch.Generator().manual_seed(0)
    shape = example.shape
    if kind != "analog":
        for rate in (0.1, 0.5, 0.9):
            yield (torch.rand(shape, generator=generator) < rate).to(example.dtype)
    if kind == "count":
        yield torch.poisson(2 * torch.ones(shape), generator).to(example.dtype)
    if kind in ("analog", None):
        yield torch.rand(shape, generator=generator).to(example.dtype)
        yield (3 * torch.randn(shape, generator=generator)).to(example.dtype)


def _outputs(module: nn.Module, inputs: torch.Tensor, steps: int, dtype: torch.dtype) -> Any:
    """What the module returns, or the error it raises."""
    from snncc.frontends.torch.copies import at_rest, undisturbed

    with undisturbed(module, dtype), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        at_rest(module)
        try:
            return [module(inputs.clone()) for _ in range(steps)]
        except Exception as error:
            return error


def _check_guarded(spec: str) -> None:
    """Refuse a script whose import would train again: `save_model` is called at its top level."""
    main = sys.modules["__main__"]
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and not (
        frame.f_code.co_name == "<module>" and frame.f_globals is vars(main)
    ):
        frame = frame.f_back
    if frame is None:
        return
    line, file = frame.f_lineno, Path(str(main.__file__))
    for statement in ast.parse(file.read_bytes()).body:
        if statement.lineno <= line <= (statement.end_lineno or 0) and not is_guard(statement):
            raise refuse(
                "SNN351",
                f"`{spec}` would run all of {file.name} when it is imported: line {line} is not "
                'under `if __name__ == "__main__":`',
                help='put what trains under `if __name__ == "__main__":`, or move the class into a '
                "module of its own",
            )


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _are_arguments(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(type(name) is str and name.isidentifier() for name in value)
        and all(_is_plain(each, _NESTED) for each in value.values())
    )


def _is_plain(value: Any, depth: int) -> bool:
    if value is None or type(value) in (bool, int, float, str):
        return True
    if depth == 0:
        return False
    if type(value) in (list, tuple):
        return all(_is_plain(each, depth - 1) for each in value)
    return type(value) is dict and all(
        type(key) in (bool, int, float, str) and _is_plain(each, depth - 1)
        for key, each in value.items()
    )


def _nameless(reason: str) -> SnnccError:
    return refuse("SNN316", reason, help="move it into a module of its own and name it there")


def _not_same(spec: str, reasons: list[str]) -> SnnccError:
    more = f", and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return refuse(
        "SNN351",
        f"`{spec}` does not make the network that is to be saved: "
        f"{'; '.join(reasons[:_NAMED])}{more}",
    )
