"""The cycle backend: what a mapped network takes on a chip, packet by packet.

It replays the spikes of a functional run; it computes no membrane. What it assumes:

- *Step.* In a step every core goes through its neurons in order (place after place, each in C
  order), one at a time: the update of the neuron, and if it fires axon-out for one packet to each
  core that holds a target, one after the other. A packet that finds no room holds its core up.
- *Packets.* One for each spike and core it goes to, whatever the number of synapses and
  projections. An event of count k is a spike that carries k, and k operations at each synapse.
  Delays are kept at the target.
- *Network.* XY routing, east-west first. A packet enters a link when it has arrived, the link has
  passed on the one before (1 / ``link_spikes_s``) and the buffer behind it has room
  (``buffer_spikes``); it is there ``hop_*_s`` later. It leaves that buffer when the next link or
  the target core takes it in, and a core has an inbox as deep. Links and cores serve first come,
  first served; a buffer is a queue, in which a packet waits for those before it, wherever they go.
- *Core, receiving.* One packet at a time: ``tile_s`` through the port of the tile, ``axon_in_s``,
  ``synapse_s`` for each operation at its synapses in that core. Sending and receiving go on side
  by side.
- *Barrier.* A step ends when the last core has sent and worked off all, and then takes
  ``barrier_s`` of the tiles in use, and no less than ``step_s`` in all.
- *Neurons.* Every mapped neuron is updated in every step. It is *active* unless it is at rest:
  nothing has arrived in the step before, nothing drives it (a bias, a current from the host), and
  nothing has happened to it since its last hard reset or the beginning of the sample. A membrane
  that comes back to exactly zero by itself counts as not at rest. Neurons of a source only send:
  no update. Currents from the host are written at no cost.
- *Stream.* Samples follow each other without a bubble; a place at level l answers step t of the
  input in step t + l.

Level "count" adds up what each core does and takes the busiest; level "packet" times every packet.
Counts and energies are the same in both, and no step is longer in "count" than in "packet".

Totals are of all steps of a run, and exact: the same to the last bit, however the samples come in
chunks and whoever shares the steps. Step by step there are the first thousand.
"""

from snncc.backends.cycle.backend import Cycle
from snncc.backends.cycle.replay import Replay, measure
from snncc.backends.cycle.steps import Level
from snncc.backends.cycle.timing import Timing
from snncc.backends.cycle.wiring import Wiring, wire

__all__ = ["Cycle", "Level", "Replay", "Timing", "Wiring", "measure", "wire"]
