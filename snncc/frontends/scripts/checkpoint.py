"""The command line for a .pt or .pth, which is read as `open_model` reads it: nothing runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.checkpoints.allow_list import allow_list
from snncc.frontends.checkpoints.factory import state_dicts
from snncc.frontends.checkpoints.rebuilding import fault
from snncc.frontends.checkpoints.unpickle import read, shown
from snncc.frontends.scripts.proposal import Fact, Proposal
from snncc.frontends.scripts.script import names_of, survey
from snncc.frontends.scripts.source import read_source

_FILES = 100
"""At most so many Python files beside the checkpoint are looked at."""


def survey_checkpoint(path: Path) -> Proposal:
    """Propose a command line for a checkpoint.

    Raises SNN304 where it holds more than data and known classes, SNN305 where it is damaged or
    holds no network and no state dict.
    """
    source = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refuse("SNN305", f"{path} cannot be read: {error.strerror}") from error
    content = read(data, source, allow_list())
    if isinstance(content, Mapping) and "snncc" in content:
        return _of_ours(source, content)
    weights = state_dicts(content)
    if len(weights) == 1:
        return _of_weights(path, next(iter(weights.values())))
    values = content.values() if isinstance(content, Mapping) else [content]
    modules = [value for value in values if isinstance(value, nn.Module)]
    if len(modules) != 1:
        raise refuse("SNN305", f"{source} holds neither one network nor one state dict")
    state = dict(modules[0].state_dict())
    options, facts, to_do = _described(state, source)
    return Proposal(source, options, facts, to_do)


def _of_ours(source: str, content: Mapping[str, Any]) -> Proposal:
    """A file of `snncc.save_model`, which says all."""
    options: tuple[str, ...] = ()
    facts = []
    if "factory" in content:
        if wrong := fault(content):
            raise refuse("SNN305", f"{source} is damaged: {wrong}")
        given = ", ".join(f"{name}={value!r}" for name, value in content["arguments"].items())
        options = ("--allow", content["factory"])
        facts.append(Fact("network", f"{content['factory']}({shown(given)})", source))
    for what in ("shape", "time_steps", "layout", "input"):
        if content.get(what) is not None:
            facts.append(Fact(what.replace("_", " "), shown(str(content[what])), source))
    to_do = (f"look at `{options[1]}`: with --allow it runs",) if options else ()
    return Proposal(source, options, tuple(facts), to_do)


def _of_weights(path: Path, state: Mapping[str, torch.Tensor]) -> Proposal:
    """A state dict: the class it belongs to is looked for in the Python files beside it."""
    options, facts, to_do = _described(state, str(path))
    weights = ("--weights", str(path))
    for file, name, line in _candidates(path, state):
        origin = f"{file.name}:{line}, the names of its parts"
        try:
            found = survey(file)
        except SnnccError:
            found = None
        if found is not None and any(each.value.endswith(f":{name}") for each in found.facts):
            to_do = tuple(each for each in found.to_do if "WEIGHTS.pt" not in each)
            if found.folder:  # where the commands are typed, a relative path is another
                weights = ("--weights", str(path.resolve()))
            options = (*weights, *_without_weights(found.options))
            return replace(found, options=options, to_do=to_do)
        network = Fact("network", f"{file.stem}:{name}", origin)
        folder = "" if file.parent.resolve() == Path.cwd() else str(file.parent)
        given = ("--weights", str(path.resolve() if folder else path), *options)
        return Proposal(network.value, given, (network, *facts), to_do, folder=folder)
    to_do = ("give the function or class that makes the network for MODULE:FACTORY", *to_do)
    return Proposal("MODULE:FACTORY", (*weights, *options), facts, to_do)


def _without_weights(options: tuple[str, ...]) -> tuple[str, ...]:
    if "--weights" not in options:
        return options
    at = options.index("--weights")
    return options[:at] + options[at + 2 :]


def _described(
    state: Mapping[str, torch.Tensor], source: str
) -> tuple[tuple[str, ...], tuple[Fact, ...], tuple[str, ...]]:
    """What the shapes of the weights say: features of the input, number of classes."""
    weights = [(name, each) for name, each in state.items() if each.dim() >= 2]
    if not weights:
        return ("--input-shape", "SHAPE"), (), ("give the features of one sample for SHAPE",)
    first, tensor = weights[0]
    channels = int(tensor.shape[1])
    sides = ("", "H", "W", "D")[1 : tensor.dim() - 1]
    shape = ",".join([str(channels), *sides])
    facts = [Fact("input shape", shape, f"{shown(first)} in {source}, {tuple(tensor.shape)}")]
    last, tensor = weights[-1]
    if tensor.dim() == 2:
        facts.append(Fact("classes", str(tensor.shape[0]), f"{shown(last)} in {source}"))
    to_do = ["give --layout, --time-steps and --input: weights do not say them"]
    if sides:
        to_do.insert(0, f"give the sizes of the input for {shape}")
    return ("--input-shape", shape), tuple(facts), tuple(to_do)


def _candidates(path: Path, state: Mapping[str, Any]) -> Iterator[tuple[Path, str, int]]:
    """Classes whose parts have the names that the state dict begins with."""
    wanted = {name.removeprefix("module.").partition(".")[0] for name in state}
    folders = dict.fromkeys([Path(), path.parent])
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    for file in files[:_FILES]:
        try:
            source = read_source(file)
        except SnnccError:
            continue
        for name, parts in names_of(source).items():
            if wanted <= parts:
                yield file, name, source.classes[name].lineno
