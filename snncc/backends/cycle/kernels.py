"""The inner loops of the cycle backend, compiled by numba and kept in its cache.

Tables are those of `snncc.backends.cycle.tables`, named tuples of arrays. A flag is one byte per
neuron and step: bit 0 whether the neuron is active, above it the count it sends. Times are
nanoseconds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from snncc.compiled import compiled

PARTS = 2**30
"""Times are whole numbers of 1/PARTS of a nanosecond."""

_U = np.uint64  # of an index without a sign numba need not ask whether it counts from the end
_jit = compiled(nogil=True, error_model="numpy")


@njit(inline="always")
def _fired(spikes, fired):
    """Write down who of ``spikes`` (m,) fired; gives how many.

    Everybody is written down, without a branch, and who did not fire is written over.
    """
    many = _U(0)
    for i in range(_U(len(spikes))):
        fired[many] = i
        many += _U(spikes[i] > 0)
    return many


@_jit
def touch(spikes, sample, hearing, first, flags):
    """Set bit 0 of ``flags`` where a spike arrives, ``hearing.delay`` steps after it was sent.

    ``spikes`` (T, …, m) are of one place, ``flags`` (N·T, n) of all, of the samples from ``sample``
    on; the targets begin at ``first``.
    """
    sources, targets = hearing.sources, hearing.targets
    start, heard, delay = hearing.start, hearing.heard, hearing.delay
    steps, _, neurons = spikes.shape
    fired = np.empty(neurons, np.int32)
    said = np.zeros(len(start) - 1, np.uint8)
    hit = np.zeros(targets.max() + 1 if len(targets) else 0, np.uint8)
    for n in range(len(flags) // steps):
        for t in range(delay, steps):
            many = _fired(spikes[t - delay, sample + n], fired)
            if many == 0:
                continue
            said[:] = 0
            hit[:] = 0
            for j in range(many):
                c = _U(sources[_U(fired[j])])
                if said[c] == 0:
                    said[c] = 1
                    for k in range(_U(start[c]), _U(start[c + _U(1)])):
                        hit[_U(heard[k])] = 1
            here = flags[n * steps + t, first : first + len(targets)]
            for i in range(_U(len(targets))):
                here[i] |= hit[_U(targets[i])]


@_jit
def mark(spikes, sample, first, rest, driven, forgets, memoryless, flags):
    """Finish the ``flags`` (N·T, n) of the place that begins at ``first``.

    Before, bit 0 says whether something arrives. ``spikes`` (T, …, m) are its own, those from
    ``sample`` on.
    """
    steps, _, neurons = spikes.shape
    alive = np.empty(neurons, np.uint8)
    forget, memory = np.uint8(forgets), np.uint8(not memoryless)
    for n in range(len(flags) // steps):
        for i in range(neurons):
            alive[i] = 1 - rest[i]
        for t in range(steps):
            now = spikes[t, sample + n]
            here = flags[n * steps + t, first : first + neurons]
            for i in range(neurons):
                moved = here[i] | driven[i]
                active = moved | alive[i]
                fires = np.uint8(now[i] > 0)
                alive[i] = active & (np.uint8(1) ^ (forget & fires)) & (memory | moved)
                here[i] = np.uint8(now[i] << np.uint8(1)) | active


@_jit
def source_flags(spikes, sample, first, flags):
    """The same of a source: it sends and is never updated."""
    steps, _, neurons = spikes.shape
    for n in range(len(flags) // steps):
        for t in range(steps):
            now = spikes[t, sample + n]
            here = flags[n * steps + t, first : first + neurons]
            for i in range(neurons):
                here[i] = np.uint8(now[i] << np.uint8(1))


@_jit
def tally(flags, begin, orders, groups_, rows, counts, group_spikes):
    """Count one run of steps. ``flags`` (R, n); step s is row ``begin + s - lag`` of each place.

    Fills a `Tally`, ``counts``, and (G,) ``group_spikes``, how often each group was sent. A group
    is of one core and place, so of one run of the order. One compiled loop, and long for it.
    """
    order, run_start, run_place = orders.neurons, orders.run_start, orders.run_place
    core_start, lag = orders.core_start, orders.lag
    group, group_row, group_hops = groups_.of, groups_.row, groups_.hops
    row_start, entry_core, entry_events = rows.start, rows.core, rows.events
    layer_start, layer_place, layer_events = rows.layer_start, rows.layer_place, rows.layer_events
    packets_out, packets_in, events = counts.packets_out, counts.packets_in, counts.events
    active, core_hops, sent = counts.active, counts.hops, counts.layer_spikes
    layer_events_in, layer_active = counts.layer_events, counts.layer_active
    layer_packets, layer_hops = counts.layer_packets, counts.layer_hops
    steps, cores = packets_out.shape
    groups = len(group_row)
    said = np.zeros((groups, 2), np.int64)  # in this run: spikes and what they carry
    used = np.empty(groups, np.int32)
    fired = np.empty(np.diff(run_start).max() if len(run_place) else 0, np.int32)
    for s in range(steps):
        for c in range(cores):
            for u in range(core_start[c], core_start[c + 1]):
                p = run_place[u]
                r = begin + s - lag[p]
                if r < 0 or r >= len(flags):
                    continue
                now = flags[r]
                alive = _U(0)
                many = _U(0)
                for k in range(_U(run_start[u]), _U(run_start[u + 1])):
                    i = _U(order[k])
                    flag = now[i]
                    alive += _U(flag & np.uint8(1))
                    # Written down in any case, and kept if it fires: no branch.
                    fired[many] = i
                    many += _U(flag > np.uint8(1))
                active[s, c] += np.int64(alive)
                layer_active[s, p] += np.int64(alive)
                spikes = np.int64(0)
                of_run = _U(0)
                for k in range(many):
                    i = _U(fired[k])
                    count = np.int64(now[i] >> np.uint8(1))
                    spikes += count
                    if group[i] >= 0:
                        g = _U(group[i])
                        if said[g, 0] == 0:
                            used[of_run] = g
                            of_run += _U(1)
                        said[g, 0] += 1
                        said[g, 1] += count
                sent[s, p] += spikes
                out = 0
                east = 0
                north = 0
                far = 0
                for k in range(of_run):
                    g = _U(used[k])
                    packets, count = said[g, 0], said[g, 1]
                    said[g, 0] = 0
                    said[g, 1] = 0
                    group_spikes[g] += packets
                    r_g = _U(group_row[g])
                    e0, e1 = _U(row_start[r_g]), _U(row_start[r_g + _U(1)])
                    out += packets * np.int64(e1 - e0)
                    east += packets * group_hops[g, 0]
                    north += packets * group_hops[g, 1]
                    far += packets * group_hops[g, 2]
                    for e in range(e0, e1):
                        to = _U(entry_core[e])
                        packets_in[s, to] += packets
                        events[s, to] += count * entry_events[e]
                    for e in range(_U(layer_start[r_g]), _U(layer_start[r_g + _U(1)])):
                        layer_events_in[s, _U(layer_place[e])] += count * layer_events[e]
                packets_out[s, c] += out
                layer_packets[s, p] += out
                for d, hops in enumerate((east, north, far)):
                    core_hops[s, c, d] += hops
                    layer_hops[s, p, d] += hops


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


@njit(inline="always")
def _add(sums, k, time):
    """Add a time on the grid to ``sums[k]``, exactly: whole nanoseconds, and parts of one."""
    whole = np.int64(time)
    sums[k, 0] += whole
    sums[k, 1] += np.int64((time - whole) * PARTS)


@_jit
def deliver(flags, begin, orders, groups_, routes, ns, depth, most, times):
    """Time every packet of one run of steps; no step has more than ``most`` spikes.

    A spike of group g is the packets ``legs[packet_start[g]:packet_start[g + 1]]`` (`LEG`) of
    ``routes``, a `Ways`: each keeps its core for ``ns.axon_in`` and as many times ``work`` as the
    spike carries. Fills ``ends``, ``finish`` and ``waited`` of ``times``, adds to its
    ``link_waited`` and ``latency``, and returns the longest latency.

    Event by event. A node is a link, the inbox of a core or its sender, in this order. Links and
    inboxes are queues with room for ``depth`` packets, a sender holds the one it has made; the
    first packet of a link and that of a sender ask for the node that is next on their way, and
    wait there in the order in which they asked. An event is the number of its node: the first
    packet of a link has come, a core has worked off a packet, a sender has made one; or of a link
    behind the senders: it is free again. Of events at the same time the lower number is first, and
    what follows from one is done before the next. One compiled loop, and long for it.
    """
    order, run_start, run_place = orders.neurons, orders.run_start, orders.run_place
    core_start, lag, updates = orders.core_start, orders.lag, orders.updates
    group, legs_of_group = groups_.of, groups_.packet_start
    legs, ways, link_ns = routes.legs, routes.links, routes.link_ns
    slot_ns, active_ns, inactive_ns = ns.slot, ns.active, ns.inactive
    out_ns, in_ns = ns.axon_out, ns.axon_in
    ends, finish, waited = times.ends, times.finish, times.waited
    link_waited, latency = times.link_waited, times.latency
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
                    _add(latency, 0, over - starts.ready)
                    longest = max(longest, over - starts.ready)
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
                        _add(link_waited, to if to < inboxes else giver, stands)
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
                            _add(link_waited, to, stands)
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
    return longest
