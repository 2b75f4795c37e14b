"""Run a program in a process of its own, where nothing was imported, instrumented or forked yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent


def run(program: str, *arguments: object, returns: int = 0, timeout: float = 60) -> str:
    """Return what the program printed; a warning is an error there, and so is a line on stderr that is not ours."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(program), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == returns, f"returned {done.returncode}: {done.stdout}{done.stderr}"
    if returns == 0:
        assert [line for line in done.stderr.splitlines() if not line.startswith("payi: ")] == []
    return done.stdout.strip()
