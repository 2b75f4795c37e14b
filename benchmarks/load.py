"""A client that costs little: HTTP/1.1 requests made beforehand, sent over raw connections, each after its answer.

Run as a process of its own: `python load.py HOST PORT CONNECTIONS FILE`, one request a length-prefixed record of FILE.
Prints one JSON object: requests, seconds, the statuses, and latencies in ms.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections import Counter
from pathlib import Path


class _Connection(asyncio.Protocol):
    """Send the next request as soon as the answer to the last is whole."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        request = self._load.next()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.find(b"content-length: ", 0, head)
        length = int(self._buffer[at + 16 : self._buffer.find(b"\r\n", at)])
        if len(self._buffer) < head + 4 + length:
            return
        self._load.answered(int(self._buffer[9:12]), time.perf_counter() - self._sent, self._buffer[head + 4 :])
        self._buffer = b""
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        self._load.closed()


class _Load:
    def __init__(self, requests: list[bytes], connections: int) -> None:
        self._requests = iter(requests)
        self._open = connections
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.done = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        return next(self._requests, None)

    def answered(self, status: int, seconds: float, body: bytes) -> None:
        self.statuses[status] += 1
        self.latencies.append(seconds)
        if status != 200 and len(self.failures) < 3:
            self.failures.append(body.decode(errors="replace")[:300])

    def closed(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set_result(None)


async def _run(host: str, port: int, connections: int, requests: list[bytes]) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    load = _Load(requests, connections)
    begun = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(load), host, port)
    await load.done
    seconds = time.perf_counter() - begun
    taken = sorted(load.latencies)
    return {
        "requests": len(taken),
        "seconds": seconds,
        "statuses": dict(load.statuses),
        "failures": load.failures,
        "p50_ms": taken[len(taken) // 2] * 1e3,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1e3,
        "max_ms": taken[-1] * 1e3,
        "cpu_s": time.process_time(),
    }


def _requests(path: str) -> list[bytes]:
    content, at, found = Path(path).read_bytes(), 0, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found


if __name__ == "__main__":
    _, host, port, connections, path = sys.argv
    try:
        import uvloop

        run = uvloop.run
    except ImportError:
        run = asyncio.run
    sys.stdout.write(json.dumps(run(_run(host, int(port), int(connections), _requests(path)))))
