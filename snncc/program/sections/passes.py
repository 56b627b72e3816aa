"""What each pass did: the network before and behind it."""

from __future__ import annotations

from snncc.program.parts import Parts
from snncc.report import Section, Table
from snncc.report.charts import bars


def passes(program: Parts) -> Section | None:
    """The size of the network as it was traced and behind each pass; None where it is unknown."""
    sizes = program.about.sizes
    if not sizes:
        return None
    names, record = ["as traced", *program.about.passes], program.about.verification
    compared = {} if record is None else {row.applied: row.compared for row in record.passes}
    table = Table.of(
        "the network before and after each pass",
        {"after": "text", "form": "text", "ops or places": "count", "edges": "count",
         "neurons": "count", "numbers stored": "count", "neuron-steps compared": "count"},
        [
            (name, size.form, size.nodes, size.edges, size.neurons, size.numbers,
             compared.get(name))
            for name, size in zip(names, sizes, strict=True)
        ],
    )  # fmt: skip
    says = (
        "A pass rewrites the network; each row is the network that it left. First it is a Graph "
        "of ops, then a Network of places, which in the end have levels (Scheduled) and cores "
        "(Mapped).",
    )
    pictures = (
        bars(table, "after", "ops or places", says="Ops of the Graph, then places of the Network."),
        bars(table, "after", "numbers stored", says="Weights, thresholds and other parameters."),
    )
    return Section("passes", "Passes", says, (table,), pictures)
