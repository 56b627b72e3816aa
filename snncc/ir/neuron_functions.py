"""Neurons as ONNX functions: what the domain ``org.snncc`` holds.

One function for each kind of neuron of a Graph (`snncc.ir.ops.Dynamics`), and one for its single
step. Their bodies are operators of ONNX, so that every tool that knows ONNX computes the same
spikes. Numbers come as inputs and broadcast over the features. Whoever reads a file compares its
functions with these, and trusts no name.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from snncc.ir.ops import Dynamics, Membrane, Ref, Reset, When
from snncc.ir.registers import MEMBRANE_LIMIT, ONE, UNITY

if TYPE_CHECKING:
    import onnx

DOMAIN = "org.snncc"
VERSION = 1
OPSET = 21
IR_VERSION = 10

CURRENT_LIMIT = 1 << 23
PORT = 1 << 32

Charge = Literal["integrate", "decay", "leak", "leak-input", "gate"]
Shows = Literal["spikes", "membrane", "charge"]

_CHARGES: Mapping[Charge, tuple[str, str]] = {
    "integrate": ("Integrate", "h = v + x"),
    "decay": ("Decay", "h = decay·v + x"),
    "leak": ("Leak", "h = v − (v − v_reset)·leak + x"),
    "leak-input": ("LeakInput", "h = v + (x − (v − v_reset))·leak"),
    "gate": ("Gate", "h = x"),
}

_RESETS: Mapping[tuple[Reset, When], str] = {
    ("hard", "now"): "v = v_reset where s, else h",
    ("soft", "now"): "v = h − threshold·s",
    ("none", "now"): "v = h",
    ("hard", "next"): "before s, h is v_reset where the v of the step before fires; v = h",
    ("soft", "next"): "before s, h loses threshold where the v of the step before fires; v = h",
    ("soft", "both"): "r says where the v of the step before fires; before s, h loses "
    "threshold·r; v = h − threshold·(s − r)",
}


@dataclass(frozen=True)
class Kind:
    """A kind of neuron: what of `Dynamics` is structure and no number."""

    charge: Charge
    reset: Reset = "hard"
    when: When = "now"
    strict: bool = False
    current: bool = False
    keeps: bool = False
    shows: Shows = "spikes"

    @classmethod
    def of(cls, op: Dynamics) -> Kind:
        shows: Shows = "spikes"
        if isinstance(op, Membrane):
            shows = "charge" if op.before else "membrane"
        current = _is_there(op.current_decay)
        leaks = _is_there(op.leak)
        if op.decay is not None:
            charge: Charge = "decay"
        elif op.decay_input:
            charge = "leak-input"
        else:
            charge = "leak" if leaks else "integrate"
        memoryless = op.decay is not None and not _is_there(op.decay) and op.when == "now"
        if memoryless and not current and shows == "spikes":
            return cls("gate", "none", strict=op.strict)
        keeps = op.reset == "hard" and _is_there(op.keep)
        return cls(charge, op.reset, op.when, op.strict, current, keeps, shows)

    @property
    def name(self) -> str:
        """The name of the function, as ``DecayHard`` or ``LeakInputSoftNextStrict``."""
        if self.charge == "gate":
            return "Gate" + ("Strict" if self.strict else "")
        parts = [_CHARGES[self.charge][0], "NoReset" if self.reset == "none" else self.reset]
        parts += [] if self.when == "now" else [self.when]
        parts += ["keep"] if self.keeps else []
        parts += ["current"] if self.current else []
        parts += ["strict"] if self.strict else []
        parts += [] if self.shows == "spikes" else [self.shows]
        return "".join(part[0].upper() + part[1:] for part in parts)

    @property
    def states(self) -> tuple[str, ...]:
        if self.charge == "gate":
            return ()
        return ("v", "c") if self.current else ("v",)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The fields of `Dynamics` that a step takes as inputs, in this order."""
        names = ["threshold"]
        names += ["decay"] if self.charge == "decay" else []
        names += ["leak"] if self.charge in ("leak", "leak-input") else []
        hard = self.reset == "hard" and self.charge != "gate"
        names += ["v_reset"] if hard or self.charge in ("leak", "leak-input") else []
        names += ["keep"] if self.keeps else []
        names += ["current_decay"] if self.current else []
        return tuple(names)

    @property
    def first(self) -> tuple[str, ...]:
        """The fields of `Dynamics` that hold the first values of the states."""
        return ("initial", "current_initial")[: len(self.states)]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The inputs of the function of all steps, behind the current."""
        return (*self.numbers, *self.first)

    @property
    def about(self) -> str:
        """The documentation of the function."""
        lines = ["c = current_decay·c + x, and c in the place of x"] if self.current else []
        lines.append(_CHARGES[self.charge][1])
        lines.append(f"s = h {'>' if self.strict else '≥'} threshold")
        if self.charge != "gate":
            lines.append(_RESETS[self.reset, self.when])
        if self.keeps:
            lines.append("in the place of v_reset: v_reset + keep·(h − v_reset)")
        said = {"spikes": "the spikes s", "membrane": "the membranes v after the reset",
                "charge": "the membranes h before the reset"}  # fmt: skip
        return "\n".join([*lines, f"Yields {said[self.shows]}."])

    @cached_property
    def functions(self) -> tuple[onnx.FunctionProto, ...]:
        """The function of one step, and the one of all steps, which calls it."""
        return self._step(), self._whole()

    @property
    def step_name(self) -> str:
        return f"{self.name}Step"

    def _step(self) -> onnx.FunctionProto:
        body = Body()
        x = "x"
        after = {}
        if self.current:
            x = after["c"] = body("Add", body("Mul", "current_decay", "c"), x)
        fires = "Greater" if self.strict else "GreaterOrEqual"

        def where_reset(mask: str, h: str) -> str:
            rest = "v_reset"
            if self.keeps:
                left = body("Mul", "keep", body("Sub", h, "v_reset"))
                rest = body("Add", "v_reset", left)
            return body("Where", mask, rest, h)

        def lowered(h: str, spikes: str) -> str:
            return body("Sub", h, body("Mul", "threshold", spikes))

        match self.charge:
            case "integrate":
                h = body("Add", "v", x)
            case "decay":
                h = body("Add", body("Mul", "decay", "v"), x)
            case "leak":
                lost = body("Mul", body("Sub", "v", "v_reset"), "leak")
                h = body("Add", body("Sub", "v", lost), x)
            case "leak-input":
                drive = body("Sub", x, body("Sub", "v", "v_reset"))
                h = body("Add", "v", body("Mul", drive, "leak"))
            case "gate":
                h = x
        late = "" if self.when == "now" else body(fires, "v", "threshold")
        before = body("CastLike", late, h) if late and self.reset == "soft" else ""
        if late:
            h = lowered(h, before) if before else where_reset(late, h)
        mask = body(fires, h, "threshold")
        spikes = body("CastLike", mask, h)
        v = h
        if self.when == "both":
            v = lowered(h, body("Sub", spikes, before))
        elif self.when == "now" and self.reset != "none":
            v = lowered(h, spikes) if self.reset == "soft" else where_reset(mask, h)
        shown = {"spikes": spikes, "membrane": v, "charge": h}[self.shows]
        body.rename(shown, "shown")
        if self.states:
            after["v"] = v
        for state in self.states:
            body.rename(after[state], f"{state}_next")
        given = ("x", *self.states, *self.numbers)
        left = ("shown", *(f"{state}_next" for state in self.states))
        return body.function(self.step_name, given, left, f"One step.\n{self.about}")

    def _whole(self) -> onnx.FunctionProto:
        given = ("X", *self.parameters)
        if not self.states:
            body = Body()
            body.call(self.step_name, ("X", *self.numbers), ("shown",))
            return body.function(self.name, given, ("shown",), f"All steps.\n{self.about}")
        return scanned(self.name, self.step_name, self.states, self.numbers, self.first,
                       f"X (T, N, …) has the currents of all steps.\n{self.about}")  # fmt: skip


def _is_there(number: float | Ref | None) -> bool:
    return isinstance(number, Ref) or bool(number)


@dataclass(frozen=True)
class FixedKind:
    """A kind of neuron in whole numbers: what of `FixedNeuron` is structure and no number."""

    reset: Reset = "hard"
    when: When = "now"
    bias_into: Literal["membrane", "current"] = "membrane"

    @property
    def name(self) -> str:
        reset = "NoReset" if self.reset == "none" else self.reset.capitalize()
        when = "" if self.when == "now" else self.when.capitalize()
        return f"Fixed{reset}{when}{'BiasedCurrent' if self.bias_into == 'current' else ''}"

    states = ("v", "u")
    numbers = ("threshold", "dv", "du", "bias")
    first = ("initial", "current_initial")
    parameters = (*numbers, *first)

    @property
    def step_name(self) -> str:
        return f"{self.name}Step"

    @property
    def about(self) -> str:
        into = "u" if self.bias_into == "current" else "v"
        return "\n".join(
            [
                "Whole numbers, int64, as Loihi's registers hold them (Lava 0.10, lava.proc.lif).",
                f"With dec(x, k) = sign(x)·⌊|x|·(4096 − k) / 4096⌋, bias added to {into}:",
                "u = dec(u, du + 1) + 64·x, and where that leaves ±2^23, 2^24 nearer to 0, once",
                "v = dec(v, dv) + u, held within ±(2^23 − 1)",
                "s = v > threshold, which is 64·vth",
                _RESETS[self.reset, self.when].replace("≥", ">").replace("v_reset", "0"),
                "Yields the spikes s.",
            ]
        )

    @cached_property
    def functions(self) -> tuple[onnx.FunctionProto, ...]:
        return self._step(), scanned(self.name, self.step_name, self.states, self.numbers,
                                     self.first, self.about)  # fmt: skip

    def _step(self) -> onnx.FunctionProto:
        body = Body()

        def decayed(x: str, by: str) -> str:
            left = body("Sub", body.whole(UNITY), by)
            size = body("Div", body("Mul", body("Abs", x), left), body.whole(UNITY))
            return body("Mul", body("Sign", x), size)

        def lowered(h: str, mask: str) -> str:
            return body("Sub", h, body("Mul", "threshold", body("CastLike", mask, h)))

        u = body("Mul", "x", body.whole(ONE))
        u = body("Add", decayed("u", body("Add", "du", body.whole(1))), u)
        u = body("Add", u, "bias") if self.bias_into == "current" else u
        half, limit = body.whole(PORT // 2), body.whole(CURRENT_LIMIT)
        u = body("Sub", body("Mod", body("Add", u, half), body.whole(PORT)), half)
        twice, low = body.whole(2 * CURRENT_LIMIT), body.whole(-CURRENT_LIMIT)
        u = body("Where", body("Greater", u, limit), body("Sub", u, twice), u)
        u = body("Where", body("LessOrEqual", u, low), body("Add", u, twice), u)
        v = body("Add", decayed("v", "dv"), u)
        v = body("Add", v, "bias") if self.bias_into == "membrane" else v
        v = body("Max", v, body.whole(-MEMBRANE_LIMIT))
        h = body("Min", v, body.whole(MEMBRANE_LIMIT))
        late = "" if self.when == "now" else body("Greater", "v", "threshold")
        if late:
            hard = self.reset == "hard"
            h = body("Where", late, body.whole(0), h) if hard else lowered(h, late)
        mask = body("Greater", h, "threshold")
        after = h
        if self.when == "both":
            s, r = body("CastLike", mask, h), body("CastLike", late, h)
            after = body("Sub", h, body("Mul", "threshold", body("Sub", s, r)))
        elif self.when == "now" and self.reset == "hard":
            after = body("Where", mask, body.whole(0), h)
        elif self.when == "now" and self.reset == "soft":
            after = lowered(h, mask)
        body.rename(body("CastLike", mask, h), "shown")
        body.rename(after, "v_next")
        body.rename(u, "u_next")
        given = ("x", *self.states, *self.numbers)
        left = ("shown", "v_next", "u_next")
        return body.function(self.step_name, given, left, f"One step.\n{self.about}")


class Body:
    """The nodes of a function in the making; values are named by numbers."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._wholes: dict[int, str] = {}

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def call(self, function: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """A node of a function of this domain."""
        from onnx import helper

        node = helper.make_node(function, list(inputs), list(outputs), domain=DOMAIN)
        self._nodes.append(node)

    def add(self, node: Any) -> None:
        self._nodes.append(node)

    def whole(self, value: int) -> str:
        """A whole number, int64."""
        if value not in self._wholes:
            self._wholes[value] = self("Constant", value_int=value)
        return self._wholes[value]

    def rename(self, value: str, name: str) -> None:
        """Let ``value`` be known as ``name`` too."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [value], [name]))

    def function(
        self, name: str, inputs: Sequence[str], outputs: Sequence[str], about: str
    ) -> onnx.FunctionProto:
        from onnx import helper

        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
        function = helper.make_function(
            DOMAIN, name, list(inputs), list(outputs), self._nodes, opsets
        )
        function.doc_string = about
        return function


def scanned(
    name: str, step: str, states: Sequence[str], numbers: Sequence[str], first: Sequence[str],
    about: str,
) -> onnx.FunctionProto:  # fmt: skip
    """The function that calls ``step`` once for each step of its first input, (T, N, …)."""
    import onnx
    from onnx import helper

    body = Body()
    shape = body("Shape", "X", start=1)
    begin = [body("Expand", value, shape) for value in first]
    inner = [onnx.ValueInfoProto(name=value) for value in (*states, "x")]
    left = [onnx.ValueInfoProto(name=f"{state}_next") for state in states]
    left.append(onnx.ValueInfoProto(name="shown_x"))
    call = helper.make_node(
        step, ["x", *states, *numbers], ["shown_x", *(f"{state}_next" for state in states)],
        domain=DOMAIN,
    )  # fmt: skip
    graph = helper.make_graph([call], "step", inner, left)
    ends = [f"{state}_end" for state in states]
    body.add(
        helper.make_node("Scan", [*begin, "X"], [*ends, "shown"], body=graph, num_scan_inputs=1)
    )
    return body.function(name, ("X", *numbers, *first), ("shown",), about)


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind of neuron by the name of its function."""
    found = [Kind("gate", "none", strict=strict) for strict in (False, True)]
    charges: tuple[Charge, ...] = ("integrate", "decay", "leak", "leak-input")
    shows: tuple[Shows, ...] = ("spikes", "membrane", "charge")
    for charge, (reset, when), strict, current, keeps, shown in itertools.product(
        charges, _RESETS, (False, True), (False, True), (False, True), shows
    ):
        if not keeps or reset == "hard":
            found.append(Kind(charge, reset, when, strict, current, keeps, shown))
    return {kind.name: kind for kind in found}


@cache
def fixed_kinds() -> Mapping[str, FixedKind]:
    """Every kind of neuron in whole numbers by the name of its function."""
    into: tuple[Literal["membrane", "current"], ...] = ("membrane", "current")
    found = [FixedKind(*reset, bias) for reset in _RESETS for bias in into]
    return {kind.name: kind for kind in found}
