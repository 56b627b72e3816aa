"""The proof: what was compared, from the module to the program."""

from __future__ import annotations

from snncc.program.parts import Parts
from snncc.report import Section, Table


def proof(program: Parts) -> Section:
    """Both ends of the proof: the calls of the module, and both sides of each pass."""
    record, title = program.about.verification, "Verification"
    if record is None:
        return Section("verification", title, ("Nothing was compared: --no-verify.",))
    calls = Table.of(
        "module against the recorded network",
        {"input": "text", "samples": "count", "arithmetic": "text", "neuron-steps": "count",
         "ties": "count", "seed": "text", "sha256": "text"},
        [
            (c.input, c.samples, c.dtype, c.compared, c.ties,
             None if c.seed is None else str(c.seed), c.sha256[:12])
            for c in record.calls
        ],
    )  # fmt: skip
    passes = Table.of(
        "both sides of each pass",
        {"pass": "text", "neuron-steps": "count", "ties": "count"},
        [(row.applied, row.compared, row.ties) for row in record.passes],
    )
    populations = Table.of(
        "neuron-steps of each population compared with the module",
        {"population": "text", "neuron-steps": "count"},
        record.populations.items(),
    )
    versions = Table.of("versions", {"library": "text", "version": "text"}, record.versions.items())
    says: tuple[str, ...] = (
        "Every spike of every neuron at every step was compared: the module with the network that "
        "was recorded of it, then the network before and after each pass. A spike that differs "
        "stops the compilation, so that none differs here. snncc verify runs this record again.",
        f"SHA-256 of the module's source {record.source[:12]}…, of its weights "
        f"{record.weights[:12]}….",
    )
    if record.elsewhere is not None:
        says = (*says, f"onnxruntime ran the file, too: {record.elsewhere.said}.")
    return Section("verification", title, says, (calls, passes, populations, versions))
