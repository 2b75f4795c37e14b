"""A server in a process of its own, as an operator starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from wired import Wire

from payi_instrument.engine.address import Address

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM = """
import sys
from payi_instrument.server.run import serve
from payi_instrument.server.settings import ServerSettings
if __name__ == "__main__":
    serve(ServerSettings(sys.argv[1], port=0, **eval(sys.argv[2])))
"""
_RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


class ServerProcess:
    """A server over a ledger; what it says on standard error is kept."""

    def __init__(self, ledger: str, folder: Path, **settings: Any) -> None:
        self.ledger = ledger
        self.url = ""
        self._said = folder / "stderr"
        program = folder / "program.py"
        program.write_text(PROGRAM)  # a file, for workers are started from it again
        with self._said.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", program, ledger, repr(settings)],
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def __enter__(self) -> Self:
        self.url = self.wait_for(_RUNNING)
        while True:  # the first worker begins to listen after that
            try:
                Wire(self.url).close()
            except ConnectionError:
                assert self.process.poll() is None, self.said()
                time.sleep(0.02)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error is not None:
            print(self.said())

    def key(self, scope: str = "admin") -> str:
        engine = Address.of(self.ledger).open()
        try:
            return str(engine.new_key("default", scope))
        finally:
            engine.close()

    def said(self) -> str:
        return self._said.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """Return what it said; fails when a line is not JSON."""
        return [json.loads(line) for line in self.said().splitlines()]

    def wait_for(self, said: re.Pattern[str]) -> str:
        """Wait until it says something, and return the group of it."""
        while (found := said.search(self.said())) is None:
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)
        return found[found.lastindex or 0]

    def told_to_stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stopped(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(60)
