"""Decorated functions keep their types: mypy and basedpyright, both strict, over the programs in `typing/`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).with_name("typing")
ROOT = PROGRAMS.parent.parent


def check(*command: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_sees_the_types_of_decorated_functions() -> None:
    options = ("--strict", "--config-file=", "--follow-imports=silent", "--cache-dir=.mypy_cache/tests")
    check("mypy", *options, *sorted(PROGRAMS.glob("*.py")))


def test_basedpyright_sees_the_types_of_decorated_functions(tmp_path: Path) -> None:
    settings = {
        "include": [str(PROGRAMS)],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "enableTypeIgnoreComments": False,  # those are mypy's
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    check("basedpyright", "--pythonpath", sys.executable, "--project", config)
