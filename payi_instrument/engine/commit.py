"""Group commit: whoever gets the lock commits everything that is queued and hands each caller its own answer.

A lone caller pays no hop and waits for nobody; what arrives during a commit is the next group (design decision 8).
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from payi_instrument.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized
    from types import TracebackType

ItemT = TypeVar("ItemT", bound="Sized")
AnswerT = TypeVar("AnswerT")

_MAX_GROUP = 4000
"""Most events that one transaction books, roughly, so that the first of a long queue need not wait for the last."""


class Lock(Protocol):
    """A lock of `threading`."""

    def acquire(self, blocking: bool = ...) -> bool:  # noqa: FBT001  # theirs
        """Take it; False when it is taken and not to be waited for."""
        ...

    def release(self) -> None:
        """Let it go."""
        ...

    def __enter__(self) -> bool:
        """Take it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Let it go."""
        ...


class Ticket(Generic[ItemT, AnswerT]):
    """One caller's item in the queue, and its answer once committed."""

    __slots__ = ("answer", "done", "error", "item")
    answer: AnswerT

    def __init__(self, item: ItemT) -> None:
        """Queue an item that has no answer yet."""
        self.item = item
        self.done = False
        self.error: Exception | None = None


class Committer(Generic[ItemT, AnswerT]):
    """Commit items in groups, in the order they were queued."""

    __slots__ = ("__weakref__", "_commit", "_lock", "_queue")

    def __init__(self, commit: Callable[[list[ItemT]], list[AnswerT]], lock: Callable[[], Lock]) -> None:
        """Take the function that commits a list of items in one transaction, and how to get the store's lock."""
        self._commit = commit
        self._queue: deque[Ticket[ItemT, AnswerT]] = deque()
        self._lock = lock
        _committers.add(self)

    def commit(self, item: ItemT) -> AnswerT:
        """Commit an item and return its answer: alone when nobody else is here, else with what is queued meanwhile.

        Raises what the commit raised.
        """
        lock = self._lock()
        if self._queue or not lock.acquire(blocking=False):
            ticket = self._put(item)
            self._settle(ticket)
            if ticket.error is not None:
                raise ticket.error
            return ticket.answer
        try:
            [answer] = self._commit([item])
        finally:
            lock.release()
        return answer

    def commit_all(self, items: Sequence[ItemT]) -> list[AnswerT | Exception]:
        """Commit items with what is queued meanwhile; return the answer to each, or what its commit raised."""
        tickets = [self._put(item) for item in items]
        for ticket in tickets:
            self._settle(ticket)
        return [ticket.answer if ticket.error is None else ticket.error for ticket in tickets]

    def _put(self, item: ItemT) -> Ticket[ItemT, AnswerT]:
        ticket: Ticket[ItemT, AnswerT] = Ticket(item)
        self._queue.append(ticket)
        return ticket

    def _settle(self, ticket: Ticket[ItemT, AnswerT]) -> None:
        """Commit a queued item and what is queued with it, unless another caller did."""
        if not ticket.done:
            with self._lock():
                while not ticket.done:
                    self._commit_group()

    def forget_queue(self) -> None:
        """Drop what is queued: a forked child has copies of its parent's tickets, which the parent commits."""
        self._queue.clear()

    def _commit_group(self) -> None:
        group: list[Ticket[ItemT, AnswerT]] = []
        try:
            size = 0
            while self._queue and size < _MAX_GROUP:
                group.append(self._queue.popleft())
                size += len(group[-1].item)
            answers = self._commit([ticket.item for ticket in group])
            for ticket, answer in zip(group, answers, strict=True):
                ticket.answer = answer
        except Exception as error:  # noqa: BLE001  # every caller of the group has to hear of it
            for ticket in group:
                ticket.error = error
        except BaseException as error:  # an interrupt is this thread's alone; the others' items may not be stored
            for ticket in group:
                ticket.error = APIConnectionError(f"the commit was interrupted by {type(error).__name__}")
            raise
        finally:
            for ticket in group:
                ticket.done = True


_committers: weakref.WeakSet[Committer[Any, Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for committer in list(_committers):
        committer.forget_queue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
