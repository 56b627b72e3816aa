"""Emitted packages run one after the other, u and v of every population written down:

    python states.py NAME ...

runs the package NAME of the current folder on NAME.input.npz and writes NAME.output.npz, as the
package does, and NAME.K.u.npy and NAME.K.v.npy (steps, *shape), K the number of the population in
the order of network.py: its state after each step of Lava, in Lava's own model or the package's.
"""

import importlib
import os
import sys
from pathlib import Path

import numpy as np
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset


class Watched:
    """Adds to a model that its state is written down after each step.

    ``stem`` is set before Lava forks a process for it.
    """

    stem = ""

    def run_spk(self):
        if not hasattr(self, "files"):
            stem = f"{self.stem}.{self.proc_params['population']}"
            self.files = {key: np.load(f"{stem}.{key}.npy", mmap_mode="r+") for key in "uv"}
        super().run_spk()
        for key, file in self.files.items():
            file[self.time_step - 1] = getattr(self, key)


class WatchedReset(Watched, PyLifResetModelBitAcc):
    pass


def run(name):
    """One package, as its own ``main`` runs it."""
    package = importlib.import_module(f"{name}.__main__")
    watched, made = {LIFReset: WatchedReset}, []
    if hasattr(package.network, "FixedLIF"):
        own = importlib.import_module(f"{name}.processes.neurons")
        watched[own.FixedLIF] = type("WatchedFixed", (Watched, own.FixedLIFModel), {})
    Watched.stem = str(Path(name).absolute())

    def numbered(process_class):
        def make(**arguments):
            process = process_class(**arguments)
            process.proc_params["population"] = len(made)
            made.append(process)
            return process

        return make

    for process_class in watched:
        setattr(package.network, process_class.__name__, numbered(process_class))
    simulate = package.simulate

    def watching(recorder, steps, folder, files, models, parent):
        for number, process in enumerate(made):
            for key in "uv":
                path = f"{Watched.stem}.{number}.{key}.npy"
                np.lib.format.open_memmap(path, "w+", np.int32, (steps, *process.v.shape))
        simulate(recorder, steps, folder, files, models | watched, parent)

    package.simulate = watching
    sys.argv = [name, f"{name}.input.npz", f"{name}.output.npz"]
    package.main()


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    for each in sys.argv[1:]:
        process = os.fork()  # each anew, but for the imports
        if not process:
            run(each)
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(process, 0)[1]:
            sys.exit(f"{each} failed")
