"""The inner loops of the cycle backend, compiled by numba and kept in its cache.

Tables are those of `snncc.backends.cycle.wiring.Wiring`. A flag is one byte a neuron and step:
bit 0 whether the neuron is active, above it the count it sends. Times are nanoseconds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from snncc.compiled import compiled

_jit = compiled(nogil=True, error_model="numpy")


@_jit
def touch(spikes, sources, targets, start, heard, delay, touched):
    """Set ``touched`` (T, n) where a spike of ``spikes`` (T, m) arrives, ``delay`` steps later."""
    steps, neurons = spikes.shape
    said = np.zeros(len(start) - 1, np.uint8)
    hit = np.zeros(targets.max() + 1 if len(targets) else 0, np.uint8)
    for t in range(delay, steps):
        said[:] = 0
        for i in range(neurons):
            said[sources[i]] |= spikes[t - delay, i] > 0
        hit[:] = 0
        for c in range(len(said)):
            if said[c]:
                for k in range(start[c], start[c + 1]):
                    hit[heard[k]] = 1
        for i in range(len(targets)):
            touched[t, i] |= hit[targets[i]]


@_jit
def mark(spikes, touched, rest, driven, forgets, memoryless, flags):
    """The flags (T, n) of one sample from its spikes (T, n) and the events that arrive."""
    steps, neurons = flags.shape
    alive = np.empty(neurons, np.uint8)
    for i in range(neurons):
        alive[i] = 1 - rest[i]
    for t in range(steps):
        for i in range(neurons):
            count = np.uint8(spikes[t, i])
            active = np.uint8(touched[t, i] | alive[i] | driven[i])
            calm = np.uint8(forgets & (count > 0)) | np.uint8(
                memoryless & ((touched[t, i] | driven[i]) == 0)
            )
            alive[i] = active & (np.uint8(1) - calm)
            flags[t, i] = np.uint8(count << np.uint8(1)) | active


@_jit
def source_flags(spikes, flags):
    """The flags (T, n) of a source: it sends and is never updated."""
    steps, neurons = flags.shape
    for t in range(steps):
        for i in range(neurons):
            flags[t, i] = np.uint8(np.uint8(spikes[t, i]) << np.uint8(1))


@_jit
def tally(
    flags, begin, first, lag, updates, core, group, group_row, row_start, entry_core, entry_events,
    layer_start, layer_place, layer_events, group_hops,
    packets_out, packets_in, events, active, core_hops, sent, layer_events_in, layer_active,
    layer_packets, layer_hops, group_spikes,
):  # fmt: skip
    """Count one run of steps. ``flags`` (R, n); step s is row ``begin + s - lag`` of each place.

    Fills (S, K) packets_out, packets_in, events, active and (S, K, 3) core_hops; (S, P) sent (the
    spikes), layer_events_in, layer_active, layer_packets and (S, P, 3) layer_hops; (G,)
    group_spikes.
    """
    steps = len(packets_out)
    groups = len(group_row)
    said = np.zeros((groups, 2), np.int64)  # in this step: spikes and what they carry
    used = np.empty(groups, np.int32)
    of_core = np.empty(groups, np.int32)
    of_place = np.empty(groups, np.int32)
    for s in range(steps):
        many = 0
        for p in range(len(lag)):
            r = begin + s - lag[p]
            if r < 0 or r >= len(flags):
                continue
            now = flags[r]
            alive = 0
            spikes = 0
            for i in range(first[p], first[p + 1]):
                flag = now[i]
                if flag == 0:
                    continue
                on = flag & np.uint8(1)
                alive += on
                active[s, core[i]] += on
                count = flag >> np.uint8(1)
                spikes += count
                g = group[i]
                if count == 0 or g < 0:
                    continue
                if said[g, 0] == 0:
                    used[many] = g
                    of_core[many] = core[i]
                    of_place[many] = p
                    many += 1
                said[g, 0] += 1
                said[g, 1] += count
            layer_active[s, p] = alive if updates[p] else 0
            sent[s, p] = spikes
        for k in range(many):
            g, c, p = used[k], of_core[k], of_place[k]
            packets, count = said[g, 0], said[g, 1]
            said[g, 0] = 0
            said[g, 1] = 0
            r_g = group_row[g]
            out = packets * (row_start[r_g + 1] - row_start[r_g])
            group_spikes[g] += packets
            packets_out[s, c] += out
            layer_packets[s, p] += out
            for d in range(3):
                core_hops[s, c, d] += packets * group_hops[g, d]
                layer_hops[s, p, d] += packets * group_hops[g, d]
            for e in range(row_start[r_g], row_start[r_g + 1]):
                packets_in[s, entry_core[e]] += packets
                events[s, entry_core[e]] += count * entry_events[e]
            for e in range(layer_start[r_g], layer_start[r_g + 1]):
                layer_events_in[s, layer_place[e]] += count * layer_events[e]


@njit(inline="always")
def _tell(tree, event, key):
    """Set the ``key`` of an event, a leaf of ``tree``; above, each is the least of the four below.

    Node n is below n div 4, and the first is 1. Always the whole way up, without a branch: that
    costs less than a heap, whose branches nobody foresees.
    """
    node = np.int64(event) + (len(tree) >> 1)
    tree[node] = key
    while node > 1:
        key = min(key, min(tree[node ^ 1], min(tree[node ^ 2], tree[node ^ 3])))
        node >>= 2
        tree[node] = key


@njit(inline="always")
def _plan(tree, when, bits, event, time):
    """Let an event happen at ``time``.

    A key is the time as its bits, in order because no time is negative, with the number of the
    event in place of the last of them.
    """
    when[event] = time
    mask = (len(tree) >> 1) - 1
    _tell(tree, event, bits[event] & ~mask | np.int64(event))


_NEVER = np.int64(2**63 - 1)
_NONE = np.uint32(2**32 - 1)
END = 2**32 - 1
"""What ends a way in the table of ways."""

LEG = np.dtype([("hop", np.uint32), ("core", np.uint32), ("work", np.float64)], align=True)
"""A packet of a group: where its way begins, its core, and what its synapses take for a spike."""

_NODE = np.dtype(
    [
        ("held", np.uint32),  # packets in its ring
        ("first", np.uint32),  # where in its ring the queue begins
        ("waits", np.uint32),  # the first node that waits for this one
        ("last", np.uint32),  # and the last
        ("after", np.uint32),  # the node that waits behind this one
        ("listed", np.bool_),  # among those to be served
        ("busy", np.bool_),  # its core works off a packet; of a link, that it is free will be told
        ("free", np.float64),  # from when on it takes a packet in
    ],
    align=True,
)
_PACKET = np.dtype(
    [
        ("hop", np.uint32),  # in the table of ways
        ("inbox", np.uint32),
        ("work", np.float64),
        ("ready", np.float64),
        ("there", np.float64),
    ],
    align=True,
)


@njit(inline="always")
def _list(node, number, serve, listing):
    """Put a node for which others wait into the ring of those to be served, once."""
    opens = (node[number].waits != _NONE) & (node[number].listed == False)  # noqa: E712
    node[number].listed |= opens
    serve[listing & (len(serve) - 1)] = number
    return listing + opens


@_jit
def deliver(
    flags, begin, lag, updates, order, run_start, run_place, core_start, group, legs_of_group,
    legs, ways, link_ns, slot_ns, active_ns, inactive_ns, out_ns, in_ns, depth, most,
    ends, finish, waited, link_waited, latency,
):  # fmt: skip
    """Time every packet of one run of steps; no step has more than ``most`` spikes.

    A spike of group g is the packets ``legs[legs_of_group[g]:legs_of_group[g + 1]]`` (`LEG`): from
    ``hop`` on its links stand in ``ways``, up to an `END`, and it keeps its core for ``in_ns`` and
    as many times ``work`` as it carries.

    Fills (S, K) ends, when a core has updated its last neuron and sent its last packet, finish,
    when it has worked off its last packet, and waited, how long its packets stood ready before a
    link or core took them; (L,) link_waited, how long packets stood before a link and behind it;
    (2,) latency, the sum and the longest time from ready to worked off.

    Event by event. A node is a link, the inbox of a core or its sender, in this order. Links and
    inboxes are queues with room for ``depth`` packets, a sender holds the one it has made; the
    first packet of a link and that of a sender ask for the node that is next on their way, and
    wait there in the order in which they asked. An event is the number of its node: the first
    packet of a link has come, a core has worked off a packet, a sender has made one; or of a link
    behind the senders: it is free again. Of events at the same time the lower number is first, and
    what follows from one is done before the next.
    """
    steps, cores = ends.shape
    inboxes = len(link_ns)
    senders = inboxes + cores
    frees = senders + cores
    when = np.empty(frees + inboxes, np.float64)
    bits = when.view(np.int64)
    leaves = 4
    while leaves < len(when):
        leaves *= 4
    mask = leaves - 1
    tree = np.full(2 * leaves, _NEVER)  # and so it is again when a step is over
    node = np.empty(frees, _NODE)
    packet = np.empty((frees, depth), _PACKET)
    room = np.uint32(depth)
    serve = np.empty(leaves, np.uint32)  # nodes that may take a packet in now, a ring
    gap = np.empty(most + 1, np.float64)
    spike = np.empty((most + 1, 3), np.int64)  # its first leg, the one behind its last, its count
    at = np.empty(cores + 1, np.int64)
    send = np.empty(cores, np.int64)
    leg = np.empty(cores, np.int64)
    tail = np.empty(cores, np.float64)
    total = 0.0
    longest = 0.0
    for s in range(steps):
        many = 0
        for c in range(cores):
            at[c] = many
            passed = 0.0
            for u in range(core_start[c], core_start[c + 1]):
                p = run_place[u]
                r = begin + s - lag[p]
                on = active_ns if updates[p] else 0.0
                off = inactive_ns if updates[p] else 0.0
                if r < 0 or r >= len(flags):
                    passed += off * (run_start[u + 1] - run_start[u])
                    continue
                now_flags = flags[r]
                for k in range(run_start[u], run_start[u + 1]):
                    i = order[k]
                    flag = now_flags[i]
                    passed += on if flag & np.uint8(1) else off
                    # Written down in any case, and kept if it sends: no branch.
                    sends = (flag > np.uint8(1)) & (group[i] >= 0)
                    gap[many] = passed
                    spike[many, 0] = i
                    spike[many, 2] = flag >> np.uint8(1)
                    many += sends
                    passed = 0.0 if sends else passed
            tail[c] = passed
        at[cores] = many
        for k in range(many):
            g = group[spike[k, 0]]
            spike[k, 0] = legs_of_group[g]
            spike[k, 1] = legs_of_group[g + 1]
        for k in range(frees):
            node[k].held = 0
            node[k].first = 0
            node[k].waits = _NONE
            node[k].listed = False
            node[k].busy = False
            node[k].free = 0.0
        for c in range(cores):
            ends[s, c] = tail[c]
            if at[c] < at[c + 1]:
                send[c] = at[c]
                leg[c] = spike[at[c], 0]
                _plan(tree, when, bits, senders + c, gap[at[c]] + out_ns)
        while tree[1] != _NEVER:
            event = np.uint32(tree[1] & mask)
            now = when[event]
            again = False  # whether the same event will happen again
            begins = _NONE  # an inbox whose core begins with the next packet
            asks = _NONE  # a node whose first packet asks for the next
            done = 0
            listing = 0
            if event < inboxes:
                asks = event
            elif event < senders:
                finish[s, event - inboxes] = now
                if node[event].held > 0:
                    begins = event
                else:
                    node[event].busy = False
            elif event < frees:
                c = event - senders
                ahead = legs[leg[c]]
                made = packet[event, 0]
                made.hop = ahead.hop
                made.inbox = inboxes + ahead.core
                made.work = in_ns + spike[send[c], 2] * ahead.work
                made.ready = now
                made.there = now
                asks = event
            else:
                node[event - frees].busy = False
                node[event - frees].listed = True
                serve[0] = event - frees
                listing = 1
            while True:
                if begins != _NONE:
                    here = node[begins]
                    starts = packet[begins, here.first]
                    here.first = here.first + 1 if here.first + 1 < depth else 0
                    here.held -= 1
                    here.busy = True
                    over = now + starts.work
                    total += over - starts.ready
                    if over - starts.ready > longest:
                        longest = over - starts.ready
                    _plan(tree, when, bits, begins, over)
                    again |= begins == event
                    listing = _list(node, begins, serve, listing)
                    begins = _NONE
                if asks != _NONE:
                    asking = packet[asks, node[asks].first]
                    to = ways[asking.hop]
                    to = asking.inbox if to == END else to
                    there = node[to]
                    node[asks].after = _NONE
                    if there.waits == _NONE:
                        there.waits = asks
                        if there.held < depth:
                            listing = _list(node, to, serve, listing)
                    else:
                        node[there.last].after = asks
                    there.last = asks
                    asks = _NONE
                if done == listing:
                    break
                to = serve[done & mask]
                there = node[to]
                if (there.waits != _NONE) & (there.held < room) & (there.free <= now):
                    # The first packet of the node that waits first goes behind the last one here.
                    giver = there.waits
                    here = node[giver]
                    there.waits = here.after
                    goes = packet[giver, here.first]
                    behind = there.first + there.held
                    comes = packet[to, behind - room if behind >= room else behind]
                    comes.hop = goes.hop + 1
                    comes.inbox = goes.inbox
                    comes.work = goes.work
                    comes.ready = goes.ready
                    stands = now - goes.there
                    if giver < inboxes:
                        link_waited[to if to < inboxes else giver] += stands
                        here.first = here.first + 1 if here.first + 1 < depth else 0
                        here.held -= 1
                        if here.held > 0:
                            comes_on = packet[giver, here.first].there
                            if comes_on <= now:
                                asks = giver
                            else:
                                _plan(tree, when, bits, giver, comes_on)
                                again |= giver == event
                        listing = _list(node, giver, serve, listing)
                    else:
                        if to < inboxes:
                            link_waited[to] += stands
                        c = giver - senders
                        waited[s, c] += stands
                        leg[c] += 1
                        if leg[c] < spike[send[c], 1]:
                            _plan(tree, when, bits, giver, now + out_ns)
                            again |= giver == event
                        elif send[c] + 1 < at[c + 1]:
                            send[c] += 1
                            leg[c] = spike[send[c], 0]
                            _plan(tree, when, bits, giver, now + out_ns + gap[send[c]])
                            again |= giver == event
                        else:
                            ends[s, c] = now + tail[c]
                    there.held += 1
                    if to < inboxes:
                        there.free = now + slot_ns
                        comes.there = now + link_ns[to]
                        if there.held == 1:
                            _plan(tree, when, bits, to, comes.there)
                            again |= to == event
                    else:
                        if not there.busy:
                            begins = to
                        if begins == to or there.held < room:
                            continue
                # No more now; a link with room takes the next when it is free.
                more = (there.waits != _NONE) & (there.held < room) & (to < inboxes)
                if more and not there.busy:
                    there.busy = True
                    _plan(tree, when, bits, frees + to, there.free)
                    again |= frees + to == event
                there.listed = False
                done += 1
            if not again:
                _tell(tree, event, _NEVER)
    latency[0] += total
    latency[1] = max(latency[1], longest)
