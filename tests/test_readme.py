"""The README's example runs as it stands there and prints what the README says; the quickstart tells its story."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _run(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PAYI_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**environment, "PYTHONPATH": str(ROOT / "examples"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_example_prints_what_the_readme_says() -> None:
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]
    assert _run("-c", code) == printed


def test_q18_the_quickstart_degrades_to_a_cheaper_model_and_stops_a_blocked_call() -> None:
    shown = _run(str(ROOT / "examples" / "quickstart.py"))
    states = [line.split() for line in shown.splitlines() if line.startswith(("ada ", "bob "))]
    assert [line[1] for line in states if line[0] == "ada"] == ["gpt-4o"] * 3 + ["gpt-4o-mini"] * 2
    assert [line[1:3] for line in states if line[0] == "bob"][-1] == ["not", "called"]
    for state in ("ok", "exceeded", "overrun", "blocked", "blocked_external"):
        assert state in shown
    assert "The stand-in was called 8 times" in shown
