"""The table of hostile elements: each is a few lines of source that slip into a network.

A text is an expression or the body of a function of ``net``, ``a`` (the value at the place) and
``x`` (the input of the step). One of an entry's texts is drawn, and one of the choices for each
``{name}`` in it; ``{N}`` is the axis of the samples. An entry that is ``harmless`` is nothing that
a compiler should mind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hostile_hosts import Place

KINDS: list[Kind] = []


@dataclass(frozen=True)
class Kind:
    """One entry. ``setup`` runs once on the module, before it is used.

    The tuples say which networks it fits. Without ``exact`` its numbers are no dyadic ones, so that
    an answer which hangs on their last digit does not count.
    """

    name: str
    place: Place
    texts: tuple[str, ...]
    setup: str = ""
    choices: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("spike", "count", "analog")
    styles: tuple[str, ...] = ("multi", "loop", "single")
    libraries: tuple[str, ...] = ("snncc", "sj", "snntorch")
    layouts: tuple[str, ...] = ("TN", "NT", "N")
    image: bool | None = None
    harmless: bool = False
    exact: bool = True


def spikes(name: str, *texts: str, **options: Any) -> None:
    """Between the first neuron and the next layer."""
    KINDS.append(Kind(name, "spikes", texts, **({"inputs": ("spike", "count")} | options)))


def current(name: str, *texts: str, **options: Any) -> None:
    """Before the first neuron."""
    KINDS.append(Kind(name, "current", texts, **options))


def analog(name: str, *texts: str, **options: Any) -> None:
    """Before the first neuron, where the host computes what a chip does not."""
    current(name, *texts, **({"inputs": ("analog",), "exact": False} | options))


def setup(name: str, *texts: str, **options: Any) -> None:
    """Once, on the ready module."""
    KINDS.append(Kind(name, "setup", texts, **options))


def given(name: str, *texts: str, **options: Any) -> None:
    """On the input of forward."""
    KINDS.append(Kind(name, "input", texts, **options))


def returned(name: str, *texts: str, **options: Any) -> None:
    """On what forward returns."""
    KINDS.append(Kind(name, "output", texts, **options))


MULTI: dict[str, Any] = {"styles": ("multi",)}
STEPWISE: dict[str, Any] = {"styles": ("loop", "single")}
OURS: dict[str, Any] = {"libraries": ("snncc",)}
SJ: dict[str, Any] = {"libraries": ("sj",)}
SPIKE: dict[str, Any] = {"inputs": ("spike",)}
COUNT: dict[str, Any] = {"inputs": ("count",)}

# -- arguments of functions ----------------------------------------------------------------------

spikes(
    "round decimals",
    "torch.round((a + x) * 0.25, decimals={d})",
    choices={"d": (1, 2, -1)},
    exact=False,
)
spikes(
    "alpha",
    "torch.add(a, x, alpha={k})",
    "torch.sub(x, a, alpha={k})",
    "torch.rsub(a, x)",
    "torch.add(a, 1, alpha={k})",
    choices={"k": (2, -1, 0.5)},
    harmless=True,
)
spikes(
    "remainders",
    "torch.fmod(a - 2 * x, 3.0)",
    "torch.remainder(a - 2 * x, 3.0)",
    "(a - 2 * x) % -3.0",
    "torch.remainder(a - 2 * x, -2)",
    "(a + x) % 2",
)
spikes(
    "rounding mode",
    "torch.div(a - 2 * x, 2, rounding_mode={m})",
    "(a - 3 * x) // 2",
    "torch.floor_divide(a - x, 2)",
    "torch.div(a - x, 2, rounding_mode=None)",
    choices={"m": ("'floor'", "'trunc'")},
)
spikes(
    "half to even",
    "torch.round((a + x) * 0.5)",
    "torch.round((a - x) * 0.5)",
    "torch.round(a * 0.5 + x)",
)
spikes(
    "reductions",
    "a.sum(-1, keepdim=True) * torch.ones_like(a)",
    "a + a.sum(dim=-1, keepdim=True, dtype=torch.uint8)",
    "a - a.mean(axis=-1, keepdim=True)",
    "a * a.amax(-1, keepdim=True)",
    "a + a.prod(-1, keepdim=True)",
    "a + a.sum(-1, keepdim=True, dtype=torch.bool)",
    "a + torch.std(a, -1, keepdim=True)",
    "a + a.var(-1, unbiased=False, keepdim=True)",
    "a + a.norm(p={p}, dim=-1, keepdim=True)",
    "a - a.median(-1, keepdim=True)[0]",
    "a + a.logsumexp(-1, keepdim=True)",
    "a - a.amin(dim=(-1,), keepdim=True)",
    choices={"p": (1, 2, 0)},
    exact=False,
)
spikes(
    "clamps",
    "torch.clamp(a + x, max=1)",
    "torch.clamp(a + x, 1, 2)",
    "(a - x).clamp(min=0)",
    "torch.clip(a + x, min=0, max=torch.tensor(1.0))",
    "torch.minimum(a, x)",
    harmless=True,
    **SPIKE,
)
spikes(
    "crossed clamp",
    "torch.clamp(a + x, min=2, max=1)",
    "F.hardtanh(a - x, 1.0, 1.5)",
    "torch.clamp(a, x, 1 - x)",
)
spikes(
    "three operands",
    "torch.addcmul(a, a, x, value={k})",
    "torch.lerp(a, x, 0.5)",
    "torch.addcdiv(a, a, x + 1, value={k})",
    "torch.where(x > 0, a, {k})",
    "torch.lerp(a, x, torch.full_like(a, 0.25))",
    choices={"k": (2, -1)},
    exact=False,
)
spikes(
    "rare functions",
    "torch.xlogy(a, x + 1)",
    "torch.copysign(a + 1, x - 0.5)",
    "torch.hypot(a, x)",
    "torch.logaddexp(a, x)",
    "torch.ldexp(a, x.clamp(max=3))",
    "torch.frac((a + x) / 2)",
    "torch.nextafter(a, x)",
    "torch.float_power(a + 1, 2)",
    "torch.heaviside(a - x, torch.tensor(0.5))",
    "torch.sgn(a - x)",
    "torch.sinc(a)",
    "torch.signbit(-a).to(a)",
    "torch.atan2(a, x)",
    "torch.dist(a, x) * a",
    "torch.nan_to_num(a / x, 2.0, 3.0, -3.0)",
    exact=False,
)
spikes(
    "arguments by name",
    "torch.add(*(a, x))",
    "torch.clamp(**{'input': a + x, 'max': 1})",
    "torch.sub(other=a, input=x)",
    "torch.where(input=a, condition=x > 0, other=1 - a)",
    "torch.mul(other=x, input=a)",
    "F.relu(input=a - x, inplace=False)",
    harmless=True,
    **SPIKE,
)
spikes(
    "in place",
    "a.mul_(2)",
    "F.relu(a - x, inplace=True)",
    "a.add_(x).clamp_(max=1)",
    "a.sub_(x).abs_()",
    "F.hardtanh(a * 3, 0.0, 2.0, inplace=True)",
    harmless=True,
    **SPIKE,
)
analog(
    "leaky slope",
    "F.leaky_relu(a, {k})",
    "F.leaky_relu(a, negative_slope={k}, inplace=True)",
    "F.rrelu(a, 0.25, 0.5)",
    "F.prelu(a, torch.full((1,), 0.25))",
    choices={"k": (0.25, 0.5, -0.5, 2.0)},
)
analog(
    "elu alpha",
    "2 * F.elu(a, {k}) + 1",
    "F.celu(a, {k})",
    "F.selu(a) + F.elu(a, alpha={k})",
    choices={"k": (4.0, 0.5, 1.0)},
)
analog("gelu", "F.gelu(a, approximate={m})", "nn.GELU({m})(a)", choices={"m": ("'tanh'", "'none'")})
analog(
    "softplus",
    "F.softplus(a, beta={b}, threshold={t})",
    "F.softplus(a, {b})",
    "F.logsigmoid(a) + 2",
    "F.softplus(a * 3, threshold=0)",
    choices={"b": (1, 2, 0.5), "t": (20, 1)},
)
analog(
    "shrinking",
    "F.hardshrink(a, {k})",
    "F.softshrink(a, {k})",
    "F.threshold(a, {k}, 2.0)",
    "F.tanhshrink(a)",
    "F.relu6(a * 4)",
    "F.hardtanh(a, -0.5, {k})",
    "F.hardswish(a)",
    "F.hardtanh(a, max_val={k})",
    "F.hardsigmoid(a) + a",
    choices={"k": (0.75, 2.0)},
)
analog(
    "norm eps",
    "F.layer_norm(a * 0.001, a.shape[-1:], eps={e})",
    "F.normalize(a, p={p}, dim=-1)",
    "F.rms_norm(a * 0.01, a.shape[-1:], eps={e})",
    "nn.LayerNorm(a.shape[-1], eps={e})(a * 0.01)",
    "F.normalize(a * 0.01, dim=-1, eps=0.1)",
    choices={"e": (1e-3, 1e-12, 0.25), "p": (1, 2)},
)
analog(
    "group norm eps",
    "net.each(lambda z: F.group_norm(z * 0.01, 2, eps={e}), a)",
    "net.each(lambda z: F.instance_norm(z * 0.01, eps={e}), a)",
    "net.each(lambda z: F.local_response_norm(z, 2, k={e}), a)",
    choices={"e": (1e-3, 0.0625)},
    image=True,
)
analog(
    "softmax arguments",
    "torch.softmax(a, -1, dtype=torch.float64) * 4",
    "F.softmin(a, -1) * 4",
    "F.log_softmax(a, dim=-1) + 2",
    "F.glu(torch.cat([a, a], -1))",
)
analog(
    "powers",
    "a ** 2 * 0.125",
    "torch.pow(a.abs(), 0.5)",
    "2.0 ** a.clamp(max=3)",
    "torch.exp2(a.clamp(max=3))",
    "torch.expm1(a.clamp(max=2))",
    "torch.log1p(a.abs())",
    "torch.rsqrt(a.abs() + 1)",
    "a.sigmoid().logit(eps=0.25)",
    "torch.sqrt(a.abs())",
)

# -- images --------------------------------------------------------------------------------------

spikes(
    "upsample",
    "net.each(lambda z: F.interpolate(z, scale_factor={s}), a)",
    "net.each(lambda z: F.interpolate(z, scale_factor={s}, recompute_scale_factor=True), a)",
    "net.each(lambda z: F.interpolate(z, scale_factor=({s}, 1.5)), a)",
    "net.each(lambda z: F.interpolate(z, size=7), a)",
    "net.each(lambda z: F.interpolate(z, scale_factor={s}, mode='nearest-exact'), a)",
    "net.each(lambda z: F.interpolate(z, size=(7, 5), mode='nearest-exact'), a)",
    choices={"s": (2.1, 1.3, 1.7, 0.6, 2)},
    image=True,
)
spikes(
    "smooth upsample",
    "net.each(lambda z: F.interpolate(z, size=7, mode={m}, {c}), a)",
    choices={"m": ("'bilinear'", "'bicubic'"), "c": ("align_corners=True", "antialias=True")},
    image=True,
    exact=False,
)
spikes(
    "pool arguments",
    "net.each(lambda z: F.avg_pool2d(z, 3, 2, 1, {c}), a)",
    "net.each(lambda z: F.avg_pool2d(z, 2, 3, {c}), a)",
    "net.each(lambda z: F.lp_pool2d(z, {p}, 2), a)",
    "net.each(lambda z: F.avg_pool2d(z, 3, 2, 1, divisor_override=4), a)",
    "net.each(lambda z: F.max_pool2d(z, 2, 1, 1, 2, ceil_mode=True), a)",
    "net.each(lambda z: F.max_pool2d(z, 3, stride=2, ceil_mode=True), a)",
    "net.each(lambda z: F.max_pool2d(z - 1, 3, 2, 1), a)",
    choices={
        "p": (1, 2),
        "c": (
            "ceil_mode=True",
            "count_include_pad=False",
            "ceil_mode=True, count_include_pad=False",
        ),
    },
    image=True,
    exact=False,
)
spikes(
    "adaptive pool",
    "net.each(lambda z: F.adaptive_avg_pool2d(z, {s}), a)",
    "net.each(lambda z: F.adaptive_max_pool2d(z, {s}), a)",
    "net.each(nn.AdaptiveAvgPool2d({s}), a)",
    choices={"s": (3, "(2, 3)", "(None, 3)", 1)},
    image=True,
    exact=False,
)
spikes(
    "mean against k/n",
    "(net.each(lambda z: F.adaptive_avg_pool2d(z, {s}), a) {o} {k}).to(a)",
    "(a.mean(-1, keepdim=True) {o} {k}).to(a) * a",
    choices={"s": (3, "(1, 3)"), "o": ("<=", ">=", "==", ">"), "k": ("1 / 3", "2 / 3", 0.25)},
    image=True,
)
spikes(
    "padding",
    "net.each(lambda z: F.pad(z, (1, 1, 1, 1), {m}), a)",
    "net.each(lambda z: F.pad(z, (1, 0, 0, 1), value={v}), a)",
    "net.each(lambda z: F.pad(z, (-1, 1, 0, 0)), a)",
    choices={"m": ("'reflect'", "'circular'", "'replicate'"), "v": (1.0, 0.5)},
    image=True,
)
setup(
    "conv padding",
    "net.second.padding_mode = {m}; net.second._reversed_padding_repeated_twice = [1] * 4",
    "net.second.padding = 'same'",
    "net.second.padding = (0, 2)",
    choices={"m": ("'circular'", "'reflect'", "'replicate'")},
    image=True,
)
spikes(
    "moved features",
    "a.flip(-1)",
    "a.roll(1, -1)",
    "torch.rot90(a, 1, (-2, -1))",
    "a.transpose(-1, -2)",
    "net.each(lambda z: F.channel_shuffle(z, 2), a)",
    "net.each(lambda z: F.pixel_unshuffle(F.pixel_shuffle(torch.cat([z, z], 1), 2), 2)[:, :2], a)",
    "torch.cat(a.split(1, -1)[::-1], -1)",
    image=True,
)
spikes(
    "order of values",
    "a.sort(-1)[0]",
    "torch.cummax(a, -1)[0]",
    "torch.msort(a)",
    "a.topk(2, -1)[0].sum(-1, keepdim=True) * a",
    "a.kthvalue(2, -1, True)[0] * a",
    "torch.cumsum(a, -1)",
    "a.gather(-1, x.argmax(-1, keepdim=True)) * a",
    "torch.diff(a, dim=-1, prepend=a[..., :1])",
    "a.unique(dim=-1).sum(-1, True) + a",
    "torch.take_along_dim(a, x.argsort(dim=-1, stable=True), -1)",
)

# -- dtypes --------------------------------------------------------------------------------------

spikes(
    "bool sum",
    "(a.bool() + x.bool()).to(a)",
    "(a.bool() | x.bool()) + a",
    "torch.add(a.bool(), x.bool()).to(a) * 2",
    "(a.bool() * x.bool()).to(a)",
    "(a.bool() ^ x.bool()).to(a)",
    "(a > 0).add(x > 0).to(a)",
    "sum([a > 0, x > 0, a > 0]).to(a)",
    "a.bool().sum(-1, keepdim=True) * a",
    "(a.bool() & True).to(a)",
)
spikes(
    "bytes wrap",
    "(a.to(torch.uint8) - x.to(torch.uint8)).to(a)",
    "(a.byte() - 1).to(a)",
    "(-a.to(torch.uint8)).to(a)",
    "(a.byte() * 200 + x.byte() * 100).to(a)",
    "(a.byte() - net.full(x).byte()).to(a)",
    "(x.byte() << 7).to(a) + a",
    "(x.byte() + a.byte()).to(a)",
    "torch.sub(a.byte(), x.byte(), alpha=1).to(a)",
)
spikes(
    "int8 overflow",
    "(x.to(torch.int8) * {k}).to(a)",
    "(x.char() + 100).to(a) + a",
    "(a.char() * {k} + x.char() * {k}).to(a)",
    "(x.to(torch.int16) * 2000).to(a) + a",
    "x.char().abs().to(a)",
    "(a.char() * 127 + net.full(x).char()).to(a)",
    choices={"k": (100, 64, 127)},
)
spikes(
    "whole division",
    "((a + x).int() // 2).to(a)",
    "((a + x).int() / 2).to(a)",
    "torch.div((a + x).int(), 2, rounding_mode='trunc').to(a)",
    "((a - x).long() // 2).to(a)",
    "((a - x).int() % 2).to(a)",
    "((a - x).int() / 2).int().to(a)",
)
spikes(
    "halves",
    "(a.half() * 0.1).to(a)",
    "(x.half() + 2048.0 - 2048.0).to(a) + a",
    "(x.bfloat16() * 1.01).to(a)",
    "(a.bfloat16() + 256 + x.bfloat16() - 256).to(a)",
    "torch.tensor(0.1, dtype=torch.half) * a",
    exact=False,
)
spikes(
    "float32",
    "(a.float() * 0.5 + x.float()).double()",
    "a.float().to(a) + x.type(torch.float32)",
    "a.to(torch.float32, copy=True).add(x).to(a)",
    harmless=True,
)
spikes(
    "shifts and bits",
    "(x.int() << 1).to(a)",
    "(x.int() >> 1).to(a) + a",
    "(a.int() & x.int()).to(a)",
    "(a.int() | x.int()).to(a)",
    "(~x.int()).to(a)",
    "(a.int() ^ 3).to(a)",
    "(~(a > 0)).to(a)",
    "(x.int() & 1).to(a)",
    "torch.bitwise_left_shift(a.int(), 2).to(a)",
)
spikes(
    "mixed comparison",
    "(x.int() >= 1.5).to(a)",
    "(x.byte() >= -1).to(a) * a",
    "(x.byte() == 256).to(a) + a",
    "((a - x).byte() > 0).to(a)",
    "((a - x).int() < 0).to(a)",
    "(x.char() < 0).to(a) + a",
    "torch.ge(x.byte(), a.byte()).to(a)",
    "(x.int() == a).to(a)",
    "torch.eq(x.bool(), a.bool()).to(a)",
)
spikes(
    "casts",
    "((a - 2 * x) * 0.75).int().to(a)",
    "(a - 2 * x).trunc()",
    "(a - 2 * x).long().to(a)",
    "torch.where(a > 0, 1, 0).to(a)",
    "torch.where(a > 0, x.int(), a.bool()).to(a)",
    "((a - x) * 0.5).short().to(a)",
    "(a > 0) * 3 // 2 + a",
    "(2 ** a.int()).to(a)",
    "((-1) ** a)",
    "(a.int() * 0.5).to(a)",
    "(a * True + False)",
    "torch.result_type(a, 1).itemsize * a",
    "(a * 1j).imag",
    "a.cfloat().real.to(a)",
)
spikes(
    "narrow sum",
    "a + x.byte().sum(-1, keepdim=True, dtype=torch.uint8).to(a)",
    "a + x.sum(-1, keepdim=True, dtype=torch.int8).to(a)",
    "a + (a.byte() * 100).sum(-1, keepdim=True, dtype=torch.uint8).to(a)",
    "a + torch.sum(x.bool(), -1, True).byte().to(a)",
)

# -- hooks ---------------------------------------------------------------------------------------

setup(
    "hook sets threshold",
    "net.sn.register_forward_pre_hook(lambda m, i: set_threshold(m, {k}))",
    "net.first.register_forward_hook(lambda m, i, o: set_threshold(net.sn, {k}))",
    "net.register_forward_pre_hook(lambda m, i: set_threshold(net.sn, {k}))",
    "net.sn.register_forward_hook(lambda m, i, o: set_threshold(m, {k}))",
    choices={"k": (2.0, 0.25)},
)
setup(
    "hook changes input",
    "net.{p}.register_forward_pre_hook(lambda m, i: (i[0] * 2, *i[1:]))",
    "net.{p}.register_forward_pre_hook(lambda m, i, k: ((i[0] + 1, *i[1:]), k), with_kwargs=True)",
    choices={"p": ("sn", "second", "out")},
)
setup(
    "hook changes output",
    "net.{p}.register_forward_hook(lambda m, i, o: 1 - o)",
    "net.{p}.register_forward_hook(lambda m, i, o: o * 2, always_call=True)",
    "net.{p}.register_forward_hook(lambda m, i, o: o * 2 if i[0].shape[0] > 9 else None)",
    "net.{p}.register_forward_hook(lambda m, i, o: o.mul_(2) and None if o.numel() == 1 else o)",
    choices={"p": ("sn", "second", "out")},
    libraries=("snncc", "sj"),
)
setup(
    "hook writes",
    "net.{p}.register_forward_hook(lambda m, i, o: (o.data.mul_(2), None)[1])",
    "net.{p}.register_forward_hook(lambda m, i, o: (o.mul_(2), None)[1])",
    "net.{p}.register_forward_pre_hook(lambda m, i: (i[0].add_(1), None)[1])",
    "net.{p}.register_forward_hook(lambda m, i, o: (o.detach().mul_(0.5), None)[1])",
    choices={"p": ("sn", "second")},
    libraries=("snncc", "sj"),
)
setup(
    "hook leaves",
    "def once(m, i, o):\n    handle.remove()\n    return o * 2\n"
    "handle = net.{p}.register_forward_hook(once)",
    choices={"p": ("sn", "second", "out")},
    libraries=("snncc", "sj"),
)
setup(
    "hook counts",
    "net.{p}.register_forward_hook(lambda m, i, o: net.seen.append(len(i)))",
    "net.{p}.register_forward_pre_hook(lambda m, i: net.box.update(shape=i[0].shape))",
    "net.register_forward_hook(lambda m, i, o: setattr(net, 'calls', net.calls + 1))",
    "net.{p}.register_full_backward_hook(lambda m, i, o: None)",
    "net.register_state_dict_post_hook(lambda *given: None)",
    choices={"p": ("sn", "second", "out")},
    harmless=True,
)
setup(
    "hook by calls",
    "def late(m, i, o):\n    net.calls += 1\n"
    "    return 1 - o if net.calls > {k} else o\nnet.{p}.register_forward_hook(late)",
    choices={"p": ("sn", "second"), "k": (1, 2, 4, 12)},
    libraries=("snncc", "sj"),
)

# -- instances that are not as their class says --------------------------------------------------

setup(
    "own charge",
    "net.sn.charge = lambda v, x: torch.where(x > {k}, -v - x, v + x)",
    "net.sn.charge = lambda v, x: (v + x).clamp(min=-{k})",
    "net.sn.charge = lambda v, x: v + x.clamp(max={k})",
    "net.sn.charge = lambda v, x: v + x + (v * v > {k})",
    choices={"k": (3.0, 7.0, 20.0)},
    **OURS,
)
setup(
    "own step",
    "plain = net.sn.{f}\nnet.sn.{f} = lambda x, *rest: plain(x.clamp(max={k}), *rest)",
    "plain = net.sn.{f}\nnet.sn.{f} = lambda x, *rest: 1 - plain(x, *rest)",
    "plain = net.sn.{f}\nnet.sn.{f} = lambda x, *rest: plain(x, *rest) * (x < {k})",
    "plain = net.sn.{f}\nnet.sn.{f} = lambda x, *rest: plain(x * (1 + (x.abs() > {k})), *rest)",
    choices={"f": ("forward", "single_step_forward", "multi_step_forward"), "k": (3.0, 8.0)},
    **SJ,
)
setup(
    "own forward",
    "net.sn.forward = lambda x, *rest: (x >= 0.5).to(x)",
    "net.out.forward = lambda x, *rest: (x >= 0.5).to(x)",
    "net.out.forward = lambda x, plain=net.out.forward: plain(x) * (x < 4)",
    libraries=("snncc", "sj"),
)
setup(
    "own forward of a layer",
    "plain = net.second.forward\nnet.second.forward = lambda z: plain(z) * 2",
    "plain = net.second.forward\nnet.second.forward = lambda z: plain(z) + z.sum() * 0",
    "net.second.forward = "
    "lambda z, f=net.second.forward: f(z) if z.shape[0] < 9 * net.plan.steps else f(1 - z)",
)
setup(
    "surrogate",
    "set_surrogate(net.{p}, {f})",
    choices={
        "p": ("sn", "out"),
        "f": (
            "lambda v: v",
            "torch.sigmoid",
            "lambda v: (v >= 0).to(v) + (v >= 1).to(v)",
            "lambda v: (v > 0).to(v)",
            "lambda v: (v >= 0).to(v) * 2",
            "lambda v: (v >= 0).to(v) * (v < 4)",
            "lambda v: (v >= 0.25).to(v)",
            "lambda v: v.clamp(0, 1)",
            "lambda v: ((v >= 0) & (v < 15)).to(v)",
        ),
    },
)
setup(
    "changing surrogate",
    "def late(v):\n    net.calls += 1\n"
    "    return ((v >= 0) if net.calls < {k} else (v >= 1)).to(v)\nset_surrogate(net.{p}, late)",
    choices={"p": ("sn", "out"), "k": (2, 5, 9, 30)},
)
setup(
    "equal surrogate",
    "set_surrogate(net.{p}, lambda v: (v {o} 0).to(v))",
    choices={"p": ("sn", "out"), "o": (">=", ">")},
)
setup(
    "another class",
    "net.sn.__class__ = Inverting",
    "net.out.__class__ = Sub",
    "net.sn.__class__ = type('IF', (IF,), {'charge': lambda self, v, x: v - x})",
    "net.sn.__class__ = type('IF', (IF,), {'threshold': property(lambda s: 2.0)})",
    **OURS,
)
setup(
    "odd parameters",
    "net.sn.reset = 'Hard'",
    "net.sn.threshold = torch.tensor(0.5)",
    "net.sn.v_reset = 0.25",
    "net.sn.v_reset = -0.5",
    "net.sn.threshold = -0.5",
    "net.sn.threshold = 0.0",
    "net.sn.threshold = np.float64(0.75)",
    "net.sn.threshold = True",
    "net.sn.threshold = torch.linspace(1, 2, net.plan.shape[-1]).mul(8).round() / 8",
    "net.sn.threshold = 1e308",
    "net.sn.v_reset = 2.0",
    "net.sn.reset = 'none'",
    "net.sn.v_reset = torch.tensor(0.25)",
    **OURS,
)
setup(
    "odd parameters of SpikingJelly",
    "net.sn.v_reset = 0.25",
    "net.sn.v_threshold = -0.5",
    "net.sn.v_threshold = torch.tensor(0.5)",
    "net.sn.v_reset = -0.5",
    "net.sn.store_v_seq = True",
    "net.sn.v_threshold = torch.linspace(1, 2, net.plan.shape[-1]).mul(8).round() / 8",
    "net.sn.detach_reset = True",
    "net.sn.v_reset = 2.0",
    "net.sn.v_threshold = 0",
    **SJ,
)
setup(
    "parametrized weight",
    "nn.utils.parametrize.register_parametrization(net.second, 'weight', Twice())",
    "nn.utils.parametrize.register_parametrization(net.first, 'bias', Twice())",
    harmless=True,
)
setup(
    "weights shared",
    "net.second = net.first",
    "net.second.weight = net.first.weight",
    "net.second.weight.data = net.first.weight.data.clone()",
    harmless=True,
)
setup("neuron shared", "net.out = net.sn")
setup(
    "training",
    "net.norm.eps = 1e-5; net.train()",
    "net.norm.eps = 1e-5; net.norm.train()",
    "net.second = nn.Sequential(net.second, nn.Dropout(0.5).train())",
    "net.sn.train()",
    exact=False,
)

# -- parameters changed while it runs ------------------------------------------------------------

current("threshold before call", "set_threshold(net.sn, {k}); return a", choices={"k": (2.0, 0.25)})
spikes(
    "threshold after call",
    "set_threshold(net.sn, {k}); return a",
    choices={"k": (2.0, 0.25)},
    inputs=("spike", "count", "analog"),
)
current(
    "threshold by step",
    "set_threshold(net.sn, 0.5 + net.t); return a",
    "set_threshold(net.out, 0.5 + net.t % 2); return a",
    styles=("loop",),
)
current(
    "threshold by call",
    "net.calls += 1; set_threshold(net.sn, 0.5 * net.calls); return a",
    "net.calls += 1; set_threshold(net.out, 0.5 if net.calls < {k} else 2.0); return a",
    choices={"k": (2, 5, 9)},
)
current(
    "threshold by data",
    "set_threshold(net.sn, 1.0 if a.sum() > 0 else 2.0); return a",
    "net.sn.v_threshold = a.detach().mean() * 0 + 1.0; return a",
    "set_threshold(net.sn, float(a.shape[{N}])); return a",
)
current(
    "membrane by step",
    "net.sn.v = 0.0; return a",
    "net.sn.v = torch.zeros_like(a); return a",
    "net.sn.v = net.sn.v * 0.5; return a",
    "net.sn.v = 0.25; return a",
    "net.sn.reset(); return a",
    "net.sn.v_reset = -0.25 * net.t; return a",
    "if net.t == 2:\n    net.sn.reset()\nreturn a",
    "if isinstance(net.sn.v, torch.Tensor):\n    net.sn.v.mul_(0.5)\nreturn a",
    "if isinstance(net.sn.v, torch.Tensor):\n    net.sn.v.data.clamp_(min=0)\nreturn a",
    **STEPWISE,
    **SJ,
)
given(
    "membrane at the start",
    "net.sn.v = 0.25; return a",
    "net.sn.v = 0.0; return a",
    "net.sn.v = torch.tensor(0.25); return a",
    "net.out.v = -1.0; return a",
    "net.sn.set_reset_value('v', 0.25); net.sn.reset(); return a",
    **SJ,
)
spikes(
    "membrane read",
    "a + net.sn.v",
    "a + (net.sn.v > 0).to(a)",
    "a * float(net.sn.v.sum() > 0)",
    **STEPWISE,
    **SJ,
)
given(
    "weights changed",
    "net.second.weight.data.mul_({k}); return a",
    "with torch.no_grad():\n    net.second.weight[0] = 0.5\nreturn a",
    "net.second.bias.data.add_(0.25); return a",
    "net.second.bias = nn.Parameter(net.second.bias * 2); return a",
    "net.second.weight.data = net.second.weight.data.flip(0); return a",
    "net.first.weight.data.view(-1)[0].add_(0.5); return a",
    choices={"k": (2.0, -1.0, 0.5)},
)
spikes(
    "weights changed late",
    "net.second.weight.data.mul_({k}); return a",
    "net.first.weight.data.mul_({k}); return a",
    "net.table.mul_({k}); return a * net.table",
    "b = a * net.table; net.table.add_(1); return b",
    choices={"k": (2.0, 0.5)},
)
given(
    "no change of weights",
    "net.second.weight.data.mul_(1.0); return a",
    "net.table.data.copy_(net.table.data); return a",
    "net.second.weight.grad = None; return a",
    "net.second.weight.requires_grad_(False); return a",
    harmless=True,
)
spikes(
    "training flag",
    "net.train(False); return a",
    "F.dropout(a, 0.5, net.training)",
    "a * 2 if net.training else a",
    "a if not net.sn.training else 1 - a",
    "F.dropout(a, 0.0, True)",
    harmless=True,
)

# -- state that outlives a call or a step --------------------------------------------------------

spikes(
    "counter",
    "net.calls += 1; return a * net.calls",
    "net.calls += 1; return a if net.calls < {k} else 1 - a",
    "net.calls = (net.calls + 1) % 3; return a * (1 + (net.calls == 2))",
    choices={"k": (2, 3, 5, 8, 13, 21)},
)
spikes(
    "counter in a buffer",
    "net.n += 1; return a * net.n",
    "net.n.add_(1); return a * (net.n < {k})",
    "net.n = net.n + 1; return a + (net.n > {k}).to(a)",
    "net.n[...] = net.n + 1; return a * net.n",
    setup="net.register_buffer('n', torch.zeros(()))",
    choices={"k": (2, 4, 9, 25)},
)
spikes(
    "list grows",
    "net.seen.append(1); return a * len(net.seen)",
    "net.seen.append(a); return a if len(net.seen) < {k} else 1 - a",
    "net.seen.append(a.detach()); return a + (net.seen[0].mean() > 0.5)",
    choices={"k": (2, 4, 9)},
)
spikes(
    "log nobody reads",
    "net.seen.append(tuple(a.shape)); return a",
    "net.calls += 1; return a",
    "net.box['last'] = a.detach(); return a",
    "net.box['rate'] = a.mean(); return a",
    "net.seen.append(a.detach().clone()); return a",
    "net.last_shape = a.shape; return a",
    "net.box.setdefault('first', x); return a",
    harmless=True,
)
spikes(
    "shared state",
    "a * Shared.bump()",
    "a if Shared.bump() < {k} else 1 - a",
    "type(net).calls2 = getattr(type(net), 'calls2', 0) + 1; return a * Shared.bump()",
    "a * (1 + Shared.bump() % 2)",
    choices={"k": (3, 8, 30)},
)
spikes(
    "hidden counter",
    "a * net.bump()",
    "a if net.bump() < {k} else 1 - a",
    setup="def bump(seen=[0]):\n    seen[0] += 1\n    return seen[0]\nnet.bump = bump",
    choices={"k": (2, 5, 20)},
)
spikes(
    "iterator",
    "a * next(net.numbers)",
    "a * (1 + next(net.numbers) // {k})",
    setup="import itertools\nnet.numbers = itertools.count(1)",
    choices={"k": (3, 9)},
)
spikes(
    "object with state",
    "net.holder.n += 1; return a * (1 + (net.holder.n > {k}))",
    setup="import types\nnet.holder = types.SimpleNamespace(n=0)",
    choices={"k": (1, 5)},
)
spikes(
    "first call",
    "if 'scale' not in net.box:\n    net.box['scale'] = a.shape[{N}]\nreturn a * net.box['scale']",
    "if not net.seen:\n    net.seen.append(x.mean() > 0.3)\nreturn a * net.seen[0].to(a)",
    "if not net.seen:\n    net.seen.append(x[..., :1] * 0 + 1)\n    return a * 2\nreturn a",
    "first, net.calls = net.calls == 0, 1\nreturn a * 2 if first else a",
    "if not net.seen:\n    net.seen.append(0)\n    return a\nreturn 1 - a",
)
spikes(
    "made on the first call",
    "if 'k' not in net.box:\n    net.box['k'] = torch.full((), 2.0)\nreturn a * net.box['k']",
    "if not hasattr(net, 'k'):\n    net.k = torch.ones(a.shape[-1])\nreturn a * net.k",
    harmless=True,
)
spikes(
    "running mean",
    "net.table.mul_(0.5).add_(0.5 * a.flatten(0, -2).amax(0))\nreturn a * net.table",
    "net.table.lerp_(a.flatten(0, -2).mean(0), 0.5)\nreturn a - net.table",
    "net.table = 0.5 * net.table + a.flatten(0, -2).mean(0)\nreturn a + (net.table > 0.75).to(a)",
    exact=False,
)
spikes(
    "statistic nobody reads",
    "net.table = 0.5 * net.table + a.detach().flatten(0, -2).mean(0)\nreturn a",
    "net.table.copy_(a.detach().flatten(0, -2).mean(0)); return a",
    "net.box['rate'] = float(a.mean()); return a",
    harmless=True,
)
spikes(
    "answer of the last call",
    "old = net.box.get('a')\nnet.box['a'] = a\n"
    "return a + old if old is not None and old.shape == a.shape else a",
    "old = getattr(net, 'old', None)\nnet.old = a.detach().clone()\n"
    "return a * (1 - old) if old is not None and old.shape == a.shape else a",
    "net.seen.append(x)\nold = net.seen[max(0, len(net.seen) - {k})]\n"
    "return a + old if old.shape == a.shape else a",
    choices={"k": (1, 2, 3)},
)
spikes(
    "membrane by hand",
    "v = net.box.get('v')\nv = a + (v if v is not None and v.shape == a.shape "
    "else 0.0)\nfired = (v >= 2.0).to(v)\nnet.box['v'] = v * (1 - fired)\nreturn fired",
    "v = getattr(net, 'v', None)\nv = a + (0.0 if v is None or v.shape != a.shape else v)\n"
    "fired = (v >= 2.0).to(v)\nnet.v = v - 2 * fired\nreturn fired",
    styles=("single", "loop"),
)
spikes(
    "toggle",
    "net.flip = not getattr(net, 'flip', False)\nreturn a if net.flip else 1 - a",
    "net.sign = -getattr(net, 'sign', -1)\nreturn a * net.sign",
)
spikes(
    "scratch",
    "net.table.zero_().add_(2); return a * net.table",
    "net.box.clear(); return a",
    "net.calls = 3; return a * net.calls",
    "net.seen[:] = [2.0]; return a * net.seen[0]",
    harmless=True,
)

# -- writes --------------------------------------------------------------------------------------

_KEPT = "kept = torch.zeros_like(a)\n{w}\nreturn a + 3 * kept"
for _name, _writes in {
    "quiet write": (
        "kept[:].add_(net.full(x))",
        "kept.view(-1).add_(net.full(x).reshape(-1))",
        "kept[..., 0] += net.full(x)[..., 0]",
        "kept.unbind(-1)[0].add_(net.full(x)[..., 0])",
        "kept.data.add_(net.full(x))",
        "kept.detach().add_(net.full(x))",
        "kept.transpose(-1, -2).copy_(net.full(x).transpose(-1, -2))",
        "kept.select(-1, 0).copy_(net.full(x)[..., 0])",
        "kept.narrow(-1, 0, 2).fill_(1)",
        "kept.diagonal(dim1=-2, dim2=-1).add_(net.full(x).diagonal(dim1=-2, dim2=-1))",
    ),
    "write by a list of tensors": (
        "torch._foreach_add_([kept], [net.full(x)])",
        "torch.add(kept, net.full(x), out=kept)",
        "torch.mul(net.full(x), 1, out=kept)",
        "torch.add(kept[:], a, out=kept[:])",
        "torch._foreach_mul_([a], 2.0)",
    ),
    "write with indices": (
        "kept[a > 0] = 1.0",
        "kept.masked_fill_(net.full(x) > 0, 1.0)",
        "kept.index_put_((torch.tensor([0]),), net.full(x)[:1])",
        "kept[..., 1:] = a[..., :-1]",
        "kept.scatter_(-1, x.argmax(-1, keepdim=True), 1.0)",
        "kept[0] = a[0]",
        "kept.index_add_(-1, torch.tensor([0]), a[..., :1])",
        "kept.put_(torch.tensor([0]), a.sum()[None])",
        "kept.masked_scatter_(x > 0, a)",
        "kept.index_fill_(-1, torch.tensor([1]), 1.0)",
    ),
    "write past torch": (
        "kept.numpy()[...] = a.numpy()",
        "np.add(kept.numpy(), net.full(x).numpy(), kept.numpy())",
        "kept.untyped_storage().copy_(a.contiguous().untyped_storage())",
        "kept.set_(a)",
        "kept.data = a.data",
        "kept.numpy()[..., 0] = 1.0",
        "kept.detach().numpy()[...] = 1.0",
        "torch.from_dlpack(kept).add_(a)",
        "kept.as_strided((1,), (1,)).fill_(a.sum())",
    ),
}.items():
    spikes(_name, _KEPT, choices={"w": _writes})
spikes(
    "write into spikes",
    "a[..., 0] *= 2; return a",
    "a[..., 0] = 0; return a",
    "b = a.view_as(a); b.mul_(0.0); return a",
    "b = a.detach(); b.mul_(2); return a",
    "a.data.mul_(2); return a",
    "b = a[..., :1]; b.add_(1); return a",
    "a.T.add_(1); return a",
    "b = a.clone(); b[..., 0] = 1; return b",
    "a.squeeze().neg_(); return a",
)
given(
    "write into the input",
    "a.mul_(2); return a",
    "a[..., 0] = 1; return a",
    "a.data.add_(1); return a",
    "b = a.view(-1); b.add_(1); return a",
    "a.zero_().add_(1); return a",
)
spikes(
    "input used up",
    "b = a + x; x.zero_(); return b",
    "x.add_(1); return a * 2",
    "x.data.mul_(2); return a + x",
)
spikes(
    "write into constants",
    "k = torch.ones(()); k.mul_(2); return a * k",
    "k = torch.zeros(a.shape[-1]); k[0] = 1; return a * k",
    "k = [1.0]; k[0] += 1; return a * k[0]",
    "k = torch.ones(a.shape[-1]); k[::2].mul_(2); return a * k",
    "k = torch.arange(a.shape[-1]).to(a); k.clamp_(max=2); return a * k",
)
spikes(
    "write into constants after use",
    "k = torch.ones(a.shape[-1]); b = a * k; k.mul_(2)\nreturn b + a * k",
    "k = torch.ones(a.shape[-1]); v = k[:]; b = a * k; v.add_(1)\nreturn b * k",
    "k = torch.ones(a.shape[-1]); k.data.add_(1); b = a * k\nk.numpy()[0] = 5; return b + a * k",
)

# -- branches ------------------------------------------------------------------------------------

spikes(
    "branch on samples",
    "1 - a if {s} > {k} else a",
    "a * 2 if {s} == {k} else a",
    "a + (0 if {s} % 7 else 1)",
    choices={
        "s": (
            "x.shape[{N}]",
            "x.size({N})",
            "a.size()[{N}]",
            "len(x.movedim({N}, 0))",
            "x.numel() // x.movedim({N}, 0)[0].numel()",
            "x.nelement() // 8",
        ),
        "k": (1, 5, 16, 19),
    },
)
spikes(
    "branch on layout",
    "a if x.is_contiguous() else a * 2",
    "a * x.stride(-1)",
    "a * (1 + (x.storage_offset() > 0))",
    "a * (1 + x._version)",
    "a * (1 + (x.untyped_storage().nbytes() > 9999))",
    "a * (1 + x.stride()[0] % 5)",
)
spikes(
    "branch on text",
    "a * (2.0 if '7' in {t} else 1.0)",
    "a * len({t})",
    choices={
        "t": (
            "repr(x.sum())",
            "str(x.sum())",
            "f'{x.sum()}'",
            "format(x.sum())",
            "'%s' % x.sum()",
            "repr(x)",
            "str(a.shape)",
            "str(x.tolist())",
        )
    },
)
spikes(
    "branch on data",
    "a if {c} else 1 - a",
    choices={
        "c": (
            "x.sum() < 0.9 * x.numel()",
            "x.any()",
            "bool((x > 0).any())",
            "x.mean().item() < 0.9",
            "int(x.max()) < 2",
            "not x.all()",
            "len(x.nonzero())",
            "x.count_nonzero() > 0",
            "torch.equal(x, x.clone())",
            "torch.allclose(x, x * 0)",
            "x.unique().numel() > 1",
            "x[x > 0].numel()",
            "x.masked_select(x > 0).shape[0]",
            "float(x.sum()) != x.numel()",
            "max(x.flatten()) > 0",
            "sorted(x.flatten().tolist())[-1] > 0",
            "x.argmax().item() < 9",
            "1.0 in x",
            "0 in x",
            "x.sum() in (0.0, 3.0)",
            "torch.is_nonzero(x.sum())",
            "math.floor(x.sum()) > 0",
            "round(x.sum()) > 1",
            "np.asarray(x).sum() > 0",
            "x.numpy().max() > 0",
            "x.isnan().any()",
            "list(x.flatten())[0] == 0",
            "torch.where(x > 0)[0].numel() > 0",
            "x.to_sparse()._nnz() > 0",
            "x[..., :1].sum().__bool__()",
            "x.untyped_storage()[7] == 0",
            "x.sum().to(torch.int).__index__() > 0",
            "copy.deepcopy(x).sum() > 0",
            "b'?' in pickle.dumps(x)",
            "torch.tensor(x.tolist()).sum() > 0",
            "memoryview(x.numpy()).nbytes > 0",
            "(x.sum() > 0) is True",
            "x.sum() is None",
        )
    },
)
spikes(
    "branch by exception",
    "try:\n    assert x.sum() < 0.95 * x.numel()\nexcept AssertionError:\n"
    "    return 1 - a\nreturn a",
    "try:\n    torch.linalg.cholesky(torch.eye(2) * (1 - net.full(x).max()))\n"
    "except Exception:\n    return 1 - a\nreturn a",
    "try:\n    x[net.full(x).sum().int()]\nexcept IndexError:\n    return a * 2\nreturn a",
    "try:\n    return a.view(-1, 20, a.shape[-1]) * 0 + a\nexcept RuntimeError:\n    return a",
    "try:\n    bool(x.any())\nexcept Exception:\n    return 1 - a\nreturn a",
    "import contextlib\nwith contextlib.suppress(Exception):\n    a = a * x.sum().item()\nreturn a",
    "try:\n    int(x.sum())\nfinally:\n    return a",
)
spikes(
    "branch on the surroundings",
    "a if x.dtype == torch.float64 else a * 2",
    "a if torch.is_tensor(x) else 1 - a",
    "a if type(x) is torch.Tensor else 1 - a",
    "a if x.device.type == 'cpu' else a * 2",
    "a if torch.get_default_dtype() == torch.float64 else 1 - a",
    "a * (1 + x.is_floating_point())",
    "a if net.training else a * 2",
    "a * x.dim()",
    "a * x.element_size()",
    harmless=True,
)
spikes(
    "branch on gradients",
    "a if torch.is_grad_enabled() else a * 2",
    "a if x.requires_grad else a * 2",
    "a if x.grad_fn is None else 1 - a",
)
spikes(
    "branch on being watched",
    "a if torch.overrides._get_current_function_mode() is None else 1 - a",
    "a if not any('recorder' in f.filename for f in __import__('inspect').stack(0)) else 1 - a",
    "a if 'forward' not in vars(net.sn) else 1 - a",
    "a if not torch.nn.modules.module._global_forward_hooks else 1 - a",
    "a if torch._C._len_torch_function_stack() == 0 else 1 - a",
    "a if not torch._C._is_torch_function_mode_enabled() else 1 - a",
)

# -- out of sight --------------------------------------------------------------------------------

spikes(
    "out of sight",
    "with torch._C.DisableTorchFunction():\n    return {e}",
    "with torch._C.DisableTorchFunctionSubclass():\n    return {e}",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n"
    "    return pool.submit(lambda: {e}).result()",
    "with torch._C.DisableTorchFunction():\n    a.mul_(2)\nreturn a",
    "with torch._C.DisableTorchFunction():\n    k = bool(x.all())\nreturn 1 - a if k else a",
    "with torch._C.DisableTorchFunction():\n    k = float(x.mean() > 0.9)\nreturn a * (1 + k)",
    "with torch._C.DisableTorchFunction():\n    k = net.full(x)\nreturn a + k",
    choices={"e": ("a * 2", "a + x", "1 - a")},
)
spikes(
    "numpy",
    "torch.from_numpy(x.numpy() * 2)",
    "torch.as_tensor(np.where(a.numpy() > 0, 2.0, 0.0))",
    "torch.tensor(a.tolist())",
    "torch.from_numpy(np.maximum(a, x))",
    "a + torch.as_tensor(np.asarray(x))",
    "a + torch.from_numpy(np.array([1.0, 2.0])).sum()",
    "torch.from_dlpack(a) * 2",
    "a * np.float64(2.0)",
    "np.float64(2.0) * a",
    "a + torch.frombuffer(x.numpy().tobytes(), dtype=x.dtype).view(x.shape)",
    "torch.Tensor(a.double().numpy().astype('f4')).to(a)",
)
spikes(
    "scripts",
    "scripted(a, x)",
    "scripted_branch(a, x)",
    "torch.jit.trace(lambda z: z * 2, (a,), check_trace=False)(a)",
)
spikes("autograd function", "Odd.apply(a * 0.5)", "Odd.apply((a + x) * 0.25)", "Odd.apply(a - x)")
spikes("autograd function with state", "Counting.apply(a)", setup="Counting.calls = 0")
spikes(
    "subclass of tensor",
    "a.as_subclass(Doubling) + 1",
    "(a.as_subclass(Doubling) + x) * 1",
    "torch.Tensor(a.as_subclass(Doubling) + x) + 0",
    "nn.Parameter(a, False) * 2",
    "nn.Buffer(a) + x",
)
spikes(
    "functional transforms",
    "torch.vmap(lambda z: z * 2)(a)",
    "torch.func.functional_call(Twice(), {}, (a,))",
    "torch.utils.checkpoint.checkpoint(lambda z: z * 2, a, use_reentrant=False)",
    "torch.vmap(lambda z: z + z.sum())(a)",
    "torch.func.jvp(lambda z: z * z, (a,), (a,))[1]",
    "functools.reduce(torch.add, [a, x, a])",
    "torch.einsum('...i,i->...i', a, net.table)",
    "net.each(Twice(), a)",
    "torch.nn.utils.stateless.functional_call(Twice(), {}, a)",
)

# -- chance --------------------------------------------------------------------------------------

spikes(
    "chance",
    "a * (torch.rand_like(a) < 0.5)",
    "torch.bernoulli(a * 0.5)",
    "F.dropout(a, 0.5)",
    "a + random.random()",
    "a * np.random.rand()",
    "a + torch.randn(a.shape[-1])",
    "a[..., torch.randperm(a.shape[-1])]",
    "a.clone().bernoulli_(0.5)",
    "F.alpha_dropout(a, 0.5, True)",
    "F.rrelu(a - 1, training=True)",
    "a * torch.randint(0, 2, ())",
    "a * torch.rand(())",
    "a * (1 + (torch.initial_seed() % 2))",
    "a * torch.rand(a.shape[-1], generator=net.chance)",
    "torch.nn.init.uniform_(torch.empty(a.shape[-1])) + a",
    setup="net.chance = torch.Generator().manual_seed(1)",
    exact=False,
)
spikes(
    "seeded chance",
    "torch.manual_seed(0); return a * torch.rand(a.shape[-1]).round()",
    "torch.manual_seed(a.shape[{N}]); return a * torch.rand(()).mul(4).round()",
    "a * torch.randint(0, 3, a.shape[-1:], generator=torch.Generator().manual_seed(3))",
    "g = torch.Generator().manual_seed(3)\nreturn a * torch.randint(0, 3, a.shape, generator=g)",
    "torch.manual_seed(int(x.sum())); return a * torch.rand(()).mul(4).round()",
    "return a * random.Random(4).randint(1, 3)",
)

# -- neurons that are quiet on the example -------------------------------------------------------

spikes(
    "quiet neuron",
    "a + net.full(x)",
    "a * (1 - net.full(x))",
    "torch.where(net.full(x) > 0, 1 - a, a)",
    "a + 2 * net.full(1 - x)",
    harmless=True,
    **SPIKE,
)
spikes(
    "division by a quiet neuron",
    "(a / (1 - net.full(x))).clamp(max=9)",
    "torch.nan_to_num(a / (1 - net.full(x)), 3.0, 7.0)",
    "a * torch.sqrt(1 - 2 * net.full(x)).nan_to_num(5.0)",
    "a + torch.log(1 - net.full(x)).clamp(min=-4)",
    "(a * 1e308 * (1 + 99 * net.full(x))).clamp(max=1)",
    "torch.where((net.full(x) / net.full(x)).isnan(), a, 1 - a)",
    **SPIKE,
)
spikes(
    "quiet and rounded",
    "torch.fmod(a - 2 * net.full(x), 3.0)",
    "(a.bool() + net.full(x).bool()).to(a)",
    "torch.round(a * 3 + net.full(x) * 12, decimals=-1)",
    "(a.byte() - net.full(x).byte()).to(a)",
    **SPIKE,
)

# -- constants of the shape ----------------------------------------------------------------------

spikes(
    "constant of the samples",
    "a * x.shape[{N}]",
    "a / x.size({N}) * 12",
    "a * a.numel() / a[0].numel()",
    "a * torch.ones_like(a).sum()",
    "a + torch.ones_like(a).cumsum({N})",
    "a * torch.zeros_like(a).numel()",
    "a * torch.arange(a.shape[{N}]).to(a).max()",
    "a + torch.full_like(a, a.shape[{N}])",
    "a * torch.tensor(a.shape).prod()",
    "a * a.new_ones(a.shape).mean({N}).sum()",
    "a + torch.linspace(0, 1, a.shape[{N}])[1 % a.shape[{N}]]",
    "a * math.prod(a.shape)",
    "a * sum(1 for _ in a.movedim({N}, 0))",
    "a * torch.ones_like(a).norm()",
    "a + torch.eye(a.shape[{N}]).sum()",
    exact=False,
)
spikes(
    "constant of the steps",
    "a * a.shape[0]",
    "a / len(a) * 4",
    "a * torch.ones_like(a).sum(0).max()",
    "a * torch.arange(a.shape[0]).to(a).view(-1, *[1] * (a.dim() - 1))",
    "a + torch.ones_like(a).cumsum(0)",
    "a * torch.ones_like(a).mean()",
    "a - a.sum(0, keepdim=True) / len(a)",
    "a[torch.arange(len(a) - 1, -1, -1)]",
    "a.flip(0)",
    "a * a.mean((0, 1), keepdim=True)",
    "a.cumsum(0)",
    "torch.roll(a, 1, 0)",
    exact=False,
    **MULTI,
)
spikes(
    "constant of the features",
    "a * a.shape[-1]",
    "a * torch.arange(a.shape[-1])",
    "a + torch.ones(a.shape[-1])",
    "a * torch.eye(a.shape[-1])[0]",
    "a @ torch.eye(a.shape[-1]).flip(0)",
    "a * torch.ones_like(a).sum(-1).max()",
    "a * torch.ones_like(a[..., 0]).mean()",
    harmless=True,
)
spikes(
    "samples mixed",
    "a - a.mean({N}, keepdim=True)",
    "a.flip({N})",
    "a * a.amax({N}, keepdim=True)",
    "a.roll(1, {N})",
    "a + a.movedim({N}, 0)[0].unsqueeze({N})",
    "a.sort({N})[0]",
    "a * a.sum()",
    "F.batch_norm(a.flatten(0, -2), None, None, training=True).view_as(a)",
    "a.cumsum({N})",
    exact=False,
)

# -- sets of values ------------------------------------------------------------------------------

spikes(
    "edge of the counts",
    "(x >= {k}).to(x)",
    "(x > {k}).to(x) + a",
    "(x == {k}).to(x)",
    "(x < {k}).to(x)",
    "(x * x >= {k} * 255).to(x)",
    "x.clamp(max={k}) % 64",
    "torch.where(x > {k}, 1 - a, a)",
    choices={"k": (253, 254, 255, 255.5, 256, 300)},
    **COUNT,
)
current(
    "edge of the counts, linear",
    "a + (x >= {k}).to(x)",
    "a * 0 + (x - {k})",
    choices={"k": (255, 256, 300)},
    **COUNT,
)
spikes(
    "equal floats",
    "(a * 0.1 + x * 0.2 == 0.3).to(a)",
    "((a + x) / 3 * 3 == 1).to(a)",
    "(torch.sqrt(a + x) ** 2 == 2).to(a)",
    "(a.mean(-1, keepdim=True) == 1 / 3).to(a) * a",
    "((a + x) * 0.1 >= 0.3).to(a)",
    "(torch.exp(a) - 1 == math.e - 1).to(a)",
    "(a * 0.7 + 0.1 * x == 0.8).to(a)",
    "(a.sum(-1, keepdim=True) / 6 == 2 / 3).to(a) * a",
    **SPIKE,
)
spikes(
    "tables of counts",
    "(a + x >= 2).to(a)",
    "(x >= 3).to(a)",
    "a * (1 - (x > 0).to(a))",
    "((a + x) % 2 == 1).to(a)",
    "torch.logical_or(a, x).to(a)",
    "torch.logical_xor(a, x).to(a)",
    "(a == x).to(a)",
    "(a - x).abs().clamp(max=1)",
    harmless=True,
)
spikes(
    "not a number",
    "torch.where(a > 0, a, float('nan')).nan_to_num(0.5)",
    "torch.where(x > 0, torch.inf, a).clamp(max=3)",
    "(a / x).nan_to_num(0.0).clamp(max=1)",
    "torch.clamp(a / x, max=1)",
    "(a / a).isnan().to(a)",
    "(1 / a).clamp(max=4)",
    "torch.where(a > 0, 1.0, 0.0 / a.sum() * 0 + 0.5)",
    "(a * float('inf')).nan_to_num(0.5, 2.0)",
    "torch.maximum(a, a / x)",
    "(0 * (a / x)).nan_to_num(1.0)",
    "torch.nan_to_num(a * torch.nan, nan=2.0)",
    "(a / 0).clamp(-1, 1).nan_to_num(0.25)",
    "(torch.log(a) > -5).to(a)",
)
spikes(
    "minus zero",
    "torch.copysign(torch.ones_like(a), -a)",
    "(1 / -a).clamp(-2, 2)",
    "torch.signbit(-a).to(a)",
    "torch.signbit(a * 0 - x * 0).to(a) + a",
    "torch.atan2(a * 0, -a)",
    exact=False,
)
spikes(
    "huge and tiny",
    "(a * 1e308 * 10).clamp(max=1)",
    "(a * 1e-320 > 0).to(a)",
    "(a * 1e-200 * 1e-200 > 0).to(a)",
    "(x * 2.0 ** 60 - a * 2.0 ** 60) / 2.0 ** 60",
    "(a * 1e200) ** 2 * 0 + a",
    "(a * 2.0 ** -70 * 2.0 ** 70)",
    "torch.exp(a * 800).clamp(max=2)",
    "(a * 5e-324 * 0.5 + x).clamp(max=1)",
)

# -- registered neurons and what is said of them -------------------------------------------------

setup(
    "registered, right",
    "net.sn = Own()",
    "net.sn = Own(fire=lambda v, t: v > 1.0, strict=True)",
    "net.sn = Own(lambda v, i, t: 0.5 * v + i, decay=0.5)",
    "net.sn = Own(after=lambda v, z, t: v - z, reset='soft')",
    "net.sn = Own(start=0.5, initial=0.5)",
    "net.sn = Own(lambda v, i, t: v + 0.5 * (i - v), leak=0.5, decay_input=True)",
    harmless=True,
    **MULTI,
)
for _what, _how in {
    "strictness": ("fire=lambda v, t: v > 1.0", "strict=True", "fire=lambda v, t: v > 1.0 - 1e-3"),
    "floor": (
        "lambda v, i, t: (v + i).clamp(min=-{k})",
        "lambda v, i, t: torch.maximum(v + i, -i * 0 - {k})",
    ),
    "cap": (
        "lambda v, i, t: (v + i).clamp(max={k})",
        "lambda v, i, t: v + i.clamp(max={k})",
        "after=lambda v, z, t: (v - z).clamp(max={k}), reset='soft'",
        "fire=lambda v, t: (v >= 1.0) & (v < {k})",
    ),
    "gain": (
        "lambda v, i, t: v + 1.125 * i",
        "lambda v, i, t: v + i * (1 + (i > {k}))",
        "lambda v, i, t: v + i + 0.125",
        "lambda v, i, t: v + torch.where(i > {k}, i - {k}, i)",
    ),
    "decay": (
        "lambda v, i, t: 0.5 * v + i, decay=0.25",
        "lambda v, i, t: 0.5 * v + 0.5 * i, decay=0.5",
        "lambda v, i, t: v - 0.125 * (v > 0) + i",
    ),
    "reset": (
        "after=lambda v, z, t: v - z",
        "reset='soft'",
        "after=lambda v, z, t: v * (1 - z) + 0.25 * z",
        "reset='none'",
        "after=lambda v, z, t: (v - {k} * z).clamp(min=0)",
    ),
    "order": (
        "lambda v, i, t: v * (v < 1.0) + i, after=lambda v, z, t: v",
        "fire=lambda v, t: v.roll(1, -1) >= 1.0",
    ),
    "start": ("start=0.5", "start=0.125", "initial=0.25"),
    "time": (
        "lambda v, i, t: v + i * (1 + (t >= {t}))",
        "fire=lambda v, t: v >= 1.0 + (t > {t})",
        "lambda v, i, t: v + i / (1 + t)",
    ),
    "place": (
        "fire=lambda v, t: v >= 1.0 + (v.shape[0] > 9)",
        "lambda v, i, t: v + i + i[..., :1] * 0.125",
        "lambda v, i, t: v + i - (i.mean() > {k}).to(i)",
        "lambda v, i, t: v + i * (1 - (i.amin() >= 0.75).to(i))",
    ),
}.items():
    setup(
        f"registered, wrong {_what}",
        *(f"net.sn = Own({how})" for how in _how),
        choices={"k": (3.0, 5.0, 8.0, 12.0, 20.0), "t": (2, 3, 4)},
        **MULTI,
    )

# -- what forward returns ------------------------------------------------------------------------

returned("answer changed", "1 - a", "a * 2", "a.clone()", "a.contiguous()", "a + 0", harmless=True)
returned(
    "answer by samples", "a * a.shape[0]", "a if a.numel() < 200 else a * 2", "a / a.shape[-2]"
)
returned(
    "answer scaled",
    "torch.round(a * 0.3, decimals={d})",
    "a.half().to(a) * 0.1",
    "a.bool() + a.bool()",
    "(a.byte() - 1).to(a)",
    "a.div(2, rounding_mode='floor')",
    choices={"d": (0, 1)},
    exact=False,
)
given(
    "input changed",
    "a * 2",
    "1 - a",
    "a.clone()",
    "a + 0",
    "a.contiguous()",
    harmless=True,
    inputs=("spike", "count"),
)
given(
    "input cast",
    "a.byte().to(a)",
    "a.half().to(a)",
    "a.int().to(a)",
    "a.char().to(a)",
    "a.bool().to(a)",
    "(a * 0.1).half().to(a)",
    "(a.float() + 2.0 ** 24 - 2.0 ** 24).to(a)",
    "a.bfloat16().to(a)",
    "a.short().to(a)",
    "a.nan_to_num(1.0)",
)
