"""SNN1xx: what breaks spike-only."""

from __future__ import annotations

from snncc.diagnostics.rule import Rule, Severity

SPIKE_ONLY = (
    Rule(
        "SNN101",
        "mac-on-analog",
        Severity.ERROR,
        what="""
            Reports a layer with weights (convolution, linear) that reads the analog input, when
            --strict is given. It runs on the host, in an encoder; without --strict that is a note
            (SNN501). What makes values real further on has its own rule: an activation SNN105, a
            norm SNN106, a product SNN103.
            """,
        why="""
            A weight times a spike is the weight or nothing: an accumulate (AC, 0.9 pJ). A weight
            times a real value is a multiply-accumulate (MAC, 4.6 pJ), and a neuromorphic core has
            no multiplier for it.
            """,
        example="""
            s = self.sn1(self.conv1(image))  # SNN101 with --strict: conv1 multiplies pixels
            y = self.sn2(self.conv2(s))      # fine: conv2 adds up weights
            """,
        after="""
            s = self.sn1(self.conv1(events))  # --input spike: an encoder ran before
            y = self.sn2(self.conv2(s))
            """,
        help="declare --input spike if the input is events, or accept MACs on the host and leave "
        "out --strict",
    ),
    Rule(
        "SNN102",
        "analog-residual",
        Severity.ERROR,
        what="""
            Reports an addition that brings a real value, one that is no sum of weighted spikes,
            into the spike path.
            """,
        why="""
            After the addition nothing downstream is spike-only: the next layer multiplies real
            values. Spikes, and currents that are linear in spikes, may be added freely; the sum
            becomes several projections onto one population. What is linear in the analog input
            is reported with --strict only: by linearity its half is a current of an encoder.
            """,
        example="""
            y = self.sn(self.conv1(image)) + image
            z = self.sn2(self.conv2(y))  # SNN102 with --strict: conv2 reads the image, too
            """,
        after="""
            y = self.sn(self.conv1(events)) + events  # --input spike: spikes on both sides
            z = self.sn2(self.conv2(y))
            """,
        help="add spikes or currents that are linear in spikes, not the analog value",
    ),
    Rule(
        "SNN103",
        "product-of-non-spikes",
        Severity.ERROR,
        what="""
            Reports an elementwise product, a matrix product or a weight computed from the input,
            in which more than one factor depends on the input and they are not all spikes.
            """,
        why="""
            The product of spikes is an AND, one gate neuron. The product of two currents needs a
            multiplier in every step and for every neuron.
            """,
        example="""
            gate = self.conv1(spikes)
            y = self.sn(gate * self.conv2(spikes))  # SNN103: current times current
            """,
        after="""
            gate = self.sn1(self.conv1(spikes))
            y = self.sn(self.conv2(gate * spikes))  # spikes times spikes: an AND
            """,
        help="multiply spikes only (a gate), or fold the factor into weights",
    ),
    Rule(
        "SNN104",
        "max-pool-on-currents",
        Severity.ERROR,
        what="""
            Reports a max pool whose input is a current rather than spikes or spike counts.
            """,
        why="""
            On spikes a max pool is an OR over the window, a population of gates. On real values it
            compares currents, which no accumulate can do.
            """,
        example="""
            y = self.sn(F.max_pool2d(self.conv(spikes), 2))  # SNN104: the maximum of currents
            """,
        after="""
            y = F.max_pool2d(self.sn(self.conv(spikes)), 2)  # behind the neuron: an OR of spikes
            """,
        help="pool after the neuron, F.max_pool2d(self.sn(self.conv(x)), 2), where a max pool is "
        "an OR of spikes; or use an average pool",
    ),
    Rule(
        "SNN105",
        "non-spike-activation",
        Severity.ERROR,
        what="""
            Reports an activation with real values (ReLU, GELU, sigmoid, tanh, ...) between the
            first and the last neurons, on something that is not spikes.
            """,
        why="""
            Its output is real-valued, so that the next layer is made of MACs. It is also the
            commonest trace of a network that was only half converted.
            """,
        example="""
            x = self.relu(self.bn1(self.conv1(spikes)))  # SNN105
            x = self.sn(self.bn2(self.conv2(x)))
            """,
        after="""
            x = self.sn1(self.bn1(self.conv1(spikes)))  # a neuron in the place of the ReLU
            x = self.sn(self.bn2(self.conv2(x)))
            """,
        help="replace the activation with a spiking neuron",
    ),
    Rule(
        "SNN106",
        "norm-cannot-fold",
        Severity.ERROR,
        what="""
            Reports a norm between neurons that has no fixed scale and shift in eval mode: layer,
            group, instance and RMS norm, and batch norm without running statistics.
            """,
        why="""
            Batch norm in eval mode is a constant per channel and goes into thresholds and biases
            for nothing. These norms take mean and variance from the sample at hand, with a
            division and a root in every step.
            """,
        example="""
            self.norm = nn.GroupNorm(2, 4)
            y = self.sn(self.norm(self.conv(spikes)))  # SNN106
            """,
        after="""
            self.norm = nn.BatchNorm2d(4)
            y = self.sn(self.norm(self.conv(spikes)))  # folded into weights and thresholds
            """,
        help="use batch norm, whose eval form is fixed and folds into thresholds",
    ),
    Rule(
        "SNN107",
        "attention",
        Severity.ERROR,
        what="""
            Reports softmax attention between neurons.
            """,
        why="""
            Softmax divides by a sum of exponentials, and its result is multiplied with real
            values. Spike-driven forms keep queries, keys and values binary and need neither.
            """,
        example="""
            weights = torch.softmax(q @ k.transpose(-2, -1), dim=-1)  # SNN107
            y = self.sn(weights @ v)
            """,
        after="""
            gate = self.sn1((k * v).sum(dim=-2, keepdim=True))  # q, k and v are spikes
            y = self.sn(self.fc(q * gate))  # AND gates and sums of spikes
            """,
        help="replace softmax attention with one of spikes, such as "
        "q * self.sn((k * v).sum(-2, keepdim=True)), where q, k and v are spikes",
    ),
    Rule(
        "SNN108",
        "unsupported-between-neurons",
        Severity.ERROR,
        what="""
            Reports an op between neurons that is neither linear, nor a function of a few spikes,
            nor a max pool on spikes, and that no rule above names.
            """,
        why="""
            Those three are what populations and projections can do. Anything else has nowhere to
            run on the chip.
            """,
        example="""
            y = self.sn(self.conv(spikes) % 0.5)  # SNN108
            """,
        after="""
            y = self.sn(0.5 * self.conv(spikes))  # linear
            """,
        help="move the op before the first neuron or after the last, or express it with linear "
        "layers and gates",
    ),
    Rule(
        "SNN109",
        "cone-too-wide",
        Severity.ERROR,
        what="""
            Reports a group of elementwise ops that together read more spikes than the limit.
            """,
        why="""
            Such a group becomes gates by its truth table, which has 2^k rows for k spikes. A
            spike that is also read from outside the group cuts it in two.
            """,
        example="""
            total = 0
            for i, sn in enumerate(self.sns):  # eight neurons, whose spikes meet in one function
                total = total + 0.37**i * sn(spikes)
            y = self.sn(torch.sigmoid(total))  # SNN109
            """,
        after="""
            y = self.sn(self.fc(spikes))  # a layer reads any number of spikes
            """,
        help="split the expression so that no group of elementwise ops reads more spikes than the "
        "limit",
    ),
    Rule(
        "SNN110",
        "neuron-without-exact-form",
        Severity.ERROR,
        what="""
            Reports a neuron that is not exactly v <- a v + x + b, spike where v reaches a
            threshold, hard or soft reset, with or without a synaptic current.
            """,
        why="""
            Everything is brought to that form without changing a spike. A neuron with another
            membrane equation would have to be approximated, and then what runs on the chip is no
            longer the network that was trained.
            """,
        example="""
            from spikingjelly.activation_based import neuron
            self.sn = neuron.QIFNode(step_mode="m")  # SNN110: quadratic in v
            """,
        after="""
            from spikingjelly.activation_based import neuron
            self.sn = neuron.IFNode(step_mode="m")
            """,
        help="use IF, LIF or PLIF, or teach the compiler the neuron",
    ),
    Rule(
        "SNN111",
        "function-of-counts",
        Severity.ERROR,
        what="""
            Reports a function that is not linear of a value with more than two levels: a sum of
            spikes, an average over a window, a declared count.
            """,
        why="""
            A sum reaches its consumers as several spikes and is added up in their membranes; the
            number itself exists nowhere on the chip. Linear functions pass through the sum, others
            do not.
            """,
        example="""
            average = F.avg_pool2d(spikes, 6)  # 0, 1/36, 2/36, ... or 1
            y = self.sn(average**2)  # SNN111
            """,
        after="""
            average = F.avg_pool2d(spikes, 6)
            y = self.sn(average)  # linear in the sum
            """,
        help="apply the op to binary spikes, not to sums of them",
    ),
    Rule(
        "SNN112",
        "temporal-mixing",
        Severity.ERROR,
        what="""
            Reports an op before the last spikes that lets one time step read another, other than
            through a neuron's membrane or by its spikes of the step before.
            """,
        why="""
            The chip runs one step after the other and keeps membranes and spikes. A mean, a norm
            or an attention over T needs all steps at once. Behind the last spikes a reduction over
            T is part of the readout and is fine. A membrane kept by hand in a Python loop is such
            an op too, until its module is registered as a neuron.
            """,
        example="""
            centred = x - x.mean(dim=0, keepdim=True)  # x is (T, N, features)
            y = self.sn(self.fc(centred))  # SNN112
            """,
        after="""
            y = self.fc(self.sn(x))
            return y.mean(dim=0)  # behind the last spikes
            """,
        help="mix time only after the last spikes; a neuron of your own that is written as a loop "
        "is taught with snncc.register_neuron (docs/neurons.md)",
    ),
    Rule(
        "SNN113",
        "no-spikes",
        Severity.ERROR,
        what="""
            Reports a network, or a chosen head, without a single spiking neuron on its way.
            """,
        why="""
            All of it would run on the host: there is nothing to put on the chip. Often the wrong
            head was chosen, or the neurons are of a class the front end takes for a layer, or only
            one step of a neuron that is written as a loop was seen.
            """,
        example="""
            net = nn.Sequential(nn.Flatten(2), nn.Linear(2312, 10))
            snncc.check(net, torch.zeros(10, 1, 2, 34, 34))  # SNN113
            """,
        after="""
            net = nn.Sequential(nn.Flatten(2), nn.Linear(2312, 10), snncc.nn.IF())
            snncc.check(net, torch.zeros(10, 1, 2, 34, 34))
            """,
        help="the network needs at least one spiking neuron between input and output",
    ),
    Rule(
        "SNN114",
        "membrane-read",
        Severity.ERROR,
        what="""
            Reports a layer or a head that reads the membrane of a neuron instead of its spikes.
            """,
        why="""
            A membrane is a real value that stays inside its neuron: what leaves it is a spike or
            nothing. A layer that reads it would be made of MACs.
            """,
        example="""
            spk, mem = self.lif(self.fc1(x))  # snnTorch returns both
            y = self.sn(self.fc2(mem))  # SNN114
            """,
        after="""
            spk, mem = self.lif(self.fc1(x))
            y = self.sn(self.fc2(spk))
            """,
        help="read the neuron's spikes; of several outputs choose one made of spikes with --head",
    ),
    Rule(
        "SNN115",
        "no-neuron-form",
        Severity.ERROR,
        what="""
            Reports a neuron that is written as arithmetic and whose equation is none that the chip
            computes; the message prints what its comparison asks, and what stands in the way.
            """,
        why="""
            Between its spikes a membrane is a multiple of itself and a sum of currents, and a
            spike takes a fixed amount from it, or leaves a part of it and adds a value. A
            threshold with a memory of its own, a floor of the membrane or a product of two states
            is no such equation.
            """,
        example="""
            for _ in range(8):
                mem = 0.9 * mem + self.fc(image)
                fires = (mem > 1 + adapt).float()  # SNN115: the threshold adapts
                adapt, mem = 0.9 * adapt + fires, mem - fires
                total = total + fires
            """,
        after="""
            for _ in range(8):
                mem = 0.9 * mem + self.fc(image)
                fires = (mem > 1).float()  # one fixed threshold
                mem = mem - fires
                total = total + fires
            """,
        help="write the update so that the membrane is linear in itself and in its inputs between "
        "spikes, with one fixed threshold",
    ),
)
