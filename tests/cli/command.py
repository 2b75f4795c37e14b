"""The command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = "from payi_instrument.cli import main; main()"


def payi(*arguments: object, returns: int = 0, before: str = "") -> list[str]:
    """Run a command and return the lines that it printed: on stdout, or on stderr when it is to fail with 2."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == returns, f"returned {done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    if returns == 0:
        assert done.stderr == ""
    return (done.stderr if returns == 2 else done.stdout).splitlines()
