"""Runs in SANA-FE's own interpreter, with nothing else installed: a job as JSON in, results out.

    python run.py JOB.json RESULT.json

A job names the ``folder`` with an architecture and a network, the number of ``steps`` and of
``threads`` and whether ``traces`` are wanted; the result has SANA-FE's own counts, energies and
times of every step by its ``detailed`` model, and the seconds it took to build and to run.
``judged`` are the times of the first steps, as many as the job says, by its ``cycle`` model.
"""

import json
import resource
import sys
import time

import sanafe

FIELDS = (
    "placeholder", "src_tile_id", "src_core_offset", "dest_tile_id", "dest_core_offset",
    "generation_delay", "network_delay", "processing_delay", "blocking_delay", "send_timestamp",
    "processed_timestamp",
)  # fmt: skip


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    start = time.perf_counter()
    architecture = sanafe.load_arch(job["folder"] + "/architecture.yaml")
    network = sanafe.load_net(job["folder"] + "/network.yaml", architecture)
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    traces = job["traces"] or None
    begun, begun_busy = time.perf_counter(), time.process_time()
    found = chip.sim(
        job["steps"], timing_model="detailed", processing_threads=job["threads"],
        perf_trace=True, spike_trace=traces, message_trace=traces,
    )  # fmt: skip
    ended, ended_busy = time.perf_counter(), time.process_time()
    result = {
        "perf": found["perf_trace"],
        "packets": found["packets_sent"],
        "built_s": begun - start,
        "ran_s": ended - begun,
        "busy_s": ended_busy - begun_busy,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if job["judged"]:
        judge = sanafe.SpikingChip(architecture)
        judge.load(network)
        said = judge.sim(
            job["judged"], timing_model="cycle", processing_threads=1, perf_trace=True
        )  # fmt: skip
        result["judged"] = said["perf_trace"]["sim_time"]
    if traces:
        result["spikes"] = [
            [[at.group_name, at.neuron_offset] for at in step] for step in found["spike_trace"]
        ]
        result["messages"] = [
            [{key: message.get(key) for key in FIELDS} for message in step]
            for step in found["message_trace"]
        ]
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
