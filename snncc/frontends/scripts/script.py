"""The command line for a training script, read from its text alone.

1. The network is what the script trains: the name whose ``.parameters()``, ``.state_dict()`` or
   ``.eval()`` is called, and the call that it was assigned; else the last class with a forward.
2. Its shape is that of the data set and its transforms, with the channels of the first layer; a
   first layer that is dense, in a forward that flattens nothing, takes its own number of features.
3. Where time is: ``x[t]`` in forward, a loop over time around the call of the network, a neuron
   that takes ``x[:, t]``, ``set_step_mode``, or a loop over one image.
4. Where the script does not say something, a usual value is assumed and the table says so.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from snncc.diagnostics import refuse
from snncc.frontends.scripts.datasets import ENCODERS, DataSet, data_set
from snncc.frontends.scripts.guard import is_guard
from snncc.frontends.scripts.proposal import ASSUMED, Fact, Proposal
from snncc.frontends.scripts.source import (
    Function,
    Source,
    Value,
    calls,
    defaults,
    dotted,
    keyword,
    last_name,
    literal,
    method,
    outside_of_classes,
    read_source,
    required,
    unwrapped,
)
from snncc.frontends.scripts.steps import Time, axes_moved, is_over_time, range_of, time_in

_STEPS = (
    *("t", "time_steps", "timesteps", "time_step", "timestep", "num_steps", "n_steps", "nb_steps"),
    *("steps", "time_window", "frames_number", "n_time_bins", "num_timesteps", "n_timesteps"),
)
"""Names of a number of steps, in lower case."""

_TRAINED = ("parameters", "state_dict", "named_parameters", "load_state_dict", "eval")
_HARMLESS = (
    *("reset_net", "set_backend", "print", "summary", "save", "save_model", "seed"),
    *("train", "test", "evaluate", "fit", "main"),
)
"""Functions that take the network and make no other of it."""

_METHODS = (
    *("train", "eval", "to", "cuda", "cpu", "float", "parameters", "state_dict", "zero_grad"),
    *("load_state_dict", "reset", "named_parameters", "requires_grad_"),
)
_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "WSConv2d")
_DENSE = ("Linear", "WSLinear")
_FLATTENS = re.compile(r"\.flatten\(|\.view\(|\.reshape\(|Flatten\(")
_BINARY = re.compile(
    r"> 0(\.0)?\)\.(float|to)\(|\.clamp_?\((0(\.0)?, ?1|max=1)|\.bool\(\)\.float\("
)
_FILE, _MAKE = "snncc_network.py", "snncc_network:make"
_NAME_OF_FILE = re.compile(r"\w[\w.-]*\.pth?")
_SIZED = ("Resize", "CenterCrop", "RandomCrop", "RandomResizedCrop")


def survey(path: Path) -> Proposal:
    """Propose a command line for a script.

    Raises SNN305 where it is no Python file, or no network is found in it.
    """
    return _Script(path).proposal()


@dataclass(frozen=True)
class _Network:
    """What makes the network: ``source`` is the file it is in, if that could be read."""

    spec: str
    origin: str
    call: ast.Call | None = None
    source: Source | None = None
    cls: ast.ClassDef | None = None
    names: tuple[str, ...] = ()
    """The names the script has for it."""


class _Script:
    def __init__(self, path: Path) -> None:
        self.folder, module = _importable(path)
        self.source = read_source(path, module)
        self.outside = outside_of_classes(self.source.tree.body)
        self.facts: list[Fact] = []
        self.to_do: list[str] = []

    def proposal(self) -> Proposal:
        saved = self._saved_by_us()
        network = self._network()
        if saved is not None:
            return self._of_saved(saved, network)
        if network is None:
            raise refuse(
                "SNN305",
                f"{self.source.path} trains no network that can be seen without running it",
                help="give the file with the class, or call snncc.save_model(net, 'net.pt', "
                "example) at the end of the script",
            )
        model, file = self._factory(network)
        data = self._data_set()
        time = self._time(network, data)
        options = [
            *self._weights(network),
            *self._shape(network, data),
            *self._layout(time, data),
            *self._kind(network, data),
            *self._head(network),
        ]
        name = network.spec.rpartition(":")[2].rpartition(".")[2]
        return Proposal(
            model, tuple(options), tuple(self.facts), tuple(self.to_do), file, self.folder, name
        )

    def _fact(self, what: str, value: object, origin: str | ast.AST | Value) -> None:
        if not isinstance(origin, str):
            origin = self.source.place(origin)
        self.facts.append(Fact(what, str(value), origin))

    # -- the network -----------------------------------------------------------------------------

    def _network(self) -> _Network | None:
        names = {
            dotted(call.func.value)
            for call in calls(self.source.tree)
            if isinstance(call.func, ast.Attribute) and call.func.attr in _TRAINED
        }
        for node in _assignments(self.source.tree):
            targets = [dotted(target) for target in node.targets]
            made = unwrapped(node.value)
            if not names & {*targets} or not isinstance(made, ast.Call):
                continue
            found = self._made_by(made, node, tuple(targets))
            if last_name(made.func).islower() and (found is None or found.cls is None):
                found = self._passed_on(made, node, tuple(targets)) or found
            if found is not None:
                return found
        return self._by_itself()

    def _passed_on(self, made: ast.Call, at: ast.Assign, names: tuple[str, ...]) -> _Network | None:
        """The network in ``net = train(Net(), ...)``: a function that may return its argument."""
        for each in map(unwrapped, made.args):
            if isinstance(each, ast.Call):
                found = self._made_by(each, at, names)
                if found is not None and found.cls is not None:
                    origin = f"{found.origin}; {ASSUMED}: `{dotted(made.func)}` returns it"
                    return replace(found, origin=origin)
        return None

    def _made_by(self, made: ast.Call, at: ast.Assign, names: tuple[str, ...]) -> _Network | None:
        called, place = dotted(made.func), self.source.place(at)
        first, _, rest = called.partition(".")
        if first in self.source.classes and not rest:
            return self._own(first, place, made, names)
        if first in self.source.functions and not rest:
            cls = self._class_of(self.source, self.source.functions[first])
            spec = f"{self.source.module}:{first}"
            return _Network(spec, place, made, self.source, cls, names)
        home = self._imports().get(first)
        if home is None or not called:
            at_top = at in self.source.tree.body
            if last_name(made.func) == "Sequential" and at_top:
                spec = f"{self.source.module}:{names[0]}"
                return _Network(spec, place, None, self.source, None, names)
            return None
        module, name = home
        path = f"{name}.{rest}".strip(".")
        if not name and rest:
            inner, _, name = rest.rpartition(".")
            module, path = f"{module}.{inner}".strip("."), name
        if module.partition(".")[0] == "torch":
            return None
        source = self._beside(module)
        node = None
        if source is not None:
            made_there = source.functions.get(path)
            node = self._class_of(source, made_there) if made_there else source.classes.get(path)
        return _Network(f"{module}:{path}", place, made, source, node, names)

    def _own(
        self, name: str, place: str, made: ast.Call | None, names: tuple[str, ...] = ()
    ) -> _Network:
        spec, cls = f"{self.source.module}:{name}", self.source.classes[name]
        return _Network(spec, place, made, self.source, cls, names)

    def _by_itself(self) -> _Network | None:
        """The last class with a forward that no other class of the file makes."""
        modules = {
            name: cls
            for name, cls in self.source.classes.items()
            if method(cls, "forward") is not None
            and not any("Function" in dotted(base) for base in cls.bases)
        }
        used = {
            last_name(call.func)
            for name, cls in modules.items()
            for call in calls(cls)
            if last_name(call.func) != name
        }
        for name in reversed([name for name in modules if name not in used]):
            return self._own(name, self.source.place(modules[name]), None)
        return None

    def _class_of(self, source: Source, function: Function) -> ast.ClassDef | None:
        """The class that a function returns."""
        for call in calls(function):
            if last_name(call.func) in source.classes:
                return source.classes[last_name(call.func)]
        return None

    def _imports(self) -> dict[str, tuple[str, str]]:
        """(module, name in it) by the name that the script has for it."""
        found: dict[str, tuple[str, str]] = {}
        package = self.source.module.rpartition(".")[0]
        for node in ast.walk(self.source.tree):
            if isinstance(node, ast.Import):
                for each in node.names:
                    name = each.asname or each.name.partition(".")[0]
                    found[name] = (each.name if each.asname else name, "")
            elif isinstance(node, ast.ImportFrom):
                home = node.module or ""
                if node.level:
                    home = f"{package}.{home}".strip(".")
                for each in node.names:
                    found[each.asname or each.name] = (home, each.name)
        return found

    def _beside(self, module: str) -> Source | None:
        """The file of a module of the user's, below the folder that the script is run in."""
        root = Path(self.folder or ".")
        for path in (root.joinpath(*module.split(".")), self.source.path.parent / module):
            file = path.with_name(f"{path.name}.py")
            if file.is_file():
                return read_source(file, module)
        return None

    def _factory(self, network: _Network) -> tuple[str, tuple[str, str]]:
        """MODEL, and a file that makes it where it needs arguments."""
        self._fact("network", network.spec, network.origin)
        if network.spec.partition(":")[0] == self.source.module:
            self._check_import()
        self._check_others(network)
        made = network.call
        if made is None and network.cls is None:  # a variable of the script
            return network.spec, ("", "")
        imports, changes = self._changes(network)
        if made is None:
            needed = self._needed(network)
            arguments, unknown = ", ".join(f"{name}=..." for name in needed), needed
        elif any(each.arg is None for each in made.keywords):
            arguments, unknown = "...", [f"`{ast.unparse(made)}`"]
        else:
            arguments, unknown = self._arguments(made)
        if unknown:
            self.to_do.append(f"in {_FILE}, give a value for {', '.join(unknown)}")
        if arguments:
            self._fact("its arguments", arguments, network.origin)
        if not arguments and not changes:
            return network.spec, ("", "")
        return _MAKE, (_FILE, _making(network.spec, arguments, imports, changes))

    def _check_others(self, network: _Network) -> None:
        """Say where the script makes another network of the same name."""
        others = [
            node
            for node in _assignments(self.source.tree)
            if {dotted(target) for target in node.targets} & {*network.names}
            and isinstance(made := unwrapped(node.value), ast.Call)
            and made is not network.call
            and (found := self._made_by(made, node, network.names)) is not None
            and found.spec != network.spec
        ]
        if others:
            places = ", ".join(self.source.place(node) for node in others)
            self.to_do.append(f"another network is made at {places}: take the one you trained")

    def _changes(self, network: _Network) -> tuple[list[str], list[str]]:
        """What the script does to the network once it is made, as imports and calls on ``net``.

        Only `set_step_mode` is written down; whatever else may change it is left to the user.
        """
        imports, changes = [], []
        for node in (n for each in self.outside for n in ast.walk(each)):
            if isinstance(node, ast.Assign):
                owners = [dotted(t.value) for t in node.targets if isinstance(t, ast.Attribute)]
                if {*owners} & {*network.names}:
                    self._changed_at(node)
            if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
                continue
            call = node.value
            name = last_name(call.func)
            owner = dotted(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            called = owner in network.names and name not in _METHODS
            given = call.args and dotted(call.args[0]) in network.names
            if given and name == "set_step_mode":
                first = dotted(call.func).partition(".")[0]
                home, there = self._imports().get(first, ("", ""))
                if home:
                    inside = f"from {home} import {there}" if there else f"import {home}"
                    imports.append(inside if first in (there, home) else f"{inside} as {first}")
                mode = self._plain(keyword(call, "step_mode") or call.args[-1])
                changes.append(f"{dotted(call.func)}(net, {mode})")
            elif called or (given and name not in _HARMLESS):
                self._changed_at(node)
        return imports, changes

    def _changed_at(self, node: ast.stmt) -> None:
        self.to_do.append(
            f"{self.source.place(node)} may change the network, `{ast.unparse(node)[:60]}`: if it "
            "does, do it in a function that makes the network too"
        )

    def _needed(self, network: _Network) -> list[str]:
        init = method(network.cls, "__init__") if network.cls is not None else None
        return required(init) if init is not None else []

    def _arguments(self, made: ast.Call) -> tuple[str, list[str]]:
        """The arguments of the call as literals, and those that are none."""
        said, unknown = [], []
        named = [(each.arg, each.value) for each in made.keywords]
        for name, node in [*((None, each) for each in made.args), *named]:
            text = self._plain(node)
            if text == "...":
                unknown.append(f"`{ast.unparse(node)}`")
            said.append(f"{name}={text}" if name else text)
        return ", ".join(said), unknown

    def _plain(self, node: ast.expr) -> str:
        """An argument as a literal: what another value might stand for is none, and is "..."."""
        name = last_name(node) or str(getattr(getattr(node, "slice", None), "value", ""))
        found = self.source.constants.get(name)
        kinds = ("assigned",) if isinstance(node, ast.Name) else ("option", "entry")
        if found is not None and found.kind in kinds:
            if found.kind == "option":
                origin = f"{ASSUMED}: the default of the command line, {self.source.place(found)}"
                self._fact(ast.unparse(node), found.value, origin)
            return repr(found.value)
        try:
            return repr(ast.literal_eval(node))
        except ValueError:
            value = literal(node)
            return "..." if value is None else repr(value)

    def _check_import(self) -> None:
        """Say which lines of the script would run when it is imported."""
        runs = [node for node in self.source.tree.body if _trains(node, self.source)]
        if not runs:
            return
        first, last = runs[0].lineno, runs[-1].end_lineno
        lines = f"line {first}" if first == last else f"lines {first} to {last}"
        self.to_do.append(
            f"importing {self.source.path.name} runs {lines}: put them under "
            '`if __name__ == "__main__":`, or move the class into a file of its own'
        )

    # -- weights ---------------------------------------------------------------------------------

    def _saved_by_us(self) -> ast.Call | None:
        return next((c for c in calls(self.source.tree) if last_name(c.func) == "save_model"), None)

    def _of_saved(self, call: ast.Call, network: _Network | None) -> Proposal:
        node = keyword(call, "path") or (call.args[1] if len(call.args) > 1 else None)
        file = self._file(node, "MODEL.pt")
        self._fact("model", file, call)
        options: list[str] = []
        factory = self.source.value_of(keyword(call, "factory"))
        if isinstance(factory, str):
            options = ["--allow", factory]
            self._fact("factory", factory, call)
        elif network is not None and network.call is not None and network.cls is not None:
            options = ["--allow", network.spec]
            self._fact("factory", network.spec, network.origin)
        return Proposal(
            file, tuple(options), tuple(self.facts), tuple(self.to_do), folder=self.folder
        )

    def _weights(self, network: _Network) -> Iterator[str]:
        whole = None
        for call in calls(self.source.tree):
            if dotted(call.func) == "torch.save" and len(call.args) > 1:
                if "state_dict" in self._saved(call.args[0]):
                    yield from self._weights_in(call.args[1], call)
                    return
                if last_name(call.args[0]) in network.names:
                    whole = call
        for call in calls(self.source.tree):
            if last_name(call.func) == "load_state_dict":
                for inner in calls(*call.args):
                    if dotted(inner.func) == "torch.load" and inner.args:
                        yield from self._weights_in(inner.args[0], call)
                        return
        if whole is not None:
            name = ast.unparse(whole.args[0])
            self.to_do.append(
                f"{self.source.place(whole)} saves the whole network; save "
                f"{name}.state_dict() and give that file for WEIGHTS.pt"
            )
        else:
            self.to_do.append(
                "the script saves no weights: torch.save(net.state_dict(), 'net.pt') after "
                "training, and give that file for WEIGHTS.pt"
            )
        yield from ("--weights", "WEIGHTS.pt")

    def _saved(self, node: ast.expr) -> str:
        """The words of what is saved; of a name those of what it was assigned."""
        assigned = [
            ast.unparse(each.value)
            for each in _assignments(self.source.tree)
            if isinstance(node, ast.Name) and node.id in map(dotted, each.targets)
        ]
        return " ".join([ast.unparse(node), *assigned])

    def _weights_in(self, node: ast.expr, call: ast.Call) -> Iterator[str]:
        file = self._file(node)
        self._fact("weights", file, call)
        yield from ("--weights", file)

    def _file(self, node: ast.expr | None, unknown: str = "WEIGHTS.pt") -> str:
        """The name of a file; of a path that is put together, what is written down of it."""
        value = self.source.value_of(node)
        if isinstance(value, str):
            return value
        texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)] if node else []
        names = [text for text in texts if isinstance(text, str) and _NAME_OF_FILE.fullmatch(text)]
        said = f", `{ast.unparse(node)}` in the script" if node is not None else ""
        if names:
            self.to_do.append(f"give the folder of {names[-1]}{said}")
            return f"FOLDER/{names[-1]}"
        self.to_do.append(f"give the file for {unknown}{said}")
        return unknown

    # -- the input -------------------------------------------------------------------------------

    def _data_set(self) -> tuple[str, DataSet, ast.Call] | None:
        for call in calls(*self.outside):
            names = [last_name(call.func), dotted(call.func).rpartition(".")[0].rpartition(".")[2]]
            for name in names:
                if (found := data_set(name)) is not None:
                    return name, found, call
        return None

    def _shape(
        self, network: _Network, data: tuple[str, DataSet, ast.Call] | None
    ) -> Iterator[str]:
        first = self._first_layer(network)
        sized = self._resized()
        features: tuple[int, ...] | None = None
        origin = ""
        if data is not None:
            name, known, call = data
            features, origin = known.shape, f"{self.source.place(call)}, {name}"
            if sized is not None and len(features) == 3:
                features = (features[0], *sized[0])
                origin += f", {self.source.place(sized[1])}, {last_name(sized[1].func)}"
        if first is not None:
            kind, size, place = first
            flat, whole = kind in _DENSE, math.prod(features or ())
            if size is None:
                if flat and features is not None and not self._flattens(network):
                    features, origin = (whole,), f"{origin}; the first layer is dense, {place}"
            elif flat and (features is None or size != whole or not self._flattens(network)):
                if features is not None and size != whole:
                    origin = f"{place}; {origin} has {'×'.join(map(str, features))}"
                else:
                    origin = f"{place}, the first layer"
                features = (size,)
            elif not flat and features is not None and len(features) == 3:
                if size != features[0]:
                    origin += f", {place}, {size} channels"
                features = (size, *features[1:])
            elif not flat:
                sides = 3 if kind.endswith("3d") else 2 if kind.endswith("2d") else 1
                shape = ",".join([str(size), *("H", "W", "D")[:sides]])
                self._fact("input shape", shape, f"{place}, the first layer")
                self.to_do.append(f"give the sizes of the input for {shape}")
                yield from ("--input-shape", shape)
                return
        if features is None:
            self.to_do.append("give the features of one sample for SHAPE, as in 2,34,34")
            yield from ("--input-shape", "SHAPE")
            return
        shape = ",".join(map(str, features))
        self._fact("input shape", shape, origin)
        yield from ("--input-shape", shape)

    def _first_layer(self, network: _Network) -> tuple[str, int | None, str] | None:
        """(class, channels or features, place) of the first layer with weights."""
        source, cls = network.source, network.cls
        if source is None:
            return None
        names: dict[str, Value] = {}
        where: list[ast.AST] = []
        if cls is not None:
            init = method(cls, "__init__")
            if init is not None:
                names = defaults(init) | self._passed(network, init)
                where = [init]
        else:
            where = [n for n in _assignments(source.tree) if dotted(n.targets[0]) in network.names]
        for call in calls(*where):
            kind = last_name(call.func)
            if kind not in (*_CONVOLUTIONS, *_DENSE):
                continue
            node = call.args[0] if call.args else keyword(call, "in_channels", "in_features")
            size = source.value_of(node, names)
            return kind, size if type(size) is int else None, source.place(call)
        return None

    def _passed(self, network: _Network, init: Function) -> dict[str, Value]:
        """What the script passes to the constructor, by the name of the argument."""
        made = network.call
        if made is None or last_name(made.func) != getattr(network.cls, "name", ""):
            return {}
        names = [arg.arg for arg in init.args.args[1:]]
        given = [*zip(names, made.args, strict=False), *((k.arg, k.value) for k in made.keywords)]
        values = {name: self.source.value_of(node) for name, node in given if name}
        return {n: Value(v, made.lineno) for n, v in values.items() if v is not None}

    def _flattens(self, network: _Network) -> bool:
        return network.cls is None or bool(_FLATTENS.search(ast.unparse(network.cls)))

    def _resized(self) -> tuple[tuple[int, int], ast.Call] | None:
        """The size that the last transform of the script gives its images."""
        found = None
        for call in calls(*self.outside):
            if last_name(call.func) in _SIZED:
                node = call.args[0] if call.args else keyword(call, "size")
                size = self.source.value_of(node)
                if type(size) is int:
                    found = (size, size), call
                elif isinstance(size, tuple) and len(size) == 2:
                    found = (size[0], size[1]), call
        return found

    def _kind(self, network: _Network, data: tuple[str, DataSet, ast.Call] | None) -> Iterator[str]:
        for call in calls(*self.outside):
            name = dotted(call.func)
            if last_name(call.func) in ENCODERS or ".".join(name.split(".")[-2:]) in ENCODERS:
                yield from self._of_kind("spike", f"{self.source.place(call)}, {name}")
                return
        for node in self.outside:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and _BINARY.search(f"{ast.unparse(inner)}("):
                    place = self.source.place(inner)
                    yield from self._of_kind("spike", f"{place}, {ast.unparse(inner)}")
                    return
        forward = method(network.cls, "forward") if network.cls is not None else None
        for call in calls(forward) if forward is not None else ():
            if last_name(call.func) in ("rand_like", "bernoulli", "rand", "PoissonEncoder"):
                place = (network.source or self.source).place(call)
                self.to_do.append(
                    f"{place} draws random numbers in forward: take the encoder out of the "
                    "network and pass its spikes as input"
                )
        if data is None:
            yield from self._of_kind("analog", f"{ASSUMED}: no data set or encoder was seen")
            return
        name, known, call = data
        why = "images are numbers" if known.kind == "analog" else "events are counted"
        yield from self._of_kind(known.kind, f"{self.source.place(call)}, {name}: {why}")

    def _of_kind(self, kind: str, origin: str) -> Iterator[str]:
        self._fact("input", kind, origin)
        yield from ("--input", kind)

    # -- time ------------------------------------------------------------------------------------

    def _time(self, network: _Network, data: tuple[str, DataSet, ast.Call] | None) -> Time:
        source, forward = network.source, None
        if network.cls is not None and source is not None:
            forward = method(network.cls, "forward")
            if forward is not None and (found := time_in(source, forward, of_network=True)):
                return found
            if forward is not None and (found := self._folded(source, forward)):
                return found
        if found := self._around(network):
            return found
        for each in source.classes.values() if source is not None else ():
            inner = method(each, "forward")
            if each is not network.cls and inner is not None:
                found = time_in(source or self.source, inner, of_network=False)
                if found:
                    return found
        return self._multi_step(network, forward, data)

    def _folded(self, source: Source, forward: Function) -> Time | None:
        """Time that forward makes itself, of one image."""
        for call in calls(forward):
            words = ast.unparse(call)
            if last_name(call.func) in ("repeat", "expand") and "unsqueeze" in words:
                return Time("N", f"{source.place(call)}, `{words}`: forward repeats its input")
        return None

    def _around(self, network: _Network) -> Time | None:
        """A loop over steps in the script that calls the network."""
        called = {name for name in network.names if name}
        for node in (n for each in self.outside for n in ast.walk(each)):
            if not isinstance(node, ast.For) or not is_over_time(node):
                continue
            for call in calls(*node.body):
                if dotted(call.func) in called or _is_model(call):
                    place = self.source.place(node)
                    words = f"{place}, `for {ast.unparse(node.target)} in {ast.unparse(node.iter)}`"
                    return Time("N", words, around=True, steps=range_of(node))
        return None

    def _multi_step(
        self,
        network: _Network,
        forward: Function | None,
        data: tuple[str, DataSet, ast.Call] | None,
    ) -> Time:
        sources = [self.source, *([network.source] if network.source else [])]
        moved = axes_moved(*self.outside)
        for source in sources:
            for call in calls(source.tree):
                mode = keyword(call, "step_mode")
                if last_name(call.func) == "set_step_mode" and len(call.args) > 1:
                    mode = call.args[1]
                multi = isinstance(mode, ast.Constant) and mode.value == "m"
                if multi or last_name(call.func).startswith("MultiStep"):
                    place = source.place(call)
                    if forward is not None and (inside := axes_moved(forward)) is not None:
                        first = f"{place}; {source.place(inside)}, `{ast.unparse(inside)}`"
                        return Time("NT", first)
                    return Time("TN", f"{place}, `{ast.unparse(call)[:40]}`")
        if data is not None and data[1].events:
            if moved is not None:
                place = self.source.place(moved)
                return Time("TN", f"{place}, `{ast.unparse(moved)}`")
            return Time("NT", f"{ASSUMED}: a DataLoader puts samples first")
        return Time("N", f"{ASSUMED}: no axis of time was seen")

    def _layout(self, time: Time, data: tuple[str, DataSet, ast.Call] | None) -> Iterator[str]:
        self._fact("layout", time.layout, time.origin)
        yield from ("--layout", time.layout)
        if "T" not in time.layout and not time.around:
            return
        found = self._steps(time)
        if found is None:
            self.to_do.append("give the number of time steps for T")
            yield from ("--time-steps", "T")
            return
        value, origin = found
        self._fact("time steps", value, origin)
        yield from ("--time-steps", str(value))

    def _steps(self, time: Time) -> tuple[int, str] | None:
        if time.steps is not None:
            value = self.source.value_of(time.steps)
            if type(value) is int:
                named = self.source.constants.get(last_name(time.steps))
                return value, self.source.place(named or time.steps)
        for call in calls(*self.outside):
            for each in call.keywords:
                value = self.source.value_of(each.value)
                if each.arg and each.arg.lower() in _STEPS and type(value) is int:
                    return value, f"{self.source.place(call)}, `{each.arg}={value}`"
        for name, found in self.source.constants.items():
            if name.lower() in _STEPS and type(found.value) is int:
                return found.value, f"{self.source.place(found)}, `{name}`"
        return None

    # -- outputs ---------------------------------------------------------------------------------

    def _head(self, network: _Network) -> Iterator[str]:
        forward = method(network.cls, "forward") if network.cls is not None else None
        returns = [n for n in ast.walk(forward) if isinstance(n, ast.Return)] if forward else []
        for node in returns:
            if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
                source = network.source or self.source
                place = source.place(node)
                origin = f"{ASSUMED}: the first of {len(node.value.elts)} outputs, {place}"
                self._fact("head", f"0, `{ast.unparse(node.value.elts[0])}`", origin)
                yield from ("--head", "0")
                return


def _importable(path: Path) -> tuple[str, str]:
    """The folder to be in, empty if it is this one, and the name of the script's module."""
    here, whole = Path.cwd(), path.resolve()
    parts = whole.with_suffix("").parts
    if whole.is_relative_to(here):
        parts = whole.relative_to(here).with_suffix("").parts
        if len(parts) == 1 or (whole.parent / "__init__.py").exists() or _knows(path, parts[0]):
            return "", ".".join(parts)
    return str(path.parent), parts[-1]


def _knows(path: Path, package: str) -> bool:
    """Whether the script imports from the package that it lies in."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return bool(re.search(rf"^\s*(from|import) {re.escape(package)}\b", text, re.MULTILINE))


def _making(spec: str, arguments: str, imports: list[str], changes: list[str]) -> str:
    """A file with a function without arguments that makes the network."""
    module, _, name = spec.partition(":")
    top, _, inner = name.partition(".")
    head = [*imports, f"from {module} import {top}"]
    if top in ("make", "net"):  # names of this file: `make` would call itself
        head[-1] += " as factory"
        name = f"factory.{inner}" if inner else "factory"
    if not changes:
        body = [f"return {name}({arguments})"]
    else:
        body = [f"net = {name}({arguments})", *changes, "return net"]
    lines = [*dict.fromkeys(head), "", "", "def make():", *(f"    {line}" for line in body)]
    return "\n".join(lines) + "\n"


def _assignments(tree: ast.AST) -> Iterator[ast.Assign]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    yield from sorted(found, key=lambda node: node.lineno)


def _trains(node: ast.stmt, source: Source) -> bool:
    """Whether a statement at the top of a script does more than define something."""
    if isinstance(node, ast.For | ast.While | ast.With):
        return True
    if isinstance(node, ast.If | ast.Try):
        inner = [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]
        return not is_guard(node) and any(_trains(each, source) for each in inner)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        name = dotted(node.value.func)
        return name in source.functions or name == "torch.save" or name.endswith("save_model")
    return False


def _is_model(call: ast.Call) -> bool:
    return dotted(call.func) in ("net", "model", "network", "snn", "self.net", "self.model")


def names_of(source: Source) -> Mapping[str, frozenset[str]]:
    """The names that each class of a file gives its parts: ``self.NAME = ...``."""
    return {
        name: frozenset(
            target.attr
            for node in _assignments(cls)
            for whole in node.targets
            for target in (whole.elts if isinstance(whole, ast.Tuple) else [whole])
            if isinstance(target, ast.Attribute) and dotted(target.value) == "self"
        )
        for name, cls in source.classes.items()
        if method(cls, "forward") is not None
    }
