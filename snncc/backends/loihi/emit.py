"""A scheduled Network as a Python package of Lava processes.

The package is the modules of ``package/`` as they are, and what is written here: ``network.py``
with one statement a population and a projection, ``processes/recorder.py`` with a port for
everything worth recording, and ``arrays.npz``. Lava is neither needed nor imported.

Axes: ours are channel first, Lava's Conv wants (height, width, channel), so every array and every
matrix is laid out channel last. Time: a synapse takes one step, all else none, so a place at level
L answers step 0 of a sample at step L. A projection that spans more reads its source late: a source
is played anew, the spikes of a population go through a delay line, and the sums of a readout wait
on the host.
"""

from __future__ import annotations

import keyword
import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from snncc.backends.loihi.templates import NETWORK, OWN, OWN_FILES, RECORDER, STOCK, WORDS
from snncc.diagnostics import refuse
from snncc.ir.files import packed
from snncc.ir.matrix import compose
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
    Source,
)  # fmt: skip
from snncc.ir.ops import Conv, Dense, Number, Ref, Reshape, Scale, Sparse
from snncc.ir.registers import FixedNeuron, Whole
from snncc.ir.shapes import Shape
from snncc.ir.stages import Mapped, Scheduled

PACKAGE = Path(__file__).parent / "package"
NEEDED = ("lava", "numpy", "scipy")
"""Packages that one of the same name would hide."""

Late = tuple[str, int]
"""A place and by how many steps what it says is late."""

MESSAGE_BITS = 24
"""What a synapse accepts from a source of counts; 0 would make every count a 1."""


def emit(
    network: Network, folder: Path, time_steps: int | None = None, stock_only: bool = False
) -> dict[str, dict[str, int]]:
    """Write the package into ``folder``, which is made if it is missing.

    Returns how many processes there are of each kind: "stock" those of Lava, "own" those of the
    package.

    ``network`` has gone through realise-projections and balance-delays. ``time_steps``, by default
    those of the network, is T for inputs that do not tell, such as still images. The folder's name
    is the package's: an identifier. With ``stock_only`` spikes and sums are recorded by Lava's own
    sinks too, which are slow to read.

    Raises SNN201 for a neuron that cannot be silenced between samples, and ValueError for a network
    that is not scheduled or not realised and for a folder that cannot be a package.
    """
    if not folder.name.isidentifier() or folder.name in NEEDED or keyword.iskeyword(folder.name):
        raise ValueError(f"{folder.name!a} is no name for a Python package")
    writer = _Writer(_checked(network), stock_only)
    text = writer.network(time_steps or network.time_steps)
    folder.mkdir(parents=True, exist_ok=True)
    needed = {f"{OWN[name].rpartition('.')[2]}.py" for name in writer.processes()["own"]}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in OWN_FILES - needed:
            continue
        copy = folder / path.relative_to(PACKAGE)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
    (folder / "network.py").write_text(text, encoding="utf-8")
    if not stock_only:
        (folder / "processes" / "recorder.py").write_text(writer.recorder(), encoding="utf-8")
    with (folder / "arrays.npz").open("wb") as file:
        arrays = {name: packed(array) for name, array in writer.arrays.items()}
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return writer.processes()


def _checked(network: Network) -> Scheduled:
    if not isinstance(network, Scheduled):
        raise ValueError("the network has no levels: it did not go through balance-delays")
    for p in network.projections:
        source, where = network.places[p.source], f"{p.source} -> {p.target}"
        if not isinstance(source, Encoder) and network.span(p) < 1:
            raise ValueError(f"{where} spans {network.span(p)} steps, and at least 1 is needed")
        if p.delay and isinstance(source, Population) and _keeps_firing(source, network):
            raise refuse(
                "SNN201",
                f"{p.source} feeds {p.target} {p.delay} steps later, and between samples nothing "
                "silences it: its hard reset is one step late, and its threshold not above 0 or "
                "what it keeps below 0",
            )
        match p.map:
            case () | (_,) | (Reshape(), Dense()):
                pass
            case _ if not isinstance(source, Encoder):
                raise ValueError(f"{where} is not realised: {p.map}")
    return network


def _keeps_firing(place: Population, network: Network) -> bool:
    """Whether a reset may let it fire, however low its input."""
    n = place.neuron
    if isinstance(n, FixedNeuron):
        return False
    threshold, keep = (
        np.asarray(network.tensors[number] if isinstance(number, Ref) else number)
        for number in (n.threshold, n.keep)
    )
    late = n.when == "next" and n.reset == "hard"
    return late and bool(np.any(threshold <= 0) or np.any(keep < 0))


def channel_last(shape: Shape) -> Shape:
    return (*shape[1:], *shape[:1])


def _order(shape: Shape) -> np.ndarray:
    """For each flat position in Lava's layout the flat position in ours."""
    return _moved(np.arange(math.prod(shape)).reshape(shape)).ravel()


def _moved(tensor: np.ndarray) -> np.ndarray:
    return np.moveaxis(tensor, 0, -1) if tensor.ndim else tensor


@dataclass
class _Writer:
    """Collects arrays while it writes the text of one network."""

    form: Scheduled
    stock_only: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.levels = self.form.levels
        self.waits = {place.name: self._waits(place) for place in self.form.places.values()}
        self.late = _identifiers({
            (name, steps): f"{name}_late{steps}" if steps else name
            for name, waits in self.waits.items()
            for steps in (0, *waits)
        })  # fmt: skip
        self.order = {name: index for index, name in enumerate(self.form.places)}
        self.names = {name: self.late[name, 0] for name in self.form.places}
        self.stems = dict(_stems(self.form))
        self.recorded = [
            place
            for place in self.form.places.values()
            if isinstance(place, Readout)
            or (isinstance(place, Population) and place.role != "relay")
        ]

    # -- files ---------------------------------------------------------------------------------

    def network(self, time_steps: int | None) -> str:
        """The text of network.py."""
        places = self.form.places.values()
        inputs = {
            place.name: (place.shape, isinstance(place, Encoder) and _is_static(place))
            for place in places
            if isinstance(place, Source | Encoder)
        }
        recorded = {
            port: ("sums" if isinstance(place, Readout) else "spikes", place.name, level)
            for place in self.recorded
            for level, port in self._ports(place).items()
        }
        statements = [*self._recorder(), *(line for each in places for line in self._place(each))]
        return NETWORK.substitute(
            imports=_lines(self._imports()),
            title=_comment(self.form.name),
            version=version("snncc"),
            time_steps=time_steps,
            idle=self.form.idle_steps,
            tag="fixed_pt" if self.form.is_fixed else "floating_pt",
            latency=max((level for _, _, level in recorded.values()), default=0),
            inputs=_lines(f"    {name!a}: {value!a}," for name, value in inputs.items()),
            recorded=_lines(f"    {port!a}: {value!a}," for port, value in recorded.items()),
            stock=self.processes()["stock"],
            own=self.processes()["own"],
            places=_lines(f"    {line}".rstrip() for line in statements),
            readouts=_lines(
                f"    {line}" for each in self.form.readouts for line in self._host(each)
            ),
        )

    def processes(self) -> dict[str, dict[str, int]]:
        """How many of each kind the statements of network.py make."""
        kinds = {"stock": STOCK, "own": OWN}
        return {
            whose: {name: self.used[name] for name in sorted(names) if name in self.used}
            for whose, names in kinds.items()
        }

    def recorder(self) -> str:
        """The text of processes/recorder.py."""
        ports = self._heard()
        return RECORDER.substitute(
            ports=_lines(f"        self.{port} = InPort(shape={n})" for port, n in ports.items()),
            types=_lines(
                f"    {port}: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)" for port in ports
            ),
        )

    def _heard(self) -> dict[str, Shape]:
        """The shape of each port of the recorder."""
        return {
            port: channel_last(place.shape)
            for place in self.recorded
            for port in self._ports(place).values()
        }

    def _recorder(self) -> Iterator[str]:
        if not self.stock_only:
            yield f"recorder = {self._use('Recorder')}(folder)"
            return
        ports = self._heard()
        self.used["RingBuffer"] += len(ports)
        yield from _call(
            "recorder = Sinks", ["steps", *(f"{port}={shape}" for port, shape in ports.items())]
        )

    def _imports(self) -> Iterator[str]:
        """The processes that the statements name."""
        modules: dict[str, list[str]] = {}
        for name, module in {**STOCK, **OWN}.items():
            if name in self.used and module:
                modules.setdefault(module, []).append(name)
        for module, names in modules.items():
            yield f"from {module} import {', '.join(names)}"

    def _use(self, process: str) -> str:
        """The name of a process, counted."""
        self.used[process] += 1
        return process

    # -- places --------------------------------------------------------------------------------

    def _place(self, place: Place) -> Iterator[str]:
        name, level = self.names[place.name], self.levels[place.name]
        yield ""
        match place:
            case Encoder():
                yield f"# encoder {_comment(place.name)}: currents from the host, each when needed"
                return
            case Source():
                yield f"# source {_comment(place.name)}, {place.kind}s"
                for steps in self.waits[place.name]:
                    variable = self.late[place.name, steps]
                    self.used["RingBuffer"] += 1
                    yield f"{variable} = play(given[{place.name!a}], level={steps}, steps=steps)"
            case Population():
                yield from self._words(place, level)
                neuron = place.neuron
                if isinstance(neuron, FixedNeuron):
                    yield from self._fixed_population(place, neuron, name, level)
                else:
                    yield from self._population(place, neuron, name, level)
            case Readout():
                yield f"# readout {_comment(place.name)}, level {level}, added up by the host"
        for projection in self.form.incoming[place.name]:
            if self.order[projection.source] < self.order[place.name]:
                yield from self._projection(projection, place)
        if isinstance(place, Population):
            yield from self._after(place, name, level)

    def _words(self, place: Population, level: int) -> Iterator[str]:
        """Comments that say what a population is, and where."""
        stands = f", for {_comment(place.stands_for)}" if place.stands_for else ""
        yield f"# {place.role} {_comment(place.name)}, level {level}{stands}"
        if str(place.origin):
            yield f"# {_comment(str(place.origin))}"
        if isinstance(self.form, Mapped):
            used = np.unique(self.form.mapping.core_of[place.name])
            starts = np.flatnonzero(np.diff(used, prepend=-2) > 1)
            runs = [(run[0], run[-1]) for run in np.split(used, starts[1:])]
            words = [f"{first} to {last}" if last > first else f"{first}" for first, last in runs]
            more = f" and {len(words) - 8} more runs" if len(words) > 8 else ""
            yield f"# on {len(used)} core{'s' * (len(used) > 1)}: {', '.join(words[:8])}{more}"

    def _after(self, place: Population, name: str, level: int) -> Iterator[str]:
        """What goes with a population: silence between samples, delay lines, its record."""
        delay = self.form.echo(place.name)
        if delay and isinstance(place.neuron, Neuron):
            shape = channel_last(place.shape)
            self.used["RingBuffer"] += 1
            yield f"join(hush({shape}, level={level}, steps={delay}, period=period), {name}.a_in)"
        for steps in filter(None, self.waits[place.name]):
            line, shape = self.late[place.name, steps], channel_last(place.shape)
            yield f"{line} = {self._use('DelayLine')}(shape={shape}, steps={steps})"
            yield f"join({name}.s_out, {line}.s_in)"
        if place.role != "relay":
            yield f"join({name}.s_out, recorder.{self._ports(place)[level]})"
        for projection in self.form.outgoing[place.name]:
            if self.order[projection.target] <= self.order[place.name]:
                yield f"# back to {_comment(projection.target)}"
                yield from self._projection(projection, self.form.places[projection.target])

    def _waits(self, place: Place) -> tuple[int, ...]:
        """By how many steps what ``place`` says is sent late, each once; a source at these."""
        if isinstance(place, Encoder | Readout):
            return (0,)
        readers = [
            p for p in self.form.outgoing[place.name]
            if not isinstance(self.form.places[p.target], Readout)
        ]  # fmt: skip
        return tuple(sorted({self.form.span(p) - 1 for p in readers})) or (0,)

    def _heard_at(self, p: Projection) -> int:
        """The step at which what a readout hears of ``p`` for step 0 of a sample arrives."""
        match self.form.places[p.source]:
            case Encoder():
                return self.levels[p.target]
            case Source():
                return self.waits[p.source][0] + 1 - p.delay
        return self.levels[p.source] + 1 - p.delay

    def _ports(self, place: Place) -> dict[int, str]:
        """The recorder's ports for a place, by the step at which they hear step 0 of a sample."""
        name = self.names[place.name]
        if not isinstance(place, Readout):
            return {self.levels[place.name]: f"{name}_spikes"}
        first, *more = sorted({self._heard_at(p) for p in self.form.incoming[place.name]}) or [0]
        ports = {level: f"{name}_sums_{number}" for number, level in enumerate(more, 2)}
        return {first: f"{name}_sums", **ports}

    def _population(self, place: Population, n: Neuron, name: str, level: int) -> Iterator[str]:
        shape = channel_last(place.shape)
        started = ("initial", "current_decay", "keep", "current_initial")
        fields = {
            key: self._number(getattr(n, key), place, key)
            for key in ("decay", "threshold", "bias", *started)
        }
        reset = {"reset_interval": "period", "reset_offset": str(1 + level)}
        forgets = n.is_memoryless
        if not n.is_stock:
            words = {"reset": f'"{n.reset}"', "when": f'"{n.when}"'}
            arguments = {**fields, **words, **reset}
            usual = {"current_decay": "0.0", "keep": "0.0", "current_initial": "0.0"}
            usual |= {"reset": '"hard"', "when": '"now"'}
            arguments = {key: text for key, text in arguments.items() if text != usual.get(key)}
            kind = "NormalFormLIF"
        else:
            vth = f"just_below({fields['threshold']})"
            if forgets and self._counts(place, n):
                vth = f"half_below({fields['threshold']})"
            leak = f"1 - {fields['decay']}" if isinstance(n.decay, Ref) else repr(1 - n.decay)
            arguments = {"vth": vth, "bias_mant": fields["bias"], "du": "1", "dv": leak}
            kind = "LIF" if forgets else "LIFReset"
            if fields["bias"] == "0.0":
                del arguments["bias_mant"]
            if not forgets:
                arguments |= reset
        yield from _call(f"{name} = {self._use(kind)}", [f"shape={shape}", *_named(arguments)])

    def _fixed_population(
        self, place: Population, n: FixedNeuron, name: str, level: int
    ) -> Iterator[str]:
        shape = channel_last(place.shape)
        reset = {"reset_interval": "period", "reset_offset": str(1 + level)}
        usual = {"du": "0", "dv": "0", "bias_mant": "0", "bias_exp": "0"}
        numbers = {key: self._whole(number, place, key) for key, number in n.numbers()}
        if numbers["bias_mant"] == "0":
            numbers["bias_exp"] = "0"
        silent = self.form.echo(place.name)
        if n.is_stock and not silent:
            kind = "LIFReset"
            del numbers["initial"]
            if n.is_memoryless:
                reset = {"reset_interval": "1", "reset_offset": "0"}
                numbers["dv"] = "0"
        else:
            kind, usual = "FixedLIF", {**usual, "initial": "0", "silent": "0"}
            words = {"reset": n.reset, "when": n.when, "bias_into": n.bias_into}
            usual |= {"reset": '"hard"', "when": '"now"', "bias_into": '"membrane"'}
            numbers |= {key: f'"{word}"' for key, word in words.items()} | {"silent": str(silent)}
        given = {key: text for key, text in numbers.items() if text != usual.get(key)}
        arguments = [f"shape={shape}", *_named({**given, **reset})]
        yield from _call(f"{name} = {self._use(kind)}", arguments)

    def _counts(self, place: Population, n: Neuron) -> bool:
        """Whether membranes and thresholds are whole numbers: then halves are in between."""
        numbers = [n.threshold, n.bias]
        for p in self.form.incoming[place.name]:
            if isinstance(self.form.places[p.source], Encoder):
                return False
            for op in p.map:
                if isinstance(op, Scale):
                    numbers.append(op.factor)
                elif isinstance(op, Sparse):
                    numbers.append(op.data)
                elif isinstance(op, Conv | Dense):
                    numbers.append(op.weight)
        return all(np.array_equal(x, np.rint(x)) for x in map(self._tensor, numbers))

    # -- projections ---------------------------------------------------------------------------

    def _projection(self, p: Projection, target: Place) -> Iterator[str]:
        source, port = self.form.places[p.source], f"{self.names[p.target]}.a_in"
        if isinstance(target, Readout):
            port = f"recorder.{self._ports(target)[self._heard_at(p)]}"
        if isinstance(source, Encoder):
            factor = "".join(
                f" * {self._factor(op, target.shape, self.stems[p])}"
                for op in p.map
                if isinstance(op, Scale)
            )
            level = self.levels[p.target]
            self.used["RingBuffer"] += 1
            stream = f"given[{p.source!a}]{factor}"
            if self.form.is_fixed:
                stream = f"np.rint({stream})"
            yield f"join(play({stream}, level={level}, steps=steps).s_out, {port})"
            return
        bits = isinstance(source, Source) and source.kind == "count"
        synapses = self._synapses(p, source.shape, target.shape, bits)
        wait = self.form.span(p) - 1
        if isinstance(target, Readout):
            wait = self.waits[p.source][0] if isinstance(source, Source) else 0
        yield from _call("connect", [self.late[p.source, wait], synapses, port])

    def _synapses(self, p: Projection, source: Shape, target: Shape, counts: bool) -> str:
        """The Lava process of one projection, as an expression."""
        more = f", num_message_bits={MESSAGE_BITS}" if counts else ""
        stem = self.stems[p]
        match p.map:
            case (Conv() as conv,) if len(source) == 3:
                return self._conv(conv, source, more)
        more += ", sign_mode=MIXED" if self.form.is_fixed else ""
        match p.map:
            case ():
                return f"{self._use('Sparse')}(weights=identity({math.prod(source)}){more})"
            case (Scale() as scale,) if source == target:
                factor = self._factor(scale, source, stem)
                if isinstance(scale.factor, Ref):
                    return f"{self._use('Sparse')}(weights=diagonal({factor}){more})"
                weights = f"{factor} * identity({math.prod(source)})"
                return f"{self._use('Sparse')}(weights={weights}{more})"
            case (Dense(weight),) | (Reshape(), Dense(weight)) if len(target) == 1:
                return f"{self._use('Dense')}(weights=a[{self._dense(weight, source)!a}]{more})"
        product = compose(p.map, source, self.form.tensors)
        product = product[_order(target)][:, _order(source)].tocsr()
        product.sort_indices()
        for part in ("data", "indices", "indptr"):
            self.arrays[f"{stem}:{part}"] = getattr(product, part)
        return f"{self._use('Sparse')}(weights=matrix(a, {stem!a}, {product.shape}){more})"

    def _conv(self, op: Conv, source: Shape, more: str) -> str:
        key = f"{op.weight}:conv"
        weight = self.form.tensors[op.weight]
        # Torch slides the kernel as it is, Lava convolves: it flips it.
        self.arrays[key] = weight[:, :, ::-1, ::-1].transpose(0, 2, 3, 1)
        settings = {
            "stride": op.stride, "padding": op.padding, "dilation": op.dilation,
            "groups": op.groups,
        }  # fmt: skip
        usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        given = "".join(f", {k}={v}" for k, v in settings.items() if v != usual[k])
        shape = channel_last(source)
        return f"{self._use('Conv')}(weight=a[{key!a}], input_shape={shape}{given}{more})"

    def _dense(self, weight: Ref, source: Shape) -> str:
        """The name of a Dense's weight with its columns in Lava's order of ``source``."""
        key = f"{weight}:dense:" + "x".join(map(str, source))
        self.arrays[key] = self.form.tensors[weight][:, _order(source)]
        return key

    # -- readouts ------------------------------------------------------------------------------

    def _host(self, readout: Readout) -> Iterator[str]:
        name = readout.name
        after = {"mean": ".mean(0)", "sum": ".sum(0)", "last": "[-1]", "max": ".max(0)", "none": ""}
        unit = "" if readout.unit == 1 else f" * {self._on_host(readout.unit, f'{name}:unit')}"
        bias = "" if readout.bias == 0 else f" + {self._on_host(readout.bias, f'{name}:bias')}"
        yield f"outputs[{name!a}] = sums[{name!a}]{unit}{bias}"
        yield f"logits[{name!a}] = outputs[{name!a}]{after[readout.over_time]}"

    def _on_host(self, number: Number, key: str) -> str:
        if not isinstance(number, Ref):
            return _literal(number)
        self.arrays[key] = self._tensor(number)
        return f"a[{key!a}]"

    # -- numbers -------------------------------------------------------------------------------

    def _tensor(self, number: Number) -> np.ndarray:
        return np.asarray(self.form.tensors[number] if isinstance(number, Ref) else number)

    def _number(self, number: Number, place: Population, name: str) -> str:
        """A field of a neuron as an expression: one number, or one per neuron."""
        values = self._tensor(number)
        if values.size and np.all(values == values.flat[0]):
            return _literal(float(values.flat[0]))
        return self._per_neuron(values, place.shape, f"{place.name}:{name}")

    def _whole(self, number: Whole, place: Population, name: str) -> str:
        """A register of a neuron as an expression."""
        if not isinstance(number, Ref):
            return str(number)
        return self._per_neuron(self._tensor(number), place.shape, f"{place.name}:{name}")

    def _factor(self, scale: Scale, shape: Shape, stem: str) -> str:
        if not isinstance(scale.factor, Ref):
            return _literal(scale.factor)
        return self._per_neuron(self._tensor(scale.factor), shape, f"{stem}:factor")

    def _per_neuron(self, values: np.ndarray, shape: Shape, key: str) -> str:
        full_rank = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
        self.arrays[key] = _moved(full_rank)
        return f"per_neuron(a[{key!a}], {channel_last(shape)})"


def _stems(network: Network) -> Iterator[tuple[Projection, str]]:
    """What the arrays of each projection are called, those between the same two places apart."""
    taken: Counter[str] = Counter()
    for p in dict.fromkeys(network.projections):
        stem = f"{p.target}.from.{p.source}"
        taken[stem] += 1
        yield p, stem if taken[stem] == 1 else f"{stem} {taken[stem]}"


def _is_static(encoder: Encoder) -> bool:
    """Whether the same current flows at every step."""
    return encoder.graph.nodes[encoder.graph.heads["current"]].signal.rate != "step"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _named(arguments: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in arguments.items()]


def _call(function: str, arguments: Iterable[str]) -> Iterator[str]:
    """A call on one line where it fits, else one argument a line."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 94:
        yield line
    else:
        yield f"{function}("
        yield from (f"    {argument}," for argument in arguments)
        yield ")"


def _identifiers(places: Mapping[Late, str]) -> dict[Late, str]:
    """A variable name for each place, like its own and all different."""
    names: dict[Late, str] = {}
    taken = set(WORDS)
    for place, wanted in places.items():
        stem = re.sub(r"\W", "_", wanted.replace("@+", "_relay"), flags=re.ASCII)
        stem = stem if stem[:1].isalpha() else f"place_{stem}"
        stem = f"{stem}_" if keyword.iskeyword(stem) else stem
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        taken.add(name)
        names[place] = name
    return names


def _comment(text: str) -> str:
    """Text that ends neither a comment nor a docstring."""
    return re.sub(r'[^ -~]|["\\]', "?", text)


def _literal(number: float) -> str:
    return repr(float(number)) if math.isfinite(number) else f'float("{number}")'
