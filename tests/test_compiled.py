"""What several processes compile at once is kept apart."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numba.core.caching import FunctionCache, IndexDataCacheFile

import snncc
from snncc.compiled import Kept

SOURCE = """
from snncc.compiled import compiled

@compiled(nogil=True)
def last(x):
    return x[-1]
"""
WHOLE, EVERY_OTHER = np.arange(6.0), np.arange(12.0)[::2]

BESIDE = """
import sys, time
from pathlib import Path
import numpy as np
from numba.core import caching
sys.path.insert(0, ".")
from inner import last
from snncc import compiled

class Slow(caching.IndexDataCacheFile):
    def _save_data(self, name, data):
        Path("ready").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        super()._save_data(name, data)

last._cache = getattr(caching, sys.argv[1], compiled.Kept)(last.py_func)
last._cache._cache_file.__class__ = Slow
last(np.arange(6.0))
"""


@pytest.mark.slow
@pytest.mark.parametrize("cache", [Kept, FunctionCache])
def test_two_processes_that_compile_at_once(tmp_path, monkeypatch, cache):
    """Each looks which names are free before the other has written; numba's own cache then errs."""
    path = tmp_path / "inner.py"
    path.write_text(SOURCE)

    def process():
        spec = importlib.util.spec_from_file_location("inner", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "inner", module)
        spec.loader.exec_module(module)
        module.last._cache = cache(module.last.py_func)
        return module.last

    started = []
    save = IndexDataCacheFile._save_index

    def meanwhile(file, overloads):
        command = [sys.executable, "-c", BESIDE, cache.__name__]
        started.append(subprocess.Popen(command, cwd=tmp_path))
        deadline = time.monotonic() + (5 if cache is Kept else 120)
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        save(file, overloads)

    first = process()
    with monkeypatch.context() as patched:
        patched.setattr(IndexDataCacheFile, "_save_index", meanwhile)
        assert first(EVERY_OTHER) == 10
    (tmp_path / "go").touch()
    assert started[0].wait(120) == 0
    third = process()
    right = third(EVERY_OTHER) == 10 and third(WHOLE) == 5
    assert right == (cache is Kept)
    assert cache is FunctionCache or sum(third.stats.cache_hits.values()) == 2


def test_nothing_else_is_kept_by_numba():
    sources = Path(snncc.__file__).parent.rglob("*.py")
    assert not [path for path in sources if "cache=True" in path.read_text(encoding="utf-8")]
