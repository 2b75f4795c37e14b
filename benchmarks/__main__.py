"""Run every benchmark and print one table: `make bench`."""

from __future__ import annotations

import logging
import platform
import sys
from importlib import import_module

from rich.console import Console
from rich.table import Table

BENCHMARKS = ("bench_track", "bench_import", "bench_ingest", "bench_call", "bench_bulk", "bench_server")


def main() -> None:
    """Print what was measured beside its floor and its goal."""
    logging.getLogger("payi.instrument").setLevel(logging.ERROR)
    logging.getLogger("httpx2").setLevel(logging.ERROR)
    table = Table(title=f"CPython {platform.python_version()}, medians; SQLite WAL, synchronous=NORMAL")
    for column, justify in (
        ("what", "left"),
        ("floor", "right"),
        ("ours", "right"),
        ("figure", "right"),
        ("goal", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    missed = 0
    for name in sys.argv[1:] or BENCHMARKS:
        for row in import_module(name).rows():
            mark = "" if row.met else "  missed"
            missed += not row.met
            goal = f"<= {row.goal:g} {row.unit}{mark}"
            table.add_row(row.what, row.floor, row.ours, f"{row.figure:.2f} {row.unit}", goal)
    console = Console(width=110)
    console.print(table)
    console.print("every goal met" if not missed else f"{missed} goals missed")


if __name__ == "__main__":
    main()
