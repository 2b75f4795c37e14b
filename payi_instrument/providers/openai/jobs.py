"""Work that goes on after its call: runs of a thread, turns of an agent's session.

Whoever sees a job's usage first makes its event, under an id that all who see it have in common; so each job counts once,
streamed, polled or both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.event import Usage
from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import members

if TYPE_CHECKING:
    from payi_instrument.event import CallFacts

_RUN, _TURN = "thread.run", "agent.session.turn"


def read(_facts: CallFacts, job: Any) -> Usage:
    """Return what a job says it used, nothing before it says so."""
    if getattr(job, "object", None) not in {_RUN, _TURN}:
        return Usage()
    usage = getattr(job, "usage", None)
    return Usage(
        units=units_of(usage) if is_reported(usage) else {},
        resource=getattr(job, "model", None),
        response_id=getattr(job, "id", None),
        once=True,
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
        """Take the next event; none is hidden."""
        kind = str(getattr(event, "event", None) or getattr(event, "type", None))
        self.has_text = self.has_text or kind.endswith((".message.delta", ".output_text.delta"))
        session = getattr(event, "session", None)
        if session is not None:
            self._model = members(getattr(session, "agent", None)).get("model")
        for job in (getattr(event, "data", None), getattr(event, "turn", None)):
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
