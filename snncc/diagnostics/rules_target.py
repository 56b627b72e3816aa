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
        after="""
            self.sn = snncc.nn.IF()  # or --target loihi, which has the leak
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
        after="""
            y = self.sn(self.conv2(torch.maximum(spikes_1, spikes_2)))  # an OR: spikes again
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
        after="""
            x = self.conv2(self.sn1(self.conv1(spikes)))  # a neuron between
            y = self.sn(x)
            """,
        help="raise the limit with realise-projections{limit=N}, or shrink the layer",
    ),
    Rule(
        "SNN204",
        "synapse-memory",
        Severity.ERROR,
        what="""
            Reports a population of which one neuron needs more synapse memory than a core has.
            """,
        why="""
            The weights of a neuron are in the core that holds it. A convolution stores a kernel
            once for all positions, a dense layer a weight for each synapse; a population may be
            split over cores and one neuron may not.
            """,
        example="""
            self.fc = nn.Linear(200_000, 10)
            # --target loihi1, 131,072 weights of 8 bits a core: SNN204
            """,
        after="""
            self.fc = nn.Linear(100_000, 10)  # or --target loihi2
            """,
        help="give each neuron fewer inputs, or choose a target with more memory a core",
    ),
    Rule(
        "SNN205",
        "fan-in-lists",
        Severity.ERROR,
        what="""
            Reports a population of which one neuron hears more source axons than a core has lists.
            """,
        why="""
            An arriving spike names a list of synapses in the core. Sources with equal weights share
            a list, and all channels of a position where the chip has population axons.
            """,
        example="""
            self.fc = nn.Linear(5000, 10)
            # --target loihi1, 4,096 lists a core: SNN205
            """,
        after="""
            self.fc = nn.Linear(4000, 10)
            """,
        help="give each neuron fewer inputs, or choose a target with more lists a core",
    ),
    Rule(
        "SNN206",
        "fan-out-axons",
        Severity.ERROR,
        what="""
            Reports a population of which one neuron has to send to more cores than a core has
            axons.
            """,
        why="""
            A spike is sent once to every core that holds one of its targets, and each of these
            needs an axon in the core of its source.
            """,
        example="""
            self.conv = nn.Conv2d(4096, 65536, 3)  # 4,681 cores for the weights alone
            # --target loihi1, 4,096 axons a core: SNN206
            """,
        after="""
            self.conv = nn.Conv2d(1024, 1024, 3)
            """,
        help="shrink the layer that reads these spikes, so that it lies on fewer cores",
    ),
    Rule(
        "SNN207",
        "routing-entries",
        Severity.ERROR,
        what="""
            Reports a population of which one neuron has to send to more cores than a core can
            name.
            """,
        why="""
            Each core keeps a table of the cores that it sends to.
            """,
        example="""
            self.fc = nn.Linear(100, 10_000)
            # --target my_chip.toml, whose cores know 8 others: SNN207
            """,
        after="""
            self.fc = nn.Linear(100, 1000)
            """,
        help="shrink the layer that reads these spikes, so that it lies on fewer cores",
    ),
    Rule(
        "SNN208",
        "board-too-small",
        Severity.ERROR,
        what="""
            Reports a network that needs more cores than the largest board of the target has.
            """,
        why="""
            Chips are joined to boards, and boards end. What every limit needs by itself is in the
            report of the partition: the largest of these is the one to work on.
            """,
        example="""
            # a chip file with chips = 1, and a network of 300 cores
            snncc.compile(net, example, target="my_chip.toml")  # SNN208: 172 cores too many
            """,
        after="""
            snncc.compile(net, example, target="loihi1")  # 768 chips on its largest board
            """,
        help="shrink the network, or choose a target with larger cores or boards",
    ),
    Rule(
        "SNN209",
        "delay-too-long",
        Severity.ERROR,
        what="""
            Reports a projection with a delay longer than the target has.
            """,
        why="""
            A synapse keeps a spike for as many steps as its delay, in a buffer of fixed length.
            """,
        example="""
            # a network with a recurrent projection of 70 steps, not through balance-delays
            Partition("loihi1")(network)  # SNN209: 8 steps too long
            """,
        after="""
            # a recurrent projection of 60 steps
            Partition("loihi1")(network)
            """,
        help="shorten the delay, or let relays take part of it with balance-delays",
    ),
    Rule(
        "SNN210",
        "work-out-of-balance",
        Severity.WARNING,
        what="""
            Warns that one core has much more synaptic work than the mean.
            """,
        why="""
            A step lasts as long as its slowest core. A single neuron that hears very much cannot
            be split, and a small network may not have enough work for its cores.
            """,
        example="""
            self.fc = nn.Linear(100_000, 1)  # one neuron, behind a layer that is spread out
            # SNN210: the busiest core has 3.1 times the synaptic work of the mean
            """,
        after="""
            self.fc = nn.Linear(10_000, 10)  # several neurons, on several cores
            """,
        help="split the layer, or accept the longer step",
    ),
    Rule(
        "SNN211",
        "loop-longer-than-its-delay",
        Severity.ERROR,
        what="""
            Reports a recurrent loop that leads through more connections than the steps that pass
            before its spikes come back in the trained network.
            """,
        why="""
            Hardware takes a step for each connection. What a loop feeds back is a fixed number of
            steps old, nearly always one: a neuron that hears itself fits, two populations between
            which a spike goes round in one step do not.
            """,
        example="""
            for x_t in x:
                a = self.sn1(self.fc1(x_t) + self.back(b))  # b is one step old
                b = self.sn2(self.fc2(a))  # SNN211: a -> b -> a takes two
            """,
        after="""
            for x_t in x:
                a = self.sn1(self.fc1(x_t) + self.back(a))  # a hears itself, one step old
                b = self.sn2(self.fc2(a))
            """,
        help="feed back what is as many steps old as the loop has connections, or let each neuron "
        "hear its own layer only",
    ),
    Rule(
        "SNN212",
        "relays-too-many",
        Severity.ERROR,
        what="""
            Reports a network whose skip connections would need more relay neurons than there are
            neurons in the largest machine.
            """,
        why="""
            On a target without delays a spike that waits is copied from relay to relay, a step
            each. Relays grow with the number of neurons times the steps they wait: the residual
            sums of 152 layers at 224 x 224 would need hundreds of millions.
            """,
        example="""
            net = sew_resnet152(cnf="ADD")  # at 224 x 224
            # snncc compile net.pt --stock-only: SNN212
            """,
        after="""
            net = sew_resnet152(cnf="IAND")  # binary residuals, or compile without --stock-only
            """,
        help="use a target with projection delays (on Lava: compile without --stock-only), relays "
        "of graded spikes that carry the running sum, or a binary residual such as IAND; or raise "
        "the limit with balance-delays{limit=N}",
    ),
    Rule(
        "SNN213",
        "not-stock",
        Severity.ERROR,
        what="""
            Reports a population that the target's own software does not have, with --stock-only.
            """,
        why="""
            Lava has a neuron with a hard reset, restarted for each sample or not, and synapses that
            take one step. Everything else is a process of the emitted package, which runs in Lava's
            simulator and has to be ported before it runs on a chip.
            """,
        example="""
            self.sn = snncc.nn.IF(reset="soft")
            # snncc compile net.pt --stock-only: SNN213
            """,
        after="""
            self.sn = snncc.nn.IF(reset="hard")
            """,
        help="compile without --stock-only, or train with hard resets that start at 0",
    ),
    Rule(
        "SNN214",
        "neuron-not-in-whole-numbers",
        Severity.ERROR,
        what="""
            Reports a population whose numbers no register of the target can stand for.
            """,
        why="""
            In fixed point a threshold is a whole number from 0 up, a decay a part of 4096 between
            0 and 1, and where a target has one threshold for a layer, weights have to take the
            differences between its neurons. A reset leaves nothing of the membrane, or takes the
            threshold from it; one that keeps a part of it has no register.
            """,
        example="""
            self.sn = snncc.nn.IF(threshold=-0.5)  # fires at rest, forever
            # --weight-bits 8: SNN214
            """,
        after="""
            self.sn = snncc.nn.IF(threshold=0.5)
            """,
        help="train the neuron with a threshold above 0, a decay from 0 to 1 and a reset that "
        "keeps no part, choose a target with a threshold for each neuron, or compile without "
        "weight bits",
    ),
    Rule(
        "SNN215",
        "mapping-over-limits",
        Severity.ERROR,
        what="""
            Reports a mapping that puts more on a core or a board than the chip has which it is
            simulated on.
            """,
        why="""
            A mapping is made for the limits of one chip. Timed on another it would give times and
            energies of a machine that nobody can build.
            """,
        example="""
            # a program for loihi2, 8,192 neurons per core
            snncc.simulate(program, inputs, level="cycle", chip=loihi1)  # SNN215
            """,
        after="""
            program = snncc.compile(net, example, target="loihi1")
            snncc.simulate(program, inputs, level="cycle", chip=loihi1)
            """,
        help="compile the program for this chip, which maps it within its limits",
    ),
)
