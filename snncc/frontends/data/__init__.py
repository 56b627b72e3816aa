"""Recordings from a file or a data set: `inputs` in the model's layout and, if known, `labels`.

A test set may be larger than memory: it is checked block by block when it is opened, and then any
samples of it can be read alone.
"""

from snncc.frontends.data.opening import open_recordings
from snncc.frontends.data.recordings import Array, Recordings

__all__ = ["Array", "Recordings", "open_recordings"]
