"""recognise-neurons: Graph → Graph, in exact arithmetic the same spikes.

A membrane that is written as arithmetic is a value that feeds back through a Delay and is compared:
the comparison becomes the `Spiking` it computes. By algebra, not by patterns (the room
`snncc.recognition`):

1. u is what the comparison asks to be at or above 0: the difference of its two sides, followed back
   through sums, products with spikes or numbers and choices by spikes, to what the step before left
   (states) and to currents, which are all other real values. A bound or another function of a state
   and a product of two states or currents have no such form.
2. s is the spike of this comparison, r the one of the step before: what is left of s behind a
   Delay, or a comparison of states alone that asks the same of the step before.
3. Each state must be left as k·u + c, with k and c by s. Then u = P·u' + Q + B·x, where u' is u of
   the step before, and P, Q and B hang on r. That is a proof, for all inputs.
4. A state of its own input alone, without spikes, is a synaptic current; where the membrane reads
   it before it is renewed, its input comes through a Delay.
5. Where u grows by B > 0 of a current, it is counted in units of B.
6. With h = u + θ: Q as without spikes, a soft reset takes θ from h, a hard one keeps a part of it,
   or nothing, and adds a value; now, or in the next step, where a hard one does so with the
   current too. What is left over is a constant current.
7. The first membrane and the first synaptic current follow from the states' own beginning.
8. Whatever no longer reaches a head goes. What still reads a state reads it of the `Membrane`.
9. A comparison of a state that is no neuron is refused, once for all that share a state; so is a
   real value that still feeds back to itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import Graph
from snncc.ir.ops import Delay
from snncc.passes.base import Outcome, Pass
from snncc.recognition.equations import NoForm
from snncc.recognition.reading import Reading, touched
from snncc.recognition.refusals import refusals
from snncc.recognition.rewriting import Rewriting
from snncc.recognition.spellings import in_one_spelling
from snncc.recognition.written_neurons import WrittenNeuron, neuron
from snncc.reports import Report


@dataclass(frozen=True)
class Recognised(Report):
    """The comparisons that became neurons."""

    recognised: tuple[str, ...]


@dataclass(frozen=True)
class RecogniseNeurons(Pass[Graph, Graph]):
    name: ClassVar[str] = "recognise-neurons"
    summary: ClassVar[str] = "Finds neurons that are written as arithmetic."
    reports: ClassVar[type[Report]] = Recognised

    def __call__(self, form: Graph) -> Outcome[Graph]:
        if not form.of_type(Delay):
            return Outcome(form)
        form = in_one_spelling(form, touched(form))
        reading = Reading(form)
        found: dict[str, WrittenNeuron] = {}
        refused: dict[str, NoForm] = {}
        for name in reading.comparisons:
            try:
                written = neuron(reading, name)
            except NoForm as error:
                refused[name] = error
            else:
                if written is not None:
                    found[name] = written
        graph = Rewriting(form).replaced(found) if found else form
        findings = tuple(refusals(graph, reading, refused))
        return Outcome(graph, findings, Recognised(tuple(sorted(found))) if found else None)
