"""SNN3xx: what cannot be read. These end with exit code 2."""

from __future__ import annotations

from snncc.diagnostics.rule import Rule, Severity

READING = (
    Rule(
        "SNN301",
        "unknown-op",
        Severity.ERROR,
        what="""
            Reports a call in the recorded run that the front end has no op for.
            """,
        why="""
            An op that is skipped or guessed makes another network. The finding names the module
            and the line that ran.
            """,
        example="""
            def forward(self, x):
                return self.sn(torch.special.bessel_j0(self.conv(x)))  # SNN301
            """,
        after="""
            def forward(self, x):
                return self.sn(self.conv(x))  # no op that snncc lacks
            """,
        help="rewrite the line with ops snncc knows, or make it a registered neuron",
    ),
    Rule(
        "SNN302",
        "data-dependent",
        Severity.ERROR,
        what="""
            Reports a call that turns data computed from the input into a Python value: a branch on
            it, `.item()`, `float()`, `.tolist()`, `.numpy()`, `torch.equal`.
            """,
        why="""
            The run is recorded once. The branch that the example took, or the number it gave,
            would be frozen in for all inputs.
            """,
        example="""
            def forward(self, x):
                if x.sum() > 0:  # SNN302
                    x = self.sn(self.conv(x))
            """,
        after="""
            def forward(self, x):
                return self.sn(self.conv(x))  # the same for every input
            """,
        help="keep tensors as tensors: no branch, number or list may depend on the input's values",
    ),
    Rule(
        "SNN303",
        "shape-missing",
        Severity.ERROR,
        what="""
            Reports a model whose input shape is known neither from the file nor from the command
            line.
            """,
        why="""
            A network is recorded by running it once, and the weights alone do not say on what.
            """,
        example="""
            torch.save(net, "net.pt")
            # snncc compile net.pt --target loihi                          SNN303
            # snncc compile net.pt --target loihi --input-shape 2,34,34    fine
            """,
        after="""
            snncc.save_model(net, "net.pt", example)  # the file holds the shape
            # or: snncc compile net.pt --target loihi --input-shape 2,34,34
            """,
        help="pass --input-shape, or save the model with snncc.save_model",
    ),
    Rule(
        "SNN304",
        "unsafe-file",
        Severity.ERROR,
        what="""
            Reports a checkpoint that asks for more than tensors and modules of listed classes: a
            class that is not on the list, a function, hooks, a replaced method, TorchScript; and
            one that holds weights without the network they belong to.
            """,
        why="""
            A pickle may call anything when it is loaded the usual way. Here nothing in a file is
            executed, so that a checkpoint from elsewhere is safe to open; classes of your own are
            code too, and only you can say that they are wanted.
            """,
        example="""
            class Net(nn.Module): ...
            torch.save(Net(), "net.pt")
            # snncc check net.pt                                  SNN304: nets.Net
            # snncc check nets:Net --weights weights.pt           fine, with a state dict
            # snncc check net.pt --allow nets.Net                 fine
            """,
        after="""
            torch.save(Net().state_dict(), "weights.pt")
            # snncc check nets:Net --weights weights.pt
            """,
        help="save a state dict and pass package.module:factory --weights, or name the class with "
        "--allow",
    ),
    Rule(
        "SNN305",
        "unreadable-file",
        Severity.ERROR,
        what="""
            Reports a file that is missing, empty, cut short, damaged, of a kind that is not read,
            or that cannot be written; and weights that do not fit the network.
            """,
        why="""
            Half a checkpoint, or one with names that do not match, would compile into a network
            with weights nobody trained.
            """,
        example="""
            torch.save(net.state_dict(), "weights.pt")
            # after conv1 was renamed in the code:
            # snncc check nets:make --weights weights.pt    SNN305: lacks ..., has the unknown ...
            """,
        after="""
            torch.save(net.state_dict(), "weights.pt")  # again, after the layer was renamed
            """,
        help="check that the file exists, is complete and of a kind snncc reads",
    ),
    Rule(
        "SNN306",
        "wrong-shape",
        Severity.ERROR,
        what="""
            Reports data, or an input on its way to a neuron, whose axes are not those the model
            takes. The number of samples is free, all other axes must match.
            """,
        why="""
            Time first (T, N, ...) and samples first (N, T, ...) look alike, and numbers of the
            wrong axis often run without complaint and give nonsense.
            """,
        example="""
            x = torch.zeros(1, 10, 2, 34, 34)  # (N, T, C, H, W)
            program.run(x)  # SNN306 if the program takes (T, N, C, H, W) with T = 10
            """,
        after="""
            x = torch.zeros(1, 10, 2, 34, 34)  # (N, T, C, H, W)
            program.run(x.transpose(0, 1))
            """,
        help="give data in the layout the model takes",
    ),
    Rule(
        "SNN307",
        "not-finite",
        Severity.ERROR,
        what="""
            Reports a parameter, a buffer or a constant with a NaN or infinite value, or with none:
            on the device meta, of a lazy layer, complex.
            """,
        why="""
            A NaN never reaches a threshold and silences its neurons; in fixed point it has no
            value at all. It means a training run that diverged, or weights that were never loaded.
            """,
        example="""
            net.fc.weight.data[0, 0] = float("nan")
            snncc.save_model(net, "net.pt", example)  # SNN307: fc.weight
            """,
        after="""
            net.load_state_dict(torch.load("before_it_diverged.pt"))
            snncc.save_model(net, "net.pt", example)
            """,
        help="retrain or repair the checkpoint: a NaN or infinite weight has no meaning on "
        "hardware",
    ),
    Rule(
        "SNN308",
        "training-mode",
        Severity.ERROR,
        what="""
            Reports a module that is in training mode when it is recorded.
            """,
        why="""
            In training mode batch norm uses the statistics of the batch at hand and changes its
            buffers, and dropout is random. What is deployed is the network in eval mode.
            """,
        example="""
            net.train()
            snncc.compile(net, example)  # SNN308
            """,
        after="""
            net.eval()
            snncc.compile(net, example)
            """,
        help="call .eval() first, so that batch statistics and dropout stand still",
    ),
    Rule(
        "SNN309",
        "state-shared-by-calls",
        Severity.ERROR,
        what="""
            Reports a neuron that keeps its membrane between calls and is called at several places,
            other than once in each step of a loop over time; and one that is passed another state
            by hand than its last call returned.
            """,
        why="""
            The second call goes on from the membrane the first one left. Populations do not share
            membranes. A neuron whose membrane lives inside one call may be used many times: each
            call site becomes a population.
            """,
        example="""
            self.sn = neuron.IFNode()
            x = self.sn(self.conv1(x))
            x = self.sn(self.conv2(x))  # SNN309: starts from conv1's membrane
            """,
        after="""
            self.sn1, self.sn2 = neuron.IFNode(), neuron.IFNode()
            x = self.sn1(self.conv1(x))
            x = self.sn2(self.conv2(x))
            """,
        help="give each call site a neuron module of its own, and each call of a loop the state "
        "that the last one returned",
    ),
    Rule(
        "SNN310",
        "hidden-write",
        Severity.ERROR,
        what="""
            Reports a write into part of a tensor, through a view of it, or through `.data`.
            """,
        why="""
            The recording follows values from call to call. A write behind its back changes a value
            that is already recorded, without a call that says so.
            """,
        example="""
            y = self.fc(x)
            y[:, :4] = y[:, 4:]  # SNN310
            y = self.sn(y)
            """,
        after="""
            y = torch.cat([x[:, 4:], x[:, 4:]], dim=1)
            y = self.sn(y)
            """,
        help="write to whole tensors, not through views, .data or slices",
    ),
    Rule(
        "SNN311",
        "unknown-origin",
        Severity.ERROR,
        what="""
            Reports a tensor that meets the recorded values without having been recorded and
            without being a parameter or a buffer; and a neuron that reads nothing of the input.
            """,
        why="""
            It may come from scripted code, from vmap, from numpy, or from an earlier run: it may
            depend on the input in ways that cannot be seen, and would be frozen in.
            """,
        example="""
            drive = self.sn2(torch.ones(2, 8))  # SNN311: reads nothing of the input
            y = self.sn1(self.fc1(x) + drive)
            """,
        after="""
            drive = self.sn2(self.fc2(x))  # or, where it is constant, a bias of fc1
            y = self.sn1(self.fc1(x) + drive)
            """,
        help="compute the tensor with torch functions inside forward, or register it as a buffer",
    ),
    Rule(
        "SNN312",
        "bad-data",
        Severity.ERROR,
        what="""
            Reports recordings or labels that cannot be used: no `inputs`, no samples, values that
            are not finite or not what --input declares, labels that do not match.
            """,
        why="""
            What is declared about the input is part of the proof that the network is spike-only:
            a 2 in an input declared as spikes would make it void, and so would a count above those
            that were looked at, 0 to 255. Labels that are shifted by one
            give an accuracy that means nothing.
            """,
        example="""
            counts = events.sum(dim=0)  # 0, 1, 2, ...
            np.savez("data.npz", inputs=counts, labels=labels)
            # snncc simulate net.pt --input data.npz    SNN312 if the input is declared spike
            """,
        after="""
            spikes = events.clamp(max=1)  # or: declare the input as count
            np.savez("data.npz", inputs=spikes, labels=labels)
            """,
        help="give an .npz with `inputs` in the model's layout and, for accuracy, `labels` (N,)",
    ),
    Rule(
        "SNN313",
        "no-such-name",
        Severity.ERROR,
        what="""
            Reports the name of a rule, a target, a pass, a head, a module or a factory that does
            not exist, and lists those that do.
            """,
        why="""
            A misspelt name must not fall back to something else.
            """,
        example="""
            snncc.compile(net, example, target="lohi")  # SNN313: there are loihi, reference
            """,
        after="""
            snncc.compile(net, example, target="loihi")
            """,
        help="pick one of the names listed",
    ),
    Rule(
        "SNN314",
        "cannot-run",
        Severity.ERROR,
        what="""
            Reports a forward, a factory or a data set that raises, or a factory that returns no
            module.
            """,
        why="""
            The network is read by running it; what does not run cannot be read. The finding says
            what was raised.
            """,
        example="""
            net = nn.Sequential(nn.Linear(100, 10), snncc.nn.IF())
            snncc.check(net, torch.zeros(4, 1, 99))  # SNN314: shapes cannot be multiplied
            """,
        after="""
            net = nn.Sequential(nn.Linear(99, 10), snncc.nn.IF())
            snncc.check(net, torch.zeros(4, 1, 99))
            """,
        help="make the module's forward run on the example input first",
    ),
    Rule(
        "SNN315",
        "unstable-recording",
        Severity.ERROR,
        what="""
            Reports a network that does something else when it is recorded a second time, with
            other data and another number of samples.
            """,
        why="""
            One of the two recordings would be frozen in. The cause is a random number, a counter
            in the module, a batch size written into the code, or a branch on the data.
            """,
        example="""
            def forward(self, x):
                x = x + 0.1 * torch.randn(8)  # SNN315: as an encoder that draws its spikes
                return self.sn(self.fc(x))
            """,
        after="""
            def forward(self, x):  # spikes, drawn before by whoever calls it
                return self.sn(self.fc(x))
            """,
        help="remove randomness, counters and fixed batch sizes from forward; an encoder that "
        "draws spikes runs outside of the network, which takes its spikes",
    ),
    Rule(
        "SNN316",
        "bad-option",
        Severity.ERROR,
        what="""
            Reports an option or an argument that is malformed, unknown, or at odds with another.
            """,
        why="""
            An option that is ignored without a word leaves you with results of something else than
            you asked for.
            """,
        example="""
            snncc.save_model(net, "net.pt", example, layout="TCN")  # SNN316: an order of T, N, F
            """,
        after="""
            snncc.save_model(net, "net.pt", example, layout="TN")
            """,
        help="see the command's --help",
    ),
    Rule(
        "SNN317",
        "tool-missing",
        Severity.ERROR,
        what="""
            Reports something outside snncc that is not installed or too old: Lava's own
            interpreter, a package whose classes a checkpoint holds, torch before 2.10.
            """,
        why="""
            Lava needs a Python 3.10 of its own. A checkpoint of SpikingJelly modules needs
            SpikingJelly. Before 2.10 a checkpoint can make torch run code.
            """,
        example="""
            torch.save(spikingjelly_net, "net.pt")
            # on a machine without SpikingJelly:
            # snncc check net.pt    SNN317: there is no package `spikingjelly`
            """,
        after="""
            torch.save(spikingjelly_net, "net.pt")
            # pip install spikingjelly
            # snncc check net.pt
            """,
        help="install what is named, or choose another backend",
    ),
    Rule(
        "SNN318",
        "steps-differ",
        Severity.ERROR,
        what="""
            Reports a loop in forward that is no loop over time: one whose steps do not all do the
            same, that leaves steps out, or that joins them in another order; and a loop with a
            neuron written as arithmetic of which fewer than three steps are seen.
            """,
        why="""
            A Python loop is recorded step by step, and it is one network only if each step is the
            same ops on the same values, one step later. Then it is written down once. An op that
            the first step does not do is taken to come after the loop.
            """,
        example="""
            for t in range(5):
                out.append(self.bns[t](self.fc(x[t])))  # SNN318: a norm for each step
            y = self.sn(torch.stack(out))
            """,
        after="""
            for t in range(5):
                out.append(self.bn(self.fc(x[t])))  # one norm for all steps
            y = self.sn(torch.stack(out))
            """,
        help="do the same in every step, on x[t], and stack or add up all steps",
    ),
    Rule(
        "SNN319",
        "wrong-reading",
        Severity.ERROR,
        what="""
            Reports a neuron whose reading, one that was registered or one for another version of
            its library, is not what it does.
            """,
        why="""
            What happens inside a neuron is not recorded: its reading says what it is. So that a
            wrong one is never believed, each neuron runs on drawn currents beside its
            reading whenever a network is traced, some of them exactly on the threshold, and no
            spike may differ.
            """,
        example="""
            class Strict(nn.Module):  # fires where v > 1
                ...
            snncc.register_neuron(
                Strict,
                lambda m: snncc.NeuronModule(snncc.Spiking(), multi_step=True, keeps_state=False),
            )  # SNN319: its reading fires where v >= 1, without strict=True
            """,
        after="""
            reading = snncc.Spiking(strict=True)  # fires where v > 1, as Strict does
            snncc.register_neuron(
                Strict, lambda m: snncc.NeuronModule(reading, multi_step=True, keeps_state=False)
            )
            """,
        help="correct what register_neuron was given: the charge, the threshold, strict, the reset",
    ),
    Rule(
        "SNN320",
        "chip-file",
        Severity.ERROR,
        what="""
            Reports each mistake in the file that describes a chip: a constant that is missing,
            misspelt, of the wrong kind, in another unit, out of range, or without a source.
            """,
        why="""
            Every limit, energy and time of a chip comes from that file. A constant that silently
            had a default would be a number that nobody measured.
            """,
        example="""
            # in my_chip.toml:
            # [constants]
            # neurons = { value = 1024, unit = "neurons" }
            snncc.compile(net, example, target="my_chip.toml")  # SNN320: neurons has no source
            """,
        after="""
            # in my_chip.toml:
            # [constants]
            # neurons = { value = 1024, unit = "neurons", source = "data sheet, table 2" }
            snncc.compile(net, example, target="my_chip.toml")
            """,
        help="correct the file; docs/targets.md describes it, loihi1.toml is an example",
    ),
    Rule(
        "SNN321",
        "not-the-module",
        Severity.ERROR,
        what="""
            Reports a recorded network that does not compute what the module computes: a population
            whose spikes differ, or an output whose values differ, on one of the inputs that both
            were run on.
            """,
        why="""
            A recording shows one run. A branch that the run did not take, a value that it froze, or
            an op that was read wrongly makes another network. So the module itself is run beside
            the recorded network, on silent, sparse, dense and full inputs, on one sample and on
            many, and not one spike may differ.
            """,
        example="""
            def forward(self, x):
                if x.shape[1] > 16:  # SNN321: the recording had 2 samples
                    x = 1 - x
                return self.sn(self.fc(x))
            """,
        after="""
            def forward(self, x):
                return self.sn(self.fc(x))  # the same for any number of samples
            """,
        help="the message names the first difference; write the line there with tensor ops that do "
        "the same for every input and every number of samples",
    ),
    Rule(
        "SNN322",
        "kept-between-calls",
        Severity.ERROR,
        what="""
            Reports something that the module keeps from one call, or one time step, to the next and
            that changes what it computes: an attribute, a buffer, a list, a dict, a counter, a
            closure or a global variable.
            """,
        why="""
            A program starts every sample from the same state. A network that remembers the last
            sample, or counts its calls, is another network at each call.
            """,
        example="""
            def forward(self, x):
                self.calls += 1
                return self.sn(self.fc(x) * self.calls)  # SNN322: `calls`
            """,
        after="""
            def forward(self, x):
                return self.sn(self.fc(x))  # nothing is left for the next call
            """,
        help="keep states inside of one call, in a loop over time, or in neurons that are known; "
        "a method `reset` of the module is called before each sample",
    ),
    Rule(
        "SNN323",
        "misread-call",
        Severity.ERROR,
        what="""
            Reports a call whose result is not what the op that it was read as gives for the same
            arguments.
            """,
        why="""
            Each recorded call is run a second time as the op that stands for it, on the call's own
            arguments, and functions of single values on drawn ones too. Where the results differ
            the recording would be another network.
            """,
        example="""
            def forward(self, x):
                return self.sn(torch.abs(self.fc(x)))  # SNN323 if it were read as torch.relu
            """,
        after="""
            def forward(self, x):
                y = self.fc(x)
                return self.sn(torch.maximum(y, -y))  # other functions of torch
            """,
        help="write the line with other functions of torch, and report it: this is a gap of snncc",
    ),
    Rule(
        "SNN324",
        "no-form-in-format",
        Severity.ERROR,
        what="""
            Reports a part of a network that the format of the file has no form for.
            """,
        why="""
            A file must compute what the network computes. Where the format cannot say an op, no
            file is written, and nothing is left out.
            """,
        example="""
            net = nn.Sequential(snncc.nn.IF(), nn.MaxPool2d(2, dilation=9), snncc.nn.IF())
            program = snncc.compile(net, example)
            export(program.network, "net.onnx")  # SNN324: a matrix too large to be written out
            """,
        after="""
            export(program.graph, "net.onnx")  # the network as it was traced
            """,
        help="write the network as it was traced (--form graph), or in another format",
    ),
    Rule(
        "SNN330",
        "layer-without-form",
        Severity.ERROR,
        what="""
            Reports a layer of a Lava-DL file that has no form here: its kind, its neurons, or
            numbers that do not fit its shape or Loihi's registers.
            """,
        why="""
            A Lava-DL file holds the whole numbers of Loihi's registers. They are taken as they are
            or not at all. Resonators, sigma-delta neurons, graded spikes and complex weights are
            other neurons than those of a full-spike network.
            """,
        example="""
            # snncc compile sdnn.net --time-steps 16: SNN330, layer `conv1` has neurons of type SDNN
            """,
        after="""
            # train the network with slayer.block.cuba, whose neurons are of the type CUBA
            """,
        help="train the layer with CUBA neurons, or export the network again",
    ),
    Rule(
        "SNN340",
        "unrepeatable-data",
        Severity.ERROR,
        what="""
            Reports a data set that shuffles, draws random numbers, or can be read only once.
            """,
        why="""
            A data set is read once to check it and once to run, and is never held in memory. If
            the second reading gives other values, nothing was checked, and nobody can repeat the
            run.
            """,
        example="""
            def test_set():
                return DataLoader(images, batch_size=64, shuffle=True)
            # snncc simulate build/net --input data:test_set    SNN340
            """,
        after="""
            def test_set():
                return DataLoader(images, batch_size=64)  # and no random crops or flips
            """,
        help="return samples in a fixed order, without random transforms",
    ),
    Rule(
        "SNN350",
        "unallowed-factory",
        Severity.ERROR,
        what="""
            Reports a file that names the function or class that makes its network, where the user
            did not allow it.
            """,
        why="""
            Opening a file executes nothing that it holds or names. The function is code of the
            user's own, and only the user can say that it may run, with the arguments that are in
            the file.
            """,
        example="""
            snncc.save_model(net, "net.pt", example, factory="nets:make")
            # snncc check net.pt                       SNN350: `nets:make()` was not allowed
            """,
        after="""
            snncc.save_model(net, "net.pt", example, factory="nets:make")
            # snncc check net.pt --allow nets:make
            """,
        help="if you trust the code, name it with --allow",
    ),
    Rule(
        "SNN351",
        "other-network",
        Severity.ERROR,
        what="""
            Reports a factory that does not make the network that is to be saved: another class,
            another constant, another hook, another output.
            """,
        why="""
            The file has the weights alone. All else comes from the factory, each time the file is
            opened, so a threshold that was set by hand after the network was made would be lost.
            """,
        example="""
            net = Net(threshold=0.5)
            snncc.save_model(net, "net.pt", example, factory=Net)  # SNN351: `threshold` is 0.5
            """,
        after="""
            net = Net(threshold=0.5)
            given = {"threshold": 0.5}
            snncc.save_model(net, "net.pt", example, factory=Net, arguments=given)
            """,
        help="pass what the network was made with as arguments={...}, or name a function that "
        "makes it as it is now",
    ),
)
