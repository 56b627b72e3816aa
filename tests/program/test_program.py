"""Programs from modules: what they answer, what they keep of the AAP, how they lie on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

import snncc
from snncc.diagnostics import SnnccError
from snncc.ir.network import Network
from snncc.ir.text import print_graph, print_network
from snncc.passes.base import Outcome, Pass
from snncc.pipeline import PassError, run
from snncc.rounding.report import Rounded
from snncc.verification import Verification


def network(seed=0, **options):
    """A small dual-stream network with random weights and norms, a third of the γ negative."""
    torch.manual_seed(seed)
    settings = {"in_channels": 2, "classes": 4, "widths": [4, 6], "blocks": [1, 1], "gate": "or"}
    module = snncc.nn.DualStreamResNet(**(settings | options)).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            size = part.num_features
            part.running_mean.copy_(torch.randn(size) * 0.2)
            part.running_var.copy_(torch.rand(size) + 0.5)
            part.weight.data = torch.rand(size) * torch.where(torch.rand(size) < 0.3, -2.0, 2.0)
            part.bias.data = torch.rand(size) * 0.6
    return module


def events(samples=5, steps=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, samples, 2, 8, 8, generator=generator) < 0.4).float()


@pytest.fixture(scope="module")
def module():
    return network()


@pytest.fixture(scope="module")
def program(module):
    return snncc.compile(module, events(2), input="spike")


# -- running -----------------------------------------------------------------------------------


def test_a_program_answers_as_its_module_does(module, program):
    x = events(7, seed=1)
    result = program.run(x)
    with torch.no_grad():
        spike, _ = network().double()(x.double())
    torch.testing.assert_close(result.logits, spike)
    assert result.outputs.shape == (6, 7, 4)
    torch.testing.assert_close(result.outputs.mean(0), spike)
    assert result.spikes["stages.0.0.residual.sn1"].shape == (6, 7, 4, 8, 8)
    assert 0 < result.spikes["stages.1.0.residual.sn2"].mean() < 1
    assert not result.heads


def test_numpy_and_many_chunks_give_the_same_answers(program, monkeypatch):
    x = events(7, seed=1)
    whole = program.run(x)
    monkeypatch.setattr("snncc.backends.reference.running.chunk_size", lambda *a, **k: 3)
    seen = []
    chunked = program.run(x.numpy(), on_samples=seen.append)
    assert seen == [3, 3, 1]
    # A smaller batch may add up in another order: the sums agree, the spikes are the same.
    torch.testing.assert_close(whole.logits, chunked.logits, rtol=1e-12, atol=1e-12)
    assert all(torch.equal(whole.spikes[name], chunked.spikes[name]) for name in whole.spikes)


def test_compare_finds_no_difference_and_says_what_it_compared(module, program):
    comparison = snncc.compare(module, program, events(3, seed=2))
    trained = [p for p in program.network.populations if p.role == "neuron"]
    neurons = sum(int(np.prod(p.shape)) for p in trained)
    assert comparison.equal
    assert comparison.mismatches == 0
    assert comparison.compared == 6 * 3 * neurons
    assert comparison.logits < 1e-12


def test_compare_says_where_a_program_parts_from_another_module(program):
    comparison = snncc.compare(network(seed=3), program, events(3))
    assert not comparison.equal
    assert comparison.mismatches > 0
    first = comparison.disagreements[0]
    assert first.population in program.network.places
    assert len(first.index) == 5


def test_another_last_layer_is_seen_in_the_logits(module, program):
    other = network()
    other.fc.bias.data += 0.5
    comparison = snncc.compare(other, program, events(3))
    assert comparison.mismatches == 0
    assert comparison.logits > 0.01
    assert not comparison.equal


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        (events(3)[:, :, :1], "SNN306", "do not fit"),
        (events(3)[:4], "SNN306", "4 time steps and the program takes 6"),
        (events(3)[:, :0], "SNN306", "do not fit"),
        (events(3) * 2, "SNN312", "declared spikes"),
        (events(3) * float("nan"), "SNN312", "NaN"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(program, inputs, code, said):
    with pytest.raises(SnnccError, match=said) as caught:
        program.run(inputs)
    assert caught.value.findings[0].code == code
    assert caught.value.exit_code == 2


class Bright(torch.nn.Module):
    """Counts from ``bound`` up, through a layer and a neuron."""

    def __init__(self, bound):
        super().__init__()
        self.bound = bound
        self.fc, self.sn = torch.nn.Linear(3, 3, bias=False), snncc.nn.IF(threshold=0.5)
        torch.nn.init.eye_(self.fc.weight)

    def forward(self, x):
        return self.sn(self.fc((x >= self.bound).to(x)))


@pytest.mark.parametrize("loaded", [False, True])
def test_counts_run_up_to_the_bound_of_the_proof(loaded, tmp_path):
    counts = torch.tensor([[[0.0, 1, 199], [200, 201, 255]]], dtype=torch.float64)
    program = snncc.compile(Bright(200), counts, "reference", input="count", layout="TN")
    if loaded:
        program.save(tmp_path / "out")
        program = snncc.load(tmp_path / "out")
    assert program.graph.inputs[0].signal.values.largest == 255
    assert program.run(counts).spikes["sn"].tolist() == [[[0, 0, 0], [1, 1, 1]]]
    counts[0, 0, 1] = 256
    for ask in (program.run, lambda x: snncc.simulate(program, x)):
        with pytest.raises(SnnccError, match="proved up to 255, and the largest is 256") as caught:
            ask(counts)
        assert [f.code for f in caught.value.findings] == ["SNN312"]


def test_an_example_or_calibration_beyond_the_bound_of_the_proof_is_refused():
    low, high = torch.full((2, 2, 3), 255.0), torch.full((2, 2, 3), 256.0)
    given = {"target": "reference", "input": "count", "layout": "TN"}
    for example, calibration in ((high, None), (low, high)):
        with pytest.raises(SnnccError, match="proved up to 255, and the largest is 256") as caught:
            snncc.compile(Bright(200), example, calibration=calibration, **given)
        assert [f.code for f in caught.value.findings] == ["SNN312"]


def test_a_network_that_only_larger_counts_wake_does_not_run_on_them():
    """No count that is proved reaches 300, so its program is one that is always silent."""
    counts = torch.full((3, 2, 3), 3.0, dtype=torch.float64)
    program = snncc.compile(Bright(300), counts, "reference", input="count", layout="TN")
    assert not program.run(counts).spikes["sn"].any()
    assert Bright(300).double()(counts * 400).all()
    with pytest.raises(SnnccError, match="proved up to 255, and the largest is 1200"):
        program.run(counts * 400)


def test_a_static_image_is_encoded_on_the_host():
    module = network(in_channels=3, time_steps=5)
    images = torch.randn(4, 3, 8, 8)
    program = snncc.compile(module, images[:2], target="reference")
    assert [f.code for f in program.findings if f.code == "SNN501"] == ["SNN501"]
    assert len(program.network.encoders) == 1
    assert snncc.compare(module, program, images).equal
    with pytest.raises(SnnccError, match="SNN501|SNN101"):
        snncc.compile(module, images[:2], target="reference", strict=True)


def test_finite_numbers_whose_sum_is_not_are_inputs():
    module = network(in_channels=3, time_steps=5)
    images = torch.randn(2, 3, 8, 8).double()
    program = snncc.compile(module, images.float(), target="reference")
    images[:, :, 0, 0] = torch.finfo(torch.float64).max
    assert not images.sum().isfinite()
    program.run(images)
    images[1, 2, 3, 4] = torch.inf
    with pytest.raises(SnnccError, match="SNN312"):
        program.run(images)


class SamplesFirst(torch.nn.Module):
    """Takes (N, T, …)."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        return self.inner(x.transpose(0, 1))


def test_samples_may_come_before_time():
    module = SamplesFirst().eval()
    x = events(4).transpose(0, 1)
    program = snncc.compile(module, x[:2], target="reference", input="spike", layout="NT")
    assert snncc.compare(module, program, x).equal
    result = program.run(x)
    assert result.outputs.shape == (6, 4, 4)
    with pytest.raises(SnnccError, match="5 time steps and the program takes 6"):
        program.run(x[:, :5])


def test_a_module_of_one_step_is_called_t_times(spikingjelly):
    neuron = spikingjelly.module("neuron")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3),
        neuron.IFNode(),
        torch.nn.Flatten(),
        torch.nn.Linear(108, 5),
        neuron.LIFNode(tau=2.0),
    ).eval()
    x = events(4)
    program = snncc.compile(
        module, x[0, :2], target="reference", input="spike", layout="N", time_steps=6
    )
    assert snncc.compare(module, program, x).equal  # another input at each step
    assert program.run(x).logits.shape == (4, 5)
    assert snncc.compare(module, program, x[0]).equal  # the same at each
    assert program.run(x[0]).outputs.shape == (6, 4, 5)


# -- options of compile ------------------------------------------------------------------------


def test_the_program_says_what_went(module, program):
    auxiliary = sum(p.numel() for n, p in module.named_parameters() if "auxiliary" in n)
    assert auxiliary > 0
    assert program.about.stripped.parameters == auxiliary
    assert program.about.stripped.mac > 0
    assert set(program.auxiliary) <= set(program.graph.nodes)
    proof = program.about.verification.said
    for row in (*proof["module"]["calls"], *proof["passes"]):
        assert row["ties"] == 0
        assert row["neuron-steps"] > 0
    assert program.about.passes[-1] == "balance-delays{delays=62}"


def test_a_kept_aap_runs_on_the_host_on_the_programs_spikes(module):
    program = snncc.compile(module, events(2), target="reference", input="spike", keep_aap=True)
    x = events(4, seed=5)
    result = program.run(x)
    with torch.no_grad():
        spike, aap = network().double()(x.double())
    torch.testing.assert_close(result.heads["aap"], aap)
    torch.testing.assert_close(result.heads["average"], (spike + aap) / 2)
    simulation = snncc.simulate(program, x)
    assert simulation.host.total.mac > 0
    assert simulation.after.total.mac == 0


def test_the_head_asked_for_is_the_one_kept(module):
    program = snncc.compile(module, events(2), target="reference", input="spike", head=0)
    assert program.head == "0"
    with pytest.raises(SnnccError, match="no head '7'; the network has 0, 1"):
        snncc.compile(module, events(2), input="spike", head=7)


def test_another_reset_is_another_network(module, program):
    soft = snncc.compile(module, events(2), target="reference", input="spike", reset="soft")
    assert {p.neuron.reset for p in soft.network.populations if p.role == "neuron"} == {"soft"}
    assert not snncc.compare(module, soft, events(3)).equal


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight_bits": 9}, "weight_bits=9: a weight on loihi has 2 to 8 bits"),
        ({"weight_bits": 8, "target": "reference"}, "reference computes in floating point"),
        ({"reset": "none"}, "reset is hard or soft, not 'none'"),
        ({"target": "truenorth"}, "no target 'truenorth'; there are loihi, reference"),
        ({"print_after": ["fold"]}, "no pass 'fold' runs here"),
        ({"calibration": np.zeros((3, 1, 2, 8, 8))}, "has 3 steps and the example 6"),
        ({"calibration": np.zeros((6, 1, 2, 9, 9))}, "do not fit"),
        ({"calibration": np.full((6, 1, 2, 8, 8), np.nan)}, "SNN312.*calibration data holds NaN"),
    ],
)
def test_an_option_that_is_not_there_is_refused(module, options, said):
    with pytest.raises(SnnccError, match=said) as caught:
        snncc.compile(module, events(2), input="spike", **options)
    assert caught.value.exit_code == 2


def steps_of_passes(program):
    return sum(row.compared for row in program.about.verification.passes)


def test_calibration_data_takes_part_in_the_verification(module):
    plain = snncc.compile(module, events(2), target="reference", input="spike")
    more = snncc.compile(
        module, events(2), target="reference", input="spike", calibration=events(3, seed=4)
    )
    one, two = (steps_of_passes(program) for program in (plain, more))
    assert one % 4 == 0  # two samples of the example, two drawn ones
    assert two == 7 * one // 4
    none = snncc.compile(module, events(2), target="reference", input="spike", verify=False)
    assert none.about.verification is None


@pytest.mark.slow
def test_a_broken_pass_is_caught_by_the_verification(module, monkeypatch):
    from snncc.passes.fold_bn import FoldBn

    honest = FoldBn.__call__

    def careless(self, form):
        outcome = honest(self, form)
        tensors = {n: t * 1.1 if "threshold" in n else t for n, t in outcome.form.tensors.items()}
        return replace(outcome, form=outcome.form.with_changes(tensors=tensors))

    monkeypatch.setattr(FoldBn, "__call__", careless)
    with pytest.raises(PassError, match="pass fold-bn, after .*lower, changed the network: popul"):
        snncc.compile(module, events(2), target="reference", input="spike")


# -- check -------------------------------------------------------------------------------------


def test_check_says_the_same_and_raises_nothing(module, program):
    report = snncc.check(module, events(2), input="spike")
    assert report.ok
    assert {f.code for f in report.findings} == {f.code for f in program.findings}


def test_check_collects_the_errors():
    class Analog(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sn1, self.sn2, self.sn3 = (snncc.nn.IF() for _ in range(3))
            self.norm = torch.nn.LayerNorm(8)

        def forward(self, x):
            y = self.sn2(torch.relu(self.sn1(x) - 0.5 * x))
            return self.sn3(self.norm(y)).mean(0).flatten(1)

    report = snncc.check(Analog().eval(), events(2), input="analog")
    assert not report.ok
    errors = [f.code for f in report.findings if f.is_error]
    assert "SNN106" in errors
    assert len(set(errors)) > 1
    assert [f.is_error for f in report.findings] == sorted(
        (f.is_error for f in report.findings), reverse=True
    )
    with pytest.raises(SnnccError):
        snncc.compile(Analog().eval(), events(2), input="spike")


# -- work --------------------------------------------------------------------------------------


def test_stripping_saves_the_macs_and_the_chip_does_only_acs(module, program):
    simulation = snncc.simulate(program, events(3))
    assert simulation.before.samples == simulation.after.samples == 3
    classifier = 4 * 6  # as written it reads averages, once per sample
    assert simulation.before.total.mac == 3 * (program.about.stripped.mac + classifier)
    assert simulation.after.total.mac == 0
    assert simulation.after.total.ac > 0


@pytest.mark.slow
def test_stock_only_puts_relays_in_the_place_of_delays(module, program):
    stock = snncc.compile(module, events(2), input="spike", stock_only=True)
    assert stock.about.passes[-2:] == ("balance-delays", "check-stock")
    relays = [p.name for p in stock.scheduled.populations if p.role == "relay"]
    assert relays
    assert not any(p.role == "relay" for p in program.scheduled.populations)
    mine, theirs = (snncc.simulate(each, events(3), keep=None) for each in (stock, program))
    assert all(mine.after.parts[name].updates for name in relays)
    assert torch.equal(mine.result.outputs, theirs.result.outputs)


@pytest.mark.slow
def test_stock_only_refuses_what_no_stock_process_does(module):
    with pytest.raises(SnnccError, match="SNN213") as caught:
        snncc.compile(module, events(2), input="spike", stock_only=True, reset="soft")
    reasons = [f.message for f in caught.value.findings if f.code == "SNN213"]
    assert len(reasons) > 1
    assert all(reason.endswith(" has a soft reset") for reason in reasons)


def test_a_backend_the_program_is_not_for_is_refused(module):
    program = snncc.compile(module, events(2), target="reference", input="spike")
    with pytest.raises(SnnccError, match="does not run on 'lava' but on reference"):
        snncc.simulate(program, events(2), backend="lava")


def test_lava_says_what_the_reference_says(program, lava, tmp_path):
    x = events(3, seed=8)
    simulation = snncc.simulate(program, x, backend="lava", timeout=300)
    assert simulation.agreement.equal
    assert simulation.agreement.differing == 0
    neurons = sum(int(np.prod(p.shape)) for p in program.network.populations)
    assert simulation.agreement.compared == 6 * 3 * neurons
    torch.testing.assert_close(simulation.result.logits, program.run(x).logits)
    program.save(tmp_path / "p")
    again = snncc.simulate(snncc.load(tmp_path / "p"), x, backend="lava", timeout=300)
    assert again.agreement == simulation.agreement


def test_lava_runs_chunk_after_chunk(program, lava, monkeypatch):
    monkeypatch.setattr("snncc.backends.reference.fused.TILE", 1)
    x, steps = events(3, seed=8), []
    simulation = snncc.simulate(
        replace(program), x, "lava", memory=1, timeout=300,
        on_step=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert simulation.agreement.equal
    neurons = sum(int(np.prod(p.shape)) for p in program.network.populations)
    assert simulation.agreement.compared == 6 * 3 * neurons
    torch.testing.assert_close(simulation.result.logits, program.run(x).logits)
    assert steps == sorted(steps)  # Lava tells now and then; of so short a run maybe never
    assert len({total for _, total in steps}) <= 1


# -- on disk -----------------------------------------------------------------------------------


@pytest.fixture
def folder(program, tmp_path):
    program.save(tmp_path / "p")
    return tmp_path / "p"


def test_a_saved_program_comes_back_as_it_was(program, folder):
    again = snncc.load(folder)
    assert print_network(again.network) == print_network(program.network)
    assert print_network(again.scheduled) == print_network(program.scheduled)
    assert print_graph(again.graph) == print_graph(program.graph)
    assert again.findings == program.findings
    assert again.about == program.about
    assert (again.target, again.head, again.auxiliary) == ("loihi", "0", program.auxiliary)
    x = events(3, seed=9)
    assert torch.equal(again.run(x).logits, program.run(x).logits)


def test_a_program_saved_twice_is_the_same_byte_for_byte(program, folder, tmp_path):
    snncc.load(folder).save(tmp_path / "q")
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "q") for p in (tmp_path / "q").rglob("*.*"))
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "q" / name).read_bytes(), name


def test_saving_leaves_nothing_else_behind_and_replaces_a_program(program, folder):
    program.save(folder)
    assert [p.name for p in folder.parent.iterdir()] == ["p"]
    assert snncc.load(folder).head == "0"


def test_a_folder_that_is_no_program_is_left_alone(program, tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("…")
    for path in (precious, precious / "chapter1.tex"):
        with pytest.raises(SnnccError, match="exists and is not a compiled program"):
            program.save(path)
    assert (precious / "chapter1.tex").read_text() == "…"
    assert [p.name for p in tmp_path.iterdir()] == ["thesis"]


def test_an_empty_folder_is_filled(program, tmp_path):
    (tmp_path / "p").mkdir()
    program.save(tmp_path / "p")
    assert snncc.load(tmp_path / "p").target == "loihi"


def test_a_failure_while_writing_leaves_the_old_program_and_nothing_else(
    program, folder, monkeypatch
):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snncc.program.folder.files.save", full)
    with pytest.raises(SnnccError, match="cannot be written: No space left on device") as caught:
        program.save(folder)
    assert caught.value.exit_code == 2
    assert [p.name for p in folder.parent.iterdir()] == ["p"]
    assert snncc.load(folder).head == "0"


def test_a_changed_or_shortened_file_is_found(program, folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    assert len(files) >= 10
    for path in files:
        whole = path.read_bytes()
        assert whole
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for broken in (whole[: len(whole) // 2], b"", bytes(flipped), whole + b"\n"):
            path.write_bytes(broken)
            with pytest.raises(SnnccError) as caught:
                snncc.load(folder)
            assert [f.code for f in caught.value.findings] == ["SNN305"], path
            assert "\n" not in str(caught.value)
        path.unlink()
        with pytest.raises(SnnccError, match="SNN305"):
            snncc.load(folder)
        path.write_bytes(whole)
    assert snncc.load(folder).head == "0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("[]", "not that of a compiled program"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"format": "snncc program", "version": 99}', "format version 99 and this snncc reads 1"),
        ('{"format": "snncc program", "version": 1}', "manifest.json was changed"),
        ("\ud800", "is not text"),
    ],
)
def test_a_manifest_of_something_else_is_a_sentence(folder, manifest, said):
    (folder / "manifest.json").write_bytes(manifest.encode("utf-8", "surrogatepass"))
    with pytest.raises(SnnccError, match=said):
        snncc.load(folder)


def test_a_manifest_cannot_point_outside_its_folder(folder):
    from snncc.program.manifest import _canonical, _checksum

    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["checksum"]
    manifest["files"]["../../etc/passwd"] = "0" * 64
    text = _canonical({**manifest, "checksum": _checksum(manifest)})
    (folder / "manifest.json").write_text(text)
    with pytest.raises(SnnccError, match="names a file outside it"):
        snncc.load(folder)


def test_what_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(SnnccError, match="does not exist"):
        snncc.load(tmp_path / "nothing")
    with pytest.raises(SnnccError, match="is no compiled program"):
        snncc.load(tmp_path)


# -- the package -------------------------------------------------------------------------------


def test_importing_snncc_imports_no_torch():
    code = "import sys, snncc; dir(snncc); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_public_name_is_there():
    for name in snncc.__all__:
        assert getattr(snncc, name) is not None
    assert snncc.__version__
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        snncc.compil  # noqa: B018


# -- whole numbers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounded(module):
    return snncc.compile(
        module, events(2), "loihi1", input="spike", weight_bits=8, calibration=events(9, seed=3)
    )


@pytest.mark.slow
def test_a_program_in_whole_numbers_runs_in_them(module, program, rounded):
    assert rounded.network.is_fixed
    assert rounded.scheduled.is_fixed
    x = events(7, seed=1)
    exact, found = program.run(x), rounded.run(x)
    (readout,) = rounded.network.readouts
    unit, bias = (
        torch.from_numpy(rounded.network.tensors[ref]) for ref in (readout.unit, readout.bias)
    )
    sums = (found.outputs - bias) / unit
    torch.testing.assert_close(sums, sums.round(), atol=1e-6, rtol=0)
    flipped = sum(
        int((found.spikes[p.name] != exact.spikes[p.name]).sum())
        for p in program.network.populations
        if p.role == "neuron"
    )
    said = snncc.simulate(rounded, x).rounding
    assert (said.flipped, said.compared) == (
        flipped,
        sum(
            exact.spikes[p.name].numel() for p in program.network.populations if p.role == "neuron"
        ),
    )
    torch.testing.assert_close(said.logits, exact.logits.to(said.logits.dtype))
    comparison = snncc.compare(module, rounded, x)
    assert not comparison.equal
    assert comparison.mismatches < flipped


def test_it_reports_what_rounding_does(rounded):
    report = rounded.about.reports[Rounded]
    assert report.calibration == "9 samples"
    rows = {row.population: row for row in report.populations}
    assert rows.keys() == {
        p.name for p in (*rounded.network.populations, *rounded.network.readouts)
    }
    for row in rows.values():
        assert 0 < row.weight_range <= 1
        if row.role == "neuron":
            assert {"flipped", "saturations", "wraps", "membrane range"} <= row.said.keys()
            assert row.weight_snr_db > 30
    totals = report.totals
    assert totals.teacher_forced.part < 0.005
    assert 7 <= totals.same_class.samples <= totals.same_class.of == 9
    assert totals.teacher_forced.flipped <= totals.propagated.flipped
    assert rounded.about.options.weight_bits == 8


@pytest.mark.slow
def test_the_passes_behind_the_rounding_are_verified_in_whole_numbers(rounded):
    relayed = snncc.compile(network(), events(2), input="spike", weight_bits=6, stock_only=True)
    assert any(p.role == "relay" for p in relayed.scheduled.populations)
    assert not any(p.role == "relay" for p in relayed.network.populations)
    assert {p.neuron.dv for p in relayed.scheduled.populations if p.role == "relay"} == {4095}
    for each in (rounded, relayed):
        names = [name.partition("{")[0] for name in each.about.passes]
        assert names.index("quantize") + 1 == names.index("balance-delays")
        assert not any(row.ties for row in each.about.verification.passes)


@dataclass(frozen=True)
class Nudge(Pass):
    """Raises one threshold by one unit."""

    name: ClassVar = "nudge"
    reads: ClassVar = Network
    writes: ClassVar = Network

    def __call__(self, form):
        places = dict(form.places)
        place = places["stem_sn"]
        higher = place.neuron.vth + 1 if isinstance(place.neuron.vth, int) else 0
        places["stem_sn"] = replace(place, neuron=replace(place.neuron, vth=higher))
        return Outcome(form.with_changes(places.values(), form.projections, form.tensors))


def test_a_pass_behind_the_rounding_that_changes_a_spike_is_found(rounded):
    verification = Verification({"input": events(6, seed=4).double()})
    with pytest.raises(
        PassError, match=r"pass nudge changed the network: population stem_sn, step"
    ):
        run(rounded.network, [Nudge()], verify=verification)


def test_whole_numbers_come_back_from_disk(rounded, tmp_path):
    rounded.save(tmp_path / "program")
    again = snncc.load(tmp_path / "program")
    for form in ("network", "scheduled"):
        assert print_network(getattr(again, form)) == print_network(getattr(rounded, form))
    x = events(3, seed=2)
    assert torch.equal(again.run(x).logits, rounded.run(x).logits)
