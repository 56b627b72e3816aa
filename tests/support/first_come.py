"""One step of a chip event by event, every link and core first come, first served.

Slow and plain: what `snncc.backends.cycle` assumes, with queues that are queues.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque

from snncc.backends.cycle.replay import entry_ns, link_ns, packet_ns


def packets(w, rows, step):
    """By core: (gap since the last packet, resources on the way, work at the end) and the tail."""
    work, (_, active, inactive, axon_out, axon_in) = entry_ns(w), packet_ns(w.chip)
    for core in range(len(w.cores)):
        passed, mine = 0.0, deque()
        for run in range(w.order.core_start[core], w.order.core_start[core + 1]):
            place = w.places[w.order.run_place[run]]
            r = step - place.lag
            for i in w.order.neurons[w.order.run_start[run] : w.order.run_start[run + 1]]:
                flag = int(rows[r, i]) if 0 <= r < len(rows) else 0
                if place.updates:
                    passed += active if flag & 1 else inactive
                if w.rows.of[i] < 0:
                    continue
                count = flag >> 1
                entries = range(w.rows.start[w.rows.of[i]], w.rows.start[w.rows.of[i] + 1])
                for at, entry in enumerate(
                    entries if count else (), w.groups.packet_start[w.groups.of[i]]
                ):
                    path = w.paths.of[at]
                    links = w.paths.links[w.paths.start[path] : w.paths.start[path + 1]].tolist()
                    way = [*(("link", k) for k in links), ("core", int(w.rows.core[entry]))]
                    mine.append((passed + axon_out, way, axon_in + count * work[entry]))
                    passed = 0.0
        yield mine, passed


class Chip:
    """Queues and events of one step.

    A node is ("link", k), ("core", c), the inbox of a core, or ("sender", c). Events are (time,
    kind, number): ties go by kind, then number.
    """

    KINDS = ("link", "core", "sender", "free")

    def __init__(self, w, rows, step):
        self.depth, self.slot = w.chip.buffer_spikes, packet_ns(w.chip)[0]
        self.delay = link_ns(w)
        self.sends, self.tails = zip(*packets(w, rows, step), strict=True)
        self.queue, self.waiting = defaultdict(deque), defaultdict(deque)
        self.held, self.free = defaultdict(int), defaultdict(float)
        self.busy, self.armed = set(), set()
        self.events, self.serving = [], deque()
        cores = range(len(self.sends))
        self.ends, self.finish, self.waited = ([0.0 for _ in cores] for _ in range(3))

    def run(self) -> float:
        """When the last core is done, in nanoseconds."""
        for core in range(len(self.sends)):
            self.make(core, 0.0)
        while self.events:
            now, kind, number = heapq.heappop(self.events)
            node = (self.KINDS[kind], number)
            if node[0] == "free":
                self.armed.discard(number)
                self.list(("link", number))
            elif node[0] == "core":
                self.finish[number] = now
                self.busy.discard(node)
                self.begin(node, now)
            else:
                self.ask(node)
            while self.serving:
                self.serve(self.serving[0], now)
                self.serving.popleft()
        return max(*self.ends, *self.finish)

    def at(self, time, kind, number):
        heapq.heappush(self.events, (time, self.KINDS.index(kind), number))

    def make(self, core, now):
        """The next packet of a core, or the updates after the last."""
        if self.sends[core]:
            gap, way, work = self.sends[core].popleft()
            self.queue["sender", core].append((now + gap, way, work))
            self.at(now + gap, "sender", core)
        else:
            self.ends[core] = now + self.tails[core]

    def ask(self, node):
        """The first packet of a node waits for the next on its way."""
        to = self.queue[node][0][1][0]
        self.waiting[to].append(node)
        if len(self.waiting[to]) == 1 and self.held[to] < self.depth:
            self.list(to)

    def list(self, node):
        if self.waiting[node] and node not in self.serving:
            self.serving.append(node)

    def serve(self, to, now):
        """Take in what waits, while there is room and the link is free."""
        while self.waiting[to] and self.held[to] < self.depth:
            if self.free[to] > now:
                if to[1] not in self.armed:
                    self.armed.add(to[1])
                    self.at(self.free[to], "free", to[1])
                return
            node = self.waiting[to].popleft()
            since, (_, *way), work = self.queue[node].popleft()
            self.held[to] += 1
            if to[0] == "link":
                self.free[to] = now + self.slot
                self.queue[to].append((now + self.delay[to[1]], way, work))
                if len(self.queue[to]) == 1:
                    self.at(now + self.delay[to[1]], "link", to[1])
            else:
                self.queue[to].append((now, way, work))
            if node[0] == "sender":
                self.waited[node[1]] += now - since
                self.make(node[1], now)
            else:
                self.held[node] -= 1
                self.list(node)
            if to[0] == "core" and to not in self.busy:
                self.begin(to, now)
            if node[0] == "link" and self.queue[node]:
                comes = self.queue[node][0][0]
                if comes <= now:
                    self.ask(node)
                else:
                    self.at(comes, "link", node[1])

    def begin(self, core, now):
        """Work on the next packet of the inbox."""
        if self.queue[core]:
            _, _, work = self.queue[core].popleft()
            self.busy.add(core)
            self.held[core] -= 1
            self.at(now + work, "core", core[1])
            self.list(core)
