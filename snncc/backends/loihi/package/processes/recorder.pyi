"""What the emitted recorder.py offers."""

from lava.magma.core.process.process import AbstractProcess

class Recorder(AbstractProcess):
    def __init__(self, folder: str) -> None: ...
