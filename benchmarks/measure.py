"""Time things so that a noisy machine does not decide: blocks in turn, medians, ratios of one run."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    floor: str
    ours: str
    figure: float
    goal: float
    unit: str

    @property
    def met(self) -> bool:
        """Say whether the figure is within its goal."""
        return self.figure <= self.goal


def per_call(function: Callable[[], object], count: int) -> float:
    """Return seconds per call of one tight loop."""
    begin = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - begin) / count


def alternating(functions: list[Callable[[], object]], *, blocks: int, count: int) -> list[float]:
    """Return the median seconds per call of each function; blocks of `count` calls take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for block in range(blocks):
        for index, function in enumerate(functions):
            taken = [_timed(function) for _ in range(count)]
            if block:  # the first block warms up
                times[index] += taken
    return [statistics.median(taken) for taken in times]


def _timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def alternating_async(functions: list[Callable[[], Awaitable[Any]]], *, blocks: int, count: int) -> list[float]:
    """Return what :func:`alternating` does, for coroutine functions on one loop."""
    times: list[list[float]] = [[] for _ in functions]

    async def run() -> None:
        for block in range(blocks):
            for index, function in enumerate(functions):
                for _ in range(count):
                    begin = time.perf_counter()
                    await function()
                    if block:
                        times[index].append(time.perf_counter() - begin)

    asyncio.run(run())
    return [statistics.median(taken) for taken in times]
