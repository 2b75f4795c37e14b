"""A thread for what must not hold up a call, one job after the other."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Do jobs on a thread of its own, started with the first one; a forked child starts its own."""

    def __init__(self, name: str) -> None:
        """Take the name of the thread."""
        self._name = name
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)

    def submit(self, job: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> Future[R] | None:
        """Queue a job; None at the exit of the interpreter, when no thread may start."""
        if self._process != os.getpid():
            self._begin()
        try:
            return self._pool.submit(job, *arguments, **options)
        except RuntimeError:
            return None
