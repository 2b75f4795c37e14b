"""The examples run as they are printed. Row Q-18."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_q18_the_quickstart_degrades_and_is_stopped() -> None:
    command = [sys.executable, str(EXAMPLES / "quickstart.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8")

    assert (done.returncode, done.stderr) == (0, "")
    calls = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert calls[:11] == [
        "ada gpt-4o $0.00700 ada ok, company ok",
        "bob gpt-4o $0.00700 bob ok, company ok",
        "ada gpt-4o $0.00700 ada ok, company ok",
        "bob gpt-4o $0.00700 bob ok, company ok",
        "ada gpt-4o $0.00700 ada exceeded, company exceeded",
        "bob gpt-4o $0.00700 bob blocked, company overrun",
        "ada gpt-4o-mini $0.00042 ada exceeded, company overrun",
        "bob not called $0.00000 bob blocked, company blocked_external",
        "The answer is four.",
        "ada gpt-4o-mini $0.00042 ada exceeded, company overrun",
        "",
    ]
    assert "The stand-in was called 8 times: a blocked call never gets there." in calls
    assert "│ bob │ 3 │ $0.02100 │" in calls
    assert "│ Bob's trial │ block │ $0.02100 │ $0.02000 │ blocked │" in calls
