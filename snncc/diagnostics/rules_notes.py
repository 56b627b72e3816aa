"""SNN5xx: what a user should know about a network that compiles."""

from __future__ import annotations

from snncc.diagnostics.rule import Rule, Severity

NOTES = (
    Rule(
        "SNN501",
        "encoder-on-host",
        Severity.NOTE,
        what="""
            Says which layers before the first neurons read real values and stay on the host, with
            their MACs.
            """,
        why="""
            A first convolution on an image is made of MACs: it is not spike-only and its energy is
            counted at the MAC price. With --strict it is an error.
            """,
        example="""
            y = self.sn1(self.bn1(self.conv1(image)))  # SNN501: conv1 and bn1
            """,
        help="declare --input spike if the input is events, or accept the host's MACs",
    ),
    Rule(
        "SNN502",
        "add-distributed",
        Severity.NOTE,
        what="""
            Says where a sum of spikes was turned into one projection for each of its terms.
            """,
        why="""
            W(s1 + s2) = W s1 + W s2 is exact and keeps spikes binary, but every consumer now
            listens to all terms: axons and synapse operations grow with the length of the sum.
            """,
        example="""
            out = self.sn2(self.conv2(s)) + identity  # 0, 1 or 2
            y = self.sn3(self.conv3(out))  # SNN502: conv3 listens to both
            """,
        help="a gate (AND, IAND, OR) keeps the residual binary and needs fewer axons",
    ),
    Rule(
        "SNN503",
        "relays-inserted",
        Severity.NOTE,
        what="""
            Says how many relay neurons were put into connections that skip layers.
            """,
        why="""
            A spike arrives one step after it is sent, so that a connection that skips layers would
            arrive early. Relays hold it back, a step each, and cost neurons and spikes.
            """,
        example="""
            s2 = self.sn2(self.conv2(s1))
            s3 = self.sn3(self.conv3(s2) + self.skip(s1))  # SNN503: s1 waits for s2
            """,
        help="a target with projection delays needs none (on Lava: compile without --stock-only)",
    ),
    Rule(
        "SNN504",
        "head-chosen",
        Severity.NOTE,
        what="""
            Says which of several outputs was compiled, and why: it is the only one that is
            spike-only up to its readout.
            """,
        why="""
            Networks with an auxiliary path return two heads. The accuracy that is reported is that
            of the chosen one.
            """,
        example="""
            def forward(self, x):
                ...
                return self.fc(spikes), self.fc(auxiliary)  # SNN504: output 0
            """,
        help="pass --head to choose another",
    ),
    Rule(
        "SNN505",
        "relays-outnumber-neurons",
        Severity.WARNING,
        what="""
            Warns when the relays that hold back skip connections outnumber the neurons that
            compute.
            """,
        why="""
            Relays grow with the number of neurons times the layers skipped. In deep networks whose
            residuals are sums every stage keeps all earlier ones in flight, and most of the chip
            does nothing but wait.
            """,
        example="""
            out = spikes
            for block in self.blocks:  # fifty of them
                out = out + block(out)  # SNN505: each term travels to the end
            """,
        after="""
            out = spikes
            for block in self.blocks:
                out = out * (1 - block(out))  # IAND: binary again, nothing travels on
            """,
        help="use a target with projection delays (on Lava: compile without --stock-only), relays "
        "of graded spikes that carry the running sum, or a binary residual such as IAND",
    ),
    Rule(
        "SNN506",
        "scales-from-weights",
        Severity.NOTE,
        what="""
            Says that weights and thresholds became whole numbers without any data to try them on.
            """,
        why="""
            A weight of 8 bits is off by up to half a step, and a spike flips where its membrane
            came that close to the threshold. Which scale flips the fewest spikes depends on the
            spikes; from the weights alone the largest scale that clips none is taken.
            """,
        example="""
            # snncc compile net.pt --target loihi --weight-bits 8, and no --calibrate: SNN506
            """,
        help="pass some inputs of the training set with --calibrate",
    ),
    Rule(
        "SNN507",
        "spikes-delayed",
        Severity.NOTE,
        what="""
            Says how many populations have spikes that are delivered later than one step after they
            were sent.
            """,
        why="""
            A spike arrives one step after it is sent, so that a connection that skips layers would
            arrive early. A target that delays spikes holds them back at no cost in neurons, and
            keeps them in the meantime.
            """,
        example="""
            s2 = self.sn2(self.conv2(s1))
            s3 = self.sn3(self.conv3(s2) + self.skip(s1))  # SNN507: s1 waits for s2
            """,
        help="on a target without delays relays do it (on Lava: --stock-only)",
    ),
    Rule(
        "SNN508",
        "not-verified",
        Severity.WARNING,
        what="""
            Warns of inputs on which the recorded network could not be held against the module,
            because the module did not run on them.
            """,
        why="""
            The proof begins at the module: it is called on silent, dense and other inputs, with one
            sample and with many, in float64 and as it was trained. Where it raises an error there
            is nothing to compare with, and the program is not verified there.
            """,
        example="""
            def forward(self, x):
                x = x.reshape(4, 8, 64)  # SNN508: the number of samples, 8, is written down
                return self.sn(self.fc(x))
            """,
        after="""
            def forward(self, x):
                return self.sn(self.fc(x.flatten(2)))  # any number of samples
            """,
        help="make forward run with any number of samples and in float64",
    ),
    Rule(
        "SNN509",
        "read-with",
        Severity.NOTE,
        what="""
            Says with which length of a step, which form of the equations and which reset a file was
            read that gives its neurons as differential equations.
            """,
        why="""
            NIR does not say these, and each framework has its own. Another choice is another
            network.
            """,
        example="""
            # snncc compile net.nir --time-steps 100: SNN509, steps of 0.0001 s, euler, hard reset
            """,
        help="choose with --dt, --discretise, --reset and --reset-when what the producer meant",
    ),
    Rule(
        "SNN510",
        "producer-counts",
        Severity.WARNING,
        what="""
            Warns of neurons of a file that may fire several times in one step where it was written,
            or in the tool that it is written for.
            """,
        why="""
            sinabs lets a membrane that is twice its threshold yield two spikes in one step. Here a
            neuron fires once, and what is left fires in the next steps.
            """,
        example="""
            # snncc compile scnn.nir --time-steps 10: SNN510, IF with r = 1 as sinabs writes it
            """,
        after="""
            # shorter steps, so that no neuron has two spikes in one: snncc compile scnn.nir
            #   --time-steps 300, on recordings cut into 300 steps
            """,
        help="cut the recordings into shorter steps, so that two spikes in one are rare",
    ),
    Rule(
        "SNN511",
        "said-in-metadata",
        Severity.NOTE,
        what="""
            Says what of a network the file that was written holds in its metadata alone.
            """,
        why="""
            NIR has no field for the kind of a reset, for first values or for what is done over time
            at the end. snncc reads them back; another tool must be told.
            """,
        example="""
            # snncc export net.pt --format nir -o net.nir: SNN511, `lif` has a soft reset
            """,
        help="tell the tool that reads the file, or choose it with --for, which refuses what it "
        "would run as another network",
    ),
    Rule(
        "SNN515",
        "what-the-input-is",
        Severity.NOTE,
        what="""
            Says what the input of a Lava-DL file is, which has an input layer with neurons.
            """,
        why="""
            The input layer turns pixels into currents (weight·pixel + bias) and these into spikes.
            Recordings of an event camera are such spikes already.
            """,
        example="""
            # snncc compile network.net --time-steps 16 --input spike: SNN515, the input layer is
            # left out
            """,
        help="say --input analog for pixels, --input spike for spikes of the input layer",
    ),
    Rule(
        "SNN520",
        "unlike-range",
        Severity.WARNING,
        what="""
            Warns of recordings whose values lie in another range than those that the program was
            calibrated on: they go out of it by more than its width, or take up less than a tenth
            of it.
            """,
        why="""
            Images of 0 to 255, given to a network that was trained on images of 0 to 1, run
            without an error, and the accuracy means nothing.
            """,
        example="""
            np.savez("test.npz", inputs=images)  # 0 to 255
            # snncc compile net.pt --calibrate train.npz -o net    0 to 1
            # snncc simulate net --input test.npz    SNN520
            """,
        after="""
            np.savez("test.npz", inputs=images / 255)
            """,
        help="give the values as in training",
    ),
    Rule(
        "SNN521",
        "no-probabilities",
        Severity.WARNING,
        what="""
            Warns of values below 0 or above 1 in recordings that --encode poisson turns into
            spikes.
            """,
        why="""
            The values are probabilities: below 0 nothing ever fires, and above 1 it fires at every
            step, as in SpikingJelly and snnTorch. Of an image from 0 to 255 only black and white
            is left.
            """,
        example="""
            np.savez("test.npz", inputs=images)  # 0 to 255
            # snncc simulate net --input test.npz --encode poisson    SNN521
            """,
        after="""
            np.savez("test.npz", inputs=images / 255)
            """,
        help="scale the data to 0 to 1, as in training",
    ),
    Rule(
        "SNN530",
        "code-changed",
        Severity.NOTE,
        what="""
            Says that the code which makes the network of a file is not the code that was there
            when the file was written.
            """,
        why="""
            The file has the weights, and the network around them is made by the code of today. The
            proof of a compiled program holds for the network as it is made now.
            """,
        example="""
            snncc.save_model(net, "net.pt", example, factory="nets:make")
            # nets.py is edited, then: snncc compile net.pt --allow nets:make      SNN530: `nets`
            """,
        help="if accuracy is not what it was, take the code that was trained",
    ),
)
