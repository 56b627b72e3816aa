"""The one table of rules (design, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Rule:
    """A rule a finding can cite.

    ``help`` is the default what-to-do; ``what``, ``why`` and ``example`` are the documentation
    that ``snncc explain CODE`` prints under fixed headings.
    """

    code: str
    name: str
    severity: Severity
    help: str
    what: str = ""
    why: str = ""
    example: str = ""


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

_TABLE = (
    # SNN1xx: breaks spike-only
    Rule("SNN101", "mac-on-analog", _E, "let a neuron turn the value into spikes first, or move the layer before the first neuron"),
    Rule("SNN102", "analog-residual", _E, "add spikes or currents that are linear in spikes, not the analog value"),
    Rule("SNN103", "product-of-non-spikes", _E, "multiply spikes only (a gate), or fold the factor into weights"),
    Rule("SNN104", "max-pool-on-currents", _E, "pool after the neuron, where a max pool is an OR, or use an average pool"),
    Rule("SNN105", "non-spike-activation", _E, "replace the activation with a spiking neuron"),
    Rule("SNN106", "norm-cannot-fold", _E, "use batch norm, whose eval form is fixed and folds into thresholds"),
    Rule("SNN107", "attention", _E, "replace softmax attention with a spike-driven form"),
    Rule("SNN108", "unsupported-between-neurons", _E, "move the op before the first neuron or after the last, or express it with linear layers and gates"),
    Rule("SNN109", "cone-too-wide", _E, "split the expression so that no group of elementwise ops reads more spikes than the limit"),
    Rule("SNN110", "neuron-without-exact-form", _E, "use IF, LIF or PLIF, or teach the compiler the neuron"),
    Rule("SNN111", "function-of-counts", _E, "apply the op to binary spikes, not to sums of them"),
    Rule("SNN112", "temporal-mixing", _E, "mix time only after the last spikes"),
    Rule("SNN113", "no-spikes", _E, "the network needs at least one spiking neuron between input and output"),
    # SNN2xx: does not fit the target
    Rule("SNN201", "neuron-not-on-target", _E, "choose a target that has this neuron"),
    Rule("SNN202", "projection-not-on-target", _E, "choose a target that has this connection"),
    Rule("SNN203", "projection-too-large", _E, "raise the limit with realise-projections{limit=N}, or shrink the layer"),
    # SNN3xx: cannot be read
    Rule("SNN301", "unknown-op", _E, "rewrite the line with ops snncc knows, or make it a registered neuron"),
    Rule("SNN302", "data-dependent", _E, "keep tensors as tensors: no branch, number or list may depend on the input's values"),
    Rule("SNN303", "shape-missing", _E, "pass --input-shape, or save the model with snncc.save_model"),
    Rule("SNN304", "unsafe-file", _E, "save a state dict and pass package.module:factory --weights, or name the class with --allow"),
    Rule("SNN305", "unreadable-file", _E, "check that the file exists, is complete and of a kind snncc reads"),
    Rule("SNN306", "wrong-shape", _E, "give data in the layout the model takes"),
    Rule("SNN307", "not-finite", _E, "retrain or repair the checkpoint: a NaN or infinite weight has no meaning on hardware"),
    Rule("SNN308", "training-mode", _E, "call .eval() first, so that batch statistics and dropout stand still"),
    Rule("SNN309", "state-shared-by-calls", _E, "give each call site a neuron module of its own"),
    Rule("SNN310", "hidden-write", _E, "write to whole tensors, not through views, .data or slices"),
    Rule("SNN311", "unknown-origin", _E, "compute the tensor with torch functions inside forward, or register it as a buffer"),
    Rule("SNN312", "bad-data", _E, "give an .npz with `inputs` in the model's layout and, for accuracy, `labels` (N,)"),
    Rule("SNN313", "no-such-name", _E, "pick one of the names listed"),
    Rule("SNN314", "cannot-run", _E, "make the module's forward run on the example input first"),
    Rule("SNN315", "unstable-recording", _E, "remove randomness, counters and fixed batch sizes from forward"),
    Rule("SNN316", "bad-option", _E, "see the command's --help"),
    Rule("SNN317", "tool-missing", _E, "install what is named, or choose another backend"),
    # SNN4xx: auxiliary path
    Rule("SNN401", "auxiliary-leak", _E, "let the auxiliary path read the spike path and never the other way round"),
    Rule("SNN402", "heads-merged", _E, "return the heads separately, or pass --cut-merge to keep the spike-only branch"),
    Rule("SNN403", "head-ambiguous", _E, "pick one with --head INDEX or --head NAME"),
    Rule("SNN404", "auxiliary-stripped", _N, "pass --keep-aap to keep it as a host-side hybrid"),
    # SNN5xx: notes
    Rule("SNN501", "encoder-on-host", _N, "declare --input spike if the input is events, or accept the host's MACs"),
    Rule("SNN502", "add-distributed", _N, "a gate (AND, IAND, OR) keeps the residual binary and needs fewer axons"),
    Rule("SNN503", "relays-inserted", _N, "a target with projection delays needs no relays"),
    Rule("SNN504", "head-chosen", _N, "pass --head to choose another"),
    Rule("SNN505", "relays-outnumber-neurons", _W, "use a target with delays, graded relays, or a binary residual"),
)

RULES: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in _TABLE})
