"""What it costs to import the decorators, and to switch metering on. Each figure is a fresh process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile

from measure import Row

_RUNS = 15
_FLOOR = "import dataclasses, typing, logging"
_DECORATORS = "from payi_instrument import track, track_context"
_TIMED = "import time; begin = time.perf_counter(); {code}; print((time.perf_counter() - begin) * 1e3)"
_SWITCH_ON = """
import time
import openai
from payi_instrument import Payi, payi_instrument
client = Payi(base_url="sqlite:///{folder}/ledger.db")
from payi_instrument import instrumentation
begin = time.perf_counter()
payi_instrument(client)
print((time.perf_counter() - begin) * 1e3)
"""


def _milliseconds(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def rows() -> list[Row]:
    """Measure both in turn with their floors; bytecode is there after the first run."""
    pairs = [
        (_milliseconds(_TIMED.format(code=_FLOOR)), _milliseconds(_TIMED.format(code=_DECORATORS)))
        for _ in range(_RUNS + 1)
    ][1:]
    floor, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(mine / theirs for theirs, mine in pairs)
    with tempfile.TemporaryDirectory() as folder:
        code = _SWITCH_ON.format(folder=folder)
        switched = statistics.median([_milliseconds(code) for _ in range(_RUNS + 1)][1:])
    return [
        Row("importing the decorators", f"{floor:.1f} ms", f"{ours:.1f} ms", ratio, 1.5, "x"),
        Row("payi_instrument(), SDK imported before", "-", f"{switched:.1f} ms", switched, 50, "ms"),
    ]
