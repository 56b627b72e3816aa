"""SNN4xx: the auxiliary path."""

from __future__ import annotations

from snncc.diagnostics.rule import Rule, Severity

AUXILIARY = (
    Rule(
        "SNN401",
        "auxiliary-leak",
        Severity.ERROR,
        what="""
            Reports an edge that carries a real value of the auxiliary path into the spike path of
            the chosen head.
            """,
        why="""
            An auxiliary path can be cut off after training because the spike path never reads it.
            Where it does, cutting changes every spike behind that edge, and keeping it is not
            spike-only.
            """,
        example="""
            a = self.auxiliary(a) + s  # reads the spikes: fine
            o = self.sn(self.conv(o) + 0.1 * a)  # SNN401: the spikes read it
            """,
        after="""
            a = self.auxiliary(a) + s
            o = self.sn(self.conv(o))  # the spikes do not read it
            """,
        help="let the auxiliary path read the spike path and never the other way round",
    ),
    Rule(
        "SNN402",
        "heads-merged",
        Severity.ERROR,
        what="""
            Reports an output that adds or averages the spike head and the auxiliary head.
            """,
        why="""
            The merged output is neither head: cutting one branch off gives other logits than those
            that were trained and measured. That is for the user to decide.
            """,
        example="""
            def forward(self, x):
                y_spike, y_aap = self.streams(x)
                return (y_spike + y_aap) / 2  # SNN402
            """,
        after="""
            def forward(self, x):
                return self.streams(x)  # y_spike and y_aap, apart
            """,
        help="return the heads separately, or pass --cut-merge to keep the spike-only branch",
    ),
    Rule(
        "SNN403",
        "head-ambiguous",
        Severity.ERROR,
        what="""
            Reports a network with several outputs of which more than one is spike-only, compiled
            without a choice of head; and one of which none is, for several reasons.
            """,
        why="""
            With one spike-only head the choice is plain and is made (SNN504). Otherwise a guess
            would compile a network that nobody asked for.
            """,
        example="""
            def forward(self, x):
                s = self.sn(self.conv(x))
                return self.fc_coarse(s), self.fc_fine(s)  # SNN403
            """,
        after="""
            def forward(self, x):
                return self.fc_fine(self.sn(self.conv(x)))  # or --head 1
            """,
        help="pick one with --head INDEX or --head NAME",
    ),
    Rule(
        "SNN404",
        "auxiliary-stripped",
        Severity.NOTE,
        what="""
            Says what was cut off because the chosen head does not depend on it, with its
            parameters, MACs and ACs.
            """,
        why="""
            This is the saving that an auxiliary path promises, in numbers. What the list holds is
            found by data flow; a layer of the spike head on it would be an error in the network.
            """,
        example="""
            net = snncc.nn.DualStreamResNet(auxiliary=True)
            snncc.compile(net.eval(), example)  # SNN404: the auxiliary pathway is gone
            """,
        help="pass --keep-aap to keep it as a host-side hybrid",
    ),
)
