"""MODEL and the options that say what it takes, the same for every command that opens one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from snncc.cli.errors import say
from snncc.cli.unused import refuse_unused
from snncc.diagnostics import refuse
from snncc.frontends.named import check_named

if TYPE_CHECKING:
    import torch
    from torch import nn

    from snncc.compiler import Report
    from snncc.diagnostics import Finding
    from snncc.frontends.checkpoints import Said
    from snncc.frontends.data import Array, Recordings
    from snncc.frontends.data.encoders import Encoder
    from snncc.frontends.layout import Layout
    from snncc.options import InputKind, Options
    from snncc.program import Program

F = TypeVar("F", bound=Callable[..., Any])


def there(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """The argument DIR|MODEL; what is not there is refused before torch is imported."""
    if not Path(value).is_dir():
        check_named(value)
    return value


class Shape(click.ParamType):  # type: ignore[type-arg]
    """Whole numbers with commas between them."""

    name = "SHAPE"

    def convert(
        self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            shape = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not like 2,34,34", parameter, ctx)
        if min(shape) < 1:
            self.fail(f"{value!r} has a size below 1", parameter, ctx)
        return shape


class Order(click.ParamType):  # type: ignore[type-arg]
    """The order of the axes of an input."""

    name = "LAYOUT"

    def convert(
        self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None
    ) -> Layout:
        from snncc.frontends.layout import USUAL, is_layout

        if not is_layout(value):
            usual = ", ".join(USUAL)
            self.fail(f"{value!r} is no order of T, N and F as {usual}", parameter, ctx)
        return str(value)


@dataclass(frozen=True)
class ModelOptions:
    """How MODEL is read, as the command line says; `Model.options` are those of a compilation."""

    input_shape: tuple[int, ...] | None
    time_steps: int | None
    layout: Layout | None
    input: InputKind | None
    head: str | None
    weights: str | None
    allow: tuple[str, ...]
    cut_merge: bool
    dt: float | None = None
    discretise: Any = None
    reset: Any = None
    reset_when: Any = None

    def said(self, spec: str, resets: bool) -> Said:
        """`said_of` the model; ``resets``: the command takes --reset for every model."""
        reset = None if resets and not reads_equations(spec) else self.reset
        given = (self.input_shape, self.dt, self.discretise, reset, self.reset_when)
        return replace(said_of(spec, *given), input=self.input)


def said_of(
    spec: str, shape: tuple[int, ...] | None, dt: float | None, discretise: Any, reset: Any,
    reset_when: Any,
) -> Said:  # fmt: skip
    """What the user says of a file that does not say it itself.

    Raises SnnccError (SNN316) for a model that says it itself.
    """
    from snncc.frontends.checkpoints import Said

    given = {"--dt": dt, "--discretise": discretise, "--reset": reset, "--reset-when": reset_when}
    named = [name for name, value in given.items() if value is not None]
    if named and not reads_equations(spec):
        message = f"{named[0]} is for files that give neurons as equations, and {spec} does not"
        raise refuse("SNN316", message, help="leave it out")
    return Said(shape, dt, discretise, reset, reset_when)


def reads_equations(spec: str) -> bool:
    """Whether MODEL is of a kind that gives its neurons as differential equations."""
    return spec.lower().endswith(".nir")


@dataclass(frozen=True)
class Model:
    """A module in eval mode and an example of what it takes.

    ``calibration`` are samples of the user's recordings, if any; ``encoder`` says how they were
    encoded.
    """

    module: nn.Module
    example: torch.Tensor
    input: InputKind
    layout: Layout
    time_steps: int | None
    source: str
    sha256: str
    notes: tuple[Finding, ...] = ()
    calibration: torch.Tensor | None = None
    encoder: str = ""

    def options(self, said: ModelOptions, **more: Any) -> Options:
        """The options of a compilation: of the model, the command line and ``more``."""
        from snncc.options import Options

        return Options(
            head=said.head, input=self.input, layout=self.layout, time_steps=self.time_steps,
            cut_merge=said.cut_merge, **more,
        )  # fmt: skip

    def compile(self, target: str, options: Options, **more: Any) -> Program:
        """The program, compiled with these options and ``more`` of `snncc.compiler.compiled`."""
        from snncc.compiler import compiled

        source = {"name": self.source, "sha256": self.sha256}
        if self.encoder:
            source["encoder"] = self.encoder
        program = compiled(
            self.module, self.example, target, options, source=source,
            calibration=self.calibration, **more,
        )  # fmt: skip
        return replace(program, findings=(*self.notes, *program.findings))

    def check(self, target: str, options: Options) -> Report:
        """The findings, with these options."""
        from snncc.compiler import checked

        report = checked(self.module, self.example, target, options)
        return replace(report, findings=(*self.notes, *report.findings))


def reading_options(function: F) -> F:
    """What a file that gives neurons as differential equations does not say."""
    wrapped: Any = function
    for each in (
        click.option(
            "--reset-when",
            type=click.Choice(["now", "next", "both"]),
            help="Of a .nir: reset in the step of the spike, in the next, or as snnTorch does "
            "without reset_delay.",
        ),
        click.option(
            "--reset",
            type=click.Choice(["hard", "soft"]),
            help="Of a .nir: what a spike resets. Of another model, with `compile`: in place of "
            "the reset it was trained with.",
        ),
        click.option(
            "--discretise",
            type=click.Choice(["euler", "exact", "impulse"]),
            help="Of a .nir: how its equations become steps.",
        ),
        click.option(
            "--dt",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="Of a .nir: how long a step is.",
        ),
    ):
        wrapped = each(wrapped)
    result: F = wrapped
    return result


def model_options(*, kind: bool = True) -> Callable[[F], F]:
    """The options of `ModelOptions`, given to the command as one argument ``options``.

    Without ``kind`` the name --input is left to the command.
    """
    decorators = [
        click.option("--input-shape", type=Shape(), help="Features of the input, as in 2,34,34."),
        click.option(
            "--time-steps",
            type=click.IntRange(min=1),
            help="T; with --layout N the model is one step and called T times.",
        ),
        click.option(
            "--layout",
            type=Order(),
            help="Order of the input's axes: T time, N samples, F the features, as TN, N, NT, NFT.",
        ),
        click.option("--head", help="Index or name of the output to keep."),
        click.option(
            "--weights", type=click.Path(), help="State dict for a package.module:factory."
        ),
        click.option(
            "--allow", multiple=True, help="A class the .pt may hold, or its factory; repeatable."
        ),
        click.option(
            "--cut-merge", is_flag=True, help="Keep the spike-only branch of a merged output."
        ),
        reading_options,
    ]
    if kind:
        declared = click.option(
            "--input",
            "kind",
            type=click.Choice(["spike", "count", "analog"]),
            help="What the values of the input are.  [default: the model's, or analog]",
        )
        decorators.insert(3, declared)

    def decorate(function: F) -> F:
        wrapped: Any = gather_options(function)
        for each in reversed(decorators):
            wrapped = each(wrapped)
        result: F = wrapped
        return result

    return decorate


_MODEL_OPTIONS = tuple(f.name for f in fields(ModelOptions) if f.name != "input")
"""Those that every command has under these names; some use --input for something else."""


def refuse_model_options(what: str, *others: str, but: Collection[str] = ()) -> None:
    """Raise click.UsageError for an option of a MODEL, where ``what`` is a compiled program.

    ``others`` are such options of the command, ``but`` are those that it uses.
    """
    names = {*_MODEL_OPTIONS, "kind", *others} - {*but}
    refuse_unused(names, f"is for a MODEL, and {what} is compiled already")


def gather_options(function: F) -> F:
    """``function`` of ``options``, called with what the options of `model_options` were given."""

    @functools.wraps(function)
    def gathered(*args: Any, **given: Any) -> Any:
        said = {name: given.pop(name) for name in _MODEL_OPTIONS}
        options = ModelOptions(input=given.pop("kind", None), **said)
        return function(*args, options=options, **given)

    result: Any = gathered
    return cast(F, result)


def encode_options(function: F) -> F:
    """--encode and --seed, given to the command as one argument ``encode``."""

    @functools.wraps(function)
    def gathered(*args: Any, encoder: str | None, seed: int | None, **given: Any) -> Any:
        from snncc.frontends.data.encoders import encoder_of

        if encoder is None and seed is not None:
            raise click.UsageError("--seed goes with --encode")
        encode = None if encoder is None else encoder_of(encoder, seed)
        return function(*args, encode=encode, **given)

    wrapped: Any = gathered
    for each in (
        click.option(
            "--seed", type=click.IntRange(min=0), help="Of --encode poisson.  [default: 0]"
        ),
        click.option(
            "--encode",
            "encoder",
            metavar="ENCODER",
            help="Turn recordings of real values, without time, into spikes: poisson, latency, "
            "latency{code=log}, snntorch-latency{tau=5,clip=true}.",
        ),
    ):
        wrapped = each(wrapped)
    return cast(F, wrapped)


def open_model(
    spec: str,
    options: ModelOptions,
    like: str | None = None,
    resets: bool = False,
    encode: Encoder | None = None,
) -> Model:
    """The model a user names, with an example: samples of ``like``, else random ones.

    With ``encode`` its input is spikes, and the samples of ``like`` are encoded by it.

    Raises SnnccError as `snncc.frontends.checkpoints.open_model` and `open_recordings` do, SNN303
    where neither the file nor the options say what shape it takes, and SNN316 for an encoder of a
    model whose input is declared to be something else than spikes.
    """
    check_named(spec)  # before the next line imports torch
    from snncc.frontends.checkpoints import open_model as open_checkpoint

    said = options.said(spec, resets)
    found = open_checkpoint(spec, weights=options.weights, allow=options.allow, said=said)
    if found.features is not None:
        options = replace(options, input_shape=found.features)
    layout, shape, single = _takes(found.shape, found.layout, found.time_steps, options, spec)
    kind = options.input or found.input or ("analog" if encode is None else "spike")
    if encode is not None and kind != "spike":
        message = f"--encode makes spikes, and the input of {spec} is declared {kind}"
        raise refuse("SNN316", message, help="leave --encode out, or pass --input spike")
    calibration, notes = None, found.notes
    if like is not None:
        from snncc.compiler import CALIBRATION
        from snncc.frontends.data import open_recordings

        takes = {layout: shape}
        if encode is not None and single is not None:
            takes = {f"T{layout}": (single, *shape)}
        with open_recordings(like, takes, input=kind, samples=CALIBRATION, encode=encode) as data:
            calibration = _tensor(data.take(0, CALIBRATION))
        notes = (*notes, *data.findings)
        stepwise = calibration.dim() > len(shape)  # of a model of one step, which takes the first
        example = calibration[0] if stepwise else calibration
    else:
        example = _random(shape, kind)
    if found.dtype is not None and found.dtype.is_floating_point:
        example = example.to(found.dtype)
        calibration = None if calibration is None else calibration.to(found.dtype)
    return Model(
        found.module, example, kind, layout, single, found.source, found.sha256, notes,
        calibration, str(encode or ""),
    )  # fmt: skip


def _takes(
    shape: tuple[int, ...] | None,
    layout: Layout | None,
    time_steps: int | None,
    options: ModelOptions,
    spec: str,
) -> tuple[Layout, tuple[int, ...], int | None]:
    """Layout, example shape with all axes, and T of a model of one step; options come first."""
    from snncc.frontends.layout import features_of, roles, shape_of

    features, steps = options.input_shape, options.time_steps
    chosen = options.layout or layout
    if shape is not None:
        if chosen is None:
            from snncc.frontends.torch.tracing import default_layout

            chosen = default_layout(len(shape), time_steps)
        axes = roles(chosen, len(shape))
        features = features or features_of(chosen, shape)
        known = shape[axes.index("T")] if "T" in axes else time_steps
        steps = steps or known
    if features is None:
        raise refuse("SNN303", f"nothing says what shape {spec} takes")
    if chosen is None:
        chosen = "N" if steps is None else "TN"
    if "T" in chosen and steps is None:
        raise refuse(
            "SNN303",
            f"layout {chosen} has time and nothing says how many steps",
            help="pass --time-steps",
        )
    whole = shape_of(chosen, features, steps or 1)
    return chosen, whole, None if "T" in chosen else steps


def recordings_for(
    program: Program,
    source: str,
    classes: int | None,
    samples: int | None = None,
    encode: Encoder | None = None,
) -> Recordings:
    """DATA, checked against what a program takes, the first ``samples`` of it or all.

    Warnings about its values go to stderr. Raises SnnccError as
    `snncc.frontends.data.open_recordings` does, and SNN316 for ``encode`` where the program does
    not take spikes.
    """
    from snncc.frontends.data import open_recordings
    from snncc.frontends.data.values import unlike
    from snncc.frontends.layout import layout_of, shape_of

    node, steps = program.graph.inputs[0], program.graph.time_steps or 1
    layout = layout_of(node.signal.axes)
    shape = shape_of(layout, node.signal.shape, steps)
    takes: dict[Layout, tuple[int, ...]] = {layout: shape}
    if "T" not in layout and node.signal.rate == "step":
        takes[f"T{layout}"] = (steps, *shape)  # a model of one step may be given another at each
    kind: InputKind = getattr(node.op, "kind", "analog")
    if encode is not None and kind != "spike":
        said = f"--encode makes spikes, and the input of the program is declared {kind}"
        raise refuse("SNN316", said, help="leave --encode out, or compile with --input spike")
    data = open_recordings(
        source,
        takes,
        input=kind,
        classes=classes,
        largest=node.signal.values.largest,
        samples=samples,
        encode=encode,
    )
    say(data.findings)
    calibrated = program.inputs.get("calibration")
    if kind == "analog" and calibrated is not None:
        known = float(calibrated.min()), float(calibrated.max())
        say(unlike(known, data.range, data.name))
    return data


def _tensor(inputs: Array) -> torch.Tensor:
    import torch

    return torch.as_tensor(inputs)


def _random(shape: tuple[int, ...], kind: InputKind) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    if kind == "analog":
        return torch.randn(shape, generator=generator)
    uniform = torch.rand(shape, generator=generator)
    return (uniform < 0.3).float() if kind == "spike" else torch.poisson(uniform, generator)
