"""Group commit: whoever gets the lock commits everything that is queued and hands each caller its own answer.

A lone caller pays no hop and waits for nobody; what arrives during a commit is the next group (design decision 8).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")

_MAX_GROUP = 256
"""Most tickets that one transaction answers, so that the first of a long queue need not wait for the last."""


class Ticket(Generic[ItemT, AnswerT]):
    """One caller's item in the queue, and its answer once committed."""

    __slots__ = ("answer", "done", "error", "item")
    answer: AnswerT

    def __init__(self, item: ItemT) -> None:
        """Queue an item that has no answer yet."""
        self.item = item
        self.done = False
        self.error: BaseException | None = None


class Committer(Generic[ItemT, AnswerT]):
    """Commit items in groups, in the order they were queued."""

    __slots__ = ("_commit", "_lock", "_queue")

    def __init__(self, commit: Callable[[list[ItemT]], list[AnswerT]], lock: Callable[[], Lock]) -> None:
        """Take the function that commits a list of items in one transaction, and how to get the store's lock."""
        self._commit = commit
        self._queue: deque[Ticket[ItemT, AnswerT]] = deque()
        self._lock = lock

    def put(self, item: ItemT) -> Ticket[ItemT, AnswerT]:
        """Queue an item; :meth:`settle` waits for its answer."""
        ticket = Ticket[ItemT, AnswerT](item)
        self._queue.append(ticket)
        return ticket

    def settle(self, ticket: Ticket[ItemT, AnswerT]) -> AnswerT:
        """Return the answer to a queued item, committing it and what is queued with it unless another caller did.

        Raises what the commit of the ticket's group raised.
        """
        with self._lock():
            while not ticket.done:
                self._commit_group()
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    def _commit_group(self) -> None:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))]
        try:
            answers = self._commit([ticket.item for ticket in group])
        except BaseException as error:  # noqa: BLE001  # every caller of the group has to hear of it
            for ticket in group:
                ticket.error, ticket.done = error, True
            return
        for ticket, answer in zip(group, answers, strict=True):
            ticket.answer, ticket.done = answer, True
