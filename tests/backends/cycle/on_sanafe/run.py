"""Runs in SANA-FE's own interpreter, with nothing else installed: a job as JSON in, results out.

    python run.py JOB.json RESULT.json

A job has the architecture as YAML text, groups of neurons, edges between them and a number of
steps, or instead of the first three the ``files`` of an architecture and a network; the result has
SANA-FE's own counts, energies and times of every step, and the seconds it took to build and to run.
"""

import json
import os
import resource
import sys
import tempfile
import time

import sanafe


def build(job):
    if "files" in job:
        architecture_path, network_path = job["files"]
        architecture = sanafe.load_arch(architecture_path)
        chip = sanafe.SpikingChip(architecture)
        chip.load(sanafe.load_net(network_path, architecture))
        return chip
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
        file.write(job["architecture"])
    architecture = sanafe.load_arch(file.name)
    os.unlink(file.name)
    cores = {
        (tile.id, offset): core
        for tile in architecture.tiles
        for offset, core in enumerate(tile.cores)
    }
    network = sanafe.Network()
    groups = {}
    for group in job["groups"]:
        neurons = network.create_neuron_group(
            group["name"], len(group["cores"]), model_attributes=group["attributes"],
            default_synapse_hw_name="synapse", default_dendrite_hw_name="dendrite",
            soma_hw_name=group["soma"], log_spikes=job["traces"],
        )  # fmt: skip
        groups[group["name"]] = neurons
        for index, address in enumerate(group["cores"]):
            if group["own"] is not None:
                own = dict(group["own"][index])
                soma = own.pop("soma", "")
                neurons[index].set_attributes(soma_hw_name=soma, model_attributes=own)
            neurons[index].map_to_core(cores[tuple(address)])
    for edge in job["edges"]:
        source, target = groups[edge["source"]], groups[edge["target"]]
        if "conv" in edge:
            source.connect_neurons_conv2d(target, {"weight": edge["weights"]}, *edge["conv"])
        elif "pairs" in edge:
            pairs = [tuple(pair) for pair in edge["pairs"]]
            source.connect_neurons_sparse(target, {"weight": edge["weights"]}, pairs)
        else:
            source.connect_neurons_dense(target, {"weight": edge["weights"]})
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    return chip


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    start = time.perf_counter()
    chip = build(job)
    built = time.perf_counter()
    traces = job["traces"]
    threads = job.get("threads", 1)
    if job.get("skip"):
        chip.sim(job["skip"], processing_threads=threads)
    begun, begun_busy = time.perf_counter(), time.process_time()
    found = chip.sim(
        job["steps"], timing_model="detailed", processing_threads=threads,
        perf_trace=True, spike_trace=traces or None, message_trace=traces or None,
    )  # fmt: skip
    ended, ended_busy = time.perf_counter(), time.process_time()
    result = {
        "perf": found["perf_trace"],
        "packets": found["packets_sent"],
        "built_s": built - start,
        "ran_s": ended - begun,
        "busy_s": ended_busy - begun_busy,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    if traces:
        result["spikes"] = [
            [[at.group_name, at.neuron_offset] for at in step] for step in found["spike_trace"]
        ]
        wanted = (
            "placeholder", "spikes", "hops", "src_tile_id", "src_core_offset", "dest_tile_id",
            "dest_core_offset", "generation_delay", "network_delay", "processing_delay",
            "blocking_delay", "processed_timestamp", "send_timestamp",
        )  # fmt: skip
        result["messages"] = [
            [{key: message[key] for key in wanted} for message in step]
            for step in found["message_trace"]
        ]
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
