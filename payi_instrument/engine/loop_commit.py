"""Group commit for callers on event loops: tasks queue their items, one thread commits them together.

What is queued while a commit runs is the next group; every task hears its own answer, and a loop is woken once a group.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class LoopCommitter(Generic[ItemT, AnswerT]):
    """Commit items of any number of tasks on one thread."""

    def __init__(
        self, commit: Callable[[Sequence[ItemT]], Sequence[AnswerT | Exception]], worker: Callable[[], Executor]
    ) -> None:
        """Take the function that commits a list of items and answers each, and the thread it runs on."""
        self._commit = commit
        self._worker = worker
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[tuple[ItemT, asyncio.Future[AnswerT]]] = deque()
        self._lock = Lock()
        self._runs = False
        self._process = os.getpid()

    def put(self, item: ItemT) -> asyncio.Future[AnswerT]:
        """Queue an item of the running loop; its answer, or its error, comes with the commit that holds it.

        A future that is cancelled meanwhile takes nothing back.
        """
        if self._process != os.getpid():  # what is queued and runs is the parent's
            self._begin()
        future: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        with self._lock:
            starts, self._runs = not self._runs, True
        if starts:
            self._worker().submit(self._drain)
        return future

    def _drain(self) -> None:
        """Commit what is queued until nothing is."""
        while True:
            group: list[tuple[ItemT, asyncio.Future[AnswerT]]] = []
            with self._lock:
                while self._queue:
                    group.append(self._queue.popleft())
                if not group:
                    self._runs = False
                    return
            self._hand_out(group)

    def _hand_out(self, group: list[tuple[ItemT, asyncio.Future[AnswerT]]]) -> None:
        try:
            answers = self._commit([item for item, _ in group])
        except Exception as error:  # noqa: BLE001  # every caller of the group has to hear of it
            answers = [error] * len(group)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[AnswerT], AnswerT | Exception]]] = {}
        for (_, future), answer in zip(group, answers, strict=True):
            by_loop.setdefault(future.get_loop(), []).append((future, answer))
        for loop, settled in by_loop.items():
            if not loop.is_closed():  # its tasks are gone; the events are stored
                loop.call_soon_threadsafe(_settle, settled)


def _settle(settled: Sequence[tuple[asyncio.Future[AnswerT], AnswerT | Exception]]) -> None:
    for future, answer in settled:
        if future.done():  # cancelled
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
