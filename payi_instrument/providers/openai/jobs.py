"""Work that goes on after its call: runs of a thread, turns of an agent's session.

Whoever sees a job's usage first makes its event, under an id that all who see it have in common; so each job counts once,
streamed, polled or both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import failure_of, members, named

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts

_JOBS = ("thread.run", "agent.session.turn")
_SESSION = "agent.session"
_GOING_ON = ("queued", "in_progress", "waiting", "requires_action", "cancelling")
"""States in which a job may yet use more."""


def read(_facts: CallFacts, job: Any) -> Usage:
    """Return what a job says it used, nothing before it has ended and says so."""
    told = members(job)
    if told.get("object") == _SESSION:  # its turns are the work
        return Usage(job=named(told.get("id")), resource=named(members(told.get("agent")).get("model")))
    if told.get("object") not in _JOBS:
        return Usage()
    ended = told.get("status") not in _GOING_ON
    return Usage(
        units=units_of(told["usage"]) if ended and is_reported(told.get("usage")) else {},
        resource=named(told.get("model")),
        response_id=named(told.get("id")),
        failure=failure_of(told.get("last_error") or told.get("error")),
        once=True,
        job=named(told.get("session_id")),
    )


class JobReader:
    """Gather the usage of the jobs of a stream: a run's, or the turns of a session."""

    __slots__ = ("_facts", "_jobs", "_model", "has_text")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._jobs: dict[str, Usage] = {}
        self._model: str | None = None
        self.has_text = False

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden. In the stream's bytes a run is the event itself, its kind is elsewhere."""
        told = members(event)
        kind = str(told.get("event") or told.get("type") or told.get("object"))
        self.has_text = self.has_text or kind.endswith((".message.delta", ".output_text.delta"))
        agent = members(members(told.get("session")).get("agent"))
        self._model = named(agent.get("model")) or self._model
        turn = members(told.get("turn"))
        if turn and turn.get("usage") is None:
            turn = {**turn, "usage": told.get("usage")}
        for job in (event, told.get("data"), turn):
            found = read(self._facts, job)
            if found.response_id is not None:
                self._jobs[found.response_id] = found
        return False

    def usage(self) -> Usage:
        """Return what the first job used, and the others beside it."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.resource = job.resource or self._model
        first, *others = [job for job in jobs if job.units] or [*jobs[:1], Usage()]
        first.beside = [job for job in others if job.units]
        return first
