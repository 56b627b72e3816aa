"""snncc verify: the record of a proof runs again, and says what is not as recorded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch

import snncc
from snncc.ir import files
from snncc.ir.graph import Graph
from snncc.nn import SAFNet
from snncc.program.manifest import _canonical, _checksum, digests
from snncc.verification.probes import SAMPLES

pytestmark = pytest.mark.slow


def lines(result):
    """What was compared: (name, mark, rest) of each line."""
    return [
        (row[2:36].strip(), row[36:45].strip(), row[45:])
        for row in result.stdout.splitlines()
        if row.startswith("  ")
    ]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--target", "reference"),
        ("--target", "loihi1", "--weight-bits", "8"),
        ("--stock-only",),
        ("--keep-aap",),
        ("--reset", "soft"),
        ("--head", "0"),
    ],
)
def test_a_program_is_what_its_record_says(run, model, data, options):
    calibrate = ("--calibrate", data) if "--weight-bits" in options else ()
    assert run("compile", model, "-o", "out", *options, *calibrate).exit_code == 0
    result = run("verify", "out", model)
    assert result.exit_code == 0, result.output
    marks = {mark for _, mark, _ in lines(result)}
    assert marks == {"same", "-"}  # "-": the versions, which say nothing about the proof
    assert "out is what its record says" in result.stdout
    names = [name for name, _, _ in lines(result)]
    assert "module's weights" in names
    assert "fold-bn" in names
    assert "network → program" in names
    assert ("package" in names) is ("reference" not in options)


def test_a_program_for_a_chip_of_ones_own(run, model, tmp_path):
    text = (resources.files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text)
    assert run("compile", model, "--target", "mine.toml", "-o", "out").exit_code == 0
    (tmp_path / "mine.toml").unlink()
    result = run("verify", "out", model)
    assert result.exit_code == 0, result.output


def test_analog_samples_beyond_those_that_are_kept_change_nothing(run, tmp_path):
    """The example is all of the calibration data, the program's folder keeps its first samples."""
    torch.manual_seed(0)
    network = SAFNet(size=8, widths=(3, 4), pools=(True, False), full_scale=1.0).eval()
    images = torch.rand(20, 1, 8, 8)
    images[SAMPLES:] *= 10
    np.savez(tmp_path / "images.npz", inputs=images.numpy())
    snncc.save_model(network, tmp_path / "saf.pt", images, layout="N", input="analog")
    calibrate = ("--weight-bits", "8", "--calibrate", tmp_path / "images.npz")
    assert run("compile", tmp_path / "saf.pt", "-o", "out", *calibrate).exit_code == 0
    result = run("verify", "out", tmp_path / "saf.pt")
    assert result.exit_code == 0, result.output


def test_without_the_model_the_proof_begins_at_the_graph(run, program):
    result = run("verify", program)
    assert result.exit_code == 0, result.output
    (module,) = [row for row in lines(result) if row[0] == "module"]
    assert module[1:] == ("-", "not compared: name MODEL to compare it")
    assert not any("module's" in name for name, _, _ in lines(result))


def test_the_counts_are_those_of_the_record(run, model, program):
    proof = snncc.load(program).about.verification.said
    result = run("verify", program, model)
    said = {name: rest for name, _, rest in lines(result)}
    total = sum(call["neuron-steps"] for call in proof["module"]["calls"])
    assert (
        f"0 of {total:,} neuron-steps differ in {len(proof['module']['calls'])} calls"
        in (said["module → network"])
    )
    for row in proof["passes"]:
        assert f"0 of {row['neuron-steps']:,} neuron-steps" in said[row["pass"]]
    assert proof["versions"]["torch"] == torch.__version__


def differing(result):
    assert result.exit_code == 1, result.output
    assert "is NOT what its record says" in result.stdout
    return {name for name, mark, _ in lines(result) if mark == "DIFFERS"}


def test_other_weights_of_the_module(run, program, other_model):
    found = differing(run("verify", program, other_model))
    assert found == {"module's weights", "module → network"}


def forged(program, folder):
    """A copy whose checksums will be made anew."""
    shutil.copytree(program, folder)
    return folder


def sealed(folder, **changes):
    """Make the checksums of a changed folder right again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["checksum"]
    (folder / "manifest.json").unlink()
    manifest |= changes | {"files": digests(folder)}
    text = _canonical({**manifest, "checksum": _checksum(manifest)})
    (folder / "manifest.json").write_text(text)


def edited(folder, form):
    """Another number in a tensor of one of the forms."""
    graph = files.load(folder / form)
    tensors = dict(graph.tensors)
    name = next(name for name, tensor in tensors.items() if tensor.size > 20)
    tensors[name] = tensors[name].copy()
    tensors[name].flat[0] += 0.5
    if isinstance(graph, Graph):
        nodes = graph.nodes.values()
        other = Graph.build(nodes, tensors, graph.heads, graph.name, graph.time_steps)
    else:
        other = replace(graph, tensors=tensors)
    files.save(other, folder / form)


@pytest.mark.parametrize("form", ["graph", "network", "scheduled"])
def test_a_form_that_was_changed_and_sealed_again(run, model, program, tmp_path, form):
    folder = forged(program, tmp_path / "forged")
    edited(folder, form)
    sealed(folder)
    expected = {
        "graph": "module → network", "network": "network → program",
        "scheduled": "program → schedule",
    }  # fmt: skip
    assert expected[form] in differing(run("verify", folder, model))


def test_a_package_that_was_changed_and_sealed_again(run, model, program, tmp_path):
    folder = forged(program, tmp_path / "forged")
    code = folder / "loihi" / "network.py"
    code.write_text(code.read_text() + "\n# changed\n")
    sealed(folder)
    assert differing(run("verify", folder, model)) == {"package"}


def test_inputs_that_were_changed_and_sealed_again(run, model, program, tmp_path):
    folder = forged(program, tmp_path / "forged")
    with np.load(folder / "inputs.npz") as file:
        inputs = {name: 1 - array for name, array in file.items()}
    np.savez_compressed(folder / "inputs.npz", **inputs)
    sealed(folder)
    assert "inputs" in differing(run("verify", folder, model))


def test_counts_that_were_changed_and_sealed_again(run, model, program, tmp_path):
    folder = forged(program, tmp_path / "forged")
    proof = snncc.load(program).about.verification.said
    proof["passes"][0]["neuron-steps"] += 1
    proof["module"]["populations"]["stem_sn"] += 1
    sealed(folder, verification=proof)
    assert differing(run("verify", folder, model)) == {
        "select-head", "module → network", "inputs",
    }  # fmt: skip


def tampered(program, folder, change):
    """A copy whose manifest, and perhaps files, ``change`` was let loose on."""
    forged(program, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["checksum"]
    (folder / "manifest.json").unlink()
    kept = manifest["files"]
    change(manifest, folder)
    if manifest.get("files") is kept:
        manifest["files"] = digests(folder)
    text = _canonical({**manifest, "checksum": _checksum(manifest)})
    (folder / "manifest.json").write_text(text)
    return folder


def put(*path):
    """Put the last of ``path`` where the others lead."""
    *way, last, value = path

    def change(manifest, folder):
        for step in way:
            manifest = manifest[step]
        manifest[last] = value

    return change


def drop(*path):
    *way, last = path

    def change(manifest, folder):
        for step in way:
            manifest = manifest[step]
        del manifest[last]

    return change


def removed(*names):
    def change(manifest, folder):
        for name in names:
            gone = folder / name
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()

    return change


PROOF, CALL = ("verification",), ("verification", "module", "calls", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *((drop(name), f"no `{name}`") for name in (
            "verification", "options", "source", "reports", "stripped", "findings", "passes",
            "head", "keep_aap", "auxiliary", "target", "files",
        )),
        (drop(*PROOF, "versions"), "no `versions`"),
        (drop(*PROOF, "module"), "no `module`"),
        (drop(*PROOF, "module", "populations"), "no `populations`"),
        (drop(*CALL, "ties"), "no `ties`"),
        (put(*PROOF, "versions", None), "`versions` is not of the right kind"),
        (put(*PROOF, "module", "samples", ["a"]), "`samples` is not of the right kind"),
        (put(*PROOF, "module", "samples", [-2]), "`samples` is less than 1"),
        (put("files", []), "`files` is not of the right kind"),
        (put("files", {"a\0b": "0"}), "no file has that name"),
        (put("options", {"rest": 1}), "the option `rest` is not known"),
        (put("more", 1), "`more` is not known"),
        (put("target", "other.toml"), "chip.toml is missing"),
        (removed("inputs.npz"), "inputs.npz does not hold the example"),
        (removed("graph"), "holds no readable network"),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_a_sentence(refused, program, tmp_path, change, said):
    result = refused("verify", tampered(program, tmp_path / "f", change), said=said)
    assert "error[SNN305]" in result.stderr


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (drop(*PROOF, "passes", -1), "balance-delays{delays=62}"),
        (put(*PROOF, "passes", 0, "pass", "other"), "select-head"),
        (drop(*CALL), "inputs"),
        (put(*CALL, "input", "another"), "inputs"),
        (put(*CALL, "samples", 7), "inputs"),
        (put(*CALL, "neuron-steps", 1), "inputs"),
        (put(*CALL, "dtype", "float16"), "module → network"),
        (put(*PROOF, "module", "calls", []), "inputs"),
        (put("target", "loihi1"), "passes"),
        (put("passes", []), "passes"),
        (put("head", "9"), "head"),
        (put("auxiliary", []), "auxiliary"),
        (put("keep_aap", True), "keep_aap"),
        (put("options", "keep_aap", True), "keep_aap"),
        (put("findings", []), "findings"),
        (put("reports", {}), "reports"),
        (put("stripped", "mac", 1), "stripped"),
        (removed("scheduled"), "program → schedule"),
        (lambda m, folder: (folder / "report.html").write_text("<p>fine</p>"), "pages"),
        (lambda m, folder: (folder / "notes.txt").write_text("listed"), "pages"),
        (put("processes", {}), "processes"),
    ],
)
def test_a_claim_that_was_changed_differs(run, model, program, tmp_path, change, name):
    folder = tampered(program, tmp_path / "f", change)
    assert name in differing(run("verify", folder, model))


def test_pictures_that_another_machine_draws_or_not_do_not_differ(
    run, model, program, tmp_path, monkeypatch
):
    monkeypatch.setattr("snncc.report.drawing.is_here", lambda: False)
    assert run("verify", program, model).exit_code == 0

    def change(manifest, folder):
        page = (folder / "report.html").read_text()
        (folder / "report.html").write_text(page.replace("SNN404", "SNN405"))

    assert differing(run("verify", tampered(program, tmp_path / "f", change), model)) == {"pages"}


def test_a_size_that_was_changed_differs(run, model, program, tmp_path):
    folder = tampered(program, tmp_path / "f", put("sizes", 0, "nodes", 1))
    assert differing(run("verify", folder, model)) >= {"sizes"}


def test_a_program_of_an_older_version_has_no_sizes(run, model, program, tmp_path):
    folder = tampered(program, tmp_path / "f", drop("sizes"))
    assert "sizes" not in differing(run("verify", folder, model))


def test_a_file_that_is_not_listed_differs_and_is_not_read(run, program, tmp_path):
    folder = forged(program, tmp_path / "f")
    for name in ("chip.toml", "mapping.npz", "loihi/more.py"):
        (folder / name).write_text("other")
    assert snncc.load(folder).target == "loihi"
    result = run("verify", folder)
    assert differing(result) == {"files"}
    assert "chip.toml is not in the list of the manifest" in result.stdout


def test_other_ties_alone_do_not_differ(run, model, program, tmp_path):
    def change(manifest, folder):
        manifest["verification"]["passes"][0]["ties"] = 3

    result = run("verify", tampered(program, tmp_path / "f", change), model)
    assert ("ties", "-") in {(name, mark) for name, mark, _ in lines(result)}
    assert "ties" not in {name for name, mark, _ in lines(result) if mark == "DIFFERS"}


def test_a_changed_file_is_exit_2(refused, program, tmp_path):
    folder = forged(program, tmp_path / "forged")
    (folder / "inputs.npz").write_bytes(b"")
    refused("verify", folder, said="inputs.npz was changed or cut short")


def test_what_has_no_record(run, refused, model, tmp_path):
    assert run("compile", model, "-o", "out", "--no-verify").exit_code == 0
    refused("verify", "out", said="was compiled with --no-verify and holds no record of a proof")
    refused("verify", "absent", said="absent does not exist")
