"""A spiking network as Lava processes, written by snncc.

    python -m PACKAGE INPUT.npz OUTPUT.npz [--limit N]

runs it with lava-nc 0.10 under Python 3.10; nothing of snncc is needed. ``network.py`` is the
network, one statement a population and a projection, and ``arrays.npz`` holds its numbers.
"""
