"""SNN2xx: what does not fit the target."""

from __future__ import annotations

from snncc.diagnostics.rule import Rule, Severity

TARGET = (
    Rule(
        "SNN201",
        "neuron-not-on-target",
        Severity.ERROR,
        what="""
            Reports a population whose neuron the target's cores do not compute.
            """,
        why="""
            Each chip has its own set: a leak or none, hard or soft reset, a synaptic current or
            none. A neuron that is nearly right gives other spikes.
            """,
        example="""
            self.sn = snncc.nn.LIF(tau=2.0)
            # snncc compile net.pt --target T, where T integrates without a leak: SNN201
            """,
        help="choose a target that has this neuron",
    ),
    Rule(
        "SNN202",
        "projection-not-on-target",
        Severity.ERROR,
        what="""
            Reports a connection of a kind the target does not have, such as a convolution, a delay
            or a graded spike.
            """,
        why="""
            A kernel that one chip shares among all positions has to be written out synapse by
            synapse on another; some connections cannot be written out at all.
            """,
        example="""
            y = self.sn(self.conv2(spikes_1 + spikes_2))  # a sum of spikes is a count
            # --target T, whose synapses neither carry counts nor add a second source: SNN202
            """,
        help="choose a target that has this connection",
    ),
    Rule(
        "SNN203",
        "projection-too-large",
        Severity.ERROR,
        what="""
            Reports a chain of linear layers that cannot become one connection below the limit on
            synapses.
            """,
        why="""
            Between two populations the chip has one map, so that linear layers without a neuron
            between them are multiplied out. Two padded convolutions are no bigger convolution:
            their product is a sparse matrix without a shared kernel.
            """,
        example="""
            x = self.conv2(self.conv1(spikes))  # 224 x 224, both padded, no neuron between
            y = self.sn(x)  # SNN203
            """,
        help="raise the limit with realise-projections{limit=N}, or shrink the layer",
    ),
)
